//! What can be wrong with a guard: faults when a definition is deployed, errors when a guard is evaluated.
//!
//! Faults are read by whoever writes the definition, so each names the expression at fault and what would be right. They carry
//! expressions instead of positions because the parser gives none for what it accepts.

use super::limits::{LEVELS_MAX, SOURCE_SIZE_MAX};
use crate::value::{INTEGER_MAX, VALUE_SIZE_MAX};

/// Why text is not a guard. Whoever wrote the definition mends it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardFault {
    /// Too many bytes.
    #[error("a guard of {size} bytes is longer than {SOURCE_SIZE_MAX}: split the transition")]
    TooLong {
        /** Bytes of the source. */
        size: usize,
    },
    /// Too many operators and brackets within each other.
    #[error("operators and brackets stand {levels} deep within each other, more than {LEVELS_MAX}: simplify the guard")]
    TooDeep {
        /** Upper bound of the depth of the expression. */
        levels: usize,
    },
    /// Not an expression.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /** Line, from 1; 0 if the parser could not say. */
        line: usize,
        /** Byte of the line, from 1; 0 if the parser could not say. */
        column: usize,
        /** What the parser says. */
        message: String,
    },
    /// A variable that there is not.
    #[error("there is no variable `{name}`; there are: {}", known.join(", "))]
    UnknownVariable {
        /** As written. */
        name: String,
        /** Those that there are. */
        known: Vec<String>,
    },
    /// A field that the record has not.
    #[error("`{expression}` has no field `{field}`; it has: {}", known.join(", "))]
    UnknownField {
        /** The record. */
        expression: String,
        /** As written. */
        field: String,
        /** Those that it has. */
        known: Vec<String>,
    },
    /// Something of CEL that guards leave out, or no function at all.
    #[error(
        "{what} in a guard is not allowed; functions are size, startsWith, endsWith, contains, has, all, exists, exists_one, filter, map"
    )]
    NotAllowed {
        /** What it is. */
        what: String,
    },
    /// A function with the wrong number of arguments.
    #[error("write {usage}")]
    Usage {
        /** The function as it is written rightly. */
        usage: &'static str,
    },
    /// An operator between types for which there is none.
    #[error("`{expression}`: `{operator}` does not go between {left} and {right}")]
    Operands {
        /** The whole expression. */
        expression: String,
        /** The operator. */
        operator: &'static str,
        /** Type of the left side. */
        left: String,
        /** Type of the right side. */
        right: String,
    },
    /// One type where another belongs.
    #[error("`{expression}` is {got}, and {wanted} belongs here")]
    WrongType {
        /** What has the wrong type. */
        expression: String,
        /** What belongs here. */
        wanted: String,
        /** What it is. */
        got: String,
    },
    /// An optional field that is read without being asked for.
    #[error(
        "`{expression}` may be absent: write `has({expression}) && …`, `!has({expression}) || …` or `has({expression}) ? … : …`"
    )]
    Unprotected {
        /** The field. */
        expression: String,
    },
    /// The whole has the wrong type.
    #[error("the guard is {got}, and {wanted} is wanted")]
    Result {
        /** What was asked for. */
        wanted: String,
        /** What it is. */
        got: String,
    },
    /// An integer that no value can hold.
    #[error("the integer {number} is beyond ±{INTEGER_MAX}")]
    Integer {
        /** The integer. */
        number: i64,
    },
    /// A name in all(), exists(), filter() or map() that stands for something else already.
    #[error("`{name}` stands for something else already: take another name")]
    NameTaken {
        /** The name. */
        name: String,
    },
}

impl GuardFault {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "guard.too_long",
            Self::TooDeep { .. } => "guard.too_deep",
            Self::Syntax { .. } => "guard.syntax",
            Self::UnknownVariable { .. } => "guard.unknown_variable",
            Self::UnknownField { .. } => "guard.unknown_field",
            Self::NotAllowed { .. } => "guard.not_allowed",
            Self::Usage { .. } => "guard.usage",
            Self::Operands { .. } => "guard.operands",
            Self::WrongType { .. } => "guard.wrong_type",
            Self::Unprotected { .. } => "guard.unprotected",
            Self::Result { .. } => "guard.result",
            Self::Integer { .. } => "guard.integer",
            Self::NameTaken { .. } => "guard.name_taken",
        }
    }
}

/// Why a guard gave no answer. The same values fail the same way everywhere; a transition whose guard fails is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// An integer beyond what values hold.
    #[error("`{expression}` is beyond ±{INTEGER_MAX}")]
    Overflow {
        /** What was calculated. */
        expression: String,
    },
    /// Division by zero, or its remainder.
    #[error("`{expression}` divides by zero")]
    DivisionByZero {
        /** What was calculated. */
        expression: String,
    },
    /// An index outside a list.
    #[error("`{expression}`: there is no item {index} in a list of {length}")]
    NoSuchIndex {
        /** What was read. */
        expression: String,
        /** The index. */
        index: i64,
        /** Items of the list. */
        length: usize,
    },
    /// A key that a map has not.
    #[error("`{expression}`: there is no such key")]
    NoSuchKey {
        /** What was read. */
        expression: String,
    },
    /// A field that is absent though its type says that it is there.
    #[error("`{expression}` is absent")]
    MissingField {
        /** What was read. */
        expression: String,
    },
    /// A variable without a value.
    #[error("variable `{name}` has no value")]
    MissingVariable {
        /** Its name. */
        name: String,
    },
    /// A value that has not the type that was declared for it.
    #[error("`{expression}` is {got}, not {wanted} as declared")]
    WrongType {
        /** What was read. */
        expression: String,
        /** What was declared. */
        wanted: &'static str,
        /** What it is. */
        got: &'static str,
    },
    /// Text longer than a value.
    #[error("text of {0} bytes is longer than {VALUE_SIZE_MAX}")]
    TooLarge(usize),
    /// Values within each other beyond all bounds.
    #[error("values stand too deep within each other")]
    TooDeep,
    /// Too much work.
    #[error("the guard needs more steps than it was given")]
    Budget,
}

impl GuardError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Overflow { .. } => "guard.overflow",
            Self::DivisionByZero { .. } => "guard.division_by_zero",
            Self::NoSuchIndex { .. } => "guard.no_such_index",
            Self::NoSuchKey { .. } => "guard.no_such_key",
            Self::MissingField { .. } => "guard.missing_field",
            Self::MissingVariable { .. } => "guard.missing_variable",
            Self::WrongType { .. } => "guard.value_type",
            Self::TooLarge(_) => "guard.too_large",
            Self::TooDeep => "guard.value_too_deep",
            Self::Budget => "guard.budget",
        }
    }
}

//! Types: what a guard may rely on in the values that it reads.
//!
//! They say less than a schema (no lengths, no ranges) and exactly what the checker needs: which fields there are, and which of
//! them may be absent. A value that does not keep to its type makes evaluation fail with a typed error, nothing worse.

use std::collections::BTreeMap;
use std::fmt;

/// The type of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Type {
    /// True or false.
    Bool,
    /// An integer within ±[`INTEGER_MAX`](crate::value::INTEGER_MAX).
    Integer,
    /// Text.
    Text,
    /// Items of one type, in order.
    List(Box<Self>),
    /// Any keys, values of one type.
    Map(Box<Self>),
    /// Named fields, each of its own type.
    Record(BTreeMap<String, Field>),
}

/// A field of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// What it holds.
    pub of: Type,
    /// Whether it may be absent; a guard then has to ask with `has()` before it reads it.
    pub optional: bool,
}

impl Field {
    /// A field that is always there.
    pub const fn required(of: Type) -> Self {
        Self { of, optional: false }
    }

    /// A field that may be absent.
    pub const fn optional(of: Type) -> Self {
        Self { of, optional: true }
    }
}

impl Type {
    /// A list of these.
    pub fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// A map to these.
    pub fn map(of: Self) -> Self {
        Self::Map(Box::new(of))
    }

    /// A record of these fields.
    pub fn record<const N: usize>(fields: [(&str, Field); N]) -> Self {
        Self::Record(fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect())
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shape::of(self).fmt(formatter)
    }
}

/// The variables that a guard may name, with their types.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scope {
    variables: BTreeMap<String, Type>,
}

impl Scope {
    /// A scope of these variables.
    pub fn new<const N: usize>(variables: [(&str, Type); N]) -> Self {
        Self { variables: variables.into_iter().map(|(name, of)| (name.to_owned(), of)).collect() }
    }

    /// The scope with one variable more, or another type for one.
    #[must_use]
    pub fn with(mut self, name: &str, of: Type) -> Self {
        self.variables.insert(name.to_owned(), of);
        self
    }

    /// The type of a variable.
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    /// The variables' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

/// A type while a guard is checked: like [`Type`], with what is not known.
///
/// `Any` is the item of an empty list, and stands for whatever was faulty already, so that one mistake is one fault. That is
/// sound since evaluation trusts no type: it only moves an error from there to here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Shape<'t> {
    Any,
    Bool,
    Integer,
    Text,
    List(Box<Self>),
    Map(&'t Type),
    Record(&'t BTreeMap<String, Field>),
}

impl<'t> Shape<'t> {
    pub(super) fn of(of: &'t Type) -> Self {
        match of {
            Type::Bool => Self::Bool,
            Type::Integer => Self::Integer,
            Type::Text => Self::Text,
            Type::List(item) => Self::List(Box::new(Self::of(item))),
            Type::Map(value) => Self::Map(value),
            Type::Record(fields) => Self::Record(fields),
        }
    }

    /// What both are, if they can be the same.
    pub(super) fn unify(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, known) | (known, Self::Any) => Some(known.clone()),
            (Self::List(left), Self::List(right)) => Some(Self::List(Box::new(left.unify(right)?))),
            (left, right) => (left == right).then(|| left.clone()),
        }
    }

    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.unify(other).is_some()
    }
}

impl fmt::Display for Shape<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("anything"),
            Self::Bool => formatter.write_str("bool"),
            Self::Integer => formatter.write_str("integer"),
            Self::Text => formatter.write_str("text"),
            Self::List(item) => write!(formatter, "list of {item}"),
            Self::Map(value) => write!(formatter, "map of {value}"),
            Self::Record(_) => formatter.write_str("record"),
        }
    }
}

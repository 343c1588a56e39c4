//! Guards: the conditions of workflow definitions, in a bounded part of CEL.
//!
//! A guard decides whether a transition may be taken, and so what people get. It has to give the same answer wherever the log is
//! applied again, in bounded time, whatever bytes a definition or a payload holds. Therefore no clock, no fraction, no
//! randomness and no pattern; integers overflow with an error at 53 bits, which is what payloads hold; and every step counts.
//!
//! | part | what there is |
//! |---|---|
//! | values | `true`, `42`, `"text"`, `[1, 2]`, variables, `a.b`, `list[0]`, `map["key"]` |
//! | logic | `!` `&&` `\|\|` `?:`, left to right, ending where the answer is known |
//! | comparison | `==` `!=` between what has one type; `<` `<=` `>` `>=` on integers and texts; `in` a list or a map's keys |
//! | integers | `+` `-` `*` `/` `%`, checked; division towards zero |
//! | texts, lists | `+`, `size()`; `startsWith()`, `endsWith()`, `contains()` of texts, which are compared by code point |
//! | presence | `has(a.b)`, without which an optional field is not read |
//! | items | `all`, `exists`, `exists_one`, `filter`, `map` over a list, or a map's keys in their order |
//!
//! Text becomes a tree by the parser of the `cel` crate, a tree of ours by the checker, which says all
//! that is wrong at once, and an answer by an evaluator that borrows the values. The crate's own interpreter is what the tests
//! compare with, and is not used: it has no step budget and wants payloads copied. `docs/decisions/0010-guards.md` has the figures.
//!
//! One departure from CEL: an error is final. CEL lets `error || true` be true in either order.

mod check;
mod evaluate;
mod exclude;
mod fault;
mod limits;
mod node;
mod syntax;
mod types;

pub use fault::{GuardError, GuardFault};
pub use limits::{Budget, LEVELS_MAX, SOURCE_SIZE_MAX};
pub use types::{Field, Scope, Type};

use crate::value::Value;
use node::Node;
use std::collections::BTreeSet;
use std::fmt;

/// A condition, checked and compiled.
///
/// ```
/// use annals_contracts::guard::{Budget, Field, Guard, Scope, Type};
/// use annals_contracts::Value;
/// let scope = Scope::new([
///     ("record", Type::record([("major", Field::required(Type::Bool))])),
///     ("done", Type::list(Type::Text)),
/// ]);
/// let guard = Guard::compile(r#"!record.major || "legal_review" in done"#, &scope, &Type::Bool).map_err(|faults| faults[0].clone())?;
/// let (record, done) = (Value::map([("major", Value::Bool(true))]), Value::List(vec![]));
/// let variables = [("record", &record), ("done", &done)];
/// assert!(!guard.evaluate_bool(&variables, &mut Budget::new(1_000))?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Guard {
    source: String,
    root: Node,
}

/// Fields that a guard reads or asks for, from a variable on.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Read {
    /// The variable.
    pub variable: String,
    /// The fields in turn; none if the variable is used as a whole.
    pub fields: Vec<String>,
}

impl fmt::Display for Read {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.variable)?;
        self.fields.iter().try_for_each(|field| write!(formatter, ".{field}"))
    }
}

impl Guard {
    /// Compiles a guard that names variables of the scope and gives a value of the expected type.
    ///
    /// # Errors
    ///
    /// Every [`GuardFault`] there is, in the order of the text; never an empty list.
    pub fn compile(source: &str, scope: &Scope, expected: &Type) -> Result<Self, Vec<GuardFault>> {
        let expression = syntax::parse(source)?;
        let (root, faults) = check::check(&expression, scope, expected);
        if faults.is_empty() { Ok(Self { source: source.to_owned(), root }) } else { Err(faults) }
    }

    /// The text that it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates it on variables, which may be more than it names and in any order.
    ///
    /// # Errors
    ///
    /// [`GuardError`] as soon as something has no value, among others if a variable has another type than was declared.
    pub fn evaluate(&self, variables: &[(&str, &Value)], budget: &mut Budget) -> Result<Value, GuardError> {
        evaluate::evaluate(&self.root, variables, budget)?.into_value(budget, limits::ITEM_DEPTH_MAX)
    }

    /// Evaluates a guard that was compiled to give true or false; copies nothing.
    ///
    /// # Errors
    ///
    /// As [`Guard::evaluate`]; also if the guard gives something else.
    pub fn evaluate_bool(&self, variables: &[(&str, &Value)], budget: &mut Budget) -> Result<bool, GuardError> {
        evaluate::evaluate_bool(&self.root, variables, budget)
    }

    /// What it reads and asks for, sorted. Below items of lists and values of maps nothing is said.
    pub fn reads(&self) -> BTreeSet<Read> {
        let mut reads = BTreeSet::new();
        collect_reads(&self.root, &mut reads);
        reads
    }

    /// Whether this guard and another never hold together, provably; `false` says nothing.
    ///
    /// Both must be of one scope: equal names are taken for equal values.
    pub fn excludes(&self, other: &Self) -> bool {
        exclude::excludes(&self.root, &other.root)
    }
}

/// The guard as it was understood: every parenthesis that CEL's precedence needs, and no other.
impl fmt::Display for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(formatter)
    }
}

fn collect_reads(node: &Node, reads: &mut BTreeSet<Read>) {
    let mut fields = Vec::new();
    let mut root = node;
    while let Node::Field { of, name } | Node::Has { of, name } = root {
        fields.push(name.clone());
        root = of;
    }
    if let Node::Variable(variable) = root {
        fields.reverse();
        reads.insert(Read { variable: variable.clone(), fields });
    } else {
        root.each_child(|child| collect_reads(child, reads));
    }
}

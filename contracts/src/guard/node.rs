//! The compiled form of a guard: a tree of our own, checked, without anything that guards leave out.
//!
//! It prints as CEL, from which it compiles again to the same tree. Nodes are equal when they mean the same in the same place:
//! a name that `all()` and its kin introduce counts by its place, not by its letters.

use super::syntax::LoopKind;
use crate::value::Value;
use std::fmt;

/// A node of a guard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Node {
    /// What had a fault; never in a guard that compiled.
    Faulty,
    /// Bool, integer or text.
    Literal(Value),
    Variable(String),
    Local(Local),
    Field {
        of: Box<Self>,
        name: String,
    },
    Has {
        of: Box<Self>,
        name: String,
    },
    Index {
        of: Box<Self>,
        at: Box<Self>,
    },
    Not(Box<Self>),
    Negate(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    If {
        condition: Box<Self>,
        then: Box<Self>,
        otherwise: Box<Self>,
    },
    Binary {
        operator: Operator,
        left: Box<Self>,
        right: Box<Self>,
    },
    Size(Box<Self>),
    Search {
        search: Search,
        text: Box<Self>,
        part: Box<Self>,
    },
    List(Vec<Self>),
    Loop(Box<LoopNode>),
}

/// A macro over the items of a list or the keys of a map.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct LoopNode {
    pub(super) kind: LoopKind,
    pub(super) range: Node,
    pub(super) item: Local,
    pub(super) condition: Option<Node>,
    pub(super) body: Option<Node>,
}

/// A name that a loop introduces.
#[derive(Clone, Debug, Eq)]
pub(super) struct Local {
    pub(super) name: String,
    /// How many loops stand around the one that introduces it.
    pub(super) slot: usize,
}

impl PartialEq for Local {
    fn eq(&self, other: &Self) -> bool {
        self.slot == other.slot
    }
}

/// An operator between two values, neither of which decides whether the other is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operator {
    Compare(Comparison),
    In,
    Calculate(Arithmetic),
}

/// An operator that says how two values lie to each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// An operator that makes a value of two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Compare(Comparison::Equal) => "==",
            Self::Compare(Comparison::NotEqual) => "!=",
            Self::Compare(Comparison::Less) => "<",
            Self::Compare(Comparison::LessEqual) => "<=",
            Self::Compare(Comparison::Greater) => ">",
            Self::Compare(Comparison::GreaterEqual) => ">=",
            Self::In => "in",
            Self::Calculate(Arithmetic::Add) => "+",
            Self::Calculate(Arithmetic::Subtract) => "-",
            Self::Calculate(Arithmetic::Multiply) => "*",
            Self::Calculate(Arithmetic::Divide) => "/",
            Self::Calculate(Arithmetic::Remainder) => "%",
        }
    }

    const fn precedence(self) -> u8 {
        match self {
            Self::Compare(_) | Self::In => 3,
            Self::Calculate(Arithmetic::Add | Arithmetic::Subtract) => 4,
            Self::Calculate(Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder) => 5,
        }
    }
}

/// Where a part is looked for in a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Search {
    Start,
    End,
    Anywhere,
}

impl Search {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Start => "startsWith",
            Self::End => "endsWith",
            Self::Anywhere => "contains",
        }
    }
}

/// How tightly a node binds: 0 for `?:` up to this for what needs no parentheses anywhere.
const ATOM: u8 = 7;
const UNARY: u8 = 6;

impl Node {
    fn precedence(&self) -> u8 {
        match self {
            Self::If { .. } => 0,
            Self::Or(..) => 1,
            Self::And(..) => 2,
            Self::Binary { operator, .. } => operator.precedence(),
            Self::Not(_) | Self::Negate(_) => UNARY,
            Self::Literal(Value::Integer(number)) if *number < 0 => UNARY,
            Self::Literal(_)
            | Self::Faulty
            | Self::Variable(_)
            | Self::Local(_)
            | Self::Field { .. }
            | Self::Has { .. }
            | Self::Index { .. }
            | Self::Size(_)
            | Self::Search { .. }
            | Self::List(_)
            | Self::Loop(_) => ATOM,
        }
    }

    /// Calls back for each node directly below this one, in the order of evaluation.
    pub(super) fn each_child<'n>(&'n self, mut visit: impl FnMut(&'n Self)) {
        match self {
            Self::Faulty | Self::Literal(_) | Self::Variable(_) | Self::Local(_) => {}
            Self::Field { of, .. } | Self::Has { of, .. } => visit(of),
            Self::Not(of) | Self::Negate(of) | Self::Size(of) => visit(of),
            Self::Index { of: left, at: right }
            | Self::And(left, right)
            | Self::Or(left, right)
            | Self::Binary { left, right, .. }
            | Self::Search { text: left, part: right, .. } => {
                visit(left);
                visit(right);
            }
            Self::If { condition, then, otherwise } => {
                visit(condition);
                visit(then);
                visit(otherwise);
            }
            Self::List(items) => items.iter().for_each(visit),
            Self::Loop(of) => {
                visit(&of.range);
                of.condition.iter().for_each(&mut visit);
                of.body.iter().for_each(visit);
            }
        }
    }

    /// This node, in parentheses if it binds less tightly than it has to.
    const fn within(&self, precedence: u8) -> Within<'_> {
        Within { node: self, precedence }
    }
}

struct Within<'n> {
    node: &'n Node,
    precedence: u8,
}

impl fmt::Display for Within<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node.precedence() < self.precedence {
            write!(formatter, "({})", self.node)
        } else {
            self.node.fmt(formatter)
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faulty => formatter.write_str("…"),
            Self::Literal(Value::Text(text)) => write_text(formatter, text),
            Self::Literal(value) => value.fmt(formatter),
            Self::Variable(name) | Self::Local(Local { name, .. }) => formatter.write_str(name),
            Self::Field { of, name } => write!(formatter, "{}.{name}", of.within(ATOM)),
            Self::Has { of, name } => write!(formatter, "has({}.{name})", of.within(ATOM)),
            Self::Index { of, at } => write!(formatter, "{}[{at}]", of.within(ATOM)),
            Self::Not(of) => write!(formatter, "!{}", of.within(ATOM)),
            // A literal below it would be read as a negative literal.
            Self::Negate(of) if matches!(**of, Self::Literal(_)) => write!(formatter, "-({of})"),
            Self::Negate(of) => write!(formatter, "-{}", of.within(ATOM)),
            Self::And(left, right) => write!(formatter, "{} && {}", left.within(2), right.within(2)),
            Self::Or(left, right) => write!(formatter, "{} || {}", left.within(1), right.within(1)),
            Self::If { condition, then, otherwise } => {
                write!(formatter, "{} ? {} : {otherwise}", condition.within(1), then.within(1))
            }
            Self::Binary { operator, left, right } => {
                let own = operator.precedence();
                write!(formatter, "{} {} {}", left.within(own), operator.symbol(), right.within(own + 1))
            }
            Self::Size(of) => write!(formatter, "size({of})"),
            Self::Search { search, text, part } => {
                write!(formatter, "{}.{}({part})", text.within(ATOM), search.name())
            }
            Self::List(items) => {
                formatter.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(formatter, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                formatter.write_str("]")
            }
            Self::Loop(of) => of.fmt(formatter),
        }
    }
}

impl fmt::Display for LoopNode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.kind, &self.body) {
            (LoopKind::All, _) => "all",
            (LoopKind::Exists, _) => "exists",
            (LoopKind::ExistsOne, _) => "exists_one",
            (LoopKind::Select, None) => "filter",
            (LoopKind::Select, Some(_)) => "map",
        };
        write!(formatter, "{}.{name}({}", self.range.within(ATOM), self.item.name)?;
        for part in self.condition.iter().chain(&self.body) {
            write!(formatter, ", {part}")?;
        }
        formatter.write_str(")")
    }
}

fn write_text(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write;
    formatter.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(formatter, "\\{character}")?,
            '\n' => formatter.write_str("\\n")?,
            control if control.is_control() => write!(formatter, "\\u{:04x}", u32::from(control))?,
            other => formatter.write_char(other)?,
        }
    }
    formatter.write_char('"')
}

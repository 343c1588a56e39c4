//! Whether two guards can ever hold together.
//!
//! Two automatic transitions that are enabled at once would leave it to chance which is taken, so a definition is refused unless
//! its guards exclude each other provably. The proof is syntactic and one-sided: `true` is certain, `false` says nothing. It takes
//! `&&`, `||` and `!` apart on both sides until two parts are left that contradict each other: one the negation of the other, or
//! both about one expression and its place among values. A guard that fails with an error does not hold either.

use super::node::{Comparison, Node, Operator};
use crate::value::Value;

/// A node, or its negation.
#[derive(Clone, Copy)]
struct Claim<'n> {
    node: &'n Node,
    truth: bool,
}

/// A claim that is two others.
struct Parts<'n> {
    left: Claim<'n>,
    right: Claim<'n>,
    /// Whether both hold, or one at least.
    both: bool,
}

/// Whether never both hold, provably.
pub(super) fn excludes(one: &Node, other: &Node) -> bool {
    let (one, other) = (Claim { node: one, truth: true }, Claim { node: other, truth: true });
    // Which side is taken apart first decides what is found, so it is tried both ways.
    never_both(one, other) || never_both(other, one)
}

/// Each pair of parts is met once at most, since the order in which claims are taken apart is fixed.
fn never_both(one: Claim<'_>, other: Claim<'_>) -> bool {
    let (one, other) = (one.plain(), other.plain());
    if contradict(one, other) {
        return true;
    }
    match (one.parts(), other.parts()) {
        (Some(parts), _) if !parts.both => never_both(parts.left, other) && never_both(parts.right, other),
        (_, Some(parts)) if !parts.both => never_both(one, parts.left) && never_both(one, parts.right),
        (Some(parts), _) => never_both(parts.left, other) || never_both(parts.right, other),
        (None, Some(parts)) => never_both(one, parts.left) || never_both(one, parts.right),
        (None, None) => false,
    }
}

impl<'n> Claim<'n> {
    /// Without `!`, `== true` and `!= true` around it.
    fn plain(mut self) -> Self {
        while let Some((node, same)) = inside(self.node) {
            self = Self { node, truth: self.truth == same };
        }
        self
    }

    fn parts(self) -> Option<Parts<'n>> {
        let (Node::And(left, right) | Node::Or(left, right)) = self.node else { return None };
        let claim = |node| Self { node, truth: self.truth };
        let both = matches!(self.node, Node::And(..)) == self.truth;
        Some(Parts { left: claim(left), right: claim(right), both })
    }

    /// The comparison that it claims to hold.
    fn comparison(self) -> Option<(Comparison, &'n Node, &'n Node)> {
        let Node::Binary { operator: Operator::Compare(comparison), left, right } = self.node else { return None };
        Some((if self.truth { *comparison } else { negated(*comparison) }, left, right))
    }

    /// What it says of where an expression's value lies, if that is what it says.
    fn place(self) -> Option<(&'n Node, Place<'n>)> {
        let (comparison, left, right) = self.comparison()?;
        match (left, right) {
            (of, Node::Literal(literal)) => Some((of, Place::new(comparison, literal)?)),
            (Node::Literal(literal), of) => Some((of, Place::new(mirrored(comparison), literal)?)),
            _ => None,
        }
    }
}

/// What a node says the same of, or the opposite.
fn inside(node: &Node) -> Option<(&Node, bool)> {
    if let Node::Not(of) = node {
        return Some((of, false));
    }
    let Node::Binary { operator: Operator::Compare(comparison), left, right } = node else { return None };
    let equal = match comparison {
        Comparison::Equal => true,
        Comparison::NotEqual => false,
        Comparison::Less | Comparison::LessEqual | Comparison::Greater | Comparison::GreaterEqual => return None,
    };
    match (&**left, &**right) {
        (Node::Literal(Value::Bool(truth)), of) | (of, Node::Literal(Value::Bool(truth))) => {
            Some((of, *truth == equal))
        }
        _ => None,
    }
}

/// Values that an expression may have.
enum Place<'n> {
    Is(&'n Value),
    IsNot(&'n Value),
    /// An integer of at least and at most so much.
    Between(i64, i64),
}

impl<'n> Place<'n> {
    const fn new(comparison: Comparison, literal: &'n Value) -> Option<Self> {
        match (comparison, literal) {
            (Comparison::Equal, _) => Some(Self::Is(literal)),
            (Comparison::NotEqual, _) => Some(Self::IsNot(literal)),
            (Comparison::Less, Value::Integer(number)) => Some(Self::Between(i64::MIN, number.saturating_sub(1))),
            (Comparison::LessEqual, Value::Integer(number)) => Some(Self::Between(i64::MIN, *number)),
            (Comparison::Greater, Value::Integer(number)) => Some(Self::Between(number.saturating_add(1), i64::MAX)),
            (Comparison::GreaterEqual, Value::Integer(number)) => Some(Self::Between(*number, i64::MAX)),
            _ => None,
        }
    }

    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Is(one), Self::Is(other)) => one != other,
            (Self::Is(one), Self::IsNot(other)) | (Self::IsNot(other), Self::Is(one)) => one == other,
            (Self::Between(first, last), Self::Between(other_first, other_last)) => {
                last < other_first || other_last < first
            }
            (Self::Is(Value::Integer(number)), Self::Between(first, last))
            | (Self::Between(first, last), Self::Is(Value::Integer(number))) => number < first || last < number,
            (Self::Is(_) | Self::IsNot(_) | Self::Between(..), _) => false,
        }
    }
}

fn contradict(one: Claim<'_>, other: Claim<'_>) -> bool {
    if never(one) || never(other) || (one.truth != other.truth && one.node == other.node) {
        return true;
    }
    if let (Some((of, place)), Some((other_of, other_place))) = (one.place(), other.place())
        && of == other_of
    {
        return place.excludes(&other_place);
    }
    compared_otherwise(one, other)
}

/// Whether a claim is a literal that it denies.
fn never(claim: Claim<'_>) -> bool {
    matches!(claim.node, Node::Literal(Value::Bool(truth)) if *truth != claim.truth)
}

/// Whether both compare the same two expressions, in ways that go not together.
fn compared_otherwise(one: Claim<'_>, other: Claim<'_>) -> bool {
    let (Some((first, left, right)), Some((second, other_left, other_right))) = (one.comparison(), other.comparison())
    else {
        return false;
    };
    let together = |second| outcomes(first) & outcomes(second) != 0;
    (left == other_left && right == other_right && !together(second))
        || (left == other_right && right == other_left && !together(mirrored(second)))
}

/// Which outcomes of a comparison an operator takes: less 1, equal 2, greater 4.
const fn outcomes(comparison: Comparison) -> u8 {
    match comparison {
        Comparison::Less => 1,
        Comparison::Equal => 2,
        Comparison::LessEqual => 3,
        Comparison::Greater => 4,
        Comparison::NotEqual => 5,
        Comparison::GreaterEqual => 6,
    }
}

/// The comparison that holds where this one does not, given that neither side fails.
const fn negated(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Equal => Comparison::NotEqual,
        Comparison::NotEqual => Comparison::Equal,
        Comparison::Less => Comparison::GreaterEqual,
        Comparison::LessEqual => Comparison::Greater,
        Comparison::Greater => Comparison::LessEqual,
        Comparison::GreaterEqual => Comparison::Less,
    }
}

/// The comparison that says the same with the sides exchanged.
const fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Equal => Comparison::Equal,
        Comparison::NotEqual => Comparison::NotEqual,
        Comparison::Less => Comparison::Greater,
        Comparison::LessEqual => Comparison::GreaterEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterEqual => Comparison::LessEqual,
    }
}

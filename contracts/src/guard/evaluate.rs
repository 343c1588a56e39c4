//! The evaluator: a walk of the tree over values that it borrows.
//!
//! It trusts nothing that the checker knew, since payloads come from outside: each node looks at what it got, and what does not
//! fit is a typed error. Every node and every item takes a step of the budget, so time and memory are bounded by it. `&&`, `||`,
//! `?:` and the macros go left to right and stop where the answer is known. An error is the answer where it is met: CEL would let
//! `error || true` be true, but then what a guard answers would depend on evaluating what it need not.

use super::fault::GuardError;
use super::limits::{Budget, ITEM_DEPTH_MAX};
use super::node::{Arithmetic, Comparison, LoopNode, Node, Operator, Search};
use super::syntax::LoopKind;
use crate::value::{INTEGER_MAX, VALUE_SIZE_MAX, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The fields of a map.
type Fields = BTreeMap<String, Value>;

/// What a node evaluates to: borrowed where it came in, shared where it was made. A clone costs nothing that grows.
#[derive(Clone, Debug)]
pub(super) enum Item<'v> {
    Bool(bool),
    Integer(i64),
    Text(&'v str),
    MadeText(Rc<str>),
    List(&'v [Value]),
    MadeList(Rc<[Self]>),
    Map(&'v Fields),
}

impl<'v> Item<'v> {
    fn of(value: &'v Value) -> Self {
        match value {
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Integer(number) => Self::Integer(*number),
            Value::Text(text) => Self::Text(text),
            Value::List(items) => Self::List(items),
            Value::Map(fields) => Self::Map(fields),
        }
    }

    const fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Integer(_) => "integer",
            Self::Text(_) | Self::MadeText(_) => "text",
            Self::List(_) | Self::MadeList(_) => "list",
            Self::Map(_) => "map",
        }
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::MadeText(text) => Some(text),
            Self::Bool(_) | Self::Integer(_) | Self::List(_) | Self::MadeList(_) | Self::Map(_) => None,
        }
    }

    fn length(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::MadeList(items) => Some(items.len()),
            Self::Bool(_) | Self::Integer(_) | Self::Text(_) | Self::MadeText(_) | Self::Map(_) => None,
        }
    }

    /// The item of a list; nothing beyond its end, and nothing of what is no list.
    fn item(&self, index: usize) -> Option<Self> {
        match self {
            Self::List(items) => items.get(index).map(Self::of),
            Self::MadeList(items) => items.get(index).cloned(),
            Self::Bool(_) | Self::Integer(_) | Self::Text(_) | Self::MadeText(_) | Self::Map(_) => None,
        }
    }

    /// The items of a list in order; none of what is no list.
    fn items(&self) -> impl Iterator<Item = Self> {
        (0..).map_while(|index| self.item(index))
    }

    /// The value, copied.
    pub(super) fn into_value(self, budget: &mut Budget, levels: usize) -> Result<Value, GuardError> {
        let below = levels.checked_sub(1).ok_or(GuardError::TooDeep)?;
        budget.spend(1)?;
        Ok(match &self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(_) | Self::MadeText(_) => {
                let text = self.as_text().unwrap_or_default();
                budget.spend_on_text(text.len())?;
                Value::Text(text.to_owned())
            }
            Self::List(_) | Self::MadeList(_) => {
                Value::List(self.items().map(|item| item.into_value(budget, below)).collect::<Result<_, _>>()?)
            }
            Self::Map(fields) => {
                let copy = |(name, value): (&String, &'v Value)| {
                    budget.spend_on_text(name.len())?;
                    Ok((name.clone(), Self::of(value).into_value(budget, below)?))
                };
                Value::Map(fields.iter().map(copy).collect::<Result<_, GuardError>>()?)
            }
        })
    }
}

/// Evaluates a guard's tree on variables.
pub(super) fn evaluate<'v>(
    node: &'v Node,
    variables: &'v [(&'v str, &'v Value)],
    budget: &mut Budget,
) -> Result<Item<'v>, GuardError> {
    Evaluator { variables, locals: Vec::new(), budget }.item(node)
}

/// A boolean of a node; an error if it is none.
pub(super) fn evaluate_bool(
    node: &Node,
    variables: &[(&str, &Value)],
    budget: &mut Budget,
) -> Result<bool, GuardError> {
    Evaluator { variables, locals: Vec::new(), budget }.truth(node)
}

/// An evaluation: `'v` is as long as guard and values live, `'b` as long as the budget is lent.
struct Evaluator<'v, 'b> {
    variables: &'v [(&'v str, &'v Value)],
    /// Items of the loops around, outermost first.
    locals: Vec<Item<'v>>,
    budget: &'b mut Budget,
}

fn wrong_type<T>(node: &Node, wanted: &'static str, got: &Item<'_>) -> Result<T, GuardError> {
    Err(GuardError::WrongType { expression: node.to_string(), wanted, got: got.type_name() })
}

impl<'v> Evaluator<'v, '_> {
    fn item(&mut self, node: &'v Node) -> Result<Item<'v>, GuardError> {
        self.budget.spend(1)?;
        match node {
            // Only a tree with faults holds it, and such a tree is not kept.
            Node::Faulty => wrong_type(node, "an expression", &Item::Bool(false)),
            Node::Literal(value) => Ok(Item::of(value)),
            Node::Variable(name) => {
                let found = self.variables.iter().find(|(variable, _)| variable == name);
                found
                    .map(|(_, value)| Item::of(value))
                    .ok_or_else(|| GuardError::MissingVariable { name: name.clone() })
            }
            Node::Local(local) => {
                let found = self.locals.get(local.slot).cloned();
                found.ok_or_else(|| GuardError::MissingVariable { name: local.name.clone() })
            }
            Node::Field { of, name } => {
                let found = self.map(of)?.get(name);
                found.map(Item::of).ok_or_else(|| GuardError::MissingField { expression: node.to_string() })
            }
            Node::Has { of, name } => Ok(Item::Bool(self.map(of)?.contains_key(name))),
            Node::Index { of, at } => self.index(node, of, at),
            Node::Not(of) => Ok(Item::Bool(!self.truth(of)?)),
            Node::Negate(of) => within(node, self.integer(of)?.checked_neg()),
            Node::And(left, right) => Ok(Item::Bool(self.truth(left)? && self.truth(right)?)),
            Node::Or(left, right) => Ok(Item::Bool(self.truth(left)? || self.truth(right)?)),
            Node::If { condition, then, otherwise } => {
                let taken = if self.truth(condition)? { then } else { otherwise };
                self.item(taken)
            }
            Node::Binary { operator, left, right } => self.binary(node, *operator, left, right),
            Node::Size(of) => self.size(of),
            Node::Search { search, text, part } => self.search(*search, text, part),
            Node::List(items) => {
                let items = items.iter().map(|item| self.item(item));
                Ok(Item::MadeList(items.collect::<Result<_, _>>()?))
            }
            Node::Loop(of) => self.repeat(of),
        }
    }

    fn truth(&mut self, node: &'v Node) -> Result<bool, GuardError> {
        let item = self.item(node)?;
        if let Item::Bool(truth) = item { Ok(truth) } else { wrong_type(node, "bool", &item) }
    }

    fn integer(&mut self, node: &'v Node) -> Result<i64, GuardError> {
        let item = self.item(node)?;
        if let Item::Integer(number) = item { Ok(number) } else { wrong_type(node, "integer", &item) }
    }

    fn map(&mut self, node: &'v Node) -> Result<&'v Fields, GuardError> {
        let item = self.item(node)?;
        if let Item::Map(fields) = item { Ok(fields) } else { wrong_type(node, "map", &item) }
    }

    fn index(&mut self, node: &'v Node, of: &'v Node, at: &'v Node) -> Result<Item<'v>, GuardError> {
        let list = self.item(of)?;
        if let Item::Map(fields) = list {
            let key = self.item(at)?;
            let Some(key) = key.as_text() else { return wrong_type(at, "text", &key) };
            self.budget.spend_on_text(key.len())?;
            let found = fields.get(key).map(Item::of);
            return found.ok_or_else(|| GuardError::NoSuchKey { expression: node.to_string() });
        }
        let Some(length) = list.length() else { return wrong_type(of, "list", &list) };
        let index = self.integer(at)?;
        let found = usize::try_from(index).ok().and_then(|index| list.item(index));
        found.ok_or_else(|| GuardError::NoSuchIndex { expression: node.to_string(), index, length })
    }

    fn size(&mut self, of: &'v Node) -> Result<Item<'v>, GuardError> {
        let item = self.item(of)?;
        let size = match &item {
            Item::List(_) | Item::MadeList(_) => item.length().unwrap_or_default(),
            Item::Map(fields) => fields.len(),
            Item::Text(_) | Item::MadeText(_) => {
                let text = item.as_text().unwrap_or_default();
                self.budget.spend_on_text(text.len())?;
                text.chars().count()
            }
            Item::Bool(_) | Item::Integer(_) => return wrong_type(of, "list, map or text", &item),
        };
        within(of, i64::try_from(size).ok())
    }

    fn search(&mut self, search: Search, text: &'v Node, part: &'v Node) -> Result<Item<'v>, GuardError> {
        let (text_item, part_item) = (self.item(text)?, self.item(part)?);
        let Some(whole) = text_item.as_text() else { return wrong_type(text, "text", &text_item) };
        let Some(sought) = part_item.as_text() else { return wrong_type(part, "text", &part_item) };
        let looked_at =
            if search == Search::Anywhere { whole.len().saturating_add(sought.len()) } else { sought.len() };
        self.budget.spend_on_text(looked_at)?;
        Ok(Item::Bool(match search {
            Search::Start => whole.starts_with(sought),
            Search::End => whole.ends_with(sought),
            Search::Anywhere => whole.contains(sought),
        }))
    }

    fn binary(
        &mut self,
        node: &'v Node,
        operator: Operator,
        left: &'v Node,
        right: &'v Node,
    ) -> Result<Item<'v>, GuardError> {
        let (one, other) = (self.item(left)?, self.item(right)?);
        match operator {
            Operator::Compare(comparison) => Ok(Item::Bool(self.compare(right, comparison, &one, &other)?)),
            Operator::In => self.contains(right, &one, &other),
            Operator::Calculate(arithmetic) => match (&one, &other, arithmetic) {
                (Item::Integer(one), Item::Integer(other), _) => calculate(node, arithmetic, *one, *other),
                (_, _, Arithmetic::Add) => self.join(right, &one, &other),
                (Item::Integer(_), wrong, _) => wrong_type(right, "integer", wrong),
                (wrong, _, _) => wrong_type(left, "integer", wrong),
            },
        }
    }

    /// How two items lie to each other; `right` is the node that the second comes from.
    fn compare(
        &mut self,
        right: &Node,
        comparison: Comparison,
        one: &Item<'v>,
        other: &Item<'v>,
    ) -> Result<bool, GuardError> {
        match comparison {
            Comparison::Equal => self.equal(right, one, other, ITEM_DEPTH_MAX),
            Comparison::NotEqual => Ok(!self.equal(right, one, other, ITEM_DEPTH_MAX)?),
            Comparison::Less => Ok(self.order(right, one, other)?.is_lt()),
            Comparison::LessEqual => Ok(self.order(right, one, other)?.is_le()),
            Comparison::Greater => Ok(self.order(right, one, other)?.is_gt()),
            Comparison::GreaterEqual => Ok(self.order(right, one, other)?.is_ge()),
        }
    }

    fn equal(&mut self, right: &Node, one: &Item<'v>, other: &Item<'v>, levels: usize) -> Result<bool, GuardError> {
        let below = levels.checked_sub(1).ok_or(GuardError::TooDeep)?;
        self.budget.spend(1)?;
        if let (Some(one), Some(other)) = (one.as_text(), other.as_text()) {
            self.budget.spend_on_text(one.len().min(other.len()))?;
            return Ok(one == other);
        }
        if let (Some(length), Some(other_length)) = (one.length(), other.length()) {
            return Ok(length == other_length && self.equal_lists(right, one, other, below)?);
        }
        match (one, other) {
            (Item::Bool(one), Item::Bool(other)) => Ok(one == other),
            (Item::Integer(one), Item::Integer(other)) => Ok(one == other),
            (Item::Map(one), Item::Map(other)) => {
                Ok(one.len() == other.len() && self.equal_maps(right, one, other, below)?)
            }
            _ => wrong_type(right, one.type_name(), other),
        }
    }

    fn equal_lists(
        &mut self,
        right: &Node,
        one: &Item<'v>,
        other: &Item<'v>,
        levels: usize,
    ) -> Result<bool, GuardError> {
        for (one, other) in one.items().zip(other.items()) {
            if !self.equal(right, &one, &other, levels)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_maps(
        &mut self,
        right: &Node,
        one: &'v Fields,
        other: &'v Fields,
        levels: usize,
    ) -> Result<bool, GuardError> {
        for ((name, value), (other_name, other_value)) in one.iter().zip(other) {
            self.budget.spend_on_text(name.len().min(other_name.len()))?;
            if name != other_name || !self.equal(right, &Item::of(value), &Item::of(other_value), levels)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How two integers or texts are ordered; texts by code point, which is how their bytes are.
    fn order(&mut self, right: &Node, one: &Item<'v>, other: &Item<'v>) -> Result<Ordering, GuardError> {
        if let (Item::Integer(one), Item::Integer(other)) = (one, other) {
            return Ok(one.cmp(other));
        }
        let (Some(text), Some(other_text)) = (one.as_text(), other.as_text()) else {
            return wrong_type(right, one.type_name(), other);
        };
        self.budget.spend_on_text(text.len().min(other_text.len()))?;
        Ok(text.cmp(other_text))
    }

    fn contains(&mut self, right: &Node, one: &Item<'v>, many: &Item<'v>) -> Result<Item<'v>, GuardError> {
        if let Item::Map(fields) = many {
            let Some(key) = one.as_text() else { return wrong_type(right, "list", many) };
            self.budget.spend_on_text(key.len())?;
            return Ok(Item::Bool(fields.contains_key(key)));
        }
        if many.length().is_none() {
            return wrong_type(right, "list", many);
        }
        for item in many.items() {
            if self.equal(right, one, &item, ITEM_DEPTH_MAX)? {
                return Ok(Item::Bool(true));
            }
        }
        Ok(Item::Bool(false))
    }

    /// Two texts or two lists in one.
    fn join(&mut self, right: &Node, one: &Item<'v>, other: &Item<'v>) -> Result<Item<'v>, GuardError> {
        if let (Some(one), Some(other)) = (one.as_text(), other.as_text()) {
            let size = one.len().saturating_add(other.len());
            if VALUE_SIZE_MAX < size {
                return Err(GuardError::TooLarge(size));
            }
            self.budget.spend_on_text(size)?;
            return Ok(Item::MadeText([one, other].concat().into()));
        }
        let (Some(length), Some(other_length)) = (one.length(), other.length()) else {
            return wrong_type(right, one.type_name(), other);
        };
        self.budget.spend(length.saturating_add(other_length))?;
        Ok(Item::MadeList(one.items().chain(other.items()).collect()))
    }

    fn repeat(&mut self, of: &'v LoopNode) -> Result<Item<'v>, GuardError> {
        let range = self.item(&of.range)?;
        if let Item::Map(fields) = range {
            return self.over(of, fields.keys().map(|key| Item::Text(key)));
        }
        if range.length().is_none() {
            return wrong_type(&of.range, "list", &range);
        }
        self.over(of, range.items())
    }

    fn over(&mut self, of: &'v LoopNode, items: impl Iterator<Item = Item<'v>>) -> Result<Item<'v>, GuardError> {
        let (mut taken, mut made) = (0_u64, Vec::new());
        for item in items {
            self.budget.spend(1)?;
            // An error ends the whole evaluation, so what it leaves here is never looked at.
            self.locals.push(item.clone());
            let holds = of.condition.as_ref().map_or(Ok(true), |condition| self.truth(condition))?;
            if holds {
                taken += 1;
                if of.kind == LoopKind::Select {
                    made.push(of.body.as_ref().map_or(Ok(item), |body| self.item(body))?);
                }
            }
            self.locals.pop();
            match (of.kind, holds) {
                (LoopKind::All, false) => return Ok(Item::Bool(false)),
                (LoopKind::Exists, true) => return Ok(Item::Bool(true)),
                (LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne | LoopKind::Select, _) => {}
            }
        }
        Ok(match of.kind {
            LoopKind::All => Item::Bool(true),
            LoopKind::Exists => Item::Bool(false),
            LoopKind::ExistsOne => Item::Bool(taken == 1),
            LoopKind::Select => Item::MadeList(made.into()),
        })
    }
}

fn calculate<'v>(node: &Node, arithmetic: Arithmetic, one: i64, other: i64) -> Result<Item<'v>, GuardError> {
    let result = match arithmetic {
        Arithmetic::Add => one.checked_add(other),
        Arithmetic::Subtract => one.checked_sub(other),
        Arithmetic::Multiply => one.checked_mul(other),
        Arithmetic::Divide | Arithmetic::Remainder if other == 0 => {
            return Err(GuardError::DivisionByZero { expression: node.to_string() });
        }
        Arithmetic::Divide => one.checked_div(other),
        Arithmetic::Remainder => one.checked_rem(other),
    };
    within(node, result)
}

/// An integer, if values can hold it: guards calculate with the integers of payloads, 53 bits, and overflow beyond them.
fn within<'v>(node: &Node, number: Option<i64>) -> Result<Item<'v>, GuardError> {
    let fits = number.filter(|number| (-INTEGER_MAX..=INTEGER_MAX).contains(number));
    fits.map(Item::Integer).ok_or_else(|| GuardError::Overflow { expression: node.to_string() })
}

//! The checker: from CEL's syntax tree to ours, with every fault on the way.
//!
//! It goes on after a fault, with a type that agrees with everything, so that a definition's author sees all faults at once. What
//! it accepts uses only what guards have, and reads an optional field only where a `has()` of the same field decided that it
//! is there. That follows `&&`, `||`, `!` and `?:` as they are evaluated, left to right.

use super::fault::GuardFault;
use super::node::{Arithmetic, Comparison, Local, LoopNode, Node, Operator, Search};
use super::syntax::{LoopKind, macro_of};
use super::types::{Field, Scope, Shape, Type};
use crate::value::{INTEGER_MAX, Value};
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SelectExpr, operators};
use cel::parser::Expression;

/// A node, and what it evaluates to.
type Checked<'t> = (Node, Shape<'t>);

/// Checks an expression; the node counts only if there are no faults.
pub(super) fn check<'t>(expression: &Expression, scope: &'t Scope, expected: &'t Type) -> (Node, Vec<GuardFault>) {
    let mut checker = Checker { scope, locals: Vec::new(), present: Vec::new(), faults: Vec::new() };
    let (node, got) = checker.check(expression);
    let wanted = Shape::of(expected);
    if !got.agrees(&wanted) {
        checker.faults.push(GuardFault::Result { wanted: wanted.to_string(), got: got.to_string() });
    }
    (node, checker.faults)
}

struct Checker<'t> {
    scope: &'t Scope,
    /// Names of the loops around, outermost first, and what their items are.
    locals: Vec<(String, Shape<'t>)>,
    /// `has()` nodes that are known to be true here.
    present: Vec<Node>,
    faults: Vec<GuardFault>,
}

impl<'t> Checker<'t> {
    fn fault(&mut self, fault: GuardFault) -> Checked<'t> {
        self.faults.push(fault);
        (Node::Faulty, Shape::Any)
    }

    fn not_allowed(&mut self, what: &str) -> Checked<'t> {
        self.fault(GuardFault::NotAllowed { what: what.to_owned() })
    }

    fn check(&mut self, expression: &Expression) -> Checked<'t> {
        match &expression.expr {
            Expr::Unspecified => self.not_allowed("an empty expression"),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(expansion) => self.comprehension(expansion),
            Expr::Ident(name) => self.name(name),
            Expr::List(list) => self.list(&list.elements),
            Expr::Literal(literal) => self.literal(literal),
            Expr::Map(_) => self.not_allowed("a map literal"),
            Expr::Select(select) => self.select(select),
            Expr::Struct(_) => self.not_allowed("a message literal"),
        }
    }

    fn literal(&mut self, literal: &LiteralValue) -> Checked<'t> {
        match literal {
            LiteralValue::Boolean(truth) => (Node::Literal(Value::Bool(*truth.inner())), Shape::Bool),
            LiteralValue::String(text) => (Node::Literal(Value::Text(text.inner().to_owned())), Shape::Text),
            LiteralValue::Int(number) => self.integer(*number.inner()),
            LiteralValue::Bytes(_) => self.not_allowed("a bytes literal"),
            LiteralValue::Double(_) => self.not_allowed("a fraction"),
            LiteralValue::Null => self.not_allowed("null"),
            LiteralValue::UInt(_) => self.not_allowed("an unsigned literal"),
        }
    }

    fn integer(&mut self, number: i64) -> Checked<'t> {
        if !(-INTEGER_MAX..=INTEGER_MAX).contains(&number) {
            self.faults.push(GuardFault::Integer { number });
        }
        (Node::Literal(Value::Integer(number)), Shape::Integer)
    }

    fn name(&mut self, name: &str) -> Checked<'t> {
        if let Some(slot) = self.locals.iter().position(|(local, _)| local == name) {
            let shape = self.locals.get(slot).map_or(Shape::Any, |(_, shape)| shape.clone());
            return (Node::Local(Local { name: name.to_owned(), slot }), shape);
        }
        if let Some(of) = self.scope.get(name) {
            return (Node::Variable(name.to_owned()), Shape::of(of));
        }
        let locals = self.locals.iter().map(|(name, _)| name.as_str());
        let known = self.scope.names().chain(locals).map(str::to_owned).collect();
        self.fault(GuardFault::UnknownVariable { name: name.to_owned(), known })
    }

    fn list(&mut self, elements: &[Expression]) -> Checked<'t> {
        let (mut items, mut of) = (Vec::with_capacity(elements.len()), Shape::Any);
        for element in elements {
            let (item, shape) = self.check(element);
            match of.unify(&shape) {
                Some(unified) => of = unified,
                None => self.wrong_type(&item, &of.to_string(), &shape),
            }
            items.push(item);
        }
        (Node::List(items), Shape::List(Box::new(of)))
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str, got: &Shape<'t>) {
        self.faults.push(GuardFault::WrongType {
            expression: node.to_string(),
            wanted: wanted.to_owned(),
            got: got.to_string(),
        });
    }

    /// Checks an expression that must be of one type.
    fn expect(&mut self, expression: &Expression, wanted: &Shape<'t>) -> Box<Node> {
        let (node, got) = self.check(expression);
        if !got.agrees(wanted) {
            self.wrong_type(&node, &wanted.to_string(), &got);
        }
        Box::new(node)
    }

    fn select(&mut self, select: &SelectExpr) -> Checked<'t> {
        let (of, shape) = self.check(&select.operand);
        let field = match &shape {
            Shape::Record(fields) => fields.get(&select.field),
            Shape::Map(_) | Shape::Any => None,
            Shape::Bool | Shape::Integer | Shape::Text | Shape::List(_) => {
                self.wrong_type(&of, "a record or a map", &shape);
                return (Node::Faulty, Shape::Any);
            }
        };
        let (name, of) = (select.field.clone(), Box::new(of));
        let result = match (&shape, field) {
            (_, Some(field)) => Shape::of(&field.of),
            (Shape::Map(value), None) => Shape::of(value),
            (Shape::Record(fields), None) => {
                let known = fields.keys().cloned().collect();
                return self.fault(GuardFault::UnknownField { expression: of.to_string(), field: name, known });
            }
            (Shape::Any | Shape::Bool | Shape::Integer | Shape::Text | Shape::List(_), None) => Shape::Any,
        };
        if select.test {
            return (Node::Has { of, name }, Shape::Bool);
        }
        if field.is_some_and(|field: &Field| field.optional) && !self.is_present(&of, &name) {
            let expression = Node::Field { of: of.clone(), name: name.clone() }.to_string();
            self.faults.push(GuardFault::Unprotected { expression });
        }
        (Node::Field { of, name }, result)
    }

    fn is_present(&self, of: &Node, name: &str) -> bool {
        self.present.iter().any(|has| matches!(has, Node::Has { of: it, name: field } if field == name && **it == *of))
    }

    /// Checks an expression that is evaluated only where the condition came out so.
    fn check_where(&mut self, condition: &Node, truth: bool, expression: &Expression) -> Checked<'t> {
        let before = self.present.len();
        self.present.append(&mut present_where(condition, truth));
        let checked = self.check(expression);
        self.present.truncate(before);
        checked
    }

    fn expect_bool_where(&mut self, condition: &Node, truth: bool, expression: &Expression) -> Box<Node> {
        let (node, got) = self.check_where(condition, truth, expression);
        if !got.agrees(&Shape::Bool) {
            self.wrong_type(&node, "bool", &got);
        }
        Box::new(node)
    }

    fn call(&mut self, call: &CallExpr) -> Checked<'t> {
        if let Some(target) = &call.target {
            return self.method(&call.func_name, target, &call.args);
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => {
                let left = self.expect(left, &Shape::Bool);
                let right = self.expect_bool_where(&left, true, right);
                (Node::And(left, right), Shape::Bool)
            }
            (operators::LOGICAL_OR, [left, right]) => {
                let left = self.expect(left, &Shape::Bool);
                let right = self.expect_bool_where(&left, false, right);
                (Node::Or(left, right), Shape::Bool)
            }
            (operators::LOGICAL_NOT, [of]) => (Node::Not(self.expect(of, &Shape::Bool)), Shape::Bool),
            (operators::NEGATE, [of]) => (Node::Negate(self.expect(of, &Shape::Integer)), Shape::Integer),
            (operators::CONDITIONAL, [condition, then, otherwise]) => self.conditional(condition, then, otherwise),
            (operators::INDEX, [of, at]) => self.index(of, at),
            ("size", [of]) => self.size(of),
            ("size", _) => self.fault(GuardFault::Usage { usage: "size(a list, map or text)" }),
            (name, [left, right]) => match operator(name) {
                Some(operator) => self.binary(operator, left, right),
                None => self.not_allowed(&format!("{name}()")),
            },
            (name, _) => self.not_allowed(&format!("{name}()")),
        }
    }

    fn method(&mut self, name: &str, target: &Expression, arguments: &[Expression]) -> Checked<'t> {
        let search = match (name, arguments) {
            ("size", []) => return self.size(target),
            ("startsWith", [_]) => Search::Start,
            ("endsWith", [_]) => Search::End,
            ("contains", [_]) => Search::Anywhere,
            ("startsWith" | "endsWith" | "contains", _) => {
                return self.fault(GuardFault::Usage {
                    usage: "a text.startsWith(a text), and endsWith and contains likewise",
                });
            }
            ("all" | "exists" | "exists_one" | "filter" | "map", _) => {
                return self
                    .fault(GuardFault::Usage { usage: "a list.all(name, what holds of name), and its kin likewise" });
            }
            _ => return self.not_allowed(&format!("{name}()")),
        };
        let text = self.expect(target, &Shape::Text);
        let part = arguments.first().map_or(Box::new(Node::Faulty), |part| self.expect(part, &Shape::Text));
        (Node::Search { search, text, part }, Shape::Bool)
    }

    fn size(&mut self, of: &Expression) -> Checked<'t> {
        let (node, shape) = self.check(of);
        if matches!(shape, Shape::Bool | Shape::Integer | Shape::Record(_)) {
            self.wrong_type(&node, "a list, a map or text", &shape);
        }
        (Node::Size(Box::new(node)), Shape::Integer)
    }

    fn conditional(&mut self, condition: &Expression, then: &Expression, otherwise: &Expression) -> Checked<'t> {
        let condition = self.expect(condition, &Shape::Bool);
        let (then, left) = self.check_where(&condition, true, then);
        let (otherwise, right) = self.check_where(&condition, false, otherwise);
        let shape = left.unify(&right);
        let node = Node::If { condition, then: Box::new(then), otherwise: Box::new(otherwise) };
        let Some(shape) = shape else {
            let (left, right) = (left.to_string(), right.to_string());
            return self.fault(GuardFault::Operands { expression: node.to_string(), operator: "?:", left, right });
        };
        (node, shape)
    }

    fn index(&mut self, of: &Expression, at: &Expression) -> Checked<'t> {
        let (of, shape) = self.check(of);
        let (wanted, result) = match shape {
            Shape::List(item) => (Shape::Integer, *item),
            Shape::Map(value) => (Shape::Text, Shape::of(value)),
            Shape::Any => (Shape::Any, Shape::Any),
            Shape::Bool | Shape::Integer | Shape::Text | Shape::Record(_) => {
                self.wrong_type(&of, "a list or a map (fields of a record are read as `record.field`)", &shape);
                (Shape::Any, Shape::Any)
            }
        };
        let at = self.expect(at, &wanted);
        (Node::Index { of: Box::new(of), at }, result)
    }

    fn binary(&mut self, operator: Operator, left: &Expression, right: &Expression) -> Checked<'t> {
        let ((left, left_shape), (right, right_shape)) = (self.check(left), self.check(right));
        let shape = operate(operator, &left_shape, &right_shape);
        let node = Node::Binary { operator, left: Box::new(left), right: Box::new(right) };
        let Some(shape) = shape else {
            return self.fault(GuardFault::Operands {
                expression: node.to_string(),
                operator: operator.symbol(),
                left: left_shape.to_string(),
                right: right_shape.to_string(),
            });
        };
        (node, shape)
    }

    fn comprehension(&mut self, expansion: &ComprehensionExpr) -> Checked<'t> {
        let (range, shape) = self.check(&expansion.iter_range);
        let Some(found) = macro_of(expansion) else { return self.not_allowed("this macro") };
        let of = match shape {
            Shape::List(item) => *item,
            Shape::Map(_) => Shape::Text,
            Shape::Any => Shape::Any,
            Shape::Bool | Shape::Integer | Shape::Text | Shape::Record(_) => {
                self.wrong_type(&range, "a list or a map", &shape);
                Shape::Any
            }
        };
        let name = expansion.iter_var.clone();
        if self.scope.get(&name).is_some() || self.locals.iter().any(|(local, _)| *local == name) {
            return self.fault(GuardFault::NameTaken { name });
        }
        let item = Local { name: name.clone(), slot: self.locals.len() };
        self.locals.push((name, of.clone()));
        let condition = found.condition.map(|condition| *self.expect(condition, &Shape::Bool));
        let (body, made) = match (found.body, &condition) {
            (Some(body), Some(condition)) => self.check_where(condition, true, body),
            (Some(body), None) => self.check(body),
            (None, _) => (Node::Faulty, of),
        };
        self.locals.pop();
        let body = found.body.is_some().then_some(body);
        let result = if found.kind == LoopKind::Select { Shape::List(Box::new(made)) } else { Shape::Bool };
        (Node::Loop(Box::new(LoopNode { kind: found.kind, range, item, condition, body })), result)
    }
}

/// What an operator makes of two types; nothing if it does not go between them.
fn operate<'t>(operator: Operator, left: &Shape<'t>, right: &Shape<'t>) -> Option<Shape<'t>> {
    match operator {
        Operator::Compare(Comparison::Equal | Comparison::NotEqual) => left.agrees(right).then_some(Shape::Bool),
        Operator::Compare(_) => {
            matches!(left.unify(right)?, Shape::Integer | Shape::Text | Shape::Any).then_some(Shape::Bool)
        }
        Operator::In => match right {
            Shape::List(item) => left.agrees(item),
            Shape::Map(_) => left.agrees(&Shape::Text),
            Shape::Any => true,
            Shape::Bool | Shape::Integer | Shape::Text | Shape::Record(_) => false,
        }
        .then_some(Shape::Bool),
        Operator::Calculate(Arithmetic::Add) => {
            let both = left.unify(right)?;
            matches!(both, Shape::Integer | Shape::Text | Shape::List(_) | Shape::Any).then_some(both)
        }
        Operator::Calculate(_) => left.unify(right)?.agrees(&Shape::Integer).then_some(Shape::Integer),
    }
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::EQUALS => Operator::Compare(Comparison::Equal),
        operators::NOT_EQUALS => Operator::Compare(Comparison::NotEqual),
        operators::LESS => Operator::Compare(Comparison::Less),
        operators::LESS_EQUALS => Operator::Compare(Comparison::LessEqual),
        operators::GREATER => Operator::Compare(Comparison::Greater),
        operators::GREATER_EQUALS => Operator::Compare(Comparison::GreaterEqual),
        operators::IN => Operator::In,
        operators::ADD => Operator::Calculate(Arithmetic::Add),
        operators::SUBSTRACT => Operator::Calculate(Arithmetic::Subtract),
        operators::MULTIPLY => Operator::Calculate(Arithmetic::Multiply),
        operators::DIVIDE => Operator::Calculate(Arithmetic::Divide),
        operators::MODULO => Operator::Calculate(Arithmetic::Remainder),
        _ => return None,
    })
}

/// The `has()` nodes that are true wherever a condition came out so.
fn present_where(condition: &Node, truth: bool) -> Vec<Node> {
    match (condition, truth) {
        (Node::Has { .. }, true) => vec![condition.clone()],
        (Node::Not(of), _) => present_where(of, !truth),
        (Node::And(left, right), true) | (Node::Or(left, right), false) => {
            let mut both = present_where(left, truth);
            both.append(&mut present_where(right, truth));
            both
        }
        (Node::And(left, right), false) | (Node::Or(left, right), true) => {
            let other = present_where(right, truth);
            present_where(left, truth).into_iter().filter(|has| other.contains(has)).collect()
        }
        _ => Vec::new(),
    }
}

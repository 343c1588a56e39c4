//! Guards: what they mean, what is refused and how it is said, that they agree with the `cel` crate's interpreter, and that no
//! text and no value makes them panic, overflow the stack or take longer than their budget.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod bounds;
mod cost;
mod excludes;
mod faults;
mod meaning;
mod oracle;

use annals_contracts::Value;
use annals_contracts::guard::{Budget, Field, Guard, GuardError, Scope, Type};

/// What a workflow binds, in small.
fn scope() -> Scope {
    let evidence = Type::record([("size", Field::required(Type::Integer)), ("note", Field::optional(Type::Text))]);
    let data = Type::record([("filed_at", Field::required(Type::Integer)), ("fee", Field::optional(Type::Integer))]);
    let person = Type::record([("name", Field::required(Type::Text))]);
    Scope::new([
        (
            "record",
            Type::record([
                ("major", Field::required(Type::Bool)),
                ("count", Field::required(Type::Integer)),
                ("title", Field::required(Type::Text)),
                ("tags", Field::required(Type::list(Type::Text))),
                ("evidence", Field::required(Type::list(evidence))),
                ("amounts", Field::required(Type::map(Type::Integer))),
                ("note", Field::optional(Type::Text)),
                ("deputy", Field::optional(person)),
            ]),
        ),
        (
            "case",
            Type::record([
                ("done", Field::required(Type::list(Type::Text))),
                ("agency", Field::required(Type::Text)),
                ("data", Field::required(data)),
            ]),
        ),
        ("actor", Type::record([("agency", Field::required(Type::Text))])),
        ("at", Type::record([("time", Field::required(Type::Integer))])),
        ("x", Type::Integer),
    ])
}

const RECORD: &str = r#"{"major":true,"count":3,"title":"Straße","tags":["a","b"],"evidence":[{"size":5},{"size":9,"note":"late"}],"amounts":{"fee":12,"tax":3}}"#;
const CASE: &str = r#"{"done":["intake","legal_review"],"agency":"SJ","data":{"filed_at":1000}}"#;

/// Values of those types.
fn values() -> [(&'static str, Value); 5] {
    let parse = |text: &str| Value::parse_loose(text.as_bytes()).unwrap();
    [
        ("record", parse(RECORD)),
        ("case", parse(CASE)),
        ("actor", parse(r#"{"agency":"SJ"}"#)),
        ("at", parse(r#"{"time":7776001000}"#)),
        ("x", Value::Integer(7)),
    ]
}

fn bind<'v>(values: &'v [(&'static str, Value)]) -> Vec<(&'static str, &'v Value)> {
    values.iter().map(|(name, value)| (*name, value)).collect()
}

fn compile(source: &str, expected: &Type) -> Guard {
    Guard::compile(source, &scope(), expected).unwrap_or_else(|faults| panic!("{source}: {faults:?}"))
}

fn evaluate(source: &str, expected: &Type) -> Result<Value, GuardError> {
    compile(source, expected).evaluate(&bind(&values()), &mut Budget::new(10_000))
}

/// Codes of the faults of a text, in turn.
fn codes(source: &str) -> Vec<&'static str> {
    let faults = Guard::compile(source, &scope(), &Type::Bool).map(drop).unwrap_err();
    faults.iter().map(annals_contracts::GuardFault::code).collect()
}

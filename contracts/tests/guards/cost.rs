//! What an evaluation costs, ours and the `cel` crate's. Run it with
//! `cargo test -p annals-contracts --release --test guards -- --ignored --nocapture cost`; as a test it only says that both answer.

use super::*;
use cel::{Context, Program};
use std::hint::black_box;

const GUARDS: [&str; 3] = [
    r#"record.major == false || "legal_review" in case.done"#,
    "size(record.evidence) > 0 && record.evidence.all(e, e.size < 1000000)",
    "at.time - case.data.filed_at <= 90 * 86400000",
];

/// The record of the other tests with 14 fields more: 20 that no guard reads cost as much as they cost to bind.
fn wide() -> Vec<(&'static str, Value)> {
    let mut values = values().to_vec();
    if let Value::Map(fields) = &mut values[0].1 {
        fields.extend((0..14).map(|at| (format!("field_{at}"), Value::from("some text of a payload"))));
        assert_eq!(fields.len(), 20);
    }
    values
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn nanoseconds(rounds: u32, mut run: impl FnMut()) -> u128 {
    let least = (0..5).map(|_| {
        let start = std::time::Instant::now();
        (0..rounds).for_each(|_| run());
        start.elapsed().as_nanos() / u128::from(rounds)
    });
    least.min().unwrap()
}

fn measure(rounds: u32) {
    let values = wide();
    let variables = bind(&values);
    for source in GUARDS {
        let guard = compile(source, &Type::Bool);
        let ours = nanoseconds(rounds, || {
            assert!(guard.evaluate_bool(black_box(&variables), &mut Budget::new(1_000)).unwrap());
        });
        let program = Program::compile(source).unwrap();
        let bound = || {
            let mut context = Context::default();
            variables
                .iter()
                .for_each(|(name, value)| context.add_variable_from_value(*name, super::oracle::foreign(value)));
            context
        };
        let context = bound();
        let theirs = nanoseconds(rounds, || {
            assert_eq!(black_box(&program).execute(&context).unwrap(), cel::Value::Bool(true));
        });
        let binding = nanoseconds(rounds / 10 + 1, || drop(black_box(bound())));
        let empty = nanoseconds(rounds / 10 + 1, || drop(black_box(Context::default())));
        let compiling = nanoseconds(rounds / 10 + 1, || drop(black_box(compile(source, &Type::Bool))));
        let parsing = nanoseconds(rounds / 1_000 + 1, || drop(black_box(Program::compile(source))));
        eprintln!(
            "{source}: ours {ours} ns, cel {theirs} ns and {binding} ns to convert and bind, {empty} ns of them for nothing; compiling {compiling} ns, by cel {parsing} ns"
        );
    }
}

#[test]
fn both_answer() {
    measure(1);
}

#[test]
#[ignore = "a measurement"]
fn cost() {
    measure(200_000);
}

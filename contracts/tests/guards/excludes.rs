//! Which guards never hold together.

use super::*;
use proptest::prelude::*;

fn excludes(one: &str, other: &str) -> bool {
    compile(one, &Type::Bool).excludes(&compile(other, &Type::Bool))
}

#[test]
fn what_excludes_each_other() {
    for (one, other) in [
        ("record.major", "!record.major"),
        ("record.major == true", "record.major == false"),
        ("record.major == false", "record.major"),
        ("record.major != true", "record.major"),
        ("false", "true"),
        ("false", "record.major"),
        ("x > 1 && record.major", "!(x > 1 && record.major)"),
        ("x > 1 || record.major", "!(x > 1 || record.major)"),
        ("x > 1 ? record.major : false", "!(x > 1 ? record.major : false)"),
        ("record.title == \"a\" && x > 1", "x < 5 && \"b\" == record.title"),
        ("record.title == \"a\"", "record.title != \"a\""),
        ("record.title == \"a\" || record.title == \"b\"", "record.title == \"c\""),
        ("x == 1 || x == 2", "x >= 3 && record.major"),
        ("x < 5", "x >= 5"),
        ("x < 5", "5 <= x"),
        ("x <= 4", "x > 4"),
        ("x < 5", "!(x < 5)"),
        ("!(x <= 5)", "x == 5"),
        ("!(x >= 5)", "5 == x"),
        ("!(x < 5)", "x == 4"),
        ("!(5 < x)", "x == 6"),
        ("!(x != 5)", "x > 5"),
        ("!(x <= at.time)", "x == at.time"),
        ("x < at.time", "at.time < x"),
        ("x < at.time", "x == at.time"),
        ("x == at.time", "at.time != x"),
        ("has(record.note)", "!has(record.note) && x > 1"),
        ("\"a\" in case.done", "!(\"a\" in case.done)"),
        ("record.tags.all(t, t == \"\")", "!record.tags.all(u, u == \"\")"),
        ("!(record.major && x > 1)", "record.major && x > 1"),
        ("!record.major || x < 1", "record.major && x > 3"),
    ] {
        assert!(excludes(one, other), "{one} | {other}");
        assert!(excludes(other, one), "{other} | {one}");
    }
}

#[test]
fn what_may_hold_together() {
    for (one, other) in [
        ("true", "true"),
        ("record.major", "record.major"),
        ("record.major", "x > 1"),
        ("x > 1", "x > 2"),
        ("x <= 5", "x >= 5"),
        ("x != 1", "x != 2"),
        ("record.title == \"a\" || x > 1", "record.title == \"b\""),
        ("x < at.time", "x <= at.time"),
        ("x < at.time", "at.time > x"),
        ("record.title < \"a\"", "record.title > \"a\" || true"),
        ("record.tags.exists(t, t == \"a\")", "record.tags.exists(t, t == \"b\")"),
        ("record.amounts[\"a\"] == 1", "record.amounts[\"b\"] == 2"),
        ("record.major ? x > 1 : true", "!(x > 1)"),
    ] {
        assert!(!excludes(one, other), "{one} | {other}");
        assert!(!excludes(other, one), "{other} | {one}");
    }
}

/// Conditions on little, so that random ones meet.
fn conditions() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let sides = prop::sample::select(vec![("x", "2"), ("x", "3"), ("2", "x"), ("x", "at.time"), ("at.time", "x")]);
    let compare = (operator, sides).prop_map(|(operator, (left, right))| format!("({left} {operator} {right})"));
    let truth = prop::sample::select(vec!["record.major", "(record.major == false)", "(true != record.major)", "true"]);
    prop_oneof![compare, truth.prop_map(str::to_owned)].prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} && {right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} || {right})")),
            inner.prop_map(|of| format!("!{of}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Every value that matters is tried, so one pair that holds together refutes a proof.
    #[test]
    fn what_excludes_never_holds_together(one in conditions(), other in conditions()) {
        let (one, other) = (compile(&one, &Type::Bool), compile(&other, &Type::Bool));
        let negated = compile(&format!("!({})", one.source()), &Type::Bool);
        prop_assert!(one.excludes(&negated));
        prop_assert_eq!(one.excludes(&other), other.excludes(&one));
        if one.excludes(&other) {
            for (x, time, major) in (1..5).flat_map(|x| (1..5).flat_map(move |time| [(x, time, true), (x, time, false)])) {
                let values = [
                    ("x", Value::Integer(x)),
                    ("at", Value::map([("time", Value::Integer(time))])),
                    ("record", Value::map([("major", Value::Bool(major))])),
                ];
                let holds = |guard: &Guard| guard.evaluate_bool(&bind(&values), &mut Budget::new(1_000)).unwrap();
                prop_assert!(!(holds(&one) && holds(&other)), "x {} time {} major {}", x, time, major);
            }
        }
    }
}

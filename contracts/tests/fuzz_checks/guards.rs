//! Guards: a text that is compiled against a fixed scope, and a value that it is evaluated on.

use annals_contracts::Value;
use annals_contracts::guard::{Budget, Field, Guard, GuardFault, LEVELS_MAX, SOURCE_SIZE_MAX, Scope, Type};
use std::sync::LazyLock;

static SCOPE: LazyLock<Scope> = LazyLock::new(|| {
    let item = Type::record([("size", Field::required(Type::Integer)), ("note", Field::optional(Type::Text))]);
    let record = [
        ("major", Field::required(Type::Bool)),
        ("count", Field::required(Type::Integer)),
        ("title", Field::required(Type::Text)),
        ("tags", Field::required(Type::list(Type::Text))),
        ("items", Field::required(Type::list(item))),
        ("sums", Field::required(Type::map(Type::Integer))),
        ("note", Field::optional(Type::Text)),
    ];
    Scope::new([("record", Type::record(record)), ("x", Type::Integer)])
});

const RECORD: &str = r#"{"count":3,"items":[{"size":5},{"note":"b","size":9}],"major":true,"note":"n","sums":{"a":1},"tags":["a","b"],"title":"ß"}"#;

/// Steps of an evaluation; enough for any loop over two items, and few enough that a check stays fast.
const STEPS: u32 = 20_000;

/// The data is a guard's text and, behind a zero byte, the record that it is evaluated on; a good one if there is none.
pub(super) fn guard(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let Ok(source) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let given = parts.next().and_then(|bytes| Value::parse_loose(bytes).ok());
    let record = given.unwrap_or_else(|| Value::parse(RECORD.as_bytes()).unwrap());
    for expected in [Type::Bool, Type::Integer, Type::Text, Type::list(Type::Integer)] {
        match Guard::compile(source, &SCOPE, &expected) {
            Ok(guard) => compiled(&guard, &expected, &record),
            Err(faults) => {
                assert!(!faults.is_empty());
                faults.iter().for_each(|fault| assert!(!fault.to_string().is_empty()));
            }
        }
    }
}

fn compiled(guard: &Guard, expected: &Type, record: &Value) {
    assert!(guard.source().len() <= SOURCE_SIZE_MAX);
    let x = Value::Integer(7);
    let variables = [("record", record), ("x", &x)];
    let evaluate = |guard: &Guard| guard.evaluate(&variables, &mut Budget::new(STEPS));
    let answer = evaluate(guard);
    assert_eq!(answer, evaluate(guard), "the same twice");
    if let Ok(value) = &answer {
        assert_eq!(Value::parse(&value.encode()).as_ref(), Ok(value), "an answer is a value");
        assert_eq!(*expected == Type::Bool, guard.evaluate_bool(&variables, &mut Budget::new(STEPS)).is_ok());
    }
    assert!(guard.reads().iter().all(|read| SCOPE.get(&read.variable).is_some()));
    match Guard::compile(&guard.to_string(), &SCOPE, expected) {
        Ok(again) => {
            assert_eq!(again.to_string(), guard.to_string());
            let kept = |answer: Result<Value, annals_contracts::GuardError>| answer.map_err(|error| error.code());
            assert_eq!(kept(evaluate(&again)), kept(answer));
        }
        // Its parentheses may make it too long or too deep.
        Err(faults) => assert!(
            faults.iter().all(|fault| matches!(fault, GuardFault::TooLong { .. } | GuardFault::TooDeep { .. })),
            "{guard}: {faults:?}"
        ),
    }
    if *expected == Type::Bool {
        negated(guard, &variables);
    }
}

/// A guard and its negation exclude each other, and never both hold.
fn negated(guard: &Guard, variables: &[(&str, &Value)]) {
    let Ok(not) = Guard::compile(&format!("!({})", guard.source()), &SCOPE, &Type::Bool) else { return };
    assert!(guard.excludes(&not) && not.excludes(guard), "{guard}");
    // The negation takes a step more.
    let truth = guard.evaluate_bool(variables, &mut Budget::new(STEPS)).map_err(|error| error.code());
    let opposite = not.evaluate_bool(variables, &mut Budget::new(STEPS + 1)).map_err(|error| error.code());
    assert_eq!(truth.map(|truth| !truth), opposite, "{guard}");
}

pub(super) fn guard_seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"record.major == false || "legal_review" in record.tags"#,
        "size(record.items) > 0 && record.items.all(e, e.size < 1000000)",
        "x - record.count <= 90 * 86400000",
        r#"has(record.note) ? record.note != "" : true"#,
        r#"record.items.filter(e, has(e.note)).map(e, e.size % 7, e.size > 1 ? -e.size : e.size)[0] in [1, 2, 0x10]"#,
        r#"record.title.startsWith('a\u00e9\n') && record.sums["a"] / 3 >= 1 || record.sums.exists(k, k.contains("b"))"#,
        "record.tags.exists_one(t, size(t) > 1 + x) // and a comment",
        "[[1], [2, 3]].map(l, l.map(i, i * x))[1] + [x]",
        "record.title + r'\\' + \"\"\"a\"\"\"",
        "record.count == 1\0{\"count\":\"one\",\"items\":[{}],\"sums\":[]}",
    ];
    let deep = format!("{}x{} > 0", "(1+".repeat(LEVELS_MAX / 6), ")".repeat(LEVELS_MAX / 6));
    texts.iter().map(|text| text.as_bytes().to_vec()).chain([deep.into_bytes()]).collect()
}

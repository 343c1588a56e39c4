//! What guards mean: cases of the CEL specification for the part that guards have, and of the definitions they are for.

use super::*;
use annals_contracts::value::INTEGER_MAX;

#[test]
fn guards_of_the_definitions_they_are_for() {
    for (source, truth) in [
        (r#"record.major == false || "legal_review" in case.done"#, true),
        (r#"record.major == false || "audit" in case.done"#, false),
        ("size(record.evidence) > 0 && record.evidence.all(e, e.size < 1000000)", true),
        ("at.time - case.data.filed_at <= 90 * 86400000", true),
        ("at.time - case.data.filed_at < 90 * 86400000", false),
        ("actor.agency == case.agency", true),
        (r#"has(record.note) ? record.note != "" : true"#, true),
        ("!has(case.data.fee) || case.data.fee > 0", true),
        (r#"record.evidence.exists(e, has(e.note) && e.note.startsWith("la"))"#, true),
    ] {
        assert_eq!(evaluate(source, &Type::Bool), Ok(Value::Bool(truth)), "{source}");
    }
}

/// By the sections of the specification (language definition, "List of Standard Definitions"), from its words.
#[test]
fn truths() {
    for source in [
        "true",
        "!false",
        "!!true",
        "true && true",
        "false || true",
        "!(false && true)",
        // Precedence and associativity.
        "1 + 2 * 3 == 7",
        "10 - 4 - 3 == 3",
        "2 * 3 % 4 == 2",
        "100 / 10 / 5 == 2",
        "-3 + 5 == 2",
        "-(3) == -3",
        "true || false && false",
        "false ? false : true",
        "true ? true : false ? false : false",
        "(true ? 1 : 2) == 1",
        "1 < 2 == true",
        "!false == true",
        // Division towards zero; the remainder has the sign of the dividend.
        "7 / -2 == -3",
        "-7 / 2 == -3",
        "7 % -2 == 1",
        "-7 % 2 == -1",
        "0x10 == 16",
        // Texts by code point, size in code points.
        r#""a" < "b""#,
        r#""Z" < "a""#,
        r#""" < "a""#,
        r#""ab" < "b""#,
        r#""\u00e9" > "z""#,
        r#""\U0001F600" > "\uFFFD""#,
        r#"size("Straße") == 6"#,
        r#""\U0001F600".size() == 1"#,
        r#"'it\'s' == "it's""#,
        r#""e\u0301" != "\u00e9""#,
        r#""a" + "b" == "ab""#,
        r#"r"\n" == "\\n""#,
        r#""abc".startsWith("ab")"#,
        r#""abc".endsWith("bc")"#,
        r#""abc".contains("b")"#,
        r#""abc".contains("")"#,
        r#"!"abc".startsWith("b")"#,
        r#"!"abc".contains("ac")"#,
        // Lists and maps.
        "[1, 2] == [1, 2]",
        "[1, 2] != [2, 1]",
        "[] == []",
        "[1] != []",
        "[1] + [2] == [1, 2]",
        "size([1, 2]) == 2",
        "2 in [1, 2]",
        "!(3 in [1, 2])",
        "!(1 in [])",
        "[[1], [2]][1][0] == 2",
        "[1, 2][0] == 1",
        r#""fee" in record.amounts"#,
        r#"!("none" in record.amounts)"#,
        r#"record.amounts["fee"] == 12"#,
        "record.amounts.tax == 3",
        "has(record.amounts.fee)",
        "!has(record.amounts.none)",
        "size(record.amounts) == 2",
        "record.evidence == record.evidence",
        "record.evidence[0] != record.evidence[1]",
        // Macros.
        "[1, 2].all(i, i > 0)",
        "![1, 2].all(i, i > 1)",
        "[].all(i, false)",
        "[1, 2].exists(i, i == 2)",
        "![].exists(i, true)",
        "[1, 2].exists_one(i, i == 2)",
        "![1, 1].exists_one(i, i == 1)",
        "![].exists_one(i, true)",
        "[1, 2, 3].filter(i, i % 2 == 1) == [1, 3]",
        "[1, 2].map(i, i * i) == [1, 4]",
        "[1, 2, 3].map(i, i > 1, i * 10) == [20, 30]",
        r#"record.amounts.map(k, k) == ["fee", "tax"]"#,
        "record.amounts.all(k, record.amounts[k] > 0)",
        "[[1], [2, 3]].map(l, l.map(i, i + size(l))) == [[2], [4, 5]]",
        "[1, 2].exists(i, [2, 3].exists(j, i == j))",
        // What is not needed is not evaluated.
        "true || 1 / 0 == 1",
        "!(false && 1 / 0 == 1)",
        "true ? true : 1 / 0 == 1",
        "[1, 0].exists(i, 1 / i == 1)",
        "![2, 0].all(i, 1 / i == 1)",
    ] {
        assert_eq!(evaluate(source, &Type::Bool), Ok(Value::Bool(true)), "{source}");
    }
}

#[test]
fn errors_are_typed_and_final() {
    let large = INTEGER_MAX;
    for (source, code) in [
        (format!("{large} + 1 > 0"), "guard.overflow"),
        (format!("-{large} - 1 < 0"), "guard.overflow"),
        (format!("{large} * {large} > 0"), "guard.overflow"),
        ("1 / 0 == 1".into(), "guard.division_by_zero"),
        ("1 % 0 == 1".into(), "guard.division_by_zero"),
        ("1 / 0 == 1 || true".into(), "guard.division_by_zero"),
        ("[0, 1].exists(i, 1 / i == 1)".into(), "guard.division_by_zero"),
        ("record.tags[2] == \"\"".into(), "guard.no_such_index"),
        ("record.tags[-1] == \"\"".into(), "guard.no_such_index"),
        ("record.amounts[\"none\"] == 0".into(), "guard.no_such_key"),
        ("record.amounts.none == 0".into(), "guard.missing_field"),
    ] {
        assert_eq!(evaluate(&source, &Type::Bool).unwrap_err().code(), code, "{source}");
    }
}

#[test]
fn values_that_are_not_of_their_type_are_typed_errors() {
    for source in [
        "record.major",
        "record.count + 1 > 0",
        "x > 1",
        "record.tags[0] == \"a\"",
        "record.title.contains(\"a\")",
        "size(record.title) > 0",
        "record.evidence.all(e, e.size > 0)",
        "1 in record.tags.map(t, size(t))",
        "-x < 0",
        "record.amounts.fee == 1",
        "has(record.deputy) && has(record.deputy.name)",
        "case.data.filed_at > 0",
    ] {
        let guard = compile(source, &Type::Bool);
        for wrong in [Value::Bool(true), Value::Integer(1), Value::from("a"), Value::List(vec![]), Value::map([])] {
            for nested in [wrong.clone(), Value::List(vec![wrong.clone()]), everything(&wrong)] {
                let bound = ["record", "case", "x"].map(|name| (name, &nested));
                let _ = guard.evaluate_bool(&bound, &mut Budget::new(1_000));
            }
        }
        assert_eq!(guard.evaluate_bool(&[], &mut Budget::new(100)).unwrap_err().code(), "guard.missing_variable");
        let bound = ["record", "case", "x"].map(|name| (name, Value::map([])));
        let error = guard.evaluate_bool(&bind(&bound), &mut Budget::new(100));
        if !source.starts_with("has") {
            assert!(["guard.missing_field", "guard.value_type"].contains(&error.unwrap_err().code()), "{source}");
        }
    }
    let record = Value::map([("major", Value::from("yes"))]);
    let error = compile("record.major", &Type::Bool).evaluate_bool(&[("record", &record)], &mut Budget::new(9));
    assert_eq!(error.unwrap_err().to_string(), "`record.major` is text, not bool as declared");
}

/// A record whose every field is this.
fn everything(value: &Value) -> Value {
    let names = ["major", "count", "title", "tags", "evidence", "amounts", "note", "deputy", "data"];
    Value::Map(names.iter().map(|name| ((*name).to_owned(), value.clone())).collect())
}

#[test]
fn a_guard_prints_as_it_was_understood() {
    for (source, printed) in [
        ("true||false&&x>1", "true || false && x > 1"),
        ("(true||false)&&x>1", "(true || false) && x > 1"),
        ("1-(2-3)==x", "1 - (2 - 3) == x"),
        ("(1-2)-3==x", "1 - 2 - 3 == x"),
        ("!(x==1)", "!(x == 1)"),
        ("-(x)==- 1", "-x == -1"),
        ("record.tags.size()==1", "size(record.tags) == 1"),
        ("record.tags.filter(t,t!='a\\n\"')==[]", "record.tags.filter(t, t != \"a\\n\\\"\") == []"),
        ("[1].map(i,i>0,i+1)==[2]", "[1].map(i, i > 0, i + 1) == [2]"),
        ("(true?false:true)?true:false", "(true ? false : true) ? true : false"),
    ] {
        let guard = compile(source, &Type::Bool);
        assert_eq!(guard.to_string(), printed);
        assert_eq!(compile(printed, &Type::Bool).to_string(), printed);
        assert_eq!(guard.source(), source);
    }
}

#[test]
fn it_says_what_it_reads() {
    let guard = compile(
        "has(record.deputy) && has(record.deputy.name) || record.evidence.all(e, e.size < x) || case.data.filed_at == size(record.amounts.map(k, k))",
        &Type::Bool,
    );
    let reads: Vec<String> = guard.reads().iter().map(ToString::to_string).collect();
    let expected =
        ["case.data.filed_at", "record.amounts", "record.deputy", "record.deputy.name", "record.evidence", "x"];
    assert_eq!(reads, expected);
}

#[test]
fn other_results_than_bool() {
    assert_eq!(evaluate("record.count * 2", &Type::Integer), Ok(Value::Integer(6)));
    assert_eq!(evaluate("record.title + \"!\"", &Type::Text), Ok(Value::from("Straße!")));
    let sizes = Value::List(vec![Value::Integer(5), Value::Integer(9)]);
    assert_eq!(evaluate("record.evidence.map(e, e.size)", &Type::list(Type::Integer)), Ok(sizes));
    let error = compile("record.count", &Type::Integer).evaluate_bool(&bind(&values()), &mut Budget::new(9));
    assert_eq!(error.unwrap_err().code(), "guard.value_type");
}

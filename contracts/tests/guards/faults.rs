//! What is refused, and in which words.

use super::*;

#[test]
fn each_fault_has_its_code() {
    for (source, code) in [
        ("recrd.major", "guard.unknown_variable"),
        (".x == 1", "guard.unknown_variable"),
        ("record.mjor", "guard.unknown_field"),
        ("has(record.mjor)", "guard.unknown_field"),
        ("record.title == 1", "guard.operands"),
        ("record.title < 1", "guard.operands"),
        ("true < false", "guard.operands"),
        ("record.tags + 1 == record.tags", "guard.operands"),
        ("x - \"a\" == 1", "guard.operands"),
        ("1 in record.tags", "guard.operands"),
        ("1 in record.amounts", "guard.operands"),
        ("\"note\" in record", "guard.operands"),
        ("true ? 1 : \"a\"", "guard.operands"),
        ("x", "guard.result"),
        ("record.note == \"\"", "guard.unprotected"),
        ("x && true", "guard.wrong_type"),
        ("!x", "guard.wrong_type"),
        ("-record.title == 1", "guard.wrong_type"),
        ("x.size == 1", "guard.wrong_type"),
        ("size(x) == 1", "guard.wrong_type"),
        ("size(record) == 1", "guard.wrong_type"),
        ("x[0] == 1", "guard.wrong_type"),
        ("record[\"major\"]", "guard.wrong_type"),
        ("record.tags[\"a\"] == \"\"", "guard.wrong_type"),
        ("record.amounts[0] == 1", "guard.wrong_type"),
        ("[1, \"a\"] == []", "guard.wrong_type"),
        ("x.all(i, true)", "guard.wrong_type"),
        ("record.tags.all(t, t)", "guard.wrong_type"),
        ("record.title.startsWith(1)", "guard.wrong_type"),
        ("record.title.startsWith()", "guard.usage"),
        ("record.tags.all(t)", "guard.usage"),
        ("size() == 1", "guard.usage"),
        ("record.tags.all(x, true)", "guard.name_taken"),
        ("record.tags.all(t, record.tags.all(t, true))", "guard.name_taken"),
        ("9007199254740992 == x", "guard.integer"),
        ("1.5 == 1.5", "guard.not_allowed"),
        ("1u == 1u", "guard.not_allowed"),
        ("null == null", "guard.not_allowed"),
        ("b'a' == b'a'", "guard.not_allowed"),
        ("{'a': 1} == {'a': 1}", "guard.not_allowed"),
        ("Thing{a: 1} == 1", "guard.not_allowed"),
        ("record.title.matches('a')", "guard.not_allowed"),
        ("now() == 1", "guard.not_allowed"),
        ("string(x) == '1'", "guard.not_allowed"),
        ("timestamp('2020-01-01T00:00:00Z') == 1", "guard.not_allowed"),
        ("dyn(x) == 1", "guard.not_allowed"),
        ("x = 1", "guard.syntax"),
        ("", "guard.syntax"),
        ("has(x)", "guard.syntax"),
        ("record.?note == ''", "guard.syntax"),
        ("\"abc", "guard.syntax"),
        ("99999999999999999999 == x", "guard.syntax"),
    ] {
        assert_eq!(codes(source).first(), Some(&code), "{source}");
    }
}

#[test]
fn all_faults_at_once_in_words() {
    let faults = Guard::compile(
        "recrd.major && record.title == 3 || record.evidence.all(e, e.note == \"\" && e.sise > 1)",
        &scope(),
        &Type::Bool,
    );
    let words: Vec<String> = faults.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "there is no variable `recrd`; there are: actor, at, case, record, x",
            "`record.title == 3`: `==` does not go between text and integer",
            "`e.note` may be absent: write `has(e.note) && …`, `!has(e.note) || …` or `has(e.note) ? … : …`",
            "`e` has no field `sise`; it has: note, size",
        ]
    );
}

#[test]
fn an_optional_field_is_read_only_where_it_is() {
    for source in [
        "has(record.note) && record.note == \"\"",
        "has(record.note) && x > 1 && x < 9 && x != 4 && record.note == \"\"",
        "x > 1 && has(record.note) && (x > 2 || record.note == \"\")",
        "!has(record.note) || record.note == \"\"",
        "!has(record.note) || x == 1 || record.note == \"\"",
        "has(record.note) ? record.note == \"\" : true",
        "!has(record.note) ? true : record.note == \"\"",
        "!(has(record.note) && x > 1) || record.note == \"\"",
        "!(!has(record.note) || x > 1) && record.note == \"\"",
        "has(record.deputy) && record.deputy.name == \"\"",
        "has(record.note) && record.tags.all(t, t == record.note)",
        "record.evidence.all(e, !has(e.note) || e.note == \"\")",
        "record.evidence.map(e, has(e.note), e.note) == []",
        "(has(record.note) && x > 1 || has(record.note) && x < 1) && record.note == \"\"",
    ] {
        compile(source, &Type::Bool);
    }
    for source in [
        "record.note == \"\" && has(record.note)",
        "has(record.note) || record.note == \"\"",
        "!has(record.note) && record.note == \"\"",
        "has(record.note) ? true : record.note == \"\"",
        "(has(record.note) || x > 1) && record.note == \"\"",
        "has(record.note) && x > 1 || record.note == \"\"",
        "!(has(record.note) && x > 1) && record.note == \"\"",
        "has(record.deputy.name)",
        "has(record.deputy) && record.note == \"\"",
        "record.evidence.all(e, has(e.note)) && record.evidence.all(e, e.note == \"\")",
        "record.evidence.all(e, has(e.note) || record.evidence.all(f, f.note == \"\"))",
        "record.evidence.all(e, has(e.note) && record.evidence.all(f, f.note == \"\"))",
        "record.evidence.filter(e, has(e.note)).all(e, e.note == \"\")",
        "[has(record.note), record.note == \"\"].all(t, t)",
        "(has(record.note) ? true : false) && record.note == \"\"",
        "has(record.evidence[0].note) && record.evidence[1].note == \"\"",
    ] {
        assert_eq!(codes(source), ["guard.unprotected"], "{source}");
    }
}

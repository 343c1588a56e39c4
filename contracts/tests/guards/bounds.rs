//! No text and no value makes a guard panic, overflow the stack or take longer than its budget.

use super::*;
use annals_contracts::guard::{LEVELS_MAX, SOURCE_SIZE_MAX};
use proptest::prelude::*;

/// Stack that compiling, evaluating, printing, comparing and dropping have to do with, in a debug build.
const STACK: usize = 512 << 10;

/// Does with a text all that can be done with it.
fn exercise(source: &str) -> Result<(), Vec<&'static str>> {
    let values = values();
    let variables = bind(&values);
    for expected in [Type::Bool, Type::Integer, Type::list(Type::Integer)] {
        match Guard::compile(source, &scope(), &expected) {
            Ok(guard) => {
                let mut budget = Budget::new(10_000);
                let _ = guard.evaluate(&variables, &mut budget);
                let _ = guard.evaluate_bool(&variables, &mut Budget::new(100));
                let _ = guard.evaluate(&[], &mut budget);
                // What is printed may have parentheses more, and so be too long or too deep to compile again.
                let _ = Guard::compile(&guard.to_string(), &scope(), &expected).map(|again| guard.excludes(&again));
                assert!(guard.reads().len() <= source.len());
            }
            Err(faults) => {
                assert!(!faults.is_empty(), "{source}");
                faults
                    .iter()
                    .for_each(|fault| assert!(!fault.to_string().is_empty() && fault.code().starts_with("guard.")));
            }
        }
    }
    let compiled = Guard::compile(source, &scope(), &Type::Bool).map(drop);
    compiled.map_err(|faults| faults.iter().map(annals_contracts::GuardFault::code).collect())
}

fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
}

#[test]
fn nesting_is_refused_before_the_stack_ends() {
    on_a_small_stack(|| {
        for (open, middle, close) in [
            ("(", "true", ")"),
            ("(1+", "1", ")"),
            ("((1)+", "1", ")"),
            ("[", "", "]"),
            ("!(", "true", ")"),
            ("-(", "x", ")"),
            ("!", "true", ""),
            ("-", "x", ""),
            ("!-", "x", ""),
            ("true?true:", "true", ""),
            ("true?", "true", ":true"),
            ("true&&", "true", ""),
            ("true||", "true", ""),
            ("(true&&", "true", ")"),
            ("true&&(false||", "true", ")"),
            ("1+", "1", ""),
            ("1-(", "1", ")"),
            ("2*", "1", ""),
            ("x==x==", "true", ""),
            ("", "record", ".a"),
            ("", "x", "[0]"),
            ("", "x", "()"),
            ("x(", "x", ")"),
            ("size(", "[]", ")"),
            ("[1].all(i,", "true", ")"),
            ("[1].map(i,", "1", ")"),
            ("[", "1", "].map(i,i)"),
            ("", "[1]", ".filter(i,true)"),
            ("{1:", "1", "}"),
            ("a{b:", "1", "}"),
            ("has(", "x.a", ")"),
            ("", "x", ".?a"),
            ("", "x", ".f()"),
            ("1 in ", "[1]", ""),
            ("\"", "", ""),
            ("'''", "", ""),
            ("`", "", ""),
            ("//\n", "", ""),
            (")", "x", "("),
            ("]", "x", "["),
            (",", "x", ","),
            ("?", "x", ":"),
            ("?:", "x", "?:"),
            ("é", "x", "é"),
            ("\\", "x", "\0"),
        ] {
            let mut refused = false;
            for count in (0..80).chain([100, 126, 127, 128, 129, 200, 500, 1_000, 4_000]) {
                let source = format!("{}{middle}{}", open.repeat(count), close.repeat(count));
                refused |= exercise(&source).is_err();
            }
            assert!(refused, "{open}{middle}{close}");
        }
    });
}

/// Whatever can stand within itself is counted, well before the text is too long.
#[test]
fn each_kind_of_nesting_is_counted() {
    for (open, middle, close) in [
        ("(", "true", ")"),
        ("[", "1", "]"),
        ("size(", "[]", ")"),
        ("[1].all(i,", "true", ")"),
        ("!-", "x", ""),
        ("true?true:", "true", ""),
        ("true?", "true", ":true"),
        ("true&&true||true?true:", "true", ""),
        ("1+", "1", ""),
        ("1==", "1", ""),
        ("1 in ", "x", ""),
        ("true&&(", "true", ")"),
        ("", "record", ".a"),
        ("", "x", "[0]"),
        ("", "x", ".f()"),
    ] {
        let source = format!("{}{middle}{}", open.repeat(150), close.repeat(150));
        assert!(source.len() <= SOURCE_SIZE_MAX);
        assert_eq!(codes(&source), ["guard.too_deep"], "{open}{middle}{close}");
    }
}

#[test]
fn a_long_guard_is_a_guard() {
    on_a_small_stack(|| {
        // Balanced by the parser, so length is no depth; 4,096 bytes hold some 250 conditions.
        let long = vec!["record.count > 1"; 200].join(" && ");
        exercise(&long).unwrap();
        let list = format!("x in [{}]", vec!["1"; 1_500].join(","));
        exercise(&list).unwrap();
        let chain = vec!["1"; LEVELS_MAX - 10].join("+");
        exercise(&format!("{chain} == x")).unwrap();
        assert_eq!(exercise(&format!("{chain}{chain} == x")).unwrap_err(), ["guard.too_deep"]);
        assert_eq!(exercise(&" ".repeat(SOURCE_SIZE_MAX + 1)).unwrap_err(), ["guard.too_long"]);
    });
}

#[test]
fn work_is_bounded() {
    let many = Value::List((0..10_000).map(Value::Integer).collect());
    let long = Value::Text("a".repeat(1 << 20));
    let scope = Scope::new([("many", Type::list(Type::Integer)), ("long", Type::Text)]);
    for source in [
        "many.all(i, many.all(j, many.all(k, i + j + k >= 0)))",
        "many.map(i, many.map(j, many)) == []",
        "many.all(i, long == long)",
        "many.all(i, long < long + \"\" || true)",
        "many.all(i, long.contains(long))",
        "many.all(i, size(long) > 0)",
        "many.all(i, many == many)",
        "many.all(i, -1 in many || true)",
        "many.map(i, long + \"\").size() == 0",
        "many.all(i, size(many + many) > 0)",
    ] {
        let guard = Guard::compile(source, &scope, &Type::Bool).unwrap();
        let mut budget = Budget::new(100_000);
        let variables = [("many", &many), ("long", &long)];
        assert_eq!(guard.evaluate_bool(&variables, &mut budget), Err(GuardError::Budget), "{source}");
        assert_eq!(budget.left(), 0, "{source}");
    }
    let guard = Guard::compile("size(long + long) > 0", &scope, &Type::Bool).unwrap();
    let error = guard.evaluate_bool(&[("long", &long)], &mut Budget::new(100_000)).unwrap_err();
    assert_eq!(error.code(), "guard.too_large");
    // What is handed out is paid for as well.
    let guard = Guard::compile("many", &scope, &Type::list(Type::Integer)).unwrap();
    assert_eq!(guard.evaluate(&[("many", &many)], &mut Budget::new(10_000)), Err(GuardError::Budget));
    assert_eq!(guard.evaluate(&[("many", &many)], &mut Budget::new(10_002)), Ok(many.clone()));
}

#[test]
fn steps_are_what_they_are() {
    let values = values();
    for (source, steps) in [
        ("true", 1),
        ("1 + 2 == 3", 6),
        ("false && 1 / 0 == 0", 2),
        ("[1, 2, 3].all(i, i > 0)", 5 + 3 * 4),
        ("record.major", 2),
    ] {
        let guard = compile(source, &Type::Bool);
        assert!(guard.evaluate_bool(&bind(&values), &mut Budget::new(steps)).is_ok(), "{source}");
        assert_eq!(
            guard.evaluate_bool(&bind(&values), &mut Budget::new(steps - 1)),
            Err(GuardError::Budget),
            "{source}"
        );
    }
}

#[test]
fn values_beyond_all_depth() {
    let mut deep = Value::List(vec![]);
    for _ in 0..2_000 {
        deep = Value::List(vec![deep]);
    }
    let scope = Scope::new([("deep", Type::list(Type::list(Type::Integer)))]);
    let variables = [("deep", &deep)];
    let same = Guard::compile("deep == deep", &scope, &Type::Bool).unwrap();
    assert_eq!(same.evaluate_bool(&variables, &mut Budget::new(10_000)), Err(GuardError::TooDeep));
    let whole = Guard::compile("deep", &scope, &Type::list(Type::list(Type::Integer))).unwrap();
    assert_eq!(whole.evaluate(&variables, &mut Budget::new(10_000)), Err(GuardError::TooDeep));
}

const TOKENS: [&str; 64] = [
    "record",
    "case",
    "x",
    "e",
    "true",
    "false",
    "null",
    "in",
    "has",
    "size",
    "all",
    "exists",
    "filter",
    "map",
    "exists_one",
    "record.note",
    "record.major",
    "record.evidence",
    "case.done",
    "record.amounts",
    ".note",
    ".size",
    ".all(e,",
    ".map(e,",
    ".filter(e,",
    "has(record.note)",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "?",
    ":",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "=",
    "1",
    "0",
    "9007199254740991",
    "0x",
    "1.5",
    "1e9",
    "2u",
    "'a'",
    "\"",
    "r'",
    "'''",
    "é",
    "//",
];

const VALID: [&str; 8] = [
    r#"record.major == false || "legal_review" in case.done"#,
    "size(record.evidence) > 0 && record.evidence.all(e, e.size < 1000000)",
    "at.time - case.data.filed_at <= 90 * 86400000",
    "actor.agency == case.agency",
    r#"has(record.note) ? record.note != "" : true"#,
    r#"record.evidence.filter(e, has(e.note)).map(e, e.size % 7, e.size > 1 ? -e.size : e.size)[0] in [1, 2, 0x10]"#,
    r#"!has(record.deputy) || record.deputy.name.startsWith('a\u00e9\n') && record.amounts["fee"] / 3 >= 1"#,
    "record.tags.exists_one(t, size(t) > 1) // and a comment",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn random_tokens(tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..60), gap in any::<bool>()) {
        let _ = exercise(&tokens.join(if gap { " " } else { "" }));
    }

    #[test]
    fn random_text(text in ".{0,200}") {
        let _ = exercise(&text);
    }

    #[test]
    fn damaged_guards(
        which in prop::sample::select(VALID.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, prop::sample::select(TOKENS.to_vec()), any::<char>()), 1..6),
    ) {
        let mut characters: Vec<char> = which.chars().collect();
        for (at, kind, token, character) in edits {
            let at = at.index(characters.len() + 1);
            match kind {
                0 => drop(characters.splice(at..at, token.chars())),
                1 if at < characters.len() => drop(characters.remove(at)),
                2 if at < characters.len() => characters[at] = character,
                _ => {
                    let tail: Vec<char> = characters[at..].iter().take(20).copied().collect();
                    characters.extend(tail);
                }
            }
        }
        let _ = exercise(&characters.into_iter().collect::<String>());
    }
}

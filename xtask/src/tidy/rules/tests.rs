//! A good and a bad example for each rule; bad needles are spelt in two parts, or the rules would find this file.

use super::*;

/// The lines on which `rule` finds something.
fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(path, text).into_iter().map(|finding| finding.line).collect()
}

const NONE: [usize; 0] = [];

#[test]
fn a_rust_file_needs_a_head() {
    assert_eq!(lines(head, "a.rs", "//! What it is.\nfn main() {}\n"), NONE);
    assert_eq!(lines(head, "a.rs", "#![no_main]\n\n\n\n//! What it is.\n"), NONE);
    assert_eq!(lines(head, "a.py", "import os\n"), NONE);
    assert_eq!(lines(head, "a.rs", ""), [1]);
    assert_eq!(lines(head, "build.rs", "// no head\nfn main() {}\n"), [1]);
    assert_eq!(lines(head, "src/main.rs", "/// an item\nfn main() {}\n"), [1]);
    assert_eq!(lines(head, "a.rs", "\n\n\n\n\n//! Too far down.\n"), [1]);
}

#[test]
fn a_rust_file_has_fewer_than_600_lines() {
    assert_eq!(lines(length, "a.rs", &"x\n".repeat(599)), NONE);
    assert_eq!(lines(length, "a.rs", &"x\n".repeat(600)), [600]);
    assert_eq!(lines(length, "a.md", &"x\n".repeat(600)), NONE);
}

#[test]
fn the_keyword_unsafe_has_its_places() {
    let code = "//! Head.\nfn f() { unsafe { g() } }\n";
    for path in [
        "ordering/src/ring.rs",
        "ordering/src/ring/slot.rs",
        "storage/src/buffer.rs",
        "storage/src/device/uring.rs",
        "ordering/tests/no_alloc.rs",
    ] {
        assert_eq!(lines(unsafe_places, path, code), NONE, "{path}");
    }
    for path in ["core/src/lib.rs", "ordering/src/seal.rs", "ordering/tests/loom.rs", "storage/src/device/pwrite.rs"] {
        assert_eq!(lines(unsafe_places, path, code), [2], "{path}");
    }
    assert_eq!(lines(unsafe_places, "a.rs", "unsafe impl Send for X {}"), [1]);
    let named = "#![forbid(unsafe_code)] // unsafe\n/* unsafe */ let x = \"unsafe\";\nlet y = r#\"unsafe\"#;\n";
    assert_eq!(lines(unsafe_places, "a.rs", named), NONE);
}

#[test]
fn nothing_is_left_behind() {
    for needle in LEFTOVERS {
        assert_eq!(lines(leftovers, "a.rs", &format!("fine\n// {needle}: later\n")), [2], "{needle}");
        assert_eq!(lines(leftovers, "a.md", needle), [1], "{needle}");
        assert_eq!(lines(leftovers, "Cargo.lock", needle), NONE, "{needle}");
    }
    assert_eq!(lines(leftovers, "a.rs", &format!("{}S AU{}LY", LEFTOVERS[0], LEFTOVERS[2])), NONE);
}

#[test]
fn banned_words_are_found_in_prose_and_in_names() {
    let [(word, _), (words_, _), (second, _), _] = BANNED_WORDS;
    let camel = format!("T{}Id", word.trim_start_matches('t'));
    for line in [
        format!("A {word} is made."),
        format!("let {word}_count = 1;"),
        format!("struct {camel};"),
        format!("struct My{camel};"),
        format!("is_{second}()"),
        format!("{}: yes", second.to_uppercase()),
        format!("many {words_}"),
    ] {
        assert_eq!(lines(words, "src/lib.rs", &line), [1], "{line}");
        assert_eq!(lines(words, "docs/A.md", &line), [1], "{line}");
        assert_eq!(lines(words, "docs/GLOSSARY.md", &line), NONE, "{line}");
        assert_eq!(lines(words, "Cargo.toml", &line), NONE, "{line}");
    }
    for line in ["group commit, commits, commit", &format!("un{second}"), &format!("{word}al"), "a persistent file"] {
        assert_eq!(lines(words, "src/lib.rs", line), NONE, "{line}");
    }
}

#[test]
fn paths_of_a_machine_are_found() {
    for needle in MACHINE_PATHS {
        for line in [format!("open(\"{needle}a\")"), format!("{needle}a"), format!("see {needle}")] {
            assert_eq!(lines(machine_paths, "a.md", &line), [1], "{line}");
        }
        for line in [format!("docs{needle}a"), format!("$X{needle}"), format!("..{needle}x"), needle.to_uppercase()] {
            assert_eq!(lines(machine_paths, "a.md", &line), NONE, "{line}");
        }
    }
}

//! Rust source without its comments and literals, for rules that look for keywords.
//!
//! A scanner of a dozen tokens, not a parser: it knows line and (nested) block comments, strings, raw strings, and
//! character literals, and it tells the latter from lifetimes. Everything it takes away becomes spaces, so that line
//! numbers stay.

/// `text` with comments, strings and character literals blanked, its line breaks kept.
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => until_line_end(&chars, i),
            ('/', '*') => until_comment_end(&chars, i),
            ('"', _) => until_string_end(&chars, i),
            ('r', '"' | '#') if !is_word(before(&chars, i)) || is_string_prefix(&chars, i) => until_raw_end(&chars, i),
            ('\'', _) => until_character_end(&chars, i),
            _ => i,
        };
        if end == i {
            code.push(at(i));
            i += 1;
        }
        while i < end.min(chars.len()) {
            code.push(if at(i) == '\n' { '\n' } else { ' ' });
            i += 1;
        }
    }
    code
}

fn before(chars: &[char], i: usize) -> char {
    i.checked_sub(1).and_then(|j| chars.get(j)).copied().unwrap_or(' ')
}

/// Whether `c` may stand in a word of Rust.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the `r` at `i` ends the prefix of a raw byte or C string: `br"` or `cr"`.
fn is_string_prefix(chars: &[char], i: usize) -> bool {
    matches!(before(chars, i), 'b' | 'c') && !is_word(i.checked_sub(1).map_or(' ', |j| before(chars, j)))
}

fn until_line_end(chars: &[char], from: usize) -> usize {
    chars.iter().skip(from).position(|c| *c == '\n').map_or(chars.len(), |n| from + n)
}

fn until_comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut i) = (0_usize, from);
    while i < chars.len() {
        match (chars.get(i), chars.get(i + 1)) {
            (Some('/'), Some('*')) => (depth, i) = (depth + 1, i + 2),
            (Some('*'), Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn until_string_end(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while let Some(c) = chars.get(i) {
        match c {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of a raw string whose `r` is at `from`; `from` itself if it is no raw string (`r#type`).
fn until_raw_end(chars: &[char], from: usize) -> usize {
    let hashes = chars.iter().skip(from + 1).take_while(|c| **c == '#').count();
    let first = from + 1 + hashes;
    if chars.get(first) != Some(&'"') {
        return from;
    }
    let mut i = first + 1;
    while i < chars.len() {
        let closing = chars.iter().skip(i + 1).take(hashes).filter(|c| **c == '#').count();
        if chars.get(i) == Some(&'"') && closing == hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    chars.len()
}

/// The end of a character literal at `from`; `from` itself if it is a lifetime.
fn until_character_end(chars: &[char], from: usize) -> usize {
    if chars.get(from + 1) == Some(&'\\') {
        let close = chars.iter().skip(from + 3).position(|c| *c == '\'');
        return close.map_or(chars.len(), |n| from + 3 + n + 1);
    }
    if chars.get(from + 2) == Some(&'\'') { from + 3 } else { from }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_blanked_and_code_is_kept() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", z)"#, r"f(      , z)"),
            (r##"f(r#"x"y"#, z)"##, r"f(        , z)"),
            (r#"f(br"x\", z)"#, r"f(b     , z)"),
            ("r#type 'a '\\'' 'x' '\"' z", "r#type 'a              z"),
            ("var\"x\"", "var   "),
            ("'\\u{1F600}' z", "            z"),
            ("/* never closed", "               "),
            ("\"never closed", "             "),
        ];
        for (text, code) in cases {
            assert_eq!(code_only(text), code, "{text}");
        }
    }
}

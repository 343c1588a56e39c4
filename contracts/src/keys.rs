//! Keys: what stands where in state, and in the side tables beside it.
//!
//! *State* is authenticated: its keys are a word and ids, joined by a zero byte, which no id may hold. *Rows* are the side tables,
//! derived from the same records and never proved: they answer in order what state can't (which deadlines come next, which acts a
//! case has). Their first byte says which table.

use crate::value::Value;

/// Bytes of an id at most, so that every key fits state.
const ID_MAX: usize = 128;
/// What an id is, for refusals.
pub(crate) const ID_WORDS: &str = "1 to 128 bytes (a Chinese character has 3) without / and #, spaces but single ones between words, full-width digits and letters, and characters that can't be seen";
const _: () = assert!(ID_MAX == 128, "ID_WORDS says so");

/// Whether a character shows nothing of its own, or turns the direction of others (Unicode 16, the format characters and separators
/// that are none of a script): two texts that differ in one look the same.
pub const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Whether a character is a full-width digit or Latin letter, as input methods write them: a case would get a second number that
/// people read as the first.
const fn is_wide_latin(letter: char) -> bool {
    matches!(letter, '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}')
}

/// Whether a text may be an id: 1 to 128 bytes; no control character, none that can't be seen and no full-width digit or Latin letter;
/// no space but single ones between words; no `/` and no `#`, which separate parts of a reference.
pub fn is_id(id: &str) -> bool {
    let is_space = |letter: char| letter.is_whitespace() && letter != ' ';
    let is_odd =
        |letter: char| letter.is_control() || is_invisible(letter) || is_wide_latin(letter) || is_space(letter);
    !id.is_empty()
        && id.len() <= ID_MAX
        && !id.chars().any(|letter| is_odd(letter) || letter == '/' || letter == '#')
        && id.trim() == id
        && !id.contains("  ")
}

/// Bytes of a name at most.
const NAME_MAX: usize = 64;

/// Whether a name is one: lower-case letters, digits, `_` and `-`, beginning with a letter.
pub(crate) fn is_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    name.len() <= NAME_MAX
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().all(rest)
}

/// Whether a text is a content hash.
pub(crate) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A key of state.
pub(crate) type Key = Vec<u8>;

fn join(parts: &[&str]) -> Key {
    parts.join("\0").into_bytes()
}

/// Who administers the platform, and which service it is for.
pub(crate) fn platform() -> Key {
    join(&["platform"])
}

/// Which versions of the contracts hold from where on.
pub(crate) fn contracts() -> Key {
    join(&["contracts"])
}

/// The form of a registry's entries.
pub(crate) fn registry_type(name: &str) -> Key {
    join(&["type", name])
}

/// The newest version of a registry entry.
pub(crate) fn entry(registry: &str, id: &str) -> Key {
    join(&["registry", registry, id])
}

/// An older version of a registry entry.
pub(crate) fn entry_version(registry: &str, id: &str, version: u64) -> Key {
    join(&["registry", registry, id, &version.to_string()])
}

/// The grants on an action.
pub(crate) fn policy(action: &str) -> Key {
    join(&["policy", action])
}

/// Which versions a definition has, and from where on.
pub(crate) fn definition(name: &str) -> Key {
    join(&["definition", name])
}

/// One version of a definition.
pub(crate) fn definition_version(name: &str, version: u64) -> Key {
    join(&["definition", name, &version.to_string()])
}

/// A case.
pub(crate) fn case(agency: &str, number: &str) -> Key {
    join(&["case", agency, number])
}

/// An administrators' act that waits for further signatures.
pub(crate) fn proposal(record: &str) -> Key {
    join(&["proposal", record])
}

/// What became of the records of a block.
pub(crate) fn outcomes(height: u64) -> Key {
    join(&["outcomes", &format!("{height:016x}")])
}

/// Rows: the sentence with which a record was refused, by seq.
pub(crate) fn words_row(seq: u64) -> Key {
    [&b"w"[..], &seq.to_be_bytes()].concat()
}

/// Whether a row is a sentence: a later program says it otherwise.
pub(crate) fn is_words_row(row: &[u8]) -> bool {
    row.first() == Some(&b'w')
}

/// Rows: entries of a block's list of outcomes and events, from this index on.
pub(crate) fn list_row(height: u64, index: u32) -> Key {
    [&b"l"[..], &height.to_be_bytes(), &index.to_be_bytes()].concat()
}

/// Rows: a deadline that comes, by time; what is due of a case has a name within it.
pub(crate) fn due_row(time_ms: i64, case: &[u8], name: &str) -> Key {
    [&b"d"[..], &time_ms.max(0).to_be_bytes(), case, b"\0", name.as_bytes()].concat()
}

/// Takes a row of a deadline apart: time, case, name.
pub(crate) fn parse_due_row(row: &[u8]) -> Option<(i64, Key, String)> {
    let (time, rest) = row.strip_prefix(b"d")?.split_first_chunk::<8>()?;
    let split = rest.iter().rposition(|byte| *byte == 0)?;
    let name = std::str::from_utf8(rest.get(split + 1..)?).ok()?;
    Some((i64::from_be_bytes(*time), rest.get(..split)?.to_vec(), name.to_owned()))
}

/// Rows: the deadlines up to a moment, as a range.
pub(crate) fn due_range(through_ms: i64) -> (Key, Key) {
    (b"d".to_vec(), [&b"d"[..], &through_ms.max(0).saturating_add(1).to_be_bytes()].concat())
}

/// Rows: the deadlines after a moment and up to another, as a range.
pub(crate) fn due_between(after_ms: i64, through_ms: i64) -> (Key, Key) {
    (due_range(after_ms).1, due_range(through_ms).1)
}

/// Rows: an act of a case, by number.
pub(crate) fn act_row(case: &[u8], act: u32) -> Key {
    [&b"a"[..], case, b"\0", &act.to_be_bytes()].concat()
}

/// Rows: a case, in the order of agency and number.
pub(crate) fn case_row(case: &[u8]) -> Key {
    [&b"c"[..], case].concat()
}

/// Rows: a key of state that people ask for without knowing its name: entries, grants, definitions, proposals.
pub(crate) fn catalog_row(key: &[u8]) -> Key {
    [&b"n"[..], key].concat()
}

/// The keys of state that begin with these parts, as catalog rows: where they begin, and where they end.
pub(crate) fn catalog_range(parts: &[&str]) -> (Key, Key) {
    let from = catalog_row(&[&join(parts)[..], &[0]].concat());
    let to = after(&from);
    (from, to)
}

/// Rows: a case in which a period was exceeded.
pub(crate) fn overdue_row(case: &[u8]) -> Key {
    [&b"v"[..], case].concat()
}

/// Rows: the case, or the proposal, that waits for signatures on a record.
pub(crate) fn pending_row(record: &str) -> Key {
    [&b"p"[..], record.as_bytes()].concat()
}

/// Where the keys that begin with this one end.
pub(crate) fn after(prefix: &[u8]) -> Key {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// A case's key as people write it: `AGENCY/NUMBER`.
pub(crate) fn case_name(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let mut parts = text.split('\0').skip(1);
    format!("{}/{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Reads `AGENCY/NUMBER`.
pub fn parse_case(text: &str) -> Option<(&str, &str)> {
    let (agency, number) = text.split_once('/')?;
    (is_id(agency) && is_id(number)).then_some((agency, number))
}

/// A list of texts as a value.
pub(crate) fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::List(items.into_iter().map(|item| Value::from(item.as_ref())).collect())
}

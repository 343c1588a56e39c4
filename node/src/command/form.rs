//! Forms: values that people write as JSON or TOML, and single fields that are read as a schema asks.

use super::{moment, read_file};
use crate::exit::CommandError;
use annals_contracts::Value;
use annals_contracts::schema::{FieldSchema, Fields, Kind};
use annals_contracts::service::definition_value;
use annals_contracts::value::VALUE_SIZE_MAX;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// Reads a value from a file whose name ends in `.json` or `.toml`, or from standard input as JSON.
pub(super) fn read(path: &Path) -> Result<Value, CommandError> {
    let wrong = |problem: String| CommandError::Form { path: path.to_owned(), problem };
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let error = |source| CommandError::Read { path: path.to_owned(), source };
        std::io::stdin().take(VALUE_SIZE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(error)?;
        return Value::parse_loose(&bytes).map_err(|error| wrong(error.to_string()));
    }
    let bytes = read_file(path, VALUE_SIZE_MAX)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Value::parse_loose(&bytes).map_err(|error| wrong(error.to_string())),
        Some("toml") => {
            let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".to_owned()))?;
            Ok(definition_value(&path.display().to_string(), &text)?)
        }
        _ => Err(CommandError::Wrong(format!(
            "{}: name it .json or .toml, so that it is known what it is",
            path.display()
        ))),
    }
}

/// A value as people read it: texts as they are, lists with commas.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Bool(true) => "是 yes".to_owned(),
        Value::Bool(false) => "否 no".to_owned(),
        Value::List(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Integer(_) | Value::Map(_) => value.to_string(),
    }
}

/// A map in a line, as far as a line goes; all of it is for `--json`.
pub(super) fn line(value: &Value) -> String {
    let fields = value.as_map().into_iter().flatten().map(|(name, value)| format!("{name}={}", words(value)));
    shortened(&fields.collect::<Vec<_>>().join(" "))
}

/// As much of a text as a table has room for.
pub(super) fn shortened(text: &str) -> String {
    const LETTERS_MAX: usize = 160;
    match text.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Reads a form's type from its value.
pub(super) fn typed<T: DeserializeOwned>(path: &Path, value: &Value) -> Result<T, CommandError> {
    serde_json::from_slice(&value.encode()).map_err(|error| {
        // The place is one of the value's encoding, which nobody wrote; in the file it would mislead.
        let (told, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
        let problem = told.strip_suffix(&place).unwrap_or(&told).to_owned();
        CommandError::Form { path: path.to_owned(), problem }
    })
}

/// Sets a field of a map, `party.name` within `party`, to a text that is read as the schema asks.
pub(super) fn set(
    data: &mut Value,
    assignment: &str,
    fields: &Fields,
    offset_minutes: i64,
) -> Result<(), CommandError> {
    let wrong = |problem: String| CommandError::Wrong(format!("--set {assignment}: {problem}"));
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(wrong("write it as FIELD=VALUE".to_owned()));
    };
    let value = value_of(schema_of(fields, path), text, offset_minutes).map_err(wrong)?;
    let mut place = data;
    for name in path.split('.') {
        let Value::Map(map) = place else { return Err(wrong("lies within something that has no fields".to_owned())) };
        place = map.entry(name.to_owned()).or_insert_with(|| Value::Map(BTreeMap::new()));
    }
    *place = value;
    Ok(())
}

fn schema_of<'a>(mut fields: &'a Fields, path: &str) -> Option<&'a FieldSchema> {
    let mut found = None;
    for name in path.split('.') {
        let schema = fields.get(name)?;
        fields = &schema.fields;
        found = Some(schema);
    }
    found
}

/// A text as a schema's value; without a schema it is JSON if it can be read so, and text otherwise.
fn value_of(schema: Option<&FieldSchema>, text: &str, offset_minutes: i64) -> Result<Value, String> {
    let json = || Value::parse_loose(text.as_bytes()).map_err(|error| error.to_string());
    let Some(schema) = schema else { return Ok(json().unwrap_or_else(|_| Value::from(text))) };
    match schema.kind {
        Kind::Text | Kind::Date | Kind::Hash => Ok(Value::from(text)),
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("is true or false".to_owned()),
        },
        Kind::Integer => text.parse().map(Value::Integer).map_err(|_| "is an integer".to_owned()),
        Kind::Time => {
            let time = moment::parse(text, moment::Edge::Begin, offset_minutes);
            time.map(Value::Integer).ok_or_else(|| format!("is no moment; {}", moment::FORMS))
        }
        Kind::List if !text.starts_with('[') => {
            let item = |item: &str| value_of(schema.of.as_deref(), item, offset_minutes);
            text.split(',').map(item).collect::<Result<_, _>>().map(Value::List)
        }
        Kind::List => json(),
        Kind::Record => {
            json().map_err(|_| "has fields of its own; set each, as NAME.FIELD=VALUE, or write JSON".to_owned())
        }
    }
}

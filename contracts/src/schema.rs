//! Schemas: which fields a payload, a case or a registry entry has, and what each may hold.
//!
//! As much of JSON Schema as government forms use, written shorter: every field is named, typed and bounded, and what is not named is
//! refused. A schema gives guards the types that they are checked against.

use crate::days::Day;
use crate::guard::{Field, Type};
use crate::keys::is_hash;
use crate::label::Label;
use crate::value::{INTEGER_MAX, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Characters of a text field unless it says otherwise.
pub const TEXT_MAX_DEFAULT: i64 = 4096;
/// Items of a list unless it says otherwise.
pub const LIST_MAX_DEFAULT: i64 = 256;

/// What a field holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// True or false.
    Bool,
    /// An integer of at most 53 bits; amounts are in the smallest unit of money.
    Integer,
    /// Text.
    Text,
    /// A date, `YYYY-MM-DD`.
    Date,
    /// A moment in ms since the Unix epoch.
    Time,
    /// A content hash: 64 lower-case hexadecimal digits.
    Hash,
    /// Values of one kind.
    List,
    /// Named fields.
    Record,
}

/// One field.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSchema {
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it may be left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Least integer, characters or items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Greatest integer, most characters or items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// The texts it may be; any if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// What a list holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<Self>>,
    /// What a record holds.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
    /// Whether it tells something of a person, so that no public view may show it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub personal: bool,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Label::is_empty")]
    pub label: Label,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(truth: &bool) -> bool {
    !*truth
}

/// Fields by name.
pub type Fields = BTreeMap<String, FieldSchema>;

/// What does not fit a schema: where, and what to do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{title}: {problem}")]
pub struct Misfit {
    /// The field, from the outside in, by its names.
    pub field: String,
    /// The same with what people call it.
    pub title: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Holds a map against fields, and tells the first that does not fit.
///
/// # Errors
///
/// [`Misfit`] if a field is missing, unknown, of another type or out of its range.
pub(crate) fn check_fields(fields: &Fields, value: &Value) -> Result<(), Misfit> {
    check_record(fields, value, Path::Root)
}

/// The type that guards see of fields.
pub(crate) fn record_type(fields: &Fields) -> Type {
    let field = |schema: &FieldSchema| Field { of: schema.guard_type(), optional: schema.optional };
    Type::Record(fields.iter().map(|(name, schema)| (name.clone(), field(schema))).collect())
}

/// Where a value stands in what is checked; written out for those alone who are told.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => formatter.write_str(name),
            Self::Field(of, name) => write!(formatter, "{of}.{name}"),
            Self::Item(of, index) => write!(formatter, "{of}[{index}]"),
        }
    }
}

fn check_record(fields: &Fields, value: &Value, path: Path<'_>) -> Result<(), Misfit> {
    let wrong = |field: String, problem: String| Err(Misfit { title: field.clone(), field, problem });
    let Some(map) = value.as_map() else {
        let field = if matches!(path, Path::Root) { "data".to_owned() } else { path.to_string() };
        return wrong(field, format!("must be a map of fields, not {}", value.type_name()));
    };
    for (name, schema) in fields {
        let inside = Path::Field(&path, name);
        match map.get(name) {
            Some(value) => schema.check_at(value, inside)?,
            None if schema.optional => {}
            None => return Err(schema.misfit(inside, "is missing; fill it in and submit again".to_owned())),
        }
    }
    match map.keys().find(|name| !fields.contains_key(*name)) {
        Some(unknown) => {
            let known: Vec<_> = fields.keys().map(String::as_str).collect();
            let inside = Path::Field(&path, unknown);
            wrong(inside.to_string(), format!("is no field here; the fields are {}", known.join(", ")))
        }
        None => Ok(()),
    }
}

impl FieldSchema {
    /// A field of this kind that must be there.
    pub(crate) fn required(kind: Kind) -> Self {
        Self {
            kind,
            optional: false,
            min: None,
            max: None,
            one_of: Vec::new(),
            of: None,
            fields: Fields::new(),
            personal: false,
            label: Label::default(),
        }
    }

    /// What does not fit it, where it stands.
    fn misfit(&self, path: Path<'_>, problem: String) -> Misfit {
        let field = path.to_string();
        let title = if self.label.is_empty() { field.clone() } else { format!("{field} ({})", self.label) };
        Misfit { field, title, problem }
    }

    /// Whether it, or something in it, tells something of a person.
    pub(crate) fn is_personal(&self) -> bool {
        let within = self.fields.values().chain(self.of.as_deref());
        self.personal || within.into_iter().any(Self::is_personal)
    }

    /// Whether a value fits the field of this name.
    ///
    /// # Errors
    ///
    /// [`Misfit`] naming the field and what is wrong.
    pub fn check(&self, name: &str, value: &Value) -> Result<(), Misfit> {
        self.check_at(value, Path::Field(&Path::Root, name))
    }

    fn check_at(&self, value: &Value, path: Path<'_>) -> Result<(), Misfit> {
        let wrong = |problem: String| Err(self.misfit(path, problem));
        match (self.kind, value) {
            (Kind::Bool, Value::Bool(_)) => Ok(()),
            (Kind::Integer | Kind::Time, Value::Integer(number)) => match self.range() {
                (least, most) if (least..=most).contains(number) => Ok(()),
                (least, most) => wrong(format!("{number} is not between {least} and {most}")),
            },
            (Kind::Text, Value::Text(text)) => self.check_text(text, path),
            (Kind::Date, Value::Text(text)) => match Day::parse(text) {
                Some(_) => Ok(()),
                None => wrong(format!("{text:?} is no date; write it as 2025-03-04")),
            },
            (Kind::Hash, Value::Text(text)) if is_hash(text) => Ok(()),
            (Kind::Hash, _) => wrong("must be a content hash: 64 lower-case hexadecimal digits".to_owned()),
            (Kind::List, Value::List(items)) => {
                let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let (least, most) = self.range();
                if !(least..=most).contains(&count) {
                    return wrong(format!("has {count} items, not {least} to {most}"));
                }
                let Some(of) = &self.of else { return Ok(()) };
                items.iter().enumerate().try_for_each(|(index, item)| of.check_at(item, Path::Item(&path, index)))
            }
            (Kind::Record, Value::Map(_)) => check_record(&self.fields, value, path),
            (kind, other) => wrong(format!("must be {}, not {}", kind.name(), other.type_name())),
        }
    }

    fn check_text(&self, text: &str, path: Path<'_>) -> Result<(), Misfit> {
        let wrong = |problem: String| Err(self.misfit(path, problem));
        let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        let (least, most) = self.range();
        if !(least..=most).contains(&count) {
            return wrong(format!("has {count} characters, not {least} to {most}"));
        }
        if !self.one_of.is_empty() && !self.one_of.iter().any(|allowed| allowed == text) {
            return wrong(format!("{text:?} is none of {}", self.one_of.join(", ")));
        }
        Ok(())
    }

    /// Least and greatest integer, count of characters or of items.
    fn range(&self) -> (i64, i64) {
        let (least, most) = match self.kind {
            Kind::Integer => (-INTEGER_MAX, INTEGER_MAX),
            Kind::Time => (0, INTEGER_MAX),
            Kind::List => (0, LIST_MAX_DEFAULT),
            // A text that must be there says something.
            Kind::Text => (i64::from(!self.optional), TEXT_MAX_DEFAULT),
            Kind::Bool | Kind::Date | Kind::Hash | Kind::Record => (0, INTEGER_MAX),
        };
        (self.min.unwrap_or(least), self.max.unwrap_or(most))
    }

    /// The type that guards see.
    pub(crate) fn guard_type(&self) -> Type {
        match self.kind {
            Kind::Bool => Type::Bool,
            Kind::Integer | Kind::Time => Type::Integer,
            Kind::Text | Kind::Date | Kind::Hash => Type::Text,
            Kind::List => Type::List(Box::new(self.of.as_ref().map_or(Type::Text, |of| of.guard_type()))),
            Kind::Record => record_type(&self.fields),
        }
    }

    /// What makes the schema itself wrong, each with its path.
    pub(crate) fn faults(&self, path: &str, faults: &mut Vec<(String, String)>) {
        let mut find = |problem: &str| faults.push((path.to_owned(), problem.to_owned()));
        let (least, most) = self.range();
        if most < least {
            find("min is greater than max");
        }
        if !self.one_of.is_empty() && self.kind != Kind::Text {
            find("one_of is for text");
        }
        match (self.kind, &self.of) {
            (Kind::List, None) => find("a list says what it holds: of = { type = \"text\" }"),
            (Kind::List, Some(of)) => of.faults(&format!("{path}[]"), faults),
            (_, Some(_)) => find("of is for lists"),
            (_, None) => {}
        }
        if self.kind != Kind::Record && !self.fields.is_empty() {
            faults.push((path.to_owned(), "fields are for records".to_owned()));
        }
        for (name, field) in &self.fields {
            field.faults(&format!("{path}.{name}"), faults);
        }
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer => "an integer",
            Self::Text => "text",
            Self::Date => "a date, as 2025-03-04",
            Self::Time => "a moment in ms since the Unix epoch",
            Self::Hash => "a content hash",
            Self::List => "a list",
            Self::Record => "a map of fields",
        }
    }
}

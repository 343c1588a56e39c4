//! Services: what a department adds, as files of a directory.
//!
//! `service.toml` names the registries, the grants, the first entries and the definitions; each definition is a file of its own. Read
//! once, when a platform is founded; from then on everything is a record.

use crate::definition::Definition;
use crate::label::Label;
use crate::message::{EntryForm, Grant, PolicyForm};
use crate::registry::RegistryType;
use crate::value::Value;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes of a service's file at most.
const FILE_SIZE_MAX: u64 = 1 << 20;
/// Bytes of a service's definitions at most, each time that one is named: all of it goes into one record, but comments do not.
const DEFINITIONS_SIZE_MAX: usize = 4 << 20;

/// A service, as its files say it.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub label: Label,
    /// Minutes ahead of UTC by which times are told.
    pub utc_offset_minutes: i64,
    /// The first definitions.
    pub(crate) definitions: Vec<Value>,
    /// The first registry entries.
    pub(crate) entries: Vec<EntryForm>,
    /// The first grants.
    pub(crate) grants: Vec<PolicyForm>,
    /// Its registries.
    pub(crate) registries: Vec<RegistryType>,
}

/// Why files are no service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /** The file. */
        path: PathBuf,
        /** What the system says. */
        source: std::io::Error,
    },
    /// A file has not its form.
    #[error("{}: {problem}", path.display())]
    Form {
        /** The file. */
        path: PathBuf,
        /** What is wrong, with its line. */
        problem: String,
    },
}

impl ServiceError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "service.read",
            Self::Form { .. } => "service.form",
        }
    }
}

/// What `service.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    label: Label,
    #[serde(default = "crate::days::offset_default")]
    utc_offset_minutes: i64,
    definitions: Vec<String>,
    #[serde(default, rename = "registry")]
    registries: Vec<RegistryType>,
    #[serde(default, rename = "grant")]
    grants: Vec<GrantLine>,
    #[serde(default, rename = "entry")]
    entries: Vec<EntryLine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantLine {
    action: String,
    role: String,
    acts: Vec<String>,
    #[serde(default = "all")]
    agency: String,
}

fn all() -> String {
    "*".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    #[serde(rename = "type")]
    registry: String,
    id: String,
    data: toml::Value,
}

/// Reads a file of a service by its name.
type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, ServiceError>;

impl Service {
    /// Reads a service from its directory.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] naming the file.
    pub fn read(directory: &Path) -> Result<Self, ServiceError> {
        Self::from_files(&|name| read_file(&directory.join(name)))
    }

    /// Reads a service from files in memory, by name.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] naming the file.
    pub fn of(files: &[(&str, &str)]) -> Result<Self, ServiceError> {
        let found = |name: &str| files.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        Self::from_files(&|name| {
            let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
            found(name).ok_or_else(|| ServiceError::Read { path: name.into(), source: missing() })
        })
    }

    fn from_files(read: ReadFile<'_>) -> Result<Self, ServiceError> {
        const MANIFEST: &str = "service.toml";
        let manifest: Manifest = of_toml(&read(MANIFEST)?).map_err(|problem| wrong(MANIFEST, problem))?;
        let (mut definitions, mut size) = (Vec::new(), 0);
        for name in &manifest.definitions {
            if Path::new(name).file_name() != Some(std::ffi::OsStr::new(name)) {
                return Err(wrong(MANIFEST, format!("definition {name:?}: name a file that lies beside it")));
            }
            let text = read(name)?;
            // A value takes many times the memory of its text, and a line names a file again.
            size += text.len();
            if DEFINITIONS_SIZE_MAX < size {
                let problem = format!("the definitions have more than {DEFINITIONS_SIZE_MAX} bytes from {name} on");
                return Err(wrong(MANIFEST, problem));
            }
            definitions.push(definition_value(name, &text)?);
        }
        let mut entries = Vec::new();
        for entry in manifest.entries {
            let data = value_of(entry.data).map_err(|problem| wrong(MANIFEST, problem))?;
            let status = crate::message::EntryStatus::Valid;
            let (from, until) = (0, crate::value::INTEGER_MAX);
            entries.push(EntryForm { data, from, id: entry.id, registry: entry.registry, status, until, version: 1 });
        }
        let mut grants: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
        for line in manifest.grants {
            let (from, until) = (0, crate::value::INTEGER_MAX);
            let grant = Grant { acts: line.acts, agency: line.agency, from, role: line.role, until };
            grants.entry(line.action).or_default().push(grant);
        }
        check_grants(&grants, &definitions, &manifest.registries).map_err(|problem| wrong(MANIFEST, problem))?;
        let grants = grants.into_iter().map(|(action, grants)| PolicyForm { action, grants, version: 1 }).collect();
        Ok(Self {
            name: manifest.name,
            label: manifest.label,
            utc_offset_minutes: manifest.utc_offset_minutes,
            definitions,
            entries,
            grants,
            registries: manifest.registries,
        })
    }
}

/// Whether grants are on what the service has: one on a misspelt act would deny it to everybody, without a word.
fn check_grants(
    grants: &BTreeMap<String, Vec<Grant>>,
    definitions: &[Value],
    registries: &[RegistryType],
) -> Result<(), String> {
    // What has not a definition's form is told when it is deployed.
    let read = |value: &Value| value.clone().read::<Definition>().ok();
    let definitions: Option<Vec<Definition>> = definitions.iter().map(read).collect();
    let Some(definitions) = definitions else { return Ok(()) };
    for (action, grants) in grants {
        if let Some(registry) = action.strip_prefix("registry/") {
            if !registries.iter().any(|each| each.name == registry) {
                return Err(format!("grants on {action:?}: the service declares no such registry"));
            }
            continue;
        }
        let Some(definition) = definitions.iter().find(|definition| definition.name == *action) else {
            let names: Vec<_> = definitions.iter().map(|definition| definition.name.as_str()).collect();
            return Err(format!("grants on {action:?}: there is no such procedure; there are {}", names.join(", ")));
        };
        for grant in grants {
            let is_act = |act: &String| act == "*" || definition.transitions.iter().any(|each| each.name == *act);
            if let Some(unknown) = grant.acts.iter().find(|act| !is_act(act)) {
                return Err(format!("grants on {action}: it has no act {unknown:?}"));
            }
            if !definition.roles.contains_key(&grant.role) {
                return Err(format!("grants on {action}: it has no role {:?}", grant.role));
            }
        }
    }
    Ok(())
}

fn wrong(file: &str, problem: String) -> ServiceError {
    ServiceError::Form { path: file.into(), problem }
}

fn read_file(path: &Path) -> Result<String, ServiceError> {
    use std::io::Read as _;
    let error = |source| ServiceError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(FILE_SIZE_MAX + 1).read_to_string(&mut text)).map_err(error)?;
    if FILE_SIZE_MAX < text.len() as u64 {
        return Err(wrong(&path.display().to_string(), format!("more than {FILE_SIZE_MAX} bytes")));
    }
    Ok(text)
}

/// A definition's value, from its file.
///
/// # Errors
///
/// [`ServiceError::Form`] if it is no TOML, or holds what values leave out.
pub fn definition_value(file: &str, text: &str) -> Result<Value, ServiceError> {
    let table: toml::Value = of_toml(text).map_err(|problem| wrong(file, problem))?;
    value_of(table).map_err(|problem| wrong(file, problem))
}

/// Reads a form from TOML. What is wrong with it is told in one line, with its own: a clerk reads no drawing of it.
pub(crate) fn of_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let problem = error.message().replace('\n', ", ");
        error.span().map_or(problem.clone(), |span| format!("line {}: {problem}", line_of(text, span.start)))
    })
}

/// The number of the line, from 1, in which a byte of a text stands.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The value that TOML says.
///
/// # Errors
///
/// What values leave out: fractions and TOML's own dates.
pub fn value_of(toml: toml::Value) -> Result<Value, String> {
    Ok(match toml {
        toml::Value::Boolean(truth) => Value::Bool(truth),
        toml::Value::Integer(number) => Value::Integer(number),
        toml::Value::String(text) => Value::Text(text),
        toml::Value::Array(items) => Value::List(items.into_iter().map(value_of).collect::<Result<_, _>>()?),
        toml::Value::Table(fields) => {
            let field = |(name, value)| Ok((name, value_of(value)?));
            Value::Map(fields.into_iter().map(field).collect::<Result<_, String>>()?)
        }
        toml::Value::Float(number) => return Err(format!("{number} is no integer; amounts are in the smallest unit")),
        toml::Value::Datetime(date) => return Err(format!("write the date {date} as text, in quotation marks")),
    })
}

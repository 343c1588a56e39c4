//! Reading: a scenario's file and the city that it names, put together.

use super::error::ScenarioError;
use super::form::{EntryLine, FileForm, PersonForm};
use super::moment;
use super::step::{Samples, Step};
use crate::label::Label;
use crate::service::{line_of, of_toml};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a scenario's file at most.
const FILE_SIZE_MAX: u64 = 1 << 20;
/// Directories within directories that are searched at most.
const DEPTH_MAX: usize = 8;

/// A scenario, ready to be run.
#[derive(Debug)]
pub struct Scenario {
    pub(super) path: PathBuf,
    pub(super) rows: Vec<String>,
    pub(super) title: Label,
    /// What the clock shows first, ms since the Unix epoch.
    pub(super) starts: i64,
    pub(super) people: BTreeMap<String, PersonForm>,
    pub(super) entries: Vec<EntryLine>,
    pub(super) steps: Vec<Step>,
}

impl Scenario {
    /// Reads a scenario and the file of common entries that it names.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] naming the file and the line.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = read_file(path)?;
        let fault = |problem: String| ScenarioError::form(path, problem);
        let file = parse(path, &text)?;
        let (Some(title), Some(starts)) = (file.title, file.starts) else {
            return Err(fault("a scenario has row, title and starts".to_owned()));
        };
        if file.row.is_empty() {
            return Err(fault("row names no requirement".to_owned()));
        }
        let starts = moment::parse(&starts)
            .ok_or_else(|| fault(format!("starts {starts:?} is no moment; write it as 2025-03-04T09:00:00+08:00")))?;
        let Common { people, entries, samples } = common(
            path,
            file.city.as_deref(),
            Common { people: file.people, entries: file.entries, samples: file.samples },
        )?;
        let mut steps = Vec::new();
        for (number, spanned) in (1..).zip(file.steps) {
            let line = line_of(&text, spanned.span().start);
            let step = Step::read(line, spanned.into_inner(), &samples);
            steps.push(step.map_err(|problem| fault(format!("line {line}, step {number}: {problem}")))?);
        }
        Ok(Self { path: path.to_owned(), rows: file.row, title, starts, people, entries, steps })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The rows of the requirements that it is about.
    pub fn rows(&self) -> &[String] {
        &self.rows
    }

    /// What people call it.
    pub const fn title(&self) -> &Label {
        &self.title
    }

    /// Where the service is that it is for: the directory above the one that it lies in.
    pub fn service_directory(&self) -> PathBuf {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        directory.unwrap_or(Path::new(".")).join("..")
    }
}

/// What scenarios share.
struct Common {
    people: BTreeMap<String, PersonForm>,
    entries: Vec<EntryLine>,
    samples: Samples,
}

/// Puts a scenario's own people, entries and samples over those of its city.
fn common(path: &Path, city: Option<&str>, own: Common) -> Result<Common, ScenarioError> {
    let Some(city) = city else { return Ok(own) };
    let place = path.parent().unwrap_or(Path::new("")).join(city);
    let file = parse(&place, &read_file(&place)?)?;
    if !file.row.is_empty() || !file.steps.is_empty() || file.city.is_some() {
        return Err(ScenarioError::form(&place, "a file of common entries has no row, no steps and no city"));
    }
    let (mut people, mut entries, mut samples) = (file.people, file.entries, file.samples);
    people.extend(own.people);
    samples.extend(own.samples);
    let is_replaced =
        |entry: &EntryLine| own.entries.iter().any(|new| new.registry == entry.registry && new.id == entry.id);
    entries.retain(|entry| !is_replaced(entry));
    entries.extend(own.entries);
    Ok(Common { people, entries, samples })
}

fn parse(path: &Path, text: &str) -> Result<FileForm, ScenarioError> {
    of_toml(text).map_err(|problem| ScenarioError::form(path, problem))
}

fn read_file(path: &Path) -> Result<String, ScenarioError> {
    let error = |source| ScenarioError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(FILE_SIZE_MAX + 1).read_to_string(&mut text)).map_err(error)?;
    if FILE_SIZE_MAX < text.len() as u64 {
        return Err(ScenarioError::form(path, format!("more than {FILE_SIZE_MAX} bytes")));
    }
    Ok(text)
}

/// The scenarios in a directory and those within it, sorted; a file is itself.
///
/// What is TOML without a `row` is none: services, definitions, and what scenarios share. What is no TOML may be one, and is told
/// when it is read.
///
/// # Errors
///
/// [`ScenarioError::Read`] if the directory can't be read.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    search(path, DEPTH_MAX, &mut found)?;
    found.sort();
    Ok(found)
}

fn search(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), ScenarioError> {
    let error = |source| ScenarioError::Read { path: directory.to_owned(), source };
    for entry in std::fs::read_dir(directory).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.is_dir() && 0 < depth {
            search(&path, depth - 1, found)?;
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            let table: Result<toml::Table, _> = toml::from_str(&read_file(&path)?);
            if table.as_ref().map_or(true, |table| table.contains_key("row")) {
                found.push(path);
            }
        }
    }
    Ok(())
}

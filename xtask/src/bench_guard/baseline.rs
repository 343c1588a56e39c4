//! The baseline file: ratios that are compared, and beside them what they were got from, for people.
//!
//! ```json
//! {
//!   "command": "cargo xtask bench-guard --record", "form": "5 runs of 4 s, medians", "others_percent": 1.0,
//!   "machine": { "cpu": "...", "cores": 2 },
//!   "modes": { "records": { "ratio_to_ceiling": 0.8, "records_per_s": 280000, "ceiling": { } }, "latency": { }, "bundles": { } }
//! }
//! ```

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Form;
use super::compare::{Mode, Unfit};
use super::machine::{Kind, Usage};
use crate::error::TaskError;

/// What a run of a mode measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The mode.
    pub mode: Mode,
    /// Its ratio to its ceiling: finite and above zero.
    pub ratio: f64,
    /// Records a second; for information.
    pub records_per_s: u64,
    /// What the machine could do at most in the same run; for information.
    pub ceiling: Value,
}

impl Measured {
    /// Reads what `annals bench --json` printed.
    ///
    /// # Errors
    ///
    /// [`TaskError::Bench`] names the field that is missing.
    pub fn parse(mode: Mode, output: &[u8]) -> Result<Self, TaskError> {
        let value: Value = serde_json::from_slice(output).map_err(|_| TaskError::Bench { missing: "a JSON object" })?;
        if value.get("mode").and_then(Value::as_str) != Some(mode.name()) {
            return Err(TaskError::Bench { missing: "the mode that was asked for" });
        }
        Self::of(mode, &value).map_err(|missing| TaskError::Bench { missing })
    }

    fn of(mode: Mode, value: &Value) -> Result<Self, &'static str> {
        let is_figure = |ratio: &f64| ratio.is_finite() && 0.0 < *ratio;
        Ok(Self {
            mode,
            ratio: value["ratio_to_ceiling"].as_f64().filter(is_figure).ok_or("a ratio_to_ceiling above zero")?,
            records_per_s: value["records_per_s"].as_u64().ok_or("records_per_s")?,
            ceiling: value.get("ceiling").cloned().ok_or("the ceiling")?,
        })
    }

    fn to_json(&self) -> Value {
        let Self { ratio, records_per_s, ceiling, .. } = self;
        json!({ "ratio_to_ceiling": ratio, "records_per_s": records_per_s, "ceiling": ceiling })
    }

    #[cfg(test)]
    pub(super) fn for_test(ratio: f64) -> Self {
        Self { mode: Mode::Records, ratio, records_per_s: 1, ceiling: Value::Null }
    }
}

/// What later runs are compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// The machine it is of.
    pub kind: Kind,
    /// How much was measured; for information.
    pub form: Form,
    /// The most that others had of the processors meanwhile, in per cent; for information. Beside others ratios are other ones:
    /// those of rates rise, since their ceilings suffer as well, and the latency's rises most.
    pub others_percent: f64,
    /// A figure a mode.
    pub measured: Vec<Measured>,
}

impl Baseline {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`TaskError::Baseline`] if it is not there, or is no baseline.
    pub fn read(path: &Path) -> Result<Self, TaskError> {
        let failed = |problem: &'static str| TaskError::Baseline { path: path.to_owned(), problem };
        let text = std::fs::read(path).map_err(|_| failed("cannot be read, or is not there"))?;
        let value: Value = serde_json::from_slice(&text).map_err(|_| failed("is not JSON"))?;
        Self::parse(&value).map_err(failed)
    }

    /// The figure of a mode.
    ///
    /// # Errors
    ///
    /// [`TaskError::Bench`] if there is none; what was read has all.
    pub fn of(&self, mode: Mode) -> Result<&Measured, TaskError> {
        self.measured.iter().find(|it| it.mode == mode).ok_or(TaskError::Bench { missing: "a mode in the baseline" })
    }

    /// Why it judges nothing on a machine of this kind; none if it does.
    pub fn unfit_for(&self, kind: &Kind) -> Option<Unfit> {
        if self.kind != *kind {
            return Some(Unfit::OtherKind);
        }
        Usage { others_percent: self.others_percent }.is_busy().then_some(Unfit::Busy)
    }

    /// What is wrong with it, for people.
    pub fn complaint(&self, unfit: Unfit, kind: &Kind) -> String {
        match unfit {
            Unfit::OtherKind => format!("the baseline is of {}, this machine is {kind}", self.kind),
            Unfit::Busy => {
                format!("the baseline was measured while others had {} % of the processors", self.others_percent)
            }
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    ///
    /// [`TaskError::Write`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TaskError> {
        let text = format!("{:#}\n", self.to_json());
        std::fs::write(path, text).map_err(|source| TaskError::Write { path: path.to_owned(), source })
    }

    fn parse(value: &Value) -> Result<Self, &'static str> {
        let cpu = value.pointer("/machine/cpu").and_then(Value::as_str).ok_or("names no machine/cpu")?;
        let cores = value.pointer("/machine/cores").and_then(Value::as_u64).ok_or("names no machine/cores")?;
        let others_percent = value.get("others_percent").and_then(Value::as_f64).unwrap_or(0.0);
        let form = if value["form"] == text_of(Form::Short) { Form::Short } else { Form::Long };
        let modes = value.get("modes").ok_or("has no modes")?;
        let figure = |mode: Mode| {
            Measured::of(mode, modes.get(mode.name()).unwrap_or(&Value::Null)).map_err(|_| "lacks a mode's figures")
        };
        let measured = Mode::ALL.into_iter().map(figure).collect::<Result<_, _>>()?;
        Ok(Self { kind: Kind { cpu: cpu.to_owned(), cores }, form, others_percent, measured })
    }

    fn to_json(&self) -> Value {
        let modes: Map<String, Value> =
            self.measured.iter().map(|it| (it.mode.name().to_owned(), it.to_json())).collect();
        json!({
            "command": command_of(self.form),
            "form": text_of(self.form),
            "others_percent": self.others_percent,
            "machine": { "cpu": self.kind.cpu, "cores": self.kind.cores },
            "modes": modes,
        })
    }
}

const fn text_of(form: Form) -> &'static str {
    match form {
        Form::Long => "5 runs of 4 s, medians",
        Form::Short => "3 runs of 2 s, the best",
    }
}

const fn command_of(form: Form) -> &'static str {
    match form {
        Form::Long => "cargo xtask bench-guard --record",
        Form::Short => "cargo xtask bench-guard --short --record",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::bench_guard::BASELINE_PATH;
    use crate::workspace;

    fn sample() -> Baseline {
        let measured = |mode| Measured { mode, ratio: 0.5, records_per_s: 7, ceiling: json!({ "x": 1 }) };
        let kind = Kind { cpu: "a processor".to_owned(), cores: 2 };
        Baseline { kind, form: Form::Short, others_percent: 1.5, measured: Mode::ALL.map(measured).to_vec() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("baseline.json");
        sample().write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), sample());
    }

    #[test]
    fn a_baseline_judges_its_own_kind_if_the_machine_was_idle() {
        let (mut baseline, other) = (sample(), Kind { cpu: "another one".to_owned(), cores: 2 });
        assert_eq!(baseline.unfit_for(&baseline.kind), None);
        assert_eq!(baseline.unfit_for(&other), Some(Unfit::OtherKind));
        assert_eq!(baseline.unfit_for(&Kind { cores: 4, ..baseline.kind.clone() }), Some(Unfit::OtherKind));
        baseline.others_percent = 11.0;
        assert_eq!(baseline.unfit_for(&baseline.kind), Some(Unfit::Busy));
    }

    #[test]
    fn what_is_no_baseline_is_said_plainly() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("baseline.json");
        let problem = || match Baseline::read(&path) {
            Err(TaskError::Baseline { problem, .. }) => problem,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(problem(), "cannot be read, or is not there");
        std::fs::write(&path, "ratios").unwrap();
        assert_eq!(problem(), "is not JSON");
        let without = |pointer: &str, value: Value| {
            let mut json = sample().to_json();
            *json.pointer_mut(pointer).unwrap() = value;
            std::fs::write(&path, json.to_string()).unwrap();
        };
        without("/machine/cpu", Value::Null);
        assert_eq!(problem(), "names no machine/cpu");
        without("/machine/cores", json!("two"));
        assert_eq!(problem(), "names no machine/cores");
        for ratio in [Value::Null, json!(0.0), json!(-1.0), json!("0.5")] {
            without("/modes/latency/ratio_to_ceiling", ratio);
            assert_eq!(problem(), "lacks a mode's figures");
        }
    }

    #[test]
    fn only_the_named_fields_are_read() {
        let mut output =
            json!({ "mode": "records", "records_per_s": 9, "ratio_to_ceiling": 0.5, "ceiling": {}, "new": [] });
        assert_eq!(Measured::parse(Mode::Records, output.to_string().as_bytes()).unwrap().ratio, 0.5);
        let missing = |mode, output: &Value| match Measured::parse(mode, output.to_string().as_bytes()) {
            Err(TaskError::Bench { missing }) => missing,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(missing(Mode::Latency, &output), "the mode that was asked for");
        output["ratio_to_ceiling"] = Value::Null;
        assert_eq!(missing(Mode::Records, &output), "a ratio_to_ceiling above zero");
    }

    #[test]
    fn the_landed_baseline_can_be_read() {
        let baseline = Baseline::read(&workspace::root().join(BASELINE_PATH)).unwrap();
        assert_eq!(baseline.measured.len(), Mode::ALL.len());
    }
}

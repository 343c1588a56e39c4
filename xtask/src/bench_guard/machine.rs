//! Which machine this is, and how much of its processors others had: from what Linux says in `/proc`.

use std::fmt;
use std::path::Path;

use crate::error::TaskError;

/// Others are in the way when they have more of the processors than this, in per cent of all of them.
pub const OTHERS_PERCENT_MAX: f64 = 10.0;

/// What makes ratios of two machines comparable, as far as a file can tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kind {
    /// The processor's model.
    pub cpu: String,
    /// Cores that programs may use.
    pub cores: u64,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores of {}", self.cores, self.cpu)
    }
}

impl Kind {
    /// This machine's.
    ///
    /// # Errors
    ///
    /// [`TaskError::Read`] if the system does not say.
    pub fn of_this_machine() -> Result<Self, TaskError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        Ok(Self { cpu: model(&read("/proc/cpuinfo")?), cores })
    }
}

/// The model in `/proc/cpuinfo`.
fn model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned())
}

/// Processor time so far, in the system's ticks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticks {
    /// Of all processors, idle ones too.
    all: u64,
    /// Of all that did something, and what a hypervisor gave to others.
    busy: u64,
    /// Of the processes that this one started and that have ended.
    own: u64,
}

impl Ticks {
    /// Up to now.
    ///
    /// # Errors
    ///
    /// [`TaskError::Read`] if the system does not say.
    pub fn now() -> Result<Self, TaskError> {
        Ok(Self::parse(&read("/proc/stat")?, &read("/proc/self/stat")?))
    }

    /// Reads `/proc/stat` and `/proc/self/stat`, as proc(5) has them; a field that is missing counts as zero.
    fn parse(system: &str, process: &str) -> Self {
        let numbers = |text: &str| text.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect::<Vec<u64>>();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are within user.
        let spent = numbers(system.lines().next().and_then(|line| line.strip_prefix("cpu")).unwrap_or_default());
        let all = spent.iter().take(8).sum();
        let idle: u64 = spent.iter().skip(3).take(2).sum();
        // The name, in brackets, may hold anything; cutime and cstime are the 14th and 15th field behind it.
        let behind_name = process.rsplit_once(')').map_or("", |(_, rest)| rest);
        let own = numbers(behind_name).iter().skip(13).take(2).sum();
        Self { all, busy: all - idle, own }
    }

    /// What others had in between.
    #[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a share, for people")]
    pub fn until(self, later: Self) -> Usage {
        let busy = later.busy.saturating_sub(self.busy).saturating_sub(later.own.saturating_sub(self.own));
        let all = later.all.saturating_sub(self.all).max(1);
        Usage { others_percent: busy as f64 * 100.0 / all as f64 }
    }
}

/// How much of the processors others had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// In per cent of all processors.
    pub others_percent: f64,
}

impl Usage {
    /// The larger one.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { others_percent: self.others_percent.max(other.others_percent) }
    }

    /// The smaller one.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { others_percent: self.others_percent.min(other.others_percent) }
    }

    /// Whether others were in the way.
    pub fn is_busy(self) -> bool {
        OTHERS_PERCENT_MAX < self.others_percent
    }
}

fn read(path: &str) -> Result<String, TaskError> {
    std::fs::read_to_string(path).map_err(|source| TaskError::Read { path: Path::new(path).to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_model_is_found() {
        assert_eq!(model("processor\t: 0\nmodel name\t: AMD EPYC 9\nmodel name\t: AMD EPYC 9\n"), "AMD EPYC 9");
        assert_eq!(model(""), "unknown");
        assert!(0 < Kind::of_this_machine().unwrap().cores);
    }

    #[test]
    fn what_others_had_is_all_that_was_busy_without_what_was_started_here() {
        let process = |own: u64| format!("7 (a) b) c) S 1 1 1 0 -1 0 0 0 0 0 5 5 {own} 10 20 0 1 0");
        let before = Ticks::parse("cpu  100 0 50 800 40 0 0 10 0 0\ncpu0 1 2 3\n", &process(0));
        let after = Ticks::parse("cpu  200 0 80 850 50 0 0 20 0 0\n", &process(90));
        assert_eq!(before, Ticks { all: 1000, busy: 160, own: 10 });
        // 200 ticks passed, 140 of them busy, 90 of those for what was started here.
        assert_eq!(before.until(after), Usage { others_percent: 25.0 });
        assert!(before.until(after).is_busy());
        assert!(!Usage { others_percent: OTHERS_PERCENT_MAX }.is_busy());
    }

    #[test]
    fn this_machine_says_it() {
        let ticks = Ticks::now().unwrap();
        assert!(0 < ticks.busy && ticks.busy <= ticks.all);
    }
}

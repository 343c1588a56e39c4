//! When a ratio is worse than the baseline's: pure functions of figures.

use super::baseline::Measured;
use super::machine::Usage;

/// A ratio may be so much worse than the baseline's, in per cent of it.
pub const WORSE_PERCENT_MAX: f64 = 15.0;

/// A mode of `annals bench` that is guarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Records a second, of those that can be verified.
    Records,
    /// Latency of a lone record, of a durable write's.
    Latency,
    /// Payload a second in bundles, of the disk's stream.
    Bundles,
}

impl Mode {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 3] = [Self::Records, Self::Latency, Self::Bundles];

    /// As `annals bench --mode` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Latency => "latency",
            Self::Bundles => "bundles",
        }
    }

    /// By how many per cent of the baseline's ratio this one is worse; below zero, better.
    #[expect(clippy::float_arithmetic, reason = "figures of a bench")]
    pub fn worse_percent(self, landed: f64, ratio: f64) -> f64 {
        let grown = (ratio - landed) / landed * 100.0;
        match self {
            Self::Records | Self::Bundles => -grown,
            Self::Latency => grown,
        }
    }

    /// Whether a ratio is near enough to the baseline's, or better.
    pub fn holds(self, landed: f64, ratio: f64) -> bool {
        self.worse_percent(landed, ratio) <= WORSE_PERCENT_MAX
    }
}

/// What is said of a mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Near enough, or better.
    Held,
    /// A finding.
    Worse,
    /// It looks worse, but others had this much of the processors, in per cent.
    Busy(f64),
    /// The baseline is none for this machine.
    Unfit(Unfit),
}

/// Why a baseline judges nothing here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// It is of another machine kind.
    OtherKind,
    /// It was measured beside others that were in the way.
    Busy,
}

impl Unfit {
    const fn because(self) -> &'static str {
        match self {
            Self::OtherKind => "the baseline is of another machine kind",
            Self::Busy => "the baseline was measured on a busy machine",
        }
    }
}

/// Judges a ratio beside the baseline's.
pub fn judge(mode: Mode, landed: f64, ratio: f64, unfit: Option<Unfit>, usage: Usage) -> Verdict {
    if let Some(unfit) = unfit {
        Verdict::Unfit(unfit)
    } else if mode.holds(landed, ratio) {
        Verdict::Held
    } else if usage.is_busy() {
        Verdict::Busy(usage.others_percent)
    } else {
        Verdict::Worse
    }
}

/// One line of report.
pub fn line(mode: Mode, landed: f64, ratio: f64, verdict: Verdict) -> String {
    let (name, percent) = (mode.name(), mode.worse_percent(landed, ratio));
    let said = match verdict {
        Verdict::Held => "held".to_owned(),
        Verdict::Worse => format!("WORSE, by more than {WORSE_PERCENT_MAX} %"),
        Verdict::Busy(others) => {
            format!("not judged: others had {others:.0} % of the processors, try again when they rest")
        }
        Verdict::Unfit(unfit) => format!("not judged: {}", unfit.because()),
    };
    let word = if percent < 0.0 { "better" } else { "worse" };
    format!("{name:<8} {ratio} of its ceiling, landed {landed}, {:.1} % {word}: {said}", percent.abs())
}

/// The run with the best ratio.
pub fn best(mode: Mode, runs: &[Measured]) -> Option<&Measured> {
    runs.iter().min_by(|a, b| mode.worse_percent(1.0, a.ratio).total_cmp(&mode.worse_percent(1.0, b.ratio)))
}

/// The run with the median ratio; of an even number, the lower one.
pub fn median(runs: &[Measured]) -> Option<&Measured> {
    let mut sorted: Vec<&Measured> = runs.iter().collect();
    sorted.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const IDLE: Usage = Usage { others_percent: 0.0 };
    const BUSY: Usage = Usage { others_percent: 40.0 };

    #[test]
    fn a_loss_of_a_fifth_is_found_and_of_a_tenth_is_not() {
        for (mode, landed, fifth, tenth) in
            [(Mode::Records, 0.8, 0.64, 0.72), (Mode::Bundles, 0.1, 0.08, 0.09), (Mode::Latency, 2.0, 2.4, 2.2)]
        {
            assert_eq!(judge(mode, landed, fifth, None, IDLE), Verdict::Worse, "{}", mode.name());
            assert_eq!(judge(mode, landed, tenth, None, IDLE), Verdict::Held, "{}", mode.name());
        }
    }

    #[test]
    fn a_gain_is_none_however_large() {
        assert_eq!(judge(Mode::Records, 0.5, 0.9, None, IDLE), Verdict::Held);
        assert_eq!(judge(Mode::Latency, 2.0, 1.0, None, IDLE), Verdict::Held);
    }

    #[test]
    fn busy_processors_and_an_unfit_baseline_excuse_all_that_looks_worse() {
        assert_eq!(judge(Mode::Latency, 2.0, 4.0, None, BUSY), Verdict::Busy(40.0));
        assert_eq!(judge(Mode::Records, 0.8, 0.4, None, BUSY), Verdict::Busy(40.0));
        assert_eq!(judge(Mode::Records, 0.8, 0.4, None, IDLE), Verdict::Worse);
        assert_eq!(judge(Mode::Bundles, 0.8, 0.4, None, BUSY), Verdict::Busy(40.0));
        assert_eq!(judge(Mode::Bundles, 0.8, 0.4, None, IDLE), Verdict::Worse);
        for mode in Mode::ALL {
            let (landed, ratio) = if mode == Mode::Latency { (2.0, 4.0) } else { (0.8, 0.4) };
            for unfit in [Unfit::OtherKind, Unfit::Busy] {
                assert_eq!(judge(mode, landed, ratio, Some(unfit), IDLE), Verdict::Unfit(unfit));
                assert_eq!(judge(mode, landed, landed, Some(unfit), IDLE), Verdict::Unfit(unfit), "nor does it praise");
            }
        }
    }

    #[test]
    fn the_best_and_the_median_run_are_chosen() {
        let runs: Vec<Measured> = [3.0, 1.0, 2.0, 5.0].into_iter().map(Measured::for_test).collect();
        assert_eq!(best(Mode::Records, &runs).unwrap().ratio, 5.0);
        assert_eq!(best(Mode::Latency, &runs).unwrap().ratio, 1.0);
        assert_eq!(median(&runs).unwrap().ratio, 2.0);
        assert_eq!((best(Mode::Records, &[]), median(&[])), (None, None));
    }

    #[test]
    fn a_line_says_what_was_and_what_is() {
        assert_eq!(
            line(Mode::Records, 0.8, 0.6, Verdict::Worse),
            "records  0.6 of its ceiling, landed 0.8, 25.0 % worse: WORSE, by more than 15 %"
        );
        assert!(line(Mode::Latency, 2.0, 1.0, Verdict::Held).contains("50.0 % better: held"));
        assert!(line(Mode::Latency, 2.0, 4.0, Verdict::Busy(40.4)).contains("others had 40 % of the processors"));
    }
}

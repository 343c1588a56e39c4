//! The load curve: latency at rising rates, on the ledger that was just measured.
//!
//! Short open loops at tenths of saturation, up to somewhat above it, where latency grows for as long as the load goes on.

use super::load::merged;
use super::open;
use super::plan::CURVE_TENTHS;
use super::report::LoadPoint;
use super::rig::{Rig, Split};
use super::schedule::Schedule;
use crate::exit::CommandError;

/// Runs the steps; fewer if the workload does not last.
pub(crate) fn draw(rig: &mut Rig, saturation: u64) -> Result<Vec<LoadPoint>, CommandError> {
    let (span, mut points) = (rig.plan.step(), Vec::new());
    for tenths in CURVE_TENTHS {
        let rate = (saturation * tenths / 10).max(1);
        let ran = rig.run(Split::Even, span, |sources, phase, thread| {
            open::at_rate(sources, phase, Schedule::new(rate, thread, phase.threads))
        })?;
        let tally = merged(&ran.tallies)?;
        if tally.ran_dry {
            break;
        }
        points.push(LoadPoint {
            offered_per_s: rate,
            done_per_s: tally.records_per_s(),
            p50_us: tally.at(0.5),
            p99_us: tally.at(0.99),
            p999_us: tally.at(0.999),
        });
    }
    Ok(points)
}

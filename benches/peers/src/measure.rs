//! Measuring a store: the rate in batches, the latency of lone records, processor time and bytes; medians of rounds.
//!
//! The first batch of each store, or its first record, lies before the clock. Whatever was appended is counted after closing and opening again;
//! a store that lost a record gives no figure.

use crate::Failure;
use crate::payloads::BATCH;
use crate::stores::{Rate, Row, Store};
use hdrhistogram::Histogram;
use std::path::Path;
use std::time::{Duration, Instant};

/// What one round measured of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Records a second.
    pub(crate) rate: f64,
    /// Processor time of all threads, µs a record.
    pub(crate) cpu_us: f64,
    /// Bytes in use of its files, a record in batches.
    pub(crate) bytes: f64,
    /// Latency of lone records.
    pub(crate) lone: Option<Lone>,
    /// Calls that promised durability before they returned, those before the clock among them; 0 in flight.
    pub(crate) durable_calls: u64,
}

/// Latency of lone records, µs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lone {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Bytes in use of its files, a lone record.
    pub(crate) bytes: f64,
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Measures a row once, in directories below this one.
pub(crate) fn measure(row: &Row, directory: &Path, time: Duration) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    figures.bytes = visit(row, &directory.join("batches"), BATCH, |store| {
        let (start, processor) = (now(), processor_time());
        let count = rate(row, store, start + time)?;
        let (took, processor) = (now() - start, processor_time() - processor);
        figures.rate = count as f64 / took.as_secs_f64();
        figures.cpu_us = processor.as_secs_f64() * 1e6 / count as f64;
        if row.rate == Rate::Batches {
            figures.durable_calls += 1 + count / BATCH as u64;
        }
        Ok(count)
    })?;
    if row.has_lone {
        let (mut lone, mut lone_count) = (Lone::default(), 0);
        lone.bytes = visit(row, &directory.join("lone"), 1, |store| {
            let (mut latency_ns, deadline) = (Histogram::<u64>::new(3)?, now() + time);
            let mut next = 1;
            loop {
                let sent = now();
                if deadline <= sent || store.room() <= next {
                    break;
                }
                store.append(next, 1)?;
                latency_ns.record(u64::try_from(sent.elapsed().as_nanos())?)?;
                next += 1;
            }
            lone.p50_us = latency_ns.value_at_quantile(0.5) as f64 / 1e3;
            lone.p99_us = latency_ns.value_at_quantile(0.99) as f64 / 1e3;
            lone_count = next - 1;
            Ok(lone_count)
        })?;
        figures.durable_calls += 1 + lone_count;
        figures.lone = Some(lone);
    }
    Ok(figures)
}

fn rate(row: &Row, store: &mut dyn Store, deadline: Instant) -> Result<u64, Failure> {
    let first = BATCH as u64;
    if row.rate == Rate::InFlight {
        return store.flood(first, deadline)?.ok_or_else(|| "this store has only calls that wait".into());
    }
    let mut next = first;
    while now() < deadline && BATCH as u64 <= store.room().saturating_sub(next) {
        store.append(next, BATCH)?;
        next += BATCH as u64;
    }
    Ok(next - first)
}

/// Opens an empty store, appends the first records, lets `work` append more and say how many; then closes it, counts what is there, and
/// removes it. Returns the bytes that one of the records of `work` took.
fn visit(
    row: &Row,
    directory: &Path,
    first: usize,
    work: impl FnOnce(&mut dyn Store) -> Result<u64, Failure>,
) -> Result<f64, Failure> {
    std::fs::create_dir(directory)?;
    let mut store = (row.open)(directory)?;
    store.append(0, first)?;
    // What earlier stores left to be written is not this one's.
    rustix::fs::sync();
    let count = work(&mut *store)?;
    let used = store.close()?.map_or_else(|| allocated(directory), Ok)?;
    let (there, appended) = ((row.count)(directory)?, count + first as u64);
    if there != appended {
        return Err(format!("{}: {there} records are there, {appended} were appended", row.name).into());
    }
    std::fs::remove_dir_all(directory)?;
    Ok(used as f64 / appended as f64)
}

/// Bytes that the files below a directory occupy.
fn allocated(directory: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { allocated(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Medians of what the rounds measured of one row, each figure by itself.
pub(crate) fn medians(rounds: &[Figures]) -> Figures {
    let median = |figure: &dyn Fn(&Figures) -> Option<f64>| {
        let mut figures: Vec<f64> = rounds.iter().filter_map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get((figures.len().max(1) - 1) / 2).copied()
    };
    let lone = |figure: fn(&Lone) -> f64| median(&|figures| figures.lone.as_ref().map(figure));
    Figures {
        rate: median(&|figures| Some(figures.rate)).unwrap_or(0.0),
        cpu_us: median(&|figures| Some(figures.cpu_us)).unwrap_or(0.0),
        bytes: median(&|figures| Some(figures.bytes)).unwrap_or(0.0),
        durable_calls: rounds.iter().map(|figures| figures.durable_calls).sum(),
        lone: lone(|lone| lone.p50_us)
            .zip(lone(|lone| lone.p99_us))
            .zip(lone(|lone| lone.bytes))
            .map(|((p50_us, p99_us), bytes)| Lone { p50_us, p99_us, bytes }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::stores;

    #[test]
    fn medians_are_of_each_figure_by_itself() {
        let figures = |rate, cpu_us, lone| Figures { rate, cpu_us, bytes: 1.0, lone, durable_calls: 1 };
        let lone = |p50_us| Some(Lone { p50_us, p99_us: 9.0, bytes: 2.0 });
        let middle =
            medians(&[figures(3.0, 1.0, lone(5.0)), figures(1.0, 2.0, lone(4.0)), figures(2.0, 3.0, lone(6.0))]);
        assert_eq!((middle.rate, middle.cpu_us, middle.lone.unwrap().p50_us), (2.0, 2.0, 5.0));
        assert_eq!(middle.durable_calls, 3, "all of them");
        assert!(medians(&[figures(1.0, 1.0, None)]).lone.is_none());
    }

    #[test]
    fn every_store_keeps_what_it_is_given() {
        let directory = tempfile::tempdir().unwrap();
        let time = Duration::from_millis(20);
        for row in stores::all(directory.path(), time).unwrap() {
            let place = directory.path().join(row.name);
            std::fs::create_dir(&place).unwrap();
            let figures = measure(&row, &place, time).unwrap_or_else(|failure| panic!("{}: {failure}", row.name));
            assert!(0.0 < figures.rate && 256.0 <= figures.bytes, "{}: {figures:?}", row.name);
            assert_eq!(figures.lone.is_some(), row.has_lone);
        }
    }

    #[test]
    fn a_store_that_loses_a_record_gives_no_figure() {
        let directory = tempfile::tempdir().unwrap();
        let mut row = stores::naive::rows().remove(2);
        let honest = row.count;
        row.count = Box::new(move |path| Ok(honest(path)? - 1));
        let failure = measure(&row, directory.path(), Duration::from_millis(1)).unwrap_err();
        assert!(failure.to_string().contains("were appended"), "{failure}");
    }
}

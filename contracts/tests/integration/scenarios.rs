//! Every service's scenarios hold: a requirement that fails, fails here.

use annals_contracts::scenario::{Report, Scenario, find};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scenarios that run at once.
const THREADS: usize = 2;

fn services() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../services")
}

fn run(path: &Path) -> Result<Report, String> {
    let scenario = Scenario::read(path).map_err(|error| error.to_string())?;
    let service = scenario.read_service().map_err(|error| error.to_string())?;
    let dir = tempfile::tempdir().unwrap();
    Ok(scenario.run(&service, dir.path()))
}

#[test]
fn every_scenario_of_every_service_holds() {
    let paths = find(&services()).unwrap();
    assert!(9 <= paths.len(), "{paths:?}");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        // Relaxed: the number is all that the threads share.
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let failure = run(path).map(|report| report.failure.map(|failure| failure.to_string()));
            let failure = failure.unwrap_or_else(Some);
            failed.extend(failure.map(|failure| format!("{}\n{failure}", path.display())));
        }
        failed
    };
    let failed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} of {} scenarios fail:\n\n{}\n", failed.len(), paths.len(), failed.join("\n\n"));
}

//! Deliberate breaks: each takes away one thing that durability rests on, and names the test that must notice.
//!
//! A test that cannot fail proves nothing. `cargo xtask mutate` makes each break in a copy of the tree, never in the tree
//! itself, runs the test that is named for it, and reports any break that the test lets pass. That each text to replace
//! stands in its file exactly once is a test of its own, so the table below stays true.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::TaskError;
use crate::shell::{self, Invocation};
use crate::workspace;

/// A break, and what notices it.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it takes away.
    pub what: &'static str,
    /// The file that it changes, relative to the workspace.
    pub file: &'static str,
    /// What stands there, once.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
    /// What must fail then.
    pub notice: Notice,
}

/// What notices a break.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A test: its package, its target as `cargo test` names it, and its whole name.
    Test {
        /** The package. */
        package: &'static str,
        /** An option of `cargo test`, with its value if it takes one. */
        target: &'static [&'static str],
        /** The test. */
        name: &'static str,
    },
    /// The power-loss tool with this device. It needs root and FUSE, since no test on ordinary files can lose what was not
    /// synced.
    PowerLoss(&'static str),
}

/// What the simulator runs in `cargo test`.
const SEEDS: Notice =
    Notice::Test { package: "annals", target: &["--lib"], name: "simulation::fixed_seeds_lose_nothing" };

const fn storage(name: &'static str) -> Notice {
    Notice::Test { package: "annals-storage", target: &["--lib"], name }
}

const fn integration(name: &'static str) -> Notice {
    Notice::Test { package: "annals", target: &["--test", "integration"], name }
}

/// All breaks, in the order of a write's way to the disk and back.
pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "uring-sync",
        what: "io_uring's writes are not synced",
        file: "storage/src/device/uring.rs",
        find: "let sync = opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build().user_data(sync_data);",
        replace: "let sync = opcode::Nop::new().build().user_data(sync_data);",
        notice: Notice::PowerLoss("io_uring"),
    },
    Mutation {
        name: "pwrite-sync",
        what: "the pwrite device does not sync",
        file: "storage/src/disk/file.rs",
        find: ".and_then(|()| file.sync_data())",
        replace: "",
        notice: Notice::PowerLoss("pwrite"),
    },
    Mutation {
        name: "early-answer",
        what: "records are acknowledged before their block is durable",
        file: "src/engine.rs",
        find: "self.flights.push_back(Flight { checkpoint, ..flight });",
        replace: "self.finish(&Flight { checkpoint, ..flight });",
        notice: SEEDS,
    },
    Mutation {
        name: "third-in-flight",
        what: "a third frame is in flight",
        file: "storage/src/log.rs",
        find: "pub const IN_FLIGHT_MAX: usize = 2;",
        replace: "pub const IN_FLIGHT_MAX: usize = 3;",
        notice: storage("recovery::enumerate::schedules::every_crash_while_blocks_are_written"),
    },
    Mutation {
        name: "final-out-of-order",
        what: "a frame is final before the one below it",
        file: "storage/src/log.rs",
        find: "self.in_flight.pop_front_if(|frame| frame.done)",
        replace: "self.in_flight.pop_front()",
        notice: storage("recovery::enumerate::schedules::every_crash_while_blocks_are_written"),
    },
    Mutation {
        name: "early-end",
        what: "an end frame does not wait for the block before it",
        file: "storage/src/log.rs",
        find: "Stage::Running if !self.in_flight.is_empty() => return Ok(Step::Wait),",
        replace: "",
        notice: storage("recovery::segment_tests::an_end_frame_waits_for_the_block_before_it"),
    },
    Mutation {
        name: "start-not-alone",
        what: "blocks do not wait for a segment's start frame",
        file: "storage/src/log.rs",
        find: "self.seal_bare(FrameKind::Start, [None; SLOT_COUNT], true, frontier)",
        replace: "self.seal_bare(FrameKind::Start, [None; SLOT_COUNT], false, frontier)",
        notice: storage("recovery::enumerate::schedules::every_crash_from_the_first_frame_on"),
    },
    Mutation {
        name: "same-epoch",
        what: "opening does not raise the epoch",
        file: "storage/src/log.rs",
        find: "epoch: tail.epoch + 1,",
        replace: "epoch: tail.epoch,",
        notice: storage("recovery::enumerate::liars::every_loss_of_the_zeros_of_a_cut"),
    },
    Mutation {
        name: "page-sums",
        what: "page sums are ignored",
        file: "storage/src/frame/parse.rs",
        find: "if expected == found { Ok(()) } else { Err(FrameError::PageSum",
        replace: "if true || expected == found { Ok(()) } else { Err(FrameError::PageSum",
        notice: storage("recovery::enumerate::sectors::every_state_of_the_pages_of_two_frames_in_flight"),
    },
    Mutation {
        name: "durable-index",
        what: "the durable index is ignored",
        file: "storage/src/recovery/decide.rs",
        find: "    if durable {",
        replace: "    if false && durable {",
        notice: storage("recovery::enumerate::liars::every_durable_frame_that_goes_bad_is_missed"),
    },
    Mutation {
        name: "stale-epoch",
        what: "the epoch of a frame is ignored",
        file: "storage/src/scan.rs",
        find: "if frame.epoch < link.epoch() {",
        replace: "if false && frame.epoch < link.epoch() {",
        notice: storage("recovery::enumerate::liars::every_loss_of_the_zeros_of_a_cut"),
    },
    Mutation {
        name: "no-cut",
        what: "a torn tail is not cut",
        file: "storage/src/recovery.rs",
        find: "while from < offset {",
        replace: "while false && from < offset {",
        notice: storage("recovery::enumerate::sectors::every_crash_while_a_long_tail_is_cut"),
    },
    Mutation {
        name: "cut-forwards",
        what: "a torn tail is cut from its first page",
        file: "storage/src/recovery.rs",
        find: "disk.write(segment, offset, &zeros)?;",
        replace: "disk.write(segment, from + (to - PAGE_SIZE as u64 - offset), &zeros)?;",
        notice: storage("recovery::enumerate::liars::every_loss_of_the_zeros_of_a_cut"),
    },
    Mutation {
        name: "no-second-write",
        what: "frames that nothing vouches for are not written again",
        file: "storage/src/recovery.rs",
        find: "while offset < end {",
        replace: "while false && offset < end {",
        notice: storage("recovery::enumerate::volatile::every_power_cut_behind_a_killed_writer"),
    },
    Mutation {
        name: "unsettled",
        what: "recovery trusts what a killed process left in a cache",
        file: "storage/src/recovery.rs",
        find: "            disk.sync(segment)?;\n",
        replace: "            let _ = segment;\n",
        notice: storage("recovery::tests::what_a_killed_process_left_is_durable_once_recovery_has_settled"),
    },
    Mutation {
        name: "unsettled-names",
        what: "recovery trusts names that nobody has synced",
        file: "storage/src/recovery.rs",
        find: "        disk.sync_names()?;\n",
        replace: "",
        notice: storage("recovery::tests::a_segment_that_a_killed_process_named_is_there_once_recovery_has_settled"),
    },
    Mutation {
        name: "index-pages",
        what: "pages of an index file are not verified",
        file: "storage/src/index/file.rs",
        find: "let (expected, found) = (page_sum(&self.header.lookup_key, number, &bytes), stored_sum(&bytes));",
        replace: "let (expected, found) = (stored_sum(&bytes), stored_sum(&bytes));",
        notice: storage("index::tests::damage::every_flipped_bit_is_detected"),
    },
    Mutation {
        name: "index-trusted",
        what: "what the index leads to is not compared with the log",
        file: "src/query.rs",
        find: "if is_right(&record)? {",
        replace: "if is_right(&record).is_ok() {",
        notice: integration("index::a_lying_index_shows_no_record_as_another"),
    },
    Mutation {
        name: "part-sums",
        what: "a record that is read alone is not compared with its pages' sums",
        file: "storage/src/reader/outline.rs",
        find: "            if expected != found {",
        replace: "            if expected != found && self.sums.is_empty() {",
        notice: storage("reader::tests::a_damaged_page_is_found_by_whoever_reads_it_and_by_nobody_else"),
    },
    Mutation {
        name: "stale-cache",
        what: "what the page cache gives is believed to be what the disk says",
        file: "storage/src/reader.rs",
        find: "(Way::Cached, Err(_)) => read(Way::Direct),",
        replace: "(Way::Cached, Err(error)) => Err(error),",
        notice: storage("reader::tests::a_stale_page_cache_is_no_damage_and_is_never_shown"),
    },
    Mutation {
        name: "neighbour",
        what: "what is known of a block is taken for the next one",
        file: "src/query/cache.rs",
        find: ".filter(|found| found.holds(seq))?;",
        replace: "?;",
        notice: integration("single::whatever_is_kept_in_memory_the_answers_are_the_same"),
    },
    Mutation {
        name: "unproved-root",
        what: "a block's tree nodes are not compared with its root",
        file: "src/query.rs",
        find: "let nodes = nodes.filter(|nodes| nodes.root() == Some(header.root));",
        replace: "",
        notice: integration("single::a_block_that_does_not_give_its_root_proves_nothing"),
    },
];

/// Makes the breaks, or the one of that name, and tries what must notice them; `true` says that each was noticed.
///
/// # Errors
///
/// [`TaskError`] if the tree cannot be copied or cargo cannot be run.
pub fn run(root: &Path, name: Option<&str>, out: &mut dyn Write) -> Result<bool, TaskError> {
    let wanted: Vec<&Mutation> = MUTATIONS.iter().filter(|it| name.is_none_or(|name| name == it.name)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = MUTATIONS.iter().map(|it| it.name).collect();
        writeln!(out, "no such break; there are: {}", names.join(" ")).map_err(TaskError::Output)?;
        return Ok(false);
    }
    let place = workspace::graph(root, "Cargo.toml")?.target_directory.join("mutations");
    let tree = copy(root, &place)?;
    let mut results = Vec::new();
    for mutation in wanted {
        let outcome = try_one(root, &tree, &place, mutation)?;
        let line = line(mutation, outcome);
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(TaskError::Output)?;
        results.push(outcome);
    }
    Ok(results.iter().all(|outcome| *outcome == Outcome::Noticed))
}

/// What came of a break.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// What must fail fails.
    Noticed,
    /// It passes all the same.
    Passed,
    /// The broken tree does not compile, or the test is not there.
    Unusable,
}

fn line(mutation: &Mutation, outcome: Outcome) -> String {
    let Mutation { name, what, notice, .. } = mutation;
    let by = match notice {
        Notice::Test { name, .. } => (*name).to_owned(),
        Notice::PowerLoss(device) => format!("the power-loss tool with {device}"),
    };
    match outcome {
        Outcome::Noticed => format!("{name:<20} {what}: noticed by {by}"),
        Outcome::Passed => format!("{name:<20} {what}: NOT NOTICED by {by}"),
        Outcome::Unusable => format!("{name:<20} {what}: NOT TRIED, it does not compile, or there is no {by}"),
    }
}

/// Copies the files of the workspace to `place`, those that differ; where the copy stands.
fn copy(root: &Path, place: &Path) -> Result<PathBuf, TaskError> {
    let tree = place.join("tree");
    for path in workspace::files(root)? {
        let (from, to) = (root.join(&path), tree.join(&path));
        let bytes = std::fs::read(&from).map_err(|source| TaskError::Read { path: from, source })?;
        // An equal file keeps its time, so that cargo does not build it again.
        if std::fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        to.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(TaskError::Output)?;
        std::fs::write(&to, bytes).map_err(TaskError::Output)?;
    }
    Ok(tree)
}

fn try_one(root: &Path, tree: &Path, place: &Path, mutation: &Mutation) -> Result<Outcome, TaskError> {
    let from = root.join(mutation.file);
    let text = std::fs::read_to_string(&from).map_err(|source| TaskError::Read { path: from, source })?;
    if text.matches(mutation.find).count() != 1 {
        return Ok(Outcome::Unusable);
    }
    let plan = plan(place, mutation.notice);
    // No test of the tree's own says that this tool passes here while nothing is broken.
    if matches!(mutation.notice, Notice::PowerLoss(_)) && judge(tree, &plan, mutation.notice)? != Outcome::Passed {
        return Ok(Outcome::Unusable);
    }
    let to = tree.join(mutation.file);
    std::fs::write(&to, text.replace(mutation.find, mutation.replace)).map_err(TaskError::Output)?;
    let outcome = judge(tree, &plan, mutation.notice);
    std::fs::write(&to, text).map_err(TaskError::Output)?;
    outcome
}

/// What builds, what says whether the test is there, and what must fail.
struct Plan {
    build: Invocation,
    list: Option<Invocation>,
    attempt: Invocation,
}

fn judge(tree: &Path, plan: &Plan, notice: Notice) -> Result<Outcome, TaskError> {
    if !shell::capture(tree, &plan.build)?.1 {
        return Ok(Outcome::Unusable);
    }
    if let (Some(list), Notice::Test { name, .. }) = (&plan.list, notice) {
        let (listed, _) = shell::capture(tree, list)?;
        if !String::from_utf8_lossy(&listed).contains(&format!("{name}: test")) {
            return Ok(Outcome::Unusable);
        }
    }
    let (_, passed) = shell::capture(tree, &plan.attempt)?;
    Ok(if passed { Outcome::Passed } else { Outcome::Noticed })
}

fn plan(place: &Path, notice: Notice) -> Plan {
    let target_directory = place.join("target");
    let cargo = |arguments: &[&str], more: &[&str]| {
        let invocation = Invocation::new("cargo", &[arguments, more].concat());
        invocation.with("CARGO_TARGET_DIR", target_directory.to_string_lossy())
    };
    match notice {
        Notice::Test { package, target, name } => {
            let test = [&["test", "--quiet", "--package", package], target].concat();
            Plan {
                build: cargo(&test, &["--no-run"]),
                list: Some(cargo(&test, &["--", "--exact", name, "--list"])),
                attempt: cargo(&test, &["--", "--exact", name]),
            }
        }
        Notice::PowerLoss(device) => {
            let tool = ["--quiet", "--release", "--manifest-path", "tools/powerloss/Cargo.toml"];
            let rounds = ["--", "--rounds", "40", "--seed", "1", "--device", device];
            Plan {
                build: cargo(&["build"], &tool),
                list: None,
                attempt: cargo(&["run"], &[&tool[..], &rounds].concat()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_each_break_replaces_stands_in_its_file_once() {
        let root = workspace::root();
        for mutation in MUTATIONS {
            let text = std::fs::read_to_string(root.join(mutation.file)).unwrap();
            assert_eq!(text.matches(mutation.find).count(), 1, "{}: {:?}", mutation.name, mutation.find);
            assert_ne!(mutation.find, mutation.replace, "{}", mutation.name);
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<&str> = MUTATIONS.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MUTATIONS.len());
    }

    #[test]
    fn a_test_is_built_found_and_run() {
        let Plan { build, list, attempt } = plan(Path::new("/p"), storage("x::y"));
        let cargo = "CARGO_TARGET_DIR=/p/target cargo test --quiet --package annals-storage --lib";
        assert_eq!(build.line(), format!("{cargo} --no-run"));
        assert_eq!(list.unwrap().line(), format!("{cargo} -- --exact x::y --list"));
        assert_eq!(attempt.line(), format!("{cargo} -- --exact x::y"));
    }

    #[test]
    fn outcomes_are_told_apart() {
        let mutation = MUTATIONS.first().unwrap();
        assert!(line(mutation, Outcome::Passed).contains("NOT NOTICED"));
        assert!(line(mutation, Outcome::Unusable).contains("NOT TRIED"));
        assert!(!line(mutation, Outcome::Noticed).contains("NOT"));
    }
}

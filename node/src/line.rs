//! The command line: what can be asked, and the help that teaches it.

mod platform;

pub(crate) use platform::{
    CaseList, CaseOrder, CaseOverdue, PlatformInit, PlatformOrder, PlatformPut, PlatformShow, Sign, StateOrder,
    StateTarget, Submit,
};

use annals::Vkey;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Annals orders signed records into a durable, hash-chained ledger and proves offline what it recorded.
///
/// Results go to standard output, words to standard error. Exit codes: 0 done; 1 a negative finding or refused
/// input; 2 shorter than the checkpoint; 64 usage; 66 no such file, seq or case; 73 would overwrite; 74 I/O or halted;
/// 75 held by another or full, try later; 77 permissions of a key.
#[derive(Debug, Parser)]
#[command(name = "annals", version)]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the main job on sample data, narrated
    ///
    /// Makes a ledger, appends enforcement records, verifies a receipt offline, proves one item of a bundle, lets
    /// `check` find a flipped byte, and measures throughput beside its ceiling. Takes some seconds.
    Demo {
        /// Where to leave what it makes; a temporary directory, removed at the end, unless given
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Make a key file and print its author id
    ///
    /// The file is PKCS#8 in PEM, of mode 0600, and never replaces another. The author id is the public key: 64
    /// hexadecimal digits, to be given to a ledger's admin.
    ///
    ///   annals keygen --out officer.key
    #[command(verbatim_doc_comment)]
    Keygen {
        /// The file to make
        #[arg(long, value_name = "KEYFILE")]
        out: PathBuf,
    },
    /// Make a ledger and print its vkey
    ///
    /// Who may append is said once: either the first authors (--author, repeated) or everybody (--open). Admins
    /// (--admin, repeated; the ledger key if none is named) admit and revoke authors later. The vkey is what
    /// receipts are verified against: publish it.
    ///
    ///   annals init ledger --origin example.gov/enforcement --author $(annals keygen --out officer.key)
    #[command(verbatim_doc_comment)]
    Init(Init),
    /// Admit or revoke an author
    Author {
        #[command(subcommand)]
        order: Order,
    },
    /// Append lines or files as records, and print their receipts
    ///
    /// A record a line, or a file; a receipt a line on standard output, in input order, as soon as its record is
    /// durable. With --job a run that was killed is run again with the same arguments, and no line is lost or doubled.
    ///
    ///   annals append ledger --key officer.key --lines records.jsonl > receipts.jsonl
    ///   annals append ledger --key officer.key --files photo.jpg report.pdf
    #[command(verbatim_doc_comment)]
    Append(Append),
    /// Print the payload of a record as it was given
    Get {
        /// The ledger's directory
        dir: PathBuf,
        /// The record
        seq: u64,
        /// The item of a bundle, from 0
        #[arg(long, value_name = "I")]
        item: Option<u16>,
        /// The file to make; standard output unless given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List records
    Log(Log),
    /// Print the receipt of a record
    ///
    /// Without --item it is the same JSON object that `append` printed. With --item it shows one item of a bundle
    /// and nothing of its neighbours but their hashes.
    Prove {
        /// The ledger's directory
        dir: PathBuf,
        /// The record
        seq: u64,
        /// The item of a bundle, from 0
        #[arg(long, value_name = "I")]
        item: Option<u16>,
        /// The file to make; standard output unless given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a receipt, or the proof of an outcome, offline and step by step
    ///
    /// Needs the receipt or proof and the ledger's vkey, which `annals init` printed and its operator publishes; no ledger,
    /// no network. Says what holds, and what is not shown. Exit 0 if all holds, 1 if not. A proof that a record was
    /// refused holds like any other: the last lines say which.
    ///
    ///   annals verify receipt.json --payload notice.pdf --ledger-key 'annals.example/demo+1a2b3c4d+AQ...'
    ///   annals verify outcome.json --ledger-key 'example.gov/city+1a2b3c4d+AQ...'
    #[command(verbatim_doc_comment)]
    Verify {
        /// The receipt or the proof of an outcome: a JSON object
        receipt: PathBuf,
        /// The original file that was recorded; for a whole bundle, its items a line each
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
        /// The ledger's vkey
        #[arg(long, value_name = "VKEY")]
        ledger_key: String,
    },
    /// Read and verify a whole ledger again
    ///
    /// Frames, sums, padding, content hashes, chain, tree, signatures, nonces, index: every byte is
    /// read once, on all cores. Signatures are verified by another implementation than the engine's.
    /// The ledger must not be open elsewhere; `annals scrub` looks at one that is.
    ///
    /// Exit codes: 0 sound (a torn tail is reported); 1 damaged, tampered with, or another history than
    /// the checkpoint's (segment, offset and seq are named, and what to do); 2 shorter than the
    /// checkpoint; 66 no ledger there; 74 the disk does not answer; 75 held by a writer.
    ///
    ///   annals check ledger --checkpoint published.note
    ///   annals check ledger --since 1000000 --json
    #[command(verbatim_doc_comment)]
    Check(Check),
    /// Read a ledger again while it is in use, and verify sums, chain and content
    ///
    /// Looks for latent damage while a copy can still help: every durable frame's checksums and page
    /// sums, their chain, and the content hash of every record; no signatures, tree or index, which
    /// `annals check` verifies. Takes no lock, changes nothing, may be interrupted at any time, and runs
    /// beside a writer; --rate keeps it out of the writer's way.
    ///
    /// Exit codes: 0 sound; 1 damaged (segment and offset are named, and what to do); 66 no ledger
    /// there; 74 the disk does not answer.
    ///
    ///   annals scrub ledger --rate 50
    #[command(verbatim_doc_comment)]
    Scrub {
        /// The ledger's directory
        dir: PathBuf,
        /// Read no more than so many megabytes a second; as fast as it goes unless given
        #[arg(long, value_name = "MB/S", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        rate: Option<u64>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Make again what is derived: index files that are missing or damaged
    ///
    /// Compares each closed segment's index with what the segment makes, writes those that differ, and removes temporary
    /// files that broken work left behind. Never touches a segment: where one is damaged, that is told. The ledger must
    /// not be open elsewhere.
    ///
    /// Exit codes: 0 done; 1 a segment is damaged: restore the ledger from a backup; 66 no ledger there; 74 the disk does
    /// not answer; 75 held by a writer, or the disk is full.
    Repair {
        /// The ledger's directory
        dir: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Back a ledger up, also beside its writer
    ///
    /// OUT becomes a directory with all that is known to be durable: segments, the newest checkpoint, and a manifest of sizes
    /// and hashes; a busy writer is up to two blocks ahead. Never the ledger key: keep that elsewhere. If OUT is an older backup of the same ledger, closed segments that
    /// it has already are kept. It is whole or, after a crash, what it was before; what was written is read again and checked.
    /// A backup can be read: `annals check OUT`, `annals get OUT 7`.
    ///
    ///   annals backup ledger /mnt/backup/ledger
    #[command(verbatim_doc_comment)]
    Backup {
        /// The ledger's directory
        dir: PathBuf,
        /// The backup's directory: missing, empty, or an older backup of the same ledger
        out: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Make a ledger's directory of a backup
    ///
    /// Every file is compared with the manifest; signatures and contents are verified by `annals check DIR` afterwards. The
    /// ledger is read-only until it is told to go on, here (--continue-after) or later (`annals reopen`), since others may hold
    /// receipts for records that came after the backup.
    ///
    ///   annals restore /mnt/backup/ledger ledger --ledger-key ledger.key --continue-after newest-checkpoint.txt
    #[command(verbatim_doc_comment)]
    Restore(Restore),
    /// Let a restored or copied ledger go on
    ///
    /// A copy is read-only, since the ledger may have gone on elsewhere. CHECKPOINT is a file with the newest checkpoint that
    /// anybody holds: of a receipt (its field `checkpoint`), or of whoever keeps the ledger's checkpoints. If it was signed over
    /// more records than the copy has, going on would sign two histories and is refused, exit 2; if over another tree, exit 1.
    /// Otherwise the ledger orders a record that says from where it went on; its receipt is printed.
    ///
    ///   annals reopen restored --continue-after newest-checkpoint.txt
    #[command(verbatim_doc_comment)]
    Reopen(Reopen),
    /// Print what a ledger is and how far it goes
    Info {
        /// The ledger's directory
        dir: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the newest checkpoint, a signed note
    Checkpoint {
        /// The ledger's directory
        dir: PathBuf,
        /// The file to make; standard output unless given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print what this machine can do, and what would be used
    Doctor {
        /// Where to measure; a temporary directory unless given
        dir: Option<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Measure a ledger on this machine, beside the ceilings of the same run
    ///
    /// Records are signed before the clock starts and verified inside it. Afterwards the ledger is
    /// opened again: what was acknowledged must be there, each record once, and 1,000 receipts must
    /// hold; without that no figure is printed.
    ///
    /// records, bundles and latency are closed loops: what they send waits for what was answered.
    /// open sends at a constant rate, and measures latency from when a record was due, not from when
    /// it was sent: a stall counts for every record that came due in it (no coordinated omission).
    ///
    ///   annals bench --mode records --seconds 10 --json
    ///   annals bench --mode open --rate 100000 --report report.html
    ///   annals bench --mode records --bad 1000
    #[command(verbatim_doc_comment)]
    Bench(Bench),
    /// Make and administer a platform: a ledger with the contracts of a service on it
    Platform {
        #[command(subcommand)]
        order: PlatformOrder,
    },
    /// Act in the cases of a platform, look at them, and prove what became of a record
    Case {
        #[command(subcommand)]
        order: CaseOrder,
    },
    /// Check or rebuild the state of a platform, which is derived from its log
    State {
        #[command(subcommand)]
        order: StateOrder,
    },
    /// Requirements that can be run
    Scenario {
        #[command(subcommand)]
        order: ScenarioOrder,
    },
    /// Print shell completions
    ///
    ///   annals completions bash > /etc/bash_completion.d/annals
    #[command(verbatim_doc_comment)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What `check` takes.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The ledger's directory
    pub(crate) dir: PathBuf,
    /// A checkpoint that the ledger must go on from
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Begin at the segment that holds this record; what lies before is taken as checked before
    #[arg(long, value_name = "SEQ")]
    pub(crate) since: Option<u64>,
    /// Verify no signatures, which take more time than all else
    #[arg(long)]
    pub(crate) no_signatures: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `init` takes.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The directory to make; missing or empty
    pub(crate) dir: PathBuf,
    /// The ledger's name in its checkpoints, such as example.gov/enforcement
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: String,
    /// A first author: 64 hexadecimal digits, as `keygen` printed them
    #[arg(long, value_name = "HEX", num_args = 1.., required_unless_present = "open", conflicts_with = "open")]
    pub(crate) author: Vec<String>,
    /// Let everybody append
    #[arg(long)]
    pub(crate) open: bool,
    /// Somebody who may admit and revoke authors
    #[arg(long, value_name = "HEX", num_args = 1..)]
    pub(crate) admin: Vec<String>,
    /// Bytes of a segment: a power of two from 2097152 to 4294967296
    #[arg(long, value_name = "N", default_value_t = annals::limits::SEGMENT_SIZE_DEFAULT)]
    pub(crate) segment_size: u64,
    /// A key file to be the ledger key, used where it lies; a new one in the ledger's directory unless given
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) ledger_key: Option<PathBuf>,
}

/// What `author` orders.
#[derive(Debug, Subcommand)]
pub(crate) enum Order {
    /// Let an author append from now on
    Admit(Authority),
    /// Let an author append no more
    Revoke(Authority),
}

/// Who orders what of whom.
#[derive(Args, Debug)]
pub(crate) struct Authority {
    /// The ledger's directory
    pub(crate) dir: PathBuf,
    /// The author: 64 hexadecimal digits
    #[arg(value_name = "HEX")]
    pub(crate) author: String,
    /// An admin's key file
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: PathBuf,
    /// Take the machine's clock as it is, behind or a week ahead of the newest record; a record says so
    #[arg(long)]
    pub(crate) accept_clock: bool,
}

/// What `scenario` does.
#[derive(Debug, Subcommand)]
pub(crate) enum ScenarioOrder {
    /// Run scenarios, each on a ledger of its own, and say which requirements hold
    ///
    /// A scenario is a story of officers and a case in steps; services/enforcement/scenarios/README.md says how one is
    /// written. A line each on standard output; of one that fails, the first step that is not as expected is told,
    /// with what was expected and what was found. Exit 0 if all hold, 1 if not.
    ///
    ///   annals scenario run services
    ///   annals scenario run services/enforcement/scenarios/Y2-registration.toml --report requirements.md
    #[command(verbatim_doc_comment)]
    Run(ScenarioRun),
}

/// What `scenario run` takes.
#[derive(Args, Debug)]
pub(crate) struct ScenarioRun {
    /// Scenarios, or directories that are searched for them: files *.toml that name a row
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The service to run them on, by its name, if it is built in, or its directory; the one that they lie in unless given
    #[arg(long, value_name = "NAME_OR_DIR")]
    pub(crate) service: Option<String>,
    /// Write a report of requirements, their steps and whether they hold, in Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `restore` takes.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The backup's directory
    pub(crate) out: PathBuf,
    /// The directory to make; missing or empty
    pub(crate) dir: PathBuf,
    /// Where the ledger key lies, unless it will be put into the ledger's directory as ledger.key
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) ledger_key: Option<PathBuf>,
    /// Go on at once: the newest checkpoint that anybody holds
    #[arg(long, value_name = "CHECKPOINT", requires = "ledger_key")]
    pub(crate) continue_after: Option<PathBuf>,
    /// Take the machine's clock as it is, behind or a week ahead of the newest record; a record says so
    #[arg(long, requires = "continue_after")]
    pub(crate) accept_clock: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `reopen` takes.
#[derive(Args, Debug)]
pub(crate) struct Reopen {
    /// The ledger's directory
    pub(crate) dir: PathBuf,
    /// The newest checkpoint that anybody holds
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) continue_after: PathBuf,
    /// Where the ledger key lies from now on, unless it is in the ledger's directory
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) ledger_key: Option<PathBuf>,
    /// Take the machine's clock as it is, behind or a week ahead of the newest record; a record says so
    #[arg(long)]
    pub(crate) accept_clock: bool,
}

/// What `append` takes.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("input").required(true)))]
pub(crate) struct Append {
    /// The ledger's directory
    pub(crate) dir: PathBuf,
    /// The author's key file
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: PathBuf,
    /// What the records are, as the platform numbers it
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(65_536..))]
    pub(crate) kind: u32,
    /// Put this many lines or files into one record, whose items are proved one by one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub(crate) bundle: Option<u16>,
    /// Leave the salt out: whoever guesses a payload can then confirm the guess
    #[arg(long)]
    pub(crate) no_salt: bool,
    /// Stop at the first line or file that is refused
    #[arg(long)]
    pub(crate) strict: bool,
    /// Take the machine's clock as it is, behind or a week ahead of the newest record; a record says so
    #[arg(long)]
    pub(crate) accept_clock: bool,
    /// A journal that makes the run repeatable: run again with the same arguments after a crash
    #[arg(long, value_name = "FILE")]
    pub(crate) job: Option<PathBuf>,
    /// A record a line: its bytes without the line feed; - is standard input
    #[arg(long, value_name = "FILE", group = "input")]
    pub(crate) lines: Option<PathBuf>,
    /// A record a file
    #[arg(long, value_name = "PATH", num_args = 1.., group = "input")]
    pub(crate) files: Vec<PathBuf>,
}

/// What `log` takes.
#[derive(Args, Debug)]
pub(crate) struct Log {
    /// The ledger's directory
    pub(crate) dir: PathBuf,
    /// The first record
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(crate) from: u64,
    /// Most records
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Wait for more, until interrupted
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print a JSON object a record
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `bench` measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Mode {
    /// Throughput of plain records
    Records,
    /// Throughput of bundles
    Bundles,
    /// Latency of a lone record
    Latency,
    /// Latency at a constant rate, counted from when each record was due
    Open,
    /// Many times as many attempts as the ledger can take
    Overload,
    /// Reading: scan, get, prove and find
    Read,
    /// A follower from the beginning to the head
    Follow,
    /// Opening after the writer was killed, to the first acknowledgement
    Reopen,
    /// What `annals check` does
    Check,
    /// Whole cases of the first platform, applied by its contracts
    Cases,
}

/// Which nonces the sources of a bench send.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Nonces {
    /// Each author's rise
    Rising,
    /// One source attacks: its nonces lie far below its highest, and each needs a look-up on the disk
    Stale,
}

/// What `bench` takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Bench {
    /// What to measure
    #[arg(long)]
    pub(crate) mode: Mode,
    /// All but reopen: how long what counts is measured, once the records are signed; 10 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: Option<u64>,
    /// With a load: how long the ledger is under it before that, without being counted; 1 unless given
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(crate) warmup: Option<u64>,
    /// With open: records a second, of all threads together; 0.4 of saturation unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) rate: Option<u64>,
    /// With overload: how many times saturation is offered; 10 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) times: Option<u64>,
    /// With records or open: which nonces are sent; stale is an attack by one source, measured beside a clean phase
    #[arg(long, default_value = "rising")]
    pub(crate) nonces: Nonces,
    /// With records or open: one source attacks with one bad signature in N records, measured beside a clean phase
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) bad: Option<u64>,
    /// Where the ledger and the prepared records go; the records are kept there and used again
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// All but reopen: bytes of a payload, or of an item of a bundle; 256 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    pub(crate) payload: Option<u32>,
    /// All but reopen: authors; 64 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) authors: Option<u32>,
    /// With a load: threads that append, no more than sources; the default suits the mode; an attacker has one more of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) producers: Option<u32>,
    /// With a load: appenders that those threads drive; as many as threads unless given, 4 with overload, 8 with an attack
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) sources: Option<u32>,
    /// With bundles: items of a bundle; 1000 unless given, or as many as fit a record
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub(crate) items: Option<u16>,
    /// With a load: write a report to read in a browser, with latency at 0.1 to 1.1 of saturation where that is measured
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// With read, follow and check: records of the ledger; as suits the payload unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) records: Option<u64>,
    /// With cases: how many, in place of --seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) cases: Option<u64>,
    /// With reopen: GiB of the ledger; 1 unless given, 0 is a few MiB
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1024))]
    pub(crate) gib: Option<u64>,
    /// Append to this ledger until killed: the writer of `--mode reopen`
    #[arg(long, hide = true)]
    pub(crate) victim: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Bench {
    /// How long what counts is measured.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(10))
    }

    /// Bytes of a payload, or of an item.
    pub(crate) fn payload_size(&self) -> u32 {
        self.payload.unwrap_or(256)
    }

    /// Authors of the records.
    pub(crate) fn author_count(&self) -> u32 {
        self.authors.unwrap_or(64)
    }
}

/// Reads a vkey; clap's own parsing would hide which part is wrong.
pub(crate) fn vkey(text: &str) -> Result<Vkey, annals::VkeyError> {
    text.parse()
}

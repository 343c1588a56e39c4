//! The command line of platforms: what `annals platform`, `case` and `state` take.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What `platform` does.
#[derive(Debug, Subcommand)]
pub(crate) enum PlatformOrder {
    /// Make a platform, a ledger with the contracts of a service on it, and print its vkey
    ///
    /// The service says the registries, the grants and the procedures; enforcement (行政执法) is built in, and a directory with a
    /// service.toml is one too. Administrators put entries, grants and new versions of procedures later; two of them must sign
    /// unless --threshold says otherwise. --development allows a single one, who can then do everything alone.
    ///
    /// Exit codes: 0 made; 1 the service has faults, all of them told, and nothing was made; 64 usage; 73 the directory is not
    /// empty.
    ///
    ///   annals platform init city --service enforcement --origin example.gov/city \
    ///     --admin $(annals keygen --out a.key) $(annals keygen --out b.key)
    ///   annals platform init try --service enforcement --development --admin $(annals keygen --out a.key)
    #[command(verbatim_doc_comment)]
    Init(PlatformInit),
    /// Put registry entries, grants or a procedure as an administrator
    ///
    /// FILE is JSON or TOML, by its name; - is JSON from standard input. What it leaves out of an entry is taken from the version
    /// there is; version is filled in; from and until are ms since the Unix epoch, dates (an until counts to its end) or moments
    /// as 2026-03-04T10:05:00+08:00. Several entries are a JSON list, or `[[entry]]` tables: a record each. Prints a receipt each.
    ///
    ///   type = "credential"
    ///   id = "9f2c…"              # the officer's key, as keygen printed it
    ///   until = "2027-12-31"
    ///   data = { officer = "SJ-1024", agency = "SJ", roles = ["investigator"], scope = ["market"] }
    ///
    ///   annals platform put city --key a.key --registry officer.toml
    ///   annals platform put city --key a.key --policy grants.json
    ///   annals platform put city --key a.key --definition procedure.toml --from-height 900
    #[command(verbatim_doc_comment)]
    Put(PlatformPut),
    /// Sign records that wait for signatures
    ///
    /// A record waits where it was submitted by one and another must sign too: an act in a case, or an administrator's. `annals
    /// platform show` and `annals case show` name those that wait.
    ///
    ///   annals platform sign city --key b.key 5d0c…
    #[command(verbatim_doc_comment)]
    Sign(Sign),
    /// Print what a platform is, or what its registries or grants say
    ///
    /// Without --registry or --policy: the service, the administrators, the procedures, and what waits for administrators'
    /// signatures. Works beside a writer and on a backup; state is then made anew in memory.
    ///
    ///   annals platform show city
    ///   annals platform show city --registry credential
    ///   annals platform show city --registry agency SJ --at 120
    ///   annals platform show city --policy enforcement --json
    #[command(verbatim_doc_comment)]
    Show(PlatformShow),
}

/// What `platform init` takes.
#[derive(Args, Debug)]
pub(crate) struct PlatformInit {
    /// The directory to make; missing or empty
    pub(crate) dir: PathBuf,
    /// A service that is built in (enforcement), or a directory with a service.toml
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) service: String,
    /// Who administers it: 64 hexadecimal digits, as `keygen` printed them
    #[arg(long, value_name = "HEX", num_args = 1.., required = true)]
    pub(crate) admin: Vec<String>,
    /// How many administrators must sign; 2 unless given, 1 with --development
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threshold: Option<u32>,
    /// The ledger's name in its checkpoints, such as example.gov/enforcement; annals.example/ and the service's name unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,
    /// Allow that one administrator alone does everything: to try things out, not for records that count
    #[arg(long)]
    pub(crate) development: bool,
    /// A key file to be the ledger key, used where it lies; a new one in the ledger's directory unless given
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) ledger_key: Option<PathBuf>,
    /// Bytes of a segment: a power of two from 2097152 to 4294967296
    #[arg(long, value_name = "N", default_value_t = annals::limits::SEGMENT_SIZE_DEFAULT)]
    pub(crate) segment_size: u64,
}

/// What `platform put` takes.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct PlatformPut {
    /// The platform's directory
    pub(crate) dir: PathBuf,
    /// The key file of an administrator, or of an officer who manages the registry for his agency
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: PathBuf,
    /// Entries of a registry
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) registry: Option<PathBuf>,
    /// All grants on an action from now on
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) policy: Option<PathBuf>,
    /// The next version of a procedure, or the form of a registry as `registry = { name, label, fields }`
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) definition: Option<PathBuf>,
    /// With --definition: the height from which on cases begin under it; at once unless given
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) from_height: Option<u64>,
    /// Take the machine's clock as it is, behind or a week ahead of the newest record; a record says so
    #[arg(long)]
    pub(crate) accept_clock: bool,
    /// Print one JSON object a record, with its outcome
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `platform sign` and `case sign` take.
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The platform's directory
    pub(crate) dir: PathBuf,
    /// The signer's key file
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: PathBuf,
    /// The records that wait: 64 hexadecimal digits each
    #[arg(value_name = "RECORD_ID", required = true)]
    pub(crate) records: Vec<String>,
    /// Write the proof of the outcome to a new file
    #[arg(long, value_name = "FILE")]
    pub(crate) prove: Option<PathBuf>,
    /// Take the machine's clock as it is, behind or a week ahead of the newest record; a record says so
    #[arg(long)]
    pub(crate) accept_clock: bool,
    /// Print one JSON object a record, with its outcome
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `platform show` takes.
#[derive(Args, Debug)]
pub(crate) struct PlatformShow {
    /// The platform's directory
    pub(crate) dir: PathBuf,
    /// The entries of a registry, or one of them by its id
    #[arg(long, value_names = ["TYPE", "ID"], num_args = 1..=2, conflicts_with = "policy")]
    pub(crate) registry: Option<Vec<String>>,
    /// The grants on an action: a procedure's name, or registry/ and a registry's
    #[arg(long, value_name = "ACTION")]
    pub(crate) policy: Option<String>,
    /// The steps of a procedure that holds now, or the form of one of them: its fields, documents and signers
    #[arg(long, value_names = ["NAME", "ACT"], num_args = 1..=2, conflicts_with_all = ["policy", "registry", "at"])]
    pub(crate) procedure: Option<Vec<String>>,
    /// What held behind this record, instead of what holds now
    #[arg(long, value_name = "SEQ")]
    pub(crate) at: Option<u64>,
    /// Print JSON, a value a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `case` does.
#[derive(Debug, Subcommand)]
pub(crate) enum CaseOrder {
    /// Submit a signed act in a case, and print its receipt
    ///
    /// CASE is AGENCY/NUMBER; an act that begins a case makes it. Fields are given by --data, a JSON or TOML file, and by --set,
    /// which reads a value as the form asks: party.name=…, officers=A,B, begun=2026-03-04T10:05:00+08:00. Documents are not kept,
    /// only their BLAKE3 and size: keep the files. The act is held against the procedure before anything is written.
    ///
    /// Exit codes: 0 accepted, or waiting for further signatures (what to run next is told); 1 refused, in one line; 66 no such
    /// file; 75 held by another process.
    ///
    ///   annals case submit city --key li.key register SJ/2026-017 --data clue.toml
    ///   annals case submit city --key li.key evidence SJ/2026-017 --set kind=document --set title=账簿 --set taken_from=仓库 \
    ///     --attach original=ledger.pdf
    ///   annals case submit city --key li.key correct SJ/2026-017 --parent '#3' --data correction.json --prove outcome.json
    #[command(verbatim_doc_comment)]
    Submit(Submit),
    /// Sign an act that waits for signatures
    ///
    ///   annals case sign city --key wang.key 5d0c…
    #[command(verbatim_doc_comment)]
    Sign(Sign),
    /// Print where a case stands: what may be done next and by whom, periods, holds, tasks, and who must sign
    ///
    ///   annals case show city SJ/2026-017
    #[command(verbatim_doc_comment)]
    Show {
        /// The platform's directory
        dir: PathBuf,
        /// The case: AGENCY/NUMBER
        case: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List cases, in the order of agency and number
    ///
    ///   annals case list city --agency SJ --open
    ///   annals case list city --json --limit 1000 --after SJ/2026-017
    #[command(verbatim_doc_comment)]
    List(CaseList),
    /// List what was done in a case
    ///
    ///   annals case history city SJ/2026-017
    #[command(verbatim_doc_comment)]
    History {
        /// The platform's directory
        dir: PathBuf,
        /// The case: AGENCY/NUMBER
        case: String,
        /// Print JSON, an act a line
        #[arg(long)]
        json: bool,
    },
    /// List periods that are exceeded, or were before what was due was done
    ///
    ///   annals case overdue city --agency SJ
    ///   annals case overdue city --as-of 2026-12-31
    #[command(verbatim_doc_comment)]
    Overdue(CaseOverdue),
    /// Trace a case to its sources: its acts, and what they rest on or correct, in other cases too
    ///
    ///   annals case trace city SJ/2026-017
    #[command(verbatim_doc_comment)]
    Trace {
        /// The platform's directory
        dir: PathBuf,
        /// The case: AGENCY/NUMBER
        case: String,
        /// Print JSON, an act a line
        #[arg(long)]
        json: bool,
    },
    /// Prove what became of a record: accepted, waiting or refused
    ///
    /// Has the state's root ordered, so the platform must not be open elsewhere. `annals verify FILE --ledger-key VKEY` checks the
    /// proof, with neither the ledger nor the network.
    ///
    ///   annals case prove city 41 --out outcome.json
    #[command(verbatim_doc_comment)]
    Prove {
        /// The platform's directory
        dir: PathBuf,
        /// The record
        seq: u64,
        /// The file to make; standard output unless given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Take the machine's clock as it is, behind or a week ahead of the newest record; a record says so
        #[arg(long)]
        accept_clock: bool,
    },
}

/// What `case submit` takes.
#[derive(Args, Debug)]
pub(crate) struct Submit {
    /// The platform's directory
    pub(crate) dir: PathBuf,
    /// The author's key file
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: PathBuf,
    /// What is done: a step of the procedure, by name
    pub(crate) act: String,
    /// The case: AGENCY/NUMBER
    pub(crate) case: String,
    /// The procedure of a case that begins; the only one unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) definition: Option<String>,
    /// What the form asks for: a JSON or TOML file; - is JSON from standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// A field of it, read as the form asks: text, number, true, date, moment, A,B or JSON
    #[arg(long, value_name = "FIELD=VALUE")]
    pub(crate) set: Vec<String>,
    /// A document, by the name that the procedure gives it
    #[arg(long, value_name = "NAME=FILE")]
    pub(crate) attach: Vec<String>,
    /// An act that this one rests on or corrects: #3, or AGENCY/NUMBER#3
    #[arg(long, value_name = "REF", num_args = 1..)]
    pub(crate) parent: Vec<String>,
    /// Write the proof of the outcome to a new file
    #[arg(long, value_name = "FILE")]
    pub(crate) prove: Option<PathBuf>,
    /// Take the machine's clock as it is, behind or a week ahead of the newest record; a record says so
    #[arg(long)]
    pub(crate) accept_clock: bool,
    /// Print one JSON object: the receipt and the outcome
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `case list` takes.
#[derive(Args, Debug)]
pub(crate) struct CaseList {
    /// The platform's directory
    pub(crate) dir: PathBuf,
    /// Cases of this agency
    #[arg(long, value_name = "AGENCY")]
    pub(crate) agency: Option<String>,
    /// Cases in this state
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// Cases that have not ended
    #[arg(long)]
    pub(crate) open: bool,
    /// Most cases
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// Cases behind this one
    #[arg(long, value_name = "CASE")]
    pub(crate) after: Option<String>,
    /// Print JSON, a case a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `case overdue` takes.
#[derive(Args, Debug)]
pub(crate) struct CaseOverdue {
    /// The platform's directory
    pub(crate) dir: PathBuf,
    /// Cases of this agency
    #[arg(long, value_name = "AGENCY")]
    pub(crate) agency: Option<String>,
    /// Count until then instead of now: ms since the Unix epoch, a date (its end) or a moment
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
    /// Most periods
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// Print JSON, a period a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `state` does.
#[derive(Debug, Subcommand)]
pub(crate) enum StateOrder {
    /// Apply the log again from its beginning and compare the root of every block with the stored state's
    ///
    /// Changes nothing. The platform must not be open elsewhere.
    ///
    /// Exit codes: 0 the same; 1 another root (the first height is named), or the stored state is damaged; 66 no platform or no
    /// state there; 75 held by another process.
    ///
    ///   annals state check city
    #[command(verbatim_doc_comment)]
    Check(StateTarget),
    /// Make the state again from the log, in place of what is stored
    ///
    /// State is derived: nothing is lost with it. The platform must not be open elsewhere.
    ///
    ///   annals state rebuild city
    #[command(verbatim_doc_comment)]
    Rebuild(StateTarget),
}

/// What `state check` and `state rebuild` take.
#[derive(Args, Debug)]
pub(crate) struct StateTarget {
    /// The platform's directory
    pub(crate) dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

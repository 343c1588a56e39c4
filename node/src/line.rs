//! The command line: what can be asked, and the help that teaches it.

use annals::Vkey;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Annals orders signed records into a durable, hash-chained ledger and proves offline what it recorded.
///
/// Results go to standard output, words to standard error. Exit codes: 0 done; 1 a negative finding or refused
/// input; 64 usage; 66 no such file; 73 would overwrite; 74 I/O; 77 permissions of a key.
#[derive(Debug, Parser)]
#[command(name = "annals", version)]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
    /// Check a receipt offline, step by step
    ///
    /// Needs the receipt and the ledger's vkey, which `annals init` printed and its operator publishes; no ledger,
    /// no network. Says what holds, and what a receipt does not show. Exit 0 if all holds, 1 if not.
    ///
    ///   annals verify receipt.json --payload notice.pdf --ledger-key 'annals.example/demo+1a2b3c4d+AQ...'
    #[command(verbatim_doc_comment)]
    Verify {
        /// The receipt: a JSON object
        receipt: PathBuf,
        /// The original file that was recorded; for a whole bundle, its items a line each
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
        /// The ledger's vkey
        #[arg(long, value_name = "VKEY")]
        ledger_key: String,
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

/// Reads a vkey; clap's own parsing would hide which part is wrong.
pub(crate) fn vkey(text: &str) -> Result<Vkey, annals::VkeyError> {
    text.parse()
}

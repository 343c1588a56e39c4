//! `annals platform init`: a platform, and the vkey that its receipts and proofs are verified against.

use crate::command::{author_id, services, warn_of_device};
use crate::exit::CommandError;
use crate::line::PlatformInit;
use annals::AuthorId;
use annals_contracts::{Founding, Platform, PlatformOptions};
use std::io::Write as _;

pub(super) fn run(init: &PlatformInit) -> Result<u8, CommandError> {
    let (admins, threshold) = administrators(init)?;
    let service = services::find(&init.service)?;
    let origin = init.origin.clone().unwrap_or_else(|| format!("annals.example/{}", service.name));
    let (label, count) = (service.label.to_string(), admins.len());
    let founding = Founding {
        origin,
        service,
        admins,
        threshold,
        segment_size: init.segment_size,
        ledger_key: init.ledger_key.clone(),
    };
    let platform =
        Platform::create(&init.dir, &founding, PlatformOptions { untended: true, ..PlatformOptions::default() })?;
    warn_of_device(platform.ledger());
    let vkey = platform.ledger().vkey().to_string();
    platform.close()?;
    writeln!(std::io::stdout(), "{vkey}")?;
    say!(
        "annals: made a platform in {} for {label}; {threshold} of {count} administrators sign; standard output has its vkey: publish it",
        init.dir.display()
    );
    if init.development {
        say!("annals: for development: do not keep records in it that count");
    }
    Ok(0)
}

/// Who administers, and how many of them must sign: never one alone, unless it is for development.
fn administrators(init: &PlatformInit) -> Result<(Vec<AuthorId>, u32), CommandError> {
    let mut admins = Vec::new();
    for value in &init.admin {
        let admin = author_id("--admin", value)?;
        if admins.contains(&admin) {
            return Err(CommandError::Wrong(format!("--admin names {admin} twice; two signatures come from two keys")));
        }
        admins.push(admin);
    }
    let threshold = init.threshold.unwrap_or(if init.development { 1 } else { 2 });
    if admins.len() < 2 && !init.development {
        return Err(CommandError::Usage(
            "one administrator alone could change every rule; name two or more with --admin, or say --development to try things out",
        ));
    }
    if threshold < 2 && !init.development {
        return Err(CommandError::Usage(
            "with --threshold 1 one administrator alone could change every rule; say 2 or more, or --development to try things out",
        ));
    }
    if admins.len() < threshold as usize {
        let words =
            format!("{threshold} of {} administrators can't sign; name more, or say a lower --threshold", admins.len());
        return Err(CommandError::Wrong(words));
    }
    Ok((admins, threshold))
}

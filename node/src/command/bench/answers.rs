//! Answers that are waited for in the order in which their records were sent.

use crate::exit::CommandError;
use annals::Pending;
use std::collections::VecDeque;

/// Waits for the oldest answers, so many.
pub(crate) fn wait(outstanding: &mut VecDeque<Pending>, count: usize) -> Result<(), CommandError> {
    let count = count.min(outstanding.len());
    outstanding.drain(..count).try_for_each(|pending| pending.wait().map(drop)).map_err(CommandError::from)
}

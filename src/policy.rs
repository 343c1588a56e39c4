//! What an embedder may add to the gate: a rule that refuses records.

use annals_core::record::Record;

/// A rule on records, asked in the caller's thread before a record is taken.
///
/// It may only refuse. It must be pure and cheap: it is asked for every record, possibly from many threads at once, and
/// a record that passed is not asked about again. If it panics, the record is refused.
///
/// ```
/// use annals::{Policy, Record};
/// #[derive(Debug)]
/// struct SmallOnly;
/// impl Policy for SmallOnly {
///     fn judge(&self, record: &Record<'_>) -> Result<(), u32> {
///         if record.payload.len() <= 4096 { Ok(()) } else { Err(1) }
///     }
/// }
/// ```
pub trait Policy: Send + Sync + std::fmt::Debug {
    /// Whether the record may be appended.
    ///
    /// # Errors
    ///
    /// A number of the embedder's own, which the refusal carries.
    fn judge(&self, record: &Record<'_>) -> Result<(), u32>;
}

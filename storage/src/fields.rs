//! Fixed fields of a page: reading and writing little-endian numbers and arrays at constant offsets.
//!
//! The readers are total: a field that the slice does not reach reads as zero. Every parser compares the length of its
//! input first, so that case is never taken for content; it only spares each field an error path of its own.

/// The `N` bytes at `at`; zeros where the slice ends before.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

/// The byte at `at`.
pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    let [byte] = array::<1>(bytes, at);
    byte
}

/// The `u32` at `at`.
pub(crate) fn number_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// The `u64` at `at`.
pub(crate) fn number_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// The part `from..to`; empty where the slice ends before.
pub(crate) fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or(&[])
}

/// Writes a field at `at`.
///
/// # Panics
///
/// If the field does not fit: offsets are constants of the format, so that is our own bug.
#[expect(clippy::indexing_slicing, reason = "offsets are constants of the format; running over is our own bug")]
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// Whether a magic is that of a later layout of the same structure: the same letters, a higher digit.
pub(crate) fn is_later(found: [u8; 4], known: [u8; 4]) -> bool {
    let ([found @ .., found_digit], [known @ .., known_digit]) = (found, known);
    found == known && known_digit < found_digit && found_digit <= b'9'
}

/// Whether every byte is zero.
pub(crate) fn all_zero(bytes: &[u8]) -> bool {
    // Sixteen bytes at a time: this runs over every page of a segment's unused rest.
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().all(|chunk| u128::from_ne_bytes(*chunk) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// Offset of the first byte of `bytes` that is not zero.
pub(crate) fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    // Nearly always there is none, and that is seen many bytes at a time.
    if all_zero(bytes) { None } else { bytes.iter().position(|byte| *byte != 0) }
}

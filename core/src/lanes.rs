//! BLAKE3 of many short messages at once, one in each lane of the processor's vectors.
//!
//! BLAKE3 fills the lanes with the chunks of one long message; a message of up to 1,024 bytes is one chunk, so
//! hashed by itself it uses one lane of eight or sixteen. Here messages of the same number of blocks are gathered and
//! hashed side by side; of a message that ends within a block, the last block follows by itself. Source: BLAKE3
//! specification, sections 2.4 and 5.3.
//!
//! The entry point to the lanes is hidden and unstable in the `blake3` crate, whose version is pinned for it. This file is
//! its only user, and [`blake3::hash`] is what a test compares every length with.

use blake3::platform::Platform;
use blake3::{BLOCK_LEN, CHUNK_LEN, IncrementCounter};

/// Messages hashed side by side: the most lanes that any processor has.
const LANES: usize = 16;
/// Whole blocks of the longest message that is one chunk.
const BLOCK_COUNT_MAX: usize = CHUNK_LEN / BLOCK_LEN;

/// The initialization vector, that of SHA-256.
const IV: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
/// Domain flags of the compression function, table 3 of the specification.
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;

/// A message with the number that its caller knows it by.
#[derive(Clone, Copy, Debug)]
struct Numbered<'a> {
    number: usize,
    message: &'a [u8],
}

/// Messages of the same number of whole blocks that wait for their lanes to be filled.
#[derive(Clone, Copy, Debug)]
struct Waiting<'a> {
    count: usize,
    messages: [Numbered<'a>; LANES],
}

const NOTHING: Waiting<'static> = Waiting { count: 0, messages: [Numbered { number: 0, message: &[] }; LANES] };

/// Hashes all messages; `put(number, hash)` is called once for each, in no order, with its number from 0.
pub fn hash_each<'a>(messages: impl IntoIterator<Item = &'a [u8]>, mut put: impl FnMut(usize, [u8; 32])) {
    let platform = Platform::detect();
    // Those that end with a block, and those that end within one: the last block of the former is hashed in its lane.
    let mut groups: [[Waiting<'a>; BLOCK_COUNT_MAX]; 2] = [[NOTHING; BLOCK_COUNT_MAX]; 2];
    for (number, message) in messages.into_iter().enumerate() {
        let whole_blocks = message.len() / BLOCK_LEN;
        let ends_within = usize::from(!message.len().is_multiple_of(BLOCK_LEN));
        let group = whole_blocks.checked_sub(1).and_then(|index| groups.get_mut(ends_within)?.get_mut(index));
        match group {
            Some(group) if message.len() <= CHUNK_LEN => {
                if let Some(place) = group.messages.get_mut(group.count) {
                    *place = Numbered { number, message };
                    group.count += 1;
                }
                if group.count == LANES {
                    hash_group(platform, whole_blocks, group, &mut put);
                }
            }
            // Shorter than a block, or longer than a chunk: nothing to gain.
            _ => put(number, *blake3::hash(message).as_bytes()),
        }
    }
    for (whole_blocks, group) in groups.iter_mut().flat_map(|groups| (1..).zip(groups)) {
        hash_group(platform, whole_blocks, group, &mut put);
    }
}

/// Hashes what waits, and empties the group.
fn hash_group(platform: Platform, whole_blocks: usize, group: &mut Waiting<'_>, put: &mut impl FnMut(usize, [u8; 32])) {
    let waiting = group.messages.get(..std::mem::take(&mut group.count)).unwrap_or_default();
    match waiting {
        [] => {}
        // A single lane gains nothing.
        [one] => put(one.number, *blake3::hash(one.message).as_bytes()),
        many => match whole_blocks {
            1 => hash_lanes::<{ BLOCK_LEN }>(platform, many, put),
            2 => hash_lanes::<{ 2 * BLOCK_LEN }>(platform, many, put),
            3 => hash_lanes::<{ 3 * BLOCK_LEN }>(platform, many, put),
            4 => hash_lanes::<{ 4 * BLOCK_LEN }>(platform, many, put),
            5 => hash_lanes::<{ 5 * BLOCK_LEN }>(platform, many, put),
            6 => hash_lanes::<{ 6 * BLOCK_LEN }>(platform, many, put),
            7 => hash_lanes::<{ 7 * BLOCK_LEN }>(platform, many, put),
            8 => hash_lanes::<{ 8 * BLOCK_LEN }>(platform, many, put),
            9 => hash_lanes::<{ 9 * BLOCK_LEN }>(platform, many, put),
            10 => hash_lanes::<{ 10 * BLOCK_LEN }>(platform, many, put),
            11 => hash_lanes::<{ 11 * BLOCK_LEN }>(platform, many, put),
            12 => hash_lanes::<{ 12 * BLOCK_LEN }>(platform, many, put),
            13 => hash_lanes::<{ 13 * BLOCK_LEN }>(platform, many, put),
            14 => hash_lanes::<{ 14 * BLOCK_LEN }>(platform, many, put),
            15 => hash_lanes::<{ 15 * BLOCK_LEN }>(platform, many, put),
            _ => hash_lanes::<{ 16 * BLOCK_LEN }>(platform, many, put),
        },
    }
}

/// Hashes messages whose whole blocks are `SIZE` bytes.
fn hash_lanes<const SIZE: usize>(platform: Platform, messages: &[Numbered<'_>], put: &mut impl FnMut(usize, [u8; 32])) {
    let mut inputs: [&[u8; SIZE]; LANES] = [&[0; SIZE]; LANES];
    let mut hashes = [[0; 32]; LANES];
    for (input, message) in inputs.iter_mut().zip(messages) {
        if let Some(whole) = message.message.first_chunk() {
            *input = whole;
        }
    }
    let ends_within = messages.iter().any(|message| message.message.len() != SIZE);
    let (inputs, out) = (inputs.get(..messages.len()), hashes.as_flattened_mut().get_mut(..32 * messages.len()));
    if let (Some(inputs), Some(out)) = (inputs, out) {
        let end = if ends_within { 0 } else { CHUNK_END | ROOT };
        platform.hash_many(inputs, &IV, 0, IncrementCounter::No, 0, CHUNK_START, end, out);
    }
    for (Numbered { number, message }, hash) in messages.iter().zip(hashes) {
        let rest = message.get(SIZE..).unwrap_or_default();
        put(*number, if rest.is_empty() { hash } else { hash_last(platform, hash, rest) });
    }
}

/// Hashes the last block of a message, fewer bytes than a block, after the whole ones came to `hash`.
fn hash_last(platform: Platform, hash: [u8; 32], rest: &[u8]) -> [u8; 32] {
    let mut chaining = blake3::platform::words_from_le_bytes_32(&hash);
    let mut block = [0; BLOCK_LEN];
    block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    #[expect(clippy::cast_possible_truncation, reason = "below a block's 64")]
    let size = rest.len() as u8;
    platform.compress_in_place(&mut chaining, &block, size, 0, CHUNK_END | ROOT);
    blake3::platform::le_bytes_from_words_32(&chaining)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn by_lanes(messages: &[Vec<u8>]) -> Vec<[u8; 32]> {
        let mut hashes = vec![None; messages.len()];
        hash_each(messages.iter().map(Vec::as_slice), |number, hash| {
            assert!(hashes[number].replace(hash).is_none(), "each once");
        });
        hashes.into_iter().map(Option::unwrap).collect()
    }

    fn one_by_one(messages: &[Vec<u8>]) -> Vec<[u8; 32]> {
        messages.iter().map(|message| *blake3::hash(message).as_bytes()).collect()
    }

    #[test]
    fn every_length_hashes_as_it_does_alone() {
        // Of each length from nothing to two chunks as many as fill the lanes and some more.
        let message = |size: usize| (0..size).map(|place| (place * 7 + size) as u8).collect::<Vec<_>>();
        for count in [1, 2, 15, 16, 17, 40] {
            for size in 0..2 * CHUNK_LEN + 2 {
                let messages: Vec<_> = (0..count)
                    .map(|number| {
                        let mut message = message(size);
                        if let Some(byte) = message.last_mut() {
                            *byte ^= number as u8;
                        }
                        message
                    })
                    .collect();
                assert_eq!(by_lanes(&messages), one_by_one(&messages), "{count} of {size} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn mixed_lengths_hash_as_they_do_alone(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1100), 0..120),
        ) {
            prop_assert_eq!(by_lanes(&messages), one_by_one(&messages));
        }
    }

    #[test]
    fn a_published_vector_holds_in_lanes() {
        // BLAKE3's test_vectors.json: input bytes 0, 1, ... 250, repeating.
        let input = |size: usize| (0..size).map(|place| (place % 251) as u8).collect::<Vec<_>>();
        let published = [
            (64, "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d1f4c6dc7f2511b98"),
            (65, "de1e5fa0be70df6d2be8fffd0e99ceaa8eb6e8c93a63f2d8d1c30ecb6b263dee"),
            (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
            (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        ];
        for (size, expected) in published {
            let expected = crate::hash::parse_hex::<32>(expected).unwrap();
            assert_eq!(by_lanes(&vec![input(size); 17]), [expected; 17], "{size}");
        }
    }
}

//! The records of a crash run: each follows from a seed, its producer and its nonce, so that whoever verifies makes them
//! again instead of believing what the ledger holds.
//!
//! A producer is an author of its own. Payloads are of all sizes from none to 64 KiB, most of them small; some records are
//! bundles, some have no salt.

use annals::{BuildError, DeviceChoice, Kind, LedgerId, RecordBuilder, SignedRecord, SigningKey};
use std::error::Error;
use std::path::PathBuf;

/// Largest payload but for its salt, in bytes.
const CONTENT_SIZE_MAX: u64 = 64 << 10;
/// Most items of a bundle.
const ITEM_COUNT_MAX: u64 = 20;

/// Why a program of a crash run ended.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What a writer is told.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    /// Where the ledger lies, or will.
    pub(crate) place: PathBuf,
    /// What the records follow from.
    pub(crate) seed: u64,
    /// How many threads append.
    pub(crate) producers: u64,
    /// What writes.
    pub(crate) device: DeviceChoice,
}

/// Numbers that follow from a seed: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A stream for these seeds.
    pub(crate) fn new(seeds: &[u64]) -> Self {
        let mut random = Self(0);
        for seed in seeds {
            random.0 ^= *seed;
            random.0 = random.next();
        }
        random
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Bytes that no compression takes.
    pub(crate) fn bytes(&mut self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < count {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        bytes
    }
}

/// A producer: an author, and how its records come about.
#[derive(Debug)]
pub(crate) struct Producer {
    seed: u64,
    number: u64,
    pub(crate) key: SigningKey,
    salts: [u8; 32],
}

impl Producer {
    /// The producer of this number in the run of this seed.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(&[seed, number]);
        let mut secret = || {
            let mut bytes = [0; 32];
            bytes.copy_from_slice(&random.bytes(32));
            bytes
        };
        Self { seed, number, key: SigningKey::from_seed(&secret()), salts: secret() }
    }

    /// Its record of this nonce: always the same bytes.
    pub(crate) fn record(&self, ledger: LedgerId, nonce: u64) -> Result<SignedRecord, BuildError> {
        let mut random = Random::new(&[self.seed, self.number, nonce]);
        let kind = Kind(Kind::APPLICATION_FIRST.0 + u32::from(nonce.is_multiple_of(3)));
        let builder = RecordBuilder::new(ledger, kind).nonce(nonce).claimed_time_ms(1_700_000_000_000 + nonce);
        let builder = if random.below(4) == 0 { builder.unsalted() } else { builder.salts_from(self.salts) };
        if random.below(10) != 0 {
            let size = size(&mut random);
            return builder.sign(&self.key, &random.bytes(size));
        }
        let count = 2 + random.below(ITEM_COUNT_MAX - 1);
        let mut item = || {
            let size = random.below(2048);
            random.bytes(size)
        };
        let items: Vec<Vec<u8>> = (0..count).map(|_| item()).collect();
        builder.sign_bundle(&self.key, &items.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}

/// A size of content: none, small, that of a page or so, or any up to the largest.
const fn size(random: &mut Random) -> u64 {
    match random.below(20) {
        0 => 0,
        1..=12 => random.below(512),
        13..=17 => random.below(8192),
        _ => random.below(CONTENT_SIZE_MAX + 1),
    }
}

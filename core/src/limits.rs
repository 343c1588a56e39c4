//! Every maximum of the format and of the engine, with its unit and its reason.
//!
//! Whatever reads untrusted numbers compares them with these before it allocates or loops. How they relate is
//! asserted at compile time below.

/// Bytes of a record's head.
pub const HEAD_SIZE: usize = 192;
/// Bytes of a head that its signature covers.
pub const HEAD_SIGNED_SIZE: usize = 128;
/// Bytes of the random salt before a salted payload or item.
pub const SALT_SIZE: usize = 32;
/// Most bytes of a payload, its salt included: 1 MiB of content and the salt.
pub const PAYLOAD_SIZE_MAX: usize = (1 << 20) + SALT_SIZE;
/// Most items of a bundle: keeps an item proof, 32 bytes an item, at 128 KiB.
pub const ITEM_COUNT_MAX: usize = 4096;
/// Bytes that an item takes in a bundle beside its own: its end offset.
pub const BUNDLE_ENTRY_SIZE: usize = 4;
/// Most records of a block: bounds the work between two durable points and a reader's memory.
pub const BLOCK_RECORD_COUNT_MAX: usize = 16_384;
/// Most bytes of a block's body in a flood.
pub const BODY_SIZE_MAX: usize = 4 << 20;
/// Bytes of a block header.
pub const BLOCK_HEADER_SIZE: usize = 168;
/// Bytes of a leaf entry.
pub const LEAF_ENTRY_SIZE: usize = 52;
/// Sizes, seqs, heights and times stay below this, so that JSON numbers are exact.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;
/// Most hashes of a frontier or an audit path: one a bit of the largest tree size.
pub const FRONTIER_LENGTH_MAX: usize = 53;
/// Most bytes of a ledger's origin (its name in checkpoints).
pub const ORIGIN_SIZE_MAX: usize = 128;
/// Most bytes of a checkpoint note: origin twice, size, root, signature and their separators.
pub const CHECKPOINT_SIZE_MAX: usize = 512;
/// Most admins named in genesis.
pub const ADMIN_COUNT_MAX: usize = 64;
/// Most first authors named in genesis; more come by admit records.
pub const FIRST_AUTHOR_COUNT_MAX: usize = 4096;
/// Bytes of a page, the unit of direct I/O and of body sums.
pub const PAGE_SIZE: usize = 4096;
/// Bytes of a sector, the unit that a disk writes whole.
pub const SECTOR_SIZE: usize = 512;
/// Smallest segment in bytes: the largest record, a start and an end frame fit.
pub const SEGMENT_SIZE_MIN: u64 = 2 << 20;
/// Largest segment in bytes: offsets stay within 32 bits.
pub const SEGMENT_SIZE_MAX: u64 = 4 << 30;
/// Segment size in bytes unless an option says otherwise.
pub const SEGMENT_SIZE_DEFAULT: u64 = 256 << 20;
/// How far below an author's highest nonce a new one is still taken.
pub const NONCE_WINDOW: u64 = 1024;
/// Most bytes of a key file: a PKCS#8 Ed25519 key in PEM is 119.
pub const KEY_FILE_SIZE_MAX: usize = 1024;
/// Most bytes of a receipt as JSON: a bundle of 4,096 salts and hashes and its audit path.
pub const RECEIPT_JSON_SIZE_MAX: usize = 1 << 20;

const _: () = assert!(BODY_SIZE_MAX >= 2 * (HEAD_SIZE + PAYLOAD_SIZE_MAX), "one record always fits");
const _: () = assert!(
    SEGMENT_SIZE_MIN >= (PAYLOAD_SIZE_MAX + HEAD_SIZE + 16 * PAGE_SIZE) as u64,
    "one record fits the smallest segment"
);
const _: () = assert!(PAGE_SIZE.is_multiple_of(SECTOR_SIZE), "a page is whole sectors");
const _: () = assert!(ITEM_COUNT_MAX <= u16::MAX as usize, "an item count is 16 bits");
const _: () = assert!(
    64 + ORIGIN_SIZE_MAX * 2 + 64 + 32 * (ADMIN_COUNT_MAX + FIRST_AUTHOR_COUNT_MAX) <= PAYLOAD_SIZE_MAX,
    "genesis fits"
);
const _: () = assert!(2 * ORIGIN_SIZE_MAX + 200 <= CHECKPOINT_SIZE_MAX, "a checkpoint fits");
const _: () = assert!(ITEM_COUNT_MAX * 2 * 70 + 8192 <= RECEIPT_JSON_SIZE_MAX, "a bundle's receipt fits");

//! The hashes of the state tree, each with a byte before it that no other kind of hash has.
//!
//! ```text
//! path        SHA-256(0x10 || key)
//! value hash  SHA-256(0x11 || value); 32 zero bytes for a key that has no value any more
//! leaf        SHA-256(0x00 || path || next path || value hash)       RFC 6962, section 2.1
//! node        SHA-256(0x01 || left || right)                         RFC 6962, section 2.1
//! state root  SHA-256(0x12 || leaf count as u64, little-endian || root of the tree)
//! ```
//!
//! The size is in the root, so a proof cannot be moved to a tree of another shape.

pub use annals::StateRoot;
use sha2::{Digest, Sha256};

/// 32 bytes of SHA-256.
pub(super) type Hash = [u8; 32];

/// Stands for "no value" among value hashes and for "no next" among paths; the path of the sentinel.
pub(super) const NONE: Hash = [0; 32];

/// The root of the tree that holds nothing but its sentinel.
pub fn empty_root() -> StateRoot {
    state_root(1, &leaf_hash(&NONE, &NONE, &NONE))
}

/// Where a key stands in the order of leaves.
pub(super) fn path_of(key: &[u8]) -> Hash {
    Sha256::new().chain_update([0x10]).chain_update(key).finalize().into()
}

/// What a leaf says of its key's value.
pub(super) fn value_hash(value: Option<&[u8]>) -> Hash {
    value.map_or(NONE, |value| Sha256::new().chain_update([0x11]).chain_update(value).finalize().into())
}

/// Hash of a leaf.
pub(super) fn leaf_hash(path: &Hash, next: &Hash, value: &Hash) -> Hash {
    Sha256::new().chain_update([0]).chain_update(path).chain_update(next).chain_update(value).finalize().into()
}

/// Hash of a node.
pub(super) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The state's root, of the tree's size and root.
pub(super) fn state_root(leaf_count: u64, tree: &Hash) -> StateRoot {
    let hasher = Sha256::new().chain_update([0x12]).chain_update(leaf_count.to_le_bytes()).chain_update(tree);
    StateRoot::from_bytes(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's hashlib from the box above.
    #[test]
    fn the_prefixes_are_what_the_box_says() {
        let hex = |hash: Hash| annals::Hex(&hash).to_string();
        assert_eq!(hex(path_of(b"case/1")), "7eb3fd8a097678b9a4f73b3a19b738a51cfe553b37dafe8d310a036fc385f374");
        assert_eq!(hex(value_hash(Some(b"open"))), "925561a2da404da80f3cb44bf24df2c757efbe55ef732fa702393b22e3394f7d");
        assert_eq!(value_hash(None), NONE);
        assert_eq!(empty_root().to_string(), "5cbd63c447049e7ad60bb7fa632e30eb0ea4b6dc99b24b1c0226423d5860133c");
    }
}

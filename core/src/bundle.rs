//! Bundles: many items under one signature, each provable without showing its neighbours.
//!
//! ```text
//! | end 0 u32 | end 1 | ... | end n-1 | item 0 | item 1 | ... | item n-1 |
//! ```
//!
//! Ends count from the payload's start. The content hash covers the list of item hashes, not slices of
//! length-prefixed bytes, in which one item could imitate another. Source: `docs/FORMAT.md`, "Bundle".

use crate::hash::{ContentHash, ItemHash};
use crate::lanes;
use crate::limits::{ITEM_COUNT_MAX, PAYLOAD_SIZE_MAX, SALT_SIZE};

const CONTEXT: &str = "annals.bundle.v1";
/// Items whose hashes are made side by side and then hashed together.
const HASHED_AT_ONCE: usize = 256;

/// Why a payload is no well-formed bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The number of items is out of range.
    #[error("a bundle has 2 to 4096 items, got {0}")]
    ItemCount(usize),
    /// The payload ends within the list of ends.
    #[error("bundle of {item_count} items needs at least {needed} bytes, got {got}")]
    Truncated {
        /** Items that the head says. */
        item_count: u16,
        /** Bytes of the list of ends. */
        needed: usize,
        /** Bytes there are. */
        got: usize,
    },
    /// An end lies before its item's start or behind the payload.
    #[error("item {index} ends at byte {end}, outside {least} to {most}")]
    End {
        /** The item's index. */
        index: usize,
        /** Its end. */
        end: u32,
        /** The lowest it may be. */
        least: usize,
        /** The highest it may be. */
        most: usize,
    },
    /// The last item does not end where the payload does.
    #[error("the last item ends at byte {end}, the payload at {size}")]
    Size {
        /** The last end. */
        end: usize,
        /** The payload's size. */
        size: usize,
    },
    /// A salted item is shorter than its salt.
    #[error("item {index} has {size} bytes; a salted item has at least 32")]
    Salt {
        /** The item's index. */
        index: usize,
        /** Its size. */
        size: usize,
    },
    /// The items do not fit a payload.
    #[error("bundle of {0} bytes is larger than 1048608")]
    TooLarge(usize),
}

impl BundleError {
    /// Stable machine name; never renamed, only added to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ItemCount(_) => "bundle.item_count",
            Self::Truncated { .. } => "bundle.truncated",
            Self::End { .. } => "bundle.end",
            Self::Size { .. } => "bundle.size",
            Self::Salt { .. } => "bundle.salt",
            Self::TooLarge(_) => "bundle.too_large",
        }
    }
}

/// BLAKE3 of an item, its salt included.
pub fn item_hash(item: &[u8]) -> ItemHash {
    ItemHash::from_bytes(*blake3::hash(item).as_bytes())
}

/// Content hash of a bundle with these item hashes.
pub fn bundle_hash(hashes: &[ItemHash]) -> ContentHash {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for hash in hashes {
        hasher.update(hash.as_bytes());
    }
    ContentHash::from_bytes(*hasher.finalize().as_bytes())
}

/// A well-formed bundle payload, in place.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    ends: &'a [[u8; 4]],
    payload: &'a [u8],
}

impl<'a> Bundle<'a> {
    /// Parses a payload of so many items.
    ///
    /// # Errors
    ///
    /// [`BundleError`] if the ends are not what the format asks for.
    pub fn parse(item_count: u16, payload: &'a [u8]) -> Result<Self, BundleError> {
        let count = usize::from(item_count);
        if !(2..=ITEM_COUNT_MAX).contains(&count) {
            return Err(BundleError::ItemCount(count));
        }
        let needed = 4 * count;
        let Some(list) = payload.get(..needed) else {
            return Err(BundleError::Truncated { item_count, needed, got: payload.len() });
        };
        let (ends, _) = list.as_chunks::<4>();
        let mut least = needed;
        for (index, end) in ends.iter().enumerate() {
            let end = u32::from_le_bytes(*end);
            if (end as usize) < least || payload.len() < end as usize {
                return Err(BundleError::End { index, end, least, most: payload.len() });
            }
            least = end as usize;
        }
        if least != payload.len() {
            return Err(BundleError::Size { end: least, size: payload.len() });
        }
        Ok(Self { ends, payload })
    }

    /// Items there are, 2 to 4,096.
    pub const fn item_count(&self) -> usize {
        self.ends.len()
    }

    /// An item, its salt included; `None` if there is none of this index.
    pub fn item(&self, index: usize) -> Option<&'a [u8]> {
        let end = u32::from_le_bytes(*self.ends.get(index)?) as usize;
        let start = match index.checked_sub(1).and_then(|before| self.ends.get(before)) {
            Some(before) => u32::from_le_bytes(*before) as usize,
            None => 4 * self.ends.len(),
        };
        self.payload.get(start..end)
    }

    /// The items in order, their salts included.
    pub fn items(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        (0..self.item_count()).filter_map(|index| self.item(index))
    }

    /// The item hashes in order.
    pub fn item_hashes(&self) -> impl Iterator<Item = ItemHash> + '_ {
        self.items().map(item_hash)
    }

    /// The content hash of the bundle.
    pub fn content_hash(&self) -> ContentHash {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        let mut hashes = [[0; 32]; HASHED_AT_ONCE];
        for first in (0..self.item_count()).step_by(HASHED_AT_ONCE) {
            let count = HASHED_AT_ONCE.min(self.item_count() - first);
            let items = (first..first + count).filter_map(|index| self.item(index));
            lanes::hash_each(items, |number, hash| {
                if let Some(place) = hashes.get_mut(number) {
                    *place = hash;
                }
            });
            hasher.update(hashes.get(..count).unwrap_or_default().as_flattened());
        }
        ContentHash::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Checks that every item has room for its salt.
    ///
    /// # Errors
    ///
    /// [`BundleError::Salt`] naming the first that has not.
    pub fn check_salted(&self) -> Result<(), BundleError> {
        match self.items().enumerate().find(|(_, item)| item.len() < SALT_SIZE) {
            Some((index, item)) => Err(BundleError::Salt { index, size: item.len() }),
            None => Ok(()),
        }
    }
}

/// Encodes items, each given in as many parts as its caller likes (salt and content, say), as a bundle payload.
///
/// # Errors
///
/// [`BundleError::ItemCount`] or [`BundleError::TooLarge`] if they do not make a bundle.
pub fn encode(items: &[[&[u8]; 2]]) -> Result<Vec<u8>, BundleError> {
    if !(2..=ITEM_COUNT_MAX).contains(&items.len()) {
        return Err(BundleError::ItemCount(items.len()));
    }
    let size = items.iter().flatten().map(|part| part.len()).fold(4 * items.len(), usize::saturating_add);
    if PAYLOAD_SIZE_MAX < size {
        return Err(BundleError::TooLarge(size));
    }
    let mut payload = Vec::with_capacity(size);
    let mut end = 4 * items.len();
    for [salt, content] in items {
        end += salt.len() + content.len();
        payload.extend_from_slice(&u32::try_from(end).unwrap_or(u32::MAX).to_le_bytes());
    }
    for part in items.iter().flatten() {
        payload.extend_from_slice(part);
    }
    Ok(payload)
}

//! Every maximum of guards, and the steps that their evaluation may take.

use super::fault::GuardError;

/// Bytes of a guard's source at most: two printed pages, beyond which nobody reads it rightly.
pub const SOURCE_SIZE_MAX: usize = 4096;
/// Levels of an expression at most, by an upper bound taken from its tokens. Parser, checker and evaluator recurse so deep: all of
/// them stay below 256 KiB of stack in this workspace's debug build and below 768 KiB unoptimised, where a thread has 2 MiB.
pub const LEVELS_MAX: usize = 128;
/// Values within each other at most that are compared or handed out: those that came in, in lists as deep as a guard can write.
pub(super) const ITEM_DEPTH_MAX: usize = crate::value::DEPTH_MAX + LEVELS_MAX;
/// Bytes of text that cost one step to look at.
const TEXT_STEP: usize = 64;

/// Steps that an evaluation may still take: one a node, one an item, one every 64 bytes of text that is compared or joined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    left: u32,
}

impl Budget {
    /// A budget of so many steps; a step takes some 10 to 50 ns.
    pub const fn new(steps: u32) -> Self {
        Self { left: steps }
    }

    /// Steps that are left.
    pub const fn left(&self) -> u32 {
        self.left
    }

    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), GuardError> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.left.checked_sub(steps));
        // Spent for good: whoever shares the budget with other guards must not succeed with what this one could not pay.
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(GuardError::Budget)
    }

    pub(super) fn spend_on_text(&mut self, size: usize) -> Result<(), GuardError> {
        self.spend(size / TEXT_STEP)
    }
}

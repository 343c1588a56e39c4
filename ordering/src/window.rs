//! Nonce windows: which of an author's numbers are free, in 144 bytes.
//!
//! An author's nonces rise, within a window: any first value, any jump upwards, and up to 1,024 below the
//! highest in any order. One bit a nonce says whether it was used. What a used nonce stands for is not here;
//! whoever needs it looks it up. The window is exact: it never forgets a bit within its width, and what lies
//! below its width is never called new.
//!
//! Bit `nonce % 1024` belongs to `nonce`, as in the anti-replay window of RFC 6479; raising the top clears the bits
//! that come to stand for new nonces.

use annals_core::limits::NONCE_WINDOW;

const WORDS: usize = (NONCE_WINDOW / 64) as usize;

/// What a window says of a nonce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nonce {
    /// Free.
    New,
    /// Used.
    Seen,
    /// Too far below the top to tell; not free.
    Below,
}

/// The used nonces of one author.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NonceWindow {
    top: u64,
    used: bool,
    seen: [u64; WORDS],
}

impl NonceWindow {
    /// A window as [`NonceWindow::top`] and [`NonceWindow::bits`] gave it away.
    pub fn from_parts(top: Option<u64>, bits: [u64; WORDS]) -> Self {
        match top {
            Some(top) => Self { top, used: true, seen: bits },
            None => Self::default(),
        }
    }

    /// The highest nonce used; `None` if none was.
    pub fn top(&self) -> Option<u64> {
        self.used.then_some(self.top)
    }

    /// The bits, as they are to be stored.
    pub const fn bits(&self) -> &[u64; WORDS] {
        &self.seen
    }

    /// Whether a nonce is free.
    pub fn test(&self, nonce: u64) -> Nonce {
        if !self.used || self.top < nonce {
            Nonce::New
        } else if NONCE_WINDOW <= self.top - nonce {
            Nonce::Below
        } else if self.seen.get(Self::word(nonce)).is_some_and(|word| word & Self::bit(nonce) != 0) {
            Nonce::Seen
        } else {
            Nonce::New
        }
    }

    /// Uses up a nonce.
    ///
    /// # Panics
    ///
    /// If it is not free: the caller tests first.
    pub fn insert(&mut self, nonce: u64) {
        assert_eq!(self.test(nonce), Nonce::New, "a nonce is used once");
        if !self.used {
            self.used = true;
            self.top = nonce;
        } else if self.top < nonce {
            self.raise(nonce);
        }
        if let Some(word) = self.seen.get_mut(Self::word(nonce)) {
            *word |= Self::bit(nonce);
        }
    }

    /// Clears the bits of the nonces above the old top, up to the new one.
    fn raise(&mut self, top: u64) {
        if NONCE_WINDOW <= top - self.top {
            self.seen = [0; WORDS];
        } else {
            for nonce in self.top + 1..=top {
                if let Some(word) = self.seen.get_mut(Self::word(nonce)) {
                    *word &= !Self::bit(nonce);
                }
            }
        }
        self.top = top;
    }

    const fn word(nonce: u64) -> usize {
        (nonce % NONCE_WINDOW / 64) as usize
    }

    const fn bit(nonce: u64) -> u64 {
        1 << (nonce % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The rule in words: used, or at least 1,024 below the highest used, or free.
    fn naive(used: &BTreeSet<u64>, nonce: u64) -> Nonce {
        match used.last() {
            Some(top) if nonce <= *top && NONCE_WINDOW <= *top - nonce => Nonce::Below,
            _ if used.contains(&nonce) => Nonce::Seen,
            _ => Nonce::New,
        }
    }

    fn run(nonces: impl IntoIterator<Item = u64>) {
        let (mut window, mut used) = (NonceWindow::default(), BTreeSet::new());
        for nonce in nonces {
            let near =
                [nonce, nonce.saturating_add(1), nonce.saturating_sub(1023), nonce.saturating_sub(1024), 0, u64::MAX];
            for probe in near {
                assert_eq!(window.test(probe), naive(&used, probe), "{probe} after {used:?}");
            }
            if window.test(nonce) == Nonce::New {
                window.insert(nonce);
                used.insert(nonce);
            }
            assert_eq!(window.top(), used.last().copied());
            assert_eq!(NonceWindow::from_parts(window.top(), *window.bits()), window);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(start in prop_oneof![Just(0), Just(u64::MAX - 9000), any::<u64>()],
                             steps in prop::collection::vec(prop_oneof![-3..4i64, -1100..1100i64, 1020..1030i64, 0..5000i64], 1..300)) {
            let mut at = start;
            run(steps.into_iter().map(|step| { at = at.saturating_add_signed(step); at }));
        }
    }

    #[test]
    fn the_ends_of_the_range_are_no_exception() {
        run([0, 0, 1, 1023, 1024, u64::MAX, u64::MAX, u64::MAX - 1023, u64::MAX - 1024, 5]);
        run([u64::MAX, 0]);
        run([5000, 3977, 3976, 6023, 5000]);
    }
}

//! What a run is about: drawn once from its seed, so that runs differ in kind and not only in detail ("swarm testing",
//! Groce et al., 2012): a run in which everything goes wrong at once finds less than runs that each insist on something.

use annals_storage::disk::{Dice, Failure, Habits, Trouble};

/// Bytes of a segment in a simulation: the smallest that the format allows.
pub(super) const SEGMENT_SIZE: u64 = 2 << 20;

/// How large payloads are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Payloads {
    /// Up to 300 bytes: many records a block.
    Small,
    /// Up to 20 KB: blocks of several pages.
    Medium,
    /// Up to a whole segment's half: segments end often.
    Large,
}

impl Payloads {
    pub(super) fn size(self, dice: &mut Dice) -> usize {
        let end = match self {
            Self::Small => 300,
            Self::Medium => 20_000,
            // Mostly middling, and now and then the largest that there is.
            Self::Large if dice.happens(150) => 1 << 20,
            Self::Large => 300_000,
        };
        usize::try_from(dice.below(end + 1)).unwrap_or(0)
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    /// It is closed.
    Close,
    /// It is killed; what it had in flight lands or not.
    Kill,
    /// The power is cut.
    PowerCut,
}

/// What a run insists on.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Processes, one after the other.
    pub(super) lives: u64,
    /// Most actions of a process.
    pub(super) actions_max: u64,
    pub(super) authors: u64,
    pub(super) payloads: Payloads,
    /// Most records of a batch.
    pub(super) batch_max: u64,
    pub(super) habits: Habits,
    /// Odds, in 1,024, of each trouble in a process's life.
    pub(super) crashes: u32,
    pub(super) failures: u32,
    /// Odds that recovery is cut short.
    pub(super) crashes_in_recovery: u32,
    /// Odds that a process ends by itself, without a crash before.
    pub(super) closes: u32,
    /// Odds of a power cut, rather than a kill, where one of the two ends a process.
    pub(super) power_cuts: u32,
    /// Odds of an index file going bad between two lives, each.
    pub(super) index_faults: u32,
    /// Odds of the clock being set between two lives, and in each action.
    pub(super) clock_jumps: u32,
    /// Segments that there is room for, at first.
    pub(super) room: u64,
    /// Odds of a background job being done in a step.
    pub(super) jobs: u32,
    /// Authors remembered beyond a segment's end.
    pub(super) author_count_max: usize,
}

impl Plan {
    /// Draws a plan.
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let mut pick = |choices: &[u32]| {
            let at = usize::try_from(dice.below(choices.len() as u64)).unwrap_or(0);
            choices.get(at).copied().unwrap_or(0)
        };
        let habits = Habits {
            lost: pick(&[0, 200, 500, 900]),
            torn: pick(&[0, 300, 1000]),
            torn_in_order: pick(&[0, 500, 1024]),
            completes: pick(&[200, 700, 1024]),
            twice: pick(&[0, 100]),
        };
        let payloads = match pick(&[0, 1, 2]) {
            0 => Payloads::Small,
            1 => Payloads::Medium,
            _ => Payloads::Large,
        };
        Self {
            lives: u64::from(pick(&[4, 8, 12])),
            actions_max: u64::from(pick(&[10, 40, 120])),
            authors: u64::from(pick(&[1, 2, 5])),
            payloads,
            batch_max: u64::from(pick(&[1, 4, 40])),
            habits,
            crashes: pick(&[0, 500, 900]),
            failures: pick(&[0, 0, 400]),
            crashes_in_recovery: pick(&[0, 300, 700]),
            closes: pick(&[0, 300, 700]),
            power_cuts: pick(&[0, 500, 1024]),
            index_faults: pick(&[0, 0, 300]),
            clock_jumps: pick(&[0, 0, 60]),
            room: u64::from(pick(&[2, 4, 64, 64, 64])),
            jobs: pick(&[50, 500, 1024]),
            author_count_max: if pick(&[0, 1]) == 0 { 0 } else { 1000 },
        }
    }

    /// The trouble of a process's life, if it has one: after so many operations on the disk.
    pub(super) fn trouble(&self, dice: &mut Dice) -> Option<Trouble> {
        let after = 1 + dice.below(30);
        if dice.happens(self.crashes) {
            Some(Trouble::Crash(after))
        } else if dice.happens(self.failures) {
            let failure = [Failure::Broken, Failure::Full, Failure::Short];
            let at = usize::try_from(dice.below(3)).unwrap_or(0);
            failure.get(at).map(|failure| Trouble::Failure(after, *failure))
        } else {
            None
        }
    }

    /// The trouble while a process opens the ledger, if there is one.
    pub(super) fn trouble_in_recovery(&self, dice: &mut Dice) -> Option<Trouble> {
        if !dice.happens(self.crashes_in_recovery) {
            return None;
        }
        // Recovery does few operations, unless it has a long tail to cut.
        let most = if dice.happens(700) { 5 } else { 60 };
        let after = 1 + dice.below(most);
        let failure = Trouble::Failure(after, Failure::Broken);
        Some(if dice.happens(self.failures) { failure } else { Trouble::Crash(after) })
    }

    /// How a process ends that nothing has ended before.
    pub(super) fn ending(&self, dice: &mut Dice) -> Ending {
        if dice.happens(self.closes) { Ending::Close } else { self.crash(dice) }
    }

    /// What has ended a process that the disk went away from.
    pub(super) fn crash(&self, dice: &mut Dice) -> Ending {
        if dice.happens(self.power_cuts) { Ending::PowerCut } else { Ending::Kill }
    }
}

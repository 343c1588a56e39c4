//! The one decision of recovery: keep, cut or refuse, from what lies at the tail and above it. Pure.
//!
//! `i` is the index of the frame expected at the tail. At most two frames are in flight, and frame `i + 2` is submitted
//! only when frame `i` is durable. So behind a power cut:
//!
//! | at the tail | above it | verdict |
//! |---|---|---|
//! | zero | nothing | keep |
//! | anything | a frame says that all below some index above `i` were durable | refuse: `i` was durable |
//! | anything | a frame of index `i + 2` or higher | refuse: a hole |
//! | anything | a frame `i + 1`, where only `i` can have been in flight | refuse: a hole |
//! | anything | a frame of an index taken already | refuse |
//! | damaged | anything | refuse: no torn write leaves that |
//! | anything | something not zero where neither `i` nor `i + 1` can reach | refuse |
//! | torn, zero | frame `i + 1`, or torn remains of it | cut both |
//! | torn | nothing | cut |
//! | stale | | cut again: an earlier cut was lost |
//! | torn, zero | stale frames | cut again |
//!
//! An earlier row wins over a later one.

/// What lies at the tail, where frame `i` is expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TailLook {
    /// A page of zeros.
    Zero,
    /// A frame with some sector still zero.
    Torn,
    /// Something that no torn write explains.
    Damaged,
    /// A frame of a lower epoch than its predecessor.
    Stale,
}

/// What lies above the tail that is neither zero nor in a stale frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Junk {
    /// Nothing.
    None,
    /// Something within reach of the frames that can have been in flight.
    InReach,
    /// Something beyond.
    OutOfReach,
}

/// All that the decision depends on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TailFacts {
    /// What lies at the tail.
    pub tail: TailLook,
    /// Some intact frame says that frame `i` was durable.
    pub durable: bool,
    /// Behind a clean close and at a segment's start only frame `i`, of one page, can have been in flight.
    pub one_in_flight: bool,
    /// Frame `i + 1` lies above.
    pub next: bool,
    /// A frame of index `i + 2` or higher lies above.
    pub higher: bool,
    /// A frame of an index up to `i`, or `i + 1` a second time, lies above.
    pub repeated: bool,
    /// A frame of a lower epoch lies above.
    pub stale: bool,
    /// What else lies above.
    pub junk: Junk,
}

/// Why a ledger is not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// A frame that was durable is bad.
    Durable,
    /// A frame is bad below one that was written only after it was durable.
    Hole,
    /// Two frames claim one index.
    Repeated,
    /// The frame at the tail is damaged, not torn.
    Damaged,
    /// Something lies where nothing was ever written.
    Junk,
}

/// What to do with the tail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The ledger ends here, nothing is torn.
    Keep,
    /// Zero everything from the tail on, last page first.
    Cut,
    /// Do not open.
    Refuse(Reason),
}

/// Decides; the table stands at the head of this file.
pub const fn decide(facts: TailFacts) -> Verdict {
    let TailFacts { tail, durable, one_in_flight, next, higher, repeated, stale, junk } = facts;
    if durable {
        return Verdict::Refuse(Reason::Durable);
    }
    if higher || (next && one_in_flight) {
        return Verdict::Refuse(Reason::Hole);
    }
    if repeated {
        return Verdict::Refuse(Reason::Repeated);
    }
    match (tail, junk) {
        (TailLook::Damaged, _) => Verdict::Refuse(Reason::Damaged),
        (_, Junk::OutOfReach) => Verdict::Refuse(Reason::Junk),
        (TailLook::Zero, Junk::None) if !next && !stale => Verdict::Keep,
        (TailLook::Zero | TailLook::Torn | TailLook::Stale, Junk::None | Junk::InReach) => Verdict::Cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [bool; 2] = [false, true];
    const CLEAN: TailFacts = TailFacts {
        tail: TailLook::Zero,
        durable: false,
        one_in_flight: false,
        next: false,
        higher: false,
        repeated: false,
        stale: false,
        junk: Junk::None,
    };

    fn every_input() -> Vec<TailFacts> {
        let mut inputs = Vec::new();
        for bits in 0..1_u32 << 6 {
            let [durable, one_in_flight, next, higher, repeated, stale] =
                [0, 1, 2, 3, 4, 5].map(|bit| bits >> bit & 1 == 1);
            for tail in [TailLook::Zero, TailLook::Torn, TailLook::Damaged, TailLook::Stale] {
                for junk in [Junk::None, Junk::InReach, Junk::OutOfReach] {
                    inputs.push(TailFacts { tail, durable, one_in_flight, next, higher, repeated, stale, junk });
                }
            }
        }
        inputs
    }

    #[test]
    fn every_input_has_the_verdict_that_the_facts_about_disks_dictate() {
        let inputs = every_input();
        assert_eq!(inputs.len(), 768);
        for facts in inputs {
            let nothing = facts == TailFacts { one_in_flight: facts.one_in_flight, ..CLEAN };
            // What a power cut cannot have left, each reason by itself.
            let impossible = [
                facts.durable,
                facts.higher,
                facts.next && facts.one_in_flight,
                facts.repeated,
                facts.tail == TailLook::Damaged,
                facts.junk == Junk::OutOfReach,
            ];
            match decide(facts) {
                Verdict::Keep => assert!(nothing, "{facts:?}"),
                Verdict::Cut => assert!(!nothing && !impossible.contains(&true), "{facts:?}"),
                Verdict::Refuse(_) => assert!(impossible.contains(&true), "{facts:?}"),
            }
        }
    }

    #[test]
    fn more_evidence_against_never_turns_a_refusal_into_a_cut() {
        let refused = |facts| matches!(decide(facts), Verdict::Refuse(_));
        for facts in every_input().into_iter().filter(|facts| refused(*facts)) {
            for (durable, higher) in BOTH.into_iter().flat_map(|durable| BOTH.map(|higher| (durable, higher))) {
                let worse = TailFacts { durable: facts.durable || durable, higher: facts.higher || higher, ..facts };
                assert!(refused(worse), "{worse:?}");
            }
        }
    }

    #[test]
    fn rows_of_the_table() {
        use Verdict::{Cut, Keep, Refuse};
        let rows = [
            (CLEAN, Keep),
            (TailFacts { tail: TailLook::Torn, ..CLEAN }, Cut),
            (TailFacts { tail: TailLook::Damaged, ..CLEAN }, Refuse(Reason::Damaged)),
            (TailFacts { tail: TailLook::Stale, ..CLEAN }, Cut),
            (TailFacts { next: true, junk: Junk::InReach, ..CLEAN }, Cut),
            (TailFacts { tail: TailLook::Torn, next: true, junk: Junk::InReach, ..CLEAN }, Cut),
            (TailFacts { tail: TailLook::Damaged, next: true, ..CLEAN }, Refuse(Reason::Damaged)),
            (TailFacts { next: true, one_in_flight: true, ..CLEAN }, Refuse(Reason::Hole)),
            (TailFacts { higher: true, ..CLEAN }, Refuse(Reason::Hole)),
            (TailFacts { tail: TailLook::Torn, higher: true, next: true, ..CLEAN }, Refuse(Reason::Hole)),
            (TailFacts { durable: true, ..CLEAN }, Refuse(Reason::Durable)),
            (TailFacts { tail: TailLook::Torn, durable: true, next: true, ..CLEAN }, Refuse(Reason::Durable)),
            (TailFacts { junk: Junk::InReach, ..CLEAN }, Cut),
            (TailFacts { junk: Junk::OutOfReach, ..CLEAN }, Refuse(Reason::Junk)),
            (TailFacts { stale: true, ..CLEAN }, Cut),
            (TailFacts { tail: TailLook::Torn, stale: true, ..CLEAN }, Cut),
            (TailFacts { repeated: true, ..CLEAN }, Refuse(Reason::Repeated)),
        ];
        for (facts, verdict) in rows {
            assert_eq!(decide(facts), verdict, "{facts:?}");
        }
    }
}

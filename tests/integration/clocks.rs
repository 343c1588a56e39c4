//! A clock that the embedder sets: what is ordered by it, and that opening judges it as it judges the machine's.

use crate::support::{Place, SMALL, key, options, record};
use annals::{Creation, Ledger, ManualClock, OpenError, Options, Reason, check_ledger};

const START_MS: u64 = 1_700_000_000_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

fn by(clock: &ManualClock) -> Options {
    Options { clock: Some(clock.clone()), ..options() }
}

fn create(place: &Place, creation: Creation, clock: &ManualClock) -> Ledger {
    Ledger::create(&place.path(), &Creation { segment_size: SMALL, ..creation }, by(clock)).unwrap()
}

/// Ordered and claimed time of a record.
fn times(ledger: &Ledger, seq: u64) -> (u64, u64) {
    let stored = ledger.reader().get(seq).unwrap();
    (stored.ordered_time_ms(), stored.head().unwrap().claimed_time_ms)
}

#[test]
fn ordered_time_is_what_the_clock_was_set_to() {
    let (place, clock) = (Place::new(), ManualClock::new(START_MS));
    let ledger = create(&place, Creation::open("annals.example/clock"), &clock);
    assert_eq!(times(&ledger, 0), (START_MS, START_MS), "genesis");
    assert_eq!(times(&ledger, ledger.tick().unwrap().seq), (START_MS, START_MS), "it stands still");
    for days in [1, 2, 92, 92, 10_000] {
        let now = START_MS + days * DAY_MS;
        clock.set(now).unwrap();
        assert_eq!(times(&ledger, ledger.tick().unwrap().seq), (now, now), "{days} days");
        let bytes = record(ledger.id(), &key(1), days + ledger.reader().next_seq(), b"notice");
        assert_eq!(times(&ledger, ledger.appender().unwrap().append_wait(&bytes).unwrap().seq), (now, 0));
    }
    let now = clock.now_ms();
    assert_eq!(clock.set(now - 1).unwrap_err().code(), "clock.back");
    assert_eq!(times(&ledger, ledger.tick().unwrap().seq), (now, now), "a refused setting changes nothing");
    ledger.close().unwrap();
    check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

#[test]
fn a_ledger_that_is_born_again_by_a_clock_has_the_same_id() {
    let born = || {
        let place = Place::new();
        annals::write_key(&place.beside("key"), &key(9)).unwrap();
        let creation =
            Creation { random: Some([1; 32]), ledger_key: Some(place.beside("key")), ..Creation::open("a.b") };
        let ledger = create(&place, creation, &ManualClock::new(START_MS));
        assert_eq!(times(&ledger, 0), (START_MS, 0));
        let ack = ledger.tick().unwrap();
        let receipt = ledger.reader().prove(ack.seq).unwrap();
        (ledger.id(), receipt)
    };
    assert_eq!(born(), born(), "to the last byte of a receipt");
}

#[test]
fn opening_judges_a_manual_clock_as_it_judges_the_machines() {
    let (place, clock) = (Place::new(), ManualClock::new(START_MS));
    create(&place, Creation::open("annals.example/clock"), &clock).close().unwrap();
    let open = |ms, accept_clock| Ledger::open(&place.path(), Options { accept_clock, ..by(&ManualClock::new(ms)) });
    let refused = open(START_MS - 5_001, false).unwrap_err();
    assert!(matches!(refused, OpenError::ClockBehind { behind_ms: 5_001 }), "{refused}");
    let refused = open(START_MS + 7 * DAY_MS + 1, false).unwrap_err();
    assert!(matches!(refused, OpenError::ClockAhead { .. }), "{refused}");
    let refused = Ledger::open(&place.path(), options()).unwrap_err();
    assert!(matches!(refused, OpenError::ClockAhead { .. }), "the machine's clock is years ahead: {refused}");
    let ledger = open(START_MS - 5_000, false).unwrap();
    assert_eq!(times(&ledger, ledger.tick().unwrap().seq), (START_MS, START_MS - 5_000), "ordered time never falls");
    ledger.close().unwrap();
    let ledger = open(START_MS + 7 * DAY_MS, false).unwrap();
    assert!(ledger.reopened().is_empty());
    ledger.close().unwrap();
    let later = START_MS + 90 * DAY_MS;
    let ledger = open(later, true).unwrap();
    let [ack] = ledger.reopened() else { panic!("one record") };
    let stored = ledger.reader().get(ack.seq).unwrap();
    let reopening = stored.reopening(ledger.vkey()).unwrap();
    assert_eq!((reopening.reason(), reopening.wall_clock_ms()), (Reason::Clock, later));
    assert_eq!(times(&ledger, ack.seq), (later, later));
    ledger.close().unwrap();
    check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
}

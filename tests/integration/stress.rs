//! Many producers at once, pushed back, dropped, and closed upon in the middle.

use crate::support::{Place, key, options, record};
use annals::{Ack, Appender, Creation, Ledger, LedgerId, Options, Refusal, check_ledger};
use std::time::Duration;

const THREADS: u8 = 8;

/// Appends batches of many sizes until the ledger is closed; what was acknowledged, by nonce.
fn produce(mut appender: Appender, id: LedgerId, author: u8) -> Vec<(u64, Ack)> {
    let (mut nonce, mut acks) = (0, Vec::new());
    loop {
        let count = 1 + (nonce * 7 + u64::from(author)) % 33;
        let nonces: Vec<u64> = (nonce..nonce + count).collect();
        let records: Vec<_> = nonces
            .iter()
            .map(|nonce| record(id, &key(author), *nonce, &vec![author; (nonce * 131 % 5000) as usize]))
            .collect();
        let batch: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let answers = match appender.append_batch(&batch) {
            Err(Refusal::Pushback) => {
                std::thread::yield_now();
                continue;
            }
            Err(Refusal::Closed) => return acks,
            answers => answers.unwrap(),
        };
        for (nonce, answer) in nonces.into_iter().zip(answers) {
            match answer {
                // Every fifth caller does not wait: its record is ordered all the same.
                Ok(pending) if nonce % 5 == 4 => drop(pending),
                Ok(pending) => match pending.wait() {
                    Ok(ack) => acks.push((nonce, ack)),
                    Err(Refusal::Unknown) => return acks,
                    Err(refusal) => panic!("{refusal}"),
                },
                Err(Refusal::Closed) => return acks,
                Err(refusal) => panic!("{refusal}"),
            }
        }
        nonce += count;
    }
}

#[test]
fn producers_are_closed_upon_and_what_was_acknowledged_is_there() {
    let place = Place::new();
    let creation = Creation { segment_size: 8 << 20, ..Creation::open("annals.example/stress") };
    let options = Options { ring_size: 8 << 20, outstanding_max: 200, ..options() };
    drop(Ledger::create(&place.path(), &creation, options.clone()).unwrap());
    for round in 0..3u8 {
        let ledger = Ledger::open(&place.path(), options.clone()).unwrap();
        let id = ledger.id();
        let acks: Vec<_> = std::thread::scope(|scope| {
            let producers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let appender = ledger.appender().unwrap();
                    // Authors of their own in each round, so that nonces start anew.
                    scope.spawn(move || produce(appender, id, 1 + round * THREADS + thread))
                })
                .collect();
            let enough = ledger.reader().next_seq() + 2000;
            assert!(ledger.reader().wait_past(enough, Duration::from_secs(60)).unwrap(), "the producers are held up");
            ledger.close().unwrap();
            producers.into_iter().map(|producer| producer.join().unwrap()).collect()
        });
        let counts: Vec<_> = acks.iter().map(Vec::len).collect();
        assert!(counts.iter().all(|count| 0 < *count), "round {round}: {counts:?}");
        let ledger = place.open();
        for (thread, acks) in (0..THREADS).zip(&acks) {
            assert!(acks.windows(2).all(|pair| pair[0].1.seq < pair[1].1.seq), "a producer's records keep their order");
            for (nonce, ack) in acks.iter().step_by(17) {
                let stored = ledger.reader().get(ack.seq).unwrap();
                let head = stored.head().unwrap();
                let author = key(1 + round * THREADS + thread).public();
                assert_eq!((head.author, head.nonce, stored.height()), (author, *nonce, ack.height));
            }
        }
        ledger.close().unwrap();
        check_ledger(&place.path(), None, &mut |_, _| {}).unwrap();
    }
}

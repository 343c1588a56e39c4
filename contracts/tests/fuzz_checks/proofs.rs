//! Outcome proofs: a text under a ledger's vkey, of which one valid proof is known. What verifies says what that one says.

use annals::Vkey;
use annals_contracts::OutcomeProof;
use std::sync::LazyLock;

/// A proof of a ledger whose key nobody has kept, so nobody can make another one.
const PROOF: &str = include_str!("../../../fuzz/seeds/outcome_proof/0");

static VKEY: LazyLock<Vkey> = LazyLock::new(|| {
    "example.gov/permits+fa8a04f0+AdlpMYunCMgdr48VeNDXvFI1wNH/O0rTnt9GF7+JyHrv".parse().expect("a vkey")
});

pub(super) fn outcome_proof(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(proof) = OutcomeProof::parse(text) else { return };
    let encoded = proof.encode().expect("what was read is written");
    let again = OutcomeProof::parse(&encoded).expect("what was written is read");
    assert_eq!(again.verify(&VKEY), proof.verify(&VKEY));
    if proof.verify(&VKEY).is_ok() {
        let known = OutcomeProof::parse(PROOF).expect("the seed is a proof");
        assert_eq!((&proof.outcome, proof.list.height), (&known.outcome, known.list.height));
    }
}

pub(super) fn outcome_proof_seeds() -> Vec<Vec<u8>> {
    let known = OutcomeProof::parse(PROOF).expect("the seed is a proof");
    assert_eq!(known.verify(&VKEY), Ok(()));
    vec![PROOF.as_bytes().to_vec()]
}

//! Proofs of outcomes: made, verified with nothing but the vkey, and refused if a byte is changed.

use crate::town::{Town, words};

#[test]
fn an_outcome_is_proved_and_no_byte_of_it_can_be_changed() {
    let town = Town::new();
    town.register("SJ/1");
    let said = town.submit("li", "extend_check", "SJ/1", &["--set", "text=a"]);
    said.bad(1, &["signer.role"]);
    town.write("text.json", "{\"text\":\"案情复杂\"}".as_bytes());
    let more = ["--data", "text.json", "--prove", "outcome.json"];
    let receipt = &town.submit("zhang", "extend_check", "SJ/1", &more).json()[0];
    let seq = receipt["seq"].as_u64().unwrap().to_string();
    let vkey = town.read("vkey");
    let verify = |file: &str, more: &[&str]| town.run(&[&["verify", file, "--ledger-key", &vkey], more].concat());
    let told = verify("outcome.json", &[]).good();
    assert_eq!(told.lines().filter(|line| line.starts_with("holds ")).count(), 4, "{told}");
    assert!(
        told.contains("GOOD    the record of seq") && told.contains("was accepted") && told.contains("replay"),
        "{told}"
    );
    town.run(&["get", "city", &seq, "--out", "payload"]).good();
    verify("outcome.json", &["--payload", "payload"]).bad(64, &["receipt"]);
    town.write("receipt.json", receipt.to_string().as_bytes());
    assert!(verify("receipt.json", &["--payload", "payload"]).good().contains("holds   the file"));
    assert!(!town.read("outcome.json").contains("\"salt\""), "nobody can confirm a guess of what was recorded");

    // The ledger is gone, and the proof holds; another ledger's key does not.
    std::fs::rename(town.path().join("city"), town.path().join("gone")).unwrap();
    verify("outcome.json", &[]).good();
    town.run(&["init", "plain", "--origin", "example.gov/plain", "--open", "--segment-size", "2097152"]).good();
    let other = town.run(&words("info plain --json")).json()[0]["vkey"].as_str().unwrap().to_owned();
    let refused = town.run(&["verify", "outcome.json", "--ledger-key", &other]);
    assert!(refused.code == 1 && refused.out.contains("FAILS") && refused.out.contains("REFUSED"), "{}", refused.out);

    let proof = std::fs::read(town.path().join("outcome.json")).unwrap();
    for at in (0..proof.len()).step_by(proof.len() / 40) {
        let mut tampered = proof.clone();
        tampered[at] ^= 1;
        town.write("tampered.json", &tampered);
        let said = verify("tampered.json", &[]);
        assert_eq!(said.code, 1, "byte {at}: {}{}", said.out, said.err);
    }
    let text = String::from_utf8(proof).unwrap();
    town.write("lie.json", text.replace("\"status\":\"accepted\"", "\"status\":\"refused\"").as_bytes());
    let said = verify("lie.json", &[]);
    assert!(said.code == 1 && said.out.contains("FAILS   the outcome is in the state"), "{}", said.out);
}

#[test]
fn a_refusal_is_proved_too_and_what_has_no_outcome_is_not() {
    let town = Town::new();
    town.register("SJ/1");
    // Ordered without asking the contracts: refused when it is applied.
    town.write("act", b"{\"act\":\"decide\",\"case\":\"SJ/1\"}");
    let receipt = &town.run(&words("append city --key zhang.key --kind 65552 --files act")).json()[0];
    let seq = receipt["seq"].as_u64().unwrap().to_string();
    town.run(&["case", "prove", "city", &seq, "--out", "refusal.json"]).good();
    let told = town.run(&["verify", "refusal.json", "--ledger-key", &town.read("vkey")]).good();
    assert!(told.contains("REFUSED, it changed nothing: workflow.order"), "{told}");
    town.run(&["case", "prove", "city", &seq, "--out", "refusal.json"]).bad(73, &["refusal.json"]);
    let twice = town.run(&["case", "prove", "city", &seq]).good();
    town.write("again.json", twice.as_bytes());
    town.run(&["verify", "again.json", "--ledger-key", &town.read("vkey")]).good();
    town.run(&words("case prove city 0")).bad(1, &["no outcome"]);
    town.run(&words("case prove city 9999")).bad(66, &["9999"]);
}

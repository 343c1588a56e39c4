//! Acting in cases: accepted, waiting for signatures, and each refusal in one clear line.

use crate::town::{CLUE, Town, words};
use annals::{ManualClock, Options};
use annals_contracts::{Founding, Platform, PlatformOptions, Service};
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn an_act_goes_from_the_command_line_to_an_outcome() {
    let town = Town::new();
    town.write("clue.json", CLUE.as_bytes());
    let said = town.submit("li", "register", "SJ/1", &["--data", "clue.json"]);
    assert!(said.err.contains("线索登记") && said.err.contains("已登记，待核查 registered"), "{}", said.err);
    let receipt = &said.json()[0];
    assert_eq!(receipt["format"], "annals.receipt.v1");
    let set = ["--set", "facts=初查属实", "--set", "within_time_limit=true"];
    let filed = town.submit("li", "file", "SJ/1", &set);
    assert!(
        filed.err.contains("waiting for 1 more signature") && filed.err.contains("行政机关负责人"),
        "{}",
        filed.err
    );
    let shown = town.show("SJ/1");
    let record = shown["pending"]["record"].as_str().unwrap().to_owned();
    assert!(filed.err.contains(&format!("annals case sign city --key KEYFILE {record}")), "{}", filed.err);
    assert_eq!(shown["missing_signers"][0]["role"], "head");
    assert_eq!(shown["state"], "registered", "nothing happens before the last signature");
    town.run(&["case", "sign", "city", "--key", "zhang.key", &record]).good();
    assert_eq!(town.show("SJ/1")["state"], "investigating");

    // A document is recorded by its BLAKE3, as b3sum prints it for "abc".
    town.write("ledger.pdf", b"abc");
    let set =
        ["--set", "kind=document", "--set", "title=123", "--set", "taken_from=仓库", "--attach", "original=ledger.pdf"];
    let said = town.submit("li", "evidence", "SJ/1", &[&set[..], &["--json"]].concat());
    let record = said.json()[0]["outcome"]["record"].as_str().unwrap().to_owned();
    let pending = town.show("SJ/1")["pending"]["act"].clone();
    let document = &pending["attachments"][0];
    assert_eq!(document["hash"], "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
    assert_eq!((document["size"].as_u64(), pending["data"]["title"].as_str()), (Some(3), Some("123")));
    town.run(&["platform", "sign", "city", "--key", "wang.key", &record]).good();

    // Fields within fields, lists and moments are read as the form asks.
    let set = [
        "--data",
        "-",
        "--set",
        "party.name=乙店",
        "--set",
        "party.kind=person",
        "--set",
        "officers=SJ-1,SJ-2",
        "--json",
    ];
    let mut submit =
        town.command(&[&["case", "submit", "city", "--key", "li.key", "register", "SJ/2"], &set[..]].concat());
    let data = r#"{"source":"complaint","matter":"M1","cause":"甲","place":"乙","secret":true}"#;
    town.write("data.json", data.as_bytes());
    let output = submit.stdin(std::fs::File::open(town.path().join("data.json")).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = town.show("SJ/2");
    assert_eq!((&shown["data"]["party_kind"], &shown["data"]["officers"][1]), (&"person".into(), &"SJ-2".into()));
}

#[test]
fn mistakes_are_told_in_one_line_and_write_nothing() {
    let town = Town::new();
    town.register("SJ/1");
    town.file("SJ/1");
    let size = town.size();
    let submit = |act: &str, case: &str, more: &str| {
        let more: Vec<_> = more.split(' ').filter(|word| !word.is_empty()).collect();
        town.submit("li", act, case, &more)
    };
    let evidence = "--set kind=document --set title=a --set taken_from=b";
    submit("decide", "SJ/1", "").bad(1, &["workflow.order", "needs 调查终结", "first", "调查中"]);
    submit("evidence", "SJ/1", evidence).bad(1, &["workflow.attachment_missing", "attach it as original"]);
    submit("evidence", "SJ/1", "--set kind=rumour").bad(1, &["payload.form", "rumour"]);
    submit("nonsense", "SJ/1", "").bad(1, &["workflow.no_such_act", "possible now"]);
    submit("register", "SJ/1", "--data clue.json").bad(1, &["case.exists"]);
    submit("evidence", "SJ/9", evidence).bad(1, &["case.unknown", "SJ/9"]);
    submit("regster", "SJ/9", "--data clue.json").bad(1, &["workflow.no_such_act", "possible now: register"]);
    submit("register", "SJ/9", "--data clue.json --definition nothing").bad(1, &["definition.unknown"]);
    submit("correct", "SJ/1", "--set wrong=a --set right=b --set reason=c").bad(1, &["workflow.parent_missing"]);
    submit("correct", "SJ/1", "--set wrong=a --set right=b --set reason=c --parent #9")
        .bad(1, &["workflow.parent_unknown"]);
    let refused = submit("decide", "SJ/1", "--json");
    assert_eq!(refused.code, 1);
    let outcome: serde_json::Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!(outcome["outcome"]["code"], "workflow.order");

    submit("evidence", "SJ", "").bad(64, &["AGENCY/NUMBER"]);
    submit("evidence", "SJ/1", "--set title").bad(64, &["FIELD=VALUE"]);
    submit("scene", "SJ/1", "--set begun=soon").bad(64, &["begun", "no moment"]);
    submit("register", "SJ/9", "--set party=a").bad(64, &["--set party=a", "NAME.FIELD=VALUE"]);
    submit("scene", "SJ/1", "--set badges_shown=perhaps").bad(64, &["true or false"]);
    submit("evidence", "SJ/1", "--attach original").bad(64, &["NAME=FILE"]);
    submit("evidence", "SJ/1", &format!("{evidence} --attach a/b=clue.json"))
        .bad(1, &["payload.form", "\"a/b\"", "name"]);
    submit("evidence", "SJ/1", "--attach original=missing.pdf").bad(66, &["missing.pdf"]);
    submit("evidence", "SJ/1", "--data missing.json").bad(66, &["missing.json"]);
    submit("register", "SJ/9", "--data clue.json --prove clue.json").bad(73, &["clue.json"]);
    town.run(&words("case sign city --key li.key 12")).bad(64, &["RECORD_ID"]);
    let zeros = "0".repeat(64);
    town.run(&["case", "sign", "city", "--key", "li.key", &zeros]).bad(1, &["countersign.unknown"]);
    assert_eq!(town.size(), size, "nothing was written");
}

#[test]
fn who_may_not_sign_is_told_so() {
    let town = Town::new();
    for name in ["old", "stranger"] {
        town.key(name);
    }
    let expired = town.credential("old", "SJ-7", "investigator", "until = \"2020-12-31\"");
    town.write("old.toml", expired.as_bytes());
    town.run(&words("platform put city --key root.key --registry old.toml")).good();
    town.register("SJ/1");
    town.submit("old", "register", "SJ/2", &["--data", "clue.json"]).bad(1, &["signer.expired", "SJ-7", "2021-01-01"]);
    town.submit("stranger", "register", "SJ/2", &["--data", "clue.json"]).bad(1, &["signer.unknown"]);
    town.submit("zhang", "register", "SJ/2", &["--data", "clue.json"]).bad(1, &["signer.role", "执法人员"]);

    let set = ["--set", "facts=a", "--set", "within_time_limit=true", "--json"];
    let record = town.submit("li", "file", "SJ/1", &set).json()[0]["outcome"]["record"].as_str().unwrap().to_owned();
    let sign = |who: &str| town.run(&["case", "sign", "city", "--key", &format!("{who}.key"), &record]);
    sign("li").bad(1, &["signer.twice", "a different officer"]);
    sign("wang").bad(1, &["signer.role", "taken"]);
    town.submit("wang", "file", "SJ/1", &set[..4]).bad(1, &["workflow.pending"]);
    sign("zhang").good();

    let recusal = ["--set", "officer=SJ-2", "--set", "reason=亲属"];
    town.submit("zhang", "recuse", "SJ/1", &recusal).good();
    let evidence =
        ["--set", "kind=document", "--set", "title=a", "--set", "taken_from=b", "--attach", "original=clue.json"];
    town.submit("wang", "evidence", "SJ/1", &evidence).bad(1, &["signer.recused", "SJ-2"]);
}

/// The service of `services/README.md`, where two must sign what opens a case: what the first asked for and nobody else has signed
/// is replaced when he asks again, and has begun nothing.
#[test]
fn an_opening_act_that_waits_is_replaced() {
    let town = Town::empty();
    let files = town.readme_service();
    let one = "signers = [{ role = \"clerk\" }]";
    let definition = &files["services/permit/permit.toml"];
    assert!(definition.contains(one), "the README's service is another");
    town.write("services/permit/permit.toml", definition.replace(one, &one.replace(" }", ", count = 2 }")).as_bytes());
    town.found("city", "services/permit");
    let mut entries = "[[entry]]\ntype = \"agency\"\nid = \"SJ\"\ndata = { name = \"SJ\" }\n".to_owned();
    for (name, badge) in [("li", "SJ-1"), ("wang", "SJ-2")] {
        town.key(name);
        entries += &town.credential(name, badge, "clerk", "");
    }
    town.write("city.toml", entries.as_bytes());
    town.run(&words("platform put city --key root.key --registry city.toml")).good();

    let apply = |days: &str| town.submit("li", "apply", "SJ/1", &["--set", "applicant=a", "--set", days, "--json"]);
    apply("days=1").good();
    let shown = town.run(&words("case show city SJ/1")).good();
    assert!(shown.contains("apply") && !shown.contains("nothing can be done"), "{shown}");
    let record = apply("days=2").json()[0]["outcome"]["record"].as_str().unwrap().to_owned();
    town.run(&["case", "sign", "city", "--key", "wang.key", &record]).good();
    assert_eq!(town.show("SJ/1")["data"]["days"], 2);
}

/// Days of the deadline are counted from when the case was registered, which here was two months ago.
#[test]
fn what_comes_late_is_refused() {
    let town = Town::empty();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let clock = ManualClock::new(now_ms - 60 * 86_400_000);
    let services = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/enforcement");
    for name in ["li", "wang", "zhang"] {
        town.key(name);
    }
    let founding = Founding {
        origin: "example.gov/city".to_owned(),
        service: Service::read(&services).unwrap(),
        admins: vec![town.id("root").parse().unwrap()],
        threshold: 1,
        segment_size: 2 << 20,
        ledger_key: None,
    };
    let options = Options { clock: Some(clock), ..Options::default() };
    let options = PlatformOptions { ledger: options, untended: true, ..PlatformOptions::default() };
    let platform = Platform::create(&town.path().join("city"), &founding, options).unwrap();
    register_in(&platform, &town);
    platform.close().unwrap();

    // The machine's clock is far ahead of the newest record: that is said before anything is written.
    let extend = ["--set", "text=案情复杂"];
    let said = town.submit("zhang", "extend_check", "SJ/1", &extend);
    assert!(said.code == 1 && said.err.contains("--accept-clock"), "{}", said.err);
    let late = [&extend[..], &["--accept-clock"]].concat();
    town.submit("zhang", "extend_check", "SJ/1", &late)
        .bad(1, &["workflow.late", "《程序规定》第十八条", "ended with"]);
    let overdue = town.run(&words("case overdue city --json")).json();
    assert_eq!((overdue[0]["case"].as_str(), overdue[0]["name"].as_str()), (Some("SJ/1"), Some("filing")));
    assert!(30 < overdue[0]["days"].as_i64().unwrap(), "{}", overdue[0]);
    let table = town.run(&words("case overdue city")).good();
    assert!(table.contains("核查和决定立案") && table.contains("未办 open"), "{table}");
    let unregistered = town.run(&words("case overdue city --agency XX"));
    assert!(unregistered.err.contains("no agency XX is registered"), "{}", unregistered.err);
    assert_eq!(unregistered.good(), "没有逾期 nothing is overdue\n");
    let shown = town.show("SJ/1");
    assert_eq!(shown["deadlines"][0]["standing"], "passed");
    let words = town.run(&words("case show city SJ/1")).good();
    assert!(words.contains("逾期") && words.contains("延长核查期限"), "{words}");
}

/// Puts the town's people and registers a case, by the platform's own clock.
fn register_in(platform: &Platform, town: &Town) {
    use annals::{Kind, RecordBuilder};
    use annals_contracts::Value;
    use annals_contracts::message::{Act, CASE, EntryForm, EntryStatus, REGISTRY, encode};
    let mut nonce = 0;
    let mut send = |who: &str, kind: Kind, payload: &[u8]| {
        nonce += 1;
        let key = annals::read_key(&town.path().join(format!("{who}.key"))).unwrap();
        let record = RecordBuilder::new(platform.id(), kind).nonce(nonce).sign(&key, payload).unwrap();
        platform.submit(&mut platform.appender().unwrap(), record.bytes()).unwrap();
    };
    let credential =
        |badge: &str, role: &str| format!(r#"{{"agency":"SJ","officer":"{badge}","roles":["{role}"],"scope":["*"]}}"#);
    let entries = [
        ("agency", "SJ".to_owned(), r#"{"name":"市监局"}"#.to_owned()),
        ("matter", "M1".to_owned(), r#"{"title":"a","field":"market","basis":["b"],"agencies":["SJ"]}"#.to_owned()),
        ("credential", town.id("li"), credential("SJ-1", "investigator")),
        ("credential", town.id("zhang"), credential("SJ-9", "head")),
    ];
    for (registry, id, data) in entries {
        let data = Value::parse_loose(data.as_bytes()).unwrap();
        let (registry, until) = (registry.to_owned(), annals_contracts::value::INTEGER_MAX);
        let form = EntryForm { data, from: 0, id, status: EntryStatus::Valid, registry, until, version: 1 };
        send("root", REGISTRY, &encode(&form));
    }
    let act = Act {
        act: "register".to_owned(),
        attachments: Vec::new(),
        case: "SJ/1".to_owned(),
        data: Value::parse_loose(CLUE.as_bytes()).unwrap(),
        definition: Some("enforcement".to_owned()),
        parents: Vec::new(),
    };
    send("li", CASE, &act.encode());
}

/// Whoever closes a stream early, `head` or a terminal that is gone, changes nothing of what was done, nor of what is told of it.
#[test]
fn an_act_is_done_though_nobody_listens() {
    let town = Town::new();
    town.write("clue.json", CLUE.as_bytes());
    let submit = |case: &str| {
        town.command(&["case", "submit", "city", "--key", "li.key", "register", case, "--data", "clue.json"])
    };
    let nobody = || std::io::pipe().unwrap().1;
    let said = submit("SJ/1").stderr(nobody()).output().unwrap();
    assert_eq!((said.status.code(), said.stdout.is_empty()), (Some(0), false), "the receipt is handed out");
    assert_eq!(town.show("SJ/1")["state"], "registered");
    let said = submit("SJ/2").stdout(nobody()).output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(74), "{words}");
    assert!(words.contains("accepted at seq") && words.contains("standard output"), "{words}");
    assert_eq!(town.show("SJ/2")["state"], "registered");
}

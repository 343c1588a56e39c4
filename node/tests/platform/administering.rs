//! Making a platform, and what administrators put.

use crate::town::{Town, words};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_platform_is_made_with_closed_keys_or_not_at_all() {
    let town = Town::empty();
    town.key("other");
    let (root, other) = (town.id("root"), town.id("other"));
    let init = |more: &[&str]| {
        town.run(
            &[&["platform", "init", "city", "--service", "enforcement", "--segment-size", "2097152"], more].concat(),
        )
    };
    let table: [(&[&str], &[&str]); 5] = [
        (&["--admin", &root], &["name two", "--development"]),
        (&["--admin", &root, &root], &["twice"]),
        (&["--admin", &root, &other, "--threshold", "1"], &["--threshold 1", "--development"]),
        (&["--admin", &root, &other, "--threshold", "3"], &["3 of 2"]),
        (&["--admin", &root[1..]], &["--admin"]),
    ];
    for (arguments, told) in table {
        init(arguments).bad(64, told);
    }
    town.run(&["platform", "init", "city", "--service", "nothing", "--admin", &root, &other]).bad(66, &["enforcement"]);
    assert!(!town.path().join("city").exists(), "nothing was made");
    let vkey = init(&["--admin", &root, &other, "--origin", "example.gov/city"]).good();
    assert!(vkey.starts_with("example.gov/city+") && vkey.lines().count() == 1, "{vkey}");
    init(&["--admin", &root, &other]).bad(73, &["city"]);
    for key in ["city/ledger.key", "city/contracts/host.key"] {
        let mode = std::fs::metadata(town.path().join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}

#[test]
fn every_fault_of_a_service_is_told_and_nothing_made() {
    let town = Town::empty();
    std::fs::create_dir(town.path().join("service")).unwrap();
    let definition = "name = \"permit\"\nversion = 1\nlabel = { en = \"Permit\" }\nroles = { officer = { en = \"Officer\" } }\n\
        [[state]]\nname = \"filed\"\nlabel = { en = \"Filed\" }\n\
        [[transition]]\nname = \"file\"\nlabel = { en = \"File\" }\nto = \"nowhere\"\nsigners = [{ role = \"nobody\" }]\n";
    town.write("service/permit.toml", definition.as_bytes());
    town.write(
        "service/service.toml",
        b"name = \"permits\"\nlabel = { en = \"Permits\" }\ndefinitions = [\"permit.toml\"]\n",
    );
    let init = ["platform", "init", "city", "--service", "service", "--development", "--admin", &town.id("root")];
    let said = town.run(&init);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.err.contains("nowhere") && said.err.contains("nobody") && 2 < said.err.lines().count(),
        "{}",
        said.err
    );
    // A single fault is told in the line that names what has it.
    town.write("service/permit.toml", definition.replace("nowhere", "filed").replace("nobody", "officer").as_bytes());
    town.run(&init).bad(1, &["\"permit\"", "state filed: nothing leads out"]);
    town.write(
        "service/service.toml",
        b"name = \"permits\"\nlabel = { en = \"Permits\" }\ndefinitions = []\n\
            [[entry]]\ntype = \"agency\"\nid = \"SJ\"\ndata = { title = \"SJ\" }\n",
    );
    town.run(&init).bad(1, &["entry agency SJ", "name"]);
    town.write("service/service.toml", b"name = \n");
    town.run(&init).bad(1, &["service/service.toml: line 1: "]);
    std::fs::remove_file(town.path().join("service/service.toml")).unwrap();
    town.run(&init).bad(66, &["service.toml"]);
    assert!(!town.path().join("city").exists());
}

/// The smallest service, as `services/README.md` shows it, and its scenario.
#[test]
fn the_service_of_the_readme_is_taken_and_its_scenario_passes() {
    let town = Town::empty();
    assert_eq!(town.readme_service().len(), 3);
    town.found("try", "services/permit");
    let told = town.run(&words("scenario run services/permit")).good();
    assert!(told.ends_with(" s\n") && told.contains("1 of 1 scenarios pass, 3 steps"), "{told}");
}

#[test]
fn two_administrators_sign_and_files_may_leave_out_what_is_known() {
    let town = Town::empty();
    town.key("other");
    let (root, other) = (town.id("root"), town.id("other"));
    town.run(&[
        "platform",
        "init",
        "city",
        "--service",
        "enforcement",
        "--segment-size",
        "2097152",
        "--admin",
        &root,
        &other,
    ])
    .good();
    town.write(
        "agency.json",
        "{\"type\":\"agency\",\"id\":\"SJ\",\"data\":{\"name\":\"市监局\"},\"until\":\"2030-12-31\"}".as_bytes(),
    );
    let put = town.run(&words("platform put city --key root.key --registry agency.json --json"));
    assert!(put.err.contains("annals platform sign city --key KEYFILE"), "{}", put.err);
    let outcome = put.json()[0]["outcome"].clone();
    assert_eq!((outcome["status"].as_str(), outcome["missing"].as_u64()), (Some("waiting"), Some(1)));
    let record = outcome["record"].as_str().unwrap();
    let shown = town.run(&words("platform show city --json")).json();
    assert_eq!(shown[0]["proposals"][0]["record"], outcome["record"]);
    assert_eq!(shown[0]["platform"]["threshold"], 2);
    town.run(&words("platform show city --registry agency SJ")).bad(66, &["agency SJ"]);
    let sign = |key: &str| town.run(&["platform", "sign", "city", "--key", key, record]);
    sign("root.key").bad(1, &["signer.twice", "another"]);
    sign("other.key").good();
    sign("other.key").bad(1, &["countersign.unknown"]);
    let entry = town.run(&words("platform show city --registry agency SJ --json")).json().remove(0);
    // 2030-12-31 ends at 16:00 in Greenwich: `date -d '2031-01-01 +0800' +%s` is 1924963200.
    assert_eq!((entry["version"].as_u64(), entry["until"].as_i64()), (Some(1), Some(1_924_963_200_000)));
    // The next version says but what changes.
    town.write("agency.toml", b"type = \"agency\"\nid = \"SJ\"\nstatus = \"suspended\"\n");
    let put = town.run(&words("platform put city --key other.key --registry agency.toml --json")).json();
    let record = put[0]["outcome"]["record"].as_str().unwrap().to_owned();
    town.run(&["platform", "sign", "city", "--key", "root.key", &record]).good();
    let newest = town.run(&words("platform show city --registry agency SJ --json")).json().remove(0);
    assert_eq!(
        (newest["version"].as_u64(), newest["status"].as_str(), &newest["data"]),
        (Some(2), Some("suspended"), &entry["data"])
    );
    let at = (newest["seq"].as_u64().unwrap() - 1).to_string();
    let before =
        town.run(&["platform", "show", "city", "--registry", "agency", "SJ", "--at", &at, "--json"]).json().remove(0);
    assert_eq!(before["status"], "valid", "what held then");
}

#[test]
fn grants_and_procedures_are_put_and_misuse_is_told() {
    let town = Town::new();
    town.write(
        "grants.toml",
        b"action = \"enforcement\"\n[[grants]]\nrole = \"head\"\nacts = [\"*\"]\nuntil = \"2031-01-01\"\n",
    );
    town.run(&words("platform put city --key root.key --policy grants.toml")).good();
    let policy = town.run(&words("platform show city --policy enforcement --json")).json().remove(0);
    assert_eq!((policy["version"].as_u64(), policy["grants"][0]["agency"].as_str()), (Some(2), Some("*")));
    town.write("clue.json", crate::town::CLUE.as_bytes());
    town.submit("li", "register", "SJ/1", &["--data", "clue.json"]).bad(1, &["policy.denied", "SJ-1"]);

    let procedure = include_str!("../../../services/enforcement/procedure.toml");
    town.write("next.toml", procedure.replacen("version = 1\n", "", 1).as_bytes());
    town.run(&words("platform put city --key root.key --definition next.toml --from-height 900")).good();
    let shown = town.run(&words("platform show city --json")).json().remove(0);
    let versions = &shown["definitions"][0]["versions"];
    assert_eq!((versions[1]["version"].as_u64(), versions[1]["from_height"].as_u64()), (Some(2), Some(900)));
    town.write("wrong.toml", procedure.replace("to = \"investigating\"", "to = \"nowhere\"").as_bytes());
    let said = town.run(&words("platform put city --key root.key --definition wrong.toml"));
    assert!(said.code == 1 && said.err.contains("nowhere"), "{}", said.err);

    let size = town.size();
    town.write("entry.txt", b"");
    town.write("bad.json", b"{");
    town.write("bad.toml", b"type = \"agency\"\nid = \"SJ\"\nuntil = \"soon\"\n");
    town.write("odd.toml", b"type = \"agency\"\nid = \"SJ\"\nvalidity = 3\n");
    town.write("new.toml", b"type = \"agency\"\nid = \"ZZ\"\nstatus = \"suspended\"\n");
    let put = |more: &str| town.run(&words(&format!("platform put city --key {more}")));
    put("root.key --registry entry.txt").bad(64, &[".json or .toml"]);
    put("root.key --registry bad.json").bad(1, &["bad.json"]);
    put("root.key --registry bad.toml").bad(1, &["until", "no moment"]);
    let said = put("root.key --registry odd.toml");
    said.bad(1, &["odd.toml", "validity"]);
    assert!(!said.err.contains("column"), "the place of a fault is one of a text that nobody wrote: {}", said.err);
    put("root.key --registry new.toml").bad(1, &["new.toml", "no agency ZZ", "mend its type or id"]);
    put("root.key --registry city.toml --from-height 900").bad(64, &["--from-height", "--definition"]);
    put("root.key --registry missing.toml").bad(66, &["missing.toml"]);
    put("missing.key --registry city.toml").bad(66, &["missing.key"]);
    put("li.key --registry city.toml").bad(1, &["registry.not_allowed"]);
    town.run(&words("platform show nothing")).bad(66, &["nothing"]);
    town.run(&words("platform show city --registry nothing")).bad(66, &["credential"]);
    town.run(&words("platform show city --policy nothing")).bad(66, &["denied", "enforcement"]);
    town.run(&words("platform show city --registry agency --at 999")).bad(66, &["999"]);
    // That somebody tried what he may not is noted; nothing else is written.
    assert_eq!(town.size(), size + 1);
}

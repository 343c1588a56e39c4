//! Looking at cases: JSON, tables whose columns are aligned on a terminal, and a platform that is held by another process.

use crate::town::{Town, words};
use annals_contracts::{Platform, PlatformOptions};
use unicode_width::UnicodeWidthStr as _;

/// The columns at which a word begins on a terminal, of each line that has it.
fn column_of(line: &str, word: &str) -> usize {
    line.get(..line.find(word).unwrap_or_else(|| panic!("{word} is not in {line}"))).unwrap().width()
}

#[test]
fn cases_are_listed_filtered_and_aligned() {
    let town = Town::new();
    for case in ["SJ/1", "SJ/2", "SJ/网监-2026-3"] {
        town.register(case);
    }
    town.file("SJ/2");
    let list = |more: &str| {
        let said = town.run(&words(&format!("case list city --json{more}")));
        said.json().iter().map(|case| case["case"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(""), ["SJ/1", "SJ/2", "SJ/网监-2026-3"]);
    assert_eq!(list(" --state investigating"), ["SJ/2"]);
    assert_eq!(list(" --agency XX"), [""; 0]);
    assert_eq!(list(" --open --limit 1"), ["SJ/1"]);
    assert_eq!(list(" --after SJ/1 --limit 1"), ["SJ/2"]);
    let more = town.run(&words("case list city --limit 2"));
    assert!(more.err.contains("--after SJ/2"), "{}", more.err);
    let more = town.run(&words("case overdue city --as-of 2999-12-31 --limit 2 --json"));
    assert!(more.err.contains("there are more"), "{}", more.err);
    let all = town.run(&words("case overdue city --as-of 2999-12-31 --json")).json();
    assert_eq!(more.json(), all[..2], "those first that ended first");
    assert!(all.is_sorted_by_key(|late| late["due"].as_i64().unwrap()), "{all:?}");
    let table = town.run(&words("case list city")).good();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    let columns = [
        column_of(lines[0], "状态"),
        column_of(lines[1], "已登记"),
        column_of(lines[2], "调查中"),
        column_of(lines[3], "已登记"),
    ];
    assert!(columns.iter().all(|column| *column == columns[0]), "{columns:?}\n{table}");
    town.run(&words("case list city --after SJ")).bad(64, &["AGENCY/NUMBER"]);
    town.run(&words("case show city SJ/7")).bad(66, &["SJ/7"]);
    town.run(&words("case show city SJ")).bad(64, &["AGENCY/NUMBER"]);
}

#[test]
fn a_step_says_what_it_asks_for() {
    let town = Town::new();
    let form = town.run(&words("platform show city --procedure enforcement register")).good();
    for wanted in ["party.name", "inspection | complaint", "案由", "2 to 8", "signed by"] {
        assert!(form.contains(wanted), "{wanted} is not in\n{form}");
    }
    let form = town.run(&words("platform show city --procedure enforcement register --json")).json();
    assert_eq!(form[0]["fields"]["party"]["fields"]["name"]["max"], 200);
    let notice = town.run(&words("platform show city --procedure enforcement notify")).good();
    assert!(notice.contains("--attach notice=FILE"), "{notice}");
    let steps = town.run(&words("platform show city --procedure enforcement")).good();
    assert!(steps.contains("a new case") && steps.contains("any that is not final"), "{steps}");
    town.run(&words("platform show city --procedure permit")).bad(66, &["there are enforcement"]);
    town.run(&words("platform show city --procedure enforcement fly")).bad(66, &["no step \"fly\"", "register"]);
}

#[test]
fn a_case_is_shown_with_its_history_and_traced() {
    let town = Town::new();
    town.register("SJ/1");
    town.file("SJ/1");
    let set = ["--set", "wrong=a", "--set", "right=b", "--set", "reason=c", "--parent", "#1", "--json"];
    let record = town.submit("li", "correct", "SJ/1", &set).json()[0]["outcome"]["record"].as_str().unwrap().to_owned();
    town.run(&["case", "sign", "city", "--key", "zhang.key", &record]).good();
    let history = town.run(&words("case history city SJ/1 --json")).json();
    let acts: Vec<_> = history.iter().map(|act| act["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["register", "file", "correct"]);
    assert_eq!(history[1]["signers"], serde_json::json!(["SJ-1", "SJ-9"]));
    let table = town.run(&words("case history city SJ/1")).good();
    assert!(table.contains("+08:00") && table.contains("→ 调查中 investigating"), "{table}");
    let trace = town.run(&words("case trace city SJ/1 --json")).json();
    assert!(trace.iter().any(|line| line["depth"] == 1 && line["act"]["act"] == "register"), "{trace:?}");
    assert!(town.run(&words("case trace city SJ/1")).good().contains("  ↳ SJ/1#1 线索登记"));
    let shown = town.run(&words("case show city SJ/1")).good();
    for word in [
        "行政处罚普通程序",
        "调查中 investigating",
        "余 left",
        "《处罚法》",
        "可办 possible now",
        "执法人员 enforcement officer ×2",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let show = town.show("SJ/1");
    assert!(show["possible"].as_array().unwrap().iter().any(|step| step["act"] == "conclude"));
    assert!((90..=120).contains(&show["deadlines"][0]["days"].as_i64().unwrap()), "{}", show["deadlines"]);
    assert!(!town.run(&words("case overdue city --as-of 2999-12-31 --json")).json().is_empty());
    assert_eq!(town.run(&words("case overdue city --as-of 2020-01-01 --json")).good(), "");
    town.run(&words("case overdue city --as-of soon")).bad(64, &["soon"]);
}

#[test]
fn a_platform_that_is_held_is_looked_at_and_not_written_to() {
    let town = Town::new();
    town.register("SJ/1");
    let before = town.show("SJ/1");
    let platform = Platform::open(&town.path().join("city"), PlatformOptions::default()).unwrap();
    assert_eq!(town.show("SJ/1"), before, "the same, made anew from the log");
    assert_eq!(town.run(&words("platform show city --registry credential --json")).json().len(), 3);
    for command in ["state check city", "state rebuild city", "case prove city 5", "case sign city --key li.key 0"] {
        let command = command.replace(" 0", &format!(" {}", "0".repeat(64)));
        town.run(&words(&command)).bad(75, &["city"]);
    }
    town.submit("li", "register", "SJ/2", &["--data", "clue.json"]).bad(75, &["city"]);
    platform.close().unwrap();
    town.run(&words("backup city copy")).good();
    assert_eq!(town.run(&words("case show copy SJ/1 --json")).json().remove(0), before, "a backup too");
    town.run(&["init", "plain", "--origin", "example.gov/plain", "--open", "--segment-size", "2097152"]).good();
    for command in ["case list plain", "state check plain", "platform show plain"] {
        town.run(&words(command)).bad(66, &["without a platform"]);
    }
}

#[test]
fn state_is_checked_and_made_again() {
    let town = Town::new();
    town.register("SJ/1");
    let check = town.run(&words("state check city --json")).json().remove(0);
    assert_eq!((&check["sound"], &check["differs_at"], &check["behind"]), (&true.into(), &().into(), &0.into()));
    let state = town.path().join("city/contracts/state.redb");
    std::fs::remove_file(&state).unwrap();
    town.run(&words("state check city")).bad(66, &["annals state rebuild"]);
    let rebuilt = town.run(&words("state rebuild city --json")).json().remove(0);
    assert_eq!(rebuilt["root"], check["root"]);
    assert!(town.run(&words("state check city")).good().starts_with("sound: "));
    std::fs::write(&state, b"nonsense").unwrap();
    let damaged = town.run(&words("state check city"));
    assert!(damaged.code == 1 && damaged.err.contains("annals state rebuild"), "{}", damaged.err);
    let damaged = town.run(&words("case show city SJ/1"));
    assert!(damaged.code == 1 && damaged.err.contains("annals state rebuild"), "{}", damaged.err);
    town.run(&words("state rebuild city")).good();
    assert_eq!(town.show("SJ/1")["state"], "registered");
    // The state of another platform, put in place of this one's.
    let init = ["platform", "init", "other", "--service", "enforcement", "--development", "--segment-size", "2097152"];
    town.run(&[&init[..], &["--admin", &town.id("root")]].concat()).good();
    std::fs::copy(town.path().join("other/contracts/state.redb"), &state).unwrap();
    let differs = town.run(&words("state check city"));
    assert!(differs.code == 1 && differs.out.contains("differs: from height 1 on"), "{}{}", differs.out, differs.err);
    let differs: serde_json::Value = serde_json::from_str(&town.run(&words("state check city --json")).out).unwrap();
    assert_eq!((&differs["sound"], &differs["differs_at"]), (&false.into(), &1.into()));
    assert_eq!(town.show("SJ/1")["state"], "registered", "opening makes it again by itself");
    town.run(&words("state check nothing")).bad(66, &["nothing"]);
}

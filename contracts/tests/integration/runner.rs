//! The runner of scenarios checks something: what is damaged on purpose fails, and says what is wrong.

use annals_contracts::Service;
use annals_contracts::scenario::{Failure, Report, Scenario};
use std::path::{Path, PathBuf};

fn service_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/enforcement")
}

/// A scenario of these steps, in a directory that is removed with it.
fn write(steps: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let city = service_directory().join("scenarios/city.toml");
    let head = format!(
        "row = [\"Y0\"]\ntitle = {{ zh = \"试\", en = \"Trial\" }}\nstarts = \"2025-03-04T09:00:00+08:00\"\ncity = {city:?}\n\
         people.\"无名氏\" = {{ officer = \"SJ-0\", agency = \"SJ\", roles = [], scope = [], unregistered = true }}\n"
    );
    let steps = steps.replace("---", "[[step]]\nzh = \"步\"\nen = \"Step\"");
    let path = dir.path().join("scenario.toml");
    std::fs::write(&path, head + &steps).unwrap();
    (dir, path)
}

fn run(steps: &str) -> Report {
    let (dir, path) = write(steps);
    let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error}"));
    scenario.run(&Service::read(&service_directory()).unwrap(), dir.path())
}

fn failure(steps: &str) -> Failure {
    let report = run(steps);
    assert!(!report.passed());
    report.failure.unwrap_or_else(|| panic!("{steps}\n… holds, and must not"))
}

const CASE: &str = "case = \"SJ/2025-017\"";

/// Steps that must fail, at which step, and what is told as expected and as found.
type Cases<'a> = &'a [(String, usize, &'a str, &'a str)];

fn all_fail(table: Cases<'_>) {
    for (steps, step, expected, got) in table {
        let failure = failure(steps);
        assert_eq!(failure.step, *step, "{steps}\n{failure}");
        assert!(failure.expected.contains(expected), "{steps}\nexpected {expected:?}\n{failure}");
        assert!(failure.got.contains(got), "{steps}\ngot {got:?}\n{failure}");
    }
}

fn register() -> String {
    format!("---\nact = \"register\"\n{CASE}\n")
}

/// Other entries are valid around the day on which a scenario starts; a calendar is so for ever.
#[test]
fn a_scenario_may_bring_a_calendar_of_its_own() {
    let calendar = "entry = [{ type = \"calendar\", id = \"other\", data = { holidays = [], workdays = [] } }]\n";
    let report = run(&(calendar.to_owned() + &register()));
    assert!(report.passed(), "{:?}", report.failure);
}

/// An act that comes too early, ordered all the same.
fn early() -> String {
    format!("---\nact = \"execute\"\n{CASE}\nrefused = \"workflow.order\"\nwhen = \"after\"\nas = \"early\"\n")
}

fn second(what: &str) -> String {
    format!("{}---\n{what}\n", register())
}

#[test]
fn what_is_not_as_expected_fails_and_says_so() {
    let check = |what: &str| format!("{}---\ncheck = {{ {CASE}, {what} }}\n", register());
    all_fail(&[
        // The code, the sentence, and when it is refused.
        (second(&format!("act = \"register\"\n{CASE}\nrefused = \"case.unknown\"")), 2, "case.unknown", "case.exists"),
        (
            second(&format!("act = \"register\"\n{CASE}\nrefused = \"case.exists\"\nsays = [\"seq 999\"]")),
            2,
            "seq 999",
            "opened it",
        ),
        (second(&format!("act = \"register\"\n{CASE}")), 2, "accepted", "case.exists"),
        (
            format!("{}{}", register(), early().replace("workflow.order", "workflow.guard")),
            2,
            "workflow.guard",
            "workflow.order",
        ),
        (
            format!("---\nact = \"register\"\n{CASE}\nrefused = \"signer.agency\""),
            1,
            "refused, signer.agency",
            "accepted",
        ),
        (format!("---\nact = \"register\"\n{CASE}\nexpect = \"waiting\""), 1, "waiting", "accepted"),
        (second(&format!("act = \"file\"\n{CASE}\nwith = []")), 2, "accepted", "waiting for 1"),
        (
            second(&format!("act = \"file\"\n{CASE}\nby = \"沈亦安\"\nwith = [\"程知白\", \"公孙度\"]")),
            2,
            "waiting",
            "signer.role",
        ),
        // What a case is.
        (check("state = \"closed\""), 2, "state \"closed\"", "state \"registered\""),
        (check("agency = \"HJ\""), 2, "\"HJ\"", "\"SJ\""),
        (check("acts = 2"), 2, "acts 2", "acts 1"),
        (check("absent = true"), 2, "no case SJ/2025-017", "registered"),
        (check("due = { filing = \"2025-03-24\" }"), 2, "2025-03-24", "2025-03-25"),
        (check("due = { decision = \"2025-06-03\" }"), 2, "2025-06-03", "None"),
        (check("not_due = [\"filing\"]"), 2, "filing does not run", "2025-03-25"),
        (check("overdue = [\"filing\"]"), 2, "{\"filing\"}", "{}"),
        (check("tasks = [\"recusal\"]"), 2, "recusal", "{}"),
        (check("holds = [\"evidence\"]"), 2, "evidence", "{}"),
        (check("recused = [\"SJ-2140\"]"), 2, "SJ-2140", "{}"),
        (check("suspended = true"), 2, "true", "false"),
        (check("data = { secret = true }"), 2, "Bool(true)", "Bool(false)"),
        (check("data_absent = [\"cause\"]"), 2, "None", "超过保质期"),
        (check("done = { register = 2 }"), 2, "2", "1"),
        (check("version = 2"), 2, "version 2", "version 1"),
        (check("verifies = \"#2\""), 2, "act #2", "1 acts"),
        (check("trace = { from = \"#1\", to = [\"#2\"] }"), 2, "#2", "[]"),
        (check("overdue_of = { agency = \"SJ\", cases = [\"SJ/2025-017\"] }"), 2, "SJ/2025-017", "{}"),
        (check("attempts = [{ by = \"夏至真\", code = \"signer.agency\" }]"), 2, "夏至真", "[]"),
        (check("public_absent = true"), 2, "None", "cause"),
        (check("public = {}"), 2, "Some({})", "cause"),
    ]);
}

#[test]
fn what_does_not_happen_or_is_not_proved_fails() {
    all_fail(&[
        // What happens.
        (format!("{}events = [\"case.transition SJ/2025-017 file\"]\n", register()), 1, "file", "register"),
        (
            second("at = \"2025-03-25T23:59:00+08:00\"\nevents = [\"deadline.passed SJ/2025-017 filing\"]"),
            2,
            "deadline.passed",
            "the events",
        ),
        (second("at = \"2025-03-01T00:00:00+08:00\""), 2, "can be tried", "clock"),
        (format!("---\nrun = [\"register\", \"conclude\"]\n{CASE}\n"), 1, "conclude: ", "workflow.order"),
        (
            format!(
                "---\naccepted = 2\nrefused = \"case.exists\"\nrace = [{{ act = \"register\", {CASE} }}, {{ act = \"register\", {CASE} }}]\n"
            ),
            1,
            "2",
            "1",
        ),
        (
            format!("---\nact = \"register\"\n{CASE}\ndamaged = \"spacing\"\nrefused = \"payload.form\""),
            1,
            "payload.form",
            "payload.not_canonical",
        ),
        // Proofs.
        (
            format!("{}{}---\nprove = \"attempt\"\nof = \"early\"\nexpect = \"accepted\"\n", register(), early()),
            3,
            "the proof says \"accepted\"",
            "the proof says \"refused\"",
        ),
        (
            format!("{}{}---\nprove = \"attempt\"\nof = \"early\"\nrefused = \"case.exists\"\n", register(), early()),
            3,
            "case.exists",
            "workflow.order",
        ),
        (
            second(&format!("prove = {{ {CASE}, act = \"#1\" }}\nrefused = \"case.exists\"")),
            2,
            "\"refused\"",
            "\"accepted\"",
        ),
        (second(&format!("prove = {{ {CASE}, act = \"#2\" }}")), 2, "act #2", "1 acts"),
        (second("replay = true\nuntil = \"never\""), 2, "makes sense", "never"),
    ]);
}

#[test]
fn a_failure_names_its_step_line_and_sentence() {
    let steps = format!("---\nact = \"register\"\n{CASE}\n\n---\ncheck = {{ {CASE}, state = \"closed\" }}\n");
    let report = run(&steps);
    assert_eq!((report.steps_passed, report.sentences.len()), (1, 2));
    let words = report.failure.unwrap().to_string();
    assert_eq!(words, "step 2 (line 12): 步 Step\n  expected: state \"closed\"\n  got:      state \"registered\"");
}

#[test]
fn a_file_that_is_no_scenario_is_told_with_its_line() {
    for (steps, problem) in [
        ("---\nact = \"register\"\ncase = \"SJ/1\"\ncolour = 1\n", "unknown field `colour`"),
        ("---\nact = \"register\"\n", "line 6, step 1: register needs a case"),
        ("---\nact = \"arrest\"\ncase = \"SJ/1\"\n", "line 6, step 1: arrest has no sample and no by"),
        ("---\nact = \"register\"\ncase = \"SJ/1\"\nreplay = true\n", "one verb, this one has [\"act\", \"replay\"]"),
        ("---\n", "one verb, this one has []"),
        ("---\nrun = [\"register\"]\ncase = \"SJ/1\"\nby = \"程知白\"\n", "by does not go with run"),
        ("---\nat = \"tomorrow\"\n", "\"tomorrow\" is no moment"),
        ("---\nact = \"register\"\ncase = \"SJ/1\"\nwithout = [\"colour\"]\n", "without names colour"),
        ("---\nact = \"register\"\ncase = \"SJ/1\"\nsays = [\"a\"]\n", "says and when go with refused"),
        ("---\nact = \"register\"\ncase = \"SJ/1\"\nrefused = \"x\"\nevents = [\"a\"]\n", "events do not go with it"),
        ("---\ncheck = { case = \"SJ/1\", colour = 1 }\n", "unknown field `colour`"),
        ("---\ncheck = { state = \"closed\" }\n", "a check names a case"),
        ("---\ncheck = {}\n", "a check names a case"),
        ("---\ncheck = { case = \"SJ/1\" }\n", "says what must hold"),
        ("---\ncheck = { case = \"SJ/1\", absent = true, acts = 0 }\n", "nothing else to check"),
        ("---\nact = \"register\"\ncase = \"SJ/1\"\n[step.data]\nfee = 1.5\n", "1.5 is no integer"),
    ] {
        let (_dir, path) = write(steps);
        let error = Scenario::read(&path).unwrap_err();
        let words = error.to_string();
        assert_eq!(error.code(), "scenario.form");
        assert!(words.contains(problem), "{steps}\n{words}");
        assert!(words.contains("scenario.toml") && words.contains("line "), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");
    }
}

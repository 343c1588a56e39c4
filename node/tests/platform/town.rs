//! A town to test in: a platform of the enforcement service, officers with key files, and what they usually submit.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A clue of officers SJ-1 and SJ-2.
pub(crate) const CLUE: &str = r#"{"source":"inspection","matter":"M1","cause":"无照经营","place":"解放路1号",
    "officers":["SJ-1","SJ-2"],"party":{"name":"某某食品店","kind":"organisation"}}"#;

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Standard output, if the command succeeded.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Standard output as JSON, a value a line, if the command succeeded.
    pub(crate) fn json(self) -> Vec<Value> {
        self.good().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whether it ended so, with one line on standard error that holds these words.
    pub(crate) fn bad(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert_eq!(self.err.trim_end().lines().count(), 1, "one line: {}", self.err);
        assert!(self.err.starts_with("annals: "), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "{word} is not in {}", self.err);
        }
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Splits a command line at spaces.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

pub(crate) struct Town {
    dir: TempDir,
}

impl Town {
    /// Key files of `root`, and nothing more.
    pub(crate) fn empty() -> Self {
        let town = Self { dir: tempfile::tempdir().unwrap() };
        town.key("root");
        town
    }

    /// A platform `city` with agency SJ, matter M1, the investigators `li` and `wang`, and the head `zhang`.
    pub(crate) fn new() -> Self {
        let town = Self::empty();
        let vkey = town.run(&[
            "platform",
            "init",
            "city",
            "--service",
            "enforcement",
            "--development",
            "--admin",
            &town.id("root"),
            "--segment-size",
            "2097152",
        ]);
        town.write("vkey", vkey.good().trim_end().as_bytes());
        town.populate();
        town
    }

    /// Puts agency, matter and officers.
    pub(crate) fn populate(&self) {
        let mut entries = "[[entry]]\ntype = \"agency\"\nid = \"SJ\"\ndata = { name = \"市监局\" }\n[[entry]]\ntype = \"matter\"\nid = \"M1\"\n\
            data = { title = \"无照经营\", field = \"market\", basis = [\"第一条\"], agencies = [\"SJ\"] }\n"
            .to_owned();
        for (name, badge, role) in
            [("li", "SJ-1", "investigator"), ("wang", "SJ-2", "investigator"), ("zhang", "SJ-9", "head")]
        {
            self.key(name);
            entries += &self.credential(name, badge, role, "");
        }
        self.write("city.toml", entries.as_bytes());
        self.run(&words("platform put city --accept-clock --key root.key --registry city.toml")).good();
    }

    /// Writes the files that `services/README.md` shows, and returns them by path.
    pub(crate) fn readme_service(&self) -> BTreeMap<String, String> {
        let readme = include_str!("../../../services/README.md");
        let blocks = readme.split("```toml\n# ").skip(1).map(|rest| rest.split("```").next().unwrap());
        let files: BTreeMap<_, _> = blocks
            .map(|block| {
                let (path, text) = block.split_once('\n').unwrap();
                (format!("services/{path}"), text.to_owned())
            })
            .collect();
        for (path, text) in &files {
            std::fs::create_dir_all(self.path().join(path).parent().unwrap()).unwrap();
            self.write(path, text.as_bytes());
        }
        files
    }

    /// The TOML of an officer's credential.
    pub(crate) fn credential(&self, name: &str, badge: &str, role: &str, more: &str) -> String {
        let id = self.id(name);
        format!(
            "[[entry]]\ntype = \"credential\"\nid = \"{id}\"\n{more}\ndata = {{ officer = \"{badge}\", agency = \"SJ\", roles = [\"{role}\"], scope = [\"*\"] }}\n"
        )
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command.current_dir(self.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Founds a platform of a service that one administrator tries out.
    pub(crate) fn found(&self, place: &str, service: &str) {
        self.run(&["platform", "init", place, "--service", service, "--development", "--admin", &self.id("root")])
            .good();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// Makes a key file, `NAME.key`.
    pub(crate) fn key(&self, name: &str) {
        let said = self.run(&["keygen", "--out", &format!("{name}.key")]).good();
        self.write(&format!("{name}.id"), said.trim_end().as_bytes());
    }

    pub(crate) fn id(&self, name: &str) -> String {
        self.read(&format!("{name}.id"))
    }

    /// Records of the ledger.
    pub(crate) fn size(&self) -> u64 {
        self.run(&words("info city --json")).json()[0]["records"].as_u64().unwrap()
    }

    /// Submits an act as somebody: words of the command line behind it, with `CASE` in place.
    pub(crate) fn submit(&self, who: &str, act: &str, case: &str, more: &[&str]) -> Said {
        let key = format!("{who}.key");
        let head = ["case", "submit", "city", "--key", &key, act, case];
        self.run(&[&head[..], more].concat())
    }

    /// Registers a case.
    pub(crate) fn register(&self, case: &str) {
        self.write("clue.json", CLUE.as_bytes());
        self.submit("li", "register", case, &["--data", "clue.json"]).good();
    }

    /// Files a registered case by `li` and `zhang`.
    pub(crate) fn file(&self, case: &str) {
        let said =
            self.submit("li", "file", case, &["--set", "facts=初查属实", "--set", "within_time_limit=true", "--json"]);
        let record = said.json()[0]["outcome"]["record"].as_str().unwrap().to_owned();
        self.run(&["case", "sign", "city", "--key", "zhang.key", &record]).good();
    }

    /// What `case show --json` says.
    pub(crate) fn show(&self, case: &str) -> Value {
        self.run(&["case", "show", "city", case, "--json"]).json().remove(0)
    }
}

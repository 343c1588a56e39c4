//! Where the workspace is, which files it has, and what `cargo metadata` says of it.
//!
//! Files are those that git tracks together with new ones it does not ignore, so a rule holds before a commit as after it.

use std::path::{Path, PathBuf};

use crate::error::TaskError;
use crate::shell;

/// The workspace's root directory: the parent of this crate's.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The paths of all files of the workspace at `root`, relative to it, with `/` between their parts, in rising order.
///
/// # Errors
///
/// [`TaskError`] if git cannot be run or a path is not UTF-8.
pub fn files(root: &Path) -> Result<Vec<String>, TaskError> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = shell::output(root, "git", &arguments)?;
    let listed = String::from_utf8(output)
        .map_err(|_| TaskError::Unreadable { program: "git ls-files", missing: "a path in UTF-8" })?;
    let mut paths: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.retain(|path| root.join(path).is_file()); // deleted, and not yet so in the index
    Ok(paths)
}

/// A dependency of one package of the workspace on another one.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Edge {
    /// The package that depends.
    pub from: String,
    /// The package that it depends on.
    pub to: String,
    /// What for.
    pub kind: EdgeKind,
}

/// What a package needs another one for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum EdgeKind {
    /// For itself.
    Normal,
    /// Only for its tests, examples, benches or build script.
    Development,
}

/// The packages of a workspace and how they depend on each other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Graph {
    /// The names of all packages.
    pub packages: Vec<String>,
    /// The dependencies among them.
    pub edges: Vec<Edge>,
    /// Where cargo builds.
    pub target_directory: PathBuf,
    /// The names of the binaries.
    pub binaries: Vec<String>,
    /// Who turns on which feature: a package for one that it depends on, or a feature of its own for another.
    pub features_on: Vec<(String, String)>,
}

/// Asks cargo about the workspace whose manifest is at `manifest`.
///
/// # Errors
///
/// [`TaskError`] if cargo cannot be run, or its answer cannot be read.
pub fn graph(root: &Path, manifest: &str) -> Result<Graph, TaskError> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path", manifest];
    let output = shell::output(root, "cargo", &arguments)?;
    parse_graph(&serde_json::from_slice(&output).map_err(TaskError::Json)?)
}

/// Reads the output of `cargo metadata --no-deps`.
fn parse_graph(metadata: &serde_json::Value) -> Result<Graph, TaskError> {
    let missing = |missing| TaskError::Unreadable { program: "cargo metadata", missing };
    let listed = metadata["packages"].as_array().ok_or(missing("packages"))?;
    let mut graph = Graph {
        target_directory: metadata["target_directory"].as_str().ok_or(missing("target_directory"))?.into(),
        ..Graph::default()
    };
    for package in listed {
        graph.packages.push(package["name"].as_str().ok_or(missing("a package's name"))?.to_owned());
    }
    for package in listed {
        let from = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().ok_or(missing("dependencies"))? {
            let to = dependency["name"].as_str().ok_or(missing("a dependency's name"))?;
            if graph.packages.iter().any(|name| name == to) {
                let kind = if dependency["kind"].is_null() { EdgeKind::Normal } else { EdgeKind::Development };
                graph.edges.push(Edge { from: from.to_owned(), to: to.to_owned(), kind });
            }
            graph.features_on.extend(texts(&dependency["features"]).map(|feature| (from.to_owned(), feature)));
        }
        for (name, implied) in package["features"].as_object().into_iter().flatten() {
            graph.features_on.extend(texts(implied).map(|feature| (format!("{from}/{name}"), feature)));
        }
        for target in package["targets"].as_array().ok_or(missing("targets"))? {
            if target.pointer("/kind/0").is_some_and(|kind| kind == "bin") {
                graph.binaries.push(target["name"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    graph.edges.sort();
    graph.edges.dedup();
    Ok(graph)
}

/// The texts of a list; none if it is no list.
fn texts(list: &serde_json::Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    #[test]
    fn metadata_gives_packages_edges_and_binaries() {
        let metadata = serde_json::json!({
            "target_directory": "/t",
            "packages": [
                {"name": "a", "dependencies": [{"name": "serde", "kind": null}], "targets": [{"kind": ["lib"], "name": "a"}]},
                {"name": "b", "targets": [{"kind": ["bin"], "name": "tool"}], "features": {"default": ["a/x"], "y": []},
                 "dependencies": [{"name": "a", "kind": null, "features": ["z"]}, {"name": "a", "kind": "dev"}]},
            ],
        });
        let graph = parse_graph(&metadata).unwrap();
        assert_eq!(graph.packages, ["a", "b"]);
        assert_eq!(graph.binaries, ["tool"]);
        assert_eq!(graph.target_directory, Path::new("/t"));
        let edge = |kind| Edge { from: "b".to_owned(), to: "a".to_owned(), kind };
        assert_eq!(graph.edges, [edge(EdgeKind::Normal), edge(EdgeKind::Development)]);
        let on = |who: &str, feature: &str| (who.to_owned(), feature.to_owned());
        assert_eq!(graph.features_on, [on("b", "z"), on("b/default", "a/x")]);
        assert_eq!(parse_graph(&serde_json::json!({})).unwrap_err().code(), "task.unreadable");
    }

    #[test]
    fn this_workspace_lists_this_file() {
        let files = files(&root()).unwrap();
        assert!(files.iter().any(|path| path == "xtask/src/workspace.rs"));
        assert!(files.is_sorted());
    }
}

//! The crate graph: `core <- ordering`, `core <- storage`, `{core, ordering, storage} <- annals <- contracts <- node`.
//!
//! Ordering and storage never see each other, and the contracts see the facade alone, the node those two. What a crate may use is
//! exactly what it does use, so the picture in the documentation stays true in both directions. Benches, fuzz targets and
//! developer tasks are free: nothing depends on them.

use super::Finding;
use crate::workspace::{EdgeKind, Graph};

/// What each crate of the product sees of the others: all of it, for itself; nothing else, not even in its tests.
const LAYERS: [(&str, &[&str]); 6] = [
    ("annals-core", &[]),
    ("annals-ordering", &["annals-core"]),
    ("annals-storage", &["annals-core"]),
    ("annals", &["annals-core", "annals-ordering", "annals-storage"]),
    ("annals-contracts", &["annals"]),
    ("annals-node", &["annals", "annals-contracts"]),
];

/// Packages that see what they like, and that nobody else may see.
const FREE: [&str; 3] = ["annals-benches", "annals-xtask", "xtask"];

/// The feature of the facade that takes signatures as verified: nothing in the workspace turns it on, so no binary of it has it.
const BENCH_FEATURE: &str = "bench-unverified";

/// Compares the workspace's crate graph with the one that the design names.
pub fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |message: String| {
        findings.push(Finding { path: "Cargo.toml".to_owned(), line: 0, rule: "layers", message });
    };
    for package in &graph.packages {
        let known = LAYERS.iter().any(|(name, _)| name == package) || FREE.contains(&package.as_str());
        if !known {
            find(format!("{package} has no place in the crate graph: give it one in ARCHITECTURE.md and in this rule"));
        }
    }
    for (name, sees) in LAYERS {
        let edges = || graph.edges.iter().filter(move |edge| edge.from == name);
        for edge in edges().filter(|edge| !sees.contains(&edge.to.as_str())) {
            find(format!("{name} must not see {}", edge.to));
        }
        for used in sees {
            if !edges().any(|edge| edge.to == *used && edge.kind == EdgeKind::Normal) {
                find(format!("{name} does not use {used}: the documented crate graph is no longer true"));
            }
        }
    }
    for (who, _) in graph.features_on.iter().filter(|(_, feature)| feature.rsplit('/').next() == Some(BENCH_FEATURE)) {
        find(format!("{who} turns on {BENCH_FEATURE}, which takes records as verified: only benches/peers may"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Edge;

    fn designed() -> Graph {
        let mut graph = Graph::default();
        for (name, sees) in LAYERS {
            graph.packages.push(name.to_owned());
            for used in sees {
                graph.edges.push(edge(name, used, EdgeKind::Normal));
            }
        }
        graph.packages.push("annals-benches".to_owned());
        graph.edges.push(edge("annals-benches", "annals-storage", EdgeKind::Development));
        graph
    }

    fn edge(from: &str, to: &str, kind: EdgeKind) -> Edge {
        Edge { from: from.to_owned(), to: to.to_owned(), kind }
    }

    fn messages(graph: &Graph) -> Vec<String> {
        check(graph).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_designed_graph_is_clean() {
        assert_eq!(messages(&designed()), Vec::<String>::new());
    }

    #[test]
    fn forbidden_edges_are_found_also_among_test_dependencies() {
        let forbidden = [
            ("annals-ordering", "annals-storage"),
            ("annals-storage", "annals-ordering"),
            ("annals-core", "annals-storage"),
            ("annals-node", "annals-core"),
            ("annals", "annals-xtask"),
        ];
        for (from, to) in forbidden {
            for kind in [EdgeKind::Normal, EdgeKind::Development] {
                let mut graph = designed();
                graph.edges.push(edge(from, to, kind));
                assert_eq!(messages(&graph), [format!("{from} must not see {to}")]);
            }
        }
    }

    #[test]
    fn nobody_turns_on_the_feature_for_benches() {
        for (who, feature) in
            [("annals-node", "bench-unverified"), ("annals-benches/default", "annals/bench-unverified")]
        {
            let mut graph = designed();
            graph.features_on = vec![(who.to_owned(), feature.to_owned()), ("annals".to_owned(), "derive".to_owned())];
            let messages = messages(&graph);
            assert!(messages.len() == 1 && messages.iter().all(|text| text.starts_with(who)), "{messages:?}");
        }
    }

    #[test]
    fn a_missing_edge_and_an_unknown_crate_are_found() {
        let mut graph = designed();
        graph.edges.retain(|edge| edge.from != "annals-ordering");
        graph.packages.push("annals-extra".to_owned());
        let messages = messages(&graph);
        assert!(messages.iter().any(|text| text.starts_with("annals-extra has no place")), "{messages:?}");
        assert!(
            messages.iter().any(|text| text.starts_with("annals-ordering does not use annals-core")),
            "{messages:?}"
        );
        assert_eq!(messages.len(), 2);
    }
}

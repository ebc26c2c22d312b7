//! Who may import whom: DESIGN, section 3.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::finding::Finding;
use crate::source::{Source, declared_modules, is_test_path};
use crate::tree::Tree;

/// What each crate of ours may depend on. A new edge is an ADR.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("detect", &["model"]),
    ("policy", &["model", "detect"]),
    ("engine", &["model", "detect", "policy"]),
    ("store", &["model"]),
    ("seal", &["model"]),
    ("secrets", &["model", "seal"]),
    ("archive", &["model", "seal", "store"]),
    ("export", &["model"]),
    ("stream", &["model", "store"]),
    ("identity", &["model", "store"]),
    ("saml", &["model"]),
    ("notify", &["model", "store", "stream"]),
    ("runtime", &["model", "detect", "policy", "engine", "store", "identity", "secrets"]),
    ("admin", &["model", "policy", "store", "identity", "saml"]),
    ("sql", &["model"]),
];
/// What every protocol may depend on; `sql` is a pure library that protocols share.
const PROTOCOL_EDGES: &[&str] = &["model", "detect", "engine", "sql"];
/// The binary: it may depend on everything but the crates for development.
const BINARY: &str = "narrows";
/// Crates for development only.
const DEVELOPMENT: &[&str] = &["testkit", "fuzzing", "xtask", "bench", "e2e"];
/// Crates that take values and return values; protocols are, too.
const PURE: &[&str] = &["model", "detect", "policy", "engine", "export", "saml", "sql"];
/// Crates that do input and output, which no pure crate may reach.
const BANNED: &[&str] = &[
    "async-std",
    "attohttpc",
    "axum",
    "curl",
    "h2",
    "hyper",
    "hyper-util",
    "isahc",
    "libsqlite3-sys",
    "mio",
    "native-tls",
    "notify",
    "object_store",
    "openssl",
    "quinn",
    "redis",
    "reqwest",
    "rusqlite",
    "russh",
    "rustls-native-certs",
    "signal-hook",
    "smol",
    "socket2",
    "sqlx",
    "tokio",
    "tokio-postgres",
    "tokio-rustls",
    "tungstenite",
    "ureq",
];
/// Crates whose sources name no protocol.
const NEUTRAL: &[&str] = &["crates/engine/", "crates/policy/", "crates/admin/"];
/// Names that are protocols even before they have a folder.
const PROTOCOLS: &[&str] = &["http", "mcp", "postgres", "ssh"];
/// Paths of libraries in which a protocol's name is not ours.
const LIBRARY_PATHS: &[&str] = &["axum::http", "http::", "http://", "https://"];

/// A crate of ours, as far as the edges are concerned.
#[derive(Clone, Debug, Default)]
struct Member {
    manifest: String,
    /// Normal and build dependencies on crates of ours.
    uses: BTreeSet<String>,
    is_protocol: bool,
}

pub fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let metadata = MetadataCommand::new()
        .manifest_path(tree.root.join("Cargo.toml"))
        .exec()
        .context("read cargo metadata")?;
    let members = members(&metadata);
    let mut findings = check_edges(&members);
    findings.extend(check_purity(&members, &graph(&metadata)));
    findings.extend(check_names(&tree.rust()?, &protocol_names(&members)));
    Ok(findings)
}

fn members(metadata: &Metadata) -> BTreeMap<String, Member> {
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let root = metadata.workspace_root.as_str();
    let member = |package: &&cargo_metadata::Package| {
        let manifest = package.manifest_path.as_str();
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/');
        let uses = package
            .dependencies
            .iter()
            .filter(|dependency| {
                dependency.kind != DependencyKind::Development && dependency.path.is_some()
            })
            .map(|dependency| dependency.name.clone())
            .filter(|name| ours.contains(name.as_str()))
            .collect();
        let is_protocol = manifest.starts_with("protocols/") && package.name.as_str() != "sql";
        (package.name.to_string(), Member { manifest: manifest.to_owned(), uses, is_protocol })
    };
    packages.iter().map(member).collect()
}

/// Normal dependencies of every package, ours and others; ours have the prefix `@`, because a
/// library may have the name of one of ours.
fn graph(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let ours: BTreeSet<_> = metadata.workspace_members.iter().collect();
    let name = |id: &cargo_metadata::PackageId| {
        let package = metadata.packages.iter().find(|package| package.id == *id);
        let name = package.map_or_else(|| id.repr.clone(), |package| package.name.to_string());
        if ours.contains(id) { format!("@{name}") } else { name }
    };
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
        let uses = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal))
            .map(|dep| name(&dep.pkg));
        graph.entry(name(&node.id)).or_default().extend(uses);
    }
    graph
}

fn protocol_names(members: &BTreeMap<String, Member>) -> BTreeSet<String> {
    let folders = members.iter().filter(|(_, member)| member.is_protocol);
    let folders = folders.map(|(name, _)| name.clone());
    folders.chain(PROTOCOLS.iter().map(ToString::to_string)).collect()
}

fn check_edges(members: &BTreeMap<String, Member>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, member) in members {
        let development = DEVELOPMENT.contains(&name.as_str());
        let table = EDGES.iter().find(|(known, _)| known == name).map(|(_, may)| *may);
        let may = if member.is_protocol { Some(PROTOCOL_EDGES) } else { table };
        if may.is_none() && !development && name != BINARY {
            findings.push(Finding::error(
                &member.manifest,
                1,
                format!("crate `{name}` has no place in the layers"),
                "give it one in xtask/src/layers.rs and write an ADR, or make it a module",
            ));
            continue;
        }
        for used in &member.uses {
            let edge = format!("`{name}` depends on `{used}`");
            if DEVELOPMENT.contains(&used.as_str()) && !development {
                let remedy = "it is for development only: move it to [dev-dependencies]";
                findings.push(Finding::error(&member.manifest, 1, edge, remedy));
            } else if let Some(may) = may
                && !may.contains(&used.as_str())
            {
                let allowed =
                    if may.is_empty() { "nothing of ours".into() } else { may.join(", ") };
                let remedy = format!(
                    "it may use {allowed} (DESIGN, section 3): move the code, or pass values"
                );
                findings.push(Finding::error(&member.manifest, 1, edge, remedy));
            }
        }
    }
    findings
}

fn check_purity(
    members: &BTreeMap<String, Member>,
    graph: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<Finding> {
    let pure =
        members.iter().filter(|(name, member)| member.is_protocol || PURE.contains(&name.as_str()));
    pure.flat_map(|(name, member)| {
        ways_to_banned(graph, &format!("@{name}")).into_iter().map(|way| {
            let what = format!("pure crate reaches input and output: {}", way.join(" → "));
            let remedy = "drop the dependency, switch off the feature that pulls it in, or move \
                          the code to `runtime`";
            Finding::error(&member.manifest, 1, what, remedy)
        })
    })
    .collect()
}

/// The shortest way from a crate to each banned one it reaches.
fn ways_to_banned(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> Vec<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    let mut ways = Vec::new();
    while let Some(at) = queue.pop_front() {
        for next in graph.get(at).into_iter().flatten() {
            if next == from || came_from.contains_key(next.as_str()) {
                continue;
            }
            came_from.insert(next, at);
            if BANNED.contains(&next.as_str()) {
                ways.push(way(&came_from, next));
            } else {
                queue.push_back(next);
            }
        }
    }
    ways
}

fn way(came_from: &BTreeMap<&str, &str>, to: &str) -> Vec<String> {
    let mut way = vec![to.trim_start_matches('@').to_owned()];
    let mut at = to;
    while let Some(before) = came_from.get(at) {
        way.push(before.trim_start_matches('@').to_owned());
        at = before;
    }
    way.reverse();
    way
}

/// Looks for protocol names in the code of crates that know none.
fn check_names(files: &[(String, String)], names: &BTreeSet<String>) -> Vec<Finding> {
    let files: Vec<(&str, Source)> =
        files.iter().map(|(path, text)| (path.as_str(), Source::new(text))).collect();
    let tests = test_files(&files);
    let mut findings = Vec::new();
    for (path, source) in &files {
        let neutral = NEUTRAL.iter().any(|folder| path.starts_with(folder));
        if !neutral || is_test_path(path) || tests.contains(*path) {
            continue;
        }
        for (line, text) in source.code_lines() {
            let text =
                LIBRARY_PATHS.iter().fold(text.to_owned(), |text, path| text.replace(path, " "));
            // The admin API is itself served over HTTP; that says nothing of a protocol of ours.
            let own = path.starts_with("crates/admin/").then_some("http");
            let named = |word: &String| names.contains(word) && Some(word.as_str()) != own;
            for word in words(&text).filter(named) {
                findings.push(Finding::error(
                    *path,
                    line,
                    format!("the protocol name `{word}` in a crate that knows no protocol"),
                    "let the protocol declare it (facts, capabilities, words), or move the code",
                ));
            }
        }
    }
    findings
}

/// Files that only tests see: declared as `mod NAME;` under `#[cfg(test)]`.
fn test_files(files: &[(&str, Source)]) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (path, source) in files {
        let Some(stem) = path.strip_suffix(".rs") else { continue };
        let folder = match stem.rsplit_once('/') {
            Some((folder, "lib" | "main" | "mod")) => folder,
            _ => stem,
        };
        for (name, _) in declared_modules(source).into_iter().filter(|(_, test)| *test) {
            tests.insert(format!("{folder}/{name}.rs"));
            tests.insert(format!("{folder}/{name}/mod.rs"));
        }
    }
    tests
}

/// The words of a line, small: split at everything but letters and digits, and at capitals.
fn words(line: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::with_capacity(line.len() + 8);
    let mut small = false;
    for letter in line.chars() {
        if letter.is_ascii_uppercase() && small {
            spaced.push(' ');
        }
        small = letter.is_ascii_lowercase();
        spaced.push(letter.to_ascii_lowercase());
    }
    let words = spaced.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(manifest: &str, uses: &[&str]) -> Member {
        Member {
            manifest: manifest.to_owned(),
            uses: uses.iter().map(ToString::to_string).collect(),
            is_protocol: manifest.starts_with("protocols/") && !manifest.contains("/sql/"),
        }
    }

    fn edges(name: &str, manifest: &str, uses: &[&str]) -> Vec<String> {
        let members = BTreeMap::from([(name.to_owned(), member(manifest, uses))]);
        check_edges(&members).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_edges_of_the_design_are_allowed() {
        assert!(edges("engine", "crates/engine/Cargo.toml", &["model", "policy"]).is_empty());
        assert!(edges("redis", "protocols/redis/Cargo.toml", &["engine", "sql"]).is_empty());
        assert!(edges("narrows", "crates/narrows/Cargo.toml", &["redis", "store"]).is_empty());
        assert!(edges("bench", "bench/Cargo.toml", &["testkit", "runtime"]).is_empty());
    }

    #[test]
    fn every_other_edge_is_an_error_that_names_it() {
        for (name, manifest, used) in [
            ("model", "crates/model/Cargo.toml", "detect"),
            ("store", "crates/store/Cargo.toml", "policy"),
            ("admin", "crates/admin/Cargo.toml", "runtime"),
            ("redis", "protocols/redis/Cargo.toml", "postgres"),
            ("redis", "protocols/redis/Cargo.toml", "policy"),
            ("sql", "protocols/sql/Cargo.toml", "postgres"),
            ("engine", "crates/engine/Cargo.toml", "testkit"),
            ("narrows", "crates/narrows/Cargo.toml", "testkit"),
        ] {
            let found = edges(name, manifest, &[used]);
            assert_eq!(found.len(), 1, "{name} → {used}: {found:?}");
            assert!(found[0].contains(&format!("`{name}` depends on `{used}`")), "{found:?}");
            assert!(found[0].starts_with(&format!("{manifest}:1: error: ")), "{found:?}");
        }
        assert!(edges("utils", "crates/utils/Cargo.toml", &[])[0].contains("no place"));
    }

    #[test]
    fn a_pure_crate_that_reaches_a_socket_is_found_with_the_way_there() {
        let members = BTreeMap::from([
            ("policy".to_owned(), member("crates/policy/Cargo.toml", &[])),
            ("runtime".to_owned(), member("crates/runtime/Cargo.toml", &[])),
        ]);
        let uses = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let graph = BTreeMap::from([
            ("@policy".to_owned(), uses(&["cel", "serde"])),
            ("@runtime".to_owned(), uses(&["tokio"])),
            ("cel".to_owned(), uses(&["serde", "fetch"])),
            ("fetch".to_owned(), uses(&["ureq", "cel"])),
        ]);
        let found = check_purity(&members, &graph);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.ends_with("policy → cel → fetch → ureq"), "{found:?}");
    }

    #[test]
    fn our_crate_is_not_taken_for_the_library_of_the_same_name() {
        let graph = BTreeMap::from([(
            "@postgres".to_owned(),
            BTreeSet::from(["postgres-protocol".to_owned()]),
        )]);
        assert!(ways_to_banned(&graph, "@postgres").is_empty());
    }

    #[test]
    fn protocol_names_are_found_in_code_and_strings_but_not_in_comments_tests_or_libraries() {
        let names = BTreeSet::from(["postgres".to_owned(), "http".to_owned()]);
        let found = |path: &str, text: &str| {
            check_names(&[(path.to_owned(), text.to_owned())], &names).len()
        };
        let engine = "crates/engine/src/lib.rs";
        assert_eq!(found(engine, "fn postgres_port() {}"), 1);
        assert_eq!(found(engine, "struct PostgresPort;"), 1);
        assert_eq!(found(engine, "let a = \"type:postgres\";"), 1);
        assert_eq!(found(engine, "// postgres\nfn a() {}"), 0);
        assert_eq!(found(engine, "#[cfg(test)]\nmod tests { const A: &str = \"http\"; }"), 0);
        assert_eq!(found(engine, "use axum::http::StatusCode; // \"http://x\""), 0);
        assert_eq!(found("crates/engine/src/a/tests.rs", "let a = \"http\";"), 0);
        assert_eq!(found("crates/runtime/src/lib.rs", "fn http() {}"), 0);
        assert_eq!(found(engine, "let postgresql_like = 1;"), 0);
    }
}

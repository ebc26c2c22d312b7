//! The bill of materials of `narrows`, in CycloneDX: what is linked into it or runs while it is
//! built, with licences, checksums and who asks for whom.
//!
//! The same sources give the same bytes: it holds no time, no random number and no path.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Node, Package, PackageId};
use serde_json::{Value, json};

use crate::tree::Tree;

/// The program whose parts are listed.
const ROOT: &str = "narrows";
const PATH: &str = "target/sbom/narrows.cdx.json";

/// Checksums of registry packages, by name and version.
type Checksums = BTreeMap<(String, String), String>;

/// Writes the list for one target triple.
pub fn write(tree: &Tree, target: &str) -> Result<()> {
    let mut command = MetadataCommand::new();
    command.manifest_path(tree.root.join("Cargo.toml"));
    command.other_options(["--locked", "--filter-platform", target].map(str::to_owned));
    let metadata = command.exec().context("run cargo metadata")?;
    let lock = tree.text("Cargo.lock")?.context("Cargo.lock is not text")?;
    let list = list(&metadata, &checksums(&lock), target)?;
    let path = tree.root.join(PATH);
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    let text = serde_json::to_string_pretty(&list)? + "\n";
    std::fs::write(&path, text).with_context(|| format!("write {PATH}"))?;
    let parts = list.get("components").and_then(Value::as_array).map_or(0, Vec::len);
    println!("{PATH}: {parts} components of {ROOT} for {target}");
    Ok(())
}

fn list(metadata: &Metadata, checksums: &Checksums, target: &str) -> Result<Value> {
    let packages: BTreeMap<_, _> = metadata.packages.iter().map(|of| (&of.id, of)).collect();
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let root = metadata.packages.iter().find(|of| of.name.as_str() == ROOT);
    let root = root.with_context(|| format!("there is no package {ROOT}"))?;

    let mut seen = BTreeSet::from([&root.id]);
    let mut left = VecDeque::from([&root.id]);
    // By what they are called, so that they come in order.
    let mut dependencies = BTreeMap::new();
    let mut components = BTreeMap::new();
    while let Some(id) = left.pop_front() {
        let package = packages.get(id).with_context(|| format!("no package {id}"))?;
        let node = nodes.get(id).with_context(|| format!("no node {id}"))?;
        let shipped = shipped(node);
        left.extend(shipped.iter().filter(|id| seen.insert(*id)));
        let mut needs = BTreeSet::new();
        for id in shipped {
            needs.insert(reference(packages.get(id).with_context(|| format!("no package {id}"))?));
        }
        let name = reference(package);
        dependencies.insert(name.clone(), json!({ "ref": name, "dependsOn": needs }));
        if package.id != root.id {
            components.insert(name, component(package, "library", checksums)?);
        }
    }
    let whole = component(root, "application", checksums)?;
    let components: Vec<_> = components.into_values().collect();
    let dependencies: Vec<_> = dependencies.into_values().collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": whole,
            "properties": [{ "name": "narrows:target", "value": target }],
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// What a package needs to be built or to run, without what only its tests need.
fn shipped(node: &Node) -> BTreeSet<&PackageId> {
    let needed = node.deps.iter().filter(|dependency| {
        dependency.dep_kinds.iter().any(|of| of.kind != DependencyKind::Development)
    });
    needed.map(|dependency| &dependency.pkg).collect()
}

/// Where a package comes from and what it is called there, as a package URL.
fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

fn component(package: &Package, kind: &str, checksums: &Checksums) -> Result<Value> {
    let (name, version) = (package.name.to_string(), package.version.to_string());
    let mut component = serde_json::Map::new();
    let mut add = |key: &str, value: Value| component.insert(key.to_owned(), value);
    add("type", kind.into());
    add("bom-ref", reference(package).into());
    add("name", name.clone().into());
    add("version", version.clone().into());
    if let Some(licence) = &package.license {
        // Some still write the slash that cargo took for OR.
        let names: Vec<_> = licence.split('/').map(str::trim).collect();
        add("licenses", json!([{ "expression": names.join(" OR ") }]));
    }
    if package.source.is_some() {
        let checksum = checksums.get(&(name.clone(), version));
        let Some(checksum) = checksum else { bail!("Cargo.lock has no checksum of {name}") };
        add("purl", reference(package).into());
        add("hashes", json!([{ "alg": "SHA-256", "content": checksum }]));
    }
    Ok(component.into())
}

/// Reads the `[[package]]` tables of a lock file.
fn checksums(lock: &str) -> Checksums {
    let tables = lock.split("[[package]]").skip(1);
    let value = |table: &str, key: &str| {
        let prefix = format!("{key} = \"");
        let mut lines = table.lines();
        lines.find_map(|line| Some(line.strip_prefix(&*prefix)?.trim_end_matches('"').to_owned()))
    };
    tables
        .filter_map(|table| {
            let name = (value(table, "name")?, value(table, "version")?);
            Some((name, value(table, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\n\
                    [[package]]\nname = \"theirs\"\nversion = \"1.2.3\"\n\
                    source = \"registry\"\nchecksum = \"abc\"\ndependencies = [\n \"ours\",\n]\n";
        let name = ("theirs".to_owned(), "1.2.3".to_owned());
        assert_eq!(checksums(lock), BTreeMap::from([(name, "abc".to_owned())]));
    }

    #[test]
    fn the_list_holds_what_is_shipped_and_nothing_else() -> Result<()> {
        let tree = Tree::open()?;
        let mut command = MetadataCommand::new();
        command.manifest_path(tree.root.join("Cargo.toml"));
        let metadata = command.exec()?;
        let lock = tree.text("Cargo.lock")?.context("text")?;
        let list = list(&metadata, &checksums(&lock), "any")?;
        let components = list["components"].as_array().context("components")?;
        let names: BTreeSet<_> = components.iter().filter_map(|of| of["name"].as_str()).collect();
        for shipped in ["engine", "rustls", "aws-lc-sys", "pg_query"] {
            assert!(names.contains(shipped), "{shipped} is missing");
        }
        for other in ["narrows", "testkit", "xtask", "proptest", "insta"] {
            assert!(!names.contains(other), "{other} is not shipped");
        }
        // Every dependency that is named is listed.
        let listed: BTreeSet<_> =
            components.iter().filter_map(|of| of["bom-ref"].as_str()).collect();
        for entry in list["dependencies"].as_array().context("dependencies")? {
            for need in entry["dependsOn"].as_array().context("needs")? {
                let need = need.as_str().context("a name")?;
                assert!(listed.contains(need), "{need} is needed and not listed");
            }
        }
        Ok(())
    }
}

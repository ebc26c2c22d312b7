//! The configuration file: strict, with every problem of one run reported together.
//!
//! The text becomes a [`tree`] whose nodes know where they stand, the tree a text form ([`text`])
//! and that the [`working`] form, which `policy` then compiles. Each step reports into one
//! [`Report`](read::Report), so nobody mends a file one mistake at a time.

pub mod access;
mod address;
pub mod certificates;
pub mod digest;
pub mod identity;
pub mod keeping;
pub mod machine;
pub mod nearest;
pub mod outgoing;
pub mod people;
mod place;
pub mod read;
pub mod recording;
pub mod saml;
pub mod sample;
pub mod scalar;
pub mod show;
pub mod state;
pub mod stores;
pub mod telling;
pub mod text;
pub mod tree;
pub mod web;
pub mod working;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{ActionSpec, Location, PolicySet, PolicySpec, Problem};

use machine::{Machine, This};
use read::{Form as _, Report};
pub use working::Config;

use crate::protocols::Rulebook;

/// A configuration that can be used, with its rules compiled.
pub struct Loaded {
    /// The working form.
    pub config: Config,
    /// Its rules, ready to decide.
    pub policy: PolicySet,
    /// What should be known about it.
    pub warnings: Vec<Problem>,
}

/// A configuration that cannot be used.
#[derive(Debug)]
pub struct Unusable {
    /// Everything wrong with it, in the order of the file.
    pub problems: Vec<Problem>,
    /// What else should be known about it.
    pub warnings: Vec<Problem>,
}

/// Reads, checks and compiles the file at `path`. `version` tells apart the policies of one
/// process.
///
/// # Errors
/// Everything wrong with it.
pub fn load(path: &Path, rulebook: &Rulebook, version: u64) -> Result<Loaded, Unusable> {
    load_on(&This, path, rulebook, version)
}

/// As [`load`], on any machine.
///
/// # Errors
/// Everything wrong with it.
pub fn load_on(
    machine: &dyn Machine,
    path: &Path,
    rulebook: &Rulebook,
    version: u64,
) -> Result<Loaded, Unusable> {
    load_with(machine, path, None, rulebook, version)
}

/// As [`load`], with the rules of `rules`, a folder or a file, in place of the file's own; or
/// `rules` itself, when it is a whole configuration.
///
/// # Errors
/// Everything wrong with it.
pub fn load_new(path: &Path, rules: &Path, rulebook: &Rulebook) -> Result<Loaded, Unusable> {
    match is_whole(rules) {
        true => load(rules, rulebook, 1),
        false => load_with(&This, path, Some(rules), rulebook, 1),
    }
}

/// Whether a file is a configuration, as opposed to a list of rules. One that cannot be read is:
/// its problems are then told.
#[must_use]
pub fn is_whole(file: &Path) -> bool {
    let mut report = Report::default();
    let name: Arc<str> = "".into();
    let is_list = |root: tree::Node| matches!(root.value, tree::Value::List(_));
    !file.is_dir() && !read_tree(&This, file, &name, &mut report).is_some_and(is_list)
}

fn load_with(
    machine: &dyn Machine,
    path: &Path,
    rules: Option<&Path>,
    rulebook: &Rulebook,
    version: u64,
) -> Result<Loaded, Unusable> {
    let mut report = Report::default();
    let mut policy = None;
    let config = read_config(machine, path, rules, &mut report).map(|mut config| {
        config.policy.version = version;
        match rulebook.compile(config.policy.clone()) {
            Ok(compiled) => {
                warn_of_classes(&config.policy, &compiled, &mut report);
                access::warn_of_ended(&compiled, &mut report);
                policy = Some(compiled);
            }
            Err(problems) => report.problems.extend(problems),
        }
        config
    });
    report.settle();
    report.problems.sort_by(|a, b| a.at.cmp(&b.at));
    report.problems.dedup();
    report.warnings.sort_by(|a, b| a.at.cmp(&b.at));
    match (config, policy) {
        (Some(config), Some(policy)) if report.problems.is_empty() => {
            Ok(Loaded { config, policy, warnings: report.warnings })
        }
        _ => Err(Unusable { problems: report.problems, warnings: report.warnings }),
    }
}

/// What is classified is followed only while a rule asks where it goes.
fn warn_of_classes(spec: &PolicySpec, compiled: &PolicySet, report: &mut Report) {
    if compiled.follows() {
        return;
    }
    for rule in &spec.rules {
        if matches!(rule.action, ActionSpec::Classify(_)) {
            let name = &rule.name.value;
            let message = format!("rule \"{name}\" has no effect: no rule asks where values go");
            report.warn(&rule.at, message, "add one that reads http.carries");
        }
    }
}

/// Where a client command finds the gateway: of no use for anything else, so that a mistake in a
/// rule does not keep anyone from `narrows kill`. `None` when even that cannot be read.
pub fn whereabouts(path: &Path) -> Option<Config> {
    read_config(&This, path, None, &mut Report::default())
}

fn read_config(
    machine: &dyn Machine,
    path: &Path,
    instead: Option<&Path>,
    report: &mut Report,
) -> Option<Config> {
    let name: Arc<str> = path.display().to_string().into();
    let root = read_tree(machine, path, &name, report)?;
    let file = text::File::read(&root, "", report)?;
    let mut file = file;
    let rules = match (instead, file.rules.take()) {
        (Some(new), _) if new.is_dir() => read_rules(machine, new, &file.here.at, report),
        (Some(new), _) => read_rule_file(machine, new, report),
        (None, None) => Vec::new(),
        (None, Some(text::Rules::Inline(rules))) => rules,
        (None, Some(text::Rules::Folder(folder))) => {
            let base = path.parent().unwrap_or(Path::new(""));
            read_rules(machine, &base.join(&folder.value), &folder.at, report)
        }
    };
    Some(working::complete(file, rules, path, machine, report))
}

fn read_tree(
    machine: &dyn Machine,
    path: &Path,
    name: &Arc<str>,
    report: &mut Report,
) -> Option<tree::Node> {
    let start = Location { file: Arc::clone(name), line: 1, column: 1 };
    let limit = tree::FILE_BYTES_MAX;
    let bytes = match machine.read(path, limit + 1) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.problem(&start, format!("cannot read the file: {error}"), "");
            return None;
        }
    };
    if bytes.len() as u64 > limit {
        let message = format!("the file has more than {limit} bytes");
        report.problem(&start, message, "put rules into a folder: rules: ./rules");
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            let root = tree::parse(name, &text, &mut report.problems);
            report.texts.push((Arc::clone(name), text));
            match root {
                // Something else's file, such as that of a token: nothing of it is repeated.
                Some(tree::Node { value: tree::Value::Text(_), .. }) => {
                    let message = "found one text, not keys and values";
                    report.problem(&start, message, "name a configuration, or rules");
                    None
                }
                root => root,
            }
        }
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let message = format!("the file is not UTF-8 text, from byte {valid} on");
            report.problem(&start, message, "save it as UTF-8");
            None
        }
    }
}

/// Reads every `.yaml` file of a folder, in the order of their names.
fn read_rules(
    machine: &dyn Machine,
    folder: &Path,
    at: &Location,
    report: &mut Report,
) -> Vec<text::Rule> {
    let mut files: Vec<PathBuf> = match machine.list(folder) {
        Ok(files) => files,
        Err(error) => {
            let message = format!("rules: cannot read the folder {}: {error}", folder.display());
            report.problem(at, message, "name a folder, or write the rules here");
            return Vec::new();
        }
    };
    files.retain(|file| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml")) && !is_hidden(file)
    });
    files.sort();
    if files.is_empty() {
        let message = format!("rules: {} holds no .yaml file", folder.display());
        report.warn(at, message, "no rule applies");
    }
    files.iter().flat_map(|file| read_rule_file(machine, file, report)).collect()
}

fn read_rule_file(machine: &dyn Machine, file: &Path, report: &mut Report) -> Vec<text::Rule> {
    let name: Arc<str> = file.display().to_string().into();
    let root = read_tree(machine, file, &name, report);
    root.and_then(|root| Vec::read(&root, "rules", report)).unwrap_or_default()
}

fn is_hidden(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

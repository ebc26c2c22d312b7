//! `narrows check`, `narrows schema`.

use std::path::Path;

use policy::Problem;
use serde_json::json;

use super::SaidNo;
use crate::args::Common;
use crate::client::config_path;
use crate::config::{self, sample::SAMPLE};
use crate::output;
use crate::protocols::Rulebook;

/// Prints every problem of the configuration; fails if there is one.
pub fn check(common: &Common, show: bool, sample: bool) -> anyhow::Result<()> {
    if sample {
        return output::print(SAMPLE);
    }
    let path = config_path(common);
    must_exist(&path)?;
    let rulebook = Rulebook::new();
    let (problems, warnings, loaded) = match config::load(&path, &rulebook, 1) {
        Ok(loaded) => (Vec::new(), loaded.warnings, Some(loaded.config)),
        Err(unusable) => (unusable.problems, unusable.warnings, None),
    };
    if common.json {
        let views = |list: &[Problem]| list.iter().map(view).collect::<Vec<_>>();
        output::json(&json!({
            "ok": problems.is_empty(),
            "problems": views(&problems),
            "warnings": views(&warnings),
        }))?;
    } else {
        say(&problems, &warnings);
    }
    let Some(config) = loaded else { return Err(SaidNo.into()) };
    if show {
        output::print(&config::show::show(&config))?;
    } else if !common.json {
        let rules = config.policy.rules.len();
        let resources = config.upstreams.len() + config.sites.len();
        output::line(&format!(
            "{} is right: {}, {}",
            path.display(),
            output::counted(rules as u64, "rule"),
            output::counted(resources as u64, "resource")
        ))?;
    }
    Ok(())
}

/// Prints problems and warnings on standard error.
pub fn say(problems: &[Problem], warnings: &[Problem]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    for problem in problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        eprintln!("{}", output::counted(problems.len() as u64, "problem"));
    }
}

/// Says what to write when there is no configuration yet.
pub fn must_exist(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    eprintln!("narrows: there is no configuration file {}", path.display());
    eprintln!("  write one to begin with:  narrows check --sample > {}", path.display());
    eprintln!("  or name another:          -c FILE, or NARROWS_CONFIG=FILE");
    eprintln!("\nThe least it needs:\n");
    for line in SAMPLE.lines().filter(|line| !line.starts_with('#')).take(17) {
        eprintln!("    {line}");
    }
    Err(SaidNo.into())
}

/// A problem as the API and `--json` give it.
pub fn view(problem: &Problem) -> admin::ProblemView {
    admin::ProblemView {
        file: problem.at.file.to_string(),
        line: problem.at.line,
        column: problem.at.column,
        message: problem.message.clone(),
        help: problem.help.clone(),
    }
}

/// Prints the JSON Schema of the configuration file.
pub fn schema() -> anyhow::Result<()> {
    output::print(&config::text::schema())
}

//! The differential fuzzer in short, so that it stays alive: `scripts/fuzz.sh SECONDS differ` runs it
//! for long.

use anyhow::{Result, ensure};
use e2e::differ::{Ending, Options, case, fuzz};

/// Cases of the short run.
const CASES: u64 = 300;

fn options(masked: bool) -> Options {
    Options { seed: 1, ending: Ending::Cases(CASES), workers: 1, masked, keep: false }
}

#[test]
fn p3_p9_generated_statements_tell_nothing_and_pass_unchanged() -> Result<()> {
    let report = fuzz(options(true))?;
    println!("{report}");
    ensure!(report.findings.is_empty(), "{}", report.findings.join("\n"));
    // Much fewer, and it would prove little.
    let tally = &report.tally;
    ensure!(tally.cases >= CASES * 9 / 10, "only {} cases were judged", tally.cases);
    ensure!(tally.failed * 2 < tally.cases, "{} cases fail directly", tally.failed);
    let allowed = tally.touched - tally.touched_refused;
    ensure!(allowed * 8 > tally.cases, "only {allowed} cases show a masked column");
    Ok(())
}

#[test]
fn without_masks_the_fuzzer_finds_what_they_hide() -> Result<()> {
    let report = fuzz(options(false))?;
    for promise in ["Hidden", "Independent"] {
        let found = report.findings.iter().any(|finding| finding.contains(promise));
        ensure!(found, "nothing broke {promise}:\n{}", report.findings.join("\n"));
    }
    Ok(())
}

#[test]
fn a_seed_gives_one_case() {
    for seed in 0..500 {
        assert_eq!(case(seed), case(seed));
    }
    let texts: std::collections::BTreeSet<String> =
        (0..500).flat_map(|seed| case(seed).0.steps).map(|step| step.sql).collect();
    assert!(texts.len() > 450, "only {} statements", texts.len());
    let all: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = all.join("\n");
    for word in ["JOIN", "LATERAL", "OVER (", "UNION", "RETURNING", "COPY", "MERGE", "WITHIN GROUP"]
    {
        assert!(all.contains(word), "no {word} in 500 cases");
    }
}

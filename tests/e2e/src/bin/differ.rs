//! `differ [SECONDS] [SEED]` runs the differential fuzzer; `differ again SEED` runs one case and
//! tells what each connection received; `differ ask STATEMENT…` does the same for statements of your
//! own; `differ show SEED COUNT` prints statements. Findings end it with 1 and are kept in
//! `target/differ/findings`. The gateway is found as the tests find it.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use e2e::differ::{Ending, Options, again, ask, case, fuzz};

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).map(|word| word.parse::<u64>().context("a number"));
    match words.first().map(String::as_str) {
        Some("again") => {
            println!("{}", again(number(1).context("again SEED")??)?);
            return Ok(ExitCode::SUCCESS);
        }
        Some("ask") => {
            println!("{}", ask(words.get(1..).unwrap_or_default())?);
            return Ok(ExitCode::SUCCESS);
        }
        Some("show") => {
            let first = number(1).context("show SEED COUNT")??;
            for seed in first..first + number(2).transpose()?.unwrap_or(1) {
                for step in case(seed).0.steps {
                    println!("{}", step.sql);
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let seconds = number(0).transpose()?.unwrap_or(60);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seed = number(1).transpose()?.unwrap_or(clock << 24);
    let ending = Ending::After(Duration::from_secs(seconds));
    println!("differ: from seed {seed} for {seconds} s");
    let report = fuzz(Options { seed, ending, workers: 2, masked: true, keep: true })?;
    println!("{report}");
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

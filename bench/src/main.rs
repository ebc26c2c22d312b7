//! Measures what a gateway costs, and writes PERFORMANCE.md.
//!
//! `bench run [--quick] [--rounds N] [--seconds N] [--out FILE]` starts a private PostgreSQL, a
//! bare byte-copy proxy, pgbouncer, HAProxy and narrows, measures them in turns and writes the
//! page. `bench copy --listen A --to B` is that byte-copy proxy: the least that any proxy in user
//! space can cost. `bench facts` measures what knowing a statement costs, alone, `bench bodies`
//! what reading a body costs, alone, `bench parts` a decision, a search and the journal, alone,
//! `bench http` an API behind each proxy, `bench archive` what the archive costs and answers,
//! `bench recording` what being recorded costs those who are served. `bench release` how soon a
//! client goes on after a person's yes. `bench hold` starts what `bench run` measures and keeps it,
//! for a profiler. `bench crowd` measures ten thousand idle sessions, alone. `bench recrypt` is a
//! proxy that opens TLS and copies.

mod bodies;
mod client;
mod compare;
mod copy;
mod evidence;
mod facts;
mod http;
mod measure;
mod parts;
mod pgbench;
mod places;
mod process;
mod release;
mod report;
mod run;
mod sched;
mod stats;
mod tls;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// As the gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: bench copy --listen ADDRESS --to ADDRESS
       bench recrypt --listen ADDRESS --to ADDRESS --folder FOLDER
       bench run [--quick] [--rounds N] [--seconds N] [--out FILE]
       bench compare NARROWS [--quick] [--rounds N] [--seconds N]
       bench hold
       bench crowd
       bench http [--quick]
       bench facts
       bench bodies
       bench parts
       bench archive [--quick]
       bench release [--quick]
       bench recording [--quick] [--rounds N] [--seconds N]";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["copy", "--listen", listen, "--to", to] => copy::serve(listen, to),
        ["run", options @ ..] => run::run(&plan(options)?).context("the run failed"),
        ["compare", other, options @ ..] => {
            print!("{}", compare::measure(other, &plan(options)?)?);
            Ok(())
        }
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        ["crowd"] => run::crowd(&plan(&[])?),
        ["hold"] => run::hold(plan(&[])?.rows),
        ["recrypt", "--listen", listen, "--to", to, "--folder", folder] => {
            tls::recrypt(listen, to, folder)
        }
        ["http", options @ ..] => {
            let plan = plan(options)?;
            print!("{}", http::measure(plan.rounds, plan.seconds)?.0);
            print!("{}", tls::measure(plan.rounds, plan.seconds)?.0);
            Ok(())
        }
        ["facts"] => {
            print!("{}", report::facts(&facts::measure(5)?)?);
            Ok(())
        }
        ["bodies"] => {
            print!("{}", bodies::section(&bodies::measure(5)?)?);
            Ok(())
        }
        ["release", options @ ..] => {
            print!("{}", release::measure(plan(options)?.rounds)?);
            Ok(())
        }
        ["recording", options @ ..] => {
            print!("{}", run::recording(&plan(options)?)?);
            Ok(())
        }
        ["parts"] => {
            print!("{}", parts::section(&parts::measure(5)?)?);
            Ok(())
        }
        ["archive"] => {
            print!("{}", evidence::section(&evidence::measure(ARCHIVED)?)?);
            Ok(())
        }
        ["archive", "--quick"] => {
            print!("{}", evidence::section(&evidence::measure(ARCHIVED / 10)?)?);
            Ok(())
        }
        _ => bail!(USAGE),
    }
}

/// Operations in the archive that is asked: ten million events.
const ARCHIVED: u64 = 5_000_000;

/// How much to measure.
struct Plan {
    /// Turns that every candidate gets.
    rounds: usize,
    /// Length of one measurement, seconds.
    seconds: u32,
    /// Rows of the large result.
    rows: u64,
    /// Idle connections whose memory is weighed.
    idle: usize,
    /// Operations in the archive that is asked.
    archived: u64,
    /// Where the page goes.
    out: PathBuf,
}

fn plan(options: &[&str]) -> Result<Plan> {
    let mut plan = Plan {
        rounds: 5,
        seconds: 6,
        rows: 1_000_000,
        idle: 500,
        archived: ARCHIVED,
        out: PathBuf::from("PERFORMANCE.md"),
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--quick" => {
                (plan.rounds, plan.seconds) = (2, 2);
                plan.archived = ARCHIVED / 10;
            }
            "--seconds" => {
                let seconds = options.next().context("--seconds needs a number")?;
                plan.seconds = seconds.parse().context("--seconds needs a number")?;
            }
            "--rounds" => {
                let rounds = options.next().context("--rounds needs a number")?;
                plan.rounds = rounds.parse().context("--rounds needs a number")?;
            }
            "--out" => plan.out = options.next().context("--out needs a file")?.into(),
            _ => bail!("unknown option {option:?}\n{USAGE}"),
        }
    }
    Ok(plan)
}

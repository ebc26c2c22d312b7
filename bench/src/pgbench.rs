//! Running pgbench and reading what it logs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::places::{Place, Site};
use crate::process::{Account, Processors, command, output};
use crate::stats::percentile;

/// What one run of pgbench found.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Half of the transactions took at most this, microseconds.
    pub p50: f64,
    /// 99 of 100 took at most this, microseconds.
    pub p99: f64,
    /// Transactions per second.
    pub tps: f64,
    /// Transactions.
    pub transactions: f64,
}

/// What pgbench is asked to do, besides selecting one row per transaction.
pub struct Load<'a> {
    pub clients: u32,
    pub seconds: u32,
    /// `simple`, `extended`, `prepared`.
    pub mode: &'a str,
    /// A new connection for every transaction.
    pub reconnect: bool,
    /// Transactions per second that are begun, whatever came of those before; `None`: as many as
    /// can be. The time of a transaction counts from when it should have begun.
    pub rate: Option<u32>,
    pub processors: Processors,
    /// Instead of selecting one row: this script.
    pub script: Option<&'a Path>,
}

impl Load<'static> {
    /// Simple queries on connections that stay, as fast as they come.
    pub fn of(clients: u32, seconds: u32, processors: Processors) -> Self {
        let (mode, reconnect, rate, script) = ("simple", false, None, None);
        Self { clients, seconds, mode, reconnect, rate, processors, script }
    }
}

pub fn run(site: &Site, place: &Place, load: &Load<'_>) -> Result<Run> {
    let prefix = site.folder().join("latency");
    let mut pgbench = command(&site.program("pgbench"), load.processors, Account::Own)?;
    pgbench.args(["-n", "-M", load.mode, "-h", "127.0.0.1", "-U", place.user]);
    match load.script {
        Some(script) => pgbench.arg("-f").arg(script),
        None => pgbench.arg("-S"),
    };
    pgbench.args(["-p", &place.port.to_string()]);
    pgbench.args(["-c", &load.clients.to_string(), "-j", &load.clients.min(2).to_string()]);
    pgbench.args(["-T", &load.seconds.to_string()]);
    pgbench.args(["--log", "--log-prefix", &prefix.display().to_string()]);
    if let Some(rate) = load.rate {
        pgbench.args(["--rate", &rate.to_string()]);
    }
    if load.reconnect {
        pgbench.arg("-C");
    }
    pgbench.arg(place.database).env("PGPASSWORD", &place.password).env("PGSSLMODE", "disable");
    output(pgbench, &format!("pgbench against {}", place.name))?;
    let mut latencies = take_latencies(site.folder())?;
    latencies.sort_by(f64::total_cmp);
    let transactions = latencies.len() as f64;
    Ok(Run {
        p50: percentile(&latencies, 0.50).context("pgbench logged nothing")?,
        p99: percentile(&latencies, 0.99).context("pgbench logged nothing")?,
        tps: transactions / f64::from(load.seconds),
        transactions,
    })
}

/// The third field of each line is the transaction's time in microseconds.
fn take_latencies(folder: &Path) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("latency.") {
            continue;
        }
        let text = fs::read_to_string(entry.path())?;
        let fields = text.lines().filter_map(|line| line.split_whitespace().nth(2));
        latencies.extend(fields.filter_map(|field| field.parse::<f64>().ok()));
        fs::remove_file(entry.path())?;
    }
    Ok(latencies)
}

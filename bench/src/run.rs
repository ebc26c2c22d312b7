//! One whole run.

use anyhow::{Context, Result};

use crate::Plan;
use crate::bodies;
use crate::evidence;
use crate::facts;
use crate::http;
use crate::measure::{self, Results};
use crate::parts;
use crate::places::{Place, Site, gateway_program};
use crate::process::Processors;
use crate::release;
use crate::report;
use crate::tls;

pub fn run(plan: &Plan) -> Result<()> {
    gateway_program()?;
    eprintln!("building a private PostgreSQL with {} rows", plan.rows);
    let site = Site::build(plan.rows)?;
    let mut results = Results::default();
    {
        let places = site.start(Processors::One)?;
        measure::latency(&site, &places, plan, &mut results)?;
    }
    {
        let places = site.start(Processors::All)?;
        measure::throughput(&site, &places, plan, &mut results)?;
        measure::bulk(&places, plan, &mut results)?;
    }
    {
        // Fresh processes: what earlier loads left in memory does not count.
        let places = site.start(Processors::All)?;
        measure::idle(&places, plan, &mut results)?;
    }
    results.crowd = Some(measure::crowd(&site, plan)?);
    measure::recording(&site, plan, &mut results)?;
    measure::troubled(&site, plan, &mut results)?;
    let costs = facts::measure(plan.rounds)?;
    let (mut web, mut aims) = http::measure(plan.rounds, plan.seconds)?;
    let (opened, more) = tls::measure(plan.rounds, plan.seconds)?;
    web.push_str(&opened);
    aims.extend(more);
    let parts = parts::measure(plan.rounds)?;
    web.push_str(&parts::section(&parts)?);
    web.push_str(&bodies::section(&bodies::measure(plan.rounds)?)?);
    web.push_str(&release::measure(plan.rounds)?);
    web.push_str(&evidence::section(&evidence::measure(plan.archived)?)?);
    let page = report::page(&site, plan, &results, (&costs, &parts, &aims), &web)?;
    std::fs::write(&plan.out, page).with_context(|| format!("write {}", plan.out.display()))?;
    eprintln!("wrote {}", plan.out.display());
    Ok(())
}

/// What sessions cost that do nothing, alone.
pub fn crowd(plan: &Plan) -> Result<()> {
    gateway_program()?;
    measure::crowd(&Site::build(plan.rows)?, plan).map(|_| ())
}

/// Starts what a run measures and keeps it until the input ends, for a profiler or another client:
/// says how each place is reached, and by which process.
pub fn hold(rows: u64) -> Result<()> {
    gateway_program()?;
    let site = Site::build(rows)?;
    let places = site.start(Processors::All)?;
    for place in &places.places {
        let process = places.proxies.iter().find(|process| process.name == place.name);
        let pid =
            process.map_or_else(String::new, |process| format!(" # process {}", process.id()));
        let Place { name, port, user, password, database } = place;
        println!(
            "{name}: PGPASSWORD='{password}' PGSSLMODE=disable pgbench -n -S -h 127.0.0.1 \
             -p {port} -U {user} {database}{pid}"
        );
    }
    println!("until this input ends");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).context("wait for the end")?;
    Ok(())
}

/// What recording costs, alone.
pub fn recording(plan: &Plan) -> Result<String> {
    gateway_program()?;
    let site = Site::build(plan.rows)?;
    let mut results = Results::default();
    measure::recording(&site, plan, &mut results)?;
    report::recording(&results)
}

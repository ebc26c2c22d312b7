//! What is measured, and of whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Plan;
use crate::client::Client;
use crate::pgbench::{self, Load};
use crate::places::{
    BOUNCER, BYTE_COPY, DIRECT, GATEWAY, GATEWAY_RESULT_RULE, GATEWAY_TYPES, HOLDING_GATEWAY,
    JOURNALLED_GATEWAY, PROXY, Place, Places, Site,
};
use crate::process::{Process, Processors};
use crate::sched::{self, Ungrouped};
use crate::stats::median;

/// One number that is measured, in the order of the page.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Quantity {
    SimpleP50,
    SimpleP99,
    ExtendedP50,
    ExtendedP99,
    PreparedP50,
    PreparedP99,
    CpuPerTransaction,
    HundredRows,
    ReconnectP50,
    CpuPerConnection,
    EightSimple,
    EightPrepared,
    ManySimple,
    ManyPrepared,
    Unmasked,
    Masked,
    IdleConnection,
    RecordedMany,
    RecordedLarge,
    PacedP99,
    PacedLoopsP99,
    TroubledP99,
}

/// Those that are measured with many clients.
const MANY: [&str; 5] = [DIRECT, BYTE_COPY, BOUNCER, PROXY, GATEWAY];
/// Those before whom a result of a hundred rows is measured.
const HUNDRED: [&str; 5] = [DIRECT, BYTE_COPY, PROXY, GATEWAY, GATEWAY_TYPES];
/// Sessions that wait for a person while another's time is taken.
const HELD: usize = 50;

/// Sessions that a gateway has to carry at once.
const CROWD: usize = 10_000;

/// A load that leaves the processors room, as a part of what they do at most.
pub const PACED_PART: f64 = 5.0;

/// Every measurement of every place.
#[derive(Default)]
pub struct Results {
    of: BTreeMap<(Quantity, &'static str), Vec<f64>>,
    /// The kernel kept its groups for sessions during the paced load.
    pub grouped: bool,
    pub crowd: Option<Crowd>,
}

impl Results {
    fn add(&mut self, quantity: Quantity, place: &Place, value: f64) {
        self.of.entry((quantity, place.name)).or_default().push(value);
    }

    /// The middle of what was measured.
    pub fn median(&self, quantity: Quantity, place: &'static str) -> Option<f64> {
        median(self.of.get(&(quantity, place))?)
    }

    /// Largest deviation from the middle, as a share of it.
    pub fn spread(&self, quantity: Quantity, place: &'static str) -> Option<f64> {
        let middle = self.median(quantity, place)?;
        let values = self.of.get(&(quantity, place))?;
        let far = values.iter().map(|value| (value - middle).abs()).fold(0.0, f64::max);
        Some(far / middle)
    }
}

/// Everything on one processor: what a request waits for, and what it costs.
pub fn latency(site: &Site, places: &Places, plan: &Plan, results: &mut Results) -> Result<()> {
    let modes = [
        ("simple", Quantity::SimpleP50, Quantity::SimpleP99),
        ("extended", Quantity::ExtendedP50, Quantity::ExtendedP99),
        ("prepared", Quantity::PreparedP50, Quantity::PreparedP99),
    ];
    let one = |mode| Load { mode, ..Load::of(1, plan.seconds, Processors::One) };
    let hundred = hundred_rows(site, plan)?;
    for round in 0..plan.rounds {
        for (mode, p50, p99) in modes {
            for place in turns(places, round) {
                let (run, micros) = run(site, places, place, &one(mode))?;
                results.add(p50, place, run.p50);
                results.add(p99, place, run.p99);
                if let (Some(micros), "simple") = (micros, mode) {
                    results.add(Quantity::CpuPerTransaction, place, micros);
                }
                said(round, mode, place, &format!("p50 {:.0} us", run.p50));
            }
        }
        for place in turns(places, round).filter(|place| HUNDRED.contains(&place.name)) {
            let load = Load { script: Some(&hundred), ..one("simple") };
            let (run, _) = run(site, places, place, &load)?;
            results.add(Quantity::HundredRows, place, run.p50);
            said(round, "100 rows", place, &format!("p50 {:.0} us", run.p50));
        }
        for place in turns(places, round) {
            let load = Load { reconnect: true, ..one("simple") };
            let (run, micros) = run(site, places, place, &load)?;
            // pgbench counts the connection to the transaction that needs it.
            results.add(Quantity::ReconnectP50, place, 1e6 / run.tps);
            if let Some(micros) = micros {
                results.add(Quantity::CpuPerConnection, place, micros);
            }
            said(round, "reconnect", place, &format!("{:.0} us", 1e6 / run.tps));
        }
        let eight = [("simple", Quantity::EightSimple), ("prepared", Quantity::EightPrepared)];
        for (mode, quantity) in eight {
            let load = Load { mode, ..Load::of(8, plan.seconds, Processors::One) };
            many(site, places, (round, quantity), &load, results)?;
        }
    }
    Ok(())
}

/// A script that reads a hundred rows of the table with masked columns.
pub fn hundred_rows(site: &Site, plan: &Plan) -> Result<PathBuf> {
    let script = site.folder().join("hundred.sql");
    let last = plan.rows.saturating_sub(100).max(1);
    std::fs::write(
        &script,
        format!(
            "\\set a random(1, {last})\nselect * from people where id >= :a and id < :a + 100;\n"
        ),
    )?;
    Ok(script)
}

/// A run, and the µs of the proxy's processor for each transaction.
pub fn run(
    site: &Site,
    places: &Places,
    place: &Place,
    load: &Load<'_>,
) -> Result<(pgbench::Run, Option<f64>)> {
    let process = process(places, place);
    let before = process.map(Process::cpu_seconds).transpose()?;
    let run = pgbench::run(site, place, load)?;
    let after = process.map(Process::cpu_seconds).transpose()?;
    let used = after.zip(before).map(|(after, before)| (after - before) * 1e6 / run.transactions);
    Ok((run, used))
}

/// How much gets through of each of [`MANY`].
fn many(
    site: &Site,
    places: &Places,
    (round, quantity): (usize, Quantity),
    load: &Load<'_>,
    results: &mut Results,
) -> Result<()> {
    for place in turns(places, round).filter(|place| MANY.contains(&place.name)) {
        let run = pgbench::run(site, place, load)?;
        results.add(quantity, place, run.tps);
        let what = format!("{} clients, {}", load.clients, load.mode);
        said(round, &what, place, &format!("{:.0} tps", run.tps));
    }
    Ok(())
}

/// Many clients, every processor: how much gets through.
pub fn throughput(site: &Site, places: &Places, plan: &Plan, results: &mut Results) -> Result<()> {
    for round in 0..plan.rounds {
        for (mode, quantity) in
            [("simple", Quantity::ManySimple), ("prepared", Quantity::ManyPrepared)]
        {
            let load = Load { mode, ..Load::of(32, plan.seconds, Processors::All) };
            many(site, places, (round, quantity), &load, results)?;
        }
    }
    Ok(())
}

/// How long one session's statements take while another's wait for a person, and while the store of
/// recordings takes everything and answers nothing.
pub fn troubled(site: &Site, plan: &Plan, results: &mut Results) -> Result<()> {
    for round in 0..plan.rounds {
        let (places, _hung) = site.start_troubled()?;
        let mut load = Load::of(8, plan.seconds, Processors::All);
        let calm = places.places.first().context("no gateway")?;
        let most = pgbench::run(site, calm, &load)?.tps;
        load.rate = Some((most / PACED_PART).max(1.0) as u32);
        load.seconds = plan.seconds * 2;
        let ungrouped = Ungrouped::begin();
        results.grouped |= ungrouped.is_refused();
        for place in turns(&places, round) {
            quiet(&places)?;
            let mut held = Vec::new();
            if place.name == HOLDING_GATEWAY {
                for _ in 0..HELD {
                    let mut client = Client::connect(place)?;
                    client.begin("update people set note = note where id = 1")?;
                    held.push(client);
                }
            }
            let run = pgbench::run(site, place, &load)?;
            drop(held);
            results.add(Quantity::TroubledP99, place, run.p99);
            said(round, "beside trouble", place, &format!("p99 {:.0} us", run.p99));
        }
    }
    Ok(())
}

/// A large result, as fast as a client can read it.
pub fn bulk(places: &Places, plan: &Plan, results: &mut Results) -> Result<()> {
    for round in 0..plan.rounds {
        for (table, quantity) in [("articles", Quantity::Unmasked), ("people", Quantity::Masked)] {
            for place in turns(places, round) {
                // Such a reply is larger than what may be withheld: it waits for an approver.
                if place.name == GATEWAY_RESULT_RULE {
                    continue;
                }

                let mut client = Client::connect(place)?;
                let answer = client.query(&format!("select * from {table}"))?;
                anyhow::ensure!(answer.rows == plan.rows, "{} rows came", answer.rows);
                let speed = answer.bytes as f64 / 1e6 / answer.seconds;
                results.add(quantity, place, speed);
                said(round, table, place, &format!("{speed:.0} MB/s"));
            }
        }
    }
    Ok(())
}

/// What recording costs. Each round begins with gateways that have no past.
pub fn recording(site: &Site, plan: &Plan, results: &mut Results) -> Result<()> {
    for round in 0..plan.rounds {
        let places = site.start_recording()?;
        let mut load = Load::of(16, plan.seconds, Processors::All);
        let mut most: f64 = 0.0;
        for place in turns(&places, round) {
            quiet(&places)?;
            let run = pgbench::run(site, place, &load)?;
            most = most.max(run.tps);
            results.add(Quantity::RecordedMany, place, run.tps);
            said(round, "16 clients", place, &format!("{:.0} tps", run.tps));
        }
        for place in turns(&places, round) {
            quiet(&places)?;
            let mut client = Client::connect(place)?;
            let answer = client.query("select * from articles")?;
            let speed = answer.bytes as f64 / 1e6 / answer.seconds;
            results.add(Quantity::RecordedLarge, place, speed);
            said(round, "a large result", place, &format!("{speed:.0} MB/s"));
        }
        load.rate = Some((most / PACED_PART).max(1.0) as u32);
        // A p99 needs more transactions than a median.
        load.seconds = plan.seconds * 2;
        let ungrouped = Ungrouped::begin();
        results.grouped |= ungrouped.is_refused();
        for place in turns(&places, round) {
            quiet(&places)?;
            // What the archive still converts while the load runs.
            let mut client = Client::connect(place)?;
            for _ in 0..load.seconds * 2 {
                client.query("select * from articles")?;
            }
            let run = pgbench::run(site, place, &load)?;
            results.add(Quantity::PacedP99, place, run.p99);
            said(round, "paced", place, &format!("p99 {:.0} us", run.p99));
            if place.name == JOURNALLED_GATEWAY {
                quiet(&places)?;
                let loops = sched::loops(site)?;
                let run = pgbench::run(site, place, &load)?;
                drop(loops);
                results.add(Quantity::PacedLoopsP99, place, run.p99);
                said(round, "paced, beside loops", place, &format!("p99 {:.0} us", run.p99));
            }
        }
    }
    Ok(())
}

/// Returns when no gateway does anything any more: an archive that one still makes is a load for
/// those after it.
fn quiet(places: &Places) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(500);
    let used = || places.proxies.iter().map(Process::cpu_seconds).sum::<Result<f64>>();
    let mut before = used()?;
    for _ in 0..240 {
        std::thread::sleep(PAUSE);
        let now = used()?;
        if now - before < 0.03 {
            return Ok(());
        }
        before = now;
    }
    anyhow::bail!("a gateway still works two minutes after the load has ended")
}

/// Memory per connection that does nothing.
pub fn idle(places: &Places, plan: &Plan, results: &mut Results) -> Result<()> {
    for place in &places.places {
        let Some(process) = process(places, place) else { continue };
        // Whatever is made once is made before.
        drop(idle_clients(place, 10)?);
        let before = settled(process)?;
        let clients = idle_clients(place, plan.idle)?;
        let after = settled(process)?;
        let each = after.saturating_sub(before) as f64 / clients.len() as f64;
        results.add(Quantity::IdleConnection, place, each);
        said(0, "idle", place, &format!("{each:.1} KiB per connection"));
    }
    Ok(())
}

/// Sessions that do nothing, and what else is asked beside them.
pub struct Crowd {
    /// How many there were.
    pub sessions: usize,
    /// Memory of each, KiB.
    pub each: f64,
    /// A select by its key of one client more, p50 in µs: before they came, and beside them.
    pub before: f64,
    pub beside: f64,
    /// The gateway's processor time meanwhile that is not for that client, parts of one processor.
    pub processor: f64,
}

/// As many sessions as are asked for, or as this machine gives a process file descriptors for: a
/// session has two.
pub fn crowd(site: &Site, plan: &Plan) -> Result<Crowd> {
    let limit = std::fs::read_to_string("/proc/self/limits")?;
    let files = limit.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let sessions = CROWD.min(files.context("no limit of files")?.saturating_sub(300) / 2);
    let places = site.start_crowded(sessions)?;
    let place = places.places.first().context("no gateway")?;
    let process = places.proxies.first().context("no gateway")?;
    let load = Load::of(1, plan.seconds, Processors::All);
    drop(idle_clients(place, 10)?);
    let before = pgbench::run(site, place, &load)?.p50;
    let memory = settled(process)?;
    let clients = idle_clients(place, sessions)?;
    let each = settled(process)?.saturating_sub(memory) as f64 / sessions as f64;
    let used = process.cpu_seconds()?;
    std::thread::sleep(Duration::from_secs(5));
    let processor = (process.cpu_seconds()? - used) / 5.0;
    let beside = pgbench::run(site, place, &load)?.p50;
    drop(clients);
    said(0, "crowd", place, &format!("{sessions} sessions, {each:.1} KiB each"));
    Ok(Crowd { sessions, each, before, beside, processor })
}

fn idle_clients(place: &Place, count: usize) -> Result<Vec<Client>> {
    (0..count)
        .map(|_| {
            let mut client = Client::connect(place)?;
            client.query("select name, city from articles where id = 7 limit 1")?;
            Ok(client)
        })
        .collect::<Result<_>>()
        .with_context(|| format!("{count} connections to {}", place.name))
}

/// Memory once it no longer changes, KiB.
fn settled(process: &Process) -> Result<u64> {
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = process.resident_kib()?;
        if now.abs_diff(last) <= 64 {
            return Ok(now);
        }
        last = now;
    }
}

/// Every place, each round beginning with another, so that none always follows the same one.
pub fn turns(places: &Places, round: usize) -> impl Iterator<Item = &Place> {
    let count = places.places.len();
    places.places.iter().cycle().skip(round % count).take(count)
}

fn process<'a>(places: &'a Places, place: &Place) -> Option<&'a Process> {
    if place.name == DIRECT {
        return None;
    }
    let at = places.places.iter().position(|other| other.name == place.name)?;
    places.proxies.get(at.checked_sub(1)?)
}

pub fn said(round: usize, what: &str, place: &Place, value: &str) {
    eprintln!("round {}  {what:<22} {:<22} {value}", round + 1, place.name);
}

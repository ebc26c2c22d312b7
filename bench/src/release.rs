//! How soon a client that waits for a person goes on after the yes: at the gateway that was told,
//! and at another one that shares its state.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::client::Client;
use crate::places::{Place, Site, address, gateway_program};
use crate::stats::percentile;

/// Held operations in a round, for each way.
const HELD: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);
/// The aim, ms, at any gateway (DESIGN section 4).
const AIM_MS: f64 = 100.0;

/// Measures in turns; a section of the page.
pub fn measure(rounds: usize) -> Result<String> {
    gateway_program()?;
    let site = Site::build(1_000)?;
    let (places, admins) = site.start_sharing()?;
    let place = places.places.first().context("no gateway")?;
    let ways = ["the client's gateway", "another gateway"];
    let mut waits: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    let mut last = String::new();
    for _ in 0..rounds * HELD {
        for (waits, told) in waits.iter_mut().zip(&admins) {
            waits.push(one(place, told, &mut last)?);
        }
    }
    let mut page = format!(
        "\n## Released by a yes\n\nA client waits for a person; from sending the yes (`POST \
         …/approve`, answered when it is kept) to the client's result, which the server still had \
         to compute. Two gateways, one state in PostgreSQL. {} of each.\n\n\
         | the yes is said at | p50, ms | p99, ms | longest, ms | aim |\n\
         | --- | --- | --- | --- | --- |\n",
        rounds * HELD
    );
    for (way, waits) in ways.iter().zip(&mut waits) {
        waits.sort_by(f64::total_cmp);
        let at = |share| percentile(waits, share).unwrap_or_default();
        let missed = if at(1.0) > AIM_MS { ", **missed**" } else { "" };
        let (half, most, longest) = (at(0.5), at(0.99), at(1.0));
        writeln!(page, "| {way} | {half:.1} | {most:.1} | {longest:.1} | ≤ {AIM_MS}{missed} |")?;
    }
    Ok(page)
}

/// One operation that is held and released, ms.
fn one(place: &Place, told: &(u16, String), last: &mut String) -> Result<f64> {
    thread::scope(|scope| {
        let waits = scope.spawn(|| -> Result<Instant> {
            Client::connect(place)?.query("update people set note = note where id = 1")?;
            Ok(Instant::now())
        });
        let began = Instant::now();
        let id = loop {
            let pending = ask(told, "GET", "/api/v1/approvals")?;
            let ids = pending.as_array().into_iter().flatten();
            let mut ids = ids.filter_map(|one| one.get("id")?.as_str());
            // The one before may not be over yet at this gateway.
            if let Some(id) = ids.find(|id| *id != last) {
                last.replace_range(.., id);
                break id.to_owned();
            }
            if began.elapsed() > PATIENCE || waits.is_finished() {
                bail!("nothing waits for a person");
            }
            thread::sleep(Duration::from_millis(5));
        };
        let said = Instant::now();
        ask(told, "POST", &format!("/api/v1/approvals/{id}/approve"))?;
        let done = waits.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
        Ok(done.duration_since(said).as_secs_f64() * 1000.0)
    })
}

fn ask((port, token): &(u16, String), verb: &str, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address(*port))?;
    stream.set_nodelay(true)?;
    let body = if verb == "POST" { "{\"reason\":\"measured\"}" } else { "" };
    let request = format!(
        "{verb} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        address(*port),
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{verb} {path}: {answer}");
    Ok(serde_json::from_str(body)?)
}

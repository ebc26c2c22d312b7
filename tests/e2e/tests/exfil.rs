//! Attempts to carry secrets away through the gateway, and honest requests that must not notice it.
//!
//! The corpus is `tests/exfil/`; the rules are those of the guide.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use e2e::Gateway;
use e2e::web::exfil::{Report, Way, World};

/// A gateway in front of the world, and the way through it.
fn through(world: &World) -> Result<(Gateway, Way)> {
    let gateway = Gateway::start_with(|ports, _| world.config(ports.admin, ports.egress))?;
    let token = gateway.agent("thief")?.secret;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, gateway.ports().egress));
    let ca = gateway.dir().join("var/ca/ca.pem");
    Ok((gateway, Way::Gateway { address, token, ca }))
}

#[test]
fn p2_no_attempt_to_carry_a_secret_out_succeeds() -> Result<()> {
    let world = World::start()?;
    ensure!(world.attempts().len() >= 120, "{} attempts", world.attempts().len());
    let (gateway, way) = through(&world)?;
    let report = world.run(&way)?;
    let leaks = report.leaks();
    ensure!(
        leaks.is_empty(),
        "{} of {} attempts succeeded:\n{}\n--- the gateway's log ends with ---\n{}",
        leaks.len(),
        report.sent.len(),
        Report::lines(&leaks),
        gateway.log_tail()
    );
    ensure!(!gateway.log().contains("panicked"), "{}", gateway.log_tail());
    Ok(())
}

#[test]
fn p9_honest_requests_pass_unchanged() -> Result<()> {
    let world = World::start()?;
    ensure!(world.honest().len() >= 100, "{} honest requests", world.honest().len());
    let (gateway, way) = through(&world)?;
    let differences = world.pass(&way)?;
    let lines: Vec<String> =
        differences.iter().map(|found| format!("{}: {}", found.name, found.what)).collect();
    ensure!(
        lines.is_empty(),
        "{} of {} honest requests differ:\n{}\n--- the gateway's log ends with ---\n{}",
        lines.len(),
        world.honest().len(),
        lines.join("\n"),
        gateway.log_tail()
    );
    let session = gateway.session_of("thief").context("the requests are recorded")?;
    let operations = session.get("operations").and_then(serde_json::Value::as_u64);
    ensure!(operations >= Some(world.honest().len() as u64), "{session}");
    Ok(())
}

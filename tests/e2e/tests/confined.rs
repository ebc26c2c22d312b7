//! `narrows run`: a program that can reach the gateway and nothing else.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::web::Shop;
use e2e::{Server, confined, python, start_confined, until};

#[test]
fn p2_a_confined_program_reaches_the_gateway_and_nothing_else() -> Result<()> {
    let server = Server::start()?;
    let shop = Shop::beside(&server)?;
    let token = shop.gateway.agent("confined")?;
    let python = python()?.display().to_string();
    let story = concat!(env!("CARGO_MANIFEST_DIR"), "/python/confined_story.py");
    let port = shop.listed.address().port().to_string();
    let admin = shop.gateway.ports().admin.to_string();
    let outside = shop.gateway.id()?.to_string();
    let variables = [("HOST_PORT", &*port), ("ADMIN_PORT", &*admin), ("OUTSIDE", &*outside)];
    let program = [&*python, "-B", story];
    let output = confined(&shop.gateway, &token, shop.gateway.dir(), &variables, &program)?;
    let said = output.success().with_context(|| shop.gateway.log_tail())?;
    let steps = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(steps == 8, "{said}");
    ensure!(shop.evil.wires().is_empty(), "a host that is not listed was dialled");
    Ok(())
}

#[test]
fn a_confined_program_ends_as_it_wants_to() -> Result<()> {
    let shop = Shop::start()?;
    let token = shop.gateway.agent("confined")?;
    let dir = shop.gateway.dir();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let output = confined(&shop.gateway, &token, dir, &[], &["sh", "-c", script])?;
        ensure!(output.code() == code, "{script}: {} {}", output.code(), output.stderr);
    }
    let output = confined(&shop.gateway, &token, dir, &[], &["/nonexistent/program"])?;
    ensure!(output.code() != 0 && output.stderr.contains("/nonexistent/program"), "{output:?}");
    let output =
        confined(&shop.gateway, &token, dir, &[], &["sh", "-c", "echo out; echo err >&2"])?;
    ensure!(output.stdout == "out\n" && output.stderr == "err\n", "{output:?}");
    Ok(())
}

/// Whether a process with this text in its command line runs.
fn runs(text: &str) -> Result<bool> {
    for entry in fs::read_dir("/proc")? {
        // A process that ends meanwhile is none.
        let line = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(text) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_confined_program_is_told_to_end_and_never_outlives_its_way_out() -> Result<()> {
    let shop = Shop::start()?;
    let token = shop.gateway.agent("confined")?;
    let dir = shop.gateway.dir();
    let begun = dir.join("begun");
    // It ends in its own way when it is asked to.
    let script = "trap 'echo told; exit 5' TERM; echo > begun; while :; do sleep 0.1; done";
    let child = start_confined(&shop.gateway, &token, dir, &[], &["sh", "-c", script])?;
    until("the program runs", || Ok(begun.exists().then_some(())))?;
    child.signal("TERM")?;
    let output = child.output(Duration::from_secs(30))?;
    ensure!(output.code() == 5 && output.stdout == "told\n", "{output:?}");
    // When what carries its connections is killed, it is killed as well. `setpriv` and what it runs
    // in the test's place are one process.
    let seconds = format!("{}.5", 40_000 + std::process::id() % 10_000);
    let words = ["sleep", &*seconds];
    let child = start_confined(&shop.gateway, &token, dir, &[], &words)?;
    let line = format!("sleep\0{seconds}\0");
    until("the program runs", || Ok(runs(&line)?.then_some(())))?;
    child.signal("KILL")?;
    until("the program is gone", || Ok((!runs(&line)?).then_some(())))
}

//! P5, P6: full disks, read-only disks, and a bucket that is away for longer than the disk lasts.
//! What is refused never ran, what ran is recorded or counted, and everything goes on by itself.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    Bucket, Config, Faults, Filler, Gateway, Lab, PgError, RULES, Server, Wire, evidence,
    public_key, until, uses,
};
use serde_json::Value;

/// What a client is told while nothing can be recorded.
const REFUSED: (&str, &str) = ("58030", "refused: the gateway cannot record it now");

/// The error that a statement is answered with.
fn refusal(wire: &mut Wire, statement: &str) -> Result<PgError> {
    let reply = wire.query(statement)?;
    reply.error().with_context(|| format!("{statement:.60} ran unrecorded"))
}

fn assert_refused(wire: &mut Wire, statement: &str) -> Result<()> {
    let error = refusal(wire, statement)?;
    assert_eq!((error.code.as_str(), error.message.as_str()), REFUSED, "{statement:.60}");
    Ok(())
}

fn assert_runs(wire: &mut Wire, statement: &str) -> Result<()> {
    let reply = wire.query(statement)?;
    assert_eq!(reply.error().map(|error| error.message), None, "{statement:.60}");
    Ok(())
}

/// Waits until the gateway is ready again, or not any more.
fn ready(lab: &Lab, status: u16) -> Result<()> {
    until(&format!("/readyz says {status}"), || {
        Ok((lab.gateway.api_open("/readyz")?.status == status).then_some(()))
    })
}

fn logged(lab: &Lab, words: &str) -> Result<()> {
    until(&format!("the log says {words:?}"), || {
        Ok(lab.gateway.log().contains(words).then_some(()))
    })
}

/// Waits until something is archived.
fn archived(lab: &Lab) -> Result<()> {
    until("a manifest is signed", || {
        Ok(lab.gateway.narrows(&["audit", "anchor"])?.success().ok().map(drop))
    })
}

fn insert(words: &str) -> String {
    format!("INSERT INTO notes (body) VALUES ('{words}')")
}

/// How many notes that begin with these words the server has.
fn notes(lab: &Lab, words: &str) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM notes WHERE body LIKE '{words}%'");
    Ok(lab.server.sql(&sql)?.trim().parse()?)
}

/// Stops the gateway, which archives everything, and has both programs check what is in `store`
/// (found by the second one in `copy`).
fn assert_whole(lab: &mut Lab, copy: impl FnOnce(&Lab) -> Result<PathBuf>) -> Result<()> {
    let key = public_key(&lab.gateway)?;
    ensure!(lab.gateway.stop()?.success(), "it did not stop well");
    let said = lab.gateway.narrows(&["audit", "verify"])?.success()?;
    assert!(said.contains("whole and unchanged"), "{said}");
    evidence("verify.py", &[&copy(lab)?, &key])?.success().map(drop)
}

fn used(lab: &Lab, table: &str, store: &str) -> Result<Vec<(String, String, String)>> {
    Ok(uses(&lab.gateway.json(&["audit", "who", "--table", table, "--store", store])?))
}

fn with_logs(lab: &mut Lab, test: impl FnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    test(lab).with_context(|| format!("its log:\n{}", lab.gateway.log_tail()))
}

#[test]
fn p5_a_full_disk_under_the_archive_delays_it_and_nothing_else() -> Result<()> {
    let server = Server::start()?;
    let config = Config::rules(RULES).with(
        "recording: { store: \"file:./store\", archive_every: 1s, \
                                   keep_journal: 0 }",
    );
    let gateway = Gateway::start_on(&[("store", 2048)], &[], &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    with_logs(&mut lab, |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("writer")?)?;
        assert_runs(&mut wire, &insert("before"))?;
        archived(lab)?;
        for leaves in [0, 4096] {
            let behind = lab.gateway.log().matches("the archive is behind").count();
            let filler = Filler::fill(&lab.gateway.path("store"), leaves)?;
            assert_runs(&mut wire, &insert("meanwhile"))?;
            until("the log says that the archive is behind", || {
                let said = lab.gateway.log().matches("the archive is behind").count();
                Ok((said > behind).then_some(()))
            })?;
            // Nobody waits for it.
            assert_runs(&mut wire, &insert("still"))?;
            assert_eq!(lab.gateway.api_open("/readyz")?.status, 200);
            let on = lab.gateway.log().matches("the archive goes on").count();
            drop(filler);
            until("the archive goes on", || {
                let said = lab.gateway.log().matches("the archive goes on").count();
                Ok((said > on).then_some(()))
            })?;
        }
        assert_runs(&mut wire, &insert("after"))?;
        drop(wire);
        assert_whole(lab, |lab| Ok(lab.gateway.path("store")))?;
        assert_eq!(used(lab, "notes", "./store")?.len(), 6);
        Ok(())
    })
}

#[test]
fn p5_p2_a_full_disk_under_everything_refuses_and_goes_on_by_itself() -> Result<()> {
    let server = Server::start()?;
    let config = Config::rules(RULES)
        .with("recording: { archive_every: 1s, keep_journal: 0 }")
        .resource("lenient", "recording: { on_failure: continue }");
    let gateway = Gateway::start_on(&[("var", 32 * 1024)], &[], &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    with_logs(&mut lab, |lab| {
        let token = lab.gateway.agent("writer")?;
        let mut wire = lab.wire(&token)?;
        let mut lenient = lab.wire_to(&token, "lenient")?;
        assert_runs(&mut wire, &insert("before"))?;
        archived(lab)?;
        let filler = Filler::fill(&lab.gateway.path("var"), 0)?;
        // Longer than what may be left of a block.
        let long = "x".repeat(20_000);
        for _ in 0..3 {
            assert_refused(&mut wire, &insert(&format!("refused {long}")))?;
            assert_runs(&mut lenient, &insert(&format!("unrecorded {long}")))?;
        }
        ready(lab, 503)?;
        let told = lab.gateway.api_open("/readyz")?.text;
        assert!(told.contains("journal") || told.contains("full"), "{told}");
        // Reading is recorded, and so refused as well.
        let reads = lab.gateway.narrows(&["sessions"])?;
        assert_eq!(reads.code(), 1, "{reads:?}");
        logged(lab, "the journal cannot take records")?;
        drop(filler);
        ready(lab, 200)?;
        assert_runs(&mut wire, &insert("after"))?;
        assert_runs(&mut lenient, &insert("recorded"))?;
        drop((wire, lenient));
        assert_eq!((notes(lab, "refused")?, notes(lab, "unrecorded")?), (0, 3));
        assert_eq!(gap(&lab.gateway.events_of("writer")?), Some(3));
        assert_whole(lab, |lab| Ok(lab.gateway.path("var/recordings")))?;
        assert_eq!(used(lab, "notes", "./var/recordings")?.len(), 3);

        // It does not begin on a full disk, and begins when there is room.
        let filler = Filler::fill(&lab.gateway.path("var"), 0)?;
        lab.gateway.launch_unready()?;
        let ended = until("it ends", || lab.gateway.ended())?;
        ensure!(!ended.success(), "{ended}");
        drop(filler);
        lab.gateway.launch()?;
        assert_runs(&mut lab.wire(&token)?, &insert("again"))
    })
}

/// How many operations passed unrecorded, as one session's gaps say.
fn gap(events: &[Value]) -> Option<u64> {
    let mut gaps = events.iter().filter(|event| event.get("kind") == Some(&Value::from("gap")));
    gaps.try_fold(0, |sum, of| Some(sum + of.get("operations")?.as_u64()?))
}

#[test]
fn p5_p2_a_disk_that_becomes_read_only_refuses_and_goes_on_by_itself() -> Result<()> {
    let server = Server::start()?;
    let faults = Faults::prepare()?;
    let environment = faults.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
    let config = Config::rules(RULES)
        .with("recording: { archive_every: 1s, keep_journal: 0 }")
        .resource("lenient", "recording: { on_failure: continue }");
    let gateway = Gateway::start_in(&environment, &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    with_logs(&mut lab, |lab| {
        let token = lab.gateway.agent("writer")?;
        let mut wire = lab.wire(&token)?;
        let mut lenient = lab.wire_to(&token, "lenient")?;
        assert_runs(&mut wire, &insert("before"))?;
        archived(lab)?;
        let var = lab.gateway.path("var");

        faults.read_only(Some(&var.join("recordings")))?;
        assert_runs(&mut wire, &insert("meanwhile"))?;
        logged(lab, "the archive is behind")?;
        assert_runs(&mut wire, &insert("still"))?;
        assert_eq!(lab.gateway.api_open("/readyz")?.status, 200);
        faults.read_only(None)?;
        logged(lab, "the archive goes on")?;

        faults.read_only(Some(&var))?;
        for _ in 0..3 {
            assert_refused(&mut wire, &insert("refused"))?;
            assert_runs(&mut lenient, &insert("unrecorded"))?;
        }
        ready(lab, 503)?;
        logged(lab, "Read-only file system")?;
        faults.read_only(None)?;
        ready(lab, 200)?;
        assert_runs(&mut wire, &insert("after"))?;
        assert_runs(&mut lenient, &insert("recorded"))?;
        drop((wire, lenient));
        assert_eq!((notes(lab, "refused")?, notes(lab, "unrecorded")?), (0, 3));
        assert_eq!(gap(&lab.gateway.events_of("writer")?), Some(3));
        assert_whole(lab, |lab| Ok(lab.gateway.path("var/recordings")))?;
        assert_eq!(used(lab, "notes", "./var/recordings")?.len(), 5);
        Ok(())
    })
}

/// Writes until nothing can be recorded any more, not even a short statement.
fn fill_by_work(wire: &mut Wire) -> Result<()> {
    for bytes in [256 * 1024, 32 * 1024, 4096, 512, 0] {
        let long = "x".repeat(bytes);
        let statement = format!("INSERT INTO notes (body) VALUES ('away') /* {long} */");
        let mut written = 0;
        while wire.query(&statement)?.error().is_none() {
            written += 1;
            if written > 400 {
                bail!("{written} statements of {bytes} bytes, and the disk is not full");
            }
        }
    }
    Ok(())
}

#[test]
fn p5_p2_a_bucket_that_is_away_for_longer_than_the_disk_lasts() -> Result<()> {
    let bucket = Bucket::start("audit")?;
    let server = Server::start()?;
    // The journal keeps what is archived for a day, unless its disk has no room for that.
    let config = Config::rules(RULES)
        .with("recording: { store: \"s3://audit/narrows\", archive_every: 1s }")
        .resource("lenient", "recording: { on_failure: continue }");
    let disks = [("var", 24 * 1024)];
    let gateway = Gateway::start_on(&disks, &bucket.environment(), &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    with_logs(&mut lab, |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("writer")?)?;
        let mut lenient = lab.wire_to(&lab.gateway.agent("lenient")?, "lenient")?;
        assert_runs(&mut wire, &insert("before"))?;
        archived(lab)?;
        let late = lab.gateway.agent("late")?;
        bucket.misbehave("gone")?;
        fill_by_work(&mut wire)?;
        for _ in 0..5 {
            assert_refused(&mut wire, &insert("refused"))?;
            assert_runs(&mut lenient, &insert("unrecorded"))?;
        }
        ready(lab, 503)?;
        logged(lab, "the disk is full")?;
        logged(lab, "the archive is behind")?;
        // Who comes now is told so, or at the first statement.
        if let Ok(mut late) = lab.wire(&late) {
            assert_refused(&mut late, &insert("refused"))?;
        }

        bucket.misbehave("none")?;
        ready(lab, 200)?;
        assert_runs(&mut wire, &insert("after"))?;
        assert_runs(&mut lenient, &insert("recorded"))?;
        drop((wire, lenient));
        assert_eq!((notes(lab, "refused")?, notes(lab, "unrecorded")?), (0, 5));
        assert_eq!(gap(&lab.gateway.events_of("lenient")?), Some(5));
        assert_whole(lab, |_| Ok(bucket.fetch()?.join("narrows")))?;
        let used = used(lab, "notes", "s3://audit/narrows")?.len() as u64;
        // Each that ran is there; the last of each length may have been recorded and not sent.
        let there = notes(lab, "")? - 5;
        assert!((there..=there + 5).contains(&used), "{used} of {there}");
        Ok(())
    })
}

/// Seconds that the clock is ahead, one after the other: five hours, back behind where it began,
/// and right again.
const JUMPS: [i64; 4] = [0, 5 * 3600, -7 * 3600, 0];

#[test]
fn p5_p6_a_clock_that_jumps_breaks_no_chain_and_moves_no_event() -> Result<()> {
    let server = Server::start()?;
    let faults = Faults::prepare()?;
    let environment = faults.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
    let config = Config::rules(RULES).with("recording: { archive_every: 1s, keep_journal: 0 }");
    let gateway = Gateway::start_in(&environment, &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    with_logs(&mut lab, |lab| {
        let number = |lab: &Lab| -> Result<u64> {
            let anchor = lab.gateway.narrows(&["audit", "anchor"])?.success().unwrap_or_default();
            let anchor: Value = serde_json::from_str(&anchor).unwrap_or_default();
            Ok(anchor.get("number").and_then(Value::as_u64).unwrap_or_default())
        };
        // One session lives through all of it.
        let mut open = lab.wire(&lab.gateway.agent("open")?)?;
        for (turn, seconds) in JUMPS.into_iter().enumerate() {
            faults.clock(seconds)?;
            let mut wire = lab.wire(&lab.gateway.agent(&format!("turn-{turn}"))?)?;
            assert_runs(&mut wire, "SELECT count(*) FROM customers")?;
            assert_runs(&mut open, "SELECT count(*) FROM customers")?;
            drop(wire);
            lab.gateway.events_of(&format!("turn-{turn}"))?;
            let before = number(lab)?;
            until("it is archived", || Ok((number(lab)? > before).then_some(())))?;
            assert_eq!(lab.gateway.api_open("/readyz")?.status, 200);
        }
        drop(open);
        let whole = lab.gateway.events_of("open")?;
        assert_whole(lab, |lab| Ok(lab.gateway.path("var/recordings")))?;
        for (seconds, moment, turns) in [
            (0, "1s", ["turn-0", "turn-3"].as_slice()),
            (0, "7h", &["turn-2"]),
            (0, "3h", &[]),
            (5 * 3600, "1s", &["turn-1"]),
        ] {
            faults.clock(seconds)?;
            let at = ["audit", "who", "--table", "customers", "--store", "./var/recordings"];
            let at = lab.gateway.json(&[&at, ["--at", moment].as_slice()].concat())?;
            assert_eq!(names(&at), with_open(turns), "{seconds}, {moment} ago: {at}");
        }
        faults.clock(0)?;
        // The hours are those of the clock.
        let mut hours = std::collections::BTreeSet::new();
        for day in std::fs::read_dir(lab.gateway.path("var/recordings/events"))? {
            for hour in std::fs::read_dir(day?.path())? {
                hours.insert(hour?.path());
            }
        }
        assert!(hours.len() >= 3, "{hours:?}");
        lab.gateway.launch()?;
        assert_eq!(lab.gateway.events_of("open")?, whole);
        Ok(())
    })
}

fn names(answer: &Value) -> Vec<String> {
    let mut names: Vec<_> = uses(answer).into_iter().map(|(name, ..)| name).collect();
    names.sort();
    names
}

fn with_open(turns: &[&str]) -> Vec<String> {
    let mut names: Vec<_> =
        turns.iter().flat_map(|turn| ["open", *turn]).map(str::to_owned).collect();
    names.sort();
    names
}

fn listed(lab: &Lab) -> Result<Value> {
    lab.gateway.json(&["sessions", "--limit", "10000"])
}

#[test]
fn p5_an_index_that_is_damaged_or_old_is_built_again_from_the_archive() -> Result<()> {
    let server = Server::start()?;
    let config = Config::rules(RULES).with("recording: { archive_every: 1s, keep_journal: 0 }");
    let gateway = Gateway::start(&config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    with_logs(&mut lab, |lab| {
        let state = lab.gateway.path("var/state.sqlite");
        let token = lab.gateway.agent("early")?;
        assert_runs(&mut lab.wire(&token)?, "SELECT count(*) FROM customers")?;
        lab.gateway.events_of("early")?;
        ensure!(lab.gateway.stop()?.success());
        let old = std::fs::read(&state)?;
        lab.gateway.launch()?;
        let late = lab.gateway.agent("late")?;
        for n in 0..60 {
            assert_runs(&mut lab.wire(&late)?, &format!("SELECT {n} FROM customers LIMIT 1"))?;
        }
        lab.gateway.events_of("late")?;
        // Twice, so that the journal lets go of what the first stop archived.
        for _ in 0..2 {
            ensure!(lab.gateway.stop()?.success());
            lab.gateway.launch()?;
        }
        let whole = listed(lab)?;
        assert_eq!(whole.as_array().map(Vec::len), Some(61));
        ensure!(lab.gateway.stop()?.success());
        let intact = std::fs::read(&state)?;
        let logs = |lab: &Lab| lab.gateway.log().len();

        // An old copy: what the journal let go of since is in the archive alone, and that is said.
        std::fs::write(&state, &old)?;
        let from = logs(lab);
        lab.gateway.launch()?;
        assert!(lab.gateway.session_of("late").is_err(), "the index was not old");
        let log = lab.gateway.log().split_off(from);
        assert!(log.contains("narrows audit reindex"), "{log}");
        lab.gateway.narrows(&["audit", "reindex"])?.success()?;
        assert_eq!(listed(lab)?, whole);
        ensure!(lab.gateway.stop()?.success());

        // Pages of the index hold garbage; the tokens beside it do not.
        let mut damaged = intact.clone();
        damage_index(&mut damaged)?;
        std::fs::write(&state, &damaged)?;
        lab.gateway.launch()?;
        lab.gateway.narrows(&["audit", "reindex"])?.success()?;
        assert_eq!(listed(lab)?, whole);
        assert!(state.with_extension("sqlite.damaged").exists(), "it is evidence");
        assert_runs(&mut lab.wire(&late)?, "SELECT 1")?;
        ensure!(lab.gateway.stop()?.success());

        // Not a database any more: nobody can come in, and the gateway says what to do.
        let (cut, garbage) = (intact.get(..6000).context("pages")?.to_vec(), vec![0x5a; 9000]);
        for broken in [cut, garbage] {
            std::fs::write(&state, &broken)?;
            let from = logs(lab);
            lab.gateway.launch_unready()?;
            let ended = until("it ends", || lab.gateway.ended())?;
            let log = lab.gateway.log().split_off(from);
            ensure!(!ended.success(), "{log}");
            for words in ["state.sqlite", "is damaged", "restore it", "narrows audit reindex"] {
                assert!(log.contains(words), "{words:?} is not in {log}");
            }
            assert_eq!(std::fs::read(&state)?, broken, "what is there is evidence");
        }
        std::fs::remove_file(&state)?;
        lab.gateway.launch()?;
        lab.gateway.narrows(&["audit", "reindex"])?.success()?;
        let again = listed(lab)?;
        assert!(again.as_array().is_some_and(|list| list.len() >= 61), "{again}");
        assert_whole(lab, |lab| Ok(lab.gateway.path("var/recordings")))
    })
}

/// Overwrites the pages that name sessions, which are those of the index.
fn damage_index(bytes: &mut [u8]) -> Result<()> {
    let mut damaged = 0;
    for page in bytes.chunks_mut(4096).skip(1) {
        if memchr::memmem::find_iter(page, b"s_0").count() > 2 {
            page.fill(0x5a);
            damaged += 1;
        }
    }
    ensure!(damaged > 3, "{damaged} pages");
    Ok(())
}

//! Input that nobody means well: a clear error and a recorded event, never a hang, a crash or a pass.

use anyhow::{Context, Result, bail, ensure};
use e2e::{Config, Lab, Wire, lab, lab_with, message, until};
use serde_json::Value;

/// The gateway serves others, and nothing in it panicked.
fn unharmed(lab: &mut Lab) -> Result<()> {
    let mut wire = lab.wire(&lab.gateway.agent("bystander")?)?;
    assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
    assert!(lab.gateway.ended()?.is_none(), "the gateway runs");
    let log = lab.gateway.log();
    assert!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// The reason word of the newest ended session of this principal.
fn end_reason(lab: &Lab, principal: &str) -> Result<String> {
    let events = lab.gateway.events_of(principal)?;
    let ended =
        events.iter().find(|event| event.get("kind") == Some(&Value::from("session_ended")));
    let reason = ended.and_then(|event| event.get("reason")).and_then(Value::as_str);
    Ok(reason.with_context(|| format!("no end in {events:?}"))?.to_owned())
}

#[test]
fn a_server_that_is_down_is_an_error_and_not_a_hang() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("early")?;
        let mut open = lab.wire(&token)?;
        lab.server.stop();
        let error = open.until_closed()?.error();
        if let Some(error) = error {
            assert_eq!(error.severity, "FATAL", "{error:?}");
        }
        let refused = lab.wire(&token).err().context("let in without a server")?;
        let words = format!("{refused:#}");
        assert!(words.contains("C 08001"), "{words}");
        for inside in ["127.0.0.1", "refused (os", &lab.server.upstream().port.to_string()] {
            assert!(!words.contains(inside), "the client learns {inside}: {words}");
        }
        lab.server.launch()?;
        until("the gateway finds the server again", || Ok(lab.wire(&token).ok().map(drop)))?;
        unharmed(lab)
    })
}

#[test]
fn p8_a_statement_at_the_limit_passes_and_one_past_it_is_refused() -> Result<()> {
    lab(|lab| {
        let mut wire = lab.wire(&lab.gateway.agent("long")?)?;
        let text = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes - 9));
        let limit = 1024 * 1024;
        let reply = wire.query(&text(limit))?;
        assert_eq!(reply.rows().len(), 1, "{:?}", reply.error());
        for bytes in [limit + 1, 8 * limit] {
            for extended in [false, true] {
                let text = text(bytes);
                let reply =
                    if extended { wire.extended(&text, &[], 0)? } else { wire.query(&text)? };
                let error = reply.error().context("refused")?;
                assert_eq!((error.code.as_str(), reply.status), ("54000", 'I'), "{error:?}");
                assert!(
                    error.message.len() < 500 && error.message.contains("1048576"),
                    "{}",
                    error.message
                );
            }
        }
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        unharmed(lab)
    })
}

#[test]
fn the_limit_of_a_statement_can_be_set() -> Result<()> {
    lab_with(&Config::open().with("postgres: { statement_bytes_max: 1KiB }"), |lab| {
        let mut wire = lab.wire(&lab.gateway.agent("short")?)?;
        assert!(wire.query(&format!("SELECT '{}'", "x".repeat(900)))?.error().is_none());
        let error = wire.query(&format!("SELECT '{}'", "x".repeat(1100)))?.error();
        assert_eq!(error.map(|error| error.code), Some("54000".to_owned()));
        Ok(())
    })
}

#[test]
fn p8_deep_nesting_is_refused_in_every_shape() -> Result<()> {
    lab(|lab| {
        let mut wire = lab.wire(&lab.gateway.agent("deep")?)?;
        let deep = 10_000;
        let shapes = [
            format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep)),
            format!("SELECT {}1", "NOT ".repeat(deep)),
            format!("SELECT {}1", "- ".repeat(deep)),
            format!("SELECT 1{}", " + 1".repeat(deep)),
            format!("SELECT {}1{}", "ARRAY[".repeat(deep), "]".repeat(deep)),
            format!("SELECT {}1{}", "(SELECT ".repeat(deep), ")".repeat(deep)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(deep)),
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(deep), " END".repeat(deep)),
        ];
        for text in shapes {
            let start: String = text.chars().take(30).collect();
            for extended in [false, true] {
                let reply =
                    if extended { wire.extended(&text, &[], 0)? } else { wire.query(&text)? };
                // What the gateway judges, the server may still find too deep; neither may die of it.
                if let Some(error) = reply.error() {
                    ensure!(
                        ["54000", "54001", "42601", "42804"].contains(&&*error.code),
                        "{start}: {error:?}"
                    );
                }
                ensure!(reply.status == 'I', "{start}");
            }
        }
        let text = format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep));
        let error = wire.query(&text)?.error().context("10,000 parentheses are refused")?;
        assert!(error.all.contains("narrows:"), "by the gateway: {error:?}");
        assert_eq!(wire.query("SELECT 1")?.text(), [["1"]]);
        unharmed(lab)
    })
}

#[test]
fn text_in_another_encoding_is_refused() -> Result<()> {
    lab(|lab| {
        let mut wire = lab.wire(&lab.gateway.agent("bytes")?)?;
        for bytes in [&b"SELECT '\xff\xfe'"[..], b"SELECT '\xc3'", b"\x80", b"SELECT \xed\xa0\x80"]
        {
            let mut body = bytes.to_vec();
            body.push(0);
            wire.send(&message(b'Q', &body))?;
            let reply = wire.until_ready()?;
            let error = reply.error().with_context(|| format!("{bytes:?} passed"))?;
            assert_eq!((error.code.as_str(), reply.status), ("22021", 'I'), "{error:?}");
        }
        assert_eq!(wire.query("SELECT 'naïve ☃'")?.text(), [["naïve ☃"]]);
        unharmed(lab)
    })
}

#[test]
fn malformed_messages_end_the_session_and_say_why() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("malformed")?;
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("a length below its own size", vec![b'Q', 0, 0, 0, 3]),
            ("a length of zero", vec![b'Q', 0, 0, 0, 0]),
            ("a negative length", vec![b'Q', 0xff, 0xff, 0xff, 0xff]),
            ("more than 64 MiB", vec![b'd', 0x7f, 0xff, 0xff, 0xff]),
            ("an unknown type", message(b'~', b"hello")),
            ("a query without its end", message(b'Q', b"SELECT 1")),
            ("bytes after a query's end", message(b'Q', b"SELECT 1\0SELECT 2\0")),
            ("a bind with a wild count", message(b'B', &[0, 0, 0, 0, 0xff, 0xff, 0xff])),
            (
                "a bind value longer than the message",
                message(b'B', &[0, 0, 0, 0, 0, 1, 0, 0, 0xff, 0xff]),
            ),
            ("a parse cut off", message(b'P', b"name")),
            ("a describe of nothing", message(b'D', b"X\0")),
            ("a password out of turn", message(b'p', b"again\0")),
            ("a function call", message(b'F', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0])),
        ];
        for (what, bytes) in cases {
            let mut wire = lab.wire(&token)?;
            wire.send(&bytes).with_context(|| what.to_owned())?;
            // A server that wants more bytes than were said gets none.
            wire.finish()?;
            let reply = wire.until_closed().with_context(|| what.to_owned())?;
            let error = reply.error().with_context(|| format!("{what}: no word about it"))?;
            assert!(["08P01", "0A000", "54000"].contains(&&*error.code), "{what}: {error:?}");
            assert!(!error.message.is_empty());
        }
        unharmed(lab)
    })
}

#[test]
fn truncated_messages_and_sudden_ends_leave_nothing_behind() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("cut")?;
        let whole = [
            e2e::parse("", "SELECT 1"),
            e2e::bind("", "", &[], 0),
            e2e::execute("", 0),
            e2e::sync(),
        ]
        .concat();
        for cut in 0..whole.len() {
            let mut wire = lab.wire(&token)?;
            wire.send(whole.get(..cut).unwrap_or_default())?;
        }
        let _ = lab.wire(&token)?;
        until("all sessions are over, here and there", || {
            let live = lab.gateway.json(&["sessions", "--live"])?;
            let there =
                lab.server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")?;
            // The catalog's own connection stays.
            let over =
                live.as_array().is_some_and(Vec::is_empty) && there.trim().parse::<u32>()? <= 1;
            Ok(over.then_some(()))
        })?;
        unharmed(lab)
    })
}

#[test]
fn nonsense_before_a_session_is_refused() -> Result<()> {
    lab(|lab| {
        let startup = |code: u32, rest: &[u8]| {
            let length = u32::try_from(rest.len() + 8).unwrap_or(u32::MAX);
            [&length.to_be_bytes()[..], &code.to_be_bytes()[..], rest].concat()
        };
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
            ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
            ("zeroes", vec![0; 64]),
            ("ones", vec![0xff; 64]),
            ("too long", [&20_000_u32.to_be_bytes()[..], &196_608_u32.to_be_bytes()[..]].concat()),
            ("protocol 2", startup(2 << 16, b"user\0x\0\0")),
            ("protocol 9", startup(9 << 16, b"user\0x\0\0")),
            ("parameters without an end", startup(196_608, b"user\0agent\0database\0shop")),
            ("a TLS record that is none", vec![0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]),
            (
                "TLS asked for, with text behind it",
                [startup(80_877_103, &[]), b"SELECT 1".to_vec()].concat(),
            ),
            (
                "replication",
                startup(196_608, b"user\0a\0database\0shop\0replication\0database\0\0"),
            ),
        ];
        for (what, bytes) in cases {
            let mut wire = Wire::open(lab.gateway.port())?;
            wire.send(&bytes)?;
            let _ = wire.finish();
            let reply = wire.until_closed();
            ensure!(reply.is_ok(), "{what}: {reply:?}");
            ensure!(!wire.has_received(&[b'R', 0, 0, 0, 8, 0, 0, 0, 0]), "{what} was let in");
        }
        unharmed(lab)
    })
}

#[test]
fn a_server_side_setting_at_start_up_cannot_change_the_role() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("starter")?;
        for more in [
            ("role", "boss"),
            ("options", "-c role=boss"),
            ("options", "-c session_authorization=boss"),
        ] {
            let start = [("user", "a"), ("database", "shop"), more];
            let refused = Wire::connect_with(lab.gateway.port(), &start, &token.secret);
            ensure!(refused.is_err(), "{more:?} was let in");
        }
        unharmed(lab)
    })
}

#[test]
fn p8_a_client_that_stops_reading_costs_little_memory_and_harms_nobody() -> Result<()> {
    lab_with(
        &Config::rules("\n  - name: hide\n    mask: { fields: [ssn, credit_card] }\n"),
        |lab| {
            let token = lab.gateway.agent("lazy")?;
            lab.wire(&token)?.query("SELECT 1")?;
            let before = lab.gateway.memory()?;
            let mut lazy = Vec::new();
            for _ in 0..4 {
                let mut wire = lab.wire(&token)?;
                wire.ask("SELECT n, repeat('x', 200) FROM generate_series(1, 1000000) AS n")?;
                lazy.push(wire);
            }
            // Every one of them has its first rows, so the replies stream; then nobody reads on.
            for wire in &mut lazy {
                wire.read()?;
            }
            let mut peak = 0;
            let other = lab.gateway.agent("lively")?;
            for _ in 0..50 {
                let mut wire = lab.wire(&other)?;
                let rows =
                    wire.query("SELECT id, ssn FROM customers WHERE id <= 5000")?.rows().len();
                assert_eq!(rows, 5000, "others are served");
                peak = peak.max(lab.gateway.memory()?);
            }
            let grown = peak.saturating_sub(before);
            assert!(
                grown < 100 << 20,
                "memory grew by {} MiB for 900 MB of unread rows",
                grown >> 20
            );
            drop(lazy);
            until("the lazy sessions are over at the server too", || {
                let there = lab.server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%generate_series(1, 1000000)%'")?;
                Ok((there.trim() == "0").then_some(()))
            })?;
            unharmed(lab)
        },
    )
}

#[test]
fn a_server_that_stops_answering_can_be_left() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("stuck")?;
        let mut wire = lab.wire(&token)?;
        let backend: u32 =
            wire.query("SELECT pg_backend_pid()")?.text().concat().concat().parse()?;
        lab.server.signal(backend, "STOP")?;
        wire.ask("SELECT 1")?;
        let session = lab.gateway.session_of("stuck")?;
        let id = session.get("id").and_then(Value::as_str).context("an id")?;
        lab.gateway.narrows(&["kill", id])?.success()?;
        let ended = wire.until_closed();
        lab.server.signal(backend, "CONT")?;
        let error = ended?.error().context("the client reads why")?;
        assert_eq!(error.code, "57P01", "{error:?}");
        assert_eq!(end_reason(lab, "stuck")?, "killed");
        unharmed(lab)
    })
}

#[test]
fn p5_p2_a_full_disk_refuses_operations_until_there_is_room() -> Result<()> {
    lab(|lab| {
        let token = lab.gateway.agent("writer")?;
        let mut wire = lab.wire(&token)?;
        assert_eq!(
            wire.query("INSERT INTO notes (body) VALUES ('before the disk was full')")?.tags(),
            ["INSERT 0 1"]
        );
        lab.gateway.limit_files(Some(1))?;
        let mut refused = 0;
        for n in 0..20 {
            let reply =
                wire.query(&format!("INSERT INTO notes (body) VALUES ('full-disk-{n}')"))?;
            let Some(error) = reply.error() else { bail!("operation {n} ran unrecorded") };
            assert_eq!((error.code.as_str(), reply.status), ("58030", 'I'), "{error:?}");
            assert!(!error.message.contains("os error"), "{error:?}");
            refused += 1;
        }
        assert_eq!(refused, 20);
        assert!(!lab.server_saw("full-disk-")?, "nothing reached the server");
        assert_eq!(lab.gateway.api_open("/readyz")?.status, 503, "not ready");
        lab.gateway.limit_files(None)?;
        until("there is room again", || {
            Ok((lab.gateway.api_open("/readyz")?.status == 200).then_some(()))
        })?;
        let reply = wire.query("INSERT INTO notes (body) VALUES ('room again')");
        let reply = match reply {
            Ok(reply) => reply,
            // The session may have been ended; a new one must do.
            Err(_) => lab.wire(&token)?.query("INSERT INTO notes (body) VALUES ('room again')")?,
        };
        assert_eq!(reply.tags(), ["INSERT 0 1"], "{:?}", reply.error());
        drop(wire);
        // The journal is whole: a restart reads all of it.
        lab.gateway.kill()?;
        lab.gateway.launch()?;
        let all = lab.gateway.json(&["sessions"])?.to_string();
        assert!(all.contains("writer"), "{all}");
        let events = Value::from(lab.gateway.events_of("writer")?).to_string();
        assert!(events.contains("before the disk was full"), "{events}");
        unharmed(lab)
    })
}

#[test]
fn p5_a_resource_may_go_on_unrecorded_and_says_so_afterwards() -> Result<()> {
    let config = Config::open().resource("lenient", "recording: { on_failure: continue }");
    lab_with(&config, |lab| {
        let token = lab.gateway.agent("writer")?;
        let mut wire = lab.wire_to(&token, "lenient")?;
        let mut strict = lab.wire(&lab.gateway.agent("other")?)?;
        lab.gateway.limit_files(Some(1))?;
        for n in 0..5 {
            let reply =
                wire.query(&format!("INSERT INTO notes (body) VALUES ('unrecorded-{n}')"))?;
            assert_eq!(reply.tags(), ["INSERT 0 1"], "{:?}", reply.error());
        }
        assert!(strict.query("SELECT 1")?.error().is_some(), "other resources refuse");
        lab.gateway.limit_files(None)?;
        until("the journal works", || {
            Ok((lab.gateway.api_open("/readyz")?.status == 200).then_some(()))
        })?;
        wire.query("SELECT 'recorded again'")?;
        drop((wire, strict));
        let told = |event: &Value| {
            event.get("kind").and_then(Value::as_str) == Some("gap")
                && event.get("operations").and_then(Value::as_u64).is_some_and(|count| count >= 5)
        };
        let events = lab.gateway.events_of("writer")?;
        let gap = events.iter().position(told).with_context(|| format!("no gap: {events:?}"))?;
        let after = Value::from(events.get(gap..).unwrap_or_default()).to_string();
        assert!(after.contains("recorded again"), "{after}");
        assert!(!Value::from(events).to_string().contains("unrecorded-3"));
        Ok(())
    })
}

#[test]
fn p8_too_many_sessions_are_refused_with_a_word() -> Result<()> {
    lab_with(&Config::open().with("sessions_max: 3"), |lab| {
        let token = lab.gateway.agent("many")?;
        let mut open: Vec<Wire> = (0..3).map(|_| lab.wire(&token)).collect::<Result<_>>()?;
        let words = format!("{:#}", lab.wire(&token).err().context("a fourth was let in")?);
        assert!(words.contains("53300"), "{words}");
        open.pop();
        until("a place is free", || Ok(lab.wire(&token).ok().map(drop)))
    })
}

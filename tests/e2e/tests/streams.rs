//! What happens, told to others while it happens: to rsyslog, to a receiver of OTLP logs that reads
//! them by the protocol's own definition, and to a webhook that checks signatures.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::{Config, Gateway, Lab, RULES, Receiver, Rsyslog, SECRET, Server, until};
use serde_json::Value;

struct Others {
    plain: Rsyslog,
    tls: Rsyslog,
    otlp: Receiver,
    hook: Receiver,
}

impl Others {
    fn start() -> Result<Self> {
        Ok(Self {
            plain: Rsyslog::start(false)?,
            tls: Rsyslog::start(true)?,
            otlp: Receiver::otlp()?,
            hook: Receiver::webhook()?,
        })
    }

    fn config(&self, more: &str) -> Config {
        Config::rules(RULES).with(&format!(
            "recording:\n  {more}\n  stream:\n    - {}\n    - {}\n    - {{ otlp: \"{}\", headers: \
             {{ Authorization: {{env: OTLP}} }} }}\n    - {{ webhook: \"{}/x?y=z\", secret: \
             {{env: HOOK}}, texts: true }}",
            self.plain.receiver(),
            self.tls.receiver(),
            self.otlp.url(),
            self.hook.url(),
        ))
    }

    fn lab(&self, more: &str) -> Result<Lab> {
        let server = Server::start()?;
        let environment = [("HOOK", SECRET), ("OTLP", "Bearer abc")];
        let gateway = Gateway::start_in(&environment, &self.config(more), &server.upstream())?;
        Ok(Lab { gateway, server })
    }

    fn each(&self) -> Result<[(&'static str, Vec<Value>); 4]> {
        Ok([
            ("plain syslog", self.plain.events()?),
            ("syslog inside TLS", self.tls.events()?),
            ("otlp", self.otlp.taken()?),
            ("webhook", self.hook.taken()?),
        ])
    }

    /// What each has once it has all of them: what was sent may be on its way into a server's file
    /// when the gateway has stopped.
    fn complete(&self, wanted: &BTreeSet<u64>) -> Result<[(&'static str, Vec<Value>); 4]> {
        let mut lacking = String::new();
        let found = until("everyone has everything", || {
            let each = self.each()?;
            let lack = |(who, events): &(&str, Vec<Value>)| {
                let got = numbers(events);
                let lost: Vec<_> = wanted.difference(&got).copied().collect();
                (!lost.is_empty()).then(|| format!("{who} lacks {lost:?}"))
            };
            lacking = each.iter().filter_map(lack).collect::<Vec<_>>().join("; ");
            Ok(lacking.is_empty().then_some(each))
        });
        found.with_context(|| lacking)
    }

    fn down(&mut self) {
        self.plain.down();
        self.tls.down();
        self.otlp.down();
        self.hook.down();
    }

    fn up(&mut self) -> Result<()> {
        self.plain.up()?;
        self.tls.up()?;
        self.otlp.up()?;
        self.hook.up()
    }
}

fn work(lab: &Lab, name: &str) -> Result<()> {
    let token = lab.gateway.agent(name)?;
    let mut wire = lab.wire(&token)?;
    wire.query("SELECT id, email, ssn FROM customers WHERE id < 4")?;
    wire.extended("SELECT $1::text || 'a-text'", &["a-parameter"], 1)?;
    wire.query("DROP TABLE customers")?;
    drop(wire);
    lab.gateway.events_of(name).map(drop)
}

fn number(event: &Value) -> Option<u64> {
    event.get("number")?.as_u64()
}

fn numbers(events: &[Value]) -> BTreeSet<u64> {
    events.iter().filter_map(number).collect()
}

fn word<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or("-")
}

/// The number of the last event of a gateway that has stopped.
fn last(lab: &Lab) -> Result<u64> {
    let text = fs::read(lab.gateway.dir().join("var/archive.json"))?;
    let head: Value = serde_json::from_slice(&text)?;
    head.get("last").and_then(Value::as_u64).context("last")
}

#[test]
fn others_are_told_what_happens_in_their_own_forms() -> Result<()> {
    let others = Others::start()?;
    let mut lab = others.lab("payload: full")?;
    work(&lab, "reader")?;
    ensure!(lab.gateway.stop()?.success());
    let last = last(&lab)?;
    let wanted: BTreeSet<u64> = (1..=last).collect();
    // A gateway that stops waits for its receivers.
    for (who, events) in others.complete(&wanted).with_context(|| lab.gateway.log_tail())? {
        assert_eq!(numbers(&events), wanted, "{who}: {}", lab.gateway.log_tail());
        assert_eq!(events.len() as u64, last, "{who} got nothing twice");
        let told = Value::from(events).to_string();
        assert!(!told.contains("payload_base64") && !told.contains("customer1@shop.example"));
        for said in ["a-text", "a-parameter", "DROP TABLE", "destructive statement"] {
            assert_eq!(told.contains(said), who == "webhook", "{said:?} at {who}: {told}");
        }
        for kind in ["session_started", "operation", "reply", "session_ended", "admin"] {
            assert!(told.contains(&format!(r#""kind":"{kind}""#)), "{kind} at {who}: {told}");
        }
    }
    for message in others.plain.taken()?.iter().chain(&others.tls.taken()?) {
        let event: Value = serde_json::from_str(word(message, "msg").trim_start())?;
        assert_eq!(word(message, "app-name"), "narrows", "{message}");
        assert_eq!(word(message, "hostname"), word(&event, "gateway"), "{message}");
        assert_eq!(word(message, "msgid"), word(&event, "kind"), "{message}");
        let microseconds = word(&event, "time").get(..26).context("a time")?;
        assert_eq!(word(message, "timestamp"), format!("{microseconds}Z"), "{message}");
        let data = word(message, "structured-data");
        let number = number(&event).context("a number")?;
        assert!(data.starts_with("[narrows@32473 gateway=\"gw-"), "{message}");
        assert!(data.contains(&format!(" number=\"{number}\"")), "{message}");
        // Facility 13, log audit; what is refused is a warning.
        let wanted = if word(&event, "decision") == "block" { "108" } else { "110" };
        assert_eq!(word(message, "pri"), wanted, "{message}");
    }
    let refused = others.otlp.taken()?;
    let refused = refused.iter().find(|event| word(event, "decision") == "block");
    let refused = refused.context("the refusal")?;
    assert_eq!(word(refused, "severity_text"), "WARN");
    assert_eq!(word(refused, "authorization"), "Bearer abc");
    Ok(())
}

#[test]
fn p5_outages_and_kill_9_of_everybody_lose_no_event() -> Result<()> {
    let mut others = Others::start()?;
    let mut lab = others.lab("archive_every: 1s")?;
    work(&lab, "before")?;
    others.down();
    work(&lab, "outage")?;
    until("the gateway says who is behind", || {
        let said = lab.gateway.log().matches("a receiver of events is behind").count();
        Ok((said == 4).then_some(()))
    })?;
    lab.gateway.kill()?;
    lab.gateway.launch()?;
    work(&lab, "restarted")?;
    others.up()?;
    work(&lab, "after")?;
    others.plain.down();
    others.tls.down();
    lab.gateway.kill()?;
    others.plain.up()?;
    others.tls.up()?;
    lab.gateway.launch()?;
    work(&lab, "again")?;
    // Two kinds of answers that are no.
    others.hook.fault(Some("503"))?;
    others.otlp.fault(Some("401"))?;
    work(&lab, "refused")?;
    until("both are told of", || {
        let log = lab.gateway.log();
        let said = |answer: &str| log.contains(&format!("it answered {answer}: out of order"));
        Ok((said("503") && said("401")).then_some(()))
    })?;
    // Of syslog that is known later, or when the gateway stops.
    let caught_up = || {
        let log = lab.gateway.log();
        let of =
            |who| log.lines().filter(|l| l.contains("has caught up") && l.contains(who)).count();
        (of("otlp http"), of("webhook http"))
    };
    let before = caught_up();
    others.hook.fault(None)?;
    others.otlp.fault(None)?;
    until("those who answer have caught up since", || {
        let now = caught_up();
        Ok((now.0 > before.0 && now.1 > before.1).then_some(()))
    })?;
    ensure!(lab.gateway.stop()?.success());
    let wanted: BTreeSet<u64> = (1..=last(&lab)?).collect();
    for (who, events) in others.complete(&wanted).with_context(|| lab.gateway.log_tail())? {
        assert_eq!(numbers(&events), wanted, "{who}");
        ensure!(!events.iter().any(|event| word(event, "kind") == "stream_gap"), "{who}");
    }
    let log = lab.gateway.log();
    ensure!(!log.contains("Bearer abc") && !log.contains("?y=z"), "{log}");
    Ok(())
}

#[test]
fn an_event_that_a_receiver_does_not_take_is_named_and_the_others_go_on() -> Result<()> {
    let others = Others::start()?;
    others.hook.fault(Some("400 3"))?;
    let mut lab = others.lab("payload: full")?;
    work(&lab, "reader")?;
    until("the refused event is named", || {
        Ok(lab.gateway.log().contains("the receiver does not take an event").then_some(()))
    })?;
    ensure!(lab.gateway.stop()?.success());
    let wanted: BTreeSet<u64> = (1..=last(&lab)?).filter(|number| *number != 3).collect();
    assert_eq!(numbers(&others.hook.taken()?), wanted);
    Ok(())
}

/// Goal: what the journal lets go of at once, when something is erased or nothing is kept, was told
/// before, and so was the erasing.
#[test]
fn p5_what_is_erased_was_told_to_those_who_are_told() -> Result<()> {
    let hook = Receiver::webhook()?;
    let config = Config::rules(RULES).with(&format!(
        "recording:\n  keep_journal: 0s\n  encryption: {{ key: {{env: SEAL}} }}\n  stream:\n    \
         - {{ webhook: \"{}\", secret: {{env: HOOK}} }}",
        hook.url(),
    ));
    let server = Server::start()?;
    let key: String = (0..32_u8).map(|n| format!("{:02x}", n.wrapping_mul(37) ^ 90)).collect();
    let environment = [("HOOK", SECRET), ("SEAL", &key)];
    let gateway = Gateway::start_in(&environment, &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    for name in ["ann", "ben"] {
        work(&lab, name)?;
        let erase = ["audit", "erase", "--principal", name, "--reason", "asked"];
        lab.gateway.narrows(&erase)?.success()?;
    }
    ensure!(lab.gateway.stop()?.success());
    let wanted: BTreeSet<u64> = (1..=last(&lab)?).collect();
    let told = hook.taken()?;
    ensure!(!told.iter().any(|event| word(event, "kind") == "stream_gap"), "{told:?}");
    assert_eq!(numbers(&told), wanted);
    let erased = told.iter().filter(|event| word(event, "action") == "audit.erase").count();
    assert_eq!(erased, 2);
    Ok(())
}

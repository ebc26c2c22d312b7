//! Two gateways on one PostgreSQL: what one decides the other knows, and neither loses anything
//! when one of them, or the database, is killed.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Config, Gateway, Reply, Server, Token, Wire, until, within};
use serde_json::Value;

/// Held before it runs; one yes, one run.
const ONE: &str = "\n  - name: ask-first\n    \
                   when: sql.writes.exists(t, t == \"public.notes\")\n    \
                   approve: { by: [dba], wait: 2m, expires: 10m, grant: once }\n";
/// The same, and two people have to say yes.
const TWO: &str = "\n  - name: ask-first\n    \
                   when: sql.writes.exists(t, t == \"public.notes\")\n    \
                   approve: { by: [dba], needs: 2, wait: 2m, expires: 10m, grant: once }\n";
const KEY: (&str, &str) = ("STATE_KEY", "the-key-that-both-gateways-share-0123456789");
/// A gateway that is gone is noticed after fifteen seconds.
const NOTICED: Duration = Duration::from_secs(120);

/// What both gateways stand on.
struct Ground {
    upstream: Server,
    state: Server,
    config: Config,
}

impl Ground {
    fn new(rules: &str) -> Result<Self> {
        Self::with(Config::rules(rules), "")
    }

    /// `more` stands beside the address of the state.
    fn with(config: Config, more: &str) -> Result<Self> {
        let (upstream, state) = (Server::start()?, Server::start()?);
        state.sql("CREATE DATABASE state OWNER app")?;
        let at = state.upstream();
        // As it is used: another role than the superuser, a password, and TLS that is checked.
        let config = config.with(&format!(
            "keys: {{ installation: {{env: STATE_KEY}} }}\n\
             state:\n  postgres:\n    url: \"postgres://app@localhost:{}/state\"\n    \
             password: {{env: UPSTREAM_PASSWORD}}\n    ca: {{file: \"{}\"}}\n{more}",
            at.port,
            at.ca.display(),
        ));
        Ok(Self { upstream, state, config })
    }

    fn gateway(&self) -> Result<Gateway> {
        Gateway::start_in(&[KEY], &self.config, &self.upstream.upstream())
    }

    fn both(&self) -> Result<(Gateway, Gateway)> {
        Ok((self.gateway()?, self.gateway()?))
    }

    /// Rows of `notes` with this body, as the server has them.
    fn notes(&self, body: &str) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM notes WHERE body = '{body}'");
        Ok(self.upstream.sql(&sql)?.trim().parse()?)
    }
}

fn wire(gateway: &Gateway, token: &Token) -> Result<Wire> {
    Wire::connect(gateway.port(), "agent", "shop", &token.secret)
}

/// As [`wire`], as soon as the gateway knows the token.
fn soon(gateway: &Gateway, token: &Token) -> Result<Wire> {
    until("the token is known", || Ok(wire(gateway, token).ok()))
}

fn insert(body: &str) -> String {
    format!("INSERT INTO notes (body) VALUES ('{body}')")
}

/// The request that waits for this text, as this gateway knows it.
fn pending(gateway: &Gateway, text: &str) -> Result<String> {
    until(&format!("{text} waits"), || {
        let list = gateway.api("GET", "/api/v1/approvals", None, None)?.json();
        let list = list.as_array().cloned().unwrap_or_default();
        let of = |one: &Value| one.get("operation").and_then(Value::as_str) == Some(text);
        Ok(list.iter().find(|one| of(one)).map(|one| word(one, "id")))
    })
}

fn word(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn approve(gateway: &Gateway, id: &str, person: &Token) -> Result<()> {
    let person = &person.secret;
    until("the person's token is known", || {
        let said = gateway.narrows(&["approve", id, "--token", person])?;
        let unknown = said.code() != 0 && said.stderr.contains("not valid");
        Ok(if unknown { None } else { Some(said.success().map(drop)?) })
    })
}

fn view(gateway: &Gateway, id: &str) -> Result<Value> {
    Ok(gateway.api("GET", &format!("/api/v1/approvals/{id}"), None, None)?.json())
}

fn passed(reply: &Reply) {
    assert_eq!(reply.tags(), ["INSERT 0 1"], "{:?}", reply.error());
}

#[test]
fn r17_a_cancel_that_lands_at_the_other_gateway_reaches_the_session() -> Result<()> {
    let ground = Ground::new(" []")?;
    let (a, b) = ground.both()?;
    let agent = a.agent("canceller")?;
    let mut sleeper = wire(&a, &agent)?;
    let mut other = wire(&a, &agent)?;
    sleeper.ask("SELECT pg_sleep(100) /* cancelled-elsewhere */")?;
    until("the server sleeps", || {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%cancelled-elsewhere%' \
                   AND wait_event = 'PgSleep'";
        Ok(ground.upstream.sql(sql)?.contains('1').then_some(()))
    })?;
    // Of a key that nobody has, nothing comes.
    let cancel = |key: &[u8]| -> Result<()> {
        let request = [&[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e], key].concat();
        let mut line = Wire::open(b.port())?;
        line.send(&request)?;
        // It is closed when it has been passed on.
        line.until_closed().map(drop)
    };
    let key = sleeper.key().to_vec();
    let wrong: Vec<u8> = key.iter().map(|byte| byte ^ 1).collect();
    cancel(&wrong)?;
    cancel(&key)?;
    let reply = sleeper.until_ready()?;
    ensure!(reply.error().context("cancelled")?.code == "57014", "{:?}", reply.error());
    ensure!(other.query("SELECT 1")?.text() == [["1"]], "the others go on");
    ensure!(sleeper.query("SELECT 2")?.text() == [["2"]], "the session goes on");
    Ok(())
}

#[test]
fn a_token_of_one_gateway_works_at_the_other_and_is_revoked_at_both() -> Result<()> {
    let ground = Ground::new(" []")?;
    let (a, b) = ground.both()?;
    let agent = a.agent("traveller")?;
    let mut there = soon(&b, &agent)?;
    let mut here = wire(&a, &agent)?;
    assert_eq!(there.query("SELECT 1")?.text(), [["1"]]);
    assert_eq!(here.query("SELECT 1")?.text(), [["1"]]);
    let listed = b.json(&["token", "list"])?;
    assert!(listed.to_string().contains(&agent.id), "{listed}");

    b.narrows(&["token", "revoke", &agent.id])?.success()?;
    for wire in [&mut here, &mut there] {
        let end = wire.until_closed()?;
        let said = end.error().context("it says why it ends")?;
        assert!(said.message.contains("revoked"), "{said:?}");
    }
    for gateway in [&a, &b] {
        let refused = format!("{:#}", wire(gateway, &agent).err().context("it was let in")?);
        assert!(refused.contains("28P01"), "{refused}");
    }
    Ok(())
}

#[test]
fn a_yes_at_one_gateway_releases_the_client_that_waits_at_the_other() -> Result<()> {
    let ground = Ground::new(ONE)?;
    let (a, b) = ground.both()?;
    let (agent, ada) = (a.agent("writer")?, a.person("ada", "dba")?);
    let mut waits = wire(&a, &agent)?;
    waits.ask(&insert("released"))?;
    waits.until_tag(b'N')?;
    let id = pending(&b, &insert("released"))?;
    assert_eq!(ground.notes("released")?, 0);
    b.narrows(&["approve", &id, "--token", &ada.secret, "--reason", "from afar"])?.success()?;
    passed(&waits.until_ready()?);
    assert_eq!(word(&view(&a, &id)?, "status"), "approved");
    // Once is once: the next has to ask, and hears a no of the other gateway with its reason.
    waits.ask(&insert("released"))?;
    waits.until_tag(b'N')?;
    let again = pending(&b, &insert("released"))?;
    assert_ne!(again, id);
    b.narrows(&["deny", &again, "--token", &ada.secret, "--reason", "enough now"])?.success()?;
    let refused = waits.until_ready()?.error().context("refused")?;
    assert!(refused.message.contains("enough now"), "{refused:?}");
    assert_eq!(ground.notes("released")?, 1);
    drop(waits);
    let events = Value::from(a.events_of("writer")?).to_string();
    assert!(events.contains("from afar") && events.contains("ada"), "{events}");
    Ok(())
}

#[test]
fn votes_at_both_gateways_count_together_and_each_person_once() -> Result<()> {
    let ground = Ground::new(TWO)?;
    let (a, b) = ground.both()?;
    let agent = a.agent("writer")?;
    let (ada, bob) = (a.person("ada", "dba")?, b.person("bob", "dba")?);
    let mut waits = wire(&a, &agent)?;
    waits.ask(&insert("two"))?;
    waits.until_tag(b'N')?;
    let id = pending(&b, &insert("two"))?;
    approve(&a, &id, &ada)?;
    assert!(!waits.hears_within(Duration::from_millis(300))?, "one is not enough");
    let again = until("ada is known at b", || {
        let said = b.narrows(&["approve", &id, "--token", &ada.secret])?;
        Ok(Some(said).filter(|said| !said.stderr.contains("not valid")))
    })?;
    assert!(again.stderr.contains("already answered"), "{again:?}");
    approve(&b, &id, &bob)?;
    passed(&waits.until_ready()?);
    let votes = view(&a, &id)?.get("votes").and_then(Value::as_array).map(Vec::len);
    assert_eq!(votes, Some(2));
    Ok(())
}

#[test]
fn p1_a_single_use_that_both_gateways_race_for_is_used_once() -> Result<()> {
    let ground = Ground::new(ONE)?;
    let (a, b) = ground.both()?;
    let (agent, ada) = (a.agent("racer")?, a.person("ada", "dba")?);
    drop(soon(&b, &agent)?);
    for round in 0..12 {
        let body = format!("race-{round}");
        let text = insert(&body);
        let mut asks = wire(&a, &agent)?;
        asks.ask(&text)?;
        asks.until_tag(b'N')?;
        drop(asks);
        // Nobody waits when the yes comes.
        until("the session has ended", || {
            let live = a.api("GET", "/api/v1/sessions?live=true", None, None)?.json();
            Ok(live.as_array().filter(|live| live.is_empty()).map(drop))
        })?;
        let id = pending(&b, &text)?;
        approve(&b, &id, &ada)?;
        let wires = [&a, &b, &a, &b].map(|gateway| wire(gateway, &agent));
        let racing: Vec<_> = wires
            .into_iter()
            .map(|wire| {
                let text = text.clone();
                thread::spawn(move || {
                    let mut wire = wire?;
                    wire.ask(&text)?;
                    // A notice that it waits, or the end of the statement.
                    let first = wire.read()?;
                    Ok::<_, anyhow::Error>((first.tag, wire))
                })
            })
            .collect();
        let mut tags = Vec::new();
        let mut wires = Vec::new();
        for racer in racing {
            let (tag, wire) = racer.join().expect("a racer")?;
            tags.push(char::from(tag));
            wires.push(wire);
        }
        let used = tags.iter().filter(|tag| **tag != 'N').count();
        assert_eq!(used, 1, "round {round}: {tags:?}");
        assert_eq!(ground.notes(&body)?, 1, "round {round}");
        drop(wires);
    }
    Ok(())
}

#[test]
fn a_session_is_killed_and_listed_from_any_gateway() -> Result<()> {
    let ground = Ground::new(" []")?;
    let (a, b) = ground.both()?;
    let agent = a.agent("target")?;
    let mut here = wire(&a, &agent)?;
    let there = soon(&b, &agent)?;
    here.query("SELECT 1")?;
    let ids = until("both are listed", || {
        let list = b.json(&["sessions", "--live"])?;
        let list = list.as_array().cloned().unwrap_or_default();
        Ok((list.len() == 2).then_some(list))
    })?;
    let listed = a.api("GET", "/api/v1/sessions?live=true", None, None)?.json();
    let of_a = |one: &Value| word(one, "gateway");
    let gateways: Vec<String> = listed.as_array().context("a list")?.iter().map(of_a).collect();
    assert_ne!(gateways.first(), gateways.get(1), "{listed}");
    let own = a.json(&["sessions", "--principal", "target"])?;
    let id = word(own.as_array().and_then(|own| own.first()).context("its own")?, "id");
    assert!(ids.iter().any(|one| word(one, "id") == id));

    b.narrows(&["kill", &id, "--reason", "seen from afar"])?.success()?;
    let end = here.until_closed()?.error().context("it says why it ends")?;
    assert!(end.message.contains("ended by an administrator"), "{end:?}");
    drop(there);
    let again = b.narrows(&["kill", &id])?;
    assert_eq!(again.code(), 1);
    assert!(again.stderr.contains("live on no gateway"), "{again:?}");
    let journal = a.narrows(&["sessions", "--principal", "target"])?.success()?;
    assert!(journal.contains(&id), "{journal}");
    let gateways = a.api("GET", "/api/v1/gateways", None, None)?.json();
    assert_eq!(gateways.as_array().map(Vec::len), Some(2), "{gateways}");
    Ok(())
}

#[test]
fn a_gateway_killed_while_a_client_waits_loses_nothing() -> Result<()> {
    let ground = Ground::new(ONE)?;
    let (mut a, b) = ground.both()?;
    let (agent, ada) = (b.agent("survivor")?, b.person("ada", "dba")?);
    let mut waits = soon(&a, &agent)?;
    waits.ask(&insert("survives"))?;
    waits.until_tag(b'N')?;
    let id = pending(&b, &insert("survives"))?;
    a.kill()?;
    assert!(waits.until_ready().is_err(), "its gateway is gone");
    // It waits on, and after a while it is known that nobody holds anything for it.
    let marked = within(NOTICED, "what the gateway held is marked", || {
        let view = view(&b, &id)?;
        assert_eq!(word(&view, "status"), "pending", "{view}");
        let holders = view.get("holders").and_then(Value::as_array).cloned();
        Ok(holders.filter(|all| all.iter().all(|one| one.get("gone").is_some())))
    })?;
    assert_eq!(marked.len(), 1, "{marked:?}");
    assert_eq!(ground.notes("survives")?, 0, "and nothing was released");
    approve(&b, &id, &ada)?;
    passed(&wire(&b, &agent)?.query(&insert("survives"))?);
    assert_eq!(ground.notes("survives")?, 1);

    a.launch()?;
    let mut back = wire(&a, &agent)?;
    back.ask(&insert("survives"))?;
    back.until_tag(b'N')?;
    assert_ne!(pending(&a, &insert("survives"))?, id, "the yes was used up by the repeat");
    Ok(())
}

#[test]
fn both_gateways_killed_and_started_again_know_everything() -> Result<()> {
    let ground = Ground::new(ONE)?;
    let (mut a, mut b) = ground.both()?;
    let (agent, ada) = (a.agent("keeper")?, a.person("ada", "dba")?);
    let gone = a.agent("gone")?;
    drop(soon(&b, &gone)?);
    b.narrows(&["token", "revoke", &gone.id])?.success()?;
    let mut asks = soon(&b, &agent)?;
    asks.ask(&insert("granted"))?;
    asks.until_tag(b'N')?;
    drop(asks);
    let granted = pending(&a, &insert("granted"))?;
    let mut waits = wire(&a, &agent)?;
    waits.ask(&insert("asked"))?;
    waits.until_tag(b'N')?;
    let asked = pending(&b, &insert("asked"))?;
    until("nobody waits for the first", || {
        let sessions = b.json(&["sessions", "--principal", "keeper"])?;
        let of = sessions.as_array().cloned().unwrap_or_default();
        Ok(of.iter().all(|one| !one["ended_at"].is_null()).then_some(()))
    })?;
    approve(&a, &granted, &ada)?;
    a.kill()?;
    b.kill()?;
    a.launch()?;
    b.launch()?;
    assert!(wire(&a, &gone).is_err() && wire(&b, &gone).is_err(), "revoked stays revoked");
    passed(&wire(&a, &agent)?.query(&insert("granted"))?);
    assert_eq!(word(&view(&a, &asked)?, "status"), "pending");
    approve(&b, &asked, &ada)?;
    passed(&wire(&b, &agent)?.query(&insert("asked"))?);
    assert_eq!((ground.notes("granted")?, ground.notes("asked")?), (1, 1));
    Ok(())
}

#[test]
fn p2_while_the_database_is_away_nothing_that_is_shared_is_decided() -> Result<()> {
    let mut ground = Ground::new(ONE)?;
    let (a, b) = ground.both()?;
    let (agent, ada) = (a.agent("worker")?, a.person("ada", "dba")?);
    let mut here = wire(&a, &agent)?;
    let mut there = soon(&b, &agent)?;
    for round in 0..3 {
        ground.state.stop();
        for (gateway, wire) in [(&a, &mut here), (&b, &mut there)] {
            let not_ready = until("it says that it is not ready", || {
                let answer = gateway.api_open("/readyz")?;
                Ok(Some(answer).filter(|answer| answer.status == 503))
            })?;
            assert!(not_ready.text.contains("the state database"), "{}", not_ready.text);
            assert!(!not_ready.text.contains("Hidden-upstream"), "{}", not_ready.text);
            assert_eq!(wire.query("SELECT 1")?.text(), [["1"]], "live sessions go on");
            let refused = wire.query(&insert("away"))?.error().context("refused")?;
            assert!(refused.message.contains("state database does not answer"), "{refused:?}");
            self::wire(gateway, &agent).context("a known token is believed for a while")?;
            let made = gateway.narrows(&["token", "create", "nobody", "--group", "agents"])?;
            assert!(made.code() != 0 && made.stderr.contains("cannot be used now"), "{made:?}");
        }
        ground.state.launch()?;
        for gateway in [&a, &b] {
            until("it is ready again", || {
                Ok(Some(())
                    .filter(|()| gateway.api_open("/readyz").is_ok_and(|it| it.status == 200)))
            })?;
        }
        let text = insert(&format!("back-{round}"));
        here.ask(&text)?;
        here.until_tag(b'N')?;
        let id = pending(&b, &text)?;
        approve(&b, &id, &ada)?;
        passed(&here.until_ready()?);
    }
    assert_eq!(ground.notes("away")?, 0);
    let said = a.log();
    let lost = said.lines().filter(|line| line.contains("ERROR")).count();
    assert!((3..=6).contains(&lost), "said once each time, and not for every statement:\n{said}");
    Ok(())
}

#[test]
fn p2_tokens_are_not_believed_longer_than_is_said() -> Result<()> {
    let mut ground = Ground::with(Config::open(), "    outlive: 1s\n")?;
    let a = ground.gateway()?;
    let agent = a.agent("worker")?;
    let mut live = wire(&a, &agent)?;
    ground.state.stop();
    let refused = until("the token is not believed any more", || {
        Ok(wire(&a, &agent).err().map(|error| format!("{error:#}")))
    })?;
    assert!(refused.contains("57P03") && refused.contains("state database"), "{refused}");
    assert_eq!(live.query("SELECT 1")?.text(), [["1"]], "what is live goes on");
    ground.state.launch()?;
    until("it is believed again", || Ok(wire(&a, &agent).ok()))?;
    Ok(())
}

#[test]
fn decisions_under_way_while_the_database_restarts_are_right_or_refused() -> Result<()> {
    let mut ground = Ground::new(ONE)?;
    let (a, b) = ground.both()?;
    let (agent, ada) = (a.agent("loader")?, a.person("ada", "dba")?);
    drop(soon(&b, &agent)?);
    let ports = [a.port(), b.port()];
    let loaders: Vec<_> = (0..4)
        .map(|number| {
            let (port, secret) = (ports[number % 2], agent.secret.clone());
            thread::spawn(move || {
                let (mut done, mut refused) = (Vec::new(), 0_u32);
                while done.len() < 8 {
                    ensure!(refused < 20_000, "refused again and again");
                    let body = format!("load-{number}-{}-{refused}", done.len());
                    let mut wire = Wire::connect(port, "agent", "shop", &secret)?;
                    match wire.query(&insert(&body))?.error() {
                        None => done.push(body),
                        Some(_) => refused += 1,
                    }
                }
                Ok((done, refused))
            })
        })
        .collect();
    // Someone says yes to everything, at whichever gateway answers.
    let mut round = 0_u32;
    while loaders.iter().any(|loader| !loader.is_finished()) {
        round += 1;
        if round == 10 {
            ground.state.stop();
        }
        if round == 20 {
            ground.state.launch()?;
        }
        let gateway = if round.is_multiple_of(2) { &a } else { &b };
        let list = gateway.api("GET", "/api/v1/approvals", None, None)?.json();
        for one in list.as_array().into_iter().flatten() {
            let path = format!("/api/v1/approvals/{}/approve", word(one, "id"));
            let body = serde_json::json!({});
            // Refused while the database is away; asked again in the next round.
            let _ = gateway.api("POST", &path, Some(&ada.secret), Some(&body))?;
        }
    }
    let (mut done, mut refused) = (Vec::new(), 0);
    for loader in loaders {
        let (bodies, times) = loader.join().expect("a loader")?;
        done.extend(bodies);
        refused += times;
    }
    assert!(refused > 0, "nothing was under way while the database was away");
    done.sort();
    let sql = "SELECT body FROM notes WHERE body LIKE 'load-%'";
    let written = ground.upstream.sql(sql)?;
    let mut written: Vec<&str> = written.lines().collect();
    written.sort_unstable();
    assert_eq!(written, done, "what was done was done once, and what was refused was not");
    Ok(())
}

#[test]
fn r5_a_budget_of_guesses_is_one_budget() -> Result<()> {
    let config = Config::rules("\n  - name: hide\n    mask: { fields: [ssn] }\n")
        .with("predicates: { budget: 3 }");
    let ground = Ground::with(config, "")?;
    let (a, b) = ground.both()?;
    let agent = a.agent("guesser")?;
    let mut wires = [wire(&a, &agent)?, soon(&b, &agent)?];
    let mut allowed = 0;
    for number in 0..8_usize {
        let text = format!("SELECT id FROM customers WHERE ssn = '000-00-000{number}'");
        let reply = wires[number % 2].query(&text)?;
        match reply.error() {
            None => allowed += 1,
            Some(error) => assert!(format!("{error:?}").contains("guesses_spent"), "{error:?}"),
        }
    }
    assert_eq!(allowed, 3);
    Ok(())
}

#[test]
fn r4_a_limit_counts_what_was_done_at_any_gateway() -> Result<()> {
    let rules = "\n  - name: ten-an-hour\n    limit: { operations: 10, window: 1h }\n";
    let ground = Ground::new(rules)?;
    let (mut a, b) = ground.both()?;
    let agent = a.agent("busy")?;
    let mut there = soon(&b, &agent)?;
    let mut here = wire(&a, &agent)?;
    for _ in 0..10 {
        assert_eq!(here.query("SELECT 1")?.text(), [["1"]]);
    }
    assert!(here.query("SELECT 1")?.error().is_some(), "the eleventh");
    let refused =
        until("the other gateway heard of them", || Ok(there.query("SELECT 1")?.error()))?;
    assert!(refused.message.contains("operations"), "{refused:?}");
    // Killed, started again, and still known; of the other as well.
    a.kill()?;
    a.launch()?;
    let refused = wire(&a, &agent)?.query("SELECT 1")?.error().context("refused")?;
    assert!(refused.message.contains("operations"), "{refused:?}");
    Ok(())
}

#[test]
fn access_given_at_one_gateway_is_in_force_and_revoked_at_both() -> Result<()> {
    let config = Config::open().locked("request: { by: [dba], max: 4h }");
    let ground = Ground::with(config, "")?;
    let (a, b) = ground.both()?;
    let (bot, ada) = (a.token("bot", &["guests"], &[])?, a.person("ada", "dba")?);
    let words =
        ["request", "locked", "--for", "1h", "--reason", "incident", "--token", &bot.secret];
    let id = word(&a.json(&words)?, "id");
    until("b knows the request", || {
        let known = b.api("GET", &format!("/api/v1/approvals/{id}"), None, None)?;
        Ok(Some(()).filter(|()| known.status == 200))
    })?;
    approve(&b, &id, &ada)?;
    let locked = |gateway: &Gateway| Wire::connect(gateway.port(), "x", "locked", &bot.secret);
    let mut sessions = Vec::new();
    for gateway in [&a, &b] {
        sessions.push(until("the access is in force", || Ok(locked(gateway).ok()))?);
    }
    a.narrows(&["access", "revoke", &id, "--token", &ada.secret])?.success()?;
    for wire in &mut sessions {
        let end = wire.until_closed()?.error().context("it says why it ends")?;
        assert!(end.message.contains("withdrawn"), "{end:?}");
    }
    Ok(())
}

#[test]
fn r17_a_gateway_with_another_key_does_not_start() -> Result<()> {
    let ground = Ground::new(" []")?;
    let _a = ground.gateway()?;
    let other = [("STATE_KEY", "another-key-that-nobody-shares-0123456789")];
    let refused = Gateway::start_in(&other, &ground.config, &ground.upstream.upstream());
    let said = format!("{:#}", refused.err().context("it started")?);
    assert!(said.contains("another key") && said.contains("keys.installation"), "{said}");
    assert!(!said.contains("another-key-that-nobody"), "{said}");
    Ok(())
}

#[test]
fn doctor_and_check_know_the_state_database() -> Result<()> {
    let mut ground = Ground::new(" []")?;
    let a = ground.gateway()?;
    let found = a.narrows(&["doctor"])?.success()?;
    assert!(found.contains("PostgreSQL 15") && found.contains("1 gateway there now"), "{found}");
    let checked = a.narrows(&["check", "--show"])?.success()?;
    assert!(checked.contains("url: postgres://app@localhost:"), "{checked}");
    assert!(!checked.contains("Hidden-upstream"), "{checked}");
    ground.state.stop();
    let found = a.narrows(&["doctor"])?;
    assert_eq!(found.code(), 1);
    assert!(found.stdout.contains("cannot be used now"), "{found:?}");
    Ok(())
}

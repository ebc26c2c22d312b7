//! How much of replies is recorded, where a rule says it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::web::Shop;
use e2e::{Child, Psql, Server, until};
use serde_json::Value;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

const RULES: &str = r#"
  - name: cards-are-not-kept
    when: '"public.customers" in sql.reads'
    record: { payload: none }
  - name: the-beginning-of-pages
    on: [api]
    record: { payload: { head: 200B } }
  - name: less-of-customers
    on: [api]
    when: http.path == "/customers"
    record: { payload: { head: 150B } }
"#;

/// What is recorded of the replies to the operation with this text: bytes that left, bytes kept, and
/// bytes that were not.
fn kept(events: &[Value], text: &str) -> Result<(u64, u64, u64)> {
    let is = |event: &&Value, kind: &str| event.get("kind").and_then(Value::as_str) == Some(kind);
    let said = |event: &Value| event.get("text").and_then(Value::as_str).map(str::to_owned);
    let asked = events
        .iter()
        .filter(|event| is(event, "operation"))
        .find(|event| said(event).is_some_and(|said| said.contains(text)))
        .with_context(|| format!("nobody asked {text}: {events:?}"))?;
    let number = asked.get("operation").context("an operation has a number")?;
    let of = |event: &&Value| event.get("operation") == Some(number);
    let replies = events.iter().filter(of).filter(|e| is(e, "reply") || is(e, "reply_part"));
    let payload = |event: &Value| -> u64 {
        let text = event.get("payload").and_then(Value::as_str).unwrap_or_default();
        // Base64, four letters for three bytes.
        let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
        (text.len() / 4 * 3).saturating_sub(padding) as u64
    };
    let found = replies.fold((None, 0), |(end, kept), event| {
        let end = if is(&event, "reply") { Some(event) } else { end };
        (end, kept + payload(event))
    });
    let end = found.0.with_context(|| format!("no reply to {text}: {events:?}"))?;
    let number = |key: &str| end.get(key).and_then(Value::as_u64).with_context(|| key.to_owned());
    Ok((number("bytes")?, found.1, number("payload_dropped")?))
}

/// The events of the one session of a principal, with payloads, once so many replies have ended.
fn events(shop: &Shop, who: &str, replies: usize) -> Result<Vec<Value>> {
    until("the replies are recorded", || {
        let session = shop.gateway.session_of(who)?;
        let id = session.get("id").and_then(Value::as_str).context("a session has an id")?;
        let shown = shop.gateway.json(&["show", "--full", id])?;
        let events = shown.get("events").and_then(Value::as_array).context("events")?;
        let is_reply = |event: &&Value| event.get("kind").and_then(Value::as_str) == Some("reply");
        let ended = events.iter().filter(is_reply).count();
        Ok((ended >= replies).then(|| events.clone()))
    })
}

#[test]
fn p6_a_rule_says_how_much_of_a_reply_is_recorded() -> Result<()> {
    let server = Server::start()?;
    let shop = Shop::beside(&server)?;
    shop.add_rule(RULES)?;
    let token = shop.gateway.agent("worker")?;
    let ports = shop.gateway.ports();

    let psql = Psql::new(ports.postgres, &token.secret, "shop");
    psql.psql(&["select name from customers limit 3", "select id from orders limit 3"])?
        .success()?;
    let events = self::events(&shop, "worker", 2)?;
    let (bytes, kept_of_it, dropped) = kept(&events, "from customers")?;
    ensure!(bytes > 0 && kept_of_it == 0 && dropped > 0, "{bytes} {kept_of_it} {dropped}");
    let (bytes, kept_of_it, dropped) = kept(&events, "from orders")?;
    ensure!(kept_of_it == bytes && dropped == 0, "{bytes} {kept_of_it} {dropped}");

    let reader = shop.gateway.agent("reader")?;
    for path in ["/customers", "/gzip"] {
        let url = format!("http://127.0.0.1:{}/r/api{path}", ports.http);
        let bearer = format!("Authorization: Bearer {}", reader.secret);
        let mut curl = Command::new("curl");
        let path = std::env::var_os("PATH").unwrap_or_default();
        curl.args(["-sS", "--max-time", "50", "-o", "/dev/null", "-w", "%{http_code}", &url]);
        curl.args(["-H", &bearer]).env_clear().env("PATH", path).current_dir(shop.gateway.dir());
        ensure!(Child::start_piped(&mut curl)?.output(PATIENCE)?.success()? == "200");
    }
    let events = self::events(&shop, "reader", 2)?;
    for (path, head) in [("/customers", 150), ("/gzip", 200)] {
        let (_, kept_of_it, dropped) = kept(&events, path)?;
        ensure!(kept_of_it == head && dropped > 0, "{path}: {kept_of_it} kept, {dropped} not");
    }

    // The same, before anything is asked.
    let ask = ["explain", "--as", "worker", "--group", "agents", "--on", "shop"];
    let told = shop.gateway.narrows(&[&ask[..], &["select * from customers"]].concat())?;
    let told = told.success()?;
    ensure!(told.contains("payload of its reply that is recorded, by rule: none"), "{told}");
    Ok(())
}

//! What a principal read is followed into its requests (R14): from PostgreSQL, from an API, whatever
//! the encoding, over a restart.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::web::{RawHttp, Shop, Trust};
use e2e::{Gateway, Server, Token, Wire, bind, execute, message, parse, sync};

const RULES: &str = r#"
  - name: what-was-read-stays
    on: ["type:egress"]
    when: http.carries.size() > 0
    block: "the request repeats values of {http.carries}"
  - name: people-are-followed
    on: [shop, api]
    classify: { fields: [customers.name, customers.email, name, network] }
"#;

/// A principal whom no rule about detections concerns.
fn reader(shop: &Shop, name: &str) -> Result<Token> {
    shop.gateway.token(name, &["loaders"], &[])
}

/// Sends a request to the listed host through the proxy, inside TLS; the status, and all that was
/// said.
fn send(shop: &Shop, token: &Token, request: &[u8]) -> Result<(u16, String)> {
    let proxy = ([127, 0, 0, 1], shop.gateway.ports().egress).into();
    let ca = shop.gateway.dir().join("var/ca/ca.pem");
    let client = RawHttp::to(proxy).tunnel("listed.test:443", &token.secret);
    let client = client.tls(Some("listed.test"), Trust::File(ca));
    let reply = client.send(&[request.to_vec()])?;
    Ok((reply.status(), reply.text()))
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: listed.test\r\nconnection: close\r\n\r\n").into()
}

fn post(kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "POST /notes HTTP/1.1\r\nhost: listed.test\r\nconnection: close\r\n\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn read(shop: &Shop, token: &Token, query: &str) -> Result<Vec<Vec<String>>> {
    let port = shop.gateway.ports().postgres;
    let reply = Wire::connect(port, "reader", "shop", &token.secret)?.query(query)?;
    ensure!(reply.error().is_none(), "{:?}", reply.error());
    Ok(reply.text())
}

/// Ways in which a value can be written into a request.
fn ways(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(value);
    let reversed: String = value.chars().rev().collect();
    let escaped: String = value.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let percent: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let spread: String = value.chars().map(|c| format!("{c} . ")).collect();
    let (first, rest) = value.split_at(value.len() / 2);
    let cut = format!("{{\"a\": \"{first}\", \"zz\": 1, \"b\": [\"{rest}\"]}}")
        .replace("\"zz\": 1, ", "");
    let (one, two) = base64.split_at(base64.len() / 2);
    vec![
        ("as it is", post("text/plain", format!("say {value}!").as_bytes())),
        ("in a query", get(&format!("/find?q={}", percent))),
        ("in a path", get(&format!("/find/{}", value.replace(' ', "%20")))),
        (
            "cut over a query",
            get(&format!("/find?a={}&b={}", first.replace(' ', "+"), rest.replace(' ', "+"))),
        ),
        ("in upper case", post("text/plain", value.to_uppercase().as_bytes())),
        ("spread", post("text/plain", spread.as_bytes())),
        ("reversed", post("text/plain", reversed.as_bytes())),
        ("base64", post("text/plain", base64.as_bytes())),
        ("base64 twice", post("text/plain", STANDARD.encode(&base64).as_bytes())),
        ("base64, cut", post("application/json", format!("[\"{one}\",\"{two}\"]").as_bytes())),
        ("hex", post("text/plain", hex.as_bytes())),
        ("escaped", post("application/json", format!("\"{escaped}\"").as_bytes())),
        ("cut over JSON", post("application/json", cut.as_bytes())),
        (
            "cut over a form",
            post(
                "application/x-www-form-urlencoded",
                format!("x={}&y={}", first.replace(' ', "+"), rest.replace(' ', "+")).as_bytes(),
            ),
        ),
        ("cut over markup", post("text/html", format!("<p>{first}</p><b>{rest}</b>").as_bytes())),
        ("in a field", {
            let mut request = get("/x");
            let at = request.len() - 2;
            request.splice(at..at, format!("x-note: {value}\r\n").into_bytes());
            request
        }),
    ]
}

#[test]
fn r14_what_was_read_from_a_database_is_found_in_requests_however_it_is_written() -> Result<()> {
    let server = Server::start()?;
    let mut shop = Shop::beside(&server)?;
    shop.add_rule(RULES)?;
    let (ann, bob) = (reader(&shop, "ann")?, reader(&shop, "bob")?);
    let rows = read(&shop, &ann, "SELECT id, name, email, ssn FROM customers WHERE id = 4711")?;
    let [_, name, email, hidden] = &rows.first().context("a row")?[..] else {
        anyhow::bail!("{rows:?}")
    };
    ensure!(hidden == "[REDACTED]", "{hidden}");
    // The number that the mask hid; the server knows it.
    let ssn = server.sql("SELECT ssn FROM customers WHERE id = 4711")?;
    let ssn = ssn.trim();
    let before = shop.listed.seen().len();
    for (value, source) in [
        (name.as_str(), "shop:public.customers.name"),
        (email, "shop:public.customers.email"),
        (ssn, "shop:public.customers.ssn"),
    ] {
        for (way, request) in ways(value) {
            let (status, said) = send(&shop, &ann, &request)?;
            ensure!(status == 403, "{value} {way}: {said}");
            ensure!(said.contains(&format!("repeats values of {source}")), "{value} {way}: {said}");
        }
    }
    ensure!(shop.listed.seen().len() == before, "something arrived");

    // Nobody else received them, and what was not read is free.
    for (way, request) in ways(name) {
        let (status, said) = send(&shop, &bob, &request)?;
        ensure!(status == 200, "{way}: {said}");
    }
    let (status, said) = send(&shop, &ann, &post("text/plain", b"Nobody Special, 999-99-9999"))?;
    ensure!(status == 200, "{said}");

    // A gateway that ends without a word forgets none.
    shop.gateway.kill()?;
    shop.gateway.launch()?;
    let (status, said) = send(&shop, &ann, &post("text/plain", email.as_bytes()))?;
    ensure!(status == 403 && said.contains("shop:public.customers.email"), "{said}");
    Ok(())
}

#[test]
fn r14_values_are_followed_whatever_the_statement_and_format() -> Result<()> {
    let server = Server::start()?;
    let shop = Shop::beside(&server)?;
    shop.add_rule(RULES)?;
    let mail = |id: u32| format!("customer{id}@shop.example");
    let statements = [
        "SELECT email FROM customers WHERE id = 101",
        "SELECT upper(email) AS x FROM customers WHERE id = 102",
        "SELECT 'mailto:' || email FROM customers WHERE id = 103",
        "WITH c AS (SELECT email e FROM customers WHERE id = 104) SELECT e FROM c",
        "SELECT json_build_object('e', email) FROM customers WHERE id = 105",
        "SELECT array[email, 'x'] FROM customers WHERE id = 106",
        "SELECT (id, email) FROM customers WHERE id = 107",
        "COPY (SELECT email FROM customers WHERE id = 108) TO STDOUT",
        "COPY (SELECT email, id FROM customers WHERE id = 109) TO STDOUT (FORMAT csv)",
        "UPDATE customers SET city = city WHERE id = 110 RETURNING email",
        "COPY (SELECT email FROM customers WHERE id = 111) TO STDOUT (FORMAT binary)",
    ];
    for (id, statement) in (101..).zip(statements) {
        let reader = reader(&shop, &format!("reader-{id}"))?;
        let body = post("text/plain", mail(id).as_bytes());
        let (status, said) = send(&shop, &reader, &body)?;
        ensure!(status == 200, "nothing was read: {said}");
        let port = shop.gateway.ports().postgres;
        let reply = Wire::connect(port, "reader", "shop", &reader.secret)?.query(statement)?;
        ensure!(reply.error().is_none(), "{statement}: {:?}", reply.error());
        let (status, said) = send(&shop, &reader, &body)?;
        ensure!(status == 403 && said.contains("customers.email"), "{statement}: {said}");
    }
    // In the binary format of the extended protocol.
    let reader = reader(&shop, "reader-binary")?;
    let mut wire = Wire::connect(shop.gateway.ports().postgres, "reader", "shop", &reader.secret)?;
    wire.extended("SELECT email FROM customers WHERE id = $1::text::int", &["120"], 1)?;
    let (status, said) = send(&shop, &reader, &post("text/plain", mail(120).as_bytes()))?;
    ensure!(status == 403 && said.contains("customers.email"), "{said}");
    Ok(())
}

#[test]
fn r14_what_was_read_from_an_api_is_found_in_requests_to_another() -> Result<()> {
    let shop = Shop::start()?;
    shop.add_rule(&RULES.replace("on: [shop, api]", "on: [api]"))?;
    for path in ["/customers", "/customers.ndjson", "/events", "/gzip"] {
        let ann = reader(&shop, &format!("ann{}", path.replace(['/', '.'], "-")))?;
        // "Ada" is too short to be followed; the card network is "visa" and so is it.
        let secret = b"the card is 4012 8888 8888 1881 and the number 536-22-8726";
        let (status, said) = send(&shop, &ann, &post("text/plain", secret))?;
        ensure!(status == 200, "{path}: nothing was read: {said}");
        let api = ([127, 0, 0, 1], shop.gateway.ports().http).into();
        let request = format!(
            "GET /r/api{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             connection: close\r\n\r\n",
            ann.secret
        );
        let reply = RawHttp::to(api).send(&[request.into_bytes()])?;
        ensure!(reply.status() == 200, "{path}: {}", reply.text());
        let (status, said) = send(&shop, &ann, &post("text/plain", secret))?;
        ensure!(status == 403, "{path}: {said}");
        ensure!(said.contains("api:ssn") && said.contains("credit_card"), "{path}: {said}");
    }
    Ok(())
}

/// A database and the proxy, for principals from whom nothing is hidden.
fn unmasked(ports: &e2e::Ports, database: u16) -> String {
    let e2e::Ports { admin, postgres, egress, .. } = ports;
    format!(
        r#"data_dir: ./var
listen:
  admin: 127.0.0.1:{admin}
  postgres: 127.0.0.1:{postgres}
  egress: 127.0.0.1:{egress}
resources:
  shop: {{ type: postgres, address: "127.0.0.1:{database}", database: shop, user: app, password: {{env: UPSTREAM_PASSWORD}}, tls: off }}
  internet: {{ type: egress }}
access:
  - {{ groups: [loaders], resources: [shop, internet] }}
rules:
  - {{ name: people-are-followed, on: [shop], classify: {{ fields: [customers.email] }} }}
  - name: what-was-read-stays
    on: [internet]
    when: http.carries.size() > 0
    block: "the request repeats values of {{http.carries}}"
"#
    )
}

#[test]
fn p9_r14_who_has_no_masks_works_as_before_and_is_followed() -> Result<()> {
    let server = Server::start()?;
    let gateway = Gateway::start_with(|ports, _| unmasked(ports, server.upstream().port))?;
    let token = gateway.token("ann", &["loaders"], &[])?;
    let mut wire = Wire::connect(gateway.ports().postgres, "ann", "shop", &token.secret)?;
    for format in [0, 1] {
        for text in ["SELECT $1::text", "SELECT email FROM customers WHERE id = $1::text::int"] {
            let reply = wire.extended(text, &["77"], format)?;
            ensure!(reply.error().is_none(), "{text} {format}: {:?}", reply.error());
            ensure!(reply.rows().len() == 1, "{text} {format}");
        }
    }
    // Undescribed, as drivers do that know what they prepared.
    let mut unasked = parse("", "SELECT email FROM customers WHERE id = $1::text::int");
    unasked.extend(bind("", "", &["78"], 0));
    unasked.extend(execute("", 0));
    unasked.extend(sync());
    wire.send(&unasked)?;
    let reply = wire.until_ready()?;
    ensure!(reply.error().is_none() && reply.rows().len() == 1, "{:?}", reply.error());
    for id in [77, 78] {
        let proxy = ([127, 0, 0, 1], gateway.ports().egress).into();
        let credentials = STANDARD.encode(format!("x:{}", token.secret));
        let request = format!(
            "GET http://host.test/customer{id}@shop.example HTTP/1.1\r\nhost: host.test\r\n\
             proxy-authorization: Basic {credentials}\r\nconnection: close\r\n\r\n"
        );
        let reply = RawHttp::to(proxy).send(&[request.into_bytes()])?;
        ensure!(
            reply.status() == 403 && reply.text().contains("customers.email"),
            "{}",
            reply.text()
        );
    }
    Ok(())
}

#[test]
fn p2_p8_while_nothing_can_be_kept_a_reply_ends_its_session_and_others_go_on() -> Result<()> {
    let server = Server::start()?;
    let gateway = Gateway::start_with(|ports, _| unmasked(ports, server.upstream().port))?;
    let token = gateway.token("ann", &["loaders"], &[])?;
    let port = gateway.ports().postgres;
    let mut wire = Wire::connect(port, "ann", "shop", &token.secret)?;
    wire.query("SELECT email FROM customers WHERE id = 5")?;
    // Somebody else writes to the state database and does not end.
    let mut other = std::process::Command::new("python3")
        .args([
            "-c",
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
             c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()",
        ])
        .arg(gateway.dir().join("var/state.sqlite"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut words = other.stdout.take().context("its words")?;
    std::io::Read::read_exact(&mut words, &mut [0; 7])?;
    wire.send(&message(b'Q', b"SELECT email FROM customers WHERE id = 6\0"))?;
    let reply = wire.until_closed()?;
    let error = reply.error().context("it says why")?;
    ensure!(format!("{error:?}").contains("followed"), "{error:?}");
    ensure!(!wire.has_received(b"customer6@"), "what was not kept was sent");
    // What was received before need not be kept again.
    let mut wire = Wire::connect(port, "ann", "shop", &token.secret)?;
    ensure!(wire.query("SELECT email FROM customers WHERE id = 5")?.error().is_none(), "known");
    drop(other.stdin.take());
    other.wait()?;
    let reply = wire.query("SELECT email FROM customers WHERE id = 6")?;
    ensure!(reply.error().is_none(), "{:?}", reply.error());
    Ok(())
}

//! Requests that two readers cut in two ways, against both listeners: the upstream sees what the
//! gateway recorded, request by request, or nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::Gateway;
use e2e::web::frames::{Peer, Road, block, flag, kind};
use e2e::web::smuggling::{Client, Face, attempts};
use e2e::web::strict::{Received, Request, Strict};
use serde_json::Value;

/// Longest wait for an end of a connection. Nothing that goes well takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends these bytes, nothing after them, and gives everything that comes back.
fn said(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // One that is closed already is an answer.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(error).context("the connection does not end")
        }
        _ => Ok(String::from_utf8_lossy(&heard).into_owned()),
    }
}

/// What the upstream's answers say that they answer, in order.
fn echoes(heard: &str) -> Vec<&str> {
    let lines = heard.split("\r\n").filter_map(|line| line.split_once(": "));
    let echo = lines.filter(|(name, _)| name.eq_ignore_ascii_case("x-echo"));
    echo.map(|(_, target)| target).collect()
}

/// What is wrong after an attempt: with what the upstream received, and with who was answered what.
fn wrong(received: &Received, heard: &str, victim: (&str, &str)) -> Option<String> {
    if let Some((bytes, why)) = received.wrong.first() {
        return Some(format!("the upstream received what is no request ({why}): {bytes:?}"));
    }
    let lines = received.requests.iter().map(|request| &request.line).chain(&received.cut);
    if let Some(line) = lines.clone().find(|line| line.contains("/smuggled-")) {
        return Some(format!("it was smuggled: {line}"));
    }
    if let Some(echo) = echoes(heard).iter().find(|echo| echo.contains("/smuggled-")) {
        return Some(format!("what was smuggled was answered: {echo}"));
    }
    let (victim, asked) = victim;
    match echoes(victim).as_slice() {
        [echo] if *echo == asked => None,
        other => Some(format!(
            "the next client asked for {asked} and was answered {other:?}: {victim:?}"
        )),
    }
}

struct Bench {
    gateway: Gateway,
    upstream: Strict,
}

impl Bench {
    fn start() -> Result<Self> {
        let upstream = Strict::start()?;
        let address = upstream.address();
        let gateway = Gateway::start_with(|ports, _| {
            let listen = ports.web();
            format!(
                r#"{listen}resources:
  up: {{ type: http, url: "http://{address}" }}
  internet: {{ type: egress, hosts: {{ up.test: "{address}", evil.test: "{address}" }} }}
access:
  - {{ groups: [agents], resources: [up, internet] }}
rules:
  - name: nothing-is-smuggled
    when: http.path.contains("/smuggled") || http.host == "evil.test"
    block: smuggled
"#
            )
        })?;
        Ok(Self { gateway, upstream })
    }

    fn faces(&self) -> Result<[(Client, Road, SocketAddr); 2]> {
        let token = self.gateway.agent("smuggler")?.secret;
        let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (http, egress) = (at(self.gateway.ports().http), at(self.gateway.ports().egress));
        let client = |face| Client { face, token: token.clone() };
        Ok([
            (client(Face::Reverse("up")), Road::Reverse(http, token.clone(), "up"), http),
            (client(Face::Proxy("up.test")), Road::Proxy(egress, token.clone(), "up.test"), egress),
        ])
    }
}

/// What was allowed, as the journal has it.
struct Recorded {
    /// Method and URL.
    line: String,
    /// Names of its fields.
    names: Vec<String>,
    /// Of its body, where it was held.
    length: Option<usize>,
}

fn recorded(gateway: &Gateway) -> Result<Vec<Recorded>> {
    let mut all = Vec::new();
    let sessions = gateway.json(&["sessions", "--principal", "smuggler"])?;
    for session in sessions.as_array().context("a list")? {
        let id = session.get("id").and_then(Value::as_str).context("an id")?;
        let shown = gateway.show(id)?;
        let events = shown.get("events").and_then(Value::as_array).context("events")?;
        for event in events {
            let text = |key: &str| event.get(key).and_then(Value::as_str);
            let (Some(line), Some("allow")) = (text("text"), text("decision")) else { continue };
            let (mut names, mut length) = (Vec::new(), None);
            for parameter in event.get("parameters").and_then(Value::as_array).into_iter().flatten()
            {
                let text =
                    |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
                match text("kind") {
                    "body bytes" => length = text("value").parse().ok(),
                    name if name.starts_with("body") || name.contains(' ') => {}
                    name => names.push(name.to_owned()),
                }
            }
            all.push(Recorded { line: line.to_owned(), names: told(names), length });
        }
    }
    Ok(all)
}

/// Names of fields without those by which each hop says whose the message is and where it ends.
fn told(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let own = ["host", "content-length", "transfer-encoding", "connection", "upgrade"];
    let mut names: Vec<String> =
        names.into_iter().filter(|name| !own.contains(&name.as_str())).collect();
    names.sort_unstable();
    names
}

/// Requests that arrived and were not recorded so. A client that left may have kept others from being
/// sent.
fn unmatched(requests: &[Request], cut: &[String], gateway: &Gateway) -> Result<Vec<String>> {
    let mut records = recorded(gateway)?;
    let mut differ = Vec::new();
    for request in requests {
        let host = request.fields.iter().find(|(name, _)| name == "host");
        let host = host.map_or("", |(_, host)| host.as_str());
        let (method, target) = request.line.split_once(' ').unwrap_or_default();
        let line = format!("{method} http://{host}{target}");
        let names = told(request.fields.iter().map(|(name, _)| name.clone()));
        let found = records.iter().position(|record| {
            record.line == line
                && record.names == names
                && record.length.is_none_or(|length| length == request.body.len())
        });
        match found {
            Some(at) => drop(records.swap_remove(at)),
            None => differ.push(format!("not recorded: {line} {names:?} {:?}", request.body.len())),
        }
    }
    for line in cut {
        let (method, target) = line.split_once(' ').unwrap_or_default();
        let found = records.iter().position(|record| {
            let begins = record.line.starts_with(&format!("{method} http://"));
            begins && record.line.ends_with(target)
        });
        match found {
            Some(at) => drop(records.swap_remove(at)),
            None => differ.push(format!("not recorded: {line}, whose body broke off")),
        }
    }
    Ok(differ)
}

/// A request of HTTP/2 that would be more than one in HTTP/1.1.
struct Downgrade {
    what: String,
    fields: Vec<(String, String)>,
    body: String,
}

fn downgrades(road: &Road, number: usize) -> Vec<Downgrade> {
    let smuggled = format!("GET /smuggled-{number} HTTP/1.1\r\nHost: up.test\r\n\r\n");
    let chunks = format!("0\r\n\r\n{smuggled}");
    let path = |more: &str| {
        let own = road.fields("POST", &format!("/case-{number}{more}"));
        own.into_iter().find(|(name, _)| name == ":path").unwrap_or_default().1
    };
    let mut all = Vec::new();
    let mut add = |what: &str, changes: &[(&str, &str)], body: &str| {
        let mut fields = road.fields("POST", &format!("/case-{number}"));
        for (name, value) in changes {
            match fields.iter_mut().find(|(known, _)| known == name && name.starts_with(':')) {
                Some((_, old)) => (*value).clone_into(old),
                None => fields.push(((*name).to_owned(), (*value).to_owned())),
            }
        }
        all.push(Downgrade { what: what.to_owned(), fields, body: body.to_owned() });
    };
    for length in
        ["0", "1", "4", "00", "+0", "0, 0", "-1", "0x0", "", "99999", "18446744073709551616"]
    {
        add(&format!("H2.CL {length:?}"), &[("content-length", length)], &smuggled);
    }
    add("H2.CL twice", &[("content-length", "0"), ("content-length", "9")], &smuggled);
    for encoding in ["chunked", "Chunked", "identity", "x", ""] {
        add(&format!("H2.TE {encoding:?}"), &[("transfer-encoding", encoding)], &chunks);
    }
    add("H2.TE underscore", &[("transfer_encoding", "chunked")], &chunks);
    add("H2.CL underscore", &[("content_length", "0")], &smuggled);
    for end in ["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\u{b}", "\u{c}"] {
        let value = format!("x{end}transfer-encoding: chunked");
        add(&format!("in a value {end:?}"), &[("x-y", &value)], &chunks);
        add(
            &format!("in a name {end:?}"),
            &[(&format!("x: y{end}transfer-encoding"), "chunked")],
            &chunks,
        );
        add(
            &format!("in the path {end:?}"),
            &[(":path", &path(&format!(" HTTP/1.1{end}Transfer-Encoding: chunked{end}X: x")))],
            &chunks,
        );
        add(
            &format!("in the method {end:?}"),
            &[(":method", &format!("GET /smuggled-{number} HTTP/1.1{end}{end}X"))],
            &chunks,
        );
        add(
            &format!("in the authority {end:?}"),
            &[(":authority", &format!("up.test{end}X: y"))],
            &chunks,
        );
        add(&format!("in Host {end:?}"), &[("host", &format!("up.test{end}X: y"))], &chunks);
        add(
            &format!("in the scheme {end:?}"),
            &[(":scheme", &format!("http://up.test/smuggled-{number} HTTP/1.1{end}"))],
            &chunks,
        );
    }
    add("a colon in a name", &[("transfer-encoding: chunked\r\nx", "y")], &chunks);
    add("a space in a name", &[("transfer-encoding ", "chunked")], &chunks);
    add("a name in upper case", &[("Transfer-Encoding", "chunked")], &chunks);
    add("the method of a tunnel", &[(":method", "CONNECT")], &smuggled);
    add("a change of protocol", &[("connection", "upgrade"), ("upgrade", "h2c")], &smuggled);
    add("an expectation", &[("expect", "100-continue"), ("content-length", "0")], &smuggled);
    add("a space in the path", &[(":path", &path(" HTTP/1.1"))], &smuggled);
    add(
        "a scheme with a path",
        &[(":scheme", &format!("http://up.test/smuggled-{number}?"))],
        &smuggled,
    );
    all
}

#[test]
fn p1_p2_an_upstream_receives_what_was_recorded_and_nothing_else() -> Result<()> {
    let bench = Bench::start()?;
    let (mut requests, mut cut, mut found, mut tried) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (client, _, address) in bench.faces()? {
        for (number, attempt) in attempts(&client).into_iter().enumerate() {
            tried += 1;
            let next = client.get(&format!("/next-{number}"));
            let end = format!("\r\n\r\n{}\r\n\r\n", "Z".repeat(200));
            let bytes = [&attempt.bytes[..], next.as_bytes(), end.as_bytes()].concat();
            let heard = said(address, &bytes).with_context(|| attempt.name.clone())?;
            let path = format!("/victim-{number}");
            let victim = format!("{}Connection: close\r\n\r\n", client.head("GET", &path));
            let answer = said_whole(address, victim.as_bytes())?;
            let received = bench.upstream.take();
            if let Some(what) = wrong(&received, &heard, (&answer, &path)) {
                found.push(format!("{:?}: {}: {what}", client.face, attempt.name));
            }
            requests.extend(received.requests);
            cut.extend(received.cut);
        }
    }
    println!("{tried} attempts, {} requests and {} beginnings arrived", requests.len(), cut.len());
    ensure!(tried >= 300, "{tried} attempts");
    ensure!(found.is_empty(), "{} of {tried}:\n{}", found.len(), found.join("\n"));
    let differ = unmatched(&requests, &cut, &bench.gateway)?;
    ensure!(differ.is_empty(), "{}:\n{}", differ.len(), differ.join("\n"));
    ensure!(!bench.gateway.log().contains("panicked"), "{}", bench.gateway.log_tail());
    Ok(())
}

/// As [`said`], of a client that waits for its answer.
fn said_whole(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).context("the next client is answered")?;
    Ok(heard)
}

#[test]
fn p1_p2_fields_of_http2_are_fields_in_http1_and_nothing_more() -> Result<()> {
    let bench = Bench::start()?;
    let (mut requests, mut found, mut tried) = (Vec::new(), Vec::new(), 0);
    for (client, road, address) in bench.faces()? {
        for number in 0..downgrades(&road, 0).len() {
            let Downgrade { what, fields, body } = downgrades(&road, number).swap_remove(number);
            tried += 1;
            let mut peer = Peer::begin(&road)?;
            peer.frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&fields));
            peer.data(1, flag::END_STREAM, body.as_bytes());
            // However it ends, it has ended then.
            peer.outcome(1, true).with_context(|| what.clone())?;
            let path = format!("/victim-{number}");
            let victim = format!("{}Connection: close\r\n\r\n", client.head("GET", &path));
            let answer = said_whole(address, victim.as_bytes())?;
            let received = bench.upstream.take();
            if let Some(wrong) = wrong(&received, "", (&answer, &path)) {
                found.push(format!("{:?}: {what}: {wrong}", client.face));
            }
            requests.extend(received.requests);
        }
    }
    println!("{tried} attempts, {} requests arrived", requests.len());
    ensure!(found.is_empty(), "{} of {tried}:\n{}", found.len(), found.join("\n"));
    let differ = unmatched(&requests, &[], &bench.gateway)?;
    ensure!(differ.is_empty(), "{}:\n{}", differ.len(), differ.join("\n"));
    Ok(())
}

/// Passes bytes on, both ways.
fn copying(to: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let Ok(mut server) = TcpStream::connect(to) else { return };
            let (Ok(mut back), Ok(mut from)) = (client.try_clone(), server.try_clone()) else {
                return;
            };
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut client, &mut server);
                let _ = server.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
        }
    });
    Ok(address)
}

#[test]
fn most_attempts_are_noticed_where_bytes_are_only_copied() -> Result<()> {
    let upstream = Strict::start()?;
    let address = copying(upstream.address())?;
    let client = Client { face: Face::Reverse("up"), token: "nrw_none".to_owned() };
    let all = attempts(&client);
    let mut noticed = 0;
    for (number, attempt) in all.iter().enumerate() {
        let next = client.get(&format!("/next-{number}"));
        let heard = said(address, &[&attempt.bytes[..], next.as_bytes()].concat())?;
        let path = format!("/victim-{number}");
        let victim = said(address, client.get(&path).as_bytes())?;
        let asked = client.target(&path);
        noticed += usize::from(wrong(&upstream.take(), &heard, (&victim, &asked)).is_some());
    }
    println!("{noticed} of {} noticed", all.len());
    ensure!(noticed * 10 >= all.len() * 8, "only {noticed} of {} are noticed", all.len());
    Ok(())
}

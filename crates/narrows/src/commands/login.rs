//! `narrows login`, `logout`, `whoami`: the gateway is who signs people in, whatever provider it
//! asks for that.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use admin::WhoAmI;
use anyhow::{Context as _, bail};
use model::Secret;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::SaidNo;
use crate::args::Common;
use crate::client::{Client, Refused};
use crate::credentials::{Credentials, Kept};
use crate::output;

/// How long somebody may take to sign in.
const TAKES: Duration = Duration::from_secs(600);
/// How long a browser may take to say what it wants.
const ASKS: Duration = Duration::from_secs(5);
/// Longest request of a browser that is read, bytes.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Requests that are not the answer, until it is given up.
const OTHERS_MAX: usize = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Signs in with a browser on this computer: it brings a code to a port here.
pub fn by_browser(common: &Common, no_browser: bool) -> anyhow::Result<()> {
    let client = Client::without_token(common)?;
    let listener = TcpListener::bind("127.0.0.1:0").context("listen on 127.0.0.1")?;
    let port = listener.local_addr()?.port();
    let (verifier, state) = (store::random_text()?, store::random_text()?);
    let address = format!("{}/command?{}", client.base(), {
        let mut query = Serializer::new(String::new());
        query
            .append_pair("port", &port.to_string())
            .append_pair("challenge", &identity::challenge(&verifier))
            .append_pair("state", &state)
            .append_pair("name", &this_computer());
        query.finish()
    });
    eprintln!("Sign in with a browser on this computer:\n\n  {address}\n");
    if !no_browser && std::io::stderr().is_terminal() {
        open(&address);
    }
    let code = wait_for(&listener, &state)?;
    let redirect = format!("http://127.0.0.1:{port}/");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("code_verifier", &verifier),
        ("redirect_uri", &redirect),
    ];
    let (status, answer) = client.form("/oauth/token", &fields)?;
    keep(common, &client, status, &answer)
}

/// Signs in with a browser anywhere: the person compares a code.
pub fn by_device(common: &Common) -> anyhow::Result<()> {
    let client = Client::without_token(common)?;
    let name = this_computer();
    let fields = [("client_id", "narrows"), ("device_name", &*name)];
    let (status, given) = client.form("/oauth/device_authorization", &fields)?;
    let word = |name: &str| given.get(name).and_then(Value::as_str);
    let (Some(device), Some(code), Some(page)) =
        (word("device_code"), word("user_code"), word("verification_uri"))
    else {
        return Err(refused(status, &given));
    };
    let number = |name: &str, most: u64| {
        given.get(name).and_then(Value::as_u64).unwrap_or(most).clamp(1, most)
    };
    eprintln!("Open  {page}\nin any browser, and compare the code:\n\n  {code}\n");
    if let Some(whole) = word("verification_uri_complete") {
        eprintln!("The same with the code in it:  {whole}\n");
    }
    let end = Instant::now() + Duration::from_secs(number("expires_in", TAKES.as_secs()));
    let mut interval = Duration::from_secs(number("interval", 60));
    let fields =
        [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", device)];
    while Instant::now() < end {
        thread::sleep(interval);
        let (status, answer) = client.form("/oauth/token", &fields)?;
        match answer.get("error").and_then(Value::as_str) {
            Some("authorization_pending") => {}
            Some("slow_down") => interval += Duration::from_secs(5),
            _ => return keep(common, &client, status, &answer),
        }
    }
    bail!("nobody said yes in time; begin again")
}

/// Keeps the token of an answer.
fn keep(common: &Common, client: &Client, status: u16, answer: &Value) -> anyhow::Result<()> {
    let word = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(token), Some(subject), Some(expires_at)) =
        (word("access_token"), word("subject"), word("expires_at"))
    else {
        return Err(refused(status, answer));
    };
    let kept = Kept::new(&Secret::new(token), subject.clone(), expires_at.clone());
    Credentials::read()?.keep(client.base(), Some(kept))?;
    if common.json {
        let url = client.base();
        return output::json(&json!({ "url": url, "subject": subject, "expires_at": expires_at }));
    }
    output::line(&format!("signed in at {} as {subject}, until {expires_at}", client.base()))
}

fn refused(status: u16, answer: &Value) -> anyhow::Error {
    let words = answer.get("error_description").and_then(Value::as_str);
    let words = words.or_else(|| answer.get("error")?.get("message")?.as_str());
    let words = words.map_or_else(|| format!("the gateway answered {status}"), str::to_owned);
    anyhow::anyhow!("not signed in: {words}")
}

/// Ends the token that was got by signing in, and forgets it.
pub fn logout(common: &Common) -> anyhow::Result<()> {
    let place = Client::without_token(common)?;
    let credentials = Credentials::read()?;
    let Some(kept) = credentials.of(place.base()).cloned() else {
        eprintln!("nobody is signed in at {} here", place.base());
        return Err(SaidNo.into());
    };
    // One that has ended by itself need not be ended.
    if let Ok(token) = kept.token(place.base()) {
        let common = Common { token: Some(token.expose().clone()), ..common.clone() };
        let ended = Client::find(&common)?.post::<Value>("/api/v1/logout", &json!({}));
        if let Err(error) = ended
            && !error.downcast_ref::<Refused>().is_some_and(|it| it.is("unknown_token"))
        {
            return Err(error.context("the token was not ended, and is kept"));
        }
    }
    credentials.keep(place.base(), None)?;
    match common.json {
        true => output::json(&json!({ "url": place.base(), "subject": kept.subject })),
        false => output::line(&format!("signed out at {}: {}", place.base(), kept.subject)),
    }
}

/// Says who the gateway takes the caller for.
pub fn whoami(common: &Common) -> anyhow::Result<()> {
    let who: WhoAmI = Client::find(common)?.get("/api/v1/whoami")?;
    if common.json {
        return output::json(&who);
    }
    let kind = who.kind.as_deref().unwrap_or("the holder of the admin token");
    output::line(&format!("{} ({kind})", who.subject))?;
    let fact = |name: &str, value: &str| output::line(&format!("  {name:<9} {value}"));
    if let Some(issuer) = &who.issuer {
        fact("issuer", issuer)?;
    }
    if let Some(party) = &who.on_behalf_of {
        fact("for", party)?;
    }
    let none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    fact("groups", &none(who.groups.join(", ")))?;
    fact("role", &none(who.role.unwrap_or_default()))?;
    if let Some(token) = &who.token {
        fact("token", token)?;
    }
    if let Some(end) = &who.expires_at {
        fact("until", end)?;
    }
    if let Some(login) = who.login.filter(|login| login.unconfirmed) {
        let words = "the provider cannot be asked about you; it last vouched for you at";
        fact("note", &format!("{words} {}", login.confirmed_at))?;
    }
    Ok(())
}

/// What this computer is called, for the page that asks whether it may.
fn this_computer() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let seen = name.trim().chars().filter(|c| !model::text::is_unseen(*c));
    seen.take(60).collect()
}

/// Opens a browser, if there is one; the address was printed already.
fn open(address: &str) {
    let own = std::env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let program = own.as_deref().unwrap_or(match cfg!(target_os = "macos") {
        true => "open",
        false => "xdg-open",
    });
    let mut command = Command::new(program);
    command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It may be a wrapper that ends at once, or the browser itself.
    let _ = command.spawn();
}

/// Waits until the browser brings the code that belongs to `state`.
fn wait_for(listener: &TcpListener, state: &str) -> anyhow::Result<Secret<String>> {
    let end = Instant::now() + TAKES;
    listener.set_nonblocking(true).context("listen on 127.0.0.1")?;
    let mut others = 0;
    while Instant::now() < end && others < OTHERS_MAX {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                thread::sleep(PAUSE);
                continue;
            }
            Err(error) => return Err(error).context("listen on 127.0.0.1"),
        };
        // Whoever connects and says nothing, or something else, is not the answer.
        match answer(stream, state) {
            Some(code) => return Ok(code),
            None => others += 1,
        }
    }
    bail!("nobody signed in in time; begin again")
}

fn answer(mut stream: TcpStream, state: &str) -> Option<Secret<String>> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(ASKS)).ok()?;
    stream.set_write_timeout(Some(ASKS)).ok()?;
    let head = head(&mut stream)?;
    let found = code_in(&head, state);
    let (status, words) = match &found {
        Some(_) => ("200 OK", "You are signed in. You can close this page."),
        None => ("404 Not Found", "This is not what narrows login waits for."),
    };
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" \
         content=\"light dark\"><title>Narrows</title><h1>Narrows</h1><p>{words}</p></html>\n"
    );
    let length = page.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: \
         {length}\r\nContent-Security-Policy: default-src 'none'\r\nCache-Control: \
         no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{page}"
    );
    let _ = stream.write_all(text.as_bytes());
    found
}

/// The head of a request.
fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, end) = (Vec::new(), Instant::now() + ASKS);
    let mut part = [0; 2048];
    while Instant::now() < end && bytes.len() < REQUEST_BYTES_MAX {
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(part.get(..count)?);
        if bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            return String::from_utf8(bytes).ok();
        }
    }
    None
}

/// The code of a request that brings it.
fn code_in(head: &str, state: &str) -> Option<Secret<String>> {
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let query = target.strip_prefix("/?").filter(|_| method == "GET")?;
    let fields: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    if field("state")?.as_ref() != state {
        return None;
    }
    Some(Secret::new(field("code")?.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_very_question_is_taken() {
        let code = |line: &str| {
            code_in(&format!("{line}\r\nHost: x\r\n\r\n"), "right")
                .map(|code| code.expose().clone())
        };
        assert_eq!(code("GET /?code=c1&state=right HTTP/1.1").as_deref(), Some("c1"));
        for line in [
            "GET /?code=c1&state=wrong HTTP/1.1",
            "GET /?code=c1 HTTP/1.1",
            "GET /?state=right HTTP/1.1",
            "POST /?code=c1&state=right HTTP/1.1",
            "GET /favicon.ico HTTP/1.1",
            "GET",
            "",
        ] {
            assert_eq!(code(line), None, "{line}");
        }
    }
}

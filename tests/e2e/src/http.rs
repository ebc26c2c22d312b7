//! As much HTTP as the admin API needs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The status line and the fields.
    pub head: String,
    /// The body as text.
    pub text: String,
}

impl Response {
    /// The first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }

    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

/// Posts these bytes with these fields, on a connection of its own.
pub(crate) fn post(port: u16, path: &str, fields: &[(&str, &str)], body: &str) -> Result<Response> {
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    exchange(port, &head, body)
}

/// Sends exactly these fields, a host among them, on a connection of its own.
pub(crate) fn send(
    port: u16,
    (method, path): (&str, &str),
    fields: &[(&str, &str)],
    body: &str,
) -> Result<Response> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    exchange(port, &head, body)
}

/// Asks once, on a connection of its own.
pub(crate) fn ask(
    port: u16,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Result<Response> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n");
    if let Some(token) = token {
        head += &format!("authorization: Bearer {token}\r\n");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        head += "content-type: application/json\r\n";
    }
    exchange(port, &head, &body)
}

fn exchange(port: u16, head: &str, body: &str) -> Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect to the admin API")?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let whole = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(whole.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("read the admin API's answer")?;
    let (head, text) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    let status = head.split(' ').nth(1).context("an answer without a status")?.parse()?;
    Ok(Response { status, head: head.to_owned(), text: text.to_owned() })
}

//! What a client received in answer to a statement, as lines that can be compared.

use anyhow::{Context, Result};

use crate::wire::{Message, Wire, bind, describe, execute, message, parse, sync};

/// Object identifiers below this one are PostgreSQL's own.
const FIRST_NORMAL_OID: u32 = 16_384;

/// How a statement is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// As a simple query.
    Simple,
    /// Parsed, bound and executed, with results as text.
    Text,
    /// The same with results in binary.
    Binary,
    /// The same in binary, two rows at a time.
    Paged,
}

/// Everything that comes in answer to one statement, one line a message.
///
/// # Errors
/// The connection broke.
pub fn run(wire: &mut Wire, text: &str, mode: Mode, stdin: Option<&str>) -> Result<Vec<String>> {
    let messages = exchange(wire, text, &[], mode, stdin)?;
    Ok(messages.iter().map(line).collect())
}

/// Everything that comes in answer to one statement, `ReadyForQuery` included.
///
/// # Errors
/// The connection broke.
pub fn exchange(
    wire: &mut Wire,
    text: &str,
    values: &[String],
    mode: Mode,
    stdin: Option<&str>,
) -> Result<Vec<Message>> {
    if mode == Mode::Simple {
        wire.ask(text)?;
    } else {
        let format = i16::from(mode != Mode::Text);
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let mut bytes = parse("", text);
        bytes.extend(bind("", "", &values, format));
        bytes.extend(describe(b'P', ""));
        if mode == Mode::Paged {
            bytes.extend(execute("", 2));
            bytes.extend(execute("", 2));
        }
        bytes.extend(execute("", 0));
        bytes.extend(sync());
        wire.send(&bytes)?;
    }
    let mut messages = Vec::new();
    loop {
        let next = wire.read().with_context(|| text.to_owned())?;
        let tag = next.tag;
        messages.push(next);
        match tag {
            b'Z' => return Ok(messages),
            b'G' => {
                let mut bytes = Vec::new();
                if let Some(data) = stdin {
                    bytes = message(b'd', format!("{data}\n").as_bytes());
                }
                bytes.extend(message(b'c', &[]));
                if mode != Mode::Simple {
                    bytes.extend(sync());
                }
                wire.send(&bytes)?;
            }
            _ => {}
        }
    }
}

/// A message as text, without what differs from database to database by nature: identifiers of
/// objects made there, and the process that sent a notification.
#[must_use]
pub fn line(message: &Message) -> String {
    let mut body = message.body.clone();
    match message.tag {
        b'T' => forget_oids(&mut body),
        b'A' => body.drain(..4.min(message.body.len())).for_each(drop),
        // Which names the gateway's snapshot has depends on when it was taken.
        b'E' if String::from_utf8_lossy(&body).contains("narrows: unknown_object") => {
            return "E narrows: unknown_object".to_owned();
        }
        _ => {}
    }
    format!("{} {}", char::from(message.tag), body.escape_ascii())
}

fn forget_oids(body: &mut [u8]) {
    let mut at = 2;
    while let Some(length) = body.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0)) {
        let fields = at + length + 1;
        for oid in [fields, fields + 6] {
            if let Some(bytes) = body.get_mut(oid..).and_then(|rest| rest.first_chunk_mut::<4>())
                && u32::from_be_bytes(*bytes) >= FIRST_NORMAL_OID
            {
                bytes.fill(0);
            }
        }
        at = fields + 18;
    }
}

/// What someone with masks is promised of a report and of a notification: not their words.
#[must_use]
pub fn without_words(lines: &[String]) -> Vec<String> {
    let kept = |line: &String| match line.split_once(' ') {
        Some((tag @ ("E" | "N"), body)) => {
            let fields =
                body.split("\\x00").filter(|field| field.starts_with(|c| "SVCPstcdn".contains(c)));
            format!("{tag} {}", fields.collect::<Vec<_>>().join(" "))
        }
        Some(("A", body)) => format!("A {}", body.split("\\x00").next().unwrap_or_default()),
        _ => line.clone(),
    };
    lines.iter().map(kept).collect()
}

/// Where two transcripts part, in a few words.
#[must_use]
pub fn different(a: &[String], b: &[String]) -> String {
    let short = |line: Option<&String>| -> String {
        line.map_or("nothing", |line| line).chars().take(300).collect()
    };
    let count = a.len().max(b.len());
    let at = (0..count).find(|at| a.get(*at) != b.get(*at)).unwrap_or(0);
    format!("\n    a: {}\n    b: {}", short(a.get(at)), short(b.get(at)))
}

//! A whole exchange of HTTP through the real engine, whatever either side says; and any text as a
//! request that is explained.
//!
//! The bytes are sections between record separators (0x1e): two bytes that choose, then the
//! request (`METHOD HOST TARGET` and a field in each line after), its body, the reply (a status and
//! fields), its body, and messages of a WebSocket, by turns of the client and the upstream.

use bytes::Bytes;
use engine::taint::{TaintKey, Trail};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use model::exchange::{Door, Length, Message, Part, Reply, Request, Scheme, Tunnel};
use model::{Side, Timestamp};
use serde_json::json;
use std::sync::Arc;
use testkit::conversation::{Cuts, Play};
use testkit::stage::PASSWORD;
use web::explain;

use self::notation::{TOKEN, Watch, Web, scene};
use crate::bytes_of::contains;
use crate::http::plans;

#[path = "../../../protocols/http/tests/notation/mod.rs"]
#[expect(dead_code, reason = "not every word of it is spoken here")]
mod notation;

/// Stands for the client's token in a field of its request.
const TOKEN_HERE: &[u8] = b"{token}";
/// What separates sections.
pub const SECTION: u8 = 0x1e;

const RULES: [&[&str]; 4] = [
    &[],
    &["rule hide mask ssn"],
    &[
        "rule hide mask ssn",
        "rule no-cards when `http.detections.exists(d, d == \"CREDIT_CARD\")` block \"no\"",
        "rule no-search when `llm.tools.exists(t, t == \"web_search\")` block \"no\"",
    ],
    &["rule big when `result.bytes > 40` approve ops wait 25", "rule hide mask ssn"],
];

/// Bodies that are judged in parts.
const IN_PARTS: &str = r#"set options_of api {"inspect_max": 7, "stream_inspect": true}"#;

/// One exchange. It ends with its sides; each request is recorded before it is sent, once (P1);
/// the client's token goes nowhere in a field (P7); there is one answer, in order, and one outcome
/// of each operation; and how bodies are cut changes none of what is asked of the upstream.
pub fn exchange(data: &[u8]) {
    // What the client writes into a body of its own is its own affair; an upstream that sends the
    // gateway's secret was told it, which is looked for where it is told (`runtime`, web/echo.rs).
    let known = [b"nrw_", TOKEN.as_bytes(), PASSWORD.as_bytes()];
    if known.iter().any(|text| contains(data, text)) {
        return;
    }
    let whole = played(data, usize::MAX);
    let pieces = played(data, 3);
    assert_eq!(whole, pieces, "pieces of three bytes are asked for otherwise");
}

/// What was asked of the upstream, head by head.
fn played(data: &[u8], size: usize) -> Vec<u8> {
    let mut sections = data.split(|byte| *byte == SECTION);
    let choices = sections.next().unwrap_or_default();
    let choice = |at: usize| choices.get(at).copied().unwrap_or_default();
    let mut next = || sections.next().unwrap_or_default();
    let (asked, body, replied, answer) = (next(), next(), next(), next());
    let mut scene = scene();
    let rules = RULES[usize::from(choice(1)) % RULES.len()];
    scene.rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let web = Web { watch: Watch::new(false) };
    let settings = if choice(0) & 16 == 0 { "" } else { IN_PARTS };
    let mut play = Play::of(scene, web, settings, Cuts::Whole);
    let hand = |play: &mut Play<Web, Part>, side: Side, part: Part| {
        if !play.stage.closed {
            play.hand(side, part);
        }
    };
    let head = request(choice(0), asked, body.len());
    let upgrades = head.fields.contains_key(http::header::UPGRADE);
    let empty = head.body == Length::Empty;
    hand(&mut play, Side::Client, Part::Request(Box::new(head)));
    if !empty {
        for piece in body.chunks(size.min(body.len())) {
            hand(&mut play, Side::Client, Part::Data(Bytes::copy_from_slice(piece)));
        }
    }
    hand(&mut play, Side::Client, Part::End);
    let sent = play.to_server.clone();
    if !sent.is_empty() {
        let reply = reply(replied, answer.len());
        let changes = reply.status == StatusCode::SWITCHING_PROTOCOLS && upgrades;
        hand(&mut play, Side::Upstream, Part::Reply(Box::new(reply)));
        if changes {
            for (at, message) in sections.enumerate() {
                let side = if at % 2 == 0 { Side::Client } else { Side::Upstream };
                let is_text = std::str::from_utf8(message).is_ok();
                let data = Bytes::copy_from_slice(message);
                hand(&mut play, side, Part::Message(Message { is_text, data }));
            }
        } else {
            for piece in answer.chunks(size.min(answer.len()).max(1)) {
                hand(&mut play, Side::Upstream, Part::Data(Bytes::copy_from_slice(piece)));
            }
            hand(&mut play, Side::Upstream, Part::End);
        }
    }
    for side in [Side::Client, Side::Upstream] {
        if !play.stage.closed {
            play.close(side);
        }
    }
    assert!(play.stage.closed, "an exchange outlives its sides");
    let ended = play.stage.connection.is_ended();
    play.notation.watch.judge(ended);
    let broken = &play.notation.watch.broken;
    assert!(broken.is_empty(), "{broken:#?}\n{}", play.transcript());
    sent
}

fn request(choice: u8, bytes: &[u8], length: usize) -> Request {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut words = first.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, authority, target) = (word(), word(), word());
    let tunnelled = |fields| Tunnel {
        sent_to: None,
        target: "api.test:443".into(),
        server_name: Some("api.test".into()),
        tls: true,
        fields,
    };
    let proof = |name| {
        let value = HeaderValue::try_from(format!("Bearer {TOKEN}")).expect("a value");
        HeaderMap::from_iter([(name, value)])
    };
    let mut fields = fields(lines);
    for value in fields.values_mut().filter(|value| value.as_bytes() == TOKEN_HERE) {
        *value = HeaderValue::from_static(TOKEN);
    }
    let (door, target) = match choice & 3 {
        0 => (Door::Reverse, format!("/r/api{target}")),
        1 => (Door::Reverse, format!("/r/ai{target}")),
        2 => (Door::Forward, target),
        _ => {
            let tunnel = tunnelled(proof(http::header::PROXY_AUTHORIZATION));
            (Door::Tunnel(Arc::new(tunnel)), target)
        }
    };
    match choice & 3 {
        0 | 1 => fields.extend(proof(http::header::AUTHORIZATION)),
        2 => fields.extend(proof(http::header::PROXY_AUTHORIZATION)),
        _ => {}
    }
    let body = match (length, choice & 4) {
        (0, _) => Length::Empty,
        (_, 0) => {
            fields.insert(http::header::CONTENT_LENGTH, length.into());
            Length::Known(length as u64)
        }
        _ => Length::Unknown,
    };
    let http2 = choice & 8 != 0;
    if !http2 && !fields.contains_key(http::header::HOST) {
        fields.extend(HeaderValue::try_from(&authority).map(|host| (http::header::HOST, host)));
    }
    Request {
        door,
        method: Method::from_bytes(method.as_bytes()).unwrap_or_default(),
        scheme: Scheme::Https,
        authority: authority.into(),
        target: target.into(),
        version: if http2 { Version::HTTP_2 } else { Version::HTTP_11 },
        fields,
        body,
    }
}

fn reply(bytes: &[u8], length: usize) -> Reply {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let status = StatusCode::from_bytes(lines.next().unwrap_or_default());
    let fields = fields(lines);
    let body = if length == 0 { Length::Empty } else { Length::Unknown };
    let status = status.unwrap_or_default();
    Reply { status, fields, body, recorded: Bytes::new() }
}

fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

/// Any text as a request that is explained, at each kind of resource: every fact has a value or
/// says why not, and a form that passes strictly means the same where forms are rewritten.
pub fn explained(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (_, plain) = plans();
    let trail = Trail::new(Arc::new(TaintKey::new(b"a key of the fuzz target")));
    let now = Timestamp(0);
    let api = json!({"authority": "api.test", "scheme": "https", "base": "/v2"});
    let model = json!({"authority": "models.test", "scheme": "https", "model": true});
    for options in [json!({}), api, model] {
        let Ok(strict) = explain(&text, &options, plain, (&trail, now)) else { continue };
        let mut lenient = options.clone();
        lenient["normalise"] = true.into();
        let lenient = explain(&text, &lenient, plain, (&trail, now)).expect("written as before");
        if strict.refused.is_none() {
            let facts = engine::Protocol::facts(&web::HTTP).len();
            assert_eq!(strict.values.len(), facts, "{text:?}");
            assert!(lenient.refused.is_none(), "{text:?}");
            assert_eq!(format!("{:?}", strict.values), format!("{:?}", lenient.values), "{text:?}");
        }
    }
}

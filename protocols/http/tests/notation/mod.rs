//! Parts of exchanges as words, for conversations and everything built on them.
//!
//! ```text
//! GET /r/api/items [host NAME]            on the reverse face
//! GET https://api.test/items              to a proxy
//! GET https://api.test/items in api.test:443 sni api.test     in a tunnel
//! CONNECT api.test:443
//! CONNECT api.test:443 redirected 203.0.113.7:443     for a TLS client that was redirected
//! GET http://api.test/a in api.test:80 redirected 203.0.113.7:80   … and one in clear text
//! 200                                     the head of a reply
//! token                                   the client's token, where the face wants it
//! field NAME "value"                      one more field of the head
//! body "bytes"                            a whole body, its length said in the head
//! chunked   length N                      a body follows
//! http2                                   in this version
//! data "bytes"   trailer NAME "value"   end
//! reached                                 the host of a tunnel that is passed on unopened is
//! raw "bytes"   hello NAME               what is said in it
//! ```
//!
//! A head of which neither says that a body follows has none, and its end comes with it. `Host` is
//! said with the authority, unless `host` says another (`host none`: none). The gateway's own
//! answers are written `problem REASON "words"`.

mod watch;

use std::sync::Arc;

use bytes::Bytes;
use engine::Protocol;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use model::exchange::{Door, Length, Message, Part, Reply, Request, Scheme, Tunnel};
use model::{Resource, Side};
use serde_json::json;
use testkit::conversation::{Cuts, Script};
use testkit::stage::{Said, Scene};
use testkit::words::{Word, messages, quote};
pub use watch::Watch;
use web::{HTTP, KINDS};

/// The token of the client in every play.
pub const TOKEN: &str = "nrw_0123456789abcdefghijklmnopqrstuvwxyz";
/// What is hidden in every play with a mask.
pub const SECRET: &str = "123-45-6789";

/// A scene with three resources: `internet` (as a proxy), `api` and the model endpoint `ai`.
pub fn scene() -> Scene<Part> {
    let mut scene = Scene::new(&HTTP, Arc::new(()), "internet");
    scene.resource.kind = "egress".into();
    scene.options = json!({});
    scene.kinds = KINDS.to_vec();
    scene.joins = true;
    scene.token = TOKEN;
    let other = |name: &str, kind: &str, options| {
        (Resource { name: name.into(), kind: kind.into() }, options)
    };
    scene.others = vec![
        other("api", "http", json!({"authority": "api.test", "scheme": "https"})),
        other(
            "ai",
            "openai",
            json!({"authority": "models.test", "scheme": "https", "model": true,
                "paths": ["/v1/conversations"]}),
        ),
    ];
    scene
}

/// The protocol's own name for itself.
pub fn name() -> &'static str {
    HTTP.name()
}

/// Both directions of the exchanges of one play, and what must be true of them.
#[derive(Default)]
pub struct Web {
    pub watch: Watch,
}

/// A head that is being written.
struct Head {
    kind: Kind,
    fields: HeaderMap,
    length: Option<Length>,
    version: Version,
}

enum Kind {
    Request { door: Door, method: Method, scheme: Scheme, authority: String, target: String },
    Reply(StatusCode),
}

impl Head {
    fn begin(from: Side, words: &[Word]) -> Result<Self, String> {
        let kind = match from {
            Side::Client => return Self::request(words),
            Side::Upstream => Kind::Reply(
                StatusCode::from_bytes(words[0].bytes()).map_err(|error| error.to_string())?,
            ),
        };
        Ok(Self { kind, fields: HeaderMap::new(), length: None, version: Version::HTTP_11 })
    }

    fn request(words: &[Word]) -> Result<Self, String> {
        let method = words[0].text();
        let method = method.parse::<Method>().map_err(|error| error.to_string())?;
        let written = words.get(1).ok_or("what for?")?.text();
        let option = |name: &str| {
            let mut pairs = words.get(2..).unwrap_or_default().chunks_exact(2);
            pairs.find(|pair| pair[0].is(name)).map(|pair| pair[1].text())
        };
        let (door, scheme, authority, target) = match written.split_once("://") {
            Some((scheme, rest)) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, target) = rest.split_at(end);
                let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
                let target = if target.is_empty() { "/" } else { target };
                (Door::Forward, scheme, authority.to_owned(), target.to_owned())
            }
            None if method == Method::CONNECT => {
                (Door::Forward, Scheme::Https, written.clone(), String::new())
            }
            None => (Door::Reverse, Scheme::Http, "gw.test".to_owned(), written.clone()),
        };
        let door = match option("in") {
            Some(opened) => Door::Tunnel(Arc::new(Tunnel {
                target: opened.into(),
                server_name: option("sni").filter(|name| name != "none").map(Into::into),
                tls: scheme == Scheme::Https,
                fields: credentials(http::header::PROXY_AUTHORIZATION),
                sent_to: option("redirected").map(|to| to.parse().unwrap()),
            })),
            None => match option("redirected") {
                Some(to) => Door::Redirected(to.parse().map_err(|_| "redirected from where?")?),
                None => door,
            },
        };
        let host = option("host");
        let authority = match (&host, &door) {
            (Some(host), Door::Reverse) if host != "none" => host.clone(),
            _ => authority,
        };
        let mut fields = HeaderMap::new();
        let host = host.unwrap_or_else(|| authority.clone());
        if host != "none" {
            fields.insert(http::header::HOST, value(host.as_bytes())?);
        }
        let kind = Kind::Request { door, method, scheme, authority, target };
        Ok(Self { kind, fields, length: None, version: Version::HTTP_11 })
    }

    /// One more word about the head; `false` when it is about something else.
    fn add(&mut self, words: &[Word]) -> Result<bool, String> {
        match words[0].text().as_str() {
            "field" => {
                self.fields.append(name_of(words)?, value(words[2].bytes())?);
            }
            "token" => {
                let name = match &self.kind {
                    Kind::Request { door: Door::Reverse, .. } => http::header::AUTHORIZATION,
                    _ => http::header::PROXY_AUTHORIZATION,
                };
                let credentials = credentials(name);
                for (name, value) in &credentials {
                    self.fields.append(name, value.clone());
                }
            }
            "http2" => self.version = Version::HTTP_2,
            "chunked" => self.length = Some(Length::Unknown),
            "length" => {
                let length: u64 = words[1].text().parse().map_err(|_| "how long?")?;
                self.fields.insert(http::header::CONTENT_LENGTH, length.into());
                self.length = Some(Length::Known(length));
            }
            "body" => {
                let length = words[1].bytes().len();
                self.fields.insert(http::header::CONTENT_LENGTH, length.into());
                self.length = Some(Length::Known(length as u64));
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn part(self) -> Part {
        let body = self.length.unwrap_or(Length::Empty);
        match self.kind {
            Kind::Request { door, method, scheme, authority, target } => {
                Part::Request(Box::new(Request {
                    door,
                    method,
                    scheme,
                    authority: authority.into(),
                    target: target.into(),
                    version: self.version,
                    fields: self.fields,
                    body,
                }))
            }
            Kind::Reply(status) => Part::Reply(Box::new(Reply {
                status,
                fields: self.fields,
                body,
                recorded: Bytes::new(),
            })),
        }
    }
}

fn name_of(words: &[Word]) -> Result<HeaderName, String> {
    HeaderName::from_bytes(words[1].bytes()).map_err(|error| error.to_string())
}

fn value(bytes: &[u8]) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(bytes).map_err(|error| error.to_string())
}

fn credentials(name: HeaderName) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {TOKEN}")).unwrap();
    HeaderMap::from_iter([(name, value)])
}

impl Script<Part> for Web {
    fn units(&mut self, from: Side, line: &str, cuts: Cuts) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        let mut head: Option<Head> = None;
        let mut trailers = HeaderMap::new();
        for words in messages(line)? {
            if let Some(open) = &mut head
                && open.add(&words)?
            {
                continue;
            }
            parts.extend(head.take().map(Head::part));
            match words[0].text().as_str() {
                kind @ ("data" | "body") => {
                    let pieces = cuts.cut(words[1].bytes());
                    let pieces = pieces.into_iter().map(Bytes::copy_from_slice);
                    parts.extend(pieces.map(Part::Data));
                    if kind == "body" {
                        parts.push(Part::End);
                    }
                }
                "last" => {
                    parts.push(Part::Last(Bytes::copy_from_slice(words[1].bytes())));
                }
                kind @ ("text" | "binary") => {
                    let data = Bytes::copy_from_slice(words[1].bytes());
                    parts.push(Part::Message(Message { is_text: kind == "text", data }));
                }
                kind @ ("raw" | "hello") => {
                    let bytes = match kind {
                        "hello" => hello(&words[1].text()),
                        _ => words[1].bytes().to_vec(),
                    };
                    let pieces = cuts.cut(&bytes);
                    parts.extend(pieces.into_iter().map(Bytes::copy_from_slice).map(Part::Raw));
                }
                "reached" => {
                    let (fields, recorded) = (HeaderMap::new(), Bytes::new());
                    let (status, body) = (StatusCode::OK, Length::Empty);
                    parts.push(Part::Reply(Box::new(Reply { status, fields, body, recorded })));
                }
                "code" => {
                    let code = words[1].text().parse().map_err(|_| "which code?")?;
                    parts.push(Part::Close(code, "words of a peer".into()));
                }
                "trailer" => {
                    trailers.append(name_of(&words)?, value(words[2].bytes())?);
                }
                "end" => {
                    if !trailers.is_empty() {
                        parts.push(Part::Trailers(Box::new(std::mem::take(&mut trailers))));
                    }
                    parts.push(Part::End);
                }
                _ => head = Some(Head::begin(from, &words)?),
            }
        }
        if let Some(head) = head {
            let empty = head.length.is_none();
            parts.push(head.part());
            parts.extend(empty.then_some(Part::End));
        }
        Ok(parts)
    }

    fn written(&mut self, _to: Side, part: &Part) -> Vec<String> {
        vec![match part {
            Part::Request(head) => {
                let Request { method, scheme, authority, target, fields, body, .. } = &**head;
                let scheme = scheme.as_str();
                let line = format!("{method} {scheme}://{authority}{target}");
                format!("{line}{}{}", listed("field", fields), told(*body))
            }
            Part::Reply(head) => {
                let (fields, length) = (listed("field", &head.fields), told(head.body));
                format!("{}{fields}{length}", head.status.as_u16())
            }
            Part::Data(bytes) => problem(bytes).unwrap_or_else(|| format!("data {}", quote(bytes))),
            Part::Trailers(fields) => {
                listed("trailer", fields).trim_start_matches(" ; ").to_owned()
            }
            Part::Last(bytes) => format!("last {}", quote(bytes)),
            Part::End => "end".to_owned(),
            Part::Message(message) => {
                let kind = if message.is_text { "text" } else { "binary" };
                format!("{kind} {}", quote(&message.data))
            }
            Part::Close(code, words) => format!("close {code} {}", quote(words.as_bytes())),
            Part::Raw(bytes) => format!("raw {}", quote(bytes)),
        }]
    }

    fn bytes(&self, part: &Part) -> Vec<u8> {
        bytes_of(part)
    }

    fn cancel(&self, _part: &Part) -> String {
        String::new()
    }

    fn login(&self) -> Vec<String> {
        Vec::new()
    }

    fn hear(&mut self, said: &Said<Part>) {
        self.watch.hear(said);
    }
}

/// What a TLS client says first, to the server of this name (`none`: to one that it does not name).
pub fn hello(name: &str) -> Vec<u8> {
    let sized = |bytes: Vec<u8>| {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[..], &bytes].concat()
    };
    let list = sized([&[0][..], &sized(name.as_bytes().to_vec())].concat());
    let extension = [&[0, 0][..], &sized(list)].concat();
    let extensions = if name == "none" { Vec::new() } else { extension };
    let mut body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    body.extend(sized(extensions));
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &sized(message)].concat()
}

/// Every byte of a part.
pub fn bytes_of(part: &Part) -> Vec<u8> {
    let with = |line: String, fields: &HeaderMap| {
        let mut bytes = line.into_bytes();
        for (name, value) in fields {
            bytes.extend_from_slice(format!("\n{name}: ").as_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        bytes.extend_from_slice(b"\n\n");
        bytes
    };
    match part {
        Part::Request(head) => {
            let Request { method, scheme, authority, target, fields, .. } = &**head;
            let scheme = scheme.as_str();
            with(format!("{method} {scheme}://{authority}{target}"), fields)
        }
        Part::Reply(head) => with(head.status.to_string(), &head.fields),
        Part::Data(bytes) => bytes.to_vec(),
        Part::Trailers(fields) => with("\n".to_owned(), fields),
        Part::Last(bytes) => bytes.to_vec(),
        Part::End => Vec::new(),
        Part::Message(message) => message.data.to_vec(),
        Part::Close(_, words) => words.as_bytes().to_vec(),
        Part::Raw(bytes) => bytes.to_vec(),
    }
}

fn listed(word: &str, fields: &HeaderMap) -> String {
    let each = fields
        .iter()
        .map(|(name, value)| format!(" ; {word} {} {}", name.as_str(), quote(value.as_bytes())));
    each.collect()
}

fn told(length: Length) -> &'static str {
    match length {
        Length::Empty => "",
        // The field says it.
        Length::Known(_) => " ; known",
        Length::Unknown => " ; chunked",
    }
}

/// The gateway's own words about an operation.
fn problem(bytes: &[u8]) -> Option<String> {
    let said: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| said.get(key).and_then(serde_json::Value::as_str);
    let reason = text("type")?.strip_prefix("urn:narrows:")?;
    let about = text("instance").map(|about| format!(" about {about}")).unwrap_or_default();
    Some(format!("problem {reason} {}{about}", quote(text("detail")?.as_bytes())))
}

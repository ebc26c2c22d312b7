//! PostgreSQL's messages as words, for conversations and everything built on them.
//!
//! ```text
//! start user=u database=d k=v     start3.2 …      ssl   gss   cancel 0001020304050607
//! p "token"   sasl "MECHANISM" "response"   Q "select 1"   P "name" "text" [oid…]   B "portal" "statement" [value…] [-> format…]
//! D S|P "name"   C S|P "name"   E "portal" [limit]   S   H   X   d "data"   c   f "why"   F
//! R ok   K 7 "secret"   S name value   Z I   T label:table.column label:type[:binary] …
//! D "value" null …   C "SELECT 1"   E 42501 "words" [D "detail"]   E! (FATAL) …   N …
//! A "channel" "payload"
//! 1 2 3 n I s t [oid…]   H 3   G 3   tag "Y" "body"   raw "bytes"
//! ```

use std::sync::Arc;

use bytes::BufMut;
use engine::Protocol;
use model::Side;
use postgres::{POSTGRES, Snapshot};
use testkit::conversation::Notation;
use testkit::stage::{Scene, TOKEN};
use testkit::words::{Word, quote};

/// The name of the resource in every play.
pub const RESOURCE: &str = "appdb";

/// A scene with the sample catalog: customers and their secrets, orders, notes.
pub fn scene() -> Scene {
    Scene::new(&POSTGRES, Arc::new(snapshot(1)), RESOURCE)
}

/// What a survey of the sample database says.
pub fn snapshot(version: u64) -> Snapshot {
    let mut catalog = sql::sample();
    catalog.version = version;
    Snapshot {
        catalog: Arc::new(catalog),
        search_path: vec!["public".into()],
        role: "gateway".into(),
        server_version_num: 170_002,
        costs: Vec::new(),
        superuser: false,
        settings: "".into(),
        types: Default::default(),
    }
}

/// Both directions of one connection.
pub struct Postgres {
    catalog: sql::Catalog,
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    /// A single byte answers the client's request for encryption.
    encryption_answers: usize,
    /// The gateway has sent its start-up message.
    started: bool,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            catalog: sql::sample(),
            to_client: Vec::new(),
            to_server: Vec::new(),
            encryption_answers: 0,
            started: false,
        }
    }
}

/// A message of these bytes.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.extend_from_slice(body);
    out
}

fn untagged(body: &[u8]) -> Vec<u8> {
    frame(0, body)[1..].to_vec()
}

fn cstr(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

fn number<T: std::str::FromStr>(word: &Word) -> Result<T, String> {
    word.text().parse().map_err(|_| format!("{}: not a number", word.text()))
}

fn text(words: &[Word], at: usize) -> Vec<u8> {
    words.get(at).map(|word| word.bytes().to_vec()).unwrap_or_default()
}

fn start(words: &[Word]) -> Vec<u8> {
    let minor = words[0].text().strip_prefix("start3.").map_or(0, |minor| minor.parse().unwrap());
    let mut body = Vec::new();
    body.put_u16(3);
    body.put_u16(minor);
    for word in &words[1..] {
        let pair = word.text();
        let (key, value) = pair.split_once('=').unwrap_or((&pair, ""));
        cstr(&mut body, key.as_bytes());
        cstr(&mut body, value.as_bytes());
    }
    body.push(0);
    untagged(&body)
}

/// `T` and the name of a statement or portal.
fn named(tag: u8, words: &[Word]) -> Vec<u8> {
    let mut body = text(words, 1);
    cstr(&mut body, &text(words, 2));
    frame(tag, &body)
}

fn bind(words: &[Word]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    cstr(&mut body, &text(words, 1));
    cstr(&mut body, &text(words, 2));
    let rest = words.get(3..).unwrap_or_default();
    let end = rest.iter().position(|word| word.is("->")).unwrap_or(rest.len());
    let (values, formats) = rest.split_at(end);
    body.put_u16(0);
    put_values(&mut body, values);
    let formats = formats.get(1..).unwrap_or_default();
    body.put_u16(u16::try_from(formats.len()).unwrap());
    for format in formats {
        body.put_i16(number(format)?);
    }
    Ok(frame(b'B', &body))
}

fn put_values(body: &mut Vec<u8>, values: &[Word]) {
    body.put_u16(u16::try_from(values.len()).unwrap());
    for value in values {
        if value.is("null") {
            body.put_i32(-1);
        } else {
            body.put_i32(i32::try_from(value.bytes().len()).unwrap());
            body.extend_from_slice(value.bytes());
        }
    }
}

fn report(tag: u8, words: &[Word]) -> Vec<u8> {
    let mut body = Vec::new();
    let severity = match words[0].text().as_str() {
        "E" => "ERROR",
        "E!" => "FATAL",
        _ => "NOTICE",
    };
    for (field, value) in
        [(b'S', severity.into()), (b'V', severity.into()), (b'C', words[1].text())]
    {
        body.push(field);
        cstr(&mut body, value.as_bytes());
    }
    body.push(b'M');
    cstr(&mut body, &text(words, 2));
    for pair in words.get(3..).unwrap_or_default().chunks_exact(2) {
        body.push(pair[0].bytes()[0]);
        cstr(&mut body, pair[1].bytes());
    }
    body.push(0);
    frame(tag, &body)
}

fn counted(tag: u8, words: &[Word]) -> Result<Vec<u8>, String> {
    let count: u16 = number(&words[1])?;
    let mut body = vec![0];
    body.put_u16(count);
    for _ in 0..count {
        body.put_u16(0);
    }
    Ok(frame(tag, &body))
}

fn tagged(words: &[Word]) -> Vec<u8> {
    frame(words[1].bytes()[0], &text(words, 2))
}

impl Postgres {
    fn client_message(&mut self, words: &[Word]) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        let request = |code: u32| untagged(&code.to_be_bytes());
        Ok(match words[0].text().as_str() {
            "raw" => text(words, 1),
            "tag" => tagged(words),
            "sasl" => {
                cstr(&mut body, &text(words, 1));
                let response = text(words, 2);
                body.put_u32(u32::try_from(response.len()).unwrap());
                body.extend(response);
                frame(b'p', &body)
            }
            kind if kind.starts_with("start") => start(words),
            "ssl" => {
                self.encryption_answers += 1;
                request(80_877_103)
            }
            "gss" => {
                self.encryption_answers += 1;
                request(80_877_104)
            }
            "cancel" => {
                body.put_u32(80_877_102);
                let key = words[1].text();
                let digits = (0..key.len() / 2).map(|at| &key[2 * at..2 * at + 2]);
                body.extend(digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
                untagged(&body)
            }
            tag @ ("p" | "Q" | "f") => {
                cstr(&mut body, &text(words, 1));
                frame(tag.as_bytes()[0], &body)
            }
            "P" => {
                cstr(&mut body, &text(words, 1));
                cstr(&mut body, &text(words, 2));
                let oids = words.get(3..).unwrap_or_default();
                body.put_u16(u16::try_from(oids.len()).unwrap());
                for oid in oids {
                    body.put_u32(number(oid)?);
                }
                frame(b'P', &body)
            }
            "B" => bind(words)?,
            tag @ ("D" | "C") => named(tag.as_bytes()[0], words),
            "E" => {
                cstr(&mut body, &text(words, 1));
                body.put_i32(words.get(2).map_or(Ok(0), number)?);
                frame(b'E', &body)
            }
            "d" => frame(b'd', &text(words, 1)),
            "F" => frame(b'F', &[0, 0, 4, 210, 0, 0, 0, 0, 0, 0]),
            tag @ ("S" | "H" | "X" | "c") => frame(tag.as_bytes()[0], &[]),
            other => return Err(format!("the client says no {other}")),
        })
    }

    fn server_message(&self, words: &[Word]) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        Ok(match words[0].text().as_str() {
            "raw" => text(words, 1),
            "tag" => tagged(words),
            "R" => frame(b'R', &[0, 0, 0, 0]),
            "K" => {
                body.put_u32(number(&words[1])?);
                body.extend(text(words, 2));
                frame(b'K', &body)
            }
            "S" => {
                cstr(&mut body, &text(words, 1));
                cstr(&mut body, &text(words, 2));
                frame(b'S', &body)
            }
            "Z" => frame(b'Z', &text(words, 1)),
            "T" => self.row_description(&words[1..])?,
            "D" => {
                put_values(&mut body, &words[1..]);
                frame(b'D', &body)
            }
            "C" => {
                cstr(&mut body, &text(words, 1));
                frame(b'C', &body)
            }
            tag @ ("E" | "E!" | "N") => report(tag.as_bytes()[0], words),
            "A" => {
                body.put_u32(7);
                cstr(&mut body, &text(words, 1));
                cstr(&mut body, &text(words, 2));
                frame(b'A', &body)
            }
            "t" => {
                body.put_u16(u16::try_from(words.len() - 1).unwrap());
                for oid in &words[1..] {
                    body.put_u32(number(oid)?);
                }
                frame(b't', &body)
            }
            tag @ ("H" | "G") => counted(tag.as_bytes()[0], words)?,
            "d" => frame(b'd', &text(words, 1)),
            tag @ ("1" | "2" | "3" | "n" | "I" | "s" | "c") => frame(tag.as_bytes()[0], &[]),
            other => return Err(format!("the server says no {other}")),
        })
    }

    /// `label:table.column`, `label:oid.attnum`, `label:type`, each with `:binary` behind it or not.
    fn row_description(&self, words: &[Word]) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        body.put_u16(u16::try_from(words.len()).unwrap());
        for word in words {
            let written = word.text();
            let mut parts = written.split(':');
            let (label, kind) = (parts.next().unwrap(), parts.next().ok_or("label:type")?);
            let (oid, attnum, type_oid) = match kind.split_once('.') {
                // A table that no snapshot has, by its number; its columns are texts.
                Some((oid, attnum)) if oid.bytes().all(|digit| digit.is_ascii_digit()) => {
                    let number = |text: &str| text.parse().map_err(|_| format!("{text}?"));
                    (number(oid)?, attnum.parse().map_err(|_| "attnum?")?, 25)
                }
                Some((table, column)) => self.stored(table, column)?,
                None => (0, 0, type_oid(kind)?),
            };
            cstr(&mut body, label.as_bytes());
            body.put_u32(oid);
            body.put_i16(attnum);
            body.put_u32(type_oid);
            body.put_i16(-1);
            body.put_i32(-1);
            body.put_i16(i16::from(parts.next() == Some("binary")));
        }
        Ok(frame(b'T', &body))
    }

    fn stored(&self, table: &str, column: &str) -> Result<(u32, i16, u32), String> {
        let data = sql::CatalogData::from(self.catalog.clone());
        let found = data
            .relations
            .iter()
            .find(|relation| &*relation.schema == "public" && &*relation.name == table)
            .and_then(|relation| Some((relation.oid, relation.column(column)?)));
        let (oid, column) = found.ok_or_else(|| format!("no column {table}.{column}"))?;
        Ok((oid, column.attnum, column.type_oid))
    }
}

/// `pg_type.oid` of the types used here.
fn type_oid(name: &str) -> Result<u32, String> {
    Ok(match name {
        "bool" => 16,
        "bytea" => 17,
        "int8" => 20,
        "int4" => 23,
        "text" => 25,
        "date" => 1082,
        "numeric" => 1700,
        "void" => 2278,
        _ => return Err(format!("{name}: which type is that?")),
    })
}

/// Takes the first whole message off `bytes`.
pub fn take_frame(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let length = u32::from_be_bytes(bytes.get(1..5)?.try_into().ok()?);
    let end = usize::try_from(length).ok()?.checked_add(1)?;
    let whole: Vec<u8> = bytes.get(..end)?.to_vec();
    bytes.drain(..end);
    Some((whole[0], whole.get(5..).unwrap_or_default().to_vec()))
}

/// Reads the parts of a message.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn take(&mut self, count: usize) -> Vec<u8> {
        let (a, b) = self.0.split_at(count.min(self.0.len()));
        self.0 = b;
        a.to_vec()
    }
    fn cstr(&mut self) -> Vec<u8> {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = self.take(end);
        self.take(1);
        text
    }
    fn u16(&mut self) -> u16 {
        self.take(2).try_into().map_or(0, u16::from_be_bytes)
    }
    fn u32(&mut self) -> u32 {
        self.take(4).try_into().map_or(0, u32::from_be_bytes)
    }
    fn values(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..self.u16() {
            let length = self.u32();
            let value = match usize::try_from(length.cast_signed()) {
                Ok(length) => quote(&self.take(length)),
                Err(_) => "null".to_owned(),
            };
            out = out + " " + &value;
        }
        out
    }
}

/// A message of the server, as it is written.
pub fn show_server(tag: u8, body: &[u8]) -> String {
    let letter = char::from(tag);
    let mut parts = Parts(body);
    match tag {
        b'R' => match parts.u32() {
            0 => "R ok".to_owned(),
            3 => "R password".to_owned(),
            10 => format!("R sasl {}", quote(&parts.cstr())),
            other => format!("R {other}"),
        },
        b'K' => format!("K {} {}", parts.u32(), quote(parts.0)),
        b'S' => format!("S {} {}", quote(&parts.cstr()), quote(&parts.cstr())),
        b'Z' => format!("Z {}", String::from_utf8_lossy(body)),
        b'T' => {
            let count = parts.u16();
            let mut out = "T".to_owned();
            for _ in 0..count {
                let label = String::from_utf8_lossy(&parts.cstr()).into_owned();
                let (oid, attnum) = (parts.u32(), parts.u16());
                let kind = parts.u32();
                parts.take(6);
                let format = if parts.u16() == 1 { ":binary" } else { "" };
                out += &format!(" {label}:{oid}.{attnum}:{kind}{format}");
            }
            out
        }
        b'D' => format!("D{}", parts.values()),
        b'C' => format!("C {}", quote(&parts.cstr())),
        b'E' | b'N' => show_report(letter, parts),
        b'A' => {
            parts.u32();
            format!("A {} {}", quote(&parts.cstr()), quote(&parts.cstr()))
        }
        b'd' => format!("d {}", quote(body)),
        b'H' | b'G' => {
            parts.take(1);
            format!("{letter} {}", parts.u16())
        }
        b't' => {
            let count = parts.u16();
            let oids: String = (0..count).map(|_| format!(" {}", parts.u32())).collect();
            format!("t{oids}")
        }
        b'v' => {
            let minor = parts.u32();
            let count = parts.u32();
            let names: String =
                (0..count).map(|_| " ".to_owned() + &quote(&parts.cstr())).collect();
            format!("v {minor:#x}{names}")
        }
        b'1' | b'2' | b'3' | b'n' | b'I' | b's' | b'c' => letter.to_string(),
        _ => format!("tag {} {}", quote(&[tag]), quote(body)),
    }
}

fn show_report(letter: char, mut parts: Parts<'_>) -> String {
    let (mut head, mut rest) = (String::new(), String::new());
    while let Some(field) = parts.take(1).first().copied().filter(|field| *field != 0) {
        let value = parts.cstr();
        let words = String::from_utf8_lossy(&value).into_owned();
        match field {
            b'S' if words == "FATAL" => head += " FATAL",
            b'S' | b'V' => {}
            b'C' => head += &format!(" {words}"),
            b'M' => head += &format!(" {}", quote(&value)),
            other => rest += &format!(" {} {}", char::from(other), quote(&value)),
        }
    }
    format!("{letter}{head}{rest}")
}

/// A message of the client, as it is written.
pub fn show_client(tag: u8, body: &[u8]) -> String {
    let letter = char::from(tag);
    let mut parts = Parts(body);
    match tag {
        b'Q' | b'p' | b'f' => format!("{letter} {}", quote(&parts.cstr())),
        b'P' => {
            let (name, text) = (parts.cstr(), parts.cstr());
            let count = parts.u16();
            let oids: String = (0..count).map(|_| format!(" {}", parts.u32())).collect();
            format!("P {} {}{oids}", quote(&name), quote(&text))
        }
        b'B' => {
            let (portal, statement) = (parts.cstr(), parts.cstr());
            for _ in 0..parts.u16() {
                parts.u16();
            }
            let values = parts.values();
            let count = parts.u16();
            let formats: String = (0..count).map(|_| format!(" {}", parts.u16())).collect();
            let arrow = if formats.is_empty() { "" } else { " ->" };
            format!("B {} {}{values}{arrow}{formats}", quote(&portal), quote(&statement))
        }
        b'D' | b'C' => {
            let kind = parts.take(1);
            format!("{letter} {} {}", String::from_utf8_lossy(&kind), quote(&parts.cstr()))
        }
        b'E' => {
            let portal = parts.cstr();
            let limit = match parts.u32() {
                0 => String::new(),
                limit => format!(" {limit}"),
            };
            format!("E {}{limit}", quote(&portal))
        }
        b'd' => format!("d {}", quote(body)),
        b'S' | b'H' | b'X' | b'c' => letter.to_string(),
        _ => format!("tag {} {}", quote(&[tag]), quote(body)),
    }
}

impl Notation for Postgres {
    fn encode(&mut self, from: Side, words: &[Word]) -> Result<Vec<u8>, String> {
        match from {
            Side::Client => self.client_message(words),
            Side::Upstream => self.server_message(words),
        }
    }

    fn decode(&mut self, to: Side, bytes: &[u8]) -> Vec<String> {
        let mut shown = Vec::new();
        match to {
            Side::Client => {
                self.to_client.extend_from_slice(bytes);
                while self.encryption_answers > 0 && !self.to_client.is_empty() {
                    let answer = self.to_client.remove(0);
                    // An error is told in a message even here.
                    if answer == b'E' {
                        self.to_client.insert(0, answer);
                        break;
                    }
                    self.encryption_answers -= 1;
                    shown.push(format!("byte {}", char::from(answer)));
                }
                while let Some((tag, body)) = take_frame(&mut self.to_client) {
                    shown.push(show_server(tag, &body));
                }
            }
            Side::Upstream => {
                self.to_server.extend_from_slice(bytes);
                if !self.started && self.to_server.len() >= 8 {
                    let mut parts = Parts(&self.to_server[8..]);
                    let mut line = "start".to_owned();
                    loop {
                        let (key, value) = (parts.cstr(), parts.cstr());
                        if key.is_empty() {
                            break;
                        }
                        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        line += &format!(" {}={}", show(&key), show(&value));
                    }
                    shown.push(line);
                    self.started = true;
                    self.to_server.clear();
                }
                while let Some((tag, body)) = take_frame(&mut self.to_server) {
                    shown.push(show_client(tag, &body));
                }
            }
        }
        shown
    }

    fn cancel(&self, bytes: &[u8]) -> String {
        let mut parts = Parts(bytes.get(8..).unwrap_or_default());
        format!("cancel {} {}", parts.u32(), quote(parts.0))
    }

    fn login(&self) -> Vec<String> {
        vec![
            format!("client >> start user=agent database={RESOURCE}"),
            format!("client >> p {TOKEN}"),
            "server >> R ok ; S client_encoding UTF8 ; S standard_conforming_strings on ; \
             K 7 \"4444\" ; Z I"
                .to_owned(),
        ]
    }
}

/// The protocol's name, for messages.
pub fn name() -> &'static str {
    POSTGRES.name()
}

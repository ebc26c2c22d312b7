//! What a client received, in a form that two worlds can be compared in.

use crate::{Message, line};

use super::prefix::Prefixes;

/// Hashes that stand for hidden values, and a name for each that is the same in both worlds.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    prefixes: Prefixes,
    known: Vec<(Vec<u8>, String)>,
}

impl Hashes {
    /// Remembers one. Longer ones are looked for first.
    pub fn add(&mut self, hash: &[u8], name: &str) {
        if hash.len() >= 4 && !self.known.iter().any(|(known, _)| known == hash) {
            self.prefixes.add(hash);
            self.known.push((hash.to_vec(), name.to_owned()));
            self.known.sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
        }
    }

    /// How many are known.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.len()
    }

    fn named(&self, value: &[u8]) -> Vec<u8> {
        let mut out = value.to_vec();
        if self.prefixes.places(value).next().is_none() {
            return out;
        }
        for (hash, name) in &self.known {
            let mut at = 0;
            while let Some(found) = find(out.get(at..).unwrap_or_default(), hash) {
                let start = at + found;
                out.splice(start..start + hash.len(), format!("<{name}>").into_bytes());
                at = start + name.len() + 2;
            }
        }
        out
    }
}

fn find(bytes: &[u8], piece: &[u8]) -> Option<usize> {
    bytes.windows(piece.len()).position(|window| window == piece)
}

/// The values of a row, or of a row of binary COPY.
#[must_use]
pub fn values(body: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut all = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                all.push(Some(after.get(..length)?.to_vec()));
                rest = after.get(length..)?;
            }
            Err(_) => {
                all.push(None);
                rest = after;
            }
        }
    }
    rest.is_empty().then_some(all)
}

/// One message as a line, with hashes named.
fn shown(message: &Message, hashes: &Hashes, binary: bool) -> String {
    let body = match message.tag {
        b'D' => values(&message.body),
        b'd' if binary => {
            let header = b"PGCOPY\n\xff\r\n\0".len() + 8;
            let body = &message.body;
            let body = if body.starts_with(b"PGCOPY") { body.get(header..) } else { Some(&**body) };
            body.and_then(values)
        }
        b'd' => return format!("d {}", hashes.named(&message.body).escape_ascii()),
        _ => return line(message),
    };
    let Some(values) = body else { return line(message) };
    let value = |value: &Option<Vec<u8>>| match value {
        Some(bytes) => hashes.named(bytes).escape_ascii().to_string(),
        None => "\u{2205}".to_owned(),
    };
    let values: Vec<String> = values.iter().map(value).collect();
    format!("{} {}", char::from(message.tag), values.join(" | "))
}

/// All messages as lines. Rows that may come in any order are sorted.
#[must_use]
pub fn lines(messages: &[Message], hashes: &Hashes, ordered: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut binary = false;
    let mut rows = 0;
    for message in messages {
        if message.tag == b'H' {
            binary = message.body.first() == Some(&1);
        }
        let is_row = matches!(message.tag, b'D' | b'd');
        if !is_row && rows > 0 && !ordered {
            let start = out.len() - rows;
            if let Some(rows) = out.get_mut(start..) {
                rows.sort();
            }
        }
        rows = if is_row { rows + 1 } else { 0 };
        out.push(shown(message, hashes, binary));
    }
    out
}

/// The reason word of a refusal.
#[must_use]
pub fn refusal(messages: &[Message]) -> Option<String> {
    let errors = messages.iter().filter(|message| message.tag == b'E');
    errors.filter_map(|message| reason(&message.body)).next()
}

fn reason(body: &[u8]) -> Option<String> {
    let detail = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"D"))?;
    let detail = String::from_utf8_lossy(detail).into_owned();
    let words = detail.strip_prefix("narrows: ")?;
    Some(words.split([',', ' ', ';']).next().unwrap_or_default().to_owned())
}

/// The SQLSTATE of the first error.
#[must_use]
pub fn state(messages: &[Message]) -> Option<String> {
    let error = messages.iter().find(|message| message.tag == b'E')?;
    let field = error.body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"))?;
    Some(String::from_utf8_lossy(field).into_owned())
}

/// All values of all rows in one piece, row by row and column by column, with hashes named: for
/// what is spread over rows or columns.
#[must_use]
pub fn joined(messages: &[Message], hashes: &Hashes) -> Vec<u8> {
    let rows: Vec<Vec<Option<Vec<u8>>>> = messages
        .iter()
        .filter(|message| message.tag == b'D')
        .filter_map(|message| values(&message.body))
        .collect();
    let mut out = Vec::new();
    for value in rows.iter().flatten().flatten() {
        out.extend(hashes.named(value));
    }
    out.push(b'\n');
    for at in 0..rows.iter().map(Vec::len).max().unwrap_or(0) {
        for value in rows.iter().filter_map(|row| row.get(at)?.as_ref()) {
            out.extend(hashes.named(value));
        }
        out.push(b'\n');
    }
    // With their lengths, by which numbers in binary are known.
    for value in rows.iter().flatten().flatten() {
        let value = hashes.named(value);
        out.extend(u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
        out.extend(value);
    }
    for message in messages.iter().filter(|message| !matches!(message.tag, b'D' | b'T')) {
        out.push(b'\n');
        out.extend(hashes.named(&message.body));
    }
    out
}

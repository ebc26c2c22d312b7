//! Private keys in textual encodings (RFC 7468, RFC 4880 section 6.2), whole or cut off.

use memchr::memmem;

/// Longest label between `BEGIN` and the closing dashes, bytes.
const LABEL_BYTES_MAX: usize = 64;
/// Longest key that is taken as one, bytes; beyond it a key counts as cut off.
const KEY_BYTES_MAX: usize = 64 * 1024;
/// Shortest piece of a body that tells a key from words, characters.
const BODY_MIN: usize = 16;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// Header lines inside a key (RFC 1421, 4.6; RFC 4880, 6.2), up to the colon.
const HEADERS: [&[u8]; 4] = [b"Proc-Type", b"DEK-Info", b"Version", b"Comment"];

/// Where a key starts and ends, in bytes.
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The key that has a boundary line at `at`; `floor` is where the search backwards must stop.
pub(crate) fn recognise(text: &[u8], at: usize, floor: usize) -> Option<Found> {
    if let Some(body) = boundary(text, at, BEGIN) {
        return Some(Found { start: at, end: end_of(text, at, body)? });
    }
    let end = boundary(text, at, END)?;
    let start = tail_start(text, at, floor);
    (at - start >= BODY_MIN).then_some(Found { start, end })
}

/// The end of the boundary line at `at`, when it is one of a private key.
fn boundary(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    let rest = text.get(at..)?.strip_prefix(word)?;
    let label = rest.get(..rest.len().min(LABEL_BYTES_MAX + DASHES.len()))?;
    let length = memmem::find(label, DASHES)?;
    let label = label.get(..length)?;
    let private = memmem::find(label, b"PRIVATE KEY").is_some();
    let plain = label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ');
    (private && plain).then_some(at + word.len() + length + DASHES.len())
}

/// The end of the key that starts at `start` and whose body starts at `body`.
fn end_of(text: &[u8], start: usize, body: usize) -> Option<usize> {
    let reach = text.get(body..text.len().min(start + KEY_BYTES_MAX))?;
    let close = memmem::find(reach, DASHES).map(|at| body + at);
    if let Some(end) = close.and_then(|at| boundary(text, at, END)) {
        return Some(end);
    }
    cut_end(text, body, close.unwrap_or(body + reach.len()))
}

/// The end of a body without an end line: as far as it looks like one, at least one good piece.
fn cut_end(text: &[u8], body: usize, limit: usize) -> Option<usize> {
    let (mut at, mut end, mut good, mut after_line) = (body, body, false, true);
    while at < limit {
        let (gap, line) = break_at(text, at, limit);
        after_line = (after_line && at == body) || line;
        let piece = text.get(gap..limit).unwrap_or_default();
        if let Some(header) = HEADERS.iter().find(|header| piece.starts_with(header)) {
            let rest = piece.get(header.len()..).unwrap_or_default();
            at = gap
                + header.len()
                + rest.iter().take_while(|b| !matches!(b, b'\n' | b'\\')).count();
            end = at;
            continue;
        }
        let length = piece.iter().take_while(|byte| is_base64(**byte)).count();
        if length == 0 || !(after_line || length >= BODY_MIN) {
            break;
        }
        good |= length >= BODY_MIN;
        at = gap + length;
        end = at;
    }
    good.then_some(end)
}

/// Steps over white space, written out or not; says whether a line ended in it.
fn break_at(text: &[u8], from: usize, limit: usize) -> (usize, bool) {
    let (mut at, mut line) = (from, false);
    while at < limit {
        match (text.get(at), text.get(at + 1)) {
            (Some(b'\n' | b'\r'), _) => (at, line) = (at + 1, true),
            (Some(b' ' | b'\t'), _) => at += 1,
            (Some(b'\\'), Some(b'n' | b'r')) => (at, line) = (at + 2, true),
            _ => break,
        }
    }
    (at.min(limit), line)
}

/// Where the body starts that ends before the end line at `at`.
fn tail_start(text: &[u8], at: usize, floor: usize) -> usize {
    let floor = floor.max(at.saturating_sub(KEY_BYTES_MAX)).min(at);
    let reach = text.get(floor..at).unwrap_or_default();
    let length = reach
        .iter()
        .rev()
        .take_while(|byte| is_base64(**byte) || matches!(byte, b'\n' | b'\r' | b'\\'))
        .count();
    at - length
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpI";

    fn found(text: &str) -> Option<&str> {
        let at = text.find("-----")?;
        let key = recognise(text.as_bytes(), at, 0)?;
        text.get(key.start..key.end)
    }

    #[test]
    fn whole_keys_of_every_label_are_found() {
        for label in [
            "PRIVATE KEY",
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ] {
            for line in ["\n", "\\n", " ", "\r\n"] {
                let key = format!("-----BEGIN {label}-----{line}{LINE}{line}-----END {label}-----");
                assert_eq!(found(&key), Some(key.as_str()));
                assert_eq!(found(&format!("key: {key} end")), Some(key.as_str()));
            }
        }
    }

    #[test]
    fn cut_keys_are_found_as_far_as_they_go() {
        let head =
            format!("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{LINE}\nMIIE");
        assert_eq!(found(&head), Some(head.as_str()));
        assert_eq!(
            found(&format!("{head}\n\nThat is my key")),
            Some(format!("{head}\n\nThat").as_str())
        );
        let tail = format!("{LINE}\nabc=\n-----END EC PRIVATE KEY-----");
        assert_eq!(found(&tail), Some(tail.as_str()));
        assert_eq!(found(&format!("tail: {tail}")), Some(tail.as_str()));
    }

    #[test]
    fn other_armour_and_bare_headers_are_left_alone() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nMIIEowIBAAKCAQEA0Z3VS5JJcds3\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nMIIEowIBAAKCAQEA0Z3VS5JJcds3\n-----END PUBLIC KEY-----",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY----- goes here",
            "-----BEGIN PRIVATE KEY",
            "-----END PRIVATE KEY-----",
            "----------------------",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}

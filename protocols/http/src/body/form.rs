//! `application/x-www-form-urlencoded` (WHATWG URL, 5): pairs of names and values.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::hide::{Hider, JUDGED_BYTES_MAX, Replaced, TOO_LONG};
use super::{Unreadable, value};

/// One form.
#[derive(Default)]
pub(super) struct Form {
    /// The pair at hand.
    held: Vec<u8>,
    rows: u64,
}

impl Form {
    pub fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        self.rows = self.rows.max(u64::from(!bytes.is_empty()));
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'&', rest) {
            let (pair, after) = rest.split_at_checked(end).unwrap_or_default();
            self.hold(pair)?;
            self.pair(hide, out)?;
            out.push(b'&');
            rest = after.get(1..).unwrap_or_default();
        }
        self.hold(rest)
    }

    pub fn finish(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        self.pair(hide, out)
    }

    /// 1 once there is a form.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        if self.held.len().saturating_add(bytes.len()) > JUDGED_BYTES_MAX {
            return Err(TOO_LONG);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn pair(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let held = std::mem::take(&mut self.held);
        let sign = memchr::memchr(b'=', &held);
        let (raw_name, raw_value) = match sign.and_then(|at| held.split_at_checked(at)) {
            Some((name, value)) => (name, value.get(1..).unwrap_or_default()),
            None => (held.as_slice(), &[][..]),
        };
        let name = decode(raw_name);
        let name = String::from_utf8_lossy(&name);
        write(raw_name, hide.within(b"", name.as_bytes()), out);
        if sign.is_some() {
            out.push(b'=');
            let text = decode(raw_value);
            let replaced = judge(&name, &text, hide)?;
            write(raw_value, replaced, out);
        }
        self.held = held;
        self.held.clear();
        Ok(())
    }
}

/// What becomes of a decoded value of this name.
pub(super) fn judge(name: &str, text: &[u8], hide: &mut Hider) -> Result<Replaced, Unreadable> {
    // `user[ssn]`, as some frameworks write the path `user.ssn`.
    let path = name.replace("][", ".").replace('[', ".").replace(']', "");
    let last = path.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let shown = String::from_utf8_lossy(text);
    if let Some(kind) = hide.field(last, path.trim_end_matches('.'), name) {
        return Ok(hide.masked(kind, &shown));
    }
    let context = [name.as_bytes(), b"="].concat();
    value::judge(&shown, value::Place { path: &path, context: &context, level: 0 }, hide)
}

fn decode(raw: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = raw.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced).collect()
}

fn write(raw: &[u8], replaced: Replaced, out: &mut Vec<u8>) {
    match replaced {
        Replaced::Untouched => out.extend_from_slice(raw),
        Replaced::Null => {}
        Replaced::With(text) => {
            for part in percent_encode(&text, NON_ALPHANUMERIC) {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
}

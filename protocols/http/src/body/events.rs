//! Server-sent events (WHATWG HTML, 9.2): an event is held until it is complete, then its data is
//! judged as one text.

use super::hide::{Hider, JUDGED_BYTES_MAX, Replaced, TOO_LONG};
use super::{Unreadable, value};

/// One stream of events.
#[derive(Default)]
pub(super) struct Events {
    /// Lines of the event at hand, with their ends.
    lines: Vec<Line>,
    /// Bytes in those lines.
    bytes: usize,
    /// The line at hand.
    line: Vec<u8>,
    /// The line ended with a carriage return, which a line feed may follow.
    after_return: bool,
    has_data: bool,
    rows: u64,
}

#[derive(Debug)]
struct Line {
    /// Without its end.
    text: Vec<u8>,
    end: &'static [u8],
}

impl Events {
    pub fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while let Some(first) = rest.first().copied() {
            if self.after_return {
                self.after_return = false;
                let is_pair = first == b'\n';
                self.line_ended(if is_pair { b"\r\n" } else { b"\r" }, hide, out)?;
                if is_pair {
                    rest = rest.get(1..).unwrap_or_default();
                }
                continue;
            }
            let end = memchr::memchr2(b'\r', b'\n', rest);
            let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            if self.bytes.saturating_add(self.line.len()).saturating_add(text.len())
                > JUDGED_BYTES_MAX
            {
                return Err(TOO_LONG);
            }
            self.line.extend_from_slice(text);
            let Some(end) = end else { return Ok(()) };
            match rest.get(end) {
                Some(b'\r') => self.after_return = true,
                _ => self.line_ended(b"\n", hide, out)?,
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        Ok(())
    }

    pub fn finish(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if std::mem::take(&mut self.after_return) {
            self.line_ended(b"\r", hide, out)?;
        }
        if !self.line.is_empty() {
            self.line_ended(b"", hide, out)?;
        }
        self.event(hide, out)
    }

    /// Events with data so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn line_ended(
        &mut self,
        end: &'static [u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let text = std::mem::take(&mut self.line);
        let is_blank = text.is_empty();
        let is_data = data(&text).is_some();
        if is_blank || !is_data && !self.has_data {
            // A comment or a name before the data leaves at once.
            self.event(hide, out)?;
            write_text(&text, hide, out);
            out.extend_from_slice(end);
            return Ok(());
        }
        self.has_data |= is_data;
        // An end counts too, so that no number of empty lines is held.
        self.bytes = self.bytes.saturating_add(text.len()).saturating_add(size_of::<Line>());
        self.lines.push(Line { text, end });
        if self.bytes > JUDGED_BYTES_MAX { Err(TOO_LONG) } else { Ok(()) }
    }

    /// The event at hand is complete.
    fn event(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let lines = std::mem::take(&mut self.lines);
        (self.bytes, self.has_data) = (0, false);
        if lines.is_empty() {
            return Ok(());
        }
        self.rows += 1;
        let parts: Vec<&[u8]> = lines.iter().filter_map(|line| data(&line.text)).collect();
        let joined = parts.join(&b'\n');
        // Clients read bytes that are no UTF-8 as well, one way or another.
        let text = String::from_utf8_lossy(&joined);
        let place = value::Place { path: "", context: b"", level: 0 };
        let replaced = value::judge(&text, place, hide)?;
        let mut new = match &replaced {
            Replaced::Untouched => None,
            Replaced::Null => Some(&b""[..]),
            Replaced::With(text) => Some(text.as_slice()),
        };
        let changed = new.is_some();
        for line in &lines {
            let is_data = data(&line.text).is_some();
            if !is_data {
                write_text(&line.text, hide, out);
                out.extend_from_slice(line.end);
            } else if !changed {
                out.extend_from_slice(&line.text);
                out.extend_from_slice(line.end);
            } else if let Some(text) = new.take() {
                let end = if line.end.is_empty() { b"\n" } else { line.end };
                for part in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(part);
                    out.extend_from_slice(end);
                }
            }
        }
        Ok(())
    }
}

/// The data in a line, if it is a line of data.
fn data(line: &[u8]) -> Option<&[u8]> {
    // A byte order mark may stand before the first line.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let rest = line.strip_prefix(b"data")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

fn write_text(line: &[u8], hide: &mut Hider, out: &mut Vec<u8>) {
    hide.within_text(b"", line, out);
}

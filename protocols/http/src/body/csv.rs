//! Tables as text (RFC 4180): the first line names the columns.
//!
//! A row is held until it is complete. A row with more cells than there are names is refused where
//! names are masked, because its values stand under names that are not theirs.

use std::borrow::Cow;
use std::ops::Range;

use engine::MaskKind;

use super::form;
use super::hide::{Hider, JUDGED_BYTES_MAX, Replaced, TOO_LONG};
use super::{AMBIGUOUS, Unreadable};

/// What may stand between cells.
const DELIMITERS: &[u8] = b",;\t|";

/// A byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One table.
#[derive(Default)]
pub(super) struct Csv {
    row: Vec<u8>,
    quotes: Quotes,
    /// Where the row at hand was read up to.
    at: usize,
    header: Option<Header>,
    rows: u64,
}

struct Header {
    delimiter: u8,
    names: Vec<(String, Option<MaskKind>)>,
}

/// Where in a cell.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Quotes {
    /// At its start, where a quote may open it.
    #[default]
    Start,
    Inside,
    /// After a quote inside, which closes the cell or stands for itself.
    Closing,
    /// In a cell that is not quoted, or no more.
    Bare,
}

impl Quotes {
    fn after(self, byte: u8, is_delimiter: bool) -> Self {
        match (self, byte) {
            (Self::Start | Self::Closing, b'"') | (Self::Inside, _) if byte != b'"' => Self::Inside,
            (Self::Start | Self::Closing, b'"') => Self::Inside,
            (Self::Inside, _) => Self::Closing,
            _ if is_delimiter => Self::Start,
            _ => Self::Bare,
        }
    }
}

impl Csv {
    pub fn push(
        &mut self,
        bytes: &[u8],
        hide: &mut Hider,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let (line, after) = rest.split_at_checked(end).unwrap_or_default();
            if self.row.len().saturating_add(line.len()) > JUDGED_BYTES_MAX {
                return Err(TOO_LONG);
            }
            self.row.extend_from_slice(line);
            rest = after;
            self.read();
            let is_open = self.quotes == Quotes::Inside;
            if line.ends_with(b"\n") && !is_open {
                self.row_ended(hide, out)?;
            }
        }
        Ok(())
    }

    pub fn finish(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        if self.quotes == Quotes::Inside && hide.has_fields() {
            return Err(AMBIGUOUS);
        }
        self.row_ended(hide, out)
    }

    /// Rows after the names.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Follows quotes through what is new.
    fn read(&mut self) {
        let delimiter = self.header.as_ref().map(|header| header.delimiter);
        for byte in self.row.get(self.at..).unwrap_or_default() {
            // A byte order mark before the first name.
            if delimiter.is_none() && self.quotes == Quotes::Start && MARK.contains(byte) {
                continue;
            }
            let is_delimiter =
                delimiter.map_or(DELIMITERS.contains(byte), |delimiter| delimiter == *byte);
            self.quotes = self.quotes.after(*byte, is_delimiter);
        }
        self.at = self.row.len();
    }

    fn row_ended(&mut self, hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let row = std::mem::take(&mut self.row);
        (self.quotes, self.at) = (Quotes::Start, 0);
        let text = row.strip_suffix(b"\n").unwrap_or(&row);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let end = row.get(text.len()..).unwrap_or_default();
        match &self.header {
            _ if text.is_empty() => {}
            Some(header) => {
                self.rows += 1;
                header.row(text, hide, out)?;
            }
            None => self.header = Some(Header::read(text, hide, out)?),
        }
        out.extend_from_slice(end);
        self.row = row;
        self.row.clear();
        Ok(())
    }
}

impl Header {
    fn read(text: &[u8], hide: &mut Hider, out: &mut Vec<u8>) -> Result<Self, Unreadable> {
        let text = match text.strip_prefix(MARK) {
            Some(names) => {
                out.extend_from_slice(MARK);
                names
            }
            None => text,
        };
        // A name over several lines may as well be a quote that is not closed before the rows.
        if text.contains(&b'\n') && hide.has_fields() {
            return Err(AMBIGUOUS);
        }
        let count = |delimiter: &u8| cells(text, *delimiter).len();
        // The first of those that are found most often.
        let mut delimiter = b',';
        for other in DELIMITERS {
            if count(other) > count(&delimiter) {
                delimiter = *other;
            }
        }
        let mut names = Vec::new();
        for (place, cell) in cells(text, delimiter).into_iter().enumerate() {
            let raw = text.get(cell).unwrap_or_default();
            check_returns(raw, hide)?;
            let cell = unquote(raw);
            let name = String::from_utf8_lossy(&cell);
            let name = name.trim().to_owned();
            let mask = hide.field(&name, &name, &name);
            if place > 0 {
                out.push(delimiter);
            }
            write(raw, hide.within(b"", &cell), delimiter, out);
            names.push((name, mask));
        }
        Ok(Self { delimiter, names })
    }

    fn row(&self, text: &[u8], hide: &mut Hider, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let cells = cells(text, self.delimiter);
        let masks_any = self.names.iter().any(|(_, mask)| mask.is_some());
        if masks_any && cells.len() > self.names.len() {
            return Err(AMBIGUOUS);
        }
        for (place, cell) in cells.into_iter().enumerate() {
            let raw = text.get(cell).unwrap_or_default();
            check_returns(raw, hide)?;
            let value = unquote(raw);
            let (name, mask) = self.names.get(place).map_or(("", None), |(n, m)| (n.as_str(), *m));
            let replaced = match mask {
                Some(kind) => {
                    hide.comes_from(name);
                    hide.masked(kind, &String::from_utf8_lossy(&value))
                }
                None => form::judge(name, &value, hide)?,
            };
            if place > 0 {
                out.push(self.delimiter);
            }
            write(raw, replaced, self.delimiter, out);
        }
        Ok(())
    }
}

/// Places of the cells of a row.
fn cells(row: &[u8], delimiter: u8) -> Vec<Range<usize>> {
    let (mut found, mut from, mut quotes) = (Vec::new(), 0, Quotes::Start);
    for (at, byte) in row.iter().enumerate() {
        let is_delimiter = *byte == delimiter;
        if is_delimiter && quotes != Quotes::Inside {
            found.push(from..at);
            from = at + 1;
        }
        quotes = quotes.after(*byte, is_delimiter);
    }
    found.push(from..row.len());
    found
}

/// Some readers end a row at a return that stands alone.
fn check_returns(cell: &[u8], hide: &Hider) -> Result<(), Unreadable> {
    let is_bare = !cell.starts_with(b"\"");
    let is_ambiguous = is_bare && hide.has_fields() && cell.contains(&b'\r');
    if is_ambiguous { Err(AMBIGUOUS) } else { Ok(()) }
}

fn unquote(cell: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = cell.strip_prefix(b"\"") else { return Cow::Borrowed(cell) };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    if !inner.contains(&b'"') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().peekable();
    while let Some(byte) = bytes.next() {
        out.push(*byte);
        if *byte == b'"' {
            bytes.next_if_eq(&&b'"');
        }
    }
    Cow::Owned(out)
}

fn write(raw: &[u8], replaced: Replaced, delimiter: u8, out: &mut Vec<u8>) {
    let text = match replaced {
        Replaced::Untouched => return out.extend_from_slice(raw),
        Replaced::Null => return,
        Replaced::With(text) => text,
    };
    let special = |byte: &u8| *byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    if !raw.starts_with(b"\"") && !text.iter().any(special) {
        return out.extend_from_slice(&text);
    }
    out.push(b'"');
    for byte in text {
        out.push(byte);
        if byte == b'"' {
            out.push(byte);
        }
    }
    out.push(b'"');
}

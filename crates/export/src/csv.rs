//! Comma-separated values (RFC 4180), for spreadsheets: a line per operation, with its reply.
//!
//! Lines end with CR LF; the first has the names of the columns. Lists are joined by `; `. An
//! operation that never got a reply is written at the end, with empty cells for what a reply says;
//! a reply whose operation is not among the events has empty cells for what that says. An operation
//! that was refused has its line at once and an empty `outcome`.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, TAB, CR or LF (or the wide forms
//! of the signs, perhaps after blanks) for a formula, and what clients write could make it one.
//! Such a cell gets a `'` in front, and so does one that begins with `'`. Readers that end cells at
//! `;` or TAB, as spreadsheets of many countries do, see other cells than were written: every cell
//! is quoted, and a sign behind `;`, TAB, CR or LF gets its `'` too. Control characters other than
//! TAB, CR and LF, which RFC 4180 does not have and terminals obey, are written as `\u{1b}`. The
//! exact texts are in `jsonl`.

use std::io::Write;

use model::Event;
use model::text::is_unseen;

use crate::exporter::{ExportError, Form};
use crate::join::{Entry, Join, Payloads};
use crate::text::{self, ns_as_ms, rfc3339};

/// Names of the columns. Times are RFC 3339 in UTC; the duration is in milliseconds.
const COLUMNS: [&str; 20] = [
    "time",
    "session",
    "principal",
    "on_behalf_of",
    "resource",
    "protocol",
    "operation",
    "decision",
    "rules",
    "approver",
    "verbs",
    "reads",
    "writes",
    "text",
    "rows",
    "bytes",
    "outcome",
    "detections",
    "masked_columns",
    "duration_ms",
];

/// Writes lines.
pub(crate) struct Csv {
    join: Join,
    begun: bool,
}

impl Default for Csv {
    fn default() -> Self {
        Self { join: Join::new(Payloads::Ignored), begun: false }
    }
}

impl Form for Csv {
    fn event(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), ExportError> {
        self.begin(out)?;
        let entries = self.join.event(event);
        entries.iter().try_for_each(|entry| line(&cells(entry), out))
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        self.begin(out)?;
        self.join.rest().iter().try_for_each(|entry| line(&cells(entry), out))
    }
}

impl Csv {
    fn begin(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        line(&COLUMNS.map(str::to_owned), out)
    }
}

fn cells(entry: &Entry) -> [String; 20] {
    let Entry { frame, who, asked, reply, .. } = entry;
    let plain = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let objects = asked.as_ref().map(|asked| &*asked.objects);
    let of_reply = |number: fn(&crate::join::Replied) -> String| {
        reply.as_ref().map(number).unwrap_or_default()
    };
    [
        rfc3339(frame.at),
        plain(frame.session.as_ref().map(|session| &*session.0)),
        plain(frame.principal.as_deref()),
        plain(frame.party(who.as_deref())),
        plain(frame.resource.as_deref()),
        plain(entry.protocol()),
        entry.id.0.to_string(),
        plain(entry.decision.map(text::verdict)),
        text::rules(&entry.rules),
        plain(entry.approver.as_deref()),
        objects.map(|objects| text::names(&objects.verbs)).unwrap_or_default(),
        objects.map(|objects| text::names(&objects.reads)).unwrap_or_default(),
        objects.map(|objects| text::names(&objects.writes)).unwrap_or_default(),
        plain(asked.as_ref().map(|asked| &*asked.text)),
        of_reply(|reply| reply.rows.to_string()),
        of_reply(|reply| reply.bytes.to_string()),
        of_reply(|reply| reply.outcome.clone()),
        of_reply(|reply| text::detections(&reply.detections)),
        of_reply(|reply| text::masked(&reply.columns)),
        of_reply(|reply| ns_as_ms(reply.duration_ns)),
    ]
}

fn line(cells: &[String], out: &mut dyn Write) -> Result<(), ExportError> {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        out.write_all(written(cell).as_bytes())?;
    }
    Ok(out.write_all(b"\r\n")?)
}

/// A cell, guarded and quoted.
fn written(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len().saturating_add(2));
    text.push('"');
    if cell.starts_with(['\'', '\t', '\r', '\n']) || is_formula(cell) {
        text.push('\'');
    }
    let mut rest = cell.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => text.push_str("\"\""),
            c if c.is_control() && !is_end(c) => text.extend(c.escape_unicode()),
            c => text.push(c),
        }
        if is_end(c) && is_formula(rest.as_str()) {
            text.push('\'');
        }
    }
    text.push('"');
    text
}

/// Where some reader, quotes or not, sees the end of a cell.
const fn is_end(c: char) -> bool {
    matches!(c, ';' | '\t' | '\r' | '\n')
}

/// Whether a spreadsheet could take this for a formula. Some drop blanks before they look.
fn is_formula(text: &str) -> bool {
    let blank = |c: char| c == ' ' || c == '\u{a0}' || is_unseen(c) && !is_end(c);
    text.trim_start_matches(blank)
        .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_could_be_formulas_are_text() {
        for (cell, in_file) in [
            ("", r#""""#),
            ("select 1", r#""select 1""#),
            ("a=b", r#""a=b""#),
            ("=1+1", r#""'=1+1""#),
            ("+1", r#""'+1""#),
            ("-1", r#""'-1""#),
            ("@SUM(A1)", r#""'@SUM(A1)""#),
            ("\t=1", "\"'\t'=1\""),
            ("\r=1", "\"'\r'=1\""),
            ("\n=1", "\"'\n'=1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            (" =1", r#""' =1""#),
            ("\u{feff}=1", "\"'\u{feff}=1\""),
            ("'quoted'", r#""''quoted'""#),
            ("=\"a\",b", r#""'=""a"",b""#),
            ("a\u{1b}[2Jb\0", "\"a\\u{1b}[2Jb\\u{0}\""),
            ("a;=1", r#""a;'=1""#),
            ("a; -1; b", r#""a;' -1; b""#),
            ("a\t\u{200b}+1", "\"a\t'\u{200b}+1\""),
            ("a\n\n@x", "\"a\n\n'@x\""),
            ("a, -1", r#""a, -1""#),
        ] {
            assert_eq!(written(cell), in_file, "{cell:?}");
        }
    }
}

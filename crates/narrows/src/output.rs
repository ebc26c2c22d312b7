//! Words on a terminal: tables, times, colours.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use model::Timestamp;
use model::text::is_unseen;

use crate::commands::SaidNo;

/// A way to set words off. Without a terminal, or with `NO_COLOR`, words stay plain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Bold,
    /// Less important.
    Faint,
    /// It went well.
    Good,
    /// Look here.
    Careful,
    /// It was stopped.
    Bad,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Careful => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// The tone of a decision or status.
pub fn tone_of(word: &str) -> Tone {
    match word {
        "allow" | "approved" | "active" => Tone::Good,
        "mask" | "hold" | "pending" => Tone::Careful,
        "block" | "denied" | "revoked" | "expired" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// Where words go.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    colours: bool,
    /// The time by which "ago" is measured.
    pub now: Timestamp,
}

impl Out {
    /// Standard output.
    pub fn stdout(now: Timestamp) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wanted && std::io::stdout().is_terminal(), now }
    }

    /// Without colours, for tests.
    #[cfg(test)]
    pub fn plain(now: Timestamp) -> Self {
        Self { colours: false, now }
    }

    /// `text` in a tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if self.colours && tone != Tone::Plain && !text.is_empty() {
            format!("{}{text}\x1b[0m", tone.code())
        } else {
            text.to_owned()
        }
    }

    /// `3m ago`, from RFC 3339.
    pub fn ago(self, time: &str) -> String {
        match admin::parse_time(time) {
            Some(at) if at <= self.now => format!("{} ago", rough(self.now.since(at))),
            Some(at) => format!("in {}", rough(at.since(self.now))),
            None => time.to_owned(),
        }
    }

    /// Lines up columns; the first row is the heading.
    pub fn table(self, heading: &[&str], rows: &[Vec<Cell>]) -> String {
        let heading: Vec<Cell> = heading.iter().map(|word| Cell::new(Tone::Faint, *word)).collect();
        let all = std::iter::once(&heading).chain(rows);
        let mut widths: Vec<usize> = Vec::new();
        for row in all.clone() {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        for row in all {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = width.saturating_sub(cell.text.chars().count());
                line.push_str(&self.paint(cell.tone, &cell.text));
                if index + 1 < row.len() {
                    line.extend(std::iter::repeat_n(' ', pad + 2));
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// One field of a table.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Words in a tone.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: one_line(&text.into()), tone }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self::new(Tone::Plain, value.to_string())
    }
}

/// What could rewrite the terminal, or reorder what is read, becomes visible.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if is_unseen(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// `text` on one line, blanks joined.
pub fn one_line(text: &str) -> String {
    printable(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `chars` characters.
pub fn clip(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// `3m`, `2h`, `5d`: the largest unit that fits.
pub fn rough(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        1..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `1.2 ms`, `3.4 s`.
pub fn precise(nanoseconds: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", nanoseconds / unit, nanoseconds % unit * 10 / unit);
    match nanoseconds {
        0..=999_999 => format!("{} µs", tenths(1_000)),
        1_000_000..=999_999_999 => format!("{} ms", tenths(1_000_000)),
        _ => format!("{} s", tenths(1_000_000_000)),
    }
}

/// `12 B`, `3.4 kB`, `5.6 MB`.
pub fn bytes(count: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", count / unit, count % unit * 10 / unit);
    match count {
        0..=999 => format!("{count} B"),
        1_000..=999_999 => format!("{} kB", tenths(1_000)),
        1_000_000..=999_999_999 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

/// `1 row`, `2 rows`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Writes to standard output.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What came of writing to standard output. A reader that went away (`| head`) needs no words, but
/// not all was done.
pub fn written(result: std::io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if is_gone(&error) => Err(SaidNo.into()),
        other => other.context("write to standard output"),
    }
}

/// Whether whoever reads along went away.
pub fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

/// Writes a line to standard output.
pub fn line(text: &str) -> anyhow::Result<()> {
    print(&format!("{text}\n"))
}

/// Writes a value as JSON to standard output.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(&export::escaped(&serde_json::to_string_pretty(value)?))
}

/// The same on one line.
pub fn json_line(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(&export::escaped(&serde_json::to_string(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_trailing_blanks() {
        let rows = vec![vec![Cell::from("s_1"), Cell::from(12)], vec!["s_100".into(), "é".into()]];
        let text = Out::plain(Timestamp(0)).table(&["ID", "ROWS"], &rows);
        assert_eq!(text, "ID     ROWS\ns_1    12\ns_100  é\n");
    }

    #[test]
    fn amounts_read_well() {
        assert_eq!(rough(Duration::from_secs(119)), "119s");
        assert_eq!(rough(Duration::from_secs(120)), "2m");
        assert_eq!(precise(1_234_567), "1.2 ms");
        assert_eq!(bytes(1_950_000), "1.9 MB");
        assert_eq!(counted(1, "row"), "1 row");
        let out = Out::plain(Timestamp(180_000_000_000));
        assert_eq!(out.ago("1970-01-01T00:00:00Z"), "3m ago");
        assert_eq!(out.ago("1970-01-01T00:04:00Z"), "in 60s");
    }

    #[test]
    fn what_a_peer_sent_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}c\n");
        assert_eq!(one_line("a\n  b\tc"), "a b c");
        assert_eq!(clip("abcdef", 4), "abc…");
    }
}

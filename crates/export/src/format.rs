//! The formats by name.

use std::str::FromStr;

/// What events are written as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// A terminal recording, asciicast version 2, for `asciinema play` and the web player.
    Asciicast,
    /// Comma-separated values (RFC 4180), a line per operation.
    Csv,
    /// An HTTP Archive, version 1.2, for browsers' developer tools and proxies.
    Har,
    /// JSON Lines: the events themselves.
    Jsonl,
    /// Objects of the Open Cybersecurity Schema Framework, version 1.5.0, one per line.
    Ocsf,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Jsonl, Self::Ocsf, Self::Har, Self::Asciicast, Self::Csv];

    /// The word used on command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asciicast => "asciicast",
            Self::Csv => "csv",
            Self::Har => "har",
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf",
        }
    }
}

/// A word that is no format; the fault of whoever wrote it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no format: jsonl, ocsf, har, asciicast and csv are")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        let named = Self::ALL.into_iter().find(|format| format.as_str() == word);
        named.ok_or_else(|| UnknownFormat(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_found_by_its_word_and_others_are_told_the_words() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        let error = "CSV".parse::<Format>().unwrap_err();
        for format in Format::ALL {
            assert!(error.to_string().contains(format.as_str()), "{error}");
        }
    }
}

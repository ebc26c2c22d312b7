//! What the options of a COPY statement make of its data.

use std::sync::Arc;

/// The format of COPY data.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CopyFormat {
    /// `binary`.
    Binary,
    /// `csv`.
    Csv {
        /// Between columns.
        delimiter: u8,
        /// Around values.
        quote: u8,
        /// Before a quote within quotes.
        escape: u8,
        /// What NULL is written as, without quotes.
        null: Vec<u8>,
        /// The first line holds names.
        header: bool,
        /// Which values have quotes without needing them.
        force_quote: ForceQuote,
    },
    /// `text`.
    Text {
        /// Between columns.
        delimiter: u8,
        /// What NULL is written as.
        null: Vec<u8>,
        /// The first line holds names (since PostgreSQL 15).
        header: bool,
    },
}

/// `FORCE_QUOTE`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ForceQuote {
    /// `*`: every value that is not NULL.
    All,
    /// Not given.
    None,
    /// Some columns; a masked value then has quotes where the value itself had them.
    Some,
}

impl CopyFormat {
    pub(super) fn header(&self) -> bool {
        match self {
            Self::Binary => false,
            Self::Csv { header, .. } | Self::Text { header, .. } => *header,
        }
    }

    /// Whether some value is written like NULL. In CSV such a value has quotes. In the text format
    /// it has not, unless the null string is one that the escaping of values never gives, as `\N`.
    pub(super) fn null_is_ambiguous(&self) -> bool {
        let Self::Text { delimiter, null, .. } = self else { return false };
        let mut bytes = null.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => match bytes.next() {
                    Some(b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\') => {}
                    Some(escaped) if escaped == delimiter => {}
                    _ => return false,
                },
                0x08..=0x0d => return false,
                plain if plain == delimiter => return false,
                _ => {}
            }
        }
        true
    }
}

/// The options of a COPY TO statement, understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CopyOptions {
    /// The format of its data.
    pub format: CopyFormat,
    /// The encoding it asks for; `None` for the client's. It is one in which the bytes of ASCII
    /// characters mean nothing else.
    pub encoding: Option<Arc<str>>,
}

/// An option that is not understood, so that its data cannot be masked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unclear {
    /// The option.
    pub option: Arc<str>,
    /// What is wrong, in fixed words.
    pub what: &'static str,
}

/// The options as given, each at most once.
#[derive(Default)]
struct Given<'a> {
    format: Option<&'a str>,
    delimiter: Option<&'a str>,
    null: Option<&'a str>,
    header: Option<&'a str>,
    quote: Option<&'a str>,
    escape: Option<&'a str>,
    force_quote: Option<&'a str>,
    encoding: Option<&'a str>,
    freeze: Option<&'a str>,
}

impl<'a> Given<'a> {
    fn collect(options: &'a [(Arc<str>, Arc<str>)]) -> Result<Self, Unclear> {
        let mut given = Self::default();
        for (name, value) in options {
            let slot = match name.as_ref() {
                "format" => &mut given.format,
                "delimiter" => &mut given.delimiter,
                "null" => &mut given.null,
                "header" => &mut given.header,
                "quote" => &mut given.quote,
                "escape" => &mut given.escape,
                "force_quote" => &mut given.force_quote,
                "encoding" => &mut given.encoding,
                "freeze" => &mut given.freeze,
                _ => return Err(unclear(name, "not an option of COPY TO that can be masked")),
            };
            if slot.replace(value).is_some() {
                return Err(unclear(name, "given twice"));
            }
        }
        Ok(given)
    }
}

fn unclear(option: &str, what: &'static str) -> Unclear {
    Unclear { option: option.into(), what }
}

impl CopyOptions {
    /// Reads options as the parser gives them: names in lower case, `true` for an option without a
    /// value. The older syntax (`WITH CSV HEADER`) arrives in the same names.
    ///
    /// # Errors
    /// An option or a value that is not understood exactly as the server understands it. The
    /// statement must not run then, for its data could be taken apart wrongly.
    pub fn parse(options: &[(Arc<str>, Arc<str>)]) -> Result<Self, Unclear> {
        let given = Given::collect(options)?;
        if let Some(freeze) = given.freeze {
            truth("freeze", freeze)?;
        }
        let encoding = given.encoding.map(Arc::from);
        if given.encoding.is_some_and(|encoding| !encoding_is_safe(encoding)) {
            return Err(unclear("encoding", "an encoding whose data cannot be taken apart safely"));
        }
        let format = match given.format.unwrap_or("text") {
            "text" => text(&given)?,
            "csv" => csv(&given)?,
            "binary" => binary(&given)?,
            _ => return Err(unclear("format", "neither text, csv nor binary")),
        };
        Ok(Self { format, encoding })
    }
}

fn text(given: &Given<'_>) -> Result<CopyFormat, Unclear> {
    let csv_only =
        [("quote", given.quote), ("escape", given.escape), ("force_quote", given.force_quote)];
    absent(&csv_only, "only for the csv format")?;
    let delimiter = given.delimiter.map_or(Ok(b'\t'), |text| byte("delimiter", text))?;
    // The server refuses these too: such a delimiter could not be told from an escape.
    if delimiter == b'\\' || delimiter == b'.' || matches!(delimiter, b'a'..=b'z' | b'0'..=b'9') {
        return Err(unclear("delimiter", "a character that values are escaped with"));
    }
    let null = given.null.unwrap_or("\\N").as_bytes().to_vec();
    check_null(&null, delimiter)?;
    let header = given.header.map_or(Ok(false), |text| truth("header", text))?;
    Ok(CopyFormat::Text { delimiter, null, header })
}

fn csv(given: &Given<'_>) -> Result<CopyFormat, Unclear> {
    let delimiter = given.delimiter.map_or(Ok(b','), |text| byte("delimiter", text))?;
    let quote = given.quote.map_or(Ok(b'"'), |text| byte("quote", text))?;
    let escape = given.escape.map_or(Ok(quote), |text| byte("escape", text))?;
    if quote == delimiter {
        return Err(unclear("quote", "the same as the delimiter"));
    }
    let null = given.null.unwrap_or("").as_bytes().to_vec();
    check_null(&null, delimiter)?;
    if null.contains(&quote) {
        return Err(unclear("null", "holds the quote"));
    }
    let header = given.header.map_or(Ok(false), |text| truth("header", text))?;
    let force_quote = match given.force_quote {
        None => ForceQuote::None,
        Some("*") => ForceQuote::All,
        Some(_) => ForceQuote::Some,
    };
    Ok(CopyFormat::Csv { delimiter, quote, escape, null, header, force_quote })
}

fn binary(given: &Given<'_>) -> Result<CopyFormat, Unclear> {
    let others = [
        ("delimiter", given.delimiter),
        ("null", given.null),
        ("quote", given.quote),
        ("escape", given.escape),
        ("force_quote", given.force_quote),
    ];
    absent(&others, "not for the binary format")?;
    if given.header.map_or(Ok(false), |text| truth("header", text))? {
        return Err(unclear("header", "not for the binary format"));
    }
    Ok(CopyFormat::Binary)
}

fn absent(options: &[(&str, Option<&str>)], what: &'static str) -> Result<(), Unclear> {
    match options.iter().find(|(_, value)| value.is_some()) {
        Some((name, _)) => Err(unclear(name, what)),
        None => Ok(()),
    }
}

fn check_null(null: &[u8], delimiter: u8) -> Result<(), Unclear> {
    if null.iter().any(|byte| matches!(byte, b'\n' | b'\r') || *byte == delimiter) {
        return Err(unclear("null", "holds the delimiter or the end of a line"));
    }
    Ok(())
}

fn byte(option: &str, text: &str) -> Result<u8, Unclear> {
    match text.as_bytes() {
        [b'\n' | b'\r' | 0] => Err(unclear(option, "ends a line")),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err(unclear(option, "not one single-byte character")),
    }
}

fn truth(option: &str, text: &str) -> Result<bool, Unclear> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "on", "1"]) {
        return Ok(true);
    }
    if is(["false", "off", "0"]) {
        return Ok(false);
    }
    Err(unclear(option, "neither true nor false"))
}

/// Whether text in this encoding can be taken apart at ASCII bytes: no character of it contains one
/// (`BIG5`, `GBK`, `SJIS` and others have such characters). Ask about a session's `client_encoding`
/// before its COPY data is masked.
#[must_use]
pub fn encoding_is_safe(name: &str) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.len() <= 4 && rest.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let named = [
        "utf8",
        "unicode",
        "sqlascii",
        "koi8",
        "koi8r",
        "koi8u",
        "win",
        "alt",
        "abc",
        "tcvn",
        "tcvn5712",
        "vscii",
        "euccn",
        "eucjp",
        "eucjis2004",
        "euckr",
        "euctw",
        "muleinternal",
    ];
    // Code pages for Chinese, Japanese and Korean are numbered as well.
    let unsafe_page = ["932", "936", "949", "950"].into_iter().any(|page| name.ends_with(page));
    named.contains(&name.as_str())
        || !unsafe_page && ["latin", "win", "windows", "iso8859"].into_iter().any(numbered)
}

//! `Content-Type` (RFC 9110, 8.3): the type and its parameters.

use super::Kind;

/// Types of text that do not begin with `text/`.
const TEXTS: [&str; 9] = [
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/sql",
    "application/graphql",
    "application/x-sh",
];

/// A media type, in lower case, with its parameters.
#[derive(Debug)]
pub(super) struct MediaType {
    essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// [`None`] when it is no media type.
    pub fn parse(text: &str) -> Option<Self> {
        let (essence, rest) = text.split_once(';').unwrap_or((text, ""));
        let essence = essence.trim().to_ascii_lowercase();
        let (family, name) = essence.split_once('/')?;
        if !is_token(family) || !is_token(name) {
            return None;
        }
        Some(Self { parameters: parameters(rest)?, essence })
    }

    /// What a body of this type is.
    pub fn kind(&self) -> Kind {
        let charset = self.parameter("charset").map(str::to_ascii_lowercase);
        let utf8 = ["utf-8", "utf8", "us-ascii", "ascii"];
        let latin = ["iso-8859-1", "latin1"];
        let known = charset.as_deref().is_none_or(|c| utf8.contains(&c) || latin.contains(&c));
        if !known || self.parameters.iter().filter(|(name, _)| name == "charset").count() > 1 {
            return Kind::Opaque;
        }
        let (family, name) = self.essence.split_once('/').unwrap_or_default();
        match (family, name) {
            _ if name == "json" || name.ends_with("+json") => Kind::Json,
            ("application", "json-seq" | "x-ndjson" | "ndjson" | "jsonl" | "x-jsonlines") => {
                Kind::NdJson
            }
            ("application", "jsonlines" | "x-json-stream") => Kind::NdJson,
            ("text", "event-stream") => Kind::EventStream,
            ("application", "x-www-form-urlencoded") => Kind::Form,
            ("multipart", _) => {
                let boundary = self.parameter("boundary").unwrap_or_default();
                Kind::Multipart { boundary: boundary.into() }
            }
            ("text" | "application", "xml") => Kind::Xml,
            (_, "xhtml+xml") => Kind::Text,
            _ if name.ends_with("+xml") => Kind::Xml,
            ("text", "csv" | "tab-separated-values") if !self.has_no_header() => Kind::Csv,
            ("text", _) => Kind::Text,
            _ if TEXTS.contains(&self.essence.as_str()) => Kind::Text,
            _ => Kind::Opaque,
        }
    }

    fn has_no_header(&self) -> bool {
        self.parameter("header").is_some_and(|header| header.eq_ignore_ascii_case("absent"))
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// Parameters after the first semicolon, as in `a=b; c="d"`; names in lower case. [`None`] when
/// they cannot be told apart.
pub(super) fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim_start_matches([' ', '\t', ';']);
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let name = is_token(&name).then_some(name)?;
        let value;
        (value, rest) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                let (value, rest) = after.split_at_checked(end)?;
                (value.trim().to_owned(), rest)
            }
        };
        found.push((name, value));
        rest = rest.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(';') {
            return None;
        }
        rest = rest.trim_start_matches([' ', '\t', ';']);
    }
    Some(found)
}

fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_from_the_type_whatever_its_case_and_parameters() {
        let multipart = |boundary: &str| Kind::Multipart { boundary: boundary.into() };
        for (text, kind) in [
            ("application/json", Kind::Json),
            (" Application/Problem+JSON ; charset=UTF-8", Kind::Json),
            ("text/json", Kind::Json),
            ("application/x-ndjson", Kind::NdJson),
            ("application/json-seq", Kind::NdJson),
            ("text/event-stream;charset=utf-8", Kind::EventStream),
            ("application/x-www-form-urlencoded", Kind::Form),
            ("multipart/form-data; boundary=\"a b;\\\"c\"; x=y", multipart("a b;\"c")),
            ("multipart/mixed", multipart("")),
            ("text/xml; charset=ISO-8859-1", Kind::Xml),
            ("application/soap+xml", Kind::Xml),
            ("image/svg+xml", Kind::Xml),
            ("application/xhtml+xml", Kind::Text),
            ("text/html", Kind::Text),
            ("text/csv; header=present", Kind::Csv),
            ("text/csv; header=absent", Kind::Text),
            ("application/javascript", Kind::Text),
            ("application/yaml", Kind::Text),
            ("application/octet-stream", Kind::Opaque),
            ("image/png", Kind::Opaque),
            ("application/json; charset=utf-16", Kind::Opaque),
            ("application/json; charset=utf-8; charset=utf-16", Kind::Opaque),
            ("text/plain; charset=\"shift_jis\"", Kind::Opaque),
            ("json", Kind::Opaque),
            ("text/plain; charset", Kind::Opaque),
            ("text/plain; charset=\"utf-8", Kind::Opaque),
            ("", Kind::Opaque),
        ] {
            assert_eq!(Kind::of(Some(text)), kind, "{text}");
        }
        assert_eq!(Kind::of(None), Kind::Opaque);
    }
}

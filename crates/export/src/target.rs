//! What the text of an HTTP operation and the head of a recorded reply say.
//!
//! The text is `METHOD URL`; of a tunnel `CONNECT HOST:PORT`; of a request that has no one form
//! whatever the client wrote. A recorded head is `HTTP 200 OK`, a line per field and an empty line,
//! with CR LF (`protocols/http`: `operation`, `reply::recorded`). Fields and the body of a request
//! are its parameters.

use model::Parameter;

/// The parameter that says where fields end and what is said of the body begins. No field of HTTP
/// has a blank in its name (RFC 9110 section 5.1), so a client cannot write it.
const DIGEST: &str = "body sha-256";
/// How the names of fields after a body end.
const TRAILING: &str = " (after the body)";

/// A request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Target<'a> {
    pub method: &'a str,
    /// All of it, as recorded.
    pub url: &'a str,
    pub scheme: Option<&'a str>,
    /// Without brackets.
    pub host: &'a str,
    pub port: Option<u16>,
    pub path: &'a str,
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads any text; what is not there is empty.
    pub fn read(text: &'a str) -> Self {
        let (method, url) = text.split_once(' ').unwrap_or(("", text));
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, url),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (authority, None),
        };
        let port = port.or(match scheme {
            Some("http") => Some(80),
            Some("https") => Some(443),
            _ => None,
        });
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self { method, url, scheme, host, port, path, query }
    }
}

/// What the parameters of a request are.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Told<'a> {
    /// Names and values, in order; credentials read `(hidden)`.
    pub fields: Vec<(&'a str, &'a str)>,
    /// Bytes of the body, where it was held.
    pub body_bytes: Option<u64>,
    /// Its beginning, where that is text.
    pub body: Option<&'a str>,
    /// Anything else.
    pub notes: Vec<(&'a str, &'a str)>,
}

impl<'a> Told<'a> {
    pub fn read(parameters: &'a [Parameter]) -> Self {
        let mut told = Self::default();
        let mut after_digest = false;
        for Parameter { kind, value } in parameters {
            let value = value.as_deref().unwrap_or_default();
            match kind.as_str() {
                "body bytes" => told.body_bytes = value.parse().ok(),
                "body" if after_digest => told.body = Some(value),
                kind if kind.contains(' ') => match kind.strip_suffix(TRAILING) {
                    Some(name) => told.fields.push((name, value)),
                    None => told.notes.push((kind, value)),
                },
                kind => told.fields.push((kind, value)),
            }
            after_digest |= kind == DIGEST;
        }
        told
    }

    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        field(&self.fields, name)
    }
}

/// The first of these fields that has that name.
pub(crate) fn field<'a>(fields: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    let named = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    named.map(|(_, value)| *value)
}

/// The head of a reply and the body after it.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Head<'a> {
    pub status: u16,
    pub words: &'a str,
    pub fields: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads a recorded reply; `None` where it has no whole head.
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let status = status_in(payload)?;
        let end = payload.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, body) = payload.split_at_checked(end)?;
        let body = body.get(4..).unwrap_or_default();
        // A field's value may have bytes of Latin-1; what is before the first of them is told.
        let head = match std::str::from_utf8(head) {
            Ok(head) => head,
            Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
        };
        let mut lines = head.split("\r\n");
        let words = lines.next()?.splitn(3, ' ').nth(2).unwrap_or_default();
        let fields = lines.filter_map(|line| line.split_once(": ")).collect();
        Some(Self { status, words, fields, body })
    }
}

/// The status at the beginning of a recorded reply.
pub(crate) fn status_in(payload: &[u8]) -> Option<u16> {
    let rest = payload.strip_prefix(b"HTTP ")?;
    let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
    let status: u16 = digits.parse().ok()?;
    (100..=999).contains(&status).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_in_every_form_that_is_recorded() {
        let target = Target::read("GET https://api.test/items?page=2&q=a%20b");
        assert_eq!((target.method, target.host, target.port), ("GET", "api.test", Some(443)));
        assert_eq!((target.path, target.query), ("/items", Some("page=2&q=a%20b")));
        assert_eq!(target.url, "https://api.test/items?page=2&q=a%20b");
        let target = Target::read("PUT http://[::1]:8080/x");
        assert_eq!((target.host, target.port, target.path), ("::1", Some(8080), "/x"));
        let target = Target::read("GET https://[::1]/");
        assert_eq!((target.host, target.port), ("::1", Some(443)));
        let target = Target::read("CONNECT pinned.test:443");
        assert_eq!((target.host, target.port, target.path), ("pinned.test", Some(443), ""));
        let target = Target::read("GET gw.test/r/api/a");
        assert_eq!((target.scheme, target.host, target.path), (None, "gw.test", "/r/api/a"));
        for odd in ["", " ", "GET", "GET ", "é é://é?é:9", "GET :", "GET http://", "GET ?"] {
            let _ = Target::read(odd);
        }
    }

    #[test]
    fn a_field_called_body_is_no_body() {
        let parameter = |kind: &str, value: &str| Parameter {
            kind: kind.to_owned(),
            value: Some(value.to_owned()),
        };
        let parameters = [
            parameter("body", "forged"),
            parameter("content-type", "text/plain"),
            parameter("body sha-256", "00"),
            parameter("body bytes", "4"),
            parameter("body", "real"),
            parameter("x-sum (after the body)", "7"),
            parameter("redirected from", "10.0.0.1:443"),
        ];
        let told = Told::read(&parameters);
        assert_eq!(told.body, Some("real"));
        assert_eq!(told.body_bytes, Some(4));
        assert_eq!(told.field("Content-Type"), Some("text/plain"));
        assert_eq!(told.field("body"), Some("forged"));
        assert_eq!(told.field("x-sum"), Some("7"));
        assert_eq!(told.notes, [("body sha-256", "00"), ("redirected from", "10.0.0.1:443")]);
    }

    #[test]
    fn heads_are_read_and_what_is_no_head_is_not() {
        let payload = b"HTTP 200 OK\r\ncontent-type: a: b\r\n\r\nbody\r\n\r\nmore";
        let head = Head::read(payload).unwrap();
        assert_eq!((head.status, head.words), (200, "OK"));
        assert_eq!(head.fields, [("content-type", "a: b")]);
        assert_eq!(head.body, b"body\r\n\r\nmore");
        assert_eq!(Head::read(b"HTTP 204 No Content\r\n\r\n").unwrap().words, "No Content");
        assert_eq!(Head::read(b"HTTP 299 \r\n\r\n").unwrap().words, "");
        for none in ["", "HTTP 200 OK\r\na: b", "HTTP 20", "HTTP +20 x\r\n\r\n", "HTTP/1.1 200 OK"]
        {
            assert_eq!(Head::read(none.as_bytes()), None, "{none}");
        }
        let latin = Head::read(b"HTTP 200 OK\r\na: b\r\nc: \xe9\r\n\r\nx").unwrap();
        assert_eq!(
            (latin.fields.as_slice(), latin.body),
            ([("a", "b"), ("c", "")].as_slice(), &b"x"[..])
        );
    }
}

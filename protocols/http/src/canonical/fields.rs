//! The fields of a head: what no request may carry, and what ends at every hop.

use http::header::{
    ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, EXPECT, HOST,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use model::exchange::{Length, Request, fields_size};
use model::limit::{HTTP_FIELDS_BYTES_MAX, HTTP_FIELDS_MAX};

use super::{Malformed, host};

/// Longest method, bytes.
const METHOD_BYTES_MAX: usize = 32;

const METHOD: Malformed =
    Malformed::new("method", "the method is not a word of at most 32 upper-case letters");
const MANY: Malformed = Malformed::new("fields_many", "the request has too many fields");
const LARGE: Malformed = Malformed::new("fields_large", "the request's fields are too large");
const VALUE: Malformed =
    Malformed::new("field_control", "a field's value holds a control character or a line break");
const SPACE: Malformed = Malformed::new(
    "field_space",
    "a field's value begins or ends with a space, which not every reader takes for a part of it",
);
const NAME: Malformed = Malformed::new(
    "field_name",
    "a field is named like one that says where a request ends, with an underscore",
);
const REPEATED: Malformed =
    Malformed::new("field_repeated", "a field that may be there once is repeated");
const LENGTH: Malformed =
    Malformed::new("content_length", "Content-Length is not one number that fits the body");
const BOTH: Malformed = Malformed::new(
    "length_and_encoding",
    "the request has a Content-Length and a Transfer-Encoding",
);
const ENCODING: Malformed =
    Malformed::new("transfer_encoding", "Transfer-Encoding is not exactly chunked");
const HOST_MISSING: Malformed = Malformed::new("host_missing", "the request has no Host field");
const HOST_USER: Malformed =
    Malformed::new("host_userinfo", "the host carries a user name or password");
const HOST_DIFFERS: Malformed =
    Malformed::new("host_differs", "the Host field differs from the target's host");
const H2C: Malformed = Malformed::new("upgrade_h2c", "upgrades to clear HTTP/2 are not taken");
const NOMINATED: Malformed = Malformed::new(
    "connection_nominates",
    "Connection names a field that is not of one connection",
);
const HOP: Malformed =
    Malformed::new("connection_http2", "a field of HTTP/1.1 connections in another version");
const EXPECTS: Malformed = Malformed::new("expect", "Expect is not exactly 100-continue");
const OVERRIDE: Malformed =
    Malformed::new("method_override", "a field says another method than the request has");

/// Fields that may be there once: with two, two readers take two.
const ONCE: &[HeaderName] = &[
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONTENT_TYPE,
    CONTENT_RANGE,
    RANGE,
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    EXPECT,
];

/// Fields that end at this hop, of a request or a reply.
const OF_ONE_HOP: &[HeaderName] =
    &[CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, ALT_SVC];

/// The same, those that the library has no name for.
const OF_ONE_HOP_TOO: &[&str] =
    &["http2-settings", "keep-alive", "proxy-authentication-info", "proxy-connection"];

/// What `Connection` may name in a request. An end-to-end field in it (`authorization`, `cookie`)
/// would make the next hop drop what this one judged (RFC 9110, section 7.6.1).
const OPTIONS: &[&str] = &[
    "close",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields by which some servers let a request say another method than it has: which of the two it
/// is done by, rules cannot know.
const OVERRIDES: &[&str] = &["x-http-method-override", "x-http-method", "x-method-override"];

/// Checks what no request may carry, whoever sends it and whatever the rules.
///
/// The framing library has cut the request by then; this refuses what another reader would cut or
/// read otherwise: every shape that smuggling is made of, and fields that contradict the target. A
/// request's own host and path are for [`super::host`] and [`super::path`]; which methods there are
/// (`CONNECT`, `TRACE`) is for the caller.
///
/// # Errors
/// The first thing found.
pub fn check_head(request: &Request) -> Result<(), Malformed> {
    let fields = &request.fields;
    if fields.len() > HTTP_FIELDS_MAX {
        return Err(MANY);
    }
    if fields_size(fields) > HTTP_FIELDS_BYTES_MAX {
        return Err(LARGE);
    }
    check_method(request)?;
    for (name, value) in fields {
        if value.as_bytes().iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return Err(VALUE);
        }
        // HTTP/2 can carry them (RFC 9113 section 8.2.1), HTTP/1.1 on the other side drops them: a
        // rule would be judged by another value than the one that arrives.
        let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if is_space(value.as_bytes().first()) || is_space(value.as_bytes().last()) {
            return Err(SPACE);
        }
        if name.as_str().contains('_') && is_framing(&name.as_str().replace('_', "-")) {
            return Err(NAME);
        }
    }
    let repeats = fields.len() > fields.keys_len();
    if repeats && ONCE.iter().any(|name| fields.get_all(name).iter().count() > 1) {
        return Err(REPEATED);
    }
    check_framing(request)?;
    check_connection(request)?;
    check_host(request)?;
    match fields.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(EXPECTS),
        _ => Ok(()),
    }
}

fn check_method(request: &Request) -> Result<(), Malformed> {
    let method = request.method.as_str();
    let known = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    if method.len() > METHOD_BYTES_MAX || !method.bytes().all(known) {
        return Err(METHOD);
    }
    // Gateway interfaces (CGI, WSGI) read an underscore as a hyphen.
    let overrides = |name: &HeaderName| {
        let name = name.as_str();
        OVERRIDES.contains(&name)
            || (name.contains('_') && OVERRIDES.contains(&&*name.replace('_', "-")))
    };
    let mut others = request.fields.iter().filter(|(name, _)| overrides(name));
    match others.any(|(_, other)| !other.as_bytes().eq_ignore_ascii_case(method.as_bytes())) {
        true => Err(OVERRIDE),
        false => Ok(()),
    }
}

fn is_framing(name: &str) -> bool {
    matches!(name, "content-length" | "transfer-encoding" | "proxy-connection")
}

fn check_framing(request: &Request) -> Result<(), Malformed> {
    let length = request.fields.get(CONTENT_LENGTH);
    let encoding = request.fields.get(TRANSFER_ENCODING);
    if let Some(encoding) = encoding {
        if length.is_some() {
            return Err(BOTH);
        }
        // Another case, a list, a parameter: readers differ. HTTP/1.0 and HTTP/2 have none.
        if encoding.as_bytes() != b"chunked" || request.version != Version::HTTP_11 {
            return Err(ENCODING);
        }
    }
    let Some(length) = length else { return Ok(()) };
    let text = length.to_str().map_err(|_| LENGTH)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LENGTH);
    }
    let length: u64 = text.parse().map_err(|_| LENGTH)?;
    match request.body {
        Length::Known(body) if body != length => Err(LENGTH),
        Length::Empty if length != 0 => Err(LENGTH),
        _ => Ok(()),
    }
}

fn check_connection(request: &Request) -> Result<(), Malformed> {
    let fields = &request.fields;
    if request.version >= Version::HTTP_2 {
        let te_is_fine = |value: &HeaderValue| value.as_bytes() == b"trailers";
        let hop = fields.contains_key(CONNECTION)
            || fields.contains_key(UPGRADE)
            || fields.contains_key("keep-alive")
            || fields.contains_key("proxy-connection")
            || !fields.get_all(TE).iter().all(te_is_fine);
        return if hop { Err(HOP) } else { Ok(()) };
    }
    if fields.contains_key("http2-settings") || options(fields, &UPGRADE).any(|o| o == "h2c") {
        return Err(H2C);
    }
    match options(fields, &CONNECTION).all(|option| OPTIONS.contains(&option.as_str())) {
        true => Ok(()),
        false => Err(NOMINATED),
    }
}

/// The members of a list of words, in lower case; what is not text is one that nobody knows.
fn options(fields: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> {
    fields.get_all(name).iter().flat_map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        let words = text.split(',').map(|word| word.trim().to_owned());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>()
    })
}

fn check_host(request: &Request) -> Result<(), Malformed> {
    // RFC 9113 section 8.3.1, RFC 9110 section 4.2.4.
    if request.authority.contains('@') {
        return Err(HOST_USER);
    }
    let Some(field) = request.fields.get(HOST) else {
        // "A server MUST respond with a 400 status code to any HTTP/1.1 request message that
        // lacks a Host header field" (RFC 9112, section 3.2); in HTTP/2 `:authority` may say it
        // instead (RFC 9113, section 8.3.1).
        let missing = match request.version {
            Version::HTTP_11 => true,
            Version::HTTP_2 => request.authority.is_empty(),
            _ => false,
        };
        return if missing { Err(HOST_MISSING) } else { Ok(()) };
    };
    let written = field.to_str().map_err(|_| HOST_DIFFERS)?;
    if written == &*request.authority {
        return Ok(());
    }
    let (field, target) = (host(written)?, host(&request.authority)?);
    let port = |port: Option<u16>| port.unwrap_or(request.scheme.port());
    match field.name == target.name && port(field.port) == port(target.port) {
        true => Ok(()),
        false => Err(HOST_DIFFERS),
    }
}

/// Removes in place what ends at this hop, of a request or a reply.
///
/// Goes: `Connection` and what it names, `Keep-Alive`, `Proxy-Connection`, `Proxy-Authorization`,
/// `Proxy-Authenticate`, `Proxy-Authentication-Info`, `TE` (but `trailers`, which is kept alone),
/// `Transfer-Encoding`, `Upgrade`, `HTTP2-Settings`, and `Alt-Svc`, which would lead past the
/// gateway (QUIC). `Trailer` and `Content-Length` stay. With `keep_upgrade`, an `Upgrade` to
/// `websocket` stays, and `Connection` names it and nothing else.
pub fn strip_hop_by_hop(fields: &mut HeaderMap, keep_upgrade: bool) {
    let websocket = keep_upgrade && options(fields, &UPGRADE).any(|word| word == "websocket");
    let trailers = options(fields, &TE).any(|word| word == "trailers");
    let named: Vec<String> = options(fields, &CONNECTION).collect();
    for name in named.iter().filter(|name| *name != "trailer") {
        fields.remove(name.as_str());
    }
    let ends =
        |name: &&HeaderName| OF_ONE_HOP.contains(name) || OF_ONE_HOP_TOO.contains(&name.as_str());
    let ending: Vec<HeaderName> = fields.keys().filter(ends).cloned().collect();
    for name in ending {
        fields.remove(name);
    }
    if trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    if websocket {
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
}

#[cfg(test)]
mod tests;

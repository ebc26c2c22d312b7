//! What gRPC asks of an answer: over HTTP/2, with a status of its own after the body.
//!
//! A call is a POST of `application/grpc` whose messages pass as they are. What the gateway says
//! itself has to be said as such a client reads it: an answer of any other type is an error of the
//! transport to it, and the words are lost.

use std::borrow::Cow;

use engine::Refusal;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::body::{Codings, decode};
use crate::facts;

const MEDIA_TYPE: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The word for a refusal, in the call's metadata.
const REASON: HeaderName = HeaderName::from_static("narrows-reason");
/// The session and operation of it.
const INSTANCE: HeaderName = HeaderName::from_static("narrows-instance");

/// How the messages of a call that say so are compressed.
const ENCODING: &str = "grpc-encoding";
/// Most messages of one body that are compressed and searched all the same.
const COMPRESSED_MESSAGES_MAX: usize = 10_000;

/// Whether the body is one of messages with a length before each.
#[must_use]
pub fn is_framed(fields: &HeaderMap) -> bool {
    facts::media_type(fields).starts_with(MEDIA_TYPE)
}

/// What the messages in the body of a call say, each behind its five bytes and with its compression
/// undone. A body of another type is what it is.
///
/// `None`: a message is compressed in a way that cannot be undone or breaks off, or there is more
/// than `bytes_max`. What is not compressed is searched wherever it is, so it may break off.
#[must_use]
pub fn opened<'a>(
    fields: &HeaderMap,
    body: Cow<'a, [u8]>,
    bytes_max: usize,
) -> Option<Cow<'a, [u8]>> {
    if !is_framed(fields) {
        return Some(body);
    }
    let mut values = fields.get_all(ENCODING).iter();
    let coding = values.next().map_or(Some("identity"), |value| value.to_str().ok());
    let coding = coding.filter(|_| values.next().is_none());
    let (mut clear, mut compressed) = (Vec::new(), 0_usize);
    let mut rest = &*body;
    while let Some((flag, length, after)) = prefix(rest) {
        let Some((message, after)) = after.split_at_checked(length) else {
            if flag == 0 {
                break;
            }
            return None;
        };
        let head = rest.get(..PREFIX_BYTES).unwrap_or_default();
        clear.extend_from_slice(head);
        rest = after;
        if flag == 0 {
            clear.extend_from_slice(message);
        } else {
            compressed = compressed.saturating_add(1);
            let codings = Codings::parse(coding.into_iter()).ok()?;
            let unknown = coding.is_none() || codings.is_identity();
            if unknown || compressed > COMPRESSED_MESSAGES_MAX {
                return None;
            }
            let left = bytes_max.saturating_sub(clear.len());
            clear.extend_from_slice(&decode(&codings, message, left).ok()?);
        }
    }
    if compressed == 0 {
        return Some(body);
    }
    clear.extend_from_slice(rest);
    Some(Cow::Owned(clear))
}

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// The flag and the length of the message that begins here, and what follows them.
fn prefix(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let ([flag, length @ ..], after) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
    Some((*flag, usize::try_from(u32::from_be_bytes(*length)).ok()?, after))
}

/// The fields of an answer that is nothing but a status ("Trailers-Only").
pub fn refused(refusal: &Refusal, status: StatusCode, operation: Option<&str>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    fields.insert(STATUS, HeaderValue::from(code(refusal.reason(), status)));
    if let Ok(words) = HeaderValue::try_from(percent_encoded(refusal.message().as_str())) {
        fields.insert(MESSAGE, words);
    }
    fields.insert(REASON, HeaderValue::from_static(refusal.reason()));
    if let Some(Ok(operation)) = operation.map(HeaderValue::try_from) {
        fields.insert(INSTANCE, operation);
    }
    fields
}

/// The status of gRPC for a reason that has this one in HTTP. Only what may go away by itself is
/// `UNAVAILABLE`, because clients may be set up to repeat that.
fn code(reason: &str, status: StatusCode) -> u16 {
    const INVALID_ARGUMENT: u16 = 3;
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match (reason, status) {
        ("upstream_down" | "upstream_broken" | "upstream_timeout", _) => UNAVAILABLE,
        (_, StatusCode::SERVICE_UNAVAILABLE) => UNAVAILABLE,
        (_, StatusCode::BAD_GATEWAY) => INTERNAL,
        (_, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
            UNAUTHENTICATED
        }
        (_, StatusCode::BAD_REQUEST) => INVALID_ARGUMENT,
        (_, StatusCode::REQUEST_TIMEOUT) => DEADLINE_EXCEEDED,
        (_, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS) => RESOURCE_EXHAUSTED,
        (
            _,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED,
        ) => UNIMPLEMENTED,
        _ => PERMISSION_DENIED,
    }
}

/// "Percent-Encoded" of gRPC's PROTOCOL-HTTP2: what is not printable ASCII, and `%` itself.
fn percent_encoded(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for byte in words.bytes() {
        match byte {
            b'%' => text.push_str("%25"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(encoding: &'static str, body: &[u8]) -> Option<Vec<u8>> {
        within(64, encoding, body)
    }

    fn within(bytes_max: usize, encoding: &'static str, body: &[u8]) -> Option<Vec<u8>> {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
        if !encoding.is_empty() {
            fields.insert(ENCODING, HeaderValue::from_static(encoding));
        }
        opened(&fields, Cow::Borrowed(body), bytes_max).map(Cow::into_owned)
    }

    #[test]
    fn compressed_messages_are_searched_as_they_read_or_not_at_all() {
        // "card" in gzip.
        let gzip = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03KN,J\x01\0\xd3\x98\x14\x16\x04\0\0\0";
        let framed = |flag: u8, message: &[u8]| {
            let length = u8::try_from(message.len()).expect("short");
            [&[flag, 0, 0, 0, length], message].concat()
        };
        let both = [framed(0, b"plain"), framed(1, gzip), b"\0\0".to_vec()].concat();
        let clear = call("gzip", &both).expect("known");
        assert_eq!(clear, [&framed(0, b"plain")[..], b"\x01\0\0\0\x18card\0\0"].concat());
        assert_eq!(call("gzip", &framed(0, gzip)), Some(framed(0, gzip)), "it is not compressed");
        assert_eq!(call("", &framed(0, b"plain")), Some(framed(0, b"plain")));
        for encoding in ["", "identity", "snappy", "deflate"] {
            assert_eq!(call(encoding, &both), None, "{encoding}");
        }
        assert_eq!(call("gzip", &framed(1, b"broken")), None);
        // What it becomes is too long.
        assert_eq!(call("gzip", &[framed(0, &[b'x'; 60]), framed(1, gzip)].concat()), None);
        // What breaks off, or is no message, stays as long as nothing says that it is compressed.
        for rest in [&b"\0\0\0\0\xffcard"[..], b"card", b"\0\xff\xff\xff\xffcard", b""] {
            assert_eq!(call("gzip", rest).as_deref(), Some(rest));
        }
        assert_eq!(call("gzip", b"\x01\0\0\0\xffcard"), None);
        let many = |count| within(1 << 20, "gzip", &framed(1, gzip).repeat(count)).is_some();
        assert!(many(COMPRESSED_MESSAGES_MAX) && !many(COMPRESSED_MESSAGES_MAX + 1));
    }

    #[test]
    fn words_are_printable_ascii_on_the_wire() {
        assert_eq!(percent_encoded("no, 100% \"so\""), "no, 100%25 \"so\"");
        assert_eq!(percent_encoded("für\n\u{7f}"), "f%C3%BCr%0A%7F");
    }

    #[test]
    fn only_what_may_go_away_is_worth_another_try() {
        let unavailable = [
            ("upstream_down", StatusCode::BAD_GATEWAY),
            ("upstream_timeout", StatusCode::GATEWAY_TIMEOUT),
            ("not_recorded", StatusCode::SERVICE_UNAVAILABLE),
        ];
        for (reason, status) in unavailable {
            assert_eq!(code(reason, status), 14, "{reason}");
        }
        for (reason, status, wanted) in [
            ("blocked", StatusCode::FORBIDDEN, 7),
            ("approval_pending", StatusCode::FORBIDDEN, 7),
            ("unreadable_reply", StatusCode::BAD_GATEWAY, 13),
            ("no_token", StatusCode::UNAUTHORIZED, 16),
            ("limit", StatusCode::TOO_MANY_REQUESTS, 8),
            ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, 8),
            ("unknown_path", StatusCode::NOT_FOUND, 12),
            ("path_form", StatusCode::BAD_REQUEST, 3),
            ("body_stalled", StatusCode::REQUEST_TIMEOUT, 4),
        ] {
            assert_eq!(code(reason, status), wanted, "{reason}");
        }
    }
}

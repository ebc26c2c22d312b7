//! Parts of an HTTP exchange, as a transport that does the framing delivers them.
//!
//! RFC 9110 (semantics), 9112 (HTTP/1.1), 9113 (HTTP/2). The types are those of the `http` crate;
//! what is kept beside them is what a decision needs and a framing library would drop: the
//! authority and the target as the client wrote them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode, Version};

/// One piece of an exchange, in either direction.
#[derive(Debug)]
pub enum Part {
    /// The head of a request. Comes first.
    Request(Box<Request>),
    /// The head of a reply. Comes first.
    Reply(Box<Reply>),
    /// Some of a body.
    Data(Bytes),
    /// Some of a reply's body, and the end of it: [`Self::Data`] and [`Self::End`] in one, so that
    /// they are recorded in one.
    Last(Bytes),
    /// Fields after a body.
    Trailers(Box<HeaderMap>),
    /// The message is complete. Comes last, exactly once. In a tunnel that is not opened: this side
    /// says no more.
    End,
    /// After a change to WebSocket (RFC 6455): a message, whole.
    Message(Message),
    /// After a change to WebSocket: the end, with a status code (RFC 6455 section 7.4) and words.
    Close(u16, Box<str>),
    /// In a tunnel that is not opened: some of what passes through it.
    Raw(Bytes),
}

/// A message of a WebSocket.
#[derive(Clone, Debug)]
pub struct Message {
    /// It is text (UTF-8), not binary.
    pub is_text: bool,
    /// What it holds.
    pub data: Bytes,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// How the client reached the gateway.
    pub door: Door,
    /// The method, case as sent.
    pub method: Method,
    /// `http` or `https`: of the request as the client means it, not of the hop to the gateway.
    pub scheme: Scheme,
    /// Host and port as the client wrote them (`Host`, `:authority` or the absolute target); empty
    /// when it wrote none.
    pub authority: Box<str>,
    /// Path and query as the client wrote them. `*` for `OPTIONS *`.
    pub target: Box<str>,
    /// The version spoken with the client.
    pub version: Version,
    /// The fields, in order per name.
    pub fields: HeaderMap,
    /// Whether a body follows.
    pub body: Length,
}

impl Request {
    /// Whether it is a call by gRPC, which is HTTP/2 with this type of body; `+` and the form of
    /// its messages may follow. gRPC-Web (`-web`) is something else.
    #[must_use]
    pub fn is_call(&self) -> bool {
        const MEDIA_TYPE: &str = "application/grpc";
        let written = self.fields.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = written.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let begins = essence.split_once('+').map_or(essence, |(begins, _)| begins);
        self.method == Method::POST
            && self.version == Version::HTTP_2
            && begins.eq_ignore_ascii_case(MEDIA_TYPE)
    }

    /// Where the client meant to connect, when it was redirected.
    #[must_use]
    pub fn sent_to(&self) -> Option<SocketAddr> {
        match &self.door {
            Door::Redirected(to) => Some(*to),
            Door::Tunnel(tunnel) => tunnel.sent_to,
            Door::Forward | Door::Reverse => None,
        }
    }
}

/// The head of a reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The fields, in order per name.
    pub fields: HeaderMap,
    /// Whether a body follows.
    pub body: Length,
    /// The head as it is recorded: a status line and a line per field.
    pub recorded: Bytes,
}

/// What a head says about the length of the body after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Length {
    /// There is none.
    Empty,
    /// This many bytes.
    Known(u64),
    /// As many as come.
    Unknown,
}

/// How a client reached the gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Door {
    /// As the server: the resource is named in the path or by the host.
    Reverse,
    /// As a proxy, with an absolute target.
    Forward,
    /// On its way to this address, from which it was redirected: with TLS, as if it had asked for a
    /// tunnel to the server it names.
    Redirected(SocketAddr),
    /// As a proxy, inside a tunnel that it asked for, or would have, and the gateway opened.
    Tunnel(Arc<Tunnel>),
}

/// A tunnel (`CONNECT`) that the gateway opened instead of passing it on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tunnel {
    /// Its target as the client wrote it, `host:port`.
    pub target: Box<str>,
    /// The name in the client's TLS hello; `None` without TLS or without a name.
    pub server_name: Option<Box<str>>,
    /// Whether TLS was opened in it.
    pub tls: bool,
    /// The fields of the request for the tunnel that prove who asks.
    pub fields: HeaderMap,
    /// Where the client meant to connect, when it was redirected here instead.
    pub sent_to: Option<SocketAddr>,
}

/// The scheme of a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// Inside TLS.
    Https,
}

impl Scheme {
    /// As written in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port used when none is written.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Part {
    /// Bytes it occupies, for bounds.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Request(head) => head.target.len().saturating_add(fields_size(&head.fields)),
            Self::Reply(head) => fields_size(&head.fields),
            Self::Data(bytes) | Self::Last(bytes) | Self::Raw(bytes) => bytes.len(),
            Self::Trailers(fields) => fields_size(fields),
            Self::Message(message) => message.data.len(),
            Self::End | Self::Close(..) => 0,
        }
    }
}

/// The status of the gateway's own answer to what is refused for a reason: 403 for what rules say,
/// RFC 9110 section 15 for the rest. Who has no valid token gets 401, or 407 of a proxy.
#[must_use]
pub fn status_of_refusal(reason: &str) -> StatusCode {
    match reason {
        "no_token"
        | "unknown_token"
        | "revoked_token"
        | "expired_token"
        | "insecure"
        | "unknown_certificate"
        | "expired_certificate"
        | "certificate_mismatch" => StatusCode::UNAUTHORIZED,
        "body_stalled" => StatusCode::REQUEST_TIMEOUT,
        "limit" => StatusCode::TOO_MANY_REQUESTS,
        "body_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "upgrade" => StatusCode::NOT_IMPLEMENTED,
        "unknown_path" => StatusCode::NOT_FOUND,
        "method" => StatusCode::METHOD_NOT_ALLOWED,
        "upstream_down" | "upstream_tls" | "upstream_broken" | "credential"
        | "credential_shown" | "unwritable" => StatusCode::BAD_GATEWAY,
        "unreadable_reply" | "reply_too_large" | "redirect_elsewhere" => StatusCode::BAD_GATEWAY,
        "upstream_timeout" => StatusCode::GATEWAY_TIMEOUT,
        "not_recorded"
        | "not_followed"
        | "too_much_held"
        | "too_many_sessions"
        | "too_many_runs"
        | "shutting_down"
        | "provider_unreachable"
        | "state_unreachable" => StatusCode::SERVICE_UNAVAILABLE,
        reason if MALFORMED.iter().any(|begins| reason.starts_with(begins)) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::FORBIDDEN,
    }
}

/// How reasons begin that are the client's way of writing.
const MALFORMED: [&str; 14] = [
    "body_cut",
    "connection",
    "content_length",
    "expect",
    "field",
    "host_",
    "length_and_encoding",
    "method_override",
    "path_",
    "port",
    "target",
    "transfer_encoding",
    "unreadable_request",
    "upgrade_h2c",
];

/// What stands in a record in place of a credential.
pub const HIDDEN: &str = "(hidden)";

/// Whether a field carries a credential, by its name: `Authorization`, `Set-Cookie`,
/// `X-Amz-Security-Token`, `Private-Token`, `X-Api-Key`, `X-Auth-Secret`, …
#[must_use]
pub fn is_credential(name: &str) -> bool {
    const WORDS: [&str; 7] =
        ["authorization", "cookie", "api-key", "apikey", "token", "secret", "password"];
    let holds = |word: &&str| {
        let mut parts = name.as_bytes().windows(word.len());
        parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    WORDS.iter().any(holds)
}

/// Names and values of the fields, bytes.
#[must_use]
pub fn fields_size(fields: &HeaderMap) -> usize {
    let each = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len().saturating_add(value.len())
    };
    fields.iter().map(each).fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn request(content_type: &'static str, version: Version) -> Request {
        let field = (CONTENT_TYPE, HeaderValue::from_static(content_type));
        Request {
            door: Door::Reverse,
            method: Method::POST,
            scheme: Scheme::Http,
            authority: "gw.test".into(),
            target: "/a.B/C".into(),
            version,
            fields: HeaderMap::from_iter([field]),
            body: Length::Unknown,
        }
    }

    #[test]
    fn a_refusal_has_a_status() {
        for (reason, status) in [
            ("unknown_token", 401),
            ("path_dots", 400),
            ("method", 405),
            ("method_override", 400),
            ("upgrade", 501),
            ("upgrade_h2c", 400),
            ("upstream_down", 502),
            ("not_recorded", 503),
            ("blocked", 403),
            ("", 403),
        ] {
            assert_eq!(status_of_refusal(reason), status, "{reason}");
        }
    }

    #[test]
    fn p7_a_field_that_carries_a_credential_is_known_by_its_name() {
        for yes in ["Authorization", "set-cookie", "X-Amz-Security-Token", "x-api-key", "APIKey"] {
            assert!(is_credential(yes), "{yes}");
        }
        for no in ["accept", "content-type", "", "api", "cook"] {
            assert!(!is_credential(no), "{no}");
        }
    }

    #[test]
    fn a_call_says_so_and_is_in_http2() {
        for (written, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC ; x=y", true),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(request(written, Version::HTTP_2).is_call(), is, "{written}");
            assert!(!request(written, Version::HTTP_11).is_call(), "{written}");
        }
    }
}

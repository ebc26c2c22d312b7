//! What a client is told when it does not get what it asked for: a problem (RFC 9457), or what gRPC
//! makes of one.

use bytes::Bytes;
use engine::{Outbox, Refusal};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::exchange::{Length, Part, Reply, status_of_refusal};

use crate::grpc;

/// Seconds after which it makes sense to repeat what a person has to allow.
const RETRY_AFTER_S: &str = "10";

/// Whom the client takes the gateway for, which decides how it is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// A server.
    Server,
    /// Its proxy.
    Proxy,
    /// A server or a proxy for calls of gRPC.
    Grpc,
}

/// Answers with a refusal, in the gateway's own words.
pub fn answer(out: &mut Outbox<Part>, refusal: &Refusal, operation: Option<&str>, manner: Manner) {
    let reason = refusal.reason();
    let status = status(reason, manner);
    if manner == Manner::Grpc {
        let fields = grpc::refused(refusal, status, operation);
        let (status, body) = (StatusCode::OK, Length::Empty);
        out.answer(Part::Reply(Box::new(Reply { status, fields, body, recorded: Bytes::new() })));
        out.answer(Part::End);
        return;
    }
    let mut body = serde_json::json!({
        "type": format!("urn:narrows:{reason}"),
        "title": title(status),
        "status": status.as_u16(),
        "detail": refusal.message().as_str(),
        "reason": reason,
    });
    if let (Some(body), Some(operation)) = (body.as_object_mut(), operation) {
        body.insert("instance".to_owned(), operation.into());
    }
    let mut text = body.to_string();
    text.push('\n');
    let text = Bytes::from(text);
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match status {
        StatusCode::UNAUTHORIZED => {
            let how = HeaderValue::from_static("Bearer realm=\"narrows\"");
            fields.insert(WWW_AUTHENTICATE, how);
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            // Most clients put what stands before the @ of a proxy's URL into Basic.
            let how = HeaderValue::from_static("Basic realm=\"narrows\"");
            fields.insert(PROXY_AUTHENTICATE, how);
        }
        _ => {}
    }
    if matches!(reason, "approval_pending" | "provider_unreachable" | "state_unreachable") {
        fields.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    let body = Length::Known(text.len() as u64);
    out.answer(Part::Reply(Box::new(Reply { status, fields, body, recorded: Bytes::new() })));
    out.answer(Part::Data(text));
    out.answer(Part::End);
}

/// The status for a reason, of whom the client takes the gateway for.
fn status(reason: &str, manner: Manner) -> StatusCode {
    match (status_of_refusal(reason), manner) {
        (StatusCode::UNAUTHORIZED, Manner::Proxy) => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        (status, _) => status,
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "Refused by the gateway",
        other => other.canonical_reason().unwrap_or("Refused by the gateway"),
    }
}

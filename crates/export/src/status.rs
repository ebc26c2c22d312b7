//! What a refused client of HTTP was answered.
//!
//! The gateway's own answers are no part of a recording; the word for the refusal is. This is the
//! table by which the gateway makes a status of that word (`protocols/http`: `problem`), for
//! clients that take it for a server. A client of gRPC gets 200 and a `grpc-status` instead.

use model::event::Verdict;

use crate::join::Entry;

/// Words after which there is nobody to answer.
const UNANSWERED: [&str; 4] =
    ["client_closed", "upstream_closed", "client_fault", "upstream_fault"];

/// How words begin that are the client's way of writing.
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

/// The status that the client of an exchange got: of the recorded head, of the gateway's own
/// answer, of an error of the upstream. `None` where none of these is known.
pub(crate) fn of(entry: &Entry) -> Option<u16> {
    let error = || entry.reply.as_ref()?.error_code.as_deref()?.parse().ok();
    let status = match (entry.status, entry.decision) {
        (Some(status), _) => Some(status),
        (None, Some(Verdict::Block)) => Some(of_refusal(entry.reason.as_deref().unwrap_or(""))),
        (None, _) => error(),
    };
    status.filter(|status| (100..=999).contains(status))
}

/// The status of the gateway's answer to what was refused for this reason; 0 for none.
fn of_refusal(reason: &str) -> u16 {
    match reason {
        "no_token" | "unknown_token" | "revoked_token" | "expired_token" | "insecure" => 401,
        "body_stalled" => 408,
        "limit" => 429,
        "body_too_large" => 413,
        "upgrade" => 501,
        "unknown_path" => 404,
        "method" => 405,
        "upstream_down" | "upstream_tls" | "upstream_broken" | "credential"
        | "credential_shown" | "unwritable" => 502,
        "unreadable_reply" | "reply_too_large" | "redirect_elsewhere" => 502,
        "upstream_timeout" => 504,
        "not_recorded" | "not_followed" | "too_much_held" | "too_many_sessions"
        | "too_many_runs" | "shutting_down" => 503,
        reason if UNANSWERED.contains(&reason) => 0,
        reason if MALFORMED.iter().any(|begins| reason.starts_with(begins)) => 400,
        _ => 403,
    }
}

/// The words of a status that the gateway answers with.
pub(crate) const fn words(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBLEM: &str = include_str!("../../../protocols/http/src/problem.rs");

    fn quoted(text: &str) -> Vec<&str> {
        text.split('"').skip(1).step_by(2).collect()
    }

    /// The table is that of the gateway: this reads its source, because the crate cannot use it.
    #[test]
    fn statuses_are_those_of_the_gateway() {
        let table = PROBLEM.split("fn status(").nth(1).and_then(|rest| rest.split("\n}\n").next());
        let mut seen = 0;
        for arm in table.expect("the table").split("=>").collect::<Vec<_>>().windows(2) {
            let code = arm[1].split("StatusCode::").nth(1).unwrap_or_default();
            let code = code.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).next();
            let status = match code.expect("a status") {
                // Of two, for a proxy and for a server.
                "PROXY_AUTHENTICATION_REQUIRED" => 401,
                "REQUEST_TIMEOUT" => 408,
                "TOO_MANY_REQUESTS" => 429,
                "PAYLOAD_TOO_LARGE" => 413,
                "NOT_IMPLEMENTED" => 501,
                "NOT_FOUND" => 404,
                "METHOD_NOT_ALLOWED" => 405,
                "BAD_GATEWAY" => 502,
                "GATEWAY_TIMEOUT" => 504,
                "SERVICE_UNAVAILABLE" => 503,
                "BAD_REQUEST" => 400,
                "FORBIDDEN" => 403,
                other => panic!("{other} is new"),
            };
            for reason in quoted(arm[0]) {
                assert_eq!(of_refusal(reason), status, "{reason}");
                assert!(!words(status).is_empty());
                seen += 1;
            }
        }
        assert_eq!(seen, 27, "every word of the table");
        let malformed =
            PROBLEM.split("const MALFORMED").nth(1).and_then(|rest| rest.split(';').nth(1));
        assert_eq!(quoted(malformed.expect("the list")), MALFORMED);
        assert_eq!(of_refusal("blocked"), 403);
        assert_eq!(of_refusal("client_closed"), 0);
    }
}

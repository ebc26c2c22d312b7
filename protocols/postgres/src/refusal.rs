//! A refusal in PostgreSQL's words.

use bytes::Bytes;
use engine::Refusal;

use crate::message::{Report, Severity};

/// SQLSTATE of a refusal (PostgreSQL 17, appendix A).
pub fn sqlstate(reason: &str) -> &'static str {
    match reason {
        "syntax" | "unparsable" => "42601",
        "too_large" | "too_deep" => "54000",
        "encoding" => "22021",
        "cancelled" => "57014",
        "not_recorded" | "not_followed" => "58030",
        "unsupported" | "unsettled" => "0A000",
        "unknown_statement" => "26000",
        "unknown_portal" => "34000",
        "unknown_certificate"
        | "expired_certificate"
        | "certificate_mismatch"
        | "unknown_token"
        | "expired_token"
        | "revoked_token"
        | "clear_text" => "28P01",
        "no_access" | "access_closed" | "unknown_resource" => "28000",
        "too_many_sessions" => "53300",
        "upstream_down" | "upstream_tls" | "upstream_timeout" | "upstream_error" | "credential"
        | "catalog" => "08001",
        "killed" | "revoked" | "token_expired" | "issuer_changed" | "credential_ended"
        | "shutting_down" => "57P01",
        "provider_unreachable" | "state_unreachable" => "57P03",
        _ => "42501",
    }
}

/// `ErrorResponse` that says a refusal.
pub fn error(refusal: &Refusal, severity: Severity, position: Option<usize>) -> Bytes {
    let reason = refusal.reason();
    let rules: Vec<&str> = refusal.rules().iter().map(AsRef::as_ref).collect();
    let detail = match (reason, rules.as_slice()) {
        // Told by PostgreSQL's own grammar in its own words, as the server would have.
        ("syntax", _) => None,
        (_, []) => Some(format!("narrows: {reason}")),
        _ => Some(format!("narrows: {reason}, rule {}", rules.join(", "))),
    };
    Report {
        severity,
        code: refusal.code().unwrap_or_else(|| sqlstate(reason)),
        message: refusal.message().as_str(),
        detail,
        hint: None,
        position,
    }
    .to_message()
}

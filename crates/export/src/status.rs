//! What a refused client of HTTP was answered.
//!
//! The gateway's own answers are no part of a recording; the word for the refusal is, and the
//! gateway makes the status of that word, for clients that take it for a server. A client of gRPC
//! gets 200 and a `grpc-status` instead.

use http::StatusCode;
use model::event::Verdict;
use model::exchange::status_of_refusal;

use crate::join::Entry;

/// Words after which there is nobody to answer.
const UNANSWERED: [&str; 4] =
    ["client_closed", "upstream_closed", "client_fault", "upstream_fault"];

/// The status that the client of an exchange got: of the recorded head, of the gateway's own
/// answer, of an error of the upstream. `None` where none of these is known.
pub(crate) fn of(entry: &Entry) -> Option<StatusCode> {
    let status = match (entry.status, entry.decision) {
        (Some(status), _) => status,
        (None, Some(Verdict::Block)) => {
            let reason = entry.reason.as_deref().unwrap_or_default();
            return (!UNANSWERED.contains(&reason)).then(|| status_of_refusal(reason));
        }
        (None, _) => entry.reply.as_ref()?.error_code.as_deref()?.parse().ok()?,
    };
    StatusCode::from_u16(status).ok()
}

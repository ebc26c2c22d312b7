//! The REST API for operators and approvers: tokens, sessions, approvals, reload, explain, metrics.
//!
//! Off the data path: it may fail and sessions go on. It reads and changes the store; what only the
//! running gateway knows comes in through [`Control`]. Every route under `/api` wants a bearer
//! token ([`auth`] says whose), people sign in at the pages beside it, and every change is in the
//! journal as an event of kind `admin`.

#![deny(missing_docs)]

mod access;
mod audit;
mod auth;
mod bound;
mod clicks;
mod control;
mod dto;
mod error;
mod extract;
mod metrics;
mod openapi;
mod pages;
mod routes;
mod saml;
mod server;
#[cfg(test)]
mod tests;
mod token_file;
mod words;

pub use access::{AccessAnswer, AccessEntry, AccessRequest, Holder, RequestState, RevokeRequest};
pub use clicks::{Slack, SlackClick, SlackOutcome, SlackRefused, SlackSigned};
pub use control::{
    ArchiveCounters, AuditError, AuditQuestion, Control, Counters, EraseRequest, Erased,
    ExplainAnswer, ExplainError, ExplainRequest, ExplainedColumn, ExplainedDetection,
    ExplainedOperation, ExplainedRule, ExplainedUse, HoldAnswer, HoldRequest, HoldView,
    ProblemView, ReleaseRequest, Reloaded, RequestPlan, ResourceView, RewrapRequest, Rewrapped,
    Span, Unopened,
};
pub use dto::{
    ApprovalRuleView, ApprovalView, ApproveRequest, DecisionsView, DenyRequest, DetectionView,
    EscalationView, EventsPage, KillRequest, RevocationView, SessionView, TableView, TokenCreated,
    TokenRequest, TokenView, VoteView,
};
pub use error::ErrorBody;
pub use openapi::document;
pub use routes::whoami::{LoginView, WhoAmI};
pub use saml::{Saml, SamlPlan};
pub use server::{Admin, AdminParts};
pub use token_file::{AdminTokenError, admin_token, read_admin_token};
pub use words::{format_time, parse_duration, parse_time};

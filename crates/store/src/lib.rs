//! The durable side of a gateway: what happened (journal), where to find it (index), and what the
//! operator decided (registry: tokens, approvals, grants).
//!
//! Everything here is synchronous and takes the time as an argument; the one clock and the one
//! async runtime live in `runtime`. The journal is the truth: the index is rebuilt from it, and no
//! operation goes upstream before its event is in it (P1, P5). The registry cannot be rebuilt; back
//! it up.

#![deny(missing_docs)]

pub mod approvals;
mod data_dir;
mod ears;
mod guesses;
mod id;
mod index;
pub mod journal;
mod live;
mod logins;
mod registry;
mod state;
mod store;
mod taints;
#[cfg(test)]
mod testing;
mod tokens;
mod usage;

pub use approvals::{
    AccessAsk, AccessGrant, Answer, AnswerError, Approval, ApprovalError, ApprovalId, ApprovalRule,
    Approvals, Approver, Escalation, GrantScope, Granted, Holder, NewAccess, NewApproval,
    Requested, Revocation, RevokeError, Status, Verdict, Vote, Waiter, WaiterId,
};
pub use data_dir::{DataDir, DataDirError, InstallationKey};
pub use guesses::Guesses;
pub use id::{NoRandomness, session_id, short_id};
pub use index::{
    Archived, Bookmark, Decisions, Index, IndexError, SessionEvents, SessionFilter, SessionSummary,
    TableUse,
};
pub use journal::{Damage, Journal, JournalError, JournalKey, Position, Reader, Record, Recovery};
pub use live::{Live, LiveSession, NotAdmitted, Registration, SessionCounters, SessionInfo};
pub use logins::{
    Code, KeyKind, LOGIN_TOKEN_PREFIX, Login, LoginKey, Logins, LoginsError, NewLogin, Renewal,
    Take, is_random_text, random_text,
};
pub use registry::{Asked, GatewaySeen, Looked, Password, Peers, Registry, SharedOptions};
pub use state::{State, StateError};
pub use store::{Opened, Store, StoreError, StoreOptions};
pub use taints::{KeptTaints, Taints};
pub use tokens::{ADMIN_SUBJECT, ISSUER, NewToken, TokenError, TokenRecord, Tokens, TokensError};
pub use usage::{Ledger, Usage};

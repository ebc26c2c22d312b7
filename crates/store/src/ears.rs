//! What this gateway does about what another one changed.

use std::sync::{Arc, Weak};

use model::{Timestamp, TokenId};

use crate::approvals::{ApprovalId, Approvals};
use crate::logins::Logins;
use crate::registry::{Hears, Kind, Peers};
use crate::state::StateError;
use crate::taints::Taints;
use crate::tokens::Tokens;
use crate::usage::Ledger;

/// Ends with those it tells.
pub(crate) struct Ears {
    pub tokens: Weak<Tokens>,
    pub approvals: Weak<Approvals>,
    pub logins: Weak<Logins>,
    pub taints: Weak<Taints>,
    pub peers: Weak<Peers>,
    pub usage: Weak<Ledger>,
}

impl Hears for Ears {
    fn heard(&self, kind: Kind, id: &str, now: Timestamp) -> Result<(), StateError> {
        let approvals = || self.approvals.upgrade();
        match kind {
            Kind::Approval => {
                approvals().map_or(Ok(()), |all| all.heard(&ApprovalId(id.into()), now))
            }
            Kind::Grant => approvals().map_or(Ok(()), |all| all.heard_grant(id)),
            Kind::Token => {
                self.tokens.upgrade().map_or(Ok(()), |all| all.heard(&TokenId(id.into())))
            }
            Kind::Denied => {
                let tokens = self.tokens.upgrade();
                tokens.inspect(|tokens| tokens.heard_denied(TokenId(id.into())));
                Ok(())
            }
            Kind::Login => self.logins.upgrade().map_or(Ok(()), |all| all.heard(id)),
            Kind::Taint => self.taints.upgrade().map_or(Ok(()), |all| all.heard(id, now)),
            Kind::Usage => self.usage.upgrade().map_or(Ok(()), |all| all.heard_usage(id)),
            Kind::Ask => {
                self.peers().inspect(|peers| peers.heard_ask(id));
                Ok(())
            }
            Kind::Answer => {
                self.peers().inspect(|peers| peers.heard_answer());
                Ok(())
            }
        }
    }

    fn heard_all(&self, now: Timestamp) -> Result<(), StateError> {
        if let Some(tokens) = self.tokens.upgrade() {
            tokens.heard_all()?;
        }
        if let Some(logins) = self.logins.upgrade() {
            logins.heard_all()?;
        }
        if let Some(approvals) = self.approvals.upgrade() {
            approvals.heard_all(now)?;
        }
        if let Some(taints) = self.taints.upgrade() {
            taints.heard_all(now)?;
        }
        if let Some(usage) = self.usage.upgrade() {
            usage.heard_all_usage(now)?;
        }
        Ok(())
    }

    fn left_behind(&self, gateway: &str, now: Timestamp) -> Result<(), StateError> {
        self.approvals.upgrade().map_or(Ok(()), |approvals| approvals.left_behind(gateway, now))
    }
}

impl Ears {
    fn peers(&self) -> Option<Arc<Peers>> {
        self.peers.upgrade()
    }
}

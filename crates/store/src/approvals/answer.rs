//! Who may answer, and when there are enough answers.

use std::collections::HashSet;
use std::sync::Arc;

use model::{Principal, Timestamp};
use serde::{Deserialize, Serialize};

use super::grant::GrantScope;
use super::request::{Approval, ApprovalId, ApprovalRule, Status};
use super::{Answer, Verdict};
use crate::id::NoRandomness;
use crate::state::StateError;
use crate::tokens::ADMIN_SUBJECT;

/// One who answers, as proved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Approver {
    /// Who.
    pub subject: Arc<str>,
    /// Groups of the subject.
    pub groups: Vec<Arc<str>>,
    /// Other identities behind the same proof: for whom they act, who minted their token. None of
    /// them may be in the chain of the one who asked either, or minting a token for a straw man
    /// would be a way around four eyes.
    pub behind: Vec<Arc<str>>,
    /// They hold `data_dir/admin.token`: the machine's owner, breaking glass. Stands in for any
    /// group, counts as one person, and the record shows the subject `admin.token`.
    pub is_admin_token: bool,
    /// Stands in for any group, and is somebody all the same: four eyes hold for them.
    pub any_group: bool,
}

impl Approver {
    /// An approver who proved themselves like any principal.
    #[must_use]
    pub fn from_principal(principal: &Principal) -> Self {
        let behind = [&principal.on_behalf_of, &principal.minted_by];
        Self {
            subject: Arc::clone(&principal.subject),
            groups: principal.groups.clone(),
            behind: behind.into_iter().flatten().cloned().collect(),
            is_admin_token: false,
            any_group: false,
        }
    }

    /// The holder of the admin token.
    #[must_use]
    pub fn admin_token() -> Self {
        Self {
            subject: ADMIN_SUBJECT.into(),
            groups: Vec::new(),
            behind: Vec::new(),
            is_admin_token: true,
            any_group: true,
        }
    }

    /// Four eyes (R12). The admin token is not an identity of anyone: no principal can carry its
    /// subject, and tokens it minted may be approved with it.
    fn is_in_chain_of(&self, principal: &Principal) -> bool {
        if self.is_admin_token {
            return false;
        }
        let own: HashSet<String> = principal
            .chain()
            .filter(|name| *name != ADMIN_SUBJECT)
            .map(str::to_lowercase)
            .collect();
        // Letter case never tells two people apart: identity providers disagree about it.
        std::iter::once(&self.subject)
            .chain(&self.behind)
            .any(|name| own.contains(&name.to_lowercase()))
    }

    fn counts_for(&self, rule: &ApprovalRule, of: &Approval) -> bool {
        self.any_group || of.answerers(rule).any(|group| self.groups.contains(group))
    }
}

/// What one approver said.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Vote {
    /// Who.
    pub by: Arc<str>,
    /// When.
    pub at: Timestamp,
    /// Yes or no.
    pub yes: bool,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// What the yes covers.
    pub grant: GrantScope,
    /// The rules for which the vote counts.
    pub rules: Vec<Arc<str>>,
}

/// Why an answer did not count.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// No such request.
    #[error("there is no approval request {0}")]
    Unknown(ApprovalId),
    /// It no longer waits, or this approver has already said yes.
    #[error("already answered: {}", .0.as_str())]
    AlreadyAnswered(Status),
    /// It could be answered only until a moment that has passed.
    #[error("the request has expired; the operation has to be asked for again")]
    Expired,
    /// The approver is, acts for, or minted the token of, the one who asked.
    #[error("nobody may approve or deny their own request: {identity} is behind it")]
    OwnRequest {
        /// The approver.
        identity: Arc<str>,
    },
    /// The approver is in none of the groups that may answer.
    #[error("not an approver: it takes a member of {}", needs.join(", "))]
    NotAnApprover {
        /// Groups whose members may answer.
        needs: Vec<Arc<str>>,
    },
    /// As many grants as may be are in force.
    #[error("{0} grants are in force, the limit")]
    Full(usize),
    /// The registry failed; nothing changed.
    #[error(transparent)]
    State(#[from] StateError),
    /// No randomness; nothing changed.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

const REASON_CHARS_MAX: usize = 1000;

impl Approval {
    /// This request after one more vote.
    pub(super) fn with_vote(
        &self,
        approver: &Approver,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Self, AnswerError> {
        if now >= self.expires_at {
            return Err(AnswerError::Expired);
        }
        if approver.is_in_chain_of(&self.principal) {
            return Err(AnswerError::OwnRequest { identity: Arc::clone(&approver.subject) });
        }
        let counts = |rule: &&ApprovalRule| approver.counts_for(rule, self);
        let rules: Vec<_> = self.rules.iter().filter(counts).collect();
        if rules.is_empty() {
            let mut needs: Vec<_> =
                self.rules.iter().flat_map(|rule| self.answerers(rule).cloned()).collect();
            needs.sort();
            needs.dedup();
            return Err(AnswerError::NotAnApprover { needs });
        }
        let again = self.votes.iter().any(|vote| is_same_name(&vote.by, &approver.subject));
        let (yes, grant, reason) = match verdict {
            Verdict::Approve { .. } if again => {
                return Err(AnswerError::AlreadyAnswered(self.status));
            }
            Verdict::Approve { duration, session, reason } => {
                let chosen = match &self.access {
                    // As long as was asked for, or shorter.
                    Some(ask) => duration.map(|length| GrantScope::For(length.min(ask.length))),
                    None => GrantScope::chosen(duration, session),
                };
                (true, chosen.unwrap_or(self.grant), reason)
            }
            Verdict::Deny { reason } => (false, self.grant, reason),
        };
        let vote = Vote {
            by: Arc::clone(&approver.subject),
            at: now,
            yes,
            reason: reason.map(|words| clip(&words)),
            grant,
            rules: rules.iter().map(|rule| Arc::clone(&rule.rule)).collect(),
        };
        let mut voted = self.clone();
        voted.votes.push(vote);
        voted.status = match (yes, voted.has_enough()) {
            (false, _) => Status::Denied,
            (true, true) => Status::Approved,
            (true, false) => Status::Pending,
        };
        Ok(voted)
    }

    /// Whether every rule has as many different people as it needs. One person may count for many
    /// rules, but only once for each.
    fn has_enough(&self) -> bool {
        self.rules.iter().all(|rule| {
            let yes = self.votes.iter().filter(|vote| vote.yes && vote.rules.contains(&rule.rule));
            let people: HashSet<_> = yes.map(|vote| vote.by.to_lowercase()).collect();
            people.len() >= usize::try_from(rule.needs.max(1)).unwrap_or(usize::MAX)
        })
    }

    /// Who said yes.
    #[must_use]
    pub fn approvers(&self) -> Vec<Arc<str>> {
        self.votes.iter().filter(|vote| vote.yes).map(|vote| Arc::clone(&vote.by)).collect()
    }

    /// What the waiters of a denied request are told.
    pub(super) fn denial(&self) -> Answer {
        match self.votes.iter().rev().find(|vote| !vote.yes) {
            Some(vote) => Answer::Denied { by: Arc::clone(&vote.by), reason: vote.reason.clone() },
            None => Answer::Withdrawn,
        }
    }
}

fn is_same_name(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

fn clip(words: &str) -> Arc<str> {
    words.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect::<String>().into()
}

//! What other gateways changed, taken over.

use std::sync::Arc;

use model::Timestamp;

use super::grant::Grant;
use super::persist;
use super::request::{Approval, ApprovalId, Status};
use super::{Approvals, Inner};
use crate::state::{Lane, StateError};

impl Approvals {
    /// A request changed. Those who wait here for its answer are told.
    pub(crate) fn heard(&self, id: &ApprovalId, now: Timestamp) -> Result<(), StateError> {
        let one = self.turn.lock();
        let found = self.registry.read(Lane::Reader, |tx| persist::load(tx, id))?;
        let mut inner = self.inner.lock();
        let known = inner.pending.get(id).map(|pending| &pending.approval);
        let Some(found) = found else {
            return Ok(());
        };
        if found.status == Status::Pending {
            // What this gateway did itself is known, and was told.
            if known != Some(&found) {
                inner.put(&found);
                drop((inner, one));
                self.observe_all(&found);
            }
            return Ok(());
        }
        if known.is_none() {
            return Ok(());
        }
        let waiters = inner.remove(id);
        drop(inner);
        let messages = self.answers_to(&found, waiters, now);
        drop(one);
        self.publish(&found, messages);
        Ok(())
    }

    /// A grant was made, used or ended.
    pub(crate) fn heard_grant(&self, id: &str) -> Result<(), StateError> {
        let one = self.turn.lock();
        let found = self.registry.read(Lane::Reader, |tx| persist::load_grant(tx, id))?;
        let before = self.inner.lock().take_over(id, found.as_ref());
        drop(one);
        let is_access = |grant: &Option<Grant>| grant.as_ref().is_some_and(|grant| grant.access);
        if before != found && (is_access(&before) || is_access(&found)) {
            self.access_changed();
        }
        Ok(())
    }

    /// Anything may have changed: reads all that waits and is granted.
    pub(crate) fn heard_all(&self, now: Timestamp) -> Result<(), StateError> {
        let one = self.turn.lock();
        let (pending, grants) = self.registry.read(Lane::Registry, |tx| {
            Ok((persist::load_pending(tx)?, persist::load_grants(tx)?))
        })?;
        let mut inner = self.inner.lock();
        let gone: Vec<ApprovalId> = inner
            .pending
            .keys()
            .filter(|id| pending.iter().all(|found| found.id != **id))
            .cloned()
            .collect();
        let news: Vec<Approval> = pending
            .into_iter()
            .filter(|found| {
                inner.pending.get(&found.id).map(|known| &known.approval) != Some(found)
            })
            .collect();
        news.iter().for_each(|found| inner.put(found));
        inner.grants = grants.into_iter().map(|grant| (Arc::clone(&grant.id), grant)).collect();
        drop((inner, one));
        self.access_changed();
        news.iter().for_each(|found| self.observe_all(found));
        gone.iter().try_for_each(|id| self.heard(id, now))
    }

    /// A gateway is gone: what it held is marked, and stays until it is answered or over. What was
    /// granted to its sessions alone ended with them.
    pub(crate) fn left_behind(&self, gateway: &str, now: Timestamp) -> Result<(), StateError> {
        let inner = self.inner.lock();
        let held = |approval: &&Approval| (*approval).clone().left_by(gateway, now);
        let held = inner.pending.values().map(|pending| &pending.approval).filter(held);
        let held: Vec<_> = held.map(|approval| (approval.id.clone(), approval.digest)).collect();
        drop(inner);
        for (id, digest) in held {
            let one = self.turn.lock();
            let marked = self.registry.write(Lane::Registry, |tx| {
                tx.turn(&digest)?;
                let found = persist::load(tx, &id)?;
                let Some(mut found) = found.filter(|found| found.status == Status::Pending) else {
                    return Ok(None);
                };
                if !found.left_by(gateway, now) {
                    return Ok(None);
                }
                persist::save(tx, &found, &[])?;
                Ok::<_, StateError>(Some(found))
            })?;
            if let Some(marked) = marked {
                self.inner.lock().put(&marked);
                drop(one);
                self.observe_all(&marked);
            }
        }
        self.drop_grants(|grant| {
            grant.session.is_some() && grant.gateway.as_deref() == Some(gateway)
        })
    }
}

impl Inner {
    /// What was known of a grant before.
    fn take_over(&mut self, id: &str, found: Option<&Grant>) -> Option<Grant> {
        match found {
            Some(grant) => self.grants.insert(Arc::clone(&grant.id), grant.clone()),
            None => self.grants.remove(id),
        }
    }
}

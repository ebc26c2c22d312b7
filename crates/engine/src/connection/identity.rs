//! Who was let in, and what rules concern them.

use std::sync::Arc;

use model::{ClientText, Credential, EventBody, Principal, Resource};
use policy::{Admission, PolicySet, Refusal, Scope};

use super::{Connection, Who};
use crate::contract::{Connected, Input, Reads, Sought, Unit};
use crate::facts::SessionFacts;
use crate::shared::SharedSession;

impl<U: Unit> Connection<U> {
    pub(super) fn proved(
        &mut self,
        principal: Arc<Principal>,
        resource: Resource,
        shared: Option<Arc<SharedSession>>,
    ) {
        self.frame.principal = Some(Arc::clone(&principal.subject));
        self.frame.on_behalf_of.clone_from(&principal.on_behalf_of);
        let admission = self.policy.admission(&principal, &resource, self.now);
        if !matches!(admission, Admission::Open { .. }) {
            self.disproved(admission.refusal(&principal.subject, &resource.name));
            return;
        }
        self.frame.resource = Some(Arc::clone(&resource.name));
        if let Some(shared) = &shared {
            self.frame.session = shared.id.clone();
            self.outbox.next_operation = Arc::clone(&shared.operation);
        }
        let scope = self.policy.scope(&principal, &resource, self.settings.block);
        let masks = Arc::clone(scope.masks());
        let began = shared.as_ref().map_or(self.now, |shared| shared.started);
        let mut facts = SessionFacts::new(&principal, &resource, &self.frame.session.0, began);
        let (application, run) = self.called.take().unwrap_or_default();
        match &shared {
            Some(shared) => facts.catch_up(shared),
            None => self.event(EventBody::SessionStarted {
                principal: (*principal).clone(),
                client: self.settings.client.to_string(),
                application,
                protocol: self.settings.protocol.to_owned(),
                run,
            }),
        }
        self.shared = shared;
        let reads = self.reads(&scope);
        self.who = Some(Who {
            principal: Arc::clone(&principal),
            resource: resource.clone(),
            scope,
            facts,
        });
        let session = Arc::clone(&self.frame.session.0);
        let trail = self.settings.ledger.trail(&principal.subject);
        self.tell(Input::Identified { principal, resource, masks, reads, session, trail });
    }

    /// Whom the upstream takes the session for, where that is of this session alone.
    pub(super) fn record_account(&mut self, connected: &Connected) {
        let Credential { user, made, .. } = &*connected.credential;
        let Some(made) = made.as_ref().filter(|_| !self.ended) else { return };
        self.event(EventBody::Admin {
            actor: "gateway".to_owned(),
            action: "credential.lease".to_owned(),
            target: user.clone(),
            detail: Some(format!("lease {} of {} s", made.lease, made.lasts.as_secs())),
        });
    }

    pub(super) fn disproved(&mut self, refusal: Refusal) {
        self.event(EventBody::SessionRefused {
            client: self.settings.client.to_string(),
            reason: refusal.reason().to_owned(),
            protocol: self.settings.protocol.to_owned(),
        });
        self.tell(Input::Unidentified(refusal));
    }

    pub(super) fn rescope(&mut self, policy: Arc<PolicySet>) {
        self.policy = policy;
        let Some(who) = &mut self.who else { return };
        if !self.policy.admits(&who.principal, &who.resource, self.now) {
            let words = ClientText::fixed("access to this resource was withdrawn");
            self.stop(Refusal::unjudgeable("no_access", words));
            return;
        }
        who.scope = self.policy.scope(&who.principal, &who.resource, self.settings.block);
        let scope = who.scope.clone();
        let reads = self.reads(&scope);
        self.tell(Input::Rescoped(Arc::clone(scope.masks()), reads));
    }

    /// The protocol's facts that rules in scope read.
    fn reads(&self, scope: &Scope) -> Reads {
        let own = scope.reads().filter(|fact| fact.block == self.settings.block);
        Reads {
            own: own.map(|fact| fact.index).collect(),
            detections: Sought::by(scope),
            asks: scope.asks(),
        }
    }
}

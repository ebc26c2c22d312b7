//! Who was let in, and what rules concern them.

use std::sync::Arc;

use model::{ClientText, EventBody, Principal, Resource};
use policy::{PolicySet, Refusal};

use super::{Connection, Who};
use crate::contract::{Input, Unit};
use crate::facts::SessionFacts;

impl<U: Unit> Connection<U> {
    pub(super) fn proved(&mut self, principal: Arc<Principal>, resource: Resource) {
        self.frame.principal = Some(Arc::clone(&principal.subject));
        if !self.policy.admits(&principal, &resource) {
            let words = format!(
                "\"{}\" may not use \"{}\": no access line grants it",
                principal.subject, resource.name
            );
            self.disproved(Refusal::unjudgeable("no_access", ClientText::composed(words)));
            return;
        }
        self.frame.resource = Some(Arc::clone(&resource.name));
        let scope = self.policy.scope(&principal, &resource, self.settings.block);
        let masks = Arc::clone(scope.masks());
        let facts = SessionFacts::new(&principal, &resource, &self.frame.session.0, self.now);
        let application = self.application.take();
        self.event(EventBody::SessionStarted {
            principal: (*principal).clone(),
            client: self.settings.client.clone(),
            application,
            protocol: self.settings.protocol.to_owned(),
        });
        self.who = Some(Who {
            principal: Arc::clone(&principal),
            resource: resource.clone(),
            scope,
            facts,
        });
        self.tell(Input::Identified { principal, resource, masks });
    }

    pub(super) fn disproved(&mut self, refusal: Refusal) {
        self.event(EventBody::SessionRefused {
            client: self.settings.client.clone(),
            reason: refusal.reason().to_owned(),
            protocol: self.settings.protocol.to_owned(),
        });
        self.tell(Input::Unidentified(refusal));
    }

    pub(super) fn rescope(&mut self, policy: Arc<PolicySet>) {
        self.policy = policy;
        let Some(who) = &mut self.who else { return };
        if !self.policy.admits(&who.principal, &who.resource) {
            let words = ClientText::fixed("access to this resource was withdrawn");
            self.stop(Refusal::unjudgeable("no_access", words));
            return;
        }
        who.scope = self.policy.scope(&who.principal, &who.resource, self.settings.block);
        let masks = Arc::clone(who.scope.masks());
        self.tell(Input::Rescoped(masks));
    }
}

//! Who asks, and for which site.

use std::sync::Arc;

use engine::{Connected, Happening, Refusal, Snapshots};
use identity::{NotProved, Proof};
use model::limit::INSPECTED_BODY_BYTES_MAX;
use model::{Claim, ClientText, Credential, Principal, UpstreamTls};
use policy::Admission;

use super::{Exchange, Face, Stay};
use crate::clock;
use crate::counters::add;
use crate::proof;
use crate::timers::Alarm;
use crate::web::site::Site;

impl Exchange {
    pub(super) async fn identify(&mut self, claim: &Claim) {
        let now = clock::now();
        let (token, chain) = (claim.secret.expose(), &self.certificates);
        if token.is_empty() && chain.is_empty() {
            return self.not_proved(&NotProved::Missing);
        }
        let proved = match self.gateway.proofs.prove_either(token, chain, self.private, now) {
            Proof::Done(proved) => proved,
            Proof::Later(pending) => pending.await,
        };
        match proved {
            Ok(principal) => self.proved(claim, Arc::new(principal)).await,
            Err(why) => self.not_proved(&why),
        }
    }

    fn not_proved(&mut self, why: &NotProved) {
        if self.gateway.throttle.failed(self.peer.ip(), clock::now()) {
            proof::log(why, self.peer);
            self.disprove(proof::refusal(why));
        } else {
            add(&self.gateway.counters.throttled);
            tracing::debug!(peer = %self.peer, "too many failed proofs; not answered");
            self.head = None;
            self.closing = true;
        }
    }

    async fn proved(&mut self, claim: &Claim, principal: Arc<Principal>) {
        let now = clock::now();
        let site = match self.site(claim, &principal) {
            Ok(site) => site,
            Err(refusal) => return self.disprove(refusal),
        };
        let (resource, payload) = (site.plan.resource.clone(), site.plan.payload);
        let admission = self.rules.policy.admission(&principal, &resource, now);
        let Admission::Open { until } = admission else {
            // The engine refuses, in the same words.
            let refusal = admission.refusal(&principal.subject, &resource.name);
            self.gateway.counters.refused.add(refusal.reason());
            self.work.push_back(Happening::Proved(principal, resource, payload, None));
            return;
        };
        let who = (&principal, claim, self.peer);
        let sessions = &self.gateway.exchanges;
        match sessions.join(&self.gateway, who, &site, &self.mailbox, now).await {
            Ok(joined) => {
                self.meter.count_for(joined.registration().counters());
                let stays = self.gateway.settings.outlive_token;
                if let Some(end) = principal.expires_at.filter(|_| !stays) {
                    self.timers.set(Alarm::Expiry, end);
                }
                if let Some(end) = until {
                    self.timers.set(Alarm::Access, end);
                }
                let shared = Arc::clone(joined.shared());
                self.stay = Some(Stay { principal: Arc::clone(&principal), site, joined });
                self.work.push_back(Happening::Proved(principal, resource, payload, Some(shared)));
            }
            Err(refusal) => self.disprove(refusal),
        }
    }

    /// The site asked for. One that does not exist is refused in the words for one that is not
    /// granted, so that nobody learns which names exist.
    fn site(&self, claim: &Claim, principal: &Principal) -> Result<Arc<Site>, Refusal> {
        let sites = &self.rules.sites;
        let wanted = &*claim.resource;
        let found = match self.face {
            Face::Reverse => sites.get(wanted).filter(|site| site.plan.address.is_some()),
            Face::Egress => {
                let proxies = || sites.values().filter(|site| site.plan.address.is_none());
                let now = clock::now();
                let policy = &self.rules.policy;
                let granted =
                    |site: &&Arc<Site>| policy.admits(principal, &site.plan.resource, now);
                proxies().find(granted).or_else(|| proxies().next())
            }
        };
        found.cloned().ok_or_else(|| {
            let subject = &principal.subject;
            let words = match self.face {
                Face::Reverse => {
                    let wanted: String =
                        wanted.chars().filter(|c| !c.is_control()).take(200).collect();
                    format!("\"{subject}\" may not use \"{wanted}\": no access line grants it")
                }
                Face::Egress => format!("\"{subject}\" may not use a resource of type egress"),
            };
            Refusal::unjudgeable("unknown_resource", ClientText::composed(words))
        })
    }

    fn disprove(&mut self, refusal: Refusal) {
        self.gateway.counters.refused.add(refusal.reason());
        self.work.push_back(Happening::Disproved(refusal));
    }

    /// Nothing is dialled yet: where to is in the request that the engine lets go.
    pub(super) fn connect(&mut self) {
        let Some(stay) = &self.stay else { return };
        let plan = &stay.site.plan;
        let in_parts = plan.options.get("stream_inspect").is_some_and(|set| set == true);
        self.in_parts = in_parts.then(|| {
            let most = plan.options.get("inspect_max").and_then(serde_json::Value::as_u64);
            most.and_then(|most| usize::try_from(most).ok()).unwrap_or(INSPECTED_BODY_BYTES_MAX)
        });
        self.work.push_back(Happening::Connected(Connected {
            credential: Arc::new(Credential {
                user: String::new(),
                password: None,
                database: String::new(),
                made: None,
            }),
            tls: UpstreamTls::VerifyFull,
            snapshots: Arc::new(NoSnapshots),
            options: Arc::clone(&plan.options),
        }));
    }
}

/// A site is not surveyed.
struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn current(&self) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        None
    }
}

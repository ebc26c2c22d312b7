//! What the engine wants done.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Act, Errand, Happening, Refusal};
use identity::{NotProved, Proof};
use model::{Claim, ClientText, Event, EventBody, OperationId, Principal, Side, Timestamp};
use store::{NotAdmitted, SessionInfo};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Cancel, Driver, Reached, Stay, is_loopback};
use crate::alert::Alert;
use crate::counters::add;
use crate::errand::{ErrandError, Trip};
use crate::proof;
use crate::survey::Survey;
use crate::timers::Alarm;
use crate::upstream::{Unreachable, Upstream};

impl Driver {
    pub(super) fn perform(&mut self, act: Act<Bytes>, now: Timestamp) {
        match act {
            Act::Record(ticket, events) => self.record(ticket, events),
            Act::Send(side, unit) => self.send(side, unit),
            Act::Identify(claim) => self.identify(claim, now),
            Act::Connect => self.connect(now),
            Act::StartTls(side) => self.port(side).want_tls(),
            Act::Hold(request) => {
                if let Some(stay) = &self.stay {
                    let resource = &stay.upstream.plan.resource.name;
                    self.holds.place(*request, &self.session, &stay.principal, resource, now);
                }
            }
            Act::Unhold(operation) => self.holds.unhold(operation),
            Act::Cancel(errand) => self.cancel(errand),
            Act::CancelKey(key) => self.seat.rename(key),
            Act::CancelSession(key) => self.passed_on = self.gateway.cancel(key),
            Act::Refresh => match &self.stay {
                Some(stay) => Survey::refresh(&stay.upstream, &self.mailbox),
                None => self.work.push_back(Happening::Refreshed),
            },
            Act::Pause(side) => self.port(side).pause(true),
            Act::Resume(side) => self.port(side).pause(false),
            Act::Wake(at) => self.timers.set(Alarm::Engine, at),
            Act::Alert { rule, message, operation } => self.alert(rule, message, operation),
            Act::Close => self.end(now),
        }
    }

    fn record(&mut self, ticket: engine::Ticket, events: Vec<Event>) {
        self.gateway.counters.count(&events);
        if self.logging_in && events.iter().any(is_operation) {
            self.let_in();
        }
        if self.gateway.settings.record_waits_for_disk {
            self.to_record.push_back((ticket, events));
        } else {
            let kept = self.gateway.recorder.append(&events, self.on_failure());
            self.recorded(ticket, kept);
        }
    }

    fn send(&mut self, side: Side, unit: Bytes) {
        if self.closing {
            return;
        }
        if self.logging_in && side == Side::Client && self.upstream.heard {
            self.let_in();
        }
        self.port(side).send(unit);
    }

    /// Flushes, then closes. A session that ended without saying so gets its last record first.
    fn end(&mut self, now: Timestamp) {
        if self.closing {
            return;
        }
        if !self.engine.is_ended() {
            match self.unreachable {
                Some(reason) => self.stop(reason),
                None => self.work.push_back(Happening::Closed(Side::Client)),
            }
        }
        self.closing = true;
        self.connecting = None;
        self.timers.set(Alarm::Close, now.plus(super::CLOSE_TIMEOUT));
    }

    fn alert(&mut self, rule: Arc<str>, message: String, operation: OperationId) {
        let stay = self.stay.as_ref();
        self.gateway.alert(&Alert {
            session: self.session.clone(),
            operation,
            principal: stay.map(|stay| Arc::clone(&stay.principal.subject)),
            resource: stay.map(|stay| Arc::clone(&stay.upstream.plan.resource.name)),
            rule,
            message,
        });
    }

    // ---- identity ------------------------------------------------------------------------------

    fn identify(&mut self, claim: Claim, now: Timestamp) {
        let private = self.client.is_tls() || is_loopback(self.peer);
        let chain = self.client.certificates();
        match self.gateway.proofs.prove_either(claim.secret.expose(), &chain, private, now) {
            Proof::Done(proved) => self.identified(&claim, proved, now),
            Proof::Later(pending) => self.proving = Some((claim, pending)),
        }
    }

    pub(super) fn identified(
        &mut self,
        claim: &Claim,
        proved: Result<Principal, NotProved>,
        now: Timestamp,
    ) {
        match proved {
            Ok(principal) => self.proved(claim, Arc::new(principal), now),
            Err(why) => self.not_proved(&why, now),
        }
    }

    fn not_proved(&mut self, why: &NotProved, now: Timestamp) {
        if self.gateway.throttle.failed(self.peer.ip(), now) {
            proof::log(why, self.peer);
            self.disprove(proof::refusal(why));
        } else {
            add(&self.gateway.counters.throttled);
            tracing::debug!(peer = %self.peer, "too many failed proofs; not answered");
            self.client.cut();
            self.closing = true;
        }
    }

    fn proved(&mut self, claim: &Claim, principal: Arc<Principal>, now: Timestamp) {
        let Some(upstream) = self.upstream_of(claim, &principal, now) else { return };
        let (resource, payload) = (upstream.plan.resource.clone(), upstream.plan.payload);
        if self.rules.policy.admits(&principal, &resource, now) {
            match self.register(claim, &principal, &upstream, now) {
                Ok(registration) => {
                    self.timers.clear(Alarm::Identify);
                    self.meter.count_for(registration.counters());
                    let stays = self.gateway.settings.outlive_token;
                    if let Some(end) = principal.expires_at.filter(|_| !stays) {
                        self.timers.set(Alarm::Expiry, end);
                    }
                    self.stay = Some(Stay {
                        principal: Arc::clone(&principal),
                        upstream,
                        _registration: registration,
                        lease: None,
                        reached: None,
                        credential: None,
                    });
                    self.watch_access(now);
                }
                Err(refusal) => return self.disprove(refusal),
            }
        } else {
            // The engine refuses.
            let admission = self.rules.policy.admission(&principal, &resource, now);
            let refusal = admission.refusal(&principal.subject, &resource.name);
            self.gateway.counters.refused.add(refusal.reason());
        }
        self.work.push_back(Happening::Proved(principal, resource, payload, None));
    }

    /// The upstream asked for. One that does not exist is refused in the words for one that is not
    /// granted, so that nobody learns which names exist.
    fn upstream_of(
        &mut self,
        claim: &Claim,
        principal: &Principal,
        now: Timestamp,
    ) -> Option<Arc<Upstream>> {
        let Some(upstream) = self.rules.upstreams.get(&*claim.resource) else {
            let words = format!(
                "\"{}\" may not use \"{}\": no access line grants it",
                principal.subject,
                clipped(&claim.resource)
            );
            self.disprove(Refusal::unjudgeable("unknown_resource", ClientText::composed(words)));
            return None;
        };
        let kind = &upstream.plan.resource.kind;
        if **kind == *self.protocol.name() {
            return Some(Arc::clone(upstream));
        }
        let known = self.rules.policy.admits(principal, &upstream.plan.resource, now);
        let words = if known {
            format!(
                "\"{}\" is of type {kind}; this listener speaks {}",
                upstream.plan.resource.name,
                self.protocol.name()
            )
        } else {
            format!(
                "\"{}\" may not use \"{}\": no access line grants it",
                principal.subject, upstream.plan.resource.name
            )
        };
        self.disprove(Refusal::unjudgeable("wrong_protocol", ClientText::composed(words)));
        None
    }

    fn register(
        &self,
        claim: &Claim,
        principal: &Arc<Principal>,
        upstream: &Upstream,
        now: Timestamp,
    ) -> Result<store::Registration, Refusal> {
        let info = SessionInfo {
            id: self.session.clone(),
            principal: (**principal).clone(),
            resource: Arc::clone(&upstream.plan.resource.name),
            protocol: self.protocol.name().into(),
            client: self.peer.to_string().into(),
            application: claim.application.as_deref().map(Arc::from),
            started_at: now,
        };
        let mailbox = Arc::clone(&self.mailbox);
        let stop = Box::new(move |reason| mailbox.stop(reason));
        self.gateway.live.register(info, stop).map_err(|why| match why {
            NotAdmitted::Revoked => proof::refusal(&NotProved::Revoked),
            NotAdmitted::TooMany(_) => Refusal::unjudgeable(
                "too_many_sessions",
                ClientText::fixed(
                    "the gateway carries as many sessions as it may; try again later",
                ),
            ),
            NotAdmitted::Duplicate => Refusal::unjudgeable(
                "duplicate_session",
                ClientText::fixed("the session could not be named; try again"),
            ),
        })
    }

    fn disprove(&mut self, refusal: Refusal) {
        self.gateway.counters.refused.add(refusal.reason());
        self.work.push_back(Happening::Disproved(refusal));
    }

    // ---- the upstream --------------------------------------------------------------------------

    fn connect(&mut self, now: Timestamp) {
        let Some(stay) = &self.stay else { return };
        if self.connecting.is_some() || self.upstream.is_up() {
            return;
        }
        let within = self.gateway.settings.connect_timeout;
        self.logging_in = true;
        self.timers.set(Alarm::Connect, now.plus(within));
        let upstream = Arc::clone(&stay.upstream);
        let session = Arc::clone(&self.session.0);
        let mailbox = Arc::clone(&self.mailbox);
        self.connecting = Some(Box::pin(async move {
            // Both at once, but a server that is down is reported as that, not as a failed survey.
            let (dialled, surveyed) = tokio::join!(upstream.dial(within), Survey::ready(&upstream));
            let (stream, lease) = (dialled?, surveyed?);
            let ended = move || mailbox.stop("credential_ended");
            let (connected, credential) = upstream.connected(&session, ended).await?;
            Ok::<_, Unreachable>(Reached { stream, connected, lease, credential })
        }));
    }

    /// Sends a cancel to the very server that runs the operation, on a connection of its own.
    fn cancel(&mut self, errand: Box<dyn Errand<Bytes>>) {
        let mut cancellers = std::mem::take(&mut self.cancelling);
        if let Some(mut under_way) = self.cancel.take()
            && under_way.is_under_way()
        {
            under_way.join(cancellers);
            if !self.engine.is_ended() {
                // It stops what runs now; a second could only hit what comes next.
                self.cancel = Some(under_way);
                return;
            }
            // Nothing comes next, and it may have been for what ran before.
            cancellers = under_way.into_cancellers();
        }
        let Some(stay) = &self.stay else { return };
        let Some((address, connected)) = stay.reached.clone() else { return };
        let upstream = Arc::clone(&stay.upstream);
        let turns = Arc::clone(&self.gateway.cancels);
        let within = self.gateway.settings.connect_timeout;
        let session = self.session.clone();
        let (over, took_place) = oneshot::channel::<()>();
        self.cancel = Some(Cancel::new(took_place, cancellers));
        tokio::spawn(async move {
            let run = async {
                let _turn = turns.acquire_owned().await;
                let stream = upstream.dial_again(address, within).await?;
                let mut trip = Trip::new(upstream, errand, stream);
                let rest = match trip.begin(connected).await {
                    // Servers answer a cancel by closing, when it took place.
                    Ok(_) => trip.read().await.map(drop),
                    Err(error) => Err(error),
                };
                match rest {
                    Ok(()) | Err(ErrandError::Closed) => Ok(()),
                    Err(error) => Err(error),
                }
            };
            match timeout(within, run).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(session = %session.0, %error, "a cancel failed");
                }
                Err(_) => tracing::warn!(session = %session.0, "a cancel took too long"),
            }
            drop(over);
        });
    }
}

fn is_operation(event: &Event) -> bool {
    matches!(event.body, EventBody::Operation { .. })
}

/// A name that the client sent, short and printable enough to be sent back.
fn clipped(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(200).collect()
}

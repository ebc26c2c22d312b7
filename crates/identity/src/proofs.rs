//! Whom a claim proves.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use model::limit::PROVED_TOKENS_MAX;
use model::{Offer, Principal, Timestamp, TokenId, Voucher};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use store::{Logins, TokenError, Tokens};
use tokio::time::{Instant, timeout_at};

use crate::certificate::{self, CertificateFault, CertificatePlan, Judge};
use crate::claims;
use crate::issuer::{Issuer, IssuerStatus, NotVerified};
use crate::jwt::{self, Fault};
use crate::plan::IssuerPlan;

/// Why a claim was not believed. Clients are told the same of most, so that nobody learns from a
/// guess that a token exists or existed (P7).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotProved {
    /// Nothing is known of it.
    Unknown,
    /// There was none.
    Missing,
    /// It was good once. Said only of a token that is known, or rightly signed.
    Expired,
    /// It was revoked.
    Revoked,
    /// It came over a channel that others can read (R16).
    Exposed,
    /// It is of an identity provider whose keys could not be fetched yet.
    Unreachable,
    /// Whether it was revoked is not known: the state that gateways share could not be read for too
    /// long.
    Unsure,
    /// It says that it is of an identity provider, and is not believed. The fault is the
    /// operator's to read.
    Foreign(Fault),
    /// It is a certificate that is not believed. The fault is the operator's to read.
    Certificate(CertificateFault),
}

/// How a proof ended, or goes on.
pub enum Proof {
    /// It came to an end.
    Done(Result<Principal, NotProved>),
    /// Keys have to be fetched first; it takes 15 s at most.
    Later(Pending),
}

/// A proof that goes on.
pub type Pending = Pin<Box<dyn Future<Output = Result<Principal, NotProved>> + Send>>;

/// Everything that proves who asks.
pub struct Proofs {
    tokens: Arc<Tokens>,
    logins: Arc<Logins>,
    issuers: ArcSwap<Vec<Arc<Issuer>>>,
    certificates: ArcSwap<Vec<Arc<Judge>>>,
    seen: Mutex<Seen>,
}

/// Tokens of others that were believed, so that an agent with one token and many requests costs
/// one check of a signature. By SHA-256; emptied when keys or issuers change, and when full.
#[derive(Default)]
struct Seen {
    proved: HashMap<[u8; 32], Principal>,
    /// What it was believed by: the fetches of every issuer.
    by: Vec<u64>,
}

impl Proofs {
    /// Tokens of our own and of people who signed in, and no issuer yet.
    #[must_use]
    pub fn new(tokens: Arc<Tokens>, logins: Arc<Logins>) -> Arc<Self> {
        let (issuers, certificates) = (ArcSwap::default(), ArcSwap::default());
        Arc::new(Self { tokens, logins, issuers, certificates, seen: Mutex::default() })
    }

    /// People who signed in.
    #[must_use]
    pub fn logins(&self) -> &Arc<Logins> {
        &self.logins
    }

    /// The provider of that plan, if it is believed.
    pub(crate) fn issuer(&self, plan: &IssuerPlan) -> Option<Arc<Issuer>> {
        self.issuers.load().iter().find(|issuer| issuer.plan == *plan).cloned()
    }

    /// Tokens of our own.
    #[must_use]
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// Believes these issuers and no others, from now on. Those that stay as they were keep their
    /// keys. Returns the names of those of which something else was believed before: whom they
    /// vouched for they may not vouch for any more.
    ///
    /// # Errors
    /// One of them cannot be used, and why; then nothing has changed. The operator's fault.
    pub fn believe(&self, plans: Vec<IssuerPlan>) -> Result<Vec<String>, String> {
        let before = self.issuers.load_full();
        let keep = |plan: IssuerPlan| match before.iter().find(|issuer| issuer.plan == plan) {
            Some(known) => Ok(Arc::clone(known)),
            None => {
                let name = plan.issuer.clone();
                Issuer::start(plan).map_err(|why| format!("identity.oidc: {name}: {why}"))
            }
        };
        let issuers = plans.into_iter().map(keep).collect::<Result<Vec<_>, _>>()?;
        let stays = |old: &&Arc<Issuer>| issuers.iter().any(|new| Arc::ptr_eq(new, old));
        let changed = before.iter().filter(|old| !stays(old));
        let changed = changed.map(|old| old.plan.issuer.clone()).collect();
        self.issuers.store(Arc::new(issuers));
        *self.seen.lock() = Seen::default();
        Ok(changed)
    }

    /// Where a client that has no token can get one.
    #[must_use]
    pub fn offer(&self) -> Option<Arc<Offer>> {
        self.issuers.load().iter().find_map(|issuer| issuer.offer.clone())
    }

    /// Believes these certificates and no others, from now on. Returns the names of those who
    /// vouched for others before.
    ///
    /// # Errors
    /// One of them cannot be used, and why; then nothing has changed. The operator's fault.
    pub fn believe_certificates(&self, plans: Vec<CertificatePlan>) -> Result<Vec<String>, String> {
        let before = self.certificates.load_full();
        let keep = |plan: CertificatePlan| match before.iter().find(|judge| judge.plan == plan) {
            Some(known) => Ok(Arc::clone(known)),
            None => {
                let name = plan.issuer.clone();
                let judge = Judge::new(plan).map(Arc::new);
                judge.map_err(|why| format!("identity.certificates: {name}: {why}"))
            }
        };
        let judges = plans.into_iter().map(keep).collect::<Result<Vec<_>, _>>()?;
        let stays = |old: &&Arc<Judge>| judges.iter().any(|new| Arc::ptr_eq(new, old));
        let changed = before.iter().filter(|old| !stays(old));
        let changed = changed.map(|old| old.plan.issuer.clone()).collect();
        self.certificates.store(Arc::new(judges));
        Ok(changed)
    }

    /// Whether clients are asked for a certificate.
    #[must_use]
    pub fn takes_certificates(&self) -> bool {
        !self.certificates.load().is_empty()
    }

    /// Believes a client by its certificate, by its token, or by both, which then have to name the
    /// same subject: the token says who asks, and the certificate that it is them.
    pub fn prove_either(
        self: &Arc<Self>,
        token: &str,
        chain: &[CertificateDer<'static>],
        client_private: bool,
        now: Timestamp,
    ) -> Proof {
        if chain.is_empty() {
            return self.prove(token, client_private, now);
        }
        let certified = match self.certified(chain, now) {
            Ok(certified) if token.is_empty() => return Proof::Done(Ok(certified)),
            Ok(certified) => certified,
            Err(why) => return Proof::Done(Err(why)),
        };
        match self.prove(token, client_private, now) {
            Proof::Done(proved) => {
                Proof::Done(proved.and_then(|by_token| both(by_token, &certified)))
            }
            Proof::Later(pending) => {
                Proof::Later(Box::pin(async move { both(pending.await?, &certified) }))
            }
        }
    }

    fn certified(
        &self,
        chain: &[CertificateDer<'static>],
        now: Timestamp,
    ) -> Result<Principal, NotProved> {
        let mut fault = CertificateFault::Nobodys;
        for judge in self.certificates.load().iter() {
            match judge.judge(chain, now) {
                Ok(principal) => {
                    let denied =
                        principal.token.as_ref().is_some_and(|id| self.tokens.is_denied(id));
                    return match denied {
                        true => Err(NotProved::Revoked),
                        // It may have been denied elsewhere meanwhile.
                        false if !self.tokens.is_fresh() => Err(NotProved::Unsure),
                        false => Ok(principal),
                    };
                }
                // Whoever vouches for it has said what is wrong with it.
                Err(new) if !matches!(new, CertificateFault::Chain(..)) => fault = new,
                Err(new) if fault == CertificateFault::Nobodys => fault = new,
                Err(_) => {}
            }
        }
        Err(NotProved::Certificate(fault))
    }

    /// Whether somebody whom this issuer vouched for may still be believed.
    #[must_use]
    pub fn believes(&self, issuer: &str) -> bool {
        issuer == store::ISSUER
            || self.issuers.load().iter().any(|one| one.plan.issuer == issuer)
            || self.certificates.load().iter().any(|one| one.plan.issuer == issuer)
    }

    /// What is known of every issuer.
    #[must_use]
    pub fn issuers(&self) -> Vec<IssuerStatus> {
        self.issuers.load().iter().map(|issuer| issuer.status()).collect()
    }

    /// Believes a token, or says why not. `client_private`: nobody else can read what the client
    /// sends (R16).
    pub fn prove(self: &Arc<Self>, token: &str, client_private: bool, now: Timestamp) -> Proof {
        if !client_private {
            return Proof::Done(Err(NotProved::Exposed));
        }
        if !jwt::is_shaped(token) {
            return Proof::Done(self.own(token, now));
        }
        match self.foreign(token, now) {
            Ok(principal) => Proof::Done(Ok(principal)),
            Err(Doubt::Not(why)) => Proof::Done(Err(why)),
            Err(Doubt::Keys(issuers, _)) => {
                Proof::Later(Box::pin(later(Arc::clone(self), token.to_owned(), issuers, now)))
            }
        }
    }

    /// The same, for those who can wait for it.
    ///
    /// # Errors
    /// It is not believed.
    pub async fn prove_now(
        self: &Arc<Self>,
        token: &str,
        client_private: bool,
        now: Timestamp,
    ) -> Result<Principal, NotProved> {
        match self.prove(token, client_private, now) {
            Proof::Done(proved) => proved,
            Proof::Later(pending) => pending.await,
        }
    }

    fn own(&self, token: &str, now: Timestamp) -> Result<Principal, NotProved> {
        match self.tokens.verify(token, now) {
            Err(TokenError::Unknown) => self.logins.verify(token, now).map_err(not_proved),
            proved => proved.map_err(not_proved),
        }
    }

    fn foreign(&self, token: &str, now: Timestamp) -> Result<Principal, Doubt> {
        let issuers = self.issuers.load();
        if issuers.is_empty() {
            return Err(Doubt::Not(NotProved::Unknown));
        }
        let fingerprint = fingerprint(token);
        if let Some(known) = self.known(&fingerprint, &issuers) {
            return match known.expires_at.is_some_and(|end| now >= end) {
                true => Err(Doubt::Not(NotProved::Expired)),
                false => self.allowed(known),
            };
        }
        let foreign = |fault| Doubt::Not(NotProved::Foreign(fault));
        let says = jwt::peek(token).map_err(foreign)?;
        let named =
            |issuer: &&Arc<Issuer>| issuer.plan.is_named(says.iss.as_deref(), says.sub.as_deref());
        let named: Vec<&Arc<Issuer>> = issuers.iter().filter(named).collect();
        let mut fault = None;
        let mut without_keys = Vec::new();
        // An issuer may be listed more than once, for other audiences: the first that fits counts.
        for issuer in named {
            match issuer.verify(token, now) {
                Ok(verified) => {
                    let principal =
                        claims::principal(&issuer.plan, token, &verified).map_err(foreign)?;
                    let principal = self.allowed(principal)?;
                    self.remember(fingerprint, &principal, &issuers);
                    return Ok(principal);
                }
                Err(NotVerified::NoKeys) => without_keys.push(Arc::clone(issuer)),
                Err(NotVerified::Fault(why @ Fault::Key(_))) => {
                    fault = Some(why);
                    without_keys.push(Arc::clone(issuer));
                }
                Err(NotVerified::Fault(why)) => fault = Some(why),
            }
        }
        match fault {
            fault if !without_keys.is_empty() => Err(Doubt::Keys(without_keys, fault)),
            Some(Fault::Expired(_)) => Err(Doubt::Not(NotProved::Expired)),
            Some(fault) => Err(foreign(fault)),
            None => {
                let whose = says.iss.or(says.sub).unwrap_or_default();
                Err(foreign(Fault::Issuer(jwt::clipped(&whose))))
            }
        }
    }

    /// Whoever was revoked here is not let in, whatever the issuer says.
    fn allowed(&self, principal: Principal) -> Result<Principal, Doubt> {
        match &principal.token {
            Some(token) if self.tokens.is_denied(token) => Err(Doubt::Not(NotProved::Revoked)),
            _ if !self.tokens.is_fresh() => Err(Doubt::Not(NotProved::Unsure)),
            _ => Ok(principal),
        }
    }

    fn known(&self, fingerprint: &[u8; 32], issuers: &[Arc<Issuer>]) -> Option<Principal> {
        let mut seen = self.seen.lock();
        let by: Vec<u64> = issuers.iter().map(|issuer| issuer.generation()).collect();
        if seen.by != by {
            *seen = Seen { by, ..Seen::default() };
        }
        seen.proved.get(fingerprint).cloned()
    }

    fn remember(&self, fingerprint: [u8; 32], principal: &Principal, issuers: &[Arc<Issuer>]) {
        let mut seen = self.seen.lock();
        // Keys that changed meanwhile may be without the one that it was believed by.
        if seen.by != issuers.iter().map(|issuer| issuer.generation()).collect::<Vec<_>>() {
            return;
        }
        if seen.proved.len() >= PROVED_TOKENS_MAX {
            seen.proved.clear();
        }
        seen.proved.insert(fingerprint, principal.clone());
    }

    /// Whether this is how records name a token of an issuer or a certificate: `jwt_` or `crt_`,
    /// and 16 letters.
    #[must_use]
    pub fn is_foreign(id: &TokenId) -> bool {
        id.0.starts_with(claims::ID_PREFIX) || id.0.starts_with(certificate::ID_PREFIX)
    }

    /// Whether somebody who was believed may still be.
    ///
    /// # Errors
    /// Their token has ended, was revoked, or nobody believes its issuer any more.
    pub fn recheck(&self, principal: &Principal, now: Timestamp) -> Result<(), NotProved> {
        if let Some(certificate) = &principal.certificate
            && (self.tokens.is_denied(&certificate.id) || !self.believes(&certificate.issuer))
        {
            return Err(NotProved::Revoked);
        }
        let Some(token) = &principal.token else { return Ok(()) };
        if Logins::names(token) {
            return self.logins.recheck(token, now).map_err(not_proved);
        }
        if !Self::is_foreign(token) {
            return self.tokens.recheck(token, now).map_err(not_proved);
        }
        if self.tokens.is_denied(token) || !self.believes(&principal.issuer) {
            return Err(NotProved::Revoked);
        }
        if !self.tokens.is_fresh() {
            return Err(NotProved::Unsure);
        }
        match principal.expires_at.is_some_and(|end| now >= end) {
            true => Err(NotProved::Expired),
            false => Ok(()),
        }
    }
}

/// Why a token of an issuer is not believed, or not yet.
enum Doubt {
    Not(NotProved),
    /// None of the keys that these have is the one it names.
    Keys(Vec<Arc<Issuer>>, Option<Fault>),
}

/// Waits for keys, and judges again. Two fetches at most: the first may have begun before the
/// provider published the key.
async fn later(
    proofs: Arc<Proofs>,
    token: String,
    mut issuers: Vec<Arc<Issuer>>,
    now: Timestamp,
) -> Result<Principal, NotProved> {
    let token = model::Secret::new(token);
    let began = Instant::now();
    let deadline = began + Issuer::wait();
    let mut fault = None;
    for _ in 0..2 {
        let tried: Vec<_> = issuers.iter().map(|issuer| issuer.refresh()).collect();
        for mut tried in tried {
            if timeout_at(deadline, tried.changed()).await.is_err() {
                break;
            }
        }
        let now = now.plus(began.elapsed());
        match proofs.foreign(token.expose(), now) {
            Ok(principal) => return Ok(principal),
            Err(Doubt::Not(why)) => return Err(why),
            Err(Doubt::Keys(still, why)) => (issuers, fault) = (still, why),
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    // Those that could be asked, and do not have that key, have said all there is to say.
    let unreachable = issuers.iter().any(|issuer| issuer.status().error.is_some());
    Err(match fault {
        Some(fault) if !unreachable => NotProved::Foreign(fault),
        _ => NotProved::Unreachable,
    })
}

/// A token and a certificate that came together; the earlier end counts.
fn both(by_token: Principal, certified: &Principal) -> Result<Principal, NotProved> {
    if by_token.subject != certified.subject {
        let (one, other) = (certified.subject.to_string(), by_token.subject.to_string());
        return Err(NotProved::Certificate(CertificateFault::Mismatch(one, other)));
    }
    let ends = [by_token.expires_at, certified.expires_at].into_iter().flatten().min();
    let certificate = certified.token.clone();
    let certificate = certificate.map(|id| Voucher { id, issuer: Arc::clone(&certified.issuer) });
    Ok(Principal { expires_at: ends, certificate, ..by_token })
}

const fn not_proved(error: TokenError) -> NotProved {
    match error {
        TokenError::Unknown => NotProved::Unknown,
        TokenError::Expired => NotProved::Expired,
        TokenError::Revoked => NotProved::Revoked,
        TokenError::Unsure => NotProved::Unsure,
    }
}

fn fingerprint(token: &str) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref().try_into().unwrap_or_default()
}

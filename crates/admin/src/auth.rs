//! Who calls: the holder of the admin token, a person who answers approvals, or whoever asks for
//! something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use identity::NotProved;
use model::{Principal, PrincipalKind, Secret, Timestamp};
use store::{Approval, Approver};
use subtle::ConstantTimeEq;

use crate::bound::Peer;
use crate::error::ApiError;
use crate::server::Shared;

/// The subject under which the holder of the admin token acts.
pub(crate) const ADMIN_SUBJECT: &str = "admin.token";

/// Faults of tokens that go into the log in a minute; whoever sends more learns nothing by it.
const FAULTS_MAX: u64 = 60;

/// Counts faults of tokens: the minute, and how many there were in it.
#[derive(Debug, Default)]
pub(crate) struct Faults(AtomicU64);

impl Faults {
    /// Counts one. Two at the same moment may count as one.
    fn may_tell(&self, now: Timestamp) -> bool {
        const BITS: u32 = 32;
        let minute = now.seconds() / 60;
        let before = self.0.load(Ordering::Relaxed);
        let count = if before >> BITS == minute { before & u64::from(u32::MAX) } else { 0 };
        let count = count.saturating_add(1).min(FAULTS_MAX + 1);
        self.0.store(minute << BITS | count, Ordering::Relaxed);
        count <= FAULTS_MAX
    }
}

/// Who calls, as proved.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// The machine's owner.
    Admin,
    /// A person with a token of their own.
    Person(Arc<Principal>),
    /// Somebody else with a token of their own: an agent, a service.
    Holder(Arc<Principal>),
}

impl Caller {
    pub fn subject(&self) -> &str {
        match self {
            Self::Admin => ADMIN_SUBJECT,
            Self::Person(holder) | Self::Holder(holder) => &holder.subject,
        }
    }

    pub fn approver(&self) -> Approver {
        match self {
            Self::Admin => Approver::admin_token(),
            Self::Person(holder) | Self::Holder(holder) => Approver::from_principal(holder),
        }
    }

    /// Whether an approval is theirs to see: they may answer it.
    pub fn sees(&self, approval: &Approval) -> bool {
        match self {
            Self::Admin => true,
            Self::Person(person) => approval.is_for(&person.groups),
            Self::Holder(_) => false,
        }
    }

    /// Who asks, if the caller could.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        match self {
            Self::Admin => None,
            Self::Person(holder) | Self::Holder(holder) => Some(holder),
        }
    }
}

/// Lets in the admin token only.
pub(crate) async fn admin(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match prove(&shared, token(&request)?).await? {
        Caller::Admin => {
            request.extensions_mut().insert(Caller::Admin);
            Ok(next.run(request).await)
        }
        Caller::Person(person) => Err(ApiError::forbidden(
            "admin_only",
            format!("{} may answer approvals and nothing else here", person.subject),
        )
        .help("use the admin token: data_dir/admin.token on the gateway's machine")),
        Caller::Holder(holder) => Err(people_only(&holder)),
    }
}

/// Lets in whoever may answer approvals.
pub(crate) async fn approver(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = prove(&shared, token(&request)?).await?;
    if let Caller::Holder(holder) = &caller {
        return Err(people_only(holder));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Lets in whoever has a token: they ask for something, or about what they asked for.
pub(crate) async fn holder(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = prove(&shared, token(&request)?).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn people_only(holder: &Principal) -> ApiError {
    let message = format!("{} is not a person; only people answer approvals", holder.subject);
    ApiError::forbidden("people_only", message)
        .help("make a token with: narrows token create NAME --kind person")
}

/// The token that a request carries, if it may be looked at.
fn token(request: &Request) -> Result<Secret<String>, ApiError> {
    // R16: this listener has no TLS, so a token that came over the network could have been read.
    let peer = request.extensions().get::<ConnectInfo<Peer>>();
    if !peer.is_some_and(|ConnectInfo(Peer(peer))| peer.ip().to_canonical().is_loopback()) {
        return Err(ApiError::forbidden(
            "insecure",
            "tokens are accepted from this machine only, because this address has no TLS",
        )
        .help("put a TLS proxy on the gateway's machine in front of it"));
    }
    bearer(request.headers()).map(|token| Secret::new(token.to_owned()))
}

async fn prove(shared: &Shared, token: Secret<String>) -> Result<Caller, ApiError> {
    let token = token.expose();
    // The comparison takes as long for a wrong token as for a right one of the same length, and the
    // length is no secret.
    if bool::from(token.as_bytes().ct_eq(shared.admin_token.expose().as_bytes())) {
        return Ok(Caller::Admin);
    }
    let unauthorized = |code, message: &str| ApiError::new(StatusCode::UNAUTHORIZED, code, message);
    match shared.proofs.prove_now(token, true, shared.control.now()).await {
        Ok(principal)
            if principal.kind == PrincipalKind::Person && principal.on_behalf_of.is_none() =>
        {
            Ok(Caller::Person(Arc::new(principal)))
        }
        Ok(principal) => Ok(Caller::Holder(Arc::new(principal))),
        Err(NotProved::Expired) => Err(unauthorized("expired_token", "the token has expired")),
        Err(NotProved::Unreachable) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "provider_unreachable",
            "the token cannot be checked now: the keys of the identity provider cannot be fetched",
        )),
        Err(NotProved::Unsure) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "state_unreachable",
            "whether the token is still good is not known now: the state database does not answer",
        )),
        Err(why) => {
            if let NotProved::Foreign(fault) = &why
                && shared.faults.may_tell(shared.control.now())
            {
                tracing::warn!("a token was not believed by the admin API: {fault}");
            }
            Err(unauthorized("unknown_token", "the token is not valid here"))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = |message: &str| {
        ApiError::new(StatusCode::UNAUTHORIZED, "no_token", message)
            .help("send Authorization: Bearer TOKEN")
    };
    let value = headers.get(header::AUTHORIZATION).ok_or_else(|| missing("a token is wanted"))?;
    let value = value.to_str().map_err(|_| missing("the Authorization header is not text"))?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(missing("the Authorization header is not a bearer token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_the_log_has_so_many_faults_of_tokens_in_a_minute() {
        let faults = Faults::default();
        let at = |seconds: u64| Timestamp(seconds * 1_000_000_000);
        let told = (0..200).filter(|_| faults.may_tell(at(119))).count();
        assert_eq!(told as u64, FAULTS_MAX);
        assert!(faults.may_tell(at(120)), "the next minute");
    }
}

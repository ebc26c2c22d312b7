//! Who calls, and who may call what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use identity::{NotProved, Role};
use model::{Principal, PrincipalKind, Secret, Timestamp};
use store::{Approval, Approver};
use subtle::ConstantTimeEq;

use crate::audit::Deed;
use crate::bound::Peer;
use crate::error::ApiError;
use crate::server::Shared;

/// The subject under which the holder of the admin token acts.
pub(crate) const ADMIN_SUBJECT: &str = "admin.token";

/// Faults of one kind that go into the log in a minute; whoever sends more learns nothing by it.
const FAULTS_MAX: u64 = 60;

/// Counts faults of one kind: the minute, and how many there were in it.
#[derive(Debug, Default)]
pub(crate) struct Faults(AtomicU64);

impl Faults {
    /// Counts one. Two at the same moment may count as one.
    pub fn may_tell(&self, now: Timestamp) -> bool {
        const BITS: u32 = 32;
        let minute = now.seconds() / 60;
        let before = self.0.load(Ordering::Relaxed);
        let count = if before >> BITS == minute { before & u64::from(u32::MAX) } else { 0 };
        let count = count.saturating_add(1).min(FAULTS_MAX + 1);
        self.0.store(minute << BITS | count, Ordering::Relaxed);
        count <= FAULTS_MAX
    }
}

/// What a caller needs for a route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    /// A token, whoever holds it: they ask for something, or about themselves.
    Token,
    /// A person. What they see and may do there depends on the groups of rules.
    Person,
    /// A person with this role or a higher one.
    Role(Role),
}

const VIEWER: Need = Need::Role(Role::Viewer);
const OPERATOR: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::Role(Role::Admin);

/// Which route needs what; a route that is not here is nobody's but the admin token's. The admin
/// token may everything.
pub(crate) const NEEDS: &[(&str, &str, Need)] = &[
    ("GET", "/api/v1/whoami", Need::Token),
    ("POST", "/api/v1/logout", Need::Token),
    ("GET", "/api/v1/approvals/{id}", Need::Token),
    ("POST", "/api/v1/access/requests", Need::Token),
    // Whoever is in a rule's group answers for it, with or without a role.
    ("GET", "/api/v1/approvals", Need::Person),
    ("POST", "/api/v1/approvals/{id}/approve", Need::Person),
    ("POST", "/api/v1/approvals/{id}/deny", Need::Person),
    ("POST", "/api/v1/approvals/{id}/revoke", Need::Person),
    ("GET", "/api/v1/access", Need::Person),
    ("GET", "/api/v1/access/who-can", VIEWER),
    ("GET", "/api/v1/access/what-can", VIEWER),
    ("GET", "/api/v1/sessions", VIEWER),
    ("GET", "/api/v1/sessions/{id}", VIEWER),
    ("GET", "/api/v1/sessions/{id}/events", VIEWER),
    ("GET", "/api/v1/audit/who", VIEWER),
    ("GET", "/api/v1/audit/fields", VIEWER),
    ("GET", "/api/v1/audit/pii", VIEWER),
    ("POST", "/api/v1/audit/search", VIEWER),
    ("GET", "/api/v1/audit/holds", VIEWER),
    ("GET", "/api/v1/resources", VIEWER),
    ("GET", "/api/v1/gateways", VIEWER),
    ("POST", "/api/v1/explain", VIEWER),
    ("POST", "/api/v1/sessions/{id}/kill", OPERATOR),
    ("GET", "/api/v1/tokens", OPERATOR),
    ("POST", "/api/v1/tokens", OPERATOR),
    ("DELETE", "/api/v1/tokens/{id}", OPERATOR),
    ("POST", "/api/v1/reload", OPERATOR),
    ("POST", "/api/v1/audit/erase", ADMIN),
    ("POST", "/api/v1/audit/hold", ADMIN),
    ("POST", "/api/v1/audit/release", ADMIN),
    ("POST", "/api/v1/audit/rewrap", ADMIN),
    ("POST", "/api/v1/audit/reindex", ADMIN),
];

fn need(method: &str, route: &str) -> Need {
    let known = NEEDS.iter().find(|(verb, path, _)| *verb == method && *path == route);
    known.map_or(ADMIN, |(_, _, need)| *need)
}

/// Who calls, as proved.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// The machine's owner.
    Admin,
    /// A person with a token of their own, or at a page, and their role.
    Person(Arc<Principal>, Option<Role>),
    /// Somebody else with a token of their own: an agent, a service.
    Holder(Arc<Principal>),
}

impl Caller {
    pub fn subject(&self) -> &str {
        match self {
            Self::Admin => ADMIN_SUBJECT,
            Self::Person(holder, _) | Self::Holder(holder) => &holder.subject,
        }
    }

    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Admin => Some(Role::Admin),
            Self::Person(_, role) => *role,
            Self::Holder(_) => None,
        }
    }

    pub fn has(&self, role: Role) -> bool {
        self.role() >= Some(role)
    }

    pub fn approver(&self) -> Approver {
        match self {
            Self::Admin => Approver::admin_token(),
            Self::Person(holder, _) | Self::Holder(holder) => {
                Approver { any_group: self.has(Role::Admin), ..Approver::from_principal(holder) }
            }
        }
    }

    /// Whether they are among those who may answer it, their own requests left aside.
    pub fn answers(&self, approval: &Approval) -> bool {
        match self {
            Self::Admin => true,
            Self::Person(person, _) => self.has(Role::Admin) || approval.is_for(&person.groups),
            Self::Holder(_) => false,
        }
    }

    /// Whether an approval is theirs to see: they may answer it, or read all.
    pub fn sees(&self, approval: &Approval) -> bool {
        self.has(Role::Viewer) || self.answers(approval)
    }

    /// Whether they may end what was approved.
    pub fn revokes(&self, approval: &Approval) -> bool {
        self.has(Role::Approver) || self.answers(approval)
    }

    /// Who asks, if the caller could.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        match self {
            Self::Admin => None,
            Self::Person(holder, _) | Self::Holder(holder) => Some(holder),
        }
    }
}

/// Lets in whoever has what the route needs.
pub(crate) async fn guard(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = prove(&shared, token(&request)?).await?;
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let refused = match (need(request.method().as_str(), route), &caller) {
        (Need::Token, _) | (Need::Person, Caller::Person(..)) | (_, Caller::Admin) => None,
        (_, Caller::Holder(holder)) => Some(people_only(holder)),
        (Need::Role(role), _) if caller.has(role) => None,
        (Need::Role(role), Caller::Person(person, has)) => {
            let what = format!("{} {route}", request.method());
            note_refusal(&shared, &person.subject, (role, *has), &what);
            Some(role_missing(&person.subject, role, *has))
        }
    };
    if let Some(refused) = refused {
        return Err(refused);
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Records that somebody tried what their role does not allow; so many a minute.
fn note_refusal(
    shared: &Arc<Shared>,
    subject: &str,
    (role, has): (Role, Option<Role>),
    what: &str,
) {
    let now = shared.control.now();
    if !shared.refusals.may_tell(now) {
        return;
    }
    let has = has.map_or("none", Role::as_str);
    let detail = Some(format!("it needs the role {}, and theirs is {has}", role.as_str()));
    let (shared, actor) = (Arc::clone(shared), subject.to_owned());
    let target = what.to_owned();
    drop(tokio::task::spawn_blocking(move || {
        let deed = Deed { actor: &actor, action: "role.refused", target: &target, detail };
        shared.audit.note(deed, now);
    }));
}

fn role_missing(subject: &str, role: Role, has: Option<Role>) -> ApiError {
    let has = match has {
        None => "no role".to_owned(),
        Some(role) => format!("the role {}", role.as_str()),
    };
    let message = format!("{subject} has {has}; this needs the role {}", role.as_str());
    ApiError::forbidden("role_missing", message).help(format!(
        "identity.roles.{} lists the groups that have it; on the gateway's machine \
         data_dir/admin.token may everything",
        role.as_str()
    ))
}

fn people_only(holder: &Principal) -> ApiError {
    let message = format!("{} is not a person; only people may do this", holder.subject);
    ApiError::forbidden("people_only", message).help(
        "sign in with narrows login, or make a token with: narrows token create NAME --kind person",
    )
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
            let role = shared.people.role(&principal.groups);
            Ok(Caller::Person(Arc::new(principal), role))
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
    use utoipa::OpenApi as _;

    use super::*;

    /// Goal: nobody adds a route without saying who may call it. Method: the document of the API
    /// and the table name the same routes.
    #[test]
    fn every_route_says_what_it_needs() {
        let document = serde_json::to_value(crate::openapi::Document::openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap().iter();
        let mut routes: Vec<(String, String)> = paths
            .filter(|(path, _)| path.starts_with("/api/"))
            .flat_map(|(path, verbs)| {
                let verbs = verbs.as_object().unwrap().keys();
                verbs.map(|verb| (verb.to_ascii_uppercase(), path.clone()))
            })
            .collect();
        let mut table: Vec<_> =
            NEEDS.iter().map(|(verb, path, _)| ((*verb).to_owned(), (*path).to_owned())).collect();
        routes.sort();
        table.sort();
        assert_eq!(table, routes);
        assert_eq!(need("GET", "/api/v1/new"), ADMIN, "what nobody thought of is not open");
    }

    #[test]
    fn p8_the_log_has_so_many_faults_of_tokens_in_a_minute() {
        let faults = Faults::default();
        let at = |seconds: u64| Timestamp(seconds * 1_000_000_000);
        let told = (0..200).filter(|_| faults.may_tell(at(119))).count();
        assert_eq!(told as u64, FAULTS_MAX);
        assert!(faults.may_tell(at(120)), "the next minute");
    }
}

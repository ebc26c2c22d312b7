//! The server: routes, limits, and who may call what.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};
use identity::{People, Proofs};
use model::limit::{ANSWERS_WAITED_FOR_MAX, AUDIT_QUESTIONS_MAX, CLICK_BYTES_MAX};
use model::{Secret, SessionId};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::audit::Audit;
use crate::auth::{self, Faults};
use crate::bound::{Bounded, Patience, Peer};
use crate::clicks::Slack;
use crate::control::Control;
use crate::error::ApiError;
use crate::others;
use crate::pages;
use crate::routes::{
    access, approvals, audit, gateway, grants, health, holds, sessions, slack, tokens, whoami,
};
use crate::saml::Saml;

/// Longest body of a request, bytes: the longest statement, to explain it, and some room.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Names and values of a request's headers together, bytes.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Longest time a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What the API is made of.
pub struct AdminParts {
    /// The store of the gateway.
    pub store: Arc<Store>,
    /// Who is believed.
    pub proofs: Arc<Proofs>,
    /// People who sign in.
    pub people: Arc<People>,
    /// Those who do so by SAML.
    pub saml: Arc<Saml>,
    /// The running gateway.
    pub control: Arc<dyn Control>,
    /// What believes clicks in Slack.
    pub slack: Arc<dyn Slack>,
    /// The admin token; see [`crate::admin_token`].
    pub admin_token: Secret<String>,
    /// Version of the build, for metrics.
    pub version: &'static str,
}

/// The API, ready to serve.
pub struct Admin {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub store: Arc<Store>,
    pub proofs: Arc<Proofs>,
    pub people: Arc<People>,
    pub saml: Arc<Saml>,
    pub control: Arc<dyn Control>,
    pub slack: Arc<dyn Slack>,
    pub admin_token: Secret<String>,
    pub audit: Audit,
    pub version: &'static str,
    /// Turns to look into the recordings.
    pub questions: Arc<Semaphore>,
    /// Faults of tokens that were logged.
    pub faults: Faults,
    /// Refusals for want of a role that were recorded.
    pub refusals: Faults,
    /// Calls that were refused, and logged.
    pub refused: Faults,
    /// Turns to wait for an answer, so that those who wait leave room for those who answer.
    pub waits: Semaphore,
    /// Tells of every change of an approval request.
    pub changes: watch::Sender<()>,
}

impl Shared {
    pub fn is_live(&self, id: &SessionId) -> bool {
        self.store.live.session(id).is_some()
    }

    /// Why new sessions would not be served.
    pub fn unready(&self) -> Vec<String> {
        let mut reasons = self.control.unready();
        // Without traffic nobody else would find out that a full disk has room again.
        let written = match self.control.journal_failing() {
            true => self.audit.probe(self.control.now()),
            false => self.store.journal.sync(),
        };
        if let Err(error) = written {
            reasons.push(format!("the journal cannot be written: {error}"));
        }
        reasons.extend(self.store.peers.as_ref().and_then(|peers| peers.fault()));
        if let Err(error) = self.store.index.check() {
            reasons.push(format!("the state database cannot be used: {error}"));
        }
        reasons
    }
}

impl Shared {
    /// The ways for people to sign in.
    pub fn methods(&self) -> Vec<identity::Method> {
        let mut methods = self.people.methods();
        methods.extend(self.saml.methods());
        methods
    }
}

impl Admin {
    /// The API over its parts.
    #[must_use]
    pub fn new(parts: AdminParts) -> Self {
        let AdminParts { store, proofs, people, saml, control, slack, admin_token, version } =
            parts;
        let audit =
            Audit { journal: Arc::clone(&store.journal), gateway: Arc::clone(&store.gateway) };
        let questions = Arc::new(Semaphore::new(AUDIT_QUESTIONS_MAX));
        let changes = watch::Sender::new(());
        let changed = changes.clone();
        store.approvals.observe(Box::new(move |_| {
            changed.send_replace(());
        }));
        let shared = Shared {
            store,
            proofs,
            people,
            saml,
            control,
            slack,
            admin_token,
            audit,
            version,
            questions,
            faults: Faults::default(),
            refusals: Faults::default(),
            refused: Faults::default(),
            waits: Semaphore::new(ANSWERS_WAITED_FOR_MAX),
            changes,
        };
        let shared = Arc::new(shared);
        others::attend(&shared);
        Self { shared }
    }

    /// Serves until `stop` is done, then answers what is under way and returns.
    ///
    /// # Errors
    ///
    /// When the listener cannot be used.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let service = self.router().into_make_service_with_connect_info::<Peer>();
        axum::serve(Bounded::new(listener, Patience::default()), service)
            .with_graceful_shutdown(stop)
            .await
    }

    fn router(self) -> Router {
        let shared = self.shared;
        let guarded = Router::new()
            .route("/api/v1/tokens", post(tokens::create).get(tokens::list))
            .route("/api/v1/tokens/{id}", delete(tokens::revoke))
            .route("/api/v1/sessions", get(sessions::list))
            .route("/api/v1/sessions/{id}", get(sessions::show))
            .route("/api/v1/sessions/{id}/events", get(sessions::events))
            .route("/api/v1/sessions/{id}/kill", post(sessions::kill))
            .route("/api/v1/audit/who", get(audit::who))
            .route("/api/v1/audit/fields", get(audit::fields))
            .route("/api/v1/audit/pii", get(audit::pii))
            .route("/api/v1/audit/search", post(audit::search))
            .route("/api/v1/audit/erase", post(audit::erase))
            .route("/api/v1/audit/hold", post(holds::hold))
            .route("/api/v1/audit/release", post(holds::release))
            .route("/api/v1/audit/holds", get(holds::holds))
            .route("/api/v1/audit/rewrap", post(audit::rewrap))
            .route("/api/v1/audit/reindex", post(audit::reindex))
            .route("/api/v1/resources", get(gateway::resources))
            .route("/api/v1/gateways", get(gateway::gateways))
            .route("/api/v1/reload", post(gateway::reload))
            .route("/api/v1/explain", post(gateway::explain))
            .route("/api/v1/access", get(access::list))
            .route("/api/v1/access/requests", post(access::request))
            .route("/api/v1/access/who-can", get(access::who_can))
            .route("/api/v1/access/what-can", get(access::what_can))
            .route("/api/v1/approvals", get(approvals::list))
            .route("/api/v1/approvals/{id}", get(approvals::show))
            .route("/api/v1/approvals/{id}/approve", post(approvals::approve))
            .route("/api/v1/approvals/{id}/deny", post(approvals::deny))
            .route("/api/v1/approvals/{id}/revoke", post(approvals::revoke))
            .route("/api/v1/whoami", get(whoami::whoami))
            .route("/api/v1/logout", post(whoami::logout))
            // Unknown paths too: nothing under /api answers without a token.
            .route("/api/{*rest}", axum::routing::any(unknown))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&shared), auth::guard));
        let of_slack = Router::new()
            .route("/slack/actions", post(slack::actions))
            .layer(DefaultBodyLimit::max(CLICK_BYTES_MAX));
        let for_programs = Router::new()
            .route("/oauth/device_authorization", post(grants::device_authorization))
            .route("/oauth/token", post(grants::token));
        let for_all = Router::new()
            .route("/healthz", get(health::healthz))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(health::metrics))
            .route("/openapi.json", get(health::openapi));
        guarded
            .merge(for_all)
            .merge(of_slack)
            .merge(for_programs)
            .merge(pages::routes(&shared))
            .fallback(unknown)
            .method_not_allowed_fallback(wrong_method)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn(limit))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), watch))
            .with_state(shared)
    }
}

async fn unknown(request: Request) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", request.uri().path()))
        .help("see /openapi.json for what there is")
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!("{} is not for {}", request.uri().path(), request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message)
        .help("see /openapi.json for what there is")
}

/// Bounds a request's headers and time, and keeps answers out of caches.
async fn limit(request: Request, next: Next) -> Result<Response, ApiError> {
    let bytes: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if bytes + path > HEADER_BYTES_MAX {
        let message = format!("headers and address have {} bytes", bytes + path);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(ApiError::new(status, "too_large", message)
            .help(format!("the limit is {HEADER_BYTES_MAX}")));
    }
    // Told before it is sent; a body that does not say its length is cut off while it is read.
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        let message = format!("the body has more than {BODY_BYTES_MAX} bytes");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message));
    }
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(mut response) => {
            let value = HeaderValue::from_static("no-store");
            response.headers_mut().insert(header::CACHE_CONTROL, value);
            Ok(response)
        }
        Err(_) => {
            let message = format!("the request took longer than {} s", REQUEST_TIMEOUT.as_secs());
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", message))
        }
    }
}

/// Logs refused calls: someone may be guessing, and must not fill the log by it.
async fn watch(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        && shared.refused.may_tell(shared.control.now())
    {
        let status = response.status().as_u16();
        tracing::warn!(%method, path, status, "an administrative request was refused");
    }
    response
}

//! Bodies and queries, with errors in the API's own words.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::bound::Peer;
use crate::error::ApiError;
use crate::server::Shared;

/// A JSON body.
pub(crate) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let message = "the body is too large";
                Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message))
            }
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(ApiError::invalid("the body is not JSON")
                    .help("send it with Content-Type: application/json"))
            }
            Err(rejection) => Err(ApiError::invalid(rejection.body_text())
                .help("see /openapi.json for what this route takes")),
        }
    }
}

/// A query string.
pub(crate) struct Ask<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Ask<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(ApiError::invalid(rejection.body_text())
                .help("see /openapi.json for what this route takes")),
        }
    }
}

/// The fields of a form; each may come once.
pub(crate) struct Form(Vec<(String, String)>);

/// Most fields of a form.
const FIELDS_MAX: usize = 32;
/// Longest form, bytes.
const FORM_BYTES_MAX: usize = 64 * 1024;

impl Form {
    /// Reads a body or a query.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        Self::read_up_to(body, FORM_BYTES_MAX)
    }

    /// The same, of a form that may be as long as that, bytes.
    pub fn read_up_to(body: &[u8], most: usize) -> Result<Self, ApiError> {
        let mut fields: Vec<(String, String)> = Vec::new();
        if body.len() > most {
            return Err(ApiError::invalid(format!("the form has {} bytes", body.len()))
                .help(format!("send at most {most}")));
        }
        for (name, value) in url::form_urlencoded::parse(body) {
            // Of two, one could be looked at and the other one used.
            if fields.iter().any(|(known, _)| *known == name) || fields.len() == FIELDS_MAX {
                return Err(ApiError::invalid("a field comes twice, or there are too many")
                    .help("send each field once"));
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(fields))
    }

    /// A field that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }
}

/// Where a request comes from that carries secrets and no token, once it may be looked at.
pub(crate) struct Source(pub String);

impl FromRequestParts<Arc<Shared>> for Source {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>().map(|peer| peer.0.0.ip());
        // R16: this listener has no TLS, so what came over the network could have been read.
        let peer = peer.map(|peer| peer.to_canonical()).filter(|peer| peer.is_loopback());
        let peer = peer.ok_or_else(|| {
            ApiError::forbidden(
                "insecure",
                "people sign in from this machine only, because this address has no TLS",
            )
            .help(
                "put a TLS proxy on the gateway's machine in front of it, and set \
                   identity.login.url",
            )
        })?;
        // Behind a proxy everybody comes from this machine; what it adds itself stands last.
        let behind = shared.people.plan().is_some_and(|plan| plan.is_tls());
        let said = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let said = said.filter(|_| behind).and_then(|value| value.to_str().ok());
        let last = said.and_then(|said| said.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
        Ok(Self(identity::network(last.unwrap_or(peer)).to_string()))
    }
}

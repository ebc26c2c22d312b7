//! What the configuration says about an upstream.

use std::path::PathBuf;
use std::sync::Arc;

use model::{Resource, UpstreamTls};
use policy::PayloadPolicy;
use secrets::{CredentialSource, SecretSource};

/// How to reach one registered upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResourcePlan {
    /// Its name and type.
    pub resource: Resource,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: UpstreamTls,
    /// Certificates trusted besides the operating system's (PEM), for `verify-full`.
    pub ca_file: Option<PathBuf>,
    /// Account name at the upstream.
    pub user: String,
    /// Its password, when it has one.
    pub password: Option<SecretSource>,
    /// Where account and password are made for each session, in place of those above.
    pub credentials: Option<CredentialSource>,
    /// Database (or other container) to open.
    pub database: String,
    /// The resource's protocol-specific settings, as configured.
    pub options: Arc<serde_json::Value>,
    /// What happens to operations while the journal cannot take their records.
    pub on_failure: OnFailure,
    /// How much of replies is recorded.
    pub payload: PayloadPolicy,
}

/// What happens to operations while the journal cannot take their records (P5).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnFailure {
    /// They are refused.
    #[default]
    Refuse,
    /// They pass unrecorded; the record says so, with their number, once it works again.
    Continue,
}

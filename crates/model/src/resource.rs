//! What can be reached.

use std::sync::Arc;

use crate::text::Secret;

/// A registered upstream, without its secrets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resource {
    /// Its name in the configuration; what clients ask for.
    pub name: Arc<str>,
    /// Its type: the name of the protocol that speaks to it.
    pub kind: Arc<str>,
}

/// How the connection to an upstream is protected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UpstreamTls {
    /// Clear text.
    Off,
    /// Encrypted; the certificate is not checked.
    Require,
    /// Encrypted; the certificate must chain to a trusted root and name the host.
    #[default]
    VerifyFull,
}

/// What the gateway proves itself with to an upstream. The client never sees it (P7).
#[derive(Clone, Debug)]
pub struct Credential {
    /// Account name at the upstream.
    pub user: String,
    /// Its password, when it has one.
    pub password: Option<Secret<String>>,
    /// Database (or other container) to open.
    pub database: String,
}

//! What can be reached.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::text::Secret;

/// Whether a host, as addresses write it, is the machine itself, so that nobody can listen on the
/// way (R16). A name other than `localhost` is not looked up: whoever answers for it may change.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

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
    /// How long it is good, when it was made for whoever uses it.
    pub made: Option<Made>,
}

/// A credential that was made for one session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Made {
    /// What the store that made it calls it.
    pub lease: Arc<str>,
    /// How long it lasts without being renewed.
    pub lasts: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_and_localhost_are_this_machine() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "0.0.0.0", "10.0.0.1", "[::]", "[::1", "127.1", "localhost.example"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}

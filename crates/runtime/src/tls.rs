//! TLS on both sides: what the gateway shows to clients and what it accepts from upstreams.
//!
//! rustls with the aws-lc-rs provider and nothing else; TLS 1.2 and 1.3.

mod authority;
mod client;
mod client_certificate;
mod server;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use authority::Authority;
pub use client::client_config;
pub(crate) use client::web_client_config;
pub use client_certificate::Asks;
pub(crate) use server::for_web;
pub use server::server_config_from;

/// Names of what is spoken inside TLS (ALPN), as registered with IANA: what clients may give and
/// what upstreams are told. A client that asks for something else, a browser say, is turned away in
/// the handshake; one that asks for nothing is let in.
const APPLICATION_PROTOCOLS: [&[u8]; 1] = [b"postgresql"];

/// The same for HTTP, the better version first.
pub(crate) const WEB_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why TLS could not be prepared. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be made, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What was found and what would be right.
        problem: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused the configuration.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// There is nothing to check a server's certificate against.
    #[error(
        "no trusted certificates: the operating system has none and the resource names no ca file"
    )]
    NoRoots,
}

impl TlsError {
    fn content(path: &std::path::Path, problem: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), problem: problem.into() }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

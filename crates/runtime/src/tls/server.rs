//! What clients are shown.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::client_certificate::{Asks, Shown};
use super::{APPLICATION_PROTOCOLS, TlsError, WEB_PROTOCOLS, provider};

/// A configuration for listeners from a certificate chain and its key, both PEM.
///
/// # Errors
///
/// When a file cannot be read, holds no certificate or key, or the two do not belong together.
pub fn server_config_from(
    cert_file: &Path,
    key_file: &Path,
    asks: Asks,
) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let wrong = |what: &str, error: rustls_pki_types::pem::Error| format!("no PEM {what}: {error}");
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect)
        .map_err(|error| TlsError::content(cert_file, wrong("certificate", error)))?;
    if chain.is_empty() {
        return Err(TlsError::content(cert_file, "holds no PEM certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| TlsError::content(key_file, wrong("private key", error)))?;
    config(chain, key, Some(asks)).map_err(|error| TlsError::content(key_file, error.to_string()))
}

/// The same for a listener that speaks HTTP.
pub(crate) fn for_web(config: &rustls::ServerConfig) -> Arc<rustls::ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = WEB_PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

pub(super) fn web_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    config(chain, key, None).map(|config| for_web(&config))
}

pub(super) fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    asks: Option<Asks>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?;
    let builder = match asks {
        Some(asks) => builder.with_client_cert_verifier(Arc::new(Shown::new(asks))),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = APPLICATION_PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    // A resumed session would skip nothing that matters here and costs memory per client.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

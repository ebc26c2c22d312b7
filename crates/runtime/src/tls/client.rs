//! What is accepted from upstreams.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use model::UpstreamTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{APPLICATION_PROTOCOLS, TlsError, provider};

/// A configuration for connections to an upstream; `None` where none is wanted.
///
/// `verify-full` trusts the operating system's roots and the certificates of `ca_file`, and checks
/// the host name. `require` encrypts and checks nothing, so anyone on the path can read along.
///
/// # Errors
///
/// When `ca_file` cannot be read or holds no certificate, or nothing is trusted at all.
pub fn client_config(
    tls: UpstreamTls,
    ca_file: Option<&Path>,
) -> Result<Option<Arc<rustls::ClientConfig>>, TlsError> {
    let provider = provider();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut config = match tls {
        UpstreamTls::Off => return Ok(None),
        UpstreamTls::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificateUnverified(provider)))
            .with_no_client_auth(),
        UpstreamTls::VerifyFull => {
            builder.with_root_certificates(roots(ca_file)?).with_no_client_auth()
        }
    };
    // PostgreSQL insists on it where the handshake comes first, and ignores it before version 17.
    config.alpn_protocols = APPLICATION_PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    // Upstreams are few and stay connected; a kept session would outlive a changed ca file.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Some(Arc::new(config)))
}

/// The same for an upstream that speaks one of these versions of HTTP.
///
/// # Errors
///
/// As [`client_config`].
pub(crate) fn web_client_config(
    tls: UpstreamTls,
    ca_file: Option<&Path>,
    versions: &[&[u8]],
) -> Result<Option<Arc<rustls::ClientConfig>>, TlsError> {
    let Some(config) = client_config(tls, ca_file)? else { return Ok(None) };
    let mut config = (*config).clone();
    config.alpn_protocols = versions.iter().map(|name| name.to_vec()).collect();
    config.resumption = rustls::client::Resumption::in_memory_sessions(64);
    Ok(Some(Arc::new(config)))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = system_roots().clone();
    if let Some(path) = ca_file {
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| TlsError::content(path, format!("no PEM certificate: {error}")))?;
        if certificates.is_empty() {
            return Err(TlsError::content(path, "holds no PEM certificate"));
        }
        for certificate in certificates {
            store.add(certificate).map_err(|error| TlsError::content(path, error.to_string()))?;
        }
    }
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}

/// The operating system's roots, read once.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a root certificate of the operating system cannot be read");
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        store
    })
}

/// Takes any certificate whose key the server has. Only for `tls: require`.
#[derive(Debug)]
struct AnyCertificateUnverified(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificateUnverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

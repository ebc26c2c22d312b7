//! Whose certificates are believed.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::sink::UnusableSink;

/// The roots of the operating system, and more from a file if one is given.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// More certificates to trust, PEM.
    pub more: Option<Vec<u8>>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Trust {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, UnusableSink> {
        let mut found = rustls_native_certs::load_native_certs().certs;
        if let Some(pem) = &self.more {
            let more: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            let more = more.ok().filter(|more| !more.is_empty());
            found.extend(more.ok_or_else(|| {
                UnusableSink("the file of certificates to trust holds none in PEM".to_owned())
            })?);
        }
        match found.is_empty() {
            true => Err(UnusableSink("there is no root certificate to trust".to_owned())),
            false => Ok(found),
        }
    }

    pub(crate) fn of_http(&self) -> Result<TlsConfig, UnusableSink> {
        let found = self.certificates()?;
        let roots: Vec<Certificate<'static>> =
            found.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(provider())
            .build())
    }

    pub(crate) fn of_tls(&self) -> Result<Arc<ClientConfig>, UnusableSink> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.certificates()?);
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| UnusableSink(error.to_string()))?;
        Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }
}

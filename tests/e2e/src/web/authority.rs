//! A certificate authority for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority whose certificate lies in a file, and which vouches for origins.
#[derive(Debug)]
pub struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    path: PathBuf,
}

impl Authority {
    /// Makes one, and writes its certificate to `ca.pem` in this folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(dir: &Path) -> Result<Self> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(Vec::new())?;
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "e2e origins CA");
        let path = dir.join("ca.pem");
        fs::write(&path, params.self_signed(&key)?.pem())?;
        Ok(Self { issuer: rcgen::Issuer::new(params, key), path })
    }

    /// The file with its certificate, PEM.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a server with these names (wildcards and addresses are names, too) serves TLS with;
    /// both HTTP/2 and HTTP/1.1 are offered.
    ///
    /// # Errors
    /// A name is none.
    pub fn server(&self, names: &[&str]) -> Result<Arc<ServerConfig>> {
        let (leaf, key) = self.leaf(names)?;
        let leaf: CertificateDer<'static> = leaf.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).ok().context("a key")?;
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// A certificate for a server with these names, and its key, both PEM.
    ///
    /// # Errors
    /// A name is none.
    pub fn pem(&self, names: &[&str]) -> Result<(String, String)> {
        let (leaf, key) = self.leaf(names)?;
        Ok((leaf.pem(), key.serialize_pem()))
    }

    /// Writes `origin.pem`, a certificate with these names and its key, beside its own; for servers
    /// that are not in the test's process.
    ///
    /// # Errors
    /// A name is none, or the file cannot be written.
    pub fn write(&self, names: &[&str]) -> Result<()> {
        let (leaf, key) = self.leaf(names)?;
        let path = self.path.with_file_name("origin.pem");
        Ok(fs::write(path, leaf.pem() + &key.serialize_pem())?)
    }

    fn leaf(&self, names: &[&str]) -> Result<(rcgen::Certificate, rcgen::KeyPair)> {
        let key = rcgen::KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut leaf = rcgen::CertificateParams::new(names)?;
        leaf.distinguished_name.push(rcgen::DnType::CommonName, "e2e origin");
        Ok((leaf.signed_by(&key, &self.issuer)?, key))
    }
}

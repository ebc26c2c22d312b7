//! The local certificate authority, for gateways that were given no certificate.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::client_certificate::Asks;
use super::{TlsError, server};

const DAY: Duration = Duration::from_secs(86_400);
/// The authority outlives what it signs; clients install its certificate once.
const AUTHORITY_DAYS: u32 = 3650;
/// Longest life that common clients accept for a certificate of a private authority.
const CERTIFICATE_DAYS: u32 = 397;
/// Life of a certificate made for a name that a client asked for.
const LEAF_DAYS: u32 = 3;
/// Certificates begin in the past, so that a client whose clock is late accepts them.
const BACKDATED_DAYS: u32 = 1;

/// A certificate authority whose key stays in the data folder.
///
/// It can sign for any name: whoever installs its certificate trusts the owner of the data folder.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    path: PathBuf,
    /// The key of every certificate made for a name that a client asked for; never written.
    leaf_key: KeyPair,
}

impl Authority {
    /// Opens `data_dir/ca/{ca.pem,ca.key}`, making both (the key 0600) if neither is there.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or made, one of the two is missing, the key can be read by
    /// others, or they do not belong together.
    pub fn open(data_dir: &Path) -> Result<Self, TlsError> {
        let folder = data_dir.join("ca");
        let (path, key_path) = (folder.join("ca.pem"), folder.join("ca.key"));
        match (path.exists(), key_path.exists()) {
            (true, true) => {}
            (false, false) => make(&folder, &path, &key_path)?,
            (true, false) => return Err(half(&key_path, &path)),
            (false, true) => return Err(half(&path, &key_path)),
        }
        let mode = fs::metadata(&key_path).map_err(failed("look at", &key_path))?;
        let mode = mode.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let problem = format!("can be read by others (mode {mode:03o}); run: chmod 600");
            return Err(TlsError::content(&key_path, problem));
        }
        let certificate = CertificateDer::from_pem_file(&path)
            .map_err(|error| TlsError::content(&path, format!("no PEM certificate: {error}")))?;
        let text = fs::read_to_string(&key_path).map_err(failed("read", &key_path))?;
        let text = model::Secret::new(text);
        let key = KeyPair::from_pem(text.expose())
            .map_err(|error| TlsError::content(&key_path, format!("no PEM key: {error}")))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| TlsError::content(&path, format!("no authority: {error}")))?;
        Ok(Self { issuer, certificate, path, leaf_key: KeyPair::generate()? })
    }

    /// Where its certificate is: what clients install (`narrows ca` prints it).
    #[must_use]
    pub fn certificate_path(&self) -> &Path {
        &self.path
    }

    /// A configuration for a client that means to reach `name`, a host name or an address: HTTP/2
    /// and HTTP/1.1, under a certificate for that name alone, good for three days.
    ///
    /// # Errors
    ///
    /// When `name` cannot stand in a certificate.
    pub fn leaf(&self, name: &str) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = named("Narrows egress");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params, LEAF_DAYS);
        let certificate = params.signed_by(&self.leaf_key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()));
        Ok(server::web_config(chain, key)?)
    }

    /// A configuration for listeners, with a fresh certificate for `localhost`, the loopback
    /// addresses, this machine's host name and `names` (host names or addresses). The certificate's
    /// key is never written anywhere; the certificate is good for 397 days.
    pub fn server_config(
        &self,
        names: &[String],
        asks: Asks,
    ) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        for name in names.iter().cloned().chain(host_name()) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        let mut params = CertificateParams::new(all)?;
        params.distinguished_name = named("Narrows gateway");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params, CERTIFICATE_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(server::config(chain, key, Some(asks))?)
    }
}

fn make(folder: &Path, path: &Path, key_path: &Path) -> Result<(), TlsError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("make the folder", folder))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Narrows local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasting(&mut params, AUTHORITY_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    // The key first: if the second write fails, the next start says which half is missing.
    write(key_path, model::Secret::new(key.serialize_pem()).expose(), 0o600)?;
    write(path, &certificate.pem(), 0o644)
}

fn lasting(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = now.checked_sub(DAY.saturating_mul(BACKDATED_DAYS)).unwrap_or(now).into();
    params.not_after = now.checked_add(DAY.saturating_mul(days)).unwrap_or(now).into();
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Narrows");
    name.push(DnType::CommonName, common_name);
    name
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed("make", path))?;
    file.write_all(text.as_bytes()).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("write", path))
}

fn half(missing: &Path, present: &Path) -> TlsError {
    let problem = format!(
        "missing, although {} is there; restore it, or remove both to begin a new authority",
        present.display()
    );
    TlsError::content(missing, problem)
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> TlsError + 'a {
    move |source| TlsError::Io { action, path: path.to_owned(), source }
}

/// This machine's own name, when it has one that can stand in a certificate.
fn host_name() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}

//! A key pair: the gateway writes with the public half and cannot read what it wrote.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

use crate::data_key::DataKey;
use crate::encryption::{KeyContext, KeyEncryption, Wrapped};
use crate::error::SealError;
use crate::local::data_key;

const ID_BYTES: usize = 16;

/// An RSA public key of 2048 to 8192 bits, which wraps data keys by RSA-OAEP with SHA-256 for both
/// hash and mask (RFC 8017, section 7.1); the context is the label. It cannot unwrap.
///
/// Its id is `rsa:` and the first 32 hexadecimal digits of SHA-256 over the key as a
/// `SubjectPublicKeyInfo` (RFC 5280), what `openssl pkey -pubin -outform der | sha256sum` prints.
pub struct PublicKey {
    id: String,
    key: OaepPublicEncryptingKey,
}

/// The other half of a [`PublicKey`], with the same id. Wraps too.
pub struct PrivateKey {
    public: PublicKey,
    key: OaepPrivateDecryptingKey,
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`. `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): no PEM, something else in it, not RSA, too short.
    pub fn from_pem(name: &str, pem: &[u8]) -> Result<Self, SealError> {
        let der = section(name, pem, SectionKind::PublicKey)?;
        let key = PublicEncryptingKey::from_der(&der)
            .map_err(|why| unusable(name, format!("no RSA key of 2048 to 8192 bits: {why}")))?;
        Self::new(key)
    }

    fn new(key: PublicEncryptingKey) -> Result<Self, SealError> {
        let failed = |_| SealError::Library { what: "use an RSA key" };
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.as_der().map_err(failed)?;
        let digest = digest::digest(&digest::SHA256, der.as_ref());
        let digits = digest.as_ref().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}"));
        let id = format!("rsa:{}", digits.collect::<String>());
        Ok(Self { id, key: OaepPublicEncryptingKey::new(key).map_err(failed)? })
    }
}

impl KeyEncryption for PublicKey {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, key: &DataKey, context: &KeyContext<'_>) -> Result<Wrapped, SealError> {
        let mut wrapped = vec![0; self.key.ciphertext_size()];
        let label = context.bytes();
        let length = self
            .key
            .encrypt(&OAEP_SHA256_MGF1SHA256, key.expose(), &mut wrapped, Some(&label))
            .map_err(|_| SealError::Library { what: "wrap a data key" })?
            .len();
        wrapped.truncate(length);
        Ok(Wrapped { key_id: self.id.clone(), bytes: wrapped })
    }

    fn unwrap(&self, _: &Wrapped, _: &KeyContext<'_>) -> Result<DataKey, SealError> {
        Err(SealError::OnlySeals { key_id: self.id.clone() })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id).finish()
    }
}

impl PrivateKey {
    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS #8, RFC 5958), unencrypted. `name` is what errors
    /// call it; `pem` stays with the caller, who should wipe it.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): no PEM, something else in it, not RSA, too short.
    pub fn from_pem(name: &str, pem: &[u8]) -> Result<Self, SealError> {
        let der = section(name, pem, SectionKind::PrivateKey)?;
        let key = PrivateDecryptingKey::from_pkcs8(&der)
            .map_err(|why| unusable(name, format!("no RSA key of 2048 to 8192 bits: {why}")))?;
        let public = PublicKey::new(key.public_key())?;
        let key = OaepPrivateDecryptingKey::new(key)
            .map_err(|_| SealError::Library { what: "use an RSA key" })?;
        Ok(Self { public, key })
    }
}

impl KeyEncryption for PrivateKey {
    fn id(&self) -> &str {
        &self.public.id
    }

    fn wrap(&self, key: &DataKey, context: &KeyContext<'_>) -> Result<Wrapped, SealError> {
        self.public.wrap(key, context)
    }

    fn unwrap(&self, wrapped: &Wrapped, context: &KeyContext<'_>) -> Result<DataKey, SealError> {
        let refused = || SealError::NotUnwrapped { key_id: self.public.id.clone() };
        let mut room = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let label = context.bytes();
        let unwrapped = self
            .key
            .decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped.bytes, &mut room, Some(&label))
            .map_err(|_| refused())?;
        data_key(unwrapped).ok_or_else(refused)?
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateKey").field(&self.public.id).finish()
    }
}

fn unusable(name: &str, why: impl Into<String>) -> SealError {
    SealError::Unusable { key: name.to_owned(), why: why.into() }
}

/// The one section of a PEM file, which has to be of a kind.
fn section(name: &str, pem: &[u8], kind: SectionKind) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let wanted = match kind {
        SectionKind::PublicKey => "BEGIN PUBLIC KEY (made by `openssl pkey -in KEY -pubout`)",
        _ => "BEGIN PRIVATE KEY, unencrypted (made by `openssl pkey -in KEY`)",
    };
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
    let Some(first) = sections.next() else {
        return Err(unusable(name, format!("there is no PEM that is known; wanted: {wanted}")));
    };
    // The parser's error quotes the text, which here may be a key.
    let (found, der) = first.map_err(|_| unusable(name, format!("bad PEM; wanted: {wanted}")))?;
    let der = Zeroizing::new(der);
    if found != kind {
        return Err(unusable(name, format!("it holds {found:?}; wanted: {wanted}")));
    }
    if sections.next().is_some() {
        return Err(unusable(name, format!("it holds more than one thing; wanted: {wanted}")));
    }
    Ok(der)
}

//! From a configuration to the keys that seal recordings, and to those that open them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use model::Secret;
use runtime::SecretSource;
use seal::{
    AwsKms, AwsKmsOptions, KeyEncryption, Keys, LocalKey, PrivateKey, PublicKey, RemoteOptions,
    VaultOptions, VaultTransit,
};
use store::{InstallationKey, JournalKey};

use crate::config::Config;
use crate::config::recording::{Encryption, SealingKey};
use crate::config::scalar::SecretForm;
use crate::wire;

/// The keys that a configuration names.
pub async fn keys(encryption: &Encryption) -> anyhow::Result<Arc<Keys>> {
    let current: Arc<dyn KeyEncryption> = match &encryption.by {
        SealingKey::Local(form) => opening(&form.describe(), &content(form).await?)?,
        SealingKey::Public(path) => {
            let name = path.display().to_string();
            let pem = std::fs::read(path).with_context(|| format!("read {name}"))?;
            Arc::new(PublicKey::from_pem(&name, &pem)?)
        }
        SealingKey::Vault(address, mount, key, token) => {
            let source = wire::secret(token);
            // Asked on a thread of the archive, where waiting is fine.
            let token = move || fetch(&source);
            Arc::new(VaultTransit::new(VaultOptions {
                address: address.clone(),
                mount: mount.clone(),
                key: key.clone(),
                namespace: None,
                token: Box::new(token),
                remote: RemoteOptions::default(),
            })?)
        }
        SealingKey::Kms(key) => Arc::new(AwsKms::new(AwsKmsOptions::from_environment(key))?),
    };
    let mut keys = Keys::new(current);
    for form in &encryption.also {
        keys.also.push(opening(&form.describe(), &content(form).await?)?);
    }
    Ok(Arc::new(keys))
}

/// The key of a file: 32 bytes in one of their forms, or an RSA private key.
pub fn key_of_file(path: &Path) -> anyhow::Result<Arc<Keys>> {
    Ok(Arc::new(Keys::new(former_key(path)?)))
}

/// The key of a file that shall wrap: as [`key_of_file`], or an RSA public key.
pub fn wrapping_key(path: &Path) -> anyhow::Result<Arc<dyn KeyEncryption>> {
    let name = path.display().to_string();
    let content = Secret::new(std::fs::read(path).with_context(|| format!("read {name}"))?);
    if content.expose().starts_with(b"-----BEGIN PUBLIC") {
        return Ok(Arc::new(PublicKey::from_pem(&name, content.expose())?));
    }
    opening(&name, &content)
}

/// The key of a file that shall open, beside others.
pub fn former_key(path: &Path) -> anyhow::Result<Arc<dyn KeyEncryption>> {
    let name = path.display().to_string();
    let content = Secret::new(std::fs::read(path).with_context(|| format!("read {name}"))?);
    opening(&name, &content)
}

/// What was wrapped anew, as it is told.
pub fn rewrapped(done: archive::rewrap::Rewrapped) -> admin::Rewrapped {
    let archive::rewrap::Rewrapped { unopened, .. } = &done;
    let unopened = unopened.iter().map(|of| admin::Unopened {
        key_id: of.key_id.clone(),
        keys: of.keys,
        why: of.why.clone(),
    });
    admin::Rewrapped {
        unopened: unopened.collect(),
        current: done.current,
        segments: done.segments,
        rewrapped: done.rewrapped,
        already: done.already,
        unread: done.unread,
        more: done.more,
        next: done.next,
    }
}

/// The key of the journal on this machine, where no gateway is asked; `None` where none was ever
/// made. An error says why it cannot be had.
pub fn journal_key(config: &Config) -> Result<Option<JournalKey>, String> {
    let key = match &config.installation_key {
        Some(form) => {
            let text = fetch(&wire::secret(form));
            let text = text.map_err(|error| format!("keys.installation: {error}"))?;
            InstallationKey::from_bytes(text.expose().as_bytes()).map(Some)
        }
        None => InstallationKey::find(&config.data_dir),
    };
    Ok(key.map_err(|error| error.to_string())?.as_ref().map(JournalKey::of))
}

fn opening(name: &str, content: &Secret<Vec<u8>>) -> anyhow::Result<Arc<dyn KeyEncryption>> {
    let bytes = content.expose();
    if bytes.starts_with(b"-----BEGIN PUBLIC") {
        bail!("{name} holds a public key, which only seals; the private one opens");
    }
    Ok(match bytes.starts_with(b"-----BEGIN") {
        true => Arc::new(PrivateKey::from_pem(name, bytes)?),
        false => Arc::new(LocalKey::parse(name, bytes)?),
    })
}

async fn content(form: &SecretForm) -> anyhow::Result<Secret<Vec<u8>>> {
    // Read as bytes: a key may be 32 raw ones.
    if let SecretForm::File(path) = form {
        let read = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        return Ok(Secret::new(read));
    }
    let text = wire::secret(form).fetch().await.context("recording.encryption")?;
    Ok(Secret::new(text.expose().clone().into_bytes()))
}

fn fetch(source: &SecretSource) -> Result<Secret<String>, String> {
    source.fetch_here()
}

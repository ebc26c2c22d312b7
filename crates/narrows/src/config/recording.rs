//! `recording`: what is kept, where, for how long, under whose key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::bucket::{BucketError, Location as Place};
use archive::{LockMode, Retention, StoreEncryption};
use detect::DetectionType;

use super::address::{self, Carries};
use super::keeping::{self, Archive};
use super::machine::Machine;
use super::nearest::nearest;
use super::outgoing::{self, Outgoing};
use super::read::{At, Report};
use super::scalar::{OnFailureForm, Payload, SecretForm};
use super::text;
use super::tree::quoted;
use super::working::{check_file, relative_secret};

/// See `recording.archive_every`.
const ARCHIVE_EVERY_DEFAULT: Duration = Duration::from_secs(60);
const ARCHIVE_EVERY_MIN: Duration = Duration::from_secs(1);
const ARCHIVE_EVERY_MAX: Duration = Duration::from_secs(60 * 60);
/// See `recording.keep_journal`.
const KEEP_JOURNAL_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
/// See `recording.sync`.
const SYNC_DEFAULT: Duration = Duration::from_millis(50);

/// What is recorded, and how safely.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Where the archive is; `None` when there is to be none.
    pub store: Option<Place>,
    /// How often it is brought up to date.
    pub archive_every: Duration,
    /// How long the journal keeps what is in it.
    pub keep_journal: Duration,
    /// Whose key seals what was said.
    pub encryption: Option<Encryption>,
    /// How long the store keeps it from being changed or deleted.
    pub retention: Option<Retention>,
    /// How the store itself encrypts it.
    pub store_encryption: Option<StoreEncryption>,
    /// Types of sensitive values that are taken out of texts and parameters in the record.
    pub scrub: Vec<DetectionType>,
    /// How often the journal is synced.
    pub sync: Duration,
    /// How much of replies is kept.
    pub payload: Payload,
    /// What happens when the record cannot be written.
    pub on_failure: OnFailureForm,
    /// What of it goes elsewhere.
    pub outgoing: Outgoing,
}

/// How a resource is recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Recorded {
    /// What happens when the record cannot be written.
    pub on_failure: OnFailureForm,
    /// How much of its replies is kept.
    pub payload: Payload,
}

impl Recorded {
    /// As the resource says, and where it says nothing, as everything is.
    pub fn of(form: Option<text::ResourceRecording>, all: &Recording) -> Self {
        let (on_failure, payload) = form.map_or((None, None), |of| (of.on_failure, of.payload));
        Self {
            on_failure: on_failure.map_or(all.on_failure, |at| at.value),
            payload: payload.map_or(all.payload, |at| at.value),
        }
    }
}

/// Whose key seals what was said.
#[derive(Clone, Debug)]
pub struct Encryption {
    /// The key that seals.
    pub by: SealingKey,
    /// Former keys, for reading.
    pub also: Vec<SecretForm>,
}

impl Encryption {
    /// As the file says it, with words instead of secrets.
    pub fn describe(&self) -> String {
        let by = match &self.by {
            SealingKey::Local(form) => format!("key: {}", form.describe()),
            SealingKey::Public(path) => format!("public_key: {}", path.display()),
            SealingKey::Vault(address, mount, key, token) => format!(
                "vault: {{ address: \"{address}\", mount: {mount}, key: {key}, token: {} }}",
                token.describe()
            ),
            SealingKey::Kms(key) => format!("aws_kms: \"{key}\""),
        };
        let also: Vec<String> = self.also.iter().map(SecretForm::describe).collect();
        format!("{{ {by}, also: [{}] }}", also.join(", "))
    }
}

/// A key that seals.
#[derive(Clone, Debug)]
pub enum SealingKey {
    /// 32 bytes.
    Local(SecretForm),
    /// A file with an RSA public key.
    Public(PathBuf),
    /// A key of a transit engine: address, mount, name, token.
    Vault(String, String, String, SecretForm),
    /// A key of AWS KMS.
    Kms(String),
}

/// As the file says it.
pub fn describe_retention(of: &Retention) -> String {
    let mode = match of.mode {
        LockMode::Compliance => "compliance",
        LockMode::Governance => "governance",
    };
    format!("{{ for: {}, mode: {mode} }}", super::show::time(of.length))
}

/// As the file says it.
pub fn describe_store_encryption(of: &StoreEncryption) -> String {
    match of {
        StoreEncryption::S3 => "sse-s3".to_owned(),
        StoreEncryption::Kms { key, bucket_key: None } => format!("{{ aws_kms: \"{key}\" }}"),
        StoreEncryption::Kms { key, bucket_key: Some(is_on) } => {
            format!("{{ aws_kms: \"{key}\", bucket_key: {is_on} }}")
        }
    }
}

/// Where the archive is to be; `None` when there is to be none.
fn archive(
    form: Option<&text::Recording>,
    (base, data_dir): (&Path, &Path),
    report: &mut Report,
) -> Option<Place> {
    let Some(store) = form.and_then(|form| form.store.as_ref()) else {
        return Some(Place::Folder(data_dir.join("recordings")));
    };
    if store.value == "none" {
        return None;
    }
    match Place::parse(&store.value, base) {
        Ok(location) => Some(location),
        Err(error) => {
            let message = format!("recording.store: found {}", quoted(&store.value));
            let help = match error {
                BucketError::Place { why, .. } => why,
                other => other.to_string(),
            };
            report.problem(&store.at, message, help);
            None
        }
    }
}

/// Completes the text form; `base` is the folder of the file.
pub fn recording(
    form: Option<text::Recording>,
    (base, data_dir): (&Path, &Path),
    machine: &dyn Machine,
    report: &mut Report,
) -> Recording {
    let store = archive(form.as_ref(), (base, data_dir), report);
    let Some(mut form) = form else {
        return Recording {
            store,
            archive_every: ARCHIVE_EVERY_DEFAULT,
            keep_journal: KEEP_JOURNAL_DEFAULT,
            encryption: None,
            retention: None,
            store_encryption: None,
            scrub: Vec::new(),
            sync: SYNC_DEFAULT,
            payload: Payload::Full,
            on_failure: OnFailureForm::Refuse,
            outgoing: Outgoing::default(),
        };
    };
    let outgoing = outgoing::complete(&mut form, (base, machine), store.as_ref(), report);
    let is_none = form.store.as_ref().is_some_and(|store| store.value == "none");
    if let Some(encryption) = form.encryption.as_ref().filter(|_| is_none) {
        let message = "recording.encryption: there is no archive that it could seal";
        report.problem_with(encryption, message, "recording.store is none");
    }
    if let Some(every) = form
        .archive_every
        .as_ref()
        .filter(|every| !(ARCHIVE_EVERY_MIN..=ARCHIVE_EVERY_MAX).contains(&every.value.0))
    {
        let message = format!("recording.archive_every: found {:?}", every.value.0);
        report.problem(&every.at, message, "write a length of time from 1s to 1h");
    }
    let archive = match &store {
        Some(place) => Archive::At(place),
        None if is_none => Archive::Nowhere,
        None => Archive::Unknown,
    };
    let retention = keeping::retention(form.retention, archive, report);
    let store_encryption = keeping::encryption(form.store_encryption, archive, report);
    Recording {
        store,
        retention,
        store_encryption,
        archive_every: form.archive_every.map_or(ARCHIVE_EVERY_DEFAULT, |every| every.value.0),
        keep_journal: form.keep_journal.map_or(KEEP_JOURNAL_DEFAULT, |keep| keep.value.0),
        scrub: scrub(form.scrub.unwrap_or_default(), report),
        encryption: form.encryption.and_then(|form| encryption(form, (base, machine), report)),
        sync: form.sync.map_or(SYNC_DEFAULT, |sync| sync.value.0),
        payload: form.payload.map_or(Payload::Full, |payload| payload.value),
        on_failure: form.on_failure.map_or(OnFailureForm::Refuse, |at| at.value),
        outgoing,
    }
}

fn scrub(names: Vec<At<String>>, report: &mut Report) -> Vec<DetectionType> {
    let mut types = Vec::new();
    for name in names {
        match DetectionType::from_name(&name.value) {
            Some(kind) => types.push(kind),
            None => {
                let known = DetectionType::ALL.map(DetectionType::name);
                let message = format!("recording.scrub: found {}", quoted(&name.value));
                let help = match nearest(&name.value, known) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("write one of: {}", known.join(", ")),
                };
                report.problem(&name.at, message, help);
            }
        }
    }
    types
}

fn encryption(
    form: text::Encryption,
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> Option<Encryption> {
    const HELP: &str = "name one of: key, public_key, vault, aws_kms";
    let public = form.public_key.as_ref().map(|path| {
        let file = base.join(&path.value);
        check_file(machine, &file, "recording.encryption.public_key", &path.at, report);
        SealingKey::Public(file)
    });
    let vault = form.vault.as_ref().and_then(|vault| match (&vault.address, &vault.key) {
        (Some(address), Some(key)) => {
            let mount = vault.mount.as_ref().map_or("transit", |mount| &mount.value).to_owned();
            let token = relative_secret(vault.token.clone()?, base);
            let what = "recording.encryption.vault.address";
            let url = address::url(address, what, Carries::Secrets, report);
            if url.is_some_and(|url| url.path() != "/" || url.query().is_some()) {
                let message = format!("{what}: found {}", quoted(&address.value));
                report.problem(&address.at, message, "write https://HOST[:PORT]; see mount");
            }
            Some(SealingKey::Vault(address.value.clone(), mount, key.value.clone(), token))
        }
        _ => None,
    });
    if form.vault.is_some() && vault.is_none() {
        let message = "recording.encryption.vault: address, key or token is missing";
        report.problem_with(&form, message, "give all three");
        return None;
    }
    let kms = form.aws_kms.as_ref().map(|key| SealingKey::Kms(key.value.clone()));
    let local = form.key.clone().map(|key| SealingKey::Local(relative_secret(key, base)));
    let mut named = [local, public, vault, kms].into_iter().flatten();
    let (Some(by), None) = (named.next(), named.next()) else {
        report.problem_with(&form, "recording.encryption: not exactly one key", HELP);
        return None;
    };
    let also = form.also.unwrap_or_default().into_iter();
    Some(Encryption { by, also: also.map(|key| relative_secret(key, base)).collect() })
}

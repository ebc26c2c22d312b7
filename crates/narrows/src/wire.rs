//! From a configuration to a running gateway: every part made and joined, once.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use archive::archiver::Head;
use archive::evidence::Evidence;
use archive::manifest::{PublicKey, SigningKey};
use archive::{Archiver, Bucket, Rounds};
use engine::Guessed;
use engine::taint::{Taint, Trail};
use identity::{ClientPlan, Proofs};
use model::event::EVENT_VERSION;
use model::{Event, EventBody, Guess, Secret, Timestamp};
use policy::{HashKey, PolicySet};
use runtime::{
    Gateway, OnFailure, Parts, RedirectPlan, ResourcePlan, SecretSource, Settings, SitePlan,
};
use seal::Keys;
use store::{SharedOptions, Store, StoreOptions};
use stream::Streams;
use tokio::net::TcpListener;

use crate::anchors::{self, Anchors};
use crate::client::admin_url;
use crate::config::Config;
use crate::config::recording::Encryption;
use crate::config::scalar::{Address, OnFailureForm, SecretForm};
use crate::config::state::State;
use crate::config::web::Site;
use crate::config::working::Upstream;
use crate::protocols::{self, Rulebook};
use crate::sealing;
use crate::streams;
use crate::taints::Taints;

/// The file in `data_dir` that holds the key for manifests.
pub const SIGNING_KEY: &str = "signing.key";
/// How long what is known of an upstream may be used when it no longer answers.
const CATALOG_OUTLIVE: Duration = Duration::from_secs(30);

/// Opens everything durable.
pub async fn open_store(config: &Config, now: Timestamp) -> anyhow::Result<Arc<Store>> {
    let mut options = StoreOptions::new(&config.data_dir);
    options.journal.sync = config.recording.sync;
    options.sessions_max = config.sessions_max;
    options.seals_journal = config.recording.encryption.is_some();
    options.installation_key = given_key(config).await?;
    options.shared = shared_state(config)?;
    if let Some(head) = Head::read(&config.data_dir)? {
        options.known = (head.segment, head.last);
    }
    // A database that does not answer is waited for, on a thread that may wait.
    let opened = tokio::task::spawn_blocking(move || Store::open(options, now)).await;
    let (store, opened) = opened.context("open the state")??;
    if opened.went_ahead {
        tracing::warn!(
            "the journal is older than its archive (restored, or partly lost); it goes on behind \
             what is archived"
        );
    }
    if let Some((file, offset, bytes)) = opened.recovery.torn {
        let file = file.display();
        tracing::warn!(%file, offset, bytes, "an unfinished record was cut off the journal");
    }
    for damage in opened.recovery.damage {
        tracing::error!(%damage, "the journal is damaged; its file is kept as evidence");
    }
    if opened.sessions_closed > 0 {
        tracing::info!(
            sessions = opened.sessions_closed,
            "sessions of the last process were closed"
        );
    }
    Ok(Arc::new(store))
}

/// The database that gateways share, if they do.
///
/// # Errors
/// Its certificates cannot be read.
pub fn shared_state(config: &Config) -> anyhow::Result<Option<SharedOptions>> {
    let State::Postgres(plan) = &config.state else { return Ok(None) };
    let tls = runtime::tls::client_config(plan.tls, plan.ca.as_deref()).context("state")?;
    let password = plan.password.as_ref().map(|form| {
        let source = secret(form);
        let fetch: store::Password = Arc::new(move || {
            let source = source.clone();
            Box::pin(async move { source.fetch().await.map_err(|error| error.to_string()) })
        });
        fetch
    });
    Ok(Some(SharedOptions {
        host: plan.host.clone(),
        port: plan.port,
        user: plan.user.clone(),
        database: plan.database.clone(),
        password,
        tls,
        outlive: plan.outlive,
        clock: runtime::clock::now,
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// The installation key, where it comes from elsewhere.
///
/// # Errors
/// It cannot be had.
pub async fn given_key(config: &Config) -> anyhow::Result<Option<Secret<Vec<u8>>>> {
    let Some(form) = &config.installation_key else { return Ok(None) };
    let key = secret(form).fetch().await.context("keys.installation")?;
    Ok(Some(Secret::new(key.expose().clone().into_bytes())))
}

/// The archive of a gateway that runs, and those who read it.
pub struct Archive {
    /// What makes it.
    pub archiver: Arc<Archiver>,
    /// Where it is.
    pub bucket: Arc<Bucket>,
    /// What answers questions from it.
    pub evidence: Evidence,
    /// What seals what is said, if anything does.
    pub keys: Option<Arc<Keys>>,
}

/// Starts the archive, unless the configuration wants none. A cloud that cannot be reached yet is
/// no reason not to start: the journal keeps what is not archived.
pub async fn archive(
    config: &Config,
    store: &Store,
    anchors: &Arc<Anchors>,
    streams: &Streams,
) -> anyhow::Result<Option<Archive>> {
    let Some(location) = &config.recording.store else { return Ok(None) };
    let encryption = config.recording.store_encryption.as_ref();
    let bucket = Bucket::open_encrypting(location, true, encryption).context("recording.store")?;
    let bucket = Arc::new(bucket);
    let make = || SigningKey::make().map(|(_, text)| text).map_err(|_| store::NoRandomness);
    let (text, is_new) = store.data_dir.secret_file(SIGNING_KEY, make)?;
    let key = SigningKey::read(text.expose())
        .with_context(|| store.data_dir.path().join(SIGNING_KEY).display().to_string())?;
    if is_new {
        record_key(store, key.public()).context("the journal cannot be written")?;
    }
    let options = archive::Options {
        every: config.recording.archive_every,
        keep: config.recording.keep_journal,
    };
    let journal = Arc::clone(&store.journal);
    let rounds = Rounds::new(
        Arc::clone(&journal),
        Arc::clone(&bucket),
        key,
        store.data_dir.path(),
        options,
    )?;
    let keys = match &config.recording.encryption {
        Some(encryption) => Some(sealing::keys(encryption).await.context("recording.encryption")?),
        None => None,
    };
    let mut rounds = match &keys {
        Some(keys) => rounds.sealing(Arc::clone(keys)),
        None => rounds,
    };
    if let Some(retention) = config.recording.retention {
        rounds = rounds.retaining(retention);
    }
    anchors.tell(rounds.head());
    let of_rounds = Arc::clone(anchors);
    rounds.tell(move |head| of_rounds.tell(head));
    let index = Arc::clone(&store.index);
    rounds.settle_by(move || index.settle().is_ok());
    let receivers = streams.confirmed();
    rounds.read_by(move |segment, wait| receivers.have(segment, wait));
    let archiver = Archiver::start(rounds, runtime::clock::now).context("start a thread")?;
    let archiver = Arc::new(archiver);
    let reaches = Arc::clone(&archiver);
    let archived = Arc::new(move || reaches.standing().reach);
    let evidence = Evidence::of_gateway(Arc::clone(&bucket), journal, archived);
    let evidence = match &keys {
        Some(keys) => evidence.opening(Arc::clone(keys)),
        None => evidence,
    };
    store.index.read_archive(Arc::new(evidence.clone()));
    Ok(Some(Archive { archiver, bucket, evidence, keys }))
}

/// The key's beginning is evidence itself: whoever has the journal knows which key to believe.
fn record_key(store: &Store, key: PublicKey) -> Result<(), store::JournalError> {
    let event = Event {
        v: EVENT_VERSION,
        at: runtime::clock::now(),
        gateway: Arc::clone(&store.gateway),
        session: None,
        sequence: 0,
        principal: None,
        on_behalf_of: None,
        resource: None,
        body: EventBody::Admin {
            actor: "gateway".to_owned(),
            action: "signing_key.create".to_owned(),
            target: store.gateway.to_string(),
            detail: Some(format!("public key {key}")),
        },
        payload: Vec::new(),
    };
    store.journal.append(&[event]).map(|_| ())
}

/// Makes the gateway; it serves nothing yet.
pub fn gateway(
    config: &Config,
    policy: Arc<PolicySet>,
    rulebook: &Rulebook,
    store: &Store,
    ledger: Arc<Ledger>,
    proofs: Arc<Proofs>,
) -> anyhow::Result<Arc<Gateway>> {
    let believing = Arc::clone(&proofs);
    let asks: runtime::tls::Asks = Arc::new(move || believing.takes_certificates());
    let server_tls = match &config.tls {
        Some((cert, key)) => runtime::tls::server_config_from(cert, key, asks)?,
        None => {
            let authority = runtime::tls::Authority::open(store.data_dir.path())?;
            authority.server_config(&listening_names(config), asks)?
        }
    };
    let recording = &config.recording;
    let opens = [protocols::EGRESS, protocols::TRANSPARENT];
    let egress = config.listeners.iter().any(|(name, _)| opens.contains(name));
    Ok(Gateway::new(Parts {
        gateway: Arc::clone(&store.gateway),
        data_dir: store.data_dir.path().to_owned(),
        protocols: rulebook.blocks().to_vec(),
        resources: plans(config),
        web: Some(rulebook.web()),
        sites: sites(config),
        refuses: protocols::refused_address,
        authority: egress
            .then(|| runtime::tls::Authority::open(store.data_dir.path()))
            .transpose()?,
        policy,
        journal: Arc::clone(&store.journal),
        proofs,
        approvals: Arc::clone(&store.approvals),
        live: Arc::clone(&store.live),
        ledger,
        server_tls: Some(server_tls),
        hash_key: Arc::new(HashKey::new(store.key.derive("mask").expose())),
        settings: Settings {
            scrub: recording.scrub.iter().copied().collect(),
            hold_buffer_bytes: config.hold_buffer_bytes,
            hold_total_bytes: config.hold_total_bytes,
            sessions_max: config.sessions_max,
            outlive_token: config.outlive_token,
            statement_bytes_max: config.statement_bytes_max,
            admin_url: admin_url(&config.admin),
            catalog_max_age: config.catalog_max_age,
            catalog_outlive: CATALOG_OUTLIVE.max(config.catalog_max_age),
            record_waits_for_disk: recording.sync.is_zero(),
            ..Settings::default()
        },
    }))
}

/// Names that clients may reach the gateway by, for its certificate.
fn listening_names(config: &Config) -> Vec<String> {
    let hosts = config.listeners.iter().map(|(_, address)| &address.host);
    let named = hosts
        .filter(|host| host.parse::<std::net::IpAddr>().map_or(true, |ip| !ip.is_unspecified()));
    named.cloned().collect()
}

/// Who is let in by transparent mode.
pub fn redirects(config: &Config) -> RedirectPlan {
    let Some(transparent) = &config.transparent else { return RedirectPlan::default() };
    let sources = transparent.sources.iter();
    RedirectPlan {
        tproxy: transparent.tproxy,
        sources: sources.map(|(network, bits, form)| (*network, *bits, secret(form))).collect(),
    }
}

/// The providers at which people sign in, their secrets fetched.
///
/// # Errors
/// A secret cannot be had.
pub async fn clients(config: &Config) -> anyhow::Result<Vec<ClientPlan>> {
    let mut clients = Vec::new();
    for form in &config.clients {
        let key = || format!("identity.oidc: {}: client_secret", form.issuer.issuer);
        let secret = match &form.secret {
            Some(form) => Some(secret(form).fetch().await.with_context(key)?),
            None => None,
        };
        let secret = secret.map(|secret| Secret::new(secret.expose().trim().to_owned()));
        if secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            bail!("{}: it is empty", key());
        }
        let (issuer, id, scopes) = (form.issuer.clone(), form.id.clone(), form.scopes.clone());
        clients.push(ClientPlan { issuer, id, secret, scopes });
    }
    Ok(clients)
}

/// How to reach each upstream.
pub fn plans(config: &Config) -> Vec<ResourcePlan> {
    config.upstreams.iter().map(plan).collect()
}

fn plan(upstream: &Upstream) -> ResourcePlan {
    ResourcePlan {
        resource: upstream.resource.clone(),
        host: upstream.address.host.clone(),
        port: upstream.address.port,
        tls: upstream.tls,
        ca_file: upstream.ca.clone(),
        user: upstream.user.clone(),
        password: upstream.password.as_ref().map(secret),
        credentials: upstream.credentials.clone(),
        database: upstream.database.clone(),
        options: Arc::new(upstream.options.clone()),
        on_failure: on_failure(upstream.recorded.on_failure),
        payload: upstream.recorded.payload.policy(),
    }
}

/// How to reach what is spoken to in HTTP.
pub fn sites(config: &Config) -> Vec<SitePlan> {
    config.sites.iter().map(site).collect()
}

fn site(site: &Site) -> SitePlan {
    let address = site.url.as_ref().and_then(|url| {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
        Some((host.to_owned(), url.port_or_known_default()?))
    });
    SitePlan {
        resource: site.resource.clone(),
        address,
        tls: site.tls,
        ca_file: site.ca.clone(),
        headers: set(&site.headers),
        credentials: site
            .credentials
            .iter()
            .map(|(host, fields)| (host.clone(), set(fields)))
            .collect(),
        hosts: site.hosts.clone(),
        networks: site.networks.clone(),
        options: Arc::new(site.options.clone()),
        on_failure: on_failure(site.recorded.on_failure),
        payload: site.recorded.payload.policy(),
    }
}

fn set(fields: &[(String, SecretForm)]) -> Vec<(String, SecretSource)> {
    fields.iter().map(|(name, form)| (name.clone(), secret(form))).collect()
}

fn on_failure(form: OnFailureForm) -> OnFailure {
    match form {
        OnFailureForm::Refuse => OnFailure::Refuse,
        OnFailureForm::Continue => OnFailure::Continue,
    }
}

/// Where a secret comes from.
pub fn secret(form: &SecretForm) -> SecretSource {
    match form {
        SecretForm::Literal(value) => SecretSource::Literal(value.clone()),
        SecretForm::Env(name) => SecretSource::Env(name.clone()),
        SecretForm::File(path) => SecretSource::File(path.clone()),
        SecretForm::Command(words, slot) => {
            let mut hidden = slot.hidden();
            hidden.push("NARROWS_TOKEN".to_owned());
            SecretSource::Command { words: words.clone(), hidden }
        }
        SecretForm::Kept(reference, slot) => SecretSource::Kept(reference.clone(), slot.stores()),
    }
}

/// Takes an address, with words that help when it cannot be had.
pub async fn listen(
    what: &str,
    address: &Address,
    for_others: bool,
) -> anyhow::Result<TcpListener> {
    let target = (address.host.as_str(), address.port);
    let found: Vec<SocketAddr> = target
        .to_socket_addrs()
        .with_context(|| {
            format!("listen.{what}: {} is not an address of this machine", address.host)
        })?
        .collect();
    let Some(first) = found.first() else {
        bail!("listen.{what}: {} has no address", address.host);
    };
    let bound = match for_others {
        true => runtime::listen_for_others(*first),
        false => TcpListener::bind(first).await,
    };
    match bound {
        Ok(listener) => Ok(listener),
        Err(error) => Err(explain_bind(what, address, &error)),
    }
}

fn explain_bind(what: &str, address: &Address, error: &io::Error) -> anyhow::Error {
    let help = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another process listens there (ss -ltnp 'sport = :{}' names it)", address.port)
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege, and mode tproxy CAP_NET_ADMIN".to_owned()
        }
        _ => "choose another".to_owned(),
    };
    anyhow::anyhow!("listen.{what}: cannot listen on {address}: {error}\n  {help}")
}

/// What is counted and remembered, as the engine asks for it.
pub struct Ledger {
    /// Who did how much.
    pub usage: Arc<store::Ledger>,
    /// Who compared masked columns with what.
    pub guesses: Arc<store::Guesses>,
    /// Different values of a day: `predicates.budget`.
    pub guesses_max: u64,
    /// Who received what of followed values.
    pub taints: Taints,
    /// What is counted is counted where other gateways count, too.
    pub is_shared: bool,
}

impl Ledger {
    /// Over the counters of `store`, with the bounds of `config`.
    ///
    /// # Errors
    /// The state database cannot be read.
    pub fn open(store: &Store, config: &Config, now: Timestamp) -> anyhow::Result<Self> {
        let key = store.key.derive("taint");
        Ok(Self {
            usage: Arc::clone(&store.usage),
            guesses: Arc::clone(&store.guesses),
            guesses_max: config.guesses_max,
            taints: Taints::open(Arc::clone(&store.taints), &key, now)?,
            is_shared: store.peers.is_some(),
        })
    }
}

impl engine::Ledger for Ledger {
    fn usage(
        &self,
        subject: Option<&str>,
        resource: &str,
        window: Duration,
        now: Timestamp,
    ) -> policy::Usage {
        let used = match subject {
            Some(subject) => self.usage.principal(subject, resource, window, now),
            None => self.usage.resource(resource, window, now),
        };
        let store::Usage { operations, rows, bytes } = used;
        policy::Usage { operations, rows, bytes }
    }

    fn guess(&self, subject: &str, resource: &str, guesses: &[Guess], now: Timestamp) -> Guessed {
        let most = self.guesses_max;
        let count = || self.guesses.count(subject, resource, guesses, most, now);
        match if self.is_shared { waiting(count) } else { count() } {
            Ok(None) => Guessed::Within,
            Ok(Some(field)) => Guessed::Spent { field, most },
            Err(error) => {
                tracing::error!(%error, "guesses at masked columns cannot be counted");
                Guessed::Unknown
            }
        }
    }

    fn trail(&self, subject: &str) -> Arc<Trail> {
        self.taints.trail(subject)
    }

    fn keep(&self, subject: &str, taints: &[Taint], now: Timestamp) -> bool {
        self.taints.keep(subject, taints, now)
    }

    fn add(&self, subject: &str, resource: &str, usage: policy::Usage, now: Timestamp) {
        let policy::Usage { operations, rows, bytes } = usage;
        self.usage.add(subject, resource, store::Usage { operations, rows, bytes }, now);
    }
}

/// Does what may wait for a database, and lets others use the thread's place meanwhile.
pub fn waiting<T>(work: impl FnOnce() -> T) -> T {
    let on = tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor());
    match on {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Settings that a reload cannot change; their names, where they differ.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let payload = |config: &Config| config.recording.payload;
    let encryption =
        |config: &Config| config.recording.encryption.as_ref().map(Encryption::describe);
    [
        ("data_dir", absolute(&old.data_dir) != absolute(&new.data_dir)),
        ("state", old.state.describe() != new.state.describe()),
        ("listen", old.admin != new.admin || old.listeners != new.listeners),
        ("transparent", redirects(old) != redirects(new)),
        ("tls", old.tls != new.tls),
        ("recording.store", old.recording.store != new.recording.store),
        ("recording.archive_every", old.recording.archive_every != new.recording.archive_every),
        ("recording.encryption", encryption(old) != encryption(new)),
        ("recording.retention", old.recording.retention != new.recording.retention),
        (
            "recording.store_encryption",
            old.recording.store_encryption != new.recording.store_encryption,
        ),
        ("recording.keep_journal", old.recording.keep_journal != new.recording.keep_journal),
        ("recording.stream", streams::differ(old, new)),
        ("recording.anchors", anchors::differ(old, new)),
        ("recording.sync", old.recording.sync != new.recording.sync),
        ("recording.scrub", old.recording.scrub != new.recording.scrub),
        ("recording.payload", payload(old) != payload(new)),
        ("hold", old.hold_buffer_bytes != new.hold_buffer_bytes),
        ("hold", old.hold_total_bytes != new.hold_total_bytes),
        ("catalog", old.catalog_max_age != new.catalog_max_age),
        ("sessions_max", old.sessions_max != new.sessions_max),
        ("session", old.outlive_token != new.outlive_token),
        ("predicates", old.guesses_max != new.guesses_max),
        ("postgres", old.statement_bytes_max != new.statement_bytes_max),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

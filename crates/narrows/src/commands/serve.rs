//! `narrows serve`: the gateway in the foreground, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use admin::{Admin, AdminParts, Control as _};
use anyhow::Context as _;
use identity::{NotProved, People, Proofs};
use model::event::EVENT_VERSION;
use model::{Event, EventBody};
use runtime::{Gateway, RedirectPlan, ServeError};
use secrets::News;
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::SaidNo;
use super::check::{must_exist, say};
use crate::anchors::Anchors;
use crate::args::Common;
use crate::cancels;
use crate::client::{admin_url, config_path};
use crate::config::{self, Loaded};
use crate::control::{Parts, Running};
use crate::hush::hush;
use crate::notices::Notices;
use crate::protocols::{self, Rulebook};
use crate::streams;
use crate::wire;

/// How long live sessions may go on after the first signal to stop.
const GRACE: Duration = Duration::from_secs(30);
/// How long the admin API may take to answer what is under way when the gateway stops.
const ADMIN_GRACE: Duration = Duration::from_secs(2);
/// How long credentials may take to be revoked then.
const LEASES_GRACE: Duration = Duration::from_secs(10);

/// Runs the gateway.
pub fn serve(common: &Common, dumpable: bool) -> anyhow::Result<()> {
    // Before anything secret is read.
    if !dumpable {
        hush().context("keep secrets out of core dumps (--dumpable goes without)")?;
    }
    let path = config_path(common);
    must_exist(&path)?;
    let rulebook = Rulebook::new();
    let loaded = match config::load(&path, &rulebook, 1) {
        Ok(loaded) => loaded,
        Err(unusable) => {
            say(&unusable.problems, &unusable.warnings);
            return Err(SaidNo.into());
        }
    };
    log_to_stderr();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if dumpable {
        tracing::warn!("core dumps and debuggers can show secrets: --dumpable");
    }
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("narrows")
        .build()
        .context("start the runtime")?;
    let result = tokio.block_on(run(loaded, rulebook));
    // What still runs is of connections that were cut off already.
    tokio.shutdown_timeout(Duration::from_secs(1));
    result
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("NARROWS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let json = std::env::var("NARROWS_LOG_FORMAT").is_ok_and(|format| format == "json");
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        use std::io::IsTerminal as _;
        let colours = std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        builder.with_ansi(colours).init();
    }
}

async fn run(loaded: Loaded, rulebook: Rulebook) -> anyhow::Result<()> {
    let Loaded { config, policy, .. } = loaded;
    // First of all, so that no signal is missed while starting.
    let mut signals = Signals::new()?;
    let store = wire::open_store(&config, runtime::clock::now()).await?;
    let admin_token = admin::admin_token(store.data_dir.path())?;
    let policy = Arc::new(policy);
    let ledger = Arc::new(wire::Ledger::open(&store, &config, runtime::clock::now())?);
    let proofs = Proofs::new(Arc::clone(&store.tokens), Arc::clone(&store.logins));
    let _ = proofs.believe(config.issuers.clone()).map_err(anyhow::Error::msg)?;
    let certificates = config.certificates.clone();
    let _ = proofs.believe_certificates(certificates).map_err(anyhow::Error::msg)?;
    let people = People::new(
        Arc::clone(&proofs),
        Arc::clone(&store.journal),
        Arc::clone(&store.gateway),
        runtime::clock::now,
    );
    if let Some(plan) = &config.sign_in {
        let clients = wire::clients(&config).await?;
        people.configure(plan.clone(), clients).map_err(anyhow::Error::msg)?;
    }
    let saml = admin::Saml::new(Arc::clone(&people), Arc::clone(&store.logins));
    saml.configure(config.saml.clone()).map_err(anyhow::Error::msg)?;
    if store.peers.is_none() {
        // What was signed in by a provider that is gone does not come back with it.
        people.end_former();
    }
    let weak = Arc::downgrade(&proofs);
    store.live.doubt_by(move |principal| {
        let now = runtime::clock::now();
        let said = weak.upgrade().map(|proofs| proofs.recheck(principal, now));
        // Its end and an outage are weighed elsewhere.
        !matches!(said, Some(Err(NotProved::Revoked | NotProved::Unknown)))
    });
    let gateway = wire::gateway(
        &config,
        policy,
        &rulebook,
        &store,
        Arc::clone(&ledger),
        Arc::clone(&proofs),
    )?;
    // Every address is taken before anything is served: all or nothing.
    let admin_listener = wire::listen("admin", &config.admin, false).await?;
    let redirects = wire::redirects(&config);
    let mut listeners = Vec::new();
    for (protocol, address) in &config.listeners {
        let for_others = *protocol == protocols::TRANSPARENT && redirects.tproxy;
        listeners.push((*protocol, wire::listen(protocol, address, for_others).await?));
    }
    // Before anything is recorded, so that others hear of the start.
    let streams = streams::start(&config, &store).await?;
    let rules = config.policy.rules.len();
    let detail = format!("{rules} rules{}", config::digest::told(&config.policy));
    let file = config.file.display().to_string();
    record(&store, "config.load", file.clone(), detail)
        .context("the journal cannot be written, so nothing is served")?;
    let of_stores = Arc::clone(&store);
    config.stores.observe(move |News { action, target, detail }| {
        if let Err(error) = record(&of_stores, action, target, detail) {
            tracing::error!(%error, action, "what happened to a secret is not recorded");
        }
    });
    config.stores.start();
    cancels::pass_on(&gateway, &store, tokio::runtime::Handle::current());
    let serving: Vec<_> = listeners
        .into_iter()
        .map(|(name, listener)| {
            tokio::spawn(attend(Arc::clone(&gateway), name, listener, redirects.clone()))
        })
        .collect();
    let admin = admin_url(&config.admin);
    let handle = tokio::runtime::Handle::current();
    let anchors = Arc::new(Anchors::start(&config, &store.gateway).await?);
    let archive = wire::archive(&config, &store, &anchors, &streams).await?;
    let archiver = archive.as_ref().map(|archive| Arc::clone(&archive.archiver));
    let notices = Notices::start(&config, &store).await?;
    let running = Running::new(
        Parts {
            gateway: Arc::clone(&gateway),
            rulebook,
            ledger,
            archive,
            proofs: Arc::clone(&proofs),
            people: Arc::clone(&people),
            saml: Arc::clone(&saml),
            live: Arc::clone(&store.live),
            notices: Arc::clone(&notices),
        },
        config.clone(),
        handle,
    );
    let running = Arc::new(running);
    let (stop_admin, stopped) = watch::channel(false);
    let parts = AdminParts {
        store: Arc::clone(&store),
        proofs,
        people: Arc::clone(&people),
        saml,
        control: Arc::<Running>::clone(&running),
        slack: Arc::<Notices>::clone(&notices),
        admin_token,
        version: env!("CARGO_PKG_VERSION"),
    };
    let admin_task = tokio::spawn(Admin::new(parts).serve(admin_listener, until(stopped)));
    people.renew_on().map_err(anyhow::Error::msg)?;
    tracing::info!(admin, gateway = %store.gateway, "serving");

    while let Told::Reload = signals.next().await {
        let (running, store, file) = (Arc::clone(&running), Arc::clone(&store), file.clone());
        let reloaded = tokio::task::spawn_blocking(move || {
            let detail = match running.reload() {
                Ok(reloaded) => format!("in force: {} rules{}", reloaded.rules, reloaded.digests),
                Err(problems) => format!("refused: {} problems", problems.len()),
            };
            if let Err(error) = record(&store, "config.load", file, detail) {
                tracing::error!(%error, "a reload is not recorded");
            }
        });
        // A panic in it must not end the gateway; it was logged.
        let _ = reloaded.await;
    }
    tracing::info!(sessions = store.live.count(), "stopping; a second signal stops at once");
    tokio::select! {
        () = gateway.shut_down(GRACE) => {}
        told = signals.stop_again() => {
            let () = told;
            tracing::warn!("stopped at once");
            std::process::exit(1);
        }
    }
    for task in serving {
        task.abort();
    }
    stop_admin.send_replace(true);
    let _ = tokio::time::timeout(ADMIN_GRACE, admin_task).await;
    if !matches!(tokio::task::spawn_blocking(move || notices.stop()).await, Ok(true)) {
        tracing::warn!(
            "not everybody was told of approvals; the next start tells what still waits"
        );
    }
    let stores = running.stores();
    if !matches!(tokio::task::spawn_blocking(move || stores.stop(LEASES_GRACE)).await, Ok(true)) {
        tracing::warn!("not every credential is revoked; they end at their own ends");
    }
    // Before the archive's last round, which may delete what was not sent yet.
    if !matches!(tokio::task::spawn_blocking(move || streams.stop()).await, Ok(true)) {
        tracing::warn!("a receiver of events is behind; the next start goes on with it");
    }
    if let Some(archiver) = archiver {
        // What a store that does not answer holds up is in the journal.
        match tokio::task::spawn_blocking(move || archiver.stop()).await {
            Ok(true) => {}
            _ => tracing::warn!("the archive is behind; the next start goes on with it"),
        }
    }
    if !matches!(tokio::task::spawn_blocking(move || anchors.stop()).await, Ok(true)) {
        tracing::warn!("the newest anchor is not kept everywhere; the next start tells it again");
    }
    if let Some(peers) = store.peers.clone() {
        let _ = tokio::task::spawn_blocking(move || peers.leave()).await;
    }
    if let Err(error) = store.journal.sync() {
        tracing::error!(%error, "the journal was not synced to disk");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Serves one listener; the names are those of the configuration.
async fn attend(
    gateway: Arc<Gateway>,
    name: &'static str,
    listener: TcpListener,
    redirects: RedirectPlan,
) -> Result<(), ServeError> {
    match name {
        protocols::TRANSPARENT => gateway.serve_redirected(listener, redirects).await,
        "http" => gateway.serve_web(listener, false).await,
        protocols::EGRESS => gateway.serve_web(listener, true).await,
        protocol => gateway.serve(listener, protocol).await,
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // When the sender is gone the gateway is too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn record(
    store: &Store,
    action: &str,
    target: String,
    detail: String,
) -> Result<(), store::JournalError> {
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
            action: action.to_owned(),
            target,
            detail: Some(detail),
        },
        payload: Vec::new(),
    };
    store.journal.append(&[event]).map(|_| ())
}

enum Told {
    Reload,
    Stop,
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let make = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            hangup: make(SignalKind::hangup())?,
            interrupt: make(SignalKind::interrupt())?,
            terminate: make(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
        }
    }

    async fn stop_again(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}

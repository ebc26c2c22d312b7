//! The running gateway, as the admin API asks it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use admin::{
    ArchiveCounters, AuditError, AuditQuestion, Control, Counters, EraseRequest, ExplainAnswer,
    ExplainError, ExplainRequest, HoldAnswer, HoldRequest, HoldView, ProblemView, ReleaseRequest,
    Reloaded, RequestPlan, ResourceView, Rewrapped,
};
use arc_swap::ArcSwap;
use archive::evidence;
use archive::sealing::{self, Erase};
use identity::{People, Proofs};
use model::{Principal, Resource, Timestamp, UpstreamTls};
use policy::PolicySet;
use runtime::Gateway;
use secrets::Stores;
use store::Live;

use crate::cancels;
use crate::commands::check::view;
use crate::config::nearest::nearest;
use crate::config::scalar::SecretForm;
use crate::config::{self, Config};
use crate::explain::{self, Question};
use crate::holds;
use crate::notices::{self, Notices};
use crate::protocols::Rulebook;
use crate::wire;

/// How long keys are wrapped anew before the client is told how far that came.
const REWRAP_LASTS: Duration = Duration::from_secs(10);

/// A running gateway with the configuration in force.
pub struct Running {
    gateway: Arc<Gateway>,
    rulebook: Rulebook,
    ledger: Arc<wire::Ledger>,
    archive: Option<wire::Archive>,
    proofs: Arc<Proofs>,
    people: Arc<People>,
    saml: Arc<admin::Saml>,
    live: Arc<Live>,
    notices: Arc<Notices>,
    /// Swapped as one at a reload.
    current: ArcSwap<Current>,
    path: PathBuf,
    listeners: usize,
    versions: AtomicU64,
    /// One reload at a time, so that the last one asked for is the one in force.
    reloading: std::sync::Mutex<()>,
    /// One hold or erasure at a time, so that nothing is erased while it is put on hold.
    holding: std::sync::Mutex<()>,
    handle: tokio::runtime::Handle,
}

/// What a running gateway is made of.
pub struct Parts {
    /// The data path.
    pub gateway: Arc<Gateway>,
    /// The protocols, and what their rules may say.
    pub rulebook: Rulebook,
    /// What rules count.
    pub ledger: Arc<wire::Ledger>,
    /// The archive, unless there is to be none.
    pub archive: Option<wire::Archive>,
    /// Who is believed.
    pub proofs: Arc<Proofs>,
    /// People who sign in.
    pub people: Arc<People>,
    /// Those who sign in by SAML.
    pub saml: Arc<admin::Saml>,
    /// The sessions that are live.
    pub live: Arc<Live>,
    /// What tells people of approvals.
    pub notices: Arc<Notices>,
}

struct Current {
    config: Config,
}

impl Running {
    /// Joins the parts. `handle` runs what the API has to wait for.
    pub fn new(parts: Parts, config: Config, handle: tokio::runtime::Handle) -> Self {
        let Parts { gateway, rulebook, ledger, archive, proofs, people, saml, live, notices } =
            parts;
        Self {
            gateway,
            rulebook,
            ledger,
            archive,
            proofs,
            people,
            saml,
            live,
            notices,
            path: config.file.clone(),
            listeners: config.listeners.len(),
            versions: AtomicU64::new(config.policy.version),
            current: ArcSwap::from_pointee(Current { config }),
            reloading: std::sync::Mutex::new(()),
            holding: std::sync::Mutex::new(()),
            handle,
        }
    }

    /// The stores of the configuration in force.
    pub fn stores(&self) -> Arc<Stores> {
        Arc::clone(&self.current.load().config.stores)
    }

    fn archive(&self) -> Result<&wire::Archive, AuditError> {
        self.archive.as_ref().ok_or_else(|| {
            let why = "recording.store is none, so there is no archive";
            AuditError::Unavailable(why.to_owned())
        })
    }

    /// A configuration that cannot be put in force.
    fn unusable(&self, why: String) -> Vec<ProblemView> {
        tracing::error!("{why}; the old configuration stays in force");
        let file = self.path.display().to_string();
        vec![ProblemView { file, line: 1, column: 1, message: why, help: None }]
    }

    /// Ends the sessions of those for whom an issuer vouched that is not believed as it was.
    fn end_vouched_for_by(&self, issuers: &[String]) {
        for session in self.live.list() {
            let mut by = session.info.principal.issuers();
            if by.any(|one| issuers.iter().any(|issuer| **issuer == **one)) {
                self.live.kill(&session.info.id, "issuer_changed");
            }
        }
    }

    fn principal(ask: &ExplainRequest) -> Principal {
        Principal {
            subject: ask.subject.as_str().into(),
            kind: ask.kind,
            groups: ask.groups.iter().map(|group| group.as_str().into()).collect(),
            issuer: "narrows".into(),
            on_behalf_of: None,
            on_behalf_of_groups: Vec::new(),
            token: None,
            minted_by: None,
            expires_at: None,
            certificate: None,
        }
    }
}

impl Control for Running {
    fn now(&self) -> Timestamp {
        runtime::clock::now()
    }

    fn reload(&self) -> Result<Reloaded, Vec<ProblemView>> {
        let _one = self.reloading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        let loaded = match config::load(&self.path, &self.rulebook, version) {
            Ok(loaded) => loaded,
            Err(unusable) => {
                for problem in &unusable.problems {
                    tracing::error!("{problem}");
                }
                tracing::error!("the configuration was not loaded; the old one stays in force");
                return Err(unusable.problems.iter().map(view).collect());
            }
        };
        let old = self.current.load();
        loaded.config.stores.adopt(&old.config.stores);
        // Before anything is put in force: a place that cannot be used keeps all of it out.
        let opened = match self.handle.block_on(notices::open(&loaded.config)) {
            Ok(opened) => opened,
            Err((at, error)) => {
                let message = format!("{error:#}");
                let problem = policy::Problem { at, message, help: None };
                tracing::error!("{problem}");
                tracing::error!("the configuration was not loaded; the old one stays in force");
                return Err(vec![view(&problem)]);
            }
        };
        let clients = match self.handle.block_on(wire::clients(&loaded.config)) {
            Ok(clients) => clients,
            Err(error) => return Err(self.unusable(format!("{error:#}"))),
        };
        let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(wire::needs_restart(&old.config, &loaded.config).into_iter().map(|name| {
            format!("{name} changed; that takes effect when the gateway is started again")
        }));
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let believed = self.proofs.believe(loaded.config.issuers.clone());
        let believed = believed.and_then(|mut changed| {
            let plans = loaded.config.certificates.clone();
            changed.extend(self.proofs.believe_certificates(plans)?);
            Ok(changed)
        });
        let changed = believed.map_err(|why| self.unusable(why))?;
        // At once, and again when nobody can begin by what was believed before.
        self.end_vouched_for_by(&changed);
        match &loaded.config.sign_in {
            Some(plan) => {
                let configured = self.people.configure(plan.clone(), clients);
                configured.map_err(|why| self.unusable(why))?;
            }
            None => self.people.close(),
        }
        let configured = self.saml.configure(loaded.config.saml.clone());
        configured.map_err(|why| self.unusable(why))?;
        let policy = Arc::new(loaded.policy);
        let (plans, sites) = (wire::plans(&loaded.config), wire::sites(&loaded.config));
        self.gateway.reload(policy, plans, sites);
        self.end_vouched_for_by(&changed);
        self.notices.replace(opened);
        let rules = loaded.config.policy.rules.len();
        let resources = loaded.config.upstreams.len() + loaded.config.sites.len();
        tracing::info!(rules, resources, "a new configuration is in force");
        let digests = config::digest::told(&loaded.config.policy);
        loaded.config.stores.start();
        self.current.store(Arc::new(Current { config: loaded.config }));
        Ok(Reloaded { rules, resources, warnings, digests })
    }

    fn attend(&self, what: &str, about: &str) -> Option<String> {
        match what {
            cancels::CANCEL => {
                let logins = self.proofs.logins();
                Some(cancels::cancel(&self.gateway, logins, &self.handle, about))
            }
            _ => None,
        }
    }

    fn explain(&self, ask: &ExplainRequest) -> Result<ExplainAnswer, ExplainError> {
        let current = self.current.load_full();
        let policy = self.gateway.policy();
        let upstreams = &current.config.upstreams;
        let sites = &current.config.sites;
        if let Some(site) = sites.iter().find(|one| *one.resource.name == *ask.on) {
            let principal = Self::principal(ask);
            let (protocol, block) = self.rulebook.web();
            let question = Question {
                principal: &principal,
                resource: &site.resource,
                block,
                declared: protocol.facts(),
                text: &ask.text,
                snapshot: None,
                options: &site.options,
                now: self.now(),
                ledger: &*self.ledger,
            };
            return Ok(explain::explain(&policy, &question));
        }
        let known = upstreams.iter().map(|one| &*one.resource.name);
        let known = known.chain(sites.iter().map(|one| &*one.resource.name));
        let Some(upstream) = upstreams.iter().find(|one| *one.resource.name == *ask.on) else {
            let near = nearest(&ask.on, known);
            return Err(ExplainError::UnknownResource(near.map(str::to_owned)));
        };
        let resource = &upstream.resource;
        let known = self.rulebook.blocks().iter();
        let mut known = known.filter(|(protocol, _)| *protocol.name() == *resource.kind);
        let Some((protocol, block)) = known.next() else {
            let why = format!("no protocol speaks to a {}", resource.kind);
            return Err(ExplainError::Unavailable(why));
        };
        let principal = Self::principal(ask);
        let question = |snapshot| Question {
            principal: &principal,
            resource,
            block: *block,
            declared: protocol.facts(),
            text: &ask.text,
            snapshot,
            options: &upstream.options,
            now: self.now(),
            ledger: &*self.ledger,
        };
        if !policy.admits(&principal, resource, self.now()) {
            return Ok(explain::explain(&policy, &question(None)));
        }
        // Called outside the runtime's own threads, see `admin::Control`.
        let snapshot = self
            .handle
            .block_on(self.gateway.snapshot(&resource.name))
            .map_err(ExplainError::Unavailable)?;
        Ok(explain::explain(&policy, &question(snapshot.as_deref())))
    }

    fn audit(&self, question: &AuditQuestion) -> Result<serde_json::Value, AuditError> {
        let Some(archive) = &self.archive else {
            let why = "recording.store is none, so there is no archive to ask";
            return Err(AuditError::Unavailable(why.to_owned()));
        };
        let evidence = &archive.evidence;
        let span = |span: &admin::Span| evidence::Span { from: span.from, to: span.to };
        let answer = match question {
            AuditQuestion::Who { table, span: of } => {
                evidence.who(table, &span(of)).map(serde_json::to_value)
            }
            AuditQuestion::Fields { session, principal, span: of } => evidence
                .fields(session.as_deref(), principal.as_deref(), &span(of))
                .map(serde_json::to_value),
            AuditQuestion::Pii { span: of } => evidence.pii(&span(of)).map(serde_json::to_value),
            AuditQuestion::Search { text, span: of } => {
                evidence.search(text, &span(of)).map(serde_json::to_value)
            }
        };
        let failed = |error: &dyn std::fmt::Display| AuditError::Unavailable(error.to_string());
        answer.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    fn erase(&self, whose: &EraseRequest) -> Result<usize, AuditError> {
        let failed = |why: String| AuditError::Unavailable(why);
        let Some(archive) = &self.archive else {
            return Err(failed("recording.store is none, so nothing is sealed".to_owned()));
        };
        let erase = match (&whose.session, &whose.principal) {
            (Some(session), _) => Erase::Session(session),
            (None, Some(principal)) => Erase::Principal(principal),
            (None, None) => return Ok(0),
        };
        let _one = self.holding.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // What is refused must not have the journal let go of anything; and once more below, for
        // what is archived meanwhile.
        holds::check(archive, erase)?;
        // What was said until now is sealed in the archive first, and no longer on the gateway's
        // disk, where the gateway can open it.
        let stayed = archive.archiver.purge().map_err(|why| {
            failed(format!("nothing was erased: the archive is not up to date ({why})"))
        })?;
        if !stayed.is_empty() {
            let stayed: Vec<String> = stayed.iter().map(ToString::to_string).collect();
            return Err(failed(format!(
                "nothing was erased: the journal has to keep files in which what was said can be \
                 read; move them off this machine and ask again\n  {}",
                stayed.join("\n  ")
            )));
        }
        holds::check(archive, erase)?;
        let erased = sealing::erase(&archive.bucket, erase);
        archive.evidence.forget_keys();
        let erased = erased.map_err(|error| failed(error.to_string()))?;
        if erased.keys > 0 || erased.before {
            return Ok(erased.keys);
        }
        Err(AuditError::Nothing(match erase {
            _ if archive.keys.is_none() => {
                "recording.encryption is not set: what is said is not sealed, and no key can be \
                 erased"
                    .to_owned()
            }
            Erase::Session(session) => format!(
                "there is no key of {session}: no such session, or it said nothing that was sealed"
            ),
            Erase::Principal(principal) => format!(
                "there is no key of {principal}: no session of that name said anything that was \
                 sealed, or their keys were erased before"
            ),
        }))
    }

    fn hold(&self, ask: &HoldRequest, by: &str) -> Result<HoldAnswer, AuditError> {
        let _one = self.holding.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        holds::hold(self.archive()?, ask, by, self.now())
    }

    fn release(&self, ask: &ReleaseRequest, by: &str) -> Result<HoldAnswer, AuditError> {
        let _one = self.holding.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        holds::release(self.archive()?, ask, by, self.now())
    }

    fn holds(&self) -> Result<Vec<HoldView>, AuditError> {
        let holds = archive::holds::all(&self.archive()?.bucket);
        let holds = holds.map_err(|error| AuditError::Unavailable(error.to_string()))?;
        Ok(holds.into_iter().map(holds::view).collect())
    }

    fn rewrap(&self, after: Option<&str>) -> Result<Rewrapped, AuditError> {
        let keys =
            self.archive.as_ref().and_then(|archive| Some((archive, archive.keys.as_ref()?)));
        let Some((archive, keys)) = keys else {
            let why = "recording.encryption is not set, so there is no key to wrap others with";
            return Err(AuditError::Unavailable(why.to_owned()));
        };
        let begun = Instant::now();
        let may_go_on = || begun.elapsed() < REWRAP_LASTS;
        let done = archive::rewrap::rewrap(&archive.bucket, keys, after, may_go_on);
        archive.evidence.forget_keys();
        done.map(crate::sealing::rewrapped)
            .map_err(|error| AuditError::Unavailable(error.to_string()))
    }

    fn policy(&self) -> Arc<PolicySet> {
        self.gateway.policy()
    }

    fn request_plan(&self, resource: &str) -> Option<(Resource, RequestPlan)> {
        let current = self.current.load();
        let (_, plan) = current.config.requests.iter().find(|(name, _)| **name == *resource)?;
        let known = current.config.policy.resources.iter().find(|one| *one.name == *resource)?;
        Some((known.clone(), plan.clone()))
    }

    fn places(&self) -> Vec<Resource> {
        self.current.load().config.policy.resources.clone()
    }

    fn unready(&self) -> Vec<String> {
        let state = self.gateway.state();
        let mut reasons = Vec::new();
        if state.listeners < self.listeners {
            reasons.push(format!("{} of {} listeners are up", state.listeners, self.listeners));
        }
        if state.draining {
            reasons.push("the gateway is shutting down".to_owned());
        }
        reasons
    }

    fn journal_failing(&self) -> bool {
        self.gateway.state().journal_failing
    }

    fn resources(&self) -> Vec<ResourceView> {
        let current = self.current.load();
        let kept = current.config.stores.kept();
        let not_ready = |form: &SecretForm| match form {
            SecretForm::Kept(reference, _) => {
                let found = kept.iter().find(|kept| kept.reference == *reference && !kept.known);
                found.and_then(|kept| kept.error.clone())
            }
            _ => None,
        };
        let view = |upstream: &config::working::Upstream| ResourceView {
            name: upstream.resource.name.to_string(),
            kind: upstream.resource.kind.to_string(),
            address: upstream.address.to_string(),
            database: upstream.database.clone(),
            user: match &upstream.credentials {
                Some(made) => format!("made by {}", made.describe()),
                None => upstream.user.clone(),
            },
            tls: tls_word(upstream.tls),
            not_ready: upstream.password.as_ref().and_then(&not_ready),
        };
        let site = |site: &config::web::Site| ResourceView {
            name: site.resource.name.to_string(),
            kind: site.resource.kind.to_string(),
            address: site.address(),
            database: String::new(),
            user: String::new(),
            tls: tls_word(site.tls),
            not_ready: site.secrets().find_map(&not_ready),
        };
        let upstreams = current.config.upstreams.iter().map(view);
        upstreams.chain(current.config.sites.iter().map(site)).collect()
    }

    fn counters(&self) -> Counters {
        let state = self.gateway.state();
        let words = |counts: std::collections::BTreeMap<&'static str, u64>| {
            counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect()
        };
        Counters {
            connections: state.connections as u64,
            sessions_total: state.sessions_total,
            refused: words(state.refused),
            decisions: [
                ("allow", state.allowed),
                ("mask", state.masked),
                ("hold", state.held),
                ("block", state.blocked),
            ]
            .into(),
            rows: state.rows,
            bytes: state.bytes,
            withheld_bytes: state.withheld_bytes as u64,
            journal_errors: state.journal_errors,
            unrecorded: state.unrecorded,
            upstream_errors: words(state.upstream_errors),
            alerts: state.alerts,
            archive: self.archive.as_ref().map(|archive| {
                let standing = archive.archiver.standing();
                ArchiveCounters {
                    manifests: standing.head.number,
                    last_event: standing.head.last,
                    failing: standing.failing.is_some() || archive.archiver.has_ended(),
                }
            }),
        }
    }
}

fn tls_word(tls: UpstreamTls) -> String {
    match tls {
        UpstreamTls::Off => "off",
        UpstreamTls::Require => "require",
        UpstreamTls::VerifyFull => "verify-full",
    }
    .to_owned()
}

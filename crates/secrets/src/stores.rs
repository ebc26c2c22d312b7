//! The stores that a configuration names, and what is known of what is in them.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use model::Secret;
use parking_lot::Mutex;
use seal::{AwsSecrets, VaultClient};

use crate::aws;
use crate::keeper::Keeper;
use crate::lease::Leases;
use crate::plan::StoresPlan;
use crate::reference::Reference;
use crate::vault::{self, NotRead};

/// Something that the journal should hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    /// `secret.change`, `secret.fail`, `credential.lease`, …
    pub action: &'static str,
    /// The secret, or the resource whose credential it is.
    pub target: String,
    /// What happened, in words without secrets.
    pub detail: String,
}

pub(crate) type Teller = Arc<OnceLock<Box<dyn Fn(News) + Send + Sync>>>;

/// What is known of a secret now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Which.
    pub reference: Reference,
    /// A value is there, and used.
    pub known: bool,
    /// Why the last reading failed, if it did.
    pub error: Option<String>,
}

/// The stores of one configuration. Nothing is asked before somebody wants something, or
/// [`Self::start`].
pub struct Stores {
    plan: StoresPlan,
    references: Vec<Reference>,
    teller: OnceLock<Teller>,
    working: OnceLock<Arc<Working>>,
    /// What worked under former configurations, as long as leases of it are used or given back.
    former: Mutex<Vec<Weak<Shared>>>,
}

/// What works behind [`Stores`], also for leases that outlive a configuration.
pub(crate) struct Working(Arc<Shared>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.keeper.end();
        self.0.leases.end();
    }
}

impl Working {
    pub fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

/// What the threads use.
pub(crate) struct Shared {
    vault: Option<Result<VaultClient, String>>,
    /// Made when somebody wants something of it.
    aws: OnceLock<Result<AwsSecrets, String>>,
    refresh: Duration,
    teller: Teller,
    pub keeper: Keeper,
    pub leases: Leases,
}

impl Shared {
    pub fn vault(&self) -> Result<&VaultClient, String> {
        match &self.vault {
            Some(Ok(client)) => Ok(client),
            Some(Err(why)) => Err(why.clone()),
            None => Err("no Vault is configured; write vault: { address: …, token: … }".to_owned()),
        }
    }

    pub fn read(&self, reference: &Reference) -> Result<Secret<String>, NotRead> {
        match reference {
            Reference::Vault { path, field } => {
                vault::read(self.vault().map_err(NotRead::Failed)?, path, field)
            }
            Reference::Aws { name, field } => match self.aws.get_or_init(aws::client) {
                Ok(client) => aws::read(client, name, field.as_deref()),
                Err(why) => Err(NotRead::Failed(why.clone())),
            },
        }
    }

    pub const fn refresh(&self, reference: &Reference) -> Duration {
        match reference {
            Reference::Vault { .. } => self.refresh,
            Reference::Aws { .. } => aws::REFRESH,
        }
    }

    pub fn tell(&self, action: &'static str, target: impl Into<String>, detail: String) {
        if let Some(teller) = self.teller.get() {
            teller(News { action, target: target.into(), detail });
        }
    }
}

impl Stores {
    /// The stores of a plan, of which `references` are wanted.
    #[must_use]
    pub fn new(plan: StoresPlan, mut references: Vec<Reference>) -> Arc<Self> {
        references.sort();
        references.dedup();
        let (teller, working) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { plan, references, teller, working, former: Mutex::default() })
    }

    /// What it was made from.
    #[must_use]
    pub const fn plan(&self) -> &StoresPlan {
        &self.plan
    }

    /// What is wanted of the stores.
    #[must_use]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Who is told what happens. The first counts.
    pub fn observe(&self, teller: impl Fn(News) + Send + Sync + 'static) {
        let _ = self.teller.get_or_init(Teller::default).set(Box::new(teller));
    }

    /// Goes on with what `old` knows, if it is of the same stores; tells whom `old` told.
    pub fn adopt(&self, old: &Self) {
        if let Some(teller) = old.teller.get() {
            let _ = self.teller.set(Arc::clone(teller));
        }
        let mut former = old.former.lock().clone();
        if let Some(working) = old.working.get() {
            match self.plan == old.plan {
                true => drop(self.working.set(Arc::clone(working))),
                false => former.push(Arc::downgrade(working.shared())),
            }
        }
        former.retain(|shared| shared.strong_count() > 0);
        *self.former.lock() = former;
    }

    /// Reads everything that is wanted, now and then again; does not wait for it. What is not
    /// wanted any more is forgotten.
    pub fn start(&self) {
        if !self.references.is_empty() || self.working.get().is_some() {
            self.working().0.keeper.want(&self.references);
        }
    }

    /// Has every lease revoked, those that are used too, in so long at most; `false` if some were
    /// not.
    #[must_use]
    pub fn stop(&self, within: Duration) -> bool {
        let former: Vec<_> = self.former.lock().iter().filter_map(Weak::upgrade).collect();
        let now = self.working.get().map(|working| Arc::clone(working.shared()));
        let all: Vec<_> = now.into_iter().chain(former).collect();
        // Beside each other: one that does not answer takes no time from the others.
        thread::scope(|scope| {
            let settle = |shared: &Arc<Shared>| shared.leases.settle(within);
            let waits: Vec<_> = all.iter().map(|one| scope.spawn(move || settle(one))).collect();
            waits.into_iter().map(|wait| wait.join().unwrap_or(false)).filter(|all| !all).count()
                == 0
        })
    }

    /// What is known of each secret.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        self.working.get().map(|working| working.0.keeper.kept()).unwrap_or_default()
    }

    /// What the store said last; where that is nothing, what it says now.
    pub(crate) async fn fetch(
        self: Arc<Self>,
        reference: &Reference,
    ) -> Result<Secret<String>, String> {
        Keeper::fetch(self.working().shared(), reference).await
    }

    /// Reads one now, on a thread that may wait, and keeps nothing: for looking whether it can be
    /// had.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn probe(&self, reference: &Reference) -> Result<(), String> {
        let shared = self.shared();
        match shared.read(reference) {
            Ok(_) => Ok(()),
            Err(NotRead::Gone(why) | NotRead::Failed(why)) => Err(why),
        }
    }

    fn shared(&self) -> Shared {
        Shared {
            vault: self.plan.vault.as_ref().map(vault::client),
            aws: OnceLock::new(),
            refresh: self.plan.vault.as_ref().map_or(Duration::MAX, |plan| plan.refresh),
            teller: Arc::clone(self.teller.get_or_init(Teller::default)),
            keeper: Keeper::default(),
            leases: Leases::default(),
        }
    }

    pub(crate) fn working(&self) -> &Arc<Working> {
        self.working.get_or_init(|| {
            let shared = Arc::new(self.shared());
            let keeping = Arc::clone(&shared);
            let leasing = Arc::clone(&shared);
            let started = thread::Builder::new()
                .name("secrets".to_owned())
                .spawn(move || Keeper::run(&keeping))
                .and_then(|_| {
                    let builder = thread::Builder::new().name("leases".to_owned());
                    builder.spawn(move || Leases::run(&leasing))
                });
            if let Err(error) = started {
                // Secrets are then read once, and leases end at their own end.
                tracing::error!(%error, "no thread can be started that keeps secrets fresh");
            }
            Arc::new(Working(shared))
        })
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("plan", &self.plan).finish_non_exhaustive()
    }
}

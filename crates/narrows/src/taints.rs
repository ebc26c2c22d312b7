//! What principals received of followed values (R14): in memory, where it is searched, and in the
//! state database, so that a restart forgets none.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::taint::{Print, Taint, TaintKey, Trail};
use model::limit::{TAINT_EXPIRES, TAINT_KEPT, TAINTS_MAX, TAINTS_TOTAL_MAX};
use model::{Secret, Timestamp};
use store::{KeptTaints, StateError};

use crate::wire::waiting;

/// Bytes of a stored print: both hashes, its length, and whether it is digits.
const PRINT_BYTES: usize = 18;
/// The source of a row that says only that something could not be kept.
const INCOMPLETE: &str = "";

/// The trails of all principals.
pub struct Taints {
    store: Arc<store::Taints>,
    followed: Arc<Followed>,
}

/// What is known, by whichever gateway.
struct Followed {
    key: Arc<TaintKey>,
    trails: Mutex<HashMap<Arc<str>, Arc<Trail>>>,
    /// Values in all trails.
    total: AtomicUsize,
}

impl Taints {
    /// Loads what is still followed; `key` is derived from the installation key.
    ///
    /// # Errors
    /// The state database cannot be read: the operator's to mend.
    pub fn open(
        store: Arc<store::Taints>,
        key: &Secret<[u8; 32]>,
        now: Timestamp,
    ) -> Result<Self, StateError> {
        let followed = Arc::new(Followed {
            key: Arc::new(TaintKey::new(key.expose())),
            trails: Mutex::default(),
            total: AtomicUsize::new(0),
        });
        // Before what there is already, so that nothing is missed.
        let hears = Arc::downgrade(&followed);
        store.observe(Box::new(move |kept| {
            if let Some(followed) = hears.upgrade() {
                followed.load_all(kept, runtime::clock::now());
            }
        }));
        followed.load_all(&store.load(now)?, now);
        Ok(Self { store, followed })
    }

    /// Of this principal.
    pub fn trail(&self, subject: &str) -> Arc<Trail> {
        self.followed.trail(subject)
    }

    /// Keeps values before they are sent. False: they cannot be kept.
    pub fn keep(&self, subject: &str, taints: &[Taint], now: Timestamp) -> bool {
        let trail = self.trail(subject);
        let fresh = trail.unknown(taints, now);
        if fresh.is_empty() {
            return true;
        }
        let expires = now.plus(TAINT_KEPT);
        if !self.has_room(&trail, fresh.len(), now) {
            return self.give_up(subject, &trail, expires, now);
        }
        let mut sources: BTreeMap<Arc<str>, Vec<u8>> = BTreeMap::new();
        for taint in &fresh {
            let bytes = sources.entry(Arc::clone(&taint.source)).or_default();
            encode(&taint.print, bytes);
        }
        let sources: Vec<_> = sources.into_iter().collect();
        if let Err(error) = self.kept(subject, &sources, expires, now) {
            tracing::error!(%error, "followed values cannot be kept");
            return false;
        }
        for taint in &fresh {
            match trail.add(taint, expires, now) {
                Ok(true) => {
                    self.followed.total.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => {}
                // Another session was quicker: the trail knows that it is not complete.
                Err(_) => return self.give_up(subject, &trail, expires, now),
            }
        }
        true
    }

    fn kept(
        &self,
        subject: &str,
        values: &[(Arc<str>, Vec<u8>)],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let keep = || self.store.keep(subject, values, expires, now);
        if self.store.is_shared() { waiting(keep) } else { keep() }
    }

    fn has_room(&self, trail: &Trail, more: usize, now: Timestamp) -> bool {
        let fits = |trail: &Trail| {
            trail.len().saturating_add(more) <= TAINTS_MAX
                && self.followed.total.load(Ordering::Relaxed).saturating_add(more)
                    <= TAINTS_TOTAL_MAX
        };
        if fits(trail) {
            return true;
        }
        let trails: Vec<_> = self.followed.trails().values().map(Arc::clone).collect();
        let left = trails.iter().map(|trail| trail.forget(now)).sum();
        self.followed.total.store(left, Ordering::Relaxed);
        fits(trail)
    }

    /// The values pass, and what the principal's requests carry is not known from here on.
    fn give_up(&self, subject: &str, trail: &Trail, expires: Timestamp, now: Timestamp) -> bool {
        // As long as this value would be followed, and not only those before it.
        if trail.is_incomplete(now.plus(TAINT_EXPIRES)) {
            return true;
        }
        tracing::warn!(
            principal = subject,
            most = TAINTS_MAX,
            "more followed values were received than are kept: rules that read what requests carry \
             refuse for up to 36 h"
        );
        let mark = [(Arc::from(INCOMPLETE), Vec::new())];
        if let Err(error) = self.kept(subject, &mark, expires, now) {
            tracing::error!(%error, "it cannot be kept that followed values are not all known");
            return false;
        }
        trail.incomplete(expires);
        true
    }
}

impl Followed {
    fn load_all(&self, kept: &[KeptTaints], now: Timestamp) {
        kept.iter().for_each(|kept| self.load(kept, now));
    }

    fn load(&self, kept: &KeptTaints, now: Timestamp) {
        let trail = self.trail(&kept.principal);
        let prints = kept.bytes.as_deref().filter(|_| &*kept.source != INCOMPLETE).and_then(decode);
        let Some(prints) = prints else {
            trail.incomplete(kept.expires);
            return;
        };
        for print in prints {
            let taint = Taint { source: Arc::clone(&kept.source), print };
            if trail.add(&taint, kept.expires, now) == Ok(true) {
                self.total.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn trails(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Trail>>> {
        self.trails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trail(&self, subject: &str) -> Arc<Trail> {
        let mut trails = self.trails();
        if let Some(trail) = trails.get(subject) {
            return Arc::clone(trail);
        }
        let trail = Arc::new(Trail::new(Arc::clone(&self.key)));
        trails.insert(subject.into(), Arc::clone(&trail));
        trail
    }
}

fn encode(print: &Print, out: &mut Vec<u8>) {
    out.extend_from_slice(&print.window.to_be_bytes());
    out.extend_from_slice(&print.whole.to_be_bytes());
    out.extend_from_slice(&[print.length, u8::from(print.digits)]);
}

fn decode(bytes: &[u8]) -> Option<Vec<Print>> {
    let (prints, rest) = bytes.as_chunks::<PRINT_BYTES>();
    let print = |bytes: &[u8; PRINT_BYTES]| {
        let (window, rest) = bytes.split_first_chunk()?;
        let (whole, rest) = rest.split_first_chunk()?;
        let [length, digits] = *rest else { return None };
        Some(Print {
            window: u64::from_be_bytes(*window),
            whole: u64::from_be_bytes(*whole),
            length,
            digits: digits != 0,
        })
    };
    rest.is_empty().then(|| prints.iter().map(print).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::{InstallationKey, Registry, State};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn open(file: &std::path::Path, now: Timestamp) -> Taints {
        let state = Arc::new(State::open(file).unwrap());
        let key = InstallationKey::from_bytes(&[7; 32]).unwrap();
        let kept = Arc::new(store::Taints::open(Registry::local(state), &key).unwrap());
        Taints::open(kept, &key.derive("taint"), now).unwrap()
    }

    fn carried(taints: &Taints, text: &str, now: Timestamp) -> Option<usize> {
        let trail = taints.trail("ann");
        let mut search = trail.search(now);
        search.look(text.as_bytes());
        search.end().map(|found| found.len())
    }

    #[test]
    fn r14_a_value_is_followed_a_day_from_when_it_was_last_received_over_restarts() {
        let folder = std::env::temp_dir().join(format!("narrows-taints-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("state.sqlite");
        let taints = open(&file, NOW);
        let value = taints.trail("ann").taints(&Arc::from("db:a.mail"), b"ann@shop.example");
        assert!(taints.keep("ann", &value, NOW));
        // Received again when much of its time is over.
        let again = NOW.plus(HOUR * 20);
        assert!(taints.keep("ann", &value, again));
        drop(taints);
        let last = again.plus(TAINT_EXPIRES - HOUR);
        let taints = open(&file, last);
        assert_eq!(carried(&taints, "ann@shop.example", last), Some(1));
        assert_eq!(carried(&taints, "ann@shop.example", again.plus(TAINT_KEPT)), Some(0));

        // What could not be kept is as long unknown, whatever was unknown before it.
        let trail = taints.trail("ann");
        let full = |at: Timestamp| taints.give_up("ann", &trail, at.plus(TAINT_KEPT), at);
        assert!(full(last));
        let later = last.plus(HOUR * 20);
        assert!(full(later));
        let end = later.plus(TAINT_EXPIRES - HOUR);
        assert_eq!(carried(&taints, "nothing", end), None);
        drop(taints);
        assert_eq!(carried(&open(&file, end), "nothing", end), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}

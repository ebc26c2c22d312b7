//! How many different values each principal has compared with a masked column today (R5).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use model::{Guess, Timestamp};
use parking_lot::Mutex;

use crate::data_dir::InstallationKey;
use crate::registry::{Registry, Tx};
use crate::state::{Lane, StateError};

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;
/// Bytes kept of the HMAC of a value: enough that two values of one day do not meet.
const FINGERPRINT_BYTES: usize = 16;

/// The guesses of today (UTC), in memory and in the registry, so that a restart forgets none. What
/// counts is the registry, where several gateways count together: memory only knows what need not
/// be counted again.
///
/// Kept of a value is only an HMAC-SHA-256 under a key derived from the installation key. Bounded
/// by the budget for each principal and column; days that are over are deleted.
pub struct Guesses {
    registry: Arc<Registry>,
    key: hmac::Key,
    today: Mutex<Today>,
}

type Fingerprint = [u8; FINGERPRINT_BYTES];
/// Principal, resource, field.
type Key = (Arc<str>, Arc<str>, Arc<str>);

#[derive(Default)]
struct Today {
    day: u64,
    seen: HashMap<Key, HashSet<Fingerprint>>,
}

impl Guesses {
    /// Loads what was guessed today.
    ///
    /// # Errors
    /// The state database cannot be read: the operator's to mend.
    pub fn open(
        registry: Arc<Registry>,
        installation: &InstallationKey,
        now: Timestamp,
    ) -> Result<Self, StateError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, installation.derive("guesses").expose());
        let day = now.0 / DAY_NS;
        let mut today = Today { day, seen: HashMap::new() };
        let sql = "SELECT principal, resource, field, day, fingerprint FROM guesses
            WHERE day >= ?1";
        let rows = registry.read(Lane::Registry, |tx| tx.rows(sql, &[day.into()]))?;
        // A clock that was set back does not give a budget anew.
        for row in &rows {
            today.day = today.day.max(row.number(3)?);
        }
        for row in &rows {
            if row.number(3)? != today.day {
                continue;
            }
            let key: Key = (row.text(0)?.into(), row.text(1)?.into(), row.text(2)?.into());
            let odd = |_| StateError::Content("a guess of another length".to_owned());
            let fingerprint = row.bytes(4)?.try_into().map_err(odd)?;
            today.seen.entry(key).or_default().insert(fingerprint);
        }
        Ok(Self { registry, key, today: Mutex::new(today) })
    }

    /// Counts the guesses of one operation, all or none, if each field's stay within `most`
    /// different values this day. Returns a field whose budget they would exceed.
    ///
    /// # Errors
    /// They cannot be kept; the operation must not go on.
    pub fn count(
        &self,
        principal: &str,
        resource: &str,
        guesses: &[Guess],
        most: u64,
        now: Timestamp,
    ) -> Result<Option<Arc<str>>, StateError> {
        let mut today = self.today.lock();
        let day = now.0 / DAY_NS;
        let is_new_day = day > today.day;
        if is_new_day {
            *today = Today { day, seen: HashMap::new() };
        }
        let day = today.day;
        let (principal, resource): (Arc<str>, Arc<str>) = (principal.into(), resource.into());
        let mut new: HashMap<Key, HashSet<Fingerprint>> = HashMap::new();
        for guess in guesses {
            let key = (Arc::clone(&principal), Arc::clone(&resource), Arc::clone(&guess.field));
            let fingerprint = self.fingerprint(guess);
            let known = today.seen.get(&key);
            if known.is_some_and(|known| known.contains(&fingerprint)) {
                continue;
            }
            let known = known.map_or(0, HashSet::len);
            let set = new.entry(key).or_default();
            set.insert(fingerprint);
            if known.saturating_add(set.len()) as u64 > most {
                return Ok(Some(Arc::clone(&guess.field)));
            }
        }
        if new.is_empty() && !is_new_day {
            return Ok(None);
        }
        // Not while the database is waited for: others ask what they know already.
        drop(today);
        let counted = self.registry.write(Lane::Registry, |tx| {
            tx.turn(format!("guesses\0{principal}\0{resource}").as_bytes())?;
            // Yesterday's stay: the clock of another gateway may be behind.
            tx.run("DELETE FROM guesses WHERE day < ?1", &[day.saturating_sub(1).into()])?;
            match add(tx, &new, day, most)? {
                None => Ok(()),
                Some(field) => Err(Uncounted::Spent(field)),
            }
        });
        match counted {
            Ok(()) => {}
            Err(Uncounted::Spent(field)) => return Ok(Some(field)),
            Err(Uncounted::State(error)) => return Err(error),
        }
        let mut today = self.today.lock();
        if today.day == day {
            for (key, fingerprints) in new {
                today.seen.entry(key).or_default().extend(fingerprints);
            }
        }
        Ok(None)
    }

    fn fingerprint(&self, guess: &Guess) -> Fingerprint {
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(&guess.value);
        let tag = mac.sign();
        let mut out = [0; FINGERPRINT_BYTES];
        out.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        out
    }
}

/// Why nothing was counted.
enum Uncounted {
    Spent(Arc<str>),
    State(StateError),
}

impl From<StateError> for Uncounted {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// Adds guesses; a field that has more than `most` then, of which this must not be kept.
fn add(
    tx: &mut Tx<'_>,
    new: &HashMap<Key, HashSet<Fingerprint>>,
    day: u64,
    most: u64,
) -> Result<Option<Arc<str>>, StateError> {
    for ((principal, resource, field), fingerprints) in new {
        for fingerprint in fingerprints {
            tx.run(
                "INSERT INTO guesses (principal, resource, field, day, fingerprint)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                &[
                    principal.into(),
                    resource.into(),
                    field.into(),
                    day.into(),
                    fingerprint.as_slice().into(),
                ],
            )?;
        }
        let rows = tx.rows(
            "SELECT count(*) FROM guesses
             WHERE day = ?1 AND principal = ?2 AND resource = ?3 AND field = ?4",
            &[day.into(), principal.into(), resource.into(), field.into()],
        )?;
        if rows.first().map_or(Ok(0), |row| row.number(0))? > most {
            return Ok(Some(Arc::clone(field)));
        }
    }
    Ok(None)
}

impl fmt::Debug for Guesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guesses").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Folder, over_both, registry};

    const NOON: Timestamp = Timestamp(20_000 * DAY_NS + DAY_NS / 2);

    fn open(folder: &Folder, now: Timestamp) -> Guesses {
        let key = InstallationKey::from_bytes(&[7; 32]).unwrap();
        Guesses::open(registry(folder), &key, now).unwrap()
    }

    fn guess(field: &str, value: &str) -> Guess {
        Guess { field: field.into(), value: value.as_bytes().into() }
    }

    over_both! {
        fn r5_different_values_of_a_day_are_counted_for_each_principal_resource_and_field() {
            let folder = Folder::new();
            let guesses = open(&folder, NOON);
            let count = |who: &str, on: &str, asked: &[Guess]| {
                guesses.count(who, on, asked, 2, NOON).unwrap().map(|field| field.to_string())
            };
            assert_eq!(count("ann", "db", &[guess("ssn", "1"), guess("ssn", "1")]), None);
            assert_eq!(count("ann", "db", &[guess("ssn", "1"), guess("ssn", "2")]), None);
            assert_eq!(count("ann", "db", &[guess("ssn", "3")]).as_deref(), Some("ssn"));
            // What was guessed before costs nothing, and what exceeds counts as a whole.
            assert_eq!(count("ann", "db", &[guess("ssn", "2")]), None);
            let asked = [guess("card", "1"), guess("ssn", "3")];
            assert_eq!(count("ann", "db", &asked).as_deref(), Some("ssn"));
            assert_eq!(count("ann", "db", &[guess("card", "1"), guess("card", "2")]), None);
            assert_eq!(count("bob", "db", &[guess("ssn", "3")]), None);
            assert_eq!(count("ann", "other", &[guess("ssn", "3")]), None);
        }

        fn r5_a_restart_forgets_none_and_a_day_forgets_all() {
            let folder = Folder::new();
            let spent = |guesses: &Guesses, value: &str, now| {
                guesses.count("ann", "db", &[guess("ssn", value)], 1, now).unwrap().is_some()
            };
            assert!(!spent(&open(&folder, NOON), "1", NOON));
            assert!(spent(&open(&folder, NOON), "2", NOON));
            let tomorrow = Timestamp(NOON.0 + DAY_NS);
            let guesses = open(&folder, NOON);
            assert!(!spent(&guesses, "2", tomorrow));
            assert!(spent(&guesses, "1", NOON), "the clock was set back");
            assert!(spent(&open(&folder, NOON), "1", NOON), "and the gateway started again");
        }

        fn r5_a_clock_that_is_ahead_gives_others_no_budget_anew() {
            let folder = Folder::new();
            let (ahead, behind) = (open(&folder, NOON), open(&folder, NOON));
            let spent = |guesses: &Guesses, value: &str, now| {
                guesses.count("ann", "db", &[guess("ssn", value)], 2, now).unwrap().is_some()
            };
            assert!(!spent(&ahead, "1", NOON) && !spent(&behind, "2", NOON));
            assert!(!spent(&ahead, "1", Timestamp(NOON.0 + DAY_NS)));
            assert!(spent(&behind, "3", NOON));
        }

        fn p7_no_value_is_kept() {
            let folder = Folder::new();
            let guesses = open(&folder, NOON);
            guesses.count("ann", "db", &[guess("ssn", "123-45-6789")], 9, NOON).unwrap();
            drop(guesses);
            for file in std::fs::read_dir(folder.path()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                assert!(!bytes.windows(11).any(|part| part == b"123-45-6789"));
            }
        }
    }
}

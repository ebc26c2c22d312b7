//! What each principal received of followed values (R14), so that a restart forgets none.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use model::Timestamp;
use rusqlite::params;

use crate::data_dir::InstallationKey;
use crate::state::{State, StateError, from_sql, to_sql};

/// The followed values of all principals, in the state database.
///
/// What is kept are the caller's bytes, which stand for values and from which, with one value
/// known, others could be guessed; so they are sealed (AES-256-GCM) under a key derived from the
/// installation key, and bound to the principal, the source and the time they are kept with.
pub struct Taints {
    state: Arc<State>,
    key: RandomizedNonceKey,
}

/// Some values of one principal from one source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptTaints {
    /// Who received them.
    pub principal: Arc<str>,
    /// Where they came from.
    pub source: Arc<str>,
    /// Until when they are followed.
    pub expires: Timestamp,
    /// What was kept; `None` where it was sealed under another key or is damaged.
    pub bytes: Option<Vec<u8>>,
}

impl Taints {
    /// Over the state database.
    ///
    /// # Errors
    /// There is no cipher, which this build has always.
    pub fn open(state: Arc<State>, installation: &InstallationKey) -> Result<Self, StateError> {
        let key = installation.derive("taints at rest");
        match RandomizedNonceKey::new(&AES_256_GCM, key.expose()) {
            Ok(key) => Ok(Self { state, key }),
            Err(_) => Err(state.unusable("the key for followed values has the wrong length")),
        }
    }

    /// What is still followed at this time, in no order.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn load(&self, now: Timestamp) -> Result<Vec<KeptTaints>, StateError> {
        self.state.taints(|db| {
            let sql = "SELECT principal, source, expires, sealed FROM taints WHERE expires > ?1";
            let mut rows = db.prepare(sql)?;
            let mut rows = rows.query([to_sql(now.0)])?;
            let mut kept = Vec::new();
            while let Some(row) = rows.next()? {
                let text = |at| row.get::<_, String>(at).map(Arc::<str>::from);
                let (principal, source) = (text(0)?, text(1)?);
                let expires = Timestamp(from_sql(row.get(2)?));
                let bytes = self.unsealed(&principal, &source, expires, row.get(3)?);
                kept.push(KeptTaints { principal, source, expires, bytes });
            }
            Ok(kept)
        })
    }

    /// Keeps values of one principal, by source, all or none; forgets those of anyone whose time is
    /// over. They survive the end of the process from here on, and a power cut as soon as the
    /// operating system wrote them, as the journal's last records do.
    ///
    /// # Errors
    /// They cannot be kept.
    pub fn keep(
        &self,
        principal: &str,
        values: &[(Arc<str>, Vec<u8>)],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let mut sealed = Vec::with_capacity(values.len());
        for (source, bytes) in values {
            let Some(blob) = self.sealed(principal, source, expires, bytes.clone()) else {
                return Err(self.state.unusable("followed values cannot be sealed"));
            };
            sealed.push((source, blob));
        }
        self.state.taints(|db| {
            let work = db.transaction()?;
            work.prepare_cached("DELETE FROM taints WHERE expires <= ?1")?
                .execute([to_sql(now.0)])?;
            for (source, blob) in &sealed {
                work.prepare_cached("INSERT INTO taints VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![principal, source, to_sql(expires.0), blob])?;
            }
            work.commit()
        })
    }

    fn sealed(
        &self,
        principal: &str,
        source: &str,
        expires: Timestamp,
        mut bytes: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let aad = Aad::from(bound_to(principal, source, expires));
        let nonce = self.key.seal_in_place_append_tag(aad, &mut bytes).ok()?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        Some(sealed)
    }

    fn unsealed(
        &self,
        principal: &str,
        source: &str,
        expires: Timestamp,
        sealed: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = rest.to_vec();
        let aad = Aad::from(bound_to(principal, source, expires));
        let opened = self.key.open_in_place(nonce, aad, &mut bytes).ok()?.len();
        bytes.truncate(opened);
        Some(bytes)
    }
}

fn bound_to(principal: &str, source: &str, expires: Timestamp) -> Vec<u8> {
    let mut bound = Vec::with_capacity(principal.len() + source.len() + 16);
    bound.extend_from_slice(&expires.0.to_be_bytes());
    bound.extend_from_slice(&(principal.len() as u64).to_be_bytes());
    bound.extend_from_slice(principal.as_bytes());
    bound.extend_from_slice(source.as_bytes());
    bound
}

impl fmt::Debug for Taints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taints").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);
    const LATER: Timestamp = Timestamp(2_000_000_000_000);

    fn open(folder: &Folder, key: u8) -> Taints {
        let state = Arc::new(State::open(&folder.path().join("state.sqlite")).unwrap());
        Taints::open(state, &InstallationKey::from_bytes(&[key; 32]).unwrap()).unwrap()
    }

    fn source(name: &str, bytes: &[u8]) -> (Arc<str>, Vec<u8>) {
        (name.into(), bytes.to_vec())
    }

    #[test]
    fn r14_what_was_received_survives_a_restart_until_its_time_is_over() {
        let folder = Folder::new();
        let kept = [source("db:a.ssn", b"one"), source("db:a.name", b"two")];
        open(&folder, 7).keep("ann", &kept, LATER, NOW).unwrap();
        open(&folder, 7).keep("bob", &kept[..1], Timestamp(LATER.0 + 1), NOW).unwrap();
        let mut loaded = open(&folder, 7).load(NOW).unwrap();
        loaded.sort_by(|a, b| (&a.principal, &a.source).cmp(&(&b.principal, &b.source)));
        let of = |kept: &KeptTaints| {
            let bytes = String::from_utf8(kept.bytes.clone().unwrap()).unwrap();
            format!("{} {} {} {bytes}", kept.principal, kept.source, kept.expires.0)
        };
        let loaded: Vec<_> = loaded.iter().map(of).collect();
        assert_eq!(
            loaded,
            [
                format!("ann db:a.name {} two", LATER.0),
                format!("ann db:a.ssn {} one", LATER.0),
                format!("bob db:a.ssn {} one", LATER.0 + 1),
            ]
        );
        let taints = open(&folder, 7);
        assert_eq!(taints.load(LATER).unwrap().len(), 1);
        taints.keep("ann", &[], Timestamp(LATER.0 + 9), Timestamp(LATER.0 + 1)).unwrap();
        assert_eq!(taints.load(NOW).unwrap(), [], "they are gone, not only passed over");
    }

    #[test]
    fn r14_another_key_says_that_something_is_kept_and_not_what() {
        let folder = Folder::new();
        open(&folder, 7).keep("ann", &[source("db:a.ssn", b"one")], LATER, NOW).unwrap();
        let [kept] = &open(&folder, 8).load(NOW).unwrap()[..] else { panic!("one") };
        assert_eq!((&*kept.principal, &kept.bytes), ("ann", &None));
    }

    #[test]
    fn p7_prints_are_sealed_and_bound_to_whom_they_are_of() {
        let folder = Folder::new();
        let taints = open(&folder, 7);
        taints.keep("ann", &[source("db:a.ssn", b"these are prints")], LATER, NOW).unwrap();
        let sealed = |taints: &Taints| -> Vec<u8> {
            let read = |db: &mut rusqlite::Connection| {
                db.query_row("SELECT sealed FROM taints", [], |row| row.get(0))
            };
            taints.state.taints(read).unwrap()
        };
        let blob = sealed(&taints);
        assert!(!blob.windows(6).any(|part| part == b"prints"));
        assert!(taints.unsealed("ann", "db:a.ssn", LATER, blob.clone()).is_some());
        for (who, from, until) in
            [("bob", "db:a.ssn", LATER), ("ann", "db:a.name", LATER), ("ann", "db:a.ssn", NOW)]
        {
            assert_eq!(taints.unsealed(who, from, until, blob.clone()), None, "{who} {from}");
        }
    }
}

//! What each principal received of followed values (R14), so that a restart forgets none.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use model::Timestamp;
use parking_lot::RwLock;

use crate::data_dir::InstallationKey;
use crate::id;
use crate::registry::{Kind, Registry, Row, Value};
use crate::state::{Lane, StateError};

/// The followed values of all principals, in the registry.
///
/// What is kept are the caller's bytes, which stand for values and from which, with one value
/// known, others could be guessed; so they are sealed (AES-256-GCM) under a key derived from the
/// installation key, and bound to the principal, the source and the time they are kept with.
pub struct Taints {
    registry: Arc<Registry>,
    key: RandomizedNonceKey,
    observers: RwLock<Vec<Observer>>,
}

type Observer = Box<dyn Fn(&[KeptTaints]) + Send + Sync>;

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
    pub fn open(
        registry: Arc<Registry>,
        installation: &InstallationKey,
    ) -> Result<Self, StateError> {
        let key = installation.derive("taints at rest");
        match RandomizedNonceKey::new(&AES_256_GCM, key.expose()) {
            Ok(key) => Ok(Self { registry, key, observers: RwLock::default() }),
            Err(_) => Err(registry.unusable("the key for followed values has the wrong length")),
        }
    }

    /// What is still followed at this time, in no order.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn load(&self, now: Timestamp) -> Result<Vec<KeptTaints>, StateError> {
        let sql = "SELECT principal, source, expires, sealed FROM taints WHERE expires > ?1";
        let rows = self.registry.read(Lane::Taints, |tx| tx.rows(sql, &[now.into()]))?;
        rows.iter().map(|row| self.kept(row)).collect()
    }

    fn kept(&self, row: &Row) -> Result<KeptTaints, StateError> {
        let (principal, source): (Arc<str>, Arc<str>) = (row.text(0)?.into(), row.text(1)?.into());
        let expires = Timestamp(row.number(2)?);
        let bytes = self.unsealed(&principal, &source, expires, row.bytes(3)?);
        Ok(KeptTaints { principal, source, expires, bytes })
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
                return Err(self.registry.unusable("followed values cannot be sealed"));
            };
            sealed.push((source, blob));
        }
        let batch = match self.registry.gateway() {
            None => None,
            Some(gateway) => {
                let named = id::short_id(&format!("{gateway}:"), 12);
                Some(named.map_err(|error| self.registry.unusable(&error.to_string()))?)
            }
        };
        self.registry.write(Lane::Taints, |tx| {
            tx.run("DELETE FROM taints WHERE expires <= ?1", &[now.into()])?;
            for (source, blob) in &sealed {
                let row = [
                    principal.into(),
                    (*source).into(),
                    expires.into(),
                    Value::Bytes(blob.clone()),
                ];
                match &batch {
                    None => tx.run(
                        "INSERT INTO taints (principal, source, expires, sealed)
                         VALUES (?1, ?2, ?3, ?4)",
                        &row,
                    )?,
                    Some(batch) => tx.run(
                        "INSERT INTO taints (principal, source, expires, sealed, batch)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                        &[&row[..], &[batch.as_str().into()]].concat(),
                    )?,
                };
            }
            if let Some(batch) = &batch {
                tx.changed(Kind::Taint, batch);
            }
            Ok(())
        })
    }

    /// Whether other gateways keep theirs in the same place.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.registry.gateway().is_some()
    }

    /// Calls `observer` with values that another gateway kept, from now on.
    pub fn observe(&self, observer: Observer) {
        self.observers.write().push(observer);
    }

    /// Some gateway kept values.
    pub(crate) fn heard(&self, batch: &str, now: Timestamp) -> Result<(), StateError> {
        let by = batch.split(':').next();
        if by == self.registry.gateway().map(|gateway| &**gateway) {
            return Ok(());
        }
        let sql = "SELECT principal, source, expires, sealed FROM taints
            WHERE batch = ?1 AND expires > ?2";
        let rows =
            self.registry.read(Lane::Taints, |tx| tx.rows(sql, &[batch.into(), now.into()]))?;
        let kept = rows.iter().map(|row| self.kept(row)).collect::<Result<Vec<_>, _>>()?;
        self.observers.read().iter().for_each(|observer| observer(&kept));
        Ok(())
    }

    /// Any gateway may have kept values.
    pub(crate) fn heard_all(&self, now: Timestamp) -> Result<(), StateError> {
        let kept = self.load(now)?;
        self.observers.read().iter().for_each(|observer| observer(&kept));
        Ok(())
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
        sealed: &[u8],
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
    use crate::testing::{Folder, over_both, registry};

    const NOW: Timestamp = Timestamp(1_000_000_000_000);
    const LATER: Timestamp = Timestamp(2_000_000_000_000);

    fn open(folder: &Folder, key: u8) -> Taints {
        Taints::open(registry(folder), &InstallationKey::from_bytes(&[key; 32]).unwrap()).unwrap()
    }

    fn source(name: &str, bytes: &[u8]) -> (Arc<str>, Vec<u8>) {
        (name.into(), bytes.to_vec())
    }

    over_both! {
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

        fn r14_another_key_says_that_something_is_kept_and_not_what() {
            let folder = Folder::new();
            open(&folder, 7).keep("ann", &[source("db:a.ssn", b"one")], LATER, NOW).unwrap();
            let [kept] = &open(&folder, 8).load(NOW).unwrap()[..] else { panic!("one") };
            assert_eq!((&*kept.principal, &kept.bytes), ("ann", &None));
        }

        fn p7_prints_are_sealed_and_bound_to_whom_they_are_of() {
            let folder = Folder::new();
            let taints = open(&folder, 7);
            taints.keep("ann", &[source("db:a.ssn", b"these are prints")], LATER, NOW).unwrap();
            let sealed = |taints: &Taints| -> Vec<u8> {
                let sql = "SELECT sealed FROM taints";
                let rows = taints.registry.read(Lane::Taints, |tx| tx.rows(sql, &[])).unwrap();
                rows[0].bytes(0).unwrap().to_vec()
            };
            let blob = sealed(&taints);
            assert!(!blob.windows(6).any(|part| part == b"prints"));
            assert!(taints.unsealed("ann", "db:a.ssn", LATER, &blob).is_some());
            for (who, from, until) in
                [("bob", "db:a.ssn", LATER), ("ann", "db:a.name", LATER), ("ann", "db:a.ssn", NOW)]
            {
                assert_eq!(taints.unsealed(who, from, until, &blob), None, "{who} {from}");
            }
        }
    }
}

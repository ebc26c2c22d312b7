//! Tokens of our own: minted here, stored only as a keyed hash, revocable at once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use model::{Principal, PrincipalKind, Secret, Timestamp, TokenId, limit};
use parking_lot::{Mutex, RwLock};

use crate::data_dir::InstallationKey;
use crate::id::{self, BASE62_CHARS, NoRandomness};
use crate::registry::{Kind, Registry, Row, Tx, Value, opt};
use crate::state::{Lane, StateError};

/// The issuer of tokens made here.
pub const ISSUER: &str = "narrows";
/// The subject under which the holder of `data_dir/admin.token` acts. No token may carry it.
pub const ADMIN_SUBJECT: &str = "admin.token";
pub(crate) const PREFIX: &str = "nrw_";
const NAME_CHARS_MAX: usize = 256;
const GROUPS_MAX: usize = 256;

/// Why a token was not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// No such token was ever made here.
    #[error("unknown token")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// It was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The state that gateways share could not be read for too long: whether it was revoked is not
    /// known.
    #[error("whether the token is still good is not known: the state database does not answer")]
    Unsure,
}

/// Why a token was not made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// What was asked for cannot be; in words for the one who asked.
    #[error("{0}")]
    Invalid(String),
    /// No token has that id.
    #[error("there is no token {}", .0.0)]
    Unknown(TokenId),
    /// The registry holds as many tokens as it may.
    #[error("the registry holds {0} tokens, its limit")]
    Full(usize),
    /// The registry failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// A token to be made.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// Who it stands for: 1 to 256 characters, no control characters, not `admin.token`.
    pub subject: String,
    /// The groups of the subject, at most 256, each like a subject.
    pub groups: Vec<String>,
    /// What kind of actor the subject is.
    pub kind: PrincipalKind,
    /// How long it is good for, at least a second; `None` until revoked.
    pub ttl: Option<Duration>,
    /// Who makes it; may not approve for it (R12).
    pub minted_by: Option<String>,
}

/// What the registry knows of a token; the token itself it does not know.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct TokenRecord {
    /// Its public name: `tk_…`.
    pub id: TokenId,
    /// Who it stands for.
    pub subject: Arc<str>,
    /// What kind of actor the subject is.
    pub kind: PrincipalKind,
    /// The groups of the subject.
    pub groups: Vec<Arc<str>>,
    /// Who made it.
    pub minted_by: Option<Arc<str>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// The registry of tokens.
///
/// A token is 256 random bits. Kept is only its HMAC-SHA-256 under a key derived from the
/// installation key, so a copy of the state database opens nothing, not even by guessing offline.
/// Finding a token compares HMACs in a hash map. The time this takes can tell an attacker only
/// about the HMAC of what they sent, which they can neither predict nor steer without the key, so
/// it is independent of how near their guess was to a real token; no constant-time comparison is
/// needed.
pub struct Tokens {
    registry: Arc<Registry>,
    key: hmac::Key,
    /// One writer at a time; whoever verifies waits for none of them.
    writing: Mutex<()>,
    known: RwLock<Known>,
    /// Tokens of identity providers that are no longer believed.
    denied: RwLock<HashSet<TokenId>>,
    callbacks: RwLock<Vec<Revoked>>,
}

type Revoked = Box<dyn Fn(&TokenId) + Send + Sync>;
type Fingerprint = [u8; 32];

#[derive(Default)]
struct Known {
    tokens: HashMap<Fingerprint, Arc<TokenRecord>>,
    fingerprints: HashMap<TokenId, Fingerprint>,
}

impl Tokens {
    /// Loads the registry.
    pub fn open(
        registry: Arc<Registry>,
        installation: &InstallationKey,
    ) -> Result<Self, StateError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, installation.derive("token").expose());
        let tokens = Self {
            registry,
            key,
            writing: Mutex::new(()),
            known: RwLock::default(),
            denied: RwLock::default(),
            callbacks: RwLock::default(),
        };
        tokens.heard_all()?;
        Ok(tokens)
    }

    /// Makes a token. The secret is shown once, here, and cannot be had again.
    pub fn create(
        &self,
        new: NewToken,
        now: Timestamp,
    ) -> Result<(TokenRecord, Secret<String>), TokensError> {
        check(&new)?;
        let token = Secret::new(format!("{PREFIX}{}", id::base62(id::random_32()?)));
        let fingerprint = self.fingerprint(token.expose());
        let record = TokenRecord {
            id: TokenId(id::short_id("tk_", 12)?.into()),
            subject: new.subject.into(),
            kind: new.kind,
            groups: new.groups.into_iter().map(Arc::from).collect(),
            minted_by: new.minted_by.map(Arc::from),
            created_at: now,
            expires_at: new.ttl.map(|ttl| now.plus(ttl)),
            revoked_at: None,
        };
        let _one = self.writing.lock();
        if self.known.read().tokens.len() >= limit::TOKENS_MAX {
            return Err(TokensError::Full(limit::TOKENS_MAX));
        }
        self.registry.write(Lane::Registry, |tx| {
            insert(tx, &record, &fingerprint)?;
            tx.changed(Kind::Token, &record.id.0);
            Ok::<_, StateError>(())
        })?;
        self.known.write().insert(fingerprint, record.clone());
        Ok((record, token))
    }

    /// Who a token stands for. Expiry is exclusive: at `expires_at` the token is no longer good.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, TokenError> {
        let shaped = token.strip_prefix(PREFIX).is_some_and(|rest| {
            rest.len() == BASE62_CHARS && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if !shaped {
            return Err(TokenError::Unknown);
        }
        let known = self.known.read();
        let record = known.tokens.get(&self.fingerprint(token)).ok_or(TokenError::Unknown)?;
        record.check(now)?;
        match self.registry.is_fresh() {
            true => Ok(record.principal()),
            false => Err(TokenError::Unsure),
        }
    }

    /// Whether what is known of tokens is what the registry holds, or was not long ago.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.registry.is_fresh()
    }

    /// Whether a token that was verified is still good; for a rule of R9 ("revocation re-checked").
    pub fn recheck(&self, id: &TokenId, now: Timestamp) -> Result<(), TokenError> {
        let known = self.known.read();
        let fingerprint = known.fingerprints.get(id).ok_or(TokenError::Unknown)?;
        known.tokens.get(fingerprint).ok_or(TokenError::Unknown)?.check(now)?;
        match self.registry.is_fresh() {
            true => Ok(()),
            false => Err(TokenError::Unsure),
        }
    }

    /// All tokens ever made, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<TokenRecord> {
        let mut tokens: Vec<_> =
            self.known.read().tokens.values().map(|record| (**record).clone()).collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        tokens
    }

    /// Revokes a token and tells all subscribers before it returns. Revoking twice keeps the first
    /// time. Where the registry cannot be reached, subscribers are told all the same: what this
    /// gateway can end ends, and the error says that the others do not know.
    pub fn revoke(&self, id: &TokenId, now: Timestamp) -> Result<TokenRecord, TokensError> {
        let one = self.writing.lock();
        let revoked = self.registry.write(Lane::Registry, |tx| {
            let sql = "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
            if tx.run(sql, &[(&id.0).into(), now.into()])? > 0 {
                tx.changed(Kind::Token, &id.0);
            }
            load_one(tx, id)
        });
        let found = match revoked {
            Ok(found) => found.ok_or_else(|| TokensError::Unknown(id.clone())),
            Err(error) if error.is_unreachable() && self.is_known(id) => Err(error.into()),
            Err(error) => return Err(error.into()),
        };
        if let Ok((fingerprint, record)) = &found {
            self.known.write().insert(*fingerprint, record.clone());
        }
        drop(one);
        if !matches!(found, Err(TokensError::Unknown(_))) {
            self.tell(id);
        }
        found.map(|(_, record)| record)
    }

    /// No longer believes a token of an identity provider, which is known here by its name in
    /// records alone, and tells all subscribers before it returns. Its issuer is not told.
    pub fn deny(&self, id: &TokenId, subject: &str, now: Timestamp) -> Result<(), TokensError> {
        let one = self.writing.lock();
        let denied = self.denied.read();
        if denied.len() >= limit::TOKENS_MAX && !denied.contains(id) {
            return Err(TokensError::Full(limit::TOKENS_MAX));
        }
        drop(denied);
        let kept = self.registry.write(Lane::Registry, |tx| {
            let sql = "INSERT INTO denied_tokens (id, subject, denied_at) VALUES (?1, ?2, ?3)
                ON CONFLICT (id) DO NOTHING";
            if tx.run(sql, &[(&id.0).into(), subject.into(), now.into()])? > 0 {
                tx.changed(Kind::Denied, &id.0);
            }
            Ok::<_, StateError>(())
        });
        drop(one);
        match kept {
            Ok(()) => self.heard_denied(id.clone()),
            Err(error) if error.is_unreachable() => {
                self.tell(id);
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Another gateway made or revoked a token.
    pub(crate) fn heard(&self, id: &TokenId) -> Result<(), StateError> {
        let found = self.registry.read(Lane::Reader, |tx| load_one(tx, id))?;
        let Some((fingerprint, record)) = found else { return Ok(()) };
        let is_revoked = record.revoked_at.is_some();
        if self.known.write().insert(fingerprint, record) && is_revoked {
            self.tell(id);
        }
        Ok(())
    }

    /// Another gateway no longer believes a token of an identity provider. Subscribers may be told
    /// more than once.
    pub(crate) fn heard_denied(&self, id: TokenId) {
        self.denied.write().insert(id.clone());
        self.tell(&id);
    }

    /// Any token may have been made or revoked.
    pub(crate) fn heard_all(&self) -> Result<(), StateError> {
        // One that is being made is in neither.
        let _one = self.writing.lock();
        let (tokens, denied) = self.registry.read(Lane::Registry, |tx| {
            let tokens = load(tx)?;
            let denied = tx.rows("SELECT id FROM denied_tokens", &[])?;
            let denied = denied.iter().map(|row| Ok(TokenId(row.text(0)?.into())));
            Ok((tokens, denied.collect::<Result<HashSet<_>, StateError>>()?))
        })?;
        let mut over: Vec<TokenId> = Vec::new();
        let mut known = self.known.write();
        // What is not there any more was lost with the database that held it, and nobody could
        // revoke it.
        let kept: HashSet<Fingerprint> =
            tokens.iter().map(|(fingerprint, _)| *fingerprint).collect();
        over.extend(known.forget_all_but(&kept));
        for (fingerprint, record) in tokens {
            let (id, is_revoked) = (record.id.clone(), record.revoked_at.is_some());
            if known.insert(fingerprint, record) && is_revoked {
                over.push(id);
            }
        }
        drop(known);
        let mut all = self.denied.write();
        over.extend(denied.difference(&all).cloned());
        all.extend(denied);
        drop(all);
        over.iter().for_each(|id| self.tell(id));
        Ok(())
    }

    fn is_known(&self, id: &TokenId) -> bool {
        self.known.read().fingerprints.contains_key(id)
    }

    fn tell(&self, id: &TokenId) {
        self.callbacks.read().iter().for_each(|callback| callback(id));
    }

    /// Whether a token of an identity provider was revoked here.
    #[must_use]
    pub fn is_denied(&self, id: &TokenId) -> bool {
        self.denied.read().contains(id)
    }

    /// Calls `callback` with the id of every token revoked from now on, so that its live sessions
    /// end. It must return at once and must not call back into the registry's writers.
    pub fn subscribe(&self, callback: Revoked) {
        self.callbacks.write().push(callback);
    }

    fn fingerprint(&self, token: &str) -> Fingerprint {
        let tag = hmac::sign(&self.key, token.as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        fingerprint
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.known.read().tokens.len();
        f.debug_struct("Tokens").field("count", &count).finish_non_exhaustive()
    }
}

impl TokenRecord {
    fn check(&self, now: Timestamp) -> Result<(), TokenError> {
        if self.revoked_at.is_some() {
            return Err(TokenError::Revoked);
        }
        match self.expires_at {
            Some(end) if now >= end => Err(TokenError::Expired),
            _ => Ok(()),
        }
    }

    fn principal(&self) -> Principal {
        Principal {
            subject: Arc::clone(&self.subject),
            kind: self.kind,
            groups: self.groups.clone(),
            issuer: ISSUER.into(),
            on_behalf_of: None,
            on_behalf_of_groups: Vec::new(),
            token: Some(self.id.clone()),
            minted_by: self.minted_by.clone(),
            expires_at: self.expires_at,
            certificate: None,
        }
    }
}

impl Known {
    /// Whether something else was known of it. What was revoked stays so.
    fn insert(&mut self, fingerprint: Fingerprint, record: TokenRecord) -> bool {
        let before = self.tokens.get(&fingerprint);
        if before.is_some_and(|known| known.revoked_at.is_some() || **known == record) {
            return false;
        }
        self.fingerprints.insert(record.id.clone(), fingerprint);
        self.tokens.insert(fingerprint, Arc::new(record));
        true
    }

    /// Forgets all other tokens; which these were.
    fn forget_all_but(&mut self, kept: &HashSet<Fingerprint>) -> Vec<TokenId> {
        let gone = |fingerprint: &Fingerprint| !kept.contains(fingerprint);
        let tokens = self.tokens.iter().filter(|(fingerprint, _)| gone(fingerprint));
        let ids: Vec<_> = tokens.map(|(_, record)| record.id.clone()).collect();
        self.tokens.retain(|fingerprint, _| !gone(fingerprint));
        self.fingerprints.retain(|_, fingerprint| !gone(fingerprint));
        ids
    }
}

fn check(new: &NewToken) -> Result<(), TokensError> {
    let invalid = |words: String| Err(TokensError::Invalid(words));
    if new.groups.len() > GROUPS_MAX {
        return invalid(format!(
            "{} groups; a token carries at most {GROUPS_MAX}",
            new.groups.len()
        ));
    }
    let subject = std::iter::once(("subject", &new.subject));
    for (what, name) in subject.chain(new.groups.iter().map(|group| ("group", group))) {
        let chars = name.chars().count();
        if !(1..=NAME_CHARS_MAX).contains(&chars) {
            let limit = NAME_CHARS_MAX;
            return invalid(format!("a {what} of {chars} characters; it needs 1 to {limit}"));
        }
        if name.chars().any(char::is_control) || name.trim() != name {
            return invalid(format!(
                "{what} {name:?} holds control characters, or space at an end"
            ));
        }
    }
    if new.subject.eq_ignore_ascii_case(ADMIN_SUBJECT) {
        return invalid(format!("subject {ADMIN_SUBJECT:?} belongs to the machine's owner"));
    }
    if new.ttl.is_some_and(|ttl| ttl < Duration::from_secs(1)) {
        return invalid("a token good for less than a second is of no use".to_owned());
    }
    Ok(())
}

fn insert(
    tx: &mut Tx<'_>,
    record: &TokenRecord,
    fingerprint: &Fingerprint,
) -> Result<(), StateError> {
    let groups = serde_json::to_string(&record.groups)
        .map_err(|error| StateError::Content(error.to_string()))?;
    tx.run(
        "INSERT INTO tokens (id, fingerprint, subject, kind, groups, minted_by, created_at,
            expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        &[
            (&record.id.0).into(),
            fingerprint.as_slice().into(),
            (&record.subject).into(),
            record.kind.as_str().into(),
            Value::Text(groups),
            opt(record.minted_by.as_ref()),
            record.created_at.into(),
            opt(record.expires_at),
        ],
    )
    .map(drop)
}

fn load(tx: &mut Tx<'_>) -> Result<Vec<(Fingerprint, TokenRecord)>, StateError> {
    let sql = "SELECT fingerprint, id, subject, kind, groups, minted_by, created_at,
        expires_at, revoked_at FROM tokens";
    tx.rows(sql, &[])?.iter().map(record).collect()
}

fn load_one(
    tx: &mut Tx<'_>,
    id: &TokenId,
) -> Result<Option<(Fingerprint, TokenRecord)>, StateError> {
    let sql = "SELECT fingerprint, id, subject, kind, groups, minted_by, created_at,
        expires_at, revoked_at FROM tokens WHERE id = ?1";
    tx.rows(sql, &[(&id.0).into()])?.first().map(record).transpose()
}

fn record(row: &Row) -> Result<(Fingerprint, TokenRecord), StateError> {
    let broken = |what: String| StateError::Content(format!("a token: {what}"));
    let fingerprint = row.bytes(0)?.try_into();
    let kind = match row.text(3)? {
        "agent" => PrincipalKind::Agent,
        "person" => PrincipalKind::Person,
        "service" => PrincipalKind::Service,
        other => return Err(broken(format!("{other:?} is no kind of principal"))),
    };
    let groups = serde_json::from_str(row.text(4)?);
    let record = TokenRecord {
        id: TokenId(row.text(1)?.into()),
        subject: row.text(2)?.into(),
        kind,
        groups: groups.map_err(|error| broken(error.to_string()))?,
        minted_by: row.maybe_text(5)?.map(Arc::from),
        created_at: row.maybe_time(6)?.unwrap_or_default(),
        expires_at: row.maybe_time(7)?,
        revoked_at: row.maybe_time(8)?,
    };
    Ok((fingerprint.map_err(|_| broken("a fingerprint of another length".to_owned()))?, record))
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::testing::{Folder, at, over_both, registry};

    fn key() -> InstallationKey {
        InstallationKey::from_bytes(&[9; 32]).unwrap()
    }

    fn tokens(folder: &Folder) -> Tokens {
        Tokens::open(registry(folder), &key()).unwrap()
    }

    fn new(subject: &str) -> NewToken {
        NewToken {
            subject: subject.to_owned(),
            groups: vec!["agents".to_owned()],
            ttl: Some(Duration::from_secs(60)),
            minted_by: Some("alice".to_owned()),
            ..NewToken::default()
        }
    }

    over_both! {
        fn a_token_of_an_identity_provider_stays_denied() {
            let folder = Folder::new();
            let (id, other) = (TokenId("jwt_a".into()), TokenId("jwt_b".into()));
            let told = Arc::new(Mutex::new(Vec::new()));
            {
                let tokens = tokens(&folder);
                let hears = Arc::clone(&told);
                tokens.subscribe(Box::new(move |id| hears.lock().push(id.clone())));
                tokens.deny(&id, "robot", at(1)).unwrap();
                tokens.deny(&id, "robot", at(2)).unwrap();
                assert!(tokens.is_denied(&id) && !tokens.is_denied(&other));
            }
            assert_eq!(*told.lock(), [id.clone(), id.clone()]);
            assert!(tokens(&folder).is_denied(&id), "after a restart too");
        }

        fn a_token_reads_nrw_and_43_characters_and_stands_for_its_principal() {
            let folder = Folder::new();
            let tokens = tokens(&folder);
            let (record, token) = tokens.create(new("bot"), at(0)).unwrap();
            assert_eq!(token.expose().len(), 47);
            let principal = tokens.verify(token.expose(), at(1)).unwrap();
            assert_eq!(&*principal.subject, "bot");
            assert_eq!(&*principal.issuer, "narrows");
            assert_eq!(principal.groups, vec!["agents".into()]);
            assert_eq!(principal.token, Some(record.id));
            assert_eq!(principal.minted_by.as_deref(), Some("alice"));
            assert_eq!(principal.expires_at, Some(at(60)));
        }

        fn a_token_expires_at_its_very_end() {
            let folder = Folder::new();
            let tokens = tokens(&folder);
            let (record, token) = tokens.create(new("bot"), at(0)).unwrap();
            let end = at(60);
            assert!(tokens.verify(token.expose(), Timestamp(end.0 - 1)).is_ok());
            assert_eq!(tokens.verify(token.expose(), end), Err(TokenError::Expired));
            assert_eq!(tokens.recheck(&record.id, end), Err(TokenError::Expired));
        }

        fn a_revocation_is_told_at_once_and_outlives_a_restart() {
            let folder = Folder::new();
            let (token, id) = {
                let tokens = tokens(&folder);
                let heard = Arc::new(Mutex::new(Vec::new()));
                let ear = Arc::clone(&heard);
                tokens.subscribe(Box::new(move |id| ear.lock().push(id.clone())));
                let (record, token) = tokens.create(new("bot"), at(0)).unwrap();
                tokens.revoke(&record.id, at(5)).unwrap();
                assert_eq!(*heard.lock(), std::slice::from_ref(&record.id));
                assert_eq!(tokens.verify(token.expose(), at(5)), Err(TokenError::Revoked));
                (token, record.id)
            };
            let tokens = tokens(&folder);
            assert_eq!(tokens.verify(token.expose(), at(5)), Err(TokenError::Revoked));
            assert_eq!(tokens.revoke(&id, at(9)).unwrap().revoked_at, Some(at(5)));
        }

        fn p2_what_changed_unheard_is_told_when_all_is_read_anew() {
            let folder = Folder::new();
            let (one, other) = (tokens(&folder), tokens(&folder));
            let [(first, secret), (second, lost)] =
                ["bot", "bob"].map(|who| one.create(new(who), at(0)).unwrap());
            other.heard_all().unwrap();
            let heard = Arc::new(Mutex::new(Vec::new()));
            let ear = Arc::clone(&heard);
            other.subscribe(Box::new(move |id| ear.lock().push(id.clone())));
            let told = || std::mem::take(&mut *heard.lock());
            let denied = TokenId("jwt_a".into());
            one.revoke(&first.id, at(1)).unwrap();
            one.deny(&denied, "robot", at(1)).unwrap();
            other.heard_all().unwrap();
            assert_eq!(told(), [first.id.clone(), denied.clone()]);
            assert!(other.is_denied(&denied));
            assert_eq!(other.verify(secret.expose(), at(2)), Err(TokenError::Revoked));
            other.heard_all().unwrap();
            assert!(told().is_empty(), "once");
            // The database was put back from an older copy.
            let back = |sql| one.registry.write(Lane::Registry, |tx| tx.run(sql, &[])).map(drop);
            let done: Result<(), StateError> = back("UPDATE tokens SET revoked_at = NULL");
            done.unwrap();
            other.heard_all().unwrap();
            assert_eq!(other.verify(secret.expose(), at(2)), Err(TokenError::Revoked));
            let done: Result<(), StateError> = back("DELETE FROM tokens WHERE subject = 'bob'");
            done.unwrap();
            assert!(other.verify(lost.expose(), at(2)).is_ok());
            other.heard_all().unwrap();
            assert_eq!(told(), [second.id]);
            assert_eq!(other.verify(lost.expose(), at(2)), Err(TokenError::Unknown));
        }

        fn p8_so_many_tokens_of_others_are_denied_and_no_more() {
            let folder = Folder::new();
            let tokens = tokens(&folder);
            let named = |number: usize| TokenId(number.to_string().into());
            tokens.denied.write().extend((1..=limit::TOKENS_MAX).map(named));
            let more = tokens.deny(&named(0), "robot", at(0)).unwrap_err();
            assert!(matches!(more, TokensError::Full(_)), "{more}");
            assert!(tokens.deny(&named(1), "robot", at(0)).is_ok(), "it is one of them");
        }

        fn tokens_outlive_a_restart_and_only_under_the_same_key() {
            let folder = Folder::new();
            let (record, token) = tokens(&folder).create(new("bot"), at(0)).unwrap();
            let again = tokens(&folder);
            assert!(again.verify(token.expose(), at(1)).is_ok());
            assert_eq!(again.list(), [record]);
                        let other = InstallationKey::from_bytes(&[8; 32]).unwrap();
            let other = Tokens::open(registry(&folder), &other).unwrap();
            assert_eq!(other.verify(token.expose(), at(1)), Err(TokenError::Unknown));
        }

        fn p7_the_token_itself_is_nowhere_in_the_data_folder() {
            let folder = Folder::new();
            let tokens = tokens(&folder);
            let (_, token) = tokens.create(new("bot"), at(0)).unwrap();
            let secret = token.expose().as_bytes();
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                let bytes = std::fs::read(entry.unwrap().path()).unwrap();
                assert!(!bytes.windows(secret.len()).any(|window| window == secret));
            }
            assert_eq!(format!("{token:?}"), "***");
        }

        fn what_is_not_shaped_like_a_token_is_unknown() {
            let folder = Folder::new();
            let tokens = tokens(&folder);
            let (_, token) = tokens.create(new("bot"), at(0)).unwrap();
            let long = format!("{}x", token.expose());
            let other = format!("nrw_{}", "0".repeat(43));
            let odd = format!("nrw_{}", "é".repeat(22));
            for text in ["", "nrw_", token.expose().get(4..).unwrap(), &long, &other, &odd] {
                assert_eq!(tokens.verify(text, at(1)), Err(TokenError::Unknown), "{text:?}");
            }
        }

        fn names_that_cannot_be_are_refused_with_a_reason() {
            let folder = Folder::new();
            let tokens = tokens(&folder);
            let long = "x".repeat(257);
            for (subject, says) in [
                ("", "1 to 256"),
                (long.as_str(), "1 to 256"),
                ("a\nb", "control"),
                (" a", "space"),
                ("Admin.Token", "owner"),
            ] {
                let error = tokens.create(new(subject), at(0)).unwrap_err().to_string();
                assert!(error.contains(says), "{subject:?}: {error}");
            }
            assert!(tokens.create(new(&"x".repeat(256)), at(0)).is_ok());
            let brief = NewToken { ttl: Some(Duration::from_millis(999)), ..new("bot") };
            assert!(tokens.create(brief, at(0)).is_err());
            let id = TokenId("tk_none".into());
            assert!(matches!(tokens.revoke(&id, at(0)), Err(TokensError::Unknown(_))));
        }
    }
}

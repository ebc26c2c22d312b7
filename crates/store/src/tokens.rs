//! Tokens of our own: minted here, stored only as a keyed hash, revocable at once.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use model::{Principal, PrincipalKind, Secret, Timestamp, TokenId, limit};
use parking_lot::RwLock;
use rusqlite::{Connection, Row, params};

use crate::data_dir::InstallationKey;
use crate::id::{self, BASE62_CHARS, NoRandomness};
use crate::state::{State, StateError, from_sql, to_sql};

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
    state: Arc<State>,
    key: hmac::Key,
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
    pub fn open(state: Arc<State>, installation: &InstallationKey) -> Result<Self, StateError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, installation.derive("token").expose());
        let known = RwLock::new(state.registry(load)?);
        let denied = RwLock::new(state.registry(load_denied)?);
        Ok(Self { state, key, known, denied, callbacks: RwLock::default() })
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
        let mut known = self.known.write();
        if known.tokens.len() >= limit::TOKENS_MAX {
            return Err(TokensError::Full(limit::TOKENS_MAX));
        }
        self.state.registry(|db| insert(db, &record, &fingerprint))?;
        known.insert(fingerprint, record.clone());
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
        Ok(record.principal())
    }

    /// Whether a token that was verified is still good; for a rule of R9 ("revocation re-checked").
    pub fn recheck(&self, id: &TokenId, now: Timestamp) -> Result<(), TokenError> {
        let known = self.known.read();
        let fingerprint = known.fingerprints.get(id).ok_or(TokenError::Unknown)?;
        known.tokens.get(fingerprint).ok_or(TokenError::Unknown)?.check(now)
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
    /// time.
    pub fn revoke(&self, id: &TokenId, now: Timestamp) -> Result<TokenRecord, TokensError> {
        let mut known = self.known.write();
        let fingerprint =
            *known.fingerprints.get(id).ok_or_else(|| TokensError::Unknown(id.clone()))?;
        let record =
            known.tokens.get(&fingerprint).ok_or_else(|| TokensError::Unknown(id.clone()))?;
        let mut record = (**record).clone();
        if record.revoked_at.is_none() {
            record.revoked_at = Some(now);
            self.state.registry(|db| {
                let sql = "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1";
                db.execute(sql, params![&*id.0, to_sql(now.0)]).map(|_| ())
            })?;
            known.insert(fingerprint, record.clone());
        }
        drop(known);
        self.callbacks.read().iter().for_each(|callback| callback(id));
        Ok(record)
    }

    /// No longer believes a token of an identity provider, which is known here by its name in
    /// records alone, and tells all subscribers before it returns. Its issuer is not told.
    pub fn deny(&self, id: &TokenId, subject: &str, now: Timestamp) -> Result<(), TokensError> {
        let mut denied = self.denied.write();
        if denied.len() >= limit::TOKENS_MAX && !denied.contains(id) {
            return Err(TokensError::Full(limit::TOKENS_MAX));
        }
        self.state.registry(|db| {
            let sql = "INSERT INTO denied_tokens (id, subject, denied_at) VALUES (?1, ?2, ?3)
                ON CONFLICT (id) DO NOTHING";
            db.execute(sql, params![&*id.0, subject, to_sql(now.0)]).map(|_| ())
        })?;
        denied.insert(id.clone());
        drop(denied);
        self.callbacks.read().iter().for_each(|callback| callback(id));
        Ok(())
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
        }
    }
}

impl Known {
    fn insert(&mut self, fingerprint: Fingerprint, record: TokenRecord) {
        self.fingerprints.insert(record.id.clone(), fingerprint);
        self.tokens.insert(fingerprint, Arc::new(record));
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
    db: &mut Connection,
    record: &TokenRecord,
    fingerprint: &Fingerprint,
) -> rusqlite::Result<()> {
    let groups = serde_json::to_string(&record.groups)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    db.execute(
        "INSERT INTO tokens (id, fingerprint, subject, kind, groups, minted_by, created_at,
            expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            &*record.id.0,
            fingerprint,
            &*record.subject,
            record.kind.as_str(),
            groups,
            record.minted_by.as_deref(),
            to_sql(record.created_at.0),
            record.expires_at.map(|at| to_sql(at.0)),
        ],
    )
    .map(|_| ())
}

fn load(db: &mut Connection) -> rusqlite::Result<Known> {
    let mut known = Known::default();
    let mut query = db.prepare(
        "SELECT fingerprint, id, subject, kind, groups, minted_by, created_at, expires_at,
            revoked_at FROM tokens",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        known.insert(row.get(0)?, record(row)?);
    }
    Ok(known)
}

fn load_denied(db: &mut Connection) -> rusqlite::Result<HashSet<TokenId>> {
    let mut query = db.prepare("SELECT id FROM denied_tokens")?;
    query.query_map([], |row| row.get(0).map(TokenId))?.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    let time =
        |column| row.get::<_, Option<i64>>(column).map(|at| at.map(|at| Timestamp(from_sql(at))));
    let broken = |column, error: String| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    };
    let kind = match row.get::<_, String>(3)?.as_str() {
        "agent" => PrincipalKind::Agent,
        "person" => PrincipalKind::Person,
        "service" => PrincipalKind::Service,
        other => return Err(broken(3, format!("{other:?} is no kind of principal"))),
    };
    let groups = serde_json::from_str(&row.get::<_, String>(4)?);
    Ok(TokenRecord {
        id: TokenId(row.get(1)?),
        subject: row.get(2)?,
        kind,
        groups: groups.map_err(|error| broken(4, error.to_string()))?,
        minted_by: row.get(5)?,
        created_at: time(6)?.unwrap_or_default(),
        expires_at: time(7)?,
        revoked_at: time(8)?,
    })
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::testing::{Folder, at};

    fn key() -> InstallationKey {
        InstallationKey::from_bytes(&[9; 32]).unwrap()
    }

    #[test]
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

    fn tokens(folder: &Folder) -> Tokens {
        let state = State::open(&folder.path().join("state.sqlite")).unwrap();
        Tokens::open(Arc::new(state), &key()).unwrap()
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

    #[test]
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

    #[test]
    fn a_token_expires_at_its_very_end() {
        let folder = Folder::new();
        let tokens = tokens(&folder);
        let (record, token) = tokens.create(new("bot"), at(0)).unwrap();
        let end = at(60);
        assert!(tokens.verify(token.expose(), Timestamp(end.0 - 1)).is_ok());
        assert_eq!(tokens.verify(token.expose(), end), Err(TokenError::Expired));
        assert_eq!(tokens.recheck(&record.id, end), Err(TokenError::Expired));
    }

    #[test]
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

    #[test]
    fn tokens_outlive_a_restart_and_only_under_the_same_key() {
        let folder = Folder::new();
        let (record, token) = tokens(&folder).create(new("bot"), at(0)).unwrap();
        let again = tokens(&folder);
        assert!(again.verify(token.expose(), at(1)).is_ok());
        assert_eq!(again.list(), [record]);
        let state = State::open(&folder.path().join("state.sqlite")).unwrap();
        let other = InstallationKey::from_bytes(&[8; 32]).unwrap();
        let other = Tokens::open(Arc::new(state), &other).unwrap();
        assert_eq!(other.verify(token.expose(), at(1)), Err(TokenError::Unknown));
    }

    #[test]
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

    #[test]
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

    #[test]
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

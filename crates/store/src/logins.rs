//! Sign-ins of people: who they proved to be, what stands for them afterwards (a browser's cookie,
//! tokens of `narrows login`), and the codes on the way to a token.
//!
//! Cookies, tokens and codes are random and kept as keyed hashes only, as tokens of our own are.
//! What a method needs to ask its provider again (a refresh token) is kept sealed under a key
//! derived from the installation key. All SQL about sign-ins is in `sql`.

mod codes;
mod known;
mod sql;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use model::limit::{LOGIN_TOKENS_MAX, LOGINS_MAX};
use model::{Principal, PrincipalKind, Secret, Timestamp, TokenId};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::data_dir::{InstallationKey, hex, unhex};
use crate::id::{self, BASE62_CHARS, NoRandomness};
use crate::registry::{Registry, Tx};
use crate::state::{Lane, StateError};
use crate::tokens::{PREFIX, TokenError};

use known::{ELSEWHERE, Known};

pub use codes::{Code, Take};

/// How the public names of tokens of sign-ins begin.
pub const LOGIN_TOKEN_PREFIX: &str = "lt_";
/// The least between two notes that a cookie was used, and which part of `idle` at most.
const SEEN_EVERY: Duration = Duration::from_secs(60);
const OF_IDLE: u32 = 4;
/// What the key for sealing is derived for.
const SEAL: &str = "login seal";

/// A person who signed in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Login {
    /// Its name: `lg_…`.
    pub id: Arc<str>,
    /// The sign-in method that vouches.
    pub method: Arc<str>,
    /// How that was configured, by its digest ([`Logins::honour`]).
    #[serde(default)]
    pub plan: Arc<str>,
    /// Who.
    pub subject: Arc<str>,
    /// What they are called, for their own pages.
    pub name: Option<Arc<str>>,
    /// Their groups, as the method said last.
    pub groups: Vec<Arc<str>>,
    /// Who vouches, by name.
    pub issuer: Arc<str>,
    /// When they signed in.
    pub started_at: Timestamp,
    /// When it ends, whatever the provider says; exclusive.
    pub ends_at: Timestamp,
    /// When the method was last tried.
    pub asked_at: Timestamp,
    /// When it last vouched.
    pub confirmed_at: Timestamp,
    /// The method can be asked again.
    pub renews: bool,
    /// Why it could not be asked, if the last try failed.
    pub trouble: Option<Arc<str>>,
}

/// A sign-in to begin.
#[derive(Debug)]
pub struct NewLogin {
    /// The sign-in method that vouches.
    pub method: Arc<str>,
    /// What it was believed by, in the words of [`Logins::honour`].
    pub believed_by: String,
    /// Who.
    pub subject: Arc<str>,
    /// What they are called.
    pub name: Option<Arc<str>>,
    /// Their groups.
    pub groups: Vec<Arc<str>>,
    /// Who vouches, by name.
    pub issuer: Arc<str>,
    /// When it ends.
    pub ends_at: Timestamp,
    /// The method can be asked again.
    pub renews: bool,
    /// What the method needs for that, or to sign out; kept sealed.
    pub keep: Option<Secret<String>>,
}

/// What a method says when it was asked again.
#[derive(Debug)]
pub struct Renewal {
    /// The groups now.
    pub groups: Vec<Arc<str>>,
    /// What is needed to ask the next time.
    pub keep: Option<Secret<String>>,
}

/// What stands for a sign-in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyKind {
    /// A browser's cookie.
    Cookie,
    /// A token of `narrows login`.
    Token,
}

/// A cookie or token of a sign-in, without its secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoginKey {
    /// Its public name: `lt_…` of a token, `lc_…` of a cookie.
    pub id: TokenId,
    /// The sign-in.
    pub login: Arc<str>,
    /// What it is.
    pub kind: KeyKind,
    /// Where it was asked for, in the words of whoever asked.
    pub label: Arc<str>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was last used, about.
    pub seen_at: Timestamp,
}

/// Why a sign-in was not kept.
#[derive(Debug, thiserror::Error)]
pub enum LoginsError {
    /// As many as there may be.
    #[error("there are {0} {1}, the limit")]
    Full(usize, &'static str),
    /// It has ended.
    #[error("the sign-in has ended")]
    Ended,
    /// Nobody signs in by that method, or it is configured otherwise now.
    #[error("nobody signs in by that method any more, or it is configured otherwise now")]
    Method,
    /// The registry failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// Told which tokens may not be used any more, and why, by a fixed word.
type Ended = Box<dyn Fn(&[TokenId], &'static str) + Send + Sync>;
type Fingerprint = [u8; 32];

/// The registry of sign-ins.
pub struct Logins {
    registry: Arc<Registry>,
    /// One change at a time, so that what is known follows what is kept. Whoever only looks does
    /// not wait for a database.
    writing: Mutex<()>,
    key: hmac::Key,
    seal: RandomizedNonceKey,
    known: RwLock<Known>,
    /// The methods by which people sign in here, each with the digest of how it is configured.
    plans: RwLock<HashMap<Arc<str>, Arc<str>>>,
    /// What ended here and could not be taken out of the registry yet.
    unkept: Mutex<Unkept>,
    callbacks: RwLock<Vec<Ended>>,
}

/// Ends that only this process knows of.
#[derive(Default)]
struct Unkept {
    logins: BTreeSet<Arc<str>>,
    /// Each with its sign-in.
    keys: HashMap<Fingerprint, Arc<str>>,
}

impl Logins {
    /// Loads the registry.
    pub fn open(
        registry: Arc<Registry>,
        installation: &InstallationKey,
    ) -> Result<Self, StateError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, installation.derive("login").expose());
        let seal = RandomizedNonceKey::new(&AES_256_GCM, installation.derive(SEAL).expose())
            .map_err(|_| registry.unusable("the key of sign-ins cannot be used"))?;
        let known = RwLock::new(registry.read(Lane::Registry, sql::load)?);
        let writing = Mutex::new(());
        let (plans, unkept, callbacks) = (RwLock::default(), Mutex::default(), RwLock::default());
        Ok(Self { registry, writing, key, seal, known, plans, unkept, callbacks })
    }

    /// From now on these methods count, of those whose names begin so, and no others: each with
    /// all that its sign-ins were believed by, in words that are the same wherever it is configured
    /// alike. A sign-in from when its method was configured otherwise stands for nobody here. It is
    /// not ended: another gateway may still be configured as it was.
    pub fn honour(&self, prefix: &str, methods: impl IntoIterator<Item = (String, String)>) {
        let mut plans = self.plans.write();
        plans.retain(|method, _| !method.starts_with(prefix));
        let methods = methods.into_iter();
        plans.extend(methods.map(|(name, words)| (name.into(), self.digest(&words))));
    }

    fn digest(&self, words: &str) -> Arc<str> {
        self.derived("sign-in method", words).into()
    }

    /// Whether there is a method by which people sign in here.
    #[must_use]
    pub fn honours_any(&self) -> bool {
        !self.plans.read().is_empty()
    }

    /// Whether a sign-in is by a method as it is configured here.
    #[must_use]
    pub fn honours(&self, login: &Login) -> bool {
        self.plans.read().get(&login.method).is_some_and(|plan| *plan == login.plan)
    }

    fn write<T>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        self.registry.write(Lane::Registry, work)
    }

    /// Another gateway changed something of a sign-in, or ended it.
    pub(crate) fn heard(&self, id: &str) -> Result<(), StateError> {
        let one = self.writing.lock();
        let mut found = self.registry.read(Lane::Reader, |tx| sql::load_one(tx, id))?;
        self.leave_out(&mut found);
        let mut known = self.known.write();
        let over = known.take_in(id, &mut found);
        drop(known);
        drop(one);
        self.tell_all(over);
        Ok(())
    }

    /// Any sign-in may have changed.
    pub(crate) fn heard_all(&self) -> Result<(), StateError> {
        let one = self.writing.lock();
        let mut found = self.registry.read(Lane::Registry, sql::load)?;
        self.leave_out(&mut found);
        let over = self.known.write().take_all(found);
        drop(one);
        self.tell_all(over);
        Ok(())
    }

    /// What ended here stays ended, whether or not the registry has it yet.
    fn leave_out(&self, found: &mut Known) {
        let unkept = self.unkept.lock();
        found.logins.retain(|id, _| !unkept.logins.contains(id));
        found.keys.retain(|fingerprint, _| !unkept.keys.contains_key(fingerprint));
        let Known { keys, fingerprints, .. } = found;
        fingerprints.retain(|_, fingerprint| keys.contains_key(fingerprint));
    }

    /// Takes out of the registry what could not be when it ended.
    fn keep_up(&self) -> Result<(), StateError> {
        let unkept = self.unkept.lock();
        let logins: Vec<_> = unkept.logins.iter().cloned().collect();
        let keys: Vec<_> = unkept.keys.iter().map(|(key, of)| (*key, Arc::clone(of))).collect();
        drop(unkept);
        for id in logins {
            self.write(|tx| sql::delete(tx, &id))?;
            self.unkept.lock().logins.remove(&id);
        }
        for (fingerprint, login) in keys {
            self.write(|tx| sql::delete_key(tx, &fingerprint, &login))?;
            self.unkept.lock().keys.remove(&fingerprint);
        }
        Ok(())
    }

    /// As if another gateway had ended it, and this one had not heard.
    #[cfg(test)]
    pub(crate) fn write_behind_its_back(&self, id: &str) {
        self.write(|tx| sql::delete(tx, id)).unwrap();
    }

    fn tell_all(&self, over: Vec<(Vec<TokenId>, &'static str)>) {
        for (tokens, why) in over {
            self.tell(&tokens, why);
        }
    }

    /// Begins a sign-in, and makes the cookie that stands for it, shown once, here.
    pub fn begin(
        &self,
        new: NewLogin,
        now: Timestamp,
    ) -> Result<(Arc<Login>, Secret<String>), LoginsError> {
        let id: Arc<str> = id::short_id("lg_", 12)?.into();
        let plan: Arc<str> = self.digest(&new.believed_by);
        // What was believed a moment ago may not be any more.
        if self.plans.read().get(&new.method).is_none_or(|now| *now != plan) {
            return Err(LoginsError::Method);
        }
        let login = Arc::new(Login {
            id: Arc::clone(&id),
            method: new.method,
            plan,
            subject: new.subject,
            name: new.name,
            groups: new.groups,
            issuer: new.issuer,
            started_at: now,
            ends_at: new.ends_at,
            asked_at: now,
            confirmed_at: now,
            renews: new.renews,
            trouble: None,
        });
        let sealed = new.keep.map(|keep| self.seal(&id, keep.expose())).transpose()?;
        let cookie = Secret::new(id::base62(id::random_32()?));
        let key = LoginKey {
            id: TokenId(id::short_id("lc_", 12)?.into()),
            login: id,
            kind: KeyKind::Cookie,
            label: "".into(),
            made_at: now,
            seen_at: now,
        };
        let fingerprint = self.fingerprint(cookie.expose());
        let _one = self.writing.lock();
        if self.known.read().logins.len() >= LOGINS_MAX {
            return Err(LoginsError::Full(LOGINS_MAX, "sign-ins"));
        }
        self.write(|tx| sql::insert(tx, &login, sealed.as_deref(), &fingerprint, &key))?;
        let mut known = self.known.write();
        known.insert(fingerprint, key);
        known.logins.insert(Arc::clone(&login.id), Arc::clone(&login));
        Ok((login, cookie))
    }

    /// Whose cookie it is, if it was used within `idle`.
    #[must_use]
    pub fn by_cookie(
        &self,
        cookie: &str,
        idle: Duration,
        now: Timestamp,
    ) -> Option<(Arc<Login>, LoginKey)> {
        let fingerprint = self.fingerprint(cookie);
        let known = self.known.read();
        let key = known.keys.get(&fingerprint).filter(|key| key.kind == KeyKind::Cookie)?.clone();
        let login = Arc::clone(known.logins.get(&key.login)?);
        drop(known);
        let is_over = now >= login.ends_at || now.since(key.seen_at) >= idle;
        if is_over || !self.registry.is_fresh() || !self.honours(&login) {
            return None;
        }
        if now.since(key.seen_at) >= SEEN_EVERY.min(idle / OF_IDLE) {
            self.seen(fingerprint, &login.id, now);
        }
        Some((login, key))
    }

    /// Notes that a key is used. If that cannot be written, it counts as not used, which ends
    /// sooner.
    fn seen(&self, fingerprint: Fingerprint, login: &str, now: Timestamp) {
        match self.write(|tx| sql::touch(tx, &fingerprint, login, now)) {
            Ok(()) => {
                if let Some(key) = self.known.write().keys.get_mut(&fingerprint) {
                    key.seen_at = key.seen_at.max(now);
                }
            }
            Err(error) => tracing::warn!(%error, "the use of a sign-in cannot be noted"),
        }
    }

    /// Makes a token that stands for a sign-in and ends with it; shown once, here.
    pub fn token(
        &self,
        login: &str,
        label: &str,
        now: Timestamp,
    ) -> Result<(LoginKey, Secret<String>), LoginsError> {
        let token = Secret::new(format!("{PREFIX}{}", id::base62(id::random_32()?)));
        let fingerprint = self.fingerprint(token.expose());
        let _one = self.writing.lock();
        let known = self.known.read();
        let alive = known.logins.get(login).filter(|it| now < it.ends_at && self.honours(it));
        let login = Arc::clone(&alive.ok_or(LoginsError::Ended)?.id);
        if known.tokens_of(&login).count() >= LOGIN_TOKENS_MAX {
            return Err(LoginsError::Full(LOGIN_TOKENS_MAX, "tokens of this sign-in"));
        }
        drop(known);
        let key = LoginKey {
            id: TokenId(id::short_id(LOGIN_TOKEN_PREFIX, 12)?.into()),
            login,
            kind: KeyKind::Token,
            label: label.into(),
            made_at: now,
            seen_at: now,
        };
        let made = self.write(|tx| {
            // Another gateway may end it now.
            sql::take_turn(tx, &key.login)?;
            let is_there = sql::is_there(tx, &key.login)?;
            if is_there {
                sql::insert_key(tx, &fingerprint, &key)?;
            }
            Ok(is_there)
        })?;
        if !made {
            return Err(LoginsError::Ended);
        }
        self.known.write().insert(fingerprint, key.clone());
        Ok((key, token))
    }

    /// Who a token of a sign-in stands for now.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, TokenError> {
        let shaped = token.strip_prefix(PREFIX).is_some_and(is_random_text);
        if !shaped {
            return Err(TokenError::Unknown);
        }
        let known = self.known.read();
        let key = known.keys.get(&self.fingerprint(token)).ok_or(TokenError::Unknown)?;
        if key.kind != KeyKind::Token {
            return Err(TokenError::Unknown);
        }
        let login = known.logins.get(&key.login).ok_or(TokenError::Unknown)?;
        if !self.honours(login) {
            return Err(TokenError::Unknown);
        }
        match now >= login.ends_at {
            true => Err(TokenError::Expired),
            false if !self.registry.is_fresh() => Err(TokenError::Unsure),
            false => Ok(login.principal(Some(key.id.clone()))),
        }
    }

    /// Whether this is how a token of a sign-in is named.
    #[must_use]
    pub fn names(id: &TokenId) -> bool {
        id.0.starts_with(LOGIN_TOKEN_PREFIX)
    }

    /// Whether a token that was verified is still good.
    pub fn recheck(&self, id: &TokenId, now: Timestamp) -> Result<(), TokenError> {
        match self.login_of(id) {
            None => Err(TokenError::Revoked),
            Some(login) if !self.honours(&login) => Err(TokenError::Revoked),
            Some(login) if now >= login.ends_at => Err(TokenError::Expired),
            Some(_) if !self.registry.is_fresh() => Err(TokenError::Unsure),
            Some(_) => Ok(()),
        }
    }

    /// Whether a principal is as its sign-in says now; of those without one nothing is said. Asked
    /// when a session begins, so that none begins with groups that were taken away meanwhile.
    #[must_use]
    pub fn is_current(&self, principal: &Principal) -> bool {
        let Some(id) = principal.token.as_ref().filter(|id| Self::names(id)) else { return true };
        self.login_of(id)
            .is_some_and(|login| login.groups == principal.groups && self.honours(&login))
    }

    /// The sign-in of a token or cookie, by its public name.
    #[must_use]
    pub fn login_of(&self, id: &TokenId) -> Option<Arc<Login>> {
        let known = self.known.read();
        let key = known.keys.get(known.fingerprints.get(id)?)?;
        known.logins.get(&key.login).cloned()
    }

    /// The sign-in of that name.
    #[must_use]
    pub fn login(&self, id: &str) -> Option<Arc<Login>> {
        self.known.read().logins.get(id).cloned()
    }

    /// Every sign-in, the earliest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Login>> {
        let mut all: Vec<_> = self.known.read().logins.values().cloned().collect();
        all.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        all
    }

    /// The sign-ins of one person by one method.
    #[must_use]
    pub fn of_person(&self, method: &str, subject: &str) -> Vec<Arc<Login>> {
        let mut all = self.list();
        all.retain(|login| *login.method == *method && *login.subject == *subject);
        all
    }

    /// Whether a browser used its cookie of a sign-in within `idle`.
    #[must_use]
    pub fn is_in_a_browser(&self, login: &str, idle: Duration, now: Timestamp) -> bool {
        let known = self.known.read();
        known.keys.values().any(|key| {
            let is_its = key.kind == KeyKind::Cookie && *key.login == *login;
            is_its && now.since(key.seen_at) < idle
        })
    }

    /// The tokens of a sign-in, the earliest first.
    #[must_use]
    pub fn tokens(&self, login: &str) -> Vec<LoginKey> {
        let mut tokens: Vec<_> = self.known.read().tokens_of(login).cloned().collect();
        tokens.sort_by(|a, b| (a.made_at, &a.id).cmp(&(b.made_at, &b.id)));
        tokens
    }

    /// Takes a cookie or token away; `false` if there is none of that name. Where the registry
    /// cannot be written it ends in this process all the same.
    pub fn end_key(&self, id: &TokenId, why: &'static str) -> Result<bool, StateError> {
        let one = self.writing.lock();
        let known = self.known.read();
        let Some(fingerprint) = known.fingerprints.get(id).copied() else { return Ok(false) };
        let Some(login) = known.keys.get(&fingerprint).map(|key| Arc::clone(&key.login)) else {
            return Ok(false);
        };
        drop(known);
        let written = self.write(|tx| sql::delete_key(tx, &fingerprint, &login));
        if written.is_err() {
            self.unkept.lock().keys.insert(fingerprint, login);
        }
        let mut known = self.known.write();
        known.keys.remove(&fingerprint);
        known.fingerprints.remove(id);
        drop(known);
        drop(one);
        self.tell(std::slice::from_ref(id), why);
        written.map(|()| true)
    }

    /// Ends a sign-in with all that stands for it, and tells all subscribers before it returns.
    /// Where the registry cannot be written it ends in this process all the same.
    pub fn end(&self, id: &str, why: &'static str) -> Result<Option<Arc<Login>>, StateError> {
        let one = self.writing.lock();
        let written = self.write(|tx| sql::delete(tx, id));
        if written.is_err() {
            self.unkept.lock().logins.insert(id.into());
        }
        let (login, tokens) = self.known.write().forget(id);
        drop(one);
        self.tell(&tokens, why);
        written.map(|()| login)
    }

    /// Ends what is over; which sign-ins that were. Takes out of the registry, too, what ended
    /// while it could not be written.
    pub fn sweep(&self, now: Timestamp) -> Result<Vec<Arc<Login>>, StateError> {
        self.keep_up()?;
        let over: Vec<_> = self.list().into_iter().filter(|login| now >= login.ends_at).collect();
        for login in &over {
            self.end(&login.id, "token_expired")?;
        }
        self.write(|tx| codes::delete_codes(tx, now))?;
        Ok(over)
    }

    /// Takes the turn to ask the provider about a sign-in; `false` when another gateway has it.
    pub fn claim(&self, login: &Login, now: Timestamp) -> Result<bool, StateError> {
        let _one = self.writing.lock();
        if !self.write(|tx| sql::claim(tx, &login.id, login.asked_at, now))? {
            return Ok(false);
        }
        self.known.write().change(&login.id, |login| login.asked_at = now);
        Ok(true)
    }

    /// What the method kept, to ask again.
    pub fn kept(&self, login: &str) -> Result<Option<Secret<String>>, StateError> {
        let sealed = self.registry.read(Lane::Registry, |tx| sql::sealed(tx, login))?;
        Ok(sealed.and_then(|sealed| self.unseal(login, &sealed)))
    }

    /// The method vouched again; whether the groups changed. If they did, live sessions end, and
    /// whoever comes again has the groups of now.
    pub fn renew(&self, id: &str, with: Renewal, now: Timestamp) -> Result<bool, LoginsError> {
        let sealed = with.keep.map(|keep| self.seal(id, keep.expose())).transpose()?;
        let one = self.writing.lock();
        let Some(before) = self.login(id) else { return Err(LoginsError::Ended) };
        let mut login = (*before).clone();
        login.groups = with.groups;
        login.confirmed_at = now;
        login.trouble = None;
        if !self.write(|tx| sql::update(tx, &login, sealed.as_deref()))? {
            let (_, tokens) = self.known.write().forget(id);
            drop(one);
            self.tell(&tokens, ELSEWHERE);
            return Err(LoginsError::Ended);
        }
        let changed = login.groups != before.groups;
        let mut known = self.known.write();
        let tokens: Vec<_> = known.tokens_of(id).map(|key| key.id.clone()).collect();
        known.logins.insert(Arc::clone(&login.id), Arc::new(login));
        drop(known);
        drop(one);
        if changed {
            self.tell(&tokens, "groups_changed");
        }
        Ok(changed)
    }

    /// The method could not be asked; whether that is news. `keep`: what is needed to ask the next
    /// time, if that changed.
    pub fn trouble(
        &self,
        id: &str,
        why: &str,
        keep: Option<Secret<String>>,
    ) -> Result<bool, LoginsError> {
        let sealed = keep.map(|keep| self.seal(id, keep.expose())).transpose()?;
        let one = self.writing.lock();
        let Some(before) = self.login(id) else { return Ok(false) };
        let login = Login { trouble: Some(why.into()), ..(*before).clone() };
        if !self.write(|tx| sql::update(tx, &login, sealed.as_deref()))? {
            let (_, tokens) = self.known.write().forget(id);
            drop(one);
            self.tell(&tokens, ELSEWHERE);
            return Ok(false);
        }
        self.known.write().logins.insert(Arc::clone(&login.id), Arc::new(login));
        Ok(before.trouble.is_none())
    }

    /// Calls `callback` with tokens that may not be used any more, so that their live sessions end.
    /// It must return at once and must not call back into the registry's writers.
    pub fn subscribe(&self, callback: Ended) {
        self.callbacks.write().push(callback);
    }

    fn tell(&self, tokens: &[TokenId], why: &'static str) {
        if !tokens.is_empty() {
            self.callbacks.read().iter().for_each(|callback| callback(tokens, why));
        }
    }

    /// Hides a text, for `purpose` alone.
    pub fn seal(&self, purpose: &str, text: &str) -> Result<String, NoRandomness> {
        let mut bytes = text.as_bytes().to_vec();
        let aad = Aad::from(purpose.as_bytes());
        let nonce = self.seal.seal_in_place_append_tag(aad, &mut bytes);
        let nonce = nonce.map_err(|_| NoRandomness)?;
        Ok(format!("{}{}", hex(nonce.as_ref()), hex(&bytes)))
    }

    /// Reads what [`Self::seal`] hid for that purpose.
    #[must_use]
    pub fn unseal(&self, purpose: &str, sealed: &str) -> Option<Secret<String>> {
        let mut bytes = unhex(sealed)?;
        if bytes.len() < NONCE_LEN {
            return None;
        }
        let mut body = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let plain =
            self.seal.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body).ok()?;
        Some(Secret::new(String::from_utf8(plain.to_vec()).ok()?))
    }

    /// A text that follows from `secret` and does not tell it: the token of a form, from a cookie.
    #[must_use]
    pub fn derived(&self, purpose: &str, secret: &str) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(secret.as_bytes());
        hex(context.sign().as_ref())
    }

    fn fingerprint(&self, text: &str) -> Fingerprint {
        let tag = hmac::sign(&self.key, text.as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        fingerprint
    }
}

/// Whether it has the form of [`random_text`].
#[must_use]
pub fn is_random_text(text: &str) -> bool {
    text.len() == BASE62_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// 256 random bits, as text: states, nonces, verifiers, codes.
pub fn random_text() -> Result<String, NoRandomness> {
    Ok(id::base62(id::random_32()?))
}

impl Login {
    /// Who the sign-in stands for.
    #[must_use]
    pub fn principal(&self, token: Option<TokenId>) -> Principal {
        Principal {
            subject: Arc::clone(&self.subject),
            kind: PrincipalKind::Person,
            groups: self.groups.clone(),
            issuer: Arc::clone(&self.issuer),
            on_behalf_of: None,
            on_behalf_of_groups: Vec::new(),
            token,
            minted_by: None,
            expires_at: Some(self.ends_at),
            certificate: None,
        }
    }
}

impl KeyKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Token => "token",
        }
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.known.read().logins.len();
        f.debug_struct("Logins").field("count", &count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

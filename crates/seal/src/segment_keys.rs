//! The wrapped data keys of one segment, and their erasure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::limit::{
    KEY_ID_BYTES_MAX, KEY_SERVICE_CALLS_MAX, SEGMENT_KEYS_BYTES_MAX, SEGMENT_KEYS_MAX,
    WRAPPED_KEY_BYTES_MAX,
};
use serde::{Deserialize, Serialize};

use crate::data_key::DataKey;
use crate::encryption::{KeyContext, Keys, Wrapped};
use crate::error::SealError;
use crate::remote::clipped;

/// The version of the form written by this build.
pub const SEGMENT_KEYS_VERSION: u16 = 1;

/// The content of the small object beside a segment's Parquet, which alone can open its fields.
///
/// Store it where it can be overwritten: never under object lock, and with no earlier versions
/// kept, or nothing is erased. Write it before the Parquet that needs it, and replace it only on
/// condition that it is still what was read, or one of two erasures is lost.
///
/// Erasing leaves the session's id behind, marked as erased, so that readers can tell an erased
/// session from a lost key and a conversion that is repeated cannot bring it back.
///
/// It holds no proof of its own: whoever may write the object can take entries away (that is
/// erasure) or exchange them (then the fields do not open). What was said cannot be changed that
/// way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SegmentKeys {
    gateway: String,
    segment: u64,
    entries: BTreeMap<String, Held>,
    erased: BTreeSet<String>,
}

/// A session's data key, wrapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry<'a> {
    /// Id of the session; empty for what concerns the gateway itself.
    pub session: &'a str,
    /// Subject of the principal, if one was proved.
    pub principal: Option<&'a str>,
    /// The data key, wrapped.
    pub wrapped: &'a Wrapped,
}

/// Data keys of a segment that were wrapped anew; see [`SegmentKeys::rewraps`].
#[derive(Clone, Debug, Default)]
pub struct Rewraps {
    /// By session: as it was, and anew.
    fresh: BTreeMap<String, (Wrapped, Wrapped)>,
    /// How many the current key wraps already.
    pub newest: usize,
    /// Those that could not be opened: by which key they are wrapped, and why not.
    pub unopened: Vec<(String, SealError)>,
}

impl Rewraps {
    /// None was wrapped anew.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fresh.is_empty()
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Held {
    principal: Option<String>,
    wrapped: Wrapped,
}

impl SegmentKeys {
    /// No keys yet.
    #[must_use]
    pub fn new(gateway: &str, segment: u64) -> Self {
        Self {
            gateway: gateway.to_owned(),
            segment,
            entries: BTreeMap::new(),
            erased: BTreeSet::new(),
        }
    }

    /// Reads what [`SegmentKeys::to_json`] wrote. Strict: unknown or repeated members, sessions
    /// named twice, another version, and anything over a limit are refused.
    ///
    /// # Errors
    ///
    /// [`SealError::Malformed`] or [`SealError::TooMuch`]: the stored object is at fault.
    pub fn parse(json: &[u8]) -> Result<Self, SealError> {
        within("bytes of wrapped keys", json.len(), SEGMENT_KEYS_BYTES_MAX)?;
        // The version first, so that a newer form is named and not called wrong.
        let Versioned { version } = serde_json::from_slice(json).map_err(|e| malformed(&e))?;
        if version != SEGMENT_KEYS_VERSION {
            let why = format!("version {version}; this build reads version {SEGMENT_KEYS_VERSION}");
            return Err(SealError::Malformed { why });
        }
        let form: Form = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
        Self::try_from(form)
    }

    /// The object's content: JSON, entries in the order of their sessions, the same bytes for the
    /// same keys.
    ///
    /// # Errors
    ///
    /// [`SealError::TooMuch`] past the limits, which a segment does not reach.
    pub fn to_json(&self) -> Result<Vec<u8>, SealError> {
        let mut json = serde_json::to_vec(&Form::from(self)).map_err(|error| malformed(&error))?;
        json.push(b'\n');
        within("bytes of wrapped keys", json.len(), SEGMENT_KEYS_BYTES_MAX)?;
        Ok(json)
    }

    /// The gateway whose segment it is.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The segment's number.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// All entries, in the order of their sessions.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries.iter().map(|(session, held)| Entry {
            session,
            principal: held.principal.as_deref(),
            wrapped: &held.wrapped,
        })
    }

    /// Sessions whose data keys were erased, in order.
    pub fn erased(&self) -> impl Iterator<Item = &str> {
        self.erased.iter().map(String::as_str)
    }

    /// Makes the one data key of a session and keeps it, wrapped. `principal` is whose erasure
    /// shall erase it.
    ///
    /// # Errors
    ///
    /// [`SealError::Erased`] and [`SealError::AlreadyThere`], since a second key of a session would
    /// undo an erasure or leave fields that nothing opens; [`SealError::TooMuch`]; those of
    /// [`KeyEncryption::wrap`]. Nothing is kept then.
    ///
    /// [`KeyEncryption::wrap`]: crate::KeyEncryption::wrap
    pub fn fresh(
        &mut self,
        session: &str,
        principal: Option<&str>,
        keys: &Keys,
    ) -> Result<DataKey, SealError> {
        let [key] = <[DataKey; 1]>::try_from(self.fresh_all(&[(session, principal)], keys)?)
            .map_err(|_| SealError::Library { what: "make a data key" })?;
        Ok(key)
    }

    /// As [`SegmentKeys::fresh`], for many sessions with their principals, in the order given. Up
    /// to [`KEY_SERVICE_CALLS_MAX`] are wrapped at the same time, which a service far away needs.
    ///
    /// # Errors
    ///
    /// Those of [`SegmentKeys::fresh`]; nothing is kept then.
    pub fn fresh_all(
        &mut self,
        sessions: &[(&str, Option<&str>)],
        keys: &Keys,
    ) -> Result<Vec<DataKey>, SealError> {
        let mut named = BTreeSet::new();
        for (session, _) in sessions {
            if self.erased.contains(*session) {
                return Err(SealError::Erased { session: (*session).to_owned() });
            }
            if self.entries.contains_key(*session) || !named.insert(session) {
                return Err(SealError::AlreadyThere { session: (*session).to_owned() });
            }
        }
        let count = self.entries.len() + self.erased.len() + sessions.len();
        within("sessions of a segment", count, SEGMENT_KEYS_MAX)?;
        let made = side_by_side(sessions, |(session, _)| {
            let key = DataKey::random()?;
            let wrapped = keys.wrap(&key, &self.context(session))?;
            Ok((key, wrapped))
        })?;
        let keep = |((session, principal), (key, wrapped)): (&(&str, Option<&str>), _)| {
            let held = Held { principal: principal.map(str::to_owned), wrapped };
            self.entries.insert((*session).to_owned(), held);
            key
        };
        Ok(sessions.iter().zip(made).map(keep).collect())
    }

    /// The data key of a session.
    ///
    /// # Errors
    ///
    /// [`SealError::Erased`] if it was erased, [`SealError::NoEntry`] if there never was one, those
    /// of [`Keys::unwrap`].
    pub fn open(&self, session: &str, keys: &Keys) -> Result<DataKey, SealError> {
        match self.entries.get(session) {
            Some(held) => keys.unwrap(&held.wrapped, &self.context(session)),
            None if self.erased.contains(session) => {
                Err(SealError::Erased { session: session.to_owned() })
            }
            None => Err(SealError::NoEntry {
                gateway: self.gateway.clone(),
                segment: self.segment,
                session: session.to_owned(),
            }),
        }
    }

    /// Erases the data key of a session. Says whether there was one.
    pub fn erase_session(&mut self, session: &str) -> bool {
        let Some((session, _)) = self.entries.remove_entry(session) else { return false };
        self.erased.insert(session);
        true
    }

    /// Erases the data keys of all sessions of a principal. Says how many there were.
    pub fn erase_principal(&mut self, principal: &str) -> usize {
        let theirs = |held: &Held| held.principal.as_deref() == Some(principal);
        let sessions: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, held)| theirs(held))
            .map(|(session, _)| session.clone())
            .collect();
        sessions.iter().filter(|session| self.erase_session(session)).count()
    }

    /// Wraps anew, with the current key, every data key that another one wrapped, or an earlier
    /// version of it. `current` is what [`Keys::newest`] says. Nothing is changed here:
    /// [`SegmentKeys::take`] does that, perhaps to what others have made of the object meanwhile.
    ///
    /// What was wrapped is opened again and compared, where the keys at hand can open it.
    ///
    /// # Errors
    ///
    /// The current key does not wrap, or a service is away: the same call may work later. What no
    /// key at hand opens is no error but in [`Rewraps::unopened`].
    pub fn rewraps(&self, keys: &Keys, current: &str) -> Result<Rewraps, SealError> {
        let (newest, former): (Vec<_>, Vec<_>) =
            self.entries.iter().partition(|(_, held)| held.wrapped.key_id == current);
        let made = side_by_side(&former, |(session, held)| {
            let context = self.context(session);
            let key = match keys.unwrap(&held.wrapped, &context) {
                Ok(key) => key,
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => return Ok(Err((held.wrapped.key_id.clone(), error))),
            };
            let fresh = keys.wrap(&key, &context)?;
            match keys.unwrap(&fresh, &context) {
                Ok(again) if again.is(&key) => {}
                Ok(_) => {
                    let why = "what it wrapped opens as another key".to_owned();
                    return Err(SealError::Misanswered { key_id: fresh.key_id, why });
                }
                // It wraps and does not unwrap here, which is what a public key is for. A service
                // that refuses to unwrap may refuse whoever has to read it, too.
                Err(SealError::OnlySeals { .. }) => {}
                Err(error) => return Err(error),
            }
            Ok(Ok(((*session).clone(), held.wrapped.clone(), fresh)))
        })?;
        let mut rewraps = Rewraps { newest: newest.len(), ..Rewraps::default() };
        for made in made {
            match made {
                Ok((session, former, fresh)) => {
                    rewraps.fresh.insert(session, (former, fresh));
                }
                Err(unopened) => rewraps.unopened.push(unopened),
            }
        }
        Ok(rewraps)
    }

    /// Puts what was wrapped anew in the place of what it was made from; how many. What was erased
    /// meanwhile stays erased, and what somebody else wrapped stays theirs.
    pub fn take(&mut self, rewraps: &Rewraps) -> usize {
        let mut count = 0;
        for (session, (former, fresh)) in &rewraps.fresh {
            if let Some(held) = self.entries.get_mut(session)
                && held.wrapped == *former
            {
                held.wrapped = fresh.clone();
                count += 1;
            }
        }
        count
    }

    /// Takes over from `other` what wraps the same data keys otherwise: the same sessions, whose
    /// keys these keys open to those in `made`. Says whether both are the same now.
    ///
    /// Of an entry that cannot be opened nothing is known, so both differ then.
    pub fn agree<'a>(
        &mut self,
        other: &Self,
        made: impl Fn(&str) -> Option<&'a DataKey>,
        keys: &Keys,
    ) -> bool {
        if self == other {
            return true;
        }
        let mut theirs = other.clone();
        for (session, held) in &mut theirs.entries {
            let Some(ours) = self.entries.get(session) else { return false };
            if held.wrapped == ours.wrapped {
                continue;
            }
            let context = KeyContext { gateway: &self.gateway, session };
            match (keys.unwrap(&held.wrapped, &context), made(session)) {
                (Ok(key), Some(made)) if key.is(made) => held.wrapped = ours.wrapped.clone(),
                _ => return false,
            }
        }
        let is_same = theirs == *self;
        if is_same {
            *self = other.clone();
        }
        is_same
    }

    fn context<'a>(&'a self, session: &'a str) -> KeyContext<'a> {
        KeyContext { gateway: &self.gateway, session }
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u16,
}

/// The object as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u16,
    gateway: String,
    segment: u64,
    entries: Vec<EntryForm>,
    erased: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct EntryForm {
    session: String,
    principal: Option<String>,
    key_id: String,
    /// Base64.
    wrapped: String,
}

impl From<&SegmentKeys> for Form {
    fn from(keys: &SegmentKeys) -> Self {
        let entry = |entry: Entry<'_>| EntryForm {
            session: entry.session.to_owned(),
            principal: entry.principal.map(str::to_owned),
            key_id: entry.wrapped.key_id.clone(),
            wrapped: STANDARD.encode(&entry.wrapped.bytes),
        };
        Self {
            version: SEGMENT_KEYS_VERSION,
            gateway: keys.gateway.clone(),
            segment: keys.segment,
            entries: keys.entries().map(entry).collect(),
            erased: keys.erased.iter().cloned().collect(),
        }
    }
}

impl TryFrom<Form> for SegmentKeys {
    type Error = SealError;

    fn try_from(form: Form) -> Result<Self, SealError> {
        let sessions = form.entries.len() + form.erased.len();
        within("sessions of a segment", sessions, SEGMENT_KEYS_MAX)?;
        let mut keys = Self::new(&form.gateway, form.segment);
        for session in form.erased {
            if let Some(twice) = keys.erased.replace(session) {
                return Err(odd(&twice, "twice"));
            }
        }
        for entry in form.entries {
            let EntryForm { session, principal, key_id, wrapped } = entry;
            let wrong = |why: &str| odd(&session, why);
            within("bytes of a key's id", key_id.len(), KEY_ID_BYTES_MAX)?;
            let bytes =
                STANDARD.decode(wrapped).map_err(|_| wrong("has a key that is not base64"))?;
            within("bytes of a wrapped key", bytes.len(), WRAPPED_KEY_BYTES_MAX)?;
            if bytes.is_empty() || key_id.is_empty() {
                return Err(wrong("has no key"));
            }
            if !key_id.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(wrong("has a key whose id is not plain letters"));
            }
            if keys.erased.contains(&session) {
                return Err(wrong("is erased and has a key"));
            }
            if keys.entries.contains_key(&session) {
                return Err(wrong("twice"));
            }
            keys.entries.insert(session, Held { principal, wrapped: Wrapped { key_id, bytes } });
        }
        Ok(keys)
    }
}

/// Does `work` for all items on up to [`KEY_SERVICE_CALLS_MAX`] threads, and gives the results in
/// order. After a failure no further item is begun; the first failure in order is given.
fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, SealError> + Sync,
) -> Result<Vec<R>, SealError> {
    let failed = AtomicBool::new(false);
    let share = |items: &[T]| -> Result<Vec<R>, SealError> {
        let mut done = Vec::with_capacity(items.len());
        for item in items {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            done.push(work(item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?);
        }
        Ok(done)
    };
    let size = items.len().div_ceil(KEY_SERVICE_CALLS_MAX).max(1);
    if items.len() <= 1 {
        return share(items);
    }
    let broken = SealError::Library { what: "wrap data keys side by side" };
    let shares: Vec<Result<Vec<R>, SealError>> = thread::scope(|scope| {
        let start = |items| {
            let share = &share;
            thread::Builder::new().spawn_scoped(scope, move || share(items))
        };
        let threads: Vec<_> = items.chunks(size).map(start).collect();
        let end = |thread: std::io::Result<thread::ScopedJoinHandle<'_, _>>| {
            let thread = thread.map_err(|_| broken.clone())?;
            thread.join().unwrap_or_else(|_| Err(broken.clone()))
        };
        threads.into_iter().map(end).collect()
    });
    let mut all = Vec::with_capacity(items.len());
    for share in shares {
        all.extend(share?);
    }
    Ok(all)
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), SealError> {
    if found > limit { Err(SealError::TooMuch { what, found, limit }) } else { Ok(()) }
}

fn odd(session: &str, why: &str) -> SealError {
    let start: String = session.chars().take(64).collect();
    SealError::Malformed { why: format!("session {start:?} {why}") }
}

fn malformed(error: &serde_json::Error) -> SealError {
    // The parser's words may repeat a whole string of the object.
    SealError::Malformed { why: clipped(&error.to_string()) }
}

#[cfg(test)]
mod tests;

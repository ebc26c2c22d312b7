//! The wrapped data keys of one segment, and their erasure.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::limit::{
    KEY_ID_BYTES_MAX, SEGMENT_KEYS_BYTES_MAX, SEGMENT_KEYS_MAX, WRAPPED_KEY_BYTES_MAX,
};
use serde::{Deserialize, Serialize};

use crate::data_key::DataKey;
use crate::encryption::{KeyContext, Keys, Wrapped};
use crate::error::SealError;

/// The version of the form written by this build.
pub const SEGMENT_KEYS_VERSION: u16 = 1;

/// The content of the small object beside a segment's Parquet, which alone can open its fields.
///
/// Store it where it can be overwritten: never under object lock, and with no earlier versions kept,
/// or nothing is erased. Write it before the Parquet that needs it, and replace it only on condition
/// that it is still what was read, or one of two erasures is lost.
///
/// Erasing leaves the session's id behind, marked as erased, so that readers can tell an erased
/// session from a lost key and a conversion that is repeated cannot bring it back.
///
/// It holds no proof of its own: whoever may write the object can take entries away (that is erasure)
/// or exchange them (then the fields do not open). What was said cannot be changed that way.
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

    /// Reads what [`SegmentKeys::to_json`] wrote. Strict: unknown or repeated members, sessions named
    /// twice, another version, and anything over a limit are refused.
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

    /// Makes the one data key of a session and keeps it, wrapped. `principal` is whose erasure shall
    /// erase it.
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
        if self.erased.contains(session) {
            return Err(SealError::Erased { session: session.to_owned() });
        }
        if self.entries.contains_key(session) {
            return Err(SealError::AlreadyThere { session: session.to_owned() });
        }
        within(
            "sessions of a segment",
            self.entries.len() + self.erased.len() + 1,
            SEGMENT_KEYS_MAX,
        )?;
        let key = DataKey::random()?;
        let wrapped = keys.wrap(&key, &self.context(session))?;
        let held = Held { principal: principal.map(str::to_owned), wrapped };
        self.entries.insert(session.to_owned(), held);
        Ok(key)
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

    /// Wraps every data key with the current key that another one wrapped, or that may have been
    /// wrapped by an earlier version of it; the fields stay as they are. Says how many.
    ///
    /// # Errors
    ///
    /// Those of [`Keys::unwrap`] and [`Keys::wrap`]. Nothing is changed then.
    pub fn rewrap(&mut self, keys: &Keys) -> Result<usize, SealError> {
        let mut fresh = Vec::new();
        for (session, held) in &self.entries {
            if held.wrapped.key_id == keys.current.id() {
                continue;
            }
            let context = self.context(session);
            let key = keys.unwrap(&held.wrapped, &context)?;
            fresh.push((session.clone(), keys.wrap(&key, &context)?));
        }
        let count = fresh.len();
        for (session, wrapped) in fresh {
            if let Some(held) = self.entries.get_mut(&session) {
                held.wrapped = wrapped;
            }
        }
        Ok(count)
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
                return Err(SealError::Malformed { why: format!("session {twice:?} twice") });
            }
        }
        for entry in form.entries {
            let EntryForm { session, principal, key_id, wrapped } = entry;
            let wrong =
                |why: &str| SealError::Malformed { why: format!("session {session:?} {why}") };
            within("bytes of a key's id", key_id.len(), KEY_ID_BYTES_MAX)?;
            let bytes =
                STANDARD.decode(wrapped).map_err(|_| wrong("has a key that is not base64"))?;
            within("bytes of a wrapped key", bytes.len(), WRAPPED_KEY_BYTES_MAX)?;
            if bytes.is_empty() || key_id.is_empty() {
                return Err(wrong("has no key"));
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

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), SealError> {
    if found > limit { Err(SealError::TooMuch { what, found, limit }) } else { Ok(()) }
}

fn malformed(error: &serde_json::Error) -> SealError {
    SealError::Malformed { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::data_key::Place;
    use crate::encryption::KeyEncryption;
    use crate::local::LocalKey;

    fn local(seed: u8) -> Arc<dyn KeyEncryption> {
        let key: Vec<u8> = (0..32).map(|at| seed ^ (at * 7)).collect();
        Arc::new(LocalKey::parse("test", &key).unwrap())
    }

    fn place(session: &str) -> Place<'_> {
        Place { gateway: "gw-1", session, record: 7, column: 1 }
    }

    /// Three sessions of two principals, and what each said, sealed.
    fn filled(keys: &Keys) -> (SegmentKeys, Vec<(&'static str, Vec<u8>)>) {
        let mut segment = SegmentKeys::new("gw-1", 12);
        let sessions =
            [("s_b", Some("ann")), ("s_a", Some("ben")), ("s_c", Some("ann")), ("", None)];
        let mut sealed = Vec::new();
        for (session, principal) in sessions {
            let key = segment.fresh(session, principal, keys).unwrap();
            let said = key.seal(&place(session), session.as_bytes()).unwrap();
            sealed.push((session, said));
        }
        (segment, sealed)
    }

    fn opened(
        segment: &SegmentKeys,
        keys: &Keys,
        session: &str,
        sealed: &[u8],
    ) -> Result<String, SealError> {
        let plain = segment.open(session, keys)?.open(&place(session), sealed)?;
        Ok(String::from_utf8(plain).unwrap())
    }

    #[test]
    fn an_erased_session_cannot_be_opened_while_the_others_can() {
        let keys = Keys::new(local(1));
        let (mut segment, sealed) = filled(&keys);
        assert!(segment.erase_session("s_a"));
        assert!(!segment.erase_session("s_a"), "there is nothing left to erase");
        assert!(!segment.erase_session("s_x"));
        let segment = SegmentKeys::parse(&segment.to_json().unwrap()).unwrap();
        for (session, sealed) in &sealed {
            let opened = opened(&segment, &keys, session, sealed);
            match *session {
                "s_a" => assert_eq!(opened, Err(SealError::Erased { session: "s_a".to_owned() })),
                _ => assert_eq!(opened.unwrap(), *session),
            }
        }
        let never = segment.open("s_x", &keys).unwrap_err();
        assert!(matches!(never, SealError::NoEntry { segment: 12, .. }), "{never}");
    }

    #[test]
    fn erasing_a_principal_erases_all_its_sessions_and_no_other() {
        let keys = Keys::new(local(1));
        let (mut segment, sealed) = filled(&keys);
        let before = segment.to_json().unwrap();
        assert_eq!(segment.erase_principal("nobody"), 0);
        assert_eq!(segment.to_json().unwrap(), before);
        assert_eq!(segment.erase_principal("ann"), 2);
        assert_eq!(segment.erased().collect::<Vec<_>>(), ["s_b", "s_c"]);
        let open: Vec<bool> = sealed
            .iter()
            .map(|(name, sealed)| opened(&segment, &keys, name, sealed).is_ok())
            .collect();
        assert_eq!(open, [false, true, false, true]);
        let json = String::from_utf8(segment.to_json().unwrap()).unwrap();
        assert!(!json.contains("ann"), "{json}");
    }

    #[test]
    fn a_session_has_one_key_and_an_erased_one_never_again() {
        let keys = Keys::new(local(1));
        let (mut segment, _) = filled(&keys);
        let twice = segment.fresh("s_a", Some("ben"), &keys).unwrap_err();
        assert_eq!(twice, SealError::AlreadyThere { session: "s_a".to_owned() });
        segment.erase_session("s_a");
        let mut read = SegmentKeys::parse(&segment.to_json().unwrap()).unwrap();
        let again = read.fresh("s_a", Some("ben"), &keys).unwrap_err();
        assert_eq!(again, SealError::Erased { session: "s_a".to_owned() });
        assert_eq!(read, segment);
    }

    #[test]
    fn a_key_can_be_exchanged_and_the_old_one_dropped() {
        let (old, new) = (local(1), local(2));
        let (mut segment, sealed) = filled(&Keys::new(old.clone()));
        let only_new = Keys::new(new.clone());
        let error = segment.open("s_a", &only_new).unwrap_err();
        let needed = SealError::NoSuchKey { key_id: old.id().into(), at_hand: new.id().into() };
        assert_eq!(error, needed);

        let before = segment.clone();
        assert_eq!(segment.rewrap(&only_new), Err(needed));
        assert_eq!(segment, before, "nothing is half changed");

        let both = Keys { current: new.clone(), also: vec![old.clone()] };
        assert_eq!(segment.rewrap(&both), Ok(4));
        assert_eq!(segment.rewrap(&both), Ok(0), "all are of the current key");
        for (session, sealed) in &sealed {
            assert_eq!(opened(&segment, &only_new, session, sealed).unwrap(), *session);
        }
        assert!(segment.open("s_a", &Keys::new(old)).is_err());
    }

    #[test]
    fn exchanged_entries_do_not_open_what_was_said() {
        let keys = Keys::new(local(1));
        let (segment, sealed) = filled(&keys);
        let mut form = Form::from(&segment);
        let (first, second) = (form.entries[1].wrapped.clone(), form.entries[2].wrapped.clone());
        (form.entries[1].wrapped, form.entries[2].wrapped) = (second, first);
        let exchanged = SegmentKeys::try_from(form).unwrap();
        for (session, sealed) in &sealed {
            let opens = opened(&exchanged, &keys, session, sealed).is_ok();
            assert_eq!(opens, !matches!(*session, "s_a" | "s_b"), "{session}");
        }
    }

    #[test]
    fn the_form_is_stable_and_read_back() {
        let mut segment = SegmentKeys::new("gw-1", 12);
        for (session, principal) in [("s_b", None), ("s_a", Some("ann"))] {
            let wrapped = Wrapped { key_id: "local:0".to_owned(), bytes: vec![1, 2, 3] };
            let held = Held { principal: principal.map(str::to_owned), wrapped };
            segment.entries.insert(session.to_owned(), held);
        }
        segment.entries.insert("s_c".to_owned(), segment.entries["s_a"].clone());
        segment.erase_session("s_c");
        let json = r#"{"version":1,"gateway":"gw-1","segment":12,"entries":[
            {"session":"s_a","principal":"ann","key_id":"local:0","wrapped":"AQID"},
            {"session":"s_b","principal":null,"key_id":"local:0","wrapped":"AQID"}],
            "erased":["s_c"]}"#;
        let written = String::from_utf8(segment.to_json().unwrap()).unwrap();
        let packed: String = json.chars().filter(|letter| !letter.is_whitespace()).collect();
        assert_eq!(written, packed + "\n");
        assert_eq!(SegmentKeys::parse(json.as_bytes()).unwrap(), segment);
    }

    #[test]
    fn what_is_not_strictly_the_form_is_refused_with_a_reason() {
        let entry = r#"{"session":"s","principal":null,"key_id":"k","wrapped":"AQID"}"#;
        let object = |version: &str, entries: &str, erased: &str, more: &str| {
            format!(
                r#"{{"version":{version},"gateway":"g","segment":1,"entries":[{entries}],"erased":[{erased}]{more}}}"#
            )
        };
        assert!(SegmentKeys::parse(object("1", entry, "", "").as_bytes()).is_ok());
        for (json, why) in [
            (String::new(), "EOF"),
            ("[]".to_owned(), "invalid length"),
            ("{}".to_owned(), "missing field `version`"),
            (object("2", entry, "", ""), "version 2; this build reads version 1"),
            (object("1", entry, "", r#","more":1"#), "unknown field `more`"),
            (object("1", entry, "", r#","segment":1"#), "duplicate field `segment`"),
            (object("1", entry, "", "") + "x", "trailing"),
            (object("1", &format!("{entry},{entry}"), "", ""), "\"s\" twice"),
            (object("1", entry, r#""s""#, ""), "erased and has a key"),
            (object("1", "", r#""s","s""#, ""), "\"s\" twice"),
            (object("1", &entry.replace("AQID", "AQI"), "", ""), "not base64"),
            (object("1", &entry.replace("AQID", ""), "", ""), "has no key"),
            (object("1", &entry.replace("\"k\"", "\"\""), "", ""), "has no key"),
            (object("1", &entry.replace("null", "7"), "", ""), "invalid type"),
            (object("1", "", "", "").replace("\"segment\":1", "\"segment\":-1"), "invalid value"),
        ] {
            let error = SegmentKeys::parse(json.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(why), "{json}: {error}");
            assert_eq!(error.blame(), crate::Blame::Data);
        }
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let object = |key_id: usize, wrapped: usize| {
            let (id, key) = ("k".repeat(key_id), STANDARD.encode(vec![1; wrapped]));
            format!(
                r#"{{"version":1,"gateway":"g","segment":1,"entries":[{{"session":"s","principal":null,"key_id":"{id}","wrapped":"{key}"}}],"erased":[]}}"#
            )
        };
        let read = |key_id, wrapped| SegmentKeys::parse(object(key_id, wrapped).as_bytes());
        assert!(read(KEY_ID_BYTES_MAX, WRAPPED_KEY_BYTES_MAX).is_ok());
        let too_much = |read| matches!(read, Err(SealError::TooMuch { .. }));
        assert!(too_much(read(KEY_ID_BYTES_MAX + 1, 1)));
        assert!(too_much(read(1, WRAPPED_KEY_BYTES_MAX + 1)));

        let keys = Keys::new(local(1));
        let mut full = SegmentKeys::new("g", 1);
        full.erased = (1..SEGMENT_KEYS_MAX).map(|number| format!("s{number}")).collect();
        assert!(full.fresh("last", None, &keys).is_ok());
        assert!(matches!(full.fresh("more", None, &keys), Err(SealError::TooMuch { .. })));
        let json = full.to_json().unwrap();
        assert_eq!(SegmentKeys::parse(&json).unwrap(), full);
        full.erased.insert("more".to_owned());
        assert!(too_much(SegmentKeys::parse(&full.to_json().unwrap())));
        assert!(too_much(SegmentKeys::parse(&vec![b' '; SEGMENT_KEYS_BYTES_MAX + 1])));
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_never_panics(bytes: Vec<u8>) {
            let _ = SegmentKeys::parse(&bytes);
        }

        /// Near the form, where the parser gets further: pieces of it in any order.
        #[test]
        fn parsing_almost_the_form_never_panics_and_what_is_read_is_written_again(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\"version\":1", "\"gateway\":\"g\"",
                "\"segment\":1", "\"entries\":[", "\"erased\":[", "\"session\":\"s\"", "\"principal\":null",
                "\"key_id\":\"k\"", "\"wrapped\":\"AQID\"", "1e999", "-0", "\u{fffd}",
            ]), 0..24),
            start in 0_usize..120, cut in 0_usize..40, byte: u8,
        ) {
            let _ = SegmentKeys::parse(pieces.concat().as_bytes());
            let mut json = br#"{"version":1,"gateway":"g","segment":1,"entries":[{"session":"s","principal":null,"key_id":"k","wrapped":"AQID"}],"erased":["t"]}"#.to_vec();
            json.splice(start..json.len().min(start + cut), [byte]);
            if let Ok(keys) = SegmentKeys::parse(&json) {
                prop_assert_eq!(SegmentKeys::parse(&keys.to_json().unwrap()).unwrap(), keys);
            }
        }
    }
}

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
    let sessions = [("s_b", Some("ann")), ("s_a", Some("ben")), ("s_c", Some("ann")), ("", None)];
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
    let open: Vec<bool> =
        sealed.iter().map(|(name, sealed)| opened(&segment, &keys, name, sealed).is_ok()).collect();
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

    let closed = segment.rewraps(&only_new, new.id()).unwrap();
    let found = (closed.is_empty(), closed.newest, closed.unopened);
    assert_eq!(found, (true, 0, vec![(old.id().to_owned(), needed); 4]));

    let both = Keys { current: new.clone(), also: vec![old.clone()] };
    let anew = segment.rewraps(&both, new.id()).unwrap();
    assert_eq!((segment.take(&anew), anew.newest, anew.unopened.len()), (4, 0, 0));
    let again = segment.rewraps(&both, new.id()).unwrap();
    assert_eq!((again.is_empty(), again.newest), (true, 4), "all are of the current key");
    for (session, sealed) in &sealed {
        assert_eq!(opened(&segment, &only_new, session, sealed).unwrap(), *session);
    }
    assert!(segment.open("s_a", &Keys::new(old)).is_err());
}

#[test]
fn p7_what_is_erased_or_changed_while_it_is_wrapped_anew_stays_so() {
    let (old, new, newer) = (local(1), local(2), local(3));
    let (mut segment, _) = filled(&Keys::new(old.clone()));
    let both = Keys { current: new.clone(), also: vec![old.clone()] };
    let anew = segment.rewraps(&both, new.id()).unwrap();
    // Meanwhile one is erased, and another wrapped by someone else.
    assert!(segment.erase_session("s_a"));
    let theirs = Keys { current: newer.clone(), also: vec![old] };
    let mut alone = segment.rewraps(&theirs, newer.id()).unwrap();
    alone.fresh.retain(|session, _| session == "s_b");
    assert_eq!(segment.take(&alone), 1);
    assert_eq!(segment.take(&anew), 2);
    assert_eq!(segment.erased().collect::<Vec<_>>(), ["s_a"]);
    let ids: Vec<String> = segment.entries().map(|entry| entry.wrapped.key_id.clone()).collect();
    assert_eq!(ids, [new.id(), newer.id(), new.id()]);
}

#[test]
fn keys_that_were_wrapped_otherwise_are_told_from_other_keys() {
    let (old, new) = (local(1), local(2));
    let both = Keys { current: new.clone(), also: vec![old.clone()] };
    let mut made = SegmentKeys::new("gw-1", 1);
    let key = made.fresh("s_a", None, &Keys::new(old.clone())).unwrap();
    let ours = |session: &str| (session == "s_a").then_some(&key);
    let mut there = made.clone();
    there.take(&there.rewraps(&both, new.id()).unwrap());
    let mut closed = made.clone();
    assert!(!closed.agree(&there, ours, &Keys::new(old.clone())), "it cannot be opened");
    let mut agreed = made.clone();
    assert!(agreed.agree(&there, ours, &both));
    assert_eq!(agreed, there);
    // Another key of the same session is another's.
    let mut others = SegmentKeys::new("gw-1", 1);
    others.fresh("s_a", None, &both).unwrap();
    assert!(!made.agree(&others, ours, &both));
    let mut more = there.clone();
    more.fresh("s_b", None, &both).unwrap();
    assert!(!made.agree(&more, ours, &both));
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
        (object("1", &entry.replace("\"k\"", "\"k\\u001b[31m\""), "", ""), "not plain letters"),
        (object("1", &entry.replace("null", "7"), "", ""), "invalid type"),
        (object("1", "", "", "").replace("\"segment\":1", "\"segment\":-1"), "invalid value"),
    ] {
        let error = SegmentKeys::parse(json.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(why), "{json}: {error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
        assert_eq!(error.blame(), crate::Blame::Data);
    }
}

#[test]
fn an_error_stays_short_and_plain_whatever_the_object_holds() {
    let long = "\\u001b[31m".repeat(10_000);
    for json in [format!(r#"{{"version":"{long}"}}"#), format!(r#"{{"version":1,"{long}":1}}"#)] {
        let text = SegmentKeys::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(text.len() < 400 && !text.contains(char::is_control), "{text}");
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

/// A key that wraps as many data keys at once as there are waiting, and refuses one session.
struct Together {
    key: Arc<dyn KeyEncryption>,
    all_here: Option<std::sync::Barrier>,
    refused: &'static str,
}

impl KeyEncryption for Together {
    fn id(&self) -> &str {
        self.key.id()
    }

    fn wrap(&self, key: &DataKey, context: &KeyContext<'_>) -> Result<Wrapped, SealError> {
        if let Some(all_here) = &self.all_here {
            all_here.wait();
        }
        if context.session == self.refused {
            return Err(SealError::Library { what: "be had" });
        }
        self.key.wrap(key, context)
    }

    fn unwrap(&self, wrapped: &Wrapped, context: &KeyContext<'_>) -> Result<DataKey, SealError> {
        self.key.unwrap(wrapped, context)
    }
}

#[test]
fn many_keys_are_wrapped_at_once_each_for_its_own_session() {
    let all_here = Some(std::sync::Barrier::new(KEY_SERVICE_CALLS_MAX));
    let keys = Keys::new(Arc::new(Together { key: local(1), all_here, refused: "none" }));
    let names: Vec<String> = (0..3 * KEY_SERVICE_CALLS_MAX).map(|at| format!("s_{at}")).collect();
    let sessions: Vec<(&str, Option<&str>)> =
        names.iter().map(|name| (name.as_str(), Some("ann"))).collect();
    let mut segment = SegmentKeys::new("gw-1", 12);
    // Ends only if as many are wrapped at the same time as may be.
    let made = segment.fresh_all(&sessions, &keys).unwrap();
    assert_eq!((made.len(), segment.entries().count()), (names.len(), names.len()));
    for (name, key) in names.iter().zip(&made) {
        let sealed = key.seal(&place(name), name.as_bytes()).unwrap();
        assert_eq!(opened(&segment, &keys, name, &sealed).unwrap(), *name);
    }
    assert_eq!(segment.erase_principal("ann"), names.len());
}

#[test]
fn of_many_keys_all_are_kept_or_none() {
    for refused in ["s_0", "s_7", "s_19"] {
        let names: Vec<String> = (0..20).map(|at| format!("s_{at}")).collect();
        let keys = Keys::new(Arc::new(Together { key: local(1), all_here: None, refused }));
        let sessions: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
        let mut segment = SegmentKeys::new("gw-1", 12);
        let failed = segment.fresh_all(&sessions, &keys).unwrap_err();
        assert_eq!(failed, SealError::Library { what: "be had" });
        assert_eq!(segment, SegmentKeys::new("gw-1", 12));
    }
    let mut segment = SegmentKeys::new("gw-1", 12);
    let keys = Keys::new(local(1));
    assert!(segment.fresh_all(&[], &keys).unwrap().is_empty());
    let twice = segment.fresh_all(&[("s", None), ("t", None), ("s", None)], &keys).unwrap_err();
    assert_eq!(twice, SealError::AlreadyThere { session: "s".to_owned() });
    assert_eq!(segment.entries().count(), 0);
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

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use seal::{DataKey, KeyContext, KeyEncryption, Keys, SealError, SegmentKeys, Wrapped};

use super::made::{GATEWAY, Lab, NO_KEEPING, after};
use super::sealing::{archive, assert_whole, interrupted, key, keys, said, text, told};
use crate::rewrap::{Rewrapped, Unopened, rewrap};
use crate::row::SEALED_TEXT;
use crate::sealing::{self, Erase};

/// The second key wraps, the first opened before.
fn second() -> Keys {
    Keys { current: Arc::new(key(2)), also: vec![Arc::new(key(1))] }
}

fn id(number: u8) -> String {
    key(number).id().to_owned()
}

fn all(lab: &Lab, keys: &Keys) -> Rewrapped {
    rewrap(&lab.bucket, keys, None, || true).unwrap()
}

fn segment_keys(lab: &Lab, path: &str) -> SegmentKeys {
    SegmentKeys::parse(&lab.bucket.get(path, u64::MAX).unwrap().unwrap()).unwrap()
}

#[test]
fn p7_a_former_key_opens_nothing_once_the_keys_were_wrapped_anew() {
    let former = keys(1);
    let (lab, _) = archive(&former);
    let done = all(&lab, &second());
    let wanted =
        Rewrapped { current: Some(id(2)), segments: 1, rewrapped: 3, ..Rewrapped::default() };
    assert_eq!(done, wanted);
    assert!(done.is_whole());
    assert_ne!(text(&told(&lab, &keys(2), "s_bob").unwrap()[0]), SEALED_TEXT);
    assert_eq!(text(&told(&lab, &former, "s_bob").unwrap()[0]), SEALED_TEXT);
    assert_whole(&lab);
    let again = all(&lab, &second());
    assert_eq!(again, Rewrapped { rewrapped: 0, already: 3, ..wanted });
    // Without the former key too: it can be destroyed.
    assert!(all(&lab, &keys(2)).is_whole());
}

#[test]
fn p5_what_no_key_at_hand_opens_stays_as_it_is_and_is_told() {
    let (lab, _) = archive(&keys(1));
    // Keys of another gateway, of the third key, and objects that are none.
    let mut others = SegmentKeys::new("gw-other", 7);
    others.fresh("s_1", None, &keys(3)).unwrap();
    others.fresh("s_2", None, &keys(1)).unwrap();
    let path = sealing::path("gw-other", 7);
    let put = |path: &str, text: Vec<u8>| lab.bucket.put(path, text.into()).unwrap();
    put(&path, others.to_json().unwrap());
    put(&sealing::path("gw-other", 8), others.to_json().unwrap());
    put("keys/gateway=gw-x/0000000001.json", b"{}".to_vec());
    let done = all(&lab, &second());
    assert_eq!((done.segments, done.rewrapped, done.already), (2, 4, 0));
    let [Unopened { key_id, keys, why }] = done.unopened.as_slice() else { panic!("{done:?}") };
    assert_eq!((key_id, *keys), (&id(3), 1));
    assert!(why.contains(&id(3)), "{why}");
    let [moved, odd] = done.unread.as_slice() else { panic!("{done:?}") };
    assert!(moved.contains("0000000008.json holds the keys of"), "{moved}");
    assert!(odd.contains("gateway=gw-x"), "{odd}");
    assert!(!done.is_whole());
    let there = segment_keys(&lab, &path);
    let ids: Vec<&str> = there.entries().map(|entry| &*entry.wrapped.key_id).collect();
    assert_eq!(ids, [id(3), id(2)]);
    assert!(there.open("s_1", &super::sealing::keys(3)).is_ok(), "it is as it was");
}

#[test]
fn p8_it_stops_when_it_may_not_go_on_and_goes_on_from_there() {
    let lab = Lab::new();
    for number in 1..=5 {
        let mut of = SegmentKeys::new("gw-other", number);
        of.fresh("s", None, &keys(1)).unwrap();
        let path = sealing::path("gw-other", number);
        lab.bucket.put(&path, of.to_json().unwrap().into()).unwrap();
    }
    let (mut after, mut rounds, mut rewrapped) = (None, 0, 0);
    loop {
        let mut left = 1;
        let may_go_on = || std::mem::replace(&mut left, 0) > 0;
        let done = rewrap(&lab.bucket, &second(), after.as_deref(), may_go_on).unwrap();
        assert!(done.segments <= 2);
        (rounds, rewrapped) = (rounds + 1, rewrapped + done.rewrapped);
        after = done.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((rounds, rewrapped), (3, 5));
}

/// A key that does something else when it is first used to open.
struct Meanwhile<F> {
    key: seal::LocalKey,
    used: AtomicUsize,
    deed: F,
}

impl<F: Fn() + Send + Sync> KeyEncryption for Meanwhile<F> {
    fn id(&self) -> &str {
        self.key.id()
    }

    fn wrap(&self, key: &DataKey, context: &KeyContext<'_>) -> Result<Wrapped, SealError> {
        self.key.wrap(key, context)
    }

    fn unwrap(&self, wrapped: &Wrapped, context: &KeyContext<'_>) -> Result<DataKey, SealError> {
        let opened = self.key.unwrap(wrapped, context);
        if self.used.fetch_add(1, Ordering::SeqCst) == 0 {
            (self.deed)();
        }
        opened
    }
}

/// Goal: an erasure is never undone. Method: it comes when the keys were read and are being wrapped.
#[test]
fn p7_what_is_erased_while_keys_are_wrapped_anew_stays_erased() {
    let former = keys(1);
    let (lab, _) = archive(&former);
    let bucket = Arc::clone(&lab.bucket);
    let deed = move || {
        assert_eq!(sealing::erase(&bucket, Erase::Session("s_ann")).unwrap().keys, 1);
    };
    let slow = Meanwhile { key: key(1), used: AtomicUsize::new(0), deed };
    let both = Arc::new(Keys { current: Arc::new(key(2)), also: vec![Arc::new(slow)] });
    let done = all(&lab, &both);
    assert_eq!((done.rewrapped, done.is_whole()), (2, true));
    assert!(told(&lab, &both, "s_ann").unwrap().iter().all(|event| text(event) == SEALED_TEXT));
    let there = segment_keys(&lab, &sealing::path(GATEWAY, 1));
    assert_eq!(there.erased().collect::<Vec<_>>(), ["s_ann"]);
    assert!(there.entries().all(|entry| entry.wrapped.key_id == id(2)));
    assert_whole(&lab);
}

/// Goal: a conversion that is done again goes on with its keys, also if they were wrapped anew
/// meanwhile, and does not undo that.
#[test]
fn p5_keys_of_a_segment_that_is_being_converted_may_be_wrapped_anew() {
    let both = Arc::new(Keys { current: Arc::new(key(1)), also: vec![Arc::new(key(2))] });
    let (lab, _, mut rounds) = interrupted(&both);
    let done = all(&lab, &second());
    assert_eq!(done.rewrapped, 2);
    rounds.round(after(120)).unwrap();
    let there = segment_keys(&lab, &sealing::path(GATEWAY, 1));
    assert!(there.entries().all(|entry| entry.wrapped.key_id == id(2)), "it is not undone");
    assert!(told(&lab, &both, "s_ann").unwrap().iter().all(|event| text(event) != SEALED_TEXT));
    assert_whole(&lab);
}

#[test]
fn keys_of_a_session_that_goes_on_are_of_the_key_of_their_segment() {
    let lab = Lab::new();
    for (number, keys) in [(1, keys(1)), (2, keys(2))] {
        lab.journal.append(&[said("s_ann", "ann", number)]).unwrap();
        lab.rounds(NO_KEEPING).sealing(keys).round(after(60 * number)).unwrap();
    }
    let done = all(&lab, &second());
    assert_eq!((done.segments, done.rewrapped, done.already), (2, 1, 1));
}

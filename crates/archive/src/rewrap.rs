//! Wrapping the keys of an archive anew, so that a former key can be destroyed.
//!
//! Only the objects under `keys/` are written, each on condition that it is still what was read: an
//! erasure in between wins, and so does a gateway that writes keys. What is sealed stays as it is.

use model::limit::SEGMENT_KEYS_BYTES_MAX;
use seal::{KeyContext, Keys, SegmentKeys};

use crate::bucket::Bucket;
use crate::sealing::{SealingError, change, is_of, path};

/// Former keys, and objects that cannot be read, that are told apart; of more only the number is.
const TOLD_MAX: usize = 100;

/// What became of the keys of a store.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rewrapped {
    /// The key that wraps now; `None` where there was nothing to wrap.
    pub current: Option<String>,
    /// Segments whose keys were looked at.
    pub segments: u64,
    /// Data keys that were wrapped anew.
    pub rewrapped: u64,
    /// Data keys that the current key had wrapped already.
    pub already: u64,
    /// Data keys that could not be opened, by the key that wraps them; 100 of these at most.
    pub unopened: Vec<Unopened>,
    /// Objects that are no keys of a segment, and why; 100 at most.
    pub unread: Vec<String>,
    /// How many more keys could not be opened, and objects not read, than are named.
    pub more: u64,
    /// Where to go on, if this is not all.
    pub next: Option<String>,
}

/// Data keys that could not be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unopened {
    /// What wraps them.
    pub key_id: String,
    /// How many.
    pub keys: u64,
    /// Why the first of them does not open.
    pub why: String,
}

/// Wraps the keys of a store anew, in the order of their objects' names, those of all gateways.
///
/// Begins behind `after`, and ends with [`Rewrapped::next`] as soon as `may_go_on` says no, after
/// at least one object. What was done stays done, whatever stops it: begin again, and what is of
/// the current key is left alone.
///
/// # Errors
///
/// The store, or the current key, cannot be used, or a service that holds a former one is away.
pub fn rewrap(
    bucket: &Bucket,
    keys: &Keys,
    after: Option<&str>,
    mut may_go_on: impl FnMut() -> bool,
) -> Result<Rewrapped, SealingError> {
    let listed = match after {
        Some(after) => bucket.list_after("keys", after)?,
        None => bucket.list("keys")?,
    };
    let mut done = Rewrapped::default();
    let mut last: Option<&str> = None;
    for object in &listed {
        if last.is_some() && !may_go_on() {
            done.next = last.map(str::to_owned);
            break;
        }
        of_segment(bucket, &object.path, keys, &mut done)?;
        last = Some(&object.path);
    }
    Ok(done)
}

fn of_segment(
    bucket: &Bucket,
    name: &str,
    keys: &Keys,
    done: &mut Rewrapped,
) -> Result<(), SealingError> {
    let Some(there) = bucket.get(name, SEGMENT_KEYS_BYTES_MAX as u64)? else { return Ok(()) };
    let there = match SegmentKeys::parse(&there) {
        Ok(there) if path(there.gateway(), there.segment()) == name => there,
        Ok(there) => {
            let is = path(there.gateway(), there.segment());
            done.unread(format!("{name} holds the keys of {is}"));
            return Ok(());
        }
        Err(error) => {
            done.unread(format!("{name}: {error}"));
            return Ok(());
        }
    };
    done.segments = done.segments.saturating_add(1);
    if there.entries().next().is_none() {
        return Ok(());
    }
    let current = match &done.current {
        Some(current) => current.clone(),
        None => keys.newest(&KeyContext { gateway: there.gateway(), session: "" })?,
    };
    done.current = Some(current.clone());
    // Services may take their time, so nobody is kept from the object meanwhile.
    let anew = there.rewraps(keys, &current)?;
    done.already = done.already.saturating_add(anew.newest as u64);
    for (key_id, error) in &anew.unopened {
        done.unopened(key_id, || error.to_string());
    }
    if !anew.is_empty() {
        let (gateway, segment) = (there.gateway(), there.segment());
        let changed = change(bucket, name, |there| {
            Ok(if is_of(there, gateway, segment) { there.take(&anew) } else { 0 })
        })?;
        done.rewrapped = done.rewrapped.saturating_add(changed as u64);
    }
    Ok(())
}

impl Rewrapped {
    /// Every key is of the current one now, as far as was looked.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unopened.is_empty() && self.unread.is_empty() && self.more == 0
    }

    fn unread(&mut self, what: String) {
        if self.unread.len() < TOLD_MAX {
            self.unread.push(what);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn unopened(&mut self, key_id: &str, why: impl FnOnce() -> String) {
        if let Some(known) = self.unopened.iter_mut().find(|known| known.key_id == key_id) {
            known.keys = known.keys.saturating_add(1);
        } else if self.unopened.len() < TOLD_MAX {
            self.unopened.push(Unopened { key_id: key_id.to_owned(), keys: 1, why: why() });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

//! A map that forgets what was silent for the longest.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A map of at most so many entries, and of at most so many bytes unless one entry alone has more.
pub(crate) struct Bounded<K, V> {
    entries: HashMap<K, Slot<V>>,
    /// Keys by when they were last used.
    ages: BTreeMap<u64, K>,
    clock: u64,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
}

struct Slot<V> {
    value: V,
    used: u64,
    bytes: usize,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    /// Has no entries. `entries_max` is at least one.
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ages: BTreeMap::new(),
            clock: 0,
            bytes: 0,
            entries_max,
            bytes_max,
        }
    }

    /// Adds an entry, in place of one of that key. Returns what had to make room, oldest first.
    pub fn insert(&mut self, key: K, value: V, bytes: usize) -> Vec<V> {
        let _ = self.remove(&key);
        self.clock = self.clock.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.ages.insert(self.clock, key.clone());
        self.entries.insert(key, Slot { value, used: self.clock, bytes });
        self.make_room()
    }

    /// An entry, which counts as used now.
    pub fn touch(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.entries.get_mut(key)?;
        let key = self.ages.remove(&slot.used)?;
        self.clock = self.clock.saturating_add(1);
        slot.used = self.clock;
        self.ages.insert(self.clock, key);
        Some(&mut slot.value)
    }

    /// Says that an entry has this many bytes now. Returns what had to make room, oldest first.
    pub fn weigh(&mut self, key: &K, bytes: usize) -> Vec<V> {
        let Some(slot) = self.entries.get_mut(key) else { return Vec::new() };
        let before = std::mem::replace(&mut slot.bytes, bytes);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(bytes);
        self.make_room()
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.entries.remove(key)?;
        self.ages.remove(&slot.used);
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        Some(slot.value)
    }

    /// Takes all out, the one that was silent for the longest first.
    pub fn drain(&mut self) -> Vec<V> {
        let mut all = Vec::with_capacity(self.entries.len());
        while let Some(value) = self.oldest() {
            all.push(value);
        }
        all
    }

    fn make_room(&mut self) -> Vec<V> {
        let mut gone = Vec::new();
        while self.entries.len() > 1
            && (self.entries.len() > self.entries_max || self.bytes > self.bytes_max)
        {
            match self.oldest() {
                Some(value) => gone.push(value),
                None => break,
            }
        }
        gone
    }

    fn oldest(&mut self) -> Option<V> {
        let (_, key) = self.ages.first_key_value()?;
        let key = key.clone();
        self.remove(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_the_oldest_makes_room_one_past_the_limit_of_entries() {
        let mut map = Bounded::new(2, 100);
        assert!(map.insert("a", 1, 1).is_empty());
        assert!(map.insert("b", 2, 1).is_empty(), "at the limit");
        assert_eq!(map.insert("c", 3, 1), [1], "one past it");
        assert_eq!(map.touch(&"b"), Some(&mut 2));
        assert_eq!(map.insert("d", 4, 1), [3], "b was used since");
        assert_eq!(map.drain(), [2, 4]);
        assert!(map.drain().is_empty());
    }

    #[test]
    fn p8_the_oldest_makes_room_one_past_the_limit_of_bytes() {
        let mut map = Bounded::new(10, 6);
        assert!(map.insert("a", 1, 3).is_empty());
        assert!(map.insert("b", 2, 3).is_empty(), "at the limit");
        assert!(map.weigh(&"b", 3).is_empty());
        assert_eq!(map.weigh(&"b", 4), [1], "one past it");
        assert!(map.weigh(&"b", 700).is_empty(), "the newest stays");
        assert_eq!(map.insert("c", 3, 7), [2]);
        assert_eq!(map.remove(&"c"), Some(3));
        assert_eq!(map.remove(&"c"), None);
        assert!(map.insert("d", 4, 6).is_empty(), "what is gone weighs nothing");
        assert!(map.insert("d", 5, 6).is_empty(), "nor what is replaced");
        assert_eq!(map.drain(), [5]);
    }
}

//! Bodies of requests that wait for a verdict, all together (P8).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one exchange has of the bytes that may wait at once; given back when it is dropped.
pub(super) struct Share {
    all: Arc<AtomicUsize>,
    most: usize,
    own: usize,
}

impl Share {
    pub fn new(all: Arc<AtomicUsize>, most: usize) -> Self {
        Self { all, most, own: 0 }
    }

    /// Takes more; `false` when that is more than may wait.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        self.own = self.own.saturating_add(bytes);
        before.saturating_add(bytes) <= self.most
    }

    /// What waits of this exchange.
    pub fn own(&self) -> usize {
        self.own
    }

    /// So much of it left.
    pub fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.own);
        self.own -= bytes;
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Nothing waits any more.
    pub fn give_back(&mut self) {
        self.all.fetch_sub(std::mem::take(&mut self.own), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_no_more_waits_than_may_and_what_left_makes_room() {
        let all = Arc::new(AtomicUsize::new(0));
        let share = || Share::new(Arc::clone(&all), 10);
        let (mut one, mut other) = (share(), share());
        assert!(one.take(6) && other.take(4));
        assert!(!other.take(1), "one past the bound");
        drop(other);
        assert_eq!(all.load(Ordering::Relaxed), 6);
        one.give(4);
        assert!(share().take(8), "two are left");
        one.give(100);
        assert_eq!(all.load(Ordering::Relaxed), 0, "no more than it has");
        assert!(one.take(6));
        one.give_back();
        assert!(one.take(10));
        drop(one);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}

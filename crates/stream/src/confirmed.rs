//! Up to where all receivers have everything, for whoever deletes what they read.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use store::Journal;

use crate::follow::Place;

/// Up to where each receiver has everything.
#[derive(Clone, Debug)]
pub struct Confirmed {
    journal: Arc<Journal>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    places: Mutex<Vec<Place>>,
    moved: Condvar,
}

impl Confirmed {
    pub(crate) fn new(journal: &Arc<Journal>, places: Vec<Place>) -> Self {
        let shared = Shared { places: Mutex::new(places), moved: Condvar::new() };
        Self { journal: Arc::clone(journal), shared: Arc::new(shared) }
    }

    /// The receiver of this number has everything up to `place`.
    pub(crate) fn set(&self, receiver: usize, place: Place) {
        if let Some(of) = self.shared.places.lock().get_mut(receiver) {
            *of = place;
        }
        self.shared.moved.notify_all();
    }

    /// Whether every receiver has all events of a closed segment; waits for that at most `wait`.
    #[must_use]
    pub fn have(&self, segment: u64, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        // Of a file that cannot be looked at nobody knows where it ends.
        let about = fs::metadata(self.journal.segment_path(segment));
        let end = about.map_or(u64::MAX, |about| about.len());
        let is_behind = |place: &Place| {
            place.segment > segment || place.segment == segment && place.offset >= end
        };
        let mut places = self.shared.places.lock();
        while !places.iter().all(is_behind) {
            if self.shared.moved.wait_until(&mut places, until).timed_out() {
                return places.iter().all(is_behind);
            }
        }
        true
    }
}

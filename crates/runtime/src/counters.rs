//! What the gateway counts for its operator.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::event::Verdict;
use model::{Event, EventBody};
use parking_lot::Mutex;

/// What a gateway did since it started, and what it does now. For `/metrics` and `/readyz`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GatewayState {
    /// Listeners that accept connections.
    pub listeners: usize,
    /// True once shutdown began: no new session is let in.
    pub draining: bool,
    /// Client connections now, sessions and not yet identified ones.
    pub connections: usize,
    /// Client connections accepted.
    pub connections_total: u64,
    /// Sessions now.
    pub sessions: usize,
    /// Sessions let in.
    pub sessions_total: u64,
    /// Clients turned away, by a fixed word for why.
    pub refused: BTreeMap<&'static str, u64>,
    /// Decisions on operations: allowed.
    pub allowed: u64,
    /// Allowed, with fields masked.
    pub masked: u64,
    /// Held for a person.
    pub held: u64,
    /// Refused.
    pub blocked: u64,
    /// Holds that wait for a person now.
    pub holds: usize,
    /// Rows sent to clients.
    pub rows: u64,
    /// Bytes of replies sent to clients.
    pub bytes: u64,
    /// Bytes of replies withheld now.
    pub withheld_bytes: usize,
    /// Batches the journal could not take.
    pub journal_errors: u64,
    /// True while the last batch could not be taken.
    pub journal_failing: bool,
    /// Operations that passed unrecorded (`on_failure: continue`) and are not in a gap event yet.
    pub unrecorded: u64,
    /// Upstreams that could not be used, by a fixed word for why.
    pub upstream_errors: BTreeMap<&'static str, u64>,
    /// Alerts given.
    pub alerts: u64,
    /// Errors while accepting connections.
    pub accept_errors: u64,
    /// Failed proofs that were not even recorded, because their source had too many.
    pub throttled: u64,
}

/// The counters themselves.
#[derive(Default)]
pub(crate) struct Counters {
    pub connections_total: AtomicU64,
    pub sessions_total: AtomicU64,
    pub allowed: AtomicU64,
    pub masked: AtomicU64,
    pub held: AtomicU64,
    pub blocked: AtomicU64,
    pub holds: AtomicUsize,
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    pub alerts: AtomicU64,
    pub accept_errors: AtomicU64,
    pub throttled: AtomicU64,
    pub refused: ByWord,
    pub upstream_errors: ByWord,
}

impl Counters {
    /// Counts what a batch of events says.
    pub fn count(&self, events: &[Event]) {
        for event in events {
            match &event.body {
                EventBody::Operation { decision, .. } => {
                    let counter = match decision {
                        Verdict::Allow => &self.allowed,
                        Verdict::Mask => &self.masked,
                        Verdict::Hold => &self.held,
                        Verdict::Block => &self.blocked,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                EventBody::SessionStarted { .. } => add(&self.sessions_total),
                _ => {}
            }
        }
    }

    /// Everything that is counted here.
    pub fn read(&self) -> GatewayState {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GatewayState {
            connections_total: load(&self.connections_total),
            sessions_total: load(&self.sessions_total),
            refused: self.refused.read(),
            allowed: load(&self.allowed),
            masked: load(&self.masked),
            held: load(&self.held),
            blocked: load(&self.blocked),
            holds: self.holds.load(Ordering::Relaxed),
            rows: load(&self.rows),
            bytes: load(&self.bytes),
            upstream_errors: self.upstream_errors.read(),
            alerts: load(&self.alerts),
            accept_errors: load(&self.accept_errors),
            throttled: load(&self.throttled),
            ..GatewayState::default()
        }
    }
}

/// Adds one.
pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A counter per fixed word; the words are few and ours.
#[derive(Default)]
pub(crate) struct ByWord(Mutex<BTreeMap<&'static str, u64>>);

impl ByWord {
    pub fn add(&self, word: &'static str) {
        let mut counts = self.0.lock();
        let count = counts.entry(word).or_default();
        *count = count.saturating_add(1);
    }

    fn read(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}

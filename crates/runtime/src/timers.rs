//! The times a connection waits for, on one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use model::Timestamp;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;

/// Why a timer rang.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Alarm {
    /// The client has not proved who it is.
    Identify,
    /// The upstream was not reached or did not let us in.
    Connect,
    /// The proof of identity ends.
    Expiry,
    /// Access closes, or may.
    Access,
    /// The other side does not take what is left for it.
    Close,
    /// Nothing passes through a tunnel.
    Idle,
    /// The engine asked.
    Engine,
}

/// The alarms that are set. Touches the runtime's timer only when the earliest of them changes,
/// which on the data path it does not.
#[derive(Default)]
pub(crate) struct Timers {
    set: Vec<(Timestamp, Alarm)>,
    armed: Option<Timestamp>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timers {
    /// Sets an alarm. Of each kind but the engine's there is one; setting it again moves it.
    pub fn set(&mut self, alarm: Alarm, at: Timestamp) {
        if alarm != Alarm::Engine {
            self.clear(alarm);
        }
        if !self.set.contains(&(at, alarm)) {
            self.set.push((at, alarm));
        }
    }

    pub fn clear(&mut self, alarm: Alarm) {
        self.set.retain(|(_, set)| *set != alarm);
    }

    /// The alarms due at `now`, once each, earliest first.
    pub fn due(&mut self, now: Timestamp) -> Vec<Alarm> {
        self.set.sort_unstable();
        let due = self.set.iter().take_while(|(at, _)| *at <= now).count();
        let mut alarms: Vec<Alarm> = self.set.drain(..due).map(|(_, alarm)| alarm).collect();
        alarms.dedup();
        self.armed = None;
        alarms
    }

    /// Ready when the earliest alarm may be due; look with [`Self::due`] then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(first) = self.set.iter().map(|(at, _)| *at).min() else { return Poll::Pending };
        if self.armed != Some(first) {
            let at = Instant::now() + clock::wait_until(first, clock::now());
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(at),
                None => self.sleep = Some(Box::pin(sleep_until(at))),
            }
            self.armed = Some(first);
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_ring_in_order_and_once() {
        let mut timers = Timers::default();
        timers.set(Alarm::Engine, Timestamp(30));
        timers.set(Alarm::Engine, Timestamp(10));
        timers.set(Alarm::Engine, Timestamp(10));
        timers.set(Alarm::Identify, Timestamp(20));
        assert_eq!(timers.due(Timestamp(9)), []);
        assert_eq!(timers.due(Timestamp(20)), [Alarm::Engine, Alarm::Identify]);
        assert_eq!(timers.due(Timestamp(30)), [Alarm::Engine]);
        assert_eq!(timers.due(Timestamp(99)), []);
    }

    #[test]
    fn an_alarm_of_ours_moves_and_can_be_taken_back() {
        let mut timers = Timers::default();
        timers.set(Alarm::Connect, Timestamp(10));
        timers.set(Alarm::Connect, Timestamp(20));
        assert_eq!(timers.due(Timestamp(10)), []);
        timers.clear(Alarm::Connect);
        assert_eq!(timers.due(Timestamp(99)), []);
    }
}

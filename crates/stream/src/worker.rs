//! The thread that feeds one receiver.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use store::Journal;

use crate::confirmed::Confirmed;
use crate::follow::{Follower, Place};
use crate::item::{Item, Texts};
use crate::memory::{Memory, Remembered};
use crate::sink::{SendError, Sink};

/// How long a gateway that stops waits for its receivers.
const LAST_EVENTS: Duration = Duration::from_secs(5);
/// Events that a receiver may be behind, while it takes them, before that is said.
const BEHIND_MAX: u64 = 100_000;
/// Things sent in so short a time settle together.
const SETTLE_STEP: Duration = Duration::from_millis(250);

/// Events that a receiver refuses one by one before it is believed to refuse all.
const REFUSED_MAX: usize = 20;

/// How often things are looked at and tried again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How often the journal is looked at when nothing happens.
    pub look: Duration,
    /// Pause after a receiver could not take something, doubled after each further time.
    pub pause: Duration,
    /// Longest pause.
    pub pause_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_millis(200),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
        }
    }
}

/// A receiver of events.
pub struct Receiver {
    /// What it is called in messages: no secret.
    pub name: String,
    /// `syslog`, `otlp`, `webhook`.
    pub kind: &'static str,
    /// Its address, which tells it from others.
    pub address: String,
    /// The way to it.
    pub sink: Box<dyn Sink>,
    /// Whether it gets what was said.
    pub texts: Texts,
}

/// The threads that feed receivers.
pub struct Streams {
    journal: Arc<Journal>,
    confirmed: Confirmed,
    stop: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<bool>>>,
}

#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    wake: Condvar,
}

impl Streams {
    /// Starts a thread for each receiver. Up to where each has everything is remembered in
    /// `data_dir/stream`; a receiver that is new there hears what happens from now on.
    ///
    /// # Errors
    ///
    /// When a place cannot be remembered, the journal cannot be read or go on, or there is no
    /// thread left.
    pub fn start(
        receivers: Vec<Receiver>,
        journal: &Arc<Journal>,
        data_dir: &Path,
        pace: Pace,
    ) -> io::Result<Self> {
        let stop = Arc::<Stop>::default();
        let folder = data_dir.join("stream");
        let mut readied = Vec::new();
        for Receiver { name, kind, address, sink, texts } in receivers {
            let memory = Memory::open(&folder, kind, &address)?;
            let follower = match memory.read()? {
                Remembered::Place(place) => {
                    Follower::resume(Arc::clone(journal), texts, place).map_err(io::Error::other)?
                }
                Remembered::Nothing => {
                    tracing::info!(
                        receiver = name,
                        "a receiver of events is new, or has a new address: it hears what happens \
                         from now on"
                    );
                    Follower::end_of(journal, texts).map_err(io::Error::other)?
                }
                Remembered::Unreadable => {
                    tracing::warn!(
                        receiver = name,
                        "up to where it has events is not remembered; \
                                   all that the journal has is sent"
                    );
                    Follower::new(Arc::clone(journal), texts, Place::default())
                }
            };
            memory.write(follower.place())?;
            readied.push((name, sink, memory, follower));
        }
        let places = readied.iter().map(|(.., follower)| follower.place()).collect();
        let all = Confirmed::new(journal, places);
        let mut threads = Vec::new();
        for (number, (name, sink, memory, follower)) in readied.into_iter().enumerate() {
            let confirmed = follower.place();
            let worker = Worker {
                name,
                sink,
                follower,
                memory,
                pace,
                pending: Vec::new(),
                again: false,
                unsettled: VecDeque::new(),
                confirmed,
                all: (all.clone(), number),
                pause: pace.pause,
                behind: None,
                stop: Arc::clone(&stop),
            };
            let builder = std::thread::Builder::new().name("narrows-stream".to_owned());
            threads.push(builder.spawn(move || worker.run())?);
        }
        let journal = Arc::clone(journal);
        Ok(Self { journal, confirmed: all, stop, threads: Mutex::new(threads) })
    }

    /// Up to where all receivers have everything.
    #[must_use]
    pub fn confirmed(&self) -> Confirmed {
        self.confirmed.clone()
    }

    /// Sends what there is and stops. What a receiver that does not answer holds up is left to the
    /// next start: `false`.
    pub fn stop(&self) -> bool {
        if let Err(error) = self.journal.sync() {
            tracing::warn!(%error, "the last events are not sent: the disk does not have them");
        }
        *self.stop.asked.lock() = true;
        self.stop.wake.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        let begun = Instant::now();
        while !threads.iter().all(JoinHandle::is_finished) && begun.elapsed() < LAST_EVENTS {
            std::thread::sleep(Duration::from_millis(20));
        }
        let done =
            |thread: JoinHandle<bool>| thread.is_finished() && thread.join().unwrap_or(false);
        // Each is asked: those that have ended are joined.
        let ended: Vec<bool> = threads.into_iter().map(done).collect();
        ended.iter().all(|done| *done)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

impl Stop {
    /// Waits, unless the gateway stops; whether it does.
    fn wait(&self, length: Duration) -> bool {
        let mut asked = self.asked.lock();
        let until = Instant::now() + length;
        while !*asked && !self.wake.wait_until(&mut asked, until).timed_out() {}
        *asked
    }
}

struct Worker {
    name: String,
    sink: Box<dyn Sink>,
    follower: Follower,
    memory: Memory,
    pace: Pace,
    /// Read and not sent, up to the follower's place.
    pending: Vec<Item>,
    /// It is sent again as it is, so that it has the same name.
    again: bool,
    /// Sent; when it counts as received, and the place behind it.
    unsettled: VecDeque<(Instant, Place)>,
    /// Up to here everything was received.
    confirmed: Place,
    /// Where others see that, and which receiver this is there.
    all: (Confirmed, usize),
    pause: Duration,
    /// It was said that the receiver is behind, when its place was this number.
    behind: Option<u64>,
    stop: Arc<Stop>,
}

/// What became of a step.
enum Step {
    /// Go on at once.
    On,
    /// There is nothing to do.
    Idle,
    /// Something failed: wait so long.
    Failed(Duration),
}

impl Worker {
    /// Feeds the receiver until the gateway stops; whether it has everything then.
    fn run(mut self) -> bool {
        let mut stopping = false;
        loop {
            match self.step() {
                Step::On => {}
                Step::Idle if stopping => break,
                Step::Idle => stopping = self.stop.wait(self.pace.look),
                // What is not sent now is sent after the next start.
                Step::Failed(_) if stopping => break,
                Step::Failed(pause) => stopping = self.stop.wait(pause),
            }
        }
        let sent = self.unsettled.back().map(|(_, place)| *place);
        if let (Some(place), true) = (sent, self.sink.close()) {
            self.confirm(place);
        }
        self.confirmed == self.follower.place() && self.follower.behind() == 0
    }

    fn step(&mut self) -> Step {
        match self.sink.check() {
            Err(error) if !self.unsettled.is_empty() => return self.failed(error),
            // Nothing was on its way: the next event finds a new one.
            Ok(()) | Err(_) => self.settle(),
        }
        if !self.again
            && let Err(error) = self.follower.fill(&mut self.pending)
        {
            // Nothing of what was read before is lost by it.
            return self.failed(SendError::away(error.to_string()));
        }
        if self.pending.is_empty() {
            self.caught_up();
            return Step::Idle;
        }
        self.lags();
        match self.send() {
            Ok(()) => Step::On,
            Err(error) => self.failed(error),
        }
    }

    /// Sends what is pending, and takes it for sent.
    fn send(&mut self) -> Result<(), SendError> {
        self.again = true;
        if let Err(error) = self.sink.send(&self.pending) {
            let SendError::Refused(why) = error else { return Err(error) };
            // Others that come may show that it takes some.
            self.again = false;
            self.one_by_one(why)?;
        }
        self.pending.clear();
        self.again = false;
        let place = self.follower.place();
        if self.sink.settles().is_zero() {
            self.confirm(place);
            return Ok(());
        }
        let now = Instant::now();
        match self.unsettled.back_mut() {
            // Sent in one step of time: they settle when the step's end has.
            Some((settled, last)) if now + self.sink.settles() < *settled => *last = place,
            _ => self.unsettled.push_back((now + self.sink.settles() + SETTLE_STEP, place)),
        }
        Ok(())
    }

    /// Sends events that were refused together one by one. Those that are refused alone are given
    /// up, if the receiver took any other: it works, and does not want these. If it took none,
    /// nothing is given up: it may be set up wrongly.
    fn one_by_one(&mut self, why: String) -> Result<(), SendError> {
        let mut refused = Vec::new();
        let mut taken = 0;
        for item in self.pending.iter().filter(|_| self.pending.len() > 1) {
            match self.sink.send(std::slice::from_ref(item)) {
                Ok(()) => taken += 1,
                Err(SendError::Refused(why)) => refused.push((item.number, why)),
                Err(error) => return Err(error),
            }
            if taken == 0 && refused.len() >= REFUSED_MAX {
                break;
            }
        }
        if taken == 0 {
            return Err(SendError::away(why));
        }
        for (number, why) in refused {
            let receiver = &self.name;
            tracing::error!(receiver, number, why, "the receiver does not take an event");
        }
        Ok(())
    }

    fn settle(&mut self) {
        let now = Instant::now();
        let mut settled = None;
        while let Some((_, place)) = self.unsettled.pop_front_if(|(at, _)| *at <= now) {
            settled = Some(place);
        }
        if let Some(place) = settled {
            self.confirm(place);
        }
    }

    fn confirm(&mut self, place: Place) {
        self.confirmed = place;
        self.pause = self.pace.pause;
        if let Err(error) = self.memory.write(place) {
            // After a restart it is sent again.
            tracing::warn!(receiver = self.name, %error, "its place cannot be remembered");
        }
        let (all, number) = &self.all;
        all.set(*number, place);
    }

    fn failed(&mut self, error: SendError) -> Step {
        let pause = error.pause(self.pause);
        if self.behind.is_none() {
            self.behind = Some(self.confirmed.number);
            tracing::warn!(
                receiver = self.name,
                why = %error,
                "a receiver of events is behind; the journal keeps them for it"
            );
        }
        if !self.sink.settles().is_zero() {
            // What was sent and did not settle may be lost.
            self.unsettled.clear();
            self.pending.clear();
            self.again = false;
            self.follower.rewind(self.confirmed);
        }
        self.pause = self.pause.saturating_mul(2).min(self.pace.pause_max);
        Step::Failed(pause)
    }

    /// Says once that a receiver that takes events takes them too slowly.
    fn lags(&mut self) {
        let behind = self.follower.behind();
        if self.behind.is_none() && behind > BEHIND_MAX {
            self.behind = Some(self.confirmed.number);
            tracing::warn!(
                receiver = self.name,
                behind,
                "a receiver of events is slower than they come; the journal keeps them for it"
            );
        }
    }

    fn caught_up(&mut self) {
        if self.unsettled.is_empty()
            && self.follower.behind() == 0
            && let Some(from) = self.behind.take()
        {
            let events = self.confirmed.number.saturating_sub(from.max(1));
            tracing::info!(receiver = self.name, events, "a receiver of events has caught up");
        }
    }
}

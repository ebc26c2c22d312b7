//! The thread that makes the archive, and what is asked of it from outside.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::Timestamp;
use parking_lot::{Condvar, Mutex};

use super::{Head, Reach, Rounds, Stayed};

/// How long someone who asks for a purge waits.
const PURGE_MAX: Duration = Duration::from_secs(50);
/// How long the last round of a gateway that stops may take before it is left to the next start.
const LAST_ROUND: Duration = Duration::from_secs(10);

/// How the archive stands, for those who ask.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// How far it reaches.
    pub head: Head,
    /// Which segments of the journal are in it.
    pub reach: Reach,
    /// What the last round that failed said, until one succeeds.
    pub failing: Option<String>,
}

/// The thread that makes the archive.
pub struct Archiver {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    standing: Mutex<Standing>,
    asked: Mutex<Asked>,
    /// Something is asked for.
    wake: Condvar,
    /// A purge, or a round that was asked for, has ended.
    purged: Condvar,
    /// Somebody waits for it, or for its end.
    hurry: Arc<AtomicBool>,
    clock: fn() -> Timestamp,
}

impl Archiver {
    /// Starts it; `clock` tells the time.
    pub fn start(rounds: Rounds, clock: fn() -> Timestamp) -> io::Result<Self> {
        let (head, reach) = (rounds.head.clone(), rounds.reach());
        let standing = Standing { head, reach, failing: None };
        let shared = Arc::new(Shared {
            standing: Mutex::new(standing),
            asked: Mutex::default(),
            wake: Condvar::new(),
            purged: Condvar::new(),
            hurry: rounds.behind.hurry(),
            clock,
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("narrows-archive".to_owned())
            .spawn(move || of_thread.run(rounds))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Archives what there is now and has the journal let go of all that is archived; waits for it.
    /// What the journal keeps all the same.
    ///
    /// # Errors
    ///
    /// What stood in the way, in words.
    pub fn purge(&self) -> Result<Vec<Stayed>, String> {
        let mut asked = self.shared.asked.lock();
        asked.purges = asked.purges.saturating_add(1);
        self.shared.hurry.store(true, Ordering::Relaxed);
        let mine = asked.purges;
        self.shared.wake.notify_all();
        while asked.purged < mine {
            if self.shared.purged.wait_for(&mut asked, PURGE_MAX).timed_out() {
                return Err("the archive did not answer in time; see the gateway's log".to_owned());
            }
        }
        asked.outcome.clone()
    }

    /// Archives what there is now, and waits for it.
    ///
    /// # Errors
    ///
    /// What stood in the way, in words.
    pub fn catch_up(&self) -> Result<(), String> {
        let mut asked = self.shared.asked.lock();
        asked.rounds = asked.rounds.saturating_add(1);
        self.shared.hurry.store(true, Ordering::Relaxed);
        let mine = asked.rounds;
        self.shared.wake.notify_all();
        while asked.rounded < mine {
            if self.shared.purged.wait_for(&mut asked, PURGE_MAX).timed_out() {
                return Err("the archive did not answer in time; see the gateway's log".to_owned());
            }
        }
        drop(asked);
        self.standing().failing.map_or(Ok(()), Err)
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.shared.standing.lock().clone()
    }

    /// Whether the thread has ended although nobody stopped it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.lock().as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Archives what there is and stops. What a store that does not answer holds up is left to the
    /// next start: `false`.
    pub fn stop(&self) -> bool {
        self.shared.asked.lock().stop = true;
        self.shared.hurry.store(true, Ordering::Relaxed);
        self.shared.wake.notify_all();
        let Some(thread) = self.thread.lock().take() else { return true };
        let begun = Instant::now();
        while !thread.is_finished() && begun.elapsed() < LAST_ROUND {
            std::thread::sleep(Duration::from_millis(20));
        }
        thread.is_finished() && thread.join().is_ok() && self.standing().failing.is_none()
    }
}

impl fmt::Debug for Archiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archiver").field("standing", &self.standing()).finish_non_exhaustive()
    }
}

/// What the thread is asked for. One lock for all of it, or a call could come between the look and
/// the wait and not be heard.
struct Asked {
    stop: bool,
    /// Purges asked for.
    purges: u64,
    /// Purges done.
    purged: u64,
    /// Rounds asked for.
    rounds: u64,
    /// Rounds of those that have ended.
    rounded: u64,
    /// What came of the last purge.
    outcome: Result<Vec<Stayed>, String>,
}

impl Default for Asked {
    fn default() -> Self {
        Self { stop: false, purges: 0, purged: 0, rounds: 0, rounded: 0, outcome: Ok(Vec::new()) }
    }
}

impl Shared {
    fn run(&self, mut rounds: Rounds) {
        // A store that is away is said by the first round.
        let _ = rounds.begin((self.clock)());
        self.stand(&rounds);
        loop {
            let mut asked = self.asked.lock();
            let is_quiet = asked.purged == asked.purges && asked.rounded == asked.rounds;
            self.hurry.store(asked.stop || !is_quiet, Ordering::Relaxed);
            if !asked.stop && is_quiet {
                self.wake.wait_for(&mut asked, rounds.options.every);
            }
            let (last, purges, rounds_asked) = (asked.stop, asked.purges, asked.rounds);
            let is_asked = asked.purged < purges;
            drop(asked);
            if is_asked {
                let outcome = rounds.purge((self.clock)()).map_err(|error| error.to_string());
                self.stand(&rounds);
                let mut asked = self.asked.lock();
                (asked.purged, asked.outcome) = (purges, outcome);
                self.purged.notify_all();
            }
            let more = self.rounds_until_done(&mut rounds);
            self.asked.lock().rounded = rounds_asked;
            self.purged.notify_all();
            if last && !more {
                return;
            }
        }
    }

    fn stand(&self, rounds: &Rounds) {
        let mut standing = self.standing.lock();
        (standing.head, standing.reach) = (rounds.head.clone(), rounds.reach());
    }

    /// Whether there is more to do at once.
    fn rounds_until_done(&self, rounds: &mut Rounds) -> bool {
        loop {
            match rounds.round((self.clock)()) {
                Ok(done) => {
                    self.stand(rounds);
                    let mut standing = self.standing.lock();
                    if standing.failing.take().is_some() {
                        tracing::info!("the archive goes on");
                    }
                    drop(standing);
                    if !done.more {
                        return false;
                    }
                }
                Err(error) => {
                    self.stand(rounds);
                    let mut standing = self.standing.lock();
                    // Said once for each reason: the journal keeps what is not archived.
                    let words = error.to_string();
                    if standing.failing.as_deref() != Some(words.as_str()) {
                        tracing::error!(%error, "the archive is behind; the journal keeps it");
                    }
                    standing.failing = Some(words);
                    return false;
                }
            }
        }
    }
}

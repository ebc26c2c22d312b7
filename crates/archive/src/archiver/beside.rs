//! The heavy part of a round, done beside those who serve.
//!
//! It gets what they leave of the processors, and nothing else, for [`PATIENCE`]. On a machine that
//! leaves nothing the archive would stand still, so after that it takes a small share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

use super::ArchiveError;

/// How long the archive may be behind before it takes more than what is left over.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much it gives way then, setpriority(2): beside one thread that never rests it gets about a
/// tenth of a processor.
const NICE: i32 = 10;

/// How a part of a round is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Share {
    /// With what others leave, sched(7) `SCHED_IDLE`: whoever serves takes the processor from it at
    /// once.
    LeftOver,
    /// With a little, always.
    Little,
}

/// How long the archive still waits for what is left over, and whether somebody waits for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Behind {
    /// [`PATIENCE`] from the first work on, if nobody said.
    end: Option<Instant>,
    /// Somebody waits for what is done, or nobody is served any more: it gives way to no one.
    hurry: Arc<AtomicBool>,
}

/// Until when something may go on.
#[derive(Clone, Debug)]
pub(super) struct Until {
    end: Option<Instant>,
    hurry: Arc<AtomicBool>,
}

impl Until {
    /// Whether it is over: what was made of it by then is thrown away.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.hurry.load(Ordering::Relaxed) || Instant::now() >= end)
    }
}

impl Behind {
    /// Something waits for the archive so much longer than it had to. It may have waited for a
    /// process before this one: a gateway that is killed again and again gets on, too.
    pub(super) fn waits_for(&mut self, age: Duration) {
        self.end = Some(Instant::now() + PATIENCE.saturating_sub(age));
    }

    /// Set by whoever waits for the archive, from any thread.
    pub(super) fn hurry(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.hurry)
    }

    /// Does `work` beside those who serve. What it gave when its time was over is thrown away, and
    /// it is done again with a larger share: a process that may not set priorities cannot take a
    /// thread out of `SCHED_IDLE`.
    ///
    /// It must hold no lock and wait for nothing: whoever waits for it would wait for what is left
    /// of the processors.
    pub(super) fn beside<T: Send>(
        &mut self,
        mut work: impl FnMut(&Until) -> Result<T, ArchiveError> + Send,
    ) -> Result<T, ArchiveError> {
        let end = *self.end.get_or_insert_with(|| Instant::now() + PATIENCE);
        let mut until = Until { end: Some(end), hurry: self.hurry() };
        if !until.is_over() {
            let done = on_a_thread(Share::LeftOver, || work(&until))?;
            // Also what failed may have failed because it was cut short.
            if !until.is_over() {
                return done;
            }
        }
        until.end = None;
        match self.hurry.load(Ordering::Relaxed) {
            true => work(&until),
            false => on_a_thread(Share::Little, || work(&until))?,
        }
    }
}

/// Does it on a thread with so much of a share.
fn on_a_thread<T: Send>(share: Share, work: impl FnOnce() -> T + Send) -> Result<T, ArchiveError> {
    let give_way = || {
        take(share);
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("narrows-convert".to_owned());
        let thread = thread.spawn_scoped(scope, give_way).map_err(ArchiveError::Thread)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Has this thread, and no other, take so much: Linux keeps both per thread.
fn take(share: Share) {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "the archive is made at the priority of everything else");
    };
    if share == Share::LeftOver {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        match set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
            Ok(()) => return,
            // Where a sandbox forbids it, the other is better than nothing.
            Err(error) => tracing::debug!(%error, "the archive cannot be made with what is left"),
        }
    }
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        failed(&error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> (Option<NormalThreadSchedulePolicy>, i32) {
        let policy = match thread_priority::unix::thread_schedule_policy().unwrap() {
            ThreadSchedulePolicy::Normal(policy) => Some(policy),
            ThreadSchedulePolicy::Realtime(_) => None,
        };
        (policy, rustix::process::getpriority_process(None).unwrap())
    }

    #[test]
    fn heavy_work_takes_what_is_left_over() {
        let before = shares();
        let found = Behind::default().beside(|_| Ok(shares())).unwrap();
        assert_eq!(found.0, Some(NormalThreadSchedulePolicy::Idle));
        assert_eq!(shares(), before, "only heavy work gives way");
    }

    #[test]
    fn work_that_somebody_waits_for_is_done_again_and_gives_way_to_no_one() {
        let mut behind = Behind::default();
        let (hurry, before) = (behind.hurry(), shares());
        let mut found = Vec::new();
        let done = behind.beside(|until| {
            found.push((shares(), until.is_over()));
            hurry.store(true, Ordering::Relaxed);
            Ok(found.len())
        });
        assert_eq!(done.unwrap(), 2, "what was over when it was done is thrown away");
        let [first, second] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((first.0.0, first.1), (Some(NormalThreadSchedulePolicy::Idle), false));
        assert_eq!(*second, (before, false));
    }

    #[test]
    fn an_archive_that_is_behind_for_long_takes_a_little() {
        let mut behind = Behind::default();
        // Longer than the machine runs: it was started anew meanwhile.
        behind.waits_for(Duration::MAX);
        assert_eq!(behind.beside(|_| Ok(shares().1)).unwrap(), NICE);
        behind.waits_for(Duration::ZERO);
        let left_over = behind.beside(|_| Ok(shares().0)).unwrap();
        assert_eq!(left_over, Some(NormalThreadSchedulePolicy::Idle));
    }

    #[test]
    fn what_fails_because_it_was_cut_short_is_done_again() {
        let mut behind = Behind::default();
        let hurry = behind.hurry();
        let mut count = 0;
        let done = behind.beside(|_| {
            count += 1;
            hurry.store(true, Ordering::Relaxed);
            match count {
                1 => Err(ArchiveError::Thread(std::io::ErrorKind::Other.into())),
                _ => Ok(count),
            }
        });
        assert_eq!(done.unwrap(), 2);
    }

    #[test]
    fn what_fails_is_not_tried_again() {
        let mut count = 0;
        let failed = Behind::default().beside(|_| -> Result<(), _> {
            count += 1;
            Err(ArchiveError::Thread(std::io::ErrorKind::Other.into()))
        });
        assert!(failed.is_err());
        assert_eq!(count, 1);
    }
}

//! The heavy part of a round, done beside those who serve.
//!
//! It gets what they leave of the processors, and nothing else, for [`PATIENCE`]. On a machine that
//! leaves nothing the archive would stand still, so after that it takes a small share.

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

/// Since when the archive is behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Behind {
    since: Option<Instant>,
}

/// Until when a part of a round may go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until(Option<Instant>);

impl Until {
    /// For ever.
    pub(super) const NEVER: Self = Self(None);

    /// Whether it is over.
    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|until| Instant::now() >= until)
    }
}

impl Behind {
    /// The archive has everything.
    pub(super) fn caught_up(&mut self) {
        self.since = None;
    }

    /// Does `work` beside those who serve. It is begun again with a larger share where it ends with
    /// [`ArchiveError::Overtaken`]: a process that may not set priorities cannot take a thread out
    /// of `SCHED_IDLE` again.
    pub(super) fn beside<T: Send>(
        &mut self,
        mut work: impl FnMut(Until) -> Result<T, ArchiveError> + Send,
    ) -> Result<T, ArchiveError> {
        let until = *self.since.get_or_insert_with(Instant::now) + PATIENCE;
        if Instant::now() < until {
            match on_a_thread(Share::LeftOver, || work(Until(Some(until)))) {
                Err(ArchiveError::Overtaken) => {}
                done => return done,
            }
        }
        on_a_thread(Share::Little, || work(Until::NEVER))
    }
}

/// Does it on a thread with so much of a share. Not the rest of a round: it holds locks of the
/// journal and the index for moments, and whoever waits for those serves.
fn on_a_thread<T: Send>(
    share: Share,
    work: impl FnOnce() -> Result<T, ArchiveError> + Send,
) -> Result<T, ArchiveError> {
    let give_way = || {
        take(share);
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("narrows-convert".to_owned());
        let thread = thread.spawn_scoped(scope, give_way).map_err(ArchiveError::Thread)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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
    fn work_that_gets_nothing_is_begun_again_with_a_little() {
        let mut behind = Behind::default();
        let mut found = Vec::new();
        let done = behind.beside(|until| {
            found.push((shares(), until.0.is_some()));
            if until.0.is_some() { Err(ArchiveError::Overtaken) } else { Ok(()) }
        });
        done.unwrap();
        let [first, second] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((first.0.0, first.1), (Some(NormalThreadSchedulePolicy::Idle), true));
        assert_eq!(*second, ((Some(NormalThreadSchedulePolicy::Other), NICE), false));
    }

    #[test]
    fn an_archive_that_is_behind_for_long_takes_a_little() {
        let mut behind = Behind { since: Instant::now().checked_sub(2 * PATIENCE) };
        assert_eq!(behind.beside(|_| Ok(shares().1)).unwrap(), NICE);
        behind.caught_up();
        let left_over = behind.beside(|_| Ok(shares().0)).unwrap();
        assert_eq!(left_over, Some(NormalThreadSchedulePolicy::Idle));
    }
}

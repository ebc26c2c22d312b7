//! The thread that tells one place.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::limit::NOTICES_MAX;
use parking_lot::{Condvar, Mutex};
use store::approvals::{Approvals, Status};
use store::{Approval, ApprovalId};
use stream::{SendError, Texts};

use crate::memory::Memory;
use crate::notice::Notice;

/// Ends that a place was told of, remembered so that none is told twice when news of a request
/// arrives out of order.
const ENDED_MAX: usize = 1_000;

/// How often a place that is away is tried.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Pause after a place could not be told, doubled after each further time.
    pub pause: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// How long a place is tried to be told of an end. A request itself is told while it waits.
    pub ends_for: Duration,
    /// How long a gateway that stops waits for what is on its way.
    pub last: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
            ends_for: Duration::from_secs(3600),
            last: Duration::from_secs(5),
        }
    }
}

/// The way to a place.
pub trait Way: Send {
    /// Says where a request stands; what the place calls its message. `before` is that of the
    /// message about the same request, when there was one.
    ///
    /// # Errors
    ///
    /// When the place is away or refuses.
    fn tell(&mut self, notice: &Notice, before: Option<&str>) -> Result<String, SendError>;
}

/// A place where people are told.
pub struct Place {
    /// What it is called in messages: no secret.
    pub name: String,
    /// `webhook`, `slack`, `email`.
    pub kind: &'static str,
    /// Its address, which tells it from others.
    pub address: String,
    /// Only what these groups may answer is told; empty: everything.
    pub groups: Vec<Arc<str>>,
    /// Whether values are sent.
    pub texts: Texts,
    /// The way to it.
    pub way: Box<dyn Way>,
}

/// What tells all places.
pub struct Notifier {
    threads: Vec<(Arc<Shared>, JoinHandle<()>)>,
    pace: Pace,
}

struct Shared {
    name: String,
    groups: Vec<Arc<str>>,
    /// This gateway's name, where it is one of several.
    gateway: Option<Arc<str>>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Requests about which there may be something to tell, each once.
    waiting: VecDeque<ApprovalId>,
    /// There were too many: what waits is to be looked through.
    overflowed: bool,
    stop: bool,
}

impl Notifier {
    /// Starts a thread for each place. Which requests each was told of is remembered in
    /// `data_dir/notify`. `admin` is the address of the admin API, as people are told it.
    ///
    /// # Errors
    ///
    /// When the memory of a place cannot be used, or there is no thread left.
    pub fn start(
        places: Vec<Place>,
        approvals: &Arc<Approvals>,
        data_dir: &Path,
        admin: &str,
        pace: Pace,
    ) -> io::Result<Self> {
        let folder = data_dir.join("notify");
        let mut threads = Vec::new();
        for Place { name, kind, address, groups, texts, way } in places {
            let memory = Memory::open(&folder, kind, &address)?;
            let (queue, wake) = (Mutex::default(), Condvar::new());
            let gateway = approvals.gateway().cloned();
            let shared = Arc::new(Shared { name, groups, gateway, queue, wake });
            let worker = Worker {
                shared: Arc::clone(&shared),
                approvals: Arc::clone(approvals),
                admin: admin.to_owned(),
                texts,
                way,
                memory,
                pace,
                pause: pace.pause,
                away: false,
                ending: HashMap::new(),
                ended: VecDeque::new(),
            };
            let thread = std::thread::Builder::new().name("narrows-notify".to_owned());
            threads.push((shared, thread.spawn(move || worker.run())?));
        }
        Ok(Self { threads, pace })
    }

    /// Hears of a change of a request. Does not wait for anything.
    pub fn hear(&self, approval: &Approval) {
        for (shared, _) in &self.threads {
            if shared.concerns(approval) {
                shared.push(approval.id.clone());
            }
        }
    }

    /// Ends the threads and waits a little for what is on its way; whether every place was told
    /// everything.
    pub fn stop(&self) -> bool {
        let begun = Instant::now();
        for (shared, _) in &self.threads {
            shared.queue.lock().stop = true;
            shared.wake.notify_all();
        }
        let over = || self.threads.iter().all(|(_, thread)| thread.is_finished());
        while !over() && begun.elapsed() < self.pace.last {
            std::thread::sleep(Duration::from_millis(20));
        }
        let told =
            over() && self.threads.iter().all(|(shared, _)| shared.queue.lock().waiting.is_empty());
        // What still waits is looked for anew by whoever tells these places next; this one, which
        // may be of a configuration that is no longer in force, says nothing more.
        for (shared, _) in &self.threads {
            let mut queue = shared.queue.lock();
            queue.waiting.clear();
            queue.overflowed = false;
        }
        told
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("places", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn concerns(&self, approval: &Approval) -> bool {
        // Where several gateways share the state, the one that was asked tells.
        let is_here = approval.gateway.is_none() || approval.gateway == self.gateway;
        is_here && (self.groups.is_empty() || approval.is_for(&self.groups))
    }

    fn push(&self, id: ApprovalId) {
        let mut queue = self.queue.lock();
        if queue.waiting.contains(&id) {
            return;
        }
        match queue.waiting.len() < NOTICES_MAX {
            true => queue.waiting.push_back(id),
            false => queue.overflowed = true,
        }
        self.wake.notify_all();
    }

    /// Waits for the next request; `None` at the end.
    fn next(&self) -> Option<Next> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(id) = queue.waiting.pop_front() {
                return Some(Next::Request(id));
            }
            if std::mem::take(&mut queue.overflowed) {
                return Some(Next::All);
            }
            if queue.stop {
                return None;
            }
            self.wake.wait(&mut queue);
        }
    }

    /// Waits; whether it is time to end.
    fn rest(&self, length: Duration) -> bool {
        let until = Instant::now() + length;
        let mut queue = self.queue.lock();
        while !queue.stop && !self.wake.wait_until(&mut queue, until).timed_out() {}
        queue.stop
    }
}

enum Next {
    /// See what there is to tell of this request.
    Request(ApprovalId),
    /// See which requests there are.
    All,
}

struct Worker {
    shared: Arc<Shared>,
    approvals: Arc<Approvals>,
    admin: String,
    texts: Texts,
    way: Box<dyn Way>,
    memory: Memory,
    pace: Pace,
    pause: Duration,
    /// That the place is away was said.
    away: bool,
    /// Since when the end of a request could not be told.
    ending: HashMap<ApprovalId, Instant>,
    /// Requests of whose end the place was told.
    ended: VecDeque<ApprovalId>,
}

impl Worker {
    fn run(mut self) {
        self.find();
        while let Some(next) = self.shared.next() {
            let id = match next {
                Next::Request(id) => id,
                Next::All => {
                    self.find();
                    continue;
                }
            };
            let Err(error) = self.see(&id) else { continue };
            let away = !std::mem::replace(&mut self.away, true);
            if away {
                let place = &self.shared.name;
                let what = "people are not told of approvals; it is tried again";
                tracing::warn!(place, why = %error, "{what}");
            }
            // Behind the others: it may be this message that the place cannot take.
            self.shared.push(id);
            let pause = error.pause(self.pause);
            self.pause = self.pause.saturating_mul(2).min(self.pace.pause_max);
            if self.shared.rest(pause) {
                return;
            }
        }
    }

    /// Finds what waits, and what waited when the place was last told of it.
    fn find(&mut self) {
        for approval in self.approvals.pending() {
            if self.shared.concerns(&approval) {
                self.shared.push(approval.id);
            }
        }
        for id in self.memory.open_requests() {
            self.shared.push(id);
        }
    }

    /// Tells the place where a request stands, if it does not know.
    fn see(&mut self, id: &ApprovalId) -> Result<(), SendError> {
        let found = self.approvals.approval(id);
        let Some(approval) = found.map_err(|error| SendError::away(error.to_string()))? else {
            // The registry is another one than when the place was told.
            self.remember(|memory| memory.ended(id));
            return Ok(());
        };
        let waits = approval.status == Status::Pending;
        let before = self.memory.receipt(id).map(str::to_owned);
        if (waits && before.is_some()) || self.ended.contains(id) {
            return Ok(());
        }
        let notice = Notice::of(&approval, self.texts, &self.admin);
        let receipt = match self.way.tell(&notice, before.as_deref()) {
            Ok(receipt) => {
                if std::mem::take(&mut self.away) {
                    tracing::info!(place = self.shared.name, "people are told of approvals again");
                }
                self.pause = self.pace.pause;
                receipt
            }
            Err(SendError::Refused(why)) => {
                let place = &self.shared.name;
                tracing::error!(place, approval = %id, why, "the place does not take this message");
                String::new()
            }
            Err(away) if waits || self.may_try_again(id) => return Err(away),
            Err(away) => {
                let place = &self.shared.name;
                tracing::error!(place, approval = %id, why = %away, "an end is not told: given up");
                String::new()
            }
        };
        match waits {
            true => self.remember(|memory| memory.asked(id, receipt)),
            false => self.end(id),
        }
        Ok(())
    }

    fn may_try_again(&mut self, id: &ApprovalId) -> bool {
        let since = self.ending.entry(id.clone()).or_insert_with(Instant::now);
        since.elapsed() < self.pace.ends_for
    }

    fn end(&mut self, id: &ApprovalId) {
        self.ending.remove(id);
        self.ended.push_back(id.clone());
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
        self.remember(|memory| memory.ended(id));
    }

    fn remember(&mut self, what: impl FnOnce(&mut Memory) -> io::Result<()>) {
        if let Err(error) = what(&mut self.memory) {
            let place = &self.shared.name;
            let what =
                "what people were told is not remembered: after a restart they are told again";
            tracing::error!(place, %error, "{what}");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use model::Timestamp;
    use store::approvals::Verdict;
    use store::{Approver, NewApproval, Requested, Store, StoreOptions};

    use super::*;
    use crate::notice::tests::new;

    const LONG: Duration = Duration::from_secs(20);

    /// A store in a folder of its own, removed at the end.
    pub(crate) struct Desk {
        pub approvals: Arc<Approvals>,
        folder: PathBuf,
    }

    impl Desk {
        pub(crate) fn new() -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("narrows-notify-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            let (store, _) = Store::open(StoreOptions::new(&folder), Timestamp(0)).unwrap();
            Self { approvals: Arc::clone(&store.approvals), folder }
        }

        pub(crate) fn ask(&self, new: NewApproval) -> ApprovalId {
            match self.approvals.request(new, Timestamp(0)).unwrap() {
                Requested::Pending(id) => id,
                granted @ Requested::Granted(_) => panic!("{granted:?}"),
            }
        }

        fn deny(&self, id: &ApprovalId) {
            let no = Verdict::Deny { reason: None };
            self.approvals.answer(id, &Approver::admin_token(), no, Timestamp(1)).unwrap();
        }

        fn start(&self, places: Vec<Place>, pace: Pace) -> Arc<Notifier> {
            let notifier = Notifier::start(places, &self.approvals, &self.folder, "http://a", pace);
            let notifier = Arc::new(notifier.unwrap());
            let hears = Arc::clone(&notifier);
            self.approvals.observe(Box::new(move |approval| hears.hear(approval)));
            notifier
        }
    }

    impl Drop for Desk {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    type Told = (String, &'static str, Option<String>);

    /// A place that tells the test what it was told, and answers what it is told to.
    struct Fake {
        told: Sender<Told>,
        answers: Receiver<Result<String, SendError>>,
    }

    impl Way for Fake {
        fn tell(&mut self, notice: &Notice, before: Option<&str>) -> Result<String, SendError> {
            let told = (notice.id.clone(), notice.word(), before.map(str::to_owned));
            let _ = self.told.send(told);
            self.answers.recv().unwrap_or_else(|_| Err(SendError::away("the test is over")))
        }
    }

    fn place(address: &str) -> (Place, Receiver<Told>, Sender<Result<String, SendError>>) {
        let (told, hears) = channel();
        let (answer, answers) = channel();
        let place = Place {
            name: address.to_owned(),
            kind: "webhook",
            address: address.to_owned(),
            groups: Vec::new(),
            texts: Texts::Withheld,
            way: Box::new(Fake { told, answers }),
        };
        (place, hears, answer)
    }

    fn pace() -> Pace {
        let pause = Duration::from_millis(1);
        Pace { pause, pause_max: pause, ..Pace::default() }
    }

    fn word(told: &Told) -> (&str, &str) {
        (&told.0, told.1)
    }

    #[test]
    fn a_request_and_its_end_are_told_once_each_and_the_end_names_the_message_before() {
        let desk = Desk::new();
        let (place, told, answer) = place("one");
        let notifier = desk.start(vec![place], pace());
        let id = desk.ask(new("SELECT 1"));
        assert_eq!(word(&told.recv_timeout(LONG).unwrap()), (&*id.0, "requested"));
        answer.send(Ok("m1".to_owned())).unwrap();
        desk.ask(new("SELECT 1"));
        desk.deny(&id);
        let end = (id.to_string(), "denied", Some("m1".to_owned()));
        assert_eq!(told.recv_timeout(LONG).unwrap(), end);
        answer.send(Ok(String::new())).unwrap();
        // News of it that come late change nothing.
        notifier.hear(&desk.approvals.approval(&id).unwrap().unwrap());
        assert!(notifier.stop());
        assert!(told.try_recv().is_err(), "neither the join nor the late news were told");
    }

    #[test]
    fn a_place_that_is_away_delays_no_other_and_is_told_when_it_is_back() {
        let desk = Desk::new();
        let (dead, dead_told, dead_answer) = place("dead");
        let (alive, told, answer) = place("alive");
        let notifier = desk.start(vec![dead, alive], pace());
        let id = desk.ask(new("SELECT 1"));
        dead_told.recv_timeout(LONG).unwrap();
        // The first place does not even answer.
        assert_eq!(word(&told.recv_timeout(LONG).unwrap()), (&*id.0, "requested"));
        answer.send(Ok(String::new())).unwrap();
        for _ in 0..3 {
            dead_answer.send(Err(SendError::away("down"))).unwrap();
            assert_eq!(word(&dead_told.recv_timeout(LONG).unwrap()), (&*id.0, "requested"));
        }
        dead_answer.send(Ok(String::new())).unwrap();
        assert!(notifier.stop());
    }

    #[test]
    fn what_ended_before_a_place_could_be_told_is_told_as_ended() {
        let desk = Desk::new();
        let (place, told, answer) = place("one");
        let notifier = desk.start(vec![place], pace());
        let id = desk.ask(new("SELECT 1"));
        told.recv_timeout(LONG).unwrap();
        desk.deny(&id);
        answer.send(Err(SendError::away("down"))).unwrap();
        assert_eq!(word(&told.recv_timeout(LONG).unwrap()), (&*id.0, "denied"));
        answer.send(Ok(String::new())).unwrap();
        assert!(notifier.stop());
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn an_end_is_given_up_in_time_and_a_refused_message_at_once() {
        let desk = Desk::new();
        let (place, told, answer) = place("one");
        let notifier = desk.start(vec![place], Pace { ends_for: Duration::ZERO, ..pace() });
        let id = desk.ask(new("SELECT 1"));
        told.recv_timeout(LONG).unwrap();
        answer.send(Err(SendError::Refused("bad".to_owned()))).unwrap();
        desk.deny(&id);
        assert_eq!(word(&told.recv_timeout(LONG).unwrap()), (&*id.0, "denied"));
        answer.send(Err(SendError::away("down"))).unwrap();
        assert!(notifier.stop(), "nothing is left to tell");
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn after_a_restart_what_waits_is_told_to_who_lacks_it_and_the_end_to_who_knows_it() {
        let desk = Desk::new();
        let (first, told, answer) = place("first");
        let before = desk.start(vec![first], pace());
        let (known, ended) = (desk.ask(new("SELECT 1")), desk.ask(new("SELECT 22")));
        for _ in 0..2 {
            told.recv_timeout(LONG).unwrap();
            answer.send(Ok("m".to_owned())).unwrap();
        }
        assert!(before.stop());
        desk.deny(&ended);
        let lacking = desk.ask(new("SELECT 333"));
        let (first, told, answer) = place("first");
        let (second, second_told, second_answer) = place("second");
        let after = desk.start(vec![first, second], pace());
        for _ in 0..2 {
            answer.send(Ok(String::new())).unwrap();
            second_answer.send(Ok(String::new())).unwrap();
        }
        assert!(after.stop());
        let mut all: Vec<_> = told.try_iter().map(|(id, word, _)| (id, word)).collect();
        all.sort();
        let mut wanted = vec![(ended.to_string(), "denied"), (lacking.to_string(), "requested")];
        wanted.sort();
        assert_eq!(all, wanted);
        let mut all: Vec<_> = second_told.try_iter().map(|(id, word, _)| (id, word)).collect();
        all.sort();
        let mut wanted = vec![(known.to_string(), "requested"), (lacking.to_string(), "requested")];
        wanted.sort();
        assert_eq!(all, wanted);
    }

    #[test]
    fn only_what_its_groups_may_answer_is_told_to_a_place() {
        let desk = Desk::new();
        let (place, told, answer) = place("one");
        let notifier = desk.start(vec![Place { groups: vec!["sec".into()], ..place }], pace());
        desk.ask(new("SELECT 1"));
        let mut of_both = new("SELECT 22");
        of_both.rules[0].by.push("sec".into());
        let id = desk.ask(of_both);
        assert_eq!(word(&told.recv_timeout(LONG).unwrap()), (&*id.0, "requested"));
        answer.send(Ok(String::new())).unwrap();
        assert!(notifier.stop());
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn p8_what_a_place_is_to_be_told_is_bounded_and_found_again_past_the_bound() {
        let shared = Shared {
            name: String::new(),
            groups: Vec::new(),
            gateway: None,
            queue: Mutex::default(),
            wake: Condvar::new(),
        };
        let push = |number: usize| shared.push(ApprovalId(format!("ap_{number}").into()));
        (0..NOTICES_MAX).for_each(push);
        push(0);
        assert!(!shared.queue.lock().overflowed);
        push(NOTICES_MAX);
        assert_eq!(shared.queue.lock().waiting.len(), NOTICES_MAX);
        for number in 0..NOTICES_MAX {
            assert!(
                matches!(shared.next(), Some(Next::Request(id)) if *id.0 == *format!("ap_{number}"))
            );
        }
        assert!(matches!(shared.next(), Some(Next::All)));
    }
}

//! The index says the same whether it was fed while events were appended, after crashes, or from
//! the journal alone.

mod paging;

use std::sync::mpsc;

use model::event::Verdict;
use model::operation::Objects;
use model::{DetectionCount, Event, EventBody, OperationId, SessionId, Timestamp};
use proptest::prelude::*;
use rusqlite::types::Value;

use super::*;
use crate::data_dir::InstallationKey;
use crate::journal::{JournalKey, JournalLock, Options, Sealing};
use crate::testing::{Folder, at, event, operation, started};
use crate::usage::Usage;

/// Long enough that only the tests themselves flush.
const NEVER: Duration = Duration::from_secs(1_000_000);

struct Shelf {
    folder: Folder,
    state: Arc<State>,
    journal: Arc<Journal>,
    index: Index,
}

impl Shelf {
    fn new() -> Self {
        Self::over(Folder::new(), 3000)
    }

    fn over(folder: Folder, segment_bytes_max: u64) -> Self {
        Self::sealing(folder, segment_bytes_max, Sealing::Keyless)
    }

    fn sealing(folder: Folder, segment_bytes_max: u64, sealing: Sealing) -> Self {
        let options = Options { segment_bytes_max, ..Options::default() };
        let lock = JournalLock::take(&folder.path().join("journal"), "gw-test").unwrap();
        let (journal, _) = lock.open(options, sealing).unwrap();
        let state = Arc::new(State::open(&folder.path().join("state.sqlite")).unwrap());
        let journal = Arc::new(journal);
        let index = Index::open(Arc::clone(&state), Arc::clone(&journal), NEVER).unwrap();
        Self { folder, state, journal, index }
    }

    fn restart(self) -> Self {
        let Self { folder, state, journal, index } = self;
        drop((index, journal, state));
        Self::over(folder, 3000)
    }

    fn append(&self, events: &[Event]) {
        self.journal.append(events).unwrap();
    }

    /// Everything the index holds.
    fn dump(&self) -> Vec<Vec<Value>> {
        self.index.flush().unwrap();
        let mut all = Vec::new();
        for table in [
            "sessions",
            "session_tables",
            "session_detections",
            "session_ranges",
            "open_replies",
            "usage",
            "indexed",
        ] {
            let rows = self.state.read(|db| {
                let mut query = db.prepare(&format!("SELECT * FROM {table}"))?;
                let columns = query.column_count();
                query
                    .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?
                    .collect::<Result<Vec<Vec<Value>>, _>>()
            });
            let name = vec![Value::Text(table.to_owned())];
            all.extend(rows.unwrap().into_iter().map(|row| [name.clone(), row].concat()));
        }
        all
    }
}

fn id(session: &str) -> SessionId {
    SessionId(session.into())
}

fn part(number: u64, rows: u64) -> EventBody {
    let operation = OperationId(number);
    EventBody::ReplyPart { operation, rows, bytes: rows * 10, columns: Vec::new() }
}

fn reply(number: u64, rows: u64) -> EventBody {
    EventBody::Reply {
        operation: OperationId(number),
        outcome: "done".to_owned(),
        rows,
        bytes: rows * 10,
        columns: Vec::new(),
        detections: vec![DetectionCount { kind: "EMAIL".into(), seen: rows, masked: 1 }],
        searched: Arc::new([]),
        duration_ns: 5,
        error_code: None,
        payload_dropped: 0,
        sent: 0,
    }
}

fn ended() -> EventBody {
    EventBody::SessionEnded {
        reason: "client_closed".to_owned(),
        detail: None,
        operations: 2,
        rows: 30,
        bytes: 300,
    }
}

#[test]
fn a_session_is_summed_up() {
    let shelf = Shelf::new();
    let writes = EventBody::Operation {
        operation: OperationId(2),
        step: "query".into(),
        under: None,
        text: "insert".into(),
        parameters: Vec::new(),
        objects: Arc::new(Objects { writes: vec!["public.orders".into()], ..Objects::default() }),
        decision: Verdict::Hold,
        rules: Vec::new(),
        message: None,
        reason: None,
        approval: None,
        approver: None,
    };
    let ruling = EventBody::Ruling {
        operation: OperationId(2),
        decision: Verdict::Allow,
        rules: Vec::new(),
        rows: 0,
        message: None,
        approval: None,
        approver: None,
        reason: None,
    };
    shelf.append(&[
        event("s_one", 1, at(0), started()),
        event("s_one", 2, at(1), operation(1, "select", "public.customers", Verdict::Mask)),
        event("s_one", 3, at(2), part(1, 20)),
    ]);
    shelf.index.flush().unwrap();
    shelf.append(&[
        event("s_one", 4, at(3), reply(1, 30)),
        event("s_one", 5, at(4), writes),
        event("s_one", 6, at(5), ruling),
        event("s_one", 7, at(6), operation(3, "select", "public.orders", Verdict::Block)),
        event("s_one", 8, at(7), ended()),
    ]);
    let session = shelf.index.session(&id("s_one")).unwrap().unwrap();
    assert_eq!(session.principal, "agent");
    assert_eq!(session.resource, "appdb");
    assert_eq!(session.protocol, "postgres");
    assert_eq!(session.application.as_deref(), Some("psql"));
    assert_eq!((session.started_at, session.ended_at), (at(0), Some(at(7))));
    assert_eq!(session.end_reason.as_deref(), Some("client_closed"));
    assert_eq!(session.done, Usage { operations: 3, rows: 30, bytes: 300 }, "parts count once");
    let decisions = Decisions { allow: 1, mask: 1, hold: 1, block: 1 };
    assert_eq!(session.decisions, decisions);
    let tables: Vec<_> = session
        .tables
        .iter()
        .map(|table| (table.name.as_str(), table.reads, table.writes, table.refused))
        .collect();
    assert_eq!(tables, [("public.customers", 1, 0, 0), ("public.orders", 0, 1, 1)]);
    let found = DetectionCount { kind: "EMAIL".into(), seen: 30, masked: 1 };
    assert_eq!(session.detections, [found]);
}

#[test]
fn sessions_are_filtered() {
    let shelf = Shelf::new();
    let mut other = event("s_two", 1, at(100), started());
    other.principal = Some("other".into());
    let mut of_run = started();
    if let EventBody::SessionStarted { principal, run, .. } = &mut of_run {
        principal.token = Some(model::TokenId("tk_1".into()));
        *run = Some("nightly".into());
    }
    shelf.append(&[
        event("s_four", 1, at(0), of_run),
        event("s_one", 1, at(0), started()),
        event("s_one", 2, at(1), operation(1, "select", "public.customers", Verdict::Allow)),
        event("s_one", 3, at(2), ended()),
        other,
        event("s_three", 1, at(200), operation(1, "select", "public.xcustomers", Verdict::Allow)),
    ]);
    let list = |filter: SessionFilter| -> Vec<String> {
        let sessions = shelf.index.sessions(&filter).unwrap();
        sessions.iter().map(|session| session.id.0.to_string()).collect()
    };
    let all = SessionFilter::default;
    assert_eq!(list(all()), ["s_three", "s_two", "s_one", "s_four"]);
    assert_eq!(list(SessionFilter { limit: Some(1), ..all() }), ["s_three"]);
    assert_eq!(list(SessionFilter { since: Some(at(100)), ..all() }), ["s_three", "s_two"]);
    assert_eq!(list(SessionFilter { principal: Some("other".into()), ..all() }), ["s_two"]);
    assert_eq!(list(SessionFilter { live: true, ..all() }), ["s_three", "s_two", "s_four"]);
    let run = |run: &str| list(SessionFilter { run: Some(run.into()), ..all() });
    assert_eq!(run("tk_1"), ["s_four"]);
    assert_eq!(run("nightly"), ["s_four"]);
    assert_eq!(run("tk_1/nightly"), ["s_four"]);
    for none in ["tk_2", "tk_1/other", "tk_2/nightly", "", "/", "' OR 1 --"] {
        assert!(run(none).is_empty(), "{none}");
    }
    for table in ["customers", "public.customers"] {
        assert_eq!(list(SessionFilter { table: Some(table.into()), ..all() }), ["s_one"]);
    }
    for table in ["%", "ustomers", "' OR 1 --", ""] {
        assert!(list(SessionFilter { table: Some(table.into()), ..all() }).is_empty(), "{table}");
    }
}

#[test]
fn events_of_a_session_are_found_among_others_and_can_be_followed() {
    let shelf = Shelf::new();
    for number in 1..=60 {
        shelf.append(&[
            event("s_one", number, at(number), operation(number, "a", "t", Verdict::Allow)),
            event("s_two", number, at(number), operation(number, "b", "t", Verdict::Allow)),
        ]);
        if number % 7 == 0 {
            shelf.index.flush().unwrap();
        }
    }
    assert!(shelf.journal.last().segment > 5);
    let events: Vec<_> = shelf.index.events(&id("s_one")).unwrap().map(Result::unwrap).collect();
    assert!(events.iter().map(|event| event.sequence).eq(1..=60));
    assert!(events.iter().all(|event| event.session == Some(id("s_one"))));
    assert_eq!(shelf.index.events(&id("s_none")).unwrap().count(), 0);
}

#[test]
fn p8_what_the_notes_could_not_hold_is_read_from_the_journal() {
    let shelf = Shelf::new();
    shelf.journal.keep_notes(10);
    let body = |n| operation(n, "a", "t", Verdict::Allow);
    for (count, sum) in [(10, 10), (11, 21), (25, 46), (3, 49)] {
        (0..count).for_each(|n| shelf.append(&[event("s_one", sum + n, at(n), body(n))]));
        let session = shelf.index.session(&id("s_one")).unwrap().unwrap();
        assert_eq!(session.done.operations, sum);
    }
}

#[test]
fn an_index_ahead_of_or_beside_its_journal_is_built_again() {
    let shelf = Shelf::new();
    shelf.append(&[event("s_one", 1, at(0), started()), event("s_one", 2, at(1), ended())]);
    shelf.index.flush().unwrap();
    let Shelf { folder, state, journal, index } = shelf;
    drop((index, journal, state));
    std::fs::remove_dir_all(folder.path().join("journal")).unwrap();
    let shelf = Shelf::over(folder, 3000);
    assert!(shelf.index.sessions(&SessionFilter::default()).unwrap().is_empty());

    shelf.append(&[event("s_two", 1, at(0), started()), event("s_two", 2, at(1), ended())]);
    shelf.index.flush().unwrap();
    let Shelf { folder, state, journal, index } = shelf;
    drop((index, journal, state));
    std::fs::remove_dir_all(folder.path().join("journal")).unwrap();
    let (journal, _) =
        Journal::open(&folder.path().join("journal"), "gw-test", Options::default()).unwrap();
    let other = [event("s_six", 1, at(0), started()), event("s_six", 2, at(1), ended())];
    journal.append(&other).unwrap();
    journal.append(&[event("s_six", 3, at(2), started())]).unwrap();
    drop(journal);
    let shelf = Shelf::over(folder, 3000);
    let sessions = shelf.index.sessions(&SessionFilter::default()).unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!((&sessions[0].id, sessions[0].sequence), (&id("s_six"), 3));
}

fn seals(byte: u8) -> Sealing {
    Sealing::Seals(JournalKey::of(&InstallationKey::from_bytes(&[byte; 32]).unwrap()))
}

/// Goal: what is asked of a sealed journal is answered as of one in clear, whether the index was fed
/// while it was written, after a crash, or from it alone.
#[test]
fn p6_a_sealed_journal_is_indexed_and_read_as_one_in_clear() {
    let mut events = vec![event("s_one", 1, at(0), started())];
    for number in 1..=30 {
        let body = operation(number, "select a", "public.t", Verdict::Allow);
        events.push(event("s_one", number * 2, at(number), body));
        let mut got = event("s_one", number * 2 + 1, at(number), reply(number, 3));
        got.payload = vec![b'r'; 50];
        events.push(got);
    }
    let all = SessionFilter::default();
    let expected = {
        let shelf = Shelf::new();
        shelf.append(&events);
        shelf.index.flush().unwrap();
        shelf.index.sessions(&all).unwrap()
    };
    let shelf = Shelf::sealing(Folder::new(), 3000, seals(1));
    for event in &events {
        shelf.append(std::slice::from_ref(event));
    }
    assert!(shelf.journal.last().segment > 3);
    let holds = |shelf: &Shelf| {
        shelf.index.flush().unwrap();
        assert_eq!(shelf.index.sessions(&all).unwrap(), expected);
        let read: Vec<_> = shelf.index.events(&id("s_one")).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, events);
    };
    holds(&shelf);
    let Shelf { folder, state, journal, index } = shelf;
    drop((index, journal, state));
    std::fs::remove_file(folder.path().join("state.sqlite")).unwrap();
    let shelf = Shelf::sealing(folder, 3000, seals(1));
    holds(&shelf);
    shelf.index.reindex().unwrap();
    holds(&shelf);
}

/// Goal: what another key sealed may be opened yet, once that key is back: it is not gone past.
#[test]
fn p5_a_segment_of_another_key_is_not_skipped() {
    let other = Shelf::sealing(Folder::new(), u64::MAX, seals(2));
    other.append(&[event("s_two", 1, at(0), started())]);
    let shelf = Shelf::sealing(Folder::new(), u64::MAX, seals(1));
    shelf.append(&[event("s_one", 1, at(0), started())]);
    shelf.journal.rotate().unwrap();
    shelf.append(&[event("s_one", 2, at(1), ended())]);
    shelf.index.flush().unwrap();
    let path = shelf.journal.segment_path(1);
    let own = std::fs::read(&path).unwrap();
    std::fs::copy(other.journal.segment_path(1), &path).unwrap();
    let error = shelf.index.reindex().unwrap_err().to_string();
    assert!(error.contains("is sealed under another installation key"), "{error}");
    std::fs::write(&path, own).unwrap();
    shelf.index.reindex().unwrap();
    let read: Vec<_> = shelf.index.events(&id("s_one")).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.len(), 2);
}

#[test]
fn a_damaged_place_is_skipped_and_the_rest_is_indexed() {
    let shelf = Shelf::over(Folder::new(), u64::MAX);
    let mut offsets = Vec::new();
    for number in 1..=3 {
        let body = operation(number, "a", "t", Verdict::Allow);
        offsets.push(shelf.journal.append(&[event("s_one", number, at(number), body)]).unwrap());
    }
    let path = shelf.folder.path().join("journal/gw-test-0000000001.nj");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[offsets[1].offset as usize + 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    shelf.index.reindex().unwrap();
    let session = shelf.index.session(&id("s_one")).unwrap().unwrap();
    assert_eq!(session.done.operations, 2);
    let (found, broken): (Vec<_>, Vec<_>) =
        shelf.index.events(&id("s_one")).unwrap().partition(Result::is_ok);
    assert_eq!((found.len(), broken.len()), (2, 1));
}

/// Overwrites the pages of the index, which is closed.
fn damage(folder: &Folder) {
    let path = folder.path().join("state.sqlite");
    let db = rusqlite::Connection::open(&path).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE tbl_name = ?1";
    let mut pages = db.prepare(sql).unwrap();
    let roots: Vec<u64> = INDEX_TABLES
        .iter()
        .flat_map(|table| {
            let roots = pages.query_map([table], |row| row.get::<_, i64>(0)).unwrap();
            roots.map(|root| root.unwrap() as u64).collect::<Vec<_>>()
        })
        .collect();
    drop(pages);
    drop(db);
    let mut bytes = std::fs::read(&path).unwrap();
    for root in roots {
        bytes[(root as usize - 1) * 4096..root as usize * 4096].fill(0x5a);
    }
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn p5_a_damaged_index_is_built_again_beside_a_registry_that_stays() {
    let shelf = Shelf::new();
    for number in 1..=30 {
        let body = operation(number, "a", "t", Verdict::Allow);
        shelf.append(&[event("s_one", number, at(number), body)]);
    }
    let whole = shelf.dump();
    let kept = "INSERT INTO guesses VALUES ('a', 'b', 'c', 1, X'64')";
    shelf.state.registry(|db| db.execute(kept, [])).unwrap();
    let Shelf { folder, state, journal, index } = shelf;
    drop((index, journal, state));
    damage(&folder);
    let shelf = Shelf::over(folder, 3000);
    assert_eq!(shelf.dump(), whole);
    let kept = "SELECT count(*) FROM guesses";
    let kept: i64 = shelf.state.read(|db| db.query_row(kept, [], |row| row.get(0))).unwrap();
    assert_eq!(kept, 1);
    assert!(shelf.folder.path().join("state.sqlite.damaged").exists());
    assert!(!shelf.folder.path().join("state.renewed").exists());
}

#[test]
fn a_failing_database_leaves_the_index_behind_and_then_whole() {
    let shelf = Shelf::new();
    shelf.append(&[event("s_one", 1, at(0), started())]);
    shelf.index.flush().unwrap();
    shelf.append(&[event("s_one", 2, at(1), part(1, 5))]);
    let rename = |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        shelf.state.registry(|db| db.execute_batch(&sql)).unwrap();
    };
    rename("usage", "hidden");
    shelf.index.flush().unwrap_err();
    shelf.append(&[event("s_one", 3, at(2), part(1, 6))]);
    shelf.index.flush().unwrap_err();
    rename("hidden", "usage");
    shelf.append(&[event("s_one", 4, at(3), reply(1, 20))]);
    let session = shelf.index.session(&id("s_one")).unwrap().unwrap();
    assert_eq!(session.done.rows, 20);
    assert_eq!(session.sequence, 4);
}

/// An archive that is read until the test ends it.
struct Slow {
    begun: mpsc::Sender<()>,
    end: Mutex<mpsc::Receiver<()>>,
}

impl Archived for Slow {
    fn events(
        &self,
        _: &str,
        _: u64,
        _: &SessionId,
        _: (Timestamp, Timestamp),
    ) -> Result<Vec<(u64, Event)>, String> {
        Ok(Vec::new())
    }

    fn each(
        &self,
        _: &str,
        _: &dyn Fn(u64) -> bool,
        _: &mut dyn FnMut(u64, u64, u64, &Event),
    ) -> Result<(), String> {
        self.begun.send(()).unwrap();
        self.end.lock().recv().unwrap();
        Ok(())
    }
}

#[test]
fn whether_the_index_can_be_used_is_told_while_it_is_built_again() {
    let shelf = Shelf::new();
    shelf.append(&[event("s_one", 1, at(0), started())]);
    let (begun, wait) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    shelf.index.read_archive(Arc::new(Slow { begun, end: Mutex::new(ended) }));
    std::thread::scope(|scope| {
        let index = &shelf.index;
        let building = scope.spawn(|| index.reindex());
        wait.recv().unwrap();
        let (tell, told) = mpsc::channel();
        scope.spawn(move || tell.send(index.check()));
        let answer = told.recv_timeout(Duration::from_secs(10));
        end.send(()).unwrap();
        building.join().unwrap().unwrap();
        answer.expect("nobody was waited for").unwrap();
    });
    assert_eq!(shelf.index.count().unwrap(), 1);
    shelf.index.check().unwrap();
}

#[derive(Clone, Debug)]
enum Act {
    Append(Vec<(u8, Step)>),
    Flush,
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    End,
    Decide(u8, u8),
    Part(u8, u8),
    Reply(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Start),
        Just(Step::End),
        (0..4u8, 0..4u8).prop_map(|(table, verdict)| Step::Decide(table, verdict)),
        (0..3u8, 0..20u8).prop_map(|(operation, rows)| Step::Part(operation, rows)),
        (0..3u8, 0..40u8).prop_map(|(operation, rows)| Step::Reply(operation, rows)),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop::collection::vec((0..4u8, step()), 1..6).prop_map(Act::Append),
        2 => Just(Act::Flush),
        1 => Just(Act::Restart),
    ]
}

fn body(step: Step) -> EventBody {
    let verdicts = [Verdict::Allow, Verdict::Mask, Verdict::Hold, Verdict::Block];
    match step {
        Step::Start => started(),
        Step::End => ended(),
        Step::Decide(table, verdict) => {
            operation(1, "q", &format!("public.t{table}"), verdicts[usize::from(verdict)])
        }
        Step::Part(operation, rows) => part(operation.into(), rows.into()),
        Step::Reply(operation, rows) => reply(operation.into(), rows.into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..Default::default()
    })]

    /// Goal: however events, flushes and restarts fall, the index is what a rebuild makes of the
    /// journal, byte for byte.
    #[test]
    fn the_index_is_what_the_journal_says(acts in prop::collection::vec(act(), 1..25)) {
        let mut shelf = Shelf::new();
        let mut sequence = 0u64;
        for act in acts {
            match act {
                Act::Append(steps) => {
                    let events: Vec<_> = steps
                        .into_iter()
                        .map(|(session, step)| {
                            sequence += 1;
                            let time = Timestamp(at(0).0 + sequence * 7_000_000_000);
                            event(&format!("s_{session}"), sequence, time, body(step))
                        })
                        .collect();
                    shelf.append(&events);
                }
                Act::Flush => shelf.index.flush().unwrap(),
                Act::Restart => shelf = shelf.restart(),
            }
        }
        let incremental = shelf.dump();
        shelf.index.reindex().unwrap();
        prop_assert_eq!(incremental, shelf.dump());
    }
}

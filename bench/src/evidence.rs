//! What the archive costs, alone: how fast a journal becomes Parquet, how small an operation is
//! there, and how long questions take.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use archive::evidence::{Evidence, Span};
use archive::manifest::SigningKey;
use archive::{Bucket, Location, Options, Rounds};
use model::event::{EventBody, SessionId, Verdict};
use model::operation::{Objects, OperationId};
use model::reply::{Column, Origin};
use model::{Event, Timestamp};
use seal::{Keys, LocalKey};
use store::{Journal, journal};

/// 2026-11-22T00:00:00Z.
const START: u64 = 1_795_305_600 * 1_000_000_000;
/// Events appended at once.
const BATCH: u64 = 1_000;
/// Events of one small operation: its decision and its reply.
const EVENTS_EACH: u64 = 2;
/// Operations of a session.
const SESSION: u64 = 500;

/// What was measured.
pub struct Figures {
    /// Small operations in the clear archive.
    operations: u64,
    /// Of the journal to Parquet, read back and checked, MB/s of journal: small operations in
    /// clear, sealed; large replies in clear.
    small: f64,
    sealed: f64,
    large: f64,
    /// Bytes of a small operation in the archive, in clear and sealed.
    bytes: f64,
    bytes_sealed: f64,
    /// Seconds of a question: a table around a moment, the same over everything, sensitive values.
    who: f64,
    who_all: f64,
    pii: f64,
    verify: f64,
}

/// Measures. `operations` small ones are asked about; a twentieth of them is converted sealed.
pub fn measure(operations: u64) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let clear = make(&folder.path().join("clear"), operations, None, small)?;
    let keys = LocalKey::parse("bench", &std::array::from_fn::<u8, 32, _>(|at| at as u8 * 7 + 1))?;
    let keys = Arc::new(Keys::new(Arc::new(keys)));
    let some = operations / 20;
    let sealed = make(&folder.path().join("sealed"), some, Some(keys), small)?;
    let large = make(&folder.path().join("large"), 300, None, large)?;
    let evidence = Evidence::of_store(Arc::clone(&clear.bucket));
    let hours = u64::try_from(Duration::from_secs(3600).as_nanos())?;
    let moment = START + clear.span / 2;
    let around = Span {
        from: Timestamp(moment.saturating_sub(hours / 12)),
        to: Timestamp(moment + hours / 12),
    };
    let all = Span { from: Timestamp(START), to: Timestamp(START + clear.span + hours) };
    let (who, found) = timed(|| Ok(evidence.who("customers", &around)?))?;
    ensure!(!found.uses.is_empty(), "nobody is found around the moment");
    let (who_all, _) = timed(|| Ok(evidence.who("rarely_used", &all)?))?;
    let (pii, _) = timed(|| Ok(evidence.pii(&all)?))?;
    let options = archive::verify::Options { keys: vec![clear.key.into()], ..Default::default() };
    let (verify, report) = timed(|| Ok(archive::verify::verify(&clear.bucket, &options)?))?;
    ensure!(report.is_clean(), "the archive is not whole: {:?}", report.problems.first());
    Ok(Figures {
        operations,
        small: clear.speed,
        sealed: sealed.speed,
        large: large.speed,
        bytes: clear.bytes / operations as f64,
        bytes_sealed: sealed.bytes / some as f64,
        who,
        who_all,
        pii,
        verify,
    })
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let started = Instant::now();
    let done = work()?;
    Ok((started.elapsed().as_secs_f64(), done))
}

/// The section of the page.
pub fn section(figures: &Figures) -> Result<String> {
    let Figures { operations, small, sealed, large, bytes, bytes_sealed, .. } = figures;
    let Figures { who, who_all, pii, verify, .. } = figures;
    let events = *operations as f64 * EVENTS_EACH as f64 / 1e6;
    let mut text = String::from(
        "\n## Archive\n\nThe journal to Parquet on one core, read back and checked, as the gateway \
         does it beside its work.\n\n| | in clear | sealed | asked |\n| --- | --- | --- | --- |\n",
    );
    writeln!(
        text,
        "| small operations, MB of journal per second | {small:.0} | {sealed:.0} | 100 |"
    )?;
    writeln!(text, "| replies of 1 MB, MB of journal per second | {large:.0} | | 100 |")?;
    writeln!(text, "| bytes of a small operation | {bytes:.0} | {bytes_sealed:.0} | 120 |")?;
    writeln!(
        text,
        "\nQuestions to {events:.1} million events in a folder, seconds.\n\n| | s | asked |\n| --- \
         | --- | --- |\n| `audit who`, ten minutes of a table | {who:.2} | 2 |\n| `audit who`, all \
         of it, a table that nobody used | {who_all:.2} | 2 |\n| `audit pii`, all of it | {pii:.2} \
         | |\n| `audit verify`, all of it | {verify:.1} | |"
    )?;
    Ok(text)
}

/// An archive, and what making it cost.
struct Made {
    bucket: Arc<Bucket>,
    key: archive::manifest::PublicKey,
    /// MB of journal per second.
    speed: f64,
    /// Of the files of events.
    bytes: f64,
    /// Time that the events cover, nanoseconds.
    span: u64,
}

fn make(
    folder: &Path,
    operations: u64,
    keys: Option<Arc<Keys>>,
    events: fn(u64) -> Vec<Event>,
) -> Result<Made> {
    let options = journal::Options { sync: Duration::from_secs(1), ..Default::default() };
    let (journal, _) = Journal::open(&folder.join("journal"), "gw-bench", options)?;
    let journal = Arc::new(journal);
    let bucket = Arc::new(Bucket::open(&Location::Folder(folder.join("store")), true)?);
    let (key, _) = SigningKey::make()?;
    let public = key.public();
    let options = Options { every: Duration::from_secs(60), keep: Duration::ZERO };
    let (to, at) = (Arc::clone(&journal), folder);
    let mut rounds = Rounds::new(to, Arc::clone(&bucket), key, at, options)?;
    if let Some(keys) = keys {
        rounds = rounds.sealing(keys);
    }
    let (mut journalled, mut seconds, mut span) = (0_u64, 0.0, 0);
    let mut number = 0;
    while number < operations {
        // Archived every so often, as a gateway does: nobody's disk holds all of it.
        let end = (number + 100 * BATCH).min(operations);
        while number < end {
            let stop = (number + BATCH).min(end);
            let batch: Vec<Event> = (number..stop).flat_map(events).collect();
            span = batch.last().map_or(span, |event| event.at.0 - START);
            journal.append(&batch)?;
            number = stop;
        }
        journal.sync()?;
        journal.rotate()?;
        for segment in journal.closed_segments()? {
            journalled += std::fs::metadata(journal.segment_path(segment))?.len();
        }
        let (took, _) = timed(|| {
            while rounds.round(Timestamp(START + span))?.more {}
            Ok(())
        })?;
        seconds += took;
    }
    let files = bucket.list("events")?;
    let bytes = files.iter().map(|file| file.bytes as f64).sum();
    Ok(Made { bucket, key: public, speed: journalled as f64 / 1e6 / seconds, bytes, span })
}

/// The events of a select by its key, seven milliseconds after the one before.
pub fn small(number: u64) -> Vec<Event> {
    let session = number / SESSION;
    let text =
        format!("SELECT abalance FROM pgbench_accounts WHERE aid = {}", number * 7919 % 100_000);
    let table =
        if number.is_multiple_of(50) { "public.customers" } else { "public.pgbench_accounts" };
    let columns = vec![column("abalance")];
    operation(number, session, &text, table, columns, format!("T..D......{number}").into_bytes())
}

/// A reply of a megabyte.
pub fn large(number: u64) -> Vec<Event> {
    let row = |at: u64| format!("{at}\tcustomer number {at}\tcustomer{at}@shop.example\tLisbon\n");
    let payload: String = (number * 100..).map(row).take(18_000).collect();
    operation(number, 1, "SELECT * FROM customers", "public.customers", Vec::new(), payload.into())
}

fn column(label: &str) -> Column {
    let origin =
        Origin { schema: "public".into(), table: "pgbench_accounts".into(), column: label.into() };
    Column { label: label.into(), origins: vec![origin], mask: None }
}

fn operation(
    number: u64,
    session: u64,
    text: &str,
    table: &str,
    columns: Vec<Column>,
    payload: Vec<u8>,
) -> Vec<Event> {
    let id = OperationId(number % SESSION + 1);
    let event = |later: u64, body: EventBody, payload: Vec<u8>| Event {
        v: 1,
        at: Timestamp(START + number * 7_000_000 + later),
        gateway: "gw-bench".into(),
        session: Some(SessionId(format!("s_{session:020}").into())),
        sequence: (number % SESSION) * EVENTS_EACH + 2 + u64::from(later > 0),
        principal: Some(format!("agent-{}", session % 40).into()),
        on_behalf_of: None,
        resource: Some("appdb".into()),
        body,
        payload,
    };
    let objects = Objects {
        verbs: vec!["select".into()],
        reads: vec![table.into()],
        writes: Vec::new(),
        columns: vec![format!("{table}.abalance").into(), format!("{table}.aid").into()],
    };
    let decided = EventBody::Operation {
        operation: id,
        step: "query".into(),
        under: None,
        text: text.into(),
        parameters: Vec::new(),
        objects: Arc::new(objects),
        decision: Verdict::Allow,
        rules: Vec::new(),
        message: None,
        reason: None,
        approval: None,
        approver: None,
    };
    let bytes = payload.len() as u64;
    let replied = EventBody::Reply {
        operation: id,
        outcome: "done".to_owned(),
        rows: 1,
        bytes,
        columns,
        detections: Vec::new(),
        searched: Arc::new([]),
        duration_ns: 150_000 + number * 37 % 40_000,
        error_code: None,
        payload_dropped: 0,
        sent: 0,
    };
    vec![event(0, decided, Vec::new()), event(180_000, replied, payload)]
}

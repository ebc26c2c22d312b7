//! Questions to the recordings: the archive, and what of the journal is not in it yet.
//!
//! Every answer says what it was found in ([`Coverage`]), so that "nothing" can be told from
//! "nothing was looked at".

mod answers;
mod signed;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Event, SessionId, Timestamp};
use seal::Keys;
use store::{Journal, JournalError};

use crate::archiver::Reach;
use crate::bucket::{Bucket, BucketError, Listed};
use crate::convert;
use crate::file::{ArchiveFile, Wanted};
use crate::row::{Place, Row, Text};
use crate::sealing::{Opener, Unsealed};

pub use self::answers::{
    Coverage, Fields, Found, Hidden, Hit, Hits, Pii, Returned, Sensitive, Use, Who,
};
pub(crate) use self::signed::listed;
pub use self::signed::{SignedFiles, signed_files};

const MINUTES: Duration = Duration::from_secs(10 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Operations that an answer lists at most.
pub const LISTED_MAX: usize = 10_000;

/// Where to look.
#[derive(Clone)]
pub struct Evidence {
    bucket: Arc<Bucket>,
    opener: Option<Arc<Opener>>,
    live: Option<Live>,
}

/// Tells which segments are in the archive.
pub type Archived = Arc<dyn Fn() -> Reach + Send + Sync>;

/// The journal of a running gateway, and how far its archive reaches.
#[derive(Clone)]
struct Live {
    journal: Arc<Journal>,
    archived: Archived,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The store.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A store that is no archive, or not one any more.
    #[error("{0} holds no manifest, so nothing in it can be believed")]
    NoManifest(String),
}

/// Which operations: of which table, when.
#[derive(Clone, Debug)]
pub struct Span {
    /// From.
    pub from: Timestamp,
    /// Until, without it.
    pub to: Timestamp,
}

impl Span {
    fn covers(&self, date: &str, hour: Option<&str>) -> bool {
        // Texts in this form compare as the times they stand for.
        let of = |at: Timestamp| convert::folder(at).trim_start_matches("events/").to_owned();
        let last = Timestamp(self.to.0.saturating_sub(1));
        let (from, to) = (of(self.from), of(last));
        match hour {
            Some(hour) => {
                let folder = format!("{date}/{hour}");
                folder >= from && folder <= to
            }
            None => {
                let day = |folder: &str| folder.split('/').next().unwrap_or_default().to_owned();
                date >= day(&from).as_str() && date <= day(&to).as_str()
            }
        }
    }

    /// Whether a file at this path may hold something of that time.
    pub(crate) fn covers_path(&self, path: &str) -> bool {
        let mut parts = path.split('/').skip(1);
        match (parts.next(), parts.next()) {
            (Some(date), Some(hour)) => self.covers(date, Some(hour)),
            _ => false,
        }
    }

    fn wanted<'a>(&self, kinds: &'a [&'a str]) -> Wanted<'a> {
        Wanted { from: self.from, to: self.to, kinds, ..Wanted::default() }
    }

    fn longer(&self, before: Duration, after: Duration) -> Self {
        let before = u64::try_from(before.as_nanos()).unwrap_or(u64::MAX);
        Self { from: Timestamp(self.from.0.saturating_sub(before)), to: self.to.plus(after) }
    }
}

/// What is looked for, and what is needed of what is found.
struct Search<'a> {
    wanted: Wanted<'a>,
    /// Columns that `keep` sees.
    first: &'a [&'a str],
    /// Columns of what is kept.
    columns: &'a [&'a str],
    keep: &'a dyn Fn(&Row) -> bool,
}

/// Closed segments behind one, in order.
fn later(journal: &Journal, segment: u64) -> Result<Vec<u64>, JournalError> {
    let mut closed = journal.closed_segments()?;
    closed.retain(|of| *of > segment);
    Ok(closed)
}

fn all(_: &Row) -> bool {
    true
}

impl Evidence {
    /// The archive in a store, without any gateway.
    #[must_use]
    pub fn of_store(bucket: Arc<Bucket>) -> Self {
        Self { bucket, opener: None, live: None }
    }

    /// The same, which opens what is sealed with these keys.
    #[must_use]
    pub fn opening(mut self, keys: Arc<Keys>) -> Self {
        self.opener = Some(Arc::new(Opener::new(Arc::clone(&self.bucket), keys)));
        self
    }

    /// Forgets every key that was opened: some may have been erased.
    pub fn forget_keys(&self) {
        if let Some(opener) = &self.opener {
            opener.forget();
        }
    }

    /// The archive of a running gateway and its journal; `archived` tells which segments are in the
    /// archive.
    #[must_use]
    pub fn of_gateway(bucket: Arc<Bucket>, journal: Arc<Journal>, archived: Archived) -> Self {
        Self { bucket, opener: None, live: Some(Live { journal, archived }) }
    }

    /// Hands what is found to `each`: first of the archive, then of the journal.
    fn find(
        &self,
        span: &Span,
        search: &Search<'_>,
        each: &mut dyn FnMut(Row),
    ) -> Result<Coverage, EvidenceError> {
        // Asked first: what is archived meanwhile is still read from the journal.
        let archived = self.live.as_ref().map(|live| (&live.journal, (live.archived)()));
        let waiting = match &archived {
            Some((journal, archived)) => later(journal, archived.segment)?,
            None => Vec::new(),
        };
        let is_later = |path: &str| {
            let (gateway, segment) = convert::named(path).unwrap_or_default();
            archived.as_ref().is_some_and(|(journal, archived)| {
                journal.gateway() == gateway && segment > archived.segment
            })
        };
        let SignedFiles { files, unread, unsigned, gateways, .. } =
            signed_files(&self.bucket, span, &is_later)?;
        if gateways == 0 && self.live.is_none() {
            return Err(EvidenceError::NoManifest(self.bucket.place().to_owned()));
        }
        let unsigned = unsigned.len() as u64;
        let mut coverage = Coverage { unread, unsigned, ..Coverage::default() };
        for Listed { path, bytes } in files {
            coverage.files += 1;
            let mut misplaced = false;
            let read = ArchiveFile::open(&self.bucket, &path, bytes).and_then(|file| {
                let columns = [search.columns, &SEALED].concat();
                file.find(search.wanted, search.first, &columns, search.keep, &mut |mut row| {
                    if !row.belongs_in(&path) {
                        misplaced = true;
                        return;
                    }
                    if let Some(opener) = &self.opener {
                        // What stays sealed is handed on as such.
                        let _ = opener.open(&mut row);
                    }
                    each(row);
                })
            });
            if let Err(error) = read {
                coverage.unread.push(format!("{path}: {error}"));
            }
            if misplaced {
                coverage.unread.push(format!("{path}: events of another file, left out"));
            }
        }
        if let Some((journal, archived)) = archived {
            for segment in archived.orphans {
                // Its numbers are those of other events: what it repeats of them cannot be told.
                let path = journal.segment_path(segment);
                let what = "not the segment of its number in the archive, and not looked into";
                coverage.unread.push(format!("{}: {what}", path.display()));
            }
            for record in journal.read_after_segment(archived.segment)? {
                let record = match record {
                    Ok(record) => record,
                    Err(error @ JournalError::Io { .. }) => return Err(error.into()),
                    Err(error) => {
                        coverage.unread.push(error.to_string());
                        continue;
                    }
                };
                coverage.journal_events += 1;
                let store::Position { segment, offset, sequence } = record.position;
                let place = Place { segment, offset, number: sequence };
                let row = Row::of(record.event, place);
                if search.wanted.takes(&row) && (search.keep)(&row) {
                    each(row);
                }
            }
            let still = later(journal, archived.segment)?;
            for gone in waiting.iter().filter(|of| still.binary_search(of).is_err()) {
                let path = journal.segment_path(*gone);
                let what = "archived and let go of while this was asked; ask again";
                coverage.unread.push(format!("{}: {what}", path.display()));
            }
        }
        Ok(coverage)
    }

    /// Who read or wrote a table: `schema.table`, or `table` in any schema.
    pub fn who(&self, table: &str, span: &Span) -> Result<Who, EvidenceError> {
        const COLUMNS: [&str; 17] = [
            "on_behalf_of",
            "resource",
            "operation",
            "verbs",
            "reads",
            "writes",
            "decision",
            "rules",
            "approver",
            "text",
            "number",
            "gateway",
            "step",
            "under",
            "message",
            "reason",
            "approval",
        ];
        let mut who = Who::default();
        let mut found: BTreeMap<(u64, Text, u64), Use> = BTreeMap::new();
        let search = Search {
            wanted: Wanted { table: Some(table), ..span.wanted(&["operation"]) },
            first: &[],
            columns: &COLUMNS,
            keep: &all,
        };
        who.coverage = self.find(span, &search, &mut |row| {
            if found.len() >= LISTED_MAX {
                who.more = true;
                return;
            }
            let used = used(row);
            found.insert((used.at, Arc::clone(&used.session), used.operation), used);
        })?;
        who.uses = found.into_values().collect();
        self.add_replies(span, &mut who)?;
        self.add_sessions(span, &mut who)?;
        Ok(who)
    }

    /// What the operations found led to.
    fn add_replies(&self, span: &Span, who: &mut Who) -> Result<(), EvidenceError> {
        let sessions: HashSet<Text> = who.uses.iter().map(|of| Arc::clone(&of.session)).collect();
        if sessions.is_empty() {
            return Ok(());
        }
        let mut places: HashMap<(Text, u64), usize> = HashMap::new();
        for (at, of) in who.uses.iter().enumerate() {
            places.insert((Arc::clone(&of.session), of.operation), at);
        }
        // Nearly every reply ends soon; only what is missing is looked for further on.
        for within in [MINUTES, DAY] {
            let later = match within {
                MINUTES => span.longer(Duration::ZERO, MINUTES),
                _ => Span { from: span.to.plus(MINUTES), to: span.to.plus(within) },
            };
            let missing: HashSet<Text> = who
                .uses
                .iter()
                .filter(|of| of.outcome.is_none() && &*of.decision != "block")
                .map(|of| Arc::clone(&of.session))
                .collect();
            if !missing.is_empty() {
                let coverage = self.add_replies_of(&later, &missing, &places, &mut who.uses)?;
                who.coverage.lacks_too(coverage);
            }
        }
        Ok(())
    }

    fn add_replies_of(
        &self,
        span: &Span,
        sessions: &HashSet<Text>,
        places: &HashMap<(Text, u64), usize>,
        uses: &mut [Use],
    ) -> Result<Coverage, EvidenceError> {
        let kinds = ["reply", "ruling"];
        let keep = |row: &Row| match (&row.session, row.operation) {
            (Some(session), Some(operation)) => {
                places.contains_key(&(Arc::clone(session), operation))
            }
            _ => false,
        };
        let search = Search {
            wanted: Wanted { sessions: Some(sessions), ..span.wanted(&kinds) },
            first: &["operation"],
            columns: &["outcome", "rows", "bytes", "columns", "detections", "approver"],
            keep: &keep,
        };
        self.find(span, &search, &mut |row| {
            let place = row.session.zip(row.operation).and_then(|key| places.get(&key));
            let Some(of) = place.and_then(|at| uses.get_mut(*at)) else { return };
            of.approver = row.approver.or_else(|| of.approver.take());
            if &*row.kind != "reply" {
                return;
            }
            of.outcome = row.outcome;
            of.rows = row.rows.unwrap_or(0);
            of.bytes = row.bytes.unwrap_or(0);
            let masked = row.columns.iter().filter(|field| field.mask.is_some());
            of.masked = masked.map(|field| Arc::clone(&field.label)).collect();
            of.masked.dedup();
            of.detections = row.detections;
        })
    }

    /// Who is behind the sessions found, as far as they began in the day before.
    fn add_sessions(&self, span: &Span, who: &mut Who) -> Result<(), EvidenceError> {
        let sessions: HashSet<Text> = who.uses.iter().map(|of| Arc::clone(&of.session)).collect();
        if sessions.is_empty() {
            return Ok(());
        }
        let mut started: HashMap<Text, Row> = HashMap::new();
        // Most sessions began not long before.
        for (before, after) in [(MINUTES, None), (DAY, Some(MINUTES))] {
            let missing: HashSet<Text> =
                sessions.iter().filter(|id| !started.contains_key(*id)).cloned().collect();
            if missing.is_empty() {
                break;
            }
            let mut earlier = span.longer(before, Duration::ZERO);
            if let Some(after) = after {
                earlier.to = span.longer(after, Duration::ZERO).from;
            }
            let search = Search {
                wanted: Wanted { sessions: Some(&missing), ..earlier.wanted(&["session_started"]) },
                first: &[],
                columns: &["on_behalf_of", "client", "application"],
                keep: &all,
            };
            let coverage = self.find(&earlier, &search, &mut |row| {
                if let Some(session) = row.session.clone() {
                    started.insert(session, row);
                }
            })?;
            who.coverage.lacks_too(coverage);
        }
        for of in &mut who.uses {
            if let Some(row) = started.get(&of.session) {
                // What was recorded before every event had it.
                of.on_behalf_of = of.on_behalf_of.take().or_else(|| row.on_behalf_of.clone());
                of.client.clone_from(&row.client);
                of.application.clone_from(&row.application);
            }
        }
        Ok(())
    }

    /// Which fields replies held, of a session or of all sessions of a subject.
    pub fn fields(
        &self,
        session: Option<&str>,
        principal: Option<&str>,
        span: &Span,
    ) -> Result<Fields, EvidenceError> {
        let sessions: Option<HashSet<Text>> =
            session.map(|session| HashSet::from([Text::from(session)]));
        let search = Search {
            wanted: Wanted { sessions: sessions.as_ref(), principal, ..span.wanted(&["reply"]) },
            first: &[],
            columns: &["resource", "columns", "rows"],
            keep: &all,
        };
        let mut answer = Fields::default();
        let mut found: BTreeMap<(Text, String, Option<Text>), Returned> = BTreeMap::new();
        answer.coverage = self.find(span, &search, &mut |row| {
            answer.replies += 1;
            add_fields(&mut found, &row);
        })?;
        answer.fields = found.into_values().collect();
        Ok(answer)
    }

    /// Whether sensitive values were found in replies, and what became of them.
    pub fn pii(&self, span: &Span) -> Result<Pii, EvidenceError> {
        let search = Search {
            wanted: span.wanted(&["reply"]),
            first: &[],
            columns: &[
                "on_behalf_of",
                "resource",
                "operation",
                "outcome",
                "detections",
                "searched",
                "columns",
                "rows",
            ],
            keep: &all,
        };
        let mut answer = Pii::default();
        let mut fields = BTreeMap::new();
        let mut replies: BTreeMap<(u64, Text, u64), Sensitive> = BTreeMap::new();
        answer.coverage = self.find(span, &search, &mut |row| {
            answer.replies_in_all += 1;
            add_fields(&mut fields, &row);
            if row.searched.is_empty() {
                answer.replies_not_searched += 1;
            }
            for kind in &row.searched {
                answer.types.entry(kind.to_string()).or_default().searched += 1;
            }
            let outcome = row.outcome.clone().unwrap_or_default();
            // What was withheld never left; `cut` left in part, so all of it counts as sent.
            let withheld = &*outcome == "withheld";
            for of in &row.detections {
                let found = answer.types.entry(of.kind.to_string()).or_default();
                let clear = of.seen.saturating_sub(of.masked);
                found.seen = found.seen.saturating_add(of.seen);
                found.masked = found.masked.saturating_add(of.masked);
                match withheld {
                    true => found.withheld = found.withheld.saturating_add(clear),
                    false => found.sent = found.sent.saturating_add(clear),
                }
            }
            if row.detections.is_empty() {
                return;
            }
            if replies.len() >= LISTED_MAX {
                answer.more = true;
                return;
            }
            let sensitive = Sensitive {
                at: row.time,
                session: row.session.unwrap_or_default(),
                operation: row.operation.unwrap_or(0),
                principal: row.principal.unwrap_or_default(),
                on_behalf_of: row.on_behalf_of,
                resource: row.resource.unwrap_or_default(),
                outcome,
                detections: row.detections,
            };
            let key = (sensitive.at, Arc::clone(&sensitive.session), sensitive.operation);
            replies.insert(key, sensitive);
        })?;
        answer.replies = replies.into_values().collect();
        let hidden = fields.into_iter().filter_map(|((resource, field, mask), of)| {
            let (replies, rows) = (of.replies, of.rows);
            Some(Hidden { resource, field, mask: mask?, replies, rows })
        });
        answer.hidden_fields = hidden.collect();
        Ok(answer)
    }

    /// Where a text occurs in statements, requests, parameters and replies. Letters of ASCII are
    /// found in either case.
    pub fn search(&self, text: &str, span: &Span) -> Result<Hits, EvidenceError> {
        let needle = text.to_ascii_lowercase().into_bytes();
        let search = Search {
            wanted: span.wanted(&["operation", "reply_part", "reply"]),
            first: &["text", "parameters", "payload", "sealed"],
            columns: &["on_behalf_of", "resource", "operation"],
            keep: &|row| !row.sealed.is_empty() || excerpt(row, &needle).is_some(),
        };
        let mut answer = Hits::default();
        let mut hits: BTreeMap<(u64, u64), Hit> = BTreeMap::new();
        let mut count = 0;
        answer.coverage = self.find(span, &search, &mut |row| {
            if !row.sealed.is_empty() {
                answer.sealed += 1;
                return;
            }
            // What was sealed passed unseen.
            if excerpt(&row, &needle).is_none() {
                return;
            }
            if hits.len() >= LISTED_MAX {
                answer.more = true;
                return;
            }
            let Some((place, excerpt)) = excerpt(&row, &needle) else { return };
            count += 1;
            let hit = Hit {
                at: row.time,
                session: row.session,
                operation: row.operation,
                principal: row.principal,
                on_behalf_of: row.on_behalf_of,
                resource: row.resource,
                kind: row.kind,
                place: place.into(),
                excerpt,
            };
            hits.insert((hit.at, count), hit);
        })?;
        answer.hits = hits.into_values().collect();
        Ok(answer)
    }
}

impl Evidence {
    /// Every event of a session, in order.
    pub fn session(&self, id: &str, span: &Span) -> Result<(Vec<Row>, Coverage), EvidenceError> {
        let sessions = HashSet::from([Text::from(id)]);
        let names = crate::schema::names();
        let search = Search {
            wanted: Wanted { sessions: Some(&sessions), ..span.wanted(&[]) },
            first: &[],
            columns: &names,
            keep: &all,
        };
        let mut rows = Vec::new();
        let coverage = self.find(span, &search, &mut |row| rows.push(row))?;
        rows.sort_by_key(|row| (row.sequence, row.number));
        Ok((rows, coverage))
    }
}

impl store::Archived for Evidence {
    fn events(
        &self,
        gateway: &str,
        segment: u64,
        session: &SessionId,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<(u64, Event)>, String> {
        let span = Span { from, to: to.plus(Duration::from_nanos(1)) };
        let sessions = HashSet::from([Arc::clone(&session.0)]);
        let columns = crate::schema::names();
        let wanted = Wanted { sessions: Some(&sessions), ..Wanted::default() };
        let (mut rows, mut found) = (Vec::new(), false);
        let listed = signed::listed(&self.bucket, &span).map_err(|error| error.to_string())?;
        for Listed { path, bytes } in listed {
            if convert::named(&path) != Some((gateway, segment)) {
                continue;
            }
            found = true;
            ArchiveFile::open(&self.bucket, &path, bytes)
                .and_then(|file| file.find(wanted, &[], &columns, &all, &mut |row| rows.push(row)))
                .map_err(|error| format!("{path}: {error}"))?;
        }
        if !found {
            let place = self.bucket.place();
            return Err(format!("{place} holds no file of segment {segment} of {gateway}"));
        }
        rows.sort_by_key(|row| row.number);
        let event = |mut row: Row| {
            let offset = row.offset;
            let opened = self.opener.as_ref().map(|opener| opener.open(&mut row));
            if opened != Some(Unsealed::Clear) {
                row.hide();
            }
            row.event().map(|event| (offset, event)).map_err(|error| error.to_string())
        };
        rows.into_iter().map(event).collect()
    }

    fn each(
        &self,
        gateway: &str,
        here: &dyn Fn(u64) -> bool,
        each: &mut dyn FnMut(u64, u64, u64, &Event),
    ) -> Result<(), String> {
        let mut files: BTreeMap<u64, Vec<Listed>> = BTreeMap::new();
        for listed in self.bucket.list("events").map_err(|error| error.to_string())? {
            if let Some((of, number)) = convert::named(&listed.path)
                && of == gateway
                && !here(number)
            {
                files.entry(number).or_default().push(listed);
            }
        }
        for (number, files) in files {
            let mut rows = Vec::new();
            for Listed { path, bytes } in files {
                ArchiveFile::open(&self.bucket, &path, bytes)
                    .and_then(|file| file.each(|row| rows.push(row)))
                    .map_err(|error| format!("{path}: {error}"))?;
            }
            rows.sort_by_key(|row| row.number);
            let nexts: Vec<u64> = rows.iter().skip(1).map(|row| row.offset).collect();
            let mut nexts = nexts.into_iter();
            for mut row in rows {
                // What was said is no part of the index.
                row.hide();
                let start = row.offset;
                let stop = nexts.next().unwrap_or(start.saturating_add(1));
                let event = row.event().map_err(|error| error.to_string())?;
                each(number, start, stop, &event);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

fn used(row: Row) -> Use {
    Use {
        at: row.time,
        session: row.session.unwrap_or_default(),
        operation: row.operation.unwrap_or(0),
        principal: row.principal.unwrap_or_default(),
        on_behalf_of: row.on_behalf_of,
        resource: row.resource.unwrap_or_default(),
        verbs: row.verbs,
        reads: row.reads,
        writes: row.writes,
        decision: row.decision.unwrap_or_default(),
        rules: row.rules,
        approver: row.approver,
        text: row.text,
        ..Use::default()
    }
}

fn add_fields(found: &mut BTreeMap<(Text, String, Option<Text>), Returned>, row: &Row) {
    let resource = row.resource.clone().unwrap_or_default();
    let mut seen = HashSet::new();
    for field in &row.columns {
        let origin = field.origin();
        let name = origin.clone().unwrap_or_else(|| field.label.to_string());
        let key = (Arc::clone(&resource), name, field.mask.clone());
        let is_first = seen.insert(key.clone());
        let of = found.entry(key).or_insert_with(|| Returned {
            resource: Arc::clone(&resource),
            origin,
            mask: field.mask.clone(),
            first_at: row.time,
            ..Returned::default()
        });
        if !of.labels.contains(&field.label) {
            of.labels.push(Arc::clone(&field.label));
        }
        of.first_at = of.first_at.min(row.time);
        of.last_at = of.last_at.max(row.time);
        // A reply that returns a field twice returned it once.
        if is_first {
            of.replies += 1;
            of.rows = of.rows.saturating_add(row.rows.unwrap_or(0));
        }
    }
}

/// Columns that opening an event needs.
const SEALED: [&str; 4] = ["sealed", "gateway", "segment", "number"];

/// Bytes of an excerpt on either side of what was found.
const AROUND: usize = 60;

/// Where `needle` (in lower case) is in a row, and what stands around it.
fn excerpt(row: &Row, needle: &[u8]) -> Option<(&'static str, String)> {
    let text = row.text.as_deref().unwrap_or_default();
    if let Some(found) = around(text.as_bytes(), needle) {
        return Some(("text", found));
    }
    let values = row.parameters.iter().filter_map(|of| of.value.as_deref());
    if let Some(found) = values.into_iter().find_map(|value| around(value.as_bytes(), needle)) {
        return Some(("parameters", found));
    }
    around(&row.payload, needle).map(|found| ("payload", found))
}

fn around(hay: &[u8], needle: &[u8]) -> Option<String> {
    if needle.is_empty() || hay.len() < needle.len() {
        return None;
    }
    let at = hay.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle))?;
    let end = (at + needle.len() + AROUND).min(hay.len());
    let excerpt = hay.get(at.saturating_sub(AROUND)..end)?;
    let excerpt: String = String::from_utf8_lossy(excerpt)
        .chars()
        .map(|found| if found.is_control() { ' ' } else { found })
        .collect();
    Some(excerpt)
}

//! `narrows audit export`: recordings for other programs.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Context as _, anyhow, bail};
use archive::Bucket;
use archive::convert;
use archive::evidence::{EvidenceError, SignedFiles, Span, signed_files};
use archive::file::{ArchiveFile, Wanted};
use archive::row::{Row, SEALED_TEXT, Text};
use archive::schema;
use archive::sealing::{Opener, Unsealed};
use base64::Engine as _;
use export::{ExportError, Exporter, Format, Options};
use model::{Event, EventBody, Timestamp};
use serde_json::{Value, json};

use super::SaidNo;
use super::audit::{bucket, moment};
use super::merged;
use super::sessions::{each_page, path};
use crate::args::{Common, ExportArguments};
use crate::client::{Client, encoded};
use crate::output::{self, counted};
use crate::sealing;

/// Sessions that the gateway lists at once.
const SESSIONS_MAX: usize = 10_000;
/// Rows of one gateway's archive that wait for older ones of another's.
const ROWS_AHEAD: usize = 128;

/// Places that are named of what could not be read; of more, how many.
const PLACES_MAX: usize = 100;

/// What an export lacks, in words. Whoever reads it has to know.
#[derive(Default)]
struct Lacks {
    places: Vec<String>,
    more: u64,
    sealed: u64,
    /// Files that nobody signed yet; no part of the archive so far.
    unsigned: u64,
}

/// Writes recordings in a format of other tools.
pub fn export(common: &Common, ask: &ExportArguments) -> anyhow::Result<()> {
    let mut target = Target::open(ask.output.as_deref())?;
    let written = write(common, ask, &mut target);
    let (events, lacks) = target.close(written)?;
    match ask.output.as_deref() {
        None => {}
        Some(name) if common.json && name != Path::new("-") => output::json(&json!({
            "events": events,
            "unread": lacks.places,
            "unread_more": lacks.more,
            "sealed": lacks.sealed,
        }))?,
        Some(_) => eprintln!("{} exported", counted(events, "event")),
    }
    lacks.tell()
}

fn write(
    common: &Common,
    ask: &ExportArguments,
    target: &mut Target,
) -> anyhow::Result<(u64, Lacks)> {
    let mut exporter = Exporter::new(ask.format, target, Options::default());
    let mut events = 0;
    let lacks = find(common, ask, &mut |event| {
        events += 1;
        exporter.event(&event).map_err(said)
    })?;
    if let (0, Some(session)) = (events, &ask.session) {
        // It exits with 1 in any case.
        let _ = lacks.tell();
        bail!("there is no event of {session}");
    }
    exporter.finish().map_err(said)?;
    Ok((events, lacks))
}

fn find(common: &Common, ask: &ExportArguments, take: &mut Take<'_>) -> anyhow::Result<Lacks> {
    let now = runtime::clock::now();
    let since = ask.since.as_deref().map(|text| moment(text, now)).transpose()?;
    match &ask.copy.store {
        Some(place) => {
            let bucket = bucket(common, Some(place))?;
            let keys = ask.copy.key.as_deref().map(sealing::key_of_file).transpose()?;
            let opener = keys.map(|keys| Opener::new(Arc::clone(&bucket), keys));
            from_store(&bucket, opener.as_ref(), ask, since.unwrap_or_default(), take)
        }
        None => from_gateway(&Client::find(common)?, ask, since, take),
    }
}

fn said(error: ExportError) -> anyhow::Error {
    match error {
        ExportError::Write(error) if output::is_gone(&error) => SaidNo.into(),
        error => error.into(),
    }
}

impl Lacks {
    fn unread(&mut self, place: String) {
        match self.places.len() < PLACES_MAX {
            true => self.places.push(place),
            false => self.more += 1,
        }
    }

    fn tell(&self) -> anyhow::Result<()> {
        for place in &self.places {
            let place = output::printable(place);
            eprintln!("could not be read, so the export lacks it: {place}");
        }
        if self.more > 0 {
            eprintln!("nor could {} be read", counted(self.more, "other place"));
        }
        if self.sealed > 0 {
            let sealed = counted(self.sealed, "event");
            eprintln!("the export lacks what {sealed} said: it is sealed, and no key opened it");
        }
        if self.unsigned > 0 {
            let files = counted(self.unsigned, "file");
            eprintln!("left out: {files} that no manifest names yet");
        }
        match self.places.is_empty() && self.sealed == 0 {
            true => Ok(()),
            false => Err(SaidNo.into()),
        }
    }
}

/// Where an export goes. A file has its name only when it is complete; a device or a pipe is
/// written to as it is.
enum Target {
    Out(io::Stdout),
    As(File),
    Becomes { file: File, unnamed: PathBuf, name: PathBuf },
}

impl Target {
    fn open(output: Option<&Path>) -> anyhow::Result<Self> {
        let Some(name) = output.filter(|name| *name != Path::new("-")) else {
            return Ok(Self::Out(io::stdout()));
        };
        if name.exists() && !name.is_file() {
            let file = File::options().write(true).open(name);
            let file = file.with_context(|| format!("open {}", name.display()))?;
            return Ok(Self::As(file));
        }
        let mut unnamed = name.as_os_str().to_owned();
        // Of its own each time: one that was stopped may have left another.
        unnamed.push(format!(".{}-{}.part", std::process::id(), runtime::clock::now().0));
        Self::becoming(name, PathBuf::from(unnamed))
    }

    fn becoming(name: &Path, unnamed: PathBuf) -> anyhow::Result<Self> {
        let mut options = File::options();
        options.write(true).create_new(true);
        // Only its owner looks inside: recordings hold what clients received. So it is a file that
        // nobody else made, nor a link that somebody else put there.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&unnamed).with_context(|| format!("make {}", unnamed.display()))?;
        Ok(Self::Becomes { file, unnamed, name: name.to_owned() })
    }

    /// Gives the file its name if all of it was written, and takes it away if not.
    fn close<T>(self, written: anyhow::Result<T>) -> anyhow::Result<T> {
        let Self::Becomes { file, unnamed, name } = self else { return written };
        if written.is_err() {
            // The error that led here matters more than one of taking it away.
            let _ = std::fs::remove_file(&unnamed);
            return written;
        }
        file.sync_all().with_context(|| format!("write {}", unnamed.display()))?;
        std::fs::rename(&unnamed, &name)
            .with_context(|| format!("name {} {}", unnamed.display(), name.display()))?;
        let folder = name.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("keep the name {}", name.display()))?;
        written
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Out(out) => out.write(bytes),
            Self::As(file) | Self::Becomes { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Out(out) => out.flush(),
            Self::As(file) | Self::Becomes { file, .. } => file.flush(),
        }
    }
}

type Take<'a> = dyn FnMut(Event) -> anyhow::Result<()> + 'a;

/// Of the running gateway: one session, or all that match, their events in the order of time.
fn from_gateway(
    client: &Client,
    ask: &ExportArguments,
    since: Option<Timestamp>,
    take: &mut Take<'_>,
) -> anyhow::Result<Lacks> {
    let is_late = |event: &Event| since.is_none_or(|since| event.at >= since);
    let mut lacks = Lacks::default();
    if let Some(session) = &ask.session {
        let _: admin::SessionView = client.get(&path(session))?;
        each_page(client, session, false, |page| {
            page.into_iter().try_for_each(|value| match known(value, &mut lacks) {
                Some(event) => {
                    lacks.sealed += u64::from(is_sealed(&event));
                    take(event)
                }
                None => Ok(()),
            })
        })?;
        client.lacks().into_iter().for_each(|place| lacks.unread(place));
        return Ok(lacks);
    }
    let mut query = format!("limit={SESSIONS_MAX}");
    if let Some(principal) = &ask.principal {
        query.push_str(&format!("&principal={}", encoded(principal)));
    }
    if let Some(since) = since {
        query.push_str(&format!("&since={}", encoded(&admin::format_time(since))));
    }
    let mut sessions: Vec<admin::SessionView> = client.get(&format!("/api/v1/sessions?{query}"))?;
    if sessions.len() >= SESSIONS_MAX {
        bail!(
            "more sessions match than the gateway lists at once ({SESSIONS_MAX}), so the export \
             would not be complete\n  name a later --since or a --principal, or export from the \
             archive: --store PLACE"
        );
    }
    sessions.reverse();
    let mut merged = merged::of(client, &sessions, true);
    while let Some((_, value)) = merged.next()? {
        if let Some(event) = known(value, &mut lacks).filter(is_late) {
            lacks.sealed += u64::from(is_sealed(&event));
            take(event)?;
        }
    }
    client.lacks().into_iter().for_each(|place| lacks.unread(place));
    Ok(lacks)
}

/// An event that this program can read. What a newer gateway writes is lacked, and said.
fn known(value: Value, lacks: &mut Lacks) -> Option<Event> {
    let word = |name: &str| value.get(name).map(Value::to_string).unwrap_or_default();
    let place = format!("event {} of {}", word("sequence"), word("session"));
    event(value).map_err(|error| lacks.unread(format!("{place}: {error:#}"))).ok()
}

/// Whether the gateway could not open what an operation said, which is so of its reply then.
pub(super) fn is_sealed(event: &Event) -> bool {
    matches!(&event.body, EventBody::Operation { text, .. } if **text == *SEALED_TEXT)
}

/// An event as the API gives it: its time in words, its payload in base64.
pub(super) fn event(mut value: Value) -> anyhow::Result<Event> {
    let broken = || anyhow!("the gateway gave an event that this program cannot read");
    let fields = value.as_object_mut().ok_or_else(broken)?;
    let at = fields.get("at").and_then(Value::as_str).and_then(admin::parse_time);
    fields.insert("at".to_owned(), at.ok_or_else(broken)?.0.into());
    let payload = match fields.remove("payload") {
        None => Vec::new(),
        Some(Value::String(text)) => {
            base64::engine::general_purpose::STANDARD.decode(text).with_context(broken)?
        }
        Some(_) => return Err(broken()),
    };
    let mut event: Event = serde_json::from_value(value).with_context(broken)?;
    event.payload = payload;
    Ok(event)
}

/// Of a copy of the archive: each gateway's events in the order of its journal, those of several
/// gateways in the order of time.
fn from_store(
    bucket: &Arc<Bucket>,
    opener: Option<&Opener>,
    ask: &ExportArguments,
    since: Timestamp,
    take: &mut Take<'_>,
) -> anyhow::Result<Lacks> {
    let sessions: Option<HashSet<Text>> =
        ask.session.as_ref().map(|session| HashSet::from([Text::from(session.as_str())]));
    // A session is looked for as far back as recordings go.
    let from = if sessions.is_some() { Timestamp(0) } else { since };
    let wanted = Wanted {
        from,
        sessions: sessions.as_ref(),
        principal: ask.principal.as_deref(),
        ..Wanted::default()
    };
    let span = Span { from, to: Timestamp(u64::MAX) };
    let SignedFiles { files, unread, unsigned, gateways, .. } =
        signed_files(bucket, &span, &|_| false)?;
    if gateways == 0 {
        return Err(EvidenceError::NoManifest(bucket.place().to_owned()).into());
    }
    let mut of_gateways: BTreeMap<String, Vec<(u64, String, u64)>> = BTreeMap::new();
    for file in files {
        let Some((gateway, segment)) = convert::named(&file.path) else { continue };
        let files = of_gateways.entry(gateway.to_owned()).or_default();
        files.push((segment, file.path, file.bytes));
    }
    let mut lacks = thread::scope(|scope| {
        let mut streams = Vec::new();
        for mut files in of_gateways.into_values() {
            files.sort_unstable();
            let (send, rows) = sync_channel(ROWS_AHEAD);
            scope.spawn(move || read(bucket, &files, wanted, &send));
            streams.push(rows);
        }
        merge(streams, opener, take)
    })?;
    lacks.places.extend(unread);
    lacks.unsigned = unsigned.len() as u64;
    Ok(lacks)
}

/// Reads the files of one gateway in order.
fn read(
    bucket: &Arc<Bucket>,
    files: &[(u64, String, u64)],
    wanted: Wanted<'_>,
    rows: &SyncSender<Result<Row, String>>,
) {
    let columns = schema::names();
    for (_, path, bytes) in files {
        let (mut gone, mut misplaced) = (false, false);
        let read = ArchiveFile::open(bucket, path, *bytes).and_then(|file| {
            file.find(wanted, &[], &columns, &|_| true, &mut |row| match row.belongs_in(path) {
                true => gone = gone || rows.send(Ok(row)).is_err(),
                false => misplaced = true,
            })
        });
        let said = match read {
            Ok(()) if misplaced => rows.send(Err(format!("{path}: events of another file"))),
            Ok(()) => Ok(()),
            Err(error) => rows.send(Err(format!("{path}: {error}"))),
        };
        // Whoever takes them gave up, and says why.
        if gone || said.is_err() {
            return;
        }
    }
}

fn merge(
    streams: Vec<Receiver<Result<Row, String>>>,
    opener: Option<&Opener>,
    take: &mut Take<'_>,
) -> anyhow::Result<Lacks> {
    let mut lacks = Lacks::default();
    let mut fronts = BTreeMap::new();
    type Fronts = BTreeMap<(u64, usize), Row>;
    let advance = |at: usize, fronts: &mut Fronts, lacks: &mut Lacks| {
        while let Some(next) = streams.get(at).and_then(|stream| stream.recv().ok()) {
            match next {
                Ok(row) => {
                    fronts.insert((row.time, at), row);
                    return;
                }
                Err(unread) => lacks.unread(unread),
            }
        }
    };
    for at in 0..streams.len() {
        advance(at, &mut fronts, &mut lacks);
    }
    while let Some(((_, at), mut row)) = fronts.pop_first() {
        let place = format!("event {} of {}", row.number, row.gateway);
        if !row.sealed.is_empty() && opener.is_none_or(|by| by.open(&mut row) != Unsealed::Clear) {
            // What it did stays readable; what it said does not.
            lacks.sealed += 1;
            row.hide();
        }
        match row.event() {
            Ok(event) => take(event)?,
            // Of a kind that a newer gateway writes, perhaps.
            Err(error) => lacks.unread(format!("{place}: {error}")),
        }
        advance(at, &mut fronts, &mut lacks);
    }
    Ok(lacks)
}

/// A format by its word, for the command line.
pub fn format(word: &str) -> Result<Format, String> {
    word.parse().map_err(|error: export::UnknownFormat| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(gateway: &str, at: u64, number: u64) -> Row {
        let target = format!("{gateway}-{number}");
        let event: Event = serde_json::from_value(json!({
            "v": 1, "at": at, "gateway": gateway, "sequence": 0,
            "kind": "admin", "actor": "a", "action": "b", "target": target,
        }))
        .unwrap();
        Row::of(event, archive::row::Place { number, ..Default::default() })
    }

    fn merged(streams: Vec<Vec<Result<Row, String>>>) -> (Vec<String>, Lacks) {
        let mut receivers = Vec::new();
        for rows in streams {
            let (send, receive) = sync_channel(rows.len());
            rows.into_iter().for_each(|row| send.send(row).unwrap());
            receivers.push(receive);
        }
        let mut targets = Vec::new();
        let lacks = merge(receivers, None, &mut |event| {
            if let EventBody::Admin { target, .. } = event.body {
                targets.push(target);
            }
            Ok(())
        });
        (targets, lacks.unwrap())
    }

    #[test]
    fn gateways_are_merged_by_time_and_each_stays_in_the_order_of_its_journal() {
        // The clock of `a` went back between its events.
        let a = vec![Ok(row("a", 5, 1)), Ok(row("a", 3, 2)), Ok(row("a", 9, 3))];
        let b = vec![Ok(row("b", 4, 1)), Err("b: torn".to_owned()), Ok(row("b", 5, 2))];
        let (targets, lacks) = merged(vec![a, b]);
        assert_eq!(targets, ["b-1", "a-1", "a-2", "b-2", "a-3"]);
        assert_eq!(lacks.places, ["b: torn"]);
        assert!(lacks.tell().is_err(), "an export that lacks something says so");
    }

    #[test]
    fn what_is_sealed_is_counted_and_exported_without_what_was_said() {
        let mut sealed = row("a", 1, 1);
        sealed.sealed = vec![1];
        let (targets, lacks) = merged(vec![vec![Ok(sealed), Ok(row("a", 2, 2))]]);
        assert_eq!((targets.len(), lacks.sealed), (2, 1));
    }

    #[test]
    fn an_event_of_a_kind_that_is_not_known_is_lacked_and_the_rest_exported() {
        let mut newer = row("a", 1, 1);
        newer.kind = "teleported".into();
        let rows = (1..=PLACES_MAX as u64 + 1).map(|_| Ok(newer.clone()));
        let (targets, lacks) = merged(vec![rows.chain([Ok(row("a", 2, 2))]).collect()]);
        assert_eq!(targets, ["a-2"]);
        assert_eq!((lacks.places.len(), lacks.more), (PLACES_MAX, 1));
        assert!(lacks.places[0].starts_with("event 1 of a: "), "{}", lacks.places[0]);
        let mut lacks = Lacks::default();
        let newer = json!({ "v": 9, "at": "2026-11-29T04:11:00Z", "session": "s_1",
            "sequence": 7, "gateway": "g", "kind": "teleported" });
        assert!(known(newer, &mut lacks).is_none());
        assert!(lacks.places[0].starts_with("event 7 of \"s_1\": "), "{}", lacks.places[0]);
    }

    #[test]
    fn an_event_of_the_api_is_the_event_that_was_recorded() {
        let given = json!({
            "v": 1, "at": "2026-11-29T04:11:00.000000001Z", "gateway": "gw-1", "session": "s_1",
            "sequence": 7, "kind": "unsolicited", "what": "notice", "bytes": 2, "payload": "AP8=",
        });
        let read = event(given).unwrap();
        assert_eq!(read.at, Timestamp(1_795_925_460_000_000_001));
        assert_eq!((read.sequence, &*read.payload), (7, &[0, 255][..]));
        for broken in [json!({}), json!([]), json!({"at": "2026-11-29T04:11:00Z", "payload": 1})] {
            assert!(event(broken).is_err());
        }
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let folder = std::env::temp_dir().join(format!("narrows-export-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let name = folder.join("out.csv");
        std::fs::write(&name, "before").unwrap();
        let mut target = Target::open(Some(&name)).unwrap();
        target.write_all(b"after").unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"before");
        target.close(Ok(())).unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"after");
        let mut target = Target::open(Some(&name)).unwrap();
        target.write_all(b"half").unwrap();
        assert!(target.close(Err::<(), _>(anyhow!("broken off"))).is_err());
        assert_eq!(std::fs::read(&name).unwrap(), b"after");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn p7_an_export_is_written_to_no_file_that_somebody_else_put_there() {
        let folder = std::env::temp_dir().join(format!("narrows-planted-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (name, victim) = (folder.join("out.csv"), folder.join("victim"));
        std::fs::write(&victim, "theirs").unwrap();
        let link = |at: &str| std::os::unix::fs::symlink(&victim, folder.join(at)).unwrap();
        link("out.csv.part");
        link("out.csv");
        let mut target = Target::open(Some(&name)).unwrap();
        target.write_all(b"recorded").unwrap();
        target.close(Ok(())).unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), b"recorded");
        assert!(!name.is_symlink());
        let mode = std::os::unix::fs::PermissionsExt::mode(&name.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        link("planted.part");
        let planted = folder.join("planted.part");
        let no = Target::becoming(&name, planted).map(drop).unwrap_err().to_string();
        assert!(no.starts_with("make "), "{no}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"theirs");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_reader_that_went_away_is_no_success() {
        let gone = said(io::Error::from(io::ErrorKind::BrokenPipe).into());
        assert!(gone.downcast_ref::<SaidNo>().is_some(), "{gone}");
        let full = said(io::Error::from(io::ErrorKind::StorageFull).into());
        assert!(full.downcast_ref::<SaidNo>().is_none(), "{full}");
    }
}

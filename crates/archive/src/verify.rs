//! Checking an archive, with no gateway and no key but the public ones.
//!
//! Everything that a manifest names must be there and be as it was signed; manifests must follow
//! each other without a gap; nothing else may be there. What nobody can see from the archive alone
//! is that its newest part was cut off: for that one says until when it must reach
//! ([`Options::until`]), or what it held once ([`Options::anchors`]).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, BucketError, Listed};
use crate::convert;
use crate::file::ArchiveFile;
use crate::manifest::{self, HexHash, MANIFEST_BYTES_MAX, Manifest, PublicKey, format_time};
use crate::merkle::{Hash, Tree, sha256};
use crate::row::Row;

/// Problems told of one segment; a file that was written anew would otherwise tell of every row.
const ROWS_TOLD_MAX: usize = 10;

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keys that may have signed, each of one gateway or of any. Without any, each gateway's
    /// manifests are only checked against each other, and the report says so.
    pub keys: Vec<TrustedKey>,
    /// Only this gateway.
    pub gateway: Option<String>,
    /// Only manifests signed from the day of this time on.
    pub since: Option<Timestamp>,
    /// Every gateway's archive must reach at least so far.
    pub until: Option<Timestamp>,
    /// What was in the archive once.
    pub anchors: Vec<Anchor>,
}

/// A key that is believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustedKey {
    /// Of which gateway; `None` for whichever it signed first, and that one alone.
    pub gateway: Option<String>,
    /// The key.
    pub key: PublicKey,
}

impl From<PublicKey> for TrustedKey {
    fn from(key: PublicKey) -> Self {
        Self { gateway: None, key }
    }
}

/// A manifest that was there once: what one keeps elsewhere to prove later that nothing was cut
/// off.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Anchor {
    /// Which gateway.
    pub gateway: String,
    /// The manifest's number.
    pub number: u64,
    /// Its SHA-256.
    pub hash: HexHash,
}

/// What is wrong, in a word that programs can rely on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// Something that was signed is not there.
    Missing,
    /// Something is not as it was signed.
    Changed,
    /// Something is in another place or order than it was signed.
    Reordered,
    /// Something is there that no manifest names, or that is signed by nobody known.
    Unsigned,
    /// The archive ends before it should.
    Cut,
    /// The journal was damaged before it was archived; the manifest says so itself.
    Damaged,
}

impl Wrong {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Reordered => "reordered",
            Self::Unsigned => "unsigned",
            Self::Cut => "cut",
            Self::Damaged => "damaged",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// What kind of thing.
    pub wrong: Wrong,
    /// Which gateway's; empty when that cannot be told.
    pub gateway: String,
    /// The object, or what is in it.
    pub place: String,
    /// What was found, in words.
    pub what: String,
}

/// What was checked of one gateway.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Checked {
    /// The gateway.
    pub gateway: String,
    /// Manifests.
    pub manifests: u64,
    /// Files.
    pub files: u64,
    /// Events.
    pub events: u64,
    /// Number of the first manifest.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
    /// When the last one was signed.
    pub until: String,
    /// Its SHA-256: with gateway and number, an [`Anchor`].
    pub hash: HexHash,
    /// The key that signed them, hexadecimal; empty if none was given.
    pub key: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Each gateway.
    pub gateways: Vec<Checked>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn say(&mut self, wrong: Wrong, gateway: &str, place: &str, what: impl Into<String>) {
        let (gateway, place) = (gateway.to_owned(), place.to_owned());
        self.problems.push(Problem { wrong, gateway, place, what: what.into() });
    }
}

/// Checks an archive. An error is of the store; what is wrong with the archive is in the report.
pub fn verify(bucket: &Arc<Bucket>, options: &Options) -> Result<Report, BucketError> {
    let mut report = Report::default();
    let mut files: BTreeMap<String, u64> = BTreeMap::new();
    let since = options.since.map(convert::date);
    for Listed { path, bytes } in bucket.list("events")? {
        let date = path.split('/').nth(1).and_then(|part| part.strip_prefix("date="));
        let wanted = since.as_deref().is_none_or(|since| date.is_none_or(|date| date >= since));
        if wanted {
            files.insert(path, bytes);
        }
    }
    let mut named = HashSet::new();
    let mut gateways = bucket.folders("manifests")?;
    gateways.retain(|folder| folder.starts_with("gateway="));
    for folder in gateways {
        let gateway = folder.strip_prefix("gateway=").unwrap_or_default().to_owned();
        if options.gateway.as_ref().is_none_or(|only| *only == gateway) {
            Chain {
                bucket,
                options,
                files: &files,
                report: &mut report,
                named: &mut named,
                gateway,
                signer: None,
            }
            .check(since.as_deref())?;
        }
    }
    // A gateway at work may have signed meanwhile what was written when the files were listed.
    if files.keys().any(|path| !named.contains(path)) {
        add_newer(bucket, &report, &mut named)?;
    }
    for path in files.keys().filter(|path| !named.contains(*path)) {
        let gateway = convert::named(path).map(|(gateway, _)| gateway).unwrap_or_default();
        if options.gateway.as_ref().is_none_or(|only| only == gateway) {
            let what = "no manifest names this file (a gateway that is at work right now may be \
                        about to)";
            report.say(Wrong::Unsigned, gateway, path, what);
        }
    }
    for anchor in &options.anchors {
        let known = report.gateways.iter().any(|of| of.gateway == anchor.gateway);
        if !known && options.gateway.as_ref().is_none_or(|only| *only == anchor.gateway) {
            let what = format!("no manifest of this gateway is here; number {} was", anchor.number);
            report.say(Wrong::Cut, &anchor.gateway, &manifest::folder(&anchor.gateway), what);
        }
    }
    if report.gateways.is_empty() && report.problems.is_empty() {
        let what = "there is no manifest at all";
        report.say(Wrong::Missing, "", "manifests", what);
    }
    report
        .problems
        .sort_by(|one, other| (&one.gateway, &one.place).cmp(&(&other.gateway, &other.place)));
    Ok(report)
}

/// Names what manifests name that came after those that were checked.
fn add_newer(
    bucket: &Arc<Bucket>,
    report: &Report,
    named: &mut HashSet<String>,
) -> Result<(), BucketError> {
    for of in &report.gateways {
        for listed in bucket.list(&manifest::folder(&of.gateway))? {
            if manifest::number_in(&listed.path).is_none_or(|number| number <= of.last) {
                continue;
            }
            let text = bucket.get(&listed.path, MANIFEST_BYTES_MAX as u64)?.unwrap_or_default();
            let Ok(unproved) = Manifest::read(&text) else { continue };
            let segments = unproved.manifest.segments.into_iter();
            named.extend(segments.flat_map(|of| of.files).map(|file| file.path));
        }
    }
    Ok(())
}

/// The manifests of one gateway while they are followed.
struct Chain<'a> {
    bucket: &'a Arc<Bucket>,
    options: &'a Options,
    files: &'a BTreeMap<String, u64>,
    report: &'a mut Report,
    named: &'a mut HashSet<String>,
    gateway: String,
    /// The key that signed the first manifest.
    signer: Option<Option<PublicKey>>,
}

/// What the manifest before said.
struct Before {
    number: u64,
    hash: Hash,
    last: u64,
    segment: u64,
    at: Timestamp,
}

impl Chain<'_> {
    fn say(&mut self, wrong: Wrong, place: &str, what: impl Into<String>) {
        self.report.say(wrong, &self.gateway, place, what);
    }

    fn check(mut self, since: Option<&str>) -> Result<(), BucketError> {
        let folder = manifest::folder(&self.gateway);
        let mut listed = self.bucket.list(&folder)?;
        let newest = listed.iter().filter_map(|of| manifest::number_in(&of.path)).max();
        listed.retain(|of| {
            let date = of.path.split('/').find_map(|part| part.strip_prefix("date="));
            since.is_none_or(|since| date.is_none_or(|date| date >= since))
        });
        let mut numbered: Vec<(u64, Listed)> = Vec::new();
        for of in listed {
            match manifest::number_in(&of.path) {
                Some(number) => numbered.push((number, of)),
                None => self.say(Wrong::Unsigned, &of.path, "this is no manifest"),
            }
        }
        numbered.sort_by_key(|(number, _)| *number);
        let mut checked = Checked { gateway: self.gateway.clone(), ..Checked::default() };
        let mut before: Option<Before> = None;
        for (number, of) in numbered {
            let Some(manifest) = self.manifest(number, &of)? else { continue };
            let (manifest, hash) = manifest;
            self.follows(&of.path, &manifest, before.as_ref(), since.is_some());
            for segment in &manifest.segments {
                checked.files += segment.files.len() as u64;
                checked.events += segment.rows;
                self.segment(&of.path, segment)?;
            }
            self.anchored(&of.path, number, hash);
            if checked.manifests == 0 {
                checked.first = number;
            }
            checked.manifests += 1;
            checked.last = number;
            checked.hash = HexHash(hash);
            checked.until.clone_from(&manifest.at);
            let segment = manifest.segments.iter().map(|of| of.segment).max();
            before = Some(Before {
                number,
                hash,
                last: manifest.last,
                segment: segment.or(before.map(|before| before.segment)).unwrap_or(0),
                at: manifest.signed_at().unwrap_or_default(),
            });
        }
        checked.key = self.signer.flatten().map(|key| key.to_string()).unwrap_or_default();
        self.ends(&folder, before.as_ref(), newest);
        self.report.gateways.push(checked);
        Ok(())
    }

    /// A manifest that may be believed, and its hash.
    fn manifest(
        &mut self,
        number: u64,
        of: &Listed,
    ) -> Result<Option<(Manifest, Hash)>, BucketError> {
        if of.bytes > MANIFEST_BYTES_MAX as u64 {
            self.say(Wrong::Changed, &of.path, "longer than any manifest");
            return Ok(None);
        }
        let Some(text) = self.bucket.get(&of.path, MANIFEST_BYTES_MAX as u64)? else {
            self.say(Wrong::Missing, &of.path, "listed, and not there");
            return Ok(None);
        };
        let unproved = match Manifest::read(&text) {
            Ok(unproved) => unproved,
            Err(error) => {
                self.say(Wrong::Changed, &of.path, error.to_string());
                return Ok(None);
            }
        };
        if !self.options.keys.is_empty() {
            let gateway = &self.gateway;
            let of_gateway = self
                .options
                .keys
                .iter()
                .filter(|trusted| trusted.gateway.as_ref().is_none_or(|only| only == gateway));
            let signer = of_gateway
                .map(|trusted| trusted.key)
                .find(|key| unproved.is_signed_by(std::slice::from_ref(key)));
            // One gateway has one key: another one that is believed for others is not enough.
            let before = *self.signer.get_or_insert(signer);
            if signer.is_none() || before.is_some() && before != signer {
                let what = match signer {
                    None => "its signature is of none of the keys given, or it was changed",
                    Some(_) => "it is signed by the key of another gateway",
                };
                self.say(Wrong::Unsigned, &of.path, what);
                return Ok(None);
            }
            self.signer = Some(signer);
        }
        let (manifest, hash) = (unproved.manifest, unproved.hash);
        if manifest.gateway != self.gateway || manifest.number != number {
            let (gateway, number) = (&manifest.gateway, manifest.number);
            let what = format!("this is manifest {number} of {gateway}, in another's place");
            self.say(Wrong::Reordered, &of.path, what);
            return Ok(None);
        }
        let belongs = manifest.signed_at().map(|at| manifest::path(&self.gateway, at, number));
        if belongs.as_deref() != Some(of.path.as_str()) {
            let what = format!("signed at {}, and in the folder of another day", manifest.at);
            self.say(Wrong::Reordered, &of.path, what);
        }
        Ok(Some((manifest, hash)))
    }

    /// Whether a manifest goes on where the one before ended.
    fn follows(&mut self, path: &str, manifest: &Manifest, before: Option<&Before>, some: bool) {
        let number = manifest.number;
        let Some(before) = before else {
            if number != 1 && !some {
                let what = format!("manifests 1 to {} are not here", number - 1);
                self.say(Wrong::Missing, path, what);
            }
            if number == 1 && manifest.previous != HexHash::default() {
                self.say(Wrong::Missing, path, "the first manifest names one before it");
            }
            return;
        };
        if Some(number) != before.number.checked_add(1) {
            let (from, to) = (before.number.saturating_add(1), number.saturating_sub(1));
            let what = match number == before.number {
                true => format!("manifest {number} is here twice"),
                false => format!("manifests {from} to {to} are not here"),
            };
            self.say(Wrong::Missing, path, what);
            return;
        }
        if manifest.previous.0 != before.hash {
            let what = format!("it does not follow manifest {} as that is here", before.number);
            self.say(Wrong::Changed, path, what);
        }
        let mut last = before.last;
        let mut number = before.segment;
        for segment in &manifest.segments {
            if segment.segment <= number {
                let what = format!("segment {} comes after segment {number}", segment.segment);
                self.say(Wrong::Reordered, path, what);
            }
            number = segment.segment;
            if segment.rows == 0 {
                continue;
            }
            if Some(segment.first) != last.checked_add(1) {
                let what = format!(
                    "segment {} begins with event {} after event {last}",
                    segment.segment, segment.first
                );
                self.say(Wrong::Missing, path, what);
            }
            last = segment.last;
        }
    }

    /// The files of a segment against what was signed of it.
    fn segment(&mut self, path: &str, entry: &manifest::Segment) -> Result<(), BucketError> {
        for damage in &entry.damage {
            let (segment, offset, what) = (entry.segment, damage.offset, &damage.what);
            let what = format!("segment {segment} of the journal at byte {offset}: {what}");
            self.say(Wrong::Damaged, path, what);
        }
        let mut rows: Vec<Found> = Vec::new();
        let mut whole = true;
        for file in &entry.files {
            self.named.insert(file.path.clone());
            match self.file(file)? {
                Some(found) => rows.extend(found),
                None => whole = false,
            }
        }
        rows.sort_by_key(|row| row.number);
        let mut tree = Tree::default();
        rows.iter().for_each(|row| tree.push(row.leaf));
        if !whole || HexHash(tree.root()) == entry.root && rows.len() as u64 == entry.rows {
            return Ok(());
        }
        let place = entry.files.first().map_or(path, |file| &file.path).to_owned();
        let changed: Vec<&Found> = rows.iter().filter(|row| row.leaf != row.said).collect();
        for row in changed.iter().take(ROWS_TOLD_MAX) {
            let (number, at) = (row.number, format_time(Timestamp(row.time)));
            let session = row.session.as_deref().unwrap_or("the gateway itself");
            let what = format!("event {number} of {at} ({session}) was changed");
            self.say(Wrong::Changed, &place, what);
        }
        let found = rows.len() as u64;
        let what = match (changed.len().checked_sub(ROWS_TOLD_MAX), found != entry.rows) {
            (Some(more), _) if more > 0 => format!("and {more} more events were changed"),
            (_, true) => format!("{found} events, and {} were signed", entry.rows),
            _ if !changed.is_empty() => return Ok(()),
            _ => format!(
                "events {} to {} are not those that were signed; which were changed cannot be told",
                entry.first, entry.last
            ),
        };
        self.say(Wrong::Changed, &place, what);
        Ok(())
    }

    /// The rows of a file; `None` if they cannot be read.
    fn file(&mut self, file: &manifest::File) -> Result<Option<Vec<Found>>, BucketError> {
        let path = &file.path;
        // One that was written anew is read, to tell what differs; a huge one is not.
        let most = file.bytes.saturating_mul(2).saturating_add(MANIFEST_BYTES_MAX as u64);
        if let Some(found) = self.files.get(path)
            && *found > most
        {
            let what = format!("{found} bytes, and {} were signed", file.bytes);
            self.say(Wrong::Changed, path, what);
            return Ok(None);
        }
        let Some(bytes) = self.bucket.get(path, most)? else {
            let what = format!("a file of {} events that was signed is not here", file.rows);
            self.say(Wrong::Missing, path, what);
            return Ok(None);
        };
        let intact = sha256(&bytes) == file.sha256.0;
        let length = bytes.len();
        let mut rows = Vec::new();
        let mut canonical = Vec::new();
        let read = ArchiveFile::of_bytes(bytes)
            .and_then(|of| of.each(|row| rows.push(Found::of(row, &mut canonical))));
        if let Err(error) = read {
            let what = format!("{length} bytes of {}, and it cannot be read: {error}", file.bytes);
            self.say(Wrong::Changed, path, what);
            return Ok(None);
        }
        if !intact {
            let ours = rows.iter().all(|row| row.leaf == row.said);
            let hint = match ours && rows.len() as u64 == file.rows {
                true => "; each event agrees with the hash beside it",
                false => "",
            };
            self.say(Wrong::Changed, path, format!("not the bytes that were signed{hint}"));
        } else if let Some(pair) = rows.windows(2).find(|pair| match pair {
            [one, other] => one.number >= other.number,
            _ => false,
        }) {
            let number = pair.first().map_or(0, |row| row.number);
            self.say(Wrong::Reordered, path, format!("event {number} is not before the next"));
        }
        Ok(Some(rows))
    }

    fn anchored(&mut self, path: &str, number: u64, hash: Hash) {
        let gateway = &self.gateway;
        let differs = self.options.anchors.iter().any(|anchor| {
            anchor.gateway == *gateway && anchor.number == number && anchor.hash.0 != hash
        });
        if differs {
            self.say(Wrong::Changed, path, "not the manifest that the anchor names");
        }
    }

    /// Whether the archive reaches as far as it should.
    fn ends(&mut self, folder: &str, last: Option<&Before>, newest: Option<u64>) {
        // With --since the last one may be of an earlier day.
        let number = last.map_or(0, |last| last.number).max(newest.unwrap_or(0));
        let gateway = &self.gateway;
        let anchors = self.options.anchors.iter().filter(|of| of.gateway == *gateway);
        if let Some(anchor) = anchors.map(|anchor| anchor.number).max()
            && anchor > number
        {
            let what = format!("it ends with manifest {number}; manifest {anchor} was here once");
            self.say(Wrong::Cut, folder, what);
        }
        if let Some(until) = self.options.until
            && last.is_none_or(|last| last.at < until)
        {
            let ends = last.map_or_else(|| "never".to_owned(), |last| format_time(last.at));
            let until = format_time(until);
            self.say(
                Wrong::Cut,
                folder,
                format!("its last manifest is of {ends}, not {until} or later"),
            );
        }
    }
}

/// What verifying needs to know of a row.
struct Found {
    number: u64,
    time: u64,
    session: Option<Arc<str>>,
    /// As computed from the row.
    leaf: Hash,
    /// As the row says.
    said: Hash,
}

impl Found {
    fn of(row: Row, canonical: &mut Vec<u8>) -> Self {
        let leaf = row.leaf(canonical);
        Self { number: row.number, time: row.time, session: row.session, leaf, said: row.hash }
    }
}

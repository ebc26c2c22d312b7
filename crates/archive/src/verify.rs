//! Checking an archive, with no gateway and no key but the public ones.
//!
//! Everything that a manifest names must be there and be as it was signed; manifests must follow
//! each other without a gap; nothing else may be there. What nobody can see from the archive alone
//! is that its newest part was cut off: for that one says until when it must reach
//! ([`Options::until`]), or what it held once ([`Options::anchors`]).

mod chain;
mod segment;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use self::chain::Chain;
use crate::bucket::{Bucket, BucketError, Listed};
use crate::convert;
use crate::manifest::{self, HexHash, PublicKey};

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keys that may have signed, each of one gateway or of any. Without any, each gateway's
    /// manifests are only checked against each other, and the report says so.
    pub keys: Vec<TrustedKey>,
    /// Only this gateway.
    pub gateway: Option<String>,
    /// Only manifests signed from the day of this time on, and that they follow the one before.
    pub since: Option<Timestamp>,
    /// Every gateway's archive must reach at least so far.
    pub until: Option<Timestamp>,
    /// What was in the archive once.
    pub anchors: Vec<Anchor>,
}

impl Options {
    fn takes(&self, gateway: &str) -> bool {
        self.gateway.as_ref().is_none_or(|only| only == gateway)
    }
}

/// A key that is believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustedKey {
    /// Of which gateway; `None` for any one that no key names.
    pub gateway: Option<String>,
    /// The key.
    pub key: PublicKey,
}

impl From<PublicKey> for TrustedKey {
    fn from(key: PublicKey) -> Self {
        Self { gateway: None, key }
    }
}

/// The keys that may have signed for a gateway: those that name it, and if there are none those
/// that name no gateway.
#[must_use]
pub fn keys_of(keys: &[TrustedKey], gateway: &str) -> Vec<PublicKey> {
    let of = |name: Option<&str>| -> Vec<PublicKey> {
        keys.iter().filter(|of| of.gateway.as_deref() == name).map(|of| of.key).collect()
    };
    let named = of(Some(gateway));
    if named.is_empty() { of(None) } else { named }
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
    /// Manifests; 0 if there is none of the time asked about.
    pub manifests: u64,
    /// Files.
    pub files: u64,
    /// Events.
    pub events: u64,
    /// Number of the first of them.
    pub first: u64,
    /// Number of the last manifest, whenever it was signed.
    pub last: u64,
    /// When it was signed.
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
    /// Anchors whose manifest is older than [`Options::since`] or of another gateway than
    /// [`Options::gateway`], so that their hashes were not compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<Anchor>,
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

/// Also said of a gateway that has only just begun.
const NONE_HERE: &str = "no manifest of this gateway is here; the first comes within \
                         recording.archive_every of its start";

/// Checks an archive. An error is of the store; what is wrong with the archive is in the report.
pub fn verify(bucket: &Arc<Bucket>, options: &Options) -> Result<Report, BucketError> {
    let mut files: BTreeMap<String, u64> = BTreeMap::new();
    let since = options.since.map(convert::date);
    for Listed { path, bytes } in bucket.list("events")? {
        let date = path.split('/').nth(1).and_then(|part| part.strip_prefix("date="));
        let wanted = since.as_deref().is_none_or(|since| date.is_none_or(|date| date >= since));
        if wanted {
            files.insert(path, bytes);
        }
    }
    let mut chains = Vec::new();
    for folder in bucket.folders("manifests")? {
        let gateway = folder.strip_prefix("gateway=").filter(|gateway| options.takes(gateway));
        if let Some(gateway) = gateway {
            let mut chain = Chain::new(bucket, options, &files, gateway);
            chain.advance()?;
            chains.push(chain);
        }
    }
    // A gateway at work may have signed meanwhile what was written when the files were listed.
    if files.keys().any(|path| !chains.iter().any(|chain| chain.names(path))) {
        for chain in &mut chains {
            chain.advance()?;
        }
    }
    let mut report = Report::default();
    for path in files.keys().filter(|path| !chains.iter().any(|chain| chain.names(path))) {
        let gateway = convert::named(path).map(|(gateway, _)| gateway).unwrap_or_default();
        if options.takes(gateway) {
            let what = "no manifest names this file (a gateway that is at work right now may be \
                        about to)";
            report.say(Wrong::Unsigned, gateway, path, what);
        }
    }
    check_expected(&mut report, options, &chains);
    check_signers(&mut report, &chains);
    for chain in chains {
        let (checked, problems) = chain.end();
        report.gateways.extend(checked);
        report.problems.extend(problems);
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

/// Whether every gateway that somebody named is here.
fn check_expected(report: &mut Report, options: &Options, chains: &[Chain<'_>]) {
    let of = |gateway: &str| chains.iter().find(|chain| chain.gateway() == gateway);
    let mut gone: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    let named = options.keys.iter().filter_map(|key| key.gateway.as_deref());
    for gateway in named.chain(options.gateway.as_deref()) {
        gone.insert(gateway, None);
    }
    for anchor in &options.anchors {
        let number = gone.entry(&anchor.gateway).or_default();
        *number = (*number).max(Some(anchor.number));
        if !options.takes(&anchor.gateway)
            || of(&anchor.gateway).is_some_and(|chain| chain.passed_over(anchor))
        {
            report.not_compared.push(anchor.clone());
        }
    }
    gone.retain(|gateway, _| options.takes(gateway) && of(gateway).is_none());
    for (gateway, number) in gone {
        let (wrong, what) = match number {
            Some(number) => {
                (Wrong::Cut, format!("no manifest of this gateway is here; number {number} was"))
            }
            None => (Wrong::Missing, NONE_HERE.to_owned()),
        };
        report.say(wrong, gateway, &manifest::folder(gateway), what);
    }
}

/// Whether every gateway has a key of its own: whoever has one gateway's could sign for another.
fn check_signers(report: &mut Report, chains: &[Chain<'_>]) {
    let mut signed: BTreeMap<[u8; 32], &str> = BTreeMap::new();
    for chain in chains {
        let (gateway, Some(key)) = (chain.gateway(), chain.signer()) else { continue };
        if let Some(other) = signed.insert(key.0, gateway) {
            let what = format!(
                "signed by the same key as {other}; a key is of one gateway: say which with \
                 GATEWAY=FILE"
            );
            report.say(Wrong::Unsigned, gateway, &manifest::folder(gateway), what);
        }
    }
}

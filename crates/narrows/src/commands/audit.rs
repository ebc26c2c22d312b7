//! `narrows audit`: questions to the recordings, and whether they are whole.

mod answers;
mod holds;
mod rewrap;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use admin::{EraseRequest, Erased};
use anyhow::{Context as _, bail};
use archive::archiver::Head;
use archive::evidence::{Evidence, Span};
use archive::manifest::{PublicKey, SigningKey};
use archive::proof::{self, Proof};
use archive::verify::{self, Anchor, Checked, Report, TrustedKey};
use archive::{Bucket, Location};
use base64::Engine as _;
use model::Timestamp;
use serde::de::DeserializeOwned;

use self::answers::{answered, fields, hits, pii, who};
use super::{Misused, SaidNo};
use crate::args::{AuditCommand, Common, Copied, When};
use crate::client::{Client, config_path, encoded};
use crate::config;
use crate::output::{self, Out, Tone, counted, one_line};
use crate::sealing;
use crate::wire::SIGNING_KEY;

/// How long before and after `--at` a question reaches unless it says.
const WINDOW_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// How far back a question without a time reaches.
const SINCE_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers.
pub fn audit(common: &Common, command: AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Who { table, when, copy } => {
            let span = when.span(runtime::clock::now())?;
            let query = format!("table={}", encoded(&table));
            let answer = match evidence(common, &copy)? {
                Some(evidence) => evidence.who(&table, &span)?,
                None => ask(common, "who", &query, &span)?,
            };
            who(common, &table, &span, &answer)
        }
        AuditCommand::Fields { session, principal, when, copy } => {
            if session.is_none() && principal.is_none() {
                return Err(Misused::because("name a session (s_…) or a subject (--principal)"));
            }
            // A session is looked for as far back as recordings go.
            let span = match (&session, when.is_given()) {
                (Some(_), false) => whole(runtime::clock::now()),
                _ => when.span(runtime::clock::now())?,
            };
            let mut query = Vec::new();
            query.extend(session.as_ref().map(|of| format!("session={}", encoded(of))));
            query.extend(principal.as_ref().map(|of| format!("principal={}", encoded(of))));
            let answer = match evidence(common, &copy)? {
                Some(evidence) => {
                    evidence.fields(session.as_deref(), principal.as_deref(), &span)?
                }
                None => ask(common, "fields", &query.join("&"), &span)?,
            };
            fields(common, &answer)
        }
        AuditCommand::Pii { sent, when, copy } => {
            let span = when.span(runtime::clock::now())?;
            let answer = match evidence(common, &copy)? {
                Some(evidence) => evidence.pii(&span)?,
                None => ask(common, "pii", "", &span)?,
            };
            pii(common, sent, &span, &answer)
        }
        AuditCommand::Search { text, when, copy } => {
            let span = when.span(runtime::clock::now())?;
            let answer = match evidence(common, &copy)? {
                Some(evidence) => evidence.search(&text, &span)?,
                None => {
                    let (from, to) = times(&span);
                    let body = serde_json::json!({ "text": text, "from": from, "to": to });
                    Client::find(common)?.post("/api/v1/audit/search", &body)?
                }
            };
            hits(common, &answer)
        }
        AuditCommand::Verify { proof: Some(path), public_key, gateway, .. } => {
            let mut keys: Vec<TrustedKey> =
                public_key.iter().map(|named| read_key(named)).collect::<Result<_, _>>()?;
            if keys.is_empty() {
                let data_dir = data_dir(common)?;
                keys.push(TrustedKey { gateway: own_name(&data_dir)?, key: own_key(&data_dir)? });
            }
            proved(common, &path, &keys, gateway.as_deref())
        }
        AuditCommand::Verify {
            store, public_key, unsigned, since, until, anchor, gateway, ..
        } => {
            let now = runtime::clock::now();
            let time = |text: &Option<String>| text.as_deref().map(|t| moment(t, now)).transpose();
            let mut options = verify::Options {
                keys: public_key.iter().map(|named| read_key(named)).collect::<Result<_, _>>()?,
                gateway,
                since: time(&since)?,
                until: time(&until)?,
                anchors: anchor.iter().map(|path| read_anchor(path)).collect::<Result<_, _>>()?,
            };
            let bucket = bucket(common, store.as_deref())?;
            if store.is_none() {
                know_own(common, &mut options)?;
            }
            if options.keys.is_empty() && !unsigned {
                return Err(Misused::because(
                    "no public key to check the signatures with: give --public-key FILE (the \
                     gateway's own: narrows audit key)\n  or --unsigned to check only that what is \
                     there belongs together",
                ));
            }
            verified(common, &verify::verify(&bucket, &options)?, &options)
        }
        AuditCommand::Export(ask) => super::export::export(common, &ask),
        AuditCommand::Erase { session, principal, reason } => {
            let ask = EraseRequest { session, principal, reason };
            let erased: Erased = Client::find(common)?.post("/api/v1/audit/erase", &ask)?;
            if common.json {
                return output::json(&erased);
            }
            output::line(&match erased.keys {
                0 => "its keys were erased before".to_owned(),
                keys => format!(
                    "{} erased; what they sealed is gone. What is said from now on is not: revoke \
                     the token first if it should not be said",
                    counted(keys as u64, "key")
                ),
            })
        }
        AuditCommand::Hold(ask) => holds::hold(common, ask),
        AuditCommand::Holds { store } => holds::list(common, store.as_deref()),
        AuditCommand::Rewrap { store, key, to } => {
            rewrap::rewrap(common, store.as_deref(), &key, to.as_deref())
        }
        AuditCommand::Unseal { session, copy } => unseal(common, &session, &copy),
        AuditCommand::Prove { session, store } => {
            let bucket = bucket(common, store.as_deref())?;
            let proof = proof::prove(&bucket, &session, &whole(runtime::clock::now()))?;
            output::line(&serde_json::to_string(&proof)?)
        }
        AuditCommand::Reindex => {
            let done: serde_json::Value =
                Client::find(common)?.post("/api/v1/audit/reindex", &serde_json::json!({}))?;
            if common.json {
                return output::json(&done);
            }
            let sessions = done.get("sessions").and_then(serde_json::Value::as_u64).unwrap_or(0);
            output::line(&format!("{} in the index", counted(sessions, "session")))
        }
        AuditCommand::Key => key(common),
        AuditCommand::Anchor => anchor(common),
    }
}

impl When {
    fn is_given(&self) -> bool {
        self.at.is_some() || self.since.is_some()
    }

    /// The time asked about.
    fn span(&self, now: Timestamp) -> anyhow::Result<Span> {
        // What happens in this very moment belongs to it.
        let end = now.plus(Duration::from_secs(1));
        if let Some(at) = &self.at {
            let at = moment(at, now)?;
            let window = self.window.as_deref().and_then(admin::parse_duration);
            let window = window.unwrap_or(WINDOW_DEFAULT);
            let from = before(at, window);
            return Ok(Span { from, to: at.plus(window).plus(Duration::from_nanos(1)) });
        }
        let from = match &self.since {
            Some(since) => moment(since, now)?,
            None => before(now, SINCE_DEFAULT),
        };
        if from >= end {
            let since = self.since.as_deref().unwrap_or_default();
            return Err(Misused::because(format!("--since {since} is not in the past")));
        }
        Ok(Span { from, to: end })
    }
}

fn before(at: Timestamp, length: Duration) -> Timestamp {
    let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    Timestamp(at.0.saturating_sub(length))
}

fn whole(now: Timestamp) -> Span {
    Span { from: Timestamp(0), to: now.plus(Duration::from_secs(1)) }
}

/// `1h` as the time that long ago, a time to the minute or better as it is.
pub(crate) fn moment(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Some(length) = admin::parse_duration(text) {
        return Ok(before(now, length));
    }
    // 02:17Z, as people write it, means 02:17:00Z.
    let to_the_second = text.strip_suffix('Z').map(|start| format!("{start}:00Z"));
    let time = admin::parse_time(text).or_else(|| admin::parse_time(&to_the_second?));
    time.with_context(|| {
        format!(
            "{text}: write how long ago (1h, 7d) or a time after 1970 and before 2554 \
             (2026-11-23T07:00Z)"
        )
    })
}

/// Asks the running gateway.
fn ask<T: DeserializeOwned>(
    common: &Common,
    what: &str,
    query: &str,
    span: &Span,
) -> anyhow::Result<T> {
    let (from, to) = times(span);
    let time = format!("from={}&to={}", encoded(&from), encoded(&to));
    let joined = if query.is_empty() { time } else { format!("{query}&{time}") };
    Client::find(common)?.get(&format!("/api/v1/audit/{what}?{joined}"))
}

fn times(span: &Span) -> (String, String) {
    (admin::format_time(span.from), admin::format_time(span.to))
}

/// A copy of the archive that is asked without any gateway; `None` when there is to be one.
fn evidence(common: &Common, copy: &Copied) -> anyhow::Result<Option<Evidence>> {
    if copy.store.is_none() {
        return Ok(None);
    }
    let evidence = Evidence::of_store(bucket(common, copy.store.as_deref())?);
    Ok(Some(match &copy.key {
        Some(path) => evidence.opening(sealing::key_of_file(path)?),
        None => evidence,
    }))
}

pub(super) fn bucket(common: &Common, store: Option<&str>) -> anyhow::Result<Arc<Bucket>> {
    let location = match store {
        // A bare path is a folder.
        Some(place) if !place.contains(':') => Location::Folder(PathBuf::from(place)),
        Some(place) => Location::parse(place, Path::new(""))
            .map_err(|error| Misused::because(error.to_string()))?,
        None => {
            let path = config_path(common);
            let config = whereabouts(&path, "the archive is; give --store PLACE")?;
            config.recording.store.context("recording.store is none: there is no archive")?
        }
    };
    if let Some(folder) = location.folder()
        && !folder.is_dir()
    {
        return Err(Misused::because(format!("there is no folder {}", folder.display())));
    }
    Ok(Arc::new(Bucket::open(&location, false)?))
}

fn data_dir(common: &Common) -> anyhow::Result<PathBuf> {
    Ok(whereabouts(&config_path(common), "data_dir is; give --config FILE")?.data_dir)
}

/// The configuration, as far as it says where things are.
fn whereabouts(path: &Path, what: &str) -> anyhow::Result<config::Config> {
    let name = path.display();
    match path.exists() {
        true => {
            config::whereabouts(path).with_context(|| format!("{name} does not say where {what}"))
        }
        false => Err(Misused::because(format!("there is no {name} to say where {what}"))),
    }
}

/// What this machine's own gateway knows: its key, and how far its archive reaches.
fn know_own(common: &Common, options: &mut verify::Options) -> anyhow::Result<()> {
    let data_dir = data_dir(common)?;
    let name = own_name(&data_dir)?;
    if options.keys.is_empty() && data_dir.join(SIGNING_KEY).exists() {
        options.keys.push(TrustedKey { gateway: name.clone(), key: own_key(&data_dir)? });
        // The store may hold other gateways', whose keys are not known here.
        if options.gateway.is_none() {
            options.gateway.clone_from(&name);
        }
    }
    let is_asked = options.gateway.is_none() || options.gateway == name;
    if options.anchors.is_empty()
        && is_asked
        && let Some(anchor) = own_anchor(&data_dir)?
    {
        options.anchors.push(anchor);
    }
    Ok(())
}

fn own_key(data_dir: &Path) -> anyhow::Result<PublicKey> {
    let path = data_dir.join(SIGNING_KEY);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("read {}; narrows serve makes it when it first starts", path.display())
    })?;
    let key = SigningKey::read(&text).with_context(|| path.display().to_string())?;
    Ok(key.public())
}

fn own_anchor(data_dir: &Path) -> anyhow::Result<Option<Anchor>> {
    let path = data_dir.join("archive.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let head: Head = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
    let gateway = own_name(data_dir)?.context("data_dir has no gateway.id")?;
    Ok(Some(Anchor { gateway, number: head.number, hash: head.hash }))
}

fn own_name(data_dir: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(data_dir.join("gateway.id")) {
        Ok(name) => Ok(Some(name.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("read data_dir/gateway.id"),
    }
}

/// Events of a session, one JSON object on each line, with what was sealed in them.
fn unseal(common: &Common, session: &str, copy: &Copied) -> anyhow::Result<()> {
    let evidence = evidence(common, copy)?
        .ok_or_else(|| Misused::because("give the copy to read: --store PLACE"))?;
    let (rows, coverage) = evidence.session(session, &whole(runtime::clock::now()))?;
    let is_unknown = rows.is_empty();
    let closed = rows.iter().filter(|row| !row.sealed.is_empty()).count() as u64;
    for row in rows {
        let mut value = serde_json::to_value(&row)?;
        if let Some(fields) = value.as_object_mut()
            && !row.payload.is_empty()
        {
            let payload = base64::engine::general_purpose::STANDARD.encode(&row.payload);
            fields.insert("payload".to_owned(), payload.into());
        }
        output::line(&value.to_string())?;
    }
    coverage.unread.iter().for_each(|unread| eprintln!("could not be read: {}", one_line(unread)));
    if is_unknown {
        bail!("there is no event of {session} in what could be read");
    }
    if closed > 0 {
        bail!(
            "{} stayed sealed: this is not their key, or it was erased",
            counted(closed, "event")
        );
    }
    answered(&coverage)
}

fn key(common: &Common) -> anyhow::Result<()> {
    let key = own_key(&data_dir(common)?)?;
    match common.json {
        true => output::json(&serde_json::json!({ "ed25519": key.to_string(), "pem": key.pem() })),
        false => output::print(&key.pem()),
    }
}

fn anchor(common: &Common) -> anyhow::Result<()> {
    let anchor = own_anchor(&data_dir(common)?)?;
    output::json(&anchor.context("nothing was archived yet")?)
}

/// Checks a proof of one session; prints its events.
fn proved(
    common: &Common,
    path: &Path,
    keys: &[TrustedKey],
    gateway: Option<&str>,
) -> anyhow::Result<()> {
    let name = path.display();
    let text = std::fs::read(path).with_context(|| format!("read {name}"))?;
    let proof: Proof =
        serde_json::from_slice(&text).with_context(|| format!("{name} is no proof"))?;
    if let Some(gateway) = gateway.filter(|gateway| *gateway != proof.gateway) {
        bail!("{name} is a proof of {}, not of {gateway}", one_line(&proof.gateway));
    }
    let proven = proof::check(&proof, keys).with_context(|| format!("{name} proves nothing"))?;
    let end = match proven.is_ended {
        true => "from its first to its last",
        false => "from its first on; the session has not ended in it, what came later is not here",
    };
    if common.json {
        if !proven.is_ended {
            eprintln!("the session has not ended in this proof: what came later is not in it");
        }
        return proven.events.iter().try_for_each(|event| output::line(event));
    }
    output::line(&format!(
        "{} of session {} of {}, signed by a key given, {end}; --json prints them",
        counted(proven.events.len() as u64, "event"),
        one_line(&proof.session),
        one_line(&proof.gateway),
    ))
}

/// `FILE`, or `GATEWAY=FILE` for a key that is believed for one gateway alone.
fn read_key(named: &str) -> anyhow::Result<TrustedKey> {
    let (gateway, path) = match named.split_once('=') {
        Some((gateway, path)) if gateway.starts_with("gw-") => (Some(gateway.to_owned()), path),
        _ => (None, named),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Misused::because(format!("read {path}: {error}")))?;
    let key =
        PublicKey::read(&text).map_err(|error| Misused::because(format!("{path}: {error}")))?;
    Ok(TrustedKey { gateway, key })
}

fn read_anchor(path: &Path) -> anyhow::Result<Anchor> {
    let text = std::fs::read(path)
        .map_err(|error| Misused::because(format!("read {}: {error}", path.display())))?;
    serde_json::from_slice(&text).map_err(|error| {
        let path = path.display();
        Misused::because(format!("{path} is no anchor ({error}); narrows audit anchor prints one"))
    })
}

fn verified(common: &Common, report: &Report, options: &verify::Options) -> anyhow::Result<()> {
    if common.json {
        output::json(report)?;
    } else {
        output::print(&verdict(report, options))?;
    }
    match report.is_clean() {
        true => Ok(()),
        false => Err(SaidNo.into()),
    }
}

fn verdict(report: &Report, options: &verify::Options) -> String {
    let out = Out::stdout(runtime::clock::now());
    let mut text = String::new();
    for of in &report.gateways {
        let manifests = match of.manifests {
            0 => "no manifest of that time".to_owned(),
            _ => format!("manifests {} to {}", of.first, of.last),
        };
        text.push_str(&format!(
            "{}: {manifests}, {} in {}, until {}{}\n",
            out.paint(Tone::Bold, &one_line(&of.gateway)),
            counted(of.events, "event"),
            counted(of.files, "file"),
            one_line(&of.until),
            match of.key.get(..16) {
                Some(key) => format!(", by the key {key}…"),
                None => String::new(),
            },
        ));
    }
    for anchor in &report.not_compared {
        text.push_str(&format!(
            "{} the anchor of manifest {} of {}: it is not of what was checked\n",
            out.paint(Tone::Careful, "not compared"),
            anchor.number,
            one_line(&anchor.gateway),
        ));
    }
    for problem in &report.problems {
        text.push_str(&format!(
            "{} {}: {}\n",
            out.paint(Tone::Bad, problem.wrong.as_str()),
            one_line(&problem.place),
            one_line(&problem.what),
        ));
    }
    let signed = match options.keys.is_empty() {
        false => "signed by a key given",
        true => "signatures were not checked",
    };
    let is_anchored = |of: &Checked| options.anchors.iter().any(|by| by.gateway == of.gateway);
    let tail = match options.until.is_some() || report.gateways.iter().all(is_anchored) {
        true => "it reaches as far as it should",
        false => "that its newest part was not cut off is not checked: use --until or --anchor",
    };
    match report.problems.len() {
        0 => {
            let fine = out.paint(Tone::Good, "whole and unchanged");
            text.push_str(&format!("{fine}; {signed}; {tail}\n"));
        }
        count => {
            let found = counted(count as u64, "problem");
            text.push_str(&format!("{}\n", out.paint(Tone::Bad, &found)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use archive::manifest::HexHash;

    use super::answers::asked;
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_924_800_000_000_000);

    #[test]
    fn a_time_can_be_written_to_the_minute() {
        let at = |text: &str| moment(text, NOW).map(admin::format_time);
        assert_eq!(at("2026-11-22T02:17Z").unwrap(), "2026-11-22T02:17:00Z");
        assert_eq!(at("2026-11-22T02:17:09.5Z").unwrap(), "2026-11-22T02:17:09.5Z");
        assert_eq!(at("1h").unwrap(), "2026-11-29T03:00:00Z");
        assert!(at("tuesday").unwrap_err().to_string().contains("write how long ago"));
    }

    #[test]
    fn a_question_about_a_moment_reaches_to_both_sides() {
        let when = When {
            at: Some("2026-11-22T02:17Z".to_owned()),
            window: Some("2m".to_owned()),
            since: None,
        };
        let span = when.span(NOW).unwrap();
        assert_eq!(asked(&span), "2026-11-22T02:15:00Z to 2026-11-22T02:19:00Z");
        let when = When { at: None, window: None, since: Some("2027-01-01T00:00Z".to_owned()) };
        assert!(when.span(NOW).unwrap_err().to_string().contains("is not in the past"));
    }

    #[test]
    fn an_anchor_is_what_the_command_prints() {
        let anchor = Anchor { gateway: "gw-1".to_owned(), number: 3, hash: HexHash([0xab; 32]) };
        let text = serde_json::to_string(&anchor).unwrap();
        assert_eq!(serde_json::from_str::<Anchor>(&text).unwrap(), anchor);
    }
}

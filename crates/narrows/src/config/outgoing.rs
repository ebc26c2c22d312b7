//! What of recordings goes elsewhere: events as they happen (`recording.stream`) and how far the
//! archive reaches (`recording.anchors`).

use std::path::{Component, Path, PathBuf};

use archive::bucket::{BucketError, Location as Place};
use model::is_this_machine;
use policy::Location;
use stream::Otlp;
use url::Url;

use super::address::{self, Carries};
use super::machine::Machine;
use super::read::{At, Named, Report, form};
use super::scalar::{Address, FileForm, SecretForm};
use super::text;
use super::tree::quoted;
use super::web::http_name;
use super::working::{check_file, relative_secret};

/// Receivers of events, and places for anchors.
const PLACES_MAX: usize = 16;
const TLS_PORT: u16 = 6514;
const TCP_PORT: u16 = 514;

form! {
    /// Who is told what happens, while it happens. Exactly one of `syslog`, `otlp`, `webhook`.
    pub struct StreamTo {
        /// A syslog server: `tls://HOST[:6514]` (RFC 5425) or `tcp://HOST[:514]` (RFC 6587).
        "syslog" => syslog: At<String>,
        /// A receiver of OpenTelemetry logs over HTTP: `https://HOST:4318`.
        "otlp" => otlp: At<String>,
        /// An address that takes JSON arrays by POST, signed as Standard Webhooks are.
        "webhook" => webhook: At<String>,
        /// Fields of every request to `otlp`, such as `Authorization`.
        "headers" => headers: Named<At<SecretForm>>,
        /// What requests to `webhook` are signed with: `whsec_…`, or any text of 24 bytes or more.
        "secret" => secret: At<SecretForm>,
        /// Certificates to trust besides the system's, PEM.
        "ca" => ca: At<FileForm>,
        /// Sends texts, parameters and what clients were told, too. Default: false.
        "texts" => texts: At<bool>,
    }
}

form! {
    /// Where is kept, besides the archive, how far the archive reaches. Exactly one of `webhook`,
    /// `store`.
    pub struct AnchorAt {
        /// An address that takes the anchor by POST, signed as Standard Webhooks are.
        "webhook" => webhook: At<String>,
        /// What requests to `webhook` are signed with: `whsec_…`, or any text of 24 bytes or more.
        "secret" => secret: At<SecretForm>,
        /// Certificates to trust besides the system's, PEM.
        "ca" => ca: At<FileForm>,
        /// A store other than the archive's: `file:FOLDER`, `s3://BUCKET/PREFIX`, …
        "store" => store: At<String>,
    }
}

/// What goes elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Who is told what happens.
    pub stream: Vec<Receiver>,
    /// Where anchors are kept.
    pub anchors: Vec<AnchorPlace>,
}

/// A receiver of events.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// How it is reached.
    pub way: Way,
    /// More certificates to trust.
    pub ca: Option<PathBuf>,
    /// It gets texts, parameters and what clients were told.
    pub texts: bool,
}

/// How a receiver is reached.
#[derive(Clone, Debug)]
pub enum Way {
    /// Syslog, inside TLS or not.
    Syslog(Address, bool),
    /// OpenTelemetry, with these fields in each request.
    Otlp(Url, Vec<(String, SecretForm)>),
    /// A webhook.
    Webhook(Url, SecretForm),
}

impl std::fmt::Display for Way {
    /// Without the path, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut http = |kind: &str, url: &Url| {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let host = url.host_str().unwrap_or_default();
            write!(f, "{kind} {}://{host}{port}", url.scheme())
        };
        match self {
            Self::Otlp(url, _) => http("otlp", url),
            Self::Webhook(url, _) => http("webhook", url),
            Self::Syslog(address, true) => write!(f, "syslog tls://{address}"),
            Self::Syslog(address, false) => write!(f, "syslog tcp://{address}"),
        }
    }
}

/// Where anchors are kept.
#[derive(Clone, Debug)]
pub enum AnchorPlace {
    /// A store.
    Store(Place),
    /// Whoever listens there.
    Webhook(Url, SecretForm, Option<PathBuf>),
}

impl std::fmt::Display for AnchorPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(place) => write!(f, "store {place}"),
            Self::Webhook(url, secret, _) => Way::Webhook(url.clone(), secret.clone()).fmt(f),
        }
    }
}

/// Completes what `recording` says of it. `archive` is where the archive is, if it is known.
pub fn complete(
    form: &mut text::Recording,
    (base, machine): (&Path, &dyn Machine),
    archive: Option<&Place>,
    report: &mut Report,
) -> Outgoing {
    let mut reader = Reader { base, machine, report, what: String::new() };
    let mut outgoing = Outgoing::default();
    let mut known: Vec<String> = Vec::new();
    for (index, to) in form.stream.take().unwrap_or_default().into_iter().enumerate() {
        reader.what = format!("recording.stream[{index}]");
        reader.bounded(index, &to.here.at);
        let at = to.here.at.clone();
        if form.encryption.is_some() && to.texts.as_ref().is_some_and(|texts| texts.value) {
            let message = format!("{}: texts leave that encryption seals", reader.what);
            reader.report.warn(&at, message, "erasing their keys does not reach them there");
        }
        let Some(receiver) = reader.receiver(to) else { continue };
        let name = match &receiver.way {
            Way::Syslog(address, _) => address.to_string(),
            Way::Otlp(url, _) | Way::Webhook(url, _) => url.to_string(),
        };
        if known.contains(&name) {
            let message = format!("{}: another one goes to the same address", reader.what);
            reader.report.problem(&at, message, "what it has received is remembered by address");
        }
        known.push(name);
        outgoing.stream.push(receiver);
    }
    let anchors = form.anchors.take().unwrap_or_default();
    if let (Some(first), Some("none")) = (anchors.first(), form.store.as_ref().map(|at| &*at.value))
    {
        let message = "recording.anchors: there is no archive that they could be of";
        reader.report.problem(&first.here.at, message, "recording.store is none");
    }
    for (index, at) in anchors.into_iter().enumerate() {
        reader.what = format!("recording.anchors[{index}]");
        reader.bounded(index, &at.here.at);
        let here = at.store.as_ref().map_or_else(|| at.here.at.clone(), |store| store.at.clone());
        let Some(place) = reader.anchor(at) else { continue };
        if let (AnchorPlace::Store(place), Some(archive)) = (&place, archive)
            && is_same_place(place, archive)
        {
            let message = format!("{}: the archive itself is there", reader.what);
            let help = "whoever can cut the archive's end can cut its anchors too; name another";
            reader.report.warn(&here, message, help);
        }
        outgoing.anchors.push(place);
    }
    outgoing
}

/// Whether one place is in the other, or both are in the same bucket.
fn is_same_place(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (Place::Folder(one), Place::Folder(other)) => {
            let (one, other) = (plain(one), plain(other));
            one.starts_with(&other) || other.starts_with(&one)
        }
        (Place::Cloud(kind, bucket, _), Place::Cloud(other_kind, other_bucket, _)) => {
            (kind, bucket) == (other_kind, other_bucket)
        }
        _ => false,
    }
}

/// A path without `.` and `..`, as it is written: links are not followed.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

struct Reader<'a> {
    base: &'a Path,
    machine: &'a dyn Machine,
    report: &'a mut Report,
    what: String,
}

impl Reader<'_> {
    fn bounded(&mut self, index: usize, at: &Location) {
        if index == PLACES_MAX {
            let message = format!("{}: there are more than {PLACES_MAX}", self.what);
            self.report.problem(at, message, "");
        }
    }

    fn receiver(&mut self, to: StreamTo) -> Option<Receiver> {
        let StreamTo { here, syslog, otlp, webhook, headers, secret, ca, texts } = to;
        if here.broken {
            return None;
        }
        let named = [here.has("syslog"), here.has("otlp"), here.has("webhook")];
        if named.iter().filter(|named| **named).count() != 1 {
            let message = format!("{} has to name one receiver", self.what);
            self.report.problem(&here.at, message, "write one of: syslog, otlp, webhook");
            return None;
        }
        self.only_with(&here.at, headers.is_some() && otlp.is_none(), "headers", "otlp");
        self.only_with(&here.at, secret.is_some() && webhook.is_none(), "secret", "webhook");
        let way = match (syslog, otlp, webhook) {
            (Some(address), ..) => self.syslog(&address)?,
            (_, Some(url), _) => {
                let fields = headers.map(|named| named.0).unwrap_or_default();
                for (name, _) in fields.iter().filter(|(name, _)| !http_name(&name.value)) {
                    let message = format!("{}.headers: found {}", self.what, quoted(&name.value));
                    self.report.problem(&name.at, message, "that cannot name a field of HTTP");
                }
                let fields: Vec<(String, SecretForm)> = fields
                    .into_iter()
                    .map(|(name, form)| (name.value, relative_secret(form.value, self.base)))
                    .collect();
                let carries = if fields.is_empty() { Carries::Events } else { Carries::Secrets };
                Way::Otlp(Otlp::endpoint(&self.url(&url, "otlp", carries)?), fields)
            }
            (_, _, Some(url)) => {
                let (url, secret) = self.webhook(&url, secret)?;
                Way::Webhook(url, secret)
            }
            _ => return None,
        };
        let texts = texts.is_some_and(|texts| texts.value);
        Some(Receiver { way, ca: ca.map(|ca| self.file(ca)), texts })
    }

    fn anchor(&mut self, form: AnchorAt) -> Option<AnchorPlace> {
        let AnchorAt { here, webhook, secret, ca, store } = form;
        if here.broken {
            return None;
        }
        match (webhook, store) {
            (Some(url), None) => {
                let (url, secret) = self.webhook(&url, secret)?;
                Some(AnchorPlace::Webhook(url, secret, ca.map(|ca| self.file(ca))))
            }
            (None, Some(store)) => {
                self.only_with(&here.at, secret.is_some(), "secret", "webhook");
                self.only_with(&here.at, ca.is_some(), "ca", "webhook");
                match Place::parse(&store.value, self.base) {
                    Ok(place) => Some(AnchorPlace::Store(place)),
                    Err(error) => {
                        let message =
                            format!("{}.store: found {}", self.what, quoted(&store.value));
                        let help = match error {
                            BucketError::Place { why, .. } => why,
                            other => other.to_string(),
                        };
                        self.report.problem(&store.at, message, help);
                        None
                    }
                }
            }
            _ => {
                let message = format!("{} has to name one place", self.what);
                self.report.problem(&here.at, message, "write one of: webhook, store");
                None
            }
        }
    }

    fn only_with(&mut self, at: &Location, wrong: bool, key: &str, other: &str) {
        if wrong {
            let message = format!("{}: {key} goes with {other} only", self.what);
            self.report.problem(at, message, "leave it out");
        }
    }

    fn webhook(
        &mut self,
        url: &At<String>,
        secret: Option<At<SecretForm>>,
    ) -> Option<(Url, SecretForm)> {
        let Some(secret) = secret else {
            let message = format!("{} has no secret to sign with", self.what);
            self.report.problem(&url.at, message, "write secret: {env: NAME}");
            return None;
        };
        Some((self.url(url, "webhook", Carries::Events)?, relative_secret(secret.value, self.base)))
    }

    fn url(&mut self, written: &At<String>, key: &str, carries: Carries) -> Option<Url> {
        let what = format!("{}.{key}", self.what);
        let url = address::url(written, &what, carries, self.report)?;
        if url.scheme() == "http" && !is_this_machine(url.host_str().unwrap_or_default()) {
            self.in_clear_text(&written.at, "https://");
        }
        Some(url)
    }

    fn in_clear_text(&mut self, at: &Location, better: &str) {
        let message = format!("{}: it crosses the network in clear text", self.what);
        self.report.warn(at, message, format!("use {better}"));
    }

    fn syslog(&mut self, written: &At<String>) -> Option<Way> {
        let found = written.value.split_once("://");
        let (rest, tls, port) = match found {
            Some(("tls", rest)) => (rest, true, TLS_PORT),
            Some(("tcp", rest)) => (rest, false, TCP_PORT),
            _ => ("", true, TLS_PORT),
        };
        let rest = rest.trim_end_matches('/');
        let whole = Address::parse(rest).or_else(|| Address::parse(&format!("{rest}:{port}")));
        let Some(address) = whole.filter(|_| !rest.is_empty()) else {
            let message = format!("{}.syslog: found {}", self.what, quoted(&written.value));
            let help = "write tls://HOST[:6514] or tcp://HOST[:514]; over UDP events would be lost \
                        unseen";
            self.report.problem(&written.at, message, help);
            return None;
        };
        if !tls && !is_this_machine(&address.host) {
            self.in_clear_text(&written.at, "tls://");
        }
        Some(Way::Syslog(address, tls))
    }

    fn file(&mut self, ca: At<FileForm>) -> PathBuf {
        let path = self.base.join(ca.value.0);
        check_file(self.machine, &path, &format!("{}.ca", self.what), &ca.at, self.report);
        path
    }
}

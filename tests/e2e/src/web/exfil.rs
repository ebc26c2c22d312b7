//! Sends the corpus, directly or through a gateway, and says what got where.
//!
//! Four origins stand for the world: one for the listed hosts, one for cloud storage, one for every
//! host that is not listed, and one in the private network that nothing leads to. A secret that a
//! detection knows must reach none of them; a word that no detection knows may reach the listed
//! hosts only. Sent directly nearly everything arrives, which is what shows that the search for it
//! works.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tempfile::TempDir;

use crate::until::within;
use crate::web::corpus::{self, Entry, Filling, Route};
use crate::web::encode::{Secrets, encode};
use crate::web::find::Views;
use crate::web::raw::credentials;
use crate::web::{Answer, Authority, Origin, RawHttp, Reply, Seen, Trust};

/// Attempts to carry a secret away.
pub const ATTEMPTS: &str = include_str!("../../../exfil/attempts.txt");
/// Requests that pass unchanged.
pub const HONEST: &str = include_str!("../../../exfil/honest.txt");

/// Names in the certificates of the origins, besides those in the corpus.
const NAMES: &[&str] = &[
    "partner.test",
    "*.partner.test",
    "evil.test",
    "*.evil.test",
    "localhost",
    "127.0.0.1",
    "*.s3.amazonaws.com",
];
/// Attempts that are under way at once.
const AT_ONCE: usize = 8;
/// How long the last bytes of connections are waited for.
const QUIET: Duration = Duration::from_secs(3);
/// How much of a TLS connection's own bytes is looked at: the hello, which is not encrypted.
const HELLO_BYTES: usize = 2048;

/// Who is reached.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// A listed host.
    Listed,
    /// Cloud storage, where only one bucket is ours.
    Storage,
    /// A host that is not listed.
    Unlisted,
    /// A server in the private network.
    Private,
}

/// How requests travel.
#[derive(Clone, Debug)]
pub enum Way {
    /// Straight to the origin.
    Direct,
    /// Through a gateway's egress listener.
    Gateway {
        /// Where it listens.
        address: SocketAddr,
        /// The token of who asks.
        token: String,
        /// The gateway's certificate authority; for honest requests, which check certificates.
        ca: std::path::PathBuf,
    },
}

/// The origins, and what is sent to them.
#[derive(Debug)]
pub struct World {
    dir: TempDir,
    authority: Authority,
    origins: Vec<(Place, Origin)>,
    private: u16,
    attempts: Vec<Entry>,
    honest: Vec<Entry>,
}

/// What became of one attempt.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its name.
    pub name: String,
    /// Its family.
    pub family: String,
    /// Which secret reached whom, and how it was written there.
    pub reached: Vec<(Place, &'static str, Vec<&'static str>)>,
    /// The first line of what came back, or why nothing did.
    pub answer: String,
}

impl Sent {
    /// Whether a secret is where it must not be.
    #[must_use]
    pub fn leaked(&self) -> bool {
        self.reached.iter().any(|(place, secret, _)| *place != Place::Listed || *secret != "word")
    }
}

/// What became of all attempts.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order of the corpus.
    pub sent: Vec<Sent>,
}

impl Report {
    /// Those that succeeded.
    #[must_use]
    pub fn leaks(&self) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.leaked()).collect()
    }

    /// Those of which nothing arrived anywhere.
    #[must_use]
    pub fn lost(&self) -> Vec<&Sent> {
        self.sent.iter().filter(|sent| sent.reached.is_empty()).collect()
    }

    /// A line for each of these attempts.
    #[must_use]
    pub fn lines(attempts: &[&Sent]) -> String {
        attempts.iter().fold(String::new(), |mut lines, sent| {
            let Sent { name, family, reached, answer } = sent;
            let _ = writeln!(lines, "{family}: {name}: {reached:?}, answered {answer:?}");
            lines
        })
    }
}

/// What differs about an honest request that took another way.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The request's name.
    pub name: String,
    /// What differs, as `directly` and `through`.
    pub what: String,
}

impl World {
    /// Starts the origins.
    ///
    /// # Errors
    /// One does not start, or the corpus cannot be read.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("narrows-e2e-exfil-").tempdir()?;
        let authority = Authority::new(dir.path())?;
        let attempts = corpus::read(ATTEMPTS).context("tests/exfil/attempts.txt")?;
        let honest = corpus::read(HONEST).context("tests/exfil/honest.txt")?;
        let hosts = hosts(attempts.iter().chain(&honest));
        let names: Vec<&str> =
            hosts.iter().map(|(host, _)| &**host).chain(NAMES.iter().copied()).collect();
        let tls = authority.server(&names)?;
        let private = Origin::tls(tls.clone(), |seen| route(seen, 0))?;
        let port = private.address().port();
        let origin = || Origin::tls(tls.clone(), move |seen| route(seen, port));
        let origins = vec![
            (Place::Listed, origin()?),
            (Place::Storage, origin()?),
            (Place::Unlisted, origin()?),
            (Place::Private, private),
        ];
        Ok(Self { dir, authority, origins, private: port, attempts, honest })
    }

    /// The attempts.
    #[must_use]
    pub fn attempts(&self) -> &[Entry] {
        &self.attempts
    }

    /// The honest requests.
    #[must_use]
    pub fn honest(&self) -> &[Entry] {
        &self.honest
    }

    /// A folder that goes when the world does.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The origin for such hosts.
    #[must_use]
    pub fn origin(&self, place: Place) -> Option<&Origin> {
        self.origins.iter().find(|(found, _)| *found == place).map(|(_, origin)| origin)
    }

    /// Where an authority leads: what the table of names in [`World::config`] says, and more.
    pub fn resolve(&self) -> impl Fn(&str) -> Option<SocketAddr> + Send + Sync + 'static {
        let addresses: Vec<(Place, SocketAddr)> =
            self.origins.iter().map(|(place, origin)| (*place, origin.address())).collect();
        let private = self.private.to_string();
        move |authority| {
            let (name, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
            let family = if port == private { "addresses" } else { "" };
            let place = place(&name.to_ascii_lowercase(), family);
            addresses.iter().find(|(found, _)| *found == place).map(|(_, address)| *address)
        }
    }

    /// The file with the certificate of the origins' authority.
    #[must_use]
    pub fn ca(&self) -> &std::path::Path {
        self.authority.path()
    }

    /// The gateway's configuration: the rules of the guide, and where the names of the corpus lead.
    ///
    /// The names of the private network are among the partners on purpose: no rule stops them, so
    /// what stops them is that nobody listed their addresses.
    #[must_use]
    pub fn config(&self, admin: u16, egress: u16) -> String {
        let mut table = String::new();
        for (host, place) in hosts(self.attempts.iter().chain(&self.honest)) {
            if let Some(origin) = self.origin(place).filter(|_| place != Place::Private) {
                let _ = writeln!(table, "      \"{host}\": \"{}\"", origin.address());
            }
        }
        let (private, ca) = (self.private, self.authority.path().display());
        format!(
            r#"data_dir: ./var
listen:
  admin: 127.0.0.1:{admin}
  egress: 127.0.0.1:{egress}
resources:
  internet:
    type: egress
    ca: {{file: "{ca}"}}
    hosts:
{table}lists:
  partners:
    - partner.test
    - api.partner.test
    - localhost
    - "*.localhost"
    - "127.0.0.1"
    - "169.254.169.254"
    - metadata.google.internal
    - rebind.test
  storage:
    - s3.amazonaws.com
    - "*.amazonaws.com"
    - storage.googleapis.com
    - "*.storage.googleapis.com"
    - "*.blob.core.windows.net"
access:
  - {{ groups: [agents], resources: [internet] }}
rules:
  - name: only-partners
    on: ["type:egress"]
    when: "!host_in(http.host, lists.partners) && !host_in(http.host, lists.storage)"
    block: "{{http.host}} is not on the list"
  - name: only-our-bucket
    on: ["type:egress"]
    when: host_in(http.host, lists.storage) && (http.bucket != "ours" || !(http.account in ["", "ours"]))
    block: "this bucket is not on the list"
  - name: only-web-ports
    on: ["type:egress"]
    when: "!(http.port in [80, 443, {private}])"
    block: "port {{http.port}} is not on the list"
  - name: no-secrets
    on: ["type:egress"]
    when: http.detections.exists(d, d in ["CREDIT_CARD", "US_SSN", "AWS_KEY", "PRIVATE_KEY"])
    block: "the request carries a secret"
"#
        )
    }

    /// Sends every attempt, and looks for its secrets in every byte that any origin received since
    /// it started.
    ///
    /// # Errors
    /// An attempt cannot be written. One that cannot be sent is an answer.
    pub fn run(&self, way: &Way) -> Result<Report> {
        let patience = match way {
            Way::Direct => Duration::from_secs(1),
            Way::Gateway { .. } => Duration::from_secs(3),
        };
        let none = std::iter::repeat_with(|| None).take(self.attempts.len());
        let (next, answers) = (AtomicUsize::new(0), Mutex::new(none.collect::<Vec<_>>()));
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(entry) = self.attempts.get(at) else { break };
                        let secrets = secrets(at);
                        let sent = self.follow(entry, &secrets, way, patience);
                        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(answer) = answers.get_mut(at) {
                            *answer = Some(sent);
                        }
                    }
                });
            }
        });
        // Connections that a gateway keeps for later stay open; their bytes are there by then.
        let _ = within(QUIET, "all connections have ended", || {
            Ok(self.origins.iter().all(|(_, origin)| origin.ended()).then_some(()))
        });
        let views = self.views();
        let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut sent = Vec::new();
        for (at, (entry, answer)) in self.attempts.iter().zip(answers).enumerate() {
            let answer = answer.context("an attempt that nobody sent")?;
            let answer = match answer {
                Ok(reply) => reply.text().lines().next().unwrap_or_default().to_owned(),
                Err(error) if error.is::<Unwritable>() => return Err(error),
                Err(error) => format!("{error:#}"),
            };
            let secrets = secrets(at);
            let mut reached = BTreeSet::new();
            for name in entry.secrets() {
                let secret = secrets.named(name).unwrap_or_default();
                reached.extend(
                    views
                        .iter()
                        .filter_map(|(place, views)| Some((*place, name, views.find(secret)?))),
                );
            }
            let (name, family) = (entry.name.clone(), entry.family.clone());
            sent.push(Sent { name, family, reached: reached.into_iter().collect(), answer });
        }
        Ok(Report { sent })
    }

    /// Whether any origin received this secret, in any way of writing it.
    #[must_use]
    pub fn holds(&self, secret: &str) -> bool {
        self.views().iter().any(|(_, views)| views.find(secret).is_some())
    }

    /// Sends every honest request directly and then this way, and compares what the origin received
    /// and what came back.
    ///
    /// # Errors
    /// A request does not even pass directly.
    pub fn pass(&self, way: &Way) -> Result<Vec<Difference>> {
        let mut differences = Vec::new();
        for entry in &self.honest {
            let place = place(&entry.host(), &entry.family);
            let origin = self.origin(place).context("an origin")?;
            let directly = self.once(entry, &Way::Direct, origin)?;
            let through = match self.once(entry, way, origin) {
                Ok(through) => through,
                Err(error) => vec![format!("{error:#}")],
            };
            if directly != through {
                let only = |these: &[String], others: &[String]| -> String {
                    let only = these.iter().filter(|line| !others.contains(line));
                    only.cloned().collect::<Vec<_>>().join("\n  ")
                };
                let what = format!(
                    "directly\n  {}\nthrough\n  {}",
                    only(&directly, &through),
                    only(&through, &directly)
                );
                differences.push(Difference { name: entry.name.clone(), what });
            }
        }
        Ok(differences)
    }

    /// What the origin received and what came back, in lines.
    fn once(&self, entry: &Entry, way: &Way, origin: &Origin) -> Result<Vec<String>> {
        let before = origin.seen().len();
        let patience = Duration::from_secs(10);
        let reply = self.send(entry, &secrets(0), way, patience)?;
        let text = || reply.text().lines().next().unwrap_or_default().to_owned();
        let seen =
            within(patience, "the origin received it", || Ok(origin.seen().get(before).cloned()))
                .with_context(|| format!("`{}` was answered {:?}", entry.name, text()))?;
        Ok([told(&seen), answered(&reply, entry)].concat())
    }

    fn follow(
        &self,
        entry: &Entry,
        secrets: &Secrets,
        way: &Way,
        patience: Duration,
    ) -> Result<Reply> {
        let reply = self.send(entry, secrets, way, patience)?;
        let location = reply.field("location").filter(|_| entry.follow);
        match location {
            Some(location) if (300..400).contains(&reply.status()) => {
                let entry = entry.redirected(reply.status(), &location)?;
                self.send(&entry, secrets, way, patience)
            }
            _ => Ok(reply),
        }
    }

    fn send(
        &self,
        entry: &Entry,
        secrets: &Secrets,
        way: &Way,
        patience: Duration,
    ) -> Result<Reply> {
        let proof = match way {
            Way::Direct => None,
            Way::Gateway { token, .. } => Some(credentials(token)),
        };
        let filling = Filling { secrets, credentials: proof.as_deref(), private: self.private };
        let (bytes, route) = (entry.bytes(&filling), entry.routed(&filling));
        let (bytes, route) = bytes.and_then(|bytes| Ok((bytes, route?))).context(Unwritable)?;
        let honest = entry.secrets().is_empty();
        let (address, trust) = match way {
            Way::Direct => {
                let place = place(&entry.host(), &entry.family);
                let ca = self.authority.path().to_path_buf();
                (self.origin(place).context("an origin")?.address(), Trust::File(ca))
            }
            Way::Gateway { address, ca, .. } => (*address, Trust::File(ca.clone())),
        };
        let trust = if honest { trust } else { Trust::Anyone };
        let mut client = RawHttp::to(address).patience(patience);
        if entry.http2 {
            client = client.http2();
        }
        if let Route::Tunnel { target, tls } = route {
            if let Way::Gateway { token, .. } = way {
                client = client.tunnel(&target, token);
            }
            if let Some(name) = tls {
                client = client.tls(name.as_deref(), trust);
            }
        }
        client.send(&bytes)
    }

    /// What every connection carried, also what could not be read as HTTP, and every request that
    /// could.
    fn views(&self) -> Vec<(Place, Views)> {
        let mut views = Vec::new();
        for (place, origin) in &self.origins {
            for wire in origin.wires() {
                match &wire.server_name {
                    Some(name) => views.push((*place, Views::of(name.as_bytes()))),
                    // A hello that was not understood may still say something.
                    None if wire.tls => {
                        let hello = wire.sealed.get(..HELLO_BYTES).unwrap_or(&wire.sealed);
                        views.push((*place, Views::of(hello)));
                    }
                    None => {}
                }
                views.push((*place, Views::of(&wire.plain)));
            }
            for seen in origin.seen() {
                views.push((*place, Views::of(&seen.body)));
                // The heads of HTTP/2 are compressed in the bytes of a connection.
                if seen.version != http::Version::HTTP_2 {
                    continue;
                }
                let mut head = format!("{} {}\n{}\n", seen.method, seen.target, seen.host);
                for (name, value) in seen.fields.iter().chain(seen.trailers.iter().flatten()) {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    let _ = writeln!(head, "{name}: {value}");
                }
                views.push((*place, Views::of(head.as_bytes())));
            }
        }
        views
    }
}

/// An attempt that has a mistake.
#[derive(Debug)]
struct Unwritable;

impl std::fmt::Display for Unwritable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an attempt cannot be written")
    }
}

impl std::error::Error for Unwritable {}

/// Those of the attempt with this place in the corpus.
fn secrets(at: usize) -> Secrets {
    Secrets::new(at as u64 + 1)
}

/// Who has this host.
fn place(host: &str, family: &str) -> Place {
    const STORAGE: &[&str] =
        &["s3.amazonaws.com", "amazonaws.com", "storage.googleapis.com", "blob.core.windows.net"];
    let is_in = |domain: &&str| host == *domain || host.ends_with(&format!(".{domain}"));
    if family == "addresses" || host == "localhost" || host == "127.0.0.1" {
        Place::Private
    } else if matches!(host, "partner.test" | "api.partner.test") {
        Place::Listed
    } else if STORAGE.iter().any(is_in) {
        Place::Storage
    } else {
        Place::Unlisted
    }
}

/// Every name in the corpus that a table of names can have, and where it leads.
fn hosts<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<(String, Place)> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_name = |host: &str| {
        host.bytes().all(plain)
            && host.split('.').all(|label| !label.is_empty())
            && host.contains(|letter: char| letter.is_ascii_alphabetic())
            && !host
                .rsplit('.')
                .next()
                .unwrap_or_default()
                .starts_with(|l: char| l.is_ascii_digit())
    };
    let found: BTreeSet<(String, Place)> = entries
        .map(|entry| (entry.host(), place(&entry.host(), &entry.family)))
        .filter(|(host, _)| is_name(host))
        .collect();
    found.into_iter().collect()
}

/// What every origin answers.
fn route(seen: &Seen, private: u16) -> Answer {
    let path = seen.path();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let echo = format!("{{\"method\":\"{}\",\"path\":\"{path}\"}}", seen.method);
    let number = |text: &str| text.parse().unwrap_or(200);
    match parts.as_slice() {
        ["redirect", status, to] => {
            let to = match *to {
                "private" => format!("http://127.0.0.1:{private}/collect"),
                "evil-tls" => "https://evil.test/collect".to_owned(),
                _ => "http://evil.test/collect".to_owned(),
            };
            let answer = Answer::of("text/plain", "elsewhere").status(number(status));
            answer.field("location", &format!("{to}?{query}"))
        }
        ["status", status] if matches!(*status, "204" | "304") => {
            Answer { body: Vec::new(), ..Answer::of("text/plain", "") }.status(number(status))
        }
        ["status", status] => Answer::of("text/plain", "as you wish")
            .status(number(status))
            .field("location", "https://partner.test/notes"),
        ["stream"] | ["events"] | ["trailers"] => {
            let kind = if path == "/events" { "text/event-stream" } else { "text/plain" };
            let mut answer = Answer::of(kind, "data: one\n\n");
            answer.body.extend(["data: two\n\n", "data: three\n\n"].map(Bytes::from));
            if path == "/trailers" {
                answer.trailers.push(("x-sum".to_owned(), "7".to_owned()));
            }
            answer
        }
        ["gzip"] => {
            let body = encode("gzip", echo.as_bytes()).unwrap_or_default();
            Answer::of("application/json", body).field("content-encoding", "gzip")
        }
        ["large"] => Answer::of("text/plain", "0123456789abcdef".repeat(64 * 1024)),
        _ => Answer::of("application/json", echo).field("x-many", "one").field("x-many", "two"),
    }
}

/// Fields that say how one connection frames a message, not what is said.
const OF_ONE_HOP: &[&str] = &[
    "connection",
    "content-length",
    "date",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
];

fn told(seen: &Seen) -> Vec<String> {
    let host = seen.host.to_ascii_lowercase();
    let port = if seen.tls { ":443" } else { ":80" };
    let mut lines = vec![
        format!("request {} {}", seen.method, seen.path()),
        format!("host {}", host.strip_suffix(port).unwrap_or(&host)),
        format!("tls {}, whole {}", seen.tls, seen.complete),
        format!("body {:?}", seen.body),
    ];
    for (name, value) in &seen.fields {
        if !OF_ONE_HOP.contains(&name.as_str()) {
            lines.push(format!("field {name}: {value:?}"));
        }
    }
    for (name, value) in seen.trailers.iter().flatten() {
        lines.push(format!("trailer {name:?}: {value:?}"));
    }
    // Fields of different names may change places; those of one name do not.
    lines.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
    lines
}

fn answered(reply: &Reply, entry: &Entry) -> Vec<String> {
    let (status, fields, body, trailers) = reply.parts();
    let body = if entry.name.contains("head") { Vec::new() } else { body };
    let mut lines = vec![format!("status {status}"), format!("answer {:?}", Bytes::from(body))];
    for (name, value) in fields.into_iter().chain(trailers) {
        let name = name.to_ascii_lowercase();
        if !OF_ONE_HOP.contains(&name.as_str()) {
            lines.push(format!("answer's field {name}: {value:?}"));
        }
    }
    lines.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
    lines
}

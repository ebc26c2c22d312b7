//! Asking a key service over HTTP: bounded in time, tries and bytes, and inside TLS.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aws_lc_rs::rand;
use model::is_this_machine;
use model::limit::{KEY_SERVICE_ANSWER_BYTES_MAX, KEY_SERVICE_CALLS_MAX};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::http::uri::Uri;
use ureq::http::{HeaderValue, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use crate::error::SealError;

/// Longest text of a service that an error repeats, bytes.
const WORDS_BYTES_MAX: usize = 300;

/// How long and how often a key service is asked, and whom it has to be.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// Time for one try, from looking up the name to the last byte of the answer.
    pub timeout: Duration,
    /// Tries in all, at least one. Repeated are: no connection or a broken one, time-outs, and the
    /// answers of which the service says that they may pass.
    pub tries_max: u32,
    /// Pause after the first try; doubled after each further one, and up to a half is random.
    pub pause: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// Whose certificates are believed.
    pub roots: Roots,
}

impl Default for RemoteOptions {
    /// Four tries of five seconds, at most 22 seconds in all.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            tries_max: 4,
            pause: Duration::from_millis(200),
            pause_max: Duration::from_secs(2),
            roots: Roots::System,
        }
    }
}

/// Whose certificates a service may have.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The roots of the operating system.
    System,
    /// Only these, PEM; for services with a certificate authority of their own.
    Pem(Vec<u8>),
}

/// One service, at one address.
pub(crate) struct Remote {
    agent: ureq::Agent,
    base: String,
    /// Host and port, as the `Host` field of a request names them.
    host: String,
    options: RemoteOptions,
}

/// A field of a request, made anew for each try.
pub(crate) struct Field {
    pub name: &'static str,
    pub value: Zeroizing<String>,
    /// Whoever has it can do what this gateway can.
    pub is_secret: bool,
}

impl Field {
    pub fn plain(name: &'static str, value: &str) -> Self {
        Self { name, value: Zeroizing::new(value.to_owned()), is_secret: false }
    }

    pub fn secret(name: &'static str, value: &str) -> Self {
        Self { is_secret: true, ..Self::plain(name, value) }
    }
}

/// What a service said.
pub(crate) struct Answer {
    pub status: u16,
    pub body: Zeroizing<Vec<u8>>,
    sent: Sent,
}

impl Answer {
    /// Words of this answer for an error: one line, shortened, and left out altogether if they hold
    /// something secret that was sent, because a service may repeat what it was sent.
    pub fn words(&self, said: &str) -> String {
        self.sent.words(said)
    }
}

/// What was sent and nobody may read.
struct Sent(Vec<Zeroizing<String>>);

impl Sent {
    /// Letters and digits in a row that are no accident. A service that repeats a secret may escape
    /// what is between them, or cut it.
    const RUN: usize = 16;

    fn words(&self, said: &str) -> String {
        let runs = |secret: &str| {
            let mut runs = secret.as_bytes().windows(Self::RUN);
            let plain = |run: &[u8]| run.iter().all(u8::is_ascii_alphanumeric);
            runs.any(|run| {
                plain(run) && std::str::from_utf8(run).is_ok_and(|run| said.contains(run))
            })
        };
        let is_in = |secret: &str| !secret.is_empty() && said.contains(secret) || runs(secret);
        match self.0.iter().any(|secret| is_in(secret)) {
            true => "(its words are left out: they repeat what it was sent)".to_owned(),
            false => clipped(said),
        }
    }
}

/// A body to post.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    pub bytes: &'a [u8],
    /// What of it is secret.
    pub secrets: &'a [&'a str],
}

impl Body<'_> {
    /// Nothing; asks with GET.
    pub const NONE: Self = Self { bytes: &[], secrets: &[] };
}

/// What a request is for, as errors tell it.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// What it is about: a key, a secret.
    pub key_id: &'a str,
    /// What is done with it: `wrap a data key`.
    pub verb: &'static str,
}

impl Purpose<'_> {
    pub(crate) fn refused(&self, why: String) -> SealError {
        SealError::Refused { key_id: self.key_id.to_owned(), verb: self.verb, why }
    }

    /// The answer is not what the documentation says.
    pub fn misanswered(&self, why: impl Into<String>) -> SealError {
        SealError::Misanswered { key_id: self.key_id.to_owned(), why: why.into() }
    }

    pub(crate) fn not_unwrapped(&self) -> SealError {
        SealError::NotUnwrapped { key_id: self.key_id.to_owned() }
    }
}

impl Remote {
    /// Prepares to ask the service at `base`, `https://HOST[:PORT]`; `http` only to this machine,
    /// because credentials and data keys travel inside (R16). `key` is what errors call it.
    pub fn new(key: &str, base: &str, options: RemoteOptions) -> Result<Self, SealError> {
        let unusable = |why: String| SealError::Unusable { key: key.to_owned(), why };
        let base = base.trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|_| unusable(format!("`{base}` is not an address")))?;
        let authority = uri.authority().ok_or_else(|| {
            unusable(format!("`{base}` is not an address such as https://keys.example:8200"))
        })?;
        let plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if is_this_machine(authority.host()) => true,
            Some("http") => {
                return Err(unusable(format!(
                    "`{base}` is without TLS and not on this machine; use https://"
                )));
            }
            _ => return Err(unusable(format!("`{base}` has to begin with https://"))),
        };
        if authority.as_str().contains('@')
            || !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
        {
            return Err(unusable("its address may hold only scheme, host and port".to_owned()));
        }
        if options.tries_max == 0 || options.timeout.is_zero() {
            return Err(unusable("it has to be given at least one try and some time".to_owned()));
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent("narrows")
            .max_idle_connections(KEY_SERVICE_CALLS_MAX)
            .max_idle_connections_per_host(KEY_SERVICE_CALLS_MAX)
            .timeout_global(Some(options.timeout));
        if !plain {
            config = config.tls_config(tls(&options.roots).map_err(unusable)?);
        }
        Ok(Self {
            agent: config.build().into(),
            base: base.to_owned(),
            host: authority.as_str().to_owned(),
            options,
        })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// Posts `body`, or gets where there is none, until the service gives an answer that is not
    /// `passing`, or the tries are used up. Answers with any other status are the caller's to read.
    pub fn ask(
        &self,
        purpose: Purpose<'_>,
        path: &str,
        fields: impl Fn() -> Result<Vec<Field>, SealError>,
        body: Body<'_>,
        passing: impl Fn(&Answer) -> Option<String>,
    ) -> Result<Answer, SealError> {
        let mut pause = self.options.pause;
        let mut tries = 0;
        loop {
            tries += 1;
            let why = match self.try_once(path, fields()?, body) {
                Ok(answer) => match passing(&answer) {
                    None => return Ok(answer),
                    Some(why) => why,
                },
                Err(Failed::Passing(why)) => why,
                Err(Failed::Final(why)) => return Err(purpose.misanswered(why)),
                Err(Failed::Unsent(why)) => {
                    return Err(SealError::Unusable { key: purpose.key_id.to_owned(), why });
                }
            };
            if tries >= self.options.tries_max {
                let key_id = purpose.key_id.to_owned();
                return Err(SealError::Unavailable { key_id, verb: purpose.verb, tries, why });
            }
            thread::sleep(jitter(pause));
            pause = pause.saturating_mul(2).min(self.options.pause_max);
        }
    }

    fn try_once(&self, path: &str, fields: Vec<Field>, body: Body<'_>) -> Result<Answer, Failed> {
        let method = if body.bytes.is_empty() { "GET" } else { "POST" };
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let secrets = body.secrets.iter().map(|of| Zeroizing::new((*of).to_owned()));
        let mut sent = Sent(secrets.collect());
        for Field { name, value, is_secret } in fields {
            let mut header = HeaderValue::from_str(&value).map_err(|_| {
                Failed::Unsent(format!("its `{name}` has characters that no field may have"))
            })?;
            header.set_sensitive(true);
            request = request.header(name, header);
            sent.0.extend(is_secret.then_some(value));
        }
        let unsent = |error: ureq::http::Error| Failed::Unsent(error.to_string());
        let asked = match body.bytes.is_empty() {
            true => self.agent.run(request.body(()).map_err(unsent)?),
            false => self.agent.run(request.body(body.bytes).map_err(unsent)?),
        };
        let passing = |error: ureq::Error| Failed::Passing(sent.words(&error.to_string()));
        let mut response = asked.map_err(passing)?;
        let status = response.status().as_u16();
        // Room from the start, so that no copy of a key stays behind when it grows.
        let mut answer = Zeroizing::new(Vec::with_capacity(KEY_SERVICE_ANSWER_BYTES_MAX + 1));
        response
            .body_mut()
            .as_reader()
            .take(KEY_SERVICE_ANSWER_BYTES_MAX as u64 + 1)
            .read_to_end(&mut answer)
            .map_err(|error| Failed::Passing(sent.words(&error.to_string())))?;
        if answer.len() > KEY_SERVICE_ANSWER_BYTES_MAX {
            let why = format!("it is longer than {KEY_SERVICE_ANSWER_BYTES_MAX} bytes");
            return Err(Failed::Final(why));
        }
        Ok(Answer { status, body: answer, sent })
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.base).finish()
    }
}

enum Failed {
    /// Another try may go better.
    Passing(String),
    /// It will not.
    Final(String),
    /// There is no request that could be sent.
    Unsent(String),
}

/// The words of an answer that is not in the service's form: of a proxy, say.
pub(crate) fn foreign(answer: &Answer) -> String {
    if answer.status < 400 {
        return String::new();
    }
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// A text of others for an error: one line, shortened.
pub(crate) fn clipped(text: &str) -> String {
    let text: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let mut end = text.len().min(WORDS_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().trim().to_owned()
}

fn tls(roots: &Roots) -> Result<TlsConfig, String> {
    let found: Vec<CertificateDer<'static>> = match roots {
        Roots::System => rustls_native_certs::load_native_certs().certs,
        Roots::Pem(pem) => CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| "its certificate authority is not PEM".to_owned())?,
    };
    if found.is_empty() {
        return Err("there is no root certificate to believe it by".to_owned());
    }
    let roots: Vec<Certificate<'static>> =
        found.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

/// Half of `pause`, and a random part of the other half.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the pause is merely not spread.
    let part = rand::fill(&mut byte).map_or(u32::from(u8::MAX), |()| u32::from(byte[0]));
    pause / 2 + pause / 2 * part / 255
}

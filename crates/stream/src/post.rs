//! Posting JSON over HTTP, bounded in time and bytes, inside TLS.

use std::fmt;
use std::io::Read as _;
use std::time::Duration;

use model::limit::{STREAM_ANSWER_BYTES_MAX, STREAM_PAUSE_MAX};
use model::{Secret, is_this_machine};
use ureq::http::{HeaderName, HeaderValue, Request};
use url::Url;

use crate::sink::{SendError, UnusableSink};
use crate::trust::Trust;

/// Time for one request, from looking up the name to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest text of a receiver that a message repeats, bytes.
const WORDS_BYTES_MAX: usize = 200;

/// One address that is posted to.
pub struct Post {
    agent: ureq::Agent,
    url: String,
    place: String,
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// Scheme, host and port: an address without its path, which may be a secret.
#[must_use]
pub fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

impl Post {
    /// Prepares to post to `url`, with these fields in every request. Credentials travel only
    /// inside TLS, or to this machine.
    ///
    /// # Errors
    ///
    /// When the address or a field cannot be used.
    pub fn new(
        url: &Url,
        trust: &Trust,
        fields: &[(String, Secret<String>)],
    ) -> Result<Self, UnusableSink> {
        let plain = match url.scheme() {
            "https" => false,
            "http" if fields.is_empty() || url.host_str().is_some_and(is_this_machine) => true,
            "http" => {
                let why = "its headers must not cross the network in clear text; use https://";
                return Err(UnusableSink(why.to_owned()));
            }
            _ => return Err(UnusableSink("its address begins with https://".to_owned())),
        };
        if url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
            return Err(UnusableSink("its address has no host, or an account in it".to_owned()));
        }
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent("narrows")
            .timeout_global(Some(TIMEOUT));
        if !plain {
            config = config.tls_config(trust.of_http()?);
        }
        let field = |(name, value): &(String, Secret<String>)| {
            let wrong = || UnusableSink(format!("the header {name} cannot be sent"));
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value))
        };
        let fields = fields.iter().map(field).collect::<Result<_, _>>()?;
        let mut clean = url.clone();
        clean.set_fragment(None);
        Ok(Self { agent: config.build().into(), url: clean.into(), place: place(url), fields })
    }

    /// Where it goes, without what may be secret.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Posts JSON once, with `more` fields beside those of every request; what the receiver
    /// answered, if it took it.
    ///
    /// # Errors
    ///
    /// When the receiver is away or refuses.
    pub fn post(&self, body: &[u8], more: &[(&str, String)]) -> Result<Vec<u8>, SendError> {
        let request = Request::builder().method("POST").uri(&self.url);
        let mut request = request.header("content-type", "application/json");
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        for (name, value) in more {
            request = request.header(*name, value);
        }
        let away = |error: &dyn fmt::Display| SendError::away(clipped(&error.to_string()));
        let request = request.body(body).map_err(|error| away(&error))?;
        let mut response = self.agent.run(request).map_err(|error| away(&error))?;
        let status = response.status().as_u16();
        let pause = response.headers().get("retry-after").and_then(|value| {
            let seconds = value.to_str().ok()?.trim().parse().ok()?;
            Some(Duration::from_secs(seconds).min(STREAM_PAUSE_MAX))
        });
        let mut answer = Vec::new();
        let read = response.body_mut().as_reader().take(STREAM_ANSWER_BYTES_MAX);
        // Of an answer that breaks off the status counts.
        let complete = { read }.read_to_end(&mut answer).is_ok();
        let words = clipped(&String::from_utf8_lossy(&answer));
        let colon = if words.is_empty() { "" } else { ": " };
        let why = format!("it answered {status}{colon}{words}");
        match status {
            200..=299 if complete => Ok(answer),
            200..=299 => Ok(Vec::new()),
            400 | 413 | 422 => Err(SendError::Refused(why)),
            _ => Err(SendError::Away { why, pause }),
        }
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Post").field(&self.place).finish()
    }
}

/// Words of others on one line, shortened.
#[must_use]
pub fn clipped(text: &str) -> String {
    let text: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let mut end = text.len().min(WORDS_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().trim().to_owned()
}

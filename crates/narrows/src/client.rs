//! The commands' side of the admin API.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use admin::ErrorBody;
use anyhow::{Context as _, anyhow, bail};
use model::{Secret, is_this_machine};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Common;
use crate::config;
use crate::credentials::Credentials;

/// Longest answer taken, bytes.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(90);
/// Longest answer to a form, bytes.
const FORM_ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Places that cannot be read, told of at most.
const LACKS_MAX: usize = 1_000;

/// A gateway that can be asked.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<Secret<String>>,
    /// How it was found, for the message when it cannot be reached.
    found: String,
    /// Places of recordings that could not be read, in words.
    lacks: Mutex<BTreeSet<String>>,
}

/// The answer was no: the API's own words.
#[derive(Debug)]
pub struct Refused {
    /// What went wrong.
    pub body: ErrorBody,
}

impl Refused {
    /// Whether it was refused with that word.
    pub fn is(&self, code: &str) -> bool {
        self.body.error.code == code
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = &self.body.error;
        f.write_str(&error.message)?;
        for problem in &error.problems {
            write!(f, "\n  {problem}")?;
        }
        match &error.help {
            Some(help) => write!(f, "\n  {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

/// Where a gateway is.
struct Place {
    base: String,
    /// How it was found.
    found: String,
    /// Its data folder, on its own machine.
    data_dir: Option<PathBuf>,
    by_url: bool,
}

impl Place {
    fn find(common: &Common) -> anyhow::Result<Self> {
        let path = config_path(common);
        let place = match &common.url {
            Some(url) => Self {
                base: url.trim_end_matches('/').to_owned(),
                found: "--url".to_owned(),
                // What this machine keeps for its own gateway goes to no other place.
                data_dir: config::whereabouts(&path)
                    .filter(|config| admin_url(&config.admin) == url.trim_end_matches('/'))
                    .map(|config| config.data_dir),
                by_url: true,
            },
            None => {
                let config = read_config(&path, common.config.is_some())?;
                Self {
                    base: admin_url(&config.admin),
                    found: format!("listen.admin in {}", path.display()),
                    data_dir: Some(config.data_dir),
                    by_url: false,
                }
            }
        };
        check_url(&place.base)?;
        Ok(place)
    }

    /// The token to ask with. Whoever signed in there acts in their own name, and not in that of
    /// the machine's owner.
    fn token(&self) -> anyhow::Result<Secret<String>> {
        if let Some(kept) = Credentials::read()?.of(&self.base) {
            return kept.token(&self.base);
        }
        let data_dir = self.data_dir.as_deref();
        if self.by_url {
            let token = data_dir.and_then(|data_dir| admin::read_admin_token(data_dir).ok());
            return token.ok_or_else(|| {
                anyhow!(
                    "--url needs a token: sign in with narrows login --url {}, or give --token \
                     or NARROWS_TOKEN",
                    self.base
                )
            });
        }
        admin::read_admin_token(data_dir.unwrap_or(Path::new(""))).with_context(|| {
            "no admin token; narrows serve makes it when it first starts\n  people sign in with \
             narrows login; elsewhere than on the gateway's machine, use --url"
        })
    }
}

/// The configuration file that commands use.
pub fn config_path(common: &Common) -> PathBuf {
    common.config.clone().unwrap_or_else(|| PathBuf::from("narrows.yaml"))
}

impl Client {
    /// Remembers places of recordings that could not be read.
    pub fn lack(&self, places: Vec<String>) {
        let mut lacks = self.lacks.lock();
        let room = LACKS_MAX.saturating_sub(lacks.len());
        lacks.extend(places.into_iter().take(room));
    }

    /// Those places, in words.
    pub fn lacks(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.lacks.lock())
    }

    /// Finds the gateway: `--url`, else the configuration file; and who asks: `--token`, else
    /// whoever signed in with `narrows login`, else the holder of the admin token.
    pub fn find(common: &Common) -> anyhow::Result<Self> {
        let place = Place::find(common)?;
        let token = match &common.token {
            Some(token) => Secret::new(token.clone()),
            None => place.token()?,
        };
        Self::at(place, Some(token))
    }

    /// Finds the gateway, for whoever has no token yet.
    pub fn without_token(common: &Common) -> anyhow::Result<Self> {
        Self::at(Place::find(common)?, None)
    }

    fn at(place: Place, token: Option<Secret<String>>) -> anyhow::Result<Self> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .tls_config(identity::tls_config(None).map_err(anyhow::Error::msg)?)
            .timeout_global(Some(TIMEOUT))
            .build();
        let Place { base, found, .. } = place;
        Ok(Self { agent: config.into(), base, token, found, lacks: Mutex::default() })
    }

    /// Sends a form to a place that wants no token; the status and the answer.
    pub fn form(
        &self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<(u16, serde_json::Value)> {
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = ureq::http::Request::builder()
            .method("POST")
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .context("make the request")?;
        let mut response = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(FORM_ANSWER_BYTES_MAX);
        let text = body.read_to_string().context("read the gateway's answer")?;
        let answer = serde_json::from_str(&text);
        let answer = answer.map_err(|_| {
            anyhow!("{}{path} answered {status}; is it a Narrows gateway?", self.base)
        })?;
        Ok((status, answer))
    }

    /// Asks for something.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        Ok(self.get_sized(path)?.0)
    }

    /// The same, and how long the answer was, bytes.
    pub fn get_sized<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<(T, usize)> {
        self.call("GET", path, None::<&()>)
    }

    /// Sends something.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        Ok(self.call("POST", path, Some(body))?.0)
    }

    /// Takes something away.
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        Ok(self.call("DELETE", path, None::<&()>)?.0)
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<(T, usize)> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {}", token.expose())),
            None => request,
        };
        let request = request.body(body).context("make the request")?;
        let mut response = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if let Some(note) = response.headers().get("narrows-note").and_then(|it| it.to_str().ok()) {
            eprintln!("note: {note}");
        }
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .context("read the gateway's answer")?;
        if status.is_success() {
            let answer = serde_json::from_str(&text)
                .with_context(|| format!("the answer of {}{path} is not understood", self.base))?;
            return Ok((answer, text.len()));
        }
        let not_ready = serde_json::from_str::<serde_json::Value>(&text).ok();
        if let Some(reasons) = not_ready.as_ref().and_then(|value| value.get("reasons")?.as_array())
        {
            let reasons: Vec<&str> = reasons.iter().filter_map(serde_json::Value::as_str).collect();
            bail!("the gateway at {} is not ready: {}", self.base, reasons.join("; "));
        }
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => Err(Refused { body }.into()),
            Err(_) => bail!("{} answered {status}; is it a Narrows gateway?", self.base),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        anyhow!(
            "cannot reach the gateway at {} ({}): {error}\n  start it with: narrows serve\n  or \
             name another with -c FILE, NARROWS_CONFIG, or --url and --token",
            self.base,
            self.found,
        )
    }
}

fn read_config(path: &Path, named: bool) -> anyhow::Result<config::Config> {
    if !path.exists() {
        let tried = if named { "" } else { " (nothing else was named)" };
        bail!(
            "there is no configuration file {}{tried}\n  name it with -c FILE or \
             NARROWS_CONFIG, or the gateway itself with --url and --token",
            path.display()
        );
    }
    config::whereabouts(path)
        .ok_or_else(|| anyhow!("{} cannot be read as YAML; narrows check says why", path.display()))
}

/// The address of the admin API for someone on the same machine.
pub fn admin_url(address: &config::scalar::Address) -> String {
    let host = match address.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => address.host.clone(),
    };
    format!("http://{host}:{}", address.port)
}

/// A token goes over the network only inside TLS (R16).
fn check_url(base: &str) -> anyhow::Result<()> {
    let url = url::Url::parse(base).with_context(|| format!("{base} is not an address"))?;
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(()),
        ("http", Some(host)) if is_this_machine(host) => Ok(()),
        ("http", _) => bail!(
            "{base} is another machine, and a token must not cross the network in clear text\n  \
             use its https:// address, or make a tunnel, for example: ssh -L \
             7070:127.0.0.1:7070 HOST, and use --url http://127.0.0.1:7070"
        ),
        _ => bail!("{base} is not an address of https:// or http://"),
    }
}

/// A part of a path or query, made safe.
pub fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r16_a_token_is_not_sent_over_the_network_in_clear_text() {
        let https = ["https://127.0.0.1", "https://gw.example"];
        let http = ["http://127.0.0.1:7070", "http://localhost:1", "http://[::1]:7070"];
        for ok in https.into_iter().chain(http) {
            assert!(check_url(ok).is_ok(), "{ok}");
        }
        for bad in ["http://10.0.0.5:7070", "http://gw.example:7070", "ftp://127.0.0.1", "x"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_admin_address_is_one_that_can_be_called() {
        for (listen, url) in [
            ("127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("0.0.0.0:7070", "http://127.0.0.1:7070"),
            ("[::]:7070", "http://[::1]:7070"),
            ("localhost:1", "http://localhost:1"),
        ] {
            let address = config::scalar::Address::parse(listen).unwrap();
            assert_eq!(admin_url(&address), url);
        }
    }

    #[test]
    fn paths_cannot_be_left() {
        assert_eq!(encoded("../x y?a&b"), "..%2Fx%20y%3Fa%26b");
    }
}

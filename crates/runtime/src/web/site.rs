//! A registered upstream that is spoken to in HTTP exchanges.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use engine::Protocol;
use http::{HeaderName, HeaderValue};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use model::exchange::{Part, Scheme};
use model::{Resource, UpstreamTls};
use parking_lot::Mutex;
use policy::PayloadPolicy;
use tokio::net::TcpStream;

use super::body::RequestBody;
use super::dial::{Dialler, NotReached};
use super::listen::{CONNECTION_WINDOW_BYTES, HEAD_BYTES_MAX, STREAM_WINDOW_BYTES};
use crate::resource::OnFailure;
use crate::tls::{TlsError, WEB_PROTOCOLS};
use secrets::{SecretError, SecretSource};

/// Connections kept open to one host of a site while nothing is asked of it.
const IDLE_PER_HOST_MAX: usize = 64;
/// How long such a connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How to reach one registered upstream, or, as a proxy, all of them that a rule lets through.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SitePlan {
    /// Its name and type.
    pub resource: Resource,
    /// Where it is: host and port. `None` for a proxy, which goes where the request says.
    pub address: Option<(String, u16)>,
    /// How connections to it are protected, where the scheme is `https`.
    pub tls: UpstreamTls,
    /// Certificates trusted besides the operating system's (PEM).
    pub ca_file: Option<PathBuf>,
    /// Fields set on every request: the credential that only the gateway holds.
    pub headers: Vec<(String, SecretSource)>,
    /// Fields set on every request that goes to a host over TLS, by its name, for a proxy: the
    /// credential that only the gateway holds there. What the client sends in them does not pass.
    pub credentials: Vec<(String, Vec<(String, SecretSource)>)>,
    /// Names that are not looked up: where each is. Their addresses may be dialled whatever they
    /// are.
    pub hosts: Vec<(String, SocketAddr)>,
    /// Addresses that may be dialled although they are not public: network and prefix length.
    pub networks: Vec<(IpAddr, u8)>,
    /// The resource's protocol-specific settings, as configured.
    pub options: Arc<serde_json::Value>,
    /// What happens to operations while the journal cannot take their records.
    pub on_failure: OnFailure,
    /// How much of replies is recorded.
    pub payload: PayloadPolicy,
}

/// The versions of HTTP in which an upstream may be spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Spoken {
    /// Inside TLS what both sides agree on; HTTP/1.1 without.
    Agreed,
    /// HTTP/1.1 alone.
    One,
    /// HTTP/2 alone, in clear text too.
    Two,
}

impl Spoken {
    /// What is offered inside TLS.
    pub const fn offered(self) -> &'static [&'static [u8]] {
        match self {
            Self::Agreed => &WEB_PROTOCOLS,
            Self::One => &[b"http/1.1"],
            Self::Two => &[b"h2"],
        }
    }
}

/// One site, shared by its exchanges.
pub(crate) struct Site {
    pub plan: Arc<SitePlan>,
    pub protocol: &'static dyn Protocol<Part>,
    refuses: fn(IpAddr) -> Option<&'static str>,
    connect_timeout: Duration,
    client: ArcSwapOption<Client<Dialler, RequestBody>>,
    /// For requests that change to another protocol, which only HTTP/1.1 does.
    changing: ArcSwapOption<Client<Dialler, RequestBody>>,
    /// For what is known to be spoken to in HTTP/2 (RFC 9113 section 3.3).
    prior: ArcSwapOption<Client<Dialler, RequestBody>>,
    making: Mutex<()>,
}

impl Site {
    pub fn new(
        plan: SitePlan,
        protocol: &'static dyn Protocol<Part>,
        refuses: fn(IpAddr) -> Option<&'static str>,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            plan: Arc::new(plan),
            protocol,
            refuses,
            connect_timeout,
            client: ArcSwapOption::empty(),
            changing: ArcSwapOption::empty(),
            prior: ArcSwapOption::empty(),
            making: Mutex::new(()),
        }
    }

    /// Forgets connections and what was prepared from files that may have changed.
    pub fn forget_connections(&self) {
        self.client.store(None);
        self.changing.store(None);
        self.prior.store(None);
    }

    /// What speaks to it; made at first use, because reading the operating system's roots takes
    /// milliseconds.
    pub fn client(&self, spoken: Spoken) -> Result<Arc<Client<Dialler, RequestBody>>, TlsError> {
        let kept = match spoken {
            Spoken::Agreed => &self.client,
            Spoken::One => &self.changing,
            Spoken::Two => &self.prior,
        };
        if let Some(client) = kept.load_full() {
            return Ok(client);
        }
        let _one = self.making.lock();
        if let Some(client) = kept.load_full() {
            return Ok(client);
        }
        let plan = Arc::clone(&self.plan);
        let dialler = Dialler::new(plan, self.refuses, self.connect_timeout, spoken)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http2_only(spoken == Spoken::Two)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            // A request is sent once: whether it may be repeated is for its client to know.
            .retry_canceled_requests(false)
            .build(dialler);
        let client = Arc::new(client);
        kept.store(Some(Arc::clone(&client)));
        Ok(client)
    }

    /// Reaches a host whose bytes the gateway does not read.
    pub async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, NotReached> {
        let plan = Arc::clone(&self.plan);
        Dialler::reach(plan, self.refuses, self.connect_timeout, (host, port)).await
    }

    /// The fields that carry the credential to this host.
    ///
    /// A proxy's are for the host at the scheme's own port, inside TLS: in clear text, or at
    /// another port, whoever is there would learn the secret without proving to be the host.
    pub fn fields(
        &self,
        scheme: Scheme,
        authority: &str,
    ) -> impl Iterator<Item = &(String, SecretSource)> {
        let of_host =
            self.plan.credentials.iter().filter(move |(host, _)| is_for(host, scheme, authority));
        self.plan.headers.iter().chain(of_host.flat_map(|(_, fields)| fields))
    }

    /// Those fields with the credential, fetched now.
    pub async fn headers(
        &self,
        scheme: Scheme,
        authority: &str,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SecretError> {
        let mut headers = Vec::with_capacity(self.plan.headers.len());
        for (name, source) in self.fields(scheme, authority) {
            let secret = source.fetch().await?;
            let unfit = |problem| SecretError::Content { origin: name.clone(), problem };
            let field = HeaderName::try_from(name.as_str())
                .map_err(|_| unfit("belongs to a field whose name is not one"))?;
            let mut value = HeaderValue::try_from(secret.expose().as_str())
                .map_err(|_| unfit("cannot stand in a field"))?;
            value.set_sensitive(true);
            headers.push((field, value));
        }
        Ok(headers)
    }
}

/// Whether a request goes to the host itself: inside TLS, at the port that goes without saying.
fn is_for(host: &str, scheme: Scheme, authority: &str) -> bool {
    scheme == Scheme::Https && authority.strip_suffix(":443").unwrap_or(authority) == host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_a_credential_is_for_its_host_inside_tls_and_at_no_other_port() {
        let is_for = |scheme, authority| is_for("api.test", scheme, authority);
        assert!(is_for(Scheme::Https, "api.test") && is_for(Scheme::Https, "api.test:443"));
        assert!(!is_for(Scheme::Http, "api.test") && !is_for(Scheme::Http, "api.test:443"));
        for other in ["api.test:80", "api.test:4430", "x.api.test", "api.test.x", "", "443"] {
            assert!(!is_for(Scheme::Https, other), "{other}");
        }
    }
}

//! Reaching a registered upstream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use engine::{Connected, Protocol, Refusal, TlsFacts};
use model::{ClientText, Credential, Made, UpstreamTls};
use rustls_pki_types::ServerName;
use secrets::{Lease, Whom};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::gateway::Settings;
use crate::resource::ResourcePlan;
use crate::survey::Survey;
use crate::tls::{TlsError, client_config};
use crate::transport::{self, Wire};

/// Addresses tried when a name has many.
const ADDRESSES_MAX: usize = 8;
/// Least time given to one of several addresses.
const ADDRESS_TIME_MIN: Duration = Duration::from_secs(2);

/// One registered upstream, shared by its sessions.
pub(crate) struct Upstream {
    pub plan: ResourcePlan,
    pub protocol: &'static dyn Protocol<Bytes>,
    pub survey: Survey,
    /// Prepared at first use, because reading the operating system's roots takes milliseconds.
    tls: ArcSwapOption<rustls::ClientConfig>,
}

/// Why an upstream could not be used. Fixed words, counted, and known to clients; what exactly went
/// wrong is for the operator's log only (P7).
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("cannot reach {0}: {1}")]
    Down(String, std::io::Error),
    #[error("{0} did not answer in time")]
    Timeout(String),
    #[error("TLS with {0}: {1}")]
    Tls(String, String),
    #[error("{0}")]
    Credential(#[from] secrets::SecretError),
    #[error("its catalog cannot be read: {0}")]
    Catalog(String),
}

impl Unreachable {
    /// The fixed word for why.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Down(..) => "upstream_down",
            Self::Timeout(_) => "upstream_timeout",
            Self::Tls(..) => "upstream_tls",
            Self::Credential(_) => "credential",
            Self::Catalog(_) => "catalog",
        }
    }

    /// What the client is told: what it may do about it, and nothing of the network behind the
    /// gateway.
    pub fn refusal(&self) -> Refusal {
        let words = match self {
            Self::Down(..) => "the resource cannot be reached now; try again later",
            Self::Timeout(_) => "the resource did not answer in time; try again later",
            Self::Tls(..) => "the gateway does not trust the resource's TLS; tell its operator",
            Self::Credential(_) => {
                "the gateway has no credential for the resource; tell its operator"
            }
            Self::Catalog(_) => "the gateway cannot read the resource's catalog; tell its operator",
        };
        Refusal::unjudgeable(self.reason(), ClientText::fixed(words))
    }
}

impl Upstream {
    pub fn new(
        plan: ResourcePlan,
        protocol: &'static dyn Protocol<Bytes>,
        settings: &Settings,
    ) -> Self {
        let survey = Survey::new(settings);
        Self { plan, protocol, survey, tls: ArcSwapOption::empty() }
    }

    /// Forgets what was prepared from files that may have changed.
    pub fn forget_tls(&self) {
        self.tls.store(None);
    }

    fn address(&self) -> String {
        format!("{}:{}", self.plan.host, self.plan.port)
    }

    /// Opens a socket, trying every address of the host.
    pub async fn dial(&self, within: Duration) -> Result<TcpStream, Unreachable> {
        let dialled = timeout(within, self.dial_all(within)).await;
        dialled.unwrap_or_else(|_| Err(Unreachable::Timeout(self.address())))
    }

    async fn dial_all(&self, within: Duration) -> Result<TcpStream, Unreachable> {
        let down = |error| Unreachable::Down(self.address(), error);
        let found = lookup_host((&*self.plan.host, self.plan.port)).await.map_err(down)?;
        let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        let each = within / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut last = std::io::Error::other("the name has no address");
        for address in addresses {
            match timeout(each.max(ADDRESS_TIME_MIN), dial_one(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = std::io::ErrorKind::TimedOut.into(),
            }
        }
        Err(down(last))
    }

    /// Opens a socket to the very server that another socket of ours reached.
    pub async fn dial_again(
        &self,
        address: SocketAddr,
        within: Duration,
    ) -> Result<TcpStream, Unreachable> {
        match timeout(within, dial_one(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Unreachable::Down(address.to_string(), error)),
            Err(_) => Err(Unreachable::Timeout(address.to_string())),
        }
    }

    /// What a conversation or errand learns once the socket is open. The secret is fetched now, or
    /// a credential made for `whom`; it is theirs as long as they keep what is returned, and
    /// `on_end` is called if it ends before.
    pub async fn connected(
        self: &Arc<Self>,
        whom: &str,
        on_end: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Connected, Option<Lease>), Unreachable> {
        let database = self.plan.database.clone();
        let (credential, lease) = match &self.plan.credentials {
            Some(source) => {
                let resource = self.plan.resource.name.to_string();
                let whom = Whom { resource, user: whom.to_owned() };
                let lease = source.lease(whom, on_end).await?;
                let (user, password) = (lease.user.clone(), Some(lease.password.clone()));
                let made = Made { lease: Arc::clone(&lease.id), lasts: lease.lasts };
                (Credential { user, password, database, made: Some(made) }, Some(lease))
            }
            None => {
                let password = match &self.plan.password {
                    Some(source) => Some(source.fetch().await?),
                    None => None,
                };
                let user = self.plan.user.clone();
                (Credential { user, password, database, made: None }, None)
            }
        };
        let connected = Connected {
            credential: Arc::new(credential),
            tls: self.plan.tls,
            snapshots: self.survey.snapshots(),
            options: Arc::clone(&self.plan.options),
        };
        Ok((connected, lease))
    }

    /// The handshake on a socket whose other end agreed to it.
    pub async fn start_tls(&self, stream: TcpStream) -> Result<(Wire, TlsFacts), Unreachable> {
        let failed = |error: String| Unreachable::Tls(self.address(), error);
        let config = self.tls_config().map_err(|error| failed(error.to_string()))?;
        let name = ServerName::try_from(self.plan.host.clone())
            .map_err(|_| failed("the host is neither a name nor an address".to_owned()))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        let stream = connected.map_err(|error| failed(error.to_string()))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let facts = TlsFacts { certificate: certificate.map(|der| der.to_vec()) };
        Ok((Wire::Tls(Box::new(stream.into())), facts))
    }

    fn tls_config(&self) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        if let Some(config) = self.tls.load_full() {
            return Ok(config);
        }
        // A protocol asks for TLS only where the plan has it; where it does not, nothing is checked
        // less strictly than the default.
        let tls = match self.plan.tls {
            UpstreamTls::Off => UpstreamTls::VerifyFull,
            wanted => wanted,
        };
        let config = client_config(tls, self.plan.ca_file.as_deref())?.ok_or(TlsError::NoRoots)?;
        self.tls.store(Some(Arc::clone(&config)));
        Ok(config)
    }
}

async fn dial_one(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    transport::prepare(&stream)?;
    Ok(stream)
}

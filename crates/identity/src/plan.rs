//! What is known of an identity provider beforehand.

use std::path::PathBuf;
use std::time::Duration;

pub use jsonwebtoken::Algorithm;
use model::{Offer, PrincipalKind, Secret};
use url::Url;

/// The algorithms that a token may be signed with, by name (RFC 7518 section 3.1, RFC 8037). All
/// are asymmetric: with HMAC whoever can check a token can make one, and `none` is no signature.
pub const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The algorithm of that name, if tokens may be signed with it.
#[must_use]
pub fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeysFrom {
    /// Its metadata says so: `ISSUER/.well-known/openid-configuration` (OpenID Connect Discovery
    /// section 4) or `/.well-known/oauth-authorization-server` (RFC 8414).
    Discovery,
    /// A key set at an address (RFC 7517).
    Url(Url),
    /// A key set in a file, read again as often as the others are fetched.
    File(PathBuf),
}

/// An identity provider whose tokens are believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuerPlan {
    /// Its name, compared with `iss` byte for byte. One that begins with `spiffe://` is a trust
    /// domain: its tokens need no `iss`, and are told by their `sub`.
    pub issuer: String,
    /// Whom its tokens have to be meant for: at least one of these is in `aud`.
    pub audiences: Vec<String>,
    /// Where its keys are.
    pub keys: KeysFrom,
    /// Certificates to trust besides the system's, PEM.
    pub ca: Option<Vec<u8>>,
    /// What its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
    /// The claim that names who asks.
    pub subject_claim: String,
    /// What is put before every subject, so that two issuers cannot name the same one.
    pub subject_prefix: String,
    /// The claim that lists the groups of who asks.
    pub groups_claim: String,
    /// What is put before every group that the token lists.
    pub groups_prefix: String,
    /// Groups that whoever does the work has besides.
    pub groups: Vec<String>,
    /// What kind of actor its tokens stand for.
    pub kind: PrincipalKind,
    /// Claims that have to have these values; `*` at the end of one stands for anything.
    pub claims: Vec<(String, String)>,
    /// Clients that have no token are told to get one here, with this scope.
    pub scope: Option<String>,
}

impl IssuerPlan {
    /// A plan in which everything but these two has its default.
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: vec![audience.to_owned()],
            keys: KeysFrom::Discovery,
            ca: None,
            algorithms: ALGORITHMS.iter().map(|(_, algorithm)| *algorithm).collect(),
            clock_skew: Duration::from_secs(30),
            subject_claim: "sub".to_owned(),
            subject_prefix: String::new(),
            groups_claim: "groups".to_owned(),
            groups_prefix: String::new(),
            groups: Vec::new(),
            kind: PrincipalKind::Agent,
            claims: Vec::new(),
            scope: None,
        }
    }

    /// What clients that have no token are told, if anything.
    pub(crate) fn offer(&self) -> Option<Offer> {
        let scope = self.scope.clone()?;
        let base = self.issuer.trim_end_matches('/');
        Some(Offer { configuration: format!("{base}/.well-known/openid-configuration"), scope })
    }

    /// Whether it is a SPIFFE trust domain.
    #[must_use]
    pub fn is_trust_domain(&self) -> bool {
        self.issuer.starts_with("spiffe://")
    }

    /// Whether a token that says this of itself has to be of this issuer. Nothing of it is proved.
    pub(crate) fn is_named(&self, iss: Option<&str>, sub: Option<&str>) -> bool {
        let named = iss.is_none_or(|iss| iss == self.issuer);
        if !self.is_trust_domain() {
            return iss.is_some() && named;
        }
        // A trust domain speaks for its own workloads alone (SPIFFE JWT-SVID, section 3.1).
        let path = sub.and_then(|sub| sub.strip_prefix(&*self.issuer));
        named && path.is_some_and(|path| path.starts_with('/'))
    }
}

/// How people sign in at an identity provider: the gateway is a client of it (OpenID Connect Core).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientPlan {
    /// The provider.
    pub issuer: IssuerPlan,
    /// What the gateway is called there.
    pub id: String,
    /// Its secret there; a public client has none.
    pub secret: Option<Secret<String>>,
    /// What is asked for. Default: `openid`, and what the provider knows of `profile`, `email`,
    /// `groups` and `offline_access`.
    pub scopes: Option<Vec<String>>,
}

/// What holds for everybody who signs in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignInPlan {
    /// Where browsers reach the admin listener: providers send people back there.
    pub url: Url,
    /// How often a provider is asked about a person again.
    pub refresh: Duration,
    /// Longest time until a person has to sign in again.
    pub session: Duration,
    /// How long a browser may be silent until then.
    pub idle: Duration,
    /// What members of groups may do here.
    pub roles: Roles,
}

impl SignInPlan {
    /// One in which everything but the address has its default.
    #[must_use]
    pub fn new(url: Url) -> Self {
        const MINUTE: u64 = 60;
        Self {
            url,
            refresh: Duration::from_secs(5 * MINUTE),
            session: Duration::from_secs(12 * 60 * MINUTE),
            idle: Duration::from_secs(60 * MINUTE),
            roles: Roles::default(),
        }
    }

    /// Whether browsers come inside TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// A page of the admin listener, as browsers reach it.
    #[must_use]
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }
}

/// What a person may do in the admin API; each may do what those before it may.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Reads: sessions and their recordings, approvals, resources, access.
    Viewer,
    /// Answers approvals, and revokes what was approved.
    Approver,
    /// Ends sessions, makes and revokes tokens, reloads the configuration.
    Operator,
    /// Whatever the admin token may.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Approver, Self::Operator, Self::Admin];

    /// The word used in configuration and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Approver => "approver",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Which groups have which role.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roles(pub Vec<(Role, Vec<String>)>);

impl Roles {
    /// The highest role of somebody of these groups.
    #[must_use]
    pub fn of<G: AsRef<str>>(&self, groups: &[G]) -> Option<Role> {
        let has = |named: &Vec<String>| {
            groups.iter().any(|group| named.iter().any(|name| name == group.as_ref()))
        };
        self.0.iter().filter(|(_, named)| has(named)).map(|(role, _)| *role).max()
    }
}

//! What the configuration says about stores of secrets.

use std::path::PathBuf;
use std::time::Duration;

use crate::source::SecretSource;

/// The stores that a configuration names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StoresPlan {
    /// Vault or OpenBao.
    pub vault: Option<VaultPlan>,
}

/// A server of Vault or OpenBao.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VaultPlan {
    /// `https://vault.example:8200`
    pub address: String,
    /// Namespace, where the server has them.
    pub namespace: Option<String>,
    /// Certificates to trust instead of the system's, PEM.
    pub ca: Option<PathBuf>,
    /// As whom it is asked.
    pub auth: VaultAuthPlan,
    /// How often secrets are read again.
    pub refresh: Duration,
}

/// How a server knows the gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum VaultAuthPlan {
    /// By a token, read again for each request.
    Token(SecretSource),
    /// By logging in.
    Login(LoginPlan),
}

/// A login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoginPlan {
    /// Where the method is mounted: `approle`.
    pub mount: String,
    /// What is sent, by name; sources are read again at each login.
    pub fields: Vec<(&'static str, SecretSource)>,
}

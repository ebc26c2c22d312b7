//! What Vault and OpenBao say.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use model::Secret;
use seal::{
    Purpose, RemoteOptions, Roots, SealError, VaultAuth, VaultClient, VaultLogin, VaultServer,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::plan::{VaultAuthPlan, VaultPlan};

/// What is asked again soon is not asked often now.
const TRIES_MAX: u32 = 2;

/// Prepares to ask a server; asks for nothing yet.
pub(crate) fn client(plan: &VaultPlan) -> Result<VaultClient, String> {
    let roots = match &plan.ca {
        Some(path) => Roots::Pem(
            std::fs::read(path)
                .map_err(|error| format!("vault.ca: cannot read {}: {error}", path.display()))?,
        ),
        None => Roots::System,
    };
    let auth = match &plan.auth {
        VaultAuthPlan::Token(source) => {
            let source = source.clone();
            VaultAuth::Token(Box::new(move || source.fetch_here()))
        }
        VaultAuthPlan::Login(login) => {
            let fields = login.fields.clone();
            VaultAuth::Login(VaultLogin {
                path: format!("auth/{}/login", login.mount),
                fields: Box::new(move || {
                    let fetch = |(name, source): &(&'static str, crate::SecretSource)| {
                        source.fetch_here().map(|secret| (*name, secret))
                    };
                    fields.iter().map(fetch).collect()
                }),
            })
        }
    };
    let server = VaultServer {
        address: plan.address.clone(),
        namespace: plan.namespace.clone(),
        auth,
        remote: RemoteOptions { tries_max: TRIES_MAX, roots, ..RemoteOptions::default() },
    };
    VaultClient::new("vault", server).map_err(|error| error.to_string())
}

/// Why there is no secret.
#[derive(Debug)]
pub(crate) enum NotRead {
    /// The store says that there is none.
    Gone(String),
    /// It may be had another time.
    Failed(String),
}

impl From<SealError> for NotRead {
    fn from(error: SealError) -> Self {
        match error {
            SealError::NotThere { .. } => Self::Gone(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The answer to reading a secret of the key-value engine, version 2 ("KV secrets engine - version
/// 2 (API)", "Read secret version"). Borrows, so that secrets are only in the answer, which is
/// wiped.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    data: Version<'a>,
}

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    data: Option<HashMap<Cow<'a, str>, &'a RawValue>>,
}

/// Reads a field.
pub(crate) fn read(
    client: &VaultClient,
    path: &str,
    field: &str,
) -> Result<Secret<String>, NotRead> {
    let id = format!("vault:{path}");
    let purpose = Purpose { key_id: &id, verb: "read a secret" };
    let answer = client.read(purpose, path)?;
    let said: Read<'_> = serde_json::from_slice(&answer)
        .map_err(|_| purpose.misanswered("the key-value engine answers data.data"))?;
    let gone = |why: &str| NotRead::Gone(format!("{id}: {why}"));
    let fields = said.data.data.ok_or_else(|| gone("the newest version was deleted"))?;
    let value = fields.get(field).ok_or_else(|| gone(&format!("it has no field `{field}`")))?;
    // A number or an object may be a secret, too, so the value is not repeated.
    let text: String = serde_json::from_str(value.get())
        .map_err(|_| gone(&format!("its field `{field}` is not a text")))?;
    match text.is_empty() {
        true => Err(gone(&format!("its field `{field}` is empty"))),
        false => Ok(Secret::new(text)),
    }
}

/// A credential that was made for us.
pub(crate) struct Made {
    pub user: String,
    pub password: Secret<String>,
    pub lease: Leased,
}

/// For how long.
#[derive(Clone, Debug)]
pub(crate) struct Leased {
    pub id: String,
    pub lasts: Duration,
    pub renewable: bool,
}

/// "Database secrets engine (API)", "Generate credentials".
#[derive(Deserialize)]
struct Credentials<'a> {
    #[serde(borrow)]
    lease_id: Cow<'a, str>,
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    data: Account<'a>,
}

#[derive(Deserialize)]
struct Account<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    password: &'a RawValue,
}

/// Has a credential made.
pub(crate) fn make(client: &VaultClient, path: &str) -> Result<Made, SealError> {
    let id = format!("vault:{path}");
    let purpose = Purpose { key_id: &id, verb: "make a credential" };
    let answer = client.read(purpose, path)?;
    let said: Credentials<'_> = serde_json::from_slice(&answer).map_err(|_| {
        purpose.misanswered("a database engine answers lease_id, data.username, data.password")
    })?;
    let password: String = serde_json::from_str(said.data.password.get())
        .map_err(|_| purpose.misanswered("data.password is not a text"))?;
    let lasts = Duration::from_secs(said.lease_duration);
    if said.lease_id.is_empty() || lasts.is_zero() || said.data.username.is_empty() {
        return Err(purpose.misanswered("the credential has no lease, or none that lasts"));
    }
    Ok(Made {
        user: said.data.username.into_owned(),
        password: Secret::new(password),
        lease: Leased { id: said.lease_id.into_owned(), lasts, renewable: said.renewable },
    })
}

#[derive(Deserialize)]
struct Renewed {
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

/// Asks for more time; gives how much there is from now.
pub(crate) fn renew(client: &VaultClient, lease: &str) -> Result<(Duration, bool), SealError> {
    let purpose = Purpose { key_id: lease, verb: "renew a lease" };
    let answer = client.write(purpose, "sys/leases/renew", &[("lease_id", lease)])?;
    let said: Renewed = serde_json::from_slice(&answer)
        .map_err(|_| purpose.misanswered("a renewal answers lease_duration"))?;
    Ok((Duration::from_secs(said.lease_duration), said.renewable))
}

/// Ends a lease, and what it is for with it.
pub(crate) fn revoke(client: &VaultClient, lease: &str) -> Result<(), SealError> {
    let purpose = Purpose { key_id: lease, verb: "revoke a lease" };
    client.write(purpose, "sys/leases/revoke", &[("lease_id", lease)]).map(drop)
}

//! The API of Vault and OpenBao: as whom, and asking.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::text::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::remote::{Answer, Body, Field, Purpose, Remote, RemoteOptions, foreign};

/// Gives the token. Asked before every request, so it may come from a file that an agent renews; an
/// error is words for the operator, without the token.
pub type VaultToken = Box<dyn Fn() -> Result<Secret<String>, String> + Send + Sync>;

/// Gives what is sent to log in, by name. Asked at every login; an error is words for the operator.
pub type LoginFields =
    Box<dyn Fn() -> Result<Vec<(&'static str, Secret<String>)>, String> + Send + Sync>;

/// How young a token has to be that a refusal is not laid to it.
const YOUNG: Duration = Duration::from_secs(5);

/// How a server knows the gateway.
pub enum VaultAuth {
    /// By a token that somebody else looks after.
    Token(VaultToken),
    /// By logging in, again whenever the token from it is near its end.
    Login(VaultLogin),
}

/// A login: AppRole, Kubernetes, JWT.
pub struct VaultLogin {
    /// Where, without `/v1/`: `auth/approle/login`.
    pub path: String,
    /// With what.
    pub fields: LoginFields,
}

/// A server.
pub struct VaultServer {
    /// Address, `https://vault.example:8200`; `http` only on this machine.
    pub address: String,
    /// Namespace, where the server has them.
    pub namespace: Option<String>,
    /// As whom it is asked.
    pub auth: VaultAuth,
    /// Time, tries, certificate authority.
    pub remote: RemoteOptions,
}

/// A token from a login.
struct Token {
    secret: Secret<String>,
    since: Instant,
    /// When another is asked for; `None`: it does not end.
    until: Option<Instant>,
}

/// Asks a server of Vault or OpenBao, as one identity.
pub struct VaultClient {
    namespace: Option<String>,
    auth: VaultAuth,
    /// Held while logging in, so that one login serves all who wait for it.
    token: Mutex<Option<Token>>,
    remote: Remote,
}

impl VaultClient {
    /// Prepares to ask a server; asks for nothing yet. `id` is what errors call it.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): an address without TLS, or a login whose path
    /// cannot be one.
    pub fn new(id: &str, server: VaultServer) -> Result<Self, SealError> {
        let VaultServer { address, namespace, auth, remote } = server;
        if let VaultAuth::Login(login) = &auth
            && !is_path(&login.path)
        {
            let why = "where it logs in is made of letters, digits, `_`, `-`, `.` and `/`";
            return Err(SealError::Unusable { key: id.to_owned(), why: why.to_owned() });
        }
        let remote = Remote::new(id, &address, remote)?;
        Ok(Self { namespace, auth, token: Mutex::default(), remote })
    }

    /// Reads what stands at `path` (`secret/data/appdb`): the JSON of the answer.
    ///
    /// # Errors
    ///
    /// [`SealError::NotThere`] if the server says so; otherwise that it refuses, or cannot be
    /// asked.
    pub fn read(&self, purpose: Purpose<'_>, path: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.answer(purpose, path, Body::NONE)
    }

    /// Writes `fields` to `path`, none of them a secret: the JSON of the answer, empty where there
    /// is none.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn write(
        &self,
        purpose: Purpose<'_>,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let bytes = object(fields.iter().copied());
        self.answer(purpose, path, Body { bytes: &bytes, secrets: &[] })
    }

    fn answer(
        &self,
        purpose: Purpose<'_>,
        path: &str,
        body: Body<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let answer = self.send(purpose, path, body)?;
        match answer.status {
            200 | 204 => Ok(answer.body),
            404 => {
                let key_id = purpose.key_id.to_owned();
                Err(SealError::NotThere { key_id, why: said(&answer) })
            }
            _ => Err(purpose.refused(said(&answer))),
        }
    }

    /// Asks, and once more where a token from a login is not taken any more.
    pub(crate) fn send(
        &self,
        purpose: Purpose<'_>,
        path: &str,
        body: Body<'_>,
    ) -> Result<Answer, SealError> {
        if !is_path(path) {
            let why = format!("`{path}` cannot be a path: letters, digits, `_`, `-`, `.`, `/`");
            return Err(SealError::Unusable { key: purpose.key_id.to_owned(), why });
        }
        let path = format!("/v1/{path}");
        let ask = || self.remote.ask(purpose, &path, || self.fields(purpose), body, passing);
        let answer = ask()?;
        match answer.status == 403 && self.forget() {
            true => ask(),
            false => Ok(answer),
        }
    }

    fn fields(&self, purpose: Purpose<'_>) -> Result<Vec<Field>, SealError> {
        let token = match &self.auth {
            VaultAuth::Token(give) => {
                give().map_err(|why| purpose.refused(format!("there is no token: {why}")))?
            }
            VaultAuth::Login(login) => self.logged_in(login)?,
        };
        let mut fields = self.plain_fields();
        fields.push(Field::secret("x-vault-token", token.expose().trim()));
        Ok(fields)
    }

    fn plain_fields(&self) -> Vec<Field> {
        let mut fields = vec![
            Field::plain("content-type", "application/json"),
            Field::plain("x-vault-request", "true"),
        ];
        let namespace = self.namespace.as_deref();
        fields.extend(namespace.map(|name| Field::plain("x-vault-namespace", name)));
        fields
    }

    fn logged_in(&self, login: &VaultLogin) -> Result<Secret<String>, SealError> {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*held
            && token.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(token.secret.clone());
        }
        let purpose = Purpose { key_id: &login.path, verb: "log in" };
        let fields = (login.fields)().map_err(|why| purpose.refused(why))?;
        let bytes = object(fields.iter().map(|(name, value)| (*name, value.expose().trim())));
        let secrets: Vec<&str> = fields.iter().map(|(_, value)| value.expose().trim()).collect();
        let body = Body { bytes: &bytes, secrets: &secrets };
        let path = format!("/v1/{}", login.path);
        let answer = self.remote.ask(purpose, &path, || Ok(self.plain_fields()), body, passing)?;
        if answer.status != 200 {
            return Err(purpose.refused(said(&answer)));
        }
        let said: LoggedIn<'_> = serde_json::from_slice(&answer.body)
            .map_err(|_| purpose.misanswered("a login answers auth.client_token"))?;
        let secret = Secret::new(said.auth.client_token.to_owned());
        let since = Instant::now();
        // Two thirds: time to ask for another while this one is still good.
        let lasts = Duration::from_secs(said.auth.lease_duration.saturating_mul(2) / 3);
        let until = (!lasts.is_zero()).then(|| since.checked_add(lasts)).flatten();
        *held = Some(Token { secret: secret.clone(), since, until });
        Ok(secret)
    }

    /// Whether there was a token that another login might better.
    fn forget(&self) -> bool {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let old = held.as_ref().is_some_and(|token| token.since.elapsed() > YOUNG);
        if old {
            *held = None;
        }
        old
    }
}

impl fmt::Debug for VaultClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultClient").field("remote", &self.remote).finish()
    }
}

/// Borrows, so that the token is only in the answer, which is wiped.
#[derive(Deserialize)]
struct LoggedIn<'a> {
    #[serde(borrow)]
    auth: Auth<'a>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    client_token: &'a str,
    #[serde(default)]
    lease_duration: u64,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// What an answer says is wrong.
pub(super) fn said(answer: &Answer) -> String {
    let said = match serde_json::from_slice::<Errors>(&answer.body) {
        Ok(said) => said.errors.join("; "),
        Err(_) => foreign(answer),
    };
    answer.words(&format!("{} {said}", answer.status))
}

fn passing(answer: &Answer) -> Option<String> {
    let passes = answer.status == 429 || answer.status >= 500;
    passes.then(|| said(answer))
}

/// Whether it is made of names that need no escaping and lead nowhere else.
pub(super) fn is_path(path: &str) -> bool {
    path.split('/').all(|part| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(plain)
    })
}

/// A JSON object of texts, in memory that is wiped.
fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Zeroizing<Vec<u8>> {
    let fields: Vec<(&str, &str)> = fields.collect();
    // Room from the start: an escape is six letters at most.
    let room = fields.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 8).sum::<usize>();
    let mut json = Zeroizing::new(Vec::with_capacity(room + 2));
    json.push(b'{');
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *json, name);
        json.push(b':');
        let _ = serde_json::to_writer(&mut *json, value);
    }
    json.push(b'}');
    json
}

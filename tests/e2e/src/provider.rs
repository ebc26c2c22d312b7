//! A real identity provider, which the tests start, stop and give new keys.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::place::own;
use crate::process::Child;
use crate::until::until;

/// How long a question to the provider may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running provider; its clients are `robot`, `brief` (whose tokens are good for four seconds)
/// and `stranger`.
#[derive(Debug)]
pub struct Provider {
    folder: tempfile::TempDir,
    issuer: String,
    child: Option<Child>,
}

impl Provider {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("narrows-e2e-provider-").tempdir()?;
        let mut provider = Self { folder, issuer: String::new(), child: None };
        provider.launch()?;
        Ok(provider)
    }

    /// Starts one at which people sign in, to come back to `url`, where the gateway is.
    ///
    /// # Errors
    /// It does not start.
    pub fn for_people(url: &str, people: &Value) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("narrows-e2e-provider-").tempdir()?;
        let mut provider = Self { folder, issuer: String::new(), child: None };
        provider.people(url, people)?;
        provider.launch()?;
        Ok(provider)
    }

    /// Says who there is from now on: `{"ann": {"name": "Ann", "groups": ["dba"]}}`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn people(&self, url: &str, people: &Value) -> Result<()> {
        let text = json!({
            "redirects": [format!("{url}/login/callback")],
            "after": [format!("{url}/")],
            "people": people,
        });
        let (file, beside) = (self.folder.path().join("people"), self.folder.path().join("new"));
        fs::write(&beside, text.to_string())?;
        Ok(fs::rename(beside, file)?)
    }

    /// Starts it again, where it was, with the keys it had.
    ///
    /// # Errors
    /// It does not start.
    pub fn launch(&mut self) -> Result<()> {
        let (port, keys) = (self.folder.path().join("port"), self.folder.path().join("keys"));
        let ready = self.folder.path().join("port.ready");
        let _ = fs::remove_file(&ready);
        let mut node = Command::new("node");
        let people = self.folder.path().join("people");
        node.arg(own("node/provider.js")).args([&port, &keys, &people]);
        node.current_dir(own("node"));
        self.child = Some(Child::start_piped(&mut node)?);
        let port = until("the provider serves", || {
            Ok(fs::read_to_string(&ready).ok().and_then(|text| text.parse::<u16>().ok()))
        })?;
        self.issuer = format!("http://127.0.0.1:{port}");
        Ok(())
    }

    /// Ends it. Its port stays its own until it is launched again.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => {
                child.signal("KILL")?;
                child.end(PATIENCE).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Forgets its keys: the next launch makes others.
    ///
    /// # Errors
    /// There are none yet.
    pub fn forget_keys(&self) -> Result<()> {
        Ok(fs::remove_file(self.folder.path().join("keys"))?)
    }

    /// Its name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// An access token of a client, meant for `narrows`, signed with RSA.
    ///
    /// # Errors
    /// It gives none.
    pub fn token(&self, client: &str) -> Result<String> {
        self.token_for(client, &[])
    }

    /// The same, asked for with more parameters: `resource=urn:other`, `scope=elliptic`.
    ///
    /// # Errors
    /// It gives none.
    pub fn token_for(&self, client: &str, more: &[&str]) -> Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "50", "-u"])
            .arg(format!("{client}:{client}-secret-of-thirty-two-letters"))
            .args(["-d", "grant_type=client_credentials"]);
        for parameter in more {
            curl.args(["-d", parameter]);
        }
        curl.arg(format!("{}/token", self.issuer));
        let said = Child::start_piped(&mut curl)?.output(PATIENCE)?.success()?;
        let said: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
        let token = said.get("access_token").and_then(Value::as_str);
        let token = token.with_context(|| format!("no token: {said}"))?;
        ensure!(token.starts_with("eyJ"), "the provider gave an opaque token: {token}");
        Ok(token.to_owned())
    }
}

//! One test's server and gateway.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::client::Driver;
use crate::config::Config;
use crate::gateway::{Gateway, Token};
use crate::server::Server;
use crate::wire::Wire;

/// A server with the sample data and a gateway in front of it.
#[derive(Debug)]
pub struct Lab {
    /// The gateway.
    pub gateway: Gateway,
    /// The server.
    pub server: Server,
}

/// Runs a test with the sample's rules.
///
/// # Errors
/// Those of the test, with the ends of both logs.
pub fn lab(test: impl FnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    lab_with(&Config::sample(), test)
}

/// Runs a test with this configuration.
///
/// # Errors
/// Those of the test, with the ends of both logs.
pub fn lab_with(config: &Config, test: impl FnOnce(&mut Lab) -> Result<()>) -> Result<()> {
    let server = Server::start()?;
    let gateway = Gateway::start(config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    test(&mut lab).with_context(|| lab.logs())
}

impl Lab {
    /// A raw client of the gateway.
    ///
    /// # Errors
    /// It was not let in.
    pub fn wire(&self, token: &Token) -> Result<Wire> {
        self.wire_to(token, "shop")
    }

    /// A raw client of the gateway, for this resource.
    ///
    /// # Errors
    /// It was not let in.
    pub fn wire_to(&self, token: &Token, resource: &str) -> Result<Wire> {
        Wire::connect(self.gateway.port(), "agent", resource, &token.secret)
    }

    /// Drivers that connect through the gateway.
    #[must_use]
    pub fn driver(&self, token: &Token) -> Driver {
        self.driver_to(token, "shop")
    }

    /// Drivers that connect through the gateway, for this resource.
    #[must_use]
    pub fn driver_to(&self, token: &Token, resource: &str) -> Driver {
        Driver::new(self.gateway.port(), &token.secret, resource)
    }

    /// Has an agent of this name ask one thing and leave; the id of its session, which has ended.
    ///
    /// # Errors
    /// It was not let in, or not answered.
    pub fn asks(&self, name: &str, text: &str) -> Result<String> {
        let mut wire = self.wire(&self.gateway.agent(name)?)?;
        wire.query(text)?;
        drop(wire);
        self.gateway.events_of(name)?;
        let told = self.gateway.session_of(name)?;
        Ok(told.get("id").and_then(Value::as_str).context("an id")?.to_owned())
    }

    /// Whether the server ever saw this text, in any statement.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub fn server_saw(&self, text: &str) -> Result<bool> {
        Ok(self.server.log()?.contains(text))
    }

    fn logs(&self) -> String {
        format!(
            "\n--- the gateway's log ends with ---\n{}\n--- the server's log ends with ---\n{}\n---",
            self.gateway.log_tail(),
            self.server.log_tail(),
        )
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

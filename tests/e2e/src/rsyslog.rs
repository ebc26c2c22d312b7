//! A real syslog server: rsyslog, which writes what it receives into a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use crate::place::port;
use crate::process::Child;
use crate::receiver::events;
use crate::until::until;

/// Where Debian has it, which need not be on the path of those who are not root.
const PROGRAM: &str = "/usr/sbin/rsyslogd";

/// A syslog server over TCP.
#[derive(Debug)]
pub struct Rsyslog {
    folder: TempDir,
    port: u16,
    tls: bool,
    child: Option<Child>,
}

impl Rsyslog {
    /// Starts one: inside TLS, with a certificate of its own authority, or in clear text.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(tls: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut server = Self { folder, port: port()?, tls, child: None };
        if tls {
            certificate(server.folder.path())?;
        }
        server.configure()?;
        server.up()?;
        Ok(server)
    }

    fn configure(&self) -> Result<()> {
        let folder = self.folder.path().display();
        let (files, driver) = match self.tls {
            false => (String::new(), ""),
            true => (
                format!(
                    "defaultNetstreamDriverCAFile=\"{folder}/ca.pem\" \
                     defaultNetstreamDriverCertFile=\"{folder}/cert.pem\" \
                     defaultNetstreamDriverKeyFile=\"{folder}/key.pem\""
                ),
                "StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\"",
            ),
        };
        let property = |name: &str| format!("property(name=\"{name}\" format=\"jsonf\") ");
        let names = ["app-name", "hostname", "msgid", "pri", "procid", "structured-data"];
        let properties: Vec<String> = names.iter().map(|name| property(name)).collect();
        let comma = "constant(value=\",\") ";
        let text = format!(
            "global(workDirectory=\"{folder}\" maxMessageSize=\"8k\" {files})\n\
             module(load=\"imtcp\" {driver})\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{}\")\n\
             template(name=\"lines\" type=\"list\") {{ constant(value=\"{{\") {}{comma}\
             property(name=\"timestamp\" dateFormat=\"rfc3339\" format=\"jsonf\") {comma}\
             property(name=\"msg\" format=\"jsonf\") constant(value=\"}}\\n\") }}\n\
             action(type=\"omfile\" file=\"{folder}/taken\" template=\"lines\")\n",
            self.port,
            properties.join(comma),
        );
        Ok(fs::write(self.folder.path().join("rsyslog.conf"), text)?)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn up(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let mut command = Command::new(PROGRAM);
        command.arg("-n").arg("-f").arg(folder.join("rsyslog.conf"));
        command.arg("-i").arg(folder.join("pid"));
        let child = Child::start_piped(&mut command)
            .context("these tests need rsyslog (apt-get install rsyslog rsyslog-openssl)")?;
        self.child = Some(child);
        until("the syslog server listens", || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", self.port)).ok().map(drop))
        })
    }

    /// Kills it.
    pub fn down(&mut self) {
        self.child = None;
    }

    /// The line of a configuration that names it as a receiver.
    #[must_use]
    pub fn receiver(&self) -> String {
        match self.tls {
            false => format!("{{ syslog: \"tcp://127.0.0.1:{}\" }}", self.port),
            true => format!(
                "{{ syslog: \"tls://localhost:{}\", ca: {{file: \"{}\"}} }}",
                self.port,
                self.folder.path().join("ca.pem").display()
            ),
        }
    }

    /// The messages that it has written, as it understood them.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn taken(&self) -> Result<Vec<Value>> {
        events(&self.folder.path().join("taken"))
    }

    /// The events in these messages.
    ///
    /// # Errors
    /// One of them holds none.
    pub fn events(&self) -> Result<Vec<Value>> {
        let event = |message: &Value| {
            let text = message.get("msg").and_then(Value::as_str).unwrap_or_default();
            serde_json::from_str(text.trim_start()).with_context(|| message.to_string())
        };
        self.taken()?.iter().map(event).collect()
    }
}

/// Writes the certificate of a server on this machine (`cert.pem`, `key.pem`) and that of its
/// authority (`ca.pem`).
pub(crate) fn certificate(folder: &Path) -> Result<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let own = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?
        .signed_by(&key, &authority)?;
    let write = |name: &str, text: String| fs::write(folder.join(name), text);
    write("ca.pem", authority.pem())?;
    write("cert.pem", own.pem())?;
    Ok(write("key.pem", key.serialize_pem())?)
}

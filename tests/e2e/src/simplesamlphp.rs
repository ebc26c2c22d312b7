//! A real identity provider for SAML 2.0: SimpleSAMLphp, in PHP's own web server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::place;
use crate::process::{Child, User, command};
use crate::until::until;

/// Where the package has it.
const PAGES: &str = "/usr/share/simplesamlphp/www";
/// How long a question to it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running provider. Its people are `alice` (of `dba` and `people`) and `bob` (of `people`); their
/// passwords are their names and `-password`.
#[derive(Debug)]
pub struct SimpleSamlPhp {
    _child: Child,
    folder: tempfile::TempDir,
    port: u16,
    service: String,
}

impl SimpleSamlPhp {
    /// Starts one whose people sign in at the gateway at `url`.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(url: &str) -> Result<Self> {
        ensure!(Path::new(PAGES).is_dir(), "SimpleSAMLphp is not installed: run ./test once");
        let folder = tempfile::Builder::new().prefix("narrows-e2e-saml-").tempdir()?;
        for name in ["conf", "metadata", "cert", "log", "data", "tmp", "sessions"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let port = place::port()?;
        fs::write(folder.path().join("conf/config.php"), config(port))?;
        fs::write(folder.path().join("conf/authsources.php"), PEOPLE)?;
        make_key(&folder.path().join("cert"))?;
        let mut php = command("php", User::Own);
        php.env("SIMPLESAMLPHP_CONFIG_DIR", folder.path().join("conf"));
        php.args(["-d", "display_errors=0", "-S", &format!("127.0.0.1:{port}"), "-t", PAGES]);
        let child = Child::start_piped(&mut php)?;
        let provider = Self { _child: child, folder, port, service: url.to_owned() };
        provider.configure("", "")?;
        until("SimpleSAMLphp serves", || Ok(provider.metadata().ok().map(drop)))?;
        Ok(provider)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its name.
    #[must_use]
    pub fn entity_id(&self) -> String {
        format!("{}/idp", self.url())
    }

    /// Where people who did not begin at the gateway would be sent there from.
    #[must_use]
    pub fn own_page(&self) -> String {
        format!("{}/saml2/idp/SSOService.php?spentityid={}/saml/metadata", self.url(), self.service)
    }

    /// Adds options, in PHP, to how it is and to how it treats the gateway.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn configure(&self, own: &str, of_gateway: &str) -> Result<()> {
        let hosted = format!(
            "<?php\n$metadata['{}'] = ['host' => '__DEFAULT__', 'privatekey' => 'idp.key', \
             'certificate' => 'idp.crt', 'auth' => 'people', 'authproc' => [3 => ['class' => \
             'saml:AttributeNameID', 'attribute' => 'mail', 'Format' => \
             'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress']], {own}];\n",
            self.entity_id()
        );
        let remote = format!(
            "<?php\n$metadata['{url}/saml/metadata'] = ['AssertionConsumerService' => \
             '{url}/saml/acs', 'NameIDFormat' => \
             'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress', {of_gateway}];\n",
            url = self.service
        );
        fs::write(self.folder.path().join("metadata/saml20-idp-hosted.php"), hosted)?;
        fs::write(self.folder.path().join("metadata/saml20-sp-remote.php"), remote)?;
        Ok(())
    }

    /// Makes another key and certificate, which it uses from now on.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn change_key(&self) -> Result<()> {
        make_key(&self.folder.path().join("cert"))
    }

    /// The file of its certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert/idp.crt")
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn metadata(&self) -> Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "--max-time", "50"]);
        curl.arg(format!("{}/saml2/idp/metadata.php", self.url()));
        Child::start_piped(&mut curl)?.output(PATIENCE)?.success()
    }
}

/// Makes a key and a certificate of it, as its makers' own guide does.
fn make_key(folder: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]);
    openssl.args(["-subj", "/CN=idp.example", "-keyout"]).arg(folder.join("idp.key"));
    openssl.arg("-out").arg(folder.join("idp.crt"));
    let made = Child::start_piped(&mut openssl)?.output(PATIENCE)?.success();
    made.map(drop).context("make a key with openssl")
}

const PEOPLE: &str = "<?php\n$config = ['people' => ['exampleauth:UserPass',\n\
    'alice:alice-password' => ['uid' => ['alice'], 'mail' => ['alice@example.com'], \
    'groups' => ['dba', 'people']],\n\
    'bob:bob-password' => ['uid' => ['bob'], 'mail' => ['bob@example.com'], \
    'groups' => ['people']],\n]];\n";

fn config(port: u16) -> String {
    format!(
        "<?php\n$here = dirname(__DIR__);\n$config = [\n\
         'baseurlpath' => 'http://127.0.0.1:{port}/',\n\
         'certdir' => \"$here/cert/\", 'loggingdir' => \"$here/log/\",\n\
         'datadir' => \"$here/data/\", 'tempdir' => \"$here/tmp/\",\n\
         'metadatadir' => \"$here/metadata\", 'metadata.sources' => [['type' => 'flatfile']],\n\
         'secretsalt' => 'of-thirty-two-letters-for-a-test', 'auth.adminpassword' => 'nobody-1',\n\
         'timezone' => 'UTC', 'logging.level' => 4, 'logging.handler' => 'file',\n\
         'enable.saml20-idp' => true, 'store.type' => 'phpsession',\n\
         'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],\n\
         'session.phpsession.savepath' => \"$here/sessions\", 'session.cookie.secure' => false,\n\
         'session.cookie.samesite' => null, 'session.cookie.name' => 'SamlSession',\n\
         'session.phpsession.cookiename' => 'SamlPhp', 'session.authtoken.cookiename' => 'SamlAuth',\n\
         'language.default' => 'en', 'production' => false, 'showerrors' => true,\n];\n"
    )
}

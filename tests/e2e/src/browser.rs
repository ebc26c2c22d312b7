//! A real browser: headless Chromium, driven by WebDriver (chromedriver).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::place;
use crate::process::{Child, command};
use crate::until::until;

/// What the flags keep it from: talking to its maker, and anything that a test does not need.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1100,900",
];
/// How an element is called in WebDriver's answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with a profile of its own.
#[derive(Debug)]
pub struct Browser {
    /// Before its folder, which it writes to.
    _driver: Child,
    folder: tempfile::TempDir,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// Chromium and chromedriver are not there, or do not start.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same with more flags.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(flags: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("narrows-e2e-browser-").tempdir()?;
        let port = place::port()?;
        let mut driver: Command = command("chromedriver", crate::process::User::Own);
        driver.arg(format!("--port={port}")).env("HOME", folder.path());
        let driver = Child::start_piped(&mut driver)?;
        let mut browser = Self { _driver: driver, folder, port, session: String::new() };
        until("chromedriver is ready", || {
            let status = browser.call("GET", "/status", None);
            let ready = status.ok().and_then(|status| status.get("ready")?.as_bool());
            Ok(ready.filter(|ready| *ready).map(drop))
        })?;
        let profile =
            format!("--user-data-dir={}", browser.folder.path().join("profile").display());
        let all: Vec<&str> =
            FLAGS.iter().chain(flags).copied().chain(std::iter::once(&*profile)).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": all, "binary": "/usr/bin/chromium" },
        } } });
        let made = browser.call("POST", "/session", Some(&wanted))?;
        let id = made.get("sessionId").and_then(Value::as_str).context("no session")?;
        browser.session = id.to_owned();
        Ok(browser)
    }

    /// Opens an address, and waits until it is loaded.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub fn open(&self, url: &str) -> Result<()> {
        self.ask("POST", "/url", Some(&json!({ "url": url }))).map(drop)
    }

    /// Where it is.
    ///
    /// # Errors
    /// It does not say.
    pub fn url(&self) -> Result<String> {
        text(self.ask("GET", "/url", None)?)
    }

    /// All that is to be read on the page.
    ///
    /// # Errors
    /// There is no page.
    pub fn text(&self) -> Result<String> {
        let body = self.find("body")?;
        text(self.ask("GET", &format!("/element/{body}/text"), None)?)
    }

    /// The page as it came, as far as the browser keeps it.
    ///
    /// # Errors
    /// There is no page.
    pub fn source(&self) -> Result<String> {
        text(self.ask("GET", "/source", None)?)
    }

    /// Clicks on what a CSS selector names, once it is there.
    ///
    /// # Errors
    /// It is not there in time, or cannot be clicked.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.ask("POST", &format!("/element/{element}/click"), Some(&json!({}))).map(drop)
    }

    /// Types into what a CSS selector names, once it is there.
    ///
    /// # Errors
    /// It is not there in time, or takes no text.
    pub fn write(&self, selector: &str, words: &str) -> Result<()> {
        let element = self.find(selector)?;
        let keys = json!({ "text": words });
        self.ask("POST", &format!("/element/{element}/value"), Some(&keys)).map(drop)
    }

    /// The value of an attribute of what a CSS selector names.
    ///
    /// # Errors
    /// It is not there in time.
    pub fn attribute(&self, selector: &str, name: &str) -> Result<String> {
        let element = self.find(selector)?;
        text(self.ask("GET", &format!("/element/{element}/attribute/{name}"), None)?)
    }

    /// Whether there is what a CSS selector names, now.
    ///
    /// # Errors
    /// The browser does not say.
    pub fn has(&self, selector: &str) -> Result<bool> {
        let how = json!({ "using": "css selector", "value": selector });
        let found = self.ask("POST", "/elements", Some(&how))?;
        Ok(found.as_array().is_some_and(|found| !found.is_empty()))
    }

    /// Waits until the page has these words.
    ///
    /// # Errors
    /// It does not get them; what it has is in the message.
    pub fn until_text(&self, words: &str) -> Result<String> {
        let mut last = String::new();
        let seen = until(&format!("the page says {words:?}"), || {
            last = self.text().unwrap_or_default();
            Ok(last.contains(words).then(|| last.clone()))
        });
        let at = self.url().unwrap_or_default();
        seen.with_context(|| format!("at {at} the page says:\n{last}"))
    }

    /// Waits until it is at an address that begins so.
    ///
    /// # Errors
    /// It does not get there.
    pub fn until_at(&self, begin: &str) -> Result<String> {
        let mut last = String::new();
        let there = until(&format!("the browser is at {begin}"), || {
            last = self.url()?;
            Ok(last.starts_with(begin).then(|| last.clone()))
        });
        there.with_context(|| format!("it is at {last}: {}", self.text().unwrap_or_default()))
    }

    /// Its cookies for the page it is at.
    ///
    /// # Errors
    /// It does not say.
    pub fn cookies(&self) -> Result<Vec<Value>> {
        let all = self.ask("GET", "/cookie", None)?;
        Ok(all.as_array().cloned().unwrap_or_default())
    }

    /// The value of a cookie.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn cookie(&self, name: &str) -> Result<String> {
        let all = self.cookies()?;
        let mut named = all.iter().filter(|cookie| cookie.get("name") == Some(&json!(name)));
        let value = named.next().and_then(|cookie| cookie.get("value")?.as_str());
        value.map(str::to_owned).with_context(|| format!("no cookie {name} among {all:?}"))
    }

    /// Gives it a cookie for the page it is at.
    ///
    /// # Errors
    /// It does not take it.
    pub fn set_cookie(&self, name: &str, value: &str) -> Result<()> {
        let cookie = json!({ "cookie": { "name": name, "value": value, "path": "/" } });
        self.ask("POST", "/cookie", Some(&cookie)).map(drop)
    }

    /// Runs a script in the page, as WebDriver does: past the policy of the page.
    ///
    /// # Errors
    /// It fails.
    pub fn script(&self, script: &str) -> Result<Value> {
        self.ask("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// Takes a picture of the page, if `NARROWS_SCREENSHOTS` names a folder for it.
    ///
    /// # Errors
    /// It cannot be taken or written.
    pub fn picture(&self, name: &str) -> Result<()> {
        let Some(folder) = std::env::var_os("NARROWS_SCREENSHOTS") else { return Ok(()) };
        let picture = text(self.ask("GET", "/screenshot", None)?)?;
        let picture = base64::engine::general_purpose::STANDARD.decode(picture)?;
        fs::create_dir_all(&folder)?;
        Ok(fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture)?)
    }

    /// What the browser complained of: policies that were broken, scripts that failed.
    ///
    /// # Errors
    /// It does not say.
    pub fn complaints(&self) -> Result<String> {
        let log = self.ask("POST", "/se/log", Some(&json!({ "type": "browser" })))?;
        Ok(log.to_string())
    }

    fn find(&self, selector: &str) -> Result<String> {
        let how = json!({ "using": "css selector", "value": selector });
        let found = until(&format!("there is {selector}"), || {
            let found = self.call("POST", &self.path("/element"), Some(&how)).ok();
            Ok(found.and_then(|found| Some(found.get(ELEMENT)?.as_str()?.to_owned())))
        });
        found.with_context(|| {
            let at = self.url().unwrap_or_default();
            format!("at {at}: {}", self.source().unwrap_or_default())
        })
    }

    fn path(&self, path: &str) -> String {
        format!("/session/{}{path}", self.session)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.call(method, &self.path(path), body)
    }

    /// Asks chromedriver; what it has to say.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\ncontent-type: \
             application/json\r\ncontent-length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes())?;
        let text = whole(&mut stream)?;
        let said: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let value = said.get("value").cloned().unwrap_or(Value::Null);
        if let Some(error) = value.get("error").and_then(Value::as_str) {
            let words = value.get("message").and_then(Value::as_str).unwrap_or_default();
            bail!("{method} {path}: {error}: {words}");
        }
        Ok(value)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", "", None);
        }
    }
}

/// The body of an answer, by the length that its head says: the connection stays open.
fn whole(stream: &mut TcpStream) -> Result<String> {
    let (mut bytes, mut part) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let head = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(head) = head {
            let text =
                String::from_utf8_lossy(bytes.get(..head).unwrap_or_default()).to_lowercase();
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            let length = fields.find(|(name, _)| *name == "content-length");
            let length = length.and_then(|(_, length)| length.trim().parse::<usize>().ok());
            let length = length.context("an answer without a length")?;
            if let Some(body) = bytes.get(head + 4..head + 4 + length) {
                return Ok(String::from_utf8_lossy(body).into_owned());
            }
        }
        let count = stream.read(&mut part)?;
        ensure!(count > 0, "chromedriver ended in the middle of an answer");
        bytes.extend_from_slice(part.get(..count).unwrap_or_default());
    }
}

fn text(value: Value) -> Result<String> {
    ensure!(value.is_string(), "not a text: {value}");
    Ok(value.as_str().unwrap_or_default().to_owned())
}

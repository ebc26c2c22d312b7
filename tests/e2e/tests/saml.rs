//! People who sign in by SAML 2.0, at a real provider: SimpleSAMLphp. With a real browser, and with
//! a client that follows forms as one does and can send what a browser would not.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{Browser, Child, Config, Gateway, RULES, Server, SimpleSamlPhp, until};
use tempfile::TempDir;

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the page may tell, too.
const ANOTHER: &str = "does not belong to a sign-in that this browser began";

struct Lab {
    gateway: Gateway,
    provider: SimpleSamlPhp,
    server: Server,
    url: String,
}

fn identity(provider: &SimpleSamlPhp, more: &str) -> String {
    format!(
        "identity:\n  saml:\n    - metadata: {{file: idp.xml}}\n      label: Example\n      \
         groups_prefix: \"idp:\"\n      # {}\n{more}  roles:\n    operator: [\"idp:dba\"]\n",
        provider.entity_id()
    )
}

/// A provider, a server, and a gateway at which people sign in by SAML.
fn lab(more: &str) -> Result<Lab> {
    let server = Server::start()?;
    let mut provider = None;
    let mut failed = None;
    let gateway = Gateway::start_with(|ports, folder| {
        let url = format!("http://127.0.0.1:{}", ports.admin);
        let started = SimpleSamlPhp::start(&url).and_then(|started| {
            std::fs::write(folder.join("idp.xml"), started.metadata()?)?;
            Ok(started)
        });
        let identity = match started {
            Ok(started) => identity(provider.insert(started), more),
            Err(error) => {
                failed = Some(error);
                String::new()
            }
        };
        Config::rules(RULES).with(&identity).text(&server.upstream(), ports.admin, ports.postgres)
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let gateway = gateway?;
    let url = format!("http://127.0.0.1:{}", gateway.ports().admin);
    Ok(Lab { gateway, provider: provider.context("a provider")?, server, url })
}

impl Lab {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Takes another configuration, and the provider's metadata of now.
    fn reload(&self, more: &str) -> Result<()> {
        std::fs::write(self.gateway.path("idp.xml"), self.provider.metadata()?)?;
        let ports = self.gateway.ports();
        let config = Config::rules(RULES).with(&identity(&self.provider, more));
        self.gateway.rewrite(&config.text(&self.server.upstream(), ports.admin, ports.postgres))?;
        self.gateway.narrows(&["reload"])?.success().map(drop)
    }

    /// An answer of the provider for somebody who begins at the gateway.
    fn answer(&self, visitor: &Visitor, who: &str) -> Result<Answer> {
        visitor.get(&self.at("/login/saml/0"))?.sign_in(visitor, who)
    }

    /// Refuses an answer: the words of the page say nothing, those of the log what.
    fn refuses(&self, visitor: &Visitor, answer: &Answer, why: &str) -> Result<()> {
        let page = answer.send(visitor)?;
        ensure!(page.status != 200 && !page.text.contains("Sign out"), "{page:?}");
        until(&format!("the log says {why:?}"), || {
            Ok(self.gateway.log().contains(why).then_some(()))
        })
        .with_context(|| self.gateway.log_tail())?;
        ensure!(!page.text.contains(why) || why == ANOTHER, "the page tells why: {page:?}");
        Ok(())
    }
}

/// A client with cookies that goes where it is sent, as a browser does.
struct Visitor {
    folder: TempDir,
}

#[derive(Debug)]
struct Page {
    status: u16,
    url: String,
    text: String,
}

/// What a provider's page sends to the gateway.
#[derive(Clone, Debug)]
struct Answer {
    to: String,
    response: String,
    relay: Option<String>,
}

impl Visitor {
    fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("narrows-e2e-visitor-").tempdir()?;
        Ok(Self { folder })
    }

    fn get(&self, url: &str) -> Result<Page> {
        self.ask(url, &[])
    }

    fn post(&self, url: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let mut words = Vec::new();
        for (name, value) in fields {
            let file = self.folder.path().join(name);
            std::fs::write(&file, value)?;
            words.extend(["--data-urlencode".to_owned(), format!("{name}@{}", file.display())]);
        }
        self.ask(url, &words.iter().map(|word| &**word).collect::<Vec<_>>())
    }

    fn ask(&self, url: &str, more: &[&str]) -> Result<Page> {
        let jar = self.folder.path().join("cookies");
        let mut curl = Command::new("curl");
        curl.args(["-sSL", "--max-time", "50", "-w", "\n%{http_code} %{url_effective}"]);
        curl.arg("-b").arg(&jar).arg("-c").arg(&jar).args(more).arg(url);
        let said = Child::start_piped(&mut curl)?.output(PATIENCE)?.success()?;
        let (text, last) = said.rsplit_once('\n').context("no last line")?;
        let (status, url) = last.split_once(' ').context("no status")?;
        Ok(Page { status: status.parse()?, url: url.to_owned(), text: text.to_owned() })
    }

    /// Forgets everything.
    fn forget(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.folder.path().join("cookies"))?)
    }
}

impl Page {
    /// The value of a field of the form on it.
    fn field(&self, name: &str) -> Option<String> {
        let at = self.text.find(&format!("name=\"{name}\""))?;
        let value = self.text.get(at..)?.split_once("value=\"")?.1.split_once('"')?.0;
        Some(value.replace("&amp;", "&").replace("&quot;", "\""))
    }

    /// Fills in the provider's form; what its page then sends to the gateway.
    fn sign_in(&self, visitor: &Visitor, who: &str) -> Result<Answer> {
        let page = match self.field("AuthState") {
            None => visitor.get(&self.url)?,
            Some(state) => {
                let to = self.url.split('?').next().unwrap_or_default();
                let password = format!("{who}-password");
                let fields = [("username", who), ("password", &*password), ("AuthState", &*state)];
                visitor.post(to, &fields)?
            }
        };
        let response = page.field("SAMLResponse").with_context(|| format!("{page:?}"))?;
        let action = page.text.split("action=\"").nth(1).and_then(|rest| rest.split('"').next());
        let to = action.context("a form without an action")?.to_owned();
        Ok(Answer { to, response, relay: page.field("RelayState") })
    }
}

impl Answer {
    fn send(&self, visitor: &Visitor) -> Result<Page> {
        let mut fields = vec![("SAMLResponse", &*self.response)];
        fields.extend(self.relay.as_deref().map(|relay| ("RelayState", relay)));
        visitor.post(&self.to, &fields)
    }

    fn document(&self) -> Result<String> {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        Ok(String::from_utf8(engine.decode(&self.response)?)?)
    }

    fn with(&self, document: &str) -> Self {
        use base64::Engine as _;
        let response = base64::engine::general_purpose::STANDARD.encode(document);
        Self { response, ..self.clone() }
    }
}

#[test]
fn a_person_signs_in_with_a_browser() -> Result<()> {
    let lab = lab("")?;
    let browser = Browser::start()?;
    browser.open(&lab.at("/"))?;
    browser.click("a.button.main")?;
    browser.write("#username", "alice")?;
    browser.write("#password", "alice-password")?;
    browser.click("#submit_button, button[type=submit], input[type=submit]")?;
    let page = browser.until_text("Sign out")?;
    for words in ["alice@example.com", "idp:dba", "operator", &lab.provider.entity_id()] {
        ensure!(page.contains(words), "{words}: {page}");
    }
    browser.until_at(&lab.at("/"))?;
    browser.picture("saml-home")?;
    let complaints = browser.complaints()?;
    ensure!(!complaints.contains("Content Security Policy"), "{complaints}");
    let names: Vec<_> =
        browser.cookies()?.iter().map(|one| one["name"].as_str().map(str::to_owned)).collect();
    ensure!(!names.iter().flatten().any(|name| name == "narrows-signin"), "{names:?}");
    browser.click("header button")?;
    browser.until_text("Sign in")?;
    Ok(())
}

#[test]
fn a_person_comes_to_the_page_they_wanted_and_may_what_their_groups_may() -> Result<()> {
    let lab = lab("")?;
    let visitor = Visitor::new()?;
    let begun = visitor.get(&lab.at("/login/saml/0?back=/device"))?;
    ensure!(begun.url.starts_with(&lab.provider.url()), "{begun:?}");
    let page = begun.sign_in(&visitor, "bob")?.send(&visitor)?;
    ensure!(page.status == 200 && page.url == lab.at("/device"), "{page:?}");
    let home = visitor.get(&lab.at("/"))?;
    ensure!(home.text.contains("bob@example.com") && home.text.contains("idp:people"), "{home:?}");
    ensure!(!home.text.contains("operator"), "{home:?}");
    let metadata = Visitor::new()?.get(&lab.at("/saml/metadata"))?;
    let acs = format!("Location=\"{}\"", lab.at("/saml/acs"));
    ensure!(metadata.status == 200 && metadata.text.contains(&acs), "{metadata:?}");
    Ok(())
}

#[test]
fn an_answer_is_good_once_and_for_the_browser_that_began() -> Result<()> {
    let lab = lab("")?;
    let (alice, mallory) = (Visitor::new()?, Visitor::new()?);
    let answer = lab.answer(&alice, "alice")?;
    // Mallory's own answer, given to the browser of somebody who began a sign-in, too.
    let other = lab.answer(&mallory, "bob")?;
    lab.refuses(&alice, &other, ANOTHER)?;
    // That took Alice's cookie of the sign-in under way.
    lab.refuses(&alice, &answer, ANOTHER)?;
    lab.refuses(&alice, &answer, "it was used before")?;

    let answer = lab.answer(&alice, "alice")?;
    let page = answer.send(&alice)?;
    ensure!(page.text.contains("Sign out"), "{page:?}");
    lab.refuses(&mallory, &answer, "it was used before")?;
    Ok(())
}

#[test]
fn an_answer_that_was_changed_is_refused() -> Result<()> {
    let lab = lab("")?;
    let visitor = Visitor::new()?;
    let bob = lab.answer(&visitor, "bob")?;
    let document = bob.document()?;
    let forged = document.replace(">people<", ">dba<");
    ensure!(forged != document);
    lab.refuses(&visitor, &bob.with(&forged), "its signature is wrong")?;
    let cut = document.replace("bob@example.com<", "alice@example.com<!-- -->bob@example.com<");
    lab.refuses(&visitor, &bob.with(&cut), "it holds a comment")?;
    // The signed assertion is kept, and another stands before it.
    let begin = document.find("<saml:Assertion").context("no assertion")?;
    let evil = document
        .get(begin..)
        .and_then(|rest| rest.split_inclusive("</saml:Assertion>").next())
        .context("no end")?
        .replace("ID=\"_", "ID=\"_evil")
        .replace(">people<", ">dba<");
    let (head, tail) = document.split_at(begin);
    lab.refuses(&visitor, &bob.with(&format!("{head}{evil}{tail}")), "2 assertions")?;
    // Nothing was changed after all.
    let page = bob.send(&visitor)?;
    ensure!(page.text.contains("Sign out"), "{page:?}");
    Ok(())
}

#[test]
fn either_signature_of_the_provider_is_enough_and_none_is_not() -> Result<()> {
    let lab = lab("")?;
    let visitor = Visitor::new()?;
    for (response, assertion) in [(true, false), (false, true)] {
        let signs =
            format!("'saml20.sign.response' => {response}, 'saml20.sign.assertion' => {assertion}");
        lab.provider.configure("", &signs)?;
        let page = lab.answer(&visitor, "alice")?.send(&visitor)?;
        ensure!(page.text.contains("Sign out"), "{signs}: {page:?}");
        visitor.forget()?;
    }
    let none = "'saml20.sign.response' => false, 'saml20.sign.assertion' => false";
    lab.provider.configure("", none)?;
    let answer = lab.answer(&visitor, "alice")?;
    lab.refuses(&visitor, &answer, "neither it nor its assertion is signed")?;
    visitor.forget()?;
    let sha1 = "'signature.algorithm' => 'http://www.w3.org/2000/09/xmldsig#rsa-sha1'";
    lab.provider.configure(sha1, "")?;
    let answer = lab.answer(&visitor, "alice")?;
    lab.refuses(&visitor, &answer, "SignatureMethod is")?;
    Ok(())
}

#[test]
fn a_provider_that_changes_its_key_is_believed_after_a_reload() -> Result<()> {
    let lab = lab("")?;
    let visitor = Visitor::new()?;
    let page = lab.answer(&visitor, "alice")?.send(&visitor)?;
    ensure!(page.text.contains("Sign out"), "{page:?}");
    lab.provider.change_key()?;
    let other = Visitor::new()?;
    let answer = lab.answer(&other, "alice")?;
    lab.refuses(&other, &answer, "its signature is wrong")?;
    lab.reload("")?;
    let page = lab.answer(&other, "alice")?.send(&other)?;
    ensure!(page.text.contains("Sign out"), "{page:?}");
    // Whoever signed in with the former one has to do so again.
    let page = visitor.get(&lab.at("/"))?;
    ensure!(!page.text.contains("Sign out"), "{page:?}");
    Ok(())
}

#[test]
fn answers_to_no_question_are_taken_where_that_is_configured() -> Result<()> {
    let lab = lab("")?;
    let visitor = Visitor::new()?;
    let answer = visitor.get(&lab.provider.own_page())?.sign_in(&visitor, "alice")?;
    lab.refuses(&visitor, &answer, "it answers no sign-in that was begun here")?;
    lab.reload("      idp_initiated: true\n")?;
    visitor.forget()?;
    let answer = visitor.get(&lab.provider.own_page())?.sign_in(&visitor, "alice")?;
    let page = answer.send(&visitor)?;
    ensure!(page.text.contains("Sign out"), "{page:?}");
    let other = Visitor::new()?;
    lab.refuses(&other, &answer, "it was used before")?;
    Ok(())
}

#[test]
fn the_names_of_groups_come_from_where_the_configuration_says() -> Result<()> {
    let more = "      subject: {attribute: uid}\n      subject_prefix: \"idp/\"\n      \
                groups_attribute: mail\n";
    let lab = lab(more)?;
    let visitor = Visitor::new()?;
    let page = lab.answer(&visitor, "alice")?.send(&visitor)?;
    for words in ["idp/alice", "idp:alice@example.com", "Sign out"] {
        ensure!(page.text.contains(words), "{words}: {page:?}");
    }
    if page.text.contains("idp:dba") {
        bail!("groups of another attribute: {page:?}");
    }
    Ok(())
}

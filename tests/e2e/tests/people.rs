//! People who sign in, with a real browser at a real provider.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Browser, Child, Config, Gateway, Provider, RULES, Response, Server, Wire, until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever may be asked about: a member of dba, who approves and operates; a viewer; nobody special.
fn everybody() -> Value {
    json!({
        "ann": { "name": "Ann Example", "groups": ["dba", "ops", "agents"] },
        "ben": { "name": "Ben <b>Bold</b>", "groups": ["readers"] },
        "cleo": { "groups": [] },
    })
}

struct Lab {
    gateway: Gateway,
    provider: Provider,
    _server: Server,
    url: String,
}

/// A provider, a server, and a gateway at which people sign in; asked about them every second.
fn lab() -> Result<Lab> {
    lab_with("client_id: gateway, client_secret: \"gateway-secret-of-thirty-two-letters\"", "1s")
}

fn lab_with(client: &str, refresh: &str) -> Result<Lab> {
    let server = Server::start()?;
    let mut provider = None;
    let mut failed = None;
    let gateway = Gateway::start_with(|ports, _| {
        let url = format!("http://127.0.0.1:{}", ports.admin);
        let issuer = match Provider::for_people(&url, &everybody()) {
            Ok(started) => provider.insert(started).issuer().to_owned(),
            Err(error) => {
                failed = Some(error);
                String::new()
            }
        };
        let identity = format!(
            "identity:\n  oidc:\n    - {{ issuer: \"{issuer}\", {client} }}\n  login: {{ refresh: \
             {refresh} }}\n  roles:\n    viewer: [readers]\n    operator: [ops]\n"
        );
        let config = Config::rules(RULES).with(&identity);
        config.text(&server.upstream(), ports.admin, ports.postgres)
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let gateway = gateway?;
    let url = format!("http://127.0.0.1:{}", gateway.ports().admin);
    Ok(Lab { gateway, provider: provider.context("a provider")?, _server: server, url })
}

impl Lab {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Signs in from wherever the browser is, which is at the provider or comes there.
    fn sign_in(&self, browser: &Browser, name: &str) -> Result<()> {
        browser.write("#name", name)?;
        browser.click("#login")?;
        browser.click("#consent")
    }

    /// A browser of somebody who is signed in.
    fn browser(&self, name: &str) -> Result<Browser> {
        let browser = Browser::start()?;
        browser.open(&self.at("/login"))?;
        self.sign_in(&browser, name)?;
        browser.until_text("Sign out")?;
        Ok(browser)
    }

    fn deeds(&self, action: &str) -> Result<String> {
        let folder = self.gateway.path("var/journal");
        let mut found = String::new();
        for entry in std::fs::read_dir(folder)? {
            let bytes = std::fs::read(entry?.path())?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for part in text.split("\"kind\":\"admin\"").skip(1) {
                let part: String = part.chars().take(600).collect();
                if part.contains(&format!("\"action\":\"{action}\"")) {
                    found += &part;
                    found.push('\n');
                }
            }
        }
        Ok(found)
    }

    /// Starts a command of somebody with a home of their own; what it says goes into a file there.
    fn start(&self, home: &TempDir, words: &[&str]) -> Result<Child> {
        let mut command = Command::new(e2e::binary()?);
        command.args(words).args(["--url", &self.url]).env("XDG_CONFIG_HOME", home.path());
        command.env("NO_COLOR", "1").env_remove("NARROWS_TOKEN").env_remove("NARROWS_CONFIG");
        command.current_dir(home.path()).stdin(Stdio::null());
        command.stdout(std::fs::File::create(home.path().join("out"))?);
        command.stderr(std::fs::File::create(home.path().join("err"))?);
        Child::start(&mut command)
    }

    /// Runs a command of somebody with a home of their own: its code, and what it said.
    fn narrows(&self, home: &TempDir, words: &[&str]) -> Result<(i32, String)> {
        let status = self.start(home, words)?.end(PATIENCE)?;
        Ok((status.code().unwrap_or(-1), said(home)))
    }

    fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Looks at a page with this cookie, and nothing else of a browser.
    fn get(&self, path: &str, cookie: &str) -> Result<Response> {
        self.gateway.send(("GET", path), &[("host", self.host()), ("cookie", cookie)], "")
    }

    /// Sends a form with these fields, and nothing else of a browser.
    fn post(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Result<Response> {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let all: Vec<_> = [&[("host", self.host()), form][..], fields].concat();
        self.gateway.send(("POST", path), &all, body)
    }
}

/// What a command said so far.
fn said(home: &TempDir) -> String {
    let read = |name| std::fs::read_to_string(home.path().join(name)).unwrap_or_default();
    read("out") + &read("err")
}

/// The first word of what a command says that begins so, once it says it.
fn word(home: &TempDir, begin: &str) -> Result<String> {
    until(&format!("the command says {begin}"), || {
        let said = said(home);
        // Not while it is being written.
        let mut words = said.split_inclusive(char::is_whitespace);
        let whole =
            words.find(|word| word.starts_with(begin) && word.ends_with(char::is_whitespace));
        Ok(whole.map(|word| word.trim().to_owned()))
    })
}

fn home() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("narrows-e2e-home-").tempdir()?)
}

#[test]
fn a_person_signs_in_approves_on_the_page_and_signs_out() -> Result<()> {
    let lab = lab()?;
    let browser = Browser::start()?;
    browser.open(&lab.at("/"))?;
    browser.until_text("Sign in to see and answer")?;
    browser.picture("home-anonymous")?;
    browser.click("a.button.main")?;
    lab.sign_in(&browser, "ann")?;
    let home = browser.until_text("Nothing waits for you")?;
    for words in ["Ann Example", "ann", "dba", "operator", lab.provider.issuer()] {
        ensure!(home.contains(words), "{words}: {home}");
    }
    browser.picture("home")?;

    // Somebody waits for an answer.
    let agent = lab.gateway.agent("reader")?;
    let mut wire = Wire::connect(lab.gateway.port(), "x", "shop", &agent.secret)?;
    ensure!(wire.query("select name from customers where id = 7")?.error().is_none());
    wire.ask("SELECT id, name, email FROM customers WHERE id <= 50000")?;
    let id = lab.gateway.pending()?;
    browser.open(&lab.at("/"))?;
    browser.until_text("reader")?;
    browser.picture("home-waiting")?;
    browser.click("a.row")?;
    let page = browser.until_text("Why a person is asked")?;
    for words in [
        "reader",
        "shop",
        "SELECT id, name, email FROM customers WHERE id <= 50000",
        "big-reads",
        "public.customers",
        "What the session did before",
        "select name from customers where id = 7",
    ] {
        ensure!(page.contains(words), "{words}: {page}");
    }
    browser.picture("approval")?;
    browser.write("#why-yes", "quarterly report")?;
    browser.click("button.yes")?;
    browser.until_text("approved")?;
    browser.picture("approval-answered")?;
    let reply = wire.until_ready()?;
    ensure!(reply.error().is_none() && reply.rows().len() == 50_000, "{:?}", reply.error());
    let shown = lab.gateway.api("GET", &format!("/api/v1/approvals/{id}"), None, None)?.text;
    ensure!(shown.contains("\"by\":\"ann\"") && shown.contains("quarterly report"), "{shown}");

    // And is told no the next time.
    wire.ask("SELECT id, name FROM customers WHERE id <= 40000")?;
    let id = lab.gateway.pending()?;
    browser.open(&lab.at(&format!("/approvals/{id}")))?;
    browser.write("#why-no", "enough now")?;
    browser.click("button.no")?;
    browser.until_text("denied")?;
    let error = wire.until_ready()?.error().context("it was not refused")?;
    ensure!(error.message.contains("enough now"), "{error:?}");

    // Nothing of the pages wants what their policy forbids.
    let complaints = browser.complaints()?;
    ensure!(!complaints.contains("Content Security Policy"), "{complaints}");
    let cookie = browser.cookie("narrows")?;
    browser.click("header button")?;
    browser.until_at(lab.provider.issuer()).context("the provider asks, too")?;
    browser.click("button[name=logout], button[value=yes], button[autofocus]")?;
    browser.until_at(&lab.at("/"))?;
    browser.until_text("Sign in")?;
    let back = lab.get("/", &format!("narrows={cookie}"))?;
    ensure!(!back.text.contains("Ann Example"), "the cookie is good for nothing");
    for action in ["login.begin", "login.end", "session.read", "approval.approve"] {
        let found = lab.deeds(action)?;
        ensure!(found.contains("\"actor\":\"ann\""), "{action}: {found}");
    }
    let log = lab.gateway.log();
    ensure!(!log.contains(&cookie), "no cookie is logged");
    Ok(())
}

#[test]
fn narrows_login_brings_a_token_from_the_browser() -> Result<()> {
    let lab = lab()?;
    let (home, browser) = (home()?, Browser::start()?);
    let mut login = lab.start(&home, &["login"])?;
    browser.open(&word(&home, &lab.url)?)?;
    lab.sign_in(&browser, "ann")?;
    let page = browser.until_text("Let narrows act for you?")?;
    ensure!(page.contains("Ann Example"), "{page}");
    browser.picture("command")?;
    browser.click("main button.main")?;
    browser.until_text("You are signed in. You can close this page.")?;
    let ended = login.end(PATIENCE)?;
    ensure!(ended.success() && said(&home).contains("as ann"), "{}", said(&home));
    let complaints = browser.complaints()?;
    ensure!(!complaints.contains("form-action"), "{complaints}");

    let file = home.path().join("narrows/credentials.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file)?.permissions());
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let token = kept.get(&lab.url).and_then(|kept| kept.get("token")?.as_str());
    let token = token.context("a token")?.to_owned();
    ensure!(token.starts_with("nrw_") && !lab.gateway.log().contains(&token));

    // Every command is hers now: her role, her access, her name in the record.
    let (code, who) = lab.narrows(&home, &["whoami"])?;
    ensure!(code == 0 && who.contains("ann (person)"), "{who}");
    for words in ["operator", "dba", lab.provider.issuer(), "lt_"] {
        ensure!(who.contains(words), "{words}: {who}");
    }
    let (code, said) = lab.narrows(&home, &["token", "create", "bot", "--group", "agents"])?;
    ensure!(code == 0, "{said}");
    ensure!(lab.deeds("token.create")?.contains("\"actor\":\"ann\""));
    let mut wire = Wire::connect(lab.gateway.port(), "ann", "shop", &token)?;
    ensure!(wire.query("select 1")?.error().is_none());
    // What her role does not allow is refused by its name.
    let refused =
        lab.gateway.api("POST", "/api/v1/audit/reindex", Some(&token), Some(&json!({})))?;
    ensure!(refused.status == 403 && refused.text.contains("needs the role admin"), "{refused:?}");
    until("the refusal is recorded", || {
        Ok(lab.deeds("role.refused")?.contains("\"actor\":\"ann\"").then_some(()))
    })?;

    // The page shows the token, and signing out here ends it and its session.
    browser.open(&lab.at("/"))?;
    browser.until_text("Programs that act for you")?;
    browser.picture("home-with-programs")?;
    let elsewhere = lab.browser("ann")?;
    elsewhere.open(&lab.at("/"))?;
    elsewhere.until_text("Signed in elsewhere")?;
    elsewhere.until_text("from another sign-in")?;
    elsewhere.picture("home-elsewhere")?;
    let (code, said) = lab.narrows(&home, &["logout"])?;
    ensure!(code == 0 && said.contains("signed out"), "{said}");
    wire.until_closed()?;
    let gone = lab.gateway.api("GET", "/api/v1/whoami", Some(&token), None)?;
    ensure!(gone.status == 401, "{gone:?}");
    let (code, said) = lab.narrows(&home, &["whoami"])?;
    ensure!(code == 1 && said.contains("narrows login"), "{said}");
    Ok(())
}

#[test]
fn a_device_without_a_browser_gets_its_token_by_a_code() -> Result<()> {
    let lab = lab()?;
    let browser = lab.browser("cleo")?;
    let (first, second) = (home()?, home()?);
    let mut login = lab.start(&first, &["login", "--device"])?;
    let page = word(&first, &lab.at("/device"))?;
    let whole = word(&first, &lab.at("/device?user_code="))?;
    let code = whole.rsplit('=').next().unwrap_or_default().to_owned();
    browser.open(&page)?;
    browser.picture("device-empty")?;
    browser.write("#user_code", "BCDF-GHJK")?;
    browser.click("main button.main")?;
    browser.until_text("No device waits with this code")?;
    browser.open(&page)?;
    browser.write("#user_code", &code.to_lowercase().replace('-', " "))?;
    browser.click("main button.main")?;
    browser.until_text("Let this device act for you?")?;
    browser.picture("device")?;
    browser.click("button[value=yes]")?;
    browser.until_text("The device may act for you now")?;
    browser.picture("device-done")?;
    ensure!(login.end(PATIENCE)?.success(), "{}", said(&first));
    let (code_of, who) = lab.narrows(&first, &["whoami"])?;
    ensure!(code_of == 0 && who.contains("cleo (person)") && who.contains("none"), "{who}");
    // The code is used up.
    browser.open(&whole)?;
    browser.until_text("No device waits with this code")?;

    let mut login = lab.start(&second, &["login", "--device"])?;
    browser.open(&word(&second, &lab.at("/device?user_code="))?)?;
    browser.click("button[value=no]")?;
    browser.until_text("The device gets nothing")?;
    ensure!(!login.end(PATIENCE)?.success());
    ensure!(said(&second).contains("said no"), "{}", said(&second));
    Ok(())
}

#[test]
fn devices_are_answered_as_rfc_8628_says() -> Result<()> {
    let lab = lab()?;
    let given = lab.post("/oauth/device_authorization", &[], "device_name=box")?.json();
    let code = given.get("device_code").and_then(Value::as_str).context("a code")?;
    ensure!(given.get("interval") == Some(&json!(5)), "{given}");
    let ask = |code: &str| -> Result<String> {
        let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
        let said = lab.post("/oauth/token", &[], &format!("{grant}&device_code={code}"))?;
        ensure!(said.status == 400, "{said:?}");
        let error = said.json().get("error").and_then(Value::as_str).map(str::to_owned);
        error.with_context(|| said.text.clone())
    };
    ensure!(ask(code)? == "authorization_pending");
    ensure!(ask(code)? == "slow_down", "it asks at once again");
    ensure!(ask("made-up")? == "expired_token");
    let said = lab.post("/oauth/token", &[], "grant_type=password&username=a&password=b")?;
    ensure!(said.text.contains("unsupported_grant_type"), "{said:?}");
    let page = lab.post("/oauth/token", &[("origin", "https://evil.example")], "grant_type=x")?;
    ensure!(page.status == 403, "{page:?}");
    let long =
        lab.post("/oauth/device_authorization", &[], &format!("device_name={}", "a".repeat(81)))?;
    ensure!(long.text.contains("invalid_request"), "{long:?}");
    Ok(())
}

#[test]
fn a_group_that_is_taken_away_counts_no_more_after_the_next_refresh() -> Result<()> {
    let lab = lab()?;
    let (home, browser) = (home()?, lab.browser("ann")?);
    let mut login = lab.start(&home, &["login"])?;
    browser.open(&word(&home, &lab.url)?)?;
    browser.click("main button.main")?;
    ensure!(login.end(PATIENCE)?.success(), "{}", said(&home));
    let file = std::fs::read(home.path().join("narrows/credentials.json"))?;
    let kept: Value = serde_json::from_slice(&file)?;
    let token = kept.get(&lab.url).and_then(|kept| kept.get("token")?.as_str());
    let token = token.context("a token")?.to_owned();
    let who = || lab.gateway.api("GET", "/api/v1/whoami", Some(&token), None);
    let mut wire = Wire::connect(lab.gateway.port(), "ann", "shop", &token)?;
    ensure!(wire.query("select 1")?.error().is_none());
    ensure!(who()?.text.contains("operator"));

    let fewer = json!({ "ann": { "name": "Ann Example", "groups": ["dba"] } });
    lab.provider.people(&lab.url, &fewer)?;
    let last = wire.until_closed()?.error().context("it ended without a word")?;
    ensure!(last.message.contains("groups of its person changed"), "{last:?}");
    let said = who()?;
    ensure!(said.status == 200 && said.text.contains("\"role\":null"), "{said:?}");
    let refused = Wire::connect(lab.gateway.port(), "ann", "shop", &token);
    ensure!(format!("{:#}", refused.err().context("she was let in")?).contains("no access line"));
    let refused = lab.gateway.api("GET", "/api/v1/tokens", Some(&token), None)?;
    ensure!(refused.text.contains("ann has no role; this needs the role operator"), "{refused:?}");
    browser.open(&lab.at("/"))?;
    let page = browser.until_text("none: you answer what the rules ask")?;
    ensure!(!page.contains("operator"), "{page}");
    ensure!(lab.deeds("login.groups")?.contains("\"actor\":\"ann\""));

    // Somebody who is not there any more is signed out, with everything of theirs.
    lab.provider.people(&lab.url, &json!({}))?;
    until("the login has ended", || Ok((who()?.status == 401).then_some(())))?;
    browser.open(&lab.at("/"))?;
    browser.until_text("Sign in to see and answer")?;
    ensure!(lab.deeds("login.end")?.contains("the provider ended it"));
    Ok(())
}

#[test]
fn a_provider_that_is_down_locks_out_nobody_who_is_signed_in() -> Result<()> {
    let mut lab = lab()?;
    let browser = lab.browser("ben")?;
    lab.provider.stop()?;
    until("the log says so", || {
        let words = "a provider cannot be asked about people who are signed in";
        Ok(lab.gateway.log().contains(words).then_some(()))
    })?;
    browser.open(&lab.at("/"))?;
    let page = browser.until_text("The identity provider cannot be asked about you")?;
    // What he calls himself is text.
    ensure!(page.contains("Ben <b>Bold</b>") && page.contains("viewer"), "{page}");
    browser.picture("home-provider-down")?;
    ensure!(lab.deeds("login.refresh_fail")?.contains("provider_unreachable"));
    // Nobody new gets in: what is known of the provider leads there, and nobody answers.
    ensure!(Browser::start()?.open(&lab.at("/login")).is_err());
    Ok(())
}

#[test]
fn a_public_client_signs_people_in_and_a_refusal_is_said() -> Result<()> {
    let lab = lab_with("client_id: public", "5m")?;
    let browser = Browser::start()?;
    browser.open(&lab.at("/login"))?;
    browser.write("#name", "cleo")?;
    browser.click("#login")?;
    browser.click("#refuse")?;
    browser.until_text("The identity provider did not sign you in.")?;
    browser.picture("refused")?;
    ensure!(lab.deeds("login.fail")?.contains("denied_by_provider"));
    browser.open(&lab.at("/login"))?;
    browser.click("#consent")?;
    browser.until_text("cleo")?;
    Ok(())
}

#[test]
fn p7_what_was_not_begun_here_signs_nobody_in() -> Result<()> {
    let lab = lab()?;
    let browser = Browser::start()?;
    // A state that nobody gave out, with and without a sign-in under way.
    browser.open(&lab.at("/login/callback?code=made-up&state=made-up"))?;
    browser.until_text("does not belong to a sign-in that this browser began")?;
    browser.picture("forged-state")?;
    browser.open(&lab.at("/login"))?;
    browser.until_at(lab.provider.issuer())?;
    browser.open(&lab.at("/login/callback?code=made-up&state=made-up"))?;
    browser.until_text("does not belong to a sign-in that this browser began")?;

    // The answer to one browser's question is none to another's, and is good once.
    browser.open(&lab.at("/login"))?;
    let asked = browser.until_at(lab.provider.issuer())?;
    ensure!(asked.contains("/interaction/"), "{asked}");
    let signing = browser_cookie_of(&lab, "/login")?;
    let (cookie, to) = signing;
    for wanted in ["code_challenge_method=S256", "nonce=", "state=", "response_type=code"] {
        ensure!(to.contains(wanted), "{wanted}: {to}");
    }
    let state = to.split("state=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or("");
    let iss = "iss=http%3A%2F%2Fevil.example";
    let path = format!("/login/callback?code=x&state={state}&{iss}");
    let said = lab.get(&path, &cookie)?;
    ensure!(said.status == 403 && said.text.contains("another identity provider"), "{said:?}");
    let path = format!("/login/callback?code=x&state={state}");
    let said = lab.get(&path, &cookie)?;
    ensure!(said.status == 403 && said.text.contains("another identity provider"), "no iss");
    let iss: String = lab.provider.issuer().replace(':', "%3A").replace('/', "%2F");
    let path = format!("/login/callback?code=x&state={state}&iss={iss}");
    let said = lab.get(&path, &cookie)?;
    ensure!(said.status == 403 && said.text.contains("did not take the code"), "{said:?}");
    let damaged = cookie.replace('a', "b");
    let said = lab.get(&path, &damaged)?;
    ensure!(said.status == 400 && said.text.contains("does not belong"), "{said:?}");
    let found = lab.deeds("login.fail")?;
    for class in ["state", "issuer", "code_refused"] {
        ensure!(found.contains(&format!("\"detail\":\"{class}, from 127.0.0.1\"")), "{class}");
    }

    // Whoever signs in comes back to this gateway, whatever the address said.
    let home = lab.browser("cleo")?;
    for evil in ["https://evil.example", "//evil.example", "/%5Cevil.example"] {
        home.open(&lab.at(&format!("/login?back={evil}")))?;
        ensure!(home.url()? == lab.at("/"), "{evil}: {}", home.url()?);
    }
    let other_host = [("host", "evil.example")];
    let said = lab.gateway.send(("GET", "/x"), &other_host, "")?;
    ensure!(said.status != 200, "{said:?}");
    let said = lab.gateway.send(("GET", "/"), &other_host, "")?;
    ensure!(said.field("location") == Some(&*lab.at("/")), "{said:?}");
    Ok(())
}

/// The cookie of a sign-in under way that is begun at this path, and where it leads.
fn browser_cookie_of(lab: &Lab, path: &str) -> Result<(String, String)> {
    let said = lab.get(path, "")?;
    let cookie = said.field("set-cookie").context("a cookie")?;
    ensure!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    Ok((cookie, said.field("location").context("a place")?.to_owned()))
}

#[test]
fn p7_an_answer_of_the_provider_is_good_once_and_for_one_browser() -> Result<()> {
    let lab = lab()?;
    let browser = lab.browser("cleo")?;
    // She is signed in there; the answer comes to her browser, and is taken here.
    let (cookie, to) = browser_cookie_of(&lab, "/login")?;
    browser.set_cookie("narrows-signin", "x")?;
    browser.open(&to)?;
    browser.click("#consent")?;
    browser.until_text("That did not work").context("another browser's answer signs nobody in")?;
    let answer = browser.url()?;
    let path = answer.strip_prefix(&*lab.url).context("it came back")?;
    let said = lab.get(path, &cookie)?;
    ensure!(said.status == 303, "the one who asked: {said:?}");
    let fresh = said.head.clone();
    ensure!(fresh.contains("set-cookie: narrows="), "{fresh}");
    let said = lab.get(path, &cookie)?;
    ensure!(said.status == 403 && said.text.contains("did not take the code"), "twice: {said:?}");
    Ok(())
}

#[test]
fn p7_a_cookie_from_before_stands_for_nobody_afterwards() -> Result<()> {
    let lab = lab()?;
    let browser = Browser::start()?;
    browser.open(&lab.at("/"))?;
    let planted = "A".repeat(43);
    browser.set_cookie("narrows", &planted)?;
    browser.open(&lab.at("/login"))?;
    lab.sign_in(&browser, "ann")?;
    browser.until_text("Sign out")?;
    let own = browser.cookie("narrows")?;
    ensure!(own != planted);
    ensure!(!lab.get("/", &format!("narrows={planted}"))?.text.contains("Ann"));
    ensure!(lab.get("/", &format!("narrows={own}"))?.text.contains("Ann Example"));
    // Signing in again changes it once more, and the former one is nobody's.
    browser.open(&lab.at("/login?with=0"))?;
    browser.click("#consent")?;
    until("there is another cookie", || {
        Ok(browser.cookie("narrows").ok().filter(|now| *now != own))
    })?;
    ensure!(!lab.get("/", &format!("narrows={own}"))?.text.contains("Ann"));
    // Two of a name are none; and no route of the API takes one.
    let now = browser.cookie("narrows")?;
    let both = format!("narrows={planted}; narrows={now}");
    ensure!(!lab.get("/", &both)?.text.contains("Ann"));
    let api = lab.get("/api/v1/whoami", &format!("narrows={now}"))?;
    ensure!(api.status == 401, "{api:?}");
    let all = browser.cookies()?;
    let cookie = all.iter().find(|cookie| cookie.get("name") == Some(&json!("narrows")));
    let cookie = cookie.context("a cookie")?;
    ensure!(cookie.get("httpOnly") == Some(&json!(true)), "{cookie}");
    ensure!(cookie.get("sameSite") == Some(&json!("Lax")), "{cookie}");
    Ok(())
}

#[test]
fn p7_forms_of_other_sites_and_without_their_word_change_nothing() -> Result<()> {
    let lab = lab()?;
    let browser = lab.browser("ann")?;
    let agent = lab.gateway.agent("reader")?;
    let mut wire = Wire::connect(lab.gateway.port(), "x", "shop", &agent.secret)?;
    wire.ask("SELECT id, name FROM customers WHERE id <= 50000")?;
    let id = lab.gateway.pending()?;
    let page = format!("/approvals/{id}");
    browser.open(&lab.at(&page))?;
    let word = browser.attribute("form[action$=approve] input[name=csrf]", "value")?;
    let cookie = format!("narrows={}", browser.cookie("narrows")?);
    let other = lab.browser("ben")?;
    let others = other.attribute("header input[name=csrf]", "value")?;
    let (origin, good) = (lab.url.as_str(), format!("csrf={word}&scope=rule"));
    let path = format!("{page}/approve");
    let send = |fields: &[(&str, &str)], body: &str| {
        let all: Vec<_> = [&[("cookie", &*cookie)][..], fields].concat();
        lab.post(&path, &all, body)
    };
    for (what, fields, body) in [
        ("no origin", &[][..], &*good),
        ("a foreign origin", &[("origin", "https://evil.example")], &good),
        ("no origin to speak of", &[("origin", "null")], &good),
        ("a page of another site", &[("origin", origin), ("sec-fetch-site", "cross-site")], &good),
        ("a page beside it", &[("origin", origin), ("sec-fetch-site", "same-site")], &good),
        ("no word", &[("origin", origin)], "scope=rule"),
        ("another's word", &[("origin", origin)], &format!("csrf={others}&scope=rule")),
        ("two words", &[("origin", origin)], &format!("csrf=x&{good}")),
    ] {
        let said = send(fields, body)?;
        ensure!([400, 403].contains(&said.status), "{what}: {said:?}");
        let advised = ["Open ", "Go back", "once"].iter().any(|it| said.text.contains(it));
        ensure!(advised, "{what} says what to do: {}", said.text);
    }
    let state = || -> Result<String> {
        let path = format!("/api/v1/approvals/{id}");
        Ok(lab.gateway.api("GET", &path, None, None)?.text)
    };
    ensure!(state()?.contains("\"status\":\"pending\""), "{}", state()?);
    // The same by a real browser at another site.
    let html = format!(
        "<form method=post action='{}{path}'><input name=csrf value='{word}'><button \
         id=go>x</button></form>",
        lab.url
    );
    let encoded = html.replace('%', "%25").replace('#', "%23");
    browser.open(&format!("data:text/html,{encoded}"))?;
    browser.click("#go")?;
    browser.until_at(&lab.at(&page))?;
    ensure!(state()?.contains("\"status\":\"pending\""), "{}", state()?);
    let said = send(&[("origin", origin), ("sec-fetch-site", "same-origin")], &good)?;
    ensure!(said.status == 303, "what is whole counts: {said:?}");
    ensure!(state()?.contains("\"status\":\"approved\""), "{}", state()?);
    Ok(())
}

#[test]
fn pages_are_strict_about_what_browsers_may_do() -> Result<()> {
    let lab = lab()?;
    for path in ["/", "/login/callback", "/device"] {
        let said = lab.get(path, "")?;
        let policy = said.field("content-security-policy").context("a policy")?;
        ensure!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
        ensure!(policy.contains("frame-ancestors 'none'"), "{policy}");
        ensure!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
        ensure!(said.field("x-frame-options") == Some("DENY"), "{said:?}");
        ensure!(said.field("cache-control") == Some("no-store"), "{said:?}");
        ensure!(!said.text.contains("<script") && !said.text.contains("style="), "{}", said.text);
    }
    // A viewer reads and does nothing else; nobody special sees nothing of it.
    let (ben, cleo) = (lab.browser("ben")?, lab.browser("cleo")?);
    let agent = lab.gateway.agent("reader")?;
    let mut wire = Wire::connect(lab.gateway.port(), "x", "shop", &agent.secret)?;
    wire.ask("SELECT id, name FROM customers WHERE id <= 50000")?;
    let id = lab.gateway.pending()?;
    let page = lab.at(&format!("/approvals/{id}"));
    ben.open(&page)?;
    ben.until_text("the groups that its rules name answer it")?;
    ensure!(!ben.has("button.yes")?);
    cleo.open(&page)?;
    cleo.until_text("There is no approval request")?;
    // In the dark it is dark.
    let dark = Browser::start_with(&[
        "--force-dark-mode",
        "--enable-features=WebContentsForceDark:inversion_method/none",
    ])?;
    dark.open(&lab.at("/login"))?;
    lab.sign_in(&dark, "ann")?;
    dark.until_text("Sign out")?;
    dark.open(&page)?;
    dark.until_text("Say yes")?;
    dark.picture("approval-dark")?;
    Ok(())
}

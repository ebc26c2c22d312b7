//! People who sign in: at an OpenID provider, or by another method that ends in
//! [`People::signed_in`].
//!
//! A sign-in under way is kept nowhere here: what has to be known when the browser comes back is
//! sealed in a cookie of that browser, so that any gateway of the installation can go on with it,
//! and nobody else's browser can. What begins then, a *login*, is in the state database
//! ([`store::Logins`]). A thread asks providers again about everybody who is signed in.

mod attempts;
mod client;
mod codes;
mod renewing;
mod words;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use model::event::EVENT_VERSION;
use model::limit::LOGINS_EACH_MAX;
use model::{Event, EventBody, Secret, Timestamp, TokenId};
use serde::{Deserialize, Serialize};
use store::{Journal, Login, LoginKey, Logins, LoginsError, NewLogin};
use url::Url;

pub use attempts::{Attempts, network};
pub use client::challenge;
pub use codes::{Device, DeviceAsked, Exchange, Wish};
pub use words::{NotGranted, NotSignedIn};

use crate::plan::{ClientPlan, Role, SignInPlan};
use crate::proofs::Proofs;
use client::Client;

/// Where providers send browsers back to.
const CALLBACK: &str = "/login/callback";
/// What a sign-in under way is sealed for.
const UNDER_WAY: &str = "sign-in under way";
/// How long somebody may take to sign in at the provider.
const TAKES: Duration = Duration::from_secs(600);
/// Longest local address to come back to.
const RETURN_CHARS_MAX: usize = 500;
/// Sign-ins of one place that may fail in a minute.
const FAILED_MAX: u32 = 20;
/// Device codes that one place is given in a minute.
const ASKED_MAX: u32 = 10;

/// Everybody who signs in, and how.
pub struct People {
    proofs: Arc<Proofs>,
    logins: Arc<Logins>,
    journal: Arc<Journal>,
    gateway: Arc<str>,
    now: fn() -> Timestamp,
    set: ArcSwapOption<Set>,
    attempts: Attempts,
    /// Failures that were logged and recorded.
    told: Attempts,
    /// Codes that were typed wrong, tokens that were asked for with wrong codes.
    guesses: Attempts,
    /// Device codes that were asked for.
    asked: Attempts,
}

/// What is configured.
struct Set {
    plan: SignInPlan,
    clients: Vec<Arc<Client>>,
}

/// A way to sign in, for the page that lists them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Method {
    /// What it is called.
    pub label: String,
    /// Where it begins; a query may be added.
    pub path: String,
}

/// A sign-in under way.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser is to go.
    pub to: Url,
    /// The cookie it has to bring back.
    pub cookie: Secret<String>,
}

/// What a browser brings back from a provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// `state`
    pub state: Option<&'a str>,
    /// `code`
    pub code: Option<&'a str>,
    /// `iss`
    pub iss: Option<&'a str>,
    /// `error`
    pub error: Option<&'a str>,
    /// The cookie of the sign-in under way.
    pub cookie: Option<&'a str>,
}

/// What any sign-in method knows in the end.
#[derive(Debug)]
pub struct SignedIn {
    /// The method, the same at every sign-in and gateway: `oidc:https://idp.example`.
    pub method: String,
    /// What they were believed by, in the words of [`Logins::honour`].
    pub believed_by: String,
    /// Who.
    pub subject: Arc<str>,
    /// What they are called.
    pub name: Option<Arc<str>>,
    /// Their groups.
    pub groups: Vec<Arc<str>>,
    /// Who vouches, by name: the provider.
    pub issuer: Arc<str>,
    /// When the provider wants it to end.
    pub until: Option<Timestamp>,
    /// What is needed to ask again; kept sealed.
    pub keep: Option<Secret<String>>,
}

/// Somebody signed out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedOut {
    /// Where the browser is to go so that the provider signs them out too, if it says where.
    pub to: Option<Url>,
    /// The registry knows it. Else it holds in this process, until the registry can be written.
    pub is_kept: bool,
}

/// What somebody should know about their own login.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LoginNotice {
    /// The provider could not be asked since then, and why.
    pub unconfirmed_since: Option<Timestamp>,
    /// It is not asked again at all.
    pub never_asked: bool,
}

/// What is sealed in the cookie of a sign-in under way.
#[derive(Deserialize, Serialize)]
struct UnderWay {
    method: String,
    state: String,
    nonce: String,
    verifier: String,
    back: String,
    until: u64,
}

impl People {
    /// Nobody, until [`Self::configure`].
    #[must_use]
    pub fn new(
        proofs: Arc<Proofs>,
        journal: Arc<Journal>,
        gateway: Arc<str>,
        now: fn() -> Timestamp,
    ) -> Arc<Self> {
        let logins = Arc::clone(proofs.logins());
        Arc::new(Self {
            proofs,
            logins,
            journal,
            gateway,
            now,
            set: ArcSwapOption::empty(),
            attempts: Attempts::new(FAILED_MAX),
            told: Attempts::new(FAILED_MAX),
            guesses: Attempts::new(FAILED_MAX),
            asked: Attempts::new(ASKED_MAX),
        })
    }

    /// Lets people sign in at these providers and no others, from now on. Their issuers are
    /// believed already ([`Proofs::believe`]). Logins by a method that was configured here and is
    /// gone, or configured otherwise, end. Those that began under another configuration, before a
    /// start or at another gateway, stand for nobody here ([`Logins::honour`]).
    ///
    /// # Errors
    /// One of them cannot be used, and why; then nothing has changed. The operator's fault.
    pub fn configure(&self, plan: SignInPlan, clients: Vec<ClientPlan>) -> Result<(), String> {
        let before = self.set.load_full();
        let known = before.iter().flat_map(|set| &set.clients);
        let mut ready = Vec::new();
        for client in clients {
            if let Some(same) = known.clone().find(|known| known.plan == client) {
                ready.push(Arc::clone(same));
                continue;
            }
            let name = &client.issuer.issuer;
            let issuer = self.proofs.issuer(&client.issuer);
            let issuer = issuer.ok_or_else(|| format!("identity.oidc: {name} is not believed"))?;
            let made = Client::new(client.clone(), issuer);
            ready.push(Arc::new(made.map_err(|why| format!("identity.oidc: {name}: {why}"))?));
        }
        let stays = |client: &&Arc<Client>| ready.iter().any(|one| Arc::ptr_eq(one, client));
        let changed: Vec<_> = known.filter(|client| !stays(client)).map(|one| one.name()).collect();
        let words = ready.iter().map(|client| (client.name(), client.believed_by()));
        self.logins.honour(client::METHOD, words.collect::<Vec<_>>());
        self.set.store(Some(Arc::new(Set { plan, clients: ready })));
        self.end_of_methods(|method| changed.iter().any(|name| name == method));
        Ok(())
    }

    /// Lets nobody sign in, from now on. The logins there are end.
    pub fn close(&self) {
        let before = self.set.swap(None);
        self.logins.honour(client::METHOD, []);
        let clients = before.iter().flat_map(|set| &set.clients);
        let names: Vec<_> = clients.map(|client| client.name()).collect();
        self.end_of_methods(|method| names.iter().any(|name| name == method));
    }

    /// Ends the logins by methods of which that is so: they are gone, or configured otherwise. Not
    /// those that began at another gateway under the configuration of now.
    pub fn end_of_methods(&self, is_over: impl Fn(&str) -> bool) {
        for login in self.logins.list() {
            if is_over(&login.method) && !self.logins.honours(&login) {
                self.end(&login, "issuer_changed", "the provider is configured otherwise now");
            }
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Ends what was begun under another configuration, where no other gateway may go by it.
    pub fn end_former(&self) {
        self.end_of_methods(|_| true);
    }

    /// Whether somebody from there may try to sign in; then the time is now. For methods that are
    /// not of this crate, which say when it [`Self::failed`].
    ///
    /// # Errors
    /// Too many failed from there.
    pub fn may_try(&self, source: &str) -> Result<Timestamp, NotSignedIn> {
        let now = (self.now)();
        match self.attempts.may_try(source, now) {
            true => Ok(now),
            false => Err(NotSignedIn::TooMany),
        }
    }

    /// A sign-in came to nothing: it is counted, logged and recorded.
    pub fn failed(&self, why: &NotSignedIn, source: &str) {
        self.failed_at(why, source, (self.now)());
    }

    /// The same of what any page of the web can have a browser send: it is counted elsewhere.
    pub fn said(&self, why: &NotSignedIn, source: &str) {
        self.say(why, source, (self.now)());
    }

    /// What holds for everybody who signs in; `None` before it is configured.
    #[must_use]
    pub fn plan(&self) -> Option<SignInPlan> {
        self.set.load().as_ref().map(|set| set.plan.clone())
    }

    /// The ways to sign in.
    #[must_use]
    pub fn methods(&self) -> Vec<Method> {
        let set = self.set.load();
        let clients = set.iter().flat_map(|set| &set.clients).enumerate();
        let method = |(index, client): (usize, &Arc<Client>)| Method {
            label: client.label(),
            path: format!("/login?with={index}"),
        };
        clients.map(method).collect()
    }

    /// The highest role of somebody of these groups.
    #[must_use]
    pub fn role(&self, groups: &[Arc<str>]) -> Option<Role> {
        self.set.load().as_ref().and_then(|set| set.plan.roles.of(groups))
    }

    /// Where browsers may be sent when they sign out.
    #[must_use]
    pub fn sign_out_origins(&self) -> Vec<String> {
        let set = self.set.load();
        let clients = set.iter().flat_map(|set| &set.clients);
        clients.filter_map(|client| client.signs_out_at()).collect()
    }

    /// Begins to sign in by the method of that number. `back`: the page to come back to. Asks the
    /// provider, and waits for it.
    ///
    /// # Errors
    /// It cannot begin.
    pub fn begin(&self, with: usize, back: &str, source: &str) -> Result<Begun, NotSignedIn> {
        let now = (self.now)();
        let begun = self.try_begin(with, back, source, now);
        begun.inspect_err(|why| self.failed_at(why, source, now))
    }

    fn try_begin(
        &self,
        with: usize,
        back: &str,
        source: &str,
        now: Timestamp,
    ) -> Result<Begun, NotSignedIn> {
        if !self.attempts.may_try(source, now) {
            return Err(NotSignedIn::TooMany);
        }
        let set = self.set.load_full().ok_or(NotSignedIn::Method)?;
        let client = set.clients.get(with).ok_or(NotSignedIn::Method)?;
        let random = || store::random_text().map_err(|error| NotSignedIn::Kept(error.to_string()));
        let under_way = UnderWay {
            method: client.name(),
            state: random()?,
            nonce: random()?,
            verifier: random()?,
            back: local(back).to_owned(),
            until: now.plus(TAKES).0,
        };
        let UnderWay { state, nonce, verifier, .. } = &under_way;
        let to = client
            .authorize(&set.plan.page(CALLBACK), state, nonce, verifier)
            .map_err(NotSignedIn::Unreachable)?;
        let text = serde_json::to_string(&under_way)
            .map_err(|error| NotSignedIn::Kept(error.to_string()))?;
        let cookie = self.logins.seal(UNDER_WAY, &text);
        let cookie = cookie.map_err(|error| NotSignedIn::Kept(error.to_string()))?;
        Ok(Begun { to, cookie: Secret::new(cookie) })
    }

    /// Takes what a browser brings back. Asks the provider, and waits for it. The login, its
    /// cookie, and the page to go to.
    ///
    /// # Errors
    /// Nobody is signed in.
    pub fn finish(
        &self,
        call: &Call<'_>,
        source: &str,
    ) -> Result<(Arc<Login>, Secret<String>, String), NotSignedIn> {
        let now = (self.now)();
        let finished = self.try_finish(call, source, now);
        finished.inspect_err(|why| self.failed_at(why, source, now))
    }

    fn try_finish(
        &self,
        call: &Call<'_>,
        source: &str,
        now: Timestamp,
    ) -> Result<(Arc<Login>, Secret<String>, String), NotSignedIn> {
        // Whoever brings an answer has to be the one who asked: the state is in their cookie.
        let cookie = call.cookie.ok_or(NotSignedIn::State)?;
        let text = self.logins.unseal(UNDER_WAY, cookie).ok_or(NotSignedIn::State)?;
        let under_way: UnderWay =
            serde_json::from_str(text.expose()).map_err(|_| NotSignedIn::State)?;
        if call.state != Some(&*under_way.state) || now.0 >= under_way.until {
            return Err(NotSignedIn::State);
        }
        // From here on a provider is asked.
        if !self.attempts.may_try(source, now) {
            return Err(NotSignedIn::TooMany);
        }
        let set = self.set.load_full().ok_or(NotSignedIn::Method)?;
        let mut clients = set.clients.iter();
        let client = clients.find(|client| client.name() == under_way.method);
        let client = client.ok_or(NotSignedIn::Method)?;
        client.is_answer(call.iss)?;
        if let Some(error) = call.error {
            return Err(NotSignedIn::Denied(crate::jwt::clipped(error)));
        }
        let code = call.code.ok_or(NotSignedIn::State)?;
        let redirect = set.plan.page(CALLBACK);
        let UnderWay { nonce, verifier, back, .. } = &under_way;
        let who = client.redeem(code, &redirect, nonce, verifier, now)?;
        if !who.renews {
            tracing::warn!(
                issuer = client.plan.issuer.issuer,
                "the provider gave no refresh token, so a login ends with its id_token; ask for \
                 one with identity.oidc.scopes (offline_access)"
            );
        }
        let signed_in = SignedIn {
            method: client.name(),
            believed_by: client.believed_by(),
            subject: who.subject,
            name: who.name,
            groups: who.groups,
            issuer: client.plan.issuer.issuer.as_str().into(),
            // What cannot be asked again is believed for as long as it was said to be good.
            until: (!who.renews).then_some(who.until),
            keep: Some(who.keep),
        };
        let (login, cookie) = self.begin_login(signed_in, who.renews, source, now)?;
        Ok((login, cookie, local(back).to_owned()))
    }

    /// Somebody is signed in: the one way in for every method. The login, and the cookie that
    /// stands for it. Recorded, or nobody is.
    ///
    /// # Errors
    /// It cannot be kept or recorded.
    pub fn signed_in(
        &self,
        who: SignedIn,
        source: &str,
    ) -> Result<(Arc<Login>, Secret<String>), NotSignedIn> {
        self.begin_login(who, false, source, (self.now)())
    }

    fn begin_login(
        &self,
        who: SignedIn,
        renews: bool,
        source: &str,
        now: Timestamp,
    ) -> Result<(Arc<Login>, Secret<String>), NotSignedIn> {
        let plan = self.plan().ok_or(NotSignedIn::Method)?;
        let longest = now.plus(plan.session);
        let ends_at = who.until.map_or(longest, |until| until.min(longest));
        let groups = who.groups.join(", ");
        let role = self.role(&who.groups).map_or("none", Role::as_str);
        let detail = format!("at {}, from {source}; groups [{groups}], role {role}", who.issuer);
        let (subject, target) = (Arc::clone(&who.subject), who.method.clone());
        let written = self.record(&subject, "login.begin", &target, Some(detail), now);
        written.map_err(|error| NotSignedIn::Kept(error.to_string()))?;
        // One who signs in again and again keeps nobody else out.
        let theirs = self.logins.of_person(&target, &subject);
        for login in theirs.iter().take((theirs.len() + 1).saturating_sub(LOGINS_EACH_MAX)) {
            self.end(login, "signed_out", "signed in too often at once");
        }
        let new = NewLogin {
            method: who.method.into(),
            believed_by: who.believed_by,
            subject: who.subject,
            name: who.name,
            groups: who.groups,
            issuer: who.issuer,
            ends_at,
            renews,
            keep: who.keep,
        };
        self.logins.begin(new, now).map_err(|error| match error {
            LoginsError::Method => NotSignedIn::Method,
            error => NotSignedIn::Kept(error.to_string()),
        })
    }

    /// Whose cookie it is.
    #[must_use]
    pub fn by_cookie(&self, cookie: &str) -> Option<(Arc<Login>, LoginKey)> {
        let idle = self.set.load().as_ref()?.plan.idle;
        self.logins.by_cookie(cookie, idle, (self.now)())
    }

    /// What somebody should know about their login.
    #[must_use]
    pub fn notice(&self, login: &Login) -> LoginNotice {
        let unconfirmed_since = login.trouble.is_some().then_some(login.confirmed_at);
        LoginNotice { unconfirmed_since, never_asked: !login.renews }
    }

    /// The logins of the person of this one, by the same method; the earliest first.
    #[must_use]
    pub fn theirs(&self, login: &Login) -> Vec<Arc<Login>> {
        self.logins.of_person(&login.method, &login.subject)
    }

    /// Signs out: ends the login with all that stands for it. Their other logins end too where no
    /// browser holds one any more, because nobody could sign out of these, and with `everywhere`
    /// all of them. May wait for the provider.
    pub fn sign_out(&self, login: &Login, everywhere: bool) -> SignedOut {
        let kept = self.logins.kept(&login.id).unwrap_or_default();
        let idle = self.set.load().as_ref().map_or(Duration::ZERO, |set| set.plan.idle);
        let now = (self.now)();
        let mut is_kept = self.end(login, "signed_out", "signed out");
        for other in self.theirs(login) {
            if everywhere || !self.logins.is_in_a_browser(&other.id, idle, now) {
                is_kept &= self.end(&other, "signed_out", "signed out of another sign-in");
            }
        }
        let set = self.set.load_full();
        let set = set.as_ref();
        let client = set.and_then(|set| set.clients.iter().find(|it| it.name() == *login.method));
        let to = set
            .zip(client)
            .zip(kept)
            .and_then(|((set, client), kept)| client.sign_out(&kept, &set.plan.page("/")));
        SignedOut { to, is_kept }
    }

    /// A browser signed in anew: its former cookie stands for nobody any more, and the login behind
    /// that ends, unless programs have tokens of it.
    pub fn leave(&self, login: &Login, key: &LoginKey) {
        if self.logins.tokens(&login.id).is_empty() {
            self.end(login, "signed_out", "signed in anew");
        } else if let Err(error) = self.logins.end_key(&key.id, "signed_out") {
            tracing::error!(%error, "a former cookie cannot be taken out of the registry");
        }
    }

    /// Ends one token of a login; `false` if there is none of that name.
    ///
    /// # Errors
    /// The registry cannot be written: it ended in this process, and for now.
    pub fn end_token(&self, id: &TokenId, by: &str) -> Result<bool, store::StateError> {
        let Some(login) = self.logins.login_of(id) else { return Ok(false) };
        let ended = self.logins.end_key(id, "signed_out");
        if !matches!(ended, Ok(false)) {
            let kept = if ended.is_ok() { "" } else { ", in this process alone" };
            let detail = format!("a token of {}{kept}", login.subject);
            self.note(by, "login.token_end", &id.0, Some(detail), (self.now)());
        }
        ended
    }

    /// Ends a login with all that stands for it, and says so in the journal. Whether the registry
    /// knows it.
    fn end(&self, login: &Login, why: &'static str, words: &str) -> bool {
        let ended = self.logins.end(&login.id, why);
        if let Err(error) = &ended {
            tracing::error!(%error, "a login that ended cannot be taken out of the registry");
        }
        let kept = if ended.is_ok() { "" } else { ", in this process alone" };
        let detail = Some(format!("{words}{kept}"));
        self.note(&login.subject, "login.end", &login.id, detail, (self.now)());
        ended.is_ok()
    }

    /// A sign-in came to nothing.
    fn failed_at(&self, why: &NotSignedIn, source: &str, now: Timestamp) {
        // An answer to nothing costs nothing, and must not keep others from signing in who come
        // from the same address, such as that of a proxy.
        if !matches!(why, NotSignedIn::State | NotSignedIn::Method | NotSignedIn::TooMany) {
            self.attempts.failed(source, now);
        }
        self.say(why, source, now);
    }

    fn say(&self, why: &NotSignedIn, source: &str, now: Timestamp) {
        // Whoever goes on fills neither the log nor the journal.
        if *why == NotSignedIn::TooMany || !self.told.may_try(source, now) {
            return;
        }
        self.told.failed(source, now);
        tracing::warn!(source, class = why.class(), "somebody could not sign in: {why}");
        let detail = Some(format!("{}, from {source}", why.class()));
        self.note("(nobody)", "login.fail", "sign-in", detail, now);
    }

    /// Records what narrows somebody's power, or what failed: it happens all the same.
    fn note(
        &self,
        actor: &str,
        action: &str,
        target: &str,
        detail: Option<String>,
        now: Timestamp,
    ) {
        if let Err(error) = self.record(actor, action, target, detail, now) {
            tracing::error!(%error, actor, action, target, "an administrative act is unrecorded");
        }
    }

    fn record(
        &self,
        actor: &str,
        action: &str,
        target: &str,
        detail: Option<String>,
        now: Timestamp,
    ) -> Result<(), store::JournalError> {
        let event = Event {
            v: EVENT_VERSION,
            at: now,
            gateway: Arc::clone(&self.gateway),
            session: None,
            sequence: 0,
            principal: None,
            on_behalf_of: None,
            resource: None,
            body: EventBody::Admin {
                actor: actor.to_owned(),
                action: action.to_owned(),
                target: target.to_owned(),
                detail,
            },
            payload: Vec::new(),
        };
        self.journal.append(&[event]).map(|_| ())
    }
}

/// A page of our own to come back to: a path, and nothing that a browser could read as another
/// place. Everything else is the first page.
#[must_use]
pub fn local(back: &str) -> &str {
    let plain = back.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_path = back.starts_with('/') && !back.starts_with("//");
    if plain && is_path && back.len() <= RETURN_CHARS_MAX { back } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_signs_in_comes_back_to_a_page_of_ours() {
        for fine in ["/", "/approvals/ap_1", "/device?user_code=BCDF-GHJK"] {
            assert_eq!(local(fine), fine);
        }
        for bad in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/a\r\nLocation: https://evil.example",
            "javascript:alert(1)",
            "/ä",
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
        assert_eq!(local(&format!("/{}", "a".repeat(RETURN_CHARS_MAX))), "/");
    }
}

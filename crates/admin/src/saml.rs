//! People who sign in by SAML: between the pages, the crate that judges answers, and
//! [`People::signed_in`].
//!
//! An answer comes as a form from the provider's page. With such a form a browser sends none of our
//! cookies, because they are for requests from our own pages (`SameSite=Lax`). So it is judged
//! where it arrives, and lets nobody in there: what it proved waits under a name that nobody can
//! guess, and the browser is sent on to another page of ours, now with its cookie. Whoever did not
//! begin the sign-in has another cookie or none, and is not signed in as somebody else this way.

use std::sync::Arc;
use std::time::Duration;

use identity::{Attempts, NotSignedIn, People};
use model::{Secret, Timestamp};
use parking_lot::RwLock;
use saml::{Expected, Fault, Provider, ProviderPlan, Service, SignedIn, request_of};
use serde::{Deserialize, Serialize};
use store::{Code, Login, Logins, Take};

/// How the names of these methods begin.
const METHOD: &str = "saml:";
/// What a sign-in under way is sealed for.
const UNDER_WAY: &str = "saml sign-in under way";
/// How long somebody may take to sign in at the provider.
const TAKES: Duration = Duration::from_secs(600);
/// How long what an answer proved waits for the browser that was sent on.
const WAITS: Duration = Duration::from_secs(60);
/// What that is sealed for.
const PROVED: &str = "saml answer";
/// Answers from one place that may fail in a minute. They come without our cookie, so any page of
/// the web can have the browsers of an office send some: they are bounded by what they cost, and
/// keep nobody from signing in by another method.
const FAILED_MAX: u32 = 300;

/// A provider at which people sign in by SAML.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SamlPlan {
    /// The provider.
    pub provider: ProviderPlan,
    /// Us.
    pub service: Service,
    /// What the button is called.
    pub label: String,
}

/// Everybody who signs in by SAML.
pub struct Saml {
    people: Arc<People>,
    logins: Arc<Logins>,
    set: RwLock<Arc<Vec<Arc<Ready>>>>,
    /// Answers that were not believed.
    failed: Attempts,
}

struct Ready {
    plan: SamlPlan,
    provider: Provider,
}

impl Ready {
    fn method(&self) -> String {
        format!("{METHOD}{}", self.plan.provider.entity_id)
    }

    /// What its logins are believed by. Another version of the gateway may say it otherwise; then
    /// people sign in anew.
    fn believed_by(&self) -> String {
        format!("{:?}", (&self.plan.provider, &self.plan.service.entity_id))
    }
}

/// What an answer proved. It waits where all gateways find it, sealed.
#[derive(Deserialize, Serialize)]
struct Waiting {
    method: String,
    /// How the provider was configured then.
    believed_by: String,
    who: SignedIn,
    /// What came back beside it; of answers to no question nothing.
    handle: Option<String>,
}

/// What is sealed in the cookie of a sign-in under way.
#[derive(Deserialize, Serialize)]
struct UnderWay {
    method: String,
    handle: String,
    back: String,
    until: u64,
}

impl Saml {
    /// Nobody, until [`Self::configure`].
    #[must_use]
    pub fn new(people: Arc<People>, logins: Arc<Logins>) -> Arc<Self> {
        Arc::new(Self { people, logins, set: RwLock::default(), failed: Attempts::new(FAILED_MAX) })
    }

    /// Lets people sign in at these providers and no others, from now on. Logins by one that was
    /// configured here and is gone, or configured otherwise, end. Those that began under another
    /// configuration, before a start or at another gateway, stand for nobody here.
    ///
    /// # Errors
    /// One of them cannot be used, and why; then nothing has changed.
    pub fn configure(&self, plans: Vec<SamlPlan>) -> Result<(), String> {
        let before = Arc::clone(&*self.set.read());
        let mut ready = Vec::new();
        for plan in plans {
            if let Some(same) = before.iter().find(|known| known.plan == plan) {
                ready.push(Arc::clone(same));
                continue;
            }
            let name = plan.provider.entity_id.clone();
            let provider = Provider::new(plan.provider.clone(), plan.service.clone())
                .map_err(|why| format!("identity.saml: {name}: {why}"))?;
            ready.push(Arc::new(Ready { plan, provider }));
        }
        let stays = |known: &&Arc<Ready>| ready.iter().any(|one| Arc::ptr_eq(one, known));
        let changed: Vec<String> =
            before.iter().filter(|known| !stays(known)).map(|known| known.method()).collect();
        let words = ready.iter().map(|one| (one.method(), one.believed_by()));
        self.logins.honour(METHOD, words.collect::<Vec<_>>());
        *self.set.write() = Arc::new(ready);
        self.people.end_of_methods(|method| changed.iter().any(|name| name == method));
        Ok(())
    }

    /// The ways to sign in.
    #[must_use]
    pub fn methods(&self) -> Vec<identity::Method> {
        let method = |(index, ready): (usize, &Arc<Ready>)| identity::Method {
            label: ready.plan.label.clone(),
            path: format!("/login/saml/{index}"),
        };
        self.set.read().iter().enumerate().map(method).collect()
    }

    /// What a provider has to be told of us.
    #[must_use]
    pub fn metadata(&self, with: usize) -> Option<String> {
        self.set.read().get(with).map(|ready| ready.provider.metadata())
    }

    /// Begins to sign in at the provider of that number; `back`: the page to come back to.
    ///
    /// # Errors
    /// It cannot begin.
    pub fn begin(
        &self,
        with: usize,
        back: &str,
        source: &str,
    ) -> Result<identity::Begun, NotSignedIn> {
        let begun = self.people.may_try(source).and_then(|now| self.try_begin(with, back, now));
        begun.inspect_err(|why| self.people.failed(why, source))
    }

    fn try_begin(
        &self,
        with: usize,
        back: &str,
        now: Timestamp,
    ) -> Result<identity::Begun, NotSignedIn> {
        let ready = self.set.read().get(with).cloned().ok_or(NotSignedIn::Method)?;
        let kept = |error: &dyn std::fmt::Display| NotSignedIn::Kept(error.to_string());
        let handle = store::random_text().map_err(|error| kept(&error))?;
        let begun = ready.provider.begin(now, &handle).map_err(|error| kept(&error))?;
        let under_way = UnderWay {
            method: ready.method(),
            handle,
            back: identity::local_page(back).to_owned(),
            until: now.plus(TAKES).0,
        };
        let text = serde_json::to_string(&under_way).map_err(|error| kept(&error))?;
        let cookie = self.logins.seal(UNDER_WAY, &text).map_err(|error| kept(&error))?;
        Ok(identity::Begun { to: begun.url, cookie: Secret::new(cookie) })
    }

    /// Judges an answer where it arrives. The name under which what it proved waits.
    ///
    /// # Errors
    /// It is not believed.
    pub fn arrive(
        &self,
        response: &str,
        relay: Option<&str>,
        source: &str,
    ) -> Result<String, NotSignedIn> {
        let now = self.people.now();
        if !self.failed.may_try(source, now) {
            return Err(NotSignedIn::TooMany);
        }
        self.try_arrive(response, relay, now).inspect_err(|why| {
            self.failed.failed(source, now);
            self.people.said(why, source);
        })
    }

    fn try_arrive(
        &self,
        response: &str,
        relay: Option<&str>,
        now: Timestamp,
    ) -> Result<String, NotSignedIn> {
        let says = saml::peek(response).map_err(|fault| not_believed(&fault))?;
        let set = Arc::clone(&*self.set.read());
        let named = |ready: &&Arc<Ready>| ready.plan.provider.entity_id == says.issuer;
        let ready = set.iter().find(named).ok_or_else(|| {
            let wanted: Vec<_> = set.iter().map(|one| &*one.plan.provider.entity_id).collect();
            let found = says.issuer.chars().take(100).collect();
            not_believed(&Fault::Issuer { found, wanted: wanted.join(", ") })
        })?;
        let handle = if says.is_answer { Some(relay.unwrap_or_default().to_owned()) } else { None };
        let request = handle.as_deref().map(request_of);
        let expected = request.as_deref().map_or(Expected::Nothing, Expected::Request);
        let take = |name: &str, until| {
            let name = format!("{METHOD}{name}");
            self.logins.take_once(&name, until, now).map_err(|error| error.to_string())
        };
        let accepted = ready.provider.accept(response, now, expected, &mut { take });
        let who = accepted.map_err(|fault| not_believed(&fault))?;
        if who.subject.to_lowercase() == store::ADMIN_SUBJECT {
            let why = "a name that stands for the holder of the admin token";
            return Err(not_believed(&Fault::Claim("subject".to_owned(), why)));
        }
        let kept = |error: &dyn std::fmt::Display| NotSignedIn::Kept(error.to_string());
        let name = store::random_text().map_err(|error| kept(&error))?;
        let (method, believed_by) = (ready.method(), ready.believed_by());
        let one = Waiting { method, believed_by, who, handle };
        let text = serde_json::to_string(&one).map_err(|error| kept(&error))?;
        let sealed = self.logins.seal(PROVED, &text).map_err(|error| kept(&error))?;
        let put = self.logins.put_code(Code::Answer, (&name, None), &sealed, now.plus(WAITS), now);
        put.map_err(|error| kept(&error))?;
        Ok(name)
    }

    /// Signs in whoever brings the name of what an answer proved, and the cookie of the sign-in
    /// that it answers. The login, its cookie, and the page to go to.
    ///
    /// # Errors
    /// Nobody is signed in.
    pub fn finish(
        &self,
        name: &str,
        cookie: Option<&str>,
        source: &str,
    ) -> Result<(Arc<Login>, Secret<String>, String), NotSignedIn> {
        let finished =
            self.people.may_try(source).and_then(|now| self.try_finish(name, cookie, source, now));
        finished.inspect_err(|why| self.people.failed(why, source))
    }

    fn try_finish(
        &self,
        name: &str,
        cookie: Option<&str>,
        source: &str,
        now: Timestamp,
    ) -> Result<(Arc<Login>, Secret<String>, String), NotSignedIn> {
        // Names of another form are not looked for: anybody may come with one.
        if !store::is_random_text(name) {
            return Err(NotSignedIn::State);
        }
        let sealed = self.logins.code(Code::Answer, name, Take::Once, now);
        let sealed = sealed.map_err(|error| NotSignedIn::Kept(error.to_string()))?;
        let text = sealed.and_then(|sealed| self.logins.unseal(PROVED, &sealed));
        let one = text.and_then(|text| serde_json::from_str(text.expose()).ok());
        let Waiting { method, believed_by, who, handle } = one.ok_or(NotSignedIn::State)?;
        let back = match handle {
            Some(handle) => self.is_theirs(&method, &handle, cookie, now)?,
            None => "/".to_owned(),
        };
        if !self.set.read().iter().any(|ready| ready.method() == method) {
            return Err(NotSignedIn::Method);
        }
        let signed_in = identity::SignedIn {
            method,
            believed_by,
            subject: who.subject.into(),
            name: None,
            groups: who.groups.into_iter().map(Arc::from).collect(),
            issuer: who.issuer.into(),
            until: who.not_on_or_after,
            keep: None,
        };
        let (login, cookie) = self.people.signed_in(signed_in, source)?;
        Ok((login, cookie, back))
    }

    /// Whether the browser began the sign-in that was answered; the page to come back to.
    fn is_theirs(
        &self,
        method: &str,
        handle: &str,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<String, NotSignedIn> {
        let text = cookie.and_then(|cookie| self.logins.unseal(UNDER_WAY, cookie));
        let text = text.ok_or(NotSignedIn::State)?;
        let under_way: UnderWay =
            serde_json::from_str(text.expose()).map_err(|_| NotSignedIn::State)?;
        let theirs =
            under_way.handle == handle && under_way.method == method && now.0 < under_way.until;
        if theirs { Ok(under_way.back) } else { Err(NotSignedIn::State) }
    }
}

fn not_believed(fault: &Fault) -> NotSignedIn {
    let class = fault.class();
    NotSignedIn::Answer { class: class.word(), words: class.words(), why: fault.to_string() }
}

#[cfg(test)]
mod tests;

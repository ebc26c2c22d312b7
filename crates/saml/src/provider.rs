//! One provider: where people are sent, and what is made of what they come back with.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra_keys::KeysManager;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::answer::Answer;
use crate::fault::Fault;
use crate::plain::DOCUMENT_BYTES_MAX;
use crate::plan::{PlanError, ProviderPlan, Service, keys};
use crate::tree::{ASSERTION, PROTOCOL, attribute, is, one, parse, root, token};
use crate::{claims, metadata, request, signature};

/// How much longer than it is good an assertion is remembered: by another gateway's clock, or after
/// a change of `clock_skew`, which is five minutes at most, it may be good for longer.
const LONGER: Duration = Duration::from_secs(900);

/// An identity provider, ready.
pub struct Provider {
    plan: ProviderPlan,
    service: Service,
    keys: KeysManager,
}

/// A sign-in that was begun.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Begun {
    /// Where the browser goes now.
    pub url: Url,
    /// What the answer has to say that it answers.
    pub request: String,
}

/// What an answer is an answer to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected<'a> {
    /// To this request ([`Begun::request`]).
    Request(&'a str),
    /// To none: the person came from the provider's own page.
    Nothing,
}

/// Takes an assertion by its name, which is nobody else's, and remembers until then that it was
/// taken. `Ok(false)`: it was before. `Err`: it cannot be remembered, and why.
pub type Taken<'a> = dyn FnMut(&str, Timestamp) -> Result<bool, String> + 'a;

/// Who signed in, as the provider says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SignedIn {
    /// Who it is, with the prefix of the plan.
    pub subject: String,
    /// Their groups, with those of the plan; sorted, each once.
    pub groups: Vec<String>,
    /// The provider's name.
    pub issuer: String,
    /// What the provider calls its own session with the person.
    pub session_index: Option<String>,
    /// When the provider's session ends, if it says so; exclusive.
    pub not_on_or_after: Option<Timestamp>,
    /// The ID of the assertion.
    pub assertion: String,
}

impl Provider {
    /// Makes a provider of its plan.
    ///
    /// # Errors
    /// There is no certificate, or one that cannot be used.
    pub fn new(plan: ProviderPlan, service: Service) -> Result<Self, PlanError> {
        if plan.certificates.is_empty() {
            return Err(PlanError("the provider has no certificate".to_owned()));
        }
        let keys = keys(&plan.certificates)?;
        Ok(Self { plan, service, keys })
    }

    /// What it was made of.
    #[must_use]
    pub const fn plan(&self) -> &ProviderPlan {
        &self.plan
    }

    /// Our side of it.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// What the provider has to be told of us, as XML (SAML Metadata section 2.4.4).
    #[must_use]
    pub fn metadata(&self) -> String {
        metadata::of_service(&self.service)
    }

    /// Begins a sign-in. `handle` is what nobody can guess; it comes back with the answer
    /// (`RelayState`), and has 80 bytes at most (SAML Bindings section 3.4.3).
    ///
    /// # Errors
    /// The handle is too long, or the request could not be signed.
    pub fn begin(&self, now: Timestamp, handle: &str) -> Result<Begun, PlanError> {
        request::begin(&self.plan, &self.service, now, handle)
    }

    /// Who signed in, if everything about the answer is right: the form field `SAMLResponse`, as it
    /// came. `take` is told what must not be taken a second time (SAML Profiles section 4.1.4.5).
    ///
    /// # Errors
    /// What was wrong, first found.
    pub fn accept(
        &self,
        response: &str,
        now: Timestamp,
        expected: Expected<'_>,
        take: &mut Taken<'_>,
    ) -> Result<SignedIn, Fault> {
        let document = decoded(response)?;
        let answer = Answer { plan: &self.plan, service: &self.service, now, expected };
        answer.look_at(&document)?;
        let signed = signature::signed(&document, &self.keys)?;
        // From here on nothing is read but what was signed.
        let proved = answer.check(&signed)?;
        let subject = claims::subject(&self.plan, &proved)?;
        let groups = claims::groups(&self.plan, &proved)?;
        let issuer = &*self.plan.entity_id;
        let name = format!("{} {issuer} {}", issuer.len(), proved.id);
        match take(&name, proved.until.plus(LONGER)) {
            Ok(true) => {}
            Ok(false) => return Err(Fault::Replayed),
            Err(why) => return Err(Fault::Unkept(why)),
        }
        Ok(SignedIn {
            subject,
            groups,
            issuer: self.plan.entity_id.clone(),
            session_index: proved.session_index,
            not_on_or_after: proved.session_until,
            assertion: proved.id,
        })
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// What an answer says of itself. Nothing of it is proved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unproved {
    /// Whom it is from: which provider to ask.
    pub issuer: String,
    /// Whether it says that it answers a request.
    pub is_answer: bool,
}

/// What an answer says of itself: the form field `SAMLResponse`, as it came.
///
/// # Errors
/// It cannot be read, or does not say whom it is from.
pub fn peek(response: &str) -> Result<Unproved, Fault> {
    let document = decoded(response)?;
    let document = parse(&document)?;
    let answer = root(&document)?;
    if !is(&document, answer, PROTOCOL, "Response") {
        return Err(Fault::Malformed("it is no Response".to_owned()));
    }
    let issuer = match one(&document, answer, (ASSERTION, "Issuer"))? {
        Some(issuer) => Some(issuer),
        None => match one(&document, answer, (ASSERTION, "Assertion"))? {
            Some(assertion) => one(&document, assertion, (ASSERTION, "Issuer"))?,
            None => None,
        },
    };
    let issuer = token(&document, issuer.ok_or(Fault::Missing("Issuer"))?)?;
    let is_answer = attribute(&document, answer, "InResponseTo").is_some();
    Ok(Unproved { issuer, is_answer })
}

/// The document in a form field (SAML Bindings section 3.5.4).
fn decoded(response: &str) -> Result<Vec<u8>, Fault> {
    // Four letters are three bytes, and there may be line breaks.
    if response.len() > DOCUMENT_BYTES_MAX / 3 * 4 + DOCUMENT_BYTES_MAX / 16 {
        return Err(Fault::Large(DOCUMENT_BYTES_MAX / 1024));
    }
    let letters: Vec<u8> = response.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(letters).map_err(|_| Fault::Encoding)
}

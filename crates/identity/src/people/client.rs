//! The gateway as a client of an OpenID provider: authorization code with PKCE (RFC 6749, RFC 7636,
//! OpenID Connect Core), refresh, and logout at the provider.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use model::{Secret, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::words::NotSignedIn;
use crate::claims;
use crate::fetch::Fetcher;
use crate::issuer::{Issuer, NotVerified};
use crate::jwt::{Fault, clipped};
use crate::plan::{ClientPlan, KeysFrom};

/// How long what a provider says of itself is used.
const METADATA_AGE: Duration = Duration::from_secs(300);
/// Scopes that are asked for where the provider knows them.
const SCOPES: &[&str] = &["profile", "email", "groups", "offline_access"];
/// Refusals to ask again that are about the person (RFC 6749 section 5.2, OpenID Connect Core
/// section 3.1.2.6).
const OVER: [&str; 5] = [
    "access_denied",
    "consent_required",
    "interaction_required",
    "invalid_grant",
    "login_required",
];
const OFFLINE: &str = "offline_access";

/// A provider at which people sign in.
pub(super) struct Client {
    pub plan: ClientPlan,
    issuer: Arc<Issuer>,
    fetcher: Fetcher,
    metadata: Mutex<Option<(Instant, Arc<Metadata>)>>,
}

/// What a provider says of itself (OpenID Connect Discovery section 3, RFC 8414, RFC 9207).
#[derive(Debug)]
struct Metadata {
    authorization: Url,
    token: Url,
    userinfo: Option<Url>,
    end_session: Option<Url>,
    revocation: Option<Url>,
    scopes: Vec<String>,
    auth_methods: Vec<String>,
    says_iss: bool,
}

/// What a sign-in keeps to ask again and to sign out.
#[derive(Deserialize, Serialize)]
pub(super) struct Kept {
    sub: String,
    id_token: String,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// Who signed in.
pub(super) struct Who {
    pub subject: Arc<str>,
    pub name: Option<Arc<str>>,
    pub groups: Vec<Arc<str>>,
    /// When the ID token ends.
    pub until: Timestamp,
    /// To be sealed.
    pub keep: Secret<String>,
    /// The provider can be asked again.
    pub renews: bool,
}

/// What a provider says when it is asked again.
pub(super) enum Again {
    /// The person is as this says now.
    Is { groups: Vec<Arc<str>>, keep: Secret<String> },
    /// They are not signed in any more.
    Over(String),
    /// It cannot be asked, or not understood; what has to be kept now, if that changed.
    Trouble(String, Option<Secret<String>>),
}

/// The answer of the token endpoint.
struct Tokens {
    access: Secret<String>,
    id: Option<String>,
    refresh: Option<String>,
}

enum NoTokens {
    /// The provider said no (RFC 6749 section 5.2).
    Refused(String),
    /// There was no usable answer.
    Unusable(String),
}

/// How the names of methods of this kind begin.
pub(super) const METHOD: &str = "oidc:";

impl Client {
    /// The method, as logins name it.
    pub fn name(&self) -> String {
        format!("{METHOD}{} {}", self.plan.issuer.issuer, self.plan.id)
    }

    /// What its logins are believed by. Another version of the gateway may say it otherwise; then
    /// people sign in anew.
    pub fn believed_by(&self) -> String {
        let mut issuer = self.plan.issuer.clone();
        if let KeysFrom::File(path) = &mut issuer.keys {
            // It may be elsewhere at another gateway.
            path.clear();
        }
        format!("{:?}", (issuer, &self.plan.id, &self.plan.scopes))
    }

    /// What people call it: its host.
    pub fn label(&self) -> String {
        let issuer = &self.plan.issuer.issuer;
        let url = Url::parse(issuer).ok();
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| issuer.clone())
    }

    pub fn new(plan: ClientPlan, issuer: Arc<Issuer>) -> Result<Self, String> {
        let fetcher = Fetcher::new(plan.issuer.ca.as_deref())?;
        Ok(Self { plan, issuer, fetcher, metadata: Mutex::default() })
    }

    /// Where the browser is sent to sign in.
    pub fn authorize(
        &self,
        redirect: &str,
        state: &str,
        nonce: &str,
        verifier: &str,
    ) -> Result<Url, String> {
        let metadata = self.metadata()?;
        let scopes = self.scopes(&metadata);
        let mut url = metadata.authorization.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.plan.id)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", &challenge(verifier))
            .append_pair("code_challenge_method", "S256");
        if scopes.contains(&OFFLINE) {
            // OpenID Connect Core section 11: otherwise it is ignored.
            query.append_pair("prompt", "consent");
        }
        drop(query);
        Ok(url)
    }

    fn scopes<'a>(&'a self, metadata: &'a Metadata) -> Vec<&'a str> {
        match &self.plan.scopes {
            Some(scopes) => scopes.iter().map(String::as_str).collect(),
            None => {
                let known = |scope: &&&str| metadata.scopes.iter().any(|one| one == **scope);
                std::iter::once("openid").chain(SCOPES.iter().filter(known).copied()).collect()
            }
        }
    }

    /// Whether an answer to the browser is of this provider (RFC 9207 section 2.4).
    pub fn is_answer(&self, iss: Option<&str>) -> Result<(), NotSignedIn> {
        match iss {
            Some(iss) if iss == self.plan.issuer.issuer => Ok(()),
            Some(other) => Err(NotSignedIn::Issuer(clipped(other))),
            None => match self.metadata() {
                Ok(metadata) if !metadata.says_iss => Ok(()),
                Ok(_) => Err(NotSignedIn::Issuer("nobody".to_owned())),
                Err(why) => Err(NotSignedIn::Unreachable(why)),
            },
        }
    }

    /// Takes the code that the provider gave the browser.
    pub fn redeem(
        &self,
        code: &str,
        redirect: &str,
        nonce: &str,
        verifier: &str,
        now: Timestamp,
    ) -> Result<Who, NotSignedIn> {
        let metadata = self.metadata().map_err(NotSignedIn::Unreachable)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ];
        let tokens = self.tokens(&metadata, &form).map_err(|why| match why {
            NoTokens::Refused(why) => NotSignedIn::Refused(why),
            NoTokens::Unusable(why) => NotSignedIn::Unreachable(why),
        })?;
        let id_token = tokens.id.as_deref();
        let id_token = id_token.ok_or(NotSignedIn::Fault(Fault::Malformed(
            "the provider gave no id_token; is openid asked?",
        )))?;
        let verified = self.issuer.verify_id_token(id_token, (&self.plan.id, Some(nonce)), now);
        let verified = verified.map_err(|why| match why {
            NotVerified::Fault(fault) => NotSignedIn::Fault(fault),
            NotVerified::NoKeys => {
                NotSignedIn::Unreachable("its keys cannot be fetched".to_owned())
            }
        })?;
        let claims = self.complete(&metadata, verified.claims, &tokens.access)?;
        let sub = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (subject, name, groups) =
            claims::person(&self.plan.issuer, &claims).map_err(NotSignedIn::Fault)?;
        let renews = tokens.refresh.is_some();
        let kept = Kept { sub, id_token: id_token.to_owned(), refresh_token: tokens.refresh };
        let keep = to_text(&kept).map_err(NotSignedIn::Unreachable)?;
        Ok(Who { subject, name, groups, until: verified.until, keep, renews })
    }

    /// Asks about a person again.
    pub fn again(&self, kept: &Secret<String>, now: Timestamp) -> Again {
        let Ok(mut kept) = serde_json::from_str::<Kept>(kept.expose()) else {
            return Again::Over("what was kept of it cannot be read".to_owned());
        };
        let Some(refresh) = kept.refresh_token.clone() else {
            return Again::Over("the provider gave no refresh token".to_owned());
        };
        let metadata = match self.metadata() {
            Ok(metadata) => metadata,
            Err(why) => return Again::Trouble(why, None),
        };
        let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh)];
        let tokens = match self.tokens(&metadata, &form) {
            Ok(tokens) => tokens,
            // Other refusals are about us, not about the person.
            Err(NoTokens::Refused(why)) if OVER.iter().any(|word| why.starts_with(word)) => {
                return Again::Over(why);
            }
            Err(NoTokens::Refused(why) | NoTokens::Unusable(why)) => {
                return Again::Trouble(why, None);
            }
        };
        // The former one may be void already, whatever comes next.
        kept.refresh_token = tokens.refresh.clone().or(Some(refresh));
        match self.person_again(&metadata, &tokens, &mut kept, now) {
            Ok(groups) => match to_text(&kept) {
                Ok(keep) => Again::Is { groups, keep },
                Err(why) => Again::Over(why),
            },
            // Nothing was said against the person.
            Err(NotSignedIn::Unreachable(why)) => Again::Trouble(why, to_text(&kept).ok()),
            Err(why) => Again::Over(why.to_string()),
        }
    }

    fn person_again(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        kept: &mut Kept,
        now: Timestamp,
    ) -> Result<Vec<Arc<str>>, NotSignedIn> {
        let claims = match &tokens.id {
            Some(id_token) => {
                let whose = (&*self.plan.id, None);
                let verified = self.issuer.verify_id_token(id_token, whose, now);
                let verified = verified.map_err(|why| match why {
                    NotVerified::Fault(fault) => NotSignedIn::Fault(fault),
                    NotVerified::NoKeys => {
                        NotSignedIn::Unreachable("its keys cannot be fetched".to_owned())
                    }
                })?;
                kept.id_token.clone_from(id_token);
                verified.claims
            }
            None if metadata.userinfo.is_some() => {
                Map::from_iter([("sub".to_owned(), Value::String(kept.sub.clone()))])
            }
            None => {
                let why = "it gives neither an id_token with a refresh nor has it userinfo";
                return Err(NotSignedIn::Unreachable(why.to_owned()));
            }
        };
        // OpenID Connect Core section 12.2.
        if claims.get("sub").and_then(Value::as_str) != Some(&*kept.sub) {
            return Err(NotSignedIn::Fault(Fault::Claim("sub".to_owned(), "somebody else's")));
        }
        let claims = self.complete(metadata, claims, &tokens.access)?;
        let (_, _, groups) =
            claims::person(&self.plan.issuer, &claims).map_err(NotSignedIn::Fault)?;
        Ok(groups)
    }

    /// The claims of an ID token with those of userinfo that it does not have, where it lacks who
    /// it is or the groups (OpenID Connect Core section 5.3).
    fn complete(
        &self,
        metadata: &Metadata,
        mut claims: Map<String, Value>,
        access: &Secret<String>,
    ) -> Result<Map<String, Value>, NotSignedIn> {
        let plan = &self.plan.issuer;
        let has = |name: &str| claims::find(&claims, name).is_some();
        let elsewhere = claims.contains_key("_claim_names");
        let Some(url) = &metadata.userinfo else { return Ok(claims) };
        if elsewhere || (has(&plan.subject_claim) && has(&plan.groups_claim)) {
            return Ok(claims);
        }
        let bearer = Secret::new(format!("Bearer {}", access.expose()));
        let asked = self.fetcher.ask(url, Some(bearer.expose()), None);
        let text = match asked.map_err(NotSignedIn::Unreachable)? {
            (200, text) => text,
            // The access token, a moment old, is not good there (RFC 6750 section 3.1).
            (401, _) => return Err(NotSignedIn::Refused(format!("{url}: it answered 401"))),
            (status, _) => {
                return Err(NotSignedIn::Unreachable(format!("{url}: it answered {status}")));
            }
        };
        let more: Map<String, Value> = serde_json::from_slice(&text).map_err(|_| {
            NotSignedIn::Unreachable(format!("{url}: it did not answer with a JSON object"))
        })?;
        if more.get("sub").is_none() || more.get("sub") != claims.get("sub") {
            return Err(NotSignedIn::Fault(Fault::Claim("sub".to_owned(), "another in userinfo")));
        }
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        Ok(claims)
    }

    /// Ends a sign-in at the provider too: where the browser is to go for that, if anywhere (OpenID
    /// Connect RP-Initiated Logout). Its refresh token is given back (RFC 7009), if that works.
    pub fn sign_out(&self, kept: &Secret<String>, back: &str) -> Option<Url> {
        let kept: Kept = serde_json::from_str(kept.expose()).ok()?;
        let metadata = self.metadata().ok()?;
        if let (Some(url), Some(refresh)) = (&metadata.revocation, &kept.refresh_token) {
            let form = [("token", &**refresh), ("token_type_hint", "refresh_token")];
            if let Err(why) = self.post(&metadata, url, &form) {
                tracing::info!(why, "a refresh token could not be given back");
            }
        }
        let mut url = metadata.end_session.clone()?;
        url.query_pairs_mut()
            .append_pair("id_token_hint", &kept.id_token)
            .append_pair("client_id", &self.plan.id)
            .append_pair("post_logout_redirect_uri", back);
        Some(url)
    }

    /// Where browsers are sent when they sign out, for the policy of pages.
    pub fn signs_out_at(&self) -> Option<String> {
        let metadata = self.metadata.lock().as_ref().map(|(_, metadata)| Arc::clone(metadata))?;
        metadata.end_session.as_ref().map(|url| url.origin().ascii_serialization())
    }

    fn tokens(&self, metadata: &Metadata, form: &[(&str, &str)]) -> Result<Tokens, NoTokens> {
        let (status, text) =
            self.post(metadata, &metadata.token, form).map_err(NoTokens::Unusable)?;
        let url = &metadata.token;
        let answer: Value = serde_json::from_slice(&text)
            .map_err(|_| NoTokens::Unusable(format!("{url}: it answered {status}, no JSON")))?;
        let word = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        if status != 200 {
            return Err(match word("error") {
                Some(error) if (400..500).contains(&status) => {
                    let more = word("error_description").map(|more| format!(" ({more})"));
                    NoTokens::Refused(clipped(&format!("{error}{}", more.unwrap_or_default())))
                }
                _ => NoTokens::Unusable(format!("{url}: it answered {status}")),
            });
        }
        let access = word("access_token").unwrap_or_default();
        Ok(Tokens {
            access: Secret::new(access),
            id: word("id_token"),
            refresh: word("refresh_token"),
        })
    }

    /// Sends a form with the gateway's own credentials (RFC 6749 section 2.3.1).
    fn post(
        &self,
        metadata: &Metadata,
        url: &Url,
        form: &[(&str, &str)],
    ) -> Result<(u16, Vec<u8>), String> {
        let mut body = Serializer::new(String::new());
        body.extend_pairs(form);
        let offers = |name: &str| metadata.auth_methods.iter().any(|one| one == name);
        let basic = match &self.plan.secret {
            None => {
                body.append_pair("client_id", &self.plan.id);
                None
            }
            Some(secret) if offers("client_secret_post") && !offers("client_secret_basic") => {
                body.append_pair("client_id", &self.plan.id);
                body.append_pair("client_secret", secret.expose());
                None
            }
            Some(secret) => {
                let part = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", part(&self.plan.id), part(secret.expose()));
                Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
            }
        };
        let body = Secret::new(body.finish());
        let basic = basic.as_ref().map(|basic| basic.expose().as_str());
        self.fetcher.ask(url, basic, Some(body.expose()))
    }

    /// What the provider says of itself; what it said before, if it cannot be asked.
    fn metadata(&self) -> Result<Arc<Metadata>, String> {
        let known = self.metadata.lock().clone();
        if let Some((since, known)) = &known
            && since.elapsed() < METADATA_AGE
        {
            return Ok(Arc::clone(known));
        }
        match self.fetcher.metadata(&self.plan.issuer).and_then(|(value, at)| read(&value, &at)) {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *self.metadata.lock() = Some((Instant::now(), Arc::clone(&metadata)));
                Ok(metadata)
            }
            Err(why) => known.map(|(_, known)| known).ok_or(why),
        }
    }
}

fn read(value: &Value, at: &Url) -> Result<Metadata, String> {
    let url = |name: &str| -> Result<Option<Url>, String> {
        let Some(text) = value.get(name).and_then(Value::as_str) else { return Ok(None) };
        let url = Url::parse(text).map_err(|error| format!("{at}: {name}: {error}"))?;
        crate::fetch::safe(&url)?;
        Ok(Some(url))
    };
    let needed = |name: &str| url(name)?.ok_or_else(|| format!("{at}: there is no text {name:?}"));
    let texts = |name: &str| {
        let all = value.get(name).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let says_iss = value.get("authorization_response_iss_parameter_supported");
    Ok(Metadata {
        authorization: needed("authorization_endpoint")?,
        token: needed("token_endpoint")?,
        userinfo: url("userinfo_endpoint")?,
        end_session: url("end_session_endpoint")?,
        revocation: url("revocation_endpoint")?,
        scopes: texts("scopes_supported"),
        auth_methods: texts("token_endpoint_auth_methods_supported"),
        says_iss: says_iss == Some(&Value::Bool(true)),
    })
}

/// The challenge of a verifier (RFC 7636 section 4.2).
#[must_use]
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn to_text(kept: &Kept) -> Result<Secret<String>, String> {
    serde_json::to_string(kept)
        .map(Secret::new)
        .map_err(|_| "what has to be kept of it cannot be written".to_owned())
}

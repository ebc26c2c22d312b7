//! Clicks on the buttons of messages in Slack: whose they are, and that Slack sent them.
//!
//! Slack signs each request with the signing secret of the app ("Verifying requests from Slack"):
//! version, time and body together. A request counts once, and only within five minutes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use model::limit::{CLICK_AGE_MAX, CLICKS_MAX};
use model::{Principal, PrincipalKind, Secret, Timestamp, is_this_machine};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Approval, ApprovalId};
use stream::{Post, Texts, Trust};
use url::Url;

use crate::notice::Notice;
use crate::slack::{APPROVE, Buttons, DENY, escaped, message};

/// Longest name of a request, bytes.
const ID_BYTES_MAX: usize = 64;
/// Where Slack takes what is said about a click.
const REPLIES_AT: &str = "hooks.slack.com";

/// The signing secret of an app.
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Takes the secret as Slack shows it: its letters count, not what they may stand for.
    #[must_use]
    pub fn new(secret: &Secret<String>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().trim().as_bytes()))
    }

    /// Whether this is the signature of the body at that time. Takes as long for a wrong one.
    fn has_signed(&self, signed: &Signed<'_>, signature: &[u8]) -> bool {
        let text = [b"v0:", signed.timestamp.as_bytes(), b":", signed.body].concat();
        hmac::verify(&self.0, &text, signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// An app whose messages have buttons.
#[derive(Debug)]
pub struct App {
    /// What it signs with.
    pub key: SigningKey,
    /// Who its users are: subject and groups by Slack's id of the user.
    pub users: HashMap<String, (Arc<str>, Vec<Arc<str>>)>,
    /// Whether its messages have values in them.
    pub texts: Texts,
    /// Where it is written to. If that is on this machine, replies may go there too.
    pub base: Option<Url>,
    /// What is trusted there.
    pub trust: Trust,
}

/// A request that says it comes from Slack.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `X-Slack-Request-Timestamp`
    pub timestamp: &'a str,
    /// `X-Slack-Signature`
    pub signature: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClickError {
    /// No place has buttons.
    #[error("no place has a signing_secret, so no click is taken")]
    Unwanted,
    /// It is not signed by any app that is known.
    #[error("the signature is not that of an app in approvals.notify")]
    Signature,
    /// It was signed too long ago, or in the future.
    #[error("it was not signed in the last five minutes")]
    Age,
    /// It came before.
    #[error("the same request came before")]
    Again,
    /// So many came that no more can be remembered.
    #[error("too many clicks in five minutes")]
    Full,
    /// It is signed and is not what Slack sends.
    #[error("it is not a click as Slack sends them")]
    Form,
}

/// A click that Slack vouches for.
#[derive(Debug)]
pub struct Click {
    /// Slack's id of the user.
    pub user: String,
    /// Who that is, if the configuration says so.
    pub person: Option<Principal>,
    /// The request that is answered.
    pub approval: ApprovalId,
    /// Yes or no.
    pub yes: bool,
    /// Where something can be said about it.
    pub reply: Option<Reply>,
}

/// Where something can be said about a click.
#[derive(Debug)]
pub struct Reply {
    post: Post,
    texts: Texts,
}

/// What came of a click.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// It counts, and the request stands like this.
    Counts(&'a Approval),
    /// It does not, for this reason.
    Refused(&'a str),
}

/// Takes clicks.
#[derive(Debug, Default)]
pub struct Clicks {
    apps: Vec<App>,
    /// Signatures that came, and how long they have to be remembered.
    came: Mutex<HashMap<[u8; 32], Timestamp>>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    action_id: String,
    #[serde(default)]
    value: Option<String>,
}

impl Clicks {
    /// Takes clicks on the messages of these apps.
    #[must_use]
    pub fn new(apps: Vec<App>) -> Self {
        Self { apps, came: Mutex::default() }
    }

    /// The same for other apps. What came is still remembered.
    #[must_use]
    pub fn with(self, apps: Vec<App>) -> Self {
        Self { apps, came: self.came }
    }

    /// Takes a request. `None` when it is Slack's and answers nothing.
    ///
    /// # Errors
    ///
    /// When it is not to be believed, or came before.
    pub fn take(&self, signed: &Signed<'_>, now: Timestamp) -> Result<Option<Click>, ClickError> {
        if self.apps.is_empty() {
            return Err(ClickError::Unwanted);
        }
        let signature = signature(signed.signature).ok_or(ClickError::Signature)?;
        // Only what an app signed says anything, its time too.
        let app = self.apps.iter().find(|app| app.key.has_signed(signed, &signature));
        let app = app.ok_or(ClickError::Signature)?;
        let at = signed.timestamp.parse().map_err(|_| ClickError::Form)?;
        if now.seconds().abs_diff(at) > CLICK_AGE_MAX.as_secs() {
            return Err(ClickError::Age);
        }
        self.remember(signature, now)?;
        let payload = payload(signed.body).ok_or(ClickError::Form)?;
        if payload.kind != "block_actions" {
            return Ok(None);
        }
        let ours = |action: &&Action| [APPROVE, DENY].contains(&&*action.action_id);
        let Some(action) = payload.actions.iter().find(ours) else { return Ok(None) };
        let approval = action.value.as_deref().filter(|id| id.len() <= ID_BYTES_MAX);
        let approval = approval.ok_or(ClickError::Form)?;
        let person = app.users.get(&payload.user.id).map(|(subject, groups)| Principal {
            subject: Arc::clone(subject),
            kind: PrincipalKind::Person,
            groups: groups.clone(),
            issuer: "slack".into(),
            on_behalf_of: None,
            on_behalf_of_groups: Vec::new(),
            token: None,
            minted_by: None,
            expires_at: None,
            certificate: None,
        });
        Ok(Some(Click {
            person,
            approval: ApprovalId(approval.into()),
            yes: action.action_id == APPROVE,
            reply: payload.response_url.and_then(|url| app.reply(&url)),
            user: payload.user.id,
        }))
    }

    /// A signature is good for as long as its time is within bounds, before and after. What is over
    /// is forgotten when room is wanted: its age keeps it out.
    fn remember(&self, signature: [u8; 32], now: Timestamp) -> Result<(), ClickError> {
        let mut came = self.came.lock();
        if came.contains_key(&signature) {
            return Err(ClickError::Again);
        }
        if came.len() >= CLICKS_MAX {
            came.retain(|_, until| *until >= now);
        }
        if came.len() >= CLICKS_MAX {
            return Err(ClickError::Full);
        }
        came.insert(signature, now.plus(CLICK_AGE_MAX.saturating_mul(2)));
        Ok(())
    }
}

impl App {
    /// Where a reply may go: to Slack, or to the machine that stands in for it.
    fn reply(&self, url: &str) -> Option<Reply> {
        let url = Url::parse(url).ok()?;
        let is_slack = url.scheme() == "https"
            && url.host_str() == Some(REPLIES_AT)
            && url.port_or_known_default() == Some(443);
        let stands_in = self.base.as_ref().is_some_and(|base| {
            base.host_str().is_some_and(is_this_machine) && base.origin() == url.origin()
        });
        if !is_slack && !stands_in {
            tracing::warn!(place = stream::place(&url), "a click names another place for replies");
            return None;
        }
        let post = Post::new(&url, &self.trust, &[]).ok()?;
        Some(Reply { post, texts: self.texts })
    }
}

impl Reply {
    /// Says what came of the click: to everybody once the request has ended, else to who clicked.
    /// `admin` is the address of the admin API. Waits for the answer.
    pub fn say(&self, outcome: &Outcome<'_>, admin: &str) {
        let only_them = |text: String| {
            let text = escaped(&text);
            json!({ "response_type": "ephemeral", "replace_original": false, "text": text })
        };
        let body = match outcome {
            Outcome::Counts(approval) => {
                let notice = Notice::of(approval, self.texts, admin);
                match notice.waits() {
                    true => only_them(format!("Your yes counts; {} needs more.", notice.id)),
                    false => {
                        let mut body = message(&notice, Buttons::Absent);
                        if let Some(map) = body.as_object_mut() {
                            map.insert("replace_original".to_owned(), true.into());
                        }
                        body
                    }
                }
            }
            Outcome::Refused(why) => only_them(format!("This did not count: {why}.")),
        };
        if let Err(error) = self.post.post(body.to_string().as_bytes(), &[]) {
            tracing::warn!(place = self.post.place(), why = %error, "a click is not replied to");
        }
    }
}

/// `v0=` and 64 hexadecimal digits.
fn signature(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("v0=").filter(|digits| digits.len() == 64)?;
    let mut bytes = [0; 32];
    for (pair, byte) in digits.as_bytes().chunks(2).zip(&mut bytes) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.contains('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

/// A form with one field that holds JSON.
fn payload(body: &[u8]) -> Option<Payload> {
    let mut fields = url::form_urlencoded::parse(body).filter(|(name, _)| name == "payload");
    let (_, text) = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    let value: Value = serde_json::from_str(&text).ok()?;
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const NOW: u64 = 1_700_000_000;

    fn app(base: Option<&str>) -> App {
        let dora = ("dora".into(), vec!["dba".into()]);
        App {
            key: SigningKey::new(&Secret::new(SECRET.to_owned())),
            users: [("U012AB".to_owned(), dora)].into(),
            texts: Texts::Withheld,
            base: base.map(|base| Url::parse(base).unwrap()),
            trust: Trust::default(),
        }
    }

    fn clicks() -> Clicks {
        Clicks::new(vec![app(None)])
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    fn body(user: &str, action: &str, more: &str) -> String {
        let payload = json!({
            "type": "block_actions", "user": { "id": user }, "trigger_id": more,
            "actions": [{ "action_id": action, "value": "ap_1" }],
        });
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("payload", &payload.to_string()).finish()
    }

    fn sign(secret: &str, timestamp: &str, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("v0:{timestamp}:{body}").as_bytes());
        tag.as_ref().iter().fold("v0=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    fn take(clicks: &Clicks, signed_at: u64, body: &str) -> Result<Option<Click>, ClickError> {
        let timestamp = signed_at.to_string();
        let signature = sign(SECRET, &timestamp, body);
        let body = body.as_bytes();
        clicks.take(&Signed { timestamp: &timestamp, signature: &signature, body }, at(NOW))
    }

    /// The example of "Verifying requests from Slack".
    #[test]
    fn a_signature_is_that_of_slacks_documentation() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&\
                    channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
                    &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F\
                    commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=39873\
                    8663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let given = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let signed = Signed { timestamp: "1531420618", signature: given, body: body.as_bytes() };
        let key = SigningKey::new(&Secret::new(SECRET.to_owned()));
        assert!(key.has_signed(&signed, &signature(given).unwrap()));
        let other = Signed { timestamp: "1531420619", ..signed };
        assert!(!key.has_signed(&other, &signature(given).unwrap()));
    }

    #[test]
    fn a_click_says_who_answers_what() {
        let click = take(&clicks(), NOW, &body("U012AB", APPROVE, "")).unwrap().unwrap();
        let person = click.person.unwrap();
        assert_eq!((&*person.subject, &*click.approval.0, click.yes), ("dora", "ap_1", true));
        assert_eq!(person.groups, ["dba".into()]);
        let click = take(&clicks(), NOW, &body("U999", DENY, "")).unwrap().unwrap();
        assert!(click.person.is_none() && !click.yes, "{click:?}");
        assert!(take(&clicks(), NOW, &body("U012AB", "of_another_message", "")).unwrap().is_none());
    }

    #[test]
    fn a_request_that_is_not_signed_by_the_app_is_refused() {
        let text = body("U012AB", APPROVE, "");
        let other = text.replace("ap_1", "ap_2");
        let now = NOW.to_string();
        let right = sign(SECRET, &now, &text);
        for (signature, body) in [
            (sign("another secret", &now, &text), &text),
            (right.clone(), &other),
            (right.replace("v0=", "v1="), &text),
            (right.replace("v0=", ""), &text),
            (right[..66].to_owned(), &text),
            (format!("v0=+{}", &right[4..]), &text),
            (format!("v0={}", "é".repeat(32)), &text),
            (String::new(), &text),
        ] {
            let signed = Signed { timestamp: &now, signature: &signature, body: body.as_bytes() };
            let taken = clicks().take(&signed, at(NOW));
            assert_eq!(taken.err(), Some(ClickError::Signature), "{signature}");
        }
        let signed = Signed { timestamp: &now, signature: &right, body: text.as_bytes() };
        let nobody = Clicks::default();
        assert_eq!(nobody.take(&signed, at(NOW)).err(), Some(ClickError::Unwanted));
    }

    #[test]
    fn a_request_is_taken_for_five_minutes_and_once() {
        for (signed_at, taken) in [
            (NOW - 300, None),
            (NOW - 301, Some(ClickError::Age)),
            (NOW + 300, None),
            (NOW + 301, Some(ClickError::Age)),
        ] {
            let found = take(&clicks(), signed_at, &body("U012AB", APPROVE, "")).err();
            assert_eq!(found, taken, "{signed_at}");
        }
        let clicks = clicks();
        assert!(take(&clicks, NOW, &body("U012AB", APPROVE, "a")).is_ok());
        let again = take(&clicks, NOW, &body("U012AB", APPROVE, "a"));
        assert_eq!(again.err(), Some(ClickError::Again));
        assert!(take(&clicks, NOW, &body("U012AB", APPROVE, "b")).is_ok(), "another one");
        // Also after other apps came into force.
        let clicks = clicks.with(vec![app(None)]);
        let again = take(&clicks, NOW, &body("U012AB", APPROVE, "a"));
        assert_eq!(again.err(), Some(ClickError::Again));
    }

    #[test]
    fn p8_clicks_that_are_remembered_are_bounded() {
        let clicks = clicks();
        for number in 0..CLICKS_MAX {
            let mut signature = [0; 32];
            signature[..8].copy_from_slice(&number.to_be_bytes());
            assert_eq!(clicks.remember(signature, at(NOW)), Ok(()));
        }
        assert_eq!(clicks.remember([255; 32], at(NOW)), Err(ClickError::Full));
        assert_eq!(clicks.remember([255; 32], at(NOW + 601)), Ok(()), "the others are over");
    }

    #[test]
    fn replies_go_to_slack_or_to_what_stands_in_for_it_on_this_machine() {
        for (base, url, goes) in [
            (None, "https://hooks.slack.com/actions/T1/2/x", true),
            (None, "http://hooks.slack.com/actions/T1/2/x", false),
            (None, "https://hooks.slack.com:8443/actions", false),
            (None, "https://hooks.slack.com@evil.example/actions", false),
            (None, "https://hooks.slack.com.evil.example/actions", false),
            (None, "http://127.0.0.1:99/x", false),
            (Some("http://127.0.0.1:99/api"), "http://127.0.0.1:99/x", true),
            (Some("http://127.0.0.1:99/api"), "http://127.0.0.1:98/x", false),
            (Some("https://slack.example/api"), "https://slack.example/x", false),
        ] {
            assert_eq!(app(base).reply(url).is_some(), goes, "{base:?} {url}");
        }
    }

    #[test]
    fn what_is_signed_and_is_no_click_is_told_apart() {
        for body in ["", "payload=%7B", "payload={}&payload={}", "payload=[]", "x=y"] {
            assert_eq!(take(&clicks(), NOW, body).err(), Some(ClickError::Form), "{body}");
        }
        let shortcut =
            "payload=%7B%22type%22%3A%22shortcut%22%2C%22user%22%3A%7B%22id%22%3A%22U%22%7D%7D";
        assert!(take(&clicks(), NOW, shortcut).unwrap().is_none());
    }
}

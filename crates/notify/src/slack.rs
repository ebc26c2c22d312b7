//! A message in Slack, with buttons where the answers to them can be believed.
//!
//! Whatever others wrote stands in plain text objects or in preformatted text, in neither of which
//! Slack looks for links, mentions or marks.

use std::fmt;

use model::Secret;
use serde_json::{Value, json};
use stream::{Post, SendError, Trust, UnusableSink};
use url::Url;

use crate::notice::{Notice, clip};
use crate::worker::Way;

/// The action of the button that says yes.
pub(crate) const APPROVE: &str = "narrows_approve";
/// The action of the button that says no.
pub(crate) const DENY: &str = "narrows_deny";

// Longest texts that Slack takes, in letters.
const HEADER_CHARS_MAX: usize = 150;
const FIELD_CHARS_MAX: usize = 2_000;
const TEXT_CHARS_MAX: usize = 2_900;
/// Fields that one section can hold.
const FIELDS_MAX: usize = 10;

/// What Slack says when exactly this message is wrong. With everything else there is an account or
/// a channel to put right, or Slack is busy.
const WRONG_MESSAGE: [&str; 6] = [
    "invalid_blocks",
    "invalid_blocks_format",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "too_many_attachments",
];

/// Whether messages have buttons.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Buttons {
    /// Clicks are taken.
    Shown,
    /// They are not: a message says which command answers.
    Absent,
}

/// A channel in Slack.
pub struct Slack {
    way: Channel,
    buttons: Buttons,
}

enum Channel {
    /// An incoming webhook, which knows its channel and never changes a message.
    Incoming(Post),
    /// The web API: a message about a request is changed when the request ends.
    Api { post: Post, update: Post, channel: String },
}

impl Slack {
    /// A channel with an incoming webhook.
    ///
    /// # Errors
    ///
    /// When the address cannot be used.
    pub fn incoming(url: &Url, trust: &Trust, buttons: Buttons) -> Result<Self, UnusableSink> {
        Ok(Self { way: Channel::Incoming(Post::new(url, trust, &[])?), buttons })
    }

    /// A channel by its name or id, written to with the token of a bot. `api` is
    /// `https://slack.com/api/`.
    ///
    /// # Errors
    ///
    /// When the address or the token cannot be used.
    pub fn channel(
        api: &Url,
        trust: &Trust,
        channel: &str,
        token: &Secret<String>,
        buttons: Buttons,
    ) -> Result<Self, UnusableSink> {
        let bearer = Secret::new(format!("Bearer {}", token.expose().trim()));
        let fields = [("authorization".to_owned(), bearer)];
        let method = |name: &str| {
            let mut url = api.clone();
            let path = format!("{}/{name}", url.path().trim_end_matches('/'));
            url.set_path(&path);
            Post::new(&url, trust, &fields)
        };
        let (post, update) = (method("chat.postMessage")?, method("chat.update")?);
        Ok(Self { way: Channel::Api { post, update, channel: channel.to_owned() }, buttons })
    }
}

impl Way for Slack {
    fn tell(&mut self, notice: &Notice, before: Option<&str>) -> Result<String, SendError> {
        let mut body = message(notice, self.buttons);
        let (post, update, channel) = match &self.way {
            Channel::Incoming(post) => {
                return post.post(body.to_string().as_bytes(), &[]).map(|_| String::new());
            }
            Channel::Api { post, update, channel } => (post, update, channel),
        };
        let known = before.and_then(|receipt| receipt.split_once(' '));
        if let Some((there, ts)) = known {
            if let Some(map) = body.as_object_mut() {
                map.insert("channel".to_owned(), there.into());
                map.insert("ts".to_owned(), ts.into());
            }
            match ask(update, &body) {
                // The message is gone, or too old to be changed: another one says it.
                Err(SendError::Refused(_)) => {}
                told => return told,
            }
        }
        if let Some(map) = body.as_object_mut() {
            map.insert("channel".to_owned(), channel.as_str().into());
            map.remove("ts");
        }
        ask(post, &body)
    }
}

impl fmt::Debug for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slack").field("buttons", &self.buttons).finish_non_exhaustive()
    }
}

/// Calls a method; what names the message: its channel and its time.
fn ask(method: &Post, body: &Value) -> Result<String, SendError> {
    let answer = method.post(body.to_string().as_bytes(), &[])?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let word = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    if answer.get("ok") == Some(&Value::Bool(true)) {
        return Ok(format!("{} {}", word("channel"), word("ts")));
    }
    let error = stream::clipped(word("error"));
    let is_gone = ["message_not_found", "cant_update_message", "edit_window_closed"];
    let why = format!("Slack answered {error:?}");
    match WRONG_MESSAGE.contains(&&*error) || is_gone.contains(&&*error) {
        true => Err(SendError::Refused(why)),
        false => Err(SendError::away(why)),
    }
}

/// The message: its text for notifications, and its blocks.
pub(crate) fn message(notice: &Notice, buttons: Buttons) -> Value {
    json!({ "text": fallback(notice), "blocks": blocks(notice, buttons) })
}

/// The one text in which Slack looks for marks.
fn fallback(notice: &Notice) -> String {
    escaped(&notice.title())
}

/// As Slack wants text in which nothing is to be a link or a mention.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn plain(text: &str, chars_max: usize) -> Value {
    json!({ "type": "plain_text", "text": clip(text, chars_max), "emoji": false })
}

fn blocks(notice: &Notice, buttons: Buttons) -> Value {
    let details = notice.details();
    let fields: Vec<Value> = details
        .iter()
        .take(FIELDS_MAX)
        .map(|(label, value)| plain(&format!("{label}\n{value}"), FIELD_CHARS_MAX))
        .collect();
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&notice.title(), HEADER_CHARS_MAX) }),
        json!({ "type": "section", "fields": fields }),
    ];
    if !notice.operation.trim().is_empty() {
        blocks.push(preformatted(notice.of_text(), &notice.operation));
    }
    if let Some(values) = notice.values() {
        blocks.push(preformatted("Values", &values));
    }
    if notice.waits() {
        let by_hand = format!("{}   or   {}   or   {}", notice.approve, notice.deny, notice.url);
        let by_hand = plain(&by_hand, FIELD_CHARS_MAX);
        if buttons == Buttons::Shown {
            blocks.push(json!({
                "type": "actions",
                "block_id": format!("narrows_{}", notice.id),
                "elements": [
                    button("Approve", APPROVE, "primary", notice),
                    button("Deny", DENY, "danger", notice),
                ]
            }));
        }
        blocks.push(json!({ "type": "context", "elements": [by_hand] }));
    }
    blocks.into()
}

fn preformatted(label: &str, text: &str) -> Value {
    json!({
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [{ "type": "text", "text": label, "style": { "bold": true } }]
            },
            {
                "type": "rich_text_preformatted",
                "elements": [{ "type": "text", "text": clip(text, TEXT_CHARS_MAX) }]
            }
        ]
    })
}

fn button(label: &str, action: &str, style: &str, notice: &Notice) -> Value {
    json!({
        "type": "button",
        "text": plain(label, HEADER_CHARS_MAX),
        "action_id": action,
        "value": notice.id,
        "style": style
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Texts;
    use crate::notice::tests::new;
    use crate::worker::tests::Desk;

    /// Every text object and every text in which Slack looks for marks.
    fn marked(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if map.get("type") == Some(&"mrkdwn".into()) {
                    found.push(value.to_string());
                }
                map.values().for_each(|value| marked(value, found));
            }
            Value::Array(all) => all.iter().for_each(|value| marked(value, found)),
            _ => {}
        }
    }

    fn notice(texts: Texts) -> Notice {
        let desk = Desk::new();
        let mut ask = new("SELECT '<!channel>', `x` FROM t -- <https://evil.example|ok>");
        ask.principal.subject = "<!channel> *reader*".into();
        let id = desk.ask(ask);
        let approval = desk.approvals.approval(&id).unwrap().unwrap();
        Notice::of(&approval, texts, "http://127.0.0.1:7070")
    }

    #[test]
    fn what_others_wrote_is_never_a_mention_or_a_link() {
        let message = message(&notice(Texts::Sent), Buttons::Shown);
        let mut found = Vec::new();
        marked(&message, &mut found);
        assert!(found.is_empty(), "{found:?}");
        let text = message["text"].as_str().unwrap();
        assert!(text.starts_with("&lt;!channel&gt; *reader* asks"), "{text}");
    }

    #[test]
    fn buttons_carry_the_request_and_are_there_only_where_clicks_are_taken() {
        let notice = notice(Texts::Withheld);
        let with = message(&notice, Buttons::Shown).to_string();
        for word in [APPROVE, DENY, &notice.id, &notice.approve, &notice.url] {
            assert!(with.contains(word), "{word}: {with}");
        }
        assert!(!message(&notice, Buttons::Absent).to_string().contains(APPROVE));
        let ended = Notice { status: "denied", ..notice };
        assert!(!message(&ended, Buttons::Shown).to_string().contains(APPROVE));
    }

    #[test]
    fn p8_texts_are_within_what_slack_takes() {
        let mut notice = notice(Texts::Sent);
        notice.operation = "é".repeat(5_000);
        notice.principal = "p".repeat(5_000);
        notice.reads = vec!["r".repeat(5_000)];
        let message = message(&notice, Buttons::Shown);
        let blocks = message["blocks"].as_array().unwrap();
        let header = blocks[0]["text"]["text"].as_str().unwrap();
        assert_eq!(header.chars().count(), HEADER_CHARS_MAX);
        for field in blocks[1]["fields"].as_array().unwrap() {
            assert!(field["text"].as_str().unwrap().chars().count() <= FIELD_CHARS_MAX);
        }
        let text = blocks[2]["elements"][1]["elements"][0]["text"].as_str().unwrap();
        assert_eq!(text.chars().count(), TEXT_CHARS_MAX);
    }
}

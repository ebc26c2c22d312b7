//! Who is told of approvals (`approvals.notify`), and whose clicks in Slack answer them.

use std::path::{Path, PathBuf};

use model::is_this_machine;
use policy::{ActionSpec, Location, RuleSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use url::Url;

use super::address::{self, Carries};
use super::machine::Machine;
use super::nearest::nearest;
use super::read::{At, Form, Named, Report, form};
use super::scalar::{Address, FileForm, SecretForm};
use super::tree::{Node, Value, quoted};
use super::working::{check_file, relative_secret};

/// Places that are told.
const PLACES_MAX: usize = 16;
/// Mailboxes of one place.
const MAILBOXES_MAX: usize = 50;
/// The web API of Slack.
const SLACK_API: &str = "https://slack.com/api/";
const SMTPS_PORT: u16 = 465;
const SMTP_PORT: u16 = 587;

form! {
    /// Approvals of operations that are held.
    pub struct Approvals {
        /// Who is told of new requests for approval, and of their ends.
        "notify" => notify: Vec<NotifyForm>,
    }
}

form! {
    /// A place where people are told. Exactly one of `webhook`, `slack`, `email`.
    pub struct NotifyForm {
        /// An address that takes JSON by POST, signed as Standard Webhooks are.
        "webhook" => webhook: At<String>,
        /// What requests to `webhook` are signed with: `whsec_…`, or any text of 24 bytes or more.
        "secret" => secret: At<SecretForm>,
        /// A channel in Slack: the address of an incoming webhook, which is a secret, or
        /// `{ channel, token }`.
        "slack" => slack: At<SlackForm>,
        /// The signing secret of the Slack app: with it messages have buttons, whose clicks are
        /// taken at `/slack/actions` of the admin API.
        "signing_secret" => signing_secret: At<SecretForm>,
        /// Who the users in Slack are, by their ids (`U…`): only they answer by clicking.
        "users" => users: Named<SlackUser>,
        /// Mailboxes.
        "email" => email: EmailForm,
        /// Tells only what members of these groups may answer. Default: everything.
        "groups" => groups: Vec<At<String>>,
        /// Certificates to trust besides the system's, PEM.
        "ca" => ca: At<FileForm>,
        /// Sends the values in texts and parameters, too. Default: false.
        "texts" => texts: At<bool>,
    }
}

form! {
    /// A channel in Slack, written to by a bot.
    pub struct SlackChannel {
        /// Its name or id.
        #[schemars(required)]
        "channel" => channel: At<String>,
        /// The bot's token (`xoxb-…`), with the scope `chat:write`.
        #[schemars(required)]
        "token" => token: At<SecretForm>,
        /// Where the web API is. Default: `https://slack.com/api/`.
        "api" => api: At<String>,
    }
}

form! {
    /// Who a user in Slack is.
    pub struct SlackUser {
        /// Their subject, as in tokens: nobody answers their own request.
        #[schemars(required)]
        "subject" => subject: At<String>,
        /// Their groups.
        #[schemars(required)]
        "groups" => groups: Vec<At<String>>,
    }
}

form! {
    /// Mailboxes, and the server through which they are written to.
    pub struct EmailForm {
        /// `smtps://HOST[:465]` (inside TLS), or `smtp://HOST[:587]`, where nothing is sent before
        /// STARTTLS except on this machine.
        #[schemars(required)]
        "smtp" => smtp: At<String>,
        /// The sender.
        #[schemars(required)]
        "from" => from: At<String>,
        /// Who is written to.
        #[schemars(required)]
        "to" => to: Vec<At<String>>,
        /// The account at the server.
        "user" => user: At<String>,
        /// Its password.
        "password" => password: At<SecretForm>,
    }
}

/// `slack`: an incoming webhook, or a channel.
#[derive(Clone, Debug)]
pub enum SlackForm {
    /// The address of an incoming webhook.
    Incoming(SecretForm),
    /// A channel.
    Channel(Box<SlackChannel>),
}

impl Form for SlackForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let is_source = |key: &str| ["env", "file", "command"].contains(&key);
        match &node.value {
            Value::Table(entries) if !entries.iter().any(|(key, _)| is_source(&key.name)) => {
                SlackChannel::read(node, what, report).map(|form| Self::Channel(Box::new(form)))
            }
            Value::Text(_) | Value::Table(_) => {
                SecretForm::read(node, what, report).map(Self::Incoming)
            }
            _ => {
                // It may be the secret itself, so it is not repeated.
                let message = format!("{what}: found neither an address nor a channel");
                report.problem(&node.at, message, "write {env: NAME} or { channel, token }");
                None
            }
        }
    }
}

impl JsonSchema for SlackForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Slack".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<SecretForm>();
        let channel = generator.subschema_for::<SlackChannel>();
        json_schema!({ "anyOf": [secret, channel] })
    }
}

/// A place where people are told.
#[derive(Clone, Debug)]
pub struct Telling {
    /// Where it stands in the file.
    pub at: Location,
    /// How it is reached.
    pub way: TellingWay,
    /// Only what these groups may answer.
    pub groups: Vec<String>,
    /// More certificates to trust.
    pub ca: Option<PathBuf>,
    /// Values are sent.
    pub texts: bool,
}

/// How a place is reached.
#[derive(Clone, Debug)]
pub enum TellingWay {
    /// A webhook.
    Webhook(Url, SecretForm),
    /// Slack, and who may click there.
    Slack(SlackWay, Option<ClicksFrom>),
    /// Mailboxes.
    Email(Mail),
}

/// How Slack is reached.
#[derive(Clone, Debug)]
pub enum SlackWay {
    /// By an incoming webhook.
    Incoming(SecretForm),
    /// By the web API: its address, the channel, the token.
    Channel(Url, String, SecretForm),
}

/// Whose clicks are taken.
#[derive(Clone, Debug)]
pub struct ClicksFrom {
    /// What the app signs with.
    pub signing_secret: SecretForm,
    /// Slack's id, subject and groups.
    pub users: Vec<(String, String, Vec<String>)>,
}

/// Mailboxes.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The server.
    pub server: Address,
    /// TLS from the beginning.
    pub tls: bool,
    /// The sender.
    pub from: String,
    /// Who is written to.
    pub to: Vec<String>,
    /// Account and password.
    pub account: Option<(String, SecretForm)>,
}

impl Mail {
    /// `smtps://host:port`
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "smtps" } else { "smtp" }, self.server)
    }
}

impl std::fmt::Display for TellingWay {
    /// Without what may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Webhook(url, _) => write!(f, "webhook {}", stream::place(url)),
            Self::Slack(SlackWay::Incoming(form), _) => {
                write!(f, "slack incoming webhook {}", form.describe())
            }
            Self::Slack(SlackWay::Channel(_, channel, _), _) => write!(f, "slack {channel}"),
            Self::Email(mail) => write!(f, "email {} through {}", mail.to.join(", "), mail.url()),
        }
    }
}

/// Completes what `approvals` says.
pub fn complete(
    form: Option<Approvals>,
    rules: &[RuleSpec],
    (base, machine): (&Path, &dyn Machine),
    report: &mut Report,
) -> Vec<Telling> {
    let mut reader = Reader { base, machine, report, what: String::new() };
    let mut known: Vec<String> = Vec::new();
    let mut places = Vec::new();
    for (index, form) in
        form.and_then(|form| form.notify).unwrap_or_default().into_iter().enumerate()
    {
        reader.what = format!("approvals.notify[{index}]");
        let at = form.here.at.clone();
        if index == PLACES_MAX {
            let message = format!("{}: there are more than {PLACES_MAX}", reader.what);
            reader.report.problem(&at, message, "");
        }
        reader.groups(&form, rules);
        let Some(place) = reader.place(form) else { continue };
        let name = address_of(&place.way);
        if known.contains(&name) {
            let message = format!("{}: another one goes to the same address", reader.what);
            let help = "what it was told is remembered by address; leave one out";
            reader.report.problem(&at, message, help);
        }
        known.push(name);
        places.push(place);
    }
    places
}

/// What tells a place from others.
pub fn address_of(way: &TellingWay) -> String {
    match way {
        TellingWay::Webhook(url, _) => url.to_string(),
        TellingWay::Slack(SlackWay::Incoming(form), _) => match form {
            SecretForm::Literal(text) => text.expose().clone(),
            other => other.describe(),
        },
        TellingWay::Slack(SlackWay::Channel(api, channel, _), _) => format!("{api} {channel}"),
        TellingWay::Email(mail) => format!("{} {}", mail.url(), mail.to.join(" ")),
    }
}

struct Reader<'a> {
    base: &'a Path,
    machine: &'a dyn Machine,
    report: &'a mut Report,
    what: String,
}

impl Reader<'_> {
    fn place(&mut self, form: NotifyForm) -> Option<Telling> {
        let NotifyForm {
            here,
            webhook,
            secret,
            slack,
            signing_secret,
            users,
            email,
            groups,
            ca,
            texts,
        } = form;
        if here.broken {
            return None;
        }
        let named = [here.has("webhook"), here.has("slack"), here.has("email")];
        if named.iter().filter(|named| **named).count() != 1 {
            let message = format!("{} has to name one place", self.what);
            self.report.problem(&here.at, message, "write one of: webhook, slack, email");
            return None;
        }
        self.only_with(&here.at, secret.is_some() && webhook.is_none(), "secret", "webhook");
        let clicks = signing_secret.is_some() && slack.is_none();
        self.only_with(&here.at, clicks, "signing_secret", "slack");
        self.only_with(&here.at, users.is_some() && slack.is_none(), "users", "slack");
        let way = match (webhook, slack, email) {
            (Some(url), ..) => self.webhook(&url, secret)?,
            (_, Some(slack), _) => {
                let clicks = self.clicks(&here.at, signing_secret, users);
                TellingWay::Slack(self.slack(slack)?, clicks)
            }
            (_, _, Some(email)) => TellingWay::Email(self.email(email)?),
            _ => return None,
        };
        let groups = groups.unwrap_or_default().into_iter().map(|group| group.value).collect();
        let texts = texts.is_some_and(|texts| texts.value);
        let ca = ca.map(|ca| {
            let path = self.base.join(ca.value.0);
            check_file(self.machine, &path, &format!("{}.ca", self.what), &ca.at, self.report);
            path
        });
        Some(Telling { at: here.at, way, groups, ca, texts })
    }

    /// A group that no rule asks is most likely a slip.
    fn groups(&mut self, form: &NotifyForm, rules: &[RuleSpec]) {
        let asked: Vec<&str> = rules
            .iter()
            .filter_map(|rule| match &rule.action {
                ActionSpec::Approve(approve) => Some(&approve.by),
                _ => None,
            })
            .flatten()
            .map(|group| group.value.as_str())
            .collect();
        for group in form.groups.iter().flatten() {
            if asked.contains(&&*group.value) {
                continue;
            }
            let word = quoted(&group.value);
            let message = format!("{}.groups: no rule asks group {word}", self.what);
            let help = match nearest(&group.value, asked.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "nothing is told for it".to_owned(),
            };
            self.report.warn(&group.at, message, help);
        }
    }

    fn only_with(&mut self, at: &Location, wrong: bool, key: &str, other: &str) {
        if wrong {
            let message = format!("{}: {key} goes with {other} only", self.what);
            self.report.problem(at, message, "leave it out");
        }
    }

    fn missing(&mut self, at: &Location, of: &str, key: &str, example: &str) {
        let message = format!("{}{of} has no {key}", self.what);
        self.report.problem(at, message, format!("write {key}: {example}"));
    }

    fn webhook(
        &mut self,
        written: &At<String>,
        secret: Option<At<SecretForm>>,
    ) -> Option<TellingWay> {
        let Some(secret) = secret else {
            let message = format!("{} has no secret to sign with", self.what);
            self.report.problem(&written.at, message, "write secret: {env: NAME}");
            return None;
        };
        let what = format!("{}.webhook", self.what);
        let url = address::url(written, &what, Carries::Events, self.report)?;
        if url.scheme() == "http" && !is_this_machine(url.host_str().unwrap_or_default()) {
            let message = format!("{}: it crosses the network in clear text", self.what);
            self.report.warn(&written.at, message, "use https://");
        }
        Some(TellingWay::Webhook(url, relative_secret(secret.value, self.base)))
    }

    fn slack(&mut self, slack: At<SlackForm>) -> Option<SlackWay> {
        let what = format!("{}.slack", self.what);
        match slack.value {
            SlackForm::Incoming(SecretForm::Literal(text)) => {
                let written = At { value: text.expose().clone(), at: slack.at };
                address::url(&written, &what, Carries::Secrets, self.report)?;
                Some(SlackWay::Incoming(SecretForm::Literal(text)))
            }
            SlackForm::Incoming(form) => Some(SlackWay::Incoming(relative_secret(form, self.base))),
            SlackForm::Channel(form) => {
                let SlackChannel { here, channel, token, api } = *form;
                if !here.has("channel") {
                    self.missing(&here.at, ".slack", "channel", "\"#approvals\"");
                }
                if !here.has("token") {
                    self.missing(&here.at, ".slack", "token", "{env: SLACK_TOKEN}");
                }
                let api = api.unwrap_or(At { value: SLACK_API.to_owned(), at: here.at });
                let api = address::url(&api, &format!("{what}.api"), Carries::Secrets, self.report);
                let token = relative_secret(token?.value, self.base);
                Some(SlackWay::Channel(api?, channel?.value, token))
            }
        }
    }

    fn clicks(
        &mut self,
        at: &Location,
        signing_secret: Option<At<SecretForm>>,
        users: Option<Named<SlackUser>>,
    ) -> Option<ClicksFrom> {
        let written = users.is_some();
        let mut known = Vec::new();
        for (id, user) in users.map(|named| named.0).unwrap_or_default() {
            let what = format!(".users.{}", id.value);
            let is_id = id.value.starts_with(['U', 'W'])
                && id.value.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
            if !is_id {
                let message = format!("{}.users: found {}", self.what, quoted(&id.value));
                let help = "write the member id, which Slack shows in the profile: U012AB3CD";
                self.report.problem(&id.at, message, help);
            }
            if !user.here.has("subject") {
                self.missing(&user.here.at, &what, "subject", "dora");
            }
            if !user.here.has("groups") {
                self.missing(&user.here.at, &what, "groups", "[dba]");
            }
            let groups = user.groups.unwrap_or_default().into_iter().map(|group| group.value);
            let subject = user.subject.filter(|subject| !self.is_admin(subject));
            if let Some(subject) = subject {
                known.push((id.value, subject.value, groups.collect()));
            }
        }
        match signing_secret {
            Some(form) => {
                if !written {
                    let message = format!("{}: nobody's clicks are taken", self.what);
                    let help = "write users: { U012AB3CD: { subject: dora, groups: [dba] } }";
                    self.report.warn(&form.at, message, help);
                }
                let signing_secret = relative_secret(form.value, self.base);
                Some(ClicksFrom { signing_secret, users: known })
            }
            None if written => {
                let message = format!("{}: users is there, and no signing_secret", self.what);
                let help = "write signing_secret: {env: SLACK_SIGNING_SECRET}";
                self.report.problem(at, message, help);
                None
            }
            None => None,
        }
    }

    /// The admin token's subject is nobody's: it stands in for any group.
    fn is_admin(&mut self, subject: &At<String>) -> bool {
        let is_admin = subject.value.eq_ignore_ascii_case("admin.token");
        if is_admin {
            let message = format!("{}.users: admin.token is nobody", self.what);
            self.report.problem(&subject.at, message, "write the person's own subject");
        }
        is_admin
    }

    fn email(&mut self, form: EmailForm) -> Option<Mail> {
        let EmailForm { here, smtp, from, to, user, password } = form;
        for (key, example) in [
            ("smtp", "smtps://mail.example.org"),
            ("from", "narrows@example.org"),
            ("to", "[dba@example.org]"),
        ] {
            if !here.has(key) {
                self.missing(&here.at, ".email", key, example);
            }
        }
        let to = to.unwrap_or_default();
        for mailbox in from.iter().chain(&to).filter(|one| !notify::is_mailbox(&one.value)) {
            let found = quoted(&mailbox.value);
            let message = format!("{}.email: found {found}", self.what);
            self.report.problem(&mailbox.at, message, "write an address: dba@example.org");
        }
        if here.has("to") && (to.is_empty() || to.len() > MAILBOXES_MAX) {
            let message = format!("{}.email.to has {} addresses", self.what, to.len());
            self.report.problem(&here.at, message, format!("write 1 to {MAILBOXES_MAX}"));
        }
        let account = match (user, password) {
            (Some(user), Some(password)) => {
                Some((user.value, relative_secret(password.value, self.base)))
            }
            (None, None) => None,
            _ => {
                let message = format!("{}.email: user and password go together", self.what);
                self.report.problem(&here.at, message, "write both, or leave both out");
                None
            }
        };
        let (server, tls) = self.server(&smtp?)?;
        let to = to.into_iter().map(|one| one.value).collect();
        Some(Mail { server, tls, from: from?.value, to, account })
    }

    fn server(&mut self, written: &At<String>) -> Option<(Address, bool)> {
        let (rest, tls, port) = match written.value.split_once("://") {
            Some(("smtps", rest)) => (rest, true, SMTPS_PORT),
            Some(("smtp", rest)) => (rest, false, SMTP_PORT),
            _ => ("", true, SMTPS_PORT),
        };
        let rest = rest.trim_end_matches('/');
        let whole = Address::parse(rest).or_else(|| Address::parse(&format!("{rest}:{port}")));
        let Some(server) = whole.filter(|_| !rest.is_empty()) else {
            // An account in it would be a password.
            let message = format!("{}.email.smtp: not the address of a server", self.what);
            let help = "write smtps://HOST[:465] or smtp://HOST[:587]; an account goes into user \
                        and password";
            self.report.problem(&written.at, message, help);
            return None;
        };
        Some((server, tls))
    }
}

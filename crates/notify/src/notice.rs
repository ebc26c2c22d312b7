//! What people are told of a request for approval, before it has the form of any place.

use std::sync::Arc;

use model::limit::NOTICE_TEXT_CHARS_MAX;
use model::{PrincipalKind, Timestamp};
use serde::Serialize;
use store::approvals::Vote;
use store::{Approval, ApprovalRule, GrantScope};

pub use store::approvals::Status;
pub use stream::Texts;

use crate::hide::without_values;

/// Letters of a name in a message.
const NAME_CHARS_MAX: usize = 200;
/// Letters of a reason in a message.
const REASON_CHARS_MAX: usize = 500;
/// Names in one list of a message.
const NAMES_MAX: usize = 30;

/// A request for approval as people are told of it. Its names are bounded and hold no control
/// characters.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    /// The request's name.
    pub id: String,
    /// Where it stands: `pending`, `approved`, `denied`, `expired`, `withdrawn`.
    pub status: &'static str,
    /// Who asks.
    pub principal: String,
    /// Agent, person or service.
    pub kind: &'static str,
    /// For whom, with delegation.
    pub on_behalf_of: Option<String>,
    /// On what.
    pub resource: String,
    /// The session that asked; empty when access is asked for.
    pub session: String,
    /// Access for a time is asked for, and no operation waits.
    pub is_access: bool,
    /// The rules that ask.
    pub rules: Vec<RuleNotice>,
    /// What the operation does: `select`, `insert`, …
    pub verbs: Vec<String>,
    /// What it reads.
    pub reads: Vec<String>,
    /// What it writes.
    pub writes: Vec<String>,
    /// Its text, clipped; see [`Notice::text_is`].
    pub operation: String,
    /// How the text is shown: `whole`, `clipped`, or `without values`.
    pub text_is: &'static str,
    /// Values beside the text; only where texts are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<Option<String>>>,
    /// Rows withheld, when the reply is what is held.
    pub rows_seen: Option<u64>,
    /// Kinds of sensitive values found in them, and how many.
    pub detections: Vec<String>,
    /// When it was asked.
    pub requested_at: String,
    /// How long the client waits.
    pub wait_until: String,
    /// How long it can be answered.
    pub expires_at: String,
    /// What a yes covers: `once`, `session`, or a length of time.
    pub grant: String,
    /// Who answered what so far.
    pub answers: Vec<AnswerNotice>,
    /// The command that says yes.
    pub approve: String,
    /// The command that says no.
    pub deny: String,
    /// Where it is in the admin API.
    pub url: String,
}

/// A rule that asks.
#[derive(Clone, Debug, Serialize)]
pub struct RuleNotice {
    /// Its name.
    pub rule: String,
    /// Groups whose members may answer.
    pub by: Vec<String>,
    /// How many of them it takes.
    pub needs: u32,
}

/// One person's answer.
#[derive(Clone, Debug, Serialize)]
pub struct AnswerNotice {
    /// Who.
    pub by: String,
    /// Yes or no.
    pub yes: bool,
    /// When.
    pub at: String,
    /// Why, in their words.
    pub reason: Option<String>,
}

impl Notice {
    /// What is told of `approval` as it stands. `admin` is the address of the admin API.
    #[must_use]
    pub fn of(approval: &Approval, texts: Texts, admin: &str) -> Self {
        let id = line(&approval.id.0, NAME_CHARS_MAX);
        // Why somebody wants access is written for those who answer.
        let texts_of = if approval.access.is_some() { Texts::Sent } else { texts };
        let (operation, text_is) = operation(&approval.text, texts_of);
        let value = |value: &Option<String>| value.as_ref().map(|it| line(it, NAME_CHARS_MAX));
        let parameters = || {
            let some = approval.parameters.iter().take(NAMES_MAX);
            some.map(|parameter| value(&parameter.value)).collect()
        };
        let detections = approval.detections.iter().take(NAMES_MAX);
        Self {
            status: approval.status.as_str(),
            principal: name(&approval.principal.subject),
            kind: match approval.principal.kind {
                PrincipalKind::Person => "person",
                PrincipalKind::Service => "service",
                PrincipalKind::Agent => "agent",
            },
            on_behalf_of: approval.principal.on_behalf_of.as_ref().map(|who| name(who)),
            resource: name(&approval.resource),
            session: name(&approval.session.0),
            is_access: approval.access.is_some(),
            rules: approval.rules.iter().take(NAMES_MAX).map(rule).collect(),
            verbs: names(&approval.objects.verbs),
            reads: names(&approval.objects.reads),
            writes: names(&approval.objects.writes),
            operation,
            text_is,
            parameters: (texts == Texts::Sent).then(parameters),
            rows_seen: approval.rows_seen,
            detections: detections
                .map(|one| format!("{} ({})", name(&one.kind), one.seen))
                .collect(),
            requested_at: time(approval.requested_at),
            wait_until: time(approval.wait_until),
            expires_at: time(approval.expires_at),
            grant: match approval.grant {
                GrantScope::Once => "once".to_owned(),
                GrantScope::Session => "session".to_owned(),
                GrantScope::For(length) => format!("{} s", length.as_secs()),
            },
            answers: approval.votes.iter().take(NAMES_MAX).map(answer).collect(),
            approve: format!("narrows approve {id}"),
            deny: format!("narrows deny {id} --reason WHY"),
            url: format!("{admin}/api/v1/approvals/{id}"),
            id,
        }
    }

    /// Whether it can still be answered.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.status == Status::Pending.as_str()
    }

    /// What happened: `requested`, `approved`, `denied`, `expired`, `withdrawn`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.waits() { "requested" } else { self.status }
    }

    /// When that happened; of what was taken back, when it was asked.
    #[must_use]
    pub fn happened_at(&self) -> &str {
        let last = self.answers.last().map(|answer| answer.at.as_str());
        match self.status {
            "approved" | "denied" => last.unwrap_or(&self.requested_at),
            "expired" => &self.expires_at,
            _ => &self.requested_at,
        }
    }

    /// One line that says what it is about.
    #[must_use]
    pub fn title(&self) -> String {
        let Self { id, principal, resource, .. } = self;
        match self.status {
            "pending" if self.is_access => {
                format!("{principal} asks for access to {resource} ({id})")
            }
            "pending" => format!("{principal} asks for an approval on {resource} ({id})"),
            "expired" => format!("Nobody answered: {principal} on {resource} ({id})"),
            "withdrawn" => format!("Taken back: {principal} on {resource} ({id})"),
            word => {
                let said = |answer: &&AnswerNotice| answer.yes == (word == "approved");
                let by: Vec<&str> =
                    self.answers.iter().filter(said).map(|answer| answer.by.as_str()).collect();
                let (first, rest) = word.split_at(1);
                let word = format!("{}{rest}", first.to_uppercase());
                format!("{word} by {}: {principal} on {resource} ({id})", by.join(", "))
            }
        }
    }

    /// What there is to say besides the title, the text and the commands: names and values.
    #[must_use]
    pub fn details(&self) -> Vec<(&'static str, String)> {
        let who = format!("{} ({})", self.principal, self.kind);
        let mut details = vec![("Who", who)];
        details.extend(self.on_behalf_of.clone().map(|party| ("On behalf of", party)));
        details.push(("Resource", self.resource.clone()));
        let rules = self.rules.iter().map(|rule| {
            let of = if rule.needs > 1 { format!("{} of ", rule.needs) } else { String::new() };
            format!("{} (answered by {of}{})", rule.rule, rule.by.join(", "))
        });
        details.push(("Rule", rules.collect::<Vec<_>>().join("; ")));
        let lists = [("Does", &self.verbs), ("Writes", &self.writes), ("Reads", &self.reads)];
        let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
        details.extend(lists.map(|(label, names)| (label, names.join(", "))));
        details.extend(self.rows_seen.map(|rows| ("Withheld", format!("{rows} rows"))));
        if !self.detections.is_empty() {
            details.push(("Found in them", self.detections.join(", ")));
        }
        if self.waits() {
            details.push(("Expires", self.expires_at.clone()));
        }
        for answer in &self.answers {
            let word = if answer.yes { "Yes from" } else { "No from" };
            let reason = answer.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            details.push((word, format!("{}{reason}", answer.by)));
        }
        details
    }

    /// What is said above the text.
    #[must_use]
    pub fn of_text(&self) -> &'static str {
        match self.text_is {
            _ if self.is_access => "What for",
            "without values" => "The operation, its values hidden",
            "clipped" => "The operation, its beginning",
            _ => "The operation",
        }
    }

    /// The values beside the text as one line, where they are sent.
    #[must_use]
    pub fn values(&self) -> Option<String> {
        let all = self.parameters.as_ref().filter(|all| !all.is_empty())?;
        let one = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
        Some(all.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}

fn operation(text: &str, texts: Texts) -> (String, &'static str) {
    let shown = match texts {
        Texts::Sent => {
            let kept = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
            text.chars().filter(kept).take(NOTICE_TEXT_CHARS_MAX + 1).collect()
        }
        Texts::Withheld => without_values(text),
    };
    let mut clipped = clip(&shown, NOTICE_TEXT_CHARS_MAX);
    let is_clipped = clipped.len() < shown.len();
    if is_clipped {
        clipped.push('…');
    }
    let text_is = match (texts, is_clipped) {
        (Texts::Withheld, _) => "without values",
        (Texts::Sent, true) => "clipped",
        (Texts::Sent, false) => "whole",
    };
    (clipped, text_is)
}

fn rule(rule: &ApprovalRule) -> RuleNotice {
    RuleNotice { rule: name(&rule.rule), by: names(&rule.by), needs: rule.needs.max(1) }
}

fn answer(vote: &Vote) -> AnswerNotice {
    AnswerNotice {
        by: name(&vote.by),
        yes: vote.yes,
        at: time(vote.at),
        reason: vote.reason.as_ref().map(|why| line(why, REASON_CHARS_MAX)),
    }
}

fn names(all: &[Arc<str>]) -> Vec<String> {
    let mut names: Vec<String> = all.iter().take(NAMES_MAX).map(|one| name(one)).collect();
    if all.len() > NAMES_MAX {
        names.push(format!("{} more", all.len() - NAMES_MAX));
    }
    names
}

fn name(text: &str) -> String {
    line(text, NAME_CHARS_MAX)
}

/// A text of others on one line, shortened.
pub(crate) fn line(text: &str, chars_max: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clip(text.trim(), chars_max)
}

/// The first letters of a text.
pub(crate) fn clip(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// To the second: for people, and for programs that read RFC 3339.
fn time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use model::operation::Objects;
    use model::{OperationId, Parameter, Principal, SessionId};
    use store::approvals::Verdict;
    use store::{ApprovalId, Approver, NewApproval};

    use super::*;
    use crate::worker::tests::Desk;

    pub(crate) fn principal(subject: &str) -> Principal {
        Principal {
            subject: subject.into(),
            kind: PrincipalKind::Agent,
            groups: Vec::new(),
            issuer: "narrows".into(),
            on_behalf_of: Some("ann".into()),
            on_behalf_of_groups: Vec::new(),
            token: None,
            minted_by: None,
            expires_at: None,
            certificate: None,
        }
    }

    pub(crate) fn new(text: &str) -> NewApproval {
        NewApproval {
            digest: [text.len().try_into().unwrap_or(0); 32],
            session: SessionId("s_one".into()),
            operation: OperationId(7),
            principal: principal("reader"),
            resource: "shop".into(),
            text: text.into(),
            parameters: vec![Parameter { kind: "text".into(), value: Some("4111".into()) }],
            objects: Arc::new(Objects { writes: vec!["public.pay".into()], ..Objects::default() }),
            rules: vec![ApprovalRule {
                rule: "writes".into(),
                by: vec!["dba".into()],
                needs: 1,
                escalate: None,
            }],
            rows_seen: Some(12),
            detections: Vec::new(),
            wait_until: Timestamp(120_000_000_000),
            expires_at: Timestamp(600_000_000_000),
            grant: GrantScope::Once,
            rows_max: None,
        }
    }

    #[test]
    fn values_leave_only_where_texts_are_sent() {
        let desk = Desk::new();
        let id = desk.ask(new("UPDATE pay SET card = '4111' WHERE id = 4111"));
        let approval = desk.approvals.approval(&id).unwrap().unwrap();
        let notice = Notice::of(&approval, Texts::Withheld, "http://127.0.0.1:7070");
        let everything = serde_json::to_string(&notice).unwrap();
        assert!(!everything.contains("4111"), "{everything}");
        assert_eq!(notice.operation, "UPDATE pay SET card = '…' WHERE id = …");
        assert_eq!((notice.text_is, notice.values()), ("without values", None));
        let notice = Notice::of(&approval, Texts::Sent, "http://127.0.0.1:7070");
        assert_eq!(notice.operation, &*approval.text);
        assert_eq!((notice.text_is, notice.values().as_deref()), ("whole", Some("4111")));
    }

    #[test]
    fn access_that_is_asked_for_says_how_long_and_why() {
        let desk = Desk::new();
        let id = desk.ask(new("access for 2h: incident 4711"));
        let mut approval = desk.approvals.approval(&id).unwrap().unwrap();
        approval.access = Some(store::AccessAsk {
            length: std::time::Duration::from_secs(7200),
            reason: "incident 4711".into(),
        });
        let notice = Notice::of(&approval, Texts::Withheld, "http://127.0.0.1:7070");
        assert_eq!(notice.operation, "access for 2h: incident 4711");
        assert_eq!(notice.of_text(), "What for");
        assert_eq!(notice.title(), format!("reader asks for access to shop ({id})"));
    }

    #[test]
    fn a_notice_names_the_request_its_command_and_its_address() {
        let desk = Desk::new();
        let id = desk.ask(new("UPDATE pay SET a = 1"));
        let ask = |id: &ApprovalId| {
            let approval = desk.approvals.approval(id).unwrap().unwrap();
            Notice::of(&approval, Texts::Withheld, "http://127.0.0.1:7070")
        };
        let notice = ask(&id);
        assert_eq!(notice.approve, format!("narrows approve {id}"));
        assert_eq!(notice.url, format!("http://127.0.0.1:7070/api/v1/approvals/{id}"));
        assert_eq!(notice.title(), format!("reader asks for an approval on shop ({id})"));
        assert_eq!((notice.word(), notice.happened_at()), ("requested", "1970-01-01T00:00:00Z"));
        let dora =
            Approver { groups: vec!["dba".into()], ..Approver::from_principal(&principal("dora")) };
        let dora = Approver { behind: Vec::new(), ..dora };
        let no = Verdict::Deny { reason: Some("use\nthe report".into()) };
        desk.approvals.answer(&id, &dora, no, Timestamp(9_000_000_000)).unwrap();
        let notice = ask(&id);
        assert_eq!(notice.title(), format!("Denied by dora: reader on shop ({id})"));
        assert_eq!((notice.word(), notice.happened_at()), ("denied", "1970-01-01T00:00:09Z"));
        assert!(notice.details().contains(&("No from", "dora: usethe report".to_owned())));
    }

    #[test]
    fn p8_a_text_is_clipped_at_its_limit_and_not_before() {
        for (length, is) in [(2_000, "whole"), (2_001, "clipped")] {
            let (shown, text_is) = operation(&"é".repeat(length), Texts::Sent);
            assert_eq!((shown.chars().count(), text_is), (length, is));
        }
        let (shown, _) = operation(&"a ".repeat(5_000), Texts::Withheld);
        assert_eq!(shown.chars().count(), 2_001, "and a mark that there was more");
    }
}

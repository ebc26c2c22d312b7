//! A session told as a story: who, from where, what they asked, what was decided and why, what they
//! got.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use model::event::{RuleMatch, Verdict};
use model::{Column, DetectionCount, EventBody, OperationId, Parameter};
use serde_json::Value;

use crate::output::{Out, Tone, bytes, clip, counted, one_line, precise, printable, tone_of};
use crate::protocols;

/// Lines of a reply shown unless all are wanted.
const REPLY_LINES: usize = 12;
/// Payload kept of one operation for showing it, bytes.
const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Operations whose replies are kept at once; of more, replies are told without their lines.
const OPEN_MAX: usize = 64;
/// Operations of which it is remembered that they are told so; past it, all are that are new.
const CROWDED_MAX: usize = 10_000;
const LINE_CHARS: usize = 200;
const INDENT: &str = "    ";

/// Tells events in order.
pub struct Story {
    out: Out,
    protocol: String,
    full: bool,
    payloads: HashMap<OperationId, Kept>,
    crowded: HashSet<OperationId>,
}

/// What is kept of a reply.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Bytes after these.
    cut: u64,
}

impl Story {
    /// A story of a session that spoke `protocol`; `full` shows whole replies.
    pub fn new(out: Out, protocol: &str, full: bool) -> Self {
        let (payloads, crowded) = (HashMap::new(), HashSet::new());
        Self { out, protocol: protocol.to_owned(), full, payloads, crowded }
    }

    /// Who, where, when.
    pub fn opening(&self, session: &admin::SessionView) -> String {
        let out = self.out;
        format!(
            "{}  {} on {} ({})\n{INDENT}started {} ({})\n",
            out.paint(Tone::Bold, &session.id),
            out.paint(Tone::Bold, &one_line(&session.principal)),
            session.resource,
            session.protocol,
            session.started_at.get(..19).unwrap_or(&session.started_at).replace('T', " ") + " UTC",
            out.ago(&session.started_at),
        )
    }

    /// What it came to.
    pub fn closing(&self, session: &admin::SessionView) -> String {
        let out = self.out;
        let decisions = &session.decisions;
        let mut text = format!(
            "\n{}, {}, {}",
            counted(session.operations, "operation"),
            counted(session.rows, "row"),
            bytes(session.bytes)
        );
        for (word, count) in
            [("mask", decisions.mask), ("hold", decisions.hold), ("block", decisions.block)]
        {
            if count > 0 {
                text.push_str(&format!(", {count} {}", out.paint(tone_of(word), past(word))));
            }
        }
        if !session.tables.is_empty() {
            let names: Vec<&str> = session.tables.iter().map(|table| table.name.as_str()).collect();
            text.push_str(&format!("\ntables {}", one_line(&names.join(", "))));
        }
        let found: Vec<String> = session
            .detections
            .iter()
            .map(|found| format!("{} {} ({} masked)", found.seen, found.kind, found.masked))
            .collect();
        if !found.is_empty() {
            text.push_str(&format!("\nsensitive values seen: {}", found.join(", ")));
        }
        text.push('\n');
        text
    }

    /// One event; empty when there is nothing to say about it.
    pub fn tell(&mut self, event: &Value) -> String {
        let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("");
        let time = clock(field("at"));
        let payload = base64::engine::general_purpose::STANDARD.decode(field("payload"));
        // Kinds that a newer gateway writes are shown by their name.
        let Ok(body) = serde_json::from_value::<EventBody>(event.clone()) else {
            return format!("{time}  {}\n", one_line(field("kind")));
        };
        let words = self.body(&body, &payload.unwrap_or_default());
        if words.is_empty() { words } else { format!("{}  {words}", self.faint(&time)) }
    }

    fn body(&mut self, body: &EventBody, payload: &[u8]) -> String {
        match body {
            EventBody::SessionStarted { principal, client, application, .. } => {
                let groups: Vec<&str> = principal.groups.iter().map(AsRef::as_ref).collect();
                let party = principal.on_behalf_of.as_deref();
                let party = party.map(|party| format!(" for {party}")).unwrap_or_default();
                let from =
                    application.as_deref().map(|name| format!(", {name}")).unwrap_or_default();
                one_line(&format!(
                    "{} {}{party} [{}] came from {client}{from}",
                    principal.kind.as_str(),
                    principal.subject,
                    groups.join(", ")
                )) + "\n"
            }
            EventBody::SessionRefused { client, reason, .. } => {
                format!("{} {client}: {reason}\n", self.out.paint(Tone::Bad, "turned away"))
            }
            EventBody::SessionEnded { reason, detail, .. } => {
                let detail = detail.as_deref().map(|words| format!(" ({words})"));
                one_line(&format!("ended: {reason}{}", detail.unwrap_or_default())) + "\n"
            }
            EventBody::Operation { .. } => self.operation(body),
            EventBody::Ruling { .. } => self.ruling(body),
            EventBody::ReplyPart { operation, .. } => {
                self.keep(*operation, payload);
                String::new()
            }
            EventBody::Reply { .. } => self.reply(body, payload),
            EventBody::Unsolicited { what, .. } => {
                let lines = self.render(payload);
                format!("the server said unasked ({what})\n{lines}")
            }
            EventBody::Abort { operation } => format!(
                "#{} the transaction was made to fail, because the operation was refused\n",
                operation.0
            ),
            EventBody::Cancel {} => "the client asked for a cancel\n".to_owned(),
            EventBody::Alert { operation, rule, message } => format!(
                "#{} {} {rule}: {}\n",
                operation.0,
                self.out.paint(Tone::Careful, "alert"),
                one_line(message)
            ),
            EventBody::Admin { actor, action, target, detail } => {
                let detail = detail.as_deref().unwrap_or("");
                one_line(&format!("{actor} {action} {target} {detail}")) + "\n"
            }
            EventBody::Gap { operations } => format!(
                "{} {} passed while the journal could not be written\n",
                self.out.paint(Tone::Bad, "gap"),
                counted(*operations, "operation")
            ),
        }
    }

    fn operation(&self, body: &EventBody) -> String {
        let EventBody::Operation {
            operation,
            step,
            under,
            text,
            parameters,
            objects,
            decision,
            rules,
            message,
            approval,
            approver,
            reason,
        } = body
        else {
            return String::new();
        };
        let under = under.map(|id| format!(" of #{}", id.0)).unwrap_or_default();
        let mut lines = format!(
            "{} {} {step}{under}\n",
            self.out.paint(Tone::Bold, &format!("#{}", operation.0)),
            self.decision(*decision),
        );
        let shown = printable(text);
        for line in shown.lines().filter(|line| !line.trim().is_empty()) {
            lines.push_str(&format!("{INDENT}{}\n", clip(line, LINE_CHARS)));
        }
        lines.push_str(&values(parameters, step));
        let names = |list: &[std::sync::Arc<str>]| one_line(&list.join(", "));
        for (word, list) in [("reads", &objects.reads), ("writes", &objects.writes)] {
            if !list.is_empty() {
                lines.push_str(&self.note(&format!("{word} {}", names(list))));
            }
        }
        lines.push_str(&self.why(rules, reason.as_deref(), message.as_deref()));
        lines + &self.who(approval.as_deref(), approver.as_deref())
    }

    fn ruling(&self, body: &EventBody) -> String {
        let EventBody::Ruling {
            operation,
            decision,
            rules,
            rows,
            message,
            approval,
            approver,
            reason,
        } = body
        else {
            return String::new();
        };
        let rows = match rows {
            0 => String::new(),
            rows => format!(", {} seen", counted(*rows, "row")),
        };
        let mut lines = format!("#{} then {}{rows}\n", operation.0, self.decision(*decision));
        lines.push_str(&self.why(rules, reason.as_deref(), message.as_deref()));
        lines + &self.who(approval.as_deref(), approver.as_deref())
    }

    fn reply(&mut self, body: &EventBody, payload: &[u8]) -> String {
        let EventBody::Reply {
            operation,
            outcome,
            rows,
            bytes: size,
            columns,
            detections,
            duration_ns,
            error_code,
            payload_dropped,
            sent,
            searched: _,
        } = body
        else {
            return String::new();
        };
        self.keep(*operation, payload);
        let outcome = match (&**outcome, error_code) {
            ("done", _) => String::new(),
            (word, Some(code)) => format!("{word} {code}, "),
            (word, None) => format!("{word}, "),
        };
        let mut lines = format!(
            "#{} {}{}, {}{} in {}\n",
            operation.0,
            printable(&outcome),
            counted(*rows, "row"),
            bytes(*size),
            match sent {
                0 => String::new(),
                sent => format!(" (and {} sent after it)", bytes(*sent)),
            },
            precise(*duration_ns),
        );
        lines.push_str(&self.masked(columns));
        lines.push_str(&self.found(detections));
        let kept = self.payloads.remove(operation).unwrap_or_default();
        lines.push_str(&self.render(&kept.bytes));
        if kept.cut > 0 {
            let cut = bytes(kept.cut);
            lines
                .push_str(&self.note(&format!("… {cut} more of the reply are not looked at here")));
        }
        if self.crowded.remove(operation) {
            let words = format!("its lines are not shown: over {OPEN_MAX} replies came at once");
            lines.push_str(&self.note(&words));
        }
        if *payload_dropped > 0 {
            lines.push_str(
                &self.note(&format!("{} of the reply were not kept", bytes(*payload_dropped))),
            );
        }
        lines
    }

    fn masked(&self, columns: &[Column]) -> String {
        let masked: Vec<String> = columns
            .iter()
            .filter_map(|column| Some(format!("{} ({})", column.label, column.mask.as_ref()?)))
            .collect();
        match masked.as_slice() {
            [] => String::new(),
            some => format!(
                "{INDENT}{} {}\n",
                self.out.paint(Tone::Careful, "masked"),
                one_line(&some.join(", "))
            ),
        }
    }

    fn found(&self, detections: &[DetectionCount]) -> String {
        let found: Vec<String> = detections
            .iter()
            .map(|found| format!("{} {} ({} masked)", found.seen, found.kind, found.masked))
            .collect();
        match found.as_slice() {
            [] => String::new(),
            some => self.note(&format!("sensitive: {}", some.join(", "))),
        }
    }

    /// What the client got, as lines.
    fn render(&self, payload: &[u8]) -> String {
        let lines = match protocols::render(&self.protocol, payload) {
            Some(lines) => lines,
            None if payload.is_empty() => Vec::new(),
            None => vec![format!("{} of {}", bytes(payload.len() as u64), self.protocol)],
        };
        let most = if self.full { usize::MAX } else { REPLY_LINES };
        let mut text = String::new();
        for line in lines.iter().take(most) {
            text.push_str(&format!(
                "{INDENT}{} {}\n",
                self.faint("│"),
                clip(&one_line(line), LINE_CHARS)
            ));
        }
        if lines.len() > most {
            let rest = counted((lines.len() - most) as u64, "more line");
            text.push_str(&self.note(&format!("… {rest}; --full shows them")));
        }
        text
    }

    fn keep(&mut self, operation: OperationId, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let full = self.payloads.len() >= OPEN_MAX || self.crowded.len() >= CROWDED_MAX;
        let crowded = self.crowded.contains(&operation);
        if crowded || full && !self.payloads.contains_key(&operation) {
            if self.crowded.len() < CROWDED_MAX {
                self.crowded.insert(operation);
            }
            return;
        }
        let kept = self.payloads.entry(operation).or_default();
        let room = PAYLOAD_BYTES_MAX.saturating_sub(kept.bytes.len());
        let (taken, cut) = payload.split_at(room.min(payload.len()));
        kept.bytes.extend_from_slice(taken);
        kept.cut = kept.cut.saturating_add(cut.len() as u64);
    }

    fn decision(&self, verdict: Verdict) -> String {
        let word = match verdict {
            Verdict::Allow => "allow",
            Verdict::Mask => "mask",
            Verdict::Hold => "hold",
            Verdict::Block => "block",
        };
        self.out.paint(tone_of(word), past(word))
    }

    fn why(&self, rules: &[RuleMatch], reason: Option<&str>, message: Option<&str>) -> String {
        let mut lines = String::new();
        for rule in rules {
            let observed = if rule.observed { " (observed only)" } else { "" };
            let words = format!("rule {} ({}){observed}", rule.rule, rule.action);
            lines.push_str(&self.note(&one_line(&words)));
        }
        match (reason, message) {
            (None, None) => {}
            (Some(reason), None) => {
                lines.push_str(&self.note(&format!("reason: {}", one_line(reason))))
            }
            (reason, Some(message)) => {
                let reason = reason.map(|word| format!(" [{word}]")).unwrap_or_default();
                let words = format!("told: {message}{reason}");
                lines.push_str(&self.note(&one_line(&words)));
            }
        }
        lines
    }

    fn who(&self, approval: Option<&str>, approver: Option<&str>) -> String {
        match (approval, approver) {
            (Some(approval), Some(approver)) => {
                self.note(&format!("answered by {} ({approval})", one_line(approver)))
            }
            (Some(approval), None) => self.note(&format!("approval {approval}")),
            (None, Some(approver)) => self.note(&format!("answered by {}", one_line(approver))),
            (None, None) => String::new(),
        }
    }

    fn note(&self, words: &str) -> String {
        format!("{INDENT}{}\n", self.faint(words))
    }

    fn faint(&self, words: &str) -> String {
        self.out.paint(Tone::Faint, words)
    }
}

/// Values beside a text: of a statement by their numbers, of a request by their names.
fn values(parameters: &[Parameter], step: &str) -> String {
    (1..)
        .zip(parameters)
        .map(|(number, parameter)| {
            let value = clip(&one_line(parameter.value.as_deref().unwrap_or("NULL")), LINE_CHARS);
            match step {
                "request" | "part" | "message" | "tunnel" => {
                    format!("{INDENT}{}: {value}\n", parameter.kind)
                }
                _ => format!("{INDENT}${number} = {value}\n"),
            }
        })
        .collect()
}

const fn past(word: &str) -> &str {
    match word.as_bytes() {
        b"allow" => "allowed",
        b"mask" => "masked",
        b"hold" => "held",
        b"block" => "blocked",
        _ => word,
    }
}

/// `07:36:50.123` of an RFC 3339 time.
fn clock(at: &str) -> String {
    let time = at.split_once('T').map_or(at, |(_, time)| time).trim_end_matches('Z');
    match time.split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{:0<3.3}", fraction),
        None => format!("{time}.000"),
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;
    use serde_json::json;

    use super::*;

    fn story() -> Story {
        Story::new(Out::plain(Timestamp(0)), "none", false)
    }

    #[test]
    fn an_operation_is_told_with_its_decision_rules_and_words() {
        let told = story().tell(&json!({
            "v": 1, "at": "2026-11-23T07:36:50.1Z", "gateway": "g", "sequence": 2,
            "kind": "operation", "operation": 3, "step": "query", "text": "drop table\n t",
            "verbs": ["drop"], "writes": ["public.t"], "decision": "block",
            "rules": [{ "rule": "no-destruction", "action": "block" },
                      { "rule": "new", "action": "mask", "observed": true }],
            "message": "destructive statement", "reason": "blocked"
        }));
        assert_eq!(
            told,
            "07:36:50.100  #3 blocked query\n    drop table\n     t\n    writes public.t\n    \
             rule no-destruction (block)\n    rule new (mask) (observed only)\n    \
             told: destructive statement [blocked]\n"
        );
    }

    #[test]
    fn a_reply_is_told_with_its_masks_once_it_is_complete() {
        let mut story = story();
        let part = json!({
            "at": "2026-11-23T07:36:50Z", "kind": "reply_part", "operation": 1, "rows": 1,
            "bytes": 3, "payload": "YWJj"
        });
        assert_eq!(story.tell(&part), "");
        let told = story.tell(&json!({
            "at": "2026-11-23T07:36:50Z", "kind": "reply", "operation": 1, "outcome": "done",
            "rows": 1, "bytes": 6, "duration_ns": 1_200_000, "payload": "ZGVm",
            "columns": [{ "label": "id" }, { "label": "ssn", "mask": "redact" }],
            "detections": [{ "kind": "US_SSN", "seen": 1, "masked": 1 }]
        }));
        assert_eq!(
            told,
            "07:36:50.000  #1 1 row, 6 B in 1.2 ms\n    masked ssn (redact)\n    \
             sensitive: 1 US_SSN (1 masked)\n    │ 6 B of none\n"
        );
    }

    fn part(kind: &str, operation: u64, payload: &[u8]) -> Value {
        let payload = base64::engine::general_purpose::STANDARD.encode(payload);
        json!({
            "at": "2026-11-23T07:36:50Z", "kind": kind, "operation": operation, "outcome": "done",
            "rows": 0, "bytes": 1, "columns": [], "detections": [], "duration_ns": 1,
            "payload": payload
        })
    }

    #[test]
    fn p8_replies_past_the_limit_are_told_without_their_lines_and_it_is_said() {
        let mut story = story();
        let most = OPEN_MAX as u64;
        for operation in 1..=most + 1 {
            assert_eq!(story.tell(&part("reply_part", operation, b"ab")), "");
        }
        let lines = "│ 4 B of none";
        let told = story.tell(&part("reply", most, b"cd"));
        assert!(told.contains(lines), "at the limit: {told}");
        // There is room again, but its beginning is lost.
        let told = story.tell(&part("reply", most + 1, b"cd"));
        let words = "its lines are not shown: over 64 replies came at once";
        assert!(told.contains(words) && !told.contains('│'), "one past it: {told}");
        assert!(!story.tell(&part("reply", most + 1, b"abcd")).contains(words), "it is another");
    }

    #[test]
    fn p8_a_reply_past_the_limit_says_how_much_of_it_is_not_shown() {
        let mut story = story();
        story.tell(&part("reply_part", 1, &vec![0; PAYLOAD_BYTES_MAX]));
        assert!(!story.tell(&part("reply", 1, b"")).contains('…'));
        story.tell(&part("reply_part", 1, &vec![0; PAYLOAD_BYTES_MAX - 1]));
        let told = story.tell(&part("reply", 1, b"abcd"));
        assert!(told.contains("… 3 B more of the reply are not looked at here"), "{told}");
    }

    #[test]
    fn an_event_of_a_newer_gateway_is_named() {
        let told = story().tell(&json!({ "at": "2026-11-23T07:36:50Z", "kind": "teleported" }));
        assert_eq!(told, "07:36:50.000  teleported\n");
    }

    #[test]
    fn recorded_text_cannot_steer_the_terminal() {
        let told = story().tell(&json!({
            "at": "2026-11-23T07:36:50Z", "kind": "operation", "operation": 1, "step": "query",
            "text": "select '\u{1b}[2J'", "decision": "allow"
        }));
        assert!(!told.contains('\u{1b}'), "{told:?}");
    }
}

//! Access that has hours, and access that can be asked for.

use std::sync::Arc;
use std::time::Duration;

use admin::RequestPlan;
use jiff::tz::TimeZone;
use policy::{AccessSpec, EscalateSpec, PolicySet};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use store::{ApprovalRule, Escalation};

use super::nearest::nearest;
use super::read::{At, Form, Report, form};
use super::scalar::Time;
use super::text;
use super::tree::{Node, Value, quoted};
use super::working::located;

/// Longest time for which access can be asked when the file does not say.
const MAX_DEFAULT: Duration = Duration::from_secs(4 * 3600);
/// Longest time that can be written there.
const MAX_MOST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a request for access can be answered when the file does not say.
const EXPIRES_DEFAULT: Duration = Duration::from_secs(3600);

form! {
    /// Access to this resource can be asked for, for a time: `narrows request`.
    pub struct Request {
        /// Groups whose members may answer.
        #[schemars(required)]
        "by" => by: Vec<At<String>>,
        /// How many different people must say yes. Default: 1.
        "needs" => needs: At<u32>,
        /// Longest time that can be asked for. Default: 4h.
        "max" => max: At<Time>,
        /// How long a request can be answered. Default: 1h.
        "expires" => expires: At<Time>,
        /// Who else may answer when nobody did for long.
        "escalate" => escalate: Escalate,
    }
}

form! {
    /// Who else may answer when nobody did for long.
    pub struct Escalate {
        /// How long after the request.
        #[schemars(required)]
        "after" => after: At<Time>,
        /// Groups whose members may answer from then on, too.
        #[schemars(required)]
        "to" => to: Vec<At<String>>,
    }
}

/// `access.hours`: a text, or several.
#[derive(Clone, Debug)]
pub struct Hours(pub Vec<At<String>>);

impl Form for Hours {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        match node.value {
            Value::List(_) => Vec::read(node, what, report).map(Self),
            _ => At::read(node, what, report).map(|one| Self(vec![one])),
        }
    }
}

impl JsonSchema for Hours {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hours".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
            "examples": ["mon-fri 08:00-18:00", ["mon-thu 08:00-18:00", "fri 08:00-13:00"]]
        })
    }
}

/// A line of `access`.
pub(super) fn line(line: text::Access, report: &mut Report) -> AccessSpec {
    if let Some(zone) = &line.timezone
        && line.hours.is_none()
        && line.until.is_none()
    {
        let help = "add hours: \"mon-fri 08:00-18:00\", or until: 2026-12-31";
        report.warn(&zone.at, "timezone has no effect without hours or until", help);
    }
    let zone = line.timezone.and_then(|zone| match TimeZone::get(&zone.value) {
        Ok(known) => Some(known),
        Err(_) => {
            let names: Vec<String> =
                jiff::tz::db().available().map(|name| name.to_string()).collect();
            let help = match nearest(&zone.value, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "write a name such as Europe/Berlin, America/New_York or UTC".to_owned(),
            };
            let message = format!("timezone: there is no {}", quoted(&zone.value));
            report.problem(&zone.at, message, help);
            None
        }
    });
    AccessSpec {
        groups: located(line.groups),
        subjects: located(line.subjects),
        resources: located(line.resources),
        hours: located(line.hours.map(|hours| hours.0)),
        zone,
        until: line.until.map(At::located),
        at: line.here.at,
    }
}

/// A line that never grants anything again may stand there by mistake.
pub(super) fn warn_of_ended(policy: &PolicySet, report: &mut Report) {
    for at in policy.ended(runtime::clock::now()) {
        let message = "this line of access grants nothing any more: its until is past";
        report.warn(at, message, "remove the line, or give it a later until");
    }
}

pub(super) fn escalate(form: Escalate) -> EscalateSpec {
    EscalateSpec {
        after: form.after.map(|after| after.value.0),
        to: located(form.to),
        at: form.here.at,
    }
}

/// Who may answer requests for access to a resource, and for how long it can be asked.
pub(super) fn request(name: &str, form: Request, report: &mut Report) -> Option<RequestPlan> {
    if form.here.broken {
        return None;
    }
    let before = report.problems.len();
    let what = format!("resources.{name}.request");
    let example = "write request: { by: [dba], max: 4h }";
    let by: Vec<Arc<str>> = groups(form.by);
    if by.is_empty() {
        let message = format!("{what} names nobody who may answer");
        report.problem(&form.here.at, message, example);
    }
    if let Some(needs) = form.needs.as_ref().filter(|needs| needs.value == 0) {
        report.problem(&needs.at, format!("{what}.needs: 0 asks nobody"), "write needs: 1");
    }
    let mut length = |time: Option<At<Time>>, key: &str, default| match time {
        Some(time) if time.value.0.is_zero() || time.value.0 > MAX_MOST => {
            let message = format!("{what}.{key}: found {:?}", time.value.0);
            report.problem(&time.at, message, "write a length of time up to 30d");
            default
        }
        Some(time) => time.value.0,
        None => default,
    };
    let max = length(form.max, "max", MAX_DEFAULT);
    let expires = length(form.expires, "expires", EXPIRES_DEFAULT);
    let escalate = form.escalate.and_then(|more| {
        let to = groups(more.to);
        let after = more.after.map(|after| after.value.0);
        match after.filter(|after| *after < expires && !to.is_empty()) {
            Some(after) => Some(Escalation { after, to }),
            None => {
                let message = format!("{what}.escalate has no effect");
                let help = "write escalate: { after: 5m, to: [managers] }, shorter than expires";
                report.problem(&more.here.at, message, help);
                None
            }
        }
    });
    (report.problems.len() == before).then(|| RequestPlan {
        rule: ApprovalRule {
            rule: format!("request access to {name}").into(),
            by,
            needs: form.needs.map_or(1, |needs| needs.value),
            escalate,
        },
        max,
        expires,
    })
}

fn groups(names: Option<Vec<At<String>>>) -> Vec<Arc<str>> {
    names.unwrap_or_default().into_iter().map(|name| name.value.into()).collect()
}

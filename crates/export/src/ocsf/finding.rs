//! Alerts, what is blocked, and gaps as Detection Finding (2004).

use model::OperationId;
use model::event::RuleMatch;
use serde_json::{Value, json};

use crate::join::name;
use crate::ocsf::scene::{Activity, FINDING, Scene, Severity, named};
use crate::text::ms;

/// What a refusal says of itself.
pub(super) struct Why<'a> {
    pub rules: &'a [RuleMatch],
    pub message: Option<&'a str>,
    pub reason: Option<&'a str>,
    pub approver: Option<&'a str>,
    /// The approver's own.
    pub words: Option<&'a str>,
}

/// How the gateway dealt with it, by the profile Security Control.
struct Dealt {
    action: (u32, &'static str),
    disposition: (u32, &'static str),
    severity: Severity,
}

/// An operation, or its reply, was blocked. What neither a rule nor a person blocked (a request
/// that cannot be judged, an upstream that is down) is of low severity.
pub(super) fn blocked(id: OperationId, why: &Why<'_>, scene: &Scene<'_>) -> Value {
    let blocking = why.rules.iter().find(|rule| !rule.observed && &*rule.action != "mask");
    let judged = blocking.is_some() || why.approver.is_some();
    let severity = if judged { Severity::Medium } else { Severity::Low };
    let dealt = Dealt { action: (2, "Denied"), disposition: (2, "Blocked"), severity };
    let title = match (blocking, why.approver) {
        (_, Some(_)) => "An approver said no".to_owned(),
        (Some(rule), None) => format!("Rule {} blocked an operation", rule.rule),
        (None, None) => "An operation was refused".to_owned(),
    };
    let told = why.message.or(why.words).or(why.reason);
    let mut finding = finding(id, blocking.map(|rule| &*rule.rule), (&title, told), dealt, scene);
    add(&mut finding, "unmapped", "decision", json!("block"));
    add(&mut finding, "unmapped", "rules", json!(why.rules));
    add(&mut finding, "unmapped", "reason", json!(why.reason));
    add(&mut finding, "unmapped", "approver", json!(why.approver));
    add(&mut finding, "unmapped", "approver_words", json!(why.words));
    finding
}

/// A rule of action `alert` matched.
pub(super) fn alert(id: OperationId, rule: &str, message: &str, scene: &Scene<'_>) -> Value {
    let (action, disposition) = ((1, "Allowed"), (19, "Alert"));
    let dealt = Dealt { action, disposition, severity: Severity::Medium };
    let title = format!("Rule {rule} raised an alert");
    finding(id, Some(rule), (&title, Some(message)), dealt, scene)
}

/// Operations passed unrecorded.
pub(super) fn gap(operations: u64, scene: &Scene<'_>) -> Value {
    let title = format!("{operations} operations passed unrecorded");
    let uid = format!("urn:narrows:gap:{}:{}", scene.frame.gateway, scene.frame.at.0);
    let finding = scene.object(
        FINDING,
        CREATE,
        Severity::High,
        json!({
            "finding_info": {
                "uid": uid,
                "title": title,
                "created_time": ms(scene.frame.at),
            },
            "message": title,
            "status_id": 1,
            "status": "New",
            "is_alert": true,
            "action_id": 1,
            "action": "Allowed",
            "disposition_id": 17,
            "disposition": "Logged",
            "resources": scene.resources(),
            "unmapped": {"operations": operations},
        }),
    );
    named(finding, &uid)
}

const CREATE: Activity<'_> = Activity(1, "Create");

fn finding(
    id: OperationId,
    rule: Option<&str>,
    (title, told): (&str, Option<&str>),
    Dealt { action, disposition, severity }: Dealt,
    scene: &Scene<'_>,
) -> Value {
    let operation = name(scene.frame.session.as_ref(), id);
    let uid = format!("{operation}:{}", scene.frame.sequence);
    let analytic = rule.map(|rule| json!({"name": rule, "type_id": 1, "type": "Rule"}));
    let finding = scene.object(
        FINDING,
        CREATE,
        severity,
        json!({
            "finding_info": {
                "uid": uid,
                "title": title,
                "desc": told,
                "analytic": analytic,
                "created_time": ms(scene.frame.at),
                "related_events": [{"uid": operation}],
            },
            "message": told.unwrap_or(title),
            "status_id": 1,
            "status": "New",
            "is_alert": true,
            "action_id": action.0,
            "action": action.1,
            "disposition_id": disposition.0,
            "disposition": disposition.1,
            "policy": rule.map(|rule| json!({"name": rule, "uid": rule})),
            "actor": scene.actor(),
            "resources": scene.resources(),
            "evidences": [{
                "actor": scene.actor(),
                "src_endpoint": scene.source(),
                "dst_endpoint": scene.destination(),
            }],
            "unmapped": {"operation": operation},
        }),
    );
    named(finding, &uid)
}

/// Adds a member to a member of an object.
fn add(object: &mut Value, of: &str, name: &str, value: Value) {
    if let Some(members) = object.get_mut(of).and_then(Value::as_object_mut) {
        members.insert(name.to_owned(), value);
    }
}

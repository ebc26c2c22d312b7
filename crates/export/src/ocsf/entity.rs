//! Approvals and administrative acts as Entity Management (3004).

use model::EventBody;
use model::event::Verdict;
use serde_json::{Value, json};

use crate::join::name;
use crate::ocsf::scene::{Activity, ENTITY, Scene, Severity, Status, UNKNOWN};
use crate::text;

const CREATE: Activity<'_> = Activity(1, "Create");
const READ: Activity<'_> = Activity(2, "Read");
const UPDATE: Activity<'_> = Activity(3, "Update");
const DELETE: Activity<'_> = Activity(4, "Delete");

/// A reply that is held (an approval is asked for), or a person's answer (it is given or not);
/// `None` for what no person has to do with.
pub(super) fn approval(body: &EventBody, scene: &Scene<'_>) -> Option<Value> {
    let EventBody::Ruling {
        operation,
        decision,
        rules,
        rows,
        message: told,
        approval,
        approver,
        reason,
    } = body
    else {
        return None;
    };
    let activity = match (decision, approver) {
        (Verdict::Hold, _) => CREATE,
        (_, Some(_)) => UPDATE,
        (_, None) => return None,
    };
    let operation = name(scene.frame.session.as_ref(), *operation);
    // Who answered acts; who asked is told beside it.
    let actor = match approver {
        Some(approver) => json!({"user": {"name": approver, "uid": approver, "type_id": 0}}),
        None => scene.actor(),
    };
    let word = text::verdict(*decision);
    Some(scene.object(
        ENTITY,
        activity,
        Severity::Informational,
        json!({
            "actor": actor,
            "entity": {
                // The approval's own name is not known yet when it is asked for.
                "uid": operation,
                "name": operation,
                "type": "approval",
            },
            "comment": approver.as_ref().and(reason.as_ref()),
            "message": format!("approval of {operation}: {word}"),
            "status_id": Status::Success.id(),
            "status": Status::Success.name(),
            "status_detail": word,
            "unmapped": {
                "decision": word,
                "rules": rules,
                "rows": rows,
                "told": told,
                "operation": operation,
                "approval": approval,
                "principal": scene.frame.principal,
                "resource": scene.frame.resource,
                "client": scene.who.map(|who| &who.client),
            },
        }),
    ))
}

/// Someone administered the gateway.
pub(super) fn administered(
    (actor, action, target): (&str, &str, &str),
    detail: Option<&str>,
    scene: &Scene<'_>,
) -> Value {
    // `token.create`, `config.load`: on what, and what.
    let (kind, verb) = action.rsplit_once('.').unwrap_or(("gateway", action));
    let activity = match verb {
        "create" => CREATE,
        "read" | "list" | "show" | "probe" | "export" | "unseal" => READ,
        "delete" | "kill" | "revoke" | "erase" => DELETE,
        _ => UPDATE,
    };
    let actor = if actor.is_empty() { UNKNOWN } else { actor };
    scene.object(
        ENTITY,
        activity,
        Severity::Informational,
        json!({
            "actor": {"user": {"name": actor, "uid": actor, "type_id": 0}},
            "entity": {"name": target, "uid": target, "type": kind},
            "comment": detail,
            "message": format!("{actor} {action} {target}"),
            "status_detail": action,
            "unmapped": {"action": action, "detail": detail},
        }),
    )
}

//! Sessions as Authentication (3002): logon, logoff, failed logon.

use model::EventBody;
use serde_json::{Value, json};

use crate::ocsf::scene::{AUTHENTICATION, Activity, Scene, Severity, Status, UNKNOWN, endpoint};

const LOGON: Activity<'_> = Activity(1, "Logon");
const LOGOFF: Activity<'_> = Activity(2, "Logoff");

/// The object of a session's event; `None` for another event.
pub(super) fn of(body: &EventBody, scene: &Scene<'_>) -> Option<Value> {
    match body {
        EventBody::SessionStarted { .. } => {
            let more = shared(scene, Status::Success, None, scene.source());
            Some(scene.object(AUTHENTICATION, LOGON, Severity::Informational, more))
        }
        EventBody::SessionRefused { client, reason, protocol } => {
            let mut more = shared(scene, Status::Failure, Some(reason), endpoint(client));
            add(&mut more, json!({"protocol": protocol}));
            Some(scene.object(AUTHENTICATION, LOGON, Severity::Low, more))
        }
        EventBody::SessionEnded { reason, detail, operations, rows, bytes } => {
            let mut more = shared(scene, Status::Success, Some(reason), scene.source());
            add(
                &mut more,
                json!({
                    "detail": detail,
                    "operations": operations,
                    "rows": rows,
                    "bytes": bytes,
                }),
            );
            Some(scene.object(AUTHENTICATION, LOGOFF, Severity::Informational, more))
        }
        _ => None,
    }
}

fn add(object: &mut Value, unmapped: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert("unmapped".to_owned(), unmapped);
    }
}

fn shared(scene: &Scene<'_>, status: Status, detail: Option<&str>, source: Value) -> Value {
    let resource = scene.frame.resource.as_deref();
    json!({
        "user": scene.user(),
        "actor": scene.actor(),
        "session": scene.actor().get("session"),
        "src_endpoint": source,
        "dst_endpoint": resource.map(|resource| json!({"svc_name": resource})),
        "service": {"name": "narrows", "uid": scene.frame.gateway},
        "auth_protocol_id": 99,
        "auth_protocol": "token",
        "logon_type_id": 3,
        "logon_type": "Network",
        "status_id": status.id(),
        "status": status.name(),
        "status_detail": detail,
        "message": format!(
            "{} on {}: {}",
            scene.frame.principal.as_deref().unwrap_or(UNKNOWN),
            resource.unwrap_or(UNKNOWN),
            detail.unwrap_or("let in"),
        ),
    })
}

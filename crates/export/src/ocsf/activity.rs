//! Operations with their replies: Datastore Activity (6005), HTTP Activity (4002), API Activity
//! (6003).

use model::event::Verdict;
use serde_json::{Value, json};

use crate::join::{Asked, Entry, Replied};
use crate::ocsf::scene::{
    API, Activity, Class, DATASTORE, HTTP, Scene, Severity, Status, UNKNOWN, named,
};
use crate::status;
use crate::target::{Target, Told};
use crate::text::ms;

/// The object of an operation.
pub(super) fn of(entry: &Entry, scene: &Scene<'_>) -> Value {
    let (class, activity, own) = match (kind(entry), &entry.asked) {
        (Kind::Http, Some(asked)) => (HTTP, method(asked), http(entry, asked, scene)),
        // An HTTP Activity without a request needs a reply, which need not be known.
        (Kind::Http, None) => (HTTP, Activity(0, "Unknown"), reply_only(entry, scene)),
        (Kind::Statements, asked) => {
            let activity = asked.as_ref().map_or(Activity(0, "Unknown"), verb);
            (DATASTORE, activity, statement(entry, scene))
        }
        (Kind::Other, asked) => {
            let step = asked.as_ref().map_or(UNKNOWN, |asked| asked.step.as_str());
            (API, Activity::other(step), call(entry, step, scene))
        }
    };
    whole(entry, (class, activity), own, scene)
}

enum Kind {
    Http,
    Statements,
    Other,
}

/// By the session's protocol; where that is not known, by the step.
fn kind(entry: &Entry) -> Kind {
    let step = entry.asked.as_ref().map(|asked| asked.step.as_str());
    match (entry.protocol(), step) {
        (Some("http"), _) | (None, Some("request" | "part" | "message" | "tunnel")) => Kind::Http,
        (None, None) if entry.status.is_some() => Kind::Http,
        (Some("postgres"), _) | (None, _) => Kind::Statements,
        (Some(_), _) => Kind::Other,
    }
}

/// What all activities have.
fn whole(
    entry: &Entry,
    (class, activity): (Class, Activity<'_>),
    own: Value,
    scene: &Scene<'_>,
) -> Value {
    let reply = entry.reply.as_ref();
    let blocked = entry.decision == Some(Verdict::Block);
    let status = match reply.map(|reply| reply.outcome.as_str()) {
        _ if blocked => Status::Failure,
        Some("done") => Status::Success,
        Some(_) => Status::Failure,
        None => Status::Unknown,
    };
    let severity = match entry.decision {
        Some(Verdict::Block) => Severity::Medium,
        Some(Verdict::Hold) => Severity::Low,
        _ => Severity::Informational,
    };
    // What was said about a hold is history once it is let go.
    let refused = matches!(entry.decision, Some(Verdict::Block | Verdict::Hold));
    let message = entry.message.as_deref().filter(|_| refused);
    let (action, disposition) = dealt(entry);
    let rule = entry.rules.iter().find(|rule| !rule.observed).map(|rule| &rule.rule);
    let mut more = json!({
        "actor": scene.actor(),
        "src_endpoint": scene.source(),
        "dst_endpoint": scene.destination(),
        "start_time": entry.asked.as_ref().map(|_| ms(entry.frame.at)),
        "end_time": reply.map(|reply| ms(reply.at)),
        "duration": reply.map(|reply| reply.duration_ns / 1_000_000),
        "message": entry.asked.as_ref().map(|asked| &asked.text),
        "status_id": status.id(),
        "status": status.name(),
        "status_code": reply.and_then(|reply| reply.error_code.as_deref()),
        "status_detail": message.or(reply.map(|reply| reply.outcome.as_str())),
        "action_id": action.0,
        "action": action.1,
        "disposition_id": disposition.0,
        "disposition": disposition.1,
        "is_alert": blocked,
        "policy": rule.map(|rule| json!({"name": rule, "uid": rule})),
        "unmapped": unmapped(entry),
    });
    if let (Some(more), Value::Object(own)) = (more.as_object_mut(), own) {
        more.extend(own);
    }
    // What a refused client was told, and what findings refer to. What comes after an operation was
    // written without its reply is another object.
    let name = entry.name();
    let name = if entry.asked.is_some() { name } else { format!("{name}:reply") };
    named(scene.object(class, activity, severity, more), &name)
}

type Named = (u32, &'static str);

/// Action and disposition of the profile Security Control.
fn dealt(entry: &Entry) -> (Named, Named) {
    let (allowed, denied) = ((1, "Allowed"), (2, "Denied"));
    match (entry.decision, &entry.approver) {
        (Some(Verdict::Block), _) => (denied, (2, "Blocked")),
        (Some(Verdict::Hold), _) => ((0, "Unknown"), (14, "Delayed")),
        (Some(Verdict::Mask), _) => (allowed, (99, "Masked")),
        (Some(Verdict::Allow), Some(_)) => (allowed, (8, "Approved")),
        (Some(Verdict::Allow), None) => (allowed, (1, "Allowed")),
        (None, _) => ((0, "Unknown"), (0, "Unknown")),
    }
}

/// What there is no word for.
fn unmapped(entry: &Entry) -> Value {
    let asked = entry.asked.as_ref();
    let reply = entry.reply.as_ref();
    let of_reply = |number: fn(&Replied) -> u64| reply.map(number);
    let masks: Vec<Value> = reply
        .into_iter()
        .flat_map(|reply| &reply.columns)
        .filter(|column| column.mask.is_some())
        .map(|column| json!({"column": column.label, "mask": column.mask}))
        .collect();
    let columns: Vec<Value> = reply
        .into_iter()
        .flat_map(|reply| &reply.columns)
        .map(|column| {
            let origins: Vec<String> = column.origins.iter().map(model::Origin::path).collect();
            json!({"name": column.label, "origins": origins})
        })
        .collect();
    json!({
        "operation": entry.id.0,
        "step": asked.map(|asked| &asked.step),
        "under": asked.and_then(|asked| asked.under),
        "verbs": asked.map(|asked| &asked.objects.verbs),
        "reads": asked.map(|asked| &asked.objects.reads),
        "writes": asked.map(|asked| &asked.objects.writes),
        "columns_read": asked.map(|asked| &asked.objects.columns),
        "parameters": asked.map(|asked| &asked.parameters),
        "decision": entry.decision,
        "rules": entry.rules,
        "reason": entry.reason,
        "approval": entry.approval,
        "approver": entry.approver,
        "approver_words": entry.words,
        "outcome": reply.map(|reply| &reply.outcome),
        "rows": of_reply(|reply| reply.rows),
        "bytes": of_reply(|reply| reply.bytes),
        "bytes_sent": of_reply(|reply| reply.sent),
        "payload_dropped": of_reply(|reply| reply.payload_dropped),
        "columns": columns,
        "masks": masks,
        "detections": reply.map(|reply| &reply.detections),
    })
}

/// By the verb that changes the most.
fn verb(asked: &Asked) -> Activity<'_> {
    const RANKS: [(&str, Activity<'_>); 14] = [
        ("drop", Activity(7, "Delete")),
        ("truncate", Activity(7, "Delete")),
        ("delete", Activity(7, "Delete")),
        ("alter", Activity(2, "Update")),
        ("merge", Activity(2, "Update")),
        ("update", Activity(2, "Update")),
        ("create", Activity(6, "Create")),
        ("insert", Activity(6, "Create")),
        ("copy", Activity(5, "Write")),
        ("select", Activity(4, "Query")),
        ("fetch", Activity(4, "Query")),
        ("declare", Activity(4, "Query")),
        ("explain", Activity(4, "Query")),
        ("show", Activity(1, "Read")),
    ];
    let verbs = &asked.objects.verbs;
    let has = |verb: &str| verbs.iter().any(|known| &**known == verb);
    // A COPY that only reads is a query.
    let writes = !asked.objects.writes.is_empty();
    let ranked = RANKS.iter().filter(|(verb, _)| *verb != "copy" || writes || !has("select"));
    match ranked.into_iter().find(|(verb, _)| has(verb)) {
        Some((_, activity)) => *activity,
        None => Activity::other(verbs.first().map_or(&asked.step, |verb| verb)),
    }
}

fn statement(entry: &Entry, scene: &Scene<'_>) -> Value {
    let resource = scene.frame.resource.as_deref().unwrap_or(UNKNOWN);
    let objects = entry.asked.as_ref().map(|asked| &asked.objects);
    let table = objects.and_then(|objects| objects.writes.first().or(objects.reads.first()));
    let table = table.map(|path| {
        let name = path.rsplit_once('.').map_or(&**path, |(_, name)| name);
        json!({"name": name, "uid": path})
    });
    let query = entry.asked.as_ref().map(|asked| {
        json!({
            "uid": entry.name(),
            "query_string": asked.text,
            "query_time": ms(entry.released.unwrap_or(entry.frame.at)),
            "bytes": entry.reply.as_ref().map(|reply| reply.bytes),
        })
    });
    json!({
        "database": {"name": resource, "uid": resource, "type_id": 1, "type": "Relational"},
        "type_id": if table.is_some() { 3 } else { 1 },
        "type": if table.is_some() { "Table" } else { "Database" },
        "table": table,
        "query_info": query,
    })
}

fn method(asked: &Asked) -> Activity<'_> {
    match &*asked.step {
        "message" => return Activity::other("Message"),
        "part" => return Activity::other("Part"),
        _ => {}
    }
    match Target::read(&asked.text).method {
        "CONNECT" => Activity(1, "Connect"),
        "DELETE" => Activity(2, "Delete"),
        "GET" => Activity(3, "Get"),
        "HEAD" => Activity(4, "Head"),
        "OPTIONS" => Activity(5, "Options"),
        "POST" => Activity(6, "Post"),
        "PUT" => Activity(7, "Put"),
        "TRACE" => Activity(8, "Trace"),
        "" => Activity(0, "Unknown"),
        // PATCH among them: version 1.5.0 has no number for it.
        other => Activity::other(other),
    }
}

fn http(entry: &Entry, asked: &Asked, scene: &Scene<'_>) -> Value {
    let target = Target::read(&asked.text);
    let told = Told::read(&asked.parameters);
    let headers: Vec<Value> =
        told.fields.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut own = reply_only(entry, scene);
    let request = json!({
        "http_request": {
            "uid": entry.name(),
            "http_method": some(target.method),
            "url": {
                "url_string": target.url,
                "scheme": target.scheme,
                "hostname": some(target.host),
                "port": target.port,
                "path": some(target.path),
                "query_string": target.query,
            },
            "http_headers": headers,
            "user_agent": told.field("user-agent"),
            "referrer": told.field("referer"),
            "body_length": told.body_bytes,
        },
        "dst_endpoint": {
            "svc_name": scene.frame.resource.as_deref().unwrap_or(UNKNOWN),
            "hostname": some(target.host),
            "port": target.port,
        },
    });
    if let (Some(own), Value::Object(request)) = (own.as_object_mut(), request) {
        own.extend(request);
    }
    own
}

/// What is known of an exchange by its reply. Without a status there is a reply of status 0, where
/// the class needs one and there is no request.
fn reply_only(entry: &Entry, scene: &Scene<'_>) -> Value {
    let reply = entry.reply.as_ref();
    let code =
        status::of(entry).map(|status| status.as_u16()).or(entry.asked.is_none().then_some(0));
    let response = code.map(|code| {
        json!({
            "code": code,
            "latency": entry.first_part.map(|first| {
                ms(first).saturating_sub(ms(entry.released.unwrap_or(entry.frame.at)))
            }),
        })
    });
    let traffic = reply.map(|reply| {
        json!({
            "bytes_in": reply.bytes,
            "bytes_out": reply.sent,
            "bytes": reply.bytes.saturating_add(reply.sent),
        })
    });
    json!({
        "http_response": response,
        "traffic": traffic,
        "app_name": scene.who.and_then(|who| who.application.as_deref()),
    })
}

fn call(entry: &Entry, step: &str, scene: &Scene<'_>) -> Value {
    json!({
        "api": {"operation": step, "request": {"uid": entry.name()}},
        "resources": scene.resources(),
    })
}

//! What objects of all classes have in common.

use std::net::SocketAddr;

use model::PrincipalKind;
use serde_json::{Map, Value, json};

use crate::join::{Frame, Who};
use crate::text::{ms, rfc3339};

/// The version of the schema.
const SCHEMA: &str = "1.5.0";
/// What is said where a required name is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// A class and its category.
#[derive(Clone, Copy)]
pub(super) struct Class {
    uid: u32,
    name: &'static str,
    category: &'static str,
    /// Attributes that are not of the class but of a profile that is applied to it.
    profiles: &'static [&'static str],
}

pub(super) const AUTHENTICATION: Class = Class {
    uid: 3002,
    name: "Authentication",
    category: "Identity & Access Management",
    profiles: &[],
};
pub(super) const ENTITY: Class = Class {
    uid: 3004,
    name: "Entity Management",
    category: "Identity & Access Management",
    profiles: &[],
};
pub(super) const FINDING: Class = Class {
    uid: 2004,
    name: "Detection Finding",
    category: "Findings",
    profiles: &["host", "security_control"],
};
pub(super) const HTTP: Class = Class {
    uid: 4002,
    name: "HTTP Activity",
    category: "Network Activity",
    profiles: &["host", "security_control"],
};
pub(super) const API: Class = Class {
    uid: 6003,
    name: "API Activity",
    category: "Application Activity",
    profiles: &["security_control"],
};
pub(super) const DATASTORE: Class = Class {
    uid: 6005,
    name: "Datastore Activity",
    category: "Application Activity",
    profiles: &["security_control"],
};
pub(super) const BASE: Class =
    Class { uid: 0, name: "Base Event", category: "Uncategorized", profiles: &["host"] };

/// What was done, by number and name.
#[derive(Clone, Copy)]
pub(super) struct Activity<'a>(pub u32, pub &'a str);

impl<'a> Activity<'a> {
    /// What the class has no number for.
    pub const fn other(name: &'a str) -> Self {
        Self(99, name)
    }
}

#[derive(Clone, Copy)]
pub(super) enum Severity {
    Informational,
    Low,
    Medium,
    High,
}

#[derive(Clone, Copy)]
pub(super) enum Status {
    Unknown,
    Success,
    Failure,
}

impl Status {
    pub const fn id(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Success => 1,
            Self::Failure => 2,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Success => "Success",
            Self::Failure => "Failure",
        }
    }
}

/// Where, when and by whom something happened.
pub(super) struct Scene<'a> {
    pub frame: &'a Frame,
    pub who: Option<&'a Who>,
    /// Of the program.
    pub version: &'a str,
}

impl Scene<'_> {
    /// An object of a class: what every class requires, and `more`, in which `unmapped` is added
    /// to.
    pub fn object(
        &self,
        class: Class,
        Activity(activity, activity_name): Activity<'_>,
        severity: Severity,
        more: Value,
    ) -> Value {
        let (severity_id, severity) = match severity {
            Severity::Informational => (1, "Informational"),
            Severity::Low => (2, "Low"),
            Severity::Medium => (3, "Medium"),
            Severity::High => (4, "High"),
        };
        let type_uid = class.uid.saturating_mul(100).saturating_add(activity);
        let mut object = json!({
            "activity_id": activity,
            "activity_name": activity_name,
            "category_uid": class.uid / 1000,
            "category_name": class.category,
            "class_uid": class.uid,
            "class_name": class.name,
            "type_uid": type_uid,
            "type_name": format!("{}: {activity_name}", class.name),
            "severity_id": severity_id,
            "severity": severity,
            "time": ms(self.frame.at),
            "metadata": self.metadata(class),
        });
        let more = match more {
            Value::Object(more) => more,
            _ => Map::new(),
        };
        if let Some(object) = object.as_object_mut() {
            object.extend(more);
            let unmapped = object.entry("unmapped").or_insert_with(|| json!({}));
            if let Some(unmapped) = unmapped.as_object_mut() {
                unmapped.extend(self.unmapped());
            }
        }
        object
    }

    fn metadata(&self, class: Class) -> Value {
        let frame = self.frame;
        let session = frame.session.as_ref().map(|session| &session.0);
        let uid = match session {
            Some(session) => format!("{session}/{}", frame.sequence),
            None if frame.sequence == 0 => format!("{}/{}", frame.gateway, frame.at.0),
            None => format!("{}/{}/{}", frame.gateway, frame.at.0, frame.sequence),
        };
        json!({
            "version": SCHEMA,
            "product": {"name": "Narrows", "vendor_name": "Narrows", "version": self.version},
            "profiles": class.profiles,
            "log_provider": frame.gateway,
            "log_name": "recording",
            "uid": uid,
            "correlation_uid": session,
            "sequence": frame.sequence,
            "original_time": rfc3339(frame.at),
        })
    }

    fn unmapped(&self) -> Map<String, Value> {
        let mut unmapped = Map::new();
        let mut add = |name: &str, value: Value| unmapped.insert(name.to_owned(), value);
        if self.who.is_some() || self.frame.on_behalf_of.is_some() {
            add("on_behalf_of", json!(self.frame.party(self.who)));
        }
        if let Some(who) = self.who {
            let principal = &who.principal;
            add("on_behalf_of_groups", json!(principal.on_behalf_of_groups));
            add("minted_by", json!(principal.minted_by));
            if let Some(certificate) = &principal.certificate {
                add("certificate", json!(certificate));
            }
            add("application", json!(who.application));
            add("protocol", json!(who.protocol));
            add("run", json!(who.run));
        } else if self.frame.session.is_some() {
            add("session_unknown", json!(true));
        }
        unmapped
    }

    /// Who asks: what is proved, and the session.
    pub fn actor(&self) -> Value {
        let session = self.frame.session.as_ref().map(|session| {
            let who = self.who;
            json!({
                "uid": session.0,
                "created_time": who.map(|who| ms(who.since)),
                "issuer": who.map(|who| &who.principal.issuer),
                "expiration_time": who.and_then(|who| who.principal.expires_at).map(ms),
                "credential_uid": who.and_then(|who| who.principal.token.as_ref()),
            })
        });
        json!({"user": self.user(), "session": session})
    }

    /// The principal; `unknown` before one is proved.
    pub fn user(&self) -> Value {
        let subject = self.frame.principal.as_deref();
        let Some(who) = self.who else {
            return json!({"name": subject.unwrap_or(UNKNOWN), "uid": subject, "type_id": 0});
        };
        let principal = &who.principal;
        let groups: Vec<Value> =
            principal.groups.iter().map(|group| json!({"name": group})).collect();
        let type_id = if principal.kind == PrincipalKind::Person { 1 } else { 99 };
        let kind = principal.kind.as_str();
        json!({
            "name": principal.subject,
            "uid": principal.subject,
            "groups": groups,
            "type_id": type_id,
            "type": if type_id == 1 { "User" } else { kind },
            "credential_uid": principal.token,
        })
    }

    /// The client's address.
    pub fn source(&self) -> Value {
        self.who.map_or_else(|| json!({"name": UNKNOWN}), |who| endpoint(&who.client))
    }

    /// The resource.
    pub fn destination(&self) -> Value {
        json!({"svc_name": self.frame.resource.as_deref().unwrap_or(UNKNOWN)})
    }

    /// The resource as what was reached for.
    pub fn resources(&self) -> Value {
        let protocol = self.who.map(|who| &who.protocol);
        match &self.frame.resource {
            Some(resource) => json!([{"name": resource, "uid": resource, "type": protocol}]),
            None => json!([]),
        }
    }
}

/// The same object under a name of its own, where it is not the only one of its event.
pub(super) fn named(mut object: Value, uid: &str) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("uid".to_owned(), uid.into());
    }
    object
}

/// An address as a client's is recorded.
pub(super) fn endpoint(client: &str) -> Value {
    match client.parse::<SocketAddr>() {
        Ok(address) => json!({"ip": address.ip().to_string(), "port": address.port()}),
        Err(_) => json!({"name": if client.is_empty() { UNKNOWN } else { client }}),
    }
}

/// The same without what is null or empty: an attribute that is not known is not there.
pub(super) fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name, without_nothing(value)));
            Value::Object(members.filter(|(_, value)| !is_nothing(value)).collect())
        }
        Value::Array(items) => {
            let items = items.into_iter().map(without_nothing);
            Value::Array(items.filter(|item| !is_nothing(item)).collect())
        }
        other => other,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

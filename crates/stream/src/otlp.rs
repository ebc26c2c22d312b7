//! OpenTelemetry logs: OTLP over HTTP, in JSON.
//!
//! OpenTelemetry Protocol 1.9, "OTLP/HTTP" and "JSON Protobuf Encoding": keys in lowerCamelCase,
//! 64-bit integers as decimal strings.

use std::fmt;

use model::{Secret, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::item::{Item, Severity};
use crate::post::{Post, clipped};
use crate::sink::{SendError, Sink, UnusableSink};
use crate::trust::Trust;

const PATH: &str = "/v1/logs";

/// One receiver of OTLP logs.
pub struct Otlp {
    post: Post,
    clock: fn() -> Timestamp,
    version: &'static str,
}

impl Otlp {
    /// Prepares to post to the receiver at `url`; `/v1/logs` is added to its path unless it ends
    /// with it. `fields` are in every request.
    ///
    /// # Errors
    ///
    /// When the address or a field cannot be used.
    pub fn new(
        url: &Url,
        trust: &Trust,
        fields: &[(String, Secret<String>)],
        clock: fn() -> Timestamp,
    ) -> Result<Self, UnusableSink> {
        let mut url = url.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with(PATH) {
            url.set_path(&format!("{path}{PATH}"));
        }
        let version = env!("CARGO_PKG_VERSION");
        Ok(Self { post: Post::new(&url, trust, fields)?, clock, version })
    }

    fn request(&self, batch: &[Item]) -> Value {
        let gateway = batch.first().map(|item| &*item.gateway).unwrap_or_default();
        let observed = (self.clock)();
        json!({ "resourceLogs": [{
            "resource": { "attributes": [
                attribute("service.name", &"narrows".into()),
                attribute("service.instance.id", &gateway.into()),
                attribute("service.version", &self.version.into()),
            ]},
            "scopeLogs": [{
                "scope": { "name": "narrows", "version": self.version },
                "logRecords": batch.iter().map(|item| record(item, observed)).collect::<Vec<_>>(),
            }],
        }]})
    }
}

fn record(item: &Item, observed: Timestamp) -> Value {
    let (number, text) = match item.severity {
        Severity::Info => (9, "INFO"),
        Severity::Notice => (10, "INFO2"),
        Severity::Warning => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    };
    let mut attributes = vec![attribute("narrows.number", &item.number.into())];
    attributes.extend(
        item.main_fields().map(|(name, value)| attribute(&format!("narrows.{name}"), &value)),
    );
    json!({
        "timeUnixNano": item.at.0.to_string(),
        "observedTimeUnixNano": observed.0.to_string(),
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("narrows.{}", item.kind()),
        "body": { "stringValue": item.json() },
        "attributes": attributes,
    })
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value.as_u64().map(i64::try_from) {
        Some(Ok(number)) => json!({ "intValue": number.to_string() }),
        _ => match value {
            Value::String(text) => json!({ "stringValue": text }),
            other => json!({ "stringValue": other.to_string() }),
        },
    };
    json!({ "key": key, "value": value })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Option<PartialSuccess>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialSuccess {
    /// A number or, as 64-bit integers are written, a text.
    rejected_log_records: Value,
    error_message: String,
}

impl Sink for Otlp {
    fn send(&mut self, batch: &[Item]) -> Result<(), SendError> {
        let body = self.request(batch).to_string();
        let answer = self.post.post(body.as_bytes(), &[])?;
        // An answer that cannot be understood took everything: its status says so.
        let answer: Answer = serde_json::from_slice(&answer).unwrap_or_default();
        let Some(partial) = answer.partial_success else { return Ok(()) };
        let rejected = partial.rejected_log_records.to_string();
        let rejected = rejected.trim_matches('"');
        // "The client MUST NOT retry the request when it receives a partial success response."
        if !matches!(rejected, "0" | "null" | "") {
            let why = clipped(&partial.error_message);
            let place = self.post.place();
            tracing::error!(place, rejected, why, "a receiver does not keep some events");
        }
        Ok(())
    }
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Otlp").field(&self.post).finish()
    }
}

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
    /// Events that it took and said not to keep.
    rejected: u64,
    /// It was said that its answers mean nothing.
    told: bool,
}

impl Otlp {
    /// The address that is posted to: `/v1/logs` is added to the path unless it ends with it.
    #[must_use]
    pub fn endpoint(url: &Url) -> Url {
        let mut url = url.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        let whole = if path.ends_with(PATH) { path } else { format!("{path}{PATH}") };
        url.set_path(&whole);
        url.set_fragment(None);
        url
    }

    /// Prepares to post to the [`Self::endpoint`] of `url`. `fields` are in every request.
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
        let url = Self::endpoint(url);
        let version = env!("CARGO_PKG_VERSION");
        let post = Post::new(&url, trust, fields)?;
        Ok(Self { post, clock, version, rejected: 0, told: false })
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
    rejected_log_records: Option<Count>,
    error_message: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Text(String),
}

impl Count {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl Otlp {
    /// Says what the receiver does not keep. That is not sent again: "The client MUST NOT retry the
    /// request when it receives a partial success response".
    fn heed(&mut self, answer: &[u8]) {
        let read = serde_json::from_slice::<Answer>(answer).ok().and_then(|answer| {
            let partial = answer.partial_success.unwrap_or_default();
            let rejected = partial.rejected_log_records.map_or(Some(0), |count| count.number())?;
            Some((rejected, clipped(&partial.error_message)))
        });
        let place = self.post.place();
        match read {
            Some((0, why)) if why.is_empty() => {}
            Some((0, why)) => tracing::warn!(place, why, "a receiver keeps the events, and warns"),
            Some((rejected, why)) => {
                self.rejected = self.rejected.saturating_add(rejected);
                let total = self.rejected;
                tracing::error!(
                    place,
                    rejected,
                    total,
                    why,
                    "a receiver does not keep some events"
                );
            }
            None if answer.is_empty() || std::mem::replace(&mut self.told, true) => {}
            None => tracing::warn!(
                place,
                "the receiver's answers are not those of OTLP: whether it keeps all is not known"
            ),
        }
    }
}

impl Sink for Otlp {
    fn send(&mut self, batch: &[Item]) -> Result<(), SendError> {
        let body = self.request(batch).to_string();
        let answer = self.post.post(body.as_bytes(), &[])?;
        self.heed(&answer);
        Ok(())
    }
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Otlp").field(&self.post).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_what_a_receiver_takes_and_does_not_keep_is_counted() {
        let url = Url::parse("http://127.0.0.1:4318").unwrap();
        let mut otlp = Otlp::new(&url, &Trust::default(), &[], || Timestamp(0)).unwrap();
        for (answer, total, told) in [
            ("", 0, false),
            ("{}", 0, false),
            (r#"{"partialSuccess":{}}"#, 0, false),
            (r#"{"partialSuccess":{"rejectedLogRecords":0,"errorMessage":"slow"}}"#, 0, false),
            (r#"{"partialSuccess":{"rejectedLogRecords":3,"errorMessage":"old"}}"#, 3, false),
            (r#"{"partialSuccess":{"rejectedLogRecords":"4"}}"#, 7, false),
            (r#"{"partialSuccess":{"rejectedLogRecords":"many"}}"#, 7, true),
            ("<html>", 7, true),
        ] {
            otlp.heed(answer.as_bytes());
            assert_eq!((otlp.rejected, otlp.told), (total, told), "{answer}");
        }
    }
}

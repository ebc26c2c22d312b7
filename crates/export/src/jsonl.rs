//! JSON Lines: each event as the journal has it, and nothing else.
//!
//! `at` (nanoseconds since 1970, a number that some readers round) is there as `time` too (RFC
//! 3339, UTC, nanoseconds). The payload, which the journal keeps beside the JSON form, is `payload`
//! where it is UTF-8 and `payload_base64` (RFC 4648 section 4) where it is not; neither is there
//! when it is empty. The only line feeds are those that end lines.

use std::io::Write;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use model::Event;
use serde::{Serialize, Serializer};

use crate::exporter::{ExportError, Form};
use crate::json;
use crate::text::rfc3339;

/// Remembers nothing.
pub(crate) struct Jsonl;

impl Form for Jsonl {
    fn event(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), ExportError> {
        let (payload, payload_base64) = match std::str::from_utf8(&event.payload) {
            Ok("") => (None, None),
            Ok(text) => (Some(text), None),
            Err(_) => (None, Some(Base64(&event.payload))),
        };
        let line = Line { event, time: rfc3339(event.at), payload, payload_base64 };
        json::write(out, &line)?;
        Ok(out.write_all(b"\n")?)
    }

    fn finish(&mut self, _out: &mut dyn Write) -> Result<(), ExportError> {
        Ok(())
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<Base64<'a>>,
}

/// Encoded while it is written: a payload may have hundreds of megabytes.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

//! Recorded events in the formats that other tools read.
//!
//! Pure: events in journal order go in, bytes come out of a `Write` that the caller gives. Events
//! may be of one session or of many, and may begin in the middle of one. Nothing here reads a
//! journal, knows a rule or decodes a wire protocol; what a format needs of HTTP is taken from the
//! text and the payload that the recording has.
//!
//! | format | one object or line for | what it leaves out |
//! |---|---|---|
//! | `jsonl` | each event | nothing |
//! | `ocsf` | each event but parts of replies; an operation with its reply | payloads |
//! | `har` | each HTTP exchange | everything else |
//! | `asciicast` | a line or more for each event but parts of replies | payloads |
//! | `csv` | each operation with its reply | payloads, values beside texts |
//!
//! What joins an operation with its reply is bounded (`model::limit::EXPORT_*`). Past a bound
//! nothing is lost but the connection between the two: the operation is written without its reply,
//! and the reply, when it comes, without its operation. A session that is forgotten past its bound
//! leaves its later operations without the client's address, groups and for whom they are.

#![deny(missing_docs)]

mod asciicast;
mod bounded;
mod csv;
mod exporter;
mod format;
mod har;
mod join;
mod json;
mod jsonl;
mod ocsf;
mod status;
mod target;
mod text;

pub use exporter::{ExportError, Exporter, Options};
pub use format::{Format, UnknownFormat};
pub use json::escaped;

//! The one streaming type.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use model::Event;

use crate::asciicast::Asciicast;
use crate::csv::Csv;
use crate::format::Format;
use crate::har::Har;
use crate::jsonl::Jsonl;
use crate::ocsf::Ocsf;

/// What the caller may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Version of the program, said in OCSF and HAR. Default: of this workspace.
    pub version: String,
    /// Width of a terminal recording, columns; at least 20. Default: 100.
    pub columns: u16,
    /// Height of a terminal recording, lines. Default: 30.
    pub lines: u16,
    /// Longest pause that a player of a terminal recording is asked to keep; the recording itself
    /// has the original times. `None` asks for all of each pause. Default: 5 s.
    pub pause_max: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            columns: 100,
            lines: 30,
            pause_max: Some(Duration::from_secs(5)),
        }
    }
}

/// Why an export broke off. What was written before is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The writer that the caller gave failed.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
    /// An event has no form in JSON: a fault of ours.
    #[error("an event cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
}

impl From<serde_json::Error> for ExportError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { Self::Write(error.into()) } else { Self::Encode(error) }
    }
}

/// Writes events as one format.
pub(crate) trait Form {
    /// The next event.
    fn event(&mut self, event: &Event, out: &mut dyn Write) -> Result<(), ExportError>;
    /// There are no more.
    fn finish(&mut self, out: &mut dyn Write) -> Result<(), ExportError>;
}

/// Writes events, in the order of the journal, as one format. Writes are buffered.
///
/// After an error nothing more should be asked of it. Dropped without [`Self::finish`], it leaves
/// operations that wait for their replies unwritten and a HAR open.
#[must_use]
pub struct Exporter<W: Write> {
    form: Box<dyn Form + Send>,
    out: BufWriter<W>,
}

impl<W: Write> Exporter<W> {
    /// Has written nothing yet.
    pub fn new(format: Format, out: W, options: Options) -> Self {
        let form: Box<dyn Form + Send> = match format {
            Format::Asciicast => Box::new(Asciicast::new(&options)),
            Format::Csv => Box::new(Csv::default()),
            Format::Har => Box::new(Har::new(options.version)),
            Format::Jsonl => Box::new(Jsonl),
            Format::Ocsf => Box::new(Ocsf::new(options.version)),
        };
        Self { form, out: BufWriter::new(out) }
    }

    /// Takes the next event.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn event(&mut self, event: &Event) -> Result<(), ExportError> {
        self.form.event(event, &mut self.out)
    }

    /// Passes on what is buffered; for whoever reads along. Operations that wait for their replies
    /// still wait.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn flush(&mut self) -> Result<(), ExportError> {
        Ok(self.out.flush()?)
    }

    /// Writes what is left, operations without a reply among it, and gives the writer back.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn finish(mut self) -> Result<W, ExportError> {
        self.form.finish(&mut self.out)?;
        self.out.flush()?;
        self.out.into_inner().map_err(|error| error.into_error().into())
    }
}

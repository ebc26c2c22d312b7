//! What a text does, as far as this session can tell now.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use engine::{Outbox, Refusal};
use model::{ClientText, OperationId};
use sql::{StatementKind, Unparsable};

use crate::judge::Judged;
use crate::names::{Portal, Prepared};
use crate::ready::{Encoding, Ready};

impl Ready {
    /// Whether `text` can be judged now. Where a backslash or a byte above ASCII may mean one thing
    /// or another by a setting, what the server said about that setting must have arrived.
    pub(super) fn quiet_for(&mut self, text: &[u8], out: &mut Outbox<Bytes>) -> bool {
        let plain = text.is_ascii() && memchr::memchr(b'\\', text).is_none();
        if plain || self.expected.is_empty() {
            return true;
        }
        self.flush(out);
        false
    }

    pub(super) fn decode(&self, text: &[u8]) -> Result<String, Refusal> {
        if text.is_ascii() || self.settings.encoding == Encoding::Utf8 {
            return String::from_utf8(text.to_vec()).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                let words = format!("the statement is not valid UTF-8 at byte {at}");
                Refusal::unjudgeable("encoding", ClientText::composed(words))
            });
        }
        if self.settings.encoding == Encoding::SingleByte {
            return Ok(text.iter().map(|byte| char::from(*byte)).collect());
        }
        let words = "statements beyond ASCII are judged only in client_encoding UTF8 or a \
                     single-byte encoding; SET client_encoding TO 'UTF8'";
        Err(Refusal::unjudgeable("encoding", ClientText::fixed(words)))
    }

    pub(super) fn judge(&self, text: &str) -> Result<Arc<Judged>, (Refusal, Option<usize>)> {
        let Some(snapshot) = self.snapshot() else {
            let words = ClientText::fixed("the catalog of this database could not be read");
            return Err((Refusal::unjudgeable("catalog", words), None));
        };
        self.cache
            .judge(text, &self.environment(), &snapshot.catalog)
            .map_err(|unparsable| unjudged(text, &unparsable))
    }

    /// A prepared statement, judged against the catalog as it is now.
    pub(super) fn current(
        &self,
        prepared: Arc<Prepared>,
    ) -> Result<Arc<Prepared>, (Refusal, Option<usize>)> {
        let version = self.snapshot().map(|snapshot| snapshot.catalog.version);
        if version == Some(prepared.judged.catalog_version) {
            return Ok(prepared);
        }
        let judged = self.judge(&prepared.judged.text)?;
        let fields = OnceLock::new();
        if let Some(described) = prepared.fields.get() {
            let _ = fields.set(Arc::clone(described));
        }
        Ok(Arc::new(Prepared {
            judged,
            index: prepared.index,
            parameter_types: prepared.parameter_types.clone(),
            fields,
        }))
    }

    /// For FETCH and EXECUTE: what really runs.
    pub(super) fn source(&self, judged: &Judged) -> Option<Arc<Portal>> {
        let [statement] = judged.statements.list.as_slice() else { return None };
        match &statement.kind {
            StatementKind::Fetch { cursor, .. } => self.portals.find(cursor.as_bytes()).cloned(),
            StatementKind::Execute { name } => {
                let prepared = Arc::clone(self.statements.find(name.as_bytes())?);
                let gate = OperationId(0);
                Some(Arc::new(Portal { prepared, formats: Vec::new(), gate, hold: false }))
            }
            _ => None,
        }
    }
}

pub(super) fn unjudged(text: &str, unparsable: &Unparsable) -> (Refusal, Option<usize>) {
    let position = unparsable
        .position
        .map(|at| text.get(..at).map_or(0, |before| before.chars().count()).saturating_add(1));
    let reason = match unparsable.reason {
        "too_deep" => "too_deep",
        "encoding" | "nul" => "encoding",
        _ => "unparsable",
    };
    let words = ClientText::composed(unparsable.message.clone());
    (Refusal::unjudgeable(reason, words), position)
}

//! What a text does, as far as this session can tell now.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use engine::{Outbox, Refusal};
use model::ClientText;
use sql::{Runs, Statement, StatementKind, Unparsable};

use crate::admit::may_set_encoding;
use crate::expected::What;
use crate::judge::{Environment, Judged, judge};
use crate::names::{Portal, Prepared, Source};
use crate::ready::Ready;
use crate::settings::Encoding;

impl Ready {
    /// Whether `text` can be judged now: no definitions that it may name are being changed. Where a
    /// backslash or a byte above ASCII may mean one thing or another by a setting, what the server
    /// said about that setting must have arrived.
    pub(super) fn quiet_for(&mut self, text: &[u8], out: &mut Outbox<Bytes>) -> bool {
        if !self.definitions_are_settled(out) {
            return false;
        }
        let plain = is_plain(text) && (self.masks.is_empty() || !self.encoding_is_awaited());
        if plain || self.expected.is_empty() {
            return true;
        }
        self.flush(out);
        false
    }

    /// Refuses a text that means one thing or another by a setting, when everything is answered and
    /// the server has not said what that is by now: it does at the end of the pipeline.
    fn check_told(&self, text: &[u8]) -> Result<(), Refusal> {
        if is_plain(text) || self.settings_are_told() {
            return Ok(());
        }
        let words = "this pipeline may have changed standard_conforming_strings or \
                     client_encoding, on which the meaning of this statement depends; send Sync \
                     before it";
        Err(Refusal::unjudgeable("unsettled", ClientText::fixed(words)))
    }

    /// Whether something under way may change `client_encoding`.
    pub(super) fn encoding_is_awaited(&self) -> bool {
        self.expected.iter().any(|expected| {
            let What::Rows(rows) = &expected.what else { return false };
            let source = rows.source.as_ref().map(|source| &source.judged);
            let judged = source.into_iter().chain([&rows.judged]);
            judged.into_iter().any(|judged| judged.statements.list.iter().any(may_set_encoding))
        })
    }

    /// Names of statements and portals are bytes here, and characters to the server.
    pub(super) fn check_name(&self, name: &[u8]) -> Result<(), Refusal> {
        let settings = &self.settings;
        let is_exact = settings.client_encoding == "UTF8"
            && settings.server_encoding == "UTF8"
            && self.settings_are_told();
        if name.is_ascii() || is_exact {
            return Ok(());
        }
        let words = "names of statements and portals beyond ASCII are taken only in \
                     client_encoding UTF8, of a database in UTF8";
        Err(Refusal::unjudgeable("encoding", ClientText::fixed(words)))
    }

    pub(super) fn decode(&self, text: &[u8]) -> Result<String, Refusal> {
        self.check_told(text)?;
        let settings = &self.settings;
        if text.is_ascii() || settings.encoding == Encoding::Utf8 {
            let text = String::from_utf8(text.to_vec()).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                let words = format!("the statement is not valid UTF-8 at byte {at}");
                Refusal::unjudgeable("encoding", ClientText::composed(words))
            })?;
            return settings.names_are_read(text);
        }
        if settings.encoding == Encoding::SingleByte {
            return settings.names_are_read(text.iter().map(|byte| char::from(*byte)).collect());
        }
        let words = "statements beyond ASCII are judged only in client_encoding UTF8 or a \
                     single-byte encoding; SET client_encoding TO 'UTF8'";
        Err(Refusal::unjudgeable("encoding", ClientText::fixed(words)))
    }

    /// Whether everything that was sent is answered. Only then it is certain what a FETCH or an
    /// EXECUTE will run.
    pub(super) fn is_quiet(&mut self, out: &mut Outbox<Bytes>) -> bool {
        if !self.expected.is_empty() {
            self.flush(out);
        }
        self.expected.is_empty()
    }

    /// A name that the snapshot does not have may have been made a moment ago. Before someone with
    /// masks is refused for it, the catalog is read anew, once for each message.
    pub(super) fn looks_again(&mut self, judged: &Judged, out: &mut Outbox<Bytes>) -> bool {
        let is_missing = |one: &Statement| {
            !one.facts.unresolved.is_empty()
                || one.opaque.iter().any(|opaque| opaque.reason == "unknown_object")
        };
        if self.looked_again
            || !self.uncommitted.is_empty()
            || !judged.statements.list.iter().any(is_missing)
            || !self.must_scrub()
        {
            return false;
        }
        self.looked_again = true;
        self.refreshing = true;
        self.refresh(out);
        true
    }

    pub(super) fn judge(&mut self, text: &str) -> Result<Arc<Judged>, Unjudged> {
        let environment = self.environment();
        self.judge_in(text, &environment)
    }

    fn judge_in(
        &mut self,
        text: &str,
        environment: &Arc<Environment>,
    ) -> Result<Arc<Judged>, Unjudged> {
        let Some(snapshot) = self.snapshot() else {
            let words = ClientText::fixed("the catalog of this database could not be read");
            return Err((Refusal::unjudgeable("catalog", words), None));
        };
        let own = self.uncommitted.catalog(&snapshot.catalog);
        let judged = match &own {
            // What is this session's own is in no cache.
            Some(catalog) => judge(text, environment, catalog).map(Arc::new),
            None => self.cache.judge(text, environment, &snapshot.catalog),
        };
        let judged = judged.map_err(|unparsable| unjudged(text, &unparsable))?;
        if !self.masks.is_empty() {
            judged.note_uses(own.as_ref().unwrap_or(&snapshot.catalog));
        }
        Ok(judged)
    }

    /// A prepared statement, judged as the server runs it now: it is planned anew when definitions
    /// or `search_path` have changed (PostgreSQL 17, PREPARE, "Notes"). Its strings stay as they
    /// were read.
    pub(super) fn current(&mut self, prepared: Arc<Prepared>) -> Result<Arc<Prepared>, Unjudged> {
        let snapshot = self.snapshot();
        let version = snapshot.as_ref().map(|snapshot| snapshot.catalog.version);
        let mut now = self.environment();
        let then = &prepared.judged.environment;
        let strings = then.standard_conforming_strings;
        if strings != now.standard_conforming_strings {
            now = Arc::new(Environment { standard_conforming_strings: strings, ..(*now).clone() });
        }
        // Tables of the session's own are in no version of the catalog.
        let objects = &prepared.judged.statements.facts.objects;
        let is_certain =
            self.uncommitted.is_empty() && !objects.iter().any(|oid| *oid >= sql::own::FIRST_OID);
        if is_certain && version == Some(prepared.judged.catalog_version) && *then == now {
            if let Some(snapshot) = snapshot.filter(|_| !self.masks.is_empty()) {
                prepared.judged.note_uses(&snapshot.catalog);
            }
            return Ok(prepared);
        }
        let judged = self.judge_in(&prepared.judged.text, &now)?;
        let fields = OnceLock::new();
        if let Some(described) = prepared.fields.get() {
            let _ = fields.set(Arc::clone(described));
        }
        Ok(Arc::new(Prepared {
            judged,
            index: prepared.index,
            by_sql: prepared.by_sql,
            parsed_behind: prepared.parsed_behind,
            parameter_types: prepared.parameter_types.clone(),
            fields,
        }))
    }

    /// What an EXECUTE runs in the end: what `Parse` prepared may be an EXECUTE itself.
    fn executed(
        &mut self,
        name: &Arc<str>,
        prepared: Arc<Prepared>,
    ) -> Result<Arc<Prepared>, Unjudged> {
        let (mut name, mut prepared) = (Arc::clone(name), prepared);
        for _ in 0..EXECUTES_MAX {
            prepared = self.current(prepared)?;
            self.statements.renew(name.as_bytes(), &prepared);
            let list = &prepared.judged.statements.list;
            let next = match prepared.index.and_then(|index| list.get(index)).map(|one| &one.kind) {
                Some(StatementKind::Execute { name, .. }) => Arc::clone(name),
                _ => return Ok(prepared),
            };
            // One that is not there fails.
            let Some(known) = self.statements.find(next.as_bytes()).cloned() else {
                return Ok(prepared);
            };
            (name, prepared) = (next, known);
        }
        let words = ClientText::fixed("one EXECUTE would run too many others");
        Err((Refusal::unjudgeable("unknown_source", words), None))
    }

    /// What a portal runs may be looked up by other names than it was judged by. The server looks
    /// up what utility statements name when it runs them, and what bodies of functions name when
    /// it first runs those; everything else is settled when a portal is opened.
    pub(super) fn is_adrift(&self, portal: &Portal) -> bool {
        let judged = &portal.prepared.judged;
        let is_late = judged.is_named_late();
        let is_moved = self.pathing > portal.behind || is_late && self.defining > portal.behind;
        if !is_moved || is_late {
            return is_moved;
        }
        let Some(snapshot) = self.snapshot() else { return true };
        judged.note_uses(&snapshot.catalog);
        judged.goes_by_made()
    }

    /// For texts with FETCH and EXECUTE: what really runs. Ask only when all is quiet.
    pub(super) fn source(&mut self, judged: &Arc<Judged>) -> Result<Option<Source>, Unjudged> {
        let list = &judged.statements.list;
        let alone = list.len() == 1;
        let mut parts = Vec::new();
        for statement in list {
            match statement.kind.runs() {
                None => {}
                Some(Runs::Cursor(cursor)) => {
                    let Some(portal) = self.portals.find(cursor.as_bytes()) else { continue };
                    if !alone {
                        return Err((fetch_with_others(), None));
                    }
                    if self.is_adrift(portal) {
                        return Err((adrift(), None));
                    }
                    return Ok(Some(match &portal.source {
                        Some(source) => {
                            let hides = portal.hides.clone();
                            Source { gate: Some(portal.gate), hides, ..source.clone() }
                        }
                        None => Source {
                            judged: Arc::clone(&portal.prepared.judged),
                            index: Some(portal.prepared.index.unwrap_or(0)),
                            gate: Some(portal.gate),
                            hides: portal.hides.clone(),
                            takes_effect: false,
                        },
                    }));
                }
                Some(Runs::Prepared(name)) => {
                    let known = self.statements.find(name.as_bytes()).cloned();
                    let Some(prepared) = known else { continue };
                    let prepared = self.executed(&name, prepared)?;
                    let part = Arc::clone(&prepared.judged);
                    if alone {
                        // A plan that is explained is a column of its own.
                        let executed = matches!(statement.kind, StatementKind::Execute { .. });
                        let index = executed.then(|| prepared.index.unwrap_or(0));
                        return Ok(Some(Source {
                            judged: part,
                            index,
                            gate: None,
                            hides: Vec::new(),
                            takes_effect: executed && !prepared.is_query(),
                        }));
                    }
                    parts.push(part);
                }
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let judged = Arc::new(judged.with(&parts));
        let hides = Vec::new();
        Ok(Some(Source { judged, index: None, gate: None, hides, takes_effect: false }))
    }
}

/// See [`Ready::is_adrift`].
pub(super) fn adrift() -> Refusal {
    let words = "search_path, the role or a definition was changed after this was bound or \
                 declared, and what it names is looked up when it runs; bind or declare it anew";
    Refusal::unjudgeable("unknown_source", ClientText::fixed(words))
}

/// Each EXECUTE of an EXECUTE is looked up, so far.
const EXECUTES_MAX: usize = 8;

/// It means the same under every setting.
fn is_plain(text: &[u8]) -> bool {
    text.is_ascii() && memchr::memchr(b'\\', text).is_none()
}

/// Why a text may not run, and where in it, characters from 1.
pub(super) type Unjudged = (Refusal, Option<usize>);

/// Rows of a cursor count from its opening on (R4), and those of other statements do not.
fn fetch_with_others() -> Refusal {
    let words = "FETCH from a cursor that is open already must be sent alone: its rows are counted \
                 together with those fetched before";
    Refusal::unjudgeable("unknown_source", ClientText::fixed(words))
}

fn unjudged(text: &str, unparsable: &Unparsable) -> Unjudged {
    let position = unparsable
        .position
        .map(|at| text.get(..at).map_or(0, |before| before.chars().count()).saturating_add(1));
    let reason = match unparsable.reason {
        "too_deep" => "too_deep",
        "encoding" | "nul" => "encoding",
        "syntax" => "syntax",
        _ => "unparsable",
    };
    let words = ClientText::composed(unparsable.message.clone());
    (Refusal::unjudgeable(reason, words), position)
}

//! Operations: asked for, or refused and recorded all the same.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Outbox, Refusal};
use model::operation::{Objects, RowBound, Stage};
use model::{ClientText, Lane, Operation, Parameter};

use super::guesses::BoundValue;
use crate::judge::Judged;
use crate::names::{Hides, Source};
use crate::ready::{Plan, Ready, Undecided};

/// A database connection is one lane: its answers keep the order of its questions.
const LANE: Lane = Lane(0);

/// An operation and what is known of it beside.
pub(super) struct Asked<'a> {
    pub operation: Operation,
    pub judged: &'a Arc<Judged>,
    /// What it runs, when it is FETCH or EXECUTE.
    pub source: Option<&'a Source>,
    /// Values bound to it.
    pub values: &'a [BoundValue],
}

impl Ready {
    /// Asks for an operation, or has it refused when it may not run whoever asks.
    pub(super) fn submit(
        &mut self,
        asked: Asked<'_>,
        units: Vec<Bytes>,
        plan: Plan,
        out: &mut Outbox<Bytes>,
    ) {
        let Asked { mut operation, judged, source, values } = asked;
        let admitted = self.admit(judged).and_then(|()| match source {
            // What was prepared or declared under other masks may show something else now.
            Some(source) => self.admit(&source.judged),
            None => Ok(()),
        });
        let guessed = admitted.and_then(|()| self.guesses(judged, source, values));
        let guessed = guessed.map(|guesses| operation.guesses = guesses);
        if let Err(refusal) = guessed {
            let (simple, sync) = match plan {
                Plan::Simple(..) => (true, None),
                Plan::Extended { sync, .. } | Plan::Refused { sync, .. } => (false, sync),
            };
            let id = out.refuse(LANE, operation, refusal);
            let plan = Plan::Refused { simple, sync };
            self.undecided = Some(Undecided { id, plan, hides: Vec::new(), position: None });
            return;
        }
        let hides = self.hidden_now();
        let mut units = units.into_iter();
        let id = out.ask(LANE, operation, units.next());
        for unit in units {
            out.more(id, unit);
        }
        self.undecided = Some(Undecided { id, plan, hides, position: None });
    }

    /// What is hidden as the catalog is now. Who waits for a reply while a table is dropped gets
    /// what was in it all the same.
    fn hidden_now(&mut self) -> Hides {
        let snapshot = self.snapshot().filter(|_| !self.masks.is_empty());
        let masked = snapshot.map(|snapshot| self.cache.masked(&self.masks, &snapshot.catalog));
        let masked = masked.filter(|masked| !masked.is_empty());
        if masked.is_some() || self.expected.is_empty() {
            self.hid.clone_from(&masked);
        }
        masked.into_iter().collect()
    }

    pub(super) fn too_large(&mut self, simple: bool, out: &mut Outbox<Bytes>) {
        let most = self.setup.limits.statement_bytes_max;
        let words = format!("the statement is longer than the limit of {most} bytes");
        let refusal = Refusal::unjudgeable("too_large", ClientText::composed(words));
        let kind = if simple { "query" } else { "parse" };
        self.refuse_unjudged(kind, "", refusal, simple, None, out);
    }

    /// Refuses what could not be judged; it is recorded all the same.
    pub(super) fn refuse_unjudged(
        &mut self,
        kind: &'static str,
        text: &str,
        refusal: Refusal,
        simple: bool,
        position: Option<usize>,
        out: &mut Outbox<Bytes>,
    ) {
        let operation = Operation {
            kind,
            stage: Stage::Gate,
            under: None,
            text: text.into(),
            parameters: Vec::new(),
            facts: Arc::new([]),
            effect: model::Effect::MayWrite,
            rows: RowBound::Unbounded,
            guesses: Vec::new(),
            objects: Arc::new(Objects::default()),
            context: "".into(),
            aside: Vec::new(),
        };
        let id = out.refuse(LANE, operation, refusal);
        let plan = Plan::Refused { simple, sync: None };
        self.undecided = Some(Undecided { id, plan, hides: Vec::new(), position });
    }
}

/// An operation over a judged text. For FETCH and EXECUTE, rules see what really runs.
pub(super) fn operation(
    kind: &'static str,
    judged: &Arc<Judged>,
    source: Option<&Source>,
    parameters: Vec<Parameter>,
) -> Operation {
    let seen = source.map_or(judged, |source| &source.judged);
    let gate = source.and_then(|source| source.gate);
    Operation {
        kind,
        stage: if gate.is_some() { Stage::Repeat } else { Stage::Gate },
        under: gate,
        text: Arc::clone(&judged.text),
        parameters,
        facts: Arc::clone(&seen.values),
        effect: if source.is_some() { seen.effect } else { judged.effect },
        rows: if source.is_some() { RowBound::Unbounded } else { judged.rows },
        guesses: Vec::new(),
        objects: Arc::clone(&seen.objects),
        context: Arc::clone(&seen.context),
        aside: Vec::new(),
    }
}

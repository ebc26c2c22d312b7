//! Rows of a Query or an Execute: described, masked, passed on.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Fault, MaskPlan, Outbox, Permit, Refusal, Searched, Sought};
use model::{ClientText, Column};
use sql::StatementKind;

use super::outgoing::Outgoing;
use crate::expected::{Expected, Opened, RowsReply, Treatment, What};
use crate::follow::Follow;
use crate::judge::{Judged, MaskedColumns};
use crate::message::{self, FieldDescription};
use crate::names::Source;
use crate::ready::{Ready, counted};
use crate::rows;
use crate::shape::{Shape, Shaping, changed};

/// What is known of rows before the first of them passes.
pub(super) struct Described {
    pub treatment: Treatment,
    pub columns: Arc<[Column]>,
    pub searched: Searched,
}

impl Described {
    /// Nothing is sought in them.
    pub fn unsought(columns: Arc<[Column]>) -> Self {
        Self { treatment: Treatment::Pass, columns, searched: Searched::Whole }
    }
}

impl Ready {
    /// Messages of a Query or an Execute.
    pub(super) fn rows_message(
        &mut self,
        tag: u8,
        base: &Bytes,
        (start, end): (usize, usize),
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        let body = base.get(start.saturating_add(5)..end).unwrap_or_default();
        match tag {
            b'T' => {
                let fields = message::row_description(body)?;
                match self.described(&fields, None) {
                    Ok(described) => {
                        self.treat(described, going);
                        going.pass(base, start, end);
                    }
                    Err(refusal) => self.stop_reply(refusal, going, out),
                }
            }
            b'D' => self.row(base, (start, end), going, out)?,
            b'H' => match self.copy_out(body) {
                Ok(described) => {
                    self.treat(described, going);
                    going.pass(base, start, end);
                }
                Err(refusal) => self.stop_reply(refusal, going, out),
            },
            b'd' => self.copy_row(base, (start, end), going)?,
            b'c' => {
                self.copy_done()?;
                going.pass(base, start, end);
            }
            b'G' => {
                going.pass(base, start, end);
                self.takes_data();
            }
            b'C' | b'I' | b's' => {
                going.pass(base, start, end);
                self.completed(tag, going, out);
            }
            _ => return Err(Fault::upstream("answer out of place")),
        }
        Ok(())
    }

    fn row(
        &mut self,
        base: &Bytes,
        (start, end): (usize, usize),
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        if matches!(self.treatment(), Some(Treatment::Undescribed))
            && !self.describe_portal(going, out)?
        {
            return Ok(());
        }
        going.rows = going.rows.saturating_add(1);
        let key = Arc::clone(&self.setup.hash_key);
        match self.treatment() {
            Some(Treatment::Rows(mask, follow)) => {
                let whole = base.get(start..end).unwrap_or_default();
                if let Some(follow) = follow {
                    let body = whole.get(5..).unwrap_or_default();
                    follow.row(body, &mut going.taints)?;
                }
                if mask.untouched(whole) {
                    going.pass(base, start, end);
                    return Ok(());
                }
                let body = base.get(start.saturating_add(5)..end).unwrap_or_default();
                let mut found = std::mem::take(&mut going.found);
                let result = mask.mask_row(body, &key, going.own(), &mut found);
                going.found = found;
                result
            }
            Some(Treatment::Pass) => {
                going.pass(base, start, end);
                Ok(())
            }
            _ => Err(Fault::upstream("row out of place")),
        }
    }

    /// Rows of an Execute: what the statement returns was described before. False when the reply
    /// was stopped.
    fn describe_portal(
        &mut self,
        going: &mut Outgoing,
        out: &mut Outbox<Bytes>,
    ) -> Result<bool, Fault> {
        let Some(What::Rows(rows)) = self.expected.front().map(|expected| &expected.what) else {
            return Err(Fault::upstream("row out of place"));
        };
        let Some(Opened { prepared, formats, fields, .. }) = rows.portal.clone() else {
            return Err(Fault::upstream("row before its description"));
        };
        let told = fields.as_ref().map_or(&prepared.fields, |fields| &**fields);
        let described = match told.get() {
            Some(fields) => self.described(fields, Some(&formats)),
            None if !self.hides_or_follows() => Ok(Described {
                treatment: Treatment::Pass,
                columns: self.undescribed_columns(),
                searched: Searched::Not,
            }),
            None => {
                let words = "the server did not say what this statement returns";
                Err(Refusal::unjudgeable("untraceable", ClientText::fixed(words)))
            }
        };
        match described {
            Ok(described) => {
                self.treat(described, going);
                Ok(true)
            }
            Err(refusal) => {
                self.stop_reply(refusal, going, out);
                Ok(false)
            }
        }
    }

    pub(super) fn treatment(&mut self) -> Option<&mut Treatment> {
        match &mut self.expected.front_mut()?.what {
            What::Rows(rows) => Some(&mut rows.treatment),
            _ => None,
        }
    }

    fn treat(&mut self, described: Described, going: &mut Outgoing) {
        if let Some(treatment) = self.treatment() {
            *treatment = described.treatment;
        }
        going.columns = Some(described.columns);
        // Results that leave together are as the worst of them.
        going.searched = going.searched.max(Some(described.searched));
    }

    fn hides_or_follows(&self) -> bool {
        self.runs().is_some_and(|permit| permit.masks().reads_replies())
    }

    /// What is done with rows of these columns, and how they are recorded.
    fn described(
        &self,
        fields: &[FieldDescription],
        formats: Option<&[i16]>,
    ) -> Result<Described, Refusal> {
        let Some(Expected { what: What::Rows(rows), permit: Some(permit), .. }) =
            self.expected.front()
        else {
            return Err(no_source());
        };
        let plan = permit.masks();
        self.check_unchanged(rows)?;
        let (judged, index) = self.source_of(rows);
        let statement = judged.statements.list.get(index);
        let shape = self.shaping(plan, |shaping| shaping.described(statement, fields))?;
        if !reads_replies(permit) {
            return Ok(Described::unsought(shape.columns));
        }
        // A Bind that lists no format means text for all; a simple query says so itself.
        let formats: &[i16] = match formats {
            Some([]) => &[0],
            Some(formats) => formats,
            None => &[],
        };
        let (kinds, types) = (&shape.kinds, plan.detections());
        let mask = rows::compile(fields, formats, kinds, types, counted(Sought::under(permit)));
        let follow = match plan.followed() {
            Some(plan) => {
                let shape = self.loosely(plan, |shaping| shaping.described(statement, fields))?;
                let types = fields.iter().enumerate();
                let types = types.map(|(index, f)| (f.type_oid, rows::format(formats, index, f)));
                Follow::new(&self.origin, plan, &shape, types)
            }
            None => None,
        };
        let searched = mask.searched();
        let treatment = if mask.is_noop() && follow.is_none() {
            Treatment::Pass
        } else {
            Treatment::Rows(Box::new(mask), follow.map(Box::new))
        };
        Ok(Described { treatment, columns: shape.columns, searched })
    }

    /// A shape in which what cannot be traced has no origin.
    pub(super) fn loosely(
        &self,
        plan: &MaskPlan,
        make: impl FnOnce(&Shaping<'_>) -> Result<Shape, Refusal>,
    ) -> Result<Shape, Refusal> {
        let snapshot = self.snapshot().ok_or_else(no_source)?;
        let masked = self.cache.masked(plan, &snapshot.catalog);
        make(&Shaping {
            catalog: &snapshot.catalog,
            plan,
            strict: false,
            masked: &masked,
            before: &[],
        })
    }

    /// Labels and origins by lineage, when the server was not asked.
    fn undescribed_columns(&self) -> Arc<[Column]> {
        let Some(Expected { what: What::Rows(rows), permit: Some(permit), .. }) =
            self.expected.front()
        else {
            return Arc::new([]);
        };
        let (judged, index) = self.source_of(rows);
        let outputs = judged.statements.list.get(index).and_then(|s| s.outputs.columns.as_deref());
        let count = outputs.map_or(0, <[_]>::len);
        self.shaping(permit.masks(), |shaping| shaping.copied(outputs, count))
            .map_or_else(|_| Arc::new([]) as Arc<[Column]>, |shape| shape.columns)
    }

    /// Whether the server can have run something else than was judged: another session changed what
    /// it names. A cursor's query was planned when it was opened, but for what functions look up.
    pub(super) fn check_unchanged(&self, rows: &RowsReply) -> Result<(), Refusal> {
        let is_looked_up = |source: &&Source| source.gate.is_none() || source.judged.goes_by_made();
        let source = rows.source.as_ref().filter(is_looked_up);
        let executed = source.and_then(|source| Some((&*source.judged, source.index?)));
        let mut ran = [(&*rows.judged, rows.statement)].into_iter().chain(executed);
        match !rows.hides.is_empty() && ran.any(|one| self.seat.may_have_changed(one, rows.since)) {
            true => Err(changed()),
            false => Ok(()),
        }
    }

    /// What was hidden when the statement that is answered now was admitted.
    pub(super) fn hides(&self) -> &[Arc<MaskedColumns>] {
        match self.expected.front().map(|expected| &expected.what) {
            Some(What::Rows(rows)) => &rows.hides,
            _ => &[],
        }
    }

    /// The statement whose columns are returned: for FETCH and EXECUTE another one.
    fn source_of(&self, rows: &RowsReply) -> (Arc<Judged>, usize) {
        if let Some(Source { judged, index: Some(index), .. }) = &rows.source {
            return (Arc::clone(judged), *index);
        }
        let (judged, index) = (&rows.judged, rows.statement);
        let source = match judged.statements.list.get(index).map(|statement| &statement.kind) {
            Some(StatementKind::Fetch { cursor, .. }) => {
                self.portals.find(cursor.as_bytes()).map(|portal| Arc::clone(&portal.prepared))
            }
            Some(StatementKind::Execute { name, .. }) => {
                self.statements.find(name.as_bytes()).cloned()
            }
            _ => None,
        };
        match source {
            Some(prepared) => (Arc::clone(&prepared.judged), prepared.index.unwrap_or(0)),
            None => (Arc::clone(judged), index),
        }
    }

    pub(super) fn shaping<T>(
        &self,
        plan: &MaskPlan,
        make: impl FnOnce(&Shaping<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let snapshot = self.snapshot().ok_or_else(no_source)?;
        let masked = self.cache.masked(plan, &snapshot.catalog);
        let shaping = Shaping {
            catalog: &snapshot.catalog,
            plan,
            strict: !masked.is_empty() || !self.hides().is_empty(),
            masked: &masked,
            before: self.hides(),
        };
        make(&shaping)
    }
}

/// Whether replies under this permit are looked into.
pub(super) fn reads_replies(permit: &Permit) -> bool {
    permit.masks().reads_replies() || Sought::under(permit).is_any()
}

pub(super) fn no_source() -> Refusal {
    let words = ClientText::fixed("the reply cannot be traced to a statement");
    Refusal::unjudgeable("untraceable", words)
}

//! Rows of a COPY TO STDOUT.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Fault, Permit, Refusal, Searched, Sought};
use model::ClientText;
use sql::{CopyDetails, StatementKind};

use super::outgoing::Outgoing;
use super::rows::{Described, no_source, reads_replies};
use crate::copy::{CopyFormat, CopyMask, CopyOptions};
use crate::expected::{Expected, Treatment, What};
use crate::follow::{Follow, FollowCopy};
use crate::ready::{Ready, counted};
use crate::settings::Encoding;
use crate::shape::Shape;
use crate::types::{Format, oid};

impl Ready {
    pub(super) fn copy_out(&self, body: &[u8]) -> Result<Described, Refusal> {
        let Some(Expected { what: What::Rows(rows), permit: Some(permit), .. }) =
            self.expected.front()
        else {
            return Err(no_source());
        };
        let plan = permit.masks();
        self.check_unchanged(rows)?;
        let copy =
            rows.judged.statements.list.get(rows.statement).and_then(|statement| match &statement
                .kind
            {
                StatementKind::Copy(copy) => Some(copy),
                _ => None,
            });
        let count = body.get(1..3).and_then(|count| count.try_into().ok());
        let count = usize::from(u16::from_be_bytes(count.unwrap_or_default()));
        let outputs = copy.and_then(|copy| copy.columns.as_deref());
        let shape = self.shaping(plan, |shaping| shaping.copied(outputs, count))?;
        if !reads_replies(permit) {
            return Ok(Described::unsought(shape.columns));
        }
        let columns = Arc::clone(&shape.columns);
        match self.copy_read(permit, copy, shape) {
            // Nothing in it is hidden.
            Err(_) if !plan.reads_replies() => {
                Ok(Described { treatment: Treatment::Pass, columns, searched: Searched::Not })
            }
            read => read,
        }
    }

    /// The same for a COPY whose rows are looked into.
    fn copy_read(
        &self,
        permit: &Permit,
        copy: Option<&CopyDetails>,
        shape: Shape,
    ) -> Result<Described, Refusal> {
        let Some(copy) = copy else { return Err(no_source()) };
        let (plan, outputs) = (permit.masks(), copy.columns.as_deref());
        let count = shape.kinds.len();
        let snapshot = self.snapshot().ok_or_else(no_source)?;
        let type_of = |index: usize| {
            let direct = outputs.and_then(|outputs| outputs.get(index)).and_then(|o| o.direct);
            let stored = direct.and_then(|id| snapshot.catalog.column(id));
            // An expression's type is not told by COPY, so its mask is NULL (R19).
            stored.map_or(oid::UNSPECIFIED, |(_, column)| column.type_oid)
        };
        let kinds = shape.kinds.iter().enumerate();
        let columns: Vec<_> = kinds.map(|(index, kind)| (*kind, type_of(index), -1)).collect();
        let options = CopyOptions::parse(&copy.options).map_err(|unclear| {
            let words =
                format!("this COPY cannot be masked: option {}: {}", unclear.option, unclear.what);
            Refusal::unjudgeable("copy_format", ClientText::composed(words))
        })?;
        if options.encoding.is_none() && self.settings.encoding == Encoding::Other {
            let words = "this COPY cannot be masked in the session's client_encoding; \
                         SET client_encoding TO 'UTF8'";
            return Err(Refusal::unjudgeable("copy_format", ClientText::fixed(words)));
        }
        let key = Arc::clone(&self.setup.hash_key);
        let follow = match plan.followed() {
            Some(plan) => {
                let shape = self.loosely(plan, |shaping| shaping.copied(outputs, count))?;
                let format = match options.format {
                    CopyFormat::Binary => Format::Binary,
                    CopyFormat::Csv { .. } | CopyFormat::Text { .. } => Format::Text,
                };
                let types = (0..count).map(|index| (type_of(index), Some(format)));
                let follow = Follow::new(&self.origin, plan, &shape, types);
                follow
                    .map(|follow| FollowCopy::new(follow, options.format.clone(), Arc::clone(&key)))
            }
            None => None,
        };
        let (types, counted) = (plan.detections(), counted(Sought::under(permit)));
        let mask = CopyMask::counting(options.format, &columns, types, counted, key);
        let searched = mask.searched();
        let treatment = if mask.is_noop() && follow.is_none() {
            Treatment::Pass
        } else {
            Treatment::Copy(Box::new(mask), follow.map(Box::new))
        };
        Ok(Described { treatment, columns: shape.columns, searched })
    }

    pub(super) fn copy_row(
        &mut self,
        base: &Bytes,
        (start, end): (usize, usize),
        going: &mut Outgoing,
    ) -> Result<(), Fault> {
        let Some(Treatment::Copy(mask, follow)) = self.treatment() else {
            return Err(Fault::upstream("COPY data out of place"));
        };
        let body = base.get(start.saturating_add(5)..end).unwrap_or_default();
        if let Some(follow) = follow {
            follow.push(body, &mut going.taints)?;
        }
        let mut found = std::mem::take(&mut going.found);
        let mut rows = 0;
        let result = mask.push(body, going.own(), &mut rows, &mut found);
        going.rows = going.rows.saturating_add(rows);
        going.found = found;
        result
    }

    pub(super) fn copy_done(&mut self) -> Result<(), Fault> {
        if let Some(Treatment::Copy(mask, _)) = self.treatment() {
            return mask.finish();
        }
        Ok(())
    }
}

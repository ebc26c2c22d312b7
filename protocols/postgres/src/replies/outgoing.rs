//! What goes to the client, gathered so that whole batches move at once.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::taint::Taint;
use engine::{Batch, Outbox, Permit, Searched};
use model::{Column, DetectionCount, Side};

/// What goes to the client, gathered as far as it belongs together.
#[derive(Default)]
pub(super) struct Outgoing {
    base: Bytes,
    start: usize,
    end: usize,
    owned: BytesMut,
    pub rows: u64,
    pub columns: Option<Arc<[Column]>>,
    pub found: Vec<DetectionCount>,
    /// How far rows are searched, as told with their columns; of several results the worst.
    pub searched: Option<Searched>,
    pub taints: Vec<Taint>,
    pub error_code: Option<String>,
    pub permit: Option<Arc<Permit>>,
}

impl Outgoing {
    /// A part of `base` goes out as it is.
    pub(super) fn pass(&mut self, base: &Bytes, start: usize, end: usize) {
        if !self.owned.is_empty() {
            self.owned.extend_from_slice(base.get(start..end).unwrap_or_default());
        } else if self.start == self.end {
            self.base = base.clone();
            (self.start, self.end) = (start, end);
        } else if self.end == start
            && self.base.as_ptr() == base.as_ptr()
            && self.base.len() == base.len()
        {
            // The same chunk, and not a message that happens to begin where the chunk does.
            self.end = end;
        } else {
            let more = base.get(start..end).unwrap_or_default();
            self.own().extend_from_slice(more);
        }
    }

    /// Bytes that are written anew.
    pub(super) fn own(&mut self) -> &mut BytesMut {
        if self.start != self.end {
            let run = self.base.get(self.start..self.end).unwrap_or_default();
            self.owned.extend_from_slice(run);
            (self.start, self.end) = (0, 0);
        }
        &mut self.owned
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
            && self.owned.is_empty()
            && self.columns.is_none()
            && self.error_code.is_none()
            && self.found.is_empty()
    }

    /// Hands over what was gathered.
    pub(super) fn flush(&mut self, out: &mut Outbox<Bytes>) {
        if self.is_empty() {
            return;
        }
        let unit = if self.owned.is_empty() {
            self.base.slice(self.start..self.end)
        } else {
            self.owned.split().freeze()
        };
        (self.start, self.end) = (0, 0);
        let batch = Batch {
            unit,
            rows: std::mem::take(&mut self.rows),
            columns: self.columns.take(),
            detections: std::mem::take(&mut self.found),
            searched: self.searched.take().unwrap_or(Searched::Whole),
            error_code: self.error_code.take(),
            taints: std::mem::take(&mut self.taints),
        };
        match self.permit.take() {
            Some(permit) => out.reply(&permit, batch),
            // What is said of it is of no operation, nor of the next.
            None => out.control(Side::Client, batch.unit),
        }
    }
}

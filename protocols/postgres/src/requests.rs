//! From the client: messages to operations.

mod ask;
mod copy_in;
mod decode;
mod extended;
mod guesses;
mod judging;
mod simple;
mod verdict;

use bytes::Bytes;
use engine::{Fault, Outbox, Refusal};
use model::{ClientText, Side};

use self::copy_in::Beside;
use crate::expected::{Expected, What};
use crate::ready::{Incoming, Ready};

impl Ready {
    /// Takes up the next client message. False when it has to wait.
    pub fn step(&mut self, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        let tag = match self.frames.front() {
            None => return Ok(false),
            Some(Incoming::TooLarge(tag)) => {
                let tag = *tag;
                self.pop_frame();
                if !self.skip_to_sync {
                    self.too_large(tag == b'Q', out);
                }
                return Ok(true);
            }
            Some(Incoming::Frame(frame)) => frame.tag,
        };
        if self.skip_to_sync && !matches!(tag, b'S' | b'X') {
            self.pop_frame();
            return Ok(true);
        }
        match self.beside_copy(tag) {
            Beside::Goes => {}
            Beside::Waits => {
                self.flush(out);
                return Ok(false);
            }
            Beside::IsWrong => {
                let fault = Fault::client("data for COPY was expected, or the end of it");
                return Err(self.violation(fault, out));
            }
        }
        if matches!(tag, b'B' | b'P' | b'Q') && self.awaits_changes(out) {
            return Ok(false);
        }
        match tag {
            b'Q' => self.simple(out),
            b'P' => self.parse(out),
            b'B' => self.bind(out),
            b'E' => self.execute(out),
            b'D' | b'C' | b'H' | b'S' | b'X' => self.plain(tag, out),
            b'd' | b'c' | b'f' => {
                self.copy_data(out);
                Ok(true)
            }
            b'F' => {
                self.pop_frame();
                let words = "function calls by protocol message are refused; call the function in \
                             a SELECT";
                let refusal = Refusal::unjudgeable("unsupported", ClientText::fixed(words));
                self.refuse_unjudged("function_call", "", refusal, true, None, out);
                Ok(true)
            }
            _ => Err(self.violation(Fault::client("message type unknown or out of place"), out)),
        }
    }

    /// Describe, Close, Flush, Sync and Terminate: they carry no operation.
    fn plain(&mut self, tag: u8, out: &mut Outbox<Bytes>) -> Result<bool, Fault> {
        if tag == b'D' && !self.describes_what_is_known(out) {
            return Ok(false);
        }
        let Some(Incoming::Frame(frame)) = self.pop_frame() else { return Ok(false) };
        if matches!(tag, b'S' | b'H' | b'X') && !frame.body().is_empty() {
            let fault = Fault::client("Flush, Sync or Terminate with something in it");
            return Err(self.violation(fault, out));
        }
        match tag {
            b'S' => self.sync(frame.bytes, out),
            b'H' => {
                self.control(frame.bytes, out);
                self.flushed = true;
            }
            b'X' => {
                out.control(Side::Upstream, frame.bytes);
                self.over = true;
                out.close();
            }
            _ => {
                let named = frame.body().split_first().map(|(kind, rest)| {
                    (*kind, rest.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
                });
                let Some((kind @ (b'S' | b'P'), name)) = named else {
                    let fault = Fault::client("Describe or Close of neither statement nor portal");
                    return Err(self.violation(fault, out));
                };
                if let Err(refusal) = self.check_name(&name) {
                    self.refuse_unjudged("parse", "", refusal, false, None, out);
                    return Ok(true);
                }
                let what = if tag == b'D' {
                    self.describes(kind, &name)
                } else {
                    What::Close { kind, name }
                };
                self.control(frame.bytes, out);
                self.expect(Expected::control(what));
            }
        }
        Ok(true)
    }

    fn describes_what_is_known(&mut self, out: &mut Outbox<Bytes>) -> bool {
        let Some(Incoming::Frame(frame)) = self.frames.front() else { return true };
        let frame = frame.clone();
        match frame.body().split_first() {
            Some((b'S', name)) => {
                let name = name.strip_suffix(&[0]).unwrap_or(name);
                self.names_are_settled(Some(name), None, out)
            }
            _ => true,
        }
    }

    fn describes(&self, kind: u8, name: &[u8]) -> What {
        if kind == b'S' {
            What::DescribeStatement { prepared: self.statements.find(name).cloned(), own: false }
        } else {
            What::DescribePortal { own: false, fields: None }
        }
    }

    pub fn sync(&mut self, bytes: Bytes, out: &mut Outbox<Bytes>) {
        self.skip_to_sync = false;
        if self.ignores_sync() {
            return;
        }
        out.control(Side::Upstream, bytes);
        self.expect(Expected::control(What::Sync));
        self.dirty = false;
        self.flushed = true;
    }
}

//! A tunnel that is passed on unopened (`passthrough`).
//!
//! It is judged as one operation, of which host and port are known. What the client says first must
//! be the hello of TLS for that very host; nothing goes upstream before it was read in full. After
//! it both sides say what they want, unread.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::{Batch, Outbox, Permit, Refusal};
use http::{HeaderMap, StatusCode};
use model::exchange::{Length, Part, Reply};
use model::{ClientText, OperationId};

use crate::canonical::{self, Host, Malformed};
use crate::hello;

/// A fatal alert (RFC 8446 section 6): access denied.
const ACCESS_DENIED: &[u8] = b"\x15\x03\x03\x00\x02\x02\x31";

/// A tunnel, from its verdict to its end.
pub struct Tunnel {
    id: OperationId,
    host: Host,
    /// Once it was let go.
    permit: Option<Arc<Permit>>,
    /// The client was told that it is there.
    granted: bool,
    /// What the client said before it is known whom it means.
    first: Option<BytesMut>,
    /// Which sides say no more.
    ended: (bool, bool),
}

/// What follows from what a side said.
#[derive(Debug, Eq, PartialEq)]
pub enum Then {
    /// Nothing.
    GoesOn,
    /// It is complete.
    Ends,
}

impl Tunnel {
    /// To this host, asked for as this operation.
    pub fn new(id: OperationId, host: Host) -> Self {
        Self {
            id,
            host,
            permit: None,
            granted: false,
            first: Some(BytesMut::new()),
            ended: (false, false),
        }
    }

    /// The permit, once there is one.
    pub fn permit(&self) -> Option<&Arc<Permit>> {
        self.permit.as_ref()
    }

    /// It was let go. A reply that a rule may still stop cannot be kept until it is complete: the
    /// client would say nothing that it is the reply to.
    pub fn released(&mut self, permit: Arc<Permit>, out: &mut Outbox<Part>) {
        let words = "a rule about the reply cannot be kept in a tunnel that is passed on unopened";
        let unkept = || Refusal::unjudgeable("unopened_reply", ClientText::fixed(words));
        let refusal = match permit.masks().reads_replies() {
            // A mask that came while a person was asked.
            true => Some(masked()),
            false => permit.is_pending().then(unkept),
        };
        if let Some(refusal) = refusal {
            out.stop(&permit, refusal);
        }
        self.permit = Some(permit);
    }

    /// The client says something.
    pub fn client(&mut self, part: Part, out: &mut Outbox<Part>) -> Then {
        if !self.granted {
            return Then::GoesOn;
        }
        match (part, &mut self.first) {
            (Part::Raw(bytes), None) => out.more(self.id, Part::Raw(bytes)),
            (Part::Raw(bytes), Some(first)) => {
                first.extend_from_slice(&bytes);
                match named(first, &self.host) {
                    Ok(false) => {}
                    Ok(true) => {
                        let hello = self.first.take().unwrap_or_default().freeze();
                        out.more(self.id, Part::Raw(hello));
                    }
                    Err(malformed) => self.misfit(malformed, out),
                }
            }
            (Part::End, Some(_)) => {
                let what = "the client said nothing that names a server";
                self.misfit(Malformed { reason: "not_tls", what }, out);
            }
            (Part::End, None) => {
                self.ended.0 = true;
                out.more(self.id, Part::End);
            }
            _ => {}
        }
        self.then()
    }

    /// The upstream says something.
    pub fn upstream(&mut self, part: Part, out: &mut Outbox<Part>) -> Then {
        let Some(permit) = self.permit.clone() else { return Then::GoesOn };
        match part {
            Part::Reply(_) if !self.granted => {
                self.granted = true;
                let head = Reply {
                    status: StatusCode::OK,
                    fields: HeaderMap::new(),
                    body: Length::Empty,
                    recorded: Bytes::new(),
                };
                out.reply(&permit, Batch::plain(Part::Reply(Box::new(head))));
            }
            Part::Raw(_) if self.first.is_some() => {
                let what = "the host spoke first, so what it speaks is not TLS";
                self.misfit(Malformed { reason: "not_tls", what }, out);
            }
            Part::Raw(bytes) => out.reply(&permit, Batch::plain(Part::Raw(bytes))),
            Part::End => {
                self.ended.1 = true;
                out.reply(&permit, Batch::plain(Part::End));
            }
            _ => {}
        }
        self.then()
    }

    fn then(&self) -> Then {
        if self.ended == (true, true) { Then::Ends } else { Then::GoesOn }
    }

    /// What came first is not what was judged.
    fn misfit(&mut self, malformed: Malformed, out: &mut Outbox<Part>) {
        let Some(permit) = &self.permit else { return };
        out.answer(Part::Raw(Bytes::from_static(ACCESS_DENIED)));
        let refusal = Refusal::unjudgeable(malformed.reason, ClientText::fixed(malformed.what));
        out.stop(permit, refusal);
    }
}

/// What is told to whoever has masks there.
pub fn masked() -> Refusal {
    let words = "fields are masked for you there, and what passes unopened cannot be masked";
    Refusal::unjudgeable("unopened_masked", ClientText::fixed(words))
}

/// Whether the hello for this host is complete.
fn named(first: &[u8], host: &Host) -> Result<bool, Malformed> {
    let Some(name) = hello::server_name(first)? else { return Ok(false) };
    let same = canonical::host(&name)
        .is_ok_and(|named| named.ip.is_none() && named.port.is_none() && named.name == host.name);
    if same {
        return Ok(true);
    }
    Err(Malformed {
        reason: "tls_name",
        what: "the TLS hello names another server than the tunnel's target",
    })
}

//! A body that is too long to be held, judged in parts while it leaves (R15:
//! `http.stream_inspect`).
//!
//! The request is judged with as much of its body as is held at most. After that each part is an
//! operation of its own, judged before it leaves; with one that is refused the request breaks off.
//! What was let go before it has left: whoever asks for this accepts that.

use bytes::Bytes;
use engine::{HashKey, Outbox};
use http::HeaderMap;
use model::exchange::Part;
use model::{Lane, Operation, OperationId, Side};

use crate::body::find::Seam;
use crate::body::{Codings, Opener};
use crate::canonical;
use crate::facts::OfBody;
use crate::grpc;
use crate::operation::{self, Judging, Slice};
use crate::options::Options;
use crate::request::{self, Canonical};

/// Of a body after its first part, bytes: what an exchange keeps of it while it is passed on.
const PART_BYTES: u64 = 256 * 1024;
/// Of parts after the first. Nothing answers them, so they do not wait for the reply to the
/// request, which may be kept until the upstream has all of them.
const LANE: Lane = Lane(1);
/// Bytes that a piece may become when an encoding of it is undone.
const DECODED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Encodings around a whole body that are undone, those that are not declared among them.
const LAYERS_MAX: usize = 4;

/// Whether a body that turns out too long to be held can be judged in parts.
///
/// Calls of gRPC cannot: where a message begins is known only from the one before it. Neither can
/// what a person may be asked about, who says yes to all of it (R11), nor what a model is told,
/// which is read as one document.
pub fn are_possible(request: &Canonical, options: &Options, judging: Judging<'_>) -> bool {
    let is_whole = options.model || judging.reads.asks() || grpc::is_framed(&request.fields);
    options.stream_inspect && !is_whole
}

/// The parts of a body, one after the other.
pub struct Parts {
    /// Of the request.
    id: OperationId,
    /// As it was asked for.
    request: Canonical,
    layers: Layers,
    /// Bytes of the body before those that are gathered.
    before: u64,
    gathered: Vec<u8>,
    trailers: Option<Box<HeaderMap>>,
    /// All of it came.
    ended: bool,
    /// All of it was submitted.
    is_over: bool,
    /// The operation that is being judged, the request's own first.
    waits_for: Option<OperationId>,
}

/// Submits a request with the beginning of its body, as long as is held at most; what is to follow
/// comes to [`Parts::more`].
pub fn begin(
    (request, options): (Canonical, &Options),
    mut bytes: Vec<u8>,
    (lane, head, aside): (Lane, Part, Vec<model::Parameter>),
    (judging, key): (Judging<'_>, &HashKey),
    out: &mut Outbox<Part>,
) -> Parts {
    // However the body came: the same parts of the same body.
    let gathered = bytes.split_off(count(options.inspect_max).min(bytes.len()));
    let mut layers = Layers::new(&request);
    let mut operation = layers.judge(&request, (0, &bytes, None), (judging, key));
    operation.aside = aside;
    let id = out.ask(lane, operation, Some(head));
    out.pause(Side::Client);
    let before = bytes.len() as u64;
    out.more(id, Part::Data(bytes.into()));
    Parts {
        id,
        request,
        layers,
        before,
        gathered,
        trailers: None,
        ended: false,
        is_over: false,
        waits_for: Some(id),
    }
}

/// Bytes of a part, where so many are asked for.
fn count(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
}

impl Parts {
    /// The operation of the request.
    pub fn of_request(&self) -> OperationId {
        self.id
    }

    /// The operation that is being judged.
    pub fn waits_for(&self) -> Option<OperationId> {
        self.waits_for
    }

    /// More of the body.
    pub fn more(
        &mut self,
        part: Part,
        options: &Options,
        judge: (Judging<'_>, &HashKey),
        out: &mut Outbox<Part>,
    ) {
        match part {
            Part::Data(bytes) => self.gathered.extend_from_slice(&bytes),
            Part::Trailers(fields) => self.trailers = Some(fields),
            Part::End => self.ended = true,
            _ => return,
        }
        if self.waits_for.is_none() {
            self.go_on(options, judge, out);
        }
    }

    /// What waited was let go.
    pub fn released(
        &mut self,
        options: &Options,
        judge: (Judging<'_>, &HashKey),
        out: &mut Outbox<Part>,
    ) {
        self.waits_for = None;
        self.go_on(options, judge, out);
    }

    fn go_on(&mut self, options: &Options, judge: (Judging<'_>, &HashKey), out: &mut Outbox<Part>) {
        let most = count(PART_BYTES.min(options.inspect_max));
        let is_last = self.gathered.len() <= most;
        if self.is_over {
            return;
        }
        // What may be the last waits for the fields after it.
        if is_last && !self.ended {
            return out.resume(Side::Client);
        }
        self.is_over = is_last;
        let rest = self.gathered.split_off(most.min(self.gathered.len()));
        let bytes = std::mem::replace(&mut self.gathered, rest);
        let trailers = self.trailers.take_if(|_| is_last);
        let part = (self.before, &*bytes, trailers.as_deref());
        let operation = self.layers.judge(&self.request, part, judge);
        self.before = self.before.saturating_add(bytes.len() as u64);
        let data = (!bytes.is_empty()).then(|| Part::Data(Bytes::from(bytes)));
        let id = out.ask(LANE, operation, data);
        out.pause(Side::Client);
        self.waits_for = Some(id);
        if let Some(mut fields) = trailers {
            canonical::strip_hop_by_hop(&mut fields, false);
            request::remove_credentials(&mut fields, options);
            out.more(id, Part::Trailers(fields));
        }
        if is_last {
            out.more(id, Part::End);
        }
    }
}

/// A body in each form in which it is searched: as it is sent, and with every encoding of the whole
/// undone.
struct Layers {
    /// As it is sent, first. `None`: its encoding is not known or broken, and there is more in it
    /// than can be told.
    each: Vec<Option<Layer>>,
    /// Nothing was added yet.
    begins: bool,
}

struct Layer {
    /// Undoes an encoding of the layer before it.
    opener: Option<Opener>,
    /// The request says that it has this encoding.
    is_declared: bool,
    seam: Seam,
}

impl Layer {
    fn new(codings: Option<&Codings>, is_declared: bool) -> Self {
        Self { opener: codings.map(Opener::new), is_declared, seam: Seam::default() }
    }

    /// What these bytes of the layer before become; `None` where nobody can tell.
    fn open(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let Some(opener) = &mut self.opener else { return Some(bytes) };
        let mut opened = Vec::new();
        match opener.push(&bytes, DECODED_BYTES_MAX, &mut opened) {
            Ok(()) => Some(opened),
            Err(_) if self.is_declared => None,
            // It only looked so, or it has ended; what follows is searched as it is.
            Err(unreadable) => {
                (!["bomb", "too_long"].contains(&unreadable.reason)).then_some(opened)
            }
        }
    }
}

impl Layers {
    fn new(request: &Canonical) -> Self {
        let mut each = vec![Some(Layer::new(None, true))];
        match Codings::parse(request.codings.iter().map(String::as_str)) {
            Ok(codings) if codings.is_identity() => {}
            Ok(codings) => each.push(Some(Layer::new(Some(&codings), true))),
            Err(_) => each.push(None),
        }
        Self { each, begins: true }
    }

    /// The operation of the part that follows what was judged before.
    fn judge(
        &mut self,
        request: &Canonical,
        (begins_at, bytes, trailers): (u64, &[u8], Option<&HeaderMap>),
        (judging, key): (Judging<'_>, &HashKey),
    ) -> Operation {
        let mut looked = OfBody::default();
        // The first is as long as anything that is held, and is searched piece by piece like the
        // others: what is decoded of it is not in memory at once.
        let mut pieces = bytes.chunks(count(PART_BYTES)).peekable();
        loop {
            let piece = pieces.next().unwrap_or_default();
            let after = trailers.filter(|_| pieces.peek().is_none());
            looked = looked.and(self.look(request, piece, after, judging));
            if pieces.peek().is_none() {
                break;
            }
        }
        let slice = Slice { begins_at, bytes, trailers };
        let mut operation = operation::of_slice(request, &slice, looked);
        operation.context = operation::hidden_fields(request, trailers, key);
        operation
    }

    fn look(
        &mut self,
        request: &Canonical,
        piece: &[u8],
        trailers: Option<&HeaderMap>,
        judging: Judging<'_>,
    ) -> OfBody {
        self.add(piece);
        let texts = self.each.iter().map(|layer| layer.as_ref().map(|layer| layer.seam.text()));
        let texts: Option<Vec<&[u8]>> = texts.collect();
        let looked = operation::look(request, texts.as_deref(), trailers, judging);
        self.each.iter_mut().flatten().for_each(|layer| layer.seam.cut());
        looked
    }

    fn add(&mut self, bytes: &[u8]) {
        let mut fresh = bytes.to_vec();
        let begins = std::mem::take(&mut self.begins);
        let mut at = 0;
        loop {
            if at == self.each.len() {
                let codings = Codings::of_content(&fresh).filter(|_| begins && at < LAYERS_MAX);
                let Some(codings) = codings else { return };
                self.each.push(Some(Layer::new(Some(&codings), false)));
            }
            let Some(place) = self.each.get_mut(at) else { return };
            let opened = place.as_mut().and_then(|layer| {
                let opened = layer.open(std::mem::take(&mut fresh))?;
                layer.seam.add(&opened);
                Some(opened)
            });
            let Some(opened) = opened else {
                *place = None;
                return;
            };
            fresh = opened;
            at += 1;
        }
    }
}

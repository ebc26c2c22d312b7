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
use model::limit::{BODY_PART_BYTES, RECORDED_BODY_BYTES_MAX};
use model::{Lane, Operation, OperationId, Side};

use crate::body::find::{Seam, Text, boundary};
use crate::body::{Codings, Opener, Unreadable};
use crate::canonical;
use crate::facts::OfBody;
use crate::grpc;
use crate::operation::{self, Judging, Slice};
use crate::options::Options;
use crate::request::{self, Canonical};

/// Of parts after the first. Nothing answers them, so they do not wait for the reply to the
/// request, which may be kept until the upstream has all of them.
const LANE: Lane = Lane(1);
/// Bytes that a piece may become when an encoding of it is undone.
const DECODED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Encodings around a whole body that are undone although they are not declared.
const UNDECLARED_MAX: usize = 3;
/// Bytes that say whether content is compressed.
const CONTENT_BYTES: usize = 4;

/// Why a body that turns out too long to be held cannot be judged in parts, if it cannot.
///
/// Calls of gRPC: where a message begins is known only from the one before it. What a person may be
/// asked about, who says yes to all of it (R11). What a model is told, which is one document.
pub fn impossible(
    request: &Canonical,
    options: &Options,
    judging: Judging<'_>,
) -> Option<&'static str> {
    match () {
        () if !options.stream_inspect || options.model => Some(""),
        () if judging.reads.asks() => Some("; a person may be asked about it, and must see all"),
        () if grpc::is_framed(&request.fields) => Some("; a call of gRPC is judged as a whole"),
        () => None,
    }
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
    let end = boundary(&bytes, count(options.inspect_max).min(bytes.len())).max(1);
    let gathered = bytes.split_off(end.min(bytes.len()));
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

    /// Whether all of the body was submitted.
    pub fn are_over(&self) -> bool {
        self.is_over
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
        let most = count(options.inspect_max).min(BODY_PART_BYTES);
        let is_last = self.gathered.len() <= most;
        if self.is_over {
            return;
        }
        // What may be the last waits for the fields after it.
        if is_last && !self.ended {
            return out.resume(Side::Client);
        }
        self.is_over = is_last;
        let end = if is_last { self.gathered.len() } else { boundary(&self.gathered, most).max(1) };
        let rest = self.gathered.split_off(end);
        let bytes = std::mem::replace(&mut self.gathered, rest);
        let trailers = self.trailers.take_if(|_| is_last);
        let part = (self.before, &*bytes, is_last.then_some(trailers.as_deref()));
        let mut operation = self.layers.judge(&self.request, part, judge);
        operation.under = Some(self.id);
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
    each: Vec<Layer>,
    /// There is more in it than can be told: an encoding is not known, or broken, or grows too
    /// much.
    unknown: Option<&'static str>,
    /// What was found in all that was judged before.
    found: OfBody,
}

struct Layer {
    /// Undoes an encoding of the layer before it.
    opener: Option<Opener>,
    /// The request says that it has this encoding. If not it may only look so, or end early.
    is_declared: bool,
    /// Its first bytes, until they say whether it is compressed.
    first: Option<Vec<u8>>,
    /// What it is compressed with is undone by the layer after it.
    is_opened: bool,
    seam: Seam,
}

impl Layer {
    fn new(codings: Option<&Codings>, is_declared: bool) -> Self {
        let (opener, first) = (codings.map(Opener::new), Some(Vec::new()));
        Self { opener, is_declared, first, is_opened: false, seam: Seam::default() }
    }

    /// What these bytes of the layer before become.
    fn open(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
        let Some(opener) = &mut self.opener else { return Ok(bytes) };
        let mut opened = Vec::new();
        match opener.push(&bytes, DECODED_BYTES_MAX, &mut opened) {
            Ok(()) => Ok(opened),
            Err(unreadable)
                if self.is_declared || ["bomb", "too_long"].contains(&unreadable.reason) =>
            {
                Err(unreadable.why())
            }
            // What follows is searched as it is.
            Err(_) => Ok(opened),
        }
    }

    /// What it is compressed with, and all of it so far, once its first bytes came and say so.
    fn looks_like(&mut self, bytes: &[u8]) -> Option<(Codings, Vec<u8>)> {
        let first = self.first.as_mut()?;
        first.extend_from_slice(bytes);
        let codings = Codings::of_content(first);
        if codings.is_none() && first.len() < CONTENT_BYTES {
            return None;
        }
        codings.zip(self.first.take())
    }
}

impl Layers {
    fn new(request: &Canonical) -> Self {
        let mut each = vec![Layer::new(None, true)];
        let mut unknown = None;
        match Codings::parse(request.codings.iter().map(String::as_str)) {
            Ok(codings) if codings.is_identity() => {}
            Ok(codings) => {
                each.iter_mut().for_each(|layer| layer.is_opened = true);
                each.push(Layer::new(Some(&codings), true));
            }
            Err(unreadable) => unknown = Some(unreadable.why()),
        }
        Self { each, unknown, found: OfBody::default() }
    }

    /// The operation of the part that follows what was judged before.
    fn judge(
        &mut self,
        request: &Canonical,
        (begins_at, bytes, last): (u64, &[u8], Option<Option<&HeaderMap>>),
        (judging, key): (Judging<'_>, &HashKey),
    ) -> Operation {
        let trailers = last.flatten();
        // The first is as long as anything that is held, and is searched piece by piece like the
        // others: what is decoded of it is not in memory at once.
        let mut rest = bytes;
        let mut shown = Vec::new();
        loop {
            let most = BODY_PART_BYTES;
            let end = if rest.len() > most { boundary(rest, most) } else { rest.len() };
            let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = after;
            self.add(piece);
            if rest.is_empty() && last.is_some() {
                self.finish();
            }
            if begins_at == 0 && shown.is_empty() {
                // As its reader sees it.
                let clear = self.each.iter().rfind(|layer| layer.is_declared);
                let text = clear.map(|layer| layer.seam.text()).unwrap_or_default();
                shown = text.get(..RECORDED_BODY_BYTES_MAX).unwrap_or(text).to_vec();
            }
            let looked = self.look(request, trailers.filter(|_| rest.is_empty()), judging);
            self.found = std::mem::take(&mut self.found).and(looked);
            if rest.is_empty() {
                break;
            }
        }
        let slice = Slice { begins_at, bytes, trailers };
        let mut operation = operation::of_slice(request, &slice, (self.found.clone(), &shown));
        operation.context = operation::hidden_fields(request, trailers, key);
        operation
    }

    fn look(
        &mut self,
        request: &Canonical,
        trailers: Option<&HeaderMap>,
        judging: Judging<'_>,
    ) -> OfBody {
        let texts = self
            .each
            .iter()
            .map(|layer| Text { bytes: layer.seam.text(), is_opened: layer.is_opened });
        let texts: Vec<Text<'_>> = texts.collect();
        let texts = self.unknown.map_or(Ok(&*texts), Err);
        let looked = operation::look(request, texts, trailers, judging);
        self.each.iter_mut().for_each(|layer| layer.seam.cut());
        looked
    }

    fn add(&mut self, bytes: &[u8]) {
        let mut fresh = bytes.to_vec();
        let mut at = 0;
        while let Some(layer) = self.each.get_mut(at) {
            match layer.open(std::mem::take(&mut fresh)) {
                Ok(opened) => fresh = opened,
                Err(why) => {
                    self.unknown = self.unknown.or(Some(why));
                    return;
                }
            }
            layer.seam.add(&fresh);
            at += 1;
            let is_last = at == self.each.len();
            let undeclared = self.each.iter().filter(|layer| !layer.is_declared).count();
            if is_last
                && undeclared < UNDECLARED_MAX
                && let Some(layer) = self.each.last_mut()
                && let Some((codings, all)) = layer.looks_like(&fresh)
            {
                layer.is_opened = true;
                fresh = all;
                self.each.push(Layer::new(Some(&codings), false));
            }
        }
    }

    /// The body has ended. What the last bytes of a coding hold is not known before its end.
    fn finish(&mut self) {
        for layer in self.each.iter_mut().filter(|layer| layer.is_declared) {
            let ended = layer.opener.as_mut().map_or(Ok(()), Opener::finish);
            self.unknown = self.unknown.or(ended.err().map(Unreadable::why));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use engine::Reads;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::Method;
    use model::exchange::{Length, Scheme};
    use model::{Timestamp, Value};

    use super::*;
    use crate::facts::at;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("a vector takes all");
        encoder.finish().expect("a vector takes all")
    }

    /// What is found in a body, part by part, to its end.
    fn found(codings: &[&str], body: &[u8], most: usize) -> Vec<Value> {
        let request = Canonical {
            method: Method::POST,
            scheme: Scheme::Https,
            host: canonical::host("api.test").expect("a host"),
            path: canonical::path("/up", false).expect("a path"),
            fields: HeaderMap::new(),
            codings: codings.iter().map(ToString::to_string).collect(),
            body: Length::Unknown,
        };
        let reads = Reads::everything();
        let key = HashKey::new(b"0123456789abcdef0123456789abcdef");
        let judging = Judging { reads: &reads, trail: None, now: Timestamp(0) };
        let mut layers = Layers::new(&request);
        let mut begins_at = 0;
        let parts = body.chunks(most);
        let count = parts.len();
        let judge = |(at, part): (usize, &[u8])| {
            let last = (at + 1 == count).then_some(None);
            let operation = layers.judge(&request, (begins_at, part, last), (judging, &key));
            begins_at += part.len() as u64;
            operation.facts[usize::from(at::DETECTIONS)].clone()
        };
        parts.enumerate().map(judge).collect()
    }

    fn has_card(value: &Value) -> bool {
        matches!(value, Value::TextList(found) if found.iter().any(|kind| &**kind == "CREDIT_CARD"))
    }

    const CARD: &[u8] = b"\nthe card is 4111 1111 1111 1111, they say\n";

    #[test]
    fn what_is_compressed_is_looked_into_wherever_it_begins_to_say_so() {
        let clear = [b"and so on ".repeat(40_000), CARD.to_vec()].concat();
        let empties = gzip(b"").repeat(3_000);
        for (codings, body) in [
            (&[][..], gzip(&clear)),
            (&[], gzip(&gzip(&clear))),
            (&["gzip"], gzip(&clear)),
            (&["gzip", "gzip"], gzip(&gzip(&clear))),
            (&["gzip"], gzip(&gzip(&gzip(&clear)))),
            // Nothing comes of the first parts.
            (&["gzip"], [empties.clone(), gzip(&gzip(&clear))].concat()),
            (&[], [empties, gzip(&clear)].concat()),
        ] {
            for most in [3, 1_000, 100_000].into_iter().filter(|most| body.len() / most < 2_000) {
                let all = found(codings, &body, most);
                let last = all.last().expect("a part");
                assert!(has_card(last), "{codings:?} in parts of {most}: {last:?}");
            }
        }
    }

    #[test]
    fn p2_what_a_coding_hides_is_never_taken_for_nothing() {
        let whole = gzip(&[b"and so on ".repeat(4_000), CARD.to_vec()].concat());
        let cut = whole.split_at(whole.len() - 5).0;
        let followed = [&whole, &b"not gzip"[..]].concat();
        for (codings, body) in
            [("gzip", cut), ("gzip", &followed), ("compress", &whole), ("br", &whole)]
        {
            let all = found(&[codings], body, 50);
            assert!(matches!(all.last(), Some(Value::Failed(_))), "{codings}");
        }
    }
}

//! What a reply becomes on its way to the client.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use detect::TypeSet;
use engine::{Batch, HashKey, MaskPlan, Searched};
use http::header::{ALT_SVC, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use model::exchange::{Length, Part, Reply};
use model::{ClientText, Column};

use crate::body::{Codings, Filter, Hidden, Kind, Unreadable};
use crate::canonical;
use crate::fields;
use crate::follow::{Follower, Origin};
use crate::options::{Opaque, Options};

/// Bytes of an unnamed body that are looked at to see whether it is text.
const SNIFFED_BYTES: usize = 512;

/// A reply on its way.
pub struct Passing {
    /// Until something of the body can follow it: one that turns out unreadable is refused whole.
    head: Option<Batch<Box<Reply>>>,
    body: Body,
    /// They follow all of the body, some of which may still be held.
    trailers: Option<Batch<Box<HeaderMap>>>,
    /// Every type of sensitive value is looked for.
    counted: bool,
    opaque: Opaque,
    follower: Option<Box<Follower>>,
}

enum Body {
    /// As it came.
    Untouched,
    /// As it came; read aside, as long as it can be, for what it holds.
    Watched(Option<Box<Passing>>),
    /// Not known yet what it is: its first bytes, decoded.
    Sniffing { opener: Box<Filter>, first: Vec<u8>, masking: Masking },
    /// Decoded by one, searched, masked and counted by another.
    Sniffed { opener: Box<Filter>, filter: Box<Filter> },
    /// Decoded, searched, masked and counted.
    Filtered(Box<Filter>),
    /// Decoded; it cannot be searched. So many bytes passed.
    Opaque { opener: Box<Filter>, bytes: u64 },
}

/// What is hidden, and what is counted though it is not.
#[derive(Clone)]
struct Masking {
    masks: Arc<MaskPlan>,
    key: Arc<HashKey>,
    scan: TypeSet,
    /// What is hidden is told ([`Filter::take_hidden`]).
    tells: bool,
}

impl Masking {
    fn filter(&self, kind: Kind, codings: Codings) -> Box<Filter> {
        let filter = Filter::new(kind, codings, &self.masks, &self.key, self.scan);
        Box::new(if self.tells { filter.telling() } else { filter })
    }
}

/// Why a reply does not pass: a fixed word, and words for the client.
pub struct Unfit {
    /// The word.
    pub reason: &'static str,
    /// The words.
    pub what: ClientText,
}

impl From<Unreadable> for Unfit {
    fn from(unreadable: Unreadable) -> Self {
        let words = format!("the reply cannot be searched for what is hidden: {}", unreadable.what);
        Self { reason: "unreadable_reply", what: ClientText::composed(words) }
    }
}

impl Passing {
    /// Begins with the head. `counted`: a rule reads what sensitive values the reply holds.
    ///
    /// # Errors
    ///
    /// When the reply must be looked into and cannot.
    pub fn begin(
        mut reply: Box<Reply>,
        method: &Method,
        (options, prefix): (&Options, &str),
        (masks, key): (&Arc<MaskPlan>, &Arc<HashKey>),
        (counted, origin): (bool, Option<Origin>),
    ) -> Result<Self, Unfit> {
        let follower = match masks.followed().zip(origin) {
            Some((plan, origin)) => {
                let like = (method, options);
                Some(Box::new(Follower::begin(&reply, like, (plan, key), origin)?))
            }
            None => None,
        };
        canonical::strip_hop_by_hop(&mut reply.fields, false);
        reply.fields.remove(ALT_SVC);
        if let Some(upstream) = &options.upstream {
            fields::localise(&mut reply.fields, prefix, upstream)?;
        }
        let detections = fields::mask(&mut reply.fields, masks, key, counted);
        let bodiless = is_bodiless(&reply, method);
        let searched = !masks.is_empty() || counted;
        let body = if searched && !bodiless {
            let scan = if counted { TypeSet::ALL } else { TypeSet::EMPTY };
            let (masks, key) = (Arc::clone(masks), Arc::clone(key));
            let masking = Masking { masks, key, scan, tells: false };
            match masking.masks.is_empty() {
                true => watching(&reply, masking, options.opaque),
                false => searching(&mut reply, masking)?,
            }
        } else {
            let tells = *method == Method::HEAD || reply.status == StatusCode::NOT_MODIFIED;
            if tells && !masks.is_empty() {
                // What it says of the body is said of the one that is not masked.
                fields::forget_whole(&mut reply.fields);
                reply.fields.remove(CONTENT_LENGTH);
            }
            Body::Untouched
        };
        reply.recorded = recorded(&reply);
        let head = Batch { detections, ..searched_whole(reply) };
        let opaque = options.opaque;
        Ok(Self { head: Some(head), body, trailers: None, counted, opaque, follower })
    }

    /// Begins to read a body of which nothing is passed on: for what is followed in it.
    ///
    /// # Errors
    ///
    /// When the reply must be looked into and cannot.
    pub fn reading(
        mut reply: Box<Reply>,
        (method, options): (&Method, &Options),
        (plan, key): (&Arc<MaskPlan>, &Arc<HashKey>),
    ) -> Result<Self, Unfit> {
        let body = match is_bodiless(&reply, method) {
            true => Body::Untouched,
            false => {
                let (masks, key) = (Arc::clone(plan), Arc::clone(key));
                searching(&mut reply, Masking { masks, key, scan: TypeSet::EMPTY, tells: true })?
            }
        };
        Ok(Self::aside(Some(reply), body, options.opaque))
    }

    /// Of a body alone.
    fn aside(head: Option<Box<Reply>>, body: Body, opaque: Opaque) -> Self {
        let head = head.map(searched_whole);
        Self { head, body, trailers: None, counted: false, opaque, follower: None }
    }

    /// Values under the masks that the body held since the last call.
    pub fn take_hidden(&mut self) -> Vec<Hidden> {
        self.filter().map(Filter::take_hidden).unwrap_or_default()
    }

    /// Some of the body.
    ///
    /// # Errors
    ///
    /// When it cannot be searched.
    pub fn data(&mut self, bytes: Bytes) -> Result<Vec<Batch<Part>>, Unfit> {
        if let Some(follower) = &mut self.follower {
            follower.data(&bytes)?;
        }
        let mut batches = self.pass(bytes)?;
        self.follow(&mut batches);
        Ok(batches)
    }

    /// Values stay with the part of the reply that they were in, or the one before which it leaves.
    fn follow(&mut self, batches: &mut [Batch<Part>]) {
        if let (Some(follower), Some(first)) = (&mut self.follower, batches.first_mut()) {
            first.taints = follower.take();
        }
    }

    fn pass(&mut self, bytes: Bytes) -> Result<Vec<Batch<Part>>, Unfit> {
        let mut batches = Vec::new();
        let mut passed = Vec::new();
        match &mut self.body {
            Body::Untouched => {
                self.pass_head(&mut batches);
                batches.push(Batch::plain(Part::Data(bytes)));
                return Ok(batches);
            }
            Body::Watched(watch) => {
                let mut batch = Batch::plain(Part::Data(bytes.clone()));
                watched(watch, |watch| watch.pass(bytes), &mut batch);
                self.pass_head(&mut batches);
                batches.push(batch);
                return Ok(batches);
            }
            Body::Opaque { opener, .. } => {
                opener.push(&bytes, &mut passed)?;
                return self.opaque(passed, batches);
            }
            Body::Sniffing { opener, first, .. } => {
                opener.push(&bytes, first)?;
                let enough = first.len() >= SNIFFED_BYTES || is_told(first);
                return if enough { self.sniffed() } else { Ok(batches) };
            }
            Body::Sniffed { opener, filter } => {
                let mut decoded = Vec::new();
                opener.push(&bytes, &mut decoded)?;
                filter.push(&decoded, &mut passed)?;
            }
            Body::Filtered(filter) => {
                passed.reserve(bytes.len());
                filter.push(&bytes, &mut passed)?;
            }
        }
        self.filtered(passed, &mut batches)?;
        Ok(batches)
    }

    /// The end of the body.
    ///
    /// # Errors
    ///
    /// When it is not complete, or cannot be searched.
    pub fn end(&mut self) -> Result<Vec<Batch<Part>>, Unfit> {
        if let Some(follower) = &mut self.follower {
            follower.end()?;
        }
        let mut batches = self.finish()?;
        self.follow(&mut batches);
        Ok(batches)
    }

    fn finish(&mut self) -> Result<Vec<Batch<Part>>, Unfit> {
        let mut batches = Vec::new();
        let mut passed = Vec::new();
        let mut last = searched_whole(Part::End);
        if let Body::Sniffing { opener, first, .. } = &mut self.body {
            opener.finish(first)?;
            batches = self.sniffed()?;
        }
        match &mut self.body {
            Body::Untouched | Body::Sniffing { .. } => {}
            Body::Watched(watch) => watched(watch, Self::finish, &mut last),
            Body::Opaque { opener, .. } => {
                opener.finish(&mut passed)?;
                batches = self.opaque(passed, batches)?;
                passed = Vec::new();
            }
            Body::Sniffed { opener, filter } => {
                let mut decoded = Vec::new();
                opener.finish(&mut decoded)?;
                filter.push(&decoded, &mut passed)?;
                filter.finish(&mut passed)?;
            }
            Body::Filtered(filter) => filter.finish(&mut passed)?,
        }
        self.filtered(passed, &mut batches)?;
        self.pass_head(&mut batches);
        if let Some(trailers) = self.trailers.take() {
            batches.push(trailers.map(Part::Trailers));
        }
        last.columns = self.columns();
        batches.push(last);
        Ok(batches)
    }

    /// Fields after the body.
    pub fn trailers(
        &mut self,
        mut trailers: Box<HeaderMap>,
        (masks, key): (&Arc<MaskPlan>, &Arc<HashKey>),
    ) {
        if let Some(follower) = &mut self.follower {
            follower.fields(&trailers);
        }
        canonical::strip_hop_by_hop(&mut trailers, false);
        if !matches!(self.body, Body::Untouched | Body::Watched(_)) {
            fields::forget_whole(&mut trailers);
        }
        let detections = fields::mask(&mut trailers, masks, key, self.counted);
        self.trailers = Some(Batch { detections, ..searched_whole(trailers) });
    }

    /// Enough is known of an unnamed body: text is searched as what it looks like, for an upstream
    /// that calls its JSON something else must not pass it unmasked.
    fn sniffed(&mut self) -> Result<Vec<Batch<Part>>, Unfit> {
        let mut batches = Vec::new();
        let Body::Sniffing { opener, first, masking } =
            std::mem::replace(&mut self.body, Body::Untouched)
        else {
            return Ok(batches);
        };
        let Some(kind) = looks_like(&first) else {
            self.body = Body::Opaque { opener, bytes: 0 };
            return self.opaque(first, batches);
        };
        let mut filter = masking.filter(kind, Codings::default());
        let mut passed = Vec::new();
        filter.push(&first, &mut passed)?;
        self.body = Body::Sniffed { opener, filter };
        self.filtered(passed, &mut batches)?;
        Ok(batches)
    }

    fn opaque(
        &mut self,
        passed: Vec<u8>,
        mut batches: Vec<Batch<Part>>,
    ) -> Result<Vec<Batch<Part>>, Unfit> {
        let Body::Opaque { bytes, .. } = &mut self.body else { return Ok(batches) };
        *bytes = bytes.saturating_add(passed.len() as u64);
        if !self.opaque.admits(*bytes) {
            let words = "the reply is of a type that cannot be searched for what is hidden";
            return Err(Unfit { reason: "opaque_reply", what: ClientText::fixed(words) });
        }
        if !passed.is_empty() {
            self.pass_head(&mut batches);
            let part = Part::Data(passed.into());
            batches.push(Batch { searched: Searched::Partly, ..Batch::plain(part) });
        }
        Ok(batches)
    }

    fn filtered(&mut self, passed: Vec<u8>, batches: &mut Vec<Batch<Part>>) -> Result<(), Unfit> {
        let admitted = self.opaque;
        let Some(filter) = self.filter() else { return Ok(()) };
        let opaque = filter.opaque_bytes();
        if !admitted.admits(opaque) {
            let words =
                "a part of the reply is of a type that cannot be searched for what is hidden";
            return Err(Unfit { reason: "opaque_reply", what: ClientText::fixed(words) });
        }
        let detections = filter.take_found();
        let searched = if opaque > 0 { Searched::Partly } else { Searched::Whole };
        if passed.is_empty() && detections.is_empty() {
            return Ok(());
        }
        self.pass_head(batches);
        batches.push(Batch { detections, searched, ..Batch::plain(Part::Data(passed.into())) });
        Ok(())
    }

    fn filter(&mut self) -> Option<&mut Filter> {
        match &mut self.body {
            Body::Filtered(filter) | Body::Sniffed { filter, .. } => Some(filter),
            _ => None,
        }
    }

    fn pass_head(&mut self, batches: &mut Vec<Batch<Part>>) {
        let Some(head) = self.head.take() else { return };
        let error = head.unit.status.as_u16();
        let mut batch = head.map(Part::Reply);
        if error >= 400 {
            batch.error_code = Some(error.to_string());
        }
        batches.push(batch);
    }

    /// The fields that were masked, as the record names them.
    fn columns(&mut self) -> Option<Arc<[Column]>> {
        let fields = self.filter()?.fields();
        let column = |field: &crate::body::Field| Column {
            label: Arc::clone(&field.name),
            origins: Vec::new(),
            mask: Some(field.mask.as_str().into()),
        };
        (!fields.is_empty()).then(|| fields.iter().map(column).collect())
    }
}

/// A part that holds nothing that was not searched, if anything is to be.
fn searched_whole<U>(unit: U) -> Batch<U> {
    Batch { searched: Searched::Whole, ..Batch::plain(unit) }
}

/// What a body holds in which nothing is hidden, so that it passes whether or not it can be read.
fn watching(reply: &Reply, masking: Masking, opaque: Opaque) -> Body {
    let body = readable(reply, masking).ok();
    Body::Watched(body.map(|body| Box::new(Passing::aside(None, body, opaque))))
}

/// Reads on in what passes as `batch`, and notes there what was found.
fn watched(
    watch: &mut Option<Box<Passing>>,
    read: impl FnOnce(&mut Passing) -> Result<Vec<Batch<Part>>, Unfit>,
    batch: &mut Batch<Part>,
) {
    match watch.as_mut().map(|watch| read(watch)) {
        Some(Ok(parts)) => {
            batch.searched = Searched::Whole;
            for part in parts {
                batch.searched = batch.searched.max(part.searched);
                batch.detections.extend(part.detections);
            }
        }
        Some(Err(_)) | None => {
            *watch = None;
            batch.searched = Searched::Not;
        }
    }
}

fn is_bodiless(reply: &Reply, method: &Method) -> bool {
    *method == Method::HEAD
        || matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || reply.body == Length::Empty
}

/// A body that is passed on as it is read, so that its head says nothing of how it came.
fn searching(reply: &mut Reply, masking: Masking) -> Result<Body, Unfit> {
    let body = readable(reply, masking)?;
    fields::forget_whole(&mut reply.fields);
    reply.fields.remove(CONTENT_LENGTH);
    reply.fields.remove(CONTENT_ENCODING);
    reply.body = Length::Unknown;
    Ok(body)
}

/// How a body is read.
fn readable(reply: &Reply, masking: Masking) -> Result<Body, Unfit> {
    if reply.status == StatusCode::PARTIAL_CONTENT {
        let words = "a part of a reply cannot be searched for what is hidden; ask for all of it";
        return Err(Unfit { reason: "unreadable_reply", what: ClientText::fixed(words) });
    }
    let content_type = reply.fields.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = Kind::of(content_type);
    if kind == Kind::Opaque && content_type.is_some_and(is_text_in_another_charset) {
        let words = "the reply is text in a character set that cannot be searched; ask for UTF-8";
        return Err(Unfit { reason: "unreadable_reply", what: ClientText::fixed(words) });
    }
    let written = reply.fields.get_all(CONTENT_ENCODING).iter();
    // A value that is not text is no coding that anyone knows.
    let codings = Codings::parse(written.map(|value| value.to_str().unwrap_or("?")))?;
    if kind == Kind::Opaque {
        let opener = masking.filter(kind, codings);
        return Ok(Body::Sniffing { opener, first: Vec::new(), masking });
    }
    Ok(Body::Filtered(masking.filter(kind, codings)))
}

/// Whether more of an unnamed body would not change what it looks like: a message of a stream does
/// not wait for the next one then.
fn is_told(first: &[u8]) -> bool {
    match looks_like(first) {
        Some(Kind::Json) | None => true,
        // Text, so far.
        Some(_) => false,
    }
}

/// What an unnamed body looks like; `None` where it is no text. What begins like JSON is JSON even
/// where it holds what text does not: whoever reads it may be less strict.
pub fn looks_like(first: &[u8]) -> Option<Kind> {
    let head = first.get(..SNIFFED_BYTES.saturating_mul(4)).unwrap_or(first);
    let begins = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let begins = begins.iter().find(|byte| !(byte.is_ascii_whitespace() || **byte == 0x1e));
    if begins.is_some_and(|byte| matches!(byte, b'{' | b'[' | b'"')) {
        return Some(Kind::Json);
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The cut may have split a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    if text.contains('\0') {
        return None;
    }
    Some(if text.trim_start().starts_with("<?xml") { Kind::Xml } else { Kind::Text })
}

/// A type that would be searched if it were in UTF-8.
fn is_text_in_another_charset(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    Kind::of(Some(essence)) != Kind::Opaque
}

/// The head as the recording keeps it: what the client got.
pub fn recorded(reply: &Reply) -> Bytes {
    let status = reply.status;
    let mut text = BytesMut::with_capacity(256);
    text.put_slice(b"HTTP ");
    text.put_slice(status.as_str().as_bytes());
    text.put_u8(b' ');
    text.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in &reply.fields {
        text.put_slice(b"\r\n");
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
    }
    text.put_slice(b"\r\n\r\n");
    text.freeze()
}

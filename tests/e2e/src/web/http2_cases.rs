//! What a server has to do about frames and fields, good and bad: a case for each requirement of RFC
//! 9113 (sections 3 to 8) and RFC 7541 that a client can see, after the list of h2spec, and some about
//! a client that wants to exhaust its server.
//!
//! As there, a connection may be closed instead of an error that is asked for, an error of a stream
//! may be one of the connection, and a malformed request may be answered with 4xx (RFC 9113 section
//! 8.1.1).

use anyhow::{Context, Result, ensure};

use crate::web::frames::code::{
    CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
    PROTOCOL_ERROR, REFUSED_STREAM, STREAM_CLOSED,
};
use crate::web::frames::flag::{ACK, END_HEADERS, END_STREAM, NONE, PADDED, WHOLE};
use crate::web::frames::kind::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};
use crate::web::frames::{Outcome, PREFACE, Peer, Road, block, flag, frame, number, string};

/// What has to come of a case.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// The request is answered as it should be.
    Fine,
    /// It is ignored.
    Unmoved,
    /// It is ignored, or the connection closed without an error.
    Left,
    /// An error of the connection, one of these.
    Connection(&'static [u32]),
    /// An error of the stream, one of these.
    Stream(&'static [u32]),
    /// The request is refused, in any of the ways that there are.
    Malformed,
    /// What the case looks at itself.
    Told,
}

/// One requirement.
pub struct Case {
    /// Its section, and a number.
    pub id: &'static str,
    /// What is tried.
    pub what: &'static str,
    /// What has to come of it.
    pub want: Want,
    play: fn(&mut Peer) -> Result<u32>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.id, self.what)
    }
}

impl Case {
    /// Tries it; the error says what came instead.
    ///
    /// # Errors
    /// The gateway does something else.
    pub fn run(&self, road: &Road) -> Result<()> {
        let mut peer = match self.id.starts_with("3.4") {
            true => Peer::silent(road)?,
            false => Peer::begin(road)?,
        };
        let stream = (self.play)(&mut peer)?;
        let whole = matches!(self.want, Want::Fine | Want::Malformed);
        if matches!(self.want, Want::Told) {
            return Ok(());
        }
        let outcome = peer.outcome(stream, whole)?;
        let right = match (self.want, outcome.clone()) {
            (Want::Fine, outcome) => outcome == Outcome::Answered(200),
            (Want::Unmoved, outcome) => outcome == Outcome::Unmoved,
            (Want::Left, outcome) => matches!(outcome, Outcome::Unmoved | Outcome::Closed),
            (Want::Connection(_) | Want::Stream(_) | Want::Malformed, Outcome::Closed) => true,
            (Want::Connection(codes), Outcome::ConnectionError(code)) => codes.contains(&code),
            (Want::Stream(codes), Outcome::ConnectionError(code) | Outcome::StreamError(code)) => {
                codes.contains(&code)
            }
            (Want::Malformed, Outcome::ConnectionError(code) | Outcome::StreamError(code)) => {
                [PROTOCOL_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM].contains(&code)
            }
            (Want::Malformed, Outcome::Answered(status)) => (400..500).contains(&status),
            _ => false,
        };
        ensure!(right, "wanted {:?}, got {outcome:?}", self.want);
        Ok(())
    }
}

/// Sends a request that is not one: the fields of a good one, changed.
fn changed(peer: &mut Peer, change: impl FnOnce(&mut Vec<(String, String)>)) -> Result<u32> {
    let mut fields = peer.road.fields("GET", "/malformed");
    change(&mut fields);
    peer.frame(HEADERS, WHOLE, 1, &block(&fields));
    Ok(1)
}

/// The same, with more fields.
fn with(peer: &mut Peer, more: &[(&str, &str)]) -> Result<u32> {
    changed(peer, |fields| {
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    })
}

/// The same, without one.
fn without(peer: &mut Peer, name: &str) -> Result<u32> {
    changed(peer, |fields| fields.retain(|(known, _)| known != name))
}

/// The same, with a pseudo-header field twice.
fn twice(peer: &mut Peer, name: &str) -> Result<u32> {
    changed(peer, |fields| {
        let at = fields.iter().position(|(known, _)| known == name).unwrap_or(0);
        let again = fields.get(at).cloned().unwrap_or_default();
        fields.insert(at, again);
    })
}

/// The same, with another value.
fn set(peer: &mut Peer, name: &str, value: &str) -> Result<u32> {
    changed(peer, |fields| {
        for (known, old) in fields {
            if known == name {
                value.clone_into(old);
            }
        }
    })
}

/// A good request, with raw bytes of a block behind its fields.
fn raw_block(peer: &mut Peer, more: &[u8]) -> Result<u32> {
    let mut bytes = block(&peer.road.fields("GET", "/fine"));
    bytes.extend(more);
    peer.frame(HEADERS, WHOLE, 1, &bytes);
    Ok(1)
}

/// A good request whose block begins with these bytes.
fn behind(peer: &mut Peer, first: &[u8]) -> Result<u32> {
    let mut bytes = first.to_vec();
    bytes.extend(block(&peer.road.fields("GET", "/fine")));
    peer.frame(HEADERS, WHOLE, 1, &bytes);
    Ok(1)
}

/// A body that is not as long as its request says.
fn lengths(peer: &mut Peer, says: &str, pieces: &[&str]) -> Result<u32> {
    let mut fields = peer.road.fields("POST", "/malformed");
    fields.push(("content-length".to_owned(), says.to_owned()));
    let flags = if pieces.is_empty() { WHOLE } else { END_HEADERS };
    peer.frame(HEADERS, flags, 1, &block(&fields));
    for (at, piece) in pieces.iter().enumerate() {
        let last = if at + 1 == pieces.len() { END_STREAM } else { NONE };
        peer.data(1, last, piece.as_bytes());
    }
    Ok(1)
}

/// A literal field: how it begins, its name (or what stands for it), its value.
fn literal(begins: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = begins.to_vec();
    if !name.is_empty() {
        string(&mut bytes, name.as_bytes());
    }
    bytes.extend(value);
    bytes
}

/// `www.example.com` in Huffman's code, RFC 7541 appendix C.4.1.
const CODED: &[u8] = b"\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
const PLAIN: &[u8] = b"\x03one";

/// A whole answer, then something about its stream.
fn after_answer(peer: &mut Peer) -> Result<()> {
    peer.get(1);
    peer.finished(1).map(drop)
}

/// The head of a request in pieces.
fn split(peer: &mut Peer, path: &str, pieces: usize) -> Vec<Vec<u8>> {
    let whole = block(&peer.road.fields("GET", path));
    whole.chunks(whole.len().div_ceil(pieces)).map(<[u8]>::to_vec).collect()
}

/// A request whose head goes on in frames, the last of which ends it.
fn continued(peer: &mut Peer, pieces: usize) -> Result<u32> {
    let pieces = split(peer, "/fine", pieces);
    for (at, piece) in pieces.iter().enumerate() {
        let last = if at + 1 == pieces.len() { END_HEADERS } else { NONE };
        match at {
            0 => peer.frame(HEADERS, END_STREAM | last, 1, piece),
            _ => peer.frame(CONTINUATION, last, 1, piece),
        }
    }
    Ok(1)
}

/// The head of a request without its end.
fn begun(peer: &mut Peer) -> Result<Vec<u8>> {
    let pieces = split(peer, "/malformed", 2);
    peer.frame(HEADERS, END_STREAM, 1, pieces.first().context("a piece")?);
    pieces.get(1).cloned().context("a second piece")
}

/// A frame with a payload and padding.
fn padded(payload: &[u8], padding: u8) -> Vec<u8> {
    [&[padding], payload, &vec![0; usize::from(padding)]].concat()
}

/// Bytes of data on a stream among these frames.
fn data_bytes(frames: &[crate::web::frames::Frame], stream: u32) -> usize {
    let data = frames.iter().filter(|frame| frame.kind == DATA && frame.stream == stream);
    data.map(|frame| frame.payload.len()).sum()
}

/// What has come by the time that a PING is answered twice.
fn meanwhile(peer: &mut Peer) -> Result<Vec<crate::web::frames::Frame>> {
    peer.frame(PING, NONE, 0, b"mean-one");
    let mut all = peer.read_until(PING, 0)?;
    peer.frame(PING, NONE, 0, b"mean-two");
    all.extend(peer.read_until(PING, 0)?);
    Ok(all)
}

macro_rules! cases {
    ($($id:literal $what:literal => $want:expr, |$peer:ident| $play:expr;)+) => {
        /// All of them.
        pub const CASES: &[Case] = &[$(Case {
            id: $id,
            what: $what,
            want: $want,
            play: |$peer| $play,
        }),+];
    };
}

use Want::{Connection, Fine, Left, Malformed, Stream, Told, Unmoved};

const PROTOCOL: &[u32] = &[PROTOCOL_ERROR];
const SIZE: &[u32] = &[FRAME_SIZE_ERROR];
const CLOSED: &[u32] = &[STREAM_CLOSED];
const CLOSED_OR_PROTOCOL: &[u32] = &[STREAM_CLOSED, PROTOCOL_ERROR];
const COMPRESSION: &[u32] = &[COMPRESSION_ERROR];
const FLOW: &[u32] = &[FLOW_CONTROL_ERROR];
/// A weight and what a stream depends on.
const ON_NOTHING: &[u8] = &[0, 0, 0, 0, 15];

cases! {
    // ---- what is right (h2spec: generic) -------------------------------------------------------
    "g/1" "a request" => Fine, |p| { p.get(1); Ok(1) };
    "g/2" "HEAD" => Fine, |p| { p.head(1, WHOLE, "HEAD", "/fine"); Ok(1) };
    "g/3" "a body" => Fine, |p| { p.post(1); p.data(1, END_STREAM, b"body"); Ok(1) };
    "g/4" "a body in frames" => Fine, |p| { p.post(1); p.data(1, NONE, b"bo"); p.data(1, NONE, b"dy"); p.data(1, END_STREAM, b""); Ok(1) };
    "g/5" "padded DATA" => Fine, |p| { p.post(1); p.data(1, END_STREAM | PADDED, &padded(b"body", 9)); Ok(1) };
    "g/6" "a body and fields after it" => Fine, |p| { p.post(1); p.data(1, NONE, b"body"); p.frame(HEADERS, WHOLE, 1, &block(&[("x-sum", "7")])); Ok(1) };
    "g/7" "padded HEADERS" => Fine, |p| { let b = block(&p.road.fields("GET", "/fine")); p.frame(HEADERS, WHOLE | PADDED, 1, &padded(&b, 200)); Ok(1) };
    "g/8" "HEADERS with a priority" => Fine, |p| { let b = block(&p.road.fields("GET", "/fine")); p.frame(HEADERS, WHOLE | flag::PRIORITY, 1, &[ON_NOTHING, &b].concat()); Ok(1) };
    "g/9" "PRIORITY of an idle stream" => Fine, |p| { p.frame(PRIORITY, NONE, 1, ON_NOTHING); p.get(1); Ok(1) };
    "g/10" "PRIORITY of a stream that is half closed" => Fine, |p| { p.get(1); p.frame(PRIORITY, NONE, 1, ON_NOTHING); Ok(1) };
    "g/11" "PRIORITY of a closed stream" => Unmoved, |p| { after_answer(p)?; p.frame(PRIORITY, NONE, 1, ON_NOTHING); Ok(1) };
    "g/12" "WINDOW_UPDATE of a stream that is half closed" => Fine, |p| { p.get(1); p.frame(WINDOW_UPDATE, NONE, 1, &[0, 0, 0, 9]); Ok(1) };
    "g/13" "RST_STREAM of a stream that is half closed" => Unmoved, |p| { p.get(1); p.frame(RST_STREAM, NONE, 1, &[0, 0, 0, 8]); Ok(3) };
    "g/14" "GOAWAY of the client" => Left, |p| { p.frame(GOAWAY, NONE, 0, &[0; 8]); Ok(1) };
    "g/15" "WINDOW_UPDATE of the connection" => Fine, |p| { p.frame(WINDOW_UPDATE, NONE, 0, &[0, 0, 0, 9]); p.get(1); Ok(1) };
    "g/16" "many requests at once" => Told, |p| {
        for n in 0..50 { p.get(2 * n + 1); }
        let mut ended = 0;
        while ended < 50 {
            let frame = p.read()?;
            ensure!(frame.kind != RST_STREAM && frame.kind != GOAWAY, "{frame:?}");
            ended += usize::from(matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0);
        }
        Ok(1)
    };

    // ---- RFC 9113 section 3: beginning ---------------------------------------------------------
    "3.4/1" "SETTINGS come first from the server" => Told, |p| {
        p.raw(PREFACE); p.settings(&[]);
        let first = p.read()?;
        ensure!(first.kind == SETTINGS && first.flags & ACK == 0, "{first:?}");
        Ok(1)
    };
    "3.4/2" "a preface that is none" => Connection(PROTOCOL), |p| { p.raw(b"INVALID CONNECTION PREFACE\r\n\r\n"); Ok(1) };
    "3.4/3" "a preface whose end is wrong" => Connection(PROTOCOL), |p| { p.raw(b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n"); p.settings(&[]); Ok(1) };
    "3.4/4" "another frame than SETTINGS after the preface" => Connection(PROTOCOL), |p| { p.raw(PREFACE); p.frame(PING, NONE, 0, &[0; 8]); Ok(1) };

    // ---- section 4: frames ---------------------------------------------------------------------
    "4.1/1" "a frame of an unknown type" => Unmoved, |p| { p.frame(0x16, NONE, 0, &[0; 8]); Ok(1) };
    "4.1/2" "a flag that is not defined" => Unmoved, |p| { p.frame(PING, 0x16 & !ACK, 0, &[0; 8]); Ok(1) };
    "4.1/3" "the reserved bit of a stream" => Unmoved, |p| { p.frame(PING, NONE, 1 << 31, &[0; 8]); Ok(1) };
    "4.2/1" "DATA of the largest size" => Fine, |p| { p.post(1); p.data(1, END_STREAM, &[b'x'; 16_384]); Ok(1) };
    "4.2/2" "DATA larger than that" => Stream(SIZE), |p| { p.post(1); p.data(1, END_STREAM, &[b'x'; 16_385]); Ok(1) };
    "4.2/3" "HEADERS larger than that" => Connection(SIZE), |p| { p.frame(HEADERS, WHOLE, 1, &block(&[("x", "y".repeat(16_384))])); Ok(1) };
    "4.2/4" "SETTINGS larger than that" => Connection(SIZE), |p| { p.frame(SETTINGS, NONE, 0, &[0; 16_386]); Ok(1) };
    "4.2/5" "an unknown frame larger than that" => Connection(SIZE), |p| { p.frame(0x16, NONE, 0, &[0; 16_385]); Ok(1) };
    "4.3/1" "a field block that is none" => Connection(COMPRESSION), |p| { p.frame(HEADERS, WHOLE, 1, &[0x40, 1, b'x', 0x8f, 0xff]); Ok(1) };
    "4.3/2" "PRIORITY in the middle of a field block" => Connection(PROTOCOL), |p| { let rest = begun(p)?; p.frame(PRIORITY, NONE, 1, ON_NOTHING); p.frame(CONTINUATION, END_HEADERS, 1, &rest); Ok(1) };
    "4.3/3" "HEADERS of another stream in the middle of a field block" => Connection(PROTOCOL), |p| { let rest = begun(p)?; p.get(3); p.frame(CONTINUATION, END_HEADERS, 1, &rest); Ok(1) };

    // ---- section 5: streams --------------------------------------------------------------------
    "5.1/1" "DATA on an idle stream" => Connection(PROTOCOL), |p| { p.data(1, END_STREAM, b"x"); Ok(1) };
    "5.1/2" "RST_STREAM on an idle stream" => Connection(PROTOCOL), |p| { p.frame(RST_STREAM, NONE, 1, &[0, 0, 0, 8]); Ok(1) };
    "5.1/3" "WINDOW_UPDATE on an idle stream" => Connection(PROTOCOL), |p| { p.frame(WINDOW_UPDATE, NONE, 1, &[0, 0, 0, 9]); Ok(1) };
    "5.1/4" "CONTINUATION on an idle stream" => Connection(PROTOCOL), |p| { let b = block(&p.road.fields("GET", "/malformed")); p.frame(CONTINUATION, END_HEADERS, 1, &b); Ok(1) };
    "5.1/5" "DATA on a stream that is half closed" => Stream(CLOSED), |p| { p.head(1, WHOLE, "GET", "/slow"); p.data(1, END_STREAM, b"x"); Ok(1) };
    "5.1/6" "HEADERS on a stream that is half closed" => Stream(CLOSED_OR_PROTOCOL), |p| { p.head(1, WHOLE, "GET", "/slow"); p.get(1); Ok(1) };
    "5.1/7" "CONTINUATION on a stream that is half closed" => Stream(CLOSED_OR_PROTOCOL), |p| { p.head(1, WHOLE, "GET", "/slow"); p.frame(CONTINUATION, END_HEADERS, 1, &[]); Ok(1) };
    "5.1/8" "DATA after RST_STREAM" => Stream(CLOSED), |p| { p.post(1); p.frame(RST_STREAM, NONE, 1, &[0, 0, 0, 8]); p.data(1, END_STREAM, b"x"); Ok(1) };
    "5.1/9" "HEADERS after RST_STREAM" => Stream(CLOSED), |p| { p.post(1); p.frame(RST_STREAM, NONE, 1, &[0, 0, 0, 8]); p.get(1); Ok(1) };
    "5.1/10" "CONTINUATION after RST_STREAM" => Stream(CLOSED_OR_PROTOCOL), |p| { p.post(1); p.frame(RST_STREAM, NONE, 1, &[0, 0, 0, 8]); p.frame(CONTINUATION, END_HEADERS, 1, &[]); Ok(1) };
    "5.1/11" "DATA on a stream that has ended" => Stream(CLOSED), |p| { after_answer(p)?; p.data(1, END_STREAM, b"x"); Ok(1) };
    "5.1/12" "HEADERS on a stream that has ended" => Stream(CLOSED_OR_PROTOCOL), |p| { after_answer(p)?; p.head(1, WHOLE, "GET", "/malformed"); Ok(1) };
    "5.1/13" "CONTINUATION on a stream that has ended" => Stream(CLOSED_OR_PROTOCOL), |p| { after_answer(p)?; p.frame(CONTINUATION, END_HEADERS, 1, &[]); Ok(1) };
    "5.1/14" "WINDOW_UPDATE on a stream that has ended" => Unmoved, |p| { after_answer(p)?; p.frame(WINDOW_UPDATE, NONE, 1, &[0, 0, 0, 9]); Ok(1) };
    "5.1/15" "RST_STREAM on a stream that has ended" => Unmoved, |p| { after_answer(p)?; p.frame(RST_STREAM, NONE, 1, &[0, 0, 0, 8]); Ok(3) };
    "5.1.1/1" "a stream with an even number" => Connection(PROTOCOL), |p| { p.head(2, WHOLE, "GET", "/malformed"); Ok(2) };
    "5.1.1/2" "a stream with a lower number than one before" => Connection(CLOSED_OR_PROTOCOL), |p| { p.get(5); p.head(3, WHOLE, "GET", "/malformed"); Ok(3) };
    "5.1.2/1" "more streams than may be" => Stream(&[PROTOCOL_ERROR, REFUSED_STREAM]), |p| { for n in 0..200 { p.post(2 * n + 1); } Ok(2 * 199 + 1) };
    "5.3/1" "HEADERS that depend on themselves" => Stream(PROTOCOL), |p| { let b = block(&p.road.fields("GET", "/malformed")); p.frame(HEADERS, WHOLE | flag::PRIORITY, 1, &[&[0, 0, 0, 1, 15][..], &b].concat()); Ok(1) };
    "5.3/2" "PRIORITY that depends on itself" => Stream(PROTOCOL), |p| { p.post(1); p.frame(PRIORITY, NONE, 1, &[0, 0, 0, 1, 15]); Ok(1) };
    "5.4.1/1" "the connection is closed after an error of it" => Told, |p| {
        p.frame(PING, NONE, 1, &[0; 8]);
        while let Ok(frame) = p.read() { ensure!(frame.kind != PING, "it goes on"); }
        Ok(1)
    };
    "5.5/1" "an extension frame" => Fine, |p| { p.frame(0xee, 0xff, 1, b"anything"); p.get(1); Ok(1) };
    "5.5/2" "an extension frame in the middle of a field block" => Connection(PROTOCOL), |p| { let rest = begun(p)?; p.frame(0xee, NONE, 1, b"anything"); p.frame(CONTINUATION, END_HEADERS, 1, &rest); Ok(1) };

    // ---- section 6: each type of frame ---------------------------------------------------------
    "6.1/1" "DATA on stream 0" => Connection(PROTOCOL), |p| { p.data(0, END_STREAM, b"x"); Ok(1) };
    "6.1/2" "DATA with more padding than it has" => Connection(PROTOCOL), |p| { p.post(1); p.data(1, END_STREAM | PADDED, &[6, b'x', 0, 0, 0]); Ok(1) };
    "6.1/3" "padded DATA without anything" => Connection(&[PROTOCOL_ERROR, FRAME_SIZE_ERROR]), |p| { p.post(1); p.data(1, END_STREAM | PADDED, &[]); Ok(1) };
    "6.2/1" "HEADERS on stream 0" => Connection(PROTOCOL), |p| { p.get(0); Ok(1) };
    "6.2/2" "HEADERS with more padding than they have" => Connection(PROTOCOL), |p| { p.frame(HEADERS, WHOLE | PADDED, 1, &[9, 0x82, 0, 0]); Ok(1) };
    "6.2/3" "HEADERS too short for their priority" => Connection(&[PROTOCOL_ERROR, FRAME_SIZE_ERROR]), |p| { p.frame(HEADERS, WHOLE | flag::PRIORITY, 1, &[0, 0, 0]); Ok(1) };
    "6.2/4" "HEADERS go on with PRIORITY" => Connection(PROTOCOL), |p| { begun(p)?; p.frame(PRIORITY, NONE, 1, ON_NOTHING); Ok(1) };
    "6.2/5" "HEADERS go on with DATA" => Connection(PROTOCOL), |p| { begun(p)?; p.data(1, END_STREAM, b"x"); Ok(1) };
    "6.3/1" "PRIORITY on stream 0" => Connection(PROTOCOL), |p| { p.frame(PRIORITY, NONE, 0, ON_NOTHING); Ok(1) };
    "6.3/2" "PRIORITY of another length than 5" => Stream(SIZE), |p| { p.post(1); p.frame(PRIORITY, NONE, 1, &[0; 4]); Ok(1) };
    "6.4/1" "RST_STREAM on stream 0" => Connection(PROTOCOL), |p| { p.frame(RST_STREAM, NONE, 0, &[0, 0, 0, 8]); Ok(1) };
    "6.4/2" "RST_STREAM of another length than 4" => Connection(SIZE), |p| { p.post(1); p.frame(RST_STREAM, NONE, 1, &[0, 0, 0]); Ok(1) };
    "6.5/1" "an acknowledgement of SETTINGS that holds some" => Connection(SIZE), |p| { p.frame(SETTINGS, ACK, 0, &[0; 6]); Ok(1) };
    "6.5/2" "SETTINGS on a stream" => Connection(PROTOCOL), |p| { p.frame(SETTINGS, NONE, 1, &[0, 3, 0, 0, 0, 9]); Ok(1) };
    "6.5/3" "SETTINGS of a length that 6 does not divide" => Connection(SIZE), |p| { p.frame(SETTINGS, NONE, 0, &[0, 3, 0]); Ok(1) };
    "6.5.2/1" "ENABLE_PUSH that is neither 0 nor 1" => Connection(PROTOCOL), |p| { p.settings(&[(2, 2)]); Ok(1) };
    "6.5.2/2" "a window larger than there can be" => Connection(FLOW), |p| { p.settings(&[(4, 1 << 31)]); Ok(1) };
    "6.5.2/3" "a frame size smaller than the smallest" => Connection(PROTOCOL), |p| { p.settings(&[(5, 16_383)]); Ok(1) };
    "6.5.2/4" "a frame size larger than the largest" => Connection(PROTOCOL), |p| { p.settings(&[(5, 1 << 24)]); Ok(1) };
    "6.5.2/5" "a setting that is not known" => Unmoved, |p| { p.settings(&[(0xff, 1)]); Ok(1) };
    "6.5.3/1" "of one setting twice the last counts" => Told, |p| {
        p.settings(&[(4, 100), (4, 1)]);
        p.head(1, WHOLE, "GET", "/big");
        let mut frames = p.read_until(DATA, 1)?;
        frames.extend(meanwhile(p)?);
        ensure!(data_bytes(&frames, 1) == 1, "{} bytes", data_bytes(&frames, 1));
        Ok(1)
    };
    "6.5.3/2" "SETTINGS are acknowledged" => Told, |p| {
        let before = meanwhile(p)?;
        p.settings(&[(3, 100)]);
        let after = p.read_until(SETTINGS, 0)?;
        let acknowledged = |frames: &[crate::web::frames::Frame]| frames.iter().filter(|f| f.kind == SETTINGS && f.flags & ACK != 0).count();
        ensure!(acknowledged(&before) + acknowledged(&after) == 2, "{before:?} {after:?}");
        Ok(1)
    };
    "6.6/1" "PUSH_PROMISE from a client" => Connection(PROTOCOL), |p| { p.post(1); let b = block(&p.road.fields("GET", "/malformed")); p.frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &b].concat()); Ok(1) };
    "6.7/1" "PING is answered with what it holds" => Told, |p| {
        p.frame(PING, NONE, 0, b"h2spec!!");
        let last = p.read_until(PING, 0)?.pop().context("a frame")?;
        ensure!(last.flags == ACK && last.payload == b"h2spec!!", "{last:?}");
        Ok(1)
    };
    "6.7/2" "an answer to PING is not answered" => Told, |p| {
        p.frame(PING, ACK, 0, b"invalid!"); p.frame(PING, NONE, 0, b"valid!!!");
        let last = p.read_until(PING, 0)?.pop().context("a frame")?;
        ensure!(last.payload == b"valid!!!", "{last:?}");
        Ok(1)
    };
    "6.7/3" "PING on a stream" => Connection(PROTOCOL), |p| { p.frame(PING, NONE, 1, &[0; 8]); Ok(1) };
    "6.7/4" "PING of another length than 8" => Connection(SIZE), |p| { p.frame(PING, NONE, 0, &[0; 6]); Ok(1) };
    "6.8/1" "GOAWAY on a stream" => Connection(PROTOCOL), |p| { p.frame(GOAWAY, NONE, 1, &[0; 8]); Ok(1) };
    "6.8/2" "GOAWAY that is too short" => Connection(SIZE), |p| { p.frame(GOAWAY, NONE, 0, &[0; 7]); Ok(1) };
    "6.9/1" "WINDOW_UPDATE of the connection by 0" => Connection(PROTOCOL), |p| { p.frame(WINDOW_UPDATE, NONE, 0, &[0; 4]); Ok(1) };
    "6.9/2" "WINDOW_UPDATE of a stream by 0" => Stream(PROTOCOL), |p| { p.post(1); p.frame(WINDOW_UPDATE, NONE, 1, &[0; 4]); Ok(1) };
    "6.9/3" "WINDOW_UPDATE of another length than 4" => Connection(SIZE), |p| { p.frame(WINDOW_UPDATE, NONE, 0, &[0, 0, 1]); Ok(1) };
    "6.9.1/1" "no more DATA than the window of its stream" => Told, |p| {
        p.settings(&[(4, 1)]);
        p.head(1, WHOLE, "GET", "/big");
        let mut frames = p.read_until(DATA, 1)?;
        frames.extend(meanwhile(p)?);
        ensure!(data_bytes(&frames, 1) == 1, "{} bytes", data_bytes(&frames, 1));
        p.frame(WINDOW_UPDATE, NONE, 1, &[0, 0, 0, 5]);
        let mut got = 0;
        while got < 5 { got += data_bytes(&[p.read()?], 1); }
        got += data_bytes(&meanwhile(p)?, 1);
        ensure!(got == 5, "{got} bytes after 5 more");
        Ok(1)
    };
    "6.9.1/2" "no more DATA than the window of the connection" => Told, |p| {
        p.settings(&[(4, 1 << 20)]);
        p.head(1, WHOLE, "GET", "/big");
        let mut got = 0;
        while got < 65_535 { got += data_bytes(&[p.read()?], 1); }
        got += data_bytes(&meanwhile(p)?, 1);
        ensure!(got == 65_535, "{got} bytes");
        p.frame(WINDOW_UPDATE, NONE, 0, &[0, 0, 0, 7]);
        // In as many frames as the body has parts there.
        let mut got = 0;
        while got < 7 { got += data_bytes(&[p.read()?], 1); }
        got += data_bytes(&meanwhile(p)?, 1);
        ensure!(got == 7, "{got} bytes after 7 more");
        Ok(1)
    };
    "6.9.1/3" "a window of the connection above the largest" => Connection(FLOW), |p| { for _ in 0..2 { p.frame(WINDOW_UPDATE, NONE, 0, &[0x7f, 0xff, 0xff, 0xff]); } Ok(1) };
    "6.9.1/4" "a window of a stream above the largest" => Stream(FLOW), |p| { p.post(1); for _ in 0..2 { p.frame(WINDOW_UPDATE, NONE, 1, &[0x7f, 0xff, 0xff, 0xff]); } Ok(1) };
    "6.9.2/1" "a window that is changed after its stream began" => Told, |p| {
        p.settings(&[(4, 0)]);
        p.head(1, WHOLE, "GET", "/big");
        let before = [p.read_until(HEADERS, 1)?, meanwhile(p)?].concat();
        ensure!(data_bytes(&before, 1) == 0, "DATA without a window");
        p.settings(&[(4, 1)]);
        let after = [p.read_until(DATA, 1)?, meanwhile(p)?].concat();
        ensure!(data_bytes(&after, 1) == 1, "{} bytes", data_bytes(&after, 1));
        Ok(1)
    };
    "6.9.2/2" "a window that becomes negative" => Told, |p| {
        p.settings(&[(4, 3)]);
        p.head(1, WHOLE, "GET", "/big");
        let first = [p.read_until(DATA, 1)?, meanwhile(p)?].concat();
        ensure!(data_bytes(&first, 1) == 3, "{} bytes", data_bytes(&first, 1));
        p.settings(&[(4, 2)]);
        p.frame(WINDOW_UPDATE, NONE, 1, &[0, 0, 0, 1]);
        ensure!(data_bytes(&meanwhile(p)?, 1) == 0, "the window is 0");
        p.frame(WINDOW_UPDATE, NONE, 1, &[0, 0, 0, 1]);
        let last = [p.read_until(DATA, 1)?, meanwhile(p)?].concat();
        ensure!(data_bytes(&last, 1) == 1, "{} bytes", data_bytes(&last, 1));
        Ok(1)
    };
    "6.9.2/3" "a setting that makes a window larger than there can be" => Connection(FLOW), |p| { p.post(1); p.frame(WINDOW_UPDATE, NONE, 1, &[0x7f, 0xff, 0, 0]); p.settings(&[(4, 0x7fff_ffff)]); Ok(1) };
    "6.10/1" "CONTINUATION" => Fine, |p| continued(p, 2);
    "6.10/2" "CONTINUATION in seven frames" => Fine, |p| continued(p, 7);
    "6.10/3" "CONTINUATION on stream 0" => Connection(PROTOCOL), |p| { let rest = begun(p)?; p.frame(CONTINUATION, END_HEADERS, 0, &rest); Ok(1) };
    "6.10/4" "CONTINUATION of another stream" => Connection(PROTOCOL), |p| { let rest = begun(p)?; p.frame(CONTINUATION, END_HEADERS, 3, &rest); Ok(1) };
    "6.10/5" "CONTINUATION after the end of a field block" => Connection(PROTOCOL), |p| { p.post(1); p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")])); Ok(1) };
    "6.10/6" "CONTINUATION after CONTINUATION that ended it" => Connection(PROTOCOL), |p| { continued(p, 2)?; p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")])); Ok(1) };
    "6.10/7" "CONTINUATION after DATA" => Connection(PROTOCOL), |p| { p.post(1); p.data(1, NONE, b"x"); p.frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")])); Ok(1) };
    "6.10/8" "PING in the middle of a field block" => Connection(PROTOCOL), |p| { begun(p)?; p.frame(PING, NONE, 0, &[0; 8]); Ok(1) };

    // ---- section 7: codes ----------------------------------------------------------------------
    "7/1" "GOAWAY with a code that is not known" => Left, |p| { p.frame(GOAWAY, NONE, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]); Ok(1) };
    "7/2" "RST_STREAM with a code that is not known" => Unmoved, |p| { p.post(1); p.frame(RST_STREAM, NONE, 1, &[0, 0, 0, 0xff]); Ok(3) };

    // ---- section 8: messages -------------------------------------------------------------------
    "8.1/1" "fields after the body that do not end the stream" => Stream(PROTOCOL), |p| { p.post(1); p.data(1, NONE, b"x"); p.frame(HEADERS, END_HEADERS, 1, &block(&[("x-sum", "7")])); Ok(1) };
    "8.1/2" "a second head before the body" => Stream(PROTOCOL), |p| { p.post(1); p.frame(HEADERS, END_HEADERS, 1, &block(&[("x-sum", "7")])); Ok(1) };
    "8.1.1/1" "a length and another body" => Malformed, |p| lengths(p, "1", &["body"]);
    "8.1.1/2" "a length and another body in frames" => Malformed, |p| lengths(p, "1", &["bo", "dy"]);
    "8.1.1/3" "a length and a shorter body" => Malformed, |p| lengths(p, "9", &["body"]);
    "8.1.1/4" "a length and no body" => Malformed, |p| lengths(p, "9", &[]);
    "8.1.1/5" "a length that is no number" => Malformed, |p| lengths(p, "four", &["body"]);
    "8.1.1/6" "a length with a sign" => Malformed, |p| lengths(p, "+4", &["body"]);
    "8.1.1/7" "two lengths" => Malformed, |p| { let mut f = p.road.fields("POST", "/malformed"); for n in ["4", "5"] { f.push(("content-length".to_owned(), n.to_owned())); } p.frame(HEADERS, END_HEADERS, 1, &block(&f)); p.data(1, END_STREAM, b"body"); Ok(1) };
    "8.1.1/8" "a length that is a list" => Malformed, |p| lengths(p, "4, 4", &["body"]);
    "8.2/1" "a name in upper case" => Malformed, |p| with(p, &[("X-Upper", "1")]);
    "8.2/2" "an empty name" => Malformed, |p| with(p, &[("", "1")]);
    "8.2/3" "a name with a space" => Malformed, |p| with(p, &[("x y", "1")]);
    "8.2/4" "a name with a colon" => Malformed, |p| with(p, &[("x:y", "1")]);
    "8.2/5" "a name with a line end" => Malformed, |p| with(p, &[("x\r\ny", "1")]);
    "8.2/6" "a name with a byte above ASCII" => Malformed, |p| with(p, &[("x\u{e9}", "1")]);
    "8.2/7" "a value with NUL" => Malformed, |p| with(p, &[("x-y", "a\0b")]);
    "8.2/8" "a value with CR" => Malformed, |p| with(p, &[("x-y", "a\rb")]);
    "8.2/9" "a value with LF" => Malformed, |p| with(p, &[("x-y", "a\nb")]);
    "8.2/10" "a value with a field in it" => Malformed, |p| with(p, &[("x-y", "a\r\ntransfer-encoding: chunked")]);
    "8.2/11" "a value that begins with a space" => Malformed, |p| with(p, &[("x-y", " a")]);
    "8.2/12" "a value that ends with a tab" => Malformed, |p| with(p, &[("x-y", "a\t")]);
    "8.2.2/1" "Connection" => Malformed, |p| with(p, &[("connection", "keep-alive")]);
    "8.2.2/2" "Transfer-Encoding" => Malformed, |p| with(p, &[("transfer-encoding", "chunked")]);
    "8.2.2/3" "Keep-Alive" => Malformed, |p| with(p, &[("keep-alive", "timeout=5")]);
    "8.2.2/4" "Proxy-Connection" => Malformed, |p| with(p, &[("proxy-connection", "keep-alive")]);
    "8.2.2/5" "Upgrade" => Malformed, |p| with(p, &[("upgrade", "h2c")]);
    "8.2.2/6" "TE with more than trailers" => Malformed, |p| with(p, &[("te", "trailers, deflate")]);
    "8.2.2/7" "TE: trailers" => Fine, |p| { let mut f = p.road.fields("GET", "/fine"); f.push(("te".to_owned(), "trailers".to_owned())); p.frame(HEADERS, WHOLE, 1, &block(&f)); Ok(1) };
    "8.3/1" "a pseudo-header field that is not known" => Malformed, |p| changed(p, |f| f.insert(0, (":test".to_owned(), "1".to_owned())));
    "8.3/2" "a pseudo-header field of a reply" => Malformed, |p| changed(p, |f| f.insert(0, (":status".to_owned(), "200".to_owned())));
    "8.3/3" "a pseudo-header field after the body" => Malformed, |p| { p.head(1, END_HEADERS, "POST", "/malformed"); p.data(1, NONE, b"x"); p.frame(HEADERS, WHOLE, 1, &block(&[(":method", "GET")])); Ok(1) };
    "8.3/4" "a pseudo-header field after others" => Malformed, |p| changed(p, |f| { f.push(("x-y".to_owned(), "1".to_owned())); f.rotate_left(1); });
    "8.3/5" "a field before pseudo-header fields" => Malformed, |p| changed(p, |f| f.insert(0, ("x-y".to_owned(), "1".to_owned())));
    "8.3.1/1" "an empty path" => Malformed, |p| set(p, ":path", "");
    "8.3.1/2" "no method" => Malformed, |p| without(p, ":method");
    "8.3.1/3" "no scheme" => Malformed, |p| without(p, ":scheme");
    "8.3.1/4" "no path" => Malformed, |p| without(p, ":path");
    "8.3.1/5" "two methods" => Malformed, |p| twice(p, ":method");
    "8.3.1/6" "two schemes" => Malformed, |p| twice(p, ":scheme");
    "8.3.1/7" "two paths" => Malformed, |p| twice(p, ":path");
    "8.3.1/8" "two authorities" => Malformed, |p| twice(p, ":authority");
    "8.3.1/9" "a path without a slash" => Malformed, |p| set(p, ":path", "malformed");
    "8.3.1/10" "a path with a space" => Malformed, |p| set(p, ":path", "/malformed HTTP/1.1");
    "8.3.1/11" "a path with a line end" => Malformed, |p| set(p, ":path", "/malformed HTTP/1.1\r\nx: y");
    "8.3.1/12" "a path with a fragment" => Malformed, |p| changed(p, |f| for (name, value) in f { if name == ":path" { value.push_str("#part"); } });
    "8.3.1/13" "a method with a space" => Malformed, |p| set(p, ":method", "GET /x");
    "8.3.1/14" "an empty method" => Malformed, |p| set(p, ":method", "");
    "8.3.1/15" "an authority with a user" => Malformed, |p| changed(p, |f| for (name, value) in f { if name == ":authority" { value.insert_str(0, "user@"); } });
    "8.3.1/16" "an authority with a path" => Malformed, |p| changed(p, |f| for (name, value) in f { if name == ":authority" { value.push_str("/x"); } });
    "8.3.1/17" "an authority and another Host" => Malformed, |p| with(p, &[("host", "other.test")]);
    "8.3.1/18" "two Hosts" => Malformed, |p| with(p, &[("host", "listed.test"), ("host", "other.test")]);
    "8.3.1/19" "a scheme that is not spoken" => Malformed, |p| set(p, ":scheme", "gopher");
    "8.3.1/20" "neither authority nor Host" => Malformed, |p| without(p, ":authority");
    "8.4/1" "PUSH_PROMISE on stream 0" => Connection(PROTOCOL), |p| { p.frame(PUSH_PROMISE, END_HEADERS, 0, &[0, 0, 0, 2]); Ok(1) };
    "8.5/1" "CONNECT with a path" => Malformed, |p| set(p, ":method", "CONNECT");
    "8.5/2" "CONNECT with a protocol (RFC 8441) that was not offered" => Malformed, |p| { set(p, ":method", "CONNECT")?; changed(p, |f| f.insert(0, (":protocol".to_owned(), "websocket".to_owned()))) };

    // ---- RFC 7541 ------------------------------------------------------------------------------
    "hpack/2.3.3/1" "an index beyond the table" => Connection(COMPRESSION), |p| raw_block(p, &[0xbf + 0x20]);
    "hpack/2.3.3/2" "an index far beyond the table" => Connection(COMPRESSION), |p| raw_block(p, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    "hpack/2.3.3/3" "a name with an index beyond the table" => Connection(COMPRESSION), |p| raw_block(p, &literal(&[0x7f, 0x20], "", PLAIN));
    "hpack/4.1/1" "an entry larger than the table empties it" => Fine, |p| { let mut b = literal(&[0x40], "x-large", &[]); string(&mut b, &[b'x'; 5_000]); raw_block(p, &b) };
    "hpack/4.2/1" "a size of the table at the end of a block" => Connection(COMPRESSION), |p| raw_block(p, &[0x21]);
    "hpack/4.2/2" "two sizes of the table" => Fine, |p| behind(p, &[0x20, 0x3f, 0xe1, 0x1f]);
    "hpack/5.1/1" "an integer without an end" => Connection(COMPRESSION), |p| raw_block(p, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    "hpack/5.1/2" "an integer that breaks off" => Connection(COMPRESSION), |p| raw_block(p, &[0xff, 0x80]);
    "hpack/5.2/1" "padding of Huffman's code that is longer than 7 bits" => Connection(COMPRESSION), |p| raw_block(p, &literal(&[0x00], "x", &[0x84, 0x49, 0x50, 0x9f, 0xff])) ;
    "hpack/5.2/2" "padding of Huffman's code with zeros" => Connection(COMPRESSION), |p| raw_block(p, &literal(&[0x00], "x", &[0x83, 0x49, 0x50, 0x90]));
    "hpack/5.2/3" "the end of a string in Huffman's code" => Connection(COMPRESSION), |p| raw_block(p, &literal(&[0x00], "x", &[0x87, 0x49, 0x50, 0x9f, 0xff, 0xff, 0xff, 0xff]));
    "hpack/5.2/4" "a string longer than its block" => Connection(COMPRESSION), |p| raw_block(p, &literal(&[0x00], "x", b"\x7fshort"));
    "hpack/5.2/5" "a string that breaks off in Huffman's code" => Connection(COMPRESSION), |p| raw_block(p, &literal(&[0x00], "x", &[0x8f, 0xf1]));
    "hpack/6.1/1" "index 0" => Connection(COMPRESSION), |p| raw_block(p, &[0x80]);
    "hpack/6.1/2" "an entry of the static table" => Fine, |p| raw_block(p, &[0x90]);
    "hpack/6.1/3" "an entry of the dynamic table" => Fine, |p| {
        raw_block(p, &literal(&[0x40], "x-kept", PLAIN))?;
        p.finished(1)?;
        let mut b = block(&p.road.fields("GET", "/fine"));
        b.push(0xbe);
        p.frame(HEADERS, WHOLE, 3, &b);
        Ok(3)
    };
    "hpack/6.2.1/1" "a literal to remember" => Fine, |p| raw_block(p, &literal(&[0x40], "x-one", PLAIN));
    "hpack/6.2.1/2" "a literal to remember, its name in the table" => Fine, |p| raw_block(p, &literal(&[0x40 | 58], "", PLAIN));
    "hpack/6.2.1/3" "a literal to remember, in Huffman's code" => Fine, |p| raw_block(p, &literal(&[0x40], "x-one", CODED));
    "hpack/6.2.2/1" "a literal" => Fine, |p| raw_block(p, &literal(&[0x00], "x-one", PLAIN));
    "hpack/6.2.2/2" "a literal, its name in the table" => Fine, |p| raw_block(p, &literal(&[0x0f, 58 - 15], "", PLAIN));
    "hpack/6.2.2/3" "a literal in Huffman's code" => Fine, |p| raw_block(p, &literal(&[0x00], "x-one", CODED));
    "hpack/6.2.3/1" "a literal never to remember" => Fine, |p| raw_block(p, &literal(&[0x10], "x-one", PLAIN));
    "hpack/6.2.3/2" "a literal never to remember, its name in the table" => Fine, |p| raw_block(p, &literal(&[0x1f, 58 - 15], "", PLAIN));
    "hpack/6.2.3/3" "a literal never to remember, in Huffman's code" => Fine, |p| raw_block(p, &literal(&[0x10], "x-one", CODED));
    "hpack/6.3/1" "a size of the table" => Fine, |p| behind(p, &[0x20]);
    "hpack/6.3/2" "a size of the table above what was agreed on" => Connection(COMPRESSION), |p| { let mut b = Vec::new(); number(&mut b, 5, 0x20, 1 << 20); behind(p, &b) };

    // ---- a client that wants to exhaust its server (CVE-2019-9511 and later) -------------------
    "flood/1" "streams that are reset at once" => Told, |p| {
        for n in 0..4_000 {
            p.get(2 * n + 1);
            p.frame(RST_STREAM, NONE, 2 * n + 1, &CANCEL.to_be_bytes());
        }
        // It may go on, or have enough of it.
        p.outcome(8_001, false)?;
        Ok(1)
    };
    "flood/2" "a field block without an end" => Connection(&[ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR]), |p| {
        begun(p)?;
        let piece = block(&[("x-more", "y".repeat(16_000))]);
        for _ in 0..200 { p.frame(CONTINUATION, NONE, 1, &piece); }
        Ok(1)
    };
    "flood/3" "empty pieces of a field block" => Connection(&[ENHANCE_YOUR_CALM, PROTOCOL_ERROR]), |p| {
        begun(p)?;
        for _ in 0..100_000 { p.raw(&frame(CONTINUATION, NONE, 1, &[])); }
        Ok(1)
    };
    "flood/4" "a head that is larger than what is taken" => Malformed, |p| {
        let mut f = p.road.fields("GET", "/malformed");
        for n in 0..12 { f.push((format!("x-{n}"), "y".repeat(15_000))); }
        let whole = block(&f);
        let pieces: Vec<&[u8]> = whole.chunks(16_000).collect();
        for (at, piece) in pieces.iter().enumerate() {
            let last = if at + 1 == pieces.len() { END_HEADERS } else { NONE };
            match at {
                0 => p.frame(HEADERS, END_STREAM | last, 1, piece),
                _ => p.frame(CONTINUATION, last, 1, piece),
            }
        }
        Ok(1)
    };
    "flood/5" "entries of the table a thousand times (an HPACK bomb)" => Malformed, |p| {
        let mut b = block(&p.road.fields("GET", "/malformed"));
        let mut large = literal(&[0x40], "x-bomb", &[]);
        string(&mut large, &[b'y'; 3_900]);
        b.extend(large);
        b.extend([0xbe; 10_000]);
        let pieces: Vec<&[u8]> = b.chunks(16_000).collect();
        ensure!(pieces.len() == 1, "one frame");
        p.frame(HEADERS, WHOLE, 1, &b);
        Ok(1)
    };
    "flood/6" "more fields than are taken" => Malformed, |p| {
        let more: Vec<(String, String)> = (0..1_000).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
        let mut f = p.road.fields("GET", "/malformed");
        f.extend(more);
        p.frame(HEADERS, WHOLE, 1, &block(&f));
        Ok(1)
    };
}

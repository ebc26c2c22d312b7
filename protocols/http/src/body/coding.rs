//! Content codings, undone as they stream (RFC 9110, 8.4).
//!
//! What is decoded is bounded in proportion to what came: a body that grows beyond it is refused,
//! as is whatever follows the end of a coding, because some readers would read on.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation};

use super::Unreadable;

/// Codings of one body.
const CODINGS_MAX: usize = 3;
/// Bytes that are decoded before they are passed on.
const BUFFER_BYTES: usize = 32 * 1024;
/// Decoded bytes that are never too many.
const FREE_BYTES: u64 = 1024 * 1024;
/// Decoded bytes for each that came, beyond [`FREE_BYTES`].
const RATIO_MAX: u64 = 200;
/// The header of a gzip member with its name and comment, bytes.
const GZIP_HEADER_BYTES_MAX: usize = 64 * 1024;
/// RFC 9659: no window above 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

const BAD: Unreadable =
    Unreadable { reason: "bad_coding", what: "the body does not follow its Content-Encoding" };
const BOMB: Unreadable =
    Unreadable { reason: "bomb", what: "the body grows too much when it is decoded" };
const UNKNOWN: Unreadable = Unreadable {
    reason: "unknown_coding",
    what: "the body has a Content-Encoding that cannot be undone",
};
const UNFINISHED: Unreadable =
    Unreadable { reason: "unfinished", what: "the body ends before its Content-Encoding does" };

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Coding {
    Brotli,
    Deflate,
    Gzip,
    Zstd,
}

/// The codings of a body, in the order in which they were applied.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Codings(Vec<Coding>);

impl Codings {
    /// Reads the values of `Content-Encoding`. No value, and `identity`, mean none.
    ///
    /// # Errors
    /// A coding is unknown, or there are more than three.
    pub fn parse<'a>(field_values: impl Iterator<Item = &'a str>) -> Result<Self, Unreadable> {
        let mut codings = Vec::new();
        for name in field_values.flat_map(|value| value.split(',')) {
            let name = name.trim_matches([' ', '\t']);
            let is = |of: &str| name.eq_ignore_ascii_case(of);
            let coding = match () {
                () if name.is_empty() || is("identity") => continue,
                () if is("gzip") || is("x-gzip") => Coding::Gzip,
                () if is("deflate") => Coding::Deflate,
                () if is("br") => Coding::Brotli,
                () if is("zstd") => Coding::Zstd,
                () => return Err(UNKNOWN),
            };
            if codings.len() == CODINGS_MAX {
                return Err(UNKNOWN);
            }
            codings.push(coding);
        }
        Ok(Self(codings))
    }

    /// What content is compressed with, by its first bytes: gzip, zlib and zstd.
    #[must_use]
    pub fn of_content(bytes: &[u8]) -> Option<Self> {
        let coding = match bytes {
            [0x1f, 0x8b, 8, ..] => Coding::Gzip,
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Coding::Deflate,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Coding::Zstd,
            _ => return None,
        };
        Some(Self(vec![coding]))
    }

    /// Whether the body is sent as it is.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.0.is_empty()
    }
}

/// Undoes the codings of one body.
pub(super) struct Decoder {
    /// Outermost first.
    stages: Vec<Stage>,
    consumed: u64,
}

struct Stage {
    inflate: Inflate,
    produced: u64,
    buffer: Box<[u8]>,
}

type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Unreadable>;

impl Decoder {
    pub fn new(codings: &Codings) -> Self {
        let stage = |coding: &Coding| Stage {
            inflate: Inflate::new(*coding),
            produced: 0,
            buffer: vec![0; BUFFER_BYTES].into(),
        };
        Self { stages: codings.0.iter().rev().map(stage).collect(), consumed: 0 }
    }

    /// Decodes what it can, piece by piece.
    pub fn push(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Unreadable> {
        self.consumed = self.consumed.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        run(&mut self.stages, self.consumed, bytes, sink)
    }

    /// Whether every coding ended. A body without a byte is one.
    pub fn finish(&mut self) -> Result<(), Unreadable> {
        let ended = self.consumed == 0 || self.stages.iter().all(|stage| stage.inflate.ended());
        if ended { Ok(()) } else { Err(UNFINISHED) }
    }
}

fn run(
    stages: &mut [Stage],
    consumed: u64,
    input: &[u8],
    sink: Sink<'_>,
) -> Result<(), Unreadable> {
    let Some((stage, rest)) = stages.split_first_mut() else { return sink(input) };
    let mut input = input;
    loop {
        let step = stage.inflate.step(input, &mut stage.buffer)?;
        input = input.get(step.read..).unwrap_or_default();
        stage.produced = stage.produced.saturating_add(u64::try_from(step.written).unwrap_or(0));
        if stage.produced > FREE_BYTES && stage.produced / RATIO_MAX > consumed {
            return Err(BOMB);
        }
        if step.written > 0 {
            run(rest, consumed, stage.buffer.get(..step.written).unwrap_or_default(), sink)?;
        }
        let more = step.again || step.written == stage.buffer.len();
        if input.is_empty() && !more {
            return Ok(());
        }
        if step.read == 0 && step.written == 0 && !step.again {
            return if input.is_empty() { Ok(()) } else { Err(BAD) };
        }
    }
}

/// What one step did.
#[derive(Default)]
struct Step {
    read: usize,
    written: usize,
    /// The state changed, so that another step may do something without more input.
    again: bool,
}

enum Inflate {
    Brotli {
        state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
        ended: bool,
    },
    Deflate(Deflate),
    Gzip(Gzip),
    Zstd {
        decoder: ZstdDecoder<'static>,
        ended: bool,
    },
    /// The decoder could not be made.
    Broken,
}

impl Inflate {
    fn new(coding: Coding) -> Self {
        let alloc = StandardAlloc::default;
        match coding {
            Coding::Brotli => Self::Brotli {
                state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())),
                ended: false,
            },
            Coding::Deflate => Self::Deflate(Deflate::Start(Vec::new())),
            Coding::Gzip => Self::Gzip(Gzip::new()),
            Coding::Zstd => {
                zstd_decoder().map_or(Self::Broken, |decoder| Self::Zstd { decoder, ended: false })
            }
        }
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Unreadable> {
        match self {
            Self::Brotli { state, ended } => {
                if *ended {
                    return at_the_end(input);
                }
                let (mut left, mut read) = (input.len(), 0);
                let (mut room, mut written, mut total) = (out.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut left,
                    &mut read,
                    input,
                    &mut room,
                    &mut written,
                    out,
                    &mut total,
                    state,
                );
                match result {
                    BrotliResult::ResultSuccess => *ended = true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                    BrotliResult::ResultFailure => return Err(BAD),
                }
                Ok(Step { read, written, again: false })
            }
            Self::Deflate(deflate) => deflate.step(input, out),
            Self::Gzip(gzip) => gzip.step(input, out),
            Self::Zstd { decoder, ended } => {
                if input.is_empty() && *ended {
                    return Ok(Step::default());
                }
                let status = decoder.run_on_buffers(input, out).map_err(|_| BAD)?;
                let moved = status.bytes_read > 0 || status.bytes_written > 0;
                *ended = status.remaining == 0 && (moved || *ended);
                Ok(Step { read: status.bytes_read, written: status.bytes_written, again: false })
            }
            Self::Broken => Err(BAD),
        }
    }

    fn ended(&self) -> bool {
        match self {
            Self::Brotli { ended, .. } | Self::Zstd { ended, .. } => *ended,
            Self::Deflate(deflate) => matches!(deflate, Deflate::Ended),
            Self::Gzip(gzip) => gzip.ended(),
            Self::Broken => false,
        }
    }
}

fn zstd_decoder() -> Option<ZstdDecoder<'static>> {
    let mut decoder = ZstdDecoder::new().ok()?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).ok()?;
    Some(decoder)
}

fn at_the_end(input: &[u8]) -> Result<Step, Unreadable> {
    if input.is_empty() { Ok(Step::default()) } else { Err(BAD) }
}

/// One call of the decompressor; whether its stream ended with it.
fn inflate(
    inflate: &mut Decompress,
    input: &[u8],
    out: &mut [u8],
) -> Result<(Step, bool), Unreadable> {
    let before = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, out, FlushDecompress::None).map_err(|_| BAD)?;
    let moved = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(0);
    let step = Step {
        read: moved(inflate.total_in(), before.0),
        written: moved(inflate.total_out(), before.1),
        again: status == Status::StreamEnd,
    };
    Ok((step, status == Status::StreamEnd))
}

/// The coding "deflate": a zlib stream (RFC 1950), or what many send instead, a raw one (RFC 1951).
enum Deflate {
    /// Waits for two bytes, which tell the forms apart.
    Start(Vec<u8>),
    /// Those two bytes are decoded before what follows.
    Body {
        inflate: Decompress,
        first: Vec<u8>,
    },
    Ended,
}

impl Deflate {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Unreadable> {
        match self {
            Self::Start(first) => {
                let wanted = 2_usize.saturating_sub(first.len());
                let taken = input.get(..wanted.min(input.len())).unwrap_or_default();
                first.extend_from_slice(taken);
                let again = first.len() == 2;
                if let [method, flags] = *first.as_slice() {
                    let check = u16::from_be_bytes([method, flags]) % 31 == 0;
                    let zlib = check && method & 0x0f == 8 && method >> 4 <= 7;
                    let first = std::mem::take(first);
                    *self = Self::Body { inflate: Decompress::new(zlib), first };
                }
                Ok(Step { read: taken.len(), written: 0, again })
            }
            Self::Body { inflate: decompress, first } => {
                let is_first = !first.is_empty();
                let (mut step, ended) =
                    inflate(decompress, if is_first { first } else { input }, out)?;
                if is_first {
                    if step.read == 0 && step.written == 0 {
                        return Err(BAD);
                    }
                    first.drain(..step.read.min(first.len()));
                    if ended && !first.is_empty() {
                        return Err(BAD);
                    }
                    // What was read had been counted when it was kept.
                    (step.read, step.again) = (0, true);
                }
                if ended {
                    *self = Self::Ended;
                }
                Ok(step)
            }
            Self::Ended => at_the_end(input),
        }
    }
}

/// Members of gzip (RFC 1952), one after the other.
struct Gzip {
    state: GzipState,
    crc: Crc,
    held: Vec<u8>,
}

enum GzipState {
    Header,
    Body(Decompress),
    Trailer,
    /// Between members.
    Between,
}

impl Gzip {
    fn new() -> Self {
        Self { state: GzipState::Header, crc: Crc::new(), held: Vec::new() }
    }

    fn ended(&self) -> bool {
        matches!(self.state, GzipState::Between)
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Unreadable> {
        match &mut self.state {
            GzipState::Between if input.is_empty() => Ok(Step::default()),
            GzipState::Between => {
                self.state = GzipState::Header;
                self.held.clear();
                self.step(input, out)
            }
            GzipState::Header => {
                let known = self.held.len();
                self.held.extend_from_slice(
                    input.get(..input.len().min(GZIP_HEADER_BYTES_MAX)).unwrap_or_default(),
                );
                let Some(length) = gzip_header(&self.held)? else {
                    return if self.held.len() >= GZIP_HEADER_BYTES_MAX {
                        Err(BAD)
                    } else {
                        Ok(Step { read: input.len(), ..Step::default() })
                    };
                };
                self.held.clear();
                self.crc.reset();
                self.state = GzipState::Body(Decompress::new(false));
                Ok(Step { read: length.saturating_sub(known), written: 0, again: true })
            }
            GzipState::Body(decompress) => {
                let (step, ended) = inflate(decompress, input, out)?;
                self.crc.update(out.get(..step.written).unwrap_or_default());
                if ended {
                    self.state = GzipState::Trailer;
                }
                Ok(step)
            }
            GzipState::Trailer => {
                let wanted = 8_usize.saturating_sub(self.held.len());
                let taken = input.get(..wanted.min(input.len())).unwrap_or_default();
                self.held.extend_from_slice(taken);
                if self.held.len() == 8 {
                    let mut sent = self.crc.sum().to_le_bytes().to_vec();
                    sent.extend_from_slice(&self.crc.amount().to_le_bytes());
                    if sent != self.held {
                        return Err(BAD);
                    }
                    self.state = GzipState::Between;
                }
                Ok(Step { read: taken.len(), ..Step::default() })
            }
        }
    }
}

/// The length of a member's header; [`None`] while it is not whole.
fn gzip_header(bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    if bytes.iter().zip(MAGIC).any(|(byte, magic)| *byte != magic) {
        return Err(BAD);
    }
    let Some(flags) = bytes.get(3).copied() else { return Ok(None) };
    if flags & 0xe0 != 0 {
        return Err(BAD);
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let (Some(low), Some(high)) = (bytes.get(at), bytes.get(at + 1)) else { return Ok(None) };
        at += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(end) = memchr::memchr(0, rest) else { return Ok(None) };
            at += end + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok((bytes.len() >= at).then_some(at))
}

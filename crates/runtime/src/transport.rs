//! Sockets: options, reading without holding memory, writing what is queued.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use model::limit::{READ_CHUNK_BYTES, SEND_BUFFER_BYTES_MAX};
use rustls_pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// Reads up to this size are copied into a buffer of their own; larger ones are handed on as they
/// are. So a message that waits somewhere never keeps 64 KiB alive.
pub(crate) const COPIED_BYTES_MAX: usize = 8 * 1024;
/// The shared buffer is replaced when less than this is left in it.
const ROOM_MIN: usize = 32 * 1024;
/// Units joined in one write.
const SLICES_MAX: usize = 32;
/// A silent peer is probed after a minute and given up a minute later.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

thread_local! {
    /// Where this thread reads into. A connection uses it only between the moment its socket has
    /// data and the end of that read, so idle connections hold no buffer at all.
    static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A connected socket.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What the other side has shown of itself; nothing of it is believed yet.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Tls(stream) => shown(stream.get_ref().1),
        }
    }

    /// Reads what there is, at most 64 KiB; an empty result is the end of the stream.
    ///
    /// Waits without holding memory. A socket that delivered less than it could is known to be
    /// empty, so the next read waits for it without asking the kernel first.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.capacity() < ROOM_MIN {
                *scratch = BytesMut::with_capacity(READ_CHUNK_BYTES);
            }
            // A read future keeps nothing between polls, so making one per poll loses nothing.
            let polled = match self {
                Self::Plain(stream) => pin!(stream.read_buf(scratch)).poll(cx),
                Self::Tls(stream) => pin!(stream.read_buf(scratch)).poll(cx),
            };
            polled.map(|result| result.map(|_| take(scratch)))
        })
    }

    /// Reads and discards what there is; zero bytes are the end of the stream.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bin = [0; 4096];
        let mut bin = ReadBuf::new(&mut bin);
        let polled = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut bin),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, &mut bin),
        };
        polled.map(|result| result.map(|()| bin.filled().len()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        out: &VecDeque<Bytes>,
    ) -> Poll<io::Result<usize>> {
        match (self, out.len()) {
            (Self::Plain(stream), 1) => {
                Pin::new(stream).poll_write(cx, out.front().map_or(&[], |unit| unit))
            }
            (wire, _) => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut count = 0;
                for (slice, unit) in slices.iter_mut().zip(out) {
                    *slice = IoSlice::new(unit);
                    count += 1;
                }
                let slices = slices.get(..count).unwrap_or_default();
                match wire {
                    Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
                    Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
                }
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    /// Says that nothing more will be sent.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

/// The certificates that a peer has shown.
pub(crate) fn shown(tls: &rustls::CommonState) -> Vec<CertificateDer<'static>> {
    let chain = tls.peer_certificates().unwrap_or_default();
    chain.to_vec()
}

/// Takes what was read out of the shared buffer.
fn take(scratch: &mut BytesMut) -> Bytes {
    if scratch.len() <= COPIED_BYTES_MAX {
        let bytes = Bytes::copy_from_slice(scratch);
        scratch.clear();
        bytes
    } else {
        scratch.split().freeze()
    }
}

/// Bytes in all queues together before each may have only [`SLOW_BYTES_MAX`].
pub(crate) const QUEUED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes that may wait for a slow reader then: as many as are read at once.
const SLOW_BYTES_MAX: usize = READ_CHUNK_BYTES;

/// Bytes in all queues of this process, and those that are [`Waiting`].
static QUEUED: AtomicUsize = AtomicUsize::new(0);

/// Bytes that may wait for a slow reader before the other side is no longer read. What one may keep
/// is little where many are slow: together they must not take the memory of all (P8).
pub(crate) fn queue_bytes_max() -> usize {
    match is_crowded() {
        true => SLOW_BYTES_MAX,
        false => SEND_BUFFER_BYTES_MAX,
    }
}

/// Whether so much waits in this process that each peer may have only a little more.
pub(crate) fn is_crowded() -> bool {
    QUEUED.load(Ordering::Relaxed) > QUEUED_BYTES_MAX
}

/// Whether enough waits in this process that what is added had better take no more memory than it
/// is long.
pub(crate) fn is_filling() -> bool {
    QUEUED.load(Ordering::Relaxed) > QUEUED_BYTES_MAX / 4
}

/// Bytes that wait for a peer somewhere else than in a [`Queue`]: counted with those until it is
/// dropped.
pub(crate) struct Waiting(usize);

impl Waiting {
    pub fn new(bytes: usize) -> Self {
        QUEUED.fetch_add(bytes, Ordering::Relaxed);
        Self(bytes)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        QUEUED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Units waiting for a socket to take them, in order.
#[derive(Default)]
pub(crate) struct Queue {
    units: VecDeque<Bytes>,
    bytes: usize,
    unflushed: bool,
}

impl Queue {
    pub fn push(&mut self, unit: Bytes) {
        if !unit.is_empty() {
            self.bytes = self.bytes.saturating_add(unit.len());
            QUEUED.fetch_add(unit.len(), Ordering::Relaxed);
            self.units.push_back(unit);
        }
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && !self.unflushed
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes as much as the socket takes; ready when everything is written.
    pub fn poll_write(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.units.is_empty() {
            match wire.poll_write(cx, &self.units) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.unflushed = wire.is_tls();
                    self.advance(written);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.units.capacity() > 4 * SLICES_MAX {
            self.units.shrink_to(SLICES_MAX);
        }
        if self.unflushed {
            match wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        QUEUED.fetch_sub(written.min(self.bytes), Ordering::Relaxed);
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(first) = self.units.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written = written.saturating_sub(first.len());
            self.units.pop_front();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        QUEUED.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Sets what every socket of ours has: no delay for small messages, probes for silent peers.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_many_slow_readers_may_keep_little_each_and_what_left_counts_no_more() {
        let unit = Bytes::from(vec![0; QUEUED_BYTES_MAX]);
        let (mut many, mut one) = (Queue::default(), Queue::default());
        many.push(unit);
        assert_eq!(queue_bytes_max(), SEND_BUFFER_BYTES_MAX, "exactly the bound");
        one.push(Bytes::from_static(b"x"));
        assert_eq!(queue_bytes_max(), SLOW_BYTES_MAX, "one past it");
        many.advance(1);
        assert_eq!(queue_bytes_max(), SEND_BUFFER_BYTES_MAX, "one was written");
        one.push(Bytes::from_static(b"yz"));
        assert_eq!(queue_bytes_max(), SLOW_BYTES_MAX);
        many.clear();
        assert_eq!(queue_bytes_max(), SEND_BUFFER_BYTES_MAX, "what is gone counts no more");
        let elsewhere = Waiting::new(QUEUED_BYTES_MAX);
        assert!(is_crowded(), "bytes elsewhere count too");
        drop(elsewhere);
        assert!(!is_crowded());
        drop(one);
        assert_eq!(QUEUED.load(Ordering::Relaxed), 0);
    }
}

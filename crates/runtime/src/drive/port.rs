//! One side of a connection: its socket, what waits for it, and whether it is read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use engine::TlsFacts;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;

use crate::transport::{Queue, Wire, queue_bytes_max};
use crate::upstream::Unreachable;

/// A TLS handshake under way.
pub(super) type Handshake =
    Pin<Box<dyn Future<Output = Result<(Wire, TlsFacts), Unreachable>> + Send>>;

/// The transport of one side.
enum Link {
    /// Not opened yet, or gone.
    None,
    Up(Wire),
    Upgrading(Handshake),
}

pub(super) struct Port {
    link: Link,
    queue: Queue,
    /// The engine does not want to hear from it.
    paused: bool,
    /// It is too slow: the other side is not read until it has caught up.
    full: bool,
    /// Start TLS once everything queued has left.
    tls_wanted: bool,
    /// Nothing can be written any more; what it said last is still read.
    broken: bool,
    /// It has said something.
    pub heard: bool,
}

impl Port {
    pub fn absent() -> Self {
        Self {
            link: Link::None,
            queue: Queue::default(),
            paused: false,
            full: false,
            tls_wanted: false,
            broken: false,
            heard: false,
        }
    }

    pub fn up(wire: Wire) -> Self {
        Self { link: Link::Up(wire), ..Self::absent() }
    }

    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    pub fn is_tls(&self) -> bool {
        matches!(&self.link, Link::Up(wire) if wire.is_tls())
    }

    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        match &self.link {
            Link::Up(wire) => wire.certificates(),
            _ => Vec::new(),
        }
    }

    /// Queues a unit; one for a side that is gone is dropped.
    pub fn send(&mut self, unit: Bytes) {
        if !matches!(self.link, Link::None) && !self.broken {
            self.queue.push(unit);
            self.full |= self.queue.bytes() > queue_bytes_max();
        }
    }

    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub fn want_tls(&mut self) {
        self.tls_wanted = true;
    }

    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Nothing waits to be written, or ever can be.
    pub fn is_flushed(&self) -> bool {
        self.queue.is_empty() || !self.is_up()
    }

    /// Forgets the socket.
    pub fn cut(&mut self) {
        self.link = Link::None;
        self.queue.clear();
        self.full = false;
    }

    pub fn take_wire(&mut self) -> Option<Wire> {
        match std::mem::replace(&mut self.link, Link::None) {
            Link::Up(wire) => Some(wire),
            Link::None | Link::Upgrading(_) => None,
        }
    }

    /// Nothing can be written any more; `true` when there is still something to be heard.
    pub fn break_off(&mut self) -> bool {
        self.queue.clear();
        self.full = false;
        self.broken = true;
        !self.paused
    }

    /// Writes what waits. Ready with the socket to upgrade when TLS was asked for and everything
    /// before it has left.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<TcpStream>>> {
        let Link::Up(wire) = &mut self.link else { return Poll::Ready(Ok(None)) };
        let written = if self.queue.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            self.queue.poll_write(wire, cx)
        };
        self.full &= self.queue.bytes() >= queue_bytes_max() / 2;
        match written {
            Poll::Ready(Ok(())) if self.tls_wanted => {
                self.tls_wanted = false;
                match self.take_wire() {
                    Some(Wire::Plain(stream)) => Poll::Ready(Ok(Some(stream))),
                    // TLS inside TLS: our own protocol's mistake, which ends the connection.
                    _ => Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
                }
            }
            Poll::Ready(Ok(())) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    pub fn upgrade(&mut self, handshake: Handshake) {
        self.link = Link::Upgrading(handshake);
    }

    /// Ready once a handshake under way is over; the socket is in place then.
    pub fn poll_upgrade(&mut self, cx: &mut Context<'_>) -> Poll<Result<TlsFacts, Unreachable>> {
        let Link::Upgrading(handshake) = &mut self.link else { return Poll::Pending };
        match handshake.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok((wire, facts))) => {
                self.link = Link::Up(wire);
                Poll::Ready(Ok(facts))
            }
            Poll::Ready(Err(error)) => {
                self.link = Link::None;
                Poll::Ready(Err(error))
            }
        }
    }

    /// Reads what there is, if it is to be read.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        match &mut self.link {
            Link::Up(wire) if !self.paused && !self.tls_wanted => wire.poll_read(cx),
            _ => Poll::Pending,
        }
    }
}

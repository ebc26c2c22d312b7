//! Every byte a server was sent, whether or not it was understood.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

/// What one connection carried to a server.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// As it came from the socket: with TLS, its records.
    pub sealed: Vec<u8>,
    /// What was in it: with TLS, what was decrypted; without, the same.
    pub plain: Vec<u8>,
    /// The name in the client's TLS hello.
    pub server_name: Option<String>,
    /// Whether it began with a TLS hello.
    pub tls: bool,
    /// Whether the client has ended it.
    pub ended: bool,
}

/// A connection's bytes while it goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Wire>>);

impl Log {
    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut Wire) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A stream whose incoming bytes are written down.
pub(crate) struct Tap<S> {
    stream: S,
    log: Log,
}

impl<S> Tap<S> {
    pub(crate) const fn new(stream: S, log: Log) -> Self {
        Self { stream, log }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let came = buffer.filled().get(before..).unwrap_or_default();
        if !came.is_empty() {
            self.log.edit(|wire| wire.sealed.extend_from_slice(came));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Carries bytes between a stream and a server in this process, and writes down those for the
/// server, also after it has stopped listening to them.
pub(crate) async fn pump<S: AsyncRead + AsyncWrite>(stream: S, server: DuplexStream, log: Log) {
    let (mut from_client, mut to_client) = tokio::io::split(stream);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let incoming = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut listens = true;
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let came = buffer.get(..count).unwrap_or_default();
            log.edit(|wire| wire.plain.extend_from_slice(came));
            listens = listens && to_server.write_all(came).await.is_ok();
        }
        log.edit(|wire| wire.ended = true);
        let _ = to_server.shutdown().await;
    };
    let outgoing = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(incoming, outgoing);
}

//! HTTP/2 in clear text, begun by prior knowledge (RFC 9113 section 3.3).
//!
//! A server of HTTP/1.1 that is sent frames may find a request among them, made of a body that was
//! judged as a body. So nothing of a client leaves before the server has shown that it speaks
//! HTTP/2: it is sent the preface, which holds nothing of anybody's, and has to answer with its
//! own, a SETTINGS frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// How a client begins, RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head: length, type, flags, stream.
const HEAD_BYTES: usize = 9;
/// Longest frame before any was agreed on, bytes.
const FRAME_BYTES_MAX: u32 = 16_384;

/// A connection to a server that has answered the preface.
pub(crate) struct Prior {
    stream: TcpStream,
    /// The head of the server's first frame, which was read already.
    heard: [u8; HEAD_BYTES],
    /// How much of it was passed on.
    passed: usize,
    /// How much of its own preface the library has written, which was sent already.
    written: usize,
}

impl Prior {
    /// Sends the preface, and waits for the server's.
    ///
    /// # Errors
    ///
    /// The connection breaks, or the server speaks something else.
    pub async fn begin(mut stream: TcpStream) -> io::Result<Self> {
        stream.write_all(PREFACE).await?;
        let mut heard = [0; HEAD_BYTES];
        stream.read_exact(&mut heard).await?;
        if !is_settings(heard) {
            let words = "it was asked in HTTP/2 without TLS, and answers in something else";
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(Self { stream, heard, passed: 0, written: 0 })
    }

    /// What of `buf` is the preface.
    fn sent_already(&mut self, buf: &[u8]) -> Option<usize> {
        let rest = PREFACE.get(self.written..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        if count == 0 {
            return None;
        }
        self.written = self.written.saturating_add(count);
        Some(count)
    }
}

/// A SETTINGS frame that acknowledges none, RFC 9113 section 6.5.
fn is_settings(head: [u8; HEAD_BYTES]) -> bool {
    let [high, middle, low, kind, flags, stream @ ..] = head;
    let length = u32::from_be_bytes([0, high, middle, low]);
    kind == 4
        && flags & 1 == 0
        && u32::from_be_bytes(stream) & 0x7fff_ffff == 0
        && length <= FRAME_BYTES_MAX
        && length.is_multiple_of(6)
}

impl AsyncRead for Prior {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = this.heard.get(this.passed..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..count).unwrap_or_default());
        this.passed = this.passed.saturating_add(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prior {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.sent_already(buf) {
            Some(count) => Poll::Ready(Ok(count)),
            None => Pin::new(&mut this.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = bufs.iter().find(|buf| !buf.is_empty());
        match first.and_then(|buf| this.sent_already(buf)) {
            Some(count) => Poll::Ready(Ok(count)),
            None => Pin::new(&mut this.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What the server has heard before it answers, and whether it may go on from there.
    async fn tried(answer: &'static [u8]) -> (Vec<u8>, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut heard = vec![0; PREFACE.len()];
            stream.read_exact(&mut heard).await.expect("a preface");
            stream.write_all(answer).await.expect("an answer");
            stream.shutdown().await.expect("an end");
            // A client that leaves with something unread resets the connection.
            let _ = stream.read_to_end(&mut heard).await;
            heard
        });
        let stream = TcpStream::connect(address).await.expect("a server");
        let mut prior = Prior::begin(stream).await;
        if let Ok(prior) = &mut prior {
            // In pieces, as a library may write it.
            for piece in [PREFACE, b"more"].concat().chunks(5) {
                prior.write_all(piece).await.expect("room");
            }
            prior.shutdown().await.expect("an end");
            let mut said = Vec::new();
            prior.read_to_end(&mut said).await.expect("what was said");
            assert_eq!(said, answer, "the library hears all of it");
        }
        // A server whose client was refused hears the end of the connection.
        let begun = prior.is_ok();
        drop(prior);
        (server.await.expect("a server"), begun)
    }

    #[tokio::test]
    async fn p2_nothing_but_the_preface_leaves_before_the_server_answers_in_http2() {
        let (heard, begun) = tried(b"\0\0\0\x04\0\0\0\0\0rest").await;
        assert_eq!(heard, [PREFACE, b"more"].concat(), "the preface once");
        assert!(begun);
        for answer in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            b"\0\0\0\x04\x01\0\0\0\0",
            b"\0\0\0\x04\0\0\0\0\x01",
            b"\0\0\x05\x04\0\0\0\0\0",
            b"\xff\0\0\x04\0\0\0\0\0",
            b"\0\0\x04\x08\0\0\0\0\0",
            b"short",
            b"",
        ] {
            let (heard, begun) = tried(answer).await;
            assert_eq!(heard, PREFACE, "{answer:?}");
            assert!(!begun, "{answer:?}");
        }
    }
}

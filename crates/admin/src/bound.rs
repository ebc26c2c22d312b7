//! A listener that carries a bounded number of connections, each for a bounded time without an
//! answer; the next one waits in the backlog.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections to the admin address at once.
const CONNECTIONS_MAX: usize = 256;
/// Pause after an accept error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may hold its place.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// Until its first byte.
    pub first: Duration,
    /// From its beginning, or from the last byte of an answer that it took, to the next. Longer
    /// than a request may take.
    pub between: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(10), between: Duration::from_secs(75) }
    }
}

pub(crate) struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
    patience: Patience,
}

impl Bounded {
    pub fn new(listener: TcpListener, patience: Patience) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)), patience }
    }
}

impl Listener for Bounded {
    type Io = Counted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Counted, SocketAddr) {
        let permit = loop {
            match Arc::clone(&self.room).acquire_owned().await {
                Ok(permit) => break permit,
                // The semaphore is never closed; should it be, nobody is let in.
                Err(_) => std::future::pending::<()>().await,
            }
        };
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Without it answers wait for acknowledgements; failing is no reason to refuse.
                    let _ = stream.set_nodelay(true);
                    let patience = self.patience;
                    let until = Box::pin(sleep(patience.first));
                    let heard = false;
                    return (Counted { stream, until, heard, patience, _permit: permit }, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the admin address");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The peer's address, for handlers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection that gives its place back when it ends, and ends when nothing comes of it.
pub(crate) struct Counted {
    stream: TcpStream,
    /// When it has held its place for long enough.
    until: Pin<Box<Sleep>>,
    /// Its first byte has come.
    heard: bool,
    patience: Patience,
    _permit: OwnedSemaphorePermit,
}

impl Counted {
    /// What becomes of a side that is not ready.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn allow(&mut self, more: Duration) {
        self.until.as_mut().reset(Instant::now() + more);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.wait(context).map(Err),
            read => {
                if !std::mem::replace(&mut self.heard, true) {
                    let more = self.patience.between;
                    self.allow(more);
                }
                read
            }
        }
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.wait(context).map(Err),
            written => {
                let more = self.patience.between;
                self.allow(more);
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use axum::Router;
    use axum::routing::get;

    use super::*;

    #[test]
    fn p8_a_connection_of_which_nothing_comes_gives_its_place_back() {
        let patience =
            Patience { first: Duration::from_millis(50), between: Duration::from_millis(400) };
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
            tokio.unwrap().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let router = Router::new().route("/", get(|| async { "here" }));
                axum::serve(Bounded::new(listener, patience), router).await.unwrap();
            });
        });
        let address = told.recv().unwrap();
        let connect = || {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream
        };
        // One that says nothing, one whose request never ends, and one that stays after its answer:
        // each is closed by the listener, or the read above would fail instead of ending.
        for said in
            ["", "GET / HTTP/1.1\r\nhost: x\r\nx-endless: ", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"]
        {
            let mut stream = connect();
            stream.write_all(said.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap_or_else(|why| panic!("{said:?}: {why}"));
            assert_eq!(answer.contains("here"), said.ends_with("\r\n\r\n"), "{said:?}: {answer}");
        }
    }
}

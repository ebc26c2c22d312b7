//! The upstream of the tests: a real server of the line protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How a server behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Manner {
    /// It answers.
    Answers,
    /// It accepts connections and never says anything.
    Silent,
    /// It closes after each question.
    HangsUp,
}

/// What a server saw and did.
#[derive(Default)]
pub(super) struct Seen {
    pub lines: Mutex<Vec<String>>,
    pub connections: AtomicUsize,
    pub open: AtomicUsize,
    /// Bytes of `DUMP` answers that the socket took.
    pub dumped: AtomicU64,
    /// What `CATALOG` is answered with.
    pub catalog: Mutex<String>,
    /// While this is set, a cancel does not come to its end.
    pub keeps_cancels: AtomicBool,
}

pub(super) struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

impl Server {
    pub async fn start(manner: Manner, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        *seen.catalog.lock() = "one".to_owned();
        let to = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                to.connections.fetch_add(1, Ordering::Relaxed);
                let (seen, tls) = (Arc::clone(&to), tls.clone());
                tokio::spawn(async move {
                    seen.open.fetch_add(1, Ordering::Relaxed);
                    let _ = serve(stream, manner, tls, &seen).await;
                    seen.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, seen }
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen.lines.lock().clone()
    }
}

async fn serve(
    stream: TcpStream,
    manner: Manner,
    tls: Option<Arc<rustls::ServerConfig>>,
    seen: &Seen,
) -> std::io::Result<()> {
    let mut stream = BufStream::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        if line == "STARTTLS\n" && manner != Manner::Silent {
            stream.write_all(b"OK\n").await?;
            stream.flush().await?;
            let tls = TlsAcceptor::from(tls.unwrap());
            let inner = tls.accept(stream.into_inner()).await?;
            return talk(BufStream::new(inner), manner, seen).await;
        }
        if !answer(&mut stream, &line, manner, seen).await? {
            return Ok(());
        }
        line.clear();
    }
    Ok(())
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufStream<S>,
    manner: Manner,
    seen: &Seen,
) -> std::io::Result<()> {
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        if !answer(&mut stream, &line, manner, seen).await? {
            return Ok(());
        }
        line.clear();
    }
    Ok(())
}

async fn answer<S: AsyncWrite + Unpin>(
    stream: &mut S,
    line: &str,
    manner: Manner,
    seen: &Seen,
) -> std::io::Result<bool> {
    seen.lines.lock().push(line.trim().to_owned());
    let words: Vec<&str> = line.split_whitespace().collect();
    match (manner, words.as_slice()) {
        (Manner::Silent, _) => return Ok(true),
        (Manner::HangsUp, _) => return Ok(false),
        (_, ["CATALOG"]) => {
            let catalog = seen.catalog.lock().clone();
            stream.write_all(format!("{catalog}\n").as_bytes()).await?;
        }
        (_, ["DUMP", bytes]) => {
            let mut left: u64 = bytes.parse().unwrap();
            let chunk = [b'x'; 16 * 1024];
            while left > 0 {
                let part = &chunk[..left.min(chunk.len() as u64) as usize];
                stream.write_all(part).await?;
                left -= part.len() as u64;
                seen.dumped.fetch_add(part.len() as u64, Ordering::Relaxed);
            }
            stream.write_all(b"\n").await?;
        }
        (_, ["SHOUT"]) => {
            while seen.keeps_cancels.load(Ordering::Relaxed) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            seen.lines.lock().push("SHOUTED".to_owned());
            return Ok(false);
        }
        (_, ["SLOW"]) => return Ok(true),
        _ => stream.write_all(format!("VALUE {}", line.to_lowercase()).as_bytes()).await?,
    }
    stream.flush().await?;
    Ok(true)
}

//! A forward proxy that lets everything through: what the driver is tried on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;

/// Longest head that is waited for, bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

type Resolve = dyn Fn(&str) -> Option<SocketAddr> + Send + Sync;

/// A proxy that forwards bytes without a thought: tunnels as they are, and other requests, whole
/// connections of them, to the host of the first one.
pub struct OpenProxy {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for OpenProxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OpenProxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl OpenProxy {
    /// Starts one that finds hosts with this function.
    ///
    /// # Errors
    /// The system has no port or thread left.
    pub fn start(
        resolve: impl Fn(&str) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, resolve) = (Arc::clone(&stop), Arc::new(resolve) as Arc<Resolve>);
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let resolve = Arc::clone(&resolve);
                std::thread::spawn(move || carry(client, &*resolve));
            }
        });
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for OpenProxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry(mut client: TcpStream, resolve: &Resolve) -> Option<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        let count = client.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend(buffer.get(..count)?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let target = text.split(' ').nth(1).unwrap_or_default();
    let authority = target.split_once("://").map_or(target, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let is_tunnel = text.starts_with("CONNECT ");
    let Some(address) = resolve(authority) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
        return None;
    };
    let mut server = TcpStream::connect(address).ok()?;
    if is_tunnel {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
        let end = head.windows(4).position(|four| four == b"\r\n\r\n")?;
        server.write_all(head.get(end + 4..)?).ok()?;
    } else {
        server.write_all(&head).ok()?;
    }
    let (mut from_server, mut to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
    None
}

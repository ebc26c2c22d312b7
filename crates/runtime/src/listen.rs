//! Accepting clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use engine::Protocol;
use policy::BlockId;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::counters::add;
use crate::drive::{Client, Driver};
use crate::gateway::{Gateway, Seat, ServeError};
use crate::mailbox::{Mailbox, Note};
use crate::transport::{self, Wire};

/// First byte of a TLS record that carries a handshake.
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;
/// Pause after an error that does not go away by itself (out of file descriptors, out of memory).
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often questions to people are looked through for those whose time is over.
const SWEEP: Duration = Duration::from_secs(1);

impl Gateway {
    /// Accepts clients of `protocol` until the gateway shuts down. Errors while accepting are
    /// counted and waited out; they never end it.
    ///
    /// # Errors
    ///
    /// When the gateway has no such protocol, or the listener is none.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        protocol: &'static str,
    ) -> Result<(), ServeError> {
        let found = self.protocols.iter().find(|(known, _)| known.name() == protocol);
        let Some((protocol, block)) = found.copied() else {
            return Err(ServeError::UnknownProtocol(protocol.to_owned()));
        };
        let address = listener.local_addr()?;
        self.keep_house();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%address, protocol = protocol.name(), "listening");
        self.accept(&listener, address, |stream, peer| self.admit(stream, peer, protocol, block))
            .await;
        self.listeners.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Accepts clients until the gateway shuts down.
    pub(crate) async fn accept(
        &self,
        listener: &TcpListener,
        address: SocketAddr,
        admit: impl Fn(TcpStream, SocketAddr),
    ) {
        let mut draining = self.draining.subscribe();
        let mut pause = PAUSE_MIN;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = draining.wait_for(|draining| *draining) => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = PAUSE_MIN;
                    admit(stream, peer);
                }
                Err(error) => {
                    add(&self.counters.accept_errors);
                    if !is_of_one_client(&error) {
                        tracing::warn!(%address, %error, "cannot accept clients now");
                        sleep(pause).await;
                        pause = pause.saturating_mul(2).min(PAUSE_MAX);
                    }
                }
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        protocol: &'static dyn Protocol<Bytes>,
        block: BlockId,
    ) {
        add(&self.counters.connections_total);
        if let Err(error) = transport::prepare(&stream) {
            tracing::debug!(%peer, %error, "a client was gone before it was served");
            return;
        }
        let (mailbox, notes) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        let Some(seat) = self.seat(Arc::clone(&mailbox)) else {
            self.counters.refused.add("too_many_connections");
            return;
        };
        let attend =
            Newcomer { gateway: Arc::clone(self), stream, peer, protocol, block, mailbox, seat };
        tokio::spawn(attend.attend(notes));
    }

    /// Starts what runs beside the listeners, once.
    pub(crate) fn keep_house(self: &Arc<Self>) {
        if self.housekeeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let gateway = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                sleep(SWEEP).await;
                let Some(gateway) = gateway.upgrade() else { return };
                let approvals = Arc::clone(&gateway.approvals);
                let recorder = Arc::clone(&gateway.recorder);
                let sweep = move || {
                    recorder.probe();
                    for approval in approvals.escalate(clock::now())? {
                        recorder.escalated(&approval);
                    }
                    approvals.expire(clock::now())
                };
                let now = clock::now();
                gateway.exchanges.sweep(&gateway, gateway.settings.session_idle, now).await;
                drop(gateway);
                match tokio::task::spawn_blocking(sweep).await {
                    Ok(Ok(_)) => {}
                    // Said once by whoever lost it.
                    Ok(Err(error)) if error.is_unreachable() => {}
                    Ok(Err(error)) => tracing::warn!(%error, "approvals cannot be looked through"),
                    Err(_) => return,
                }
            }
        });
    }
}

/// A client that was accepted and has said nothing yet.
struct Newcomer {
    gateway: Arc<Gateway>,
    stream: TcpStream,
    peer: SocketAddr,
    protocol: &'static dyn Protocol<Bytes>,
    block: BlockId,
    mailbox: Arc<Mailbox>,
    seat: Seat,
}

impl Newcomer {
    async fn attend(self, notes: tokio::sync::mpsc::Receiver<Note>) {
        let gateway = self.gateway;
        let deadline = Instant::now() + gateway.settings.identify_timeout;
        let identify_by = clock::now().plus(gateway.settings.identify_timeout);
        let wire = match timeout_at(deadline, open(&gateway, self.stream)).await {
            Ok(Ok(wire)) => wire,
            Ok(Err(error)) => {
                gateway.counters.refused.add("client_tls");
                tracing::debug!(peer = %self.peer, %error, "a client was gone, or its TLS failed");
                return;
            }
            Err(_) => {
                gateway.counters.refused.add("identify_timeout");
                return;
            }
        };
        let client = Client { wire, peer: self.peer, identify_by };
        match Driver::new(
            gateway,
            client,
            self.protocol,
            self.block,
            self.mailbox,
            notes,
            self.seat,
        ) {
            Ok(driver) => driver.run().await,
            Err(error) => tracing::error!(%error, "a session cannot be named"),
        }
    }
}

/// Looks at the first byte: TLS comes before anything else, or the protocol speaks first.
async fn open(gateway: &Gateway, stream: TcpStream) -> io::Result<Wire> {
    let Some(tls) = &gateway.server_tls else { return Ok(Wire::Plain(stream)) };
    let mut first = [0];
    let peeked = stream.peek(&mut first).await?;
    if peeked == 0 || first != [TLS_HANDSHAKE] {
        return Ok(Wire::Plain(stream));
    }
    let stream = TlsAcceptor::from(Arc::clone(tls)).accept(stream).await?;
    Ok(Wire::Tls(Box::new(stream.into())))
}

/// Errors of the connection that was about to be accepted, as opposed to ours (see accept(2)).
fn is_of_one_client(error: &io::Error) -> bool {
    let kind = error.kind();
    let passing = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::Interrupted,
        io::ErrorKind::WouldBlock,
        io::ErrorKind::TimedOut,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::NetworkUnreachable,
        io::ErrorKind::NetworkDown,
    ];
    passing.contains(&kind) || error.raw_os_error() == Some(libc::EPROTO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_descriptors_is_waited_out_and_a_client_that_left_is_not() {
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(!is_of_one_client(&io::Error::from_raw_os_error(code)));
        }
        for code in [libc::ECONNABORTED, libc::EPROTO, libc::EINTR] {
            assert!(is_of_one_client(&io::Error::from_raw_os_error(code)));
        }
    }
}

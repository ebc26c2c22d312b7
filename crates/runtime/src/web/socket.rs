//! A connection that changed to WebSocket (RFC 6455): frames become whole messages.
//!
//! A task of its own owns the connection. It answers pings, puts fragments together, takes at most
//! [`MESSAGE_BYTES_MAX`] for a message, and ends with the channel it is fed through. No extension
//! is agreed on: the request does not offer one.
//!
//! Both directions go on by themselves: a peer is written to while what it said waits to be heard,
//! and is heard while it does not take what it is told.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use model::Side;
use model::exchange::{Message, Part};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::body::Passed;
use super::exchange::{LINGER, LINGER_PAUSE};
use crate::transport::Waiting;

/// Longest message, bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that wait for a peer that does not read: a message, and answers to pings.
const WRITE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 64 * 1024;
/// How long a peer may take no answers to its pings, and no last words.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// Pings that are answered before a peer has taken what it was told: the library keeps an answer to
/// each.
const PINGS_MAX: u32 = 64;
/// How long a peer may take for each message that is left when its exchange is over.
pub(super) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(120);

/// What a side of a WebSocket did; `None`: it broke off.
pub(super) type Heard = (Side, Option<Part>);

/// Serves the connection of one side until either end is done.
pub(super) async fn serve(
    side: Side,
    upgrade: OnUpgrade,
    passed: mpsc::Receiver<Passed>,
    heard: mpsc::Sender<Heard>,
) {
    match upgrade.await {
        Ok(upgraded) => carry(side, TokioIo::new(upgraded), passed, heard).await,
        // Nobody listens any more when this fails.
        Err(_) => drop(heard.send((side, None)).await),
    }
}

async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    side: Side,
    stream: S,
    passed: mpsc::Receiver<Passed>,
    heard: mpsc::Sender<Heard>,
) {
    let role = match side {
        Side::Client => Role::Server,
        Side::Upstream => Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .max_write_buffer_size(WRITE_BYTES_MAX);
    let socket = WebSocketStream::from_raw_socket(stream, role, Some(config)).await;
    let mut peer = Peer { socket, untaken: None, deadline: None, pings: 0, is_deaf: false };
    peer.converse(side, passed, heard).await;
    peer.see_off().await;
}

/// The other end of the connection.
struct Peer<S> {
    socket: WebSocketStream<S>,
    /// Something that it was told and has not taken yet, counted for as long.
    untaken: Option<Option<Waiting>>,
    /// Until when it has to.
    deadline: Option<Instant>,
    /// How often it has pinged meanwhile.
    pings: u32,
    /// It did not take it.
    is_deaf: bool,
}

enum Event {
    /// The peer took what it was told.
    Taken,
    Said(tungstenite::Message),
    BrokeOff,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Passes on what either end says until one is done.
    async fn converse(
        &mut self,
        side: Side,
        mut passed: mpsc::Receiver<Passed>,
        heard: mpsc::Sender<Heard>,
    ) {
        // What it said and was not heard yet: a message and, after it, that it broke off.
        let mut said = VecDeque::new();
        let mut is_over = false;
        loop {
            let reads = said.is_empty() && !is_over && !heard.is_closed();
            let deadline = self.deadline;
            tokio::select! {
                room = heard.reserve(), if !said.is_empty() => match room {
                    Ok(room) => {
                        if let Some(part) = said.pop_front() {
                            room.send((side, part));
                        }
                        if is_over && said.is_empty() {
                            // The answer to a closing handshake is queued.
                            return self.close(None).await;
                        }
                    }
                    Err(_) => {
                        said.clear();
                        self.hurry();
                    }
                },
                () = heard.closed(), if reads => self.hurry(),
                next = passed.recv(), if self.untaken.is_none() => match next {
                    Some(Passed::Message(message, waiting)) if !is_over => {
                        if !self.tell(message, waiting) {
                            is_over = true;
                            said.push_back(None);
                        } else if heard.is_closed() {
                            self.hurry();
                        }
                    }
                    Some(Passed::Message(..) | Passed::Data(..) | Passed::Trailers(_)) => {}
                    Some(Passed::Close(code, words)) => {
                        let reason = String::from(words).into();
                        let frame = CloseFrame { code: CloseCode::from(code), reason };
                        return self.close(Some(frame)).await;
                    }
                    Some(Passed::End) => return self.close(None).await,
                    // The other side is gone, or what it says is no WebSocket any more.
                    None => {
                        let code = match side {
                            Side::Client => CloseCode::Error,
                            Side::Upstream => CloseCode::Away,
                        };
                        return self.close(Some(CloseFrame { code, reason: "".into() })).await;
                    }
                },
                event = poll_fn(|cx| self.poll(cx, reads)) => {
                    let part = match event {
                        Event::Taken => continue,
                        Event::Said(tungstenite::Message::Text(text)) => {
                            Some(Part::Message(Message { is_text: true, data: Bytes::from(text) }))
                        }
                        Event::Said(tungstenite::Message::Binary(data)) => {
                            Some(Part::Message(Message { is_text: false, data }))
                        }
                        Event::Said(tungstenite::Message::Close(frame)) => {
                            // Its words are no message and are not passed on.
                            let code = frame.map_or(1000, |frame| u16::from(frame.code));
                            Some(Part::Close(code, "".into()))
                        }
                        Event::Said(_) => {
                            self.answer();
                            continue;
                        }
                        Event::BrokeOff => None,
                    };
                    is_over |= !matches!(part, Some(Part::Message(_)));
                    said.push_back(part);
                }
                () = until(deadline) => {
                    self.give_up();
                    self.is_deaf = true;
                    is_over = true;
                    said.push_back(None);
                }
            }
            if is_over && heard.is_closed() {
                return self.close(None).await;
            }
        }
    }

    /// Begins to tell it something; `false`: it broke off.
    fn tell(&mut self, message: Message, waiting: Waiting) -> bool {
        self.untaken = Some(Some(waiting));
        let begun = self.socket.start_send_unpin(framed(message));
        if begun.is_err() {
            self.give_up();
        }
        begun.is_ok()
    }

    /// It pinged, and the library has the answer ready. Whoever does not read the answers asks no
    /// more.
    fn answer(&mut self) {
        self.pings += 1;
        if self.untaken.is_none() || self.pings == PINGS_MAX {
            self.untaken.get_or_insert(None);
            self.deadline.get_or_insert(Instant::now() + FLUSH_TIMEOUT);
        }
    }

    /// Its exchange is over: nothing but what it is told last keeps the connection.
    fn hurry(&mut self) {
        self.deadline = Some(Instant::now() + FAREWELL_TIMEOUT);
    }

    fn give_up(&mut self) {
        self.untaken = None;
        self.deadline = None;
        self.pings = 0;
    }

    fn poll(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Event> {
        if self.untaken.is_some()
            && let Poll::Ready(taken) = self.socket.poll_flush_unpin(cx)
        {
            self.give_up();
            return Poll::Ready(if taken.is_ok() { Event::Taken } else { Event::BrokeOff });
        }
        if !reads || self.pings >= PINGS_MAX {
            return Poll::Pending;
        }
        self.socket.poll_next_unpin(cx).map(|said| match said {
            Some(Ok(message)) => Event::Said(message),
            Some(Err(_)) | None => Event::BrokeOff,
        })
    }

    /// Tells it that it is over, and why.
    async fn close(&mut self, frame: Option<CloseFrame>) {
        if self.is_deaf {
            return;
        }
        // It may be gone already.
        let _ = timeout(FLUSH_TIMEOUT, async {
            self.socket.flush().await?;
            self.socket.close(frame).await
        })
        .await;
    }

    /// A connection that is closed with bytes unread is reset, and the peer may lose what it was
    /// told last: they are read for a while.
    async fn see_off(&mut self) {
        if self.is_deaf {
            return;
        }
        let said = async {
            while let Ok(Some(Ok(_))) = timeout(LINGER_PAUSE, self.socket.next()).await {}
        };
        let _ = timeout(LINGER, said).await;
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn framed(message: Message) -> tungstenite::Message {
    if message.is_text {
        // What is called text and is none is sent as what it is.
        match tungstenite::Utf8Bytes::try_from(message.data.clone()) {
            Ok(text) => return tungstenite::Message::Text(text),
            Err(_) => return tungstenite::Message::Binary(message.data),
        }
    }
    tungstenite::Message::Binary(message.data)
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;

    type Client = WebSocketStream<DuplexStream>;

    /// A connection whose kernel keeps little, and what its exchange has of it.
    async fn connected() -> (Client, mpsc::Sender<Passed>, mpsc::Receiver<Heard>) {
        let (near, far) = tokio::io::duplex(1024);
        let (to_client, passed) = mpsc::channel(8);
        let (heard, said) = mpsc::channel(1);
        tokio::spawn(carry(Side::Client, near, passed, heard));
        (WebSocketStream::from_raw_socket(far, Role::Client, None).await, to_client, said)
    }

    fn message(text: String) -> Passed {
        Passed::message(Message { is_text: true, data: text.into() })
    }

    fn text(said: Option<Heard>) -> Option<Bytes> {
        match said {
            Some((_, Some(Part::Message(message)))) => Some(message.data),
            _ => None,
        }
    }

    #[tokio::test]
    async fn p9_a_peer_is_told_while_what_it_said_waits_to_be_heard() {
        let (mut client, to_client, mut said) = connected().await;
        for number in 0..3 {
            client.send(tungstenite::Message::text(format!("said {number}"))).await.unwrap();
        }
        for number in 0..20 {
            to_client.send(message(format!("told {number}"))).await.unwrap();
            let told = client.next().await.unwrap().unwrap();
            assert_eq!(told, tungstenite::Message::text(format!("told {number}")));
        }
        for number in 0..3 {
            assert_eq!(text(said.recv().await), Some(format!("said {number}").into()));
        }
    }

    #[tokio::test]
    async fn p9_a_peer_is_heard_while_it_does_not_take_what_it_is_told() {
        let (mut client, to_client, mut said) = connected().await;
        to_client.send(message("x".repeat(100_000))).await.unwrap();
        for number in 0..20 {
            client.send(tungstenite::Message::text(format!("said {number}"))).await.unwrap();
            assert_eq!(text(said.recv().await), Some(format!("said {number}").into()));
        }
        assert_eq!(client.next().await.unwrap().unwrap().len(), 100_000);
    }

    #[tokio::test]
    async fn what_is_passed_on_last_is_told_before_the_close() {
        let (mut client, to_client, said) = connected().await;
        // Unread, it would have the connection reset.
        client.send(tungstenite::Message::text("said")).await.unwrap();
        for number in 0..3 {
            to_client.send(message(format!("told {number}"))).await.unwrap();
        }
        to_client.send(Passed::Close(4000, "over".into())).await.unwrap();
        drop((to_client, said));
        for number in 0..3 {
            let told = client.next().await.unwrap().unwrap();
            assert_eq!(told, tungstenite::Message::text(format!("told {number}")));
        }
        let frame = CloseFrame { code: CloseCode::from(4000), reason: "over".into() };
        assert_eq!(client.next().await.unwrap().unwrap(), tungstenite::Message::Close(Some(frame)));
    }

    #[tokio::test]
    async fn p8_whoever_reads_no_answers_to_its_pings_is_not_read_for_ever() {
        let (mut client, to_client, _said) = connected().await;
        to_client.send(message("x".repeat(100_000))).await.unwrap();
        let pings = async {
            let mut count = 0_u32;
            loop {
                let ping = tungstenite::Message::Ping(vec![0; 100].into());
                client.feed(ping).await.unwrap();
                client.flush().await.unwrap();
                count += 1;
                assert!(count < PINGS_MAX + 64, "it goes on to be read");
            }
        };
        // The client cannot say more, and the task is not busy with it.
        tokio::select! {
            () = pings => {}
            () = async { for _ in 0..10_000 { tokio::task::yield_now().await } } => {}
        }
    }
}

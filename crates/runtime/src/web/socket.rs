//! A connection that changed to WebSocket (RFC 6455): frames become whole messages.
//!
//! A task of its own owns the connection. It answers pings, puts fragments together, takes at most
//! [`MESSAGE_BYTES_MAX`] for a message, and ends with the channel it is fed through. No extension
//! is agreed on: the request does not offer one.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use model::Side;
use model::exchange::{Message, Part};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::body::Passed;

/// Longest message, bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that wait for a peer that does not read: a message, and answers to pings.
const WRITE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 64 * 1024;
/// How long a peer may take no answers.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// What a side of a WebSocket did; `None`: it broke off.
pub(super) type Heard = (Side, Option<Part>);

/// Serves the connection of one side until either end is done.
pub(super) async fn serve(
    side: Side,
    upgrade: OnUpgrade,
    mut passed: mpsc::Receiver<Passed>,
    heard: mpsc::Sender<Heard>,
) {
    let Ok(upgraded) = upgrade.await else {
        // Nobody listens any more when this fails.
        let _ = heard.send((side, None)).await;
        return;
    };
    let role = match side {
        Side::Client => Role::Server,
        Side::Upstream => Role::Client,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .max_write_buffer_size(WRITE_BYTES_MAX);
    let stream = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(stream, role, Some(config)).await;
    loop {
        tokio::select! {
            passed = passed.recv() => {
                let sent = match passed {
                    Some(Passed::Message(message, waiting)) => {
                        let sent = socket.send(framed(message)).await;
                        drop(waiting);
                        sent
                    }
                    Some(Passed::Close(code, words)) => {
                        let reason = String::from(words).into();
                        let frame = CloseFrame { code: CloseCode::from(code), reason };
                        let _ = socket.close(Some(frame)).await;
                        return;
                    }
                    Some(Passed::Data(..) | Passed::Trailers(_)) => Ok(()),
                    Some(Passed::End) | None => {
                        let _ = socket.close(None).await;
                        return;
                    }
                };
                if sent.is_err() {
                    let _ = heard.send((side, None)).await;
                    return;
                }
            }
            message = socket.next() => {
                let part = match message {
                    Some(Ok(tungstenite::Message::Text(text))) => {
                        Some(Part::Message(Message { is_text: true, data: Bytes::from(text) }))
                    }
                    Some(Ok(tungstenite::Message::Binary(data))) => {
                        Some(Part::Message(Message { is_text: false, data }))
                    }
                    Some(Ok(tungstenite::Message::Close(frame))) => {
                        // Its words are no message and are not passed on.
                        let code = frame.map_or(1000, |frame| u16::from(frame.code));
                        Some(Part::Close(code, "".into()))
                    }
                    // Answered by the library. Whoever does not read the answers asks no more.
                    Some(Ok(_)) => match timeout(FLUSH_TIMEOUT, socket.flush()).await {
                        Ok(Ok(())) => continue,
                        _ => None,
                    },
                    Some(Err(_)) | None => None,
                };
                let over = !matches!(part, Some(Part::Message(_)));
                if heard.send((side, part)).await.is_err() || over {
                    // The answer to a closing handshake is queued; the peer may be gone already.
                    let _ = socket.flush().await;
                    let _ = socket.close(None).await;
                    return;
                }
            }
        }
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

//! Connections whose bytes pass as they are: both ends of a tunnel that is not opened.
//!
//! Each end is a task of its own, with a bounded channel in either direction. It ends when both
//! directions have, or when the exchange that it belongs to lets go of it.

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use model::Side;
use model::exchange::Part;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::mpsc;

use super::body::Passed;
use super::socket::Heard;

/// Most of it that is read at once, bytes.
const PIECE_BYTES: usize = 32 * 1024;

/// A client's connection, once its exchange may have it.
pub(super) enum Bare {
    /// When the answer that grants it was sent.
    Upgrade(OnUpgrade),
    /// Until somebody else takes it.
    Stream(Arc<Mutex<Option<Box<dyn Duplex>>>>),
}

/// A stream that is read and written.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Marks the answer that grants a tunnel which its exchange carries itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unopened;

impl Bare {
    /// Carries it.
    pub async fn carry(self, passed: mpsc::Receiver<Passed>, heard: mpsc::Sender<Heard>) {
        match self {
            Self::Stream(slot) => {
                let stream = slot.lock().take();
                if let Some(stream) = stream {
                    carry(Side::Client, stream, passed, heard).await;
                }
            }
            Self::Upgrade(upgrade) => match upgrade.await {
                Ok(upgraded) => {
                    carry(Side::Client, TokioIo::new(upgraded), passed, heard).await;
                }
                // Nobody listens any more when this fails.
                Err(_) => drop(heard.send((Side::Client, None)).await),
            },
        }
    }
}

/// Passes bytes between one end and its exchange.
pub(super) async fn carry<S: AsyncRead + AsyncWrite>(
    side: Side,
    stream: S,
    mut passed: mpsc::Receiver<Passed>,
    heard: mpsc::Sender<Heard>,
) {
    let (mut reader, mut writer) = split(stream);
    let hear = async {
        let mut piece = BytesMut::new();
        loop {
            piece.reserve(PIECE_BYTES);
            let said = match reader.read_buf(&mut (&mut piece).limit(PIECE_BYTES)).await {
                Ok(0) => Some(Part::End),
                Ok(_) => Some(Part::Raw(piece.split().freeze())),
                Err(_) => None,
            };
            let over = !matches!(said, Some(Part::Raw(_)));
            if heard.send((side, said)).await.is_err() || over {
                return;
            }
        }
    };
    // The receiver outlives the writing: that it is gone says that the connection is.
    let passed = &mut passed;
    let say = async {
        loop {
            let written = match passed.recv().await {
                Some(Passed::Data(bytes, _)) => writer.write_all(&bytes).await,
                Some(Passed::End) => {
                    let _ = writer.shutdown().await;
                    return true;
                }
                Some(_) => Ok(()),
                // The exchange let go of it.
                None => return false,
            };
            if written.is_err() {
                let _ = heard.send((side, None)).await;
                return false;
            }
        }
    };
    tokio::pin!(hear, say);
    tokio::select! {
        complete = &mut say => if complete { hear.await },
        () = &mut hear => drop(say.await),
    }
}

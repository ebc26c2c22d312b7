//! Bodies that come from the engine, frame by frame.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use model::exchange::{Length, Message};
use tokio::sync::mpsc;

use super::listen::HEAD_BYTES_MAX;
use crate::transport::{COPIED_BYTES_MAX, Waiting, is_crowded, is_filling};

/// Most that the library reads at once: its buffer doubles once it is past what it may have.
const READ_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// Frames that wait between an exchange and a connection.
pub(super) const FRAMES_MAX: usize = 8;

/// What an exchange passes on. What takes memory is counted for as long as it waits.
pub(crate) enum Passed {
    Data(Bytes, Waiting),
    Trailers(Box<HeaderMap>),
    /// The body is complete.
    End,
    /// To a WebSocket: a message.
    Message(Message, Waiting),
    /// To a WebSocket: the end, and why.
    Close(u16, Box<str>),
}

impl Passed {
    /// Part of a body. However short, it can keep all that was read with it from being freed: it
    /// counts for so much, or is copied out, and where much waits everywhere it always is.
    pub fn data(bytes: Bytes) -> Self {
        let is_copied = bytes.len() <= COPIED_BYTES_MAX || is_filling();
        let kept = if is_copied { bytes.len() } else { bytes.len().max(READ_BYTES_MAX) };
        let bytes = if is_copied { Bytes::copy_from_slice(&bytes) } else { bytes };
        Self::Data(bytes, Waiting::new(kept))
    }

    pub fn message(message: Message) -> Self {
        let waiting = Waiting::new(message.data.len());
        Self::Message(message, waiting)
    }
}

/// Frames that may wait for a peer in each place: fewer the more waits everywhere, and only one
/// where many peers do not take what is theirs (P8).
fn frames_max() -> usize {
    match (is_crowded(), is_filling()) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => FRAMES_MAX,
    }
}

/// Whether more may be added to what an exchange has for a peer.
pub(super) fn has_room(waiting: &VecDeque<Passed>) -> bool {
    waiting.len() < frames_max()
}

/// Passes the first of `waiting` on, when fewer are left of what was passed on earlier than may
/// wait; `false` when nobody takes it.
pub(super) async fn pass(to: &mpsc::Sender<Passed>, waiting: &mut VecDeque<Passed>) -> bool {
    let room = to.max_capacity().saturating_sub(frames_max() - 1).max(1);
    let Ok(mut room) = to.reserve_many(room).await else { return false };
    if let Some(room) = room.next()
        && let Some(first) = waiting.pop_front()
    {
        room.send(first);
    }
    true
}

/// The body was not carried to its end.
#[derive(Debug, thiserror::Error)]
#[error("the gateway did not pass on the rest")]
pub(crate) struct CutOff;

/// A body whose frames come from an exchange. One that ends without `End` is cut off: the peer must
/// not take it for complete.
pub(crate) struct PassedBody {
    frames: Frames,
    length: Length,
    done: bool,
}

enum Frames {
    /// Those that are there are all there will be.
    All(VecDeque<Passed>),
    Coming(mpsc::Receiver<Passed>),
}

/// What an upstream is sent.
pub(crate) type RequestBody = PassedBody;
/// What a client is sent.
pub(crate) type ReplyBody = PassedBody;

impl PassedBody {
    /// A body that comes bit by bit.
    pub fn coming(length: Length) -> (mpsc::Sender<Passed>, Self) {
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        let frames = Frames::Coming(frames);
        (sender, Self { frames, length, done: length == Length::Empty })
    }

    /// A body that is there.
    pub fn all(frames: VecDeque<Passed>, length: Length) -> Self {
        Self { frames: Frames::All(frames), length, done: length == Length::Empty }
    }
}

impl Body for PassedBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let next = match &mut self.frames {
            Frames::All(frames) => frames.pop_front(),
            Frames::Coming(frames) => std::task::ready!(frames.poll_recv(cx)),
        };
        match next {
            Some(Passed::Data(bytes, waiting)) => {
                // The connection has it, which takes no more than it has room for.
                drop(waiting);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Passed::Trailers(fields)) => Poll::Ready(Some(Ok(Frame::trailers(*fields)))),
            Some(Passed::End | Passed::Message(..) | Passed::Close(..)) => {
                self.done = true;
                Poll::Ready(None)
            }
            None => {
                self.done = true;
                Poll::Ready(Some(Err(CutOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let ends = |frames: &VecDeque<Passed>| matches!(frames.front(), Some(Passed::End));
        self.done || matches!(&self.frames, Frames::All(frames) if ends(frames))
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Length::Empty => SizeHint::with_exact(0),
            Length::Known(_) | Length::Unknown => SizeHint::default(),
        }
    }
}

/// What a head says of the body, when the library that framed it knows no more.
pub(super) fn length<B: Body<Error = E>, E: std::error::Error>(body: &B) -> Length {
    if body.is_end_stream() {
        return Length::Empty;
    }
    match body.size_hint().exact() {
        Some(bytes) => Length::Known(bytes),
        None => Length::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::transport::QUEUED_BYTES_MAX;

    #[test]
    fn p8_a_short_frame_does_not_keep_what_was_read_with_it() {
        let read = Bytes::from(vec![0; HEAD_BYTES_MAX]);
        let short = Passed::data(read.slice(..COPIED_BYTES_MAX));
        let long = Passed::data(read.slice(..=COPIED_BYTES_MAX));
        let shares = |passed: &Passed| match passed {
            Passed::Data(bytes, _) => bytes.as_ptr() == read.as_ptr(),
            _ => unreachable!("it is data"),
        };
        assert!(!shares(&short) && shares(&long));
        let _filled = Waiting::new(QUEUED_BYTES_MAX / 2);
        assert!(!shares(&Passed::data(read.slice(..=COPIED_BYTES_MAX))));
    }

    #[test]
    fn p8_where_much_waits_a_peer_that_takes_nothing_gets_one_frame_and_no_more_is_read_for_it() {
        let frame = || Passed::data(Bytes::from_static(b"x"));
        let (to, mut taken) = mpsc::channel(FRAMES_MAX);
        let mut waiting = VecDeque::from([frame(), frame()]);
        let passes = |waiting: &mut _| pass(&to, waiting).now_or_never();
        assert!(has_room(&waiting));
        let crowd = Waiting::new(1 << 40);
        assert!(!has_room(&waiting) && has_room(&VecDeque::new()));
        assert_eq!(passes(&mut waiting), Some(true), "the first");
        assert_eq!(passes(&mut waiting), None, "not before it was taken");
        assert!(matches!(taken.try_recv(), Ok(Passed::Data(..))));
        assert_eq!(passes(&mut waiting), Some(true));
        drop(crowd);
        let filled = Waiting::new(QUEUED_BYTES_MAX / 2);
        waiting.extend([frame(), frame()]);
        assert!(!has_room(&waiting), "two");
        let passed: Vec<_> = (0..2).map(|_| passes(&mut waiting)).collect();
        assert_eq!(passed, [Some(true), None], "two with the one that is there");
        drop(filled);
        waiting.push_back(frame());
        assert!(has_room(&waiting));
        assert_eq!(passes(&mut waiting), Some(true), "a few, where little waits");
        drop(taken);
        assert_eq!(passes(&mut waiting), Some(false), "nobody takes it");
    }
}

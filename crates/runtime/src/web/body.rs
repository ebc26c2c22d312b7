//! Bodies that come from the engine, frame by frame.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use model::exchange::{Length, Message};
use tokio::sync::mpsc;

/// Frames that wait between an exchange and a connection.
pub(super) const FRAMES_MAX: usize = 8;

/// What an exchange passes on.
pub(crate) enum Passed {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
    /// The body is complete.
    End,
    /// To a WebSocket: a message.
    Message(Message),
    /// To a WebSocket: the end, and why.
    Close(u16, Box<str>),
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
            Some(Passed::Data(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Passed::Trailers(fields)) => Poll::Ready(Some(Ok(Frame::trailers(*fields)))),
            Some(Passed::End | Passed::Message(_) | Passed::Close(..)) => {
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

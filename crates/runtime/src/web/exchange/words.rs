//! What the client is told.

use engine::Happening;
use http::{Response, StatusCode};
use model::Side;
use model::exchange::Part;

use super::{Exchange, NotAnswered};
use crate::web::bare::Unopened;
use crate::web::body::{Passed, PassedBody};
use crate::web::echo::Shown;

impl Exchange {
    pub(super) fn say(&mut self, part: Part) {
        match part {
            Part::Reply(reply) => {
                let changes = reply.status == StatusCode::SWITCHING_PROTOCOLS;
                self.reply = Some(reply);
                if changes || self.passed_on.is_reached() {
                    self.begin_reply();
                    if changes && self.client.is_some() {
                        self.change();
                    }
                }
            }
            Part::Data(bytes) => self.say_data(bytes),
            Part::Last(bytes) => {
                self.say_data(bytes);
                self.say(Part::End);
            }
            Part::Trailers(fields) if self.echo.is_in_fields(&fields) => self.shown(),
            Part::Trailers(fields) => {
                self.say_rest();
                self.to_client.push_back(Passed::Trailers(fields));
            }
            Part::End => {
                self.say_rest();
                self.to_client.push_back(Passed::End);
            }
            Part::Message(message) if self.echo.is_in(&message.data) => self.shown(),
            Part::Message(message) => self.to_client.push_back(Passed::message(message)),
            Part::Close(code, words) => self.to_client.push_back(Passed::Close(code, words)),
            Part::Raw(bytes) => self.to_client.push_back(Passed::data(bytes)),
            Part::Request(_) => {}
        }
    }

    /// Lets the head go, with the body where all of it is there.
    pub(super) fn begin_reply(&mut self) {
        let Some(reply) = self.reply.take() else { return };
        let Some(head) = self.head.take() else { return };
        let whole = matches!(self.to_client.back(), Some(Passed::End));
        let (sender, body) = if whole {
            (None, PassedBody::all(std::mem::take(&mut self.to_client), reply.body))
        } else {
            let (sender, body) = PassedBody::coming(reply.body);
            (Some(sender), body)
        };
        let mut response = Response::new(body);
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.fields;
        let tunnel = self.passed_on.stream();
        if tunnel.is_some() {
            response.extensions_mut().insert(Unopened);
        }
        self.client = sender;
        if head.send(response).is_err() || whole && !self.closing {
            // The client is gone, or has all that it gets.
            self.client = None;
            self.work.push_back(Happening::Closed(Side::Client));
        } else if let Some(stream) = tunnel {
            self.join(stream);
        }
    }

    fn say_data(&mut self, bytes: bytes::Bytes) {
        match self.echo.pass(bytes) {
            Ok(piece) if piece.is_empty() => {}
            Ok(piece) => self.to_client.push_back(Passed::data(piece)),
            Err(Shown) => self.shown(),
        }
    }

    fn say_rest(&mut self) {
        let rest = self.echo.rest();
        if !rest.is_empty() {
            self.to_client.push_back(Passed::data(rest));
        }
    }

    /// The gateway's credential stands in the reply: it ends here.
    fn shown(&mut self) {
        self.begin_reply();
        self.not_answered(&NotAnswered::Echoed);
        self.client = None;
        self.to_client.clear();
        self.answer = None;
    }
}

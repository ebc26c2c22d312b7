//! What the client is told.

use engine::Happening;
use http::{Response, StatusCode};
use model::Side;
use model::exchange::Part;

use super::{Exchange, NotAnswered};
use crate::web::bare::Unopened;
use crate::web::body::{ChannelBody, Passed};
use crate::web::echo::Shown;

impl Exchange {
    pub(super) fn say(&mut self, part: Part) {
        match part {
            Part::Reply(reply) => {
                let changes = reply.status == StatusCode::SWITCHING_PROTOCOLS;
                let (sender, body) = ChannelBody::new(reply.body);
                let mut response = Response::new(body);
                *response.status_mut() = reply.status;
                *response.headers_mut() = reply.fields;
                let Some(head) = self.head.take() else { return };
                let tunnel = self.passed_on.stream();
                if tunnel.is_some() {
                    response.extensions_mut().insert(Unopened);
                }
                if head.send(response).is_ok() {
                    self.client = Some(sender);
                    if let Some(stream) = tunnel {
                        self.join(stream);
                    }
                    if changes {
                        self.change();
                    }
                } else {
                    self.work.push_back(Happening::Closed(Side::Client));
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
                self.to_client.push_back(Passed::Trailers(*fields));
            }
            Part::End => {
                self.say_rest();
                self.to_client.push_back(Passed::End);
            }
            Part::Message(message) if self.echo.is_in(&message.data) => self.shown(),
            Part::Message(message) => self.to_client.push_back(Passed::Message(message)),
            Part::Close(code, words) => self.to_client.push_back(Passed::Close(code, words)),
            Part::Raw(bytes) => self.to_client.push_back(Passed::Data(bytes)),
            Part::Request(_) => {}
        }
    }

    fn say_data(&mut self, bytes: bytes::Bytes) {
        match self.echo.pass(bytes) {
            Ok(piece) if piece.is_empty() => {}
            Ok(piece) => self.to_client.push_back(Passed::Data(piece)),
            Err(Shown) => self.shown(),
        }
    }

    fn say_rest(&mut self) {
        let rest = self.echo.rest();
        if !rest.is_empty() {
            self.to_client.push_back(Passed::Data(rest));
        }
    }

    /// The gateway's credential stands in the reply: it ends here.
    fn shown(&mut self) {
        self.not_answered(&NotAnswered::Echoed);
        self.client = None;
        self.to_client.clear();
        self.answer = None;
    }
}

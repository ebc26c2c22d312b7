//! What the upstream is asked, and how its answer begins.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::Happening;
use http::header::UPGRADE;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use model::Side;
use model::exchange::{Door, Length, Part, Reply, Request, Scheme};
use tokio::sync::mpsc;

use super::beside::remove_own;
use super::tunnel::seated;
use super::{ANSWER_TIMEOUT, Exchange, NotAnswered};
use crate::clock;
use crate::timers::Alarm;
use crate::web::answer::why;
use crate::web::bare::Bare;
use crate::web::body::{FRAMES_MAX, Passed, PassedBody, length};
use crate::web::echo::Echo;
use crate::web::site::Spoken;
use crate::web::socket;

impl Exchange {
    pub(super) fn forward(&mut self, part: Part) {
        match part {
            Part::Request(request) if request.method == Method::CONNECT => self.dial(&request),
            Part::Request(request) => self.call(*request),
            Part::Data(bytes) => {
                self.held.give(bytes.len());
                self.to_upstream.push_back(Passed::data(bytes));
            }
            Part::Last(bytes) => {
                self.to_upstream.extend([Passed::data(bytes), Passed::End]);
            }
            Part::Trailers(mut fields) => {
                // None of them may stand for a field that carries the gateway's credential.
                remove_own(&mut fields, &self.own_fields);
                self.to_upstream.push_back(Passed::Trailers(fields));
            }
            Part::Raw(bytes) => {
                // Its first words were read and found right.
                self.stirred();
                self.to_upstream.push_back(Passed::data(bytes));
            }
            Part::End if self.passed_on.is_joined() => self.to_upstream.push_back(Passed::End),
            Part::End => {
                // It has the request in full.
                self.timers.set(Alarm::Connect, clock::now().plus(ANSWER_TIMEOUT));
                self.to_upstream.push_back(Passed::End);
            }
            Part::Message(message) => self.to_upstream.push_back(Passed::message(message)),
            Part::Close(code, words) => self.to_upstream.push_back(Passed::Close(code, words)),
            Part::Reply(_) => {}
        }
        if self.upstream.is_none() {
            // It has no body, or the upstream wants none of it.
            self.to_upstream.clear();
        }
    }

    fn call(&mut self, request: Request) {
        let Some(stay) = &self.stay else { return };
        let site = Arc::clone(&stay.site);
        self.head_only = request.method == Method::HEAD;
        let own = site.fields(request.scheme, &request.authority);
        self.own_fields = own.map(|(name, _)| name.clone()).collect();
        let own = self.own_fields.clone();
        self.sent = true;
        self.timers.clear(Alarm::Identify);
        if self.in_parts.is_none() {
            self.held.give_back();
        }
        let spoken = match (request.fields.contains_key(UPGRADE), request.scheme) {
            (true, _) => Spoken::One,
            (false, Scheme::Http) if self.prior => Spoken::Two,
            (false, _) => Spoken::Agreed,
        };
        let body = if request.body == Length::Empty {
            self.timers.set(Alarm::Connect, clock::now().plus(ANSWER_TIMEOUT));
            PassedBody::all(VecDeque::new(), request.body)
        } else {
            let (sender, body) = PassedBody::coming(request.body);
            self.upstream = Some(sender);
            body
        };
        self.call = Some(Box::pin(async move {
            let client = site.client(spoken)?;
            let Request { method, scheme, authority, target, fields, .. } = request;
            let credential = site.headers(scheme, &authority).await?;
            let uri = Uri::builder()
                .scheme(scheme.as_str())
                .authority(&*authority)
                .path_and_query(&*target)
                .build()?;
            let mut upstream = http::Request::builder().method(method).uri(uri).body(body)?;
            *upstream.headers_mut() = fields;
            let echo = Echo::of(&credential);
            if !credential.is_empty() {
                // Where the host shows what it got, that has to be seen.
                let readable = HeaderValue::from_static("identity");
                upstream.headers_mut().insert(http::header::ACCEPT_ENCODING, readable);
                remove_own(upstream.headers_mut(), &own);
            }
            for (name, value) in credential {
                upstream.headers_mut().insert(name, value);
            }
            let answered = client.request(upstream).await;
            Ok((answered.map_err(why)?, echo))
        }));
    }

    /// Both sides agreed to speak WebSocket from here on.
    pub(super) fn change(&mut self) {
        let (Some(client), Some(upstream)) =
            (self.client_socket.take(), self.upstream_socket.take())
        else {
            return;
        };
        let Bare::Upgrade(client) = client else { return };
        let ends = [(Side::Client, client), (Side::Upstream, upstream)];
        let [client, upstream] = ends.map(|(side, upgrade)| {
            // A message can be long, and those that wait here are counted nowhere.
            let (heard, said) = mpsc::channel(1);
            let (sender, passed) = mpsc::channel(FRAMES_MAX);
            tokio::spawn(seated(
                Arc::clone(&self.seat),
                socket::serve(side, upgrade, passed, heard),
            ));
            (sender, said)
        });
        (self.client, self.upstream) = (Some(client.0), Some(upstream.0));
        self.passed_on.listen(client.1, upstream.1);
    }

    pub(super) fn answered(&mut self, mut response: Response<Incoming>, echo: Echo) {
        if echo.is_in_fields(response.headers()) {
            return self.not_answered(&NotAnswered::Echoed);
        }
        self.intake = echo.clone();
        self.echo = echo;
        let changes = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if changes {
            self.upstream_socket = Some(hyper::upgrade::on(&mut response));
        }
        let (head, body) = response.into_parts();
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
        let length =
            if self.head_only || bodiless || changes { Length::Empty } else { length(&body) };
        let reply = Reply {
            status: head.status,
            fields: head.headers,
            body: length,
            recorded: bytes::Bytes::new(),
        };
        let part = Part::Reply(Box::new(reply));
        self.work.push_back(Happening::Data(Side::Upstream, part));
        if changes {
            // What follows are messages.
        } else if length == Length::Empty {
            self.work.push_back(Happening::Data(Side::Upstream, Part::End));
        } else {
            self.answer = Some(body);
        }
    }

    pub(super) fn not_answered(&mut self, error: &NotAnswered) {
        let refusal = error.refusal();
        self.gateway.counters.upstream_errors.add(refusal.reason());
        let resource = self.stay.as_ref().map(|stay| &*stay.site.plan.resource.name);
        tracing::warn!(resource, session = self.session(), %error, "an upstream cannot be used");
        self.upstream = None;
        self.to_upstream.clear();
        self.work.push_back(Happening::Unreachable(refusal));
    }
}

/// Whether the client says, by how it asks, that the upstream speaks HTTP/2 in clear text: it does
/// so itself in a tunnel that it has to the upstream, or it calls by gRPC, which is HTTP/2 alone.
pub(super) fn knows(head: &Request) -> bool {
    let opened = matches!(&head.door, Door::Tunnel(tunnel) if !tunnel.tls);
    head.is_call() || (opened && head.version == http::Version::HTTP_2)
}

//! Stopping what a backend runs: a `CancelRequest` on a connection of its own.
//!
//! The server never answers it; whether the statement ended is seen on the session's connection.
//! PostgreSQL 17, "Message Flow", section "Canceling Requests in Progress".

use bytes::{BufMut, Bytes, BytesMut};
use engine::{Errand, ErrandAct, ErrandInput, ErrandOutbox, Fault};
use model::UpstreamTls;

use crate::login::{BackendKey, LoginError, is_tls_first, ssl_request, tls_answer};
use crate::message::write_untagged;

const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;

/// The errand.
pub struct Cancel {
    key: BackendKey,
    state: State,
}

/// Named for what it waits for.
enum State {
    Transport,
    TlsAnswer,
    Handshake,
    Nothing,
}

impl Cancel {
    /// Cancels what the backend with this key runs, if it still runs anything.
    #[must_use]
    pub fn new(key: BackendKey) -> Self {
        Self { key, state: State::Transport }
    }

    fn request(&mut self, out: &mut ErrandOutbox<Bytes>) {
        self.state = State::Nothing;
        // A server that gave no key offers no way to cancel.
        if !self.key.secret.expose().is_empty() {
            let mut request = BytesMut::new();
            write_untagged(&mut request, |request| {
                request.put_u32(CANCEL_REQUEST);
                request.put_u32(self.key.pid);
                request.put_slice(self.key.secret.expose());
            });
            out.push(ErrandAct::Send(request.freeze()));
        }
        out.push(ErrandAct::Done);
    }

    fn failed(&mut self, error: LoginError, out: &mut ErrandOutbox<Bytes>) {
        self.state = State::Nothing;
        let what = "the server could not be asked to cancel";
        out.push(ErrandAct::Failed(what, Some(error.detail)));
    }
}

impl Errand<Bytes> for Cancel {
    fn handle(
        &mut self,
        input: ErrandInput<Bytes>,
        out: &mut ErrandOutbox<Bytes>,
    ) -> Result<(), Fault> {
        match (&self.state, input) {
            (State::Transport, ErrandInput::Connected(connected)) => {
                if connected.tls == UpstreamTls::Off {
                    self.request(out);
                } else if is_tls_first(&connected) {
                    self.state = State::Handshake;
                    out.push(ErrandAct::StartTls);
                } else {
                    self.state = State::TlsAnswer;
                    out.push(ErrandAct::Send(ssl_request()));
                }
            }
            (State::TlsAnswer, ErrandInput::Data(bytes)) => match tls_answer(&bytes) {
                Ok(()) => {
                    self.state = State::Handshake;
                    out.push(ErrandAct::StartTls);
                }
                Err(error) => self.failed(error, out),
            },
            (State::Handshake, ErrandInput::TlsStarted(_)) => self.request(out),
            (State::Handshake, ErrandInput::Data(_)) => {
                self.state = State::Nothing;
                return Err(Fault::upstream("bytes before the TLS handshake"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use engine::TlsFacts;
    use model::Secret;

    use super::*;
    use crate::login::tests::{connected, connected_directly, credential};

    fn cancel(secret: &[u8]) -> Cancel {
        Cancel::new(BackendKey { pid: 0x0102_0304, secret: Secret::new(secret.to_vec()) })
    }

    fn feed(errand: &mut Cancel, input: ErrandInput<Bytes>) -> Vec<ErrandAct<Bytes>> {
        let mut out = ErrandOutbox::default();
        errand.handle(input, &mut out).unwrap();
        out.take()
    }

    fn open(errand: &mut Cancel, tls: UpstreamTls) -> Vec<ErrandAct<Bytes>> {
        feed(errand, ErrandInput::Connected(connected(credential("u", None), tls)))
    }

    #[test]
    fn the_key_is_sent_and_the_errand_is_over() {
        let mut errand = cancel(&[9, 8, 7, 6]);
        let acts = open(&mut errand, UpstreamTls::Off);
        let [ErrandAct::Send(request), ErrandAct::Done] = acts.as_slice() else { panic!() };
        assert_eq!(request[..], [0, 0, 0, 16, 4, 210, 22, 46, 1, 2, 3, 4, 9, 8, 7, 6]);
        assert!(feed(&mut errand, ErrandInput::Probe).is_empty());
    }

    #[test]
    fn a_key_of_protocol_3_2_is_sent_whole() {
        let acts = open(&mut cancel(&[1; 256]), UpstreamTls::Off);
        let [ErrandAct::Send(request), ErrandAct::Done] = acts.as_slice() else { panic!() };
        assert_eq!(request.len(), 12 + 256);
        assert_eq!(request[..4], [0, 0, 1, 12]);
    }

    #[test]
    fn without_a_key_nothing_is_sent() {
        let acts = open(&mut cancel(&[]), UpstreamTls::Off);
        assert!(matches!(acts.as_slice(), [ErrandAct::Done]));
    }

    #[test]
    fn the_handshake_comes_first_where_the_server_takes_it() {
        let mut errand = cancel(&[9, 8, 7, 6]);
        let connected = connected_directly(UpstreamTls::VerifyFull);
        let acts = feed(&mut errand, ErrandInput::Connected(connected));
        assert!(matches!(acts.as_slice(), [ErrandAct::StartTls]));
        let acts = feed(&mut errand, ErrandInput::TlsStarted(TlsFacts::default()));
        assert!(matches!(acts.as_slice(), [ErrandAct::Send(_), ErrandAct::Done]));
    }

    #[test]
    fn p7_the_key_crosses_the_network_only_inside_tls() {
        let mut errand = cancel(&[9, 8, 7, 6]);
        let acts = open(&mut errand, UpstreamTls::VerifyFull);
        let [ErrandAct::Send(request)] = acts.as_slice() else { panic!() };
        assert_eq!(request[..], [0, 0, 0, 8, 4, 210, 22, 47]);
        let acts = feed(&mut errand, ErrandInput::Data(Bytes::from_static(b"S")));
        assert!(matches!(acts.as_slice(), [ErrandAct::StartTls]));
        let acts = feed(&mut errand, ErrandInput::TlsStarted(TlsFacts::default()));
        assert!(matches!(acts.as_slice(), [ErrandAct::Send(_), ErrandAct::Done]));
    }

    #[test]
    fn there_is_no_falling_back_to_clear_text() {
        for answer in [&b"N"[..], b"E", b"S!"] {
            let mut errand = cancel(&[9, 8, 7, 6]);
            open(&mut errand, UpstreamTls::Require);
            let acts = feed(&mut errand, ErrandInput::Data(Bytes::copy_from_slice(answer)));
            assert!(matches!(acts.as_slice(), [ErrandAct::Failed(..)]), "{answer:?}");
        }
        let mut errand = cancel(&[9, 8, 7, 6]);
        open(&mut errand, UpstreamTls::Require);
        feed(&mut errand, ErrandInput::Data(Bytes::from_static(b"S")));
        let mut out = ErrandOutbox::default();
        let early = ErrandInput::Data(Bytes::from_static(b"early"));
        assert!(errand.handle(early, &mut out).is_err());
        assert!(out.take().is_empty());
    }
}

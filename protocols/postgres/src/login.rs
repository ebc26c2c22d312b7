//! Logging in to a server with the gateway's own credential: the upstream half of a start-up.
//!
//! Pure: what the server sent goes in, what to send goes out. Never falls back to clear text, never
//! takes a server's word for its proof (SCRAM's final message is verified), and refuses methods it
//! does not know. PostgreSQL 17, "Message Flow", sections "Start-up", "SSL Session Encryption" and
//! "SASL Authentication".

mod binding;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use engine::{Connected, Fault, TlsFacts};
use model::limit::{LOGIN_BYTES_MAX, LOGIN_MESSAGE_BYTES_MAX};
use model::{Credential, Secret, Side, UpstreamTls};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};

use crate::message::{Frame, Inbox, Reader, message, put_cstr, write_untagged};
use crate::startup::VERSION_3_0;

/// Longest cancel key of protocol 3.2, bytes.
const KEY_BYTES_MAX: usize = 256;
/// Characters of a server's error kept for the operator's log.
const DETAIL_CHARS_MAX: usize = 500;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;

/// What to do next.
pub enum Step {
    /// Send this to the server. May hold a password: never log it.
    Send(Bytes),
    /// Start TLS, then say so with [`Login::tls_started`].
    StartTls,
    /// We are in.
    Ready(LoggedIn),
    /// Nothing until the server says more.
    Wait,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Self::StartTls => f.write_str("StartTls"),
            Self::Ready(logged_in) => write!(f, "Ready({logged_in:?})"),
            Self::Wait => f.write_str("Wait"),
        }
    }
}

/// What the server said while it let us in.
#[derive(Debug)]
pub struct LoggedIn {
    /// Settings reported, in order.
    pub parameters: Vec<(String, String)>,
    /// Names our backend in a cancel request.
    pub key: BackendKey,
    /// Transaction status of the first `ReadyForQuery`.
    pub status: u8,
    /// Bytes after it.
    pub rest: Bytes,
}

/// What cancels the work of a backend.
#[derive(Clone, Debug)]
pub struct BackendKey {
    /// Process id.
    pub pid: u32,
    /// 4 bytes in protocol 3.0, up to 256 in 3.2; empty when the server sent none (some poolers do
    /// not), and then nothing can be cancelled.
    pub secret: Secret<Vec<u8>>,
}

/// Why a login failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoginError {
    /// `credential`, `unknown_database`, `too_many_connections`, `upstream_tls` (the server has no
    /// TLS and the resource requires it), `upstream_protocol` (it broke the protocol) or
    /// `upstream_error`.
    pub reason: &'static str,
    /// For the operator's log only (P7): it may hold the server's own words.
    pub detail: String,
}

impl LoginError {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl From<Fault> for LoginError {
    fn from(fault: Fault) -> Self {
        Self::new("upstream_protocol", fault.what)
    }
}

/// One login, from the open transport to the first `ReadyForQuery`.
pub struct Login {
    credential: Arc<Credential>,
    tls: UpstreamTls,
    /// The handshake comes first, without asking for TLS.
    tls_first: bool,
    parameters: Vec<(String, String)>,
    encrypted: bool,
    /// `tls-server-end-point` of the server's certificate, where it is defined.
    end_point: Option<Vec<u8>>,
    inbox: Inbox,
    read_bytes: usize,
    state: State,
}

/// Named for what it waits for.
enum State {
    Start,
    TlsAnswer,
    Handshake,
    AuthenticationRequest,
    ScramContinue(ScramSha256),
    ScramFinal(ScramSha256),
    AuthenticationOk,
    ReadyForQuery { parameters: Vec<(String, String)>, key: Option<BackendKey> },
    Nothing,
}

impl Login {
    /// A login with the credential of an upstream. `parameters` are further start-up parameters
    /// (`application_name`, `client_encoding`, …); those that name the account, the database,
    /// replication or a protocol option are left out, because they are not the caller's to choose.
    #[must_use]
    pub fn new(connected: &Connected, parameters: Vec<(String, String)>) -> Self {
        Self {
            credential: Arc::clone(&connected.credential),
            tls: connected.tls,
            tls_first: is_tls_first(connected),
            parameters,
            encrypted: false,
            end_point: None,
            inbox: Inbox::default(),
            read_bytes: 0,
            state: State::Start,
        }
    }

    /// Opens the conversation. Once.
    pub fn start(&mut self) -> Step {
        if !matches!(self.state, State::Start) {
            return Step::Wait;
        }
        if self.tls == UpstreamTls::Off {
            return self.start_up();
        }
        if self.tls_first {
            self.state = State::Handshake;
            return Step::StartTls;
        }
        self.state = State::TlsAnswer;
        Step::Send(ssl_request())
    }

    /// TLS is on.
    ///
    /// # Errors
    /// Nobody asked for it, or the login is over.
    pub fn tls_started(&mut self, facts: TlsFacts) -> Result<Step, LoginError> {
        if !matches!(self.state, State::Handshake) {
            self.state = State::Nothing;
            return Err(LoginError::new("upstream_tls", "TLS was started unasked"));
        }
        self.encrypted = true;
        self.end_point = facts.certificate.as_deref().and_then(binding::tls_server_end_point);
        Ok(self.start_up())
    }

    /// The server said something.
    ///
    /// # Errors
    /// It did not let us in, or broke the protocol. The login is over then.
    pub fn data(&mut self, bytes: &Bytes) -> Result<Vec<Step>, LoginError> {
        let result = self.advance(bytes);
        if result.is_err() {
            self.state = State::Nothing;
        }
        result
    }

    fn advance(&mut self, bytes: &Bytes) -> Result<Vec<Step>, LoginError> {
        match self.state {
            State::TlsAnswer => {
                tls_answer(bytes)?;
                self.state = State::Handshake;
                return Ok(vec![Step::StartTls]);
            }
            State::Start | State::Handshake | State::Nothing => {
                return Err(Fault::upstream("spoke out of turn while logging in").into());
            }
            _ => {}
        }
        self.inbox.push(bytes);
        let mut steps = Vec::new();
        while let Some(frame) = self.inbox.frame(LOGIN_MESSAGE_BYTES_MAX, Side::Upstream)? {
            self.read_bytes = self.read_bytes.saturating_add(frame.bytes.len());
            if self.read_bytes > LOGIN_BYTES_MAX {
                return Err(Fault::upstream("more said at log-in than allowed").into());
            }
            let step = self.message(&frame)?;
            let is_ready = matches!(step, Some(Step::Ready(_)));
            steps.extend(step);
            if is_ready {
                return Ok(steps);
            }
        }
        if steps.is_empty() {
            steps.push(Step::Wait);
        }
        Ok(steps)
    }

    fn start_up(&mut self) -> Step {
        self.state = State::AuthenticationRequest;
        let mut out = BytesMut::new();
        write_untagged(&mut out, |out| {
            out.put_u32(VERSION_3_0);
            let mut parameter = |name: &str, value: &str| {
                put_cstr(out, name.as_bytes());
                put_cstr(out, value.as_bytes());
            };
            parameter("user", &self.credential.user);
            parameter("database", &self.credential.database);
            for (name, value) in &self.parameters {
                let ours = matches!(name.as_str(), "user" | "database" | "replication");
                // An empty name would end the list early.
                if !ours && !name.is_empty() && !name.starts_with("_pq_.") {
                    parameter(name, value);
                }
            }
            out.put_u8(0);
        });
        Step::Send(out.freeze())
    }

    fn message(&mut self, frame: &Frame) -> Result<Option<Step>, LoginError> {
        let mut reader = Reader::new(frame.body(), Side::Upstream);
        match (std::mem::replace(&mut self.state, State::Nothing), frame.tag) {
            (_, b'E') => Err(refused(&ServerError::read(frame.body()))),
            (state, b'N') => {
                self.state = state;
                Ok(None)
            }
            (State::AuthenticationRequest, b'v') => {
                check_negotiation(&mut reader)?;
                self.state = State::AuthenticationRequest;
                Ok(None)
            }
            (State::AuthenticationRequest, b'R') => self.authenticate(&mut reader).map(Some),
            (State::ScramContinue(scram), b'R') => {
                self.scram_continue(scram, &mut reader).map(Some)
            }
            (State::ScramFinal(scram), b'R') => self.scram_final(scram, &mut reader),
            (State::AuthenticationOk, b'R') => {
                expect_request(&mut reader, 0)?;
                Ok(Some(self.let_in()))
            }
            (State::ReadyForQuery { parameters, key }, tag) => {
                self.settle(parameters, key, tag, &mut reader)
            }
            _ => Err(Fault::upstream("unexpected message at log-in").into()),
        }
    }

    fn let_in(&mut self) -> Step {
        self.state = State::ReadyForQuery { parameters: Vec::new(), key: None };
        Step::Wait
    }

    /// Answers the server's request for a proof. PostgreSQL 17, "Message Formats",
    /// "AuthenticationOk" and its siblings.
    fn authenticate(&mut self, reader: &mut Reader<'_>) -> Result<Step, LoginError> {
        let method = reader.i32()?;
        let step = match method {
            0 => {
                reader.end()?;
                return Ok(self.let_in());
            }
            3 => {
                reader.end()?;
                if !self.encrypted && self.tls != UpstreamTls::Off {
                    return Err(LoginError::new(
                        "upstream_tls",
                        "a password was asked for in clear",
                    ));
                }
                password_message(self.password()?.as_bytes())
            }
            5 => {
                let mut salt = [0; 4];
                salt.copy_from_slice(reader.bytes(4)?);
                reader.end()?;
                let (user, password) = (self.credential.user.as_bytes(), self.password()?);
                password_message(md5_hash(user, password.as_bytes(), salt).as_bytes())
            }
            10 => return self.scram(reader),
            11 | 12 => return Err(Fault::upstream("a step of SASL that nobody began").into()),
            other => {
                let name = match other {
                    2 => "Kerberos V5",
                    7 | 8 => "GSSAPI",
                    9 => "SSPI",
                    _ => "an unknown method",
                };
                let detail = format!(
                    "the server asks for {name} (code {other}); use scram-sha-256 in pg_hba.conf"
                );
                return Err(LoginError::new("credential", detail));
            }
        };
        self.state = State::AuthenticationOk;
        Ok(step)
    }

    fn password(&self) -> Result<&str, LoginError> {
        match &self.credential.password {
            Some(password) => Ok(password.expose()),
            None => Err(LoginError::new(
                "credential",
                "the server asks for a password and the resource has none",
            )),
        }
    }

    /// Chooses a mechanism and opens the exchange. With TLS, a server that offers channel binding
    /// is bound; one that does not is told that we could have (`y`), so that it notices when
    /// somebody between us removed the offer (RFC 5802, section 6).
    fn scram(&mut self, reader: &mut Reader<'_>) -> Result<Step, LoginError> {
        let (mut plain, mut plus) = (false, false);
        let mut others = Vec::new();
        loop {
            match reader.cstr()? {
                b"" => break,
                name if name == SCRAM_SHA_256.as_bytes() => plain = true,
                name if name == SCRAM_SHA_256_PLUS.as_bytes() => plus = true,
                name => others.push(String::from_utf8_lossy(name).into_owned()),
            }
        }
        reader.end()?;
        if plus && !self.encrypted {
            return Err(Fault::upstream("channel binding offered without TLS").into());
        }
        let (mechanism, channel) = match (plus, plain, self.end_point.take()) {
            (true, _, Some(hash)) => {
                (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash))
            }
            (false, true, Some(_)) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            (_, true, None) => (SCRAM_SHA_256, ChannelBinding::unsupported()),
            (true, false, None) => {
                let detail = "the server insists on channel binding, which its certificate's \
                              signature algorithm does not allow";
                return Err(LoginError::new("credential", detail));
            }
            (false, false, _) => {
                let detail = format!(
                    "the server offers no SCRAM-SHA-256, only: {}",
                    printable(&others.join(", "))
                );
                return Err(LoginError::new("credential", detail));
            }
        };
        let scram = ScramSha256::new(self.password()?.as_bytes(), channel);
        let first = message(b'p', |out| {
            put_cstr(out, mechanism.as_bytes());
            out.put_u32(u32::try_from(scram.message().len()).unwrap_or(u32::MAX));
            out.put_slice(scram.message());
        });
        self.state = State::ScramContinue(scram);
        Ok(Step::Send(first))
    }

    fn scram_continue(
        &mut self,
        mut scram: ScramSha256,
        reader: &mut Reader<'_>,
    ) -> Result<Step, LoginError> {
        expect_request(reader, 11)?;
        scram.update(reader.rest()).map_err(|error| scram_error(&error))?;
        let proof = message(b'p', |out| out.put_slice(scram.message()));
        self.state = State::ScramFinal(scram);
        Ok(Step::Send(proof))
    }

    /// The server's own proof: without it, whoever answered may not know the password.
    fn scram_final(
        &mut self,
        mut scram: ScramSha256,
        reader: &mut Reader<'_>,
    ) -> Result<Option<Step>, LoginError> {
        expect_request(reader, 12)?;
        scram.finish(reader.rest()).map_err(|error| scram_error(&error))?;
        self.state = State::AuthenticationOk;
        Ok(None)
    }

    fn settle(
        &mut self,
        mut parameters: Vec<(String, String)>,
        mut key: Option<BackendKey>,
        tag: u8,
        reader: &mut Reader<'_>,
    ) -> Result<Option<Step>, LoginError> {
        match tag {
            b'S' => {
                let name = String::from_utf8_lossy(reader.cstr()?).into_owned();
                let value = String::from_utf8_lossy(reader.cstr()?).into_owned();
                reader.end()?;
                parameters.push((name, value));
            }
            b'K' => key = Some(backend_key(reader)?),
            b'Z' => {
                let status = reader.u8()?;
                reader.end()?;
                if !matches!(status, b'I' | b'T' | b'E') {
                    return Err(Fault::upstream("unknown transaction status").into());
                }
                let none = || BackendKey { pid: 0, secret: Secret::new(Vec::new()) };
                let key = key.unwrap_or_else(none);
                let rest = self.inbox.take(usize::MAX);
                return Ok(Some(Step::Ready(LoggedIn { parameters, key, status, rest })));
            }
            _ => return Err(Fault::upstream("unexpected message at log-in").into()),
        }
        self.state = State::ReadyForQuery { parameters, key };
        Ok(None)
    }
}

/// Whether the server takes a TLS handshake without being asked for one, which PostgreSQL does from
/// version 17 on (`sslnegotiation=direct`, with ALPN).
pub(crate) fn is_tls_first(connected: &Connected) -> bool {
    let word = connected.options.get("tls_negotiation").and_then(serde_json::Value::as_str);
    connected.tls != UpstreamTls::Off && word == Some("direct")
}

/// Asks the server to switch to TLS before anything else is sent.
pub(crate) fn ssl_request() -> Bytes {
    let mut out = BytesMut::new();
    write_untagged(&mut out, |out| out.put_u32(SSL_REQUEST));
    out.freeze()
}

/// Reads the answer to [`ssl_request`]: exactly `S`, or it is an error.
///
/// `N` means the server has no TLS, and there is no falling back. Bytes after `S` came before the
/// handshake, so anyone on the path could have put them there (CVE-2021-23222).
pub(crate) fn tls_answer(bytes: &[u8]) -> Result<(), LoginError> {
    match bytes {
        b"S" => Ok(()),
        [b'S', ..] => Err(Fault::upstream("bytes before the TLS handshake").into()),
        [b'N', ..] => Err(LoginError::new(
            "upstream_tls",
            "the server has no TLS; turn ssl on there, or set tls: off for this resource",
        )),
        [other, ..] => Err(LoginError::new(
            "upstream_protocol",
            format!("the server answered a request for TLS with byte 0x{other:02x}"),
        )),
        [] => Err(Fault::upstream("empty answer to a request for TLS").into()),
    }
}

/// An `ErrorResponse` or `NoticeResponse`, as far as it matters here.
#[derive(Debug)]
pub(crate) struct ServerError {
    /// The session is over.
    pub fatal: bool,
    /// SQLSTATE; empty when there was none.
    pub code: String,
    message: String,
}

impl ServerError {
    /// Never fails: what cannot be read is left out.
    pub fn read(body: &[u8]) -> Self {
        let mut reader = Reader::new(body, Side::Upstream);
        let mut error = Self { fatal: false, code: String::new(), message: String::new() };
        while let Ok(kind @ 1..) = reader.u8() {
            let Ok(value) = reader.cstr() else { break };
            let value = String::from_utf8_lossy(value);
            match kind {
                b'V' => error.fatal = matches!(&*value, "FATAL" | "PANIC"),
                b'C' => error.code = printable(&value),
                b'M' => error.message = printable(&value),
                _ => {}
            }
        }
        error
    }

    /// For the operator's log only.
    pub fn detail(&self) -> String {
        format!("{}: {}", self.code, self.message)
    }
}

/// Bounded, on one line, without control characters.
fn printable(text: &str) -> String {
    let clean = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().take(DETAIL_CHARS_MAX).map(clean).collect()
}

fn refused(error: &ServerError) -> LoginError {
    let reason = match error.code.as_str() {
        "3D000" => "unknown_database",
        "53300" => "too_many_connections",
        code if code.starts_with("28") => "credential",
        _ => "upstream_error",
    };
    LoginError::new(reason, error.detail())
}

fn scram_error(error: &std::io::Error) -> LoginError {
    LoginError::new("credential", format!("SCRAM: {}", printable(&error.to_string())))
}

fn password_message(secret: &[u8]) -> Step {
    Step::Send(message(b'p', |out| put_cstr(out, secret)))
}

fn expect_request(reader: &mut Reader<'_>, wanted: i32) -> Result<(), LoginError> {
    if reader.i32()? != wanted {
        return Err(Fault::upstream("another step of authentication was due").into());
    }
    if wanted == 0 {
        reader.end()?;
    }
    Ok(())
}

/// `NegotiateProtocolVersion`: the newest minor version the server has, and the options it does not
/// know. We asked for 3.0 and for none, so there is nothing to give up.
fn check_negotiation(reader: &mut Reader<'_>) -> Result<(), LoginError> {
    let newest = reader.u32()?;
    // Some servers send the minor version alone, as the documentation once had it.
    if newest >> 16 != 3 && newest >> 16 != 0 {
        return Err(Fault::upstream("it speaks another protocol").into());
    }
    let unknown = reader.i32()?;
    for _ in 0..unknown {
        reader.cstr()?;
    }
    Ok(reader.end()?)
}

fn backend_key(reader: &mut Reader<'_>) -> Result<BackendKey, LoginError> {
    let pid = reader.u32()?;
    let secret = reader.rest();
    if !(4..=KEY_BYTES_MAX).contains(&secret.len()) {
        return Err(Fault::upstream("cancel key of impossible length").into());
    }
    Ok(BackendKey { pid, secret: Secret::new(secret.to_vec()) })
}

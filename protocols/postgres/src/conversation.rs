//! One client connection from its first byte: who it is, the way to the server, then the session.

use std::sync::Arc;

use bytes::Bytes;
use engine::{
    Conversation, Errand, Fault, Input, MaskPlan, Outbox, Refusal, Setup, Sought, TlsFacts,
};
use model::{Claim, ClientText, Secret, Side, Timestamp};

use crate::bearer;
use crate::cancel::Cancel;
use crate::follow::Origin;
use crate::judge::Cache;
use crate::login::{LoggedIn, Login, LoginError, Step};
use crate::message::{self, Frame, Inbox, Reader, Severity};
use crate::ready::{Opened, Ready};
use crate::refusal;
use crate::startup::{self, Opening, Start, VERSION_3_0};
use crate::survey::Snapshot;

/// The state of one connection, named for what it waits for.
pub(crate) struct PostgresConversation {
    setup: Setup,
    cache: Arc<Cache>,
    inbox: Inbox,
    state: State,
}

enum State {
    /// The start-up message, or a request that comes before it.
    Start { encrypted: bool },
    /// The client's TLS handshake.
    Tls,
    /// The token, as a password or as a bearer token.
    Token { start: Start, is_bearer: bool },
    /// The proof of the token; it came as a bearer token.
    Proof { start: Start, is_bearer: bool },
    /// The client's word that it has read where to get a token; then it is refused.
    Parting(Refusal),
    /// The transport to the server.
    Dial(Box<Known>),
    /// The server's answers to our login.
    Login(Box<Known>, Box<Login>, Box<engine::Connected>),
    /// Statements and replies.
    Ready(Box<Ready>),
    /// Nothing: it is over.
    Over,
}

/// A client that was let in.
struct Known {
    start: Start,
    masks: Arc<MaskPlan>,
    sought: Sought,
    origin: Origin,
    /// The server is asked for settings under which rows do not come in the order of an index.
    plans_unordered: bool,
}

impl Conversation<Bytes> for PostgresConversation {
    fn handle(
        &mut self,
        _now: Timestamp,
        input: Input<Bytes>,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        if let State::Ready(ready) = &mut self.state {
            return ready.handle(input, out);
        }
        match input {
            Input::Data(Side::Client, bytes) => {
                self.inbox.push(&bytes);
                self.client(out)
            }
            Input::Data(Side::Upstream, bytes) => self.upstream(&bytes, out),
            Input::TlsStarted(Side::Client, facts) => {
                self.setup.client_private = true;
                self.setup.client_certificate = facts.certificate.is_some();
                self.state = State::Start { encrypted: true };
                self.client(out)
            }
            Input::TlsStarted(Side::Upstream, facts) => self.upstream_tls(facts, out),
            Input::Identified { masks, reads, trail, resource, .. } => {
                let origin = Origin { trail, resource: resource.name };
                self.identified((masks, reads.result_detections()), origin, out);
                Ok(())
            }
            Input::Connected(connected) => self.connected(connected, out),
            Input::Rescoped(masks, reads) => {
                if let State::Dial(known) | State::Login(known, ..) = &mut self.state {
                    known.masks = masks;
                    known.sought = reads.result_detections();
                }
                Ok(())
            }
            Input::Unidentified(refusal) => {
                self.unidentified(refusal, out);
                self.client(out)
            }
            Input::Unreachable(refusal) | Input::Stopped(refusal) => {
                self.fail(&refusal, out);
                Ok(())
            }
            Input::Closed(_) => {
                self.state = State::Over;
                Ok(())
            }
            Input::Released(_)
            | Input::Held(..)
            | Input::Refused(..)
            | Input::Withheld(..)
            | Input::LetGo(_)
            | Input::Passed(_)
            | Input::Cancel
            | Input::Refreshed => Ok(()),
        }
    }
}

impl PostgresConversation {
    pub(crate) fn new(setup: Setup, cache: Arc<Cache>) -> Self {
        let encrypted = setup.client_tls_started;
        Self { setup, cache, inbox: Inbox::default(), state: State::Start { encrypted } }
    }

    // ---- the client ----------------------------------------------------------------------------

    fn client(&mut self, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Start { encrypted } => match startup::opening(&mut self.inbox) {
                    Ok(Some(opening)) => {
                        if !self.opened(opening, encrypted, out)? {
                            return Ok(());
                        }
                    }
                    Ok(None) => {
                        self.state = State::Start { encrypted };
                        return Ok(());
                    }
                    Err(fault) if fault == startup::IMPOSSIBLE_LENGTH => return Err(fault),
                    Err(fault) => return Err(self.protocol_error(fault, out)),
                },
                State::Token { start, is_bearer } => {
                    match self.inbox.frame(model::limit::STARTUP_BYTES_MAX, Side::Client) {
                        Ok(Some(frame)) => return self.token(start, is_bearer, &frame, out),
                        Ok(None) => {
                            self.state = State::Token { start, is_bearer };
                            return Ok(());
                        }
                        Err(fault) => return Err(self.protocol_error(fault, out)),
                    }
                }
                State::Parting(refusal) => {
                    match self.inbox.frame(model::limit::STARTUP_BYTES_MAX, Side::Client) {
                        Ok(Some(frame)) => {
                            bearer::acknowledged(&frame)
                                .map_err(|fault| self.protocol_error(fault, out))?;
                            self.fail(&refusal, out);
                        }
                        Ok(None) => self.state = State::Parting(refusal),
                        Err(fault) => return Err(self.protocol_error(fault, out)),
                    }
                    return Ok(());
                }
                other => {
                    // Whatever the client says before it is let in is kept, within bounds.
                    self.state = other;
                    if self.inbox.len() > model::limit::SEND_BUFFER_BYTES_MAX {
                        return Err(Fault::client("data before the session was open"));
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Returns whether the next message may be looked at.
    fn opened(
        &mut self,
        opening: Opening,
        encrypted: bool,
        out: &mut Outbox<Bytes>,
    ) -> Result<bool, Fault> {
        match opening {
            Opening::Tls if !encrypted && self.setup.client_tls => {
                if !self.inbox.is_empty() {
                    // Sent before the handshake, so anyone on the way may have put it there
                    // (CVE-2021-23214).
                    return Err(Fault::client("data sent before the TLS handshake"));
                }
                out.control(Side::Client, Bytes::from_static(b"S"));
                out.start_tls(Side::Client);
                self.state = State::Tls;
                Ok(false)
            }
            Opening::Tls | Opening::GssEncryption => {
                out.control(Side::Client, Bytes::from_static(b"N"));
                self.state = State::Start { encrypted };
                Ok(true)
            }
            Opening::Cancel(key) => {
                if let Some(key) = key {
                    out.cancel_session(key);
                }
                out.close();
                Ok(false)
            }
            Opening::Start(start) => {
                self.started(start, out);
                Ok(!matches!(self.state, State::Over))
            }
        }
    }

    fn started(&mut self, start: Start, out: &mut Outbox<Bytes>) {
        if !self.setup.client_private {
            // R16: a token may be sent only where nobody can read it on the way.
            let words = "this address accepts tokens only over TLS: connect with sslmode=require \
                         or better";
            self.fail(&Refusal::unjudgeable("clear_text", ClientText::fixed(words)), out);
            return;
        }
        if start.parameter("replication").is_some_and(|value| !is_off(value)) {
            let words = "replication connections are not supported through this gateway";
            self.fail(&Refusal::unjudgeable("unsupported", ClientText::fixed(words)), out);
            return;
        }
        if start.version > VERSION_3_0 || start.protocol_options().next().is_some() {
            let spoken = start.version.min(startup::VERSION_3_2);
            let unknown = start.protocol_options().next().is_some();
            if unknown || start.version != spoken {
                out.control(Side::Client, startup::negotiate(spoken, start.protocol_options()));
            }
        }
        let is_bearer = match bearer::wanted(&start) {
            // Who has shown a certificate is not asked for a token, unless it wants to be.
            Ok(None) if self.setup.client_certificate => {
                self.claim(start, false, Secret::new(String::new()), out);
                return;
            }
            Ok(wanted) => wanted == Some(bearer::Way::Bearer),
            Err(found) => {
                let why = format!("\"{found}\" is no way to log in; use password or oauth");
                self.fail(&refused_parameter(bearer::SETTING, &why), out);
                return;
            }
        };
        out.control(Side::Client, if is_bearer { bearer::ask() } else { startup::ask_password() });
        self.state = State::Token { start, is_bearer };
    }

    fn token(
        &mut self,
        start: Start,
        is_bearer: bool,
        frame: &Frame,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        let token = if is_bearer { bearer::token(frame) } else { password(frame).map(Some) };
        let secret = match token {
            Ok(Some(secret)) => secret,
            Ok(None) => {
                let words = match self.setup.offer {
                    Some(_) => "a token is needed; log in at the issuer that was named",
                    None => {
                        "a token is needed, and this gateway has no issuer to name; give the \
                         client the token that it shall send"
                    }
                };
                let refusal = Refusal::unjudgeable("unknown_token", ClientText::fixed(words));
                self.send_away(refusal, true, out);
                return self.client(out);
            }
            Err(fault) => return Err(self.protocol_error(fault, out)),
        };
        self.claim(start, is_bearer, secret, out);
        Ok(())
    }

    fn claim(
        &mut self,
        start: Start,
        is_bearer: bool,
        secret: Secret<String>,
        out: &mut Outbox<Bytes>,
    ) {
        let user = start.parameter("user").unwrap_or_default().to_owned();
        let resource = start.parameter("database").unwrap_or(&user).to_owned();
        let application =
            start.parameter("application_name").filter(|name| !name.is_empty()).map(str::to_owned);
        self.state = State::Proof { start, is_bearer };
        let run = application.as_deref().and_then(model::run_in).map(str::to_owned);
        out.identify(Claim { secret, resource, user, application, run });
    }

    fn unidentified(&mut self, refusal: Refusal, out: &mut Outbox<Bytes>) {
        let is_bearer = matches!(self.state, State::Proof { is_bearer: true, .. });
        // Another token would be taken; where it is something else, none would.
        let of_token = ["unknown_token", "expired_token", "revoked_token", "no_token"];
        self.send_away(refusal.clone(), is_bearer && of_token.contains(&refusal.reason()), out);
    }

    /// Refuses a client; one that can log in is told where first.
    fn send_away(&mut self, refusal: Refusal, may_log_in: bool, out: &mut Outbox<Bytes>) {
        match self.setup.offer.as_ref().filter(|_| may_log_in) {
            Some(offer) => {
                out.control(Side::Client, bearer::not_taken(offer));
                self.state = State::Parting(refusal);
            }
            None => self.fail(&refusal, out),
        }
    }

    fn identified(
        &mut self,
        (masks, sought): (Arc<MaskPlan>, Sought),
        origin: Origin,
        out: &mut Outbox<Bytes>,
    ) {
        if let State::Proof { start, .. } = std::mem::replace(&mut self.state, State::Over) {
            self.state = State::Dial(Box::new(Known {
                start,
                masks,
                sought,
                origin,
                plans_unordered: false,
            }));
            out.connect();
        }
    }

    // ---- the server ----------------------------------------------------------------------------

    fn connected(
        &mut self,
        connected: engine::Connected,
        out: &mut Outbox<Bytes>,
    ) -> Result<(), Fault> {
        let State::Dial(mut known) = std::mem::replace(&mut self.state, State::Over) else {
            return Ok(());
        };
        let mut parameters = match upstream_parameters(&known.start, &connected.options) {
            Ok(parameters) => parameters,
            Err(refusal) => {
                self.fail(&refusal, out);
                return Ok(());
            }
        };
        // Looked at once: with the order goes what keeps it hidden.
        let snapshot =
            connected.snapshots.current().and_then(|any| any.downcast::<Snapshot>().ok());
        if let Some(snapshot) = snapshot
            && self.cache.hides_order(&known.masks, &snapshot.catalog)
        {
            known.plans_unordered = true;
            let ours = UNORDERED.iter().map(|name| ((*name).to_owned(), "off".to_owned()));
            parameters.extend(ours);
            parameters.extend(small_costs(&snapshot));
        }
        let mut login = Login::new(&connected, parameters);
        let step = login.start();
        self.state = State::Login(known, Box::new(login), Box::new(connected));
        self.step(step, out)
    }

    fn upstream_tls(&mut self, facts: TlsFacts, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let State::Login(_, login, _) = &mut self.state else { return Ok(()) };
        match login.tls_started(facts) {
            Ok(step) => self.step(step, out),
            Err(error) => {
                self.login_failed(&error, out);
                Ok(())
            }
        }
    }

    fn upstream(&mut self, bytes: &Bytes, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let State::Login(_, login, _) = &mut self.state else {
            return match self.state {
                State::Over => Ok(()),
                _ => Err(Fault::upstream("spoke before it was spoken to")),
            };
        };
        match login.data(bytes) {
            Ok(steps) => {
                for step in steps {
                    self.step(step, out)?;
                }
                Ok(())
            }
            Err(error) => {
                self.login_failed(&error, out);
                Ok(())
            }
        }
    }

    fn step(&mut self, step: Step, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        match step {
            Step::Send(bytes) => out.control(Side::Upstream, bytes),
            Step::StartTls => out.start_tls(Side::Upstream),
            Step::Ready(logged_in) => return self.ready(logged_in, out),
            Step::Wait => {}
        }
        Ok(())
    }

    fn ready(&mut self, logged_in: LoggedIn, out: &mut Outbox<Bytes>) -> Result<(), Fault> {
        let State::Login(known, _, connected) = std::mem::replace(&mut self.state, State::Over)
        else {
            return Ok(());
        };
        let snapshot =
            connected.snapshots.current().and_then(|any| any.downcast::<Snapshot>().ok());
        let Some(snapshot) = snapshot else {
            let words = ClientText::fixed("the gateway has not read this database's catalog yet");
            self.fail(&Refusal::unjudgeable("catalog", words), out);
            return Ok(());
        };
        out.control(Side::Client, startup::authentication_ok());
        for (name, value) in &logged_in.parameters {
            out.control(Side::Client, startup::parameter_status(name, value));
        }
        // Clients take the process id for the server's: they compare it with pg_backend_pid(), and
        // find their locks by it.
        let [.., a, b, c, d] = self.setup.cancel_key;
        let [p, q, r, s] = logged_in.key.pid.to_be_bytes();
        let key = [p, q, r, s, a, b, c, d];
        out.cancel_key(key);
        out.control(Side::Client, startup::backend_key(key));
        out.control(Side::Client, message::ready(logged_in.status));
        let mut ready = Ready::new(Opened {
            setup: self.setup.clone(),
            cache: Arc::clone(&self.cache),
            inbox: std::mem::take(&mut self.inbox),
            masks: Arc::clone(&known.masks),
            sought: known.sought,
            origin: known.origin,
            start: known.start,
            plans_unordered: known.plans_unordered,
            connected: *connected,
            snapshot,
            parameters: logged_in.parameters,
            key: logged_in.key,
            status: logged_in.status,
        });
        if !logged_in.rest.is_empty() {
            ready.handle(Input::Data(Side::Upstream, logged_in.rest), out)?;
        }
        ready.resume(out)?;
        self.state = State::Ready(Box::new(ready));
        Ok(())
    }

    // ---- endings -------------------------------------------------------------------------------

    /// The client learns the kind of failure; what the server said stays with the operator (P7).
    fn login_failed(&mut self, error: &LoginError, out: &mut Outbox<Bytes>) {
        let words = match error.reason {
            "credential" => "the server did not accept the gateway's credential",
            "unknown_database" => "the database behind this resource does not exist",
            "too_many_connections" => "the server has no connection free",
            _ => "the gateway could not log in to the server",
        };
        let refusal = Refusal::unjudgeable("upstream_error", ClientText::fixed(words));
        self.fail_for(&refusal, Some(format!("{}: {}", error.reason, error.detail)), out);
    }

    fn fail(&mut self, refusal: &Refusal, out: &mut Outbox<Bytes>) {
        self.fail_for(refusal, None, out);
    }

    /// `detail` is for the record alone.
    fn fail_for(&mut self, refusal: &Refusal, detail: Option<String>, out: &mut Outbox<Bytes>) {
        if !matches!(self.state, State::Tls) {
            out.control(Side::Client, refusal::error(refusal, Severity::Fatal, None));
        }
        self.state = State::Over;
        out.end(refusal.reason(), detail);
    }

    /// Tells the client what it did wrong before the connection ends.
    fn protocol_error(&mut self, fault: Fault, out: &mut Outbox<Bytes>) -> Fault {
        let report = message::Report {
            severity: Severity::Fatal,
            code: "08P01",
            message: fault.what,
            detail: None,
            hint: None,
            position: None,
        };
        out.control(Side::Client, report.to_message());
        fault
    }
}

/// Settings that a session begins with where an index has a masked column: a scan of the index, and
/// a join that sorts, hand out rows in the order of its values. Bitmap scans of an index do not.
///
/// What a session begins with is also what RESET and DISCARD go back to; SET of these is refused.
/// PostgreSQL 17, section 19.7.1 "Planner Method Configuration".
const UNORDERED: [&str; 3] = ["enable_indexscan", "enable_indexonlyscan", "enable_mergejoin"];

/// What is off costs 10 to the power of 10 before PostgreSQL 18, and nothing forbids it
/// (`disable_cost`, `costsize.c`). So that no query costs more without it, everything else costs
/// next to nothing; in proportion to each other costs are what they were. What a session must not
/// ask for then is [`sql::ESTIMATE_DIGITS_MAX`].
fn small_costs(snapshot: &Snapshot) -> Vec<(String, String)> {
    if !snapshot.forbids_nothing() {
        return Vec::new();
    }
    // Less than zero is off.
    let costs = snapshot.costs.iter().filter(|(_, cost)| *cost > 0.0);
    let small = |cost: f64| format!("{:e}", cost * 10_f64.powi(-sql::COST_SCALE));
    costs.map(|(name, cost)| (name.to_string(), small(*cost))).collect()
}

/// Start-up parameters that go on to the server.
fn upstream_parameters(
    start: &Start,
    options: &serde_json::Value,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut parameters = Vec::new();
    for (name, value) in &start.parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            option if option.starts_with("_pq_.") => {}
            "options" => {
                let settings = startup::option_settings(value).ok_or_else(|| {
                    refused_parameter("options", "only -c name=value and --name=value are allowed")
                })?;
                let theirs = settings.into_iter().filter(|(name, _)| name != bearer::SETTING);
                // A parameter of its own prevails, wherever it stands (`InitPostgres`).
                parameters.splice(0..0, theirs);
            }
            _ => parameters.push((name.to_ascii_lowercase(), value.clone())),
        }
    }
    let shared = options.get("isolation").and_then(serde_json::Value::as_str) == Some("shared");
    for (name, _) in &parameters {
        if matches!(name.as_str(), "role" | "session_authorization") && !shared {
            return Err(refused_parameter(name, "the gateway's own role may not be changed"));
        }
    }
    Ok(parameters)
}

/// The token in a password message.
fn password(frame: &Frame) -> Result<Secret<String>, Fault> {
    if frame.tag != b'p' {
        return Err(Fault::client("expected the password message"));
    }
    let mut reader = Reader::new(frame.body(), Side::Client);
    let secret = String::from_utf8_lossy(reader.cstr()?).into_owned();
    reader.end()?;
    Ok(Secret::new(secret))
}

fn refused_parameter(name: &str, why: &str) -> Refusal {
    let words = format!("start-up parameter \"{name}\" is refused: {why}");
    Refusal::unjudgeable("startup_parameter", ClientText::composed(words))
}

fn is_off(value: &str) -> bool {
    matches!(value, "" | "0" | "off" | "false" | "no" | "f" | "n")
}

/// An errand that cancels what the server does for the backend with this key.
pub(crate) fn cancel_errand(key: &crate::login::BackendKey) -> Box<dyn Errand<Bytes>> {
    Box::new(Cancel::new(key.clone()))
}

//! Real gRPC: grpcio's client and grpcurl against grpcio's server, on both faces, in clear text and
//! inside TLS.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use e2e::web::Authority;
use e2e::{Agent, Gateway, Token};

/// Rules of the guide, one that only calls have, and one for a single group that reads bodies.
const RULES: &str = r#"
  - name: mask-cards-and-ssn
    mask: { fields: [credit_card, ssn], with: redact }
  - name: nothing-is-deleted
    when: http.path.endsWith("/Delete")
    block: "für niemand: 100% no"
  - name: nothing-secret-leaves
    for: { groups: [readers] }
    when: http.detections.exists(d, d == "CREDIT_CARD")
    block: "the call carries {http.detections}"
"#;

/// A service in a process of its own, once it is started, and a gateway in front of it.
struct Notes {
    gateway: Gateway,
    clear: u16,
    secure: u16,
    files: tempfile::TempDir,
}

/// A port that is free now.
fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Notes {
    fn start(rules: &str) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let (certificate, key) =
            Authority::new(files.path())?.pem(&["localhost", "secure.test"])?;
        std::fs::write(files.path().join("server.pem"), certificate)?;
        std::fs::write(files.path().join("server.key"), key)?;
        let (clear, secure) = (port()?, port()?);
        let ca = files.path().join("ca.pem");
        let ca = ca.display();
        let gateway = Gateway::start_with(|ports, _| {
            let listen = ports.web();
            format!(
                r#"{listen}resources:
  clear: {{ type: http, url: "http://127.0.0.1:{clear}" }}
  secure: {{ type: http, url: "https://localhost:{secure}", ca: {{file: "{ca}"}} }}
  closed: {{ type: http, url: "http://127.0.0.1:{clear}", http: {{ opaque: block }} }}
  nobody: {{ type: http, url: "http://127.0.0.1:1" }}
  internet:
    type: egress
    ca: {{file: "{ca}"}}
    hosts: {{ clear.test: "127.0.0.1:{clear}", secure.test: "127.0.0.1:{secure}" }}
access:
  - {{ groups: [agents, readers], resources: [clear, secure, closed, nobody, internet] }}
rules:{rules}"#
            )
        })?;
        Ok(Self { gateway, clear, secure, files })
    }

    fn agent(&self, token: &Token) -> Result<Agent> {
        let file = |name: &str| self.files.path().join(name).display().to_string();
        Ok(Agent::new(&self.gateway, token)?
            .env("TOKEN", &token.secret)
            .env("REVERSE", &format!("127.0.0.1:{}", self.gateway.ports().http))
            .env("CLEAR_PORT", &self.clear.to_string())
            .env("SECURE_PORT", &self.secure.to_string())
            .env("CERTIFICATE", &file("server.pem"))
            .env("KEY", &file("server.key")))
    }

    /// Runs these steps; each must be told.
    fn told(&self, agent: &Agent, steps: &[&str]) -> Result<()> {
        let output = agent.python("grpc_calls.py", steps)?;
        let told = output.stdout.lines().filter(|line| line.starts_with("ok ")).count();
        let said = output.success().with_context(|| self.gateway.log_tail())?;
        ensure!(told == steps.len(), "{told} of {} steps were told:\n{said}", steps.len());
        ensure!(!self.gateway.log().contains("panicked"), "{}", self.gateway.log_tail());
        Ok(())
    }
}

#[test]
fn p9_calls_of_every_kind_pass_on_both_faces() -> Result<()> {
    let notes = Notes::start(RULES)?;
    let token = notes.gateway.agent("caller")?;
    notes.told(
        &notes.agent(&token)?,
        &[
            "one_message_each_way",
            "many_messages_back",
            "many_messages_there",
            "messages_wait_for_each_other_in_both_directions",
            "metadata_passes_before_and_after",
            "an_error_before_any_message_passes",
            "an_error_after_messages_passes",
            "an_unknown_method_is_the_services_own_error",
            "a_large_message_passes",
            "compressed_messages_pass",
            "reflection_lists_the_services",
            "many_calls_at_once",
        ],
    )
}

#[test]
fn p9_a_call_that_is_given_up_ends_at_the_service() -> Result<()> {
    let notes = Notes::start(RULES)?;
    let token = notes.gateway.agent("caller")?;
    let steps = ["a_deadline_ends_the_call_on_both_sides", "a_cancelled_call_ends_on_both_sides"];
    notes.told(&notes.agent(&token)?, &steps)
}

#[test]
fn p2_p7_a_refused_call_gets_a_status_and_words_that_its_client_reads() -> Result<()> {
    let notes = Notes::start(RULES)?;
    let token = notes.gateway.agent("caller")?;
    let agent = notes.agent(&token)?;
    let steps =
        ["what_a_rule_refuses_is_denied_in_its_words", "without_a_token_a_call_is_unauthenticated"];
    notes.told(&agent, &steps)?;
    let closed = agent.clone().env("WAYS", "reverse closed");
    notes.told(&closed, &["replies_that_cannot_be_searched_are_refused"])?;
    let nobody = agent.env("WAYS", "reverse nobody");
    notes.told(&nobody, &["an_upstream_that_is_down_may_be_tried_again"])?;
    let session = notes.gateway.json(&["sessions", "--principal", "caller"])?.to_string();
    ensure!(session.contains("\"block\":"), "what was refused is recorded: {session}");
    Ok(())
}

#[test]
fn p2_a_card_in_a_message_is_found_compressed_or_not() -> Result<()> {
    let notes = Notes::start(RULES)?;
    let token = notes.gateway.token("reader", &["readers"], &[])?;
    notes.told(&notes.agent(&token)?, &["what_a_message_carries_is_found"])
}

#[test]
fn p9_grpcurl_lists_describes_calls_and_is_refused() -> Result<()> {
    let rule = "\n  - name: not-that\n    when: http.path == \"/notes.Notes/Count\"\n    \
                block: not that one\n";
    let notes = Notes::start(rule)?;
    let token = notes.gateway.agent("caller")?;
    notes.told(&notes.agent(&token)?, &["grpcurl_lists_describes_and_calls"])
}

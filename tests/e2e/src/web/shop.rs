//! What HTTP clients in the tests talk to: an API, a model, a host that is listed and one that is
//! not, and a gateway in front of them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{Gateway, Ports};
use crate::server::Server;
use crate::web::encode::encode;
use crate::web::{Answer, Authority, Origin, Seen};

/// The key that only the gateway holds.
pub const MODEL_KEY: &str = "Bearer sk-upstream-key-4711";
/// Bytes of a large body.
pub const LARGE_BYTES: usize = 64 << 20;
/// Pieces of a reply that does not end by itself, and what is between two.
const ENDLESS: (usize, Duration) = (600, Duration::from_millis(100));

/// Rules of the guide, and some that the tests need.
const RULES: &str = r#"
  - name: mask-cards-and-ssn
    mask: { fields: [credit_card, ssn], with: redact }
  - name: posts-stay-home
    on: ["type:egress"]
    when: "!(http.method in ['GET', 'HEAD']) && !host_in(http.host, lists.partners)"
    block: "{http.method} to {http.host} is not on the allow-list"
  - name: nothing-secret-leaves
    for: { groups: [agents, cautious] }
    on: ["type:egress"]
    when: http.detections.exists(d, d in ["CREDIT_CARD", "US_SSN", "AWS_KEY", "PRIVATE_KEY"])
    block: "the request carries {http.detections}"
  - name: nothing-is-deleted
    on: [api]
    when: http.method == "DELETE"
    block: "nothing is deleted"
  - name: orders-are-approved
    for: { groups: [cautious] }
    when: http.path == "/orders"
    approve: { by: [ops], wait: 60s, expires: 10m, grant: once }
"#;

/// The origins and the gateway.
#[derive(Debug)]
pub struct Shop {
    /// The gateway.
    pub gateway: Gateway,
    /// The API, the model and the listed host.
    pub listed: Origin,
    /// The host that is not listed.
    pub evil: Origin,
    dir: TempDir,
    hosts: Hosts,
}

#[derive(Clone, Copy, Debug)]
struct Hosts {
    listed: SocketAddr,
    evil: SocketAddr,
    server: Option<u16>,
}

impl Shop {
    /// Starts all of it.
    ///
    /// # Errors
    /// Something does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// Starts all of it, with a PostgreSQL listener for this server.
    ///
    /// # Errors
    /// Something does not start.
    pub fn beside(server: &Server) -> Result<Self> {
        Self::start_with(Some(server.upstream().port))
    }

    fn start_with(server: Option<u16>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("narrows-e2e-shop-").tempdir()?;
        let authority = Authority::new(dir.path())?;
        let names = ["localhost", "listed.test", "evil.test", "api.openai.com", "keyed.test"];
        let tls = authority.server(&names)?;
        let listed = Origin::tls(tls.clone(), route)?;
        let evil = Origin::tls(tls, |_| Answer::of("text/plain", "thank you"))?;
        std::fs::write(dir.path().join("model.key"), MODEL_KEY)?;
        let hosts = Hosts { listed: listed.address(), evil: evil.address(), server };
        let gateway = Gateway::start_with(|ports, _| config(ports, dir.path(), hosts, RULES))?;
        Ok(Self { gateway, listed, evil, dir, hosts })
    }

    /// Adds a rule, and lets the gateway read it.
    ///
    /// # Errors
    /// It does not.
    pub fn add_rule(&self, rule: &str) -> Result<()> {
        let rules = format!("{RULES}{rule}");
        let text = config(&self.gateway.ports(), self.dir.path(), self.hosts, &rules);
        self.gateway.rewrite(&text)?;
        self.gateway.narrows(&["reload"])?.success().map(drop)
    }
}

fn config(ports: &Ports, dir: &Path, hosts: Hosts, rules: &str) -> String {
    let Ports { admin, http, egress, postgres } = ports;
    let Hosts { listed, evil, server } = hosts;
    let (port, dir) = (listed.port(), dir.display());
    let (mut listener, mut resource, mut name) = (String::new(), String::new(), "");
    if let Some(server) = server {
        listener = format!("  postgres: 127.0.0.1:{postgres}\n");
        resource = format!(
            "  shop: {{ type: postgres, address: \"127.0.0.1:{server}\", database: shop, user: app, \
             password: {{env: UPSTREAM_PASSWORD}}, tls: off }}\n"
        );
        name = ", shop";
    }
    format!(
        r#"data_dir: ./var
listen:
  admin: 127.0.0.1:{admin}
  http: 127.0.0.1:{http}
  egress: 127.0.0.1:{egress}
{listener}resources:
{resource}  api: {{ type: http, url: "https://localhost:{port}", ca: {{file: "{dir}/ca.pem"}} }}
  files:
    type: http
    url: "https://localhost:{port}"
    ca: {{file: "{dir}/ca.pem"}}
    http: {{ inspect_max: 1MiB, stream_inspect: true }}
  model:
    type: openai
    url: "https://localhost:{port}"
    ca: {{file: "{dir}/ca.pem"}}
    headers: {{ Authorization: {{file: "{dir}/model.key"}} }}
  internet:
    type: egress
    ca: {{file: "{dir}/ca.pem"}}
    hosts:
      listed.test: "{listed}"
      api.openai.com: "{listed}"
      evil.test: "{evil}"
      keyed.test: "{listed}"
    credentials: {{ keyed.test: {{ Authorization: {{file: "{dir}/model.key"}} }} }}
lists:
  partners: [listed.test, api.openai.com]
access:
  - {{ groups: [agents, cautious, loaders], resources: [api, files, model, internet{name}] }}
rules:{rules}"#
    )
}

/// A body whose every word is its place. Made once, by the test that needs it.
static LARGE: LazyLock<Bytes> = LazyLock::new(large);

fn large() -> Bytes {
    let words = u32::try_from(LARGE_BYTES / 4).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(LARGE_BYTES);
    for word in 0..words {
        body.extend_from_slice(&word.to_le_bytes());
    }
    body.into()
}

fn person(id: usize) -> Value {
    json!({
        "id": id, "name": "Ada", "ssn": "536-22-8726", "balance": 12.5,
        "cards": [{ "credit_card": "4012888888881881", "network": "visa" }],
    })
}

fn route(seen: &Seen) -> Answer {
    let target = seen.path();
    let path = target.split('?').next().unwrap_or_default();
    let people: Vec<Value> = (1..=3).map(person).collect();
    let list = Value::from(people.clone()).to_string();
    let pieces = |kind: &str, piece: &dyn Fn(&Value) -> String| {
        let mut answer = Answer::of(kind, "");
        answer.body = people.iter().map(|person| Bytes::from(piece(person))).collect();
        answer
    };
    match path {
        "/customers" => Answer::of("application/json", list),
        "/customers.ndjson" => pieces("application/x-ndjson", &|one| format!("{one}\n")),
        "/events" => pieces("text/event-stream", &|one| format!("event: row\ndata: {one}\n\n")),
        "/gzip" => {
            let body = encode("gzip", list.as_bytes()).unwrap_or_default();
            Answer::of("application/json", body).field("content-encoding", "gzip")
        }
        "/large" => Answer::of("application/octet-stream", LARGE.clone()),
        "/upload" => {
            let whole = seen.complete && seen.body == *LARGE;
            Answer::of("application/json", json!({ "whole": whole }).to_string())
        }
        "/endless" => {
            let mut answer = Answer::of("text/event-stream", "");
            answer.body = (0..ENDLESS.0).map(|n| Bytes::from(format!("data: {n}\n\n"))).collect();
            answer.delay = ENDLESS.1;
            answer
        }
        "/empty" => Answer { body: Vec::new(), ..Answer::of("text/plain", "") }.status(204),
        "/moved" => Answer::of("text/plain", "there")
            .status(302)
            .field("location", &format!("https://{}/customers", seen.host)),
        "/elsewhere" => Answer::of("text/plain", "there")
            .status(307)
            .field("location", "https://evil.test/collect"),
        "/cookie" => {
            let cookie = seen.fields.get("cookie").and_then(|cookie| cookie.to_str().ok());
            Answer::of("text/plain", cookie.unwrap_or_default().to_owned())
                .field("set-cookie", "sid=4711; Path=/; HttpOnly")
        }
        "/mirror" => {
            let shown = format!("{:?}", seen.fields);
            let (one, two) = shown.split_at(shown.len() / 2);
            let mut answer = Answer::of("text/plain", one.to_owned());
            answer.body.push(Bytes::from(two.to_owned()));
            answer
        }
        "/v1/chat/completions" | "/v1/responses" | "/v1/models" => model(path, seen),
        _ if path.starts_with("/grpc.") => {
            let mut answer = Answer::of("application/grpc+proto", seen.body.clone());
            answer.body.push(Bytes::from_static(b"\0\0\0\0\x04more"));
            answer.trailers.push(("grpc-status".to_owned(), "0".to_owned()));
            answer
        }
        _ => {
            let kind = seen.fields.get("content-type").and_then(|kind| kind.to_str().ok());
            let many = seen.fields.get("x-many").and_then(|many| many.to_str().ok());
            Answer::of(kind.unwrap_or("text/plain"), seen.body.clone())
                .field("x-target", target)
                .field("x-many", many.unwrap_or_default())
        }
    }
}

/// A model that wants to call a tool with what it was told, and says so at once or in events.
fn model(path: &str, seen: &Seen) -> Answer {
    let request: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let streamed = request.get("stream") == Some(&Value::from(true));
    let arguments = r#"{"id": 7, "ssn": "536-22-8726"}"#;
    let call = json!({ "id": "call_1", "type": "function", "index": 0,
        "function": { "name": "save", "arguments": arguments } });
    let event = |value: Value| {
        let name = value.get("type").and_then(Value::as_str).map(|name| format!("event: {name}\n"));
        Bytes::from(format!("{}data: {value}\n\n", name.unwrap_or_default()))
    };
    let events = |values: Vec<Value>| {
        let mut answer = Answer::of("text/event-stream", "");
        answer.body = values.into_iter().map(event).collect();
        answer
    };
    match (path, streamed) {
        ("/v1/models", _) => Answer::of(
            "application/json",
            r#"{"object":"list","data":[{"id":"m","object":"model","created":1,"owned_by":"x"}]}"#,
        ),
        ("/v1/chat/completions", false) => {
            let message = json!({ "role": "assistant", "content": "done", "tool_calls": [call] });
            let choice = json!({ "index": 0, "finish_reason": "tool_calls", "message": message });
            let whole = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [choice] });
            Answer::of("application/json", whole.to_string())
        }
        ("/v1/chat/completions", true) => {
            let chunk = |delta: Value| {
                let choice = json!({ "index": 0, "delta": delta, "finish_reason": null });
                json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [choice] })
            };
            let words = ["Grüße", ", ", "Welt"];
            let words = words.iter().map(|word| chunk(json!({ "content": word })));
            let call = chunk(json!({ "tool_calls": [call] }));
            let mut answer = events(words.chain([call]).collect());
            answer.body.push(Bytes::from_static(b"data: [DONE]\n\n"));
            answer
        }
        (_, streamed) => {
            let call = json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1",
                "name": "save", "arguments": arguments, "status": "completed" });
            let response = json!({ "id": "resp_1", "object": "response", "created_at": 1,
                "model": "m", "status": "completed", "output": [call], "tools": [],
                "parallel_tool_calls": true, "tool_choice": "auto" });
            if !streamed {
                return Answer::of("application/json", response.to_string());
            }
            let delta = |n: usize, text: &str| {
                json!({ "type": "response.output_text.delta", "item_id": "i", "output_index": 0,
                    "content_index": 0, "delta": text, "sequence_number": n, "logprobs": [] })
            };
            let done =
                json!({ "type": "response.completed", "sequence_number": 3, "response": response });
            events(vec![delta(0, "Grüße"), delta(1, ", "), delta(2, "Welt"), done])
        }
    }
}

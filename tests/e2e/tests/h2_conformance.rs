//! HTTP/2 of both listeners against what RFC 9113 and RFC 7541 ask of a server.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use e2e::Gateway;
use e2e::web::frames::Road;
use e2e::web::http2_cases::CASES;
use e2e::web::{Answer, Authority, Origin, Seen};

/// The connection ends with `PROTOCOL_ERROR` where a code of its own is asked for. Who sent it learns
/// less; nothing of it is used.
const CODE: &str = "got ConnectionError(1)";

/// What the library that frames HTTP/2 does in another way than is asked for, and what comes of it
/// here: case, outcome, why it does no harm.
const DIFFERS: &[(&str, &str, &str)] = &[
    ("4.3/1", CODE, "another code"),
    ("5.1/5", CODE, "another code"),
    ("5.1/9", CODE, "another code"),
    ("6.3/2", CODE, "another code, and the connection instead of the stream"),
    ("6.4/2", CODE, "another code"),
    ("6.5/1", CODE, "another code"),
    ("6.5/3", CODE, "another code"),
    ("6.5.2/2", CODE, "another code"),
    ("6.7/4", CODE, "another code"),
    ("6.8/2", CODE, "another code"),
    ("6.9/3", CODE, "another code"),
    ("hpack/2.3.3/1", CODE, "another code"),
    ("hpack/2.3.3/2", CODE, "another code"),
    ("hpack/2.3.3/3", CODE, "another code"),
    ("hpack/4.2/1", CODE, "another code"),
    ("hpack/5.1/1", CODE, "another code"),
    ("hpack/5.1/2", CODE, "another code"),
    ("hpack/5.2/1", CODE, "another code"),
    ("hpack/5.2/2", CODE, "another code"),
    ("hpack/5.2/3", CODE, "another code"),
    ("hpack/5.2/4", CODE, "another code"),
    ("hpack/5.2/5", CODE, "another code"),
    ("hpack/6.1/1", CODE, "another code"),
    ("hpack/6.3/2", CODE, "another code"),
    ("3.4/4", "got Unmoved", "frames before SETTINGS are read as those after them"),
    (
        "8.3/3",
        "got Answered(200)",
        "pseudo-header fields after a body are dropped: neither rules nor the upstream see them",
    ),
    (
        "8.3.1/12",
        "got Answered(200)",
        "the fragment is dropped before anything is judged: rules and the upstream see the same path",
    ),
];

/// How much the gateway may grow over all of it.
const GROWTH_MAX: u64 = 64 << 20;
/// Bytes of the answer to `/big`: more than the window of a connection.
const BIG_BYTES: usize = 200_000;

fn route(seen: &Seen) -> Answer {
    match seen.path() {
        path if path.ends_with("/big") => Answer::of("text/plain", vec![b'x'; BIG_BYTES]),
        path if path.ends_with("/slow") => {
            let mut answer = Answer::of("text/plain", "");
            answer.body = vec!["a".into(); 50];
            answer.delay = std::time::Duration::from_millis(100);
            answer
        }
        _ => Answer::of("text/plain", "fine"),
    }
}

struct Bench {
    gateway: Gateway,
    origin: Origin,
    _files: tempfile::TempDir,
}

impl Bench {
    fn start() -> Result<Self> {
        let files = tempfile::tempdir()?;
        let tls = Authority::new(files.path())?.server(&["localhost", "listed.test"])?;
        let origin = Origin::tls(tls, route)?;
        let (port, ca) = (origin.address().port(), files.path().join("ca.pem"));
        let ca = ca.display();
        let gateway = Gateway::start_with(|ports, _| {
            let listen = ports.web();
            format!(
                r#"{listen}resources:
  api: {{ type: http, url: "http://127.0.0.1:{port}" }}
  internet: {{ type: egress, ca: {{file: "{ca}"}}, hosts: {{ listed.test: "127.0.0.1:{port}" }} }}
access:
  - {{ groups: [agents], resources: [api, internet] }}
"#
            )
        })?;
        Ok(Self { gateway, origin, _files: files })
    }

    fn roads(&self) -> Result<[Road; 4]> {
        let token = self.gateway.agent("framer")?.secret;
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (http, egress) = (at(self.gateway.ports().http), at(self.gateway.ports().egress));
        Ok([
            Road::Reverse(http, token.clone(), "api"),
            Road::ReverseTls(http, token.clone(), "api"),
            Road::Proxy(egress, token.clone(), "listed.test"),
            Road::Tunnel(egress, token, "listed.test"),
        ])
    }
}

#[test]
fn p2_p8_frames_and_fields_are_taken_or_refused_as_the_rfcs_ask() -> Result<()> {
    let bench = Bench::start()?;
    let roads = bench.roads()?;
    let fine = CASES.iter().find(|case| case.id == "g/1").context("a request that is fine")?;
    fine.run(&roads[0])?;
    let before = bench.gateway.memory_peak()?;
    let (mut tried, mut wrong) = (0, Vec::new());
    for road in &roads {
        for case in CASES {
            tried += 1;
            let result = case.run(road);
            let listed = DIFFERS.iter().find(|(id, ..)| *id == case.id);
            match (result, listed) {
                (Ok(()), None) => {}
                (Err(error), Some((_, got, _))) if error.to_string().ends_with(got) => {}
                (Err(error), _) => wrong.push(format!("{}: {case:?}: {error:#}", road.name())),
                (Ok(()), Some(_)) => {
                    wrong.push(format!("{}: {case:?}: differs no more", road.name()));
                }
            }
            // Whatever became of that connection, others are served.
            let after = fine.run(&roads[0]);
            after.with_context(|| format!("{}: after {case:?}", road.name()))?;
        }
    }
    let grown = bench.gateway.memory_peak()?.saturating_sub(before);
    ensure!(grown < GROWTH_MAX, "the gateway grew by {} MiB", grown >> 20);
    println!(
        "{tried} cases, it grew by {} KiB, {} differ as listed",
        grown >> 10,
        DIFFERS.len() * roads.len()
    );
    for seen in bench.origin.seen() {
        let fields = seen.trailers.iter().chain([&seen.fields]);
        let pseudo = fields.flat_map(|map| map.keys()).any(|name| name.as_str().starts_with(':'));
        ensure!(!pseudo && !seen.target.contains('#'), "{seen:?}");
    }
    let seen = bench.origin.seen();
    let passed: Vec<&str> =
        seen.iter().map(Seen::path).filter(|path| path.contains("malformed")).collect();
    let allowed = roads.len() * DIFFERS.iter().filter(|(_, got, _)| got.contains("200")).count();
    ensure!(!bench.gateway.log().contains("panicked"), "{}", bench.gateway.log_tail());
    ensure!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(passed.len() == allowed, "malformed requests were sent upstream: {passed:?}");
    Ok(())
}

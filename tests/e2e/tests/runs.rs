//! `show --run`: what one token does across resources, told in order as one story.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::web::Shop;
use e2e::{Child, Psql, Server, Token};
use serde_json::Value;

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn curl(shop: &Shop, words: &[&str]) -> Result<String> {
    let mut curl = Command::new("curl");
    let path = std::env::var_os("PATH").unwrap_or_default();
    curl.args(["-sS", "--max-time", "50", "-o", "/dev/null", "-w", "%{http_code}"]);
    curl.args(words).env_clear().env("PATH", path).current_dir(shop.gateway.dir());
    Child::start_piped(&mut curl)?.output(PATIENCE)?.success()
}

/// One request on each face, and a statement, all in this run.
fn act(shop: &Shop, token: &Token, run: &str, path: &str) -> Result<()> {
    let ports = shop.gateway.ports();
    let (secret, field) = (&token.secret, format!("Narrows-Run: {run}"));
    let url = format!("http://127.0.0.1:{}/r/api{path}", ports.http);
    let bearer = format!("Authorization: Bearer {secret}");
    ensure!(curl(shop, &[&url, "-H", &bearer, "-H", &field])? == "200", "{run}: in front");
    let proxy = format!("http://x:{secret}@127.0.0.1:{}", ports.egress);
    let url = format!("http://listed.test{path}");
    ensure!(curl(shop, &["--proxy", &proxy, &url, "-H", &field])? == "200", "{run}: out");
    let name = format!("narrows.run={run}");
    let psql = Psql::new(ports.postgres, secret, "shop").env("PGAPPNAME", &name);
    let said = psql.psql(&["show application_name"])?.success()?;
    ensure!(said.trim() == name, "the server was told {said}");
    Ok(())
}

fn list<'a>(shown: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    shown.get(key).and_then(Value::as_array).with_context(|| format!("{key}: {shown}"))
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn a_run_is_one_story_across_resources() -> Result<()> {
    let server = Server::start()?;
    let shop = Shop::beside(&server)?;
    let token = shop.gateway.agent("worker")?;
    act(&shop, &token, "nightly-7", "/customers?first")?;
    act(&shop, &token, "other", "/customers?second")?;
    act(&shop, &token, "nightly-7", "/customers?third")?;
    let stranger = shop.gateway.agent("stranger")?;
    act(&shop, &stranger, "nightly-7", "/customers?strange")?;
    // What is no name of a run is refused, and no field of ours goes further.
    let url = format!("http://127.0.0.1:{}/r/api/customers", shop.gateway.ports().http);
    let bearer = format!("Authorization: Bearer {}", token.secret);
    for bad in ["a/b", &stranger.id] {
        let field = format!("Narrows-Run: {bad}");
        ensure!(curl(&shop, &[&url, "-H", &bearer, "-H", &field])? == "400", "{bad} is no name");
    }
    for seen in shop.listed.seen() {
        ensure!(seen.fields.get("narrows-run").is_none(), "{:?}", seen.fields);
    }
    let named = format!("{}/nightly-7", token.id);
    let shown = shop.gateway.json(&["show", "--run", &named])?;
    let sessions = list(&shown, "sessions")?;
    let mut resources: Vec<&str> = sessions.iter().map(|one| word(one, "resource")).collect();
    resources.sort_unstable();
    // A connection to a database is a session of its own.
    ensure!(resources == ["api", "internet", "shop", "shop"], "{resources:?}");
    ensure!(sessions.iter().all(|one| word(one, "run") == "nightly-7"), "{sessions:?}");
    let events = list(&shown, "events")?;
    let times: Vec<&str> = events.iter().map(|event| word(event, "at")).collect();
    ensure!(times.is_sorted(), "out of order: {times:?}");
    let asked = |events: &[Value]| -> Vec<String> {
        let asked = events.iter().filter(|event| word(event, "kind") == "operation");
        asked.map(|event| format!("{} {}", word(event, "resource"), word(event, "text"))).collect()
    };
    let port = shop.listed.address().port();
    let wanted = ["/customers?first", "/customers?third"].map(|path| {
        [
            format!("api GET https://localhost:{port}{path}"),
            format!("internet GET http://listed.test{path}"),
            "shop show application_name".to_owned(),
        ]
    });
    ensure!(asked(events) == wanted.concat(), "{:?}", asked(events));
    // A name alone is everybody's run of that name; a token alone is all it did.
    let count = |run: &str| -> Result<usize> {
        Ok(asked(list(&shop.gateway.json(&["show", "--run", run])?, "events")?).len())
    };
    ensure!(count("nightly-7")? == 9 && count(&token.id)? == 11, "by name and by token");
    let told = shop.gateway.narrows(&["show", "--run", &named])?.success()?;
    let places =
        ["api ", "/customers?first", "internet ", "listed.test/customers?first", "shop ", "?third"];
    let mut rest = &*told;
    for place in places {
        let at =
            rest.find(place).with_context(|| format!("{place} is not told in turn:\n{told}"))?;
        rest = rest.get(at..).unwrap_or_default();
    }
    ensure!(!told.contains("?second") && !told.contains("?strange"), "{told}");
    let none = shop.gateway.narrows(&["show", "--run", "nobody's"])?;
    ensure!(none.code() != 0 && none.stderr.contains("no session belongs"), "{none:?}");
    Ok(())
}

#[test]
fn p8_a_token_has_so_many_named_runs_and_others_go_on() -> Result<()> {
    const RUNS_MAX: usize = 100;
    let shop = Shop::start()?;
    let url = format!("http://127.0.0.1:{}/r/api/customers", shop.gateway.ports().http);
    let ask = |token: &Token, run: &str| {
        let bearer = format!("Authorization: Bearer {}", token.secret);
        curl(&shop, &[&url, "-H", &bearer, "-H", &format!("Narrows-Run: {run}")])
    };
    let token = shop.gateway.agent("worker")?;
    for run in 0..RUNS_MAX {
        let status = ask(&token, &format!("run-{run}"))?;
        ensure!(status == "200", "run {run}: {status}");
    }
    ensure!(ask(&token, "one-more")? == "503", "there is no end of them");
    ensure!(ask(&token, "run-7")? == "200", "those that are known go on");
    ensure!(ask(&shop.gateway.agent("other")?, "one-more")? == "200", "others are not concerned");
    Ok(())
}

//! The archive, end to end: asked by commands and by SQL, checked by two programs, edited, cut, and
//! kept in a bucket that misbehaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::web::Shop;
use e2e::{
    Bucket, Child, Config, Gateway, Lab, Psql, RULES, Server, evidence, lab_with, public_key,
    repository, until, uses, within,
};
use serde_json::Value;

/// How long a program of Python's may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an archive may take that many kills have interrupted.
const CATCH_UP: Duration = Duration::from_secs(1800);
const EVERY_SECOND: &str = "recording: { archive_every: 1s, keep_journal: 0 }";
/// A rule that has every reply searched.
const WATCH: &str =
    "\n  - name: watch\n    when: result.detections.size() > 0\n    alert: \"values seen\"\n";

fn watched() -> Config {
    Config::rules(&format!("{}{WATCH}", RULES.trim_end())).with(EVERY_SECOND)
}

fn store(gateway: &Gateway) -> PathBuf {
    gateway.dir().join("var/recordings")
}

/// Some work: values that are masked, one that is not, a refusal.
fn work(lab: &Lab, name: &str) -> Result<()> {
    let token = lab.gateway.agent(name)?;
    let mut wire = lab.wire(&token)?;
    wire.query("SELECT id, email, ssn FROM customers WHERE id < 4")?;
    wire.query("SELECT count(*) FROM orders")?;
    wire.query("DROP TABLE customers")?;
    drop(wire);
    lab.gateway.events_of(name).map(drop)
}

/// Stops the gateway, so that everything is archived.
fn settle(lab: &mut Lab) -> Result<()> {
    let status = lab.gateway.stop()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Waits until everything but what is being written is archived: after many kills that is much.
fn catch_up(lab: &Lab) -> Result<()> {
    let var = lab.gateway.dir().join("var");
    within(CATCH_UP, "the archive catches up", || {
        let Ok(text) = fs::read(var.join("archive.json")) else { return Ok(None) };
        let head: Value = serde_json::from_slice(&text)?;
        let reached = head.get("segment").and_then(Value::as_u64).context("a segment")?;
        let mut newest = 0;
        for entry in fs::read_dir(var.join("journal"))? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".nj"));
            let number = number.and_then(|name| name.rsplit('-').next()?.parse::<u64>().ok());
            newest = newest.max(number.unwrap_or_default());
        }
        Ok((reached + 1 >= newest).then_some(()))
    })
}

#[test]
fn p6_the_three_questions_have_answers_by_command_and_by_sql() -> Result<()> {
    lab_with(&watched(), |lab| {
        work(lab, "reader")?;
        let mine = |decision: &str, outcome: &str| {
            ("reader".to_owned(), decision.to_owned(), outcome.to_owned())
        };
        let wanted = [mine("mask", "done"), mine("block", "-")];
        // From the journal, the archive, or both: the answer is the same.
        let live = lab.gateway.json(&["audit", "who", "--table", "customers"])?;
        assert_eq!(uses(&live), wanted, "{live}");
        let told = lab.gateway.narrows(&["audit", "who", "--table", "public.customers"])?;
        let told = told.success()?;
        for word in ["reader", "masked select on shop", "refused drop", "got 3 rows", "masked: ssn"]
        {
            assert!(told.contains(word), "{word:?} is not in:\n{told}");
        }
        // Nothing here is sealed, and so nothing can be erased by key.
        let no =
            lab.gateway.narrows(&["audit", "erase", "--principal", "reader", "--reason", "r"])?;
        assert_eq!(no.code(), 1, "{no:?}");
        assert!(no.stderr.contains("recording.encryption is not set"), "{}", no.stderr);
        let nobody = lab.gateway.narrows(&["audit", "who", "--table", "nothing"])?.success()?;
        assert!(nobody.starts_with("nobody used nothing from "), "{nobody}");
        settle(lab)?;

        let folder = store(&lab.gateway);
        let copy = folder.display().to_string();
        let ask = |words: &[&str]| lab.gateway.json(&[words, &["--store", &copy]].concat());
        assert_eq!(uses(&ask(&["audit", "who", "--table", "customers"])?), wanted);
        let fields = ask(&["audit", "fields", "--principal", "reader"])?.to_string();
        assert!(fields.contains(r#""origin":"public.customers.ssn""#), "{fields}");
        assert!(fields.contains(r#""mask":"redact""#), "{fields}");
        let pii = ask(&["audit", "pii"])?;
        let mail = pii.pointer("/types/EMAIL/sent").and_then(Value::as_u64);
        assert_eq!(mail, Some(3), "three addresses left in clear: {pii}");
        let ssn = pii.pointer("/types/US_SSN");
        assert_eq!(ssn.and_then(|of| of.get("sent")).and_then(Value::as_u64), Some(0), "{pii}");
        assert!(ssn.and_then(|of| of.get("searched")?.as_u64()) > Some(0), "{pii}");
        let hits = ask(&["audit", "search", "customer3@shop.example"])?.to_string();
        assert!(hits.contains(r#""place":"payload""#), "{hits}");

        let page = repository("docs/guide/audit-sql.md")?;
        let answers = evidence("questions.py", &[&folder, &page])?.success()?;
        let answers: Vec<Vec<Value>> = serde_json::from_str(&answers)?;
        let by_sql: Vec<_> = answers.get(1).context("who")?.iter().collect();
        assert_eq!(by_sql.len(), 2, "{by_sql:?}");
        let masked = answers.get(2).context("fields")?.iter().any(|row| {
            row.get("field") == Some(&Value::from("public.customers.ssn"))
                && row.get("mask") == Some(&Value::from("redact"))
        });
        assert!(masked, "{:?}", answers.get(2));
        let sent = answers
            .get(3)
            .context("pii")?
            .iter()
            .find(|row| row.get("kind") == Some(&Value::from("EMAIL")));
        assert_eq!(sent.and_then(|row| row.get("sent")), Some(&Value::from(3)), "{answers:?}");
        let read = Value::from(answers.last().context("who read")?.clone()).to_string();
        assert!(read.contains("audit.who") && read.contains("session.read"), "{read}");
        Ok(())
    })
}

#[test]
fn p6_two_programs_agree_that_an_archive_is_whole_and_that_an_edited_one_is_not() -> Result<()> {
    lab_with(&watched(), |lab| {
        work(lab, "first")?;
        until("something is archived", || {
            Ok(lab
                .gateway
                .narrows(&["audit", "anchor"])?
                .success()
                .ok()
                .filter(|of| of.contains("hash")))
        })?;
        let key = public_key(&lab.gateway)?;
        settle(lab)?;
        let folder = store(&lab.gateway);
        let verify = |more: &[&str]| lab.gateway.narrows(&[&["audit", "verify"], more].concat());
        let said = verify(&[])?.success()?;
        assert!(
            said.contains("whole and unchanged; signed by a key given; it reaches as far"),
            "{said}"
        );
        evidence("verify.py", &[&folder, &key])?.success()?;

        let file = first_file(&folder.join("events"))?;
        let whole = fs::read(&file)?;
        let mut edited = whole.clone();
        let middle = edited.len() / 2;
        *edited.get_mut(middle).context("a file")? ^= 1;
        fs::write(&file, edited)?;
        let said = verify(&[])?;
        assert_eq!(said.code(), 1, "{said:?}");
        assert!(said.stdout.contains("changed events/date="), "{}", said.stdout);
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        assert_eq!(evidence("verify.py", &[&folder, &key])?.code(), 1);
        // What data_dir remembers may be lost; what is there is checked all the same.
        let remembers = lab.gateway.dir().join("var/archive.json");
        let kept = fs::read(&remembers)?;
        fs::remove_file(&remembers)?;
        let said = verify(&["--json"])?;
        assert_eq!(said.code(), 1, "{said:?}");
        assert!(
            said.stdout.contains(r#""wrong":"changed""#)
                || said.stdout.contains(r#""wrong": "changed""#),
            "{}",
            said.stdout
        );
        fs::write(&remembers, kept)?;
        fs::write(&file, whole)?;

        // A tail cut off shows on the machine that knows how far it reached, and with an anchor.
        let newest = first_file_of(&folder.join("manifests"), true)?;
        fs::remove_file(&newest)?;
        let said = verify(&[])?;
        assert_eq!(said.code(), 1, "{said:?}");
        assert!(said.stdout.contains("cut manifests/gateway="), "{}", said.stdout);
        // Elsewhere nobody can know.
        let place = folder.display().to_string();
        let (pem, no) = (key.display().to_string(), verify(&["--store", &place])?);
        assert_eq!(no.code(), 2);
        assert!(no.stderr.contains("no public key to check the signatures with"), "{}", no.stderr);
        let said = verify(&["--store", &place, "--public-key", &pem])?;
        let said = format!("{}{}", said.stdout, said.stderr);
        assert!(
            said.contains("newest part was not cut off is not checked")
                || said.contains("no manifest names"),
            "{said}"
        );
        let said = verify(&["--store", &place, "--public-key", &pem, "--until", "0s"])?;
        assert_eq!(said.code(), 1, "{said:?}");
        Ok(())
    })
}

#[test]
fn p6_an_answer_that_may_lack_something_is_no_yes() -> Result<()> {
    lab_with(&watched(), |lab| {
        work(lab, "reader")?;
        let told = lab.gateway.session_of("reader")?;
        let id = told.get("id").and_then(Value::as_str).context("an id")?.to_owned();
        settle(lab)?;
        let folder = store(&lab.gateway);
        let copy = folder.display().to_string();
        let ask = |words: &[&str]| lab.gateway.narrows(&[words, &["--store", &copy]].concat());
        let questions: [&[&str]; 8] = [
            &["audit", "who", "--table", "customers"],
            &["audit", "who", "--table", "nothing"],
            &["audit", "fields", "--principal", "nobody"],
            &["audit", "pii", "--at", "3h", "--window", "30m"],
            &["audit", "search", "no such text"],
            &["audit", "unseal", &id],
            &["audit", "export", "--since", "1d", "--format", "jsonl"],
            &["audit", "who", "--table", "nothing", "--json"],
        ];
        for question in questions {
            ask(question)?.success()?;
        }
        let none = ask(&["audit", "unseal", "s_none"])?;
        assert_eq!(none.code(), 1, "{none:?}");
        assert!(none.stderr.contains("there is no event of s_none"), "{none:?}");

        // Every question but that about another time misses the file.
        let file = first_file(&folder.join("events"))?;
        let kept = fs::read(&file)?;
        fs::remove_file(&file)?;
        for question in questions {
            let said = ask(question)?;
            let words = format!("{}{}", said.stdout, said.stderr);
            let misses = !question.contains(&"pii");
            assert_eq!(said.code(), i32::from(misses), "{question:?}: {words}");
            assert_eq!(words.contains("it was signed and is not here"), misses, "{words}");
            let is_asked = ["who", "fields", "search"].iter().any(|of| question.contains(of));
            if is_asked && !question.contains(&"--json") {
                assert!(words.contains("cannot say"), "{question:?}: {words}");
            }
        }
        fs::write(&file, kept)?;

        fs::rename(folder.join("manifests"), folder.join("gone"))?;
        let said = ask(&["audit", "who", "--table", "customers"])?;
        assert_eq!(said.code(), 1, "{said:?}");
        assert!(said.stderr.contains("holds no manifest"), "{said:?}");
        fs::rename(folder.join("gone"), folder.join("manifests"))?;

        let misused: [&[&str]; 8] = [
            &["audit", "who", "--table", ""],
            &["audit", "search", ""],
            &["audit", "who", "--table", "t", "--at", "yesterday"],
            &["audit", "who", "--table", "t", "--since", "1960-01-01T00:00Z"],
            &["audit", "verify", "--public-key", "nofile"],
            &["audit", "verify", "--proof", "p.json", "--unsigned"],
            &["audit", "who", "--table", "t", "--store", "./missing"],
            &["audit", "unseal", &id],
        ];
        for words in misused {
            let said = lab.gateway.narrows(words)?;
            assert_eq!(said.code(), 2, "{words:?}: {said:?}");
        }
        Ok(())
    })
}

#[test]
fn p6_a_session_of_each_face_is_proved_alone() -> Result<()> {
    let server = Server::start()?;
    let mut shop = Shop::beside(&server)?;
    let token = shop.gateway.agent("worker")?;
    let ports = shop.gateway.ports();
    let statement = Psql::new(ports.postgres, &token.secret, "shop").psql(&["select 1"])?;
    statement.success()?;
    let bearer = format!("Authorization: Bearer {}", token.secret);
    let proxy = format!("http://x:{}@127.0.0.1:{}", token.secret, ports.egress);
    let front = format!("http://127.0.0.1:{}/r/api/customers", ports.http);
    for words in [["-H", &bearer, &front], ["--proxy", &proxy, "http://listed.test/customers"]] {
        // Several at once, whose events are recorded in any order.
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "50", "--parallel", "--parallel-immediate"]).args(words);
        let [.., url] = words;
        curl.args([url; 5]).env_clear();
        curl.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Child::start_piped(curl.current_dir(shop.gateway.dir()))?.output(PATIENCE)?.success()?;
    }
    let sessions = shop.gateway.json(&["sessions"])?;
    let key = public_key(&shop.gateway)?.display().to_string();
    ensure!(shop.gateway.stop()?.success(), "it did not stop well");
    let sessions = sessions.as_array().context("a list")?;
    ensure!(sessions.len() == 3, "{sessions:?}");
    let path = shop.gateway.dir().join("proof.json");
    let file = path.display().to_string();
    for id in sessions.iter().filter_map(|of| of.get("id")?.as_str()) {
        fs::write(&path, shop.gateway.narrows(&["audit", "prove", id])?.success()?)?;
        let verify = |more: &[&str]| {
            shop.gateway.narrows(&[&["audit", "verify", "--proof", &file], more].concat())
        };
        let said = verify(&["--public-key", &key])?.success()?;
        assert!(said.contains("by a key given, from its first to its last"), "{said}");
        verify(&[])?.success()?;
        for more in [["--gateway", "gw-other"], ["--public-key", &format!("gw-other={key}")]] {
            let said = verify(&more)?;
            assert_eq!(said.code(), 1, "{more:?}: {said:?}");
        }
    }
    Ok(())
}

fn first_file(folder: &Path) -> Result<PathBuf> {
    first_file_of(folder, false)
}

/// The first file, or the last, by name.
fn first_file_of(folder: &Path, last: bool) -> Result<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let found = if last { found.pop() } else { found.into_iter().next() };
    found.with_context(|| format!("no file in {}", folder.display()))
}

#[test]
fn p5_a_session_is_told_from_the_archive_when_the_journal_has_let_go_of_it() -> Result<()> {
    lab_with(&watched(), |lab| {
        work(lab, "early")?;
        let before = lab.gateway.events_of("early")?;
        settle(lab)?;
        lab.gateway.launch()?;
        // The journal keeps nothing that is archived: only what came since is there.
        until("the journal has let go of what is archived", || {
            let journal = fs::read_dir(lab.gateway.dir().join("var/journal"))?;
            let segments = journal.filter_map(|of| of.ok()?.file_name().into_string().ok());
            Ok((segments.filter(|name| name.ends_with(".nj")).count() <= 2).then_some(()))
        })?;
        assert_eq!(lab.gateway.events_of("early")?, before);
        let told = lab.gateway.session_of("early")?;
        let id = told.get("id").and_then(Value::as_str).context("an id")?;
        // A lost index comes back from the archive.
        lab.gateway.stop()?;
        for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
            let _ = fs::remove_file(lab.gateway.dir().join("var").join(name));
        }
        lab.gateway.launch()?;
        assert!(lab.gateway.session_of("early").is_err(), "the journal has nothing of it");
        lab.gateway.narrows(&["audit", "reindex"])?.success()?;
        assert_eq!(lab.gateway.session_of("early")?, told);
        assert_eq!(lab.gateway.events_of("early")?, before);
        let story = lab.gateway.narrows(&["show", id])?.success()?;
        for word in ["blocked", "[REDACTED]", "destructive statement"] {
            assert!(story.contains(word), "{word:?} is not in:\n{story}");
        }
        Ok(())
    })
}

#[test]
fn p7_what_was_said_is_sealed_opened_by_its_key_and_erased_with_it() -> Result<()> {
    let sealed =
        "recording: { archive_every: 1s, keep_journal: 0, encryption: { key: {env: AUDIT_KEY} } }";
    let server = Server::start()?;
    let key = "6b1f0d0ab5e64e13a0c9c2b7f1d25f7d3c8a9e0b4f6d7c5e2a1b3c4d5e6f7a8b";
    let config = Config::rules(RULES).with(sealed);
    let gateway = Gateway::start_in(&[("AUDIT_KEY", key)], &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    work(&lab, "ann")?;
    work(&lab, "bob")?;
    settle(&mut lab)?;
    let folder = store(&lab.gateway);
    let copy = folder.display().to_string();
    let ask =
        |lab: &Lab, words: &[&str]| lab.gateway.narrows(&[words, &["--store", &copy]].concat());
    // Who did what stays readable; what was said does not.
    let who = ask(&lab, &["audit", "who", "--table", "customers"])?.success()?;
    assert!(who.contains("ann") && who.contains("masked select"), "{who}");
    assert!(!who.contains("WHERE id < 4"), "{who}");
    let cells = evidence("cells.py", &[&folder])?.success()?;
    assert!(cells.contains("public.customers") && cells.contains("no-destruction"), "{cells}");
    for said in SAID {
        assert!(!cells.contains(said), "{said:?} is in {cells}");
    }
    let said = ask(&lab, &["audit", "search", "WHERE id < 4"])?;
    assert_eq!(said.code(), 1, "{said:?}");
    assert!(said.stdout.contains("cannot say whether it occurs elsewhere"), "{said:?}");
    let file = lab.gateway.dir().join("audit.key");
    fs::write(&file, key)?;
    let file = file.display().to_string();
    let who = ask(&lab, &["audit", "who", "--table", "customers", "--key", &file])?.success()?;
    assert!(who.contains("WHERE id < 4"), "{who}");
    let id = |lab: &Lab, name: &str| -> Result<String> {
        let told = lab.gateway.session_of(name)?;
        Ok(told.get("id").and_then(Value::as_str).context("an id")?.to_owned())
    };
    evidence("verify.py", &[&folder, &public_key(&lab.gateway)?])?.success()?;

    lab.gateway.launch()?;
    let (ann, bob) = (id(&lab, "ann")?, id(&lab, "bob")?);
    let opened = ask(&lab, &["audit", "unseal", &ann, "--key", &file])?.success()?;
    assert!(opened.contains("WHERE id < 4"), "{opened}");
    assert!(lab.gateway.narrows(&["show", &ann])?.success()?.contains("WHERE id < 4"));
    let said =
        lab.gateway.narrows(&["audit", "erase", "--principal", "ann", "--reason", "asked"])?;
    assert!(said.success()?.contains("erased; what they sealed is gone"));
    let gone = lab.gateway.narrows(&["show", &ann])?.success()?;
    assert!(gone.contains("(sealed)") && !gone.contains("WHERE id < 4"), "{gone}");
    assert!(lab.gateway.narrows(&["show", &bob])?.success()?.contains("WHERE id < 4"));
    let refused = ask(&lab, &["audit", "unseal", &ann, "--key", &file])?;
    assert_eq!(refused.code(), 1, "{refused:?}");
    settle(&mut lab)?;
    lab.gateway.narrows(&["audit", "verify"])?.success()?;
    Ok(())
}

/// What [`work`] says and gets, and what the rule that refuses it answers.
const SAID: [&str; 4] =
    ["SELECT id, email", "shop.example", "DROP TABLE customers", "destructive s"];

/// Files below a folder that hold a text as it is.
fn holding(folder: &Path, text: &str) -> Result<String> {
    let grep = Command::new("grep").args(["-rla", text]).arg(folder).output()?;
    Ok(String::from_utf8(grep.stdout)?)
}

/// What an open session said a moment ago is in the journal alone, and no key of it exists yet:
/// it is sealed before its keys are erased, and the journal lets go of it.
#[test]
fn p7_what_an_open_session_said_last_is_erased_too() -> Result<()> {
    let sealed = "recording: { archive_every: 1h, encryption: { key: {env: AUDIT_KEY} } }";
    let server = Server::start()?;
    let key = "6b1f0d0ab5e64e13a0c9c2b7f1d25f7d3c8a9e0b4f6d7c5e2a1b3c4d5e6f7a8b";
    let config = Config::rules(RULES).with(sealed);
    let gateway = Gateway::start_in(&[("AUDIT_KEY", key)], &config, &server.upstream())?;
    let lab = Lab { gateway, server };
    let erase = |whose: &[&str]| {
        lab.gateway.narrows(&[&["audit", "erase", "--reason", "r"], whose].concat())
    };
    // The first segment is archived. Whom nobody knows, nothing is erased of.
    for nobody in [["--principal", "nobody"].as_slice(), &["s_none"]] {
        let no = erase(nobody)?;
        assert_eq!(no.code(), 1, "{no:?}");
        assert!(no.stderr.contains("there is no key of "), "{}", no.stderr);
    }
    let token = lab.gateway.agent("ann")?;
    let mut wire = lab.wire(&token)?;
    wire.query("SELECT 'words of a moment ago'")?;
    let told = lab.gateway.session_of("ann")?;
    let id = told.get("id").and_then(Value::as_str).context("an id")?;
    let var = lab.gateway.dir().join("var");
    let words = "words of a moment ago";
    assert!(lab.gateway.narrows(&["show", id])?.success()?.contains(words));
    let segments = || -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(var.join("journal"))?;
        let paths: std::io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|of| of == "nj");
        Ok(paths?.into_iter().filter(is_segment).collect())
    };

    // The journal keeps a file that it cannot read, and with it perhaps these words.
    let lock = first_file_of(&var.join("journal"), true)?;
    let gateway = lock.file_stem().and_then(|name| name.to_str()).context("a name")?;
    let name = format!("{gateway}-0000000001.nj");
    let odd = var.join("journal").join(&name);
    fs::write(&odd, "some words")?;
    let refused = erase(&[id])?;
    assert_eq!(refused.code(), 1, "{refused:?}");
    let why = format!("/journal/{name}: part of it is damaged");
    assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    assert!(lab.gateway.narrows(&["show", id])?.success()?.contains(words), "nothing is erased");
    fs::remove_file(&odd)?;
    wire.query("SELECT 'words of a moment ago'")?;
    // Sealed, in one of these.
    let with_words = segments()?;
    ensure!(!with_words.is_empty());

    assert!(erase(&[id])?.success()?.contains("erased; what they sealed is gone"));
    assert!(erase(&[id])?.success()?.contains("its keys were erased before"));
    assert_eq!(holding(&var, words)?, "");
    let left = segments()?;
    assert!(with_words.iter().all(|path| !left.contains(path)), "the journal has them: {left:?}");
    let gone = lab.gateway.narrows(&["show", id])?.success()?;
    assert!(gone.contains("(sealed)") && !gone.contains(words), "{gone}");
    // It goes on.
    wire.query("SELECT 1")?;
    Ok(())
}

/// Kills the gateway at moments that differ, while clients work and every second something is
/// closed, converted, written, signed and deleted. `NARROWS_KILLS` asks for more than a test run does.
#[test]
fn p5_kill_9_at_any_moment_leaves_an_archive_that_is_whole() -> Result<()> {
    let kills = std::env::var("NARROWS_KILLS").ok().and_then(|of| of.parse().ok()).unwrap_or(6);
    lab_with(&Config::open().with(EVERY_SECOND), |lab| {
        let token = lab.gateway.agent("load")?;
        let key = public_key(&lab.gateway)?;
        let script = lab.gateway.dir().join("load.sql");
        fs::write(&script, "SELECT id, email FROM customers WHERE id < 20;\n")?;
        let path = script.display().to_string();
        for round in 0..kills {
            let words = ["-n", "-c", "4", "-t", "100000", "-f", &path];
            let load = lab.driver(&token).start_pgbench(&words)?;
            std::thread::sleep(Duration::from_millis(900 + round * 377 % 1300));
            lab.gateway.kill()?;
            let _ = load.output(PATIENCE)?;
            lab.gateway.launch()?;
        }
        let counted = lab.gateway.json(&["sessions", "--limit", "10000"])?;
        let operations: u64 = counted
            .as_array()
            .context("a list")?
            .iter()
            .filter_map(|session| session.get("operations")?.as_u64())
            .sum();
        catch_up(lab)?;
        settle(lab)?;
        let folder = store(&lab.gateway);
        let said = lab.gateway.narrows(&["audit", "verify", "--json"])?.success()?;
        let report: Value = serde_json::from_str(&said)?;
        assert_eq!(report.get("problems"), Some(&Value::Array(Vec::new())), "{report}");
        evidence("verify.py", &[&folder, &key])?.success()?;
        let copy = folder.display().to_string();
        let who =
            lab.gateway.json(&["audit", "fields", "--principal", "load", "--store", &copy])?;
        // Every operation that was let go had its reply recorded before the client had it, but for
        // those that were running when the gateway was killed.
        let replies = who.get("replies").and_then(Value::as_u64).context("replies")?;
        ensure!(operations > 100, "the load never ran: {operations} operations");
        ensure!(
            replies <= operations && operations - replies <= 8 * kills,
            "{operations} operations and {replies} replies"
        );
        Ok(())
    })
}

#[test]
fn p5_a_bucket_that_misbehaves_delays_the_archive_and_loses_nothing() -> Result<()> {
    let bucket = Bucket::start("audit")?;
    let server = Server::start()?;
    let config = Config::rules(RULES)
        .with("recording: { store: \"s3://audit/narrows\", archive_every: 1s, keep_journal: 0 }");
    let gateway = Gateway::start_in(&bucket.environment(), &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    for (round, fault) in ["none", "slow", "errors", "denied", "cut", "gone"].iter().enumerate() {
        bucket.misbehave(fault)?;
        work(&lab, &format!("during-{fault}"))?;
        if *fault != "none" {
            until("the archive meets the fault", || Ok((bucket.met(fault) > 1).then_some(())))?;
        }
        // Sessions go on whatever the bucket does.
        work(&lab, &format!("still-{round}"))?;
    }
    bucket.misbehave("none")?;
    let reaches = |lab: &Lab| -> Result<u64> {
        let who = lab.gateway.json(&[
            "audit",
            "who",
            "--table",
            "customers",
            "--store",
            "s3://audit/narrows",
        ])?;
        Ok(uses(&who).len() as u64)
    };
    until("the archive has caught up", || Ok((reaches(&lab)? == 24).then_some(())))
        .with_context(|| lab.gateway.log_tail())?;
    lab.gateway.stop()?;
    let said = lab.gateway.narrows(&["audit", "verify"])?.success()?;
    assert!(said.contains("whole and unchanged"), "{said}");
    lab.gateway.launch()?;
    assert_eq!(reaches(&lab)?, 24);
    Ok(())
}

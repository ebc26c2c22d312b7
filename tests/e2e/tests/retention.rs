//! What keeps an archive from being changed or deleted: retention, legal holds, and the store's
//! own encryption, against a server that speaks S3.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use e2e::{Bucket, Config, Gateway, Lab, Output, Server, repository, until};
use serde_json::Value;

const STORE: &str = "s3://audit-bucket/narrows";
const KEY: &str = "6b1f0d0ab5e64e13a0c9c2b7f1d25f7d3c8a9e0b4f6d7c5e2a1b3c4d5e6f7a8b";
const DAY: u64 = 24 * 60 * 60;

/// A gateway whose archive is in a bucket, with more keys under `recording`.
fn lab(bucket: &Bucket, more: &str) -> Result<Lab> {
    lab_as(bucket, more, ("test", "test"))
}

fn lab_as(bucket: &Bucket, more: &str, (id, secret): (&str, &str)) -> Result<Lab> {
    let environment = [
        ("AWS_ENDPOINT_URL", bucket.endpoint()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("AUDIT_KEY", KEY),
    ];
    let server = Server::start()?;
    let gateway = Gateway::start_in(&environment, &config(more), &server.upstream())?;
    Ok(Lab { gateway, server })
}

fn config(more: &str) -> Config {
    let every = if more.contains("archive_every") { "" } else { ", archive_every: 1s" };
    Config::open()
        .with(&format!("recording: {{ store: \"{STORE}\", keep_journal: 0{every}{more} }}"))
}

fn word<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is(of: &Value, name: &str) -> bool {
    of.get(name).and_then(Value::as_bool) == Some(true)
}

/// Whether a version is of an object below `folder`.
fn below(of: &Value, folder: &str) -> bool {
    word(of, "key").starts_with(&format!("narrows/{folder}/"))
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// Everything below `events/` and `manifests/` is locked like this; nothing else is.
fn assert_locked(versions: &[Value], mode: &str, days: u64) -> Result<()> {
    let now = now()?;
    for of in versions {
        let until = of.get("until").and_then(Value::as_u64);
        if below(of, "events") || below(of, "manifests") {
            assert_eq!(word(of, "mode"), mode, "{of}");
            let (from, to) = (now + days * DAY - 600, now + days * DAY + 5);
            assert!(until.is_some_and(|until| (from..=to).contains(&until)), "{now}: {of}");
        } else {
            assert_eq!((word(of, "mode"), until), ("", None), "{of}");
        }
    }
    let count = |folder: &str| versions.iter().filter(|of| below(of, folder)).count();
    ensure!(count("events") > 0 && count("manifests") > 0, "{versions:?}");
    Ok(())
}

fn settle(lab: &mut Lab) -> Result<()> {
    ensure!(lab.gateway.stop()?.success(), "{}", lab.gateway.log_tail());
    Ok(())
}

fn refused(said: &Output, words: &str) {
    assert_eq!(said.code(), 1, "{said:?}");
    assert!(said.stderr.contains(words), "{words:?} is not in {}", said.stderr);
}

#[test]
fn p6_what_is_archived_is_locked_and_keys_are_not() -> Result<()> {
    let bucket = Bucket::lockable("audit-bucket")?;
    let mut lab = lab(&bucket, ", retention: 400d, encryption: { key: {env: AUDIT_KEY} }")?;
    let ann = lab.asks("ann", "SELECT 'words of ann'")?;
    lab.asks("bob", "SELECT 'words of bob'")?;
    settle(&mut lab)?;
    let versions = bucket.versions()?;
    assert_locked(&versions, "COMPLIANCE", 400)?;
    let keys: Vec<&Value> = versions.iter().filter(|of| below(of, "keys")).collect();
    ensure!(!keys.is_empty(), "{versions:?}");
    for of in &versions {
        if below(of, "events") || below(of, "manifests") {
            let said = bucket.ask(&["delete", word(of, "key"), word(of, "version")])?.success()?;
            assert_eq!(said.trim(), "AccessDenied", "{of}");
        }
    }

    // A bucket that locks keeps former versions; of the keys none is left.
    lab.gateway.launch()?;
    let said = lab.gateway.narrows(&["audit", "erase", &ann, "--reason", "asked"])?.success()?;
    assert!(said.contains("what they sealed is gone"), "{said}");
    assert!(lab.gateway.narrows(&["show", &ann])?.success()?.contains("(sealed)"));
    settle(&mut lab)?;
    for of in bucket.versions()?.iter().filter(|of| below(of, "keys")) {
        assert!(is(of, "latest"), "{of}");
    }
    let said = lab.gateway.narrows(&["audit", "verify"])?.success()?;
    assert!(said.contains("whole and unchanged"), "{said}");
    Ok(())
}

/// Files past 16 MiB go in parts, and this server takes no lock with the beginning of those.
#[test]
fn p6_what_goes_in_parts_is_locked_too() -> Result<()> {
    let bucket = Bucket::lockable("audit-bucket")?;
    let every = ", archive_every: 1h, retention: { for: 30d, mode: governance }";
    let mut lab = lab(&bucket, every)?;
    let many = "SELECT md5(random()::text) || md5(random()::text) FROM generate_series(1, 500000)";
    let token = lab.gateway.agent("ann")?;
    lab.driver(&token).psql(&[many])?.success()?;
    // A hold has everything archived at once.
    let hold = lab.gateway.json(&["audit", "hold", "--principal", "ann", "--reason", "r"])?;
    // Two, if an hour ended meanwhile.
    ensure!(hold.get("files").and_then(Value::as_u64) >= Some(1), "{hold}");
    settle(&mut lab)?;
    let versions = bucket.versions()?;
    assert_locked(&versions, "GOVERNANCE", 30)?;
    let bytes = |of: &Value| of.get("bytes").and_then(Value::as_u64).unwrap_or(0);
    ensure!(versions.iter().any(|of| bytes(of) > 16 << 20), "{versions:?}");
    lab.gateway.narrows(&["audit", "verify"])?.success()?;
    Ok(())
}

#[test]
fn p5_a_bucket_that_cannot_lock_is_named_and_nothing_is_lost() -> Result<()> {
    let bucket = Bucket::start("audit-bucket")?;
    let mut lab = lab(&bucket, ", retention: 400d")?;
    lab.asks("ann", "SELECT 'words of ann'")?;
    until("the gateway says that the bucket cannot lock", || {
        Ok(lab.gateway.log().contains("the bucket has no object lock").then_some(()))
    })?;
    assert!(lab.gateway.log().contains("the archive is behind; the journal keeps it"));
    let written = bucket.versions()?;
    assert!(written.is_empty(), "nothing is written that is not locked: {written:?}");
    lab.asks("bob", "SELECT 'words of bob'")?;

    bucket.ask(&["lock"])?.success()?;
    until("the archive goes on", || {
        Ok(lab.gateway.log().contains("the archive goes on").then_some(()))
    })?;
    settle(&mut lab)?;
    assert_locked(&bucket.versions()?, "COMPLIANCE", 400)?;
    lab.gateway.narrows(&["audit", "verify"])?.success()?;
    for name in ["ann", "bob"] {
        let of = ["audit", "export", "--principal", name, "--since", "1d", "--format", "jsonl"];
        let told = lab.gateway.narrows(&[&of[..], &["--store", STORE]].concat())?.success()?;
        assert!(told.contains(&format!("words of {name}")), "{told}");
    }
    Ok(())
}

/// Files that were written before there was a retention, and never signed: the process that signs
/// them locks them first.
#[test]
fn p6_what_a_crash_left_is_locked_before_it_is_signed() -> Result<()> {
    let bucket = Bucket::lockable("audit-bucket")?;
    bucket.misbehave("unsigned")?;
    let mut lab = lab(&bucket, "")?;
    lab.asks("ann", "SELECT 'words of ann'")?;
    until("files are there that nothing names", || {
        let files = bucket.versions()?.iter().filter(|of| below(of, "events")).count();
        Ok((files > 0 && bucket.met("unsigned") > 1).then_some(()))
    })?;
    lab.gateway.kill()?;
    let left = bucket.versions()?;
    ensure!(left.iter().all(|of| below(of, "events") && word(of, "mode").is_empty()), "{left:?}");

    bucket.misbehave("none")?;
    lab.gateway.configure(&config(", retention: 2d"), &lab.server.upstream())?;
    lab.gateway.launch()?;
    settle(&mut lab)?;
    let mut newest = bucket.versions()?;
    newest.retain(|of| is(of, "latest"));
    assert_locked(&newest, "COMPLIANCE", 2)?;
    for of in &left {
        // It had what it should have: no second version of it was made.
        let same = newest.iter().find(|other| word(other, "key") == word(of, "key"));
        assert_eq!(same.map(|same| word(same, "version")), Some(word(of, "version")));
    }
    lab.gateway.narrows(&["audit", "verify"])?.success()?;
    Ok(())
}

/// Which files and manifests have a legal hold.
fn held(bucket: &Bucket) -> Result<Vec<String>> {
    let versions = bucket.versions()?;
    let held = versions.iter().filter(|of| is(of, "hold"));
    Ok(held.map(|of| word(of, "key").to_owned()).collect())
}

#[test]
fn p6_what_is_on_hold_is_locked_and_not_erased_until_it_is_released() -> Result<()> {
    let bucket = Bucket::lockable("audit-bucket")?;
    let mut lab = lab(&bucket, ", encryption: { key: {env: AUDIT_KEY} }")?;
    let ann = lab.asks("ann", "SELECT 'words of ann'")?;
    let bob = lab.asks("bob", "SELECT 'words of bob'")?;
    let hold = lab.gateway.json(&["audit", "hold", &ann, "--reason", "case 4"])?;
    let id = word(&hold, "id").to_owned();
    ensure!(id.starts_with("hd_") && is(&hold, "locks"), "{hold}");
    let first = held(&bucket)?;
    let count = |of: &[String], folder: &str| {
        of.iter().filter(|key| key.starts_with(&format!("narrows/{folder}/"))).count() as u64
    };
    ensure!(count(&first, "events") >= 1 && count(&first, "manifests") >= 1, "{first:?}");
    assert_eq!(count(&first, "keys") + count(&first, "holds"), 0, "{first:?}");
    assert_eq!(hold.get("files").and_then(Value::as_u64), Some(count(&first, "events")));
    assert_eq!(hold.get("manifests").and_then(Value::as_u64), Some(count(&first, "manifests")));
    // The same again is the same hold.
    let again = lab.gateway.json(&["audit", "hold", &ann, "--reason", "case 4"])?;
    assert_eq!(word(&again, "id"), id);

    // Neither a restart nor the loss of what data_dir remembers ends it.
    settle(&mut lab)?;
    lab.gateway.launch()?;
    let erase = |lab: &Lab, whose: &[&str]| {
        lab.gateway.narrows(&[&["audit", "erase", "--reason", "asked"], whose].concat())
    };
    for whose in [[ann.as_str()].as_slice(), &["--principal", "ann"]] {
        let said = erase(&lab, whose)?;
        refused(&said, &format!("nothing was erased: it is on hold\n  {id} holds session {ann}"));
        assert!(said.stderr.contains("case 4"), "{}", said.stderr);
    }
    assert!(lab.gateway.narrows(&["show", &ann])?.success()?.contains("words of ann"));
    let listed = lab.gateway.narrows(&["audit", "holds"])?.success()?;
    assert!(listed.contains(&id) && listed.contains(&format!("session {ann}")), "{listed}");
    let copy = lab.gateway.narrows(&["audit", "holds", "--store", STORE])?.success()?;
    assert!(copy.contains(&id), "{copy}");
    // Of somebody else it can be.
    erase(&lab, &[&bob])?.success()?;

    // A subject is on hold with what is said later, a time with what happened in it.
    lab.gateway
        .narrows(&["audit", "hold", "--principal", "cleo", "--reason", "case 5"])?
        .success()?;
    let cleo = lab.asks("cleo", "SELECT 'words of cleo'")?;
    until("what Cleo says is held", || {
        let held = held(&bucket)?;
        Ok((count(&held, "events") > count(&first, "events")).then_some(()))
    })?;
    refused(&erase(&lab, &[&cleo])?, "holds principal cleo");
    let dora = lab.asks("dora", "SELECT 'words of dora'")?;
    let time = lab.gateway.json(&["audit", "hold", "--since", "1h", "--reason", "case 6"])?;
    refused(&erase(&lab, &[&dora])?, "case 6");

    // What another hold reaches stays held.
    let release = |words: &[&str]| {
        let words = [&["audit", "hold", "--release", "--reason", "over"], words].concat();
        lab.gateway.narrows(&words)
    };
    release(&["--principal", "cleo"])?.success()?;
    ensure!(count(&held(&bucket)?, "events") > count(&first, "events"));
    refused(&erase(&lab, &[&cleo])?, "case 6");
    release(&[word(&time, "id")])?.success()?;
    until("only what holds Ann is held", || {
        let held = held(&bucket)?;
        Ok((count(&held, "events") == count(&first, "events")).then_some(()))
    })?;
    erase(&lab, &[&dora])?.success()?;
    refused(&erase(&lab, &[&ann])?, &id);
    release(&[&id])?.success()?;
    assert_eq!(held(&bucket)?, Vec::<String>::new());
    erase(&lab, &[&ann])?.success()?;
    assert!(!lab.gateway.narrows(&["show", &ann])?.success()?.contains("words of ann"));
    let none = release(&["hd_none"])?;
    refused(&none, "there is no hold hd_none");

    // What is no hold stops no archive: it may be one that reaches everything.
    bucket.ask(&["put", "narrows/holds/note.txt", "odd"])?.success()?;
    let eve = lab.asks("eve", "SELECT 'words of eve'")?;
    until("what Eve says is held", || Ok((count(&held(&bucket)?, "events") > 0).then_some(())))?;
    refused(&erase(&lab, &[&eve])?, "holds/note.txt is no hold");
    bucket.ask(&["remove", "narrows/holds/note.txt"])?.success()?;
    erase(&lab, &[&eve])?.success()?;

    // All of it is recorded before it happens, and the archive is whole.
    settle(&mut lab)?;
    lab.gateway.narrows(&["audit", "verify"])?.success()?;
    let of = ["audit", "export", "--since", "1d", "--format", "jsonl", "--store", STORE];
    let told = lab.gateway.narrows(&of)?.stdout;
    let deeds: Vec<Value> =
        told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let done = |action: &str, target: &str| {
        deeds.iter().any(|of| word(of, "action") == action && word(of, "target") == target)
    };
    assert!(done("audit.hold", &format!("session {ann}")), "{told}");
    assert!(done("audit.release", &format!("hold {id}")), "{told}");
    Ok(())
}

#[test]
fn p6_a_hold_on_a_folder_keeps_keys_from_being_erased() -> Result<()> {
    let server = Server::start()?;
    let sealed = "recording: { archive_every: 1h, encryption: { key: {env: AUDIT_KEY} } }";
    let config = Config::open().with(sealed);
    let gateway = Gateway::start_in(&[("AUDIT_KEY", KEY)], &config, &server.upstream())?;
    let mut lab = Lab { gateway, server };
    let ann = lab.asks("ann", "SELECT 'words of ann'")?;
    let said = lab.gateway.narrows(&["audit", "hold", &ann, "--reason", "case 4"])?.success()?;
    assert!(said.contains("The store cannot lock its files"), "{said}");
    let erase = |lab: &Lab| lab.gateway.narrows(&["audit", "erase", &ann, "--reason", "asked"]);
    refused(&erase(&lab)?, "nothing was erased: it is on hold");
    lab.gateway.kill()?;
    lab.gateway.launch()?;
    refused(&erase(&lab)?, &format!("holds session {ann}"));
    // What is on hold must be known.
    let holds = lab.gateway.dir().join("var/recordings/holds");
    let odd = holds.join("hd_odd.json");
    fs::write(&odd, "{}")?;
    refused(&erase(&lab)?, "holds/hd_odd.json is no hold");
    fs::remove_file(&odd)?;
    let bad = lab.gateway.narrows(&["audit", "hold", "hd_1", "--reason", "r"])?;
    assert_eq!(bad.code(), 2, "{bad:?}");
    let release = ["audit", "hold", &ann, "--release", "--reason", "over"];
    lab.gateway.narrows(&release)?.success()?;
    assert!(erase(&lab)?.success()?.contains("what they sealed is gone"));
    let listed = lab.gateway.json(&["audit", "holds"])?;
    assert_eq!(listed.pointer("/0/released_reason"), Some(&Value::from("over")), "{listed}");
    Ok(())
}

#[test]
fn the_store_is_told_how_to_encrypt() -> Result<()> {
    let arn = "arn:aws:kms:us-east-1:123456789012:key/0b9d1c2e-1111-4222-8333-444455556666";
    for (form, algorithm, key, bucket_key) in [
        ("sse-s3".to_owned(), "AES256", None, None),
        (format!("{{ aws_kms: \"{arn}\", bucket_key: true }}"), "aws:kms", Some(arn), Some(true)),
    ] {
        let bucket = Bucket::start("audit-bucket")?;
        let more = format!(", store_encryption: {form}, encryption: {{ key: {{env: AUDIT_KEY}} }}");
        let mut lab = lab(&bucket, &more)?;
        let ann = lab.asks("ann", "SELECT 'words of ann'")?;
        lab.gateway.narrows(&["audit", "hold", &ann, "--reason", "case 4"])?.success()?;
        settle(&mut lab)?;
        let versions = bucket.versions()?;
        for of in &versions {
            assert_eq!(word(of, "encryption"), algorithm, "{of}");
            assert_eq!(of.get("kms_key").and_then(Value::as_str), key, "{of}");
            assert_eq!(of.get("bucket_key").and_then(Value::as_bool), bucket_key, "{of}");
        }
        for folder in ["events", "manifests", "keys", "holds"] {
            ensure!(versions.iter().any(|of| below(of, folder)), "{folder}: {versions:?}");
        }
        lab.gateway.narrows(&["audit", "verify"])?.success()?;
    }
    Ok(())
}

/// The policy in the guide is enough for everything, under a server that checks signatures: also
/// those of requests that are signed again with a lock.
#[test]
fn the_policy_of_the_guide_is_enough() -> Result<()> {
    let guide = fs::read_to_string(repository("docs/guide/recording.md")?)?;
    let start = guide.find("{\n  \"Version\": \"2012-10-17\"").context("a policy in the guide")?;
    let policy = guide.get(start..).context("a policy")?.split("\n```").next().unwrap_or_default();
    serde_json::from_str::<Value>(policy).context("the policy is JSON")?;
    let bucket = Bucket::guarded("audit-bucket", policy)?;
    let credentials = bucket.credentials()?;
    let mut lab = lab_as(
        &bucket,
        ", retention: 400d, encryption: { key: {env: AUDIT_KEY} }",
        (&credentials.id, &credentials.secret),
    )?;
    let ann = lab.asks("ann", "SELECT 'words of ann'")?;
    lab.gateway.narrows(&["audit", "hold", &ann, "--reason", "case 4"])?.success()?;
    let release = ["audit", "hold", &ann, "--release", "--reason", "over"];
    lab.gateway.narrows(&release)?.success()?;
    lab.gateway.narrows(&["audit", "erase", &ann, "--reason", "asked"])?.success()?;
    settle(&mut lab)?;
    lab.gateway.narrows(&["audit", "verify"])?.success()?;
    let versions = bucket.versions()?;
    assert_locked(&versions, "COMPLIANCE", 400)?;
    let former = versions.iter().find(|of| below(of, "keys") && !is(of, "latest"));
    assert_eq!(former, None);
    // It does not reach further.
    let said = lab.gateway.log();
    assert!(!said.contains("ERROR"), "{said}");
    Ok(())
}

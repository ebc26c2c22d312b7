use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::made::{Folder, GATEWAY, Lab, NO_KEEPING, Random, after};
use crate::bucket::{Bucket, Location};
use crate::manifest::HexHash;
use crate::verify::{Anchor, Options, Report, Wrong, verify};

/// An archive of some minutes, with sessions over several hours.
fn archive() -> Lab {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    for minute in 0..8 {
        if minute % 4 != 3 {
            lab.append(minute, minute * 1000..minute * 1000 + 25);
        }
        rounds.round(after(minute * 1000 + 60)).unwrap();
    }
    lab
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn check(folder: &Path, options: &Options) -> Report {
    let bucket = Bucket::open(&Location::Folder(folder.to_owned()), false).unwrap();
    verify(&Arc::new(bucket), options).unwrap()
}

/// What an attacker with the bucket's credentials could do to one or two of its objects; `false` if
/// this edit would change nothing.
fn edit(random: &mut Random, files: &[PathBuf], kind: u64) -> (bool, String) {
    let mut pick = || &files[usize::try_from(random.below(files.len() as u64)).unwrap()];
    let (one, other) = (pick(), pick());
    let content = fs::read(one).unwrap();
    let length = content.len() as u64;
    match kind {
        0 => {
            let mut changed = content;
            let at = usize::try_from(random.below(length)).unwrap();
            changed[at] ^= 1 << random.below(8);
            fs::write(one, changed).unwrap();
            (true, format!("bit flipped at {at} of {}", one.display()))
        }
        1 => {
            fs::remove_file(one).unwrap();
            (true, format!("deleted {}", one.display()))
        }
        2 => {
            let kept = usize::try_from(random.below(length)).unwrap();
            fs::write(one, &content[..kept]).unwrap();
            (true, format!("cut {} to {kept}", one.display()))
        }
        3 => {
            let there = fs::read(other).unwrap();
            fs::write(one, &there).unwrap();
            fs::write(other, &content).unwrap();
            (there != content, format!("swapped {} and {}", one.display(), other.display()))
        }
        4 => {
            let there = fs::read(other).unwrap();
            fs::write(one, &there).unwrap();
            (there != content, format!("{} put over {}", other.display(), one.display()))
        }
        5 => {
            let copy = one.with_file_name("gw-test-0000000099.parquet");
            fs::write(&copy, content).unwrap();
            (true, format!("{} put beside itself", one.display()))
        }
        _ => {
            let mut changed = content;
            let at = usize::try_from(random.below(length)).unwrap();
            changed.insert(at, u8::try_from(random.below(256)).unwrap());
            fs::write(one, changed).unwrap();
            (true, format!("a byte more at {at} of {}", one.display()))
        }
    }
}

#[test]
fn p6_every_one_of_a_thousand_edits_is_caught_and_a_clean_archive_is_clean() {
    let lab = archive();
    let last = verify(&lab.bucket, &Options::default()).unwrap().gateways[0].clone();
    let anchor = Anchor { gateway: GATEWAY.to_owned(), number: last.last, hash: last.hash };
    let options =
        Options { keys: vec![lab.public().into()], anchors: vec![anchor], ..Options::default() };
    assert_eq!(check(&lab.store(), &options).problems, []);
    let originals: BTreeMap<PathBuf, Vec<u8>> = files(&lab.store())
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let paths: Vec<PathBuf> = originals.keys().cloned().collect();
    let mut random = Random(20261129);
    let mut kinds = [0_u32; 7];
    let mut edits = 0;
    while edits < 1000 {
        let kind = random.below(7);
        let (changes, what) = edit(&mut random, &paths, kind);
        if changes {
            edits += 1;
            kinds[usize::try_from(kind).unwrap()] += 1;
            let report = check(&lab.store(), &options);
            assert!(!report.is_clean(), "edit {edits} was not caught: {what}");
        }
        // As it was.
        for path in files(&lab.store()) {
            if !originals.contains_key(&path) {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, content) in &originals {
            if fs::read(path).ok().as_ref() != Some(content) {
                fs::write(path, content).unwrap();
            }
        }
    }
    assert!(kinds.iter().all(|count| *count > 50), "{kinds:?}");
    assert_eq!(check(&lab.store(), &options).problems, []);
}

#[test]
fn p6_a_tail_that_was_cut_off_shows_by_time_or_by_anchor() {
    let lab = archive();
    let keys = vec![lab.public().into()];
    let whole = check(&lab.store(), &Options { keys: keys.clone(), ..Options::default() });
    let last = whole.gateways[0].clone();
    // The newest manifest and what it names.
    let manifests = lab.bucket.list("manifests").unwrap();
    let mut newest = manifests.clone();
    newest.sort_by_key(|of| crate::manifest::number_in(&of.path));
    lab.bucket.remove(&newest.last().unwrap().path).unwrap();
    let cut = |options: Options| {
        let report = check(&lab.store(), &Options { keys: keys.clone(), ..options });
        report.problems.iter().map(|problem| problem.wrong).collect::<Vec<_>>()
    };
    assert_eq!(cut(Options::default()), [], "nothing in the archive itself can tell");
    assert_eq!(
        cut(Options { until: Some(after(7 * 1000 + 60)), ..Options::default() }),
        [Wrong::Cut]
    );
    let anchor = Anchor { gateway: GATEWAY.to_owned(), number: last.last, hash: last.hash };
    assert_eq!(cut(Options { anchors: vec![anchor], ..Options::default() }), [Wrong::Cut]);
    let other = Anchor { gateway: "gw-gone".to_owned(), number: 1, hash: HexHash::default() };
    assert_eq!(cut(Options { anchors: vec![other], ..Options::default() }), [Wrong::Cut]);
}

#[test]
fn p6_what_is_wrong_is_said_exactly() {
    let lab = archive();
    let options = Options { keys: vec![lab.public().into()], ..Options::default() };
    let say = || {
        let report = check(&lab.store(), &options);
        let say = |of: &crate::verify::Problem| {
            format!("{} {}: {}", of.wrong.as_str(), of.place, of.what)
        };
        report.problems.iter().map(say).collect::<Vec<_>>()
    };
    let event_file = "events/date=2026-11-29/hour=03/gw-test-0000000001.parquet";
    let kept = lab.bucket.get(event_file, u64::MAX).unwrap().unwrap();
    lab.bucket.remove(event_file).unwrap();
    assert_eq!(
        say(),
        [format!("missing {event_file}: a file of 25 events that was signed is not here")]
    );
    lab.bucket.put(event_file, kept).unwrap();

    let manifests = lab.bucket.list("manifests").unwrap();
    let fifth = &manifests.iter().find(|of| of.path.ends_with("000005.manifest")).unwrap().path;
    let kept = lab.bucket.get(fifth, u64::MAX).unwrap().unwrap();
    lab.bucket.remove(fifth).unwrap();
    let said = say();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().any(|said| said.contains("manifests 5 to 5 are not here")), "{said:?}");
    assert!(said.iter().any(|said| said.contains("no manifest names this file")), "{said:?}");
    lab.bucket.put(fifth, kept).unwrap();

    let other = Options { keys: vec![Lab::new().public().into()], ..Options::default() };
    let report = check(&lab.store(), &other);
    assert!(report.problems.iter().any(|of| of.wrong == Wrong::Unsigned));

    let empty = Folder::new();
    let report = check(empty.path(), &options);
    assert_eq!(report.problems[0].what, "there is no manifest at all");
}

/// Someone who can write Parquet changes one event, and the hash beside it or not.
#[test]
fn p6_a_file_that_was_written_anew_tells_which_events_differ() {
    use crate::file::ArchiveFile;
    use crate::schema::FileWriter;
    let lab = archive();
    let options = Options { keys: vec![lab.public().into()], ..Options::default() };
    let path = "events/date=2026-11-29/hour=03/gw-test-0000000001.parquet";
    let mut rows = Vec::new();
    let content = lab.bucket.get(path, u64::MAX).unwrap().unwrap();
    ArchiveFile::of_bytes(content).unwrap().each(|row| rows.push(row)).unwrap();
    let write = |rows: &[crate::row::Row]| {
        let mut writer = FileWriter::new(&[]).unwrap();
        writer.group(rows).unwrap();
        lab.bucket.put(path, writer.finish().unwrap().into()).unwrap();
        let report = check(&lab.store(), &options);
        report.problems.into_iter().map(|of| of.what).collect::<Vec<_>>()
    };
    assert_eq!(
        write(&rows),
        ["not the bytes that were signed; each event agrees with the hash beside it"]
    );
    rows[6].principal = Some("somebody else".into());
    let said = write(&rows);
    assert_eq!(said[0], "not the bytes that were signed");
    assert!(said[1].starts_with("event 7 of 2026-11-29T03:30:06Z"), "{said:?}");
    rows[6].hash = rows[6].leaf(&mut Vec::new());
    let said = write(&rows);
    assert!(said[1].contains("which were changed cannot be told"), "{said:?}");
}

#[test]
fn p6_a_key_is_believed_for_its_own_gateway_alone() {
    use crate::manifest::{Manifest, SigningKey};
    use crate::verify::TrustedKey;
    let lab = archive();
    let (other, _) = SigningKey::make().unwrap();
    let listed = lab.bucket.list("manifests").unwrap();
    let last = listed.iter().max_by_key(|of| crate::manifest::number_in(&of.path)).unwrap();
    let text = lab.bucket.get(&last.path, u64::MAX).unwrap().unwrap();
    let forged = Manifest::read(&text).unwrap().manifest.sign(&other);
    lab.bucket.put(&last.path, forged.into()).unwrap();
    let keys = vec![TrustedKey::from(lab.public()), other.public().into()];
    let report = check(&lab.store(), &Options { keys, ..Options::default() });
    assert!(report.problems.iter().any(|of| of.what.contains("key of another gateway")));
    let of = |gateway: &str, key| TrustedKey { gateway: Some(gateway.to_owned()), key };
    let keys = vec![of(GATEWAY, lab.public()), of("gw-other", other.public())];
    let report = check(&lab.store(), &Options { keys, ..Options::default() });
    assert!(report.problems.iter().any(|of| of.wrong == Wrong::Unsigned));
}

#[test]
fn p6_the_key_of_one_gateway_passes_for_no_other() {
    use crate::verify::TrustedKey;
    let lab = archive();
    let other = lab.neighbour("gw-other").with_key_of(&lab);
    other.append(1, 0..9);
    other.rounds(NO_KEEPING).round(after(60)).unwrap();
    let said = |keys: Vec<TrustedKey>| {
        let report = check(&lab.store(), &Options { keys, ..Options::default() });
        let problems = report.problems.into_iter();
        problems.map(|of| format!("{} {}", of.gateway, of.what)).collect::<Vec<_>>()
    };
    // Nothing tells whose it is, only that it is not both's.
    let both = said(vec![lab.public().into()]);
    assert_eq!(both.len(), 1, "{both:?}");
    assert!(both[0].starts_with("gw-test signed by the same key as gw-other"), "{both:?}");
    let of = |gateway: &str, key| TrustedKey { gateway: Some(gateway.to_owned()), key };
    let theirs = Lab::new().public();
    for named in [
        vec![of(GATEWAY, lab.public())],
        vec![of(GATEWAY, lab.public()), of("gw-other", theirs)],
        // A key that names no gateway is not believed for one that is named.
        vec![of("gw-other", theirs), lab.public().into()],
    ] {
        let said = said(named);
        let of_other = |said: &&String| said.starts_with("gw-other its signature is of none");
        assert_eq!(said.iter().filter(of_other).count(), 1, "{said:?}");
    }
}

#[test]
fn p6_a_gateway_signs_for_no_file_of_another() {
    use crate::manifest::{Manifest, SigningKey, path};
    let lab = archive();
    let (key, _) = SigningKey::make().unwrap();
    let manifests = lab.bucket.list("manifests").unwrap();
    let text = lab.bucket.get(&manifests[0].path, u64::MAX).unwrap().unwrap();
    let mut of_other = Manifest::read(&text).unwrap().manifest;
    of_other.gateway = "gw-other".to_owned();
    let place = path("gw-other", of_other.signed_at().unwrap(), 1);
    lab.bucket.put(&place, of_other.sign(&key).into()).unwrap();
    let keys = vec![lab.public().into(), key.public().into()];
    let report = check(&lab.store(), &Options { keys, ..Options::default() });
    let said: Vec<_> = report.problems.iter().map(|of| (of.wrong, &*of.place)).collect();
    assert_eq!(said, [(Wrong::Reordered, &*place)]);
}

#[test]
fn p6_a_gateway_that_was_named_and_is_gone_is_missed() {
    use crate::verify::TrustedKey;
    let lab = archive();
    let gone = |options: Options| {
        let report = check(&lab.store(), &options);
        let problems = report.problems.into_iter();
        problems.map(|of| format!("{} {}: {}", of.wrong.as_str(), of.gateway, of.what)).collect()
    };
    let none: [String; 0] = [];
    let ours = TrustedKey { gateway: Some(GATEWAY.to_owned()), key: lab.public() };
    let theirs = TrustedKey { gateway: Some("gw-other".to_owned()), key: Lab::new().public() };
    let said: Vec<String> =
        gone(Options { keys: vec![ours.clone(), theirs.clone()], ..Options::default() });
    let [one] = said.as_slice() else { panic!("{said:?}") };
    assert!(one.starts_with("missing gw-other: no manifest of this gateway is here"), "{one}");
    let only = |gateway: &str| Options {
        keys: vec![ours.clone(), theirs.clone()],
        gateway: Some(gateway.to_owned()),
        ..Options::default()
    };
    assert_eq!(gone(only("gw-other")), said);
    assert_eq!(gone(only(GATEWAY)), none);
    fs::create_dir_all(lab.store().join("manifests/gateway=gw-other")).unwrap();
    assert_eq!(gone(only("gw-other")), said, "a folder is no archive");
}

#[test]
fn p6_a_copy_in_another_place_is_told_and_left_out_of_answers() {
    use crate::evidence::{Evidence, Span};
    let lab = archive();
    let span = Span { from: model::Timestamp(0), to: after(100_000) };
    let ask = || Evidence::of_store(Arc::clone(&lab.bucket)).pii(&span).unwrap();
    let before = ask();
    let path = "events/date=2026-11-29/hour=03/gw-test-0000000001.parquet";
    let content = lab.bucket.get(path, u64::MAX).unwrap().unwrap();
    for place in [
        "events/date=2026-11-29/hour=05/gw-test-0000000001.parquet",
        "events/date=2026-11-29/hour=03/sub/gw-test-0000000001.parquet",
        "events/gw-test-0000000001.parquet",
    ] {
        lab.bucket.put(place, content.clone()).unwrap();
        let options = Options { keys: vec![lab.public().into()], ..Options::default() };
        let report = check(&lab.store(), &options);
        assert!(report.problems.iter().any(|of| of.place == place), "{place}");
        assert_eq!(ask().replies_in_all, before.replies_in_all, "{place}");
        lab.bucket.remove(place).unwrap();
    }
}

#[test]
fn p8_a_file_with_other_columns_is_not_even_given_to_the_library() {
    use crate::file::ArchiveFile;
    // A footer of a hundred thousand nested groups would be followed to the end of the stack.
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc];
    footer.extend([0x48, 0x01, b'a', 0x15, 0x02].repeat(100_000));
    let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
    let file = [b"PAR1".as_slice(), &footer, &length, b"PAR1"].concat();
    let error = ArchiveFile::of_bytes(file.into()).unwrap_err();
    assert!(error.to_string().contains("not those of the recording schema"), "{error}");
    for bad in [b"".as_slice(), b"PAR1PAR1", b"PAR1\xff\xff\xff\xffPAR1"] {
        assert!(ArchiveFile::of_bytes(bad.to_vec().into()).is_err());
    }
}

#[test]
fn p6_events_that_the_very_first_manifest_lacks_are_missed() {
    for (from, to) in [(0, 5), (10, 20)] {
        let lab = Lab::new();
        if from > 0 {
            lab.append(1, 0..from);
        }
        // Their segments were lost before anything was archived.
        lab.journal.advance_past(lab.journal.last().segment + 1, to).unwrap();
        lab.append(2, 30..40);
        lab.rounds(NO_KEEPING).round(after(60)).unwrap();
        let report =
            check(&lab.store(), &Options { keys: vec![lab.public().into()], ..Default::default() });
        let [problem] = report.problems.as_slice() else { panic!("{:#?}", report.problems) };
        assert_eq!(problem.wrong, Wrong::Missing);
        let said = format!("begins with event {} after event {from}", to + 1);
        assert!(problem.what.ends_with(&said), "{}", problem.what);
    }
}

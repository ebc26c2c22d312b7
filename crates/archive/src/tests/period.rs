//! Checking only what was signed since some day.

use std::sync::Arc;

use bytes::Bytes;

use super::made::{GATEWAY, Lab, NO_KEEPING, after};
use crate::bucket::Listed;
use crate::manifest::{self, HexHash, Manifest, SigningKey};
use crate::verify::{Anchor, Options, Report, verify};

const DAY: u64 = 24 * 60 * 60;

/// An archive of five days, a manifest on each: numbers 1 to 5.
fn archive() -> Lab {
    let lab = Lab::new();
    let mut rounds = lab.rounds(NO_KEEPING);
    for day in 0..5 {
        lab.append(day, day * DAY..day * DAY + 25);
        rounds.round(after(day * DAY + 60)).unwrap();
    }
    lab
}

/// Since the third day, of which manifest 3 is the first.
fn since(lab: &Lab) -> Options {
    let since = Some(after(2 * DAY));
    Options { keys: vec![lab.public().into()], since, ..Options::default() }
}

fn check(lab: &Lab, options: &Options) -> Report {
    verify(&lab.bucket, options).unwrap()
}

fn said(lab: &Lab, options: &Options) -> Vec<String> {
    let problems = check(lab, options).problems.into_iter();
    problems.map(|of| format!("{} {}", of.wrong.as_str(), of.what)).collect()
}

fn listed(lab: &Lab, number: u64) -> Listed {
    let mut manifests = lab.bucket.list("manifests").unwrap().into_iter();
    manifests.find(|of| manifest::number_in(&of.path) == Some(number)).unwrap()
}

fn text(lab: &Lab, number: u64) -> Bytes {
    lab.bucket.get(&listed(lab, number).path, u64::MAX).unwrap().unwrap()
}

/// Takes a manifest away with the files that it names.
fn remove(lab: &Lab, number: u64) {
    let text = text(lab, number);
    let manifest = Manifest::read(&text).unwrap().manifest;
    let files = manifest.segments.iter().flat_map(|of| &of.files).map(|file| &file.path);
    files.for_each(|path| lab.bucket.remove(path).unwrap());
    lab.bucket.remove(&listed(lab, number).path).unwrap();
}

const NONE: [&str; 0] = [];

#[test]
fn p6_a_period_that_is_whole_is_found_whole_and_says_where_it_ends() {
    let lab = archive();
    let report = check(&lab, &since(&lab));
    assert_eq!(report.problems, []);
    let of = &report.gateways[0];
    assert_eq!((of.first, of.last, of.manifests, of.events), (3, 5, 3, 75));
    let later = Options { since: Some(after(9 * DAY)), ..since(&lab) };
    let report = check(&lab, &later);
    assert_eq!(report.problems, []);
    assert_eq!((report.gateways[0].manifests, report.gateways[0].last), (0, 5));
    // What is older than the period is not looked at, but for the one that it follows.
    remove(&lab, 1);
    assert_eq!(said(&lab, &since(&lab)), NONE);
}

#[test]
fn p6_a_tail_cut_from_a_period_is_not_hidden_by_a_name() {
    let lab = archive();
    let hash = HexHash(crate::merkle::sha256(&text(&lab, 5)));
    let anchors = vec![Anchor { gateway: GATEWAY.to_owned(), number: 5, hash }];
    let options = Options { anchors, ..since(&lab) };
    assert_eq!(said(&lab, &options), NONE);
    remove(&lab, 5);
    let fake = format!("{}/date=2000-01-01/999999999999.manifest", manifest::folder(GATEWAY));
    for content in ["", "{}"] {
        lab.bucket.put(&fake, content.into()).unwrap();
        let said = said(&lab, &options);
        assert!(said.iter().any(|of| of.starts_with("cut it ends with manifest 4")), "{said:?}");
        assert!(said.iter().any(|of| of.starts_with("changed it is no manifest")), "{said:?}");
    }
}

#[test]
fn p6_a_period_whose_beginning_was_taken_away_is_not_whole() {
    let lab = archive();
    remove(&lab, 3);
    assert_eq!(said(&lab, &since(&lab)), ["missing manifests 3 to 3 are not here"]);
    remove(&lab, 2);
    remove(&lab, 1);
    assert_eq!(said(&lab, &since(&lab)), ["missing manifest 3, which it follows, is not here"]);
}

#[test]
fn p6_what_a_period_follows_is_proved_too() {
    let lab = archive();
    let (other, _) = SigningKey::make().unwrap();
    let second = text(&lab, 2);
    let forged = Manifest::read(&second).unwrap().manifest.sign(&other);
    lab.bucket.put(&listed(&lab, 2).path, forged.into()).unwrap();
    let said = said(&lab, &since(&lab));
    assert!(said.iter().any(|of| of.starts_with("unsigned its signature")), "{said:?}");
    assert!(said.contains(&"missing manifest 2, which it follows, is not here".to_owned()));
}

#[test]
fn p6_a_file_that_only_an_unsigned_manifest_names_is_not_signed() {
    let lab = archive();
    let file = "events/date=2026-12-03/hour=04/gw-test-0000000099.parquet";
    lab.bucket.put(file, Bytes::from_static(b"forged")).unwrap();
    let (other, _) = SigningKey::make().unwrap();
    let last = text(&lab, 5);
    let mut forged = Manifest::read(&last).unwrap().manifest;
    forged.number = 99;
    forged.segments[0].segment = 99;
    forged.segments[0].files[0].path = file.to_owned();
    for date in ["2000-01-01", "2026-12-03", "2027-01-01"] {
        let path = format!("{}/date={date}/000000000099.manifest", manifest::folder(GATEWAY));
        lab.bucket.put(&path, forged.sign(&other).into()).unwrap();
        for options in [since(&lab), Options { since: None, ..since(&lab) }] {
            let report = check(&lab, &options);
            assert!(report.problems.iter().any(|of| of.place == file), "{date}: {report:?}");
        }
        lab.bucket.remove(&path).unwrap();
    }
}

#[test]
fn p6_an_anchor_that_was_not_compared_is_named() {
    let lab = archive();
    let anchor = |gateway: &str, number| {
        let hash = HexHash(crate::merkle::sha256(&text(&lab, number)));
        Anchor { gateway: gateway.to_owned(), number, hash }
    };
    let anchors = vec![anchor(GATEWAY, 1), anchor(GATEWAY, 4), anchor("gw-other", 2)];
    let gateway = Some(GATEWAY.to_owned());
    let report = check(&lab, &Options { anchors: anchors.clone(), gateway, ..since(&lab) });
    assert_eq!(report.problems, []);
    assert_eq!(report.not_compared, [anchors[0].clone(), anchors[2].clone()]);
}

#[test]
fn p8_a_manifest_that_numbers_itself_zero_is_refused() {
    let lab = Lab::new();
    lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    let first = text(&lab, 1);
    let mut odd = Manifest::read(&first).unwrap().manifest;
    odd.number = 0;
    let (key, _) = SigningKey::make().unwrap();
    let at = odd.signed_at().unwrap();
    let signed = odd.sign(&key);
    lab.bucket.put(&manifest::path(GATEWAY, at, 0), signed.into()).unwrap();
    let report = verify(&Arc::clone(&lab.bucket), &Options::default()).unwrap();
    assert!(!report.is_clean());
}

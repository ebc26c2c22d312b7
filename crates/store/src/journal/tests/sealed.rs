//! What a sealed journal gives away, whom it opens for, and what happens when its key or the setting
//! is another.

use std::collections::HashSet;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use model::{Parameter, SessionId};

use super::frame::{DATA_START, FRAME_BYTES};
use super::*;

/// What the event of [`told`] says.
const WORDS: [&str; 7] = [
    "s_of_the_secret",
    "ann of accounting",
    "secretdb",
    "public.secret_customers",
    "select secret_column",
    "a parameter nobody may know",
    "a row: 4111 1111 1111 1111",
];

fn told(sequence: u64) -> Event {
    let mut body = operation(sequence, WORDS[4], WORDS[3], Verdict::Allow);
    if let model::EventBody::Operation { parameters, .. } = &mut body {
        parameters.push(Parameter { kind: "text".into(), value: Some(WORDS[5].into()) });
    }
    let mut event = event(WORDS[0], sequence, at(sequence), body);
    event.session = Some(SessionId(WORDS[0].into()));
    event.principal = Some(WORDS[1].into());
    event.resource = Some(WORDS[2].into());
    event.payload = WORDS[6].as_bytes().to_vec();
    event
}

fn holds(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

/// All bytes of all files of a folder.
fn everything(folder: &Folder) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        all.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    all
}

/// Goal: of nothing that an event says is there a byte in clear on the disk, also not of what was
/// cut off or is in a segment that was closed.
#[test]
fn p6_nothing_that_was_said_is_on_the_disk_in_clear() {
    for form in [Form::Sealed, Form::Clear] {
        let folder = Kept::new(form);
        let (journal, faults) = open_faulty(&folder, Options::default());
        journal.append(&[told(1), told(2)]).unwrap();
        journal.rotate().unwrap();
        journal.append(&[told(3)]).unwrap();
        // Half of a batch stays behind.
        faults.fill_after(700);
        faults.0.no_cut.store(true, Ordering::SeqCst);
        journal.append(&[told(4), told(5)]).unwrap_err();
        drop(journal);
        let all = everything(&folder);
        for words in WORDS {
            assert_eq!(holds(&all, words), form == Form::Clear, "{form:?}: {words}");
        }
        assert_eq!(holds(&all, r#"{"v":"#), form == Form::Clear);
        let found: Vec<_> = open(&folder).0.read().unwrap().map(Result::unwrap).collect();
        assert_eq!(found[1].event, told(2));
    }
}

/// The records of one write: each nonce, and what it sealed.
fn sealed_in(mut write: &[u8]) -> Vec<([u8; 12], Vec<u8>)> {
    let mut found = Vec::new();
    while !write.is_empty() {
        let length = u32::from_le_bytes(write[..4].try_into().unwrap()) as usize;
        let (record, rest) = write.split_at(FRAME_BYTES + length);
        let body = record[FRAME_BYTES..].strip_prefix(b"nj2:").unwrap();
        found.push((body[..12].try_into().unwrap(), body[12..].to_vec()));
        write = rest;
    }
    found
}

/// Goal: no two bodies were ever sealed with one nonce under one key, whatever was cut off and
/// written again, and however often a process went on in the same segment.
#[test]
fn p6_no_nonce_is_used_twice() {
    let folder = Kept::new(Form::Sealed);
    let (mut nonces, mut runs, mut count) = (HashSet::new(), HashSet::new(), 0);
    let mut number = 0;
    for _ in 0..4 {
        let (journal, faults) = open_faulty(&folder, Options::default());
        for room in [Some(0), None, Some(50), Some(400), None, Some(1), None] {
            match room {
                Some(room) => faults.fill_after(room),
                None => faults.free(),
            }
            faults.0.no_cut.store(room == Some(50), Ordering::SeqCst);
            number += 2;
            let kept = journal.append(&[small(number), small(number + 1)]);
            assert_eq!(kept.is_err(), room.is_some());
        }
        let last = journal.last();
        assert_eq!(last.segment, 1, "it goes on in the same segment");
        drop(journal);
        for attempt in &*faults.0.attempts.lock() {
            // A header, or the rest of what was written in part.
            if attempt.get(FRAME_BYTES..FRAME_BYTES + 4) != Some(b"nj2:") {
                continue;
            }
            for (nonce, _) in sealed_in(attempt) {
                count += 1;
                runs.insert(nonce[..8].to_vec());
                assert!(nonces.insert(nonce), "{nonce:?} comes twice");
            }
        }
    }
    assert_eq!((nonces.len(), runs.len()), (count, 4));
    assert!(count >= 4 * 7 * 2, "{count}");
    assert!(contents(&folder).1.is_empty());
}

#[test]
fn p6_a_run_whose_numbers_are_used_up_gives_way_to_another() {
    let sealer = sealing(Form::Sealed).sealer(GATEWAY, 1, &[0; 16]).unwrap();
    let (mut sealer, _) = sealer.unwrap();
    let mut nonce = || {
        let mut record = vec![0; 16 + 5];
        sealer.seal(&mut record, 0, 0).unwrap();
        record[4..16].to_vec()
    };
    let first = nonce();
    assert_eq!(first[8..], [0; 4]);
    let second = nonce();
    assert_eq!((&second[..8], &second[8..]), (&first[..8], &[1, 0, 0, 0][..]));
    sealer.use_up(u32::MAX);
    let mut nonce = || {
        let mut record = vec![0; 16 + 5];
        sealer.seal(&mut record, 0, 0).unwrap();
        record[4..16].to_vec()
    };
    let last = nonce();
    assert_eq!((&last[..8], &last[8..]), (&first[..8], &[255; 4][..]));
    let next = nonce();
    assert_eq!(next[8..], [0; 4]);
    assert_ne!(next[..8], first[..8]);
}

/// Goal: with another key or none, the file, what was found and what to do are said; nothing is
/// called damaged, nothing is changed, and the right key opens everything again.
#[test]
fn p6_another_key_or_none_is_said_to_be_that_and_changes_nothing() {
    let folder = Kept::new(Form::Sealed);
    let (journal, _) = open(&folder);
    journal.append(&events(1..=2)).unwrap();
    journal.rotate().unwrap();
    journal.append(&events(3..=3)).unwrap();
    drop(journal);
    let files = || [1, 2].map(|number| std::fs::read(segment(&folder, number)).unwrap());
    let before = files();
    for (given, words) in [
        (None, "is sealed and there is no installation key to open it with"),
        (Some(key(2)), "is sealed under another installation key (its check value is "),
    ] {
        let read: Vec<_> = Reader::open(folder.path(), GATEWAY, given.as_ref()).unwrap().collect();
        assert_eq!(read.len(), 2, "one error for each segment");
        for (error, number) in read.into_iter().map(Result::unwrap_err).zip(1..) {
            assert!(matches!(error, JournalError::Sealed { .. }), "{error:?}");
            assert!(error.can_be_mended());
            let error = error.to_string();
            let file = segment(&folder, number).display().to_string();
            assert!(error.starts_with(&file) && error.contains(words), "{error}");
            assert!(error.contains("keys.installation"), "{error}");
            assert!(!error.contains("damage"), "{error}");
        }
        for sealing in [given.clone().map(Sealing::Opens), given.clone().map(Sealing::Seals)] {
            let sealing = sealing.unwrap_or(Sealing::Keyless);
            let error = open_as(&folder, Options::default(), sealing).unwrap_err();
            assert!(matches!(error, JournalError::Sealed { .. }), "{error}");
        }
        // Not even where the sealed ones are not the newest.
        std::fs::write(segment(&folder, 3), clear_header(3)).unwrap();
        let sealing = given.map_or(Sealing::Keyless, Sealing::Opens);
        let error = open_as(&folder, Options::default(), sealing).unwrap_err();
        assert!(matches!(error, JournalError::Sealed { .. }), "{error}");
        std::fs::remove_file(segment(&folder, 3)).unwrap();
    }
    assert_eq!(files(), before);
    let (journal, recovery) = open(&folder);
    assert_eq!(recovery, Recovery { records: 1, ..Recovery::default() });
    assert_eq!(journal.append(&events(4..=4)).unwrap().segment, 2);
    assert_eq!(contents(&folder).0, [1, 2, 3, 4]);
}

fn clear_header(segment: u64) -> Vec<u8> {
    let (gateway, previous) = (GATEWAY.to_owned(), frame::CHAIN_START);
    let salt = [1; 16];
    frame::Header { gateway, segment, first_sequence: 9, previous, salt, sealed: None }.encode()
}

#[test]
fn what_needs_no_key_is_told_without_one() {
    let folder = Kept::new(Form::Sealed);
    let (journal, _) = open(&folder);
    journal.append(&events(1..=1)).unwrap();
    let salt = journal.segment_salt(1).unwrap();
    let path = segment(&folder, 1);
    let mut scan = read::open(&path, GATEWAY, 1).unwrap().unwrap();
    assert_eq!(scan.header.salt, salt);
    assert!(matches!(scan.step().unwrap(), scan::Step::Record(_)), "found whole, in its chain");
    assert!(matches!(scan.step().unwrap(), scan::Step::End));
}

/// Goal: `recording.encryption` may be set and taken out: a segment has one form, all of them are
/// read, numbers and chain go on, and an end that a crash tore is mended in either.
#[test]
fn p5_a_journal_goes_on_when_sealing_is_switched_on_and_off() {
    let folder = Kept::new(Form::Sealed);
    let ways = [
        Sealing::Opens(key(1)),
        Sealing::Seals(key(1)),
        Sealing::Seals(key(1)),
        Sealing::Opens(key(1)),
        Sealing::Opens(key(1)),
        Sealing::Seals(key(1)),
    ];
    let segments = [1, 2, 2, 3, 3, 4];
    for ((sealing, number), expected) in ways.into_iter().zip(1..).zip(segments) {
        let seals = matches!(sealing, Sealing::Seals(_));
        let (journal, recovery) = open_as(&folder, Options::default(), sealing).unwrap();
        assert_eq!(recovery.damage, []);
        assert_eq!(recovery.torn.is_some(), number > 1, "{number}");
        let position = journal.append(&[told(number)]).unwrap();
        assert_eq!((position.segment, position.sequence), (expected, number));
        assert_eq!(journal.closed_segments().unwrap().len() as u64, expected - 1);
        let read: Vec<_> = journal.read().unwrap().map(Result::unwrap).collect();
        assert!(read.iter().map(|record| record.event.sequence).eq(1..=number));
        drop(journal);
        let path = segment(&folder, expected);
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[8], if seals { 2 } else { 1 });
        assert_eq!(holds(&bytes, WORDS[4]), !seals);
        // Half a record, as a crash leaves it.
        bytes.extend_from_slice(&[200, 1, 0, 0, 1, 2, 3]);
        std::fs::write(&path, bytes).unwrap();
    }
    let (numbers, errors) = contents(&folder);
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert!(errors.is_empty(), "{errors:?}");
}

/// The key of a segment and its check as RFC 5869 has them, made without the code under test.
fn derived(header: &[u8]) -> ([u8; 32], [u8; 4]) {
    let hmac = |key: &[u8], text: &[u8]| -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text).as_ref().try_into().unwrap()
    };
    let of_journal = hmac(&[1; 32], b"narrows key v1: journal");
    let parent = hmac(&header[64..80], &of_journal);
    let of = |label: &str| {
        let info = [label.as_bytes(), &header[16..24], GATEWAY.as_bytes(), &[1]].concat();
        hmac(&parent, &info)
    };
    let check = of("narrows journal v2, check of segment ");
    (of("narrows journal v2, key of segment "), check[..4].try_into().unwrap())
}

fn opened(key: [u8; 32], body: &[u8], at: u64) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let nonce = Nonce::assume_unique_for_key(body[4..16].try_into().unwrap());
    let mut plain = body[16..].to_vec();
    let length = key.open_in_place(nonce, Aad::from(at.to_le_bytes()), &mut plain).unwrap().len();
    plain.truncate(length);
    plain
}

#[test]
fn a_sealed_segment_is_what_its_description_says() {
    let folder = Kept::new(Form::Sealed);
    let (journal, _) = open(&folder);
    let event = told(1);
    journal.append(std::slice::from_ref(&event)).unwrap();
    drop(journal);
    let bytes = std::fs::read(segment(&folder, 1)).unwrap();
    assert_eq!(&bytes[..10], b"NARROWSJ\x02\x00");
    let (key, check) = derived(&bytes);
    assert_eq!(bytes[12..16], check);
    let body = &bytes[DATA_START + FRAME_BYTES..];
    assert_eq!(&body[..4], b"nj2:");
    let plain = opened(key, body, DATA_START as u64);
    let json = serde_json::to_vec(&event).unwrap();
    assert_eq!(plain[..4], u32::try_from(json.len()).unwrap().to_le_bytes());
    assert_eq!(plain[4..], [json, event.payload].concat());
}

/// A segment with the event of [`told`], from the first build that sealed.
const FIRST_SEALED: &[u8] = include_bytes!("first_sealed.nj");

#[test]
fn the_first_sealed_segment_stays_readable() {
    let folder = Kept::new(Form::Sealed);
    std::fs::write(segment(&folder, 1), FIRST_SEALED).unwrap();
    let read: Vec<_> = Reader::open(folder.path(), GATEWAY, Some(&key(1))).unwrap().collect();
    let [Ok(record)] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!(record.event, told(1));
}

/// The same records, with checksums and a chain that are right.
fn rewritten(segment: &[u8], bodies: &[Vec<u8>]) -> Vec<u8> {
    let seed = crc32c::crc32c(&segment[64..80]);
    let mut bytes = segment[..DATA_START].to_vec();
    let mut chain = segment[32..64].to_vec();
    for body in bodies {
        let whole = [&chain[..], body].concat();
        chain = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &whole).as_ref().to_vec();
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        let rest = [&chain[..], body].concat();
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &length), &rest);
        bytes.extend([&length[..], &crc.to_le_bytes(), &rest].concat());
    }
    bytes
}

/// Goal: who may write the disk and has no key can put no record into a segment, not even one of
/// another segment or from another place, and take out none but the last ones, though checksums and
/// chain be right.
#[test]
fn p6_what_was_not_written_with_the_key_of_the_segment_is_no_event() {
    let folder = Kept::new(Form::Sealed);
    let (journal, _) = open(&folder);
    for number in 1..=3 {
        journal.append(&events(number..=number)).unwrap();
        if number == 2 {
            journal.rotate().unwrap();
        }
    }
    drop(journal);
    let path = segment(&folder, 1);
    let whole = std::fs::read(&path).unwrap();
    let bodies = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let sealed = sealed_in(&bytes[DATA_START..]).into_iter();
        sealed.map(|(nonce, rest)| [&b"nj2:"[..], &nonce, &rest].concat()).collect()
    };
    let own = bodies(&whole);
    assert_eq!(rewritten(&whole, &own), whole);
    let other = bodies(&std::fs::read(segment(&folder, 2)).unwrap()).remove(0);
    let mut changed = own[1].clone();
    changed[20] ^= 1;
    let mut renumbered = own[1].clone();
    renumbered[15] ^= 1;
    let event = serde_json::to_vec(&small(1)).unwrap();
    let length = u32::try_from(event.len()).unwrap().to_le_bytes();
    let clear = [&length[..], &event].concat();
    let unmarked = [&b"nj1:"[..], &own[1][4..]].concat();
    for forged in [other, changed, renumbered, clear, unmarked, b"nj2:".repeat(10)] {
        std::fs::write(&path, rewritten(&whole, &[own[0].clone(), forged])).unwrap();
        let (journal, _) = open(&folder);
        let read: Vec<_> = journal.read_segment(1).unwrap().collect();
        let [Ok(record), Err(JournalError::Damaged(damage))] = read.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(damage.offset, record.stop);
        assert!(damage.what.contains("was not written by a gateway"), "{damage}");
        assert_eq!((record.event.sequence, record.position.sequence), (1, 1));
    }
    let [one, two] = own.as_slice() else { panic!("{}", own.len()) };
    for (moved, good) in [
        (vec![one, one, two], vec![1]),
        (vec![one, two, one], vec![1, 2]),
        (vec![two], vec![]),
        (vec![two, one], vec![]),
    ] {
        let moved: Vec<Vec<u8>> = moved.into_iter().cloned().collect();
        std::fs::write(&path, rewritten(&whole, &moved)).unwrap();
        let (journal, _) = open(&folder);
        let (mut read, mut errors) = (Vec::new(), 0);
        for record in journal.read_segment(1).unwrap() {
            match record {
                Ok(record) => read.push(record.event.sequence),
                Err(_) => errors += 1,
            }
        }
        assert_eq!((&read, errors), (&good, moved.len() - good.len()), "{read:?}");
    }
}

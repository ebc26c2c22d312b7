//! Every target over every seed and over cheap mutations of each: what a fuzzer finds in its first
//! seconds is found in every test run.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fuzzing::{TARGETS, seeds};
use testkit::random::Random;

/// Mutations of all seeds of a target together.
const MUTATIONS: usize = 1_500;
/// The same for a target that plays whole sessions.
const SESSIONS: usize = 1_000;
/// Longest input, bytes; the fuzzer's own bound.
const INPUT_BYTES_MAX: usize = 8_192;
/// Most memory a target may ever need for such inputs, MiB.
const MEMORY_MIB_MAX: u64 = 512;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of a folder with what is in them, in order.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// A seed changed in a few places.
fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    const NUMBERS: [u8; 12] = [0, 1, 2, 4, 127, 128, 254, 255, b'\'', b'"', b'\n', b';'];
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let length = random.below(bytes.len() - at + 1).min(64);
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = *random.pick(&NUMBERS),
            2 => bytes.insert(at, *random.pick(&NUMBERS)),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let again = bytes[at..at + length].to_vec();
                bytes.splice(at..at, again);
            }
            5 => bytes.truncate(at),
            6 => {
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + 64).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => {
                let number = random.draw().to_be_bytes();
                for (place, byte) in bytes[at..].iter_mut().zip(number).take(4) {
                    *place = byte;
                }
            }
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

/// Runs the target, and says with which bytes it found something.
fn tried(name: &str, what: &str, bytes: &[u8]) {
    if let Err(found) = catch_unwind(AssertUnwindSafe(|| fuzzing::run(name, bytes))) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("found-{name}"));
        std::fs::write(&path, bytes).unwrap();
        let words = found.downcast_ref::<String>().map_or("", String::as_str);
        panic!(
            "{name}, {what}: {words}\nthe input is in {}; run it again with: \
             scripts/fuzz.sh again {name} FILE, and keep it in fuzz/seeds/{name}/",
            path.display()
        );
    }
}

fn replay(name: &str) {
    let seeds = files(&root().join("seeds").join(name));
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let plays = name.starts_with("postgres") || name == "rules";
    let mutations = if plays { SESSIONS } else { MUTATIONS };
    let mut random = Random::new(1);
    for (path, seed) in &seeds {
        let file = path.file_name().unwrap().to_string_lossy();
        tried(name, &file, seed);
        for number in 0..mutations / seeds.len() {
            let other = &random.pick(&seeds).1.clone();
            let bytes = mutated(seed, other, &mut random);
            tried(name, &format!("{file}, mutation {number}"), &bytes);
        }
    }
    if let Some(peak) = memory_peak_mib() {
        assert!(peak < MEMORY_MIB_MAX, "{peak} MiB for small inputs");
    }
}

/// The most memory this process ever had, where the system says so.
fn memory_peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

macro_rules! replays {
    ($($name:ident)*) => {
        /// The targets that have a test below.
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*
    };
}

replays! {
    config detect http_body http_canonical http_exchange http_explain http_hello journal jwt postgres_client
    postgres_copy postgres_login postgres_render postgres_rows postgres_survey postgres_upstream rules saml sql sql_shape
    taint
}

#[test]
fn every_target_is_fuzzed_and_replayed() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let replayed: BTreeSet<String> = REPLAYED.iter().map(ToString::to_string).collect();
    assert_eq!(targets, replayed, "add it to `replays!`");
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut files_of: BTreeSet<String> = BTreeSet::new();
    for (path, text) in files(&root().join("fuzz_targets")) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains(&format!("fuzzing::run(\"{name}\", data)")),
            "{name}.rs runs another"
        );
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "[[bin]] {name}");
        files_of.insert(name);
    }
    assert_eq!(targets, files_of, "a file in fuzz/fuzz_targets for each target, and no other");
}

#[test]
fn seeds_are_those_that_are_made() {
    // `NARROWS_WRITE_SEEDS=1` writes them anew.
    let write = std::env::var_os("NARROWS_WRITE_SEEDS").is_some();
    for seed in seeds::all() {
        let path = root().join("seeds").join(seed.target).join(&seed.name);
        if write {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &seed.bytes).unwrap();
        }
        let kept = std::fs::read(&path).expect("written; run with NARROWS_WRITE_SEEDS=1");
        // A segment has a salt that is drawn anew each time, and nonces if it is sealed.
        let drawn = ["a_short_file", "a_sealed_file"];
        let salted = seed.target == "journal" && drawn.contains(&seed.name.as_str());
        let same = kept == seed.bytes || salted && kept.len() == seed.bytes.len();
        assert!(same, "{}/{}: run with NARROWS_WRITE_SEEDS=1", seed.target, seed.name);
    }
}

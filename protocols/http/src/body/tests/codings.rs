use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;

/// `{"ssn":"078-05-1120","a":1}`
const BROTLI: &[u8] = b"\x0b\x0d\x80{\"ssn\":\"078-05-1120\",\"a\":1}\x03";
const BODY: &str = "{\"ssn\":\"078-05-1120\",\"a\":1}";
const MASKED: &[u8] = b"{\"ssn\":\"[REDACTED]\",\"a\":1}";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn coded(kind: Kind, codings: &str) -> Filter {
    let plan = plan(&[("ssn", "redact")], &[]);
    let key = Arc::new(HashKey::new(b"0123456789abcdef0123456789abcdef"));
    let codings = Codings::parse([codings].into_iter()).unwrap();
    Filter::new(kind, codings, &plan, &key, TypeSet::EMPTY)
}

fn run(codings: &str, body: &[u8], cuts: &[usize]) -> Result<Vec<u8>, Unreadable> {
    cut(&mut coded(Kind::Json, codings), body, cuts)
}

fn everywhere(codings: &str, body: &[u8]) {
    for at in 0..body.len() {
        assert_eq!(run(codings, body, &[at]).as_deref(), Ok(MASKED), "{codings} cut at {at}");
        let cut_off = run(codings, &body[..at], &[]);
        assert_eq!(cut_off.is_ok(), at == 0, "{codings} ends at {at}");
    }
    assert_eq!(run(codings, body, &(0..body.len()).collect::<Vec<_>>()).as_deref(), Ok(MASKED));
    let tail = [body, b"x"].concat();
    assert_eq!(run(codings, &tail, &[]).map_err(|e| e.reason), Err("bad_coding"), "{codings}");
    assert!(run(codings, &tail, &[body.len()]).is_err(), "{codings}");
}

#[test]
fn p3_every_coding_is_undone_whatever_the_cuts() {
    everywhere("gzip", &gzip(BODY.as_bytes()));
    everywhere("x-GZip", &gzip(BODY.as_bytes()));
    everywhere("deflate", &zlib(BODY.as_bytes()));
    everywhere("deflate", &raw(BODY.as_bytes()));
    everywhere("br", BROTLI);
    everywhere("zstd", &zstd(BODY.as_bytes()));
    everywhere("gzip, zstd", &zstd(&gzip(BODY.as_bytes())));
    everywhere("identity, zstd, gzip , deflate", &zlib(&gzip(&zstd(BODY.as_bytes()))));
}

#[test]
fn members_and_frames_follow_each_other() {
    let (a, b) = BODY.split_at(9);
    let both = [gzip(a.as_bytes()), gzip(b.as_bytes())].concat();
    assert_eq!(run("gzip", &both, &[]).as_deref(), Ok(MASKED));
    let both = [zstd(a.as_bytes()), zstd(b.as_bytes())].concat();
    assert_eq!(run("zstd", &both, &[]).as_deref(), Ok(MASKED));
    let named = flate2::GzBuilder::new().filename("a.json").comment("c").extra(vec![1, 2, 3]);
    let mut encoder = named.write(Vec::new(), Compression::fast());
    encoder.write_all(BODY.as_bytes()).unwrap();
    everywhere("gzip", &encoder.finish().unwrap());
}

#[test]
fn p2_damaged_codings_are_refused() {
    for at in [0, 2, 3, 12, 20] {
        let mut body = gzip(BODY.as_bytes());
        let end = body.len() - 1;
        body[end - at.min(7)] ^= 1;
        assert!(run("gzip", &body, &[]).is_err(), "{at}");
    }
    for coding in ["gzip", "deflate", "br", "zstd"] {
        assert!(run(coding, BODY.as_bytes(), &[]).is_err(), "{coding}");
        assert_eq!(run(coding, b"", &[]).as_deref(), Ok(&b""[..]), "{coding}");
    }
}

#[test]
fn p8_bombs_are_refused() {
    let zeros = vec![b' '; 40 * 1024 * 1024];
    for (coding, body) in [
        ("gzip", gzip(&zeros)),
        ("deflate", zlib(&zeros)),
        ("zstd", zstd(&zeros)),
        ("gzip, gzip", gzip(&gzip(&zeros))),
    ] {
        let (mut filter, mut out) = (coded(Kind::Opaque, coding), Vec::new());
        assert_eq!(filter.push(&body, &mut out).unwrap_err().reason, "bomb", "{coding}");
        assert!(out.len() < 20 * 1024 * 1024);
    }
    let free = vec![b' '; 1024 * 1024];
    let (mut filter, mut out) = (coded(Kind::Opaque, "gzip"), Vec::new());
    filter.push(&gzip(&free), &mut out).unwrap();
    filter.finish(&mut out).unwrap();
    assert_eq!(out, free);
}

#[test]
fn p2_codings_that_cannot_be_undone_are_refused() {
    let parse = |values: &[&str]| Codings::parse(values.iter().copied());
    for good in [&[][..], &["identity"], &["", " , identity"]] {
        assert!(parse(good).unwrap().is_identity());
    }
    assert!(!parse(&["gzip", "br,zstd"]).unwrap().is_identity());
    for bad in [&["compress"][..], &["gzip;q=1"], &["gzip", "br", "zstd", "gzip"], &["gzip br"]] {
        assert_eq!(parse(bad).unwrap_err().reason, "unknown_coding");
    }
}

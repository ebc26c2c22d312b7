//! RSA keys that OpenSSL made, and data keys that OpenSSL unwraps.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use seal::{
    KeyContext, KeyEncryption, Keys, Place, PrivateKey, PublicKey, SealError, SegmentKeys, Wrapped,
};

const CONTEXT: KeyContext<'_> = KeyContext { gateway: "gw-1", session: "s_0001" };

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("openssl is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seal-openssl-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A key pair of OpenSSL: private and public PEM.
fn pair(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let make =
        ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"];
    openssl(folder, &make);
    let public = openssl(folder, &["pkey", "-in", "key.pem", "-pubout"]);
    (std::fs::read(folder.join("key.pem")).unwrap(), public)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_gateway_writes_with_the_public_key_and_only_the_private_one_reads() {
    let (private, public) = pair(&folder("round"));
    let public = Arc::new(PublicKey::from_pem("public", &public).unwrap());
    let private = Arc::new(PrivateKey::from_pem("private", &private).unwrap());
    assert_eq!(public.id(), private.id());

    let gateway = Keys::new(public.clone());
    let mut segment = SegmentKeys::new("gw-1", 1);
    let place = Place { gateway: "gw-1", session: "s", record: 1, column: 1 };
    let key = segment.fresh("s", Some("ann"), &gateway).unwrap();
    let sealed = key.seal(&place, b"select 1").unwrap();
    let only_seals = segment.open("s", &gateway).unwrap_err();
    assert_eq!(only_seals, SealError::OnlySeals { key_id: public.id().to_owned() });

    // The private key may stand alone or beside the public one.
    let mut elsewhere = SegmentKeys::new("gw-2", 1);
    elsewhere.fresh("s", None, &gateway).unwrap();
    let moved = elsewhere.entries().next().unwrap().wrapped.clone();
    let not = SealError::NotUnwrapped { key_id: public.id().to_owned() };
    for reader in [
        Keys::new(private.clone()),
        Keys { current: public.clone(), also: vec![private.clone()] },
        Keys { current: private, also: vec![public] },
    ] {
        assert_eq!(segment.open("s", &reader).unwrap().open(&place, &sealed).unwrap(), b"select 1");
        let context = KeyContext { gateway: "gw-1", session: "s" };
        assert_eq!(reader.unwrap(&moved, &context).unwrap_err(), not);
    }
}

#[test]
fn openssl_unwraps_what_was_wrapped_and_the_other_way_round() {
    let folder = folder("cross");
    let (private, public) = pair(&folder);
    let public = PublicKey::from_pem("public", &public).unwrap();
    let private = PrivateKey::from_pem("private", &private).unwrap();
    let label = hex(b"narrows data key v1 4:gw-1 6:s_0001");
    let label = format!("rsa_oaep_label:{label}");
    let oaep =
        ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", &label];
    let der = openssl(&folder, &["pkey", "-in", "key.pem", "-pubout", "-outform", "der"]);
    std::fs::write(folder.join("public.der"), der).unwrap();
    let digest = openssl(&folder, &["dgst", "-sha256", "-r", "public.der"]);
    assert_eq!(public.id(), format!("rsa:{}", String::from_utf8_lossy(&digest[..32])));

    std::fs::write(folder.join("data.key"), [7; 32]).unwrap();
    let encrypt =
        [&["pkeyutl", "-encrypt", "-inkey", "key.pem", "-in", "data.key"], &oaep[..]].concat();
    let wrapped = Wrapped { key_id: public.id().to_owned(), bytes: openssl(&folder, &encrypt) };
    let theirs = private.unwrap(&wrapped, &CONTEXT).unwrap();
    let place = Place { gateway: "gw-1", session: "s_0001", record: 1, column: 1 };
    let sealed = theirs.seal(&place, b"x").unwrap();

    let ours = public.wrap(&theirs, &CONTEXT).unwrap();
    std::fs::write(folder.join("wrapped"), &ours.bytes).unwrap();
    let decrypt =
        [&["pkeyutl", "-decrypt", "-inkey", "key.pem", "-in", "wrapped"], &oaep[..]].concat();
    assert_eq!(openssl(&folder, &decrypt), [7; 32]);
    assert_eq!(private.unwrap(&ours, &CONTEXT).unwrap().open(&place, &sealed).unwrap(), b"x");
}

#[test]
fn another_key_another_session_and_a_flipped_bit_are_refused() {
    let (private, public) = pair(&folder("refused"));
    let (other, _) = pair(&folder("refused-other"));
    let public = PublicKey::from_pem("public", &public).unwrap();
    let private = PrivateKey::from_pem("private", &private).unwrap();
    let other = PrivateKey::from_pem("other", &other).unwrap();
    assert_ne!(other.id(), private.id());
    let mut segment = SegmentKeys::new("gw-1", 1);
    segment.fresh("s_0001", None, &Keys::new(Arc::new(public))).unwrap();
    let wrapped = segment.entries().next().unwrap().wrapped.clone();

    assert!(private.unwrap(&wrapped, &CONTEXT).is_ok());
    let refused = |key: &PrivateKey, wrapped: &Wrapped, context: &KeyContext<'_>| {
        let not = SealError::NotUnwrapped { key_id: key.id().to_owned() };
        key.unwrap(wrapped, context).unwrap_err() == not
    };
    assert!(refused(&other, &wrapped, &CONTEXT));
    assert!(refused(&private, &wrapped, &KeyContext { session: "s_0002", ..CONTEXT }));
    for at in [0, 100, 255] {
        let mut changed = wrapped.clone();
        changed.bytes[at] ^= 1;
        assert!(refused(&private, &changed, &CONTEXT), "byte {at}");
    }
    for length in [0, 1, 255] {
        let cut = Wrapped { bytes: wrapped.bytes[..length].to_vec(), ..wrapped.clone() };
        assert!(refused(&private, &cut, &CONTEXT), "cut to {length}");
    }
    let long = Wrapped { bytes: [&wrapped.bytes[..], &[0]].concat(), ..wrapped };
    assert!(refused(&private, &long, &CONTEXT));
}

#[test]
fn pem_that_is_something_else_is_refused_without_its_content() {
    let folder = folder("pem");
    let (private, public) = pair(&folder);
    let traditional = openssl(&folder, &["rsa", "-in", "key.pem", "-traditional"]);
    let short = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
    let short = openssl(&folder, &short);
    let elliptic = openssl(&folder, &["genpkey", "-algorithm", "ED25519"]);
    let broken = [&private[..private.len() / 2], b"\n-----END PRIVATE KEY-----\n"].concat();
    let encrypt = ["pkcs8", "-topk8", "-in", "key.pem", "-passout", "pass:x"];
    let encrypted = openssl(&folder, &encrypt);
    let twice = [private.clone(), private.clone()].concat();
    let secret = String::from_utf8_lossy(&private[100..140]).into_owned();
    for (pem, why) in [
        (&b""[..], "there is no PEM"),
        (&public, "it holds PublicKey"),
        (&traditional, "it holds RsaPrivateKey"),
        (&short, "no RSA key of 2048"),
        (&elliptic, "no RSA key of 2048"),
        (&broken, ""),
        (&encrypted, "there is no PEM"),
        (&twice, "more than one"),
    ] {
        let error = PrivateKey::from_pem("/etc/key.pem", pem).unwrap_err().to_string();
        assert!(error.contains("/etc/key.pem") && error.contains(why), "{why}: {error}");
        assert!(!error.contains(&secret) && !error.contains("MII"), "{error}");
    }
    let error = PublicKey::from_pem("public", &private).unwrap_err().to_string();
    assert!(error.contains("it holds PrivateKey") && error.contains("-pubout"), "{error}");
}

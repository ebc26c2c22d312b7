use aws_lc_rs::cipher::{AES_192, Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::cipher::{AES_256 as AES_256_BLOCKS, DecryptionContext};

use super::*;
use crate::testing::{CONTEXT, unhex};

/// RFC 5649, section 4.1, in its plainest form, for keys of any length.
fn rfc_5649(algorithm: &'static Algorithm, kek: &[u8], plain: &[u8]) -> Vec<u8> {
    let aes = |block: [u8; 16]| -> [u8; 16] {
        let key = UnboundCipherKey::new(algorithm, kek).unwrap();
        let mut block = block;
        let key = EncryptingKey::ecb(key).unwrap();
        let context = key.less_safe_encrypt(&mut block, EncryptionContext::None).unwrap();
        assert!(matches!(context, DecryptionContext::None));
        block
    };
    let mut a: [u8; 8] = unhex("a65959a600000000").try_into().unwrap();
    a[4..].copy_from_slice(&(plain.len() as u32).to_be_bytes());
    let mut r: Vec<[u8; 8]> = plain
        .chunks(8)
        .map(|chunk| {
            let mut block = [0; 8];
            block[..chunk.len()].copy_from_slice(chunk);
            block
        })
        .collect();
    let join = |a: [u8; 8], r: [u8; 8]| [a, r].concat().try_into().unwrap();
    if let [only] = r.as_slice() {
        return aes(join(a, *only)).to_vec();
    }
    // RFC 3394, section 2.2.1.
    for j in 0..6 {
        for i in 0..r.len() {
            let b = aes(join(a, r[i]));
            let t = (r.len() * j + i + 1) as u64;
            a = (u64::from_be_bytes(b[..8].try_into().unwrap()) ^ t).to_be_bytes();
            r[i] = b[8..].try_into().unwrap();
        }
    }
    [vec![a], r].concat().concat()
}

/// RFC 5649, section 6. Its vectors have a key of 192 bits, which [`LocalKey`] has not, so they
/// hold the plain form above to the RFC, and it holds [`LocalKey`].
#[test]
fn keys_are_wrapped_as_rfc_5649_says() {
    let kek = unhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8");
    let long = unhex("c37b7e6492584340bed12207808941155068f738");
    let wrapped = unhex("138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a");
    assert_eq!(rfc_5649(&AES_192, &kek, &long), wrapped);
    let short = unhex("466f7250617369");
    let wrapped = unhex("afbeb0f07dfbf5419200f2ccb50bb24f");
    assert_eq!(rfc_5649(&AES_192, &kek, &short), wrapped);

    for _ in 0..50 {
        let (kek, key) = (DataKey::random().unwrap(), DataKey::random().unwrap());
        let local = LocalKey::parse("test", kek.expose()).unwrap();
        let wrapped = local.wrap(&key, &CONTEXT).unwrap();
        assert_eq!(wrapped.bytes, rfc_5649(&AES_256_BLOCKS, kek.expose(), key.expose()));
        assert_eq!(local.unwrap(&wrapped, &CONTEXT).unwrap().expose(), key.expose());
    }
}

/// Both values by Python's `cryptography` and `hmac`.
#[test]
fn a_known_answer_and_a_known_id_come_out() {
    let kek: Vec<u8> = (0..32).collect();
    let mut key: [u8; 32] = std::array::from_fn(|at| 0x80 + at as u8);
    let local = LocalKey::parse("test", &kek).unwrap();
    let wrapped = local.wrap(&DataKey::take(&mut key).unwrap(), &CONTEXT).unwrap();
    assert_eq!(
        wrapped.bytes,
        unhex("0b0607b05fd577de7c1cefae2313277d0d36fcb4b3f04f1332c5023c0388e342164f8531741a21ae")
    );
    assert_eq!(wrapped.key_id, "local:44b78db1abc9cd14");
}

#[test]
fn another_key_a_flipped_bit_and_a_cut_are_refused() {
    let local = LocalKey::parse("test", &[&[1; 16][..], &[2; 16]].concat()).unwrap();
    let other = LocalKey::parse("test", &[&[1; 16][..], &[3; 16]].concat()).unwrap();
    assert_ne!(local.id(), other.id());
    let wrapped = local.wrap(&DataKey::random().unwrap(), &CONTEXT).unwrap();
    let refused = |key: &LocalKey, bytes: Vec<u8>| {
        let wrapped = Wrapped { bytes, ..wrapped.clone() };
        key.unwrap(&wrapped, &CONTEXT).unwrap_err()
            == SealError::NotUnwrapped { key_id: key.id().to_owned() }
    };
    assert!(refused(&other, wrapped.bytes.clone()));
    for bit in 0..wrapped.bytes.len() * 8 {
        let mut changed = wrapped.bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(refused(&local, changed), "bit {bit}");
    }
    for length in 0..wrapped.bytes.len() {
        assert!(refused(&local, wrapped.bytes[..length].to_vec()), "cut to {length}");
    }
    // What another length of key makes, under the right key.
    let short = rfc_5649(&AES_256_BLOCKS, local.key.expose(), &[7; 31]);
    assert!(refused(&local, short));
    let long = rfc_5649(&AES_256_BLOCKS, local.key.expose(), &[7; 40]);
    assert!(refused(&local, long));
}

#[test]
fn a_key_may_be_raw_hexadecimal_or_base64() {
    let raw: Vec<u8> = (0..32).collect();
    let id = LocalKey::parse("test", &raw).unwrap().id;
    for text in [
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "  AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\r\n",
    ] {
        assert_eq!(LocalKey::parse("test", text.as_bytes()).unwrap().id, id, "{text}");
    }
    let url_safe =
        LocalKey::parse("test", b"__________________________________________8A".as_slice());
    assert!(url_safe.is_err(), "33 bytes");
    let both = [&b"-"[..], &b"_".repeat(42)].concat();
    let standard = [&b"+"[..], &b"/".repeat(42)].concat();
    // The last letter would carry bits beyond the 32nd byte.
    for (text, last) in [(both, b'8'), (standard, b'8')] {
        let text = [&text[..42], &[last]].concat();
        assert!(LocalKey::parse("test", &text).is_ok(), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn what_is_no_key_is_refused_by_name_and_without_its_content() {
    for (content, why) in [
        (&b""[..], "neither"),
        (b"correct horse", "neither"),
        (b"0123456789abcdef0123456789abcdef", "text"),
        (b"0123456789abcdef0123456789abcdef\n", "neither"),
        (&[0; 32], "one byte"),
        (&[9; 33], "neither"),
        (&[b'0'; 64], "one byte"),
        (&[b'g'; 64], "neither"),
        (b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh", "neither"),
    ] {
        let error = LocalKey::parse("/etc/key", content).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/etc/key") && text.contains(why), "{text}");
        assert_eq!(error.blame(), crate::Blame::Operator);
        if content.len() > 4 {
            assert!(!text.contains(&*String::from_utf8_lossy(content)), "{text}");
        }
    }
}

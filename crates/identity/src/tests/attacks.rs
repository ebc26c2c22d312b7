//! What must not be believed: RFC 8725 (JSON Web Token Best Current Practices), and more.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use super::provider::*;
use crate::jwt::{Fault, is_shaped, peek, verify};
use crate::keys::Keys;

/// Judges a token by these keys.
fn judge(keys: &Keys, token: &str) -> Result<(), Fault> {
    verify(&plan(), keys, token, now()).map(|_| ())
}

#[test]
fn a_right_token_of_each_family_is_believed() {
    for signer in [Signer::rsa(), Signer::ec(), Signer::ed()] {
        let keys = keys(&[signer.jwk("k1")]);
        assert_eq!(judge(&keys, &signer.token("k1", &claims())), Ok(()), "{}", signer.algorithm());
        let header = json!({"alg": signer.algorithm()});
        let nameless = signer.token_with(&header, &claims());
        assert_eq!(judge(&keys, &nameless), Ok(()), "without a kid every key is tried");
    }
}

#[test]
fn p2_no_algorithm_and_no_secret_is_a_signature() {
    let signer = Signer::rsa();
    let keys = keys(&[signer.jwk("k1")]);
    let body = base64(claims().to_string());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64(json!({"alg": alg, "kid": "k1"}).to_string());
        for signature in ["", "AA"] {
            let token = format!("{header}.{body}.{signature}");
            assert!(judge(&keys, &token).is_err(), "{alg} {signature}");
        }
    }
    // Signed with the public key as if it were a secret (CVE-2015-9235).
    let jwk = signer.jwk("k1");
    let secrets = [
        signer.public(),
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        Vec::new(),
    ];
    for (alg, method) in
        [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        for secret in &secrets {
            for kid in ["k1", "../../../../dev/null", "k1' UNION SELECT 'x"] {
                let header = base64(json!({"alg": alg, "kid": kid}).to_string());
                let message = format!("{header}.{body}");
                let tag = hmac::sign(&hmac::Key::new(method, secret), message.as_bytes());
                let token = format!("{message}.{}", base64(tag.as_ref()));
                assert_eq!(judge(&keys, &token), Err(Fault::Algorithm(alg.to_owned())));
            }
        }
    }
}

#[test]
fn p2_a_symmetric_key_among_those_of_an_issuer_is_no_key() {
    let secret = base64(b"a secret of thirty-two bytes, sic");
    let oct = json!({"kty": "oct", "k": secret, "kid": "k1", "alg": "HS256"});
    assert!(Keys::read(&set(std::slice::from_ref(&oct)), false).is_err());
    let signer = Signer::ec();
    let keys = keys(&[oct, signer.jwk("k2")]);
    assert_eq!(keys.len(), 1);
    assert!(!keys.knows("k1"));
}

#[test]
fn p2_a_token_does_not_say_whom_to_believe() {
    let (signer, forger) = (Signer::ec(), Signer::ec());
    let keys = keys(&[signer.jwk("k1")]);
    let jwk = forger.jwk("k1");
    for extra in [
        json!({"jwk": jwk}),
        json!({"jku": "http://127.0.0.1:1/keys"}),
        json!({"x5u": "http://127.0.0.1:1/certificate"}),
        json!({"x5c": [base64(b"certificate")]}),
    ] {
        for kid in [json!("k1"), json!(null)] {
            let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
            header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let token = forger.token_with(&header, &claims());
            assert!(judge(&keys, &token).is_err(), "{header}");
        }
    }
    let unknown = forger.token("k2", &claims());
    assert_eq!(judge(&keys, &unknown), Err(Fault::Key("k2".to_owned())));
    assert_eq!(judge(&keys, &forger.token("k1", &claims())), Err(Fault::Signature));
}

#[test]
fn p2_every_part_of_a_token_is_signed() {
    let signer = Signer::ed();
    let keys = keys(&[signer.jwk("k1")]);
    let token = signer.token("k1", &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let [header, body, signature] = parts[..] else { unreachable!() };
    let richer = base64(but("sub", json!("admin")).to_string());
    let other = base64(json!({"alg": "EdDSA", "kid": "k1"}).to_string());
    for changed in [
        format!("{header}.{richer}.{signature}"),
        format!("{other}.{body}.{signature}"),
        format!("{header}.{body}."),
        format!("{header}.{body}"),
        format!("{header}.{body}.{signature}A"),
        format!("{header}.{body}.{signature}.{signature}"),
        format!("{header}.{body}.{body}"),
        format!("..{signature}"),
        format!(" {token}"),
    ] {
        assert!(judge(&keys, &changed).is_err(), "{changed}");
    }
    // Each single bit of the signature.
    for bit in 0..512 {
        let mut bytes = signer.sign(format!("{header}.{body}").as_bytes());
        bytes[bit / 8] ^= 1 << (bit % 8);
        let token = format!("{header}.{body}.{}", base64(bytes));
        assert!(judge(&keys, &token).is_err(), "bit {bit}");
    }
}

#[test]
fn p2_a_null_signature_of_ecdsa_is_none() {
    // CVE-2022-21449: r = s = 0 passed everywhere.
    let signer = Signer::ec();
    let keys = keys(&[signer.jwk("k1")]);
    let header = base64(json!({"alg": "ES256", "kid": "k1"}).to_string());
    let body = base64(claims().to_string());
    for signature in [vec![0; 64], vec![0xff; 64], Vec::new(), vec![0; 32]] {
        let token = format!("{header}.{body}.{}", base64(signature));
        assert!(judge(&keys, &token).is_err());
    }
}

#[test]
fn p2_a_key_is_used_for_what_it_is_for() {
    let signer = Signer::rsa();
    let with = |name: &str, value: Value| {
        let mut jwk = signer.jwk("k1");
        jwk[name] = value;
        jwk
    };
    for (what, jwk) in [
        ("for encryption", with("use", json!("enc"))),
        ("for certificates of SPIFFE", with("use", json!("x509-svid"))),
        ("to sign, not to verify", with("key_ops", json!(["sign"]))),
        ("for another algorithm", with("alg", json!("RSA-OAEP"))),
    ] {
        assert!(Keys::read(&set(&[jwk]), false).is_err(), "{what}");
    }
    // One that is for another algorithm of its family is not asked.
    let keys = keys(&[with("alg", json!("PS256"))]);
    assert_eq!(judge(&keys, &signer.token("k1", &claims())), Err(Fault::Signature));
    // An algorithm that this issuer may not use.
    let mut only = plan();
    only.algorithms.retain(|algorithm| *algorithm == crate::algorithm("ES256").unwrap());
    let keys = super::provider::keys(&[signer.jwk("k1")]);
    let judged = verify(&only, &keys, &signer.token("k1", &claims()), now()).map(|_| ());
    assert_eq!(judged, Err(Fault::Algorithm("RS256".to_owned())));
}

#[test]
fn p2_other_kinds_of_tokens_are_no_access_tokens() {
    let signer = Signer::ec();
    let keys = keys(&[signer.jwk("k1")]);
    let typed =
        |typ: &str| signer.token_with(&json!({"alg": "ES256", "kid": "k1", "typ": typ}), &claims());
    for fine in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "JOSE"] {
        assert_eq!(judge(&keys, &typed(fine)), Ok(()), "{fine}");
    }
    for other in ["logout+jwt", "dpop+jwt", "secevent+jwt", "", "token-introspection+jwt"] {
        assert_eq!(judge(&keys, &typed(other)), Err(Fault::Type(other.to_owned())));
    }
    let critical = json!({"alg": "ES256", "kid": "k1", "crit": ["exp"], "exp": NOW_S});
    assert!(judge(&keys, &signer.token_with(&critical, &claims())).is_err());
    let unencoded = json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false});
    assert!(judge(&keys, &signer.token_with(&unencoded, &claims())).is_err());
    let bound = but("cnf", json!({"jkt": "thumbprint"}));
    assert_eq!(judge(&keys, &signer.token("k1", &bound)), Err(Fault::Bound));
}

#[test]
fn p2_a_token_is_good_from_its_beginning_to_its_end() {
    let signer = Signer::ec();
    let keys = keys(&[signer.jwk("k1")]);
    let judged = |name: &str, value: Value| judge(&keys, &signer.token("k1", &but(name, value)));
    // The clocks may be half a minute apart, and not more.
    assert_eq!(judged("exp", json!(NOW_S - 29)), Ok(()));
    assert_eq!(judged("exp", json!(NOW_S - 30)), Err(Fault::Expired(0)));
    assert_eq!(judged("exp", json!(NOW_S - 100)), Err(Fault::Expired(70)));
    assert_eq!(judged("exp", json!(0)), Err(Fault::Expired(NOW_S - 30)));
    for name in ["nbf", "iat"] {
        assert_eq!(judged(name, json!(NOW_S + 30)), Ok(()), "{name}");
        assert_eq!(judged(name, json!(NOW_S + 31)), Err(Fault::Early(31)), "{name}");
        assert_eq!(judged(name, json!(NOW_S as f64 + 0.5)), Ok(()), "{name}");
    }
    assert_eq!(judged("exp", json!(null)), Err(Fault::Claim("exp".to_owned(), "missing")));
    for wrong in [json!("9999999999"), json!(-1), json!([NOW_S + 9]), json!({}), json!(true)] {
        assert!(judged("exp", wrong.clone()).is_err(), "{wrong}");
        assert!(judged("nbf", wrong.clone()).is_err(), "{wrong}");
    }
    // Farther than time goes here, but a number.
    assert_eq!(judged("exp", json!(u64::MAX)), Ok(()));
    assert!(judged("exp", json!(1e300)).is_err());
}

#[test]
fn p2_a_token_for_somebody_else_is_not_for_us() {
    let signer = Signer::ec();
    let keys = keys(&[signer.jwk("k1")]);
    let judged = |value: Value| judge(&keys, &signer.token("k1", &but("aud", value)));
    assert_eq!(judged(json!(["other", AUDIENCE])), Ok(()));
    for other in [
        json!("other"),
        json!(["other"]),
        json!([]),
        json!("NARROWS"),
        json!("narrows "),
        json!("narrows-dev"),
        json!({"narrows": true}),
        json!([["narrows"]]),
        json!(["narrows", 1]),
        json!(null),
        json!(true),
    ] {
        assert!(judged(other.clone()).is_err(), "{other}");
    }
    for issuer in [json!("https://idp.example/"), json!("https://IDP.example"), json!(null)] {
        let token = signer.token("k1", &but("iss", issuer.clone()));
        assert!(judge(&keys, &token).is_err(), "{issuer}");
    }
}

#[test]
fn p8_what_is_no_token_costs_nothing() {
    let keys = keys(&[Signer::ec().jwk("k1")]);
    let long = "A".repeat(20_000);
    for text in ["", "eyJ", "eyJ..", "eyJhbGciOiJFUzI1NiJ9", "nrw_abc", "ey J.a.b", &long] {
        assert!(judge(&keys, text).is_err(), "{text}");
    }
    assert!(!is_shaped("nrw_0123") && !is_shaped("a.b.c") && is_shaped("eyJh.eyJi.x-_"));
    let deep = format!("eyJh.{}.x", base64("[".repeat(10_000)));
    assert!(peek(&deep).is_err());
    let huge = format!("eyJh.{}.x", base64("1".repeat(20_000)));
    assert!(matches!(peek(&huge), Err(Fault::Malformed(_))));
}

proptest::proptest! {
    #[test]
    fn p8_no_text_panics(text in ".{0,300}") {
        let keys = Keys::default();
        let _ = peek(&text);
        let _ = judge(&keys, &text);
    }

    #[test]
    fn p2_no_changed_token_is_believed(at in 0_usize..400, byte in 33_u8..127) {
        let signer = Signer::ed();
        let keys = keys(&[signer.jwk("k1")]);
        let mut token = signer.token("k1", &claims()).into_bytes();
        let at = at % token.len();
        proptest::prop_assume!(token[at] != byte);
        token[at] = byte;
        // The last letter of base64 holds bits that are not part of the signature; they have to be 0.
        proptest::prop_assert!(judge(&keys, std::str::from_utf8(&token).unwrap()).is_err());
    }
}

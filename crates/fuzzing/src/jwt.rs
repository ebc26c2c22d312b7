//! Any bytes as a token of an issuer, as the claims of one that is rightly signed, and as the keys.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use identity::IssuerPlan;
use identity::fuzzing::judge;
use model::text::is_unseen;
use model::{Principal, Timestamp};

pub(crate) const ISSUER: &str = "https://idp.example";
/// 2026-01-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_767_225_600_000_000_000);

/// The issuer's key: everybody may know it, because no token of it is believed anywhere else.
pub(crate) fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a key")
}

/// A token with this header and these claims, signed by that key.
pub(crate) fn token(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = key().sign(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(signature))
}

pub(crate) const HEADER: &[u8] = br#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#;

/// The keys that the issuer publishes.
pub(crate) fn keys() -> String {
    let public = BASE64.encode(key().public_key());
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","use":"sig","x":"{public}"}}]}}"#)
}

fn plan(spiffe: bool) -> IssuerPlan {
    let mut plan =
        IssuerPlan::new(if spiffe { "spiffe://acme.example" } else { ISSUER }, "narrows");
    plan.subject_prefix = "idp:".to_owned();
    plan.groups_prefix = "idp:".to_owned();
    plan.groups_claim = "realm.groups".to_owned();
    plan
}

/// A token that the issuer did not sign is never believed; of one that it signed nothing comes but
/// a principal with a name that can be seen, in bounds, as long as the token says.
pub fn jwt(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let plan = plan(kind & 0x80 != 0);
    match kind & 0x7f {
        0 => {
            let text = String::from_utf8_lossy(rest);
            let judged = judge(&plan, keys().as_bytes(), &text, NOW).expect("the keys are keys");
            if let Ok(principal) = judged {
                // Only who has the key can have made it.
                let (signed, signature) = text.rsplit_once('.').expect("it has a signature");
                let signature = BASE64.decode(signature).expect("in base64");
                assert_eq!(signature, key().sign(signed.as_bytes()).as_ref(), "forged: {text}");
                check(&plan, &principal);
            }
        }
        1 => {
            let judged = judge(&plan, keys().as_bytes(), &token(HEADER, rest), NOW);
            if let Ok(principal) = judged.expect("the keys are keys") {
                check(&plan, &principal);
            }
        }
        2 => {
            // Header and claims, both signed.
            let mut parts = rest.splitn(2, |byte| *byte == 0);
            let (header, claims) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b""));
            let signed = token(header, claims);
            if let Ok(principal) =
                judge(&plan, keys().as_bytes(), &signed, NOW).expect("the keys are keys")
            {
                assert!(header.windows(5).any(|part| part == b"EdDSA"), "another algorithm");
                check(&plan, &principal);
            }
        }
        _ => {
            // Nobody is let in by keys that are somebody else's.
            let claims = br#"{"iss":"https://idp.example","aud":"narrows","sub":"a","exp":1e10}"#;
            let ours = BASE64.encode(key().public_key());
            if let Ok(Ok(_)) = judge(&plan, rest, &token(HEADER, claims), NOW) {
                let text = String::from_utf8_lossy(rest).replace("\\/", "/");
                assert!(text.contains(&ours) || text.contains('\\'), "believed by {text}");
            }
        }
    }
}

fn check(plan: &IssuerPlan, principal: &Principal) {
    let names = principal.groups.iter().chain(&principal.on_behalf_of_groups);
    let names = names.chain([&principal.subject]).chain(&principal.on_behalf_of);
    for name in names {
        assert!(name.starts_with("idp:"), "{name:?} is not of this issuer");
        assert!(!name.chars().any(is_unseen) && name.chars().count() <= 256, "{name:?}");
    }
    assert!(principal.groups.len() <= 256 && principal.on_behalf_of_groups.len() <= 256);
    assert_eq!(&*principal.issuer, plan.issuer);
    assert!(principal.expires_at.is_some_and(|end| end > NOW), "it never ends, or is over");
    let token = principal.token.as_ref().expect("a name");
    assert!(token.0.starts_with("jwt_") && token.0.len() == 20, "{token:?}");
    assert!(principal.minted_by.is_none());
}

//! Whether a JSON Web Token is what its issuer says (RFC 7519, RFC 8725). Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use model::Timestamp;
use serde_json::{Map, Value};

use crate::keys::Keys;
use crate::plan::IssuerPlan;

/// Longest token, bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// What the `typ` of an access token may be (RFC 9068 section 2.1, RFC 7519 section 5.1). Other
/// tokens of the same issuer (logout, DPoP and event tokens) carry another one (RFC 8725 3.11).
const TYPES: &[&str] = &["jwt", "at+jwt", "application/jwt", "application/at+jwt", "jose"];

/// Why a token was not believed; for the operator, never for the client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It is no token of this form.
    #[error("it is not a JSON Web Token: {0}")]
    Malformed(&'static str),
    /// Nobody that is configured issued it.
    #[error(
        "its issuer {0:?} is not configured; identity.oidc lists the issuers that are believed"
    )]
    Issuer(String),
    /// It is signed in a way that is not believed.
    #[error("it is signed with {0}, which this issuer may not use; see identity.oidc.algorithms")]
    Algorithm(String),
    /// Another kind of token.
    #[error("its type is {0:?}; an access token has at+jwt or JWT")]
    Type(String),
    /// It has a header that has to be understood, and is not (RFC 7515 section 4.1.11).
    #[error("its header lists critical extensions, and none is known here")]
    Critical,
    /// The key that it names is not among those of its issuer.
    #[error("its key {0:?} is not among the keys of its issuer")]
    Key(String),
    /// The signature is not by that key.
    #[error("its signature is wrong")]
    Signature,
    /// A claim that it needs is missing or of the wrong kind.
    #[error("its claim {0:?} is {1}")]
    Claim(String, &'static str),
    /// For somebody else.
    #[error("it is meant for {found}; identity.oidc.audience is {wanted}")]
    Audience {
        /// Its `aud`.
        found: String,
        /// What is configured.
        wanted: String,
    },
    /// Its time is over.
    #[error("it expired {0} s ago")]
    Expired(u64),
    /// Its time has not come.
    #[error("it is good only from {0} s from now; do the clocks agree?")]
    Early(u64),
    /// It is bound to a key (RFC 7800) that a bearer does not show.
    #[error("it is bound to a key (cnf), so whoever only holds it does not prove anything")]
    Bound,
    /// It was made for another sign-in than the one it came with.
    #[error("its nonce is not the one of this sign-in")]
    Nonce,
    /// A claim does not have the value that is wanted.
    #[error("its claim {0:?} does not have the value that identity.oidc.claims asks for")]
    Unwanted(String),
}

/// What a token says of itself, unproved: enough to know whose keys to look at.
#[derive(Debug)]
pub(crate) struct Unproved {
    pub iss: Option<String>,
    pub sub: Option<String>,
}

/// Whether a text has the form of a token: three parts of base64url, the first of them JSON.
pub(crate) fn is_shaped(token: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    token.starts_with("eyJ")
        && token.bytes().filter(|byte| *byte == b'.').count() == 2
        && token.bytes().all(fine)
}

/// What a token says of itself.
pub(crate) fn peek(token: &str) -> Result<Unproved, Fault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Fault::Malformed("it is longer than 16 KiB"));
    }
    let claims = claims_of(token)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    if claims.get("iss").is_some_and(|iss| !iss.is_string()) {
        return Err(Fault::Claim("iss".to_owned(), "not a text"));
    }
    Ok(Unproved { iss: text("iss"), sub: text("sub") })
}

fn claims_of(token: &str) -> Result<Map<String, Value>, Fault> {
    let payload = token.split('.').nth(1).ok_or(Fault::Malformed("it has no payload"))?;
    let bytes = URL_SAFE_NO_PAD
        .decode(payload)
        .map_err(|_| Fault::Malformed("its payload is not base64url"))?;
    serde_json::from_slice(&bytes).map_err(|_| Fault::Malformed("its payload is no JSON object"))
}

/// The claims of a token, once everything that makes them believable was checked: signature, type,
/// audience, times, and the claims that the plan asks for.
pub(crate) fn verify(
    plan: &IssuerPlan,
    keys: &Keys,
    token: &str,
    now: Timestamp,
) -> Result<Verified, Fault> {
    let header = jsonwebtoken::decode_header(token)
        .map_err(|_| Fault::Malformed("its header cannot be read, or names no known algorithm"))?;
    if !plan.algorithms.contains(&header.alg) {
        return Err(Fault::Algorithm(format!("{:?}", header.alg)));
    }
    if let Some(typ) = &header.typ
        && !TYPES.contains(&&*typ.to_ascii_lowercase())
    {
        return Err(Fault::Type(clipped(typ)));
    }
    if header.crit.is_some() {
        return Err(Fault::Critical);
    }
    // `jwk`, `jku`, `x5c` and `x5u` are never looked at: a token does not say whom to believe.
    let id = header.kid.as_deref();
    if let Some(id) = id
        && !keys.knows(id)
    {
        return Err(Fault::Key(clipped(id)));
    }
    let claims = signed_claims(token, header.alg, keys.candidates(id, header.alg).into_iter())?;
    let until = timely(plan, &claims, now)?;
    meant_for(plan, &claims)?;
    if claims.get("cnf").is_some_and(|cnf| !cnf.is_null()) {
        return Err(Fault::Bound);
    }
    if !plan.is_named(
        claims.get("iss").and_then(Value::as_str),
        claims.get("sub").and_then(Value::as_str),
    ) {
        return Err(Fault::Issuer("another".to_owned()));
    }
    for (name, wanted) in &plan.claims {
        if !has_value(crate::claims::find(&claims, name), wanted) {
            return Err(Fault::Unwanted(name.clone()));
        }
    }
    Ok(Verified { claims, until })
}

/// The claims of an ID token (OpenID Connect Core section 3.1.3.7), for the client of that name. At
/// a sign-in the nonce has to be there; of a token that comes later it need not be.
pub(crate) fn verify_id_token(
    plan: &IssuerPlan,
    keys: &Keys,
    token: &str,
    (client, nonce): (&str, Option<&str>),
    now: Timestamp,
) -> Result<Verified, Fault> {
    if token.len() > TOKEN_BYTES_MAX || !is_shaped(token) {
        return Err(Fault::Malformed("it is longer than 16 KiB, or has not three parts"));
    }
    let header = jsonwebtoken::decode_header(token)
        .map_err(|_| Fault::Malformed("its header cannot be read, or names no known algorithm"))?;
    if let Some(typ) = &header.typ
        && !typ.eq_ignore_ascii_case("jwt")
    {
        return Err(Fault::Type(clipped(typ)));
    }
    let plan = IssuerPlan { audiences: vec![client.to_owned()], ..plan.clone() };
    let verified = verify(&plan, keys, token, now)?;
    let claims = &verified.claims;
    let several = claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
    match claims.get("azp") {
        Some(Value::String(party)) if party == client => {}
        None | Some(Value::Null) if !several => {}
        None | Some(Value::Null) => return Err(Fault::Claim("azp".to_owned(), "missing")),
        Some(other) => {
            let found = clipped(other.as_str().unwrap_or_default());
            return Err(Fault::Audience { found, wanted: client.to_owned() });
        }
    }
    if date(claims, "iat")?.is_none() {
        return Err(Fault::Claim("iat".to_owned(), "missing"));
    }
    if claims.get("act").is_some_and(|act| !act.is_null()) {
        return Err(Fault::Claim("act".to_owned(), "of somebody who signs in for another"));
    }
    if let Some(nonce) = nonce
        && claims.get("nonce").and_then(Value::as_str) != Some(nonce)
    {
        return Err(Fault::Nonce);
    }
    Ok(verified)
}

/// What a believable token says.
pub(crate) struct Verified {
    pub claims: Map<String, Value>,
    /// When it ends; exclusive.
    pub until: Timestamp,
}

fn signed_claims<'a>(
    token: &str,
    algorithm: Algorithm,
    keys: impl Iterator<Item = &'a jsonwebtoken::DecodingKey>,
) -> Result<Map<String, Value>, Fault> {
    // The claims are checked by `verify`, at the time that it is given.
    let mut only_signature = Validation::new(algorithm);
    only_signature.required_spec_claims.clear();
    only_signature.validate_exp = false;
    only_signature.validate_aud = false;
    for key in keys {
        if jsonwebtoken::decode::<serde::de::IgnoredAny>(token, key, &only_signature).is_ok() {
            return claims_of(token);
        }
    }
    Err(Fault::Signature)
}

fn timely(
    plan: &IssuerPlan,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Timestamp, Fault> {
    let until = date(claims, "exp")?
        .ok_or_else(|| Fault::Claim("exp".to_owned(), "missing"))?
        .plus(plan.clock_skew);
    if now >= until {
        return Err(Fault::Expired(now.since(until).as_secs()));
    }
    let soon = now.plus(plan.clock_skew);
    for name in ["nbf", "iat"] {
        if let Some(from) = date(claims, name)?
            && from > soon
        {
            return Err(Fault::Early(from.since(now).as_secs()));
        }
    }
    Ok(until)
}

/// A NumericDate (RFC 7519 section 2): seconds since 1970, with or without a fraction.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Fault> {
    const NANOS: u64 = 1_000_000_000;
    let wrong = || Fault::Claim(name.to_owned(), "not a date in seconds since 1970");
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
            (Some(seconds), _) => Ok(Some(Timestamp(seconds.saturating_mul(NANOS)))),
            // As far as the fraction goes, an `f64` is exact to a microsecond for centuries.
            (None, Some(seconds)) if seconds >= 0.0 && seconds.is_finite() => Ok(Some(
                Timestamp(0)
                    .plus(std::time::Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?),
            )),
            _ => Err(wrong()),
        },
        Some(_) => Err(wrong()),
    }
}

fn meant_for(plan: &IssuerPlan, claims: &Map<String, Value>) -> Result<(), Fault> {
    let is_ours = |audience: &str| plan.audiences.iter().any(|ours| ours == audience);
    let found = match claims.get("aud") {
        Some(Value::String(audience)) => vec![&**audience],
        Some(Value::Array(all)) => {
            let texts: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            texts.ok_or_else(|| Fault::Claim("aud".to_owned(), "not a list of texts"))?
        }
        None | Some(Value::Null) => return Err(Fault::Claim("aud".to_owned(), "missing")),
        Some(_) => return Err(Fault::Claim("aud".to_owned(), "not a text")),
    };
    match found.iter().any(|audience| is_ours(audience)) {
        true => Ok(()),
        false => Err(Fault::Audience {
            found: clipped(&found.join(", ")),
            wanted: plan.audiences.join(", "),
        }),
    }
}

/// Whether a claim has a value: a text (`*` at its end: anything from there on), a number or a
/// boolean as it is written, or a list in which there is one.
fn has_value(found: Option<&Value>, wanted: &str) -> bool {
    match found {
        Some(Value::String(text)) => match wanted.strip_suffix('*') {
            Some(begin) => text.starts_with(begin),
            None => text == wanted,
        },
        Some(Value::Bool(value)) => wanted == if *value { "true" } else { "false" },
        Some(Value::Number(number)) => number.to_string().as_str() == wanted,
        Some(Value::Array(all)) => {
            all.iter().any(|value| !value.is_array() && has_value(Some(value), wanted))
        }
        _ => false,
    }
}

/// Words of a stranger, shortened and printable.
pub(crate) fn clipped(words: &str) -> String {
    const CHARS_MAX: usize = 100;
    let seen = words.chars().map(|c| if model::text::is_unseen(c) { '\u{fffd}' } else { c });
    let mut short: String = seen.take(CHARS_MAX).collect();
    if words.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

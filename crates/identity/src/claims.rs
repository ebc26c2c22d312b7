//! From the claims of a believable token to a principal. Pure.

use std::sync::Arc;

use aws_lc_rs::digest;
use model::text::is_unseen;
use model::{Principal, PrincipalKind, TokenId};
use serde_json::{Map, Value};

use crate::jwt::{Fault, Verified};
use crate::plan::IssuerPlan;

/// Longest subject or group, characters; as for tokens of our own.
const NAME_CHARS_MAX: usize = 256;
/// Groups of one party.
const GROUPS_MAX: usize = 256;
/// Claims that list several values in one text (RFC 6749 section 3.3).
const SPACED: &[&str] = &["scope", "scp"];

/// The value of a claim: by its whole name, or else by the names between its dots
/// (`realm_access.roles`), for names that hold dots themselves come first.
pub(crate) fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let (first, rest) = name.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

/// Who a token stands for.
///
/// With an `act` claim (RFC 8693 section 4.1) the one who does the work is `act`, on behalf of the
/// token's own subject; whoever acted before, further inside, is history and counts for nothing
/// (R12).
pub(crate) fn principal(
    plan: &IssuerPlan,
    token: &str,
    verified: &Verified,
) -> Result<Principal, Fault> {
    let claims = &verified.claims;
    let subject = subject(plan, claims, &plan.subject_claim)?;
    let listed = groups(plan, claims)?;
    let given = plan.groups.iter().map(|group| Arc::from(&**group));
    let actor = match claims.get("act") {
        None | Some(Value::Null) => None,
        Some(Value::Object(actor)) => Some(actor),
        Some(_) => return Err(Fault::Claim("act".to_owned(), "not an object")),
    };
    // Whoever acts for somebody is a program, whatever the issuer's tokens stand for otherwise.
    let kind = if actor.is_some() { PrincipalKind::Agent } else { plan.kind };
    let (subject, mut own, on_behalf_of, on_behalf_of_groups) = match actor {
        None => (subject, listed, None, Vec::new()),
        Some(actor) => {
            // An actor that another issuer named is nobody we know.
            if actor.get("iss").is_some_and(|iss| iss.as_str() != Some(&*plan.issuer)) {
                return Err(Fault::Claim("act.iss".to_owned(), "another issuer's"));
            }
            let acting = self::subject(plan, actor, "sub")?;
            (acting, groups(plan, actor)?, Some(subject), listed)
        }
    };
    own.extend(given);
    own.sort_unstable();
    own.dedup();
    Ok(Principal {
        subject,
        kind,
        groups: own,
        issuer: Arc::from(&*plan.issuer),
        on_behalf_of,
        on_behalf_of_groups,
        token: Some(id(token)),
        minted_by: None,
        expires_at: Some(verified.until),
        certificate: None,
    })
}

/// How the names of tokens of issuers begin; those of our own begin with `tk_`.
pub(crate) const ID_PREFIX: &str = "jwt_";

/// What a token is called in records. It is derived from what of the token is signed, and does not
/// tell it. Not from the signature: of ECDSA there are two that fit, and whoever has one has both.
pub(crate) fn id(token: &str) -> TokenId {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    let hash = digest::digest(&digest::SHA256, signed.as_bytes());
    TokenId(format!("{ID_PREFIX}{}", letters(hash)).into())
}

/// Sixteen letters of a hash.
pub(crate) fn letters(hash: digest::Digest) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let letter =
        |byte: &u8| char::from(ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0'));
    hash.as_ref().iter().take(16).map(letter).collect()
}

/// Who signed in, what they are called, and their groups.
pub(crate) type Person = (Arc<str>, Option<Arc<str>>, Vec<Arc<str>>);

/// Who signed in.
pub(crate) fn person(plan: &IssuerPlan, claims: &Map<String, Value>) -> Result<Person, Fault> {
    let who = subject(plan, claims, &plan.subject_claim)?;
    let named = |name: &str| claims.get(name)?.as_str().and_then(|name| named(name).ok());
    let name = named("name").or_else(|| named("preferred_username")).or_else(|| named("email"));
    let mut own = groups(plan, claims)?;
    own.extend(plan.groups.iter().map(|group| Arc::from(&**group)));
    own.sort_unstable();
    own.dedup();
    Ok((who, name, own))
}

fn subject(plan: &IssuerPlan, claims: &Map<String, Value>, name: &str) -> Result<Arc<str>, Fault> {
    let wrong = |how| Fault::Claim(name.to_owned(), how);
    let found = find(claims, name).ok_or_else(|| wrong("missing"))?;
    let text = found.as_str().ok_or_else(|| wrong("not a text"))?;
    // Whoever may write any address into their account could be anybody.
    let unproved = claims.get("email_verified").is_some_and(|proved| *proved != Value::Bool(true));
    if name == "email" && unproved {
        return Err(wrong("not verified by the provider"));
    }
    believable(&format!("{}{text}", plan.subject_prefix)).map_err(wrong)
}

/// A name that somebody may be proved to have.
pub(crate) fn believable(name: &str) -> Result<Arc<str>, &'static str> {
    match name.to_lowercase() == store::ADMIN_SUBJECT {
        true => Err("a name that stands for the holder of the admin token"),
        false => named(name),
    }
}

pub(crate) fn named(name: &str) -> Result<Arc<str>, &'static str> {
    match name {
        "" => Err("empty"),
        _ if name.chars().any(is_unseen) => Err("a text with letters that are not seen"),
        _ if name.trim() != name => Err("a text with space at an end"),
        _ if name.chars().nth(NAME_CHARS_MAX).is_some() => Err("longer than 256 characters"),
        _ => Ok(Arc::from(name)),
    }
}

/// The groups that a token lists. None is a list, too; but one that cannot be read whole refuses
/// the token, because masks may hang on the groups that are missing.
fn groups(plan: &IssuerPlan, claims: &Map<String, Value>) -> Result<Vec<Arc<str>>, Fault> {
    let name = &*plan.groups_claim;
    let wrong = |how| Fault::Claim(name.to_owned(), how);
    // OpenID Connect Core section 5.6.2: there are more, and they are elsewhere.
    let elsewhere = claims.get("_claim_names").and_then(Value::as_object);
    if elsewhere.is_some_and(|names| names.contains_key(name)) {
        return Err(wrong("too long for the token; have the provider list fewer groups"));
    }
    let all: Vec<&str> = match find(claims, name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) if SPACED.contains(&name) => {
            one.split_ascii_whitespace().collect()
        }
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => {
            let texts: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            texts.ok_or_else(|| wrong("not a list of texts"))?
        }
        Some(_) => return Err(wrong("not a list of texts")),
    };
    if all.len() > GROUPS_MAX {
        return Err(wrong("a list of more than 256 groups"));
    }
    let group = |group: &&str| named(&format!("{}{group}", plan.groups_prefix));
    let mut groups: Vec<Arc<str>> =
        all.iter().map(group).collect::<Result<_, _>>().map_err(wrong)?;
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

//! Fields of replies: masked, and made to fit where the client found the resource.

use detect::{DetectionType, Scanner, Span, TypeSet};
use engine::{HashKey, MaskKind, MaskPlan, REDACTED, partial_text};
use http::header::{CONTENT_LOCATION, LOCATION, REFRESH, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use model::{ClientText, DetectionCount};

use crate::body::{self, Hidden};
use crate::options::Upstream;
use crate::reply::Unfit;

/// What is said of a body as a whole, and is not true of a masked one: lengths, digests, and tags
/// that are digests (an entity tag of the unmasked body confirms a guess at it).
const OF_WHOLE_BODIES: [&str; 10] = [
    "accept-ranges",
    "content-digest",
    "content-md5",
    "content-range",
    "digest",
    "etag",
    "repr-digest",
    "signature",
    "signature-input",
    "x-amz-checksum-sha256",
];

/// Takes away what is true only of a body that passes as it came.
pub fn forget_whole(fields: &mut HeaderMap) {
    let of_whole = |name: &&HeaderName| {
        let name = name.as_str();
        OF_WHOLE_BODIES.contains(&name)
            || ["checksum", "x-goog-hash"].iter().any(|part| name.contains(part))
    };
    let names: Vec<HeaderName> = fields.keys().filter(of_whole).cloned().collect();
    for name in names {
        fields.remove(name);
    }
}

/// Masks fields whose names are masked, and what is found in the values of others; says what was
/// found there. With `counted` every type is looked for, also where it is not masked.
pub fn mask(
    fields: &mut HeaderMap,
    masks: &MaskPlan,
    key: &HashKey,
    counted: bool,
) -> Vec<DetectionCount> {
    let types = match counted {
        true => TypeSet::ALL,
        false => masks.detections().iter().map(|(found, _)| *found).collect(),
    };
    let mut found = Vec::new();
    if masks.is_empty() && types.is_empty() {
        return found;
    }
    let scanner = (!types.is_empty()).then(|| body::scanner(types));
    for (name, value) in fields.iter_mut() {
        let text = String::from_utf8_lossy(value.as_bytes());
        let hidden = match (masks.label(name.as_str()), &scanner) {
            (Some(kind), _) => Some(hide(kind, &text, key)),
            (None, Some(scanner)) => within(&text, scanner, masks, key, &mut found),
            (None, None) => None,
        };
        if let Some(hidden) = hidden {
            *value = HeaderValue::try_from(hidden)
                .unwrap_or_else(|_| HeaderValue::from_static(REDACTED));
        }
    }
    found
}

/// Values of fields that are masked, and what is found in those of others.
pub fn hidden(fields: &HeaderMap, masks: &MaskPlan) -> Vec<Hidden> {
    let types = TypeSet::from_iter(masks.detections().iter().map(|(found, _)| *found));
    let scanner = (!types.is_empty()).then(|| Scanner::new(types));
    let mut hidden = Vec::new();
    for (name, value) in fields {
        let text = String::from_utf8_lossy(value.as_bytes());
        if masks.label(name.as_str()).is_some() {
            hidden.push(Hidden { name: name.as_str().into(), value: text.into_owned() });
        } else if let Some(scanner) = &scanner {
            let mut found: Vec<Span> = Vec::new();
            scanner.scan(text.as_bytes(), &mut found);
            hidden.extend(found.iter().map(|span| Hidden {
                name: span.kind.name().into(),
                value: text.get(span.start..span.end).unwrap_or_default().to_owned(),
            }));
        }
    }
    hidden
}

fn hide(kind: MaskKind, text: &str, key: &HashKey) -> String {
    match kind {
        MaskKind::Null => String::new(),
        MaskKind::Redact => REDACTED.to_owned(),
        MaskKind::Hash | MaskKind::Tokenize => key.hash_text(text),
        MaskKind::Partial => partial_text(text),
    }
}

/// The text with what is masked replaced; `None` where it stays as it is.
fn within(
    text: &str,
    scanner: &Scanner,
    masks: &MaskPlan,
    key: &HashKey,
    found: &mut Vec<DetectionCount>,
) -> Option<String> {
    let mut spans: Vec<Span> = Vec::new();
    scanner.scan(text.as_bytes(), &mut spans);
    let (mut hidden, mut from) = (None::<String>, 0);
    for span in spans {
        let kind = masks.detections().iter().find(|(kind, _)| *kind == span.kind);
        count(span.kind, kind.is_some(), found);
        let Some((_, kind)) = kind else { continue };
        let hidden = hidden.get_or_insert_default();
        hidden.push_str(text.get(from..span.start).unwrap_or_default());
        hidden.push_str(&hide(*kind, text.get(span.start..span.end).unwrap_or_default(), key));
        from = span.end;
    }
    let mut hidden = hidden?;
    hidden.push_str(text.get(from..).unwrap_or_default());
    Some(hidden)
}

fn count(kind: DetectionType, masked: bool, found: &mut Vec<DetectionCount>) {
    let masked = u64::from(masked);
    match found.iter_mut().find(|count| *count.kind == *kind.name()) {
        Some(count) => {
            count.seen = count.seen.saturating_add(1);
            count.masked = count.masked.saturating_add(masked);
        }
        None => found.push(DetectionCount { kind: kind.name().into(), seen: 1, masked }),
    }
}

/// Makes a reverse resource's replies fit where the client found it: below `prefix`.
///
/// # Errors
///
/// When the reply sends the client to another host: what is there is another resource.
pub fn localise(fields: &mut HeaderMap, prefix: &str, upstream: &Upstream) -> Result<(), Unfit> {
    if let Some(location) = fields.get(LOCATION) {
        let moved = location.to_str().ok().and_then(|to| moved(to, prefix, upstream));
        let Some(moved) = moved.and_then(|to| HeaderValue::try_from(to).ok()) else {
            let words = "the resource sends you to another host, which is another resource";
            return Err(Unfit { reason: "redirect_elsewhere", what: ClientText::fixed(words) });
        };
        fields.insert(LOCATION, moved);
    }
    // Another way to send a client elsewhere, and a place that nobody has to know.
    fields.remove(REFRESH);
    fields.remove(CONTENT_LOCATION);
    let cookies: Vec<HeaderValue> = fields.get_all(SET_COOKIE).iter().cloned().collect();
    fields.remove(SET_COOKIE);
    for cookie in cookies {
        if let Some(cookie) = cookie.to_str().ok().and_then(|cookie| scoped(cookie, prefix)) {
            fields.append(SET_COOKIE, cookie);
        }
    }
    Ok(())
}

/// Where a redirect within the resource leads the client.
fn moved(to: &str, prefix: &str, upstream: &Upstream) -> Option<String> {
    if to.starts_with("//") || to.contains('\\') || climbs(to) {
        return None;
    }
    let first = to.split(['/', '?', '#']).next().unwrap_or_default();
    if !to.starts_with('/') && !first.contains(':') {
        // Relative to where the client is.
        return Some(to.to_owned());
    }
    let uri: Uri = to.parse().ok()?;
    match uri.authority() {
        None if to.starts_with('/') => {}
        None => return None,
        Some(authority) => {
            let same = authority.as_str().eq_ignore_ascii_case(&upstream.authority)
                && uri.scheme_str() == Some(upstream.scheme.as_str());
            if !same {
                return None;
            }
        }
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let below = target.strip_prefix(&*upstream.base).filter(|rest| rest.starts_with('/'));
    // What is not below the resource's base cannot be reached through it.
    let below = if upstream.base.is_empty() { Some(target) } else { below };
    Some(format!("{prefix}{}", below?))
}

/// A path that leads up: resolved by the client, it could lead out of the resource and into another
/// one, which would get the client's token from it and its own credential from the gateway.
fn climbs(to: &str) -> bool {
    let path = to.split_once("://").map_or(to, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let plain =
        path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    plain.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

/// The cookie, sent back only to this resource.
fn scoped(cookie: &str, prefix: &str) -> Option<HeaderValue> {
    let mut parts = cookie.split(';').map(str::trim);
    let mut scoped = parts.next()?.to_owned();
    for part in parts {
        let attribute = part.split('=').next().unwrap_or_default().trim();
        let dropped = ["domain", "path"].iter().any(|known| known.eq_ignore_ascii_case(attribute));
        if !dropped {
            scoped.push_str("; ");
            scoped.push_str(part);
        }
    }
    scoped.push_str("; Path=");
    scoped.push_str(if prefix.is_empty() { "/" } else { prefix });
    HeaderValue::try_from(scoped).ok()
}

#[cfg(test)]
mod tests {
    use model::exchange::Scheme;

    use super::*;

    fn upstream(base: &str) -> Upstream {
        Upstream { scheme: Scheme::Https, authority: "api.test".into(), base: base.into() }
    }

    #[test]
    fn redirects_within_the_resource_stay_below_its_name_and_others_are_not_followed() {
        let to = |text: &str| moved(text, "/r/api", &upstream(""));
        assert_eq!(to("/b?c").as_deref(), Some("/r/api/b?c"));
        assert_eq!(to("https://api.test/b").as_deref(), Some("/r/api/b"));
        assert_eq!(to("https://API.test/b").as_deref(), Some("/r/api/b"));
        assert_eq!(to("b").as_deref(), Some("b"));
        for elsewhere in
            ["https://evil.test/b", "http://api.test/b", "//evil.test/b", "https://api.test:444/"]
        {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(moved("/v1/a", "/r/api", &upstream("/v1")).as_deref(), Some("/r/api/a"));
        for climbing in
            ["/../vault/x", "../../vault", "/a/%2e%2e/%2E./b", "https://api.test/../v", ".."]
        {
            assert_eq!(to(climbing), None, "{climbing}");
        }
        assert_eq!(to("/a/..b?x=../c").as_deref(), Some("/r/api/a/..b?x=../c"));
        assert_eq!(moved("/v2/a", "/r/api", &upstream("/v1")), None);
    }

    #[test]
    fn cookies_go_back_to_their_resource_only() {
        let cookie = scoped("a=b; Domain=api.test; Path=/; Secure; HttpOnly", "/r/api");
        let cookie = cookie.expect("a cookie");
        assert_eq!(cookie, "a=b; Secure; HttpOnly; Path=/r/api");
    }
}

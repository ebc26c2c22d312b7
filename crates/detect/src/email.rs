//! E-mail addresses (RFC 5321, RFC 6531), as they occur in practice.

/// Bytes looked at on either side of the `@`; RFC 5321, 4.5.3.1 allows 64 and 255.
const SIDE_BYTES_MAX: usize = 320;

/// Endings of file names that look like a top-level domain after `@2x`.
const FILE_ENDINGS: &[&[u8]] = &[
    b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"ico", b"css", b"js", b"mjs", b"jsx",
    b"tsx", b"html", b"htm", b"json", b"xml", b"pdf", b"txt", b"log", b"yaml", b"yml", b"toml",
];

/// Ways to write `@`: as it is, wide, and in the escapes of URLs, JSON and HTML.
const SIGNS: &[&[u8]] =
    &[b"@", "＠".as_bytes(), b"%40", b"\\u0040", b"&#64;", b"&#x40;", b"&commat;"];

/// Where an address starts and ends, in bytes.
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The length of the `@` written at `at`, if one is.
pub(crate) fn sign(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    SIGNS
        .iter()
        .find(|sign| rest.get(..sign.len()).is_some_and(|s| s.eq_ignore_ascii_case(sign)))
        .map(|sign| sign.len())
}

/// The address around the `@` at `at`.
pub(crate) fn recognise(text: &[u8], at: usize) -> Option<Found> {
    let after = at + sign(text, at)?;
    let end = domain(text, after)?;
    let start = local_part(text, at)?;
    Some(Found { start, end })
}

/// Whether an `@` is written at `at` between characters that can be of an address.
pub(crate) fn may_surround(text: &[u8], at: usize) -> bool {
    let Some(after) = sign(text, at).map(|length| at + length) else { return false };
    at.checked_sub(1).and_then(|i| text.get(i)).is_some_and(|byte| is_local(*byte))
        && text.get(after).is_some_and(|byte| is_domain(*byte))
}

/// Where the part before the `@` at `at` starts.
fn local_part(text: &[u8], at: usize) -> Option<usize> {
    let from = at.saturating_sub(SIDE_BYTES_MAX);
    let reach = text.get(from..at)?;
    let mut length = reach.iter().rev().take_while(|byte| is_local(**byte)).count();
    // In scripts written without spaces the words before an address are not part of it.
    let ascii = reach.iter().rev().take(length).take_while(|byte| byte.is_ascii()).count();
    let ideograph = reach.iter().rev().take(length).any(|byte| (0xe2..=0xef).contains(byte));
    if ascii > 0 && ideograph {
        length = ascii;
    }
    let local = reach.get(reach.len() - length..)?;
    let skip = local.iter().take_while(|byte| !is_word(**byte)).count();
    let mut start = at - length + skip;
    // The letter of an escape (`\n`, written out) is not part of the address.
    let escaped = start.checked_sub(1).and_then(|i| text.get(i)) == Some(&b'\\');
    if escaped && matches!(text.get(start), Some(b'n' | b'r' | b't')) && start + 1 < at {
        start += 1;
    }
    // Never from the middle of a character.
    while start < at && text.get(start).is_some_and(|byte| (0x80..0xc0).contains(byte)) {
        start += 1;
    }
    (start < at).then_some(start)
}

/// Where the part after an `@` ends that ends before `at`.
fn domain(text: &[u8], at: usize) -> Option<usize> {
    let reach = text.get(at..text.len().min(at + SIDE_BYTES_MAX))?;
    let mut length = reach.iter().take_while(|byte| is_domain(**byte)).count();
    if let Some(other) = punctuation(reach.get(..length)?) {
        length = other;
    }
    let mut name = reach.get(..length)?;
    loop {
        name = trim_end(name);
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        let (host, top) = (name.get(..dot)?, name.get(dot + 1..)?);
        // An address followed by a word in a script without spaces.
        let ascii = top.iter().take_while(|byte| byte.is_ascii()).count();
        let top = if ascii >= 2 { top.get(..ascii)? } else { top };
        let top = trim_end(top);
        if is_top_level(top) && !host.ends_with(b".") && starts_host(host) {
            return whole_characters(text, at, at + dot + 1 + top.len());
        }
        name = host;
    }
}

/// The end of the last whole character in `from..end`, when the reach cut one.
fn whole_characters(text: &[u8], from: usize, end: usize) -> Option<usize> {
    let mut end = end;
    while end > from && text.get(end).is_some_and(|byte| (0x80..0xc0).contains(byte)) {
        end -= 1;
    }
    (end > from).then_some(end)
}

/// Where a character that is no letter starts, among those that are not ASCII.
fn punctuation(name: &[u8]) -> Option<usize> {
    name.iter().enumerate().position(|(at, byte)| match byte {
        0xe2 | 0xef => true,
        0xe3 => name.get(at + 1) == Some(&0x80),
        0xc2 => true,
        _ => false,
    })
}

fn trim_end(name: &[u8]) -> &[u8] {
    let junk = name.iter().rev().take_while(|byte| matches!(byte, b'.' | b'-')).count();
    name.get(..name.len() - junk).unwrap_or_default()
}

fn starts_host(host: &[u8]) -> bool {
    host.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80)
}

fn is_top_level(top: &[u8]) -> bool {
    let letters = top.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    let coded = top.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"xn--"));
    (2..=63).contains(&top.len())
        && (letters || coded)
        && !FILE_ENDINGS.iter().any(|ending| top.eq_ignore_ascii_case(ending))
}

/// Characters of a local part as mailboxes really use them. The other ones that RFC 5322 allows
/// (`/ = ? { } …`) stand around addresses far more often than in them.
fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'%' | b'\'' | b'!' | b'#' | b'~')
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'-')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = (0..text.len()).find(|at| sign(text.as_bytes(), *at).is_some())?;
        let email = recognise(text.as_bytes(), at)?;
        text.get(email.start..email.end)
    }

    #[test]
    fn addresses_are_found_whole() {
        for email in [
            "ann@example.com",
            "ann.lee+news@mail.example.co.uk",
            "o'brien@example.ie",
            "a@b.io",
            "x_y-z%w@sub-domain.example.museum",
            "ann@bücher-welt.de",
            "josé@example.es",
            "ann@xn--bcher-kva.example",
            "ann@example.xn--p1ai",
            "ann%40web.de",
            "7@8.de",
            "ann\\u0040web.de",
            "ann&#64;web.de",
            "ann＠web.de",
            "почта@пример.рф",
        ] {
            assert_eq!(found(email), Some(email));
            for around in
                [["<", ">"], ["mail ", "."], ["(", ")"], ["'", "'"], ["to:", ",b"], ["=", "&x"]]
            {
                assert_eq!(found(&format!("{}{email}{}", around[0], around[1])), Some(email));
            }
        }
    }

    #[test]
    fn neighbours_are_not_part_of_an_address() {
        assert_eq!(found("a\\nann@example.com\\nb"), Some("ann@example.com"));
        assert_eq!(found("邮箱ann@example.com谢谢"), Some("ann@example.com"));
        assert_eq!(found("“ann@example.com”"), Some("ann@example.com"));
        assert_eq!(found("ann@example.com..."), Some("ann@example.com"));
        assert_eq!(found("ann@example.com.1"), Some("ann@example.com"));
    }

    #[test]
    fn what_is_not_an_address_is_left_alone() {
        for text in [
            "@",
            "ann@",
            "@example.com",
            "ann@host",
            "lodash@4.17.21",
            "icon@2x.png",
            "a@b.c",
            "ann@.com",
            "ann@-x",
            "ann@example.",
            "a @b.com",
            "50%40",
            "x@@y",
            "ann@10.0.0.1",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}

//! The target: a path with one meaning, and a query that is left alone.

use std::borrow::Cow;
use std::sync::Arc;

use model::limit::{HTTP_PAIRS_MAX, HTTP_TARGET_BYTES_MAX};

use super::{Malformed, hex};

const LONG: Malformed = Malformed::new("target_long", "the target is too long");
const FORM: Malformed = Malformed::new("target_form", "the path does not begin with a slash");
const CONTROL: Malformed =
    Malformed::new("target_control", "the target holds a space or a control character");
const FRAGMENT: Malformed = Malformed::new("target_fragment", "the target holds a fragment");
const RAW: Malformed =
    Malformed::new("target_raw", "the target holds a character that has to be percent-encoded");
const ESCAPE: Malformed =
    Malformed::new("target_escape", "the target holds an invalid percent-encoding");
const UTF8: Malformed = Malformed::new("path_utf8", "the path is percent-encoded but not in UTF-8");
const DOTS: Malformed = Malformed::new("path_dots", "the path holds dot segments");
const ABOVE: Malformed = Malformed::new("path_above_root", "the path leads above the root");
const SLASHES: Malformed = Malformed::new("path_slashes", "the path holds an empty segment");
const SEPARATOR: Malformed =
    Malformed::new("path_separator", "the path holds an encoded slash or a backslash");
const PARAMETERS: Malformed =
    Malformed::new("path_parameters", "the path holds segment parameters");
const TWICE: Malformed = Malformed::new("path_twice", "the path is percent-encoded twice");
const NEEDLESS: Malformed = Malformed::new(
    "path_needless_escape",
    "the path percent-encodes characters that need no encoding",
);
const CASE: Malformed =
    Malformed::new("path_escape_case", "the path's percent-encoding is not in upper case");

/// One form of a target.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Path {
    /// The path, from its slash on; `*` for the server as a whole.
    pub path: Arc<str>,
    /// The query as it was sent, without its question mark. `Some` of nothing for a bare one.
    pub query: Option<Arc<str>>,
}

impl Path {
    /// Path and query together.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.to_string(),
        }
    }
}

/// Reads a target in its canonical form, or brings it into that form where `normalise` is set.
///
/// The canonical form of a path: it begins with a slash and has no empty, `.` or `..` segment (it
/// may end in a slash), escapes only what is not unreserved (RFC 3986, section 2.3) and in upper
/// case, decodes to UTF-8, and holds nothing that some server reads in its own way. Reserved
/// characters (`@`, `[`, `!` …) stay as they are, raw or escaped: the two are not equivalent.
///
/// `normalise` resolves dot segments, merges slashes, decodes what needs no escape, escapes quotes
/// and braces, and writes escapes in upper case. What has no single meaning is refused all the
/// same: control characters, spaces, non-ASCII, fragments, invalid escapes, escapes that are not
/// UTF-8, `%2F`, `%5C`, `\`, `;` (some servers drop what follows it), double escapes of these, dot
/// segments above the root or beside empty segments.
///
/// The query is not rewritten and not required to be UTF-8; only what breaks framing is refused.
///
/// # Errors
/// Another form, or no form at all.
pub fn path(target: &str, normalise: bool) -> Result<Path, Malformed> {
    if target.len() > HTTP_TARGET_BYTES_MAX {
        return Err(LONG);
    }
    for byte in target.bytes() {
        match byte {
            0..=0x20 | 0x7f => return Err(CONTROL),
            0x80.. => return Err(RAW),
            b'#' => return Err(FRAGMENT),
            _ => {}
        }
    }
    let (written, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if let Some(query) = query {
        escapes_are_sound(query)?;
    }
    if written == "*" && query.is_none() {
        return Ok(Path { path: written.into(), query: None });
    }
    let (escaped, first) = canonical_escapes(written)?;
    let (path, second) = canonical_segments(&escaped)?;
    match first.or(second) {
        Some(difference) if !normalise => Err(difference),
        _ => Ok(Path { path: path.into(), query: query.map(Arc::from) }),
    }
}

fn escapes_are_sound(text: &str) -> Result<(), Malformed> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            escaped(&mut bytes)?;
        }
    }
    Ok(())
}

/// The byte that an escape stands for, after its percent sign, and whether it is in upper case.
fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Result<(u8, bool), Malformed> {
    let (high, low) = (bytes.next().ok_or(ESCAPE)?, bytes.next().ok_or(ESCAPE)?);
    let value = hex(high).ok_or(ESCAPE)? << 4 | hex(low).ok_or(ESCAPE)?;
    Ok((value, !high.is_ascii_lowercase() && !low.is_ascii_lowercase()))
}

/// The path with exactly the escapes it needs, and the first way in which it was written otherwise.
fn canonical_escapes(written: &str) -> Result<(String, Option<Malformed>), Malformed> {
    let mut path = String::with_capacity(written.len());
    let mut plain = Vec::with_capacity(written.len());
    let mut differs = None;
    let mut bytes = written.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => return Err(SEPARATOR),
            b';' => return Err(PARAMETERS),
            b'%' => {
                let (value, upper) = escaped(&mut bytes)?;
                plain.push(value);
                match value {
                    0..0x20 | 0x7f => return Err(CONTROL),
                    b'/' | b'\\' => return Err(SEPARATOR),
                    b'.' => {
                        differs = differs.or(Some(DOTS));
                        path.push('.');
                    }
                    _ if is_unreserved(value) => {
                        differs = differs.or(Some(NEEDLESS));
                        path.push(char::from(value));
                    }
                    _ => {
                        if !upper {
                            differs = differs.or(Some(CASE));
                        }
                        push_escape(&mut path, value);
                    }
                }
            }
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'}' => {
                differs = differs.or(Some(RAW));
                plain.push(byte);
                push_escape(&mut path, byte);
            }
            _ => {
                plain.push(byte);
                path.push(char::from(byte));
            }
        }
    }
    let plain = String::from_utf8(plain).map_err(|_| UTF8)?;
    // A server that decodes twice would find there what is refused above. The C1 controls, too.
    if plain.chars().any(char::is_control) {
        return Err(CONTROL);
    }
    if is_escaped_again(&plain) {
        return Err(TWICE);
    }
    Ok((path, differs))
}

/// Whether a decoded text still has an escape of a dot, a separator, a percent sign, a semicolon or
/// a control character.
fn is_escaped_again(plain: &str) -> bool {
    plain.split('%').skip(1).any(|after| {
        let value = escaped(&mut after.bytes());
        matches!(value, Ok((0..0x20 | 0x7f | b'.' | b'/' | b'\\' | b'%' | b';', _)))
    })
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn push_escape(path: &mut String, byte: u8) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    path.push('%');
    for digit in [byte >> 4, byte & 15] {
        path.extend(DIGITS.get(usize::from(digit)));
    }
}

/// The path without empty and dot segments, and whether it had any.
fn canonical_segments(escaped: &str) -> Result<(String, Option<Malformed>), Malformed> {
    let rest = escaped.strip_prefix('/').ok_or(FORM)?;
    let (mut dots, mut empty) = (false, false);
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = rest.split('/').peekable();
    // Whether the path ends in a slash: after its last segment, or after dots that end it.
    let mut open = false;
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" if last => open = true,
            "" => empty = true,
            "." => {
                dots = true;
                open = last;
            }
            ".." => {
                dots = true;
                open = last;
                kept.pop().ok_or(ABOVE)?;
            }
            _ => kept.push(segment),
        }
    }
    // `/a//..` is `/a/` for who resolves first and `/` for who merges first.
    if dots && empty {
        return Err(DOTS);
    }
    let mut path = String::with_capacity(escaped.len());
    for segment in &kept {
        path.push('/');
        path.push_str(segment);
    }
    if open || kept.is_empty() {
        path.push('/');
    }
    let differs = match (dots, empty) {
        (true, _) => Some(DOTS),
        (false, true) => Some(SLASHES),
        (false, false) => None,
    };
    Ok((path, differs))
}

/// The pairs of a query or a form, decoded: `+` is a space, invalid escapes stay as they are, and
/// what is not UTF-8 is replaced. For looking at, never for sending.
///
/// At most [`HTTP_PAIRS_MAX`] pairs; who has to see all of a query looks at its text.
#[must_use]
pub fn query_pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).take(HTTP_PAIRS_MAX);
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let spaced: Cow<'_, str> =
        if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(target: &str, normalise: bool) -> &'static str {
        path(target, normalise).map_or_else(|malformed| malformed.reason, |_| "fine")
    }

    #[test]
    fn canonical_targets_pass_unchanged() {
        let table = [
            "*",
            "/",
            "/a",
            "/a/",
            "/a/b.c/d",
            "/.well-known/x",
            "/...",
            "/a..b/c.",
            "/~user/-_.",
            "/a%20b/%C3%A9",
            "/a@b:c!$&'()*+,=",
            "/a%40b%3Bc%25",
            "/100%25",
            "/100%25ab",
            "/files[0]|x",
            "/a?",
            "/a?b=c&d=%41%2f..//;",
            "/a?b?c",
            "/a?x=%ff%00",
            "/?q=\"'<>{}|\\^`",
        ];
        for target in table {
            for normalise in [false, true] {
                let path =
                    path(target, normalise).unwrap_or_else(|error| panic!("{target}: {error:?}"));
                assert_eq!(path.target(), target);
            }
        }
        assert_eq!(path("/a?", false).expect("fine").query.as_deref(), Some(""));
        assert_eq!(path("/a", false).expect("fine").query, None);
    }

    #[test]
    fn other_forms_are_refused_or_normalised() {
        let table = [
            ("/a/./b", "path_dots", "/a/b"),
            ("/a/../b", "path_dots", "/b"),
            ("/a/b/..", "path_dots", "/a/"),
            ("/a/.", "path_dots", "/a/"),
            ("/.", "path_dots", "/"),
            ("/a/..", "path_dots", "/"),
            ("/a/%2e%2E/b", "path_dots", "/b"),
            ("/a/.%2e/b", "path_dots", "/b"),
            ("/a/%2E/b", "path_dots", "/a/b"),
            ("/a%2eb", "path_dots", "/a.b"),
            ("//", "path_slashes", "/"),
            ("//evil.test/a", "path_slashes", "/evil.test/a"),
            ("/a//b", "path_slashes", "/a/b"),
            ("/a///", "path_slashes", "/a/"),
            ("/%41dmin", "path_needless_escape", "/Admin"),
            ("/%7euser", "path_needless_escape", "/~user"),
            ("/a%2db", "path_needless_escape", "/a-b"),
            ("/a%c3%a9", "path_escape_case", "/a%C3%A9"),
            ("/a%3b", "path_escape_case", "/a%3B"),
            ("/{a}", "target_raw", "/%7Ba%7D"),
            ("/a\"<>^`", "target_raw", "/a%22%3C%3E%5E%60"),
            ("/%41/../b?x=/../%41", "path_needless_escape", "/b?x=/../%41"),
        ];
        for (target, expected, normal) in table {
            assert_eq!(reason(target, false), expected, "{target}");
            let path = path(target, true).unwrap_or_else(|error| panic!("{target}: {error:?}"));
            assert_eq!(path.target(), normal, "{target}");
        }
    }

    #[test]
    fn what_has_no_one_meaning_is_always_refused() {
        let table = [
            ("", "target_form"),
            ("a", "target_form"),
            ("?a", "target_form"),
            ("*?a", "target_form"),
            ("http://evil.test/", "target_form"),
            ("/..", "path_above_root"),
            ("/a/../../b", "path_above_root"),
            ("/%2e%2e", "path_above_root"),
            ("/a//../b", "path_dots"),
            ("/a/..//b", "path_dots"),
            ("/a%2fb", "path_separator"),
            ("/a%2Fb", "path_separator"),
            ("/a%5cb", "path_separator"),
            ("/a\\b", "path_separator"),
            ("/..%5c", "path_separator"),
            ("/a;b=c", "path_parameters"),
            ("/..;/b", "path_parameters"),
            ("/a%00b", "target_control"),
            ("/a%0d%0ab", "target_control"),
            ("/a%7f", "target_control"),
            ("/a%C2%85", "target_control"),
            ("/a b", "target_control"),
            ("/a\tb", "target_control"),
            ("/a\0", "target_control"),
            ("/a\r\nHost: b", "target_control"),
            ("/a?b c", "target_control"),
            ("/a?b\n", "target_control"),
            ("/é", "target_raw"),
            ("/a?é", "target_raw"),
            ("/a#b", "target_fragment"),
            ("/a?b#c", "target_fragment"),
            ("/a%", "target_escape"),
            ("/a%4", "target_escape"),
            ("/a%zz", "target_escape"),
            ("/a%u002e", "target_escape"),
            ("/a?b=%", "target_escape"),
            ("/a?b=%g1", "target_escape"),
            ("/a%ff", "path_utf8"),
            ("/%c0%af", "path_utf8"),
            ("/%c0%ae%c0%ae/", "path_utf8"),
            ("/%ed%a0%80", "path_utf8"),
            ("/%252e%252e/", "path_twice"),
            ("/a%252fb", "path_twice"),
            ("/a%255cb", "path_twice"),
            ("/a%25%32%65", "path_twice"),
            ("/a%25252e", "path_twice"),
            ("/a%2500", "path_twice"),
        ];
        for (target, expected) in table {
            assert_eq!(reason(target, true), expected, "{target}");
            // Read strictly, another difference may be found first.
            assert_ne!(reason(target, false), "fine", "{target}");
        }
    }

    #[test]
    fn a_target_may_be_as_long_as_the_limit_and_not_longer() {
        let longest = format!("/{}", "a".repeat(HTTP_TARGET_BYTES_MAX - 1));
        assert_eq!(reason(&longest, false), "fine");
        assert_eq!(reason(&format!("{longest}a"), false), "target_long");
    }

    #[test]
    fn pairs_are_decoded_and_bounded() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            query_pairs("a=b&c&=d&&e=f=g&h+i=%41%2B+%ff%zz"),
            [
                pair("a", "b"),
                pair("c", ""),
                pair("", "d"),
                pair("e", "f=g"),
                pair("h i", "A+ \u{fffd}%zz"),
            ],
        );
        assert!(query_pairs("").is_empty());
        let query = |count: usize| vec!["a=b"; count].join("&");
        assert_eq!(query_pairs(&query(HTTP_PAIRS_MAX)).len(), HTTP_PAIRS_MAX);
        assert_eq!(query_pairs(&query(HTTP_PAIRS_MAX + 1)).len(), HTTP_PAIRS_MAX);
    }
}

//! JSON Web Tokens (RFC 7519) in compact serialisation: signed, encrypted, or cut after the claims.

/// Segments of the longest compact form (RFC 7516, 7.1).
const SEGMENTS_MAX: usize = 5;

/// The end of the token that starts at `at`.
pub(crate) fn recognise(text: &[u8], at: usize) -> Option<usize> {
    if at.checked_sub(1).and_then(|i| text.get(i)).is_some_and(|byte| is_base64url(*byte))
        && !crate::text::opens(text, at)
    {
        return None;
    }
    let header = segment(text, at)?;
    let mut ends = [at + header.len(); SEGMENTS_MAX];
    let (mut end, mut segments) = (at + header.len(), 1);
    while let Some(slot) = ends.get_mut(segments)
        && text.get(end) == Some(&b'.')
    {
        end += 1 + segment(text, end + 1)?.len();
        (*slot, segments) = (end, segments + 1);
    }
    // Three segments are signed, five encrypted; a full stop after them ends a sentence.
    let cut = text.get(end - 1) == Some(&b'.') && !unsigned(header);
    let segments = match segments {
        4 => 3,
        3 if cut => 2,
        segments => segments,
    };
    let claims = text.get(at + header.len() + 1..).unwrap_or_default();
    let complete = segments > 2 || (segments == 2 && claims.starts_with(b"ey"));
    (complete && is_header(header)).then(|| ends.get(segments - 1).copied()).flatten()
}

fn segment(text: &[u8], at: usize) -> Option<&[u8]> {
    let rest = text.get(at..)?;
    rest.get(..rest.iter().take_while(|byte| is_base64url(**byte)).count())
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn decode(segment: &[u8]) -> impl Iterator<Item = u8> {
    let (mut bits, mut count) = (0_u32, 0);
    segment.iter().filter_map(move |byte| {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        (count >= 8).then(|| {
            count -= 8;
            u8::try_from(bits >> count & 0xff).unwrap_or_default()
        })
    })
}

/// Whether the header says that no signature follows (RFC 7519, section 6).
fn unsigned(header: &[u8]) -> bool {
    names(header, b"\"none\"")
}

/// Whether the decoded header contains `word`.
fn names(header: &[u8], word: &[u8]) -> bool {
    let mut matched = 0;
    decode(header).any(|byte| {
        matched = match word.get(matched) {
            Some(wanted) if *wanted == byte => matched + 1,
            _ => usize::from(word.first() == Some(&byte)),
        };
        matched == word.len()
    })
}

/// Whether the segment decodes to one JSON object that names an algorithm.
///
/// Checks nesting and strings, not every rule of the grammar: random text does not get this far.
fn is_header(header: &[u8]) -> bool {
    let (mut depth, mut string, mut escape, mut closed) = (0_u32, false, false, false);
    for byte in decode(header) {
        if closed {
            return false;
        }
        match byte {
            0..0x20 if string || !matches!(byte, b'\t' | b'\n' | b'\r') => return false,
            _ if escape => escape = false,
            b'\\' if string => escape = true,
            b'"' => string = !string,
            b'{' | b'[' if !string => depth += 1,
            b'}' | b']' if !string => {
                let Some(outer) = depth.checked_sub(1) else { return false };
                depth = outer;
                closed = depth == 0;
            }
            _ if depth == 0 => return false,
            _ => {}
        }
    }
    closed && names(header, b"\"alg\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7519, 3.1; RFC 7515, A.1.
    const SIGNED: &str = concat!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt",
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
    // RFC 7519, 6.1.
    const UNSIGNED: &str = concat!(
        "eyJhbGciOiJub25lIn0.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt",
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
    );

    fn found(text: &str) -> Option<&str> {
        let at = text.find("ey")?;
        text.get(at..recognise(text.as_bytes(), at)?)
    }

    #[test]
    fn tokens_are_found_whole() {
        assert_eq!(found(SIGNED), Some(SIGNED));
        assert_eq!(found(UNSIGNED), Some(UNSIGNED));
        assert_eq!(found(&format!("Bearer {SIGNED}. Thanks")), Some(SIGNED));
        assert_eq!(found(&format!("a=1;jwt={SIGNED};b=2")), Some(SIGNED));
        let cut = SIGNED.rsplit_once('.').unwrap().0;
        assert_eq!(found(cut), Some(cut));
    }

    #[test]
    fn what_does_not_decode_to_a_header_is_left_alone() {
        for text in [
            "eyJ",
            "eyJhbGciOiJub25lIn0",
            "eyJhbGciOiJub25lIn0.",
            "eyJhbGciOiJub25lIn0.abcd",
            "eyJhbGciOiJub25lIn.eyJpc3MiOiJqb2Ui.abcd",
            "eyJ0eXAiOiJKV1QifQ.eyJpc3MiOiJqb2Ui.abcd",
            "eyJeyJeyJeyJ.eyJpc3MiOiJqb2Ui.abcd",
            "xeyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2Ui.abcd",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}

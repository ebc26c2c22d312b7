//! Credentials that an upstream sends back (P7).
//!
//! Some hosts show the request they got. What the gateway added to it is for that host alone, so a
//! reply in which it stands is cut off before it. Looked for in what the host sends, before it is
//! recorded, and in what the client gets, after encodings were undone for masks. Such a host is
//! asked for no encoding; one that encodes what it shows all the same, or in another way, is
//! trusted with its own credential.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem::Finder;

/// Shorter values stand in replies by chance, bytes.
const SECRET_BYTES_MIN: usize = 8;

/// Looks for the credentials of one exchange.
#[derive(Clone, Default)]
pub(super) struct Echo {
    secrets: Vec<Box<[u8]>>,
    finders: Vec<Finder<'static>>,
    /// The beginning of a credential, perhaps: the end of what was looked at, not passed on yet.
    kept: Vec<u8>,
}

/// A credential stands there.
#[derive(Debug)]
pub(super) struct Shown;

impl Echo {
    /// The credential of each field is its last word: `Bearer` is none.
    pub fn of(fields: &[(HeaderName, HeaderValue)]) -> Self {
        let secret = |(_, value): &(HeaderName, HeaderValue)| {
            let word = value.as_bytes().rsplit(|byte| *byte == b' ').next()?;
            (word.len() >= SECRET_BYTES_MIN).then(|| Box::from(word))
        };
        let secrets: Vec<Box<[u8]>> = fields.iter().filter_map(secret).collect();
        let finders = secrets.iter().map(|word| Finder::new(word).into_owned()).collect();
        Self { secrets, finders, kept: Vec::new() }
    }

    /// Whether there is none to look for.
    pub fn is_idle(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether a field shows one, in its value or as its name.
    pub fn is_in_fields(&self, fields: &HeaderMap) -> bool {
        let is_in_name = |name: &HeaderName| {
            let name = name.as_str().as_bytes();
            let is = |secret: &[u8]| {
                name.windows(secret.len()).any(|part| part.eq_ignore_ascii_case(secret))
            };
            self.secrets.iter().any(|secret| is(secret))
        };
        fields.iter().any(|(name, value)| self.finds(value.as_bytes()) || is_in_name(name))
    }

    /// What may be passed on with this piece: all but an end that a credential may begin with.
    pub fn pass(&mut self, piece: Bytes) -> Result<Bytes, Shown> {
        if self.secrets.is_empty() {
            return Ok(piece);
        }
        let piece = if self.kept.is_empty() {
            piece
        } else {
            let mut joined = std::mem::take(&mut self.kept);
            joined.extend_from_slice(&piece);
            Bytes::from(joined)
        };
        if self.finds(&piece) {
            return Err(Shown);
        }
        let begun = self.secrets.iter().map(|secret| begun(secret, &piece)).max().unwrap_or(0);
        let end = piece.len().saturating_sub(begun);
        self.kept.extend_from_slice(piece.get(end..).unwrap_or_default());
        Ok(piece.slice(..end))
    }

    /// What was kept, when nothing more comes.
    pub fn rest(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.kept))
    }

    /// Whether one stands in a whole message, or in it and the messages before it.
    pub fn is_in(&mut self, message: &[u8]) -> bool {
        if self.secrets.is_empty() {
            return false;
        }
        let longest = self.secrets.iter().map(|secret| secret.len()).max().unwrap_or(0);
        self.kept.extend_from_slice(message);
        let finds = self.finds(&self.kept);
        let end = self.kept.len().saturating_sub(longest.saturating_sub(1));
        self.kept.drain(..end);
        finds
    }

    fn finds(&self, bytes: &[u8]) -> bool {
        self.finders.iter().any(|finder| finder.find(bytes).is_some())
    }
}

/// How long an end of `piece` is that `secret` begins with.
fn begun(secret: &[u8], piece: &[u8]) -> usize {
    let most = secret.len().saturating_sub(1).min(piece.len());
    let begins = |length: &usize| piece.ends_with(secret.get(..*length).unwrap_or_default());
    (1..=most).rev().find(begins).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(value: &'static str) -> Echo {
        Echo::of(&[(http::header::AUTHORIZATION, HeaderValue::from_static(value))])
    }

    /// What passes of a body in pieces of this size, and whether all of it does.
    fn passed(echo: &mut Echo, body: &[u8], size: usize) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        for piece in body.chunks(size) {
            match echo.pass(Bytes::copy_from_slice(piece)) {
                Ok(piece) => out.extend_from_slice(&piece),
                Err(Shown) => return (out, false),
            }
        }
        out.extend_from_slice(&echo.rest());
        (out, true)
    }

    #[test]
    fn p7_nothing_of_a_credential_passes_wherever_it_is_cut() {
        let body = b"{\"sk\": \"s sk-0 Bearer sk-0123456789\"}";
        for size in 1..=body.len() {
            let (out, whole) = passed(&mut echo("Bearer sk-0123456789"), body, size);
            assert!(!whole, "pieces of {size}");
            assert!(!out.ends_with(b"sk-0") && out.len() <= 24, "{size}: {out:?}");
            let (out, whole) = passed(&mut echo("Bearer sk-0123456780"), body, size);
            assert!(whole && out == body, "pieces of {size}");
        }
        assert!(passed(&mut echo("Bearer x"), b"Bearer x", 1).1, "too short to be looked for");
    }

    #[test]
    fn p7_a_credential_is_found_over_messages_and_in_names() {
        let mut echo = echo("Bearer sk-0123456789");
        assert!(!echo.is_in(b"it is sk-01"));
        assert!(!echo.is_in(b"23"));
        assert!(echo.is_in(b"456789"));
        let fields = |name: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static("yes"))])
        };
        assert!(echo.is_in_fields(&fields("x-sk-0123456789-y")));
        assert!(!echo.is_in_fields(&fields("x-sk-0123456788-y")));
    }
}

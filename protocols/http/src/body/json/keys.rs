//! Keys: where they stand, and how what they name is hidden.

use engine::MaskKind;

use super::{CONTEXT_BYTES_MAX, Expect, INVALID, Json, Piece, Place, Quiet, token};
use crate::body::Unreadable;
use crate::body::hide::{Hider, PATH_BYTES_MAX, Replaced, TOO_LONG};
use crate::body::names::Before;

impl Json {
    /// A whole key: finds the mask of its value.
    pub(super) fn key_done(
        &mut self,
        token: &[u8],
        quiet: Quiet,
        hide: &mut Hider,
    ) -> Result<Option<Vec<u8>>, Unreadable> {
        let raw = token::content(token);
        let known = hide.has_fields() && !self.escaped && self.find_again(raw, hide);
        if known && !hide.has_types() {
            return Ok(None);
        }
        let key = token::read(raw, self.escaped).ok_or(INVALID)?;
        if hide.has_fields() && !known {
            if key.is_lossy {
                return Err(INVALID);
            }
            self.find_mask(&key.text, hide)?;
        }
        if !hide.has_types() {
            return Ok(None);
        }
        self.key.clear();
        let tail = key.text.len().saturating_sub(CONTEXT_BYTES_MAX);
        self.key.extend_from_slice(key.text.as_bytes().get(tail..).unwrap_or_default());
        let end = self.token_start.saturating_add(u64::try_from(token.len()).unwrap_or(u64::MAX));
        self.key_end = end;
        self.key_escaped = self.escaped;
        if quiet == Quiet::Piece && !self.escaped {
            return Ok(None);
        }
        Ok(match hide.within(b"", key.text.as_bytes()) {
            Replaced::Untouched => None,
            Replaced::Null => Some(b"\"\"".to_vec()),
            Replaced::With(text) => Some(token::quote(&String::from_utf8_lossy(&text))),
        })
    }

    /// The place of the document.
    pub(super) fn document(&self) -> Place {
        self.top.unwrap_or(Place::Spelt(self.root))
    }

    /// The place of the object at hand, and the mask of all in it.
    fn object(&self) -> (Place, Option<MaskKind>) {
        self.stack.last().map_or((self.document(), None), |frame| (frame.place, frame.mask))
    }

    /// What stands before the key at hand in its object.
    fn before(&self) -> Before {
        match (self.expect, self.place) {
            (Expect::KeyOrEnd, _) => Before::First,
            (_, Place::Known(id)) => Before::Key(id),
            (_, Place::Spelt(_)) => Before::Unknown,
        }
    }

    /// Whether this is the key that stood here last time; then its mask is that of last time.
    fn find_again(&mut self, raw: &[u8], hide: &mut Hider) -> bool {
        let (Place::Known(under), inherited) = self.object() else { return false };
        let Some((id, own)) = hide.key_again(under, self.before(), raw) else { return false };
        self.place = Place::Known(id);
        self.mask = own.into_iter().chain(inherited).min();
        true
    }

    fn find_mask(&mut self, key: &str, hide: &mut Hider) -> Result<(), Unreadable> {
        let (object, inherited) = self.object();
        if let Place::Known(under) = object
            && let Some((id, own)) = hide.key(under, self.before(), key)
        {
            self.place = Place::Known(id);
            self.mask = own.into_iter().chain(inherited).min();
            return Ok(());
        }
        match object {
            Place::Known(under) => {
                self.path.clear();
                self.path.push_str(hide.path(under));
            }
            Place::Spelt(bytes) => self.path.truncate(bytes),
        }
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
        if self.path.len() > PATH_BYTES_MAX {
            return Err(TOO_LONG);
        }
        self.place = Place::Spelt(self.path.len());
        let from_root = self.path.get(self.root..).unwrap_or_default().trim_start_matches('.');
        let own = hide.field(key, &self.path, from_root);
        self.mask = own.into_iter().chain(inherited).min();
        Ok(())
    }

    /// The keys that lead to what is at hand.
    pub(super) fn path<'a>(&'a self, hide: &'a Hider) -> &'a str {
        match self.place {
            Place::Known(id) => hide.path(id),
            Place::Spelt(bytes) => self.path.get(..bytes).unwrap_or(&self.path),
        }
    }

    /// Passes over a key that stood here last time, where it lies whole in the piece and no more
    /// is to be known of it.
    pub(super) fn is_key_again(
        &mut self,
        piece: &mut Piece<'_>,
        at: usize,
        hide: &mut Hider,
    ) -> bool {
        if hide.has_types() || !hide.has_fields() {
            return false;
        }
        let Some(raw) = piece.string(at) else { return false };
        let known = self.find_again(raw, hide);
        if known {
            let end = at + raw.len() + 2;
            let colon = piece.input.get(end) == Some(&b':');
            piece.at = end + usize::from(colon);
            self.expect = if colon { Expect::Value } else { Expect::Colon };
        }
        known
    }
}

//! Both kinds of masks of one column.

use bytes::{BufMut, BytesMut};
use engine::{HashKey, MaskKind, Searched};
use model::DetectionCount;

use super::detections::{Replaced, Subject};
use super::{Detections, Hidden, Masked, Search, ValueMask};
use crate::types::Format;

/// What is done to the values of one column.
#[derive(Clone, Copy, Debug)]
pub struct ColumnMask {
    mask: Option<ValueMask>,
    search: Option<Search>,
    searched: Searched,
    type_oid: u32,
    type_mod: i32,
    format: Format,
}

impl ColumnMask {
    /// A column whose values are hidden by `kind`, if given, and searched if its type can be.
    /// With `format` unknown, a masked column becomes NULL.
    ///
    /// A column that is hidden whole is searched only when something found there would have to be
    /// hidden more strictly (R19).
    #[must_use]
    pub fn new(
        kind: Option<MaskKind>,
        (type_oid, type_mod): (u32, i32),
        format: Option<Format>,
        detections: Option<&Detections>,
    ) -> Self {
        let kind = if format.is_none() { kind.map(|_| MaskKind::Null) } else { kind };
        let known = format.unwrap_or(Format::Binary);
        let mask = kind.map(|kind| ValueMask::new(kind, type_oid, type_mod, known));
        let wanted = detections.is_some_and(|detections| match (mask, detections.strictest()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mask), Some(strictest)) => strictest < mask.kind(),
        });
        let search = match Search::of(type_oid).filter(|_| wanted) {
            Some(_) if format.is_none() => Some(Search::Opaque),
            search => search,
        };
        // What is hidden whole lets nothing through that would have to be found.
        let searched = match (mask, search, format) {
            (Some(_), ..) | (None, None, _) => Searched::Whole,
            (None, Some(_), None) => Searched::Not,
            (None, Some(search), Some(format)) => search.sees(type_oid, format),
        };
        Self { mask, search, searched, type_oid, type_mod, format: known }
    }

    /// How far it sees what its values hold.
    #[must_use]
    pub const fn searched(&self) -> Searched {
        self.searched
    }

    /// Its values are hidden whole.
    #[must_use]
    pub const fn is_masked(&self) -> bool {
        self.mask.is_some()
    }

    /// Nothing is done to its values.
    #[must_use]
    pub const fn is_noop(&self) -> bool {
        self.mask.is_none() && self.search.is_none()
    }

    /// Its values are searched in another form than the one on the wire, always or when they hold
    /// a backslash.
    #[must_use]
    pub fn decodes(&self) -> Decodes {
        match (self.search, self.format) {
            (Some(Search::Number), Format::Binary) | (Some(Search::Bytea), Format::Text) => {
                Decodes::Always
            }
            (Some(Search::TextArray | Search::Opaque), Format::Text) => Decodes::Backslashes,
            _ => Decodes::Never,
        }
    }

    /// Writes what a value that is not NULL becomes, when it changes.
    pub fn hide(
        &self,
        value: &[u8],
        detections: Option<&Detections>,
        key: &HashKey,
        out: &mut BytesMut,
        found: &mut Vec<DetectionCount>,
    ) -> Hidden {
        let searched = self.search.zip(detections).map(|(search, detections)| {
            let Self { type_oid, type_mod, format, .. } = *self;
            (detections, Subject { search, type_oid, type_mod, format, value })
        });
        match (self.mask, searched) {
            (None, None) => Hidden::Untouched,
            (Some(mask), searched) => {
                let stricter = searched.and_then(|(detections, searched)| {
                    detections.strictest_in(searched, found).filter(|kind| *kind < mask.kind())
                });
                let mask = stricter.map_or(mask, |kind| mask.with_kind(kind));
                match mask.apply(value, key, out) {
                    Masked::Null => Hidden::Null,
                    Masked::Written => Hidden::Written,
                }
            }
            (None, Some((detections, searched))) => {
                match detections.replace(searched, key, found) {
                    Replaced::Null => Hidden::Null,
                    Replaced::Untouched => Hidden::Untouched,
                    Replaced::With(text) => {
                        out.put_slice(&text);
                        Hidden::Written
                    }
                }
            }
        }
    }
}

/// When the bytes on the wire are not what is searched.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Decodes {
    /// They are.
    Never,
    /// Not when they hold a backslash.
    Backslashes,
    /// They never are.
    Always,
}

impl Decodes {
    /// What is searched stands in these bytes as it is.
    #[must_use]
    pub fn stands_in(self, bytes: &[u8]) -> bool {
        match self {
            Self::Never => true,
            Self::Backslashes => memchr::memchr(b'\\', bytes).is_none(),
            Self::Always => false,
        }
    }
}

//! What becomes of one value: hidden whole because its column is masked, or searched for sensitive
//! values that are hidden inside it.
//!
//! A masked value still decodes as its type in its format (P4). Where that cannot be had, the value
//! becomes NULL; nothing here ever falls back to the value itself.

mod column;
mod detections;

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use engine::{HashKey, MaskKind, REDACTED, Searched, partial_text};

pub use self::column::{ColumnMask, Decodes};
pub use self::detections::Detections;
use crate::types::{self, Format, TextKind, TypeClass, oid};

/// What a mask made of a value that is not NULL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Masked {
    /// It becomes NULL; nothing was written.
    Null,
    /// Its replacement was written.
    Written,
}

/// What a column's masks made of a value that is not NULL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hidden {
    /// It becomes NULL; nothing was written.
    Null,
    /// It stays as it is; nothing was written.
    Untouched,
    /// Its replacement was written.
    Written,
}

/// How the values of one column are replaced whole (R19).
///
/// * text types: as the kind says, clipped to the declared length; `partial` shows at most a
///   quarter of the characters and at most four;
/// * `bytea`, `uuid`: `hash` gives 16 keyed bytes, every other kind NULL;
/// * `int8`, `numeric`: `hash` gives a keyed number that is not negative and fits the declared
///   precision, every other kind NULL;
/// * everything else becomes NULL.
///
/// The hash is taken of the canonical text, so equal values are equal in both formats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ValueMask {
    kind: MaskKind,
    type_oid: u32,
    type_mod: i32,
    format: Format,
}

/// Digits of a hashed `numeric`, at most: as many as a 64-bit number always has.
const NUMERIC_DIGITS_MAX: u32 = 18;

impl ValueMask {
    /// The mask of a column of this type; `type_mod` is `atttypmod`, -1 for none.
    #[must_use]
    pub const fn new(kind: MaskKind, type_oid: u32, type_mod: i32, format: Format) -> Self {
        // Nothing can be turned back here, so tokens become the next stricter kind.
        let kind = if matches!(kind, MaskKind::Tokenize) { MaskKind::Hash } else { kind };
        Self { kind, type_oid, type_mod, format }
    }

    /// How it hides.
    #[must_use]
    pub const fn kind(&self) -> MaskKind {
        self.kind
    }

    /// The same column, hidden in another way.
    #[must_use]
    pub const fn with_kind(self, kind: MaskKind) -> Self {
        Self::new(kind, self.type_oid, self.type_mod, self.format)
    }

    /// Writes what `value` becomes. A value that does not decode as its type becomes NULL.
    pub fn apply(&self, value: &[u8], key: &HashKey, out: &mut BytesMut) -> Masked {
        let written = match (TypeClass::of(self.type_oid), self.kind) {
            (_, MaskKind::Null) => None,
            (TypeClass::Text(text), _) => {
                out.put_slice(self.text(text, value, key).as_bytes());
                Some(())
            }
            (TypeClass::Bytea, MaskKind::Hash) => self.bytea(value, key, out),
            (TypeClass::Uuid, MaskKind::Hash) => self.uuid(value, key, out),
            (TypeClass::Int8, MaskKind::Hash) => self.int8(value, key, out),
            (TypeClass::Numeric, MaskKind::Hash) => self.numeric(value, key, out),
            _ => None,
        };
        written.map_or(Masked::Null, |()| Masked::Written)
    }

    fn text(&self, text: TextKind, value: &[u8], key: &HashKey) -> String {
        let mut shown = as_text(value);
        if text == TextKind::Bpchar {
            let length = shown.trim_end_matches(' ').len();
            shown = Cow::Owned(shown.get(..length).unwrap_or_default().to_owned());
        }
        let hidden = match self.kind {
            MaskKind::Hash => key.hash_text(&shown),
            MaskKind::Partial => match std::str::from_utf8(value) {
                Ok(_) => partial_text(&shown),
                // Where its characters begin is not known, so none of them is shown.
                Err(_) => "*".repeat(shown.chars().count()),
            },
            _ => REDACTED.to_owned(),
        };
        self.clip(text, hidden)
    }

    /// Cuts to the declared length, and pads where the type does.
    fn clip(&self, text: TextKind, hidden: String) -> String {
        let Some(most) = text.characters(self.type_mod) else { return hidden };
        let characters = hidden.chars();
        if text == TextKind::Bpchar {
            let most = most.min(BPCHAR_CHARACTERS_MAX);
            return characters.chain(std::iter::repeat(' ')).take(most).collect();
        }
        characters.take(most).collect()
    }

    fn canonical(&self, value: &[u8]) -> Option<String> {
        types::canonical(self.type_oid, i16::from(self.format == Format::Binary), value)
    }

    fn bytea(&self, value: &[u8], key: &HashKey, out: &mut BytesMut) -> Option<()> {
        let hash = key.hash_bytes(&self.canonical(value)?);
        match self.format {
            Format::Text => out.put_slice(types::bytea_text(&hash).as_bytes()),
            Format::Binary => out.put_slice(&hash),
        }
        Some(())
    }

    fn uuid(&self, value: &[u8], key: &HashKey, out: &mut BytesMut) -> Option<()> {
        let hash = key.hash_bytes(&self.canonical(value)?);
        match self.format {
            Format::Text => out.put_slice(types::uuid_text(hash).as_bytes()),
            Format::Binary => out.put_slice(&hash),
        }
        Some(())
    }

    fn int8(&self, value: &[u8], key: &HashKey, out: &mut BytesMut) -> Option<()> {
        let hash = key.hash_int(&self.canonical(value)?, i64::BITS);
        match self.format {
            Format::Text => out.put_slice(hash.to_string().as_bytes()),
            Format::Binary => out.put_i64(hash),
        }
        Some(())
    }

    fn numeric(&self, value: &[u8], key: &HashKey, out: &mut BytesMut) -> Option<()> {
        let canonical = self.canonical(value)?;
        // 1.5 and 1.50 are equal, so they hash alike.
        let canonical = match canonical.split_once('.') {
            Some(_) => canonical.trim_end_matches('0').trim_end_matches('.'),
            None => &canonical,
        };
        let hash = key.hash_int(canonical, i64::BITS).unsigned_abs();
        let text = match precision_and_scale(self.type_mod) {
            None => hash.to_string(),
            Some((precision, scale)) => {
                let range = 10_u64.checked_pow(precision.min(NUMERIC_DIGITS_MAX))?;
                types::scale_digits(hash.checked_rem(range)?, scale)
            }
        };
        match self.format {
            Format::Text => out.put_slice(text.as_bytes()),
            Format::Binary => out.put_slice(&types::encode_numeric(&text)),
        }
        Some(())
    }
}

/// Longest `char(n)` that is padded: what PostgreSQL allows to be declared (`MaxAttrSize`).
const BPCHAR_CHARACTERS_MAX: usize = 10 * 1024 * 1024;

/// The value as text. Bytes of another encoding stand for one character each, so that different
/// values stay different.
fn as_text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The declared precision and scale of a `numeric`. The scale is eleven bits with a sign since
/// PostgreSQL 15; earlier servers only have values that read the same.
fn precision_and_scale(type_mod: i32) -> Option<(u32, i32)> {
    let packed = u32::try_from(type_mod.checked_sub(4)?).ok()?;
    let scale = i32::try_from(packed & 0x7ff).ok()?;
    Some((packed >> 16 & 0xffff, (scale ^ 1024) - 1024))
}

/// How values of a type are searched for sensitive ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Search {
    /// As one JSON document; what is found in strings is replaced there.
    Json,
    /// As the bytes that it holds; the whole value becomes NULL.
    Bytea,
    /// As digits; the whole value becomes NULL.
    Number,
    /// As the bytes on the wire, and what bytes in them stand for; the whole value becomes NULL.
    Opaque,
    /// As text; what is found is replaced there.
    Text(TextKind),
    /// Element by element, in the text format; the whole value becomes NULL in the binary one.
    TextArray,
}

impl Search {
    /// How values of the type are searched, if they are: dates, addresses, small numbers are not.
    fn of(type_oid: u32) -> Option<Self> {
        match TypeClass::of(type_oid) {
            TypeClass::Text(text) => Some(Self::Text(text)),
            TypeClass::Json | TypeClass::Jsonb => Some(Self::Json),
            TypeClass::TextArray => Some(Self::TextArray),
            TypeClass::Int8 | TypeClass::Numeric => Some(Self::Number),
            TypeClass::Bytea => Some(Self::Bytea),
            TypeClass::Uuid => None,
            TypeClass::Other => match type_oid {
                oid::XML => Some(Self::Text(TextKind::Plain)),
                oid::FLOAT8 | oid::FLOAT8_ARRAY | oid::INT8_ARRAY | oid::NUMERIC_ARRAY => {
                    Some(Self::Number)
                }
                _ if types::is_short(type_oid) => None,
                _ => Some(Self::Opaque),
            },
        }
    }

    /// How far it sees what values of the type hold.
    fn sees(self, type_oid: u32, format: Format) -> Searched {
        match (self, format) {
            // Their bytes are written as digits, within other text.
            (Self::Opaque, _) if type_oid == oid::BYTEA_ARRAY => Searched::Not,
            (Self::Opaque, Format::Binary) => match type_oid {
                oid::CSTRING
                | oid::CSTRING_ARRAY
                | oid::JSONPATH
                | oid::JSON_ARRAY
                | oid::JSONB_ARRAY
                | oid::REFCURSOR
                | oid::TSVECTOR
                | oid::XML_ARRAY => Searched::Whole,
                // Text is seen there, as of an enum; numbers are not, as in a composite type.
                oid::FIRST_NORMAL.. => Searched::Partly,
                // Nor in records and ranges, nor in what nobody tells the type of, as in a COPY.
                _ => Searched::Not,
            },
            _ => Searched::Whole,
        }
    }
}

#[cfg(test)]
mod tests;

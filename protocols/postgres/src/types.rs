//! Built-in types: their names, what a mask can make of them, and their values as text.
//!
//! A value arrives as text or in the binary form of its type; both lead to one canonical text, which
//! is what is hashed and recorded. What cannot be decoded has no canonical text: nothing here
//! guesses. PostgreSQL 17, `src/include/catalog/pg_type.dat` and the types' send functions.

mod array;
mod number;
mod time;

pub use array::{Element, elements, quote_element};
pub use number::{encode_numeric, scale_digits};

use std::fmt::Write as _;

use self::number::{float4_text, float8_text, integer_text, numeric_text};

/// Object identifiers of built-in types, `pg_type.oid`.
pub mod oid {
    macro_rules! oids {
        ($($name:ident = $oid:literal $text:literal,)*) => {
            $(#[doc = concat!("`", $text, "`.")] pub const $name: u32 = $oid;)*
            /// Name by object identifier, in the order of the identifiers.
            pub(super) const NAMES: &[(u32, &str)] = &[$(($oid, $text),)*];
        };
    }
    oids! {
        BOOL = 16 "bool",
        BYTEA = 17 "bytea",
        CHAR = 18 "\"char\"",
        NAME = 19 "name",
        INT8 = 20 "int8",
        INT2 = 21 "int2",
        INT2VECTOR = 22 "int2vector",
        INT4 = 23 "int4",
        REGPROC = 24 "regproc",
        TEXT = 25 "text",
        OID = 26 "oid",
        TID = 27 "tid",
        XID = 28 "xid",
        CID = 29 "cid",
        OIDVECTOR = 30 "oidvector",
        JSON = 114 "json",
        XML = 142 "xml",
        XML_ARRAY = 143 "xml[]",
        PG_NODE_TREE = 194 "pg_node_tree",
        JSON_ARRAY = 199 "json[]",
        POINT = 600 "point",
        LSEG = 601 "lseg",
        PATH = 602 "path",
        BOX = 603 "box",
        POLYGON = 604 "polygon",
        LINE = 628 "line",
        CIDR = 650 "cidr",
        CIDR_ARRAY = 651 "cidr[]",
        FLOAT4 = 700 "float4",
        FLOAT8 = 701 "float8",
        UNKNOWN = 705 "unknown",
        CIRCLE = 718 "circle",
        MACADDR8 = 774 "macaddr8",
        MONEY = 790 "money",
        MACADDR = 829 "macaddr",
        INET = 869 "inet",
        BOOL_ARRAY = 1000 "bool[]",
        BYTEA_ARRAY = 1001 "bytea[]",
        CHAR_ARRAY = 1002 "\"char\"[]",
        NAME_ARRAY = 1003 "name[]",
        INT2_ARRAY = 1005 "int2[]",
        INT4_ARRAY = 1007 "int4[]",
        TEXT_ARRAY = 1009 "text[]",
        BPCHAR_ARRAY = 1014 "bpchar[]",
        VARCHAR_ARRAY = 1015 "varchar[]",
        INT8_ARRAY = 1016 "int8[]",
        FLOAT4_ARRAY = 1021 "float4[]",
        FLOAT8_ARRAY = 1022 "float8[]",
        OID_ARRAY = 1028 "oid[]",
        ACLITEM = 1033 "aclitem",
        INET_ARRAY = 1041 "inet[]",
        BPCHAR = 1042 "bpchar",
        VARCHAR = 1043 "varchar",
        DATE = 1082 "date",
        TIME = 1083 "time",
        TIMESTAMP = 1114 "timestamp",
        TIMESTAMP_ARRAY = 1115 "timestamp[]",
        DATE_ARRAY = 1182 "date[]",
        TIME_ARRAY = 1183 "time[]",
        TIMESTAMPTZ = 1184 "timestamptz",
        TIMESTAMPTZ_ARRAY = 1185 "timestamptz[]",
        INTERVAL = 1186 "interval",
        INTERVAL_ARRAY = 1187 "interval[]",
        NUMERIC_ARRAY = 1231 "numeric[]",
        CSTRING_ARRAY = 1263 "cstring[]",
        TIMETZ = 1266 "timetz",
        TIMETZ_ARRAY = 1270 "timetz[]",
        BIT = 1560 "bit",
        VARBIT = 1562 "varbit",
        NUMERIC = 1700 "numeric",
        REFCURSOR = 1790 "refcursor",
        REGPROCEDURE = 2202 "regprocedure",
        REGOPER = 2203 "regoper",
        REGOPERATOR = 2204 "regoperator",
        REGCLASS = 2205 "regclass",
        REGTYPE = 2206 "regtype",
        RECORD = 2249 "record",
        CSTRING = 2275 "cstring",
        VOID = 2278 "void",
        RECORD_ARRAY = 2287 "record[]",
        UUID = 2950 "uuid",
        UUID_ARRAY = 2951 "uuid[]",
        PG_LSN = 3220 "pg_lsn",
        TSVECTOR = 3614 "tsvector",
        TSQUERY = 3615 "tsquery",
        JSONB = 3802 "jsonb",
        JSONB_ARRAY = 3807 "jsonb[]",
        INT4RANGE = 3904 "int4range",
        NUMRANGE = 3906 "numrange",
        TSRANGE = 3908 "tsrange",
        TSTZRANGE = 3910 "tstzrange",
        DATERANGE = 3912 "daterange",
        INT8RANGE = 3926 "int8range",
        JSONPATH = 4072 "jsonpath",
        REGNAMESPACE = 4089 "regnamespace",
        REGROLE = 4096 "regrole",
        XID8 = 5069 "xid8",
    }
    /// No type: what a column is whose type nobody told.
    pub const UNSPECIFIED: u32 = 0;
    /// The first identifier that is not built in (`FirstNormalObjectId`).
    pub const FIRST_NORMAL: u32 = 16384;
}

/// The name of a built-in type: `int4`, `text[]`.
#[must_use]
pub fn name(type_oid: u32) -> Option<&'static str> {
    let at = oid::NAMES.binary_search_by_key(&type_oid, |(oid, _)| *oid).ok()?;
    oid::NAMES.get(at).map(|(_, name)| *name)
}

/// How a value is written on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// As the type's output function writes it.
    Text,
    /// As the type's send function writes it.
    Binary,
}

impl Format {
    /// The format of a format code; `None` for codes that do not exist.
    #[must_use]
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Text),
            1 => Some(Self::Binary),
            _ => None,
        }
    }
}

/// What bounds the length of a text type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextKind {
    /// `bpchar`: padded with blanks to exactly the declared length.
    Bpchar,
    /// `name`: at most 63 bytes.
    Name,
    /// `text` and what is like it: nothing.
    Plain,
    /// `varchar`: at most the declared length.
    Varchar,
}

/// Longest `name`, bytes.
const NAME_BYTES_MAX: usize = 63;
/// What `atttypmod` of lengths and precisions counts besides them.
const VARHDRSZ: i32 = 4;

impl TextKind {
    /// The declared length in characters, when there is one.
    #[must_use]
    pub fn characters(self, type_mod: i32) -> Option<usize> {
        match self {
            Self::Bpchar | Self::Varchar => usize::try_from(type_mod.checked_sub(VARHDRSZ)?).ok(),
            Self::Name => Some(NAME_BYTES_MAX),
            Self::Plain => None,
        }
    }

    /// Whether `text` may stand in a column of this type.
    #[must_use]
    pub fn fits(self, type_mod: i32, text: &[u8]) -> bool {
        let Some(most) = self.characters(type_mod) else { return true };
        match (self, std::str::from_utf8(text)) {
            (Self::Name, _) | (_, Err(_)) => text.len() <= most,
            (_, Ok(text)) => text.chars().count() <= most,
        }
    }
}

/// What a mask can make of a type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TypeClass {
    /// `bytea`.
    Bytea,
    /// `int8`.
    Int8,
    /// `json`.
    Json,
    /// `jsonb`.
    Jsonb,
    /// `numeric`.
    Numeric,
    /// Everything else.
    Other,
    /// `text`, `varchar`, `bpchar`, `name`, `unknown`.
    Text(TextKind),
    /// An array of a text type.
    TextArray,
    /// `uuid`.
    Uuid,
}

impl TypeClass {
    /// The class of a type. For a domain or an extension's text (`citext`), ask about the built-in
    /// type that it is stored as: its own identifier is not known here.
    #[must_use]
    pub const fn of(type_oid: u32) -> Self {
        match type_oid {
            oid::TEXT | oid::UNKNOWN => Self::Text(TextKind::Plain),
            oid::VARCHAR => Self::Text(TextKind::Varchar),
            oid::BPCHAR => Self::Text(TextKind::Bpchar),
            oid::NAME => Self::Text(TextKind::Name),
            oid::BYTEA => Self::Bytea,
            oid::UUID => Self::Uuid,
            oid::INT8 => Self::Int8,
            oid::NUMERIC => Self::Numeric,
            oid::JSON => Self::Json,
            oid::JSONB => Self::Jsonb,
            oid::TEXT_ARRAY | oid::VARCHAR_ARRAY | oid::BPCHAR_ARRAY | oid::NAME_ARRAY => {
                Self::TextArray
            }
            _ => Self::Other,
        }
    }
}

/// Depth of arrays within composite values that is followed.
const DEPTH_MAX: u8 = 4;

/// The value as text, the same for both formats: what PostgreSQL's output function writes, with
/// `DateStyle` ISO, `bytea_output` hex and times in UTC.
///
/// Text-format values are made alike where one value has several spellings (`bytea`, `uuid`,
/// integers, booleans, the padding of `bpchar`) and are taken as they are otherwise. `None`: the
/// bytes are not a value of the type, or the binary form of the type is not known here.
#[must_use]
pub fn canonical(type_oid: u32, format: i16, bytes: &[u8]) -> Option<String> {
    match Format::from_code(format)? {
        Format::Text => from_text(type_oid, bytes),
        Format::Binary => from_binary(type_oid, bytes, DEPTH_MAX),
    }
}

fn from_text(type_oid: u32, bytes: &[u8]) -> Option<String> {
    match type_oid {
        oid::BYTEA => bytea_bytes(bytes).map(|bytes| bytea_text(&bytes)),
        _ => {
            let text = std::str::from_utf8(bytes).ok()?;
            match type_oid {
                oid::UUID => uuid_bytes(text).map(uuid_text),
                oid::INT2 | oid::INT4 | oid::INT8 => {
                    text.trim_ascii().parse::<i64>().ok().map(|number| number.to_string())
                }
                oid::BOOL => Some(truth(text)?.to_owned()),
                oid::BPCHAR => Some(text.trim_end_matches(' ').to_owned()),
                _ => Some(text.to_owned()),
            }
        }
    }
}

fn truth(text: &str) -> Option<&'static str> {
    let word = text.trim_ascii().to_ascii_lowercase();
    let begins = |whole: &str| !word.is_empty() && whole.starts_with(&word);
    if begins("true") || begins("yes") || word == "on" || word == "1" {
        return Some("t");
    }
    (begins("false") || begins("no") || word == "of" || word == "off" || word == "0").then_some("f")
}

fn from_binary(type_oid: u32, bytes: &[u8], depth: u8) -> Option<String> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    match type_oid {
        oid::TEXT
        | oid::VARCHAR
        | oid::NAME
        | oid::UNKNOWN
        | oid::JSON
        | oid::XML
        | oid::CSTRING
        | oid::REFCURSOR => text(bytes),
        oid::BPCHAR => text(bytes).map(|text| text.trim_end_matches(' ').to_owned()),
        oid::CHAR => match bytes {
            [0] => Some(String::new()),
            [byte] if byte.is_ascii() => Some(char::from(*byte).to_string()),
            _ => None,
        },
        oid::JSONB | oid::JSONPATH => bytes.strip_prefix(&[1]).and_then(text),
        oid::BYTEA => Some(bytea_text(bytes)),
        oid::UUID => bytes.try_into().ok().map(uuid_text),
        oid::BOOL => match bytes {
            [0] => Some("f".to_owned()),
            [_] => Some("t".to_owned()),
            _ => None,
        },
        oid::INT2 | oid::INT4 | oid::INT8 => integer_text(bytes).filter(|_| {
            bytes.len()
                == if type_oid == oid::INT2 { 2 } else { 4 << u8::from(type_oid == oid::INT8) }
        }),
        oid::OID | oid::XID | oid::CID | oid::REGPROC | oid::REGCLASS | oid::REGTYPE => {
            bytes.try_into().ok().map(|bytes| u32::from_be_bytes(bytes).to_string())
        }
        oid::XID8 => bytes.try_into().ok().map(|bytes| u64::from_be_bytes(bytes).to_string()),
        oid::FLOAT4 => bytes.try_into().ok().map(|bytes| float4_text(f32::from_be_bytes(bytes))),
        oid::FLOAT8 => bytes.try_into().ok().map(|bytes| float8_text(f64::from_be_bytes(bytes))),
        oid::NUMERIC => numeric_text(bytes),
        oid::DATE => time::date(bytes),
        oid::TIME => time::time(bytes),
        oid::TIMESTAMP => time::timestamp(bytes),
        oid::TIMESTAMPTZ => time::timestamp(bytes).map(time::in_utc),
        oid::VOID => Some(String::new()),
        _ => array::binary_text(type_oid, bytes, depth),
    }
}

/// `\x` and two digits per byte.
#[must_use]
pub fn bytea_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2).saturating_add(2));
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes that a `bytea` text stands for, in the hexadecimal or the escape form.
fn bytea_bytes(text: &[u8]) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix(b"\\x") {
        return hex_bytes(digits);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = after;
        } else {
            let (octal, after) = rest.split_first_chunk::<3>()?;
            let octal = std::str::from_utf8(octal).ok()?;
            bytes.push(u8::from_str_radix(octal, 8).ok()?);
            rest = after;
        }
    }
    Some(bytes)
}

fn hex_bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// Sixteen bytes as `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[must_use]
pub fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> =
        text.bytes().filter(|byte| !matches!(byte, b'-' | b'{' | b'}' | b' ')).collect();
    hex_bytes(&digits)?.try_into().ok()
}

#[cfg(test)]
mod tests;

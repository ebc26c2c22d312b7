//! Built-in types: their names, what a mask can make of them, and their values as text.
//!
//! A value arrives as text or in the binary form of its type; both lead to one canonical text,
//! which is what is hashed and recorded. What cannot be decoded has no canonical text: nothing here
//! guesses. PostgreSQL 17, `src/include/catalog/pg_type.dat` and the types' send functions.

mod array;
mod number;
mod time;

pub use array::{Element, elements, quote_element};
pub use number::{encode_numeric, scale_digits};

use std::fmt::Write as _;

use self::number::{float4_text, float8_text, integer_text, numeric_text};

/// Object identifiers of the built-in types that are treated in some way, `pg_type.oid`.
pub mod oid {
    /// `bool`.
    pub const BOOL: u32 = 16;
    /// `bytea`.
    pub const BYTEA: u32 = 17;
    /// `"char\`.
    pub const CHAR: u32 = 18;
    /// `name`.
    pub const NAME: u32 = 19;
    /// `int8`.
    pub const INT8: u32 = 20;
    /// `int2`.
    pub const INT2: u32 = 21;
    /// `int4`.
    pub const INT4: u32 = 23;
    /// `regproc`.
    pub const REGPROC: u32 = 24;
    /// `text`.
    pub const TEXT: u32 = 25;
    /// `oid`.
    pub const OID: u32 = 26;
    /// `xid`.
    pub const XID: u32 = 28;
    /// `cid`.
    pub const CID: u32 = 29;
    /// `json`.
    pub const JSON: u32 = 114;
    /// `xml`.
    pub const XML: u32 = 142;
    /// `xml[]`.
    pub const XML_ARRAY: u32 = 143;
    /// `json[]`.
    pub const JSON_ARRAY: u32 = 199;
    /// `float4`.
    pub const FLOAT4: u32 = 700;
    /// `float8`.
    pub const FLOAT8: u32 = 701;
    /// `unknown`.
    pub const UNKNOWN: u32 = 705;
    /// `bool[]`.
    pub const BOOL_ARRAY: u32 = 1000;
    /// `bytea[]`.
    pub const BYTEA_ARRAY: u32 = 1001;
    /// `name[]`.
    pub const NAME_ARRAY: u32 = 1003;
    /// `int2[]`.
    pub const INT2_ARRAY: u32 = 1005;
    /// `int4[]`.
    pub const INT4_ARRAY: u32 = 1007;
    /// `text[]`.
    pub const TEXT_ARRAY: u32 = 1009;
    /// `bpchar[]`.
    pub const BPCHAR_ARRAY: u32 = 1014;
    /// `varchar[]`.
    pub const VARCHAR_ARRAY: u32 = 1015;
    /// `int8[]`.
    pub const INT8_ARRAY: u32 = 1016;
    /// `float4[]`.
    pub const FLOAT4_ARRAY: u32 = 1021;
    /// `float8[]`.
    pub const FLOAT8_ARRAY: u32 = 1022;
    /// `oid[]`.
    pub const OID_ARRAY: u32 = 1028;
    /// `bpchar`.
    pub const BPCHAR: u32 = 1042;
    /// `varchar`.
    pub const VARCHAR: u32 = 1043;
    /// `date`.
    pub const DATE: u32 = 1082;
    /// `time`.
    pub const TIME: u32 = 1083;
    /// `timestamp`.
    pub const TIMESTAMP: u32 = 1114;
    /// `timestamp[]`.
    pub const TIMESTAMP_ARRAY: u32 = 1115;
    /// `date[]`.
    pub const DATE_ARRAY: u32 = 1182;
    /// `time[]`.
    pub const TIME_ARRAY: u32 = 1183;
    /// `timestamptz`.
    pub const TIMESTAMPTZ: u32 = 1184;
    /// `timestamptz[]`.
    pub const TIMESTAMPTZ_ARRAY: u32 = 1185;
    /// `numeric[]`.
    pub const NUMERIC_ARRAY: u32 = 1231;
    /// `cstring[]`.
    pub const CSTRING_ARRAY: u32 = 1263;
    /// `numeric`.
    pub const NUMERIC: u32 = 1700;
    /// `refcursor`.
    pub const REFCURSOR: u32 = 1790;
    /// `regclass`.
    pub const REGCLASS: u32 = 2205;
    /// `regtype`.
    pub const REGTYPE: u32 = 2206;
    /// `cstring`.
    pub const CSTRING: u32 = 2275;
    /// `void`.
    pub const VOID: u32 = 2278;
    /// `uuid`.
    pub const UUID: u32 = 2950;
    /// `uuid[]`.
    pub const UUID_ARRAY: u32 = 2951;
    /// `tsvector`.
    pub const TSVECTOR: u32 = 3614;
    /// `jsonb`.
    pub const JSONB: u32 = 3802;
    /// `jsonb[]`.
    pub const JSONB_ARRAY: u32 = 3807;
    /// `jsonpath`.
    pub const JSONPATH: u32 = 4072;
    /// `xid8`.
    pub const XID8: u32 = 5069;
    /// No type: what a column is whose type nobody told.
    pub const UNSPECIFIED: u32 = 0;
    /// The first identifier that is not built in (`FirstNormalObjectId`).
    pub const FIRST_NORMAL: u32 = 16384;
}

/// The name of a built-in type: `int4`, `text[]`.
#[must_use]
pub fn name(type_oid: u32) -> Option<&'static str> {
    let at = NAMES.binary_search_by_key(&type_oid, |(oid, _)| *oid).ok()?;
    NAMES.get(at).map(|(_, name)| *name)
}

/// Values of the type are too short, or of too fixed a form, to hold anything sensitive: truth,
/// times, places, small numbers, addresses, identifiers, and ranges and arrays of them.
#[must_use]
pub fn is_short(type_oid: u32) -> bool {
    SHORT.binary_search(&type_oid).is_ok()
}

/// The types of [`is_short`], in the order of their identifiers.
const SHORT: &[u32] = &[
    16, 18, 21, 22, 23, 24, 26, 27, 28, 29, 30, 271, 600, 601, 602, 603, 604, 628, 629, 650, 651,
    700, 718, 719, 774, 775, 790, 791, 829, 869, 1000, 1002, 1005, 1006, 1007, 1008, 1010, 1011,
    1012, 1013, 1017, 1018, 1019, 1020, 1021, 1027, 1028, 1040, 1041, 1082, 1083, 1114, 1115, 1182,
    1183, 1184, 1185, 1186, 1187, 1266, 1270, 1560, 1561, 1562, 1563, 2202, 2203, 2204, 2205, 2206,
    2207, 2208, 2209, 2210, 2211, 2278, 2950, 2951, 3220, 3221, 3904, 3905, 3908, 3909, 3910, 3911,
    3912, 3913, 4089, 4090, 4096, 4097, 4451, 4533, 4534, 4535, 5069,
];

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
pub(crate) fn bytea_bytes(text: &[u8]) -> Option<Vec<u8>> {
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

/// What the `bytea` values in the hexadecimal form stand for that are written within `text`.
pub(crate) fn hex_runs(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    memchr::memmem::find_iter(text, b"\\x").filter_map(|at| {
        let rest = text.get(at.saturating_add(2)..)?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        // Half a byte is none.
        hex_bytes(rest.get(..length & !1)?).filter(|bytes| !bytes.is_empty())
    })
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

/// Names by identifier, in the order of the identifiers.
const NAMES: &[(u32, &str)] = &[
    (16, "bool"),
    (17, "bytea"),
    (18, "\"char\""),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (22, "int2vector"),
    (23, "int4"),
    (24, "regproc"),
    (25, "text"),
    (26, "oid"),
    (27, "tid"),
    (28, "xid"),
    (29, "cid"),
    (30, "oidvector"),
    (114, "json"),
    (142, "xml"),
    (143, "xml[]"),
    (194, "pg_node_tree"),
    (199, "json[]"),
    (600, "point"),
    (601, "lseg"),
    (602, "path"),
    (603, "box"),
    (604, "polygon"),
    (628, "line"),
    (650, "cidr"),
    (651, "cidr[]"),
    (700, "float4"),
    (701, "float8"),
    (705, "unknown"),
    (718, "circle"),
    (774, "macaddr8"),
    (790, "money"),
    (829, "macaddr"),
    (869, "inet"),
    (1000, "bool[]"),
    (1001, "bytea[]"),
    (1002, "\"char\"[]"),
    (1003, "name[]"),
    (1005, "int2[]"),
    (1007, "int4[]"),
    (1009, "text[]"),
    (1014, "bpchar[]"),
    (1015, "varchar[]"),
    (1016, "int8[]"),
    (1021, "float4[]"),
    (1022, "float8[]"),
    (1028, "oid[]"),
    (1033, "aclitem"),
    (1041, "inet[]"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1115, "timestamp[]"),
    (1182, "date[]"),
    (1183, "time[]"),
    (1184, "timestamptz"),
    (1185, "timestamptz[]"),
    (1186, "interval"),
    (1187, "interval[]"),
    (1231, "numeric[]"),
    (1263, "cstring[]"),
    (1266, "timetz"),
    (1270, "timetz[]"),
    (1560, "bit"),
    (1562, "varbit"),
    (1700, "numeric"),
    (1790, "refcursor"),
    (2202, "regprocedure"),
    (2203, "regoper"),
    (2204, "regoperator"),
    (2205, "regclass"),
    (2206, "regtype"),
    (2249, "record"),
    (2275, "cstring"),
    (2278, "void"),
    (2287, "record[]"),
    (2950, "uuid"),
    (2951, "uuid[]"),
    (3220, "pg_lsn"),
    (3614, "tsvector"),
    (3615, "tsquery"),
    (3802, "jsonb"),
    (3807, "jsonb[]"),
    (3904, "int4range"),
    (3906, "numrange"),
    (3908, "tsrange"),
    (3910, "tstzrange"),
    (3912, "daterange"),
    (3926, "int8range"),
    (4072, "jsonpath"),
    (4089, "regnamespace"),
    (4096, "regrole"),
    (5069, "xid8"),
];

#[cfg(test)]
mod tests;

//! Errors, notices and notifications for a principal who has masks, without what they may quote of
//! masked values (P3).
//!
//! A report keeps its code, its severity and names of objects. Its words stay only where they can
//! hold nothing but syntax and identifiers that the client named; otherwise the name of the
//! SQLSTATE takes their place. Details, contexts and internal queries never stay.

mod conditions;

use bytes::{BufMut, Bytes, BytesMut};
use model::Side;

pub use self::conditions::condition;
use crate::message::{Reader, put_cstr};

/// Fields of a report that are read; a report has at most 18 kinds of them.
const FIELDS_MAX: usize = 64;
/// Longest severity, bytes; translated ones are longer than the English.
const SEVERITY_BYTES_MAX: usize = 64;
const SQLSTATE_BYTES: usize = 5;
const INTERNAL_ERROR: &[u8] = b"XX000";
const WITHHELD: &str = " (text withheld: it may quote masked values)";
const HOLDS_VALUES: &str = "text withheld: it holds sensitive values";
const NOTICE_WITHHELD: &str = "notice text withheld: it may quote masked values";

/// Fields with the names of schema, table, column, data type and constraint.
const NAMES: &[u8; 5] = b"stcdn";

/// Classes whose words are about syntax, names and states, not about values.
const WORDS_OF_NAMES: &[&[u8]] = &[
    b"42", b"26", b"34", b"25", b"3D", b"3F", b"57", b"53", b"08", b"40", b"55", b"0A", b"28",
    b"54", b"2B", b"3B", b"24",
];

/// A code of these classes whose words are lengths of what is stored (`index row size 2712 exceeds
/// btree version 4 maximum 2704`).
const LENGTHS: &[u8] = b"54000";

/// Codes of these classes that functions and casts (`regclass`, `to_regtype`, `has_…_privilege`,
/// `set_config`) raise while they run, quoting a value that should have been a name. Raised for the
/// statement itself, they say where in it.
const NAMES_FROM_VALUES: &[&[u8]] = &[
    b"0A000", b"3D000", b"3F000", b"42601", b"42602", b"42622", b"42703", b"42704", b"42725",
    b"42883", b"42P01", b"42P02",
];

/// Where in the server's source constraints are checked. No function can say that it is there.
const CHECKS: &[&[u8]] = &[
    b"_bt_check_unique",
    b"check_exclusion_or_unique_constraint",
    b"ExecConstraints",
    b"ReportNotNullViolationError",
    b"ri_ReportViolation",
];

/// Words of the server that hold nothing but themselves, so that they tell no more than their code,
/// and that drivers look for.
const CONSTANTS: &[(&[u8], &[u8])] = &[
    (b"0A000", b"cached plan must not change result type"),
    (b"21000", b"ON CONFLICT DO UPDATE command cannot affect row a second time"),
    (b"21000", b"more than one row returned by a subquery used as an expression"),
    (b"22003", b"bigint out of range"),
    (b"22003", b"integer out of range"),
    (b"22003", b"numeric field overflow"),
    (b"22003", b"smallint out of range"),
    (b"22003", b"value out of range: overflow"),
    (b"22003", b"value out of range: underflow"),
    (b"22008", b"date out of range"),
    (b"22008", b"interval out of range"),
    (b"22008", b"timestamp out of range"),
    (b"22011", b"negative substring length not allowed"),
    (b"22012", b"division by zero"),
    (b"2201E", b"cannot take logarithm of a negative number"),
    (b"2201E", b"cannot take logarithm of zero"),
    (b"2201F", b"cannot take square root of a negative number"),
    (b"2201W", b"LIMIT must not be negative"),
    (b"2201X", b"OFFSET must not be negative"),
    (b"54000", b"array size exceeds the maximum allowed (134217727)"),
];

/// The fields of a report that something is kept of.
#[derive(Default)]
struct Report<'a> {
    fields: Vec<(u8, &'a [u8])>,
}

impl<'a> Report<'a> {
    /// `None` when the body is not a list of fields.
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body, Side::Upstream);
        let mut fields = Vec::new();
        loop {
            let kind = reader.u8().ok()?;
            if kind == 0 {
                break;
            }
            fields.push((kind, reader.cstr().ok()?));
            if fields.len() > FIELDS_MAX {
                return None;
            }
        }
        reader.end().ok()?;
        Some(Self { fields })
    }

    fn field(&self, kind: u8) -> Option<&'a [u8]> {
        self.fields.iter().find(|(of, _)| *of == kind).map(|(_, text)| *text)
    }

    fn code(&self) -> &'a [u8] {
        let plausible = |code: &&[u8]| {
            code.len() == SQLSTATE_BYTES && code.iter().all(u8::is_ascii_alphanumeric)
        };
        self.field(b'C').filter(plausible).unwrap_or(INTERNAL_ERROR)
    }

    /// A report of the same severity and code, without anything else yet.
    fn begin(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(1024);
        let severity = |kind| self.field(kind).filter(|text| text.len() <= SEVERITY_BYTES_MAX);
        let severities = [(b'S', severity(b'S').or(severity(b'V'))), (b'V', severity(b'V'))];
        for (kind, text) in severities {
            put(&mut out, kind, text.or((kind == b'S').then_some(b"ERROR")));
        }
        put(&mut out, b'C', Some(self.code()));
        out
    }

    /// Where in the statement text.
    fn position(&self) -> Option<&'a [u8]> {
        let plausible =
            |text: &&[u8]| (1..=10).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
        self.field(b'P').filter(plausible)
    }

    /// Raised by a function's body or a query of one, not by the statement itself: it may say
    /// anything in any field.
    fn is_from_within(&self) -> bool {
        [b'W', b'q', b'p'].into_iter().any(|kind| self.field(kind).is_some())
    }

    fn is_error(&self) -> bool {
        let severity = self.field(b'V').or_else(|| self.field(b'S'));
        severity.is_none_or(|severity| matches!(severity, b"ERROR" | b"FATAL" | b"PANIC"))
    }

    /// The words can hold no value.
    fn keeps_words(&self) -> bool {
        let code = self.code();
        WORDS_OF_NAMES.iter().any(|class| code.starts_with(class))
            && code != LENGTHS
            && !self.is_from_within()
            && (self.position().is_some() || !NAMES_FROM_VALUES.contains(&code))
    }

    /// The message alone tells nothing that is not kept anyway: it is a constant, or made of names.
    fn keeps_message(&self) -> bool {
        let message = self.field(b'M').unwrap_or_default();
        CONSTANTS.contains(&(self.code(), message))
            || (self.keeps_names() && self.violations().any(|words| words.as_bytes() == message))
    }

    /// What the server says when a constraint of these names is violated.
    fn violations(&self) -> impl Iterator<Item = String> {
        let name = |kind| self.field(kind).and_then(|name| str::from_utf8(name).ok());
        let [constraint, table, column] = [b'n', b't', b'c'].map(name);
        let of_constraint = constraint.map(|name| {
            [
                format!("duplicate key value violates unique constraint \"{name}\""),
                format!("conflicting key value violates exclusion constraint \"{name}\""),
            ]
        });
        let of_both = constraint.zip(table).map(|(name, table)| {
            [
                format!("new row for relation \"{table}\" violates check constraint \"{name}\""),
                format!(
                    "insert or update on table \"{table}\" violates foreign key constraint \
                     \"{name}\""
                ),
            ]
        });
        let of_column = column.zip(table).map(|(column, table)| {
            [format!(
                "null value in column \"{column}\" of relation \"{table}\" violates not-null \
                 constraint"
            )]
        });
        let pairs = of_constraint.into_iter().chain(of_both).flatten();
        pairs.chain(of_column.into_iter().flatten())
    }

    /// The names of constraint, schema, table, column and type are those of the server's own check,
    /// not what a function's body put there.
    fn keeps_names(&self) -> bool {
        !self.is_from_within() || self.field(b'R').is_some_and(|at| CHECKS.contains(&at))
    }
}

/// The body of an `ErrorResponse` or a `NoticeResponse` without what may quote masked values.
///
/// Always kept: severity, code, position, and the names of constraint, schema, table, column and
/// data type (unless a function's body raised the report, which can write anything there). The
/// message and the hint are kept for classes of SQLSTATE that carry identifiers and syntax; within
/// those, not for reports from within a function, and not for codes that casts raise about values
/// (`42P01` of `::regclass`) unless the report points into the statement. The message is also kept
/// where it is one of a few constants, or says no more than which constraint is violated.
/// Everything else goes. A body that is no report becomes a general one.
#[must_use]
pub fn scrub_report(body: &[u8]) -> Bytes {
    let report = Report::read(body).unwrap_or_default();
    let mut out = report.begin();
    if report.keeps_words() {
        put(&mut out, b'M', Some(report.field(b'M').unwrap_or_default()));
        put(&mut out, b'H', report.field(b'H'));
    } else if report.keeps_message() {
        put(&mut out, b'M', report.field(b'M'));
    } else if report.is_error() {
        let words = format!("{}{WITHHELD}", condition(report.code()));
        put(&mut out, b'M', Some(words.as_bytes()));
    } else {
        put(&mut out, b'M', Some(NOTICE_WITHHELD.as_bytes()));
    }
    put(&mut out, b'P', report.position());
    for kind in *NAMES {
        put(&mut out, kind, report.field(kind).filter(|_| report.keeps_names()));
    }
    out.put_u8(0);
    out.freeze()
}

/// The body of an `ErrorResponse` or a `NoticeResponse` with its severity, code and position, and
/// without any of its words, because sensitive values were found in them. Names of objects stay
/// where nothing is to be hidden in them.
#[must_use]
pub fn withhold_report(body: &[u8], hides: impl Fn(&[u8]) -> bool) -> Bytes {
    let report = Report::read(body).unwrap_or_default();
    let mut out = report.begin();
    let words = match report.is_error() {
        true => format!("{} ({HOLDS_VALUES})", condition(report.code())),
        false => format!("notice {HOLDS_VALUES}"),
    };
    put(&mut out, b'M', Some(words.as_bytes()));
    put(&mut out, b'P', report.position());
    for kind in *NAMES {
        put(&mut out, kind, report.field(kind).filter(|name| !hides(name)));
    }
    out.put_u8(0);
    out.freeze()
}

/// Everything that a report says, field by field; `None` for what is no report.
#[must_use]
pub fn texts(body: &[u8]) -> Option<Vec<&[u8]>> {
    Report::read(body).map(|report| report.fields.into_iter().map(|(_, text)| text).collect())
}

/// The SQLSTATE of a report; `None` when it has none that can be one.
#[must_use]
pub fn code(body: &[u8]) -> Option<String> {
    let report = Report::read(body)?;
    report.field(b'C')?;
    String::from_utf8(report.code().to_vec()).ok()
}

/// Whether the server ends the session with this report.
#[must_use]
pub fn is_fatal(body: &[u8]) -> bool {
    Report::read(body).is_some_and(|report| {
        let severity = report.field(b'V').or_else(|| report.field(b'S'));
        matches!(severity, Some(b"FATAL" | b"PANIC"))
    })
}

/// Whether the body of a function, or a query of one, raised this report: the check of a domain,
/// say, that no statement shows. What Bind says about a parameter is not from within.
#[must_use]
pub fn is_from_within(body: &[u8]) -> bool {
    Report::read(body).is_none_or(|report| {
        let of_bind = report.field(b'W').is_some_and(|context| {
            let begins = |with: &[u8]| context.starts_with(with);
            !context.contains(&b'\n') && (begins(b"unnamed portal parameter") || begins(b"portal "))
        });
        report.is_from_within() && !of_bind
    })
}

fn put(out: &mut BytesMut, kind: u8, text: Option<&[u8]>) {
    if let Some(text) = text {
        out.put_u8(kind);
        put_cstr(out, text);
    }
}

/// The body of a `NotificationResponse` with its process and channel and no payload. One that
/// cannot be read keeps nothing.
#[must_use]
pub fn scrub_notification(body: &[u8]) -> Bytes {
    let (process, channel, _) = notified(body).unwrap_or_default();
    notification(process, channel)
}

/// A notification's process, channel and payload; `None` for what is no notification.
#[must_use]
pub fn notified(body: &[u8]) -> Option<(i32, &[u8], &[u8])> {
    let mut reader = Reader::new(body, Side::Upstream);
    let notified = (reader.i32().ok()?, reader.cstr().ok()?, reader.cstr().ok()?);
    reader.end().ok()?;
    Some(notified)
}

/// The body of a `NotificationResponse` without a payload.
#[must_use]
pub fn notification(process: i32, channel: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i32(process);
    put_cstr(&mut out, channel);
    out.put_u8(0);
    out.freeze()
}

#[cfg(test)]
mod tests;

//! Tables with a masked and an open column, of every type that is treated in some way, and what is
//! true of a value and its mask whatever they are.

use std::sync::{Arc, OnceLock};

use postgres::Snapshot;
use sql::{Catalog, CatalogData, Relation, RelationKind};
use testkit::conversation::{Cuts, Play};
use testkit::stage::Scene;

use super::notation::{Postgres, scene, snapshot};
use crate::bytes_of::contains;

/// `pg_type.oid` of the types: text types first, then the others that have masks of their own, then
/// those that only become NULL, one of an extension among them.
pub const TYPES: &[u32] = &[
    25, 1043, 1042, 19, 705, 17, 2950, 20, 1700, 16, 18, 21, 23, 24, 26, 28, 114, 142, 143, 199,
    700, 701, 1000, 1001, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1082, 1083, 1114,
    1115, 1184, 1231, 1263, 1790, 2205, 2206, 2249, 2275, 2278, 2287, 2951, 3614, 3802, 3807, 4072,
    5069, 0, 16_500,
];
/// Kinds of masks.
pub const KINDS: [&str; 4] = ["redact", "hash", "partial", "null"];
/// What `redact` leaves of a text.
const REDACTED: &[u8] = b"[REDACTED]";
/// The table's `pg_class.oid`.
pub const TABLE: u32 = 20_100;
/// Shorter values may be part of what a mask writes, by chance.
const TELLING_BYTES: usize = 10;
/// The same for a half of a value.
const TELLING_HALF_BYTES: usize = 12;
const NUMERIC: u32 = 1700;

/// The number of the masked column; the open one is behind it.
pub const MASKED: u16 = 1;

/// A table `typed` with a masked column `m` and an open one `p`, both of the type at `at`.
fn typed(kind: &str, at: usize) -> Scene {
    static SNAPSHOTS: OnceLock<Vec<Arc<Snapshot>>> = OnceLock::new();
    let snapshots = SNAPSHOTS.get_or_init(|| {
        // Statements are kept by text and version, over all plays; the sample has version 1.
        let numbered = TYPES.iter().zip(2..);
        let snapshot = |(type_oid, version): (&u32, u64)| {
            let columns = [("m", *type_oid), ("p", *type_oid)];
            let table = Relation::new(TABLE, RelationKind::Table, "public", "typed", &columns);
            let data = CatalogData { version, relations: vec![table], ..CatalogData::default() };
            Arc::new(Snapshot { catalog: Arc::new(Catalog::new(data)), ..snapshot(1) })
        };
        numbered.map(snapshot).collect()
    });
    let mut scene = scene();
    scene.snapshot = snapshots[at].clone();
    scene.rules = vec![format!("rule hide mask m with {kind}")];
    scene
}

/// A play with a table of this type, masked in one way.
pub fn play(kind: &str, at: usize, script: &str) -> Play<Postgres> {
    Play::of(typed(kind, at), Postgres::default(), script, Cuts::Whole)
}

/// P3: what the client gets for a masked value is not the value, nor has it in it.
pub fn hides((type_oid, type_mod): (u32, i32), value: &[u8], shown: &[u8]) {
    // The hash of a number is a number, and of few declared digits there are few.
    if type_oid == NUMERIC && (type_mod >= 0 || value.len() < 16) {
        return;
    }
    assert!(value.len() < 8 || value != shown || made_of_masks(value), "{value:?} is shown");
    // Blanks at the end are what a type pads with.
    let value = value.trim_ascii();
    let (_, half) = value.split_at(value.len() / 2);
    for (part, telling) in [(value, TELLING_BYTES), (half, TELLING_HALF_BYTES)] {
        // At most a quarter of the characters is shown; of these all could be long ones.
        let short = part.len() < telling || part.len() < value.len() && !value.is_ascii();
        let hidden = short || made_of_masks(part) || !contains(shown, part);
        assert!(hidden, "{value:?} is shown as {shown:?}");
    }
}

/// Whether finding these bytes again says nothing, because masks are made of such.
fn made_of_masks(value: &[u8]) -> bool {
    value.contains(&b'*') || value.trim_ascii().is_empty() || contains(REDACTED, value.trim_ascii())
}

/// P4: what a masked value becomes is one of its type, or NULL.
pub fn keeps_type((type_oid, type_mod): (u32, i32), binary: bool, shown: &[u8]) {
    let text = || std::str::from_utf8(shown).unwrap_or_else(|_| panic!("no text: {shown:?}"));
    match type_oid {
        1043 | 1042 if type_mod >= 4 => {
            let most = usize::try_from(type_mod - 4).expect("not negative");
            assert!(text().chars().count() <= most, "longer than declared: {shown:?}");
        }
        25 | 1043 | 1042 | 19 | 705 => assert!(text().len() <= shown.len()),
        17 if binary => assert_eq!(shown.len(), 16),
        17 => assert!(text().starts_with("\\x") && text().len() == 34, "{shown:?}"),
        2950 if binary => assert_eq!(shown.len(), 16),
        2950 => assert!(text().len() == 36 && text().matches('-').count() == 4, "{shown:?}"),
        20 if binary => assert_eq!(shown.len(), 8),
        20 => assert!(text().parse::<i64>().is_ok(), "{shown:?}"),
        1700 if binary => {
            let digits = shown.get(..2).map(|count| u16::from_be_bytes([count[0], count[1]]));
            let length = digits.map(|count| 8 + 2 * usize::from(count));
            assert_eq!(Some(shown.len()), length, "{shown:?}");
        }
        1700 => assert!(text().parse::<f64>().is_ok(), "{shown:?}"),
        other => panic!("type {other} has no mask but NULL, and becomes {shown:?}"),
    }
}

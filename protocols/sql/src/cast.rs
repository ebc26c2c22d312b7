//! Where bringing values together looks into them: casts that PostgreSQL puts in by itself, and
//! constructions that fail for some values of a type.

use crate::catalog::{Catalog, FIRST_NORMAL_OID, TypeKind};
use crate::statement::Place;
use crate::value::{Deps, Typed, Val};
use crate::walk::{Blame, Walk};

/// What a value of a type is made of, as far as putting it somewhere can fail on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Build {
    /// Its dimensions decide what it can be put beside.
    Array,
    /// Its text may be no `jsonb`.
    Json,
    /// Its shape decides what it can be put beside.
    Jsonb,
    /// Nothing of the kind.
    Plain,
    /// It has fields, each of which may be NULL; or it is an array of such.
    Row,
}

/// `pg_type.oid` of `record[]`.
pub(crate) const RECORDS: u32 = 2287;

/// Arrays of the types in `pg_type.dat`, `json` left out.
const ARRAYS: &[u32] = &[
    143, 200, 210, 271, 272, 273, 629, 651, 719, 775, 791, 1000, 1001, 1002, 1003, 1005, 1006,
    1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016, 1017, 1018, 1019, 1020, 1021, 1022,
    1027, 1028, 1034, 1040, 1041, 1115, 1182, 1183, 1185, 1187, 1231, 1263, 1270, 1561, 1563, 2201,
    2207, 2208, 2209, 2210, 2211, 2287, 2949, 2951, 3221, 3643, 3644, 3645, 3735, 3770, 3807, 3905,
    3907, 3909, 3911, 3913, 3927, 4073, 4090, 4097, 4192, 5039, 6150, 6151, 6152, 6153, 6155, 6157,
];

/// Whether values of a type that ships with PostgreSQL are arrays of values that have no columns.
pub(crate) fn is_array(oid: u32) -> bool {
    /// `pg_type.oid` of `json[]`.
    const JSONS: u32 = 199;
    oid != RECORDS && (oid == JSONS || ARRAYS.contains(&oid))
}

fn build(catalog: &Catalog, oid: u32, depth: u32) -> Build {
    /// `pg_type.oid` of `json`, its array, and `jsonb`.
    const JSON: [u32; 3] = [114, 199, 3802];
    let [json, jsons, jsonb] = JSON;
    match catalog.type_kind(oid) {
        _ if oid == json => Build::Json,
        _ if oid == jsons || ARRAYS.contains(&oid) => Build::Array,
        _ if oid == jsonb => Build::Jsonb,
        _ if oid < FIRST_NORMAL_OID => Build::Plain,
        Some(TypeKind::Array) => Build::Array,
        Some(TypeKind::Domain(base)) if depth < 8 => build(catalog, base, depth + 1),
        Some(TypeKind::Plain) => Build::Plain,
        // A row type, or one that is not known.
        _ => Build::Row,
    }
}

/// Whether there can be `json` in a value of a type: text that need not be `jsonb`. What fields and
/// elements of other people's types are is not known.
fn may_hold_json(catalog: &Catalog, oid: u32, depth: u32) -> bool {
    /// `pg_type.oid` of `json`, `json[]`, `record` and `record[]`.
    const HOLD_JSON: [u32; 4] = [114, 199, 2249, RECORDS];
    match catalog.type_kind(oid) {
        _ if oid < FIRST_NORMAL_OID => HOLD_JSON.contains(&oid),
        Some(TypeKind::Domain(base)) if depth < 8 => may_hold_json(catalog, base, depth + 1),
        Some(TypeKind::Plain) => false,
        _ => true,
    }
}

/// Whether PostgreSQL casts a value of this type by itself to another where it can fail: `int8` to
/// `oid`, `numeric` to `real`, dates to timestamps. Source: `pg_cast.dat`, `castcontext` `i`.
fn narrows(catalog: &Catalog, oid: u32, depth: u32) -> bool {
    match catalog.type_kind(oid) {
        Some(TypeKind::Domain(base)) if depth < 8 => narrows(catalog, base, depth + 1),
        Some(TypeKind::Array) => true,
        Some(TypeKind::Plain) => false,
        _ => matches!(oid, 20 | 1082 | 1114 | 1700 | 1016 | 1115 | 1182 | 1231),
    }
}

/// The type a cast names, of those that [`narrows`] knows.
pub(crate) fn named(to: &str) -> Typed {
    match to {
        "int8" => Typed::Stored(20),
        "date" => Typed::Stored(1082),
        "timestamp" => Typed::Stored(1114),
        "numeric" => Typed::Stored(1700),
        _ => Typed::Unsure,
    }
}

impl Walk<'_> {
    fn any_build(&self, deps: &Deps, wanted: &[Build]) -> bool {
        let catalog = self.context.catalog;
        deps.iter().any(|id| {
            let column = catalog.column(id);
            column.is_none_or(|(_, column)| wanted.contains(&build(catalog, column.type_oid, 0)))
        })
    }

    /// Whether making an array of such values can fail.
    pub(crate) fn has_dimensions(&self, deps: &Deps) -> bool {
        self.any_build(deps, &[Build::Array, Build::Row])
    }

    /// Whether such a value can be an array.
    pub(crate) fn is_array(&self, deps: &Deps) -> bool {
        self.any_build(deps, &[Build::Array])
    }

    /// Whether `||` with such a value can fail.
    pub(crate) fn is_built(&self, deps: &Deps) -> bool {
        self.any_build(deps, &[Build::Array, Build::Json, Build::Jsonb, Build::Row])
    }

    /// Whether making `jsonb` of such a value can fail.
    pub(crate) fn may_not_be_jsonb(&self, deps: &Deps) -> bool {
        let catalog = self.context.catalog;
        deps.iter().any(|id| {
            let column = catalog.column(id);
            column.is_none_or(|(_, column)| may_hold_json(catalog, column.type_oid, 0))
        })
    }

    /// Whether such a value can have fields.
    pub(crate) fn has_fields(&self, deps: &Deps) -> bool {
        self.any_build(deps, &[Build::Row])
    }

    /// A field is taken out of a value: whether that is NULL is part of the value.
    pub(crate) fn field_selected(&mut self, val: &Val, blame: &Blame) {
        if self.has_fields(&val.deps) {
            self.blame(&val.deps, blame, "field selection");
        }
    }

    /// Values become one column or one array: where their types differ, some are cast.
    pub(crate) fn unified(&mut self, vals: &[Val], place: &Place) {
        if vals.len() < 2 || self.rec.quiet > 0 {
            return;
        }
        let catalog = self.context.catalog;
        for (at, val) in vals.iter().enumerate() {
            let narrow = val.deps.iter().any(|id| {
                let column = catalog.column(id);
                column.is_some_and(|(_, column)| narrows(catalog, column.type_oid, 0))
            });
            let alike = |other: &Val| match (other.typed, val.typed) {
                (Typed::Literal, _) => true,
                (Typed::Stored(a), Typed::Stored(b)) => a == b,
                _ => false,
            };
            let mut others = vals.iter().enumerate().filter(|(other, _)| *other != at);
            if narrow && !others.all(|(_, other)| alike(other)) {
                self.blame_place(&val.deps, place);
            }
        }
    }
}

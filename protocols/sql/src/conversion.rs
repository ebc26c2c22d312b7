//! The functions that a conversion to a type can call.
//!
//! A cast belongs to a pair of types, and PostgreSQL finds it for parts of a value too: for the
//! elements of an array, the fields of a row, and what a domain is over. What a value is converted
//! from is not known here, so every cast to a type counts, whatever it is from.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use pg_query::protobuf::{Node, TypeName, a_const};

use crate::catalog::{Catalog, ColumnId, FIRST_NORMAL_OID, Relation, SearchPath, TypeKind};
use crate::scope::live;
use crate::statement::Place;
use crate::tree::{self, N, inner};
use crate::value::{Typed, Val};
use crate::walk::Walk;

/// Types of PostgreSQL 15, arrays and row types left out, each with its `pg_type.oid`
/// (`pg_type.dat`).
const SHIPPED: &str = include_str!("types.txt");

fn shipped() -> &'static HashMap<&'static str, u32> {
    static TABLE: OnceLock<HashMap<&'static str, u32>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let words = SHIPPED.split_ascii_whitespace();
        words.filter_map(|word| word.split_once(':')).map(read).collect()
    })
}

fn read((name, oid): (&'static str, &'static str)) -> (&'static str, u32) {
    (name, oid.parse().unwrap_or_default())
}

/// Levels of types within types that are looked at.
const LEVELS: u32 = 16;

/// What is found on the way.
struct Search<'c> {
    catalog: &'c Catalog,
    functions: BTreeSet<u32>,
}

impl Search<'_> {
    fn named(&mut self, name: &str) {
        self.functions.extend(self.catalog.casts(name));
    }

    /// Casts to anything: what the type is made of cannot be told.
    fn all(&mut self) {
        self.functions.extend(self.catalog.all_casts().map(|cast| cast.function));
    }

    /// Casts to any type that ships with PostgreSQL: to an array of one, for example.
    fn any_shipped(&mut self) {
        let catalog = self.catalog;
        let casts = catalog.all_casts().filter(|cast| !catalog.has_type_named(&cast.to));
        self.functions.extend(casts.map(|cast| cast.function));
    }

    /// A type that ships with PostgreSQL. Names of arrays are those of their elements after a `_`.
    fn shipped(&mut self, name: &str) {
        self.named(name);
        self.named(name.trim_start_matches('_'));
    }

    fn oid(&mut self, oid: u32, levels: u32) {
        if oid < FIRST_NORMAL_OID {
            match shipped().iter().find(|(_, known)| **known == oid) {
                Some((name, _)) => self.shipped(name),
                None => self.any_shipped(),
            }
            return;
        }
        let Some(levels) = levels.checked_sub(1) else { return self.all() };
        match self.catalog.type_of(oid) {
            Some(found) => {
                self.named(&found.name);
                match found.kind {
                    TypeKind::Plain => {}
                    TypeKind::Domain(base) => self.oid(base, levels),
                    TypeKind::Array => self.all(),
                }
            }
            // A row type, or an array of one.
            None => self.all(),
        }
    }

    fn row(&mut self, relation: &Relation) {
        self.named(&relation.name);
        for column in live(relation) {
            self.oid(column.type_oid, LEVELS);
        }
    }
}

/// Functions that a conversion to the type with this name can call.
fn to_name(catalog: &Catalog, name: &TypeName, path: &SearchPath) -> BTreeSet<u32> {
    let mut search = Search { catalog, functions: BTreeSet::new() };
    let parts = tree::strings(&name.names);
    let (schema, bare) = tree::qualified(&parts);
    let ships = shipped().contains_key(bare.trim_start_matches('_'));
    let is_certain = match (schema, path) {
        (Some("pg_catalog"), _) => true,
        (None, SearchPath::Known(_)) => !catalog.has_type_named(bare),
        _ => false,
    };
    search.named(bare);
    if ships && is_certain && !name.pct_type {
        search.shipped(bare);
        return search.functions;
    }
    // Types that were made since the catalog was read can have any name.
    if name.pct_type || *path == SearchPath::Unknown || !catalog.has_type_named(bare) {
        search.all();
        return search.functions;
    }
    for oid in catalog.types_named(bare) {
        search.oid(*oid, LEVELS);
    }
    for relation in catalog.named(bare) {
        search.row(relation);
    }
    search.functions
}

fn is_quoted(value: &N) -> bool {
    matches!(value, N::AConst(constant)
        if matches!(constant.val, None | Some(a_const::Val::Sval(_))))
}

impl Walk<'_> {
    /// A value is converted to the type that is written there.
    pub(crate) fn converted(&mut self, to: Option<&TypeName>, val: &mut Val) {
        let catalog = self.context.catalog;
        if let Some(to) = to.filter(|_| catalog.all_casts().next().is_some()) {
            for function in to_name(catalog, to, self.context.creates) {
                self.runs(function, val, "a cast");
            }
        }
    }

    /// The same, for the value of an expression. A literal in quotes is read as a value of the type
    /// in the first place.
    pub(crate) fn converted_from(
        &mut self,
        from: Option<&Node>,
        to: Option<&TypeName>,
        val: &mut Val,
    ) {
        if !from.and_then(inner).is_some_and(is_quoted) {
            return self.converted(to, val);
        }
        let last = to.and_then(|name| name.names.last()).and_then(tree::string);
        for function in self.context.catalog.casts(last.unwrap_or_default()) {
            self.runs(*function, val, "a cast");
        }
    }

    /// A value is stored in a column, and converted to its type where it has another.
    pub(crate) fn converted_into(&mut self, column: ColumnId, val: &Val, place: &Place) {
        let catalog = self.context.catalog;
        if catalog.all_casts().next().is_none() {
            return;
        }
        let Some((_, stored)) = catalog.column(column) else { return };
        if val.typed == Typed::Stored(stored.type_oid) {
            return;
        }
        let mut search = Search { catalog, functions: BTreeSet::new() };
        search.oid(stored.type_oid, LEVELS);
        let mut made = Val::none();
        for function in search.functions {
            self.runs(function, &mut made, "a cast");
        }
        self.blame_place(&made.deps, place);
    }
}

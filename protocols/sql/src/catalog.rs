//! The snapshot of a server's catalog that names are resolved against.
//!
//! Plain data, read by somebody else on a connection of their own. A snapshot never changes; a new
//! version is a new value.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::view::Lineage;

/// Object identifiers below this one belong to PostgreSQL itself (`FirstNormalObjectId` in
/// PostgreSQL's `access/transam.h`).
pub const FIRST_NORMAL_OID: u32 = 16_384;

/// A column as stored: a relation and the position in it.
///
/// System columns (`ctid`, `xmin`, `tableoid`, …) have negative positions.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ColumnId {
    /// `pg_class.oid`.
    pub relation: u32,
    /// `pg_attribute.attnum`, from 1.
    pub attnum: i16,
}

/// What kind of relation (`pg_class.relkind`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// `c`: a composite type.
    Composite,
    /// `f`: a foreign table.
    Foreign,
    /// `i`, `I`: an index.
    Index,
    /// `m`: a materialized view.
    MaterializedView,
    /// `p`: a partitioned table.
    Partitioned,
    /// `S`: a sequence.
    Sequence,
    /// `r`: an ordinary table.
    Table,
    /// `t`: a TOAST table.
    Toast,
    /// `v`: a view.
    View,
}

impl RelationKind {
    /// From `pg_class.relkind`; `None` for a letter this build does not know.
    #[must_use]
    pub const fn from_relkind(letter: char) -> Option<Self> {
        Some(match letter {
            'c' => Self::Composite,
            'f' => Self::Foreign,
            'i' | 'I' => Self::Index,
            'm' => Self::MaterializedView,
            'p' => Self::Partitioned,
            'S' => Self::Sequence,
            'r' => Self::Table,
            't' => Self::Toast,
            'v' => Self::View,
            _ => return None,
        })
    }
}

/// A column of a relation (`pg_attribute`).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StoredColumn {
    /// Position, from 1; positions of dropped columns stay in use.
    pub attnum: i16,
    /// Its name, exactly as stored.
    pub name: Arc<str>,
    /// `pg_type.oid` of its type.
    pub type_oid: u32,
    /// `pg_type.typlen`: bytes, or -1 for variable length.
    #[serde(default)]
    pub type_len: i16,
    /// `attisdropped`: it has no name a statement could use any more.
    #[serde(default)]
    pub dropped: bool,
    /// Part of a unique or foreign key: writing it is a guess at its other values (R5).
    #[serde(default)]
    pub unique: bool,
    /// The expression of a generated column, as `pg_get_expr` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<Arc<str>>,
    /// Its default, when that calls a function or operator that does not ship with PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Arc<str>>,
    /// What fills it where a statement does not: its default, that of its domain, an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<Fill>,
    /// An index has it: as a key, beside one, in an expression or in a condition.
    #[serde(default)]
    pub indexed: bool,
    /// The relation whose row type its values have, alone or in arrays, or 0.
    #[serde(default)]
    pub row_of: u32,
    /// Its collation does not ship with PostgreSQL: it goes when that is dropped.
    #[serde(default)]
    pub collated: bool,
}

/// What fills a column that a statement leaves out. What is always NULL, or drawn so that nobody
/// can steer it (`gen_random_uuid()`), is none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// The same value every time.
    Constant,
    /// Something computed.
    Other,
    /// The next number of the sequence of this name.
    Sequence(Arc<str>),
}

/// A relation (`pg_class`).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Name of its schema.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What kind.
    pub kind: RelationKind,
    /// Columns by position, dropped ones included or left out.
    #[serde(default)]
    pub columns: Vec<StoredColumn>,
    /// The SELECT of a view or materialized view, as `pg_get_viewdef` prints it **with an empty
    /// search path**, so that every name in it is qualified. A view without one is untraceable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Arc<str>>,
    /// Relations it inherits from or is a partition of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<u32>,
    /// It is temporary, so it belongs to one backend.
    #[serde(default)]
    pub temp: bool,
    /// Policies decide which of its rows are seen, by expressions that no statement shows.
    #[serde(default)]
    pub row_security: bool,
}

impl Relation {
    /// The live column called `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&StoredColumn> {
        self.columns.iter().find(|column| !column.dropped && &*column.name == name)
    }

    /// It ships with PostgreSQL.
    #[must_use]
    pub fn builtin(&self) -> bool {
        self.oid < FIRST_NORMAL_OID
    }
}

/// A function, procedure or aggregate (`pg_proc`).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Function {
    /// `pg_proc.oid`.
    pub oid: u32,
    /// Name of its schema.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Name of its language: `internal`, `c`, `sql`, `plpgsql`, …
    pub language: Arc<str>,
    /// `provolatile`: `i`, `s` or `v`.
    pub volatility: char,
    /// It ships with PostgreSQL (`oid < 16384`).
    pub builtin: bool,
    /// The body of a function in SQL: `prosrc`, or `pg_get_function_sqlbody` for the standard form.
    /// `None` when it cannot be read or when the function has settings of its own (`proconfig`)
    /// beside `search_path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Arc<str>>,
    /// Types of its input arguments.
    #[serde(default)]
    pub arg_types: Vec<u32>,
    /// `proargnames`, empty strings for arguments without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arg_names: Vec<Arc<str>>,
    /// Names of its OUT and TABLE columns (`proargnames` where `proargmodes` is `o`, `b` or `t`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_names: Vec<Arc<str>>,
    /// It returns a set of rows.
    #[serde(default)]
    pub returns_set: bool,
    /// `pg_type.oid` of what it returns.
    #[serde(default)]
    pub return_type: u32,
    /// The relation whose row type that is (`pg_type.typrelid`), or 0.
    #[serde(default)]
    pub return_relation: u32,
    /// Defaults of its last arguments, separated by commas (`proargdefaults`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Arc<str>>,
    /// `prokind` is `a` or `w`: an aggregate or window function; its real work is in other
    /// functions, so `language` says nothing about what it can do. Not for aggregates whose
    /// functions are all immutable and written in C.
    #[serde(default)]
    pub aggregate: bool,
    /// It is written in a language that is no machine code, and has one of
    /// [`DEFINING_WORDS`](crate::change::DEFINING_WORDS).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_define: bool,
    /// It has a `search_path` of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_path: bool,
}

impl Function {
    /// It returns one value of a type that has no columns, as far as the type's number tells.
    pub(crate) fn returns_scalar(&self) -> bool {
        let unnamed = match self.out_names.as_slice() {
            [] => true,
            [only] => only.is_empty(),
            _ => false,
        };
        unnamed && is_scalar(self.return_type)
    }

    /// Names of its OUT and TABLE columns, where those are its columns in FROM: a single one that
    /// is a row has its fields for columns. Of several, one without a name is called by its place.
    pub(crate) fn out_columns(&self) -> Option<Vec<Arc<str>>> {
        let named = |(place, name): (usize, &Arc<str>)| match &**name {
            "" => format!("column{place}").into(),
            _ => Arc::clone(name),
        };
        match self.out_names.as_slice() {
            [] => None,
            [only] if only.is_empty() || !is_scalar(self.return_type) => None,
            names => Some((1..).zip(names).map(named).collect()),
        }
    }
}

/// Whether values of a type that ships with PostgreSQL have no columns. Those of `record` have
/// some, and `any`, `anyelement` and their kin can be rows (`pg_type.dat`).
pub(crate) fn is_scalar(type_oid: u32) -> bool {
    const ROWS: [u32; 6] = [2249, 2276, 2283, 2776, 5077, 5079];
    (1..FIRST_NORMAL_OID).contains(&type_oid) && !ROWS.contains(&type_oid)
}

/// An operator that does not ship with PostgreSQL (`pg_operator`, `oid >= 16384`).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Operator {
    /// Its symbol: `===`.
    pub name: Arc<str>,
    /// `pg_proc.oid` of the function behind it.
    pub function: u32,
}

/// A type that does not ship with PostgreSQL (`pg_type`, `oid >= 16384`). Row types of relations,
/// and arrays of them, are left out.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Type {
    /// `pg_type.oid`.
    pub oid: u32,
    /// Its name.
    pub name: Arc<str>,
    /// What kind.
    pub kind: TypeKind,
    /// The default of a domain, where it calls functions or operators of somebody's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Arc<str>>,
}

/// What kind of type.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeKind {
    /// An array.
    Array,
    /// A domain over this type.
    Domain(u32),
    /// Neither: an enum, a range, a type of an extension.
    Plain,
}

/// A cast that calls a function (`pg_cast`, `oid >= 16384`).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Cast {
    /// Name of the type it makes.
    pub to: Arc<str>,
    /// `pg_proc.oid` of the function.
    pub function: u32,
}

/// Two columns that the server compares when one of them is written or its row is removed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tie {
    /// Column that is written.
    pub from: ColumnId,
    /// Column that takes part.
    pub to: ColumnId,
    /// By what.
    pub by: TieKind,
}

/// What ties two columns.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TieKind {
    /// A check constraint that can fail for a row that is stored: it was not validated, or its
    /// expression is not immutable. Every column of the table is tied to those that it reads.
    Always,
    /// A check constraint, or an index or statistics whose expressions can fail.
    Check,
    /// A unique or exclusion index with expressions or a condition.
    Expression,
    /// A unique or exclusion index.
    Key,
    /// A foreign key: values of `from` must be values of `to`.
    Reference,
    /// The same, when rows of `to` go: those of `from` go with them.
    Removed,
    /// The same, when `to` changes or its rows go: `from` changes with it.
    Changed,
    /// An exclusion constraint that does not ask for equality, of `from` itself.
    Overlap,
    /// `from` itself says in which partition a row is.
    Partition,
}

/// The parts of a [`Catalog`], without its indexes: what is written down.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogData {
    /// See [`Catalog::version`].
    #[serde(default)]
    pub version: u64,
    /// Every relation whose columns a statement can name. Those of PostgreSQL itself may be left
    /// out: a name in `pg_catalog` or `information_schema` that is not here is taken to exist.
    #[serde(default)]
    pub relations: Vec<Relation>,
    /// Every function that does not ship with PostgreSQL; those of PostgreSQL may be here too.
    #[serde(default)]
    pub functions: Vec<Function>,
    /// Names of all functions that ship with this server. Empty: the list built in, that of
    /// PostgreSQL 15 and the additions up to 18.
    #[serde(default)]
    pub builtin_functions: Vec<Arc<str>>,
    /// Names of the tables and views in `pg_catalog`, which are found before those of anybody's
    /// own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builtin_relations: Vec<Arc<str>>,
    /// Operators that do not ship with PostgreSQL.
    #[serde(default)]
    pub operators: Vec<Operator>,
    /// Types that do not ship with PostgreSQL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Type>,
    /// Casts that do not ship with PostgreSQL and call a function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub casts: Vec<Cast>,
    /// Columns tied to others by keys and constraints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ties: Vec<Tie>,
}

/// A snapshot of a server's catalog, indexed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(from = "CatalogData", into = "CatalogData")]
pub struct Catalog {
    /// Tells one snapshot from another; facts are cached by text and this number.
    pub version: u64,
    data: CatalogData,
    by_oid: HashMap<u32, usize>,
    by_name: HashMap<Arc<str>, Vec<usize>>,
    functions_by_name: HashMap<Arc<str>, Vec<usize>>,
    functions_by_oid: HashMap<u32, usize>,
    operators_by_name: HashMap<Arc<str>, Vec<u32>>,
    children: HashMap<u32, Vec<u32>>,
    builtin_functions: HashSet<Arc<str>>,
    builtin_relations: HashSet<Arc<str>>,
    /// Places of types.
    types: HashMap<u32, usize>,
    types_by_name: HashMap<Arc<str>, Vec<u32>>,
    casts: HashMap<Arc<str>, Vec<u32>>,
    ties: HashMap<ColumnId, Vec<(ColumnId, TieKind)>>,
    /// Columns on either side of a tie.
    tied: HashSet<ColumnId>,
    /// Columns of keys that a sequence fills, with its name.
    sequences: Vec<(Arc<str>, ColumnId)>,
    /// Columns with foreign keys, by the relation that they reference.
    referencing: HashMap<u32, Vec<Tie>>,
    /// What each relation's definition says, found out when first needed.
    lineage: Vec<OnceLock<Arc<Lineage>>>,
    /// How many of the relations, the last, are not of the snapshot.
    own_tables: usize,
    /// Relations of the snapshot that a session dropped and has not committed.
    dropped: BTreeSet<u32>,
}

impl From<CatalogData> for Catalog {
    fn from(data: CatalogData) -> Self {
        Self::new(data)
    }
}

impl From<Catalog> for CatalogData {
    fn from(catalog: Catalog) -> Self {
        catalog.data
    }
}

impl Catalog {
    /// Indexes what was read.
    #[must_use]
    pub fn new(data: CatalogData) -> Self {
        let mut catalog = Self { version: data.version, ..Self::default() };
        for (index, relation) in data.relations.iter().enumerate() {
            catalog.by_oid.insert(relation.oid, index);
            catalog.by_name.entry(Arc::clone(&relation.name)).or_default().push(index);
            for parent in &relation.parents {
                catalog.children.entry(*parent).or_default().push(relation.oid);
            }
        }
        for (index, function) in data.functions.iter().enumerate() {
            let name = Arc::clone(&function.name);
            catalog.functions_by_name.entry(name).or_default().push(index);
        }
        for operator in &data.operators {
            let name = Arc::clone(&operator.name);
            catalog.operators_by_name.entry(name).or_default().push(operator.function);
        }
        catalog.functions_by_oid =
            data.functions.iter().enumerate().map(|(at, f)| (f.oid, at)).collect();
        catalog.lineage = data.relations.iter().map(|_| OnceLock::new()).collect();
        for (index, made) in data.types.iter().enumerate() {
            catalog.types.insert(made.oid, index);
            catalog.types_by_name.entry(Arc::clone(&made.name)).or_default().push(made.oid);
        }
        for cast in &data.casts {
            catalog.casts.entry(Arc::clone(&cast.to)).or_default().push(cast.function);
        }
        for tie in &data.ties {
            catalog.ties.entry(tie.from).or_default().push((tie.to, tie.by));
            if tie.from != tie.to {
                catalog.tied.extend([tie.from, tie.to]);
            }
            if matches!(tie.by, TieKind::Reference | TieKind::Removed | TieKind::Changed) {
                catalog.referencing.entry(tie.to.relation).or_default().push(*tie);
            }
        }
        for relation in &data.relations {
            for column in relation.columns.iter().filter(|column| column.unique) {
                if let Some(Fill::Sequence(name)) = &column.fill {
                    let id = ColumnId { relation: relation.oid, attnum: column.attnum };
                    catalog.sequences.push((Arc::clone(name), id));
                }
            }
        }
        catalog.builtin_functions = data.builtin_functions.iter().cloned().collect();
        catalog.builtin_relations = data.builtin_relations.iter().cloned().collect();
        catalog.data = data;
        catalog
    }

    /// The same with tables that a session made itself ([`crate::own`]), each under an identity of
    /// its own. Those whose names are not [free](Self::is_free) by now are left out.
    #[must_use]
    pub fn with_own<'a>(&self, tables: impl IntoIterator<Item = &'a Relation>) -> Self {
        let mut catalog = self.clone();
        for table in tables {
            catalog.add_own(table);
        }
        catalog
    }

    /// Marks relations as dropped by a session that has not committed. They stay to be found,
    /// because the session can take it back; their names are [free](Self::is_free), and may mean
    /// others now.
    pub fn mark_dropped(&mut self, relations: impl IntoIterator<Item = u32>) {
        self.dropped.extend(relations);
    }

    /// Whether [a session dropped](Self::mark_dropped) any.
    #[must_use]
    pub fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Whether [a session dropped](Self::mark_dropped) this one.
    pub(crate) fn is_dropped(&self, relation: u32) -> bool {
        self.dropped.contains(&relation)
    }

    /// Adds one; returns whether it could.
    pub(crate) fn add_own(&mut self, table: &Relation) -> bool {
        let first = crate::own::FIRST_OID;
        let own = self.own_tables;
        if own == 0 && self.data.relations.iter().any(|relation| relation.oid >= first) {
            return false;
        }
        let is_free = self.is_free_in(&table.schema, &table.name);
        if !is_free || own >= crate::own::TABLES_MAX {
            return false;
        }
        let oid = u32::try_from(own).map_or(first, |own| first.saturating_add(own));
        self.own_tables = own.saturating_add(1);
        let index = self.data.relations.len();
        self.by_oid.insert(oid, index);
        self.by_name.entry(Arc::clone(&table.name)).or_default().push(index);
        self.data.relations.push(Relation { oid, ..table.clone() });
        self.lineage.push(OnceLock::new());
        true
    }

    /// The relation with this `pg_class.oid`.
    #[must_use]
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.by_oid.get(&oid).and_then(|index| self.data.relations.get(*index))
    }

    /// Every relation, in the order given.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.data.relations.iter()
    }

    /// Relations called `name`, in any schema.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Relation> {
        self.by_name
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|index| self.data.relations.get(*index))
    }

    /// What `schema.name` or, without a schema, `name` under `path` means.
    ///
    /// More than one answer only when the path is [`SearchPath::Unknown`]: then it is every
    /// relation of that name. Temporary relations come first under a path that does not list
    /// `pg_temp`, and `pg_catalog` before everything under one that does not list it, as
    /// PostgreSQL has it.
    #[must_use]
    pub fn find(&self, schema: Option<&str>, name: &str, path: &SearchPath) -> Vec<&Relation> {
        match (schema, path) {
            (Some("pg_temp"), _) => self.named(name).filter(|r| r.temp).collect(),
            (Some(schema), _) => self.named(name).filter(|r| &*r.schema == schema).collect(),
            (None, SearchPath::Unknown) => self.named(name).collect(),
            (None, SearchPath::Known(schemas)) => self.first_in_path(name, schemas),
        }
    }

    /// Relations that `name` may mean besides what [`Catalog::find`] says: those of the name
    /// further along a known path. The server passes over a schema that the role may not use, plans
    /// anew only when what a plan uses has changed, and another session may drop what comes first
    /// before the statement runs.
    #[must_use]
    pub fn hidden(&self, schema: Option<&str>, name: &str, path: &SearchPath) -> Vec<&Relation> {
        let (None, SearchPath::Known(schemas)) = (schema, path) else { return Vec::new() };
        let mut named = self.named(name).peekable();
        if named.peek().is_none() {
            return Vec::new();
        }
        let found: Vec<u32> = self.first_in_path(name, schemas).iter().map(|r| r.oid).collect();
        if self.relation_is_builtin(&found) || found.is_empty() && self.ships_relation(name) {
            return Vec::new();
        }
        let is_meant = |relation: &&Relation| {
            let along = relation.temp || schemas.contains(&relation.schema);
            along && !found.contains(&relation.oid)
        };
        named.filter(is_meant).collect()
    }

    /// Nothing stands before PostgreSQL's own, or takes them away.
    fn relation_is_builtin(&self, found: &[u32]) -> bool {
        found.iter().any(|oid| self.relation(*oid).is_some_and(Relation::builtin))
    }

    fn first_in_path(&self, name: &str, schemas: &[Arc<str>]) -> Vec<&Relation> {
        if !self.by_name.contains_key(name) {
            return Vec::new();
        }
        let lists = |wanted: &str| schemas.iter().any(|schema| &**schema == wanted);
        if !lists("pg_temp") {
            let temporary: Vec<_> = self.named(name).filter(|r| r.temp).collect();
            if !temporary.is_empty() {
                // Whose temporary table it is cannot be told from here, so the stored one of the
                // same name may be meant as well.
                let stored = self.stored_in_path(name, schemas, &lists);
                return temporary.into_iter().chain(stored).collect();
            }
        }
        self.stored_in_path(name, schemas, &lists).into_iter().collect()
    }

    fn stored_in_path(
        &self,
        name: &str,
        schemas: &[Arc<str>],
        lists: &dyn Fn(&str) -> bool,
    ) -> Option<&Relation> {
        let implicit = (!lists("pg_catalog")).then_some("pg_catalog");
        for schema in implicit.into_iter().chain(schemas.iter().map(|schema| &**schema)) {
            let found = self.named(name).find(|relation| match schema {
                "pg_temp" => relation.temp,
                schema => &*relation.schema == schema,
            });
            if found.is_some() || schema == "pg_catalog" && self.ships_relation(name) {
                return found;
            }
        }
        None
    }

    /// Whether `pg_catalog` has a table or view of this name.
    #[must_use]
    pub fn ships_relation(&self, name: &str) -> bool {
        self.builtin_relations.contains(name)
    }

    /// Relations that inherit from `oid` or are partitions of it, one level down.
    #[must_use]
    pub fn children(&self, oid: u32) -> &[u32] {
        self.children.get(&oid).map_or(&[], Vec::as_slice)
    }

    /// Every live column of every relation.
    pub fn all_columns(&self) -> impl Iterator<Item = (ColumnId, &Relation, &StoredColumn)> {
        self.data.relations.iter().flat_map(|relation| {
            relation.columns.iter().filter(|column| !column.dropped).map(move |column| {
                (ColumnId { relation: relation.oid, attnum: column.attnum }, relation, column)
            })
        })
    }

    /// A column by its identity.
    #[must_use]
    pub fn column(&self, id: ColumnId) -> Option<(&Relation, &StoredColumn)> {
        let relation = self.relation(id.relation)?;
        let column = relation.columns.iter().find(|column| column.attnum == id.attnum)?;
        Some((relation, column))
    }

    /// Functions called `name`, in any schema.
    pub fn functions(&self, name: &str) -> impl Iterator<Item = &Function> {
        self.functions_by_name
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|index| self.data.functions.get(*index))
    }

    /// The function with this `pg_proc.oid`.
    #[must_use]
    pub fn function(&self, oid: u32) -> Option<&Function> {
        self.functions_by_oid.get(&oid).and_then(|index| self.data.functions.get(*index))
    }

    /// Where the lineage of a relation is kept once it is known.
    pub(crate) fn lineage(&self, oid: u32) -> Option<&OnceLock<Arc<Lineage>>> {
        self.by_oid.get(&oid).and_then(|index| self.lineage.get(*index))
    }

    /// Functions behind the operators called `name` that do not ship with PostgreSQL.
    #[must_use]
    pub fn operators(&self, name: &str) -> &[u32] {
        self.operators_by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// A type that does not ship with PostgreSQL; `None` for a row type too.
    #[must_use]
    pub fn type_kind(&self, oid: u32) -> Option<TypeKind> {
        self.type_of(oid).map(|found| found.kind)
    }

    /// The same, with its name.
    pub(crate) fn type_of(&self, oid: u32) -> Option<&Type> {
        self.types.get(&oid).and_then(|index| self.data.types.get(*index))
    }

    /// Types of this name that do not ship with PostgreSQL, row types left out.
    pub(crate) fn types_named(&self, name: &str) -> &[u32] {
        self.types_by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether anybody made a type of this name. Every relation has a row type of its name.
    #[must_use]
    pub fn has_type_named(&self, name: &str) -> bool {
        self.types_by_name.contains_key(name) || self.by_name.contains_key(name)
    }

    /// Whether a type of this name is more than the row type of a relation.
    pub(crate) fn has_type_made(&self, name: &str) -> bool {
        self.types_by_name.contains_key(name)
    }

    /// Whether a session can take this name for a table of its own, and what the name means stays
    /// known: no type has it, and no relation but temporary and dropped ones. Temporary ones of
    /// other sessions cannot be named here; what else has it is looked at beside the new one,
    /// whichever is meant.
    #[must_use]
    pub fn is_free(&self, name: &str) -> bool {
        self.is_free_but_for(name, |_| false)
    }

    /// The same in this schema, where the session has tables of its own: those in other schemas are
    /// looked at beside it as well.
    pub(crate) fn is_free_in(&self, schema: &str, name: &str) -> bool {
        let is_own = |of: &Relation| of.oid >= crate::own::FIRST_OID && &*of.schema != schema;
        self.is_free_but_for(name, is_own)
    }

    fn is_free_but_for(&self, name: &str, other: impl Fn(&Relation) -> bool) -> bool {
        let taken = |of: &Relation| !of.temp && !self.is_dropped(of.oid) && !other(of);
        !self.types_by_name.contains_key(name) && !self.named(name).any(taken)
    }

    /// Functions behind casts to types of this name.
    #[must_use]
    pub fn casts(&self, to: &str) -> &[u32] {
        self.casts.get(to).map_or(&[], Vec::as_slice)
    }

    /// All functions.
    pub(crate) fn all_functions(&self) -> impl Iterator<Item = &Function> {
        self.data.functions.iter()
    }

    /// All casts that call functions.
    pub(crate) fn all_casts(&self) -> impl Iterator<Item = &Cast> {
        self.data.casts.iter()
    }

    /// What takes part when `column` is written.
    #[must_use]
    pub fn ties(&self, column: ColumnId) -> &[(ColumnId, TieKind)] {
        self.ties.get(&column).map_or(&[], Vec::as_slice)
    }

    /// Columns of keys that a sequence of this name fills; those of any without a name.
    pub(crate) fn filled_by<'a>(
        &'a self,
        sequence: Option<&'a str>,
    ) -> impl Iterator<Item = ColumnId> + 'a {
        let is_meant = move |name: &str| sequence.is_none_or(|sequence| sequence == name);
        self.sequences.iter().filter(move |(name, _)| is_meant(name)).map(|(_, id)| *id)
    }

    /// Whether `column` takes part in a constraint with another, on either side.
    pub(crate) fn is_tied(&self, column: ColumnId) -> bool {
        self.tied.contains(&column)
    }

    /// Foreign keys to columns of `relation`, and what they do when those change or go.
    #[must_use]
    pub fn referencing(&self, relation: u32) -> &[Tie] {
        self.referencing.get(&relation).map_or(&[], Vec::as_slice)
    }

    /// All foreign keys.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Tie> {
        self.referencing.values().flatten().filter(|tie| tie.by == TieKind::Reference)
    }

    /// Whether PostgreSQL itself ships a function called `name`, as far as the snapshot says.
    #[must_use]
    pub fn ships_function(&self, name: &str) -> bool {
        if self.builtin_functions.is_empty() {
            crate::known::ships(name)
        } else {
            self.builtin_functions.contains(name)
        }
    }
}

/// Where unqualified names are looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SearchPath {
    /// Schemas in order, `"$user"` already replaced, schemas that do not exist left out or in.
    Known(Vec<Arc<str>>),
    /// The session changed it in a way that was not followed: an unqualified name is then every
    /// relation of that name.
    Unknown,
}

impl SearchPath {
    /// A known path.
    #[must_use]
    pub fn of(schemas: &[&str]) -> Self {
        Self::Known(schemas.iter().map(|schema| Arc::from(*schema)).collect())
    }
}

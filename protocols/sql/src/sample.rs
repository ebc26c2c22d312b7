//! A small catalog for tests and fuzzing, and short ways to write one.

use std::sync::Arc;

use crate::catalog::{
    Catalog, CatalogData, Fill, Function, Operator, Relation, RelationKind, StoredColumn,
};

impl Relation {
    /// A relation with these columns, each a name and a `pg_type.oid`.
    #[must_use]
    pub fn new(
        oid: u32,
        kind: RelationKind,
        schema: &str,
        name: &str,
        columns: &[(&str, u32)],
    ) -> Self {
        let columns = columns.iter().zip(1..).map(|((name, type_oid), attnum)| StoredColumn {
            attnum,
            name: Arc::from(*name),
            type_oid: *type_oid,
            type_len: -1,
            dropped: false,
            unique: false,
            generated: None,
            default: None,
            fill: None,
            indexed: false,
            row_of: 0,
            collated: false,
        });
        Self {
            oid,
            schema: schema.into(),
            name: name.into(),
            kind,
            columns: columns.collect(),
            definition: None,
            parents: Vec::new(),
            temp: false,
            row_security: false,
        }
    }

    /// The same, a view with this definition.
    #[must_use]
    pub fn defined(mut self, definition: &str) -> Self {
        self.definition = Some(definition.into());
        self
    }

    /// The same, with these columns part of a unique or foreign key.
    #[must_use]
    pub fn keyed(mut self, names: &[&str]) -> Self {
        for column in &mut self.columns {
            column.unique |= names.contains(&&*column.name);
        }
        self
    }

    /// The same, with these columns in an index.
    #[must_use]
    pub fn indexed(mut self, names: &[&str]) -> Self {
        for column in &mut self.columns {
            column.indexed |= names.contains(&&*column.name);
        }
        self
    }

    /// The same, with a column that is filled where a statement does not.
    #[must_use]
    pub fn filled(mut self, name: &str, fill: &Fill) -> Self {
        for column in self.columns.iter_mut().filter(|column| &*column.name == name) {
            column.fill = Some(fill.clone());
        }
        self
    }

    /// The same, a child of these relations.
    #[must_use]
    pub fn under(mut self, parents: &[u32]) -> Self {
        self.parents = parents.to_vec();
        self
    }
}

impl Function {
    /// A function of one's own in schema `public`, volatile, that returns one text.
    #[must_use]
    pub fn new(oid: u32, name: &str, language: &str, body: Option<&str>) -> Self {
        Self {
            oid,
            schema: "public".into(),
            name: name.into(),
            language: language.into(),
            volatility: 'v',
            builtin: false,
            body: body.map(Arc::from),
            arg_types: Vec::new(),
            arg_names: Vec::new(),
            out_names: Vec::new(),
            returns_set: false,
            return_type: TEXT,
            return_relation: 0,
            defaults: None,
            aggregate: false,
            may_define: false,
            own_path: false,
        }
    }

    /// The same, taking arguments of these names, all of them text.
    #[must_use]
    pub fn taking(mut self, names: &[&str]) -> Self {
        self.arg_types = vec![TEXT; names.len()];
        self.arg_names = names.iter().map(|name| Arc::from(*name)).collect();
        self
    }

    /// The same, returning a set of rows with these columns.
    #[must_use]
    pub fn returning(mut self, names: &[&str]) -> Self {
        self.out_names = names.iter().map(|name| Arc::from(*name)).collect();
        self.returns_set = true;
        self.return_type = RECORD;
        self
    }
}

/// Types of `pg_type.dat`.
const INT4: u32 = 23;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;
const TIMESTAMPTZ: u32 = 1184;
const RECORD: u32 = 2249;

/// A catalog for tests and fuzzing: a shop with customers and their secrets, orders, notes, a
/// partitioned table, views and functions over them.
#[must_use]
pub fn sample() -> Catalog {
    Catalog::new(data())
}

fn data() -> CatalogData {
    use RelationKind::{MaterializedView, Partitioned, Table, View};
    let person: &[(&str, u32)] = &[
        ("id", INT4),
        ("name", TEXT),
        ("email", TEXT),
        ("ssn", TEXT),
        ("credit_card", TEXT),
        ("age", INT4),
        ("created_at", TIMESTAMPTZ),
    ];
    let mut customers = Relation::new(20_001, Table, "public", "customers", person);
    customers = customers.keyed(&["id", "ssn"]);
    let order: &[(&str, u32)] =
        &[("id", INT4), ("customer_id", INT4), ("total", NUMERIC), ("placed_at", TIMESTAMPTZ)];
    let mut contacts = Relation::new(
        20_010,
        Table,
        "public",
        "contacts",
        &[("id", INT4), ("gone", TEXT), ("ssn", TEXT), ("ssn_tail", TEXT)],
    );
    if let [_, gone, _, tail] = contacts.columns.as_mut_slice() {
        gone.dropped = true;
        tail.generated = Some("\"right\"(ssn, 4)".into());
    }
    let relations = vec![
        customers,
        Relation::new(20_002, Table, "public", "orders", order).keyed(&["id", "customer_id"]),
        Relation::new(20_003, Table, "public", "notes", &[("id", INT4), ("body", TEXT)]),
        Relation::new(20_004, Table, "app", "customers", &[("id", INT4), ("label", TEXT)]),
        Relation::new(
            20_005,
            View,
            "public",
            "people",
            &[("id", INT4), ("who", TEXT), ("code", TEXT)],
        )
        .defined("SELECT id, name AS who, ssn AS code FROM public.customers"),
        Relation::new(20_006, View, "public", "tails", &[("id", INT4), ("tail", TEXT)])
            .defined("SELECT people.id, \"right\"(people.code, 4) AS tail FROM public.people"),
        Relation::new(
            20_007,
            MaterializedView,
            "public",
            "totals",
            &[("id", INT4), ("sum", NUMERIC)],
        )
        .defined(
            "SELECT c.id, sum(o.total) AS sum FROM public.customers c JOIN public.orders o \
                 ON o.customer_id = c.id GROUP BY c.id",
        ),
        Relation::new(20_008, Partitioned, "public", "events", &[("id", INT4), ("ssn", TEXT)]),
        Relation::new(20_009, Table, "public", "events_1", &[("id", INT4), ("ssn", TEXT)])
            .under(&[20_008]),
        contacts,
        Relation::new(20_011, View, "public", "opaque_people", &[("id", INT4), ("x", TEXT)])
            .defined("SELECT id, public.steady(name) AS x FROM public.customers"),
        Relation::new(20_012, Table, "public", "vault", &[("ssn", TEXT), ("ref", TEXT)])
            .keyed(&["ssn"]),
        Relation::new(20_013, Table, "app", "badges", &[("id", INT4), ("serial", TEXT)])
            .keyed(&["serial"])
            .indexed(&["serial"]),
        Relation::new(
            12_000,
            View,
            "pg_catalog",
            "pg_stats",
            &[("attname", 19), ("most_common_vals", 2277)],
        ),
    ];
    let mut immutable = Function::new(30_004, "soundslike", "c", None).taking(&["a", "b"]);
    immutable.volatility = 'i';
    let mut steady = Function::new(30_007, "steady", "c", None).taking(&["x"]);
    steady.volatility = 's';
    let functions = vec![
        steady,
        Function::new(30_001, "plain", "plpgsql", None).taking(&["x"]),
        Function::new(
            30_002,
            "ssn_of",
            "sql",
            Some("SELECT ssn FROM public.customers WHERE id = $1::int"),
        )
        .taking(&["who"]),
        Function::new(
            30_003,
            "everyone",
            "sql",
            Some("BEGIN ATOMIC\n SELECT customers.id, customers.ssn FROM public.customers;\nEND"),
        )
        .returning(&["id", "number"]),
        immutable,
        Function::new(30_005, "greet", "sql", Some("SELECT 'hello ' || who")).taking(&["who"]),
        Function::new(30_006, "wipe", "sql", Some("DELETE FROM public.notes")).taking(&[]),
    ];
    CatalogData {
        version: 1,
        relations,
        functions,
        builtin_functions: Vec::new(),
        builtin_relations: Vec::new(),
        operators: vec![Operator { name: "===".into(), function: 30_001 }],
        types: Vec::new(),
        casts: Vec::new(),
        ties: Vec::new(),
    }
}

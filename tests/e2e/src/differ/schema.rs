//! The tables of `sql/differ.sql`, as the generator knows them.

/// A kind of value. Types that PostgreSQL converts by itself are one kind.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `text`, `varchar(n)`, a domain over it.
    Text,
    /// `int4`.
    Int,
    /// `int8`.
    Big,
    /// `numeric`.
    Number,
    /// `bool`.
    Bool,
    /// `date`.
    Date,
    /// `timestamptz`.
    Time,
    /// `uuid`.
    Uuid,
    /// `jsonb`.
    Json,
    /// `bytea`.
    Bytes,
    /// `text[]`.
    Texts,
    /// The enum `mood`.
    Mood,
    /// The composite `pair`.
    Pair,
    /// Anything that can be cast to `text`: a column known by its place only.
    Any,
}

impl Kind {
    /// Kinds, the plainest first.
    pub const ALL: [Self; 13] = [
        Self::Text,
        Self::Int,
        Self::Big,
        Self::Number,
        Self::Bool,
        Self::Date,
        Self::Time,
        Self::Uuid,
        Self::Json,
        Self::Bytes,
        Self::Texts,
        Self::Mood,
        Self::Pair,
    ];

    /// Its name in a cast, and in the holes of templates.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "int",
            Self::Big => "int8",
            Self::Number => "numeric",
            Self::Bool => "bool",
            Self::Date => "date",
            Self::Time => "timestamptz",
            Self::Uuid => "uuid",
            Self::Json => "jsonb",
            Self::Bytes => "bytea",
            Self::Texts => "text[]",
            Self::Mood => "mood",
            Self::Pair => "pair",
            Self::Any => "unknown",
        }
    }

    /// The kind a template's hole names.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A column.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is masked for the principal with masks.
    pub masked: bool,
}

/// A table, view or function that may stand in FROM.
#[derive(Clone, Copy, Debug)]
pub struct Relation {
    /// What stands in FROM.
    pub from: &'static str,
    /// `name kind` of its columns; a masked one ends in `*`.
    columns: &'static str,
    /// The column that tells its rows apart.
    pub key: Option<&'static str>,
    /// Rows may be written.
    pub table: bool,
}

const fn relation(
    from: &'static str,
    columns: &'static str,
    key: Option<&'static str>,
    table: bool,
) -> Relation {
    Relation { from, columns, key, table }
}

const PERSON: &str = "id int, name text, dept text, cap int, note text, joined date, ssn text*, \
    email text*, phone text*, badge text*, pin int*, card int8*, salary numeric*, born date*, \
    seen timestamptz*, token uuid*, profile jsonb*, raw bytea*, tags text[]*, grade mood*, \
    home pair*, vip bool*, twin text*";

/// Everything that a statement may read.
pub const RELATIONS: &[Relation] = &[
    relation("person", PERSON, Some("id"), true),
    relation(
        "plain",
        "id int, body text, n int, amount numeric, d date, at timestamptz, j jsonb, tags text[], \
         small int, kind mood, ok bool, u uuid, raw bytea, spot pair, big int8",
        Some("id"),
        true,
    ),
    relation(
        "orders",
        "id int, person int, amount numeric, state mood, placed timestamptz, memo text*, fee int8*",
        Some("id"),
        true,
    ),
    relation("dept", "dept text, head text, budget int", Some("dept"), true),
    relation("refs", "id int, label text, ssn_ref text*", Some("id"), true),
    relation("event", "id int, region text, amount int*, label text", Some("id"), true),
    relation("event_eu", "id int, region text, amount int*, label text", Some("id"), true),
    relation("animal", "id int, name text, chip text*", Some("id"), true),
    relation("ONLY animal", "id int, name text, chip text*", Some("id"), true),
    relation("dog", "id int, name text, chip text*, breed text", Some("id"), true),
    relation(
        "v_person",
        "id int, name text, s text*, salary numeric*, p int*, dept text",
        Some("id"),
        false,
    ),
    relation("v_nested", "i int, word text*, dotted text, head text", Some("i"), false),
    relation("v_open", "id int, name text, head text, cap int", Some("id"), false),
    relation("v_made", "id int, up text*, bang text*, half int*, name text", Some("id"), false),
    relation("v_union", "id int, v text*", Some("id"), false),
    relation("mv_person", "id int, s text*, name text, card int8*", Some("id"), false),
    relation("names()", "i int, who text", Some("i"), false),
    relation("ssns()", "i int, s text*", Some("i"), false),
    relation("people()", PERSON, Some("id"), false),
    relation("ssn_of(2)", "ssn_of text*", None, false),
    relation("one_pair()", "l text, r int8", None, false),
    relation("set_pair()", "l text, r int8", None, false),
    relation("same(ROW('x', 1)::pair)", "l text, r int8", None, false),
    relation("unnest(ARRAY[ROW('x', 1)::pair])", "l text, r int8", None, false),
    relation("COALESCE(ROW('x', 1)::pair)", "l text, r int8", None, false),
    relation("json_populate_record(NULL::pair, '{}')", "l text, r int8", None, false),
    relation("json_populate_record(NULL::orders, '{}')", "memo text, id int", None, false),
    relation("unnest(ARRAY['a', 'b'], ARRAY[1, 2])", "", None, false),
    relation("jsonb_each('{}')", "key text, value jsonb", None, false),
    relation("generate_series(1, 4)", "generate_series int", Some("generate_series"), false),
];

impl Relation {
    /// Its columns.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        let column = |word: &str| {
            let (name, kind) = word.trim().split_once(' ')?;
            let masked = kind.ends_with('*');
            let kind = Kind::named(kind.trim_end_matches('*'))?;
            Some(Column { name: name.to_owned(), kind, masked })
        };
        self.columns.split(',').filter_map(column).collect()
    }

    /// Whether one of its columns is masked.
    #[must_use]
    pub fn masked(&self) -> bool {
        self.columns.contains('*')
    }
}

/// Masks: how, and what.
pub const MASKS: [(&str, &[&str]); 4] = [
    (
        "redact",
        &[
            "person.ssn",
            "person.badge",
            "person.born",
            "person.seen",
            "person.profile",
            "person.tags",
            "person.home",
            "orders.memo",
            "animal.chip",
        ],
    ),
    ("hash", &["person.email", "person.card", "person.salary", "person.token", "person.raw"]),
    ("partial", &["person.phone"]),
    ("null", &["person.pin", "person.grade", "person.vip", "orders.fee", "event.amount"]),
];

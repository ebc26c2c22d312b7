//! The questions asked of a catalog, PostgreSQL 13 to 18.
//!
//! A fresh session's search path may put anybody's schema before `pg_catalog`, so the questions
//! asked under it call nothing that is not qualified, operators included. All others are asked
//! under an empty search path, where everything unqualified is PostgreSQL's own.

use std::fmt::Write as _;

/// Parts of a reading, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    SearchPath,
    Facts,
    Fingerprint,
    Relations,
    Columns,
    Keys,
    Ties,
    Indexed,
    RowTypes,
    Fills,
    Parents,
    Locks,
    Definitions,
    Generated,
    Defaults,
    Functions,
    BuiltinFunctions,
    Operators,
    Casts,
    Types,
    End,
}

impl Part {
    pub const FIRST: Self = Self::SearchPath;

    pub const fn next(self) -> Option<Self> {
        Some(match self {
            Self::SearchPath => Self::Facts,
            Self::Facts => Self::Fingerprint,
            Self::Fingerprint => Self::Relations,
            Self::Relations => Self::Columns,
            Self::Columns => Self::Keys,
            Self::Keys => Self::Ties,
            Self::Ties => Self::Indexed,
            Self::Indexed => Self::RowTypes,
            Self::RowTypes => Self::Fills,
            Self::Fills => Self::Parents,
            Self::Parents => Self::Locks,
            Self::Locks => Self::Definitions,
            Self::Definitions => Self::Generated,
            Self::Generated => Self::Defaults,
            Self::Defaults => Self::Functions,
            Self::Functions => Self::BuiltinFunctions,
            Self::BuiltinFunctions => Self::Operators,
            Self::Operators => Self::Casts,
            Self::Casts => Self::Types,
            Self::Types => Self::End,
            Self::End => return None,
        })
    }
}

/// What later questions depend on.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub server_version_num: i32,
    /// The oldest transaction that was in progress.
    pub base: u64,
    /// Relations that somebody holds or wants an exclusive lock on.
    pub locked: Vec<u32>,
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;";

/// Only for the transaction: whatever pools connections before the server gets them back as they
/// were. The lock timeout is for definitions, which lock what they mention.
const SETTINGS: &str = "SET LOCAL search_path = '';\
     SET LOCAL client_min_messages = error;\
     SET LOCAL lock_timeout = '2s';\
     SET LOCAL statement_timeout = '30s';\
     SET LOCAL jit = off;\
     SET LOCAL quote_all_identifiers = off;\
     SET LOCAL standard_conforming_strings = on;\
     SET LOCAL bytea_output = hex;\
     SET LOCAL \"DateStyle\" = 'ISO';\
     SET LOCAL \"IntervalStyle\" = 'postgres';\
     SET LOCAL extra_float_digits = 1;";

/// Whether any transaction finished, and how many of these locks are still held or wanted.
pub(super) fn check(locked: &[u32]) -> String {
    let locked = if locked.is_empty() {
        "0".to_owned()
    } else {
        format!(
            "(SELECT pg_catalog.count(DISTINCT l.relation) FROM pg_catalog.pg_locks l \
             WHERE {EXCLUSIVE} AND {})",
            any_of("l.relation", locked)
        )
    };
    format!("SELECT pg_catalog.pg_current_snapshot(), pg_catalog.pg_is_in_recovery(), {locked}")
}

/// Row versions of the catalog, for comparison with those of the newest snapshot.
pub(super) fn compare(base: u64) -> String {
    format!("{BEGIN}{SETTINGS}{}; COMMIT", fingerprint(base))
}

/// The question for one part of a reading.
pub(super) fn text(part: Part, context: &Context) -> String {
    match part {
        // Ends what an earlier attempt left.
        Part::SearchPath => format!(
            "ROLLBACK; {BEGIN} \
             SELECT s.name FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS s (name)"
        ),
        Part::Facts => format!("{SETTINGS}{FACTS}"),
        Part::Fingerprint => fingerprint(context.base),
        Part::Relations => RELATIONS.to_owned(),
        Part::Columns => COLUMNS.to_owned(),
        Part::Keys => KEYS.to_owned(),
        Part::Ties => ties(),
        Part::Indexed => format!("{IN_INDEX} SELECT DISTINCT k.relation, k.attnum FROM indexed k"),
        Part::RowTypes => ROW_TYPES.to_owned(),
        Part::Fills => FILLS.to_owned(),
        Part::Parents => PARENTS.to_owned(),
        Part::Locks => format!("SELECT DISTINCT l.relation FROM pg_locks l WHERE {EXCLUSIVE}"),
        Part::Definitions => definitions(&context.locked),
        Part::Generated => generated(&context.locked),
        Part::Defaults => defaults(&context.locked),
        Part::Functions => functions(context.server_version_num, &context.locked),
        Part::BuiltinFunctions => BUILTIN.to_owned(),
        Part::Operators => OPERATORS.to_owned(),
        Part::Casts => CASTS.to_owned(),
        Part::Types => types(),
        Part::End => "COMMIT".to_owned(),
    }
}

/// An exclusive lock in this database, held or waited for: either makes a reader wait.
const EXCLUSIVE: &str = "l.locktype OPERATOR(pg_catalog.=) 'relation' \
     AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock' \
     AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d \
         WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())";

/// Who could reset the role back to is counted too.
const FACTS: &str = "SELECT current_setting('server_version_num'), current_user, \
     (SELECT bool_or(r.rolsuper) FROM pg_roles r WHERE r.rolname IN (current_user, session_user)), \
     pg_current_snapshot(), \
     (SELECT string_agg(concat(s.name, '=', s.setting), ' ' ORDER BY s.name) FROM pg_settings s \
      WHERE s.name LIKE '%\\_cost' AND s.vartype = 'real' AND s.context = 'user')";

/// The catalogs a snapshot is made of, and memberships, which decide what of a search path a role
/// may use. None of them is changed by routine vacuuming or analysing, which update `pg_class` in
/// place.
const WATCHED: [&str; 15] = [
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_cast",
    "pg_class",
    "pg_constraint",
    "pg_index",
    "pg_inherits",
    "pg_namespace",
    "pg_operator",
    "pg_policy",
    "pg_proc",
    "pg_rewrite",
    "pg_statistic_ext",
    "pg_type",
];

/// The snapshot, the settings new sessions start with, and the row versions of the catalog.
///
/// Whatever changed since is a row gone, which changes the count, or a row written by a transaction
/// that was not visible then and so is not older than `base`, which changes the sum. Only those
/// rows are hashed: most of a large catalog is old.
fn fingerprint(base: u64) -> String {
    // 32 bits of the 64 are stored in a row.
    let base = base & u64::from(u32::MAX);
    let mut text = String::from(
        "SELECT pg_current_snapshot(), \
         concat_ws(' ', current_user, (SELECT string_agg(concat_ws(':', s.setdatabase, s.setrole, \
             hashtextextended(s.setconfig::text, 0)), ' ' ORDER BY s.setdatabase, s.setrole) \
           FROM pg_db_role_setting s WHERE s.setdatabase IN \
               (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) \
             AND s.setrole IN \
               (0, (SELECT r.oid FROM pg_roles r WHERE r.rolname = session_user)))), \
         concat_ws(' ', (SELECT string_agg(r.rolsuper::text, ',' ORDER BY r.rolname) \
           FROM pg_roles r WHERE r.rolname IN (current_user, session_user))",
    );
    for name in WATCHED {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            ", (SELECT concat_ws('/', count(*), \
                 sum(hashtextextended(concat_ws(' ', t.xmin, t.ctid), 0)) \
                     FILTER (WHERE age(t.xmin) <= (SELECT age('{base}'::xid)))) \
               FROM {name} t)"
        );
    }
    text.push(')');
    text
}

/// Every relation with columns that a statement can name. Those of PostgreSQL itself are left out,
/// but for `pg_attribute`, one of whose columns holds values of others.
const RELATIONS: &str = "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence = 't', \
         c.relrowsecurity \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE (c.oid >= 16384 OR c.oid = 1249) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'S')";

const COLUMNS: &str = "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attlen, \
         a.attisdropped, a.attgenerated <> '', a.attcollation >= 16384 \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
     WHERE (a.attrelid >= 16384 OR a.attrelid = 1249) AND a.attnum > 0 \
         AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'S') \
     ORDER BY a.attrelid, a.attnum";

/// Columns that cannot be written without being compared with what is stored: those of unique and
/// exclusion indexes, of their expressions and conditions, and of foreign keys.
const KEYS: &str = "SELECT i.indrelid, k.attnum::int4 FROM pg_index i \
         CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) \
     WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384 \
         AND k.place <= i.indnkeyatts AND k.attnum > 0 \
     UNION SELECT d.refobjid, d.refobjsubid FROM pg_index i JOIN pg_depend d \
         ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid \
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid \
     WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384 AND d.refobjsubid > 0 \
         AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) \
     UNION SELECT c.conrelid, k.attnum::int4 FROM pg_constraint c \
         CROSS JOIN LATERAL unnest(c.conkey) AS k (attnum) \
     WHERE c.contype IN ('f', 'p', 'u', 'x') AND c.conrelid >= 16384 AND k.attnum > 0";

/// Every column of every index, and how it is in it: as a key, beside the keys, or in its
/// expressions and condition. A whole row there is in no dependency, and is every column.
const IN_INDEX: &str = "WITH RECURSIVE indexed (index, relation, attnum, is_plain) AS ( \
         SELECT i.indexrelid, i.indrelid, k.attnum::int4, true FROM pg_index i \
             CROSS JOIN LATERAL unnest(i.indkey::int2[]) AS k (attnum) \
         WHERE i.indrelid >= 16384 AND k.attnum > 0 \
         UNION SELECT i.indexrelid, i.indrelid, d.refobjsubid, false FROM pg_index i \
             JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid \
             AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid \
         WHERE i.indrelid >= 16384 AND d.refobjsubid > 0 \
             AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) \
         UNION SELECT i.indexrelid, i.indrelid, a.attnum::int4, false FROM pg_index i \
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0 \
         WHERE i.indrelid >= 16384 \
             AND concat(i.indexprs, ' ', i.indpred) LIKE '%:varattno 0 %')";

/// The columns by which rows are put into partitions, in every table of the tree. Those in
/// expressions depend on the table, not it on them.
const ROUTED: &str = "tree (root, relation) AS ( \
         SELECT p.partrelid, p.partrelid FROM pg_partitioned_table p WHERE p.partrelid >= 16384 \
         UNION SELECT t.root, i.inhrelid FROM tree t \
             JOIN pg_inherits i ON i.inhparent = t.relation), \
     by (root, attnum) AS ( \
         SELECT p.partrelid, k.attnum FROM pg_partitioned_table p \
             CROSS JOIN LATERAL unnest(p.partattrs::int2[]) AS k (attnum) WHERE k.attnum > 0 \
         UNION SELECT p.partrelid, d.objsubid FROM pg_partitioned_table p JOIN pg_depend d \
             ON d.classid = 'pg_class'::regclass AND d.objid = p.partrelid AND d.objsubid > 0 \
             AND d.refclassid = d.classid AND d.refobjid = p.partrelid AND d.refobjsubid = 0), \
     routed (root, relation, attnum) AS ( \
         SELECT t.root, t.relation, a.attnum::int4 FROM by b JOIN tree t ON t.root = b.root \
             JOIN pg_attribute n ON n.attrelid = b.root AND n.attnum = b.attnum \
             JOIN pg_attribute a ON a.attrelid = t.relation AND a.attname = n.attname)";

/// The columns that row security policies read of their own table. A whole row is in no dependency,
/// and is every column.
const RULED: &str = "ruled (policy, relation, attnum) AS ( \
         SELECT p.oid, p.polrelid, d.refobjsubid FROM pg_policy p JOIN pg_depend d \
             ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid \
             AND d.refclassid = 'pg_class'::regclass AND d.refobjid = p.polrelid \
         WHERE p.polrelid >= 16384 AND d.refobjsubid > 0 \
         UNION SELECT p.oid, p.polrelid, a.attnum::int4 FROM pg_policy p \
             JOIN pg_attribute a ON a.attrelid = p.polrelid AND a.attnum > 0 \
         WHERE p.polrelid >= 16384 \
             AND concat(p.polqual, ' ', p.polwithcheck) LIKE '%:varattno 0 %')";

/// Columns that take part when another is written: those of the same unique or exclusion index, its
/// expressions and condition included, those of the same check, and those of foreign keys.
///
/// An index whose expressions or condition read several columns can fail on one when another is
/// written, and so can statistics on expressions when they are gathered; any index can on the
/// length of its row, where what is written can be long. A check that was not validated, or that
/// calls what is not immutable, can fail when any column is written.
fn ties() -> String {
    format!(
        "{IN_INDEX}, {ROUTED}, {RULED}, keyed AS ( \
         SELECT k.*, i.indexprs IS NOT NULL OR i.indpred IS NOT NULL AS is_computed \
             FROM indexed k JOIN pg_index i ON i.indexrelid = k.index \
         WHERE (i.indisunique OR i.indisexclusion) AND (NOT k.is_plain \
             OR k.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))), \
     checks AS ( \
         SELECT c.conrelid, CASE WHEN 0 = ANY (c.conkey) THEN (SELECT array_agg(w.attnum) \
                 FROM pg_attribute w WHERE w.attrelid = c.conrelid AND w.attnum > 0 \
                     AND NOT w.attisdropped) ELSE c.conkey END AS conkey, NOT c.convalidated \
             OR c.conbin::text ~ '\\{{(SQLVALUEFUNCTION|COERCEVIAIO)' OR EXISTS (SELECT FROM \
                 regexp_matches(c.conbin::text, ':(?:op)?funcid (\\d+)', 'g') AS m (found) \
                 JOIN pg_proc p ON p.oid = m.found[1]::oid WHERE p.provolatile <> 'i') AS is_shaky \
             FROM pg_constraint c WHERE c.contype = 'c' AND c.conrelid >= 16384) \
     SELECT a.relation, a.attnum, b.relation, b.attnum, \
         CASE WHEN a.is_computed THEN 'e' ELSE 'k' END \
     FROM keyed a JOIN keyed b ON b.index = a.index AND b.attnum <> a.attnum \
     UNION SELECT a.relation, a.attnum, b.relation, b.attnum, 'c' \
     FROM indexed a JOIN indexed b ON b.index = a.index AND b.attnum <> a.attnum \
     WHERE NOT (a.is_plain AND b.is_plain) OR EXISTS (SELECT FROM pg_attribute l \
         WHERE l.attrelid = a.relation AND l.attnum = a.attnum AND l.attlen < 0 \
             AND NOT EXISTS (SELECT FROM keyed k WHERE k.index = a.index AND k.attnum = b.attnum)) \
     UNION SELECT s.stxrelid, a.refobjsubid, s.stxrelid, b.refobjsubid, 'c' \
     FROM pg_statistic_ext s \
         JOIN pg_depend a ON a.classid = 'pg_statistic_ext'::regclass AND a.objid = s.oid \
         JOIN pg_depend b ON b.classid = a.classid AND b.objid = s.oid \
     WHERE to_jsonb(s) ->> 'stxexprs' IS NOT NULL AND s.stxrelid >= 16384 \
         AND a.refclassid = 'pg_class'::regclass AND a.refobjid = s.stxrelid \
         AND b.refclassid = a.refclassid AND b.refobjid = s.stxrelid \
         AND a.refobjsubid > 0 AND b.refobjsubid > 0 AND a.refobjsubid <> b.refobjsubid \
     UNION SELECT c.conrelid, a.attnum::int4, c.conrelid, b.attnum::int4, \
         CASE WHEN c.is_shaky THEN 'a' ELSE 'c' END \
     FROM checks c CROSS JOIN LATERAL unnest(c.conkey) AS b (attnum) \
         JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum > 0 \
     WHERE b.attnum > 0 AND (c.is_shaky \
         OR (a.attnum = ANY (c.conkey) AND a.attnum <> b.attnum)) \
     UNION SELECT c.conrelid, k.attnum::int4, c.confrelid, k.other::int4, by.kind \
     FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS k (attnum, other) \
         CROSS JOIN LATERAL (VALUES ('f', true), ('d', c.confdeltype = 'c'), \
             ('u', c.confdeltype IN ('n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))) \
             AS by (kind, holds) \
     WHERE c.contype = 'f' AND c.conrelid >= 16384 AND by.holds \
     UNION SELECT c.conrelid, a.attnum::int4, c.conrelid, b.attnum::int4, 'k' \
     FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey) AS a (attnum) \
         CROSS JOIN LATERAL unnest(c.conkey) AS b (attnum) \
     WHERE c.contype = 'f' AND c.conrelid >= 16384 AND a.attnum <> b.attnum \
     UNION SELECT i.indrelid, k.attnum, i.indrelid, k.attnum, 'o' \
     FROM pg_index i JOIN indexed k ON k.index = i.indexrelid \
     WHERE i.indisexclusion AND EXISTS (SELECT FROM pg_constraint c \
         CROSS JOIN LATERAL unnest(c.conexclop) AS e (operator) \
             JOIN pg_operator o ON o.oid = e.operator \
         WHERE c.conindid = i.indexrelid AND c.contype = 'x' AND o.oprname <> '=') \
     UNION SELECT a.relation, a.attnum, b.relation, b.attnum, 'c' \
     FROM ruled a JOIN ruled b ON b.policy = a.policy AND b.attnum <> a.attnum \
     UNION SELECT a.relation, a.attnum, b.relation, b.attnum, \
         CASE WHEN a.attnum = b.attnum THEN 'p' ELSE 'c' END \
     FROM routed a JOIN routed b ON b.relation = a.relation AND b.root = a.root"
    )
}

/// Columns whose values are rows of a relation, in arrays and domains too.
const ROW_TYPES: &str = "SELECT a.attrelid, a.attnum::int4, r.typrelid FROM pg_attribute a \
     JOIN pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_type e \
         ON e.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END \
     LEFT JOIN pg_type f \
         ON f.oid = CASE WHEN e.typtype = 'd' THEN e.typbasetype ELSE e.typelem END \
     CROSS JOIN LATERAL (VALUES (t.typrelid), (e.typrelid), (f.typrelid)) AS r (typrelid) \
     WHERE a.attrelid >= 16384 AND a.attnum > 0 AND r.typrelid >= 16384";

/// What fills columns that a statement leaves out: a constant (`c`), the next number of a sequence
/// (`s`), anything else (`o`). Random identifiers, which nobody can steer, are left out.
const FILLS: &str = "SELECT a.attrelid, a.attnum::int4, \
         CASE WHEN q.count = 1 THEN 's' WHEN q.count > 1 THEN 'o' \
             WHEN f.tree ~ '\\{(SQLVALUEFUNCTION|COERCEVIAIO|NEXTVALUEEXPR)' \
                 OR EXISTS (SELECT FROM \
                 regexp_matches(f.tree, ':(?:op)?funcid (\\d+)', 'g') AS m (found) \
                 JOIN pg_proc p ON p.oid = m.found[1]::oid \
                 WHERE p.provolatile <> 'i' OR p.oid >= 16384) THEN 'o' ELSE 'c' END, q.name \
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     CROSS JOIN LATERAL (SELECT coalesce(d.adbin::text, \
         CASE WHEN t.typtype = 'd' THEN t.typdefaultbin::text END) AS tree) f \
     CROSS JOIN LATERAL (SELECT count(*), min(c.relname) AS name FROM pg_class c \
         WHERE c.relkind = 'S' AND c.oid IN (SELECT p.refobjid FROM pg_depend p \
             WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid \
                 AND p.refclassid = 'pg_class'::regclass \
             UNION SELECT p.objid FROM pg_depend p WHERE p.classid = 'pg_class'::regclass \
                 AND p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid \
                 AND p.refobjsubid = a.attnum AND a.attidentity <> '')) q \
     WHERE a.attrelid >= 16384 AND a.attnum > 0 AND a.attgenerated = '' \
         AND (f.tree IS NOT NULL OR a.attidentity <> '') \
         AND NOT coalesce(f.tree LIKE '%:args <>%' AND EXISTS (SELECT FROM pg_proc p \
             WHERE p.proname IN ('gen_random_uuid', 'uuidv4', 'uuidv7', 'uuid_generate_v4') \
                 AND p.oid = substring(f.tree \
                     FROM '^(?:\\{COERCEVIAIO :arg )?\\{FUNCEXPR :funcid (\\d+) ')::oid), false)";

const PARENTS: &str = "SELECT i.inhrelid, i.inhparent FROM pg_inherits i \
     WHERE i.inhrelid >= 16384 ORDER BY i.inhrelid, i.inhseqno";

/// Names of what ships with PostgreSQL: functions, and the relations of `pg_catalog`.
const BUILTIN: &str = "SELECT DISTINCT p.proname, false FROM pg_proc p WHERE p.oid < 16384 \
     UNION ALL SELECT c.relname, true FROM pg_class c WHERE c.oid < 16384 \
         AND c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v', 'm')";

const OPERATORS: &str = "SELECT o.oprname, o.oprcode::oid FROM pg_operator o WHERE o.oid >= 16384";

const CASTS: &str = "SELECT t.typname, c.castfunc::oid \
     FROM pg_cast c JOIN pg_type t ON t.oid = c.casttarget \
     WHERE c.oid >= 16384 AND c.castfunc <> 0";

fn types() -> String {
    format!(
        "SELECT t.oid, n.nspname, t.typname, t.typtype, t.typbasetype, \
             CASE WHEN t.typlen = -1 AND e.typarray = t.oid THEN t.typelem ELSE 0 END, \
             CASE WHEN t.typtype = 'd' AND {} THEN pg_get_expr(t.typdefaultbin, 0) END \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
             LEFT JOIN pg_type e ON e.oid = t.typelem \
         WHERE t.oid >= 16384 AND t.typtype <> 'c' AND e.typtype IS DISTINCT FROM 'c'",
        calls_own("pg_type", "t.oid")
    )
}

/// Whether a definition calls functions or operators of somebody's own.
fn calls_own(class: &str, object: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_depend p WHERE p.classid = '{class}'::regclass \
         AND p.objid = {object} AND p.refobjid >= 16384 \
         AND p.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass))"
    )
}

/// Describing a view locks what it reads, so it would wait for whoever holds one of `locked`, and
/// everyone else for us. Such a view is listed as blocked instead.
fn definitions(locked: &[u32]) -> String {
    let blocked = if locked.is_empty() {
        "false".to_owned()
    } else {
        format!(
            "{} OR EXISTS (SELECT FROM pg_rewrite r JOIN pg_depend d \
             ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid \
             AND d.refclassid = 'pg_class'::regclass WHERE r.ev_class = c.oid AND {})",
            any_of("c.oid", locked),
            any_of("d.refobjid", locked)
        )
    };
    format!(
        "SELECT c.oid, CASE WHEN NOT b.is_blocked THEN pg_get_viewdef(c.oid) END, b.is_blocked \
         FROM pg_class c CROSS JOIN LATERAL (SELECT {blocked} AS is_blocked) b \
         WHERE c.oid >= 16384 AND c.relkind IN ('v', 'm')"
    )
}

fn generated(locked: &[u32]) -> String {
    format!(
        "SELECT d.adrelid, d.adnum, CASE WHEN NOT b.is_blocked \
             THEN pg_get_expr(d.adbin, d.adrelid) END, b.is_blocked \
         FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
         CROSS JOIN LATERAL (SELECT {} AS is_blocked) b \
         WHERE d.adrelid >= 16384 AND a.attgenerated <> ''",
        any_of("d.adrelid", locked)
    )
}

/// Defaults that call functions or operators of somebody's own, those of domains for columns that
/// have none too.
fn defaults(locked: &[u32]) -> String {
    format!(
        "SELECT a.attrelid, a.attnum, CASE WHEN d.oid IS NULL \
             THEN pg_get_expr(t.typdefaultbin, 0) ELSE pg_get_expr(d.adbin, d.adrelid) END \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid >= 16384 AND a.attnum > 0 AND a.attgenerated = '' AND NOT ({}) \
             AND ({} OR d.oid IS NULL AND t.typtype = 'd' AND {})",
        any_of("a.attrelid", locked),
        calls_own("pg_attrdef", "d.oid"),
        calls_own("pg_type", "t.oid")
    )
}

/// All functions that do not ship with PostgreSQL, and those of PostgreSQL that are not immutable.
///
/// A function with settings of its own can do otherwise than its body says, so that is not given,
/// but for a `search_path`, which only says where names are looked up. Names of arguments are those
/// of input arguments, so that they go with `proargtypes`.
fn functions(server_version_num: i32, locked: &[u32]) -> String {
    let (body, blocked) = if server_version_num < 140_000 {
        ("p.prosrc", "false".to_owned())
    } else {
        let body = "CASE WHEN p.prosqlbody IS NULL THEN p.prosrc \
             WHEN NOT b.is_blocked THEN pg_get_function_sqlbody(p.oid) END";
        let blocked = format!(
            "p.prosqlbody IS NOT NULL AND EXISTS (SELECT FROM pg_depend d \
             WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid \
             AND d.refclassid = 'pg_class'::regclass AND {})",
            any_of("d.refobjid", locked)
        );
        (body, if locked.is_empty() { "false".to_owned() } else { blocked })
    };
    let (inputs, outputs) = (argument_names("'i', 'b', 'v'"), argument_names("'o', 'b', 't'"));
    let defining = sql::change::DEFINING_WORDS.join("|");
    format!(
        "SELECT p.oid, n.nspname, p.proname, l.lanname, p.provolatile, \
             CASE WHEN l.lanname = 'sql' AND (p.proconfig IS NULL OR {OWN_PATH}) THEN {body} END, \
             p.proargtypes, \
             CASE WHEN p.proargmodes IS NULL THEN to_json(p.proargnames)::text \
                 ELSE {inputs} END, \
             CASE WHEN p.proargmodes IS NOT NULL THEN {outputs} END, \
             p.proretset, p.prorettype, \
             p.prokind = 'w' OR p.prokind = 'a' AND NOT {AGGREGATE_IS_NATIVE}, b.is_blocked, \
             CASE WHEN p.pronargdefaults > 0 AND l.lanname = 'sql' AND NOT b.is_blocked \
                 THEN pg_get_expr(p.proargdefaults, 0) END, \
             (SELECT t.typrelid FROM pg_type t WHERE t.oid = p.prorettype), \
             l.lanname NOT IN ('c', 'internal') \
                 AND regexp_replace(p.prosrc, '{PASSING}', ' ', 'gi') ~* '\\m({defining})\\M', \
             p.proconfig IS NOT NULL \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
             JOIN pg_language l ON l.oid = p.prolang \
             CROSS JOIN LATERAL (SELECT {blocked} AS is_blocked) b \
         WHERE p.oid >= 16384 OR p.provolatile <> 'i'"
    )
}

/// What has words of definitions in code and changes nothing for anybody else: comments, and tables
/// of the session.
const PASSING: &str =
    r"--[^\n]*|\mon\s+commit\s+drop\M|\mcreate\s+((global|local)\s+)?temp(orary)?\M";

/// Whether all that a function sets is `search_path`.
const OWN_PATH: &str = "(array_length(p.proconfig, 1) = 1 AND p.proconfig[1] LIKE 'search_path=%')";

/// Whether all functions behind an aggregate are immutable and written in C.
const AGGREGATE_IS_NATIVE: &str = "(SELECT bool_and(f.provolatile = 'i' \
         AND (f.oid < 16384 OR fl.lanname IN ('c', 'internal'))) \
     FROM pg_aggregate g JOIN pg_proc f ON f.oid IN (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, \
         g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn) \
     JOIN pg_language fl ON fl.oid = f.prolang WHERE g.aggfnoid = p.oid)";

/// Names of the arguments with one of these modes, in order, as a JSON array.
fn argument_names(modes: &str) -> String {
    format!(
        "(SELECT json_agg(a.name ORDER BY a.place)::text \
         FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS a (name, mode, place) \
         WHERE a.mode IN ({modes}) AND p.proargnames IS NOT NULL)"
    )
}

/// Whether an oid is one of a list.
fn any_of(expression: &str, oids: &[u32]) -> String {
    if oids.is_empty() {
        return "false".to_owned();
    }
    let list: Vec<_> = oids.iter().map(u32::to_string).collect();
    format!("{expression} OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.oid[])", list.join(","))
}

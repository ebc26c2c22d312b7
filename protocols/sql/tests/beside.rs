//! P3: what the server keeps and compares beside the rows of a table: indexes, defaults, sequences,
//! statistics, and the settings it plans by.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on must say so"
)]

use sql::{
    Catalog, CatalogData, ColumnId, Fill, Options, Predicates, Relation, RelationKind, SearchPath,
    Statements, Tie, TieKind, Untraceable, analyse, exposure, masked_columns,
};

const INT4: u32 = 23;
const TEXT: u32 = 25;

const fn id(relation: u32, attnum: i16) -> ColumnId {
    ColumnId { relation, attnum }
}

/// Masked are the columns called `v`.
fn catalog() -> Catalog {
    use RelationKind::{Table, View};
    let columns: &[(&str, u32)] = &[("id", INT4), ("pub", TEXT), ("v", TEXT)];
    let table = |oid, name| Relation::new(oid, Table, "public", name, columns);
    let serial = Fill::Sequence("serial_v_seq".into());
    let mut holder = table(20_110, "holder");
    holder.columns[1].row_of = 20_101;
    let relations = vec![
        table(20_101, "indexed").indexed(&["v"]),
        table(20_102, "plain"),
        table(20_103, "constant").keyed(&["v"]).filled("v", &Fill::Constant),
        table(20_104, "serial").keyed(&["v"]).filled("v", &serial),
        table(20_105, "steered").keyed(&["v"]).filled("v", &Fill::Other),
        table(20_106, "refers").keyed(&["v"]).filled("v", &serial),
        table(20_107, "expression").keyed(&["pub", "v"]),
        table(20_108, "mixed").indexed(&["pub", "v"]),
        Relation::new(20_109, View, "public", "over_plain", columns)
            .defined("SELECT plain.id, plain.pub, plain.v FROM public.plain OFFSET 0"),
        holder,
        Relation::new(20_111, View, "public", "over_constant", &[("id", INT4)])
            .defined("SELECT constant.id FROM public.constant"),
    ];
    let tie = |from, to, by| Tie { from, to, by };
    let both = |relation, by| {
        vec![tie(id(relation, 2), id(relation, 3), by), tie(id(relation, 3), id(relation, 2), by)]
    };
    let ties = [
        both(20_107, TieKind::Expression),
        both(20_108, TieKind::Check),
        (1..4).map(|attnum| tie(id(20_101, attnum), id(20_101, 3), TieKind::Always)).collect(),
        vec![tie(id(20_106, 3), id(20_103, 3), TieKind::Reference)],
    ];
    Catalog::new(CatalogData { relations, ties: ties.concat(), ..CatalogData::default() })
}

fn parsed(text: &str) -> Statements {
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    analyse(text, &options, &catalog()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn judged(text: &str, allows: Predicates) -> Result<(), Untraceable> {
    let masks = masked_columns(&catalog(), |_, _, column| column == "v");
    for statement in &parsed(text).list {
        exposure(statement, &|id| masks.contains(&id), &|_| allows)?;
    }
    Ok(())
}

/// The places, from 1, of the output columns that are masked.
fn masked_outputs(text: &str) -> Vec<usize> {
    let masks = masked_columns(&catalog(), |_, _, column| column == "v");
    let found = parsed(text);
    let outputs = &found.list.last().unwrap().outputs;
    let columns = outputs.columns.iter().flatten().chain(&outputs.every).zip(1..);
    let columns = columns.filter(|(column, _)| column.deps.iter().any(|id| masks.contains(id)));
    columns.map(|(_, place)| place).collect()
}

fn refused(text: &str, reason: &str) {
    for allows in [Predicates::Refuse, Predicates::Equality] {
        let refusal = judged(text, allows).expect_err(text);
        assert_eq!(refusal.reason, reason, "{text}: {}", refusal.message);
    }
}

fn passes(text: &str) {
    assert_eq!(judged(text, Predicates::Refuse), Ok(()), "{text}");
}

#[test]
fn p3_a_setting_that_steers_by_memory_is_a_plan_setting() {
    for text in [
        "set work_mem = '64kB'",
        "set hash_mem_multiplier = 1",
        "select set_config('temp_buffers', '800kB', false)",
        "set default_statistics_target = 1",
        "set max_parallel_workers_per_gather = 0",
        "set force_parallel_mode = regress",
        "set debug_parallel_query = on",
        "alter role app set work_mem = '64kB'",
    ] {
        if !text.starts_with("alter") {
            refused(text, "plan_setting");
        }
    }
    passes("show work_mem");
    passes("set force_parallel_mode = off");
    passes("set debug_parallel_query to OFF");
    passes("set statement_timeout = 5");
}

#[test]
fn p3_what_the_server_says_of_its_work_is_not_asked_for() {
    for text in [
        "set trace_sort = on",
        "set debug_print_plan = on",
        "set client_min_messages = log",
        "set client_min_messages = 'debug1'",
        "set local client_min_messages to DEBUG5",
        "select set_config('client_min_messages', $1, true)",
        "select set_config('client_min_messages', 'debug', true)",
    ] {
        refused(text, "plan_setting");
    }
    for text in [
        "set client_min_messages = warning",
        "set client_min_messages to notice",
        "set client_min_messages to default",
        "set client_min_messages to 'ERROR'",
        "reset client_min_messages",
    ] {
        passes(text);
    }
}

#[test]
fn p3_counts_that_tell_of_indexes_are_hidden() {
    for (text, places) in [
        ("select relname, n_live_tup, n_tup_hot_upd from pg_stat_user_tables", &[3][..]),
        ("select n_tup_newpage_upd from pg_catalog.pg_stat_all_tables", &[1]),
        ("select s.n_dead_tup, s.n_tup_upd from pg_stat_sys_tables s", &[1]),
        ("select idx_scan, idx_tup_read, idx_tup_fetch from pg_stat_user_indexes", &[2, 3]),
        ("select idx_tup_fetch from pg_stat_all_tables", &[1]),
        ("select relname, reltuples, relkind from pg_class", &[2]),
        (
            "select c.reltuples, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace",
            &[1],
        ),
        ("select c from pg_class c", &[1]),
        ("select row_to_json(s) from pg_stat_user_tables s", &[1]),
        ("select x from (select reltuples x from pg_class) y", &[1]),
    ] {
        passes(text);
        assert_eq!(masked_outputs(text), places, "{text}");
    }
    for (text, reason) in [
        ("select 1 from pg_class where reltuples = 3", "predicate"),
        ("select c.a from pg_class c (a, b, d) where b > '1'", "predicate"),
        ("select relname from pg_class order by reltuples", "predicate"),
        ("select reltuples > 3 from pg_class", "expression"),
        (
            "select 1 from pg_stat_user_tables join (select 3::bigint n_tup_hot_upd) x using (n_tup_hot_upd)",
            "predicate",
        ),
        ("select pg_stat_get_dead_tuples(20101)", "statistics"),
    ] {
        refused(text, reason);
    }
    passes("select c.relname from pg_class c where pg_table_is_visible(c.oid) and c.oid = 3");
    passes("select relname, relkind from pg_class where relname like 'a%' order by relname");
}

#[test]
fn p3_cluster_of_everything_is_a_change_of_each_table() {
    refused("cluster", "redefined");
    refused("cluster verbose", "redefined");
}

#[test]
fn r5_a_default_that_is_written_is_a_guess() {
    for text in [
        "insert into constant (id) values (9)",
        "insert into constant values (9)",
        "insert into constant (id, v) values (9, default)",
        "insert into constant default values",
        "insert into constant (id) select 9 on conflict do nothing",
        "with i as (insert into constant (id) select 9 returning id) select 1",
        "update constant set v = default where id = 2",
        "update constant set (v, pub) = (default, 'x') where id = 2",
        "insert into constant (id, v) values (1, null) on conflict (id) do update set v = default",
        "merge into constant c using (values (9)) x (i) on c.id = x.i when not matched then insert (id) values (9)",
        "merge into constant c using (values (9)) x (i) on c.id = x.i when not matched then insert default values",
        "merge into constant c using (values (9)) x (i) on c.id = x.i when matched then update set v = default",
        "copy constant (id) from stdin",
        "insert into over_constant (id) values (9)",
    ] {
        assert_eq!(judged(text, Predicates::Refuse).expect_err(text).reason, "predicate", "{text}");
        assert!(!parsed(text).list[0].guesses.is_empty(), "{text}");
        let steered = text.replace("constant", "steered");
        if !text.contains("over_") {
            refused(&steered, "predicate");
        }
        // The numbers of a sequence that nobody moves are no guesses.
        if !text.contains("over_") && !text.contains("null") {
            passes(&text.replace("constant", "serial"));
        }
    }
    refused("insert into refers (id) values (9)", "predicate");
    passes("insert into plain (id) values (9)");
}

#[test]
fn p3_the_sequence_of_a_masked_key_is_not_moved() {
    for text in [
        "select setval('serial_v_seq', 41)",
        "select pg_catalog.setval('public.serial_v_seq', 41, false)",
        "select setval('SERIAL_V_SEQ'::regclass, 41)",
        "select nextval('public.\"serial_v_seq\"')",
        "select setval($1, 41)",
        "select setval(oid, 41) from pg_class where relname = 'serial_v_seq'",
        "select nextval(pg_get_serial_sequence('serial', 'v'))",
        "alter sequence serial_v_seq restart 42",
        "truncate plain restart identity",
    ] {
        refused(text, "redefined");
    }
    passes(
        "select nextval('other_id_seq'), setval('public.other_id_seq'::regclass, 4), currval('other_id_seq')",
    );
    passes("truncate plain");
}

#[test]
fn p3_an_expression_of_an_index_is_compared_by_an_insert_too() {
    for text in [
        "insert into expression (id, pub) values (9, 'ab')",
        "insert into expression (id, pub) values (9, 'ab') on conflict do nothing",
        "insert into expression (id, pub, v) values (9, 'ab', '')",
        "insert into expression (id, pub) select 9, 'ab'",
        "copy expression (id, pub) from stdin",
        "merge into expression c using (values (9)) x (i) on c.id = x.i when not matched then insert (id, pub) values (9, 'a')",
    ] {
        assert_eq!(judged(text, Predicates::Refuse).expect_err(text).reason, "predicate", "{text}");
        assert!(!parsed(text).list[0].guesses.is_empty(), "{text}");
    }
}

#[test]
fn p3_an_index_that_can_fail_ties_its_columns() {
    refused("update mixed set pub = 'x' where id = 2", "predicate");
    refused("insert into mixed select 9, 'x', v from mixed where id = 2", "predicate");
    passes("update mixed set id = 3 where id = 2");
    passes("insert into mixed (id, pub, v) values (9, 'x', 'y')");
}

#[test]
fn p3_a_check_that_is_not_certain_ties_every_column() {
    for set in ["id = 100", "id = id", "pub = 'x'", "v = v", "pub = pub, id = id"] {
        refused(&format!("update indexed set {set} where id = 1"), "predicate");
    }
    refused("insert into indexed select 9, 'x', v from indexed", "predicate");
    passes("insert into indexed (id, pub, v) values (9, 'x', 'y')");
}

#[test]
fn p3_a_plan_tells_of_all_that_rows_are_kept_with() {
    for text in [
        "explain update indexed set pub = 'x' from over_plain o where o.id = indexed.id",
        "explain delete from indexed using over_plain o where o.id = indexed.id",
        "explain select i.id from indexed i, over_plain o where o.id = i.id for update of i",
        "explain (analyze, costs off) select i.id from indexed i, over_plain o where o.id = i.id for share",
        "explain merge into indexed i using over_plain o on o.id = i.id when matched then delete",
        // How many entries of the index were gone through.
        "explain (analyze, costs off) select id from indexed where id = 1",
    ] {
        assert_eq!(masked_outputs(text), [1], "{text}");
    }
    assert_eq!(masked_outputs("explain (costs off) select id from over_plain for update"), [0; 0]);
    assert_eq!(masked_outputs("explain select id from over_plain"), [0; 0]);
    assert_eq!(masked_outputs("explain update plain set pub = 'x'"), [0; 0]);
}

#[test]
fn p3_a_column_of_a_row_type_is_hidden_with_the_columns_of_the_row() {
    for text in
        ["select (pub).v from holder", "select pub from holder", "select to_jsonb(pub) from holder"]
    {
        assert_eq!(masked_outputs(text), [1], "{text}");
    }
    assert_eq!(masked_outputs("select id from holder"), [0; 0]);
}

fn digits(text: &str) -> u32 {
    parsed(text).facts.estimate_digits
}

/// Whatever is read again, through whatever name, counts again.
#[test]
fn p3_what_multiplies_rows_is_counted_wherever_it_is() {
    let once = digits("SELECT * FROM plain");
    assert!(once > 0);
    let counted = [
        ("SELECT * FROM plain a, plain b", 2),
        ("SELECT * FROM plain a JOIN plain b USING (id)", 2),
        ("SELECT (SELECT count(*) FROM plain b WHERE b.id > a.id) FROM plain a", 2),
        ("SELECT * FROM plain WHERE id IN (SELECT id FROM plain)", 2),
        ("SELECT * FROM over_plain", 1),
        ("SELECT * FROM over_plain a, over_plain b, plain", 3),
        ("WITH w AS (SELECT * FROM plain) SELECT * FROM w a, w b", 3),
        ("WITH w AS (SELECT * FROM plain a, plain b) SELECT * FROM w", 4),
        ("SELECT * FROM plain UNION ALL SELECT * FROM plain", 2),
        ("UPDATE plain SET pub = 'x' FROM plain p", 2),
        ("DELETE FROM plain", 1),
        ("EXPLAIN SELECT * FROM plain a, plain b", 2),
        ("PREPARE p AS SELECT * FROM plain a, plain b", 2),
    ];
    for (text, times) in counted {
        assert_eq!(digits(text), once * times, "{text}");
    }
    let set = digits("SELECT unnest('{1,2}'::int[])");
    assert!(set > 0);
    assert_eq!(
        digits("SELECT * FROM unnest('{1}'::int[]) a, string_to_table('x', 'y') b"),
        set * 2
    );
    assert_eq!(digits("SELECT jsonb_path_query('{}', '$'), unnest('{1,2}'::int[])"), set * 2);
    assert_eq!(digits("SELECT lower(pub), pg_typeof(id) FROM plain ORDER BY upper(pub)"), once);
    assert!(digits("SELECT * FROM generate_series(1, 9000000000000000000)") > 18);
    assert_eq!(digits("VALUES (1), (2), (3)"), 1);
    // A round of a recursion is ten times what was there before it.
    let recursive = "WITH RECURSIVE w (n) AS (SELECT id FROM plain UNION ALL \
                     SELECT n + 1 FROM w, plain WHERE n < 9) SELECT * FROM w";
    let tree = digits(recursive);
    assert!((once * 4..once * 10).contains(&tree), "{tree}");
    let squared = "WITH RECURSIVE w (n) AS (SELECT id FROM plain UNION ALL (WITH s AS (SELECT n \
                   FROM w) SELECT a.n FROM s a, s b)) SELECT * FROM w";
    assert!(digits(squared) > tree, "{}", digits(squared));
    let early = "WITH RECURSIVE a AS (SELECT * FROM b x, b y), b AS (SELECT * FROM plain) \
                 SELECT * FROM a";
    assert!(digits(early) >= once * 4);
    // Nothing of it may be lost however many there are.
    assert!(digits(&format!("SELECT * FROM plain{}", ", plain".repeat(60))) > 230);
}

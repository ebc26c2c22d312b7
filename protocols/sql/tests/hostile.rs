//! P8: whatever the text, there is an answer: facts or a clear refusal, never a crash. These run on
//! the two megabytes of stack a test thread has.

#![expect(clippy::panic, reason = "a test that cannot go on must say so")]

use std::fmt::Write as _;

use sql::{Options, SearchPath, Statements, Unparsable, analyse, fuzz, sample};

fn with(text: &str, strings_conform: bool) -> Result<Statements, Unparsable> {
    let path = SearchPath::of(&["public"]);
    let options =
        Options { standard_conforming_strings: strings_conform, search_path: &path, role: "app" };
    analyse(text, &options, &sample())
}

fn take(text: &str) -> Result<Statements, Unparsable> {
    with(text, true)
}

#[test]
fn p8_long_chains_and_deep_nesting_have_an_answer() {
    for depth in [40, 100, 127, 128, 200, 500, 1_000, 2_000, 4_000, 10_000, 64_000] {
        let chain = format!("select {}1", "1+".repeat(depth));
        let parens = format!("select {}1{}", "(".repeat(depth), ")".repeat(depth));
        let nots = format!("select {} true", "not ".repeat(depth));
        let casts = format!("select 1{}", "::int".repeat(depth));
        let queries = format!("select {}1{}", "(select ".repeat(depth), ")".repeat(depth));
        let from = format!(
            "select 1 from {}notes{}",
            "(select * from ".repeat(depth),
            ") q".repeat(depth)
        );
        let unions = format!("select 1{}", " union all select 1".repeat(depth));
        let joins = format!("select 1 from notes{}", " cross join notes".repeat(depth));
        let cases =
            format!("select {}1{}", "case when true then ".repeat(depth), " end".repeat(depth));
        let calls = format!("select {}1{}", "upper(".repeat(depth), ")".repeat(depth));
        let arrays = format!("select {}1{}", "array[".repeat(depth), "]".repeat(depth));
        for text in [chain, parens, nots, casts, queries, from, unions, joins, cases, calls, arrays]
        {
            match take(&text) {
                Ok(found) => assert_eq!(&*found.facts.verb, "select"),
                Err(error) => {
                    let start: String = text.chars().take(20).collect();
                    assert!(depth >= 1_000, "{start} × {depth}: {error:?}");
                    let known = ["too_deep", "too_complex"].contains(&error.reason);
                    assert!(known, "{start} × {depth}: {error:?}");
                }
            }
        }
    }
}

#[test]
fn p8_wide_statements_have_an_answer() {
    let columns: Vec<String> = (0..50).map(|n| format!("name || '{n}'")).collect();
    let concatenated = format!("select {} from customers", columns.join(" || "));
    let found = take(&concatenated).unwrap();
    assert_eq!(found.list[0].outputs.columns.as_ref().unwrap().len(), 1);

    let mut insert = String::from("insert into notes values (0, '')");
    for n in 0..5_000 {
        write!(insert, ", ({n}, 'text, with (brackets')").unwrap();
    }
    assert_eq!(take(&insert).unwrap().facts.rows, Some(0));

    let items = format!("select id from {}", vec!["notes"; 20_000].join(", "));
    assert!(take(&items).is_ok());
    let squared = format!(
        "select {} from {}",
        vec!["nowhere_at_all"; 20_000].join(", "),
        vec!["notes"; 20_000].join(", ")
    );
    assert_eq!(take(&squared).unwrap_err().reason, "too_complex");
    let stars = format!("select {} from customers", vec!["*"; 400_000].join(","));
    assert_eq!(take(&stars).unwrap_err().reason, "too_complex");

    let ctes: Vec<String> = (0..5_000).map(|n| format!("c{n} as (select 1)")).collect();
    assert!(take(&format!("with {} select * from c0", ctes.join(", "))).is_ok());
    let recursive: Vec<String> =
        (0..200).map(|n| format!("c{n} as (select * from c{})", n + 1)).collect();
    let chained = format!("with recursive {} select * from c0", recursive.join(", "));
    assert!(take(&chained).is_ok());
}

#[test]
fn p8_a_megabyte_of_comment_or_string_has_an_answer() {
    let comment = format!("select /* {} */ 1", "x ".repeat(512 * 1024));
    assert_eq!(take(&comment).unwrap().list.len(), 1);
    let string = format!("select '{}'", "(".repeat(1024 * 1024));
    assert_eq!(take(&string).unwrap().list.len(), 1);
    let open = format!("select '{}", "x".repeat(1024 * 1024));
    assert_eq!(take(&open).unwrap_err().reason, "syntax");
    // The scanner reads what is left of such a run again at every step.
    let nested = format!("select {} 1", "/*".repeat(500_000));
    assert_eq!(take(&nested).unwrap_err().reason, "too_complex");
    let ruled = format!("/*{}*/ select 1 -- {}", "*".repeat(100_000), "=".repeat(100_000));
    assert_eq!(take(&ruled).unwrap().list.len(), 1);
}

#[test]
fn text_that_is_not_sql_is_refused_with_its_place() {
    let error = take("select 'a\0b'").unwrap_err();
    assert_eq!((error.reason, error.position), ("nul", Some(9)));
    let error = take("selec 1").unwrap_err();
    assert_eq!((error.reason, error.position), ("syntax", Some(0)));
    let error = take("select 1 from").unwrap_err();
    assert_eq!((error.reason, error.position), ("syntax", Some(13)));
    // The word is there before and after its place, in a string and in a name too.
    for (text, place) in [
        ("select ')', (1), a from t where b in (1, ) and c in (2)", 41),
        ("insert into foo values (1) foo, foo", 27),
        ("create table t (a int not nul, b text not nul)", 26),
        ("select 1; select 2 +; select 3", 20),
        ("create table t (a int not null, b int not nul, c text not null)", 42),
    ] {
        let error = take(text).unwrap_err();
        assert_eq!((error.reason, error.position), ("syntax", Some(place)), "{text}");
    }
    assert!(take("").unwrap().list.is_empty());
    assert!(take(" ;; -- x").unwrap().list.is_empty());
}

#[test]
fn strings_are_read_as_the_session_reads_them() {
    // With conforming strings the quote after the backslash ends the string.
    let text = r"select '\', ssn from customers where name = ' or 1=1 --'";
    let on = with(text, true).unwrap();
    assert_eq!(&*on.facts.columns[0], "public.customers.name");
    assert_eq!(on.list[0].outputs.columns.as_ref().unwrap().len(), 2);
    // Without, the string goes on to the next quote and the column is inside it.
    let off = with(text, false).unwrap();
    assert!(off.facts.columns.is_empty());
    let escaped = with(r"select 'it\'s', name from customers", false).unwrap();
    assert_eq!(escaped.list[0].outputs.columns.as_ref().unwrap().len(), 2);
    assert!(with(r"select 'it\'s', name from customers", true).is_err());
    // One setting does not carry over to the next text.
    assert!(with(r"select '\'", true).is_ok());
}

#[test]
fn statements_know_their_place_in_the_text() {
    let text = "select 1; /* é */ update notes set body = 'ü'; ";
    let found = take(text).unwrap();
    let parts: Vec<&str> = found.list.iter().map(|s| text[s.range.clone()].trim()).collect();
    assert_eq!(parts, ["select 1", "update notes set body = 'ü'"]);
}

#[test]
fn names_are_folded_and_cut_as_the_server_does() {
    let found = take("select NAME, \"name\", SSN from CUSTOMERS").unwrap();
    assert_eq!(found.facts.columns.len(), 2);
    let long = "n".repeat(80);
    let found = take(&format!("select * from {long}")).unwrap();
    assert_eq!(found.facts.unresolved[0].len(), 63);
}

#[test]
fn an_unknown_search_path_means_every_relation_of_that_name() {
    let catalog = sample();
    let options = Options {
        standard_conforming_strings: true,
        search_path: &SearchPath::Unknown,
        role: "app",
    };
    let found = analyse("select id, ssn, label from customers", &options, &catalog).unwrap();
    assert_eq!(
        found.facts.reads.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["app.customers", "public.customers"]
    );
    let outputs = found.list[0].outputs.columns.as_ref().unwrap();
    assert_eq!(outputs.iter().map(|column| column.deps.len()).collect::<Vec<_>>(), [2, 1, 1]);
    assert!(outputs.iter().all(|column| column.direct.is_none()));
}

#[test]
fn parsing_in_many_threads_leaves_standard_error_alone() {
    // libpg_query points descriptor 2 elsewhere while it parses.
    let before = std::fs::read_link("/proc/self/fd/2").unwrap();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for n in 0..200 {
                    take(&format!("select {n} from notes where id = {n}")).unwrap();
                }
            });
        }
    });
    assert_eq!(std::fs::read_link("/proc/self/fd/2").unwrap(), before);
}

proptest::proptest! {
    #[test]
    fn p8_any_text_has_an_answer(bytes: Vec<u8>) {
        fuzz(&bytes);
    }

    #[test]
    fn p8_any_run_of_words_has_an_answer(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..24),
        flags: u8,
    ) {
        let mut data = vec![flags];
        data.extend(words.join(" ").into_bytes());
        fuzz(&data);
    }
}

const WORDS: &[&str] = &[
    "select",
    "from",
    "customers",
    "c",
    "where",
    "ssn",
    "=",
    "'1'",
    "(",
    ")",
    ",",
    "*",
    "join",
    "on",
    "using",
    "(id)",
    "with",
    "recursive",
    "as",
    "t",
    "union",
    "all",
    "insert",
    "into",
    "notes",
    "values",
    "update",
    "set",
    "body",
    "delete",
    "returning",
    "order",
    "by",
    "group",
    "$1",
    "1",
    "case",
    "when",
    "then",
    "end",
    "array",
    "[",
    "]",
    "::",
    "text",
    "lateral",
    "name",
    "count",
    "json_agg",
    "explain",
    "copy",
    "to",
    "stdout",
    "people",
    ";",
    ".",
    "old",
    "row",
    "in",
    "everyone()",
    "ssn_of('1')",
    "natural",
    "left",
    "values (1)",
    "(select 1)",
    "limit",
    "having",
];

#[test]
fn p8_many_warnings_do_not_block_the_parser() {
    let long = format!("{}, ", "n".repeat(80));
    let text = format!("select {}1", long.repeat(5_000));
    assert!(take(&text).is_ok());
    let text = format!("select {}1", r"'\\', ".repeat(20_000));
    assert!(with(&text, false).is_ok());
    // Each of these makes the parser count characters from the start.
    assert!(take(&"create global temp table t (a int);".repeat(500)).is_ok());
    let many = take(&"create global temp table t (a int);".repeat(5_000));
    assert_eq!(many.unwrap_err().reason, "too_complex");
}

#[test]
fn p8_functions_that_call_each_other_are_given_up_soon() {
    let mut data = sql::CatalogData::from(sql::sample());
    let mut add = |oid, name: &str, body: &str| {
        let mut function = sql::Function::new(oid, name, "sql", Some(body)).taking(&["a"]);
        function.volatility = 'i';
        data.functions.push(function);
    };
    add(41_000, "loops", "select public.loops($1) || public.loops($1) || public.loops($1)");
    for step in 0..30 {
        let next = format!("select public.step_{0}($1) || public.step_{0}($1)", step + 1);
        add(41_001 + step, &format!("step_{step}"), &next);
    }
    add(41_031, "step_30", "select $1");
    let catalog = sql::Catalog::new(data);
    let path = SearchPath::Known(vec!["public".into()]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    let found = analyse("select loops('x')", &options, &catalog).unwrap();
    assert_eq!(found.list[0].opaque[0].reason, "opaque_function");
    // Two to the power of thirty ways: the budget ends long before.
    let found = analyse("select step_0('x')", &options, &catalog).unwrap();
    assert_eq!(found.list[0].opaque[0].reason, "opaque_function");
}

/// `depth` times `around`, whose `@` is what it goes around.
fn nested(around: &str, innermost: &str, depth: usize) -> String {
    (0..depth).fold(innermost.to_owned(), |text, _| around.replacen('@', &text, 1))
}

fn steps(text: &str) -> u64 {
    static CATALOG: std::sync::OnceLock<sql::Catalog> = std::sync::OnceLock::new();
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    let taken = sql::steps(text, &options, CATALOG.get_or_init(with_nested_views));
    taken.unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// Views that each read the one before twice, `level_0` to `level_39`.
fn with_nested_views() -> sql::Catalog {
    let mut data = sql::CatalogData::from(sample());
    for level in 0..40 {
        let under = match level {
            0 => "SELECT notes.id AS a FROM public.notes".to_owned(),
            _ => {
                let under = format!("public.level_{}", level - 1);
                format!(
                    "WITH RECURSIVE r AS (SELECT x.a FROM {under} x, {under} y) SELECT a FROM r"
                )
            }
        };
        let name = format!("level_{level}");
        let columns = [("a", 23)];
        let view =
            sql::Relation::new(22_000 + level, sql::RelationKind::View, "public", &name, &columns);
        data.relations.push(view.defined(&under));
    }
    sql::Catalog::new(data)
}

/// Queries around `@`, and what is around each kind of place that a query can stand in.
const AROUND: &[&str] = &[
    "with r as (@) select 1 a",
    "with r as (@) select r.a from r, r r2",
    "with recursive r as (@) select 1 a",
    "with recursive r as (@) select * from r",
    "with recursive r as (select 1 a union all (@)) select * from r",
    "with recursive r as (select 1 a from r union all (@)) select r.a from r, r r2",
    "with recursive r as (select a from s), s as (select a from r union all (@)) select * from s",
    "with recursive r as (select a from q union (@)), q as (select a from r) select r.a from r",
    "select (@) a",
    "select a from (@) q",
    "select 1 a from notes n, lateral (@) q where q.a = n.id",
    "select 1 a from notes n join (@) q on true join lateral (select q.*) l on true",
    "select unnest a from unnest(array(@))",
    "select 1 a from unnest(array(@) || array(select 1), array[array(select 2)])",
    "select f.a from rows from (unnest(array(@)), generate_series(1, (select 2))) f(a, b)",
    "select 1 a from generate_series(1, (@))",
    "select 1 a from coalesce((@), 1)",
    "values ((@)), (1)",
    "select * from (values ((@), 1)) v(a, b)",
    "select 1 a union all (@)",
    "(@) intersect select 2 a",
    "select case (@) when 1 then 2 else 3 end a",
    "select case when true then (@) end a",
    "select coalesce(1, (@)) a",
    "select greatest(1, (@)) a",
    "select array[(@), 1] a",
    "select (array(@))[1] a",
    "select row((@), 1) is null a",
    "select (row((@), 1)).* a",
    "select length((@)::text) a",
    "select concat(1, (@)) a",
    "select sum(1) filter (where (@) = 1) a",
    "select array_agg(1 order by (@)) a",
    "select rank() over (partition by (@) order by 1) a",
    "select (@) + 1 a",
    "select a from notes where id = (@)",
    "select id a from notes where id in (@)",
    "select id a from notes where (id, 1) in (@)",
    "select id a from notes where id = any (array(@))",
    "select id a from notes where ((@), 1) in (row(1, 1), row(2, 2), row(3, 3))",
    "select id a from notes where ((@), 1) in (row(1, 1), 2, row(3, 3))",
    "select id a from notes where ((@), 1) = (2, 1)",
    "select id a from notes where ((@), id) in (select 1, 2)",
    "select id a from notes where (@) in (1, 2, 3)",
    "select id a from notes where (@) between 1 and 2",
    "select id a from notes where exists (@)",
    "select id a from notes where id > all (@)",
    "select id a from notes group by (@), id having (@2) = 1",
    "select distinct on ((@)) 1 a",
    "select 1 a order by (@)",
    "select 1 a limit (@)",
    "select 1 a from notes tablesample system ((@))",
    "select 1 a from notes window w as (partition by (@))",
    "select json_object('a': (@)) a",
    "select xmlelement(name a, (@)) a",
    "select 1 a from xmltable('/' passing (@) columns x text)",
    "with i as (insert into notes (id) (@) returning id) select id a from i",
    "with i as (insert into notes values ((@)) on conflict (id) do update set id = (@2)) select 1 a",
    "with u as (update notes set id = (@) returning id) select id a from u",
    "with d as (delete from notes where id = (@) returning id) select id a from d",
    "with m as (merge into notes n using (@) q on n.id = q.a when matched then delete) select 1 a",
    "select everyone((@)) a",
    "select (ssn_of((@)::text)) a",
];

#[test]
fn p8_each_nesting_takes_steps_in_proportion_to_its_length() {
    for around in AROUND {
        let around = around.replace("(@2)", "(select 1)");
        let few = steps(&nested(&around, "select 1 a", 5));
        let many = steps(&nested(&around, "select 1 a", 40));
        // Of the eightfold depth: what is settled in rounds takes a round more for each level.
        assert!(many <= few * 64 * 8, "{around}: {few}, {many}");
    }
}

#[test]
fn p8_queries_that_refer_to_none_of_their_list_are_walked_once() {
    let plain = steps(&nested("with r as (@) select 1 a", "select 1 a", 60));
    let recursive = steps(&nested("with recursive r as (@) select 1 a", "select 1 a", 60));
    assert!(recursive <= plain * 2, "{plain}, {recursive}");
}

#[test]
fn p8_nested_recursion_settles_at_what_it_depends_on() {
    let around = "with recursive r as (select a from s), \
                  s as (select ssn a from customers union all select a from r union all (@)) \
                  select a from r";
    for depth in [1, 2, 12, 40] {
        let found = take(&nested(around, "select name a from customers", depth)).unwrap();
        assert!(found.list[0].opaque.is_empty(), "{depth}");
        let outputs = found.list[0].outputs.columns.as_ref().unwrap();
        assert_eq!(outputs[0].deps.len(), 2, "{depth}");
    }
}

#[test]
fn p8_a_spent_budget_ends_the_walk() {
    let wide = format!("select {} from customers", vec!["*"; 100_000].join(","));
    let deep = nested("with recursive r as (@) select * from r", &wide, 60);
    assert_eq!(take(&deep).unwrap_err().reason, "too_complex");
}

#[test]
fn p8_bodies_that_are_given_up_are_paid_for() {
    let mut data = sql::CatalogData::from(sample());
    for step in 0..30 {
        let next = format!("select public.step_{0}($1) || public.step_{0}($1)", step + 1);
        let mut function =
            sql::Function::new(41_001 + step, &format!("step_{step}"), "sql", Some(&next));
        function = function.taking(&["a"]);
        data.functions.push(function);
    }
    let last = sql::Function::new(41_031, "step_30", "sql", Some("select $1")).taking(&["a"]);
    data.functions.push(last);
    let catalog = sql::Catalog::new(data);
    let path = SearchPath::of(&["public"]);
    let options = Options { standard_conforming_strings: true, search_path: &path, role: "app" };
    let text = format!("select {}", vec!["step_0('x')"; 2_000].join(","));
    let error = analyse(&text, &options, &catalog).unwrap_err();
    assert_eq!(error.reason, "too_complex");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(128))]
    #[test]
    fn p8_any_nesting_takes_few_steps(
        kinds in proptest::collection::vec(0..AROUND.len(), 1..40),
        views in proptest::bool::ANY,
    ) {
        let innermost = if views { "select a from level_39" } else { "select 1 a" };
        let mut text = innermost.to_owned();
        for kind in &kinds {
            text = AROUND[*kind].replace("(@2)", "(select 1)").replacen('@', &text, 1);
        }
        let length = text.len() as u64;
        let taken = steps(&text);
        proptest::prop_assert!(taken <= 64 * length * length / 16 + 200_000, "{taken}: {text}");
    }
}

#[test]
fn p8_sources_for_several_columns_are_not_copied_without_end() {
    for source in ["(@)", "row((@), 1)"] {
        let around = format!("with u as (update notes set (id, body) = {source}) select 1 a");
        assert!(take(&nested(&around, "select 1 a, 2", 8)).is_ok());
        let error = take(&nested(&around, "select 1 a, 2", 40)).unwrap_err();
        assert_eq!(error.reason, "too_complex");
    }
    let columns = vec!["id"; 50_000].join(",");
    let error = take(&format!("update notes set ({columns}) = row({columns})")).unwrap_err();
    assert_eq!(error.reason, "too_complex");
}

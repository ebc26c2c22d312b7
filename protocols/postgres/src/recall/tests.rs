//! What is recalled of a statement is what was judged of it, or nothing.

use model::{Principal, Resource};

use super::*;

/// Texts of every kind, over the tables, views and functions of the sample catalog.
const TEXTS: &[&str] = &[
    "SELECT 1",
    "SELECT id, name FROM customers WHERE id = 7",
    "SELECT * FROM customers LIMIT 3",
    "SELECT count(*), max(total) FROM orders",
    "SELECT upper(name) || 'x' FROM customers ORDER BY lower(email)",
    "SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id",
    "WITH x AS (SELECT id FROM orders) SELECT * FROM x",
    "SELECT * FROM people",
    "SELECT code FROM people WHERE id = 1",
    "SELECT * FROM totals",
    "SELECT * FROM opaque_people",
    "SELECT plain(name) FROM customers",
    "SELECT ssn_of('1')",
    "SELECT * FROM everyone()",
    "SELECT greet(name) FROM customers",
    "SELECT wipe()",
    "SELECT * FROM customers, app.customers x",
    "SELECT now(), random(), pg_sleep(0)",
    "SELECT nextval('s')",
    "SELECT * FROM pg_class",
    "SELECT * FROM pg_stats",
    "SELECT * FROM missing",
    "INSERT INTO notes (body) VALUES ('x') RETURNING id",
    "INSERT INTO notes SELECT id, name FROM customers",
    "UPDATE notes SET body = 'x'",
    "UPDATE notes SET body = 'x' WHERE id = 1",
    "UPDATE notes SET body = 'x' WHERE true",
    "UPDATE people SET who = 'x'",
    "DELETE FROM notes",
    "DELETE FROM notes WHERE body LIKE '%x'",
    "DELETE FROM people WHERE code = '1'",
    "DELETE FROM notes WHERE id = (SELECT 1 FROM wipe())",
    "DELETE FROM notes USING customers WHERE customers.id = 1",
    "WITH d AS (DELETE FROM notes RETURNING *) SELECT count(*) FROM d",
    "MERGE INTO notes n USING orders o ON n.id = o.id WHEN MATCHED THEN DELETE",
    "DROP TABLE customers",
    "DROP TABLE IF EXISTS missing CASCADE",
    "TRUNCATE orders, notes",
    "CREATE TABLE fresh (a int)",
    "CREATE TABLE copy AS SELECT * FROM customers",
    "ALTER TABLE notes ADD COLUMN x int",
    "CREATE VIEW v AS SELECT ssn FROM customers",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "SELECT query_to_xml('DELETE FROM orders', true, true, '')",
    "COPY customers TO STDOUT",
    "COPY notes FROM STDIN",
    "COPY (SELECT ssn FROM customers) TO STDOUT",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "BEGIN",
    "SET search_path TO app",
    "BEGIN; DELETE FROM orders WHERE id = 1; COMMIT",
    "LOCK TABLE notes",
    "PREPARE p AS SELECT ssn FROM customers",
    "DECLARE c CURSOR FOR SELECT * FROM orders",
    "CALL plain('x')",
    "VACUUM notes",
    "SELECT pg_read_file('/etc/passwd')",
];

fn real() -> Snapshot {
    Snapshot {
        catalog: Arc::new(sql::sample()),
        search_path: vec!["public".into()],
        ..snapshot(&Objects::default(), 25)
    }
}

fn past<'a>(text: &'a str, objects: &'a Objects) -> Past<'a> {
    Past { step: "query", under: false, text: Some(text), source: None, objects }
}

fn nothing() -> serde_json::Value {
    serde_json::json!({})
}

/// The masks of these rules.
fn plan(rules: &[&str]) -> Arc<MaskPlan> {
    let resource = Resource { name: "shop".into(), kind: "postgres".into() };
    let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let compiled =
        testkit::rules::compile(&crate::POSTGRES, std::slice::from_ref(&resource), true, &rules, 1);
    let compiled = compiled.expect("rules");
    let principal = Principal {
        subject: "ann".into(),
        kind: model::PrincipalKind::Agent,
        groups: Vec::new(),
        issuer: "tests".into(),
        on_behalf_of: None,
        on_behalf_of_groups: Vec::new(),
        token: None,
        minted_by: None,
        expires_at: None,
        certificate: None,
    };
    Arc::clone(compiled.policy.scope(&principal, &resource, compiled.block).masks())
}

#[test]
fn what_is_recalled_is_what_was_judged_or_nothing() {
    let plan = plan(&[]);
    let mut unknown = Vec::new();
    for text in TEXTS {
        let (judged, _) = judged(text, None, &real()).expect("a statement");
        let recalled = recall(&past(text, &judged.objects), &nothing(), &plan);
        for ((fact, was), is) in FACTS.iter().zip(judged.values.iter()).zip(&recalled.values) {
            match is {
                Some(is) => assert_eq!(is, was, "{} of {text}", fact.name),
                None => unknown.push(format!("{}: {text}", fact.name)),
            }
        }
        match recalled.effect {
            Some(effect) => assert_eq!(effect, judged.effect, "the effect of {text}"),
            None => unknown.push(format!("effect: {text}")),
        }
        if recalled.rows != RowBound::Unbounded {
            assert_eq!(recalled.rows, judged.rows, "rows of {text}");
        }
    }
    // Views, functions of one's own, and what is in no catalog: nothing else is not known.
    insta::assert_snapshot!(unknown.join("\n"));
}

/// What the gateway itself would make of a text under these masks.
fn admitted(text: &str, masks: &MaskPlan) -> Option<&'static str> {
    let explained = crate::explain(text, &real(), &nothing(), masks).expect("a statement");
    explained.refused.map(|refusal| refusal.reason())
}

#[test]
fn what_masks_refuse_is_told_or_not_known() {
    let plan = plan(&["rule m mask ssn"]);
    let mut told = Vec::new();
    for text in TEXTS {
        let (judged, _) = judged(text, None, &real()).expect("a statement");
        let recalled = recall(&past(text, &judged.objects), &nothing(), &plan);
        let real = admitted(text, &plan);
        match recalled.exposed {
            Exposed::No => assert_eq!(real.filter(|_| recalled.refused.is_none()), None, "{text}"),
            Exposed::Yes(word) => {
                assert_eq!(real, Some(word), "{text}");
                told.push(*text);
            }
            Exposed::Unknown => {}
        }
    }
    assert!(told.contains(&"CREATE VIEW v AS SELECT ssn FROM customers"), "{told:?}");
}

#[test]
fn a_column_whose_type_decides_is_not_known() {
    let plan = plan(&["rule m mask age,ssn"]);
    let exposed = |text: &str| {
        let (judged, _) = judged(text, None, &real()).expect("a statement");
        recall(&past(text, &judged.objects), &nothing(), &plan).exposed
    };
    assert_eq!(exposed("SELECT id FROM customers WHERE ssn = '1'"), Exposed::Unknown);
    let pattern = exposed("SELECT id FROM customers WHERE ssn LIKE '1%'");
    assert!(matches!(pattern, Exposed::Yes(_)), "{pattern:?}");
    assert_eq!(exposed("SELECT ssn, age FROM customers"), Exposed::No);
    assert_eq!(exposed("SELECT id FROM orders WHERE total > 3"), Exposed::No);
}

#[test]
fn a_column_is_told_from_what_is_made_of_it() {
    let columns = |text: &str| {
        let (judged, _) = judged(text, None, &real()).expect("a statement");
        let columns = recall(&past(text, &judged.objects), &nothing(), &plan(&[])).columns;
        columns.map(|all| all.iter().map(|of| of.is_stored).collect::<Vec<_>>())
    };
    let text = "SELECT name AS x, upper(ssn) AS ssn, 1 FROM customers";
    assert_eq!(columns(text), Some(vec![true, false, false]));
    assert_eq!(columns("SELECT code FROM people"), None, "a view");
    assert_eq!(columns("SELECT name FROM customers; SELECT 1"), None);
}

#[test]
fn a_record_that_disagrees_with_its_text_is_believed_and_the_text_is_not() {
    let objects = Objects { verbs: vec!["select".into()], ..Objects::default() };
    let text = "DELETE FROM notes";
    let recalled = recall(&past(text, &objects), &nothing(), &plan(&[]));
    let value = |name: &str| {
        let at = FACTS.iter().position(|fact| fact.name == name).expect("a fact");
        recalled.values[at].clone()
    };
    assert_eq!(value("sql.verbs"), Some(Value::TextList(vec!["select".into()].into())));
    assert_eq!(value("sql.unfiltered"), None);
    assert_eq!(recalled.effect, None);
    let sealed = Past { text: None, ..past("", &objects) };
    let recalled = recall(&sealed, &nothing(), &plan(&["rule m mask ssn"]));
    assert_eq!(recalled.exposed, Exposed::Unknown);
    assert!(recalled.values.last().expect("sql.text").is_none());
}

#[test]
fn r18_a_text_from_which_values_were_taken_is_as_good_as_sealed() {
    let plan = plan(&["rule m mask ssn"]);
    let text = "SELECT id FROM customers WHERE name = '[EMAIL]'";
    let (judged, _) = judged(text, None, &real()).expect("a statement");
    let cut = recall(&past(text, &judged.objects), &nothing(), &plan);
    let sealed = recall(&Past { text: None, ..past("", &judged.objects) }, &nothing(), &plan);
    assert_eq!(cut.values, sealed.values);
    assert_eq!((cut.effect, cut.rows, cut.exposed), (None, RowBound::Unbounded, Exposed::Unknown));
    // Neither is what another ran known by it.
    let declared = "DECLARE c CURSOR FOR SELECT id FROM customers WHERE name = '[EMAIL]'";
    let fetch = Past { under: true, source: Some(declared), ..past("FETCH c", &judged.objects) };
    let fetch = recall(&fetch, &nothing(), &plan);
    assert_eq!((fetch.values, fetch.effect), (sealed.values, None));
}

#[test]
fn fetch_is_what_it_fetches() {
    let declared = "DECLARE c CURSOR FOR SELECT id, ssn FROM customers";
    let (source, _) = judged(declared, None, &real()).expect("a statement");
    let fetch =
        Past { under: true, source: Some(declared), ..past("FETCH 3 FROM c", &source.objects) };
    let recalled = recall(&fetch, &nothing(), &plan(&["rule m mask ssn"]));
    let was: Vec<_> = source.values.iter().cloned().map(Some).collect();
    assert_eq!(recalled.values, was);
    assert_eq!((recalled.stage, recalled.exposed), (Stage::Repeat, Exposed::No));
    // Of which statement it is cannot be told without its text.
    let alone = Past { source: None, ..fetch };
    let recalled = recall(&alone, &nothing(), &plan(&[]));
    assert_eq!(recalled.effect, None);
    assert!(recalled.values.last().expect("sql.text").is_none());
}

//! The promises that every protocol makes, tried on PostgreSQL.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod notation;

use notation::{Postgres, scene};
use testkit::conformance::{Kind, Seed, Subject, run};

/// Checks scripts, each with its name.
fn check(kind: Kind, scripts: &[(&'static str, &'static str)]) {
    assert_eq!(notation::name(), "postgres");
    let subject = Subject {
        scene,
        notation: Postgres::default,
        harmless: r#"
client >> Q "select 1"
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#,
    };
    let seeds: Vec<Seed> =
        scripts.iter().map(|(name, script)| Seed { name, script, kind }).collect();
    run(&subject, &seeds);
}

#[test]
fn p9_allowed_traffic_passes_byte_for_byte() {
    check(
        Kind::Passes,
        &[
            (
                "simple",
                r#"
login
client >> Q "select id, name from customers"
server >> T id:customers.id name:customers.name ; D "1" "Ann" ; D null "" ; C "SELECT 2" ; Z I
server >> N 00000 "words" ; A "jobs" "7" ; S TimeZone UTC
client >> Q "begin" ; Q "select 1/0" ; Q "rollback"
server >> C "BEGIN" ; Z T ; T x:int4 ; E 22012 "division by zero" ; Z E ; C "ROLLBACK" ; Z I
"#,
            ),
            (
                "extended",
                r#"
login
client >> P "q" "select body from notes where id = $1" 23 ; D S "q" ; S
server >> 1 ; t 23 ; T body:notes.body ; Z I
client >> B "c" "q" "5" -> 1 ; D P "c" ; E "c" 10 ; S
server >> 2 ; T body:notes.body:binary ; D "x\x00y" ; s ; Z I
client >> C P "c" ; C S "q" ; S
server >> 3 ; 3 ; Z I
"#,
            ),
            (
                "copy",
                r#"
login
client >> Q "copy notes from stdin"
server >> G 2
client >> d "1\ta\n" ; d "" ; c
server >> C "COPY 1" ; Z I
client >> Q "copy notes to stdout"
server >> H 2 ; d "1\ta\n" ; c ; C "COPY 1" ; Z I
"#,
            ),
            (
                "at the limit",
                r#"
set statement_bytes_max 64
login
client >> Q "\{45*-} select 1 "
server >> T x:int4 ; D "1" ; C "SELECT 1" ; Z I
"#,
            ),
        ],
    );
}

#[test]
fn p1_refused_operations_send_nothing_and_leave_the_client_usable() {
    check(
        Kind::Refused,
        &[
            (
                "blocked",
                r#"
rule no-drop when `sql.verbs.exists(v, v == "drop")` block "no"
login
client >> Q "drop table notes"
"#,
            ),
            ("syntax", "login\nclient >> Q \"selec 1\"\n"),
            ("function call", "login\nclient >> F\n"),
            ("server file", "login\nclient >> Q \"copy notes to '/x'\"\n"),
            (
                "p8: past the limit",
                "set statement_bytes_max 64\nlogin\nclient >> Q \"\\{60*-} select 1 \"\n",
            ),
            ("not text", "login\nclient >> Q \"select '\\xff'\"\n"),
            (
                "denied",
                r#"
rule ask when `sql.verb == "delete"` approve dba
login
client >> Q "delete from notes"
person >> deny #1
"#,
            ),
            (
                "expired",
                r#"
rule ask when `sql.verb == "delete"` approve dba wait 5
login
client >> Q "delete from notes"
clock >> 5 s
"#,
            ),
        ],
    );
}

#[test]
fn p3_masked_values_appear_nowhere_in_what_the_client_gets() {
    check(
        Kind::Hides(&["123-45-6789"]),
        &[
            (
                "rows",
                r#"
rule hide mask ssn
login
client >> Q "select name, ssn from customers"
server >> T name:customers.name ssn:customers.ssn ; D "Ann" "123-45-6789" ; C "SELECT 1" ; Z I
"#,
            ),
            (
                "binary rows",
                r#"
rule hide mask ssn with hash
login
client >> P "" "select ssn from customers" ; B "" "" -> 1 ; E "" ; S
server >> 1 ; t ; T ssn:customers.ssn ; 2 ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#,
            ),
            (
                "copy",
                r#"
rule hide mask ssn with partial
login
client >> Q "copy customers (ssn, name) to stdout"
server >> H 2 ; d "123-45-6789\tAnn\n" ; c ; C "COPY 1" ; Z I
"#,
            ),
            (
                "reports",
                r#"
rule hide mask ssn
login
client >> Q "insert into notes values (1, 'a')"
server >> N 00000 "saw 123-45-6789" ; E 23505 "duplicate 123-45-6789" D "Key (123-45-6789)" ; Z I
server >> A "jobs" "123-45-6789"
"#,
            ),
            (
                "other columns",
                r#"
rule hide mask ssn
login
client >> Q "select name from customers"
server >> T name:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I
"#,
            ),
            (
                "a withheld reply",
                r#"
rule hide mask ssn
rule big when `result.rows > 1` approve dba
login
client >> Q "select ssn from customers"
server >> T ssn:customers.ssn ; D "123-45-6789" ; D "123-45-6789" ; C "SELECT 2" ; Z I
person >> approve #1
"#,
            ),
        ],
    );
}

#[test]
fn control_bytes_are_never_operations() {
    check(
        Kind::Control,
        &[
            ("encryption", "client >> ssl\nclient >> gss\n"),
            ("log-in", "login\n"),
            ("sync and flush", "login\nclient >> S ; H ; S\nserver >> Z I ; Z I\n"),
            ("goodbye", "login\nclient >> X\n"),
            ("cancel", "client >> cancel 0001020304050607\n"),
            ("wrong token", "client >> start user=a database=appdb\nclient >> p \"x\"\n"),
        ],
    );
}

#[test]
fn holds_and_refusals_are_the_same_however_input_is_cut() {
    check(
        Kind::Plain,
        &[
            (
                "withheld",
                r#"
rule big when `result.rows > 1` approve dba
login
client >> Q "select id from orders"
server >> T id:orders.id ; D "1" ; D "2"
person >> approve #1
server >> D "3" ; D "4" ; C "SELECT 4" ; Z I
"#,
            ),
            (
                "a refusal in a transaction",
                r#"
rule no-delete when `sql.verb == "delete"` block "no"
login
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> Q "delete from notes"
server >> E 42601 "syntax error" ; Z E
"#,
            ),
        ],
    );
}

//! How much of replies is recorded: as the resource says, or a rule of the operation.

use super::check;

conversations! {
    p6_a_rule_keeps_nothing_of_a_reply_that_the_resource_keeps: r#"
set payload full
rule quiet when `"public.customers" in sql.reads` record none
login
client >> Q "select id, name from customers"
server >> T id:customers.id name:customers.name ; D "1" "Ann" ; D "2" null ; C "SELECT 2" ; Z I
client >> Q "select id from notes"
server >> T id:notes.id ; D "1" ; C "SELECT 1" ; Z I
"#;
    p6_a_rule_keeps_more_than_the_resource: r#"
set payload none
rule all when `sql.verb == "insert"` record full
login
client >> Q "insert into notes values (1, 'x')"
server >> C "INSERT 0 1" ; Z I
client >> Q "select id from notes"
server >> T id:notes.id ; D "1" ; C "SELECT 1" ; Z I
"#;
    p6_the_least_of_several_rules_is_kept_over_all_parts_of_a_reply: r#"
set payload full
rule more record 64
rule less record 45
login
client >> Q "select id from notes"
server >> T id:notes.id
server >> D "1"
server >> D "2"
server >> D "3" ; C "SELECT 3" ; Z I
"#;
    p6_every_execute_of_a_prepared_statement_is_kept_as_its_rule_says: r#"
set payload full
rule quiet when `"public.customers" in sql.reads` record none
login
client >> P "s" "select id from customers" ; B "" "s" ; E "" ; S
server >> 1 ; 2 ; D "1" ; C "SELECT 1" ; Z I
client >> B "" "s" ; E "" ; S
server >> 2 ; D "2" ; C "SELECT 1" ; Z I
"#;
}

//! Work that one does for another.

use super::check;

conversations! {
    every_event_of_a_session_says_for_whom: r#"
set on_behalf_of ann
rule no-drop when `sql.verb == "drop"` block "no drops"
rule ask when `"public.orders" in sql.reads` approve dba wait 60
login
client >> Q "select id from notes"
server >> T id:notes.id ; D "1" ; C "SELECT 1" ; N 00000 "watch out" ; Z I
client >> Q "drop table notes"
client >> Q "select id from orders"
person >> deny #3 "not today"
client >> close
"#;
}

//! What masked columns are compared with, and how it is counted (R5).

use super::check;

conversations! {
    r5_arguments_of_execute_are_counted_one_by_one: r#"
rule hide mask ssn
set guesses_max 4
login
client >> Q "prepare p (text) as select id from customers where ssn = $1"
server >> C "PREPARE" ; Z I
client >> Q "execute p ('a')"
server >> T id:customers.id ; C "SELECT 0" ; Z I
client >> Q "execute p ('{b,c,d,e}')"
client >> Q "execute p ('a')"
server >> T id:customers.id ; C "SELECT 0" ; Z I
"#;
    r5_what_is_computed_for_execute_cannot_be_counted: r#"
rule hide mask ssn
login
client >> Q "prepare p (text) as select id from customers where ssn = $1"
server >> C "PREPARE" ; Z I
client >> Q "execute p (current_setting('my.guess'))"
client >> Q "execute p (16400::regclass::text)"
client >> Q "prepare q (text[]) as select id from customers where ssn = any ($1)"
server >> C "PREPARE" ; Z I
client >> Q "execute q (string_to_array('a|b|c', '|'))"
client >> P "s" "execute p (current_setting('my.guess') || $1)" ; S
server >> 1 ; t ; n ; Z I
client >> Q "execute s ('')"
"#;
    r5_a_value_of_another_type_would_convert_the_column: r#"
rule hide mask ssn
login
client >> Q "select id from customers where ssn = 1::oid"
client >> P "" "select id from customers where ssn = $1" 26 ; B "" "" "1" ; E "" ; S
client >> Q "prepare p (oid) as select id from customers where ssn = $1"
"#;
}

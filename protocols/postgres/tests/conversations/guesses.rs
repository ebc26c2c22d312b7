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
    r5_a_parameter_that_something_else_uses_has_its_type: r#"
rule hide mask ssn
login
client >> Q "prepare p as select $1::regclass, id from customers where ssn = $1::text"
client >> P "" "select sin($1) from customers where ssn = $1::text" ; B "" "" "1" ; E "" ; S
client >> P "a" "select id from customers where ssn = replace($1 || '', 'x', '')" 2205 ; B "" "a" "1" ; E "" ; S
client >> P "b" "select id from customers where $1::text is null or ssn = $1::text" ; B "" "b" "1" ; E "" ; S
"#;
    r5_what_parse_prepared_keeps_its_types_in_execute: r#"
rule hide mask ssn
login
client >> P "s" "select id from customers where ssn = $1::text" 2205 ; S
server >> 1 ; t ; T id:customers.id ; Z I
client >> Q "execute s (16400)"
"#;
    r5_what_is_bound_is_counted_whoever_fetches_it: r#"
rule hide mask ssn
set guesses_max 1
login
client >> P "s" "select id from customers where ssn = $1" ; B "p" "s" "a" ; S
server >> 1 ; t ; T id:customers.id ; 2 ; Z I
client >> Q "begin"
server >> C "BEGIN" ; Z T
client >> B "q" "s" "a" ; S
server >> 2 ; T id:customers.id ; Z T
client >> Q "fetch all from q"
server >> T id:customers.id ; C "FETCH 0" ; Z T
client >> B "q" "s" "b" ; S
"#;
}

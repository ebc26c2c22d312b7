//! Tables as text.

use super::*;

fn masks() -> Arc<MaskPlan> {
    plan(&[("ssn", "redact"), ("pin", "null"), ("tail", "partial")], &[("EMAIL", "redact")])
}

fn masked(body: &str) -> String {
    let plan = masks();
    same_for_every_cut(&Kind::Csv, &plan, body.as_bytes());
    whole(&Kind::Csv, &plan, body).unwrap()
}

#[test]
fn p9_tables_pass_byte_for_byte() {
    for body in [
        "",
        "a",
        "a,b\r\n1,\"2 \"\"x\"\", y\r\nz\"\n\n3,4",
        "a;b;\"c,d\"\n1;2;\"\"\n",
        "a\tb\n\t\n",
        "a,b\n5\" pipe,x\n",
    ] {
        passes(&Kind::Csv, body);
    }
}

#[test]
fn p3_columns_are_masked_by_their_names() {
    assert_eq!(
        masked("a,SSN,pin\n1,078-05-1120,9\n2,,8\n"),
        "a,SSN,pin\n1,[REDACTED],\n2,[REDACTED],\n"
    );
    assert_eq!(
        masked("\u{feff}\"ssn\";tail\r\n\"a\nb;c\";\"12345678\"\r\n"),
        "\u{feff}\"ssn\";tail\r\n\"[REDACTED]\";\"******78\"\r\n"
    );
    assert_eq!(masked("tail,note\n\"1\"\"345678\"\n"), "tail,note\n\"******78\"\n");
    assert_eq!(masked("a,note\n1,see ann@example.com\n"), "a,note\n1,see [REDACTED]\n");
    assert_eq!(masked("a,ann@example.com\n1,2"), "a,[REDACTED]\n1,2");
    let nested = masked("a,doc\n1,\"{\"\"ssn\"\":\"\"x\"\"}\"\n");
    assert_eq!(nested, "a,doc\n1,\"{\"\"ssn\"\":\"\"[REDACTED]\"\"}\"\n");
}

#[test]
fn p2_rows_that_do_not_fit_their_names_are_refused() {
    let plan = masks();
    for body in
        ["a,ssn\n1,2,3\n", "ssn\n\"a", "ssn\rx\ry\r", "a,ssn\n1\r2,3\n", "a,\"ssn\nx\"\n1,2"]
    {
        same_for_every_cut(&Kind::Csv, &plan, body.as_bytes());
        assert_eq!(whole(&Kind::Csv, &plan, body).unwrap_err().reason, "ambiguous", "{body}");
    }
    let long = format!("a\n{}\n", "x".repeat(1024 * 1024));
    assert_eq!(whole(&Kind::Csv, &plan, &long).unwrap_err().reason, "too_long");
    assert_eq!(masked("a,ssn\n1\n"), "a,ssn\n1\n");
}

#[test]
fn rows_of_a_table_are_counted_without_the_names() {
    let mut table = filter(Kind::Csv, &masks(), TypeSet::EMPTY);
    cut(&mut table, b"a,b\n1,2\n\n3,4", &[]).unwrap();
    assert_eq!(table.rows(), 2);
}

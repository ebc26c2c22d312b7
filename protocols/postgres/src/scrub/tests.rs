use proptest::prelude::*;

use super::*;

const SECRET: &str = "123-45-6789";

fn body(fields: &[(u8, &str)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for (kind, text) in fields {
        put(&mut out, *kind, Some(text.as_bytes()));
    }
    out.put_u8(0);
    out.to_vec()
}

fn scrubbed(fields: &[(u8, &str)]) -> Vec<(u8, String)> {
    read(&scrub_report(&body(fields)))
}

fn read(body: &[u8]) -> Vec<(u8, String)> {
    let report = Report::read(body).expect("what is scrubbed is a report");
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    report.fields.into_iter().map(|(kind, value)| (kind, text(value))).collect()
}

fn error(code: &str, message: &str, more: &[(u8, &str)]) -> Vec<(u8, String)> {
    let mut fields = vec![(b'S', "ERROR"), (b'V', "ERROR"), (b'C', code), (b'M', message)];
    fields.extend(more);
    scrubbed(&fields)
}

fn message(fields: &[(u8, String)]) -> &str {
    fields.iter().find(|(kind, _)| *kind == b'M').map(|(_, text)| text.as_str()).unwrap()
}

#[test]
fn every_code_has_a_name_and_the_table_is_sorted() {
    assert_eq!(condition(b"22P02"), "invalid text representation");
    assert_eq!(condition(b"23505"), "unique violation");
    assert_eq!(condition(b"XX000"), "internal error");
    assert_eq!(condition(b"26000"), "invalid sql statement name");
    assert_eq!(condition(b"ZZ999"), "error");
    assert_eq!(condition(b""), "error");
}

#[test]
fn p3_words_about_values_are_withheld() {
    let quoting = [
        ("22P02", format!("invalid input syntax for type integer: \"{SECRET}\"")),
        ("23505", "duplicate key value violates unique constraint".to_owned()),
        ("P0001", SECRET.to_owned()),
        ("XX000", SECRET.to_owned()),
        ("ZZ999", SECRET.to_owned()),
        ("not a code", SECRET.to_owned()),
    ];
    for (code, words) in quoting {
        let fields = error(code, &words, &[]);
        let words = message(&fields);
        assert!(!words.contains(SECRET) && words.ends_with(WITHHELD), "{code}: {words}");
    }
    let fields = error("22P02", SECRET, &[]);
    assert_eq!(
        message(&fields),
        "invalid text representation (text withheld: it may quote masked values)"
    );
}

#[test]
fn p3_no_class_keeps_details_contexts_or_queries() {
    for code in ["42P01", "42703", "23505", "22P02", "40P01", "57014", "00000", "P0001"] {
        let kinds = *b"DWqpFLRXz";
        let more: Vec<_> = kinds.iter().map(|kind| (*kind, SECRET)).collect();
        let fields = error(code, "words", &more);
        assert!(
            fields.iter().all(|(kind, text)| !kinds.contains(kind) && text != SECRET),
            "{code}"
        );
    }
}

#[test]
fn words_about_syntax_and_names_stay() {
    let words = "column \"nmae\" does not exist";
    let fields = error("42703", words, &[(b'P', "8"), (b'H', "Perhaps \"name\"."), (b'D', "more")]);
    let wanted: Vec<(u8, String)> = [
        (b'S', "ERROR"),
        (b'V', "ERROR"),
        (b'C', "42703"),
        (b'M', words),
        (b'H', "Perhaps \"name\"."),
        (b'P', "8"),
    ]
    .map(|(kind, text)| (kind, text.to_owned()))
    .to_vec();
    assert_eq!(fields, wanted);
    for code in ["42501", "26000", "34000", "25P02", "57014", "53300", "08006", "40001", "55P03"] {
        assert_eq!(message(&error(code, "words", &[])), "words", "{code}");
    }
}

#[test]
fn p3_names_that_casts_raise_while_running_are_withheld() {
    // SELECT ssn::regclass, ::regtype, ::regoper, nextval(ssn), has_schema_privilege(ssn, …)
    for (code, words) in [
        ("42P01", format!("relation \"{SECRET}\" does not exist")),
        ("42704", format!("type \"{SECRET}\" does not exist")),
        ("42883", format!("operator does not exist: {SECRET}")),
        ("42602", format!("invalid name syntax: {SECRET}")),
        ("42601", format!("improper qualified name (too many dotted names): {SECRET}")),
        ("3F000", format!("schema \"{SECRET}\" does not exist")),
        ("3D000", format!("database \"{SECRET}\" does not exist")),
        ("0A000", format!("cross-database references are not implemented: {SECRET}")),
        ("42704", format!("unrecognized configuration parameter \"{SECRET}\"")),
    ] {
        let fields = error(code, &words, &[]);
        assert!(!message(&fields).contains(SECRET), "{code}");
    }
}

#[test]
fn p3_reports_from_within_functions_keep_neither_words_nor_names() {
    let names: Vec<_> = b"stcdn".iter().map(|kind| (*kind, SECRET)).collect();
    for within in [(b'W', "PL/pgSQL function f() line 3 at RAISE"), (b'q', "SELECT 1"), (b'p', "1")]
    {
        for code in ["42501", "42P01", "23505", "57014"] {
            let more =
                [names.clone(), vec![within, (b'P', "1"), (b'R', "exec_stmt_raise")]].concat();
            let fields = error(code, SECRET, &more);
            assert!(fields.iter().all(|(_, text)| text != SECRET), "{code} {fields:?}");
        }
    }
    // The server's own check of a foreign key runs a query too, and names are its own.
    let fields =
        error("23503", SECRET, &[(b'W', "SQL"), (b'R', "ri_ReportViolation"), (b'n', "fk")]);
    assert!(fields.contains(&(b'n', "fk".to_owned())) && !message(&fields).contains(SECRET));
}

#[test]
fn names_of_objects_stay_for_drivers() {
    let names: Vec<_> = b"stcdn".iter().map(|kind| (*kind, "customers")).collect();
    let fields = error("23505", "duplicate", &names);
    for kind in b"stcdn" {
        assert!(fields.contains(&(*kind, "customers".to_owned())));
    }
}

#[test]
fn constants_that_drivers_look_for_stay() {
    let replanned = "cached plan must not change result type";
    for (code, words) in [("0A000", replanned), ("22012", "division by zero")] {
        assert_eq!(message(&error(code, words, &[])), words);
        // Also from within a function: it could say as much by the code alone.
        assert_eq!(message(&error(code, words, &[(b'W', "f() line 3"), (b'D', SECRET)])), words);
        let longer = format!("{words} {SECRET}");
        assert!(message(&error(code, &longer, &[])).ends_with(WITHHELD));
        assert!(message(&error("P0001", words, &[])).ends_with(WITHHELD), "another code");
    }
}

#[test]
fn p3_words_that_name_a_violated_constraint_stay_where_its_names_do() {
    let names = [(b't', "customers"), (b'c', "email"), (b'n', "one_email")];
    for (code, words) in [
        ("23505", "duplicate key value violates unique constraint \"one_email\""),
        ("23P01", "conflicting key value violates exclusion constraint \"one_email\""),
        ("23514", "new row for relation \"customers\" violates check constraint \"one_email\""),
        (
            "23503",
            "insert or update on table \"customers\" violates foreign key constraint \"one_email\"",
        ),
        (
            "23502",
            "null value in column \"email\" of relation \"customers\" violates not-null constraint",
        ),
    ] {
        let mut fields = names.to_vec();
        fields.extend([(b'D', SECRET), (b'H', SECRET)]);
        let kept = error(code, words, &fields);
        assert_eq!(message(&kept), words);
        assert!(kept.iter().all(|(_, text)| !text.contains(SECRET)));
        // Any other name than the one in the field, and words of a function's body, go.
        let other = words.replace("one_email", SECRET).replace("\"email\"", SECRET);
        assert!(message(&error(code, &other, &fields)).ends_with(WITHHELD));
        fields.extend([(b'W', "f() line 3"), (b'R', "exec_stmt_raise")]);
        assert!(message(&error(code, words, &fields)).ends_with(WITHHELD));
    }
}

#[test]
fn p3_the_words_of_notices_are_withheld() {
    for code in ["00000", "01000", "P0001", "22000"] {
        for severity in ["NOTICE", "WARNING", "INFO", "DEBUG", "LOG"] {
            let fields =
                scrubbed(&[(b'S', "HINWEIS"), (b'V', severity), (b'C', code), (b'M', SECRET)]);
            assert_eq!(message(&fields), NOTICE_WITHHELD);
            assert_eq!(fields[0], (b'S', "HINWEIS".to_owned()));
        }
    }
    let kept = [(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "42P07"), (b'M', "exists, skipping")];
    assert_eq!(message(&scrubbed(&kept)), "exists, skipping");
}

#[test]
fn p3_what_is_no_report_becomes_a_general_one() {
    let endless = [b"Mx\0".repeat(FIELDS_MAX + 1), vec![0]].concat();
    let table: [&[u8]; 5] = [b"", b"S", b"SERROR\0", b"SERROR\0M123-45-6789\0\0trailing", &endless];
    for body in table {
        let fields = read(&scrub_report(body));
        assert_eq!(message(&fields), format!("internal error{WITHHELD}"));
        assert!(fields.contains(&(b'C', "XX000".to_owned())));
    }
    assert_eq!(error("42501", "words", &[(b'P', "1; DROP")]).len(), 4, "no digits, no position");
}

#[test]
fn the_code_of_a_report_is_told() {
    assert_eq!(code(&body(&[(b'C', "42P01")])).as_deref(), Some("42P01"));
    assert_eq!(code(&body(&[(b'M', "x")])), None);
    assert_eq!(code(b""), None);
}

#[test]
fn p3_a_notification_keeps_its_channel_and_no_payload() {
    let mut body = 42_i32.to_be_bytes().to_vec();
    body.extend(b"channel\0");
    let mut sent = body.clone();
    sent.extend(SECRET.as_bytes());
    sent.push(0);
    body.push(0);
    assert_eq!(scrub_notification(&sent), body);
    assert_eq!(&scrub_notification(b"")[..], b"\0\0\0\0\0\0");
    assert_eq!(&scrub_notification(b"\0\0\0\x01no end")[..], b"\0\0\0\0\0\0");
}

proptest! {
    #[test]
    fn any_bytes_become_a_report(body in prop::collection::vec(any::<u8>(), 0..80)) {
        let report = scrub_report(&body);
        prop_assert!(Report::read(&report).is_some());
        let notification = scrub_notification(&body);
        prop_assert!(notification.ends_with(&[0, 0]) || notification.len() > 6);
        let _ = code(&body);
    }

    #[test]
    fn p3_only_listed_fields_of_any_report_stay(
        fields in prop::collection::vec((1_u8..128, "[a-z0-9]{0,6}"), 0..12),
    ) {
        let fields: Vec<_> = fields.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
        for (kind, _) in scrubbed(&fields) {
            prop_assert!(b"SVCMHPstcdn".contains(&kind));
        }
    }
}

use std::collections::BTreeSet;

use bytes::Bytes;
use model::event::RuleMatch;
use model::operation::Parameter;
use model::reply::DetectionCount;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;
use proptest::prelude::*;

use super::made::{Lab, NO_KEEPING, Random, after};
use crate::convert::convert;
use crate::file::ArchiveFile;
use crate::row::{Field, Place, Row, RowError};
use crate::schema::FileWriter;

fn through_parquet(rows: &[Row]) -> Vec<Row> {
    let mut writer = FileWriter::new(&[]).unwrap();
    writer.group(rows).unwrap();
    let file = ArchiveFile::of_bytes(writer.finish().unwrap().into()).unwrap();
    let mut read = Vec::new();
    file.each(|row| read.push(row)).unwrap();
    read
}

proptest! {
    #[test]
    fn p5_an_event_comes_back_from_parquet_as_it_was(seed: u64) {
        let mut random = Random(seed);
        let events: Vec<_> = (0..20).map(|number| random.event(number)).collect();
        let rows: Vec<Row> = events
            .iter()
            .zip(1..)
            .map(|(event, number)| {
                let mut row = Row::of(event.clone(), Place { segment: 3, offset: 9, number });
                row.hash = row.leaf(&mut Vec::new());
                row
            })
            .collect();
        let read = through_parquet(&rows);
        prop_assert_eq!(&read, &rows);
        let back: Result<Vec<_>, _> = read.into_iter().map(Row::event).collect();
        prop_assert_eq!(back, Ok(events));
    }

    #[test]
    fn p8_no_bytes_are_too_odd_to_be_refused(bytes: Vec<u8>) {
        prop_assert!(ArchiveFile::of_bytes(bytes.into()).is_err());
    }
}

/// A change of one column, by its name.
type Change = (&'static str, fn(&mut Row));

macro_rules! to {
    ($value:expr, $($column:ident)*) => {
        [$((stringify!($column), |row| row.$column = $value)),*] as [Change; _]
    };
}

/// A change of every column of a row that has one element in each list of parts.
fn changes() -> Vec<Change> {
    let mut changes: Vec<Change> = vec![
        ("parameters.kind", |row| row.parameters[0].kind = "x".to_owned()),
        ("parameters.value", |row| row.parameters[0].value = Some(String::new())),
        ("rules.rule", |row| row.rules[0].rule = "x".into()),
        ("rules.action", |row| row.rules[0].action = "x".into()),
        ("rules.observed", |row| row.rules[0].observed = true),
        ("columns.position", |row| row.columns[0].position = 1),
        ("columns.label", |row| row.columns[0].label = "x".into()),
        ("columns.schema", |row| row.columns[0].schema = Some("".into())),
        ("columns.table", |row| row.columns[0].table = Some("".into())),
        ("columns.column", |row| row.columns[0].column = Some("".into())),
        ("columns.mask", |row| row.columns[0].mask = Some("".into())),
        ("detections.kind", |row| row.detections[0].kind = "x".into()),
        ("detections.seen", |row| row.detections[0].seen = 1),
        ("detections.masked", |row| row.detections[0].masked = 1),
    ];
    changes.extend(to!(1, time segment offset number v sequence));
    changes.extend(to!("x".into(), gateway kind));
    changes.extend(
        to!(Some("x".into()), session principal resource on_behalf_of principal_kind token),
    );
    changes
        .extend(to!(Some("x".into()), identity protocol client application run step text decision));
    changes.extend(
        to!(Some("x".into()), message reason approval approver outcome error_code what actor),
    );
    changes.extend(to!(Some("x".into()), action target detail));
    changes.extend(
        to!(Some(0), operation under operations rows bytes duration_ns payload_dropped sent),
    );
    changes.extend(to!(vec!["x".into()], groups verbs reads writes columns_read searched));
    changes.extend(to!(vec![0], payload sealed));
    changes
}

#[test]
fn p6_every_column_is_part_of_what_is_hashed() {
    let row = Row {
        parameters: vec![Parameter { kind: String::new(), value: None }],
        rules: vec![RuleMatch { rule: "".into(), action: "".into(), observed: false }],
        columns: vec![Field::default()],
        detections: vec![DetectionCount { kind: "".into(), seen: 0, masked: 0 }],
        ..Row::default()
    };
    let leaf = |row: &Row| row.leaf(&mut Vec::new());
    let mut changed = BTreeSet::new();
    for (column, change) in changes() {
        let mut other = row.clone();
        change(&mut other);
        assert_ne!(leaf(&other), leaf(&row), "{column}");
        changed.insert(column.to_owned());
    }
    let mut writer = FileWriter::new(&[]).unwrap();
    writer.group(&[row]).unwrap();
    let file: Bytes = writer.finish().unwrap().into();
    let file = SerializedFileReader::new(file).unwrap();
    let schema = file.metadata().file_metadata().schema_descr();
    let paths = schema.columns().iter().map(|column| column.path().string());
    let mut columns: BTreeSet<_> = paths.map(|path| path.replace(".list.element", "")).collect();
    assert!(columns.remove("hash"));
    assert_eq!(changed, columns);
}

#[test]
fn p6_the_same_segment_always_makes_the_same_bytes() {
    let lab = Lab::new();
    lab.append(7, 0..5_000);
    lab.journal.rotate().unwrap();
    let make = || convert("gw-test", 1, lab.journal.read_segment(1).unwrap(), None).unwrap();
    let (one, other) = (make(), make());
    assert_eq!(one.entry, other.entry);
    assert_eq!(one.files, other.files);
    // 5,000 seconds from half past three on are parts of three hours.
    let paths: Vec<_> = one.files.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "events/date=2026-11-29/hour=03/gw-test-0000000001.parquet",
            "events/date=2026-11-29/hour=04/gw-test-0000000001.parquet",
        ]
    );
    assert_eq!((one.entry.first, one.entry.last, one.entry.rows), (1, 5_000, 5_000));
}

#[test]
fn a_row_that_is_no_event_says_why() {
    let row = Row { kind: "riddle".into(), ..Row::default() };
    assert_eq!(row.event(), Err(RowError::Kind("riddle".to_owned())));
    let row = Row { kind: "operation".into(), operation: Some(1), v: 1, ..Row::default() };
    let error = row.event().unwrap_err();
    assert_eq!(error.to_string(), "a operation event without a readable step");
    let row = Row { sealed: vec![1], ..Row::default() };
    assert_eq!(row.event(), Err(RowError::Sealed));
}

#[test]
fn counts_past_the_end_of_the_archives_numbers_are_clipped() {
    let lab = Lab::new();
    let mut event = Random(1).event(1);
    event.sequence = u64::MAX;
    lab.journal.append(&[event]).unwrap();
    let done = lab.rounds(NO_KEEPING).round(after(60)).unwrap();
    assert_eq!(done.rows, 1);
}

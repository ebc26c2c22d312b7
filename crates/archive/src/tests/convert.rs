use proptest::prelude::*;

use super::made::{Lab, NO_KEEPING, Random, after};
use crate::convert::convert;
use crate::file::ArchiveFile;
use crate::row::{Place, Row, RowError};
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
    fn p6_every_column_is_part_of_what_is_hashed(seed: u64) {
        // What two rows differ in must show in their leaves.
        let mut random = Random(seed);
        let place = Place { segment: 1, offset: 1, number: 1 };
        let (one, other) = (random.event(1), random.event(1));
        prop_assume!(one != other);
        let leaf = |event| Row::of(event, place).leaf(&mut Vec::new());
        prop_assert_ne!(leaf(one), leaf(other));
    }

    #[test]
    fn p8_no_bytes_are_too_odd_to_be_refused(bytes: Vec<u8>) {
        prop_assert!(ArchiveFile::of_bytes(bytes.into()).is_err());
    }
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

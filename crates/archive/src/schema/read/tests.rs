use parquet::data_type::{ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::*;
use crate::file::ArchiveFile;
use crate::schema::properties;

/// Levels of a column: definition and repetition.
type Levels<'a> = (&'a [i16], &'a [i16]);

/// A file of one blank row, in which one column is as told.
fn file(properties: WriterProperties, path: &str, levels: Levels<'_>, value: &str) -> Vec<u8> {
    let schema = SCHEMA.clone().unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for leaf in LEAVES {
        let mut column = group.next_column().unwrap().unwrap();
        if leaf.path != path {
            leaf.write(&[Row::default()], &mut column).unwrap();
            column.close().unwrap();
            continue;
        }
        let (definition, repetition) = (Some(levels.0), Some(levels.1));
        let full = *levels.0.iter().max().unwrap();
        let count = levels.0.iter().filter(|level| **level == full && full > 0).count();
        match leaf.way {
            Way::Numbers(..) => {
                let column = column.typed::<Int64Type>();
                column.write_batch(&vec![7; count], definition, repetition).unwrap();
            }
            _ => {
                let values = vec![ByteArray::from(value); count];
                let column = column.typed::<ByteArrayType>();
                column.write_batch(&values, definition, repetition).unwrap();
            }
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// Why it is not read, by who has so much room for a row group.
fn refusal(file: Vec<u8>, room: usize) -> Option<String> {
    ArchiveFile::of_bytes(file.into()).unwrap().first_group(|group| {
        let mut rows = blank_rows(group).unwrap();
        read_within(room, group, &mut rows, Columns::All).err().map(|error| error.to_string())
    })
}

/// Goal: a file takes no more memory than it may, however little it is itself. Method: runs of
/// entries, each with a few bytes of file and a little more than the room.
#[test]
fn p8_a_short_file_does_not_stand_for_very_much() {
    let room = 1 << 20;
    let entries = |bytes: usize| room / bytes + 2;
    let run = |count: usize, level: i16| {
        let (mut definition, mut repetition) = (vec![level; count], vec![1; count]);
        (definition[0], repetition[0]) = (1, 0);
        (definition, repetition)
    };
    let made = |path: &str, (definition, repetition): &(Vec<i16>, Vec<i16>)| {
        let made = file(properties(&[]), path, (definition, repetition), "w");
        assert!(made.len() < 20_000, "{path}: {} bytes", made.len());
        made
    };
    let refused = |path: &str, levels: &(Vec<i16>, Vec<i16>), why: &str| {
        let said = refusal(made(path, levels), room).unwrap_or_default();
        assert!(said.contains(why), "{path}: {said}");
    };
    // Nulls, which have no value, and values that are all the same.
    for (path, level) in [("groups.list.element", 0), ("groups.list.element", 1)] {
        refused(path, &run(entries(VALUE_BYTES), level), "more values than are read");
    }
    // Few enough to be looked at, and too large where they are put.
    let groups = run(entries(size_of::<crate::row::Field>()), 1);
    refused("columns.list.element.position", &groups, "takes more than");
    let groups = run(entries(size_of::<crate::row::Field>()) / 2, 1);
    assert_eq!(refusal(made("columns.list.element.position", &groups), room), None);
}

#[test]
fn p8_lists_whose_levels_are_odd_are_refused() {
    let odd: [(&str, Levels<'_>); 4] = [
        // An entry that is not there, behind one that is, and behind an empty list.
        ("groups.list.element", (&[1, 0], &[0, 1])),
        ("groups.list.element", (&[0, 1], &[0, 1])),
        // Groups of which no column says anything.
        ("parameters.list.element.value", (&[1, 1], &[0, 1])),
        ("parameters.list.element.value", (&[2, 1], &[0, 1])),
    ];
    for (path, levels) in odd {
        let said = refusal(file(properties(&[]), path, levels, "w"), usize::MAX);
        let is_refused = said.as_ref().is_some_and(|said| said.contains("that are not there"));
        assert!(is_refused, "{path} {levels:?}: {said:?}");
    }
    let fine = file(properties(&[]), "groups.list.element", (&[1, 1], &[0, 1]), "w");
    assert_eq!(refusal(fine, usize::MAX), None);
}

#[test]
fn p8_columns_that_are_stored_otherwise_than_ours_are_refused() {
    let plain = || properties(&[]).into_builder();
    let column = ColumnPath::new(vec!["groups".into(), "list".into(), "element".into()]);
    let levels: Levels<'_> = (&[1], &[0]);
    let made = |properties| refusal(file(properties, "groups.list.element", levels, "w"), 1 << 20);
    let said = made(plain().set_compression(Compression::UNCOMPRESSED).build());
    assert!(said.is_some_and(|said| said.contains("compressed as UNCOMPRESSED")));
    let other = plain()
        .set_column_dictionary_enabled(column.clone(), false)
        .set_column_encoding(column, Encoding::DELTA_BYTE_ARRAY);
    let said = made(other.build());
    assert!(said.is_some_and(|said| said.contains("written as DELTA_BYTE_ARRAY")));
}

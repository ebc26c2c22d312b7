//! Places in the text of a file, where a value is not written as it is read.
//!
//! A condition is judged as one line, but YAML's folded texts (`>`, and plain or quoted ones that
//! go on) are written on several: a line break there is read as a blank. A column past the end of
//! its line therefore stands in one of the lines below.

use policy::Location;

/// Moves a place to where it stands in `text`, the file's whole text: at the latest behind the last
/// character.
pub fn settle(at: &mut Location, text: &str) {
    let lines: Vec<&str> = lines(text);
    let mut line = to_usize(at.line).max(1);
    let mut column = to_usize(at.column).max(1);
    if line > lines.len() {
        (line, column) = (lines.len().max(1), usize::MAX);
    }
    loop {
        let width = lines.get(line.saturating_sub(1)).map_or(0, |line| line.chars().count());
        if column <= width.saturating_add(1) {
            break;
        }
        let Some(next) = lines.get(line) else {
            column = width.saturating_add(1);
            break;
        };
        // Behind the line's end and the blank it is read as, the next begins where its text does.
        let indent = next.chars().take_while(|c| *c == ' ').count();
        column = column.saturating_sub(width.saturating_add(1)).saturating_add(indent);
        line = line.saturating_add(1);
    }
    at.line = to_u32(line);
    at.column = to_u32(column);
}

/// YAML 1.2, section 5.4: a line ends with a line feed, a carriage return, or both.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        let (line, after) = rest.split_at(at);
        lines.push(line);
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    }
    lines.push(rest);
    lines
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(text: &str, line: u32, column: u32) -> (u32, u32) {
        let mut at = Location { file: "f.yaml".into(), line, column };
        settle(&mut at, text);
        (at.line, at.column)
    }

    #[test]
    fn a_column_past_its_line_stands_in_the_lines_below() {
        let text = "when: >-\n  one\n  two || xy\n  z\n";
        assert_eq!(settled(text, 2, 3), (2, 3), "inside its line");
        assert_eq!(settled(text, 2, 6), (2, 6), "the line's end");
        assert_eq!(settled(text, 2, 7), (3, 3), "`one two || xy z`: the `t`");
        assert_eq!(settled(text, 2, 14), (3, 10), "the `x`");
        assert_eq!(settled(text, 2, 17), (4, 3), "the `z`");
        assert_eq!(settled(text, 2, 99), (5, 1), "no further than the end");
        assert_eq!(settled(text, 99, 1), (5, 1));
    }

    #[test]
    fn lines_end_as_yaml_ends_them() {
        assert_eq!(settled("a\r\nb\rc", 1, 3), (2, 1));
        assert_eq!(settled("a\r\nb\rc", 3, 9), (3, 2));
        assert_eq!(settled("", 1, 5), (1, 1));
    }
}

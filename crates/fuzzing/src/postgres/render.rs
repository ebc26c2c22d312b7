//! Any bytes as a recorded reply, shown to a person.

use engine::Protocol as _;
use postgres::POSTGRES;

/// Lines of one reply, and the one that says what is left out.
const LINES_MAX: usize = 2_001;
/// Characters of a line, and the one that says that it goes on.
const CHARACTERS_MAX: usize = 401;

/// Characters that turn the direction of text.
const TURNING: [std::ops::RangeInclusive<char>; 3] =
    ['\u{200e}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// Lines and their number are bounded, and nothing in them can move a terminal's cursor, turn its
/// text around or hide in it.
pub fn render(data: &[u8]) {
    let lines = POSTGRES.render(data);
    assert!(lines.len() <= LINES_MAX, "{} lines", lines.len());
    for line in lines {
        assert!(line.chars().count() <= CHARACTERS_MAX, "{line}");
        let obeyed = |character: char| {
            character.is_control() || TURNING.iter().any(|turning| turning.contains(&character))
        };
        assert!(!line.contains(obeyed), "{line:?}");
    }
}

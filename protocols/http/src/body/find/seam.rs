//! Text that is searched in pieces.

/// Bytes before a piece that are searched with it again, so that a value which is cut in two is
/// found.
const OVERLAP_BYTES: usize = 64 * 1024;
/// How far before its place a cut may be, to be between two values, bytes.
const SLACK_BYTES: usize = 128;

/// A piece of a text, behind the end of what was searched before it.
#[derive(Default)]
pub struct Seam {
    text: Vec<u8>,
}

impl Seam {
    /// Adds to the piece.
    pub fn add(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// What is to be searched.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// All of it was searched: keeps its end. A decoder finds its way into a run that began before
    /// by trying each place in a group of letters.
    pub fn cut(&mut self) {
        let start = self.text.len().saturating_sub(OVERLAP_BYTES);
        if start > 0 {
            let start = boundary(&self.text, start);
            // Not drained: what was decoded may have been long.
            self.text = self.text.split_off(start);
        }
    }
}

/// Where to cut a text, as an offset in bytes: at this place or a little before it, so that no
/// number is cut. What is left of one may look like another.
#[must_use]
pub fn boundary(text: &[u8], place: usize) -> usize {
    let from = place.saturating_sub(SLACK_BYTES);
    let near = text.get(from..place).unwrap_or_default();
    let last = |ends: fn(&u8) -> bool| near.iter().rposition(ends).map(|at| from + at + 1);
    // Numbers may be written in groups.
    let ends = |byte: &u8| !byte.is_ascii_alphanumeric() && !b" -._/+=%\\".contains(byte);
    last(ends).or_else(|| last(|byte| !byte.is_ascii_alphanumeric())).unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use detect::{DetectionType, TypeSet};

    use super::super::search;
    use super::super::tests::base32;
    use super::*;

    fn found(pieces: &[&[u8]]) -> TypeSet {
        let types = TypeSet::from_iter(DetectionType::ALL);
        let mut seam = Seam::default();
        let mut found = TypeSet::EMPTY;
        for piece in pieces {
            seam.add(piece);
            found = found.union(search(seam.text(), types).types);
            seam.cut();
            assert!(seam.text().len() <= OVERLAP_BYTES + SLACK_BYTES);
        }
        found
    }

    fn has_card(pieces: &[&[u8]]) -> bool {
        found(pieces).contains(DetectionType::CreditCard)
    }

    #[test]
    fn a_value_is_found_wherever_its_text_is_cut() {
        let (front, after) = ("x ".repeat(50_000), " y".repeat(40_000));
        let text = format!("{front}4111 1111 1111 1111{after}");
        for cut in front.len() - 3..front.len() + 24 {
            let (first, second) = text.as_bytes().split_at(cut);
            assert!(has_card(&[first, second]), "{cut}");
        }
    }

    #[test]
    fn a_value_is_found_in_encodings_that_began_in_a_piece_long_before() {
        let words = ("ab ".repeat(60_000), "cd ".repeat(9_999));
        let clear = format!("{} 4111 1111 1111 1111 {}", words.0, words.1).into_bytes();
        let hex = |clear: &[u8]| clear.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let broken = |clear: &[u8]| {
            let text = STANDARD.encode(clear);
            let lines: Vec<&str> = text.as_bytes().chunks(76).flat_map(str::from_utf8).collect();
            lines.join("\r\n")
        };
        let quoted = |text: String| format!("{{\"file\":\"{text}\"}}").into_bytes();
        let texts = [
            hex(&clear),
            base32(&clear),
            STANDARD.encode(&clear),
            broken(&clear),
            format!("file-{}", base32(&clear)),
            hex(&quoted(base32(&clear))),
            STANDARD.encode(quoted(base32(&clear))),
            STANDARD.encode(quoted(STANDARD.encode(&clear))),
        ];
        for (way, encoded) in texts.iter().enumerate() {
            for shift in [0, 1, 5] {
                let text = format!("{}{encoded}", " ".repeat(shift));
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(100_003).collect();
                assert!(has_card(&pieces), "{way} {shift}");
            }
        }
    }

    #[test]
    fn a_value_is_found_between_bytes_that_are_no_text() {
        let noise: Vec<u8> =
            (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
        let clear = [
            b"and so on ".repeat(30_000),
            noise.clone(),
            b"\x014111 1111 1111 1111\x02".to_vec(),
            noise,
        ]
        .concat();
        let text = STANDARD.encode(clear);
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(100_003).collect();
        assert!(has_card(&pieces) && has_card(&[text.as_bytes()]));
    }

    #[test]
    fn what_is_left_of_a_number_is_not_taken_for_another() {
        for shift in 0..25 {
            let lines: Vec<String> =
                (0..2_700).map(|n| format!("{n:08}4111111111111111\n")).collect();
            let text = format!("{}{}", lines.concat(), " ".repeat(shift));
            assert!(!has_card(&[text.as_bytes(), b"and so on"]), "{shift}");
        }
    }

    #[test]
    fn numbers_are_not_cut() {
        let text = b"a, 4111-1111-1111-1111-4111\nb 4111 1111";
        assert_eq!(boundary(text, 20), 2, "in a number of groups");
        assert_eq!(boundary(text, 31), 28, "after a line");
        assert_eq!(boundary(b"4111111111111111", 9), 9, "there is no better place");
        assert_eq!(boundary(b"411 411 411", 9), 8, "at least between groups");
    }
}

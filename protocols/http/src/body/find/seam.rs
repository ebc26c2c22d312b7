//! Text that is searched in pieces.

use super::decode::is_run;

/// Bytes before a piece that are searched with it again, so that a value which is cut in two is
/// found.
const OVERLAP_BYTES: usize = 64 * 1024;
/// Letters that are decoded together at most (base32).
const GROUP: usize = 8;

/// A piece of a text, behind the end of what was searched before it.
#[derive(Default)]
pub struct Seam {
    text: Vec<u8>,
    /// Letters and digits since the last byte that is none, before the text, modulo [`GROUP`].
    run: usize,
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

    /// All of it was searched: keeps its end. That begins where a decoder of base64, base32 or
    /// hexadecimal digits would be between two groups, so that it reads the same as if it had begun
    /// at the beginning of the run.
    pub fn cut(&mut self) {
        let mut start = self.text.len().saturating_sub(OVERLAP_BYTES);
        if start == 0 {
            return;
        }
        let mut run = self.run;
        let mut count = |byte: &u8| {
            run = match byte {
                // Runs may be broken into lines.
                b'\r' | b'\n' => run,
                byte if is_run(*byte) => (run + 1) % GROUP,
                _ => 0,
            };
            run
        };
        let before = self.text.get(..start).unwrap_or_default();
        let mut at = before.iter().map(&mut count).last().unwrap_or_default();
        while at != 0
            && let Some(byte) = self.text.get(start)
        {
            at = count(byte);
            start += 1;
        }
        self.run = at;
        // Not drained: what was decoded may have been long.
        self.text = self.text.split_off(start);
    }
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
            assert!(seam.text().len() <= OVERLAP_BYTES);
        }
        found
    }

    #[test]
    fn a_value_is_found_wherever_its_text_is_cut() {
        let (before, after) = ("x ".repeat(50_000), " y".repeat(40_000));
        let text = format!("{before}4111 1111 1111 1111{after}");
        for cut in before.len() - 3..before.len() + 24 {
            let (first, second) = text.as_bytes().split_at(cut);
            assert!(found(&[first, second]).contains(DetectionType::CreditCard), "{cut}");
        }
    }

    #[test]
    fn a_value_is_found_in_an_encoding_that_began_in_a_piece_long_before() {
        let clear =
            format!("{} 4111 1111 1111 1111 {}", "ab ".repeat(100_000), "cd ".repeat(9_999));
        let hex: String = clear.bytes().map(|byte| format!("{byte:02x}")).collect();
        let base32 = base32(clear.as_bytes());
        let base64 = STANDARD.encode(&clear);
        let broken: Vec<&str> =
            base64.as_bytes().chunks(76).map(|line| str::from_utf8(line).expect("text")).collect();
        let broken = broken.join("\r\n");
        for (name, encoded) in
            [("hex", &hex), ("base32", &base32), ("base64", &base64), ("broken", &broken)]
        {
            for shift in 0..9 {
                let text = format!("{}{encoded}", " ".repeat(shift));
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(100_003).collect();
                assert!(found(&pieces).contains(DetectionType::CreditCard), "{name} {shift}");
            }
        }
    }
}

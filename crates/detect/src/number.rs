//! Reads a number as people write it: digits with separators, wide digits, invisible characters.

use crate::text::{Gap, Unit, unit_at};

/// Digits read at once: one more than the longest value, so that its end is seen.
pub(crate) const DIGITS_MAX: usize = 20;
/// Separators in a row that still belong to one number.
const SEPARATORS_MAX: usize = 3;
/// Invisible characters in a row that still belong to one number.
const INVISIBLE_MAX: usize = 8;

/// The digits from one place on, as far as they can belong to one value.
///
/// One is read again and again, so that its arrays are not made anew for each of the many numbers
/// in a row.
pub(crate) struct Number {
    digits: [u8; DIGITS_MAX],
    /// Where the first digit starts, in bytes.
    origin: usize,
    places: [Place; DIGITS_MAX],
    length: usize,
    is_split: bool,
}

/// Where a digit stands.
#[derive(Clone, Copy)]
struct Place {
    /// In bytes from the number's origin.
    start: u16,
    /// Its own bytes.
    bytes: u8,
    /// What stands before it; of the first it is not looked at.
    gap: Gap,
}

impl Number {
    /// No digit yet.
    pub(crate) const fn new() -> Self {
        Self {
            digits: [0; DIGITS_MAX],
            origin: 0,
            places: [Place { start: 0, bytes: 0, gap: Gap::None }; DIGITS_MAX],
            length: 0,
            is_split: false,
        }
    }

    /// The number at `at`, where a digit stands.
    #[cfg(test)]
    pub(crate) fn at(text: &[u8], at: usize) -> Self {
        let mut number = Self::new();
        number.read(text, at);
        number
    }

    /// Forgets what was read, and reads from `at`, where a digit stands.
    pub(crate) fn read(&mut self, text: &[u8], at: usize) {
        (self.origin, self.length, self.is_split) = (at, 0, false);
        let (mut at, mut gap, mut separators, mut invisible) = (at, Gap::None, 0, 0);
        loop {
            // Nearly all of them.
            let plain = self.push_plain(text.get(at..).unwrap_or_default(), at, gap);
            if plain > 0 {
                if self.length == DIGITS_MAX {
                    return;
                }
                (gap, separators, invisible) = (Gap::None, 0, 0);
                at += plain;
            }
            let (unit, bytes) = unit_at(text, at);
            match unit {
                Unit::Digit(digit) => {
                    if !self.push(digit, at, bytes, gap) {
                        return;
                    }
                    (gap, separators, invisible) = (Gap::None, 0, 0);
                }
                Unit::Separator(kind) if separators < SEPARATORS_MAX => {
                    gap = if separators == 0 { kind } else { Gap::Other };
                    separators += 1;
                }
                Unit::Invisible if invisible < INVISIBLE_MAX => invisible += 1,
                _ => return,
            }
            at += bytes;
        }
    }

    /// Takes the ASCII digits that `rest`, which begins at `at`, begins with; says how many.
    fn push_plain(&mut self, rest: &[u8], at: usize, gap: Gap) -> usize {
        let start = at - self.origin;
        let digits = self.digits.get_mut(self.length..).unwrap_or_default();
        let places = self.places.get_mut(self.length..).unwrap_or_default();
        let mut count = 0;
        for ((byte, digit), place) in rest.iter().zip(digits).zip(places) {
            let value = byte.wrapping_sub(b'0');
            if value > 9 {
                break;
            }
            *digit = value;
            let gap = if count == 0 { gap } else { Gap::None };
            *place = Place { start: offset(start + count), bytes: 1, gap };
            count += 1;
        }
        self.is_split |= gap != Gap::None && count > 0 && self.length > 0;
        self.length += count;
        count
    }

    fn push(&mut self, digit: u8, start: usize, bytes: usize, gap: Gap) -> bool {
        let at = self.length;
        let start = offset(start - self.origin);
        let bytes = u8::try_from(bytes).unwrap_or(u8::MAX);
        if let (Some(value), Some(place)) = (self.digits.get_mut(at), self.places.get_mut(at)) {
            *value = digit;
            *place = Place { start, bytes, gap };
            self.length += 1;
        }
        self.is_split |= gap != Gap::None && at > 0;
        self.length < DIGITS_MAX
    }

    /// Whether something stands between two of the digits that a reader sees.
    pub(crate) fn is_split(&self) -> bool {
        self.is_split
    }

    /// How many digits were read; [`DIGITS_MAX`] when there may be more.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Whether the number went on past what was read.
    pub(crate) fn is_cut(&self) -> bool {
        self.length == DIGITS_MAX
    }

    /// The values of all digits.
    pub(crate) fn digits(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }

    /// The value of the first `count` digits.
    pub(crate) fn value(&self, from: usize, count: usize) -> u32 {
        let digits = self.digits().get(from..from + count).unwrap_or_default();
        digits.iter().fold(0, |value, digit| value * 10 + u32::from(*digit))
    }

    /// Where the digit number `index` starts, in bytes.
    pub(crate) fn start(&self, index: usize) -> usize {
        self.origin + self.places.get(index).map_or(0, |place| usize::from(place.start))
    }

    /// Where the first `count` digits end, in bytes.
    pub(crate) fn end(&self, count: usize) -> usize {
        let last = count.checked_sub(1).and_then(|i| self.places.get(i));
        self.origin + last.map_or(0, |place| usize::from(place.start) + usize::from(place.bytes))
    }

    /// What stands after the first `count` digits, when a digit follows; [`None`] at the end.
    pub(crate) fn gap_after(&self, count: usize) -> Option<Gap> {
        self.places.get(count).map(|place| place.gap).filter(|_| count < self.length)
    }

    /// Lengths of the groups of digits, in order, and what stands after each.
    pub(crate) fn groups(&self) -> Groups {
        let mut groups = Groups { lengths: [0; DIGITS_MAX], count: 0 };
        if !self.is_split && self.length > 0 {
            if let Some(all) = groups.lengths.first_mut() {
                // There are at most DIGITS_MAX of them.
                *all = self.length as u8;
            }
            groups.count = 1;
            return groups;
        }
        for index in 0..self.length {
            if index == 0 || self.gap_after(index) != Some(Gap::None) {
                groups.count += 1;
            }
            if let Some(length) = groups.lengths.get_mut(groups.count - 1) {
                *length += 1;
            }
        }
        groups
    }
}

/// The bounds on separators and invisible characters keep this far below the type's range.
fn offset(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// How a number is split into groups.
pub(crate) struct Groups {
    lengths: [u8; DIGITS_MAX],
    count: usize,
}

impl Groups {
    /// The length of each group, in digits.
    pub(crate) fn lengths(&self) -> &[u8] {
        self.lengths.get(..self.count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> Vec<u8> {
        Number::at(text.as_bytes(), 0).groups().lengths().to_vec()
    }

    #[test]
    fn groups_are_split_at_what_a_reader_sees() {
        assert_eq!(groups("4111 1111-1111.1111x"), [4, 4, 4, 4]);
        assert_eq!(groups("41\u{200b}11\x1b[0m11"), [6]);
        assert_eq!(groups("１２ 34"), [2, 2]);
        assert_eq!(groups("12,34"), [2]);
        assert_eq!(groups("12 - 34"), [2, 2]);
        assert_eq!(groups("12    34"), [2]);
    }

    #[test]
    fn reading_stops_at_the_bound() {
        let long = "1 ".repeat(100);
        let number = Number::at(long.as_bytes(), 0);
        assert_eq!((number.len(), number.is_cut()), (DIGITS_MAX, true));
        let invisible = format!("1{}2", "\u{200b}".repeat(INVISIBLE_MAX + 1));
        assert_eq!(groups(&invisible), [1]);
        let fits = format!("1{}2", "\u{200b}".repeat(INVISIBLE_MAX));
        assert_eq!(groups(&fits), [2]);
    }

    #[test]
    fn places_are_in_bytes() {
        let number = Number::at("x１ 2".as_bytes(), 1);
        assert_eq!((number.start(0), number.end(1), number.start(1), number.end(2)), (1, 4, 5, 6));
        assert_eq!((number.gap_after(1), number.gap_after(2)), (Some(Gap::Space), None));
    }
}

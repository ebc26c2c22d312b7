//! Tells quickly where none of many byte strings begins.

/// Bits of a hash; one bit of the set for each.
const BITS: u32 = 20;

/// The first four bytes of many strings.
#[derive(Clone, Debug)]
pub struct Prefixes {
    set: Vec<u64>,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { set: vec![0; (1 << BITS) / 64] }
    }
}

impl Prefixes {
    /// Remembers a string of four bytes or more.
    pub fn add(&mut self, piece: &[u8]) {
        let Some(first) = piece.first_chunk::<4>() else { return };
        let (word, bit) = place(*first);
        if let Some(word) = self.set.get_mut(word) {
            *word |= bit;
        }
    }

    /// Places in `bytes` where one of the strings may begin.
    pub fn places<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        bytes.windows(4).enumerate().filter_map(|(at, window)| {
            let (word, bit) = place(*window.first_chunk::<4>()?);
            self.set.get(word).is_some_and(|word| word & bit != 0).then_some(at)
        })
    }
}

fn place(bytes: [u8; 4]) -> (usize, u64) {
    let hash = u32::from_le_bytes(bytes).wrapping_mul(0x9e37_79b1) >> (32 - BITS);
    (usize::try_from(hash / 64).unwrap_or(0), 1 << (hash % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_string_is_told() {
        let mut prefixes = Prefixes::default();
        prefixes.add(b"needle");
        let found: Vec<usize> = prefixes.places(b"a needle and need").collect();
        assert_eq!(found, [2, 13]);
        assert_eq!(prefixes.places(b"nothing of the kind").count(), 0);
    }
}

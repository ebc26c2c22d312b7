//! The choices a generator makes: drawn from a seed, or given, so that a case can be made again and
//! made smaller.

/// Choices that are remembered. Given ones come first, and the first alternative of everything after
/// them: a generator puts its simplest alternative first, so fewer choices make a simpler case.
#[derive(Clone, Debug)]
pub struct Choices {
    state: u64,
    given: Option<Vec<u64>>,
    taken: Vec<u64>,
}

impl Choices {
    /// Choices of a seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { state: seed, given: None, taken: Vec::new() }
    }

    /// These choices, then the first alternative of everything.
    #[must_use]
    pub const fn given(given: Vec<u64>) -> Self {
        Self { state: 0, given: Some(given), taken: Vec::new() }
    }

    /// What was chosen so far.
    #[must_use]
    pub fn taken(self) -> Vec<u64> {
        self.taken
    }

    /// One of so many alternatives.
    pub fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count.max(1)).unwrap_or(1);
        let drawn = match &self.given {
            Some(given) => given.get(self.taken.len()).copied().unwrap_or(0),
            None => self.draw(),
        };
        let chosen = drawn % count;
        self.taken.push(chosen);
        usize::try_from(chosen).unwrap_or(0)
    }

    /// Yes, in so many cases of a hundred; the simple answer is no.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100_usize.saturating_sub(percent)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() {
            return None;
        }
        let at = self.below(all.len());
        all.get(at)
    }

    /// One of these words; nothing of none.
    pub fn word(&mut self, all: &[&'static str]) -> &'static str {
        self.pick(all).copied().unwrap_or_default()
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

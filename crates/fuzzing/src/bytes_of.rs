//! Taking an input apart: small numbers first, then texts with their length before them.

/// What is left of an input.
pub struct BytesOf<'a>(pub &'a [u8]);

impl<'a> BytesOf<'a> {
    /// The next byte; 0 when there is none.
    pub fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    /// The next byte as one of so many choices.
    pub fn choice(&mut self, choices: usize) -> usize {
        usize::from(self.byte()) % choices
    }

    /// The next so many bytes, or what is left of them.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A text of at most 254 bytes behind its length; `None` for length 255 and at the end.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        match self.byte() {
            u8::MAX => None,
            length => Some(self.take(usize::from(length))),
        }
    }

    /// Four bytes as a number, big end first.
    pub fn number(&mut self) -> i32 {
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = self.byte();
        }
        i32::from_be_bytes(bytes)
    }

    /// The rest in pieces whose length is its first byte.
    pub fn pieces(mut self) -> impl Iterator<Item = &'a [u8]> {
        let length = usize::from(self.byte()).max(1);
        self.0.chunks(length)
    }
}

/// Whether `part` stands in `whole`.
pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && whole.windows(part.len()).any(|window| window == part)
}

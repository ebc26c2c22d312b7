//! Whether a stream is UTF-8, whatever its pieces.

/// Bytes of a character that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    cut: Vec<u8>,
}

impl Utf8 {
    /// The next piece.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let mut rest = bytes;
        while !self.cut.is_empty() {
            let Some((byte, after)) = rest.split_first() else { return Ok(()) };
            self.cut.push(*byte);
            rest = after;
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(()),
            }
        }
        let Err(error) = std::str::from_utf8(rest) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(());
        }
        self.cut.extend_from_slice(rest.get(error.valid_up_to()..).unwrap_or_default());
        Ok(())
    }

    /// Whether the stream may end here.
    pub fn finish(&self) -> Result<(), ()> {
        if self.cut.is_empty() { Ok(()) } else { Err(()) }
    }
}

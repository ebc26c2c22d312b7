//! The texts in which values are looked for: letters and digits alone, and values alone.

/// The letters and digits of a text, in lower case. What is no UTF-8 does not count.
pub(super) struct Folded {
    bytes: Vec<u8>,
    /// Which digits begin a number of the text.
    begins: Vec<bool>,
}

impl Folded {
    /// All of them.
    pub fn of(text: &[u8]) -> Self {
        Self::head(text, usize::MAX)
    }

    /// About so many of them: what stands behind is not looked at.
    pub fn head(text: &[u8], most: usize) -> Self {
        let room = text.len().min(most);
        let mut folded = Self { bytes: Vec::with_capacity(room), begins: Vec::with_capacity(room) };
        let mut in_number = false;
        for chunk in text.utf8_chunks() {
            for c in chunk.valid().chars().map(plain) {
                if folded.bytes.len() >= most {
                    return folded;
                }
                let is_digit = c.is_ascii_digit();
                if c.is_ascii() {
                    if c.is_ascii_alphanumeric() {
                        folded.bytes.push(c.to_ascii_lowercase() as u8);
                        folded.begins.push(is_digit && !in_number);
                    }
                } else if c.is_alphanumeric() {
                    for lower in c.to_lowercase() {
                        let mut bytes = [0; 4];
                        let bytes = lower.encode_utf8(&mut bytes).as_bytes();
                        folded.bytes.extend_from_slice(bytes);
                        folded.begins.resize(folded.bytes.len(), false);
                    }
                }
                in_number = is_digit;
            }
            in_number &= chunk.invalid().is_empty();
        }
        folded
    }

    /// Its numbers alone: words of nothing but digits.
    pub fn numbers(text: &[u8]) -> Self {
        let mut folded = Self { bytes: Vec::new(), begins: Vec::new() };
        for word in text.split(|byte| !(byte.is_ascii_alphanumeric() || *byte >= 0x80)) {
            if !word.is_empty() && word.iter().all(u8::is_ascii_digit) {
                folded.bytes.extend_from_slice(word);
                folded.begins.push(true);
                folded.begins.resize(folded.bytes.len(), false);
            }
        }
        folded
    }

    /// From its end.
    pub fn reversed(&self) -> Self {
        let mut bytes = self.bytes.clone();
        bytes.reverse();
        let ends = (0..self.bytes.len()).map(|at| self.is_digit(at) && self.ends(at));
        let mut begins: Vec<bool> = ends.collect();
        begins.reverse();
        Self { bytes, begins }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// At most so many of them, from there on.
    pub fn part(&self, from: usize, most: usize) -> &[u8] {
        let rest = self.bytes.get(from..).unwrap_or_default();
        rest.get(..most).unwrap_or(rest)
    }

    /// Whether so many from there on are whole numbers of the text.
    pub fn is_number(&self, at: usize, count: usize) -> bool {
        let begins = self.begins.get(at).copied().unwrap_or(false);
        begins && count > 0 && self.ends(at + count - 1)
    }

    /// Whether no number of the text goes on behind it.
    fn ends(&self, at: usize) -> bool {
        let begins = self.begins.get(at + 1).copied().unwrap_or(true);
        begins || !self.is_digit(at + 1)
    }

    fn is_digit(&self, at: usize) -> bool {
        self.bytes.get(at).is_some_and(u8::is_ascii_digit)
    }
}

/// Characters that are written in a second form of full width are the same.
fn plain(c: char) -> char {
    match u32::from(c) {
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Stands between values: two numbers are not one.
pub(super) const BETWEEN: u8 = 0;

/// Appends the values of a text, each with [`BETWEEN`] behind it and without the names beside
/// them, where it looks like JSON, a form or markup. False, and nothing is appended, where it looks
/// like none of them. It reads what is broken as far as it can: what is sent need not be valid for
/// its reader to understand it.
pub(super) fn values(text: &[u8], out: &mut Vec<u8>) -> bool {
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[' | b'"') => json(text, out),
        Some(b'<') => markup(text, out),
        _ if text.contains(&b'=') => form(text, out),
        _ => return false,
    }
    true
}

/// Strings that no colon follows, and digits that stand outside of strings.
fn json(text: &[u8], out: &mut Vec<u8>) {
    each(text, &mut |value, is_string| {
        match is_string {
            true => unescape(value, out),
            // `true`, `false` and `null` are no part of a value.
            false => out.extend(value.iter().filter(|byte| byte.is_ascii_digit())),
        }
        out.push(BETWEEN);
    });
}

/// The values of a JSON document, each on its own.
pub(super) fn scalars(document: &[u8]) -> Vec<Vec<u8>> {
    let mut scalars = Vec::new();
    each(document, &mut |value, is_string| {
        let mut scalar = Vec::with_capacity(value.len());
        match is_string {
            true => unescape(value, &mut scalar),
            false => scalar.extend_from_slice(value),
        }
        scalars.push(scalar);
    });
    scalars
}

/// Shows every string that is no name, without its quotes, and every other run of characters
/// between punctuation.
fn each(text: &[u8], show: &mut dyn FnMut(&[u8], bool)) {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'"' {
            let is_between = |byte: &u8| b"{}[]:,\" \t\r\n".contains(byte);
            let end = rest.iter().position(is_between).unwrap_or(rest.len());
            if end > 0 {
                show(rest.get(..end).unwrap_or_default(), false);
            }
            rest = if end > 0 { rest.get(end..).unwrap_or_default() } else { after };
            continue;
        }
        let mut end = 0;
        while let Some(byte) = after.get(end) {
            match byte {
                b'\\' => end += 2,
                b'"' => break,
                _ => end += 1,
            }
        }
        let string = after.get(..end).unwrap_or(after);
        rest = after.get(end + 1..).unwrap_or_default();
        let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
        if next != Some(&b':') {
            show(string, true);
        }
    }
}

/// Appends a JSON string as it reads (RFC 8259 section 7), without characters that are written as
/// surrogates, which no letter or digit of a value needs.
fn unescape(string: &[u8], out: &mut Vec<u8>) {
    let mut rest = string;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((escape, after)) = rest.split_first() else { return };
        rest = after;
        if *escape == b'u' {
            let digits = rest.get(..4).unwrap_or(rest);
            rest = rest.get(digits.len()..).unwrap_or_default();
            let code =
                std::str::from_utf8(digits).ok().and_then(|d| u32::from_str_radix(d, 16).ok());
            if let Some(c) = code.and_then(char::from_u32) {
                let mut bytes = [0; 4];
                out.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }
}

/// What stands between `=` and `&` (or `;`, or the end of a line).
fn form(text: &[u8], out: &mut Vec<u8>) {
    for pair in text.split(|byte| matches!(byte, b'&' | b';' | b'\n')) {
        let value = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => pair.get(at + 1..).unwrap_or_default(),
            None => pair,
        };
        percent(value, out);
        out.push(BETWEEN);
    }
}

fn percent(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digit = |at: usize| rest.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = rest.get(2..).unwrap_or_default();
            }
            _ => out.push(*byte),
        }
    }
}

/// What stands outside of `<` and `>`.
fn markup(text: &[u8], out: &mut Vec<u8>) {
    let mut within = false;
    for byte in text {
        match byte {
            b'<' => {
                within = true;
                out.push(BETWEEN);
            }
            b'>' => within = false,
            _ if !within => out.push(*byte),
            _ => {}
        }
    }
}

//! Rust source as checks see it: without comments, without strings, without tests.
//!
//! A small lexer, not a parser: it knows comments, strings, characters and braces, which is what
//! the checks need.

/// A source file with parts blanked out. All versions have the same bytes in the same places, so
/// lines and columns agree.
pub struct Source {
    /// Without comments.
    pub code: String,
    /// Without comments and without what stands in strings.
    pub bare: String,
    /// For each line, whether it belongs to a test.
    test_lines: Vec<bool>,
}

#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    BlockComment(u32),
    Text,
    RawText(usize),
}

impl Source {
    pub fn new(text: &str) -> Self {
        let (code, bare) = blank(text);
        let test_lines = test_lines(&bare, text.lines().count());
        Self { code, bare, test_lines }
    }

    /// Whether line number `line`, from 1, belongs to a test.
    pub fn is_test(&self, line: usize) -> bool {
        line.checked_sub(1).and_then(|i| self.test_lines.get(i)).copied().unwrap_or(false)
    }

    /// The lines of [`code`](Self::code) outside tests, with their numbers.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.code).filter(|(line, _)| !self.is_test(*line))
    }

    /// The lines of [`bare`](Self::bare) outside tests, with their numbers.
    pub fn bare_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.bare).filter(|(line, _)| !self.is_test(*line))
    }
}

/// The lines of a text with their numbers, from 1.
pub fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// Whether a file is a test as a whole, by where it lies.
pub fn is_test_path(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| matches!(part, "tests" | "tests.rs" | "benches" | "examples" | "testdata"))
        || path.ends_with("_tests.rs")
}

/// Blanks comments, then also strings.
fn blank(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let (mut code, mut bare) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(bytes.len()));
    let mut state = State::Code;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let (next, length, shown) = step(state, rest, bytes.get(..at).unwrap_or_default());
        for byte in rest.get(..length).unwrap_or(&[byte]) {
            let blanked = if matches!(byte, b'\n' | b'\r') { *byte } else { b' ' };
            code.push(if shown.in_code { *byte } else { blanked });
            bare.push(if shown.in_bare { *byte } else { blanked });
        }
        at += length.max(1);
        state = next;
    }
    let text = |bytes| String::from_utf8(bytes).unwrap_or_default();
    (text(code), text(bare))
}

#[derive(Clone, Copy)]
struct Shown {
    in_code: bool,
    in_bare: bool,
}

const BOTH: Shown = Shown { in_code: true, in_bare: true };
const CODE_ONLY: Shown = Shown { in_code: true, in_bare: false };
const NONE: Shown = Shown { in_code: false, in_bare: false };

/// One step of the lexer: the next state, how many bytes were taken, and where they are shown.
fn step(state: State, rest: &[u8], before: &[u8]) -> (State, usize, Shown) {
    match (state, rest) {
        (State::Code, [b'/', b'/', ..]) => (State::LineComment, 2, NONE),
        (State::Code, [b'/', b'*', ..]) => (State::BlockComment(1), 2, NONE),
        (State::Code, [b'"', ..]) => (State::Text, 1, BOTH),
        (State::Code, [b'\'', ..]) => (State::Code, character(rest), CODE_ONLY),
        (State::Code, [b'r', ..]) if !ends_in_word(before) => match raw_text(rest) {
            Some(hashes) => (State::RawText(hashes), hashes + 2, BOTH),
            None => (State::Code, 1, BOTH),
        },
        (State::Code, [b'b' | b'c', b'r', ..]) if !ends_in_word(before) => {
            match raw_text(rest.get(1..).unwrap_or_default()) {
                Some(hashes) => (State::RawText(hashes), hashes + 3, BOTH),
                None => (State::Code, 2, BOTH),
            }
        }
        (State::Code, _) => (State::Code, 1, BOTH),
        (State::LineComment, [b'\n', ..]) => (State::Code, 1, BOTH),
        (State::LineComment, _) => (State::LineComment, 1, NONE),
        (State::BlockComment(depth), [b'/', b'*', ..]) => (State::BlockComment(depth + 1), 2, NONE),
        (State::BlockComment(1), [b'*', b'/', ..]) => (State::Code, 2, NONE),
        (State::BlockComment(depth), [b'*', b'/', ..]) => (State::BlockComment(depth - 1), 2, NONE),
        (State::BlockComment(depth), _) => (State::BlockComment(depth), 1, NONE),
        (State::Text, [b'\\', _, ..]) => (State::Text, 2, CODE_ONLY),
        (State::Text, [b'"', ..]) => (State::Code, 1, BOTH),
        (State::Text, _) => (State::Text, 1, CODE_ONLY),
        (State::RawText(hashes), [b'"', ..]) if closes(rest, hashes) => {
            (State::Code, hashes + 1, BOTH)
        }
        (State::RawText(hashes), _) => (State::RawText(hashes), 1, CODE_ONLY),
    }
}

fn ends_in_word(before: &[u8]) -> bool {
    before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Number of `#` of the raw string that starts with the `r` in front.
fn raw_text(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"r")?;
    let hashes = after.iter().take_while(|byte| **byte == b'#').count();
    (after.get(hashes) == Some(&b'"')).then_some(hashes)
}

fn closes(rest: &[u8], hashes: usize) -> bool {
    rest.get(1..=hashes).is_some_and(|tail| tail.iter().all(|byte| *byte == b'#'))
}

/// Length of the character literal at the front; 1 when it is a lifetime.
fn character(rest: &[u8]) -> usize {
    match rest {
        [_, b'\\', _, tail @ ..] => {
            tail.iter().position(|byte| *byte == b'\'').map_or(1, |close| close + 4)
        }
        [_, first, tail @ ..] => {
            let width = match first {
                0..0x80 => 0,
                0x80..0xe0 => 1,
                0xe0..0xf0 => 2,
                _ => 3,
            };
            if tail.get(width) == Some(&b'\'') { width + 3 } else { 1 }
        }
        _ => 1,
    }
}

/// Lines that belong to an item under `#[cfg(test)]` or `#[test]`.
fn test_lines(bare: &str, count: usize) -> Vec<bool> {
    let mut marked = vec![false; count];
    for attribute in ["#[cfg(test)]", "#[test]"] {
        for (at, _) in bare.match_indices(attribute) {
            let end = item_end(bare, at + attribute.len());
            let first = bare.get(..at).unwrap_or_default().matches('\n').count();
            let last = bare.get(..end).unwrap_or_default().matches('\n').count();
            marked.iter_mut().take(last + 1).skip(first).for_each(|line| *line = true);
        }
    }
    marked
}

/// Where the item ends that starts after `from`: at its closing brace, or at a semicolon before
/// any brace.
fn item_end(bare: &str, from: usize) -> usize {
    let mut depth = 0_u32;
    for (offset, byte) in bare.bytes().enumerate().skip(from) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return offset,
            b'}' => depth -= 1,
            b';' if depth == 0 => return offset,
            _ => {}
        }
    }
    bare.len()
}

/// Names of modules declared with `mod NAME;`, with whether only tests see them.
pub fn declared_modules(source: &Source) -> Vec<(String, bool)> {
    let mut modules = Vec::new();
    let mut test_next = false;
    for (line, text) in numbered(&source.bare) {
        let text = text.trim();
        let name = text.strip_suffix(';').and_then(|text| {
            let (before, name) = text.rsplit_once("mod ")?;
            let plain = before.is_empty() || before.ends_with(' ') || before.ends_with(']');
            plain.then(|| name.trim().to_owned())
        });
        if let Some(name) = name {
            modules.push((name, test_next || source.is_test(line)));
        }
        test_next = text.starts_with("#[cfg(test)]");
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_in_place() {
        let text = "let a = \"x // y\"; // tail\n/* b /* c */ d */ let e = r#\"f\" \"#;";
        let source = Source::new(text);
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.bare.len(), text.len());
        assert!(source.code.contains("x // y") && !source.code.contains("tail"));
        assert!(!source.bare.contains("x //") && !source.bare.contains('d'));
        assert!(source.bare.contains("let e = r#\"   \"#;"));
    }

    #[test]
    fn quotes_in_characters_and_lifetimes_do_not_confuse() {
        let source =
            Source::new("fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' || c == 'é' } // x");
        assert!(source.bare.contains("fn f<'a>(c: char)") || source.bare.contains("fn f< a>"));
        assert!(!source.bare.contains('x') && source.bare.contains('}'));
    }

    #[test]
    fn lines_of_tests_are_known() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let source = Source::new(text);
        let tests: Vec<bool> = (1..=6).map(|line| source.is_test(line)).collect();
        assert_eq!(tests, [false, true, true, true, true, false]);
        let declared = Source::new("#[cfg(test)]\nmod fixture;\npub mod a;\nfn b() {}\n");
        assert!(declared.is_test(2) && !declared.is_test(4));
        let modules = declared_modules(&declared);
        assert_eq!(modules, [("fixture".to_owned(), true), ("a".to_owned(), false)]);
    }
}

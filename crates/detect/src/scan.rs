//! One walk over the text: a byte that may start or mark a value calls that value's own check.

use memchr::memmem::Finder;

use crate::kind::{DetectionType, Span, TypeSet};
use crate::number::Number;
use crate::prefilter::Prefilter;
use crate::text::{Gap, Unit, unit_at};
use crate::{aws, card, email, iban, jwt, pem, phone, ssn};

/// Fewest digits that any kind of number has.
const DIGITS_MIN: usize = 7;
/// Separators and invisible characters looked through between two groups of digits.
const GAP_UNITS_MAX: usize = 12;
/// Shortest text in which a secret and the word that announces it have room, bytes.
const SECRET_TEXT_MIN: usize = 46;

/// What a byte may be part of.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Nothing,
    Digit,
    WideDigitOrSign,
    Sign,
    AwsId,
    Token,
    Armour,
}

/// Looks for sensitive values of chosen kinds.
///
/// Cheap to share and to use from many threads; make one per set of kinds and keep it.
#[derive(Clone, Debug)]
pub struct Scanner {
    types: TypeSet,
    marks: [Mark; 256],
    /// Those that matter in a text without numbers; [`None`] when there are none.
    other_marks: Option<Box<[Mark; 256]>>,
    secret: Finder<'static>,
    secret_upper: Finder<'static>,
    prefilter: Prefilter,
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Nothing { "." } else { "x" })
    }
}

impl Scanner {
    /// A scanner for these kinds; with none it never finds anything.
    #[must_use]
    pub fn new(types: TypeSet) -> Self {
        let numbers = [
            DetectionType::CreditCard,
            DetectionType::UsSsn,
            DetectionType::Phone,
            DetectionType::Iban,
        ];
        let mut marks = [Mark::Nothing; 256];
        let mut mark = |bytes: &[u8], as_what: Mark| set(&mut marks, bytes, as_what);
        if types.contains(DetectionType::Email) {
            mark(b"@%\\&", Mark::Sign);
            mark(&[0xef], Mark::WideDigitOrSign);
        }
        if types.contains(DetectionType::AwsKey) {
            mark(b"A", Mark::AwsId);
        }
        if types.contains(DetectionType::Jwt) {
            mark(b"J", Mark::Token);
        }
        if types.contains(DetectionType::PrivateKey) {
            mark(b"-", Mark::Armour);
        }
        let other_marks = marks.iter().any(|mark| *mark != Mark::Nothing).then(|| marks.into());
        if numbers.into_iter().any(|kind| types.contains(kind)) {
            set(&mut marks, b"0123456789", Mark::Digit);
            set(&mut marks, &[0xef], Mark::WideDigitOrSign);
        }
        Self {
            types,
            marks,
            other_marks,
            secret: Finder::new(b"ecret"),
            secret_upper: Finder::new(b"ECRET"),
            prefilter: Prefilter::new(types),
        }
    }

    /// The kinds this scanner looks for.
    #[must_use]
    pub fn types(&self) -> TypeSet {
        self.types
    }

    /// Whether a scan of `bytes`, or of any part of them, may find something.
    ///
    /// "No" is certain: no [`scan`](Self::scan) of any `bytes[i..j]` finds anything, so a message
    /// with many fields can be asked about at once. "Yes" is a guess that errs on the side of yes.
    /// This sees nothing that the parts do not hold contiguously: ask again about bytes that were
    /// joined, decoded or unescaped.
    #[must_use]
    pub fn may_contain(&self, bytes: &[u8]) -> bool {
        self.prefilter.may_contain(bytes)
    }

    /// Replaces the content of `found` by the sensitive values in `text`: in order, not
    /// overlapping, each whole, and on character boundaries when `text` is UTF-8.
    ///
    /// `text` is one value (a field, a message, a document); what stands before and after it is not
    /// known. Linear in its length. Allocates only to grow `found`.
    pub fn scan(&self, text: &[u8], found: &mut Vec<Span>) {
        found.clear();
        let has_numbers = self.prefilter.may_contain_number(text);
        match &self.other_marks {
            _ if has_numbers => self.walk(text, &self.marks, found),
            Some(marks) => self.walk(text, marks, found),
            None => {}
        }
        debug_assert!(has_numbers || self.is_all(text, found), "a number was passed over");
        if self.types.contains(DetectionType::AwsKey) && text.len() >= SECRET_TEXT_MIN {
            self.secrets(text, found);
        }
    }

    /// Whether a walk to all marks finds no more than this.
    fn is_all(&self, text: &[u8], found: &[Span]) -> bool {
        let mut all = Vec::new();
        self.walk(text, &self.marks, &mut all);
        all == found
    }

    /// Visits every byte of `text` that is marked.
    fn walk(&self, text: &[u8], marks: &[Mark; 256], found: &mut Vec<Span>) {
        let mark = |byte: u8| marks.get(usize::from(byte)).copied().unwrap_or(Mark::Nothing);
        let mut walk = Walk { text, found, digits_end: None, number: Number::new() };
        let mut at = 0;
        while let Some(rest) = text.get(at..)
            && let Some(skip) = rest.iter().position(|byte| mark(*byte) != Mark::Nothing)
        {
            at += skip;
            let byte = text.get(at).copied().unwrap_or_default();
            at = self.visit(&mut walk, at, mark(byte)).max(at + 1);
        }
    }

    /// Looks at the mark at `at`; says where to go on.
    fn visit(&self, walk: &mut Walk<'_>, at: usize, mark: Mark) -> usize {
        let text = walk.text;
        let kind = |kind| move |(start, end)| Span { start, end, kind };
        let span = match mark {
            Mark::Nothing => None,
            Mark::Digit => return self.number(walk, at),
            Mark::WideDigitOrSign => match unit_at(text, at) {
                (Unit::Digit(_), _) => return self.number(walk, at),
                _ => self.address(text, at),
            },
            Mark::Sign => self.address(text, at),
            Mark::AwsId => aws::id(text, at).map(|end| (at, end)).map(kind(DetectionType::AwsKey)),
            Mark::Token => at
                .checked_sub(2)
                .filter(|start| text.get(*start..at) == Some(b"ey"))
                .and_then(|start| Some((start, jwt::recognise(text, start)?)))
                .map(kind(DetectionType::Jwt)),
            Mark::Armour => pem::recognise(text, at, walk.floor())
                .map(|key| (key.start, key.end))
                .map(kind(DetectionType::PrivateKey)),
        };
        span.map_or(at + 1, |span| walk.push(span))
    }

    fn address(&self, text: &[u8], at: usize) -> Option<Span> {
        if !self.types.contains(DetectionType::Email) {
            return None;
        }
        let email = email::recognise(text, at)?;
        Some(Span { start: email.start, end: email.end, kind: DetectionType::Email })
    }

    /// Looks at the group of digits that starts at `at`.
    fn number(&self, walk: &mut Walk<'_>, at: usize) -> usize {
        let text = walk.text;
        if self.types.contains(DetectionType::Iban)
            && let Some(iban) = iban::recognise(text, at)
        {
            let (start, end) = (iban.start, iban.end);
            return walk.push(Span { start, end, kind: DetectionType::Iban });
        }
        let before = walk.digits_end.and_then(|end| gap_between(text, end, at));
        if before == Some(Gap::None) {
            return walk.pass_digits(at);
        }
        walk.number.read(text, at);
        let number = &walk.number;
        if number.len() < DIGITS_MIN {
            let end = number.end(number.len());
            walk.digits_end = Some(end);
            return end;
        }
        if let Some(span) = self.recognise(text, number, before) {
            return walk.push(span);
        }
        let first = number.groups().lengths().first().copied().map_or(1, usize::from);
        let end = number.end(first);
        walk.pass_digits(end)
    }

    fn recognise(&self, text: &[u8], number: &Number, before: Option<Gap>) -> Option<Span> {
        let start = number.start(0);
        let span = |count, kind| Span { start, end: number.end(count), kind };
        if self.types.contains(DetectionType::CreditCard)
            && let Some(count) = card::recognise(text, number, before)
        {
            return Some(span(count, DetectionType::CreditCard));
        }
        if self.types.contains(DetectionType::UsSsn)
            && let Some(count) = ssn::recognise(text, number, before)
        {
            return Some(span(count, DetectionType::UsSsn));
        }
        if self.types.contains(DetectionType::Phone)
            && let Some(found) = phone::recognise(text, number, before)
        {
            let end = number.end(found.count);
            return Some(Span { start: found.start, end, kind: DetectionType::Phone });
        }
        None
    }

    /// Adds the AWS secrets that a word or a key id announces.
    fn secrets(&self, text: &[u8], found: &mut Vec<Span>) {
        let known = found.len();
        let add = |found: &mut Vec<Span>, after: usize| {
            if let Some((start, end)) = aws::secret_after(text, after) {
                found.push(Span { start, end, kind: DetectionType::AwsKey });
            }
        };
        for index in 0..known {
            match found.get(index) {
                Some(span) if span.kind == DetectionType::AwsKey => add(found, span.end),
                _ => {}
            }
        }
        for word in [&self.secret, &self.secret_upper] {
            for at in word.find_iter(text) {
                add(found, at + word.needle().len());
            }
        }
        if found.len() > known {
            settle(found);
        }
    }
}

fn set(marks: &mut [Mark; 256], bytes: &[u8], mark: Mark) {
    for byte in bytes {
        if let Some(slot) = marks.get_mut(usize::from(*byte)) {
            *slot = mark;
        }
    }
}

/// Puts spans in order and joins those that overlap.
fn settle(found: &mut Vec<Span>) {
    found.sort_unstable_by_key(|span| (span.start, span.end));
    found.dedup_by(|next, last| {
        let overlap = next.start < last.end;
        if overlap {
            if next.end - next.start > last.end - last.start {
                last.kind = next.kind;
            }
            last.end = last.end.max(next.end);
        }
        overlap
    });
}

/// The state of one walk.
struct Walk<'a> {
    text: &'a [u8],
    found: &'a mut Vec<Span>,
    /// Where the last group of digits ended that was not part of a value.
    digits_end: Option<usize>,
    /// The number that was read last.
    number: Number,
}

impl Walk<'_> {
    /// Where the last value ended.
    fn floor(&self) -> usize {
        self.found.last().map_or(0, |span| span.end)
    }

    /// Adds a value, which swallows earlier ones that reach into it. Says where to go on.
    fn push(&mut self, mut span: Span) -> usize {
        while let Some(last) = self.found.last().copied().filter(|last| last.end > span.start) {
            span.start = span.start.min(last.start);
            span.end = span.end.max(last.end);
            self.found.pop();
        }
        self.digits_end = None;
        self.found.push(span);
        span.end
    }

    /// Steps over the digits at `at`.
    fn pass_digits(&mut self, at: usize) -> usize {
        let mut at = at;
        while let (Unit::Digit(_), bytes) = unit_at(self.text, at) {
            at += bytes;
        }
        self.digits_end = Some(at);
        at
    }
}

/// What stands between digits that end at `from` and digits that start at `to`, when it could be
/// inside one number.
fn gap_between(text: &[u8], from: usize, to: usize) -> Option<Gap> {
    let (mut at, mut gap) = (from, Gap::None);
    for _ in 0..GAP_UNITS_MAX {
        if at >= to {
            return (at == to).then_some(gap);
        }
        let (unit, bytes) = unit_at(text, at);
        gap = match unit {
            Unit::Separator(kind) if gap == Gap::None => kind,
            Unit::Separator(_) => Gap::Other,
            Unit::Invisible => gap,
            _ => return None,
        };
        at += bytes;
    }
    None
}

//! What masked columns would be compared with, so that it can be counted (R5).

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use engine::Refusal;
use model::{ClientText, Guess};
use sql::Operand;

use crate::admit::allowed_predicates;
use crate::judge::{Judged, judge};
use crate::names::Source;
use crate::ready::Ready;

/// Values told apart in one operation; more are more than any budget.
const VALUES_MAX: usize = 100_000;

/// A value bound to a statement: itself, and its elements when it may be an array.
pub(super) struct BoundValue(Vec<Box<[u8]>>);

impl BoundValue {
    pub fn new(value: Option<&[u8]>, is_binary: bool) -> Self {
        let Some(value) = value else { return Self(Vec::new()) };
        let elements = if is_binary { binary_elements(value) } else { text_elements(value) };
        Self(with_itself(value, elements))
    }
}

impl Ready {
    /// Every value that the operation compares with a masked column whose mask allows it.
    ///
    /// # Errors
    /// They are too many to count.
    pub(super) fn guesses(
        &self,
        judged: &Arc<Judged>,
        source: Option<&Source>,
        values: &[BoundValue],
    ) -> Result<Vec<Guess>, Refusal> {
        let Some(snapshot) = self.snapshot().filter(|_| !self.masks.is_empty()) else {
            return Ok(Vec::new());
        };
        let catalog = &snapshot.catalog;
        let masked = self.cache.masked(&self.masks, catalog);
        let mut guesses = Vec::new();
        let source = source.map(|source| (&source.judged, true));
        for (judged, is_run_by_another) in [(judged, false)].into_iter().chain(source) {
            let concerned = |guess: &&sql::Guess| {
                masked.contains_key(&guess.column)
                    && allowed_predicates(&self.masks, catalog, guess.column)
                        == sql::Predicates::Equality
            };
            let mut list = judged.statements.list.iter().flat_map(|one| &one.guesses);
            if !list.any(|guess| concerned(&guess)) {
                continue;
            }
            let exact = match judged.exact {
                true => Arc::clone(judged),
                // The literals were left out when texts of this shape were judged.
                false => match judge(&judged.text, &judged.environment, catalog) {
                    Ok(exact) => Arc::new(exact),
                    Err(_) => return Err(too_many()),
                },
            };
            for guess in exact.statements.list.iter().flat_map(|one| &one.guesses) {
                if !concerned(&guess) {
                    continue;
                }
                let Some((relation, column)) = catalog.column(guess.column) else { continue };
                let field: Arc<str> =
                    format!("{}.{}.{}", relation.schema, relation.name, column.name).into();
                let all = match &guess.operand {
                    Operand::Constant(text) => {
                        with_itself(text.as_bytes(), text_elements(text.as_bytes()))
                    }
                    Operand::Parameter(number) if !is_run_by_another => {
                        let index = usize::try_from(number.saturating_sub(1)).unwrap_or_default();
                        values.get(index).map(|value| value.0.clone()).unwrap_or_default()
                    }
                    // The arguments of EXECUTE, which are not told apart.
                    Operand::Parameter(_) | Operand::Unbounded => made_of(judged, values, true),
                    Operand::Computed => made_of(judged, values, false),
                };
                if guesses.len().saturating_add(all.len()) > VALUES_MAX {
                    return Err(too_many());
                }
                let field = |value| Guess { field: Arc::clone(&field), value };
                guesses.extend(all.into_iter().map(field));
            }
        }
        Ok(guesses)
    }
}

fn too_many() -> Refusal {
    let words = "a masked column is compared with more values than can be counted";
    Refusal::unjudgeable("predicate", ClientText::fixed(words))
}

/// An array is counted as a whole too: what looks like one may be a text, and texts that are made
/// of the same parts are different guesses.
fn with_itself(value: &[u8], elements: Option<Vec<Box<[u8]>>>) -> Vec<Box<[u8]>> {
    let mut values = elements.unwrap_or_default();
    values.push(value.into());
    values
}

/// Something for each value that could be made of the text and what is bound to it: one, or as many
/// as there can be when they are arguments of EXECUTE, which are parted by commas.
fn made_of(judged: &Judged, values: &[BoundValue], several: bool) -> Vec<Box<[u8]>> {
    let mut all = Context::new(&SHA256);
    all.update(judged.text.as_bytes());
    let bound = values.iter().flat_map(|value| &value.0);
    for value in bound.clone() {
        all.update(&(value.len() as u64).to_be_bytes());
        all.update(value);
    }
    let all = all.finish();
    let commas = memchr::memchr_iter(b',', judged.text.as_bytes()).count();
    let count = if several { commas.saturating_add(bound.count()) } else { 0 };
    let numbered = |number: usize| {
        let mut value = all.as_ref().to_vec();
        value.extend((number as u64).to_be_bytes());
        value.into_boxed_slice()
    };
    (0..=count.min(VALUES_MAX)).map(numbered).collect()
}

/// The elements of what may be an array literal (PostgreSQL 17, section 8.15.2), roughly: parted at
/// every comma, so never fewer than there are.
fn text_elements(text: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let trimmed = text.trim_ascii();
    if !matches!(trimmed.first(), Some(b'{' | b'[')) {
        return None;
    }
    let parts = trimmed.split(|byte| matches!(byte, b',' | b'{' | b'}'));
    Some(
        parts
            .filter(|part| !part.is_empty())
            .take(VALUES_MAX.saturating_add(1))
            .map(Into::into)
            .collect(),
    )
}

/// The elements of an array in binary (`array_send`): dimensions, a flag, the type, each
/// dimension's length and lower bound, then every element after its length. `None` when it is none.
fn binary_elements(bytes: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let mut rest = bytes;
    let mut number = || {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        Some(i32::from_be_bytes(*head))
    };
    let dimensions = number()?;
    let flag = number()?;
    number()?;
    if !(0..=6).contains(&dimensions) || !(0..=1).contains(&flag) {
        return None;
    }
    for _ in 0..dimensions {
        number()?;
        number()?;
    }
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*head)) else { continue };
        let (element, tail) = rest.split_at_checked(length)?;
        rest = tail;
        elements.push(element.into());
        if elements.len() > VALUES_MAX {
            break;
        }
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(value: &[u8], is_binary: bool) -> usize {
        BoundValue::new(Some(value), is_binary).0.len()
    }

    #[test]
    fn r5_every_element_of_an_array_is_a_value() {
        assert_eq!(count(b"x", false), 1);
        assert_eq!(count(b"{a,b,\"c,d\"}", false), 5);
        assert_eq!(count(b" {{a,b},{c,NULL}}", false), 5);
        assert_eq!(count(b"[0:1]={a,b}", false), 4);
        assert_eq!(count(b"{,}", false), 1);
        assert_eq!(BoundValue::new(None, false).0.len(), 0);
        let array = |values: &[Option<&str>]| {
            let mut out = Vec::new();
            for head in [1, 0, 25, values.len() as i32, 1] {
                out.extend(i32::to_be_bytes(head));
            }
            for value in values {
                out.extend(value.map_or(-1, |text| text.len() as i32).to_be_bytes());
                out.extend(value.unwrap_or_default().as_bytes());
            }
            out
        };
        assert_eq!(count(&array(&[Some("a"), None, Some("bc")]), true), 3);
        assert_eq!(count(b"123-45-6789", true), 1);
        let cut = array(&[Some("abc")]);
        assert_eq!(count(&cut[..cut.len() - 1], true), 1);
    }
}

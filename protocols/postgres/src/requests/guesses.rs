//! What masked columns would be compared with, so that it can be counted (R5).

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use engine::Refusal;
use model::{ClientText, Guess};
use sql::{Operand, StatementKind};

use crate::admit::allowed_predicates;
use crate::judge::{Judged, judge};
use crate::names::Source;
use crate::ready::Ready;

/// Values told apart in one operation; more are more than any budget.
const VALUES_MAX: usize = 100_000;

/// A value bound to a statement: itself, and its elements when it may be an array.
pub(super) struct BoundValue {
    values: Vec<Box<[u8]>>,
    /// Its type, as the client declared it: `pg_type.oid`; 0 for the one it is used as.
    type_oid: u32,
}

impl BoundValue {
    pub fn new(value: Option<&[u8]>, is_binary: bool, type_oid: u32) -> Self {
        let Some(value) = value else { return Self { values: Vec::new(), type_oid } };
        let elements = if is_binary { binary_elements(value) } else { text_elements(value) };
        Self { values: with_itself(value, elements), type_oid }
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
        let by = judged;
        let mut arguments = None;
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
                    Operand::Cast(_)
                    | Operand::Given(_)
                    | Operand::Parameter(_)
                    | Operand::Computed
                    | Operand::Stored(_)
                        if is_run_by_another =>
                    {
                        let arguments = arguments.get_or_insert_with(|| self.arguments(by));
                        let Some((arguments, types)) = arguments else {
                            return Err(not_written_out());
                        };
                        if !is_counted(&guess.operand, types, catalog) {
                            return Err(converts());
                        }
                        let mut all = Vec::new();
                        for argument in arguments.iter() {
                            all.extend(written(argument, values, catalog)?);
                        }
                        if matches!(guess.operand, Operand::Computed | Operand::Stored(_)) {
                            all.push(made_of(judged, &all));
                        }
                        all
                    }
                    Operand::Computed | Operand::Stored(_) => {
                        let types: Vec<u32> = values.iter().map(|value| value.type_oid).collect();
                        if !is_counted(&guess.operand, &types, catalog) {
                            return Err(converts());
                        }
                        let bound = values.iter().flat_map(|value| value.values.iter().cloned());
                        vec![made_of(judged, &bound.collect::<Vec<_>>())]
                    }
                    operand => written(operand, values, catalog)?,
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

    /// What the arguments of every EXECUTE in a text are, and the types that `Parse` declared for
    /// what they run; `None` when that cannot be told.
    fn arguments(&self, by: &Arc<Judged>) -> Option<(Vec<Operand>, Vec<u32>)> {
        let exact = match by.exact {
            true => Arc::clone(by),
            false => Arc::new(judge(&by.text, &by.environment, &self.snapshot()?.catalog).ok()?),
        };
        let (mut all, mut types) = (Vec::new(), Vec::new());
        for statement in &exact.statements.list {
            let StatementKind::Execute { name, arguments } = &statement.kind else { continue };
            // `Parse` can prepare an EXECUTE, whose arguments are not those of this one.
            let runs = self.statements.find(name.as_bytes())?;
            let mut list = runs.judged.statements.list.iter();
            if list.any(|one| matches!(one.kind, StatementKind::Execute { .. })) {
                return None;
            }
            all.extend(arguments.iter().cloned());
            types.extend(&runs.parameter_types);
        }
        Some((all, types))
    }
}

/// The values of an operand that is written out or bound.
fn written(
    operand: &Operand,
    values: &[BoundValue],
    catalog: &sql::Catalog,
) -> Result<Vec<Box<[u8]>>, Refusal> {
    match operand {
        Operand::Constant(text) => Ok(with_itself(text.as_bytes(), text_elements(text.as_bytes()))),
        Operand::Cast(number) | Operand::Given(number) | Operand::Parameter(number) => {
            let index = usize::try_from(number.saturating_sub(1)).unwrap_or_default();
            let Some(value) = values.get(index) else { return Ok(Vec::new()) };
            if !is_counted(operand, &[value.type_oid], catalog) {
                return Err(converts());
            }
            Ok(value.values.clone())
        }
        Operand::Computed | Operand::Stored(_) | Operand::Unbounded => Err(not_written_out()),
    }
}

/// Whether values of these types are compared as what was bound.
fn is_counted(operand: &Operand, types: &[u32], catalog: &sql::Catalog) -> bool {
    /// `float4` and `float8`.
    const FLOATS: [u32; 2] = [700, 701];
    types.iter().all(|oid| match operand {
        Operand::Cast(_) | Operand::Computed => sql::Catalog::is_steady(*oid),
        Operand::Given(_) => FLOATS.contains(oid) || catalog.is_plain(*oid),
        // What is removed or changed has no value of the client's in it.
        Operand::Stored(_) => true,
        _ => catalog.is_plain(*oid),
    })
}

fn not_written_out() -> Refusal {
    let words = "a masked column may be compared only with values that are in the statement or \
                 bound to it, so that they can be counted";
    Refusal::unjudgeable("predicate", ClientText::fixed(words))
}

fn converts() -> Refusal {
    let words = "a masked column would be converted to the type of what it is compared with; bind \
                 a value of the column's own type";
    Refusal::unjudgeable("predicate", ClientText::fixed(words))
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

/// Stands for the one value that is made of the text and what is bound to it.
fn made_of(judged: &Judged, bound: &[Box<[u8]>]) -> Box<[u8]> {
    let mut all = Context::new(&SHA256);
    all.update(judged.text.as_bytes());
    for value in bound {
        all.update(&(value.len() as u64).to_be_bytes());
        all.update(value);
    }
    all.finish().as_ref().into()
}

/// The elements of what may be an array literal (PostgreSQL 17, section 8.15.2), roughly: parted at
/// every comma, so never fewer than there are.
///
/// A vector of numbers (`int2vector`, `oidvector`) has blanks between them, and no braces.
fn text_elements(text: &[u8]) -> Option<Vec<Box<[u8]>>> {
    // What `array_in` skips has a vertical tab in it too.
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_blank(byte))?;
    let trimmed = text.get(start..)?;
    let is_array = matches!(trimmed.first(), Some(b'{' | b'['));
    let of_vector = |byte: &u8| byte.is_ascii_digit() || is_blank(byte) || *byte == b'-';
    let is_vector = trimmed.iter().any(is_blank) && trimmed.iter().all(of_vector);
    if !is_array && !is_vector {
        return None;
    }
    let parts = trimmed.split(|byte| match is_array {
        true => matches!(byte, b',' | b'{' | b'}'),
        false => is_blank(byte),
    });
    let parts = parts.filter(|part| !part.is_empty());
    Some(parts.take(VALUES_MAX.saturating_add(1)).map(Into::into).collect())
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
        BoundValue::new(Some(value), is_binary, 0).values.len()
    }

    #[test]
    fn r5_every_element_of_an_array_is_a_value() {
        assert_eq!(count(b"x", false), 1);
        assert_eq!(count(b"{a,b,\"c,d\"}", false), 5);
        assert_eq!(count(b" {{a,b},{c,NULL}}", false), 5);
        assert_eq!(count(b"[0:1]={a,b}", false), 4);
        assert_eq!(count(b"{,}", false), 1);
        assert_eq!(count(b"\x0b\t{a,b}", false), 3, "array_in skips vertical tabs");
        assert_eq!(count(b"100 101\t-102", false), 4, "int2vector and oidvector");
        assert_eq!(count(b"100", false), 1);
        assert_eq!(BoundValue::new(None, false, 0).values.len(), 0);
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

//! The right word for a wrong one.

/// Longest word compared, characters; longer ones have no nearest word.
const CHARS_MAX: usize = 80;

/// The candidate that `word` most probably means, if any is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.len() > CHARS_MAX {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= CHARS_MAX)
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (word.len().max(candidate.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?`, for [`nearest`].
pub(crate) fn hint<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|found| format!("did you mean \"{found}\"?"))
}

/// Insertions, deletions, replacements and swaps of neighbours from one word to the other; the part
/// of a candidate before its last dot may be left out for one.
fn distance(word: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.to_lowercase().chars().collect();
    let whole = edits(word, &candidate);
    match candidate.iter().rposition(|c| *c == '.') {
        Some(dot) if !word.contains(&'.') => {
            whole.min(1 + edits(word, candidate.get(dot + 1..).unwrap_or(&[])))
        }
        _ => whole,
    }
}

fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut least = (cell(&last, j) + usize::from(from != to))
                .min(cell(&last, j + 1) + 1)
                .min(cell(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                least = least.min(cell(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_when_it_is_near() {
        let words = ["sql.verbs", "sql.tables", "result.rows", "principal.rows", "now"];
        for (wrong, right) in [
            ("sql.verb", Some("sql.verbs")),
            ("sql.vebrs", Some("sql.verbs")),
            ("tables", Some("sql.tables")),
            ("SQL.Tables", Some("sql.tables")),
            ("result.row", Some("result.rows")),
            ("nwo", Some("now")),
            ("elephants", None),
        ] {
            assert_eq!(nearest(wrong, words), right, "{wrong}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), words), None);
    }
}

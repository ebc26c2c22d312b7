//! The nearest right word for a wrong one.

/// The word of `known` that `wrong` most likely meant; `None` when none is near enough to be a
/// help.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const CHARS_MAX: usize = 64;
    let wrong: Vec<char> = wrong.to_lowercase().chars().take(CHARS_MAX).collect();
    let best = known
        .into_iter()
        .map(|word| {
            let letters: Vec<char> = word.to_lowercase().chars().take(CHARS_MAX).collect();
            (distance(&wrong, &letters), word, letters.len())
        })
        .min_by_key(|(distance, ..)| *distance)?;
    let (distance, word, letters) = best;
    (distance <= letters.min(wrong.len()).div_ceil(3)).then_some(word)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the
/// other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut last = None;
    for (row, letter) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut left = None;
        for (column, other) in to.iter().enumerate() {
            let at =
                |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let replace = at(&above, column) + usize::from(letter != other);
            let shift = at(&above, column + 1).min(at(&current, column)) + 1;
            let mut best = replace.min(shift);
            if last == Some(other) && left == Some(letter) {
                best = best.min(at(&before, column.saturating_sub(1)) + 1);
            }
            current.push(best);
            left = Some(other);
        }
        before = std::mem::replace(&mut above, current);
        last = Some(letter);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_their_word() {
        let known = ["resources", "recording", "rules", "access", "password"];
        for (wrong, right) in [
            ("resource", "resources"),
            ("recroding", "recording"),
            ("Rules", "rules"),
            ("acess", "access"),
            ("pasword", "password"),
            ("passwrod", "password"),
        ] {
            assert_eq!(nearest(wrong, known), Some(right), "{wrong}");
        }
    }

    #[test]
    fn a_far_word_is_no_help() {
        assert_eq!(nearest("kubernetes", ["rules", "access"]), None);
        assert_eq!(nearest("", ["rules"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn distance_counts_edits() {
        let distance = |a: &str, b: &str| {
            distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}

//! Rules told apart by what they say: recorded when they come into force, so that a recording shows
//! which rules were in force when, and a backtest which of them are the same today.

use std::collections::BTreeMap;

use policy::{PolicySpec, RuleSpec};

use super::show;

/// Digits of a digest: enough to tell the rules of one name apart.
const DIGITS: usize = 12;
/// Rules that a record names.
const RULES_MAX: usize = 2_000;
/// What comes before the rules in a record.
const MARK: &str = "; rules: ";

/// The digest of each rule, by name: the word for its action, and digits. Lists that conditions
/// may read are part of it.
#[must_use]
pub fn of(policy: &PolicySpec) -> BTreeMap<String, String> {
    let lists = format!("{:?}", policy.lists);
    let digest = |rule: &RuleSpec| {
        let reads_lists = rule.when.as_ref().is_some_and(|when| when.value.contains("lists."));
        let lists = if reads_lists { lists.as_str() } else { "" };
        let text = format!("{}\n{lists}", show::rule(rule));
        let mut digits = archive::merkle::hex(&archive::merkle::sha256(text.as_bytes()));
        digits.truncate(DIGITS);
        (rule.name.value.clone(), format!("{}.{digits}", rule.action.word()))
    };
    policy.rules.iter().take(RULES_MAX).map(digest).collect()
}

/// The same as the end of a record's detail.
#[must_use]
pub fn told(policy: &PolicySpec) -> String {
    let digests = of(policy);
    let digests = digests
        .iter()
        .map(|(name, digest)| format!("{digest} {}", serde_json::Value::from(name.as_str())));
    let more = match policy.rules.len().saturating_sub(RULES_MAX) {
        0 => String::new(),
        more => format!("; the last {more} of them are not named"),
    };
    format!("{more}{MARK}{}", digests.collect::<Vec<_>>().join(", "))
}

/// What [`told`] wrote; `None` where a record says nothing of rules.
#[must_use]
pub fn read(detail: &str) -> Option<BTreeMap<String, String>> {
    let (_, mut rest) = detail.split_once(MARK)?;
    let mut digests = BTreeMap::new();
    while !rest.is_empty() {
        let (digest, after) = rest.split_once(' ')?;
        let mut names = serde_json::Deserializer::from_str(after).into_iter::<String>();
        let name = names.next()?.ok()?;
        rest = after.get(names.byte_offset()..)?;
        rest = rest.strip_prefix(", ").unwrap_or(rest);
        digests.insert(name, digest.to_owned());
    }
    Some(digests)
}

#[cfg(test)]
mod tests {
    use policy::{ActionSpec, Applies, Located, Location};

    use super::*;

    fn rule(name: &str, when: &str, message: &str) -> RuleSpec {
        let at = |text: &str| Located::new(text.to_owned(), Location::default());
        RuleSpec {
            name: at(name),
            applies: Applies::default(),
            on: Vec::new(),
            when: Some(at(when)),
            action: ActionSpec::Block(at(message)),
            observe: false,
            window: None,
            at: Location::default(),
        }
    }

    fn policy(rules: Vec<RuleSpec>, list: &str) -> PolicySpec {
        let lists = vec![("l".to_owned(), vec![list.to_owned()])];
        PolicySpec { rules, lists, ..PolicySpec::default() }
    }

    #[test]
    fn what_was_told_is_read() {
        // A letter that only a mark makes whole, and one that nobody sees.
        let odd = "a, \"b\" é\u{301}\u{200b}\u{7f}'";
        let rules = vec![rule(odd, "true", "no"), rule("c", "false", "no")];
        let policy = policy(rules, "x");
        let detail = format!("2 rules{}", told(&policy));
        assert_eq!(read(&detail), Some(of(&policy)), "{detail}");
        assert_eq!(read("2 rules"), None);
        let none = PolicySpec::default();
        assert_eq!(read(&told(&none)), Some(BTreeMap::new()));
        let many = (0..RULES_MAX + 3).map(|number| rule(&number.to_string(), "true", "no"));
        let many = PolicySpec { rules: many.collect(), ..PolicySpec::default() };
        let detail = told(&many);
        assert!(detail.starts_with("; the last 3 of them are not named; rules: "), "{detail:.99}");
        assert_eq!(read(&detail).unwrap().len(), RULES_MAX);
    }

    #[test]
    fn a_rule_that_says_something_else_has_another_digest() {
        let one = |when: &str, message: &str, list: &str| {
            of(&policy(vec![rule("r", when, message)], list)).remove("r").unwrap()
        };
        let first = one("true", "no", "x");
        assert_eq!(first, one("true", "no", "y"), "it reads no list");
        assert_ne!(first, one("false", "no", "x"));
        assert_ne!(first, one("true", "never", "x"));
        let listed = one("a in lists.l", "no", "x");
        assert_ne!(listed, one("a in lists.l", "no", "y"));
    }
}

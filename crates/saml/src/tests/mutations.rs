//! Whatever is done to a signed document, either it is refused or it says what was signed.

use proptest::prelude::*;

use super::idp::{Answer, Over, accept};

/// Documents that are right, made once.
fn documents() -> &'static [String] {
    static MADE: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let answer = Answer::default();
        [Over::Assertion, Over::Response, Over::Both].map(|over| answer.signed(over)).to_vec()
    })
}

/// Where elements begin and end: the places at which wrapping cuts.
fn edges(document: &str) -> Vec<usize> {
    let tags = document.match_indices('<').map(|(at, _)| at);
    let ends = document.match_indices('>').map(|(at, _)| at + 1);
    let mut edges: Vec<usize> = tags.chain(ends).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn holds(document: &str) {
    if let Ok(signed_in) = accept(document) {
        assert_eq!(signed_in.subject, "alice@example.com", "{document}");
        assert_eq!(signed_in.groups, ["dba", "people"], "{document}");
        assert_eq!(signed_in.assertion, "_a1", "{document}");
        assert_eq!(signed_in.session_index.as_deref(), Some("_s1"), "{document}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bytes_that_change(which in 0..3_usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut document = documents()[which].clone().into_bytes();
        let at = at.index(document.len());
        document[at] = byte;
        holds(&String::from_utf8_lossy(&document));
    }

    #[test]
    fn pieces_that_move(
        which in 0..3_usize,
        ends in prop::array::uniform3(any::<prop::sample::Index>()),
        keep in any::<bool>(),
    ) {
        let document = &documents()[which];
        let edges = edges(document);
        let [a, b, to] = ends.map(|end| edges[end.index(edges.len())]);
        let (a, b) = (a.min(b), a.max(b));
        let piece = &document[a..b];
        // Copied to another place, or moved there.
        let copied = format!("{}{piece}{}", &document[..to], &document[to..]);
        let without = format!("{}{}", &document[..a], &document[b..]);
        let to = to.min(without.len());
        holds(&copied);
        if !keep && without.is_char_boundary(to) {
            holds(&format!("{}{piece}{}", &without[..to], &without[to..]));
        }
    }

    #[test]
    fn whole_elements_that_are_doubled_under_other_ids(
        which in 0..3_usize,
        name in prop::sample::select(vec![
            "saml:Assertion", "ds:Signature", "saml:Subject", "saml:AttributeStatement",
            "saml:Conditions", "saml:Issuer", "ds:SignedInfo", "ds:Reference", "samlp:Status",
            "saml:Attribute", "saml:NameID",
        ]),
        at in any::<prop::sample::Index>(),
        rename in any::<bool>(),
    ) {
        let document = &documents()[which];
        if !document.contains(&format!("<{name}")) {
            return Ok(());
        }
        let (element, _) = super::idp::cut(document, name);
        let mut evil = element.replace("alice@example.com", "mallory").replace(">dba<", ">admin<");
        if rename {
            evil = evil.replace("ID=\"_", "ID=\"_x");
        }
        let edges = edges(document);
        let at = edges[at.index(edges.len())];
        holds(&format!("{}{evil}{}", &document[..at], &document[at..]));
    }

    #[test]
    fn anything_at_all(text in ".{0,400}") {
        prop_assert!(accept(&text).is_err());
    }
}

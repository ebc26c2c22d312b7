//! Elements.

use proptest::prelude::*;

use super::*;

fn masks() -> Arc<MaskPlan> {
    plan(
        &[("ssn", "redact"), ("pin", "null"), ("customer.card", "partial")],
        &[("CREDIT_CARD", "redact")],
    )
}

fn masked(body: &str) -> String {
    let plan = masks();
    same_for_every_cut(&Kind::Xml, &plan, body.as_bytes());
    whole(&Kind::Xml, &plan, body).unwrap()
}

#[test]
fn p9_elements_pass_byte_for_byte() {
    for body in [
        "",
        "<a/>",
        "\u{feff}<?xml version=\"1.0\" encoding='UTF-8'?>\n<!DOCTYPE a SYSTEM \"x>y\">\n<a b = 'c>\"' d=\"&lt;&unknown;&\" >\n<n:b xmlns:n=\"u\">é &amp; <![CDATA[<x>&]]>]]</n:b><!-- - > --><?p x?></a >\n",
        "<a>1 &gt; 0</a><!-- end -->",
    ] {
        passes(&Kind::Xml, body);
    }
}

#[test]
fn p3_elements_and_attributes_are_masked_by_their_names() {
    assert_eq!(
        masked("<a><n:SSN>1</n:SSN><b ssn='2' c=\"3\"/></a>"),
        "<a><n:SSN>[REDACTED]</n:SSN><b ssn='[REDACTED]' c=\"3\"/></a>"
    );
    assert_eq!(masked("<ssn>07<!-- 8 -->8<![CDATA[9]]><?x 1?></ssn>"), "<ssn>[REDACTED]</ssn>");
    assert_eq!(masked("<pin a='1'> <b>2</b>\n<c>3</c></pin>"), "<pin a=''> <b></b>\n<c></c></pin>");
    assert_eq!(
        masked("<customer><card>&#49;2345678</card></customer>"),
        "<customer><card>******78</card></customer>"
    );
    assert_eq!(masked("<x><customer card='12345678'/></x>"), "<x><customer card='12345678'/></x>");
    assert_eq!(masked("<customer card='12345678'/>"), "<customer card='******78'/>");
    assert_eq!(masked("<a>{\"ssn\":\"1\"}</a>"), "<a>{&quot;ssn&quot;:&quot;[REDACTED]&quot;}</a>");
}

#[test]
fn types_are_found_behind_entities() {
    assert_eq!(masked("<a>&#x34;111111111111111 &lt; x</a>"), "<a>[REDACTED] &lt; x</a>");
    assert_eq!(
        masked(
            "<a b='4111 1111 1111 1111'><![CDATA[4111111111111111]]></a><!--4111111111111111-->"
        ),
        "<a b='[REDACTED]'>[REDACTED]</a><!--[REDACTED]-->"
    );
}

#[test]
fn p2_what_is_not_plain_xml_is_refused() {
    let plan = masks();
    for body in [
        "<a>",
        "<a></b>",
        "</a>",
        "<a",
        "<a b></a>",
        "<a b=c></a>",
        "<a b='1'c='2'/>",
        "<1/>",
        "< a/>",
        "text",
        "<a/>text",
        "{\"ssn\":1}",
        "<!ENTITY x 'y'>",
        "<!DOCTYPE a [<!ENTITY x 'y'>]><a/>",
        "<?xml version='1.0' encoding='UTF-16'?><a/>",
        "<a b='<'/>",
        "<a>\0</a>",
        "<!-- ",
        "<a><![CDATA[x]]</a>",
        "<ssn><!DOCTYPE x></ssn>",
    ] {
        same_for_every_cut(&Kind::Xml, &plan, body.as_bytes());
        let reason = whole(&Kind::Xml, &plan, body).unwrap_err().reason;
        assert!(matches!(reason, "invalid_xml" | "unfinished"), "{body}: {reason}");
    }
}

#[test]
fn p8_depth_and_tags_are_bounded() {
    let plan = masks();
    let deep = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert!(whole(&Kind::Xml, &plan, deep(256)).is_ok());
    assert_eq!(whole(&Kind::Xml, &plan, deep(257)).unwrap_err().reason, "too_deep");
    let tag = |bytes: usize| format!("<a b='{}'/>", "x".repeat(bytes));
    assert!(whole(&Kind::Xml, &plan, tag(64 * 1024 - 9)).is_ok());
    for body in [tag(64 * 1024 - 8), format!("<a>{}</a>", "x".repeat(1024 * 1024 + 1))] {
        assert_eq!(whole(&Kind::Xml, &plan, &body).unwrap_err().reason, "too_long");
        let mut pieces = filter(Kind::Xml, &plan, TypeSet::EMPTY);
        assert_eq!(
            cut(&mut pieces, body.as_bytes(), &[99, 70_000]).unwrap_err().reason,
            "too_long"
        );
    }
}

proptest! {
    #[test]
    fn p3_p9_elements_are_the_same_whatever_the_cuts(
        parts in prop::collection::vec(("[a-c]", "[ -;=?-~]{0,12}", any::<bool>()), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let element = |(name, text, secret): &(String, String, bool)| {
            let text = text.replace('&', "&amp;");
            let secret = if *secret { "<ssn x='secret-7f3a'>secret-7f3a</ssn>" } else { "" };
            format!("<{name} k=\"{}\">{text}{secret}</{name}>", text.replace('"', "&quot;"))
        };
        let body = format!("<r>{}</r>", parts.iter().map(element).collect::<String>());
        let run = |plan: &Arc<MaskPlan>, cuts: &[usize]| {
            let out = cut(&mut filter(Kind::Xml, plan, TypeSet::ALL), body.as_bytes(), cuts).unwrap();
            String::from_utf8(out).unwrap()
        };
        let one = run(&masks(), &[]);
        prop_assert!(!one.contains("secret-7f3a"));
        prop_assert_eq!(run(&masks(), &cuts), one);
        prop_assert_eq!(run(&plan(&[("no_such_name", "redact")], &[]), &cuts), body.as_str());
    }
}

//! Whole bodies through the filter: the promises, for each kind of body.

mod codings;
mod json;
mod lines;
mod parts;
mod tables;
mod xml;

use std::sync::Arc;

use detect::TypeSet;
use engine::{HashKey, MaskPlan};
use model::Resource;
use policy::{
    AccessSpec, ActionSpec, Applies, Capabilities, Located, Location, MaskSpec, PolicySpec,
    RuleSpec, Schema,
};
use proptest::prelude::*;
use testkit::stage;

use super::*;

pub(super) const CARD: &str = "4111111111111111";
pub(super) const SSN: &str = "078-05-1120";

/// A plan: the names and how each is hidden, then types and how.
pub(crate) fn plan(fields: &[(&str, &str)], types: &[(&str, &str)]) -> Arc<MaskPlan> {
    let at = |text: &str| Located::new(text.to_owned(), Location::default());
    let rule = |number: usize, fields: &[&str], types: &[&str], with: &str| RuleSpec {
        name: at(&format!("r{number}")),
        applies: Applies::default(),
        on: Vec::new(),
        when: None,
        action: ActionSpec::Mask(MaskSpec {
            fields: fields.iter().map(|name| at(name)).collect(),
            types: types.iter().map(|name| at(name)).collect(),
            with: Some(at(with)),
            predicates: None,
        }),
        observe: false,
        window: None,
        at: Location::default(),
    };
    let fields = fields.iter().enumerate().map(|(n, (name, with))| rule(n, &[name], &[], with));
    let types = types.iter().enumerate().map(|(n, (name, with))| rule(100 + n, &[], &[name], with));
    let mut schema = Schema::new();
    let block = schema.declare("tests", &[]);
    let resource = Resource { name: "tests".into(), kind: "tests".into() };
    let all = || vec![at("*")];
    let access = AccessSpec { subjects: all(), resources: all(), ..AccessSpec::default() };
    let spec = PolicySpec {
        version: 1,
        rules: fields.chain(types).collect(),
        access: vec![access],
        lists: Vec::new(),
        resources: vec![resource.clone()],
    };
    let capabilities =
        Capabilities { masks: true, holds: true, holds_reply: true, hold_wait: None };
    let policy = policy::compile(spec, &schema, &[("tests", block, capabilities)]).unwrap();
    Arc::clone(policy.scope(&stage::principal(), &resource, block).masks())
}

pub(super) fn filter(kind: Kind, plan: &Arc<MaskPlan>, scan: TypeSet) -> Filter {
    let key = Arc::new(HashKey::new(b"0123456789abcdef0123456789abcdef"));
    Filter::new(kind, Codings::default(), plan, &key, scan)
}

/// The body through a filter, cut at these places.
pub(super) fn cut(filter: &mut Filter, body: &[u8], cuts: &[usize]) -> Result<Vec<u8>, Unreadable> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    places.sort_unstable();
    let (mut out, mut from) = (Vec::new(), 0);
    for to in places.into_iter().chain([body.len()]) {
        filter.push(&body[from..to], &mut out)?;
        from = to;
    }
    filter.finish(&mut out)?;
    Ok(out)
}

pub(super) fn whole(
    kind: &Kind,
    plan: &Arc<MaskPlan>,
    body: impl AsRef<[u8]>,
) -> Result<String, Unreadable> {
    let mut filter = filter(kind.clone(), plan, TypeSet::EMPTY);
    cut(&mut filter, body.as_ref(), &[]).map(|out| String::from_utf8(out).unwrap())
}

/// Every way to cut the body in two, and every byte alone, gives the same.
pub(super) fn same_for_every_cut(kind: &Kind, plan: &Arc<MaskPlan>, body: &[u8]) {
    let run = |cuts: &[usize]| {
        let mut filter = filter(kind.clone(), plan, TypeSet::EMPTY);
        let out = cut(&mut filter, body, cuts).map_err(|error| error.reason)?;
        Ok::<_, &str>((out, filter.rows(), filter.fields().to_vec(), filter.take_found()))
    };
    let wanted = run(&[]);
    let shown = String::from_utf8_lossy(body);
    for at in 0..body.len() {
        let got = run(&[at]);
        assert_eq!(got, wanted, "cut at {at}: {shown}");
    }
    assert_eq!(run(&(0..body.len()).collect::<Vec<_>>()), wanted, "byte by byte: {shown}");
}

/// A body without what would be masked passes as it is.
pub(super) fn passes(kind: &Kind, body: &str) {
    let plan = plan(&[("nothing_has_this_name", "redact")], &[("CREDIT_CARD", "redact")]);
    assert_eq!(whole(kind, &plan, body).as_deref(), Ok(body));
    same_for_every_cut(kind, &plan, body.as_bytes());
}

#[test]
fn a_filter_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&filter(Kind::Json, &plan(&[], &[]), TypeSet::EMPTY));
}

#[test]
fn p8_fields_are_reported_up_to_a_number() {
    let plan = plan(&[("k*", "redact")], &[]);
    let keys: Vec<String> = (0..100).map(|n| format!("\"k{n}{}\":1", "é".repeat(200))).collect();
    let mut many = filter(Kind::Json, &plan, TypeSet::EMPTY);
    cut(&mut many, format!("{{{}}}", keys.join(",")).as_bytes(), &[]).unwrap();
    assert_eq!(many.fields().len(), 64);
    assert!(many.fields().iter().all(|field| field.name.len() <= 256));
}

#[test]
fn opaque_bodies_pass_and_say_so() {
    let plan = plan(&[("ssn", "redact")], &[]);
    let mut opaque = filter(Kind::Opaque, &plan, TypeSet::ALL);
    assert!(opaque.opaque_bytes() == 0);
    assert_eq!(cut(&mut opaque, b"\0\xff{\"ssn\"", &[3]).unwrap(), b"\0\xff{\"ssn\"");
    assert!(opaque.opaque_bytes() == 8 && opaque.take_found().is_empty());
}

proptest! {
    #[test]
    fn p8_no_bytes_make_any_reader_fail_badly(
        body in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<usize>(), 0..5),
    ) {
        let plan = plan(&[("a*", "redact")], &[("EMAIL", "redact")]);
        for kind in kinds() {
            let one = cut(&mut filter(kind.clone(), &plan, TypeSet::ALL), &body, &[]);
            let many = cut(&mut filter(kind.clone(), &plan, TypeSet::ALL), &body, &cuts);
            prop_assert_eq!(one.is_ok(), many.is_ok());
            if let (Ok(one), Ok(many)) = (one, many) {
                prop_assert_eq!(one, many);
            }
        }
    }
}

/// What means something in one kind of body or another.
const FRAGMENTS: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u0073",
    "\\n",
    "ssn",
    "\"ssn\":",
    "\"ssn\":\"x\"",
    "1",
    "-0.5e3",
    "true",
    "null",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\r\n\r\n",
    "\u{feff}",
    "é",
    "4111111111111111",
    "ann@example.com",
    "data: ",
    "data",
    "event:",
    "--a",
    "\r\n--a",
    "\r\n--a--",
    "--",
    "Content-Disposition: form-data; name=",
    "Content-Type: application/json",
    "<ssn>",
    "</ssn>",
    "<a ssn='x'>",
    "</a>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "&#52;",
    "=",
    "&",
    ";",
    "-----BEGIN PRIVATE KEY-----\n",
];

proptest! {
    #[test]
    fn p3_cuts_change_nothing_in_any_kind(
        fragments in prop::collection::vec(0..FRAGMENTS.len(), 0..24),
        cuts in prop::collection::vec(any::<usize>(), 1..8),
    ) {
        let body: String = fragments.into_iter().map(|n| FRAGMENTS[n]).collect();
        let plan = plan(&[("ssn", "redact")], &[("EMAIL", "null"), ("CREDIT_CARD", "partial")]);
        for kind in kinds() {
            let run = |cuts: &[usize]| {
                let mut filter = filter(kind.clone(), &plan, TypeSet::ALL);
                let out = cut(&mut filter, body.as_bytes(), cuts).map_err(|_| ())?;
                let out = String::from_utf8(out).unwrap();
                Ok::<_, ()>((out, filter.take_found(), filter.rows(), filter.fields().to_vec()))
            };
            prop_assert_eq!(run(&cuts), run(&[]), "{:?}", kind);
        }
    }
}

fn kinds() -> Vec<Kind> {
    let multipart = Kind::Multipart { boundary: "a".into() };
    let flat = [Kind::Csv, Kind::EventStream, Kind::Form, Kind::Json, Kind::NdJson, Kind::Text];
    flat.into_iter().chain([multipart, Kind::Xml]).collect()
}

//! What `check` says of places where people are told of approvals.

use super::{SAMPLE, loaded, problems, show};

fn with(place: &str) -> String {
    format!("{SAMPLE}\napprovals:\n  notify:\n    - {place}\n")
}

#[test]
fn places_of_every_kind_are_read_and_shown_without_their_secrets() {
    let places = [
        "{ webhook: \"https://hooks.example/secret-path\", secret: {env: HOOK}, groups: [dba] }",
        "{ slack: {env: SLACK_URL} }",
        "{ slack: { channel: \"#approvals\", token: {file: slack.token} }, signing_secret: {env: \
         SIGNING}, users: { U012AB: { subject: dora, groups: [dba] } }, texts: true }",
        "{ email: { smtp: \"smtp://mail.example\", from: narrows@example.org, to: \
         [dba@example.org, \"Ann <ann@example.org>\"], user: narrows, password: {env: P} } }",
    ];
    let loaded = loaded(&with(&places.join("\n    - ")));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let shown = show::show(&loaded.config);
    let (_, rest) = shown.split_once("approvals:\n").unwrap();
    let (told, _) = rest.split_once("hold:").unwrap();
    insta::assert_snapshot!("telling", told);
}

#[test]
fn what_could_not_be_told_is_refused() {
    let mail = |smtp: &str| {
        format!("{{ email: {{ smtp: \"{smtp}\", from: a@b.example, to: [c@d.example] }} }}")
    };
    for (place, wanted) in [
        ("{}".to_owned(), "has to name one place"),
        ("{ slack: \"http://hooks.slack.com/services/hunter2\" }".to_owned(), "in clear text"),
        (
            "{ slack: { channel: c, token: {env: T}, api: \"http://s.example\" } }".to_owned(),
            "slack.api",
        ),
        (mail("smtp://u:hunter2@mail.example"), "an account goes into user"),
        (mail("mail.example"), "email.smtp: not the address"),
        (mail("smtps://mail.example:x"), "email.smtp: not the address"),
    ] {
        let told = problems(&with(&place)).join("\n");
        assert!(told.contains(wanted), "{place}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let twice = format!("{}\n    - {}", mail("smtps://m.example"), mail("smtps://m.example:465"));
    assert!(problems(&with(&twice)).join("\n").contains("same address"));
    for address in ["smtps://mail.example", "smtp://[::1]:2525", "smtps://mail.example:4650/"] {
        loaded(&with(&mail(address)));
    }
}

#[test]
fn a_place_that_will_hear_nothing_is_warned_about() {
    let warned = |place: &str| {
        let loaded = loaded(&with(place));
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let hook = |more: &str| {
        format!("{{ webhook: \"https://hooks.example/x\", secret: {{env: A}}, {more} }}")
    };
    assert!(warned(&hook("groups: [dbas]")).contains("did you mean \"dba\"?"));
    assert_eq!(warned(&hook("groups: [dba]")), "");
    let written = "{ slack: \"https://hooks.slack.com/services/hunter2\" }";
    let told = warned(written);
    assert!(told.contains("stands in the file") && !told.contains("hunter2"), "{told}");
    let signed = "{ slack: {env: S}, signing_secret: {env: T} }";
    assert!(warned(signed).contains("nobody's clicks are taken"));
}

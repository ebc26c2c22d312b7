//! `state`: beside the journal, or shared.

use model::UpstreamTls;

use super::{SAMPLE, loaded, problems, show};
use crate::config::state::State;

fn with(state: &str) -> String {
    format!("{SAMPLE}\n{state}\n")
}

#[test]
fn a_state_is_kept_here_or_in_a_database_that_is_shared() {
    assert_eq!(loaded(SAMPLE).config.state.describe(), "sqlite");
    let key = "keys: { installation: {env: KEY} }";
    let short = loaded(&with(&format!("state: postgres://nar%40rows@db.internal/state\n{key}")));
    let State::Postgres(plan) = &short.config.state else { panic!("not shared") };
    assert_eq!((&*plan.user, &*plan.host, plan.port), ("nar@rows", "db.internal", 5432));
    assert_eq!((plan.outlive.as_secs(), plan.tls), (300, UpstreamTls::VerifyFull));
    assert!(short.warnings.iter().all(|warning| !warning.message.contains("state")));
    let long = loaded(&with(&format!(
        "state:\n  postgres:\n    url: \"postgres://n@[::1]:6432/state\"\n    \
         password: {{env: P}}\n    tls: off\n    outlive: 30s\n{key}"
    )));
    assert_eq!(
        long.config.state.describe(),
        "{ postgres: { url: postgres://n@[::1]:6432/state, password: from the environment variable \
         P, tls: off, outlive: 30s } }"
    );
}

#[test]
fn r17_a_key_of_one_gateway_alone_and_a_line_in_the_clear_are_warned_about() {
    let said = |state: &str| -> String {
        let warnings = loaded(&with(state)).warnings;
        warnings.iter().map(|warning| format!("{warning}\n")).collect()
    };
    let alone = said("state: postgres://n@db.internal/state");
    assert!(alone.contains("only one gateway can use this state"), "{alone}");
    let clear = said("state: { postgres: { url: \"postgres://n@db.internal/s\", tls: off } }");
    assert!(clear.contains("in clear text"), "{clear}");
    let unchecked =
        said("state: { postgres: { url: \"postgres://n@db.internal/s\", tls: require } }");
    assert!(unchecked.contains("whether it is the right server"), "{unchecked}");
}

#[test]
fn p7_an_address_that_is_wrong_is_not_repeated_and_says_what_is_wrong() {
    for (state, says) in [
        ("mysql", "write sqlite"),
        ("mysql://n:hunter2@db/s", "not an address of PostgreSQL"),
        ("postgres://:hunter2@db/s", "names no user"),
        ("postgres://n:hunter2@db", "names no database"),
        ("postgres://n:hunter2@db/a/b", "names no database"),
        ("postgres://n:hunter2@db/s?sslmode=off", "more than where it is"),
        ("postgres://n:hunter2@db:port/s", "cannot be read"),
        ("{ postgres: {} }", "has no url"),
        ("{}", "neither sqlite nor postgres"),
        ("{ postgres: { url: \"postgres://n@db/s\", outlive: 2d } }", "up to 1d"),
    ] {
        let said = problems(&with(&format!("state: {state}"))).join("\n");
        assert!(said.contains(says), "{state}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let inside = loaded(&with("state: postgres://n:hunter2@db/s"));
    assert!(inside.warnings.iter().any(|it| it.message.contains("stands in the file itself")));
    assert!(!format!("{:?}{}", inside.config, show::show(&inside.config)).contains("hunter2"));
}

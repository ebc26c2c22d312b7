//! What `check` says of hours, ends, requests and escalations.

use super::{Folder, Rulebook, load, loaded, problems};

fn with(access: &str, request: &str, approve: &str) -> String {
    format!(
        "listen: {{ postgres: \"127.0.0.1:7432\" }}
resources:
  appdb:
    type: postgres
    address: \"127.0.0.1:5432\"
    user: app
    request: {request}
access:
  - {{ groups: [agents], resources: [appdb], {access} }}
rules:
  - name: ask
    approve: {approve}
"
    )
}

const REQUEST: &str = "{ by: [dba], max: 4h, needs: 2, escalate: { after: 5m, to: [managers] } }";
const APPROVE: &str = "{ by: [dba], escalate: { after: 5m, to: [managers] } }";
const HOURS: &str =
    "hours: [\"mon-thu 08:00-18:00\", fri], timezone: Europe/Berlin, until: 2999-12-31";

#[test]
fn hours_requests_and_escalations_are_read_and_shown() {
    let loaded = loaded(&with(HOURS, REQUEST, APPROVE));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let shown = crate::config::show::show(&loaded.config);
    for line in [
        "hours: [mon-thu 08:00-18:00, fri], timezone: Europe/Berlin, until: 2999-12-31",
        "appdb: { by: [dba], needs: 2, max: 4h, expires: 1h, escalate: { after: 5m",
        "grant: once, escalate: { after: 5m, to: [managers] }",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}

#[test]
fn every_mistake_in_them_is_told_with_its_place() {
    let mut told = Vec::new();
    for (access, request, approve) in [
        ("hours: \"mon-fry 08:00-18:00\"", REQUEST, APPROVE),
        ("hours: [mon, \"8-18\"], until: soon", REQUEST, APPROVE),
        ("hours: mon, timezone: Europe/Berln", REQUEST, APPROVE),
        ("hours: 8", REQUEST, APPROVE),
        (HOURS, "{ max: 4h }", APPROVE),
        (HOURS, "{ by: [dba], max: 400d, needs: 0 }", APPROVE),
        (HOURS, "{ by: [dba], escalate: { after: 2h, to: [managers] } }", APPROVE),
        (HOURS, "{ by: [dba], mx: 1h }", APPROVE),
        (HOURS, REQUEST, "{ by: [dba], escalate: { after: 10m, to: [] } }"),
        (HOURS, REQUEST, "{ by: [dba], escalate: { to: [managers] } }"),
    ] {
        told.extend(problems(&with(access, request, approve)));
        told.push(String::new());
    }
    insta::assert_snapshot!("access_mistakes", told.join("\n"));
}

#[test]
fn a_line_that_is_over_and_a_zone_without_use_are_warned_of() {
    let warnings = |access: &str| -> Vec<String> {
        let folder = Folder::new();
        let path = folder.write("narrows.yaml", &with(access, REQUEST, APPROVE));
        let loaded = load(&path, &Rulebook::new(), 1).map_err(|bad| bad.problems).unwrap();
        loaded.warnings.iter().map(|warning| warning.message.clone()).collect()
    };
    let over = warnings("until: 2020-01-01");
    assert_eq!(over, ["this line of access grants nothing any more: its until is past"]);
    assert_eq!(warnings("timezone: UTC"), ["timezone has no effect without hours or until"]);
    assert!(warnings("until: 2999-01-01").is_empty());
}

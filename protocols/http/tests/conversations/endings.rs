//! How exchanges end early: sides that leave, a journal that fails, operators who intervene.

use std::collections::BTreeSet;

use model::Side;
use testkit::conversation::{Cuts, Script};
use testkit::stage::{Said, Stage};

use super::check;
use super::notation::{Web, scene};

conversations! {
    the_client_leaves_before_the_verdict: r#"
rule ask when `http.method == "DELETE"` approve ops wait 25
client >> DELETE /r/api/items/1 ; token
client >> close
person >> approve #1
"#;
    the_client_leaves_before_the_record_is_kept: r#"
journal >> waits
client >> DELETE /r/api/items/1 ; token
client >> close
journal >> catches up
"#;
    the_client_leaves_during_the_reply: r#"
client >> GET /r/api/items ; token
server >> 200 ; chunked ; data "some"
client >> close
"#;
    the_upstream_is_unreachable: r#"
client >> GET /r/api/items ; token
server >> unreachable upstream_down
client >> next
client >> GET /r/api/items ; token
server >> unreachable upstream_timeout
"#;
    the_upstream_breaks_off_before_its_reply: r#"
client >> GET /r/api/items ; token
server >> close
"#;
    the_upstream_breaks_off_in_the_middle: r#"
client >> GET /r/api/items ; token
server >> 200 ; chunked ; data "some"
server >> close
"#;
    p1_nothing_is_sent_before_the_journal_has_the_record: r#"
journal >> waits
client >> POST /r/api/items ; token ; body "x"
journal >> catches up
server >> 200 ; body "hello"
journal >> catches up
"#;
    p2_p5_what_cannot_be_recorded_is_refused: r#"
client >> GET /r/api/items ; token
server >> 204
client >> next
journal >> fails
client >> GET /r/api/items ; token
"#;
    p5_a_session_that_cannot_be_recorded_does_not_begin: r#"
journal >> fails
client >> GET /r/api/items ; token
"#;
    p5_a_reply_that_cannot_be_recorded_does_not_leave: r#"
client >> GET /r/api/items ; token
journal >> fails
server >> 200 ; body "hello"
"#;
    killed_while_it_waits_for_a_person: r#"
rule ask when `http.method == "DELETE"` approve ops wait 25
client >> DELETE /r/api/items/1 ; token
gateway >> stop killed
"#;
    killed_while_it_replies: r#"
client >> GET /r/api/items ; token
server >> 200 ; chunked ; data "some"
gateway >> stop killed
"#;
    a_reload_that_withdraws_access_ends_the_exchange: r#"
rule ask when `http.method == "DELETE"` approve ops wait 25
client >> DELETE /r/api/items/1 ; token
gateway >> withdraw
client >> next
client >> GET /r/api/items ; token
"#;
    approval_is_void_when_rules_change_meanwhile: r#"
rule ask when `http.method == "DELETE"` approve ops wait 25
client >> DELETE /r/api/items/1 ; token
gateway >> reload rule never when `http.method == "DELETE"` block "no more"
person >> approve #1
"#;
    killed_while_its_body_is_held: r#"
client >> POST /r/api/items ; token ; length 5 ; data "he"
gateway >> stop killed
"#;
}

#[test]
fn p6_who_lost_access_meanwhile_takes_no_number_of_the_session() {
    let mut stage = Stage::new(scene());
    let units = |line: &str| Web::default().units(Side::Client, line, Cuts::Whole).unwrap();
    for unit in units("GET /r/api/1 ; token") {
        stage.tell(engine::Happening::Data(Side::Client, unit));
    }
    stage.again();
    for unit in units("GET /r/api/2 ; token") {
        stage.tell_once(engine::Happening::Data(Side::Client, unit));
    }
    // The token is proved, and the rules change before the connection hears so.
    stage.reload_once(Vec::new(), false);
    stage.settle();
    let said = stage.take_said();
    let events = said.iter().filter_map(|said| match said {
        Said::Record(_, events) => Some(events),
        _ => None,
    });
    let mut numbers = BTreeSet::new();
    for event in events.flatten() {
        let session = event.session.clone().unwrap();
        assert!(numbers.insert((session, event.sequence)), "twice: {event:?}");
    }
    assert!(numbers.len() > 2, "{numbers:?}");
}

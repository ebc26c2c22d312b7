//! Surveys of a scripted server, in memory. `tests/survey.rs` asks a real one.

use bytes::{BufMut, BytesMut};
use engine::TlsFacts;
use model::UpstreamTls;
use model::limit::CATALOG_COLUMNS_MAX;

use super::*;
use crate::login::tests::{connected, credential, error, request, settled};
use crate::message::{message, ready};

/// A server as far as a survey sees it.
struct Server {
    visible: &'static str,
    is_in_recovery: bool,
    fingerprint: &'static str,
    settings: &'static str,
    locked: Vec<&'static str>,
    still_locked: usize,
    blocked: bool,
    /// Queries that fail before any succeeds.
    failures: usize,
    asked: Vec<String>,
}

impl Server {
    fn new() -> Self {
        Self {
            visible: "900:905:901",
            is_in_recovery: false,
            fingerprint: "1/2",
            settings: "app_user",
            locked: Vec::new(),
            still_locked: 0,
            blocked: false,
            failures: 0,
            asked: Vec::new(),
        }
    }

    fn answer(&mut self, query: &Bytes) -> Bytes {
        let text = std::str::from_utf8(&query[5..query.len() - 1]).unwrap();
        assert_eq!(query[0], b'Q');
        self.asked.push(text.to_owned());
        if self.failures > 0 {
            self.failures -= 1;
            let lock_timeout = error("ERROR", "55P03", "canceling statement due to lock timeout");
            return [&lock_timeout[..], &ready(b'E')].concat().into();
        }
        let mut out = BytesMut::new();
        for row in self.rows(text) {
            out.extend(data_row(&row));
        }
        out.extend(message(b'C', |out| out.put_slice(b"SELECT\0")));
        out.extend(ready(b'I'));
        out.freeze()
    }

    fn rows(&self, text: &str) -> Vec<Vec<Option<&str>>> {
        let flag = |value: bool| Some(if value { "t" } else { "f" });
        if text.contains("current_schemas") {
            return vec![vec![Some("shop")], vec![Some("public")]];
        }
        if text.contains("'server_version_num'") {
            let costs = "jit_above_cost=-1 seq_page_cost=1.5";
            let facts = ["170002", "app_user", "f", self.visible, costs];
            return vec![facts.map(Some).to_vec()];
        }
        if text.contains("hashtextextended") {
            return vec![vec![Some(self.visible), Some(self.settings), Some(self.fingerprint)]];
        }
        if text.starts_with("SELECT pg_catalog.pg_current_snapshot") {
            let locked = if self.still_locked == 0 { "0" } else { "1" };
            return vec![vec![Some(self.visible), flag(self.is_in_recovery), Some(locked)]];
        }
        if text.contains("relpersistence") {
            let relation = |oid, name, kind| {
                vec![Some(oid), Some("shop"), Some(name), Some(kind), Some("f"), Some("f")]
            };
            return vec![relation("16400", "customers", "r"), relation("16401", "faces", "v")];
        }
        if text.contains("a.attisdropped, a.attgenerated") {
            let column = |relation, number, name, generated| {
                vec![
                    Some(relation),
                    Some(number),
                    Some(name),
                    Some("25"),
                    Some("-1"),
                    Some("f"),
                    Some(generated),
                    Some("f"),
                ]
            };
            return vec![
                column("16400", "1", "na\"me", "f"),
                column("16400", "3", "folded", "t"),
                column("16401", "1", "name", "f"),
                column("99999", "1", "orphan", "f"),
            ];
        }
        if text.contains("pg_locks") {
            return self.locked.iter().map(|oid| vec![Some(*oid)]).collect();
        }
        if text.contains("pg_get_viewdef") {
            let definition = (!self.blocked).then_some(" SELECT name\n FROM shop.customers;");
            return vec![vec![Some("16401"), definition, flag(self.blocked)]];
        }
        if text.contains("pg_attrdef d JOIN") {
            let expression = (!self.blocked).then_some("lower(name)");
            return vec![vec![Some("16400"), Some("3"), expression, flag(self.blocked)]];
        }
        Vec::new()
    }
}

fn data_row(values: &[Option<&str>]) -> Bytes {
    message(b'D', |out| {
        out.put_u16(u16::try_from(values.len()).unwrap());
        for value in values {
            match value {
                None => out.put_i32(-1),
                Some(text) => {
                    out.put_i32(i32::try_from(text.len()).unwrap());
                    out.put_slice(text.as_bytes());
                }
            }
        }
    })
}

/// Where a survey came to rest.
#[derive(Debug)]
enum Rest {
    Idle(Option<Arc<Snapshot>>),
    Done,
    Failed(&'static str, Option<String>),
    Waiting,
}

impl Rest {
    fn snapshot(self) -> Arc<Snapshot> {
        match self {
            Self::Idle(Some(snapshot)) => snapshot,
            other => panic!("{other:?}"),
        }
    }

    fn is_quiet(&self) -> bool {
        matches!(self, Self::Idle(None))
    }
}

fn feed(survey: &mut Survey, input: ErrandInput<Bytes>) -> Vec<ErrandAct<Bytes>> {
    let mut out = ErrandOutbox::default();
    survey.handle(input, &mut out).unwrap();
    out.take()
}

/// Feeds an input and the server's answers to everything that follows.
fn run(survey: &mut Survey, server: &mut Server, input: ErrandInput<Bytes>) -> Rest {
    let mut inputs = vec![input];
    let mut snapshot = None;
    while let Some(input) = inputs.pop() {
        for act in feed(survey, input) {
            match act {
                ErrandAct::Send(query) => {
                    inputs.push(ErrandInput::Data(server.answer(&query)));
                }
                ErrandAct::Snapshot(any) => snapshot = any.downcast::<Snapshot>().ok(),
                ErrandAct::Idle => return Rest::Idle(snapshot),
                ErrandAct::Done => return Rest::Done,
                ErrandAct::Failed(what, detail) => return Rest::Failed(what, detail),
                ErrandAct::StartTls => panic!("TLS in the middle"),
            }
        }
    }
    Rest::Waiting
}

/// A survey whose first snapshot is there.
fn surveyed(server: &mut Server) -> (Survey, Arc<Snapshot>) {
    let mut survey = Survey::new();
    let early = ErrandInput::Data(Bytes::from_static(b"early"));
    assert!(matches!(run(&mut survey, server, early), Rest::Waiting));
    let acts = feed(&mut survey, open(UpstreamTls::Off));
    assert!(matches!(acts.as_slice(), [ErrandAct::Send(_)]));
    let welcome = [&request(0, &[])[..], &settled()].concat();
    let snapshot = run(&mut survey, server, ErrandInput::Data(welcome.into())).snapshot();
    server.asked.clear();
    (survey, snapshot)
}

fn open(tls: UpstreamTls) -> ErrandInput<Bytes> {
    ErrandInput::Connected(connected(credential("app_user", Some("sesame")), tls))
}

#[test]
fn a_catalog_is_read() {
    let (_, snapshot) = surveyed(&mut Server::new());
    let path: Vec<_> = snapshot.search_path.iter().map(AsRef::as_ref).collect();
    assert_eq!(path, ["shop", "public"]);
    assert_eq!((&*snapshot.role, snapshot.server_version_num), ("app_user", 170_002));
    let costs = [("jit_above_cost".into(), -1.0), ("seq_page_cost".into(), 1.5)];
    assert_eq!((snapshot.costs.as_slice(), snapshot.forbids_nothing()), (&costs[..], true));
    assert!(!snapshot.superuser);
    let table = snapshot.catalog.relation(16400).unwrap();
    assert_eq!(table.columns.len(), 2);
    assert_eq!(table.columns[1].generated.as_deref(), Some("lower(name)"));
    let view = snapshot.catalog.relation(16401).unwrap();
    assert_eq!(view.definition.as_deref(), Some("SELECT name\n FROM shop.customers"));
}

#[test]
fn every_snapshot_has_its_own_version() {
    let (_, first) = surveyed(&mut Server::new());
    let (_, second) = surveyed(&mut Server::new());
    assert!(second.catalog.version > first.catalog.version);
}

#[test]
fn a_probe_asks_once_while_nothing_finished() {
    let mut server = Server::new();
    let (mut survey, _) = surveyed(&mut server);
    assert!(run(&mut survey, &mut server, ErrandInput::Probe).is_quiet());
    assert_eq!(server.asked.len(), 1);
}

#[test]
fn a_probe_compares_row_versions_when_something_finished() {
    let mut server = Server::new();
    let (mut survey, _) = surveyed(&mut server);
    server.visible = "905:906:";
    assert!(run(&mut survey, &mut server, ErrandInput::Probe).is_quiet());
    assert_eq!(server.asked.len(), 2);
    assert!(server.asked[1].contains("age('900'::xid)"));
    // The next one starts from there.
    assert!(run(&mut survey, &mut server, ErrandInput::Probe).is_quiet());
    assert_eq!(server.asked.len(), 3);
    server.visible = "907:907:";
    server.fingerprint = "1/3";
    run(&mut survey, &mut server, ErrandInput::Probe).snapshot();
    assert!(run(&mut survey, &mut server, ErrandInput::Probe).is_quiet());
}

#[test]
fn a_standby_is_always_compared() {
    let mut server = Server::new();
    let (mut survey, _) = surveyed(&mut server);
    server.is_in_recovery = true;
    assert!(run(&mut survey, &mut server, ErrandInput::Probe).is_quiet());
    assert_eq!(server.asked.len(), 2);
}

#[test]
fn an_old_fingerprint_is_taken_anew() {
    let mut server = Server::new();
    let (mut survey, _) = surveyed(&mut server);
    server.visible = "1073742725:1073742725:";
    run(&mut survey, &mut server, ErrandInput::Probe).snapshot();
    server.visible = "what is this";
    let rest = run(&mut survey, &mut server, ErrandInput::Probe);
    assert!(matches!(rest, Rest::Failed("the server described its snapshot in an unknown way", _)));
}

#[test]
fn new_settings_of_the_role_need_a_new_connection() {
    let mut server = Server::new();
    let (mut survey, _) = surveyed(&mut server);
    server.visible = "906:906:";
    server.settings = "app_user 0:16385:77";
    assert!(matches!(run(&mut survey, &mut server, ErrandInput::Probe), Rest::Done));
    assert!(feed(&mut survey, ErrandInput::Probe).is_empty());
}

#[test]
fn what_a_lock_hides_is_untraceable_until_it_is_gone() {
    let mut server = Server::new();
    (server.locked, server.blocked, server.still_locked) = (vec!["16400"], true, 1);
    let (mut survey, snapshot) = surveyed(&mut server);
    assert_eq!(snapshot.catalog.relation(16401).unwrap().definition, None);
    // The most that an expression could depend on.
    let table = snapshot.catalog.relation(16400).unwrap();
    assert_eq!(table.columns[1].generated.as_deref(), Some(r#"ROW("na""me")"#));

    assert!(run(&mut survey, &mut server, ErrandInput::Probe).is_quiet());
    assert!(server.asked[0].contains("'{16400}'"));
    (server.locked, server.blocked, server.still_locked) = (vec![], false, 0);
    let snapshot = run(&mut survey, &mut server, ErrandInput::Probe).snapshot();
    assert!(snapshot.catalog.relation(16401).unwrap().definition.is_some());
}

#[test]
fn a_reading_that_fails_is_tried_again_from_the_start() {
    let mut server = Server::new();
    let (mut survey, _) = surveyed(&mut server);
    server.visible = "907:907:";
    server.failures = 2;
    let _ = run(&mut survey, &mut server, ErrandInput::Probe).snapshot();
    assert!(server.asked[1].starts_with("ROLLBACK; BEGIN"), "{}", server.asked[1]);

    server.visible = "908:908:";
    server.failures = 99;
    let rest = run(&mut survey, &mut server, ErrandInput::Probe);
    let Rest::Failed("the catalog could not be read", Some(detail)) = rest else {
        panic!("{rest:?}")
    };
    assert_eq!(detail, "55P03: canceling statement due to lock timeout");
    assert!(feed(&mut survey, ErrandInput::Probe).is_empty());
}

#[test]
fn a_probe_while_busy_leads_to_another_look() {
    let mut server = Server::new();
    let (mut survey, _) = surveyed(&mut server);
    let acts = feed(&mut survey, ErrandInput::Probe);
    let [ErrandAct::Send(first)] = acts.as_slice() else { panic!() };
    assert!(feed(&mut survey, ErrandInput::Probe).is_empty());
    let answer = server.answer(first);
    server.visible = "909:909:";
    server.fingerprint = "7/7";
    run(&mut survey, &mut server, ErrandInput::Data(answer)).snapshot();
}

#[test]
fn cutting_the_servers_words_anywhere_changes_nothing() {
    let mut server = Server::new();
    let (mut survey, _) = surveyed(&mut server);
    let mut acts = feed(&mut survey, ErrandInput::Probe);
    server.visible = "910:910:";
    server.fingerprint = "8/8";
    loop {
        match acts.pop() {
            Some(ErrandAct::Send(query)) => {
                for byte in server.answer(&query) {
                    acts.extend(feed(&mut survey, ErrandInput::Data(vec![byte].into())));
                }
            }
            Some(ErrandAct::Idle) => break,
            Some(ErrandAct::Snapshot(_)) => {}
            _ => panic!("it stopped early"),
        }
    }
}

#[test]
fn the_end_of_the_connection_is_told() {
    for is_busy in [false, true] {
        let (mut survey, _) = surveyed(&mut Server::new());
        if is_busy {
            feed(&mut survey, ErrandInput::Probe);
        }
        // What comes unasked is no reason to end.
        let notice = message(b'N', |out| out.put_slice(b"SNOTICE\0\0"));
        assert!(feed(&mut survey, ErrandInput::Data(notice)).is_empty());
        let end = error("FATAL", "57P01", "terminating connection due to administrator command");
        let acts = feed(&mut survey, ErrandInput::Data(end));
        let [ErrandAct::Failed(what, Some(detail))] = acts.as_slice() else { panic!() };
        assert_eq!(*what, "the server ended the survey's connection");
        assert!(detail.starts_with("57P01"));
    }
}

#[test]
fn answers_that_no_query_asked_for_are_refused() {
    let row = data_row(&[Some("1")]);
    for words in [row, ready(b'I'), message(b'G', |_| ()), Bytes::from_static(b"D\0\0\0\x03")] {
        let (mut survey, _) = surveyed(&mut Server::new());
        let acts = feed(&mut survey, ErrandInput::Data(words.clone()));
        assert!(matches!(acts.as_slice(), [ErrandAct::Failed(..)]), "{words:?}");
    }
    let bad: [&[Option<&str>]; 5] = [
        &[],
        &[Some("1:1:"), Some("t")],
        &[None, Some("t"), Some("0")],
        &[Some("1:1:"), Some("yes"), Some("0")],
        &[Some("1:1:"), Some("t"), Some("-")],
    ];
    for values in bad {
        let (mut survey, _) = surveyed(&mut Server::new());
        feed(&mut survey, ErrandInput::Probe);
        let acts = feed(&mut survey, ErrandInput::Data(data_row(values)));
        assert!(matches!(acts.as_slice(), [ErrandAct::Failed(..)]), "{values:?}");
    }
    let (mut survey, _) = surveyed(&mut Server::new());
    feed(&mut survey, ErrandInput::Probe);
    let acts = feed(&mut survey, ErrandInput::Data(ready(b'I')));
    assert!(matches!(acts.as_slice(), [ErrandAct::Failed(..)]));
}

#[test]
fn a_refused_login_is_told_in_fixed_words() {
    let cases = [
        ("28P01", "the server did not accept the credential"),
        ("3D000", "the database does not exist"),
        ("53300", "the server has no connection free"),
        ("57P03", "the login failed"),
    ];
    for (code, words) in cases {
        let mut survey = Survey::new();
        feed(&mut survey, open(UpstreamTls::Off));
        let acts = feed(&mut survey, ErrandInput::Data(error("FATAL", code, "secret words")));
        let [ErrandAct::Failed(what, Some(detail))] = acts.as_slice() else { panic!() };
        assert_eq!(*what, words);
        assert!(detail.contains("secret words"));
    }
}

#[test]
fn tls_comes_first_where_the_resource_uses_it() {
    let mut survey = Survey::new();
    let acts = feed(&mut survey, open(UpstreamTls::VerifyFull));
    assert!(matches!(acts.as_slice(), [ErrandAct::Send(_)]));
    let acts = feed(&mut survey, ErrandInput::Data(Bytes::from_static(b"S")));
    assert!(matches!(acts.as_slice(), [ErrandAct::StartTls]));
    let acts = feed(&mut survey, ErrandInput::TlsStarted(TlsFacts::default()));
    let [ErrandAct::Send(start)] = acts.as_slice() else { panic!() };
    let text = String::from_utf8_lossy(start);
    assert!(text.contains("application_name\0narrows-survey\0"), "{text:?}");

    let mut survey = Survey::new();
    feed(&mut survey, open(UpstreamTls::VerifyFull));
    let acts = feed(&mut survey, ErrandInput::Data(Bytes::from_static(b"N")));
    let [ErrandAct::Failed(what, _)] = acts.as_slice() else { panic!() };
    assert_eq!(*what, "TLS with the server could not be started");
}

#[test]
fn p8_an_endless_catalog_is_given_up() {
    let (mut survey, _) = surveyed(&mut Server::new());
    feed(&mut survey, ErrandInput::Probe);
    let sixteenth = CATALOG_BYTES_MAX / 16;
    let notice = message(b'N', |out| out.put_bytes(0, sixteenth - 5));
    for _ in 0..16 {
        assert!(feed(&mut survey, ErrandInput::Data(notice.clone())).is_empty());
    }
    let acts = feed(&mut survey, ErrandInput::Data(Bytes::from_static(b"N")));
    let [ErrandAct::Failed(what, None)] = acts.as_slice() else { panic!() };
    assert_eq!(*what, "the catalog is larger than 512 MiB");
}

#[test]
fn p8_columns_are_bounded() {
    let mut reading = Reading::with_columns(CATALOG_COLUMNS_MAX - 1);
    let values = ["1", "1", "a", "25", "-1", "f", "f", "f"].map(Some);
    let column = data_row(&values);
    let row = Row::read(&column[5..]).unwrap();
    assert!(reading.row(Part::Columns, &row).is_ok());
    let trouble = reading.row(Part::Columns, &row).unwrap_err();
    assert_eq!(trouble.what, "the catalog has more than 2,000,000 columns");
}

#[test]
fn a_server_too_old_is_refused() {
    let values = ["120018", "app_user", "f", "1:1:"].map(Some);
    let facts = data_row(&values);
    let row = Row::read(&facts[5..]).unwrap();
    let trouble = Reading::default().row(Part::Facts, &row).unwrap_err();
    assert_eq!(trouble.what, "the server is older than PostgreSQL 13");
}

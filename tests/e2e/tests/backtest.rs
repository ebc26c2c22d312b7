//! Rules tried on what was recorded: the same rules change nothing, and others what they should.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use e2e::web::{Answer, Origin, RawHttp};
use e2e::{Gateway, Server, Wire, until};
use serde_json::Value;

/// What is in force while it is recorded.
const RULES: &str = r#"
  - name: mask-cards-and-ssn
    mask: { fields: [credit_card, ssn], with: redact }
  - name: big-reads
    when: result.rows > 10000 || principal.rows > 50000
    approve: { by: [dba], wait: 2m, expires: 10m, grant: once }
  - name: no-destruction
    on: ["type:postgres"]
    when: sql.dynamic || sql.verbs.exists(v, v in ["drop", "truncate"]) || sql.unfiltered.exists(v, v in ["delete", "update", "merge"])
    block: "destructive statement"
  - name: nothing-is-deleted
    on: [api]
    when: http.method == "DELETE"
    block: "nothing is deleted"
  - name: nothing-secret-leaves
    on: [api]
    when: http.detections.exists(d, d in ["CREDIT_CARD", "US_SSN"])
    block: "the request carries {http.detections}"
"#;

/// A gateway that was worked with, a server and an API behind it.
struct Worked {
    gateway: Gateway,
    server: Server,
    api: Origin,
}

fn config(ports: &e2e::Ports, server: u16, api: SocketAddr, rules: &str) -> String {
    let e2e::Ports { admin, http, postgres, .. } = ports;
    format!(
        "data_dir: ./var\n\
         listen: {{ admin: \"127.0.0.1:{admin}\", http: \"127.0.0.1:{http}\", \
           postgres: \"127.0.0.1:{postgres}\" }}\n\
         resources:\n  \
           shop: {{ type: postgres, address: \"127.0.0.1:{server}\", database: shop, user: app, \
             password: {{env: UPSTREAM_PASSWORD}}, tls: off }}\n  \
           api: {{ type: http, url: \"http://{api}\", tls: off }}\n\
         recording: {{ archive_every: 1s, keep_journal: 0, scrub: [EMAIL] }}\n\
         access: [{{ groups: [agents], resources: [shop, api] }}]\n\
         rules:{rules}"
    )
}

impl Worked {
    fn start() -> Result<Self> {
        let server = Server::start()?;
        let api =
            Origin::clear(|_| Answer::of("application/json", r#"{"id":1,"email":"a@b.test"}"#))?;
        let (port, address) = (server.upstream().port, api.address());
        let gateway = Gateway::start_with(|ports, _| config(ports, port, address, RULES))?;
        Ok(Self { gateway, server, api })
    }

    fn text(&self, rules: &str) -> String {
        config(&self.gateway.ports(), self.server.upstream().port, self.api.address(), rules)
    }

    fn http(&self, token: &str, request: &str) -> Result<u16> {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let head = head.replace('\n', "\r\n");
        let length = body.len();
        let text = format!(
            "{head}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let to = SocketAddr::from(([127, 0, 0, 1], self.gateway.ports().http));
        Ok(RawHttp::to(to).send(&[text.into_bytes()])?.status())
    }

    /// Work of many kinds; what each part should come to is checked by other tests.
    fn work(&self) -> Result<()> {
        let (reader, writer) = (self.gateway.agent("reader")?, self.gateway.agent("writer")?);
        let dba = self.gateway.person("ada", "dba")?;
        let mut wire = Wire::connect(self.gateway.port(), "x", "shop", &reader.secret)?;
        for text in [
            "SELECT 1",
            "SELECT id, name, email, ssn FROM customers WHERE id < 4",
            "SELECT count(*) FROM orders",
            "SELECT id FROM customers WHERE ssn LIKE '1%'",
            "SELECT id FROM customers WHERE lower(email) = 'x'",
            "SELECT nonsense FROM",
            "SELECT * FROM nowhere",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT * FROM card_view WHERE id < 3",
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT id, ssn FROM customers WHERE id < 9",
            "FETCH 3 FROM c",
            "FETCH 3 FROM c",
            "COMMIT",
            "COPY (SELECT id, credit_card FROM customers WHERE id < 3) TO STDOUT",
        ] {
            wire.query(text)?;
        }
        for values in [["1"], ["2"]] {
            wire.extended("SELECT id, ssn FROM customers WHERE id = $1::int", &values, 0)?;
        }
        // Held: one is answered with yes, one with no.
        for yes in [true, false] {
            wire.ask(&format!("SELECT id FROM customers WHERE id <= 1200{}", u8::from(yes)))?;
            let id = self.gateway.pending()?;
            let words: &[&str] = match yes {
                true => &["approve", &id, "--token", &dba.secret],
                false => &["deny", &id, "--reason", "no", "--token", &dba.secret],
            };
            self.gateway.narrows(words)?.success()?;
            wire.until_ready()?;
        }
        drop(wire);
        let mut wire = Wire::connect(self.gateway.port(), "x", "shop", &writer.secret)?;
        for text in [
            "INSERT INTO notes (body) VALUES ('a')",
            "UPDATE notes SET body = 'b' WHERE id = 1",
            "UPDATE notes SET body = 'b'",
            "DROP TABLE customers",
            "DO $$ BEGIN NULL; END $$",
            "CREATE TEMP TABLE mine (a int)",
        ] {
            wire.query(text)?;
        }
        drop(wire);
        for request in [
            "GET /r/api/customers?q=1 HTTP/1.1\nAccept: */*",
            "GET /r/api/other HTTP/1.1\nX-Api-Key: abcdef",
            "GET /r/api/who?mail=a%6en@corp.example HTTP/1.1",
            "POST /r/api/notes HTTP/1.1\nContent-Type: application/json\n\n{\"note\":\"hello\"}",
            "POST /r/api/notes HTTP/1.1\nContent-Type: text/plain\n\nmy number is 536-22-8714",
            "DELETE /r/api/notes/1 HTTP/1.1",
            "GET /r/api/a/../../b HTTP/1.1",
        ] {
            self.http(&writer.secret, request)?;
        }
        until("what happened is in the archive", || {
            let answer = self.gateway.json(&["audit", "search", "/notes/1"])?;
            let hits = answer.get("hits").and_then(Value::as_array).map_or(0, Vec::len);
            Ok((hits > 0).then_some(()))
        })
    }

    /// How the command ends, for the rules tried last.
    fn code(&self, more: &[&str]) -> Result<i32> {
        Ok(self.gateway.narrows(&[&["rules", "backtest", "new.yaml"], more].concat())?.code())
    }

    /// What `rules` in the place of those in force would change.
    fn backtest(&self, rules: &str) -> Result<Value> {
        fs::write(self.gateway.dir().join("new.yaml"), rules)?;
        self.gateway.json(&["rules", "backtest", "new.yaml", "--since", "1h"])
    }
}

fn number(report: &Value, pointer: &str) -> Result<u64> {
    let number = report.pointer(pointer).and_then(Value::as_u64);
    number.with_context(|| format!("there is no number {pointer} in {report:#}"))
}

/// The texts under a heading.
fn texts(report: &Value, heading: &str) -> BTreeSet<String> {
    let examples = report.pointer(&format!("/{heading}/examples")).and_then(Value::as_array);
    let text = |one: &Value| one.get("text").and_then(Value::as_str).unwrap_or("-").to_owned();
    examples.into_iter().flatten().map(text).collect()
}

/// All texts under every heading, `heading: text`.
fn changes(report: &Value) -> Vec<String> {
    let headings = ["newly_blocked", "newly_held", "newly_masked", "released"];
    let of = |heading: &&str| {
        texts(report, heading)
            .into_iter()
            .map(|text| format!("{heading}: {text}"))
            .collect::<Vec<_>>()
    };
    headings.iter().flat_map(of).collect()
}

/// What nobody can say: rule and fact, and of how many operations.
fn unclear(report: &Value) -> Vec<(String, String, u64)> {
    let rules = report.pointer("/cannot_say/by_rule").and_then(Value::as_object);
    let mut list = Vec::new();
    for (rule, facts) in rules.into_iter().flatten() {
        for (fact, count) in facts.as_object().into_iter().flatten() {
            list.push((rule.clone(), fact.clone(), count.as_u64().unwrap_or(0)));
        }
    }
    list
}

/// The rules without one, or with another in its place.
fn instead(name: &str, rule: &str) -> String {
    let parts = RULES.split("  - name: ").filter(|part| !part.starts_with(&format!("{name}\n")));
    format!("{}{rule}", parts.collect::<Vec<_>>().join("  - name: "))
}

fn and(rule: &str) -> String {
    format!("{RULES}{rule}")
}

/// A change, or what cannot be said, as a line.
fn line(of: (String, String, u64)) -> String {
    let (rule, fact, count) = of;
    format!("{count} {rule}: {fact}")
}

fn lines(report: &Value) -> Vec<String> {
    unclear(report).into_iter().map(line).collect()
}

#[test]
fn the_same_rules_change_nothing_and_others_what_they_should() -> Result<()> {
    let mut lab = Worked::start()?;
    lab.work()?;
    // While it runs, from the journal and the archive; and afterwards.
    let live = lab.backtest(RULES)?;
    lab.gateway.stop()?;
    let same = lab.backtest(RULES)?;
    for report in [&live, &same] {
        assert_eq!(number(report, "/operations")?, 32, "{report:#}");
        assert_eq!(number(report, "/unchanged")?, 32, "{report:#}");
    }
    assert_eq!(number(&same, "/coverage/journal_events")?, 0, "{same:#}");
    assert_eq!(lab.code(&["--fail-on-change"])?, 0);
    for since in ["yesterday", "2500-01-01T00:00:00Z"] {
        assert_eq!(lab.code(&["--since", since])?, 2, "{since}");
    }
    blocks_and_holds(&lab)?;
    masks(&lab)?;
    what_the_record_lacks(&lab)?;
    p7_r18_what_is_scrubbed_is_in_no_recording_and_not_known(&lab)?;
    whole_configurations(&lab)
}

fn blocks_and_holds(lab: &Worked) -> Result<()> {
    let block = "  - name: no-orders\n    when: touches(\"orders\")\n    block: \"no\"\n";
    let report = lab.backtest(&and(block))?;
    assert_eq!(changes(&report), ["newly_blocked: SELECT count(*) FROM orders"]);
    assert_eq!(number(&report, "/newly_blocked/by_rule/no-orders")?, 1, "{report:#}");
    assert_eq!(number(&report, "/newly_blocked/by_principal/reader")?, 1, "{report:#}");
    assert_eq!(lines(&report), [""; 0]);
    assert_eq!(lab.code(&["--fail-on-change"])?, 1);
    assert_eq!(lab.code(&[])?, 0);
    let told = lab.gateway.narrows(&["rules", "backtest", "new.yaml"])?.success()?;
    for words in [
        "1 would change; 31 would not",
        "newly blocked: 1 operation",
        "mask -> block (no-orders)\n      SELECT count(*) FROM orders",
    ] {
        assert!(told.contains(words), "{words:?} is not in:\n{told}");
    }

    let hold = "  - name: ask\n    when: touches(\"notes\")\n    approve: { by: [dba] }\n";
    let report = lab.backtest(&and(hold))?;
    let held = [
        "newly_held: INSERT INTO notes (body) VALUES ('a')",
        "newly_held: UPDATE notes SET body = 'b' WHERE id = 1",
    ];
    assert_eq!(changes(&report), held);
    assert_eq!(lines(&report), [""; 0]);

    let report = lab.backtest(&instead("no-destruction", ""))?;
    let released = ["released: DROP TABLE customers", "released: UPDATE notes SET body = 'b'"];
    assert_eq!(changes(&report), released);
    assert_eq!(number(&report, "/released/by_rule/no-destruction")?, 2, "{report:#}");

    let report = lab.backtest(&instead("nothing-is-deleted", ""))?;
    let [released] = &*changes(&report) else { bail!("{report:#}") };
    assert!(released.starts_with("released: DELETE http://"), "{released}");

    // By what replies were: a cursor counts over its FETCHes.
    let rows = "  - name: rows\n    on: [shop]\n    when: result.rows > 5\n    block: \"no\"\n";
    let report = lab.backtest(&and(rows))?;
    assert_eq!(number(&report, "/newly_blocked/operations")?, 3, "{report:#}");
    let texts = texts(&report, "newly_blocked");
    assert!(texts.contains("FETCH 3 FROM c"), "the second: {texts:?}");
    assert_eq!(lines(&report), [""; 0]);

    // What would be refused is not counted: of 14 operations of the reader 4 would pass, and the
    // FETCHes of a cursor that is refused would not be reached.
    let few = "  - name: few\n    on: [shop]\n    limit: { operations: 4 }\n";
    let report = lab.backtest(&and(few))?;
    assert_eq!(number(&report, "/newly_blocked/by_principal/reader")?, 8, "{report:#}");
    assert_eq!(number(&report, "/newly_blocked/operations")?, 8, "{report:#}");
    assert_eq!(number(&report, "/not_reached")?, 2, "{report:#}");
    Ok(())
}

fn masks(lab: &Worked) -> Result<()> {
    let report = lab.backtest(&instead("mask-cards-and-ssn", ""))?;
    let shown = texts(&report, "released");
    for text in [
        "SELECT id, name, email, ssn FROM customers WHERE id < 4",
        "SELECT id FROM customers WHERE ssn LIKE '1%'",
        "FETCH 3 FROM c",
    ] {
        assert!(shown.contains(text), "{text}: {report:#}");
    }
    assert_eq!(number(&report, "/newly_blocked/operations")?, 0, "{report:#}");

    let mask = "  - name: mask-mail\n    on: [shop]\n    mask: { fields: [email] }\n";
    let report = lab.backtest(&and(mask))?;
    let changed = [
        "newly_blocked: SELECT id FROM customers WHERE lower(email) = 'x'",
        "newly_masked: SELECT id, name, email, ssn FROM customers WHERE id < 4",
    ];
    assert_eq!(changes(&report), changed);
    let part = report.pointer("/newly_masked/examples/0/parts/0").and_then(Value::as_str);
    assert_eq!(part, Some("public.customers.email"), "{report:#}");
    assert_eq!(lines(&report), [""; 0]);
    Ok(())
}

fn what_the_record_lacks(lab: &Worked) -> Result<()> {
    // The same rules under other names: nothing is known of them but the facts.
    let renamed = lab.backtest(&RULES.replace("- name: ", "- name: new-"))?;
    assert_eq!(changes(&renamed), [""; 0], "{renamed:#}");
    let few = [
        "2 new-mask-cards-and-ssn: the reply's fields",
        "2 new-nothing-secret-leaves: http.detections",
    ];
    assert_eq!(lines(&renamed), few, "{renamed:#}");

    for (rule, lacks) in [
        ("  - name: x\n    on: [api]\n    mask: { fields: [email] }\n", "4 x: the reply's fields"),
        (
            "  - name: x\n    on: [shop]\n    mask: { types: [EMAIL] }\n",
            "9 x: whether the reply held EMAIL",
        ),
        (
            "  - name: x\n    when: '\"x-api-key\" in http.headers'\n    block: \"no\"\n",
            "2 x: http.headers",
        ),
        (
            "  - name: x\n    when: http.carries.size() > 0\n    block: \"no\"\n",
            "4 x: http.carries",
        ),
    ] {
        let report = lab.backtest(&and(rule))?;
        assert_eq!(changes(&report), [""; 0], "{rule}: {report:#}");
        assert_eq!(lines(&report), [lacks], "{rule}: {report:#}");
        let ended = lab.gateway.narrows(&["rules", "backtest", "new.yaml", "--fail-on-change"])?;
        assert_eq!(ended.code(), 1, "{rule}");
        assert!(ended.stderr.contains("is not certain"), "{rule}: {}", ended.stderr);
    }
    Ok(())
}

fn p7_r18_what_is_scrubbed_is_in_no_recording_and_not_known(lab: &Worked) -> Result<()> {
    for (words, hits) in [("[EMAIL]", 1), ("corp.example", 0)] {
        let store = lab.gateway.dir().join("var/recordings").display().to_string();
        let found = lab.gateway.json(&["audit", "search", words, "--store", &store])?;
        let found = found.get("hits").and_then(Value::as_array).map(Vec::len);
        assert_eq!(found, Some(hits), "{words}");
    }
    let rule = "  - name: x\n    on: [api]\n    when: http.path == \"/who\"\n    block: \"no\"\n";
    let report = lab.backtest(&and(rule))?;
    assert_eq!(lines(&report), ["1 x: http.path"], "{report:#}");
    Ok(())
}

fn whole_configurations(lab: &Worked) -> Result<()> {
    // A copy of the archive and a configuration: no gateway, and not its configuration either.
    let elsewhere = tempfile::tempdir()?;
    let new = elsewhere.path().join("new.yaml");
    let store = lab.gateway.dir().join("var/recordings").display().to_string();
    let missing = elsewhere.path().join("none.yaml").display().to_string();
    let words =
        ["-c", &missing, "rules", "backtest", &new.display().to_string(), "--store", &store];
    fs::write(&new, lab.text(RULES))?;
    let report = lab.gateway.json(&words)?;
    assert_eq!(number(&report, "/unchanged")?, 32, "{report:#}");
    fs::write(&new, lab.text(RULES).replace("resources: [shop, api]", "resources: [shop]"))?;
    let report = lab.gateway.json(&words)?;
    assert_eq!(number(&report, "/newly_blocked/by_rule/access")?, 4, "{report:#}");

    fs::write(&new, "- name: x\n  when: nonsense > 3\n  block: no\n")?;
    let output = lab.gateway.narrows(&["rules", "backtest", &new.display().to_string()])?;
    assert_eq!(output.code(), 1);
    assert!(output.stderr.contains("new.yaml:2:9"), "{}", output.stderr);

    // A journal that cannot be read is not one that is empty.
    let journal = lab.gateway.dir().join("var/journal");
    fs::rename(&journal, lab.gateway.dir().join("var/aside"))?;
    fs::write(&journal, "")?;
    fs::write(&new, lab.text(RULES))?;
    let output = lab.gateway.narrows(&["rules", "backtest", &new.display().to_string()])?;
    assert_eq!(output.code(), 1);
    assert!(output.stderr.contains("journal"), "{}", output.stderr);
    Ok(())
}

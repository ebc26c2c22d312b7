//! Surveys of a real PostgreSQL, started by each test in a directory of its own: every way of
//! logging in, every kind of object, every change a probe has to notice.

#![expect(clippy::disallowed_methods, reason = "the tests are the sockets of a crate without any")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod server;

use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use engine::{
    Connected, Errand, ErrandAct, ErrandInput, ErrandOutbox, Protocol, Snapshots, TlsFacts,
};
use model::{Credential, Secret, UpstreamTls};
use postgres::{POSTGRES, Snapshot};
use server::{Certificate, Server};
use sql::{ColumnId, Fill, Relation, RelationKind, TieKind, TypeKind};

// ---- a survey and its connection ----------------------------------------------------------------

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

struct Stay {
    errand: Box<dyn Errand<Bytes>>,
    wire: Option<Box<dyn Wire>>,
    plain: Option<TcpStream>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

#[derive(Debug)]
enum Rest {
    Idle(Option<Arc<Snapshot>>),
    Done,
    Failed(&'static str, String),
}

impl Rest {
    fn snapshot(self) -> Arc<Snapshot> {
        match self {
            Self::Idle(Some(snapshot)) => snapshot,
            other => panic!("no snapshot but {other:?}"),
        }
    }

    fn is_quiet(&self) -> bool {
        matches!(self, Self::Idle(None))
    }
}

struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn current(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

fn connected(user: &str, password: Option<&str>, database: &str, tls: UpstreamTls) -> Connected {
    let credential = Credential {
        user: user.to_owned(),
        password: password.map(|password| Secret::new(password.to_owned())),
        database: database.to_owned(),
        made: None,
    };
    let (credential, snapshots) = (Arc::new(credential), Arc::new(NoSnapshots));
    Connected { credential, tls, snapshots, options: Arc::default() }
}

impl Stay {
    fn new(server: &Server, tls: Option<&Certificate>) -> Self {
        let plain = Some(server.dial());
        let errand = POSTGRES.survey().unwrap();
        Self { errand, wire: None, plain, tls: tls.map(Certificate::client_config) }
    }

    /// Feeds an input and whatever the server says until the errand rests.
    fn run(&mut self, input: ErrandInput<Bytes>) -> Rest {
        let mut input = input;
        let mut snapshot = None;
        loop {
            let mut out = ErrandOutbox::default();
            self.errand.handle(input, &mut out).unwrap();
            let mut facts = None;
            for act in out.take() {
                match act {
                    ErrandAct::Send(bytes) => self.wire().write_all(&bytes).unwrap(),
                    ErrandAct::StartTls => facts = Some(self.start_tls()),
                    ErrandAct::Snapshot(any) => snapshot = any.downcast::<Snapshot>().ok(),
                    ErrandAct::Idle => return Rest::Idle(snapshot),
                    ErrandAct::Done => return Rest::Done,
                    ErrandAct::Failed(what, detail) => {
                        return Rest::Failed(what, detail.unwrap_or_default());
                    }
                }
            }
            input = match facts {
                Some(facts) => ErrandInput::TlsStarted(facts),
                None => ErrandInput::Data(self.read()),
            };
        }
    }

    fn probe(&mut self) -> Rest {
        self.run(ErrandInput::Probe)
    }

    fn wire(&mut self) -> &mut dyn Wire {
        match (&mut self.wire, &mut self.plain) {
            (Some(wire), _) => wire.as_mut(),
            (None, Some(plain)) => plain,
            (None, None) => panic!("no connection"),
        }
    }

    fn read(&mut self) -> Bytes {
        let mut buffer = vec![0; 8192];
        let wire = self.wire();
        wire.flush().unwrap();
        let length = wire.read(&mut buffer).unwrap();
        assert!(length > 0, "the server closed the connection");
        buffer.truncate(length);
        buffer.into()
    }

    fn start_tls(&mut self) -> TlsFacts {
        let config = self.tls.take().expect("a configuration for TLS");
        let name = "localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(config, name).unwrap();
        let mut plain = self.plain.take().unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut plain).unwrap();
        }
        let certificate = client.peer_certificates().unwrap()[0].to_vec();
        self.wire = Some(Box::new(rustls::StreamOwned::new(client, plain)));
        TlsFacts { certificate: Some(certificate) }
    }
}

/// A survey of the database `app` as this role, and its first snapshot.
fn surveyed(server: &Server, role: &str) -> (Stay, Arc<Snapshot>) {
    let mut stay = Stay::new(server, None);
    let connected = connected(role, None, "app", UpstreamTls::Off);
    let snapshot = stay.run(ErrandInput::Connected(connected)).snapshot();
    (stay, snapshot)
}

// ---- what a snapshot says -----------------------------------------------------------------------

fn relation<'s>(snapshot: &'s Snapshot, schema: &str, name: &str) -> &'s Relation {
    let found = snapshot.catalog.find(Some(schema), name, &sql::SearchPath::Unknown);
    assert_eq!(found.len(), 1, "{schema}.{name}");
    found[0]
}

fn words(items: &[Arc<str>]) -> Vec<&str> {
    items.iter().map(AsRef::as_ref).collect()
}

// ---- logging in ---------------------------------------------------------------------------------

const ROLES: &str = "
    CREATE ROLE by_trust LOGIN;
    SET password_encryption = 'md5';
    CREATE ROLE by_md5 LOGIN PASSWORD 'sesame';
    SET password_encryption = 'scram-sha-256';
    CREATE ROLE by_scram LOGIN PASSWORD 'sésame';
    CREATE ROLE by_password LOGIN PASSWORD 'sesame';
    CREATE ROLE by_binding LOGIN PASSWORD 'sesame';
    CREATE DATABASE app;
";

const ACCESS: &str = "
    host all by_trust 127.0.0.1/32 trust
    host all by_md5 127.0.0.1/32 md5
    host all by_scram 127.0.0.1/32 scram-sha-256
    host all by_password 127.0.0.1/32 password
    hostssl all by_binding 127.0.0.1/32 scram-sha-256
";

#[test]
fn every_way_to_log_in_works() {
    let server = Server::start(ACCESS, None);
    server.psql("postgres", ROLES);
    for (role, password) in [
        ("by_trust", None),
        ("by_md5", Some("sesame")),
        ("by_scram", Some("sésame")),
        ("by_password", Some("sesame")),
    ] {
        let mut stay = Stay::new(&server, None);
        let connected = connected(role, password, "app", UpstreamTls::Off);
        let snapshot = stay.run(ErrandInput::Connected(connected)).snapshot();
        assert_eq!(&*snapshot.role, role);
        assert!(!snapshot.superuser);
        assert!(stay.probe().is_quiet(), "{role}");
    }
    let cases = [
        ("by_md5", Some("wrong"), "app", "the server did not accept the credential"),
        ("by_scram", Some("wrong"), "app", "the server did not accept the credential"),
        ("by_password", Some("wrong"), "app", "the server did not accept the credential"),
        ("by_scram", None, "app", "the server did not accept the credential"),
        ("nobody", None, "app", "the server did not accept the credential"),
        ("by_trust", None, "nowhere", "the database does not exist"),
    ];
    for (role, password, database, words) in cases {
        let connected = connected(role, password, database, UpstreamTls::Off);
        match Stay::new(&server, None).run(ErrandInput::Connected(connected)) {
            Rest::Failed(what, _) => assert_eq!(what, words, "{role}"),
            other => panic!("{role}: {other:?}"),
        }
    }
    // This server has no TLS, and there is no falling back.
    let connected = connected("by_trust", None, "app", UpstreamTls::Require);
    match Stay::new(&server, None).run(ErrandInput::Connected(connected)) {
        Rest::Failed(what, detail) => {
            assert_eq!(what, "TLS with the server could not be started");
            assert!(detail.contains("has no TLS"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn scram_is_bound_to_the_servers_certificate() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let certificate = Certificate::new(algorithm);
        let server = Server::start(ACCESS, Some(&certificate));
        server.psql("postgres", ROLES);
        let run = |certificate: &Certificate, password| {
            let connected = connected("by_binding", password, "app", UpstreamTls::VerifyFull);
            Stay::new(&server, Some(certificate)).run(ErrandInput::Connected(connected))
        };
        assert_eq!(&*run(&certificate, Some("sesame")).snapshot().role, "by_binding");
        assert!(matches!(run(&certificate, Some("wrong")), Rest::Failed(..)));
    }
}

// ---- what is read -------------------------------------------------------------------------------

const SHOP: &str = r#"
    CREATE SCHEMA shop;
    CREATE SCHEMA plain AUTHORIZATION plain;
    GRANT USAGE ON SCHEMA shop TO plain;
    SET search_path = shop;
    CREATE DOMAIN ssn AS text CHECK (VALUE ~ '^[0-9-]*$');
    CREATE TYPE mood AS ENUM ('fine', 'bad');
    CREATE TYPE span AS RANGE (subtype = date);
    CREATE TABLE customers (
        id int PRIMARY KEY, gone int, name varchar(40), ssn ssn UNIQUE, email text,
        folded text GENERATED ALWAYS AS (lower(email)) STORED, mood mood, "Odd ""Name" mood[]);
    ALTER TABLE customers DROP COLUMN gone;
    CREATE UNIQUE INDEX ON customers (lower(name)) WHERE mood = 'fine';
    CREATE INDEX ON customers (email);
    CREATE TABLE orders (id int, customer int REFERENCES customers, placed date)
        PARTITION BY RANGE (placed);
    CREATE TABLE orders_2024 PARTITION OF orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE vip (discount int) INHERITS (customers);
    ALTER TABLE vip ENABLE ROW LEVEL SECURITY;
    CREATE VIEW faces AS SELECT name, upper(email) AS mail FROM customers WHERE ssn <> E'\\ ';
    CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) FROM orders GROUP BY 1;
    CREATE SEQUENCE numbers;
    CREATE FUNCTION card(who int, OUT last text, INOUT n int) LANGUAGE sql STABLE
        AS 'SELECT ssn::text, 1 FROM customers WHERE id = who';
    CREATE FUNCTION standard(who int) RETURNS text LANGUAGE sql
        RETURN (SELECT name FROM customers WHERE id = who);
    CREATE FUNCTION defining() RETURNS void LANGUAGE plpgsql
        AS 'BEGIN EXECUTE ''CREATE VIEW made AS SELECT 1''; END';
    CREATE FUNCTION passing() RETURNS void LANGUAGE plpgsql
        AS 'BEGIN -- to create nothing
            CREATE TEMP TABLE created (a int) ON COMMIT DROP; EXECUTE ''SELECT 1''; END';
    CREATE FUNCTION slowed() RETURNS bigint LANGUAGE sql SET enable_seqscan = off
        AS 'SELECT count(*) FROM customers';
    CREATE FUNCTION tuned() RETURNS bigint LANGUAGE sql SET search_path = shop
        AS 'SELECT count(*) FROM customers';
    CREATE FUNCTION opaque(text, label text) RETURNS SETOF int LANGUAGE plpgsql
        AS 'BEGIN RETURN; END';
    CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
    CREATE FUNCTION listed() RETURNS TABLE (id int, label text) LANGUAGE sql
        AS 'SELECT id, name FROM customers';
    CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int);
    CREATE FUNCTION adds(int, int) RETURNS int LANGUAGE plpgsql
        IMMUTABLE AS 'BEGIN RETURN $1 + $2; END';
    CREATE AGGREGATE added (int) (SFUNC = adds, STYPE = int);
    CREATE FUNCTION whole(n int DEFAULT 5, m int DEFAULT 6) RETURNS SETOF customers LANGUAGE sql
        AS 'SELECT * FROM customers WHERE id = n';
    CREATE FUNCTION opaque_number() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE TABLE filled (a int DEFAULT opaque_number(), b int DEFAULT 5);
    CREATE TYPE boxed AS (v int);
    CREATE DOMAIN preset AS int DEFAULT 3;
    CREATE COLLATION own (locale = 'C');
    CREATE TABLE kept (
        id int GENERATED ALWAYS AS IDENTITY, n int DEFAULT nextval('numbers'), five int DEFAULT 2 + 3,
        word varchar(9) DEFAULT 'x', of_domain preset, day date DEFAULT current_date,
        who text DEFAULT current_user, nothing text DEFAULT NULL,
        random uuid DEFAULT gen_random_uuid(), a int, b int, c int, whole boxed,
        wholes boxed[], ordered text COLLATE own, CHECK (day > current_date - 9));
    CREATE INDEX ON kept ((a * b));
    CREATE INDEX ON kept (word, five) INCLUDE (nothing);
    CREATE STATISTICS kept_s ON (b * c), id FROM kept;
    CREATE FUNCTION box_of(int) RETURNS boxed LANGUAGE sql AS 'SELECT ROW($1)::boxed';
    CREATE CAST (int AS boxed) WITH FUNCTION box_of(int);
    CREATE OPERATOR === (FUNCTION = same, LEFTARG = int, RIGHTARG = int);
    ALTER ROLE plain SET search_path = nowhere, "$user", shop, public;
"#;

/// A server with the database `app`, the roles `boss` (superuser) and `plain`, and the shop.
fn shop() -> Server {
    let server = Server::start("host all plain,hostile 127.0.0.1/32 trust", None);
    server.psql("postgres", "CREATE ROLE plain LOGIN; CREATE DATABASE app");
    server.psql("app", SHOP);
    server
}

#[test]
fn an_unprivileged_role_reads_all_of_the_catalog() {
    let server = shop();
    let (_, snapshot) = surveyed(&server, "plain");
    assert_eq!(words(&snapshot.search_path), ["plain", "shop", "public"]);
    assert_eq!(&*snapshot.role, "plain");
    assert!(!snapshot.superuser);
    assert!(snapshot.server_version_num >= 130_000);
    let (_, as_boss) = surveyed(&server, "boss");
    assert_eq!(words(&as_boss.search_path), ["public"]);
    assert!(as_boss.superuser);
    relations_are_read(&snapshot);
    columns_are_read(&snapshot);
    functions_are_read(&snapshot);
    let mut types: Vec<_> =
        snapshot.types.values().map(|found| format!("{} {:?}", found.name, found.kind)).collect();
    types.retain(|found| !found.contains("multirange") && !found.starts_with('_'));
    types.sort();
    assert_eq!(types, ["mood Enum", "preset Domain(23)", "span Range", "ssn Domain(25)"]);
}

fn relations_are_read(snapshot: &Snapshot) {
    let kinds = [
        ("customers", RelationKind::Table),
        ("orders", RelationKind::Partitioned),
        ("orders_2024", RelationKind::Table),
        ("vip", RelationKind::Table),
        ("faces", RelationKind::View),
        ("totals", RelationKind::MaterializedView),
        ("boxed", RelationKind::Composite),
        ("filled", RelationKind::Table),
        ("kept", RelationKind::Table),
        ("kept_id_seq", RelationKind::Sequence),
        ("numbers", RelationKind::Sequence),
    ];
    for (name, kind) in kinds {
        assert_eq!(relation(snapshot, "shop", name).kind, kind, "{name}");
    }
    // With pg_attribute.
    assert_eq!(snapshot.catalog.relations().count(), kinds.len() + 1);
    let parents = |name| relation(snapshot, "shop", name).parents.clone();
    assert_eq!(parents("orders_2024"), [relation(snapshot, "shop", "orders").oid]);
    assert_eq!(parents("vip"), [relation(snapshot, "shop", "customers").oid]);
    assert!(parents("customers").is_empty());
    assert!(relation(snapshot, "shop", "vip").row_security);
    assert!(!relation(snapshot, "shop", "customers").row_security);
    let flat = |name| {
        let definition = relation(snapshot, "shop", name).definition.as_deref().unwrap();
        definition.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let faces = flat("faces");
    assert!(faces.starts_with("SELECT customers.name,") || faces.starts_with("SELECT name,"));
    assert!(faces.contains("FROM shop.customers"), "{faces}");
    // As it reads where a backslash in a string is nothing special.
    assert!(faces.contains(r"'\ '::text"), "{faces}");
    assert!(flat("totals").contains("FROM shop.orders"), "{}", flat("totals"));
    assert!(!flat("totals").ends_with(';'));
}

fn columns_are_read(snapshot: &Snapshot) {
    let customers = relation(snapshot, "shop", "customers");
    let live: Vec<_> =
        customers.columns.iter().filter(|c| !c.dropped).map(|c| (c.attnum, &*c.name)).collect();
    let wanted = [
        (1, "id"),
        (3, "name"),
        (4, "ssn"),
        (5, "email"),
        (6, "folded"),
        (7, "mood"),
        (8, "Odd \"Name"),
    ];
    assert_eq!(live, wanted);
    assert!(customers.columns[1].dropped);
    let unique = |table: &str| -> Vec<String> {
        let columns = &relation(snapshot, "shop", table).columns;
        columns.iter().filter(|c| c.unique).map(|c| c.name.to_string()).collect()
    };
    assert_eq!(unique("customers"), ["id", "name", "ssn", "mood"]);
    assert_eq!(unique("orders"), ["customer"]);
    assert_eq!(unique("orders_2024"), ["customer"]);
    let column = |name| customers.column(name).unwrap();
    assert_eq!(column("folded").generated.as_deref(), Some("lower(email)"));
    assert_eq!(column("email").generated, None);
    assert_eq!((column("id").type_oid, column("id").type_len), (23, 4));
    assert_eq!((column("name").type_oid, column("name").type_len), (1043, -1));
    assert_eq!(snapshot.catalog.type_kind(column("ssn").type_oid), Some(TypeKind::Domain(25)));
    assert!(snapshot.catalog.has_type_named("mood") && !snapshot.catalog.has_type_named("text"));
    let filled = relation(snapshot, "shop", "filled");
    let default = |name| filled.column(name).unwrap().default.as_deref();
    assert_eq!((default("a"), default("b")), (Some("shop.opaque_number()"), None));
    let id = |name: &'static str| ColumnId { relation: customers.oid, attnum: column(name).attnum };
    // The index is over an expression of one and has a condition on the other.
    let ties = snapshot.catalog.ties(id("name"));
    assert_eq!(ties.len(), 2, "{ties:?}");
    for by in [TieKind::Check, TieKind::Expression] {
        assert!(ties.contains(&(id("mood"), by)), "{ties:?}");
    }
    assert!(snapshot.catalog.ties(id("ssn")).is_empty(), "a key of its own ties it to nothing");
    let referencing = snapshot.catalog.referencing(customers.oid);
    assert!(referencing.iter().any(|tie| tie.to == id("id")), "{referencing:?}");
    let domain = &snapshot.types[&column("ssn").type_oid];
    assert_eq!((&*domain.schema, &*domain.name), ("shop", "ssn"));
    let indexed = |name: &'static str| column(name).indexed;
    assert!(indexed("name") && indexed("mood") && indexed("email") && !indexed("folded"));
    kept_beside_is_read(snapshot);
    let array = &snapshot.types[&column("Odd \"Name").type_oid];
    assert_eq!(format!("{:?}", array.kind), format!("Array({})", column("mood").type_oid));
}

/// What fills columns, what rows they hold, and what is computed of several.
fn kept_beside_is_read(snapshot: &Snapshot) {
    let kept = relation(snapshot, "shop", "kept");
    let column = |name: &str| kept.column(name).unwrap();
    let fill = |name: &str| column(name).fill.clone();
    assert_eq!(fill("id"), Some(Fill::Sequence("kept_id_seq".into())));
    assert_eq!(fill("n"), Some(Fill::Sequence("numbers".into())));
    for name in ["five", "word", "of_domain"] {
        assert_eq!(fill(name), Some(Fill::Constant), "{name}");
    }
    for name in ["day", "who"] {
        assert_eq!(fill(name), Some(Fill::Other), "{name}");
    }
    for name in ["nothing", "random", "a", "whole"] {
        assert_eq!(fill(name), None, "{name}");
    }
    let boxed = relation(snapshot, "shop", "boxed").oid;
    assert_eq!((column("whole").row_of, column("wholes").row_of), (boxed, boxed));
    assert_eq!(column("a").row_of, 0);
    assert!(column("ordered").collated && !column("word").collated);
    let id = |name: &str| ColumnId { relation: kept.oid, attnum: column(name).attnum };
    let tied =
        |from: &str, to: &str| snapshot.catalog.ties(id(from)).contains(&(id(to), TieKind::Check));
    // An index computes a * b, statistics b * c.
    assert!(tied("a", "b") && tied("b", "a") && tied("b", "c") && !tied("a", "c"));
    // Entries of an index are too long by either text, not by the number beside one.
    assert!(tied("word", "nothing") && tied("word", "five") && !tied("five", "word"));
    assert!(
        !tied("five", "nothing") && tied("nothing", "word") && column("nothing").indexed,
        "beside the keys"
    );
    // A check of today may fail whatever is written.
    let again =
        |from: &str| snapshot.catalog.ties(id(from)).contains(&(id("day"), TieKind::Always));
    assert!(again("a") && again("id") && again("day"));
}

fn functions_are_read(snapshot: &Snapshot) {
    let function = |name: &str| {
        let mut found = snapshot.catalog.functions(name).filter(|f| &*f.schema == "shop");
        found.next().unwrap_or_else(|| panic!("{name}"))
    };
    let card = function("card");
    assert_eq!(card.body.as_deref(), Some("SELECT ssn::text, 1 FROM customers WHERE id = who"));
    assert_eq!(
        (card.arg_types.as_slice(), words(&card.arg_names)),
        (&[23, 23][..], vec!["who", "n"])
    );
    assert_eq!(words(&card.out_names), ["last", "n"]);
    assert_eq!((card.volatility, &*card.language, card.builtin), ('s', "sql", false));
    let standard = function("standard").body.as_deref().unwrap();
    assert!(standard.starts_with("RETURN (") && standard.contains("shop.customers"), "{standard}");
    // A path of its own, and another setting of its own.
    let tuned = function("tuned");
    assert_eq!(tuned.body.as_deref(), Some("SELECT count(*) FROM customers"));
    assert!(tuned.own_path && !card.own_path);
    assert_eq!(function("slowed").body, None);
    assert!(function("defining").may_define && !function("passing").may_define);
    let opaque = function("opaque");
    assert_eq!((opaque.body.as_deref(), &*opaque.language), (None, "plpgsql"));
    assert_eq!(words(&opaque.arg_names), ["", "label"]);
    assert!(opaque.returns_set && opaque.out_names.is_empty() && !opaque.aggregate);
    assert_eq!(words(&function("listed").out_names), ["id", "label"]);
    assert!(function("listed").arg_names.is_empty());
    assert_eq!(opaque.return_type, 23);
    assert!(!function("total").aggregate, "its function is immutable and written in C");
    assert!(function("added").aggregate);
    let whole = function("whole");
    assert_eq!(whole.defaults.as_deref(), Some("5, 6"));
    let relation = snapshot.catalog.relation(whole.return_relation).unwrap();
    assert_eq!(&*relation.name, "customers");
    assert_eq!(snapshot.catalog.casts("boxed"), [function("box_of").oid]);
    assert_eq!(snapshot.catalog.operators("==="), [function("same").oid]);
    // Of PostgreSQL's own: the names of all, more only of those that are not immutable.
    assert!(snapshot.catalog.ships_function("lower"));
    assert!(!snapshot.catalog.ships_function("card"));
    assert_eq!(snapshot.catalog.functions("lower").filter(|f| f.builtin).count(), 0);
    let random = snapshot.catalog.functions("random").next().unwrap();
    assert!(random.builtin && random.volatility == 'v');
}

#[test]
fn what_a_role_put_before_pg_catalog_is_not_called() {
    let server = shop();
    server.psql(
        "app",
        "CREATE ROLE hostile LOGIN; CREATE SCHEMA evil AUTHORIZATION hostile;
         ALTER ROLE hostile SET search_path = evil, pg_catalog;
         ALTER ROLE hostile SET quote_all_identifiers = on;
         SET search_path = evil, pg_catalog;
         CREATE FUNCTION trap() RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
         CREATE VIEW pg_class AS SELECT 1/0 AS oid;
         CREATE VIEW pg_locks AS SELECT 1/0 AS relation;
         CREATE VIEW pg_database AS SELECT 1/0 AS oid;
         CREATE FUNCTION pg_current_snapshot() RETURNS int LANGUAGE sql AS 'SELECT evil.trap()';
         CREATE FUNCTION current_schemas(bool) RETURNS int LANGUAGE sql AS 'SELECT evil.trap()';
         CREATE FUNCTION unnest(name[]) RETURNS int LANGUAGE sql AS 'SELECT evil.trap()';
         CREATE FUNCTION eq(name, name) RETURNS bool LANGUAGE sql AS 'SELECT evil.trap() > 0';
         CREATE OPERATOR = (FUNCTION = evil.eq, LEFTARG = name, RIGHTARG = name);
         CREATE FUNCTION eq(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT evil.trap() > 0';
         CREATE OPERATOR = (FUNCTION = evil.eq, LEFTARG = oid, RIGHTARG = oid);",
    );
    let lock = server.lock("app", "shop.orders");
    let (mut stay, snapshot) = surveyed(&server, "hostile");
    assert_eq!(words(&snapshot.search_path), ["evil", "pg_catalog"]);
    assert!(stay.probe().is_quiet());
    drop(lock);
    server.psql("app", "INSERT INTO shop.customers (id) VALUES (1)");
    let snapshot = stay.probe().snapshot();
    let faces = relation(&snapshot, "shop", "faces").definition.as_deref().unwrap();
    assert!(faces.contains("FROM shop.customers"), "{faces}");
}

// ---- what changes -------------------------------------------------------------------------------

#[test]
fn a_probe_notices_every_change_of_the_catalog_and_nothing_else() {
    let server = shop();
    let (mut stay, first) = surveyed(&server, "plain");
    let mut version = first.catalog.version;
    assert!(stay.probe().is_quiet());
    for quiet in [
        "INSERT INTO shop.customers (id, name) SELECT n, n FROM generate_series(1, 500) n",
        "BEGIN; ALTER TABLE shop.customers ADD later int; ROLLBACK",
        "ANALYZE",
        "VACUUM shop.customers",
        "SELECT nextval('shop.numbers')",
        "CREATE DATABASE elsewhere",
    ] {
        server.psql("app", quiet);
        assert!(stay.probe().is_quiet(), "{quiet}");
    }
    for change in [
        "ALTER TABLE shop.customers ADD later int",
        "CREATE POLICY seen ON shop.customers USING (true)",
        "ALTER TABLE shop.customers RENAME later TO sooner",
        "ALTER TABLE shop.customers ALTER sooner TYPE bigint",
        "ALTER TABLE shop.customers DROP sooner",
        "ALTER TABLE shop.orders DETACH PARTITION shop.orders_2024",
        "ALTER TABLE shop.orders_2024 RENAME TO old",
        "CREATE UNIQUE INDEX only_one ON shop.customers (email)",
        "DROP INDEX shop.only_one",
        "CREATE OR REPLACE VIEW shop.faces AS SELECT name, ssn::text AS mail FROM shop.customers",
        "CREATE OR REPLACE FUNCTION shop.tuned() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "ALTER FUNCTION shop.tuned() STABLE",
        "DROP FUNCTION shop.tuned()",
        "DROP OPERATOR shop.=== (int, int)",
        "CREATE TYPE shop.other AS ENUM ()",
        "ALTER TABLE shop.orders ADD UNIQUE (id, placed)",
        "ALTER SCHEMA shop RENAME TO store",
        "CREATE SCHEMA nowhere AUTHORIZATION plain",
        "ALTER ROLE plain SUPERUSER",
        "ALTER ROLE plain NOSUPERUSER",
        "CREATE TEMP TABLE customers (a int)",
    ] {
        server.psql("app", change);
        let snapshot = stay.probe().snapshot();
        assert!(snapshot.catalog.version > version, "{change}");
        version = snapshot.catalog.version;
        if change.contains("nowhere") {
            assert_eq!(words(&snapshot.search_path), ["nowhere", "plain", "public"]);
        }
        if change == "ALTER ROLE plain SUPERUSER" {
            assert!(snapshot.superuser);
        }
    }
}

/// A transaction in progress keeps what came after it recent, so recent rows must be told apart.
#[test]
fn changes_are_noticed_beside_a_long_transaction() {
    let server = shop();
    let long = server.session("app");
    long.tell("BEGIN; SELECT pg_current_xact_id()");
    let (mut stay, _) = surveyed(&server, "plain");
    for name in ["first", "second", "third"] {
        let change = format!("ALTER TABLE shop.customers RENAME ssn TO {name};");
        let back = format!("ALTER TABLE shop.customers RENAME {name} TO ssn;");
        server.psql("app", &change);
        let snapshot = stay.probe().snapshot();
        assert!(relation(&snapshot, "shop", "customers").column(name).is_some());
        assert!(stay.probe().is_quiet());
        server.psql("app", &back);
        stay.probe().snapshot();
    }
}

#[test]
fn a_dropped_object_is_gone_from_the_next_snapshot() {
    let server = shop();
    let (mut stay, _) = surveyed(&server, "plain");
    server.psql("app", "DROP VIEW shop.faces; ALTER TABLE shop.customers DROP email CASCADE");
    let snapshot = stay.probe().snapshot();
    assert_eq!(snapshot.catalog.named("faces").count(), 0);
    assert!(relation(&snapshot, "shop", "customers").column("email").is_none());
}

#[test]
fn new_settings_of_a_role_are_seen_on_a_new_connection() {
    let server = shop();
    let (mut stay, _) = surveyed(&server, "plain");
    server.psql("app", "ALTER ROLE boss SET search_path = shop");
    assert!(stay.probe().is_quiet());
    server.psql("app", "ALTER ROLE plain SET search_path = shop");
    assert!(matches!(stay.probe(), Rest::Done));
    assert_eq!(words(&surveyed(&server, "plain").1.search_path), ["shop"]);
}

#[test]
fn a_temporary_table_is_told_apart() {
    let server = shop();
    let temporary = server.session("app");
    temporary.tell("CREATE TEMP TABLE customers (a int);");
    let (_, snapshot) = surveyed(&server, "plain");
    let named: Vec<_> = snapshot.catalog.named("customers").map(|found| found.temp).collect();
    assert_eq!(named.iter().filter(|temp| **temp).count(), 1);
    assert_eq!(named.len(), 2);
}

/// A transaction that locks a table and does not end must not keep everyone out.
#[test]
fn a_locked_table_does_not_stop_a_survey() {
    let server = shop();
    let lock = server.lock("app", "shop.customers");
    let (mut stay, snapshot) = surveyed(&server, "plain");
    let definition =
        |snapshot: &Snapshot, name| relation(snapshot, "shop", name).definition.clone();
    assert_eq!(definition(&snapshot, "faces"), None);
    assert!(definition(&snapshot, "totals").is_some());
    let folded = relation(&snapshot, "shop", "customers").column("folded").unwrap();
    let most = r#"ROW("id", "name", "ssn", "email", "mood", "Odd ""Name")"#;
    assert_eq!(folded.generated.as_deref(), Some(most));
    let standard = snapshot.catalog.functions("standard").next().unwrap();
    assert_eq!(standard.body, None);

    assert!(stay.probe().is_quiet());
    drop(lock);
    let snapshot = stay.probe().snapshot();
    assert!(definition(&snapshot, "faces").is_some());
    let folded = relation(&snapshot, "shop", "customers").column("folded").unwrap();
    assert_eq!(folded.generated.as_deref(), Some("lower(email)"));
    assert!(snapshot.catalog.functions("standard").next().unwrap().body.is_some());
    assert!(stay.probe().is_quiet());
}

#[test]
fn a_server_that_stops_ends_the_survey() {
    let server = shop();
    let (mut stay, _) = surveyed(&server, "plain");
    server.psql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'plain'",
    );
    let Rest::Failed(what, detail) = stay.probe() else { panic!("it went on") };
    assert_eq!(what, "the server ended the survey's connection");
    assert!(detail.starts_with("57P01"), "{detail}");
}

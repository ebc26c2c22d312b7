//! Four connections to the same rows: directly, through the gateway, and with masks in two worlds.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

use crate::{Lab, Message, Mode, Token, Wire, exchange, until};

use super::canary::Canaries;
use super::case::Case;
use super::schema::MASKS;
use super::seen::{Hashes, values};
use super::worlds::{Canary, World};

const SCHEMA: &str = include_str!("../../sql/differ.sql");
/// The database that the others are copies of.
const SEED: &str = "differ_seed";
/// How long a statement may take; what takes longer is left out.
const TIMEOUT: &str = "3s";

/// Databases of one worker: directly, open, and masked in two worlds.
const NAMES: [&str; 4] = ["direct", "open", "a", "b"];

/// The rules; without any, nothing is masked.
#[must_use]
pub fn rules(workers: usize, masked: bool) -> String {
    if !masked {
        return " []".to_owned();
    }
    let on: Vec<String> =
        (0..workers).flat_map(|at| [format!("masked_a{at}"), format!("masked_b{at}")]).collect();
    let mut rules = String::from("\n");
    for (kind, fields) in MASKS {
        let _ = writeln!(
            rules,
            "  - name: hide-{kind}\n    on: [{}]\n    mask: {{ fields: [{}], with: {kind}, predicates: refuse }}",
            on.join(", "),
            fields.join(", "),
        );
    }
    rules
}

/// Resource and database of each that is reached through the gateway.
#[must_use]
pub fn resources(workers: usize) -> Vec<(String, String)> {
    let of = |at: usize| {
        [("open", "open"), ("masked_a", "a"), ("masked_b", "b")]
            .map(|(resource, name)| (format!("{resource}{at}"), format!("differ_{name}{at}")))
    };
    (0..workers).flat_map(of).collect()
}

/// Makes the databases of so many workers.
///
/// # Errors
/// The server refuses something.
pub fn prepare(lab: &Lab, workers: usize) -> Result<()> {
    let port = lab.server.upstream().port;
    let mut root = Wire::connect(port, "boss", "postgres", "")?;
    for quiet in [
        "ALTER SYSTEM SET log_statement = 'none'".to_owned(),
        "ALTER SYSTEM SET log_min_messages = 'fatal'".to_owned(),
        // Without statistics everything looks dear enough to be compiled.
        "ALTER SYSTEM SET jit = off".to_owned(),
        // EXPLAIN ANALYZE counts visits of the table, by what was vacuumed when.
        "ALTER SYSTEM SET enable_indexonlyscan = off".to_owned(),
        format!("ALTER ROLE app SET statement_timeout = '{TIMEOUT}'"),
        "SELECT pg_reload_conf()".to_owned(),
        "CREATE ROLE keeper".to_owned(),
        "GRANT keeper TO app".to_owned(),
        format!("CREATE DATABASE {SEED}"),
    ] {
        one(&mut root, &quiet)?;
    }
    let mut boss = Wire::connect(port, "boss", SEED, "")?;
    one(&mut boss, "ALTER SCHEMA public OWNER TO keeper")?;
    one(&mut boss, SCHEMA)?;
    drop(boss);
    until("nobody uses the template", || {
        let users = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{SEED}'");
        Ok((one(&mut root, &users)? == "0").then_some(()))
    })?;
    for at in 0..workers {
        for name in NAMES {
            let database = format!("differ_{name}{at}");
            one(&mut root, &format!("CREATE DATABASE {database} TEMPLATE {SEED}"))?;
            one(&mut root, &format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO keeper"))?;
            let mut boss = Wire::connect(port, "boss", &database, "")?;
            let world = if name == "b" { World::B } else { World::A };
            one(&mut boss, &world.fill())?;
        }
    }
    Ok(())
}

/// Has the server plan alike for everyone: where an index has a masked column, the gateway begins
/// sessions with settings that steer plans, which the guide tells. The databases without masks are
/// given what a session with masks has, whatever that is.
///
/// # Errors
/// The server or the gateway refuses something.
pub fn plan_alike(lab: &Lab, token: &Token, workers: usize) -> Result<()> {
    let port = lab.server.upstream().port;
    for worker in 0..workers {
        let mut boss = Wire::connect(port, "boss", &format!("differ_direct{worker}"), "")?;
        let listed = boss.query(
            "SELECT name, current_setting(name) FROM pg_settings \
             WHERE category LIKE 'Query Tuning / Planner %' ORDER BY name",
        )?;
        let mut masked = lab.wire_to(token, &format!("masked_a{worker}"))?;
        for setting in listed.text() {
            let [name, before] = setting.as_slice() else { bail!("a setting and its value") };
            let value = one(&mut masked, &format!("SHOW {name}"))?;
            for database in ["direct", "open"].iter().filter(|_| value != *before) {
                let alter =
                    format!("ALTER DATABASE differ_{database}{worker} SET {name} TO '{value}'");
                one(&mut boss, &alter)?;
            }
        }
    }
    Ok(())
}

fn one(wire: &mut Wire, text: &str) -> Result<String> {
    let reply = wire.query(text)?;
    if let Some(error) = reply.error() {
        bail!("{}: {text}", error.all);
    }
    Ok(reply.text().concat().concat())
}

/// What one connection received for a case; nothing when the connection broke.
pub type Received = Option<Vec<Message>>;

/// The connections of one worker.
#[derive(Debug)]
pub struct Lines<'a> {
    lab: &'a Lab,
    token: &'a Token,
    worker: usize,
    wires: [Option<Wire>; 4],
}

impl<'a> Lines<'a> {
    /// Those of this worker, not yet open.
    #[must_use]
    pub const fn new(lab: &'a Lab, token: &'a Token, worker: usize) -> Self {
        Self { lab, token, worker, wires: [None, None, None, None] }
    }

    fn connect(&self, at: usize) -> Result<Wire> {
        let worker = self.worker;
        if at == 0 {
            let database = format!("differ_direct{worker}");
            let options = format!("-c role=app -c statement_timeout={TIMEOUT}");
            let start = [("user", "boss"), ("database", &*database), ("options", &*options)];
            return Wire::connect_with(self.lab.server.upstream().port, &start, "");
        }
        let resource = ["", "open", "masked_a", "masked_b"].get(at).copied().unwrap_or_default();
        self.lab.wire_to(self.token, &format!("{resource}{worker}"))
    }

    /// Runs a case on every connection and undoes it.
    ///
    /// # Errors
    /// A connection cannot be opened.
    pub fn run(&mut self, case: &Case) -> Result<[Received; 4]> {
        let mut all = [None, None, None, None];
        for (at, received) in all.iter_mut().enumerate() {
            let open = self.wires.get_mut(at).and_then(Option::take);
            let mut wire = match open {
                Some(wire) => wire,
                None => self.connect(at)?,
            };
            if let Ok(messages) = attempt(&mut wire, case) {
                *received = Some(messages);
                wire.forget();
                if let Some(place) = self.wires.get_mut(at) {
                    *place = Some(wire);
                }
            }
        }
        Ok(all)
    }

    /// Writes tables and indexes anew, so that they are as large everywhere as they were at first:
    /// what was rolled back leaves room behind, not everywhere alike, and plans follow sizes. VACUUM
    /// alone makes no index smaller.
    ///
    /// # Errors
    /// A connection cannot be opened, or a statement fails.
    pub fn level(&self) -> Result<()> {
        for name in NAMES {
            let database = format!("differ_{name}{}", self.worker);
            let mut boss = Wire::connect(self.lab.server.upstream().port, "boss", &database, "")?;
            let tables = boss.query(
                "SELECT relname FROM pg_class \
                 WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace",
            )?;
            one(&mut boss, &format!("VACUUM (FULL) {}", tables.text().concat().join(", ")))?;
        }
        // Of tables that were locked the gateway may have read that their views cannot be told.
        // What follows a definition waits until the catalog is read behind it.
        for at in 1..NAMES.len() {
            let mut wire = self.connect(at)?;
            for text in ["CREATE TABLE settled ()", "DROP TABLE settled", "TABLE dept"] {
                one(&mut wire, text)?;
            }
        }
        Ok(())
    }

    /// Learns which hashes stand for which values, in both worlds.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub fn hashes(&self) -> Result<[Hashes; 2]> {
        let of = |at: usize| -> Result<Hashes> {
            let mut wire = self.connect(at)?;
            let mut hashes = Hashes::default();
            let names = ["email", "card", "salary", "token", "raw"];
            let list = names.join(", ");
            for format in [0, 1] {
                let text = format!("SELECT {list} FROM person ORDER BY id");
                let reply = wire.extended(&text, &[], format)?;
                for (row, values) in reply.rows().iter().enumerate() {
                    for (value, name) in values.iter().zip(names) {
                        hashes.add(value.as_deref().unwrap_or_default(), &format!("{name} {row}"));
                    }
                }
            }
            // COPY does not know the declared precision, and has other numbers.
            for options in ["", "(FORMAT binary)", "(FORMAT csv)"] {
                for name in names {
                    let copy =
                        format!("COPY (SELECT {name} FROM person ORDER BY id) TO STDOUT {options}");
                    let reply = wire.query(&copy)?;
                    let rows = reply.messages.iter().filter(|message| message.tag == b'd');
                    for (row, message) in rows.enumerate() {
                        let body = message
                            .body
                            .strip_prefix(b"PGCOPY\n\xff\r\n\0")
                            .and_then(|rest| rest.get(8..));
                        let values = values(body.unwrap_or(&message.body));
                        let text = message.body.trim_ascii_end();
                        let value = match (options, values) {
                            ("(FORMAT binary)", Some(values)) => {
                                values.into_iter().flatten().next()
                            }
                            ("(FORMAT binary)", None) => None,
                            _ => Some(text.strip_prefix(b"\\").unwrap_or(text).to_vec()),
                        };
                        hashes.add(&value.unwrap_or_default(), &format!("{name} {row}"));
                    }
                }
            }
            Ok(hashes)
        };
        Ok([of(2)?, of(3)?])
    }

    /// What gives the values of the first world away.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn canaries(&self) -> Result<[Canaries; 2]> {
        let mut wire = self.connect(0)?;
        let mut of = |world: World| -> Result<Canaries> {
            let mut canaries = Canaries::of(world);
            let texts = world.canaries().into_iter().filter_map(|canary| match canary {
                Canary::Text(text) => Some(format!("md5('{text}')")),
                _ => None,
            });
            let list: Vec<String> = texts.collect();
            let reply = wire.query(&format!("SELECT unnest(ARRAY[{}])", list.join(", ")))?;
            let digests: Vec<String> = reply.text().concat();
            ensure!(digests.len() == list.len(), "the server makes no digests");
            canaries.add_digests(&digests);
            Ok(canaries)
        };
        Ok([of(World::A)?, of(World::B)?])
    }
}

fn attempt(wire: &mut Wire, case: &Case) -> Result<Vec<Message>> {
    if case.transaction {
        wire.query("BEGIN").context("begin")?;
    }
    let mut all = Vec::new();
    for step in &case.steps {
        // COPY FROM STDIN waits for its end in either protocol.
        let mode = if step.sql.contains(';') && case.mode != Mode::Simple {
            Mode::Simple
        } else {
            case.mode
        };
        let mode = if step.values.is_empty() { mode } else { case.mode };
        all.extend(exchange(wire, &step.sql, &step.values, mode, step.stdin.as_deref())?);
    }
    if case.transaction {
        wire.query("ROLLBACK").context("roll back")?;
    }
    if case.session {
        wire.query("DEALLOCATE ALL").context("deallocate")?;
    }
    Ok(all)
}

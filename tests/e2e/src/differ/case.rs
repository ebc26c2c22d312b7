//! Cases: one or a few statements, how they are sent, and what may be expected of them.

use crate::Mode;

use super::choices::Choices;
use super::maker::{Appetite, Maker};
use super::query::Wanted;
use super::schema::{Kind, RELATIONS};

/// A statement, with the values bound to it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Step {
    /// Its text.
    pub sql: String,
    /// Values of its parameters, as text.
    pub values: Vec<String>,
    /// What COPY FROM STDIN reads.
    pub stdin: Option<String>,
}

/// What is run in one go, and undone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Case {
    /// The statements.
    pub steps: Vec<Step>,
    /// How they are sent.
    pub mode: Mode,
    /// They run inside a transaction that is rolled back.
    pub transaction: bool,
    /// Rows come in one order; else in any.
    pub ordered: bool,
    /// A masked column is named, or a row that has one.
    pub touched: bool,
    /// A value of a masked column is in the text.
    pub guesses: bool,
    /// Something stays in the session.
    pub session: bool,
}

impl Case {
    /// How it is sent, and its statements, in one line.
    #[must_use]
    pub fn text(&self) -> String {
        let steps: Vec<&str> = self.steps.iter().map(|step| step.sql.as_str()).collect();
        format!("{:?} {}", self.mode, steps.join("; "))
    }
}

/// The case of a seed.
#[must_use]
pub fn case(seed: u64) -> (Case, Vec<u64>) {
    let mut choices = Choices::seeded(seed);
    let case = case_of(&mut choices);
    (case, choices.taken())
}

/// The case of these choices.
#[must_use]
pub fn case_of(choices: &mut Choices) -> Case {
    let appetite = match choices.below(10) {
        0..3 => Appetite::None,
        3..8 => Appetite::Output,
        _ => Appetite::Anywhere,
    };
    let risky = choices.chance(20);
    let mode = match choices.below(10) {
        0..4 => Mode::Simple,
        4..6 => Mode::Text,
        _ => Mode::Binary,
    };
    let binds = mode != Mode::Simple && choices.chance(30);
    let form = choices.below(100);
    let mut maker = Maker::new(choices, appetite, risky, binds);
    maker.mild = appetite == Appetite::Output && maker.choices.chance(70);
    maker.collides = appetite != Appetite::None && maker.choices.chance(20);
    let mut case = Case {
        steps: Vec::new(),
        mode,
        transaction: form >= 50,
        ordered: false,
        touched: false,
        guesses: false,
        session: false,
    };
    match form {
        0..50 => maker.one_query(&mut case),
        50..66 => maker.one_write(&mut case),
        66..74 => maker.copy(&mut case),
        74..79 => maker.cursor(&mut case),
        79..84 => maker.prepared(&mut case),
        84..87 => maker.explained(&mut case),
        87..91 => maker.defined(&mut case),
        91..94 => maker.several(&mut case),
        94..97 => maker.session(&mut case),
        _ => maker.broken(&mut case),
    }
    case.touched |= maker.touched || maker.collides;
    case.ordered &= !maker.collides;
    case.guesses = maker.guesses;
    case.transaction |= maker.writes;
    case
}

const TOP: Wanted<'static> = Wanted { kinds: None, top: true, depth: 2 };
const INNER: Wanted<'static> = Wanted { kinds: None, top: false, depth: 2 };

impl Maker<'_> {
    fn step(&mut self, case: &mut Case, sql: String) {
        let values = std::mem::take(&mut self.values);
        case.steps.push(Step { sql, values, stdin: None });
    }

    /// Without parameters from here on.
    fn unbound(&mut self) {
        self.binds = false;
    }

    fn one_query(&mut self, case: &mut Case) {
        let query = self.query(TOP);
        case.ordered = query.ordered;
        // A refusal of what may write ends the session when more was sent behind it.
        let locks = [" FOR UPDATE", " FOR SHARE", " FOR KEY"].iter().any(|w| query.sql.contains(w));
        let pages = case.mode == Mode::Binary && !self.writes && self.choices.chance(15);
        // Which rows come first must be the same everywhere.
        if pages && !locks && query.ordered {
            case.mode = Mode::Paged;
        }
        self.step(case, query.sql);
    }

    fn one_write(&mut self, case: &mut Case) {
        let (sql, _) = self.writing(false);
        self.step(case, sql);
    }

    fn copy(&mut self, case: &mut Case) {
        self.unbound();
        let options = self.choices.word(&[
            "",
            " (FORMAT csv)",
            " (FORMAT csv, HEADER)",
            " (FORMAT binary)",
            " (FORMAT csv, DELIMITER ';', QUOTE '''', FORCE_QUOTE *)",
            " (DELIMITER '|', NULL 'nil')",
            " (FORMAT csv, NULL 'nil', ESCAPE '!')",
            " (FORMAT text, HEADER)",
        ]);
        let text = match self.choices.below(8) {
            0..5 => {
                let query = self.query(TOP);
                case.ordered = query.ordered;
                format!("COPY ({}) TO STDOUT{options}", query.sql)
            }
            5 => {
                let relation =
                    RELATIONS.get(self.choices.below(6)).unwrap_or(&super::sources::PLAIN);
                if relation.masked() && self.appetite == Appetite::None {
                    "COPY person (id, name, dept, note) TO STDOUT".to_owned()
                } else {
                    self.touched |= relation.masked();
                    format!("COPY {} TO STDOUT{options}", relation.from)
                }
            }
            6 => {
                let (sql, gives) = self.writing(true);
                let _ = gives;
                format!("COPY ({sql}) TO STDOUT{options}")
            }
            _ => {
                let (table, line) = self
                    .choices
                    .pick(&[
                        ("plain (id, body)", "50\tfresh"),
                        ("plain (id, body)", "1\ttaken"),
                        ("plain (id, small)", "60\t-1"),
                        ("dept", "new\tEve\tx"),
                        ("person (id, name)", "51\tnew"),
                        ("orders (id, person)", "52\t999"),
                    ])
                    .copied()
                    .unwrap_or(("dept", "a"));
                case.transaction = true;
                let stdin = Some(line.to_owned());
                let sql = format!("COPY {table} FROM STDIN");
                case.steps.push(Step { sql, values: Vec::new(), stdin });
                return;
            }
        };
        self.step(case, text);
    }

    fn cursor(&mut self, case: &mut Case) {
        let query = self.query(TOP);
        case.ordered = query.ordered;
        let word = self.choices.word(&["", "", "SCROLL ", "BINARY ", "INSENSITIVE ", "NO SCROLL "]);
        self.step(case, format!("DECLARE cur {word}CURSOR FOR {}", query.sql));
        for _ in 0..=self.choices.below(3) {
            let fetch = self.choices.word(&[
                "FETCH 2 FROM cur",
                "FETCH NEXT FROM cur",
                "FETCH ALL FROM cur",
                "MOVE 1 IN cur",
                "FETCH BACKWARD 1 FROM cur",
                "FETCH FIRST FROM cur",
                "FETCH ABSOLUTE 2 FROM cur",
            ]);
            self.step(case, fetch.to_owned());
        }
        // Without one order, which rows come first is anybody's guess.
        if !case.ordered {
            case.steps.truncate(1);
            self.step(case, "FETCH ALL FROM cur".to_owned());
        }
        if self.choices.chance(30) {
            self.step(case, "CLOSE cur".to_owned());
        }
    }

    fn prepared(&mut self, case: &mut Case) {
        self.unbound();
        case.session = true;
        let (sql, ordered) = if self.choices.chance(20) {
            (self.writing(false).0, false)
        } else {
            let query = self.query(TOP);
            (query.sql, query.ordered)
        };
        case.ordered = ordered;
        case.transaction = true;
        // Its first literal number becomes the parameter.
        let (sql, arguments) = match sql.split_once("'1'::int") {
            Some((before, after)) => (format!("{before}$1::int{after}"), "(1)"),
            None => (sql, ""),
        };
        self.step(case, format!("PREPARE prep AS {sql}"));
        for _ in 0..=self.choices.below(2) {
            self.step(case, format!("EXECUTE prep{arguments}"));
        }
    }

    fn explained(&mut self, case: &mut Case) {
        self.unbound();
        let sql = if self.choices.chance(20) { self.writing(false).0 } else { self.query(TOP).sql };
        let options = self.choices.word(&[
            "(COSTS OFF) ",
            "(COSTS OFF, VERBOSE) ",
            "(COSTS OFF, FORMAT json) ",
            "(COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF) ",
            "(COSTS OFF, FORMAT xml) ",
        ]);
        case.ordered = true;
        case.transaction = true;
        // A plan of what reads a row is hidden like all of the row.
        case.touched |= RELATIONS.iter().any(|of| of.masked() && sql.contains(of.from));
        // These read a table with a masked column in an index. What runs over one is hidden.
        let reads = ["v_open", "names()", "name_of"].iter().any(|of| sql.contains(of));
        case.touched |= reads && options.contains("ANALYZE");
        self.step(case, format!("EXPLAIN {options}{sql}"));
    }

    fn defined(&mut self, case: &mut Case) {
        self.unbound();
        let query = self.query(INNER);
        case.transaction = true;
        let name = "made";
        let (make, read) = match self.choices.below(5) {
            0 => (format!("CREATE TEMP TABLE {name} AS {}", query.sql), "SELECT * FROM made"),
            1 => (format!("CREATE VIEW {name} AS {}", query.sql), "SELECT * FROM made"),
            2 => (format!("CREATE TEMP VIEW {name} AS {}", query.sql), "TABLE made"),
            3 => (
                "CREATE TEMP TABLE made (id int PRIMARY KEY, v text) ON COMMIT DROP".to_owned(),
                "INSERT INTO made VALUES (1, 'x') RETURNING *",
            ),
            _ => (
                format!("SELECT * INTO TEMP {name} FROM ({}) q", query.sql),
                "SELECT count(*) FROM made",
            ),
        };
        self.step(case, make);
        self.step(case, read.to_owned());
        if self.choices.chance(20) {
            self.step(case, "SELECT id, name FROM person ORDER BY id".to_owned());
        }
    }

    fn several(&mut self, case: &mut Case) {
        self.unbound();
        case.mode = Mode::Simple;
        let mut parts = Vec::new();
        let mut ordered = true;
        for _ in 0..=self.choices.below(3) {
            if self.choices.chance(25) {
                parts.push(self.writing(false).0);
                ordered = false;
            } else {
                let query = self.query(TOP);
                ordered &= query.ordered;
                parts.push(query.sql);
            }
        }
        case.ordered = ordered;
        let end = self.choices.word(&["", ";", " -- end", "; ;"]);
        self.step(case, parts.join("; ") + end);
    }

    fn session(&mut self, case: &mut Case) {
        self.unbound();
        case.transaction = true;
        let set = self.choices.word(&[
            "SET LOCAL DateStyle TO 'SQL, DMY'",
            "SET bytea_output TO 'escape'",
            "SET intervalstyle TO iso_8601",
            "SET TIME ZONE 'Asia/Tokyo'",
            "SET LOCAL search_path TO pg_catalog, public",
            "SET extra_float_digits TO 0",
            "SET LOCAL client_encoding TO 'LATIN1'",
            "SET client_min_messages TO warning",
            "SET LOCAL xmlbinary TO hex",
            "SET standard_conforming_strings TO off",
            "SET LOCAL enable_hashjoin TO off",
            "SELECT set_config('TimeZone', 'America/New_York', true)",
            "SAVEPOINT one",
            "DO $$ BEGIN RAISE NOTICE 'hello %', 1; END $$",
            "DO $$ DECLARE x text; BEGIN SELECT note INTO x FROM person WHERE id = 1; RAISE NOTICE '%', x; END $$",
            "LISTEN somewhere",
            "LOCK TABLE plain IN SHARE MODE",
        ]);
        // What a block reads is not looked into.
        case.touched |= set.contains("person");
        self.step(case, set.to_owned());
        let query = self.query(TOP);
        case.ordered = query.ordered;
        self.step(case, query.sql);
        let last = self.choices.word(&[
            "SHOW DateStyle",
            "SHOW search_path",
            "RESET ALL",
            "ROLLBACK TO one",
            "NOTIFY somewhere, 'word'",
            "SELECT current_setting('TimeZone')",
            "CHECKPOINT_NOT",
        ]);
        self.step(case, last.to_owned());
    }

    /// A statement with something wrong in it.
    fn broken(&mut self, case: &mut Case) {
        self.unbound();
        case.transaction = true;
        let sql = if self.choices.chance(30) { self.writing(false).0 } else { self.query(TOP).sql };
        let words: Vec<&str> = sql.split(' ').collect();
        let at = self.choices.below(words.len());
        let (before, after) = words.split_at(at.min(words.len()));
        let (word, rest) = after.split_first().unwrap_or((&"", &[]));
        let changed: Vec<&str> = match self.choices.below(6) {
            0 => [before, rest].concat(),
            1 => [before, &[*word, *word], rest].concat(),
            2 => [before, &["nothing"], rest].concat(),
            3 => [before, &["("], after].concat(),
            4 => [rest, before].concat(),
            _ => [before, &["'"], after].concat(),
        };
        // A change of words may name a masked column where none was.
        let opens = |word: &&str| word.contains('*') || *word == "NATURAL";
        case.touched = self.touched || changed.iter().any(opens);
        let made = changed.join(" ");
        self.step(case, made);
        let kind = self.choices.pick(&Kind::ALL).copied().unwrap_or(Kind::Text);
        let last = self.leaf(kind);
        self.step(case, format!("SELECT {last}"));
    }
}

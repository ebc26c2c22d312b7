//! What is known of a statement. Flat and owned: it outlives the parse tree, so it can be kept by
//! text and catalog version, and judging it needs no deep stack.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::catalog::{ColumnId, Relation};
use crate::change::Change;

/// A text and everything in it. Empty text, or only comments and semicolons, has an empty list.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    /// The statements in order.
    pub list: Vec<Statement>,
    /// Facts merged over all of them.
    pub facts: Facts,
}

impl Statements {
    /// What holds for every text of the same shape (see [`mod@crate::shape`]): the same, but for
    /// the client's values and the place in the text. `None` when more depends on the values.
    #[must_use]
    pub fn of_shape(&self) -> Option<Self> {
        let [only] = self.list.as_slice() else { return None };
        if only.literals_matter {
            return None;
        }
        let mut only = only.clone();
        for guess in &mut only.guesses {
            if matches!(guess.operand, Operand::Constant(_)) {
                guess.operand = Operand::Computed;
            }
        }
        only.guesses.dedup();
        only.range = 0..0;
        Some(Self { list: vec![only], facts: self.facts.clone() })
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What kind.
    pub kind: StatementKind,
    /// Its facts; those of an inner statement (EXPLAIN ANALYZE, PREPARE, DECLARE) included.
    pub facts: Facts,
    /// The columns it returns. For DECLARE and PREPARE: those that FETCH and EXECUTE will return.
    pub outputs: Outputs,
    /// Where stored columns are used other than as a traced output.
    pub uses: Vec<Use>,
    /// What in it cannot be looked into.
    pub opaque: Vec<Opaque>,
    /// Client values that masked columns would be compared with (R5).
    pub guesses: Vec<Guess>,
    /// What is said here beside `guesses` may depend on the values of literals in the text. Always
    /// so for kinds other than SELECT, INSERT, UPDATE and DELETE.
    pub literals_matter: bool,
    /// Stored columns it names, or reads through views.
    pub columns: Vec<ColumnId>,
    /// The table it makes, when that can be followed until it is committed (see [`crate::own`]).
    pub creates: Option<Arc<Relation>>,
    /// What means something else behind it: `None` where nothing does, or nothing is defined.
    pub changes: Option<Arc<Change>>,
    /// The same for the session itself until it commits.
    pub changes_within: Option<Arc<Change>>,
    /// Its place in the text, bytes; surrounding blanks and comments may be included.
    pub range: Range<usize>,
}

/// What kind of statement.
#[derive(Clone, Debug)]
pub enum StatementKind {
    /// CALL.
    Call,
    /// CLOSE.
    ClosePortal {
        /// The cursor; `None` for ALL.
        cursor: Option<Arc<str>>,
    },
    /// COPY.
    Copy(CopyDetails),
    /// Definition of data, CREATE TABLE AS and SELECT INTO included.
    Ddl {
        /// `create table`, `alter table`, `drop view`, …
        command: Arc<str>,
    },
    /// DEALLOCATE.
    Deallocate {
        /// The prepared statement; `None` for ALL.
        name: Option<Arc<str>>,
    },
    /// DECLARE … CURSOR.
    Declare {
        /// The cursor.
        cursor: Arc<str>,
        /// It outlives the transaction.
        hold: bool,
        /// The query.
        inner: Box<Statement>,
    },
    /// DELETE.
    Delete,
    /// DISCARD.
    Discard {
        /// `all`, `plans`, `sequences` or `temp`.
        what: &'static str,
    },
    /// DO.
    Do,
    /// EXECUTE of a prepared statement.
    Execute {
        /// Its name.
        name: Arc<str>,
        /// What is in its arguments; which argument it is of is not told apart.
        arguments: Vec<Operand>,
    },
    /// EXPLAIN.
    Explain {
        /// The inner statement is executed.
        analyze: bool,
        /// The inner statement.
        inner: Box<Statement>,
    },
    /// FETCH or MOVE.
    Fetch {
        /// The cursor.
        cursor: Arc<str>,
        /// It is MOVE: no rows are returned.
        is_move: bool,
    },
    /// INSERT.
    Insert,
    /// LISTEN.
    Listen {
        /// The channel.
        channel: Arc<str>,
    },
    /// MERGE.
    Merge,
    /// NOTIFY.
    Notify {
        /// The channel.
        channel: Arc<str>,
    },
    /// PREPARE.
    Prepare {
        /// Its name.
        name: Arc<str>,
        /// The statement prepared.
        inner: Box<Statement>,
    },
    /// RESET.
    Reset {
        /// The setting; `None` for ALL.
        name: Option<Arc<str>>,
    },
    /// SELECT, VALUES, TABLE.
    Select,
    /// SET.
    Set {
        /// The setting, lower case: `search_path`, `role`, `session_authorization`, `timezone`, …
        name: Arc<str>,
        /// The value as text, several joined by `, `; `None` for DEFAULT.
        value: Option<Arc<str>>,
        /// The same, each for itself; `None` where they are not all constants.
        values: Option<Vec<Arc<str>>>,
        /// Only until the end of the transaction.
        local: bool,
    },
    /// SHOW.
    Show {
        /// The setting, or `all`.
        name: Arc<str>,
    },
    /// BEGIN, COMMIT and their kin.
    Transaction(TransactionKind),
    /// UNLISTEN.
    Unlisten {
        /// The channel; `None` for `*`.
        channel: Option<Arc<str>>,
    },
    /// UPDATE.
    Update,
    /// Anything else, by its verb: `vacuum`, `lock`, `comment`, …
    Utility(Arc<str>),
}

/// A statement that was sent before, named by one that runs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Runs {
    /// The query of this cursor.
    Cursor(Arc<str>),
    /// The prepared statement of this name.
    Prepared(Arc<str>),
}

impl Statement {
    /// It is a COMMIT or a ROLLBACK, also one that another transaction follows at once.
    #[must_use]
    pub fn ends_transaction(&self) -> bool {
        use TransactionKind::{Commit, Rollback};
        matches!(&self.kind, StatementKind::Transaction(Commit { .. } | Rollback { .. }))
    }
}

impl StatementKind {
    /// The server looks up what it names when it is executed, and not when it is parsed or bound:
    /// utility statements are not analysed before they run (PostgreSQL, `parse_analyze`; of a
    /// DECLARE, the query is).
    #[must_use]
    pub fn is_named_late(&self) -> bool {
        use StatementKind::{Call, Copy, Ddl, Do, Explain, Prepare, Utility};
        matches!(
            self,
            Call | Copy(_) | Ddl { .. } | Do | Explain { .. } | Prepare { .. } | Utility(_)
        )
    }

    /// What FETCH, MOVE, EXECUTE, and EXPLAIN of EXECUTE run.
    #[must_use]
    pub fn runs(&self) -> Option<Runs> {
        match self {
            Self::Fetch { cursor, .. } => Some(Runs::Cursor(Arc::clone(cursor))),
            Self::Execute { name, .. } => Some(Runs::Prepared(Arc::clone(name))),
            Self::Explain { inner, .. } => inner.kind.runs(),
            _ => None,
        }
    }
}

/// Steps of a transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TransactionKind {
    /// BEGIN or START TRANSACTION.
    Begin,
    /// COMMIT or END; `chain` begins another at once.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// COMMIT PREPARED.
    CommitPrepared,
    /// PREPARE TRANSACTION.
    Prepare,
    /// RELEASE SAVEPOINT.
    Release(Arc<str>),
    /// ROLLBACK or ABORT; `chain` begins another at once.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK PREPARED.
    RollbackPrepared,
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(Arc<str>),
    /// SAVEPOINT.
    Savepoint(Arc<str>),
}

/// The other end of a COPY.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CopyTarget {
    /// The client: STDIN or STDOUT.
    Client,
    /// A file on the server.
    File(Arc<str>),
    /// A program on the server.
    Program(Arc<str>),
}

/// A COPY.
#[derive(Clone, Debug)]
pub struct CopyDetails {
    /// Data goes into the table (FROM); otherwise out of it (TO).
    pub from: bool,
    /// Where to or from.
    pub target: CopyTarget,
    /// The relation, `schema.name`; `None` for COPY (query).
    pub relation: Option<Arc<str>>,
    /// Options as given, names in lower case: `format`, `delimiter`, `header`, …; an option
    /// without a value has `true`, lists are joined by `,`.
    pub options: Vec<(Arc<str>, Arc<str>)>,
    /// Columns as transferred, with their origins; `None` when they could not be told. The same
    /// as the statement's outputs for COPY TO.
    pub columns: Option<Vec<OutputColumn>>,
}

/// What a statement does. Lists are sorted and without repetition, except `verbs`, which keeps the
/// order of the text.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The verb of the statement itself, lower case: `select`, `insert`, `create`, …
    pub verb: Arc<str>,
    /// Every effect at any depth, CTEs included, first the statement's own. EXPLAIN lists the
    /// verbs of the inner statement only with ANALYZE, because only then it runs.
    pub verbs: Vec<Arc<str>>,
    /// `reads` and `writes` together.
    pub tables: Vec<Arc<str>>,
    /// Relations read, `schema.name`; as written when the name resolves to nothing. Of a view: the
    /// view and what it reads.
    pub reads: Vec<Arc<str>>,
    /// Relations written or defined, likewise.
    pub writes: Vec<Arc<str>>,
    /// `schema.table.column`, read or written.
    pub columns: Vec<Arc<str>>,
    /// Names of functions called, as written, lower case folded by the grammar, `schema.name` when
    /// qualified other than by `pg_catalog`.
    pub functions: Vec<Arc<str>>,
    /// `update`, `delete`, `merge`, once for each that touches every row (R6).
    pub unfiltered: Vec<Arc<str>>,
    /// It runs text that is not in it (R6).
    pub dynamic: bool,
    /// It is proved to change nothing.
    pub read_only: bool,
    /// At most so many rows come back; `None` when no bound is known.
    pub rows: Option<u64>,
    /// Ways to files and programs of the server, a fixed word each.
    pub server_access: Vec<&'static str>,
    /// It changes, or may change, who the session acts as, or a role's own definition.
    pub role_change: bool,
    /// Ways to see or signal other backends: names of functions and relations (R10).
    pub other_backends: Vec<Arc<str>>,
    /// It defines, alters or drops objects.
    pub ddl: bool,
    /// Code that it runs, and that cannot be looked into, has words that do.
    pub may_define: bool,
    /// It changes, or may change, `search_path`.
    pub changes_search_path: bool,
    /// A name may mean a relation further along `search_path` than the one that is told of.
    pub shadows: bool,
    /// Settings changed: name in lower case, value when it is a constant in the text.
    pub sets: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// Steps of transactions, in order.
    pub transactions: Vec<TransactionKind>,
    /// Identities of the relations and functions named (`pg_class.oid`, `pg_proc.oid`), views'
    /// own relations included; part of the operation's digest (R11).
    pub objects: Vec<u32>,
    /// Names that resolved to nothing in the snapshot, as written.
    pub unresolved: Vec<Arc<str>>,
    /// What it makes is written with its schema.
    pub names_schema: bool,
    /// Columns of a table that it makes, at which a foreign key of that table points.
    pub keys_to_itself: Vec<StoredName>,
    /// The server's planner takes no query of the statement for one of more than ten to this power
    /// rows, whatever its conditions, and so for none that costs much more than that.
    pub estimate_digits: u32,
}

/// A column that is or will be stored: schema, table, column.
pub type StoredName = (Arc<str>, Arc<str>, Arc<str>);

/// The columns a statement returns.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// `None`: it returns none, or they cannot be told (then the statement has an [`Opaque`], or
    /// is EXECUTE or FETCH, whose columns are those of another statement).
    pub columns: Option<Vec<OutputColumn>>,
    /// When there are columns but their number cannot be told (`SELECT *` from a function that
    /// returns any record): what each of them can depend on.
    pub every: Option<OutputColumn>,
}

/// One column that a statement returns.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OutputColumn {
    /// Its label, when the text tells.
    pub name: Option<Arc<str>>,
    /// Every stored column its value can depend on. A column of a view stands beside the columns
    /// under it.
    pub deps: BTreeSet<ColumnId>,
    /// It is this stored column and nothing else.
    pub direct: Option<ColumnId>,
    /// It may depend on more than `deps`.
    pub unknown: bool,
}

/// A stored column is used.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Use {
    /// Which.
    pub column: ColumnId,
    /// Where.
    pub place: Place,
    /// Its name, `schema.table.column`, for messages.
    pub name: Arc<str>,
}

/// Where a column is used, other than as an output whose value is traced.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// Compared by `=` or IN with values the client sent.
    Equality,
    /// Compared by `=` with another stored column.
    EquiJoin(ColumnId),
    /// Inside an expression: its value can cause an error, a delay, or become another value. The
    /// text names the operation.
    Expression(Arc<str>),
    /// An argument of a function in FROM.
    FromFunction(Arc<str>),
    /// Copied to where no mask follows: another table, a definition, a setting. The text names it.
    Moved(Arc<str>),
    /// Decides which rows, how many, or in which order: the text says by what (`WHERE`, `ORDER BY`,
    /// `GROUP BY`, `DISTINCT`, …).
    Predicate(&'static str),
    /// It is dropped, and this column, which stays, has values of it and a mask derived from it.
    Covers(ColumnId),
    /// Its definition, or that of its table, is changed. The text names the command.
    Redefined(Arc<str>),
    /// It may be written, under a name that means several relations. The text is the name.
    Ambiguous(Arc<str>),
}

/// Something that cannot be looked into.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Opaque {
    /// A word from the documented list, see [`crate::exposure::REASONS`].
    pub reason: &'static str,
    /// What it is about, as the statement names it.
    pub object: Arc<str>,
    /// What the catalog does not have, of `unknown_object`, where that is certain.
    pub missing: Option<Missing>,
}

/// A kind of name that the catalog does not have.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Missing {
    /// No relation has it.
    Relation,
    /// No relation that is read has a column of it.
    Column,
    /// No function has it.
    Function,
}

impl Missing {
    /// What PostgreSQL says for it (appendix A).
    #[must_use]
    pub fn sqlstate(self) -> &'static str {
        match self {
            Self::Relation => "42P01",
            Self::Column => "42703",
            Self::Function => "42883",
        }
    }
}

/// A value that a stored column is compared with.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Guess {
    /// The column.
    pub column: ColumnId,
    /// The value.
    pub operand: Operand,
}

/// A value that the client sent.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Operand {
    /// In the text.
    Constant(Arc<str>),
    /// Beside it: `$1` is 1. It may be an array of many values.
    Parameter(i32),
    /// The same where it is written to a key, and so converted to the type of the column.
    Given(i32),
    /// The same where it is cast to a text: what that says depends on the type it had.
    Cast(i32),
    /// One value made of such values and nothing else.
    Computed,
    /// Values of this column, in rows that the client chooses: one guess, whatever these are. Where
    /// it is in clear text, they are any number of values that the client knows.
    Stored(ColumnId),
    /// Any number of values: rows of a query or of COPY, joins with what the client made up.
    Unbounded,
}

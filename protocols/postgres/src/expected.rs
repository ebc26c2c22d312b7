//! What the server owes: one entry for each message that it will answer.

use std::sync::Arc;

use bytes::Bytes;
use engine::Permit;
use sql::{Facts, Statement, StatementKind, TransactionKind};

use crate::admit::may_set;
use crate::copy::CopyMask;
use crate::follow::{Follow, FollowCopy};
use crate::judge::Judged;
use crate::names::{Hides, Portal, PortalFields, Prepared, Source};
use crate::rows::RowMask;
use crate::uncommitted::ends_a_prepared_one;

/// One answer the server owes.
pub(crate) struct Expected {
    pub what: What,
    /// The operation it belongs to; `None` for what carries none.
    pub permit: Option<Arc<Permit>>,
    /// The operation is over with it.
    pub ends: bool,
}

impl Expected {
    /// An answer that belongs to no operation.
    pub fn control(what: What) -> Self {
        Self { what, permit: None, ends: false }
    }
}

impl What {
    /// The server starts afresh behind it: an error before has no effect on what comes after.
    pub fn is_boundary(&self) -> bool {
        match self {
            Self::Sync | Self::Abort { simple: true, .. } => true,
            Self::Rows(rows) => rows.portal.is_none(),
            _ => false,
        }
    }

    /// It may change something in the database.
    pub fn may_write(&self) -> bool {
        self.executed().any(|statement| !statement.facts.read_only)
    }

    /// It changes definitions, so that names of tables may mean something else behind it.
    pub fn defines(&self) -> bool {
        let defines = |facts: &Facts| facts.ddl || facts.may_define || ends_a_prepared_one(facts);
        self.executed().any(|one| defines(&one.facts))
    }

    /// It changes, or may change, what names of relations mean.
    pub fn changes_path(&self) -> bool {
        self.facts().any(|facts| facts.changes_search_path || facts.role_change)
    }

    /// It changes, or may change, the role.
    pub fn changes_role(&self) -> bool {
        self.facts().any(|facts| facts.role_change)
    }

    /// It may change a setting that the server reports and texts depend on.
    pub fn may_set(&self) -> bool {
        self.judged().any(|judged| judged.statements.list.iter().any(may_set))
    }

    /// It may undo or end what a transaction has set.
    pub fn ends_transaction(&self) -> bool {
        use TransactionKind::{Begin, Release, Savepoint};
        let keeps = |kind: &TransactionKind| matches!(kind, Begin | Release(_) | Savepoint(_));
        self.facts().any(|facts| !facts.transactions.iter().all(keeps))
    }

    /// It may end a transaction block, so that others see what was changed in it.
    pub fn may_end_block(&self) -> bool {
        self.ends_transaction() || self.facts().any(|facts| facts.dynamic)
    }

    /// What runs with it, also by FETCH or EXECUTE.
    fn judged(&self) -> impl Iterator<Item = &Judged> {
        let rows = match self {
            Self::Rows(rows) => Some(rows),
            _ => None,
        };
        rows.into_iter().flat_map(|rows| {
            let source = rows.source.as_ref().map(|source| &*source.judged);
            source.into_iter().chain([&*rows.judged])
        })
    }

    /// The statements that run, with what an EXECUTE runs.
    pub fn executed(&self) -> impl Iterator<Item = &Statement> {
        let rows = match self {
            Self::Rows(rows) => Some(rows),
            _ => None,
        };
        rows.into_iter().flat_map(|rows| {
            let list = &rows.judged.statements.list;
            let source = rows.source.as_ref().filter(|source| source.takes_effect);
            list.iter().chain(source.into_iter().flat_map(|s| &s.judged.statements.list))
        })
    }

    fn facts(&self) -> impl Iterator<Item = &Facts> {
        self.judged().map(|judged| &judged.statements.facts)
    }

    /// It may give, change or drop names of statements and portals by SQL.
    pub fn concerns_names(&self) -> bool {
        self.executed().any(|statement| {
            matches!(
                statement.kind,
                StatementKind::Prepare { .. }
                    | StatementKind::Deallocate { .. }
                    | StatementKind::Declare { .. }
                    | StatementKind::ClosePortal { .. }
                    | StatementKind::Discard { .. }
            )
        })
    }
}

/// What an answer is for.
pub(crate) enum What {
    /// A statement that cannot succeed; `error` takes the place of the server's.
    Abort {
        error: Bytes,
        failed: bool,
        simple: bool,
    },
    Bind {
        name: Vec<u8>,
    },
    /// Of a statement (`S`) or a portal (`P`). A server that skips to the next Sync closes nothing.
    Close {
        kind: u8,
        name: Vec<u8>,
    },
    DescribePortal {
        own: bool,
        fields: Option<PortalFields>,
    },
    /// `own`: asked by the gateway, the client does not see it.
    DescribeStatement {
        prepared: Option<Arc<Prepared>>,
        own: bool,
    },
    Parse {
        name: Vec<u8>,
    },
    /// A Query, or an Execute.
    Rows(Box<RowsReply>),
    Sync,
}

/// A message of an extended-protocol operation, before it is sent.
pub(crate) enum Step {
    Parse {
        name: Vec<u8>,
        prepared: Arc<Prepared>,
    },
    DescribeStatement {
        prepared: Arc<Prepared>,
        own: bool,
    },
    Bind {
        name: Vec<u8>,
        opened: Opened,
    },
    DescribePortal {
        own: bool,
        fields: Option<PortalFields>,
    },
    /// With the portal, if that was bound before.
    Execute {
        opened: Opened,
        portal: Option<Arc<Portal>>,
    },
    Sync,
}

/// What a portal is opened on.
#[derive(Clone)]
pub(crate) struct Opened {
    pub prepared: Arc<Prepared>,
    pub source: Option<Source>,
    pub formats: Vec<i16>,
    /// To be told by the server.
    pub fields: Option<PortalFields>,
}

/// The rows of a Query or Execute.
pub(crate) struct RowsReply {
    pub judged: Arc<Judged>,
    /// Which statement of the text is running.
    pub statement: usize,
    /// What it runs, when it is FETCH or EXECUTE.
    pub source: Option<Source>,
    pub portal: Option<Opened>,
    /// What was hidden when it was admitted, and when its portal or cursor was opened.
    pub hides: Hides,
    /// Which changes of definitions it was judged behind.
    pub since: u64,
    /// How many answers were awaited when it was sent; told when this one is.
    pub behind: u64,
    pub treatment: Treatment,
    /// The client sends data now.
    pub copies_in: bool,
    /// The server said that it takes data. Until the data ends it ignores Sync.
    pub takes_data: bool,
    /// How often the server said that it takes data.
    pub taken: u32,
    /// The client has sent data.
    pub data_began: bool,
    /// How often the client has ended its data.
    pub data_ends: u32,
    /// A statement of it failed.
    pub failed: bool,
    /// How many Sync were sent between the statement and the end of its data.
    pub syncs_before_end: Option<usize>,
}

/// What happens to rows.
pub(crate) enum Treatment {
    /// Not known yet.
    Undescribed,
    /// They pass as they come.
    Pass,
    Rows(Box<RowMask>, Option<Box<Follow>>),
    Copy(Box<CopyMask>, Option<Box<FollowCopy>>),
}

impl RowsReply {
    pub fn simple(judged: Arc<Judged>, source: Option<Source>, hides: Hides, since: u64) -> Self {
        let copies_in = copies_in(&judged);
        let treatment = Treatment::Undescribed;
        Self {
            judged,
            statement: 0,
            source,
            portal: None,
            hides,
            since,
            behind: 0,
            treatment,
            copies_in,
            takes_data: false,
            taken: 0,
            data_began: false,
            data_ends: 0,
            failed: false,
            syncs_before_end: None,
        }
    }

    pub fn portal(opened: Opened, hides: Hides, since: u64) -> Self {
        let prepared = Arc::clone(&opened.prepared);
        let judged = Arc::clone(&prepared.judged);
        Self {
            copies_in: copies_in(&judged),
            statement: prepared.index.unwrap_or(0),
            judged,
            source: opened.source.clone(),
            portal: Some(opened),
            hides,
            since,
            behind: 0,
            treatment: Treatment::Undescribed,
            takes_data: false,
            taken: 0,
            data_began: false,
            data_ends: 0,
            failed: false,
            syncs_before_end: None,
        }
    }
}

fn copies_in(judged: &Judged) -> bool {
    judged
        .statements
        .list
        .iter()
        .any(|statement| matches!(&statement.kind, StatementKind::Copy(copy) if copy.from))
}

//! Definitions that sessions of one resource change (R7). A snapshot is read after such a change,
//! so that a statement of another session may be judged before that and run behind it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sql::own::{self, Names};
use sql::{Catalog, Facts, Statement, StatementKind};

use crate::uncommitted::ends_a_prepared_one;

/// Changes of one resource that are remembered one by one.
const CHANGES_MAX: usize = 256;

/// Names of relations, without their schemas, that may mean something else; `None` for any.
pub(crate) type Renamed = Option<BTreeSet<Arc<str>>>;

/// What sessions of every resource change.
#[derive(Default)]
pub(crate) struct Changing {
    resources: Mutex<HashMap<Arc<str>, Arc<Definitions>>>,
}

/// What sessions of one resource change. Nearly always nothing does, which takes no lock to see.
#[derive(Default)]
struct Definitions {
    /// How many changes are over. Counted before it is no longer open.
    epoch: AtomicU64,
    /// Sessions that change something which others may see by now.
    open: AtomicUsize,
    /// Sessions there have been.
    sessions: AtomicU64,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    /// On their way, or not committed, each with its session.
    open: HashMap<u64, Open>,
    /// The last that are over, each with the epoch that it began.
    over: VecDeque<(u64, Renamed)>,
}

/// What a session changes.
#[derive(Default)]
struct Open {
    renamed: Renamed,
    /// Nothing keeps the server from having committed it.
    is_seen: bool,
}

/// One session's place among those of its resource.
pub(crate) struct Seat {
    definitions: Arc<Definitions>,
    session: u64,
    /// It changes something now.
    changes: bool,
    /// Others may see that.
    is_seen: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changing {
    pub fn seat(&self, resource: &Arc<str>) -> Seat {
        let mut resources = locked(&self.resources);
        let definitions = Arc::clone(resources.entry(Arc::clone(resource)).or_default());
        let session = definitions.sessions.fetch_add(1, Ordering::Relaxed);
        Seat { definitions, session, changes: false, is_seen: false }
    }
}

impl Seat {
    /// How many changes are over. What is read from now on has them.
    pub fn epoch(&self) -> u64 {
        self.definitions.epoch.load(Ordering::Acquire)
    }

    /// This session sends a change. Inside a transaction block nobody else sees it until something
    /// ends the block.
    pub fn begin(&mut self, renamed: Renamed, inside: bool) {
        self.changes = true;
        let mut changes = locked(&self.definitions.changes);
        let nothing = || Open { renamed: Some(BTreeSet::new()), is_seen: false };
        let open = changes.open.entry(self.session).or_insert_with(nothing);
        open.renamed = match (open.renamed.take(), renamed) {
            (Some(mut names), Some(more)) => {
                names.extend(more);
                Some(names)
            }
            _ => None,
        };
        drop(changes);
        if !inside {
            self.show();
        }
    }

    /// This session sends what may end its transaction block.
    pub fn show(&mut self) {
        if !self.changes || std::mem::replace(&mut self.is_seen, true) {
            return;
        }
        let mut changes = locked(&self.definitions.changes);
        if let Some(open) = changes.open.get_mut(&self.session) {
            open.is_seen = true;
        }
        self.definitions.open.fetch_add(1, Ordering::AcqRel);
    }

    /// What this session changed is committed, or gone. Returns the epoch that begins, if any did.
    pub fn end(&mut self) -> Option<u64> {
        if !std::mem::take(&mut self.changes) {
            return None;
        }
        let mut changes = locked(&self.definitions.changes);
        let renamed = changes.open.remove(&self.session).unwrap_or_default().renamed;
        let epoch = self.definitions.epoch.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        changes.over.push_back((epoch, renamed));
        if changes.over.len() > CHANGES_MAX {
            changes.over.pop_front();
        }
        if std::mem::take(&mut self.is_seen) {
            self.definitions.open.fetch_sub(1, Ordering::AcqRel);
        }
        Some(epoch)
    }

    /// Whether a name that this statement reads may have been changed by another session since this
    /// epoch, or is being changed.
    pub fn may_have_changed(&self, facts: &Facts, since: u64) -> bool {
        let is_open = self.definitions.open.load(Ordering::Acquire) > 0;
        let is_still = !is_open && self.epoch() == since;
        if is_still || facts.reads.is_empty() && facts.writes.is_empty() {
            return false;
        }
        let changes = locked(&self.definitions.changes);
        let kept = changes.over.front().map_or(since, |(first, _)| *first);
        if since.saturating_add(1) < kept {
            return true;
        }
        let names = || facts.reads.iter().chain(&facts.writes).map(|name| bare(name));
        let concerns = |renamed: &Renamed| match renamed {
            Some(renamed) => names().any(|name| renamed.contains(name)),
            None => true,
        };
        let mut over = changes.over.iter().filter(|(epoch, _)| *epoch > since);
        let others = |(session, open): &(&u64, &Open)| **session != self.session && open.is_seen;
        let mut open = changes.open.iter().filter(others);
        over.any(|(_, renamed)| concerns(renamed)) || open.any(|(_, open)| concerns(&open.renamed))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.end();
    }
}

fn bare(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Which names mean something else behind these statements; `None` when all mean the same.
pub(crate) fn renamed<'a>(
    statements: impl Iterator<Item = &'a Statement>,
    catalog: Option<&Catalog>,
) -> Option<Renamed> {
    let mut all: Option<Renamed> = None;
    for statement in statements {
        let facts = &statement.facts;
        let changes = facts.ddl || ends_a_prepared_one(facts);
        let is_same = |catalog| own::names_after(statement, catalog) == Names::Same;
        if !changes || is_harmless(statement) || facts.ddl && catalog.is_some_and(is_same) {
            continue;
        }
        let names = catalog.and_then(|catalog| names(statement, catalog));
        all = Some(match (all, names) {
            (None, names) => names,
            (Some(Some(mut known)), Some(names)) => {
                known.extend(names);
                Some(known)
            }
            _ => None,
        });
    }
    all
}

/// No name and no column means something else behind it. Building an index can take an hour.
fn is_harmless(statement: &Statement) -> bool {
    let StatementKind::Ddl { command } = &statement.kind else { return false };
    let verb = &*statement.facts.verb;
    matches!(verb, "comment" | "grant" | "refresh" | "revoke" | "security label")
        || &**command == "create index"
}

/// The names that one concerns, where these are all.
fn names(statement: &Statement, catalog: &Catalog) -> Renamed {
    let StatementKind::Ddl { command } = &statement.kind else { return None };
    let facts = &statement.facts;
    let is_told = matches!(
        &**command,
        "alter table"
            | "alter view"
            | "alter materialized view"
            | "create materialized view"
            | "create sequence"
            | "create table"
            | "create table as"
            | "create table if not exists"
            | "create view"
            | "drop index"
            | "drop materialized view"
            | "drop table"
            | "drop view"
    );
    // Columns of those above and below change with it.
    let is_related = |oid: &u32| {
        catalog.relation(*oid).is_some_and(|relation| !relation.parents.is_empty())
            || catalog.relations().any(|relation| relation.parents.contains(oid))
    };
    if !is_told || facts.writes.is_empty() || facts.objects.iter().any(is_related) {
        return None;
    }
    Some(facts.writes.iter().map(|name| bare(name).into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_a_change_concerns_who_names_it_from_its_beginning_until_it_is_read() {
        let changing = Changing::default();
        let resource: Arc<str> = "appdb".into();
        let (mut one, other) = (changing.seat(&resource), changing.seat(&resource));
        let reads = |name: &str| Facts { reads: vec![name.into()], ..Facts::default() };
        let (mine, yours) = (reads("k.mine"), reads("k.yours"));
        let before = other.epoch();
        assert!(!other.may_have_changed(&mine, before));
        one.begin(Some(BTreeSet::from(["mine".into()])), false);
        assert!(other.may_have_changed(&mine, before) && !other.may_have_changed(&yours, before));
        assert!(!one.may_have_changed(&mine, before), "its own are followed elsewhere");
        assert_eq!(one.end(), Some(1));
        assert!(other.may_have_changed(&mine, before));
        assert!(!other.may_have_changed(&mine, other.epoch()));
        one.begin(None, false);
        assert!(other.may_have_changed(&yours, other.epoch()));
        assert!(!other.may_have_changed(&Facts::default(), before), "it reads no table");
        drop(one);
        assert_eq!(other.epoch(), 2);
        let mut third = changing.seat(&resource);
        for _ in 0..=CHANGES_MAX {
            third.begin(Some(BTreeSet::new()), false);
            third.end();
        }
        assert!(other.may_have_changed(&yours, 0), "too long ago to be known");
    }
    #[test]
    fn r7_what_is_not_committed_concerns_nobody_until_it_may_be() {
        let changing = Changing::default();
        let resource: Arc<str> = "appdb".into();
        let (mut one, other) = (changing.seat(&resource), changing.seat(&resource));
        let facts = Facts { reads: vec!["k.mine".into()], ..Facts::default() };
        let before = other.epoch();
        one.begin(None, true);
        one.begin(Some(BTreeSet::from(["mine".into()])), true);
        assert!(!other.may_have_changed(&facts, before), "nobody can see it");
        one.show();
        assert!(other.may_have_changed(&facts, before), "the server may have committed it");
        one.show();
        assert_eq!(one.end(), Some(1));
        assert!(other.may_have_changed(&facts, before));
        assert!(!other.may_have_changed(&facts, 1), "counted once, so nothing is left open");
        one.begin(None, true);
        one.begin(None, false);
        assert!(other.may_have_changed(&facts, 1), "the second is in no block");
        drop(one);
        assert!(!other.may_have_changed(&facts, 2));
    }
}

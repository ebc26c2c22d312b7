//! Definitions that sessions of one resource change (R7). A snapshot is read after such a change,
//! so that a statement of another session may be judged before that and run behind it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sql::change::{Change, Words};
use sql::own::{self, Names};
use sql::{Catalog, Statement};

use crate::judge::Judged;
use crate::uncommitted::commits_a_prepared_one;

/// Changes of one resource that are remembered one by one.
const CHANGES_MAX: usize = 256;

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
    over: VecDeque<(u64, Change)>,
}

/// What a session changes.
#[derive(Default)]
struct Open {
    change: Change,
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
    pub fn begin(&mut self, change: Change, inside: bool) {
        self.changes = true;
        let mut changes = locked(&self.definitions.changes);
        changes.open.entry(self.session).or_default().change.extend(change);
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
        let change = changes.open.remove(&self.session).unwrap_or_default().change;
        let epoch = self.definitions.epoch.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        changes.over.push_back((epoch, change));
        if changes.over.len() > CHANGES_MAX {
            changes.over.pop_front();
        }
        if std::mem::take(&mut self.is_seen) {
            self.definitions.open.fetch_sub(1, Ordering::AcqRel);
        }
        Some(epoch)
    }

    /// Whether what a statement goes by, judged behind this epoch, may have been changed by another
    /// session since, or is being changed.
    pub fn may_have_changed(&self, (judged, index): (&Judged, usize), since: u64) -> bool {
        let is_open = self.definitions.open.load(Ordering::Acquire) > 0;
        if !is_open && self.epoch() == since {
            return false;
        }
        // It was judged when nothing was hidden.
        let Some(uses) = judged.uses.get().and_then(|uses| uses.get(index)) else { return true };
        let words = Words::of(judged.text_of(index));
        let changes = locked(&self.definitions.changes);
        let kept = changes.over.front().map_or(since, |(first, _)| *first);
        if since.saturating_add(1) < kept {
            return true;
        }
        let mut over = changes.over.iter().filter(|(epoch, _)| *epoch > since);
        let others = |(session, open): &(&u64, &Open)| **session != self.session && open.is_seen;
        let mut open = changes.open.iter().filter(others);
        over.any(|(_, change)| change.concerns(uses, &words))
            || open.any(|(_, open)| open.change.concerns(uses, &words))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.end();
    }
}

/// What these statements change the meaning of; `None` when all means what it meant.
pub(crate) fn changed<'a>(
    statements: impl Iterator<Item = &'a Statement>,
    catalog: Option<&Catalog>,
) -> Option<Change> {
    let mut all: Option<Change> = None;
    for statement in statements {
        let is_same = |catalog| own::names_after(statement, catalog) == Names::Same;
        let change = match &statement.changes {
            // What it holds is in no text of this session.
            _ if commits_a_prepared_one(&statement.facts) => Change::of_anything(),
            Some(change) if !catalog.is_some_and(is_same) => Change::clone(change),
            _ => continue,
        };
        all.get_or_insert_default().extend(change);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Environment, judge};

    fn environment() -> Arc<Environment> {
        Arc::new(Environment {
            standard_conforming_strings: true,
            search_path: Some(vec!["public".into()]),
            role: "app".into(),
        })
    }

    fn judged(text: &str) -> Judged {
        let judged = judge(text, &environment(), &sql::sample()).expect("it is SQL");
        judged.note_uses(&sql::sample());
        judged
    }

    fn change(text: &str) -> Change {
        let judged = judge(text, &environment(), &sql::sample()).expect("it is SQL");
        changed(judged.statements.list.iter(), Some(&sql::sample())).expect("it changes something")
    }

    #[test]
    fn r7_what_names_nothing_anew_is_told_to_nobody() {
        let told = |text: &str| {
            let judged = judge(text, &environment(), &sql::sample()).expect("it is SQL");
            changed(judged.statements.list.iter(), Some(&sql::sample()))
        };
        for text in [
            "select 1",
            "create table fresh (a int)",
            "create index on orders (id)",
            "prepare transaction 'x'",
            // What was never committed was never seen.
            "rollback prepared 'x'",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
        assert_eq!(told("commit prepared 'x'"), Some(Change::of_anything()));
        let both = told("alter table orders add x int; drop function f()").expect("it does");
        assert!(both.names.contains("orders") && both.made && !both.any);
    }

    #[test]
    fn r7_a_change_concerns_who_names_it_from_its_beginning_until_it_is_read() {
        let changing = Changing::default();
        let resource: Arc<str> = "appdb".into();
        let (mut one, other) = (changing.seat(&resource), changing.seat(&resource));
        let (mine, yours) = (judged("select id from orders"), judged("select id from notes"));
        let before = other.epoch();
        assert!(!other.may_have_changed((&mine, 0), before));
        one.begin(change("alter table orders add x int"), false);
        assert!(
            other.may_have_changed((&mine, 0), before)
                && !other.may_have_changed((&yours, 0), before)
        );
        assert!(!one.may_have_changed((&mine, 0), before), "its own are followed elsewhere");
        assert_eq!(one.end(), Some(1));
        assert!(other.may_have_changed((&mine, 0), before));
        assert!(!other.may_have_changed((&mine, 0), other.epoch()));
        one.begin(Change::of_anything(), false);
        assert!(other.may_have_changed((&yours, 0), other.epoch()));
        assert!(!other.may_have_changed((&judged("select 1"), 0), before), "it goes by nothing");
        let untold = judge("select 1", &environment(), &sql::sample()).expect("it is SQL");
        assert!(other.may_have_changed((&untold, 0), before), "what it goes by was not looked for");
        drop(one);
        assert_eq!(other.epoch(), 2);
        let mut third = changing.seat(&resource);
        for _ in 0..=CHANGES_MAX {
            third.begin(Change::default(), false);
            third.end();
        }
        assert!(other.may_have_changed((&yours, 0), 0), "too long ago to be known");
    }
    #[test]
    fn r7_what_is_not_committed_concerns_nobody_until_it_may_be() {
        let changing = Changing::default();
        let resource: Arc<str> = "appdb".into();
        let (mut one, other) = (changing.seat(&resource), changing.seat(&resource));
        let facts = judged("select id from orders");
        let before = other.epoch();
        one.begin(Change::of_anything(), true);
        one.begin(change("alter table notes add x int"), true);
        assert!(!other.may_have_changed((&facts, 0), before), "nobody can see it");
        one.show();
        assert!(other.may_have_changed((&facts, 0), before), "the server may have committed it");
        one.show();
        assert_eq!(one.end(), Some(1));
        assert!(other.may_have_changed((&facts, 0), before));
        assert!(!other.may_have_changed((&facts, 0), 1), "counted once, so nothing is left open");
        one.begin(Change::of_anything(), true);
        one.begin(Change::of_anything(), false);
        assert!(other.may_have_changed((&facts, 0), 1), "the second is in no block");
        drop(one);
        assert!(!other.may_have_changed((&facts, 0), 2));
    }
}

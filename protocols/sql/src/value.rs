//! What is known of a value: the stored columns it can depend on.

use std::sync::Arc;

use crate::catalog::ColumnId;

/// Sorted, without repetition. Most sets have no member or one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Deps(Vec<ColumnId>);

impl Deps {
    pub(crate) fn one(id: ColumnId) -> Self {
        Self(vec![id])
    }

    pub(crate) fn insert(&mut self, id: ColumnId) {
        if let Err(place) = self.0.binary_search(&id) {
            self.0.insert(place, id);
        }
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        match (self.0.as_slice(), other.0.as_slice()) {
            (_, []) => {}
            ([], _) => self.0.clone_from(&other.0),
            (_, [id]) => self.insert(*id),
            _ => {
                self.0.extend_from_slice(&other.0);
                // Two runs in order: this merges them.
                self.0.sort();
                self.0.dedup();
            }
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ColumnId> {
        self.0.iter().copied()
    }
}

/// What is known of a value's type.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Typed {
    /// A bare literal: it takes the type of what stands beside it.
    Literal,
    /// That of a stored column, `pg_type.oid`.
    Stored(u32),
    #[default]
    Unsure,
}

/// A value, as far as it matters here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Val {
    /// Stored columns it can depend on.
    pub deps: Deps,
    /// It is a bare reference to this column of a relation.
    pub direct: Option<ColumnId>,
    /// `direct`, and nothing is computed on the way down through views either.
    pub pure: bool,
    /// It may depend on more than `deps`.
    pub unknown: bool,
    /// It is made of constants and parameters only.
    pub client: bool,
    pub typed: Typed,
    /// How many values of the client, or stored ones, are put one after the other in it at most;
    /// [`Val::LONG`] stands for any length.
    pub pieces: u8,
}

impl Val {
    /// So many pieces may reach a limit of the server's: a text has at most 1 GiB.
    pub(crate) const LONG: u8 = 32;

    /// Its text may be as long as the client likes.
    pub(crate) fn is_long(&self) -> bool {
        self.pieces >= Self::LONG
    }

    /// `other` is put after `self`.
    pub(crate) fn append(&mut self, other: &Self) {
        let pieces = self.pieces.max(1).saturating_add(other.pieces.max(1));
        self.absorb(other);
        self.pieces = pieces.min(Self::LONG);
    }

    /// Depends on nothing stored, but is not the client's own value either.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// What the client sent.
    pub(crate) fn client() -> Self {
        Self { client: true, ..Self::default() }
    }

    /// What the client wrote, without a type.
    pub(crate) fn literal() -> Self {
        Self { client: true, typed: Typed::Literal, ..Self::default() }
    }

    /// May depend on anything.
    pub(crate) fn unknown() -> Self {
        Self { unknown: true, ..Self::default() }
    }

    /// Computed from `self` and `other`.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.deps.absorb(&other.deps);
        self.unknown |= other.unknown;
        self.client &= other.client;
        self.pieces = self.pieces.max(other.pieces);
        self.direct = None;
        self.pure = false;
        self.typed = match (self.typed, other.typed) {
            (one, two) if one == two => one,
            (Typed::Literal, typed) | (typed, Typed::Literal) => typed,
            _ => Typed::Unsure,
        };
    }

    /// The same dependencies, but no longer the column itself.
    pub(crate) fn derived(mut self) -> Self {
        self.direct = None;
        self.pure = false;
        self.typed = Typed::Unsure;
        self
    }
}

/// A column of a row source, with its name where the text or the catalog tells it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Col {
    pub name: Option<Arc<str>>,
    pub val: Val,
}

/// The columns of a row source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Table {
    pub cols: Vec<Col>,
    /// There may be more columns, of unknown names; each of them is this.
    pub rest: Option<Val>,
}

impl Table {
    /// Columns nobody can tell, each of them `val`.
    pub(crate) fn any(val: Val) -> Self {
        Self { cols: Vec::new(), rest: Some(val) }
    }

    /// How many steps it takes to go through everything in it.
    pub(crate) fn weight(&self) -> u64 {
        let cols = self.cols.iter().map(|col| 1 + col.val.deps.len());
        cols.sum::<u64>() + self.rest.as_ref().map_or(0, |rest| rest.deps.len())
    }

    /// All columns as one value: a whole row.
    pub(crate) fn whole(&self) -> Val {
        let mut whole = Val::none();
        for col in &self.cols {
            whole.absorb(&col.val);
        }
        if let Some(rest) = &self.rest {
            whole.absorb(rest);
        }
        whole
    }

    /// The column at `index`, from 0; every column at once when places cannot be told.
    pub(crate) fn at(&self, index: usize) -> Option<Val> {
        if self.rest.is_some() {
            return Some(self.whole());
        }
        self.cols.get(index).map(|col| col.val.clone())
    }

    /// The column called `name`.
    pub(crate) fn named(&self, name: &str) -> Option<&Val> {
        let found = self.cols.iter().find(|col| col.name.as_deref() == Some(name));
        found.map(|col| &col.val).or(self.rest.as_ref())
    }

    /// Applies a column alias list: the first columns get these names.
    pub(crate) fn rename(&mut self, names: &[Arc<str>]) {
        if names.is_empty() {
            return;
        }
        if self.rest.is_some() {
            let whole = self.whole();
            self.cols = names
                .iter()
                .map(|name| Col { name: Some(Arc::clone(name)), val: whole.clone() })
                .collect();
            self.rest = Some(whole);
            return;
        }
        for (col, name) in self.cols.iter_mut().zip(names) {
            col.name = Some(Arc::clone(name));
        }
    }

    /// By position, a row of either (UNION and its kin).
    pub(crate) fn union(mut self, other: &Self) -> Self {
        if self.rest.is_some() || other.rest.is_some() {
            let mut whole = self.whole();
            whole.absorb(&other.whole());
            for col in &mut self.cols {
                col.val = whole.clone();
            }
            self.rest = Some(whole);
            return self;
        }
        for (col, with) in self.cols.iter_mut().zip(&other.cols) {
            col.val.absorb(&with.val);
        }
        self
    }
}

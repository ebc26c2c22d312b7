//! What is known of a value: the stored columns it can depend on.

use std::borrow::Cow;
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

    pub(crate) fn contains(&self, id: ColumnId) -> bool {
        self.0.binary_search(&id).is_ok()
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

/// What a column is called.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Name {
    /// Nobody can tell, so anything.
    #[default]
    Any,
    /// This.
    Is(Arc<str>),
    /// One of these, by the version of the server.
    OneOf(&'static [&'static str]),
    /// This, if the column is there at all. All other names in its table are known.
    Perhaps(Arc<str>),
}

impl Name {
    /// Certainly this.
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Is(certain) if &**certain == name)
    }

    /// Perhaps this, but not certainly.
    pub(crate) fn may_be(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Is(_) => false,
            Self::OneOf(names) => names.contains(&name),
            Self::Perhaps(perhaps) => &**perhaps == name,
        }
    }

    /// Certainly this, on some version of the server at least.
    pub(crate) fn is_somewhere(&self, name: &str) -> bool {
        self.is(name) || matches!(self, Self::OneOf(names) if names.contains(&name))
    }

    /// The name, where it is certain.
    pub(crate) fn certain(&self) -> Option<&Arc<str>> {
        match self {
            Self::Is(name) => Some(name),
            Self::Any | Self::OneOf(_) | Self::Perhaps(_) => None,
        }
    }

    /// The name to show: the one that newer servers give.
    pub(crate) fn shown(&self) -> Option<Arc<str>> {
        match self {
            Self::Any => None,
            Self::Is(name) | Self::Perhaps(name) => Some(Arc::clone(name)),
            Self::OneOf(names) => names.last().map(|name| Arc::from(*name)),
        }
    }
}

impl From<Arc<str>> for Name {
    fn from(name: Arc<str>) -> Self {
        Self::Is(name)
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::Is(name.into())
    }
}

/// A column of a row source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Col {
    pub name: Name,
    pub val: Val,
    /// It has to be named: `*` leaves it out.
    pub unlisted: bool,
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

    /// The column that is certainly called `name`.
    pub(crate) fn certain(&self, name: &str) -> Option<&Val> {
        self.cols.iter().find(|col| col.name.is(name)).map(|col| &col.val)
    }

    /// Columns that may be called `name`, though not certainly.
    pub(crate) fn possible(&self, name: &str) -> impl Iterator<Item = &Val> {
        let unsure = self.cols.iter().filter(move |col| col.name.may_be(name));
        unsure.map(|col| &col.val).chain(self.rest_for(name))
    }

    /// What columns that nobody knows can be under a name.
    pub(crate) fn rest_for(&self, name: &str) -> Option<&Val> {
        let perhaps = |col: &Col| matches!(&col.name, Name::Perhaps(found) if &**found == name);
        self.rest.as_ref().filter(|_| !self.cols.iter().any(perhaps))
    }

    /// The column called `name`: a certain one, or all that it can be. Were one of these another of
    /// the name, PostgreSQL would take the reference for ambiguous.
    pub(crate) fn named(&self, name: &str) -> Option<Cow<'_, Val>> {
        if let Some(val) = self.certain(name) {
            return Some(Cow::Borrowed(val));
        }
        let mut possible = self.possible(name);
        let mut all = Cow::Borrowed(possible.next()?);
        for val in possible {
            all.to_mut().absorb(val);
        }
        Some(all)
    }

    /// The columns that `*` stands for.
    pub(crate) fn listed(mut self) -> Self {
        self.cols.retain(|col| !col.unlisted);
        self.beside()
    }

    /// Columns as they are in a table with others: one that is perhaps not there can be another.
    pub(crate) fn beside(mut self) -> Self {
        for col in &mut self.cols {
            if matches!(col.name, Name::Perhaps(_)) {
                col.name = Name::Any;
            }
        }
        self
    }

    /// Applies a column alias list: the first columns get these names.
    pub(crate) fn rename(&mut self, names: &[Arc<str>]) {
        if names.is_empty() {
            return;
        }
        if self.rest.is_some() {
            let whole = self.whole();
            // Which of them `*` leaves out cannot be told then: the rest is for all of them.
            let unlisted = self.cols.iter().any(|col| col.unlisted);
            let named = |name: &Arc<str>| Col {
                name: Name::Is(Arc::clone(name)),
                val: whole.clone(),
                unlisted,
            };
            self.cols = names.iter().map(named).collect();
            self.rest = Some(whole);
            return;
        }
        for (col, name) in self.cols.iter_mut().zip(names) {
            col.name = Name::Is(Arc::clone(name));
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

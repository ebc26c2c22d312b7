//! The facts that rules may read: declared by the engine and by each protocol, looked up by name
//! when rules are compiled, and by number when they are judged.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{FactDecl, FactType, Value};

/// Facts declared together: block 0 holds those every protocol has, each protocol has its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BlockId(pub u16);

impl BlockId {
    /// The facts that every protocol has; declared first.
    pub const COMMON: Self = Self(0);
}

/// Names one fact: the block that declares it and its position there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FactId {
    /// Who declares it.
    pub block: BlockId,
    /// Its position in that declaration.
    pub index: u16,
}

/// What is known about a fact when a rule is judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// Its value.
    Known(Value),
    /// An int that still grows: its final value lies in `low..=high`.
    Range {
        /// Least possible value.
        low: i64,
        /// Greatest possible value.
        high: i64,
    },
    /// A fact of the reply about which nothing is known yet.
    Pending,
    /// The protocol lacks it; rules that read it do not apply.
    Absent,
}

/// What has been used up within a sliding window.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Operations let through.
    pub operations: u64,
    /// Rows returned.
    pub rows: u64,
    /// Bytes returned.
    pub bytes: u64,
}

/// Whose use a limit counts.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Per {
    /// Each principal's own, on the resource.
    #[default]
    Principal,
    /// Everyone's together on the resource.
    Resource,
}

/// Gives the facts of one operation; written by the engine.
///
/// All calls must answer from memory: they are made on the data path.
pub trait Facts {
    /// The fact, seen over `window` where it is a sliding one.
    fn fact(&self, id: FactId, window: Duration) -> Fact;
    /// The same for a rule that can stop nothing: as far as it is known where not all of it is.
    fn seen(&self, id: FactId, window: Duration) -> Fact {
        self.fact(id, window)
    }
    /// What `per` has used within `window`, this operation not counted.
    fn usage(&self, per: Per, window: Duration) -> Usage;
}

/// How a function's subject is compared with each of its patterns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Test {
    /// Equal, byte for byte.
    Equal,
    /// A host name equal to the pattern, or below it where the pattern reads `*.suffix`; ASCII case
    /// and one trailing dot do not matter.
    Host,
    /// `*` matches any characters, `?` any one, case does not matter. A pattern without a dot is
    /// compared with the part after the subject's last dot too.
    Glob,
}

/// A function that conditions may call: `name("pattern")` or `name(lists.NAME)` where `subject`
/// names a fact, else `name(text, "pattern")` or `name(text, lists.NAME)`.
///
/// True when any subject matches any pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FunctionDecl {
    /// Its name in conditions.
    pub name: &'static str,
    /// The text or list fact it reads; `None` where the caller gives the text.
    pub subject: Option<&'static str>,
    /// How they are compared.
    pub test: Test,
    /// One sentence for the guide and error messages.
    pub about: &'static str,
}

/// Every fact and function that rules may name.
#[derive(Debug, Default)]
pub struct Schema {
    blocks: Vec<(&'static str, &'static [FactDecl])>,
    names: BTreeMap<&'static str, Vec<FactId>>,
    functions: BTreeMap<&'static str, FunctionDecl>,
}

impl Schema {
    /// A schema without facts and functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a block of facts. Declare the common block first: it becomes [`BlockId::COMMON`].
    ///
    /// Blocks may share a name when they agree on its type, as two protocols that speak the same
    /// language do; a rule then reads the fact of the protocol at hand. A declaration that
    /// disagrees with an earlier one about the type of a name is not reachable by that name.
    pub fn declare(&mut self, block: &'static str, facts: &'static [FactDecl]) -> BlockId {
        let id = BlockId(u16::try_from(self.blocks.len()).unwrap_or(u16::MAX));
        for (index, fact) in (0_u16..=u16::MAX).zip(facts) {
            let agrees = self.lookup(fact.name).is_none_or(|(_, first)| first.kind == fact.kind);
            if agrees {
                self.names.entry(fact.name).or_default().push(FactId { block: id, index });
            }
        }
        self.blocks.push((block, facts));
        id
    }

    /// Adds a function; a later one of the same name replaces it.
    pub fn define(&mut self, function: FunctionDecl) {
        self.functions.insert(function.name, function);
    }

    /// The first declaration of `name`.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<(FactId, &FactDecl)> {
        let id = *self.names.get(name)?.first()?;
        Some((id, self.declaration(id)?))
    }

    /// The declaration of a fact.
    #[must_use]
    pub fn declaration(&self, id: FactId) -> Option<&FactDecl> {
        self.blocks.get(usize::from(id.block.0))?.1.get(usize::from(id.index))
    }

    /// Every fact of that name, one per block that declares it.
    #[must_use]
    pub fn all(&self, name: &str) -> &[FactId] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every fact's name, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.keys().copied()
    }

    /// Every declaration with the name of its block, in the order of declaration.
    pub fn declarations(&self) -> impl Iterator<Item = (&'static str, &'static FactDecl)> {
        self.blocks.iter().flat_map(|(block, facts)| facts.iter().map(|fact| (*block, fact)))
    }

    /// A function by name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&FunctionDecl> {
        self.functions.get(name)
    }

    /// Every declared function, in alphabetical order.
    pub fn functions(&self) -> impl Iterator<Item = &FunctionDecl> {
        self.functions.values()
    }

    /// Whether a fact can be the subject of a function.
    pub(crate) fn is_subject(kind: FactType) -> bool {
        matches!(kind, FactType::Text | FactType::TextList)
    }
}

//! What a text does, as facts for rules, kept by text and catalog version.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use engine::{MaskKind, MaskPlan};
use foldhash::quality::RandomState;
use model::fact::{FactDecl, FactType, Phase, Value};
use model::operation::{Effect, Objects, RowBound};
use sql::change::Uses;
use sql::{Catalog, ColumnId, Facts, SearchPath, Statement, Statements, Unparsable};

use crate::admit::allowed_predicates;
use crate::changing::Changing;
use crate::shape::made;

const fn decl(name: &'static str, kind: FactType, about: &'static str) -> FactDecl {
    FactDecl { name, kind, phase: Phase::Request, about, carries: false }
}

/// The facts of a PostgreSQL operation, in the order of [`Judged::values`].
pub static FACTS: &[FactDecl] = &[
    decl("sql.verb", FactType::Text, "what the statement itself does: select, insert, …"),
    decl("sql.verbs", FactType::TextList, "every effect at any depth, CTEs included"),
    decl("sql.tables", FactType::TextList, "relations read or written, schema.name"),
    decl("sql.reads", FactType::TextList, "relations read, schema.name"),
    decl("sql.writes", FactType::TextList, "relations written or defined, schema.name"),
    decl("sql.columns", FactType::TextList, "columns read or written, schema.table.column"),
    decl("sql.functions", FactType::TextList, "functions called"),
    decl("sql.unfiltered", FactType::TextList, "update, delete, merge without a filter"),
    decl("sql.dynamic", FactType::Bool, "runs text that is not in the statement"),
    decl("sql.text", FactType::Text, "the exact text"),
];

/// What is known of one text under one catalog and one set of session settings.
#[derive(Clone)]
pub struct Judged {
    /// The exact text.
    pub text: Arc<str>,
    /// Statements, facts and lineage.
    pub statements: Arc<Statements>,
    /// Values of [`FACTS`].
    pub values: Arc<[Value]>,
    /// What it touches, for the record.
    pub objects: Arc<Objects>,
    /// What the facts prove about its effect.
    pub effect: Effect,
    /// Rows it can return.
    pub rows: RowBound,
    /// What else gives it its meaning (R11).
    pub context: Arc<str>,
    /// The catalog it was judged against.
    pub catalog_version: u64,
    /// The settings it was judged under.
    pub environment: Arc<Environment>,
    /// What each statement goes by, told when it is judged for someone with masks.
    pub uses: Arc<OnceLock<Box<[Uses]>>>,
    /// The literals in `statements` are those of the text; otherwise they are left out.
    pub exact: bool,
}

/// What, besides its text, decides what a statement means.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Environment {
    /// `standard_conforming_strings`.
    pub standard_conforming_strings: bool,
    /// `search_path`; `None` when it cannot be told.
    pub search_path: Option<Vec<Arc<str>>>,
    /// The role.
    pub role: Arc<str>,
}

/// Judged texts and resolved masks, shared by all connections.
#[derive(Default)]
pub struct Cache {
    texts: Mutex<Texts<Arc<str>>>,
    /// By what is left of a text without its literals, for texts that differ in nothing else.
    shapes: Mutex<Texts<Box<[u8]>>>,
    /// Which texts were recently judged by their shape.
    once: Mutex<Once>,
    masks: Mutex<HashMap<(u64, u64), Arc<MaskedColumns>>>,
    /// What sessions change, which no snapshot has yet.
    pub(crate) changing: Changing,
}

/// Stored columns that a mask plan hides, with the strictest mask of each.
pub type MaskedColumns = HashMap<ColumnId, MaskKind>;

/// A catalog version, and what else decides what a text means.
type Setting = (u64, Arc<Environment>);
/// Texts can be long, and clients choose them: the hash is fast, its seed is this process's own,
/// and what collides all the same is at most [`TEXTS_MAX`].
type Generation<K> = HashMap<Setting, HashMap<K, Arc<Judged>, RandomState>>;

/// Two generations: what is not asked for while one fills up is forgotten with the next.
struct Texts<K> {
    young: Generation<K>,
    old: Generation<K>,
    size: usize,
}

impl<K> Default for Texts<K> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), size: 0 }
    }
}

/// Texts per generation.
const TEXTS_MAX: usize = 4096;
/// Longest text kept, bytes: long ones are seldom seen twice.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Resolved mask plans kept.
const MASKS_MAX: usize = 256;

impl Cache {
    /// What `text` does.
    ///
    /// # Errors
    /// The text cannot be parsed: the client's fault.
    pub fn judge(
        &self,
        text: &str,
        environment: &Arc<Environment>,
        catalog: &Catalog,
    ) -> Result<Arc<Judged>, Unparsable> {
        let setting = (catalog.version, Arc::clone(environment));
        if let Some(judged) = locked(&self.texts).find(&setting, text) {
            return Ok(judged);
        }
        let mut shape = Vec::with_capacity(text.len());
        let shaped = sql::shape_of(text, &mut shape);
        if shaped && let Some(alike) = locked(&self.shapes).find(&setting, shape.as_slice()) {
            let judged = Arc::new(alike.for_text(text));
            // Most texts with literals of their own come once; those that come again are kept.
            if text.len() <= TEXT_BYTES_MAX && locked(&self.once).comes_again(text) {
                let text = Arc::clone(&judged.text);
                locked(&self.texts).put(setting, text, Arc::clone(&judged));
            }
            return Ok(judged);
        }
        let judged = Arc::new(judge(text, environment, catalog)?);
        let of_shape = if shaped { judged.statements.of_shape() } else { None };
        match of_shape {
            Some(statements) => {
                let alike = Arc::new(judged.of_shape(statements));
                locked(&self.shapes).put(setting, shape.into(), alike);
            }
            None if text.len() <= TEXT_BYTES_MAX => {
                let text = Arc::clone(&judged.text);
                locked(&self.texts).put(setting, text, Arc::clone(&judged));
            }
            None => {}
        }
        Ok(judged)
    }

    /// The stored columns that `plan` hides.
    pub fn masked(&self, plan: &MaskPlan, catalog: &Catalog) -> Arc<MaskedColumns> {
        let key = (plan.id, catalog.version);
        let mut masks = locked(&self.masks);
        if let Some(columns) = masks.get(&key) {
            return Arc::clone(columns);
        }
        let named = |schema: &str, table: &str, column: &str| plan.field(schema, table, column);
        let columns = Arc::new(sql::masked_kinds(catalog, named, made));
        if masks.len() >= MASKS_MAX {
            masks.clear();
        }
        masks.insert(key, Arc::clone(&columns));
        columns
    }
}

impl Cache {
    /// Whether an index would hand out rows in the order of a column that `plan` hides, and about
    /// whose order nothing may be asked.
    pub fn hides_order(&self, plan: &MaskPlan, catalog: &Catalog) -> bool {
        !plan.is_empty()
            && self.masked(plan, catalog).keys().any(|id| {
                catalog.column(*id).is_some_and(|(_, column)| column.indexed)
                    && allowed_predicates(plan, catalog, *id) != sql::Predicates::Allow
            })
    }
}

/// Fingerprints of texts, each in the one place it can be; the next to come there replaces it. A
/// mistake costs a place in the cache and nothing else.
#[derive(Default)]
struct Once {
    places: Vec<u64>,
    state: RandomState,
}

impl Once {
    fn comes_again(&mut self, text: &str) -> bool {
        self.places.resize(TEXTS_MAX, 0);
        let fingerprint = self.state.hash_one(text);
        let index = usize::try_from(fingerprint).unwrap_or_default() % TEXTS_MAX;
        let Some(place) = self.places.get_mut(index) else { return false };
        std::mem::replace(place, fingerprint) == fingerprint
    }
}

/// What a panic left behind is a cache all the same.
fn locked<T>(cache: &Mutex<T>) -> MutexGuard<'_, T> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Clone + Eq + Hash> Texts<K> {
    fn find<Q: Eq + Hash + ?Sized>(&mut self, setting: &Setting, key: &Q) -> Option<Arc<Judged>>
    where
        K: Borrow<Q>,
    {
        if let Some(judged) = self.young.get(setting).and_then(|texts| texts.get(key)) {
            return Some(Arc::clone(judged));
        }
        let (key, judged) = self.old.get(setting)?.get_key_value(key)?;
        let (key, judged) = (key.clone(), Arc::clone(judged));
        self.put(setting.clone(), key, Arc::clone(&judged));
        Some(judged)
    }

    fn put(&mut self, setting: Setting, key: K, judged: Arc<Judged>) {
        if self.size >= TEXTS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        let texts = self.young.entry(setting).or_default();
        if texts.insert(key, judged).is_none() {
            self.size = self.size.saturating_add(1);
        }
    }
}

impl Judged {
    /// The same for all texts of this one's shape.
    fn of_shape(&self, statements: Statements) -> Self {
        Self { statements: Arc::new(statements), exact: false, ..self.clone() }
    }

    /// Looks through it for what it goes by, unless that is told. `catalog` is the one by which it
    /// was judged.
    pub fn note_uses(&self, catalog: &Catalog) {
        self.uses.get_or_init(|| {
            let list = self.statements.list.iter().enumerate();
            list.map(|(index, one)| Uses::of(one, self.text_of(index), catalog)).collect()
        });
    }

    /// The text of one of its statements.
    pub fn text_of(&self, index: usize) -> &str {
        let range = self.statements.list.get(index).map(|statement| statement.range.clone());
        // What holds for all texts of a shape has no place in one.
        let part = range.filter(|range| !range.is_empty()).and_then(|range| self.text.get(range));
        part.unwrap_or(&self.text)
    }

    /// Whether it runs statements that were sent before: FETCH, EXECUTE.
    pub fn is_indirect(&self) -> bool {
        self.statements.list.iter().any(|statement| statement.kind.runs().is_some())
    }

    /// Whether what it names is looked up when it is executed and not before.
    pub fn is_named_late(&self) -> bool {
        self.is_indirect() || self.statements.list.iter().any(|one| one.kind.is_named_late())
    }

    /// Whether it may call what looks names up when it first runs, behind the opening of a portal:
    /// bodies of functions. What was not looked through for that may.
    pub fn goes_by_made(&self) -> bool {
        self.uses.get().is_none_or(|uses| uses.iter().any(Uses::goes_by_made))
    }

    /// The same text, with the facts of the statements it has run added to its own.
    pub fn with(&self, others: &[Arc<Self>]) -> Self {
        let others_statements = others.iter().flat_map(|other| &other.statements.list);
        let all: Vec<Statement> =
            self.statements.list.iter().chain(others_statements).cloned().collect();
        let facts = sql::merged(&all);
        let mut context = self.context.to_string();
        for other in others {
            let _ = write!(context, " ; {}", other.context);
        }
        Self {
            values: values(&facts, Arc::clone(&self.text)),
            objects: Arc::new(objects(&facts)),
            effect: effect(&facts),
            rows: RowBound::Unbounded,
            context: context.into(),
            ..self.clone()
        }
    }

    /// The same for another text of the shape.
    fn for_text(&self, text: &str) -> Self {
        let text: Arc<str> = text.into();
        // `sql.text` is the last of the facts.
        let others = self.values.iter().take(FACTS.len().saturating_sub(1));
        let values = others.cloned().chain([Value::Text(Arc::clone(&text))]).collect();
        Self { text, values, ..self.clone() }
    }
}

pub fn judge(
    text: &str,
    environment: &Arc<Environment>,
    catalog: &Catalog,
) -> Result<Judged, Unparsable> {
    let search_path = match &environment.search_path {
        Some(schemas) => SearchPath::Known(schemas.clone()),
        None => SearchPath::Unknown,
    };
    let options = sql::Options {
        standard_conforming_strings: environment.standard_conforming_strings,
        search_path: &search_path,
        role: &environment.role,
    };
    let statements = sql::analyse(text, &options, catalog)?;
    let text: Arc<str> = text.into();
    let facts = &statements.facts;
    let values = values(facts, Arc::clone(&text));
    let objects = objects(facts);
    let effect = effect(facts);
    let rows = facts.rows.map_or(RowBound::Unbounded, RowBound::AtMost);
    let context = context(environment, &facts.objects, catalog).into();
    Ok(Judged {
        text,
        values,
        objects: Arc::new(objects),
        effect,
        rows,
        context,
        statements: Arc::new(statements),
        catalog_version: catalog.version,
        environment: Arc::clone(environment),
        uses: Arc::default(),
        exact: true,
    })
}

/// Values of [`FACTS`].
fn values(facts: &Facts, text: Arc<str>) -> Arc<[Value]> {
    let list = |names: &[Arc<str>]| Value::TextList(names.into());
    Arc::new([
        Value::Text(Arc::clone(&facts.verb)),
        list(&facts.verbs),
        list(&facts.tables),
        list(&facts.reads),
        list(&facts.writes),
        list(&facts.columns),
        list(&facts.functions),
        list(&facts.unfiltered),
        Value::Bool(facts.dynamic),
        Value::Text(text),
    ])
}

fn objects(facts: &Facts) -> Objects {
    Objects {
        verbs: facts.verbs.clone(),
        reads: facts.reads.clone(),
        writes: facts.writes.clone(),
        columns: facts.columns.clone(),
    }
}

fn effect(facts: &Facts) -> Effect {
    if facts.read_only { Effect::ReadOnly } else { Effect::MayWrite }
}

/// Search path, role, and identity and definition of every object named (R11).
fn context(environment: &Environment, objects: &[u32], catalog: &Catalog) -> String {
    let mut context = format!("role={:?}", environment.role);
    match &environment.search_path {
        Some(path) => {
            let _ = write!(context, " path={path:?}");
        }
        None => context.push_str(" path=?"),
    }
    for oid in objects {
        let _ = write!(context, " {oid}");
        if let Some(relation) = catalog.relation(*oid) {
            let _ = write!(context, "={}.{}", relation.schema, relation.name);
            for column in relation.columns.iter().filter(|column| !column.dropped) {
                let _ = write!(context, ",{}:{}", column.name, column.type_oid);
            }
            if let Some(definition) = &relation.definition {
                let _ = write!(context, " {definition:?}");
            }
        } else if let Some(function) = catalog.function(*oid) {
            let _ = write!(context, "={} {:?}", function.name, function.body);
        }
    }
    context
}

//! What a text does, as facts for rules, kept by text and catalog version.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{MaskKind, MaskPlan};
use model::fact::{FactDecl, FactType, Phase, Value};
use model::operation::{Effect, Objects, RowBound};
use sql::{Catalog, ColumnId, SearchPath, Statements, Unparsable};

const fn decl(name: &'static str, kind: FactType, about: &'static str) -> FactDecl {
    FactDecl { name, kind, phase: Phase::Request, about }
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
pub struct Judged {
    /// The exact text.
    pub text: Arc<str>,
    /// Statements, facts and lineage.
    pub statements: Statements,
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
    texts: Mutex<Texts>,
    masks: Mutex<HashMap<(u64, u64), Arc<MaskedColumns>>>,
}

/// Stored columns that a mask plan hides, with the strictest mask of each.
pub type MaskedColumns = HashMap<ColumnId, MaskKind>;

type Generation = HashMap<(u64, Environment), HashMap<Arc<str>, Arc<Judged>>>;

/// Two generations: what is not asked for while one fills up is forgotten with the next.
#[derive(Default)]
struct Texts {
    young: Generation,
    old: Generation,
    size: usize,
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
        environment: &Environment,
        catalog: &Catalog,
    ) -> Result<Arc<Judged>, Unparsable> {
        let key = (catalog.version, environment.clone());
        {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(judged) = texts.get(&key, text) {
                return Ok(judged);
            }
        }
        let judged = Arc::new(judge(text, environment, catalog)?);
        if text.len() <= TEXT_BYTES_MAX {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            texts.put(key, Arc::clone(&judged));
        }
        Ok(judged)
    }

    /// The stored columns that `plan` hides.
    pub fn masked(&self, plan: &MaskPlan, catalog: &Catalog) -> Arc<MaskedColumns> {
        let key = (plan.id, catalog.version);
        let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(columns) = masks.get(&key) {
            return Arc::clone(columns);
        }
        let columns = Arc::new(sql::masked_kinds(catalog, |schema, table, column| {
            plan.field(schema, table, column)
        }));
        if masks.len() >= MASKS_MAX {
            masks.clear();
        }
        masks.insert(key, Arc::clone(&columns));
        columns
    }
}

impl Texts {
    fn get(&mut self, key: &(u64, Environment), text: &str) -> Option<Arc<Judged>> {
        if let Some(judged) = self.young.get(key).and_then(|texts| texts.get(text)) {
            return Some(Arc::clone(judged));
        }
        let judged = Arc::clone(self.old.get(key)?.get(text)?);
        self.put(key.clone(), Arc::clone(&judged));
        Some(judged)
    }

    fn put(&mut self, key: (u64, Environment), judged: Arc<Judged>) {
        if self.size >= TEXTS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        let texts = self.young.entry(key).or_default();
        if texts.insert(Arc::clone(&judged.text), judged).is_none() {
            self.size = self.size.saturating_add(1);
        }
    }
}

pub fn judge(
    text: &str,
    environment: &Environment,
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
    let list = |names: &[Arc<str>]| Value::TextList(names.into());
    let values = Arc::new([
        Value::Text(Arc::clone(&facts.verb)),
        list(&facts.verbs),
        list(&facts.tables),
        list(&facts.reads),
        list(&facts.writes),
        list(&facts.columns),
        list(&facts.functions),
        list(&facts.unfiltered),
        Value::Bool(facts.dynamic),
        Value::Text(Arc::clone(&text)),
    ]);
    let objects = Objects {
        verbs: facts.verbs.clone(),
        reads: facts.reads.clone(),
        writes: facts.writes.clone(),
        columns: facts.columns.clone(),
    };
    let effect = if facts.read_only { Effect::ReadOnly } else { Effect::MayWrite };
    let rows = facts.rows.map_or(RowBound::Unbounded, RowBound::AtMost);
    let context = context(environment, &facts.objects, catalog).into();
    Ok(Judged {
        text,
        values,
        objects: Arc::new(objects),
        effect,
        rows,
        context,
        statements,
        catalog_version: catalog.version,
    })
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

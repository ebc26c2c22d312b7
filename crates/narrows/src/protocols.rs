//! THE list of protocols. A new one is a line here and a dependency.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use admin::ExplainedUse;
use bytes::Bytes;
use engine::taint::Trail;
use engine::{MaskKind, MaskPlan, Protocol, Refusal};
use model::exchange::Part;
use model::operation::{Objects, RowBound, Stage};
use model::{Effect, Parameter, Timestamp, Value};
use policy::{BlockId, Capabilities, FunctionDecl, PolicySet, PolicySpec, Problem, Schema, Test};

/// Every protocol of this build that is carried in bytes.
static PROTOCOLS: &[&dyn Protocol<Bytes>] = &[&postgres::POSTGRES];
/// The one that is carried in exchanges.
static WEB: &dyn Protocol<Part> = &web::HTTP;
/// The listener for clients that take the gateway for their proxy.
pub const EGRESS: &str = "egress";
/// The listener for clients that know of no proxy and are redirected here.
pub const TRANSPARENT: &str = "transparent";

/// Every protocol that is carried in bytes.
pub fn all() -> impl Iterator<Item = &'static dyn Protocol<Bytes>> {
    PROTOCOLS.iter().copied()
}

/// Names of listeners, besides that of the admin API.
pub fn listeners() -> impl Iterator<Item = &'static str> {
    all().map(Protocol::name).chain([WEB.name(), EGRESS, TRANSPARENT])
}

/// Types of resources.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    all().map(Protocol::name).chain(web::KINDS)
}

/// A recorded payload as lines that a person can read; `None` for a protocol that is not known.
pub fn render(protocol: &str, payload: &[u8]) -> Option<Vec<String>> {
    if protocol == WEB.name() {
        return Some(WEB.render(payload));
    }
    all().find(|known| known.name() == protocol).map(|known| known.render(payload))
}

/// Which addresses a proxy does not dial, and in a word why.
#[must_use]
pub fn refused_address(ip: IpAddr) -> Option<&'static str> {
    match web::canonical::reach(ip) {
        web::canonical::Reach::Public => None,
        other => Some(other.as_str()),
    }
}

/// Whether it can be said in `passthrough`.
///
/// # Errors
///
/// It cannot; why, in words.
pub fn host_pattern(text: &str) -> Result<(), &'static str> {
    web::HostPattern::read(text).map(drop)
}

/// Why a request is stopped, in its record, where the record of a part of its body says more.
pub use web::{PART, PART_REFUSED};

/// Whether it can be said in `paths` of a model endpoint.
///
/// # Errors
///
/// It cannot; why, in words.
pub fn listed_path(text: &str) -> Result<(), &'static str> {
    web::listed_path(text).map(drop)
}

/// Functions that conditions may call.
const FUNCTIONS: [FunctionDecl; 3] = [
    FunctionDecl {
        name: "host_in",
        subject: None,
        test: Test::Host,
        about: "host_in(text, lists.NAME): a host of the list, or below one written *.host",
    },
    FunctionDecl {
        name: "in_group",
        subject: Some("principal.groups"),
        test: Test::Equal,
        about: "in_group(\"NAME\"): the principal is in that group",
    },
    FunctionDecl {
        name: "touches",
        subject: Some("sql.tables"),
        test: Test::Glob,
        about: "touches(\"GLOB\"): a table read or written has a name like that",
    },
];

/// What a protocol makes of an operation before any rule is asked, for `narrows explain`.
pub struct Judged {
    /// Values of the protocol's facts, in the order of its declarations.
    pub values: Arc<[Value]>,
    /// What the facts prove about its effect.
    pub effect: Effect,
    /// Rows it can return.
    pub rows: RowBound,
    /// What it does, in words.
    pub does: Vec<String>,
    /// Columns of the reply.
    pub columns: Vec<JudgedColumn>,
    /// Masked fields used where no mask can be put over them.
    pub uses: Vec<ExplainedUse>,
    /// Why it is refused whatever the rules say.
    pub refused: Option<Refusal>,
}

/// A column of the reply.
pub struct JudgedColumn {
    /// Its label.
    pub label: String,
    /// The stored fields its value can depend on.
    pub origins: Vec<String>,
    /// It is one of them as it is stored.
    pub is_direct: bool,
    /// It may depend on more.
    pub is_unknown: bool,
    /// The mask it gets.
    pub mask: Option<MaskKind>,
}

/// Judges an operation of the protocol `kind`, as a fresh session would be judged.
///
/// # Errors
///
/// It cannot be judged; why, in words.
pub fn judge(
    kind: &str,
    text: &str,
    snapshot: Option<&(dyn Any + Send + Sync)>,
    options: &serde_json::Value,
    masks: &MaskPlan,
    followed: (&Trail, Timestamp),
) -> Result<Judged, String> {
    match kind {
        "postgres" => {
            let snapshot = snapshot.and_then(|any| any.downcast_ref::<postgres::Snapshot>());
            let snapshot = snapshot.ok_or("the resource's catalog has not been read")?;
            let explained = postgres::explain(text, snapshot, options, masks)?;
            Ok(Judged {
                values: explained.values,
                effect: explained.effect,
                rows: explained.rows,
                does: explained.does,
                columns: explained.columns.into_iter().map(JudgedColumn::from).collect(),
                uses: explained.uses.into_iter().map(told).collect(),
                refused: explained.refused,
            })
        }
        kind if web::KINDS.contains(&kind) => {
            let web::Explained { values, effect, does, refused } =
                web::explain(text, options, masks, followed)?;
            let rows = RowBound::NoRows;
            let (columns, uses) = (Vec::new(), Vec::new());
            Ok(Judged { values, effect, rows, does, columns, uses, refused })
        }
        other => Err(format!("{other} operations cannot be explained")),
    }
}

/// A recorded operation.
pub struct Past<'a> {
    /// The word for its step.
    pub step: &'a str,
    /// The operation under whose approval it ran.
    pub under: Option<u64>,
    /// Its text; `None` when it is sealed.
    pub text: Option<&'a str>,
    /// The text of the operation that it ran under.
    pub source: Option<&'a str>,
    /// Values beside the text.
    pub parameters: &'a [Parameter],
    /// What it touched.
    pub objects: &'a Objects,
    /// Masks applied to it.
    pub masked: bool,
    /// Bytes that followed it upstream, where it has a reply.
    pub sent: Option<u64>,
}

/// What the record tells of an operation.
#[derive(Default)]
pub struct Recalled {
    /// Values of the protocol's facts; `None` of those that it does not tell.
    pub values: Vec<Option<Value>>,
    /// A fact that it does not tell may be one that fails.
    pub may_fail: bool,
    /// Where in its life it was judged.
    pub stage: Option<Stage>,
    /// What is proved about its effect, where that can be told.
    pub effect: Option<Effect>,
    /// Rows it could return, where that can be told.
    pub rows: Option<RowBound>,
    /// The columns it returned, where they can be told.
    pub columns: Option<Vec<postgres::Output>>,
    /// Why it is refused whoever asks.
    pub refused: Option<&'static str>,
    /// Whether it is refused because of masks.
    pub exposed: Exposed,
}

/// Whether an operation is refused because of what masks hide.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Exposed {
    /// It is not.
    No,
    /// It is, by this word.
    Yes(&'static str),
    /// The record does not tell.
    #[default]
    Unknown,
}

/// What the record tells of an operation of the protocol `kind`, for a principal with these masks.
pub fn recall(
    kind: &str,
    past: &Past<'_>,
    options: &serde_json::Value,
    masks: &MaskPlan,
) -> Recalled {
    let Past { step, under, text, source, parameters, objects, masked, sent } = *past;
    if kind == postgres::POSTGRES.name() {
        let past = postgres::Past { step, under: under.is_some(), text, source, objects };
        let told = postgres::recall(&past, options, masks);
        return Recalled {
            values: told.values,
            may_fail: false,
            stage: Some(told.stage),
            effect: told.effect,
            rows: Some(told.rows),
            columns: told.columns,
            refused: told.refused,
            exposed: match told.exposed {
                postgres::Exposed::No => Exposed::No,
                postgres::Exposed::Yes(word) => Exposed::Yes(word),
                postgres::Exposed::Unknown => Exposed::Unknown,
            },
        };
    }
    if web::KINDS.contains(&kind) {
        let past = web::recall::Past { step, text, parameters, sent, masked };
        let told = web::recall::recall(&past, options, masks);
        return Recalled {
            values: told.values,
            may_fail: true,
            stage: Some(told.stage),
            effect: Some(told.effect),
            rows: Some(RowBound::NoRows),
            columns: None,
            refused: None,
            exposed: told.exposed.map_or(Exposed::No, Exposed::Yes),
        };
    }
    Recalled::default()
}

/// Whether an operation was refused, by this word, because of what masks hide: by a use of a column
/// that is masked, or because it cannot be traced while any is.
pub fn refused_by_masks(reason: &str) -> Option<ByMasks> {
    match reason {
        "predicate" | "expression" | "from_function" | "moved" | "redefined" | "encoding"
        | "guesses_spent" | "uncommitted_ddl" => Some(ByMasks::Use),
        "catalog" | "unknown_source" | "unopened_masked" => Some(ByMasks::Any),
        "catalog_changed" | "copy_format" | "opaque_reply" | "unreadable_reply"
        | "unreadable_request" | "untraceable" => Some(ByMasks::Unread),
        _ => postgres::is_untraceable(reason).then_some(ByMasks::Any),
    }
}

/// Why masks refuse an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ByMasks {
    /// It uses a column that is masked.
    Use,
    /// It cannot be traced, and something is masked.
    Any,
    /// What it sends or what came back cannot be read or traced, and something is masked.
    Unread,
}

impl From<postgres::ExplainedColumn> for JudgedColumn {
    fn from(column: postgres::ExplainedColumn) -> Self {
        let postgres::ExplainedColumn { label, origins, is_direct, is_unknown, mask } = column;
        Self { label, origins, is_direct, is_unknown, mask }
    }
}

fn told(used: postgres::ExplainedUse) -> ExplainedUse {
    ExplainedUse { field: used.column, place: used.place, outcome: used.outcome }
}

/// The facts that rules may name, and what each protocol can do for a rule.
pub struct Rulebook {
    schema: Schema,
    blocks: Vec<(&'static dyn Protocol<Bytes>, BlockId)>,
    web: BlockId,
}

impl Rulebook {
    /// Of every protocol of this build.
    #[must_use]
    pub fn new() -> Self {
        let mut schema = Schema::new();
        schema.declare("common", engine::COMMON_FACTS);
        let blocks =
            all().map(|protocol| (protocol, schema.declare(protocol.name(), protocol.facts())));
        let blocks = blocks.collect();
        let web = schema.declare(WEB.name(), WEB.facts());
        for function in FUNCTIONS {
            schema.define(function);
        }
        Self { schema, blocks, web }
    }

    /// Compiles rules against it.
    ///
    /// # Errors
    ///
    /// Everything wrong with them.
    pub fn compile(&self, spec: PolicySpec) -> Result<PolicySet, Vec<Problem>> {
        let protocols: Vec<(&'static str, BlockId, Capabilities)> = self
            .blocks
            .iter()
            .map(|(protocol, block)| (protocol.name(), *block, protocol.capabilities()))
            .chain(web::KINDS.map(|kind| (kind, self.web, WEB.capabilities())))
            .collect();
        policy::compile(spec, &self.schema, &protocols)
    }

    /// The protocol that is carried in exchanges, with its block of facts.
    #[must_use]
    pub fn web(&self) -> (&'static dyn Protocol<Part>, BlockId) {
        (WEB, self.web)
    }

    /// The protocols that are carried in bytes, with their blocks of facts.
    #[must_use]
    pub fn blocks(&self) -> &[(&'static dyn Protocol<Bytes>, BlockId)] {
        &self.blocks
    }
}

impl Default for Rulebook {
    fn default() -> Self {
        Self::new()
    }
}

//! THE list of protocols. A new one is a line here and a dependency.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;

use admin::ExplainedUse;
use bytes::Bytes;
use engine::taint::Trail;
use engine::{MaskKind, MaskPlan, Protocol, Refusal};
use model::exchange::Part;
use model::operation::RowBound;
use model::{Effect, Timestamp, Value};
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

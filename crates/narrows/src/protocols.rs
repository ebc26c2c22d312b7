//! THE list of protocols. A new one is a line here and a dependency.

use bytes::Bytes;
use engine::Protocol;
use policy::{BlockId, Capabilities, PolicySet, PolicySpec, Problem, Schema};

/// Every protocol of this build.
static PROTOCOLS: &[&dyn Protocol<Bytes>] = &[&postgres::POSTGRES];

/// Every protocol.
pub fn all() -> impl Iterator<Item = &'static dyn Protocol<Bytes>> {
    PROTOCOLS.iter().copied()
}

/// Their names: listeners and resource types.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(Protocol::name)
}

/// One protocol by name.
pub fn find(name: &str) -> Option<&'static dyn Protocol<Bytes>> {
    all().find(|protocol| protocol.name() == name)
}

/// The facts that rules may name, and what each protocol can do for a rule.
pub struct Rulebook {
    schema: Schema,
    blocks: Vec<(&'static dyn Protocol<Bytes>, BlockId)>,
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
        Self { schema, blocks }
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
            .collect();
        policy::compile(spec, &self.schema, &protocols)
    }

    /// The protocols with their blocks of facts.
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

//! Answers as masking, policy and the record see them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where a returned column is stored.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Origin {
    /// Namespace of the table.
    pub schema: Arc<str>,
    /// The table.
    pub table: Arc<str>,
    /// The stored column.
    pub column: Arc<str>,
}

impl Origin {
    /// `schema.table.column`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}.{}", self.schema, self.table, self.column)
    }
}

/// One column (or field) of a reply.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Column {
    /// The name the client sees.
    pub label: Arc<str>,
    /// The stored columns its values depend on; empty when they depend on none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
    /// How it was masked (`redact`, `hash`, …), if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Arc<str>>,
}

/// How often one type of sensitive value was found in a reply.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DetectionCount {
    /// The detection type: `CREDIT_CARD`.
    pub kind: Arc<str>,
    /// Values found.
    pub seen: u64,
    /// Of these, values masked before the reply left.
    pub masked: u64,
}

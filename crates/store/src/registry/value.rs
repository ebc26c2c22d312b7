//! What the registry's columns hold, whichever database keeps them.

use std::sync::Arc;

use model::Timestamp;

use crate::state::{StateError, from_sql, to_sql};

/// The value of a parameter or a column.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(to_sql(number))
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        at.0.into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&Arc<str>> for Value {
    fn from(text: &Arc<str>) -> Self {
        (&**text).into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

/// NULL where there is none.
pub(crate) fn opt<T: Into<Value>>(value: Option<T>) -> Value {
    value.map_or(Value::Null, Into::into)
}

/// A row of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Row(Vec<Value>);

impl Row {
    pub const fn new(cells: Vec<Value>) -> Self {
        Self(cells)
    }

    pub fn text(&self, at: usize) -> Result<&str, StateError> {
        self.maybe_text(at)?.ok_or_else(|| odd(at, "text"))
    }

    pub fn maybe_text(&self, at: usize) -> Result<Option<&str>, StateError> {
        match self.0.get(at) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(odd(at, "text")),
        }
    }

    pub fn number(&self, at: usize) -> Result<u64, StateError> {
        self.maybe_number(at)?.ok_or_else(|| odd(at, "a number"))
    }

    pub fn maybe_number(&self, at: usize) -> Result<Option<u64>, StateError> {
        match self.0.get(at) {
            Some(Value::Int(number)) => Ok(Some(from_sql(*number))),
            Some(Value::Null) => Ok(None),
            _ => Err(odd(at, "a number")),
        }
    }

    pub fn maybe_time(&self, at: usize) -> Result<Option<Timestamp>, StateError> {
        Ok(self.maybe_number(at)?.map(Timestamp))
    }

    pub fn bytes(&self, at: usize) -> Result<&[u8], StateError> {
        match self.0.get(at) {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(odd(at, "bytes")),
        }
    }
}

fn odd(at: usize, wanted: &str) -> StateError {
    StateError::Content(format!("column {} of an answer is not {wanted}", at + 1))
}

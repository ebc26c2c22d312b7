//! One row of a catalog query, in text format.

use std::str::FromStr;

use engine::Fault;
use model::Side;

use super::Trouble;
use crate::message::Reader;

/// The values of a `DataRow`.
pub(super) struct Row<'a>(Vec<Option<&'a [u8]>>);

impl<'a> Row<'a> {
    /// # Errors
    /// The message is not one.
    pub fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body, Side::Upstream);
        let count = reader.count()?;
        // Our own queries ask for a dozen columns at most.
        let mut values = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            values.push(reader.value()?);
        }
        reader.end()?;
        Ok(Self(values))
    }

    /// A value that may be NULL. Names in a database without an encoding (`SQL_ASCII`) may not be
    /// UTF-8; what cannot be read in them is replaced, so no statement can name them exactly.
    pub fn optional(&self, column: usize) -> Result<Option<std::borrow::Cow<'a, str>>, Trouble> {
        let value = self.0.get(column).ok_or(Trouble::new("a row of the catalog is too short"))?;
        Ok(value.map(String::from_utf8_lossy))
    }

    pub fn text(&self, column: usize) -> Result<std::borrow::Cow<'a, str>, Trouble> {
        self.optional(column)?.ok_or(Trouble::new("a row of the catalog lacks a value"))
    }

    pub fn owned(&self, column: usize) -> Result<String, Trouble> {
        Ok(self.text(column)?.into_owned())
    }

    pub fn number<N: FromStr>(&self, column: usize) -> Result<N, Trouble> {
        parsed(&self.text(column)?)
    }

    pub fn flag(&self, column: usize) -> Result<bool, Trouble> {
        match &*self.text(column)? {
            "t" => Ok(true),
            "f" => Ok(false),
            _ => Err(Trouble::new("a row of the catalog holds no boolean where one is due")),
        }
    }

    /// A value of type `"char"`.
    pub fn letter(&self, column: usize) -> Result<char, Trouble> {
        let text = self.text(column)?;
        text.chars().next().ok_or(Trouble::new("a row of the catalog holds an empty letter"))
    }

    /// Numbers with blanks between, as `oidvector` prints them.
    pub fn numbers<N: FromStr>(&self, column: usize) -> Result<Vec<N>, Trouble> {
        self.text(column)?.split_ascii_whitespace().map(parsed).collect()
    }
}

fn parsed<N: FromStr>(text: &str) -> Result<N, Trouble> {
    text.parse().map_err(|_| Trouble::new("a row of the catalog holds no number where one is due"))
}

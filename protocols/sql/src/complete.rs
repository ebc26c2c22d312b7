//! Whether a walk came past every expression of a tree.
//!
//! The walk names each kind of node that it goes into, so a place that nobody thought of would be
//! passed over in silence. After the walk the whole tree is read once more, field by field, without
//! knowing what any field means, by the serialiser that the parser's types have: an expression that
//! could do something and that the walk did not come past makes the statement one of an unknown
//! kind.

use std::collections::HashSet;
use std::fmt;

use serde::ser::{self, Impossible, Serialize, Serializer};

/// Expressions that read, call or compare, told apart by where they are in the text.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Form {
    Call,
    Cast,
    Column,
    Operation,
    Subquery,
}

impl Form {
    /// By the name of the parser's type.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "FuncCall" => Self::Call,
            "TypeCast" => Self::Cast,
            "ColumnRef" => Self::Column,
            "AExpr" => Self::Operation,
            "SubLink" => Self::Subquery,
            _ => return None,
        })
    }
}

/// The expressions of one text that a walk came past.
#[derive(Debug, Default)]
pub(crate) struct Passed(HashSet<(Form, i32)>);

impl Passed {
    pub(crate) fn insert(&mut self, form: Form, location: i32) {
        self.0.insert((form, location));
    }

    /// Whether all expressions in `tree` are among them.
    pub(crate) fn all_of(&self, tree: &impl Serialize) -> bool {
        let mut reader = Reader { passed: self, number: 0 };
        tree.serialize(&mut reader).is_ok()
    }
}

struct Reader<'p> {
    passed: &'p Passed,
    /// The last number that was read.
    number: i32,
}

/// One that the walk did not come past.
#[derive(Debug)]
struct Missed;

impl fmt::Display for Missed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an expression was passed over")
    }
}

impl std::error::Error for Missed {}

impl ser::Error for Missed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// The fields of a message, or the members of a list.
struct Parts<'r, 'p> {
    reader: &'r mut Reader<'p>,
    form: Option<Form>,
    /// Modifiers of a type look like expressions, and are constants and words.
    is_type: bool,
}

impl ser::SerializeStruct for Parts<'_, '_> {
    type Ok = ();
    type Error = Missed;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Missed> {
        if self.is_type {
            return Ok(());
        }
        value.serialize(&mut *self.reader)?;
        match self.form {
            Some(form) if key == "location" => {
                let found = self.reader.passed.0.contains(&(form, self.reader.number));
                if found { Ok(()) } else { Err(Missed) }
            }
            _ => Ok(()),
        }
    }

    fn end(self) -> Result<(), Missed> {
        Ok(())
    }
}

impl ser::SerializeSeq for Parts<'_, '_> {
    type Ok = ();
    type Error = Missed;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Missed> {
        value.serialize(&mut *self.reader)
    }

    fn end(self) -> Result<(), Missed> {
        Ok(())
    }
}

/// Values that hold no expression.
macro_rules! passes {
    ($($name:ident: $of:ty),*) => {
        $(fn $name(self, _: $of) -> Result<(), Missed> { Ok(()) })*
    };
}

impl<'r, 'p> Serializer for &'r mut Reader<'p> {
    type Ok = ();
    type Error = Missed;
    type SerializeSeq = Parts<'r, 'p>;
    type SerializeStruct = Parts<'r, 'p>;
    type SerializeTuple = Impossible<(), Missed>;
    type SerializeTupleStruct = Impossible<(), Missed>;
    type SerializeTupleVariant = Impossible<(), Missed>;
    type SerializeMap = Impossible<(), Missed>;
    type SerializeStructVariant = Impossible<(), Missed>;

    passes!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_str: &str,
        serialize_bytes: &[u8], serialize_unit_struct: &'static str
    );

    fn serialize_i32(self, number: i32) -> Result<(), Missed> {
        self.number = number;
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Missed> {
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Missed> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Missed> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<(), Missed> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Missed> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Missed> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Missed> {
        Ok(Parts { reader: self, form: None, is_type: false })
    }

    fn serialize_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, Missed> {
        Ok(Parts { reader: self, form: Form::named(name), is_type: name == "TypeName" })
    }

    // The parser's types have none of these.

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Missed> {
        Err(Missed)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Missed> {
        Err(Missed)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Missed> {
        Err(Missed)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Missed> {
        Err(Missed)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Missed> {
        Err(Missed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Passed};
    use crate::stack;

    fn all_of(passed: &Passed, text: &str) -> bool {
        stack::with_tree(text, true, 0, |tree, _| passed.all_of(&tree.stmts)).unwrap_or(false)
    }

    #[test]
    fn every_form_is_missed_wherever_it_is() {
        let nothing = Passed::default();
        for text in [
            "select a",
            "select f()",
            "select 1 + 1",
            "select 1::int",
            "select (select 1)",
            "call f()",
            "select 1 from t where exists (select 1)",
            "insert into t (a[(select 1)]) values (1)",
            "create table t (a int check (a > 1))",
        ] {
            assert!(!all_of(&nothing, text), "{text}");
        }
        assert!(all_of(&nothing, "select 1, 'x', current_date from t"));
        let mut passed = Passed::default();
        passed.insert(Form::Cast, 8);
        assert!(all_of(&passed, "select 1::numeric(a, 2)"), "modifiers of a type are words");
        assert!(!all_of(&passed, "select  1::numeric(a, 2)"), "it is somewhere else");
    }
}

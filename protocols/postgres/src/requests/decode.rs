//! The fields of Parse and Bind, and how parameter values are recorded.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use engine::Fault;
use model::{Parameter, Side};

use super::guesses::BoundValue;
use crate::message::Reader;
use crate::types;

/// Longer parameter values are recorded as their digest.
const PARAMETER_RECORDED_BYTES_MAX: usize = 64 * 1024;

/// Name, text and parameter types of a Parse.
pub(super) type ParseFields<'a> = (&'a [u8], &'a [u8], Vec<u32>);

pub(super) fn parse_fields<'a>(reader: &mut Reader<'a>) -> Result<ParseFields<'a>, Fault> {
    let name = reader.cstr()?;
    let text = reader.cstr()?;
    let count = reader.count()?;
    let mut types = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        types.push(reader.u32()?);
    }
    reader.end()?;
    Ok((name, text, types))
}

/// The fields of a Bind.
pub(super) struct Bound<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    formats: Vec<i16>,
    values: Vec<Option<&'a [u8]>>,
    pub result_formats: Vec<i16>,
}

impl<'a> Bound<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body, Side::Client);
        let portal = reader.cstr()?;
        let statement = reader.cstr()?;
        let formats = formats(&mut reader)?;
        let count = reader.count()?;
        let mut values = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            values.push(reader.value()?);
        }
        let result_formats = self::formats(&mut reader)?;
        reader.end()?;
        Ok(Self { portal, statement, formats, values, result_formats })
    }

    fn format(&self, index: usize) -> i16 {
        match self.formats.as_slice() {
            [] => 0,
            [all] => *all,
            each => each.get(index).copied().unwrap_or(0),
        }
    }

    /// The values, as far as what they are compared with must be counted.
    pub(super) fn values(&self, types: &[u32]) -> Vec<BoundValue> {
        let values = self.values.iter().enumerate();
        values
            .map(|(index, value)| {
                let oid = types.get(index).copied().unwrap_or(0);
                BoundValue::new(*value, self.format(index) == 1, oid)
            })
            .collect()
    }

    pub(super) fn parameters(&self, types: &[u32]) -> Vec<Parameter> {
        let format = |index: usize| self.format(index);
        let values = self.values.iter().enumerate();
        values
            .map(|(index, value)| {
                let oid = types.get(index).copied().unwrap_or(0);
                Parameter {
                    kind: types::name(oid).unwrap_or_default().to_owned(),
                    value: value.map(|value| recorded_value(oid, format(index), value)),
                }
            })
            .collect()
    }
}

fn formats(reader: &mut Reader<'_>) -> Result<Vec<i16>, Fault> {
    let count = reader.count()?;
    let mut formats = Vec::with_capacity(count.min(1664));
    for _ in 0..count {
        formats.push(reader.i16()?);
    }
    Ok(formats)
}

fn recorded_value(oid: u32, format: i16, value: &[u8]) -> String {
    if value.len() > PARAMETER_RECORDED_BYTES_MAX {
        let mut text = format!("({} bytes, sha256 ", value.len());
        hexadecimal(&mut text, digest(&SHA256, value).as_ref());
        text.push(')');
        return text;
    }
    if let Some(text) = types::canonical(oid, format, value) {
        return text;
    }
    if format == 0
        && let Ok(text) = std::str::from_utf8(value)
    {
        return text.to_owned();
    }
    let mut text = "\\x".to_owned();
    hexadecimal(&mut text, value);
    text
}

fn hexadecimal(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::*;

    #[test]
    fn p9_a_parse_may_declare_as_many_types_as_the_server_takes() {
        let mut body = BytesMut::new();
        body.put_slice(b"\0select 1\0");
        body.put_u16(u16::MAX);
        (0..u16::MAX).for_each(|_| body.put_u32(20));
        let (_, _, types) = parse_fields(&mut Reader::new(&body, Side::Client)).unwrap();
        assert_eq!(types.len(), 65_535);
    }
}

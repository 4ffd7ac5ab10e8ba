//! Numbers, strings and bytes.

use super::Value;
use super::machine::{Machine, damaged};
use crate::error::Fault;

impl Machine<'_> {
    /// None, booleans, integers and floats.
    pub(super) fn number(&mut self, operation: u8) -> Result<(), Fault> {
        let value = match operation {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(self.input.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            b'G' => Value::Float(f64::from_be_bytes(self.input.array()?)),
            b'F' => Value::Float(
                self.input.line()?.trim().parse().map_err(|_| damaged("an invalid number"))?,
            ),
            0x8a => {
                let size = u64::from(self.input.byte()?);
                self.long(size)?
            }
            0x8b => {
                let size = self.input.u32()?;
                self.long(size.into())?
            }
            _ => self.decimal()?,
        };
        self.push(value)
    }

    /// An integer of any size, little-endian in two's complement.
    fn long(&mut self, size: u64) -> Result<Value, Fault> {
        if size > 8 {
            return self.bytes(size);
        }
        let bytes = self.input.bytes(size)?;
        let negative = bytes.last().is_some_and(|&high| high >= 0x80);
        let mut whole = [if negative { 0xff } else { 0 }; 8];
        whole[..bytes.len()].copy_from_slice(&bytes);
        Ok(Value::Int(i64::from_le_bytes(whole)))
    }

    /// An integer in decimal digits, possibly with Python 2's suffix `L`; 00 and 01 are booleans.
    fn decimal(&mut self) -> Result<Value, Fault> {
        let line = self.input.line()?;
        let digits = line.trim().trim_end_matches('L');
        Ok(match digits {
            "00" => Value::Bool(false),
            "01" => Value::Bool(true),
            _ => match digits.parse() {
                Ok(number) => Value::Int(number),
                Err(_) if digits.bytes().skip(1).all(|c| c.is_ascii_digit()) => Value::Opaque,
                Err(_) => return Err(damaged("an invalid number")),
            },
        })
    }

    /// Strings and bytes of all sizes and encodings.
    pub(super) fn text(&mut self, operation: u8) -> Result<(), Fault> {
        let value = match operation {
            b'V' | b'S' => self.line_text()?,
            b'X' => {
                let size = self.input.u32()?;
                self.unicode(size.into())?
            }
            0x8c => {
                let size = self.input.byte()?;
                self.unicode(size.into())?
            }
            0x8d => {
                let size = self.input.u64()?;
                self.unicode(size)?
            }
            b'C' | b'U' => {
                let size = self.input.byte()?;
                self.bytes(size.into())?
            }
            b'B' | b'T' => {
                let size = self.input.u32()?;
                self.bytes(size.into())?
            }
            _ => {
                let size = self.input.u64()?;
                self.bytes(size)?
            }
        };
        let value = if matches!(operation, b'U' | b'T') { self.old_text(value)? } else { value };
        self.push(value)
    }

    /// A string in a line, as in protocol 0.
    fn line_text(&mut self) -> Result<Value, Fault> {
        let line = self.input.line()?;
        let text = line.trim_matches(['\'', '"']);
        if text.contains('\\') {
            return Err(damaged(
                "a string with escapes is not supported; save with pickle_protocol=2",
            ));
        }
        self.string(text.to_string())
    }

    fn unicode(&mut self, size: u64) -> Result<Value, Fault> {
        self.take(size)?;
        let bytes = self.input.bytes(size)?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("a string is not UTF-8"))?;
        self.string(text)
    }

    /// A byte string as text, since Python 2 strings are bytes.
    fn old_text(&mut self, value: Value) -> Result<Value, Fault> {
        let Value::Bytes(at) = value else { return Ok(value) };
        match String::from_utf8(self.heap.bytes[at as usize].to_vec()) {
            Ok(text) => self.string(text),
            Err(_) => Ok(value),
        }
    }

    pub(super) fn string(&mut self, text: String) -> Result<Value, Fault> {
        Ok(Value::Text(self.add_text(text)?))
    }

    /// Adds a text to the heap; returns its index.
    pub(super) fn add_text(&mut self, text: String) -> Result<u32, Fault> {
        self.object(text.len() as u64)?;
        self.heap.texts.push(text.into());
        Ok(self.heap.texts.len() as u32 - 1)
    }

    fn bytes(&mut self, size: u64) -> Result<Value, Fault> {
        self.object(size)?;
        let bytes = self.input.bytes(size)?;
        self.heap.bytes.push(bytes.into());
        Ok(Value::Bytes(self.heap.bytes.len() as u32 - 1))
    }
}

//! Tuples, lists, dictionaries and sets.

use super::machine::{Machine, SLOT, damaged};
use super::{Object, Value};
use crate::error::Fault;

impl Machine<'_> {
    /// New containers, empty or filled from the stack.
    pub(super) fn container(&mut self, operation: u8) -> Result<(), Fault> {
        let value = match operation {
            b')' => self.tuple(Vec::new())?,
            0x85..=0x87 => {
                let items = self.pop_some(usize::from(operation - 0x84))?;
                self.tuple(items)?
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.tuple(items)?
            }
            b']' => self.list(Vec::new())?,
            b'l' => {
                let items = self.pop_to_mark()?;
                self.list(items)?
            }
            b'}' => self.dict(Vec::new())?,
            b'd' => {
                let items = self.pop_to_mark()?;
                self.dict(pairs(&items)?)?
            }
            0x8f => self.set(Vec::new())?,
            _ => {
                let items = self.pop_to_mark()?;
                self.set(items)?
            }
        };
        self.push(value)
    }

    fn pop_some(&mut self, count: usize) -> Result<Vec<Value>, Fault> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        Ok(items)
    }

    pub(super) fn tuple(&mut self, items: Vec<Value>) -> Result<Value, Fault> {
        self.object(items.len() as u64 * SLOT)?;
        self.heap.tuples.push(items.into());
        Ok(Value::Tuple(self.heap.tuples.len() as u32 - 1))
    }

    fn list(&mut self, items: Vec<Value>) -> Result<Value, Fault> {
        self.object(items.len() as u64 * SLOT)?;
        self.heap.lists.push(items);
        Ok(Value::List(self.heap.lists.len() as u32 - 1))
    }

    pub(super) fn dict(&mut self, entries: Vec<(Value, Value)>) -> Result<Value, Fault> {
        self.object(entries.len() as u64 * 2 * SLOT)?;
        self.heap.dicts.push(entries);
        Ok(Value::Dict(self.heap.dicts.len() as u32 - 1))
    }

    fn set(&mut self, items: Vec<Value>) -> Result<Value, Fault> {
        self.take(items.len() as u64 * SLOT)?;
        let class = self.add_text("builtins.set".to_string())?;
        self.new_object(Object { items, ..Object::new(class, Value::None) })
    }

    /// APPEND, APPENDS, SETITEM, SETITEMS and ADDITEMS.
    pub(super) fn fill(&mut self, operation: u8) -> Result<(), Fault> {
        let items = match operation {
            b'a' => self.pop_some(1)?,
            b's' => self.pop_some(2)?,
            _ => self.pop_to_mark()?,
        };
        self.take(items.len() as u64 * SLOT)?;
        match (operation, self.top()?) {
            (b'a' | b'e', Value::List(at)) => self.heap.lists[at as usize].extend(items),
            (b's' | b'u', Value::Dict(at)) => {
                self.heap.dicts[at as usize].extend(pairs(&items)?);
            }
            (b's' | b'u', Value::Object(at)) => {
                self.heap.objects[at as usize].entries.extend(pairs(&items)?);
            }
            (_, Value::Object(at)) => self.heap.objects[at as usize].items.extend(items),
            (_, Value::Opaque) => {}
            (_, other) => {
                return Err(damaged(&format!("it puts items into {}", other.kind())));
            }
        }
        Ok(())
    }
}

/// Pairs of consecutive keys and values.
fn pairs(items: &[Value]) -> Result<Vec<(Value, Value)>, Fault> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(damaged("a key without a value"));
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

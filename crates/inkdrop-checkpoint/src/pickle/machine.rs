//! Stack machine of the unpickler: main loop, stack and memo.

use std::collections::HashMap;
use std::io::BufRead;

use super::input::Input;
use super::{Heap, Pickle, Value, Writer};
use crate::error::Fault;
use crate::limits::Budget;

/// Memory counted for a value on the stack, in the memo or in a container, in bytes.
pub(super) const SLOT: u64 = 24;

/// Memory counted for a container, a string, a storage or a tensor, in bytes.
pub(super) const OBJECT: u64 = 64;

/// State of the unpickler.
pub(super) struct Machine<'a> {
    pub(super) input: Input<'a>,
    pub(super) heap: Heap,
    pub(super) stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    pub(super) budget: &'a mut Budget,
    pub(super) writer: Writer,
}

/// The error of a damaged pickle.
pub(super) fn damaged(what: &str) -> Fault {
    Fault::Problem(format!("the pickle is damaged: {what}"))
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a mut dyn BufRead, budget: &'a mut Budget, writer: Writer) -> Self {
        let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
        Self { input: Input(input), heap: Heap::default(), stack, marks, memo, budget, writer }
    }

    /// Runs until the STOP operation.
    pub(super) fn run(mut self) -> Result<Pickle, Fault> {
        loop {
            match self.input.byte()? {
                b'.' => break,
                operation => self.step(operation)?,
            }
        }
        let root = self.pop()?;
        Ok(Pickle { heap: self.heap, root })
    }

    /// Opcodes as in Python's pickletools, protocols 0 to 5.
    fn step(&mut self, operation: u8) -> Result<(), Fault> {
        match operation {
            0x80 => self.protocol(),
            0x95 => self.input.u64().map(drop), // a frame's length
            b'(' | b'0' | b'1' | b'2' => self.shuffle(operation),
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(operation),
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | b'I' | b'L' | 0x8a | 0x8b | b'F' | b'G' => {
                self.number(operation)
            }
            b'X' | 0x8c | 0x8d | b'V' | b'U' | b'T' | b'S' | b'C' | b'B' | 0x8e | 0x96 => {
                self.text(operation)
            }
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => {
                self.container(operation)
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(operation),
            b'c' | 0x93 | b'i' | b'o' | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.call(operation),
            b'P' | 0x82..=0x84 | 0x97 | 0x98 => {
                Err(damaged(&format!("operation 0x{operation:02x}, which torch.save does not use")))
            }
            _ => Err(damaged(&format!("unknown operation 0x{operation:02x}"))),
        }
    }

    fn protocol(&mut self) -> Result<(), Fault> {
        match self.input.byte()? {
            0..=5 => Ok(()),
            version => Err(Fault::Problem(format!(
                "pickle protocol {version}, expected 0 to 5; save with pickle_protocol=2"
            ))),
        }
    }

    /// MARK, POP, POP_MARK and DUP.
    fn shuffle(&mut self, operation: u8) -> Result<(), Fault> {
        match operation {
            b'(' => {
                self.take(SLOT)?;
                self.marks.push(self.stack.len());
            }
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            _ => {
                let top = self.top()?;
                self.push(top)?;
            }
        }
        Ok(())
    }

    /// PUT, MEMOIZE and GET in their sizes.
    fn remember(&mut self, operation: u8) -> Result<(), Fault> {
        let index = match operation {
            b'p' | b'g' => {
                self.input.line()?.trim().parse().map_err(|_| damaged("a memo number"))?
            }
            b'q' | b'h' => u32::from(self.input.byte()?),
            b'r' | b'j' => self.input.u32()?,
            _ => self.memo.len() as u32,
        };
        if matches!(operation, b'g' | b'h' | b'j') {
            let value = self.memo.get(&index).copied();
            return self.push(value.ok_or_else(|| damaged("it reads an empty memo entry"))?);
        }
        let top = self.top()?;
        self.take(2 * SLOT)?;
        self.memo.insert(index, top);
        Ok(())
    }

    /// Counts memory before it is allocated.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Fault> {
        self.budget.take(bytes)
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), Fault> {
        self.take(SLOT)?;
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Result<Value, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(damaged("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| damaged("the stack is empty"))
    }

    pub(super) fn top(&mut self) -> Result<Value, Fault> {
        let value = self.pop()?;
        self.stack.push(value);
        Ok(value)
    }

    /// Removes the last mark and returns all values above it.
    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| damaged("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    /// Counts an object on the heap with this many bytes.
    pub(super) fn object(&mut self, inside: u64) -> Result<(), Fault> {
        self.take(inside.saturating_add(OBJECT))
    }
}

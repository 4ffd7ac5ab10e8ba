//! Unpickler for weights that executes no code.
//!
//! A pickle is a program for a stack machine, and Python's unpickler may call any function. This
//! one has an allow-list of the names that torch.save writes ([`globals`]). Each of them creates a
//! value; nothing is imported, called or executed. Memory is counted against a budget before it is
//! allocated. Values are stored in an arena, so deep nesting and recursive lists need no special case.

mod calls;
mod containers;
mod globals;
mod input;
mod machine;
mod rebuild;
mod scalars;
mod value;

pub(crate) use value::{Heap, Storage, Value, View};

use std::io::BufRead;

use crate::error::Fault;
use crate::limits::Budget;

/// The values of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle {
    /// Arena of the values.
    pub(crate) heap: Heap,
    /// The value that was pickled.
    pub(crate) root: Value,
}

/// Reads one pickle, and no byte after it.
pub(crate) fn read(input: &mut dyn BufRead, budget: &mut Budget) -> Result<Pickle, Fault> {
    machine::Machine::new(input, budget).run()
}

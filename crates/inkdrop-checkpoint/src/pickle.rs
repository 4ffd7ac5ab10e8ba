//! What a pickle of weights says, without executing any of it.
//!
//! A pickle is a program for a small stack machine, and Python's machine may call anything. This
//! one knows an allow-list of names ([`globals`]) that torch.save writes, and each of them only
//! makes a value of ours: nothing is imported, called or executed. Memory is counted
//! against a budget before it is taken; values live in one arena, so deep nesting and lists that
//! contain themselves are nothing special.

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

/// One pickle's values.
#[derive(Debug)]
pub(crate) struct Pickle {
    /// Where the values are.
    pub(crate) heap: Heap,
    /// The value that was pickled.
    pub(crate) root: Value,
}

/// Reads one pickle, and not a byte behind it.
pub(crate) fn read(input: &mut dyn BufRead, budget: &mut Budget) -> Result<Pickle, Fault> {
    machine::Machine::new(input, budget).run()
}

//! Unpickler for weights that executes no code.
//!
//! A pickle is a program for a stack machine, and Python's unpickler may call any function. This
//! one calls none: the names that torch.save writes create tensors and containers ([`globals`]), any
//! other name creates an inert object ([`Object`]), and names that run code are refused
//! ([`forbidden`]). Memory is counted against a budget before it is allocated. Values are stored in an
//! arena, so deep nesting and recursive lists need no special case.
//!
//! Files of pickle.dump have two more names: storages as bytes, and persistent objects of NVIDIA's programs,
//! whose text of a program is a string like any other.

mod calls;
mod containers;
mod forbidden;
mod globals;
mod input;
mod machine;
mod numpy;
mod rebuild;
mod scalars;
mod value;

pub(crate) use numpy::{Array, array, scalar};
pub(crate) use value::{
    Container, EmbeddedStorage, Heap, Object, Storage, Unsupported, Value, View,
};

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

/// The function that wrote a pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// torch.save, which keeps storages beside the pickle.
    TorchSave,
    /// pickle.dump, whose storages are bytes in the pickle: a torch.save stream of one storage each.
    PickleDump,
}

/// Reads one pickle of torch.save, and no byte after it.
pub(crate) fn read(input: &mut dyn BufRead, budget: &mut Budget) -> Result<Pickle, Fault> {
    machine::Machine::new(input, budget, Writer::TorchSave).run()
}

/// Reads one pickle of pickle.dump, and no byte after it.
pub(crate) fn read_dump(input: &mut dyn BufRead, budget: &mut Budget) -> Result<Pickle, Fault> {
    machine::Machine::new(input, budget, Writer::PickleDump).run()
}

//! Pickles of pickle.dump, whose storages are in the pickle: network snapshots of EDM and EDM2, state dicts.

use crate::assemble::{Storages, assemble};
use crate::error::Fault;
use crate::limits::Budget;
use crate::pickle::{EmbeddedStorage, Heap, Pickle};
use crate::source::EXPECTED;
use crate::{Format, StateDict};

/// The tensors of a pickle in a file of this length.
pub(crate) fn read(pickle: &Pickle, objects: &mut Budget, len: u64) -> Result<StateDict, Fault> {
    let mut storages = Embedded { heap: &pickle.heap };
    let weights = assemble(pickle, &mut storages, objects, Format::Pickle, len)?;
    if weights.tensors.is_empty() && weights.unsupported.is_empty() {
        return Err(Fault::Problem(format!(
            "it is a Python pickle of {}, but not of torch.save, and has no tensors; {EXPECTED}",
            pickle.root.kind()
        )));
    }
    Ok(weights)
}

/// Storages as bytes in the pickle.
struct Embedded<'a> {
    heap: &'a Heap,
}

impl Embedded<'_> {
    fn find(&self, key: &str) -> Option<&EmbeddedStorage> {
        self.heap.embedded.get(key.parse::<usize>().ok()?)
    }
}

impl Storages for Embedded<'_> {
    fn size(&self, key: &str) -> Option<u64> {
        self.find(key).map(|storage| storage.values.len() as u64)
    }

    fn read(&mut self, key: &str) -> Result<Vec<u8>, Fault> {
        let bytes = self.find(key).and_then(|storage| {
            self.heap.bytes[storage.bytes as usize].get(storage.values.clone())
        });
        // The stream's length was checked when it was read.
        Ok(bytes.unwrap_or_default().to_vec())
    }
}

//! Archives of NumPy arrays: np.savez and np.savez_compressed.

mod header;

use std::collections::BTreeMap;

use inkdrop_torch::tch::Tensor;

use crate::archive::Archive;
use crate::error::Fault;
use crate::limits::Budget;
use crate::{Format, StateDict, kinds};
use header::Header;

/// Reads an archive of arrays in a file of this length.
pub(crate) fn read(mut archive: Archive, len: u64) -> Result<StateDict, Fault> {
    let mut budget = Budget::new("tensors", len);
    let mut tensors = BTreeMap::new();
    for name in archive.names().to_vec() {
        let key = name.strip_suffix(".npy").unwrap_or(&name);
        let bytes = archive.read(&name)?;
        let tensor = array(bytes, &mut budget).map_err(|fault| fault.about(key))?;
        tensors.insert(key.to_string(), tensor);
    }
    let (metadata, skipped) = (BTreeMap::new(), Vec::new());
    Ok(StateDict { tensors, metadata, format: Format::Npz, skipped, order: Vec::new() })
}

fn array(mut bytes: Vec<u8>, budget: &mut Budget) -> Result<Tensor, Fault> {
    let header = Header::parse(&bytes).map_err(Fault::Problem)?;
    budget.take(kinds::size_of(&header.shape, header.kind)?)?;
    let values = bytes.get_mut(header.start..).unwrap_or_default();
    if header.big_endian {
        kinds::swap(values, header.kind);
    }
    if !header.fortran || header.shape.len() < 2 {
        return kinds::tensor(values, &header.shape, header.kind);
    }
    // Fortran order is C order with reversed axes.
    let turned: Vec<i64> = header.shape.iter().rev().copied().collect();
    let axes: Vec<i64> = (0..turned.len() as i64).rev().collect();
    let tensor = kinds::tensor(values, &turned, header.kind)?;
    Ok(tensor.f_permute(axes)?.f_contiguous()?)
}

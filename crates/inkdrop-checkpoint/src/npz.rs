//! Archives of NumPy arrays: np.savez and np.savez_compressed.

mod header;

use std::collections::BTreeMap;

use inkdrop_torch::tch::Tensor;

use crate::archive::Archive;
use crate::error::Fault;
use crate::limits::Budget;
use crate::{Format, StateDict, kinds};
use header::Header;
pub(crate) use header::Layout;

/// Reads an archive of arrays in a file of this length.
pub(crate) fn read(mut archive: Archive, len: u64) -> Result<StateDict, Fault> {
    let mut budget = Budget::new("tensors", len);
    let mut tensors = BTreeMap::new();
    for name in archive.names().to_vec() {
        let key = name.strip_suffix(".npy").unwrap_or(&name);
        let bytes = archive.read(&name)?;
        let tensor = file(bytes, &mut budget).map_err(|fault| fault.about(key))?;
        tensors.insert(key.to_string(), tensor);
    }
    Ok(StateDict { tensors, format: Format::Npz, ..StateDict::default() })
}

fn file(mut bytes: Vec<u8>, budget: &mut Budget) -> Result<Tensor, Fault> {
    let Header { start, layout } = Header::parse(&bytes).map_err(Fault::Problem)?;
    bytes.drain(..start.min(bytes.len()));
    array(bytes, &layout, budget)
}

/// A tensor of an array's values.
pub(crate) fn array(
    mut values: Vec<u8>,
    layout: &Layout,
    budget: &mut Budget,
) -> Result<Tensor, Fault> {
    let Layout { kind, big_endian, fortran, ref shape } = *layout;
    budget.take(kinds::size_of(shape, kind)?)?;
    if big_endian {
        kinds::swap(&mut values, kind);
    }
    if !fortran || shape.len() < 2 {
        return kinds::tensor(&values, shape, kind);
    }
    // Fortran order is C order with reversed axes.
    let turned: Vec<i64> = shape.iter().rev().copied().collect();
    let axes: Vec<i64> = (0..turned.len() as i64).rev().collect();
    let tensor = kinds::tensor(&values, &turned, kind)?;
    Ok(tensor.f_permute(axes)?.f_contiguous()?)
}

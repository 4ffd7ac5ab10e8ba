//! Pickles of NumPy arrays, such as the batches of CIFAR's Python version.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use inkdrop_torch::tch::Tensor;

use crate::error::Fault;
use crate::limits::Budget;
use crate::npz::{self, Layout};
use crate::pickle::{self, Array, Pickle, Value};
use crate::{CheckpointError, StateDict};

impl StateDict {
    /// Reads a pickled dictionary of NumPy arrays and lists of integers, such as a batch of CIFAR's
    /// Python version: arrays keep their dtype, lists become int64 tensors. Other values are listed by
    /// [`StateDict::skipped`]. No code is executed.
    ///
    /// # Errors
    /// The file is missing, unreadable, damaged or no dictionary, or names functions that run code.
    pub fn open_pickle(path: &Path) -> Result<Self, CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(read)?;
        let len = file.metadata().map_err(read)?.len();
        let pickle = pickle::read(&mut BufReader::new(file), &mut Budget::new("objects", len));
        let arrays = pickle.and_then(|pickle| arrays(&pickle, len));
        arrays.map_err(|fault| fault.reading(&path.display().to_string()))
    }
}

/// The arrays of a pickle in a file of this length.
pub(crate) fn arrays(pickle: &Pickle, len: u64) -> Result<StateDict, Fault> {
    let Some(entries) = pickle.heap.dict(pickle.root) else {
        return Err(Fault::Problem(format!(
            "the pickle is {}, expected a dictionary of arrays",
            pickle.root.kind()
        )));
    };
    let (mut weights, mut budget) = (StateDict::default(), Budget::new("tensors", len));
    for &(key, value) in entries {
        let key = pickle.heap.key_text(key).unwrap_or_default();
        match tensor(pickle, value, &mut budget).map_err(|fault| fault.about(&key))? {
            Some(tensor) => weights.insert(key, tensor),
            None => weights.skipped.push(key),
        }
    }
    Ok(weights)
}

/// The tensor of an array or of a list of integers; `None` for another value.
fn tensor(pickle: &Pickle, value: Value, budget: &mut Budget) -> Result<Option<Tensor>, Fault> {
    if let Some(Array { dtype, shape, fortran, bytes }) = pickle::array(pickle, value) {
        let layout = Layout::new(&dtype, shape, fortran).map_err(Fault::Problem)?;
        return npz::array(bytes.into_owned(), &layout, budget).map(Some);
    }
    let Value::List(at) = value else { return Ok(None) };
    let number = |item: &Value| match item {
        Value::Int(number) => Some(*number),
        _ => None,
    };
    let numbers: Option<Vec<i64>> = pickle.heap.lists[at as usize].iter().map(number).collect();
    let Some(numbers) = numbers else { return Ok(None) };
    budget.take(8 * numbers.len() as u64)?;
    Ok(Some(Tensor::f_from_slice(&numbers)?))
}

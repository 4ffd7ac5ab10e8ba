//! Builds named tensors from a pickle and its storages.

use std::collections::BTreeMap;

use inkdrop_torch::tch::{Kind, Tensor};

use crate::error::{Fault, shown};
use crate::flatten::{Leaves, flatten};
use crate::kinds;
use crate::limits::Budget;
use crate::pickle::{Heap, Pickle, Storage, Value, View};
use crate::{Format, StateDict, UnsupportedTensor};

/// Source of the bytes of storages.
pub(crate) trait Storages {
    /// Size of a storage in bytes; `None` if the file does not contain it.
    fn size(&self, key: &str) -> Option<u64>;

    /// All bytes of a storage.
    fn read(&mut self, key: &str) -> Result<Vec<u8>, Fault>;

    /// True if values are big-endian.
    fn big_endian(&self) -> bool {
        false
    }
}

/// Builds the tensors of a pickle in a file of this length.
///
/// Every storage is read once, one at a time. A tensor is a copy of its part of the storage. Tensors of
/// unsupported dtypes and layouts are left out.
pub(crate) fn assemble(
    pickle: &Pickle,
    storages: &mut dyn Storages,
    objects: &mut Budget,
    format: Format,
    len: u64,
) -> Result<StateDict, Fault> {
    let heap = &pickle.heap;
    let Leaves { tensors: leaves, unsupported, skipped, constructors } = flatten(pickle, objects)?;
    let order = leaves.iter().map(|(name, _)| name.clone()).collect();
    let layout = |(name, at): (String, usize)| (name, UnsupportedTensor::of(&heap.unsupported[at]));
    let mut unsupported: BTreeMap<_, _> = unsupported.into_iter().map(layout).collect();
    let mut budget = Budget::new("tensors", len);
    let mut wanted: BTreeMap<&str, Vec<Wanted>> = BTreeMap::new();
    for (name, at) in leaves {
        let view = &heap.tensors[at];
        let Some(kind) = view.dtype.kind else {
            let (kind, shape) = (view.dtype.name.to_string(), view.size.clone());
            unsupported.insert(name, UnsupportedTensor { kind, shape });
            continue;
        };
        let size = view.bytes().and_then(|bytes| budget.take(bytes));
        let fits = size.and_then(|()| check(view, &heap.storages[view.storage], storages));
        fits.map_err(|fault| fault.about(&name))?;
        let key = &heap.storages[view.storage].key;
        wanted.entry(key).or_default().push(Wanted { name, view, kind });
    }
    let mut tensors = BTreeMap::new();
    for (key, views) in wanted {
        let bytes = storages.read(key)?;
        for wanted in views {
            let tensor = wanted.tensor(heap, &bytes, storages.big_endian());
            let tensor = tensor.map_err(|fault| fault.about(&wanted.name))?;
            if tensors.contains_key(&wanted.name) {
                let name = shown(&wanted.name);
                return Err(Fault::Problem(format!("two tensors have the name `{name}`")));
            }
            tensors.insert(wanted.name, tensor);
        }
    }
    if tensors.is_empty() && unsupported.is_empty() {
        refuse_object(pickle)?;
    }
    let metadata = BTreeMap::new();
    Ok(StateDict {
        tensors,
        unsupported,
        metadata,
        format,
        skipped,
        order,
        constructors,
        ..StateDict::default()
    })
}

/// Returns an error for a file that holds one object without tensors.
fn refuse_object(pickle: &Pickle) -> Result<(), Fault> {
    let Value::Object(at) = pickle.root else { return Ok(()) };
    let class = pickle.heap.objects[at as usize].class;
    Err(Fault::Problem(format!(
        "it holds an object of class `{}`, which was not executed, and no tensors; in Python, save \
         its state_dict: torch.save(model.state_dict(), path)",
        shown(&pickle.heap.texts[class as usize])
    )))
}

/// Checks that a storage has its declared size and contains the view.
fn check(view: &View, storage: &Storage, storages: &dyn Storages) -> Result<(), Fault> {
    let (key, unit) = (shown(&storage.key), storage.unit());
    let declared = storage.count.checked_mul(unit);
    let Some(there) = storages.size(&storage.key) else {
        return Err(Fault::Problem(format!("storage `{key}` is not in the file; it is damaged")));
    };
    if declared.is_none_or(|declared| declared > there) {
        return Err(Fault::Problem(format!(
            "storage `{key}` has {there} bytes, expected {} values of {unit} bytes; \
             the file is damaged",
            storage.count
        )));
    }
    let (first, count) = storage.part.unwrap_or((0, storage.count));
    let size = view.dtype.size;
    let end = view.end().and_then(|end| end.checked_mul(size));
    let fits = end.is_some_and(|end| count.checked_mul(unit).is_some_and(|part| end <= part));
    if fits && first.checked_add(count).is_some_and(|end| end <= storage.count) {
        return Ok(());
    }
    Err(Fault::Problem(format!(
        "shape {:?} with steps {:?} from value {} on needs more than the {count} values of \
         storage `{key}`; the file is damaged",
        view.size, view.stride, view.offset
    )))
}

/// A tensor to be built.
struct Wanted<'a> {
    name: String,
    /// Checked by [`check`].
    view: &'a View,
    kind: Kind,
}

impl Wanted<'_> {
    /// A copy of the values in the bytes of the storage.
    fn tensor(&self, heap: &Heap, bytes: &[u8], big_endian: bool) -> Result<Tensor, Fault> {
        let Self { view, kind, .. } = *self;
        let storage = &heap.storages[view.storage];
        let size = view.dtype.size as usize;
        let first = storage.part.map_or(0, |(first, _)| first) * storage.unit();
        let start = first as usize + view.offset as usize * size;
        let count = view.bytes()? as usize;
        let here = bytes.get(start..).unwrap_or_default();
        if view.is_contiguous() && !big_endian {
            return kinds::tensor(here.get(..count).unwrap_or_default(), &view.size, kind);
        }
        let mut values = Vec::with_capacity(count);
        gather(here, &view.size, &view.stride, size, &mut values);
        if big_endian {
            kinds::swap(&mut values, kind);
        }
        kinds::tensor(&values, &view.size, kind)
    }
}

/// Appends the values of a view in C order, each of `size` bytes.
fn gather(bytes: &[u8], sides: &[i64], steps: &[i64], size: usize, values: &mut Vec<u8>) {
    let (Some((&side, sides)), Some((&step, steps))) = (sides.split_first(), steps.split_first())
    else {
        values.extend_from_slice(bytes.get(..size).unwrap_or_default());
        return;
    };
    if sides.contains(&0) {
        return;
    }
    for index in 0..side as usize {
        let from = index.saturating_mul(step as usize).saturating_mul(size);
        gather(bytes.get(from..).unwrap_or_default(), sides, steps, size, values);
    }
}

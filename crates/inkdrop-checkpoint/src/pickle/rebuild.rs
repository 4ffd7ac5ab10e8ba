//! Builds storages and tensors from the arguments that torch.save writes.

use super::globals::Global;
use super::machine::{Machine, SLOT, damaged};
use super::{Heap, Storage, Unsupported, Value, View};
use crate::error::{Fault, shown};
use crate::kinds::Dtype;

impl Machine<'_> {
    /// A storage by its persistent id: `("storage", class, key, location, count[, part])`.
    pub(super) fn storage(&mut self, id: Value) -> Result<Value, Fault> {
        let storage = self.heap.tuple(id).and_then(|items| storage(&self.heap, items));
        let storage =
            storage.ok_or_else(|| damaged("a persistent id does not belong to a storage"))?;
        self.object(storage.key.len() as u64 + SLOT)?;
        self.heap.storages.push(storage);
        Ok(Value::Storage(self.heap.storages.len() as u32 - 1))
    }

    /// The tensor that a function creates from its arguments.
    pub(super) fn rebuild(&mut self, function: Global, arguments: Value) -> Result<Value, Fault> {
        let items = self.heap.tuple(arguments).unwrap_or_default();
        match (function, items) {
            (Global::Parameter, &[tensor @ (Value::Tensor(_) | Value::Unsupported(_)), ..]) => {
                Ok(tensor)
            }
            (Global::FromType, &[Value::Global(inner), _, args, ..])
                if inner != Global::FromType && self.heap.tuple(args).is_some() =>
            {
                self.rebuild(inner, args)
            }
            (Global::FromType, &[Value::Class(_), ..]) => {
                self.unsupported("of an unknown layout", &[])
            }
            (Global::Unsupported(kind), items) => {
                let shape = shape(&self.heap, items);
                self.unsupported(kind, &shape)
            }
            (Global::Tensor | Global::TensorV2 | Global::TensorV3, _) => {
                let view = view(&self.heap, function, items)?;
                self.object(view.size.len() as u64 * SLOT)?;
                self.heap.tensors.push(view);
                Ok(Value::Tensor(self.heap.tensors.len() as u32 - 1))
            }
            _ => Err(damaged("the arguments of a tensor are not those of torch.save")),
        }
    }

    fn unsupported(&mut self, kind: &'static str, shape: &[i64]) -> Result<Value, Fault> {
        self.object(shape.len() as u64 * SLOT)?;
        self.heap.unsupported.push(Unsupported { kind, shape: shape.to_vec() });
        Ok(Value::Unsupported(self.heap.unsupported.len() as u32 - 1))
    }
}

/// The shape of a tensor of an unsupported layout: the first tuple of numbers among its arguments, or
/// in a tuple of them.
fn shape(heap: &Heap, items: &[Value]) -> Vec<i64> {
    let inner = items.iter().filter_map(|&item| heap.tuple(item)).flatten();
    items.iter().chain(inner).find_map(|&item| numbers(heap, item)).unwrap_or_default()
}

fn count(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

fn storage(heap: &Heap, items: &[Value]) -> Option<Storage> {
    let (&[word, Value::Global(Global::Storage(dtype)), key, _, numel], rest) =
        items.split_first_chunk::<5>()?
    else {
        return None;
    };
    let part = match *rest {
        [] | [Value::None] => None,
        [part] => match heap.tuple(part)? {
            &[_, offset, numel] => Some((count(offset)?, count(numel)?)),
            _ => return None,
        },
        _ => return None,
    };
    let key = heap.text(key)?.into();
    (heap.text(word)? == "storage").then_some(Storage { key, dtype, count: count(numel)?, part })
}

/// `(storage, offset, size, stride, …)`; version 3 has the dtype as its seventh argument.
fn view(heap: &Heap, function: Global, items: &[Value]) -> Result<View, Fault> {
    let wrong = || damaged("a tensor has an invalid storage, offset, size or stride");
    let Some((&[Value::Storage(at), offset, size, stride], rest)) = items.split_first_chunk::<4>()
    else {
        return Err(wrong());
    };
    let storage = &heap.storages[at as usize];
    let dtype = match (function, rest) {
        (Global::TensorV3, &[_, _, Value::Global(Global::Type(dtype)), ..]) => Some(dtype),
        (Global::TensorV3, _) => None,
        _ => storage.dtype,
    };
    let dtype = dtype
        .ok_or_else(|| Fault::Problem(format!("storage `{}` has no dtype", shown(&storage.key))))?;
    let (size, stride) = (sides(heap, size, dtype)?, sides(heap, stride, dtype)?);
    let offset = count(offset).ok_or_else(wrong)?;
    if size.len() != stride.len() {
        return Err(wrong());
    }
    Ok(View { storage: at as usize, dtype, offset, size, stride })
}

fn sides(heap: &Heap, value: Value, dtype: Dtype) -> Result<Vec<i64>, Fault> {
    numbers(heap, value).ok_or_else(|| {
        damaged(&format!("a size or stride of a {} tensor is not a number", dtype.name))
    })
}

/// A tuple of numbers that are not negative.
fn numbers(heap: &Heap, value: Value) -> Option<Vec<i64>> {
    let side = |&value: &Value| match value {
        Value::Int(side) if side >= 0 => Some(side),
        _ => None,
    };
    heap.tuple(value)?.iter().map(side).collect()
}

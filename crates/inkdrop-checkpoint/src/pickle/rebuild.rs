//! Builds storages and tensors from the arguments that torch.save writes.

use super::globals::Global;
use super::machine::{Machine, SLOT, damaged};
use super::{Heap, Storage, Unsupported, Value, View};
use crate::error::Fault;
use crate::kinds::Dtype;

impl Machine<'_> {
    /// The value of a persistent id: `("storage", class, key, location, count[, part])`, or, in files
    /// of whole modules before PyTorch 1.6, `("module", class, file, source)`.
    pub(super) fn persistent(&mut self, id: Value) -> Result<Value, Fault> {
        if let Some(&[word, class @ Value::Class(_), _, _]) = self.heap.tuple(id)
            && self.heap.text(word) == Some("module")
        {
            return Ok(class);
        }
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
                let Some(dtype) = dtype(&self.heap, function, items)? else {
                    let kind = format!("of dtype {}", unknown_dtype(&self.heap, items));
                    let shape = shape(&self.heap, items);
                    return self.unsupported(&kind, &shape);
                };
                let view = view(&self.heap, items, dtype)?;
                self.object(view.size.len() as u64 * SLOT)?;
                self.heap.tensors.push(view);
                Ok(Value::Tensor(self.heap.tensors.len() as u32 - 1))
            }
            _ => Err(damaged("the arguments of a tensor are not those of torch.save")),
        }
    }

    fn unsupported(&mut self, kind: &str, shape: &[i64]) -> Result<Value, Fault> {
        self.object(kind.len() as u64 + shape.len() as u64 * SLOT)?;
        self.heap.unsupported.push(Unsupported { kind: kind.into(), shape: shape.to_vec() });
        Ok(Value::Unsupported(self.heap.unsupported.len() as u32 - 1))
    }
}

/// The shape of a tensor of an unsupported layout: the first tuple of numbers among its arguments, or
/// in a tuple of them.
fn shape(heap: &Heap, items: &[Value]) -> Vec<i64> {
    let inner = items.iter().filter_map(|&item| heap.tuple(item)).flatten();
    items.iter().chain(inner).find_map(|&item| heap.sides(item)).unwrap_or_default()
}

fn count(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

fn storage(heap: &Heap, items: &[Value]) -> Option<Storage> {
    let (&[word, class, key, _, numel], rest) = items.split_first_chunk::<5>()?;
    let dtype = match class {
        Value::Global(Global::Storage(dtype)) => dtype,
        Value::Class(_) => None, // a storage of an unknown dtype
        _ => return None,
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

/// The dtype of a tensor; version 3 has it as its seventh argument. `None` if it is unknown.
fn dtype(heap: &Heap, function: Global, items: &[Value]) -> Result<Option<Dtype>, Fault> {
    let Some(&Value::Storage(at)) = items.first() else {
        return Err(damaged("a tensor has an invalid storage"));
    };
    Ok(match (function, items.get(6)) {
        (Global::TensorV3, Some(&Value::Global(Global::Type(dtype)))) => Some(dtype),
        (Global::TensorV3, _) => None,
        _ => heap.storages[at as usize].dtype,
    })
}

/// The name of a dtype that is unknown.
fn unknown_dtype<'a>(heap: &'a Heap, items: &[Value]) -> &'a str {
    match items.get(6) {
        Some(&Value::Class(name)) => &heap.texts[name as usize],
        _ => "unknown",
    }
}

/// `(storage, offset, size, stride, …)`
fn view(heap: &Heap, items: &[Value], dtype: Dtype) -> Result<View, Fault> {
    let wrong = || damaged("a tensor has an invalid storage, offset, size or stride");
    let Some((&[Value::Storage(at), offset, size, stride], _)) = items.split_first_chunk::<4>()
    else {
        return Err(wrong());
    };
    let sides = |value| {
        heap.sides(value).ok_or_else(|| {
            damaged(&format!("a size or stride of a {} tensor is not a number", dtype.name))
        })
    };
    let (size, stride) = (sides(size)?, sides(stride)?);
    let offset = count(offset).ok_or_else(wrong)?;
    if size.len() != stride.len() {
        return Err(wrong());
    }
    Ok(View { storage: at as usize, dtype, offset, size, stride })
}

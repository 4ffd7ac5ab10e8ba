//! Builds storages and tensors from the arguments that torch.save writes.

use inkdrop_torch::tch::Kind;

use super::globals::Global;
use super::machine::{Machine, SLOT, damaged};
use super::{Heap, Storage, Value, View};
use crate::error::{Fault, shown};

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

    /// The tensor that a function of the allow-list creates from its arguments.
    pub(super) fn rebuild(&mut self, function: Global, arguments: Value) -> Result<Value, Fault> {
        let items = self.heap.tuple(arguments).unwrap_or_default();
        match (function, items) {
            (Global::Parameter, &[Value::Tensor(at), ..]) => Ok(Value::Tensor(at)),
            (Global::FromType, &[Value::Global(inner), Value::Global(Global::Class), args, ..])
                if inner != Global::FromType && self.heap.tuple(args).is_some() =>
            {
                self.rebuild(inner, args)
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
}

fn count(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

fn storage(heap: &Heap, items: &[Value]) -> Option<Storage> {
    let (&[word, Value::Global(Global::Storage(kind)), key, _, numel], rest) =
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
    (heap.text(word)? == "storage").then_some(Storage { key, kind, count: count(numel)?, part })
}

/// `(storage, offset, size, stride, …)`; version 3 has the dtype as its seventh argument.
fn view(heap: &Heap, function: Global, items: &[Value]) -> Result<View, Fault> {
    let wrong = || damaged("a tensor has an invalid storage, offset, size or stride");
    let Some((&[Value::Storage(at), offset, size, stride], rest)) = items.split_first_chunk::<4>()
    else {
        return Err(wrong());
    };
    let storage = &heap.storages[at as usize];
    let kind = match (function, rest) {
        (Global::TensorV3, &[_, _, Value::Global(Global::Type(kind)), ..]) => Some(kind),
        (Global::TensorV3, _) => None,
        _ => storage.kind,
    };
    let kind = kind
        .ok_or_else(|| Fault::Problem(format!("storage `{}` has no dtype", shown(&storage.key))))?;
    let (size, stride) = (sides(heap, size, kind)?, sides(heap, stride, kind)?);
    let offset = count(offset).ok_or_else(wrong)?;
    if size.len() != stride.len() {
        return Err(wrong());
    }
    Ok(View { storage: at as usize, kind, offset, size, stride })
}

/// Numbers that are not negative.
fn sides(heap: &Heap, value: Value, kind: Kind) -> Result<Vec<i64>, Fault> {
    let side = |&value: &Value| match value {
        Value::Int(side) if side >= 0 => Some(side),
        _ => None,
    };
    let sides = heap.tuple(value).and_then(|items| items.iter().map(side).collect());
    sides.ok_or_else(|| damaged(&format!("a size or stride of a {kind:?} tensor is not a number")))
}

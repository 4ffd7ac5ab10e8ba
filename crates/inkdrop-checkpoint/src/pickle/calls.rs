//! Operations on names: each name creates one kind of value, without a call.

use super::globals::Global;
use super::machine::{Machine, OBJECT, damaged};
use super::{EmbeddedStorage, Heap, Object, Storage, Value, Writer};
use crate::error::Fault;
use crate::torch_legacy;

impl Machine<'_> {
    /// GLOBAL, INST, OBJ, REDUCE, NEWOBJ, BUILD and the persistent id of a storage.
    pub(super) fn call(&mut self, operation: u8) -> Result<(), Fault> {
        let value = match operation {
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.global(&module, &name)?
            }
            0x93 => self.stack_global()?,
            b'i' | b'o' => self.instance(operation)?,
            b'b' => return self.build(),
            b'Q' if self.writer == Writer::PickleDump => {
                return Err(damaged("a persistent id, which pickle.dump does not write"));
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)?
            }
            _ => {
                if operation == 0x92 {
                    self.pop()?; // NEWOBJ_EX: arguments by name
                }
                let arguments = self.pop()?;
                let function = self.pop()?;
                self.apply(function, arguments)?
            }
        };
        self.push(value)
    }

    fn stack_global(&mut self) -> Result<Value, Fault> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.heap.text(module), self.heap.text(name)) {
            (Some(module), Some(name)) => {
                let (module, name) = (module.to_string(), name.to_string());
                self.global(&module, &name)
            }
            _ => Err(damaged("a name that is not text")),
        }
    }

    /// A class or function: one that creates part of a state dict, or an inert one.
    fn global(&mut self, module: &str, name: &str) -> Result<Value, Fault> {
        match Global::find(module, name, self.writer)? {
            Some(global) => Ok(Value::Global(global)),
            None => Ok(Value::Class(self.add_text(format!("{module}.{name}"))?)),
        }
    }

    /// An object of a class, in the form of old protocols.
    fn instance(&mut self, operation: u8) -> Result<Value, Fault> {
        let class = match operation {
            b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                Some(self.global(&module, &name)?)
            }
            _ => None,
        };
        let mut arguments = self.pop_to_mark()?.into_iter();
        let class = class.or_else(|| arguments.next());
        let class = class.ok_or_else(|| damaged("an object without a class"))?;
        let arguments = self.tuple(arguments.collect())?;
        self.apply(class, arguments)
    }

    /// The value that a class or function creates from its arguments.
    fn apply(&mut self, function: Value, arguments: Value) -> Result<Value, Fault> {
        let function = match function {
            Value::Global(function) => function,
            Value::Class(class) => return self.new_object(Object::new(class, arguments)),
            Value::Object(_) | Value::Opaque => return Ok(Value::Opaque),
            other => return Err(damaged(&format!("it calls {}", other.kind()))),
        };
        let Some(items) = self.heap.tuple(arguments) else {
            return Err(damaged(&format!(
                "the arguments are {}, expected a tuple",
                arguments.kind()
            )));
        };
        match function {
            Global::Dict => {
                let entries = entries(&self.heap, items);
                self.dict(entries)
            }
            Global::Size => match items {
                &[Value::Tuple(at)] => Ok(Value::Tuple(at)),
                _ => Err(damaged("a torch.Size without a tuple")),
            },
            Global::Class | Global::Storage(_) | Global::Type(_) => {
                Err(damaged("a tensor, storage or type that is made by its class"))
            }
            Global::Tensor
            | Global::TensorV2
            | Global::TensorV3
            | Global::Parameter
            | Global::FromType
            | Global::Unsupported(_) => self.rebuild(function, arguments),
            Global::StorageOfBytes => match items {
                &[Value::Bytes(at)] => self.storage_of_bytes(at),
                _ => Err(damaged("a storage that is not made of bytes")),
            },
            Global::Persistent => match items {
                &[meta] => self.persistent_object(meta),
                _ => Err(damaged("a persistent object without its description")),
            },
        }
    }

    /// The storage whose torch.save stream these bytes are. Each is read once, however often it is named.
    fn storage_of_bytes(&mut self, bytes: u32) -> Result<Value, Fault> {
        if let Some(&at) = self.heap.embedded_of.get(&bytes) {
            return Ok(Value::Storage(at));
        }
        let key = self.heap.embedded.len().to_string();
        self.object(key.len() as u64 + EmbeddedStorage::SIZE)?;
        let stream = &self.heap.bytes[bytes as usize];
        let (storage, values) = torch_legacy::storage(stream, self.budget)?;
        self.heap.embedded.push(EmbeddedStorage { bytes, values });
        self.heap.storages.push(Storage { key: key.into(), ..storage });
        let at = self.heap.storages.len() as u32 - 1;
        self.heap.embedded_of.insert(bytes, at);
        Ok(Value::Storage(at))
    }

    /// An inert object with the class name and the state of a persistent object. Its program text is not
    /// looked at.
    fn persistent_object(&mut self, meta: Value) -> Result<Value, Fault> {
        let name = self.heap.field(meta, "class_name");
        let (Some(Value::Text(class)), Some(state)) = (name, self.heap.field(meta, "state")) else {
            return Err(damaged("a persistent object without `class_name` and `state`"));
        };
        self.new_object(Object { state: Some(state), ..Object::new(class, Value::None) })
    }

    pub(super) fn new_object(&mut self, object: Object) -> Result<Value, Fault> {
        self.object(OBJECT)?;
        self.heap.objects.push(object);
        Ok(Value::Object(self.heap.objects.len() as u32 - 1))
    }

    /// BUILD: the state of an object. That of a state_dict is `_metadata`, which is not needed.
    fn build(&mut self) -> Result<(), Fault> {
        let state = self.pop()?;
        match self.top()? {
            Value::Object(at) => self.heap.objects[at as usize].state = Some(state),
            Value::Dict(_) | Value::List(_) | Value::Opaque => {}
            other => return Err(damaged(&format!("it sets the state of {}", other.kind()))),
        }
        Ok(())
    }
}

/// The initial entries of a dictionary: none, a list of pairs, or another dictionary.
fn entries(heap: &Heap, arguments: &[Value]) -> Vec<(Value, Value)> {
    let pair = |&item: &Value| match item {
        Value::List(at) => match *heap.lists[at as usize] {
            [key, value] => Some((key, value)),
            _ => None,
        },
        item => match heap.tuple(item) {
            Some(&[key, value]) => Some((key, value)),
            _ => None,
        },
    };
    match arguments.last() {
        Some(&Value::Dict(at)) => heap.dicts[at as usize].clone(),
        Some(&Value::List(at)) => heap.lists[at as usize].iter().filter_map(pair).collect(),
        _ => Vec::new(),
    }
}

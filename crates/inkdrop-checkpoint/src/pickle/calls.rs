//! Operations on names: each name of the allow-list creates one kind of value, without a call.

use super::globals::Global;
use super::machine::{Machine, damaged};
use super::{Heap, Value};
use crate::error::Fault;

impl Machine<'_> {
    /// GLOBAL, INST, OBJ, REDUCE, NEWOBJ, BUILD and the persistent id of a storage.
    pub(super) fn call(&mut self, operation: u8) -> Result<(), Fault> {
        let value = match operation {
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                Value::Global(Global::find(&module, &name)?)
            }
            0x93 => self.stack_global()?,
            b'i' | b'o' => self.instance(operation)?,
            b'b' => return self.build(),
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)?
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
            (Some(module), Some(name)) => Ok(Value::Global(Global::find(module, name)?)),
            _ => Err(damaged("a name that is not text")),
        }
    }

    /// An object of a class, in the form of old protocols.
    fn instance(&mut self, operation: u8) -> Result<Value, Fault> {
        let class = match operation {
            b'i' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                Some(Value::Global(Global::find(&module, &name)?))
            }
            _ => None,
        };
        let mut arguments = self.pop_to_mark()?.into_iter();
        let class = class.or_else(|| arguments.next());
        let class = class.ok_or_else(|| damaged("an object without a class"))?;
        let arguments = self.tuple(arguments.collect())?;
        self.apply(class, arguments)
    }

    /// The value that a name of the allow-list creates from its arguments.
    fn apply(&mut self, function: Value, arguments: Value) -> Result<Value, Fault> {
        let Value::Global(function) = function else {
            return Err(damaged(&format!("it calls {}", function.kind())));
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
            Global::Inert => Ok(Value::Opaque),
            Global::Class | Global::Storage(_) | Global::Type(_) => {
                Err(damaged("a tensor, storage or type that is made by its class"))
            }
            Global::Tensor
            | Global::TensorV2
            | Global::TensorV3
            | Global::Parameter
            | Global::FromType => self.rebuild(function, arguments),
        }
    }

    /// BUILD: the state of an object. That of a state_dict is `_metadata`, which is not needed.
    fn build(&mut self) -> Result<(), Fault> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) | Value::Opaque => Ok(()),
            other => Err(damaged(&format!("it sets the state of {}", other.kind()))),
        }
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

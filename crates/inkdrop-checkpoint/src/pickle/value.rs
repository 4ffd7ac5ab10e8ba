//! The values of a pickle.

use std::collections::HashMap;
use std::ops::Range;

use super::globals::Global;
use crate::error::Fault;
use crate::kinds::{self, Dtype};

/// A value, or its index on the [`Heap`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A string.
    Text(u32),
    /// Bytes, or the little-endian bytes of an integer beyond 64 bits.
    Bytes(u32),
    Tuple(u32),
    List(u32),
    Dict(u32),
    /// A class or function that creates part of a state dict.
    Global(Global),
    /// Any other class or function: the index of its full name among the texts.
    Class(u32),
    /// What such a class or function would create.
    Object(u32),
    Storage(u32),
    Tensor(u32),
    /// A tensor of an unsupported layout.
    Unsupported(u32),
    /// A value that is not read, such as an integer beyond 64 bits.
    Opaque,
}

impl Value {
    /// The container that a value is; `None` for a value without items.
    pub(crate) fn container(self) -> Option<Container> {
        match self {
            Self::Tuple(at) => Some(Container::Tuple(at)),
            Self::List(at) => Some(Container::List(at)),
            Self::Dict(at) => Some(Container::Dict(at)),
            Self::Object(at) => Some(Container::Object(at)),
            _ => None,
        }
    }

    /// The value's type in Python's words, for messages.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) | Self::Class(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) | Self::Unsupported(_) => "a tensor",
            Self::Object(_) | Self::Opaque => "an object",
        }
    }
}

/// A container on the [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Tuple(u32),
    List(u32),
    Dict(u32),
    Object(u32),
}

/// Everything in a pickle that is more than a number.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    pub(crate) texts: Vec<Box<str>>,
    pub(crate) bytes: Vec<Box<[u8]>>,
    pub(crate) tuples: Vec<Box<[Value]>>,
    pub(crate) lists: Vec<Vec<Value>>,
    pub(crate) dicts: Vec<Vec<(Value, Value)>>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) tensors: Vec<View>,
    pub(crate) unsupported: Vec<Unsupported>,
    pub(crate) objects: Vec<Object>,
    /// Storages in the pickle itself. The key of each one is its index here.
    pub(crate) embedded: Vec<EmbeddedStorage>,
    /// The storage of each value of bytes that is one.
    pub(super) embedded_of: HashMap<u32, u32>,
}

/// An inert object: its class and all that was given to it.
#[derive(Debug)]
pub(crate) struct Object {
    /// Index of the full name of its class among the texts.
    pub(crate) class: u32,
    /// Arguments of its constructor.
    pub(crate) arguments: Value,
    /// Its state, which is usually a dictionary of its fields.
    pub(crate) state: Option<Value>,
    /// Its items, for a subclass of a list or set.
    pub(crate) items: Vec<Value>,
    /// Its entries, for a subclass of a dictionary.
    pub(crate) entries: Vec<(Value, Value)>,
}

impl Object {
    pub(crate) fn new(class: u32, arguments: Value) -> Self {
        Self { class, arguments, state: None, items: Vec::new(), entries: Vec::new() }
    }
}

/// A tensor of an unsupported dtype or layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// Its dtype or layout: `complex64`, `sparse`.
    pub(crate) kind: Box<str>,
    /// Its shape; empty if unknown.
    pub(crate) shape: Vec<i64>,
}

impl Heap {
    /// A string's characters.
    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(at) => Some(&self.texts[at as usize]),
            _ => None,
        }
    }

    /// A tuple's items.
    pub(crate) fn tuple(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(at) => Some(&self.tuples[at as usize]),
            _ => None,
        }
    }

    /// A tuple of numbers that are not negative, such as a shape.
    pub(crate) fn sides(&self, value: Value) -> Option<Vec<i64>> {
        let side = |&value: &Value| match value {
            Value::Int(side) if side >= 0 => Some(side),
            _ => None,
        };
        self.tuple(value)?.iter().map(side).collect()
    }

    /// A dictionary's entries.
    pub(crate) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match value {
            Value::Dict(at) => Some(&self.dicts[at as usize]),
            _ => None,
        }
    }

    /// The items of a set: `set([…])` in old protocols, its own items in new ones.
    pub(crate) fn members(&self, set: Value) -> &[Value] {
        let Value::Object(at) = set else { return &[] };
        let object = &self.objects[at as usize];
        match self.tuple(object.arguments) {
            Some(&[Value::List(list)]) => &self.lists[list as usize],
            _ => &object.items,
        }
    }

    /// The value of a text key in a dictionary.
    pub(crate) fn field(&self, dict: Value, name: &str) -> Option<Value> {
        let mut entries = self.dict(dict)?.iter();
        entries.find(|(key, _)| self.text(*key) == Some(name)).map(|&(_, value)| value)
    }
}

/// Where a tensor's values are kept in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    /// The name of the entry.
    pub(crate) key: Box<str>,
    /// The type of its values; `None` for bytes of any type.
    pub(crate) dtype: Option<Dtype>,
    /// How many values it has.
    pub(crate) count: u64,
    /// The part that is meant, as first value and number of values.
    pub(crate) part: Option<(u64, u64)>,
}

impl Storage {
    /// Bytes per counted value.
    pub(crate) fn unit(&self) -> u64 {
        self.dtype.map_or(1, |dtype| dtype.size)
    }
}

/// Where the values of a storage are among the bytes of the pickle.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddedStorage {
    /// Index of the bytes.
    pub(crate) bytes: u32,
    /// The values among them.
    pub(crate) values: Range<usize>,
}

impl EmbeddedStorage {
    /// Memory counted for one, in bytes.
    pub(super) const SIZE: u64 = 96;
}

/// A tensor: which values of a storage it is made of.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The storage's place on the heap.
    pub(crate) storage: usize,
    /// The type of the values.
    pub(crate) dtype: Dtype,
    /// Offset of the first value.
    pub(crate) offset: u64,
    /// Size of each axis; not negative.
    pub(crate) size: Vec<i64>,
    /// Stride of each axis, in values; not negative.
    pub(crate) stride: Vec<i64>,
}

impl View {
    /// Size of the tensor in bytes.
    pub(crate) fn bytes(&self) -> Result<u64, Fault> {
        Ok(kinds::numel(&self.size)?.saturating_mul(self.dtype.size))
    }

    /// Minimum number of values in the storage; `None` if it overflows.
    pub(crate) fn end(&self) -> Option<u64> {
        if self.size.contains(&0) {
            return Some(self.offset);
        }
        let axes = self.size.iter().zip(&self.stride);
        let last = axes.map(|(&size, &stride)| (size as u64 - 1).checked_mul(stride as u64));
        let last = last.into_iter().try_fold(0u64, |sum, step| sum.checked_add(step?));
        last?.checked_add(self.offset)?.checked_add(1)
    }

    /// True if the tensor is contiguous in C order.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut step = 1;
        self.size.iter().zip(&self.stride).rev().all(|(&size, &stride)| {
            let fits = size <= 1 || stride == step;
            step *= size.max(1);
            fits
        })
    }
}

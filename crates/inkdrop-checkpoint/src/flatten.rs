//! Flattens nested dictionaries to names with dots.

use std::collections::BTreeSet;

use crate::constructor::Constructor;
use crate::error::{Fault, shown};
use crate::limits::{Budget, DEPTH, ENTRIES};
use crate::pickle::{Container, Heap, Object, Pickle, Value};

/// Memory counted for a name besides its length, in bytes.
const NAME: u64 = 64;

/// The leaves of a pickle, in order.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    /// Names, and indices of the tensors on the heap.
    pub(crate) tensors: Vec<(String, usize)>,
    /// Names, and indices of the tensors of unsupported layouts on the heap.
    pub(crate) unsupported: Vec<(String, usize)>,
    /// Names of all other values.
    pub(crate) skipped: Vec<String>,
    /// Calls that constructed objects with tensors, an outer one before those in it.
    pub(crate) constructors: Vec<Constructor>,
}

/// Collects the leaves of a pickle.
pub(crate) fn flatten(pickle: &Pickle, budget: &mut Budget) -> Result<Leaves, Fault> {
    let leaves = Leaves::default();
    let mut visitor =
        Visitor { pickle, budget, leaves, entries: 0, name: String::new(), around: Vec::new() };
    visitor.visit(pickle.root, 0)?;
    Ok(visitor.leaves)
}

struct Visitor<'a, 'b> {
    pickle: &'a Pickle,
    budget: &'b mut Budget,
    leaves: Leaves,
    entries: u64,
    /// The name of the current value.
    name: String,
    /// The containers around the current value; at most [`DEPTH`].
    around: Vec<Container>,
}

impl Visitor<'_, '_> {
    /// Visits a value. A container that contains itself is skipped within itself.
    fn visit(&mut self, value: Value, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH {
            return Err(Fault::Problem(format!(
                "{} is nested deeper than {DEPTH} levels",
                shown(&self.name)
            )));
        }
        let Some(container) = value.container() else { return self.value(value, depth) };
        if self.around.contains(&container) {
            return self.skip(depth);
        }
        self.around.push(container);
        self.value(value, depth)?;
        self.around.pop();
        Ok(())
    }

    fn value(&mut self, value: Value, depth: usize) -> Result<(), Fault> {
        let heap = &self.pickle.heap;
        match value {
            Value::Dict(at) if !heap.dicts[at as usize].is_empty() => {
                self.entries(&heap.dicts[at as usize], depth)
            }
            Value::List(at) if !heap.lists[at as usize].is_empty() => {
                self.items(&heap.lists[at as usize], depth)
            }
            Value::Tuple(at) if !heap.tuples[at as usize].is_empty() => {
                self.items(&heap.tuples[at as usize], depth)
            }
            Value::Tensor(at) => {
                let name = self.leaf()?;
                self.leaves.tensors.push((name, at as usize));
                Ok(())
            }
            Value::Unsupported(at) => {
                let name = self.leaf()?;
                self.leaves.unsupported.push((name, at as usize));
                Ok(())
            }
            Value::Object(at) => self.object(&heap.objects[at as usize], depth),
            _ => self.skip(depth),
        }
    }

    /// A module as torch.save(model) writes it, a subclass of a dictionary, or any other object,
    /// which is skipped.
    fn object(&mut self, object: &Object, depth: usize) -> Result<(), Fault> {
        let heap = &self.pickle.heap;
        if let Some(state) = object.state {
            // Many objects may share a large state: what is searched counts.
            let fields = ["_parameters", "_buffers", "_modules"];
            let parts = fields.into_iter().filter_map(|name| heap.field(state, name));
            let length = |dict| heap.dict(dict).map_or(0, <[_]>::len);
            let searched: usize = parts.chain([state]).map(length).sum();
            self.budget.take(searched as u64)?;
        }
        match object.state.and_then(|state| module(heap, state)) {
            Some(members) => {
                self.constructor(object, depth)?;
                self.entries(&members, depth)
            }
            None if object.entries.is_empty() => self.skip(depth),
            None => self.entries(&object.entries, depth),
        }
    }

    /// Records the call that constructed a module.
    fn constructor(&mut self, object: &Object, depth: usize) -> Result<(), Fault> {
        let prefix = if depth > 0 { format!("{}.", self.name) } else { String::new() };
        self.budget.take(prefix.len() as u64)?;
        let call = Constructor::of(&self.pickle.heap, object, &prefix, self.budget)?;
        self.leaves.constructors.extend(call);
        Ok(())
    }

    fn skip(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > 0 {
            let name = self.leaf()?;
            self.leaves.skipped.push(name);
        }
        Ok(())
    }

    fn entries(&mut self, entries: &[(Value, Value)], depth: usize) -> Result<(), Fault> {
        for &(key, value) in entries {
            let key = self.key(key)?;
            self.enter(&key, value, depth)?;
        }
        Ok(())
    }

    fn items(&mut self, items: &[Value], depth: usize) -> Result<(), Fault> {
        for (index, &item) in items.iter().enumerate() {
            self.enter(&index.to_string(), item, depth)?;
        }
        Ok(())
    }

    /// Visits the value of a key.
    fn enter(&mut self, key: &str, value: Value, depth: usize) -> Result<(), Fault> {
        self.entries += 1;
        if self.entries > ENTRIES {
            return Err(Fault::Problem(format!(
                "more than {ENTRIES} entries in its dictionaries and lists; it is damaged or made \
                 to exhaust the memory"
            )));
        }
        let parent = self.name.len();
        self.budget.take(key.len() as u64 + 1)?;
        if depth > 0 {
            self.name.push('.');
        }
        self.name.push_str(key);
        self.visit(value, depth + 1)?;
        self.name.truncate(parent);
        Ok(())
    }

    /// The name of a leaf; `tensor` if the whole file is one tensor.
    fn leaf(&mut self) -> Result<String, Fault> {
        self.budget.take(self.name.len() as u64 + NAME)?;
        Ok(if self.entries == 0 { "tensor".to_string() } else { self.name.clone() })
    }

    fn key(&self, key: Value) -> Result<String, Fault> {
        self.pickle.heap.key_text(key).ok_or_else(|| {
            Fault::Problem(format!(
                "a dictionary in `{}` has {} as key, expected a string or a number",
                shown(&self.name),
                key.kind()
            ))
        })
    }
}

/// Largest number of non-persistent buffers of a module.
const FIELDS: usize = 1024;

/// Longest text of a key that is not a string, in bytes.
const KEY: usize = 200;

impl Heap {
    /// A key as Python prints it; `None` if it cannot be a key.
    pub(crate) fn key_text(&self, key: Value) -> Option<String> {
        let mut text = String::new();
        self.write_key(key, &mut text).then_some(text)
    }

    /// Appends a key as Python prints it; false if it cannot be a key.
    fn write_key(&self, key: Value, text: &mut String) -> bool {
        match key {
            Value::Text(at) => text.push_str(&self.texts[at as usize]),
            Value::Int(number) => text.push_str(&number.to_string()),
            Value::Bool(flag) => text.push_str(&flag.to_string()),
            Value::Float(number) => text.push_str(&number.to_string()),
            Value::None => text.push_str("None"),
            Value::Bytes(at) => text.push_str(&String::from_utf8_lossy(&self.bytes[at as usize])),
            Value::Class(at) => text.push_str(&self.texts[at as usize]),
            Value::Object(at) => {
                text.push_str(&self.texts[self.objects[at as usize].class as usize]);
            }
            Value::Global(_) | Value::Opaque => text.push_str(key.kind()),
            Value::Tuple(at) => self.write_tuple(&self.tuples[at as usize], text),
            _ => return false,
        }
        true
    }

    /// Appends a tuple; the rest of a long one is left out.
    fn write_tuple(&self, items: &[Value], text: &mut String) {
        text.push('(');
        for (index, &item) in items.iter().enumerate() {
            text.push_str(if index > 0 { ", " } else { "" });
            if text.len() > KEY {
                text.push('…');
                break;
            }
            self.write_key(item, text);
        }
        text.push(')');
    }
}

/// Parameters, persistent buffers and submodules in the state of a torch.nn.Module, in the order of
/// its state_dict; `None` for another object.
fn module(heap: &Heap, state: Value) -> Option<Vec<(Value, Value)>> {
    let field = |name| heap.field(state, name).map(|dict| heap.dict(dict).unwrap_or_default());
    let (parameters, modules) = (field("_parameters")?, field("_modules")?);
    let transient = heap.field(state, "_non_persistent_buffers_set");
    let transient = transient.map(|set| heap.members(set)).unwrap_or_default();
    let transient: BTreeSet<&str> =
        transient.iter().take(FIELDS).filter_map(|&name| heap.text(name)).collect();
    let persists =
        |(key, _): &&(Value, Value)| heap.text(*key).is_none_or(|name| !transient.contains(name));
    let buffers = field("_buffers").unwrap_or_default().iter().filter(persists);
    let members = parameters.iter().chain(buffers).chain(modules);
    Some(members.filter(|(_, value)| !matches!(value, Value::None)).copied().collect())
}

//! Flattens nested dictionaries to names with dots.

use crate::error::{Fault, shown};
use crate::limits::{Budget, DEPTH, ENTRIES};
use crate::pickle::{Pickle, Value};

/// Memory counted for a name besides its length, in bytes.
const NAME: u64 = 64;

/// The leaves of a pickle, in order.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    /// Names, and indices of the tensors on the heap.
    pub(crate) tensors: Vec<(String, usize)>,
    /// Names of all other values.
    pub(crate) skipped: Vec<String>,
}

/// Collects the leaves of a pickle.
pub(crate) fn flatten(pickle: &Pickle, budget: &mut Budget) -> Result<Leaves, Fault> {
    let leaves = Leaves::default();
    let mut visitor = Visitor { pickle, budget, leaves, entries: 0, name: String::new() };
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
}

impl Visitor<'_, '_> {
    fn visit(&mut self, value: Value, depth: usize) -> Result<(), Fault> {
        if depth > DEPTH {
            return Err(Fault::Problem(format!(
                "{} is nested deeper than {DEPTH} levels, or contains itself",
                shown(&self.name)
            )));
        }
        let heap = &self.pickle.heap;
        match value {
            Value::Dict(at) if !heap.dicts[at as usize].is_empty() => {
                for &(key, value) in &heap.dicts[at as usize] {
                    let key = self.key(key)?;
                    self.enter(&key, value, depth)?;
                }
            }
            Value::List(at) if !heap.lists[at as usize].is_empty() => {
                self.items(&heap.lists[at as usize], depth)?;
            }
            Value::Tuple(at) if !heap.tuples[at as usize].is_empty() => {
                self.items(&heap.tuples[at as usize], depth)?;
            }
            Value::Tensor(at) => {
                let name = self.leaf()?;
                self.leaves.tensors.push((name, at as usize));
            }
            _ if depth == 0 => {}
            _ => {
                let name = self.leaf()?;
                self.leaves.skipped.push(name);
            }
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
        Ok(match key {
            Value::Text(at) => self.pickle.heap.texts[at as usize].to_string(),
            Value::Int(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Float(number) => number.to_string(),
            Value::None => "None".to_string(),
            other => {
                return Err(Fault::Problem(format!(
                    "a dictionary in `{}` has {} as key, expected a string or a number",
                    shown(&self.name),
                    other.kind()
                )));
            }
        })
    }
}

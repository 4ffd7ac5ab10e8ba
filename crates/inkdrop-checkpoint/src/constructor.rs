//! The calls that constructed persistent objects, as pickles of NVIDIA's programs record them.

use serde_json::{Map, Number, Value as Json};

use crate::error::Fault;
use crate::limits::{Budget, DEPTH};
use crate::pickle::{Heap, Object, Value, scalar};

/// Memory counted for a value besides its length, in bytes.
const VALUE: u64 = 64;

/// The call that constructed a network or another object: its class with all arguments.
///
/// Programs of NVIDIA record it in each persistent object (`_init_args`, `_init_kwargs`). NumPy's numbers are numbers,
/// infinities null, and values that JSON lacks a text that names them.
#[derive(Debug, Clone, PartialEq)]
pub struct Constructor {
    /// Keys of the object begin with this, up to its dot.
    pub(crate) prefix: String,
    /// Name of the class, such as `EDMPrecond`.
    pub class: String,
    /// Arguments by position.
    pub arguments: Vec<Json>,
    /// Arguments by name.
    pub keywords: Map<String, Json>,
}

impl Constructor {
    /// The call of an object with this prefix of keys; `None` if its state does not record one.
    pub(crate) fn of(
        heap: &Heap,
        object: &Object,
        prefix: &str,
        budget: &mut Budget,
    ) -> Result<Option<Self>, Fault> {
        let field = |name| heap.field(object.state.unwrap_or(Value::None), name);
        let (Some(arguments), Some(keywords)) = (field("_init_args"), field("_init_kwargs")) else {
            return Ok(None);
        };
        let mut json = |value| to_json(heap, value, budget, 0);
        Ok(match (json(arguments)?, json(keywords)?) {
            (Json::Array(arguments), Json::Object(keywords)) => Some(Self {
                prefix: prefix.to_string(),
                class: heap.texts[object.class as usize].to_string(),
                arguments,
                keywords,
            }),
            _ => None,
        })
    }

    /// The same call for the tensors below a prefix; `None` if the object is beside them. An object around them
    /// has the prefix of all of them, which is none.
    pub(crate) fn below(&self, prefix: &str) -> Option<Self> {
        let inner = self.prefix.strip_prefix(prefix);
        let around = prefix.starts_with(&self.prefix).then_some("");
        Some(Self { prefix: inner.or(around)?.to_string(), ..self.clone() })
    }
}

/// A value as JSON.
fn to_json(heap: &Heap, value: Value, budget: &mut Budget, depth: usize) -> Result<Json, Fault> {
    if depth > DEPTH {
        return Err(Fault::Problem(format!(
            "arguments of a constructor are nested deeper than {DEPTH} levels"
        )));
    }
    budget.take(VALUE)?;
    let mut items = |items: &[Value]| -> Result<Json, Fault> {
        items.iter().map(|&item| to_json(heap, item, budget, depth + 1)).collect()
    };
    Ok(match value {
        Value::Bool(flag) => Json::Bool(flag),
        Value::Int(number) => Json::from(number),
        Value::Float(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
        Value::Tuple(at) => items(&heap.tuples[at as usize])?,
        Value::List(at) => items(&heap.lists[at as usize])?,
        Value::Text(at) => {
            let text = &heap.texts[at as usize];
            budget.take(text.len() as u64)?;
            Json::from(&**text)
        }
        Value::Dict(at) => entries(heap, &heap.dicts[at as usize], budget, depth)?,
        Value::None => Json::Null,
        Value::Object(at) => object(heap, &heap.objects[at as usize], budget, depth)?,
        other => Json::from(other.kind()),
    })
}

/// A subclass of a dictionary or a number of NumPy; the name of any other class.
fn object(heap: &Heap, object: &Object, budget: &mut Budget, depth: usize) -> Result<Json, Fault> {
    let class = &heap.texts[object.class as usize];
    if !object.entries.is_empty() || class.ends_with("EasyDict") {
        return entries(heap, &object.entries, budget, depth);
    }
    budget.take(class.len() as u64)?;
    Ok(match scalar(heap, object) {
        Some(Value::Int(number)) => Json::from(number),
        Some(Value::Float(number)) => Number::from_f64(number).map_or(Json::Null, Json::Number),
        _ => Json::from(format!("an object of class {class}")),
    })
}

/// The entries of a dictionary whose keys are texts.
fn entries(
    heap: &Heap,
    entries: &[(Value, Value)],
    budget: &mut Budget,
    depth: usize,
) -> Result<Json, Fault> {
    let mut object = Map::new();
    for &(key, value) in entries {
        let value = to_json(heap, value, budget, depth + 1)?;
        if let Some(key) = heap.text(key) {
            budget.take(key.len() as u64)?;
            object.insert(key.to_string(), value);
        }
    }
    Ok(object.into())
}

//! Reads and writes safetensors files, one tensor at a time.

use std::io::{BufWriter, Read, SeekFrom, Write};

use inkdrop_torch::tch::{Kind, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::{Map, Value, json};

use crate::error::{Fault, shown};
use crate::source::{EXPECTED, Source};
use crate::{Format, StateDict, UnsupportedTensor, kinds};

/// Reads a file of this length.
pub(crate) fn read(source: &mut dyn Source, len: u64) -> Result<StateDict, Fault> {
    let (header, start) = header(source, len)?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let mut weights = StateDict { metadata, format: Format::Safetensors, ..StateDict::default() };
    for (key, info) in header.tensors() {
        match kinds::of_safetensors(info.dtype) {
            Some(kind) => {
                let tensor = tensor(source, start, info, kind);
                weights.tensors.insert(key.clone(), tensor.map_err(|fault| fault.about(&key))?);
            }
            None => {
                let (kind, shape) = (info.dtype.to_string(), shape(info));
                weights.unsupported.insert(key, UnsupportedTensor { kind, shape });
            }
        }
    }
    Ok(weights)
}

/// The header, and the offset of the values.
fn header(source: &mut dyn Source, len: u64) -> Result<(Metadata, u64), Fault> {
    let broken = |problem: String| {
        Fault::Problem(format!(
            "{problem}; the file is truncated or damaged, or not safetensors ({EXPECTED})"
        ))
    };
    let mut size = [0; 8];
    source.read_exact(&mut size).map_err(|_| broken(format!("it has {len} bytes")))?;
    let size = u64::from_le_bytes(size);
    if size > len.saturating_sub(8) {
        return Err(broken(format!("a header of {size} bytes is declared, the file has {len}")));
    }
    let mut text = Vec::new();
    source.take(size).read_to_end(&mut text)?;
    let header = parse(&text).map_err(|error| broken(error.to_string()))?;
    let (values, start) = (header.data_len() as u64, 8 + size);
    if values != len - start {
        return Err(broken(format!("{} bytes of values, expected {values}", len - start)));
    }
    Ok((header, start))
}

/// Parses the header. Metadata that is not text, which other programs write, is left out.
fn parse(text: &[u8]) -> Result<Metadata, serde_json::Error> {
    let first = match serde_json::from_slice(text) {
        Ok(header) => return Ok(header),
        Err(error) => error,
    };
    let mut header: Map<String, Value> = serde_json::from_slice(text)?;
    match header.get_mut("__metadata__") {
        Some(Value::Object(metadata)) => metadata.retain(|_, value| value.is_string()),
        _ => return Err(first),
    }
    serde_json::from_value(Value::Object(header))
}

fn shape(info: &TensorInfo) -> Vec<i64> {
    info.shape.iter().map(|&axis| i64::try_from(axis).unwrap_or(-1)).collect()
}

fn tensor(
    source: &mut dyn Source,
    start: u64,
    info: &TensorInfo,
    kind: Kind,
) -> Result<Tensor, Fault> {
    let (from, to) = info.data_offsets;
    source.seek(SeekFrom::Start(start + from as u64))?;
    kinds::read_tensor(source, to - from, &shape(info), kind)
}

/// Writes a file with these weights. Tensors are copied one at a time, so that no second copy of all
/// weights is in memory. Equal weights give equal bytes.
pub(crate) fn write(out: &mut dyn Write, weights: &StateDict) -> Result<(), Fault> {
    let mut entries = Vec::with_capacity(weights.tensors.len());
    for (key, tensor) in &weights.tensors {
        let stored = tensor.f_kind().map_err(Fault::from).and_then(kinds::stored);
        let (dtype, _) = stored.map_err(|fault| fault.about(key))?;
        entries.push((dtype, key.as_str(), tensor));
    }
    // Widest dtypes first, like the reference implementation, so that every value is aligned.
    entries.sort_by(|(a, left, _), (b, right, _)| b.cmp(a).then(left.cmp(right)));

    let header = describe(weights, &entries)?;
    let mut out = BufWriter::with_capacity(1 << 20, out);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (_, key, tensor) in entries {
        let bytes = kinds::bytes(tensor).map_err(|error| Fault::from(error).about(key))?;
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}

/// The header: JSON, padded with spaces to a multiple of 8 bytes.
fn describe(weights: &StateDict, entries: &[(Dtype, &str, &Tensor)]) -> Result<Vec<u8>, Fault> {
    let mut header = Map::new();
    if !weights.metadata.is_empty() {
        header.insert("__metadata__".to_string(), json!(weights.metadata));
    }
    let mut start = 0;
    for (dtype, key, tensor) in entries {
        let end = start + tensor.numel() * tensor.f_kind()?.elt_size_in_bytes();
        let info = json!({ "dtype": dtype, "shape": tensor.size(), "data_offsets": [start, end] });
        header.insert(key.to_string(), info);
        start = end;
    }
    let mut bytes =
        serde_json::to_vec(&header).map_err(|error| Fault::Problem(shown(&error.to_string())))?;
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

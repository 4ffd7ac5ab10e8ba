//! safetensors in and out, one tensor at a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, SeekFrom};

use inkdrop_torch::tch::Tensor;
use safetensors::tensor::{Dtype, Metadata, TensorInfo, View};

use crate::error::{Fault, shown};
use crate::source::{EXPECTED, Source};
use crate::{Format, Weights, kinds};

/// Reads a file of this length.
pub(crate) fn read(source: &mut dyn Source, len: u64) -> Result<Weights, Fault> {
    let (header, start) = header(source, len)?;
    let mut tensors = BTreeMap::new();
    for (key, info) in header.tensors() {
        let tensor = tensor(source, start, info).map_err(|fault| fault.about(&key))?;
        tensors.insert(key, tensor);
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Weights { tensors, metadata, format: Format::Safetensors, skipped: Vec::new() })
}

/// The header, and where the values start.
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
    let header: Metadata =
        serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    let (values, start) = (header.data_len() as u64, 8 + size);
    if values != len - start {
        return Err(broken(format!("{} bytes of values, expected {values}", len - start)));
    }
    Ok((header, start))
}

fn tensor(source: &mut dyn Source, start: u64, info: &TensorInfo) -> Result<Tensor, Fault> {
    let kind = kinds::of_safetensors(info.dtype).ok_or_else(|| {
        Fault::Problem(format!("it has type {}, which is not supported", info.dtype))
    })?;
    let shape: Vec<i64> =
        info.shape.iter().map(|&axis| i64::try_from(axis).unwrap_or(-1)).collect();
    let (from, to) = info.data_offsets;
    source.seek(SeekFrom::Start(start + from as u64))?;
    let mut values = vec![0; to - from];
    source.read_exact(&mut values)?;
    kinds::tensor(&values, &shape, kind)
}

/// The bytes of a file with these weights.
pub(crate) fn write(weights: &Weights) -> Result<Vec<u8>, Fault> {
    let mut values = Vec::with_capacity(weights.tensors.len());
    for (key, tensor) in &weights.tensors {
        values.push((key.as_str(), Values::copy(tensor).map_err(|fault| fault.about(key))?));
    }
    let metadata: HashMap<_, _> = weights.metadata.clone().into_iter().collect();
    safetensors::serialize(values, Some(metadata))
        .map_err(|error| Fault::Problem(shown(&error.to_string())))
}

/// A tensor's contents as safetensors wants them.
struct Values {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Values {
    fn copy(tensor: &Tensor) -> Result<Self, Fault> {
        let (dtype, _) = kinds::stored(tensor.f_kind()?)?;
        let shape = tensor.size().iter().map(|&axis| axis as usize).collect();
        Ok(Self { dtype, shape, data: kinds::bytes(tensor)? })
    }
}

impl View for Values {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

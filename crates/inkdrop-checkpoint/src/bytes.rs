//! One tensor as bytes of a file, and its type's two names.

use std::borrow::Cow;

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use safetensors::tensor::{Dtype, View};

use crate::CheckpointError;

/// Stored types and tensor kinds.
const KINDS: [(Dtype, Kind); 10] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::I16, Kind::Int16),
    (Dtype::I8, Kind::Int8),
    (Dtype::U8, Kind::Uint8),
    (Dtype::BOOL, Kind::Bool),
];

/// The tensor kind of a stored type; `None` for types that tensors do not have.
pub(crate) fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(d, _)| *d == dtype).map(|(_, kind)| *kind)
}

/// A tensor's contents as safetensors wants them: contiguous, on the CPU.
pub(crate) struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Bytes {
    /// Copies a tensor to the CPU, contiguous.
    pub(crate) fn copy(tensor: &Tensor) -> Result<Self, CheckpointError> {
        let _guard = no_grad_guard();
        let kind = tensor.f_kind().map_err(TorchError::from)?;
        let (dtype, _) =
            *KINDS.iter().find(|(_, k)| *k == kind).ok_or_else(|| CheckpointError::Format {
                name: "the weights".to_string(),
                problem: format!("{kind:?} tensors cannot be stored"),
            })?;
        let flat = tensor
            .f_detach()
            .and_then(|t| t.f_to_device(Device::Cpu))
            .and_then(|t| t.f_contiguous());
        let flat = flat.map_err(TorchError::from)?;
        let mut data = vec![0u8; flat.numel() * kind.elt_size_in_bytes()];
        flat.f_copy_data_u8(&mut data, flat.numel()).map_err(TorchError::from)?;
        let shape = flat.size().iter().map(|&axis| axis as usize).collect();
        Ok(Self { dtype, shape, data })
    }
}

impl View for Bytes {
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

//! Classes and functions that pickles of weights name, and what each one creates.

use super::Writer;
use super::forbidden::refuse_code;
use crate::error::Fault;
use crate::kinds::{self, Dtype};

/// A class or function that creates part of a state dict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    /// A dictionary, ordered or with a default.
    Dict,
    /// `_rebuild_tensor`: storage, offset, size and stride.
    Tensor,
    /// `_rebuild_tensor_v2`, with hooks.
    TensorV2,
    /// `_rebuild_tensor_v3`, with a dtype.
    TensorV3,
    /// `_rebuild_parameter`: the tensor comes first.
    Parameter,
    /// `_rebuild_from_type_v2`: a function, a class, the function's arguments and a state.
    FromType,
    /// `_load_from_bytes`: a storage as the bytes of a torch.save stream.
    StorageOfBytes,
    /// `_reconstruct_persistent_obj`: a class with its program text, its name and the object's state.
    Persistent,
    /// A function that creates a tensor of an unsupported layout; its name in words.
    Unsupported(&'static str),
    /// A class of tensors.
    Class,
    /// `torch.Size`, a tuple.
    Size,
    /// A storage class; `None` if it is untyped.
    Storage(Option<Dtype>),
    /// A dtype such as `torch.float32`.
    Type(Dtype),
}

impl Global {
    /// Looks up a name; `None` for a name that creates an inert value.
    ///
    /// # Errors
    /// The name is one that runs code.
    pub(super) fn find(module: &str, name: &str, writer: Writer) -> Result<Option<Self>, Fault> {
        if writer == Writer::PickleDump && (module, name) == ("torch.storage", "_load_from_bytes") {
            return Ok(Some(Self::StorageOfBytes));
        }
        refuse_code(module, name)?;
        Ok(match (module, name) {
            ("collections", "OrderedDict" | "defaultdict" | "Counter") => Some(Self::Dict),
            ("torch._utils", name) => rebuild(name),
            ("torch._tensor", "_rebuild_from_type_v2") => Some(Self::FromType),
            ("torch" | "torch._tensor", "Tensor")
            | ("torch.nn.parameter" | "torch.nn", "Parameter" | "Buffer") => Some(Self::Class),
            ("torch", "Size") => Some(Self::Size),
            ("torch_utils.persistence", "_reconstruct_persistent_obj") => Some(Self::Persistent),
            ("torch" | "torch.cuda" | "torch.storage", name) => torch(name),
            _ => None,
        })
    }
}

fn rebuild(name: &str) -> Option<Global> {
    Some(match name {
        "_rebuild_tensor" => Global::Tensor,
        "_rebuild_tensor_v2" => Global::TensorV2,
        "_rebuild_tensor_v3" => Global::TensorV3,
        "_rebuild_parameter" | "_rebuild_parameter_with_state" => Global::Parameter,
        "_rebuild_qtensor" => Global::Unsupported("quantized"),
        "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => Global::Unsupported("sparse"),
        "_rebuild_meta_tensor_no_storage" => Global::Unsupported("meta"),
        "_rebuild_nested_tensor" => Global::Unsupported("nested"),
        name if name.starts_with("_rebuild") => Global::Unsupported("of an unknown layout"),
        _ => return None,
    })
}

fn torch(name: &str) -> Option<Global> {
    match name {
        "UntypedStorage" | "_UntypedStorage" | "TypedStorage" | "_TypedStorage" => {
            Some(Global::Storage(None))
        }
        _ => match kinds::of_storage(name) {
            Some(dtype) => Some(Global::Storage(Some(dtype))),
            None => kinds::of_torch(name).map(Global::Type),
        },
    }
}

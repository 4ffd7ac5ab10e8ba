//! Allow-list of the classes and functions in pickles of weights.

use inkdrop_torch::tch::Kind;

use crate::error::{Fault, shown};
use crate::kinds;

/// A class or function of the allow-list.
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
    /// A class of tensors.
    Class,
    /// `torch.Size`, a tuple.
    Size,
    /// A storage class; `None` if it is untyped.
    Storage(Option<Kind>),
    /// A dtype such as `torch.float32`.
    Type(Kind),
    /// A class whose objects are ignored.
    Inert,
}

impl Global {
    /// Looks up a name; returns an error if it is not on the list.
    pub(super) fn find(module: &str, name: &str) -> Result<Self, Fault> {
        let found = match (module, name) {
            ("collections", "OrderedDict" | "defaultdict" | "Counter") => Some(Self::Dict),
            ("torch._utils", name) => rebuild(name),
            ("torch._tensor", "_rebuild_from_type_v2") => Some(Self::FromType),
            ("torch" | "torch._tensor", "Tensor")
            | ("torch.nn.parameter" | "torch.nn", "Parameter" | "Buffer") => Some(Self::Class),
            ("torch", "Size") => Some(Self::Size),
            ("torch" | "torch.cuda" | "torch.storage", name) => torch(name),
            _ if inert(module, name) => Some(Self::Inert),
            _ => None,
        };
        found.ok_or_else(|| refusal(module, name))
    }
}

fn rebuild(name: &str) -> Option<Global> {
    match name {
        "_rebuild_tensor" => Some(Global::Tensor),
        "_rebuild_tensor_v2" => Some(Global::TensorV2),
        "_rebuild_tensor_v3" => Some(Global::TensorV3),
        "_rebuild_parameter" | "_rebuild_parameter_with_state" => Some(Global::Parameter),
        _ => None,
    }
}

fn torch(name: &str) -> Option<Global> {
    match name {
        "device" => Some(Global::Inert),
        "UntypedStorage" | "_UntypedStorage" | "TypedStorage" | "_TypedStorage" => {
            Some(Global::Storage(None))
        }
        _ => match kinds::of_storage(name) {
            Some(kind) => Some(Global::Storage(Some(kind))),
            None => kinds::of_torch(name).map(Global::Type),
        },
    }
}

/// Values besides weights: paths, arguments, NumPy numbers.
fn inert(module: &str, name: &str) -> bool {
    let numbers = ["numpy", "numpy.core.multiarray", "numpy._core.multiarray"];
    match module {
        "builtins" | "__builtin__" => {
            ["set", "frozenset", "bytearray", "complex", "range", "slice"].contains(&name)
        }
        "_codecs" => name == "encode",
        "argparse" => name == "Namespace",
        "types" => name == "SimpleNamespace",
        "pathlib" | "pathlib._local" => {
            ["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"].contains(&name)
        }
        _ => {
            (numbers.contains(&module) && ["dtype", "scalar"].contains(&name))
                || (module == "numpy.dtypes" && name.ends_with("DType"))
        }
    }
}

/// The error for a name that is not on the list.
fn refusal(module: &str, name: &str) -> Fault {
    let full = shown(&format!("{module}.{name}"));
    let torch = module == "torch" || module.starts_with("torch.");
    let what = if torch && (name.contains("sparse") || name.contains("layout")) {
        "contains a sparse tensor; call .to_dense() before saving"
    } else if torch && (name.contains("qtensor") || name.starts_with('Q') || name.starts_with("qu"))
    {
        "contains a quantized tensor; call .dequantize() before saving"
    } else if torch && name.contains("meta") {
        "contains a tensor on the meta device, which has no values; save a loaded model"
    } else if module == "torch" || name.starts_with("_rebuild") {
        "contains a kind of tensor or value that is not supported; save plain tensors"
    } else {
        return Fault::Problem(format!(
            "the file calls `{full}`, which is not among what a file of weights may contain; it \
             was not executed. Save the state_dict alone: torch.save(model.state_dict(), path)"
        ));
    };
    Fault::Problem(format!("the file {what} (it calls `{full}`, which was not executed)"))
}

//! File formats of weights.

use std::fmt;

/// The format that weights were read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// A safetensors file.
    Safetensors,
    /// torch.save since PyTorch 1.6: a zip archive with a pickle.
    TorchZip,
    /// torch.save before PyTorch 1.6: pickles and raw storages.
    TorchLegacy,
    /// pickle.dump: one pickle with its storages inside, such as a network snapshot of EDM.
    Pickle,
    /// NumPy arrays in a zip archive.
    Npz,
    /// Not a file: weights of a network in memory.
    #[default]
    Memory,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch (torch.save, zip)",
            Self::TorchLegacy => "PyTorch (torch.save, before 1.6)",
            Self::Pickle => "Python pickle (pickle.dump)",
            Self::Npz => "NumPy (npz)",
            Self::Memory => "in memory",
        })
    }
}

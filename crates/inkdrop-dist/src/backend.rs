//! The library of the collectives: Gloo on CPUs, NCCL on GPUs.

use std::fmt;
use std::str::FromStr;

use crate::DistError;

/// The library of the collectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// NCCL for a network on a GPU, Gloo for one on the CPU.
    #[default]
    Auto,
    /// Gloo, part of libtorch: CPUs.
    Gloo,
    /// NCCL, opened at run time: GPUs.
    Nccl,
}

impl FromStr for Backend {
    type Err = DistError;

    fn from_str(text: &str) -> Result<Self, DistError> {
        match text {
            "auto" => Ok(Self::Auto),
            "gloo" => Ok(Self::Gloo),
            "nccl" => Ok(Self::Nccl),
            other => Err(DistError::Backend(other.to_string())),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Gloo => "gloo",
            Self::Nccl => "nccl",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn backends_have_the_names_of_torch_distributed() {
        for backend in [Backend::Auto, Backend::Gloo, Backend::Nccl] {
            assert_eq!(backend.to_string().parse::<Backend>().unwrap(), backend);
        }
        let error = "mpi".parse::<Backend>().unwrap_err().to_string();
        assert!(error.contains("mpi") && error.contains("nccl"), "{error}");
    }
}

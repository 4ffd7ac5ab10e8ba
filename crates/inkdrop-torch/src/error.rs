//! libtorch's errors, reduced to their first line.

use tch::TchError;

/// An error from libtorch. `Display` shows its first line; [`TorchError::detail`] has the rest.
#[derive(Debug, thiserror::Error)]
#[error("{summary}")]
pub struct TorchError {
    summary: String,
    detail: String,
}

/// The result of an operation on tensors.
pub type Result<T> = std::result::Result<T, TorchError>;

impl TorchError {
    /// An error of this crate, besides those of libtorch.
    pub fn message(text: String) -> Self {
        Self { summary: text.clone(), detail: text }
    }

    /// An error from a whole message of libtorch's.
    pub(crate) fn full(detail: String) -> Self {
        let summary = detail.lines().next().unwrap_or("unknown error").trim().to_string();
        Self { summary, detail }
    }

    /// The whole message of libtorch, C++ frames included.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<TchError> for TorchError {
    fn from(error: TchError) -> Self {
        Self::full(match error {
            TchError::Torch(text) => text,
            other => other.to_string(),
        })
    }
}

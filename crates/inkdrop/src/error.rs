//! The error of the library.

use std::error::Error as StdError;
use std::fmt;

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this library: its own, or that of a lower crate.
///
/// Display is one line; [`Error::report`] and Debug add the causes, so that a `main` that returns
/// [`Result`] prints all of them.
#[derive(thiserror::Error)]
pub enum Error {
    /// A setting, a file or data is not as expected.
    #[error("{0}")]
    Invalid(String),
    /// Another error, with the file or setting that it belongs to.
    #[error("{context}")]
    Context {
        /// The file or setting.
        context: String,
        /// The error.
        source: Box<Error>,
    },
    /// A checkpoint cannot be read or written, or does not fit the network.
    #[error(transparent)]
    Checkpoint(#[from] inkdrop_checkpoint::CheckpointError),
    /// Images or labels cannot be read or written.
    #[error(transparent)]
    Data(#[from] inkdrop_data::DataError),
    /// The device is not available.
    #[error(transparent)]
    Device(#[from] inkdrop_torch::DeviceError),
    /// An evaluation failed.
    #[error(transparent)]
    Eval(#[from] inkdrop_eval::EvalError),
    /// The arguments of a PyTorch network have no counterpart here.
    #[error(transparent)]
    Arguments(#[from] inkdrop_unet::ArgumentsError),
    /// A network config is invalid.
    #[error(transparent)]
    Config(#[from] inkdrop_unet::ConfigError),
    /// A network cannot be built.
    #[error(transparent)]
    Build(#[from] inkdrop_unet::BuildError),
    /// A network cannot take its inputs.
    #[error(transparent)]
    Network(#[from] inkdrop_nn::NetworkError),
    /// The diffusion process failed.
    #[error(transparent)]
    Process(#[from] inkdrop_process::ProcessError),
    /// A report cannot be written.
    #[error(transparent)]
    Report(#[from] inkdrop_report::ReportError),
    /// Sampling failed.
    #[error(transparent)]
    Sampler(#[from] inkdrop_sampler::SamplerError),
    /// A noise schedule is invalid.
    #[error(transparent)]
    Schedule(#[from] inkdrop_schedule::ScheduleError),
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] inkdrop_torch::TorchError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] inkdrop_train::TrainError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Invalid JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Invalid TOML.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A config has no form in TOML.
    #[error(transparent)]
    ToToml(#[from] toml::ser::Error),
}

impl Error {
    /// The error and its causes in one line.
    pub fn report(&self) -> String {
        report(self)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report())
    }
}

impl From<inkdrop_torch::tch::TchError> for Error {
    fn from(error: inkdrop_torch::tch::TchError) -> Self {
        Self::Torch(error.into())
    }
}

/// An error and its causes in one line, without causes that the text already contains.
fn report(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).fold(String::new(), |text, cause| {
        match (text.is_empty(), text.contains(&cause)) {
            (true, _) => cause,
            (false, true) => text,
            (false, false) => format!("{text}: {cause}"),
        }
    })
}

/// Adds the file or setting that an error belongs to.
pub(crate) trait Context<T> {
    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T>;

    fn context(self, context: impl fmt::Display) -> Result<T>
    where
        Self: Sized,
    {
        self.with_context(|| context)
    }
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| Error::Context {
            context: context().to_string(),
            source: Box::new(error.into()),
        })
    }
}

impl<T> Context<T> for Option<T> {
    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.ok_or_else(|| Error::Invalid(context().to_string()))
    }
}

/// [`Error::Invalid`] with a formatted text.
macro_rules! invalid {
    ($($text:tt)*) => { $crate::Error::Invalid(format!($($text)*)) };
}

/// Returns [`Error::Invalid`].
macro_rules! bail {
    ($($text:tt)*) => { return Err($crate::error::invalid!($($text)*)) };
}

/// Returns [`Error::Invalid`] if a condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            $crate::error::bail!($($text)*);
        }
    };
}

pub(crate) use {bail, ensure, invalid};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_all_causes_once() {
        let inner: Result<()> = Err(invalid!("steps 0: expected 1 or more"));
        let error = inner.context("train.steps").context("x.toml").expect_err("an error");
        let text = "x.toml: train.steps: steps 0: expected 1 or more";
        assert_eq!((error.to_string().as_str(), error.report().as_str()), ("x.toml", text));
        assert_eq!(format!("{error:?}"), text);
        let twice: Result<()> = Err(invalid!("no file"));
        let twice = twice.context("a: no file").expect_err("an error");
        assert_eq!(twice.report(), "a: no file");
    }
}

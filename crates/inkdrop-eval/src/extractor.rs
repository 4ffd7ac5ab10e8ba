//! Feature extractor from a TorchScript file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{CModule, Device, IValue, Kind, Tensor, no_grad_guard};

use crate::EvalError;

/// Range of the pixels that an extractor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExtractorInput {
    /// Bytes, 0 to 255, for the Inception networks of torch-fidelity and NVIDIA; `uint8`.
    #[default]
    Uint8,
    /// f32 in [0, 1]; `unit`.
    Unit,
    /// f32 in [−1, 1]; `signed`.
    Signed,
}

impl FromStr for ExtractorInput {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        match text {
            "uint8" => Ok(Self::Uint8),
            "unit" => Ok(Self::Unit),
            "signed" => Ok(Self::Signed),
            _ => Err(EvalError::Setting {
                field: "extractor input",
                given: text.to_string(),
                expected: "uint8 (0 to 255), unit (0 to 1) or signed (-1 to 1)",
            }),
        }
    }
}

/// Configuration of the call of an extractor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtractorConfig {
    /// Range of the pixels.
    pub input: ExtractorInput,
    /// Boolean arguments after the images, in the order of its `forward`. NVIDIA's
    /// `inception-2015-12-05.pt` needs one `true`, for `return_features`.
    pub switches: Vec<bool>,
}

/// TorchScript module that computes features of images.
///
/// `forward(images [B, C, H, W], switches…)` must return [B, D] or [B, D, 1, 1], or a tuple or list
/// whose first entry has that shape.
#[derive(Debug)]
pub struct Extractor {
    module: CModule,
    path: PathBuf,
    config: ExtractorConfig,
    device: Device,
}

impl Extractor {
    /// Loads a file of `torch.jit.save` for inference.
    ///
    /// A TorchScript file contains code, which is executed. Use only files that you trust.
    ///
    /// # Errors
    /// The file does not exist, or it is not a TorchScript module.
    pub fn open(
        path: impl AsRef<Path>,
        config: ExtractorConfig,
        device: Device,
    ) -> Result<Self, EvalError> {
        let path = path.as_ref().to_path_buf();
        let failed = |problem| EvalError::Extractor { path: path.clone(), problem };
        std::fs::File::open(&path).map_err(|error| {
            failed(format!("cannot read the file: {error}; expected a file of torch.jit.save"))
        })?;
        let mut module = CModule::load_on_device(&path, device).map_err(|error| {
            let error = TorchError::from(error);
            failed(format!(
                "not a TorchScript module ({error}); a state_dict is not enough: save torch.jit.script(module) or torch.jit.trace(module, images) with torch.jit.save"
            ))
        })?;
        module.f_set_eval()?;
        Ok(Self { module, path, config, device })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Computes the features of a batch.
    ///
    /// # Shapes
    /// - images: [B, C, H, W] in uint8, 0 to 255, B > 0
    /// - returns [B, D] in f32 on the CPU
    ///
    /// # Errors
    /// The module fails, or its output has another shape or values that are not finite.
    pub fn features(&self, images: &Tensor) -> Result<Tensor, EvalError> {
        let _guard = no_grad_guard();
        let shape = images.size();
        if images.kind() != Kind::Uint8 || shape.len() != 4 || shape[0] == 0 {
            let (what, expected) = ("the batch of the extractor", "[B, C, H, W] in uint8");
            return Err(EvalError::Shape { what, given: shape, expected });
        }
        let mut arguments = vec![IValue::Tensor(self.input(images)?)];
        arguments.extend(self.config.switches.iter().copied().map(IValue::Bool));
        let output = self.module.forward_is(&arguments).map_err(|error| {
            let error = TorchError::from(error);
            self.failed(format!(
                "failed on images of shape {shape:?}: {}; it was called with {:?} images and {} switches",
                python_error(&error),
                self.config.input,
                self.config.switches.len()
            ))
        })?;
        let features = self.flat(first(output), shape[0])?;
        let finite = features.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
        if finite {
            Ok(features)
        } else {
            Err(self.failed(
                "returned NaN or infinity: check the range of its pixels (--extractor-input)"
                    .into(),
            ))
        }
    }

    fn input(&self, images: &Tensor) -> Result<Tensor, EvalError> {
        let images = images.f_to_device(self.device)?;
        let numbers = || images.f_to_kind(Kind::Float);
        Ok(match self.config.input {
            ExtractorInput::Uint8 => images,
            ExtractorInput::Unit => numbers()?.f_div_scalar(255.0)?,
            ExtractorInput::Signed => numbers()?.f_div_scalar(127.5)?.f_sub_scalar(1.0)?,
        })
    }

    /// Checks the output and reshapes it to [B, D].
    fn flat(&self, output: Option<Tensor>, batch: i64) -> Result<Tensor, EvalError> {
        let expected = "expected [B, D] or [B, D, 1, 1], or a tuple whose first entry is that";
        let Some(features) = output else {
            return Err(self.failed(format!("returned no tensor: {expected}")));
        };
        match *features.size().as_slice() {
            [rows, width] | [rows, width, 1, 1] if rows == batch && width > 0 => {
                let features = features.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
                Ok(features.f_reshape([rows, width])?)
            }
            ref other => Err(self.failed(format!(
                "returned shape {other:?} for a batch of {batch}: {expected} (average over height and width in the module)"
            ))),
        }
    }

    fn failed(&self, problem: String) -> EvalError {
        EvalError::Extractor { path: self.path.clone(), problem }
    }
}

/// The first tensor of an output.
fn first(output: IValue) -> Option<Tensor> {
    match output {
        IValue::Tensor(tensor) => Some(tensor),
        IValue::Tuple(entries) | IValue::GenericList(entries) => {
            entries.into_iter().next().and_then(first)
        }
        IValue::TensorList(tensors) => tensors.into_iter().next(),
        _ => None,
    }
}

/// The Python error at the end of a TorchScript traceback.
fn python_error(error: &TorchError) -> String {
    let lines = error.detail().lines().map(str::trim);
    let mut errors =
        lines.filter(|line| line.starts_with("RuntimeError:") || line.contains("Error: "));
    errors.next_back().map_or_else(|| error.to_string(), str::to_string)
}

//! A feature extractor that the user brings: a TorchScript file.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{CModule, Device, IValue, Kind, Tensor, no_grad_guard};

use crate::EvalError;

/// What numbers an extractor takes for pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExtractorInput {
    /// Bytes, 0 to 255, as torch-fidelity's and NVIDIA's Inception networks take them; `uint8`.
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
                field: "the extractor's input",
                given: text.to_string(),
                expected: "uint8 (0 to 255), unit (0 to 1) or signed (-1 to 1)",
            }),
        }
    }
}

/// How an extractor is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtractorConfig {
    /// What it takes for pixels.
    pub input: ExtractorInput,
    /// Switches that it is given after the images, in the order of its `forward`. NVIDIA's
    /// `inception-2015-12-05.pt` needs one `true`, its `return_features`: TorchScript takes
    /// arguments by place as well as by name.
    pub switches: Vec<bool>,
}

/// A TorchScript module from images to features.
///
/// `forward(images [B, C, H, W], switches…)` must give [B, D] or [B, D, 1, 1], or a tuple or list
/// whose first entry is that.
#[derive(Debug)]
pub struct Extractor {
    module: CModule,
    path: PathBuf,
    config: ExtractorConfig,
    device: Device,
}

impl Extractor {
    /// Loads a file that `torch.jit.save` wrote, for inference.
    ///
    /// A TorchScript file holds a program, which the calls run: take it from people you trust.
    ///
    /// # Errors
    /// There is no such file, or it is no TorchScript module.
    pub fn open(
        path: impl AsRef<Path>,
        config: ExtractorConfig,
        device: Device,
    ) -> Result<Self, EvalError> {
        let path = path.as_ref().to_path_buf();
        let failed = |problem| EvalError::Extractor { path: path.clone(), problem };
        std::fs::File::open(&path).map_err(|error| {
            failed(format!("cannot be read: {error}; expected a file of torch.jit.save"))
        })?;
        let mut module = CModule::load_on_device(&path, device).map_err(|error| {
            let said = TorchError::from(error);
            failed(format!(
                "no TorchScript module ({said}); weights alone are not enough: save torch.jit.script(module) or torch.jit.trace(module, images) with torch.jit.save"
            ))
        })?;
        module.f_set_eval()?;
        Ok(Self { module, path, config, device })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The features of a batch.
    ///
    /// # Shapes
    /// - images: [B, C, H, W] in uint8, 0 to 255, B > 0
    /// - returns [B, D] in f32 on the CPU
    ///
    /// # Errors
    /// The module fails, or gives something else, or numbers that are not finite.
    pub fn features(&self, images: &Tensor) -> Result<Tensor, EvalError> {
        let _guard = no_grad_guard();
        let shape = images.size();
        if images.kind() != Kind::Uint8 || shape.len() != 4 || shape[0] == 0 {
            let (what, expected) = ("a batch for an extractor", "[B, C, H, W] in uint8");
            return Err(EvalError::Shape { what, given: shape, expected });
        }
        let mut arguments = vec![IValue::Tensor(self.input(images)?)];
        arguments.extend(self.config.switches.iter().copied().map(IValue::Bool));
        let answer = self.module.forward_is(&arguments).map_err(|error| {
            let said = TorchError::from(error);
            self.failed(format!(
                "failed on images of shape {shape:?}: {}; does it take such images ({:?}), and {} switches after them?",
                last_words(&said),
                self.config.input,
                self.config.switches.len()
            ))
        })?;
        let features = self.flat(first(answer), shape[0])?;
        let finite = features.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
        if finite {
            Ok(features)
        } else {
            Err(self.failed("gave NaN or infinity: does it take its pixels in that range?".into()))
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

    /// [B, D] of what came back.
    fn flat(&self, answer: Option<Tensor>, batch: i64) -> Result<Tensor, EvalError> {
        let expected = "expected [B, D] or [B, D, 1, 1], or a tuple that begins with it";
        let Some(features) = answer else {
            return Err(self.failed(format!("gave no tensor: {expected}")));
        };
        match *features.size().as_slice() {
            [rows, width] | [rows, width, 1, 1] if rows == batch && width > 0 => {
                let features = features.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
                Ok(features.f_reshape([rows, width])?)
            }
            ref other => Err(self.failed(format!(
                "gave shape {other:?} for a batch of {batch}: {expected} (pool over what is left of height and width)"
            ))),
        }
    }

    fn failed(&self, problem: String) -> EvalError {
        EvalError::Extractor { path: self.path.clone(), problem }
    }
}

/// The tensor that an answer begins with.
fn first(answer: IValue) -> Option<Tensor> {
    match answer {
        IValue::Tensor(tensor) => Some(tensor),
        IValue::Tuple(entries) | IValue::GenericList(entries) => {
            entries.into_iter().next().and_then(first)
        }
        IValue::TensorList(tensors) => tensors.into_iter().next(),
        _ => None,
    }
}

/// What a TorchScript program said at last; a traceback stands before it.
fn last_words(error: &TorchError) -> String {
    let lines = error.detail().lines().map(str::trim);
    let mut said =
        lines.filter(|line| line.starts_with("RuntimeError:") || line.contains("Error: "));
    said.next_back().map_or_else(|| error.to_string(), str::to_string)
}

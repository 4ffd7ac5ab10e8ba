//! Opening a pipeline with options.

use std::fmt;
use std::path::{Path, PathBuf};

use inkdrop_torch::DeviceChoice;
use inkdrop_unet::ImageSize;

use super::Pipeline;
use crate::Result;
use crate::model::{BuildOptions, Model, ModelOverrides, precision};

/// Opens a model with options; made by [`Pipeline::builder`].
///
/// ```no_run
/// use inkdrop::Pipeline;
///
/// let pipeline = Pipeline::builder("ema_0.9999_500000.pt")
///     .config("improved_cifar10")
///     .process("cosine:4000:learned-range")
///     .device("auto")
///     .build()?;
/// # Ok::<(), inkdrop::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is opened before `build`"]
pub struct PipelineBuilder {
    path: PathBuf,
    overrides: ModelOverrides,
    device: String,
    precision: String,
    size: Option<ImageSize>,
    draw_shortcut: Option<u64>,
    upscaler: Option<bool>,
}

impl PipelineBuilder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            overrides: ModelOverrides::default(),
            device: "cpu".to_string(),
            precision: "f32".to_string(),
            size: None,
            draw_shortcut: None,
            upscaler: None,
        }
    }

    /// Network config of a file without one: a preset such as `improved_cifar10`, or a .toml or .json
    /// file with the keys of inkdrop or of the PyTorch program.
    pub fn config(mut self, preset_or_file: impl Into<String>) -> Self {
        self.overrides.config = Some(preset_or_file.into());
        self
    }

    /// Network config as MODEL_FLAGS of improved-diffusion or guided-diffusion.
    pub fn flags(mut self, flags: impl Into<String>) -> Self {
        self.overrides.flags = Some(flags.into());
        self
    }

    /// One field of the network config, such as `("heads", 4)`.
    pub fn set(mut self, field: &str, value: impl fmt::Display) -> Self {
        self.overrides.settings.push(format!("{field}={value}"));
        self
    }

    /// Accepts default values for fields that the shapes of the weights do not determine.
    pub fn assume(mut self, assume: bool) -> Self {
        self.overrides.assume = assume;
        self
    }

    /// Network of a file with several, such as `model` or `ema_model`.
    pub fn part(mut self, name: impl Into<String>) -> Self {
        self.overrides.part = Some(name.into());
        self
    }

    /// Diffusion process of a file without one, such as `cosine:4000:learned-range`; see
    /// [`processes::parse`](crate::model::processes::parse).
    pub fn process(mut self, process: impl Into<String>) -> Self {
        self.overrides.process = Some(process.into());
        self
    }

    /// All options of a file without metadata at once.
    pub fn overrides(mut self, overrides: ModelOverrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Device: `cpu` (the default), `cuda`, `cuda:N`, or `auto` for a GPU if there is one.
    pub fn device(mut self, device: impl ToString) -> Self {
        self.device = device.to_string();
        self
    }

    /// Mixed precision: `f32` (the default), or `bf16` or `f16` for convolutions.
    pub fn precision(mut self, precision: impl Into<String>) -> Self {
        self.precision = precision.into();
        self
    }

    /// Size of the images; the default is that of the model.
    pub fn size(mut self, height: i64, width: i64) -> Self {
        self.size = Some(ImageSize { height, width });
        self
    }

    /// Initialises the layer init_conv.shortcut, which checkpoints of the sprites notebook lack.
    pub fn draw_shortcut(mut self, seed: u64) -> Self {
        self.draw_shortcut = Some(seed);
        self
    }

    /// Expects a super-resolution network (true), or a network that generates images from noise.
    pub fn upscaler(mut self, expected: bool) -> Self {
        self.upscaler = Some(expected);
        self
    }

    /// Opens the model and loads its network.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, its network or process is unknown, the weights do not
    /// fit the network, or the device is not available.
    pub fn build(&self) -> Result<Pipeline> {
        let mut model = Model::open_if(&self.path, &self.overrides, self.upscaler)?;
        if let Some(size) = self.size {
            model.metadata.model.resize(size)?;
            model.metadata.model.plan()?;
        }
        let options = BuildOptions {
            device: self.device.parse::<DeviceChoice>()?.resolve()?,
            torso: precision(&self.precision)?,
            draw_shortcut: self.draw_shortcut,
        };
        let network = model.build(&options)?;
        let process = model.metadata.process.build(options.device)?;
        let pipeline = Pipeline::new(model.metadata.clone(), Some(network), process);
        Ok(Pipeline { name: model.name.clone(), model: Some(model), ..pipeline })
    }
}

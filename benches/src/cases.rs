//! The networks that a GPU is checked and timed with: one of each family, with random weights and no
//! layer at zero.

use inkdrop_nn::{ClassIds, Conditioning, Network, TrainableNetwork};
use inkdrop_process::{NetworkDenoiser, Process, ProcessConfig};
use inkdrop_sampler::ddim;
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{DefaultGenerator, DeviceChoice, NoiseSource, PerImageNoise, TorchNoise};
use inkdrop_unet::{ImageSize, ModelConfig};

use crate::{Result, process_of, training_options};

const SEED: i64 = 7;

/// The presets of the four families.
const NAMES: [&str; 4] = ["sprites", "ddpm_cifar10", "improved_cifar10", "unet2d_cifar10"];

/// A network and the process that it serves.
#[derive(Debug)]
pub struct Case {
    /// Name of the preset.
    pub name: &'static str,
    /// The network.
    pub config: ModelConfig,
    process: ProcessConfig,
}

/// Inputs of a forward pass on a device.
#[derive(Debug)]
pub struct Given {
    /// [B, C, H, W]
    pub x: Tensor,
    /// `[B]`, in the network's unit.
    pub t: Tensor,
    /// Contexts or classes.
    pub conditioning: Conditioning,
}

/// All cases. With `quick` they are small, and conditional if the family supports classes.
pub fn all(quick: bool) -> Vec<Case> {
    let case = |name| {
        let mut config = ModelConfig::preset(name)?;
        if let Some((dropout, _)) = training_options(&mut config) {
            // Its random numbers depend on the device.
            *dropout = 0.0;
        }
        if quick {
            small(&mut config);
        }
        let process = process_of(&config);
        Some(Case { name, config, process })
    };
    NAMES.into_iter().filter_map(case).collect()
}

fn small(config: &mut ModelConfig) {
    let size = ImageSize::square(16);
    match config {
        ModelConfig::Context(config) => config.features = 16,
        ModelConfig::Ddpm(config) => {
            (config.size, config.features, config.blocks) = (size, 32, 1);
            config.classes = Some(10);
        }
        ModelConfig::Dit(config) => (config.size, config.depth) = (16, 2),
        ModelConfig::Edm(config) => (config.size, config.features, config.blocks) = (16, 32, 1),
        ModelConfig::Edm2(config) => (config.size, config.features, config.blocks) = (16, 32, 1),
        ModelConfig::Improved(config) | ModelConfig::ImprovedSuperRes(config) => {
            (config.size, config.features, config.blocks) = (size, 32, 1);
            config.classes = Some(10);
        }
        ModelConfig::Unet2d(config) => {
            (config.size, config.blocks) = (size, 1);
            config.features.iter_mut().for_each(|width| *width = 32);
        }
        ModelConfig::Lucid(config) => (config.size, config.features) = (size, 32),
    }
}

/// Enables gradient checkpointing; `None` if the family does not support it.
pub fn checkpointed(config: &ModelConfig) -> Option<ModelConfig> {
    let mut config = config.clone();
    *training_options(&mut config)?.1 = true;
    Some(config)
}

/// Builds a network with seeded weights, equal for every device and dtype.
pub fn build(
    config: &ModelConfig,
    kind: Kind,
    device: Device,
) -> Result<Box<dyn TrainableNetwork>> {
    let _generator = DefaultGenerator::seeded(SEED);
    let network = config.build(kind, device)?;
    let mut noise = TorchNoise::seeded(SEED)?;
    let _guard = no_grad_guard();
    for param in network.params().trained() {
        let zero = f64::try_from(param.tensor.f_abs()?.f_max()?.f_to_kind(Kind::Double)?)? == 0.0;
        if zero {
            let fan_in = (param.tensor.numel() as i64 / param.tensor.size()[0].max(1)).max(100);
            let drawn = noise.normal(&param.tensor.size(), Device::Cpu)?;
            let drawn = drawn.f_div_scalar((fan_in as f64).sqrt())?;
            param.tensor.shallow_clone().f_copy_(&drawn)?;
        }
    }
    Ok(network)
}

impl Case {
    /// The same case with another config.
    pub fn with(&self, config: ModelConfig) -> Self {
        Self { name: self.name, config, process: self.process.clone() }
    }

    /// The process on a device.
    pub fn process(&self, device: Device) -> Result<Process> {
        Ok(Process::new(&self.process, device)?)
    }

    /// Seeded noise, [B, C, H, W].
    pub fn noise(&self, batch: i64, seed: i64, device: Device) -> Result<Tensor> {
        let [channels, height, width] = self.config.image_shape();
        Ok(TorchNoise::seeded(seed)?.normal(&[batch, channels, height, width], device)?)
    }

    /// Timesteps, evenly spaced, `[B]`.
    pub fn times(&self, batch: i64, device: Device) -> Result<Tensor> {
        let t: Vec<i64> = (0..batch).map(|i| 120 + 211 * i % 300).collect();
        Ok(Tensor::f_from_slice(&t)?.f_to_device(device)?)
    }

    /// Contexts or classes, if the family has them.
    pub fn conditioning(&self, batch: i64, device: Device) -> Result<Conditioning> {
        let numbers = |count: i64| (0..batch).map(|i| (3 * i + 1) % count).collect::<Vec<_>>();
        let mut conditioning = Conditioning::none();
        if let contexts @ 1.. = self.config.contexts() {
            let rows = Tensor::f_from_slice(&numbers(contexts))?.f_one_hot(contexts)?;
            conditioning.context = Some(rows.f_to_kind(Kind::Float)?.f_to_device(device)?);
        }
        if let Some(count) = self.config.classes() {
            conditioning.classes = Some(ClassIds::new(&numbers(count), device)?);
        }
        Ok(conditioning)
    }

    /// Inputs of a forward pass, with the noise of this seed.
    pub fn given(&self, batch: i64, seed: i64, device: Device) -> Result<Given> {
        let t = self.process(device)?.network_time(&self.times(batch, device)?)?;
        let x = self.noise(batch, seed, device)?;
        Ok(Given { x, t, conditioning: self.conditioning(batch, device)? })
    }

    /// Samples by DDIM, always from the same noise.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn sample_ddim(
        &self,
        network: &dyn Network,
        device: Device,
        batch: i64,
        steps: usize,
    ) -> Result<Tensor> {
        let process = self.process(device)?;
        let spacing: LevelSpacing = format!("trailing{steps}").parse()?;
        let schedule = spacing.sampling_schedule(process.schedule())?;
        let denoiser = NetworkDenoiser::new(&process, network, self.conditioning(batch, device)?);
        let mut noise = PerImageNoise::new(0, 0..batch.unsigned_abs());
        Ok(ddim(&denoiser, &schedule, self.noise(batch, 21, device)?, 0.0, &mut noise)?)
    }
}

/// The device of `INKDROP_DEVICE` (`cuda`, `cuda:1`, …); without it a GPU, or the CPU if there is none.
///
/// # Errors
/// The device does not exist.
pub fn device() -> Result<Device> {
    let name = std::env::var("INKDROP_DEVICE").unwrap_or_else(|_| "auto".to_string());
    Ok(name.parse::<DeviceChoice>()?.resolve()?)
}

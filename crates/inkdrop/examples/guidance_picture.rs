//! Draws docs/pictures/guidance.png: samples of one class at growing guidance scales, from the same noise.
//!
//! ```text
//! cargo run --release -p inkdrop --example guidance_picture -- docs/pictures/guidance.png
//! ```

use std::env::args;
use std::path::Path;

use anyhow::{Context, Result};
use inkdrop_checkpoint::{StateDict, load};
use inkdrop_data::Images;
use inkdrop_data::picture::{Grid, write_png};
use inkdrop_data::sprites::Class;
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{NetworkDenoiser, Process, ProcessConfig, pixels};
use inkdrop_sampler::{ClassifierFreeGuidance, ddim};
use inkdrop_schedule::{LevelSpacing, TimestepSpacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{NoiseSource, PerImageNoise};
use inkdrop_unet::ModelConfig;
use ndarray::Array4;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/sprites.safetensors");
const SCALES: [f64; 5] = [0.0, 1.0, 2.0, 4.0, 8.0];
const COUNT: usize = 9;

/// The conditioning of all images: one class, or none.
fn condition(class: Option<Class>) -> Conditioning {
    let mut row = [0f32; 5];
    if let Some(class) = class {
        row[class.index()] = 1.0;
    }
    Conditioning::context(Tensor::from_slice(&row.repeat(COUNT)).view([COUNT as i64, 5]))
}

/// Samples at one guidance scale: 0 is unconditional, 1 is conditional without guidance.
fn guided(network: &dyn Network, process: &Process, scale: f64) -> Result<Images> {
    let cond = NetworkDenoiser::new(process, network, condition(Some(Class::Spell)));
    let uncond = NetworkDenoiser::new(process, network, condition(None));
    let model = ClassifierFreeGuidance::new(cond, uncond, scale);
    let schedule = LevelSpacing::Timesteps(TimestepSpacing::Trailing(50))
        .sampling_schedule(process.schedule())?;
    let mut noise = PerImageNoise::new(1, 0..COUNT as u64);
    let x = noise.normal(&[COUNT as i64, 3, 16, 16], Device::Cpu)?;
    let x = ddim(&model, &schedule, x, 0.0, &mut noise)?;
    Ok(Images::new(Array4::from_shape_vec((COUNT, 16, 16, 3), pixels::from_tensor(&x)?)?)?)
}

fn main() -> Result<()> {
    let path = args().nth(1).context("expected the path of the picture")?;
    let weights = StateDict::open(Path::new(MODEL))?;
    let model: ModelConfig =
        weights.metadata("model")?.context("no network config in the metadata")?;
    let process: ProcessConfig =
        weights.metadata("process")?.context("no process in the metadata")?;
    let network = model.build_uninitialized(Kind::Float, Device::Cpu)?;
    load(network.params(), &weights, &[])?;
    let process = Process::new(&process, Device::Cpu)?;
    let mut grid = Grid::new().scale(4).text_scale(1);
    for scale in SCALES {
        grid = grid.row(format!("scale {scale}"), guided(network.as_ref(), &process, scale)?);
    }
    write_png(&path, &grid.render())?;
    println!("{path}");
    Ok(())
}

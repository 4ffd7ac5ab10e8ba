//! Draws docs/pictures/guidance.png: the same noises, guided more and more towards a class.
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

/// A condition for every image: one class, or none.
fn condition(class: Option<Class>) -> Conditioning {
    let mut row = [0f32; 5];
    if let Some(class) = class {
        row[class.index()] = 1.0;
    }
    Conditioning::context(Tensor::from_slice(&row.repeat(COUNT)).view([COUNT as i64, 5]))
}

/// Images of one scale: 0 does without the class, 1 is the model itself.
fn guided(network: &dyn Network, process: &Process, scale: f64) -> Result<Images> {
    let cond = NetworkDenoiser::new(process, network, condition(Some(Class::Spell)));
    let uncond = NetworkDenoiser::new(process, network, condition(None));
    let model = ClassifierFreeGuidance::new(cond, uncond, scale);
    let path = LevelSpacing::Timesteps(TimestepSpacing::Trailing(50))
        .sampling_schedule(process.schedule())?;
    let mut noise = PerImageNoise::new(1, 0..COUNT as u64);
    let x = noise.normal(&[COUNT as i64, 3, 16, 16], Device::Cpu)?;
    let x = ddim(&model, &path, x, 0.0, &mut noise)?;
    Ok(Images::new(Array4::from_shape_vec((COUNT, 16, 16, 3), pixels::from_tensor(&x)?)?)?)
}

fn main() -> Result<()> {
    let path = args().nth(1).context("name the picture")?;
    let weights = StateDict::open(Path::new(MODEL))?;
    let model: ModelConfig = weights.metadata("model")?.context("the model says what it is")?;
    let process: ProcessConfig = weights.metadata("process")?.context("and for which process")?;
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

//! Draws the pictures of docs/tour.md: the forward process of one sprite, and the denoising of another.
//!
//! ```text
//! cargo run --release -p inkdrop --example tour_pictures -- docs/pictures
//! ```

use std::env::args;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use inkdrop_checkpoint::{StateDict, load};
use inkdrop_data::Images;
use inkdrop_data::picture::{Grid, write_png};
use inkdrop_data::sprites::{Class, dataset};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{ForwardNoise, NetworkDenoiser, Process, ProcessConfig, pixels};
use inkdrop_sampler::{Euler, SamplingSteps};
use inkdrop_schedule::{LevelSpacing, TimestepSpacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{NoiseSource, PerImageNoise};
use inkdrop_unet::ModelConfig;
use ndarray::Array4;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/sprites.safetensors");

fn images(x: &Tensor) -> Result<Images> {
    let count = x.size()[0] as usize;
    Ok(Images::new(Array4::from_shape_vec((count, 16, 16, 3), pixels::from_tensor(x)?)?)?)
}

fn draw(path: PathBuf, columns: &[String], rows: Vec<(&str, Tensor)>) -> Result<()> {
    let mut grid = Grid::new().scale(4).text_scale(1).columns(columns.to_vec());
    for (label, x) in rows {
        grid = grid.row(label, images(&x)?);
    }
    write_png(&path, &grid.render())?;
    println!("{}", path.display());
    Ok(())
}

/// A sprite after t steps of the forward process.
fn forward(process: &Process, folder: &Path) -> Result<()> {
    let data = dataset(0, 5);
    let x0 = pixels::to_tensor(data.images.image(0), [1, 16, 16, 3], Device::Cpu)?;
    let noise = PerImageNoise::new(0, 0..1).normal(&x0.size(), Device::Cpu)?;
    let steps = [0i64, 25, 50, 100, 150, 200, 300, 500];
    let mut row = vec![x0.shallow_clone()];
    for step in &steps[1..] {
        let t = Tensor::from_slice(&[step - 1]);
        row.push(process.q_sample(&x0, &t, &noise, ForwardNoise::Standard)?);
    }
    let columns = steps.map(|step| format!("t={step}"));
    draw(folder.join("forward.png"), &columns, vec![("x", Tensor::cat(&row, 0))])
}

/// The denoising of one image: x, and the predicted x0.
fn reverse(process: &Process, network: &dyn Network, folder: &Path) -> Result<()> {
    let schedule = LevelSpacing::Timesteps(TimestepSpacing::Trailing(25))
        .sampling_schedule(process.schedule())?;
    let mut context = vec![0f32; 5];
    context[Class::ALL[0].index()] = 1.0;
    let context = Tensor::from_slice(&context).view([1, 5]);
    let denoiser = NetworkDenoiser::new(process, network, Conditioning::context(context));
    let x = PerImageNoise::new(0, 0..1).normal(&[1, 3, 16, 16], Device::Cpu)?;
    let (mut columns, mut states, mut predictions) = (Vec::new(), Vec::new(), Vec::new());
    let noise = PerImageNoise::new(0, 0..1);
    for state in SamplingSteps::new(&denoiser, Euler, &schedule, x, noise) {
        let state = state?;
        if [0, 3, 6, 9, 12, 15, 19, 24].contains(&state.index) {
            columns.push(format!("step {}", state.index + 1));
            states.push(state.x);
            predictions.push(state.x0);
        }
    }
    let rows = vec![("x", Tensor::cat(&states, 0)), ("x0", Tensor::cat(&predictions, 0))];
    draw(folder.join("reverse.png"), &columns, rows)
}

fn main() -> Result<()> {
    let folder = args().nth(1).context("expected the directory for the pictures")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let weights = StateDict::open(Path::new(MODEL))?;
    let model: ModelConfig =
        weights.metadata("model")?.context("no network config in the metadata")?;
    let process: ProcessConfig =
        weights.metadata("process")?.context("no process in the metadata")?;
    let network = model.build_uninitialized(Kind::Float, Device::Cpu)?;
    load(network.params(), &weights, &[])?;
    let process = Process::new(&process, Device::Cpu)?;
    forward(&process, folder)?;
    reverse(&process, network.as_ref(), folder)
}

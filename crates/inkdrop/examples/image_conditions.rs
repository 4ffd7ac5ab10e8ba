//! Compares models that are conditioned on an image with what does without training: inpainting with RePaint,
//! super-resolution with bicubic interpolation. Held-out sprites are cut or reduced, completed with three seeds, and
//! compared with other sprites in pixels, and with their originals by a classifier.
//!
//! ```text
//! cargo run --release -p inkdrop --example image_conditions -- inpaint runs/inpaint/final.safetensors 100 inpaint.png
//! cargo run --release -p inkdrop --example image_conditions -- upscale runs/upscale/final.safetensors 1000 upscale.png
//! ```
//!
//! `sprites` in place of the model, and `RePaint:TIMES` for its passes, gives the rows of RePaint;
//! `sampler:NAME:STEPS` takes another sampler.

#[path = "support/judge.rs"]
mod judge;

use std::env::args;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use inkdrop::Pipeline;
use inkdrop::data::picture::{Grid, write_png};
use inkdrop::data::{Images, sprites};
use inkdrop::process::image_condition::{enlarge, reduce};
use inkdrop::process::pixels;
use inkdrop::sampler::edit::Repaint;
use inkdrop_eval::{kernel_distance, sliced_wasserstein};
use inkdrop_torch::tch::{Device, Tensor};
use ndarray::{Array2, Array4, s};

use judge::{Classifier, of_sprites};

const SEEDS: u64 = 3;
/// Images of a picture.
const SHOWN: usize = 10;
/// Seed of the held-out sprites.
const HELD_OUT: u64 = 5;
/// Seed and number of the other sprites.
const OTHERS: (u64, usize) = (6, 2000);

/// The originals, and the judge of what is made of them.
struct Comparison {
    originals: Images,
    classes: Vec<i64>,
    others: Tensor,
    classifier: Classifier,
}

fn tensor(images: &Images) -> Result<Tensor> {
    Ok(pixels::to_tensor(images.bytes(), images.nhwc(), Device::Cpu)?)
}

fn images(x: &Tensor) -> Result<Images> {
    let [n, c, h, w] = [0, 1, 2, 3].map(|axis| x.size()[axis] as usize);
    Ok(Images::new(Array4::from_shape_vec((n, h, w, c), pixels::from_tensor_rounded(x)?)?)?)
}

impl Comparison {
    fn new(count: usize) -> Result<Self> {
        let held_out: Vec<_> = (0..count as u64).map(|i| sprites::sprite(HELD_OUT, i)).collect();
        let originals = sprites::dataset(HELD_OUT, count).images;
        let classes = held_out.iter().map(|sprite| sprite.class.index() as i64).collect();
        let others = tensor(&sprites::dataset(OTHERS.0, OTHERS.1).images)?.flatten(1, -1);
        let comparison = Self { originals, classes, others, classifier: of_sprites()? };
        comparison.print("originals", &comparison.originals, 0.0)?;
        Ok(comparison)
    }

    /// Prints the distances to other sprites, and how many have the class of the original.
    fn print(&self, name: &str, made: &Images, seconds: f64) -> Result<()> {
        let (made, originals) = (tensor(made)?, tensor(&self.originals)?);
        let named = self.classifier.predict(&made)?;
        let right = named.iter().zip(&self.classes).filter(|(a, b)| a == b).count();
        let error = (&made - &originals).square().mean(None).double_value(&[]);
        let (a, b) = (made.flatten(1, -1), &self.others);
        println!(
            "{name}: sliced {:.4}, kernel {:.5}, class {:.1} %, rms {:.3}, {seconds:.0} s",
            sliced_wasserstein(&a, b, 0)?,
            kernel_distance(&a, b)?,
            100.0 * right as f64 / named.len() as f64,
            error.sqrt()
        );
        Ok(())
    }

    /// Prints one line for each seed; returns the images of the first.
    fn seeds(&self, name: &str, make: impl Fn(u64) -> Result<Images>) -> Result<Images> {
        let mut first = None;
        for seed in 0..SEEDS {
            let begun = Instant::now();
            let made = make(seed)?;
            self.print(&format!("{name}, seed {seed}"), &made, begun.elapsed().as_secs_f64())?;
            first.get_or_insert(made);
        }
        first.context("no seed")
    }
}

/// The lower half of each sprite is generated.
fn mask() -> Array2<bool> {
    Array2::from_shape_fn((16, 16), |(row, _)| row >= 8)
}

fn first(images: &Images) -> Result<Images> {
    let count = images.len().min(SHOWN);
    Ok(Images::new(images.view().slice(s![..count, .., .., ..]).to_owned())?)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = args().skip(1).collect();
    let [task, model, count, picture, more @ ..] = &arguments[..] else {
        bail!("expected inpaint|upscale MODEL COUNT PICTURE.png [RePaint:TIMES|sampler:NAME:STEPS]")
    };
    let comparison = Comparison::new(count.parse()?)?;
    let originals = &comparison.originals;
    let batch = originals.len();
    let sampler = more.first().and_then(|text| text.strip_prefix("sampler:"));
    let pipeline = |seed| -> Result<Pipeline> {
        let pipeline = Pipeline::open(model)?.seed(seed).batch(batch);
        let Some((name, steps)) = sampler.and_then(|text| text.split_once(':')) else {
            return Ok(pipeline);
        };
        Ok(pipeline.sampler(name.parse()?).steps(steps.parse()?))
    };
    let mut rows = vec![("original".to_string(), first(originals)?)];
    match task.as_str() {
        "inpaint" => {
            let times = more.first().and_then(|text| text.strip_prefix("RePaint:"));
            let repaint = Repaint { times: times.unwrap_or("10").parse()?, jump: 10 };
            let mut kept = originals.view().to_owned();
            kept.slice_mut(s![.., 8.., .., ..]).fill(128);
            rows.push(("kept".to_string(), first(&Images::new(kept)?)?));
            let made = comparison.seeds(model, |seed| {
                Ok(pipeline(seed)?.inpaint(originals, &mask(), repaint)?.to_images())
            })?;
            rows.push(("inpainted".to_string(), first(&made)?));
        }
        "upscale" => {
            let small = reduce(&tensor(originals)?, 4)?;
            let bicubic = images(&enlarge(&small, [16, 16])?)?;
            comparison.print("bicubic", &bicubic, 0.0)?;
            let nearest = small.upsample_nearest2d([16i64, 16], None, None);
            rows.push(("4 x 4".to_string(), first(&images(&nearest)?)?));
            rows.push(("bicubic".to_string(), first(&bicubic)?));
            let small = images(&small)?;
            let made =
                comparison.seeds(model, |seed| Ok(pipeline(seed)?.upscale(&small)?.to_images()))?;
            rows.push(("upscaled".to_string(), first(&made)?));
        }
        other => bail!("{other}: expected inpaint or upscale"),
    }
    let mut grid = Grid::new().scale(4).text_scale(1);
    for (name, images) in rows {
        grid = grid.row(name, images);
    }
    write_png(picture, &grid.render())?;
    Ok(())
}

//! Does a model draw what it is asked for? A classifier trained on generated
//! sprites names the class of the samples in an npz file that `inkdrop sample
//! --class` wrote.
//!
//! ```text
//! inkdrop sample sprites -n 200 --class hero --out hero.npz
//! cargo run --release -p inkdrop --example judge_sprites -- hero.npz …
//! ```

use std::env::args;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use inkdrop_data::sprites::{self, CLASSES};
use inkdrop_nn::{BatchNorm, Conv, ConvConfig, Linear, Mode, Params};
use inkdrop_process::pixels;
use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed, no_grad_guard};
use inkdrop_train::Adam;

/// Two strided convolutions and a linear layer: small, and more than enough.
struct Classifier {
    params: Params,
    convs: [(Conv, BatchNorm); 2],
    head: Linear,
}

impl Classifier {
    fn new() -> Result<Self> {
        let mut params = Params::new(Kind::Float, Device::Cpu);
        let mut root = params.root();
        let stage = |inputs, outputs| ConvConfig {
            strides: [2; 3],
            ..ConvConfig::same(inputs, outputs, 3)
        };
        let first = Conv::new(&mut root.sub("conv1"), stage(3, 24))?;
        let second = Conv::new(&mut root.sub("conv2"), stage(24, 48))?;
        let norms = [
            BatchNorm::new(&mut root.sub("norm1"), 24)?,
            BatchNorm::new(&mut root.sub("norm2"), 48)?,
        ];
        let head = Linear::new(&mut root.sub("head"), 48 * 16, CLASSES.len() as i64)?;
        let [norm1, norm2] = norms;
        Ok(Self { params, convs: [(first, norm1), (second, norm2)], head })
    }

    /// - x: [B, 3, 16, 16]; returns logits, [B, 5]
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut h = x.shallow_clone();
        for (conv, norm) in &self.convs {
            h = norm.forward(&conv.forward(&h)?, mode)?.f_relu()?;
        }
        Ok(self.head.forward(&h.f_flatten(1, -1)?)?)
    }
}

/// Sprites from..to of seed 1, which the model was not trained on: x and classes.
fn batch(from: u64, to: u64) -> Result<(Tensor, Tensor)> {
    let sprites: Vec<_> = (from..to).map(|i| sprites::sprite(1, i)).collect();
    let bytes: Vec<u8> = sprites.iter().flat_map(|sprite| sprite.pixels).collect();
    let classes: Vec<i64> = sprites.iter().map(|sprite| sprite.class.index() as i64).collect();
    let x = pixels::to_tensor(&bytes, [sprites.len() as i64, 16, 16, 3], Device::Cpu)?;
    Ok((x, Tensor::from_slice(&classes)))
}

fn train() -> Result<Classifier> {
    manual_seed(0);
    let classifier = Classifier::new()?;
    let mut adam = Adam::new(&classifier.params)?;
    for step in 0..300 {
        let (x, classes) = batch(step * 100, (step + 1) * 100)?;
        let loss = classifier.forward(&x, Mode::Train)?.cross_entropy_for_logits(&classes);
        adam.zero_grad();
        loss.f_backward()?;
        adam.step(2e-3)?;
    }
    Ok(classifier)
}

fn predict(classifier: &Classifier, x: &Tensor) -> Result<Vec<i64>> {
    let _guard = no_grad_guard();
    Ok(classifier.forward(x, Mode::Eval)?.argmax(1, false).try_into()?)
}

/// Images and classes of an npz file.
fn samples(path: &Path) -> Result<(Tensor, Vec<i64>)> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut npz = npyz::npz::NpzArchive::new(file)?;
    let images = npz.by_name("arr_0")?.context("there is no arr_0")?;
    let shape: Vec<i64> = images.shape().iter().map(|&axis| axis as i64).collect();
    let bytes: Vec<u8> = images.into_vec()?;
    let labels = npz.by_name("arr_1")?.context("there is no arr_1: sample with --class")?;
    let x = pixels::to_tensor(
        &bytes,
        shape.try_into().ok().context("arr_0 is not [N, H, W, C]")?,
        Device::Cpu,
    )?;
    Ok((x, labels.into_vec()?))
}

fn main() -> Result<()> {
    let paths: Vec<String> = args().skip(1).collect();
    ensure!(!paths.is_empty(), "name npz files that `inkdrop sample --class` wrote");
    let classifier = train()?;
    let (held_out, classes) = batch(1_000_000, 1_005_000)?;
    let classes: Vec<i64> = classes.try_into()?;
    let right =
        predict(&classifier, &held_out)?.iter().zip(&classes).filter(|(a, b)| a == b).count();
    println!("classifier on 5000 held-out sprites: {:.2} %", right as f64 / 50.0);
    let (mut right, mut total) = (0, 0);
    for path in &paths {
        let (x, labels) = samples(Path::new(path))?;
        let named = predict(&classifier, &x)?;
        let good = named.iter().zip(&labels).filter(|(a, b)| a == b).count();
        let class = labels.first().map_or("nothing", |&label| CLASSES[label as usize]);
        println!("{path}: {good} of {} named {class}", labels.len());
        right += good;
        total += labels.len();
    }
    println!("all: {right} of {total}, {:.1} %", 100.0 * right as f64 / total as f64);
    Ok(())
}

//! Accuracy of a classifier on samples, to check conditioning. The classifier is trained on generated
//! sprites, or on the training files of MNIST or Fashion-MNIST in a folder; the samples are npz files of
//! `inkdrop sample --class`.
//!
//! ```text
//! inkdrop sample sprites -n 500 --class each --out x.npz
//! cargo run --release -p inkdrop --example judge -- sprites x.npz
//! cargo run --release -p inkdrop --example judge -- /usr/share/datasets/fashion-mnist y.npz
//! ```

#[path = "support/judge.rs"]
mod judge;

use std::env::args;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use inkdrop_data::{Images, InMemoryDataset, Labels, idx};
use inkdrop_process::pixels;
use inkdrop_torch::tch::{Device, Tensor};

use judge::{Classifier, batch, of_sprites};

/// Images and classes of an npz file.
fn samples(path: &Path) -> Result<(Tensor, Vec<i64>)> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut npz = npyz::npz::NpzArchive::new(file)?;
    let images = npz.by_name("arr_0")?.context("arr_0 is missing")?;
    let shape: Vec<i64> = images.shape().iter().map(|&axis| axis as i64).collect();
    let bytes: Vec<u8> = images.into_vec()?;
    let labels = npz.by_name("arr_1")?.context("arr_1 is missing: sample with --class")?;
    let x = pixels::to_tensor(
        &bytes,
        shape.try_into().ok().context("arr_0 is not [N, H, W, C]")?,
        Device::Cpu,
    )?;
    Ok((x, labels.into_vec()?))
}

/// Images and classes of a pair of IDX files.
fn idx_pair(folder: &Path, name: &str) -> Result<(Images, Vec<i64>)> {
    let file = |kind: &str| folder.join(format!("{name}-{kind}-ubyte.gz"));
    let InMemoryDataset { images, labels, .. } =
        idx::load(&file("images-idx3"), Some(&file("labels-idx1")))?;
    let Labels::Classes { ids, .. } = labels else { anyhow::bail!("the files have no labels") };
    Ok((images, ids.into_iter().map(i64::from).collect()))
}

fn tensor(images: &Images) -> Result<Tensor> {
    Ok(pixels::to_tensor(images.bytes(), images.nhwc(), Device::Cpu)?)
}

/// A classifier of a folder's training files, and its test files.
fn of_folder(folder: &Path) -> Result<(Classifier, (Tensor, Vec<i64>))> {
    let (images, classes) = idx_pair(folder, "train")?;
    let count = 1 + classes.iter().max().context("no images")?;
    let shape = [images.channels() as i64, images.width() as i64, count];
    let (steps, size) = (3000, 100);
    let classifier = Classifier::train(shape, steps, |step| {
        let rows = (step as usize * size)..((step as usize + 1) * size);
        // Five passes over the images, in steps of a large prime.
        let rows: Vec<usize> = rows.map(|row| row * 7919 % images.len()).collect();
        let ids: Vec<i64> = rows.iter().map(|&row| classes[row]).collect();
        let x = tensor(&images.select(&rows)?)?;
        // Models may be trained on mirrored images.
        let x = if step % 2 == 0 { x } else { x.f_flip([3])? };
        Ok((x, Tensor::from_slice(&ids)))
    })?;
    let (images, classes) = idx_pair(folder, "t10k")?;
    Ok((classifier, (tensor(&images)?, classes)))
}

/// How many have the class that they should have.
fn share(pairs: &[(i64, i64)]) -> String {
    let right = pairs.iter().filter(|(label, named)| label == named).count();
    format!("{right} of {}, {:.1} %", pairs.len(), 100.0 * right as f64 / pairs.len() as f64)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = args().skip(1).collect();
    let [data, paths @ ..] = &arguments[..] else { anyhow::bail!("expected DATA SAMPLES.npz …") };
    ensure!(!paths.is_empty(), "expected npz files of `inkdrop sample --class`");
    let (classifier, (held_out, classes)) = match data.as_str() {
        "sprites" => {
            let (x, classes) = batch(1_000_000, 1_005_000)?;
            (of_sprites()?, (x, classes.try_into()?))
        }
        folder => of_folder(Path::new(folder))?,
    };
    let named = |x: &Tensor, labels: Vec<i64>| -> Result<Vec<(i64, i64)>> {
        Ok(labels.into_iter().zip(classifier.predict(x)?).collect())
    };
    println!("held-out images: {}", share(&named(&held_out, classes)?));
    for path in paths {
        let (x, labels) = samples(Path::new(path))?;
        let all = named(&x, labels)?;
        let mut ids: Vec<i64> = all.iter().map(|(label, _)| *label).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let of: Vec<_> = all.iter().filter(|(label, _)| *label == id).copied().collect();
            println!("{path}: class {id} {}", share(&of));
        }
        println!("{path}: all {}", share(&all));
    }
    Ok(())
}

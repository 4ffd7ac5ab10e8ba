//! Accuracy of a sprite classifier on samples, to check class conditioning. The classifier is trained
//! on generated sprites; the samples are npz files of `inkdrop sample --class`.
//!
//! ```text
//! inkdrop sample sprites -n 500 --class each --out x.npz
//! cargo run --release -p inkdrop --example judge_sprites -- x.npz
//! ```

#[path = "support/judge.rs"]
mod judge;

use std::env::args;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use inkdrop_data::sprites::CLASSES;
use inkdrop_process::pixels;
use inkdrop_torch::tch::{Device, Tensor};

use judge::{batch, predict, train};

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

fn main() -> Result<()> {
    let paths: Vec<String> = args().skip(1).collect();
    ensure!(!paths.is_empty(), "expected npz files of `inkdrop sample --class`");
    let classifier = train()?;
    let (held_out, classes) = batch(1_000_000, 1_005_000)?;
    let classes: Vec<i64> = classes.try_into()?;
    let right =
        predict(&classifier, &held_out)?.iter().zip(&classes).filter(|(a, b)| a == b).count();
    println!("classifier on 5000 held-out sprites: {:.2} %", right as f64 / 50.0);
    for path in &paths {
        let (x, labels) = samples(Path::new(path))?;
        let named = predict(&classifier, &x)?;
        let share = |of: &[(i64, i64)]| {
            let right = of.iter().filter(|(label, named)| label == named).count();
            format!("{right} of {}, {:.1} %", of.len(), 100.0 * right as f64 / of.len() as f64)
        };
        let all: Vec<(i64, i64)> = labels.into_iter().zip(named).collect();
        for (id, class) in CLASSES.iter().enumerate() {
            let of: Vec<_> = all.iter().filter(|(label, _)| *label == id as i64).copied().collect();
            if !of.is_empty() {
                println!("{path}: {class} {}", share(&of));
            }
        }
        println!("{path}: all {}", share(&all));
    }
    Ok(())
}

//! Time of a forward pass in f32 and in bf16 on the CPU, and how far the outputs are apart.
//!
//! `cargo run --release -p inkdrop-benches --example precision -- PRESET BATCH [THREADS]`
#![allow(missing_docs)]

use std::time::Instant;

use inkdrop_nn::{CompileOptions, Conditioning, Network};
use inkdrop_torch::tch::{self, Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::ModelConfig;

const PAIRS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [preset, batch, threads @ ..] = &arguments[..] else {
        return Err("expected PRESET BATCH [THREADS]".into());
    };
    let batch: i64 = batch.parse()?;
    if let Some(threads) = threads.first() {
        tch::set_num_threads(threads.parse()?);
    }
    let config = ModelConfig::preset(preset).ok_or("no such preset")?;
    let [f32, bf16] = networks(&config)?;
    let side = 32;
    let x = Tensor::randn([batch, 3, side, side], (Kind::Float, Device::Cpu));
    let t = Tensor::full([batch], 500.0, (Kind::Float, Device::Cpu));
    let run = |network: &dyn Network| -> Result<(f64, Tensor), Box<dyn std::error::Error>> {
        let start = Instant::now();
        let y = network.forward(&x, &t, &Conditioning::none())?;
        Ok((start.elapsed().as_secs_f64(), y))
    };
    let _guard = no_grad_guard();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS + 3 {
        let ((a, exact), (b, y)) = (run(&*f32)?, run(&*bf16)?);
        if pair == 0 {
            let apart = (&y - &exact).square().mean(Kind::Double).sqrt() / exact.std(false);
            println!(
                "{preset}, batch {batch}: error {:.2e} of the spread",
                apart.double_value(&[])
            );
        } else if pair >= 3 {
            ours.push(a);
            theirs.push(b);
        }
    }
    let mut ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
    for list in [&mut ours, &mut theirs, &mut ratios] {
        list.sort_by(f64::total_cmp);
    }
    let (a, b, ratio) = (ours[PAIRS / 2], theirs[PAIRS / 2], ratios[PAIRS / 2]);
    println!("f32 {:.1} ms, bf16 {:.1} ms: {ratio:.2} times faster", 1e3 * a, 1e3 * b);
    Ok(())
}

/// The compiled network in both precisions, with the same random weights.
fn networks(config: &ModelConfig) -> Result<[Box<dyn Network>; 2], Box<dyn std::error::Error>> {
    let [full, half] = [Kind::Float, Kind::BFloat16].map(|kind| config.build(kind, Device::Cpu));
    let (full, half) = (full?, half?);
    let _guard = no_grad_guard();
    for (from, to) in full.params().iter().zip(half.params().iter()) {
        // Layers that start as 0 would hide errors.
        let mut from = from.tensor.shallow_clone();
        if from.abs().max().double_value(&[]) == 0.0 && from.dim() > 1 {
            let fan_in = from.size()[1..].iter().product::<i64>() as f64;
            let _ = from.normal_(0.0, fan_in.sqrt().recip());
        }
        to.tensor.shallow_clone().copy_(&from);
    }
    let options = CompileOptions::at([500.0]);
    Ok([full.compile(&options)?, half.compile(&options)?])
}

//! A network of one's own, trained by the trainer: two linear layers on stripes of 8 x 8 pixels.

use inkdrop::Images;
use inkdrop::nn::{FnNetwork, Linear, Params, TrainableNetwork};
use inkdrop::process::{Process, ProcessConfig};
use inkdrop::torch::tch::{Device, Kind, Tensor};
use inkdrop::train::{TrainConfig, Trainer};
use ndarray::Array4;

/// The noise in x, [B, 1, 8, 8], at the time t, `[B]`.
fn network() -> inkdrop::Result<Box<dyn TrainableNetwork>> {
    let mut params = Params::new(Kind::Float, Device::Cpu);
    let first = Linear::new(&mut params.root().sub("first"), 65, 128)?;
    let second = Linear::new(&mut params.root().sub("second"), 128, 64)?;
    let network = FnNetwork::new(move |x: &Tensor, t: &Tensor, _conditioning| {
        let input = Tensor::cat(&[x.flatten(1, -1), t.unsqueeze(1)], 1);
        let output = second.forward(&first.forward(&input)?.silu())?;
        Ok(output.view_as(x))
    });
    Ok(Box::new(network.trainable(params)))
}

fn main() -> inkdrop::Result<()> {
    let stripes =
        |(n, _, x, _): (usize, usize, usize, usize)| if (x + n) % 4 < 2 { 255 } else { 0 };
    let images = Images::new(Array4::from_shape_fn((64, 8, 8, 1), stripes))?;
    let process = Process::new(&ProcessConfig::sprites(), Device::Cpu)?;
    let config = TrainConfig { steps: 50, batch: 32, ..TrainConfig::default() };
    let mut trainer = Trainer::builder(network()?, network()?, process, images).build(config)?;
    for metrics in trainer.steps() {
        let metrics = metrics?;
        if metrics.step % 10 == 0 {
            println!("step {}: loss {:.4}", metrics.step, metrics.loss);
        }
    }
    Ok(())
}

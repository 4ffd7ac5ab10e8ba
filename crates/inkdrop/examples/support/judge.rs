//! A classifier of sprites, trained in half a minute.

use anyhow::Result;
use inkdrop_data::sprites::{self, CLASSES};
use inkdrop_nn::{BatchNorm, Conv, ConvConfig, Linear, Mode, Params};
use inkdrop_process::pixels;
use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed, no_grad_guard};
use inkdrop_train::{Adam, AdamConfig, MasterWeights};

/// Two strided convolutions and a linear layer.
pub struct Classifier {
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

/// Images and classes of the sprites `from..to` of seed 1, which are not in the training data.
pub fn batch(from: u64, to: u64) -> Result<(Tensor, Tensor)> {
    let sprites: Vec<_> = (from..to).map(|i| sprites::sprite(1, i)).collect();
    let bytes: Vec<u8> = sprites.iter().flat_map(|sprite| sprite.pixels).collect();
    let classes: Vec<i64> = sprites.iter().map(|sprite| sprite.class.index() as i64).collect();
    let x = pixels::to_tensor(&bytes, [sprites.len() as i64, 16, 16, 3], Device::Cpu)?;
    Ok((x, Tensor::from_slice(&classes)))
}

pub fn train() -> Result<Classifier> {
    manual_seed(0);
    let classifier = Classifier::new()?;
    let mut master = MasterWeights::new(&classifier.params)?;
    let mut adam = Adam::new(&master, AdamConfig::default())?;
    for step in 0..300 {
        let (x, classes) = batch(step * 100, (step + 1) * 100)?;
        let loss = classifier.forward(&x, Mode::Train)?.cross_entropy_for_logits(&classes);
        master.zero_grad()?;
        loss.f_backward()?;
        adam.step(&master.gradients(1.0)?, 2e-3)?;
    }
    Ok(classifier)
}

pub fn predict(classifier: &Classifier, x: &Tensor) -> Result<Vec<i64>> {
    let _guard = no_grad_guard();
    Ok(classifier.forward(x, Mode::Eval)?.argmax(1, false).try_into()?)
}

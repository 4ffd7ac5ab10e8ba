//! A classifier of small pictures, trained in half a minute to some minutes.

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
    /// - side: of the pictures; a multiple of 4
    fn new(channels: i64, side: i64, classes: i64) -> Result<Self> {
        let mut params = Params::new(Kind::Float, Device::Cpu);
        let mut root = params.root();
        let stage = |inputs, outputs| ConvConfig {
            strides: [2; 3],
            ..ConvConfig::same(inputs, outputs, 3)
        };
        let first = Conv::new(&mut root.sub("conv1"), stage(channels, 24))?;
        let second = Conv::new(&mut root.sub("conv2"), stage(24, 48))?;
        let norms = [
            BatchNorm::new(&mut root.sub("norm1"), 24)?,
            BatchNorm::new(&mut root.sub("norm2"), 48)?,
        ];
        let head = Linear::new(&mut root.sub("head"), 48 * (side / 4) * (side / 4), classes)?;
        let [norm1, norm2] = norms;
        Ok(Self { params, convs: [(first, norm1), (second, norm2)], head })
    }

    /// - x: [B, C, H, W]; returns logits, [B, classes]
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut h = x.shallow_clone();
        for (conv, norm) in &self.convs {
            h = norm.forward(&conv.forward(&h)?, mode)?.f_relu()?;
        }
        Ok(self.head.forward(&h.f_flatten(1, -1)?)?)
    }

    /// Trains a classifier.
    ///
    /// - batch: pictures and classes of a step
    pub fn train(
        [channels, side, classes]: [i64; 3],
        steps: u64,
        batch: impl Fn(u64) -> Result<(Tensor, Tensor)>,
    ) -> Result<Self> {
        manual_seed(0);
        let classifier = Self::new(channels, side, classes)?;
        let mut master = MasterWeights::new(&classifier.params)?;
        let mut adam = Adam::new(&master, AdamConfig::default())?;
        for step in 0..steps {
            let (x, classes) = batch(step)?;
            let loss = classifier.forward(&x, Mode::Train)?.cross_entropy_for_logits(&classes);
            master.zero_grad()?;
            loss.f_backward()?;
            adam.step(&master.gradients(1.0)?, 2e-3 * (1.0 - step as f64 / steps as f64))?;
        }
        Ok(classifier)
    }

    /// The class of each picture.
    pub fn predict(&self, x: &Tensor) -> Result<Vec<i64>> {
        let _guard = no_grad_guard();
        Ok(self.forward(x, Mode::Eval)?.argmax(1, false).try_into()?)
    }
}

/// A classifier of sprites.
pub fn of_sprites() -> Result<Classifier> {
    let shape = [3, 16, CLASSES.len() as i64];
    Classifier::train(shape, 300, |step| batch(step * 100, (step + 1) * 100))
}

/// Images and classes of the sprites `from..to` of seed 1, which are not in the training data.
pub fn batch(from: u64, to: u64) -> Result<(Tensor, Tensor)> {
    let sprites: Vec<_> = (from..to).map(|i| sprites::sprite(1, i)).collect();
    let bytes: Vec<u8> = sprites.iter().flat_map(|sprite| sprite.pixels).collect();
    let classes: Vec<i64> = sprites.iter().map(|sprite| sprite.class.index() as i64).collect();
    let x = pixels::to_tensor(&bytes, [sprites.len() as i64, 16, 16, 3], Device::Cpu)?;
    Ok((x, Tensor::from_slice(&classes)))
}

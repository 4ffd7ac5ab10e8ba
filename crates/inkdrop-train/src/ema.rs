//! The moving average of the weights, which samples better than the weights themselves.

use inkdrop_nn::{Network, Params};
use inkdrop_torch::Result;
use tch::{Kind, Tensor, no_grad_guard};

/// An exponential moving average kept in a second network of the same config.
///
/// Running statistics are averaged like weights, counters are copied: so the
/// average is a whole network, ready to sample from.
pub struct Ema {
    network: Box<dyn Network>,
    pairs: Vec<(Tensor, Tensor)>,
    decay: f64,
    warm_up: bool,
}

impl Ema {
    /// An average that starts as `params`, kept in `network`.
    ///
    /// # Errors
    /// libtorch failed.
    ///
    /// # Panics
    /// The network was built from another config.
    pub fn new(network: Box<dyn Network>, params: &Params, decay: f64) -> Result<Self> {
        let _guard = no_grad_guard();
        let mut pairs = Vec::new();
        for (average, live) in network.params().iter().zip(params.iter()) {
            assert_eq!(average.name, live.name, "the average is kept in another network");
            let mut average = average.tensor.shallow_clone();
            average.f_copy_(&live.tensor)?;
            pairs.push((average, live.tensor.shallow_clone()));
        }
        Ok(Self { network, pairs, decay, warm_up: true })
    }

    /// The same decay from the first step on, as in improved-diffusion.
    pub fn without_warm_up(self) -> Self {
        Self { warm_up: false, ..self }
    }

    /// The network with the averaged weights.
    pub fn network(&self) -> &dyn Network {
        self.network.as_ref()
    }

    /// Takes in the weights after step `step`, counted from 0.
    ///
    /// The first steps keep less of the past, min(decay, (1 + step)/(10 + step)), unless told
    /// otherwise.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn update(&mut self, step: usize) -> Result<()> {
        let _guard = no_grad_guard();
        let young = (1.0 + step as f64) / (10.0 + step as f64);
        let decay = if self.warm_up { self.decay.min(young) } else { self.decay };
        for (average, live) in &mut self.pairs {
            if average.kind() == Kind::Int64 {
                average.f_copy_(live)?;
            } else {
                let _ = average.f_lerp_(&live.f_detach()?, 1.0 - decay)?;
            }
        }
        Ok(())
    }
}

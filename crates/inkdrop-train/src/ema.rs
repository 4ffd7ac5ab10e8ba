//! Exponential moving averages (EMA) of the weights; samples come from them.

mod decay;

use inkdrop_checkpoint::{StateDict, check};
use inkdrop_nn::TrainableNetwork;
use inkdrop_torch::lerp_all;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::{MasterWeights, TrainError};
pub(crate) use decay::gamma;
pub use decay::{EmaDecay, EmaPytorch};

/// Exponential moving averages of one network with several decays.
///
/// Running statistics are averaged like weights and counters are copied, so that each average is
/// a complete network. The average with the first decay is stored in a network, ready to sample
/// from; the other averages are tensors.
pub struct EmaSet {
    network: Box<dyn TrainableNetwork>,
    averages: Vec<Average>,
}

struct Average {
    decay: EmaDecay,
    /// The step at which it began as the weights; `None` if it was loaded as an average from the first step on.
    begin: Option<usize>,
    /// One for each tensor of the network, in its order.
    tensors: Vec<Tensor>,
}

impl EmaSet {
    /// EMAs with the current weights as initial values.
    ///
    /// - network: holds the average with the first decay; built from the trained network's config
    ///
    /// # Errors
    /// `decays` is empty or has a duplicate; libtorch failed.
    ///
    /// # Panics
    /// `network` was built from another config.
    pub fn new(
        network: Box<dyn TrainableNetwork>,
        master: &MasterWeights,
        decays: &[EmaDecay],
    ) -> Result<Self, TrainError> {
        EmaDecay::check_all(decays)?;
        let _guard = no_grad_guard();
        let mut averages = Vec::new();
        for (number, &decay) in decays.iter().enumerate() {
            let mut tensors = Vec::new();
            for (param, weight) in network.params().iter().zip(master.iter()) {
                assert_eq!(param.name, weight.name, "the EMA network has another config");
                let mut tensor = match number {
                    0 => param.tensor.shallow_clone(),
                    _ => param.tensor.f_zeros_like()?,
                };
                tensor.f_copy_(weight.value())?;
                tensors.push(tensor);
            }
            averages.push(Average { decay, begin: Some(0), tensors });
        }
        Ok(Self { network, averages })
    }

    /// The network that holds the average with the first decay.
    pub fn network(&self) -> &dyn TrainableNetwork {
        self.network.as_ref()
    }

    /// The decays, in order.
    pub fn decays(&self) -> impl Iterator<Item = EmaDecay> {
        self.averages.iter().map(|average| average.decay)
    }

    /// The step at which an average began as the weights: 0, or later if training began or the average was added
    /// there. `None` without such an average.
    pub fn begin(&self, decay: EmaDecay) -> Option<usize> {
        let average = self.averages.iter().find(|average| average.decay == decay)?;
        Some(average.begin.unwrap_or(0))
    }

    /// Sets the step at which an average began; `None` for one from the first step on.
    pub(crate) fn set_begin(&mut self, decay: EmaDecay, begin: Option<usize>) {
        for average in self.averages.iter_mut().filter(|average| average.decay == decay) {
            average.begin = begin;
        }
    }

    /// Sets the step at which all averages begin that were not loaded.
    pub(crate) fn begin_at(&mut self, step: usize) {
        for average in self.averages.iter_mut().filter(|average| average.begin.is_some()) {
            average.begin = Some(step);
        }
    }

    /// Updates all exponential moving averages: ema ← decay·ema + (1 − decay)·weights.
    ///
    /// - step: the optimizer step that changed the weights, counted from 0
    /// - batch: number of images in a step
    ///
    /// # Errors
    /// libtorch failed.
    pub fn update(
        &mut self,
        master: &MasterWeights,
        step: usize,
        batch: usize,
    ) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        for Average { decay, tensors, .. } in &mut self.averages {
            let new_share = 1.0 - decay.at(step, batch);
            if new_share == 0.0 {
                continue; // a step between two updates
            }
            let mut averaged = Vec::new();
            for (tensor, weight) in tensors.iter_mut().zip(master.iter()) {
                if new_share == 1.0 || tensor.kind() == Kind::Int64 {
                    tensor.f_copy_(weight.value())?;
                } else {
                    averaged.push((&*tensor, weight.value()));
                }
            }
            lerp_all(&averaged, new_share)?;
        }
        Ok(())
    }

    /// The average with a decay, by the network's names; `None` without such an average.
    pub fn weights(&self, decay: EmaDecay) -> Option<StateDict> {
        let average = self.averages.iter().find(|average| average.decay == decay)?;
        let mut weights = StateDict::default();
        for (param, tensor) in self.network.params().iter().zip(&average.tensors) {
            weights.insert(param.name.clone(), tensor.shallow_clone());
        }
        Some(weights)
    }

    /// Loads an average; with decay `None`, loads the weights into all averages.
    ///
    /// # Errors
    /// Names or shapes differ from the network's.
    pub fn set(&mut self, decay: Option<EmaDecay>, weights: &StateDict) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        check(self.network.params(), weights)?;
        let chosen = |average: &&mut Average| decay.is_none_or(|decay| decay == average.decay);
        for average in self.averages.iter_mut().filter(chosen) {
            for (param, tensor) in self.network.params().iter().zip(&mut average.tensors) {
                if let Some(given) = weights.get(&param.name) {
                    tensor.f_copy_(given)?;
                }
            }
        }
        Ok(())
    }
}

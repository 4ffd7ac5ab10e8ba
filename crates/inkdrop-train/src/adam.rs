//! The optimiser.

mod group;

use inkdrop_checkpoint::{CheckpointError, Mismatch, Weights};
use inkdrop_torch::{AdamNumbers, AdamTensors, adamw};
use tch::{Kind, Tensor, no_grad_guard};

pub use group::GroupConfig;

use crate::{Gradients, MasterWeights, TrainError};

/// What Adam does with a gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamConfig {
    /// How much the means of the gradient and of its square keep, in [0, 1).
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub eps: f64,
    /// Share of the weights that a step of rate lr takes off, over lr; 0 for none.
    pub weight_decay: f64,
    /// Weights with a rate or a decay of their own.
    pub groups: Vec<GroupConfig>,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, groups: Vec::new() }
    }
}

/// Adam (Kingma & Ba 2015) as `torch.optim.Adam` computes it; with a decay of the weights it is
/// `torch.optim.AdamW` (Loshchilov & Hutter 2019).
#[derive(Debug)]
pub struct Adam {
    slots: Vec<Slot>,
    config: AdamConfig,
    steps: i32,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
    /// Factor of the learning rate.
    rate: f64,
    decay: f64,
}

impl Adam {
    /// An optimiser of a network's trained weights, at rest.
    ///
    /// # Errors
    /// A group that names no weight; libtorch cannot allocate the state.
    pub fn new(master: &MasterWeights, config: AdamConfig) -> Result<Self, TrainError> {
        let _guard = no_grad_guard();
        let names: Vec<&str> = master.trained().map(|entry| entry.name.as_str()).collect();
        let groups = group::assign(&config, &names)?;
        let mut slots = Vec::new();
        for (entry, (rate, decay)) in master.trained().zip(groups) {
            let parameter = entry.value().shallow_clone();
            let (mean, square) = (parameter.f_zeros_like()?, parameter.f_zeros_like()?);
            slots.push(Slot { name: entry.name.clone(), parameter, mean, square, rate, decay });
        }
        Ok(Self { slots, config, steps: 0 })
    }

    /// One update of every parameter that has a gradient.
    ///
    /// - lr: step length; > 0
    ///
    /// # Errors
    /// libtorch fails.
    pub fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<(), TrainError> {
        self.step_unless(gradients, lr, None)
    }

    /// The same; nothing changes where `skip`, one f32 on the device, is 1.
    pub(crate) fn step_unless(
        &mut self,
        gradients: &Gradients,
        lr: f64,
        skip: Option<&Tensor>,
    ) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        self.steps += 1;
        let (betas, eps) = (self.config.betas, self.config.eps);
        for (rate, weight_decay) in self.rates() {
            let group = self.slots.iter().zip(&gradients.tensors);
            let group = group.filter(|(slot, _)| (slot.rate, slot.decay) == (rate, weight_decay));
            let group: Vec<(&Slot, Tensor)> = group
                .filter_map(|(slot, gradient)| Some((slot, gradient.as_ref()?)))
                .map(|(slot, gradient)| Ok((slot, laid_out_like(gradient, &slot.parameter)?)))
                .collect::<Result<_, TrainError>>()?;
            let Some((first, _)) = group.first() else { continue };
            let step =
                Tensor::f_full([], f64::from(self.steps), (Kind::Float, first.mean.device()))?;
            let tensors = group.iter().map(|(slot, gradient)| AdamTensors {
                parameter: &slot.parameter,
                gradient,
                mean: &slot.mean,
                square: &slot.square,
            });
            let numbers = AdamNumbers { lr: lr * rate, betas, weight_decay, eps };
            adamw(&tensors.collect::<Vec<_>>(), &step, numbers, skip)?;
        }
        Ok(())
    }

    /// The learning rates and weight decays that there are.
    fn rates(&self) -> Vec<(f64, f64)> {
        let mut rates: Vec<(f64, f64)> = Vec::new();
        for Slot { rate, decay, .. } in &self.slots {
            if !rates.contains(&(*rate, *decay)) {
                rates.push((*rate, *decay));
            }
        }
        rates
    }

    /// Puts the state among a checkpoint's tensors.
    pub fn save(&self, weights: &mut Weights) -> Result<(), TrainError> {
        for slot in &self.slots {
            weights.insert(format!("adam.mean.{}", slot.name), slot.mean.shallow_clone());
            weights.insert(format!("adam.square.{}", slot.name), slot.square.shallow_clone());
        }
        Ok(weights.set_metadata("adam_steps", &self.steps)?)
    }

    /// Takes the state of torch.optim.Adam or AdamW, as `torch.save(optimizer.state_dict())` keeps
    /// it: numbered in the order of the network's parameters there.
    ///
    /// - order: names of the weights in that order, as [`Weights::order`] of the network's own file;
    ///   what is not trained is passed over
    /// - step: what to take for the number of steps where the file keeps no tensor of it (before
    ///   PyTorch 1.12)
    ///
    /// # Errors
    /// A weight that the file has no state of its shape for, or more weights in the file.
    pub fn start_from(
        &mut self,
        weights: &Weights,
        order: &[String],
        step: usize,
    ) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        let mut mismatch = Mismatch::default();
        let mut pairs = Vec::new();
        let slots = order.iter().filter_map(|name| self.slots.iter().find(|s| s.name == *name));
        let slots: Vec<&Slot> = slots.collect();
        if slots.len() != self.slots.len() {
            return Err(TrainError::Order { given: slots.len(), expected: self.slots.len() });
        }
        for (i, slot) in slots.into_iter().enumerate() {
            for (part, tensor) in [("exp_avg", &slot.mean), ("exp_avg_sq", &slot.square)] {
                let key = format!("state.{i}.{part}");
                match weights.get(&key) {
                    None => mismatch.missing.push(key),
                    Some(saved) if saved.size() != tensor.size() => {
                        mismatch.different.push(format!(
                            "{key} ({}): {:?}, expected {:?}",
                            slot.name,
                            saved.size(),
                            tensor.size()
                        ))
                    }
                    Some(saved) => pairs.push((tensor.shallow_clone(), saved)),
                }
            }
        }
        let beyond = format!("state.{}.exp_avg", self.slots.len());
        mismatch.unexpected.extend(weights.get(&beyond).map(|_| beyond.clone()));
        if mismatch != Mismatch::default() {
            return Err(CheckpointError::Mismatch(mismatch).into());
        }
        for (mut tensor, saved) in pairs {
            tensor.f_copy_(saved)?;
        }
        self.steps = match weights.get("state.0.step") {
            Some(step) => step.f_double_value(&[])? as i32,
            None => step as i32,
        };
        Ok(())
    }

    /// Takes the state of a checkpoint.
    ///
    /// # Errors
    /// The checkpoint has no state of some weight.
    pub fn restore(&mut self, weights: &Weights) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        let absent = |missing: String| {
            CheckpointError::Mismatch(Mismatch { missing: vec![missing], ..Mismatch::default() })
        };
        let steps: Option<i32> = weights.metadata("adam_steps")?;
        self.steps = steps.ok_or_else(|| absent("adam_steps".to_string()))?;
        for slot in &mut self.slots {
            for (part, tensor) in [("mean", &mut slot.mean), ("square", &mut slot.square)] {
                let key = format!("adam.{part}.{}", slot.name);
                match weights.get(&key) {
                    Some(saved) if saved.size() == tensor.size() => tensor.f_copy_(saved)?,
                    _ => return Err(absent(key).into()),
                }
            }
        }
        Ok(())
    }
}

/// A gradient whose numbers lie in the order of its parameter's, as the fused step takes them.
fn laid_out_like(gradient: &Tensor, parameter: &Tensor) -> Result<Tensor, TrainError> {
    if gradient.stride() == parameter.stride() {
        return Ok(gradient.shallow_clone());
    }
    let mut same = parameter.f_empty_like()?;
    same.f_copy_(gradient)?;
    Ok(same)
}

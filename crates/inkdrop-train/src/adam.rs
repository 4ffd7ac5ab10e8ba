//! The optimiser.

use inkdrop_checkpoint::{CheckpointError, Mismatch, Weights};
use inkdrop_nn::Params;
use inkdrop_torch::Result;
use tch::{Tensor, no_grad_guard};

/// Adam (Kingma & Ba 2015) as `torch.optim.Adam` computes it, β = (0.9, 0.999) and ε = 1e-8; with a
/// decay of the weights it is `torch.optim.AdamW` (Loshchilov & Hutter 2019).
#[derive(Debug)]
pub struct Adam {
    slots: Vec<Slot>,
    steps: i32,
    weight_decay: f64,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
}

impl Adam {
    const BETA1: f64 = 0.9;
    const BETA2: f64 = 0.999;
    const EPS: f64 = 1e-8;

    /// An optimiser of a network's trained parameters, at rest.
    ///
    /// # Errors
    /// libtorch cannot allocate its state.
    pub fn new(params: &Params) -> Result<Self> {
        let _guard = no_grad_guard();
        let slot = |param: &inkdrop_nn::Param| -> Result<Slot> {
            Ok(Slot {
                name: param.name.clone(),
                parameter: param.tensor.shallow_clone(),
                mean: param.tensor.f_zeros_like()?,
                square: param.tensor.f_zeros_like()?,
            })
        };
        let slots = params.trained().map(slot).collect::<Result<_>>()?;
        Ok(Self { slots, steps: 0, weight_decay: 0.0 })
    }

    /// The same with a decay: each step first scales the weights by 1 − lr·decay.
    ///
    /// - decay: ≥ 0; 0.01 is PyTorch's
    pub fn with_weight_decay(self, decay: f64) -> Self {
        Self { weight_decay: decay, ..self }
    }

    /// Forgets the gradients of the last step.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.parameter.zero_grad();
        }
    }

    /// Scales the gradients down where they are longer than `most`, all together, as
    /// `torch.nn.utils.clip_grad_norm_` does; nothing waits for the device.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn clip_gradients(&mut self, most: f64) -> Result<()> {
        let _guard = no_grad_guard();
        let gradients = self.slots.iter().map(|slot| slot.parameter.f_grad());
        let gradients: Vec<Tensor> = gradients.collect::<std::result::Result<_, _>>()?;
        let mut gradients: Vec<Tensor> = gradients.into_iter().filter(Tensor::defined).collect();
        if gradients.is_empty() {
            return Ok(());
        }
        let norms: Vec<Tensor> =
            gradients.iter().map(Tensor::f_norm).collect::<std::result::Result<_, _>>()?;
        let norm = Tensor::f_stack(&norms, 0)?.f_norm()?;
        let factor =
            norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(most)?.f_clamp_max(1.0)?;
        for gradient in &mut gradients {
            let _ = gradient.f_mul_(&factor)?;
        }
        Ok(())
    }

    /// One step along the gradients.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn step(&mut self, lr: f64) -> Result<()> {
        let _guard = no_grad_guard();
        self.steps += 1;
        let correction1 = 1.0 - Self::BETA1.powi(self.steps);
        let correction2 = 1.0 - Self::BETA2.powi(self.steps);
        for slot in &mut self.slots {
            let gradient = slot.parameter.f_grad()?;
            if !gradient.defined() {
                continue;
            }
            if self.weight_decay > 0.0 {
                let _ = slot.parameter.f_mul_scalar_(1.0 - lr * self.weight_decay)?;
            }
            let _ = slot.mean.f_lerp_(&gradient, 1.0 - Self::BETA1)?;
            let square = gradient.f_square()?.f_mul_scalar_(1.0 - Self::BETA2)?;
            let _ = slot.square.f_mul_scalar_(Self::BETA2)?.f_add_(&square)?;
            let spread = slot.square.f_sqrt()?.f_div_scalar_(correction2.sqrt())?;
            let spread = spread.shallow_clone().f_add_scalar_(Self::EPS)?;
            let change = slot.mean.f_div(&spread)?.f_mul_scalar_(lr / correction1)?;
            let _ = slot.parameter.f_sub_(&change)?;
        }
        Ok(())
    }

    /// Puts the state among a checkpoint's tensors.
    pub fn save(&self, weights: &mut Weights) {
        for slot in &self.slots {
            weights.insert(format!("adam.mean.{}", slot.name), slot.mean.shallow_clone());
            weights.insert(format!("adam.square.{}", slot.name), slot.square.shallow_clone());
        }
    }

    /// Takes the state of a checkpoint that was saved after this many steps.
    ///
    /// # Errors
    /// The checkpoint has no state of some parameter.
    pub fn restore(
        &mut self,
        weights: &Weights,
        steps: usize,
    ) -> std::result::Result<(), CheckpointError> {
        let _guard = no_grad_guard();
        for slot in &mut self.slots {
            for (part, tensor) in [("mean", &mut slot.mean), ("square", &mut slot.square)] {
                let key = format!("adam.{part}.{}", slot.name);
                match weights.get(&key) {
                    Some(saved) if saved.size() == tensor.size() => {
                        tensor.f_copy_(saved).map_err(inkdrop_torch::TorchError::from)?;
                    }
                    _ => {
                        let missing = vec![key];
                        return Err(CheckpointError::Mismatch(Mismatch {
                            missing,
                            ..Mismatch::default()
                        }));
                    }
                }
            }
        }
        self.steps = steps as i32;
        Ok(())
    }
}

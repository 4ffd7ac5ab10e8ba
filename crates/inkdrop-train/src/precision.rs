//! Mixed precision training (Micikevicius et al. 2018): f32 master weights and loss scaling.

use inkdrop_checkpoint::{StateDict, load};
use inkdrop_nn::{Param, Params, Role};
use inkdrop_torch::free_gradients;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::optimizer::Gradients;

/// The dtype of convolutions and attention during training (mixed precision).
///
/// Master weights, EMA and optimizer state stay in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats; no mixed precision.
    #[default]
    F32,
    /// bfloat16: 16 bits with the range of f32. It needs no loss scaling.
    Bf16,
    /// float16: 16 bits with a small range. The loss is scaled by a [`LossScaler`].
    F16,
}

impl Precision {
    /// The dtype of the convolutions and of attention: build the trained network with it.
    pub fn torso(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }
}

/// Dynamic loss scaling for f16, as PyTorch's `GradScaler`, with improved-diffusion's rule.
///
/// The scale is halved after a step whose gradients overflow, and grows a little after each
/// finite step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScaler {
    log2: f64,
}

impl LossScaler {
    /// Log2 of the initial scale.
    pub const START: f64 = 20.0;
    /// Growth of log2 of the scale per finite step.
    pub const GROWTH: f64 = 1e-3;
    /// Log2 of the smallest useful scale; below it training stops with an error.
    pub const LEAST: f64 = -20.0;

    /// A scaler with this log2 of the scale.
    pub fn new(log2: f64) -> Self {
        Self { log2 }
    }

    /// The initial scaler of a precision: 2²⁰ for f16, else 1.
    pub(crate) fn for_precision(precision: Precision) -> Self {
        Self::new(if precision == Precision::F16 { Self::START } else { 0.0 })
    }

    /// Log2 of the scale.
    pub fn log2(self) -> f64 {
        self.log2
    }

    /// The scale: the loss is multiplied by it before the backward pass.
    pub fn factor(self) -> f64 {
        self.log2.exp2()
    }

    /// Returns the scaler after a step.
    ///
    /// - finite: true if the gradients were finite, so that the optimizer stepped
    pub fn after(self, finite: bool) -> Self {
        Self { log2: if finite { self.log2 + Self::GROWTH } else { self.log2 - 1.0 } }
    }

    /// True if gradients overflow at any useful scale.
    pub(crate) fn is_exhausted(self) -> bool {
        self.log2 < Self::LEAST
    }
}

/// The f32 weights that the optimizer updates.
///
/// Weights that the network holds in 16 bits have an f32 copy here, because small updates round
/// to nothing in 16 bits. All other weights are the network's own tensors.
pub struct MasterWeights {
    entries: Vec<MasterWeight>,
}

/// One tensor of the master weights.
pub struct MasterWeight {
    /// Its name in the network.
    pub name: String,
    role: Role,
    /// The network's tensor.
    model: Tensor,
    /// The f32 copy of a 16-bit tensor.
    master: Option<Tensor>,
    /// Sum of the collected gradients of a 16-bit tensor, in f32.
    sum: Option<Tensor>,
}

impl MasterWeight {
    fn new(param: &Param) -> Result<Self, TrainError> {
        let model = param.tensor.shallow_clone();
        let half = matches!(model.kind(), Kind::Half | Kind::BFloat16);
        let master = half.then(|| model.f_to_kind(Kind::Float)).transpose()?;
        Ok(Self { name: param.name.clone(), role: param.role, model, master, sum: None })
    }

    /// The network's tensor, which has the gradient.
    pub(crate) fn model(&self) -> &Tensor {
        &self.model
    }

    /// The value in full precision.
    pub fn value(&self) -> &Tensor {
        self.master.as_ref().unwrap_or(&self.model)
    }

    /// The gradient in f32, divided by the loss scale; `None` if the loss does not depend on it.
    fn gradient(&self, loss_scale: f64) -> Result<Option<Tensor>, TrainError> {
        let gradient = match &self.sum {
            Some(sum) => sum.shallow_clone(),
            None => self.model.f_grad()?,
        };
        if !gradient.defined() {
            return Ok(None);
        }
        // No copy where the gradient is in f32 already.
        let mut gradient = gradient.f_to_kind(self.value().kind())?;
        if loss_scale != 1.0 {
            let _ = gradient.f_mul_scalar_(1.0 / loss_scale)?;
        }
        Ok(Some(gradient))
    }
}

impl MasterWeights {
    /// The master weights of a network, with its current values.
    ///
    /// # Errors
    /// libtorch cannot allocate the copies.
    pub fn new(params: &Params) -> Result<Self, TrainError> {
        let _guard = no_grad_guard();
        Ok(Self { entries: params.iter().map(MasterWeight::new).collect::<Result<_, _>>()? })
    }

    /// All tensors, in the network's order.
    pub fn iter(&self) -> impl Iterator<Item = &MasterWeight> {
        self.entries.iter()
    }

    /// The trained tensors, in the network's order.
    pub(crate) fn trained(&self) -> impl Iterator<Item = &MasterWeight> {
        self.entries.iter().filter(|entry| entry.role == Role::Trained)
    }

    /// The running statistics of batch normalisation.
    pub(crate) fn statistics(&self) -> Vec<&Tensor> {
        let buffers = self.entries.iter().filter(|entry| entry.role != Role::Trained);
        buffers.map(MasterWeight::value).filter(|value| value.kind() == Kind::Float).collect()
    }

    /// Copies the f32 weights into the network's 16-bit weights.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn sync_to_model(&mut self) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        for MasterWeight { model, master, .. } in &mut self.entries {
            if let Some(master) = master {
                model.f_copy_(master)?;
            }
        }
        Ok(())
    }

    /// Loads saved weights into the master weights and the network.
    ///
    /// - params: parameters of the network that these are the master weights of
    /// - optional: names that may be missing; their values do not change
    ///
    /// # Errors
    /// Names or shapes differ from the network's.
    pub fn set(
        &mut self,
        params: &Params,
        weights: &StateDict,
        optional: &[&str],
    ) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        load(params, weights, optional)?;
        for MasterWeight { name, master, .. } in &mut self.entries {
            if let (Some(master), Some(given)) = (master, weights.get(name)) {
                master.f_copy_(given)?;
            }
        }
        self.sync_to_model()
    }

    /// The weights in f32, by name.
    pub fn weights(&self) -> StateDict {
        let mut weights = StateDict::default();
        for entry in &self.entries {
            weights.insert(entry.name.clone(), entry.value().shallow_clone());
        }
        weights
    }

    /// Frees the gradients of all trained weights.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn zero_grad(&mut self) -> Result<(), TrainError> {
        self.entries.iter_mut().for_each(|entry| entry.sum = None);
        let trained: Vec<&Tensor> = self.trained().map(|entry| &entry.model).collect();
        Ok(free_gradients(&trained)?)
    }

    /// Gradient accumulation in f32: adds the gradients of 16-bit weights to sums, and frees them. Called after
    /// each backward pass, it keeps small gradients that 16 bits would round away beside a large sum.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn collect_gradients(&mut self) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        for entry in self.entries.iter_mut().filter(|entry| entry.role == Role::Trained) {
            let gradient = entry.model.f_grad()?;
            if entry.master.is_none() || !gradient.defined() {
                continue;
            }
            let gradient = gradient.f_to_kind(Kind::Float)?;
            match &mut entry.sum {
                Some(sum) => drop(sum.f_add_(&gradient)?),
                None => entry.sum = Some(gradient),
            }
            free_gradients(&[&entry.model])?;
        }
        Ok(())
    }

    /// The gradients in f32, divided by the loss scale. Call it once after `backward`: gradients that are
    /// in f32 already are divided in place.
    ///
    /// - loss_scale: the factor that the loss was multiplied by; 1 without loss scaling
    ///
    /// # Errors
    /// libtorch failed.
    pub fn gradients(&self, loss_scale: f64) -> Result<Gradients, TrainError> {
        let _guard = no_grad_guard();
        let gradients = self.trained().map(|entry| entry.gradient(loss_scale));
        Ok(Gradients { tensors: gradients.collect::<Result<_, _>>()? })
    }
}

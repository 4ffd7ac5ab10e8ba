//! The weights that the optimiser changes.

use inkdrop_checkpoint::{Weights, load};
use inkdrop_nn::{Params, Role};
use inkdrop_torch::{norm_of_all, scale_all};
use tch::{Kind, Tensor, no_grad_guard};

use crate::TrainError;

/// A network's weights in f32. Those that the network keeps in half precision have a copy here
/// that the optimiser changes, since small steps get lost in 16 bits (Micikevicius et al. 2018);
/// the others are the network's own.
pub struct MasterWeights {
    entries: Vec<Entry>,
}

/// One tensor of a network.
pub struct Entry {
    /// Its name in the network.
    pub name: String,
    role: Role,
    live: Tensor,
    copy: Option<Tensor>,
}

impl Entry {
    /// Its value in full precision.
    pub fn value(&self) -> &Tensor {
        self.copy.as_ref().unwrap_or(&self.live)
    }
}

impl MasterWeights {
    /// The weights of a network as they are.
    ///
    /// # Errors
    /// libtorch cannot allocate the copies.
    pub fn new(params: &Params) -> Result<Self, TrainError> {
        let _guard = no_grad_guard();
        let entry = |param: &inkdrop_nn::Param| -> Result<Entry, TrainError> {
            let live = param.tensor.shallow_clone();
            let half = matches!(live.kind(), Kind::Half | Kind::BFloat16);
            let copy = half.then(|| live.f_to_kind(Kind::Float)).transpose()?;
            Ok(Entry { name: param.name.clone(), role: param.role, live, copy })
        };
        Ok(Self { entries: params.iter().map(entry).collect::<Result<_, _>>()? })
    }

    /// All tensors, in the network's order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Those that are trained.
    pub(crate) fn trained(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.role == Role::Trained)
    }

    /// Tells the network of changed weights.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn sync_to_model(&mut self) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        for Entry { live, copy, .. } in &mut self.entries {
            if let Some(copy) = copy {
                live.f_copy_(copy)?;
            }
        }
        Ok(())
    }

    /// Takes over saved weights, and tells the network.
    ///
    /// - params: those of the network that this was made of
    /// - optional: weights that may be missing; they stay as they are
    ///
    /// # Errors
    /// The weights are not those of the network.
    pub fn set(
        &mut self,
        params: &Params,
        weights: &Weights,
        optional: &[&str],
    ) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        load(params, weights, optional)?;
        for Entry { name, copy, .. } in &mut self.entries {
            if let (Some(copy), Some(given)) = (copy, weights.get(name)) {
                copy.f_copy_(given)?;
            }
        }
        self.sync_to_model()
    }

    /// The weights by name.
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::default();
        for entry in &self.entries {
            weights.insert(entry.name.clone(), entry.value().shallow_clone());
        }
        weights
    }

    /// Forgets the gradients of the last step.
    pub fn zero_grad(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| entry.role == Role::Trained) {
            entry.live.zero_grad();
        }
    }

    /// The gradients in f32, over the scale that the loss was multiplied by.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn gradients(&self, scale: f64) -> Result<Gradients, TrainError> {
        let _guard = no_grad_guard();
        let gradient = |entry: &Entry| -> Result<Option<Tensor>, TrainError> {
            let gradient = entry.live.f_grad()?;
            if !gradient.defined() {
                return Ok(None);
            }
            // The network's own where it is of the right kind: nothing is copied.
            let mut gradient = gradient.f_to_kind(entry.value().kind())?;
            if scale != 1.0 {
                let _ = gradient.f_mul_scalar_(1.0 / scale)?;
            }
            Ok(Some(gradient))
        };
        Ok(Gradients { tensors: self.trained().map(gradient).collect::<Result<_, _>>()? })
    }
}

/// The gradient of each trained tensor, in the network's order; none for one that the loss does
/// not depend on.
pub struct Gradients {
    pub(crate) tensors: Vec<Option<Tensor>>,
}

impl Gradients {
    /// The length of all gradients as one vector; stays on the device.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn norm(&self) -> Result<Tensor, TrainError> {
        let present: Vec<&Tensor> = self.tensors.iter().flatten().collect();
        match present.is_empty() {
            true => Ok(Tensor::f_zeros([], (Kind::Float, tch::Device::Cpu))?),
            false => Ok(norm_of_all(&present)?),
        }
    }

    /// Scales all gradients down together where their norm is above `most`, as
    /// `torch.nn.utils.clip_grad_norm_` does; nothing waits for the device.
    ///
    /// - norm: of [`Gradients::norm`]
    ///
    /// # Errors
    /// libtorch failed.
    pub fn clip(&mut self, norm: &Tensor, most: f64) -> Result<(), TrainError> {
        let factor =
            norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(most)?.f_clamp_max(1.0)?;
        let present: Vec<&Tensor> = self.tensors.iter().flatten().collect();
        Ok(scale_all(&present, &factor)?)
    }
}

//! Adam, AdamW and RAdam with parameter groups, and gradient clipping.

mod sharded;

use inkdrop_checkpoint::{CheckpointError, Mismatch, StateDict};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{AdamNumbers, AdamTensors, adamw, norm_of_all, scale_all};
use serde::{Deserialize, Serialize};

use crate::{MasterWeights, TrainError};

/// Hyperparameters of Adam, AdamW and RAdam, without the learning rate.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamConfig {
    /// Decay rates β₁, β₂ of the first and second moment estimates, in [0, 1).
    pub betas: [f64; 2],
    /// ε, added to the root of the second moment; > 0.
    pub eps: f64,
    /// Decoupled weight decay (AdamW). 0 gives plain Adam.
    pub weight_decay: f64,
    /// Parameter groups with their own learning rate or weight decay.
    pub groups: Vec<GroupConfig>,
    /// Adam, or RAdam.
    pub optimizer: OptimizerType,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            groups: Vec::new(),
            optimizer: OptimizerType::Adam,
        }
    }
}

/// An optimizer by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerType {
    /// Adam (Kingma & Ba 2015); with a weight decay AdamW.
    #[default]
    Adam,
    /// RAdam: Adam whose step is scaled by the variance of its second moment estimate, and without that
    /// estimate in the first steps (Liu et al. 2020). Equal to `torch.optim.RAdam` with
    /// `decoupled_weight_decay`.
    Radam,
}

/// The rectification r of RAdam at a step, counted from 1; `None` while the variance of the second moment
/// estimate is intractable (Liu et al. 2020, algorithm 2).
fn rectification(step: i32, beta2: f64) -> Option<f64> {
    let limit = 2.0 / (1.0 - beta2) - 1.0;
    let power = beta2.powi(step);
    let length = limit - 2.0 * f64::from(step) * power / (1.0 - power);
    let ratio = (length - 4.0) * (length - 2.0) * limit;
    (length > 5.0).then(|| (ratio / ((limit - 4.0) * (limit - 2.0) * length)).sqrt())
}

/// A parameter group: weights with their own learning rate or weight decay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Names of the weights, such as `out.2.bias`; `*` matches any text, as in `*.bias`.
    pub names: Vec<String>,
    /// Factor of the learning rate; 0 freezes the weights, and keeps their gradients out of the gradient norm.
    #[serde(default = "one")]
    pub lr: f64,
    /// Weight decay of the group; the default is that of the other weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// The Adam optimizer (Kingma & Ba 2015), equal to `torch.optim.Adam`; with a weight decay it is
/// `torch.optim.AdamW` (Loshchilov & Hutter 2019). The corrections of the moments count the steps of the optimizer; in
/// PyTorch those in which the weight had a gradient, which is another number for a branch that is used later.
#[derive(Debug)]
pub struct Adam {
    states: Vec<ParamState>,
    config: AdamConfig,
    steps: i32,
    /// True if each process keeps the moments of its share of the weights.
    sharded: bool,
}

/// A trained weight with its moment estimates and hyperparameters.
#[derive(Debug)]
struct ParamState {
    name: String,
    parameter: Tensor,
    /// `None` if another process updates the weight.
    moments: Option<Moments>,
    hyper: Hyper,
}

/// First and second moment estimate of a weight.
#[derive(Debug)]
struct Moments {
    mean: Tensor,
    square: Tensor,
}

impl Moments {
    fn zeros(parameter: &Tensor) -> Result<Self, TrainError> {
        let _guard = no_grad_guard();
        Ok(Self { mean: parameter.f_zeros_like()?, square: parameter.f_zeros_like()? })
    }
}

/// Learning rate factor and weight decay of a parameter group.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hyper {
    lr_factor: f64,
    weight_decay: f64,
}

impl Adam {
    /// An optimizer of the trained weights, with zero moments.
    ///
    /// # Errors
    /// A group names no weight, or libtorch cannot allocate the state.
    pub fn new(master: &MasterWeights, config: AdamConfig) -> Result<Self, TrainError> {
        let _guard = no_grad_guard();
        let names: Vec<&str> = master.trained().map(|entry| entry.name.as_str()).collect();
        check_groups(&config, &names)?;
        let mut states = Vec::new();
        for entry in master.trained() {
            let parameter = entry.value().shallow_clone();
            let moments = Some(Moments::zeros(&parameter)?);
            let hyper = hyper_of(&config, &entry.name);
            states.push(ParamState { name: entry.name.clone(), parameter, moments, hyper });
        }
        Ok(Self { states, config, steps: 0, sharded: false })
    }

    /// Removes the gradients of frozen weights, which then do not count in the gradient norm, as those of PyTorch's
    /// weights without `requires_grad`.
    pub(crate) fn leave_out_frozen(&self, gradients: &mut Gradients) {
        for (state, gradient) in self.states.iter().zip(&mut gradients.tensors) {
            if state.hyper.lr_factor == 0.0 {
                *gradient = None;
            }
        }
    }

    /// Updates every parameter that has a gradient; with a sharded state, those of this process.
    ///
    /// - lr: learning rate; > 0
    ///
    /// # Errors
    /// libtorch failed.
    pub fn step(&mut self, gradients: &Gradients, lr: f64) -> Result<(), TrainError> {
        self.step_unless(gradients, lr, None)
    }

    /// Updates every parameter that has a gradient, unless `skip` is 1.
    ///
    /// - skip: one f32 on the device, so that the host need not wait for its value
    pub(crate) fn step_unless(
        &mut self,
        gradients: &Gradients,
        lr: f64,
        skip: Option<&Tensor>,
    ) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        self.steps += 1;
        for hyper in self.groups() {
            self.step_group(gradients, lr, hyper, skip)?;
        }
        Ok(())
    }

    /// One fused update of all weights of a parameter group.
    fn step_group(
        &self,
        gradients: &Gradients,
        lr: f64,
        hyper: Hyper,
        skip: Option<&Tensor>,
    ) -> Result<(), TrainError> {
        let pairs = self.states.iter().zip(&gradients.tensors);
        let group: Vec<(&ParamState, &Moments, Tensor)> = pairs
            .filter(|(state, _)| state.hyper == hyper)
            .filter_map(|(state, gradient)| {
                Some((state, state.moments.as_ref()?, gradient.as_ref()?))
            })
            .map(|(state, moments, gradient)| {
                Ok((state, moments, laid_out_like(gradient, &state.parameter)?))
            })
            .collect::<Result<_, TrainError>>()?;
        let Some((_, first, _)) = group.first() else { return Ok(()) };
        let on_device = (Kind::Float, first.mean.device());
        let step = Tensor::f_full([], f64::from(self.steps), on_device)?;
        let tensors: Vec<AdamTensors> = group
            .iter()
            .map(|(state, moments, gradient)| AdamTensors {
                parameter: &state.parameter,
                gradient,
                mean: &moments.mean,
                square: &moments.square,
            })
            .collect();
        let AdamConfig { betas, eps, .. } = self.config;
        let (lr, weight_decay) = (lr * hyper.lr_factor, hyper.weight_decay);
        let numbers = AdamNumbers { lr, betas, weight_decay, eps };
        match self.config.optimizer {
            OptimizerType::Adam => Ok(adamw(&tensors, &step, numbers, skip)?),
            OptimizerType::Radam => self.radam(&tensors, &step, numbers, skip),
        }
    }

    /// RAdam as a step of Adam: with the learning rate r·lr once the rectification r exists, before that
    /// for the moments alone.
    fn radam(
        &self,
        tensors: &[AdamTensors],
        step: &Tensor,
        numbers: AdamNumbers,
        skip: Option<&Tensor>,
    ) -> Result<(), TrainError> {
        let AdamNumbers { lr, betas: [beta1, beta2], weight_decay, eps } = numbers;
        if let Some(r) = rectification(self.steps, beta2) {
            // PyTorch adds ε before the correction of the second moment's bias, Adam after it.
            let eps = eps / (1.0 - beta2.powi(self.steps)).sqrt();
            let (lr, weight_decay) = (lr * r, weight_decay / r);
            return Ok(adamw(
                tensors,
                step,
                AdamNumbers { lr, weight_decay, eps, ..numbers },
                skip,
            )?);
        }
        adamw(tensors, step, AdamNumbers { lr: 0.0, ..numbers }, skip)?;
        let factor = lr / (1.0 - beta1.powi(self.steps));
        for AdamTensors { parameter, mean, .. } in tensors {
            let decayed = parameter.f_mul_scalar(1.0 - lr * weight_decay)?;
            let updated = decayed.f_sub(&mean.f_mul_scalar(factor)?)?;
            let updated = match skip {
                Some(skip) => updated.f_lerp_tensor(parameter, skip)?,
                None => updated,
            };
            parameter.shallow_clone().f_copy_(&updated)?;
        }
        Ok(())
    }

    /// The distinct hyperparameters, in the order of the weights.
    fn groups(&self) -> Vec<Hyper> {
        let mut groups: Vec<Hyper> = Vec::new();
        for state in &self.states {
            if !groups.contains(&state.hyper) {
                groups.push(state.hyper);
            }
        }
        groups
    }

    /// Adds the optimizer state to a checkpoint.
    ///
    /// # Errors
    /// The number of steps cannot be written.
    pub fn save(&self, weights: &mut StateDict) -> Result<(), TrainError> {
        for state in &self.states {
            let Some(Moments { mean, square }) = &state.moments else { continue };
            weights.insert(format!("adam.mean.{}", state.name), mean.shallow_clone());
            weights.insert(format!("adam.square.{}", state.name), square.shallow_clone());
        }
        Ok(weights.set_metadata("adam_steps", &self.steps)?)
    }

    /// Restores the optimizer state of a checkpoint.
    ///
    /// # Errors
    /// The checkpoint lacks the state of a weight.
    pub fn restore(&mut self, weights: &StateDict) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        let absent = |missing: String| {
            CheckpointError::Mismatch(Mismatch { missing: vec![missing], ..Mismatch::default() })
        };
        let steps: Option<i32> = weights.metadata("adam_steps")?;
        self.steps = steps.ok_or_else(|| absent("adam_steps".to_string()))?;
        self.make_whole()?;
        for state in &mut self.states {
            let Some(Moments { mean, square }) = &mut state.moments else { continue };
            for (part, tensor) in [("mean", mean), ("square", square)] {
                let key = format!("adam.{part}.{}", state.name);
                match weights.get(&key) {
                    Some(saved) if saved.size() == tensor.size() => tensor.f_copy_(saved)?,
                    _ => return Err(absent(key).into()),
                }
            }
        }
        Ok(())
    }

    /// Loads a state of `torch.optim.Adam` or `AdamW`, as `torch.save(optimizer.state_dict())`
    /// writes it.
    ///
    /// - order: names of the weights in PyTorch's order, such as [`StateDict::order`] of the
    ///   network's own file; names of weights that are not trained are ignored
    /// - step: the number of steps taken, for files without a step tensor (before PyTorch 1.12)
    ///
    /// # Errors
    /// The file lacks the state of a weight, a shape differs, or the file has more weights.
    pub fn start_from(
        &mut self,
        weights: &StateDict,
        order: &[String],
        step: usize,
    ) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        self.make_whole()?;
        for (mut tensor, saved) in self.pytorch_pairs(weights, order)? {
            tensor.f_copy_(saved)?;
        }
        self.steps = match weights.get("state.0.step") {
            Some(step) => step.f_double_value(&[])? as i32,
            None => step as i32,
        };
        Ok(())
    }

    /// Each moment tensor with its counterpart in PyTorch's file.
    fn pytorch_pairs<'a>(
        &self,
        weights: &'a StateDict,
        order: &[String],
    ) -> Result<Vec<(Tensor, &'a Tensor)>, TrainError> {
        let states = order.iter().filter_map(|name| self.states.iter().find(|s| s.name == *name));
        let states: Vec<&ParamState> = states.collect();
        if states.len() != self.states.len() {
            return Err(TrainError::Order { given: states.len(), expected: self.states.len() });
        }
        let (mut pairs, mut mismatch) = (Vec::new(), Mismatch::default());
        for (i, state) in states.into_iter().enumerate() {
            let Some(Moments { mean, square }) = &state.moments else { continue };
            for (part, tensor) in [("exp_avg", mean), ("exp_avg_sq", square)] {
                let key = format!("state.{i}.{part}");
                match weights.get(&key) {
                    None => mismatch.missing.push(key),
                    Some(saved) if saved.size() != tensor.size() => {
                        let (given, expected) = (saved.size(), tensor.size());
                        let name = &state.name;
                        let problem = format!("{key} ({name}): {given:?}, expected {expected:?}");
                        mismatch.different.push(problem);
                    }
                    Some(saved) => pairs.push((tensor.shallow_clone(), saved)),
                }
            }
        }
        let beyond = format!("state.{}.exp_avg", self.states.len());
        mismatch.unexpected.extend(weights.get(&beyond).map(|_| beyond.clone()));
        match mismatch == Mismatch::default() {
            true => Ok(pairs),
            false => Err(CheckpointError::Mismatch(mismatch).into()),
        }
    }
}

/// Copies a gradient into the memory layout of its parameter, which the fused step requires.
fn laid_out_like(gradient: &Tensor, parameter: &Tensor) -> Result<Tensor, TrainError> {
    if gradient.stride() == parameter.stride() {
        return Ok(gradient.shallow_clone());
    }
    let mut same = parameter.f_empty_like()?;
    same.f_copy_(gradient)?;
    Ok(same)
}

/// Returns an error if a pattern of a parameter group matches no weight.
fn check_groups(config: &AdamConfig, names: &[&str]) -> Result<(), TrainError> {
    let mut patterns = config.groups.iter().flat_map(|group| &group.names);
    match patterns.find(|pattern| !names.iter().any(|name| matches(pattern, name))) {
        None => Ok(()),
        Some(pattern) => Err(TrainError::Field {
            field: "train.groups.names",
            given: pattern.clone(),
            expected: "the name of a trained weight, with * for any text; \
                       `inkdrop inspect FILE` lists them",
        }),
    }
}

/// The hyperparameters of a weight: those of the first group that matches its name.
fn hyper_of(config: &AdamConfig, name: &str) -> Hyper {
    let named = |group: &&GroupConfig| group.names.iter().any(|p| matches(p, name));
    let group = config.groups.iter().find(named);
    let weight_decay = group.and_then(|group| group.weight_decay);
    Hyper {
        lr_factor: group.map_or(1.0, |group| group.lr),
        weight_decay: weight_decay.unwrap_or(config.weight_decay),
    }
}

/// True if a name matches a pattern, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let mut ends = (0..=name.len()).filter(|&end| name.is_char_boundary(end));
            ends.any(|end| matches(rest, &name[end..]))
        }),
    }
}

/// The gradients of the trained tensors, in the network's order; `None` for a tensor that the
/// loss does not depend on.
pub struct Gradients {
    pub(crate) tensors: Vec<Option<Tensor>>,
}

impl Gradients {
    /// The global L2 norm of all gradients; stays on the device.
    ///
    /// # Errors
    /// libtorch failed.
    pub fn norm(&self) -> Result<Tensor, TrainError> {
        let present: Vec<&Tensor> = self.tensors.iter().flatten().collect();
        match present.is_empty() {
            true => Ok(Tensor::f_zeros([], (Kind::Float, Device::Cpu))?),
            false => Ok(norm_of_all(&present)?),
        }
    }

    /// Gradient clipping by global norm, equal to `torch.nn.utils.clip_grad_norm_`. The host does
    /// not wait for the device.
    ///
    /// - norm: result of [`Gradients::norm`]
    /// - max_norm: largest norm that is kept; > 0
    ///
    /// # Errors
    /// libtorch failed.
    pub fn clip(&mut self, norm: &Tensor, max_norm: f64) -> Result<(), TrainError> {
        let factor =
            norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(max_norm)?.f_clamp_max(1.0)?;
        let present: Vec<&Tensor> = self.tensors.iter().flatten().collect();
        Ok(scale_all(&present, &factor)?)
    }
}

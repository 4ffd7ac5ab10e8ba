//! A training step on a fixed batch, with the components of the training loop.

use inkdrop_nn::{Mode, TrainableNetwork};
use inkdrop_process::{Objective, ObjectiveConfig, Process, TrainingObjective};
use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_train::{Adam, AdamConfig, LossScaler, MasterWeights, Precision};

use crate::Result;
use crate::cases::{Case, build};

const LR: f64 = 1e-4;

/// A network in training, with its optimizer and a fixed batch.
pub struct TrainingStep<'a> {
    case: &'a Case,
    network: Box<dyn TrainableNetwork>,
    process: Process,
    master: MasterWeights,
    adam: Adam,
    scale: f64,
    /// Images and noise, [B, C, H, W]; timesteps, `[B]`.
    batch: [Tensor; 3],
}

impl<'a> TrainingStep<'a> {
    /// Builds the network of a case and a batch.
    pub fn new(
        case: &'a Case,
        precision: Precision,
        device: Device,
        images: i64,
    ) -> Result<TrainingStep<'a>> {
        let network = build(&case.config, precision.torso(), device)?;
        let master = MasterWeights::new(network.params())?;
        let x0 = case.noise(images, 31, device)?.f_clamp(-1.0, 1.0)?;
        let batch = [x0, case.noise(images, 32, device)?, case.times(images, device)?];
        Ok(Self {
            adam: Adam::new(&master, AdamConfig::default())?,
            scale: if precision == Precision::F16 { LossScaler::new(10.0).factor() } else { 1.0 },
            process: case.process(device)?,
            case,
            network,
            master,
            batch,
        })
    }

    /// Computes the loss and the gradients of the weights.
    fn backward(&mut self) -> Result<Tensor> {
        self.master.zero_grad()?;
        let [x0, noise, t] = &self.batch;
        let conditioning = self.case.conditioning(x0.size()[0], x0.device())?;
        let objective = Objective::new(&self.process, &ObjectiveConfig::default())?;
        let terms =
            objective.terms(self.network.as_ref(), (x0, t, noise), &conditioning, Mode::Train)?;
        let loss = terms.loss.f_mean(terms.loss.kind())?;
        loss.f_mul_scalar(self.scale)?.f_backward()?;
        Ok(loss.f_detach()?)
    }

    /// Runs a step of Adam. Returns the loss before it, on the device.
    pub fn step(&mut self) -> Result<Tensor> {
        let loss = self.backward()?;
        let gradients = self.master.gradients(self.scale)?;
        self.adam.step(&gradients, LR)?;
        self.master.sync_to_model()?;
        Ok(loss)
    }

    /// The loss before and after a step.
    pub fn losses(&mut self) -> Result<Tensor> {
        let before = self.step()?;
        let after = self.step()?;
        Ok(Tensor::f_stack(&[before, after], 0)?)
    }

    /// All gradients of the batch, concatenated.
    pub fn gradients(&mut self) -> Result<Tensor> {
        let kind = self.backward()?.kind();
        let mut all = Vec::new();
        for param in self.network.params().trained() {
            let gradient = param.tensor.f_grad()?;
            if gradient.defined() {
                all.push(gradient.f_view([-1])?.f_to_kind(kind)?);
            }
        }
        Ok(Tensor::f_cat(&all, 0)?)
    }
}

//! Losses of models of few steps: of consistency models, whose f(x, σ) is the clean end of the probability
//! flow through x (Song et al. 2023), and progressive distillation.

mod grid;
mod mid_training;
mod phases;
mod progressive;
mod teacher;
mod tuning;

pub use grid::{ConsistencyGrid, ConsistencyMetric, ConsistencyTraining, ConsistencyWeighting};
pub use mid_training::{ConsistencyMidTraining, TrajectoryMetric, TrajectoryPoints};
pub use phases::ConsistencyPhases;
pub use progressive::{DenoiseScaled, ProgressiveDistillation};
pub use teacher::{Teacher, TeacherGuidance};
pub use tuning::ConsistencyTuning;

use grid::SegmentEnds;
use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_schedule::{NoiseDistribution, NoiseLevel, Preconditioning};
use inkdrop_torch::tch::{Device, Tensor, no_grad_guard};
use inkdrop_torch::{DefaultGenerator, draw_dropout_key, to_device_async};

use crate::continuous::{noisy, per_image, quantile};
use crate::objective::LossType;
use crate::{LossTerms, ObjectiveConfig, ProcessError, SigmaProcess, TrainingObjective};

/// A denoiser of images x0 + σ·ε: D(x; σ), with one σ for each image. It is the consistency function f if
/// it is trained as one.
pub type Denoise<'a> = &'a dyn Fn(&Tensor, &[f64]) -> Result<Tensor, ProcessError>;

/// Images of the forward process, and the noise levels that a loss compares.
#[derive(Debug, Clone, Copy)]
pub struct ConsistencyBatch<'a> {
    /// Images x0, [B, C, H, W].
    pub x0: &'a Tensor,
    /// Noise ε, [B, C, H, W].
    pub noise: &'a Tensor,
    /// Noise level t of the student, one σ for each image; > 0.
    pub sigmas: &'a [f64],
    /// Noise level r of the target, one σ for each image; 0 ≤ r < t.
    pub targets: &'a [f64],
}

impl ConsistencyBatch<'_> {
    /// x0 + σ·ε.
    fn noisy(&self, sigmas: &[f64]) -> Result<Tensor, ProcessError> {
        let Self { x0, noise, .. } = self;
        Ok(x0.f_add(&noise.f_mul(&numbers(sigmas, x0)?)?)?)
    }
}

/// A number of each image, [B, 1, …] in the dtype and on the device of x.
fn numbers(values: &[f64], x: &Tensor) -> Result<Tensor, ProcessError> {
    per_image(values, |value| *value, x)
}

/// The loss of a step.
#[derive(Debug, Clone, Copy)]
enum Method {
    Tuning(ConsistencyTuning),
    MidTraining(ConsistencyMidTraining),
    Training(ConsistencyTraining),
    Distillation(ConsistencyGrid),
    Progressive(ProgressiveDistillation),
}

/// The loss of a model of few steps as a training objective. In a consistency loss, the student is its own
/// target, without gradient and with the same dropout masks. BatchNorm keeps its statistics (evaluation
/// mode).
#[derive(Debug)]
pub struct ConsistencyObjective {
    process: SigmaProcess,
    method: Method,
    /// Mid-training before the tuning of `method`.
    phases: Option<ConsistencyPhases>,
    distribution: NoiseDistribution,
    /// The quantiles of the distribution that are noise levels of the process.
    quantiles: (f64, f64),
    teacher: Option<Teacher>,
    /// Steps done, and all steps.
    progress: (usize, usize),
}

impl ConsistencyObjective {
    /// The objective if the config has a consistency loss.
    ///
    /// # Errors
    /// A number out of range, or a setting that consistency losses do not have.
    pub fn new(
        process: SigmaProcess,
        config: &ObjectiveConfig,
    ) -> Result<Option<Self>, ProcessError> {
        let method = match config.loss {
            LossType::ConsistencyTuning(tuning) => {
                tuning.check()?;
                Method::Tuning(tuning)
            }
            LossType::ConsistencyMidTraining(mid_training) => {
                mid_training.check()?;
                Method::MidTraining(mid_training)
            }
            LossType::ConsistencyPhases(phases) => {
                phases.check()?;
                Method::Tuning(phases.tuning)
            }
            LossType::ConsistencyTraining(training) => {
                training.check()?;
                Method::Training(training)
            }
            LossType::ConsistencyDistillation(grid) => {
                grid.check()?;
                Method::Distillation(grid)
            }
            LossType::ProgressiveDistillation(progressive) => {
                if matches!(process, SigmaProcess::Timesteps(_)) {
                    return Err(ProcessError::Timesteps("progressive distillation"));
                }
                progressive.check()?;
                Method::Progressive(progressive)
            }
            _ => return Ok(None),
        };
        config.check_alone()?;
        if !matches!(method, Method::Tuning(_)) && config.noise_distribution.is_some() {
            return Err(ProcessError::NotWithThisLoss(
                "noise_distribution where the noise levels are a grid",
            ));
        }
        let grid = matches!(
            method,
            Method::MidTraining(_) | Method::Training(_) | Method::Distillation(_)
        );
        if (grid || matches!(config.loss, LossType::ConsistencyPhases(_)))
            && process.sigma_range().1.is_infinite()
        {
            return Err(ProcessError::Field {
                field: "sigma_max",
                given: f64::INFINITY,
                expected: "a finite number, since the noise levels of this loss start there",
            });
        }
        let given = process.sigma_range().0;
        if let SigmaProcess::Continuous(own) = &process
            && let Preconditioning::Consistency { sigma_min, .. } = own.config().preconditioning
            && given != sigma_min
        {
            return Err(ProcessError::Field {
                field: "sigma_min",
                given,
                expected: "that of the preconditioning consistency, where the model changes nothing",
            });
        }
        let usual = NoiseDistribution::LogNormal { mean: -1.1, std: 2.0 }; // Geng et al. 2024
        let distribution = config.noise_distribution.unwrap_or(usual);
        distribution.check()?;
        let phases = match config.loss {
            LossType::ConsistencyPhases(phases) => Some(phases),
            _ => None,
        };
        let quantiles = quantiles_within(&process, &distribution);
        let (teacher, progress) = (None, (0, 1));
        Ok(Some(Self { process, method, phases, distribution, quantiles, teacher, progress }))
    }

    /// The loss of this step: that of its phase, with the stage of tuning.
    fn method(&self) -> Method {
        let (step, steps) = self.progress;
        let before = self.phases.map_or(0, |phases| phases.mid_training_steps(steps));
        match (self.phases, self.method) {
            (Some(phases), _) if step < before => Method::MidTraining(phases.mid_training),
            (_, Method::Tuning(tuning)) => Method::Tuning(tuning.at_step(step - before)),
            (_, method) => method,
        }
    }

    /// t and r of a quantile, of [`DiffusionProcess::training_levels`](crate::DiffusionProcess).
    fn levels(&self, u: f64) -> (f64, f64) {
        let (step, steps) = self.progress;
        let range = self.process.sigma_range();
        match self.method() {
            Method::Tuning(tuning) => {
                let (first, last) = self.quantiles;
                let sigma = sigma_at(&self.process, &self.distribution, first + u * (last - first));
                (sigma, self.tuning_target(tuning, sigma))
            }
            // The trajectory ends at r.
            Method::MidTraining(mid_training) => (mid_training.level(u, range), range.0),
            Method::Training(training) => {
                neighbours(&training.grid(training.levels(step, steps)).sigmas(range), u)
            }
            Method::Distillation(grid) => neighbours(&grid.sigmas(range), u),
            Method::Progressive(progressive) => neighbours(&progressive.sigmas(range), u),
        }
    }

    /// The noise level r of tuning. With timesteps it is at least σ_min, where f is the identity; continuous
    /// noise goes down to 0, the image itself.
    fn tuning_target(&self, tuning: ConsistencyTuning, sigma: f64) -> f64 {
        match &self.process {
            SigmaProcess::Continuous(_) => tuning.target(sigma),
            SigmaProcess::Timesteps(process) => {
                tuning.target(sigma).max(process.sigma_range().0).min((1.0 - 1e-6) * sigma)
            }
        }
    }

    /// The loss of each image, `[B]`.
    fn loss(
        &self,
        student: &Student<'_>,
        batch: ConsistencyBatch<'_>,
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        let data = sigma_data(&self.process);
        let trained = |x: &Tensor, sigmas: &[f64]| student.denoise(x, sigmas, conditioning);
        let target = |x: &Tensor, sigmas: &[f64]| {
            let _guard = no_grad_guard();
            student.unchanged().denoise(x, sigmas, conditioning)
        };
        let teacher = |x: &Tensor, sigmas: &[f64]| match &self.teacher {
            Some(teacher) => teacher.denoise(x, sigmas, conditioning),
            None => Err(ProcessError::NeedsTeacher),
        };
        match self.method() {
            Method::Tuning(tuning) => tuning.loss(batch, &trained, &target),
            Method::MidTraining(mid_training) => {
                let (points, sigmas, end) = self.trajectory(mid_training, batch, &teacher)?;
                let count = mid_training.points_of_image() as i64;
                let conditioning = conditioning.repeat_interleave(count)?;
                let predicted = student.denoise(&points, &sigmas, &conditioning)?;
                let losses = mid_training.loss(&predicted, &end)?.f_view([-1, count])?;
                Ok(losses.f_mean_dim(1, false, losses.kind())?)
            }
            // Metric and weights do not depend on the number of levels.
            Method::Training(training) => {
                training.grid(2).loss(batch, data, (&trained, &target), None)
            }
            Method::Distillation(grid) => {
                let ends = SegmentEnds::new(&grid, batch.sigmas, self.process.sigma_range());
                let student = |x: &Tensor, sigmas: &[f64]| ends.of(x, sigmas, trained(x, sigmas)?);
                let target = |x: &Tensor, sigmas: &[f64]| ends.of(x, sigmas, target(x, sigmas)?);
                grid.loss(batch, data, (&student, &target), Some(&teacher))
            }
            Method::Progressive(progressive) => {
                self.progressive(progressive, student, batch, conditioning)
            }
        }
    }

    /// The loss of progressive distillation, `[B]`.
    fn progressive(
        &self,
        progressive: ProgressiveDistillation,
        student: &Student<'_>,
        batch: ConsistencyBatch<'_>,
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        let ConsistencyBatch { x0, noise, sigmas, targets } = batch;
        let levels_of = |sigmas: &[f64]| -> Vec<NoiseLevel> {
            sigmas.iter().map(|&sigma| self.process.level(sigma)).collect()
        };
        let trained = |x: &Tensor, sigmas: &[f64]| {
            student.denoise_scaled(x, &levels_of(sigmas), conditioning)
        };
        let teacher = |x: &Tensor, sigmas: &[f64]| match &self.teacher {
            Some(teacher) => teacher.denoise_scaled(x, &levels_of(sigmas), conditioning),
            None => Err(ProcessError::NeedsTeacher),
        };
        let levels = levels_of(sigmas);
        let weight = |&level: &NoiseLevel| self.process.coefs(level).output.powi(-2);
        let weights: Vec<f64> = levels.iter().map(weight).collect();
        let x = noisy(x0, &levels, noise)?;
        let steps: Vec<_> = sigmas.iter().copied().zip(targets.iter().copied()).collect();
        let range = self.process.sigma_range();
        progressive.loss(&x, &steps, range, &weights, (&trained, &teacher))
    }

    /// The points of the teacher's trajectories with their noise levels, and the ends, each image's in
    /// succession: [R, C, H, W] with [`ConsistencyMidTraining::points_of_image`] rows of each image.
    fn trajectory(
        &self,
        mid_training: ConsistencyMidTraining,
        batch: ConsistencyBatch<'_>,
        teacher: Denoise<'_>,
    ) -> Result<(Tensor, Vec<f64>, Tensor), ProcessError> {
        let range = self.process.sigma_range();
        let x = batch.noisy(&vec![range.1; batch.sigmas.len()])?;
        let (states, end) = mid_training.trajectory(teacher, x, range)?;
        let states = Tensor::f_stack(&states, 1)?;
        let (steps, levels) = (mid_training.steps, mid_training.sigmas(range));
        if mid_training.points == TrajectoryPoints::One {
            let place = |&sigma: &f64| levels.iter().position(|level| *level == sigma);
            let places = batch.sigmas.iter().map(|sigma| place(sigma).unwrap_or(0) as i64);
            let rows = places.enumerate().map(|(image, place)| (image * steps) as i64 + place);
            let rows = Tensor::f_from_slice(&rows.collect::<Vec<_>>())?;
            let rows = to_device_async(&rows, states.device())?;
            let points = states.f_flatten(0, 1)?.f_index_select(0, &rows)?;
            return Ok((points, batch.sigmas.to_vec(), end));
        }
        let points = states.f_flatten(0, 1)?;
        let ends = end.f_repeat_interleave_self_int(steps as i64, 0, None)?;
        Ok((points, levels[..steps].repeat(batch.sigmas.len()), ends))
    }
}

/// Checks that x0 and ε have the same shape.
pub(crate) fn check_noise(x0: &Tensor, noise: &Tensor) -> Result<(), ProcessError> {
    if x0.size() == noise.size() {
        return Ok(());
    }
    let expected = format!("{:?}, that of x0", x0.size());
    Err(ProcessError::Shape { what: "noise", given: noise.size(), expected })
}

/// Evaluation mode for a network with BatchNorm: statistics of a batch would tie the images to one another,
/// and hold only in training.
pub(crate) fn without_batch_statistics(network: &dyn TrainableNetwork, mode: Mode) -> Mode {
    if network.params().has_batch_norm() { Mode::Eval } else { mode }
}

/// The network in training, with the same dropout masks in every call.
struct Student<'a> {
    process: &'a SigmaProcess,
    network: &'a dyn TrainableNetwork,
    mode: Mode,
    seed: i64,
}

impl Student<'_> {
    /// The same network in a pass that changes none of its tensors, beside one that keeps them for its gradient.
    fn unchanged(&self) -> Self {
        let mode = if self.mode == Mode::Train { Mode::Recompute } else { self.mode };
        Self { mode, ..*self }
    }

    fn denoise(
        &self,
        x: &Tensor,
        sigmas: &[f64],
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        let _same_masks = DefaultGenerator::seeded(self.seed);
        self.process.denoise(x, sigmas, conditioning, |input, time, conditioning| {
            Ok(self.network.forward_mode(input, time, conditioning, self.mode)?)
        })
    }

    fn denoise_scaled(
        &self,
        x: &Tensor,
        levels: &[NoiseLevel],
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        let _same_masks = DefaultGenerator::seeded(self.seed);
        self.process.denoise_scaled(x, levels, conditioning, |input, time, conditioning| {
            Ok(self.network.forward_mode(input, time, conditioning, self.mode)?)
        })
    }
}

/// A level and the next lower one of a grid, the largest level first.
fn neighbours(sigmas: &[f64], u: f64) -> (f64, f64) {
    // The least noisy level has the first quantiles.
    let least = sigmas.len() - 2;
    let index = least - ((u * (least + 1) as f64) as usize).min(least);
    (sigmas[index], sigmas[index + 1])
}

impl TrainingObjective for ConsistencyObjective {
    fn start_step(&mut self, step: usize, steps: usize) {
        self.progress = (step, steps);
    }

    fn set_teacher(&mut self, teacher: Teacher) -> Result<(), ProcessError> {
        if !self.needs_teacher() {
            return Err(ProcessError::UnusedTeacher);
        }
        self.teacher = Some(teacher);
        Ok(())
    }

    fn needs_teacher(&self) -> bool {
        self.phases.is_some()
            || matches!(
                self.method,
                Method::Distillation(_) | Method::MidTraining(_) | Method::Progressive(_)
            )
    }

    fn terms(
        &self,
        network: &dyn TrainableNetwork,
        (x0, t, noise): (&Tensor, &Tensor, &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<LossTerms, ProcessError> {
        check_noise(x0, noise)?;
        let quantiles = Vec::<i64>::try_from(&t.f_to_device(Device::Cpu)?)?;
        let levels = quantiles.into_iter().map(|t| self.levels(quantile(t)));
        let (sigmas, targets): (Vec<f64>, Vec<f64>) = levels.unzip();
        let batch = ConsistencyBatch { x0, noise, sigmas: &sigmas, targets: &targets };
        let mode = without_batch_statistics(network, mode);
        let student = Student { process: &self.process, network, mode, seed: draw_dropout_key()? };
        let loss = self.loss(&student, batch, conditioning)?;
        Ok(LossTerms { error: Some(loss.shallow_clone()), loss, bound: None })
    }
}

/// σ at a quantile of a noise distribution.
fn sigma_at(process: &SigmaProcess, distribution: &NoiseDistribution, u: f64) -> f64 {
    match process {
        SigmaProcess::Continuous(process) => {
            distribution.level(u, &process.config().preconditioning).sigma()
        }
        // For the distributions of flows, the time of the linear path.
        SigmaProcess::Timesteps(_) => {
            distribution.level(u, &Preconditioning::Edm { sigma_data: 0.5 }).sigma()
        }
    }
}

/// The quantiles of a distribution at σ_min and σ_max of a process with timesteps, by bisection; all of
/// them for continuous noise levels.
fn quantiles_within(process: &SigmaProcess, distribution: &NoiseDistribution) -> (f64, f64) {
    let quantile_of = |sigma: f64| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            match sigma_at(process, distribution, middle) < sigma {
                true => low = middle,
                false => high = middle,
            }
        }
        high
    };
    match process {
        SigmaProcess::Continuous(_) => (0.0, 1.0),
        SigmaProcess::Timesteps(process) => {
            let (min, max) = process.sigma_range();
            (quantile_of(min), quantile_of(max))
        }
    }
}

/// σ_data of a preconditioning; 0.5 where it has none.
fn sigma_data(process: &SigmaProcess) -> f64 {
    let SigmaProcess::Continuous(process) = process else { return 0.5 };
    match process.config().preconditioning {
        Preconditioning::Edm { sigma_data }
        | Preconditioning::EdmVelocity { sigma_data }
        | Preconditioning::Consistency { sigma_data, .. }
        | Preconditioning::TrigFlow { sigma_data } => sigma_data,
        _ => 0.5,
    }
}

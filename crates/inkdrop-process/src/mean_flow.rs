//! MeanFlow: a network of the mean velocity between two times, which samples in one step (Geng et al. 2025,
//! "Mean Flows for One-step Generative Modeling").

use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_schedule::{FlowPath, NoiseDistribution, NoiseLevel, Preconditioning};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{
    DefaultGenerator, DualInput, draw_dropout_key, jvp, split_mix_64, to_device_async,
};
use serde::{Deserialize, Serialize};

use crate::consistency::{Teacher, check_noise, without_batch_statistics};
use crate::continuous::{per_image, quantile};
use crate::{ContinuousProcess, LossTerms, ObjectiveConfig, ProcessError, TrainingObjective};

/// A network of mean velocities, u(z, t, h): z [B, C, H, W], the time t and the interval h = t − r, `[B]` each.
pub type MeanVelocity<'a> = &'a dyn Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor, ProcessError>;

/// The loss of MeanFlow. On the path z = (1 − t)·x0 + t·ε with velocity v, the network learns the mean
/// velocity u from t down to r by u = v − (t − r)·du/dt (Geng et al. 2025, eq. 6).
///
/// t and r are sigmoids of normal numbers. In a config: `loss = { mean-flow = { ratio = 0.75 } }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeanFlow {
    /// Share of images with r < t; the others learn the velocity at t. In [0, 1].
    pub ratio: f64,
    /// Mean of the normal number of t.
    pub mean_t: f64,
    /// Standard deviation of the normal number of t; > 0.
    pub std_t: f64,
    /// Mean of the normal number of r.
    pub mean_r: f64,
    /// Standard deviation of the normal number of r; > 0.
    pub std_r: f64,
    /// The larger one of both numbers is t; otherwise an r above t becomes t.
    pub sorted: bool,
    /// Power p of the weight 1/(s + eps)^p of an image with the squared error s; 0 for plain squared errors.
    pub norm_p: f64,
    /// eps of the weight; > 0.
    pub norm_eps: f64,
}

impl Default for MeanFlow {
    /// The settings of CIFAR-10 in the authors' PyTorch code.
    fn default() -> Self {
        let (mean_t, std_t, mean_r, std_r) = (-0.6, 1.6, -4.0, 1.6);
        Self {
            ratio: 0.75,
            mean_t,
            std_t,
            mean_r,
            std_r,
            sorted: false,
            norm_p: 0.75,
            norm_eps: 1e-3,
        }
    }
}

/// Points of the path, and the intervals of the mean velocities.
#[derive(Debug, Clone, Copy)]
pub struct MeanFlowBatch<'a> {
    /// z = (1 − t)·x0 + t·ε, [B, C, H, W].
    pub z: &'a Tensor,
    /// The velocity v at z: ε − x0, or that of a teacher; [B, C, H, W].
    pub velocity: &'a Tensor,
    /// t of each image, in (0, 1].
    pub times: &'a [f64],
    /// r of each image, in [0, t].
    pub ends: &'a [f64],
}

/// What the loss of MeanFlow consists of.
#[derive(Debug)]
pub struct MeanFlowTerms {
    /// u(z, t, t − r), [B, C, H, W].
    pub velocity: Tensor,
    /// du/dt along the path, v·∂u/∂z + ∂u/∂t with r fixed; [B, C, H, W].
    pub derivative: Tensor,
    /// s, the sum of squared errors of each image, `[B]`.
    pub squared: Tensor,
    /// The loss of each image, `[B]`.
    pub loss: Tensor,
}

impl MeanFlow {
    /// Validates the numbers.
    fn check(&self) -> Result<(), ProcessError> {
        let Self { ratio, norm_p, norm_eps, .. } = *self;
        let refuse = |field, given, expected| Err(ProcessError::Field { field, given, expected });
        if !(0.0..=1.0).contains(&ratio) {
            return refuse("ratio", ratio, "0 to 1");
        }
        if !(norm_p >= 0.0 && norm_p.is_finite()) {
            return refuse("norm_p", norm_p, "a finite number, 0 or above");
        }
        if !(norm_eps > 0.0 && norm_eps.is_finite()) {
            return refuse("norm_eps", norm_eps, "a finite number above 0");
        }
        Ok(self.distributions().iter().try_for_each(NoiseDistribution::check)?)
    }

    /// The distributions of t and r.
    fn distributions(&self) -> [NoiseDistribution; 2] {
        let Self { mean_t, std_t, mean_r, std_r, .. } = *self;
        let of = |mean, std| NoiseDistribution::LogitNormal { mean, std };
        [of(mean_t, std_t), of(mean_r, std_r)]
    }

    /// t and r.
    ///
    /// - quantiles: of t, of r, and the one that decides whether r is t; in (0, 1)
    pub fn times(&self, quantiles: [f64; 3]) -> (f64, f64) {
        let flow = Preconditioning::Flow { path: FlowPath::Linear, time_scale: 1.0 };
        let [t, r] = self.distributions();
        let time = |distribution: NoiseDistribution, u: f64| {
            FlowPath::Linear.time(distribution.level(u, &flow))
        };
        let [t, r] = [time(t, quantiles[0]), time(r, quantiles[1])];
        let (t, r) = if self.sorted { (t.max(r), t.min(r)) } else { (t, r.min(t)) };
        (t, if quantiles[2] < 1.0 - self.ratio { t } else { r })
    }

    /// The loss and its terms: s/(s + eps)^p with s = Σ(u − v + (t − r)·du/dt)², where du/dt and the
    /// denominator have no gradient (Geng et al. 2025, eq. 9 to 11).
    ///
    /// # Errors
    /// Those of the network.
    pub fn terms(
        &self,
        batch: MeanFlowBatch<'_>,
        network: MeanVelocity<'_>,
    ) -> Result<MeanFlowTerms, ProcessError> {
        let MeanFlowBatch { z, velocity: v, times, ends } = batch;
        let row = |values: &[f64]| -> Result<Tensor, ProcessError> {
            let kind = if z.kind() == Kind::Double { Kind::Double } else { Kind::Float };
            Ok(to_device_async(&Tensor::f_from_slice(values)?.f_to_kind(kind)?, z.device())?)
        };
        let lengths: Vec<f64> = times.iter().zip(ends).map(|(t, r)| t - r).collect();
        let (t, h) = (row(times)?, row(&lengths)?);
        let ones = t.f_ones_like()?;
        let inputs = [
            DualInput { primal: z, tangent: v },
            DualInput { primal: &t, tangent: &ones },
            DualInput { primal: &h, tangent: &ones },
        ];
        let (_, derivative) = jvp(&inputs, |inputs| network(&inputs[0], &inputs[1], &inputs[2]))?;
        let target = v.f_sub(&derivative.f_mul(&per_image(&lengths, |length| *length, z)?)?)?;

        let velocity = network(z, &t, &h)?;
        let squares = velocity.f_sub(&target.f_detach()?)?.f_square()?.f_flatten(1, -1)?;
        let squared = squares.f_sum_dim_intlist(1, false, squares.kind())?;
        let weight = squared.f_detach()?.f_add_scalar(self.norm_eps)?;
        let loss = squared.f_mul(&weight.f_pow_tensor_scalar(-self.norm_p)?)?;
        Ok(MeanFlowTerms { velocity, derivative, squared, loss })
    }
}

/// The loss of MeanFlow as a training objective. With a teacher, v is its velocity instead of ε − x0.
/// BatchNorm keeps its statistics (evaluation mode).
#[derive(Debug)]
pub struct MeanFlowObjective {
    process: ContinuousProcess,
    mean_flow: MeanFlow,
    teacher: Option<Teacher>,
}

impl MeanFlowObjective {
    /// # Errors
    /// A process of another preconditioning, or a number out of range.
    pub(crate) fn new(
        process: ContinuousProcess,
        mean_flow: MeanFlow,
        config: &ObjectiveConfig,
    ) -> Result<Self, ProcessError> {
        mean_flow.check()?;
        if process.interval_scale().is_none() {
            return Err(ProcessError::NeedsMeanFlow);
        }
        config.check_alone()?;
        if config.noise_distribution.is_some() {
            return Err(ProcessError::NotWithThisLoss("noise_distribution (mean_t, std_t)"));
        }
        Ok(Self { process, mean_flow, teacher: None })
    }

    /// The velocity at z: ε − x0, or (z − D(z))/t by the teacher.
    fn velocity(
        &self,
        (x0, noise): (&Tensor, &Tensor),
        z: &Tensor,
        times: &[f64],
        conditioning: &Conditioning,
    ) -> Result<Tensor, ProcessError> {
        let Some(teacher) = &self.teacher else { return Ok(noise.f_sub(x0)?) };
        let levels: Vec<_> = times.iter().map(|&t| FlowPath::Linear.level(t)).collect();
        // z has the variance of x0 + σ·ε, divided by (1 + σ)².
        let scale = |level: &NoiseLevel| level.signal() + level.noise();
        let x = z.f_mul(&per_image(&levels, scale, z)?)?;
        let x0 = teacher.denoise_scaled(&x, &levels, conditioning)?;
        Ok(z.f_sub(&x0)?.f_div(&per_image(times, |time| *time, z)?)?)
    }
}

impl TrainingObjective for MeanFlowObjective {
    fn set_teacher(&mut self, teacher: Teacher) -> Result<(), ProcessError> {
        self.teacher = Some(teacher);
        Ok(())
    }

    fn terms(
        &self,
        network: &dyn TrainableNetwork,
        (x0, t, noise): (&Tensor, &Tensor, &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<LossTerms, ProcessError> {
        check_noise(x0, noise)?;
        let indices = Vec::<i64>::try_from(&t.f_to_device(Device::Cpu)?)?;
        let pairs = indices.into_iter().map(|index| self.mean_flow.times(quantiles(index)));
        let (times, ends): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let signal = x0.f_mul(&per_image(&times, |t| 1.0 - t, x0)?)?;
        let z = signal.f_add(&noise.f_mul(&per_image(&times, |t| *t, x0)?)?)?;
        let velocity = self.velocity((x0, noise), &z, &times, conditioning)?;
        let mode = without_batch_statistics(network, mode);
        let (seed, scale) = (draw_dropout_key()?, self.process.interval_scale().unwrap_or(1.0));
        let of = |z: &Tensor, t: &Tensor, h: &Tensor| {
            let _same_masks = DefaultGenerator::seeded(seed);
            let interval = Some(h.f_mul_scalar(scale)?);
            let conditioning = Conditioning { interval, ..conditioning.shallow_clone() };
            Ok(network.forward_mode(z, &t.f_mul_scalar(scale)?, &conditioning, mode)?)
        };
        let batch = MeanFlowBatch { z: &z, velocity: &velocity, times: &times, ends: &ends };
        let MeanFlowTerms { squared, loss, .. } = self.mean_flow.terms(batch, &of)?;
        Ok(LossTerms { error: Some(squared), loss, bound: None })
    }
}

/// Three quantiles of an index of [`DiffusionProcess::training_levels`](crate::DiffusionProcess): its own, and
/// two that follow from it by SplitMix64, so that they do not depend on the batch.
fn quantiles(index: i64) -> [f64; 3] {
    let bits = |draw| split_mix_64(index as u64, draw) >> 12; // 52 of them
    let fraction = |draw| (bits(draw) as f64 + 0.5) / (1u64 << 52) as f64;
    [quantile(index), fraction(0), fraction(1)]
}

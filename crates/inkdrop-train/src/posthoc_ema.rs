//! Post-hoc EMA: an average of any width from snapshots of a run's power-function averages
//! (Karras et al. 2024, section 3 and appendix C).

use std::path::{Path, PathBuf};

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};

use crate::checkpoint::{prefix, saved_averages};
use crate::ema::gamma;
use crate::{EmaDecay, TrainError};

/// A power-function average of the weights at a step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmaProfile {
    /// Standard deviation of the profile as a share of the run so far; above 0 and below 0.288.
    pub width: f64,
    /// The step of the snapshot; > 0.
    pub step: f64,
}

impl EmaProfile {
    /// The exponent γ of the profile t^γ (Karras et al. 2024, eq. 126).
    pub fn gamma(self) -> f64 {
        gamma(self.width)
    }

    /// The inner product of two profiles (Karras et al. 2024, eq. 151 and algorithm 3).
    pub fn inner_product(self, other: Self) -> f64 {
        let (a, b) = (gamma(self.width), gamma(other.width));
        let ratio = self.step / other.step;
        let power = if ratio < 1.0 { ratio.powf(b) } else { ratio.powf(-a) };
        (a + 1.0) * (b + 1.0) * power / ((a + b + 1.0) * self.step.max(other.step))
    }
}

/// The coefficients with which snapshots are summed to approximate another profile, in the order of the
/// snapshots (Karras et al. 2024, algorithm 3). Their sum is 1.
///
/// # Errors
/// No snapshots, two equal ones, or a width or step out of range.
pub fn posthoc_coefficients(
    snapshots: &[EmaProfile],
    target: EmaProfile,
) -> Result<Vec<f64>, TrainError> {
    for profile in snapshots.iter().chain([&target]) {
        check("ema width", profile.width, profile.width > 0.0 && profile.width < EmaDecay::WIDEST)?;
        check("ema step", profile.step, profile.step > 0.0 && profile.step.is_finite())?;
    }
    let twice = |(i, profile): (usize, &EmaProfile)| snapshots[..i].contains(profile);
    if snapshots.is_empty() || snapshots.iter().enumerate().any(twice) {
        let (field, given) = ("snapshots", format!("{snapshots:?}"));
        return Err(TrainError::Field { field, given, expected: "one or more, all different" });
    }
    let count = snapshots.len() as i64;
    let products = |one: EmaProfile| snapshots.iter().map(move |other| other.inner_product(one));
    let matrix: Vec<f64> = snapshots.iter().flat_map(|one| products(*one)).collect();
    let matrix = Tensor::f_from_slice(&matrix)?.f_view([count, count])?;
    let right = Tensor::f_from_slice(&products(target).collect::<Vec<f64>>())?;
    let solution = Tensor::f_linalg_solve(&matrix, &right, true)?;
    let coefficients = Vec::<f64>::try_from(&solution)?;
    let sum: f64 = coefficients.iter().sum();
    Ok(coefficients.into_iter().map(|coefficient| coefficient / sum).collect())
}

fn check(field: &'static str, given: f64, fits: bool) -> Result<(), TrainError> {
    let expected = if field == "ema width" { "above 0 and below 0.288" } else { "above 0" };
    match fits {
        true => Ok(()),
        false => Err(TrainError::Field { field, given: given.to_string(), expected }),
    }
}

/// Reconstructs the average with a width from the checkpoints of a run up to a step.
///
/// - checkpoints: of one run with averages `power=…` in `train.ema`; two widths, such as 0.05 and 0.1,
///   and a dozen checkpoints give good accuracy
/// - step: of the average; that of the newest checkpoint if `None`
///
/// Returns the weights by the network's names.
///
/// # Errors
/// A checkpoint cannot be read, there is no power-function average up to that step, or the width is out
/// of range.
pub fn posthoc_ema(
    checkpoints: &[PathBuf],
    width: f64,
    step: Option<usize>,
) -> Result<StateDict, TrainError> {
    let _guard = no_grad_guard();
    let mut snapshots = Vec::new();
    for path in checkpoints {
        snapshots.extend(Snapshot::of(path)?);
    }
    let newest = snapshots.iter().map(|snapshot| snapshot.step).max().unwrap_or(0);
    let last = step.unwrap_or(newest);
    snapshots.retain(|snapshot| snapshot.step <= last);
    snapshots.sort_by_key(|snapshot| snapshot.step); // counters are those of the newest
    if snapshots.is_empty() {
        return Err(TrainError::Field {
            field: "train.ema",
            given: format!(
                "no average power=… from the first step on in a checkpoint up to step {last}"
            ),
            expected: "such as [\"power=0.05\", \"power=0.1\"], and train.keep_every above 0; one that began later holds the weights of that step",
        });
    }
    let profiles: Vec<EmaProfile> = snapshots.iter().map(Snapshot::profile).collect();
    let target = EmaProfile { width, step: last as f64 };
    let coefficients = posthoc_coefficients(&profiles, target)?;
    weighted_sum(&snapshots, &coefficients)
}

/// A power-function average in a checkpoint.
struct Snapshot<'a> {
    path: &'a Path,
    decay: EmaDecay,
    width: f64,
    step: usize,
}

impl<'a> Snapshot<'a> {
    /// All power-function averages of a checkpoint, without those that hold more than 1 % of the weights that they began
    /// with: their profile is another one.
    fn of(path: &'a Path) -> Result<Vec<Self>, TrainError> {
        let state = StateDict::open(path)?;
        let step: usize = state.metadata("step")?.unwrap_or(0);
        let snapshot = |(decay, begin): (EmaDecay, usize)| match decay {
            EmaDecay::Power { width }
                if step > 0 && decay.initial_share(begin..step, 1) <= 0.01 =>
            {
                Some(Self { path, decay, width, step })
            }
            _ => None,
        };
        Ok(saved_averages(&state)?.into_iter().filter_map(snapshot).collect())
    }

    fn profile(&self) -> EmaProfile {
        EmaProfile { width: self.width, step: self.step as f64 }
    }
}

/// Σ c·weights in f64, returned in the dtype of the weights. Counters are those of the last snapshot.
fn weighted_sum(snapshots: &[Snapshot], coefficients: &[f64]) -> Result<StateDict, TrainError> {
    let mut sums = StateDict::default();
    for (snapshot, &coefficient) in snapshots.iter().zip(coefficients) {
        let weights = StateDict::open(snapshot.path)?.below(&prefix(snapshot.decay));
        for (name, tensor) in weights.iter() {
            let sum = match (sums.get(name), tensor.kind()) {
                (_, Kind::Int64) => tensor.f_detach_copy()?,
                (None, _) => scaled(tensor, coefficient)?,
                (Some(sum), _) => sum.f_add(&scaled(tensor, coefficient)?)?,
            };
            sums.insert(name, sum);
        }
    }
    let mut weights = StateDict::default();
    for (name, sum) in sums.iter() {
        let kind = if sum.kind() == Kind::Double { Kind::Float } else { sum.kind() };
        weights.insert(name, sum.f_to_kind(kind)?);
    }
    Ok(weights)
}

fn scaled(tensor: &Tensor, factor: f64) -> Result<Tensor, TrainError> {
    Ok(tensor.f_to_kind(Kind::Double)?.f_mul_scalar(factor)?)
}

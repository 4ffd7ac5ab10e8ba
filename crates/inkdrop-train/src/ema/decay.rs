//! The decay of an exponential moving average at each step, as configs write it.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Letters of a file name at most.
const LONGEST: usize = 150;

/// The decay of an exponential moving average, as configs write it:
///
/// | text | decay after step n (from 1) |
/// |---|---|
/// | `0.9999` | constant (improved-diffusion) |
/// | `0.9999:start=2000` | 0 before step 2000, then constant (nanodiffusion) |
/// | `0.9999:warm-up` | at most n/(9 + n) (TensorFlow's EMA with `num_updates`) |
/// | `0.995:ema-pytorch` | that of ema-pytorch with its defaults ([`EmaPytorch`]), and so lucidrains' Trainer |
/// | `0.9999:ema-pytorch:update-every=1:power=0.75` | the same with other arguments: `update-after-step`, `update-every`, `inv-gamma`, `power`, `min-value` |
/// | `halflife-kimg=500:rampup-ratio=0.05` | 0.5^(batch/h) with h = min(500 000, 0.05·images before the step) (EDM; `rampup-ratio` may be left out) |
/// | `power=0.1` | (1 − 1/n)^(γ+1): a power-function profile whose width is that share of the run so far (Karras et al. 2024, eq. 121–127) |
///
/// With decay `0` the average equals the weights.
///
/// ```
/// use inkdrop_train::EmaDecay;
/// let decay: EmaDecay = "0.9999:start=2000".parse()?;
/// assert_eq!(decay.at(1998, 128), 0.0);
/// assert_eq!(decay.at(1999, 128), 0.9999);
/// # Ok::<(), inkdrop_train::TrainError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EmaDecay {
    /// A constant decay, perhaps with a late start or a warmup.
    Constant {
        /// The decay, in [0, 1).
        decay: f64,
        /// First step of averaging, counted from 1; 0 and 1 average from the first step on. Before it
        /// the average equals the weights.
        start: usize,
        /// True to cap the decay at n/(9 + n) after step n.
        warmup: bool,
    },
    /// The decay of ema-pytorch.
    EmaPytorch(EmaPytorch),
    /// A half-life in images (Karras et al. 2022, appendix F).
    HalfLife {
        /// Half-life in thousands of images; > 0 (EDM's `ema_halflife_kimg`).
        kimg: f64,
        /// Largest half-life as a share of the images before the step, > 0; `None` for no limit (EDM's
        /// `ema_rampup_ratio`).
        rampup: Option<f64>,
    },
    /// A power-function profile.
    Power {
        /// Standard deviation of the profile as a share of the run so far; above 0 and below
        /// 0.288 (γ ≈ 0.01).
        width: f64,
    },
}

/// The arguments of ema-pytorch's `EMA`, which calls this the inverse decay schedule.
///
/// The average changes in every `update_every`-th step only, from the first on. Until `update_after_step` it becomes
/// equal to the weights then; after that its decay is 1 − (1 + n/inv_gamma)^−power within `min_value` and `beta`, where n
/// is the number of steps since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmaPytorch {
    /// Largest decay, in [0, 1).
    pub beta: f64,
    /// Steps in which the average follows the weights.
    pub update_after_step: usize,
    /// Number of steps from one update to the next; > 0.
    pub update_every: usize,
    /// Time scale of the rise, in steps; > 0.
    pub inv_gamma: f64,
    /// Exponent of the rise; > 0.
    pub power: f64,
    /// Smallest decay, in [0, beta].
    pub min_value: f64,
}

impl EmaPytorch {
    /// The arguments with their defaults: 100 steps of copies, every 10th step, γ = 1, power 2/3.
    pub const fn new(beta: f64) -> Self {
        let (update_after_step, update_every) = (100, 10);
        let (inv_gamma, power, min_value) = (1.0, 2.0 / 3.0, 0.0);
        Self { beta, update_after_step, update_every, inv_gamma, power, min_value }
    }

    /// - step: counted from 0
    fn at(self, step: usize) -> f64 {
        if !step.is_multiple_of(self.update_every) {
            return 1.0;
        }
        if step <= self.update_after_step {
            return 0.0;
        }
        // The package computes the decay in f32.
        let since = (step - self.update_after_step) as f32 / self.inv_gamma as f32;
        let left = f64::from(1.0 + since).powf(f64::from(-self.power as f32)) as f32;
        let decay = (1.0 - left).clamp(self.min_value as f32, self.beta as f32);
        f64::from(decay)
    }
}

impl EmaDecay {
    /// The widest power profile: γ is near 0 there.
    pub(crate) const WIDEST: f64 = 0.288;

    /// A constant decay from the first step on.
    pub const fn constant(decay: f64) -> Self {
        Self::Constant { decay, start: 0, warmup: false }
    }

    /// A decay that is lower in the first steps.
    pub const fn with_warmup(decay: f64) -> Self {
        Self::Constant { decay, start: 0, warmup: true }
    }

    /// The decay after a step, 0 to 1; 1 in a step that does not change the average. The warmup caps it at n/(9 + n)
    /// with n = step + 1.
    ///
    /// - step: counted from 0
    /// - batch: number of images in a step
    pub fn at(self, step: usize, batch: usize) -> f64 {
        let n = (step + 1) as f64;
        match self {
            Self::Constant { start, .. } if step + 1 < start => 0.0,
            Self::Constant { decay, warmup: true, .. } => decay.min(n / (9.0 + n)),
            Self::Constant { decay, .. } => decay,
            Self::EmaPytorch(arguments) => arguments.at(step),
            Self::HalfLife { kimg, rampup } => {
                let (batch, seen) = (batch as f64, step as f64 * batch as f64);
                let risen = rampup.map_or(f64::INFINITY, |ratio| seen * ratio);
                let halflife = (1000.0 * kimg).min(risen);
                // EDM's interpolation rounds the decay to f32.
                f64::from(0.5f64.powf(batch / halflife.max(1e-8)) as f32)
            }
            Self::Power { width } => (1.0 - 1.0 / n).powf(gamma(width) + 1.0),
        }
    }

    /// The share of the initial weights in the average after some steps, 0 to 1: the product of the
    /// decays.
    ///
    /// - steps: counted from 0; the first one is that at which the average began
    ///
    /// ```
    /// use inkdrop_train::EmaDecay;
    /// assert!(EmaDecay::constant(0.9999).initial_share(0..20, 64) > 0.99);
    /// assert!(EmaDecay::with_warmup(0.9999).initial_share(0..20, 64) < 1e-5);
    /// assert!(EmaDecay::with_warmup(0.9999).initial_share(500_000..500_020, 64) > 0.99);
    /// ```
    pub fn initial_share(self, steps: Range<usize>, batch: usize) -> f64 {
        steps.map(|step| self.at(step, batch)).product()
    }

    /// The text with signs that file systems accept.
    pub fn file_name(self) -> String {
        self.to_string().replace(':', "_").replace('=', "-")
    }

    /// Returns an error if a list of decays is empty or has a duplicate.
    pub(crate) fn check_all(decays: &[Self]) -> Result<(), TrainError> {
        let refuse = |given: String, expected| {
            Err(TrainError::Field { field: "train.ema", given, expected })
        };
        if decays.is_empty() {
            let expected = "at least one decay; \"0\" keeps the weights as they are";
            return refuse("[]".to_string(), expected);
        }
        if let Some(long) = decays.iter().find(|decay| decay.file_name().len() > LONGEST) {
            return refuse(long.to_string(), "numbers of fewer digits: files are named after it");
        }
        match decays.iter().enumerate().find(|(i, decay)| decays[..*i].contains(decay)) {
            Some((_, twice)) => refuse(twice.to_string(), "each decay once"),
            None => Ok(()),
        }
    }
}

/// The exponent γ of a power profile: the positive root of σ²·(γ+2)²·(γ+3) = γ+1
/// (Karras et al. 2024, eq. 126), by bisection.
pub(crate) fn gamma(width: f64) -> f64 {
    let wide = |gamma: f64| ((gamma + 1.0) / ((gamma + 2.0).powi(2) * (gamma + 3.0))).sqrt();
    let (mut low, mut high) = (0.0, 1.0);
    while wide(high) > width {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if wide(middle) > width { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

impl fmt::Display for EmaDecay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power { width } => write!(f, "power={width}"),
            Self::HalfLife { kimg, rampup } => {
                write!(f, "halflife-kimg={kimg}")?;
                rampup.map_or(Ok(()), |ratio| write!(f, ":rampup-ratio={ratio}"))
            }
            Self::EmaPytorch(arguments) => arguments.fmt(f),
            Self::Constant { decay, start, warmup } => {
                write!(f, "{decay}")?;
                if *start > 0 {
                    write!(f, ":start={start}")?;
                }
                if *warmup { f.write_str(":warm-up") } else { Ok(()) }
            }
        }
    }
}

impl fmt::Display for EmaPytorch {
    /// Arguments with their default are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beta, update_after_step, update_every, inv_gamma, power, min_value } = *self;
        let usual = Self::new(beta);
        write!(f, "{beta}:ema-pytorch")?;
        if update_after_step != usual.update_after_step {
            write!(f, ":update-after-step={update_after_step}")?;
        }
        if update_every != usual.update_every {
            write!(f, ":update-every={update_every}")?;
        }
        let others = [
            ("inv-gamma", inv_gamma, usual.inv_gamma),
            ("power", power, usual.power),
            ("min-value", min_value, usual.min_value),
        ];
        for (name, value, usual) in others {
            if value != usual {
                write!(f, ":{name}={value}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for EmaDecay {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        parse(text).ok_or_else(|| TrainError::Field {
            field: "train.ema",
            given: text.to_string(),
            expected: "DECAY from 0 to below 1, perhaps with :start=STEP, :warm-up or :ema-pytorch (and \
                       its :update-after-step=, :update-every=, :inv-gamma=, :power=, :min-value=); or \
                       halflife-kimg=KIMG, perhaps with :rampup-ratio=RATIO; or power=WIDTH above 0 and below 0.288",
        })
    }
}

fn parse(text: &str) -> Option<EmaDecay> {
    let names: Vec<&str> = text.split(':').filter_map(|field| field.split('=').next()).collect();
    if (1..names.len()).any(|i| names[..i].contains(&names[i])) {
        return None; // a field twice
    }
    if let Some(width) = text.strip_prefix("power=") {
        let width: f64 = width.parse().ok()?;
        return (0.0 < width && width < EmaDecay::WIDEST).then_some(EmaDecay::Power { width });
    }
    let mut fields = text.split(':');
    let first = fields.next()?;
    if let Some(kimg) = first.strip_prefix("halflife-kimg=") {
        let (kimg, mut rampup) = (positive(kimg)?, None);
        for field in fields {
            rampup = Some(positive(field.strip_prefix("rampup-ratio=")?)?);
        }
        return Some(EmaDecay::HalfLife { kimg, rampup });
    }
    let decay = first.parse().ok().filter(|decay| (0.0..1.0).contains(decay))?;
    if fields.clone().next() == Some("ema-pytorch") {
        return ema_pytorch(decay, fields.skip(1)).map(EmaDecay::EmaPytorch);
    }
    let (mut start, mut warmup) = (0, false);
    for field in fields {
        match field.strip_prefix("start=") {
            Some(step) => start = step.parse().ok()?,
            None if field == "warm-up" || field == "warmup" => warmup = true,
            None => return None,
        }
    }
    Some(EmaDecay::Constant { decay, start, warmup })
}

fn ema_pytorch<'a>(beta: f64, fields: impl Iterator<Item = &'a str>) -> Option<EmaPytorch> {
    let mut arguments = EmaPytorch::new(beta);
    for field in fields {
        let (name, value) = field.split_once('=')?;
        match name {
            "update-after-step" => arguments.update_after_step = value.parse().ok()?,
            "update-every" => {
                arguments.update_every = value.parse().ok().filter(|&every| every > 0)?;
            }
            "inv-gamma" => arguments.inv_gamma = positive(value)?,
            "power" => arguments.power = positive(value)?,
            "min-value" => {
                arguments.min_value =
                    value.parse().ok().filter(|least| (0.0..=beta).contains(least))?;
            }
            _ => return None,
        }
    }
    Some(arguments)
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| *value > 0.0 && value.is_finite())
}

impl TryFrom<String> for EmaDecay {
    type Error = TrainError;

    fn try_from(text: String) -> Result<Self, TrainError> {
        text.parse()
    }
}

impl From<EmaDecay> for String {
    fn from(decay: EmaDecay) -> Self {
        decay.to_string()
    }
}

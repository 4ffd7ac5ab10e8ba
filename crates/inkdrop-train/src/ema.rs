//! Exponential moving averages (EMA) of the weights; samples come from them.

use std::fmt;
use std::str::FromStr;

use inkdrop_checkpoint::{StateDict, check};
use inkdrop_nn::TrainableNetwork;
use inkdrop_torch::lerp_all;
use inkdrop_torch::tch::{Kind, Tensor, no_grad_guard};
use serde::{Deserialize, Serialize};

use crate::{MasterWeights, TrainError};

/// The decay of an exponential moving average, as configs write it:
///
/// | text | decay after step n (from 1) |
/// |---|---|
/// | `0.9999` | constant (improved-diffusion) |
/// | `0.9999:start=2000` | 0 before step 2000, then constant (nanodiffusion) |
/// | `0.9999:warm-up` | at most n/(9 + n) (TensorFlow's EMA with `num_updates`) |
/// | `power=0.1` | (1 − 1/n)^(γ+1): a power-function profile whose width is that share of the run so far (Karras et al. 2024, eq. 121–127) |
///
/// With decay `0` the average equals the weights.
///
/// ```
/// use inkdrop_train::EmaDecay;
/// let decay: EmaDecay = "0.9999:start=2000".parse()?;
/// assert_eq!(decay.at(1998), 0.0);
/// assert_eq!(decay.at(1999), 0.9999);
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
    /// A power-function profile.
    Power {
        /// Standard deviation of the profile as a share of the run so far; above 0 and below
        /// 0.288 (γ ≈ 0.01).
        width: f64,
    },
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

    /// The decay after a step; the warmup caps it at n/(9 + n) with n = step + 1.
    ///
    /// - step: counted from 0
    pub fn at(self, step: usize) -> f64 {
        let n = (step + 1) as f64;
        match self {
            Self::Constant { start, .. } if step + 1 < start => 0.0,
            Self::Constant { decay, warmup: true, .. } => decay.min(n / (9.0 + n)),
            Self::Constant { decay, .. } => decay,
            Self::Power { width } => (1.0 - 1.0 / n).powf(gamma(width) + 1.0),
        }
    }

    /// The share of the initial weights in the average after some steps, 0 to 1: the product of the
    /// decays.
    ///
    /// ```
    /// use inkdrop_train::EmaDecay;
    /// assert!(EmaDecay::constant(0.9999).initial_share(20) > 0.99);
    /// assert!(EmaDecay::with_warmup(0.9999).initial_share(20) < 1e-5);
    /// ```
    pub fn initial_share(self, steps: usize) -> f64 {
        (0..steps).map(|step| self.at(step)).product()
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

impl FromStr for EmaDecay {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        parse(text).ok_or_else(|| TrainError::Field {
            field: "train.ema",
            given: text.to_string(),
            expected: "DECAY from 0 to below 1, perhaps with :start=STEP or :warm-up, or \
                       power=WIDTH above 0 and below 0.288",
        })
    }
}

fn parse(text: &str) -> Option<EmaDecay> {
    if let Some(width) = text.strip_prefix("power=") {
        let width: f64 = width.parse().ok()?;
        return (0.0 < width && width < EmaDecay::WIDEST).then_some(EmaDecay::Power { width });
    }
    let mut fields = text.split(':');
    let decay = fields.next()?.parse().ok().filter(|decay| (0.0..1.0).contains(decay))?;
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

/// Exponential moving averages of one network with several decays.
///
/// Running statistics are averaged like weights and counters are copied, so that each average is
/// a complete network. The average with the first decay is stored in a network, ready to sample
/// from; the other averages are tensors.
pub struct EmaSet {
    network: Box<dyn TrainableNetwork>,
    averages: Vec<Average>,
}

struct Average {
    decay: EmaDecay,
    /// One for each tensor of the network, in its order.
    tensors: Vec<Tensor>,
}

impl EmaSet {
    /// EMAs with the current weights as initial values.
    ///
    /// - network: holds the average with the first decay; built from the trained network's config
    ///
    /// # Errors
    /// `decays` is empty or has a duplicate; libtorch failed.
    ///
    /// # Panics
    /// `network` was built from another config.
    pub fn new(
        network: Box<dyn TrainableNetwork>,
        master: &MasterWeights,
        decays: &[EmaDecay],
    ) -> Result<Self, TrainError> {
        EmaDecay::check_all(decays)?;
        let _guard = no_grad_guard();
        let mut averages = Vec::new();
        for (number, &decay) in decays.iter().enumerate() {
            let mut tensors = Vec::new();
            for (param, weight) in network.params().iter().zip(master.iter()) {
                assert_eq!(param.name, weight.name, "the EMA network has another config");
                let mut tensor = match number {
                    0 => param.tensor.shallow_clone(),
                    _ => param.tensor.f_zeros_like()?,
                };
                tensor.f_copy_(weight.value())?;
                tensors.push(tensor);
            }
            averages.push(Average { decay, tensors });
        }
        Ok(Self { network, averages })
    }

    /// The network that holds the average with the first decay.
    pub fn network(&self) -> &dyn TrainableNetwork {
        self.network.as_ref()
    }

    /// The decays, in order.
    pub fn decays(&self) -> impl Iterator<Item = EmaDecay> {
        self.averages.iter().map(|average| average.decay)
    }

    /// Updates all exponential moving averages: ema ← decay·ema + (1 − decay)·weights.
    ///
    /// - step: the optimizer step that changed the weights, counted from 0
    ///
    /// # Errors
    /// libtorch failed.
    pub fn update(&mut self, master: &MasterWeights, step: usize) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        for Average { decay, tensors } in &mut self.averages {
            let new_share = 1.0 - decay.at(step);
            let mut averaged = Vec::new();
            for (tensor, weight) in tensors.iter_mut().zip(master.iter()) {
                if new_share == 1.0 || tensor.kind() == Kind::Int64 {
                    tensor.f_copy_(weight.value())?;
                } else {
                    averaged.push((&*tensor, weight.value()));
                }
            }
            lerp_all(&averaged, new_share)?;
        }
        Ok(())
    }

    /// The average with a decay, by the network's names; `None` without such an average.
    pub fn weights(&self, decay: EmaDecay) -> Option<StateDict> {
        let average = self.averages.iter().find(|average| average.decay == decay)?;
        let mut weights = StateDict::default();
        for (param, tensor) in self.network.params().iter().zip(&average.tensors) {
            weights.insert(param.name.clone(), tensor.shallow_clone());
        }
        Some(weights)
    }

    /// Loads an average; with decay `None`, loads the weights into all averages.
    ///
    /// # Errors
    /// Names or shapes differ from the network's.
    pub fn set(&mut self, decay: Option<EmaDecay>, weights: &StateDict) -> Result<(), TrainError> {
        let _guard = no_grad_guard();
        check(self.network.params(), weights)?;
        let chosen = |average: &&mut Average| decay.is_none_or(|decay| decay == average.decay);
        for average in self.averages.iter_mut().filter(chosen) {
            for (param, tensor) in self.network.params().iter().zip(&mut average.tensors) {
                if let Some(given) = weights.get(&param.name) {
                    tensor.f_copy_(given)?;
                }
            }
        }
        Ok(())
    }
}

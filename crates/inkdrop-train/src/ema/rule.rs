//! How much of the past an average keeps at each step.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// A rule of a moving average, as configs write it:
///
/// | text | after step n (from 1) it keeps |
/// |---|---|
/// | `0.9999` | that share of the past, from the first step on (improved-diffusion) |
/// | `0.9999:start=2000` | nothing before step 2000, then that share (nanodiffusion) |
/// | `0.9999:warm-up` | no more than n/(9 + n) (TensorFlow's average with `num_updates`) |
/// | `power=0.1` | (1 − 1/n)^(γ+1): a profile as wide as that share of the run so far (Karras et al. 2024, eq. 121–127) |
///
/// `0` keeps nothing: the average is the weights themselves.
///
/// ```
/// use inkdrop_train::EmaDecay;
/// let rule: EmaDecay = "0.9999:start=2000".parse()?;
/// assert_eq!(rule.kept(1998), 0.0);
/// assert_eq!(rule.kept(1999), 0.9999);
/// # Ok::<(), inkdrop_train::TrainError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EmaDecay {
    /// A share of the past.
    Decay {
        /// The share, in [0, 1).
        decay: f64,
        /// The step, from 1, before which the average follows the weights.
        start: usize,
        /// Whether the first steps keep less.
        warm_up: bool,
    },
    /// A power of the time.
    Power {
        /// Standard deviation of the profile as a share of the run so far, above 0 and below
        /// 0.28 (γ = 0.01 or so).
        width: f64,
    },
}

impl EmaDecay {
    /// The widest power profile: γ comes near 0 there.
    const WIDEST: f64 = 0.28;

    /// A share of the past, from the first step on.
    pub const fn constant(decay: f64) -> Self {
        Self::Decay { decay, start: 0, warm_up: false }
    }

    /// A share of the past, less in the first steps.
    pub const fn with_warmup(decay: f64) -> Self {
        Self::Decay { decay, start: 0, warm_up: true }
    }

    /// The share of the past that is kept after step `step`, counted from 0.
    pub fn kept(self, step: usize) -> f64 {
        let n = (step + 1) as f64;
        match self {
            Self::Decay { start, .. } if step + 1 < start => 0.0,
            Self::Decay { decay, warm_up: true, .. } => decay.min(n / (9.0 + n)),
            Self::Decay { decay, .. } => decay,
            Self::Power { width } => (1.0 - 1.0 / n).powf(gamma(width) + 1.0),
        }
    }

    /// A name for files: the text with signs that file systems take.
    pub fn file_name(self) -> String {
        self.to_string().replace(':', "_").replace('=', "-")
    }

    /// Checks a list of rules.
    pub(crate) fn check_all(rules: &[Self]) -> Result<(), TrainError> {
        let refuse = |given: String, expected| {
            Err(TrainError::Field { field: "train.ema", given, expected })
        };
        if rules.is_empty() {
            return refuse(
                "[]".to_string(),
                "at least one rule; \"0\" keeps the weights as they are",
            );
        }
        match rules.iter().enumerate().find(|(i, rule)| rules[..*i].contains(rule)) {
            Some((_, twice)) => refuse(twice.to_string(), "each rule once"),
            None => Ok(()),
        }
    }
}

/// The exponent of a profile of this width: the positive root of
/// σ²·(γ+2)²·(γ+3) = γ+1 (Karras et al. 2024, eq. 126), where the left side falls behind the
/// right from 0 on.
fn gamma(width: f64) -> f64 {
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
            Self::Decay { decay, start, warm_up } => {
                write!(f, "{decay}")?;
                if *start > 0 {
                    write!(f, ":start={start}")?;
                }
                if *warm_up { f.write_str(":warm-up") } else { Ok(()) }
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
                       power=WIDTH above 0 and below 0.28",
        })
    }
}

fn parse(text: &str) -> Option<EmaDecay> {
    if let Some(width) = text.strip_prefix("power=") {
        let width: f64 = width.parse().ok()?;
        return (0.0 < width && width < EmaDecay::WIDEST).then_some(EmaDecay::Power { width });
    }
    let mut parts = text.split(':');
    let decay = parts.next()?.parse().ok().filter(|decay| (0.0..1.0).contains(decay))?;
    let (mut start, mut warm_up) = (0, false);
    for part in parts {
        match part.strip_prefix("start=") {
            Some(step) => start = step.parse().ok()?,
            None if part == "warm-up" => warm_up = true,
            None => return None,
        }
    }
    Some(EmaDecay::Decay { decay, start, warm_up })
}

impl TryFrom<String> for EmaDecay {
    type Error = TrainError;

    fn try_from(text: String) -> Result<Self, TrainError> {
        text.parse()
    }
}

impl From<EmaDecay> for String {
    fn from(rule: EmaDecay) -> Self {
        rule.to_string()
    }
}

//! Config of lucidrains' U-Nets.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, ImageSize};

/// Config of lucidrains' U-Nets. The original's names are in brackets.
///
/// Over one axis (`Unet1D`), or with classes (the network of `classifier_free_guidance`), the network has
/// the older layout: no memory, linear attention of 4 heads with 32 channels at every stage, and 4-wide
/// convolutions that halve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LucidConfig {
    /// Default image size. The network takes other sizes, too.
    pub size: ImageSize,
    /// Image channels (`channels`); ≥ 1.
    pub channels: i64,
    /// Output channels (`out_dim`): those of the image, or twice as many (`learned_variance`).
    pub outputs: i64,
    /// Unit of the channels, and width of the sinusoids (`dim`); even.
    pub features: i64,
    /// Channels of the first convolution (`init_dim`); `features` if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_features: Option<i64>,
    /// Channels of each stage, in units of `features` (`dim_mults`).
    pub multipliers: Vec<i64>,
    /// Attention heads (`attn_heads`): one number, or one for each stage. The middle has those of the
    /// last stage; in the older layout they are those of the middle alone.
    #[serde(default = "four")]
    pub heads: Vec<i64>,
    /// Channels of a head (`attn_dim_head`), in the same form.
    #[serde(default = "thirty_two")]
    pub head_channels: Vec<i64>,
    /// Stages with full attention (`full_attn`): one value, or one for each stage; empty for the last
    /// stage alone. The middle has it always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full_attention: Vec<bool>,
    /// The network takes an earlier prediction of x0 beside x (`self_condition`; Chen et al. 2022).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub self_condition: bool,
    /// Longest period of the sinusoids, in units of 2π (`sinusoidal_pos_emb_theta`); above 1.
    #[serde(default = "ten_thousand")]
    pub theta: f64,
    /// Width of the Fourier features of t (`learned_sinusoidal_dim`), instead of sinusoids; even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fourier_features: Option<i64>,
    /// Their frequencies are drawn once (`random_fourier_features`) instead of trained
    /// (`learned_sinusoidal_cond`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub random_fourier: bool,
    /// Dropout probability (`dropout`); 0 ≤ p < 1.
    #[serde(default)]
    pub dropout: f64,
    /// Number of classes (`num_classes`), without the null class, whose id is this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<i64>,
    /// Axes of the images: 2, or 1 for `Unet1D`, whose length is the width of `size`.
    #[serde(default = "two", skip_serializing_if = "is_two")]
    pub dims: usize,
    /// Gradient checkpointing of residual and attention blocks.
    #[serde(default)]
    pub checkpoint: bool,
}

fn four() -> Vec<i64> {
    vec![4]
}

fn thirty_two() -> Vec<i64> {
    vec![32]
}

fn ten_thousand() -> f64 {
    10_000.0
}

fn two() -> usize {
    2
}

fn is_two(dims: &usize) -> bool {
    *dims == 2
}

impl LucidConfig {
    /// The network of the package's front page: `Unet(dim = 64, dim_mults = (1, 2, 4, 8))`, 35.7 million
    /// parameters, for images of 128×128.
    pub fn readme() -> Self {
        Self {
            size: ImageSize::square(128),
            channels: 3,
            outputs: 3,
            features: 64,
            init_features: None,
            multipliers: vec![1, 2, 4, 8],
            heads: four(),
            head_channels: thirty_two(),
            full_attention: Vec::new(),
            self_condition: false,
            theta: ten_thousand(),
            fourier_features: None,
            random_fourier: false,
            dropout: 0.0,
            classes: None,
            dims: 2,
            checkpoint: false,
        }
    }

    /// True for the layout of `Unet1D` and `classifier_free_guidance`.
    pub(super) fn is_older(&self) -> bool {
        self.dims == 1 || self.classes.is_some()
    }

    /// Channels at the input of each stage, and of the last stage's output.
    pub(super) fn widths(&self) -> Vec<i64> {
        let stages = self.multipliers.iter().map(|times| times.saturating_mul(self.features));
        std::iter::once(self.init_features.unwrap_or(self.features)).chain(stages).collect()
    }

    /// Heads and their channels at a stage.
    pub(super) fn heads_at(&self, stage: usize) -> (i64, i64) {
        (of_stage(&self.heads, stage), of_stage(&self.head_channels, stage))
    }

    /// True for full attention at a stage.
    pub(super) fn is_full(&self, stage: usize) -> bool {
        match self.full_attention[..] {
            [] => stage + 1 == self.multipliers.len() && !self.is_older(),
            [all] => all,
            ref each => each[stage],
        }
    }

    /// Checks the fields one by one.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("channels", self.channels, 1)?;
        ConfigError::at_least("outputs", self.outputs, 1)?;
        ConfigError::features(self.features)?;
        ConfigError::levels("multipliers", self.multipliers.len())?;
        for &times in &self.multipliers {
            ConfigError::within("multipliers", times, 1, 1024)?;
        }
        if let Some(width) = self.init_features {
            ConfigError::at_least("init_features", width, 1)?;
        }
        if !matches!(self.dims, 1 | 2) {
            let problem = "is not supported: expected 1 or 2 axes";
            return Err(ConfigError::field("dims", self.dims, problem));
        }
        if let Some(classes) = self.classes {
            ConfigError::within("classes", classes, 1, 1 << 24)?;
        }
        ConfigError::dropout(self.dropout)?;
        self.check_time()?;
        self.check_attention()?;
        self.check_older()
    }

    fn check_time(&self) -> Result<(), ConfigError> {
        let Some(width) = self.fourier_features else {
            if self.random_fourier {
                let problem = "needs fourier_features: expected their number, such as 16";
                return Err(ConfigError::field("random_fourier", true, problem));
            }
            if self.features < 4 || self.features % 2 != 0 {
                let problem = "is odd or below 4: expected an even number, since the timestep embedding has pairs of sine and cosine";
                return Err(ConfigError::field("features", self.features, problem));
            }
            if !(self.theta > 1.0 && self.theta.is_finite()) {
                let problem = "is out of range: expected a finite number above 1";
                return Err(ConfigError::field("theta", self.theta, problem));
            }
            return Ok(());
        };
        ConfigError::within("fourier_features", width, 2, 1 << 16)?;
        if width % 2 != 0 {
            let problem =
                "is odd: expected an even number, since they are pairs of sine and cosine";
            return Err(ConfigError::field("fourier_features", width, problem));
        }
        Ok(())
    }

    fn check_attention(&self) -> Result<(), ConfigError> {
        let stages = self.multipliers.len();
        let given = |field, count: usize, empty: bool| match count {
            0 if empty => Ok(()),
            1 => Ok(()),
            _ if count == stages => Ok(()),
            _ => {
                let problem =
                    format!("cannot be: expected one value, or one for each of {stages} stages");
                Err(ConfigError::field(field, format!("of {count} values"), problem))
            }
        };
        given("heads", self.heads.len(), false)?;
        given("head_channels", self.head_channels.len(), false)?;
        given("full_attention", self.full_attention.len(), true)?;
        for &heads in &self.heads {
            ConfigError::within("heads", heads, 1, 1 << 12)?;
        }
        for &channels in &self.head_channels {
            ConfigError::within("head_channels", channels, 1, 1 << 12)?;
        }
        Ok(())
    }

    /// What the older layout does not have.
    fn check_older(&self) -> Result<(), ConfigError> {
        if !self.is_older() {
            return Ok(());
        }
        let which = if self.dims == 1 { "over one axis" } else { "with classes" };
        let fail = |field, given: String, expected: &str| {
            let problem = format!("cannot be: lucidrains' network {which} has {expected}");
            Err(ConfigError::field(field, given, problem))
        };
        if !self.full_attention.is_empty() {
            let given = format!("{:?}", self.full_attention);
            return fail("full_attention", given, "linear attention at every stage: leave it out");
        }
        if self.heads.len() != 1 || self.head_channels.len() != 1 {
            let given = format!("{:?} of {:?}", self.heads, self.head_channels);
            return fail("heads", given, "heads in the middle alone: expected one value each");
        }
        match self.classes {
            Some(classes) if self.dims == 1 => {
                fail("classes", classes.to_string(), "no classes: leave them out")
            }
            Some(_) if self.self_condition => {
                fail("self_condition", "true".to_string(), "no self-conditioning: leave it out")
            }
            _ => Ok(()),
        }
    }
}

/// The value of a stage, from one for all or one for each.
fn of_stage(values: &[i64], stage: usize) -> i64 {
    match values {
        [one] => *one,
        each => each[stage],
    }
}

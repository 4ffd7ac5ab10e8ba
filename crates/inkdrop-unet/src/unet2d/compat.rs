//! Compatibility with diffusers: its config.json.

use inkdrop_nn::Activation;
use serde::{Deserialize, Serialize};

use super::{ClassEmbedding, Unet2dConfig};
use crate::{ConfigError, ImageSize};

/// The config.json of a UNet2DModel, with diffusers' defaults for what is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // diffusers' names; Unet2dConfig explains them
pub struct Unet2dArguments {
    #[serde(rename = "_class_name")]
    pub class_name: String,
    pub sample_size: Option<ImageSize>,
    pub in_channels: i64,
    pub out_channels: i64,
    pub center_input_sample: bool,
    pub time_embedding_type: String,
    pub time_embedding_dim: Option<i64>,
    pub freq_shift: f64,
    pub flip_sin_to_cos: bool,
    pub down_block_types: Vec<String>,
    pub mid_block_type: Option<String>,
    pub up_block_types: Vec<String>,
    pub block_out_channels: Vec<i64>,
    pub layers_per_block: i64,
    pub mid_block_scale_factor: f64,
    pub downsample_padding: i64,
    pub downsample_type: Option<String>,
    pub upsample_type: Option<String>,
    pub dropout: f64,
    pub act_fn: String,
    pub attention_head_dim: Option<i64>,
    pub norm_num_groups: i64,
    pub attn_norm_num_groups: Option<i64>,
    pub norm_eps: f64,
    pub resnet_time_scale_shift: String,
    pub add_attention: bool,
    pub class_embed_type: Option<String>,
    pub num_class_embeds: Option<i64>,
    pub num_train_timesteps: Option<i64>,
}

/// Options of a config.json that are not supported, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this UNet2DModel uses what is not supported: {}", .0.join("; "))]
pub struct Unrepresentable(pub Vec<String>);

impl Default for Unet2dArguments {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(String::from).to_vec();
        let (plain, attention) = ("DownBlock2D", "AttnDownBlock2D");
        let (up, attention_up) = ("UpBlock2D", "AttnUpBlock2D");
        Self {
            class_name: "UNet2DModel".to_string(),
            sample_size: None,
            in_channels: 3,
            out_channels: 3,
            center_input_sample: false,
            time_embedding_type: "positional".to_string(),
            time_embedding_dim: None,
            freq_shift: 0.0,
            flip_sin_to_cos: true,
            down_block_types: names([plain, attention, attention, attention]),
            mid_block_type: Some("UNetMidBlock2D".to_string()),
            up_block_types: names([attention_up, attention_up, attention_up, up]),
            block_out_channels: vec![224, 448, 672, 896],
            layers_per_block: 2,
            mid_block_scale_factor: 1.0,
            downsample_padding: 1,
            downsample_type: Some("conv".to_string()),
            upsample_type: Some("conv".to_string()),
            dropout: 0.0,
            act_fn: "silu".to_string(),
            attention_head_dim: Some(8),
            norm_num_groups: 32,
            attn_norm_num_groups: None,
            norm_eps: 1e-5,
            resnet_time_scale_shift: "default".to_string(),
            add_attention: true,
            class_embed_type: None,
            num_class_embeds: None,
            num_train_timesteps: None,
        }
    }
}

impl Unet2dArguments {
    /// The same network as a config.
    ///
    /// - size: image size, used if `sample_size` is not given
    ///
    /// # Errors
    /// All fields at once whose values have no counterpart here.
    pub fn config(&self, size: ImageSize) -> Result<Unet2dConfig, Unrepresentable> {
        let mut wrong = Wrong(Vec::new());
        let config = Unet2dConfig {
            size: self.sample_size.unwrap_or(size),
            channels: self.in_channels,
            outputs: self.out_channels,
            features: self.block_out_channels.clone(),
            blocks: self.layers_per_block,
            down_attention: wrong.blocks("down_block_types", &self.down_block_types, DOWN),
            up_attention: wrong.blocks("up_block_types", &self.up_block_types, UP),
            middle: self.mid_block_type.is_some(),
            middle_attention: self.add_attention,
            middle_divisor: self.mid_block_scale_factor,
            head_channels: self.attention_head_dim,
            groups: self.norm_num_groups,
            middle_groups: self.attn_norm_num_groups,
            eps: self.norm_eps,
            activation: wrong.activation(&self.act_fn),
            dropout: self.dropout,
            scale_shift: wrong.choice(
                "resnet_time_scale_shift",
                &self.resnet_time_scale_shift,
                ["default", "scale_shift"],
            ),
            far_padding: wrong.padding(self.downsample_padding),
            resblock_down: wrong.choice(
                "downsample_type",
                self.downsample_type.as_deref().unwrap_or("conv"),
                ["conv", "resnet"],
            ),
            resblock_up: wrong.choice(
                "upsample_type",
                self.upsample_type.as_deref().unwrap_or("conv"),
                ["conv", "resnet"],
            ),
            plain_resblock_down: wrong.plain("down_block_types", &self.down_block_types, DOWN),
            plain_resblock_up: wrong.plain("up_block_types", &self.up_block_types, UP),
            time_features: self.time_embedding_dim,
            cosine_first: self.flip_sin_to_cos,
            frequency_shift: self.freq_shift,
            classes: self.classes(),
            class_embedding: match self.class_embed_type.as_deref() {
                Some("timestep") => ClassEmbedding::Timestep,
                _ => ClassEmbedding::Table,
            },
            center_input: self.center_input_sample,
            checkpoint: false,
        };
        wrong.only("_class_name", &self.class_name, "UNet2DModel");
        wrong.only("time_embedding_type", &self.time_embedding_type, "positional");
        if let Some(kind) = self.class_embed_type.as_deref().filter(|kind| *kind != "timestep") {
            wrong.push("class_embed_type", kind, "timestep, or none with num_class_embeds");
        }
        if wrong.0.is_empty() { Ok(config) } else { Err(Unrepresentable(wrong.0)) }
    }

    /// Numbers read as times have no bound of their own: one far beyond any time stands for it.
    fn classes(&self) -> Option<i64> {
        match self.class_embed_type.as_deref() {
            Some("timestep") => self.num_class_embeds.or(Some(1 << 20)),
            _ => self.num_class_embeds,
        }
    }

    /// The config.json of a network.
    ///
    /// # Errors
    /// An invalid config.
    pub fn of(config: &Unet2dConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let types = |list: &[bool], [plain, attention]: [&str; 2]| {
            let name = |&attends: &bool| if attends { attention } else { plain };
            list.iter().map(name).map(String::from).collect()
        };
        let pick = |second: bool, [a, b]: [&str; 2]| if second { b } else { a }.to_string();
        Ok(Self {
            sample_size: Some(config.size),
            in_channels: config.channels,
            out_channels: config.outputs,
            center_input_sample: config.center_input,
            time_embedding_dim: config.time_features,
            freq_shift: config.frequency_shift,
            flip_sin_to_cos: config.cosine_first,
            down_block_types: types(
                &config.down_attention,
                [DOWN[usize::from(config.plain_resblock_down)], "AttnDownBlock2D"],
            ),
            mid_block_type: config.middle.then(|| "UNetMidBlock2D".to_string()),
            up_block_types: types(
                &config.up_attention,
                [UP[usize::from(config.plain_resblock_up)], "AttnUpBlock2D"],
            ),
            block_out_channels: config.features.clone(),
            layers_per_block: config.blocks,
            mid_block_scale_factor: config.middle_divisor,
            downsample_padding: i64::from(!config.far_padding),
            downsample_type: Some(pick(config.resblock_down, ["conv", "resnet"])),
            upsample_type: Some(pick(config.resblock_up, ["conv", "resnet"])),
            dropout: config.dropout,
            act_fn: match config.activation {
                Activation::Relu => "relu",
                Activation::Silu => "silu",
                Activation::Mish => "mish",
                Activation::Gelu => "gelu",
            }
            .to_string(),
            attention_head_dim: config.head_channels,
            norm_num_groups: config.groups,
            attn_norm_num_groups: config.middle_groups,
            norm_eps: config.eps,
            resnet_time_scale_shift: pick(config.scale_shift, ["default", "scale_shift"]),
            add_attention: config.middle_attention,
            class_embed_type: match (config.classes, config.class_embedding) {
                (Some(_), ClassEmbedding::Timestep) => Some("timestep".to_string()),
                _ => None,
            },
            num_class_embeds: config.classes,
            ..Self::default()
        })
    }
}

/// Levels without attention, which resample by a convolution or by a residual block.
const DOWN: [&str; 2] = ["DownBlock2D", "ResnetDownsampleBlock2D"];
const UP: [&str; 2] = ["UpBlock2D", "ResnetUpsampleBlock2D"];

/// The fields that have no counterpart, so far.
struct Wrong(Vec<String>);

impl Wrong {
    fn push(&mut self, field: &str, given: impl std::fmt::Display, expected: &str) {
        self.0.push(format!("{field} {given} (supported: {expected})"));
    }

    fn only(&mut self, field: &str, given: &str, expected: &str) {
        if given != expected {
            self.push(field, given, expected);
        }
    }

    /// Which of two names; the first is false.
    fn choice(&mut self, field: &str, given: &str, names: [&str; 2]) -> bool {
        if !names.contains(&given) {
            self.push(field, given, &names.join(" or "));
        }
        given == names[1]
    }

    /// Levels with attention.
    fn blocks(&mut self, field: &str, given: &[String], [plain, resnet]: [&str; 2]) -> Vec<bool> {
        let attention = format!("Attn{plain}");
        let mut attends = |name: &String| {
            let name = name.strip_prefix("UNetRes").unwrap_or(name);
            if ![plain, resnet, &attention].contains(&name) {
                self.push(field, name, &format!("{plain}, {resnet} or {attention}"));
            }
            name == attention
        };
        given.iter().map(&mut attends).collect()
    }

    /// Whether the levels without attention resample by a residual block. The last level does not
    /// resample.
    fn plain(&mut self, field: &str, given: &[String], [plain, resnet]: [&str; 2]) -> bool {
        let has = |levels: &[String], name: &str| levels.iter().any(|given| given == name);
        let resampling = &given[..given.len().saturating_sub(1)];
        if has(resampling, plain) && has(resampling, resnet) {
            self.push(field, format!("{plain} and {resnet}"), "one of both");
        }
        has(given, resnet) && !has(resampling, plain)
    }

    fn activation(&mut self, name: &str) -> Activation {
        match name.to_ascii_lowercase().as_str() {
            "silu" | "swish" => Activation::Silu,
            "relu" => Activation::Relu,
            "mish" => Activation::Mish,
            "gelu" => Activation::Gelu,
            _ => {
                self.push("act_fn", name, "silu, swish, relu, mish or gelu");
                Activation::Silu
            }
        }
    }

    fn padding(&mut self, padding: i64) -> bool {
        if !(0..=1).contains(&padding) {
            self.push("downsample_padding", padding, "0 or 1");
        }
        padding == 0
    }
}

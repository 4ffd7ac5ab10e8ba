//! Detection of EDM2's U-Net from names and shapes.

use super::Edm2Config;
use crate::ModelConfig;
use crate::detect::{DetectedArchitecture, Shapes, UndeterminedField};

impl Edm2Config {
    /// Detects the network, whose names have `unet.` before them if it has the uncertainty head.
    pub(crate) fn detect(shapes: &Shapes) -> Option<DetectedArchitecture> {
        let logvar = shapes.axis("logvar_linear.weight", 1);
        let prefix = if logvar.is_some() { "unet." } else { "" };
        let size = shapes.first_side(&format!("{prefix}enc."), "_conv.weight")?;
        let key = |list: &str, level: u32, name: &str| {
            let side = size >> level;
            format!("{prefix}{list}.{side}x{side}_{name}")
        };
        let axis = |name: &str, axis| shapes.axis(&format!("{prefix}{name}"), axis);
        let of_level = |level| shapes.axis(&key("dec", level, "block0.conv_res1.weight"), 0);
        let channels: Vec<i64> = (0..16).map_while(of_level).collect();
        let (noise, embedding) = (axis("emb_noise.weight", 1)?, axis("emb_noise.weight", 0)?);
        let blocks = shapes.run(|n| key("enc", 0, &format!("block{n}.conv_res1.weight")));
        let attends = |&level: &u32| shapes.has(&key("dec", level, "block0.attn_qkv.weight"));
        // The unit of channels leaves no trace: the largest one that divides all widths.
        let features = channels.iter().fold(0, |unit, &channels| gcd(unit, channels));
        let features = gcd(gcd(features, noise), embedding);
        let times = |channels: i64| channels.checked_div(features);
        let widest = channels.iter().copied().max()?;
        let levels = channels.len() as u32;
        let config = Self {
            size,
            channels: shapes.axis(&key("enc", 0, "conv.weight"), 1)?.checked_sub(1)?,
            classes: axis("emb_label.weight", 1),
            features,
            multipliers: channels.iter().map(|&width| times(width)).collect::<Option<_>>()?,
            noise_multiplier: (noise != channels[0]).then(|| times(noise)).flatten(),
            embedding_multiplier: (embedding != widest).then(|| times(embedding)).flatten(),
            blocks,
            attention: (0..levels).filter(attends).map(|level| size >> level).collect(),
            logvar,
            ..Self::imagenet512(features)
        };
        let attention = shapes.has(&key("dec", levels.checked_sub(1)?, "in0.attn_qkv.weight"))
            || !config.attention.is_empty();
        let fields = [
            (attention, UndeterminedField::new("head_channels", config.head_channels)),
            (
                config.classes.is_some(),
                UndeterminedField::new("label_balance", config.label_balance),
            ),
            (true, UndeterminedField::new("concat_balance", config.concat_balance)),
            (true, UndeterminedField::new("residual_balance", config.residual_balance)),
            (attention, UndeterminedField::new("attention_balance", config.attention_balance)),
            (true, UndeterminedField::new("clip", config.clip)),
        ];
        let undetermined = fields.into_iter().filter(|(acts, _)| *acts).map(|(_, field)| field);
        let undetermined = undetermined.collect();
        Some(DetectedArchitecture { config: ModelConfig::Edm2(config), undetermined })
    }
}

/// The greatest common divisor.
fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    a
}

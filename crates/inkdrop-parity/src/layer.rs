//! Single layers: embeddings, self-attention and residual blocks.

use anyhow::{Result, bail};
use inkdrop_checkpoint::load;
use inkdrop_nn::{
    AttentionConfig, AttentionKeys, Block, BlockConditioning, FilterTaps, HeadOrder, Mode,
    NormConfig, NormKind, Params, Projection, ResBlock, ResBlockConfig, ResBlockKeys, Resample,
    Scope, SelfAttention, positional_embedding, timestep_embedding,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use serde::Deserialize;

use crate::report::Tolerance;
use crate::{Case, Comparison};

const TOLERANCE: Tolerance = Tolerance::Scaled(2e-5);

#[derive(Debug, Deserialize)]
struct Positional {
    dim: i64,
    scale: f64,
}

pub(crate) fn check_positional(case: &Case) -> Result<Vec<Comparison>> {
    let config: Positional = case.config()?;
    let t = case.tensor("t")?;
    let whole = positional_embedding(t, config.dim, config.scale)?;
    let mut rows = vec![case.compare("out", &whole, TOLERANCE)?];
    if case.weights.get("out_scale_half").is_some() {
        let half = positional_embedding(t, config.dim, config.scale * 0.5)?;
        rows.push(case.compare("out_scale_half", &half, TOLERANCE)?);
    }
    Ok(rows)
}

#[derive(Debug, Deserialize)]
struct Timestep {
    even: i64,
    odd: i64,
    period_100: Period,
}

#[derive(Debug, Deserialize)]
struct Period {
    dim: i64,
    max_period: f64,
}

pub(crate) fn check_timestep(case: &Case) -> Result<Vec<Comparison>> {
    let config: Timestep = case.config()?;
    let t = case.tensor("t")?;
    let Period { dim, max_period } = config.period_100;
    let row = |key, dim, max_period| {
        case.compare(key, &timestep_embedding(t, dim, max_period)?, TOLERANCE)
    };
    Ok(vec![
        row("out_even", config.even, 10000.0)?,
        row("out_odd", config.odd, 10000.0)?,
        row("out_period_100", dim, max_period)?,
    ])
}

#[derive(Debug, Deserialize)]
struct DdpmAttention {
    in_channels: i64,
    norm: Option<String>,
    num_groups: i64,
}

pub(crate) fn check_ddpm_attention(case: &Case) -> Result<Vec<Comparison>> {
    let config: DdpmAttention = case.config()?;
    let kind = match config.norm.as_deref() {
        Some("gn") => NormKind::Group,
        Some("bn") => NormKind::Batch,
        Some("in") => NormKind::Instance,
        Some("none") | None => NormKind::None,
        Some(other) => bail!("{}: unknown norm `{other}`", case.name),
    };
    let norm = NormConfig { kind, ..NormConfig::groups(config.num_groups) };
    let config = AttentionConfig::ddpm(config.in_channels, norm);
    check_block(case, |scope| SelfAttention::new(scope, &config))
}

#[derive(Debug, Deserialize)]
struct ImprovedAttention {
    channels: i64,
    num_heads: Option<i64>,
    /// Channels per head, instead of a number of heads; −1 is unset.
    num_head_channels: Option<i64>,
    #[serde(default)]
    use_new_attention_order: bool,
}

pub(crate) fn check_improved_attention(case: &Case) -> Result<Vec<Comparison>> {
    let config: ImprovedAttention = case.config()?;
    let order = match config.use_new_attention_order {
        true => HeadOrder::PartsFirst,
        false => HeadOrder::HeadsFirst,
    };
    let projection = Projection::Fused { dims: 1, order };
    let heads = match config.num_head_channels {
        Some(width @ 1..) => config.channels / width,
        _ => config.num_heads.unwrap_or(1),
    };
    let base = AttentionConfig::improved(config.channels, heads);
    let config = AttentionConfig { projection, ..base };
    check_block(case, |scope| SelfAttention::new(scope, &config))
}

#[derive(Debug, Deserialize)]
struct ImprovedResBlock {
    channels: i64,
    emb_channels: i64,
    out_channels: Option<i64>,
    #[serde(default)]
    use_conv: bool,
    #[serde(default)]
    use_scale_shift_norm: bool,
    dims: Option<usize>,
    #[serde(default)]
    up: bool,
    #[serde(default)]
    down: bool,
}

pub(crate) fn check_improved_resblock(case: &Case) -> Result<Vec<Comparison>> {
    let config: ImprovedResBlock = case.config()?;
    let outputs = config.out_channels.unwrap_or(config.channels);
    let config = ResBlockConfig {
        dims: config.dims.unwrap_or(2),
        scale_shift: config.use_scale_shift_norm,
        skip_kernel: if config.use_conv { 3 } else { 1 },
        resample: match (config.up, config.down) {
            (true, _) => Resample::Double,
            (_, true) => Resample::Halve,
            _ => Resample::Keep,
        },
        ..ResBlockConfig::improved(config.channels, outputs, config.emb_channels)
    };
    check_block(case, |scope| ResBlock::new(scope, &config))
}

#[derive(Debug, Deserialize)]
struct EdmBlock {
    in_channels: i64,
    out_channels: i64,
    emb_channels: i64,
    #[serde(default)]
    up: bool,
    #[serde(default)]
    down: bool,
    #[serde(default)]
    attention: bool,
    num_heads: Option<i64>,
    #[serde(default = "sixty_four")]
    channels_per_head: i64,
    #[serde(default = "one")]
    skip_scale: f64,
    #[serde(default = "eps")]
    eps: f64,
    #[serde(default)]
    resample_filter: Vec<f64>,
    #[serde(default)]
    resample_proj: bool,
    #[serde(default = "yes")]
    adaptive_scale: bool,
}

fn sixty_four() -> i64 {
    64
}

fn one() -> f64 {
    1.0
}

fn eps() -> f64 {
    1e-5
}

fn yes() -> bool {
    true
}

/// EDM's UNetBlock: a residual block, and attention under names of its own beside it.
pub(crate) fn check_edm_block(case: &Case) -> Result<Vec<Comparison>> {
    let config: EdmBlock = case.config()?;
    let norm = NormConfig { group_width: 4, eps: config.eps, ..NormConfig::groups(32) };
    let divisor = 1.0 / config.skip_scale;
    let block = ResBlockConfig {
        scale_shift: config.adaptive_scale,
        norm,
        activated_embedding: true,
        resample: match (config.up, config.down) {
            (true, _) => Resample::Double,
            (_, true) => Resample::Halve,
            _ => Resample::Keep,
        },
        filter: Some(match config.resample_filter.len() {
            4 => FilterTaps::Bilinear,
            _ => FilterTaps::Box,
        }),
        skip_resampled: config.resample_proj,
        divisor,
        keys: ResBlockKeys::EDM,
        ..ResBlockConfig::improved(config.in_channels, config.out_channels, config.emb_channels)
    };
    let heads = config.num_heads.unwrap_or(config.out_channels / config.channels_per_head);
    let attention = AttentionConfig {
        norm,
        projection: Projection::Fused { dims: 2, order: HeadOrder::PartsLast },
        divisor,
        keys: AttentionKeys::EDM,
        ..AttentionConfig::improved(config.out_channels, heads)
    };
    check_layers(case, |scope| {
        let block = ResBlock::new(scope, &block)?;
        let attends = config.attention && heads > 0;
        let attention = attends.then(|| SelfAttention::new(scope, &attention)).transpose()?;
        Ok(move |x: &Tensor, conditioning: &BlockConditioning| {
            let h = block.forward(x, conditioning, Mode::Eval)?;
            attention.as_ref().map_or(Ok(h.shallow_clone()), |layer| layer.apply(&h, Mode::Eval))
        })
    })
}

/// Compares the output of a block with the case's weights, in f32 and in f64.
fn check_block<B: Block>(
    case: &Case,
    build: impl Fn(&mut Scope) -> inkdrop_torch::Result<B>,
) -> Result<Vec<Comparison>> {
    check_layers(case, |scope| {
        let block = build(scope)?;
        Ok(move |x: &Tensor, conditioning: &BlockConditioning| {
            block.forward(x, conditioning, Mode::Eval)
        })
    })
}

/// Compares the output of layers with the case's weights, in f32 and in f64, and their gradients where the
/// case has them.
fn check_layers<F>(
    case: &Case,
    build: impl Fn(&mut Scope) -> inkdrop_torch::Result<F>,
) -> Result<Vec<Comparison>>
where
    F: Fn(&Tensor, &BlockConditioning) -> inkdrop_torch::Result<Tensor>,
{
    let run = |kind: Kind| -> Result<(Tensor, Params)> {
        let mut params = Params::new(kind, Device::Cpu);
        let layers = build(&mut params.root())?;
        load(&params, &case.weights.below("weight:"), &[])?;
        let embedding = case.weights.get("emb").map(|embedding| embedding.to_kind(kind));
        let conditioning = BlockConditioning { embedding, ..BlockConditioning::default() };
        Ok((layers(&case.tensor("x")?.to_kind(kind), &conditioning)?, params))
    };
    let (out, params) = run(Kind::Float)?;
    let mut rows = vec![
        case.compare("out", &out, TOLERANCE)?,
        case.compare_double("out", &run(Kind::Double)?.0, case.tensor("out")?)?,
    ];
    if let Some(probe) = case.weights.get("probe") {
        out.f_mul(probe)?.f_sum(Kind::Float)?.f_backward()?;
        rows.extend(case.compare_gradients(&params)?);
    }
    Ok(rows)
}

//! Networks in which every option is on once.

use inkdrop_nn::{Activation, NormKind};
use inkdrop_unet::{
    AttentionOrder, ClassEmbedding, ContextConfig, DdpmConfig, DitConfig, Edm2Config,
    EdmArchitecture, EdmConfig, EdmDecoder, EdmEncoder, ImprovedConfig, LucidConfig, ModelConfig,
    SongConfig, Unet2dConfig,
};

use super::support::{ddpm, dit, edm, edm2, improved, jit, lucid, unet2d};

/// One of each: every option is on in one of them.
pub fn all() -> Vec<ModelConfig> {
    let ddpm = [
        ddpm(),
        DdpmConfig { classes: Some(7), activation: Activation::Relu, ..ddpm() },
        DdpmConfig { time_features: None, attention: vec![], channels: 1, ..ddpm() },
        DdpmConfig { norm: NormKind::Batch, multipliers: vec![1], attention: vec![0], ..ddpm() },
        DdpmConfig { norm: NormKind::None, blocks: 2, multipliers: vec![1, 1, 3], ..ddpm() },
        DdpmConfig { norm: NormKind::Instance, padding: 2, ..ddpm() },
        DdpmConfig { interval: true, classes: Some(7), ..ddpm() },
    ];
    let improved = [
        improved(),
        ImprovedConfig {
            classes: Some(5),
            scale_shift: false,
            heads_upsample: Some(2),
            ..improved()
        },
        ImprovedConfig { multipliers: vec![1.0], blocks: 2, attention: vec![1], ..improved() },
        ImprovedConfig { dims: 1, learned_resample: false, blocks: 2, ..improved() },
        ImprovedConfig { dims: 3, outputs: 3, attention: vec![], ..improved() },
        ImprovedConfig {
            multipliers: vec![1.0, 2.0, 2.0],
            resblock_updown: true,
            head_channels: Some(16),
            attention_order: AttentionOrder::New,
            ..improved()
        },
        ImprovedConfig { features: 64, multipliers: vec![0.5, 1.0], ..improved() },
    ];
    let unet2d = [
        unet2d(),
        Unet2dConfig { classes: Some(4), scale_shift: true, head_channels: Some(8), ..unet2d() },
        Unet2dConfig { middle: false, middle_attention: false, outputs: 6, ..unet2d() },
        Unet2dConfig {
            resblock_down: true,
            resblock_up: true,
            blocks: 2,
            down_attention: vec![true; 2], // only such levels halve by residual blocks
            up_attention: vec![true; 2],
            ..unet2d()
        },
        // A network of diffusers' ConsistencyModelPipeline.
        Unet2dConfig {
            features: vec![8, 16, 16],
            down_attention: vec![false, true, true],
            up_attention: vec![false, true, false],
            resblock_down: true,
            resblock_up: true,
            plain_resblock_down: true,
            plain_resblock_up: true,
            scale_shift: true,
            ..unet2d()
        },
        Unet2dConfig {
            classes: Some(1 << 20),
            class_embedding: ClassEmbedding::Timestep,
            time_features: Some(24),
            middle_attention: false,
            ..unet2d()
        },
    ];
    let lucid = [
        lucid(),
        LucidConfig {
            multipliers: vec![1, 2, 3],
            heads: vec![2, 1, 3],
            head_channels: vec![8, 4, 4],
            full_attention: vec![true, false, true],
            ..lucid()
        },
        LucidConfig { self_condition: true, outputs: 6, init_features: Some(12), ..lucid() },
        LucidConfig { fourier_features: Some(6), channels: 1, outputs: 1, ..lucid() },
        LucidConfig { fourier_features: Some(6), random_fourier: true, ..lucid() },
        LucidConfig { classes: Some(5), theta: 500.0, ..lucid() },
        LucidConfig { dims: 1, self_condition: true, multipliers: vec![1, 1, 2], ..lucid() },
    ];
    let skip = SongConfig {
        encoder: EdmEncoder::Skip,
        decoder: EdmDecoder::Skip,
        ..SongConfig::default()
    };
    let edm = [
        edm(),
        EdmConfig { classes: Some(5), augment: Some(9), blocks: 2, ..edm() },
        EdmConfig {
            architecture: EdmArchitecture::Song(SongConfig::ncsnpp()),
            multipliers: vec![1, 1, 2],
            ..edm()
        },
        EdmConfig { architecture: EdmArchitecture::Song(skip), attention: vec![], ..edm() },
        EdmConfig {
            architecture: EdmArchitecture::Dhariwal,
            classes: Some(4),
            outputs: 6,
            features: 16,
            multipliers: vec![1, 4],
            ..edm()
        },
    ];
    let edm2 = [
        edm2(),
        Edm2Config { classes: Some(4), logvar: None, label_balance: 0.4, ..edm2() },
        Edm2Config {
            noise_multiplier: Some(3),
            embedding_multiplier: Some(5),
            attention: vec![16],
            head_channels: 4,
            ..edm2()
        },
    ];
    let dit = [
        dit(),
        DitConfig { classes: Some(5), outputs: 6, heads: 1, ..dit() },
        DitConfig { patch: 4, channels: 1, outputs: 1, mlp_ratio: 2.5, depth: 1, ..dit() },
        jit(),
        DitConfig { rms_norm: true, classes: Some(5), in_context_len: 1, ..dit() },
    ];
    let super_res = ImprovedConfig { outputs: 6, ..super::support::improved() };
    let context = ContextConfig { features: 8, ..ContextConfig::sprites() };
    let interval = ContextConfig { interval: true, ..context.clone() };
    let mut all = vec![ModelConfig::Context(context), ModelConfig::Context(interval)];
    all.push(ModelConfig::ImprovedSuperRes(super_res));
    all.extend(ddpm.map(ModelConfig::Ddpm));
    all.extend(improved.map(ModelConfig::Improved));
    all.extend(unet2d.map(ModelConfig::Unet2d));
    all.extend(lucid.map(ModelConfig::Lucid));
    all.extend(dit.map(ModelConfig::Dit));
    all.extend(edm.map(ModelConfig::Edm));
    all.extend(edm2.map(ModelConfig::Edm2));
    all
}

//! The residual block and its options.

use inkdrop_nn::{
    Block, BlockConditioning, Checkpointed, EmbedSequential, LayerConfig, Mode, NormConfig, Params,
    ResBlock, ResBlockConfig, Resample,
};
use inkdrop_torch::tch::{Kind, Tensor};

use super::support::{F64, max_difference, params, put, stir};

fn block(config: &ResBlockConfig) -> (ResBlock, Params) {
    let mut params = params();
    let block = ResBlock::new(&mut params.root(), config).unwrap();
    (block, params)
}

fn x() -> Tensor {
    Tensor::randn([2, 32, 4, 6], F64)
}

fn conditioning() -> BlockConditioning {
    BlockConditioning::embedding(Tensor::randn([2, 16], F64))
}

#[test]
fn a_new_block_is_its_skip() {
    let (same, _) = block(&ResBlockConfig::improved(32, 32, 16));
    let x = x();
    assert_eq!(same.forward(&x, &conditioning(), Mode::Eval).unwrap(), x);
    let (other, _) = block(&ResBlockConfig::improved(32, 64, 16));
    let out = other.forward(&x, &conditioning(), Mode::Eval).unwrap();
    assert_eq!(
        out,
        other.forward(&x, &conditioning(), Mode::Eval).unwrap(),
        "the time changes nothing yet"
    );
}

#[test]
fn the_scale_is_the_first_half_of_the_embedding() {
    let config = ResBlockConfig { scale_shift: true, ..ResBlockConfig::improved(32, 32, 16) };
    let (block, params) = block(&config);
    stir(&params);
    // A layer of 0 whose bias is −1 for the scale and 0 for the shift: norm2 becomes 0.
    put(&params, "emb_layers.1.weight", &Tensor::zeros([64, 16], F64));
    let bias = Tensor::cat(&[Tensor::full([32], -1.0, F64), Tensor::zeros([32], F64)], 0);
    put(&params, "emb_layers.1.bias", &bias);
    let x = x();
    let out = block.forward(&x, &conditioning(), Mode::Eval).unwrap();
    // silu(0) = 0, so that only the last convolution's bias is left beside x.
    let last = params.get("out_layers.3.bias").unwrap().tensor.view([1, 32, 1, 1]);
    assert!(max_difference(&out, &(x + last)) < 1e-12);
}

#[test]
fn dropout_drops_in_training_only() {
    let (block, params) =
        block(&ResBlockConfig { dropout: 0.5, ..ResBlockConfig::improved(32, 32, 16) });
    stir(&params);
    let (x, conditioning) = (x(), conditioning());
    let pass = |mode| block.forward(&x, &conditioning, mode).unwrap();
    assert_eq!(pass(Mode::Eval), pass(Mode::Eval));
    assert_ne!(pass(Mode::Train), pass(Mode::Train));
    assert!(block.random());
}

#[test]
fn a_class_bias_is_added_like_the_times() {
    // Fewer groups than channels: a norm of single channels would take their biases out again.
    let (classes, norm) = (Some(3), NormConfig::groups(4));
    let config = ResBlockConfig { classes, norm, ..ResBlockConfig::ddpm(32, 32, Some(16)) };
    let (block, params) = block(&config);
    let classes = Tensor::from_slice(&[2i64, 0]);
    let (x, BlockConditioning { embedding, .. }) = (x(), conditioning());
    let with = BlockConditioning {
        embedding: embedding.as_ref().map(Tensor::shallow_clone),
        class_ids: Some(classes),
        ..BlockConditioning::default()
    };
    let plain = BlockConditioning { embedding, ..BlockConditioning::default() };
    let (a, b) = (block.forward(&x, &with, Mode::Eval), block.forward(&x, &plain, Mode::Eval));
    assert!(max_difference(&a.unwrap(), &b.unwrap()) > 1e-3);
    put(&params, "class_bias.weight", &Tensor::zeros([3, 32], F64));
    let (a, b) = (block.forward(&x, &with, Mode::Eval), block.forward(&x, &plain, Mode::Eval));
    assert_eq!(a.unwrap(), b.unwrap());
}

#[test]
fn resampling_blocks_resample_the_skip_too() {
    let x = x();
    for (resample, size) in [(Resample::Halve, [2, 32, 2, 3]), (Resample::Double, [2, 32, 8, 12])] {
        let (block, _) =
            block(&ResBlockConfig { resample, ..ResBlockConfig::improved(32, 32, 16) });
        let out = block.forward(&x, &conditioning(), Mode::Eval).unwrap();
        assert_eq!(out.size(), size);
        let skip = match resample {
            Resample::Halve => inkdrop_nn::halve(&x),
            _ => inkdrop_nn::double(&x),
        };
        assert_eq!(out, skip.unwrap()); // the rest starts at 0
    }
}

#[test]
fn checkpointed_blocks_say_their_errors() {
    let mut params = params();
    let config = ResBlockConfig::improved(32, 32, 16);
    let block = Checkpointed::new(&mut params.root(), true, |scope| ResBlock::new(scope, &config));
    let wrong = Tensor::randn([2, 64, 4, 4], F64);
    let error =
        block.unwrap().forward(&wrong, &conditioning(), Mode::Train).unwrap_err().to_string();
    assert!(error.contains("32") && !error.contains('\n'), "{error}");
}

#[test]
fn a_sequence_is_its_layers_one_after_the_other() {
    let config = ResBlockConfig::improved(32, 32, 16);
    let layers = [("a", LayerConfig::Res(config.clone())), ("b", LayerConfig::Res(config.clone()))];
    let mut params = params();
    let sequence = EmbedSequential::new(&mut params.root(), &layers, false).unwrap();
    stir(&params);
    let (x, conditioning) = (x(), conditioning());
    let mut by_hand = x.shallow_clone();
    for name in ["a", "b"] {
        let mut own = Params::new(Kind::Double, inkdrop_torch::tch::Device::Cpu);
        let block = ResBlock::new(&mut own.root(), &config).unwrap();
        for param in own.iter() {
            let value = &params.get(&format!("{name}.{}", param.name)).unwrap().tensor;
            put(&own, &param.name, value);
        }
        by_hand = block.forward(&by_hand, &conditioning, Mode::Eval).unwrap();
    }
    assert_eq!(sequence.forward(&x, &conditioning, Mode::Eval).unwrap(), by_hand);
}

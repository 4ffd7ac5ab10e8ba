//! Compiled layers equal the trained ones.

use inkdrop_nn::{
    Activation, BatchNorm, Conv, ConvConfig, ConvTranspose2d, EmbedFc, Embedding, GroupNorm,
    InstanceNorm, Mlp, Mode, Norm, NormConfig, NormKind, Params, ResidualConvBlock, UnetDown,
    UnetUp,
};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

use super::support::stir;

pub const ACTIVATIONS: [Activation; 4] =
    [Activation::Relu, Activation::Silu, Activation::Mish, Activation::Gelu];

/// Both kinds, and how near both forms of a layer have to be in them.
pub const KINDS: [(Kind, f64); 2] = [(Kind::Float, 2e-5), (Kind::Double, 1e-12)];

pub fn params(kind: Kind) -> Params {
    Params::new(kind, Device::Cpu)
}

/// Running statistics that are neither 0 nor 1, beside stirred weights.
pub fn uneven(params: &Params) {
    stir(params);
    let _guard = no_grad_guard();
    for param in params.iter().filter(|param| param.name.contains("running")) {
        let numbers = param.tensor.randn_like().abs() * 2.0 + 0.3;
        param.tensor.shallow_clone().copy_(&numbers);
    }
}

#[track_caller]
pub fn near(out: &Tensor, expected: &Tensor, bound: f64) {
    assert_eq!((out.size(), out.kind()), (expected.size(), expected.kind()));
    let largest = |x: &Tensor| f64::try_from(x.abs().max().to_kind(Kind::Double)).unwrap();
    let (error, spread) = (largest(&(out - expected)), largest(expected));
    assert!(error <= bound * spread.max(1.0), "{error:e} of {spread}");
}

/// One image and three, in both orders of memory, and a part of wider ones.
pub fn images(kind: Kind, channels: i64, axes: &[i64]) -> Vec<Tensor> {
    let mut all = Vec::new();
    for batch in [1, 3] {
        let shape = [&[batch, channels], axes].concat();
        let x = Tensor::randn(&shape[..], (kind, Device::Cpu));
        let wide = Tensor::cat(&[&x, &x], -1).narrow(-1, 1, axes[axes.len() - 1]);
        let last = x.movedim_int(1, -1).contiguous().movedim_int(-1, 1);
        all.extend([x, wide, last]);
    }
    all
}

pub const AXES: [&[i64]; 3] = [&[9], &[7, 10], &[2, 6, 5]];

#[test]
fn convolutions_of_every_geometry_are_the_same() {
    for (kind, bound) in KINDS {
        for (inputs, outputs, kernel) in [(3, 8, 3), (16, 16, 3), (8, 5, 1), (32, 16, 1)] {
            let same = ConvConfig::same(inputs, outputs, kernel);
            let strided = ConvConfig { strides: [1, 2, 2], ..same };
            let bare = ConvConfig { padding: 0, ..same };
            for config in [same, strided, bare, ConvConfig { strides: [1, 2, 1], ..bare }] {
                for dims in [1, 2, 3] {
                    let mut params = params(kind);
                    let config = ConvConfig { kernel: kernel.min(5), ..config.over(dims) };
                    let config = if dims == 3 {
                        ConvConfig { padding: kernel / 2, ..config }
                    } else {
                        config
                    };
                    let conv = Conv::new(&mut params.root(), config).unwrap();
                    for ready in [true, false].map(|pack| conv.compile(pack).unwrap()) {
                        for x in images(kind, inputs, AXES[dims - 1]) {
                            let expected = conv.forward(&x).unwrap();
                            near(&ready.forward(&x).unwrap(), &expected, bound);
                            let other = expected.randn_like();
                            let sum = ready.forward_add(&x, &other).unwrap();
                            near(&sum, &(other + &expected), bound);
                            for activation in ACTIVATIONS {
                                let out = ready.forward_with_post_op(&x, Some(activation)).unwrap();
                                near(&out, &activation.apply(&expected).unwrap(), bound);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn convolutions_for_inference_refuse_what_trained_ones_refuse() {
    for kernel in [1, 3] {
        let mut params = params(Kind::Float);
        let config = ConvConfig { padding: 0, ..ConvConfig::same(16, 8, kernel) };
        let conv = Conv::new(&mut params.root(), config).unwrap();
        let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
        let wrong = [
            zeros(&[1, 15, 8, 8], Kind::Float),
            zeros(&[1, 17, 8, 8], Kind::Float),
            zeros(&[1, 16, 0, 8], Kind::Float),
            zeros(&[1, 16, 2, kernel - 1], Kind::Float),
            zeros(&[1, 16, 8, 8], Kind::Double),
            zeros(&[1, 16, 8], Kind::Float),
            zeros(&[1, 16, 2, 8, 8], Kind::Float),
        ];
        for pack in [true, false] {
            let ready = conv.compile(pack).unwrap();
            for x in &wrong {
                let expected = conv.forward(x).map(|y| y.size());
                let out = ready.forward(x).map(|y| y.size());
                assert_eq!(
                    out.is_err(),
                    expected.is_err(),
                    "pack {pack}: {x:?}, {out:?}, {expected:?}"
                );
            }
        }
    }
}

#[test]
fn what_a_convolution_is_added_to_has_the_shape_of_the_result() {
    let f32 = (Kind::Float, Device::Cpu);
    let mut params = params(Kind::Float);
    let conv = Conv::new(&mut params.root(), ConvConfig::same(16, 8, 3)).unwrap();
    let x = Tensor::randn([2, 16, 8, 8], f32);
    for ready in [true, false].map(|pack| conv.compile(pack).unwrap()) {
        let _ = ready.forward_add(&x, &Tensor::zeros([2, 8, 8, 8], f32)).unwrap();
        for other in [[2, 8, 8, 16], [2, 8, 9, 8], [2, 9, 8, 8], [3, 8, 8, 8], [2, 3, 8, 8]] {
            let other = Tensor::zeros(other, f32);
            assert!(conv.forward_add(&x, &other).is_err(), "{other:?}");
            assert!(ready.forward_add(&x, &other).is_err(), "{other:?}");
        }
    }
}

#[test]
fn layers_for_inference_record_no_gradients() {
    let mut params = params(Kind::Float);
    let mut root = params.root();
    let x = Tensor::randn([2, 16, 4, 4], (Kind::Float, Device::Cpu));
    let conv = Conv::new(&mut root.sub("conv"), ConvConfig::same(16, 8, 3)).unwrap();
    let up = ConvTranspose2d::new(&mut root.sub("up"), ConvConfig::patches(16, 8, 2)).unwrap();
    let kinds = [NormKind::Group, NormKind::Batch, NormKind::Instance, NormKind::None];
    for pack in [true, false] {
        assert!(!conv.compile(pack).unwrap().forward(&x).unwrap().requires_grad());
        assert!(!up.compile(pack).unwrap().forward(&x).unwrap().requires_grad());
        for kind in kinds {
            let config = NormConfig { kind, ..NormConfig::groups(4) };
            let norm = Norm::new(&mut root.sub(format!("{kind:?}{pack}")), config, 16).unwrap();
            let out = norm.compile(pack).unwrap().forward(&x).unwrap();
            assert!(!out.requires_grad(), "{kind:?}");
        }
    }
}

#[test]
fn transposed_convolutions_of_every_geometry_are_the_same() {
    for (kind, bound) in KINDS {
        let patches = [(16, 16, 4), (8, 3, 2), (5, 7, 1), (32, 16, 7), (4, 1, 3)];
        let patches = patches.map(|(i, o, k)| ConvConfig::patches(i, o, k));
        let base = ConvConfig::patches(8, 6, 3);
        let others = [
            ConvConfig { strides: [2; 3], ..base },
            ConvConfig { padding: 1, ..base },
            ConvConfig { strides: [1, 2, 3], ..base },
            ConvConfig { strides: [4; 3], ..base },
            ConvConfig { strides: [1, 3, 3], ..base },
        ];
        for config in patches.into_iter().chain(others) {
            let mut params = params(kind);
            let layer = ConvTranspose2d::new(&mut params.root(), config).unwrap();
            for ready in [true, false].map(|pack| layer.compile(pack).unwrap()) {
                for axes in [[1, 1], [5, 3]] {
                    for x in images(kind, config.inputs, &axes) {
                        near(&ready.forward(&x).unwrap(), &layer.forward(&x).unwrap(), bound);
                    }
                }
            }
        }
    }
}

#[test]
fn embeddings_are_the_same() {
    for (kind, bound) in KINDS {
        let mut params = params(kind);
        let mut root = params.root();
        let fc = EmbedFc::new(&mut root.sub("fc"), 5, 12).unwrap();
        let mlp = Mlp::new(&mut root.sub("mlp"), [0, 2], [5, 7, 3], Activation::Mish).unwrap();
        let table = Embedding::new(&mut root.sub("table"), 6, 4).unwrap();
        let x = Tensor::randn([3, 5], (kind, Device::Cpu));
        near(&fc.detached().unwrap().forward(&x).unwrap(), &fc.forward(&x).unwrap(), bound);
        near(&mlp.detached().unwrap().forward(&x).unwrap(), &mlp.forward(&x).unwrap(), bound);
        let (ids, ready) = (Tensor::from_slice(&[5i64, 0, 5]), table.detached().unwrap());
        near(&ready.forward(&ids).unwrap(), &table.forward(&ids).unwrap(), 0.0);
        assert!(ready.forward(&Tensor::from_slice(&[6i64])).is_err());
    }
}

#[test]
fn blocks_with_folded_norms_are_the_same() {
    for (kind, bound) in KINDS {
        for (inputs, outputs) in [(3, 8), (16, 16)] {
            let mut params = params(kind);
            let mut root = params.root();
            let plain = ResidualConvBlock::new(&mut root.sub("plain"), inputs, outputs).unwrap();
            let mut residual = ResidualConvBlock::new(&mut root.sub("r"), inputs, outputs).unwrap();
            residual.add_residual(&mut root.sub("r"), inputs, outputs).unwrap();
            let down = UnetDown::new(&mut root.sub("down"), inputs, outputs).unwrap();
            let up = UnetUp::new(&mut root.sub("up"), 2 * inputs, outputs).unwrap();
            uneven(&params);
            for pack in [true, false] {
                for x in images(kind, inputs, &[6, 8]) {
                    for block in [&plain, &residual] {
                        let expected = block.forward(&x, Mode::Eval).unwrap();
                        let ready = block.compile(pack).unwrap();
                        near(&ready.forward(&x, Mode::Eval).unwrap(), &expected, bound);
                    }
                    let out = down.compile(pack).unwrap().forward(&x, Mode::Eval).unwrap();
                    near(&out, &down.forward(&x, Mode::Eval).unwrap(), bound);
                    let out = up.compile(pack).unwrap().forward(&x, &x, Mode::Eval).unwrap();
                    near(&out, &up.forward(&x, &x, Mode::Eval).unwrap(), bound);
                }
            }
        }
    }
}

/// What was made is a copy or a handle, never the layer itself.
#[test]
fn trained_layers_stay_as_they_were() {
    let mut params = params(Kind::Float);
    let mut root = params.root();
    let conv = Conv::new(&mut root.sub("conv"), ConvConfig::same(8, 8, 3)).unwrap();
    let up = ConvTranspose2d::new(&mut root.sub("up"), ConvConfig::patches(8, 8, 2)).unwrap();
    let group = GroupNorm::new(&mut root.sub("group"), 2, 8).unwrap();
    let batch = Norm::Batch(BatchNorm::new(&mut root.sub("batch"), 8).unwrap());
    let instance = Norm::Instance(InstanceNorm::new(&mut root.sub("instance"), 8).unwrap());
    for pack in [true, false] {
        let _ = conv.compile(pack).unwrap();
        let _ = up.compile(pack).unwrap();
        let _ = group.compile(pack).unwrap();
        let _ = [&batch, &instance].map(|norm| norm.compile(pack).unwrap());
    }
    let x = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
    let h = group.forward(&conv.forward(&x).unwrap()).unwrap();
    let h = instance.forward(&batch.forward(&h, Mode::Eval).unwrap(), Mode::Eval).unwrap();
    up.forward(&h).unwrap().square().sum(Kind::Float).backward();
    for param in params.trained() {
        assert!(param.tensor.requires_grad() && param.tensor.grad().defined(), "{}", param.name);
    }
}

//! Compiled normalisations equal the trained ones, with and without an activation after them.

use inkdrop_nn::{Activation, GroupNorm, Mode, Norm, NormConfig, NormKind, Normalization};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::inference::{ACTIVATIONS, AXES, KINDS, images, near, params, uneven};

#[test]
fn norms_of_every_kind_are_the_same() {
    for (kind, bound) in KINDS {
        for norm in [NormKind::Group, NormKind::Batch, NormKind::Instance, NormKind::None] {
            for (channels, groups, eps) in
                [(6, 3, 1e-5), (16, 4, 1e-6), (48, 3, 0.1), (48, 48, 1e-5)]
            {
                let mut params = params(kind);
                let config = NormConfig { kind: norm, eps, ..NormConfig::groups(groups) };
                let layer = Norm::new(&mut params.root(), config, channels).unwrap();
                uneven(&params);
                for ready in [true, false].map(|fuse| layer.compile(fuse).unwrap()) {
                    for x in AXES.iter().flat_map(|axes| images(kind, channels, axes)) {
                        let expected = layer.forward(&x, Mode::Eval).unwrap();
                        near(&ready.forward(&x).unwrap(), &expected, bound);
                        for activation in ACTIVATIONS {
                            let out =
                                ready.forward_with_activation(&x, activation, Mode::Eval).unwrap();
                            near(&out, &activation.apply(&expected).unwrap(), bound);
                        }
                    }
                }
            }
        }
    }
}

/// A mean far from 0, no variance at all, one place: where a sum of squares would lose everything.
#[test]
fn group_norms_bear_uneasy_images() {
    let f32 = (Kind::Float, Device::Cpu);
    let mut params = params(Kind::Float);
    let norm = GroupNorm::new(&mut params.root(), 4, 16).unwrap();
    uneven(&params);
    let noise = Tensor::randn([2, 16, 9, 9], f32);
    let tiny = &noise * 1e-4;
    for (x, bound) in [
        (&noise + 1000.0, 1e-3), // x itself is rounded by 6e-5
        (tiny, 2e-5),
        (Tensor::full([2, 16, 9, 9], 7.0, f32), 1e-3), // 7/√ε − 7/√ε: both forms are as far off
        (Tensor::randn([2, 16, 1, 1], f32), 2e-5),
        (Tensor::zeros([1, 16, 3, 3], f32), 2e-5),
    ] {
        for ready in [true, false].map(|fuse| norm.compile(fuse).unwrap()) {
            let expected = norm.forward(&x).unwrap().relu();
            near(
                &ready.forward_with_activation(&x, Activation::Relu, Mode::Eval).unwrap(),
                &expected,
                bound,
            );
        }
    }
    let not = Tensor::full([1, 16, 2, 2], f64::NAN, f32);
    let out = norm
        .compile(true)
        .unwrap()
        .forward_with_activation(&not, Activation::Relu, Mode::Eval)
        .unwrap();
    assert!(bool::try_from(out.isnan().all()).unwrap(), "NaN stays NaN");
}

#[test]
fn group_norms_for_inference_refuse_other_channels() {
    let mut params = params(Kind::Float);
    let norm = GroupNorm::new(&mut params.root(), 4, 16).unwrap();
    for ready in [true, false].map(|fuse| norm.compile(fuse).unwrap()) {
        for channels in [8, 15, 32] {
            let x = Tensor::zeros([1, channels, 4, 4], (Kind::Float, Device::Cpu));
            assert!(norm.forward(&x).is_err());
            assert!(ready.forward(&x).is_err());
            assert!(
                ready.forward_with_activation(&x, Activation::Silu, Mode::Eval).is_err(),
                "{channels}"
            );
        }
    }
}

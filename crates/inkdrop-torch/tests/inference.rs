//! Layers for inference against those that libtorch has in parts.
#![allow(clippy::unwrap_used)]

use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed, no_grad};
use inkdrop_torch::{
    GroupNormInputs, PackedConv, PostOp, group_norm, takes_group_norm, winograd_conv,
};

const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Largest distance, in units of the largest expected number (at least 1).
fn distance(given: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(given.size(), expected.size());
    let apart = (given.to_kind(Kind::Double) - expected.to_kind(Kind::Double)).abs().max();
    apart.double_value(&[]) / expected.abs().max().double_value(&[]).max(1.0)
}

fn apply(x: &Tensor, post_op: PostOp) -> Tensor {
    match post_op {
        PostOp::None => x.shallow_clone(),
        PostOp::Relu => x.relu(),
        PostOp::Silu => x.silu(),
        PostOp::Gelu => x.gelu("none"),
    }
}

fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[test]
fn a_packed_convolution_is_the_convolution() {
    manual_seed(1);
    // Batch, channels in and out, side, kernel, stride, padding.
    let shapes = [
        (1, 3, 16, 9, 3, 1, 1),
        (2, 16, 3, 8, 3, 1, 1),
        (1, 64, 64, 4, 3, 1, 1),
        (3, 32, 48, 7, 3, 2, 1),
        (2, 24, 40, 5, 1, 1, 0),
        (1, 5, 7, 6, 3, 2, 0),
    ];
    for (b, inputs, outputs, side, kernel, stride, padding) in shapes {
        let weight = Tensor::randn([outputs, inputs, kernel, kernel], F32) / inputs as f64;
        let bias = Tensor::randn([outputs], F32);
        let (stride, padding) = ([stride; 2], [padding; 2]);
        let Some(conv) = PackedConv::new(&weight, &bias, stride, padding).unwrap() else {
            panic!("the libtorch of the tests has oneDNN");
        };
        let x = Tensor::randn([b, inputs, side, side], F32);
        // In f64, since libtorch's own convolution in f32 is up to 8e-7 off on some processors.
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        let (wide, offset) = (double(&weight), double(&bias));
        let exact = double(&x).conv2d(&wide, Some(offset), stride, padding, [1, 1], 1);
        for x in [x.shallow_clone(), channels_last(&x)] {
            for act in [PostOp::None, PostOp::Relu, PostOp::Silu, PostOp::Gelu] {
                let given = conv.forward(&x, act).unwrap();
                assert!(distance(&given, &apply(&exact, act)) < 1e-6, "{act:?} of {:?}", x.size());
            }
            let other = exact.randn_like().to_kind(Kind::Float);
            let given = conv.forward_add(&x, &other).unwrap();
            let expected = &exact + double(&other);
            assert!(distance(&given, &expected) < 1e-6, "added to {:?}", x.size());
        }
    }
}

/// Bound of the error of a wide convolution. Without AVX-512 it is oneDNN's, which sums all products of
/// a pixel in f32: it must be no less accurate than libtorch's own convolution of the same shape.
fn largest_error(of_libtorch: f64) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return 1e-6;
    }
    of_libtorch.max(1e-6)
}

/// These have the shapes for which Winograd's algorithm is taken, where the processor has AVX-512.
#[test]
fn a_wide_packed_convolution_is_the_convolution() {
    manual_seed(5);
    // Batch, channels in and out, height, width.
    let shapes = [
        (1, 16, 32, 8, 8),
        (2, 48, 64, 9, 13),
        (5, 64, 96, 16, 7),
        (1, 128, 32, 33, 40),
        (3, 272, 64, 8, 10),
        (70, 16, 32, 8, 9),
    ];
    for (b, inputs, outputs, height, width) in shapes {
        let weight = Tensor::randn([outputs, inputs, 3, 3], F32) / (9.0 * inputs as f64).sqrt();
        let bias = Tensor::randn([outputs], F32);
        let conv = PackedConv::new(&weight, &bias, [1, 1], [1, 1]).unwrap().unwrap();
        let x = Tensor::randn([b, inputs, height, width], F32);
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        let exact = double(&x).conv2d(&double(&weight), Some(double(&bias)), 1, 1, 1, 1);
        let plain = x.conv2d(&weight, Some(&bias), 1, 1, 1, 1);
        let bound = |act: PostOp| largest_error(distance(&apply(&plain, act), &apply(&exact, act)));
        for x in [x.shallow_clone(), channels_last(&x)] {
            for act in [PostOp::None, PostOp::Relu, PostOp::Silu, PostOp::Gelu] {
                let given = conv.forward(&x, act).unwrap();
                let apart = distance(&given, &apply(&exact, act));
                assert!(apart < bound(act), "{act:?} of {:?}: {apart:e}", x.size());
            }
            let other = exact.randn_like().to_kind(Kind::Float);
            let given = conv.forward_add(&x, &other).unwrap();
            let apart = distance(&given, &(&exact + double(&other)));
            assert!(apart < bound(PostOp::None), "added to {:?}: {apart:e}", x.size());
        }
        let alone = conv.forward(&x.narrow(0, b - 1, 1), PostOp::Silu).unwrap();
        let all = conv.forward(&x, PostOp::Silu).unwrap();
        assert_eq!(all.narrow(0, b - 1, 1), alone, "the batch changes an image of {:?}", x.size());
        assert_eq!(conv.clone().forward(&x, PostOp::Silu).unwrap(), all);
    }
}

#[test]
fn a_wide_packed_convolution_says_what_does_not_fit_and_keeps_nan() {
    let (weight, bias) = (Tensor::ones([32, 16, 3, 3], F32), Tensor::zeros([32], F32));
    let conv = PackedConv::new(&weight, &bias, [1, 1], [1, 1]).unwrap().unwrap();
    let x = Tensor::ones([1, 16, 8, 8], F32);
    assert!(conv.forward(&x, PostOp::None).is_ok());
    for wrong in [Tensor::ones([1, 8, 8, 8], F32), x.to_kind(Kind::Double)] {
        let error = conv.forward(&wrong, PostOp::None).unwrap_err().to_string();
        assert!(error.contains("expected"), "{error}");
    }
    assert!(conv.forward_add(&x, &Tensor::ones([1, 32, 8, 9], F32)).is_err());
    assert_eq!(conv.forward(&Tensor::ones([0, 16, 8, 8], F32), PostOp::Silu).unwrap().numel(), 0);
    for act in [PostOp::None, PostOp::Relu, PostOp::Silu, PostOp::Gelu] {
        let given = conv.forward(&x.full_like(f64::NAN), act).unwrap();
        assert_eq!(given.isnan().all().int64_value(&[]), 1, "{act:?}");
    }
}

#[test]
fn a_convolution_that_is_trained_has_the_gradients_of_the_convolution() {
    manual_seed(6);
    for (b, inputs, outputs, height, width) in [(2, 32, 64, 8, 8), (3, 64, 32, 9, 14)] {
        let leaf = |shape: &[i64]| Tensor::randn(shape, F32).set_requires_grad(true);
        let (weight, bias) = (leaf(&[outputs, inputs, 3, 3]), leaf(&[outputs]));
        let x = leaf(&[b, inputs, height, width]);
        let Some(y) = winograd_conv(&channels_last(&x), &weight, &bias).unwrap() else {
            return; // a processor without AVX-512
        };
        let probe = y.randn_like();
        (&y * &probe).sum(Kind::Float).backward();
        let given = [x.grad(), weight.grad(), bias.grad()];

        let double = |x: &Tensor| x.detach().to_kind(Kind::Double).set_requires_grad(true);
        let [x, weight, bias] = [&x, &weight, &bias].map(double);
        let exact = x.conv2d(&weight, Some(&bias), 1, 1, 1, 1);
        assert!(distance(&y, &exact) < 1e-6);
        (&exact * probe.to_kind(Kind::Double)).sum(Kind::Double).backward();
        for (given, exact) in given.iter().zip([x.grad(), weight.grad(), bias.grad()]) {
            let apart = distance(given, &exact);
            assert!(apart < 1e-6, "{:?}: {apart:e}", exact.size());
        }
    }
}

#[test]
fn what_is_not_trained_or_laid_out_so_is_left_to_libtorch() {
    let weight = Tensor::zeros([32, 32, 3, 3], F32).set_requires_grad(true);
    let bias = Tensor::zeros([32], F32);
    let x = channels_last(&Tensor::ones([1, 32, 8, 8], F32));
    let taken = |x: &Tensor| winograd_conv(x, &weight, &bias).unwrap().is_some();
    assert!(!taken(&x.contiguous()));
    assert!(!taken(&channels_last(&Tensor::ones([1, 32, 4, 4], F32))));
    assert!(!taken(&x.to_kind(Kind::Double)));
    assert!(!no_grad(|| taken(&x)));
    assert!(winograd_conv(&x, &weight.detach(), &bias).unwrap().is_none());
}

#[test]
fn a_packed_convolution_keeps_the_weights_of_its_first_pass() {
    let (mut weight, mut bias) = (Tensor::ones([16, 16, 3, 3], F32), Tensor::ones([16], F32));
    let conv = PackedConv::new(&weight, &bias, [1, 1], [1, 1]).unwrap().unwrap();
    let x = Tensor::ones([1, 16, 3, 3], F32);
    let before = conv.forward(&x, PostOp::None).unwrap();
    let _ = (weight.zero_(), bias.zero_());
    assert_eq!(conv.clone().forward(&x, PostOp::None).unwrap(), before);
    assert_eq!(before.double_value(&[0, 0, 1, 1]), 145.0);
}

#[test]
fn what_cannot_be_packed_is_left_to_libtorch() {
    let pack = |shape: &[i64], kind| {
        let weight = Tensor::zeros(shape, (kind, Device::Cpu));
        let bias = Tensor::zeros([shape[0]], (kind, Device::Cpu));
        PackedConv::new(&weight, &bias, [1, 1], [0, 0]).unwrap().is_some()
    };
    assert!(pack(&[4, 4, 1, 1], Kind::Float));
    assert!(!pack(&[4, 4, 1, 1], Kind::Double));
    assert!(!pack(&[4, 4, 1, 1], Kind::BFloat16));
    assert!(!pack(&[4, 4, 1], Kind::Float));
    assert!(!pack(&[4, 4, 1, 1, 1], Kind::Float));
}

#[test]
fn a_packed_convolution_refuses_other_channels() {
    let (weight, bias) = (Tensor::ones([16, 16, 1, 1], F32), Tensor::ones([16], F32));
    let conv = PackedConv::new(&weight, &bias, [1, 1], [0, 0]).unwrap().unwrap();
    assert!(conv.forward(&Tensor::ones([1, 8, 2, 2], F32), PostOp::None).is_err());
}

#[test]
fn the_group_norm_is_libtorchs() {
    manual_seed(2);
    // Batch, channels, height, width, groups.
    let shapes = [
        (1, 32, 4, 4, 32),
        (2, 64, 8, 6, 8),
        (3, 384, 16, 16, 32),
        (1, 160, 5, 3, 32),
        (9, 128, 32, 32, 32),
        (1, 16, 1, 1, 1),
        (2, 16, 67, 3, 2),
    ];
    for (b, c, h, w, groups) in shapes {
        let x = Tensor::randn([b, c, h, w], F32) * 3.0 + Tensor::randn([1, c, 1, 1], F32);
        for rows in [1, b] {
            let row = || Tensor::randn([rows, c], F32);
            let (before, scale, shift) = (row(), row(), row());
            for before in [None, Some(&before)] {
                let inputs =
                    GroupNormInputs { groups, eps: 1e-5, before, scale: &scale, shift: &shift };
                let wide = |row: &Tensor| row.view([rows, c, 1, 1]).to_kind(Kind::Double);
                let sum = before.map_or_else(
                    || x.to_kind(Kind::Double),
                    |before| x.to_kind(Kind::Double) + wide(before),
                );
                let none: Option<&Tensor> = None;
                let normed = sum.group_norm(groups, none, none, 1e-5, true);
                let expected = normed * wide(&scale) + wide(&shift);
                for act in [PostOp::None, PostOp::Relu, PostOp::Silu] {
                    for x in [x.shallow_clone(), channels_last(&x)] {
                        let given = group_norm(&x, inputs, act).unwrap();
                        let apart = distance(&given, &apply(&expected, act));
                        assert!(apart < 1e-6, "{act:?} of {:?}: {apart:e}", x.size());
                    }
                }
            }
        }
    }
}

#[test]
fn the_group_norm_bears_a_mean_far_from_zero() {
    manual_seed(3);
    let x = Tensor::randn([1, 32, 64, 64], F32) + 1000.0;
    let (one, zero) = (Tensor::ones([1, 32], F32), Tensor::zeros([1, 32], F32));
    let inputs = GroupNormInputs { groups: 8, eps: 1e-5, before: None, scale: &one, shift: &zero };
    let given = group_norm(&x, inputs, PostOp::None).unwrap();
    let none: Option<&Tensor> = None;
    let expected = x.to_kind(Kind::Double).group_norm(8, none, none, 1e-5, true);
    // x itself is rounded to 6e-5.
    assert!(distance(&given, &expected) < 1e-4);
}

#[test]
fn silu_is_right_far_out_and_nan_stays() {
    let values = [-1e30f32, -200.0, -88.5, -30.0, -1e-3, 0.0, 1e-3, 30.0, 88.5, 200.0, 1e30];
    let mut row = values.to_vec();
    row.resize(16, 0.0);
    // A norm that does nothing: scale 0, the values as shift.
    let shift = Tensor::from_slice(&row).view([1, 16]);
    let zero = Tensor::zeros([1, 16], F32);
    let inputs =
        GroupNormInputs { groups: 1, eps: 1e-5, before: None, scale: &zero, shift: &shift };
    let x = Tensor::randn([1, 16, 2, 2], F32);
    let given = group_norm(&x, inputs, PostOp::Silu).unwrap();
    let expected = shift.to_kind(Kind::Double).silu().view([1, 16, 1, 1]).expand_as(&given);
    let apart = (given.to_kind(Kind::Double) - &expected).abs() / (expected.abs() + 1e-30);
    assert!(apart.max().double_value(&[]) < 1e-6, "{given:?}");

    let nan = x.full_like(f64::NAN);
    for act in [PostOp::None, PostOp::Relu, PostOp::Silu] {
        let given = group_norm(&nan, inputs, act).unwrap();
        assert!(given.isnan().all().int64_value(&[]) == 1, "{act:?}");
    }
}

#[test]
fn the_group_norm_does_not_depend_on_the_batch() {
    manual_seed(4);
    let x = Tensor::randn([7, 128, 16, 16], F32);
    let (one, zero) = (Tensor::ones([1, 128], F32), Tensor::zeros([1, 128], F32));
    let inputs = GroupNormInputs { groups: 32, eps: 1e-5, before: None, scale: &one, shift: &zero };
    let all = group_norm(&x, inputs, PostOp::Silu).unwrap();
    let alone = group_norm(&x.narrow(0, 3, 1), inputs, PostOp::Silu).unwrap();
    assert_eq!(all.narrow(0, 3, 1), alone);
}

#[test]
fn the_group_norm_says_what_it_does_not_take() {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, F32);
    assert!(!takes_group_norm(&zeros(&[1, 24, 4, 4]), 4));
    assert!(!takes_group_norm(&zeros(&[1, 32, 4]), 4));
    assert!(!takes_group_norm(&zeros(&[1, 32, 4, 4]).to_kind(Kind::Double), 4));
    assert!(!takes_group_norm(&zeros(&[1, 32, 4, 4]), 5));
    assert!(takes_group_norm(&zeros(&[1, 32, 4, 4]), 4));

    let row = zeros(&[1, 32]);
    let inputs = GroupNormInputs { groups: 4, eps: 1e-5, before: None, scale: &row, shift: &row };
    let x = zeros(&[2, 32, 4, 4]);
    assert!(group_norm(&x, inputs, PostOp::Gelu).is_err());
    let three = zeros(&[3, 32]);
    let error =
        group_norm(&x, GroupNormInputs { shift: &three, ..inputs }, PostOp::Silu).unwrap_err();
    assert!(error.to_string().contains("[1, 32] or [2, 32]"), "{error}");
}

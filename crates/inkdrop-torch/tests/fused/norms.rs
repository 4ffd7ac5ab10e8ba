//! Batch and RMS normalisation in one operation each.

use inkdrop_torch::{BatchNormOutputs, batch_norm, rms_norm};

use super::*;

const EPS: f64 = 1e-5;

fn leaf(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, F32).set_requires_grad(true)
}

/// Gradients of Σ y·probe by some leaves, where y is what `layer` computes from them.
fn gradients(
    leaves: [&Tensor; 3],
    probe: &Tensor,
    layer: impl Fn([&Tensor; 3]) -> Tensor,
) -> Vec<Tensor> {
    let loss = (layer(leaves) * probe).sum(probe.kind());
    Tensor::run_backward(&[loss], &leaves, false, false)
}

/// The layer and its gradients in f32, and what is expected of them in f64.
fn check(
    leaves: [&Tensor; 3],
    bound: f64,
    layer: impl Fn([&Tensor; 3]) -> Tensor,
    reference: impl Fn([&Tensor; 3]) -> Tensor,
) {
    let exact = leaves.map(exact_leaf);
    let exact = exact.each_ref();
    let expected = reference(exact);
    let apart = distance(&layer(leaves), &expected);
    assert!(apart < bound, "{:?}: {apart:e}", expected.size());
    let probe = Tensor::randn(expected.size(), F32);
    let given = gradients(leaves, &probe, layer);
    let expected = gradients(exact, &double(&probe), reference);
    for (given, expected) in given.iter().zip(&expected) {
        let apart = distance(given, expected);
        assert!(apart < 2.0 * bound, "gradient {:?}: {apart:e}", expected.size());
    }
}

const POST_OPS: [PostOp; 4] = [PostOp::None, PostOp::Relu, PostOp::Silu, PostOp::Gelu];

#[test]
fn the_batch_norm_and_its_gradients_are_libtorchs() {
    manual_seed(8);
    for (b, c, h, w) in [(3, 64, 8, 6), (100, 16, 4, 4), (1, 48, 3, 5), (2, 32, 33, 1)] {
        let (x, scale, shift) = (leaf(&[b, c, h, w]), leaf(&[c]), leaf(&[c]));
        for post_op in POST_OPS {
            let layer = |[x, scale, shift]: [&Tensor; 3]| {
                batch_norm(&channels_last(x), scale, shift, EPS, post_op).unwrap().y
            };
            let none = || None::<&Tensor>;
            let reference = |[x, scale, shift]: [&Tensor; 3]| {
                let (scale, shift) = (Some(scale), Some(shift));
                apply(&x.batch_norm(scale, shift, none(), none(), true, 0.1, EPS, true), post_op)
            };
            check([&x, &scale, &shift], 2e-6, layer, reference);
        }
    }
}

#[test]
fn the_batch_norm_returns_the_statistics_of_its_input() {
    manual_seed(9);
    let x = Tensor::randn([5, 32, 7, 3], F32) * 3.0 + 2.0;
    let (one, zero) = (Tensor::ones([32], F32), Tensor::zeros([32], F32));
    let BatchNormOutputs { y, mean, spread } =
        batch_norm(&x, &one, &zero, EPS, PostOp::None).unwrap();
    assert!(inkdrop_torch::is_channels_last(&y));
    let (variance, expected) = double(&x).var_mean_correction(&[0i64, 2, 3][..], 0, false);
    assert!(distance(&mean, &expected) < 1e-6);
    assert!(distance(&spread, &(variance + EPS).rsqrt()) < 1e-6);
    assert!(!mean.requires_grad() && !spread.requires_grad());
}

/// act(x/‖x‖·scale + shift), with ‖x‖ over the channels.
fn rms([x, scale, shift]: [&Tensor; 3], post_op: PostOp) -> Tensor {
    let norm = x.square().sum_dim_intlist([1i64].as_slice(), true, x.kind()).sqrt();
    let row = |row: &Tensor| row.unsqueeze(-1).unsqueeze(-1);
    apply(&(x / norm.clamp_min(1e-12) * row(scale) + row(shift)), post_op)
}

#[test]
fn the_rms_norm_and_its_gradients_are_those_of_its_formula() {
    manual_seed(10);
    for (b, c, h, w) in [(3, 64, 8, 6), (2, 16, 17, 9), (1, 1024, 3, 5), (4, 48, 1, 1)] {
        for rows in [1, b] {
            let (x, scale, shift) = (leaf(&[b, c, h, w]), leaf(&[rows, c]), leaf(&[rows, c]));
            let leaves = [&x, &scale, &shift];
            for post_op in POST_OPS {
                let layer = |[x, scale, shift]: [&Tensor; 3]| {
                    rms_norm(&channels_last(x), scale, shift, post_op).unwrap()
                };
                check(leaves, 1e-6, layer, |leaves| rms(leaves, post_op));
            }
        }
    }
}

#[test]
fn an_image_of_zeros_stays_finite_in_the_rms_norm() {
    let x = channels_last(&Tensor::zeros([1, 16, 2, 2], F32)).set_requires_grad(true);
    let (one, shift) = (Tensor::ones([1, 16], F32), Tensor::full([1, 16], 0.5, F32));
    let y = rms_norm(&x, &one, &shift, PostOp::None).unwrap();
    assert_eq!(y, y.full_like(0.5));
    (y * 1e-20).sum(Kind::Float).backward();
    // The norm is held at 1e-12, and does not change with x there.
    let largest = x.grad().abs().max().double_value(&[]);
    assert!((largest - 1e-8).abs() < 1e-13, "{largest:e}");
    let nan = rms_norm(&x.detach().full_like(f64::NAN), &one, &shift, PostOp::Gelu).unwrap();
    assert_eq!(nan.isnan().all().int64_value(&[]), 1);
}

#[test]
fn an_image_does_not_change_the_rms_norm_of_another() {
    manual_seed(11);
    let x = Tensor::randn([3, 32, 9, 9], F32);
    let (scale, shift) = (Tensor::randn([1, 32], F32), Tensor::randn([1, 32], F32));
    let all = rms_norm(&x, &scale, &shift, PostOp::Silu).unwrap();
    let alone = rms_norm(&x.narrow(0, 2, 1), &scale, &shift, PostOp::Silu).unwrap();
    assert_eq!(all.narrow(0, 2, 1), alone);
}

#[test]
fn norms_say_what_they_do_not_take() {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, F32);
    let problem = |result: inkdrop_torch::Result<Tensor>| result.unwrap_err().to_string();
    let (x, row) = (zeros(&[2, 32, 4, 4]), zeros(&[1, 32]));
    let wrong = problem(rms_norm(&x, &row, &zeros(&[3, 32]), PostOp::None));
    assert!(wrong.contains("[3, 32]: expected [1, 32] or [2, 32]"), "{wrong}");
    let wrong = problem(rms_norm(&zeros(&[2, 24, 4, 4]), &row, &row, PostOp::None));
    assert!(wrong.contains("C a multiple of 16"), "{wrong}");
    let wrong = batch_norm(&x, &zeros(&[32]), &row, EPS, PostOp::None).map(|outputs| outputs.y);
    assert!(problem(wrong).contains("shift [1, 32]: expected [B, C, H, W], [C] and [C]"));
}

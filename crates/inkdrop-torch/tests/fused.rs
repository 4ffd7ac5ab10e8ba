//! Fused layers against those that libtorch has in parts, with every instruction set of the processor.
#![allow(clippy::unwrap_used)]

#[path = "fused/norms.rs"]
mod norms;

use inkdrop_torch::tch::{self, Device, Kind, Tensor, manual_seed, no_grad};
use inkdrop_torch::{
    GroupNormInputs, Isa, PackedConv, PostOp, group_norm, isa, multiplies_bf16, takes_fused_norm,
    winograd_conv,
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
    inkdrop_torch::channels_last(x).unwrap()
}

fn double(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Double)
}

/// A copy in f64 that is trained.
fn exact_leaf(x: &Tensor) -> Tensor {
    double(&x.detach()).set_requires_grad(true)
}

const MAX_ISA: &str = "INKDROP_MAX_ISA";

fn run_capped(name: &str) -> std::process::Output {
    let program = std::env::current_exe().unwrap();
    std::process::Command::new(program).env(MAX_ISA, name).output().unwrap()
}

#[test]
fn all_of_this_holds_with_every_instruction_set() {
    if std::env::var_os(MAX_ISA).is_some() {
        return; // one of the runs below
    }
    let all = [Isa::Baseline, Isa::Avx2, Isa::Avx512];
    for below in all.into_iter().filter(|below| *below < isa().unwrap()) {
        let output = run_capped(&below.to_string());
        assert!(output.status.success(), "{below}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Runs one test of this file in a process of its own, with a variable set.
fn run_alone(test: &str, variable: &str, value: &str) -> std::process::Output {
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["--exact", test, "--nocapture"]).env(variable, value).output().unwrap()
}

#[test]
fn the_kernels_can_be_switched_off() {
    const NAME: &str = "INKDROP_KERNELS";
    let weight = Tensor::ones([64, 64, 3, 3], F32).set_requires_grad(true);
    let x = channels_last(&Tensor::ones([1, 64, 8, 8], F32));
    let taken = || winograd_conv(&x, &weight, &Tensor::zeros([64], F32), None).map(|y| y.is_some());
    match std::env::var(NAME).as_deref() {
        Ok("off") => {
            assert!(!taken().unwrap() && !takes_fused_norm(&x, 8));
            let conv = PackedConv::new(&weight, &Tensor::zeros([64], F32), [1, 1], [1, 1]).unwrap();
            let y = conv.unwrap().forward(&x, PostOp::None).unwrap();
            assert_eq!(y.double_value(&[0, 0, 4, 4]), 9.0 * 64.0);
        }
        Ok("unchecked") => assert!(taken().unwrap() && takes_fused_norm(&x, 8)),
        Ok(_) => assert!(taken().unwrap_err().to_string().contains("INKDROP_KERNELS is 'fast'")),
        Err(_) => {
            assert!(taken().unwrap() && takes_fused_norm(&x, 8));
            for value in ["off", "unchecked", "fast"] {
                let output = run_alone("the_kernels_can_be_switched_off", NAME, value);
                assert!(
                    output.status.success(),
                    "{value}: {}",
                    String::from_utf8_lossy(&output.stdout)
                );
                assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{value}");
            }
        }
    }
}

#[test]
fn the_instruction_set_is_the_one_asked_for() {
    match std::env::var(MAX_ISA) {
        Ok(name) if name == "none" => {
            let error = isa().unwrap_err().to_string();
            assert!(error.contains("INKDROP_MAX_ISA is 'none', expected avx512"), "{error}");
        }
        Ok(name) => assert_eq!(isa().unwrap().to_string(), name),
        Err(_) => {
            let name = "the_instruction_set_is_the_one_asked_for";
            assert!(run_alone(name, MAX_ISA, "none").status.success());
        }
    }
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

/// Bound of the error of a wide convolution over an image of this size, by the algorithm that it takes:
/// that of F(4×4, 3×3) is three times that of F(2×2, 3×3) (docs/performance.md).
fn largest_error(height: i64, width: i64) -> f64 {
    if large_tiles(height, width) >= 16 { 3e-6 } else { 1e-6 }
}

/// The same for a convolution that is trained, whose algorithm depends on the batch.
fn largest_error_trained(batch: i64, height: i64, width: i64) -> f64 {
    if batch * large_tiles(height, width) >= 128 { 3e-6 } else { largest_error(height, width) }
}

/// Number of tiles of 4 × 4 in an image.
fn large_tiles(height: i64, width: i64) -> i64 {
    ((height + 3) / 4) * ((width + 3) / 4)
}

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
        (2, 272, 64, 16, 18),
        (1, 512, 96, 13, 15),
    ];
    for (b, inputs, outputs, height, width) in shapes {
        let weight = Tensor::randn([outputs, inputs, 3, 3], F32) / (9.0 * inputs as f64).sqrt();
        let bias = Tensor::randn([outputs], F32);
        let conv = PackedConv::new(&weight, &bias, [1, 1], [1, 1]).unwrap().unwrap();
        let x = Tensor::randn([b, inputs, height, width], F32);
        let exact = double(&x).conv2d(&double(&weight), Some(double(&bias)), 1, 1, 1, 1);
        let bound = largest_error(height, width);
        for x in [x.shallow_clone(), channels_last(&x)] {
            for act in [PostOp::None, PostOp::Relu, PostOp::Silu, PostOp::Gelu] {
                let given = conv.forward(&x, act).unwrap();
                let apart = distance(&given, &apply(&exact, act));
                assert!(apart < bound, "{act:?} of {:?}: {apart:e}", x.size());
            }
            let other = exact.randn_like().to_kind(Kind::Float);
            let given = conv.forward_add(&x, &other).unwrap();
            let apart = distance(&given, &(&exact + double(&other)));
            assert!(apart < bound, "added to {:?}: {apart:e}", x.size());
        }
        let alone = conv.forward(&x.narrow(0, b - 1, 1), PostOp::Silu).unwrap();
        let all = conv.forward(&x, PostOp::Silu).unwrap();
        assert_eq!(all.narrow(0, b - 1, 1), alone, "the batch changes an image of {:?}", x.size());
        assert_eq!(conv.clone().forward(&x, PostOp::Silu).unwrap(), all);
    }
}

const BF16: (Kind, Device) = (Kind::BFloat16, Device::Cpu);

#[test]
fn bf16_is_multiplied_where_the_processor_can() {
    assert_eq!(multiplies_bf16().unwrap(), isa().unwrap() == Isa::Avx512Bf16);
    let (weight, bias) = (Tensor::zeros([32, 16, 3, 3], BF16), Tensor::zeros([32], BF16));
    let conv = PackedConv::new(&weight, &bias, [1, 1], [1, 1]).unwrap();
    assert_eq!(conv.is_some(), multiplies_bf16().unwrap());
    let mixed = PackedConv::new(&weight, &bias.to_kind(Kind::Float), [1, 1], [1, 1]).unwrap();
    assert!(mixed.is_none(), "weight and bias have different dtypes");
}

/// Root mean square of the difference, in units of that of the expected numbers.
fn relative(given: &Tensor, expected: &Tensor) -> f64 {
    let rms = |x: Tensor| x.square().mean(Kind::Double).sqrt().double_value(&[]);
    rms(double(given) - expected) / rms(expected.shallow_clone())
}

#[test]
fn a_convolution_in_bf16_rounds_its_factors_and_sums_in_f32() {
    if !multiplies_bf16().unwrap() {
        return;
    }
    manual_seed(6);
    // Batch, channels in and out, height, width, kernel, stride, and the bound. A factor is rounded by up to
    // 2^-9 (on average 1.6e-3); F(2×2, 3×3) multiplies that by 2, F(4×4, 3×3) by 5 (docs/performance.md).
    let shapes = [
        (2, 64, 96, 16, 16, 3, 1, 1.6e-2),
        (1, 272, 64, 17, 19, 3, 1, 1.6e-2),
        (3, 128, 32, 8, 9, 3, 1, 6e-3),
        (2, 512, 64, 4, 4, 3, 1, 6e-3),
        (1, 64, 64, 1, 1, 3, 1, 6e-3),
        (2, 256, 768, 7, 8, 1, 1, 3e-3),
        (2, 3, 64, 9, 8, 3, 1, 1e-6),
        (2, 64, 64, 8, 8, 3, 2, 1e-6),
    ];
    for (b, inputs, outputs, height, width, kernel, stride, bound) in shapes {
        let fan_in = (kernel * kernel * inputs) as f64;
        let weight = Tensor::randn([outputs, inputs, kernel, kernel], F32) / fan_in.sqrt();
        let (weight, bias) = (weight.to_kind(Kind::BFloat16), Tensor::randn([outputs], BF16));
        let (strides, padding) = ([stride; 2], [kernel / 2; 2]);
        let conv = PackedConv::new(&weight, &bias, strides, padding).unwrap().unwrap();
        let x = Tensor::randn([b, inputs, height, width], F32);
        let (wide, offset) = (double(&weight), double(&bias));
        let exact = double(&x).conv2d(&wide, Some(offset), strides, padding, [1, 1], 1);
        for act in [PostOp::None, PostOp::Relu, PostOp::Silu, PostOp::Gelu] {
            let given = conv.forward(&x, act).unwrap();
            assert_eq!(given.kind(), Kind::Float);
            let apart = relative(&given, &apply(&exact, act));
            assert!(apart < bound, "{act:?} of {:?}: {apart:e}", x.size());
        }
        let other = exact.randn_like().to_kind(Kind::Float);
        let apart = relative(&conv.forward_add(&x, &other).unwrap(), &(&exact + double(&other)));
        assert!(apart < bound, "added to {:?}: {apart:e}", x.size());
        let alone = conv.forward(&x.narrow(0, b - 1, 1), PostOp::None).unwrap();
        let all = conv.forward(&x, PostOp::None).unwrap();
        assert_eq!(all.narrow(0, b - 1, 1), alone, "the batch changes an image of {:?}", x.size());
    }
}

/// Small whole numbers are exact in bf16, and so are their sums in f32.
#[test]
fn a_convolution_of_whole_numbers_in_bf16_is_exact() {
    if !multiplies_bf16().unwrap() {
        return;
    }
    let numbers = |shape: &[i64], step: i64| {
        let count: i64 = shape.iter().product();
        let line = Tensor::arange(count, (Kind::Int64, Device::Cpu)) * step;
        (line.remainder(17) - 8).to_kind(Kind::Float).reshape(shape)
    };
    let (weight, x) = (numbers(&[64, 48, 1, 1], 5), numbers(&[3, 48, 5, 7], 11));
    let bias = numbers(&[64], 3);
    let [packed, offset] = [&weight, &bias].map(|tensor| tensor.to_kind(Kind::BFloat16));
    let conv = PackedConv::new(&packed, &offset, [1, 1], [0, 0]).unwrap().unwrap();
    let expected = double(&x).conv2d(&double(&weight), Some(double(&bias)), 1, 0, 1, 1);
    assert_eq!(double(&conv.forward(&x, PostOp::None).unwrap()), expected);
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
    let shapes = [
        (2, 64, 96, 8, 8),
        (3, 96, 64, 9, 14),
        (2, 64, 96, 17, 19),
        (9, 128, 64, 16, 16),
        (33, 64, 96, 8, 7), // 132 tiles of 4 × 4
        (33, 96, 64, 4, 4), // 132 tiles of 2 × 2
    ];
    for (b, inputs, outputs, height, width) in shapes {
        let leaf = |shape: &[i64]| Tensor::randn(shape, F32).set_requires_grad(true);
        let weight = Tensor::randn([outputs, inputs, 3, 3], F32) / (9.0 * inputs as f64).sqrt();
        let (weight, bias) = (weight.set_requires_grad(true), leaf(&[outputs]));
        let (x, other) = (leaf(&[b, inputs, height, width]), leaf(&[b, outputs, height, width]));
        let y = winograd_conv(&channels_last(&x), &weight, &bias, Some(&other)).unwrap().unwrap();
        let probe = y.randn_like();
        (&y * &probe).sum(Kind::Float).backward();
        let given = [x.grad(), other.grad(), weight.grad(), bias.grad()];

        let [x, other, weight, bias] = [&x, &other, &weight, &bias].map(exact_leaf);
        let exact = x.conv2d(&weight, Some(&bias), 1, 1, 1, 1) + &other;
        let bound = largest_error_trained(b, height, width);
        assert!(distance(&y, &exact) < bound);
        (&exact * double(&probe)).sum(Kind::Double).backward();
        for (given, exact) in given.iter().zip([x.grad(), other.grad(), weight.grad(), bias.grad()])
        {
            let apart = distance(given, &exact);
            assert!(apart < bound, "{:?}: {apart:e}", exact.size());
        }
        // The last image among others.
        let last = |x: &Tensor| x.narrow(0, b - 1, 1).to_kind(Kind::Float);
        let [weight, bias] = [&weight, &bias].map(|t| t.to_kind(Kind::Float));
        let others = Tensor::randn([b - 1, inputs, height, width], F32);
        let mixed = channels_last(&Tensor::cat(&[others, last(&x)], 0));
        let mixed = winograd_conv(&mixed, &weight, &bias, None).unwrap().unwrap();
        assert_eq!(last(&y), last(&mixed) + last(&other), "the others change an image");
    }
}

/// The number of threads is libtorch's own for the whole process; so this runs in processes.
#[test]
fn a_gradient_does_not_depend_on_the_number_of_threads() {
    const CHILD: &str = "INKDROP_TEST_THREADS";
    if std::env::var_os(CHILD).is_none() {
        let run = |threads: &str| {
            run_alone("a_gradient_does_not_depend_on_the_number_of_threads", CHILD, threads)
        };
        let sums = ["1", "3"].map(|threads| {
            let output = String::from_utf8(run(threads).stdout).unwrap();
            let line = output.lines().find(|line| line.contains("gradients"));
            line.map(String::from).unwrap_or_else(|| panic!("{output}"))
        });
        assert_eq!(sums[0], sums[1]);
        return;
    }
    tch::set_num_threads(std::env::var(CHILD).unwrap().parse().unwrap());
    manual_seed(8);
    let leaf = |shape: &[i64]| Tensor::randn(shape, F32).set_requires_grad(true);
    let (weight, bias, x) = (leaf(&[64, 64, 3, 3]), leaf(&[64]), leaf(&[7, 64, 16, 16]));
    let y = winograd_conv(&channels_last(&x), &weight, &bias, None).unwrap().unwrap();
    let rows = (leaf(&[1, 64]), leaf(&[1, 64]));
    let inputs =
        GroupNormInputs { groups: 8, eps: 1e-5, before: None, scale: &rows.0, shift: &rows.1 };
    let y = group_norm(&y, inputs, PostOp::Silu).unwrap();
    (&y * y.randn_like()).sum(Kind::Float).backward();
    let bits = |x: Tensor| -> u32 {
        let values = Vec::<f32>::try_from(x.contiguous().view([-1])).unwrap();
        values.iter().fold(0, |sum, value| sum.wrapping_mul(31).wrapping_add(value.to_bits()))
    };
    let found = [weight.grad(), x.grad(), rows.0.grad(), rows.1.grad()].map(bits);
    println!("\ngradients {found:?}");
}

/// Their gradients have no graph: without an error, those of a gradient penalty would be 0.
#[test]
fn gradients_of_gradients_are_refused() {
    let leaf = |shape: &[i64]| Tensor::ones(shape, F32).set_requires_grad(true);
    let (x, row) = (leaf(&[1, 64, 8, 8]), leaf(&[1, 64]));
    let last = channels_last(&x);
    let inputs = GroupNormInputs { groups: 8, eps: 1e-5, before: None, scale: &row, shift: &row };
    let norm = group_norm(&last, inputs, PostOp::Silu).unwrap();
    let conv = winograd_conv(&last, &leaf(&[64, 64, 3, 3]), &leaf(&[64]), None).unwrap().unwrap();
    for y in [norm, conv] {
        let loss = y.square().sum(Kind::Float);
        let error = Tensor::f_run_backward(&[&loss], &[&x], true, true).unwrap_err().to_string();
        assert!(error.contains("no gradients of gradients"), "{error}");
        assert!(Tensor::f_run_backward(&[&loss], &[&x], true, false).is_ok());
    }
}

#[test]
fn what_is_not_trained_or_laid_out_so_is_left_to_libtorch() {
    let weight = Tensor::zeros([64, 64, 3, 3], F32).set_requires_grad(true);
    let bias = Tensor::zeros([64], F32);
    let x = channels_last(&Tensor::ones([1, 64, 8, 8], F32));
    let taken = |x: &Tensor| winograd_conv(x, &weight, &bias, None).unwrap().is_some();
    assert!(taken(&x) && no_grad(|| taken(&x)));
    assert!(!taken(&x.contiguous()));
    let narrow = Tensor::zeros([32, 64, 3, 3], F32).set_requires_grad(true);
    assert!(winograd_conv(&x, &narrow, &Tensor::zeros([32], F32), None).unwrap().is_none());
    assert!(!taken(&channels_last(&Tensor::ones([1, 64, 4, 4], F32))));
    assert!(!taken(&x.to_kind(Kind::Double)));
    assert!(winograd_conv(&x, &weight.detach(), &bias, None).unwrap().is_none());
    assert!(winograd_conv(&x, &weight, &bias, Some(&Tensor::ones([1, 64, 8, 9], F32))).is_err());
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
    assert_eq!(pack(&[4, 4, 1, 1], Kind::BFloat16), multiplies_bf16().unwrap());
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
                for act in [PostOp::None, PostOp::Relu, PostOp::Silu, PostOp::Gelu] {
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
fn the_group_norm_has_the_gradients_of_libtorchs() {
    manual_seed(7);
    for (b, c, h, w, groups) in [(3, 64, 8, 6, 8), (2, 128, 32, 32, 32), (1, 48, 3, 5, 3)] {
        for rows in [1, b] {
            let leaf = |shape: &[i64]| Tensor::randn(shape, F32).set_requires_grad(true);
            let x = leaf(&[b, c, h, w]);
            let (before, scale, shift) = (leaf(&[b, c]), leaf(&[rows, c]), leaf(&[rows, c]));
            for (with_before, act) in [
                (true, PostOp::Silu),
                (false, PostOp::Silu),
                (false, PostOp::None),
                (true, PostOp::Relu),
                (true, PostOp::Gelu),
            ] {
                let before = with_before.then_some(&before);
                let inputs =
                    GroupNormInputs { groups, eps: 1e-5, before, scale: &scale, shift: &shift };
                let leaves = [Some(&x), before, Some(&scale), Some(&shift)].into_iter().flatten();
                let leaves: Vec<_> = leaves.collect();
                let y = group_norm(&channels_last(&x), inputs, act).unwrap();
                let probe = y.randn_like();
                let loss = (&y * &probe).sum(Kind::Float);
                let given = Tensor::run_backward(&[loss], &leaves, false, false);

                let exact: Vec<_> = leaves.iter().map(|leaf| exact_leaf(leaf)).collect();
                let wide = |row: &Tensor| row.view([-1, c, 1, 1]);
                let sum = if with_before {
                    &exact[0] + wide(&exact[1])
                } else {
                    exact[0].shallow_clone()
                };
                let none: Option<&Tensor> = None;
                let normed = sum.group_norm(groups, none, none, 1e-5, true);
                let [scale, shift] = [&exact[exact.len() - 2], &exact[exact.len() - 1]];
                let y = apply(&(normed * wide(scale) + wide(shift)), act);
                let loss = (&y * double(&probe)).sum(Kind::Double);
                let expected = Tensor::run_backward(&[loss], &exact, false, false);
                for (given, expected) in given.iter().zip(&expected) {
                    let apart = distance(given, expected);
                    assert!(apart < 2e-6, "{act:?}, {:?}: {apart:e}", expected.size());
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
    for act in [PostOp::None, PostOp::Relu, PostOp::Silu, PostOp::Gelu] {
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
    assert!(!takes_fused_norm(&zeros(&[1, 24, 4, 4]), 4));
    assert!(!takes_fused_norm(&zeros(&[1, 32, 4]), 4));
    assert!(!takes_fused_norm(&zeros(&[1, 32, 4, 4]).to_kind(Kind::Double), 4));
    assert!(!takes_fused_norm(&zeros(&[1, 32, 4, 4]), 5));
    assert!(takes_fused_norm(&zeros(&[1, 32, 4, 4]), 4));

    let row = zeros(&[1, 32]);
    let inputs = GroupNormInputs { groups: 4, eps: 1e-5, before: None, scale: &row, shift: &row };
    let x = zeros(&[2, 32, 4, 4]);
    let three = zeros(&[3, 32]);
    let error =
        group_norm(&x, GroupNormInputs { shift: &three, ..inputs }, PostOp::Silu).unwrap_err();
    assert!(error.to_string().contains("[1, 32] or [2, 32]"), "{error}");
}

/// Our kernels read one number for each output.
#[test]
fn a_bias_of_another_length_has_no_packed_convolution() {
    let weight = Tensor::randn([64, 64, 3, 3], F32);
    for bias in [Tensor::zeros([1], F32), Tensor::zeros([1, 64], F32)] {
        assert!(PackedConv::new(&weight, &bias, [1, 1], [1, 1]).unwrap().is_none());
    }
    let (x, shared) = (Tensor::randn([1, 64, 16, 16], F32), Tensor::ones([1], F32));
    let expected = x.conv2d(&weight, Some(&Tensor::ones([64], F32)), [1, 1], [1, 1], [1, 1], 1);
    let expanded = shared.expand([64], false);
    if let Some(conv) = PackedConv::new(&weight, &expanded, [1, 1], [1, 1]).unwrap() {
        assert!(conv.forward(&x, PostOp::None).unwrap().allclose(&expected, 1e-4, 1e-3, false));
    }
    let trained = weight.copy().set_requires_grad(true);
    let rows = channels_last(&x);
    assert!(winograd_conv(&rows, &trained, &expanded, None).unwrap().is_none());
    assert!(!takes_fused_norm(&x, 0));
}

//! Dropout masks that do not depend on the batch, with every instruction set of the processor.
#![allow(clippy::unwrap_used)]

use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};
use inkdrop_torch::{
    DefaultGenerator, Isa, channels_last, checkpoint, draw_dropout_key, dropout, is_channels_last,
    isa, own_kernels,
};

const MAX_ISA: &str = "INKDROP_MAX_ISA";
const KINDS: [Kind; 4] = [Kind::Float, Kind::Double, Kind::Half, Kind::BFloat16];

fn ones(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, (Kind::Float, Device::Cpu))
}

/// Runs this file, or one test of it, in a process of its own with a variable set.
fn run_with(arguments: &[&str], variable: &str, value: &str) -> std::process::Output {
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(arguments).env(variable, value).output().unwrap()
}

#[test]
fn all_of_this_holds_with_every_instruction_set() {
    assert!(own_kernels().unwrap(), "the kernel of {} is not the one tested", isa().unwrap());
    if std::env::var_os(MAX_ISA).is_some() {
        return; // one of the runs below
    }
    let all = [Isa::Baseline, Isa::Avx2, Isa::Avx512];
    for below in all.into_iter().filter(|below| *below < isa().unwrap()) {
        let output = run_with(&[], MAX_ISA, &below.to_string());
        assert!(output.status.success(), "{below}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Equal masks for all instruction sets: each process has one, so the masks are compared as a hash.
#[test]
fn the_mask_is_the_same_for_every_instruction_set() {
    const CHILD: &str = "INKDROP_TEST_MASK";
    let name = "the_mask_is_the_same_for_every_instruction_set";
    let y = dropout(&ones(&[3, 5, 67, 71]), 0.37, 0x0123_4567_89ab_cdef, -2).unwrap();
    let values = Vec::<f32>::try_from(y.view([-1])).unwrap();
    let hash = values.iter().fold(0u64, |hash, value| {
        (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3)
    });
    if std::env::var_os(CHILD).is_some() {
        println!("\nmask {hash:016x}");
        return;
    }
    for isa in [Isa::Baseline, Isa::Avx2, Isa::Avx512].into_iter().filter(|i| *i <= isa().unwrap())
    {
        let program = std::env::current_exe().unwrap();
        let mut command = std::process::Command::new(program);
        command.args(["--exact", name, "--nocapture"]).env(MAX_ISA, isa.to_string());
        let output = String::from_utf8(command.env(CHILD, "1").output().unwrap().stdout).unwrap();
        assert!(output.contains(&format!("mask {hash:016x}")), "{isa}: {output}");
    }
}

/// Random123, kat_vectors: philox4x32 with ten rounds, counter 0 and key 0. An element is kept if its
/// word is at least p·2³², so that two probabilities enclose each word.
#[test]
fn the_words_are_those_of_philox() {
    let published = [(0, 0x6627_e8d5_u32), (1, 0xe169_c58d), (32, 0xbc57_ac4c), (33, 0x9b00_dbd8)];
    for (element, word) in published {
        let kept = |below: f64| {
            let y = dropout(&ones(&[1, 64]), below / 4_294_967_296.0, 0, 0).unwrap();
            y.double_value(&[0, element]) != 0.0
        };
        assert!(kept(f64::from(word)) && !kept(f64::from(word) + 1.0), "word of {element}");
    }
}

#[test]
fn the_mask_of_an_image_does_not_depend_on_its_batch() {
    for shape in [vec![6, 3, 5, 7], vec![6, 200_000], vec![6, 32, 33, 17], vec![6]] {
        let x = ones(&shape);
        let whole = dropout(&x, 0.4, 9, 10).unwrap();
        for (first, count) in [(0, 6), (0, 1), (5, 1), (2, 3)] {
            let part = dropout(&x.narrow(0, first, count), 0.4, 9, 10 + first).unwrap();
            assert_eq!(whole.narrow(0, first, count), part, "{first} of {shape:?}");
        }
    }
}

#[test]
fn another_key_or_image_has_another_mask() {
    let mask = |key, first| dropout(&ones(&[1, 4096]), 0.5, key, first).unwrap();
    // Numbers that differ in one bit of either half, too.
    let numbers = [0, 1, 2, 1 << 31, 1 << 32, 1 << 40, -1, i64::MIN];
    let places: Vec<(i64, i64)> =
        numbers.iter().flat_map(|key| numbers.iter().map(move |image| (*key, *image))).collect();
    let masks: Vec<Tensor> = places.iter().map(|(key, image)| mask(*key, *image)).collect();
    for i in 0..masks.len() {
        for j in 0..i {
            let equal = (masks[i].eq_tensor(&masks[j])).to_kind(Kind::Double).mean(Kind::Double);
            // Two independent masks agree in half of the elements: σ is 1/128.
            let apart = (equal.double_value(&[]) - 0.5).abs();
            assert!(apart < 6.0 / 128.0, "{:?} and {:?}: {apart}", places[i], places[j]);
        }
    }
}

#[test]
fn the_kept_share_is_one_minus_p() {
    for probability in [0.1, 0.3, 0.5] {
        let y = dropout(&ones(&[64, 8, 32, 32]), probability, 77, 0).unwrap();
        let kept = y.ne(0.0).to_kind(Kind::Double);
        let check = |share: f64, count: f64| {
            let sigma = (probability * (1.0 - probability) / count).sqrt();
            let apart = (share - (1.0 - probability)).abs();
            assert!(apart < 5.0 * sigma, "{share} of {count} at {probability}");
        };
        check(kept.mean(Kind::Double).double_value(&[]), 64.0 * 8192.0);
        // Each image, and each position over all images.
        for share in Vec::<f64>::try_from(kept.view([64, -1]).mean_dim(1, false, None)).unwrap() {
            check(share, 8192.0);
        }
        let rows = kept.view([64, 256, 32]).mean_dim([0i64, 1].as_slice(), false, None);
        for share in Vec::<f64>::try_from(rows).unwrap() {
            check(share, 64.0 * 256.0);
        }
    }
}

#[test]
fn what_is_kept_is_scaled_and_the_rest_is_zero() {
    let _held = DefaultGenerator::seeded(1);
    let x = Tensor::randn([4, 3, 9, 11], (Kind::Double, Device::Cpu));
    for kind in KINDS {
        let x = x.to_kind(kind);
        let y = dropout(&x, 0.25, 3, 0).unwrap();
        assert_eq!(y.kind(), kind);
        let mask = dropout(&ones(&[4, 3, 9, 11]), 0.25, 3, 0).unwrap().ne(0.0);
        let scaled = match kind {
            Kind::Half | Kind::BFloat16 => (x.to_kind(Kind::Float) * (4.0 / 3.0)).to_kind(kind),
            _ => &x * (4.0 / 3.0),
        };
        assert_eq!(y, scaled * mask, "{kind:?}");
    }
    let nan = dropout(&ones(&[1, 999]).fill_(f64::NAN), 0.5, 0, 0).unwrap();
    assert_eq!(nan.isnan().all().int64_value(&[]), 1, "NaN stays");
}

/// The positions of a mask are those in memory, so that a layout changes which elements it meets.
#[test]
fn the_result_has_the_layout_of_x() {
    let x = ones(&[2, 6, 5, 7]);
    let flat = |y: &Tensor| y.reshape([2, -1]);
    let expected = flat(&dropout(&x, 0.5, 4, 0).unwrap());
    let last = dropout(&channels_last(&x).unwrap(), 0.5, 4, 0).unwrap();
    assert!(is_channels_last(&last));
    assert_eq!(flat(&last.permute([0, 2, 3, 1])), expected);
    // Neither of the two layouts: made contiguous.
    for other in [x.permute([1, 0, 2, 3]).contiguous().permute([1, 0, 2, 3]), x.transpose(2, 3)] {
        let y = dropout(&other, 0.5, 4, 0).unwrap();
        assert!(y.is_contiguous());
        assert_eq!(flat(&y), expected);
    }
    let expanded = ones(&[2, 1]).expand([2, 210], false);
    assert_eq!(dropout(&expanded, 0.5, 4, 0).unwrap(), expected);
}

/// Also where the gradient has another layout or dtype than x.
#[test]
fn the_gradient_is_the_mask_over_one_minus_p() {
    let _held = DefaultGenerator::seeded(2);
    for kind in KINDS {
        for last in [false, true] {
            let leaf = Tensor::randn([3, 6, 5, 7], (kind, Device::Cpu)).set_requires_grad(true);
            let x = if last { channels_last(&leaf).unwrap() } else { leaf.shallow_clone() };
            let y = dropout(&x, 0.3, 8, 1).unwrap();
            let laid =
                if last { channels_last(&ones(&[3, 6, 5, 7])) } else { Ok(ones(&[3, 6, 5, 7])) };
            let expected = dropout(&laid.unwrap().to_kind(kind), 0.3, 8, 1).unwrap();
            let gradient = |upstream: Tensor| {
                let loss = (&y * upstream).sum(kind);
                Tensor::run_backward(&[loss], &[&leaf], true, false).remove(0)
            };
            assert_eq!(gradient(ones(&[3, 6, 5, 7]).to_kind(kind)), expected, "{kind:?} {last}");
            let sum = Tensor::run_backward(&[y.sum(kind)], &[&leaf], true, false).remove(0);
            assert_eq!(sum, expected, "an expanded gradient in {kind:?}");
            let upstream = Tensor::randn([3, 6, 5, 7], (kind, Device::Cpu));
            let other = channels_last(&upstream).unwrap();
            assert_eq!(gradient(upstream), gradient(other), "the gradient's layout in {kind:?}");
        }
    }
}

#[test]
fn a_probability_of_zero_gives_x_itself_and_bad_ones_are_refused() {
    let x = ones(&[2, 3]);
    assert_eq!(dropout(&x, 0.0, 1, 0).unwrap().data_ptr(), x.data_ptr());
    for wrong in [-0.1, 1.0, 1.5, f64::NAN, f64::INFINITY] {
        let error = dropout(&x, wrong, 1, 0).unwrap_err().to_string();
        let expected = format!("dropout probability {wrong}: expected 0 ≤ p < 1");
        assert!(error.contains(&expected), "{error}");
    }
    let nearly = 1.0 - f64::EPSILON;
    assert_eq!(dropout(&x, nearly, 1, 0).unwrap(), x.zeros_like());
    for wrong in [Tensor::from(1.0f32), x.to_kind(Kind::Int64)] {
        let error = dropout(&wrong, 0.5, 1, 0).unwrap_err().to_string();
        assert!(error.contains("expected [B, ...] of floating point"), "{error}");
    }
    assert_eq!(dropout(&ones(&[0, 3]), 0.5, 1, 0).unwrap().size(), [0, 3]);
    assert_eq!(dropout(&ones(&[3, 0]), 0.5, 1, 0).unwrap().size(), [3, 0]);
}

#[test]
fn gradients_of_gradients_are_refused() {
    let x = ones(&[4, 4]).set_requires_grad(true);
    let loss = dropout(&x, 0.5, 1, 0).unwrap().square().sum(Kind::Float);
    let error = Tensor::f_run_backward(&[&loss], &[&x], true, true).unwrap_err().to_string();
    assert!(error.contains("dropout has no gradients of gradients"), "{error}");
    assert!(Tensor::f_run_backward(&[&loss], &[&x], true, false).is_ok());
}

/// Keys come from the default generator of the CPU: a seed repeats them, and gradient checkpointing does.
/// The generator is one for the process, so all tests of its draws are here.
#[test]
fn a_seed_and_gradient_checkpointing_repeat_the_keys() {
    let draw = || [(); 3].map(|()| draw_dropout_key().unwrap());
    let held = DefaultGenerator::seeded(3);
    let first = draw();
    assert!(first[0] != first[1] && first[1] != first[2]);
    let _again = DefaultGenerator::seeded(3);
    assert_eq!(draw(), first);

    let run = |checkpointed: bool| {
        manual_seed(5);
        let x = ones(&[4, 300]).set_requires_grad(true);
        let mut h = x.shallow_clone();
        for _ in 0..3 {
            let block = |x: &Tensor| dropout(&x.f_sin()?, 0.2, draw_dropout_key()?, 0);
            h = match checkpointed {
                true => checkpoint(&[&h], &[], true, move |inputs, _| block(&inputs[0])).unwrap(),
                false => block(&h).unwrap(),
            };
        }
        h.square().sum(Kind::Float).backward();
        (h.detach(), x.grad(), draw_dropout_key().unwrap())
    };
    assert_eq!(run(true), run(false));
    drop(held);
}

//! Norms and rotary positions of tokens against their formulas.

use inkdrop_nn::{Params, RotaryEmbedding, TokenNorm};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

#[test]
fn norms_of_tokens_are_their_formulas() {
    let x = Tensor::randn([2, 5, 12], DOUBLE) * 3.0 + 1.0;
    let mut params = Params::new(Kind::Double, Device::Cpu);
    let rms = TokenNorm::rms(&mut params.root(), 12).unwrap();
    let factors = Tensor::randn([12], DOUBLE);
    {
        let _guard = no_grad_guard();
        params.get("weight").unwrap().tensor.shallow_clone().copy_(&factors);
    }
    let mean = |x: &Tensor| x.mean_dim([-1].as_slice(), true, Kind::Double);
    let rms_expected = &x / (mean(&x.square()) + 1e-6).sqrt() * &factors;
    let centred = &x - mean(&x);
    let layer_expected = &centred / (mean(&centred.square()) + 1e-6).sqrt();
    let (shift, scale) = (Tensor::randn([2, 1, 12], DOUBLE), Tensor::randn([2, 1, 12], DOUBLE));
    for (norm, expected) in [(rms, rms_expected), (TokenNorm::Layer, layer_expected)] {
        assert!(norm.forward(&x).unwrap().allclose(&expected, 1e-10, 1e-10, false));
        let modulated = norm.modulated(&x, &shift, &scale).unwrap();
        assert!(modulated.allclose(&(expected * (&scale + 1.0) + &shift), 1e-10, 1e-10, false));
    }
}

/// In half precision the norm is that of f32, rounded once.
#[test]
fn norms_of_half_precision_are_computed_in_f32() {
    let mut params = Params::new(Kind::BFloat16, Device::Cpu);
    let norm = TokenNorm::rms(&mut params.root(), 64).unwrap();
    let x = Tensor::randn([4, 64], DOUBLE).to_kind(Kind::BFloat16);
    let exact = norm.forward(&x.to_kind(Kind::Float)).unwrap().to_kind(Kind::BFloat16);
    assert_eq!(norm.forward(&x).unwrap(), exact);
}

/// Su et al. 2021: ⟨R(m)·q, R(n)·k⟩ depends on m − n alone, here on both axes of the image.
#[test]
fn dot_products_depend_on_differences_of_positions() {
    let (side, width) = (5, 12);
    let rotary = RotaryEmbedding::new(width, side, 0, DOUBLE).unwrap();
    let everywhere = |x: &Tensor| x.expand([1, 1, side * side, width], false);
    let [q, k] = [0, 1].map(|_| Tensor::randn([width], DOUBLE));
    let [q, k] = [q, k].map(|x| rotary.forward(&everywhere(&x)).unwrap());
    let dots = q.matmul(&k.transpose(-2, -1)).view([side, side, side, side]); // row, column of q, then of k
    let dot = |a: [i64; 2], b: [i64; 2]| dots.double_value(&[a[0], a[1], b[0], b[1]]);
    let mut distinct = Vec::new();
    for (down, right) in (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right))) {
        let first = dot([2, 2], [2 + down, 2 + right]);
        distinct.push(first);
        for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
            let other = [row + down, column + right];
            if other.iter().all(|at| (0..side).contains(at)) {
                assert!((dot([row, column], other) - first).abs() < 1e-9);
            }
        }
    }
    distinct.sort_by(f64::total_cmp);
    assert!(
        distinct.windows(2).all(|pair| pair[1] - pair[0] > 1e-9),
        "positions are not told apart"
    );
}

#[test]
fn tokens_before_those_of_the_image_are_not_rotated() {
    let (plain, later) = (
        RotaryEmbedding::new(8, 3, 0, DOUBLE).unwrap(),
        RotaryEmbedding::new(8, 3, 2, DOUBLE).unwrap(),
    );
    let x = Tensor::randn([2, 3, 11, 8], DOUBLE);
    let out = later.forward(&x).unwrap();
    assert_eq!(out.narrow(2, 0, 2), x.narrow(2, 0, 2));
    assert_eq!(out.narrow(2, 2, 9), plain.forward(&x.narrow(2, 2, 9)).unwrap());
}

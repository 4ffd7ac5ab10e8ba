//! Halving and doubling in one, two and three dimensions.

use inkdrop_nn::{Conv, ConvConfig, Downsample, ResampleConfig, Upsample, double, halve};
use inkdrop_torch::tch::Tensor;

use super::support::{F64, max_difference, params, put};

#[test]
fn halving_takes_means_and_doubling_repeats() {
    let x = Tensor::arange(8, F64).view([1, 1, 2, 4]);
    let means: Vec<f64> = halve(&x).unwrap().view([-1]).try_into().unwrap();
    assert_eq!(means, [2.5, 4.5]);
    let twice = double(&x).unwrap();
    assert_eq!(twice.size(), [1, 1, 4, 8]);
    for (row, column) in [(0, 0), (1, 1), (2, 5), (3, 7)] {
        let (there, here) = ([0, 0, row, column], [0, 0, row / 2, column / 2]);
        assert_eq!(twice.double_value(&there), x.double_value(&here));
    }
}

#[test]
fn halving_what_was_doubled_gives_it_back() {
    for shape in [&[2i64, 3, 6][..], &[2, 3, 4, 6], &[2, 3, 5, 4, 6]] {
        let x = Tensor::randn(shape, F64);
        assert!(max_difference(&halve(&double(&x).unwrap()).unwrap(), &x) < 1e-15);
    }
}

#[test]
fn a_third_axis_stays() {
    for (dims, shape, half) in [
        (1, vec![1, 2, 8], vec![1, 2, 4]),
        (2, vec![1, 2, 6, 8], vec![1, 2, 3, 4]),
        (3, vec![1, 2, 5, 6, 8], vec![1, 2, 5, 3, 4]),
    ] {
        for learned in [false, true] {
            let config = ResampleConfig { dims, learned, ..ResampleConfig::learned(2) };
            let mut params = params();
            let down = Downsample::new(&mut params.root().sub("down"), config).unwrap();
            let up = Upsample::new(&mut params.root().sub("up"), config).unwrap();
            let small = down.forward(&Tensor::randn(&shape[..], F64)).unwrap();
            assert_eq!(small.size(), half);
            assert_eq!(up.forward(&small).unwrap().size(), shape);
            assert_eq!(params.iter().count(), if learned { 4 } else { 0 });
        }
    }
}

/// diffusers' downsample_padding 0: zeros right and below, then no padding.
#[test]
fn far_padding_is_a_pad_at_the_far_end() {
    let mut params = params();
    let config = ResampleConfig { far_padding: true, ..ResampleConfig::learned(2) };
    let down = Downsample::new(&mut params.root().sub("down"), config).unwrap();
    let unpadded = ConvConfig { padding: 0, ..ConvConfig::halving(2, 2) };
    let conv = Conv::new(&mut params.root().sub("conv"), unpadded).unwrap();
    for end in ["weight", "bias"] {
        let value = params.get(&format!("down.{end}")).unwrap().tensor.detach();
        put(&params, &format!("conv.{end}"), &value);
    }
    let x = Tensor::randn([1, 2, 6, 8], F64);
    let padded = x.constant_pad_nd([0, 1, 0, 1]);
    let (a, b) = (down.forward(&x).unwrap(), conv.forward(&padded).unwrap());
    assert_eq!(a.size(), [1, 2, 3, 4]);
    assert!(max_difference(&a, &b) < 1e-15);
}

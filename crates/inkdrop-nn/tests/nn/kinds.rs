//! What half precision changes, and what it does not.

use inkdrop_nn::{Conv, ConvConfig, Embedding, GroupNorm, Linear, Params};
use inkdrop_torch::tch::{Device, Kind, Tensor};

#[test]
fn only_the_torso_is_half() {
    let mut params = Params::new(Kind::BFloat16, Device::Cpu);
    let mut root = params.root();
    Conv::new(&mut root.sub("conv"), ConvConfig::same(2, 2, 3)).unwrap();
    Conv::new(&mut root.sub("last").full(), ConvConfig::same(2, 2, 3)).unwrap();
    Linear::new(&mut root.sub("time"), 2, 2).unwrap();
    Linear::in_torso(&mut root.sub("projection"), 2, 2).unwrap();
    Embedding::new(&mut root.sub("table"), 2, 2).unwrap();
    GroupNorm::new(&mut root.sub("norm"), 1, 2).unwrap();
    assert_eq!((params.kind(), params.torso()), (Kind::Float, Kind::BFloat16));
    for param in params.iter() {
        let half = param.name.starts_with("conv") || param.name.starts_with("projection");
        let expected = if half { Kind::BFloat16 } else { Kind::Float };
        assert_eq!(param.tensor.kind(), expected, "{}", param.name);
    }
}

#[test]
fn a_norm_of_half_numbers_is_the_rounded_norm_of_whole_ones() {
    let mut params = Params::new(Kind::BFloat16, Device::Cpu);
    let norm = GroupNorm::new(&mut params.root(), 2, 8).unwrap();
    let x = (Tensor::randn([2, 8, 6, 6], (Kind::Float, Device::Cpu)) * 9.0).to_kind(Kind::BFloat16);
    let half = norm.forward(&x).unwrap();
    let whole = norm.forward(&x.to_kind(Kind::Float)).unwrap();
    assert_eq!(half, whole.to_kind(Kind::BFloat16));
}

//! What the laws share.

use inkdrop_nn::Params;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

pub const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

pub fn params() -> Params {
    Params::new(Kind::Double, Device::Cpu)
}

pub fn max_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    f64::try_from((a - b).abs().max().to_kind(Kind::Double)).unwrap()
}

/// Draws every weight anew, so that nothing is 0 or 1 by chance.
pub fn stir(params: &Params) {
    let _guard = no_grad_guard();
    for param in params.trained() {
        let _ = param.tensor.shallow_clone().f_add_(&(param.tensor.randn_like() * 0.3)).unwrap();
    }
}

/// Writes a tensor into the parameter of this name.
pub fn put(params: &Params, name: &str, value: &Tensor) {
    let _guard = no_grad_guard();
    params.get(name).unwrap().tensor.shallow_clone().copy_(value);
}

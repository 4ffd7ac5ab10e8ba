//! Toy networks for cases that test the process, the losses or the samplers.

use anyhow::{Result, bail};
use inkdrop_checkpoint::load;
use inkdrop_nn::{
    Conditioning, Conv, ConvConfig, FnNetwork, Linear, NetworkError, Params, TrainableNetwork,
};
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Device, Kind, TchError, Tensor};

use crate::Case;

/// Output of a toy network, with h = tanh(conv3×3(x) + linear(t/1000)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// h, for improved-diffusion's process.
    Plain,
    /// (t/1000)·x + 0.3·h, for diffusers' schedulers, so that it removes noise. x is repeated if
    /// the output has two halves.
    Damped,
    /// h + 0.1·x with the time itself instead of t/1000, for consistency models and MeanFlow. The latter add a
    /// linear layer of the time interval.
    Residual,
}

/// The toy network with a case's weights.
pub(crate) fn toy_network(case: &Case, form: Form, kind: Kind) -> Result<impl TrainableNetwork> {
    toy_network_of(case, "weight:", form, kind)
}

/// The toy network with the weights of this prefix.
pub(crate) fn toy_network_of(
    case: &Case,
    prefix: &str,
    form: Form,
    kind: Kind,
) -> Result<impl TrainableNetwork + use<>> {
    let weights = case.weights.below(prefix);
    let shape = weights.get("conv.weight").map(Tensor::size).unwrap_or_default();
    let [outputs, inputs, ..] = shape[..] else {
        bail!("tensor `conv.weight` of the toy network is missing")
    };
    let mut params = Params::uninitialized(kind, Device::Cpu);
    let mut root = params.root();
    let conv = Conv::new(&mut root.sub("conv"), ConvConfig::same(inputs, outputs, 3))?;
    let time = Linear::new(&mut root.sub("t"), 1, outputs)?;
    let interval = match weights.get("h.weight") {
        Some(_) => Some(Linear::new(&mut root.sub("h"), 1, outputs)?),
        None => None,
    };
    load(&params, &weights, &[])?;
    let forward = move |x: &Tensor, t: &Tensor, given: &Conditioning| {
        let failed = |error: TchError| NetworkError::from(TorchError::from(error));
        let scaled = |t: Tensor| match form {
            Form::Residual => Ok(t),
            Form::Plain | Form::Damped => t.f_div_scalar(1000.0),
        };
        let t = t.f_to_kind(x.kind()).and_then(scaled).map_err(failed)?;
        let mut time = time.forward(&t.f_unsqueeze(-1).map_err(failed)?)?;
        if let (Some(layer), Some(length)) = (&interval, &given.interval) {
            let length = length.f_to_kind(x.kind()).and_then(|h| h.f_unsqueeze(-1));
            time = time.f_add(&layer.forward(&length.map_err(failed)?)?).map_err(failed)?;
        }
        let conv = conv.forward(x)?;
        let h = || conv.f_add(&time.f_unsqueeze(-1)?.f_unsqueeze(-1)?)?.f_tanh();
        let h = h().map_err(failed)?;
        match form {
            Form::Plain => Ok(h),
            Form::Damped => damped(x, &t, &h).map_err(failed),
            Form::Residual => h.f_add(&x.f_mul_scalar(0.1).map_err(failed)?).map_err(failed),
        }
    };
    Ok(FnNetwork::new(forward).trainable(params))
}

fn damped(x: &Tensor, t: &Tensor, h: &Tensor) -> std::result::Result<Tensor, TchError> {
    let t = t.f_view([-1, 1, 1, 1])?;
    let repeats = h.size()[1] / x.size()[1].max(1);
    x.f_repeat([1, repeats, 1, 1])?.f_mul(&t)?.f_add(&h.f_mul_scalar(0.3)?)
}

//! Toy networks for cases that test the process, the losses or the samplers.

use anyhow::{Result, bail};
use inkdrop_checkpoint::{StateDict, load};
use inkdrop_nn::{
    CompileOptions, Conditioning, Conv, ConvConfig, Linear, Mode, Network, NetworkError, Params,
    TrainableNetwork,
};
use inkdrop_torch::TorchError;
use inkdrop_torch::tch::{Device, Kind, TchError, Tensor};

/// Output of a toy network, with h = tanh(conv3×3(x) + linear(t/1000)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// h, for improved-diffusion's process.
    Plain,
    /// (t/1000)·x + 0.3·h, for diffusers' schedulers, so that it removes noise. x is repeated if
    /// the output has two halves.
    Damped,
}

/// Toy network with a case's weights.
pub(crate) struct ToyNetwork {
    params: Params,
    layers: Layers,
}

#[derive(Clone)]
struct Layers {
    conv: Conv,
    time: Linear,
    form: Form,
    kind: Kind,
}

impl ToyNetwork {
    pub(crate) fn of(weights: &StateDict, form: Form, kind: Kind) -> Result<Self> {
        let shape = weights.get("conv.weight").map(Tensor::size).unwrap_or_default();
        let [outputs, inputs, ..] = shape[..] else {
            bail!("tensor `conv.weight` of the toy network is missing")
        };
        let mut params = Params::uninitialized(kind, Device::Cpu);
        let mut root = params.root();
        let conv = Conv::new(&mut root.sub("conv"), ConvConfig::same(inputs, outputs, 3))?;
        let time = Linear::new(&mut root.sub("t"), 1, outputs)?;
        load(&params, weights, &[])?;
        Ok(Self { params, layers: Layers { conv, time, form, kind } })
    }
}

impl Layers {
    fn damped(x: &Tensor, t: &Tensor, h: &Tensor) -> std::result::Result<Tensor, TchError> {
        let (outputs, channels) = (h.size()[1], x.size()[1]);
        let mut repeats = vec![1i64; x.dim()];
        repeats[1] = outputs / channels.max(1);
        let mut shape = vec![1i64; x.dim()];
        shape[0] = -1;
        let t = t.f_view(&shape[..])?;
        x.f_repeat(&repeats[..])?.f_mul(&t)?.f_add(&h.f_mul_scalar(0.3)?)
    }
}

impl Network for Layers {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        _: &Conditioning,
    ) -> std::result::Result<Tensor, NetworkError> {
        let failed = |error: TchError| NetworkError::from(TorchError::from(error));
        let t = t.f_to_kind(x.kind()).and_then(|t| t.f_div_scalar(1000.0)).map_err(failed)?;
        let time = self.time.forward(&t.f_unsqueeze(-1).map_err(failed)?)?;
        let conv = self.conv.forward(x)?;
        let h = || conv.f_add(&time.f_unsqueeze(-1)?.f_unsqueeze(-1)?)?.f_tanh();
        let h = h().map_err(failed)?;
        match self.form {
            Form::Plain => Ok(h),
            Form::Damped => Self::damped(x, &t, &h).map_err(failed),
        }
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn kind(&self) -> Kind {
        self.kind
    }
}

impl TrainableNetwork for ToyNetwork {
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        _: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.layers.forward(x, t, conditioning)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn compile(
        &self,
        options: &CompileOptions,
    ) -> std::result::Result<Box<dyn Network>, NetworkError> {
        Ok(options.finish(self.layers.clone()))
    }
}

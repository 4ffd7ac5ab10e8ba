//! A network of one's own, defined by a function.

use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::{CompileOptions, Conditioning, Mode, Network, NetworkError, Params, TrainableNetwork};

/// A network whose forward pass is a function of x, t and the conditioning, the same in all modes: a
/// network of one's own that samplers and trainers take.
///
/// ```
/// use inkdrop_nn::{Conditioning, FnNetwork, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let network = FnNetwork::new(|x, _t, _conditioning| Ok(x * 2.0));
/// let x = Tensor::ones([1, 3], (Kind::Float, Device::Cpu));
/// assert_eq!(network.forward(&x, &x, &Conditioning::none())?, &x * 2.0);
/// # Ok::<(), inkdrop_nn::NetworkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FnNetwork<F>(F);

impl<F> FnNetwork<F>
where
    F: Fn(&Tensor, &Tensor, &Conditioning) -> Result<Tensor, NetworkError> + Send,
{
    /// A network on the CPU in f32, without parameters.
    pub fn new(forward: F) -> Self {
        Self(forward)
    }

    /// The same network with these parameters, which the function may use.
    pub fn trainable(self, params: Params) -> TrainableFnNetwork<F>
    where
        F: Clone + 'static,
    {
        TrainableFnNetwork { network: self, params }
    }
}

impl<F> Network for FnNetwork<F>
where
    F: Fn(&Tensor, &Tensor, &Conditioning) -> Result<Tensor, NetworkError> + Send,
{
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Tensor, NetworkError> {
        self.0(x, t, conditioning)
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn kind(&self) -> Kind {
        Kind::Float
    }
}

/// A [`FnNetwork`] with parameters.
#[derive(Debug)]
pub struct TrainableFnNetwork<F> {
    network: FnNetwork<F>,
    params: Params,
}

impl<F> TrainableNetwork for TrainableFnNetwork<F>
where
    F: Fn(&Tensor, &Tensor, &Conditioning) -> Result<Tensor, NetworkError> + Send + Clone + 'static,
{
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        _: Mode,
    ) -> Result<Tensor, NetworkError> {
        self.network.forward(x, t, conditioning)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn compile(&self, options: &CompileOptions) -> Result<Box<dyn Network>, NetworkError> {
        Ok(options.finish(self.network.clone()))
    }
}

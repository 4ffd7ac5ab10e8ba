//! A network that is conditioned on an image: its channels are concatenated with those of x.

use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::{CompileOptions, Conditioning, Mode, Network, NetworkError, Params, TrainableNetwork};

/// Concatenates [`Conditioning::image`] with x by channels: Palette (Saharia et al. 2022), SR3 (Saharia et al.
/// 2021). The network inside takes that many channels more than it predicts.
///
/// ```
/// use inkdrop_nn::{Conditioning, FnNetwork, ImageConditioned, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let inside = FnNetwork::new(|x, _t, _conditioning| Ok(x.narrow(1, 0, 3) + x.narrow(1, 3, 1)));
/// let network = ImageConditioned::<Box<dyn Network>>::new(Box::new(inside), 1);
/// let x = Tensor::ones([2, 3, 4, 4], (Kind::Float, Device::Cpu));
/// let t = Tensor::zeros([2], (Kind::Float, Device::Cpu));
/// let gray = Conditioning::image(Tensor::ones([2, 1, 4, 4], (Kind::Float, Device::Cpu)));
/// assert_eq!(network.forward(&x, &t, &gray)?, &x * 2.0);
/// # Ok::<(), inkdrop_nn::NetworkError>(())
/// ```
#[derive(Debug)]
pub struct ImageConditioned<N> {
    network: N,
    channels: i64,
}

impl<N> ImageConditioned<N> {
    /// - network: takes [B, C + `channels`, H, W], the channels of the condition last
    pub fn new(network: N, channels: i64) -> Self {
        Self { network, channels }
    }

    /// The input of the network inside, and its other conditions.
    fn inputs(
        &self,
        x: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<(Tensor, Conditioning), NetworkError> {
        let mut expected = x.size();
        if let Some(channels) = expected.get_mut(1) {
            *channels = self.channels;
        }
        let Some(image) = &conditioning.image else {
            let expected = format!("the images of the condition, {expected:?}");
            return Err(NetworkError::Missing { input: "image", expected });
        };
        if image.size() != expected {
            let (given, expected) = (image.size(), format!("{expected:?}"));
            return Err(NetworkError::Shape { input: "image", given, expected });
        }
        Ok((concat(x, image)?, Conditioning { image: None, ..conditioning.shallow_clone() }))
    }
}

/// Both by channels, in the dtype of x.
fn concat(x: &Tensor, image: &Tensor) -> inkdrop_torch::Result<Tensor> {
    Ok(Tensor::f_cat(&[x, &image.f_to_kind(x.kind())?], 1)?)
}

impl TrainableNetwork for ImageConditioned<Box<dyn TrainableNetwork>> {
    /// - image: required, [B, C', H, W]
    fn forward_mode(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor, NetworkError> {
        let (x, conditioning) = self.inputs(x, conditioning)?;
        self.network.forward_mode(&x, t, &conditioning, mode)
    }

    fn params(&self) -> &Params {
        self.network.params()
    }

    fn is_self_conditioned(&self) -> bool {
        self.network.is_self_conditioned()
    }

    fn log_variance(&self, t: &Tensor, mode: Mode) -> Result<Option<Tensor>, NetworkError> {
        self.network.log_variance(t, mode)
    }

    fn compile(&self, options: &CompileOptions) -> Result<Box<dyn Network>, NetworkError> {
        let network = self.network.compile(options)?;
        Ok(Box::new(ImageConditioned { network, channels: self.channels }))
    }
}

impl Network for ImageConditioned<Box<dyn Network>> {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Tensor, NetworkError> {
        let (x, conditioning) = self.inputs(x, conditioning)?;
        self.network.forward(&x, t, &conditioning)
    }

    fn device(&self) -> Device {
        self.network.device()
    }

    fn kind(&self) -> Kind {
        self.network.kind()
    }

    fn takes_self_condition(&self) -> bool {
        self.network.takes_self_condition()
    }
}

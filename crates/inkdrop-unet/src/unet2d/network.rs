//! The network itself.

use inkdrop_nn::{
    BlockConditioning, Conditioning, Inference, Mode, Network, NetworkError, Params,
    diffusers_embedding,
};
use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::{ClassEmbedding, Unet2dConfig};
use crate::BuildError;
use crate::backbone::{Body, Expected};

/// diffusers' UNet2DModel. Takes x `[B, C, H, W]` and t `[B]` in steps.
///
/// ```
/// use inkdrop_nn::{Conditioning, Mode, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
/// use inkdrop_unet::{Unet2d, Unet2dConfig};
///
/// let config = Unet2dConfig {
///     features: vec![32, 64],
///     down_attention: vec![false, true],
///     up_attention: vec![true, false],
///     ..Unet2dConfig::cifar10()
/// };
/// let network = Unet2d::new(&config, Kind::Float, Device::Cpu)?;
/// let x = Tensor::randn([1, 3, 16, 16], (Kind::Float, Device::Cpu));
/// let t = Tensor::from_slice(&[500i64]);
/// let eps = network.forward(&x, &t, &Conditioning::none(), Mode::Eval)?;
/// assert_eq!(eps.size(), [1, 3, 16, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Unet2d {
    config: Unet2dConfig,
    params: Params,
    body: Body,
    expected: Expected,
}

impl Unet2d {
    /// The network with PyTorch's default initialisation, in diffusers' order.
    ///
    /// - kind: `Float` or `Double` for all of it; `BFloat16` or `Half` for its convolutions
    ///
    /// # Errors
    /// A config that cannot be, or libtorch cannot allocate it.
    pub fn new(
        config: &Unet2dConfig,
        kind: Kind,
        device: Device,
    ) -> std::result::Result<Self, BuildError> {
        let layout = config.layout()?;
        let (body, params) = Body::build(&layout, config.checkpoint, kind, device)?;
        let expected = Expected {
            dims: 2,
            channels: config.channels,
            multiple: layout.multiple(),
            padding: 0,
            classes: config.classes,
            low_res: false,
        };
        Ok(Self { config: config.clone(), params, body, expected })
    }

    fn sinusoids(&self, t: &Tensor) -> Result<Tensor> {
        let Unet2dConfig { cosine_first, frequency_shift, .. } = self.config;
        diffusers_embedding(t, self.config.features[0], cosine_first, frequency_shift)
    }

    /// What the blocks are told, of `[B]` times and classes.
    fn block_conditioning(
        &self,
        body: &Body,
        t: &Tensor,
        classes: Option<&Tensor>,
    ) -> Result<BlockConditioning> {
        let class = match (self.config.class_embedding, classes) {
            (ClassEmbedding::Timestep, Some(ids)) => Some(self.sinusoids(ids)?),
            (_, ids) => ids.map(Tensor::shallow_clone),
        };
        body.block_conditioning(Some(&self.sinusoids(t)?), class.as_ref(), None)
    }

    fn pass(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        let x = match self.config.center_input {
            true => x.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?,
            false => x.shallow_clone(),
        };
        let told = self
            .body
            .told(t, conditioning, |body, t, ids| self.block_conditioning(body, t, ids))?;
        self.body.forward(&x, &told, mode)
    }
}

impl Network for Unet2d {
    /// - t: `[B]`, the step, which may be a fraction
    /// - classes: where the config has them, and only there
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.expected.check(x, t, conditioning)?;
        self.body.check_mode(mode)?;
        Ok(self.pass(x, t, conditioning, mode)?)
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn for_inference(
        &self,
        options: &Inference,
    ) -> std::result::Result<Box<dyn Network>, NetworkError> {
        let (classes, device) = (self.config.classes, self.params.device());
        let block_conditioning =
            |body: &Body, t: &Tensor, ids: Option<&Tensor>| self.block_conditioning(body, t, ids);
        let body = self.body.for_inference(options, classes, device, block_conditioning)?;
        let params = Params::new(self.params.torso(), device);
        let (config, expected) = (self.config.clone(), self.expected.clone());
        Ok(options.finish(Self { config, params, body, expected }))
    }
}

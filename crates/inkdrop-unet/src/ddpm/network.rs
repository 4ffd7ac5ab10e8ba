//! The network itself.

use inkdrop_nn::{
    BlockConditioning, Conditioning, Inference, Mode, Network, NetworkError, Params,
    positional_embedding,
};
use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::DdpmConfig;
use crate::BuildError;
use crate::backbone::{Body, Expected};

/// nanodiffusion's U-Net. Takes x `[B, C, H, W]` and t `[B]` in steps; predicts the noise in x.
///
/// ```
/// use inkdrop_nn::{Conditioning, Mode, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
/// use inkdrop_unet::{DdpmConfig, DdpmUnet};
///
/// let config = DdpmConfig { features: 32, multipliers: vec![1, 2], ..DdpmConfig::cifar10() };
/// let network = DdpmUnet::new(&config, Kind::Float, Device::Cpu)?;
/// let x = Tensor::randn([2, 3, 16, 24], (Kind::Float, Device::Cpu));
/// let t = Tensor::from_slice(&[0i64, 999]);
/// let eps = network.forward(&x, &t, &Conditioning::none(), Mode::Eval)?;
/// assert_eq!(eps.size(), [2, 3, 16, 24]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DdpmUnet {
    config: DdpmConfig,
    params: Params,
    body: Body,
    expected: Expected,
}

impl DdpmUnet {
    /// The network with PyTorch's default initialisation, in the original's order.
    ///
    /// - kind: `Float` or `Double` for all of it; `BFloat16` or `Half` for its convolutions
    ///
    /// # Errors
    /// A config that cannot be, or libtorch cannot allocate it.
    pub fn new(
        config: &DdpmConfig,
        kind: Kind,
        device: Device,
    ) -> std::result::Result<Self, BuildError> {
        let layout = config.layout()?;
        let (body, params) = Body::build(&layout, config.checkpoint, kind, device)?;
        let expected = Expected {
            dims: 2,
            channels: config.channels,
            multiple: layout.multiple(),
            padding: config.padding,
            classes: config.classes,
            low_res: false,
        };
        Ok(Self { config: config.clone(), params, body, expected })
    }

    /// What the blocks are told, of `[B]` times and classes.
    fn block_conditioning(
        &self,
        body: &Body,
        t: &Tensor,
        classes: Option<&Tensor>,
    ) -> Result<BlockConditioning> {
        let DdpmConfig { features, time_scale, time_features, .. } = self.config;
        let time = time_features.map(|_| positional_embedding(t, features, time_scale));
        body.block_conditioning(time.transpose()?.as_ref(), None, classes)
    }

    fn pass(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor> {
        let padding = self.config.padding;
        let (height, width) = (x.size()[2], x.size()[3]);
        let told = self
            .body
            .told(t, conditioning, |body, t, ids| self.block_conditioning(body, t, ids))?;
        if padding == 0 {
            return self.body.forward(x, &told, mode);
        }
        let padded = x.f_constant_pad_nd([padding; 4])?;
        let out = self.body.forward(&padded, &told, mode)?;
        Ok(out.f_narrow(2, padding, height)?.f_narrow(3, padding, width)?)
    }
}

impl Network for DdpmUnet {
    /// - t: `[B]`, the step; a network without time embedding does not look at it
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

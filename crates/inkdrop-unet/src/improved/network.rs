//! The network itself, and its super-resolution form.

use inkdrop_nn::{
    BlockConditioning, Conditioning, Inference, Mode, Network, NetworkError, Params,
    timestep_embedding,
};
use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use super::ImprovedConfig;
use crate::BuildError;
use crate::backbone::{Body, Expected, Features};

/// improved-diffusion's U-Net. Takes x `[B, C, ...]` and t `[B]`, in steps or fractions of them.
///
/// ```
/// use inkdrop_nn::{ClassIds, Conditioning, Mode, Network};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
/// use inkdrop_unet::{ImprovedConfig, ImprovedUnet};
///
/// let config = ImprovedConfig {
///     features: 32,
///     multipliers: vec![1.0, 2.0],
///     attention: vec![2],
///     classes: Some(10),
///     ..ImprovedConfig::cifar10()
/// };
/// let network = ImprovedUnet::new(&config, Kind::Float, Device::Cpu)?;
/// let x = Tensor::randn([2, 3, 16, 16], (Kind::Float, Device::Cpu));
/// let t = Tensor::from_slice(&[12.5f32, 900.0]);
/// let classes = Conditioning::classes(ClassIds::new(&[3, 7], Device::Cpu)?);
/// let out = network.forward(&x, &t, &classes, Mode::Eval)?;
/// assert_eq!(out.size(), [2, 6, 16, 16]); // mean and variance
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ImprovedUnet {
    config: ImprovedConfig,
    params: Params,
    body: Body,
    expected: Expected,
}

impl ImprovedUnet {
    /// The network with PyTorch's default initialisation, in the original's order.
    ///
    /// - kind: `Float` or `Double` for all of it; `BFloat16` or `Half` for its convolutions
    ///
    /// # Errors
    /// A config that cannot be, or libtorch cannot allocate it.
    pub fn new(
        config: &ImprovedConfig,
        kind: Kind,
        device: Device,
    ) -> std::result::Result<Self, BuildError> {
        Self::with(config, false, kind, device)
    }

    /// The network that makes large images of small ones (SuperResModel): it takes
    /// [`Conditioning::low_res`] and sees it, enlarged, beside x.
    ///
    /// # Errors
    /// A config that cannot be, or libtorch cannot allocate it.
    pub fn super_res(
        config: &ImprovedConfig,
        kind: Kind,
        device: Device,
    ) -> std::result::Result<Self, BuildError> {
        Self::with(config, true, kind, device)
    }

    fn with(
        config: &ImprovedConfig,
        low_res: bool,
        kind: Kind,
        device: Device,
    ) -> std::result::Result<Self, BuildError> {
        let inputs = if low_res { config.channels.saturating_mul(2) } else { config.channels };
        let layout = config.layout(inputs)?;
        let (body, params) = Body::build(&layout, config.checkpoint, kind, device)?;
        let expected = Expected {
            dims: config.dims,
            channels: config.channels,
            multiple: layout.multiple(),
            padding: 0,
            classes: config.classes,
            low_res,
        };
        Ok(Self { config: config.clone(), params, body, expected })
    }

    /// The activations between the blocks (`get_feature_vectors`), all in the kind of the inputs.
    ///
    /// # Errors
    /// Those of a pass.
    pub fn features(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Features, NetworkError> {
        self.expected.check(x, t, conditioning)?;
        let (x, block_conditioning) = self.prepare(x, t, conditioning)?;
        Ok(self.body.features(&x, &block_conditioning, mode)?)
    }

    /// What the blocks see: x with the enlarged small images beside it, and time with class.
    /// What the blocks are told, of `[B]` times and classes.
    fn block_conditioning(
        &self,
        body: &Body,
        t: &Tensor,
        classes: Option<&Tensor>,
    ) -> Result<BlockConditioning> {
        let time = timestep_embedding(t, self.config.features, 10_000.0)?;
        body.block_conditioning(Some(&time), classes, None)
    }

    /// x with the small images beside it, and what the blocks are told.
    fn prepare(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<(Tensor, BlockConditioning)> {
        let told = self
            .body
            .told(t, conditioning, |body, t, ids| self.block_conditioning(body, t, ids))?;
        let x = match &conditioning.low_res {
            None => x.shallow_clone(),
            Some(small) => Tensor::f_cat(&[x, &enlarge(small, &x.size()[2..])?], 1)?,
        };
        Ok((x, told))
    }
}

/// Linear interpolation between the centres of pixels.
fn enlarge(small: &Tensor, size: &[i64]) -> Result<Tensor> {
    Ok(match size.len() {
        1 => small.f_upsample_linear1d(size, false, None)?,
        3 => small.f_upsample_trilinear3d(size, false, None, None, None)?,
        _ => small.f_upsample_bilinear2d(size, false, None, None)?,
    })
}

impl Network for ImprovedUnet {
    /// - t: `[B]`, the step, which may be a fraction
    /// - classes and low_res: where the network has them, and only there
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.expected.check(x, t, conditioning)?;
        self.body.check_mode(mode)?;
        let (x, block_conditioning) = self.prepare(x, t, conditioning)?;
        Ok(self.body.forward(&x, &block_conditioning, mode)?)
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

//! What a recorded pass reads: tensors that stay where they are.

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::Conditioning;

/// What inputs must have in common to share a recording: sizes and kinds of x, t, context,
/// classes and small images. All of them are on one device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature {
    device: Device,
    forms: [Option<(Vec<i64>, Kind)>; 5],
}

impl Signature {
    /// None for inputs on several devices, or without an element in x.
    pub(super) fn of(x: &Tensor, t: &Tensor, conditioning: &Conditioning) -> Option<Self> {
        let all = tensors(x, t, conditioning);
        let device = x.device();
        let together = all.iter().flatten().all(|tensor| tensor.device() == device);
        let forms = all.map(|tensor| tensor.map(|tensor| (tensor.size(), tensor.kind())));
        (together && x.numel() > 0).then_some(Self { device, forms })
    }
}

fn tensors<'a>(
    x: &'a Tensor,
    t: &'a Tensor,
    conditioning: &'a Conditioning,
) -> [Option<&'a Tensor>; 5] {
    let Conditioning { context, classes, low_res } = conditioning;
    let classes = classes.as_ref().map(|classes| classes.tensor());
    [Some(x), Some(t), context.as_ref(), classes, low_res.as_ref()]
}

/// Inputs of a recorded pass.
pub(super) struct Inputs {
    pub(super) x: Tensor,
    pub(super) t: Tensor,
    pub(super) conditioning: Conditioning,
}

impl Inputs {
    /// Copies of these.
    pub(super) fn copied(x: &Tensor, t: &Tensor, conditioning: &Conditioning) -> Result<Self> {
        let copied = |tensor: &Option<Tensor>| tensor.as_ref().map(copy).transpose();
        let conditioning = Conditioning {
            context: copied(&conditioning.context)?,
            classes: conditioning.classes.as_ref().map(|ids| ids.copied()).transpose()?,
            low_res: copied(&conditioning.low_res)?,
        };
        Ok(Self { x: copy(x)?, t: copy(t)?, conditioning })
    }

    /// Takes over the values of inputs with the same signature.
    pub(super) fn fill(&self, x: &Tensor, t: &Tensor, conditioning: &Conditioning) -> Result<()> {
        let own = tensors(&self.x, &self.t, &self.conditioning);
        for (own, given) in own.iter().zip(tensors(x, t, conditioning)) {
            if let (Some(own), Some(given)) = (own, given) {
                own.shallow_clone().f_copy_(given)?;
            }
        }
        Ok(())
    }

    pub(super) fn device(&self) -> Device {
        self.x.device()
    }
}

/// A tensor of its own with the same values.
pub(super) fn copy(tensor: &Tensor) -> Result<Tensor> {
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

//! Layers of networks for inference on a CPU, each in one go: convolutions whose weights lie in
//! oneDNN's own order, and group normalisation with what comes before and after it.

use std::ffi::{c_char, c_double, c_int, c_longlong, c_void};
use std::sync::{Mutex, OnceLock};

use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::Result;
use crate::ffi::{call, call_for_tensor, pointer};

/// What is applied to the result of a layer in the same go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    /// Nothing.
    #[default]
    Nothing,
    /// max(x, 0).
    Relu,
    /// x·σ(x).
    Silu,
    /// x·Φ(x), exact; convolutions only.
    Gelu,
}

/// A convolution over two axes whose weight lies in the order that oneDNN computes in, so that no
/// pass has to bring it there. It has no gradients.
///
/// ```
/// use inkdrop_torch::{PackedConv, Then};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let f32 = (Kind::Float, Device::Cpu);
/// let (weight, bias) = (Tensor::randn([8, 3, 3, 3], f32), Tensor::randn([8], f32));
/// let x = Tensor::randn([2, 3, 16, 16], f32);
/// let expected = x.conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1).relu();
/// if let Some(conv) = PackedConv::new(&weight, &bias, [1, 1], [1, 1])? {
///     let y = conv.forward(&x, Then::Relu)?;
///     assert!(y.allclose(&expected, 1e-5, 1e-5, false));
/// }
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct PackedConv {
    weight: PackedWeight,
    bias: Tensor,
    stride: [c_longlong; 2],
    padding: [c_longlong; 2],
}

/// A weight in oneDNN's order.
#[derive(Debug)]
enum PackedWeight {
    /// Of kernels wider than one place, whose order is the same for images of any size.
    One(Tensor),
    /// Of 1×1 kernels: the weight itself, and its copies for images of some sizes.
    BySize { plain: Tensor, copies: Mutex<Vec<(Vec<i64>, Tensor)>> },
}

/// For how many sizes of images a copy is kept.
const SIZES: usize = 4;

impl PackedConv {
    /// Copies the weight into oneDNN's order; `None` for what it does not compute: other devices
    /// than the CPU, other kinds than f32, kernels over other than two axes, a libtorch without it.
    ///
    /// - weight: [outputs, inputs, height, width]; bias: `[outputs]`
    /// - stride, padding: in height and width
    ///
    /// # Errors
    /// libtorch cannot copy it.
    pub fn new(
        weight: &Tensor,
        bias: &Tensor,
        stride: [i64; 2],
        padding: [i64; 2],
    ) -> Result<Option<Self>> {
        let fits = weight.device() == Device::Cpu
            && [weight.kind(), bias.kind()] == [Kind::Float; 2]
            && weight.dim() == 4;
        if !fits || !can_pack() {
            return Ok(None);
        }
        let _guard = no_grad_guard();
        let plain = weight.f_detach()?.f_contiguous()?;
        let weight = match plain.size()[2..] {
            [1, 1] => {
                PackedWeight::BySize { plain: plain.f_detach_copy()?, copies: Mutex::default() }
            }
            _ => PackedWeight::One(pack(&plain, stride, padding, None)?),
        };
        let bias = bias.f_detach_copy()?;
        Ok(Some(Self { weight, bias, stride, padding }))
    }

    /// The weight in the order for images like x.
    fn weight_for(&self, x: &Tensor) -> Result<Tensor> {
        let (plain, copies) = match &self.weight {
            PackedWeight::One(weight) => return Ok(weight.shallow_clone()),
            PackedWeight::BySize { plain, copies } => (plain, copies),
        };
        let size = x.size();
        let mut copies = copies.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, weight)) = copies.iter().find(|(known, _)| *known == size) {
            return Ok(weight.shallow_clone());
        }
        let weight = pack(plain, self.stride, self.padding, Some(&size))?;
        if copies.len() == SIZES {
            drop(copies.remove(0));
        }
        copies.push((size, weight.shallow_clone()));
        Ok(weight)
    }

    /// # Shapes
    /// - x: [B, inputs, H, W] in f32, best with the channels innermost
    /// - returns [B, outputs, H', W'], channels innermost
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel.
    pub fn forward(&self, x: &Tensor, then: Then) -> Result<Tensor> {
        self.run(x, None, then)
    }

    /// The convolution of x, and `other` added to it.
    ///
    /// # Shapes
    /// - x: [B, inputs, H, W], other: [B, outputs, H', W'] in f32
    /// - returns [B, outputs, H', W'], channels innermost
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel; `other` has another shape.
    pub fn forward_onto(&self, x: &Tensor, other: &Tensor) -> Result<Tensor> {
        self.run(x, Some(other), Then::Nothing)
    }

    #[allow(unsafe_code)]
    fn run(&self, x: &Tensor, other: Option<&Tensor>, then: Then) -> Result<Tensor> {
        let weight = self.weight_for(x)?;
        // SAFETY: the pointers are those of live tensors and of two numbers each.
        call_for_tensor(|out, error| unsafe {
            inkdrop_packed_conv(
                pointer(Some(x)),
                pointer(Some(&weight)),
                pointer(Some(&self.bias)),
                pointer(other),
                self.stride.as_ptr(),
                self.padding.as_ptr(),
                then as c_int,
                out,
                error,
            )
        })
    }
}

impl Clone for PackedConv {
    fn clone(&self) -> Self {
        let weight = match &self.weight {
            PackedWeight::One(weight) => PackedWeight::One(weight.shallow_clone()),
            PackedWeight::BySize { plain, .. } => {
                PackedWeight::BySize { plain: plain.shallow_clone(), copies: Mutex::default() }
            }
        };
        Self { weight, bias: self.bias.shallow_clone(), ..*self }
    }
}

/// A copy in oneDNN's order, the best one for images of this size.
fn pack(
    weight: &Tensor,
    stride: [i64; 2],
    padding: [i64; 2],
    size: Option<&[i64]>,
) -> Result<Tensor> {
    let ours = weight.f_to_mkldnn(Kind::Float)?;
    Ok(ours.f_mkldnn_reorder_conv2d_weight(padding, stride, [1, 1], 1, size)?)
}

#[allow(unsafe_code)]
fn can_pack() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let mut can: c_int = 0;
        // SAFETY: `can` is a place for one integer.
        call(|error| unsafe { inkdrop_can_pack(&mut can, error) }).is_ok() && can == 1
    })
}

/// What a group normalisation is given beside x; all of it [1, C] or [B, C] in f32.
#[derive(Debug, Clone, Copy)]
pub struct GroupNormInputs<'a> {
    /// Groups of channels.
    pub groups: i64,
    /// ε under the root.
    pub eps: f64,
    /// Added to x first.
    pub before: Option<&'a Tensor>,
    /// What the normalised x is multiplied with.
    pub scale: &'a Tensor,
    /// What is added then.
    pub shift: &'a Tensor,
}

/// Whether [`group_norm`] takes this x: f32 on the CPU, [B, C, H, W], no gradients, and channels in
/// multiples of 16.
pub fn takes_group_norm(x: &Tensor, groups: i64) -> bool {
    let size = x.size();
    x.device() == Device::Cpu
        && x.kind() == Kind::Float
        && matches!(size[..], [b, c, h, w] if c % 16 == 0 && c % groups == 0 && b * h * w > 0)
}

/// Group normalisation (Wu & He 2018) of x + before, and an activation, in three readings of x.
/// It has no gradients.
///
/// # Shapes
/// - x: [B, C, H, W]; see [`takes_group_norm`]
/// - returns the same, channels innermost
///
/// # Errors
/// x is not what it takes, or the inputs have other shapes than they say.
#[allow(unsafe_code)]
pub fn group_norm(x: &Tensor, inputs: GroupNormInputs, then: Then) -> Result<Tensor> {
    let GroupNormInputs { groups, eps, before, scale, shift } = inputs;
    let size = x.size();
    let fits = |row: &Tensor| {
        matches!(row.size()[..], [b, c] if c == size[1] && (b == 1 || b == size[0]))
            && row.kind() == Kind::Float
            && row.device() == Device::Cpu
    };
    if !takes_group_norm(x, groups) || then == Then::Gelu {
        let problem = format!(
            "{size:?} in {groups} groups: expected f32 on the CPU, [B, C, H, W], C a multiple of 16"
        );
        return Err(crate::TorchError::message(problem));
    }
    if let Some(row) = [Some(scale), Some(shift), before].into_iter().flatten().find(|r| !fits(r)) {
        let problem = format!(
            "a row for each image has shape {:?}: expected [1, {c}] or [{b}, {c}] in f32",
            row.size(),
            b = size[0],
            c = size[1]
        );
        return Err(crate::TorchError::message(problem));
    }
    let dense = |row: &Tensor| row.f_contiguous();
    let (scale, shift, before) = (dense(scale)?, dense(shift)?, before.map(dense).transpose()?);
    // SAFETY: the pointers are those of live tensors, whose kinds and shapes were checked above.
    call_for_tensor(|out, error| unsafe {
        inkdrop_group_norm(
            pointer(Some(x)),
            pointer(before.as_ref()),
            pointer(Some(&scale)),
            pointer(Some(&shift)),
            groups,
            eps,
            then as c_int,
            out,
            error,
        )
    })
}

// SAFETY: these are the declarations of shim/inference.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_can_pack(can: *mut c_int, error: *mut *mut c_char) -> c_int;
    fn inkdrop_packed_conv(
        x: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        other: *const c_void,
        stride: *const c_longlong,
        padding: *const c_longlong,
        activation: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn inkdrop_group_norm(
        x: *const c_void,
        before: *const c_void,
        scale: *const c_void,
        shift: *const c_void,
        groups: c_longlong,
        eps: c_double,
        activation: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
}

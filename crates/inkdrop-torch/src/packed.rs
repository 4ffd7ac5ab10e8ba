//! Convolutions on a CPU with packed weights: in oneDNN's order, or transformed for Winograd's
//! algorithm.

use std::ffi::{c_char, c_int, c_longlong, c_void};
use std::sync::{Mutex, OnceLock};

use tch::{Device, Kind, Tensor, no_grad_guard};

use crate::ffi::{call, call_for_tensor, pointer};
use crate::winograd::{winograd_tile, winograd_tile_bf16};
use crate::{PostOp, Result, TorchError, kernels, multiplies_bf16, own_kernels};

/// A 2-D convolution with a packed weight, without gradients. The weight is in oneDNN's own order for
/// the size of x, so that no pass has to reorder it. 3×3 kernels over enough pixels use Winograd's
/// algorithm, F(4×4, 3×3) or F(2×2, 3×3) of Lavin & Gray 2016, with 4 or 2.25 times fewer
/// multiplications.
///
/// With a weight in bf16 ([`multiplies_bf16`](crate::multiplies_bf16)), 3×3 and 1×1 kernels round x to
/// bf16, too, and sum the products in f32; other ones compute in f32. x and the result are in f32.
///
/// ```
/// use inkdrop_torch::{PackedConv, PostOp};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let f32 = (Kind::Float, Device::Cpu);
/// let (weight, bias) = (Tensor::randn([8, 3, 3, 3], f32), Tensor::randn([8], f32));
/// let x = Tensor::randn([2, 3, 16, 16], f32);
/// let expected = x.conv2d(&weight, Some(&bias), [1, 1], [1, 1], [1, 1], 1).relu();
/// if let Some(conv) = PackedConv::new(&weight, &bias, [1, 1], [1, 1])? {
///     let y = conv.forward(&x, PostOp::Relu)?;
///     assert!(y.allclose(&expected, 1e-5, 1e-5, false));
/// }
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct PackedConv {
    weight: Tensor,
    /// The weight in the best order for the last sizes of x. The order depends on the size: with
    /// another one, oneDNN would reorder the weight in every pass.
    packed: Mutex<Vec<(Vec<i64>, Packed)>>,
    bias: Tensor,
    /// Input channels, kernel height and width.
    kernel: [i64; 3],
    stride: [c_longlong; 2],
    padding: [c_longlong; 2],
}

/// A weight in the order of an algorithm.
#[derive(Debug)]
enum Packed {
    /// In oneDNN's order.
    Direct(Tensor),
    /// For Winograd's algorithm with tiles of this side; 1 for a 1×1 kernel.
    Winograd(i64, Tensor),
}

impl Packed {
    fn shallow_clone(&self) -> Self {
        match self {
            Self::Direct(weight) => Self::Direct(weight.shallow_clone()),
            Self::Winograd(tile, weight) => Self::Winograd(*tile, weight.shallow_clone()),
        }
    }
}

/// Maximum number of sizes with a packed weight: those of whole batches and of a smaller last one.
const SIZES: usize = 2;

impl PackedConv {
    /// A layer that shares the weight until its first pass copies it.
    ///
    /// Returns `None` if it is not supported: only the CPU, f32, bf16 where
    /// [`multiplies_bf16`](crate::multiplies_bf16), and kernels with two axes are, and libtorch must have
    /// the operator.
    ///
    /// - weight: [outputs, inputs, height, width]; bias: `[outputs]` in the same dtype
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
        let kind = weight.kind();
        let taken = match kind {
            Kind::BFloat16 => multiplies_bf16()?,
            kind => kind == Kind::Float,
        };
        let fits = weight.device() == Device::Cpu
            && taken
            && bias.kind() == kind
            && weight.dim() == 4
            && bias.size() == weight.size()[..1];
        if !fits || !can_pack() {
            return Ok(None);
        }
        let _guard = no_grad_guard();
        let weight = weight.f_detach()?.f_contiguous()?;
        let size = weight.size();
        let (kernel, packed) = ([size[1], size[2], size[3]], Mutex::default());
        let bias = bias.f_detach_copy()?.f_to_kind(Kind::Float)?.f_contiguous()?;
        Ok(Some(Self { weight, packed, bias, kernel, stride, padding }))
    }

    /// The weight in the best order for x.
    fn weight_for(&self, x: &Tensor) -> Result<Packed> {
        let (size, own_kernels) = (x.size(), own_kernels()?);
        let mut known = self.packed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, packed)) = known.iter().find(|(known, _)| *known == size) {
            return Ok(packed.shallow_clone());
        }
        let packed = match self.tile(&size).filter(|_| own_kernels) {
            Some(tile) => {
                let same = |packed: &Packed| match packed {
                    Packed::Winograd(of, weight) if *of == tile => Some(weight.shallow_clone()),
                    _ => None,
                };
                let known = known.iter().find_map(|(_, packed)| same(packed));
                let weight =
                    known.map_or_else(|| kernels::winograd_weight(&self.weight, tile), Ok)?;
                Packed::Winograd(tile, weight)
            }
            None => {
                let weight = self.weight.f_to_kind(Kind::Float)?;
                Packed::Direct(pack(&weight, self.stride, self.padding, &size)?)
            }
        };
        if known.len() == SIZES {
            drop(known.remove(0));
        }
        known.push((size, packed.shallow_clone()));
        Ok(packed)
    }

    /// Side of the tiles if our kernel is the best one for x of this size.
    fn tile(&self, size: &[i64]) -> Option<i64> {
        let (kernel, bf16) = (self.weight.size(), self.weight.kind() == Kind::BFloat16);
        let &[_, _, height, width] = size else { return None };
        if kernel[0] % 32 != 0 || kernel[1] % 16 != 0 || self.stride != [1, 1] {
            return None;
        }
        match (&kernel[2..], self.padding) {
            ([3, 3], [1, 1]) if bf16 => Some(winograd_tile_bf16(height, width)),
            ([3, 3], [1, 1]) => winograd_tile(height, width),
            ([1, 1], [0, 0]) if bf16 => Some(1),
            _ => None,
        }
    }

    /// # Shapes
    /// - x: [B, inputs, H, W] in f32, best with the channels innermost
    /// - returns [B, outputs, H', W'], channels innermost
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel.
    pub fn forward(&self, x: &Tensor, post_op: PostOp) -> Result<Tensor> {
        self.run(x, None, post_op)
    }

    /// Adds the convolution of x to `other`.
    ///
    /// # Shapes
    /// - x: [B, inputs, H, W], other: [B, outputs, H', W'] in f32
    /// - returns [B, outputs, H', W'], channels innermost
    ///
    /// # Errors
    /// x has other channels, or is smaller than the kernel; `other` has another shape.
    pub fn forward_add(&self, x: &Tensor, other: &Tensor) -> Result<Tensor> {
        self.run(x, Some(other), PostOp::None)
    }

    /// Checks x before oneDNN sees it, whose errors do not name the expected shape.
    fn check(&self, x: &Tensor) -> Result<()> {
        let [channels, height, width] = self.kernel;
        let padded = |side: i64, axis: usize| side + 2 * self.padding[axis];
        let fits = match x.size()[..] {
            [_, c, h, w] => c == channels && padded(h, 0) >= height && padded(w, 1) >= width,
            _ => false,
        };
        if fits && x.kind() == Kind::Float {
            return Ok(());
        }
        Err(TorchError::message(format!(
            "x has shape {:?} and dtype {:?}, expected [B, {channels}, H, W] in f32, at least as large as the kernel of {height} x {width}",
            x.size(),
            x.kind()
        )))
    }

    #[allow(unsafe_code)]
    fn run(&self, x: &Tensor, other: Option<&Tensor>, post_op: PostOp) -> Result<Tensor> {
        self.check(x)?;
        let packed = self.weight_for(x)?;
        if matches!(packed, Packed::Direct(_)) && !fuses(post_op) {
            let mut y = self.run(x, other, PostOp::None)?;
            return Ok(match post_op {
                PostOp::None => y,
                PostOp::Relu => y.f_relu_()?,
                PostOp::Silu => y.f_silu_()?,
                PostOp::Gelu => y.f_gelu_("none")?,
            });
        }
        match &packed {
            Packed::Winograd(_, weight) => {
                kernels::winograd_packed(x, weight, &self.bias, other, post_op)
            }
            Packed::Direct(weight) => {
                let (bias, post_op) = (pointer(Some(&self.bias)), post_op as c_int);
                let (x, weight, other) = (pointer(Some(x)), pointer(Some(weight)), pointer(other));
                let (stride, padding) = (self.stride.as_ptr(), self.padding.as_ptr());
                // SAFETY: the pointers are those of live tensors and of two numbers each.
                call_for_tensor(|out, error| unsafe {
                    inkdrop_packed_conv(
                        x, weight, bias, other, stride, padding, post_op, out, error,
                    )
                })
            }
        }
    }
}

impl Clone for PackedConv {
    fn clone(&self) -> Self {
        let known = self.packed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = known.iter().map(|(size, packed)| (size.clone(), packed.shallow_clone()));
        let (weight, packed) = (self.weight.shallow_clone(), Mutex::new(known.collect()));
        Self { weight, packed, bias: self.bias.shallow_clone(), ..*self }
    }
}

/// A copy in oneDNN's order, the best one for images of this size.
fn pack(weight: &Tensor, stride: [i64; 2], padding: [i64; 2], size: &[i64]) -> Result<Tensor> {
    let ours = weight.f_to_mkldnn(Kind::Float)?;
    Ok(ours.f_mkldnn_reorder_conv2d_weight(padding, stride, [1, 1], 1, size)?)
}

/// True if oneDNN can apply an activation inside the convolution. On some processors its fused ReLU
/// turns NaN into 0, which would hide a broken network.
fn fuses(post_op: PostOp) -> bool {
    static KEEPS_NAN: OnceLock<bool> = OnceLock::new();
    post_op != PostOp::Relu || *KEEPS_NAN.get_or_init(|| fused_relu_keeps_nan().unwrap_or(false))
}

/// Computes one pixel that is NaN with a fused ReLU.
#[allow(unsafe_code)]
fn fused_relu_keeps_nan() -> Result<bool> {
    let _guard = no_grad_guard();
    let f32 = (Kind::Float, Device::Cpu);
    let (x, bias) = (Tensor::f_full([1, 16, 8, 8], f64::NAN, f32)?, Tensor::f_zeros([16], f32)?);
    let weight = pack(&Tensor::f_ones([16, 16, 3, 3], f32)?, [1, 1], [1, 1], &x.size())?;
    let (x, weight, bias) = (pointer(Some(&x)), pointer(Some(&weight)), pointer(Some(&bias)));
    let (sides, none, relu) = ([1 as c_longlong; 2], pointer(None), PostOp::Relu as c_int);
    let sides = sides.as_ptr();
    // SAFETY: the pointers are those of live tensors and of two numbers.
    let y = call_for_tensor(|out, error| unsafe {
        inkdrop_packed_conv(x, weight, bias, none, sides, sides, relu, out, error)
    })?;
    Ok(y.f_isnan()?.f_all()?.f_int64_value(&[])? == 1)
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

// SAFETY: these are the declarations of shim/fused.h.
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
}

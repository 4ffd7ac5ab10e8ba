//! Rotary position embedding over the two axes of an image (Su et al. 2021).

use inkdrop_torch::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::Weight;
use crate::norm::in_kind_of;

/// Rotates pairs of neighbouring channels of queries and keys by angles that are proportional to a token's position
/// (Su et al. 2021, eq. 34), so that their dot product depends on the difference of two positions alone. The first half
/// of the channels has the row, the second the column, each with the angles n·10000^(−i/(D/4)) for i < D/4.
///
/// ```
/// use inkdrop_nn::RotaryEmbedding;
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let rotary = RotaryEmbedding::new(8, 4, 0, (Kind::Double, Device::Cpu))?;
/// let q = Tensor::randn([2, 3, 16, 8], (Kind::Double, Device::Cpu));
/// let rotated = rotary.forward(&q)?;
/// assert!(rotated.norm_scalaropt_dim(2, [-1], false).allclose(&q.norm_scalaropt_dim(2, [-1], false), 1e-9, 1e-9, false));
/// assert_eq!(rotated.narrow(2, 0, 1), q.narrow(2, 0, 1)); // row 0, column 0
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RotaryEmbedding {
    /// [T, D]; both values of a pair of channels are equal.
    cos: Weight,
    sin: Weight,
}

impl RotaryEmbedding {
    /// The angles of an image's tokens.
    ///
    /// - width: D, channels of a head; a multiple of 4
    /// - side: tokens along a side of the image
    /// - before: number of tokens before those of the image, which are not rotated
    /// - dtype: of the angles, in which the rotation is computed
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn new(width: i64, side: i64, before: i64, dtype: (Kind, Device)) -> Result<Self> {
        let (quarter, double) = (width / 4, (Kind::Double, Device::Cpu));
        let exponents = Tensor::f_arange(quarter, double)?.f_div_scalar(quarter as f64)?;
        let frequencies = exponents.f_mul_scalar(-(10000f64.ln()))?.f_exp()?;
        let angles = Tensor::f_arange(side, double)?.f_outer(&frequencies)?;
        let axis = angles.f_repeat_interleave_self_int(2, Some(1), None)?; // [side, D/2]
        let shape = [side, side, 2 * quarter];
        let (rows, columns) = (axis.f_unsqueeze(1)?, axis.f_unsqueeze(0)?);
        let both = [rows.f_expand(shape, false)?, columns.f_expand(shape, false)?];
        let angles = Tensor::f_cat(&both, 2)?.f_reshape([side * side, 4 * quarter])?;
        let angles = Tensor::f_cat(&[Tensor::f_zeros([before, 4 * quarter], double)?, angles], 0)?;
        let (kind, device) = dtype;
        let finish = |x: Tensor| -> Result<Weight> {
            Ok(Weight::new(x.f_to_kind(kind)?.f_to_device(device)?))
        };
        Ok(Self { cos: finish(angles.f_cos()?)?, sin: finish(angles.f_sin()?)? })
    }

    /// # Shapes
    /// - x: queries or keys, [B, heads, T, D]; returns the same
    ///
    /// # Errors
    /// x has another number of tokens or channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        in_kind_of(&self.cos, x, |x| {
            let pairs = x.f_unflatten(-1, [-1i64, 2])?;
            let (first, second) = (pairs.f_select(-1, 0)?, pairs.f_select(-1, 1)?);
            let turned = Tensor::f_stack(&[second.f_neg()?, first], -1)?.f_flatten(-2, -1)?;
            Ok(x.f_mul(&self.cos)?.f_add(&turned.f_mul(&self.sin)?)?)
        })
    }
}

//! 3×3 convolutions by Winograd's algorithm while their weights are trained.

use tch::{Device, Kind, Tensor};

use crate::{Result, is_channels_last, kernels, own_kernels};

/// Minimum number of tiles per image for Winograd's algorithm. With fewer tiles, reading its larger
/// weights costs more than it saves. It counts tiles per image, so that results do not depend on the batch.
const LEAST_TILES: i64 = 16;

/// Minimum number of tiles in a batch for Winograd's algorithm while the weights are trained: larger
/// batches share the cost of its weights, which are transformed twice in a step.
const LEAST_TILES_TRAINED: i64 = 128;

/// Minimum number of channels of a trained layer for Winograd's algorithm. Five steps of AdamW on a network
/// of 32 channels (the golden case `train_adamw`) multiply rounding errors so much that PyTorch itself,
/// with two threads, is 1.1e-4 from the golden weights; with Winograd's algorithm we were at 1.9e-4,
/// without it at 7.3e-5.
const LEAST_TRAINED: i64 = 64;

/// Side of the tiles for a 3×3 kernel over images of this size; `None` where they are too small for
/// Winograd's algorithm.
pub(crate) fn winograd_tile(height: i64, width: i64) -> Option<i64> {
    [4, 2].into_iter().find(|side| tiles(height, width, *side) >= LEAST_TILES)
}

/// The same for a layer that is trained with batches of this size.
fn winograd_tile_trained(batch: i64, height: i64, width: i64) -> Option<i64> {
    let enough = |side: i64| {
        let tiles = tiles(height, width, side);
        tiles >= LEAST_TILES || batch * tiles >= LEAST_TILES_TRAINED
    };
    [4, 2].into_iter().find(|side| enough(*side))
}

/// Number of tiles of an image.
fn tiles(height: i64, width: i64, side: i64) -> i64 {
    ((height + side - 1) / side) * ((width + side - 1) / side)
}

/// The same for weights in bf16, which are as large in the form of F(2×2, 3×3) as those of a direct
/// convolution in f32: no image is too small.
pub(crate) fn winograd_tile_bf16(height: i64, width: i64) -> i64 {
    winograd_tile(height, width).unwrap_or(2)
}

/// A 3×3 convolution with stride 1 and padding 1 by Winograd's algorithm, gradients included, for a
/// weight that is trained; `None` where another algorithm is as good (see
/// [`PackedConv`](crate::PackedConv)) or the layout is another one: x must have its channels innermost
/// already, and inputs and outputs come in multiples of 32, from 64 on. Narrower layers, of which small
/// networks consist, keep the smaller rounding errors of a direct convolution.
///
/// # Shapes
/// - x: [B, inputs, H, W], weight: [outputs, inputs, 3, 3], bias: `[outputs]`
/// - other: added to the result, [B, outputs, H, W]
/// - returns [B, outputs, H, W]
///
/// # Errors
/// `other` has another shape, or libtorch is out of memory; those of [`own_kernels`].
pub fn winograd_conv(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    other: Option<&Tensor>,
) -> Result<Option<Tensor>> {
    let kernel = weight.size();
    let plain = [Some(x), Some(weight), Some(bias), other]
        .into_iter()
        .flatten()
        .all(|tensor| tensor.device() == Device::Cpu && tensor.kind() == Kind::Float);
    let [batch, channels, height, width] = x.size()[..] else { return Ok(None) };
    let wide = |channels: i64| channels >= LEAST_TRAINED && channels % 32 == 0;
    let fits = kernel.len() == 4
        && kernel[2..] == [3, 3]
        && wide(kernel[0])
        && wide(kernel[1])
        && channels == kernel[1]
        && bias.size() == [kernel[0]]
        && bias.is_contiguous();
    if !(weight.requires_grad() && plain && fits && is_channels_last(x) && own_kernels()?) {
        return Ok(None);
    }
    let tile = winograd_tile_trained(batch, height, width);
    tile.map(|tile| kernels::winograd_trained(x, weight, bias, other, tile)).transpose()
}

//! What training makes small.

use inkdrop_nn::{Conditioning, Mode, Network};
use inkdrop_torch::tch::Tensor;

use crate::{Noising, Process, ProcessError};

/// The simple objective (Ho et al. 2020, eq. 14): mean of (ε − ε(x_t, t))² per image.
///
/// # Shapes
/// - x0, noise: [B, C, H, W]
/// - t: `[B]`, i64 in 0..T
/// - returns `[B]`
///
/// # Errors
/// Shapes that do not fit, or t outside the process.
pub fn mse_loss(
    process: &Process,
    network: &dyn Network,
    (x0, t, noise): (&Tensor, &Tensor, &Tensor),
    conditioning: &Conditioning,
    noising: Noising,
    mode: Mode,
) -> Result<Tensor, ProcessError> {
    let x = process.q_sample(x0, t, noise, noising)?;
    let time = process.network_time(t)?;
    let eps = network.forward(&x, &time, conditioning, mode)?;
    let squared = eps.f_sub(noise)?.f_square()?;
    Ok(squared.f_flatten(1, -1)?.f_mean_dim([1i64].as_slice(), false, squared.kind())?)
}

//! Dropout whose masks do not depend on the batch.

use std::ffi::{c_char, c_double, c_int, c_longlong, c_void};

use tch::{Device, Kind, Tensor};

use crate::ffi::{call_for_tensor, pointer};
use crate::forward_ad::{in_jvp, without};
use crate::{DefaultGenerator, Result, TorchError, own_kernels};

/// Dropout (Srivastava et al. 2014): y = x·mask / (1 − p), with the gradient by x.
///
/// The mask of image i follows from `key`, `first_image + i` and the position in the image's memory
/// alone. A batch thus has the same masks however it is divided among microbatches or processes. The
/// mask is computed again in the backward pass instead of stored.
///
/// On a CPU the random numbers are those of Philox4x32-10 (Salmon et al. 2011), equal for all
/// instruction sets; f16 and bf16 are computed in f32. On other devices, and without [`own_kernels`],
/// they are those of libtorch's generator of the device, seeded for each image.
///
/// # Shapes
/// - x: [B, ...]
/// - returns the same, in x's layout (PyTorch's default or channels-last; other layouts become the
///   default)
///
/// - probability: p, the share of elements that become 0; 0 ≤ p < 1; 0 returns x itself
/// - key: one number for each call in a step, from [`draw_dropout_key`]
/// - first_image: index of the first image in the batch of the whole step
///
/// ```
/// use inkdrop_torch::dropout;
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let x = Tensor::ones([4, 8, 5, 5], (Kind::Float, Device::Cpu));
/// let whole = dropout(&x, 0.3, 7, 0)?;
/// let last = dropout(&x.narrow(0, 3, 1), 0.3, 7, 3)?; // image 3 alone
/// assert_eq!(whole.narrow(0, 3, 1), last);
/// # Ok::<(), inkdrop_torch::TorchError>(())
/// ```
///
/// # Errors
/// p is outside [0, 1), or x has no axes or is not of floating point. A backward pass with
/// `create_graph` is an error, too: there are no gradients of gradients.
pub fn dropout(x: &Tensor, probability: f64, key: i64, first_image: i64) -> Result<Tensor> {
    check(x, probability)?;
    if probability == 0.0 {
        return Ok(x.shallow_clone());
    }
    if in_jvp() {
        let ones = x.f_ones_like()?;
        return Ok(x.f_mul(&without(|| dropout(&ones, probability, key, first_image))?)?);
    }
    let mask = Mask { probability, key, first_image };
    if x.device() != Device::Cpu || !own_kernels()? {
        return mask.by_libtorch(x);
    }
    let half = matches!(x.kind(), Kind::Half | Kind::BFloat16);
    if half {
        return Ok(mask.by_kernel(&x.f_to_kind(Kind::Float)?)?.f_to_kind(x.kind())?);
    }
    mask.by_kernel(x)
}

/// Draws the key of a [`dropout`] from libtorch's default generator of the CPU, so that each layer and
/// step has its own and a run with the same seed repeats them. Waits while another thread holds that generator.
///
/// # Errors
/// libtorch fails.
pub fn draw_dropout_key() -> Result<i64> {
    let _generator = DefaultGenerator::lock();
    let mut key = Tensor::f_empty([1], (Kind::Int64, Device::Cpu))?;
    Ok(key.f_random_()?.f_int64_value(&[0])?)
}

fn check(x: &Tensor, probability: f64) -> Result<()> {
    if !(0.0..1.0).contains(&probability) {
        let problem = format!("dropout probability {probability}: expected 0 ≤ p < 1");
        return Err(TorchError::message(problem));
    }
    let floating =
        matches!(x.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) && x.dim() > 0;
    if !floating {
        let (size, kind) = (x.size(), x.kind());
        let problem =
            format!("dropout of {size:?} in {kind:?}: expected [B, ...] of floating point");
        return Err(TorchError::message(problem));
    }
    Ok(())
}

/// What the masks of a batch follow from; 0 < p < 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask {
    pub probability: f64,
    pub key: i64,
    pub first_image: i64,
}

impl Mask {
    /// By this crate's kernel; x in f32 or f64, on the CPU.
    pub(crate) fn by_kernel(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, true)
    }

    /// By libtorch's operations, on any device.
    pub(crate) fn by_libtorch(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, false)
    }

    #[allow(unsafe_code)]
    fn apply(&self, x: &Tensor, kernel: bool) -> Result<Tensor> {
        let Self { probability, key, first_image } = *self;
        let (x, kernel) = (pointer(Some(x)), c_int::from(kernel));
        // SAFETY: the pointer is that of a live tensor, whose dtype and device the callers checked.
        call_for_tensor(|out, error| unsafe {
            inkdrop_dropout(x, probability, key, first_image, kernel, out, error)
        })
    }
}

// SAFETY: this is the declaration of shim/dropout.h.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn inkdrop_dropout(
        x: *const c_void,
        probability: c_double,
        key: c_longlong,
        first_image: c_longlong,
        kernel: c_int,
        out: *mut *mut c_void,
        error: *mut *mut c_char,
    ) -> c_int;
}

/// One block of Philox4x32-10 (Salmon et al. 2011, section 4.3), in scalars: what the kernel is checked
/// against.
pub(crate) fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (p, q) = (u64::from(c0) * 0xD251_1F53, u64::from(c2) * 0xCD9E_8D57);
        let high = |product: u64| (product >> 32) as u32;
        (c0, c1, c2, c3) = (high(q) ^ c1 ^ k0, q as u32, high(p) ^ c3 ^ k1, p as u32);
        (k0, k1) = (k0.wrapping_add(0x9E37_79B9), k1.wrapping_add(0xBB67_AE85));
    }
    [c0, c1, c2, c3]
}

/// The random word of an element of an image, as shim/dropout_kernel.h places it.
pub(crate) fn word(key: i64, image: i64, element: u64) -> u32 {
    let halves = |number: u64| [number as u32, (number >> 32) as u32];
    let place = element % 64;
    let [block, high] = halves(element / 64 * 16 + place % 32 / 2);
    let [image, image_high] = halves(image as u64);
    let words = philox([block, high, image, image_high], halves(key as u64));
    words[(place / 32 * 2 + place % 2) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_words() {
        // Random123, kat_vectors: philox4x32 10.
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, words) in cases {
            assert_eq!(philox(counter, key), words);
        }
    }

    fn ones(shape: &[i64], kind: Kind) -> Tensor {
        Tensor::ones(shape, (kind, Device::Cpu))
    }

    #[test]
    fn the_kernel_keeps_what_philox_says() {
        let size = 20_000; // more than a piece, and not whole chunks
        for (probability, key, first_image) in
            [(0.5, 0, 0), (0.1, -1, -1), (0.9, 0x0123_4567_89ab_cdef, 0x7654_3210_fedc_ba98)]
        {
            let mask = Mask { probability, key, first_image };
            for kind in [Kind::Float, Kind::Double] {
                let y = mask.by_kernel(&ones(&[2, size], kind)).expect("a mask").ne(0.0);
                let kept = Vec::<bool>::try_from(y.view([-1])).expect("elements");
                let least = (probability * 4_294_967_296.0) as u32;
                let expected = [first_image, first_image.wrapping_add(1)]
                    .into_iter()
                    .flat_map(|image| (0..size as u64).map(move |e| word(key, image, e) >= least));
                assert!(kept.into_iter().eq(expected), "{mask:?} in {kind:?}");
            }
        }
    }

    /// The path of other devices, on the CPU.
    #[test]
    fn libtorchs_masks_do_not_depend_on_the_batch_either() {
        let mask = Mask { probability: 0.3, key: 5, first_image: 2 };
        let x = ones(&[4, 3, 5, 7], Kind::Float);
        let by = |mask: Mask, x: &Tensor| mask.by_libtorch(x).expect("a mask");
        let whole = by(mask, &x);
        let alone = by(Mask { first_image: 4, ..mask }, &x.narrow(0, 2, 1));
        assert_eq!(whole.narrow(0, 2, 1), alone);
        assert_ne!(whole.get(0), whole.get(1));
        assert_ne!(whole, by(Mask { key: 6, ..mask }, &x));
        // By position in memory: channels-last, the mask is the same there.
        let last = by(mask, &crate::channels_last(&x).expect("four axes"));
        assert!(crate::is_channels_last(&last));
        assert_eq!(last.permute([0, 2, 3, 1]).reshape([4, -1]), whole.reshape([4, -1]));
    }

    #[test]
    fn libtorchs_masks_meet_the_gradient_and_keep_their_share() {
        let mask = Mask { probability: 0.3, key: 1, first_image: 0 };
        for kind in [Kind::Float, Kind::Double, Kind::BFloat16] {
            let x = ones(&[64, 8, 16, 4], kind).set_requires_grad(true);
            let y =
                mask.by_libtorch(&crate::channels_last(&x).expect("four axes")).expect("a mask");
            y.sum(kind).backward();
            assert_eq!(x.grad(), y, "the gradient of the sum of ones is the result itself");
            let (share, count) = (y.ne(0.0).to_kind(Kind::Double).mean(Kind::Double), 32768.0);
            let sigma = (0.3f64 * 0.7 / count).sqrt();
            assert!((share.double_value(&[]) - 0.7).abs() < 5.0 * sigma, "{share} in {kind:?}");
        }
    }
}

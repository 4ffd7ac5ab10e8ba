//! How far two sets of images are from each other, in pixels.

use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};

/// Sliced 2-Wasserstein distance: the root of the mean over 512 directions of the squared distance
/// of the sorted projections (Bonneel et al. 2015), per pixel value in [−1, 1].
///
/// - a, b: [N, C, H, W], as many images
pub fn sliced_wasserstein(a: &Tensor, b: &Tensor) -> f64 {
    manual_seed(0);
    let (a, b) = (a.flatten(1, -1), b.flatten(1, -1));
    let directions = Tensor::randn([a.size()[1], 512], (Kind::Float, Device::Cpu));
    let lengths = directions.square().sum_dim_intlist([0i64].as_slice(), true, Kind::Float).sqrt();
    let directions = directions / lengths;
    let sorted = |x: &Tensor| x.matmul(&directions).sort(0, false).0;
    (sorted(&a) - sorted(&b)).square().mean(Kind::Double).sqrt().double_value(&[])
}

/// Kernel distance: the unbiased squared maximum mean discrepancy with the kernel (x·y/d + 1)³ of
/// KID (Bińkowski et al. 2018), on pixels; 0 in the mean for samples of one distribution.
///
/// - a, b: [N, C, H, W], as many images
pub fn kernel_distance(a: &Tensor, b: &Tensor) -> f64 {
    let flat = |x: &Tensor| x.flatten(1, -1).to_kind(Kind::Double);
    let (a, b) = (flat(a), flat(b));
    let (n, d) = (a.size()[0] as f64, a.size()[1] as f64);
    let kernel = |x: &Tensor, y: &Tensor| (x.matmul(&y.tr()) / d + 1.0).pow_tensor_scalar(3);
    let sum = |x: &Tensor| x.sum(Kind::Double).double_value(&[]);
    let within = |x: &Tensor| {
        let kernel = kernel(x, x);
        (sum(&kernel) - sum(&kernel.diag(0))) / (n * (n - 1.0))
    };
    within(&a) + within(&b) - 2.0 * sum(&kernel(&a, &b)) / (n * n)
}

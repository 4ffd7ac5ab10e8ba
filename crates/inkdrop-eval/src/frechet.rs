//! Fréchet distance of two Gaussians (Dowson & Landau 1982); FID (Heusel et al. 2017).

use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};

use crate::EvalError;
use crate::rows::Rows;

/// Mean and covariance of features, accumulated over batches in f64.
///
/// Each batch contributes its mean and its sum of squared deviations (Chan et al. 1979). Therefore
/// large means do not reduce the precision.
///
/// ```
/// use inkdrop_eval::{Moments, frechet_distance};
/// use inkdrop_torch::tch::{Device, Kind, Tensor};
///
/// let x = Tensor::randn([64, 4], (Kind::Float, Device::Cpu));
/// let (mut a, mut b) = (Moments::new(4), Moments::new(4));
/// a.push(&x)?;
/// for half in x.split(32, 0) {
///     b.push(&(half + 3.0))?; // each mean is moved by 3
/// }
/// assert!((frechet_distance(&a, &b)? - 4.0 * 9.0).abs() < 1e-5);
/// # Ok::<(), inkdrop_eval::EvalError>(())
/// ```
#[derive(Debug)]
pub struct Moments {
    count: i64,
    mean: Tensor,    // [D]
    scatter: Tensor, // [D, D], Σ (x − mean)(x − mean)ᵀ
}

impl Moments {
    /// Empty moments of features of size `width`.
    pub fn new(width: i64) -> Self {
        let options = (Kind::Double, Device::Cpu);
        let (mean, scatter) = (Tensor::zeros([width], options), Tensor::zeros([width; 2], options));
        Self { count: 0, mean, scatter }
    }

    /// The moments of a whole set.
    ///
    /// - set: [N, …]; bytes are pixels and are scaled to [−1, 1], other values are unchanged
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn of(set: &Tensor) -> Result<Self, EvalError> {
        let mut moments = Self::new(Rows::of(set)?.width());
        moments.push(set)?;
        Ok(moments)
    }

    /// Adds a batch.
    ///
    /// - batch: [B, D]
    ///
    /// # Errors
    /// Features of another size, values that are not finite.
    pub fn push(&mut self, batch: &Tensor) -> Result<(), EvalError> {
        let _guard = no_grad_guard();
        let rows = Rows::of(batch)?;
        if rows.width() != self.width() {
            return Err(EvalError::DifferentSizes { a: self.width(), b: rows.width() });
        }
        for block in rows.blocks() {
            self.join(&rows.block(block, Kind::Double)?)?;
        }
        Ok(())
    }

    /// - x: [n, D] in f64
    fn join(&mut self, x: &Tensor) -> Result<(), EvalError> {
        let (before, more) = (self.count as f64, x.size()[0] as f64);
        let mean = x.f_mean_dim([0i64].as_slice(), false, Kind::Double)?;
        let centred = x.f_sub(&mean)?;
        let moved = mean.f_sub(&self.mean)?;
        let apart = moved.f_outer(&moved)?.f_mul_scalar(before * more / (before + more))?;
        self.scatter = self.scatter.f_add(&centred.f_tr()?.f_matmul(&centred)?)?.f_add(&apart)?;
        self.mean = self.mean.f_add(&moved.f_mul_scalar(more / (before + more))?)?;
        self.count += x.size()[0];
        Ok(())
    }

    /// Number of rows.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// D, the size of the features.
    pub fn width(&self) -> i64 {
        self.mean.size()[0]
    }

    /// The mean, `[D]` in f64.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// The covariance, divided by N − 1: [D, D] in f64.
    ///
    /// # Errors
    /// Fewer than two rows.
    pub fn covariance(&self) -> Result<Tensor, EvalError> {
        if self.count < 2 {
            let (given, expected) = (self.count, 2);
            return Err(EvalError::TooFewImages { what: "covariance", given, expected });
        }
        Ok(self.scatter.f_div_scalar((self.count - 1) as f64)?)
    }
}

/// Fréchet distance of two Gaussians, |μ₁ − μ₂|² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) (Dowson & Landau 1982).
///
/// It is FID on the features of Inception v3 (Heusel et al. 2017, eq. 6). Rounding may make it
/// slightly negative.
///
/// Tr (Σ₁Σ₂)^½ is the sum of the singular values of Λ₁^½ V₁ᵀ V₂ Λ₂^½, with Σ = V Λ Vᵀ. Directions
/// that a set does not span are removed. Therefore covariances without full rank lose no precision,
/// unlike with Newton's or Schur's matrix square root.
///
/// # Errors
/// Fewer than two rows, or features of different sizes.
pub fn frechet_distance(a: &Moments, b: &Moments) -> Result<f64, EvalError> {
    if a.width() != b.width() {
        return Err(EvalError::DifferentSizes { a: a.width(), b: b.width() });
    }
    let _guard = no_grad_guard();
    let (sigma_a, sigma_b) = (a.covariance()?, b.covariance()?);
    let means = a.mean.f_sub(&b.mean)?.f_square()?.f_sum(Kind::Double)?;
    let traces = sigma_a.f_trace()?.f_add(&sigma_b.f_trace()?)?;
    let (root_a, root_b) = (root(&sigma_a)?, root(&sigma_b)?);
    let cross = match root_a.size()[1].min(root_b.size()[1]) {
        0 => 0.0, // a set of equal rows spans nothing
        _ => {
            let (_, singular, _) = root_a.f_tr()?.f_matmul(&root_b)?.f_svd(true, false)?;
            singular.f_sum(Kind::Double)?.f_double_value(&[])?
        }
    };
    Ok(means.f_add(&traces)?.f_double_value(&[])? - 2.0 * cross)
}

/// V Λ^½ of a covariance V Λ Vᵀ of rank R, [D, R].
fn root(covariance: &Tensor) -> Result<Tensor, EvalError> {
    let (values, vectors) = covariance.f_linalg_eigh("L")?; // rising, [D] and [D, D]
    let width = values.size()[0];
    // Smaller eigenvalues are rounding errors.
    let noise = values.f_max()?.f_mul_scalar(width as f64 * f64::EPSILON)?;
    let spanned = values.f_gt_tensor(&noise)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    let values = values.f_narrow(0, width - spanned, spanned)?;
    Ok(vectors.f_narrow(1, width - spanned, spanned)?.f_mul(&values.f_sqrt()?)?)
}

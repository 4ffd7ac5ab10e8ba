//! Totals of bits per dimension over batches, in f64.

use anyhow::Result;
use inkdrop::process::BitsPerDim;
use inkdrop::torch::tch::{Kind, Tensor};

/// Bits per dimension and errors of all images so far, in f64.
pub struct Figures {
    /// Bits per dimension of each image.
    pub totals: Vec<f64>,
    pub priors: Vec<f64>,
    /// Totals over images for each timestep, from timestep 0.
    pub bound: Vec<f64>,
    pub x0_mse: Vec<f64>,
    pub eps_mse: Vec<f64>,
}

impl Figures {
    /// Empty, for a process with so many timesteps.
    pub fn new(steps: usize) -> Self {
        let none = vec![0.0; steps];
        let (totals, priors) = (Vec::new(), Vec::new());
        Self { totals, priors, bound: none.clone(), x0_mse: none.clone(), eps_mse: none }
    }

    /// Adds a batch.
    pub fn add(&mut self, batch: &BitsPerDim) -> Result<()> {
        let double = |x: &Tensor| x.f_to_kind(Kind::Double);
        let bound =
            double(&batch.bound)?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?;
        let prior = double(&batch.prior)?;
        self.totals.extend(Vec::<f64>::try_from(&bound.f_add(&prior)?)?);
        self.priors.extend(Vec::<f64>::try_from(&prior)?);
        for (sums, of) in [
            (&mut self.bound, &batch.bound),
            (&mut self.x0_mse, &batch.x0_mse),
            (&mut self.eps_mse, &batch.eps_mse),
        ] {
            let steps = double(of)?.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Double)?;
            let steps = Vec::<f64>::try_from(&steps)?;
            for (sum, more) in sums.iter_mut().zip(steps.into_iter().rev()) {
                *sum += more;
            }
        }
        Ok(())
    }

    /// Means over images, step by step.
    pub fn per_step(&self, sums: &[f64]) -> Vec<f64> {
        sums.iter().map(|sum| sum / self.totals.len() as f64).collect()
    }

    /// Spread of the images' totals over the root of their number; none for one image.
    pub fn standard_error(&self) -> Option<f64> {
        let (count, mean) = (self.totals.len() as f64, mean(&self.totals));
        let squares: f64 = self.totals.iter().map(|total| (total - mean).powi(2)).sum();
        (count > 1.0).then(|| (squares / (count - 1.0) / count).sqrt())
    }
}

/// Their mean; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

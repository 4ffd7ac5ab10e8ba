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
    pub fn add(&mut self, batch: &BatchFigures) {
        self.totals.extend(&batch.totals);
        self.priors.extend(&batch.priors);
        let [bound, x0_mse, eps_mse] = &batch.sums;
        for (sums, steps) in
            [(&mut self.bound, bound), (&mut self.x0_mse, x0_mse), (&mut self.eps_mse, eps_mse)]
        {
            sums.iter_mut().zip(steps).for_each(|(sum, more)| *sum += more);
        }
    }

    /// Means over images, step by step.
    pub fn per_step(&self, sums: &[f64]) -> Vec<f64> {
        sums.iter().map(|sum| sum / self.totals.len() as f64).collect()
    }

    /// Of the images' totals.
    pub fn standard_error(&self) -> Option<f64> {
        standard_error(&self.totals)
    }
}

/// Standard error of the mean: the standard deviation over the root of their number; none for one value.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    let (count, mean) = (values.len() as f64, mean(values));
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (count > 1.0).then(|| (squares / (count - 1.0) / count).sqrt())
}

/// Their mean; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The figures of one batch, in f64.
#[derive(Debug, PartialEq)]
pub struct BatchFigures {
    /// Bits per dimension of each image.
    totals: Vec<f64>,
    priors: Vec<f64>,
    /// Bound, error of x0 and error of ε: totals over the images for each timestep, from timestep 0.
    sums: [Vec<f64>; 3],
}

impl BatchFigures {
    /// Sums over timesteps, and over images.
    pub fn new(batch: &BitsPerDim) -> Result<Self> {
        let double = |x: &Tensor| x.f_to_kind(Kind::Double);
        let bound =
            double(&batch.bound)?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?;
        let prior = double(&batch.prior)?;
        let steps = |of: &Tensor| -> Result<Vec<f64>> {
            let sums = double(of)?.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Double)?;
            let mut sums = Vec::<f64>::try_from(&sums)?;
            sums.reverse(); // the terms begin with the noisiest timestep
            Ok(sums)
        };
        Ok(Self {
            totals: Vec::try_from(&bound.f_add(&prior)?)?,
            priors: Vec::try_from(&prior)?,
            sums: [steps(&batch.bound)?, steps(&batch.x0_mse)?, steps(&batch.eps_mse)?],
        })
    }

    /// The figures as one vector of a length that depends on the arguments alone; see
    /// [`BatchFigures::from_values`].
    ///
    /// - batch: `None` if there is no result; the vector begins with the number of images
    /// - most: images in the largest batch
    /// - steps: number of timesteps
    pub fn to_values(batch: Option<&Self>, most: usize, steps: usize) -> Vec<f64> {
        let mut values = vec![0.0; 1 + 2 * most + 3 * steps];
        let Some(Self { totals, priors, sums }) = batch else { return values };
        values[0] = totals.len() as f64;
        values[1..][..totals.len()].copy_from_slice(totals);
        values[1 + most..][..priors.len()].copy_from_slice(priors);
        values[1 + 2 * most..].copy_from_slice(&sums.concat());
        values
    }

    /// The figures of [`BatchFigures::to_values`]; `None` if there was no result.
    pub fn from_values(values: &[f64], most: usize, steps: usize) -> Option<Self> {
        let images = values[0] as usize;
        let part = |from: usize, length: usize| values[from..][..length].to_vec();
        let sums = [0, 1, 2].map(|sum| part(1 + 2 * most + sum * steps, steps));
        let (totals, priors) = (part(1, images), part(1 + most, images));
        (images > 0).then_some(Self { totals, priors, sums })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_survive_the_way_to_other_processes() {
        let sums = [vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]];
        let batch = BatchFigures { totals: vec![7.0, 8.0], priors: vec![9.0, 0.1], sums };
        let values = BatchFigures::to_values(Some(&batch), 3, 2);
        assert_eq!(values.len(), BatchFigures::to_values(None, 3, 2).len());
        assert_eq!(BatchFigures::from_values(&values, 3, 2), Some(batch));
        assert_eq!(BatchFigures::from_values(&BatchFigures::to_values(None, 3, 2), 3, 2), None);
    }
}

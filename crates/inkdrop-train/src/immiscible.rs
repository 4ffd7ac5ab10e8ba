//! Immiscible diffusion: noise is assigned to the images of a batch by optimal transport (Li et al. 2024).

use inkdrop_torch::tch::{Device, Kind, Tensor};
use pathfinding::kuhn_munkres::kuhn_munkres_min;
use pathfinding::matrix::Matrix;

use crate::TrainError;

/// Unit of the integer costs, relative to the largest cost.
const RESOLUTION: f64 = 1e9;

/// The noise in the order of the images with the smallest sum of squared distances between images and
/// their noise (Li et al. 2024, algorithm 1).
///
/// - x0, noise: [B, C, H, W]
pub(crate) fn assign_noise(x0: &Tensor, noise: &Tensor) -> Result<Tensor, TrainError> {
    let flat = |tensor: &Tensor| tensor.f_flatten(1, -1)?.f_to_kind(Kind::Float);
    // ‖x − ε‖² without the terms that every assignment has.
    let costs = flat(x0)?.f_matmul(&flat(noise)?.f_transpose(0, 1)?)?.f_neg()?;
    let costs = Vec::<f64>::try_from(
        &costs.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?.f_flatten(0, 1)?,
    )?;
    let largest = costs.iter().fold(f64::MIN_POSITIVE, |most, cost| most.max(cost.abs()));
    let images = x0.size()[0] as usize;
    let integer = |(image, noise): (usize, usize)| {
        (costs[image * images + noise] / largest * RESOLUTION) as i64
    };
    let (_, order) = kuhn_munkres_min(&Matrix::from_fn(images, images, integer));
    let order: Vec<i64> = order.into_iter().map(|row| row as i64).collect();
    Ok(noise.f_index_select(0, &Tensor::f_from_slice(&order)?.f_to_device(noise.device())?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The best of all orders of five, found by trying them.
    #[test]
    fn the_assignment_is_the_best_of_all() {
        let _generator = inkdrop_torch::DefaultGenerator::seeded(1);
        let x0 = Tensor::randn([5, 1, 2, 2], (Kind::Float, Device::Cpu));
        let noise = Tensor::randn([5, 1, 2, 2], (Kind::Float, Device::Cpu));
        let cost = |noise: &Tensor| (&x0 - noise).square().sum(Kind::Double).double_value(&[]);
        let found = cost(&assign_noise(&x0, &noise).unwrap());
        let mut best = f64::INFINITY;
        let mut orders = vec![Vec::new()];
        for _ in 0..5 {
            let longer = |order: &Vec<i64>| {
                let rest = (0..5).filter(|row| !order.contains(row)).collect::<Vec<_>>();
                let order = order.clone();
                rest.into_iter().map(move |row| [order.clone(), vec![row]].concat())
            };
            orders = orders.iter().flat_map(longer).collect();
        }
        assert_eq!(orders.len(), 120);
        for order in &orders {
            best = best.min(cost(&noise.index_select(0, &Tensor::from_slice(order))));
        }
        assert!((found - best).abs() < 1e-5, "{found} {best}");
        assert!(found < cost(&noise));
    }

    #[test]
    fn the_noise_is_the_same_in_another_order() {
        let x0 = Tensor::randn([6, 1, 1, 1], (Kind::Float, Device::Cpu));
        let noise = Tensor::randn([6, 1, 1, 1], (Kind::Float, Device::Cpu));
        let assigned = assign_noise(&x0, &noise).unwrap();
        let sorted = |tensor: &Tensor| tensor.flatten(0, -1).sort(0, false).0;
        assert_eq!(sorted(&assigned), sorted(&noise));
        // In one dimension the best assignment keeps the order.
        let rank = |tensor: &Tensor| tensor.flatten(0, -1).argsort(0, false).argsort(0, false);
        assert_eq!(rank(&assigned), rank(&x0));
    }
}

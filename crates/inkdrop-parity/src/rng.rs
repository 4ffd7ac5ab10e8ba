//! libtorch's random number generator, compared bitwise.

use anyhow::{Context, Result};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{DefaultGenerator, NoiseSource, TorchNoise};

use crate::report::Tolerance;
use crate::{Case, Comparison};

pub(crate) fn check(case: &Case) -> Result<Vec<Comparison>> {
    let mut rows = Vec::new();
    for (rest, _) in case.weights.below("randn_seed_").iter() {
        let seed: i64 = rest.parse().with_context(|| format!("{}: seed `{rest}`", case.name))?;
        let mut noise = TorchNoise::seeded(seed)?;
        let first = noise.normal(&[2, 3, 16, 16], Device::Cpu)?;
        let second = noise.normal(&[5], Device::Cpu)?;
        let _generator = DefaultGenerator::seeded(seed);
        let float = (Kind::Float, Device::Cpu);
        drop((Tensor::f_randn([2, 3, 16, 16], float)?, Tensor::f_randn([5], float)?));
        let integers = Tensor::randint(1000, [17], (Kind::Int64, Device::Cpu));
        rows.push(case.compare(&format!("randn_seed_{seed}"), &first, Tolerance::Exact)?);
        rows.push(case.compare(&format!("second_randn_seed_{seed}"), &second, Tolerance::Exact)?);
        rows.push(case.compare(&format!("randint_seed_{seed}"), &integers, Tolerance::Exact)?);
    }
    Ok(rows)
}

//! Time to compute the tables of a noise schedule.

use std::hint::black_box;

use inkdrop_schedule::{Schedule, ScheduleConfig};
use inkdrop_torch::tch::Tensor;
use ndarray::Array1;

use crate::job::Job;
use inkdrop_benches::Result;

/// Seconds per schedule with all its tables.
pub fn run(job: &Job) -> Result<Vec<f64>> {
    let config = match job.model.as_str() {
        "linear_1000" => ScheduleConfig::linear(1000),
        "cosine_4000" => ScheduleConfig::cosine(4000),
        "sprites_500" => ScheduleConfig::SPRITES,
        other => {
            let expected = "linear_1000, cosine_4000 or sprites_500";
            return Err(format!("given the schedule `{other}`, expected {expected}").into());
        }
    };
    job.write_outputs(|| Ok(outputs(&config.build()?)))?;
    job.measure(|| {
        let schedule = black_box(&config).build()?;
        black_box(derived(&schedule));
        Ok(())
    })
}

/// All tables by improved-diffusion's names.
fn outputs(schedule: &Schedule) -> Vec<(&'static str, Tensor)> {
    let [sqrt, sqrt_rest, log_rest, sqrt_recip, sqrt_recipm1, log_variance] = &derived(schedule);
    let all = [
        ("betas", schedule.betas()),
        ("alphas_cumprod", schedule.alphas_cumprod()),
        ("alphas_cumprod_prev", schedule.alphas_cumprod_prev()),
        ("posterior_variance", schedule.posterior_variance()),
        ("posterior_mean_coef1", schedule.posterior_mean_coef1()),
        ("posterior_mean_coef2", schedule.posterior_mean_coef2()),
        ("sqrt_alphas_cumprod", sqrt),
        ("sqrt_one_minus_alphas_cumprod", sqrt_rest),
        ("log_one_minus_alphas_cumprod", log_rest),
        ("sqrt_recip_alphas_cumprod", sqrt_recip),
        ("sqrt_recipm1_alphas_cumprod", sqrt_recipm1),
        ("posterior_log_variance_clipped", log_variance),
    ];
    all.map(|(name, table)| (name, Tensor::from_slice(&table.to_vec()))).into()
}

/// The tables that a schedule does not store.
fn derived(schedule: &Schedule) -> [Array1<f64>; 6] {
    [
        schedule.sqrt_alphas_cumprod(),
        schedule.sqrt_one_minus_alphas_cumprod(),
        schedule.log_one_minus_alphas_cumprod(),
        schedule.sqrt_recip_alphas_cumprod(),
        schedule.sqrt_recipm1_alphas_cumprod(),
        schedule.posterior_log_variance_clipped(),
    ]
}

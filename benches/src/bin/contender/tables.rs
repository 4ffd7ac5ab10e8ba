//! How long do the tables of a noise schedule take?

use std::hint::black_box;

use inkdrop_schedule::{Schedule, ScheduleConfig};
use inkdrop_torch::tch::Tensor;

use crate::Result;
use crate::job::Job;
use crate::timing::measure;

/// The seconds of each schedule with all of its tables.
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
    job.keep(|| {
        let all = tables(&config.build()?);
        let tensor = |(name, values): (_, Vec<f64>)| (name, Tensor::from_slice(&values));
        Ok(all.into_iter().map(tensor).collect())
    })?;
    measure(job, || {
        black_box(tables(&black_box(&config).build()?));
        Ok(())
    })
}

/// Those that improved-diffusion makes, by its names.
fn tables(schedule: &Schedule) -> [(&'static str, Vec<f64>); 12] {
    [
        ("betas", schedule.betas().to_vec()),
        ("alphas_cumprod", schedule.alphas_cumprod().to_vec()),
        ("alphas_cumprod_prev", schedule.alphas_cumprod_prev().to_vec()),
        ("sqrt_alphas_cumprod", schedule.sqrt_alphas_cumprod().to_vec()),
        ("sqrt_one_minus_alphas_cumprod", schedule.sqrt_one_minus_alphas_cumprod().to_vec()),
        ("log_one_minus_alphas_cumprod", schedule.log_one_minus_alphas_cumprod().to_vec()),
        ("sqrt_recip_alphas_cumprod", schedule.sqrt_recip_alphas_cumprod().to_vec()),
        ("sqrt_recipm1_alphas_cumprod", schedule.sqrt_recipm1_alphas_cumprod().to_vec()),
        ("posterior_variance", schedule.posterior_variance().to_vec()),
        ("posterior_log_variance_clipped", schedule.posterior_log_variance_clipped().to_vec()),
        ("posterior_mean_coef1", schedule.posterior_mean_coef1().to_vec()),
        ("posterior_mean_coef2", schedule.posterior_mean_coef2().to_vec()),
    ]
}

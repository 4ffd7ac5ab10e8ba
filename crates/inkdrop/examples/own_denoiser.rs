//! A denoiser of one's own, a function of x and σ, with every sampler.

use inkdrop::process::FnDenoiser;
use inkdrop::sampler::Sampler;
use inkdrop::schedule::{LevelSpacing, ScheduleConfig};
use inkdrop::torch::tch::Device;
use inkdrop::torch::{NoiseSource, PerImageNoise};

fn main() -> inkdrop::Result<()> {
    // Data from N(1, 0.5²): its best denoiser is a weighted mean of the data's mean and x.
    let variance = 0.25;
    let denoiser =
        FnDenoiser::new(|x, sigma| Ok((x * variance + sigma * sigma) / (variance + sigma * sigma)));
    let process = ScheduleConfig::linear(1000).build()?;
    let schedule = "karras20".parse::<LevelSpacing>()?.sampling_schedule(&process)?;
    for (name, sampler) in Sampler::all() {
        let mut noise = PerImageNoise::new(0, 0..64);
        let x = noise.normal(&[64, 1, 8, 8], Device::Cpu)?;
        let x = sampler.sample(&denoiser, &process, &schedule, x, &mut noise)?;
        let (mean, deviation) = (x.mean(x.kind()), x.std(true));
        println!(
            "{name}: mean {:.3}, deviation {:.3}",
            f64::try_from(mean)?,
            f64::try_from(deviation)?
        );
    }
    Ok(())
}

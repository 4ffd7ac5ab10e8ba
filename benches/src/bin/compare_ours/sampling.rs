//! How long is the way from noise to images?

use inkdrop_nn::Conditioning;
use inkdrop_process::{
    NetworkDenoiser, PredictionType, Process, ProcessConfig, TimeInput, Variance,
};
use inkdrop_sampler::Sampler;
use inkdrop_schedule::{LevelSpacing, ScheduleConfig};
use inkdrop_torch::PerImageNoise;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::Result;
use crate::job::{Job, named};
use crate::network;
use crate::timing::measure;

/// The seconds of each whole batch of images: DDIM in the job's steps.
pub fn run(job: &Job) -> Result<Vec<f64>> {
    let process = process(&job.model)?;
    let levels: LevelSpacing = format!("trailing{}", job.steps).parse()?;
    let path = levels.sampling_schedule(process.schedule())?;
    let times = process.network_times(&path);
    let network = network::prepared(network::build(job)?.as_ref(), times)?;
    let (x, conditioning) = start(job)?;
    let denoiser = NetworkDenoiser::new(&process, network.as_ref(), conditioning);
    let mut noise = PerImageNoise::new(0, 0..job.batch as u64);
    let mut walk = || -> Result<Tensor> {
        let (x, schedule) = (x.shallow_clone(), process.schedule());
        Ok(Sampler::DDIM.sample(&denoiser, schedule, &path, x, &mut noise)?)
    };
    job.keep(|| Ok(vec![("images", walk()?)]))?;
    measure(job, || walk().map(drop))
}

/// The process that a preset belongs to.
pub fn process(model: &str) -> Result<Process> {
    let config = match model {
        "sprites" => ProcessConfig::sprites(),
        "ddpm_cifar10" => ProcessConfig {
            schedule: ScheduleConfig::linear(1000),
            time: TimeInput::Index,
            prediction: PredictionType::Epsilon,
            variance: Variance::FixedLarge,
            clip: true,
        },
        _ => return Err(format!("given `{model}`, expected sprites or ddpm_cifar10").into()),
    };
    Ok(Process::new(&config, Device::Cpu)?)
}

/// Noise and conditions: those of the file, or drawn.
pub fn start(job: &Job) -> Result<(Tensor, Conditioning)> {
    if let Some(inputs) = job.inputs()? {
        let context = inputs.get("context").map(Tensor::shallow_clone);
        return Ok((named(&inputs, "x")?, Conditioning { context, ..Conditioning::none() }));
    }
    let config = network::config(job)?;
    let [channels, height, width] = config.image_shape();
    let f32 = (Kind::Float, Device::Cpu);
    let context = match config.contexts() {
        0 => None,
        contexts => {
            let classes = Tensor::f_arange(job.batch, (Kind::Int64, Device::Cpu))?;
            let rows = classes.f_remainder(contexts)?.f_one_hot(contexts)?;
            Some(rows.f_to_kind(Kind::Float)?)
        }
    };
    let x = Tensor::f_randn([job.batch, channels, height, width], f32)?;
    Ok((x, Conditioning { context, ..Conditioning::none() }))
}

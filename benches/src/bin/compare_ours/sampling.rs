//! Time of sampling a batch of images by DDIM.

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

/// Seconds per batch of images, with the job's number of DDIM steps.
pub fn run(job: &Job) -> Result<Vec<f64>> {
    let process = process(&job.model)?;
    let levels: LevelSpacing = format!("trailing{}", job.steps).parse()?;
    let schedule = levels.sampling_schedule(process.schedule())?;
    let times = process.network_times(&schedule);
    let network = network::prepared(network::build(job)?.as_ref(), times)?;
    let (x, conditioning) = start(job)?;
    let denoiser = NetworkDenoiser::new(&process, network.as_ref(), conditioning);
    let mut noise = PerImageNoise::new(0, 0..job.batch as u64);
    let mut sample = || -> Result<Tensor> {
        let (x, process) = (x.shallow_clone(), process.schedule());
        Ok(Sampler::DDIM.sample(&denoiser, process, &schedule, x, &mut noise)?)
    };
    job.write_outputs(|| Ok(vec![("images", sample()?)]))?;
    measure(job, || sample().map(drop))
}

/// The process of a preset.
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

/// Initial noise and conditioning: from the file of inputs, or random.
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

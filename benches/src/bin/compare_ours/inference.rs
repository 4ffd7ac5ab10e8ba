//! Time of a forward pass, and of sampling a batch of images.

use inkdrop_nn::{CompileOptions, Conditioning, Network};
use inkdrop_process::{
    ContinuousConfig, ContinuousProcess, DiffusionProcess, NetworkDenoiser, Preconditioning,
    Process,
};
use inkdrop_sampler::{Consistency, DpmSolver, Sampler};
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_torch::{NoiseTape, PerImageNoise};

use crate::job::{Job, Solver, named};
use inkdrop_benches::{Result, process_of};

/// The process of the built-in model `sprites-fast`, whose network samples in few steps.
const FAST: ContinuousConfig = ContinuousConfig {
    preconditioning: Preconditioning::Consistency {
        sigma_data: 0.7,
        sigma_min: 0.002,
        time_scale: 1.0,
    },
    sigma_min: None,
    sigma_max: Some(60.0),
    clip: false,
};

/// Seconds per batch of images, with the job's number of steps.
pub fn sampling(job: &Job) -> Result<Vec<f64>> {
    match job.sampler {
        Solver::Ddim => ddim(job),
        Solver::Consistency => few_steps(job, Sampler::Consistency(Consistency::default())),
        Solver::Dpm => few_steps(job, Sampler::Dpm(DpmSolver::PP_2M)),
    }
}

/// The noise levels of `karras`, and the noise of the inputs.
fn few_steps(job: &Job, sampler: Sampler) -> Result<Vec<f64>> {
    let process = ContinuousProcess::new(&FAST, Device::Cpu)?;
    let schedule = process.spaced(&format!("karras{}", job.steps).parse()?)?;
    let network = compiled(job, process.network_times(&schedule))?;
    let (x, conditioning) = start(job)?;
    let draws = match job.inputs()? {
        Some(inputs) => named(&inputs, "noise")?,
        None => {
            Tensor::f_randn([&[job.steps as i64][..], &x.size()].concat(), (x.kind(), x.device()))?
        }
    };
    let denoiser = NetworkDenoiser::new(&process, network.as_ref(), conditioning);
    let sample = || -> Result<Tensor> {
        let mut noise = NoiseTape::new(draws.shallow_clone());
        let (x, levels) = (x.shallow_clone(), process.noise_levels());
        Ok(sampler.sample(&denoiser, levels, &schedule, x, &mut noise)?)
    };
    job.write_outputs(|| Ok(vec![("images", sample()?)]))?;
    job.measure(|| sample().map(drop))
}

fn ddim(job: &Job) -> Result<Vec<f64>> {
    let process = process(job)?;
    let levels: LevelSpacing = format!("trailing{}", job.steps).parse()?;
    let schedule = levels.sampling_schedule(process.schedule())?;
    let times = process.network_times(&schedule);
    let network = compiled(job, times)?;
    let (x, conditioning) = start(job)?;
    let denoiser = NetworkDenoiser::new(&process, network.as_ref(), conditioning);
    let mut noise = PerImageNoise::new(0, 0..job.batch as u64);
    let mut sample = || -> Result<Tensor> {
        let (x, process) = (x.shallow_clone(), process.schedule());
        Ok(Sampler::DDIM.sample(&denoiser, process, &schedule, x, &mut noise)?)
    };
    job.write_outputs(|| Ok(vec![("images", sample()?)]))?;
    job.measure(|| sample().map(drop))
}

/// The process of the job's network.
pub fn process(job: &Job) -> Result<Process> {
    Ok(Process::new(&process_of(&job.config()?), Device::Cpu)?)
}

/// Initial noise and conditioning: from the file of inputs, or random.
pub fn start(job: &Job) -> Result<(Tensor, Conditioning)> {
    if let Some(inputs) = job.inputs()? {
        let context = inputs.get("context").map(Tensor::shallow_clone);
        return Ok((named(&inputs, "x")?, Conditioning { context, ..Conditioning::none() }));
    }
    let config = job.config()?;
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

/// Seconds per pass.
pub fn forward(job: &Job) -> Result<Vec<f64>> {
    let (x, t, conditioning) = inputs(job)?;
    let times = vec![t.f_double_value(&[0])?];
    let network = compiled(job, times)?;
    let _guard = no_grad_guard();
    let pass = || -> Result<Tensor> { Ok(network.forward(&x, &t, &conditioning)?) };
    job.write_outputs(|| Ok(vec![("out", pass()?)]))?;
    job.measure(|| pass().map(drop))
}

/// x, t and conditioning: from the file of inputs, or random. All images share one t.
fn inputs(job: &Job) -> Result<(Tensor, Tensor, Conditioning)> {
    let (x, conditioning) = start(job)?;
    let t = match job.inputs()? {
        Some(inputs) => named(&inputs, "t")?,
        None => Tensor::f_full([job.batch], 0.5, (Kind::Float, Device::Cpu))?,
    };
    Ok((x, t, conditioning))
}

/// The job's network, compiled for inference at these times.
fn compiled(job: &Job, times: Vec<f64>) -> Result<Box<dyn Network>> {
    Ok(job.network()?.compile(&CompileOptions::at(times))?)
}

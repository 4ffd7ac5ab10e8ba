//! Schedulers of diffusers: sampling a directory as its scheduler_config.json says.
//!
//! A [`Scheduler`] is the config; a [`SchedulerRun`] has the noise levels of a run, computed in f32 by
//! diffusers' operations, and the solver that equals the scheduler's `step`.

mod arguments;
mod clipping;
mod names;
mod numpy;
mod steps;
mod tables;
mod timesteps;

use inkdrop_process::Denoiser;
use inkdrop_sampler::{
    Ddim, Ddpm, DpmSolver, DpmSolver2, DpmSolverMultistep, Euler, EulerAncestral, Heun, Lms, Plms,
    Pndm, SamplerError, SamplingSteps, ScheduledStep, SecondOrder, Solver, SolverOutput,
    SolverVariable, UniPc, UniPcSolver,
};
use inkdrop_schedule::solver_coefficients::BKind;
use inkdrop_schedule::{SamplingSchedule, Schedule, ScheduleConfig, SolverStep};
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{NoiseSource, TorchError};
use serde_json::{Value, json};

pub use arguments::Arguments;
pub use clipping::{Clipping, SchedulerDenoiser};
pub use names::{
    Algorithm, BetaSchedule, Class, Interpolation, Last, Predicts, SolverType, TimestepSpacing,
    TimestepType, VarianceType,
};

use crate::Result;
use crate::error::{Context, ensure};
use steps::{Planner, SchedulerSteps};
use tables::Tables;

/// A scheduler of diffusers with its arguments.
#[derive(Debug, Clone)]
pub struct Scheduler {
    /// The class.
    pub class: Class,
    /// Name of the class.
    pub name: String,
    /// The arguments.
    pub arguments: Arguments,
    /// The arguments as given.
    config: Value,
}

/// Arguments of a scheduler's `step`, which a pipeline takes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepOptions {
    /// DDIM: η, 0 to 1.
    pub eta: f64,
    /// DDIM: recomputes ε from the clipped x0 (`use_clipped_model_output`).
    pub use_clipped_model_output: bool,
}

impl Scheduler {
    /// Reads a scheduler_config.json.
    ///
    /// # Errors
    /// A class or arguments that no sampler here equals.
    pub fn read(config: &Value) -> Result<Self> {
        let name = config.get("_class_name").and_then(Value::as_str).unwrap_or("DDPMScheduler");
        let class = Class::named(name)
            .with_context(|| format!("scheduler_config.json: no sampler equals {name}"))?;
        Self::new(class, name, config)
    }

    /// A scheduler of a class.
    ///
    /// # Errors
    /// Arguments that no sampler here equals.
    pub fn new(class: Class, name: &str, arguments: &Value) -> Result<Self> {
        let config = arguments.clone();
        let arguments: Arguments =
            serde_json::from_value(config.clone()).with_context(|| name.to_string())?;
        arguments.check(class).with_context(|| name.to_string())?;
        Ok(Self { class, name: name.to_string(), arguments, config })
    }

    /// Number of steps that the pipeline of the scheduler takes by default: 1000 of DDPMPipeline, 50
    /// of DDIMPipeline and PNDMPipeline; 50 also for schedulers without a pipeline for pixels.
    pub fn default_steps(&self) -> usize {
        let all = self.arguments.num_train_timesteps;
        if self.class == Class::Ddpm { 1000.min(all) } else { 50.min(all) }
    }

    /// inkdrop's noise schedule of these arguments; `None` if there is none.
    pub fn noise_schedule(&self) -> Option<ScheduleConfig> {
        self.arguments.noise_schedule(self.class)
    }

    /// Prepares a run.
    ///
    /// - count: number of steps (`num_inference_steps`)
    /// - recorded: timesteps of a run of diffusers, if known. They decide where a value within rounding
    ///   of a whole number is truncated.
    ///
    /// # Errors
    /// Arguments that no sampler here equals.
    pub fn run(
        &self,
        count: usize,
        options: StepOptions,
        recorded: &[f64],
    ) -> Result<SchedulerRun> {
        let Self { class, arguments, .. } = self;
        let tables = Tables::of(arguments, *class)?;
        let planner = Planner { class: *class, arguments, tables: &tables, count, recorded };
        let SchedulerSteps { steps, sigmas } = planner.steps()?;
        let run = SchedulerRun {
            scheduler: self.clone(),
            options,
            schedule: SamplingSchedule::from_steps(steps)?,
            noise_schedule: match class {
                Class::Kdpm2 | Class::Pndm => Some(tables.schedule()?),
                _ => None,
            },
            plain_bars: tables.plain_bars,
            sigmas,
        };
        run.check()?;
        Ok(run)
    }
}

/// A run of a scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerRun {
    scheduler: Scheduler,
    options: StepOptions,
    schedule: SamplingSchedule,
    /// For classes that evaluate between their timesteps.
    noise_schedule: Option<Schedule>,
    plain_bars: Vec<f64>,
    sigmas: Option<Vec<f64>>,
}

impl SchedulerRun {
    /// The noise levels to visit.
    pub fn schedule(&self) -> &SamplingSchedule {
        &self.schedule
    }

    /// σ of every level, for classes with σ: at least one more than steps.
    pub fn sigmas(&self) -> Option<&[f64]> {
        self.sigmas.as_deref()
    }

    /// `alphas_cumprod` of the scheduler, in f32.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.plain_bars
    }

    /// The scheduler and its number of steps, as text.
    pub fn describe(&self) -> String {
        let Scheduler { class, name, arguments, .. } = &self.scheduler;
        let curve = match arguments {
            Arguments { use_karras_sigmas: Some(true), .. } => "Karras's sigmas".to_string(),
            Arguments { use_exponential_sigmas: Some(true), .. } => {
                "exponential sigmas".to_string()
            }
            _ => format!("{:?} timesteps", arguments.spacing(*class)).to_lowercase(),
        };
        format!("{name}, {} steps, {curve}", self.schedule.len())
    }

    /// Everything that determines the steps but their number, as JSON: the class, its arguments, and
    /// those of `step`.
    pub fn identity(&self) -> Value {
        let Scheduler { name, config, .. } = &self.scheduler;
        let StepOptions { eta, use_clipped_model_output } = self.options;
        json!({
            "class": name,
            "config": config,
            "eta": eta,
            "use_clipped_model_output": use_clipped_model_output,
        })
    }

    /// The denoiser of the scheduler: its clipping, and for DDIM the noise of the network.
    ///
    /// - denoiser: without clipping
    pub fn denoiser<'a>(&self, denoiser: impl Denoiser + 'a) -> SchedulerDenoiser<'a> {
        let Scheduler { class, arguments, .. } = &self.scheduler;
        let keeps_noise = *class == Class::Ddim && !self.options.use_clipped_model_output;
        SchedulerDenoiser::new(denoiser, Clipping::of(arguments, *class), keeps_noise)
    }

    /// The steps of the run from N(0, 1).
    ///
    /// - denoiser: that of [`SchedulerRun::denoiser`]
    /// - x: [B, C, H, W]
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn steps<'a>(
        &'a self,
        denoiser: impl Denoiser + 'a,
        x: &Tensor,
        noise: impl NoiseSource + 'a,
    ) -> Result<SamplingSteps<'a>, SamplerError> {
        self.steps_from(denoiser, x.f_mul_scalar(self.initial_scale())?, noise)
    }

    /// The same from x at the first noise level, of unit variance.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn steps_from<'a>(
        &'a self,
        denoiser: impl Denoiser + 'a,
        x: Tensor,
        noise: impl NoiseSource + 'a,
    ) -> Result<SamplingSteps<'a>, SamplerError> {
        Ok(SamplingSteps::new(denoiser, self.solver()?, &self.schedule, x, noise))
    }

    /// Scale of the initial noise where x has unit variance. `init_noise_sigma` is σ_max, not
    /// √(σ_max² + 1), unless the timesteps are leading.
    fn initial_scale(&self) -> f64 {
        let Scheduler { class, arguments, .. } = &self.scheduler;
        let leading = arguments.spacing(*class) == TimestepSpacing::Leading;
        if class.grows() && !leading { self.schedule.start().noise() } else { 1.0 }
    }

    /// The solver that equals the scheduler's `step`.
    fn solver(&self) -> Result<Box<dyn Solver + '_>, SamplerError> {
        let between = || {
            let schedule = self.noise_schedule.as_ref();
            schedule.ok_or_else(|| TorchError::message("the scheduler has no tables".into()))
        };
        Ok(match self.scheduler.class {
            Class::Ddpm => Box::new(DdpmScheduler),
            Class::Ddim => Box::new(Ddim::new(self.options.eta)?),
            Class::Euler => Box::new(Euler),
            Class::EulerAncestral => Box::new(EulerAncestral::new(1.0)?),
            Class::Heun => Box::new(Heun),
            Class::Kdpm2 => Box::new(DpmSolver2::new(between()?)),
            Class::Lms => Box::new(Lms::new(4)?),
            Class::DpmMultistep => Box::new(DpmSolverMultistep::new(self.dpm_solver())?),
            Class::UniPc => Box::new(UniPcSolver::new(self.unipc())?),
            Class::Pndm if self.scheduler.arguments.skip_prk_steps => Box::new(Plms::default()),
            Class::Pndm => Box::new(Pndm::new(between()?)),
        })
    }

    fn dpm_solver(&self) -> DpmSolver {
        let arguments = &self.scheduler.arguments;
        let heun = arguments.solver_type == Some(SolverType::Heun);
        DpmSolver {
            order: arguments.solver_order,
            variable: variable(arguments.algorithm_type.of_image()),
            stochastic: matches!(
                arguments.algorithm_type,
                Algorithm::SdeDpmsolver | Algorithm::SdeDpmsolverPp
            ),
            second: if heun { SecondOrder::Heun } else { SecondOrder::Midpoint },
            lower_order_final: arguments.lower_order_final,
            euler_at_final: arguments.euler_at_final,
            published_third: true,
        }
    }

    fn unipc(&self) -> UniPc {
        let arguments = &self.scheduler.arguments;
        let first = arguments.solver_type == Some(SolverType::Bh1);
        UniPc {
            order: arguments.solver_order,
            b: if first { BKind::Bh1 } else { BKind::Bh2 },
            variable: variable(arguments.predict_x0),
            lower_order_final: arguments.lower_order_final,
            disable_corrector: arguments.disable_corrector.len(),
        }
    }

    /// Returns an error for what the class itself does not support, or inkdrop not in this schedule.
    fn check(&self) -> Result<()> {
        let Scheduler { class, arguments, .. } = &self.scheduler;
        let learned = arguments.variance_type == Some(VarianceType::Learned);
        ensure!(
            !(learned && *class == Class::DpmMultistep)
                || arguments.prediction_type == Predicts::Epsilon,
            "variance_type learned: DPM-Solver supports it with prediction_type epsilon only"
        );
        ensure!(
            self.options == StepOptions::default() || *class == Class::Ddim,
            "eta and use_clipped_model_output are arguments of DDIM, the scheduler is {}",
            self.scheduler.name
        );
        match class {
            Class::Pndm if arguments.skip_prk_steps => check_plms(self.schedule.steps()),
            Class::Pndm => check_pndm(self.schedule.steps()),
            _ => Ok(()),
        }
    }
}

fn variable(of_image: bool) -> SolverVariable {
    if of_image { SolverVariable::DataPrediction } else { SolverVariable::NoisePrediction }
}

/// DDPMScheduler's step. It adds noise in every step above timestep 0, also in one that ends at clean
/// data, where [`Ddpm`] adds none.
struct DdpmScheduler;

impl Solver for DdpmScheduler {
    fn step(
        &mut self,
        denoiser: &dyn Denoiser,
        step: ScheduledStep<'_>,
        x: &Tensor,
        noise: &mut dyn NoiseSource,
    ) -> Result<SolverOutput, SamplerError> {
        if !step.to.is_noiseless() || step.from.timestep <= 0.0 {
            return Ddpm.step(denoiser, step, x, noise);
        }
        let prediction = denoiser.denoise(x, &step)?;
        let std = prediction.log_variance.f_mul_scalar(0.5)?.f_exp()?;
        let draw = noise.normal(&x.size(), x.device())?.f_to_kind(x.kind())?;
        let next = prediction.posterior_mean(x, &step)?.f_add(&draw.f_mul(&std)?)?;
        Ok(SolverOutput { x: next, x0: prediction.x0 })
    }
}

/// Checks the timesteps for PNDMScheduler without Runge-Kutta steps.
///
/// It takes its first step twice: from t to t − T//n, then from t' + T//n to t', where t' is the next
/// timestep. Both are the same step only if the timesteps are T//n apart.
fn check_plms(steps: &[SolverStep]) -> Result<()> {
    let Some(next) = steps.get(1) else { return Ok(()) };
    let (ends, follows) = (steps[0].to.timestep, next.from.timestep);
    ensure!(
        ends == follows,
        "timestep_spacing: PNDMScheduler's first step ends at {ends}, its repetition at {follows}; \
         expected timesteps T//num_inference_steps apart (leading)"
    );
    Ok(())
}

/// Checks the timesteps for PNDMScheduler's Runge-Kutta steps.
///
/// Their midpoint is t − (T//n)//2 once and t' + (T//n)//2 then, where t' is the next timestep. Both
/// are equal only if the spacing is even.
fn check_pndm(steps: &[SolverStep]) -> Result<()> {
    for (step, next) in steps.iter().zip(&steps[1..]).take(3) {
        let (stride, gap) =
            (step.from.timestep - step.to.timestep, step.from.timestep - next.from.timestep);
        ensure!(
            stride == gap && stride % 2.0 == 0.0,
            "T//num_inference_steps {stride}, timesteps {gap} apart: PNDMScheduler has two different \
             midpoints in a Runge-Kutta step, inkdrop one; expected an even stride (leading)"
        );
    }
    Ok(())
}

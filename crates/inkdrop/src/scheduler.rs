//! Schedulers of diffusers: sampling a directory as its scheduler_config.json says.
//!
//! A [`Scheduler`] is the config; a [`SchedulerRun`] has the noise levels of a run, computed in f32 by
//! diffusers' operations, and the solver that equals the scheduler's `step`.

mod arguments;
mod beta;
mod checks;
mod clipping;
mod continuous;
mod distilled;
mod flow;
mod names;
mod numpy;
mod options;
mod run;
mod solvers;
mod steps;
mod tables;
mod timesteps;

use inkdrop_schedule::{SamplingSchedule, ScheduleConfig};
use serde_json::Value;

pub use arguments::Arguments;
pub use clipping::{Clipping, SchedulerDenoiser};
pub use names::{
    Algorithm, BetaSchedule, Class, Interpolation, Last, Predicts, SigmaSchedule, SolverType,
    Space, TimeShift, TimestepSpacing, TimestepType, VarianceType,
};
pub use options::{StepOptions, TimestepOptions};
pub use run::SchedulerRun;

use crate::Result;
use crate::error::Context;
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
        let arguments = Arguments::read(class, &config).with_context(|| name.to_string())?;
        arguments.check(class).with_context(|| name.to_string())?;
        Ok(Self { class, name: name.to_string(), arguments, config })
    }

    /// Number of steps that the pipeline of the scheduler takes by default: 1000 of DDPMPipeline, 50
    /// of DDIMPipeline and PNDMPipeline, 1 of ConsistencyModelPipeline, 4 of latent consistency models; 50
    /// also for schedulers without a pipeline for pixels.
    pub fn default_steps(&self) -> usize {
        let all = self.arguments.num_train_timesteps;
        match self.class {
            Class::Ddpm => 1000.min(all),
            Class::Lcm | Class::Tcd => 4.min(self.arguments.original_inference_steps),
            Class::Consistency => 1,
            _ => 50.min(all),
        }
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
        self.run_with(count, options, &TimestepOptions::default(), recorded)
    }

    /// Prepares a run with other arguments of `set_timesteps`.
    ///
    /// # Errors
    /// Those of [`Scheduler::run`], and arguments that the class does not have.
    pub fn run_with(
        &self,
        count: usize,
        options: StepOptions,
        given: &TimestepOptions,
        recorded: &[f64],
    ) -> Result<SchedulerRun> {
        let Self { class, arguments, .. } = self;
        let tables = Tables::of(arguments, *class)?;
        let listed = given.timesteps.as_ref().or(given.sigmas.as_ref());
        let count = listed.map_or(count, Vec::len);
        let planner = Planner { class: *class, arguments, tables: &tables, count, given, recorded };
        let SchedulerSteps { steps, sigmas } = planner.steps()?;
        let run = SchedulerRun {
            scheduler: self.clone(),
            options,
            schedule: SamplingSchedule::from_steps(steps)?,
            noise_schedule: match class {
                Class::Kdpm2 | Class::Kdpm2Ancestral | Class::Pndm | Class::Tcd => {
                    Some(tables.schedule()?)
                }
                _ => None,
            },
            plain_bars: tables.plain_bars,
            sigmas,
        };
        run.check()?;
        Ok(run)
    }
}

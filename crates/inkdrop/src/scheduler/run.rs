//! A run of a scheduler: its noise levels, and the solver that equals its `step`.

use inkdrop_process::Denoiser;
use inkdrop_sampler::{
    Churn, Consistency, ConsistencySolver, Ddim, Deis, DeisSolver, DpmSolver, DpmSolver2,
    DpmSolver2Ancestral, DpmSolverMultistep, DpmSolverSinglestep, Euler, EulerAncestral, FlowHeun,
    Heun, Ipndm, Lms, Plms, Pndm, SaSolver, SaSolverMultistep, SamplerError, SamplingSteps,
    SecondOrder, Solver, SolverVariable, Tcd, UniPc, UniPcSolver,
};
use inkdrop_schedule::solver_coefficients::BKind;
use inkdrop_schedule::{
    FlowPath, NoiseLevel, Preconditioning, PreconditioningCoefs, SamplingSchedule, Schedule,
    SolverStep,
};
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{NoiseSource, TorchError};
use serde_json::{Value, json};

use super::clipping::{Boundary, Clipping, SchedulerDenoiser};
use super::names::{Algorithm, Class, Predicts, SolverType, Space, TimestepSpacing, VarianceType};
use super::solvers::{DdpmScheduler, EdmEulerScheduler, FlowHeunScheduler};
use super::{Arguments, Scheduler, StepOptions};
use crate::Result;
use crate::error::ensure;

/// A run of a scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerRun {
    pub(super) scheduler: Scheduler,
    pub(super) options: StepOptions,
    pub(super) schedule: SamplingSchedule,
    /// For classes that evaluate between their timesteps.
    pub(super) noise_schedule: Option<Schedule>,
    pub(super) plain_bars: Vec<f64>,
    pub(super) sigmas: Option<Vec<f64>>,
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
            Arguments { use_beta_sigmas: Some(true), .. } => "beta sigmas".to_string(),
            _ if !class.has_betas() => "its own noise levels".to_string(),
            _ => format!("{:?} timesteps", arguments.spacing(*class)).to_lowercase(),
        };
        format!("{name}, {} steps, {curve}", self.schedule.len())
    }

    /// Everything that determines the steps but their number, as JSON: the class, its arguments, and
    /// those of `step`.
    pub fn identity(&self) -> Value {
        let Scheduler { name, config, .. } = &self.scheduler;
        let StepOptions { use_clipped_model_output, churn, tau, .. } = self.options;
        let mut identity = json!({
            "class": name,
            "config": config,
            "eta": self.eta(),
            "use_clipped_model_output": use_clipped_model_output,
        });
        if let Some(churn) = churn {
            identity["churn"] = json!(format!("{churn:?}"));
        }
        if let Some(tau) = tau {
            identity["tau"] = json!(format!("{tau:?}"));
        }
        identity
    }

    /// The denoiser of the scheduler: its clipping, and for DDIM the noise of the network.
    ///
    /// - denoiser: without clipping
    pub fn denoiser<'a>(&self, denoiser: impl Denoiser + 'a) -> SchedulerDenoiser<'a> {
        let Scheduler { class, arguments, .. } = &self.scheduler;
        let keeps_noise = *class == Class::Ddim && !self.options.use_clipped_model_output;
        let boundary = Boundary { scaling: arguments.timestep_scaling };
        SchedulerDenoiser::new(denoiser, Clipping::of(arguments, *class), keeps_noise)
            .with_boundary((*class == Class::Lcm).then_some(boundary))
    }

    /// η of DDIM, γ of TCD.
    fn eta(&self) -> f64 {
        let default = if self.scheduler.class == Class::Tcd { 0.3 } else { 0.0 };
        self.options.eta.unwrap_or(default)
    }

    /// Draws of noise that the class makes without using them, after those that it uses: they shift the noise of the
    /// next batch. Most stochastic classes draw in the last step, too, which adds no noise where it ends at x0.
    pub fn discarded_draws(&self) -> usize {
        let Scheduler { class, arguments, .. } = &self.scheduler;
        let steps = self.schedule.len();
        let draws_last = match class {
            Class::Ddim => self.eta() > 0.0,
            Class::EulerAncestral => true,
            Class::DpmMultistep | Class::DpmSinglestep | Class::EdmDpmMultistep => matches!(
                arguments.algorithm_type,
                Algorithm::SdeDpmsolver | Algorithm::SdeDpmsolverPp
            ),
            Class::SaSolver if self.options.tau.unwrap_or_default().value == 0.0 => return steps,
            Class::SaSolver => true,
            Class::Consistency => steps > 1,
            _ => false,
        };
        let last = self.schedule.steps().last();
        usize::from(draws_last && last.is_some_and(|step| step.to.is_noiseless()))
    }

    /// The scale of the scheduler's samples.
    pub fn space(&self) -> Space {
        self.scheduler.arguments.space(self.scheduler.class)
    }

    /// How the output F of the network becomes x0 at a noise level, for x of unit variance:
    /// x0 = skip·x + output·F(input·x; time). `None` for the classes whose network receives x of unit
    /// variance and predicts ε, x0 or v.
    pub fn network_coefs(&self, level: NoiseLevel) -> Option<PreconditioningCoefs> {
        let time = level.timestep;
        if self.scheduler.class == Class::Ipndm {
            let (skip, output) = (level.signal(), -level.noise());
            return Some(PreconditioningCoefs { skip, output, input: 1.0, time });
        }
        let arguments = &self.scheduler.arguments;
        if let Some(preconditioning) = self.preconditioning() {
            let coefs = preconditioning.coefs(level);
            let sign = if arguments.invert_sigmas { -1.0 } else { 1.0 };
            return Some(PreconditioningCoefs { output: sign * coefs.output, time, ..coefs });
        }
        // Flow sigmas of a network that predicts something else.
        let input = (self.space() == Space::Flow).then(|| Space::Flow.scale(level))?;
        let (signal, noise) = (level.signal() * input, level.noise() * input);
        let (skip, output) = match arguments.prediction_type {
            Predicts::Sample => (0.0, 1.0),
            _ => (input / signal, -noise / signal),
        };
        Some(PreconditioningCoefs { skip, output, input, time })
    }

    /// The preconditioning of the network, if the class has one. The network's time is that of the
    /// noise levels of the run, in f32.
    pub fn preconditioning(&self) -> Option<Preconditioning> {
        let Scheduler { class, arguments, .. } = &self.scheduler;
        let sigma_data = arguments.sigma_data;
        let time_scale = arguments.num_train_timesteps as f64;
        Some(match class {
            Class::EdmEuler | Class::EdmDpmMultistep => match arguments.prediction_type {
                Predicts::VPrediction => Preconditioning::EdmVelocity { sigma_data },
                _ => Preconditioning::Edm { sigma_data },
            },
            Class::Consistency => {
                let (sigma_min, _) = arguments.sigma_range();
                Preconditioning::Consistency { sigma_data, sigma_min, time_scale: 1000.0 }
            }
            Class::FlowEuler | Class::FlowHeun => {
                Preconditioning::Flow { path: FlowPath::Linear, time_scale }
            }
            _ if arguments.prediction_type == Predicts::FlowPrediction => {
                Preconditioning::Flow { path: FlowPath::Linear, time_scale }
            }
            _ => return None,
        })
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
        let (start, leading) =
            (self.schedule.start(), arguments.spacing(*class) == TimestepSpacing::Leading);
        match (self.space(), class) {
            (Space::UnitVariance, _) => 1.0,
            (Space::Flow, _) => 1.0 / Space::Flow.scale(start),
            (Space::Sigma, Class::EdmEuler | Class::EdmDpmMultistep) => {
                start.signal() * arguments.sigma_range().1.hypot(1.0)
            }
            (Space::Sigma, Class::Consistency) => start.signal() * arguments.sigma_range().1,
            (Space::Sigma, _) => {
                if leading {
                    1.0
                } else {
                    start.noise()
                }
            }
        }
    }

    /// The solver that equals the scheduler's `step`.
    fn solver(&self) -> Result<Box<dyn Solver + '_>, SamplerError> {
        let between = || {
            let schedule = self.noise_schedule.as_ref();
            schedule.ok_or_else(|| TorchError::message("the scheduler has no tables".into()))
        };
        Ok(match self.scheduler.class {
            Class::Ddpm => Box::new(DdpmScheduler),
            Class::Ddim => Box::new(Ddim::new(self.eta())?),
            Class::Euler => Box::new(Euler),
            Class::EulerAncestral => Box::new(EulerAncestral::new(1.0)?),
            Class::Heun => Box::new(Heun),
            Class::Kdpm2 => Box::new(DpmSolver2::new(between()?)),
            Class::Lms => Box::new(Lms::new(4)?),
            Class::DpmMultistep => Box::new(DpmSolverMultistep::new(self.dpm_solver())?),
            Class::UniPc => Box::new(UniPcSolver::new(self.unipc())?),
            Class::Pndm if self.scheduler.arguments.skip_prk_steps => Box::new(Plms::default()),
            Class::Pndm => Box::new(Pndm::new(between()?)),
            Class::Kdpm2Ancestral => Box::new(DpmSolver2Ancestral::new(between()?, 1.0)?),
            Class::DpmSinglestep => Box::new(DpmSolverSinglestep::new(self.dpm_solver())?),
            Class::EdmDpmMultistep => Box::new(DpmSolverMultistep::new(self.dpm_solver())?),
            Class::Deis => Box::new(DeisSolver::new(self.deis())?),
            Class::SaSolver => Box::new(SaSolverMultistep::new(self.sa_solver())?),
            Class::Ipndm => Box::new(Ipndm::default()),
            Class::Lcm => Box::new(ConsistencySolver::new(Consistency::LCM)?),
            Class::Tcd => Box::new(Tcd::new(between()?, self.eta())?),
            Class::Consistency => Box::new(ConsistencySolver::new(self.consistency())?),
            Class::EdmEuler => match (self.churn(), self.preconditioning()) {
                (Some(churn), Some(preconditioning)) => {
                    Box::new(EdmEulerScheduler { preconditioning, churn })
                }
                _ => Box::new(Euler),
            },
            Class::FlowEuler if self.scheduler.arguments.stochastic_sampling => {
                Box::new(ConsistencySolver::new(Consistency::LCM)?)
            }
            Class::FlowEuler => Box::new(Euler),
            Class::FlowHeun => match self.churn() {
                Some(churn) => Box::new(FlowHeunScheduler { churn }),
                None => Box::new(FlowHeun),
            },
        })
    }

    /// Churn, if it adds noise.
    fn churn(&self) -> Option<Churn> {
        self.options.churn.filter(|churn| churn.churn > 0.0)
    }

    fn deis(&self) -> Deis {
        let arguments = &self.scheduler.arguments;
        Deis { order: arguments.solver_order, lower_order_final: arguments.lower_order_final }
    }

    fn sa_solver(&self) -> SaSolver {
        let arguments = &self.scheduler.arguments;
        SaSolver {
            predictor: arguments.predictor_order,
            corrector: arguments.corrector_order,
            variable: variable(arguments.algorithm_type.of_image()),
            tau: self.options.tau.unwrap_or_default(),
            lower_order_final: arguments.lower_order_final,
        }
    }

    fn consistency(&self) -> Consistency {
        let arguments = &self.scheduler.arguments;
        Consistency { sigma_min: arguments.sigma_range().0, noise_scale: arguments.s_noise }
    }

    fn dpm_solver(&self) -> DpmSolver {
        let arguments = &self.scheduler.arguments;
        let heun = arguments.solver_type == Some(SolverType::Heun);
        DpmSolver {
            order: arguments.solver_order,
            variable: variable(arguments.algorithm_type.of_image()),
            stochastic: arguments.algorithm_type.is_stochastic(),
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
    pub(super) fn check(&self) -> Result<()> {
        let Scheduler { class, arguments, .. } = &self.scheduler;
        let learned = arguments.variance_type == Some(VarianceType::Learned);
        ensure!(
            !(learned && *class == Class::DpmMultistep)
                || arguments.prediction_type == Predicts::Epsilon,
            "variance_type learned: DPM-Solver supports it with prediction_type epsilon only"
        );
        let StepOptions { use_clipped_model_output, churn, tau, .. } = self.options;
        let name = &self.scheduler.name;
        let takes_eta = matches!(class, Class::Ddim | Class::Tcd);
        ensure!(
            (takes_eta || self.eta() == 0.0)
                && (*class == Class::Ddim || !use_clipped_model_output),
            "eta and use_clipped_model_output are arguments of DDIM (TCD has eta), the scheduler is {name}"
        );
        ensure!(
            churn.is_none() || matches!(class, Class::EdmEuler | Class::FlowHeun),
            "s_churn is an argument of EDMEulerScheduler and FlowMatchHeunDiscreteScheduler, the \
             scheduler is {name}"
        );
        ensure!(
            tau.is_none() || *class == Class::SaSolver,
            "tau is an argument of SASolverScheduler, the scheduler is {name}"
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

//! Preconditioned networks of EDM and EDM2: denoised images, losses and sampling trajectories.

use std::cell::RefCell;

use anyhow::{Context, Result, bail, ensure};
use inkdrop_nn::{ClassIds, Conditioning, Mode, TrainableNetwork};
use inkdrop_process::{
    ContinuousConfig, ContinuousObjective, ContinuousProcess, Denoiser, DiffusionProcess, LossType,
    NetworkDenoiser, ObjectiveConfig, Prediction, ProcessError,
};
use inkdrop_sampler::{
    Churn, ClassifierFreeGuidance, Edm, GeneralOde, OdeMethod, OdeScaling, OdeSchedule,
    SamplingSteps, Solver,
};
use inkdrop_schedule::{
    BetaRange, LevelSpacing, NoiseLevel, Preconditioning, SolverStep, iddpm_sigmas, sigmas,
};
use inkdrop_torch::NoiseTape;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ImageSize, ModelConfig};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::recipe::{TrainingLoss, at};
use crate::report::Tolerance;
use crate::unet::{class_ids, network};
use crate::{Case, Comparison};

const TOLERANCE: Tolerance = Tolerance::Scaled(2e-5);

#[derive(Debug, Deserialize)]
struct Config {
    precond: String,
    args: Map<String, Value>,
    /// Arguments of the guiding network.
    gargs: Option<Map<String, Value>>,
    mode: Option<String>,
    #[serde(default)]
    sampler: String,
    #[serde(default)]
    sampler_args: SamplerArguments,
}

impl Config {
    fn mode(&self) -> Mode {
        if self.mode.as_deref() == Some("train") { Mode::Train } else { Mode::Eval }
    }

    fn preconditioning(&self) -> Result<Preconditioning> {
        let sigma_data = self.args.get("sigma_data").and_then(Value::as_f64).unwrap_or(0.5);
        Ok(match self.precond.as_str() {
            "EDMPrecond" | "Precond" => Preconditioning::Edm { sigma_data },
            "VPPrecond" => Preconditioning::Vp(BetaRange::default()),
            "VEPrecond" => Preconditioning::Ve {},
            "iDDPMPrecond" => Preconditioning::Iddpm {},
            other => bail!("unknown preconditioning `{other}`"),
        })
    }

    fn process(&self) -> Result<ContinuousProcess> {
        let config = ContinuousConfig::new(self.preconditioning()?);
        Ok(ContinuousProcess::new(&config, Device::Cpu)?)
    }

    /// The network inside, from the arguments of the preconditioning.
    fn model(&self, case: &Case, args: &Map<String, Value>) -> Result<ModelConfig> {
        let mut args = args.clone();
        args.remove("sigma_data");
        if case.family == "edm2" {
            args.entry("logvar_channels").or_insert(json!(128));
        } else {
            let song = matches!(self.precond.as_str(), "VPPrecond" | "VEPrecond");
            let usual = if song { "SongUNet" } else { "DhariwalUNet" };
            args.entry("model_type").or_insert(json!(usual));
        }
        if self.precond == "iDDPMPrecond"
            && let Some(channels) = args.get("img_channels").and_then(Value::as_i64)
        {
            args.insert("out_channels".into(), json!(2 * channels));
        }
        let model =
            ModelConfig::from_arguments(&case.family, Value::Object(args), ImageSize::square(32));
        model.with_context(|| case.name.clone())
    }

    fn network(
        &self,
        case: &Case,
        args: &Map<String, Value>,
        prefix: &str,
        kind: Kind,
    ) -> Result<Box<dyn TrainableNetwork>> {
        let inner = if case.family == "edm2" { prefix } else { &format!("{prefix}model.") };
        network(&self.model(case, args)?, &case.weights.below(inner), kind)
    }

    /// Classes, or no class where the network knows some and the case gives none, and augmentation labels.
    fn conditioning(&self, case: &Case, kind: Kind, batch: i64) -> Result<Conditioning> {
        let null = self.args.get("label_dim").and_then(Value::as_i64).filter(|&count| count > 0);
        let classes = match (case.weights.get("y"), null) {
            (Some(y), _) => Some(class_ids(y)?),
            (None, Some(null)) => Some(ClassIds::new(&vec![null; batch as usize], Device::Cpu)?),
            (None, None) => None,
        };
        let augment = case.weights.get("augment").map(|labels| labels.to_kind(kind));
        Ok(Conditioning { classes, augment, ..Conditioning::none() })
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(tensor.f_to_kind(Kind::Double)?.f_view([-1])?)?)
}

/// Compares D(x; σ), its gradients, what the network receives, and the uncertainty of EDM2's.
pub(crate) fn check_precond(case: &Case) -> Result<Vec<Comparison>> {
    let config: Config = case.config()?;
    let mut rows = coefficients(case, &config)?;
    for kind in [Kind::Float, Kind::Double] {
        let network = config.network(case, &config.args, "weight:", kind)?;
        let (x, sigma) = (case.tensor("x")?.to_kind(kind), case.tensor("sigma")?);
        let conditioning = config.conditioning(case, kind, x.size()[0])?;
        let (process, mode) = (config.process()?, config.mode());
        let (network, sigmas) = (network.as_ref(), numbers(sigma)?);
        let out = process.denoise_trained(network, &x, &sigmas, &conditioning, mode)?;
        let note = if kind == Kind::Double { " in f64" } else { "" };
        // The original computes in f32: an f64 run differs by its rounding.
        rows.push(case.compare("out", &out, TOLERANCE)?.noted(note));
        let time = sigma.f_log()?.f_mul_scalar(0.25)?;
        let logvar = network.log_variance(&time, mode)?;
        if let Some(logvar) = &logvar {
            let logvar = logvar.f_view([-1, 1, 1, 1])?;
            rows.push(case.compare("logvar", &logvar, TOLERANCE)?.noted(note));
        }
        if kind == Kind::Double {
            continue;
        }
        let ours = |key: &str| network.params().get(key).map(|param| param.tensor.copy());
        rows.extend(case.compare_group("after:", TOLERANCE, |_| true, ours)?);
        let mut sum = out.f_mul(case.tensor("probe")?)?.f_sum(Kind::Float)?;
        if let Some(logvar) = logvar {
            sum = sum.f_add(&logvar.f_sum(Kind::Float)?)?;
        }
        sum.f_backward()?;
        rows.extend(inner_gradients(case, network)?);
    }
    Ok(rows)
}

/// The gradients, whose names have `model.` before them in EDM's cases.
fn inner_gradients(case: &Case, network: &dyn TrainableNetwork) -> Result<Vec<Comparison>> {
    let named = |key: &str| {
        let key = if case.family == "edm" { key.strip_prefix("model.")? } else { key };
        network.params().get(key).map(|param| param.tensor.grad())
    };
    case.compare_gradients_named(network.params(), named)
}

/// Compares the input and the time of the network, and the noise levels that it knows.
fn coefficients(case: &Case, config: &Config) -> Result<Vec<Comparison>> {
    if case.family == "edm2" {
        return Ok(Vec::new());
    }
    let preconditioning = config.preconditioning()?;
    let (x, sigmas) = (case.tensor("x")?, numbers(case.tensor("sigma")?)?);
    let coefs = |&sigma: &f64| {
        let level = preconditioning.level(sigma);
        let coefs = preconditioning.coefs(level);
        (coefs.input * level.signal(), coefs.time)
    };
    let (scales, times): (Vec<f64>, Vec<f64>) = sigmas.iter().map(coefs).unzip();
    let scales = Tensor::f_from_slice(&scales)?.f_to_kind(Kind::Float)?.f_view([-1, 1, 1, 1])?;
    let rounded: Vec<f64> =
        sigmas.iter().map(|&sigma| preconditioning.round_sigma(sigma)).collect();
    let mut rows = vec![
        case.compare("c_in_x", &x.f_mul(&scales)?, TOLERANCE)?,
        case.compare("c_noise", &Tensor::f_from_slice(&times)?, TOLERANCE)?,
        case.compare("sigma_rounded", &Tensor::f_from_slice(&rounded)?, TOLERANCE)?,
    ];
    if case.weights.get("range").is_some() {
        let (min, max) = preconditioning.network_range();
        rows.push(case.compare(
            "range",
            &Tensor::from_slice(&[min, max]),
            Tolerance::Relative(1e-5),
        )?);
    }
    if case.weights.get("u").is_some() {
        rows.extend(iddpm(case, preconditioning)?);
    }
    if case.weights.get("vp_t").is_some() {
        let betas = BetaRange::default();
        let times = numbers(case.tensor("vp_t")?)?;
        let levels: Vec<f64> = times.iter().map(|&t| betas.sigma(t)).collect();
        let inverse: Vec<f64> = levels.iter().map(|&sigma| betas.time_of_sigma(sigma)).collect();
        let close = Tolerance::Relative(1e-9);
        rows.push(case.compare("vp_sigma", &Tensor::f_from_slice(&levels)?, close)?);
        rows.push(case.compare("vp_sigma_inv", &Tensor::f_from_slice(&inverse)?, close)?);
    }
    Ok(rows)
}

/// The 1001 levels of iDDPM, and the nearest ones.
fn iddpm(case: &Case, preconditioning: Preconditioning) -> Result<Vec<Comparison>> {
    let given = numbers(case.tensor("round_in")?)?;
    let rounded: Vec<f64> = given.iter().map(|&sigma| preconditioning.round_sigma(sigma)).collect();
    let levels = iddpm_sigmas();
    let index = |sigma: &f64| levels.iter().position(|&level| f64::from(level) == *sigma);
    let indices: Option<Vec<i64>> =
        rounded.iter().map(|sigma| index(sigma).map(|index| index as i64)).collect();
    let indices = indices.context("a rounded level is none of the levels")?;
    Ok(vec![
        case.compare("u", &Tensor::f_from_slice(&levels)?, TOLERANCE)?,
        case.compare("round_index", &Tensor::f_from_slice(&indices)?, Tolerance::Exact)?,
        case.compare("round_out", &Tensor::f_from_slice(&rounded)?, TOLERANCE)?,
    ])
}

/// Compares the loss of each image and the gradients of its mean.
pub(crate) fn check_loss(case: &Case) -> Result<Vec<Comparison>> {
    let config: Config = case.config()?;
    let mut rows = Vec::new();
    for kind in [Kind::Float, Kind::Double] {
        let network = config.network(case, &config.args, "weight:", kind)?;
        let network = network.as_ref();
        let [x0, noise] = ["x_start", "noise"].map(|key| case.tensor(key));
        let (x0, noise) = (x0?.to_kind(kind), noise?.to_kind(kind));
        let conditioning = config.conditioning(case, kind, x0.size()[0])?;
        let preconditioning = config.preconditioning()?;
        let sigmas = numbers(case.tensor("sigma")?)?;
        let levels: Vec<NoiseLevel> =
            sigmas.iter().map(|&sigma| preconditioning.level(sigma)).collect();
        let uncertain = case.family == "edm2";
        let loss = if uncertain { LossType::Uncertainty } else { LossType::Mse };
        let objective = ObjectiveConfig { loss, ..ObjectiveConfig::default() };
        let objective = ContinuousObjective::new(config.process()?, &objective)?;
        let batch = (&x0, levels.as_slice(), &noise);
        let terms = objective.terms_at(network, batch, &conditioning, Mode::Eval)?;
        // Sums over the values of an image instead of means.
        let values = x0.size()[1..].iter().product::<i64>() as f64;
        let sums = terms.loss.f_mul_scalar(values)?;
        let note = if kind == Kind::Double { " in f64" } else { "" };
        rows.push(case.compare("term:loss", &sums, TOLERANCE)?.noted(note));
        if kind == Kind::Float {
            sums.f_mean(Kind::Float)?.f_backward()?;
            rows.extend(inner_gradients(case, network)?);
        }
    }
    rows.push(draws(case, &config)?);
    Ok(rows)
}

/// The loss of EDM's training, without labels: the sum over the values of an image, averaged over the images.
pub(crate) fn training_loss(case: &Case) -> Result<TrainingLoss<'_>> {
    let config: Config = case.config()?;
    let model = config.model(case, &config.args)?;
    let preconditioning = config.preconditioning()?;
    let objective = ContinuousObjective::new(config.process()?, &ObjectiveConfig::default())?;
    let of = move |network: &dyn TrainableNetwork, step: i64| {
        let [x0, sigmas, noise] = ["x_start", "sigma", "noise"].map(|key| at(case, key, step));
        let (x0, sigmas, noise) = (x0?, numbers(&sigmas?)?, noise?);
        let levels: Vec<NoiseLevel> =
            sigmas.iter().map(|&sigma| preconditioning.level(sigma)).collect();
        let batch = (&x0, levels.as_slice(), &noise);
        let terms = objective.terms_at(network, batch, &Conditioning::none(), Mode::Train)?;
        let values = x0.size()[1..].iter().product::<i64>() as f64;
        Ok(terms.loss.f_mean(Kind::Float)?.f_mul_scalar(values)?)
    };
    Ok(TrainingLoss { model, of: Box::new(of) })
}

/// Compares the noise levels with those of the recorded draws.
fn draws(case: &Case, config: &Config) -> Result<Comparison> {
    let draws = numbers(case.tensor("rnd")?)?;
    let level = |&draw: &f64| match config.precond.as_str() {
        "VPPrecond" => BetaRange::default().sigma(1.0 + draw * (1e-5 - 1.0)),
        "VEPrecond" => 0.02 * (100.0f64 / 0.02).powf(draw),
        "Precond" => (-0.4 + draw).exp(),
        _ => (-1.2 + 1.2 * draw).exp(),
    };
    let levels: Vec<f64> = draws.iter().map(level).collect();
    case.compare("sigma", &Tensor::f_from_slice(&levels)?, TOLERANCE)
}

/// Arguments of `edm_sampler` and `ablation_sampler`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SamplerArguments {
    num_steps: usize,
    sigma_min: Option<f64>,
    sigma_max: Option<f64>,
    rho: f64,
    #[serde(rename = "S_churn")]
    churn: f64,
    #[serde(rename = "S_min")]
    min: f64,
    #[serde(rename = "S_max")]
    max: f64,
    #[serde(rename = "S_noise")]
    noise: f64,
    guidance: f64,
    dtype: String,
    solver: String,
    discretization: String,
    schedule: String,
    scaling: String,
    alpha: f64,
}

impl Default for SamplerArguments {
    fn default() -> Self {
        Self {
            num_steps: 18,
            sigma_min: None,
            sigma_max: None,
            rho: 7.0,
            churn: 0.0,
            min: 0.0,
            max: f64::MAX,
            noise: 1.0,
            guidance: 1.0,
            dtype: String::new(),
            solver: "heun".into(),
            discretization: "edm".into(),
            schedule: "linear".into(),
            scaling: "none".into(),
            alpha: 1.0,
        }
    }
}

/// The last time of the variance-preserving process in EDM's ablations.
const EPS_S: f64 = 1e-3;

impl SamplerArguments {
    fn churn(&self) -> Churn {
        Churn { churn: self.churn, min: self.min, max: self.max, noise: self.noise }
    }

    /// The range of the noise levels, within that of the network.
    fn range(&self, config: &Config) -> Result<(f64, f64)> {
        let usual = match self.discretization.as_str() {
            "vp" => {
                let betas = BetaRange::default();
                (betas.sigma(EPS_S), betas.sigma(1.0))
            }
            "ve" => (0.02, 100.0),
            "edm" => (0.002, 80.0),
            other => bail!("discretization {other}"),
        };
        let (low, high) = match config.precond.as_str() {
            "Precond" => (0.0, f64::INFINITY),
            _ => config.preconditioning()?.network_range(),
        };
        let (min, max) = (self.sigma_min.unwrap_or(usual.0), self.sigma_max.unwrap_or(usual.1));
        Ok((min.max(low), max.min(high)))
    }

    fn betas(range: (f64, f64)) -> BetaRange {
        BetaRange::of_range(range.0, range.1, EPS_S)
    }

    fn levels(&self, range: (f64, f64)) -> Result<Vec<f64>> {
        let ((min, max), steps) = (range, self.num_steps);
        Ok(match self.discretization.as_str() {
            "vp" => {
                let BetaRange { beta_d, beta_min } = Self::betas(range);
                sigmas::vp(steps, beta_d, beta_min, EPS_S)?
            }
            "ve" => sigmas::exponential(steps, min, max)?,
            _ => sigmas::karras(steps, min, max, self.rho)?,
        }
        .to_vec())
    }

    fn solver<'a>(
        &self,
        name: &str,
        range: (f64, f64),
        process: &'a ContinuousProcess,
    ) -> Result<Box<dyn Solver + 'a>> {
        if name == "edm_sampler" {
            return Ok(Box::new(Edm::new(process.noise_levels(), self.churn())?));
        }
        let schedule = match self.schedule.as_str() {
            "vp" => OdeSchedule::Vp(Self::betas(range)),
            "ve" => OdeSchedule::Ve,
            "linear" => OdeSchedule::Linear,
            other => bail!("schedule {other}"),
        };
        let scaling = match self.scaling.as_str() {
            "vp" => OdeScaling::Vp,
            "none" => OdeScaling::None,
            other => bail!("scaling {other}"),
        };
        let method = match self.solver.as_str() {
            "heun" => OdeMethod::SecondOrder(self.alpha),
            "euler" => OdeMethod::Euler,
            other => bail!("solver {other}"),
        };
        let solver = GeneralOde::new(process.noise_levels(), schedule, scaling, method)?;
        Ok(Box::new(solver.with_churn(self.churn())?))
    }
}

/// Records what a denoiser is called with, in the coordinates x0 + σ·ε.
struct Recorded<D> {
    denoiser: D,
    calls: RefCell<Vec<(f64, Tensor)>>,
}

impl<D: Denoiser> Denoiser for Recorded<D> {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let plain = x.f_div_scalar(step.from.signal()).map_err(inkdrop_torch::TorchError::from)?;
        self.calls.borrow_mut().push((step.from.sigma(), plain));
        self.denoiser.denoise(x, step)
    }
}

/// Compares a sampling trajectory with every call of the network.
pub(crate) fn check_chain(case: &Case) -> Result<Vec<Comparison>> {
    let config: Config = case.config()?;
    let mut rows = Vec::new();
    for kind in [Kind::Float, Kind::Double] {
        let note = if kind == Kind::Double { " in f64" } else { "" };
        let chain = Chain::run(case, &config, kind)?;
        let tolerance = Tolerance::Scaled(1e-4);
        for (key, ours) in
            [("sigma_calls", &chain.sigmas), ("x_calls", &chain.calls), ("sample", &chain.sample)]
        {
            rows.push(case.compare(key, ours, tolerance)?.noted(note));
        }
        // The image before each step that draws.
        if let Some(expected) = case.weights.get("x_cur") {
            let ours = chain.states.f_index_select(0, &Tensor::f_from_slice(&chain.drawing)?)?;
            ensure!(expected.size() == ours.size(), "{}: x_cur", case.name);
            rows.push(case.compare("x_cur", &ours, tolerance)?.noted(note));
        }
    }
    Ok(rows)
}

struct Chain {
    sigmas: Tensor,
    calls: Tensor,
    sample: Tensor,
    /// x before each step.
    states: Tensor,
    /// The steps in which the original draws noise.
    drawing: Vec<i64>,
}

impl Chain {
    fn run(case: &Case, config: &Config, kind: Kind) -> Result<Self> {
        let arguments = &config.sampler_args;
        let process = config.process()?;
        let network = config.network(case, &config.args, "weight:", kind)?;
        let latents = case.tensor("latents")?.to_kind(kind);
        let conditioning = || config.conditioning(case, kind, latents.size()[0]);
        let range = arguments.range(config)?;
        let levels = arguments.levels(range)?;
        let schedule = process.spaced(&LevelSpacing::Sigmas(levels.clone()))?;
        let denoiser = NetworkDenoiser::new(&process, network.as_ref(), conditioning()?);
        let denoiser = Recorded { denoiser, calls: RefCell::default() };
        let guide = config.gargs.as_ref();
        let guide = guide.map(|args| config.network(case, args, "gweight:", kind)).transpose()?;
        let guided: Box<dyn Denoiser + '_> = match &guide {
            Some(guide) => {
                let guide = NetworkDenoiser::new(&process, guide.as_ref(), conditioning()?);
                let scale = arguments.guidance;
                Box::new(ClassifierFreeGuidance::new(&denoiser, guide, scale))
            }
            None => Box::new(&denoiser),
        };
        let (noise, drawing) = arguments.tape(case, config, &schedule_sigmas(&schedule))?;
        let start = schedule.steps()[0].from;
        let x = latents.f_mul_scalar(start.sigma() * start.signal())?;
        let solver = arguments.solver(&config.sampler, range, &process)?;
        let mut states = vec![plain(&x, start, config)?];
        let mut last = x.shallow_clone();
        let steps = schedule.steps().to_vec();
        for state in SamplingSteps::new(guided, solver, &schedule, x, noise) {
            let state = state?;
            states.push(plain(&state.x, steps[state.index].to, config)?);
            last = state.x;
        }
        let calls = denoiser.calls.into_inner();
        let sigmas: Vec<f64> = calls.iter().map(|(sigma, _)| *sigma).collect();
        let calls: Vec<Tensor> = calls.into_iter().map(|(_, x)| x).collect();
        Ok(Self {
            sigmas: Tensor::f_from_slice(&sigmas)?,
            calls: Tensor::f_stack(&calls, 0)?,
            sample: last,
            states: Tensor::f_stack(&states, 0)?,
            drawing,
        })
    }
}

/// The scaling s of the original's x at a noise level.
fn scale(config: &Config, sigma: f64) -> f64 {
    if config.sampler_args.scaling == "vp" { 1.0 / sigma.hypot(1.0) } else { 1.0 }
}

/// x of unit variance as the original has it, s·(x0 + σ·ε).
fn plain(x: &Tensor, level: NoiseLevel, config: &Config) -> Result<Tensor> {
    Ok(x.f_mul_scalar(scale(config, level.sigma()) / level.signal())?)
}

fn schedule_sigmas(schedule: &inkdrop_schedule::SamplingSchedule) -> Vec<f64> {
    schedule.steps().iter().map(|step| step.from.sigma()).collect()
}

impl SamplerArguments {
    /// The recorded noise that is used, and the steps in which the original draws: EDM's samplers draw in every
    /// step, also where they add nothing.
    fn tape(&self, case: &Case, config: &Config, levels: &[f64]) -> Result<(NoiseTape, Vec<i64>)> {
        let adds = |&sigma: &f64| self.churn().gamma(sigma, levels.len()) > 0.0;
        let adding: Vec<i64> =
            (0..levels.len()).filter(|&i| adds(&levels[i])).map(|i| i as i64).collect();
        let draws = case.tensor("noise_tape")?;
        if config.precond == "Precond" {
            return Ok((NoiseTape::new(draws.shallow_clone()), adding));
        }
        let used = draws.f_index_select(0, &Tensor::f_from_slice(&adding)?)?;
        Ok((NoiseTape::new(used), (0..levels.len() as i64).collect()))
    }
}

//! Processes of continuous noise levels.

use inkdrop_nn::{
    CompileOptions, Conditioning, Mode, Network, NetworkError, Params, TrainableNetwork,
};
use inkdrop_process::{
    ContinuousConfig, ContinuousObjective, ContinuousProcess, Denoiser, DiffusionConfig,
    DiffusionProcess, LossType, NetworkDenoiser, ObjectiveConfig, TrainingObjective, Weighting,
};
use inkdrop_schedule::{
    BetaRange, FlowPath, LevelSpacing, NoiseDistribution, NoiseLevel, Preconditioning, SolverStep,
};
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::support::{F64, largest};

const BETAS: BetaRange = BetaRange { beta_d: 19.9, beta_min: 0.1 };

const ALL: [Preconditioning; 8] = [
    Preconditioning::Edm { sigma_data: 0.5 },
    Preconditioning::EdmVelocity { sigma_data: 0.5 },
    Preconditioning::Vp(BETAS),
    Preconditioning::Ve {},
    Preconditioning::Flow { path: FlowPath::Linear, time_scale: 1000.0 },
    Preconditioning::Flow { path: FlowPath::Cosine, time_scale: 1.0 },
    Preconditioning::Flow { path: FlowPath::Vp(BETAS), time_scale: 1.0 },
    Preconditioning::TrigFlow { sigma_data: 0.5 },
];

/// Data N(MEAN, VARIANCE) in every pixel.
const MEAN: f64 = 0.3;
const VARIANCE: f64 = 0.25;

/// The network with D(x; σ) = E[x0 | x] for that data.
#[derive(Debug)]
struct Oracle {
    preconditioning: Preconditioning,
    params: Params,
}

impl Oracle {
    fn new(preconditioning: Preconditioning) -> Self {
        Self { preconditioning, params: Params::new(Kind::Double, Device::Cpu) }
    }

    /// The σ at which the network receives a time, by bisection.
    fn sigma(&self, time: f64) -> f64 {
        let (mut low, mut high) = (1e-6f64, 1e6f64);
        for _ in 0..200 {
            let middle = (low * high).sqrt();
            match self.preconditioning.level(middle).timestep < time {
                true => low = middle,
                false => high = middle,
            }
        }
        low
    }
}

impl TrainableNetwork for Oracle {
    fn forward_mode(
        &self,
        input: &Tensor,
        t: &Tensor,
        _: &Conditioning,
        _: Mode,
    ) -> Result<Tensor, NetworkError> {
        let rows = (0..input.size()[0]).map(|row| {
            let time = t.to_kind(Kind::Double).double_value(&[row]);
            let level = self.preconditioning.level(self.sigma(time));
            let coefs = self.preconditioning.coefs(level);
            let x = input.get(row) / coefs.input;
            let (a, b2) = (level.signal(), 1.0 - level.alpha_cumprod);
            let gain = a * VARIANCE / (a * a * VARIANCE + b2);
            let x0 = (&x - a * MEAN) * gain + MEAN;
            (x0 - x * coefs.skip) / coefs.output
        });
        Ok(Tensor::stack(&rows.collect::<Vec<_>>(), 0))
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn compile(&self, options: &CompileOptions) -> Result<Box<dyn Network>, NetworkError> {
        Ok(options.finish(Self::new(self.preconditioning)))
    }
}

fn process(preconditioning: Preconditioning) -> ContinuousProcess {
    ContinuousProcess::new(&ContinuousConfig::new(preconditioning), Device::Cpu).unwrap()
}

/// Guidance acts on what the network predicts, up to a factor, and the prediction follows from it.
#[test]
fn the_output_of_a_flow_is_its_velocity() {
    let x = Tensor::randn([1, 2, 4, 4], F64);
    for preconditioning in ALL {
        let flow = matches!(
            preconditioning,
            Preconditioning::Flow { .. } | Preconditioning::TrigFlow { .. }
        );
        for sigma in [0.05, 1.0, 20.0] {
            let (oracle, process) = (Oracle::new(preconditioning), process(preconditioning));
            let level = preconditioning.level(sigma);
            let step = SolverStep::new(level, NoiseLevel::NOISELESS);
            let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
            let found = denoiser.denoise(&x, &step).unwrap();
            let (output, what) = (process.network_output(), format!("{preconditioning:?} {sigma}"));
            let value = found.output(output, &step).unwrap();
            if flow {
                let coefs = preconditioning.coefs(level);
                let raw = (&found.x0 - &x * coefs.skip) / coefs.output;
                let product = (&value * &raw).sum(Kind::Double);
                let parallel = product / (value.norm() * raw.norm());
                assert!(parallel.double_value(&[]) > 1.0 - 1e-9, "{what}: {parallel}");
            }
            let x0 = found.x0.shallow_clone();
            let again = found.with_output(output, value, &x, &step).unwrap();
            assert!(largest(&(again.x0 - x0)) < 1e-9, "{what}");
        }
    }
}

/// All preconditionings of the best denoiser predict E[x0 | x] and the noise that goes with it.
#[test]
fn preconditionings_of_one_denoiser_agree() {
    let x = Tensor::randn([3, 2, 4, 4], F64);
    for sigma in [0.05, 1.0, 20.0] {
        for preconditioning in ALL {
            let (oracle, process) = (Oracle::new(preconditioning), process(preconditioning));
            let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
            let level = preconditioning.level(sigma);
            let step = SolverStep::new(level, NoiseLevel::NOISELESS);
            let found = denoiser.denoise(&x, &step).unwrap();
            let (a, b2) = (level.signal(), 1.0 - level.alpha_cumprod);
            let gain = a * VARIANCE / (a * a * VARIANCE + b2);
            let x0 = (&x - a * MEAN) * gain + MEAN;
            let what = format!("{preconditioning:?} at {sigma}");
            // The network receives its time in f32.
            assert!(largest(&(&found.x0 - &x0)) < 1e-5, "{what}");
            let sum = &found.x0 * a + &found.eps * level.noise();
            assert!(largest(&(sum - &x)) < 1e-9, "{what}");
        }
    }
}

/// At its minimum, the loss of F is Var[x0 | x]/c_out², whatever the weighting multiplies it by.
#[test]
fn the_best_denoiser_has_the_loss_of_the_posterior_variance() {
    let (images, pixels) = (64i64, 64i64);
    let sigma = 0.7;
    for preconditioning in ALL {
        let level = preconditioning.level(sigma);
        let _seed = inkdrop_torch::DefaultGenerator::seeded(3);
        let x0 = Tensor::randn([images, 1, 1, pixels], F64) * VARIANCE.sqrt() + MEAN;
        let noise = Tensor::randn([images, 1, 1, pixels], F64);
        let levels = vec![level; images as usize];
        let output = preconditioning.coefs(level).output;
        let posterior = VARIANCE * sigma * sigma / (VARIANCE + sigma * sigma);
        let snr = sigma.powi(-2);
        for (weighting, weight) in [
            (Weighting::None, 1.0),
            (Weighting::MinSnr { gamma: 0.5 }, 0.5 * output * output),
            (Weighting::SoftMinSnr { gamma: 2.0 }, snr / (1.0 + snr / 2.0) * output * output),
            (Weighting::P2 { gamma: 1.0, k: 1.0 }, snr / (1.0 + snr) * output * output),
        ] {
            let config = ObjectiveConfig { weighting, ..ObjectiveConfig::default() };
            let objective = ContinuousObjective::new(process(preconditioning), &config).unwrap();
            let oracle = Oracle::new(preconditioning);
            let none = Conditioning::none();
            let terms = objective.terms_at(&oracle, (&x0, &levels, &noise), &none, Mode::Train);
            let loss = terms.unwrap().loss.mean(Kind::Double).double_value(&[]);
            let expected = posterior / (output * output) * weight;
            // 4096 draws of a squared normal: relative standard deviation √(2/4096) = 0.022.
            assert!((loss / expected - 1.0).abs() < 0.09, "{preconditioning:?} {weighting:?}");
        }
    }
}

/// EDM's loss is λ(σ)·(D(x; σ) − x0)² with λ = (σ² + σ_data²)/(σ·σ_data)² (Karras et al. 2022, eq. 8).
#[test]
fn edm_weighs_the_error_of_the_image() {
    let preconditioning = Preconditioning::Edm { sigma_data: 0.5 };
    let process = process(preconditioning);
    let objective = ContinuousObjective::new(process, &ObjectiveConfig::default()).unwrap();
    let (x0, noise) = (Tensor::rand([3, 1, 2, 2], F64), Tensor::randn([3, 1, 2, 2], F64));
    let sigmas = [0.01f64, 0.4, 30.0];
    let levels = sigmas.map(|sigma| preconditioning.level(sigma));
    let oracle = Oracle::new(preconditioning);
    let none = Conditioning::none();
    let terms = objective.terms_at(&oracle, (&x0, &levels, &noise), &none, Mode::Train).unwrap();
    for (row, level) in levels.iter().enumerate() {
        let sigma = sigmas[row];
        let x = x0.get(row as i64) * level.signal() + noise.get(row as i64) * level.noise();
        let step = SolverStep::new(*level, NoiseLevel::NOISELESS);
        let denoiser = NetworkDenoiser::new(&process, &oracle, Conditioning::none());
        let found = denoiser.denoise(&x.unsqueeze(0), &step).unwrap().x0.squeeze_dim(0);
        let weight = (sigma * sigma + 0.25) / (sigma * 0.5).powi(2);
        let expected = (found - x0.get(row as i64)).square().mean(Kind::Double) * weight;
        let relative = terms.loss.double_value(&[row as i64]) / expected.double_value(&[]);
        assert!((relative - 1.0).abs() < 1e-4, "σ {sigma}: {relative}");
    }
}

/// Quantiles of the trainer's draws are those of the distribution.
#[test]
fn training_levels_follow_the_distribution() {
    let objective = |config| ContinuousObjective::new(process(ALL[0]), &config).unwrap();
    let objective = objective(ObjectiveConfig::default());
    let levels = process(ALL[0]).training_levels() as i64;
    let middle = objective.level(levels / 2).sigma();
    assert!((middle / (-1.2f64).exp() - 1.0).abs() < 1e-6);
    let (first, last) = (objective.level(0).sigma(), objective.level(levels - 1).sigma());
    assert!(first > 4e-4 && first < 1e-3 && last > 100.0 && last < 300.0, "{first} {last}");
}

#[test]
fn trained_levels_and_given_levels_have_the_same_loss() {
    let objective = ContinuousObjective::new(process(ALL[4]), &ObjectiveConfig::default()).unwrap();
    let (x0, noise) = (Tensor::rand([2, 1, 2, 2], F64), Tensor::randn([2, 1, 2, 2], F64));
    let (oracle, none) = (Oracle::new(ALL[4]), Conditioning::none());
    let t = Tensor::from_slice(&[1_000_000i64, 9_000_000]);
    let levels = [objective.level(1_000_000), objective.level(9_000_000)];
    let drawn = objective.terms(&oracle, (&x0, &t, &noise), &none, Mode::Eval).unwrap().loss;
    let given = objective.terms_at(&oracle, (&x0, &levels, &noise), &none, Mode::Eval);
    assert_eq!(drawn, given.unwrap().loss);
}

#[test]
fn schedules_run_from_the_largest_to_the_smallest_noise() {
    let spaced = |preconditioning, text: &str| {
        let spacing: LevelSpacing = text.parse().unwrap();
        process(preconditioning).spaced(&spacing)
    };
    let edm = spaced(ALL[0], "karras18").unwrap();
    assert_eq!(edm.len(), 18);
    let first = edm.steps()[0].from;
    assert!((first.sigma() / 80.0 - 1.0).abs() < 1e-9);
    assert!((first.timestep - 80f64.ln() / 4.0).abs() < 1e-9);
    assert!((edm.steps()[17].from.sigma() / 0.002 - 1.0).abs() < 1e-6);
    let flow = spaced(ALL[4], "flow4").unwrap();
    let times: Vec<f64> = flow.steps().iter().map(|step| step.from.timestep).collect();
    for (time, expected) in times.iter().zip([1000.0, 750.0, 500.0, 250.0]) {
        assert!((time - expected).abs() < 1e-9, "{times:?}");
    }
    let shifted = spaced(ALL[4], "flow4:3").unwrap();
    assert!((shifted.steps()[2].from.timestep - 750.0).abs() < 1e-9);
    let error = spaced(ALL[0], "trailing20").unwrap_err().to_string();
    assert!(error.contains("counts timesteps"), "{error}");
}

#[test]
fn configs_are_read_and_written() {
    let read = |text: &str| serde_json::from_str::<DiffusionConfig>(text);
    let edm = read(r#"{"preconditioning": {"name": "edm"}, "sigma_max": 40.0}"#).unwrap();
    let DiffusionConfig::Continuous(config) = &edm else { panic!("{edm:?}") };
    assert_eq!(config.preconditioning, Preconditioning::Edm { sigma_data: 0.5 });
    assert_eq!(config.sigma_range(), (0.002, 40.0));
    let text = serde_json::to_string(&edm).unwrap();
    assert_eq!(read(&text).unwrap(), edm);
    let flow = r#"{"preconditioning": {"name": "flow", "path": {"vp": {}}, "time_scale": 1.0}}"#;
    assert_eq!(read(flow).unwrap(), ContinuousConfig::new(ALL[6]).into());
    for preconditioning in ALL {
        let config: DiffusionConfig = ContinuousConfig::new(preconditioning).into();
        assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }
    let schedule = r#"{"schedule": {"name": "linear", "steps": 10}, "time": "index", "variance": "fixed-small""#;
    assert!(read(&format!("{schedule}}}")).unwrap().timesteps().is_some());
    for (text, problem) in [
        (format!("{schedule}, \"sigma_min\": 1.0}}"), "sigma_min"),
        (r#"{"preconditioning": {"name": "edm"}, "time": "index"}"#.into(), "time"),
        (r#"{"preconditioning": {"name": "edm", "sigma": 1.0}}"#.into(), "sigma"),
        (r#"{"preconditioning": {"name": "edn"}}"#.into(), "edn"),
        (r#"{"time": "index", "variance": "fixed-small"}"#.into(), "schedule"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let built = |config: ContinuousConfig| ContinuousProcess::new(&config, Device::Cpu).map(drop);
    let edm = ContinuousConfig::new(ALL[0]);
    let bad = Preconditioning::Edm { sigma_data: 0.0 };
    for (config, name) in [
        (ContinuousConfig::new(bad), "sigma_data"),
        (ContinuousConfig { sigma_min: Some(f64::NAN), ..edm }, "sigma_min"),
        (ContinuousConfig { sigma_max: Some(f64::INFINITY), ..edm }, "sigma_max"),
        (ContinuousConfig { sigma_min: Some(90.0), ..edm }, "sigma_min"),
    ] {
        let error = built(config).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let objective = |config| process(ALL[0]).objective(&config).map(drop);
    let default = ObjectiveConfig::default();
    let bad = NoiseDistribution::LogNormal { mean: 0.0, std: -1.0 };
    for (config, name) in [
        (ObjectiveConfig { loss: LossType::Kl, ..default }, "timesteps"),
        (ObjectiveConfig { weighting: Weighting::MinSnr { gamma: 0.0 }, ..default }, "gamma"),
        (ObjectiveConfig { loss: LossType::Huber { delta: -1.0 }, ..default }, "delta"),
        (ObjectiveConfig { noise_distribution: Some(bad), ..default }, "std"),
    ] {
        let error = objective(config).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

/// A consistency model is the identity at σ_min, so no step starts there.
#[test]
fn consistency_models_end_before_their_smallest_noise() {
    let consistency =
        Preconditioning::Consistency { sigma_data: 0.5, sigma_min: 0.002, time_scale: 1000.0 };
    let coefs = consistency.coefs(consistency.level(0.002));
    assert!((coefs.skip - 1.0).abs() < 1e-5 && coefs.output.abs() < 1e-12, "{coefs:?}");
    let spaced = |text: &str| process(consistency).spaced(&text.parse().unwrap()).unwrap();
    let sigmas = |text: &str| -> Vec<f64> {
        spaced(text).steps().iter().map(|step| step.from.sigma()).collect()
    };
    assert!((sigmas("karras1")[0] / 80.0 - 1.0).abs() < 1e-9);
    let two = sigmas("karras2");
    assert!((two[0] / 80.0 - 1.0).abs() < 1e-9 && (2.0..3.0).contains(&two[1]), "{two:?}");
}

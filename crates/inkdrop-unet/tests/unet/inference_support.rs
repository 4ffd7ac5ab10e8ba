//! Networks with no weight at 0 or 1 by chance, inputs of every sort, and the tolerance between a
//! compiled network and the trained one.
//!
//! The numbers are made by a formula, so that a difference found is found again.

use inkdrop_nn::{ClassIds, CompileOptions, Conditioning, Network, Role, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::ModelConfig;

/// How far apart both may be in f32, in units of the largest number of the output or of 1.
pub const NEAR: f64 = 2e-5;

/// Inputs of one pass.
#[derive(Debug)]
pub struct Given {
    /// For people.
    pub name: String,
    pub x: Tensor,
    pub t: Tensor,
    pub conditioning: Conditioning,
}

/// How x lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Ordinary,
    ChannelsLast,
    Narrowed,
}

pub const LAYOUTS: [Layout; 3] = [Layout::Ordinary, Layout::ChannelsLast, Layout::Narrowed];

/// Numbers between −√3 and √3, of variance 1, in f64: the same ones for the same seed.
pub fn noise(shape: &[i64], seed: usize) -> Tensor {
    let count = shape.iter().product::<i64>();
    let places = Tensor::arange(count, (Kind::Double, Device::Cpu)) + 0.37 * (seed as f64 + 1.0);
    let numbers: Tensor = (places * 12.9898).sin() * 43_758.545_3;
    let shares = &numbers - numbers.floor();
    ((shares - 0.5) * 12f64.sqrt()).view(shape)
}

/// Writes numbers into every weight and every statistic: no layer is zero, no norm is even.
pub fn uneven(network: &dyn TrainableNetwork) {
    let _guard = no_grad_guard();
    // Where nothing is normalised, numbers would grow until attention sees one place only.
    let normed = |name: &str| name.contains("norm") || name.ends_with("running_mean");
    let gain = if network.params().names().any(normed) { 1.0 } else { 0.6 };
    for (seed, param) in network.params().iter().enumerate() {
        let shape = param.tensor.size();
        let noise = || noise(&shape, seed);
        let new = match (param.role, shape.len()) {
            (Role::Buffer, 0) => Tensor::from(7i64),
            (Role::Buffer, _) if param.name.ends_with("running_var") => {
                noise().square() * 3.0 + 0.8
            }
            (Role::Buffer, _) => noise() * 0.5,
            (Role::Trained, 0 | 1) if param.name.ends_with(".weight") => noise() * 0.4 + 1.0,
            (Role::Trained, 0 | 1) => noise() * 0.4,
            (Role::Trained, _) => {
                noise() * gain / (shape[1..].iter().product::<i64>() as f64).sqrt()
            }
        };
        param.tensor.shallow_clone().copy_(&new);
    }
}

/// An uneven network.
pub fn network(config: &ModelConfig, kind: Kind) -> Box<dyn TrainableNetwork> {
    let network = config.build(kind, Device::Cpu).unwrap();
    uneven(network.as_ref());
    network
}

/// The shape of x for a batch.
pub fn shape(config: &ModelConfig, batch: i64) -> Vec<i64> {
    let [channels, height, width] = config.image_shape();
    match config {
        ModelConfig::Improved(config) if config.dims == 1 => vec![batch, channels, width],
        ModelConfig::Lucid(config) if config.dims == 1 => vec![batch, channels, width],
        ModelConfig::Improved(config) if config.dims == 3 => {
            vec![batch, channels, 3, height, width]
        }
        _ => vec![batch, channels, height, width],
    }
}

/// The same numbers, lying otherwise.
pub fn lay(x: &Tensor, layout: Layout) -> Tensor {
    match layout {
        Layout::Ordinary => x.shallow_clone(),
        Layout::ChannelsLast => x.movedim_int(1, -1).contiguous().movedim_int(-1, 1),
        Layout::Narrowed => {
            let mut wide = x.size();
            *wide.last_mut().unwrap() += 3;
            let wide = Tensor::full(&wide[..], 99.0, (x.kind(), x.device()));
            let mut view = wide.narrow(-1, 2, *x.size().last().unwrap());
            view.copy_(x);
            assert!(!view.is_contiguous() || x.size()[..2].iter().product::<i64>() < 2);
            view
        }
    }
}

/// Times in the units of the network.
pub fn times(config: &ModelConfig, times: &[f64]) -> Tensor {
    match config {
        ModelConfig::Context(_) => {
            Tensor::from_slice(times).f_div_scalar(1000.0).unwrap().to_kind(Kind::Float)
        }
        // ¼·ln σ of noise levels, which need not be whole numbers.
        ModelConfig::Edm(_) | ModelConfig::Edm2(_) => {
            Tensor::from_slice(times).f_div_scalar(700.0).unwrap().to_kind(Kind::Float)
        }
        _ => Tensor::from_slice(times).to_kind(Kind::Int64),
    }
}

/// Inputs of this shape at these times and, where the network knows any, of these classes.
pub fn given(config: &ModelConfig, shape: &[i64], at: &[f64], classes: &[i64]) -> Given {
    let mut small = shape.to_vec();
    let axes = small.len();
    for axis in &mut small[axes.saturating_sub(2).max(2)..] {
        *axis = (*axis / 4).max(1);
    }
    let low_res = matches!(config, ModelConfig::ImprovedSuperRes(_));
    let takes_interval = !config.interval_keys().is_empty();
    let conditioning = Conditioning {
        context: None,
        classes: config.classes().map(|_| ClassIds::new(classes, Device::Cpu).unwrap()),
        low_res: low_res.then(|| noise(&small, 500).to_kind(Kind::Float)),
        interval: takes_interval
            .then(|| at.iter().map(|time| (time / 2000.0) as f32).collect::<Vec<_>>())
            .map(|lengths| Tensor::from_slice(&lengths)),
        self_condition: config.self_condition().then(|| noise(shape, 600).to_kind(Kind::Float)),
        ..Conditioning::none()
    };
    let (x, t) = (noise(shape, 1000).to_kind(Kind::Float), times(config, at));
    Given { name: format!("x {shape:?}, t {at:?}, classes {classes:?}"), x, t, conditioning }
}

/// The same inputs with x in another layout.
pub fn laid(given: Given, layout: Layout) -> Given {
    Given { name: format!("{}, {layout:?}", given.name), x: lay(&given.x, layout), ..given }
}

/// The same inputs in the kind of a network.
pub fn in_kind(given: Given, kind: Kind) -> Given {
    let cast = |tensor: &Option<Tensor>| tensor.as_ref().map(|tensor| tensor.to_kind(kind));
    let conditioning = Conditioning {
        context: cast(&given.conditioning.context),
        low_res: cast(&given.conditioning.low_res),
        self_condition: cast(&given.conditioning.self_condition),
        augment: cast(&given.conditioning.augment),
        ..given.conditioning
    };
    Given { x: given.x.to_kind(kind), conditioning, ..given }
}

/// Batches of one and of three; times and classes in common and mixed; contexts of all sorts.
pub fn sorts(config: &ModelConfig) -> Vec<Given> {
    let mut all = vec![given(config, &shape(config, 1), &[500.0], &[2])];
    for at in [[500.0; 3], [3.0, 999.0, 40.0]] {
        for classes in [[3; 3], [0, 3, 1]] {
            if config.classes().is_some() || classes == [3; 3] {
                all.push(given(config, &shape(config, 3), &at, &classes));
            }
        }
    }
    if let ModelConfig::Context(context) = config {
        let mut with = Vec::new();
        for Given { name, x, t, conditioning } in &all {
            let batch = x.size()[0];
            let rows = noise(&[batch, context.contexts], 77).to_kind(Kind::Float);
            let equal = rows.narrow(0, 0, 1).repeat([batch, 1]);
            for (sort, rows) in [("mixed", rows), ("equal", equal)] {
                let (x, t) = (x.shallow_clone(), t.shallow_clone());
                let name = format!("{name}, {sort} contexts");
                let conditioning =
                    Conditioning { context: Some(rows), ..conditioning.shallow_clone() };
                with.push(Given { name, x, t, conditioning });
            }
        }
        all.extend(with);
    }
    all
}

pub fn pass(network: &dyn Network, given: &Given) -> Tensor {
    let _guard = no_grad_guard();
    network.forward(&given.x, &given.t, &given.conditioning).unwrap()
}

pub fn largest(x: &Tensor) -> f64 {
    if x.numel() == 0 { 0.0 } else { f64::try_from(x.abs().max().to_kind(Kind::Double)).unwrap() }
}

/// Whether both give the same within `bound`, in units of the largest number of the output or of 1.
#[track_caller]
pub fn check(
    config: &ModelConfig,
    (trained, ready): (&dyn Network, &dyn Network),
    given: &Given,
    bound: f64,
) {
    let (expected, out) = (pass(trained, given), pass(ready, given));
    assert_eq!((out.size(), out.kind()), (expected.size(), expected.kind()));
    let (spread, error) = (largest(&expected), largest(&(&out - &expected)));
    assert!(spread > 0.05 && spread < 1e3, "{spread} proves little: {config:?}");
    let near = error <= bound * spread.max(1.0); // false for NaN
    assert!(near, "{error:e} of {spread}: {}\n{config:?}", given.name);
}

/// The same for all sorts of inputs, with and without packing; in f32.
#[track_caller]
pub fn check_all(config: &ModelConfig, layouts: &[Layout]) {
    let trained = network(config, Kind::Float);
    for pack in [true, false] {
        let options = CompileOptions { pack, ..CompileOptions::default() };
        let ready = trained.compile(&options).unwrap();
        for layout in layouts {
            for given in sorts(config) {
                let mut given = laid(given, *layout);
                given.name += if pack { ", packed" } else { ", not packed" };
                check(config, (trained.as_ref(), ready.as_ref()), &given, NEAR);
            }
        }
    }
}

//! Diffusion on one page: a denoiser, its training, and three samplers, for points on a spiral.
//!
//! The equations are those of Karras et al. 2022 (arXiv 2206.00364). It trains for half a minute and draws
//! data and samples: `cargo run --release --example one_page [STEPS [PICTURE.png]]`.

use std::env::args;

use inkdrop::data::picture::{Picture, encode_png};
use inkdrop::torch::tch::nn::{self, Module, OptimizerConfig};
use inkdrop::torch::tch::{Device, Kind, Tensor, no_grad_guard};

#[cfg(test)]
#[path = "support/one_page_tests.rs"]
mod tests;

type Error = Box<dyn std::error::Error>;

/// σ_data: the standard deviation of the data.
const DATA: f64 = 0.5;

const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

/// n points of a spiral, [n, 2], of standard deviation σ_data in both axes.
fn spiral(n: i64) -> Tensor {
    let angle = (Tensor::rand([n], F32) * 0.9 + 0.1) * 9.0;
    let points = Tensor::stack(&[&angle * angle.cos(), &angle * angle.sin()], 1);
    (points + Tensor::randn([n, 2], F32) * 0.1) * (DATA / 3.9)
}

/// The theory in one sentence: whoever can remove noise can generate. A denoiser estimates the clean data
/// in x = x0 + σ·ε; the best one is the posterior mean E[x0 | x] (section 2.2).
trait Denoiser {
    /// D(x; σ), [n, 2], of x, [n, 2], and of one σ for each point, [n, 1].
    fn denoise(&self, x: &Tensor, sigma: &Tensor) -> Tensor;
}

/// A network F as a denoiser.
struct Network {
    layers: nn::Sequential,
}

impl Network {
    fn new(vs: &nn::Path) -> Self {
        let linear = |inputs, outputs| nn::linear(vs, inputs, outputs, Default::default());
        let hidden = || nn::func(Tensor::silu);
        let layers = nn::seq().add(linear(3, 256)).add(hidden()).add(linear(256, 256));
        Self {
            layers: layers.add(hidden()).add(linear(256, 256)).add(hidden()).add(linear(256, 2)),
        }
    }
}

impl Denoiser for Network {
    /// Eq. 7 and table 1: D = c_skip·x + c_out·F(c_in·x; c_noise), so that F sees and learns numbers of
    /// unit variance, whatever σ is.
    fn denoise(&self, x: &Tensor, sigma: &Tensor) -> Tensor {
        let variance = sigma.square() + DATA * DATA;
        let input = Tensor::cat(&[x / variance.sqrt(), sigma.log() * 0.25], 1);
        let skip = DATA * DATA / &variance;
        let out = sigma * DATA / variance.sqrt();
        skip * x + out * self.layers.forward(&input)
    }
}

/// Eq. 8: the denoiser's squared error, weighed by λ(σ) = 1/c_out², at log-normal noise levels.
fn loss(denoiser: &dyn Denoiser, x0: &Tensor) -> Tensor {
    let sigma = (Tensor::randn([x0.size()[0], 1], F32) * 1.2 - 1.2).exp();
    let x = x0 + &sigma * x0.randn_like();
    let weight = (sigma.square() + DATA * DATA) / (&sigma * DATA).square();
    (weight * (denoiser.denoise(&x, &sigma) - x0).square()).mean(Kind::Float)
}

fn train(steps: usize) -> Result<Network, Error> {
    let store = nn::VarStore::new(Device::Cpu);
    let network = Network::new(&store.root());
    let mut adam = nn::Adam::default().build(&store, 2e-3)?;
    for step in 0..steps {
        adam.set_lr(2e-3 * (1.0 - step as f64 / steps as f64));
        let loss = loss(&network, &spiral(512));
        adam.backward_step(&loss);
        if step % 500 == 0 {
            println!("step {step}: loss {:.3}", loss.double_value(&[]));
        }
    }
    Ok(network)
}

/// Eq. 5 with ρ = 7: noise levels from 10 down to 0.002, then 0.
fn levels(n: usize) -> Vec<f64> {
    let (high, low) = (10f64.powf(1.0 / 7.0), 0.002f64.powf(1.0 / 7.0));
    let level = |i: usize| (high + i as f64 / (n - 1) as f64 * (low - high)).powf(7.0);
    (0..n).map(level).chain([0.0]).collect()
}

/// Eq. 1: on the way to less noise, dx/dσ = (x − D(x; σ))/σ.
fn slope(denoiser: &dyn Denoiser, x: &Tensor, sigma: f64) -> Tensor {
    (x - denoiser.denoise(x, &Tensor::full([x.size()[0], 1], sigma, F32))) / sigma
}

/// Euler's method: the same as DDIM (Song et al. 2020).
fn euler(denoiser: &dyn Denoiser, mut x: Tensor, levels: &[f64]) -> Tensor {
    for step in levels.windows(2) {
        x += slope(denoiser, &x, step[0]) * (step[1] - step[0]);
    }
    x
}

/// Algorithm 1: Heun's method, the mean of the slopes at both ends of a step.
fn heun(denoiser: &dyn Denoiser, mut x: Tensor, levels: &[f64]) -> Tensor {
    for step in levels.windows(2) {
        let first = slope(denoiser, &x, step[0]);
        let end = &x + &first * (step[1] - step[0]);
        x = match step[1] {
            0.0 => end,
            sigma => x + (first + slope(denoiser, &end, sigma)) * ((sigma - step[0]) / 2.0),
        };
    }
    x
}

/// Ancestral sampling (Ho et al. 2020): a longer step to less noise, then fresh noise.
fn ancestral(denoiser: &dyn Denoiser, mut x: Tensor, levels: &[f64]) -> Tensor {
    for step in levels.windows(2) {
        let down = step[1] * step[1] / step[0];
        let fresh = (step[1] * step[1] - down * down).sqrt();
        x += slope(denoiser, &x, step[0]) * (down - step[0]);
        x += x.randn_like() * fresh;
    }
    x
}

/// Panels side by side, one for each set of points.
fn picture(sets: &[&Tensor]) -> Result<Vec<u8>, Error> {
    const SIDE: usize = 240;
    let width = SIDE * sets.len();
    let mut pixels = vec![255; SIDE * width * 3];
    for (panel, set) in sets.iter().enumerate() {
        let points = Vec::<f32>::try_from(set.flatten(0, 1))?;
        for point in points.chunks(2) {
            let [x, y] = [point[0], point[1]].map(|at| ((at + 1.3) / 2.6 * SIDE as f32) as isize);
            if (0..SIDE as isize).contains(&x) && (0..SIDE as isize).contains(&y) {
                let at = 3 * (y as usize * width + panel * SIDE + x as usize);
                pixels[at..at + 2].fill(40);
            }
        }
    }
    Ok(encode_png(&Picture::new(width, SIDE, pixels)?)?)
}

fn main() -> Result<(), Error> {
    let steps = args().nth(1).map_or(Ok(4000), |steps| steps.parse())?;
    let network = train(steps)?;
    let (data, noise) = (spiral(3000), Tensor::randn([3000, 2], F32) * 10.0);
    let _guard = no_grad_guard();
    let euler = euler(&network, noise.copy(), &levels(40));
    let heun = heun(&network, noise.copy(), &levels(20));
    let ancestral = ancestral(&network, noise, &levels(40));
    let file = args().nth(2).unwrap_or("one_page.png".to_string());
    Ok(std::fs::write(file, picture(&[&data, &euler, &heun, &ancestral])?)?)
}

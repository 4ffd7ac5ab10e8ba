//! Derivatives of the networks in forward mode.

use inkdrop_nn::{Activation, Conditioning, NetworkError};
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_torch::{DualInput, jvp};
use inkdrop_unet::{EdmArchitecture, EdmConfig, EdmTimeEmbedding, ModelConfig};

use super::every::all;
use super::support::{inputs, stir};

/// The directional derivatives by x, t and the time interval are those of finite differences.
#[test]
fn derivatives_of_every_network_are_those_of_finite_differences() {
    for config in all() {
        let network = config.build(Kind::Double, inkdrop_torch::tch::Device::Cpu).unwrap();
        stir(network.as_ref());
        let (x, _, given) = inputs(&config);
        let double = |x: &Tensor| x.to_kind(Kind::Double);
        let low_res = given.low_res.as_ref().map(double);
        let (x, t) = (double(&x), Tensor::from_slice(&[0.3f64, 0.8]));
        let length = Tensor::from_slice(&[0.2f64, 0.1]);
        // A small step for kinks (ReLU, max pooling), a large one for sinusoids that are rounded to f32.
        let context = matches!(config, ModelConfig::Context(_));
        let kinks = matches!(&config, ModelConfig::Ddpm(c) if c.activation == Activation::Relu);
        // NCSN++ has phases of hundreds of radians per unit of time, for which that step is too large.
        let fast = |c: &EdmConfig| match &c.architecture {
            EdmArchitecture::Song(song) => song.time_embedding == EdmTimeEmbedding::Fourier,
            EdmArchitecture::Dhariwal => false,
        };
        let fast = matches!(&config, ModelConfig::Edm(c) if fast(c));
        let time = if kinks || fast { 0.0 } else { 1.0 };
        let (direction, ones) = ((&x * 3.0).cos(), t.ones_like() * time);
        let takes_interval = given.interval.is_some();
        let forward = |x: &Tensor, t: &Tensor, length: &Tensor| -> Result<Tensor, NetworkError> {
            let conditioning = Conditioning {
                interval: takes_interval.then(|| length.shallow_clone()),
                low_res: low_res.as_ref().map(Tensor::shallow_clone),
                ..given.shallow_clone()
            };
            network.forward(x, t, &conditioning)
        };
        let dual = |primal, tangent| DualInput { primal, tangent };
        let inputs = [dual(&x, &direction), dual(&t, &ones), dual(&length, &ones)];
        let (value, derivative) = jvp(&inputs, |x| forward(&x[0], &x[1], &x[2])).unwrap();
        let at = |step: f64| {
            let moved = time * step;
            forward(&(&x + &direction * step), &(&t + moved), &(&length + moved)).unwrap()
        };
        let step = if kinks || context { 1e-7 } else { 1e-3 };
        let expected = (at(step) - at(-step)) / (2.0 * step);
        let norm = |x: &Tensor| f64::try_from(x.norm()).unwrap();
        let error = norm(&(&derivative - &expected)) / norm(&expected);
        assert!(error < 2e-3, "{error}: {config:?}");
        assert!(value.allclose(&at(0.0), 1e-9, 1e-9, false), "{config:?}");
    }
}

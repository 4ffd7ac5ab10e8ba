//! Half precision: a half torso between norms, embeddings and a last layer in f32.

use inkdrop_nn::{CompileOptions, Conditioning, Mode, TrainableNetwork};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::ModelConfig;

use super::every::all;
use super::support::{build, improved, inputs, stir};

/// The same network with its convolutions in another kind.
fn halved(
    config: &ModelConfig,
    network: &dyn TrainableNetwork,
    kind: Kind,
) -> Box<dyn TrainableNetwork> {
    let half = config.build(kind, Device::Cpu).unwrap();
    let _guard = no_grad_guard();
    for (to, from) in half.params().iter().zip(network.params().iter()) {
        assert_eq!(to.name, from.name);
        to.tensor.shallow_clone().copy_(&from.tensor);
    }
    half
}

/// Runs every family in half precision, and compares it with its f32 result.
fn every_family_is_near_its_f32_result(
    run: impl Fn(&dyn TrainableNetwork, &Tensor, &Tensor, &Conditioning) -> Tensor,
) {
    let _guard = no_grad_guard();
    // Mantissas of 8 and of 11 bits; a network of noise would be off by its spread.
    for (kind, bound) in [(Kind::BFloat16, 0.05), (Kind::Half, 0.01)] {
        for config in all() {
            // Weights of one seed: a network without norms is near the bound with some.
            let generator = DefaultGenerator::seeded(0);
            let network = build(&config);
            stir(network.as_ref());
            let half = halved(&config, network.as_ref(), kind);
            let (x, t, conditioning) = inputs(&config);
            drop(generator);
            let exact = network.forward(&x, &t, &conditioning).unwrap();
            let out = run(half.as_ref(), &x, &t, &conditioning);
            assert_eq!(out.kind(), Kind::Float);
            let spread = f64::try_from(exact.std(true)).unwrap();
            let error = f64::try_from((&out - &exact).square().mean(Kind::Double).sqrt()).unwrap();
            assert!(error < bound * spread, "{error} of {spread} in {kind:?}: {config:?}");
            assert!(error > 0.0, "nothing was of half precision: {config:?}");
        }
    }
}

#[test]
fn every_family_runs_in_half_precision_near_its_f32_result() {
    every_family_is_near_its_f32_result(|half, x, t, conditioning| {
        half.forward(x, t, conditioning).unwrap()
    });
}

/// Compiled, a network in bf16 keeps its activations in f32 where the processor multiplies bf16.
#[test]
fn every_compiled_family_runs_in_half_precision_near_its_f32_result() {
    every_family_is_near_its_f32_result(|half, x, t, conditioning| {
        let compiled = half.compile(&CompileOptions::default()).unwrap();
        compiled.forward(x, t, conditioning).unwrap()
    });
}

/// improved-diffusion's convert_to_fp16: the convolutions of the three lists, nothing else.
#[test]
fn the_torso_is_split_as_in_improved_diffusion() {
    let config = ModelConfig::Improved(improved());
    for kind in [Kind::BFloat16, Kind::Half] {
        let network = config.build(kind, Device::Cpu).unwrap();
        for param in network.params().iter() {
            let torso = ["input_blocks", "middle_block", "output_blocks"];
            let torso = torso.iter().any(|list| param.name.starts_with(list));
            let conv = param.tensor.dim() > 2 || param.name.ends_with(".bias");
            let linear_or_norm = [".emb_layers.", ".in_layers.0.", ".out_layers.0.", ".norm."];
            let full = linear_or_norm.iter().any(|part| param.name.contains(part));
            let expected = if torso && conv && !full { kind } else { Kind::Float };
            assert_eq!(param.tensor.kind(), expected, "{}", param.name);
        }
    }
}

#[test]
fn gradients_flow_through_a_bf16_torso() {
    let config = ModelConfig::Improved(improved());
    let network = config.build(Kind::BFloat16, Device::Cpu).unwrap();
    stir(network.as_ref());
    let (x, t, conditioning) = inputs(&config);
    let out = network.forward_mode(&x, &t, &conditioning, Mode::Train).unwrap();
    out.square().mean(Kind::Float).backward();
    for param in network.params().trained() {
        let grad = param.tensor.grad();
        assert!(grad.defined() && grad.kind() == param.tensor.kind(), "{}", param.name);
        assert!(bool::try_from(grad.isfinite().all()).unwrap(), "{}", param.name);
    }
}

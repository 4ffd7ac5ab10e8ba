//! Networks that are conditioned on an image, of every family that can be.

use inkdrop_nn::{CompileOptions, Conditioning, ImageConditioned, Network, TrainableNetwork};
use inkdrop_torch::tch::{Tensor, manual_seed, no_grad};
use inkdrop_unet::{LucidConfig, ModelConfig};

use super::support::{F32, build, ddpm, dit, edm, improved, lucid, unet2d};

fn families() -> [ModelConfig; 5] {
    [
        ModelConfig::Dit(dit()),
        ModelConfig::Edm(edm()),
        ModelConfig::Improved(improved()),
        ModelConfig::Unet2d(unet2d()),
        ModelConfig::Lucid(lucid()),
    ]
}

#[test]
fn the_condition_is_concatenated_with_x() {
    for config in families() {
        manual_seed(3);
        let wider = config.with_image_condition(4).expect("a family that takes a condition");
        assert_eq!(wider.outputs(), config.outputs());
        let inside = build(&wider);
        // Networks whose last layer starts at zero would ignore everything.
        for param in inside.params().iter().filter(|param| param.tensor.requires_grad()) {
            let noise = Tensor::randn_like(&param.tensor) * 0.05;
            no_grad(|| param.tensor.shallow_clone().copy_(&(&param.tensor + noise)));
        }
        let x = Tensor::randn([2, 3, 16, 16], F32);
        let image = Tensor::randn([2, 4, 16, 16], F32);
        let t = Tensor::from_slice(&[0.3f32, 0.9]);
        let both = Tensor::cat(&[&x, &image], 1);
        let expected = inside.forward(&both, &t, &Conditioning::none()).expect("a pass");
        let network = ImageConditioned::new(inside, 4);
        let given = Conditioning::image(image);
        let out = Network::forward(&network, &x, &t, &given).expect("a pass");
        assert_eq!(out, expected, "{}", config.family());
        assert!(Network::forward(&network, &x, &t, &Conditioning::none()).is_err());
        assert!(Network::forward(&network, &x, &t, &Conditioning::image(x.copy())).is_err());
        let compiled = network.compile(&CompileOptions::default()).expect("a compiled network");
        let compiled = compiled.forward(&x, &t, &given).expect("a pass");
        let apart = (&compiled - &out).abs().max().double_value(&[]);
        let largest = out.abs().max().double_value(&[]);
        assert!(apart < 2e-5 * largest.max(1.0), "{}: {apart}", config.family());
    }
}

#[test]
fn other_networks_refuse_a_condition() {
    let ddpm = ModelConfig::Ddpm(ddpm());
    let error = ddpm.with_image_condition(3).expect_err("no such option").to_string();
    assert!(error.contains("ddpm") && error.contains("edm"), "{error}");
    let itself = LucidConfig { self_condition: true, ..lucid() };
    assert!(ModelConfig::Lucid(itself).with_image_condition(3).is_err());
    let network = build(&families()[0]);
    let x = Tensor::zeros([1, 3, 16, 16], F32);
    let given = Conditioning::image(x.copy());
    let error = network.forward(&x, &Tensor::zeros([1], F32), &given).expect_err("no condition");
    assert_eq!(error.to_string(), "image was given to a network that takes none");
}

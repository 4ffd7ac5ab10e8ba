//! What a network refuses, and how it says so.

use inkdrop_nn::{ClassIds, Conditioning};
use inkdrop_torch::tch::{Device, Tensor, no_grad_guard};
use inkdrop_unet::{DdpmConfig, ImprovedConfig, ModelConfig};

use super::every::all;
use super::support::{F32, build, ddpm, improved, inputs, unet2d};

fn refusal(config: &ModelConfig, x: &Tensor, t: &Tensor, conditioning: &Conditioning) -> String {
    build(config).forward(x, t, conditioning).unwrap_err().to_string()
}

fn classes(ids: &[i64]) -> Conditioning {
    Conditioning::classes(ClassIds::new(ids, Device::Cpu).unwrap())
}

#[test]
fn odd_sizes_are_refused_before_anything_is_computed() {
    let t = Tensor::from_slice(&[1i64]);
    for config in [
        ModelConfig::Ddpm(ddpm()),
        ModelConfig::Improved(improved()),
        ModelConfig::Unet2d(unet2d()),
    ] {
        let odd = Tensor::zeros([1, 3, 16, 15], F32);
        let text = refusal(&config, &odd, &t, &Conditioning::none());
        let expected =
            "x has shape [1, 3, 16, 15], expected [B, 3, H, W] with H and W multiples of 2";
        assert_eq!(text, expected);
        let _guard = no_grad_guard();
        let wide = Tensor::zeros([1, 3, 6, 20], F32);
        let out = build(&config).forward(&wide, &t, &Conditioning::none()).unwrap();
        assert_eq!(out.size()[2..], [6, 20]);
    }
    let padded = ModelConfig::Ddpm(DdpmConfig { padding: 1, multipliers: vec![1, 1, 1], ..ddpm() });
    let text = refusal(&padded, &Tensor::zeros([1, 3, 16, 16], F32), &t, &Conditioning::none());
    assert!(text.ends_with("with H and W multiples of 4 once padded by 1 at both ends"), "{text}");
    let _guard = no_grad_guard();
    let fits = Tensor::zeros([1, 3, 14, 18], F32);
    let _ = build(&padded).forward(&fits, &t, &Conditioning::none()).unwrap();
}

#[test]
fn classes_are_required_by_class_conditional_networks_and_refused_by_others() {
    let conditional = [
        ModelConfig::Ddpm(DdpmConfig { classes: Some(7), ..ddpm() }),
        ModelConfig::Improved(ImprovedConfig { classes: Some(7), ..improved() }),
    ];
    let (x, t) = (Tensor::zeros([2, 3, 16, 16], F32), Tensor::from_slice(&[1i64, 2]));
    for config in conditional {
        let text = refusal(&config, &x, &t, &Conditioning::none());
        assert_eq!(text, "the network needs classes: one class in 0..7 for each image");
        for wrong in [7, -1, i64::MAX] {
            let text = refusal(&config, &x, &t, &classes(&[3, wrong]));
            let expected =
                format!("class {wrong} is out of range: the network knows classes 0 to 6");
            assert_eq!(text, expected);
        }
        let text = refusal(&config, &x, &t, &classes(&[3]));
        assert_eq!(text, "classes has shape [1], expected [2], one class per image");
    }
    for config in all().iter().filter(|config| config.classes().is_none()) {
        let (x, t, mut conditioning) = inputs(config);
        conditioning.classes = Some(ClassIds::new(&[0, 1], Device::Cpu).unwrap());
        let text = refusal(config, &x, &t, &conditioning);
        assert_eq!(text, "classes was given to a network that takes none");
    }
}

#[test]
fn other_conditions_are_checked_alike() {
    let (x, t) = (Tensor::zeros([2, 3, 16, 16], F32), Tensor::from_slice(&[1i64, 2]));
    let plain = ModelConfig::Improved(improved());
    let context = Conditioning::context(Tensor::zeros([2, 5], F32));
    assert_eq!(refusal(&plain, &x, &t, &context), "context was given to a network that takes none");
    let small = || Conditioning::low_res(Tensor::zeros([2, 3, 4, 4], F32));
    assert_eq!(refusal(&plain, &x, &t, &small()), "low_res was given to a network that takes none");
    let large = ModelConfig::ImprovedSuperRes(improved());
    let text = refusal(&large, &x, &t, &Conditioning::none());
    assert!(text.starts_with("the network needs low_res"), "{text}");
    let other = Conditioning::low_res(Tensor::zeros([1, 3, 4, 4], F32));
    assert!(refusal(&large, &x, &t, &other).starts_with("low_res has shape [1, 3, 4, 4]"));
    let text = refusal(&plain, &x, &t.narrow(0, 0, 1), &Conditioning::none());
    assert_eq!(text, "t has shape [1], expected [2], one time per image");
}

#[test]
fn one_and_three_axes_say_what_they_take() {
    let t = Tensor::from_slice(&[1i64]);
    let of = |dims| ModelConfig::Improved(ImprovedConfig { dims, ..improved() });
    let x = Tensor::zeros([1, 3, 16, 16], F32);
    let none = Conditioning::none();
    assert!(refusal(&of(1), &x, &t, &none).ends_with("expected [B, 3, W] with W multiples of 2"));
    let text = refusal(&of(3), &x, &t, &none);
    assert!(text.ends_with("expected [B, 3, D, H, W] with H and W multiples of 2"), "{text}");
}

//! The sprites notebook's ContextUnet.

use inkdrop_nn::{Conditioning, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::{ConfigError, ContextConfig, ModelConfig};

const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

fn small() -> ContextConfig {
    ContextConfig { features: 8, ..ContextConfig::sprites() }
}

fn build(config: ContextConfig) -> Box<dyn TrainableNetwork> {
    ModelConfig::Context(config).build(Kind::Float, Device::Cpu).unwrap()
}

#[test]
fn the_plan_counts_what_is_built() {
    for config in [
        ContextConfig::sprites(),
        small(),
        ContextConfig { channels: 8, features: 8, contexts: 1, size: 28, interval: false }, // no shortcut
        ContextConfig { channels: 1, features: 24, contexts: 10, size: 20, interval: true },
    ] {
        let plan = ModelConfig::Context(config.clone()).plan().unwrap();
        let network = build(config);
        assert_eq!(plan.parameters(), network.params().trained_count() as i64);
        for stage in plan.stages() {
            let below = |name: &str| name.starts_with(&stage.name);
            let built = network.params().trained().filter(|param| below(&param.name));
            assert_eq!(stage.parameters, built.map(|p| p.tensor.numel() as i64).sum::<i64>());
        }
    }
}

#[test]
fn every_usable_size_runs_and_others_are_refused() {
    let _guard = no_grad_guard();
    for size in 1..=32 {
        let config = ContextConfig { size, ..small() };
        if [16, 20, 24, 28].contains(&size) {
            let x = Tensor::randn([1, 3, size, size], F32);
            let t = Tensor::from_slice(&[1.0f32]);
            let out = build(config).forward(&x, &t, &Conditioning::none()).unwrap();
            assert_eq!(out.size(), x.size());
        } else {
            let error = ModelConfig::Context(config).plan().unwrap_err();
            assert!(
                matches!(error, ConfigError::Field { field: "size", given, .. } if given == format!("[{size}, {size}]") || given == size.to_string())
            );
        }
    }
}

#[test]
fn fields_that_cannot_be_are_named() {
    let error =
        |config: ContextConfig| ModelConfig::Context(config).plan().unwrap_err().to_string();
    let text = error(ContextConfig { features: 30, ..small() });
    assert!(text.starts_with("features 30 is not divisible by groups 8"), "{text}");
    assert!(error(ContextConfig { channels: 0, ..small() }).starts_with("channels 0"));
    assert!(error(ContextConfig { contexts: 0, ..small() }).starts_with("contexts 0"));
}

#[test]
fn no_context_is_a_context_of_zeros() {
    let _guard = no_grad_guard();
    let network = build(small());
    let (x, t) = (Tensor::randn([2, 3, 16, 16], F32), Tensor::from_slice(&[0.1f32, 0.9]));
    let pass = |c: &Conditioning| network.forward(&x, &t, c).unwrap();
    let none = pass(&Conditioning::none());
    assert_eq!(none, pass(&Conditioning::context(Tensor::zeros([2, 5], F32))));
    let hero = Tensor::from_slice(&[1f32, 0., 0., 0., 0.]).expand([2, 5], false);
    assert_ne!(none, pass(&Conditioning::context(hero)));
}

#[test]
fn inputs_of_other_shapes_are_refused_by_name() {
    let network = build(small());
    let x = Tensor::randn([2, 3, 16, 16], F32);
    let t = Tensor::from_slice(&[0.1f32, 0.9]);
    let error = |x: &Tensor, t: &Tensor, context: Option<Tensor>| {
        network
            .forward(x, t, &Conditioning { context, ..Conditioning::none() })
            .unwrap_err()
            .to_string()
    };
    let text = error(&Tensor::randn([2, 3, 15, 16], F32), &t, None);
    assert_eq!(text, "x has shape [2, 3, 15, 16], expected [B, 3, 16, 16]");
    assert!(error(&x, &t.narrow(0, 0, 1), None).starts_with("t has shape [1]"));
    let text = error(&x, &t, Some(Tensor::zeros([2, 4], F32)));
    assert_eq!(text, "context has shape [2, 4], expected [2, 5], one row per image");
}

#[test]
fn configs_survive_json_and_refuse_unknown_fields() {
    let config = ModelConfig::Context(ContextConfig::sprites());
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains(r#""family":"context""#));
    assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), config);
    let unknown = text.replace("\"size\"", "\"height\"");
    assert!(serde_json::from_str::<ModelConfig>(&unknown).is_err());
}

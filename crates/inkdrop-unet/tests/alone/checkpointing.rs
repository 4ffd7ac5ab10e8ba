//! Gradient checkpointing changes no bit.

use inkdrop_nn::{Mode, NormKind};
use inkdrop_torch::tch::{Kind, Tensor, manual_seed};
use inkdrop_unet::{DdpmConfig, ImprovedConfig, ModelConfig, Unet2dConfig};

use crate::support::{build, ddpm, improved, inputs, stir, unet2d};

/// Output, gradients and buffers after one pass there and back.
fn run(config: &ModelConfig, mode: Mode) -> Vec<(String, Tensor)> {
    manual_seed(5);
    let network = build(config);
    stir(network.as_ref());
    let (x, t, conditioning) = inputs(config);
    let x = x.set_requires_grad(true);
    let out = network.forward_mode(&x, &t, &conditioning, mode).unwrap();
    out.square().mean(Kind::Float).backward();
    let mut all = vec![("out".to_string(), out.detach()), ("x".to_string(), x.grad())];
    for param in network.params().iter() {
        let value =
            if param.tensor.requires_grad() { param.tensor.grad() } else { param.tensor.copy() };
        all.push((param.name.clone(), value));
    }
    all
}

#[test]
fn gradients_are_bit_equal_in_every_family_with_dropout_on() {
    let _alone = crate::alone();
    let both = |config: fn(bool) -> ModelConfig| [config(false), config(true)];
    let families = [
        both(|checkpoint| ModelConfig::Ddpm(DdpmConfig { checkpoint, dropout: 0.3, ..ddpm() })),
        both(|checkpoint| {
            let norm = NormKind::Batch; // whose statistics must be recorded once
            let classes = Some(7);
            ModelConfig::Ddpm(DdpmConfig { checkpoint, norm, classes, dropout: 0.1, ..ddpm() })
        }),
        both(|checkpoint| {
            let classes = Some(5);
            ModelConfig::Improved(ImprovedConfig {
                checkpoint,
                classes,
                dropout: 0.3,
                ..improved()
            })
        }),
        both(|checkpoint| {
            ModelConfig::ImprovedSuperRes(ImprovedConfig { checkpoint, ..improved() })
        }),
        both(|checkpoint| {
            ModelConfig::Unet2d(Unet2dConfig { checkpoint, dropout: 0.2, ..unet2d() })
        }),
    ];
    for [plain, checkpointed] in families {
        for mode in [Mode::Train, Mode::Eval] {
            for ((name, ours), (_, theirs)) in
                run(&checkpointed, mode).iter().zip(run(&plain, mode))
            {
                assert!(ours.equal(&theirs), "{name} of {} in {mode:?}", plain.family());
            }
        }
    }
}

//! Gradient checkpointing changes no bit.

use inkdrop_nn::{ClassIds, Conditioning, Mode, NormKind, TrainableNetwork};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};
use inkdrop_unet::{
    DdpmConfig, DitConfig, Edm2Config, EdmConfig, ImprovedConfig, LucidConfig, ModelConfig,
    Unet2dConfig,
};

use crate::support::{build, ddpm, dit, edm, edm2, improved, inputs, jit, lucid, stir, unet2d};

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
        both(|checkpoint| ModelConfig::Edm(EdmConfig { checkpoint, dropout: 0.2, ..edm() })),
        both(|checkpoint| ModelConfig::Dit(DitConfig { checkpoint, ..dit() })),
        both(|checkpoint| ModelConfig::Dit(DitConfig { checkpoint, ..jit() })),
        both(|checkpoint| {
            ModelConfig::Edm2(Edm2Config { checkpoint, dropout: 0.2, logvar: None, ..edm2() })
        }),
        both(|checkpoint| {
            ModelConfig::Unet2d(Unet2dConfig { checkpoint, dropout: 0.2, ..unet2d() })
        }),
        both(|checkpoint| ModelConfig::Lucid(LucidConfig { checkpoint, dropout: 0.2, ..lucid() })),
        both(|checkpoint| {
            let classes = Some(5);
            ModelConfig::Lucid(LucidConfig { checkpoint, classes, dropout: 0.2, ..lucid() })
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

/// Output and gradient of some images of a batch, as a microbatch.
fn microbatch(network: &dyn TrainableNetwork, x: &Tensor, first: i64, images: i64) -> Tensor {
    let x = x.narrow(0, first, images).set_requires_grad(true);
    let t = Tensor::full([images], 500, (Kind::Int64, Device::Cpu));
    let ids = vec![2; images as usize];
    let classes = Some(ClassIds::new(&ids, Device::Cpu).unwrap());
    let conditioning = Conditioning { classes, first_image: first, ..Conditioning::none() };
    let _generator = DefaultGenerator::seeded(3); // the same keys for each microbatch
    let out = network.forward_mode(&x, &t, &conditioning, Mode::Train).unwrap();
    out.square().sum(Kind::Float).backward();
    Tensor::cat(&[out.detach(), x.grad()], 1)
}

#[test]
fn the_dropout_of_an_image_does_not_depend_on_its_microbatch() {
    let _alone = crate::alone();
    let classes = Some(5);
    for checkpoint in [false, true] {
        for config in [
            ModelConfig::Ddpm(DdpmConfig { checkpoint, classes, dropout: 0.3, ..ddpm() }),
            ModelConfig::Improved(ImprovedConfig {
                checkpoint,
                classes,
                dropout: 0.3,
                ..improved()
            }),
        ] {
            manual_seed(5);
            let network = build(&config);
            stir(network.as_ref());
            let (x, ..) = inputs(&config);
            let x = Tensor::cat(&[&x, &(&x + 0.1)], 0);
            let whole = microbatch(network.as_ref(), &x, 0, 4);
            let apart = |given: &Tensor, expected: &Tensor| {
                let largest = |x: Tensor| x.abs().max().double_value(&[]);
                largest(given - expected) / largest(expected.shallow_clone())
            };
            for (first, images) in [(0, 1), (1, 3), (3, 1)] {
                let part = microbatch(network.as_ref(), &x, first, images);
                let apart = apart(&part, &whole.narrow(0, first, images));
                assert!(apart < 1e-5, "image {first} of {}: {apart:e}", config.family());
            }
            // The same images elsewhere in the batch have other masks.
            let elsewhere = microbatch(network.as_ref(), &x.narrow(0, 1, 3), 0, 3);
            assert!(apart(&elsewhere, &whole.narrow(0, 1, 3)) > 1e-2);
        }
    }
}

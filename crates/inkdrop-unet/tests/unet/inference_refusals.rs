//! A compiled network refuses the inputs that the trained one refuses.

use inkdrop_nn::{ClassIds, CompileOptions, Conditioning, Mode, Network, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextConfig, ModelConfig};

use super::every::all;
use super::inference_support::{Given, given, network, shape};
use super::support::F32;

/// A trained network and its compiled form.
fn pair(config: &ModelConfig, pack: bool) -> (Box<dyn TrainableNetwork>, Box<dyn Network>) {
    let trained = network(config, Kind::Float);
    let options = CompileOptions { pack, ..CompileOptions::at([500.0]) };
    let compiled = trained.compile(&options).unwrap();
    (trained, compiled)
}

#[test]
fn a_compiled_network_has_the_device_and_the_dtype_of_the_trained_one() {
    for config in all() {
        for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half] {
            let trained = network(&config, kind);
            let compiled = trained.compile(&CompileOptions::default()).unwrap();
            let params = trained.params();
            assert_eq!((trained.kind(), trained.device()), (params.kind(), params.device()));
            assert_eq!((compiled.kind(), compiled.device()), (params.kind(), params.device()));
        }
    }
}

/// That it cannot be trained is a matter of types; see the documentation of `CompiledUnet`.
#[test]
fn compiling_leaves_the_network_trainable() {
    for config in all() {
        let (trained, compiled) = pair(&config, true);
        let Given { x, t, conditioning, .. } = given(&config, &shape(&config, 1), &[500.0], &[2]);
        for mode in [Mode::Train, Mode::Recompute] {
            let _ = trained.forward_mode(&x, &t, &conditioning, mode).unwrap();
        }
        let _ = compiled.forward(&x, &t, &conditioning).unwrap();
    }
}

/// Changes one thing; the rest fits.
type Change = (&'static str, Box<dyn Fn(&mut Given)>);

fn changes() -> Vec<Change> {
    let ids = |ids: &[i64]| Some(ClassIds::new(ids, Device::Cpu).unwrap());
    let change = |name, change: fn(&mut Given)| -> Change { (name, Box::new(change)) };
    let mut all = vec![
        change("another channel", |g| g.x = Tensor::cat(&[&g.x, &g.x.narrow(1, 0, 1)], 1)),
        change("no channel", |g| g.x = g.x.narrow(1, 0, 0)),
        change("an odd width", |g| g.x = g.x.narrow(-1, 0, 15)),
        change("no width", |g| g.x = g.x.narrow(-1, 0, 0)),
        change("an axis less", |g| g.x = g.x.select(0, 0)),
        change("an axis more", |g| g.x = g.x.unsqueeze(-1)),
        change("one number", |g| g.x = Tensor::zeros([0i64; 0], F32)),
        change("a time too few", |g| g.t = g.t.narrow(0, 0, 1)),
        change("a time too many", |g| g.t = Tensor::cat(&[&g.t, &g.t], 0)),
        change("times in a column", |g| g.t = g.t.unsqueeze(-1)),
        change("one time", |g| g.t = g.t.select(0, 0)),
        change("no class", |g| g.conditioning.classes = None),
        change("a context", |g| g.conditioning.context = Some(Tensor::zeros([2, 4], F32))),
        change("a wrong context", |g| g.conditioning.context = Some(Tensor::zeros([1, 5], F32))),
        change("no small image", |g| g.conditioning.low_res = None),
        change("one small image", |g| {
            g.conditioning.low_res = Some(Tensor::zeros([1, 3, 4, 4], F32));
        }),
        change("small images of other channels", |g| {
            g.conditioning.low_res = Some(Tensor::zeros([2, 5, 4, 4], F32));
        }),
        change("a small image of other axes", |g| {
            g.conditioning.low_res = Some(Tensor::zeros([2, 3, 4], F32));
        }),
    ];
    for classes in [&[0i64, 1][..], &[0, i64::MAX], &[-1, 0], &[1], &[0, 1, 2]] {
        let classes = classes.to_vec();
        all.push(("classes", Box::new(move |g| g.conditioning.classes = ids(&classes))));
    }
    all
}

#[test]
fn it_refuses_what_the_trained_network_refuses_in_the_same_words() {
    for config in all() {
        for pack in [true, false] {
            let (trained, compiled) = pair(&config, pack);
            let networks: [&dyn Network; 2] = [trained.as_ref(), compiled.as_ref()];
            let mut refused = 0;
            for (name, change) in changes() {
                let mut given = given(&config, &shape(&config, 2), &[500.0; 2], &[0, 3]);
                change(&mut given);
                let [expected, out] = [0, 1].map(|i| {
                    let Given { x, t, conditioning, .. } = &given;
                    let out = networks[i].forward(x, t, conditioning);
                    out.map(|out| out.size()).map_err(|error| error.to_string())
                });
                refused += usize::from(expected.is_err());
                assert_eq!(out, expected, "{name}, pack {pack}: {config:?}");
            }
            assert!(refused >= 10, "{refused} of {} are refused: {config:?}", changes().len());
        }
    }
}

/// Both give no image, or both say why not.
#[test]
fn a_batch_of_no_images_is_what_it_is_to_the_trained_network() {
    let mut configs = all();
    configs.push(ModelConfig::Context(ContextConfig { features: 16, ..ContextConfig::sprites() }));
    let mut found = Vec::new();
    for config in configs {
        for pack in [true, false] {
            let (trained, compiled) = pair(&config, pack);
            let networks: [&dyn Network; 2] = [trained.as_ref(), compiled.as_ref()];
            let Given { x, t, conditioning, .. } = given(&config, &shape(&config, 0), &[], &[]);
            let with = Conditioning::context(Tensor::zeros([0, 5], F32));
            let mut all = vec![conditioning];
            all.extend(matches!(config, ModelConfig::Context(_)).then_some(with));
            for conditioning in &all {
                let [expected, out] = [0, 1].map(|i| {
                    let out = networks[i].forward(&x, &t, conditioning);
                    out.map(|out| out.size()).map_err(|error| error.to_string())
                });
                let same = match (&expected, &out) {
                    (Ok(expected), Ok(out)) => expected == out,
                    (Err(_), Err(_)) => true,
                    _ => false,
                };
                if !same {
                    found.push(format!("{out:?}, trained {expected:?}, pack {pack}: {config:?}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

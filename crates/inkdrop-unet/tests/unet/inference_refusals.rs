//! What a network for inference refuses: all that the trained one does, and to be trained.

use inkdrop_nn::{ClassIds, Conditioning, Inference, Mode, Network, NetworkError};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ContextConfig, ModelConfig};

use super::every::all;
use super::inference_support::{Given, given, network, shape};
use super::support::F32;

fn pair(config: &ModelConfig, pack: bool) -> [Box<dyn Network>; 2] {
    let trained = network(config, Kind::Float);
    let ready = trained.for_inference(&Inference { pack, ..Inference::at([500.0]) }).unwrap();
    [trained, ready]
}

#[test]
fn it_is_neither_trained_nor_made_ready_again() {
    for config in all() {
        let [trained, ready] = pair(&config, true);
        let Given { x, t, conditioning, .. } = given(&config, &shape(&config, 1), &[500.0], &[2]);
        for mode in [Mode::Train, Mode::Recompute] {
            let error = ready.forward(&x, &t, &conditioning, mode).unwrap_err();
            assert!(matches!(error, NetworkError::Inference(_)), "{error}");
            let _ = trained.forward(&x, &t, &conditioning, mode).unwrap();
        }
        let error = ready.for_inference(&Inference::default()).err().unwrap();
        assert!(matches!(error, NetworkError::Inference(_)), "{error}");
        let _ = ready.forward(&x, &t, &conditioning, Mode::Eval).unwrap();
    }
}

#[test]
fn it_has_kinds_and_a_device_but_no_parameters() {
    for config in all() {
        for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half] {
            let trained = network(&config, kind);
            let ready = trained.for_inference(&Inference::default()).unwrap();
            let (params, expected) = (ready.params(), trained.params());
            assert_eq!(params.iter().count(), 0);
            assert_eq!(params.trained_count(), 0);
            assert_eq!((params.kind(), params.torso()), (expected.kind(), expected.torso()));
            assert_eq!(params.device(), expected.device());
        }
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
            let networks = pair(&config, pack);
            let mut refused = 0;
            for (name, change) in changes() {
                let mut given = given(&config, &shape(&config, 2), &[500.0; 2], &[0, 3]);
                change(&mut given);
                let [expected, said] = [0, 1].map(|i| {
                    let Given { x, t, conditioning, .. } = &given;
                    let out = networks[i].forward(x, t, conditioning, Mode::Eval);
                    out.map(|out| out.size()).map_err(|error| error.to_string())
                });
                refused += usize::from(expected.is_err());
                assert_eq!(said, expected, "{name}, pack {pack}: {config:?}");
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
            let networks = pair(&config, pack);
            let Given { x, t, conditioning, .. } = given(&config, &shape(&config, 0), &[], &[]);
            let with = Conditioning::context(Tensor::zeros([0, 5], F32));
            let mut all = vec![conditioning];
            all.extend(matches!(config, ModelConfig::Context(_)).then_some(with));
            for conditioning in &all {
                let [expected, out] = [0, 1].map(|i| {
                    let out = networks[i].forward(&x, &t, conditioning, Mode::Eval);
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

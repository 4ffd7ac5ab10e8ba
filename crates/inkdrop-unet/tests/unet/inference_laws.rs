//! What a network for inference leaves alone, and what its passes do not depend on.

use inkdrop_nn::{ClassIds, CompileOptions, Conditioning, Mode, Network, Role, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind, Tensor, no_grad_guard};
use inkdrop_unet::{ContextConfig, ModelConfig};

use super::every::all;
use super::inference_support::{
    Given, LAYOUTS, NEAR, check, given, laid, largest, network, noise, pass, shape, sorts, uneven,
};

fn state(network: &dyn TrainableNetwork) -> Vec<Tensor> {
    network.params().iter().map(|param| param.tensor.detach().copy()).collect()
}

fn ready(trained: &dyn TrainableNetwork, pack: bool) -> Box<dyn Network> {
    let options = CompileOptions { pack, classes: vec![3], ..CompileOptions::at([500.0]) };
    trained.compile(&options).unwrap()
}

/// Every third of the sorts: each test here makes several passes of each.
fn some(config: &ModelConfig) -> Vec<Given> {
    sorts(config).into_iter().step_by(3).collect()
}

#[test]
fn making_one_and_using_it_leaves_the_trained_network_as_it_was() {
    for config in all() {
        let trained = network(&config, Kind::Float);
        let flags = |network: &dyn TrainableNetwork| -> Vec<bool> {
            network.params().iter().map(|param| param.tensor.requires_grad()).collect()
        };
        let before = (state(trained.as_ref()), flags(trained.as_ref()));
        let outputs = |network: &dyn Network| -> Vec<Tensor> {
            some(&config).iter().map(|given| pass(network, given)).collect()
        };
        let out = outputs(trained.as_ref());
        for pack in [true, false] {
            let ready = ready(trained.as_ref(), pack);
            let _ = outputs(ready.as_ref());
            assert_eq!((state(trained.as_ref()), flags(trained.as_ref())), before, "{config:?}");
            assert_eq!(outputs(trained.as_ref()), out, "{config:?}");
        }
    }
}

#[test]
fn the_trained_network_still_trains_afterwards() {
    for config in all() {
        let trained = network(&config, Kind::Float);
        for pack in [true, false] {
            let ready = ready(trained.as_ref(), pack);
            let given = &sorts(&config)[1];
            let _ = pass(ready.as_ref(), given);
            let Given { x, t, conditioning, .. } = given;
            let out = trained.forward_mode(x, t, conditioning, Mode::Train).unwrap();
            let mut loss = out.square().mean(Kind::Float);
            if let Some(u) = trained.log_variance(t, Mode::Train).unwrap() {
                loss += u.square().mean(Kind::Float);
            }
            loss.backward();
            for param in trained.params().trained() {
                let mut grad = param.tensor.grad();
                assert!(grad.defined(), "{}: {config:?}", param.name);
                assert!(bool::try_from(grad.isfinite().all()).unwrap(), "{}", param.name);
                let _ = grad.zero_();
            }
        }
    }
}

#[test]
fn made_anew_it_has_the_new_weights() {
    for config in all() {
        let trained = network(&config, Kind::Float);
        let _ = ready(trained.as_ref(), true);
        let guard = no_grad_guard();
        for param in trained.params().iter().filter(|param| param.role == Role::Trained) {
            let _ = param.tensor.shallow_clone().f_mul_scalar_(0.8).unwrap();
        }
        drop(guard);
        for given in some(&config) {
            let anew = ready(trained.as_ref(), true);
            check(&config, (trained.as_ref(), anew.as_ref()), &given, NEAR);
        }
        uneven(trained.as_ref());
    }
}

/// Passes record nothing, whoever makes them.
#[test]
fn it_has_no_gradients() {
    let mut found = Vec::new();
    for config in all() {
        let trained = network(&config, Kind::Float);
        for pack in [true, false] {
            let ready = ready(trained.as_ref(), pack);
            for Given { x, t, conditioning, name } in some(&config) {
                let out = ready.forward(&x, &t, &conditioning).unwrap();
                if out.requires_grad() {
                    found.push(format!("pack {pack}, {name}: {config:?}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_pass_leaves_its_inputs_as_they_were_and_comes_out_the_same_again() {
    for config in all() {
        let trained = network(&config, Kind::Float);
        for packed in [true, false] {
            let ready = ready(trained.as_ref(), packed);
            for given in LAYOUTS
                .iter()
                .flat_map(|layout| some(&config).into_iter().map(|given| laid(given, *layout)))
            {
                let before = (given.x.copy(), given.t.copy());
                let first = pass(ready.as_ref(), &given);
                let again = pass(ready.as_ref(), &given);
                assert_eq!(first, again, "{}: {config:?}", given.name);
                assert_eq!((given.x.copy(), given.t.copy()), before);
            }
        }
    }
}

/// One of the images with what belongs to it.
fn alone(given: &Given, i: i64, class: i64) -> Given {
    let row = |x: &Tensor| x.narrow(0, i, 1);
    let Conditioning {
        context,
        classes,
        low_res,
        image,
        interval,
        self_condition,
        augment,
        first_image,
    } = &given.conditioning;
    let conditioning = Conditioning {
        context: context.as_ref().map(row),
        classes: classes.as_ref().map(|_| ClassIds::new(&[class], Device::Cpu).unwrap()),
        low_res: low_res.as_ref().map(row),
        image: image.as_ref().map(row),
        interval: interval.as_ref().map(row),
        self_condition: self_condition.as_ref().map(row),
        augment: augment.as_ref().map(row),
        first_image: first_image + i,
    };
    let name = format!("image {i} of {}", given.name);
    Given { name, x: row(&given.x), t: row(&given.t), conditioning }
}

/// How far the images of a batch are from what each is alone, where that is more than a bound.
fn dependent(config: &ModelConfig, given: &Given, class: i64, bound: f64) -> Option<String> {
    let trained = network(config, Kind::Float);
    let ready = ready(trained.as_ref(), true);
    let whole = pass(ready.as_ref(), given);
    let images = 0..given.x.size()[0];
    let differences = images.map(|i| {
        let out = pass(ready.as_ref(), &alone(given, i, class));
        largest(&(&out - whole.narrow(0, i, 1)))
    });
    let largest = differences.fold(0.0, f64::max);
    let report = || format!("{largest:e}, {}: {config:?}", given.name);
    (largest > bound).then(report)
}

/// At times known and unknown; bit for bit with a bound of 0.
#[track_caller]
fn check_dependence(configs: impl IntoIterator<Item = ModelConfig>, bound: f64) {
    let mut found = Vec::new();
    for config in configs {
        for time in [500.0, 40.0] {
            let given = given(&config, &shape(&config, 3), &[time; 3], &[3; 3]);
            found.extend(dependent(&config, &given, 3, bound));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn has_class_tokens(config: &ModelConfig) -> bool {
    matches!(config, ModelConfig::Dit(config) if config.in_context_len > 0)
}

/// Networks of which every convolution is packed, and every product of matrices has rows in multiples of 16.
fn over_two_axes(config: &ModelConfig) -> bool {
    let other = match config {
        ModelConfig::Improved(config) => config.dims != 2,
        ModelConfig::Lucid(config) => config.dims != 2,
        config => has_class_tokens(config),
    };
    !other && !matches!(config, ModelConfig::Context(_))
}

#[test]
fn an_image_does_not_depend_on_the_batch_it_is_in() {
    check_dependence(all().into_iter().filter(over_two_axes), 0.0);
}

/// The library of matrix products rounds the last rows of a matrix in another order, which tokens of the
/// class move: 19 tokens an image, not 16.
#[test]
fn nor_does_it_but_for_rounding_with_tokens_of_the_class() {
    check_dependence(all().into_iter().filter(has_class_tokens), 1e-6);
}

#[test]
fn nor_does_it_in_a_context_unet() {
    let of = |features| ContextConfig { features, ..ContextConfig::sprites() };
    check_dependence([8, 16].map(|features| ModelConfig::Context(of(features))), 0.0);
}

#[test]
fn nor_does_it_where_contexts_differ() {
    for features in [8, 16] {
        let config = ModelConfig::Context(ContextConfig { features, ..ContextConfig::sprites() });
        let mut given = given(&config, &shape(&config, 3), &[500.0; 3], &[]);
        let rows = noise(&[3, 5], 77).to_kind(Kind::Float);
        given.conditioning.context = Some(rows);
        assert_eq!(dependent(&config, &given, 0, 0.0), None);
    }
}

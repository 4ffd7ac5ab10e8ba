//! Recipes: built-in configs, classes, several averages, weights to begin with.

use inkdrop_checkpoint::StateDict;

use super::support::{Outcome, Place, place_with_model, tensors, train_args};

/// A tiny network of the ddpm family that is told five classes or none.
const CLASSES: [&str; 28] = [
    "train",
    "sprites-classes",
    "--out",
    "run",
    "--set",
    "model.features=8",
    "--set",
    "model.multipliers=[1,1]",
    "--set",
    "model.groups=4",
    "--set",
    "model.attention=[]",
    "--set",
    "train.batch=4",
    "--set",
    "train.warm_up=0",
    "--set",
    "data.count=64",
    "--set",
    "validation.count=8",
    "--set",
    "train.steps=4",
    "--set",
    "train.checkpoint_every=1",
    "--set",
    "train.log_every=1",
    "--set",
    "train.validate_every=2",
];

fn classes(place: &Place, more: &[&str]) -> Outcome {
    place.run(&[&CLASSES[..], more].concat())
}

/// Every built-in config is a run that could begin: only its data may not be there.
#[test]
fn built_in_configs_are_listed_and_begin() {
    let place = Place::new();
    let listed = place.run(&["train", "--list"]).succeeds().stdout;
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        names,
        [
            "sprites",
            "sprites-notebook",
            "sprites-classes",
            "sprites-edm",
            "sprites-flow",
            "sprites-dit",
            "sprites-inpaint",
            "sprites-upscale",
            "digits",
            "fashion",
            "folder",
            "cifar10-ddpm",
            "cifar10-improved"
        ]
    );
    assert!(listed.lines().all(|line| line.len() <= 80), "{listed}");
    for name in &names[8..] {
        place.refuses(&["train", name, "--out", "run", "--data", "nowhere"], &["nowhere"]);
    }
}

#[test]
fn a_network_of_classes_learns_and_knows_them_by_name() {
    let place = Place::new();
    classes(&place, &[]).succeeds();
    let weights = StateDict::open(&place.path("run/final.safetensors")).expect("a model");
    let said: Option<serde_json::Value> = weights.metadata("classes").expect("JSON");
    let said = said.expect("its classes");
    assert_eq!(said["names"][3], "spell");
    assert_eq!(said["null"], 5);
    let sample = |more: &[&str]| {
        let command = ["sample", "run/final.safetensors", "-n", "1", "--steps", "2"];
        place.run(&[&command[..], more].concat())
    };
    // The class that stands for none is known, so nothing has to be said of it.
    sample(&["--class", "spell", "--guidance", "2", "--out", "guided.png"]).succeeds();
    sample(&["--class", "3", "--out", "numbered.png"]).succeeds();
    sample(&["--out", "any.png"]).succeeds();
    sample(&["--class", "dragon", "--out", "no.png"]).fails_saying(&["dragon", "spell", "0 to 5"]);
}

#[test]
fn classes_that_do_not_fit_are_refused_with_both_numbers() {
    let place = Place::new();
    let refused = |more: &[&str], words: &[&str]| {
        place.refuses(&[&CLASSES[..], more].concat(), words);
    };
    refused(&["--set", "model.classes=3"], &["5 classes", "has 3", "model.classes=5"]);
    refused(&["--set", "model.classes=9"], &["5 classes", "has 9"]);
    refused(&["--set", "model.classes=5"], &["train.label_dropout", "model.classes=6"]);
    let exact = ["--set", "model.classes=5", "--set", "train.label_dropout=0.0"];
    classes(&place, &exact).succeeds();
}

#[test]
fn every_rule_leaves_a_model() {
    let place = Place::new();
    let rules = r#"train.ema=["0.9", "0.5:start=2", "0"]"#;
    place.train("run", "3", &["--set", rules]).succeeds();
    let files = ["final", "final-0.5_start-2", "final-0"];
    let weights = files.map(|name| tensors(&place.path(&format!("run/{name}.safetensors"))));
    assert!(weights[0] != weights[1] && weights[1] != weights[2]);
    let network = StateDict::open(&place.path("run/checkpoints/step-0000003.safetensors"));
    let network = network.expect("a checkpoint").below("network.");
    let last = StateDict::open(&place.path("run/final-0.safetensors")).expect("a model");
    assert!(last.iter().all(|(key, tensor)| network.get(key) == Some(tensor)));
}

/// Weights of another run, and the average of one rule from a third: with a rate near 0, the
/// first step leaves them as they are.
#[test]
fn a_run_begins_with_foreign_weights() {
    let place = place_with_model();
    place.train("other", "2", &["--set", "train.seed=9"]).succeeds();
    let begin = [
        "--init",
        "model.safetensors",
        "--init-ema",
        "0.9999=other/final.safetensors",
        "--set",
        "train.ema=[\"0.99\", \"0.9999\"]",
        "--set",
        "train.lr=1e-12",
    ];
    place.train("run", "1", &begin).succeeds();
    let near = |ours: &str, theirs: &str| {
        let (ours, theirs) = (place.path(ours), place.path(theirs));
        let theirs = StateDict::open(&theirs).expect("a model");
        let ours = StateDict::open(&ours).expect("a model");
        let trained = |key: &str| !key.contains("running") && !key.contains("tracked");
        ours.iter().filter(|(key, _)| trained(key)).all(|(key, tensor)| {
            let other = theirs.get(key).expect("the same keys");
            (tensor - other).abs().max().double_value(&[]) < 1e-3
        })
    };
    assert!(near("run/final.safetensors", "model.safetensors"));
    assert!(near("run/final-0.9999.safetensors", "other/final.safetensors"));
    assert!(!near("run/final.safetensors", "other/final.safetensors"));

    // A checkpoint has the average beside the weights.
    place.train("wide", "2", &["--set", "train.lr=0.1"]).succeeds();
    let average = "0.9999=wide/checkpoints/step-0000002.safetensors";
    let begin = [&begin[..3], &[average], &begin[4..]].concat();
    place.train("from", "1", &begin).succeeds();
    assert!(near("from/final-0.9999.safetensors", "wide/final.safetensors"));
    assert!(!near("from/final-0.9999.safetensors", "wide/final-raw.safetensors"));

    let refused = |more: &[&str], words: &[&str]| {
        place.refuses(&train_args("no", "1", more), words);
    };
    refused(&["--init", "kept.png"], &["kept.png"]);
    let wider = ["--init", "model.safetensors", "--set", "model.features=16"];
    refused(&wider, &["--init model.safetensors", "weights do not match"]);
    refused(&["--init-ema", "0.5=model.safetensors"], &["0.5", "0.999:warm-up"]);
    refused(&["--init-ema", "model.safetensors"], &["DECAY=FILE"]);
    refused(&["--init-step", "1"], &["--init-step"]);
}

/// A PyTorch file of the same network, as OpenAI's scripts leave one for each average.
#[test]
fn a_run_begins_with_a_file_of_pytorch() {
    let place = place_with_model();
    place.run(&["convert", "model.safetensors", "ema_0.9999_000003.pt"]).succeeds();
    let begin = ["--init", "ema_0.9999_000003.pt", "--set", "train.lr=1e-12", "--init-step", "1"];
    place.train("run", "2", &begin).succeeds();
    let step = tensors(&place.path("run/checkpoints/step-0000002.safetensors"));
    assert!(step.contains_key("network.out.0.weight"));
    let log = std::fs::read_to_string(place.path("run/log.jsonl")).expect("a log");
    assert!(log.lines().count() == 1 && log.starts_with("{\"step\":2,"), "{log}");
}

/// Each precision, a microbatch, decoupled decay in groups, the second moment of the losses.
#[test]
fn every_part_of_a_recipe_is_taken_from_the_command_line() {
    let place = Place::new();
    for (number, settings) in [
        &["train.precision=bf16", "train.microbatch=3"][..],
        &["train.precision=f16", "train.clip_norm=1.0"],
        &["train.weight_decay=0.1", r#"train.groups=[{names=["*.bias"], weight_decay=0.0}]"#],
        &["train.timesteps=loss-second-moment", "train.lr_schedule=cosine", "train.flip=true"],
    ]
    .into_iter()
    .enumerate()
    {
        let settings: Vec<&str> = settings.iter().flat_map(|s| ["--set", s]).collect();
        place.train(&format!("run{number}"), "2", &settings).succeeds();
    }
    let typo = ["--set", r#"train.groups=[{names=["*.bais"]}]"#];
    place.refuses(&train_args("run", "2", &typo), &["*.bais"]);
    place.refuses(&train_args("run", "2", &["--set", "train.ema=[\"1.5\"]"]), &["1.5"]);
}

/// A network that makes images of 16 × 16 out of 8 × 8, as improved-diffusion's super_res_train.
#[test]
fn a_network_that_enlarges_learns_from_images_made_small() {
    let config = r#"
[model]
family = "improved-super-res"
size = 16
channels = 3
outputs = 6
features = 32
multipliers = [1.0]
blocks = 1
scale_shift = true

[process]
schedule = { name = "cosine", steps = 100 }
time = "rescaled"
variance = "learned-range"

[data]
kind = "sprites"
seed = 0
count = 16

[train]
steps = 2
batch = 4
low_res = 8
loss = "rescaled-mse"
"#;
    let place = Place::new();
    place.put("mine.toml", config.as_bytes());
    let train = ["train", "mine.toml", "--out", "run"];
    place.refuses(&[&train[..], &["--unset", "train.low_res"]].concat(), &["train.low_res"]);
    for (setting, words) in
        [("train.low_res=5", "divides 16 x 16"), ("train.low_res=0", "train.low_res = 0")]
    {
        place.refuses(&[&train[..], &["--set", setting]].concat(), &[words]);
    }
    place.run(&train).succeeds();
    let sample = ["data", "-n", "2", "--seed", "1", "--out", "x/"];
    place.run(&sample).succeeds();
    let upscale = ["edit", "upscale", "run/final.safetensors", "x", "--steps", "2"];
    place.refuses(&upscale, &["16 x 16", "smaller by an integer factor"]);
    let plain = ["--set", "train.low_res=8"];
    place.refuses(&train_args("other", "2", &plain), &["improved-super-res"]);
}

/// torch.optim numbers its state in the order of the network's own file.
#[test]
fn a_run_begins_with_the_optimiser_of_pytorch() {
    let place = Place::new();
    place.train("run", "3", &["--set", "train.lr_schedule=constant"]).succeeds();
    let checkpoint = place.path("run/checkpoints/step-0000003.safetensors");
    let state = StateDict::open(&checkpoint).expect("a checkpoint");
    // The other way round than ours: what counts is the order of the file.
    let network = state.below("network.");
    let names: Vec<&str> = network.iter().map(|(name, _)| name).collect();
    let names: Vec<&str> = names.into_iter().rev().collect();
    network.save_torch(&place.path("model.pt"), &names).expect("a file");
    let mut optimiser = StateDict::default();
    let trained = |name: &&&str| state.get(&format!("adam.mean.{name}")).is_some();
    for (number, name) in names.iter().filter(trained).enumerate() {
        for (ours, theirs) in [("mean", "exp_avg"), ("square", "exp_avg_sq")] {
            let tensor = state.get(&format!("adam.{ours}.{name}")).expect("its state");
            optimiser.insert(format!("state.{number}.{theirs}"), tensor.copy());
        }
    }
    optimiser.save_torch(&place.path("opt.pt"), &[]).expect("a file");
    let average = "0.999:warm-up=run/final.safetensors";
    let begin = ["--init", "model.pt", "--init-optimizer", "opt.pt", "--init-step", "3"];
    let begin =
        [&begin[..], &["--init-ema", average, "--set", "train.lr_schedule=constant"]].concat();
    place.train("on", "5", &begin).succeeds();
    // The run that the state is from, at a rate that does not fall, would have gone the same way.
    let constant = ["--set", "train.lr_schedule=constant"];
    place.train("whole", "5", &constant).succeeds();
    let last = |run: &str| tensors(&place.path(&format!("{run}/final.safetensors")));
    assert!(last("on") == last("whole"));
    let unordered = ["--init", "run/final.safetensors", "--init-optimizer", "opt.pt"];
    place.refuses(&train_args("no", "5", &unordered), &["--init-optimizer", "order"]);
}

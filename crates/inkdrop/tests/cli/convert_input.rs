//! Conversions that are refused.

use inkdrop_checkpoint::StateDict;

use super::networks::{
    ddpm, fixture_name, improved, place_with_weights, put_config, put_weights, together, weights,
};
use super::support::{Place, place_with_model};

#[test]
fn a_file_is_not_written_over_itself() {
    let place = place_with_model();
    let full = place.path("model.safetensors").into_os_string().into_string().expect("UTF-8");
    for output in ["model.safetensors", "./model.safetensors", &full] {
        place.refuses(
            &["convert", "model.safetensors", output],
            &["model.safetensors", "would be overwritten"],
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_does_not_hide_that_it_is_the_same_file() {
    let place = place_with_model();
    let link = place.path("link.safetensors");
    std::os::unix::fs::symlink(place.path("model.safetensors"), link).expect("a link");
    place.refuses(&["convert", "link.safetensors", "model.safetensors"], &["would be overwritten"]);
    place.refuses(&["convert", "model.safetensors", "link.safetensors"], &["would be overwritten"]);
}

#[test]
fn an_unknown_ending_is_named_with_the_known_ones() {
    let place = place_with_model();
    for output in ["x.npz", "x.ckpt", "x.onnx", "x.safetensor", "x.PTH2", "dir/x.txt"] {
        let ending = output.rsplit_once('.').expect("an ending").1.to_lowercase();
        let words = [&ending, "x.safetensors", "x.pt", "x.pth", "x.bin", "directory"];
        place.refuses(&["convert", "model.safetensors", output], &words);
    }
}

#[test]
fn a_place_that_is_not_there_is_named() {
    let place = place_with_model();
    place.refuses(&["convert", "model.safetensors", "no/x.pt"], &["no/x.pt", "no directory"]);
    std::fs::create_dir(place.path("x.pt")).expect("a folder");
    place.refuses(&["convert", "model.safetensors", "x.pt"], &["x.pt", "directory"]);
    place.refuses(&["convert", "none.pt", "x.safetensors"], &["none.pt", "no file"]);
}

#[test]
fn several_networks_are_named_and_one_has_to_be_chosen() {
    let place = Place::new();
    let file = fixture_name("training.pt");
    let convert = |more: &[&str], words: &[&str]| {
        place.refuses(&[&["convert", &file, "x.pt"], more].concat(), words);
    };
    convert(&[], &["--part", "model", "ema_model"]);
    convert(&["--part", "teacher"], &["teacher", "model", "ema_model"]);
    let single = place_with_model();
    let args = ["convert", "model.safetensors", "x.pt", "--part", "ema_model"];
    single.refuses(&args, &["ema_model", "leave --part out"]);
}

#[test]
fn weights_that_do_not_fit_the_config_are_refused_with_the_first_keys() {
    let place = place_with_weights("model.pt", &improved());
    put_config(&place, "net.json", &ddpm());
    for output in ["x.safetensors", "x.pt"] {
        let args = ["convert", "model.pt", output, "--config", "net.json"];
        place.refuses(&args, &["model.pt", "ddpm", "missing", "unexpected"]);
        let args = ["convert", "model.pt", output, "--config", "improved_cifar10"];
        place.refuses(&args, &["model.pt", "improved_cifar10", "shape", "expected"]);
        let args = ["convert", "model.pt", output, "--set", "features=64"];
        place.refuses(&args, &["model.pt", "shape", "expected"]);
    }
}

#[test]
fn weights_that_only_look_like_a_network_convert_without_a_claim() {
    let place = Place::new();
    let extra = fixture_name("kinds.safetensors");
    let extra = inkdrop_checkpoint::StateDict::open(extra.as_ref()).expect("a fixture");
    put_weights(&place, "model.pt", &together(&[("", &weights(&improved())), ("", &extra)]));
    let outcome = place.run(&["convert", "model.pt", "x.safetensors"]).succeeds();
    for word in ["its metadata lacks", "improved", "unexpected"] {
        assert!(outcome.stdout.contains(word), "no {word} in {}", outcome.stdout);
    }
}

#[test]
fn a_config_that_is_no_network_is_refused_by_its_field() {
    let place = place_with_weights("model.pt", &improved());
    let cases: [(&str, &str, &[&str]); 9] = [
        ("a.toml", "family = \"improved\"\nfeatures = 32", &["a.toml", "improved", "size"]),
        ("a.toml", "features = ", &["a.toml", "TOML"]),
        ("a.json", "{\"family\": ", &["a.json", "JSON"]),
        ("a.json", "[1, 2]", &["a.json", "expected"]),
        ("a.json", "{\"features\": 3}", &["a.json", "family", "improved", "unet2d"]),
        ("a.json", "{\"family\": \"vae\"}", &["a.json", "vae", "improved", "unet2d"]),
        ("a.json", "{\"family\": \"improved\", \"wings\": 2}", &["a.json", "wings"]),
        ("a.json", "{\"family\": \"ddpm\", \"base_channels\": 7}", &["a.json", "7"]),
        ("a.json", "{\"family\": \"ddpm\", \"base_channels\": \"x\"}", &["a.json", "x"]),
    ];
    for (name, text, words) in cases {
        place.put(name, text.as_bytes());
        place.refuses(&["convert", "model.pt", "x.pt", "--config", name], words);
    }
    place.refuses(&["convert", "model.pt", "x.pt", "--config", "none.toml"], &["none.toml"]);
    let words = ["imporved", "inkdrop plan --list", ".toml", ".json"];
    place.refuses(&["convert", "model.pt", "x.pt", "--config", "imporved"], &words);
}

#[test]
fn settings_and_flags_are_checked() {
    let place = place_with_weights("model.pt", &improved());
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--set", "wings=2"], &["wings=2", "heads", "size"]),
        (&["--set", "heads"], &["heads", "key=value"]),
        (&["--set", "heads=three"], &["heads=three"]),
        (&["--set", "heads=0"], &["heads", "0"]),
        (&["--set", "size=big"], &["size=big", "32"]),
        (&["--flags", "--image_size 17"], &["--flags", "17", "channel_mult"]),
        (&["--flags", "--wings 2"], &["--flags", "wings"]),
        (&["--config", "improved_cifar10", "--flags", "--image_size 32"], &["--config", "--flags"]),
        (&["--dtype", "f8"], &["f8", "f16", "bf16", "f32"]),
    ];
    for (options, words) in cases {
        place.refuses(&[&["convert", "model.pt", "x.safetensors"], options].concat(), words);
    }
    let process = ["convert", "model.pt", "x.safetensors", "--process", "polynomial"];
    place.refuses(&process, &["polynomial", "cosine", "linear"]);
    place.refuses(&["convert", "model.pt", "x.pt", "--process", "ddpm"], &["--process"]);
}

#[test]
fn what_a_file_says_is_not_contradicted() {
    let place = place_with_model();
    let cases: [(&[&str], &str); 3] = [
        (&["--config", "improved_cifar10"], "--config"),
        (&["--set", "features=16"], "--set"),
        (&["--process", "cosine:100"], "--process"),
    ];
    for (options, word) in cases {
        let args = ["convert", "model.safetensors", "x.safetensors"];
        place.refuses(&[&args[..], options].concat(), &["model.safetensors", word]);
    }
    let same = ["convert", "model.safetensors", "x.safetensors", "--process", "sprites"];
    place.run(&same).succeeds();
}

/// A weight of a dtype that cannot be read is not left out in silence.
#[test]
fn a_network_with_weights_that_cannot_be_read_is_refused() {
    let place = place_with_model();
    let mut bare = StateDict::default();
    for (key, tensor) in StateDict::open(&place.path("model.safetensors")).expect("a model").iter()
    {
        bare.insert(key, tensor.shallow_clone());
    }
    bare.save(&place.path("bare.safetensors")).expect("a file");
    let mut bytes = std::fs::read(place.path("bare.safetensors")).expect("a model");
    let float = bytes.windows(10).position(|text| text == br#""dtype":"F"#).expect("a weight");
    bytes[float + 9] = b'U';
    place.put("odd.safetensors", &bytes);
    for output in ["x.pt", "x.safetensors"] {
        let words = ["these tensors", "(U", "convert them with PyTorch"];
        place.refuses(&["convert", "odd.safetensors", output], &words);
        assert!(!place.path(output).exists());
    }
}

#[test]
fn weights_that_half_precision_cannot_hold_are_named() {
    let place = place_with_model();
    let mut model = StateDict::open(&place.path("model.safetensors")).expect("a model");
    let key = model.iter().map(|(key, _)| key.to_string()).find(|key| key.ends_with("weight"));
    let key = key.expect("a weight");
    let large = model.get(&key).expect("a weight").ones_like() * 65_520.0;
    model.insert(key.clone(), large);
    model.save(&place.path("large.safetensors")).expect("a file");
    let convert = |dtype| ["convert", "large.safetensors", "x.safetensors", "--dtype", dtype];
    place.refuses(&convert("f16"), &[&key, "infinite", "bf16"]);
    place.run(&convert("bf16")).succeeds();
}

/// The state of an optimizer has numbers for names, in the order of the weights.
#[test]
fn a_file_of_pytorch_keeps_the_order_of_its_weights() {
    let place = place_with_model();
    let model = StateDict::open(&place.path("model.safetensors")).expect("a model");
    let names: Vec<&str> = model.iter().map(|(key, _)| key).collect();
    let reversed: Vec<&str> = names.into_iter().rev().collect();
    model.save_torch(&place.path("old.pt"), &reversed).expect("a file");
    place.run(&["convert", "old.pt", "new.pt", "--dtype", "f16"]).succeeds();
    assert_eq!(StateDict::open(&place.path("new.pt")).expect("a model").order(), reversed);
}

#[test]
fn a_card_names_no_classes_that_the_network_lacks() {
    let place = place_with_model();
    let card = "about = 'x'\ndata = 'y'\nrecipe = 'z'\nlicence = 'MIT'\nclasses = ['cat', 'dog']\n";
    place.put("card.toml", card.as_bytes());
    let convert = ["convert", "model.safetensors", "x.safetensors", "--card", "card.toml"];
    place.refuses(&convert, &["--card", "names 2 classes, the network has 0"]);
}

//! Network snapshots of EDM and EDM2: the network and the process come from the arguments that they record.
#![allow(clippy::unwrap_used)]

use std::fs;

use inkdrop_checkpoint::StateDict;
use inkdrop_torch::tch::Kind;
use inkdrop_unet::{Edm2Config, EdmArchitecture, EdmConfig, ModelConfig};
use serde_json::{Value, json};

use super::networks::{fixture_name, weights};
use super::support::{Place, tensors};

/// SongUNet for 8 × 8 pixels; FIELD stands for another one.
fn edm() -> EdmConfig {
    EdmConfig {
        size: 8,
        features: 8,
        multipliers: vec![1, 1],
        blocks: 1,
        attention: vec![],
        augment: None,
        dropout: 0.1,
        ..EdmConfig::cifar10()
    }
}

/// The arguments of that network.
fn arguments() -> Value {
    json!({
        "img_resolution": 8, "img_channels": 3, "model_type": "SongUNet", "model_channels": 8,
        "channel_mult": [1, 1], "num_blocks": 1, "attn_resolutions": [],
    })
}

/// What pickle writes of a value: protocol 4, without a memo.
fn pickled(value: &Value) -> Vec<u8> {
    let list =
        |items: &[Value]| [b"(", &items.iter().flat_map(pickled).collect::<Vec<u8>>()[..]].concat();
    match value {
        Value::Null => b"N".to_vec(),
        Value::Bool(flag) => vec![0x88 + u8::from(!flag)],
        Value::Number(number) => match number.as_i64() {
            Some(whole) => [b"J", &(whole as i32).to_le_bytes()[..]].concat(),
            None => [b"G", &number.as_f64().unwrap().to_be_bytes()[..]].concat(),
        },
        Value::String(text) => text_of(text),
        Value::Array(items) => [&list(items)[..], b"l"].concat(),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| [text_of(key), pickled(value)].concat();
            [b"(", &entries.iter().flat_map(entry).collect::<Vec<u8>>()[..], b"d"].concat()
        }
    }
}

fn text_of(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A tensor in f32 or f16, its storage as a torch.save stream in the pickle.
fn tensor(tensor: &inkdrop_torch::tch::Tensor) -> Vec<u8> {
    let (class, unit) = if tensor.kind() == Kind::Half { ("Half", 2) } else { ("Float", 4) };
    let count = tensor.numel();
    let mut values = vec![0; count * unit];
    tensor.contiguous().copy_data_u8(&mut values, count);
    let count = (count as u64).to_le_bytes();
    let mut stream =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."
            .to_vec();
    let id = format!("\x02(X\x07\0\0\0storagectorch\n{class}Storage\nX\x01\0\0\x000X\x03\0\0\0cpu");
    stream.push(0x80);
    stream.extend_from_slice(id.as_bytes());
    stream
        .extend_from_slice(&[b"\x8a\x08", &count[..], b"NtQ.\x80\x02](X\x01\0\0\x000e."].concat());
    stream.extend_from_slice(&[&count[..], &values].concat());
    let size = tensor.size();
    let mut steps = vec![1; size.len()];
    (1..size.len()).rev().for_each(|axis| steps[axis - 1] = steps[axis] * size[axis]);
    let tuple = |numbers: &[i64]| {
        let numbers = numbers.iter().flat_map(|&number| pickled(&json!(number)));
        [b"(", &numbers.collect::<Vec<u8>>()[..], b"t"].concat()
    };
    let load = b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n(B";
    let length = (stream.len() as u32).to_le_bytes();
    [&load[..], &length, &stream, b"tRK\0", &tuple(&size), &tuple(&steps), b"\x89}tR"].concat()
}

/// A snapshot: a preconditioned network of this class, constructed with these arguments.
fn snapshot(class: &str, arguments: &[Value], keywords: &Value, weights: &StateDict) -> Vec<u8> {
    let prefix = if class == "Precond" { "" } else { "model." };
    let parameters: Vec<u8> = weights
        .iter()
        .flat_map(|(key, value)| [text_of(&format!("{prefix}{key}")), tensor(value)].concat())
        .collect();
    let positions: Vec<u8> = arguments.iter().flat_map(pickled).collect();
    let parts: [&[u8]; 19] = [
        b"\x80\x04(",
        &text_of("ema"),
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n((",
        &text_of("class_name"),
        &text_of(class),
        &text_of("module_src"),
        &text_of("open('the_program_was_run', 'w').close()\n"),
        &text_of("state"),
        b"(",
        &text_of("_init_args"),
        &[b"(", &positions[..], b"t"].concat(),
        &text_of("_init_kwargs"),
        &pickled(keywords),
        &text_of("_modules"),
        b"}",
        &text_of("_parameters"),
        &[b"(", &parameters[..], b"d"].concat(),
        b"ddtR",
        &[&text_of("loss_fn")[..], b"Nd."].concat(),
    ];
    parts.concat()
}

fn inspected(place: &Place, file: &str) -> Value {
    let told = place.run(&["inspect", file, "--json"]).succeeds().stdout;
    serde_json::from_str(&told).unwrap()
}

#[test]
fn each_class_is_its_process() {
    let network = weights(&ModelConfig::Edm(edm()));
    let with = |more: Value| {
        let mut keywords = arguments();
        keywords.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        keywords
    };
    let edm = json!({"name": "edm", "sigma_data": 0.5});
    for (class, more, expected) in [
        ("EDMPrecond", json!({"sigma_min": 0, "sigma_max": null}), edm),
        ("EDMPrecond", json!({"sigma_data": 0.25}), json!({"name": "edm", "sigma_data": 0.25})),
        ("VPPrecond", json!({}), json!({"name": "vp", "beta_d": 19.9, "beta_min": 0.1})),
        (
            "VPPrecond",
            json!({"beta_d": 15}),
            json!({"name": "vp", "beta_d": 15.0, "beta_min": 0.1}),
        ),
        ("VEPrecond", json!({"sigma_max": 200.0}), json!({"name": "ve"})),
    ] {
        let place = Place::new();
        place.put("x.pkl", &snapshot(class, &[], &with(more), &network));
        let told = inspected(&place, "x.pkl");
        assert_eq!(told["process"], json!({"preconditioning": expected}), "{class}");
        assert_eq!(told["known_from"], "the snapshot's arguments");
        assert_eq!(told["parts"], json!(["ema.model"]));
        place.run(&["sample", "x.pkl", "-n", "1", "--steps", "2", "--out", "x.npz"]).succeeds();
        assert!(!place.path("the_program_was_run").exists());
    }
    let place = Place::new();
    let narrow = with(json!({"sigma_min": 0.01, "sigma_max": 50.0}));
    place.put("x.pkl", &snapshot("EDMPrecond", &[], &narrow, &network));
    let told = inspected(&place, "x.pkl");
    assert_eq!(
        (&told["process"]["sigma_min"], &told["process"]["sigma_max"]),
        (&json!(0.01), &json!(50.0))
    );
}

#[test]
fn iddpm_has_twice_the_outputs_and_positions_are_names() {
    let config = EdmConfig {
        architecture: EdmArchitecture::Dhariwal,
        outputs: 6,
        multipliers: vec![1, 1],
        ..edm()
    };
    let network = weights(&ModelConfig::Edm(config.clone()));
    let keywords = json!({"model_channels": 8, "channel_mult": [1, 1], "num_blocks": 1, "attn_resolutions": [], "use_fp16": true});
    let place = Place::new();
    place.put(
        "x.pkl",
        &snapshot("iDDPMPrecond", &[json!(8), json!(3), json!(0)], &keywords, &network),
    );
    let told = inspected(&place, "x.pkl");
    assert_eq!(told["config"], serde_json::to_value(ModelConfig::Edm(config)).unwrap());
    assert_eq!(told["process"], json!({"preconditioning": {"name": "iddpm"}}));
    place.run(&["sample", "x.pkl", "-n", "1", "--steps", "2", "--out", "x.npz"]).succeeds();
}

#[test]
fn half_precision_is_kept_and_sampled_in_single() {
    let config = Edm2Config {
        size: 8,
        multipliers: vec![1, 1],
        blocks: 1,
        classes: Some(3),
        ..Edm2Config::imagenet64(8)
    };
    let mut network = weights(&ModelConfig::Edm2(config));
    let half: Vec<_> =
        network.iter().map(|(key, value)| (key.to_string(), value.to_kind(Kind::Half))).collect();
    half.into_iter().for_each(|(key, value)| network.insert(key, value));
    let keywords = json!({"img_resolution": 8, "img_channels": 3, "label_dim": 3, "model_channels": 8, "channel_mult": [1, 1], "num_blocks": 1});
    let place = Place::new();
    place.put("x.pkl", &snapshot("Precond", &[], &keywords, &network));
    let told = inspected(&place, "x.pkl");
    assert_eq!((&told["family"], &told["assumed"]), (&json!("edm2"), &json!({})));
    place.run(&["convert", "x.pkl", "half.safetensors"]).succeeds();
    place.run(&["convert", "x.pkl", "whole.safetensors", "--dtype", "f32"]).succeeds();
    assert!(
        tensors(&place.path("half.safetensors")).values().all(|(kind, ..)| *kind == Kind::Half)
    );
    let sample = |file: &str, out: &str| {
        let args = [
            "sample",
            file,
            "-n",
            "2",
            "--class",
            "1",
            "--guidance",
            "2",
            "--steps",
            "2",
            "--out",
            out,
        ];
        place.run(&args).succeeds();
        fs::read(place.path(out)).unwrap()
    };
    let images = sample("x.pkl", "x.npz");
    assert!(
        images == sample("half.safetensors", "y.npz")
            && images == sample("whole.safetensors", "z.npz")
    );
}

#[test]
fn arguments_that_make_no_network_are_an_error_in_a_sentence() {
    let network = weights(&ModelConfig::Edm(edm()));
    let with = |name: &str, value: Value| {
        let mut keywords = arguments();
        keywords[name] = value;
        keywords
    };
    let place = Place::new();
    let refused = |class: &str, positions: &[Value], keywords: &Value, words: &[&str]| {
        place.put("x.pkl", &snapshot(class, positions, keywords, &network));
        place.refuses(&["sample", "x.pkl", "--steps", "2", "--out", "x.npz"], words);
    };
    refused("EDMPrecond", &[], &with("model_channels", json!("wide")), &["snapshot", "wide"]);
    refused("EDMPrecond", &[], &with("model_type", json!("StyleGAN")), &["StyleGAN", "SongUNet"]);
    refused("EDMPrecond", &[], &with("novelty", json!(1)), &["novelty"]);
    refused("EDMPrecond", &[], &with("img_resolution", json!(-8)), &["size"]);
    refused("EDMPrecond", &[], &with("model_channels", json!(1 << 30)), &["features"]);
    refused("EDMPrecond", &[], &with("sigma_data", json!("half")), &["sigma_data", "number"]);
    refused("EDMPrecond", &[], &with("sigma_data", json!(-0.5)), &["sigma_data"]);
    refused("VPPrecond", &[], &with("M", json!(500)), &["M is 500", "--process"]);
    refused("iDDPMPrecond", &[], &with("img_channels", json!(i32::MAX)), &["img_channels"]);
    refused("EDMPrecond", &vec![json!(8); 9], &arguments(), &["9 arguments by position"]);
    refused("EDMPrecond", &[], &with("model_channels", json!(16)), &["do not match the network"]);
}

#[test]
fn a_snapshot_of_another_network_is_named_unknown() {
    let place = Place::new();
    for file in ["snapshot.pkl", "state_dict.pkl"] {
        let name = fixture_name(file);
        place.refuses(&["sample", &name, "--out", "x.npz"], &["--config PRESET"]);
        let told = inspected(&place, &name);
        assert_eq!(
            (&told["family"], &told["format"]),
            (&json!("unknown"), &json!("Python pickle (pickle.dump)"))
        );
    }
    let args =
        ["sample", &fixture_name("snapshot.pkl"), "--config", "edm_cifar10", "--out", "x.npz"];
    place.refuses(&args, &["do not match the network"]);
    place.put("list.pkl", b"\x80\x04].");
    place.refuses(&["inspect", "list.pkl"], &["a Python pickle of a list", "expected safetensors"]);
    place.put("harm.pkl", b"\x80\x04cos\nsystem\nX\x04\0\0\0true\x85R.");
    place.refuses(&["inspect", "harm.pkl"], &["os.system", "not executed"]);
}

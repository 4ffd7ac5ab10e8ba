//! Several processes: the optimizer state in shards, and the all-reduces in the log.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

use inkdrop_checkpoint::StateDict;

use super::launch::{Launched, difference, launch, signal, train};
use super::support::{Place, tensors};

/// Adam's moments, f32, of the trained weights: as many bytes as the gradients.
fn bytes_of_gradients(checkpoint: &Path) -> f64 {
    let state = StateDict::open(checkpoint).expect("a checkpoint");
    let moments = state.iter().filter(|(key, _)| key.starts_with("adam.mean."));
    moments.map(|(_, tensor)| 4.0 * tensor.numel() as f64).sum()
}

#[test]
fn the_log_has_the_bytes_and_seconds_of_the_all_reduces_of_several_processes() {
    let place = Place::new();
    place.run(&train("one", "3", &[])).succeeds();
    place.run(&launch("2", &[], &train("two", "3", &["--set", "train.microbatch=1"]))).succeeds();
    let log =
        |name: &str| fs::read_to_string(place.path(&format!("{name}/log.jsonl"))).expect("a log");
    assert!(!log("one").contains("all_reduce"), "{}", log("one"));
    let bytes = bytes_of_gradients(&place.path("two/checkpoints/step-0000003.safetensors"));
    for line in log("two").lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let number = |key: &str| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"));
        assert_eq!(number("all_reduce_bytes"), bytes, "once a step, whatever the microbatches");
        assert!(number("all_reduce_seconds") > 0.0);
        assert!((0.0..=1.0).contains(&number("all_reduce_hidden_fraction")), "{line}");
    }
}

const SHARDED: [&str; 2] = ["--set", "train.shard_optimizer=true"];

#[test]
fn a_sharded_optimizer_state_changes_no_byte() {
    let place = Place::new();
    let groups = [&SHARDED[..], &["--set", "train.weight_decay=0.1"]].concat();
    for processes in ["2", "3"] {
        for (sharded, more) in [(&SHARDED[..], &[][..]), (&groups, &groups[2..])] {
            let [whole, shards] =
                ["whole", "shards"].map(|name| format!("{name}{}{processes}", more.len()));
            place.run(&launch(processes, &[], &train(&whole, "5", more))).succeeds();
            place.run(&launch(processes, &[], &train(&shards, "5", sharded))).succeeds();
            for file in ["checkpoints/step-0000005.safetensors", "final.safetensors"] {
                let of = |name: &str| tensors(&place.path(&format!("{name}/{file}")));
                assert!(of(&whole) == of(&shards), "{processes} processes, {file}");
            }
        }
    }
}

#[test]
fn a_sharded_optimizer_state_resumes_with_another_number_of_processes() {
    let place = Place::new();
    place.run(&train("one", "40", &[])).succeeds();
    let run = Launched::start(&place, &launch("2", &[], &train("run", "40", &SHARDED)), "run");
    signal("-INT", &run.child.id().to_string());
    assert_eq!(run.end().code, Some(130));
    let copy = Command::new("cp").args(["-r", "run", "alone"]).current_dir(place.0.path()).status();
    assert!(copy.expect("cp").success());
    let resumed = |out| [train(out, "40", &SHARDED), vec!["--resume"]].concat();
    place.run(&launch("3", &[], &resumed("run"))).succeeds();
    place.run(&resumed("alone")).succeeds();
    let of = |name: &str| place.path(&format!("{name}/final.safetensors"));
    for name in ["run", "alone"] {
        let apart = difference(&of("one"), &of(name));
        assert!(apart < 1e-5, "{name}: {apart:e}");
    }
}

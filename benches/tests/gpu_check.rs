//! Tests of `gpu_check` with the CPU instead of a GPU.
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::{Command, Output};

use inkdrop_torch::DeviceChoice;

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_gpu_check")).args(arguments).output().unwrap();
    let text = [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (status.code(), text)
}

#[test]
fn the_cpu_agrees_with_itself() {
    let (code, text) = run(&["--device", "cpu", "--quick"]);
    assert_eq!(code, Some(0), "{text}");
    for word in ["libtorch  2.11.0", "sprites", "unet2d_cifar10", "f16", ", 0 failed"] {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
}

#[test]
fn without_a_gpu_it_prints_the_reason_in_one_line() {
    if DeviceChoice::Cuda(0).resolve().is_ok() {
        return;
    }
    let (code, text) = run(&[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.starts_with("no GPU to check: device cuda:0 was requested, but "), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn help_describes_exit_status_and_other_machines() {
    let (code, text) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("Exit status: 0 all correct") && text.contains("LD_LIBRARY_PATH"));
    assert_eq!(run(&["--wrong"]).0, Some(2));
}

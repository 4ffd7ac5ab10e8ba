//! Checkpointing lowers the peak, and the more the deeper the network.

use std::process::Command;

use inkdrop_nn::{Conditioning, Mode};
use inkdrop_torch::tch::{Kind, Tensor};
use inkdrop_unet::{ImprovedConfig, ModelConfig};

use crate::support::{F32, build, improved};

/// Tells the process of one pass what to measure.
const CASE: &str = "INKDROP_MEMORY_CASE";

/// The process's peak of resident memory, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// MiB that a training pass of a network with this many blocks per level adds at its
/// peak, in a process of its own.
fn training(blocks: i64, checkpoint: bool) -> f64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "alone::memory::a_pass_has_a_peak", "--nocapture"])
        .env(CASE, format!("{blocks} {checkpoint}"))
        // glibc gives freed memory back at once: none of an earlier pass hides a part of this one's.
        .envs(["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"].map(|name| (name, "65536")))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("peak "));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// Also what the test below runs in processes of their own, one for each case.
#[test]
#[cfg(target_os = "linux")]
fn a_pass_has_a_peak() {
    let _alone = crate::alone();
    let case = std::env::var(CASE).unwrap_or_else(|_| "1 false".to_string());
    let (blocks, checkpoint) = case.split_once(' ').unwrap();
    let (blocks, checkpoint) = (blocks.parse().unwrap(), checkpoint.parse().unwrap());
    let config = ImprovedConfig { blocks, checkpoint, attention: vec![], ..improved() };
    let network = build(&ModelConfig::Improved(config));
    let pass = |batch: i64, side: i64| {
        let x = Tensor::randn([batch, 3, side, side], F32);
        let t = Tensor::zeros([batch], (Kind::Int64, F32.1));
        let out = network.forward_mode(&x, &t, &Conditioning::none(), Mode::Train).unwrap();
        out.square().mean(Kind::Float).backward();
    };
    pass(1, 8); // libtorch's own pages and the gradients are there from now on
    std::fs::write("/proc/self/clear_refs", "5").unwrap(); // the peak begins anew
    let before = peak();
    pass(8, 32);
    let added = peak() - before;
    println!("\npeak {added}");
    assert!(added > 8.0, "a pass of 8 images of 32×32 in {added} MiB"); // x alone has 32 channels: 1 MiB
}

#[test]
#[cfg(target_os = "linux")]
fn the_peak_falls_and_grows_slower_with_depth() {
    let _alone = crate::alone();
    let [shallow, deep] = [2, 6].map(|blocks| [training(blocks, false), training(blocks, true)]);
    println!("2 blocks a level: {shallow:.0?} MiB; 6: {deep:.0?} MiB (plain, checkpointed)");
    assert!(deep[1] < 0.6 * deep[0], "{deep:?}");
    // Four more blocks a level: 60 MiB, and 18 with checkpointing.
    let grown = [deep[0] - shallow[0], deep[1] - shallow[1]];
    assert!(grown[1] < 0.4 * grown[0], "{shallow:?} {deep:?}");
}

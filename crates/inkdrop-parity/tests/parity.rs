//! The committed golden cases pass, and the checker can fail.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use inkdrop_checkpoint::StateDict;
use inkdrop_parity::{Status, check_file};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(format!("{name}.safetensors"))
}

fn run(paths: &[&Path]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_inkdrop-parity")).args(paths).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn every_committed_case_passes() {
    let folder = fixture("x").parent().unwrap().to_path_buf();
    let (output, text) = run(&[&folder]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(" 0 failed, 0 not covered"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_cases_beside_the_checkout_pass_where_they_are() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity");
    if !shared.is_dir() {
        println!("skipped: there is no ../shared/parity");
        return;
    }
    let (_, text) = run(&[&shared]);
    let rows = || text.lines().filter(|line| !line.contains(" failed, ")); // without the summary
    let bad = |line: &&str| line.ends_with("FAIL") || line.ends_with("not covered yet");
    let failed: Vec<&str> = rows().filter(bad).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(rows().filter(|line| line.ends_with(" ok")).count() >= 1000, "{text}");
}

/// Each case with one number of its reference moved beyond the tolerance.
#[test]
fn a_wrong_number_fails() {
    let folder = TempDir::new().unwrap();
    for (name, key) in [
        ("context_eval", "out"),
        ("context_eval", "grad:out.3.bias"),
        ("context_eval", "grad_norm"),
        ("chain_sprites_ddim", "sample"),
        ("chain_sprites_ddpm", "sample_mid"),
        ("chain_ddpm_learned_range", "sample_step_1"),
        ("chain_ddim_eta", "pred_xstart_last"),
        ("chain_ddim_reverse", "sample"),
        ("loss_hybrid", "term:vb"),
        ("loss_kl_learned", "term:loss"),
        ("loss_prev_mse", "grad:conv.bias"),
        ("bpd_learned_range", "vb"),
        ("bpd_learned_range", "prior_bpd"),
        ("bpd_fixed_respaced", "total_bpd"),
        ("solver_ddim", "timesteps"),
        ("solver_euler_karras", "sigmas"),
        ("solver_ddpm", "sample"),
        ("solver_pndm", "sample_mid"),
        ("solver_unipc_bh2", "sample_step_1"),
        ("schedule_sprites_500", "ab_t"),
        ("schedule_cosine_1000_ddim50", "betas"),
        ("schedule_cosine_1000_ddim50", "timestep_map"),
        ("layer_positional_embedding", "out"),
        ("layer_timestep_embedding", "out_odd"),
        ("rng", "randn_seed_0"),
    ] {
        let path = changed(&folder, name, key);
        let rows = check_file(&path).unwrap();
        let failed: Vec<_> = rows.iter().filter(|row| !row.ok()).collect();
        assert!(!failed.is_empty(), "{name} with another {key} passes");
        assert_eq!(run(&[&path]).0.status.code(), Some(1), "{name} {key}");
    }
}

/// A copy of a case in which the last entry of one tensor is another.
fn changed(folder: &TempDir, name: &str, key: &str) -> PathBuf {
    let mut case = StateDict::open(&fixture(name)).unwrap();
    let tensor = case.get(key).unwrap().copy();
    let mut flat = tensor.view(-1).narrow(0, tensor.numel() as i64 - 1, 1);
    let change = if tensor.kind() == inkdrop_torch::tch::Kind::Int64 { 1.0 } else { 1e-2 };
    flat.copy_(&(flat.copy() * (1.0 + change) + change));
    case.insert(key, tensor);
    let path = folder.path().join(format!("{name}.safetensors"));
    case.save(&path).unwrap();
    path
}

#[test]
fn running_statistics_are_checked_from_the_state_before() {
    let rows = check_file(&fixture("context_train")).unwrap();
    let after = rows.iter().find(|row| row.what == "after:*").unwrap();
    assert!(after.ok());
    // Alone, the case does not hold the statistics that it began with.
    let folder = TempDir::new().unwrap();
    let alone = folder.path().join("context_train.safetensors");
    std::fs::copy(fixture("context_train"), &alone).unwrap();
    let rows = check_file(&alone).unwrap();
    assert!(rows.iter().any(|row| row.what == "after:* (counters)" && row.ok()));
}

#[test]
fn what_is_not_covered_fails_only_by_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("later.safetensors");
    relabelled(&path, "unet", "a-family-to-come");
    let (output, text) = run(&[folder.path()]);
    assert!(output.status.success() && text.contains("1 not covered yet"), "{text}");
    let (output, text) = run(&[&path]);
    assert!(!output.status.success() && text.contains("not covered yet"), "{text}");
}

#[test]
fn an_unknown_kind_fails_always() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("odd.safetensors");
    relabelled(&path, "horoscope", "context");
    assert!(matches!(check_file(&path).unwrap()[0].status, Status::UnknownKind));
    assert!(!run(&[folder.path()]).0.status.success());
}

/// A scheduler's argument that no sampler here has fails by name.
#[test]
fn an_argument_that_is_not_honoured_fails() {
    let folder = TempDir::new().unwrap();
    let plain = "\"use_beta_sigmas\": false";
    for (name, from, to, said) in [
        ("solver_euler", plain, "\"use_flow_sigmas\": true", "use_flow_sigmas"),
        ("solver_euler", plain, "\"a_new_one\": 3", "a_new_one"),
        ("solver_plms", "\"epsilon\"", "\"v_prediction\"", "prediction_type v_prediction"),
        ("solver_plms", "\"leading\"", "\"linspace\"", "timestep_spacing"),
        ("solver_unipc_bh2", "\"disable_corrector\": []", "\"disable_corrector\": [3]", "[3]"),
        ("solver_euler", "\"linspace\"", "\"sideways\"", "sideways"),
    ] {
        let mut case = StateDict::open(&fixture(name)).unwrap();
        let config = case.metadata_text("config").unwrap().replace(from, to);
        assert!(config.contains(to), "{name}: {from}");
        case.set_metadata_text("config", &config);
        let path = folder.path().join(format!("{name}.safetensors"));
        case.save(&path).unwrap();
        let error = check_file(&path).unwrap_err();
        assert!(format!("{error:#}").contains(said), "{error:#}");
        assert!(!run(&[folder.path()]).0.status.success(), "{to}");
    }
}

fn relabelled(path: &Path, kind: &str, family: &str) {
    let mut case = StateDict::open(&fixture("rng")).unwrap();
    case.set_metadata_text("kind", kind);
    case.set_metadata_text("family", family);
    case.save(path).unwrap();
}

#[test]
fn what_is_missing_fails() {
    let folder = TempDir::new().unwrap();
    assert!(!run(&[&folder.path().join("nothing")]).0.status.success());
    assert!(!run(&[folder.path()]).0.status.success(), "a folder without cases");
    let foreign = folder.path().join("text.safetensors");
    std::fs::write(&foreign, "no case").unwrap();
    assert!(!run(&[&foreign]).0.status.success());
}

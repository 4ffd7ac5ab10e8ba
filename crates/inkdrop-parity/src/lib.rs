//! Checks golden cases: inputs and outputs of PyTorch programs, compared with the crates.
//!
//! A case is a safetensors file. Its metadata contains its kind, its family and the config in
//! the argument names of the PyTorch program (see docs/parity.md).
//!
//! ```no_run
//! use inkdrop_parity::check_file;
//!
//! for row in check_file("fixtures/context_eval.safetensors".as_ref())? {
//!     println!("{row}");
//! }
//! # Ok::<(), anyhow::Error>(())
//! ```

/// The programs of the front page compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

mod case;
mod chain;
mod consistency;
mod edm;
mod improved;
mod layer;
mod loss;
mod lucid;
mod phema;
mod recipe;
mod report;
mod rng;
mod schedule;
mod solver;
mod toy_network;
mod train;
mod unet;

use std::path::Path;

use anyhow::Result;

pub use case::Case;
pub use report::{Comparison, Distance, Status};

/// Checks a case. Returns a result for each group of tensors that was compared.
///
/// # Errors
/// The file cannot be read, or a tensor or argument of its kind is missing.
pub fn check_file(path: &Path) -> Result<Vec<Comparison>> {
    let case = Case::open(path)?;
    match (case.kind.as_str(), case.family.as_str()) {
        (
            "unet",
            "context" | "ddpm" | "dit" | "jit" | "edm" | "edm2" | "improved" | "improved-super-res"
            | "unet2d" | "lucid",
        ) => unet::check(&case),
        ("chain", "context") => chain::check_sprites(&case),
        ("chain", "improved") => chain::check_improved(&case),
        ("chain", "consistency" | "ect") => consistency::check_chain(&case),
        ("schedule", "consistency") => consistency::check_grid(&case),
        ("schedule", "ect") => consistency::check_targets(&case),
        ("consistency", "ect") => consistency::check_tuning(&case),
        ("consistency", "cmt") => consistency::check_mid_training(&case),
        ("consistency", "meanflow") => consistency::check_mean_flow(&case),
        ("consistency", "ct" | "cd") => consistency::check_distance(&case),
        ("loss", "improved") => loss::check(&case),
        ("chain", "lucid") => lucid::check_chain(&case),
        ("schedule", "lucid") => lucid::check_schedule(&case),
        ("loss", "lucid") => lucid::check_loss(&case),
        ("bpd", "improved") => loss::check_bpd(&case),
        ("solver", _) => solver::check(&case),
        ("train", "improved" | "ddp") => train::check(&case),
        ("train", "lucid" | "edm") => recipe::check(&case),
        ("schedule", "context") => schedule::check_sprites(&case),
        ("schedule", "improved") => schedule::check_improved(&case),
        ("layer", "positional-embedding") => layer::check_positional(&case),
        ("layer", "timestep-embedding") => layer::check_timestep(&case),
        ("layer", "ddpm-attention") => layer::check_ddpm_attention(&case),
        ("layer", "improved-attention") => layer::check_improved_attention(&case),
        ("layer", "improved-resblock") => layer::check_improved_resblock(&case),
        ("layer", "edm") => layer::check_edm_block(&case),
        ("precond", "edm" | "edm2") => edm::check_precond(&case),
        ("loss", "edm" | "edm2") => edm::check_loss(&case),
        ("chain", "edm" | "edm2") => edm::check_chain(&case),
        ("phema", "edm2") => phema::check(&case),
        ("rng", _) => rng::check(&case),
        (
            "unet" | "layer" | "schedule" | "chain" | "loss" | "bpd" | "train" | "phema"
            | "consistency" | "precond",
            family,
        ) => {
            let what = format!("{} of {family}", case.kind);
            Ok(vec![case.row(what, Status::NotCovered)])
        }
        (kind, _) => Ok(vec![case.row(format!("kind {kind}"), Status::UnknownKind)]),
    }
}

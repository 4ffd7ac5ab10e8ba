//! Resuming a run from its newest checkpoint.

use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use inkdrop_train::{OtherData, RunFolder, TrainError, Trainer};

use crate::config::RunConfig;

/// A run to resume.
pub struct Resume<'a> {
    /// The requested config.
    pub config: &'a RunConfig,
    /// The run folder.
    pub out: &'a Path,
    /// True to accept another config or other data.
    pub allow_changes: bool,
}

/// Restores the newest checkpoint of a run folder, if its config equals the requested one.
pub fn resume(trainer: &mut Trainer, resume: &Resume) -> Result<RunFolder> {
    let Resume { config, out, allow_changes } = resume;
    let folder = RunFolder::open(out)?;
    let saved = RunConfig::load(&folder.config().display().to_string(), &[])?;
    let drift = config.drift(&saved);
    let different = drift.join("\n  ");
    match (drift.is_empty(), allow_changes) {
        (true, _) => {}
        (false, true) => eprintln!("going on with another config:\n  {different}"),
        (false, false) => bail!(
            "{} holds another run; give the same config to resume it, choose another folder, or go on all the same with --allow-changes. Different:\n  {different}",
            out.display()
        ),
    }
    let Some(path) = folder.latest() else {
        eprintln!("no checkpoint was saved yet: starting from step 0");
        return Ok(folder);
    };
    let other_data = if *allow_changes { OtherData::Allowed } else { OtherData::Refused };
    trainer.restore(&path, other_data).map_err(|error| match error {
        TrainError::DataChanged { .. } => {
            anyhow!("{error}. Put back what there was, or go on all the same with --allow-changes")
        }
        other => other.into(),
    })?;
    let (done, steps, before) = (trainer.step(), config.train.steps, saved.train.steps);
    ensure!(
        done <= steps,
        "train.steps = {steps}, but the run in {} has taken {done} steps already; expected at least {done}",
        out.display()
    );
    eprintln!("resuming after step {done} from {}", path.display());
    if steps != before {
        eprintln!(
            "train.steps: {before} → {steps}; the learning rate now follows its schedule to step {steps}"
        );
    }
    Ok(folder)
}

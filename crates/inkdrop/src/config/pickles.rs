//! CIFAR in Python's version, read by the unpickler of checkpoints.

use std::path::PathBuf;

use inkdrop_checkpoint::StateDict;
use inkdrop_data::layout::Layout;
use inkdrop_data::{InMemoryDataset, cifar};
use inkdrop_torch::tch::Kind;

use crate::Result;
use crate::error::{Context, bail};

/// Loads the images, labels and class names of a path whose kind was detected, pickles included.
///
/// # Errors
/// As for [`Layout::load`]; a pickle is damaged, or does not hold CIFAR's arrays.
pub fn load(layout: &Layout) -> Result<(InMemoryDataset, Vec<String>)> {
    match layout {
        Layout::CifarPickles(files) => {
            let dataset = batches(files)?;
            let names = cifar::class_names(&dataset.labels).iter().copied().map(String::from);
            Ok((dataset, names.collect()))
        }
        layout => Ok(layout.load()?),
    }
}

/// Each file is a dictionary of `data` [N, 3072] in uint8 and `labels` (CIFAR-10) or `fine_labels`
/// (CIFAR-100).
fn batches(files: &[PathBuf]) -> Result<InMemoryDataset> {
    let (mut planes, mut ids, mut classes) = (Vec::new(), Vec::new(), 0);
    for file in files {
        let name = file.display().to_string();
        let arrays = StateDict::open_pickle(file)?;
        let of = |key: &str, kind| arrays.get(key).filter(|tensor| tensor.kind() == kind);
        let labels = of("fine_labels", Kind::Int64).or(of("labels", Kind::Int64));
        let (Some(data), Some(labels)) = (of("data", Kind::Uint8), labels) else {
            bail!(
                "{name}: expected a pickled batch of CIFAR, a dictionary of `data` and `labels` or `fine_labels`"
            );
        };
        classes = if arrays.get("fine_labels").is_some() { 100 } else { 10 };
        planes.extend(Vec::<u8>::try_from(data.f_reshape([-1])?)?);
        let id =
            |label| u32::try_from(label).ok().with_context(|| format!("{name}: label {label}"));
        let labels = Vec::<i64>::try_from(labels.f_reshape([-1])?)?;
        ids.extend(labels.into_iter().map(id).collect::<Result<Vec<u32>>>()?);
    }
    Ok(cifar::from_planes(&planes, ids, classes)?)
}

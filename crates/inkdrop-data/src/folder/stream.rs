//! Pictures of a folder that are decoded when they are asked for.

use std::path::{Path, PathBuf};

use super::fitted::{Fitted, Fitting};
use super::list::Listing;
use super::{Broken, FolderConfig, nothing_left, skip, stack};
use crate::parallel::parallel_map;
use crate::{DataError, Dataset, Labels};

/// The files of a folder, whose headers are good.
#[derive(Debug)]
pub(super) struct Streamed {
    fitting: Fitting,
    files: Vec<PathBuf>,
    /// Width and height of every picture.
    sides: (usize, usize),
    broken: Broken,
}

impl Streamed {
    /// Looks at the headers of all files; labels and what was left out come along.
    pub(super) fn open(
        config: &FolderConfig,
        fitting: Fitting,
        listing: Listing,
    ) -> Result<(Self, Labels, Vec<DataError>), DataError> {
        let Listing { files: listed, classes } = listing;
        let (mut files, mut ids): (Vec<PathBuf>, Vec<u32>) = Default::default();
        let (mut skipped, mut sides) = (Vec::new(), (0, 0));
        parallel_map(
            &listed,
            |(path, _)| fitting.sides(path),
            |index, found| {
                let (path, class) = &listed[index];
                match found {
                    Ok(found) => {
                        match files.first() {
                            None => sides = found,
                            Some(first) => stack::check_sides(path, found, first, sides)?,
                        }
                        files.push(path.clone());
                        ids.push(*class);
                        Ok(())
                    }
                    Err(error) => skip(config.broken, error, &mut skipped),
                }
            },
        )?;
        if files.is_empty() {
            return Err(nothing_left(config, &skipped));
        }
        let labels = stack::labels(ids, classes.len());
        Ok((Self { fitting, files, sides, broken: config.broken }, labels, skipped))
    }

    fn path(&self, index: usize) -> Result<&Path, DataError> {
        let path = self.files.get(index).ok_or_else(|| {
            let most = self.files.len().saturating_sub(1);
            DataError::Images(format!("image {index}, expected 0 to {most}"))
        })?;
        Ok(path)
    }
}

impl Dataset for Streamed {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn shape(&self) -> [usize; 3] {
        [self.sides.1, self.sides.0, self.fitting.channels()]
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let path = self.path(index)?;
        let Fitted { width, height, bytes } = self.fitting.read(path)?;
        if (width, height) != self.sides || bytes.len() != pixels.len() {
            let problem = format!(
                "{width} x {height} pixels, expected {} x {} as when the folder was opened; \
                 leave its files alone while they are in use",
                self.sides.0, self.sides.1
            );
            return Err(DataError::file(path, problem));
        }
        pixels.copy_from_slice(&bytes);
        Ok(())
    }

    fn skips(&self) -> bool {
        self.broken == Broken::Skip
    }
}

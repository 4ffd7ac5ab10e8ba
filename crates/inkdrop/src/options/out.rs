//! Where images go, and the film of their denoising.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::making::film::{self, Film};
use crate::making::job::Job;
use crate::making::output::{Output, Target, same_place};
use crate::making::sheet::Sheet;

#[derive(Debug, clap::Args)]
pub struct OutOptions {
    /// Where to: x.png (a grid), x.npz or a folder/ (a PNG each)
    #[arg(long, default_value = "samples.png")]
    out: Output,
    /// Begin anew where --out holds samples: numbered PNG files or an unfinished npz are removed
    #[arg(long)]
    restart: bool,
    /// Also an animation of the denoising (of the first batch, 64 images at most): x.gif, or
    /// x.apng or x.png in all colours
    #[arg(long, visible_alias = "gif", value_name = "PATH")]
    film: Option<PathBuf>,
    /// What the animation shows after each step
    #[arg(long, value_enum, default_value_t, requires = "film")]
    film_of: film::Of,
}

impl OutOptions {
    /// The place for the images of a job; as a picture, drawn on a sheet if there is one.
    pub fn target(&self, mut job: Job, sheet: Option<Sheet>) -> Result<Box<dyn Target>> {
        job.restart = self.restart;
        self.out.target(job, sheet)
    }

    /// The film, if there is to be one.
    pub fn film(&self) -> Result<Film> {
        let Some(path) = &self.film else { return Ok(Film::none()) };
        Film::check(path, self.out.path())?;
        Ok(Film::new(path.clone(), self.film_of, Vec::new()))
    }

    /// Makes sure that nothing is written over files that are read.
    pub fn spare(&self, inputs: &[PathBuf]) -> Result<()> {
        for input in inputs {
            let places = [Some(self.out.path()), self.film.as_deref()];
            let taken = places.into_iter().flatten().any(|place| same_place(place, input));
            let inside = self.out.is_folder() && is_in(input, self.out.path());
            ensure!(
                !taken && !inside,
                "{} is read, and would be written over: choose another --out",
                input.display()
            );
        }
        Ok(())
    }
}

fn is_in(file: &Path, folder: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(folder).is_some_and(|folder| real(file).is_some_and(|file| file.parent() == Some(&folder)))
}

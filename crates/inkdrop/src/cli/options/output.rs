//! Output options: where images go, and an animation of the denoising.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use inkdrop::samples::Rounding;

use crate::options::{GuidanceArgs, ModelArgs};
use crate::output::animation::{self, Animation};
use crate::output::contact_sheet::ContactSheet;
use crate::output::job::SamplingJob;
use crate::output::sink::{ImageSink, Output, same_place};

#[derive(Debug, clap::Args)]
pub struct OutputArgs {
    /// Output: x.png (a grid; one image of 16 bits as it is), x.tiff (one page per image), x.npz, x.npy (with x_labels.npy), or a directory/ (one PNG per image)
    #[arg(long, default_value = "samples.png")]
    out: Output,
    /// Remove earlier samples of --out (numbered PNG files or an unfinished npz) and start again
    #[arg(long)]
    restart: bool,
    /// Write an animation of the denoising of the first batch (64 images at most): x.gif, or
    /// x.apng or x.png in full colour
    #[arg(long, visible_alias = "gif", alias = "film", value_name = "PATH")]
    animation: Option<PathBuf>,
    /// Image that the animation shows after each step
    #[arg(
        long,
        alias = "film-of",
        value_enum,
        default_value_t,
        value_name = "IMAGE",
        requires = "animation"
    )]
    animation_of: animation::Of,
}

impl OutputArgs {
    /// The sink for the images of a job.
    ///
    /// - sheet: the layout of a picture
    pub fn sink(
        &self,
        mut job: SamplingJob,
        sheet: Option<ContactSheet>,
    ) -> Result<Box<dyn ImageSink>> {
        job.restart = self.restart;
        self.out.sink(job, sheet)
    }

    /// True if the output keeps a manifest of its request.
    pub fn keeps_manifest(&self) -> bool {
        self.out.keeps_manifest()
    }

    /// The animation, if one was requested.
    ///
    /// - rounding: of the model
    pub fn animation(&self, rounding: Rounding) -> Result<Animation> {
        let Some(path) = &self.animation else { return Ok(Animation::none()) };
        Animation::check(path, self.out.path())?;
        Ok(Animation::new(path.clone(), self.animation_of, Vec::new(), rounding))
    }

    /// Checks that no output overwrites an input.
    pub fn check_inputs(&self, inputs: &[PathBuf]) -> Result<()> {
        for input in inputs {
            let inside = self.out.is_directory() && is_in(input, self.out.path());
            ensure!(
                !self.writes(input) && !inside,
                "{} is an input and would be overwritten: choose another --out",
                input.display()
            );
        }
        Ok(())
    }

    /// Checks that no output overwrites a model. Those that are built in have no file.
    pub fn check_models(&self, model: &ModelArgs, guidance: &GuidanceArgs) -> Result<()> {
        let models = [Some(model.name()), guidance.weaker()].into_iter().flatten().map(Path::new);
        for model in models.filter(|model| model.is_file()) {
            ensure!(
                !self.writes(model),
                "{} is the model and would be overwritten: choose another --out",
                model.display()
            );
        }
        Ok(())
    }

    /// True if an output is this file.
    fn writes(&self, file: &Path) -> bool {
        let places = [Some(self.out.path()), self.animation.as_deref()];
        places.into_iter().flatten().any(|place| same_place(place, file))
    }
}

fn is_in(file: &Path, folder: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(folder).is_some_and(|folder| real(file).is_some_and(|file| file.parent() == Some(&folder)))
}

//! The engine of a server: the models that it serves, and what a request asks of them.

use std::sync::Arc;

use inkdrop_data::Images;
use inkdrop_data::picture::Picture;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// A source of models, shared by all connections.
pub trait Backend: Send + Sync + 'static {
    /// The models that can be sampled now. Models of a run in progress change.
    fn models(&self) -> Vec<ModelInfo>;

    /// The engine. It is made and used on the thread that runs the server.
    fn engine(self: Arc<Self>) -> Box<dyn Engine>;
}

/// Samples and edits images, one pass after another.
pub trait Engine {
    /// Runs requests in one pass of the network: one request, or several new images with the same
    /// [`Settings`].
    ///
    /// Returns the results of each request, in order.
    ///
    /// # Errors
    /// A request does not fit its model, or libtorch fails.
    fn run(
        &mut self,
        requests: &[Request],
        progress: &mut dyn Progress,
    ) -> Result<Vec<JobImages>, EngineError>;
}

/// The images of a request, with what they were asked to be.
#[derive(Debug, Clone)]
pub struct JobImages {
    /// The images.
    pub images: Images,
    /// Class id of each image, if each has one.
    pub labels: Option<Vec<i64>>,
    /// Context weights of each image, [N, K], if there are any.
    pub contexts: Option<Array2<f32>>,
}

impl JobImages {
    /// Images without labels.
    pub fn unlabelled(images: Images) -> Self {
        Self { images, labels: None, contexts: None }
    }
}

/// Follows the steps of a pass.
pub trait Progress {
    /// Called after each solver step, with a function that makes the images of the step, which costs
    /// time. Returns false to stop the pass.
    ///
    /// - step: from 1 to `of`
    fn step(&mut self, step: usize, of: usize, images: &dyn Fn() -> Option<StepImages>) -> bool;
}

/// The images of all requests of a pass after a step.
#[derive(Debug, Clone)]
pub struct StepImages {
    /// The noisy images x.
    pub x: Images,
    /// The predicted clean images x0.
    pub x0: Images,
}

/// The error of a pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A request does not fit its model.
    #[error("{0}")]
    Invalid(String),
    /// The pass failed.
    #[error("{0}")]
    Failed(String),
    /// [`Progress::step`] returned false.
    #[error("the pass was cancelled")]
    Cancelled,
}

/// What a client has to know of a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ModelInfo {
    /// The name under which it is requested.
    pub id: String,
    /// What it generates, in one sentence.
    pub about: String,
    /// The file to open, with pairs of an option of `inkdrop sample` and its value: `--part ema`, `--precision bf16`,
    /// `--device cpu`, `--tf32 on`.
    pub arguments: Vec<String>,
    /// Height, width and channels of an image.
    pub image: [usize; 3],
    /// Names of its classes; empty if it has none.
    pub classes: Vec<String>,
    /// Names of its contexts, each with a weight; empty if it has none.
    pub contexts: Vec<String>,
    /// True if an image may have no class, so that classifier-free guidance is possible.
    pub unconditional: bool,
    /// The default sampler.
    pub sampler: String,
    /// The default number of steps.
    pub steps: usize,
    /// True for a super-resolution network, which only enlarges images.
    pub upscaler: bool,
}

/// The settings that all requests of one pass share.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Id of the model.
    pub model: String,
    /// The sampler by name; that of the model by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// Number of steps; that of the sampler by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Timestep spacing or sigma grid by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<String>,
    /// η of DDIM and of Euler ancestral.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// Guidance scale; no guidance by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<f64>,
}

/// A request for images.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Model and sampler.
    pub settings: Settings,
    /// Class, classes `a,b,c`, `each`, or context weights `hero=1,food=0.5`; `None` for no condition.
    pub condition: Option<String>,
    /// Number of images. An interpolation, and a task with a picture, have their own number.
    pub count: usize,
    /// Seed of all noise. Image i of a seed is always the same.
    pub seed: u64,
    /// The task.
    pub task: Task,
}

/// What a request does.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// New images.
    Generate,
    /// Inpainting: generates the white pixels of the mask, with one result per image of the request.
    Inpaint {
        /// The picture, of any size.
        image: Picture,
        /// The mask, of the size of the picture.
        mask: Picture,
    },
    /// Image-to-image.
    Vary {
        /// The picture, of any size.
        image: Picture,
        /// Fraction of the steps, above 0 (the image is kept) to 1 (a new image).
        strength: f64,
    },
    /// Between two pictures in a row, or between four in a grid.
    Interpolate {
        /// Two or four pictures, of any size.
        images: Vec<Picture>,
        /// Number of columns, at least 2.
        columns: usize,
    },
    /// Enlarges a picture by a super-resolution network.
    Upscale {
        /// The picture, smaller than the model's by an integer factor.
        image: Picture,
    },
}

impl Request {
    /// True if the two can share a pass: new images with the same settings. The steps of `dpm-adaptive` follow the error
    /// of all images of a pass, so each request has its own.
    pub fn joins(&self, other: &Self) -> bool {
        self.settings.sampler.as_deref() != Some("dpm-adaptive")
            && self.task == Task::Generate
            && other.task == Task::Generate
            && self.settings == other.settings
            && self.condition.is_some() == other.condition.is_some()
    }
}

//! Bodies of requests: JSON, in the form of OpenAI's image API with the settings of diffusion models.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::Limits;
use crate::engine::{ModelInfo, Request, Settings, Task};
use crate::error::ApiError;
use crate::pictures;
use crate::random::random_seed;

/// Timeout for the body of a request.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A request for images: `POST /v1/images/generations` and `POST /v1/jobs`.
#[derive(Debug, Clone, Deserialize)]
pub struct ImagesBody {
    /// Model and sampler. The first model by default.
    #[serde(flatten)]
    pub settings: Settings,
    /// Number of images; 1 by default.
    pub n: Option<usize>,
    /// Seed; random by default.
    pub seed: Option<u64>,
    /// Class by name or number, `a,b,c`, or `each`.
    pub class: Option<Value>,
    /// Weight of each context.
    pub contexts: Option<BTreeMap<String, f64>>,
    /// Clients of OpenAI's API send a prompt: here a class, or context weights `hero=1,food=0.5`.
    pub prompt: Option<String>,
    /// Size, such as `16x16` (width x height) or `auto`: that of the model.
    pub size: Option<String>,
    /// `b64_json` (default) or `url`.
    pub response_format: Option<String>,
    /// Keeps the frames of the steps, for an animation.
    #[serde(default, alias = "film")]
    pub animation: bool,
    /// The task; new images by default.
    #[serde(default)]
    pub task: TaskBody,
}

/// The task of a request; pictures are PNG or JPEG files in base64.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TaskBody {
    /// New images.
    #[default]
    Generate,
    /// Inpainting: generates the white pixels of the mask.
    Inpaint {
        /// The picture.
        image: String,
        /// The mask, of the same size.
        mask: String,
    },
    /// Image-to-image.
    Vary {
        /// The picture.
        image: String,
        /// Fraction of the steps, above 0 to 1.
        strength: f64,
    },
    /// Between two or four pictures.
    Interpolate {
        /// The pictures.
        images: Vec<String>,
        /// Number of columns.
        columns: usize,
    },
    /// Super-resolution.
    Upscale {
        /// The picture.
        image: String,
    },
}

/// Reads a body of JSON.
///
/// # Errors
/// It is larger than `limit`, late, or not what is expected.
pub async fn read<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, ApiError> {
    let large = || ApiError::large(format!("the body is broken off, or larger than {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(large());
    }
    let bytes = tokio::time::timeout(BODY_TIME, to_bytes(body, limit)).await;
    let bytes = bytes.map_err(|_| {
        ApiError::late(format!("the body did not arrive within {} s", BODY_TIME.as_secs()))
    })?;
    let bytes = bytes.map_err(|_| large())?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::invalid(format!("the body is not valid: {error}")))
}

impl ImagesBody {
    /// The request, checked against the limits and the model.
    ///
    /// # Errors
    /// A value is out of range, or there is no such model.
    pub fn request(self, models: &[ModelInfo], limits: &Limits) -> Result<Request, ApiError> {
        let mut settings = self.settings;
        let model = match settings.model.as_str() {
            "" => models.first(),
            id => models.iter().find(|model| model.id == id),
        };
        let Some(model) = model else {
            let names: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
            return Err(ApiError::missing(format!(
                "there is no model `{}`: expected one of {}",
                settings.model,
                names.join(", ")
            )));
        };
        settings.model.clone_from(&model.id);
        check_range("steps", settings.steps, limits.steps)?;
        check_range("n", self.n, limits.images)?;
        for (name, value) in [("guidance", settings.guidance), ("eta", settings.eta)] {
            if value.is_some_and(|value| !value.is_finite()) {
                return Err(ApiError::invalid(format!("{name}: expected a finite number")));
            }
        }
        check_size(self.size.as_deref(), model)?;
        let condition = condition(self.class, self.contexts, self.prompt)?;
        let seed = self.seed.unwrap_or_else(random_seed);
        let task = self.task.decode(limits).map_err(ApiError::invalid)?;
        let count = match &task {
            Task::Interpolate { images, columns } if images.len() == 4 => columns * columns,
            Task::Interpolate { columns, .. } => *columns,
            Task::Upscale { .. } => 1,
            _ => self.n.unwrap_or(1),
        };
        Ok(Request { settings, condition, count, seed, task })
    }
}

fn check_range(name: &str, value: Option<usize>, most: usize) -> Result<(), ApiError> {
    match value {
        Some(given) if !(1..=most).contains(&given) => {
            Err(ApiError::invalid(format!("{name} is {given}: expected 1 to {most}")))
        }
        _ => Ok(()),
    }
}

/// Models generate images of one size.
fn check_size(size: Option<&str>, model: &ModelInfo) -> Result<(), ApiError> {
    let [height, width, _] = model.image;
    match size {
        None | Some("auto" | "") => Ok(()),
        Some(size) if size == format!("{width}x{height}") => Ok(()),
        Some(size) => Err(ApiError::invalid(format!(
            "size is {size}: {} generates {width}x{height}; leave it out, or give auto",
            model.id
        ))),
    }
}

/// The condition of a body as text: a class, classes, or context weights.
fn condition(
    class: Option<Value>,
    contexts: Option<BTreeMap<String, f64>>,
    prompt: Option<String>,
) -> Result<Option<String>, ApiError> {
    let prompt = prompt.map(|prompt| prompt.trim().to_string()).filter(|prompt| !prompt.is_empty());
    let weights = contexts.filter(|contexts| !contexts.is_empty());
    match (class, weights) {
        (Some(_), Some(_)) => Err(ApiError::invalid("class and contexts: expected one of them")),
        (Some(Value::String(name)), None) if name.is_empty() => Ok(prompt),
        (Some(Value::String(name)), None) => Ok(Some(name)),
        (Some(Value::Number(number)), None) => Ok(Some(number.to_string())),
        (Some(Value::Null) | None, None) => Ok(prompt),
        (Some(other), None) => {
            Err(ApiError::invalid(format!("class is {other}: expected a name or a number")))
        }
        (None, Some(weights)) => {
            let weights = weights.iter().map(|(name, weight)| format!("{name}={weight}"));
            Ok(Some(weights.collect::<Vec<_>>().join(",")))
        }
    }
}

impl TaskBody {
    /// Decodes the pictures.
    fn decode(self, limits: &Limits) -> Result<Task, String> {
        Ok(match self {
            Self::Generate => Task::Generate,
            Self::Inpaint { image, mask } => Task::Inpaint {
                image: pictures::decode("image", &image)?,
                mask: pictures::decode("mask", &mask)?,
            },
            Self::Vary { image, strength } if strength > 0.0 && strength <= 1.0 => {
                Task::Vary { image: pictures::decode("image", &image)?, strength }
            }
            Self::Vary { strength, .. } => {
                return Err(format!("strength is {strength}: expected above 0 to 1"));
            }
            Self::Interpolate { images, .. } if ![2, 4].contains(&images.len()) => {
                return Err(format!(
                    "{} images: expected 2 for a row or 4 for a grid",
                    images.len()
                ));
            }
            Self::Interpolate { images, columns } => {
                let rows = if images.len() == 4 { columns } else { 1 };
                if columns < 2 || columns.saturating_mul(rows) > limits.images {
                    return Err(format!(
                        "columns is {columns}: expected at least 2, and at most {} images",
                        limits.images
                    ));
                }
                let decode = |image: &String| pictures::decode("image", image);
                Task::Interpolate {
                    images: images.iter().map(decode).collect::<Result<_, _>>()?,
                    columns,
                }
            }
            Self::Upscale { image } => Task::Upscale { image: pictures::decode("image", &image)? },
        })
    }
}

#![doc = include_str!("../README.md")]

mod error;
mod extractor;
mod frechet;
mod kernel;
mod neighbours;
mod rows;
mod sliced;

pub use error::EvalError;
pub use extractor::{Extractor, ExtractorConfig, ExtractorInput};
pub use frechet::{Moments, frechet_distance};
pub use kernel::{Kid, KidConfig, kernel_distance, kid, kid_over};
pub use neighbours::{NEIGHBOURS, PrecisionRecall, precision_recall};
pub use sliced::sliced_wasserstein;

//! What several commands are told in the same words.

mod asked;
mod edit;
mod guide;
mod images;
mod model;
mod out;
mod tf32;
mod walk;

pub use asked::Asked;
pub use edit::{EditOptions, Input, InputOptions};
pub use guide::GuideOptions;
pub use images::{Found, ImageSet};
pub use model::ModelOptions;
pub use out::OutOptions;
pub use tf32::Tf32;
pub use walk::WalkOptions;

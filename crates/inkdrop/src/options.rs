//! What several commands are told in the same words.

mod asked;
mod guide;
mod model;
mod walk;

pub use asked::Asked;
pub use guide::GuideOptions;
pub use model::ModelOptions;
pub use walk::WalkOptions;

//! Options that several commands share.

mod condition;
mod edit;
mod guidance;
pub mod image_condition;
mod images;
mod init;
mod model;
mod output;
mod overrides;
mod processes;
mod sampler;
mod tf32;

pub use condition::ConditionArgs;
pub use edit::{EditArgs, Input, InputArgs, image_files, read_picture};
pub use guidance::GuidanceArgs;
pub use image_condition::ImageConditionArgs;
pub use images::{Found, ImageSet};
pub use init::InitArgs;
pub use model::ModelArgs;
pub use output::OutputArgs;
pub use overrides::OverrideArgs;
pub use processes::{ProcessesArgs, is_restarted, local_device, process_shard};
pub use sampler::SamplerArgs;
pub use tf32::Tf32;

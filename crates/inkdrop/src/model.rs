//! Model files: weights in any format, with their network, process, contexts and classes.

mod buffers;
mod built_in;
mod card;
mod condition;
mod detect;
mod identity;
pub(crate) mod metadata;
mod overrides;
mod resolve;
mod snapshot;
mod source;
mod stored;

pub mod processes;
pub mod scheduler;
pub mod spec;

pub use built_in::{BUILT_IN_MODELS, BuiltInModel};
pub use card::{ModelCard, SamplingDefaults};
pub use condition::{Condition, Conditions, conditioning};
pub use identity::sha256;
pub use metadata::{BuildOptions, Classes, Model, ModelMetadata, SHORTCUT, precision};
pub use overrides::ModelOverrides;

pub use resolve::{ConfigSource, ResolvedModel, conditioned, resolve, resolve_process};
pub use source::Source;
pub(crate) use stored::METADATA;
pub use stored::{MARK, ignored_metadata, stored_metadata};

//! Model files: weights in any format, with their network, process, contexts and classes.

mod buffers;
mod condition;
mod identity;
pub(crate) mod metadata;
mod overrides;
mod resolve;
mod source;

pub mod processes;
pub mod scheduler;
pub mod spec;

pub use condition::{Condition, Conditions, conditioning};
pub use identity::sha256;
pub use metadata::{BuildOptions, Classes, MARK, Model, ModelMetadata, SHORTCUT, precision};
pub use overrides::ModelOverrides;
pub use resolve::{
    ConfigSource, ResolvedModel, ignored_metadata, resolve, resolve_process, stored_metadata,
};
pub use source::Source;

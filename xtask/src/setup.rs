//! `cargo xtask setup`: installs libtorch.

use crate::libtorch::{Choice, Device, Request};
use crate::workspace::Workspace;
use anyhow::Result;

/// Options of `setup`.
#[derive(clap::Args)]
pub struct Options {
    /// Source of libtorch
    #[arg(long, value_enum, default_value_t)]
    source: Choice,
    /// Device that libtorch must support [default: that of the installed one, else cpu]
    #[arg(long, value_enum)]
    device: Option<Device>,
}

/// Installs libtorch if necessary and prints its description.
pub fn run(ws: &Workspace, options: &Options) -> Result<u8> {
    let exported = ws.exported_libtorch()?;
    let request = Request { source: options.source, device: options.device, exported };
    let stamp = ws.get_libtorch(&request)?;
    let home = ws.layout.current_name().unwrap_or_default();
    println!("{} is ready in .libtorch/{home}", stamp.describe());
    Ok(0)
}

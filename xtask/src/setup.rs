//! `cargo xtask setup`: is libtorch here; if not, bring it.

use crate::libtorch::{Choice, Device, Request};
use crate::workspace::Workspace;
use anyhow::Result;

/// What `setup` can be told.
#[derive(clap::Args)]
pub struct Options {
    /// Where libtorch may come from
    #[arg(long, value_enum, default_value_t)]
    source: Choice,
    /// What it must compute on [default: what is there, else cpu]
    #[arg(long, value_enum)]
    device: Option<Device>,
}

/// Ends with one line that says what is in use.
pub fn run(ws: &Workspace, options: &Options) -> Result<u8> {
    let exported = ws.exported_libtorch()?;
    let request = Request { source: options.source, device: options.device, exported };
    let stamp = ws.get_libtorch(&request)?;
    let home = ws.layout.current_name().unwrap_or_default();
    println!("{} is ready in .libtorch/{home}", stamp.describe());
    Ok(0)
}

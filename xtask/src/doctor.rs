//! stub
use crate::workspace::Workspace;
use anyhow::Result;
pub fn run(_ws: &Workspace) -> Result<u8> { Ok(0) }

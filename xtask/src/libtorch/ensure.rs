//! Makes sure that the requested libtorch is installed, from the first source that works.

use super::install::{Source, install};
use super::layout::LibtorchPaths;
use super::official::Official;
use super::space::is_full_disk;
use super::stamp::Stamp;
use super::system::System;
use super::wheel::Wheels;
use super::{Choice, Device, Request, VERSION};
use anyhow::{Context, Result, anyhow, bail};

/// State of the installation for a request.
pub enum State {
    /// A complete installation, and the name of its folder.
    Ready(Stamp, String),
    /// A damaged installation: its folder, and what is wrong.
    Damaged(Stamp, String, String),
    /// No suitable installation.
    Absent,
}

/// Finds the best installation: the current one first, then the others.
pub fn look(layout: &LibtorchPaths, request: &Request) -> State {
    let others = ["cpu", "cuda", "system"].map(|kind| format!("{VERSION}-{kind}"));
    let mut worst = State::Absent;
    for name in layout.current_name().into_iter().chain(others) {
        let home = layout.home(&name);
        let Some(stamp) = Stamp::read(&home).filter(|stamp| request.accepts(stamp)) else {
            continue;
        };
        match stamp.damage(&home) {
            None => return State::Ready(stamp, name),
            Some(why) if matches!(worst, State::Absent) => {
                worst = State::Damaged(stamp, name, why);
            }
            Some(_) => {}
        }
    }
    worst
}

/// Makes the requested libtorch the current one, and installs it if necessary.
pub fn ensure(layout: &LibtorchPaths, request: &Request) -> Result<Stamp> {
    ensure_from(layout, request, &sources)
}

/// [`ensure`], with the sources as an argument.
pub fn ensure_from(
    layout: &LibtorchPaths,
    request: &Request,
    sources: &dyn Fn(&Request) -> Vec<Box<dyn Source>>,
) -> Result<Stamp> {
    if let State::Ready(stamp, name) = look(layout, request)
        && layout.current_name() == Some(name)
    {
        return Ok(stamp);
    }
    let _lock = layout.lock()?;
    let device = match look(layout, request) {
        State::Ready(stamp, name) => {
            layout.point_current_at(&name)?;
            return Ok(stamp);
        }
        State::Damaged(stamp, name, why) => {
            eprintln!("libtorch in .libtorch/{name} is damaged: {why}; installing it again");
            request.device.or(stamp.reinstalls_as())
        }
        State::Absent => request.device,
    };
    let request = Request { device, ..request.clone() };
    let result = first_that_works(layout, &sources(&request));
    result.map_err(|error| explain_full_disk(error, device.unwrap_or(Device::Cpu)))
}

/// The sources for a request, in the order in which they are tried.
fn sources(request: &Request) -> Vec<Box<dyn Source>> {
    let device = request.device.unwrap_or(Device::Cpu);
    let system = System { exported: request.exported.clone(), device: request.device };
    match request.source {
        Choice::System => vec![Box::new(system)],
        Choice::Official => vec![Box::new(Official { device })],
        Choice::Wheel => vec![Box::new(Wheels::pinned(device))],
        Choice::Auto if request.exported.is_some() => vec![Box::new(system)],
        Choice::Auto => {
            vec![Box::new(system), Box::new(Official { device }), Box::new(Wheels::pinned(device))]
        }
    }
}

fn first_that_works(layout: &LibtorchPaths, sources: &[Box<dyn Source>]) -> Result<Stamp> {
    let mut failures = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        let error = match install(layout, source.as_ref()) {
            Ok(stamp) => return Ok(stamp),
            Err(error) => error,
        };
        let context = || format!("cannot get libtorch {VERSION} from {}", source.title());
        if is_full_disk(&error) || sources.len() == 1 {
            return Err(error).with_context(context);
        }
        if let Some(next) = sources.get(i + 1) {
            eprintln!("{}: {error:#}; trying {}", source.name(), next.title());
        }
        failures.push(format!("  {}: {error:#}", source.name()));
    }
    bail!("libtorch {VERSION} could not be installed from any source:\n{}", failures.join("\n"))
}

fn explain_full_disk(error: anyhow::Error, device: Device) -> anyhow::Error {
    if !is_full_disk(&error) {
        return error;
    }
    let room = device.room() as f64 / 1e9;
    anyhow!(
        "{error:#};\n\
         the disk is full: libtorch for {} needs about {room:.1} GB during installation.\n\
         Incomplete files were removed, complete downloads are kept: free some space and run\n\
         the same command again",
        device.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_full_disk_is_explained_and_ends_the_trying() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = anyhow::Error::from(full).context("cannot unpack lib/libtorch_cpu.so");
        let text = format!("{:#}", explain_full_disk(error, Device::Cpu));
        for part in ["disk is full", "1.1 GB", "libtorch_cpu.so", "again"] {
            assert!(text.contains(part), "{text}");
        }
        let other = anyhow::anyhow!("no network");
        assert_eq!(explain_full_disk(other, Device::Cpu).to_string(), "no network");
    }
}

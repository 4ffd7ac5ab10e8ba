//! Checks the free disk space before a download.

use super::Device;
use super::layout::LibtorchPaths;
use anyhow::Result;
use std::fs;
use std::io;
use std::path::Path;

/// Returns an error if the disk has too little free space.
pub fn check(layout: &LibtorchPaths, device: Device) -> Result<()> {
    let free = free(layout.base());
    judge(free.map(|free| free + arrived(&layout.downloads())), device)
}

fn judge(usable: Option<u64>, device: Device) -> Result<()> {
    match usable {
        Some(bytes) if bytes < device.room() => {
            let text = format!(
                "the disk of .libtorch has only {:.1} GB of free space",
                bytes as f64 / 1e9
            );
            Err(io::Error::new(io::ErrorKind::StorageFull, text).into())
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn free(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free(_path: &Path) -> Option<u64> {
    None
}

/// Size of the downloaded archives, which need no more space.
fn arrived(downloads: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(downloads) else {
        return 0;
    };
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

/// True if the error is a full disk or an exceeded quota.
pub fn is_full_disk(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| {
        matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_a_full_disk() {
        let room = Device::Cpu.room();
        assert!(judge(Some(room), Device::Cpu).is_ok() && judge(None, Device::Cpu).is_ok());
        let error = judge(Some(room - 1), Device::Cpu).expect_err("too little");
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::StorageFull));
    }
}

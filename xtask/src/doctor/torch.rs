//! Checks the installed libtorch and the environment variables that affect it.

use super::Finding;
use crate::libtorch::ensure::{State, look};
use crate::libtorch::install::check_version;
use crate::libtorch::system::{is_ours, version_of};
use crate::libtorch::{Request, VERSION};
use crate::workspace::Workspace;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Variables of torch-sys that change the build. The workspace needs none of them.
const TORCH_SYS: [&str; 6] = [
    "LIBTORCH_USE_PYTORCH",
    "LIBTORCH_INCLUDE",
    "LIBTORCH_LIB",
    "LIBTORCH_STATIC",
    "LIBTORCH_CXX11_ABI",
    "LIBTORCH_BYPASS_VERSION_CHECK",
];

/// Adds the findings and returns the device that libtorch is built for.
pub fn findings(ws: &Workspace, findings: &mut Vec<Finding>) -> Option<String> {
    let exported = ws.exported_libtorch().unwrap_or_default();
    let state = look(&ws.layout, &Request { exported, ..Request::default() });
    let (installed, device) = install(&state);
    findings.push(installed);
    findings.push(current(ws, &state));
    findings.push(libtorch_variable(ws));
    findings.push(library_path(env::var_os("LD_LIBRARY_PATH").as_deref(), ws));
    findings.extend(TORCH_SYS.iter().copied().filter(|name| env::var_os(name).is_some()).map(
        |name| Finding::note(name, "is exported and changes the build", format!("unset {name}")),
    ));
    device
}

fn install(state: &State) -> (Finding, Option<String>) {
    let (name, mend) = ("libtorch", "cargo xtask setup");
    match state {
        State::Ready(stamp, _) => (
            Finding::ok(name, stamp.describe().replace("libtorch ", "")),
            Some(stamp.device.clone()),
        ),
        State::Damaged(_, _, why) => {
            (Finding::missing(name, format!("damaged: {why}"), mend), None)
        }
        State::Absent => {
            (Finding::missing(name, format!("{VERSION} is not installed"), mend), None)
        }
    }
}

fn current(ws: &Workspace, state: &State) -> Finding {
    let (name, mend) = (".libtorch/current", "cargo xtask setup");
    match (state, ws.layout.current_name()) {
        (_, None) => Finding::missing(name, "is not there", mend),
        (State::Ready(_, home), Some(target)) if *home != target => {
            Finding::missing(name, format!("points to {target}, expected {home}"), mend)
        }
        (_, Some(target)) => Finding::ok(name, format!("points to {target}")),
    }
}

fn libtorch_variable(ws: &Workspace) -> Finding {
    let (name, mend) = ("LIBTORCH", "unset LIBTORCH");
    let value = env::var_os("LIBTORCH").map(PathBuf::from);
    let Some(path) = value.filter(|path| !is_ours(path, &ws.layout.current())) else {
        return Finding::ok(name, "not exported");
    };
    match version_of(&path) {
        Ok(version) if check_version(&version, "").is_ok() => {
            Finding::ok(name, format!("{version} in {}", path.display()))
        }
        Ok(version) => Finding::missing(
            name,
            format!("exported, contains {version}, expected {VERSION}"),
            mend,
        ),
        Err(_) => Finding::missing(name, format!("{} is not a libtorch", path.display()), mend),
    }
}

/// Checks LD_LIBRARY_PATH, which takes precedence over the run path of the binaries.
fn library_path(value: Option<&OsStr>, ws: &Workspace) -> Finding {
    let name = "LD_LIBRARY_PATH";
    let ours = ws.layout.current().join("lib");
    let folders: Vec<_> = value.map(|value| env::split_paths(value).collect()).unwrap_or_default();
    let holder = folders.iter().find(|dir| dir.join("libtorch_cpu.so").exists() && **dir != ours);
    let Some(folder) = holder else {
        return Finding::ok(name, "contains no other libtorch");
    };
    let version = version_of(folder.parent().unwrap_or(Path::new("/"))).unwrap_or_default();
    match check_version(&version, "") {
        Ok(()) => Finding::ok(name, format!("libtorch {version} in {}", folder.display())),
        Err(_) => Finding::note(
            name,
            format!("contains another libtorch, in {}", folder.display()),
            "remove that folder from LD_LIBRARY_PATH",
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Mark;
    use super::*;
    use crate::libtorch::layout::LibtorchPaths;
    use std::fs;

    #[test]
    fn another_libtorch_on_the_library_path_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let ws = Workspace { layout: LibtorchPaths::new(dir.path()), bin_dir: dir.path().into() };
        let lib = dir.path().join("other/lib");
        fs::create_dir_all(&lib).unwrap();
        assert_eq!(library_path(Some(lib.as_os_str()), &ws).mark, Mark::Ok);
        fs::write(lib.join("libtorch_cpu.so"), "").unwrap();
        assert_eq!(library_path(Some(lib.as_os_str()), &ws).mark, Mark::Note);
        fs::write(dir.path().join("other/build-version"), "2.11.0+cpu").unwrap();
        assert_eq!(library_path(Some(lib.as_os_str()), &ws).mark, Mark::Ok);
        assert_eq!(library_path(None, &ws).mark, Mark::Ok);
    }
}

//! The end of a worker whose launcher has ended.

use std::io;
use std::os::unix::process::parent_id;
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, getpgrp, getpid, kill_current_process_group, kill_process, test_kill_process,
};

/// Environment variable with the process ID of the launcher.
pub const LAUNCHER_PID: &str = "INKDROP_LAUNCHER_PID";

/// Time between two looks at the parent.
const PERIOD: Duration = Duration::from_millis(200);

/// Starts a thread that ends this process within a second after its launcher has ended.
///
/// A launcher that is killed by SIGKILL cannot end its workers. Workers that call this function
/// end by themselves: when their parent process changes, or when the process of [`LAUNCHER_PID`]
/// no longer exists. The end is SIGKILL, for the whole process group if this process leads it, so
/// that neither a collective operation nor a destructor can delay it.
///
/// Call it only in workers of a launcher: other programs may outlive their parent. With `torchrun`,
/// which does not set the variable, only a change of the parent counts. Remove the variable if the
/// worker has process IDs of its own, as in a container.
///
/// # Errors
///
/// The system cannot start a thread.
///
/// ```
/// if std::env::var_os("RANK").is_some() {
///     inkdrop_dist::watch_parent()?;
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn watch_parent() -> io::Result<()> {
    let (parent, launcher) = (parent_id(), launcher());
    let watch = move || {
        while parent_id() == parent && launcher.is_none_or(exists) {
            thread::sleep(PERIOD);
        }
        end_at_once();
    };
    thread::Builder::new().name("watch-parent".to_string()).spawn(watch)?;
    Ok(())
}

/// The launcher named by the environment. A parent may be a shell between it and the worker.
fn launcher() -> Option<Pid> {
    let text = std::env::var(LAUNCHER_PID).ok()?;
    text.parse().ok().filter(|&pid| pid > 0).and_then(Pid::from_raw)
}

/// True also for the process of another user, which must not be signalled.
fn exists(pid: Pid) -> bool {
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

fn end_at_once() {
    if getpgrp() == getpid() {
        let _ = kill_current_process_group(Signal::KILL);
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

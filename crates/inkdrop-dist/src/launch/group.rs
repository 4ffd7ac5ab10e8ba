//! The process group of a worker, which its descendants inherit.

use std::fs;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// A process group of Unix that a child leads.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnixProcessGroup(Pid);

impl UnixProcessGroup {
    pub(super) fn led_by(child: &Child) -> Self {
        Self(Pid::from_child(child))
    }

    /// Sends a signal to all members. The one possible error is that none is left.
    pub(super) fn signal(self, signal: Signal) {
        let _ = kill_process_group(self.0, signal);
    }

    /// True if a member is left. A member that has ended counts until its parent reads its status.
    pub(super) fn exists(self) -> bool {
        test_kill_process_group(self.0).is_ok()
    }

    /// True if all members have ended. The init process of a container reads the status of
    /// orphans late or never. False if the system does not say (Linux alone does).
    pub(super) fn has_ended(self) -> bool {
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        let stats = processes.flatten().filter_map(|process| {
            let stat = fs::read(process.path().join("stat")).ok()?;
            ProcessState::parse(&String::from_utf8_lossy(&stat))
        });
        let group = self.0.as_raw_nonzero().get();
        let mut members = stats.filter(|stat| stat.group == group).peekable();
        members.peek().is_some() && members.all(|member| member.ended)
    }
}

/// What /proc/PID/stat says of a process.
#[derive(Debug, PartialEq, Eq)]
struct ProcessState {
    group: i32,
    ended: bool,
}

impl ProcessState {
    /// Reads `pid (name) state parent group …`; the name may contain anything.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let ended = matches!(fields.next()?, "Z" | "X");
        let group = fields.nth(1)?.parse().ok()?;
        Some(Self { group, ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let check = |stat: &str, group, ended| {
            assert_eq!(ProcessState::parse(stat), Some(ProcessState { group, ended }));
        };
        check("7 (sh) S 1 5 5 0 -1", 5, false);
        check("7 (sleep) Z 1 6 5 0 -1", 6, true);
        check("7 (a) Z 1 (b) R 1 8 5 0 -1", 8, false);
        assert_eq!(ProcessState::parse("7 (sh) S 1"), None);
        assert_eq!(ProcessState::parse(""), None);
    }
}

//! Scripts as workers, their output, and a pipe that shows whether any of them is alive.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use inkdrop_dist::{
    Launch, LaunchBuilder, LaunchConfig, LaunchReport, StopHandle, StopSignal, WorkerOutput,
};
use tempfile::TempDir;

/// Far beyond what anything here takes, so that a slow machine fails no test.
pub const LONG: Duration = Duration::from_secs(60);

/// Functions for scripts. `$1` is the folder of a [`Lifeline`]. `meet` opens its pipe, which
/// descendants inherit, and waits until all workers have done so. Loops call `nap`, so that no
/// script outlives a test that was killed.
const PRELUDE: &str = r#"
nap() {
    sleep 0.02
    kill -0 $INKDROP_LAUNCHER_PID 2>/dev/null || exit 99
}
meet() {
    # Reading as well, because this open does not wait for a reader.
    exec 9<>"$folder/pipe"
    : >"$folder/$RANK"
    r=0
    while [ $r -lt $WORLD_SIZE ]; do
        if [ -e "$folder/$r" ]; then r=$((r+1)); else nap; fi
    done
}
folder=$1
"#;

/// Workers that run a script with these arguments.
pub fn sh<A: AsRef<OsStr>>(script: &str, args: &[A], processes: usize) -> LaunchConfig {
    let script = format!("{PRELUDE}{script}");
    let mut all = vec!["-c".into(), script.into(), "sh".into()];
    all.extend(args.iter().map(|arg| arg.as_ref().to_os_string()));
    let grace = Duration::from_millis(300);
    LaunchConfig { args: all, grace, ..LaunchConfig::new("/bin/sh", processes) }
}

/// Runs a script without arguments to its end.
pub fn run(script: &str, processes: usize) -> (LaunchReport, Capture) {
    run_config(sh::<&str>(script, &[], processes))
}

pub fn run_config(config: LaunchConfig) -> (LaunchReport, Capture) {
    let (builder, capture) = captured(config);
    (builder.start().unwrap().wait().unwrap(), capture)
}

/// A launch whose output is kept.
pub fn captured(config: LaunchConfig) -> (LaunchBuilder, Capture) {
    let capture = Capture::default();
    let output = WorkerOutput::new(capture.stdout.clone(), capture.stderr.clone());
    (Launch::builder(config).output(output).stop(late_stop()), capture)
}

/// A handle that kills the workers of a test that has hung.
pub fn late_stop() -> StopHandle {
    let stop = StopHandle::new();
    let late = stop.clone();
    thread::spawn(move || {
        thread::sleep(LONG);
        (0..2).for_each(|_| late.request(StopSignal::Interrupt));
    });
    stop
}

#[derive(Default)]
pub struct Capture {
    pub stdout: Buffer,
    pub stderr: Buffer,
}

#[derive(Clone, Default)]
pub struct Buffer(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Buffer {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    /// The lines, sorted, since the order of workers is arbitrary.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.text().lines().map(String::from).collect();
        lines.sort();
        lines
    }

    /// Waits until a word has been written `count` times.
    pub fn wait_for(&self, word: &str, count: usize) {
        let (bytes, changed) = &*self.0;
        let missing =
            |bytes: &mut Vec<u8>| String::from_utf8_lossy(bytes).matches(word).count() < count;
        let waited = changed.wait_timeout_while(bytes.lock().unwrap(), LONG, missing).unwrap();
        assert!(!waited.1.timed_out(), "{word} × {count} is not in {:?}", waited.0);
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap().extend_from_slice(bytes);
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A named pipe that workers hold open: it ends when the last of them has ended, whatever became
/// of its process ID.
pub struct Lifeline {
    folder: TempDir,
    pub received: Buffer,
    ended: Receiver<()>,
}

impl Lifeline {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (received, (sender, ended)) = (Buffer::default(), channel());
        let mut copy = received.clone();
        thread::spawn(move || {
            copy_all(&path, &mut copy);
            let _ = sender.send(());
        });
        Self { folder, received, ended }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pipe(&self) -> PathBuf {
        self.folder().join("pipe")
    }

    /// Workers with this pipe as `$folder/pipe`.
    pub fn sh(&self, script: &str, processes: usize) -> LaunchConfig {
        sh(script, &[self.folder()], processes)
    }

    pub fn assert_all_ended(&self) {
        assert!(self.ended.recv_timeout(LONG).is_ok(), "a process was left behind");
    }
}

fn copy_all(path: &Path, buffer: &mut Buffer) {
    let mut pipe = File::open(path).unwrap();
    let mut bytes = [0; 256];
    while let Ok(len @ 1..) = pipe.read(&mut bytes) {
        buffer.write_all(&bytes[..len]).unwrap();
    }
}

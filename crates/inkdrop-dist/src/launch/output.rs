//! Output of the workers: whole lines, each with the rank before it.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest line, in bytes; what is longer is broken, so that memory has a bound.
const MAX_LINE: usize = 64 * 1024;

/// How long a pipe may be silent after the end of its worker. A process that has left the worker's
/// process group can hold it open without end.
const SILENCE: Duration = Duration::from_secs(1);

/// Where the lines of the workers go.
pub struct WorkerOutput {
    // One lock for both, since both may be the same terminal.
    sinks: Mutex<[Box<dyn Write + Send>; 2]>,
    // Apart from the sinks: a terminal that blocks must not block the launcher.
    error: Mutex<Option<io::Error>>,
}

/// Standard output or standard error.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Stdout = 0,
    Stderr = 1,
}

impl WorkerOutput {
    /// Standard output and standard error of the launcher.
    pub fn inherit() -> Self {
        Self::new(io::stdout(), io::stderr())
    }

    /// Two writers, which get whole lines only.
    pub fn new(stdout: impl Write + Send + 'static, stderr: impl Write + Send + 'static) -> Self {
        Self { sinks: Mutex::new([Box::new(stdout), Box::new(stderr)]), error: Mutex::new(None) }
    }

    /// The first error of writing.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        lock(&self.error).take()
    }

    /// After an error the lines are dropped, so that the workers do not block while they end.
    fn write(&self, stream: Stream, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let sink = &mut lock(&self.sinks)[stream as usize];
        if let Err(error) = sink.write_all(lines).and_then(|()| sink.flush()) {
            lock(&self.error).get_or_insert(error);
            *sink = Box::new(io::sink());
        }
    }
}

/// A writer that panicked leaves at most half a line behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that copies one stream of one worker.
pub(super) struct Pump {
    thread: JoinHandle<()>,
    // Odd while the thread waits for bytes, even while it writes.
    turns: Arc<AtomicU64>,
    last: Option<(u64, Instant)>,
}

impl Pump {
    pub(super) fn start(
        source: impl Read + Send + 'static,
        rank: usize,
        output: &Arc<WorkerOutput>,
        stream: Stream,
    ) -> io::Result<Self> {
        let turns = Arc::new(AtomicU64::new(1));
        let (output, counter) = (output.clone(), turns.clone());
        let copy = move || copy_lines(source, LinePrefixer::new(rank), &output, stream, &counter);
        let thread = thread::Builder::new().name(format!("output-{rank}")).spawn(copy)?;
        Ok(Self { thread, turns, last: None })
    }

    /// True if everything is written, or if the pipe is held open and silent. Ask only after the
    /// worker has ended.
    pub(super) fn is_done(&mut self) -> bool {
        if self.thread.is_finished() {
            return true;
        }
        let turn = self.turns.load(Ordering::Relaxed);
        match self.last {
            Some((last, since)) if last == turn => turn % 2 == 1 && since.elapsed() > SILENCE,
            _ => {
                self.last = Some((turn, Instant::now()));
                false
            }
        }
    }
}

fn copy_lines(
    mut source: impl Read,
    mut prefixer: LinePrefixer,
    output: &WorkerOutput,
    stream: Stream,
    turns: &AtomicU64,
) {
    let mut buffer = [0; 8192];
    loop {
        let read = source.read(&mut buffer);
        turns.fetch_add(1, Ordering::Relaxed);
        match read {
            Ok(0) => break,
            Ok(len) => output.write(stream, &prefixer.push(&buffer[..len])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        turns.fetch_add(1, Ordering::Relaxed);
    }
    output.write(stream, &prefixer.finish());
}

/// Breaks a stream of bytes into lines `[rank] line`.
///
/// A line ends with `\n`, `\r\n` or `\r`. The `\r` of a progress line becomes `\n`, since workers
/// would overwrite each other's line.
struct LinePrefixer {
    prefix: Vec<u8>,
    line: Vec<u8>,
    after_return: bool,
}

impl LinePrefixer {
    fn new(rank: usize) -> Self {
        let prefix = format!("[{rank}] ").into_bytes();
        Self { prefix, line: Vec::new(), after_return: false }
    }

    /// The lines that these bytes complete.
    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut lines = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' => self.end_line(&mut lines),
                b'\r' => self.end_progress(&mut lines),
                byte => self.append(byte, &mut lines),
            }
        }
        lines
    }

    /// The last line, if it has no end.
    fn finish(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        if !self.line.is_empty() {
            self.end_line(&mut lines);
        }
        lines
    }

    fn append(&mut self, byte: u8, lines: &mut Vec<u8>) {
        self.after_return = false;
        if self.line.len() == MAX_LINE {
            self.end_line(lines);
        }
        self.line.push(byte);
    }

    /// Progress bars write `\r` before or after a line: an empty one is none.
    fn end_progress(&mut self, lines: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.end_line(lines);
            self.after_return = true;
        }
    }

    fn end_line(&mut self, lines: &mut Vec<u8>) {
        lines.extend_from_slice(&self.prefix);
        lines.append(&mut self.line);
        lines.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut prefixer = LinePrefixer::new(3);
        let mut lines: Vec<u8> = pieces.iter().flat_map(|piece| prefixer.push(piece)).collect();
        lines.extend(prefixer.finish());
        lines
    }

    #[test]
    fn every_end_of_a_line_becomes_a_newline() {
        let check = |text: &str, expected: &str| {
            let expected = expected.as_bytes();
            assert_eq!(prefixed(&[text.as_bytes()]), expected, "{text:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(prefixed(&bytes), expected, "{text:?}, byte by byte");
        };
        check("", "");
        check("a", "[3] a\n");
        check("a\nb", "[3] a\n[3] b\n");
        check("\n\na\n", "[3] \n[3] \n[3] a\n");
        check("a\r\nb\r\n", "[3] a\n[3] b\n");
        check("\r\n", "[3] \n");
        check("\r10%\r20%\r30%\n", "[3] 10%\n[3] 20%\n[3] 30%\n");
        check("10%\r20%\r\ndone\n", "[3] 10%\n[3] 20%\n[3] done\n");
        check("a\r\r\nb", "[3] a\n[3] b\n");
    }

    #[test]
    fn a_long_line_is_broken() {
        let line = vec![b'x'; MAX_LINE + 1];
        let lines = prefixed(&[&line]);
        let lengths: Vec<usize> = lines.split(|&b| b == b'\n').map(<[u8]>::len).collect();
        assert_eq!(lengths, [MAX_LINE + 4, 1 + 4, 0]);
    }

    #[test]
    fn bytes_that_are_not_text_pass() {
        assert_eq!(prefixed(&[b"\xff\0\xfe\n"]), b"[3] \xff\0\xfe\n");
    }
}

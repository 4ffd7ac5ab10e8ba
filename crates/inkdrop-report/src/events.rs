//! Event files for TensorBoard.

mod frame;
mod proto;

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{ReportError, png};
use proto::Event;

/// Prefix of the file name; TensorBoard searches for `tfevents`.
const PREFIX: &str = "events.out.tfevents.";

/// Writes an event file of a run.
///
/// A resumed run gets another file in the same folder. Its first event makes TensorBoard discard the
/// later steps of older files.
///
/// ```
/// use inkdrop_report::EventWriter;
///
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let folder = folder.path();
/// let mut events = EventWriter::open(folder, 0)?;
/// events.text("config", 0, "```\nlr = 1e-3\n```")?;
/// for step in 1..=100 {
///     events.scalar("loss", step, 1.0 / step as f64)?;
/// }
/// events.flush()?;
///
/// // Stopped, and resumed from the checkpoint after step 50.
/// let mut events = EventWriter::open(folder, 50)?;
/// events.scalar("loss", 51, 0.02)?;
/// # Ok::<(), inkdrop_report::ReportError>(())
/// ```
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
    first: bool,
}

impl EventWriter {
    /// Creates a file in a folder, and the folder if necessary.
    ///
    /// - run_step: completed steps of the run; 0 for a new run. Events of later steps in older files
    ///   are discarded.
    ///
    /// # Errors
    /// The folder cannot be created, read or written.
    pub fn open(folder: impl AsRef<Path>, run_step: u64) -> Result<Self, ReportError> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|error| ReportError::write(folder, error))?;
        let (path, file, first) = create(folder)?;
        let mut writer = Self { path, file: BufWriter::new(file), first };
        writer.write(&Event::version(now()))?;
        if !first {
            writer.write(&Event::restart(now(), run_step + 1))?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// True if the folder had no event file before.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a scalar. Values are f32; NaN and infinity are allowed.
    ///
    /// - tag: name of the curve; a prefix with `/` groups curves
    ///
    /// # Errors
    /// The disk is full.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), ReportError> {
        self.write(&Event::scalar(now(), step, tag, value as f32))
    }

    /// Adds an image.
    ///
    /// - png: a complete PNG file
    ///
    /// # Errors
    /// The bytes are not a PNG file, or the disk is full.
    pub fn image(&mut self, tag: &str, step: u64, png: &[u8]) -> Result<(), ReportError> {
        let size = png::size(png)
            .ok_or_else(|| ReportError::InvalidPng { tag: tag.to_string(), len: png.len() })?;
        self.write(&Event::image(now(), step, tag, png, size))
    }

    /// Adds a text.
    ///
    /// - text: Markdown; put a config between lines of three backticks
    ///
    /// # Errors
    /// The disk is full.
    pub fn text(&mut self, tag: &str, step: u64, text: &str) -> Result<(), ReportError> {
        self.write(&Event::text(now(), step, tag, text))
    }

    /// Writes buffered events to the file. Dropping the writer does so, too.
    ///
    /// # Errors
    /// The disk is full.
    pub fn flush(&mut self) -> Result<(), ReportError> {
        self.file.flush().map_err(|error| ReportError::write(&self.path, error))
    }

    fn write(&mut self, event: &Event) -> Result<(), ReportError> {
        let written = frame::write(&mut self.file, event.bytes());
        written.map_err(|error| ReportError::write(&self.path, error))
    }
}

/// Creates a file whose name sorts after the existing ones, since TensorBoard reads them in that order.
fn create(folder: &Path) -> Result<(PathBuf, File, bool), ReportError> {
    let entries = fs::read_dir(folder).map_err(|error| ReportError::read(folder, error))?;
    let number = |name: &str| name.strip_prefix(PREFIX)?.split('.').next()?.parse::<u64>().ok();
    let newest = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?)).max();
    let mut seconds = (now() as u64).max(newest.map_or(0, |newest| newest + 1));
    loop {
        let path = folder.join(format!("{PREFIX}{seconds:010}.inkdrop"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file, newest.is_none())),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => seconds += 1,
            Err(error) => return Err(ReportError::write(&path, error)),
        }
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

//! Resumable writing of samples: little memory, and safe against a kill at any moment.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ndarray::{ArrayView1, ArrayView2};

use crate::npy::{Header, write_labels};
use crate::npz::{HEADER, header, write_archive};
use crate::output::write_atomic;
use crate::{DataError, ImageForm, Images};

/// Collects samples in a NumPy file, which becomes an npz archive when all are there.
///
/// The file is a valid .npy at any moment: images are on disk before the header counts them.
/// Opening it again continues after the last counted image. At most one batch is in memory.
///
/// ```
/// use inkdrop_data::sprites;
/// use inkdrop_data::stream::SampleStream;
///
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let (partial, npz) = (folder.path().join("x.partial.npy"), folder.path().join("x.npz"));
/// let mut samples = SampleStream::create(&partial, [16, 16, 3])?;
/// samples.push(&sprites::dataset(0, 2).images)?;
/// drop(samples); // the process ends
///
/// let mut samples = SampleStream::open(&partial, [16, 16, 3])?;
/// assert_eq!(samples.len(), 2);
/// samples.push(&sprites::dataset(1, 2).images)?;
/// samples.finish(&npz, None, None)?;
/// assert!(npz.is_file() && !partial.exists());
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct SampleStream {
    path: PathBuf,
    file: File,
    image: ImageForm,
    len: usize,
}

impl SampleStream {
    /// Creates a file without images; an existing file is replaced.
    ///
    /// # Shapes
    /// - `image`: form of each image to come; `[H, W, C]` for 8 bits.
    ///
    /// # Errors
    /// [`DataError::Write`] if the file cannot be written.
    pub fn create(path: impl AsRef<Path>, image: impl Into<ImageForm>) -> Result<Self, DataError> {
        let (path, image) = (path.as_ref(), image.into());
        write_atomic(path, |file| file.write_all(&header(0, image)))?;
        Self::open(path, image)
    }

    /// Opens a file to continue; bytes after the last counted image are removed.
    ///
    /// # Shapes
    /// - `image`: form of each image, as in [`SampleStream::create`].
    ///
    /// # Errors
    /// As for [`count`]; [`DataError::File`] if another process writes the file,
    /// [`DataError::Write`] if it cannot be written.
    pub fn open(path: impl AsRef<Path>, image: impl Into<ImageForm>) -> Result<Self, DataError> {
        let (path, image) = (path.as_ref().to_path_buf(), image.into());
        let failed = |source| DataError::write(&path, source);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        // Some file systems have no locks; writing works there without one.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let problem = "another process is writing it; wait for it, or choose another file";
            return Err(DataError::file(&path, problem));
        }
        let len = count(&path, image)?;
        file.set_len(end(len, image)).map_err(failed)?;
        Ok(Self { path, file, image, len })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no images.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Truncates the file to at most `len` images.
    ///
    /// # Errors
    /// [`DataError::Write`] if the file cannot be written.
    pub fn truncate(&mut self, len: usize) -> Result<(), DataError> {
        if len >= self.len {
            return Ok(());
        }
        // The header first, so that it never counts missing images.
        self.write_header(len).map_err(|source| DataError::write(&self.path, source))?;
        let end = end(len, self.image);
        self.file.set_len(end).map_err(|source| DataError::write(&self.path, source))
    }

    /// Appends a batch and syncs it to disk.
    ///
    /// # Errors
    /// [`DataError::Images`] if the shape differs, [`DataError::Write`] if the file cannot be written;
    /// earlier images stay.
    pub fn push(&mut self, images: &Images) -> Result<(), DataError> {
        if ImageForm::of(images) != self.image {
            return Err(DataError::Images(format!(
                "shape {:?} in {} bits into {}, expected {:?} in {} bits as the others",
                ImageForm::of(images).shape,
                u8::from(images.depth()),
                self.path.display(),
                self.image.shape,
                u8::from(self.image.depth)
            )));
        }
        let write = || {
            let end = end(self.len, self.image);
            self.file.set_len(end)?;
            (&self.file).seek(SeekFrom::Start(end))?;
            (&self.file).write_all(&images.raw_bytes())?;
            self.file.sync_data()
        };
        let written = write().and_then(|()| self.write_header(self.len + images.len()));
        written.map_err(|source| DataError::write(&self.path, source))
    }

    fn write_header(&mut self, len: usize) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(len, self.image))?;
        self.file.sync_data()?;
        self.len = len;
        Ok(())
    }

    /// Writes the archive of [`write_samples`](crate::npz::write_samples) with all images, and
    /// deletes the NumPy file; for a name that ends in `.npy`, the file becomes that of
    /// [`write_samples`](crate::npy::write_samples).
    ///
    /// # Shapes
    /// - `labels`: `[N]`; may be a broadcast view.
    /// - `context`: `[N, K]`.
    ///
    /// # Errors
    /// [`DataError::Labels`] if there is not one label or context per image; [`DataError::Write`] if
    /// the archive cannot be written. The NumPy file stays and can be opened again.
    pub fn finish(
        mut self,
        path: impl AsRef<Path>,
        labels: Option<ArrayView1<i64>>,
        context: Option<ArrayView2<f32>>,
    ) -> Result<(), DataError> {
        let path = path.as_ref();
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy")) {
            write_labels(path, self.len, labels, context)?;
            return fs::rename(&self.path, path).map_err(|source| DataError::write(path, source));
        }
        let read = |source| DataError::read(&self.path, source);
        self.file.seek(SeekFrom::Start(0)).map_err(read)?;
        let all = BufReader::with_capacity(1 << 20, &self.file).take(end(self.len, self.image));
        write_archive(path, self.len, all, labels, context)?;
        fs::remove_file(&self.path).map_err(|source| DataError::write(&self.path, source))
    }
}

/// Number of images in the file of a [`SampleStream`].
///
/// # Errors
/// [`DataError::Read`] if it cannot be read; [`DataError::File`] if it has another format or shape,
/// or is shorter than its header says.
pub fn count(path: impl AsRef<Path>, image: impl Into<ImageForm>) -> Result<usize, DataError> {
    let (path, image) = (path.as_ref(), image.into());
    let mut first = Vec::new();
    let size = File::open(path)
        .and_then(|file| {
            (&file).take(HEADER as u64).read_to_end(&mut first)?;
            Ok(file.metadata()?.len())
        })
        .map_err(|source| DataError::read(path, source))?;
    let len = Header::parse(&first).ok().and_then(|npy| npy.shape.first().copied());
    let Some(len) = len.filter(|&len| header(len, image) == first) else {
        let problem = format!(
            "no unfinished samples of {:?} (rows, columns, channels) in {} bits; remove it",
            image.shape,
            u8::from(image.depth)
        );
        return Err(DataError::file(path, problem));
    };
    if size < end(len, image) {
        let problem = format!(
            "{size} bytes, expected {} for {len} images; it is damaged, remove it",
            end(len, image)
        );
        return Err(DataError::file(path, problem));
    }
    Ok(len)
}

/// Where image `len` begins.
fn end(len: usize, image: ImageForm) -> u64 {
    let values = [image.shape[0], image.shape[1], image.shape[2], image.depth.bytes()];
    let size = values.iter().fold(len as u64, |product, &side| product.saturating_mul(side as u64));
    size.saturating_add(HEADER as u64)
}

//! How samples get into a file while they are made: more than memory holds, in runs that may be
//! killed at any moment.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ndarray::{ArrayView1, ArrayView2};

use crate::npz::{HEADER, header, shape, write_archive};
use crate::output::write_atomic;
use crate::{DataError, Images};

/// Images on their way into an npz archive, in a numpy file of their own until all are there.
///
/// The file is a valid npy after every [`SampleStream::push`], and in the middle of one: images
/// are on the disk before the header counts them. Opening it again goes on after the last image
/// that is counted. No more than one batch is in memory.
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
    image: [usize; 3],
    len: usize,
}

impl SampleStream {
    /// Begins a file without images, in place of one that is there.
    ///
    /// # Shapes
    /// - `image`: `[H, W, C]` of each image to come.
    ///
    /// # Errors
    /// [`DataError::Write`] where the file can't be written.
    pub fn create(path: impl AsRef<Path>, image: [usize; 3]) -> Result<Self, DataError> {
        let path = path.as_ref();
        write_atomic(path, |file| file.write_all(&header(0, image)))?;
        Self::open(path, image)
    }

    /// Goes on with a file; what was written and not counted is cut off.
    ///
    /// # Shapes
    /// - `image`: `[H, W, C]` of each image, as in [`SampleStream::create`].
    ///
    /// # Errors
    /// As for [`count`]; [`DataError::File`] where another process is writing the file,
    /// [`DataError::Write`] where it can't be written.
    pub fn open(path: impl AsRef<Path>, image: [usize; 3]) -> Result<Self, DataError> {
        let path = path.as_ref().to_path_buf();
        let failed = |source| DataError::write(&path, source);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        // Where a file system knows no locks, nobody is kept out.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let problem = "another process is writing it; wait for it, or choose another file";
            return Err(DataError::file(&path, problem));
        }
        let len = count(&path, image)?;
        file.set_len(end(len, image)).map_err(failed)?;
        Ok(Self { path, file, image, len })
    }

    /// How many images are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps the first `len` images, where there are more.
    ///
    /// # Errors
    /// [`DataError::Write`] where the file can't be written.
    pub fn truncate(&mut self, len: usize) -> Result<(), DataError> {
        if len >= self.len {
            return Ok(());
        }
        // The header first: it never counts what is not there.
        self.write_header(len).map_err(|source| DataError::write(&self.path, source))?;
        let end = end(len, self.image);
        self.file.set_len(end).map_err(|source| DataError::write(&self.path, source))
    }

    /// Adds a batch; when this returns, it is on the disk.
    ///
    /// # Errors
    /// [`DataError::Images`] where they are of another shape, [`DataError::Write`] where the file
    /// can't be written; the images that were there are there still.
    pub fn push(&mut self, images: &Images) -> Result<(), DataError> {
        if shape(images) != self.image {
            return Err(DataError::Images(format!(
                "shape {:?} into {}, expected {:?} as the others",
                shape(images),
                self.path.display(),
                self.image
            )));
        }
        let write = || {
            let end = end(self.len, self.image);
            self.file.set_len(end)?;
            (&self.file).seek(SeekFrom::Start(end))?;
            (&self.file).write_all(images.bytes())?;
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

    /// Makes the archive of [`write_samples`](crate::npz::write_samples) of all images, and
    /// removes the file that they were in.
    ///
    /// # Shapes
    /// - `labels`: `[N]`; a broadcast view serves where all are the same.
    /// - `context`: `[N, K]`.
    ///
    /// # Errors
    /// [`DataError::Labels`] where labels or contexts are not one per image; [`DataError::Write`]
    /// where the archive can't be written: the images are there still, and can be opened again.
    pub fn finish(
        mut self,
        npz: impl AsRef<Path>,
        labels: Option<ArrayView1<i64>>,
        context: Option<ArrayView2<f32>>,
    ) -> Result<(), DataError> {
        let read = |source| DataError::read(&self.path, source);
        self.file.seek(SeekFrom::Start(0)).map_err(read)?;
        let all = BufReader::with_capacity(1 << 20, &self.file).take(end(self.len, self.image));
        write_archive(npz.as_ref(), self.len, all, labels, context)?;
        fs::remove_file(&self.path).map_err(|source| DataError::write(&self.path, source))
    }
}

/// How many images of a shape a file of a [`SampleStream`] holds; nothing is changed.
///
/// # Errors
/// [`DataError::Read`] where it can't be read; [`DataError::File`] where it is of another kind or
/// shape, or shorter than it says.
pub fn count(path: impl AsRef<Path>, image: [usize; 3]) -> Result<usize, DataError> {
    let path = path.as_ref();
    let mut first = Vec::new();
    let size = File::open(path)
        .and_then(|file| {
            (&file).take(HEADER as u64).read_to_end(&mut first)?;
            Ok(file.metadata()?.len())
        })
        .map_err(|source| DataError::read(path, source))?;
    let said = npyz::NpyHeader::from_reader(&first[..]).ok();
    let len = said.and_then(|npy| npy.shape().first().and_then(|&len| usize::try_from(len).ok()));
    let Some(len) = len.filter(|&len| header(len, image) == first) else {
        let problem =
            format!("no unfinished samples of {image:?} (rows, columns, channels); remove it");
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
fn end(len: usize, image: [usize; 3]) -> u64 {
    let size = image.iter().fold(len as u64, |product, &side| product.saturating_mul(side as u64));
    size.saturating_add(HEADER as u64)
}

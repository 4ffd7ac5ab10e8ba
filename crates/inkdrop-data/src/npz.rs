//! NumPy archives (.npz) of samples: written for evaluation scripts, and read again.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use ndarray::{Array2, ArrayView1, ArrayView2};
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use npyz::zip::result::ZipError;
use npyz::zip::write::FileOptions;
use npyz::zip::{DateTime, ZipArchive};

use crate::growth::most_unpacked;
use crate::npy;
use crate::output::{WriteSeek, write_atomic};
use crate::{DataError, Depth, ImageForm, Images, InMemoryDataset};

/// Size of the npy header in bytes: long enough for any count, so that it can be overwritten.
pub(crate) const HEADER: usize = 192;

/// Writes samples in the layout of OpenAI's diffusion evaluations.
///
/// [`SampleStream`](crate::stream::SampleStream) writes the same archive with little memory.
///
/// # Shapes
/// - `arr_0`: the images, uint8 or uint16 `[N, H, W, C]`.
/// - `arr_1`: `labels`, int64 `[N]`, if given.
/// - `context`: float32 `[N, K]`, if given.
///
/// # Errors
/// [`DataError::Labels`] if there is not one label or context per image; [`DataError::Write`] if
/// the file cannot be written.
pub fn write_samples(
    path: impl AsRef<Path>,
    images: &Images,
    labels: Option<&[i64]>,
    context: Option<&Array2<f32>>,
) -> Result<(), DataError> {
    let header = header(images.len(), ImageForm::of(images));
    let (labels, context) = (labels.map(ArrayView1::from), context.map(Array2::view));
    write_archive(path.as_ref(), images.len(), header.chain(&*images.raw_bytes()), labels, context)
}

/// Writes the archive; `images` is read to its end, a whole npy file of `count` images.
pub(crate) fn write_archive(
    path: &Path,
    count: usize,
    mut images: impl Read,
    labels: Option<ArrayView1<i64>>,
    context: Option<ArrayView2<f32>>,
) -> Result<(), DataError> {
    check_length("labels", labels.map(|labels| labels.len()), count)?;
    check_length("contexts", context.map(|context| context.nrows()), count)?;
    write_atomic(path, |file| {
        let mut archive = NpzWriter::new(file);
        archive.zip_writer().start_file("arr_0.npy", options())?;
        io::copy(&mut images, archive.zip_writer())?;
        if let Some(labels) = labels {
            add(&mut archive, "arr_1", labels.shape(), labels.iter().copied())?;
        }
        if let Some(context) = context {
            add(&mut archive, "context", context.shape(), context.iter().copied())?;
        }
        archive.zip_writer().finish()?;
        Ok(())
    })
}

fn add<T: npyz::AutoSerialize + npyz::Serialize>(
    archive: &mut NpzWriter<&mut dyn WriteSeek>,
    name: &str,
    shape: &[usize],
    values: impl Iterator<Item = T>,
) -> io::Result<()> {
    let shape: Vec<u64> = shape.iter().map(|&side| side as u64).collect();
    let array = archive.array(name, options())?.default_dtype().shape(&shape);
    let mut writer = array.begin_nd()?;
    writer.extend(values)?;
    writer.finish()
}

/// Zip64 for sizes beyond 4 GiB, and a fixed time, so that equal samples make equal files.
fn options() -> FileOptions {
    FileOptions::default().large_file(true).last_modified_time(DateTime::default())
}

pub(crate) fn check_length(
    what: &str,
    given: Option<usize>,
    images: usize,
) -> Result<(), DataError> {
    match given {
        Some(given) if given != images => Err(DataError::Labels(format!(
            "{given} {what} for {images} images, expected one per image"
        ))),
        _ => Ok(()),
    }
}

/// The beginning of a numpy file of `len` images, version 1.0 of the format.
pub(crate) fn header(len: usize, form: ImageForm) -> Vec<u8> {
    let ([height, width, channels], kind) = match form.depth {
        Depth::Eight => (form.shape, "|u1"),
        Depth::Sixteen => (form.shape, "<u2"),
    };
    let shape = format!("({len}, {height}, {width}, {channels})");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((HEADER as u16 - 10).to_le_bytes());
    bytes.extend(
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}").bytes(),
    );
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Array size in bytes that is always accepted.
const FLOOR: u64 = 1 << 30;

/// Loads an archive of [`write_samples`], of `np.savez` or `np.savez_compressed` with images and
/// labels, or of ImageNet at 32 or 64 pixels as it is published.
///
/// Memory is limited to 1 GiB or 64 times the archive, whichever is more.
///
/// - path: an archive, or a folder of ImageNet's `train_data_batch_*.npz`
///
/// # Shapes
/// - `arr_0`: the images, uint8 or uint16 `[N, H, W, C]`, C 1 to 16
/// - `arr_1` or `context`: optional labels, `[N]` class ids or `[N, K]` weights
/// - or `data`: uint8 `[N, 3·S·S]`, the red, green and blue plane of each image, and `labels`: `[N]`
///   class ids from 1 (Chrabaszcz et al. 2017); `mean` is not used
///
/// ```
/// use inkdrop_data::{Labels, npz, sprites};
///
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let path = folder.path().join("samples.npz");
/// let images = sprites::dataset(0, 3).images;
/// npz::write_samples(&path, &images, Some(&[2, 0, 1]), None)?;
/// let data = npz::load(&path)?;
/// assert_eq!(data.images, images);
/// assert_eq!(data.labels, Labels::Classes { ids: vec![2, 0, 1], count: 3 });
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
///
/// # Errors
/// - [`DataError::Read`] if the file cannot be read
/// - [`DataError::File`] if it is not such an archive, or an array is damaged or has another shape
/// - [`DataError::Labels`] if there is not one label per image
pub fn load(path: impl AsRef<Path>) -> Result<InMemoryDataset, DataError> {
    let path = path.as_ref();
    if path.is_dir() {
        return load_published(path);
    }
    let mut archive = Archive::open(path)?;
    let Some(images) = archive.array("arr_0")? else {
        if let Some(planes) = archive.planes()? {
            return npy::of_planes(vec![planes]);
        }
        let names: Vec<&str> = archive.zip.file_names().take(8).collect();
        let problem = format!(
            "no arr_0 among its arrays ({}), expected the images; save np.savez(path, images, labels)",
            names.join(", ")
        );
        return Err(DataError::file(path, problem));
    };
    let mut labels = None;
    for name in ["arr_1", "context"] {
        if labels.is_none() {
            labels = archive.array(name)?.map(|bytes| (path.join(name), bytes));
        }
    }
    npy::of_bytes((path.join("arr_0"), images), labels)
}

/// True for the name of a file of ImageNet at 32 or 64 pixels.
pub(crate) fn is_published(name: &str) -> bool {
    name.ends_with(".npz") && (name.starts_with("train_data") || name.starts_with("val_data"))
}

/// Loads the training files of a folder, or the validation file if there are none, in the order of
/// their numbers.
fn load_published(folder: &Path) -> Result<InMemoryDataset, DataError> {
    let unread = |error| DataError::read(folder, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let name = entry.map_err(unread)?.file_name().to_string_lossy().into_owned();
        if is_published(&name.to_lowercase()) {
            names.push(name);
        }
    }
    if names.iter().any(|name| name.starts_with("train")) {
        names.retain(|name| name.starts_with("train"));
    }
    names.sort_by_key(|name| (name.len(), name.clone()));
    let mut files = Vec::new();
    for path in names.iter().map(|name| folder.join(name)) {
        let planes = Archive::open(&path)?.planes()?;
        let problem = "no array `data`, expected images as ImageNet's at 32 or 64 pixels";
        files.push(planes.ok_or_else(|| DataError::file(&path, problem))?);
    }
    if files.is_empty() {
        let problem = "there is no train_data_batch_*.npz in this folder; name an .npz file";
        return Err(DataError::file(folder, problem));
    }
    npy::of_planes(files)
}

struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// Largest array size in bytes.
    most: u64,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let unread = |error| DataError::read(path, error);
        let file = File::open(path).map_err(unread)?;
        let size = file.metadata().map_err(unread)?.len();
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(path, &error))?;
        Ok(Self { path, zip, most: most_unpacked(size, FLOOR) })
    }

    /// The arrays `data` and `labels` of rows of planes; `None` if there is no `data`.
    fn planes(&mut self) -> Result<Option<npy::Planes>, DataError> {
        let Some(images) = self.array("data")? else { return Ok(None) };
        let labels = self.array("labels")?.map(|bytes| (self.path.join("labels"), bytes));
        Ok(Some(npy::Planes { images: (self.path.join("data"), images), labels }))
    }

    /// The npy file of an array; `None` if there is no such array.
    fn array(&mut self, name: &str) -> Result<Option<Vec<u8>>, DataError> {
        let path = self.path.join(name);
        let entry = match self.zip.by_name(&format!("{name}.npy")) {
            Err(ZipError::FileNotFound) => return Ok(None),
            entry => entry.map_err(|error| damaged(&path, &error))?,
        };
        let mut bytes = Vec::new();
        let read = entry.take(self.most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| damaged(&path, &error))?;
        if bytes.len() as u64 > self.most {
            let problem = format!(
                "more than {} bytes out of an archive of this size, which is refused as a zip bomb; \
                 save it with np.savez, uncompressed, if it is none",
                self.most
            );
            return Err(DataError::file(&path, problem));
        }
        Ok(Some(bytes))
    }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> DataError {
    let problem = format!(
        "no whole archive as np.savez writes it: {error}; fetch it again, or give an .npz file"
    );
    DataError::file(path, problem)
}

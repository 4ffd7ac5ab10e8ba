//! NumPy files (.npy): reading images and labels, and writing them.

mod header;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array2, Array4, ArrayView1, ArrayView2};
use npyz::WriterBuilder;

use crate::cifar::interleaved;
use crate::npz;
use crate::output::write_atomic;
use crate::{
    DataError, Dataset, Depth, ImageForm, Images, InMemoryDataset, LabelledDataset, Labels,
};
pub(crate) use header::Header;
use header::{Head, NpyFile};

/// Loads images and, if given, labels.
///
/// # Shapes
/// - `images`: uint8 or uint16 `[N, H, W, C]`, C 1 to 16.
/// - `labels`: `[N, K]` weights (one-hot or mixed) of any float or integer type, which become
///   [`Labels::Context`]; or `[N]` integer class ids, which become [`Labels::Classes`].
///
/// # Errors
/// - [`DataError::Read`] if a file cannot be read
/// - [`DataError::File`] if the array has another shape or type, the file size does not match its
///   header, an id is negative, or a weight is not finite
/// - [`DataError::Labels`] if there is not one label per image
pub fn load(images: &Path, labels: Option<&Path>) -> Result<InMemoryDataset, DataError> {
    dataset(NpyFile::open(images)?, labels.map(NpyFile::open).transpose()?)
}

/// Opens images as a dataset and, if given, loads labels.
///
/// Images of at most `memory_mib` MiB are loaded, as by [`load`]; larger files are read image by
/// image.
///
/// # Errors
/// As for [`load`]. Reading an image fails if the file has changed since.
pub fn open(
    images: &Path,
    labels: Option<&Path>,
    memory_mib: u64,
) -> Result<LabelledDataset, DataError> {
    let (head, file) = Head::open(images)?;
    let shape = head.images()?;
    // The file has this size, so that the product does not overflow.
    let bytes = head.depth().bytes() * shape.iter().product::<usize>();
    if bytes as u64 <= memory_mib.saturating_mul(1 << 20) {
        return Ok(load(images, labels)?.into());
    }
    let labels = match labels {
        Some(path) => labels_of(&NpyFile::open(path)?)?,
        None => Labels::None,
    };
    labels.validate(shape[0])?;
    Ok(LabelledDataset { images: Arc::new(Rows::new(head, shape, file)), labels })
}

/// A dataset from the contents of files.
pub(crate) fn of_bytes(
    (path, images): (PathBuf, Vec<u8>),
    labels: Option<(PathBuf, Vec<u8>)>,
) -> Result<InMemoryDataset, DataError> {
    let labels = labels.map(|(path, bytes)| NpyFile::of_bytes(&path, bytes));
    dataset(NpyFile::of_bytes(&path, images)?, labels.transpose()?)
}

fn dataset(images: NpyFile, labels: Option<NpyFile>) -> Result<InMemoryDataset, DataError> {
    let labels = labels.map_or(Ok(Labels::None), |file| labels_of(&file))?;
    let (shape, depth) = (images.head.images()?, images.head.depth());
    InMemoryDataset::new(Images::of_bytes(shape, depth, images.into_data())?, labels)
}

/// The shape `[N, H, W, C]`, depth and values of images, `[N, H, W, C]`, or `[H, W]` or `[H, W, C]` of one.
pub(crate) fn arrays_of(
    path: &Path,
    bytes: Vec<u8>,
) -> Result<([usize; 4], Depth, Vec<u8>), DataError> {
    let mut file = NpyFile::of_bytes(path, bytes)?;
    file.head.as_one_image();
    Ok((file.head.images()?, file.head.depth(), file.into_data()))
}

/// The form and the values of one image, `[H, W]`, `[H, W, C]` or `[1, H, W, C]`.
pub(crate) fn array_of(path: &Path, bytes: Vec<u8>) -> Result<(ImageForm, Vec<u8>), DataError> {
    let ([count, shape @ ..], depth, bytes) = arrays_of(path, bytes)?;
    match count {
        1 => Ok((ImageForm { shape, depth }, bytes)),
        _ => Err(DataError::file(
            path,
            format!(
                "{count} images, expected one in each file of a folder; read this file alone as `kind = \"npy\"`"
            ),
        )),
    }
}

/// Contents of files with rows of planes, and their paths.
pub(crate) struct Planes {
    /// uint8 `[N, 3·S·S]`
    pub images: (PathBuf, Vec<u8>),
    /// `[N]`, class ids from 1, or from 0 if there is a 0.
    pub labels: Option<(PathBuf, Vec<u8>)>,
}

/// A dataset of rows of planes, file after file; labels if each file has some.
pub(crate) fn of_planes(files: Vec<Planes>) -> Result<InMemoryDataset, DataError> {
    let (mut side, mut pixels, mut ids) = (0, Vec::new(), Some(Vec::new()));
    for Planes { images: (path, bytes), labels } in files {
        let images = NpyFile::of_bytes(&path, bytes)?;
        let found = images.head.planes()?;
        if side != 0 && found != side {
            return Err(images.head.unlike(&format!("images of {side} x {side} as before")));
        }
        side = found;
        let data = images.data();
        pixels.try_reserve(data.len()).map_err(|_| {
            DataError::file(&path, "images that memory does not hold; name a single file of them")
        })?;
        pixels.extend(data.chunks_exact(3 * side * side).flat_map(interleaved));
        let labels = labels.map(|(path, bytes)| ids_of(&path, bytes)).transpose()?;
        ids = ids.zip(labels).map(|(ids, labels): (Vec<u32>, _)| [ids, labels].concat());
    }
    let count = pixels.len() / (3 * side * side).max(1);
    let pixels = Array4::from_shape_vec((count, side, side, 3), pixels)
        .map_err(|error| DataError::Images(format!("pixels don't fill their shape: {error}")))?;
    let labels = ids.map_or(Labels::None, from_one);
    InMemoryDataset::new(Images::new(pixels)?, labels)
}

fn ids_of(path: &Path, bytes: Vec<u8>) -> Result<Vec<u32>, DataError> {
    let file = NpyFile::of_bytes(path, bytes)?;
    match labels_of(&file)? {
        Labels::Classes { ids, .. } => Ok(ids),
        _ => Err(file.head.unlike("labels [N] of class ids")),
    }
}

/// Class ids that are counted from 1, as ImageNet's, as ids from 0.
fn from_one(mut ids: Vec<u32>) -> Labels {
    if !ids.contains(&0) {
        ids.iter_mut().for_each(|id| *id -= 1);
    }
    let count = ids.iter().max().map_or(0, |&highest| highest as usize + 1);
    Labels::Classes { ids, count }
}

/// Writes images as uint8 or uint16 `[N, H, W, C]` and labels as float64 `[N, K]`.
///
/// [`Labels::Classes`] are written one-hot; with [`Labels::None`] no label file is written.
///
/// # Errors
/// [`DataError::Write`] if a file cannot be written.
pub fn write(images: &Path, labels: &Path, dataset: &InMemoryDataset) -> Result<(), DataError> {
    let view = dataset.images.view();
    let shape: Vec<u64> = view.shape().iter().map(|&side| side as u64).collect();
    match dataset.images.wide() {
        Some(wide) => write_array(images, &shape, wide.iter().copied())?,
        None => write_array(images, &shape, dataset.images.bytes().iter().copied())?,
    }
    let Some(width) = dataset.context_width() else {
        return Ok(());
    };
    let shape = [dataset.len() as u64, width as u64];
    match &dataset.labels {
        Labels::None => Ok(()),
        Labels::Context(rows) => write_array(labels, &shape, rows.iter().map(|&x| f64::from(x))),
        Labels::Classes { ids, count } => {
            let one_hot =
                |&id: &u32| (0..*count).map(move |k| f64::from(u8::from(k == id as usize)));
            write_array(labels, &shape, ids.iter().flat_map(one_hot))
        }
    }
}

/// Name of the labels that belong to images: `x_labels.npy` beside `x.npy`.
pub fn labels_path(images: &Path) -> PathBuf {
    let stem = images.file_stem().unwrap_or_default().to_string_lossy();
    images.with_file_name(format!("{stem}_labels.npy"))
}

/// Writes samples: the images, uint8 or uint16 `[N, H, W, C]`, and beside them ([`labels_path`]) class ids, int64 `[N]`,
/// or context weights, float32 `[N, K]`. Labels of earlier images are removed.
///
/// [`SampleStream`](crate::stream::SampleStream) writes the same files with little memory.
///
/// # Errors
/// [`DataError::Labels`] if there is not one label or context per image; [`DataError::Write`] if a file cannot be
/// written.
pub fn write_samples(
    path: &Path,
    images: &Images,
    labels: Option<ArrayView1<i64>>,
    context: Option<ArrayView2<f32>>,
) -> Result<(), DataError> {
    write_labels(path, images.len(), labels, context)?;
    write_atomic(path, |file| {
        file.write_all(&npz::header(images.len(), ImageForm::of(images)))?;
        file.write_all(&images.raw_bytes())
    })
}

/// Writes the labels of `count` images at a path: contexts if there are any, else classes.
pub(crate) fn write_labels(
    path: &Path,
    count: usize,
    labels: Option<ArrayView1<i64>>,
    context: Option<ArrayView2<f32>>,
) -> Result<(), DataError> {
    npz::check_length("labels", labels.map(|labels| labels.len()), count)?;
    npz::check_length("contexts", context.map(|context| context.nrows()), count)?;
    let path = labels_path(path);
    match (labels, context) {
        (Some(ids), _) => write_array(&path, &[count as u64], ids.iter().copied()),
        (None, Some(rows)) => {
            let shape = [count as u64, rows.ncols() as u64];
            write_array(&path, &shape, rows.iter().copied())
        }
        (None, None) => match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(DataError::write(&path, error))
            }
            _ => Ok(()),
        },
    }
}

fn write_array<T: npyz::AutoSerialize + npyz::Serialize>(
    path: &Path,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> Result<(), DataError> {
    write_atomic(path, |file| array_to(file, shape, values))
}

/// Writes one array.
pub(crate) fn array_to<T: npyz::AutoSerialize + npyz::Serialize>(
    file: &mut dyn Write,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> std::io::Result<()> {
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut writer = options.writer(file).begin_nd()?;
    writer.extend(values)?;
    writer.finish()
}

/// Labels from integer ids, `[N]` or `[N, 1]` as Keras stores them, or from `[N, K]` weights.
fn labels_of(file: &NpyFile) -> Result<Labels, DataError> {
    match *file.head.shape() {
        [_] | [_, 1] if matches!(file.head.kind().letter, 'u' | 'i') => classes(file),
        [_] => {
            Err(file.head.unlike("class ids of an integer type; convert with `.astype('int64')`"))
        }
        [n, k] if k > 0 => context(file, n, k),
        _ => Err(file.head.unlike("labels [N, K], one weight per class, or [N], class ids")),
    }
}

fn classes(file: &NpyFile) -> Result<Labels, DataError> {
    let ids = values(file)?.map(|value| u32::try_from(value as i128));
    let ids: Result<Vec<u32>, _> = ids.collect();
    let Ok(ids) = ids else {
        let wrong =
            values(file)?.enumerate().find(|(_, v)| !(0.0..=f64::from(u32::MAX)).contains(v));
        let (i, id) = wrong.unwrap_or_default();
        return Err(file.head.bad_value(format!(
            "class id {id} of image {i}, expected 0 to {}; number the classes from 0",
            u32::MAX
        )));
    };
    let count = ids.iter().max().map_or(0, |&highest| highest as usize + 1);
    Ok(Labels::Classes { ids, count })
}

fn context(file: &NpyFile, n: usize, k: usize) -> Result<Labels, DataError> {
    let weights: Vec<f32> = values(file)?.map(|value| value as f32).collect();
    if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(file.head.bad_value(format!(
            "weight {} of image {}, class {}, expected a finite number; fix or drop that image",
            weights[at],
            at / k,
            at % k
        )));
    }
    let rows = Array2::from_shape_vec((n, k), weights);
    rows.map(Labels::Context)
        .map_err(|error| file.head.bad_value(format!("labels don't fill their shape: {error}")))
}

/// All values of a file, in order; integers beyond 2^53 are rounded.
fn values(file: &NpyFile) -> Result<impl Iterator<Item = f64>, DataError> {
    let decode: fn([u8; 8], usize) -> f64 = match (file.head.kind().letter, file.head.kind().size) {
        ('f', 8) => |b, _| f64::from_le_bytes(b),
        ('f', 4) => |b, _| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        ('u' | 'b', 1 | 2 | 4 | 8) => |b, _| u64::from_le_bytes(b) as f64,
        ('i', 1 | 2 | 4 | 8) => |b, size| {
            let unused = 64 - 8 * size as u32;
            ((i64::from_le_bytes(b) << unused) >> unused) as f64
        },
        _ => return Err(file.head.unlike("labels of type float32, float64 or an integer type")),
    };
    let (size, big_endian) = (file.head.kind().size, file.head.kind().big_endian);
    Ok(file.data().chunks_exact(size).map(move |chunk| {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(chunk);
        if big_endian {
            bytes[..size].reverse();
        }
        decode(bytes, size)
    }))
}

/// A streamed dataset: an open file of images.
#[derive(Debug)]
struct Rows {
    head: Head,
    /// `[N, H, W, C]`
    shape: [usize; 4],
    /// Threads share the file position and take turns.
    file: Mutex<File>,
}

impl Rows {
    fn new(head: Head, shape: [usize; 4], file: File) -> Self {
        Self { head, shape, file: Mutex::new(file) }
    }
}

impl Dataset for Rows {
    fn len(&self) -> usize {
        self.shape[0]
    }

    fn shape(&self) -> [usize; 3] {
        let [_, height, width, channels] = self.shape;
        [height, width, channels]
    }

    fn depth(&self) -> Depth {
        self.head.depth()
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let size = self.depth().bytes() * Dataset::shape(self).iter().product::<usize>();
        if index >= self.len() || pixels.len() != size {
            return Err(DataError::Images(format!(
                "image {index} into {} bytes, expected one below {} into {size}",
                pixels.len(),
                self.len()
            )));
        }
        let start = self.head.start() + index as u64 * size as u64;
        // A panic of another thread leaves any position: each read seeks first.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let place = file.seek(SeekFrom::Start(start));
        let read = place.and_then(|_| file.read_exact(pixels));
        read.map_err(|source| DataError::read(self.head.path(), source))?;
        self.head.little_endian(pixels);
        Ok(())
    }
}

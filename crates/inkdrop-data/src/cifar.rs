//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009): the binary version, and planes of any other.
//!
//! Records of one label byte (CIFAR-100: a coarse and a fine one) and 3072 bytes: red, green and blue planes,
//! row by row.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array4;

use crate::{DataError, Images, InMemoryDataset, Labels};

/// Names of the classes of CIFAR-10, in the order of their ids.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Names of the fine classes of CIFAR-100, in the order of their ids.
#[rustfmt::skip]
pub const CLASSES_100: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

/// Rows and columns of each image.
pub const SIDE: usize = 32;

/// Name of the folder in `cifar-10-binary.tar.gz`.
pub(crate) const FOLDER: &str = "cifar-10-batches-bin";

/// Name of the folder in `cifar-100-binary.tar.gz`.
const FOLDER_100: &str = "cifar-100-binary";

const AREA: usize = SIDE * SIDE;
const PIXELS: usize = 3 * AREA;

/// Names of the classes of a loaded dataset: those of CIFAR-10 or CIFAR-100, by their number.
pub fn class_names(labels: &Labels) -> &'static [&'static str] {
    match labels.width() {
        Some(10) => &CLASSES,
        Some(100) => &CLASSES_100,
        _ => &[],
    }
}

/// Builds a dataset from planes and labels, however they were stored.
///
/// - classes: 10 for CIFAR-10, 100 for the fine labels of CIFAR-100
///
/// # Shapes
/// - planes: `[N, 3072]`: the red, green and blue plane of each image, row by row
/// - ids: `[N]`
/// - images: `[N, 32, 32, 3]`
///
/// ```
/// use inkdrop_data::cifar;
///
/// let data = cifar::from_planes(&[7; 2 * 3072], vec![3, 9], 10)?;
/// assert_eq!(data.images.view().shape(), [2, 32, 32, 3]);
/// assert_eq!(cifar::class_names(&data.labels)[3], "cat");
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::Images`] if the number of bytes is no multiple of 3072 or there is no image;
/// [`DataError::Labels`] if there is not one label per image, or a label is not below `classes`.
pub fn from_planes(
    planes: &[u8],
    ids: Vec<u32>,
    classes: usize,
) -> Result<InMemoryDataset, DataError> {
    if !planes.len().is_multiple_of(PIXELS) {
        return Err(DataError::Images(format!(
            "{} bytes, expected a multiple of {PIXELS} (3 planes of {SIDE} x {SIDE}) for CIFAR",
            planes.len()
        )));
    }
    let pixels: Vec<u8> = planes.chunks_exact(PIXELS).flat_map(interleaved).collect();
    let pixels = Array4::from_shape_vec((planes.len() / PIXELS, SIDE, SIDE, 3), pixels)
        .map_err(|error| DataError::Images(error.to_string()))?;
    InMemoryDataset::new(Images::new(pixels)?, Labels::Classes { ids, count: classes })
}

/// Loads a file of records, or the training files of a folder: all `data_batch_*.bin` in the order of
/// their names (CIFAR-10), or `train.bin` (CIFAR-100, with its fine labels).
///
/// - path: a .bin file, `cifar-10-batches-bin` or `cifar-100-binary`, or the folder that holds it
///
/// # Shapes
/// - images: `[N, 32, 32, 3]`; labels: N ids of 10 or 100 classes
///
/// # Errors
/// [`DataError::Read`] if a file cannot be read; [`DataError::File`] if a folder has no batch, a
/// file has an incomplete record, or a label is out of range.
pub fn load(path: impl AsRef<Path>) -> Result<InMemoryDataset, DataError> {
    let (mut ids, mut planes) = (Vec::new(), Vec::new());
    let mut version: Option<Version> = None;
    for file in files(path.as_ref())? {
        let bytes = fs::read(&file).map_err(|error| DataError::read(&file, error))?;
        let this = Version::of(&bytes).map_err(|problem| DataError::file(&file, problem))?;
        if version.is_some_and(|version| version != this) {
            let problem =
                "records of another version of CIFAR than the files before; name one file";
            return Err(DataError::file(&file, problem));
        }
        version = Some(this);
        for record in bytes.chunks_exact(this.record()) {
            let (labels, pixels) = record.split_at(this.labels());
            // CIFAR-100 has the coarse label first.
            ids.push(labels.last().copied().map_or(0, u32::from));
            planes.extend_from_slice(pixels);
        }
    }
    from_planes(&planes, ids, version.map_or(0, Version::classes))
}

/// The two datasets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Cifar10,
    Cifar100,
}

impl Version {
    const fn labels(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    const fn record(self) -> usize {
        self.labels() + PIXELS
    }

    const fn classes(self) -> usize {
        match self {
            Self::Cifar10 => CLASSES.len(),
            Self::Cifar100 => CLASSES_100.len(),
        }
    }

    /// The version whose records fill the bytes, with labels in range.
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let fits =
            |version: Self| !bytes.is_empty() && bytes.len().is_multiple_of(version.record());
        let wrong = |version: Self| {
            let labels = bytes.chunks(version.record()).map(|record| record[version.labels() - 1]);
            labels.enumerate().find(|(_, label)| usize::from(*label) >= version.classes())
        };
        let versions = [Self::Cifar10, Self::Cifar100];
        if let Some(version) = versions.into_iter().find(|&v| fits(v) && wrong(v).is_none()) {
            return Ok(version);
        }
        match versions.into_iter().find(|&version| fits(version)) {
            None => Err(format!(
                "{} bytes, expected a multiple of {} (CIFAR-10: a label and 3 x {SIDE} x {SIDE} bytes) or of \
                 {} (CIFAR-100: two labels); fetch the binary version of CIFAR-10 or CIFAR-100 again",
                bytes.len(),
                Self::Cifar10.record(),
                Self::Cifar100.record()
            )),
            Some(version) => {
                let (i, label) = wrong(version).unwrap_or_default();
                Err(format!(
                    "label {label} of image {i}, expected 0 to {}; give the binary version of CIFAR-10 or CIFAR-100",
                    version.classes() - 1
                ))
            }
        }
    }
}

/// True if a folder holds CIFAR-100's records under their usual names.
pub(crate) fn is_100_folder(folder: &Path) -> bool {
    let records = |name: &str| {
        let length = fs::metadata(folder.join(name)).map_or(0, |metadata| metadata.len());
        length > 0 && length.is_multiple_of(Version::Cifar100.record() as u64)
    };
    records("train.bin") || records("test.bin")
}

fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unread = |error| DataError::read(path, error);
    if !fs::metadata(path).map_err(unread)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("data_batch_") && name.ends_with(".bin") {
            files.push(entry.path());
        }
    }
    if files.is_empty() && is_100_folder(path) {
        let names = ["train.bin", "test.bin"].map(|name| path.join(name));
        files.extend(names.into_iter().find(|file| file.is_file()));
    }
    let inner = [FOLDER, FOLDER_100].map(|name| path.join(name));
    if let Some(inner) = inner.iter().find(|inner| files.is_empty() && inner.is_dir()) {
        return self::files(inner);
    }
    if files.is_empty() {
        let problem = "there is no data_batch_*.bin in this folder, expected those of \
                       cifar-10-batches-bin, or train.bin of cifar-100-binary; unpack \
                       cifar-10-binary.tar.gz, or name a .bin file";
        return Err(DataError::file(path, problem));
    }
    files.sort();
    Ok(files)
}

/// Planes `[3, H, W]` as pixels `[H, W, 3]`.
pub(crate) fn interleaved(planes: &[u8]) -> impl Iterator<Item = u8> {
    let area = planes.len() / 3;
    (0..area).flat_map(move |at| [planes[at], planes[area + at], planes[2 * area + at]])
}

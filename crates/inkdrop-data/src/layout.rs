//! Kinds of datasets, found by the names and the first bytes of their files.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::archive::{Kind as ArchiveKind, other_container};
use crate::decode::instead_of_data;
use crate::{DataError, InMemoryDataset, cifar, idx, npy, npz};

/// The kind of a dataset in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// A folder of pictures.
    Folder,
    /// A zip, tar or tar.gz archive of pictures.
    Archive,
    /// IDX files, as MNIST's.
    Idx {
        /// File of the images.
        images: PathBuf,
        /// File of the labels.
        labels: Option<PathBuf>,
    },
    /// CIFAR-10 or CIFAR-100 in the binary version: a file of records, or a folder of them.
    Cifar(PathBuf),
    /// CIFAR-10 or CIFAR-100 in Python's version, pickled: the training files. The crate `inkdrop` reads
    /// them, with the unpickler of `inkdrop-checkpoint`.
    CifarPickles(Vec<PathBuf>),
    /// NumPy archives: of samples, or of ImageNet at 32 or 64 pixels; a file, or a folder of them.
    Npz(PathBuf),
    /// NumPy files.
    Npy {
        /// File of the images.
        images: PathBuf,
        /// File of the labels.
        labels: Option<PathBuf>,
    },
}

/// Folders within the named one that are searched, too: those of the published archives and of torchvision.
const INNER: [&str; 9] = [
    "",
    cifar::FOLDER,
    "cifar-100-binary",
    "cifar-10-batches-py",
    "cifar-100-python",
    "raw",
    "MNIST/raw",
    "FashionMNIST/raw",
    "mnist",
];

impl Layout {
    /// Detects the kind of a file or folder; `None` for a file of none of the kinds. A folder without known
    /// files is one of pictures.
    ///
    /// # Errors
    /// [`DataError::Read`] if the path cannot be read; [`DataError::File`] if a folder holds several sets
    /// of IDX files, and for parquet files and archives of other kinds.
    pub fn detect(path: &Path) -> Result<Option<Self>, DataError> {
        let metadata = fs::metadata(path).map_err(|error| DataError::read(path, error))?;
        if !metadata.is_dir() {
            return of_file(path);
        }
        for inner in INNER.map(|inner| path.join(inner)).iter().filter(|inner| inner.is_dir()) {
            if let Some(found) = of_folder(inner)? {
                return Ok(Some(found));
            }
        }
        Ok(Some(Self::Folder))
    }

    /// True for pictures, which are read with 1 or 3 channels as required.
    pub fn is_pictures(&self) -> bool {
        matches!(self, Self::Folder | Self::Archive)
    }

    /// Loads the images, their labels, and the names of the classes; the names are empty if unknown.
    ///
    /// # Errors
    /// As for the kind's own function; [`DataError::Images`] for pictures, which are read by
    /// [`folder::load`](crate::folder::load), and for pickles.
    pub fn load(&self) -> Result<(InMemoryDataset, Vec<String>), DataError> {
        let unnamed = |dataset| (dataset, Vec::new());
        match self {
            Self::Idx { images, labels } => idx::load(images, labels.as_deref()).map(unnamed),
            Self::Npy { images, labels } => npy::load(images, labels.as_deref()).map(unnamed),
            Self::Npz(path) => npz::load(path).map(unnamed),
            Self::Cifar(path) => {
                let dataset = cifar::load(path)?;
                let names = cifar::class_names(&dataset.labels).iter().copied().map(String::from);
                Ok((dataset, names.collect()))
            }
            Self::CifarPickles(_) => Err(DataError::Images(
                "CIFAR in its Python version (pickled), expected its binary version; fetch \
                 cifar-10-binary.tar.gz or cifar-100-binary.tar.gz"
                    .to_owned(),
            )),
            Self::Folder | Self::Archive => {
                Err(DataError::Images("pictures, expected arrays or records".to_owned()))
            }
        }
    }

    /// What the kind is, for notes.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Folder => "a folder of pictures",
            Self::Archive => "an archive of pictures",
            Self::Idx { labels: Some(_), .. } => "IDX files (MNIST's format) with labels",
            Self::Idx { labels: None, .. } => "an IDX file (MNIST's format) without labels",
            Self::Cifar(_) => "CIFAR's binary version",
            Self::CifarPickles(_) => "CIFAR's Python version",
            Self::Npz(_) => "NumPy arrays (npz)",
            Self::Npy { .. } => "NumPy arrays (npy)",
        }
    }
}

fn of_file(path: &Path) -> Result<Option<Layout>, DataError> {
    let unread = |error| DataError::read(path, error);
    let (given, name) = (path.to_path_buf(), name(path));
    if ArchiveKind::of(path).map_err(unread)?.is_some() {
        return Ok(Some(Layout::Archive));
    }
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(512).read_to_end(&mut start)).map_err(unread)?;
    if let Some(problem) = instead_of_data(&start) {
        return Err(DataError::file(path, problem));
    }
    if let Some(kind) = other_container(&start) {
        let problem = format!(
            "{kind}, which is not read; unpack its pictures into a folder, or into a zip or tar archive"
        );
        return Err(DataError::file(path, problem));
    }
    Ok(match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("npz") => Some(Layout::Npz(given)),
        Some("npy") => {
            Some(Layout::Npy { labels: beside(path, ".npy", "_labels.npy"), images: given })
        }
        Some("bin") => Some(Layout::Cifar(given)),
        None if matches!(start[..], [0x80, 2..=5, ..]) => Some(Layout::CifarPickles(vec![given])),
        _ if is_idx(path) => Some(Layout::Idx { labels: labels_beside(path), images: given }),
        _ => None,
    })
}

/// The kind of the known files of a folder; `None` if it has none.
fn of_folder(folder: &Path) -> Result<Option<Layout>, DataError> {
    let unread = |error| DataError::read(folder, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        files.push(entry.map_err(unread)?.path());
    }
    files.retain(|file| file.is_file());
    files.sort();
    let has = |wanted: &str| files.iter().any(|file| name(file) == wanted);
    if has("data_batch_1.bin") || has("train.bin") && has("fine_label_names.txt") {
        return Ok(Some(Layout::Cifar(folder.to_path_buf())));
    }
    let batches: Vec<PathBuf> =
        files.iter().filter(|file| is_batch(&name(file))).cloned().collect();
    if !batches.is_empty() {
        return Ok(Some(Layout::CifarPickles(batches)));
    }
    if has("train") && has("meta") {
        return Ok(Some(Layout::CifarPickles(vec![folder.join("train")])));
    }
    if cifar::is_100_folder(folder) {
        return Ok(Some(Layout::Cifar(folder.to_path_buf())));
    }
    if files.iter().any(|file| npz::is_published(&name(file))) {
        return Ok(Some(Layout::Npz(folder.to_path_buf())));
    }
    idx_of(folder, &files)
}

/// True for the name of a pickled batch for training, such as `data_batch_1`.
fn is_batch(name: &str) -> bool {
    let number = name.strip_prefix("data_batch_");
    number.is_some_and(|number| number.parse::<u8>().is_ok())
}

/// The IDX files of a folder: those for training if there are any.
fn idx_of(folder: &Path, files: &[PathBuf]) -> Result<Option<Layout>, DataError> {
    let is_images = |file: &&PathBuf| {
        let name = name(file);
        (name.contains("images-idx3") || name.contains("images.idx3")) && is_idx(file)
    };
    let mut images: Vec<&PathBuf> = files.iter().filter(is_images).collect();
    if images.iter().any(|file| name(file).contains("train")) {
        images.retain(|file| name(file).contains("train"));
    }
    // A file that lies beside its packed form is the same one.
    images.dedup_by(|packed, plain| name(packed).strip_suffix(".gz") == Some(&*name(plain)));
    match images[..] {
        [] => Ok(None),
        [images] => Ok(Some(Layout::Idx { images: images.clone(), labels: labels_beside(images) })),
        _ => {
            let names: Vec<String> = images.iter().map(|file| name(file)).collect();
            let problem = format!(
                "several sets of IDX files ({}), expected one; name the file of images",
                names.join(", ")
            );
            Err(DataError::file(folder, problem))
        }
    }
}

/// A file's name in lower case.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// The labels beside a file of IDX images, packed or not.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let found = ["images-idx3", "images.idx3"].iter().find_map(|part| {
        let other = part.replace("images", "labels").replace("idx3", "idx1");
        let labels = images.with_file_name(images.file_name()?.to_str()?.replace(part, &other));
        let (plain, packed) = match labels.extension().is_some_and(|ending| ending == "gz") {
            true => (labels.with_extension(""), labels.clone()),
            false => (labels.clone(), PathBuf::from(format!("{}.gz", labels.display()))),
        };
        let exists = |file: &PathBuf| file.is_file() && file != images;
        [labels, plain, packed].into_iter().find(exists)
    });
    found.filter(|labels| labels != images)
}

/// The file whose name has `other` in place of `part`, if it exists.
fn beside(path: &Path, part: &str, other: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let beside = path.with_file_name(name.replace(part, other));
    (name.contains(part) && beside.is_file()).then_some(beside)
}

/// True if a file has the magic number of IDX images or of gzip.
fn is_idx(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && (start == [0, 0, 8, 3] || start[..2] == [0x1f, 0x8b])
}

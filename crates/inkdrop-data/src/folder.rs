//! Datasets of picture files in a folder or an archive.
//!
//! Pictures are PNG, JPEG, GIF, WebP, BMP, TIFF or QOI files at any depth of sub-folders, in the order of
//! their paths, or such members of a zip, tar or tar.gz archive. Hidden files and folders, and files of
//! other kinds, are left out and counted. [`Broken`] decides about unreadable files. A folder or file of another
//! [`Layout`](crate::layout::Layout) (MNIST, CIFAR, npz) is found by its names, and its images are fitted as pictures are.

mod listing;
mod pictures;
mod records;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::item::Item;
use crate::note::Remarks;
use crate::parallel::parallel_map;
use crate::read::{Animation, MOST_PIXELS, Orientation, PictureOptions, Transparent};
use crate::{DataError, InMemoryDataset, LabelledDataset, Note};
use listing::{Listing, list};
use pictures::{Fitting, Stack, Streamed};
pub use records::fit;

/// Largest value of [`FolderConfig::size`].
pub const LONGEST_SIDE: usize = 8192;

/// Default of [`FolderConfig::memory_mib`].
pub const MEMORY_MIB: u64 = 4096;

/// A folder of pictures, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderConfig {
    /// The folder or archive.
    pub path: PathBuf,
    /// Side of the images, 1 to [`LONGEST_SIDE`] pixels: every picture is resized and cropped to
    /// it. Without it, all pictures must have one size.
    pub size: Option<usize>,
    /// Source of the labels.
    #[serde(default)]
    pub labels: FolderLabels,
    /// Policy for unreadable files.
    #[serde(default)]
    pub broken: Broken,
    /// Memory limit in MiB: images of at most this size in total, N·H·W·C bytes, are decoded once
    /// and kept. Larger datasets are decoded at every read. The machine's memory is not considered,
    /// so that a resumed run has the same order of images on any machine.
    #[serde(default = "memory_mib")]
    pub memory_mib: u64,
    /// What becomes of transparent pixels.
    #[serde(default)]
    pub transparent: Transparent,
    /// What becomes of the EXIF orientation.
    #[serde(default)]
    pub orientation: Orientation,
    /// What becomes of animations.
    #[serde(default)]
    pub animation: Animation,
    /// Largest number of pixels of a picture.
    #[serde(default = "max_pixels")]
    pub max_pixels: u64,
}

pub(crate) fn memory_mib() -> u64 {
    MEMORY_MIB
}

pub(crate) fn max_pixels() -> u64 {
    MOST_PIXELS
}

impl FolderConfig {
    /// A folder without labels, whose pictures have one size and are all readable.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let PictureOptions { transparent, orientation, animation, max_pixels } =
            PictureOptions::default();
        Self {
            path: path.into(),
            size: None,
            labels: FolderLabels::default(),
            broken: Broken::default(),
            memory_mib: MEMORY_MIB,
            transparent,
            orientation,
            animation,
            max_pixels,
        }
    }

    /// How the pictures are decoded.
    pub fn pictures(&self) -> PictureOptions {
        let Self { transparent, orientation, animation, max_pixels, .. } = *self;
        PictureOptions { transparent, orientation, animation, max_pixels }
    }
}

/// Source of the label of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderLabels {
    /// No labels.
    #[default]
    None,
    /// The file name before the first `_`, as in `cat_01.png` (improved-diffusion). Class ids
    /// follow the sorted prefixes.
    Prefix,
    /// The top-level sub-folder, as in `cat/01.png` or `cat/tabby/01.png`. Class ids follow the
    /// sorted sub-folders.
    Folder,
}

/// Policy for unreadable files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// A damaged picture is an error. Links that lead nowhere and sub-folders that cannot be read are
    /// left out with a note.
    #[default]
    FailDamaged,
    /// Anything that cannot be read is an error.
    Fail,
    /// Anything that cannot be read is left out with a note. If a picture proves unreadable only
    /// later, the next readable picture replaces it.
    Skip,
}

/// The pictures of a folder, in memory.
#[derive(Debug)]
pub struct Folder {
    /// The pictures in the order of their paths, and their labels.
    pub dataset: InMemoryDataset,
    /// Names of the classes, in the order of their ids; empty without labels.
    pub classes: Vec<String>,
    /// What was left out, and what was amiss with pictures that were read.
    pub notes: Vec<Note>,
}

/// The pictures of a folder, in memory or streamed.
#[derive(Debug)]
pub struct OpenFolder {
    /// The pictures in the order of their paths, and their labels.
    pub data: LabelledDataset,
    /// Names of the classes, in the order of their ids; empty without labels.
    pub classes: Vec<String>,
    /// What was left out, and what was amiss with pictures that were read.
    pub notes: Vec<Note>,
}

/// Opens a folder as a dataset.
///
/// Images of at most [`memory_mib`](FolderConfig::memory_mib) are loaded, as by [`load`]. Of larger
/// datasets only the file headers are read; each picture is decoded when it is read.
///
/// - channels: 3 for RGB, or 1 for gray (luma)
///
/// ```
/// use inkdrop_data::folder::{self, FolderConfig};
/// use inkdrop_data::picture::{Picture, write_png};
///
/// # let place = tempfile::tempdir().expect("a temporary folder");
/// # let path = place.path();
/// write_png(path.join("large.png"), &Picture::filled(40, 30, [7; 3]))?;
/// let config = FolderConfig { size: Some(16), memory_mib: 0, ..FolderConfig::new(path) };
/// let images = folder::open(&config, 3)?.data.images;
/// assert_eq!((images.len(), images.shape()), (1, [16, 16, 3]));
///
/// let mut pixels = vec![0; 16 * 16 * 3];
/// images.read(0, &mut pixels)?;
/// assert!(pixels.iter().all(|&value| value == 7));
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
///
/// # Errors
/// As for [`load`]. A streamed file with a valid header and damaged content fails when it is read.
/// There are no notes on streamed pictures that are read although something is amiss.
pub fn open(config: &FolderConfig, channels: usize) -> Result<OpenFolder, DataError> {
    let fitting = Fitting::new(config, channels)?;
    if let Some(Folder { dataset, classes, notes }) = records::load(config, channels)? {
        return Ok(OpenFolder { data: dataset.into(), classes, notes });
    }
    open_listing(config, fitting, list(config)?)
}

fn open_listing(
    config: &FolderConfig,
    fitting: Fitting,
    listing: Listing,
) -> Result<OpenFolder, DataError> {
    let most = config.memory_mib.saturating_mul(1 << 20);
    if fitting.bytes(&listing, config)? <= most {
        let Folder { dataset, classes, notes } = gather(config, fitting, listing)?;
        return Ok(OpenFolder { data: dataset.into(), classes, notes });
    }
    let classes = listing.classes.clone();
    let (streamed, labels, notes) = Streamed::open(config, fitting, listing)?;
    let data = LabelledDataset { images: Arc::new(streamed), labels };
    Ok(OpenFolder { data, classes, notes })
}

/// Opens two folders of pictures whose names are the same but for their endings, both in the order of these names.
///
/// - each with its channels, 1 or 3
///
/// # Errors
/// As for [`open`]; a picture of one folder that has no partner in the other.
pub(crate) fn open_matching(
    (first, channels): (&FolderConfig, usize),
    (second, others): (&FolderConfig, usize),
) -> Result<[OpenFolder; 2], DataError> {
    let fittings = [Fitting::new(first, channels)?, Fitting::new(second, others)?];
    let [mut images, mut partners] = [list(first)?, list(second)?];
    images.items.sort_by_cached_key(|(item, _)| name(first, item));
    partners.items.sort_by_cached_key(|(item, _)| name(second, item));
    check_partners((first, &images), (second, &partners))?;
    check_partners((second, &partners), (first, &images))?;
    let [fitting, other] = fittings;
    Ok([open_listing(first, fitting, images)?, open_listing(second, other, partners)?])
}

/// The path of a picture below its folder, without its ending.
fn name(config: &FolderConfig, item: &Item) -> PathBuf {
    item.path.strip_prefix(&config.path).unwrap_or(&item.path).with_extension("")
}

/// Checks that each picture has exactly one partner; both listings are sorted by name.
fn check_partners(
    (config, listing): (&FolderConfig, &Listing),
    (other, partners): (&FolderConfig, &Listing),
) -> Result<(), DataError> {
    let names: Vec<PathBuf> = partners.items.iter().map(|(item, _)| name(other, item)).collect();
    for (item, _) in &listing.items {
        let wanted = name(config, item);
        let start = names.partition_point(|name| *name < wanted);
        let count = names[start..].iter().take_while(|name| **name == wanted).count();
        if count != 1 {
            let problem = format!(
                "{count} pictures of the name {} in {}, expected one: pairs have the same name in both folders, \
                 whatever its ending",
                wanted.display(),
                other.path.display()
            );
            return Err(DataError::file(&item.path, problem));
        }
    }
    Ok(())
}

/// Loads all pictures of a folder into memory, without the limit of
/// [`memory_mib`](FolderConfig::memory_mib).
///
/// Pictures of another size are resized by [`fit`](crate::read::fit).
///
/// - channels: 3 for RGB, or 1 for gray (luma)
///
/// # Errors
/// - [`DataError::Images`] if `channels` or the size is out of range
/// - [`DataError::Damaged`] if a file cannot be read, and [`Broken`] does not skip it
/// - [`DataError::Read`] or [`DataError::File`] if the folder cannot be read, a label is
///   missing, a class has no picture, or no picture is left
pub fn load(config: &FolderConfig, channels: usize) -> Result<Folder, DataError> {
    let fitting = Fitting::new(config, channels)?;
    if let Some(folder) = records::load(config, channels)? {
        return Ok(folder);
    }
    gather(config, fitting, list(config)?)
}

fn gather(config: &FolderConfig, fitting: Fitting, listing: Listing) -> Result<Folder, DataError> {
    let Listing { items, classes, mut notes } = listing;
    let (mut stack, mut remarks) = (Stack::new(fitting), Remarks::default());
    let mut skipped = Vec::new();
    parallel_map(
        &items,
        |(item, _)| fitting.read(item),
        |index, read| {
            let (item, class) = &items[index];
            match read {
                Ok((fitted, found)) => {
                    remarks.add(&item.path, found);
                    stack.push(&item.path, fitted, *class)
                }
                Err(error) => skip(config, error, &mut skipped),
            }
        },
    )?;
    if stack.is_empty() {
        return Err(nothing_left(config, &skipped));
    }
    let dataset = stack.finish(classes.len())?;
    notes.extend(remarks.notes());
    notes.extend(skipped.into_iter().map(Note::LeftOut));
    Ok(Folder { dataset, classes, notes })
}

/// Records the error of a skipped file, or returns it.
fn skip(
    config: &FolderConfig,
    error: DataError,
    skipped: &mut Vec<DataError>,
) -> Result<(), DataError> {
    match config.broken {
        Broken::FailDamaged | Broken::Fail => Err(error.into_damaged()),
        Broken::Skip => {
            skipped.push(error);
            Ok(())
        }
    }
}

/// The error of a folder without any readable file.
fn nothing_left(config: &FolderConfig, skipped: &[DataError]) -> DataError {
    let first = skipped.first().map_or(String::new(), ToString::to_string);
    let problem = format!(
        "none of its {} pictures can be read, expected at least one; the first is {first}",
        skipped.len()
    );
    DataError::file(&config.path, problem)
}

//! The pictures of a folder, resized: all in memory, or each decoded when it is read.

use std::path::{Path, PathBuf};

use ndarray::Array4;

use super::{Broken, FolderConfig, LONGEST_SIDE, Listing, nothing_left, skip};
use crate::decode::{PictureOptions, decode, sides};
use crate::item::Item;
use crate::parallel::parallel_map;
use crate::picture::Picture;
use crate::read::luma;
use crate::resize::{check as check_fit, fit};
use crate::{DataError, Dataset, Images, InMemoryDataset, Labels, Note};

/// Target size and channels of the pictures, and how they are decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fitting {
    size: Option<usize>,
    channels: usize,
    options: PictureOptions,
}

/// A picture with the target size and channels.
pub(super) struct Fitted {
    pub width: usize,
    pub height: usize,
    /// `[height, width, channels]`
    pub bytes: Vec<u8>,
}

impl Fitting {
    pub(super) fn new(config: &FolderConfig, channels: usize) -> Result<Self, DataError> {
        let size = config.size;
        if let Some(size) = size.filter(|size| !(1..=LONGEST_SIDE).contains(size)) {
            return Err(DataError::Images(format!(
                "size {size}, expected 1 to {LONGEST_SIDE}; choose the side that the network takes"
            )));
        }
        if !matches!(channels, 1 | 3) {
            return Err(DataError::Images(format!(
                "{channels} channels, expected 1 (gray) or 3 (RGB); picture files give no others"
            )));
        }
        Ok(Self { size, channels, options: config.pictures() })
    }

    pub(super) fn channels(self) -> usize {
        self.channels
    }

    /// Decodes a picture and fits it; also returns the remarks on it.
    pub(super) fn read(self, item: &Item) -> Result<(Fitted, Vec<String>), DataError> {
        let decoded = decode(&item.path, &item.read()?, &self.options)?;
        let fitted = self.fit(decoded.picture);
        let fitted = fitted.map_err(|error| DataError::file(&item.path, error.to_string()))?;
        Ok((fitted, decoded.remarks))
    }

    /// Fits a picture.
    pub(super) fn fit(self, mut picture: Picture) -> Result<Fitted, DataError> {
        if let Some(size) = self.size {
            picture = fit(&picture, size, size)?;
        }
        let (width, height) = (picture.width(), picture.height());
        let bytes = match self.channels {
            1 => luma(&picture).collect(),
            _ => picture.into_pixels(),
        };
        Ok(Fitted { width, height, bytes })
    }

    /// Width and height of a picture after fitting. Its header is enough for that, unless the size is that of the
    /// picture, which the orientation at the end of a file may turn.
    pub(super) fn sides(self, item: &Item) -> Result<(usize, usize), DataError> {
        let Some(size) = self.size else { return sides(&item.path, &item.read()?, &self.options) };
        let (start, whole) = item.start()?;
        let found = match sides(&item.path, &start, &self.options) {
            Err(_) if !whole => sides(&item.path, &item.read()?, &self.options)?,
            found => found?,
        };
        let fits = check_fit(found, (size, size));
        fits.map_err(|error| DataError::file(&item.path, error.to_string()))?;
        Ok((size, size))
    }

    /// Number of bytes of all images. Without a target size, the first picture's size is assumed for
    /// all.
    pub(super) fn bytes(self, listing: &Listing, config: &FolderConfig) -> Result<u64, DataError> {
        let (mut width, mut height) = (0, 0);
        for (item, _) in &listing.items {
            match self.sides(item) {
                Ok(sides) => {
                    (width, height) = sides;
                    break;
                }
                Err(error) => skip(config, error, &mut Vec::new())?,
            }
        }
        let counts = [listing.items.len(), width, height, self.channels];
        Ok(counts.iter().fold(1, |product: u64, &count| product.saturating_mul(count as u64)))
    }
}

/// Collects pictures of one size.
pub(super) struct Stack {
    channels: usize,
    /// The first picture's file, and its width and height.
    first: Option<(PathBuf, (usize, usize))>,
    /// `[N, H, W, C]`
    bytes: Vec<u8>,
    ids: Vec<u32>,
}

impl Stack {
    /// An empty stack.
    pub(super) fn new(fitting: Fitting) -> Self {
        Self { channels: fitting.channels(), first: None, bytes: Vec::new(), ids: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds a picture; running out of memory is an error.
    pub(super) fn push(
        &mut self,
        path: &Path,
        picture: Fitted,
        class: u32,
    ) -> Result<(), DataError> {
        let Fitted { width, height, bytes } = picture;
        let (first, sides) = self.first.get_or_insert_with(|| (path.into(), (width, height)));
        check_sides(path, (width, height), first, *sides)?;
        self.bytes.try_reserve(bytes.len()).map_err(|_| {
            let problem = format!(
                "picture {} does not fit into memory; set a smaller size, or a memory_mib that \
                 memory holds, so that the pictures are read one by one",
                self.ids.len()
            );
            DataError::file(path, problem)
        })?;
        self.bytes.extend(bytes);
        self.ids.push(class);
        Ok(())
    }

    /// All pictures as a dataset.
    pub(super) fn finish(self, classes: usize) -> Result<InMemoryDataset, DataError> {
        let (width, height) = self.first.map_or((0, 0), |(_, sides)| sides);
        let shape = (self.ids.len(), height, width, self.channels);
        let pixels = Array4::from_shape_vec(shape, self.bytes);
        let pixels = pixels.map_err(|error| DataError::Images(error.to_string()))?;
        InMemoryDataset::new(Images::new(pixels)?, labels(self.ids, classes))
    }
}

/// Checks that a picture has the size of the first one.
fn check_sides(
    path: &Path,
    (width, height): (usize, usize),
    first: &Path,
    (wide, high): (usize, usize),
) -> Result<(), DataError> {
    if (width, height) == (wide, high) {
        return Ok(());
    }
    let problem = format!(
        "{width} x {height} pixels, expected {wide} x {high} as {} has; set a size to fit all to",
        first.display()
    );
    Err(DataError::file(path, problem))
}

/// The labels of the pictures; none without classes.
fn labels(ids: Vec<u32>, classes: usize) -> Labels {
    match classes {
        0 => Labels::None,
        count => Labels::Classes { ids, count },
    }
}

/// A streamed dataset: files with valid headers, decoded when they are read.
#[derive(Debug)]
pub(super) struct Streamed {
    config: FolderConfig,
    fitting: Fitting,
    items: Vec<Item>,
    /// Width and height of every picture.
    sides: (usize, usize),
}

impl Streamed {
    /// Reads the headers of all pictures. Returns the dataset, the labels and the notes.
    pub(super) fn open(
        config: &FolderConfig,
        fitting: Fitting,
        listing: Listing,
    ) -> Result<(Self, Labels, Vec<Note>), DataError> {
        let Listing { items: listed, classes, mut notes } = listing;
        let (mut items, mut ids): (Vec<Item>, Vec<u32>) = Default::default();
        let (mut skipped, mut sides) = (Vec::new(), (0, 0));
        parallel_map(
            &listed,
            |(item, _)| fitting.sides(item),
            |index, found| {
                let (item, class) = &listed[index];
                match found {
                    Ok(found) => {
                        match items.first() {
                            None => sides = found,
                            Some(first) => check_sides(&item.path, found, &first.path, sides)?,
                        }
                        items.push(item.clone());
                        ids.push(*class);
                        Ok(())
                    }
                    Err(error) => skip(config, error, &mut skipped),
                }
            },
        )?;
        if items.is_empty() {
            return Err(nothing_left(config, &skipped));
        }
        notes.extend(skipped.into_iter().map(Note::LeftOut));
        let labels = labels(ids, classes.len());
        Ok((Self { config: config.clone(), fitting, items, sides }, labels, notes))
    }

    fn item(&self, index: usize) -> Result<&Item, DataError> {
        self.items.get(index).ok_or_else(|| {
            let most = self.items.len().saturating_sub(1);
            DataError::Images(format!("image {index}, expected 0 to {most}"))
        })
    }
}

impl Dataset for Streamed {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn shape(&self) -> [usize; 3] {
        [self.sides.1, self.sides.0, self.fitting.channels()]
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let item = self.item(index)?;
        let read = self.fitting.read(item).map_err(|error| match self.skips() {
            true => error,
            false => error.into_damaged(),
        });
        let (Fitted { width, height, bytes }, _) = read?;
        if (width, height) != self.sides || bytes.len() != pixels.len() {
            let problem = format!(
                "{width} x {height} pixels, expected {} x {} as when the folder was opened; \
                 leave its files alone while they are in use",
                self.sides.0, self.sides.1
            );
            return Err(DataError::file(&item.path, problem));
        }
        pixels.copy_from_slice(&bytes);
        Ok(())
    }

    fn skips(&self) -> bool {
        self.config.broken == Broken::Skip
    }
}

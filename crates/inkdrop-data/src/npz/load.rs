//! How an archive of samples becomes a data set again.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use npyz::zip::ZipArchive;
use npyz::zip::result::ZipError;

use crate::npy;
use crate::{DataError, InMemoryDataset};

/// Up to how many times the archive an array may be, where it is larger than [`FLOOR`].
const GROWTH: u64 = 64;
/// Bytes that an array may have in any archive.
const FLOOR: u64 = 1 << 30;

/// Reads an archive as [`write_samples`](super::write_samples) writes it, or `np.savez` and
/// `np.savez_compressed` of images and labels.
///
/// Memory is taken for what is in an array, whatever its header says, and for no more than 1 GiB
/// or 64 times the archive.
///
/// # Shapes
/// - `arr_0`: the images, uint8 `[N, H, W, C]`, C 1 or 3
/// - `arr_1`: labels, `[N]` class ids or `[N, K]` weights, if there; else `context`, likewise
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
/// [`DataError::Read`] where the file cannot be read; [`DataError::File`] where it is no such
/// archive, or an array in it is damaged, or not as above; [`DataError::Labels`] where there is
/// not one label per image.
pub fn load(path: impl AsRef<Path>) -> Result<InMemoryDataset, DataError> {
    let path = path.as_ref();
    let mut archive = Archive::open(path)?;
    let Some(images) = archive.array("arr_0")? else {
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

struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// The most bytes of an array.
    most: u64,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let unread = |error| DataError::read(path, error);
        let file = File::open(path).map_err(unread)?;
        let size = file.metadata().map_err(unread)?.len();
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(path, &error))?;
        Ok(Self { path, zip, most: size.saturating_mul(GROWTH).max(FLOOR) })
    }

    /// The npy file of an array; none where there is none of this name.
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
                "more than {} bytes out of an archive of this size, which is taken for a trap; \
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

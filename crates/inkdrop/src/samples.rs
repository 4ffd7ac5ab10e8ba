//! Sampled images: as bytes, as a tensor, and as files.

use std::path::Path;

use inkdrop_data::picture::{Grid, Picture, write_image, write_image_dir, write_png, write_tiff};
use inkdrop_data::{Depth, Images, npy, npz};
use inkdrop_process::pixels;
use inkdrop_torch::tch::{Device, Tensor};
use ndarray::{Array2, Array4, ArrayView1, ArrayView4, s};

use crate::Result;
use crate::error::{bail, ensure};
use crate::model::Condition;

/// Sampled images with their conditions.
#[derive(Debug)]
pub struct Samples {
    images: Images,
    tensor: Tensor,
    conditions: Vec<Condition>,
}

impl Samples {
    pub(crate) fn new(tensor: Tensor, conditions: Vec<Condition>, form: PixelForm) -> Result<Self> {
        Ok(Self { images: form.images(&tensor)?, tensor, conditions })
    }

    pub(crate) fn with_images(self, images: Images) -> Self {
        Self { images, ..self }
    }

    pub(crate) fn concat(batches: Vec<Self>) -> Result<Self> {
        let tensors: Vec<&Tensor> = batches.iter().map(|batch| &batch.tensor).collect();
        let tensor = Tensor::f_cat(&tensors, 0)?;
        let images =
            Images::concat(&batches.iter().map(|batch| &batch.images).collect::<Vec<_>>())?;
        let conditions = batches.into_iter().flat_map(|batch| batch.conditions).collect();
        Ok(Self { images, tensor, conditions })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// True if there are no images.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The images as bytes, [N, H, W, C]; images of 16 bits are shown in 8, and exact in [`Samples::to_images`].
    pub fn images(&self) -> ArrayView4<'_, u8> {
        self.images.view()
    }

    /// The images, for editing.
    pub fn to_images(&self) -> Images {
        self.images.clone()
    }

    /// The images as the sampler left them, about −1 to 1, [N, C, H, W].
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The condition of each image.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Writes the images, by the ending of the name: `x.png` is a grid in 8 bits, or a single image of 16 bits as it is;
    /// `x.tiff` has a page for each image, `x.npz` uint8 or uint16 images [N, H, W, C] in `arr_0` and classes in `arr_1`,
    /// `x.npy` the images and `x_labels.npy` the classes, and a directory (`x/`) gets one PNG per image.
    ///
    /// # Errors
    /// Another ending, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match FileFormat::of(path)? {
            FileFormat::Png => {
                ensure!(!self.is_empty(), "{}: there are no images", path.display());
                match is_png_image(&self.images) {
                    true => write_image(path, &self.images, 0)?,
                    false => write_png(path, &square(&self.images)?)?,
                }
            }
            FileFormat::Tiff => write_tiff(path, &self.images)?,
            FileFormat::Npz => {
                let (labels, contexts) = labels(&self.conditions);
                npz::write_samples(path, &self.images, labels.as_deref(), contexts.as_ref())?;
            }
            FileFormat::Npy => {
                let (labels, contexts) = labels(&self.conditions);
                let labels = labels.as_deref().map(ArrayView1::from);
                npy::write_samples(
                    path,
                    &self.images,
                    labels,
                    contexts.as_ref().map(Array2::view),
                )?;
            }
            FileFormat::Directory => write_image_dir(path, &self.images, None)?,
        }
        Ok(())
    }
}

/// The class of each image, if each has one, and the context weights, if any is not 0.
pub fn labels(conditions: &[Condition]) -> (Option<Vec<i64>>, Option<Array2<f32>>) {
    let classes = conditions.iter().map(Condition::one_hot).collect();
    let weights: Vec<f32> = conditions.iter().flat_map(|c| c.contexts.iter().copied()).collect();
    if weights.iter().all(|&weight| weight == 0.0) {
        return (classes, None);
    }
    let shape = (conditions.len(), weights.len() / conditions.len());
    (classes, Array2::from_shape_vec(shape, weights).ok())
}

/// The form of an output of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// A grid of all images, or [one image of 16 bits](is_png_image).
    Png,
    /// One page per image.
    Tiff,
    /// arr_0 uint8 [N, H, W, C], arr_1 int64 labels.
    Npz,
    /// The same as two files: `x.npy` and `x_labels.npy`.
    Npy,
    /// One PNG file per image.
    Directory,
}

impl FileFormat {
    /// The form for a path: by its ending, or a directory.
    ///
    /// # Errors
    /// Another ending.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            _ if path.as_os_str().as_encoded_bytes().ends_with(b"/") => Ok(Self::Directory),
            Some("png") => Ok(Self::Png),
            Some("tif" | "tiff") => Ok(Self::Tiff),
            Some("npz") => Ok(Self::Npz),
            Some("npy") => Ok(Self::Npy),
            _ if path.is_dir() => Ok(Self::Directory),
            _ => bail!("expected a name that ends in .png, .tiff, .npz, .npy or / (a directory)"),
        }
    }
}

/// True for what a PNG file keeps exactly, and a grid would round: one image of 16 bits, gray or RGB.
pub fn is_png_image(images: &Images) -> bool {
    images.depth() == Depth::Sixteen && images.len() == 1 && matches!(images.channels(), 1 | 3)
}

/// Images as tensors in [-1, 1], [B, C, H, W] in f32, which holds 8 and 16 bits exactly.
///
/// # Errors
/// libtorch refuses the device.
pub fn to_tensor(images: &Images, device: Device) -> Result<Tensor> {
    Ok(match images.wide() {
        Some(wide) => pixels::wide_to_tensor(wide.iter().copied(), images.nhwc(), device)?,
        None => pixels::to_tensor(images.bytes(), images.nhwc(), device)?,
    })
}

/// How tensors become images: their depth, and the rounding of 8-bit values. Values of 16 bits are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PixelForm {
    pub depth: Depth,
    pub rounding: Rounding,
}

impl PixelForm {
    /// Tensors in [-1, 1] as images.
    ///
    /// - x: [B, C, H, W]
    pub fn images(self, x: &Tensor) -> Result<Images> {
        match self.depth {
            Depth::Eight => self.rounding.images(x),
            Depth::Sixteen => {
                let pixels = Array4::from_shape_vec(nhwc(x)?, pixels::wide_from_tensor(x)?);
                let Ok(pixels) = pixels else { bail!("x has another shape than [B, C, H, W]") };
                Ok(Images::of_wide(pixels)?)
            }
        }
    }
}

/// How values between two bytes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// Cut off, as in improved-diffusion ([`pixels::from_tensor`]).
    #[default]
    Truncate,
    /// To the nearest byte, as in diffusers ([`pixels::from_tensor_rounded`]).
    Nearest,
}

impl Rounding {
    /// Tensors in [-1, 1] as images.
    ///
    /// - x: [B, C, H, W]
    ///
    /// # Errors
    /// x has another number of axes, or more than 16 channels.
    pub fn images(self, x: &Tensor) -> Result<Images> {
        let bytes = match self {
            Self::Truncate => pixels::from_tensor(x),
            Self::Nearest => pixels::from_tensor_rounded(x),
        };
        images(x, bytes?)
    }
}

fn images(x: &Tensor, bytes: Vec<u8>) -> Result<Images> {
    Ok(Images::of_bytes(nhwc(x)?, Depth::Eight, bytes)?)
}

/// The shape of images from that of their tensor.
fn nhwc(x: &Tensor) -> Result<[usize; 4]> {
    let size: Vec<usize> = x.size().iter().map(|&axis| axis as usize).collect();
    ensure!(size.len() == 4, "x has shape {size:?}, expected [B, C, H, W]");
    Ok([size[0], size[2], size[3], size[1]])
}

/// A nearly square grid of unlabelled images.
///
/// # Errors
/// None of images with a side of 0.
pub fn square(images: &Images) -> Result<Picture> {
    let columns = (images.len() as f64).sqrt().ceil() as usize;
    rows(images, columns, &[])
}

/// A grid with `columns` images per row and labels on the left.
///
/// # Errors
/// None of images with a side of 0.
pub fn rows(images: &Images, columns: usize, labels: &[String]) -> Result<Picture> {
    let mut grid = Grid::new().scale(scale(images.height()));
    for (row, from) in (0..images.len()).step_by(columns.max(1)).enumerate() {
        let label = labels.get(row).cloned().unwrap_or_default();
        let to = (from + columns).min(images.len());
        let part = images.view().slice(s![from..to, .., .., ..]).to_owned();
        grid = grid.row(label, Images::new(part)?);
    }
    Ok(grid.render())
}

/// Scale of the images in a grid: small ones are enlarged four times.
pub fn scale(height: usize) -> usize {
    if height <= 32 { 4 } else { 1 }
}

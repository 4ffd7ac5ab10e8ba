//! `inkdrop data`: generated sprites as files.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use inkdrop::data::picture::{write_image_dir, write_png};
use inkdrop::data::{Images, npy, sprites};

use crate::output::sink::{MAX_IMAGES, check_place};
use inkdrop::config::SPRITES;
use inkdrop::samples;

/// Write generated sprites to files
///
/// x.png is a grid with one row per class. A directory/ gets one PNG per sprite;
/// sprite i has class i mod 5. x.npy is the format of the sprites notebook:
/// images uint8 [N, 16, 16, 3] in x.npy, one-hot labels float64 [N, 5] in x_labels.npy.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Number of sprites
    #[arg(short = 'n', long, default_value_t = 80)]
    count: usize,
    /// Random seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Output: x.png, x.npy or a directory/
    #[arg(long)]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { count, seed, out } = arguments;
    ensure!((1..=SPRITES).contains(count), "-n {count}: expected 1 to {SPRITES} sprites");
    let data = sprites::dataset(*seed, *count);
    if out.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return folder(out, &data.images);
    }
    check_place(out)?;
    match out.extension().and_then(|ending| ending.to_str()) {
        Some("npy") => {
            let labels = npy::labels_path(out);
            npy::write(out, &labels, &data)?;
            eprintln!("{count} sprites in {}, their labels in {}", out.display(), labels.display());
        }
        Some("png") => {
            ensure!(
                *count <= MAX_IMAGES,
                "-n {count} in one picture: expected at most {MAX_IMAGES}; write x.npy or a directory/"
            );
            let names = sprites::CLASSES.map(String::from);
            write_png(
                out,
                &samples::rows(&by_class(&data.images)?, count.div_ceil(names.len()), &names)?,
            )?;
            eprintln!("{count} sprites in {}", out.display());
        }
        _ => bail!("{}: expected a name that ends in .png, .npy or / (a directory)", out.display()),
    }
    Ok(0)
}

/// Writes one PNG file per sprite to a new or empty directory.
fn folder(out: &Path, images: &Images) -> Result<u8> {
    let empty = !out.exists() || out.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    ensure!(empty, "{} exists: expected an empty or a new directory", out.display());
    write_image_dir(out, images, None)?;
    eprintln!("{} sprites in {}", images.len(), out.display());
    Ok(0)
}

/// Sprite i is of class i mod 5: the same images, class after class.
fn by_class(images: &Images) -> Result<Images> {
    let classes = sprites::CLASSES.len();
    let order: Vec<usize> =
        (0..classes).flat_map(|class| (class..images.len()).step_by(classes)).collect();
    Ok(Images::new(images.view().select(ndarray::Axis(0), &order))?)
}

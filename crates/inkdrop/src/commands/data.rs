//! `inkdrop data`: the generated sprites, as files.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use inkdrop_data::picture::write_png;
use inkdrop_data::{npy, sprites};

use crate::config::SPRITES;
use crate::draw;
use crate::output::check_place;

/// Write the generated sprites as files
///
/// x.png is a picture with a row per class; x.npy is the notebook's pair:
/// images uint8 [N, 16, 16, 3] in x.npy, one-hot labels float64 [N, 5] in x_labels.npy.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many sprites
    #[arg(short = 'n', long, default_value_t = 80)]
    count: usize,
    /// Seed of the generator
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to: x.png or x.npy
    #[arg(long)]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { count, seed, out } = arguments;
    ensure!((1..=SPRITES).contains(count), "-n {count}: expected 1 to {SPRITES} sprites");
    check_place(out)?;
    let data = sprites::dataset(*seed, *count);
    match out.extension().and_then(|ending| ending.to_str()) {
        Some("npy") => {
            let labels = out.with_file_name(format!(
                "{}_labels.npy",
                out.file_stem().unwrap_or_default().to_string_lossy()
            ));
            npy::write(out, &labels, &data)?;
            eprintln!("{count} sprites in {}, their labels in {}", out.display(), labels.display());
        }
        Some("png") => {
            let names = sprites::CLASSES.map(String::from);
            write_png(
                out,
                &draw::rows(&by_class(&data.images)?, count.div_ceil(names.len()), &names)?,
            )?;
            eprintln!("{count} sprites in {}", out.display());
        }
        _ => bail!("{}: expected a name that ends in .png or .npy", out.display()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Sprite i is of class i mod 5: the same images, class after class.
fn by_class(images: &inkdrop_data::Images) -> Result<inkdrop_data::Images> {
    let classes = sprites::CLASSES.len();
    let order: Vec<usize> =
        (0..classes).flat_map(|class| (class..images.len()).step_by(classes)).collect();
    Ok(inkdrop_data::Images::new(images.view().select(ndarray::Axis(0), &order))?)
}

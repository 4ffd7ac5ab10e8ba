//! A contact sheet of the sprites: one labelled PNG with a row per class, or 200 of one class.
//!
//! `cargo run --release -p inkdrop-data --example contact_sheet -- sheet.png [seed] [class]`

use std::error::Error;

use inkdrop_data::Images;
use inkdrop_data::picture::{Grid, write_png};
use inkdrop_data::sprites::{self, Class, SIZE};
use ndarray::Array4;

const COLUMNS: usize = 16;
const ROWS_OF_ONE_CLASS: usize = 13;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "contact_sheet.png".to_owned());
    let seed = args.next().map_or(Ok(0), |seed| seed.parse())?;
    let grid = match args.next() {
        Some(name) => one_class(seed, Class::from_name(&name)?)?,
        None => all_classes(seed)?,
    };
    write_png(&path, &grid.scale(4).padding(4).render())?;
    println!("wrote {path}");
    Ok(())
}

fn all_classes(seed: u64) -> Result<Grid, Box<dyn Error>> {
    Class::ALL.into_iter().try_fold(Grid::new().title("sprites"), |grid, class| {
        Ok(grid.row(class.name(), examples(seed, class, 0)?))
    })
}

fn one_class(seed: u64, class: Class) -> Result<Grid, Box<dyn Error>> {
    (0..ROWS_OF_ONE_CLASS).try_fold(Grid::new().title(class.name()), |grid, row| {
        Ok(grid.row("", examples(seed, class, row * COLUMNS)?))
    })
}

/// `COLUMNS` sprites of a class, from its `first` one on.
fn examples(seed: u64, class: Class, first: usize) -> Result<Images, Box<dyn Error>> {
    let indices =
        (first..first + COLUMNS).map(|i| (i * sprites::CLASSES.len() + class.index()) as u64);
    let pixels = indices.flat_map(|index| sprites::sprite(seed, index).pixels).collect();
    Ok(Images::new(Array4::from_shape_vec((COLUMNS, SIZE, SIZE, 3), pixels)?)?)
}

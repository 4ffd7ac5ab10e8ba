//! Contact sheets: labelled rows of inputs and outputs in one picture.

use anyhow::{Context, Result};
use inkdrop::data::picture::{Grid, Picture};
use inkdrop::data::{Depth, Images};

use inkdrop::samples;

/// Labelled rows with space for the generated images.
pub struct ContactSheet {
    /// Headings of the columns.
    pub columns: Vec<String>,
    pub rows: Vec<Strip>,
    /// Generated images per row.
    pub generated: usize,
}

/// The label and the inputs of one row.
pub struct Strip {
    pub label: String,
    /// Images to the left of the generated ones.
    pub before: Option<Images>,
    /// Images to the right.
    pub after: Option<Images>,
}

impl Strip {
    /// A row without inputs.
    pub fn plain(label: impl Into<String>) -> Self {
        Self { label: label.into(), before: None, after: None }
    }
}

impl ContactSheet {
    /// One row per input: the columns before, then the generated images.
    ///
    /// - before: headings, each with one image per row
    pub fn of_rows(names: &[String], before: &[(&str, &Images)], generated: usize) -> Result<Self> {
        let mut columns: Vec<String> = before.iter().map(|(name, _)| name.to_string()).collect();
        columns.extend((1..=generated).map(|number| number.to_string()));
        let strip = |(row, name): (usize, &String)| {
            let images = before.iter().map(|(_, images)| images.select(&[row]));
            let images = images.collect::<Result<Vec<_>, _>>()?;
            Ok(Strip { label: name.clone(), before: concat(&images)?, after: None })
        };
        let rows = names.iter().enumerate().map(strip).collect::<Result<_>>()?;
        Ok(Self { columns, rows, generated })
    }

    /// Draws the sheet in 8 bits.
    ///
    /// - beside: one image for each generated image, drawn to its left
    pub fn draw(&self, generated: &Images, beside: Option<&Images>) -> Result<Picture> {
        let mut grid = Grid::new().scale(samples::scale(generated.height())).text_scale(1);
        grid = grid.columns(self.columns.clone());
        for (index, strip) in self.rows.iter().enumerate() {
            let shown = |images: &Images| images.clone().with_depth(Depth::Eight);
            let mut images: Vec<Images> = strip.before.iter().map(shown).collect();
            for number in index * self.generated..(index + 1) * self.generated {
                if let Some(beside) = beside {
                    images.push(shown(&beside.select(&[number])?));
                }
                images.push(shown(&generated.select(&[number])?));
            }
            images.extend(strip.after.as_ref().map(shown));
            grid = grid.row(&strip.label, concat(&images)?.context("a row without images")?);
        }
        Ok(grid.render())
    }
}

/// Concatenates sets of images; `None` without any.
pub fn concat(sets: &[Images]) -> Result<Option<Images>> {
    if sets.is_empty() {
        return Ok(None);
    }
    Ok(Some(Images::concat(&sets.iter().collect::<Vec<_>>())?))
}

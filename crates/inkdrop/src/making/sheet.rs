//! A picture of what was made beside what it was made from.

use anyhow::{Context, Result};
use inkdrop_data::Images;
use inkdrop_data::picture::{Grid, Picture};
use ndarray::{Axis, concatenate};

use crate::making::draw;

/// Labelled rows with places for the images that are made.
pub struct Sheet {
    /// Words above the columns.
    pub columns: Vec<String>,
    pub rows: Vec<Strip>,
    /// How many of the images that are made stand in each row.
    pub made: usize,
}

/// What one row shows beside what is made.
pub struct Strip {
    pub label: String,
    /// Images at its left.
    pub before: Option<Images>,
    /// Images at its right.
    pub after: Option<Images>,
}

impl Strip {
    /// A row of nothing else.
    pub fn plain(label: impl Into<String>) -> Self {
        Self { label: label.into(), before: None, after: None }
    }
}

impl Sheet {
    /// A row for each image: those before it, then what was made of it.
    ///
    /// - before: names of columns, each with one image for every row
    pub fn of_rows(names: &[String], before: &[(&str, &Images)], made: usize) -> Result<Self> {
        let mut columns: Vec<String> = before.iter().map(|(name, _)| name.to_string()).collect();
        columns.extend((1..=made).map(|number| number.to_string()));
        let strip = |(row, name): (usize, &String)| {
            let images = before.iter().map(|(_, images)| images.select(&[row]));
            let images = images.collect::<Result<Vec<_>, _>>()?;
            Ok(Strip { label: name.clone(), before: joined(&images)?, after: None })
        };
        let rows = names.iter().enumerate().map(strip).collect::<Result<_>>()?;
        Ok(Self { columns, rows, made })
    }

    /// Draws it.
    ///
    /// - beside: one image for each that was made, which stands at its left
    pub fn draw(&self, made: &Images, beside: Option<&Images>) -> Result<Picture> {
        let mut grid = Grid::new().scale(draw::scale(made.height())).text_scale(1);
        grid = grid.columns(self.columns.clone());
        for (index, strip) in self.rows.iter().enumerate() {
            let mut images: Vec<Images> = strip.before.iter().cloned().collect();
            for number in index * self.made..(index + 1) * self.made {
                if let Some(beside) = beside {
                    images.push(beside.select(&[number])?);
                }
                images.push(made.select(&[number])?);
            }
            images.extend(strip.after.clone());
            grid = grid.row(&strip.label, joined(&images)?.context("a row without images")?);
        }
        Ok(grid.render())
    }
}

/// Several sets as one; none of none.
pub fn joined(sets: &[Images]) -> Result<Option<Images>> {
    if sets.is_empty() {
        return Ok(None);
    }
    let views: Vec<_> = sets.iter().map(Images::view).collect();
    Ok(Some(Images::new(concatenate(Axis(0), &views)?)?))
}

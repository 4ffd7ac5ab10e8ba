//! Where the parts of a grid are.

use super::{Grid, text};

/// Where things are, in pixels of the picture.
pub(super) struct Layout {
    pub(super) text: usize,
    pub(super) gap: usize,
    pub(super) cell: (usize, usize),
    images_left: usize,
    pub(super) columns_top: usize,
    rows_top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Layout {
    /// Finds a place for every part of a grid.
    pub(super) fn of(grid: &Grid) -> Self {
        let text = grid.text_scale.unwrap_or(grid.scale.div_ceil(2));
        let gap = grid.padding;
        let line = text::GLYPH * text + gap.max(text * 2);
        let longest = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|label| text::width(label, text)).max().unwrap_or(0)
        };
        let labels = longest(&mut grid.rows.iter().map(|(label, _)| label));
        let columns = longest(&mut grid.columns.iter());
        let cell = cell(grid, text, columns);
        let images_left = if labels == 0 { gap } else { gap + labels + gap.max(text * 4) };
        let columns_top = if grid.title.is_some() { gap + line } else { gap };
        let rows_top = if columns == 0 { columns_top } else { columns_top + line };
        let count = grid.rows.iter().map(|(_, images)| images.len()).max().unwrap_or(0);
        let count = count.max(grid.columns.len());
        let title = longest(&mut grid.title.iter());
        let width = (images_left + count * (cell.0 + gap)).max(title + 2 * gap);
        let height = rows_top + grid.rows.len() * (cell.1 + gap);
        Self { text, gap, cell, images_left, columns_top, rows_top, width, height }
    }

    /// The left edge of column `c`.
    pub(super) fn column(&self, c: usize) -> usize {
        self.images_left + c * (self.cell.0 + self.gap)
    }

    /// The upper edge of row `r`.
    pub(super) fn row(&self, r: usize) -> usize {
        self.rows_top + r * (self.cell.1 + self.gap)
    }
}

/// Room for the largest image, the widest column label and the height of a row label.
fn cell(grid: &Grid, text: usize, column_label: usize) -> (usize, usize) {
    let widest = grid.rows.iter().map(|(_, images)| images.width()).max().unwrap_or(0);
    let highest = grid.rows.iter().map(|(_, images)| images.height()).max().unwrap_or(0);
    let labelled = grid.rows.iter().any(|(label, _)| !label.is_empty());
    let line = if labelled { text::GLYPH * text } else { 0 };
    ((widest * grid.scale).max(column_label), (highest * grid.scale).max(line))
}

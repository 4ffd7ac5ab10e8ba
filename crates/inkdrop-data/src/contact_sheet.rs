//! Contact sheets: grids of images with labels.

use font8x8::legacy::BASIC_LEGACY;

use crate::Images;
use crate::picture::{Picture, Rgb, colours};

/// A contact sheet: rows of images with optional labels, a title and column labels.
///
/// ```
/// use inkdrop_data::{picture::Grid, sprites};
/// let heroes = sprites::dataset(0, 8).images;
/// let picture = Grid::new().title("Sprites").row("first eight", heroes).scale(4).render();
/// assert!(picture.width() > 8 * 16 * 4);
/// ```
#[derive(Debug, Clone)]
pub struct Grid {
    title: Option<String>,
    columns: Vec<String>,
    rows: Vec<(String, Images)>,
    scale: usize,
    text_scale: Option<usize>,
    padding: usize,
    background: Rgb,
}

impl Default for Grid {
    fn default() -> Self {
        Self::new()
    }
}

impl Grid {
    /// An empty sheet with scale 1, padding 2 and a white background.
    pub fn new() -> Self {
        Self {
            title: None,
            columns: Vec::new(),
            rows: Vec::new(),
            scale: 1,
            text_scale: None,
            padding: 2,
            background: [255; 3],
        }
    }

    /// Adds a row of images; an empty label takes no space.
    pub fn row(mut self, label: impl Into<String>, images: Images) -> Self {
        self.rows.push((label.into(), images));
        self
    }

    /// Sets the title.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the column labels, from the first image on.
    pub fn columns<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> Self {
        self.columns = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the size of an image pixel: `scale` × `scale` pixels, at least 1.
    pub fn scale(mut self, scale: usize) -> Self {
        self.scale = scale.max(1);
        self
    }

    /// Sets the size of a text pixel: `scale` × `scale` pixels, at least 1. The default is half the
    /// images' scale.
    pub fn text_scale(mut self, scale: usize) -> Self {
        self.text_scale = Some(scale.max(1));
        self
    }

    /// Sets the space between and around images, in pixels.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }

    /// Sets the background colour; the text colour contrasts with it.
    pub fn background(mut self, colour: Rgb) -> Self {
        self.background = colour;
        self
    }

    /// Renders the sheet as a picture.
    pub fn render(&self) -> Picture {
        let layout = SheetLayout::of(self);
        let mut picture = Picture::filled(layout.width, layout.height, self.background);
        self.draw_texts(&layout, &mut picture);
        for (r, (_, images)) in self.rows.iter().enumerate() {
            for c in 0..images.len() {
                let place = (layout.column(c), layout.row(r));
                self.draw_image(&mut picture, images, c, place);
            }
        }
        picture
    }

    fn draw_texts(&self, at: &SheetLayout, picture: &mut Picture) {
        let ink = ink_on(self.background);
        if let Some(title) = &self.title {
            draw_text(picture, title, at.gap, at.gap, at.text, ink);
        }
        for (c, label) in self.columns.iter().enumerate() {
            let slack = at.cell.0.saturating_sub(text_width(label, at.text)) / 2;
            draw_text(picture, label, at.column(c) + slack, at.columns_top, at.text, ink);
        }
        for (r, (label, _)) in self.rows.iter().enumerate() {
            let slack = at.cell.1.saturating_sub(GLYPH * at.text) / 2;
            draw_text(picture, label, at.gap, at.row(r) + slack, at.text, ink);
        }
    }

    fn draw_image(&self, picture: &mut Picture, images: &Images, index: usize, at: (usize, usize)) {
        let pixels = colours(images.image(index), images.channels());
        let (left, top) = at;
        for (i, colour) in pixels.chunks_exact(3).enumerate() {
            let (x, y) = (i % images.width(), i / images.width());
            let colour = [colour[0], colour[1], colour[2]];
            let (x, y) = (left + x * self.scale, top + y * self.scale);
            picture.fill(x, y, self.scale, self.scale, colour);
        }
    }
}

/// A text colour that contrasts with the background.
fn ink_on(background: Rgb) -> Rgb {
    let [r, g, b] = background.map(u32::from);
    if r * 3 + g * 6 + b > 1275 { [0x1c, 0x18, 0x30] } else { [0xf4, 0xf4, 0xf8] }
}

/// Positions and sizes, in pixels.
struct SheetLayout {
    text: usize,
    gap: usize,
    cell: (usize, usize),
    images_left: usize,
    columns_top: usize,
    rows_top: usize,
    width: usize,
    height: usize,
}

impl SheetLayout {
    /// Computes the layout of a sheet.
    fn of(grid: &Grid) -> Self {
        let text = grid.text_scale.unwrap_or(grid.scale.div_ceil(2));
        let gap = grid.padding;
        let line = GLYPH * text + gap.max(text * 2);
        let longest = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|label| text_width(label, text)).max().unwrap_or(0)
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
    fn column(&self, c: usize) -> usize {
        self.images_left + c * (self.cell.0 + self.gap)
    }

    /// The upper edge of row `r`.
    fn row(&self, r: usize) -> usize {
        self.rows_top + r * (self.cell.1 + self.gap)
    }
}

/// Size of a cell: covers the largest image, the widest column label and a row label's height.
fn cell(grid: &Grid, text: usize, column_label: usize) -> (usize, usize) {
    let widest = grid.rows.iter().map(|(_, images)| images.width()).max().unwrap_or(0);
    let highest = grid.rows.iter().map(|(_, images)| images.height()).max().unwrap_or(0);
    let labelled = grid.rows.iter().any(|(label, _)| !label.is_empty());
    let line = if labelled { GLYPH * text } else { 0 };
    ((widest * grid.scale).max(column_label), (highest * grid.scale).max(line))
}

/// Rows and columns of a glyph at scale 1.
const GLYPH: usize = 8;

/// Width of a text in pixels.
fn text_width(text: &str, scale: usize) -> usize {
    text.chars().count() * GLYPH * scale
}

/// Draws a text with its upper left corner at `left`, `top`; other characters than ASCII become `?`.
fn draw_text(picture: &mut Picture, text: &str, left: usize, top: usize, scale: usize, ink: Rgb) {
    for (i, letter) in text.chars().enumerate() {
        let left = left + i * GLYPH * scale;
        for (y, row) in glyph(letter).into_iter().enumerate() {
            for x in (0..GLYPH).filter(|x| row >> x & 1 == 1) {
                picture.fill(left + x * scale, top + y * scale, scale, scale, ink);
            }
        }
    }
}

/// One byte per row, the lowest bit at the left.
fn glyph(letter: char) -> [u8; GLYPH] {
    let known = BASIC_LEGACY.get(letter as usize).filter(|_| !letter.is_control());
    *known.unwrap_or(&BASIC_LEGACY[b'?' as usize])
}

//! How many images are laid out: in labelled rows.

use super::layout::Layout;
use super::{Picture, Rgb, colours, text};
use crate::Images;

/// Rows of images on a background, each with an optional label at its left.
///
/// ```
/// use inkdrop_data::{picture::Grid, sprites};
/// let heroes = sprites::dataset(0, 8).images;
/// let picture = Grid::new().title("Sprites").row("first eight", heroes).scale(4).render();
/// assert!(picture.width() > 8 * 16 * 4);
/// ```
#[derive(Debug, Clone)]
pub struct Grid {
    pub(super) title: Option<String>,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<(String, Images)>,
    pub(super) scale: usize,
    pub(super) text_scale: Option<usize>,
    pub(super) padding: usize,
    background: Rgb,
}

impl Default for Grid {
    fn default() -> Self {
        Self::new()
    }
}

impl Grid {
    /// No rows yet; scale 1, padding 2, a white background.
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

    /// Adds a row of images; an empty label takes no room.
    pub fn row(mut self, label: impl Into<String>, images: Images) -> Self {
        self.rows.push((label.into(), images));
        self
    }

    /// Sets the line above everything.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the words above the columns, the first above the first image.
    pub fn columns<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> Self {
        self.columns = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Draws each pixel of an image as `scale` × `scale` pixels, at least 1.
    pub fn scale(mut self, scale: usize) -> Self {
        self.scale = scale.max(1);
        self
    }

    /// Draws each pixel of a letter as `scale` × `scale` pixels, at least 1; half the images'
    /// scale unless set.
    pub fn text_scale(mut self, scale: usize) -> Self {
        self.text_scale = Some(scale.max(1));
        self
    }

    /// Leaves `padding` pixels between images and around them.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }

    /// Sets the colour behind and between the images; text is drawn dark on light, light on dark.
    pub fn background(mut self, colour: Rgb) -> Self {
        self.background = colour;
        self
    }

    /// Draws the picture; without a row it is an empty one.
    pub fn render(&self) -> Picture {
        let layout = Layout::of(self);
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

    fn draw_texts(&self, at: &Layout, picture: &mut Picture) {
        let ink = ink_on(self.background);
        if let Some(title) = &self.title {
            text::draw(picture, title, at.gap, at.gap, at.text, ink);
        }
        for (c, label) in self.columns.iter().enumerate() {
            let slack = at.cell.0.saturating_sub(text::width(label, at.text)) / 2;
            text::draw(picture, label, at.column(c) + slack, at.columns_top, at.text, ink);
        }
        for (r, (label, _)) in self.rows.iter().enumerate() {
            let slack = at.cell.1.saturating_sub(text::GLYPH * at.text) / 2;
            text::draw(picture, label, at.gap, at.row(r) + slack, at.text, ink);
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

/// Dark on light, light on dark.
fn ink_on(background: Rgb) -> Rgb {
    let [r, g, b] = background.map(u32::from);
    if r * 3 + g * 6 + b > 1275 { [0x1c, 0x18, 0x30] } else { [0xf4, 0xf4, 0xf8] }
}

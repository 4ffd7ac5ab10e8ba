//! Tasks that start from images: variations, drawing what is missing, ways between images.

mod inpaint;
mod latents;
mod noised;

pub use inpaint::{Repaint, inpaint};
pub use latents::{latent_grid, slerp};
pub use noised::{img2img, noised};

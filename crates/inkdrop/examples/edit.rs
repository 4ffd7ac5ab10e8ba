//! Edits images: variations, inpainting, inversion to noise and back, interpolation.

use inkdrop::Pipeline;
use inkdrop::sampler::edit::Repaint;
use ndarray::Array2;

fn main() -> inkdrop::Result<()> {
    let pipeline = Pipeline::open("sprites")?.class("hero").steps(20);
    let heroes = pipeline.sample(2)?.to_images();

    let pipeline = pipeline.seed(1);
    pipeline.img2img(&heroes, 0.5)?.save("variations.png")?;

    let lower_half = Array2::from_shape_fn((16, 16), |(row, _)| row >= 8);
    pipeline.inpaint(&heroes, &lower_half, Repaint { times: 2, jump: 5 })?.save("inpainted.png")?;

    let noise = pipeline.invert(&heroes, 3)?;
    let again = pipeline.sample_from(&noise)?;
    let differences =
        heroes.bytes().iter().zip(again.images()).filter(|(a, b)| a.abs_diff(**b) > 2);
    println!("{} of {} bytes differ after inversion", differences.count(), heroes.bytes().len());

    pipeline.interpolate(&heroes, 6)?.save("between.png")
}

//! Draws sixteen heroes with the built-in model.

fn main() -> inkdrop::Result<()> {
    inkdrop::Pipeline::open("sprites")?
        .class("hero")
        .steps(25)
        .seed(0)
        .sample(16)?
        .save("heroes.png")
}

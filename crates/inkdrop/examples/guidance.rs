//! Guidance between two models: away from a model that was trained for fewer steps (autoguidance).

use inkdrop::{Pipeline, Training};

fn main() -> inkdrop::Result<()> {
    let out = std::env::temp_dir().join(format!("inkdrop-guidance-{}", std::process::id()));
    let weaker = Training::preset("sprites")?
        .set("train.steps", 20)?
        .set("train.batch", 8)?
        .set("model.features", 16)?
        .on_step(|step| step.metrics.iter().for_each(|m| println!("{}: {:.4}", m.step, m.loss)))
        .run(&out)?
        .pipeline()?;
    let guided = Pipeline::open("sprites")?.class("hero").guidance(1.5).autoguide(weaker).steps(10);
    println!("{} images, guided", guided.sample(4)?.len());
    Ok(std::fs::remove_dir_all(out)?)
}

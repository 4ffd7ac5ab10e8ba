//! Steps through the denoising by hand; stopping is a `break`.

use inkdrop::Pipeline;

fn main() -> inkdrop::Result<()> {
    let pipeline = Pipeline::open("sprites")?.sampler("dpm++2m".parse()?).steps(10).seed(1);
    for step in pipeline.trajectory(2)? {
        let step = step?;
        println!(
            "step {} of {}: sigma {:.3}, x0 {:?}",
            step.index + 1,
            step.count,
            step.sigma,
            step.x0.size()
        );
        if step.index == 4 {
            break;
        }
    }
    Ok(())
}

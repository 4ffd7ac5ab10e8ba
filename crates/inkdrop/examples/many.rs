//! Many images in constant memory, as uint8 arrays [N, H, W, C].

use inkdrop::Pipeline;

fn main() -> inkdrop::Result<()> {
    let pipeline =
        Pipeline::open("sprites")?.context([("hero", 1.0), ("food", 0.6)]).steps(5).batch(16);
    let mut count = 0;
    for batch in pipeline.batches(40)? {
        count += batch?.images().shape()[0];
    }
    assert_eq!(count, 40);
    println!("{count} images");
    Ok(())
}

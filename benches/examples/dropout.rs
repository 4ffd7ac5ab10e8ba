//! Time of dropout, forward and backward: ours against libtorch's, in turns.
//!
//! ```text
//! cargo run --release -p inkdrop-benches --example dropout -- 2
//! ```
//!
//! The argument is the number of threads. x is 8 × 256 × 32 × 32 in f32, channels-last.

use std::time::Instant;

use inkdrop_benches::Result;
use inkdrop_torch::tch::{Device, Kind, Tensor, set_num_threads};
use inkdrop_torch::{channels_last, draw_dropout_key, dropout};

const CALLS: usize = 30;

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).ok_or("expected a number of threads")?;
    set_num_threads(threads.parse()?);
    let x = Tensor::randn([8, 256, 32, 32], (Kind::Float, Device::Cpu));
    let x = channels_last(&x)?.set_requires_grad(true);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        ours.push(milliseconds(&x, || Ok(dropout(&x, 0.3, draw_dropout_key()?, 0)?))?);
        theirs.push(milliseconds(&x, || Ok(x.f_dropout(0.3, true)?))?);
    }
    println!("{threads} threads, medians of {CALLS} calls in ms, forward and backward");
    for (name, mut times) in [("ours", ours), ("libtorch", theirs)] {
        let [forward, backward] = [0, 1].map(|pass| {
            times.sort_by(|a: &[f64; 2], b| a[pass].total_cmp(&b[pass]));
            times[CALLS / 2][pass]
        });
        println!("{name:10} {forward:6.2} {backward:6.2}");
    }
    Ok(())
}

/// Time of the forward and of the backward pass. The latter includes the gradient of a product by which
/// the gradient gets the layout of x: about the same for both.
fn milliseconds(x: &Tensor, dropout: impl Fn() -> Result<Tensor>) -> Result<[f64; 2]> {
    let begun = Instant::now();
    let y = dropout()?;
    let forward = begun.elapsed().as_secs_f64() * 1e3;
    let loss = (&y * x.detach()).sum(Kind::Float);
    let begun = Instant::now();
    Tensor::f_run_backward(&[loss], &[x], false, false)?;
    Ok([forward, begun.elapsed().as_secs_f64() * 1e3])
}

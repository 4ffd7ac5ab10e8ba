//! Writes the events of a short run that was stopped and resumed, for `cargo xtask tensorboard`.
//!
//! ```text
//! cargo run --release -p inkdrop-report --example write_events -- FOLDER
//! ```

use std::error::Error;

use inkdrop_report::EventWriter;

/// One red pixel.
const PNG: [u8; 69] = *b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\
    \0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder to write to")?;
    let mut events = EventWriter::open(&folder, 0)?;
    events.text("config", 0, "```\nlr = 1e-3\n```")?;
    for step in 1..=100u64 {
        events.scalar("train/loss", step, 1.0 / step as f64)?;
        if step.is_multiple_of(50) {
            events.image("samples", step, &PNG)?;
        }
    }
    drop(events);
    // Resumed after step 60: what was logged of steps 61 to 100 is lost.
    let mut events = EventWriter::open(&folder, 60)?;
    for step in 61..=80 {
        events.scalar("train/loss", step, -1.0)?;
    }
    events.scalar("train/grad_norm", 80, f64::NAN)?;
    events.flush()?;
    Ok(())
}

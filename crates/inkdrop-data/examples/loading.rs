//! Measures the speed of streaming the pictures of a folder:
//! `cargo run --release -p inkdrop-data --example loading -- FOLDER SIZE`.

use std::time::Instant;

use inkdrop_data::DataError;
use inkdrop_data::folder::{self, FolderConfig};
use inkdrop_data::loader::BatchSampler;
use inkdrop_data::loader::{DataLoader, DataLoaderConfig};

fn main() -> Result<(), DataError> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| ".".to_owned());
    let size = arguments.next().and_then(|size| size.parse().ok());
    let config = FolderConfig { size, memory_mib: 0, ..FolderConfig::new(folder) };
    let begun = Instant::now();
    let images = folder::open(&config, 3)?.data.images;
    println!("{} headers in {:.2} s", images.len(), begun.elapsed().as_secs_f64());
    let batches = BatchSampler::new(images.len(), images.len().min(32), 0)?;
    for workers in [0, 1, 2, 4] {
        let config = DataLoaderConfig { flip: true, crop: None, workers };
        let mut loader = DataLoader::new(images.clone(), batches.clone(), config)?;
        let (begun, mut count) = (Instant::now(), 0);
        for step in 0..batches.steps_per_epoch() {
            count += loader.batch(step)?.images.len();
        }
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        println!("{workers} workers: {rate:.0} images/s");
    }
    Ok(())
}

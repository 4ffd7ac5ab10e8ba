//! Features of images by a user's extractor network.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use inkdrop::eval::{Extractor, ExtractorConfig, ExtractorInput};
use inkdrop::torch::DeviceChoice;
use inkdrop::torch::tch::Tensor;
use sha2::{Digest, Sha256};

use crate::progress;

const HEADING: &str = "Features";

/// Feature extractor options.
#[derive(Debug, clap::Args)]
pub struct FeatureOptions {
    /// TorchScript feature extractor for images [B, C, H, W]: adds FID, KID, precision and recall.
    /// The file contains a program that is executed: use only trusted files
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    extractor: Option<PathBuf>,
    /// Pixel range of its input: uint8 (0 to 255), unit (0 to 1) or signed (-1 to 1)
    #[arg(long, default_value = "uint8", requires = "extractor", value_name = "RANGE", help_heading = HEADING)]
    extractor_input: String,
    /// Boolean arguments after the images: `true` is return_features of NVIDIA's
    /// inception-2015-12-05.pt
    #[arg(
        long,
        value_name = "true|false,…",
        value_delimiter = ',',
        requires = "extractor",
        help_heading = HEADING
    )]
    extractor_switches: Vec<bool>,
    /// Batch size
    #[arg(long, default_value_t = 64, help_heading = HEADING)]
    batch: usize,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t, help_heading = HEADING)]
    device: DeviceChoice,
}

/// A loaded extractor.
pub struct Features {
    extractor: Extractor,
    batch: i64,
    /// File name.
    pub name: String,
    /// First hexadecimal digits of the SHA-256 of the file.
    pub sha256: String,
}

impl FeatureOptions {
    /// Loads the extractor, if one is given.
    pub fn open(&self) -> Result<Option<Features>> {
        let Some(path) = &self.extractor else { return Ok(None) };
        ensure!(self.batch > 0, "--batch 0: expected at least 1");
        let input: ExtractorInput = self.extractor_input.parse()?;
        let config = ExtractorConfig { input, switches: self.extractor_switches.clone() };
        let extractor = Extractor::open(path, config, self.device.resolve()?)?;
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let digest = Sha256::digest(bytes);
        let sha256 = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Features { extractor, batch: self.batch as i64, name, sha256 }))
    }
}

impl Features {
    /// Features of all images.
    ///
    /// - images: [N, C, H, W] in uint8
    /// - returns [N, D] in f32
    pub fn of(&self, images: &Tensor) -> Result<Tensor> {
        let count = images.size()[0];
        let bar = progress::bar(count as usize, "images");
        let mut all = Vec::new();
        for start in (0..count).step_by(self.batch as usize) {
            let batch = images.f_narrow(0, start, self.batch.min(count - start))?;
            all.push(self.extractor.features(&batch)?);
            bar.inc(batch.size()[0] as u64);
        }
        bar.finish_and_clear();
        Ok(Tensor::f_cat(&all, 0)?)
    }
}

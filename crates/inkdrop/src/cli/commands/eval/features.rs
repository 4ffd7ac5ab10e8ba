//! Features of images by a user's extractor network.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use inkdrop::eval::{Extractor, ExtractorConfig, ExtractorInput};
use inkdrop::torch::DeviceChoice;
use inkdrop::torch::tch::{Device, Kind, Tensor};
use sha2::{Digest, Sha256};

use crate::options::local_device;
use crate::processes::Processes;

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
    /// The options that change features, as text.
    pub fn describe(&self) -> String {
        let Self { extractor_input, extractor_switches, batch, .. } = self;
        format!("{extractor_input} {extractor_switches:?} in batches of {batch}")
    }

    /// Loads the extractor, if one is given.
    pub fn open(&self) -> Result<Option<Features>> {
        let Some(path) = &self.extractor else { return Ok(None) };
        ensure!(self.batch > 0, "--batch 0: expected at least 1");
        let input: ExtractorInput = self.extractor_input.parse()?;
        let config = ExtractorConfig { input, switches: self.extractor_switches.clone() };
        let extractor = Extractor::open(path, config, local_device(self.device)?.resolve()?)?;
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
    /// In each round a process computes those of one batch; all get the features of all batches.
    ///
    /// - images: [N, C, H, W] in uint8
    /// - returns [N, D] in f32
    pub fn of(&self, images: &Tensor, processes: &Processes) -> Result<Tensor> {
        let count = images.size()[0];
        let bar = processes.bar(count as usize, "images");
        let starts: Vec<i64> = (0..count).step_by(self.batch as usize).collect();
        let (mut all, mut width) = (Vec::new(), None);
        for round in starts.chunks(processes.count()) {
            let own = round.get(processes.rank()).map(|&start| {
                let batch = images.f_narrow(0, start, self.batch.min(count - start))?;
                anyhow::Ok(self.extractor.features(&batch)?)
            });
            let own = own.transpose()?;
            let width = match width {
                Some(width) => width,
                None => *width.insert(self.width(own.as_ref(), processes)?),
            };
            let gathered = processes.gather(&padded(own, [self.batch.min(count), width])?)?;
            for (&start, features) in round.iter().zip(gathered) {
                all.push(features.f_narrow(0, 0, self.batch.min(count - start))?);
                bar.inc(self.batch.min(count - start) as u64);
            }
        }
        bar.finish_and_clear();
        Ok(Tensor::f_cat(&all, 0)?)
    }

    /// The number of features, also for a process without a batch.
    fn width(&self, own: Option<&Tensor>, processes: &Processes) -> Result<i64> {
        let own = own.map_or(0, |features| features.size()[1]);
        let all = processes.gather(&Tensor::f_from_slice(&[own])?)?;
        let widths = all.iter().map(|width| Ok(width.f_int64_value(&[0])?));
        Ok(widths.collect::<Result<Vec<i64>>>()?.into_iter().max().unwrap_or(own))
    }
}

/// Features with rows of zeros up to a shape.
fn padded(features: Option<Tensor>, [rows, width]: [i64; 2]) -> Result<Tensor> {
    match features {
        Some(features) if features.size() == [rows, width] => Ok(features),
        Some(features) => {
            let all = Tensor::f_zeros([rows, width], (Kind::Float, Device::Cpu))?;
            all.f_narrow(0, 0, features.size()[0])?.f_copy_(&features)?;
            Ok(all)
        }
        None => Ok(Tensor::f_zeros([rows, width], (Kind::Float, Device::Cpu))?),
    }
}

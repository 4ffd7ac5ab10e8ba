//! `inkdrop eval distance`: distances between samples and data (FID, KID, sliced Wasserstein).

use anyhow::{Result, ensure};
use inkdrop::data::Images;
use inkdrop::eval::{
    Kid, KidConfig, Moments, NEIGHBOURS, PrecisionRecall, frechet_distance, kernel_distance, kid,
    precision_recall, sliced_wasserstein,
};
use inkdrop::torch::tch::Tensor;
use serde_json::{Value, json};

use super::features::{FeatureOptions, Features};
use super::hash_of;
use crate::options::{ImageSet, ProcessesArgs};
use crate::processes::Processes;
use crate::stdout::{entry, print_line};

/// Maximum number of images per side for pairwise comparison of pixels.
const PAIRED: i64 = 10_000;

/// With fewer samples, the bias of FID exceeds typical differences between models.
const ENOUGH: i64 = 10_000;

/// Distances between samples and data: pixels, and features of a network (FID, KID)
///
/// Several processes (`inkdrop launch -n N eval distance …`) divide the batches of the extractor.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Samples: sprites or sprites:SEED:COUNT, an .npz or .npy file, a directory or archive of
    /// pictures, CIFAR's files or directory, an IDX file or MNIST's directory
    samples: ImageSet,
    /// Reference data, in the same forms
    data: ImageSet,
    /// Resize the pictures of directories to this size
    #[arg(long, value_name = "N")]
    fit: Option<usize>,
    /// Random seed of directions and subsets
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of KID subsets
    #[arg(long, value_name = "N", default_value_t = 100)]
    kid_subsets: usize,
    /// Images per KID subset
    #[arg(long, value_name = "N", default_value_t = 1000)]
    kid_size: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    features: FeatureOptions,
    #[command(flatten)]
    processes: ProcessesArgs,
}

/// Distances between pixels.
struct Pixels {
    sliced: f64,
    /// Needs two images per side.
    kernel: Option<f64>,
    /// Images per side in the kernel distance.
    paired: [i64; 2],
}

/// Distances between features.
struct InFeatures {
    width: i64,
    fid: f64,
    kid: Kid,
    kid_size: usize,
    /// Needs more images per side than neighbours.
    precision_recall: Option<PrecisionRecall>,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    Processes::run(&arguments.processes, |processes| evaluate(arguments, processes))
}

fn evaluate(arguments: &Arguments, processes: &Processes) -> Result<u8> {
    ensure!(arguments.kid_subsets > 0, "--kid-subsets 0: expected at least 1");
    ensure!(arguments.kid_size > 1, "--kid-size {}: expected at least 2", arguments.kid_size);
    let extractor = arguments.features.open()?;
    let (samples, data) = arguments.load()?;
    if processes.count() > 1 {
        processes.agree(&arguments.facts(extractor.as_ref(), [&samples, &data]))?;
    }
    let size = [samples.height(), samples.width(), samples.channels()];
    let sides = [tensor(&samples)?, tensor(&data)?];
    let features = extractor.as_ref().map(|extractor| {
        let [samples, data] = &sides;
        anyhow::Ok([extractor.of(samples, processes)?, extractor.of(data, processes)?])
    });
    let features = features.transpose()?;
    if !processes.is_main() {
        return Ok(0); // one process computes the distances of all features, and prints them
    }
    let pixels = arguments.pixels(&sides)?;
    let features = features.map(|sides| arguments.features(&sides)).transpose()?;
    let features = extractor.as_ref().zip(features);
    let counts = [samples.len(), data.len()];
    print_line(&match arguments.json {
        true => {
            serde_json::to_string_pretty(&arguments.json_report(counts, size, &pixels, &features))?
        }
        false => arguments.text(counts, size, &pixels, &features),
    })?;
    Ok(0)
}

impl Arguments {
    /// Loads both sides, with equal image sizes.
    fn load(&self) -> Result<(Images, Images)> {
        let open = self.samples.leaves_channels_open();
        let load = |set: &ImageSet, channels: usize| -> Result<Images> {
            Ok(set.load(channels, self.fit)?.data.images)
        };
        let (samples, data) = if open {
            let data = load(&self.data, 3)?;
            (load(&self.samples, data.channels())?, data)
        } else {
            let samples = load(&self.samples, 3)?;
            let channels = samples.channels();
            (samples, load(&self.data, channels)?)
        };
        let size = |images: &Images| [images.height(), images.width(), images.channels()];
        let ([h, w, c], [height, width, channels]) = (size(&samples), size(&data));
        ensure!(
            [h, w, c] == [height, width, channels],
            "{} has images of {h} x {w} x {c} (height, width, channels), {} of {height} x {width} x {channels}: expected one size; sample with --size, or --fit the pictures of a directory",
            self.samples,
            self.data
        );
        Ok((samples, data))
    }

    /// What the result depends on, for several processes.
    fn facts(
        &self,
        extractor: Option<&Features>,
        [samples, data]: [&Images; 2],
    ) -> [(&'static str, String); 4] {
        let extractor = extractor.map(|extractor| extractor.sha256.clone());
        [
            ("samples of", hash_of(samples)),
            ("data of", hash_of(data)),
            ("the extractor", extractor.unwrap_or_default()),
            ("the extractor's input", self.features.describe()),
        ]
    }

    fn pixels(&self, [samples, data]: &[Tensor; 2]) -> Result<Pixels> {
        let sliced = sliced_wasserstein(samples, data, self.seed)?;
        let (samples, data) = (self.subset(samples)?, self.subset(data)?);
        let paired = [samples.size()[0], data.size()[0]];
        let enough = enough("the kernel distance", &paired, 2);
        let kernel = enough.then(|| kernel_distance(&samples, &data)).transpose()?;
        Ok(Pixels { sliced, kernel, paired })
    }

    /// A subset of evenly spaced images, if a set is too large for pairwise comparison.
    fn subset(&self, images: &Tensor) -> Result<Tensor> {
        let count = images.size()[0];
        if count <= PAIRED {
            return Ok(images.shallow_clone());
        }
        let indices: Vec<i64> = (0..PAIRED).map(|i| i * count / PAIRED).collect();
        Ok(images.f_index_select(0, &Tensor::f_from_slice(&indices)?)?)
    }

    /// - samples, data: [N, D] in f32
    fn features(&self, [samples, data]: &[Tensor; 2]) -> Result<InFeatures> {
        let (width, fewest) = (samples.size()[1], samples.size()[0].min(data.size()[0]));
        if samples.size()[0] < ENOUGH {
            eprintln!(
                "warning: {} samples: FID is biased upwards below {ENOUGH} and comparable only for equal counts; KID is unbiased",
                samples.size()[0]
            );
        }
        if fewest <= width {
            eprintln!(
                "warning: {fewest} images for {width} features: the covariance does not have full rank, so FID is unreliable"
            );
        }
        let kid_size = self.kid_size.min(fewest as usize);
        if kid_size < self.kid_size {
            eprintln!(
                "warning: KID subsets have {kid_size} images: there are fewer than {}",
                self.kid_size
            );
        }
        let config = KidConfig { subsets: self.kid_subsets, size: kid_size, seed: self.seed };
        let fid = frechet_distance(&Moments::of(samples)?, &Moments::of(data)?)?;
        let kid = kid(samples, data, &config)?;
        let rows = [samples.size()[0], data.size()[0]];
        let enough = enough("precision and recall", &rows, NEIGHBOURS + 1);
        let precision_recall =
            enough.then(|| precision_recall(samples, data, NEIGHBOURS)).transpose()?;
        Ok(InFeatures { width, fid, kid, kid_size, precision_recall })
    }

    fn json_report(
        &self,
        counts: [usize; 2],
        size: [usize; 3],
        pixels: &Pixels,
        features: &Option<(&Features, InFeatures)>,
    ) -> Value {
        let mut report = json!({
            "samples": { "source": self.samples.to_string(), "images": counts[0] },
            "data": { "source": self.data.to_string(), "images": counts[1] },
            "size": size,
            "seed": self.seed,
            "pixels": {
                "sliced_wasserstein": pixels.sliced,
                "kernel_distance": pixels.kernel,
                "kernel_images": pixels.paired,
            },
        });
        if let Some((extractor, found)) = features {
            report["features"] = json!({
                "extractor": extractor.name,
                "sha256": extractor.sha256,
                "width": found.width,
                "fid": found.fid,
                "kid_mean": found.kid.mean,
                "kid_std": found.kid.std,
                "kid_subsets": self.kid_subsets,
                "kid_size": found.kid_size,
                "precision": found.precision_recall.as_ref().map(|shares| shares.precision),
                "recall": found.precision_recall.as_ref().map(|shares| shares.recall),
                "neighbours": NEIGHBOURS,
            });
        }
        report
    }

    fn text(
        &self,
        counts: [usize; 2],
        [height, width, channels]: [usize; 3],
        pixels: &Pixels,
        features: &Option<(&Features, InFeatures)>,
    ) -> String {
        let side = |set: &ImageSet, count| format!("{count} images of {set}");
        let mut lines = vec![
            entry("samples", &side(&self.samples, counts[0])),
            entry("data", &side(&self.data, counts[1])),
            entry("size", &format!("{height} x {width} x {channels}")),
            "pixels in [-1, 1]".to_string(),
            entry("sliced", &format!("{:.6} 2-Wasserstein, 512 directions", pixels.sliced)),
        ];
        if let Some(kernel) = pixels.kernel {
            let text = format!("{kernel:.6e} MMD², cubic{}", pixels.part(counts));
            lines.push(entry("kernel", &text));
        }
        if let Some((extractor, found)) = features {
            let Features { name, sha256, .. } = extractor;
            let (kid, subsets) = (found.kid, self.kid_subsets);
            let InFeatures { width, kid_size, .. } = found;
            lines.extend([
                format!("{width} features of {name} (sha256 {sha256}…)"),
                entry("FID", &format!("{:.6}", found.fid.max(0.0))),
                entry(
                    "KID",
                    &format!("{:.6e} ± {:.1e}, {subsets} subsets of {kid_size}", kid.mean, kid.std),
                ),
            ]);
            if let Some(shares) = &found.precision_recall {
                let precision = format!("{:.4}, {NEIGHBOURS} neighbours", shares.precision);
                lines.push(entry("precision", &precision));
                lines.push(entry("recall", &format!("{:.4}", shares.recall)));
            }
        }
        lines.join("\n")
    }
}

impl Pixels {
    /// The number of compared images, if not all.
    fn part(&self, counts: [usize; 2]) -> String {
        let [a, b] = self.paired;
        let all = counts.map(|count| count as i64) == self.paired;
        if all { String::new() } else { format!(", of {a} and {b} images") }
    }
}

/// True if each side has enough images; prints a note otherwise.
fn enough(figure: &str, counts: &[i64; 2], least: i64) -> bool {
    let fewest = counts[0].min(counts[1]);
    if fewest < least {
        eprintln!("left out: {figure} needs {least} images per side, given {fewest}");
    }
    fewest >= least
}

/// [N, C, H, W] in uint8.
fn tensor(images: &Images) -> Result<Tensor> {
    let shape = [images.len(), images.height(), images.width(), images.channels()];
    let nhwc = Tensor::f_from_slice(images.bytes())?.f_view(shape.map(|side| side as i64))?;
    Ok(nhwc.f_permute([0, 3, 1, 2])?.f_contiguous()?)
}

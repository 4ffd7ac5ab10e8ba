//! `inkdrop eval distance`: how far samples are from data.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use inkdrop_data::Images;
use inkdrop_eval::{
    Kid, KidConfig, Moments, NEIGHBOURS, PrecisionRecall, frechet_distance, kernel_distance, kid,
    precision_recall, sliced_wasserstein,
};
use inkdrop_torch::tch::Tensor;
use serde_json::{Value, json};

use super::features::{FeatureOptions, Features};
use crate::options::ImageSet;
use crate::say::{entry, say};

/// The most images of each side whose pixels are compared pair by pair.
const PAIRED: i64 = 10_000;

/// Fewer samples than this bias FID upwards by more than models differ.
const ENOUGH: i64 = 10_000;

/// How far samples are from data: in pixels, and in the features of a network
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// sprites or sprites:SEED:COUNT, an .npz or .npy file, a folder of pictures, CIFAR-10's
    /// .bin file or folder, or an IDX file
    samples: ImageSet,
    /// What they are to be like, named in the same way
    data: ImageSet,
    /// Fit the pictures of folders to this side
    #[arg(long, value_name = "N")]
    fit: Option<usize>,
    /// Seed of directions and subsets
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Subsets of KID
    #[arg(long, value_name = "N", default_value_t = 100)]
    kid_subsets: usize,
    /// Images of each subset of KID
    #[arg(long, value_name = "N", default_value_t = 1000)]
    kid_size: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    features: FeatureOptions,
}

/// Distances between pixels.
struct Pixels {
    sliced: f64,
    /// Needs two images of each side.
    kernel: Option<f64>,
    /// Images of each side that the kernel distance compares.
    paired: [i64; 2],
}

/// Distances between features.
struct InFeatures {
    width: i64,
    fid: f64,
    kid: Kid,
    kid_size: usize,
    /// Needs more images of each side than neighbours.
    shares: Option<PrecisionRecall>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let extractor = arguments.features.open()?;
    let (samples, data) = arguments.load()?;
    let size = [samples.height(), samples.width(), samples.channels()];
    let sides = [tensor(&samples)?, tensor(&data)?];
    let pixels = arguments.pixels(&sides)?;
    let features = extractor.as_ref().map(|extractor| arguments.features(extractor, &sides));
    let features = extractor.as_ref().zip(features.transpose()?);
    let counts = [samples.len(), data.len()];
    say(&match arguments.json {
        true => serde_json::to_string_pretty(&arguments.told(counts, size, &pixels, &features))?,
        false => arguments.text(counts, size, &pixels, &features),
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// Both sides, of one size.
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
            "{} has images of {h} x {w} x {c} (height, width, channels), {} of {height} x {width} x {channels}: expected one size; sample with --size, or --fit the pictures of a folder",
            self.samples,
            self.data
        );
        Ok((samples, data))
    }

    fn pixels(&self, [samples, data]: &[Tensor; 2]) -> Result<Pixels> {
        let sliced = sliced_wasserstein(samples, data, self.seed)?;
        let (samples, data) = (self.some(samples)?, self.some(data)?);
        let paired = [samples.size()[0], data.size()[0]];
        let enough = enough("the kernel distance", &paired, 2);
        let kernel = enough.then(|| kernel_distance(&samples, &data)).transpose()?;
        Ok(Pixels { sliced, kernel, paired })
    }

    /// Images evenly spread over a set, where it has more than can be compared in pairs.
    fn some(&self, images: &Tensor) -> Result<Tensor> {
        let count = images.size()[0];
        if count <= PAIRED {
            return Ok(images.shallow_clone());
        }
        let indices: Vec<i64> = (0..PAIRED).map(|i| i * count / PAIRED).collect();
        Ok(images.f_index_select(0, &Tensor::f_from_slice(&indices)?)?)
    }

    fn features(&self, extractor: &Features, [samples, data]: &[Tensor; 2]) -> Result<InFeatures> {
        let (samples, data) = (extractor.of(samples)?, extractor.of(data)?);
        let (width, least) = (samples.size()[1], samples.size()[0].min(data.size()[0]));
        if samples.size()[0] < ENOUGH {
            eprintln!(
                "warning: {} samples: FID is too high for fewer than {ENOUGH}, and compares only with FID of as many; KID is not biased",
                samples.size()[0]
            );
        }
        if least <= width {
            eprintln!(
                "warning: {least} images for {width} features: their covariance has no full rank, so FID says little"
            );
        }
        let kid_size = self.kid_size.min(least as usize);
        if kid_size < self.kid_size {
            eprintln!(
                "warning: KID on subsets of {kid_size} images: {least} are fewer than {}",
                self.kid_size
            );
        }
        let config = KidConfig { subsets: self.kid_subsets, size: kid_size, seed: self.seed };
        let fid = frechet_distance(&Moments::of(&samples)?, &Moments::of(&data)?)?;
        let kid = kid(&samples, &data, &config)?;
        let rows = [samples.size()[0], data.size()[0]];
        let enough = enough("precision and recall", &rows, NEIGHBOURS + 1);
        let shares = enough.then(|| precision_recall(&samples, &data, NEIGHBOURS)).transpose()?;
        Ok(InFeatures { width, fid, kid, kid_size, shares })
    }

    fn told(
        &self,
        counts: [usize; 2],
        size: [usize; 3],
        pixels: &Pixels,
        features: &Option<(&Features, InFeatures)>,
    ) -> Value {
        let mut told = json!({
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
            told["features"] = json!({
                "extractor": extractor.name,
                "sha256": extractor.sha256,
                "width": found.width,
                "fid": found.fid,
                "kid_mean": found.kid.mean,
                "kid_std": found.kid.std,
                "kid_subsets": self.kid_subsets,
                "kid_size": found.kid_size,
                "precision": found.shares.as_ref().map(|shares| shares.precision),
                "recall": found.shares.as_ref().map(|shares| shares.recall),
                "neighbours": NEIGHBOURS,
            });
        }
        told
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
            if let Some(shares) = &found.shares {
                let precision = format!("{:.4}, {NEIGHBOURS} neighbours", shares.precision);
                lines.push(entry("precision", &precision));
                lines.push(entry("recall", &format!("{:.4}", shares.recall)));
            }
        }
        lines.join("\n")
    }
}

impl Pixels {
    /// How many images were compared, where it is not all.
    fn part(&self, counts: [usize; 2]) -> String {
        let [a, b] = self.paired;
        let all = counts.map(|count| count as i64) == self.paired;
        if all { String::new() } else { format!(", of {a} and {b} images") }
    }
}

/// Whether there are as many images on each side; says so where there are not.
fn enough(figure: &str, counts: &[i64; 2], least: i64) -> bool {
    let fewest = counts[0].min(counts[1]);
    if fewest < least {
        eprintln!("left out: {figure} needs {least} images on each side, here are {fewest}");
    }
    fewest >= least
}

/// [N, C, H, W] in uint8.
fn tensor(images: &Images) -> Result<Tensor> {
    let shape = [images.len(), images.height(), images.width(), images.channels()];
    let nhwc = Tensor::f_from_slice(images.bytes())?.f_view(shape.map(|side| side as i64))?;
    Ok(nhwc.f_permute([0, 3, 1, 2])?.f_contiguous()?)
}

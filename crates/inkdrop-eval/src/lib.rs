//! How far are two sets of images apart? In pixels, or in the features of a network.
//!
//! | item | answers | source |
//! |---|---|---|
//! | [`sliced_wasserstein`] | how far one set must be moved to become the other, on random lines | Bonneel et al. 2015 |
//! | [`kernel_distance`], [`kid`] | whether a cubic polynomial can tell them apart | Bińkowski et al. 2018 |
//! | [`Moments`], [`frechet_distance`] | how far apart they are as Gaussians: FID, on Inception's features | Heusel et al. 2017 |
//! | [`precision_recall`] | which share of each lies where the other is | Kynkäänniemi et al. 2019 |
//! | [`Extractor`] | what a TorchScript network makes of images | |
//!
//! A set is a tensor whose first axis runs over its images or features. Bytes are pixels and become
//! [−1, 1]. Sums are f64, and all but the features themselves is done block by block.
//!
//! ```
//! use inkdrop_eval::{Moments, frechet_distance, kernel_distance, sliced_wasserstein};
//! use inkdrop_torch::tch::{Device, Kind, Tensor, manual_seed};
//!
//! manual_seed(0);
//! let images = |n: i64| Tensor::randint(256, [n, 3, 8, 8], (Kind::Uint8, Device::Cpu));
//! let (a, b, dark) = (images(100), images(120), images(100).divide_scalar_mode(4, "floor"));
//!
//! assert_eq!(sliced_wasserstein(&a, &a, 0)?, 0.0);
//! assert!(sliced_wasserstein(&a, &dark, 0)? > sliced_wasserstein(&a, &b, 0)?);
//! assert!(kernel_distance(&a, &dark)? > 0.1);
//!
//! // The pixels themselves as features.
//! let near = frechet_distance(&Moments::of(&a)?, &Moments::of(&b)?)?;
//! let far = frechet_distance(&Moments::of(&a)?, &Moments::of(&dark)?)?;
//! assert!(near < far);
//! # Ok::<(), inkdrop_eval::EvalError>(())
//! ```

mod error;
mod extractor;
mod frechet;
mod kernel;
mod neighbours;
mod rows;
mod sliced;

pub use error::EvalError;
pub use extractor::{Extractor, ExtractorConfig, ExtractorInput};
pub use frechet::{Moments, frechet_distance};
pub use kernel::{Kid, KidConfig, kernel_distance, kid, kid_over};
pub use neighbours::{NEIGHBOURS, PrecisionRecall, precision_recall};
pub use sliced::sliced_wasserstein;

//! Distances between two sets of images, in pixels or in the features of a network: FID, KID, sliced
//! Wasserstein distance, precision and recall.
//!
//! | item | metric | source |
//! |---|---|---|
//! | [`sliced_wasserstein`] | sliced Wasserstein distance, on random projections | Bonneel et al. 2015 |
//! | [`kernel_distance`], [`kid`] | squared MMD with a cubic kernel; KID on Inception features | Bińkowski et al. 2018 |
//! | [`Moments`], [`frechet_distance`] | Fréchet distance of two Gaussians; FID on Inception features | Heusel et al. 2017 |
//! | [`precision_recall`] | improved precision and recall | Kynkäänniemi et al. 2019 |
//! | [`Extractor`] | features of a TorchScript network | |
//!
//! A set is a tensor whose first axis indexes images or features. Bytes are pixels and are scaled to
//! [−1, 1]. All sums are f64. Everything except the features is computed in blocks.
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

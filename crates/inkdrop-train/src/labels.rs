//! What a network is told of each image, and how often it is told nothing.

use std::ops::Range;

use inkdrop_data::Labels;
use inkdrop_nn::{ClassIds, Conditioning};
use tch::{Device, Kind, Tensor};

use crate::TrainError;

/// How a network takes labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelUse {
    /// Not at all.
    None,
    /// As context rows, [B, K]; classes become one-hot rows, "nothing" is zeros.
    Context,
    /// As class ids.
    Classes {
        /// The class that stands for "nothing", if there is one.
        null: Option<i64>,
    },
}

/// The labels of all images, as the network takes them.
#[derive(Debug)]
pub(crate) enum LabelTable {
    None,
    /// [N, K]
    Context(Tensor),
    Classes {
        ids: Vec<i64>,
        null: Option<i64>,
    },
}

impl LabelTable {
    pub(crate) fn new(labels: &Labels, used: LabelUse) -> Result<Self, TrainError> {
        match (used, labels) {
            (LabelUse::None, _) => Ok(Self::None),
            (_, Labels::None) => Err(TrainError::Data {
                given: "no labels".to_string(),
                expected: "a label for each image".to_string(),
            }),
            (LabelUse::Context, labels) => Ok(Self::Context(rows(labels)?)),
            (LabelUse::Classes { null }, Labels::Classes { ids, .. }) => {
                Ok(Self::Classes { ids: ids.iter().map(|&id| i64::from(id)).collect(), null })
            }
            (LabelUse::Classes { .. }, Labels::Context(_)) => Err(TrainError::Data {
                given: "weights over contexts".to_string(),
                expected: "one class for each image".to_string(),
            }),
        }
    }

    /// The labels of a batch; each is left out with probability `dropout`, drawn from torch's
    /// generator.
    pub(crate) fn batch(&self, indices: &[usize], dropout: f64) -> Result<BatchLabels, TrainError> {
        let batch = indices.len() as i64;
        let kept = || {
            let ones = Tensor::f_ones([batch, 1], (Kind::Float, Device::Cpu))?;
            ones.f_mul_scalar(1.0 - dropout)?.f_bernoulli()
        };
        match self {
            Self::None => Ok(BatchLabels::None),
            Self::Context(rows) => {
                let indices: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
                let rows = rows.f_index_select(0, &Tensor::f_from_slice(&indices)?)?;
                Ok(BatchLabels::Context(rows.f_mul(&kept()?)?))
            }
            Self::Classes { ids, null: None } => {
                Ok(BatchLabels::Classes(indices.iter().map(|&i| ids[i]).collect()))
            }
            Self::Classes { ids, null: Some(null) } => {
                let kept = Vec::<f32>::try_from(&kept()?.f_view([-1])?)?;
                let id = |(&i, kept): (&usize, f32)| if kept > 0.0 { ids[i] } else { *null };
                Ok(BatchLabels::Classes(indices.iter().zip(kept).map(id).collect()))
            }
        }
    }
}

/// Labels as context rows, [N, K] in f32; classes become one-hot rows.
fn rows(labels: &Labels) -> Result<Tensor, TrainError> {
    match labels {
        Labels::None => Ok(Tensor::f_zeros([0, 0], (Kind::Float, Device::Cpu))?),
        Labels::Context(rows) => {
            let (n, k) = rows.dim();
            let values: Vec<f32> = rows.iter().copied().collect();
            Ok(Tensor::f_from_slice(&values)?.f_view([n as i64, k as i64])?)
        }
        Labels::Classes { ids, count } => {
            let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
            let rows = Tensor::f_from_slice(&ids)?.f_one_hot(*count as i64)?;
            Ok(rows.f_to_kind(Kind::Float)?)
        }
    }
}

/// The labels of one batch, on the CPU.
#[derive(Debug)]
pub(crate) enum BatchLabels {
    None,
    /// [B, K]
    Context(Tensor),
    Classes(Vec<i64>),
}

impl BatchLabels {
    /// What the network is told of some images of the batch.
    pub(crate) fn conditioning(
        &self,
        range: Range<usize>,
        device: Device,
    ) -> Result<Conditioning, TrainError> {
        match self {
            Self::None => Ok(Conditioning::none()),
            Self::Context(rows) => {
                let rows = rows.f_narrow(0, range.start as i64, range.len() as i64)?;
                Ok(Conditioning::context(rows.f_to_device(device)?))
            }
            Self::Classes(ids) => Ok(Conditioning::classes(ClassIds::new(&ids[range], device)?)),
        }
    }
}

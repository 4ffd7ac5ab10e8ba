//! A predictor for a batch, guided as it was asked.

use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::{Denoiser, MeanType, Predictor, Process};
use inkdrop_sampler::{BoxedPredictor, Clipped, DynamicThreshold, Guided, Interval};

use crate::model::context::Row;

/// How images are pulled towards what is asked.
pub struct Guide {
    pub scale: f64,
    pub interval: Interval,
    pub rescale: f64,
    /// The share of pixels that is held unchanged where the predicted image is held in range.
    pub threshold: Option<f64>,
    pub against: Against,
}

/// What images are pulled away from.
pub enum Against {
    Nothing,
    /// The model itself, asked this.
    Null(Row),
    /// A weaker model, asked the same.
    Weaker(Box<dyn Network>),
}

impl Guide {
    /// No guidance.
    pub fn none() -> Self {
        let (interval, against) = (Interval::ALL, Against::Nothing);
        Self { scale: 1.0, interval, rescale: 0.0, threshold: None, against }
    }

    /// The class that images are pulled away from, if it is one.
    pub fn other_class(&self) -> Option<i64> {
        match &self.against {
            Against::Null(row) => row.class,
            Against::Nothing | Against::Weaker(_) => None,
        }
    }

    /// The network as it is to be asked.
    ///
    /// - conditioning: for the same images, of what is asked (`None`) or of another row
    pub fn predictor<'a>(
        &'a self,
        network: &'a dyn Network,
        process: &'a Process,
        conditioning: &dyn Fn(Option<&Row>) -> Conditioning,
    ) -> BoxedPredictor<'a> {
        let mean = process.config().mean;
        let asked = || Denoiser::new(process, network, conditioning(None));
        let guided: BoxedPredictor<'a> = match &self.against {
            Against::Nothing if self.threshold.is_none() => return Box::new(asked()),
            Against::Nothing => Box::new(asked().unclipped()),
            Against::Null(row) => {
                let null = Denoiser::new(process, network, conditioning(Some(row)));
                self.guided(asked(), null, mean)
            }
            Against::Weaker(weaker) => {
                let weaker = Denoiser::new(process, weaker.as_ref(), conditioning(None));
                self.guided(asked(), weaker, mean)
            }
        };
        match self.threshold {
            Some(share) => Box::new(DynamicThreshold::new(guided, share)),
            None if process.config().clip => Box::new(Clipped(guided)),
            None => guided,
        }
    }

    fn guided<'a>(
        &self,
        towards: Denoiser<'a>,
        from: Denoiser<'a>,
        mean: MeanType,
    ) -> BoxedPredictor<'a> {
        let guided = Guided::new(towards.unclipped(), from.unclipped(), self.scale);
        let guided = guided.within(self.interval).rescaled(self.rescale, mean);
        let boxed: Box<dyn Predictor + 'a> = Box::new(guided);
        boxed
    }
}

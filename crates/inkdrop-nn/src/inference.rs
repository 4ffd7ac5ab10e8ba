//! How a network is made ready for inference, and the times that it knows beforehand.

use std::collections::HashMap;

use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{Result, TorchError};

use crate::{ClassIds, Conditioning, CudaGraphNetwork, Network};

/// How a network is made ready for inference; see [`Network::for_inference`](crate::Network::for_inference).
///
/// ```
/// // For 25 steps of class 3, beside the passes without a class that guidance makes (class 10):
/// use inkdrop_nn::Inference;
///
/// let options = Inference { classes: vec![3, 10], ..Inference::at((0..25).map(|step| f64::from(step) * 40.0)) };
/// assert!(options.pack && options.times.len() == 25);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// Times that passes will be asked for, exactly as t will hold them. What depends on the
    /// time alone is computed for all of them at once, and looked up where a whole batch has one of
    /// them (on the CPU). Other times are computed as they come.
    pub times: Vec<f64>,
    /// Classes that go with these times, where the network takes classes.
    pub classes: Vec<i64>,
    /// On a CPU and in f32: weights of convolutions are copied into the order that oneDNN computes
    /// in, and normalisations are computed in one go with what is before and after them.
    pub pack: bool,
    /// On a GPU: passes of a shape that comes again are recorded and replayed; see [`CudaGraphNetwork`].
    pub graphs: bool,
}

impl Default for Inference {
    fn default() -> Self {
        Self { times: Vec::new(), classes: Vec::new(), pack: true, graphs: true }
    }
}

impl Inference {
    /// For passes at these times.
    pub fn at(times: impl IntoIterator<Item = f64>) -> Self {
        Self { times: times.into_iter().collect(), ..Self::default() }
    }

    /// The network for inference, with its passes recorded where these options say so.
    pub fn finish(&self, network: impl Network + 'static) -> Box<dyn Network> {
        let network: Box<dyn Network> = Box::new(network);
        match network.params().device() {
            Device::Cuda(_) if self.graphs => Box::new(CudaGraphNetwork::new(network)),
            _ => network,
        }
    }
}

/// Rows of numbers that depend on time and class alone.
#[derive(Debug)]
pub struct EmbeddingCache {
    places: HashMap<(u64, Option<i64>), i64>,
    rows: Tensor,
}

impl EmbeddingCache {
    /// How many rows are known beforehand; what is beyond is computed as it comes.
    const MOST: usize = 1024;

    /// The rows of all times with all classes; `rows` is told `[K]` times in f64 on the device and
    /// as many classes, and gives [K, ...]. `None` where there is nothing to know beforehand.
    ///
    /// # Errors
    /// Those of `rows`, and what it gives has another number of rows.
    pub fn new(
        options: &Inference,
        classes: Option<i64>,
        device: Device,
        rows: impl FnOnce(&Tensor, Option<&Tensor>) -> Result<Option<Tensor>>,
    ) -> Result<Option<Self>> {
        let known = |class: &&i64| classes.is_some_and(|count| (0..count).contains(*class));
        let mut with: Vec<Option<i64>> =
            options.classes.iter().filter(known).map(|c| Some(*c)).collect();
        if classes.is_none() {
            with = vec![None];
        }
        let all =
            with.iter().flat_map(|class| options.times.iter().map(move |time| (*time, *class)));
        let (times, ids): (Vec<f64>, Vec<Option<i64>>) = all.take(Self::MOST).unzip();
        if times.is_empty() || device != Device::Cpu {
            return Ok(None);
        }
        let t = Tensor::f_from_slice(&times)?;
        let known: Option<Vec<i64>> = ids.iter().copied().collect();
        let classes = known.map(|ids| Tensor::f_from_slice(&ids)).transpose()?;
        let Some(rows) = rows(&t, classes.as_ref())? else { return Ok(None) };
        if rows.size().first() != Some(&(times.len() as i64)) {
            let problem = format!("{:?} rows for {} times", rows.size(), times.len());
            return Err(TorchError::message(problem));
        }
        let places = times.iter().zip(&ids).enumerate();
        let places =
            places.map(|(i, (time, class))| ((time.to_bits(), *class), i as i64)).collect();
        Ok(Some(Self { places, rows }))
    }

    /// The row of a moment, [1, ...].
    ///
    /// # Errors
    /// libtorch fails.
    pub fn row(&self, moment: &EmbeddingCacheKey) -> Result<Option<Tensor>> {
        let place = self.places.get(&(moment.time.to_bits(), moment.class));
        Ok(place.map(|place| self.rows.f_narrow(0, *place, 1)).transpose()?)
    }
}

/// A time, and a class, that all images of a batch share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingCacheKey {
    /// In the units of the network's t.
    pub time: f64,
    /// `None` where there are no classes.
    pub class: Option<i64>,
}

impl EmbeddingCacheKey {
    /// What all images share; `None` where they do not, or where asking would mean waiting for a
    /// GPU.
    ///
    /// - t: `[B]`
    ///
    /// # Errors
    /// libtorch fails.
    pub fn of(t: &Tensor, conditioning: &Conditioning) -> Result<Option<Self>> {
        if t.device() != Device::Cpu || t.numel() == 0 {
            return Ok(None);
        }
        let class = conditioning.classes.as_ref().map(ClassIds::shared);
        if class == Some(None) {
            return Ok(None);
        }
        let times = Vec::<f64>::try_from(&t.f_to_kind(Kind::Double)?.f_reshape([-1])?)?;
        let shared = times.iter().all(|time| *time == times[0]);
        Ok(shared.then_some(Self { time: times[0], class: class.flatten() }))
    }
}

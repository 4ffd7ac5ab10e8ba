//! An engine whose image i of a seed has the grey value seed + i, and which remembers its passes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use inkdrop_data::Images;
use inkdrop_serve::engine::{
    Backend, Engine, EngineError, JobImages, ModelInfo, Progress, Request, StepImages, Task,
};
use ndarray::Array4;

#[derive(Clone, Default)]
pub struct Toy {
    /// Images of each request of each pass.
    pub passes: Arc<Mutex<Vec<Vec<usize>>>>,
    pub step_time: Duration,
    /// Shows images of this side that PNG does not compress, while they form.
    pub large: Option<usize>,
}

impl Toy {
    pub fn slow(milliseconds: u64) -> Self {
        Self { step_time: Duration::from_millis(milliseconds), ..Self::default() }
    }

    pub fn passes(&self) -> Vec<Vec<usize>> {
        self.passes.lock().unwrap().clone()
    }
}

impl Backend for Toy {
    fn models(&self) -> Vec<ModelInfo> {
        ["toy", "other"]
            .map(|id| ModelInfo {
                id: id.to_string(),
                about: "grey".to_string(),
                arguments: vec![format!("{id}.safetensors")],
                image: [4, 6, 3],
                classes: vec!["a".to_string(), "b".to_string()],
                contexts: Vec::new(),
                unconditional: true,
                sampler: "ddim".to_string(),
                steps: 5,
                upscaler: false,
            })
            .to_vec()
    }

    fn engine(self: Arc<Self>) -> Box<dyn Engine> {
        Box::new((*self).clone())
    }
}

fn grey(values: &[u8]) -> Images {
    Images::new(Array4::from_shape_fn((values.len(), 4, 6, 3), |(i, ..)| values[i])).unwrap()
}

/// One image of values without a pattern.
fn noise(side: usize) -> Images {
    let value = |(_, row, column, channel): (usize, usize, usize, usize)| {
        let at = (3 * (row * side + column) + channel) as u64 + 1;
        let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
    };
    Images::new(Array4::from_shape_fn((1, side, side, 3), value)).unwrap()
}

impl Engine for Toy {
    fn run(
        &mut self,
        requests: &[Request],
        progress: &mut dyn Progress,
    ) -> Result<Vec<JobImages>, EngineError> {
        self.passes.lock().unwrap().push(requests.iter().map(|request| request.count).collect());
        if requests.iter().any(|request| request.condition.as_deref() == Some("nobody")) {
            return Err(EngineError::Invalid("unknown class `nobody`".to_string()));
        }
        let own = |request: &Request| match &request.task {
            Task::Inpaint { image, mask } => vec![image.pixels()[0], mask.pixels()[0]],
            _ => (0..request.count).map(|i| (request.seed + i as u64) as u8).collect::<Vec<_>>(),
        };
        let values: Vec<Vec<u8>> = requests.iter().map(own).collect();
        let all = self.large.map_or_else(|| grey(&values.concat()), noise);
        let of = requests[0].settings.steps.unwrap_or(5);
        for step in 1..=of {
            std::thread::sleep(self.step_time);
            let images = || Some(StepImages { x: all.clone(), x0: all.clone() });
            if !progress.step(step, of, &images) {
                return Err(EngineError::Cancelled);
            }
        }
        // Images of a request with a condition are of the classes 0, 1, 2, …
        let result = |(request, values): (&Request, &Vec<u8>)| JobImages {
            labels: request.condition.as_ref().map(|_| (0..values.len() as i64).collect()),
            ..JobImages::unlabelled(grey(values))
        };
        Ok(requests.iter().zip(&values).map(result).collect())
    }
}

//! CUDA graphs: a network whose passes are recorded once on a GPU and then replayed.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{CudaGraph, Result, TorchError, cuda_graphs, grad_enabled};

use crate::{ClassIds, Conditioning, Network, NetworkError};

/// A network that records its passes as CUDA graphs and replays them. The outputs are the same; a
/// replay saves the time that the CPU needs to launch hundreds of small kernels.
///
/// A pass is recorded when inputs of the same shapes and dtypes occur for the second time, and
/// replayed from the third on. The first replay of a recording is compared with the ordinary pass of the
/// same inputs; if they differ, a line on stderr says so, and no pass of this process is recorded or
/// replayed any more. Four recordings are kept, each with the memory of one pass. A replay
/// copies the inputs to the recorded addresses and returns a copy of the output. All other passes are
/// ordinary ones: passes that record gradients, the CPU, inputs on several devices, further shapes,
/// and any pass if CUDA graphs are not available.
///
/// Errors are those of the network. Shapes that it refuses are never recorded, and class ids are
/// checked before a replay: ids outside the accepted range get an ordinary pass. Therefore the only
/// *values* that the network may refuse are class ids out of range, as [`ClassIds::check`] does.
///
/// A wrapper that acts on each pass (a counter, a way to stop) must be outside of this network, not
/// inside. StateDict may change in place but must not be replaced. Flags like
/// [`allow_tf32`](inkdrop_torch::allow_tf32) keep the values that they had during recording.
///
/// [`ClassIds::check`]: crate::ClassIds::check
pub struct CudaGraphNetwork(Recordings<Gpu>);

impl CudaGraphNetwork {
    /// Wraps a network. Nothing is recorded yet.
    pub fn new(network: Box<dyn Network>) -> Self {
        Self(Recordings::new(network, Gpu))
    }

    /// Number of recorded passes.
    pub fn recorded(&self) -> usize {
        self.0.recorded()
    }

    /// The error of a recording that failed, or how its first replay differed. After it, nothing more is
    /// recorded.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }
}

impl Network for CudaGraphNetwork {
    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<Tensor, NetworkError> {
        self.0.forward(x, t, conditioning)
    }

    fn device(&self) -> Device {
        self.0.network.device()
    }

    fn kind(&self) -> Kind {
        self.0.network.kind()
    }

    fn takes_self_condition(&self) -> bool {
        self.0.network.takes_self_condition()
    }
}

/// Maximum number of recordings, and of remembered signatures that occurred once.
const MOST: usize = 4;

/// Records and replays a pass: CUDA graphs, or a fake in the tests.
trait Recorder: Send {
    type Graph: Send;

    /// True if passes on this device can be recorded.
    fn records(&self, device: Device) -> bool;

    /// Runs the pass and records it.
    fn record(&self, inputs: &Inputs, pass: &mut dyn FnMut() -> Result<()>) -> Result<Self::Graph>;

    /// Repeats the pass with the current values of the inputs, into the same output.
    fn replay(&self, graph: &Self::Graph, inputs: &Inputs, output: &Tensor) -> Result<()>;

    /// Called when a replay differed from the ordinary pass: nothing may be recorded from now on.
    fn give_up(&self, problem: &str);
}

/// Records with CUDA graphs.
struct Gpu;

/// True after a replay in this process differed from the ordinary pass.
static DIFFERED: AtomicBool = AtomicBool::new(false);

/// How to report a kernel that computes something else.
const REPORT: &str = "please report it with the output of `inkdrop --version -v`";

impl Recorder for Gpu {
    type Graph = CudaGraph;

    fn records(&self, device: Device) -> bool {
        device.is_cuda() && cuda_graphs().is_ok() && !DIFFERED.load(Relaxed)
    }

    fn record(&self, inputs: &Inputs, pass: &mut dyn FnMut() -> Result<()>) -> Result<CudaGraph> {
        CudaGraph::capture(inputs.x.device(), pass)
    }

    fn replay(&self, graph: &CudaGraph, _: &Inputs, _: &Tensor) -> Result<()> {
        graph.replay()
    }

    fn give_up(&self, problem: &str) {
        if !DIFFERED.swap(true, Relaxed) {
            eprintln!("warning: {problem}; CUDA graphs are off ({REPORT})");
        }
    }
}

/// A network and the recordings of its passes.
struct Recordings<R: Recorder> {
    network: Box<dyn Network>,
    recorder: R,
    state: RefCell<State<R::Graph>>,
}

struct State<G> {
    recordings: Vec<Recording<G>>,
    /// Signatures that occurred once, the latest last.
    once: VecDeque<Signature>,
    trouble: Option<String>,
}

struct Recording<G> {
    // Declared first, dropped first: the tensors that it reads and writes outlive it.
    graph: G,
    signature: Signature,
    inputs: Inputs,
    output: Tensor,
    /// The lowest and the highest class id that an ordinary pass of this signature has accepted.
    accepted: Option<(i64, i64)>,
}

impl<R: Recorder> Recordings<R> {
    fn new(network: Box<dyn Network>, recorder: R) -> Self {
        let state = State { recordings: Vec::new(), once: VecDeque::new(), trouble: None };
        Self { network, recorder, state: RefCell::new(state) }
    }

    fn recorded(&self) -> usize {
        self.state.borrow().recordings.len()
    }

    fn trouble(&self) -> Option<String> {
        self.state.borrow().trouble.clone()
    }

    fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> std::result::Result<Tensor, NetworkError> {
        let ordinary = || self.network.forward(x, t, conditioning);
        if grad_enabled() || !self.recorder.records(x.device()) {
            return ordinary();
        }
        let Some(signature) = Signature::of(x, t, conditioning) else {
            return ordinary();
        };
        let mut state = self.state.borrow_mut();
        let known = state.recordings.iter_mut().find(|known| known.signature == signature);
        if let Some(recording) = known {
            let ids = conditioning.classes.as_ref();
            if recording.accepts(ids) {
                recording.inputs.fill(x, t, conditioning)?;
                self.recorder.replay(&recording.graph, &recording.inputs, &recording.output)?;
                return Ok(copy(&recording.output)?);
            }
            let out = ordinary()?;
            recording.accept(ids);
            return Ok(out);
        }
        // An error of the inputs occurs here, before anything is recorded.
        let out = ordinary()?;
        if state.occurred_once(&signature) {
            let recording = self.record(signature, x, t, conditioning);
            match recording.and_then(|recording| self.checked(recording, &out)) {
                Ok(recording) => state.recordings.push(recording),
                Err(error) => state.trouble = Some(error.to_string()),
            }
        } else if state.has_room() {
            state.remember(signature);
        }
        Ok(out)
    }

    fn record(
        &self,
        signature: Signature,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
    ) -> Result<Recording<R::Graph>> {
        let inputs = Inputs::copied(x, t, conditioning)?;
        let mut output = None;
        let graph = self.recorder.record(&inputs, &mut || {
            let pass = self.network.forward(&inputs.x, &inputs.t, &inputs.conditioning);
            output = Some(pass.map_err(|error| TorchError::message(error.to_string()))?);
            Ok(())
        })?;
        let nothing = || TorchError::message("the recorded pass did not run".to_string());
        let output = output.ok_or_else(nothing)?;
        let accepted = conditioning.classes.as_ref().map(ClassIds::range);
        Ok(Recording { graph, signature, inputs, output, accepted })
    }

    /// Compares the first replay of a recording with the ordinary pass of the same inputs.
    fn checked(
        &self,
        recording: Recording<R::Graph>,
        expected: &Tensor,
    ) -> Result<Recording<R::Graph>> {
        let Recording { graph, inputs, output, .. } = &recording;
        self.recorder.replay(graph, inputs, output)?;
        match difference(output, expected)? {
            None => Ok(recording),
            Some(problem) => {
                self.recorder.give_up(&problem);
                Err(TorchError::message(problem))
            }
        }
    }
}

/// How a replay differs from the ordinary pass; `None` within rounding. A pass that is not finite says
/// nothing about the replay.
fn difference(replayed: &Tensor, expected: &Tensor) -> Result<Option<String>> {
    let bound = match expected.kind() {
        Kind::Double => 1e-10,
        Kind::Float => 1e-3, // TF32 included
        _ => 5e-2,
    };
    let double = |x: &Tensor| x.f_to_kind(Kind::Double);
    let number = |x: Tensor| x.f_abs()?.f_max()?.f_double_value(&[]);
    let (replayed, expected) = (double(replayed)?, double(expected)?);
    let largest = number(expected.shallow_clone())?;
    let apart = number(replayed.f_sub(&expected)?)? / largest.max(1.0);
    let differs = largest.is_finite() && (apart > bound || apart.is_nan());
    Ok(differs.then(|| {
        format!("a recorded pass differs from the ordinary one by {apart:.1e}, expected at most {bound:.0e}")
    }))
}

impl<G> State<G> {
    /// True if another pass may be recorded.
    fn has_room(&self) -> bool {
        self.trouble.is_none() && self.recordings.len() < MOST
    }

    /// True if this signature occurred once and may be recorded now; it is then forgotten.
    fn occurred_once(&mut self, signature: &Signature) -> bool {
        let at = self.once.iter().position(|seen| seen == signature);
        self.has_room() && at.and_then(|at| self.once.remove(at)).is_some()
    }

    fn remember(&mut self, signature: Signature) {
        if self.once.len() == MOST {
            self.once.pop_front();
        }
        self.once.push_back(signature);
    }
}

impl<G> Recording<G> {
    /// True if the network is known to accept these class ids.
    fn accepts(&self, ids: Option<&ClassIds>) -> bool {
        match (ids.map(ClassIds::range), self.accepted) {
            (Some((lowest, highest)), Some((from, to))) => from <= lowest && highest <= to,
            (given, _) => given.is_none(),
        }
    }

    /// Extends the accepted range after an ordinary pass.
    fn accept(&mut self, ids: Option<&ClassIds>) {
        if let Some((lowest, highest)) = ids.map(ClassIds::range) {
            let (from, to) = self.accepted.unwrap_or((lowest, highest));
            self.accepted = Some((from.min(lowest), to.max(highest)));
        }
    }
}

/// Shapes and dtypes of x, t and all conditions: equal for all inputs of a recording.
#[derive(Debug, PartialEq, Eq)]
struct Signature {
    device: Device,
    forms: [Option<(Vec<i64>, Kind)>; 9],
}

impl Signature {
    /// `None` for inputs on several devices, or without an element in x.
    fn of(x: &Tensor, t: &Tensor, conditioning: &Conditioning) -> Option<Self> {
        let all = tensors(x, t, conditioning);
        let device = x.device();
        let together = all.iter().flatten().all(|tensor| tensor.device() == device);
        let forms = all.map(|tensor| tensor.map(|tensor| (tensor.size(), tensor.kind())));
        (together && x.numel() > 0).then_some(Self { device, forms })
    }
}

fn tensors<'a>(
    x: &'a Tensor,
    t: &'a Tensor,
    conditioning: &'a Conditioning,
) -> [Option<&'a Tensor>; 9] {
    // No dropout, so the place in the batch has no effect.
    let Conditioning {
        context,
        classes,
        low_res,
        image,
        interval,
        self_condition,
        augment,
        first_image: _,
    } = conditioning;
    let given = [context, low_res, image, interval, self_condition, augment];
    let [context, low_res, image, interval, self_condition, augment] = given.map(Option::as_ref);
    let classes = classes.as_ref().map(|classes| classes.tensor());
    [Some(x), Some(t), context, classes, low_res, image, interval, self_condition, augment]
}

/// Inputs of a recorded pass, at fixed addresses.
struct Inputs {
    x: Tensor,
    t: Tensor,
    conditioning: Conditioning,
}

impl Inputs {
    fn copied(x: &Tensor, t: &Tensor, conditioning: &Conditioning) -> Result<Self> {
        let copied = |tensor: &Option<Tensor>| tensor.as_ref().map(copy).transpose();
        let conditioning = Conditioning {
            context: copied(&conditioning.context)?,
            classes: conditioning.classes.as_ref().map(|ids| ids.copied()).transpose()?,
            low_res: copied(&conditioning.low_res)?,
            image: copied(&conditioning.image)?,
            interval: copied(&conditioning.interval)?,
            self_condition: copied(&conditioning.self_condition)?,
            augment: copied(&conditioning.augment)?,
            first_image: conditioning.first_image,
        };
        Ok(Self { x: copy(x)?, t: copy(t)?, conditioning })
    }

    /// Copies the values of inputs with the same signature.
    fn fill(&self, x: &Tensor, t: &Tensor, conditioning: &Conditioning) -> Result<()> {
        let own = tensors(&self.x, &self.t, &self.conditioning);
        for (own, given) in own.iter().zip(tensors(x, t, conditioning)) {
            if let (Some(own), Some(given)) = (own, given) {
                own.shallow_clone().f_copy_(given)?;
            }
        }
        Ok(())
    }
}

/// A copy in memory of its own.
fn copy(tensor: &Tensor) -> Result<Tensor> {
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

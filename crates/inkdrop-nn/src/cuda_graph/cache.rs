//! Which passes are recorded, and when a recording may stand for a pass.

use std::cell::RefCell;
use std::collections::VecDeque;

use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_torch::{Result, TorchError, grad_enabled};

use super::inputs::{Inputs, Signature, copy};
use crate::{ClassIds, Conditioning, Mode, Network, NetworkError};

/// How many recordings are kept, and how many signatures that came once are remembered.
pub(super) const MOST: usize = 4;

/// Who records a pass; a GPU, or a test.
pub(super) trait Recorder: Send {
    type Graph: Send;

    fn records(&self, device: Device) -> bool;

    /// Runs the pass, and keeps what it does with the inputs.
    fn record(&self, inputs: &Inputs, pass: &mut dyn FnMut() -> Result<()>) -> Result<Self::Graph>;

    /// Does the same again with what the inputs hold now, into the same output.
    fn replay(&self, graph: &Self::Graph, inputs: &Inputs, output: &Tensor) -> Result<()>;
}

/// A network and its recordings.
pub(super) struct Cache<R: Recorder> {
    network: Box<dyn Network>,
    recorder: R,
    state: RefCell<State<R::Graph>>,
}

struct State<G> {
    recordings: Vec<Recording<G>>,
    /// What came once, the latest last.
    once: VecDeque<Signature>,
    trouble: Option<String>,
}

struct Recording<G> {
    // Declared first, dropped first: what it reads and writes outlives it.
    graph: G,
    signature: Signature,
    inputs: Inputs,
    output: Tensor,
    /// The lowest and the highest class that an ordinary pass of this signature has accepted.
    accepted: Option<(i64, i64)>,
}

impl<R: Recorder> Cache<R> {
    pub(super) fn new(network: Box<dyn Network>, recorder: R) -> Self {
        let state = State { recordings: Vec::new(), once: VecDeque::new(), trouble: None };
        Self { network, recorder, state: RefCell::new(state) }
    }

    pub(super) fn network(&self) -> &dyn Network {
        self.network.as_ref()
    }

    pub(super) fn recorded(&self) -> usize {
        self.state.borrow().recordings.len()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.state.borrow().trouble.clone()
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        conditioning: &Conditioning,
        mode: Mode,
    ) -> std::result::Result<Tensor, NetworkError> {
        let plain = || self.network.forward(x, t, conditioning, mode);
        if mode != Mode::Eval || grad_enabled() || !self.recorder.records(x.device()) {
            return plain();
        }
        let Some(signature) = Signature::of(x, t, conditioning) else {
            return plain();
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
            let out = plain()?;
            recording.accept(ids);
            return Ok(out);
        }
        // Whatever is wrong with the inputs shows here, before anything is recorded.
        let out = plain()?;
        if state.came_before(&signature) {
            match self.record(signature, x, t, conditioning) {
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
            let pass = self.network.forward(&inputs.x, &inputs.t, &inputs.conditioning, Mode::Eval);
            output = Some(pass.map_err(|error| TorchError::message(error.to_string()))?);
            Ok(())
        })?;
        let nothing = || TorchError::message("the pass that was recorded never ran".to_string());
        let output = output.ok_or_else(nothing)?;
        let accepted = conditioning.classes.as_ref().map(ClassIds::range);
        Ok(Recording { graph, signature, inputs, output, accepted })
    }
}

impl<G> State<G> {
    /// Whether anything more is to be recorded.
    fn has_room(&self) -> bool {
        self.trouble.is_none() && self.recordings.len() < MOST
    }

    /// Whether this has come once, and may be recorded now; then it is forgotten.
    fn came_before(&mut self, signature: &Signature) -> bool {
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
    /// Whether a pass with these classes is known to be one that the network accepts.
    fn accepts(&self, ids: Option<&ClassIds>) -> bool {
        match (ids.map(ClassIds::range), self.accepted) {
            (Some((lowest, highest)), Some((from, to))) => from <= lowest && highest <= to,
            (given, _) => given.is_none(),
        }
    }

    /// An ordinary pass has accepted them, and so whatever lies between.
    fn accept(&mut self, ids: Option<&ClassIds>) {
        if let Some((lowest, highest)) = ids.map(ClassIds::range) {
            let (from, to) = self.accepted.unwrap_or((lowest, highest));
            self.accepted = Some((from.min(lowest), to.max(highest)));
        }
    }
}
